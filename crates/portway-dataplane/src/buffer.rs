//! Read buffers, leased from a pool of the worker for as long as there is something in them.
//!
//! An idle connection owns none: it polls the socket with a buffer that goes back when nothing was there. Buffers
//! never shrink or move between workers; the pool keeps a bounded number of them.

use crate::live::ProcessState;
use crate::memory::Account;
use crate::pipe::Pipes;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of a new buffer: HAProxy's and nginx's customary 16 KiB times two, so that a 64 KiB body takes two or
/// three reads; a small request touches one page of it.
pub(crate) const BUFFER_BYTES: usize = 32 * 1024;
/// Free buffers that a worker keeps: 2 MiB. More are given back to the allocator.
pub(crate) const FREE_BUFFERS: usize = 64;

/// The free buffers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Box<[u8]>>>,
    account: Account,
    /// For what is moved without a buffer.
    pub(crate) pipes: Rc<Pipes>,
}

impl Buffers {
    /// Those of a worker of this process.
    pub(crate) fn of(process: Arc<ProcessState>) -> Self {
        Self {
            free: RefCell::default(),
            account: Account::new(process),
            pipes: Rc::default(),
        }
    }

    /// True where new requests are to be turned away because memory is short.
    #[inline]
    pub(crate) fn are_short(&self) -> bool {
        self.account.is_full()
    }

    /// Tells the process what is taken; with each tick.
    pub(crate) fn tell(&self) {
        self.account.tell(self.free.borrow().len() * BUFFER_BYTES);
    }

    /// Counts memory that is no buffer of these, or one that was made larger.
    pub(crate) fn take(&self, bytes: usize) {
        self.account.take(bytes);
        if !self.free.borrow().is_empty() {
            self.tell();
        }
    }

    /// Counts it as given back.
    pub(crate) fn give(&self, bytes: usize) {
        self.account.give(bytes);
    }

    /// An empty buffer.
    pub(crate) fn lease(self: &Rc<Self>) -> Buffer {
        let free = self.free.borrow_mut().pop();
        let bytes = free.unwrap_or_else(|| self.another());
        Buffer {
            bytes,
            start: 0,
            end: 0,
            pool: Rc::clone(self),
        }
    }

    /// One that was not there before.
    #[cold]
    fn another(&self) -> Box<[u8]> {
        self.account.take(BUFFER_BYTES);
        vec![0; BUFFER_BYTES].into_boxed_slice()
    }

    fn give_back(&self, bytes: Box<[u8]>) {
        let mut free = self.free.borrow_mut();
        if free.len() < FREE_BUFFERS && bytes.len() == BUFFER_BYTES {
            free.push(bytes);
        } else {
            self.account.give(bytes.len());
        }
    }
}

/// A leased buffer: `start..end` is what was received and not yet consumed. Goes back to its pool on drop.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    pool: Rc<Buffers>,
}

impl Buffer {
    /// What was received and not consumed.
    #[inline]
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The same, to be changed in place.
    #[inline]
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Where new bytes go.
    #[inline]
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// `n` bytes were written to [`Buffer::spare`].
    #[inline]
    pub(crate) fn received(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }

    /// The first `n` bytes are done with.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// True where nothing is left.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Bytes that are left.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Begins again at the front. What was left is lost.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Makes room for at least one byte more: moves what is left to the front, or grows up to `limit` bytes.
    /// False where `limit` bytes are already filled.
    pub(crate) fn make_room(&mut self, limit: usize) -> bool {
        if self.end < self.bytes.len() {
            return true;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            return true;
        }
        if self.bytes.len() >= limit {
            return false;
        }
        let mut larger = vec![0; (self.bytes.len() * 2).max(BUFFER_BYTES).min(limit)];
        if let Some(front) = larger.get_mut(..self.end) {
            front.copy_from_slice(self.filled());
        }
        self.pool.give(self.bytes.len());
        self.pool.take(larger.len());
        self.bytes = larger.into_boxed_slice();
        true
    }

    /// Keeps only what is left, in memory of that size.
    pub(crate) fn shrink(&mut self) {
        let kept: Box<[u8]> = self.filled().into();
        (self.start, self.end) = (0, kept.len());
        self.pool.take(kept.len());
        self.pool
            .give_back(std::mem::replace(&mut self.bytes, kept));
    }

    /// Another lease with what is left in this one from `offset` on; this one ends there.
    pub(crate) fn split_off(&mut self, offset: usize) -> Buffer {
        let rest = self.copy_off(offset);
        self.end = (self.start + offset).min(self.end);
        rest
    }

    /// A copy of what stands from `offset` on.
    pub(crate) fn copy_off(&self, offset: usize) -> Buffer {
        let mut rest = self.pool.lease();
        let at = (self.start + offset).min(self.end);
        let tail = self.bytes.get(at..self.end).unwrap_or_default();
        if rest.bytes.len() < tail.len() {
            self.pool.give(rest.bytes.len());
            self.pool.take(tail.len());
            rest.bytes = tail.into();
        } else if let Some(front) = rest.bytes.get_mut(..tail.len()) {
            front.copy_from_slice(tail);
        }
        rest.end = tail.len();
        rest
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &Rc<Buffers>, text: &[u8]) -> Buffer {
        let mut buffer = pool.lease();
        buffer.spare()[..text.len()].copy_from_slice(text);
        buffer.received(text.len());
        buffer
    }

    #[test]
    fn consume_split_and_room() {
        let pool = Rc::new(Buffers::default());
        let mut buffer = filled(&pool, b"headbodynext");
        buffer.consume(4);
        let rest = buffer.split_off(4);
        assert_eq!(
            (buffer.filled(), rest.filled()),
            (&b"body"[..], &b"next"[..])
        );
        buffer.received(usize::MAX / 2);
        assert!(buffer.make_room(BUFFER_BYTES), "moves to the front");
        assert_eq!(&buffer.filled()[..4], b"body");
        buffer.received(usize::MAX / 2);
        assert!(!buffer.make_room(BUFFER_BYTES), "full");
        assert!(buffer.make_room(BUFFER_BYTES * 2), "grows");
    }

    #[test]
    fn shrunk_and_grown_again() {
        let pool = Rc::new(Buffers::default());
        let mut buffer = filled(&pool, b"headrest");
        buffer.consume(4);
        buffer.shrink();
        assert_eq!(buffer.filled(), b"rest");
        assert!(buffer.spare().is_empty());
        assert_eq!(pool.free.borrow().len(), 1);
        assert!(buffer.make_room(BUFFER_BYTES) && buffer.filled() == b"rest");
        assert_eq!(buffer.split_off(2).filled(), b"st");
    }

    #[test]
    fn the_pool_is_bounded() {
        let pool = Rc::new(Buffers::default());
        let leased: Vec<Buffer> = (0..FREE_BUFFERS + 10).map(|_| pool.lease()).collect();
        drop(leased);
        assert_eq!(pool.free.borrow().len(), FREE_BUFFERS);
    }

    #[test]
    fn what_is_taken_is_counted_and_given_back() {
        let process = Arc::new(ProcessState::default());
        let pool = Rc::new(Buffers::of(process.clone()));
        let taken = |expected: usize| {
            pool.tell();
            assert_eq!(process.memory_used().buffers, expected as u64);
        };
        let mut buffer = filled(&pool, b"headrest");
        taken(BUFFER_BYTES);
        buffer.received(usize::MAX / 2);
        assert!(buffer.make_room(3 * BUFFER_BYTES));
        taken(2 * BUFFER_BYTES);
        buffer.received(usize::MAX / 2);
        let rest = buffer.split_off(4);
        taken(4 * BUFFER_BYTES - 4);
        drop(buffer);
        let mut small = filled(&pool, b"left");
        taken(3 * BUFFER_BYTES - 4);
        small.shrink();
        taken(2 * BUFFER_BYTES);
        drop((rest, small));
        let many: Vec<Buffer> = (0..FREE_BUFFERS + 10).map(|_| pool.lease()).collect();
        taken((FREE_BUFFERS + 10) * BUFFER_BYTES);
        drop(many);
        taken(0);
    }
}
