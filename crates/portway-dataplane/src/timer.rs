//! Deadlines without timer objects: a slot for each connection, looked through by the worker ten times a second.
//!
//! Setting a deadline stores a number; nothing is allocated, ordered or registered with the kernel. A deadline of a
//! second may therefore be met up to two [`TICK`]s late, never early. A slot also lets the worker wake a connection
//! that waits for nothing but its next request (to drain it).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often deadlines are looked through.
pub(crate) const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

/// Whether a connection waits for nothing but a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rests {
    /// Something is in progress.
    No,
    /// It waits for its first request, which is probably on its way.
    BeforeFirst,
    /// It waits for its next request.
    Between,
}

#[derive(Debug)]
struct Slot {
    deadline: u64,
    waker: Option<Waker>,
    rests: Rests,
    used: bool,
    /// When the connection was accepted, or its exchange before had ended.
    since: Instant,
}

/// The slots of a worker.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    now: Cell<u64>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
}

impl Timers {
    /// A slot for one connection.
    pub(crate) fn register(self: &Rc<Self>) -> Timer {
        let fresh = Slot {
            deadline: NEVER,
            waker: None,
            rests: Rests::No,
            used: true,
            since: Instant::now(),
        };
        let mut slots = self.slots.borrow_mut();
        let index = match self.free.borrow_mut().pop() {
            Some(index) => {
                if let Some(slot) = slots.get_mut(index as usize) {
                    *slot = fresh;
                }
                index
            }
            None => {
                slots.push(fresh);
                u32::try_from(slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        Timer {
            timers: Rc::clone(self),
            index,
        }
    }

    /// One tick has passed: wakes what is overdue.
    pub(crate) fn tick(&self, ticks: u64) {
        self.now.set(self.now.get() + ticks);
        let now = self.now.get();
        self.wake_where(|slot| slot.deadline <= now);
    }

    /// Ticks since the start: a coarse clock.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Expires every connection that waits for its next request; `first`: also those that wait for their first.
    pub(crate) fn expire_resting(&self, first: bool) {
        let rests = |slot: &Slot| match slot.rests {
            Rests::No => false,
            Rests::BeforeFirst => first,
            Rests::Between => true,
        };
        for slot in self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| slot.used && rests(slot))
        {
            slot.deadline = 0;
        }
        self.wake_where(rests);
    }

    /// Wakes everything that waits, so that it looks around.
    pub(crate) fn wake_all(&self) {
        self.wake_where(|_| true);
    }

    fn wake_where(&self, condition: impl Fn(&Slot) -> bool) {
        // Wakers only mark their task as ready: nothing runs, and borrows the slots, before this returns.
        for slot in self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| slot.used && condition(slot))
        {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The slot of one connection.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Rc<Timers>,
    index: u32,
}

impl Timer {
    fn with<R>(&self, run: impl FnOnce(&mut Slot, u64) -> R) -> Option<R> {
        self.timers
            .slots
            .borrow_mut()
            .get_mut(self.index as usize)
            .map(|slot| run(slot, self.timers.now.get()))
    }

    /// When the connection was accepted, or its exchange before had ended. It lives here because what a connection rests
    /// in is counted in bytes.
    pub(crate) fn since(&self) -> Instant {
        self.with(|slot, _| slot.since).unwrap_or_else(Instant::now)
    }

    /// An exchange has ended: what follows counts from now.
    pub(crate) fn begin_anew(&self) {
        self.with(|slot, _| slot.since = Instant::now());
    }

    /// Expires after this time, in place of what was set before.
    #[inline]
    pub(crate) fn set(&self, after: Duration) {
        let ticks = u64::try_from(after.as_millis().div_ceil(TICK.as_millis())).unwrap_or(NEVER);
        self.with(|slot, now| slot.deadline = now.saturating_add(ticks).saturating_add(1));
    }

    /// Says whether the connection waits for nothing but a request.
    #[inline]
    pub(crate) fn set_rests(&self, rests: Rests) {
        self.with(|slot, _| slot.rests = rests);
    }

    /// Ready once the deadline has passed; wakes the task then.
    #[inline]
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let expired = self.with(|slot, now| {
            if slot.deadline <= now {
                return true;
            }
            match &slot.waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => slot.waker = Some(cx.waker().clone()),
            }
            false
        });
        if expired == Some(true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.with(|slot, _| {
            slot.used = false;
            slot.rests = Rests::No;
            slot.waker = None;
        });
        self.timers.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expired(timer: &Timer) -> bool {
        timer
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn deadlines_are_never_early_and_at_most_two_ticks_late() {
        let timers = Rc::new(Timers::default());
        let timer = timers.register();
        assert!(!expired(&timer), "no deadline");
        timer.set(TICK * 3);
        for passed in 1..=3 {
            timers.tick(1);
            assert!(!expired(&timer), "after {passed} ticks");
        }
        timers.tick(1);
        assert!(expired(&timer));
        timer.set(TICK);
        assert!(!expired(&timer), "set again");
    }

    #[test]
    fn only_resting_ones_are_expired_for_a_drain() {
        let timers = Rc::new(Timers::default());
        let [resting, new, busy] = [Rests::Between, Rests::BeforeFirst, Rests::No].map(|rests| {
            let timer = timers.register();
            timer.set_rests(rests);
            timer.set(Duration::from_secs(60));
            timer
        });
        timers.expire_resting(false);
        assert!(expired(&resting) && !expired(&new) && !expired(&busy));
        timers.expire_resting(true);
        assert!(expired(&new) && !expired(&busy));
    }

    #[test]
    fn slots_are_used_again() {
        let timers = Rc::new(Timers::default());
        for _ in 0..100 {
            drop(timers.register());
        }
        assert_eq!(timers.slots.borrow().len(), 1);
    }
}
