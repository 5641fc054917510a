//! Pipes that carry bulk from socket to socket inside the kernel: splice(2).
//!
//! A transfer that has filled its buffer several times in a row borrows a pipe, for as long as much comes. What would go
//! through the memory of this process is then moved page by page. A pipe that is empty while nothing comes goes back to the
//! worker, so that a connection that rests holds none. There are at most so many in the process as it may have; who gets none
//! copies. That the kernel pins pages in them is bounded by that number.

use crate::stream::{Side, Socket};
use portway_telemetry::metrics::PipeFigures;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

/// Bytes that a pipe holds: what is the cheapest by `docs/performance.md` at a cost that many can have.
const PIPE_BYTES: usize = 256 * 1024;
/// One that holds less than that is no use: a user without rights who has many gets small ones.
const LEAST_BYTES: usize = 64 * 1024;
/// Free pipes that a worker keeps.
const FREE_PIPES: usize = 16;
/// Bytes that one transfer moves before others have their turn.
const TURN_BYTES: usize = 4 * 1024 * 1024;

/// Pipes that are open, all workers together; descriptors are of the process, and so is this count.
static OPEN: AtomicU32 = AtomicU32::new(0);
/// Those in which something may be.
static LENT: AtomicU32 = AtomicU32::new(0);
/// How many there may be.
static MOST: AtomicU32 = AtomicU32::new(0);
/// Bytes that went through pipes.
static MOVED: AtomicU64 = AtomicU64::new(0);
/// How often a transfer found none and copied.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// What is known of pipes now.
pub fn figures() -> PipeFigures {
    let lent = LENT.load(Ordering::Relaxed);
    PipeFigures {
        most: MOST.load(Ordering::Relaxed),
        lent,
        free: OPEN.load(Ordering::Relaxed).saturating_sub(lent),
        bytes: MOVED.load(Ordering::Relaxed),
        refused: REFUSED.load(Ordering::Relaxed),
    }
}

/// Descriptors that they take.
pub(crate) fn descriptors() -> u32 {
    OPEN.load(Ordering::Relaxed).saturating_mul(2)
}

/// Says how many pipes there may be; 0: everything is copied. Those that are lent stay until they are given back.
pub fn set_most(most: u32) {
    MOST.store(most, Ordering::Relaxed);
}

/// A pipe of the process.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    /// A new one, if there may be another.
    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        OPEN.fetch_add(1, Ordering::Relaxed);
        let pipe = Self { read, write };
        // Who may have no larger one has that of the default size, or less.
        let size = fcntl_setpipe_size(&pipe.write, PIPE_BYTES)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&pipe.write))?;
        match size < LEAST_BYTES {
            true => Err(io::ErrorKind::OutOfMemory.into()),
            false => Ok(pipe),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The free pipes of a worker.
#[derive(Debug, Default)]
pub(crate) struct Pipes(RefCell<Vec<Pipe>>);

impl Pipes {
    /// A pipe for a transfer; `None`: there are enough of them, or the system gives none.
    pub(crate) fn lend(self: &Rc<Self>) -> Option<Lent> {
        let most = MOST.load(Ordering::Relaxed);
        let free = self.0.borrow_mut().pop();
        let pipe = free.or_else(|| {
            let room = OPEN.load(Ordering::Relaxed) < most;
            room.then(Pipe::open).and_then(Result::ok)
        });
        let Some(pipe) = pipe.filter(|_| most > 0) else {
            REFUSED.fetch_add(u64::from(most > 0), Ordering::Relaxed);
            return None;
        };
        LENT.fetch_add(1, Ordering::Relaxed);
        Some(Lent {
            pipe: Some(pipe),
            holds: 0,
            turn: 0,
            of: Rc::clone(self),
        })
    }

    /// Closes those that nobody uses.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// A pipe that a transfer has. Goes back to its worker on drop, if it is empty.
#[derive(Debug)]
pub(crate) struct Lent {
    /// `None` only while it goes back.
    pipe: Option<Pipe>,
    /// Bytes that are in it.
    holds: usize,
    /// Bytes that came since others had their turn.
    turn: usize,
    of: Rc<Pipes>,
}

impl Lent {
    /// Bytes that are in it.
    pub(crate) fn holds(&self) -> usize {
        self.holds
    }

    /// Takes at most so many bytes from a socket; 0 at its end. Only where it is empty.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        if self.turn >= TURN_BYTES {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PIPE_BYTES);
        let into = self.pipe.as_ref().map(|pipe| pipe.write.as_fd());
        let moved = ready!(from.poll_io(cx, Side::Read, |from| step(Some(from), into, most)))?;
        self.holds += moved;
        self.turn += moved;
        Poll::Ready(Ok(moved))
    }

    /// Gives what it holds to a socket, as much of it as that takes.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &Socket,
    ) -> Poll<io::Result<usize>> {
        let out = self.pipe.as_ref().map(|pipe| pipe.read.as_fd());
        let most = self.holds;
        let moved = ready!(to.poll_io(cx, Side::Write, |to| step(out, Some(to), most)))?;
        self.holds = self.holds.saturating_sub(moved);
        MOVED.fetch_add(moved as u64, Ordering::Relaxed);
        Poll::Ready(Ok(moved))
    }
}

/// Moves at most so many bytes from one descriptor to another.
fn step(
    from: Option<BorrowedFd<'_>>,
    to: Option<BorrowedFd<'_>>,
    most: usize,
) -> io::Result<usize> {
    let (Some(from), Some(to)) = (from, to) else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.fetch_sub(1, Ordering::Relaxed);
        // What is left in it is nobody else's.
        let Some(pipe) = self.pipe.take().filter(|_| self.holds == 0) else {
            return;
        };
        let mut free = self.of.0.borrow_mut();
        let may_stay = OPEN.load(Ordering::Relaxed) <= MOST.load(Ordering::Relaxed);
        if free.len() < FREE_PIPES && may_stay {
            free.push(pipe);
        }
    }
}
