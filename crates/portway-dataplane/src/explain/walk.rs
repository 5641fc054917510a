//! The way of a connection and its request, as `accept`, `establish`, `l4`, `h1` and `serve` go it.

use super::choice::{self, Bound, Choice, Chosen};
use super::later;
use super::notes::{Notes, Place, target, values};
use super::{Answer, Ending, Question, Sent, Step, Tls, Told};
use crate::accept::seated;
use crate::answers::Answer as OwnAnswer;
use crate::connection::{Connection, TlsDetails};
use crate::exchange::{Answered, Arrival, Exchange, How};
use crate::fault::Fault;
use crate::group;
use crate::h1;
use crate::plane::{ListenerParts, Plane};
use crate::policy::{self, Decision, Side};
use crate::reply;
use crate::rules::{self, FirstBytes, Rules, Verdict};
use crate::serve::{self, List, Progress};
use crate::worker::Worker;
use portway_core::client_hello::Looked;
use portway_core::evaluate::Facts;
use portway_core::http1::{
    Parsed, Refusal, TargetForm, drop_default_port, parse_request, request_framing,
};
use portway_core::stick::Event;
use portway_model::action::{Phase, Rule};
use portway_model::snapshot::{GroupId, Listener, ListenerId};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Shard;
use rustls::server::Acceptor;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Listeners that a connection is handed over to at most: compile allows no circle.
const HAND_OVERS: usize = 64;

/// Goes the whole way. `None`: there is no such listener.
pub(super) fn walk(plane: Arc<Plane>, shard: Arc<Shard>, question: &Question) -> Option<Told> {
    plane.listener(question.listener)?;
    let worker = Rc::new(Worker::counted_by(shard, 0, plane));
    worker.credentials.compute_at_once();
    let ends = (question.peer, question.local);
    let mut walk = Walk {
        question,
        connection: seated(&worker, question.listener, question.socket_number, ends),
        is_secure: false,
        told: Told {
            listeners: vec![question.listener],
            certificate: None,
            steps: Vec::new(),
            later: Vec::new(),
            waits_for_answer: None,
            sent: None,
            end: Ending::Service,
        },
    };
    walk.told.end = walk.whole();
    Some(walk.told)
}

struct Walk<'q> {
    question: &'q Question,
    connection: Connection,
    /// TLS was terminated.
    is_secure: bool,
    told: Told,
}

/// Why a connection is closed on which no whole request comes.
const HEAD_LACKS: &str =
    "the client sends no whole head of a request: its timeout ends the connection";
/// No rule says where to.
const NO_RULE: &str = "no rule says where it goes";

impl Walk<'_> {
    fn whole(&mut self) -> Ending {
        let generation = Rc::clone(&self.connection.generation);
        let id = self.connection.listener;
        let Some((listener, _)) = generation.plane.listener(id) else {
            return closed(NO_RULE);
        };
        let verdict = self.rules(&listener.rules.connection, (None, Phase::Connection), None);
        let group = match verdict.0 {
            Verdict::Reject { silent } => return Ending::Closed { silent, why: None },
            Verdict::Forward(group) if !listener.protocol.is_http() => Some(group),
            _ => None,
        };
        self.at_listener(id, group)
    }

    /// What comes behind the connection phase, at a listener that it came to or was handed over to.
    fn at_listener(&mut self, id: ListenerId, group: Option<GroupId>) -> Ending {
        let generation = Rc::clone(&self.connection.generation);
        let Some((listener, parts)) = generation.plane.listener(id) else {
            return closed(NO_RULE);
        };
        if let Some(ending) = self.secure(listener, parts) {
            return ending;
        }
        let mut group = group;
        if !listener.rules.session.is_empty() {
            match self
                .rules(&listener.rules.session, (None, Phase::Session), None)
                .0
            {
                Verdict::Reject { silent } => return Ending::Closed { silent, why: None },
                Verdict::Forward(to) if !listener.protocol.is_http() => {
                    group = group.or(Some(to));
                }
                _ => {}
            }
        }
        self.connection.count(Event::Session);
        match listener.protocol.is_http() {
            true => self.http(None),
            false => self.stream(group),
        }
    }

    /// The TLS handshake, where the listener terminates TLS. What ends the way is given.
    fn secure(&mut self, listener: &Listener, parts: &ListenerParts) -> Option<Ending> {
        let configured = listener.tls.as_ref()?;
        let Some(tls) = &self.question.tls else {
            return (!configured.accept_clear).then(|| {
                closed("the listener speaks TLS, and this client does not begin with it")
            });
        };
        self.is_secure = true;
        let shown = parts.tls.as_ref().and_then(|terms| {
            let mut acceptor = Acceptor::default();
            acceptor.read_tls(&mut tls.hello.as_slice()).ok()?;
            let hello = acceptor.accept().ok()??;
            Some(terms.answer(&hello.client_hello()).certificate)
        });
        if let Some(None) = shown {
            return Some(closed("the listener has no certificate for this name"));
        }
        let shown = shown.flatten();
        self.told.certificate = shown
            .as_ref()
            .and_then(|it| Some(it.cert.first()?.as_ref().to_vec()));
        let alpn = configured.alpn.iter().any(|it| it == "http/1.1");
        self.connection.tls = Some(Rc::new(TlsDetails {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: tls.server_name.as_deref().map(Into::into),
            alpn: alpn.then(|| b"http/1.1"[..].into()),
            resumed: false,
            session_id: None,
            took: 0,
            certificate: None,
            shown,
            verdict: Default::default(),
        }));
        None
    }

    /// What the client sends first, as it is seen now.
    fn first(&self) -> &[u8] {
        match &self.question.tls {
            Some(Tls { hello, .. }) if !self.is_secure => hello,
            _ => &self.question.request,
        }
    }

    /// Runs rules on the connection: before all its bytes are there and, where one depends on them, with all of them.
    fn rules(
        &mut self,
        list: &[Rule<Resolved>],
        (group, phase): (Option<GroupId>, Phase),
        first: Option<&[u8]>,
    ) -> (Verdict, Option<(usize, Bound)>) {
        let begun = self.told.steps.len();
        let mut looked = Looked::Partial;
        if let Some(bytes) = first {
            FirstBytes::look(bytes, &mut looked);
        }
        for ended in [false, true] {
            self.told.steps.truncate(begun);
            let seen = first.map(|bytes| FirstBytes::new(bytes, &looked, ended));
            let mut rules = Rules::new(list);
            rules.group = group;
            let place = Place {
                listener: self.connection.listener,
                group,
                phase,
                rules: list,
            };
            let steps = &mut self.told.steps;
            let mut notes = Notes { place, steps };
            loop {
                match rules.step_told(&mut self.connection, seen.as_ref(), &mut notes) {
                    None => break,
                    Some(None) => {}
                    Some(Some(verdict)) => {
                        let by_rule = rules.target.map(|it| (it, Bound::Rule));
                        let by_table = rules.sticks.target.map(|it| (it, Bound::Table));
                        return (verdict, by_rule.or(by_table));
                    }
                }
            }
        }
        (Verdict::Undecided, None)
    }

    /// A TCP listener.
    fn stream(&mut self, group: Option<GroupId>) -> Ending {
        let generation = Rc::clone(&self.connection.generation);
        let first = self.first().to_vec();
        let group = match group {
            Some(group) => group,
            None => {
                let Some((listener, _)) = generation.plane.listener(self.connection.listener)
                else {
                    return closed(NO_RULE);
                };
                let list = &listener.rules.client_hello;
                match self.rules(list, (None, Phase::ClientHello), Some(&first)).0 {
                    Verdict::Forward(group) => group,
                    Verdict::Reject { silent } => return Ending::Closed { silent, why: None },
                    Verdict::Undecided => return closed(NO_RULE),
                    Verdict::HandOver(there) => {
                        if self.told.listeners.len() > HAND_OVERS {
                            return closed(NO_RULE);
                        }
                        self.connection.listener = there;
                        self.told.listeners.push(there);
                        return self.at_listener(there, None);
                    }
                }
            }
        };
        let Some((configured, _, _)) = generation.group(group) else {
            return closed(NO_RULE);
        };
        if configured.protocol.is_http() {
            return self.http(Some(group));
        }
        let list = &configured.rules.client_hello;
        let (verdict, bound) = self.rules(list, (Some(group), Phase::ClientHello), Some(&first));
        if let Verdict::Reject { silent } = verdict {
            return Ending::Closed { silent, why: None };
        }
        let mut looked = Looked::Partial;
        FirstBytes::look(&first, &mut looked);
        let seen = FirstBytes::new(&first, &looked, true);
        let source = self.connection.peer.ip().to_canonical();
        let key = group::key(
            configured,
            source,
            &rules::seen(&self.connection, Some(&seen)),
        );
        let choice = choice::choose(&self.connection, group, key, bound);
        match choice.chosen {
            Chosen::Nobody | Chosen::QueueFull => Ending::Closed {
                silent: false,
                why: Some("no target may take it"),
            },
            Chosen::Target(_) | Chosen::Waits(_) => {
                let target = match choice.chosen {
                    Chosen::Target(index) => Some(index),
                    _ => None,
                };
                let later = later::of_stream(&self.connection, (group, target));
                (self.told.later, self.told.waits_for_answer) = later;
                Ending::Target(choice)
            }
        }
    }

    /// A request of HTTP.
    fn http(&mut self, group: Option<GroupId>) -> Ending {
        let connection = &self.connection;
        let limits = connection.head_limits();
        let mut scratch = connection.worker.take_scratch();
        let mut arena = connection.worker.buffers.lease();
        let mut rest = self.question.request.as_slice();
        while !rest.is_empty() && arena.make_room(rest.len() + limits.head_bytes) {
            let room = arena.spare();
            let count = room.len().min(rest.len());
            let (now, later) = rest.split_at(count);
            if let Some(room) = room.get_mut(..count) {
                room.copy_from_slice(now);
            }
            arena.received(count);
            rest = later;
        }
        let arrival = Arrival {
            at: Instant::now(),
            head_took: Duration::ZERO,
        };
        let head = parse_request(arena.filled(), 0, &limits, &mut scratch.request);
        let (head_len, refused) = match head {
            Parsed::Complete { head_len } => (head_len, None),
            Parsed::Refused(refusal) => (0, Some(refusal)),
            // There is no more of it, or there is no room for it.
            Parsed::Partial if rest.is_empty() => return closed(HEAD_LACKS),
            Parsed::Partial => (0, Some(Refusal::HeadTooLarge)),
        };
        if refused.is_some() {
            scratch.request.clear();
        }
        let mut x = Exchange::open(connection, &mut scratch, (arena, head_len), arrival);
        // No record is written of it.
        x.ledger.logged = true;
        let told = &mut self.told;
        match refused.or_else(|| admitted(&mut x)) {
            Some(refusal) => refuse(&mut x, Fault::refused(refusal), Some(refusal.code())),
            None => by_rules(&mut x, group, told),
        }
    }
}

/// What comes before the rules; why it is no request.
fn admitted(x: &mut Exchange<'_>) -> Option<Refusal> {
    let connection = x.connection;
    if x.request().target_form() != TargetForm::Origin && connection.lenient_heads() {
        drop_default_port(&mut x.scratch.request, x.arena.filled_mut());
    }
    match request_framing(x.request(), x.arena()) {
        Ok(framing) if framing.upgrade && h1::lacks_key(x) => Some(Refusal::NoWebsocketKey),
        Ok(framing) => {
            x.framing = framing;
            let generation = Rc::clone(&connection.generation);
            if let Some((listener, _)) = generation.plane.listener(connection.listener) {
                h1::admit(x, listener);
            }
            None
        }
        Err(refusal) => Some(refusal),
    }
}

fn by_rules(x: &mut Exchange<'_>, group: Option<GroupId>, told: &mut Told) -> Ending {
    let listener = x.connection.listener;
    let mut progress = Progress::new(x, group);
    loop {
        let steps: &mut Vec<Step> = &mut told.steps;
        let decision = serve::decide_by(x, &mut progress, |x, asked, at| {
            let place = Place {
                listener,
                group: asked.group,
                phase: match asked.list {
                    List::First => Phase::ClientHello,
                    List::Request => Phase::Request,
                },
                rules: asked.rules,
            };
            let mut notes = Notes {
                place,
                steps: &mut *steps,
            };
            policy::resume_told(x, asked.rules, Side::Request, at, &mut notes)
        });
        return match decision {
            Decision::Forward(group) => forward(x, group, told),
            Decision::Answer(answer, how) => by_rule(x, &answer, how, None),
            Decision::Tarpit(delay, answer) => by_rule(x, &answer, How::Tarpit, Some(delay)),
            // All of the body that there is to be is there.
            // And another service lets it go on.
            Decision::WaitForBody(..) | Decision::WaitForPassword | Decision::Authorize(..) => {
                continue;
            }
            Decision::WaitForKeys(_) => refuse(x, Fault::no_keys("no_keys"), None),
            Decision::Service(_) => Ending::Service,
            Decision::Close(ending) => Ending::Closed {
                silent: ending == policy::Ending::Silent,
                why: None,
            },
            Decision::NoGroup => {
                refuse(x, Fault::no_group(), Some("there is no group of this name"))
            }
            Decision::Undecided => refuse(x, Fault::no_rule(), Some(NO_RULE)),
        };
    }
}

fn forward(x: &mut Exchange<'_>, group: GroupId, told: &mut Told) -> Ending {
    let generation = Rc::clone(&x.connection.generation);
    let Some((configured, _, _)) = generation.group(group) else {
        return refuse(x, Fault::no_target(), None);
    };
    let (used, remembered) = (x.kept.used, x.kept.sticks.target);
    serve::tell_id(x);
    let key = group::key(configured, x.client, &*x);
    let bound = serve::bound(x, group, configured).map(|target| {
        let by = match () {
            () if used.is_some() => Bound::Rule,
            () if x.kept.is_by_cookie() || remembered.is_none() => Bound::Cookie,
            () => Bound::Table,
        };
        (target, by)
    });
    told.sent = Some(Sent {
        method: x.method().unwrap_or_default().to_vec(),
        host: values("host", x).pop().unwrap_or_default(),
        target: target(x),
    });
    let choice = choice::choose(x.connection, group, key, bound);
    match choice.chosen {
        Chosen::Target(index) => match serve::redirected(x, configured, index) {
            Some(answer) => by_rule(x, &answer, How::Answer, None),
            None => {
                told.later = later::rules(x, group);
                Ending::Target(choice)
            }
        },
        Chosen::Waits(_) => {
            told.later = later::rules(x, group);
            Ending::Target(choice)
        }
        Chosen::QueueFull => without_target(x, Fault::queue_full(), choice),
        Chosen::Nobody => without_target(x, Fault::no_target(), choice),
    }
}

fn without_target(x: &mut Exchange<'_>, fault: Fault, choice: Choice) -> Ending {
    match refuse(x, fault, Some("no target may take it")) {
        Ending::Answer(answer) => Ending::Answer(Answer {
            choice: Some(choice),
            ..answer
        }),
        other => other,
    }
}

fn by_rule(x: &mut Exchange<'_>, answer: &OwnAnswer, how: How, after: Option<Duration>) -> Ending {
    let side = Side::Request;
    x.ledger.answered = Some(Answered { how, side });
    reply::forget_response(x);
    Ending::Answer(Answer {
        after,
        ..answered(x, answer, false)
    })
}

/// What is answered where something is wrong.
fn refuse(x: &mut Exchange<'_>, fault: Fault, why: Option<&'static str>) -> Ending {
    x.ledger.failed = true;
    reply::forget_response(x);
    match reply::to_fault(x, fault, x.head_len == 0) {
        Some((answer, close)) => Ending::Answer(Answer {
            why,
            ..answered(x, &answer, close)
        }),
        None => Ending::Closed { silent: false, why },
    }
}

fn answered(x: &mut Exchange<'_>, answer: &OwnAnswer, close: bool) -> Answer {
    let wire = match answer.silent {
        true => Vec::new(),
        false => reply::written(x, answer, answer.status, close).0,
    };
    Answer {
        wire,
        after: None,
        why: None,
        choice: None,
    }
}

fn closed(why: &'static str) -> Ending {
    Ending::Closed {
        silent: false,
        why: Some(why),
    }
}
