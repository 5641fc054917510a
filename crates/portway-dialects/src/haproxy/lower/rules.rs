//! Lists of rules to the phases of the model.
//!
//! The one hard thing: `accept` and `allow` end their list and not what comes after it, while the model's `Accept` ends
//! the phase. Where something else follows in the phase, the rules behind an `allow` are guarded instead: by the opposite of
//! its condition if only one rule must be, else by a variable.

use super::Lowering;
use crate::haproxy::proxy::{List, OddNames, Proxy, RuleLine, Step};
use portway_model::action::{
    Action, FixedResponse, NamePattern, Phase, Places, Rule, Weighted, is_of_connection,
};
use portway_model::choice::StickinessUse;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{
    Condition, Expression, Matcher, Message, Scope, Template, Test, Value, Variable,
};
use portway_model::name::Name;
use portway_model::settings::ProxyHeader;
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;
use std::sync::Arc;
use std::time::Duration;

/// A rule that always applies.
pub(super) fn always() -> Condition<Named> {
    Condition::All(Vec::new())
}

/// A rule of the model.
pub(super) fn rule(
    phase: Phase,
    condition: Condition<Named>,
    actions: Vec<Action<Named>>,
    span: Span,
) -> Rule<Named> {
    Rule {
        phase,
        condition,
        actions,
        origin: Origin(span),
        places: Places::default(),
    }
}

/// Both conditions, without needless nesting.
pub(super) fn both(a: Condition<Named>, b: Condition<Named>) -> Condition<Named> {
    let mut parts = Vec::new();
    for condition in [a, b] {
        match condition {
            Condition::All(inner) => parts.extend(inner),
            other => parts.push(other),
        }
    }
    match parts.len() {
        1 => parts.pop().unwrap_or_else(always),
        _ => Condition::All(parts),
    }
}

/// One comparison.
pub(super) fn test(
    value: impl Into<Expression<Named>>,
    matcher: Matcher<Named>,
    span: Span,
) -> Condition<Named> {
    let expression = value.into();
    Condition::Test(Spanned::new(
        Test {
            expression,
            matcher,
        },
        span,
    ))
}

/// Goes to this group.
pub(super) fn forward(name: &Spanned<String>) -> Action<Named> {
    let group = name.clone().map(Name::from);
    Action::Forward(vec![Weighted::new(group, 1)])
}

impl Lowering<'_, '_, '_> {
    /// The rules of a list in a phase. `last`: nothing but forwards follows in the phase.
    pub(super) fn list(
        &mut self,
        proxy: &Proxy,
        list: List,
        phase: Phase,
        last: bool,
    ) -> Vec<Rule<Named>> {
        let lines: Vec<&RuleLine> = proxy
            .rules
            .iter()
            .filter(|rule| rule.list == list)
            .collect();
        let guard = Guard::of(&lines, proxy, list, phase, last);
        let mut rules = Vec::new();
        let mut passed: Vec<Condition<Named>> = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let condition = line.condition.clone();
            if matches!(line.step, Step::Pass) {
                match &guard {
                    Guard::Accept => {
                        rules.push(rule(phase, condition, vec![Action::Accept], line.span))
                    }
                    Guard::Opposite => passed.push(condition),
                    Guard::Variable(variable) => {
                        let set = Action::SetVariable {
                            variable: variable.clone(),
                            value: Template::text("1"),
                        };
                        rules.push(rule(phase, condition, vec![set], line.span));
                        passed.push(always());
                    }
                }
                continue;
            }
            if removes_host(line) {
                if !lines.iter().skip(index).any(|later| writes_host(later)) {
                    let message = "a request without a `Host` is not sent";
                    let help = "write `set-header Host NAME`, which replaces the one that came";
                    self.reader
                        .push(Diagnostic::error(Code::NotRun, line.span, message).help(help));
                }
                // The rule that writes a new one replaces the old.
                continue;
            }
            let Some(actions) = self.actions(proxy, line) else {
                continue;
            };
            let condition = if passed.is_empty() {
                condition
            } else {
                both(guard.not_passed(&passed, line.span), condition)
            };
            rules.push(rule(phase, condition, actions, line.span));
        }
        rules
    }

    /// What a rule does. `None`: it cannot be done, and was said so.
    fn actions(&mut self, proxy: &Proxy, line: &RuleLine) -> Option<Vec<Action<Named>>> {
        Some(match &line.step {
            Step::Do(actions) => {
                let mut kept = Vec::new();
                for action in actions {
                    if let Some(name) = framing(action) {
                        let message = format!(
                            "`{name}` is left alone: it belongs to one connection, not to the request or response"
                        );
                        self.reader.warn(Code::WrongPhase, line.span, message);
                    } else {
                        kept.push(written(action));
                    }
                }
                if kept.is_empty() {
                    return None;
                }
                kept
            }
            Step::Backend(name) => {
                if !self.fitting(proxy, &name.value) {
                    return None;
                }
                vec![forward(name)]
            }
            Step::BackendByName(name) => vec![Action::ForwardByName {
                name: name.clone(),
                fallback: self.default_group(proxy).map(|name| name.map(Name::from)),
            }],
            Step::Tarpit(response) => vec![Action::Tarpit {
                delay: tarpit_delay(proxy),
                response: response.clone(),
            }],
            Step::Authorize(realm) => vec![Action::Authenticate {
                users: None,
                realm: realm.clone().unwrap_or_else(|| proxy.name.value.clone()),
            }],
            Step::ExpectProxy => vec![Action::ExpectProxy(ProxyHeader::Required)],
            Step::Persist => vec![Action::SetStickiness(match line.list {
                List::ForcePersist => StickinessUse::Force,
                _ => StickinessUse::Ignore,
            })],
            Step::Server(name) => vec![Action::UseTarget(name.clone())],
            Step::Pass => return None,
        })
    }

    /// Warns of rules that a proxy of this mode does not run.
    pub(super) fn warn_http_only(&mut self, proxy: &Proxy) {
        let http = [
            List::HttpRequest,
            List::Redirect,
            List::HttpResponse,
            List::AfterResponse,
        ];
        for line in proxy.rules.iter().filter(|line| http.contains(&line.list)) {
            let message = format!(
                "this `{}` rule is ignored: {} is not `mode http`",
                line.list.as_str(),
                proxy.words()
            );
            self.reader.warn(Code::WrongPhase, line.span, message);
            self.hold_tables(line);
        }
    }

    /// The tables of a rule that is not run: HAProxy refuses those that are not there.
    fn hold_tables(&mut self, line: &RuleLine) {
        let Step::Do(actions) = &line.step else {
            return;
        };
        for action in actions {
            let Action::Track { table, .. } = action else {
                continue;
            };
            let has_table = |proxy: &Proxy| {
                proxy.name.value == table.value.as_str() && proxy.stick_table.is_some()
            };
            if !self.proxies.iter().any(has_table) {
                let message = format!("there is no stick table `{}`", table.value);
                self.reader
                    .error(Code::UnknownReference, line.span, message);
            }
        }
    }
}

/// What options do before the rules of a request: compress the response, take odd headers away, wait for the body.
pub(super) fn before_requests(proxy: &Proxy) -> Vec<Rule<Named>> {
    let mut rules = Vec::new();
    if let Some((compression, span)) = proxy.compression.meaning() {
        let action = vec![Action::Compress(Arc::new(compression))];
        rules.push(rule(Phase::Request, always(), action, span));
    }
    if let Some(odd) = proxy.odd_names {
        let span = odd.span;
        let pattern = |text: &str| Spanned::new(text.to_owned(), span);
        match odd.value {
            OddNames::Preserve => {}
            OddNames::Delete => {
                let names = NamePattern::Regex(pattern("[^A-Za-z0-9-]"));
                let action = vec![Action::RemoveHeaders(names)];
                rules.push(rule(Phase::Request, always(), action, span));
            }
            OddNames::Reject => {
                let names = Value::HeaderNames {
                    of: Message::Request,
                    delimiter: ",".to_owned(),
                };
                let found = test(
                    names,
                    Matcher::Regex {
                        any_of: vec![pattern("[^A-Za-z0-9,-]")],
                    },
                    span,
                );
                let deny = vec![Action::Deny(FixedResponse::error(403))];
                rules.push(rule(Phase::Request, found, deny, span));
            }
        }
    }
    if let Some(span) = proxy.flags.on("http-buffer-request") {
        let wait = wait_for_body(proxy);
        rules.push(rule(Phase::Request, always(), vec![wait], span));
    }
    rules
}

/// Waits for the whole body, as long as for a head.
pub(super) fn wait_for_body(proxy: &Proxy) -> Action<Named> {
    let timeouts = &proxy.timeouts;
    let time = timeouts.http_request.or(timeouts.client);
    Action::WaitForBody {
        time: time
            .map_or(super::NO_LIMIT, |time| time.value)
            .max(Duration::from_millis(1)),
        at_least: 0,
    }
}

/// The header of an action that the engine alone writes.
fn framing(action: &Action<Named>) -> Option<&str> {
    let name = match action {
        Action::SetHeader { name, .. }
        | Action::AddHeader { name, .. }
        | Action::ReplaceHeader { name, .. } => name,
        Action::RemoveHeader { name } if name.eq_ignore_ascii_case("content-length") => name,
        _ => return None,
    };
    is_of_connection(name).then_some(name.as_str())
}

/// A second Host is never sent: adding one replaces it.
fn written(action: &Action<Named>) -> Action<Named> {
    match action {
        Action::AddHeader { name, value } if name.eq_ignore_ascii_case("host") => {
            Action::SetHeader {
                name: name.clone(),
                value: value.clone(),
            }
        }
        other => other.clone(),
    }
}

fn removes_host(line: &RuleLine) -> bool {
    let host = |action: &Action<Named>| matches!(action, Action::RemoveHeader { name } if name.eq_ignore_ascii_case("host"));
    line.list == List::HttpRequest
        && matches!(&line.step, Step::Do(actions) if actions.iter().any(host))
}

fn writes_host(line: &RuleLine) -> bool {
    let host = |action: &Action<Named>| match action {
        Action::SetHeader { name, .. } | Action::AddHeader { name, .. } => {
            name.eq_ignore_ascii_case("host")
        }
        _ => false,
    };
    matches!(&line.step, Step::Do(actions) if actions.iter().any(host))
}

/// How long a tarpit lasts: `timeout tarpit`, else `timeout connect`.
fn tarpit_delay(proxy: &Proxy) -> Duration {
    let timeouts = &proxy.timeouts;
    let given = timeouts.tarpit.or(timeouts.connect);
    given
        .map_or(super::NO_LIMIT, |given| given.value)
        .max(Duration::from_millis(1))
}

/// How rules behind an `allow` are kept from running.
enum Guard {
    /// The model's own `Accept` does it.
    Accept,
    /// The opposite of the conditions before.
    Opposite,
    /// A variable that `allow` sets.
    Variable(Variable),
}

impl Guard {
    fn of(lines: &[&RuleLine], proxy: &Proxy, list: List, phase: Phase, last: bool) -> Self {
        if last {
            return Guard::Accept;
        }
        let first = lines
            .iter()
            .position(|line| matches!(line.step, Step::Pass));
        let behind = lines.iter().skip(first.unwrap_or(lines.len()));
        match behind
            .filter(|line| !matches!(line.step, Step::Pass))
            .count()
        {
            0 | 1 => Guard::Opposite,
            _ => Guard::Variable(Variable {
                scope: match phase {
                    Phase::Response | Phase::AfterResponse => Scope::Response,
                    _ => Scope::Request,
                },
                name: Name::from(format!(
                    "passed.{}.{}",
                    proxy.name.value,
                    list.as_str().replace(' ', "-")
                )),
            }),
        }
    }

    /// Holds where none of the rules before let the request pass.
    fn not_passed(&self, passed: &[Condition<Named>], span: Span) -> Condition<Named> {
        let passed = match self {
            Guard::Variable(variable) => {
                test(Value::Variable(variable.clone()), Matcher::Present, span)
            }
            Guard::Accept | Guard::Opposite => match passed {
                [only] => only.clone(),
                several => Condition::Any(several.to_vec()),
            },
        };
        match passed {
            Condition::Not(inner) => *inner,
            other => Condition::Not(Box::new(other)),
        }
    }
}
