//! What we send.

use super::{Connection, REMEMBERED, Remote, Role, Stream};
use crate::http2::frame::{self, ErrorCode};
use crate::http2::hpack;

/// The last number that a stream can have.
const LAST_STREAM: u32 = (1 << 31) - 1;
/// Windows that a peer has filled before its window grows.
const FILLED: u64 = 2;

impl Connection {
    /// What the peer has said of itself.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// True once the peer's settings have come.
    pub fn is_greeted(&self) -> bool {
        self.has_settings
    }

    /// True where a part of a block of fields has come.
    pub fn is_in_block(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Streams that are not over.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// The last stream that was begun.
    pub fn last_stream(&self) -> u32 {
        self.last
    }

    /// True while a stream is not over.
    pub fn is_open(&self, stream: u32) -> bool {
        self.streams.contains_key(&stream)
    }

    /// True where a stream of ours can be begun now.
    pub fn may_open(&self) -> bool {
        let is_full = self.streams.len() >= self.remote.streams as usize;
        self.role == Role::Client && !is_full && self.closing.is_none() && self.last < LAST_STREAM
    }

    /// Begins a stream of ours with a head that was begun by [`Connection::begin_block`]. `None`: there are as many as the peer
    /// allows, or no numbers are left.
    pub fn open(&mut self, head: &[u8], end: bool) -> Option<u32> {
        if !self.may_open() {
            return None;
        }
        let number = match self.last {
            0 => 1,
            last => last + 2,
        };
        self.last = number;
        let begun = self.new_stream();
        self.streams.insert(number, begun);
        self.send_block(number, head, end);
        Some(number)
    }

    /// Begins a block of fields.
    pub fn begin_block(&mut self, block: &mut Vec<u8>) {
        block.clear();
        if !self.has_begun {
            hpack::begin(block);
        }
    }

    /// Sends a block of fields that was begun by [`Connection::begin_block`]. On a stream that is over it goes nowhere.
    pub fn send_block(&mut self, stream: u32, block: &[u8], end: bool) {
        let Some(open) = self.streams.get_mut(&stream) else {
            // Nothing in it is in a table: that it is not sent changes nothing for others.
            return;
        };
        self.has_begun = true;
        open.local_open &= !end;
        frame::write_block(stream, block, end, self.remote.payload, &mut self.out);
        self.forget_if_over(stream);
    }

    /// Bytes that may be sent of a body now, in one frame.
    #[inline]
    pub fn room(&self, stream: u32) -> usize {
        let Some(open) = self.streams.get(&stream).filter(|it| it.local_open) else {
            return 0;
        };
        let window = open.send_window.min(self.send_window).max(0);
        usize::try_from(window).map_or(0, |window| window.min(self.remote.payload))
    }

    /// Bytes that may be sent of all bodies together.
    #[inline]
    pub fn send_window(&self) -> usize {
        usize::try_from(self.send_window).unwrap_or(0)
    }

    /// So many bytes of a body are sent, within [`Connection::room`]: a frame of them is written to `out` by the owner.
    pub fn sent(&mut self, stream: u32, bytes: usize, end: bool) {
        if let Some(open) = self.streams.get_mut(&stream) {
            open.send_window -= bytes as i64;
            open.local_open &= !end;
            self.send_window -= bytes as i64;
            self.forget_if_over(stream);
        }
    }

    /// So many bytes that came on a stream were used: the peer may send as many more. One that keeps filling its window gets a
    /// wider one.
    pub fn used(&mut self, stream: u32, bytes: usize) {
        let Some(open) = self.streams.get_mut(&stream).filter(|it| it.remote_open) else {
            return;
        };
        open.used += bytes as u32;
        open.used_in_all += bytes as u64;
        if open.used < open.window / 2 {
            return;
        }
        let mut more = std::mem::take(&mut open.used);
        let widest = self.limits.widest_window;
        if open.window < widest && open.used_in_all >= u64::from(open.window) * FILLED {
            let left = self.limits.widened.saturating_sub(self.widened);
            let wider = (widest - open.window).min(open.window).min(left);
            more += wider;
            open.window += wider;
            open.widened += wider;
            self.widened += wider;
        }
        open.receive_window += i64::from(more);
        frame::write_window_update(stream, more, &mut self.out);
    }

    /// Ends a stream before its time.
    pub fn reset(&mut self, stream: u32, code: ErrorCode) {
        if self.streams.contains_key(&stream) {
            self.end(stream, code);
        }
    }

    pub(super) fn new_stream(&self) -> Stream {
        Stream {
            remote_open: true,
            local_open: true,
            has_head: false,
            send_window: self.remote.window,
            receive_window: i64::from(self.limits.stream_window),
            used: 0,
            widened: 0,
            used_in_all: 0,
            window: self.limits.stream_window,
        }
    }

    pub(super) fn end(&mut self, stream: u32, code: ErrorCode) {
        self.forget(stream);
        if self.ended.len() >= REMEMBERED.max(2 * self.limits.streams as usize) {
            self.ended.pop_front();
        }
        self.ended.push_back(stream);
        frame::write_reset(stream, code, &mut self.out);
    }

    pub(super) fn forget_if_over(&mut self, stream: u32) {
        let is_over = |it: &Stream| !it.remote_open && !it.local_open;
        if self.streams.get(&stream).is_some_and(is_over) {
            self.forget(stream);
        }
    }

    /// The stream is over; false where it was.
    pub(super) fn forget(&mut self, stream: u32) -> bool {
        let known = self.streams.remove(&stream);
        self.widened -= known.map_or(0, |it| it.widened);
        known.is_some()
    }

    /// Says that no further streams are wanted; those on their way are served until [`Connection::finish`].
    pub fn drain(&mut self) {
        if self.closing.is_none() {
            frame::write_go_away(LAST_STREAM, ErrorCode::NO_ERROR, &mut self.out);
        }
    }

    /// Says which streams are served: those that have come. Later ones are not looked at.
    pub fn finish(&mut self, code: ErrorCode) {
        if self.closing.is_none() {
            self.closing = Some(self.last);
            let last = match self.role {
                Role::Server => self.last,
                Role::Client => 0,
            };
            frame::write_go_away(last, code, &mut self.out);
        }
    }

    /// True where nothing has to be done any more before the connection is closed.
    pub fn is_finished(&self) -> bool {
        self.closing.is_some() && self.streams.is_empty()
    }
}
