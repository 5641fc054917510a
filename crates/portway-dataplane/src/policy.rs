//! Runs rules on an exchange and says where it goes.
//!
//! Decides nothing of its own: conditions are judged by `portway_core::evaluate`, the order of rules by the
//! listener's index. What a rule changes is seen by the rules after it.

use crate::answers::{self, Answer, Body, CONNECTION_CLOSE};
use crate::body::{LOOKED_AT_BODY, Patience};
use crate::buffer::Buffer;
use crate::compress;
use crate::cors;
use crate::digest;
use crate::exchange::{Exchange, How, Scratch};
use crate::jwt;
use crate::keys::KeySet;
use crate::limits;
use crate::mirror;
use crate::pages;
use crate::record::LogWish;
use crate::request_line;
use crate::service::Asked;
use crate::share::{self, Draw};
use crate::stick::StickRule;
use crate::trace;
use crate::track;
use portway_core::evaluate::rewrite::{header_fits, replace_elements, replace_header_value};
use portway_core::evaluate::{
    self, Facts, Fetched, Judged, variable_value, write_header_value, write_location,
    write_replacement, write_template,
};
use portway_core::http1::{BodyLength, Known, write_field};
use portway_core::priority::Priority;
use portway_core::route::Router;
use portway_core::stick::Event;
use portway_model::action::{
    Action, AnswerBody, End, FixedResponse, NamePattern, NewTimeout, Rule, TimeoutKind,
};
use portway_model::authorize::Authorize;
use portway_model::choice::{StickTo, StickinessUse};
use portway_model::expression::{
    Expression, PriorityPart, Scope, Template, TemplatePart, Value, Variable,
};
use portway_model::settings::OwnAnswers;
use portway_model::snapshot::{GroupId, StickTableId};
use portway_model::span::{Origin, Spanned};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Limit;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Which side's head rules work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The request, on its way to the target.
    Request,
    /// The response, on its way to the client.
    Response,
}

/// Where an exchange goes.
#[derive(Debug)]
pub(crate) enum Decision {
    /// To this group.
    Forward(GroupId),
    /// Answered by us.
    Answer(Answer, How),
    /// Answered by us after a while.
    Tarpit(Duration, Answer),
    /// Decided once the body is here: not later than this, with so many bytes of it; at most so many are read.
    WaitForBody(Patience, u32, usize),
    /// Decided once it is known whether the password is right.
    WaitForPassword,
    /// Decided once there are keys; `None`: there are none.
    WaitForKeys(Option<Arc<KeySet>>),
    /// Decided once another service has said that it may go on, for this rule.
    Authorize(Arc<Authorize<Resolved>>, Origin),
    /// Answered by control.
    Service(Box<Asked>),
    /// The connection is closed without an answer.
    Close(Ending),
    /// A rule names a group that there is not.
    NoGroup,
    /// No rule says.
    Undecided,
}

impl Decision {
    /// True where the same rules are asked again later.
    pub(crate) fn waits(&self) -> bool {
        matches!(
            self,
            Decision::WaitForBody(..)
                | Decision::WaitForPassword
                | Decision::WaitForKeys(_)
                | Decision::Authorize(..)
        )
    }
}

/// How a rule closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client is told.
    Told,
    /// The client is left waiting.
    Silent,
}

/// How far the rules of a list have run.
#[derive(Debug, Default)]
pub(crate) struct Position {
    /// The next rule that is asked.
    rule: usize,
    /// Of the rule before it: the next action that is done. 0: none is left.
    action: usize,
    /// Only rules that forward are left.
    accepted: bool,
    /// The place of the rule that chose the target, from 1; 0: none has.
    pub(crate) chose: usize,
}

impl Position {
    /// The place of the rule that was asked last, from 1; 0: none was.
    pub(crate) fn asked(&self) -> usize {
        self.rule
    }
}

/// Runs the rules of one list until one ends the phase.
pub(crate) fn run(
    x: &mut Exchange<'_>,
    rules: &[Rule<Resolved>],
    router: Option<&Router>,
    side: Side,
) -> Decision {
    resume(x, rules, router, side, &mut Position::default())
}

/// Runs rules from where a wait stopped them.
pub(crate) fn resume(
    x: &mut Exchange<'_>,
    rules: &[Rule<Resolved>],
    router: Option<&Router>,
    side: Side,
    at: &mut Position,
) -> Decision {
    if at.action > 0 {
        let stopped = at.rule.checked_sub(1).and_then(|rule| rules.get(rule));
        if let Some(decision) = stopped.and_then(|rule| actions(x, rule, side, at, perform)) {
            return decision;
        }
    }
    loop {
        let from = at.rule;
        let next = match router {
            Some(router) => router.next_match(rules, &*x, from),
            None => rules
                .iter()
                .enumerate()
                .skip(from)
                .find(|(_, rule)| evaluate::holds(&rule.condition, &*x))
                .map(|(index, _)| index),
        };
        if side == Side::Request && x.scratch.checks.asked() {
            return Decision::WaitForPassword;
        }
        let Some((index, rule)) = next.and_then(|index| Some((index, rules.get(index)?))) else {
            return Decision::Undecided;
        };
        (at.rule, at.action) = (index + 1, 0);
        if let Some(decision) = actions(x, rule, side, at, perform) {
            return decision;
        }
    }
}

/// Whoever is told what rules do.
pub(crate) trait Teller {
    /// The rule at this place was asked. `skipped`: it holds, but a rule before it lets only those run that forward.
    fn judged(&mut self, index: usize, truth: bool, reasons: &[Judged<'_>], skipped: bool);

    /// Performs an action of the rule that was asked last, and looks what it does.
    fn perform(
        &mut self,
        x: &mut Exchange<'_>,
        action: &Action<Resolved>,
        side: Side,
        origin: Origin,
    ) -> Option<Decision>;
}

/// As [`resume`] without an index, each step told.
pub(crate) fn resume_told(
    x: &mut Exchange<'_>,
    rules: &[Rule<Resolved>],
    side: Side,
    at: &mut Position,
    teller: &mut impl Teller,
) -> Decision {
    if at.action > 0 {
        let stopped = at.rule.checked_sub(1).and_then(|rule| rules.get(rule));
        let told = |x: &mut Exchange<'_>, action: &_, side, origin| {
            teller.perform(x, action, side, origin)
        };
        if let Some(decision) = stopped.and_then(|rule| actions(x, rule, side, at, told)) {
            return decision;
        }
    }
    while let Some(rule) = rules.get(at.rule) {
        let (truth, reasons) = evaluate::judge(&rule.condition, &*x);
        let skipped = at.accepted && !rule.actions.iter().any(Action::forwards);
        teller.judged(at.rule, truth, &reasons, skipped);
        (at.rule, at.action) = (at.rule + 1, 0);
        if !truth {
            continue;
        }
        let told = |x: &mut Exchange<'_>, action: &_, side, origin| {
            teller.perform(x, action, side, origin)
        };
        if let Some(decision) = actions(x, rule, side, at, told) {
            return decision;
        }
    }
    Decision::Undecided
}

/// Does what a rule says, from the action at which it was stopped.
fn actions(
    x: &mut Exchange<'_>,
    rule: &Rule<Resolved>,
    side: Side,
    at: &mut Position,
    mut perform: impl FnMut(&mut Exchange<'_>, &Action<Resolved>, Side, Origin) -> Option<Decision>,
) -> Option<Decision> {
    let from = std::mem::take(&mut at.action);
    for (index, action) in rule.actions.iter().enumerate().skip(from) {
        if at.accepted && !rule.still_does(action) {
            continue;
        }
        if matches!(action, Action::Accept) {
            at.accepted = true;
            x.ledger.last_rule = rule.origin;
            break;
        }
        let used = x.kept.used;
        let decision = perform(x, action, side, rule.origin);
        if matches!(action, Action::UseTarget(_)) && used != x.kept.used {
            at.chose = at.rule;
        }
        if let Some(decision) = decision {
            if matches!(
                decision,
                Decision::WaitForPassword | Decision::WaitForKeys(_)
            ) {
                // The action once more, or the rule, if it is its first.
                at.rule -= usize::from(index == 0);
                at.action = index;
                return Some(decision);
            }
            at.action = index + 1;
            let waits = matches!(
                decision,
                Decision::WaitForBody(..) | Decision::Authorize(..)
            );
            if !action.forwards() && !waits {
                x.ledger.last_rule = rule.origin;
            }
            return Some(decision);
        }
    }
    None
}

/// Runs the rules that see every response, also ours: the group's, then the listener's. They only change fields and
/// status; true where one closes the connection.
pub(crate) fn after_response(x: &mut Exchange<'_>) -> bool {
    let generation = Rc::clone(&x.connection.generation);
    let group = x.attempt.group.and_then(|group| generation.group(group));
    let listener = generation.plane.listener(x.connection.listener);
    let lists = [
        group.map(|(group, _, _)| group.rules.after_response.as_slice()),
        listener.map(|(listener, _)| listener.rules.after_response.as_slice()),
    ];
    let mut closes = false;
    for rules in lists
        .into_iter()
        .flatten()
        .filter(|rules| !rules.is_empty())
    {
        x.scratch.variables.end_request();
        let decision = run(x, rules, None, Side::Response);
        closes |= matches!(decision, Decision::Close(_));
    }
    closes
}

/// True where some rule sees every response.
pub(crate) fn looks_at_every_response(x: &Exchange<'_>) -> bool {
    let generation = &x.connection.generation;
    let group = x.attempt.group.and_then(|group| generation.group(group));
    let listener = generation.plane.listener(x.connection.listener);
    group.is_some_and(|(group, _, _)| !group.rules.after_response.is_empty())
        || listener.is_some_and(|(listener, _)| !listener.rules.after_response.is_empty())
}

/// Performs one action; gives a decision where it ends the phase.
pub(crate) fn perform(
    x: &mut Exchange<'_>,
    action: &Action<Resolved>,
    side: Side,
    origin: Origin,
) -> Option<Decision> {
    match action {
        Action::Forward(_)
        | Action::ForwardByHash { .. }
        | Action::ForwardByName { .. }
        | Action::Redirect { .. }
        | Action::Respond(_)
        | Action::Deny(_)
        | Action::Tarpit { .. }
        | Action::WaitForBody { .. }
        | Action::Limit(_)
        | Action::Authenticate { .. }
        | Action::Authorize(_)
        | Action::Jwt(_)
        | Action::Service(_)
        | Action::Reject { .. } => return end(x, action, origin),
        Action::DigestAuth(digest) => return digest::ask(x, digest),
        Action::Mirror(mirror) => return mirror::say(x, mirror),
        Action::TraceContext(sampled) => trace::take_part(x, *sampled),
        Action::PageFrom(cases) => pages::say(x, cases),
        Action::Cors(allowed) => return cors::take_part(x, allowed),
        Action::SecurityHeaders(headers) => cors::secure(x, headers, side),
        Action::Compress(compression) => compress::apply(x, compression),
        Action::SetLog(level) => {
            x.ledger.log = level.map_or(LogWish::Silent, LogWish::Level);
        }
        Action::SetMethod(method) => request_line::set_method(x, method),
        Action::Normalize(form) => {
            if !request_line::normalize_target(x, *form) {
                let answer = answers::own(x, 400, "");
                return Some(Decision::Answer(answer, How::Denial));
            }
        }
        Action::SetEnd { end, to } => set_end(x, *end, to),
        Action::SetStickiness(how) => x.kept.how = Some(*how),
        Action::UseTarget(name) => use_target(x, name),
        Action::Stick { to, key, table } => stick(x, (*to, *table), key, side),
        Action::SetStatus { .. }
        | Action::SetVariable { .. }
        | Action::UnsetVariable(_)
        | Action::PutEntry { .. }
        | Action::RemoveEntry { .. }
        | Action::Capture { .. }
        | Action::SetPriority { .. }
        | Action::DisableL7Retry
        | Action::SetTimeout { .. } => note(x, action, side),
        Action::Track { .. } | Action::Increment { .. } | Action::SetMark { .. } => {
            count(x, action);
        }
        Action::SetHeader { .. }
        | Action::AddHeader { .. }
        | Action::RemoveHeader { .. }
        | Action::RemoveHeaders(_)
        | Action::ReplaceHeader { .. } => edit_fields(x, action, side),
        Action::SetPath(_)
        | Action::ReplacePath { .. }
        | Action::ReplaceTarget { .. }
        | Action::ReplaceUrl { .. }
        | Action::StripPrefix(_)
        | Action::AddPrefix(_)
        | Action::SetArgument { .. }
        | Action::RemoveArgument(_)
        | Action::SetQuery(_)
        | Action::SetTarget(_)
        | Action::SetUrl(_) => request_line::edit_target(x, action),
        // Seen by `run`, done when the connection came, or refused by `support` before a plane is made.
        Action::Accept | Action::ExpectProxy(_) | Action::HandOver(_) => {}
    }
    None
}

/// Performs an action that may end the phase.
fn end(x: &mut Exchange<'_>, action: &Action<Resolved>, origin: Origin) -> Option<Decision> {
    match action {
        Action::Forward(groups) => {
            let turn = Draw::Chance(x.connection.worker.turn());
            let group = share::draw(&x.connection.generation, groups, turn);
            return Some(group.map_or(Decision::Undecided, Decision::Forward));
        }
        Action::ForwardByHash { hash, groups } => {
            let draw = Draw::of(hash, &*x, || x.connection.worker.turn());
            let group = share::draw(&x.connection.generation, groups, draw);
            return Some(group.map_or(Decision::Undecided, Decision::Forward));
        }
        Action::ForwardByName { name, fallback } => {
            let mut named = Vec::new();
            write_template(name, &*x, &mut named);
            let group = x.connection.generation.plane.group_named(&named);
            let group = group.or(*fallback);
            return Some(group.map_or(Decision::NoGroup, Decision::Forward));
        }
        Action::Redirect { location, status } => {
            return Some(Decision::Answer(
                redirect(x, location, *status),
                How::Answer,
            ));
        }
        Action::Respond(response) => {
            return Some(Decision::Answer(fixed(x, response, origin), How::Answer));
        }
        Action::Deny(response) => {
            return Some(Decision::Answer(fixed(x, response, origin), How::Denial));
        }
        Action::Tarpit { delay, response } => {
            return Some(Decision::Tarpit(*delay, fixed(x, response, origin)));
        }
        Action::WaitForBody { time, at_least } => {
            let patience = Patience::of(*time);
            return Some(Decision::WaitForBody(patience, *at_least, LOOKED_AT_BODY));
        }
        Action::Limit(limit) => {
            let how = match limit {
                portway_model::limit::Limit::Circuit(_) => How::Answer,
                _ => How::Denial,
            };
            return limits::put(x, limit).map(|answer| Decision::Answer(answer, how));
        }
        Action::Authenticate { users, realm } => {
            let passes = users.is_some_and(|users| x.authenticated(users) == Some(true));
            if !passes && x.scratch.checks.asked() {
                return Some(Decision::WaitForPassword);
            }
            if !passes {
                let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
                let asked = answers::unauthorized(x, &format!("Basic realm=\"{realm}\""));
                return Some(Decision::Answer(asked, How::Challenge));
            }
        }
        Action::Jwt(jwt) => return jwt::ask(x, jwt, origin),
        Action::Authorize(asked) => {
            return Some(Decision::Authorize(Arc::clone(asked), origin));
        }
        Action::Service(service) if Asked::applies(service, x) => {
            return Some(Decision::Service(Box::new(Asked::of(service, x))));
        }
        Action::Reject { silent } => {
            return Some(Decision::Close(match silent {
                true => Ending::Silent,
                false => Ending::Told,
            }));
        }
        _ => {}
    }
    None
}

/// Actions that change what is known of the exchange, and no message's fields.
fn note(x: &mut Exchange<'_>, action: &Action<Resolved>, side: Side) {
    match action {
        Action::SetStatus { status, reason } => {
            x.response_status = Some(*status);
            x.scratch.reason.clear();
            let reason = reason.as_deref().unwrap_or_default();
            x.scratch.reason.extend_from_slice(reason.as_bytes());
        }
        Action::SetVariable { variable, value } => {
            let value = variable_value(value, &*x);
            if value.is_present() {
                set_variable(x, variable, value);
            }
        }
        Action::UnsetVariable(variable) => set_variable(x, variable, Fetched::Absent),
        Action::PutEntry { map, key, value } => {
            let key = written(key, &*x);
            let value = value.as_ref().map(|value| written(value, &*x));
            let sets = &x.connection.generation.plane.map_sets;
            if let Some(set) = sets.get(map.index()) {
                set.put(&key, value.as_deref());
            }
        }
        Action::RemoveEntry { map, key } => {
            let key = written(key, &*x);
            let sets = &x.connection.generation.plane.map_sets;
            if let Some(set) = sets.get(map.index()) {
                set.remove(&key);
            }
        }
        Action::Capture {
            value,
            length,
            slot: Some(slot),
        } => {
            let mut bytes = Vec::new();
            let found = evaluate::evaluate(value, &*x);
            if found.is_present() {
                found.write(&mut bytes);
                x.scratch.captures.keep(side, *slot, &bytes, *length);
            }
        }
        Action::DisableL7Retry => x.scratch.body_limits.once = true,
        Action::SetPriority { part, to } => {
            let value = evaluate::evaluate(to, &*x);
            x.scratch.priority = Some(prioritized(x.priority(), *part, &value));
        }
        Action::SetTimeout { which, to } => {
            let time = match to {
                NewTimeout::Fixed(time) => Some(*time),
                NewTimeout::Milliseconds(number) => milliseconds(x, number),
            };
            let timeouts = &mut x.scratch.timeouts;
            let timeout = match which {
                TimeoutKind::Response => &mut timeouts.response,
                TimeoutKind::Tunnel => &mut timeouts.tunnel,
                TimeoutKind::Attempt => &mut timeouts.attempt,
                TimeoutKind::Total => &mut timeouts.total,
            };
            *timeout = time.or(*timeout);
        }
        _ => {}
    }
}

/// The target of this name serves, unless it may not take traffic or another one was named before.
fn use_target(x: &mut Exchange<'_>, template: &Template<Resolved>) {
    let (Some(group), None) = (x.attempt.group, x.kept.used) else {
        return;
    };
    let mut name = Vec::new();
    write_template(template, &*x, &mut name);
    let forced = x.kept.how == Some(StickinessUse::Force);
    let generation = &x.connection.generation;
    x.kept.used = generation.target_named(group, &name, forced);
    x.kept.direct = x.kept.used.is_some();
}

/// Looks whom an entry of a stick table remembers, and notes that it is to remember whoever serves.
fn stick(
    x: &mut Exchange<'_>,
    (to, table): (StickTo, StickTableId),
    key: &Expression<Resolved>,
    side: Side,
) {
    let rule = StickRule { to, table, side };
    let Some(group) = x.attempt.group.filter(|_| x.kept.sticks.asks(rule)) else {
        return;
    };
    let key = evaluate::evaluate(key, &*x).into_owned();
    let keeps = x.kept.how == Some(StickinessUse::Force);
    let generation = &x.connection.generation;
    let sticks = &mut x.kept.sticks;
    sticks.follow(rule, &key, (generation, group), keeps);
    if let (Side::Response, Some(target)) = (side, x.attempt.target) {
        sticks.remember(generation, group, target);
    }
}

/// What rules say of the ends of a client's connection, for this exchange.
fn set_end(x: &mut Exchange<'_>, end: End, to: &Expression<Resolved>) {
    let value = evaluate::evaluate(to, &*x);
    let (mut source, mut destination) = (x.source_end(), x.destination_end());
    moved(end, &value, &mut source, &mut destination);
    x.client = source.ip().to_canonical();
    x.moved = Some(Box::new((source, destination)));
}

/// A priority with another part; what is no number leaves it as it is.
pub(crate) fn prioritized(before: Priority, part: PriorityPart, to: &Fetched<'_>) -> Priority {
    match (part, to.number()) {
        (_, None) => before,
        (PriorityPart::Class, Some(class)) => before.with_class(class),
        (PriorityPart::Offset, Some(milliseconds)) => before.with_offset(milliseconds),
    }
}

/// Changes one half of one end.
pub(crate) fn moved(
    end: End,
    value: &Fetched<'_>,
    source: &mut SocketAddr,
    destination: &mut SocketAddr,
) {
    let port = || u16::try_from(value.number()?).ok();
    let (half, ip, port) = match end {
        End::Source => (source, value.address(), None),
        End::Destination => (destination, value.address(), None),
        End::SourcePort => (source, None, port()),
        End::DestinationPort => (destination, None, port()),
    };
    half.set_ip(ip.unwrap_or(half.ip()));
    half.set_port(port.unwrap_or(half.port()));
}

/// Actions on entries of stick tables.
fn count(x: &mut Exchange<'_>, action: &Action<Resolved>) {
    match action {
        Action::Track { slot, key, table } => {
            let table = x.connection.generation.plane.tables.get(table.index());
            // What the connection tracks in the slot is tracked already.
            let (None, Some(table)) = (x.tracked(*slot), table) else {
                return;
            };
            let table = Arc::clone(table);
            let key = evaluate::evaluate(key, &*x).into_owned();
            if x.scratch.tracked.track(*slot, &table, &key)
                && let Some((table, entry)) = x.scratch.tracked.get(*slot)
            {
                table.count(entry, Event::Request, 1, track::now());
            }
        }
        Action::Increment { slot, counter } => {
            if let Some(held) = x.tracked(*slot) {
                track::raise(held, *counter);
            }
        }
        Action::SetMark { slot, mark, to } => {
            if let Some(held) = x.tracked(*slot) {
                track::set_mark(held, *mark, &evaluate::evaluate(to, &*x));
            }
        }
        _ => {}
    }
}

/// What a template says.
fn written(template: &Template<Resolved>, x: &Exchange<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_template(template, x, &mut out);
    out
}

fn milliseconds(x: &Exchange<'_>, number: &Expression<Resolved>) -> Option<Duration> {
    let number = evaluate::evaluate(number, x).number()?;
    let number = u64::try_from(number).ok().filter(|number| *number > 0)?;
    // As long as compile allows: HAProxy's longest timeout.
    Some(Duration::from_millis(number.min(i32::MAX as u64)))
}

fn set_variable(x: &mut Exchange<'_>, variable: &Variable, value: Fetched<'static>) {
    if !x.scratch.variables.live(variable.scope) {
        return;
    }
    let has_room = match variable.scope {
        Scope::Process | Scope::Connection => x.connection.set_variable(variable, value),
        Scope::Exchange | Scope::Request | Scope::Response | Scope::Check => {
            x.scratch.variables.set(variable, value)
        }
    };
    if !has_room {
        crate::record::limit_reached(x, Limit::Variables);
    }
}

/// Sends the client to the same path and query behind this prefix; HAProxy closes the connection then.
pub(crate) fn redirect_to(x: &Exchange<'_>, prefix: &str) -> Answer {
    let expression = Expression::from(Value::Target);
    let location = Template(vec![
        TemplatePart::Text(prefix.to_owned()),
        TemplatePart::Expression(Spanned::bare(expression)),
    ]);
    let mut answer = redirect(x, &location, 302);
    if x.connection.own_answers() == OwnAnswers::Haproxy {
        answer.close = true;
        answer.hop_bytes = CONNECTION_CLOSE.len();
    }
    answer
}

fn redirect(x: &Exchange<'_>, location: &Template<Resolved>, status: u16) -> Answer {
    let mut answer = Answer {
        status,
        ..Answer::default()
    };
    answer.fields.extend_from_slice(b"Location: ");
    write_location(location, x, &mut answer.fields);
    answer.fields.extend_from_slice(b"\r\n");
    if x.connection.own_answers() == OwnAnswers::Haproxy {
        as_redirect_of_haproxy(x, &mut answer);
    }
    answer
}

/// HAProxy says where a redirect is not meant to last, and counts as closed a connection with a body still to be read.
fn as_redirect_of_haproxy(x: &Exchange<'_>, answer: &mut Answer) {
    if matches!(answer.status, 302 | 303 | 307) {
        write_field(&mut answer.fields, b"Cache-Control", b"no-cache");
    }
    if !matches!(x.framing.body, BodyLength::None | BodyLength::Length(0)) {
        answer.hop_bytes = CONNECTION_CLOSE.len();
    }
}

fn fixed(x: &Exchange<'_>, response: &FixedResponse<Resolved>, origin: Origin) -> Answer {
    let source = origin.0.file;
    let mut answer = Answer {
        status: response.status,
        ..Answer::default()
    };
    match &response.body {
        AnswerBody::Text(text) => {
            let mut body = Vec::new();
            write_template(text, x, &mut body);
            answer.body = Body::Made(body);
        }
        AnswerBody::File(name) => answer.body = answers::file(x, source, name),
        AnswerBody::ErrorPage => answer = answers::own(x, response.status, ""),
        AnswerBody::ErrorPageFile(name) => {
            answer = answers::page(x, source, name, response.status).unwrap_or(answer);
        }
    }
    if let Some(content_type) = &response.content_type {
        write_field(&mut answer.fields, b"Content-Type", content_type.as_bytes());
    }
    answers::write_headers(x, &response.headers, &mut answer.fields);
    answer
}

fn edit_fields(x: &mut Exchange<'_>, action: &Action<Resolved>, side: Side) {
    // Taken out so that the value can be computed from the exchange as it is now.
    let mut value = std::mem::take(&mut x.scratch.head);
    value.clear();
    match action {
        Action::SetHeader {
            name,
            value: template,
        }
        | Action::AddHeader {
            name,
            value: template,
        } => {
            write_header_value(template, &*x, &mut value);
            let edits = edits(x, side);
            if matches!(action, Action::SetHeader { .. }) {
                edits.remove(name.as_bytes());
            }
            edits.add(name.as_bytes(), |out| out.extend_from_slice(&value));
        }
        Action::RemoveHeader { name } => edits(x, side).remove(name.as_bytes()),
        Action::RemoveHeaders(names) => remove_headers(x, names, side),
        Action::ReplaceHeader {
            name,
            pattern,
            with,
            elements,
        } => {
            write_replacement(with, &*x, &mut value);
            let replace = |old: &[u8]| match elements {
                true => replace_elements(pattern, &value, old),
                false => replace_header_value(pattern, &value, old).into_owned(),
            };
            let mut values: Vec<Vec<u8>> = Vec::new();
            let mut visit = |old: &[u8]| {
                values.push(replace(old));
                ControlFlow::Continue(())
            };
            match side {
                Side::Request => x.header(name, &mut visit),
                Side::Response => x.response_header(name, &mut visit),
            }
            let edits = edits(x, side);
            edits.remove(name.as_bytes());
            for new in &values {
                edits.add(name.as_bytes(), |out| out.extend_from_slice(new));
            }
        }
        _ => {}
    }
    x.scratch.head = value;
}

/// Removes every field whose name fits, but for those without which a message is not understood.
fn remove_headers(x: &mut Exchange<'_>, names: &NamePattern<Resolved>, side: Side) {
    let Scratch {
        request,
        response,
        request_edits,
        response_edits,
        ..
    } = &mut *x.scratch;
    let fits = |name: &[u8], value: &[u8]| {
        let needed = matches!(Known::of(name), Known::Host | Known::ContentLength);
        !needed && header_fits(names, name, value)
    };
    match side {
        Side::Request => request_edits.remove_where(request.fields(), x.arena.filled(), fits),
        Side::Response => {
            let arena = x.response.as_ref().map(Buffer::filled);
            response_edits.remove_where(response.fields(), arena.unwrap_or_default(), fits);
        }
    }
}

fn edits<'a>(x: &'a mut Exchange<'_>, side: Side) -> &'a mut crate::fields::FieldEdits {
    match side {
        Side::Request => &mut x.scratch.request_edits,
        Side::Response => &mut x.scratch.response_edits,
    }
}
