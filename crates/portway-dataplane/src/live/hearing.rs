//! Whether the sockets of a listener listen: one whose gate was shut does so again a moment after it opens, or cannot.
//!
//! The hard thing is who opens a gate while a worker shuts it: the worker counts first and looks at the gate then, the other opens
//! first and looks at the count then, so one of them sees the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering, fence};

use super::{Gate, ListenerState};

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Sockets that do not listen, all workers together.
    shut: AtomicU32,
    /// Why the latest could not; 0: none has failed since all did.
    why: AtomicI32,
}

/// A socket of a listener that does not listen.
#[derive(Debug)]
pub(crate) struct Shut(Arc<ListenerState>);

impl Shut {
    /// One more of this listener.
    pub(crate) fn of(state: &Arc<ListenerState>) -> Self {
        state.hearing.shut.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Self(Arc::clone(state))
    }

    /// True where it is one of this listener.
    pub(crate) fn is_of(&self, state: &Arc<ListenerState>) -> bool {
        Arc::ptr_eq(&self.0, state)
    }

    /// It cannot listen again.
    pub(crate) fn cannot(&self, why: &io::Error) {
        let number = why.raw_os_error().unwrap_or_default();
        self.0.hearing.why.store(number, Ordering::Relaxed);
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        let hearing = &self.0.hearing;
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
