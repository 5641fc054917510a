//! Exchanges that wait for room at a target, first come, first served.
//!
//! A place at a target is handed over, not announced: whoever frees one gives it to the first who may have it, so that
//! nobody wakes in vain and nobody overtakes. The hard thing is the moment between "everything is full" and "I am in the
//! queue": a place may become free in it. So who has entered the queue looks at every target once more, and who frees a
//! place looks at the queue after it has freed it; one of the two sees the other, since both are in one total order
//! (`SeqCst`). Groups without limits never come here: a place is then freed by one subtraction.
//!
//! Who waits, waits among the targets of now: where those of the group change, the queue stays as it is, and the places of
//! targets that are new are given to it before anybody else sees them.
//!
//! The queue is bounded by what waits in it: each waiter is an open connection of a client, which have their own limits.

use crate::live::{InFlight, TargetState};
use crate::live_rate::LiveRate;
use crate::plane::GroupParts;
use portway_core::balance::Tried;
use portway_model::expression::GroupFigure;
use portway_model::name::Name;
use portway_model::snapshot::{Target, TargetGroup};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// What the workers of a group share, from one generation to the next.
#[derive(Debug)]
pub struct GroupState {
    /// Connections and requests that came to the group.
    pub session_rate: LiveRate,
    /// Rung where passive health has something to look at.
    pub outlier: Notify,
    /// Its targets now. Looked at for those who wait, and not by those who find room.
    members: RwLock<Arc<Members>>,
    /// Some target has a limit.
    limited: AtomicBool,
    /// Where so many are in flight, limits that rise with the load are at their highest; 0: they do not rise.
    full_at: AtomicU32,
    waiting: AtomicU32,
    /// The most that waited at once.
    peak: AtomicU32,
    queue: Mutex<VecDeque<Queued>>,
}

/// The targets of a group, and what they are called.
#[derive(Debug, Default)]
struct Members {
    targets: Arc<[Arc<TargetState>]>,
    names: Box<[Name]>,
}

impl Members {
    fn of(group: &TargetGroup, targets: &Arc<[Arc<TargetState>]>) -> Self {
        let names = group.targets.iter().map(|it| it.name.clone());
        Self {
            targets: Arc::clone(targets),
            names: names.collect(),
        }
    }

    fn find(&self, target: &TargetState) -> Option<&Arc<TargetState>> {
        let mut targets = self.targets.iter();
        targets.find(|it| std::ptr::eq(&raw const ***it, target))
    }

    /// The one that has the name of a target of others.
    fn namesake(&self, target: &TargetState, others: &Members) -> Option<&Arc<TargetState>> {
        let mut known = others.targets.iter().zip(&others.names);
        let (_, name) = known.find(|(it, _)| std::ptr::eq(&raw const ***it, target))?;
        self.targets
            .get(self.names.iter().position(|it| it == name)?)
    }
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

    /// In flight at most, where somebody has said another number than the configuration.
    pub(crate) fn told(&self) -> Option<u32> {
        let most = self.most();
        (most != self.configured.load(Ordering::Relaxed)).then_some(most)
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

/// A place in the queue.
#[derive(Debug)]
struct Queued {
    waiter: Arc<Waiter>,
    /// It waits for this target alone.
    bound: Option<Arc<TargetState>>,
    /// It has tried these.
    tried: Box<[Arc<TargetState>]>,
}

/// An exchange that waits.
#[derive(Debug)]
struct Waiter(Mutex<Grant>);

#[derive(Debug)]
enum Grant {
    Waiting(Option<Waker>),
    Given(InFlight),
    /// There is nothing to wait for any more.
    Refused,
    Taken,
}

/// Where an exchange stands in the queue; leaving it gives back what was granted.
#[derive(Debug)]
pub(crate) struct Place {
    group: Arc<GroupState>,
    waiter: Arc<Waiter>,
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

    /// What a target may have in flight now; 0: no limit.
    pub(crate) fn limit_of(&self, index: usize) -> u32 {
        let target = self.targets.get(index);
        target.map_or(0, |target| self.state.limit(&self.targets, target))
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
        let targets = self.targets.iter().enumerate();
        let tried = targets.filter(|(index, _)| tried.contains(*index));
        let waiter = Arc::new(Waiter(Mutex::new(Grant::Waiting(None))));
        self.state.join(Queued {
            waiter: Arc::clone(&waiter),
            bound: bound.and_then(|index| self.targets.get(index)).cloned(),
            tried: tried.map(|(_, target)| Arc::clone(target)).collect(),
        });
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
            outlier: Notify::new(),
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

    /// The state of the same group beside it, with these copies of its targets; nobody waits in it, but as many are counted.
    pub(crate) fn aside(
        &self,
        group: &TargetGroup,
        targets: &Arc<[Arc<TargetState>]>,
    ) -> Arc<Self> {
        let aside = Self::new(group, targets);
        for (there, here) in self.members().targets.iter().zip(targets.iter()) {
            if there.most() != here.most() {
                aside.set_most(here, there.most());
            }
        }
        aside.session_rate.follow(&self.session_rate);
        aside.waiting.store(self.waiting(), Ordering::SeqCst);
        aside
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
        let next = Arc::new(Members::of(group, targets));
        let before = {
            let members = self.members.write();
            let mut members = members.unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *members, Arc::clone(&next))
        };
        if self.limited.load(Ordering::SeqCst) || targets.iter().any(|it| it.most() > 0) {
            self.look_at_limits();
        }
        self.turn_to(&before, &next);
        // Limits may be higher, for those who wait already too.
        targets.iter().for_each(|target| self.has_room(target));
    }

    /// Who waits for a target that is gone waits for the one that has its name now, or for any.
    fn turn_to(&self, before: &Members, next: &Members) {
        for queued in self.lock().iter_mut() {
            if let Some(bound) = &queued.bound
                && next.find(bound).is_none()
            {
                let namesake = next.namesake(bound, before).cloned();
                queued.bind(namesake);
            }
        }
    }

    fn members(&self) -> Arc<Members> {
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
        self.members().targets.iter().for_each(|it| it.tell());
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

    fn join(&self, mut queued: Queued) {
        let mut queue = self.lock();
        let members = self.members();
        // It may have chosen among others than there are now.
        let is_there = |it: &Arc<TargetState>| members.find(it).is_some();
        queued.bound = queued.bound.filter(is_there);
        if let Some(target) = &queued.bound {
            target.count_queued(1);
        }
        queue.push_back(queued);
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(waiting, Ordering::Relaxed);
        drop(queue);
        // A place may have become free before anybody could see us here.
        members.targets.iter().for_each(|it| self.has_room(it));
    }

    /// A target may have room: gives it to those who wait. One that is gone has none for them.
    pub(crate) fn has_room(&self, target: &TargetState) {
        if self.waiting() == 0 {
            return;
        }
        let members = self.members();
        let mut queue = self.lock();
        let Some(target) = members.find(target) else {
            return;
        };
        while target.health().is_usable() {
            let open = takes_anybody(target, &members.targets);
            let wants = |queued: &Queued| match &queued.bound {
                Some(bound) => Arc::ptr_eq(bound, target),
                None => open && !queued.tried.iter().any(|it| Arc::ptr_eq(it, target)),
            };
            let Some(next) = queue.iter().position(wants) else {
                return;
            };
            let Some(slot) = target.try_enter(self.limit(&members.targets, target)) else {
                return;
            };
            if let Some(queued) = queue.remove(next) {
                self.left(&queued);
                queued.waiter.settle(Grant::Given(slot));
            }
        }
    }

    /// There is nothing to wait for any more: the group is gone.
    pub fn dismiss(&self) {
        let mut queue = self.lock();
        for queued in std::mem::take(&mut *queue) {
            self.left(&queued);
            queued.waiter.settle(Grant::Refused);
        }
    }

    /// Counts one that has left the queue.
    fn left(&self, queued: &Queued) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if let Some(target) = &queued.bound {
            target.count_queued(-1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Queued>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A backup takes those that are not bound to it only while no other target is up.
fn takes_anybody(target: &TargetState, all: &[Arc<TargetState>]) -> bool {
    let other_is_up = |it: &Arc<TargetState>| !is_backup(it) && it.health().is_usable();
    !is_backup(target) || !all.iter().any(other_is_up)
}

impl Queued {
    /// Has it wait for this target alone from now on, or for any.
    fn bind(&mut self, target: Option<Arc<TargetState>>) {
        if let Some(before) = &self.bound {
            before.count_queued(-1);
        }
        if let Some(next) = &target {
            next.count_queued(1);
        }
        self.bound = target;
    }
}

impl Waiter {
    fn settle(&self, grant: Grant) {
        let before = std::mem::replace(&mut *self.grant(), grant);
        if let Grant::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }

    fn grant(&self) -> MutexGuard<'_, Grant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The place at a target of the group, once there is one; `None`: there will be none.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<InFlight>> {
        let mut grant = self.waiter.grant();
        match std::mem::replace(&mut *grant, Grant::Taken) {
            Grant::Given(slot) => Poll::Ready(Some(slot)),
            Grant::Refused => Poll::Ready(None),
            Grant::Waiting(_) | Grant::Taken => {
                *grant = Grant::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// True where it waits for one target alone.
    pub(crate) fn is_bound(&self) -> bool {
        let queue = self.group.lock();
        let mut places = queue.iter();
        let place = places.find(|it| Arc::ptr_eq(&it.waiter, &self.waiter));
        place.is_some_and(|it| it.bound.is_some())
    }

    /// Waits for this target alone from now on, where it stands.
    pub(crate) fn wait_for(&self, target: &Arc<TargetState>) {
        let mut queue = self.group.lock();
        let mut places = queue.iter_mut();
        let Some(queued) = places.find(|it| Arc::ptr_eq(&it.waiter, &self.waiter)) else {
            return;
        };
        if self.group.members().find(target).is_none() {
            return;
        }
        queued.bind(Some(Arc::clone(target)));
        drop(queue);
        self.group.has_room(target);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.group.lock();
        let mut places = queue.iter();
        let place = places.position(|it| Arc::ptr_eq(&it.waiter, &self.waiter));
        if let Some(queued) = place.and_then(|place| queue.remove(place)) {
            self.group.left(&queued);
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

    /// Targets by the names `0`, `1` and so on.
    fn members(targets: &[Arc<TargetState>]) -> Members {
        let name = |nth: usize| nth.to_string().as_str().into();
        Members {
            targets: Arc::from(targets),
            names: (0..targets.len()).map(name).collect(),
        }
    }

    fn group(limits: &[u32]) -> (GroupParts, Vec<Arc<TargetState>>) {
        let target = |_: &u32| Arc::new(TargetState::new(Health::Healthy, None));
        let targets: Vec<_> = limits.iter().map(target).collect();
        let state = Arc::new(GroupState {
            session_rate: LiveRate::default(),
            outlier: Notify::new(),
            members: RwLock::new(Arc::new(members(&targets))),
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
            targets: Arc::clone(&state.members().targets),
            numbers: Vec::new(),
            turns: Arc::default(),
            seal: None,
            state,
        };
        (parts, targets)
    }

    fn poll(place: &Place) -> Option<InFlight> {
        match place.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(given) => given,
            Poll::Pending => None,
        }
    }

    /// The index of the target that has given a place.
    fn at(targets: &[Arc<TargetState>], slot: Option<InFlight>) -> Option<usize> {
        let given = slot?;
        targets
            .iter()
            .position(|it| Arc::ptr_eq(it, given.target()))
    }

    #[test]
    fn who_waits_turns_to_the_targets_of_now() {
        let (parts, old) = group(&[1]);
        let slot = parts.enter(0).unwrap();
        let bound = parts.join(Some(0), Tried::default());
        let any = parts.join(None, Tried::default());
        let (next, new) = group(&[1]);
        let before = parts.state.members();
        let members = next.state.members();
        *parts.state.members.write().unwrap() = Arc::clone(&members);
        parts.state.turn_to(&before, &members);
        assert_eq!((old[0].queued(), new[0].queued()), (0, 1));
        // What is gone serves nobody who waits.
        drop(slot);
        assert!(poll(&bound).is_none() && poll(&any).is_none());
        parts.state.has_room(&new[0]);
        let given = poll(&bound);
        assert!(poll(&any).is_none());
        assert_eq!(at(&new, given), Some(0));
        parts.state.has_room(&new[0]);
        assert_eq!(at(&new, poll(&any)), Some(0));
        assert_eq!((old[0].in_flight(), new[0].queued()), (0, 0));
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
        assert_eq!(at(&targets, poll(&first)), Some(0));
        // What was given was dropped at once: the next has it.
        assert_eq!(at(&targets, poll(&second)), Some(0));
        assert!(poll(&bound).is_none());
        drop(b);
        assert_eq!(at(&targets, poll(&bound)), Some(1));
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
            if let Poll::Ready(slot) = place.poll(&mut Context::from_waker(waker)) {
                return slot.unwrap();
            }
            std::thread::park();
        }
    }
}
