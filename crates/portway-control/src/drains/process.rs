//! The process among what drains: whoever stops it asks here what is due, and a command may take it back until its listeners close.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_core::drain::{Step, Terms};

use super::{Drains, Entry, Thing};

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

/// What has become of a wish for other times of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// They hold.
    Begun,
    /// The process does not stop.
    AtWork,
    /// It has cut off what it had, and ends.
    Over,
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

    /// The process that stops has these times from now on.
    pub(crate) fn process_again(&self, leave: Duration, deadline: Duration) -> Again {
        self.again(&mut self.entries(), leave, deadline)
    }

    /// The same, and nobody takes it back any more.
    pub(crate) fn process_for_good(&self, leave: Duration, deadline: Duration) {
        let mut entries = self.entries();
        self.of_process.may_return.store(false, Ordering::Relaxed);
        self.again(&mut entries, leave, deadline);
    }

    fn again(&self, entries: &mut [Entry], leave: Duration, deadline: Duration) -> Again {
        let now = self.now();
        let terms = Terms {
            leave,
            deadline: Some(deadline),
        };
        match entries.iter_mut().find(|it| it.thing.is_process()) {
            None => Again::AtWork,
            Some(entry) if !entry.drain.is_leaving() => Again::Over,
            Some(entry) => {
                entry.drain.begin(now, terms);
                Again::Begun
            }
        }
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

    /// True where the process has stopped, or has cut off what it had.
    pub(crate) fn process_is_over(&self) -> bool {
        let entries = self.entries();
        let mut process = entries.iter().filter(|it| it.thing.is_process());
        process.any(|it| !it.drain.is_leaving())
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
