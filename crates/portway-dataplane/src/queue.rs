//! Exchanges that wait for room at a target: by their priorities, and among those of the same first come, first served.
//!
//! A place at a target is handed over, not announced: whoever frees one gives it to the first who may have it, so that
//! nobody wakes in vain and nobody overtakes but whom rules let. The hard thing is the moment between "everything is full" and "I am in the
//! queue": a place may become free in it. So who has entered the queue looks at every target once more, and who frees a
//! place looks at the queue after it has freed it; one of the two sees the other, since both are in one total order
//! (`SeqCst`). Groups without limits never come here: a place is then freed by one subtraction.
//!
//! Who waits, waits among the targets of now: where those of the group change, the queue stays as it is, and the places of
//! targets that are new are given to it before anybody else sees them.
//!
//! The queue is bounded by what waits in it: each waiter is an open connection of a client, which have their own limits.

mod serving;
mod total;

use crate::live::{Health, InFlight, TargetState};
use crate::live_rate::LiveRate;
use crate::plane::GroupParts;
use portway_core::balance::Tried;
use portway_core::priority::{Order, Priority};
use portway_model::expression::GroupFigure;
use portway_model::name::Name;
use portway_model::snapshot::{Target, TargetGroup};
use serving::{Choosers, Serving};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::sync::Notify;
use total::{Full, Total};

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
    /// The most that may wait at once; 0: no limit.
    max_pending: AtomicU32,
    /// The most that all targets together may have in flight.
    total: Total,
    /// In the order in which they are served.
    queue: Mutex<VecDeque<Queued>>,
    /// The beginning of the time that those who wait are ordered by.
    since: Instant,
}

/// The targets of a group, and what they are called.
#[derive(Debug, Default)]
struct Members {
    targets: Arc<[Arc<TargetState>]>,
    names: Box<[Name]>,
    choosers: Choosers,
}

impl Members {
    fn of(group: &TargetGroup, targets: &Arc<[Arc<TargetState>]>) -> Self {
        let names = group.targets.iter().map(|it| it.name.clone());
        Self {
            targets: Arc::clone(targets),
            names: names.collect(),
            choosers: Choosers::of(group),
        }
    }

    /// Among whom those who wait are served now.
    fn serving(&self) -> Serving {
        self.choosers.now(&self.targets)
    }

    fn place_of(&self, target: &TargetState) -> Option<usize> {
        let mut targets = self.targets.iter();
        targets.position(|it| std::ptr::eq(&raw const **it, target))
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
    weight: AtomicU32,
}

impl Limits {
    fn of(target: &Target) -> Self {
        Self {
            most: AtomicU32::new(target.max_connections),
            configured: AtomicU32::new(target.max_connections),
            least: AtomicU32::new(target.min_connections),
            queue: AtomicU32::new(target.max_queue),
            backup: AtomicBool::new(target.backup),
            weight: AtomicU32::new(target.weight.into()),
        }
    }

    /// In flight at most; 0: no limit.
    pub(crate) fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }

    /// The weight that the configuration says.
    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
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
        copy(&next.weight, &self.weight);
        let backup = next.backup.load(Ordering::Relaxed);
        self.backup.store(backup, Ordering::Relaxed);
    }
}

/// A place in the queue.
#[derive(Debug)]
struct Queued {
    waiter: Arc<Waiter>,
    /// Its place among the others, once it has one.
    order: Order,
    /// It waits for this target alone.
    bound: Option<Arc<TargetState>>,
    /// And for no other where that one is down.
    stays: bool,
    /// It has tried these.
    tried: Box<[Arc<TargetState>]>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Any target.
    Any,
    /// This one while it is there, and any if it is not.
    One(usize),
    /// This one whatever becomes of it.
    Alone(usize),
}

impl Wanted {
    fn target(self) -> Option<usize> {
        match self {
            Wanted::Any => None,
            Wanted::One(index) | Wanted::Alone(index) => Some(index),
        }
    }
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
    /// How many waited in the queue of the group and in that of the target as it came, itself included; 0 in the one where it
    /// does not wait.
    pub(crate) positions: (u32, u32),
    /// The target that it waited for as it came, if only one would do.
    alone: Option<usize>,
}

/// A backup takes traffic only while no other target does.
fn is_backup(target: &TargetState) -> bool {
    target
        .limits()
        .is_some_and(|limits| limits.backup.load(Ordering::Relaxed))
}

/// It takes not even those who wait for it alone: it is down, or out of service. One that drains keeps its clients.
fn is_out(target: &TargetState) -> bool {
    matches!(target.health(), Health::Unhealthy | Health::Unused)
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

    /// True where nobody more may come to a target: it is full, or others wait for it already; or its group is.
    pub(crate) fn is_full(&self, index: usize) -> bool {
        self.is_limited() && (self.is_target_full(index) || self.is_group_full().is_some())
    }

    /// True where some target has a limit, or the group.
    pub(crate) fn is_limited(&self) -> bool {
        self.state.limited.load(Ordering::Relaxed)
    }

    /// As [`Self::is_full`], by the limit of the target alone.
    pub(crate) fn is_target_full(&self, index: usize) -> bool {
        let Some(target) = self.targets.get(index) else {
            return false;
        };
        let limit = self.state.limit(&self.targets, target);
        limit > 0 && (target.in_flight() >= limit || target.queued() > 0)
    }

    /// What is in flight in the group, and what may be; `None` where nobody has to wait for its limit.
    pub(crate) fn is_group_full(&self) -> Option<(u32, u32)> {
        let total = &self.state.total;
        let reached = total.reached(&self.targets);
        // Others wait for it already.
        let waits = || (total.most() > 0 && self.state.waiting() > 0).then_some((0, total.most()));
        reached.or_else(waits)
    }

    /// What a target may have in flight now; 0: no limit.
    pub(crate) fn limit_of(&self, index: usize) -> u32 {
        let target = self.targets.get(index);
        target.map_or(0, |target| self.state.limit(&self.targets, target))
    }

    /// A place at a target, if there is one.
    pub(crate) fn enter(&self, index: usize) -> Option<InFlight> {
        let target = self.targets.get(index)?;
        match self.state.limited.load(Ordering::Relaxed) {
            false => Some(target.enter()),
            true => {
                let place = self.state.place_at(&self.targets, target);
                if matches!(place, Err(Full::Target)) && self.state.total.most() > 0 {
                    // For a moment it had a place of the group, which somebody else may have missed.
                    self.state.serve();
                }
                place.ok()
            }
        }
    }

    /// Joins the queue, behind all whose place in it is not after its own; `None`: as many wait as may.
    pub(crate) fn join(&self, wanted: Wanted, tried: Tried, priority: Priority) -> Option<Place> {
        let bound = wanted.target().and_then(|index| self.targets.get(index));
        // Where it is full, that is known without its lock.
        if self.state.is_queue_full(bound.map(|it| &**it)) {
            return None;
        }
        let targets = self.targets.iter().enumerate();
        let tried = targets.filter(|(index, _)| tried.contains(*index));
        let waiter = Arc::new(Waiter(Mutex::new(Grant::Waiting(None))));
        let queued = Queued {
            waiter: Arc::clone(&waiter),
            order: priority.at(0),
            bound: bound.cloned(),
            stays: matches!(wanted, Wanted::Alone(_)),
            tried: tried.map(|(_, target)| Arc::clone(target)).collect(),
        };
        let positions = self.state.join(queued, priority)?;
        Some(Place {
            group: Arc::clone(&self.state),
            waiter,
            positions,
            alone: wanted.target().filter(|_| positions.1 > 0),
        })
    }
}

impl GroupState {
    /// That of a group without targets and limits.
    fn empty() -> Self {
        Self {
            session_rate: LiveRate::default(),
            outlier: Notify::new(),
            members: RwLock::default(),
            limited: AtomicBool::new(false),
            full_at: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            max_pending: AtomicU32::new(0),
            total: Total::default(),
            queue: Mutex::default(),
            since: Instant::now(),
        }
    }

    /// The state of a group with these targets, which tell it from now on when they have room.
    pub(crate) fn new(group: &TargetGroup, targets: &Arc<[Arc<TargetState>]>) -> Arc<Self> {
        let state = Arc::new(Self::empty());
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
        aside.total.follow(&self.total);
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
        self.max_pending.store(group.max_pending, Ordering::Relaxed);
        let next = Arc::new(Members::of(group, targets));
        let before = {
            let members = self.members.write();
            let mut members = members.unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *members, Arc::clone(&next))
        };
        self.total.set_most(group.max_connections);
        let limited = group.max_connections > 0 || self.limited.load(Ordering::SeqCst);
        if limited || targets.iter().any(|it| it.most() > 0) {
            self.look_at_limits();
        }
        self.turn_to(&before, &next);
        // Limits may be higher, for those who wait already too.
        self.look_around(targets);
    }

    /// Who waits for a target that is gone waits for the one that has its name now, or for any.
    fn turn_to(&self, before: &Members, next: &Members) {
        for queued in self.lock().iter_mut() {
            if let Some(bound) = &queued.bound
                && next.find(bound).is_none()
            {
                let namesake = next.namesake(bound, before).cloned();
                queued.bind(namesake, next);
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

    /// True where all of its targets together have a limit.
    pub(crate) fn is_limited_as_a_whole(&self) -> bool {
        self.total.most() > 0
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

    /// Its positions; `None`: as many wait as may. Counted and joined under one lock: two that come at once do not both
    /// have the last place.
    fn join(&self, mut queued: Queued, priority: Priority) -> Option<(u32, u32)> {
        let mut queue = self.lock();
        if self.is_queue_full(queued.bound.as_deref()) {
            return None;
        }
        let now = self.since.elapsed().as_millis();
        queued.order = priority.at(u64::try_from(now).unwrap_or(u64::MAX));
        let members = self.members();
        // It may have chosen among others than there are now.
        let is_there = |it: &Arc<TargetState>| members.find(it).is_some();
        let bound = queued.bound.take().filter(is_there);
        queued.bind(bound, &members);
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        let positions = match &queued.bound {
            Some(target) => (0, target.queued()),
            None => (waiting, 0),
        };
        let place = queue.partition_point(|it| it.order <= queued.order);
        queue.insert(place, queued);
        self.peak.fetch_max(waiting, Ordering::Relaxed);
        drop(queue);
        // A place may have become free before anybody could see us here; whoever frees one after this sees us.
        fence(Ordering::SeqCst);
        self.look_around(&members.targets);
        Some(positions)
    }

    /// True where as many wait as may: for the group, or for this target.
    fn is_queue_full(&self, bound: Option<&TargetState>) -> bool {
        let is_reached = |waiting: u32, most: u32| most > 0 && waiting >= most;
        is_reached(self.waiting(), self.max_pending.load(Ordering::Relaxed))
            || bound.is_some_and(|target| {
                let most = |limits: &Limits| limits.queue.load(Ordering::Relaxed);
                is_reached(target.queued(), target.limits().map_or(0, most))
            })
    }

    /// Any of the targets may have room.
    fn look_around(&self, targets: &[Arc<TargetState>]) {
        match self.total.most() {
            0 => targets.iter().for_each(|it| self.has_room(it)),
            _ => self.serve(),
        }
    }

    /// A place at a target was given back; `of_group`: it is one of the group too.
    pub(crate) fn gave_back(&self, target: &TargetState, of_group: bool) {
        if of_group {
            self.total.left();
        }
        self.has_room(target);
    }

    /// The health or the weight of a target is another: others may serve than before. Who waits for one alone that takes nothing
    /// more waits for any from now on, unless no other will do.
    pub(crate) fn turned(&self) {
        // Not by the count of those who wait: who enters the queue at this moment sees under its lock what is new.
        let mut queue = self.lock();
        if queue.is_empty() {
            return;
        }
        let members = self.members();
        for queued in queue.iter_mut() {
            let bound = queued.bound.clone();
            if bound.is_some() {
                queued.bind(bound, &members);
            }
        }
        drop(queue);
        self.look_around(&members.targets);
    }

    /// A target may have room: gives it to those who wait. One that is gone has none for them.
    pub(crate) fn has_room(&self, target: &TargetState) {
        if self.waiting() == 0 {
            return;
        }
        if self.total.most() > 0 {
            return self.serve();
        }
        let members = self.members();
        let mut queue = self.lock();
        let place = members.place_of(target);
        let Some((index, target)) = place.and_then(|at| Some((at, members.targets.get(at)?)))
        else {
            return;
        };
        let serving = members.serving();
        loop {
            let wants = |queued: &Queued| match &queued.bound {
                Some(bound) => {
                    Arc::ptr_eq(bound, target) && queued.may_have_it(target, serving.has(index))
                }
                None => serving.gives(index, queued, &members.targets),
            };
            let Some(next) = queue.iter().position(wants) else {
                return;
            };
            let Some(slot) = target.try_enter(self.limit(&members.targets, target)) else {
                return;
            };
            self.grant(&mut queue, next, slot);
        }
    }

    /// Gives a place to who stands here in the queue.
    fn grant(&self, queue: &mut VecDeque<Queued>, at: usize, slot: InFlight) {
        if let Some(queued) = queue.remove(at) {
            self.left(&queued);
            queued.waiter.settle(Grant::Given(slot));
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

impl Queued {
    /// True where the target that it waits for alone takes it now; `serves`: others are sent there as well, however it is.
    fn may_have_it(&self, target: &TargetState, serves: bool) -> bool {
        self.stays || serves || !is_out(target)
    }

    /// Has it wait for this target alone from now on, or for any; for any too where the target is out and it may move.
    fn bind(&mut self, target: Option<Arc<TargetState>>, among: &Members) {
        let serves = |it: &TargetState| {
            let place = among.place_of(it);
            place.is_some_and(|place| among.serving().has(place))
        };
        let target = target.filter(|target| self.may_have_it(target, serves(target)));
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
    /// The target that it waited for as it came, if only one would do.
    pub(crate) fn awaited(&self) -> Option<usize> {
        self.alone
    }

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
        let members = self.group.members();
        if members.find(target).is_none() {
            return;
        }
        queued.bind(Some(Arc::clone(target)), &members);
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
mod tests;
