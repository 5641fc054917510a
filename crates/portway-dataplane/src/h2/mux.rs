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
use crate::timer::{Served, Timers};
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
        // Heads and trailers need no window: they do not wait for others' bodies.
        if budget > 0 || waiting < AHEAD {
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
    pub(super) fn new(streams: &Rc<RefCell<Streams>>, number: u32, timers: &Rc<Timers>) -> Self {
        Self {
            streams: Rc::clone(streams),
            number,
            _served: Served::new(timers),
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
        if let Some(lane) = &lane {
            if lane.queued {
                streams.queue.retain(|number| *number != self.number);
            }
            streams.turns -= usize::from(lane.has_turn);
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

#[cfg(test)]
mod tests {
    use super::super::incoming::Incoming;
    use super::*;
    use portway_core::http2::{Limits, Role};
    use std::sync::{Arc, Mutex};
    use std::task::Wake;
    use std::time::Duration;

    const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    const ALONE: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

    /// A client with these streams, each a GET.
    struct Scene {
        streams: Rc<RefCell<Streams>>,
        incoming: Incoming,
        timers: Rc<Timers>,
    }

    impl Scene {
        fn new() -> Self {
            let account = Rc::new(Buffers::default());
            let core = Core::new(Role::Server, Limits::default());
            let mut scene = Self {
                streams: Rc::new(RefCell::new(Streams::new(core, account))),
                incoming: Incoming::new(1000, false),
                timers: Rc::default(),
            };
            scene.hear(GREETING);
            scene
        }

        fn hear(&mut self, bytes: &[u8]) {
            let mut streams = self.streams.borrow_mut();
            let heard = self
                .incoming
                .hear(&mut streams, bytes, Duration::ZERO, || 0);
            assert_eq!(heard, Ok(bytes.len()));
        }

        fn begin(&mut self, number: u32) -> Mux {
            let mut frame = vec![0, 0, 6, 1, 5];
            frame.extend(number.to_be_bytes());
            frame.extend([0x82, 0x87, 0x84, 0x41, 1, b'a']);
            self.hear(&frame);
            Mux::new(&self.streams, number, &self.timers)
        }

        /// Gives the connection and these streams so much more room.
        fn open(&mut self, bytes: u32, numbers: &[u32]) {
            for number in [&[0], numbers].concat() {
                let mut frame = vec![0, 0, 4, 8, 0];
                frame.extend(number.to_be_bytes());
                frame.extend(bytes.to_be_bytes());
                self.hear(&frame);
            }
        }

        fn send_all(&mut self) {
            let mut streams = self.streams.borrow_mut();
            let bytes = streams.to_send().len();
            streams.sent(bytes);
        }

        fn waits(&self) -> (usize, usize) {
            let streams = self.streams.borrow();
            (streams.queue.len(), streams.turns)
        }
    }

    /// How much was taken; 0: it has to wait.
    fn write(mux: &mut Mux, bytes: &[u8]) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        match mux.poll_write(&mut cx, &[IoSlice::new(bytes)]) {
            Poll::Ready(taken) => taken.unwrap(),
            Poll::Pending => 0,
        }
    }

    /// Writes as much as is taken.
    fn fill(mux: &mut Mux) -> usize {
        let body = [b'x'; 100_000];
        std::iter::from_fn(|| Some(write(mux, &body)).filter(|it| *it > 0)).sum()
    }

    #[test]
    fn heads_do_not_wait_for_the_window_of_bodies() {
        let mut scene = Scene::new();
        let [mut one, mut other] = [1, 3].map(|number| scene.begin(number));
        assert_eq!(write(&mut one, HEAD), HEAD.len());
        while fill(&mut one) > 0 {
            scene.send_all();
        }
        // The window of the connection is used up, and one waits for it.
        assert_eq!(scene.streams.borrow().core.send_window(), 0);
        assert_eq!(scene.waits(), (1, 0));
        assert_eq!(write(&mut other, ALONE), ALONE.len());
    }

    /// Notes who is woken.
    struct Woken(u32, Arc<Mutex<VecDeque<u32>>>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push_back(self.0);
        }
    }

    #[test]
    fn who_waits_has_its_turn() {
        let mut scene = Scene::new();
        let mut all = [1, 3, 5, 7, 9, 11].map(|number| scene.begin(number));
        scene.open(1_000_000, &[1, 3, 5, 7, 9, 11]);
        let woken: Arc<Mutex<VecDeque<u32>>> = Arc::default();
        let mut had = [0; 6];
        woken.lock().unwrap().extend([1, 3, 5, 7, 9, 11]);
        for mux in &mut all {
            assert_eq!(write(mux, HEAD), HEAD.len());
        }
        // Each runs when it is woken, and what is to be sent is sent when nobody is to run.
        for _ in 0..300 {
            let Some(number) = woken.lock().unwrap().pop_front() else {
                scene.send_all();
                continue;
            };
            let place = (number / 2) as usize;
            let waker = Waker::from(Arc::new(Woken(number, Arc::clone(&woken))));
            let mut cx = Context::from_waker(&waker);
            let body = [IoSlice::new(&[b'x'; 100_000])];
            while let Poll::Ready(taken) = all[place].poll_write(&mut cx, &body) {
                had[place] += taken.unwrap();
            }
        }
        let (least, most) = (had.iter().min().unwrap(), had.iter().max().unwrap());
        // Who comes first, and alone, has filled what may wait.
        assert!(most - least <= AHEAD + 2 * TURN, "{had:?}");
        assert!(*least > 100_000, "{had:?}");
    }

    /// Streams end as they wait, or as they have their turn: others go on, and nothing is left of them.
    #[test]
    fn who_ends_leaves_its_turn_to_others() {
        let mut scene = Scene::new();
        let mut stays = scene.begin(1);
        scene.open(10_000_000, &[1]);
        assert_eq!(write(&mut stays, HEAD), HEAD.len());
        for round in 0..50 {
            let numbers = [0, 2, 4, 6, 8, 10].map(|it| 3 + round * 12 + it);
            let mut all = numbers.map(|number| scene.begin(number));
            assert!(fill(&mut stays) > 0, "{round}");
            for mux in &mut all {
                // What may be sent is full already: the head waits too.
                assert_eq!(write(mux, HEAD), 0, "{round}");
            }
            let [a, b, c, rest @ ..] = all;
            drop((a, rest));
            scene.send_all();
            drop((b, c));
            scene.send_all();
        }
        drop(stays);
        assert_eq!(scene.waits(), (0, 0));
        assert_eq!(scene.timers.beside(), 0);
    }
}
