//! Rules on a connection, before any request is read: may it come in, and where does it go?
//!
//! Three phases use it: the connection as it was accepted, once its TLS is done, and what its client sends first. In
//! the last a rule may have to wait for bytes ([`Rules::run`] gives `None`), and goes on from there when more have
//! come.

use crate::connection::{Connection, TlsDetails};
use crate::facts::facts_of_connection;
use crate::group::Generation;
use crate::limits;
use crate::log_value::Subject;
use crate::peer_certificate;
use crate::policy::{Side, moved, prioritized};
use crate::record::Passed;
use crate::share::{self, Draw};
use crate::stick::{StickRule, Sticks};
use crate::track::{self};
use portway_core::client_hello::{Looked, look};
use portway_core::evaluate::{
    Facts, Fetched, Judged, TlsFacts, Whose, block_length, evaluate, fetch, holds, judge, settled,
    variable_value, write_template,
};
use portway_core::priority::Priority;
use portway_core::proxy_protocol::Parts;
use portway_core::server_hello::Answered;
use portway_core::stick::{Entry, Table};
use portway_model::action::{Action, End, Rule, Weighted};
use portway_model::expression::{
    CertificateField, GroupFigure, ListenerFigure, LogValue, TargetFigure, TimeoutOf, Value,
    Variable,
};
use portway_model::first_answer::AnswerPart;
use portway_model::settings::ProxyHeader;
use portway_model::snapshot::{GroupId, ListenerId, MapId, StickTableId};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Limit;
use std::borrow::Cow;
use std::net::IpAddr;

/// What rules say of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Goes to this group.
    Forward(GroupId),
    /// Goes on at this listener.
    HandOver(ListenerId),
    /// Closed; `silent`: without the client being told.
    Reject { silent: bool },
    /// No rule says.
    Undecided,
}

/// A run of the rules of one phase.
pub(crate) struct Rules<'r> {
    rules: &'r [Rule<Resolved>],
    /// The next rule.
    at: usize,
    /// Only rules that forward are still looked at.
    accepted: bool,
    /// What rules say of the header of the PROXY protocol.
    pub(crate) proxy: Option<ProxyHeader>,
    /// The group whose rules they are.
    pub(crate) group: Option<GroupId>,
    /// The target that a rule has chosen there.
    pub(crate) target: Option<usize>,
    /// What rules say by stick tables.
    pub(crate) sticks: Sticks,
    /// Rules whose limits have counted the connection: they may run again when more bytes have come.
    limited: Vec<usize>,
}

impl<'r> Rules<'r> {
    pub(crate) fn new(rules: &'r [Rule<Resolved>]) -> Self {
        Self {
            rules,
            at: 0,
            accepted: false,
            proxy: None,
            group: None,
            target: None,
            sticks: Sticks::default(),
            limited: Vec::new(),
        }
    }

    /// Goes on; `None`: the next rule depends on bytes that have not come. Not `None` without `first`.
    pub(crate) fn run(
        &mut self,
        connection: &mut Connection,
        first: Option<&FirstBytes<'_>>,
    ) -> Option<Verdict> {
        while let Some(rule) = self.rules.get(self.at) {
            let Some(applies) = self.applies(rule, connection, first) else {
                // As HAProxy does: what rules before this one said of fewer bytes, they say again of more.
                self.at = 0;
                return None;
            };
            if applies {
                for action in &rule.actions {
                    if self.accepted && !rule.still_does(action) {
                        continue;
                    }
                    if let Some(verdict) = self.perform(action, connection, first) {
                        return Some(verdict);
                    }
                }
                if first.is_some() && rule.actions.iter().any(|it| matches!(it, Action::Limit(_))) {
                    self.limited.push(self.at);
                }
            }
            self.at += 1;
        }
        Some(Verdict::Undecided)
    }

    /// Goes on by one rule, which is told; `None`: it depends on bytes that have not come. The inner `None`: it says
    /// nothing.
    pub(crate) fn step_told(
        &mut self,
        connection: &mut Connection,
        first: Option<&FirstBytes<'_>>,
        teller: &mut impl ConnectionTeller,
    ) -> Option<Option<Verdict>> {
        let Some(rule) = self.rules.get(self.at) else {
            return Some(Some(Verdict::Undecided));
        };
        self.applies(rule, connection, first)?;
        let (truth, reasons) = judge(&rule.condition, &seen(connection, first));
        let skipped = self.accepted && !rule.actions.iter().any(Action::forwards);
        teller.judged(self.at, truth, &reasons, skipped);
        drop(reasons);
        self.at += 1;
        if truth && !skipped {
            for action in &rule.actions {
                let verdict = match action {
                    _ if self.accepted && !rule.still_does(action) => None,
                    Action::Forward(groups) if groups.len() > 1 => {
                        teller.drawn(groups, None, &connection.generation)
                    }
                    Action::ForwardByHash { hash, groups } => {
                        let key = Draw::key(hash, &seen(connection, first));
                        teller.drawn(groups, key, &connection.generation)
                    }
                    _ => self.perform(action, connection, first),
                };
                teller.performed(action, &seen(connection, first));
                if verdict.is_some() {
                    return Some(verdict);
                }
            }
        }
        Some(None)
    }

    /// Whether the rule is to be followed; `None`: it cannot be said yet.
    fn applies(
        &self,
        rule: &Rule<Resolved>,
        connection: &Connection,
        first: Option<&FirstBytes<'_>>,
    ) -> Option<bool> {
        let seen = seen(connection, first);
        if self.accepted {
            // Nothing is waited for any more.
            let forwards = rule.actions.iter().any(Action::forwards);
            return Some(forwards && holds(&rule.condition, &seen));
        }
        settled(&rule.condition, &seen)
    }

    /// Performs one action; gives a verdict where it ends the phase.
    fn perform(
        &mut self,
        action: &Action<Resolved>,
        connection: &mut Connection,
        first: Option<&FirstBytes<'_>>,
    ) -> Option<Verdict> {
        match action {
            Action::Forward(groups) => {
                let turn = Draw::Chance(connection.worker.turn());
                let group = share::draw(&connection.generation, groups, turn);
                return Some(group.map_or(Verdict::Reject { silent: false }, Verdict::Forward));
            }
            Action::ForwardByHash { hash, groups } => {
                let worker = &connection.worker;
                let draw = Draw::of(hash, &seen(connection, first), || worker.turn());
                let group = share::draw(&connection.generation, groups, draw);
                return Some(group.map_or(Verdict::Reject { silent: false }, Verdict::Forward));
            }
            Action::HandOver(listener) => return Some(Verdict::HandOver(*listener)),
            Action::Reject { silent } => return Some(Verdict::Reject { silent: *silent }),
            Action::Accept => self.accepted = true,
            Action::ExpectProxy(header) => self.proxy = Some(*header),
            Action::ForwardByName { name, fallback } => {
                let mut named = Vec::new();
                write_template(name, &seen(connection, first), &mut named);
                let group = connection.generation.plane.group_named(&named);
                let group = group.or(*fallback);
                return Some(group.map_or(Verdict::Reject { silent: false }, Verdict::Forward));
            }
            Action::SetVariable { variable, value } => {
                let value = variable_value(value, &seen(connection, first));
                if value.is_present() {
                    set_variable(connection, variable, value);
                }
            }
            Action::UnsetVariable(variable) => {
                set_variable(connection, variable, Fetched::Absent);
            }
            Action::Capture {
                value,
                length,
                slot: Some(slot),
            } => {
                let mut bytes = Vec::new();
                evaluate(value, &seen(connection, first)).write(&mut bytes);
                connection.keep_capture(*slot, &bytes, *length);
            }
            Action::SetEnd { end, to } => {
                let value = evaluate(to, &seen(connection, first)).into_owned();
                let Connection { peer, local, .. } = connection;
                moved(*end, &value, peer, local);
            }
            Action::SetPriority { part, to } => {
                let value = evaluate(to, &seen(connection, first)).into_owned();
                connection.set_priority(prioritized(connection.priority(), *part, &value));
            }
            Action::Track { slot, key, table } => {
                let key = evaluate(key, &seen(connection, first)).into_owned();
                connection.track(*slot, *table, &key);
            }
            Action::Limit(limit) if !self.limited.contains(&self.at) => {
                let key = limits::key_on_connection(limit, &seen(connection, first));
                if !limits::put_on_connection(connection, limit, &key) {
                    return Some(Verdict::Reject { silent: false });
                }
            }
            Action::UseTarget(name) => {
                if let (Some(group), None) = (self.group, self.target) {
                    let mut named = Vec::new();
                    write_template(name, &seen(connection, first), &mut named);
                    let generation = &connection.generation;
                    self.target = generation.target_named(group, &named, false);
                }
            }
            Action::Stick { to, key, table } => {
                let (to, table, side) = (*to, *table, Side::Request);
                let rule = StickRule { to, table, side };
                if let Some(group) = self.group.filter(|_| self.sticks.asks(rule)) {
                    let seen = seen(connection, first);
                    let key = evaluate(key, &seen);
                    let of = (&*connection.generation, group);
                    self.sticks.follow(rule, &key, of, false);
                }
            }
            Action::Increment { slot, counter } => {
                if let Some(held) = seen(connection, first).tracked(*slot) {
                    track::raise(held, *counter);
                }
            }
            Action::SetMark { slot, mark, to } => {
                let seen = seen(connection, first);
                if let Some(held) = seen.tracked(*slot) {
                    track::set_mark(held, *mark, &evaluate(to, &seen));
                }
            }
            // Compile allows no other in these phases, or `support` refuses it.
            _ => {}
        }
        None
    }
}

/// Sets a variable, of an exchange too: a connection that passes bytes on is one.
pub(crate) fn set_variable(
    connection: &Connection,
    variable: &Variable,
    value: Fetched<'static>,
) -> bool {
    let has_room = connection.set_variable(variable, value);
    if !has_room {
        let metrics = connection.shard().worker();
        metrics.limit_reached(Limit::Variables);
    }
    has_room
}

/// Whoever is told what rules on a connection do.
pub(crate) trait ConnectionTeller {
    /// The rule at this place was asked. `skipped`: it holds, but a rule before it lets only those run that forward.
    fn judged(&mut self, index: usize, truth: bool, reasons: &[Judged<'_>], skipped: bool);

    /// One of these is drawn by weight, or is the one that a key leads to.
    fn drawn(
        &mut self,
        groups: &[Weighted<Resolved>],
        key: Option<u64>,
        generation: &Generation,
    ) -> Option<Verdict>;

    /// An action was performed.
    fn performed(&mut self, action: &Action<Resolved>, facts: &impl Facts);
}

/// What a client has sent first, as rules see it.
#[derive(Debug)]
pub(crate) struct FirstBytes<'b> {
    bytes: &'b [u8],
    looked: &'b Looked,
    /// Nothing more is waited for.
    ended: bool,
}

impl<'b> FirstBytes<'b> {
    /// `looked` is what [`FirstBytes::look`] gave for these bytes.
    pub(crate) fn new(bytes: &'b [u8], looked: &'b Looked, ended: bool) -> Self {
        Self {
            bytes,
            looked,
            ended,
        }
    }

    /// Looks at the bytes again, unless it is settled what they are.
    pub(crate) fn look(bytes: &[u8], looked: &mut Looked) {
        if !looked.is_settled() {
            *looked = look(bytes);
        }
    }
}

/// What is known of a connection, and of what its client has sent first.
pub(crate) fn seen<'c>(
    connection: &'c Connection,
    first: Option<&'c FirstBytes<'c>>,
) -> impl Facts + 'c {
    Seen {
        connection,
        first,
        answer: None,
        passed: None,
    }
}

/// What a target of a stream has sent first, as rules see it.
#[derive(Debug)]
pub(crate) struct FirstAnswer<'b> {
    pub(crate) bytes: &'b [u8],
    pub(crate) looked: &'b Answered,
    /// Nothing more is waited for.
    pub(crate) ended: bool,
}

/// What is known of a TCP connection once its target has sent something, or should have.
pub(crate) fn answered<'c>(
    connection: &'c Connection,
    passed: &'c Passed,
    answer: &'c FirstAnswer<'c>,
) -> impl Facts + 'c {
    Seen {
        connection,
        first: None,
        answer: Some(answer),
        passed: Some(passed),
    }
}

/// What is known of a TCP connection at its end.
pub(crate) fn ended<'c>(connection: &'c Connection, passed: &'c Passed) -> impl Facts + 'c {
    Seen {
        connection,
        first: None,
        answer: None,
        passed: Some(passed),
    }
}

/// What rules see of a connection.
struct Seen<'c> {
    connection: &'c Connection,
    first: Option<&'c FirstBytes<'c>>,
    answer: Option<&'c FirstAnswer<'c>>,
    passed: Option<&'c Passed>,
}

impl Seen<'_> {
    /// More bytes may bring the block that this value is.
    fn block_is_to_come(
        &self,
        value: &Value<Resolved>,
        bytes: &[u8],
        length_at: u32,
        length_bytes: u8,
    ) -> bool {
        let is_empty = block_length(Some(bytes), length_at, length_bytes) == Some(0);
        !is_empty && !fetch(value, self).is_present()
    }

    fn target_details(&self) -> Option<&TlsDetails> {
        self.passed?.upstream_tls.as_deref()
    }
}

impl Facts for Seen<'_> {
    facts_of_connection!();

    fn group_name(&self) -> Option<&str> {
        let (group, ..) = Subject::Connection(self.connection, self.passed?).group()?;
        Some(group.name.as_str())
    }

    fn target_name(&self) -> Option<&str> {
        let (group, _, target) = Subject::Connection(self.connection, self.passed?).group()?;
        Some(group.targets.get(target?)?.name.as_str())
    }

    fn log(&self, value: LogValue) -> Fetched<'_> {
        let passed = self.passed;
        passed.map_or(Fetched::Absent, |passed| {
            Subject::Connection(self.connection, passed).fetch(value)
        })
    }

    fn write_log(&self, value: LogValue, out: &mut Vec<u8>) {
        if let Some(passed) = self.passed {
            Subject::Connection(self.connection, passed).write(value, out);
        }
    }

    fn source(&self) -> Option<IpAddr> {
        Some(self.connection.peer.ip().to_canonical()).filter(|ip| !ip.is_unspecified())
    }

    fn source_port(&self) -> Option<u16> {
        self.connection.source_port()
    }

    fn destination(&self) -> Option<IpAddr> {
        self.connection.destination()
    }

    fn destination_port(&self) -> Option<u16> {
        self.connection.destination_port()
    }

    fn accepted(&self, end: End) -> Fetched<'_> {
        self.connection.accepted(end)
    }

    fn is_local(&self, address: IpAddr) -> Option<bool> {
        Some(crate::sys::is_local(address))
    }

    fn priority(&self) -> Priority {
        self.connection.priority()
    }

    fn timeout(&self, of: TimeoutOf) -> Option<u64> {
        let time = (of == TimeoutOf::Client).then(|| self.connection.client_timeout());
        u64::try_from(time?.as_millis()).ok()
    }

    fn variable(&self, variable: &Variable) -> Fetched<'_> {
        self.connection.variable(variable)
    }

    fn keep_variable(&self, variable: &Variable, value: Fetched<'static>) -> bool {
        set_variable(self.connection, variable, value)
    }

    fn capture(&self, slot: u16) -> Option<&[u8]> {
        self.connection.capture(slot)
    }

    fn tracked(&self, slot: u8) -> Option<(&Table, &Entry)> {
        self.connection.tracked()?.get(slot)
    }

    fn payload(&self) -> Option<&[u8]> {
        self.first.map(|first| first.bytes)
    }

    fn wait_ended(&self) -> bool {
        match self.answer {
            Some(answer) => answer.ended,
            None => self.first.is_none_or(|first| first.ended),
        }
    }

    fn may_change(&self, value: &Value<Resolved>) -> bool {
        if let Some(answer) = self.answer {
            return !answer.ended
                && match value {
                    Value::WaitEnded
                    | Value::OfAnswer(AnswerPart::Length | AnswerPart::Bytes { length: 0, .. }) => {
                        true
                    }
                    Value::OfAnswer(AnswerPart::Block {
                        length_at,
                        length_bytes,
                        ..
                    }) => self.block_is_to_come(value, answer.bytes, *length_at, *length_bytes),
                    Value::OfAnswer(AnswerPart::Bytes { .. }) => !fetch(value, self).is_present(),
                    Value::OfAnswer(_) => !answer.looked.is_settled(),
                    _ => false,
                };
        }
        let Some(first) = self.first.filter(|first| !first.ended) else {
            return false;
        };
        match value {
            Value::PayloadLength
            | Value::IsHttp
            | Value::WaitEnded
            | Value::Payload { length: 0, .. } => true,
            Value::Payload { .. } => !fetch(value, self).is_present(),
            Value::PayloadBlock {
                length_at,
                length_bytes,
                ..
            } => self.block_is_to_come(value, first.bytes, *length_at, *length_bytes),
            Value::HelloType
            | Value::HelloSni
            | Value::HelloAlpn
            | Value::HelloVersion
            | Value::HelloSessionId
            | Value::HelloExtension(_) => !first.looked.is_settled(),
            _ => false,
        }
    }

    fn answer(&self) -> Option<&[u8]> {
        self.answer.map(|answer| answer.bytes)
    }

    fn answer_hello_type(&self) -> Option<u8> {
        self.answer?.looked.handshake_type()
    }

    fn answer_session_id(&self) -> Option<&[u8]> {
        self.answer?.looked.session_id()
    }

    fn hello_type(&self) -> Option<u8> {
        self.first?.looked.handshake_type()
    }

    fn hello_sni(&self) -> Option<&[u8]> {
        self.first?.looked.hello()?.server_name.as_deref()
    }

    fn hello_alpn(&self) -> Option<Cow<'_, [u8]>> {
        let alpn = self.first?.looked.hello()?.alpn.as_deref();
        alpn.map(Cow::Borrowed)
    }

    fn hello_version(&self) -> Option<u32> {
        let [major, minor] = self.first?.looked.hello()?.version.to_be_bytes();
        Some(u32::from(major) << 16 | u32::from(minor))
    }

    fn hello_session_id(&self) -> Option<&[u8]> {
        self.first?.looked.hello()?.session_id.given()
    }

    fn hello_extension(&self, number: u16) -> Option<bool> {
        let hello = self.first?.looked.hello()?;
        Some(hello.extensions.contains(&number))
    }
}
