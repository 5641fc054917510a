//! Exchanges that wait for room at a target, first come, first served.
//!
//! A place at a target is handed over, not announced: whoever frees one gives it to the first who may have it, so that
//! nobody wakes in vain and nobody overtakes. The hard thing is the moment between "everything is full" and "I am in the
//! queue": a place may become free in it. So who has entered the queue looks at every target once more, and who frees a
//! place looks at the queue after it has freed it; one of the two sees the other, since both are in one total order
//! (`SeqCst`). Groups without limits never come here: a place is then freed by one subtraction.
//!
//! The queue is bounded by what waits in it: each waiter is an open connection of a client, which have their own limits.

use crate::live::{InFlight, TargetState};
use crate::live_rate::LiveRate;
use portway_core::balance::{SharedTurns, Tried};
use portway_model::expression::GroupFigure;
use portway_model::snapshot::{Target, TargetGroup};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What the workers of a group share.
#[derive(Debug)]
pub struct GroupState {
    /// Connections and requests that came to the group.
    pub session_rate: LiveRate,
    pub(crate) turns: Arc<SharedTurns>,
    targets: Vec<Arc<TargetState>>,
    limits: Vec<Limits>,
    /// Some target has a limit.
    limited: AtomicBool,
    /// Where so many are in flight, limits that rise with the load are at their highest; 0: they do not rise.
    full_at: u32,
    waiting: AtomicU32,
    /// The most that waited at once.
    peak: AtomicU32,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
}

/// The limits of one target.
#[derive(Debug)]
struct Limits {
    most: AtomicU32,
    least: u32,
    queue: u32,
    backup: bool,
}

/// An exchange that waits.
#[derive(Debug)]
struct Waiter {
    /// It waits for this target alone.
    bound: Option<usize>,
    tried: Tried,
    grant: Mutex<Grant>,
}

#[derive(Debug)]
enum Grant {
    Waiting(Option<Waker>),
    Given(usize, InFlight),
    Taken,
}

/// Where an exchange stands in the queue; leaving it gives back what was granted.
#[derive(Debug)]
pub(crate) struct Place {
    group: Arc<GroupState>,
    waiter: Arc<Waiter>,
}

impl GroupState {
    /// The state of a group with these targets, which tell it from now on when they have room.
    pub fn new(group: &TargetGroup, targets: &[Arc<TargetState>]) -> Arc<Self> {
        let limits = |target: &Target| Limits {
            most: AtomicU32::new(target.max_connections),
            least: target.min_connections,
            queue: target.max_queue,
            backup: target.backup,
        };
        let limits: Vec<Limits> = group.targets.iter().map(limits).collect();
        let state = Arc::new(Self {
            session_rate: LiveRate::default(),
            turns: Arc::default(),
            targets: targets.to_vec(),
            limited: AtomicBool::new(false),
            full_at: match limits.iter().any(|limits| limits.least > 0) {
                true => group.full_connections,
                false => 0,
            },
            limits,
            waiting: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            queue: Mutex::default(),
        });
        for (index, target) in targets.iter().enumerate() {
            target.belong(&state, index);
        }
        if group.targets.iter().any(|it| it.max_connections > 0) {
            state.look_at_limits();
        }
        state
    }

    /// Exchanges that wait for a target of the group now, those that wait for one alone included.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Connections that are left at a target; `None`: it has no limit.
    pub(crate) fn free_connections(&self, index: usize) -> Option<u32> {
        let limit = Some(self.limit(index)).filter(|limit| *limit > 0)?;
        let in_flight = self.targets.get(index).map_or(0, |it| it.in_flight());
        Some(limit.saturating_sub(in_flight))
    }

    /// A number of the group; -1 where there is no limit.
    pub(crate) fn figure(&self, figure: GroupFigure) -> i64 {
        let usable = |state: &TargetState| state.health().is_usable();
        let indices = 0..self.targets.len();
        match figure {
            GroupFigure::Queued => self.waiting().into(),
            GroupFigure::AverageQueue => {
                let takes = |backup| {
                    let targets = self.targets.iter().zip(&self.limits);
                    let of_kind = targets.filter(|(_, limits)| limits.backup == backup);
                    of_kind.filter(|(state, _)| usable(state)).count()
                };
                let targets = match takes(false) {
                    0 => takes(true),
                    active => active,
                };
                let waiting = i64::from(self.waiting());
                match i64::try_from(targets).unwrap_or(i64::MAX) {
                    0 => waiting * 2,
                    targets => (waiting + targets - 1) / targets,
                }
            }
            GroupFigure::FreeSlots => {
                let left = indices.filter_map(|index| {
                    let (state, limits) = (self.targets.get(index)?, self.limits.get(index)?);
                    let queue = Some(limits.queue).filter(|queue| *queue > 0);
                    let left = || {
                        let most = Some(self.most(index)).filter(|most| *most > 0)?;
                        let connections = i64::from(most) - i64::from(state.in_flight());
                        Some(connections + i64::from(queue?) - i64::from(state.queued()))
                    };
                    usable(state).then(left)
                });
                left.sum::<Option<i64>>().unwrap_or(-1)
            }
            GroupFigure::FreeConnections => {
                let active = self.targets.iter().zip(&self.limits);
                let backups = !active
                    .into_iter()
                    .any(|(state, limits)| !limits.backup && usable(state));
                let left = indices.filter_map(|index| {
                    let (state, limits) = (self.targets.get(index)?, self.limits.get(index)?);
                    let counts = usable(state) && (!limits.backup || backups);
                    counts.then(|| self.free_connections(index).map(i64::from))
                });
                left.sum::<Option<i64>>().unwrap_or(-1)
            }
            // Known from the group's counters.
            GroupFigure::ConnectionRate => 0,
        }
    }

    /// The most that waited at once since the start.
    pub fn most_waiting(&self) -> u32 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The highest limit of a target; 0: none.
    pub fn most(&self, index: usize) -> u32 {
        let limits = self.limits.get(index);
        limits.map_or(0, |limits| limits.most.load(Ordering::Relaxed))
    }

    /// Says another limit of a target; 0: none.
    pub fn set_most(&self, index: usize, most: u32) {
        if let Some(limits) = self.limits.get(index) {
            limits.most.store(most, Ordering::SeqCst);
            self.look_at_limits();
            self.has_room(index);
        }
    }

    /// From now on there are limits to look at, and targets tell when they have room.
    fn look_at_limits(&self) {
        if !self.limited.swap(true, Ordering::SeqCst) {
            self.targets.iter().for_each(|it| it.tell());
        }
    }

    /// Begins the most that waited anew.
    pub fn forget_peak(&self) {
        self.peak.store(self.waiting(), Ordering::Relaxed);
    }

    /// What a target may have in flight now; 0: no limit.
    pub(crate) fn limit(&self, index: usize) -> u32 {
        let Some(limits) = self.limits.get(index) else {
            return 0;
        };
        let most = limits.most.load(Ordering::Relaxed);
        if limits.least == 0 || most == 0 || self.full_at == 0 {
            return most;
        }
        let load: u32 = self.targets.iter().map(|target| target.in_flight()).sum();
        let load = u64::from(load.saturating_add(self.waiting()));
        let share = load * u64::from(most) / u64::from(self.full_at);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        share.clamp(limits.least.min(most), most)
    }

    /// True where nobody more may come to a target: it is full, or others wait for it already.
    pub(crate) fn is_full(&self, index: usize) -> bool {
        if !self.limited.load(Ordering::Relaxed) {
            return false;
        }
        let limit = self.limit(index);
        let target = self.targets.get(index);
        limit > 0 && target.is_some_and(|it| it.in_flight() >= limit || it.queued() > 0)
    }

    /// True where as many wait for a target as may.
    pub(crate) fn is_queue_full(&self, index: usize) -> bool {
        let limit = self.limits.get(index).map_or(0, |limits| limits.queue);
        let target = self.targets.get(index);
        limit > 0 && target.is_some_and(|target| target.queued() >= limit)
    }

    /// A place at a target, if there is one.
    pub(crate) fn enter(&self, index: usize) -> Option<InFlight> {
        let target = self.targets.get(index)?;
        match self.limited.load(Ordering::Relaxed) {
            false => Some(target.enter()),
            true => target.try_enter(self.limit(index)),
        }
    }

    /// Joins the end of the queue.
    pub(crate) fn join(self: &Arc<Self>, bound: Option<usize>, tried: Tried) -> Place {
        let waiter = Arc::new(Waiter {
            bound,
            tried,
            grant: Mutex::new(Grant::Waiting(None)),
        });
        let mut queue = self.lock();
        queue.push_back(Arc::clone(&waiter));
        if let Some(target) = bound.and_then(|index| self.targets.get(index)) {
            target.count_queued(1);
        }
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(waiting, Ordering::Relaxed);
        drop(queue);
        // A place may have become free before anybody could see us here.
        (0..self.targets.len()).for_each(|index| self.has_room(index));
        Place {
            group: Arc::clone(self),
            waiter,
        }
    }

    /// A target may have room: gives it to those who wait.
    pub(crate) fn has_room(&self, index: usize) {
        if self.waiting() == 0 {
            return;
        }
        let Some(target) = self.targets.get(index) else {
            return;
        };
        let mut queue = self.lock();
        while target.health().is_usable() {
            let open = self.takes_anybody(index);
            let wants = |waiter: &Arc<Waiter>| match waiter.bound {
                Some(bound) => bound == index,
                None => open && !waiter.tried.contains(index),
            };
            let Some(place) = queue.iter().position(wants) else {
                return;
            };
            let Some(slot) = target.try_enter(self.limit(index)) else {
                return;
            };
            if let Some(waiter) = queue.remove(place) {
                self.left(&waiter);
                waiter.give(index, slot);
            }
        }
    }

    /// A backup takes those that are not bound to it only while no other target is up.
    fn takes_anybody(&self, index: usize) -> bool {
        let is_backup = |index: usize| self.limits.get(index).is_some_and(|it| it.backup);
        let mut targets = self.targets.iter().enumerate();
        !is_backup(index)
            || !targets.any(|(other, it)| !is_backup(other) && it.health().is_usable())
    }

    /// Counts one that has left the queue.
    fn left(&self, waiter: &Waiter) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if let Some(target) = waiter.bound.and_then(|index| self.targets.get(index)) {
            target.count_queued(-1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    fn give(&self, index: usize, slot: InFlight) {
        let before = std::mem::replace(&mut *self.grant(), Grant::Given(index, slot));
        if let Grant::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }

    fn grant(&self) -> MutexGuard<'_, Grant> {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The place at a target, once there is one.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<(usize, InFlight)> {
        let mut grant = self.waiter.grant();
        match std::mem::replace(&mut *grant, Grant::Taken) {
            Grant::Given(index, slot) => Poll::Ready((index, slot)),
            Grant::Waiting(_) | Grant::Taken => {
                *grant = Grant::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.group.lock();
        let place = queue.iter().position(|it| Arc::ptr_eq(it, &self.waiter));
        if let Some(waiter) = place.and_then(|place| queue.remove(place)) {
            self.group.left(&waiter);
        }
        drop(queue);
        // What was granted and not taken goes to the next; that locks the queue, so nothing may be locked here.
        let unused = std::mem::replace(&mut *self.waiter.grant(), Grant::Taken);
        drop(unused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Health;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    fn group(limits: &[u32]) -> (Arc<GroupState>, Vec<Arc<TargetState>>) {
        let target = |_: &u32| Arc::new(TargetState::new(Health::Healthy, None));
        let targets: Vec<_> = limits.iter().map(target).collect();
        let limit = |most: &u32| Limits {
            most: AtomicU32::new(*most),
            least: 0,
            queue: 0,
            backup: false,
        };
        let state = Arc::new(GroupState {
            session_rate: LiveRate::default(),
            turns: Arc::default(),
            targets: targets.clone(),
            limits: limits.iter().map(limit).collect(),
            limited: AtomicBool::new(true),
            full_at: 0,
            waiting: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            queue: Mutex::default(),
        });
        for (index, target) in targets.iter().enumerate() {
            target.belong(&state, index);
            target.tell();
        }
        (state, targets)
    }

    fn poll(place: &Place) -> Option<(usize, InFlight)> {
        match place.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(given) => Some(given),
            Poll::Pending => None,
        }
    }

    #[test]
    fn first_come_first_served() {
        let (group, targets) = group(&[1, 1]);
        let (a, b) = (group.enter(0).unwrap(), group.enter(1).unwrap());
        assert!(group.enter(0).is_none() && group.is_full(1));
        let bound = group.join(Some(1), Tried::new());
        let [first, second] = [(); 2].map(|()| group.join(None, Tried::new()));
        assert_eq!((group.waiting(), targets[1].queued()), (3, 1));
        drop(a);
        assert_eq!(poll(&first).map(|(index, _)| index), Some(0));
        // What was given was dropped at once: the next has it.
        assert_eq!(poll(&second).map(|(index, _)| index), Some(0));
        assert!(poll(&bound).is_none());
        drop(b);
        assert_eq!(poll(&bound).map(|(index, _)| index), Some(1));
        assert_eq!((group.waiting(), targets[1].queued()), (0, 0));
        assert_eq!((targets[0].in_flight(), targets[1].in_flight()), (0, 0));
    }

    #[test]
    fn who_leaves_frees_its_place() {
        let (group, targets) = group(&[1]);
        let one = group.enter(0).unwrap();
        let first = group.join(None, Tried::new());
        let second = group.join(None, Tried::new());
        drop(one);
        // Granted, and never taken.
        drop(first);
        assert!(poll(&second).is_some());
        assert_eq!((group.waiting(), targets[0].in_flight()), (0, 0));
        let gone = group.join(None, Tried::new());
        assert!(poll(&gone).is_some());
    }

    #[test]
    fn a_target_that_comes_back_serves_who_waits() {
        let (group, targets) = group(&[1]);
        targets[0].set_health(Health::Unhealthy);
        let waits = group.join(None, Tried::new());
        assert!(poll(&waits).is_none());
        targets[0].set_health(Health::Healthy);
        assert!(poll(&waits).is_some());
    }

    struct Woken(std::thread::Thread);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Threads that come, wait, work and go: nobody is forgotten, and no limit is ever passed.
    #[test]
    fn nobody_is_forgotten() {
        const THREADS: usize = 8;
        let (group, targets) = group(&[1, 2]);
        let (start, most) = (Barrier::new(THREADS), AtomicUsize::new(0));
        let now = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let waker = Waker::from(Arc::new(Woken(std::thread::current())));
                    start.wait();
                    for turn in 0..2_000_usize {
                        let slot = group.enter(turn % 2).unwrap_or_else(|| {
                            let place = group.join((turn % 5 == 0).then_some(0), Tried::new());
                            if turn % 7 == 0 {
                                // Some lose patience; they come again.
                                drop(place);
                                let again = group.join(None, Tried::new());
                                return wait(&again, &waker);
                            }
                            wait(&place, &waker)
                        });
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(group.waiting(), 0);
        assert!(
            targets
                .iter()
                .all(|it| it.in_flight() == 0 && it.queued() == 0)
        );
    }

    fn wait(place: &Place, waker: &Waker) -> InFlight {
        loop {
            if let Poll::Ready((_, slot)) = place.poll(&mut Context::from_waker(waker)) {
                return slot;
            }
            std::thread::park();
        }
    }
}
