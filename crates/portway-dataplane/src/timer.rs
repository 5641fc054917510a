//! Deadlines without timer objects: a slot for each connection, looked through by the worker ten times a second.
//!
//! Setting a deadline stores a number; nothing is allocated, ordered or registered with the kernel. A deadline of a
//! second may therefore be met up to two [`TICK`]s late, never early. A slot also lets the worker wake a connection
//! that waits for nothing but its next request (to drain it), and holds what control may ask of a connection.

use crate::plane::ListenerKey;
use crate::sessions::{Session, Wanted, Whom};
use portway_model::snapshot::{GroupId, ListenerId};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often deadlines are looked through.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The tick that does not come.
pub(crate) const NEVER: u64 = u64::MAX;

/// Whether a connection waits for nothing but a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rests {
    /// Something is in progress.
    No,
    /// It waits for its first request, which is probably on its way.
    BeforeFirst,
    /// It waits for its next request.
    Between,
    /// Something is in progress, on streams, and it takes more of them.
    Streams,
}

/// A client that was served so lately is probably about to send its next request. Where connections that wait are closed, it has this
/// time to do so, and is told with the answer that it was the last.
pub(crate) const JUST_SERVED: Duration = Duration::from_secs(1);

impl Slot {
    /// True where it is over when connections that wait are closed; `first`: also those whose request is probably on its way.
    fn is_over(&self, first: bool) -> bool {
        match self.rests {
            Rests::No | Rests::Streams => false,
            Rests::BeforeFirst => first,
            Rests::Between => first || self.since.elapsed() >= JUST_SERVED,
        }
    }
}

/// Who is served: what control may ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) id: u64,
    /// The two ends of the connection.
    pub(crate) ends: (SocketAddr, SocketAddr),
    /// The number of the plane that ids and indices are places in.
    pub(crate) plane: u32,
    pub(crate) key: Option<ListenerKey>,
    /// The listener that it was handed over to.
    pub(crate) handed_over: Option<ListenerKey>,
    pub(crate) listener: ListenerId,
    pub(crate) socket_number: u16,
    /// The group, in the plane of this number: an exchange may be served by targets of a later one.
    pub(crate) group: Option<(u32, GroupId)>,
    pub(crate) target: Option<usize>,
    /// It is to be cut off.
    pub(crate) cut: bool,
}

#[derive(Debug)]
struct Slot {
    deadline: u64,
    /// No deadline is later than this.
    latest: u64,
    waker: Option<Waker>,
    rests: Rests,
    /// It stands in the queue of a group.
    queued: bool,
    /// It looks around whenever those do that wait, whatever it waits for.
    looks_around: bool,
    used: bool,
    /// When the connection was accepted, or its exchange before had ended.
    since: Instant,
    /// `None` until it is known.
    seat: Option<Seat>,
}

/// The slots of a worker.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    now: Cell<u64>,
    /// Some connection is to be cut off.
    cuts: Cell<bool>,
    /// Connections that there have been.
    seated: Cell<u64>,
    /// Those that wait for their next request.
    resting: Cell<u32>,
    /// Streams that are served, less the connections that serve some: each client counts once by itself.
    beside: Cell<i32>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
}

impl Timers {
    /// A slot for one connection.
    pub(crate) fn register(self: &Rc<Self>) -> Timer {
        let fresh = Slot {
            deadline: NEVER,
            latest: NEVER,
            waker: None,
            rests: Rests::No,
            queued: false,
            looks_around: false,
            used: true,
            since: Instant::now(),
            seat: None,
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

    /// The lower half of [`Timers::now`]: ages are told from it, of 13 years at most.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(crate) fn now_short(&self) -> u32 {
        self.now.get() as u32
    }

    /// Expires every connection that waits for its next request; `first`: also those that wait for their first, or were just served.
    pub(crate) fn expire_resting(&self, first: bool) {
        self.expire(|slot| slot.is_over(first));
    }

    /// Expires the connections that wait for their next request for the longest time, `most` at most; how many. Those that were just
    /// served are left alone.
    pub(crate) fn expire_oldest_resting(&self, most: u32) -> u32 {
        let now = self.now.get();
        let may_go = |slot: &Slot| {
            let rests = slot.used && slot.rests == Rests::Between && slot.deadline > now;
            rests && slot.is_over(false)
        };
        let mut oldest: Vec<Instant> = {
            let slots = self.slots.borrow();
            slots
                .iter()
                .filter(|it| may_go(it))
                .map(|it| it.since)
                .collect()
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if oldest.len() > most {
            oldest.select_nth_unstable(most);
            oldest.truncate(most);
        }
        let Some(last) = oldest.iter().max().copied() else {
            return 0;
        };
        self.expire(|slot| may_go(slot) && slot.since <= last);
        u32::try_from(oldest.len()).unwrap_or(u32::MAX)
    }

    /// Connections that wait for their next request.
    pub(crate) fn resting(&self) -> u32 {
        self.resting.get()
    }

    /// Streams beside the first of each client.
    pub(crate) fn beside(&self) -> i32 {
        self.beside.get()
    }

    #[inline]
    fn count_resting(&self, before: Option<Rests>, now: Rests) {
        let change = |of: Rests| i32::from(now == of) - i32::from(before == Some(of));
        let resting = self.resting.get();
        self.resting
            .set(resting.saturating_add_signed(change(Rests::Between)));
        self.beside.set(self.beside.get() - change(Rests::Streams));
    }

    fn expire(&self, condition: impl Fn(&Slot) -> bool) {
        for slot in self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| slot.used && condition(slot))
        {
            slot.deadline = 0;
        }
        self.wake_where(condition);
    }

    /// The number of a new connection, from 1 on.
    pub(crate) fn next_seat(&self) -> u64 {
        self.seated.set(self.seated.get() + 1);
        self.seated.get()
    }

    /// Does to those of these connections that are here what is wanted.
    pub(crate) fn carry_out(&self, whom: Whom, what: Wanted) {
        let is_meant = |slot: &Slot| {
            slot.used
                && slot.seat.is_some_and(|seat| match whom {
                    Whom::Session(id) => seat.id == id,
                    Whom::OfListener(key) => [seat.key, seat.handed_over].contains(&Some(key)),
                })
        };
        match what {
            Wanted::CutOff => {
                for slot in self.slots.borrow_mut().iter_mut() {
                    if is_meant(slot)
                        && let Some(seat) = &mut slot.seat
                    {
                        seat.cut = true;
                        self.cuts.set(true);
                    }
                }
                self.wake_where(is_meant);
            }
            Wanted::Rest { first } => {
                self.expire(|slot| is_meant(slot) && slot.is_over(first));
                self.wake_where(|slot| is_meant(slot) && slot.rests == Rests::Streams);
            }
        }
    }

    /// The connections that there are.
    pub(crate) fn sessions(&self, into: &mut Vec<Session>) {
        let now = self.now.get();
        let slots = self.slots.borrow();
        let used = slots.iter().filter(|slot| slot.used);
        into.extend(used.filter_map(|slot| {
            let seat = slot.seat?;
            let left = slot.deadline.saturating_sub(now);
            Some(Session {
                id: seat.id,
                peer: seat.ends.0,
                local: seat.ends.1,
                plane: seat.plane,
                listener: seat.listener,
                socket_number: seat.socket_number,
                group: seat.group,
                target: seat.target,
                rests: matches!(slot.rests, Rests::BeforeFirst | Rests::Between),
                age: slot.since.elapsed(),
                expires: (slot.deadline != NEVER)
                    .then(|| TICK.saturating_mul(u32::try_from(left).unwrap_or(u32::MAX))),
            })
        }));
    }

    /// Wakes every connection that waits for a request or in a queue, or takes more of them, so that it looks around.
    pub(crate) fn wake_waiting(&self) {
        self.wake_where(|slot| slot.queued || slot.looks_around || slot.rests != Rests::No);
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

/// A stream that is served; counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Served(Rc<Timers>);

impl Served {
    pub(crate) fn new(timers: &Rc<Timers>) -> Self {
        timers.beside.set(timers.beside.get() + 1);
        Self(Rc::clone(timers))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.beside.set(self.0.beside.get() - 1);
    }
}

/// So many ticks from now a deadline of this time lies: it is never early, and the tick of now has begun already.
#[inline]
pub(crate) fn ticks_of(time: Duration) -> u64 {
    let ticks = u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(NEVER);
    ticks.saturating_add(1)
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
        self.with(|slot, _| {
            slot.since = Instant::now();
            if let Some(seat) = &mut slot.seat {
                (seat.group, seat.target) = (None, None);
            }
        });
    }

    /// Says who is served.
    pub(crate) fn seat(&self, seat: Seat) {
        self.with(|slot, _| slot.seat = Some(seat));
    }

    /// The connection is one of this listener too.
    pub(crate) fn hand_over(&self, to: ListenerKey) {
        self.with(|slot, _| {
            if let Some(seat) = &mut slot.seat {
                seat.handed_over = Some(to);
            }
        });
    }

    /// The connection is served by another plane, where its listener has another place.
    pub(crate) fn set_plane(&self, plane: u32, listener: ListenerId) {
        self.with(|slot, _| {
            if let Some(seat) = &mut slot.seat {
                (seat.plane, seat.listener) = (plane, listener);
            }
        });
    }

    /// A header said other ends of the connection.
    pub(crate) fn set_ends(&self, ends: (SocketAddr, SocketAddr)) {
        self.with(|slot, _| slot.seat.as_mut().map(|seat| seat.ends = ends));
    }

    /// Says who serves.
    #[inline]
    pub(crate) fn set_served_by(&self, plane: u32, group: GroupId, target: Option<usize>) {
        self.with(|slot, _| {
            if let Some(seat) = &mut slot.seat {
                (seat.group, seat.target) = (Some((plane, group)), target);
            }
        });
    }

    /// True where somebody wants the connection cut off.
    #[inline]
    pub(crate) fn is_cut_off(&self) -> bool {
        self.timers.cuts.get()
            && self.with(|slot, _| slot.seat.is_some_and(|seat| seat.cut)) == Some(true)
    }

    /// Ticks since the start: a coarse clock.
    pub(crate) fn now(&self) -> u64 {
        self.timers.now()
    }

    /// How long ago the tick `born` of [`Timers::now_short`] was.
    pub(crate) fn age_of(&self, born: u32) -> Duration {
        TICK * self.timers.now_short().wrapping_sub(born)
    }

    /// Expires after this time, in place of what was set before.
    #[inline]
    pub(crate) fn set(&self, after: Duration) {
        let ticks = ticks_of(after);
        self.with(|slot, now| slot.deadline = now.saturating_add(ticks).min(slot.latest));
    }

    /// Whatever is set from now on expires at this tick at the latest, and so does what is set already where that is sooner
    /// than [`NEVER`].
    pub(crate) fn set_latest(&self, tick: u64) {
        self.with(|slot, _| {
            slot.latest = tick;
            slot.deadline = slot.deadline.min(tick);
        });
    }

    /// The time to a tick, at most.
    pub(crate) fn until(&self, tick: u64) -> Duration {
        let ticks = tick.saturating_sub(self.now());
        TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// Says whether the connection waits for nothing but a request.
    #[inline]
    pub(crate) fn set_rests(&self, rests: Rests) {
        let before = self.with(|slot, _| std::mem::replace(&mut slot.rests, rests));
        self.timers.count_resting(before, rests);
    }

    /// Says whether it stands in the queue of a group.
    pub(crate) fn set_queued(&self, queued: bool) {
        self.with(|slot, _| slot.queued = queued);
    }

    /// It is woken from now on whenever those are that wait: after a reload, and when the process drains.
    pub(crate) fn set_looks_around(&self) {
        self.with(|slot, _| slot.looks_around = true);
    }

    /// Ready once the deadline has passed; wakes the task then.
    #[inline]
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let expired = self.with(|slot, now| {
            if slot.deadline <= now || slot.seat.is_some_and(|seat| seat.cut) {
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
        self.set_rests(Rests::No);
        self.with(|slot, _| {
            slot.used = false;
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
    fn nothing_is_later_than_the_latest() {
        let timers = Rc::new(Timers::default());
        let timer = timers.register();
        timer.set(TICK * 50);
        timer.set_latest(3);
        timers.tick(2);
        assert!(!expired(&timer));
        assert_eq!(timer.until(3), TICK);
        timers.tick(1);
        assert!(expired(&timer), "what was set already");
        timer.set(TICK * 50);
        assert!(expired(&timer), "what is set after it");
        timer.set_latest(NEVER);
        timer.set(TICK);
        assert!(!expired(&timer), "no longer");
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
        let served = timers.register();
        served.set_rests(Rests::Between);
        served.set(Duration::from_secs(60));
        if let Some(slot) = timers.slots.borrow_mut().first_mut() {
            slot.since -= JUST_SERVED;
        }
        timers.expire_resting(false);
        assert!(expired(&resting) && !expired(&new) && !expired(&busy) && !expired(&served));
        timers.expire_resting(true);
        assert!(expired(&new) && expired(&served) && !expired(&busy));
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
