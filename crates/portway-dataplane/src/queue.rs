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
use crate::plane::GroupParts;
use portway_core::balance::Tried;
use portway_model::expression::GroupFigure;
use portway_model::snapshot::{Target, TargetGroup};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};

/// What the workers of a group share, from one generation to the next.
#[derive(Debug)]
pub struct GroupState {
    /// Connections and requests that came to the group.
    pub session_rate: LiveRate,
    /// Its targets now. Looked at for those who wait, and not by those who find room.
    members: RwLock<Arc<[Arc<TargetState>]>>,
    /// Some target has a limit.
    limited: AtomicBool,
    /// Where so many are in flight, limits that rise with the load are at their highest; 0: they do not rise.
    full_at: AtomicU32,
    waiting: AtomicU32,
    /// The most that waited at once.
    peak: AtomicU32,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
}

/// The limits of one target.
#[derive(Debug)]
pub(crate) struct Limits {
    most: AtomicU32,
    /// What the configuration says of that.
    configured: AtomicU32,
    least: AtomicU32,
    queue: AtomicU32,
    backup: AtomicBool,
}

impl Limits {
    fn of(target: &Target) -> Self {
        Self {
            most: AtomicU32::new(target.max_connections),
            configured: AtomicU32::new(target.max_connections),
            least: AtomicU32::new(target.min_connections),
            queue: AtomicU32::new(target.max_queue),
            backup: AtomicBool::new(target.backup),
        }
    }

    /// In flight at most; 0: no limit.
    pub(crate) fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }

    /// The configuration says these from now on; what somebody said since holds where it says nothing new.
    pub(crate) fn set(&self, next: &Limits) {
        let copy = |from: &AtomicU32, to: &AtomicU32| {
            let value = from.load(Ordering::Relaxed);
            to.swap(value, Ordering::Relaxed) != value
        };
        if copy(&next.configured, &self.configured) {
            copy(&next.most, &self.most);
        }
        copy(&next.least, &self.least);
        copy(&next.queue, &self.queue);
        let backup = next.backup.load(Ordering::Relaxed);
        self.backup.store(backup, Ordering::Relaxed);
    }
}

/// An exchange that waits.
#[derive(Debug)]
struct Waiter {
    /// It waits for this target alone.
    bound: Option<Arc<TargetState>>,
    /// The targets of its generation, and those of them that it has tried.
    among: Arc<[Arc<TargetState>]>,
    tried: Tried,
    grant: Mutex<Grant>,
}

#[derive(Debug)]
enum Grant {
    Waiting(Option<Waker>),
    /// The place of the target among those of the waiter's generation.
    Given(usize, InFlight),
    Taken,
}

/// Where an exchange stands in the queue; leaving it gives back what was granted.
#[derive(Debug)]
pub(crate) struct Place {
    group: Arc<GroupState>,
    waiter: Arc<Waiter>,
}

/// The place of a target in a list.
fn place_of(target: &TargetState, list: &[Arc<TargetState>]) -> Option<usize> {
    list.iter()
        .position(|it| std::ptr::eq(&raw const **it, target))
}

/// A backup takes traffic only while no other target does.
fn is_backup(target: &TargetState) -> bool {
    target
        .limits()
        .is_some_and(|limits| limits.backup.load(Ordering::Relaxed))
}

/// What room there is, as a generation sees it.
impl GroupParts {
    /// Connections that are left at a target; `None`: it has no limit.
    pub(crate) fn free_connections(&self, index: usize) -> Option<u32> {
        self.free_at(self.targets.get(index)?)
    }

    fn free_at(&self, target: &TargetState) -> Option<u32> {
        let limit = self.state.limit(&self.targets, target);
        (limit > 0).then(|| limit.saturating_sub(target.in_flight()))
    }

    /// A number of the group; -1 where there is no limit.
    pub(crate) fn figure(&self, figure: GroupFigure) -> i64 {
        let usable = |state: &&Arc<TargetState>| state.health().is_usable();
        match figure {
            GroupFigure::Queued => self.state.waiting().into(),
            GroupFigure::AverageQueue => {
                let takes = |backup| {
                    let of_kind = self.targets.iter().filter(|it| is_backup(it) == backup);
                    of_kind.filter(usable).count()
                };
                let targets = match takes(false) {
                    0 => takes(true),
                    active => active,
                };
                let waiting = i64::from(self.state.waiting());
                match i64::try_from(targets).unwrap_or(i64::MAX) {
                    0 => waiting * 2,
                    targets => (waiting + targets - 1) / targets,
                }
            }
            GroupFigure::FreeSlots => {
                let left = |state: &Arc<TargetState>| {
                    let limits = state.limits()?;
                    let queue =
                        Some(limits.queue.load(Ordering::Relaxed)).filter(|queue| *queue > 0);
                    let most = Some(limits.most()).filter(|most| *most > 0)?;
                    let connections = i64::from(most) - i64::from(state.in_flight());
                    Some(connections + i64::from(queue?) - i64::from(state.queued()))
                };
                let left = self.targets.iter().filter(usable).map(left);
                left.sum::<Option<i64>>().unwrap_or(-1)
            }
            GroupFigure::FreeConnections => {
                let active = |it: &Arc<TargetState>| !is_backup(it) && usable(&it);
                let backups = !self.targets.iter().any(active);
                let counts = |it: &&Arc<TargetState>| usable(it) && (!is_backup(it) || backups);
                let left = self.targets.iter().filter(counts);
                let left = left.map(|it| self.free_at(it).map(i64::from));
                left.sum::<Option<i64>>().unwrap_or(-1)
            }
            // Known from the group's counters.
            GroupFigure::ConnectionRate => 0,
        }
    }

    /// True where nobody more may come to a target: it is full, or others wait for it already.
    pub(crate) fn is_full(&self, index: usize) -> bool {
        if !self.state.limited.load(Ordering::Relaxed) {
            return false;
        }
        let Some(target) = self.targets.get(index) else {
            return false;
        };
        let limit = self.state.limit(&self.targets, target);
        limit > 0 && (target.in_flight() >= limit || target.queued() > 0)
    }

    /// True where as many wait for a target as may.
    pub(crate) fn is_queue_full(&self, index: usize) -> bool {
        let target = self.targets.get(index);
        let limit = target
            .and_then(|it| it.limits())
            .map_or(0, |it| it.queue.load(Ordering::Relaxed));
        limit > 0 && target.is_some_and(|target| target.queued() >= limit)
    }

    /// A place at a target, if there is one.
    pub(crate) fn enter(&self, index: usize) -> Option<InFlight> {
        let target = self.targets.get(index)?;
        match self.state.limited.load(Ordering::Relaxed) {
            false => Some(target.enter()),
            true => target.try_enter(self.state.limit(&self.targets, target)),
        }
    }

    /// Joins the end of the queue.
    pub(crate) fn join(&self, bound: Option<usize>, tried: Tried) -> Place {
        let bound = bound.and_then(|index| self.targets.get(index)).cloned();
        let waiter = Arc::new(Waiter {
            bound,
            among: Arc::clone(&self.targets),
            tried,
            grant: Mutex::new(Grant::Waiting(None)),
        });
        self.state.join(&waiter);
        // A place may have become free before anybody could see us here.
        self.targets.iter().for_each(|it| self.state.has_room(it));
        Place {
            group: Arc::clone(&self.state),
            waiter,
        }
    }
}

impl GroupState {
    /// The state of a group with these targets, which tell it from now on when they have room.
    pub(crate) fn new(group: &TargetGroup, targets: &Arc<[Arc<TargetState>]>) -> Arc<Self> {
        let state = Arc::new(Self {
            session_rate: LiveRate::default(),
            members: RwLock::default(),
            limited: AtomicBool::new(false),
            full_at: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            queue: Mutex::default(),
        });
        state.hold(group, targets);
        state
    }

    /// Has these targets from now on. Those that it has already stay as they are, with the limits that were said unless the
    /// configuration says others now.
    pub(crate) fn hold(self: &Arc<Self>, group: &TargetGroup, targets: &Arc<[Arc<TargetState>]>) {
        for (target, configured) in targets.iter().zip(&group.targets) {
            target.belong(self, Limits::of(configured));
        }
        let rises = group.targets.iter().any(|it| it.min_connections > 0);
        let full_at = if rises { group.full_connections } else { 0 };
        self.full_at.store(full_at, Ordering::Relaxed);
        let members = self.members.write();
        *members.unwrap_or_else(PoisonError::into_inner) = Arc::clone(targets);
        if self.limited.load(Ordering::SeqCst) || targets.iter().any(|it| it.most() > 0) {
            self.look_at_limits();
        }
        // Limits may be higher, for those who wait already too.
        targets.iter().for_each(|target| self.has_room(target));
    }

    fn members(&self) -> Arc<[Arc<TargetState>]> {
        let members = self.members.read();
        Arc::clone(&members.unwrap_or_else(PoisonError::into_inner))
    }

    /// Exchanges that wait for a target of the group now, those that wait for one alone included.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// The most that waited at once since the start.
    pub fn most_waiting(&self) -> u32 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Says another limit of a target; 0: none.
    pub(crate) fn set_most(&self, target: &TargetState, most: u32) {
        if let Some(limits) = target.limits() {
            limits.most.store(most, Ordering::SeqCst);
            self.look_at_limits();
            self.has_room(target);
        }
    }

    /// From now on there are limits to look at, and targets tell when they have room.
    fn look_at_limits(&self) {
        self.limited.store(true, Ordering::SeqCst);
        self.members().iter().for_each(|it| it.tell());
    }

    /// Begins the most that waited anew.
    pub fn forget_peak(&self) {
        self.peak.store(self.waiting(), Ordering::Relaxed);
    }

    /// What a target may have in flight now, where `all` are those of its group; 0: no limit.
    fn limit(&self, all: &[Arc<TargetState>], target: &TargetState) -> u32 {
        let Some(limits) = target.limits() else {
            return 0;
        };
        let (most, full_at) = (limits.most(), self.full_at.load(Ordering::Relaxed));
        let least = limits.least.load(Ordering::Relaxed);
        if least == 0 || most == 0 || full_at == 0 {
            return most;
        }
        let load: u32 = all.iter().map(|target| target.in_flight()).sum();
        let load = u64::from(load.saturating_add(self.waiting()));
        let share = load * u64::from(most) / u64::from(full_at);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        share.clamp(least.min(most), most)
    }

    fn join(&self, waiter: &Arc<Waiter>) {
        let mut queue = self.lock();
        queue.push_back(Arc::clone(waiter));
        if let Some(target) = &waiter.bound {
            target.count_queued(1);
        }
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(waiting, Ordering::Relaxed);
    }

    /// A target may have room: gives it to those who wait.
    pub(crate) fn has_room(&self, target: &TargetState) {
        if self.waiting() == 0 {
            return;
        }
        let members = self.members();
        let at = place_of(target, &members);
        let mut queue = self.lock();
        let known = match at {
            Some(at) => members.get(at),
            // It is gone, and serves those who waited for it before.
            None => queue.iter().find_map(|waiter| {
                let among = &waiter.among;
                among.get(place_of(target, among)?)
            }),
        };
        let Some(target) = known.cloned() else {
            return;
        };
        let target = &target;
        // Its place among the targets of a generation, which mostly is the last.
        let place_in = |among: &Arc<[Arc<TargetState>]>| match at {
            Some(at) if Arc::ptr_eq(among, &members) => Some(at),
            _ => place_of(target, among),
        };
        while target.health().is_usable() {
            let open = takes_anybody(target, &members);
            let wants = |waiter: &Arc<Waiter>| match &waiter.bound {
                Some(bound) => Arc::ptr_eq(bound, target).then(|| place_in(&waiter.among)),
                None if !open => None,
                None => Some(place_in(&waiter.among).filter(|it| !waiter.tried.contains(*it))),
            };
            let mut all = queue.iter().enumerate();
            let next = all.find_map(|(nth, waiter)| Some((nth, wants(waiter)??)));
            let Some((nth, place)) = next else {
                return;
            };
            let Some(slot) = target.try_enter(self.limit(&members, target)) else {
                return;
            };
            if let Some(waiter) = queue.remove(nth) {
                self.left(&waiter);
                waiter.give(place, slot);
            }
        }
    }

    /// Counts one that has left the queue.
    fn left(&self, waiter: &Waiter) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if let Some(target) = &waiter.bound {
            target.count_queued(-1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A backup takes those that are not bound to it only while no other target is up.
fn takes_anybody(target: &TargetState, all: &[Arc<TargetState>]) -> bool {
    let other_is_up = |it: &Arc<TargetState>| !is_backup(it) && it.health().is_usable();
    !is_backup(target) || !all.iter().any(other_is_up)
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

    fn group(limits: &[u32]) -> (GroupParts, Vec<Arc<TargetState>>) {
        let target = |_: &u32| Arc::new(TargetState::new(Health::Healthy, None));
        let targets: Vec<_> = limits.iter().map(target).collect();
        let state = Arc::new(GroupState {
            session_rate: LiveRate::default(),
            members: RwLock::new(Arc::from(targets.clone())),
            limited: AtomicBool::new(true),
            full_at: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            queue: Mutex::default(),
        });
        for (target, most) in targets.iter().zip(limits) {
            let limits = Limits {
                most: AtomicU32::new(*most),
                configured: AtomicU32::new(*most),
                least: AtomicU32::new(0),
                queue: AtomicU32::new(0),
                backup: AtomicBool::new(false),
            };
            target.belong(&state, limits);
            target.tell();
        }
        let parts = GroupParts {
            tls: None,
            own_tls: Vec::new(),
            targets: state.members(),
            numbers: Vec::new(),
            turns: Arc::default(),
            seal: None,
            state,
        };
        (parts, targets)
    }

    fn poll(place: &Place) -> Option<(usize, InFlight)> {
        match place.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(given) => Some(given),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_for_a_target_that_goes_is_served_by_it() {
        let (parts, targets) = group(&[1]);
        let slot = parts.enter(0).unwrap();
        let place = parts.join(None, Tried::default());
        assert!(poll(&place).is_none());
        *parts.state.members.write().unwrap() = Arc::from([]);
        drop(slot);
        assert_eq!(poll(&place).map(|(at, _)| at), Some(0));
        assert_eq!(targets[0].in_flight(), 0);
    }

    #[test]
    fn first_come_first_served() {
        let (group, targets) = group(&[1, 1]);
        let (a, b) = (group.enter(0).unwrap(), group.enter(1).unwrap());
        assert!(group.enter(0).is_none() && group.is_full(1));
        let bound = group.join(Some(1), Tried::new());
        let [first, second] = [(); 2].map(|()| group.join(None, Tried::new()));
        assert_eq!((group.state.waiting(), targets[1].queued()), (3, 1));
        drop(a);
        assert_eq!(poll(&first).map(|(index, _)| index), Some(0));
        // What was given was dropped at once: the next has it.
        assert_eq!(poll(&second).map(|(index, _)| index), Some(0));
        assert!(poll(&bound).is_none());
        drop(b);
        assert_eq!(poll(&bound).map(|(index, _)| index), Some(1));
        assert_eq!((group.state.waiting(), targets[1].queued()), (0, 0));
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
        assert_eq!((group.state.waiting(), targets[0].in_flight()), (0, 0));
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
        assert_eq!(group.state.waiting(), 0);
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
