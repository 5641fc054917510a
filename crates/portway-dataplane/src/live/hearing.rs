//! Whether the sockets of a listener listen: one whose gate was shut does so again a moment after it opens, or cannot.
//!
//! The hard thing is who opens a gate while a worker shuts it: the worker counts first and looks at the gate then, the other opens
//! first and looks at the count then, so one of them sees the other.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Gate, ListenerState};

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Sockets that do not listen, all workers together.
    shut: AtomicU32,
    /// Why the latest could not; 0: none has failed since all did.
    why: AtomicI32,
}

/// Numbers of sockets of this process that do not listen: nothing tells such a one from a connection that has ended.
static NUMBERS: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

fn numbers() -> MutexGuard<'static, BTreeSet<RawFd>> {
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers of sockets that have the addresses of listeners and do not listen: who takes over gets them as they are.
pub fn shut_sockets() -> BTreeSet<RawFd> {
    numbers().clone()
}

/// A socket of a listener that does not listen. The one is to be dropped before the other.
#[derive(Debug)]
pub(crate) struct Shut {
    of: Arc<ListenerState>,
    number: RawFd,
}

impl Shut {
    /// One more of this listener.
    pub(crate) fn of(state: &Arc<ListenerState>, socket: BorrowedFd<'_>) -> Self {
        let number = socket.as_raw_fd();
        numbers().insert(number);
        state.hearing.shut.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Self {
            of: Arc::clone(state),
            number,
        }
    }

    /// True where it is one of this listener.
    pub(crate) fn is_of(&self, state: &Arc<ListenerState>) -> bool {
        Arc::ptr_eq(&self.of, state)
    }

    /// It cannot listen again.
    pub(crate) fn cannot(&self, why: &io::Error) {
        let number = why.raw_os_error().unwrap_or_default();
        self.of.hearing.why.store(number, Ordering::Relaxed);
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        numbers().remove(&self.number);
        let hearing = &self.of.hearing;
        if hearing.shut.fetch_sub(1, Ordering::Relaxed) == 1 {
            hearing.why.store(0, Ordering::Relaxed);
        }
    }
}

impl ListenerState {
    /// True where it accepts: its gate is open, and all its sockets listen.
    pub fn accepts(&self) -> bool {
        self.gate() == Gate::Open && self.all_listen()
    }

    /// True where no socket of it is shut. To be asked after its gate was opened, by whoever has opened it.
    pub fn all_listen(&self) -> bool {
        fence(Ordering::SeqCst);
        self.hearing.shut.load(Ordering::Relaxed) == 0
    }

    /// Why a socket of it could not listen again; `None` where none has failed since all did.
    pub fn cannot_listen(&self) -> Option<io::Error> {
        let number = self.hearing.why.load(Ordering::Relaxed);
        (number != 0).then(|| io::Error::from_raw_os_error(number))
    }
}
