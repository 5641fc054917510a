//! Takes down which rules were asked, and what they did.

use super::{CircuitTold, Done, Reason, Step};
use crate::cors;
use crate::digest;
use crate::exchange::Exchange;
use crate::group::Generation;
use crate::jwt::{self, Found};
use crate::policy::{self, Decision, Side, Teller};
use crate::rules::{ConnectionTeller, Verdict};
use crate::share::{self, Draw};
use crate::wants;
use portway_core::breaker::State;
use portway_core::evaluate::{self, Facts, Fetched, Judged};
use portway_model::action::{Action, Phase, Rule, Weighted};
use portway_model::circuit::CircuitBreaker;
use portway_model::expression::{Expression, Message, Value};
use portway_model::limit::Limit;
use portway_model::snapshot::{GroupId, ListenerId};
use portway_model::span::Origin;
use portway_model::stage::Resolved;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// The list of rules that is being asked.
#[derive(Clone, Copy)]
pub(super) struct Place<'r> {
    pub(super) listener: ListenerId,
    pub(super) group: Option<GroupId>,
    pub(super) phase: Phase,
    pub(super) rules: &'r [Rule<Resolved>],
}

/// What is taken down of one list.
pub(super) struct Notes<'r, 's> {
    pub(super) place: Place<'r>,
    pub(super) steps: &'s mut Vec<Step>,
}

impl Notes<'_, '_> {
    fn judged(&mut self, index: usize, holds: bool, reasons: &[Judged<'_>], skipped: bool) {
        let origin = self.place.rules.get(index).map(|rule| rule.origin);
        self.steps.push(Step {
            group: self.place.group,
            listener: self.place.listener,
            phase: self.place.phase,
            index,
            origin: origin.unwrap_or(Origin(portway_model::span::Span::NONE)),
            holds,
            skipped: holds && skipped,
            reasons: reasons.iter().map(Reason::of).collect(),
            done: Vec::new(),
        });
    }

    fn add(&mut self, done: Done) {
        if let Some(step) = self.steps.last_mut() {
            step.done.push(done);
        }
    }

    /// The group that a key leads to, or the one with the largest share, which is gone on with in place of chance.
    fn drawn(
        &mut self,
        groups: &[Weighted<Resolved>],
        key: Option<u64>,
        generation: &Generation,
    ) -> Option<GroupId> {
        let able: Vec<_> = share::able(generation, groups).collect();
        let heaviest = able
            .iter()
            .reduce(|one, other| match other.weight > one.weight {
                true => other,
                false => one,
            });
        let taken = match key {
            Some(key) => share::draw(generation, groups, Draw::Key(key)),
            None => heaviest.map(|it| it.group),
        };
        let others = groups
            .iter()
            .filter(|it| it.weight > 0 && !able.iter().any(|able| std::ptr::eq(*able, *it)));
        self.add(Done::Drawn {
            among: able.iter().map(|it| (it.group, it.weight)).collect(),
            others: others
                .map(|it| (it.group, generation.ability(it.group)))
                .collect(),
            by_hash: key.is_some(),
            taken,
        });
        taken
    }
}

impl Teller for Notes<'_, '_> {
    fn judged(&mut self, index: usize, truth: bool, reasons: &[Judged<'_>], skipped: bool) {
        Notes::judged(self, index, truth, reasons, skipped);
    }

    fn perform(
        &mut self,
        x: &mut Exchange<'_>,
        action: &Action<Resolved>,
        side: Side,
        origin: Origin,
    ) -> Option<Decision> {
        if let Action::Forward(groups) = action
            && groups.len() > 1
        {
            let taken = self.drawn(groups, None, &x.connection.generation);
            return Some(taken.map_or(Decision::Undecided, Decision::Forward));
        }
        if let Action::ForwardByHash { hash, groups } = action {
            let key = Draw::key(hash, &*x);
            let taken = self.drawn(groups, key, &x.connection.generation);
            return Some(taken.map_or(Decision::Undecided, Decision::Forward));
        }
        found(action, &*x).into_iter().for_each(|it| self.add(it));
        if let Action::Limit(Limit::Circuit(settings)) = action {
            let told = circuit(x, settings);
            let answers = told.as_ref().is_none_or(CircuitTold::answers);
            told.into_iter()
                .for_each(|it| self.add(Done::Circuit(Box::new(it))));
            return answers
                .then(|| policy::perform(x, action, side, origin))
                .flatten();
        }
        if let Action::Mirror(mirror) = action {
            self.add(Done::Mirrored(mirror.group, mirror.percent));
            return None;
        }
        if let Action::DigestAuth(digest) = action
            && let Some(said) = digest::judge(x, digest)
        {
            digest::pass(x, digest, &said);
            self.add(Done::Passes);
            return None;
        }
        if let Action::Jwt(jwt) = action
            && let Found::Later(_) | Found::Unknown = jwt::judge(x, jwt, origin)
        {
            self.add(Done::TokenUnjudged);
            return None;
        }
        let before = Before::of(x);
        let key = key_of(action, &*x);
        let decision = policy::perform(x, action, side, origin);
        let done = match (action, &decision) {
            (Action::ForwardByName { .. } | Action::Forward(_), Some(Decision::Forward(group))) => {
                Done::Forwarded(*group)
            }
            (Action::UseTarget(name), _) => Done::Named {
                name: written(|out| evaluate::write_template(name, &*x, out)),
                target: x.kept.used,
            },
            (Action::Stick { table, .. }, _) => Done::Stuck {
                table: *table,
                key,
                target: x.kept.sticks.target,
            },
            (Action::Track { table, .. }, _) => Done::Tracked { table: *table, key },
            (Action::TraceContext(_), _) => {
                let sampled = x.scratch.trace.as_ref().is_some_and(|it| it.is_sampled());
                Done::Traced(sampled)
            }
            (Action::Cors(cors), None) => Done::ToldOrigin(cors::told(x, cors)),
            (Action::WaitForBody { .. }, _) => Done::Waits,
            (Action::Authorize(asked), _) => Done::Asks(asked.group),
            (Action::Limit(_) | Action::Authenticate { .. } | Action::Jwt(_), None) => Done::Passes,
            _ => {
                let changes = before.changes(action, &*x);
                let quiet = changes.is_empty() && decision.is_none();
                changes.into_iter().for_each(|it| self.add(it));
                if quiet {
                    self.add(known(action, &*x).unwrap_or(Done::Quiet));
                }
                return decision;
            }
        };
        self.add(done);
        decision
    }
}

impl ConnectionTeller for Notes<'_, '_> {
    fn judged(&mut self, index: usize, truth: bool, reasons: &[Judged<'_>], skipped: bool) {
        Notes::judged(self, index, truth, reasons, skipped);
    }

    fn drawn(
        &mut self,
        groups: &[Weighted<Resolved>],
        key: Option<u64>,
        generation: &Generation,
    ) -> Option<Verdict> {
        let taken = Notes::drawn(self, groups, key, generation);
        Some(taken.map_or(Verdict::Reject { silent: false }, Verdict::Forward))
    }

    fn performed(&mut self, action: &Action<Resolved>, facts: &impl Facts) {
        found(action, facts).into_iter().for_each(|it| self.add(it));
        let key = key_of(action, facts);
        let done = match action {
            Action::Forward(groups) => match groups.as_slice() {
                [only] => Done::Forwarded(only.group),
                _ => return,
            },
            Action::HandOver(listener) => Done::HandedOver(*listener),
            Action::Track { table, .. } => Done::Tracked { table: *table, key },
            Action::Stick { table, .. } => Done::Stuck {
                table: *table,
                key,
                target: None,
            },
            Action::UseTarget(name) => Done::Named {
                name: written(|out| evaluate::write_template(name, facts, out)),
                target: None,
            },
            Action::Reject { .. }
            | Action::Accept
            | Action::ForwardByHash { .. }
            | Action::ForwardByName { .. } => return,
            other => known(other, facts).unwrap_or(Done::Quiet),
        };
        self.add(done);
    }
}

/// What regular expressions found, of which an action says something; each once.
pub(super) fn found(action: &Action<Resolved>, facts: &impl Facts) -> Vec<Done> {
    let mut all: Vec<Done> = Vec::new();
    wants::of_action(action, &mut |value| {
        let Value::Matched(matched) = value else {
            return;
        };
        let fetched = evaluate::fetch(value, facts);
        let done = Done::Found {
            matched: matched.clone(),
            value: fetched.into_text().map(|it| it.into_owned()),
        };
        if !all.contains(&done) {
            all.push(done);
        }
    });
    all
}

/// A circuit breaker as it is now.
fn circuit(x: &Exchange<'_>, settings: &CircuitBreaker) -> Option<CircuitTold> {
    let plane = &x.connection.generation.plane;
    let circuit = plane.circuits.get(&settings.name)?;
    let (state, now) = (circuit.state(), Instant::now());
    let left = match state {
        State::Closed => None,
        State::Open { until } => Some(until.saturating_duration_since(now)),
        State::Recovering { since } => {
            let gone: Duration = now.saturating_duration_since(since);
            Some(settings.recover_over.saturating_sub(gone))
        }
    };
    Some(CircuitTold {
        settings: settings.clone(),
        state,
        left,
        percent: circuit.percent(),
    })
}

/// What is known of a request before an action.
struct Before {
    target: Vec<u8>,
    method: Vec<u8>,
    names: Vec<Vec<u8>>,
}

impl Before {
    fn of(x: &Exchange<'_>) -> Self {
        Self {
            target: target(x),
            method: x.method().unwrap_or_default().to_vec(),
            names: names(x),
        }
    }

    /// What is otherwise now.
    fn changes(self, action: &Action<Resolved>, x: &Exchange<'_>) -> Vec<Done> {
        let mut changes = Vec::new();
        let now = target(x);
        if now != self.target {
            let from = self.target;
            changes.push(Done::Target { from, to: now });
        }
        let method = x.method().unwrap_or_default();
        if method != self.method {
            changes.push(Done::Method(method.to_vec()));
        }
        let named = match action {
            Action::SetHeader { name, .. }
            | Action::AddHeader { name, .. }
            | Action::ReplaceHeader { name, .. }
            | Action::RemoveHeader { name } => Some(name),
            _ => None,
        };
        if let Some(name) = named {
            let values = values(name, x);
            let was = self
                .names
                .iter()
                .any(|it| it.eq_ignore_ascii_case(name.as_bytes()));
            if was || !values.is_empty() {
                let name = name.clone();
                changes.push(Done::Header { name, values });
            }
            return changes;
        }
        let now = names(x);
        let is_gone = |name: &Vec<u8>| !now.contains(name);
        let gone = self.names.into_iter().filter(is_gone);
        let gone: Vec<String> = gone
            .map(|it| String::from_utf8_lossy(&it).into_owned())
            .collect();
        if !gone.is_empty() {
            changes.push(Done::Gone(gone));
        }
        changes
    }
}

/// What actions leave that change neither a message nor where it goes.
fn known(action: &Action<Resolved>, facts: &impl Facts) -> Option<Done> {
    match action {
        Action::SetVariable { variable, .. } | Action::UnsetVariable(variable) => {
            let value = facts.variable(variable).into_text();
            Some(Done::Variable {
                variable: variable.clone(),
                value: value.map(|it| it.into_owned()),
            })
        }
        Action::SetEnd { end, .. } => {
            let to = match end {
                portway_model::action::End::Source => facts.source().into(),
                portway_model::action::End::SourcePort => facts.source_port().into(),
                portway_model::action::End::Destination => facts.destination().into(),
                portway_model::action::End::DestinationPort => facts.destination_port().into(),
            };
            Some(Done::End {
                end: *end,
                to: text(&to),
            })
        }
        Action::Capture {
            slot: Some(slot), ..
        } => facts.capture(*slot).map(|it| Done::Captured(it.to_vec())),
        Action::PutEntry { .. } | Action::RemoveEntry { .. } => Some(Done::MapChange),
        _ => None,
    }
}

/// The key of the entry that an action asks a stick table for.
fn key_of(action: &Action<Resolved>, facts: &impl Facts) -> Option<Vec<u8>> {
    let key: &Expression<Resolved> = match action {
        Action::Track { key, .. } | Action::Stick { key, .. } => key,
        _ => return None,
    };
    let key = evaluate::evaluate(key, facts);
    key.is_present().then(|| text(&key))
}

fn text(value: &Fetched<'_>) -> Vec<u8> {
    written(|out| value.write(out))
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

pub(super) fn target(x: &Exchange<'_>) -> Vec<u8> {
    let mut target = x.path().unwrap_or_default().to_vec();
    if let Some(query) = x.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    target
}

pub(super) fn values(name: &str, x: &Exchange<'_>) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    x.header(name, &mut |value| {
        values.push(value.to_vec());
        ControlFlow::Continue(())
    });
    values
}

/// The names of the headers of the request, each once.
fn names(x: &Exchange<'_>) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    x.fields(Message::Request, &mut |name, _| {
        if !names.iter().any(|it| it == name) {
            names.push(name.to_vec());
        }
        ControlFlow::Continue(())
    });
    names
}
