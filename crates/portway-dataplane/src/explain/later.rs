//! Rules on the response, before there is one: which of them hold whatever the target answers, which do not, and which
//! depend on that.
//!
//! What a rule does is not known beforehand; that it runs may be. A value is taken to be known where it is the request's, the
//! connection's or the configuration's. All else may be another once the response is there: what the target says, counters,
//! the time, chance, and variables that these rules set themselves.

use super::{Done, Later, Reason, notes};
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::record::Passed;
use crate::rules::{FirstAnswer, answered};
use portway_core::evaluate::{self, Facts};
use portway_core::server_hello::Answered;
use portway_model::action::{Action, Phase, Rule};
use portway_model::expression::{
    Condition, Expression, Given, Message, Operand, Scope, Secret, Test, Transform, Value, Variable,
};
use portway_model::snapshot::{GroupId, ListenerId};
use portway_model::span::Spanned;
use portway_model::stage::Resolved;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Rules of a group or, without one, of the listener, in one phase.
type List<'r> = (Option<GroupId>, Phase, &'r [Rule<Resolved>]);

/// All rules on the response of a group, in the order in which they run: the group's and then the listener's, in either phase.
pub(super) fn rules(x: &Exchange<'_>, group: GroupId) -> Vec<Later> {
    let generation = Rc::clone(&x.connection.generation);
    let id = x.connection.listener;
    let of_group = generation.group(group).map(|(it, _, _)| &it.rules);
    let of_listener = generation.plane.listener(id).map(|(it, _)| &it.rules);
    let lists: Vec<List<'_>> = [Phase::Response, Phase::AfterResponse]
        .into_iter()
        .flat_map(|phase| {
            [
                of_group.map(|it| (Some(group), phase, it.of(phase))),
                of_listener.map(|it| (None, phase, it.of(phase))),
            ]
        })
        .flatten()
        .collect();
    told(&lists, id, x)
}

/// The rules of a group on what the target of a stream sends first, and how long that is waited for where one depends on it.
pub(super) fn of_stream(
    connection: &Connection,
    (group, target): (GroupId, Option<usize>),
) -> (Vec<Later>, Option<Duration>) {
    let Some((configured, _, _)) = connection.generation.group(group) else {
        return (Vec::new(), None);
    };
    let passed = Passed {
        group: Some(group),
        target,
        ..Passed::new(Instant::now())
    };
    let nothing = FirstAnswer {
        bytes: &[],
        looked: &Answered::Partial,
        ended: false,
    };
    let list = (
        Some(group),
        Phase::Response,
        configured.rules.response.as_slice(),
    );
    let facts = answered(connection, &passed, &nothing);
    let all = told(&[list], connection.listener, &facts);
    let is_open = |it: &Later| it.truth.is_none() && !it.skipped;
    let waits = all.iter().any(is_open);
    (all, waits.then_some(configured.timeouts.inspect_response))
}

/// What is known of these rules, in the order in which they run.
fn told(lists: &[List<'_>], listener: ListenerId, facts: &impl Facts) -> Vec<Later> {
    let changed = Changed::by(lists.iter().flat_map(|(_, _, rules)| rules.iter()));
    let mut all = Vec::new();
    // A phase that ends for certain, and a list of it in which the rest is left out.
    let mut ended = None;
    for (of, phase, list) in lists {
        let mut accepted = false;
        for (index, rule) in list.iter().enumerate() {
            let judged = judge(&rule.condition, facts, &changed);
            let skipped = accepted || ended == Some(*phase);
            let runs = judged.truth == Some(true) && !skipped;
            if runs {
                accepted = rule.actions.iter().any(|it| matches!(it, Action::Accept));
                let ends = |it: &Action<Resolved>| it.ends_phase() && !matches!(it, Action::Accept);
                if rule.actions.iter().any(ends) {
                    ended = Some(*phase);
                }
            }
            let actions = rule.actions.iter().filter(|_| runs);
            all.push(Later {
                group: *of,
                listener,
                phase: *phase,
                index,
                origin: rule.origin,
                truth: judged.truth,
                skipped,
                reasons: judged.reasons,
                open: judged.open,
                found: actions
                    .flat_map(|action| notes::found(action, facts))
                    .filter(|it| changed.leaves_found(it))
                    .collect(),
            });
        }
    }
    all
}

/// What the rules themselves change before others of them look at it.
struct Changed {
    variables: Vec<Variable>,
    /// The ends of the connection.
    ends: bool,
}

impl Changed {
    fn by<'r>(rules: impl Iterator<Item = &'r Rule<Resolved>>) -> Self {
        let mut changed = Self {
            variables: Vec::new(),
            ends: false,
        };
        for action in rules.flat_map(|it| &it.actions) {
            match action {
                Action::SetVariable { variable, .. } | Action::UnsetVariable(variable) => {
                    changed.variables.push(variable.clone());
                }
                Action::SetEnd { .. } => changed.ends = true,
                _ => {}
            }
        }
        changed
    }

    /// True where an expression gives then what it gives now.
    fn leaves(&self, expression: &Expression<Resolved>) -> bool {
        let Expression { value, transforms } = expression;
        transforms.iter().all(|it| self.leaves_transform(it))
            && match value {
                Value::Source | Value::SourcePort | Value::Destination | Value::DestinationPort => {
                    !self.ends
                }
                Value::Variable(variable) => self.leaves_variable(variable),
                Value::Matched(matched) => {
                    let within = matched.within.as_ref();
                    within.is_some_and(|within| self.leaves(&within.expression))
                }
                Value::WithSource(of) => !self.ends && self.leaves(of),
                other => is_known(other),
            }
    }

    /// True where what was found now is what is found then.
    fn leaves_found(&self, found: &Done) -> bool {
        let Done::Found { matched, .. } = found else {
            return false;
        };
        let within = matched.within.as_ref();
        within.is_some_and(|within| self.leaves(&within.expression))
    }

    fn leaves_transform(&self, transform: &Transform<Resolved>) -> bool {
        match transform {
            Transform::Compare(variable)
            | Transform::SameSecret(variable)
            | Transform::Calculate(_, Operand::Variable(variable)) => {
                self.leaves_variable(variable)
            }
            Transform::Append(append) | Transform::Join(append) => {
                let variable = append.variable.as_ref();
                variable.is_none_or(|it| self.leaves_variable(it))
            }
            Transform::Hmac {
                key: Secret::Variable(variable),
                ..
            } => self.leaves_variable(variable),
            Transform::JwtVerify(verify) => {
                let mut given = [&verify.algorithm, &verify.key].into_iter();
                given.all(|it| match it {
                    Given::Text(_) => true,
                    Given::Variable(variable) => self.leaves_variable(variable),
                })
            }
            Transform::SetVariable { .. } | Transform::UnsetVariable(_) => false,
            _ => true,
        }
    }

    fn leaves_variable(&self, variable: &Variable) -> bool {
        matches!(variable.scope, Scope::Connection | Scope::Exchange)
            && !self.variables.contains(variable)
    }
}

/// True for what the request, the connection and the configuration say, and nobody changes any more.
fn is_known(value: &Value<Resolved>) -> bool {
    match value {
        Value::Text(_)
        | Value::Address(_)
        | Value::Number(_)
        | Value::Boolean(_)
        | Value::ListenerName
        | Value::Accepted(_)
        | Value::Tls
        | Value::TlsVersion
        | Value::TlsCipher
        | Value::TlsCipherOpenssl
        | Value::TlsKeyBits
        | Value::Sni
        | Value::Alpn
        | Value::ClientCertificate(_)
        | Value::ShownCertificate(_)
        | Value::Method
        | Value::Scheme
        | Value::HttpVersion
        | Value::Host
        | Value::Path
        | Value::Query
        | Value::QueryParameter(_)
        | Value::Target
        | Value::Url
        | Value::Base
        | Value::HostPath
        | Value::ReceivedMethod
        | Value::ReceivedTarget
        | Value::Header(_)
        | Value::Cookie(_)
        | Value::Argument { .. }
        | Value::BasicUser
        | Value::BasicPassword
        | Value::AuthorizationScheme
        | Value::Bearer(_)
        | Value::Capture(_)
        | Value::Authenticated(_)
        | Value::AuthenticatedUser(_)
        | Value::InUserGroup { .. }
        | Value::Hostname
        | Value::Environment(_) => true,
        Value::HeaderPart { of, .. }
        | Value::HeaderCount { of, .. }
        | Value::HeaderNames { of, .. }
        | Value::CookieCount { of, .. }
        | Value::AnyCookie(of) => *of == Message::Request,
        _ => false,
    }
}

/// What is known of a condition.
struct Judged {
    /// `None`: it depends on the response.
    truth: Option<bool>,
    /// The tests that say so.
    reasons: Vec<Reason>,
    /// The tests on which it depends.
    open: Vec<Spanned<Test<Resolved>>>,
}

fn judge(condition: &Condition<Resolved>, facts: &impl Facts, changed: &Changed) -> Judged {
    match condition {
        Condition::All(parts) => of_parts(parts, true, facts, changed),
        Condition::Any(parts) => of_parts(parts, false, facts, changed),
        Condition::Not(part) => {
            let judged = judge(part, facts, changed);
            let truth = judged.truth.map(|it| !it);
            Judged { truth, ..judged }
        }
        Condition::Test(test) if changed.leaves(&test.value.expression) => {
            let (truth, reasons) = evaluate::judge(condition, facts);
            Judged {
                truth: Some(truth),
                reasons: reasons.iter().map(Reason::of).collect(),
                open: Vec::new(),
            }
        }
        Condition::Test(test) => Judged {
            truth: None,
            reasons: Vec::new(),
            open: vec![test.clone()],
        },
    }
}

/// One part that is not `wanted` decides, also behind one that depends.
fn of_parts(
    parts: &[Condition<Resolved>],
    wanted: bool,
    facts: &impl Facts,
    changed: &Changed,
) -> Judged {
    let mut all = Judged {
        truth: Some(wanted),
        reasons: Vec::new(),
        open: Vec::new(),
    };
    for part in parts {
        let judged = judge(part, facts, changed);
        match judged.truth {
            Some(truth) if truth != wanted => return judged,
            Some(_) => all.reasons.extend(judged.reasons),
            None => {
                all.truth = None;
                all.open.extend(judged.open);
            }
        }
    }
    all
}
