//! The rules of one router: what its middlewares do, in their order, and where requests go at last.
//!
//! The condition of a router is asked once, of the request as it came. Where a middleware has a condition of its own, or
//! does something to the response, a variable remembers the router: later rules ask for it, so that what a middleware
//! changes (a path, a host) does not change which router it is. The variable also says how far a request came, because a
//! middleware sees the responses of those behind it alone.

use super::super::matcher::one_of;
use super::retry::Attempts;
use portway_model::action::{Action, Phase, Places, Rule};
use portway_model::expression::{Condition, Scope, Template, Value, Variable};
use portway_model::name::Name;
use portway_model::span::{Origin, Span};
use portway_model::stage::Named;

/// What happens in order.
#[derive(Debug)]
pub(super) struct Chain {
    router: String,
    condition: Condition<Named>,
    origin: Span,
    steps: Vec<Step>,
    responses: Vec<Response>,
    /// How often the variable was changed on the way.
    stage: usize,
    /// An answer may have ended the way since then.
    answered: bool,
    /// Attempts at servers, where a middleware says so.
    pub(super) attempts: Option<Attempts>,
}

#[derive(Debug)]
struct Step {
    /// `None`: always.
    condition: Option<Condition<Named>>,
    actions: Vec<Action<Named>>,
    /// The stage in which its condition is asked.
    stage: usize,
    origin: Span,
}

#[derive(Debug)]
struct Response {
    condition: Option<Condition<Named>>,
    actions: Vec<Action<Named>>,
    stage: usize,
    origin: Span,
}

/// The rules of a router.
pub(super) struct Rules {
    pub(super) request: Vec<Rule<Named>>,
    /// Those of the response, in the order in which they run.
    pub(super) response: Vec<Rule<Named>>,
}

fn variable() -> Variable {
    Variable {
        scope: Scope::Exchange,
        name: Name::new("router"),
    }
}

impl Chain {
    pub(super) fn new(router: &str, condition: Condition<Named>, origin: Span) -> Self {
        let first = Step {
            condition: None,
            actions: Vec::new(),
            stage: 0,
            origin,
        };
        Self {
            router: router.to_owned(),
            condition,
            origin,
            steps: vec![first],
            responses: Vec::new(),
            stage: 0,
            answered: false,
            attempts: None,
        }
    }

    /// Done always.
    pub(super) fn always(&mut self, action: Action<Named>, origin: Span) {
        self.answered |= ends(&action);
        let stage = self.stage;
        match self.steps.last_mut() {
            Some(step) if step.condition.is_none() => step.actions.push(action),
            _ => self.steps.push(Step {
                condition: None,
                actions: vec![action],
                stage,
                origin,
            }),
        }
    }

    /// Done where the condition holds.
    pub(super) fn when(
        &mut self,
        condition: Condition<Named>,
        actions: Vec<Action<Named>>,
        origin: Span,
    ) {
        self.answered |= actions.iter().any(ends);
        self.steps.push(Step {
            condition: Some(condition),
            actions,
            stage: self.stage,
            origin,
        });
    }

    /// Done with the response to what comes this far.
    pub(super) fn response(
        &mut self,
        condition: Option<Condition<Named>>,
        actions: Vec<Action<Named>>,
        origin: Span,
    ) {
        if self.answered {
            self.stage += 1;
            self.always(remember(self.word(self.stage)), origin);
            self.answered = false;
        }
        self.responses.push(Response {
            condition,
            actions,
            stage: self.stage,
            origin,
        });
    }

    fn word(&self, stage: usize) -> String {
        match stage {
            0 => self.router.clone(),
            stage => format!("{}#{stage}", self.router),
        }
    }

    fn at(&self, stages: std::ops::RangeInclusive<usize>, origin: Span) -> Condition<Named> {
        let words = stages.map(|stage| self.word(stage)).collect();
        one_of(Value::Variable(variable()), words, false, origin)
    }

    pub(super) fn finish(mut self) -> Rules {
        let steps = std::mem::take(&mut self.steps);
        let remembers = steps.len() > 1 || !self.responses.is_empty();
        let mut request = Vec::new();
        let mut stage = 0;
        for (index, step) in steps.into_iter().enumerate() {
            let mut actions = step.actions;
            let condition = if index == 0 {
                if remembers {
                    actions.insert(0, remember(self.word(0)));
                }
                self.condition.clone()
            } else {
                let here = self.at(stage..=stage, step.origin);
                match step.condition {
                    None => here,
                    Some(Condition::All(mut parts)) => {
                        parts.insert(0, here);
                        Condition::All(parts)
                    }
                    Some(own) => Condition::All(vec![here, own]),
                }
            };
            stage = actions.iter().fold(stage.max(step.stage), |stage, action| {
                stage.max(self.stage_of(action))
            });
            if !actions.is_empty() {
                request.push(rule(Phase::Request, condition, actions, step.origin));
            }
        }
        let responses = self.responses.iter().rev().map(|one| {
            let here = self.at(one.stage..=self.stage, one.origin);
            let condition = match &one.condition {
                None => here,
                Some(own) => Condition::All(vec![here, own.clone()]),
            };
            rule(
                Phase::AfterResponse,
                condition,
                one.actions.clone(),
                one.origin,
            )
        });
        Rules {
            response: responses.collect(),
            request,
        }
    }

    /// The stage that an action begins.
    fn stage_of(&self, action: &Action<Named>) -> usize {
        let Action::SetVariable {
            variable: which,
            value,
        } = action
        else {
            return 0;
        };
        let word = value.as_text().filter(|_| *which == variable());
        let stage = word.and_then(|word| word.strip_prefix(self.router.as_str()));
        stage
            .and_then(|rest| rest.strip_prefix('#')?.parse().ok())
            .unwrap_or(0)
    }

    /// The router's name.
    pub(super) fn router(&self) -> &str {
        &self.router
    }

    pub(super) fn origin(&self) -> Span {
        self.origin
    }
}

/// A rule.
pub(super) fn rule(
    phase: Phase,
    condition: Condition<Named>,
    actions: Vec<Action<Named>>,
    origin: Span,
) -> Rule<Named> {
    Rule {
        phase,
        condition,
        actions,
        origin: Origin(origin),
        places: Places::default(),
    }
}

fn remember(word: String) -> Action<Named> {
    Action::SetVariable {
        variable: variable(),
        value: Template::text(word),
    }
}

/// True for what may end a request's way: those behind it have no say in the answer then.
fn ends(action: &Action<Named>) -> bool {
    matches!(
        action,
        Action::Redirect { .. }
            | Action::Respond(_)
            | Action::Deny(_)
            | Action::Authenticate { .. }
            | Action::Authorize(_)
            | Action::DigestAuth(_)
            | Action::Jwt(_)
            | Action::Limit(_)
            | Action::PageFrom(_)
    )
}
