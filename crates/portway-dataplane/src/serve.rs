//! The story of an exchange: which rule takes it, which target serves it, what is tried again, what is answered.
//!
//! ```text
//! rules ─▶ answer of our own ───────────────────────────────────────────▶ reply
//!   └────▶ group ─▶ group's rules ─▶ target ─▶ connect ─▶ forward ─▶ done
//!                                      ▲                     │ fault
//!                                      └── may be retried ───┤
//!                                                            └─▶ reply
//! ```

use crate::answers::Answer;
use crate::attempt::{self, Attempt};
use crate::authorize::{self, Verdict};
use crate::body;
use crate::connect::{self, Upstream, Wanted};
use crate::credentials;
use crate::deadline;
use crate::exchange::{Exchange, How};
use crate::fault::Fault;
use crate::forward;
use crate::group::{self, Fate};
use crate::jwt;
use crate::mirror;
use crate::pages;
use crate::policy::{self, Decision, Ending, Position, Side};
use crate::reply;
use crate::reserve::{self, Ask, Reserved};
use crate::retries::{Attempts, Repeatable};
use crate::service;
use crate::source;
use crate::statistics;
use crate::sticky;
use crate::stream::Stream;
use crate::tarpit;
use crate::times::LookedAt;
use portway_core::balance::Key;
use portway_core::http1::{BodyLength, Method};
use portway_core::route::Router;
use portway_model::action::Rule;
use portway_model::choice::StickinessUse;
use portway_model::settings::OwnAnswers;
use portway_model::snapshot::{GroupId, TargetGroup};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Limit;
use portway_telemetry::record::FaultCode;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::buffer::Buffer;

/// What becomes of the client's connection after an exchange.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next request; the buffer holds what has come of it already.
    Again(Option<Buffer>),
    /// Closed.
    Close,
    /// Closed with a reset: what was sent is not whole, and nothing else would say so.
    Reset,
    /// Closed without a sign for the client.
    Vanish,
    /// Closed after what the client still sends was read for a while, so that our answer is not lost to a reset.
    Linger,
    /// Nothing was answered: another group has the page. Only within this module.
    Elsewhere,
}

/// Serves one request. `group`: where it goes if the listener has no rules for requests (a TCP listener).
pub(crate) async fn serve(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    group: Option<GroupId>,
) -> Next {
    match by_rules(x, downstream, group).await {
        // Boxed because it is rare, and every exchange would carry it along.
        Next::Elsewhere => Box::pin(page(x, downstream)).await,
        next => next,
    }
}

/// Answers with a page of another group, in place of what was to be answered.
async fn page(x: &mut Exchange<'_>, downstream: &mut Stream) -> Next {
    while let Some(group) = pages::begin(x) {
        x.scratch.deadlines.end(&x.connection.timer);
        match by_rules(x, downstream, Some(group)).await {
            Next::Elsewhere => {}
            next => return pages::end(x, next),
        }
    }
    Next::Close
}

/// Runs rules from the first on, or those of `group`, and does what they say.
async fn by_rules(x: &mut Exchange<'_>, downstream: &mut Stream, group: Option<GroupId>) -> Next {
    let mut progress = Progress::new(x, group);
    if !x.connection.generation.plane.late_users.is_empty()
        && let Err(fault) = Box::pin(credentials::settle(x, downstream)).await
    {
        return reply::fault(x, downstream, fault).await;
    }
    loop {
        return match decide(x, &mut progress) {
            Decision::Forward(group) => forward_to(x, downstream, group).await,
            Decision::Answer(answer, how) => {
                reply::by_rule(x, downstream, answer, how, Side::Request).await
            }
            Decision::Tarpit(delay, answer) => Box::pin(tarpit(x, downstream, delay, answer)).await,
            Decision::WaitForBody(patience, at_least, most) => {
                match Box::pin(body::wait(x, downstream, patience, (at_least, most))).await {
                    Ok(()) => continue,
                    Err(fault) => {
                        x.ledger.looked_at = LookedAt::Head;
                        reply::fault(x, downstream, fault).await
                    }
                }
            }
            Decision::WaitForPassword => match Box::pin(credentials::wait(x, downstream)).await {
                Ok(()) => continue,
                Err(fault) => reply::fault(x, downstream, fault).await,
            },
            Decision::WaitForKeys(keys) => match Box::pin(jwt::wait(x, downstream, keys)).await {
                Ok(()) => continue,
                Err(fault) => reply::fault(x, downstream, fault).await,
            },
            Decision::Authorize(asked, origin) => {
                // Boxed because few exchanges are asked about, and every one would carry it along.
                match Box::pin(authorize::ask(x, downstream, &asked)).await {
                    Verdict::Passes => continue,
                    Verdict::Refused(answer, how) => {
                        progress.count_rule(x);
                        x.ledger.last_rule = origin;
                        reply::by_rule(x, downstream, *answer, how, Side::Request).await
                    }
                    Verdict::Failed(fault) => {
                        progress.count_rule(x);
                        x.ledger.last_rule = origin;
                        reply::fault(x, downstream, fault).await
                    }
                }
            }
            Decision::Service(asked) => Box::pin(service::serve(x, downstream, *asked)).await,
            Decision::Close(ending) => {
                statistics::denied(x);
                x.ledger.fault = Some(Fault::closed_by_rule());
                x.ledger.looked_at = progress.looked_at();
                match (ending, x.connection.own_answers()) {
                    (Ending::Silent, _) => Next::Vanish,
                    (Ending::Told, OwnAnswers::Portway) => Next::Reset,
                    (Ending::Told, OwnAnswers::Haproxy) => Next::Close,
                }
            }
            Decision::NoGroup => reply::fault(x, downstream, Fault::no_group()).await,
            Decision::Undecided => reply::fault(x, downstream, Fault::no_rule()).await,
        };
    }
}

/// Which rules have run: the listener's, then those of the group they chose.
pub(crate) struct Progress {
    pub(crate) group: Option<GroupId>,
    pub(crate) list: List,
    position: Position,
    /// The place of the listener's rule that took the request, from 1; 0: none has, or it is counted.
    ruled: usize,
    /// The same of the rule of the group that decided it.
    group_ruled: usize,
}

/// Which of the two lists of a listener or group that a request runs through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum List {
    /// What was said for the first bytes of a connection.
    First,
    Request,
}

impl Progress {
    pub(crate) fn new(x: &mut Exchange<'_>, group: Option<GroupId>) -> Self {
        let mut progress = Self {
            group: None,
            list: List::First,
            position: Position::default(),
            ruled: 0,
            group_ruled: 0,
        };
        if let Some(group) = group {
            progress.chosen(x, group);
        }
        progress
    }

    fn looked_at(&self) -> LookedAt {
        match (self.group, self.list) {
            (None, List::First) => LookedAt::FirstBytes,
            _ => LookedAt::Everything,
        }
    }

    /// The rule that was asked last took the request.
    fn note_rule(&mut self) {
        match (self.list, self.group) {
            (List::First, _) => {}
            (List::Request, None) => self.ruled = self.position.asked(),
            (List::Request, Some(_)) => self.group_ruled = self.position.asked(),
        }
    }

    /// Counts the rule that was asked last: it has answered the request.
    fn count_rule(&mut self, x: &Exchange<'_>) {
        self.note_rule();
        self.count_ruled(x);
    }

    /// Counts the rules that took the request, if any has.
    fn count_ruled(&mut self, x: &Exchange<'_>) {
        let connection = x.connection;
        if let Some(rule) = std::mem::take(&mut self.ruled).checked_sub(1) {
            let listener = connection.listener.index();
            connection.shard().rule(listener, rule).add(1);
        }
        if let Some(group) = self.group
            && let Some(rule) = std::mem::take(&mut self.group_ruled).checked_sub(1)
        {
            connection.shard().group_rule(group.index(), rule).add(1);
        }
    }

    fn chosen(&mut self, x: &mut Exchange<'_>, group: GroupId) {
        x.attempt.group = Some(group);
        let plane = x.connection.generation.plane.number;
        x.connection.timer.set_served_by(plane, group, None);
        statistics::session(x.connection, group);
        self.group = Some(group);
        self.list = List::First;
        self.position = Position::default();
    }
}

/// Runs the listener's rules, then those of the group they chose, from where a wait stopped them.
fn decide(x: &mut Exchange<'_>, progress: &mut Progress) -> Decision {
    let decision = decide_by(x, progress, |x, asked, at| {
        policy::resume(x, asked.rules, asked.router, Side::Request, at)
    });
    if progress.ruled | progress.group_ruled > 0 {
        progress.count_ruled(x);
    }
    decision
}

/// A list of rules that is run.
pub(crate) struct Asked<'r> {
    /// Whose: a group's, or the listener's.
    pub(crate) group: Option<GroupId>,
    pub(crate) list: List,
    pub(crate) rules: &'r [Rule<Resolved>],
    pub(crate) router: Option<&'r Router>,
}

/// The same; `run` runs one list of them.
#[inline]
pub(crate) fn decide_by(
    x: &mut Exchange<'_>,
    progress: &mut Progress,
    mut run: impl FnMut(&mut Exchange<'_>, Asked<'_>, &mut Position) -> Decision,
) -> Decision {
    let generation = Rc::clone(&x.connection.generation);
    loop {
        let (rules, router) = match progress.group {
            Some(group) => match generation.group(group) {
                Some((group, _, _)) => (&group.rules, None),
                None => return Decision::Forward(group),
            },
            None => match generation.plane.listener(x.connection.listener) {
                Some((listener, parts)) => (&listener.rules, Some(&parts.router)),
                None => return Decision::Undecided,
            },
        };
        let (rules, router) = match progress.list {
            List::First => (&rules.client_hello, None),
            List::Request => (&rules.request, router),
        };
        let asked = Asked {
            group: progress.group,
            list: progress.list,
            rules,
            router,
        };
        match run(x, asked, &mut progress.position) {
            Decision::Forward(group) if progress.group.is_none() => {
                progress.note_rule();
                progress.chosen(x, group);
            }
            Decision::Undecided => match (progress.list, progress.group) {
                (List::First, _) => {
                    progress.list = List::Request;
                    progress.position = Position::default();
                }
                (List::Request, Some(group)) => {
                    progress.group_ruled = progress.position.chose;
                    return Decision::Forward(group);
                }
                (List::Request, None) => return Decision::Undecided,
            },
            ended => {
                if !ended.waits() {
                    progress.note_rule();
                }
                return ended;
            }
        }
    }
}

/// Holds the client, then answers.
async fn tarpit(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    delay: Duration,
    mut answer: Answer,
) -> Next {
    answer.close |= !tarpit::hold(x, downstream, delay).await;
    reply::by_rule(x, downstream, answer, How::Tarpit, Side::Request).await
}

/// Gives the request the header with an id that has a format of its own, which may tell what rules found out; one that
/// has none had it before the rules.
pub(crate) fn tell_id(x: &mut Exchange<'_>) {
    let generation = Rc::clone(&x.connection.generation);
    let listener = generation.plane.listener(x.connection.listener);
    let wanted = listener.and_then(|(listener, _)| listener.request_id.as_ref());
    let Some((Some(name), Some(_))) = wanted.map(|id| (id.header.as_deref(), id.format.as_ref()))
    else {
        return;
    };
    let id = x.id().unwrap_or_default().to_vec();
    let edits = &mut x.scratch.request_edits;
    edits.remove(name.as_bytes());
    edits.add(name.as_bytes(), |value| value.extend_from_slice(&id));
}

/// Makes attempts until one succeeds or none may follow.
async fn forward_to(x: &mut Exchange<'_>, downstream: &mut Stream, mut group: GroupId) -> Next {
    let generation = Rc::clone(&x.connection.generation);
    let Some((mut configured, _, _)) = generation.group(group) else {
        return reply::fault(x, downstream, Fault::no_target()).await;
    };
    tell_id(x);
    deadline::begin(x, &configured.timeouts);
    if !x.scratch.mirrors.is_empty() {
        mirror::send(x);
    }
    if configured.retry_body_bytes > 0 && !x.scratch.body_limits.once {
        // Boxed because it is rare.
        let held = Box::pin(body::hold(x, downstream, configured.retry_body_bytes)).await;
        if let Err(fault) = held {
            let fault = deadline::told(x, fault);
            return reply::fault(x, downstream, fault).await;
        }
    }
    let request = repeatable(x);
    let key = group::key(configured, x.client, &*x);
    let bound = bound(x, group, configured);
    let forced = x.kept.how == Some(StickinessUse::Force);
    let mut attempts = Attempts::new(group, bound, forced);
    let watched = configured.abort_on_close || downstream.tells_of_its_end();
    loop {
        let reserved = {
            let reserving = pin!(reserve(x, &mut attempts, group, key));
            let reserved = while_there(downstream, watched, reserving).await;
            reserved.unwrap_or(Err(Fault::gave_up(false)))
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(fault) => {
                let fault = deadline::told(x, fault);
                if fault == Fault::gave_up(false) {
                    x.ledger.queued.get_or_insert(x.ledger.started.elapsed());
                }
                if matches!(
                    fault.code,
                    FaultCode::QueueTimeout | FaultCode::TotalTimeout
                ) {
                    x.attempt.waited_for = attempts.bound;
                }
                return reply::fault(x, downstream, fault).await;
            }
        };
        let target = reserved.target;
        if group != reserved.group
            && let Some((now, _, _)) = generation.group(reserved.group)
        {
            (group, configured) = (reserved.group, now);
            attempts.moved_to(group);
        }
        begin_attempt(x, &mut attempts, group, target);
        deadline::begin_attempt(x, &configured.timeouts);
        if let Some(answer) = redirected(x, configured, target) {
            return reply::by_rule(x, downstream, answer, How::Answer, Side::Request).await;
        }
        tell_target(x, configured, target);
        let fate = generation.fate(group, target, &x.connection.timer);
        let host = std::mem::take(&mut x.scratch.host);
        let wanted = Wanted {
            group,
            target,
            host: &host,
            ends: (x.source_end(), x.destination_end()),
            request_id: x.id(),
            in_header: source::in_header(x, configured, target),
            pooled: attempts.pooled,
            // What cannot be tried again is sent on a connection that was looked at closely.
            surely: !request.idempotent
                || !request.replayable
                || attempts.made() > configured.retries,
        };
        let connected = {
            let connecting = pin!(connect::connect(x.connection, wanted, reserved.slot));
            match while_there(downstream, watched, connecting).await {
                Some(connected) => connected.map_err(|error| Fault::connect(&error)),
                None => Err(Fault::gave_up(false)),
            }
        };
        x.scratch.host = host;
        let fault = match connected {
            Ok(upstream) => {
                deadline::connected(x, &configured.timeouts);
                match attempt(x, downstream, upstream, fate.as_ref()).await {
                    Ok(next) => return next,
                    Err(fault) => fault,
                }
            }
            Err(fault) if fault == Fault::gave_up(false) => {
                return reply::fault(x, downstream, fault).await;
            }
            Err(fault) => fault,
        };
        let waited_for = fault;
        let fault = deadline::told(x, fault);
        crate::record::attempt_failed(x, deadline::blamed(x, waited_for, fault));
        let again = {
            let left = deadline::left(x);
            let deciding = pin!(attempts.again(x.connection, fault, target, (request, left)));
            while_there(downstream, watched, deciding).await
        };
        let Some(again) = again else {
            return reply::fault(x, downstream, Fault::gave_up(false)).await;
        };
        if deadline::left(x) == Some(Duration::ZERO) && again {
            let fault = deadline::told(x, Fault::response_timeout());
            return reply::fault(x, downstream, fault).await;
        }
        if !again {
            if attempts.made() > configured.retries && configured.retries > 0 {
                crate::record::limit_reached(x, Limit::Attempts);
            }
            return reply::fault(x, downstream, fault).await;
        }
        crate::record::retried(x, fault);
        attempt::follows(x);
    }
}

/// Sends the request on a connection, and its response back, unless its target is taken away.
async fn attempt(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    upstream: Upstream,
    fate: Option<&Fate<'_>>,
) -> Result<Next, Fault> {
    note_connected(x, &upstream);
    let done = match fate {
        Some(fate) => {
            let attempt = pin!(forward::attempt(x, downstream, upstream));
            fate.unless_cut_off(attempt).await
        }
        None => None,
    };
    done.unwrap_or_else(|| {
        x.ledger.fault = Some(Fault::cut_off());
        Ok(Next::Reset)
    })
}

/// The target that stickiness or a rule names.
pub(crate) fn bound(
    x: &mut Exchange<'_>,
    group: GroupId,
    configured: &TargetGroup,
) -> Option<usize> {
    let kept = match configured.stickiness {
        Some(_) => sticky::bound(x, group),
        None => None,
    };
    let bound = x.kept.used.or(kept).or(x.kept.sticks.target);
    x.kept.direct |= bound.is_some();
    bound
}

/// Notes that an attempt begins at this target.
fn begin_attempt(x: &mut Exchange<'_>, attempts: &mut Attempts, group: GroupId, target: usize) {
    x.kept.direct &= attempts.is_kept();
    if let Some(before) = x.attempt.target.filter(|before| *before != target) {
        statistics::redispatched(x.connection, group, before);
        x.ledger.redispatched = true;
    }
    attempts.begin();
    x.ledger.attempts = attempts.made();
    x.ledger.reserved.get_or_insert(x.ledger.started.elapsed());
    if let Some(before) = x.attempt.group.zip(x.attempt.target) {
        x.scratch.earlier.push(&x.connection.generation, before);
    }
    x.attempt = Attempt {
        group: Some(group),
        target: Some(target),
        ..Attempt::default()
    };
}

/// Notes that there is a connection to the target.
fn note_connected(x: &mut Exchange<'_>, upstream: &Upstream) {
    x.attempt.reused = upstream.reused;
    x.ledger.connected = Some(x.ledger.started.elapsed());
    x.ledger.upstream_tls = upstream.link.stream.agreed();
    x.ledger.upstream_local = connect::wanted_local(x.connection, upstream);
}

/// The result of `waiting`; `None` where the client is `watched` and goes before.
pub(crate) fn while_there<T>(
    client: &mut Stream,
    watched: bool,
    mut waiting: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Option<T>> {
    poll_fn(move |cx| match waiting.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if watched => client.poll_gone(cx).map(|()| None),
        Poll::Pending => Poll::Pending,
    })
}

/// What may be done with the request again.
pub(crate) fn repeatable(x: &Exchange<'_>) -> Repeatable {
    Repeatable {
        idempotent: x.request().method().is_idempotent() && x.sent_method().is_idempotent(),
        replayable: !x.scratch.body_limits.once
            && (x.scratch.body_limits.held
                || matches!(x.framing.body, BodyLength::None | BodyLength::Length(0))),
        came: x.ledger.started,
    }
}

/// The answer to a request that only reads, where it is sent on to the target itself.
pub(crate) fn redirected(x: &Exchange<'_>, group: &TargetGroup, target: usize) -> Option<Answer> {
    let prefix = group.targets.get(target)?.redirect.as_ref()?;
    let reads = matches!(x.request().method(), Method::Get | Method::Head);
    reads.then(|| policy::redirect_to(x, prefix))
}

/// Tells the target its name, where the group wants that.
fn tell_target(x: &mut Exchange<'_>, group: &TargetGroup, target: usize) {
    if let (Some(name), Some(target)) = (&group.target_name_header, group.targets.get(target)) {
        let edits = &mut x.scratch.request_edits;
        edits.remove(name.as_bytes());
        edits.add(name.as_bytes(), |value| {
            value.extend_from_slice(target.name.as_str().as_bytes());
        });
    }
}

/// A place at a target for the next attempt.
async fn reserve(
    x: &mut Exchange<'_>,
    attempts: &mut Attempts,
    group: GroupId,
    key: Key,
) -> Result<Reserved, Fault> {
    loop {
        let bound = attempts.bound;
        let priority = x.scratch.priority;
        let ask = Ask {
            group,
            key,
            bound,
            forced: attempts.forced,
            priority,
        };
        let reserved = reserve::reserve(x.connection, ask, &mut attempts.tried, |waited| {
            let before = x.ledger.queued.unwrap_or_default();
            x.ledger.queued = Some(before + waited.took);
            let (group, target) = &mut x.ledger.queue_positions;
            *group += waited.positions.0;
            *target += waited.positions.1;
        });
        match reserved.await {
            // A target whose queue is full is left, where the request may go elsewhere.
            Err(fault) if fault == Fault::queue_full() && attempts.may_leave(x.connection) => {
                attempts.leave();
            }
            // The target was lost while it was waited for.
            Ok(reserved) if bound.is_some_and(|bound| bound != reserved.target) => {
                attempts.leave();
                return Ok(reserved);
            }
            other => return other,
        }
    }
}

impl Exchange<'_> {
    /// The next request, with what has come of it; `None` where this one was not read to its end.
    pub(crate) fn rest(&mut self) -> Option<Next> {
        let end = match self.framing.body {
            BodyLength::None | BodyLength::Length(0) => self.head_len,
            _ if self.beyond.is_some() => return self.beyond.take().map(Next::Again),
            BodyLength::Length(length) => {
                let length = usize::try_from(length).ok()?;
                self.head_len.checked_add(length)?
            }
            BodyLength::Chunked => return None,
        };
        if self.arena.len() < end {
            return None;
        }
        let next = self.arena.len() > end;
        Some(Next::Again(next.then(|| self.arena.split_off(end))))
    }
}
