//! TCP listeners: which group takes the connection, then a tunnel, or requests where the group speaks HTTP.

use crate::answer::{AnswerRules, Said};
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::connect::{self, Wanted};
use crate::connection::Connection;
use crate::establish::{self, Way};
use crate::fault::Fault;
use crate::group;
use crate::group::Fate;
use crate::h2;
use crate::live::{Entrance, Gate, ListenerState};
use crate::plane::{ListenerKey, ListenerParts};
use crate::record::{self, Passed};
use crate::reserve::{self, Ask};
use crate::retries::{Attempts, Repeatable};
use crate::rules::{self, FirstBytes, Rules, Verdict};
use crate::statistics::{self, Flow};
use crate::stick::Sticks;
use crate::stream::Stream;
use crate::transfer::Transfer;
use crate::tunnel::{self, Sides, Silence};
use crate::worker::Worker;
use portway_core::balance::Key;
use portway_core::client_hello::Looked;
use portway_model::action::Rule;
use portway_model::snapshot::{GroupId, ListenerId, TargetGroup};
use portway_model::stage::Resolved;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Closes a connection that no rule sends anywhere: its client reads an end, not an error.
pub(crate) fn nowhere(connection: &Connection, stream: &mut Stream) {
    stream.say_end();
    record::closed_early(connection, Instant::now(), Fault::no_rule(), None);
}

/// Serves a connection of a TCP listener. `group`: where it goes, if earlier rules said so.
pub(crate) async fn run(connection: Connection, stream: Stream, group: Option<GroupId>) {
    go_on(connection, stream, group, First::default()).await;
}

async fn go_on(
    mut connection: Connection,
    mut stream: Stream,
    group: Option<GroupId>,
    mut first: First,
) {
    let group = match group {
        Some(group) => group,
        None => match choose(&mut connection, &mut stream, &mut first).await {
            Some(Goes::To(group)) => group,
            Some(Goes::At(listener)) => {
                // Boxed because few connections are handed over.
                let there = hand_over(connection, stream, listener, first.buffer);
                return Box::pin(there).await;
            }
            None => return,
        },
    };
    let generation = Rc::clone(&connection.generation);
    let Some((configured, _, _)) = generation.group(group) else {
        return;
    };
    if configured.protocol.is_http() {
        return h2::serve(&mut connection, &mut stream, Some(group), first.buffer).await;
    }
    let rules = &configured.rules.client_hello;
    first.group = Some(group);
    if !rules.is_empty() {
        let limit = configured.timeouts.inspect;
        match inspect(&mut connection, &mut stream, rules, limit, &mut first).await {
            Verdict::Reject { silent } => {
                return establish::reject(&connection, &mut stream, silent);
            }
            Verdict::Forward(_) | Verdict::HandOver(_) | Verdict::Undecided => {}
        }
    }
    let key = first_key(&connection, configured, &first);
    let to = To {
        group,
        key,
        bound: first.target.or(first.sticks.target),
        sticks: first.sticks,
    };
    pass(&connection, stream, to, first.buffer).await;
}

/// What the connection is known by, as far as its client has sent anything.
fn first_key(connection: &Connection, group: &TargetGroup, first: &First) -> Key {
    let bytes = first.buffer.as_ref().map_or(&[][..], Buffer::filled);
    let seen = FirstBytes::new(bytes, &first.looked, true);
    let source = connection.peer.ip().to_canonical();
    group::key(group, source, &rules::seen(connection, Some(&seen)))
}

/// Where the client-hello phase of a listener sends a connection.
enum Goes {
    /// To this group.
    To(GroupId),
    /// On at this listener.
    At(ListenerId),
}

/// A connection that another listener has accepted: it is one of both, for as long as it lives.
pub(crate) struct HandedOver {
    /// The listener that has accepted it.
    key: ListenerKey,
    state: Arc<ListenerState>,
    /// Where it is counted besides.
    entrance: Arc<Entrance>,
}

impl HandedOver {
    /// Goes over from the listener of `connection` to one with these parts; `None`: that accepts nothing now.
    fn new(connection: &Connection, parts: &ListenerParts) -> Option<Self> {
        let (_, from) = connection.generation.plane.listener(connection.listener)?;
        // What has the same name was let in already.
        let is_another = !Arc::ptr_eq(&from.state, &parts.state);
        if is_another && parts.state.gate() != Gate::Open {
            return None;
        }
        let came = Self {
            key: from.key,
            state: Arc::clone(&from.state),
            entrance: Arc::clone(&parts.entrance),
        };
        came.count(1);
        Some(came)
    }

    fn count(&self, change: i32) {
        self.entrance.count(change);
        if !Arc::ptr_eq(&self.state, &self.entrance.state) {
            self.entrance.state.count(change);
        }
    }

    /// True where the listener that has accepted it leaves, or is gone.
    pub(crate) fn is_ending(&self, worker: &Worker) -> bool {
        let is_gone = || worker.generation().plane.place_of(self.key).is_none();
        self.state.is_leaving() || is_gone()
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        self.count(-1);
    }
}

/// Goes on as if another listener had accepted the connection. `first`: what was read of it.
async fn hand_over(
    mut connection: Connection,
    mut stream: Stream,
    listener: ListenerId,
    first: Option<Buffer>,
) {
    let generation = Rc::clone(&connection.generation);
    let Some((configured, parts)) = generation.plane.listener(listener) else {
        return;
    };
    let Some(came) = HandedOver::new(&connection, parts) else {
        // One that has drained takes nobody, by whatever way.
        return nowhere(&connection, &mut stream);
    };
    connection.timer.hand_over(parts.key);
    connection.listener = listener;
    connection.keep_handed_over(came);
    let way = match configured.protocol.is_http() {
        true => Way::Http,
        false => Way::Stream(None),
    };
    let established = establish::secure(&mut connection, stream, (way, first));
    let Some((way, mut stream, first)) = established.await else {
        return;
    };
    match way {
        Way::Http => h2::serve(&mut connection, &mut stream, None, first).await,
        Way::Stream(group) => {
            let first = First {
                buffer: first,
                ..First::default()
            };
            Box::pin(go_on(connection, stream, group, first)).await;
        }
    }
}

/// Where the client-hello phase of the listener sends the connection. `None`: it is over.
async fn choose(
    connection: &mut Connection,
    stream: &mut Stream,
    first: &mut First,
) -> Option<Goes> {
    let generation = Rc::clone(&connection.generation);
    let (listener, _) = generation.plane.listener(connection.listener)?;
    let rules = &listener.rules.client_hello;
    let limit = listener.timeouts.inspect;
    match inspect(connection, stream, rules, limit, first).await {
        Verdict::Forward(group) => return Some(Goes::To(group)),
        Verdict::HandOver(listener) => return Some(Goes::At(listener)),
        Verdict::Reject { silent } => establish::reject(connection, stream, silent),
        Verdict::Undecided => nowhere(connection, stream),
    }
    None
}

/// What a client has sent before it was known where to.
struct First {
    /// `None` while there is nothing.
    buffer: Option<Buffer>,
    looked: Looked,
    /// Where it goes, once that is known, and the target that a rule has chosen there.
    group: Option<GroupId>,
    target: Option<usize>,
    /// What rules say by stick tables.
    sticks: Sticks,
}

impl Default for First {
    fn default() -> Self {
        Self {
            buffer: None,
            looked: Looked::Partial,
            group: None,
            target: None,
            sticks: Sticks::default(),
        }
    }
}

/// Runs rules on what the client sends first, again as more of it comes, until they say something, or `limit` or the
/// buffer ends; then on what there is.
async fn inspect(
    connection: &mut Connection,
    stream: &mut Stream,
    rules: &[Rule<Resolved>],
    limit: Duration,
    first: &mut First,
) -> Verdict {
    let mut rules = Rules::new(rules);
    rules.group = first.group;
    let mut ended = limit.is_zero();
    connection.timer.set(limit);
    poll_fn(|cx| {
        loop {
            let bytes = first.buffer.as_ref().map_or(&[][..], Buffer::filled);
            FirstBytes::look(bytes, &mut first.looked);
            let seen = FirstBytes::new(bytes, &first.looked, ended);
            if let Some(verdict) = rules.run(connection, Some(&seen)) {
                first.target = rules.target;
                first.sticks = std::mem::take(&mut rules.sticks);
                return Poll::Ready(verdict);
            }
            let buffers = &connection.worker.buffers;
            let mut buffer = first.buffer.take().unwrap_or_else(|| buffers.lease());
            if !buffer.make_room(BUFFER_BYTES) {
                ended = true;
                first.buffer = Some(buffer);
                continue;
            }
            let came = stream.poll_read(cx, buffer.spare());
            if let Poll::Ready(Ok(count)) = came {
                buffer.received(count);
            }
            first.buffer = (!buffer.is_empty()).then_some(buffer);
            match came {
                Poll::Ready(Ok(1..)) => {}
                // What follows finds out the same.
                Poll::Ready(_) => ended = true,
                Poll::Pending if connection.timer.poll(cx).is_ready() => ended = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Leaves the record of a connection however it ends.
struct Passing<'c> {
    connection: &'c Connection,
    passed: Passed,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if self.connection.worker.is_cutting_off() {
            self.passed.fault.get_or_insert(Fault::shutdown());
        }
        record::close_connection(self.connection, &self.passed);
    }
}

/// Where a connection goes.
#[derive(Debug)]
struct To {
    group: GroupId,
    /// What it is known by.
    key: Key,
    /// The target that a rule has chosen or a stick table remembers.
    bound: Option<usize>,
    /// What is to remember whoever serves.
    sticks: Sticks,
}

/// A target of TCP answers when it is connected to: it took so long since the attempt began.
fn note_connect_time(connection: &Connection, (group, target): (GroupId, usize), began: Instant) {
    if let Some((_, parts, _)) = connection.generation.group(group)
        && let Some(state) = parts.targets.get(target)
        && state.answer_time.is_kept()
    {
        state.answer_time.took(began.elapsed());
    }
}

/// Passes a connection on to a target of the group; `first`: what the client has sent already.
async fn pass(connection: &Connection, mut downstream: Stream, to: To, first: Option<Buffer>) {
    let group = to.group;
    let passed = Passed {
        group: Some(group),
        number: connection.next_number(),
        ..Passed::new(Instant::now())
    };
    let mut passing = Passing { connection, passed };
    statistics::session(connection, group);
    match upstream(connection, to, &mut passing.passed).await {
        Ok((mut upstream, fate)) => {
            let took = passing.passed.started.elapsed();
            passing.passed.connected = Some(took);
            passing.passed.upstream_tls = upstream.link.stream.agreed();
            passing.passed.upstream_local = connect::wanted_local(connection, &upstream);
            record::log_connection_early(connection, &mut passing.passed);
            let counted = &passing.passed.counted;
            let group = passing.passed.group;
            let flow = Flow::of(connection, group, passing.passed.target);
            let sides = Sides::new(
                Silence::of(connection, group, None),
                Transfer::tunnel(Vec::new(), first),
                Transfer::tunnel(Vec::new(), None),
            );
            let ends = (&mut downstream, &mut upstream.link.stream);
            let flowed = |up, down| counted.count(&flow, up, down);
            let tunnel = flow_both_ways(connection, &passing.passed, sides, flowed, ends);
            let fault = fate.unless_cut_off(pin!(tunnel)).await;
            let fault = fault.unwrap_or_else(|| Some(Fault::cut_off()));
            passing.passed.fault = fault;
        }
        Err(fault) => passing.passed.fault = Some(fault),
    }
}

/// Passes bytes on both ways; those that the target sends first, once the group's rules have looked at them. Gives what has
/// ended it.
async fn flow_both_ways(
    connection: &Connection,
    passed: &Passed,
    mut sides: Sides,
    flowed: impl Fn(u64, u64),
    (downstream, upstream): (&mut Stream, &mut Stream),
) -> Option<Fault> {
    let buffers = &connection.worker.buffers;
    let generation = &connection.generation;
    let group = passed
        .group
        .and_then(|id| Some((id, generation.group(id)?.0)));
    if let Some((id, group)) = group.filter(|(_, group)| !group.rules.response.is_empty()) {
        let mut rules = AnswerRules::new(&group.rules.response, id);
        let until = (&connection.timer, group.timeouts.inspect_response);
        let ends = (&mut *downstream, &mut *upstream);
        let judge = |bytes: &[u8], ended| rules.run(connection, passed, (bytes, ended));
        let said = sides.until_answered(until, buffers, &flowed, ends, judge);
        match said.await {
            Ok(Said::PassOn) => {}
            Ok(Said::Reject { silent }) => {
                if silent {
                    downstream.vanish();
                }
                return Some(Fault::closed_by_rule());
            }
            Err(fault) => return Some(fault),
        }
        if let Some(target) = passed.target {
            rules.sticks.remember(generation, id, target);
        }
    }
    tunnel::run(
        &connection.timer,
        sides,
        buffers,
        flowed,
        downstream,
        upstream,
    )
    .await
}

/// Connects to a target of the group; another, or the same again, where one fails.
async fn upstream<'c>(
    connection: &'c Connection,
    to: To,
    passed: &mut Passed,
) -> Result<(connect::Upstream, Fate<'c>), Fault> {
    let To {
        mut group,
        key,
        bound,
        mut sticks,
    } = to;
    let mut attempts = Attempts::new(group, bound, false);
    loop {
        let bound = attempts.bound;
        let ask = Ask {
            group,
            key,
            bound,
            forced: false,
            priority: None,
        };
        let reserved = reserve::reserve(connection, ask, &mut attempts.tried, |waited| {
            passed.queue_positions.0 += waited.positions.0;
            passed.queue_positions.1 += waited.positions.1;
        });
        let reserved = match reserved.await {
            // A target whose queue is full is left, where the connection may go elsewhere.
            Err(fault) if fault == Fault::queue_full() && attempts.may_leave(connection) => {
                attempts.leave();
                continue;
            }
            reserved => reserved?,
        };
        let target = reserved.target;
        if let Some(before) = passed.target {
            passed.earlier.push(&connection.generation, (group, before));
        }
        if group != reserved.group {
            group = reserved.group;
            passed.group = Some(group);
            attempts.moved_to(group);
        } else if bound.is_some_and(|bound| bound != target) {
            attempts.leave();
        }
        attempts.begin();
        passed.attempts = attempts.made();
        passed.queued.get_or_insert(passed.started.elapsed());
        passed.redispatched |= passed.target.is_some_and(|before| before != target);
        passed.target = Some(target);
        let wanted = Wanted {
            group,
            target,
            host: b"",
            ends: (connection.peer, connection.local),
            request_id: None,
            in_header: None,
            pooled: false,
            surely: false,
        };
        let fate = connection.generation.fate(group, target, &connection.timer);
        let fate = fate.ok_or_else(Fault::internal)?;
        let began = Instant::now();
        let error = match connect::connect(connection, wanted, reserved.slot).await {
            Ok(upstream) => {
                note_connect_time(connection, (group, target), began);
                sticks.remember(&connection.generation, group, target);
                return Ok((upstream, fate));
            }
            Err(error) => error,
        };
        let of_target = connection.of_target(group, target);
        let fault = Fault::connect(&error);
        if fault.is_failed_connect() {
            of_target.connect_failures.add(1);
        }
        // Nothing of a connection has reached a target before it is connected to.
        let any = Repeatable {
            idempotent: true,
            replayable: true,
            came: passed.started,
        };
        if !attempts.again(connection, fault, target, (any, None)).await {
            return Err(fault);
        }
        record::retried_at(connection, (group, target), fault);
        if attempts.bound != Some(target) {
            statistics::redispatched(connection, group, target);
        }
    }
}
