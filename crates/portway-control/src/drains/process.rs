//! The process among what drains: whoever stops it asks here what is due, and a command may take it back until its listeners close.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_core::drain::{Step, Terms};

use super::{Drains, Thing};

/// What is known of a stop of the process.
#[derive(Debug, Default)]
pub(super) struct OfProcess {
    /// It was begun by a command.
    may_return: AtomicBool,
    /// Listeners have closed, or are about to.
    closed: AtomicBool,
}

impl OfProcess {
    pub(super) fn has_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// What has become of a wish to take back a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    /// The process is at work.
    AtWork,
    /// Its listeners are closed.
    TooLate,
}

impl Drains {
    /// The process stops. `by_command`: somebody may take it back until it closes.
    pub(crate) fn begin_process(&self, terms: Terms, by_command: bool) {
        self.begin(Thing::Process, terms);
        self.of_process
            .may_return
            .store(by_command, Ordering::Relaxed);
    }

    /// The process that stops has these times from now on. False where it does not stop.
    pub(crate) fn process_again(&self, leave: Duration, deadline: Duration) -> bool {
        let now = self.now();
        let mut entries = self.entries();
        let entry = entries.iter_mut().find(|it| it.thing.is_process());
        let terms = Terms {
            leave,
            deadline: Some(deadline),
        };
        entry.is_some_and(|it| !it.drain.begin(now, terms))
    }

    /// The same, and nobody takes it back any more.
    pub(crate) fn process_for_good(&self, leave: Duration, deadline: Duration) {
        self.of_process.may_return.store(false, Ordering::Relaxed);
        self.process_again(leave, deadline);
    }

    /// The process that stops by command stays; `None` where it does not stop, or not by command.
    pub(crate) fn take_back_process(&self) -> Option<Return> {
        let mut entries = self.entries();
        let at = entries.iter().position(|it| it.thing.is_process())?;
        if !self.of_process.may_return.load(Ordering::Relaxed) {
            return None;
        }
        if !entries.get(at)?.drain.accepts() {
            return Some(Return::TooLate);
        }
        let entry = entries.swap_remove(at);
        self.process.set_at_work();
        self.tell_of_return(&entry.thing);
        Some(Return::AtWork)
    }

    /// False where somebody has taken back the stop of the process.
    pub(crate) fn process_leaves(&self) -> bool {
        self.entries().iter().any(|it| it.thing.is_process())
    }

    /// What is due of the process, where `is_over` says that nothing is left of it.
    pub(crate) fn step_of_process(&self, is_over: bool) -> Option<Step> {
        let now = self.now();
        let mut entries = self.entries();
        let entry = entries.iter_mut().find(|it| it.thing.is_process())?;
        let left = match is_over {
            true => 0,
            // Some may come out of the queues of sockets.
            false => entry.thing.left(&self.process).max(1),
        };
        let step = entry.drain.look(now, left);
        if step == Some(Step::Close) {
            self.of_process.closed.store(true, Ordering::Relaxed);
        }
        step
    }
}
