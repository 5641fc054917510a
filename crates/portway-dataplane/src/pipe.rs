//! Pipes that carry bulk from socket to socket inside the kernel: splice(2).
//!
//! A transfer that has filled its buffer several times in a row borrows a pipe, for as long as much comes. What would go
//! through the memory of this process is then moved page by page. A pipe that is empty while nothing comes goes back to the
//! worker, so that a connection that rests holds none. There are at most so many in the process as it may have; who gets none
//! copies. That the kernel pins pages in them is bounded by that number.

use crate::stream::Socket;
use portway_telemetry::metrics::PipeFigures;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;

/// Bytes that a pipe holds: what is the cheapest by `docs/performance.md` at a cost that many can have.
const PIPE_BYTES: usize = 256 * 1024;
/// One that holds less than that is no use.
const LEAST_BYTES: usize = PIPE_BYTES / 2;
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
    _counted: Counted,
}

/// A place among the pipes that there may be.
#[derive(Debug)]
struct Counted;

impl Counted {
    /// `None`: there are as many as there may be.
    fn new() -> Option<Self> {
        let most = MOST.load(Ordering::Relaxed);
        let another = |open: u32| (open < most).then_some(open + 1);
        let counted = OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another);
        counted.ok().map(|_| Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    fn open(counted: Counted) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Who may have no large one is better off without: a small one takes as many calls as reading and writing.
        let size = fcntl_setpipe_size(&write, PIPE_BYTES)?;
        match size < LEAST_BYTES {
            true => Err(io::ErrorKind::OutOfMemory.into()),
            false => Ok(Self {
                read,
                write,
                _counted: counted,
            }),
        }
    }
}

/// The free pipes of a worker.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    free: RefCell<Vec<Pipe>>,
    /// The system gave none since the last tick.
    lacking: Cell<bool>,
    /// One was wanted since the last look.
    wanted: Cell<bool>,
}

impl Pipes {
    /// A pipe for a transfer; `None`: there are enough of them, or the system gives none. `counted`: the transfer was counted
    /// among those without one.
    pub(crate) fn lend(self: &Rc<Self>, counted: &mut bool) -> Option<Lent> {
        let most = MOST.load(Ordering::Relaxed);
        self.wanted.set(true);
        let free = self.free.borrow_mut().pop();
        let pipe = free.or_else(|| self.another()).filter(|_| most > 0);
        if pipe.is_none() && most > 0 && !std::mem::replace(counted, true) {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        let pipe = pipe?;
        LENT.fetch_add(1, Ordering::Relaxed);
        Some(Lent {
            pipe: Some(pipe),
            holds: 0,
            turn: 0,
            of: Rc::clone(self),
        })
    }

    #[cold]
    fn another(&self) -> Option<Pipe> {
        if self.lacking.get() {
            return None;
        }
        let opened = Pipe::open(Counted::new()?);
        self.lacking.set(opened.is_err());
        opened.ok()
    }

    /// Closes those that nobody uses where there are more than there may be; with each tick.
    pub(crate) fn tick(&self) {
        self.lacking.set(false);
        if OPEN.load(Ordering::Relaxed) > MOST.load(Ordering::Relaxed) {
            self.clear();
        }
    }

    /// Closes those that nobody uses where none was wanted since the last look: every second.
    pub(crate) fn sweep(&self) {
        if !self.wanted.replace(false) {
            self.clear();
        }
    }

    /// Closes those that nobody uses; true where there were any.
    pub(crate) fn clear(&self) -> bool {
        let free = self.free.take();
        !free.is_empty()
    }
}

/// What came of filling a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// So many bytes are in it.
    With(usize),
    /// Only a read tells what is next: an end, an error, or what the kernel does not splice, as urgent data of TCP.
    ReadInstead,
    /// The kernel does not splice here.
    Never,
}

/// A pipe that a transfer has. Goes back to its worker on drop, if it is empty.
#[derive(Debug)]
pub(crate) struct Lent {
    /// `None` only while it goes back.
    pipe: Option<Pipe>,
    /// Bytes that are in it.
    holds: usize,
    /// Bytes that came since it was lent.
    turn: usize,
    of: Rc<Pipes>,
}

impl Lent {
    /// Bytes that are in it.
    pub(crate) fn holds(&self) -> usize {
        self.holds
    }

    /// Takes at most so many bytes from a socket. Only where it is empty. Pending too where others shall have their turn.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        most: u64,
    ) -> Poll<Filled> {
        if self.turn >= TURN_BYTES {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(pipe) = &self.pipe else {
            return Poll::Ready(Filled::Never);
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PIPE_BYTES);
        let filled = ready!(from.poll_io(cx, Interest::READABLE, |from| {
            match step(from, pipe.write.as_fd(), most) {
                // Where a read would give something all the same, it is not to be waited for.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match crate::sys::has_input(&from) {
                        true => Ok(0),
                        false => Err(error),
                    }
                }
                other => other,
            }
        }));
        Poll::Ready(match filled {
            Ok(0) => Filled::ReadInstead,
            Ok(moved) => {
                self.holds += moved;
                self.turn += moved;
                Filled::With(moved)
            }
            Err(error) if is_of_the_kernel(&error) => Filled::Never,
            Err(_) => Filled::ReadInstead,
        })
    }

    /// Gives what it holds to a socket, as much of it as that takes.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &Socket,
    ) -> Poll<io::Result<usize>> {
        let Some(pipe) = &self.pipe else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let most = self.holds;
        let moved = ready!(to.poll_io(cx, Interest::WRITABLE, |to| {
            step(pipe.read.as_fd(), to, most)
        }))?;
        if moved == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.holds = self.holds.saturating_sub(moved);
        MOVED.fetch_add(moved as u64, Ordering::Relaxed);
        Poll::Ready(Ok(moved))
    }
}

/// Moves at most so many bytes from one descriptor to another.
fn step(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

/// True for an error that says that there is no splice(2), or none for this kind of socket.
fn is_of_the_kernel(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let none = [Errno::NOSYS, Errno::INVAL, Errno::PERM, Errno::OPNOTSUPP];
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|it| none.contains(&it))
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.fetch_sub(1, Ordering::Relaxed);
        // What is left in it is nobody else's. Where there are as many as there may be, none is kept from other workers.
        let has_room = OPEN.load(Ordering::Relaxed) < MOST.load(Ordering::Relaxed);
        let mut free = self.of.free.borrow_mut();
        if let Some(pipe) = self.pipe.take()
            && self.holds == 0
            && has_room
            && free.len() < FREE_PIPES
        {
            free.push(pipe);
        }
    }
}
