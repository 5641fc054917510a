//! The HTTP/2 adapter: turns the streams of a client's connection into exchanges, each a task of its own.
//!
//! One task owns the socket: it reads frames, lets [`portway_core::http2`] judge them, and sends what streams have written. What a
//! stream carries is a request of HTTP/1.1 to the exchange that serves it (see [`mux`]), so rules and policies are the same.

mod inbox;
mod incoming;
mod mux;

pub(crate) use self::mux::Mux;

use self::incoming::Incoming;
use self::mux::{AHEAD, Streams};
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::connection::Connection;
use crate::h1;
use crate::stream::Stream;
use crate::timer::{JUST_SERVED, Rests, ticks_of};
use portway_core::http2::{
    Broken, Connection as Core, ErrorCode, Limits, PAYLOAD_BYTES, Rate, Reached, Role,
};
use portway_model::snapshot::GroupId;
use portway_telemetry::metrics::Limit;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What the owner of a connection is to do next.
enum Step {
    /// These streams have begun.
    Serve,
    /// Nothing is served, and there is something new to be served by.
    Renew,
    /// The connection has ended.
    End(Ending),
}

enum Ending {
    /// All was said.
    Told,
    /// The client has gone.
    Gone,
    /// The client is not to hear of it.
    Silent,
}

/// What a connection waits for, and since when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// The client has to begin, or to go on with a head.
    ForHead,
    /// Nothing is asked of us.
    Between,
    /// Streams are served.
    Serving,
    /// The client takes nothing; so much was sent when it was looked at last.
    ToSend(u64),
    /// It ends soon: who asks for something now is served still.
    Ending,
}

/// By so much more than what may come in a second may come at once.
const BURST: u32 = 5;
/// Frames behind the first that a block of fields may come in, at least.
const CONTINUATIONS: u32 = 8;

/// Serves requests in the version that was agreed on. Arguments as of [`h1::run`].
pub(crate) async fn serve(
    connection: &mut Connection,
    stream: &mut Stream,
    group: Option<GroupId>,
    rest: Option<Buffer>,
) {
    match connection.speaks_http2() {
        true => Box::pin(run(connection, stream, group, rest)).await,
        false => h1::run(connection, stream, group, rest).await,
    }
}

/// Serves a client's connection until it ends. `group` and `rest` as in [`h1::run`].
pub(crate) async fn run(
    connection: &mut Connection,
    stream: &mut Stream,
    mut group: Option<GroupId>,
    rest: Option<Buffer>,
) {
    let most = connection.head_limits().head_bytes;
    let said = connection.http2();
    let rate = |per_second: u32| Rate {
        burst: per_second.saturating_mul(BURST),
        per_second,
    };
    let limits = Limits {
        streams: said.max_streams,
        stream_window: said.initial_window,
        connection_window: said.connection_window,
        resets: rate(said.max_reset_rate),
        idle_frames: rate(said.max_idle_frame_rate),
        // A head that is too large is answered, as in HTTP/1.1, unless it is much too large.
        block_bytes: most.saturating_mul(2),
        continuations: CONTINUATIONS.max((most / PAYLOAD_BYTES * 2) as u32),
        widest_window: said.max_window,
        ..Limits::default()
    };
    let core = Core::new(Role::Server, limits);
    let account = Rc::clone(&connection.worker.buffers);
    let mut owner = Owner {
        streams: Rc::new(RefCell::new(Streams::new(core, account))),
        incoming: Incoming::new(most, connection.lenient_heads()),
        given: rest.is_some(),
        input: rest,
        began: Instant::now(),
        sent: 0,
        waits: None,
        idle_until: None,
        ends: None,
        state: State::Open,
        blocked: false,
    };
    let ending = loop {
        match poll_fn(|cx| owner.poll(cx, connection, stream)).await {
            Step::Serve => {
                h1::renew(connection, &mut group);
                owner.serve(connection, group);
            }
            Step::Renew => {
                h1::renew(connection, &mut group);
            }
            Step::End(ending) => break ending,
        }
    };
    match ending {
        Ending::Told => Box::pin(h1::linger(connection, stream)).await,
        Ending::Gone => {}
        Ending::Silent => stream.vanish(),
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// GOAWAY was sent for what the client did: what is in `out` is the last.
    Broken,
    /// Nothing comes or goes any more.
    Lost,
}

struct Owner {
    streams: Rc<RefCell<Streams>>,
    incoming: Incoming,
    /// A frame that is not whole.
    input: Option<Buffer>,
    /// It was read before this began: it is to be heard first.
    given: bool,
    began: Instant,
    /// Bytes that were sent.
    sent: u64,
    waits: Option<Waits>,
    /// The tick until which nothing has to be asked of us. What is no request, and comes meanwhile, does not put it off.
    idle_until: Option<u64>,
    /// Since when the client knows that nothing is served any more soon.
    ends: Option<Instant>,
    state: State,
    /// The socket has taken all that it can take now.
    blocked: bool,
}

impl Owner {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        stream: &mut Stream,
    ) -> Poll<Step> {
        self.streams.borrow_mut().owner = Some(cx.waker().clone());
        loop {
            if self.streams.borrow().vanishes {
                self.lose();
            }
            self.write(cx, stream);
            if let Some(ending) = self.has_ended() {
                return Poll::Ready(Step::End(ending));
            }
            let came = self.read(cx, connection, stream);
            if !self.incoming.fresh.is_empty() {
                return Poll::Ready(Step::Serve);
            }
            // What came may have an answer.
            if !came && !self.may_write() {
                break;
            }
        }
        self.rest(cx, connection, stream)
    }

    /// Begins to serve the streams that have come.
    fn serve(&mut self, connection: &mut Connection, group: Option<GroupId>) {
        for number in std::mem::take(&mut self.incoming.fresh) {
            let lane = self
                .streams
                .borrow()
                .lanes
                .get(&number)
                .map(|it| it.refusal);
            let Some(refusal) = lane else { continue };
            if connection.closes() {
                self.end_soon();
            }
            let mux = Stream::Mux(Mux::new(&self.streams, number, &connection.worker.timers));
            let served = h1::once(connection.stream(), mux, group, refusal);
            drop(tokio::task::spawn_local(served));
            connection.exchanges = connection.exchanges.saturating_add(1);
            connection.timer.begin_anew();
            self.idle_until = None;
        }
    }

    /// Says that no further streams are wanted. Those on their way are served still, for a moment.
    fn end_soon(&mut self) {
        if self.ends.is_none() {
            self.ends = Some(Instant::now());
            self.streams.borrow_mut().core.drain();
        }
    }

    /// Says which streams are served.
    fn finish(&mut self, code: ErrorCode) {
        self.ends.get_or_insert_with(Instant::now);
        self.streams.borrow_mut().core.finish(code);
    }

    /// True where something is to be sent and the socket may take it.
    fn may_write(&self) -> bool {
        let has_more = !self.streams.borrow().to_send().is_empty();
        self.state != State::Lost && !self.blocked && has_more
    }

    /// How the connection has ended, once it has.
    fn has_ended(&self) -> Option<Ending> {
        let streams = self.streams.borrow();
        let is_served = !streams.lanes.is_empty();
        match self.state {
            _ if is_served => None,
            State::Lost if streams.vanishes => Some(Ending::Silent),
            State::Lost => Some(Ending::Gone),
            _ if !streams.to_send().is_empty() => None,
            State::Broken => Some(Ending::Told),
            State::Open => streams.core.is_finished().then_some(Ending::Told),
        }
    }

    /// Sends what there is.
    fn write(&mut self, cx: &mut Context<'_>, stream: &mut Stream) {
        let mut streams = self.streams.borrow_mut();
        self.blocked = false;
        while self.state != State::Lost && !streams.to_send().is_empty() {
            match stream.poll_write(cx, &[IoSlice::new(streams.to_send())]) {
                Poll::Ready(Ok(count @ 1..)) => {
                    self.sent = self.sent.wrapping_add(count as u64);
                    streams.sent(count);
                }
                Poll::Ready(_) => self.state = State::Lost,
                Poll::Pending => {
                    self.blocked = true;
                    return;
                }
            }
        }
        if stream.poll_flush(cx).map(|it| it.is_err()) == Poll::Ready(true) {
            self.state = State::Lost;
        }
        if self.state == State::Lost {
            streams.reset_all(ErrorCode::CANCEL);
        }
    }

    /// Reads once, and hears what came. False where nothing did.
    fn read(&mut self, cx: &mut Context<'_>, connection: &Connection, stream: &mut Stream) -> bool {
        // Who takes nothing is not heard: what it asks for would only wait.
        let is_full = self.streams.borrow().to_send().len() >= 2 * AHEAD;
        if self.state != State::Open || is_full {
            return false;
        }
        let leased = || connection.worker.buffers.lease();
        let mut buffer = self.input.take().unwrap_or_else(leased);
        if std::mem::take(&mut self.given) {
            self.hear(connection, &mut buffer);
            self.input = (!buffer.is_empty()).then_some(buffer);
            return true;
        }
        // A frame has less than a buffer.
        buffer.make_room(BUFFER_BYTES);
        let came = match stream.poll_read(cx, buffer.spare()) {
            Poll::Ready(Ok(count @ 1..)) => {
                buffer.received(count);
                self.hear(connection, &mut buffer);
                true
            }
            Poll::Ready(_) => {
                self.state = State::Lost;
                self.streams.borrow_mut().reset_all(ErrorCode::CANCEL);
                true
            }
            Poll::Pending => false,
        };
        self.input = (!buffer.is_empty()).then_some(buffer);
        came
    }

    fn hear(&mut self, connection: &Connection, buffer: &mut Buffer) {
        let mut streams = self.streams.borrow_mut();
        let now = self.began.elapsed();
        let heard = self.incoming.hear(&mut streams, buffer.filled(), now, || {
            connection.worker.random_128()
        });
        for _ in 0..std::mem::take(&mut self.incoming.refused) {
            connection
                .worker
                .metrics()
                .limit_reached(Limit::Http2Streams);
        }
        match heard {
            Ok(used) => buffer.consume(used),
            Err(broken) => {
                self.state = State::Broken;
                buffer.clear();
                streams.reset_all(ErrorCode::CANCEL);
                tell(connection, broken);
            }
        }
    }

    /// Nothing is to be done now: waits, and ends what waits for too long.
    fn rest(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        stream: &mut Stream,
    ) -> Poll<Step> {
        if self.state == State::Lost {
            // Its streams hear of it, and the last of them wakes this.
            return Poll::Pending;
        }
        let is_idle = self.streams.borrow().lanes.is_empty();
        if is_idle && self.ends.is_none() && connection.left_behind() == Some(true) {
            return Poll::Ready(Step::Renew);
        }
        if connection.is_ending() {
            self.end_soon();
        }
        if self
            .ends
            .is_some_and(|since| since.elapsed() >= JUST_SERVED)
        {
            self.finish(ErrorCode::NO_ERROR);
        }
        let waits = self.waits_for(is_idle);
        if self.waits != Some(waits) {
            self.waits = Some(waits);
            self.set_timer(connection, waits);
        }
        let is_over = connection.timer.poll(cx).is_ready();
        if connection.timer.is_cut_off() {
            self.lose();
        } else if is_over && !(waits == Waits::Between && stream.has_input()) {
            self.time_is_over(connection, waits);
        } else if !self.may_write() {
            return Poll::Pending;
        }
        // Something was said, or has ended.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn waits_for(&self, is_idle: bool) -> Waits {
        let streams = self.streams.borrow();
        let in_head = streams.core.is_in_block() || (is_idle && self.input.is_some());
        match () {
            () if !streams.to_send().is_empty() => Waits::ToSend(self.sent),
            () if !streams.core.is_greeted() || in_head => Waits::ForHead,
            () if self.ends.is_some() => Waits::Ending,
            () if is_idle => Waits::Between,
            () => Waits::Serving,
        }
    }

    fn set_timer(&mut self, connection: &Connection, waits: Waits) {
        let (time, rests) = match waits {
            Waits::ForHead => (connection.head_timeout(), Rests::No),
            Waits::Between => {
                let (now, time) = (connection.timer.now(), connection.keep_alive_timeout());
                let until = now.saturating_add(ticks_of(time));
                let until = *self.idle_until.get_or_insert(until);
                (connection.timer.until(until), Rests::Between)
            }
            Waits::Serving => (Duration::MAX, Rests::Streams),
            Waits::ToSend(_) => (connection.client_timeout(), Rests::No),
            Waits::Ending => (JUST_SERVED, Rests::No),
        };
        connection.timer.set(time);
        connection.timer.set_rests(rests);
    }

    fn time_is_over(&mut self, connection: &Connection, waits: Waits) {
        match waits {
            Waits::Between => self.finish(ErrorCode::NO_ERROR),
            Waits::Ending => {
                self.finish(ErrorCode::NO_ERROR);
                self.waits = Some(Waits::Serving);
            }
            Waits::ForHead => {
                // As of HTTP/1, only where something had begun to come.
                let has_begun = self.streams.borrow().core.is_in_block() || self.input.is_some();
                if has_begun {
                    let metrics = connection.worker.metrics();
                    metrics.limit_reached(Limit::RequestHeadTime);
                }
                self.lose();
            }
            Waits::ToSend(_) | Waits::Serving => self.lose(),
        }
    }

    fn lose(&mut self) {
        self.state = State::Lost;
        self.streams.borrow_mut().reset_all(ErrorCode::CANCEL);
    }
}

/// Says why a connection was ended for what its client did.
fn tell(connection: &Connection, broken: Broken) {
    let limit = broken.limit.map(|limit| match limit {
        Reached::Streams => Limit::Http2Streams,
        Reached::BlockBytes => Limit::Http2FieldBytes,
        Reached::Continuations => Limit::Http2Continuations,
        Reached::Resets => Limit::Http2Resets,
        Reached::IdleFrames => Limit::Http2IdleFrames,
    });
    if let Some(limit) = limit {
        connection.worker.metrics().limit_reached(limit);
    }
    let listener = connection.listener_name();
    tracing::debug!(
        listener, peer = %connection.peer, code = broken.code.0, limit = ?broken.limit,
        "a connection of HTTP/2 ends for what its client did"
    );
}
