//! The streams of a connection, and what each of them is to the exchange that serves it: something to read a request of HTTP/1.1 from
//! and to write a response to.
//!
//! ```text
//! socket ─▶ owner ─▶ Streams::core ─▶ inbox ─▶ exchange
//! socket ◀─ owner ◀─ Streams::core.out ◀─ frames ◀─ exchange
//! ```
//!
//! Nothing here waits for the kernel: the owner alone reads and writes the socket. A stream waits where its window is used up. Where
//! what all of them share is used up (the connection's window, or [`AHEAD`]), streams stand in a queue, and who comes to its front has
//! a turn: so much is kept for it until it has written.

use super::inbox::Inbox;
use crate::buffer::Buffers;
use crate::scarce::Served;
use portway_core::http1::Refusal;
use portway_core::http2::{Asked, Connection as Core, ErrorCode, ResponseFrames};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes that may wait to be sent before streams have to wait.
pub(super) const AHEAD: usize = 64 * 1024;
/// Bytes of a body that a stream may add in its turn.
const TURN: usize = 16 * 1024;

/// One stream.
pub(super) struct Lane {
    pub(super) inbox: Inbox,
    frames: ResponseFrames,
    /// Whom to wake when something has changed.
    waker: Option<Waker>,
    /// It has ended before its time.
    pub(super) reset: Option<ErrorCode>,
    /// It is in the queue of those that wait to write.
    queued: bool,
    /// It has its turn, and has not written yet.
    has_turn: bool,
    /// What of its request is too much, if something is.
    pub(super) refusal: Option<Refusal>,
}

impl Lane {
    pub(super) fn new(inbox: Inbox, asked: Asked, refusal: Option<Refusal>) -> Self {
        Self {
            inbox,
            frames: ResponseFrames::new(asked),
            waker: None,
            reset: None,
            queued: false,
            has_turn: false,
            refusal,
        }
    }

    /// True where it waits for its turn.
    pub(super) fn is_queued(&self) -> bool {
        self.queued
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match &self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.waker = Some(cx.waker().clone()),
        }
    }
}

/// What the owner of a connection and its streams share.
pub(super) struct Streams {
    pub(super) core: Core,
    pub(super) lanes: BTreeMap<u32, Lane>,
    /// Those that wait to write, the first first.
    queue: VecDeque<u32>,
    /// Streams that have their turn, and have not written yet.
    turns: usize,
    /// Bytes of what is to be sent that are sent already.
    pub(super) out_sent: usize,
    pub(super) owner: Option<Waker>,
    /// The connection is to end without a sign for the client.
    pub(super) vanishes: bool,
    pub(super) account: Rc<Buffers>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

impl Streams {
    pub(super) fn new(core: Core, account: Rc<Buffers>) -> Self {
        Self {
            core,
            lanes: BTreeMap::new(),
            queue: VecDeque::new(),
            turns: 0,
            out_sent: 0,
            owner: None,
            vanishes: false,
            account,
        }
    }

    /// Bytes that are to be sent.
    pub(super) fn to_send(&self) -> &[u8] {
        self.core.out.get(self.out_sent..).unwrap_or_default()
    }

    /// So many bytes were sent. Once all are, those that wait have their turn.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.out_sent += bytes;
        if self.out_sent < self.core.out.len() {
            return;
        }
        self.out_sent = 0;
        self.core.out.clear();
        let kept = if self.lanes.is_empty() { TURN } else { AHEAD };
        if self.core.out.capacity() > 2 * kept {
            self.core.out.shrink_to(kept);
        }
        self.give_turns();
    }

    /// Gives those at the front of the queue their turn, as many as there is room for.
    pub(super) fn give_turns(&mut self) {
        let waiting = self.core.out.len() - self.out_sent;
        while let Some(number) = self.queue.front() {
            let kept = self.turns * TURN;
            if waiting + kept >= AHEAD || self.core.send_window() <= kept {
                return;
            }
            if let Some(lane) = self.lanes.get_mut(number) {
                (lane.queued, lane.has_turn) = (false, true);
                self.turns += 1;
                lane.wake();
            }
            self.queue.pop_front();
        }
    }

    /// All streams have ended, because of this.
    pub(super) fn reset_all(&mut self, code: ErrorCode) {
        for lane in self.lanes.values_mut() {
            lane.reset.get_or_insert(code);
            lane.wake();
        }
    }

    fn wake_owner(&mut self) {
        if let Some(owner) = self.owner.take() {
            owner.wake();
        }
    }

    fn poll_write(
        &mut self,
        number: u32,
        cx: &Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let waiting = self.core.out.len() - self.out_sent;
        let Some(lane) = self.lanes.get_mut(&number) else {
            return gone();
        };
        if lane.reset.is_some() {
            return gone();
        }
        if lane.frames.is_unsent() {
            return Poll::Ready(Ok(from.iter().map(|it| it.len()).sum()));
        }
        if !self.core.is_open(number) {
            return gone();
        }
        let has_turn = std::mem::take(&mut lane.has_turn);
        self.turns -= usize::from(has_turn);
        let nobody_waits = self.turns == 0 && self.queue.is_empty();
        let budget = match has_turn {
            true => TURN,
            false if nobody_waits => AHEAD.saturating_sub(waiting),
            false => 0,
        };
        let mut taken = 0;
        if budget > 0 {
            let written = lane.frames.write(&mut self.core, number, from, budget);
            taken = match written {
                Ok(taken) => taken,
                Err(_) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            };
        }
        if taken > 0 {
            self.wake_owner();
            return Poll::Ready(Ok(taken));
        }
        lane.wait(cx);
        // Where its own window alone is used up, nobody has to wait for it.
        let is_shared = budget == 0 || self.core.send_window() == 0;
        if is_shared && !std::mem::replace(&mut lane.queued, true) {
            match has_turn {
                true => self.queue.push_front(number),
                false => self.queue.push_back(number),
            }
        }
        self.give_turns();
        Poll::Pending
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}

/// One stream, for the exchange that serves it. The stream is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Mux {
    streams: Rc<RefCell<Streams>>,
    number: u32,
    /// Counts it.
    _served: Served,
}

impl Mux {
    pub(super) fn new(streams: &Rc<RefCell<Streams>>, number: u32) -> Self {
        let streams = Rc::clone(streams);
        Self {
            streams,
            number,
            _served: Served::new(),
        }
    }

    /// Reads of the request; 0 at its end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut streams = self.streams.borrow_mut();
        let streams = &mut *streams;
        let Some(lane) = streams.lanes.get_mut(&self.number) else {
            return gone();
        };
        if lane.reset.is_some() {
            return gone();
        }
        let taken = lane.inbox.read(into);
        if taken.bytes == 0 && !lane.inbox.is_over() {
            lane.wait(cx);
            return Poll::Pending;
        }
        if taken.of_body > 0 {
            let before = streams.core.out.len();
            streams.core.used(self.number, taken.of_body);
            if streams.core.out.len() > before {
                streams.wake_owner();
            }
        }
        Poll::Ready(Ok(taken.bytes))
    }

    /// Writes of the response.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.streams.borrow_mut().poll_write(self.number, cx, from)
    }

    /// What was written is on its way; an error where the client does not want it any more.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_gone(cx) {
            Poll::Ready(()) => gone(),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// The response has ended.
    pub(crate) fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut streams = self.streams.borrow_mut();
        let streams = &mut *streams;
        if let Some(lane) = streams.lanes.get_mut(&self.number)
            && streams.core.is_open(self.number)
            && !lane.frames.is_over()
            && lane.frames.end(&mut streams.core, self.number)
        {
            streams.wake_owner();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready where the client does not want the response any more.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut streams = self.streams.borrow_mut();
        match streams.lanes.get_mut(&self.number) {
            Some(lane) if lane.reset.is_none() => {
                lane.wait(cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// The same, now.
    pub(crate) fn has_ended(&self) -> bool {
        let streams = self.streams.borrow();
        let lane = streams.lanes.get(&self.number);
        lane.is_none_or(|lane| lane.reset.is_some())
    }

    /// What was sent is not whole, and the client is told.
    pub(crate) fn reset(&mut self) {
        let mut streams = self.streams.borrow_mut();
        streams.core.reset(self.number, ErrorCode::INTERNAL_ERROR);
        streams.wake_owner();
    }

    /// The client is to hear nothing more, of no stream.
    pub(crate) fn vanish(&mut self) {
        let mut streams = self.streams.borrow_mut();
        streams.vanishes = true;
        streams.wake_owner();
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        let mut streams = self.streams.borrow_mut();
        let lane = streams.lanes.remove(&self.number);
        if lane.as_ref().is_some_and(|it| it.has_turn) {
            streams.turns -= 1;
            streams.give_turns();
        }
        if streams.core.is_open(self.number) {
            // A request whose answer is whole is not read to its end (RFC 9113 section 8.1).
            let code = match lane.is_some_and(|lane| lane.frames.is_over()) {
                true => ErrorCode::NO_ERROR,
                false => ErrorCode::INTERNAL_ERROR,
            };
            streams.core.reset(self.number, code);
        }
        streams.wake_owner();
    }
}
