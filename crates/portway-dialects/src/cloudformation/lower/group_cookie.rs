//! Clients that are kept with one of several target groups by a cookie: its groups are asked for before they are drawn.

use super::text::{holds, written};
use crate::cloudformation::table;
use portway_model::action::{Action, Phase, Places, Rule, Weighted};
use portway_model::expression::{
    Condition, Expression, Matcher, Scope, Test, TextMatch, Value, Variable,
};
use portway_model::name::Name;
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;
use std::collections::BTreeSet;

/// The cookies; the second is for requests that pages of other sites make.
const COOKIES: [&str; 2] = ["AWSALBTG", "AWSALBTGCORS"];
/// The variable that says until when the cookies are to last.
const LASTS: &str = "awsalbtg";

/// What stands in the cookies for a group: what does not tell its name.
fn value_of(group: &Name) -> String {
    table::opaque(COOKIES[0], group.as_str())
}

/// Where a rule leads.
pub(super) struct Routed {
    /// What a request must pass before anything else.
    guards: Vec<Action<Named>>,
    /// Asked for first, within the condition of the rule.
    pub(super) first: Vec<(Condition<Named>, Vec<Action<Named>>)>,
    pub(super) actions: Vec<Action<Named>>,
}

impl Routed {
    pub(super) fn to(action: Action<Named>) -> Self {
        Self {
            guards: Vec::new(),
            first: Vec::new(),
            actions: vec![action],
        }
    }

    /// The same for requests that pass these.
    pub(super) fn guarded(self, guards: Vec<Action<Named>>) -> Self {
        Self { guards, ..self }
    }

    /// To one of these groups, and to the same again for so many seconds.
    pub(super) fn kept(weighted: Vec<Weighted<Named>>, lasts: u32) -> Self {
        let forward = |weighted| {
            vec![
                Action::SetVariable {
                    variable: Variable {
                        scope: Scope::Exchange,
                        name: Name::new(LASTS),
                    },
                    value: written(&format!("${{now.http_date({lasts})}}")),
                },
                Action::Forward(weighted),
            ]
        };
        let first = weighted.iter().map(|one| {
            let alone = Weighted::new(one.group.clone(), 1);
            (names(&one.group), forward(vec![alone]))
        });
        Self {
            guards: Vec::new(),
            first: first.collect(),
            actions: forward(weighted),
        }
    }

    /// The rules of a listener that lead there where this holds, transforms before all else.
    pub(super) fn rules(
        self,
        condition: Condition<Named>,
        transforms: Vec<Action<Named>>,
        (phase, span): (Phase, Span),
    ) -> Vec<Rule<Named>> {
        let before = || self.guards.iter().chain(&transforms).cloned();
        let rule = |condition, actions: Vec<Action<Named>>| Rule {
            phase,
            condition,
            actions: before().chain(actions).collect(),
            origin: Origin(span),
            places: Places::default(),
        };
        let first = self.first.into_iter().map(|(also, actions)| {
            let both = match condition.is_always() {
                true => also,
                false => Condition::All(vec![condition.clone(), also]),
            };
            rule(both, actions)
        });
        let mut rules: Vec<Rule<Named>> = first.collect();
        rules.push(rule(condition.clone(), self.actions));
        rules
    }
}

/// One of the cookies names this group.
fn names(group: &Spanned<Name>) -> Condition<Named> {
    let tests = COOKIES.map(|cookie| {
        let test = Test {
            expression: Expression::from(Value::Cookie(cookie.to_owned())),
            matcher: Matcher::Text {
                how: TextMatch::Exact,
                any_of: vec![value_of(&group.value)],
                ignore_case: false,
            },
        };
        Condition::Test(Spanned::new(test, group.span))
    });
    Condition::Any(tests.into())
}

/// Sets the cookies where a rule has kept a client; nothing where none does.
pub(super) fn set(rules: &[Rule<Named>], span: Span) -> Vec<Rule<Named>> {
    let keeps = |action: &Action<Named>| matches!(action, Action::SetVariable { variable, .. } if variable.name.as_str() == LASTS);
    let kept = rules.iter().filter(|rule| rule.actions.iter().any(keeps));
    let mut groups = BTreeSet::new();
    for action in kept.flat_map(|rule| &rule.actions) {
        if let Action::Forward(weighted) = action {
            groups.extend(weighted.iter().map(|it| it.group.value.clone()));
        }
    }
    let rule = |group: Name| {
        let value = value_of(&group);
        let cookie = |name: &str, more: &str| Action::AddHeader {
            name: "Set-Cookie".to_owned(),
            value: written(&format!(
                "{name}={value}; Expires=${{var.exchange.{LASTS}}}; Path=/{more}"
            )),
        };
        let [own, other] = COOKIES;
        Rule {
            phase: Phase::Response,
            condition: holds(&format!(
                "var.exchange.{LASTS} present && group_name == `{group}`"
            )),
            actions: vec![cookie(own, ""), cookie(other, "; SameSite=None; Secure")],
            origin: Origin(span),
            places: Places::default(),
        }
    };
    groups.into_iter().map(rule).collect()
}
