//! A worker's view of the target groups: whose turn it is, and connections that wait for the next request.

use crate::later::{Later, LaterGroup};
use crate::live::{Health, TargetState};
use crate::log_buffers::LogBuffers;
use crate::plane::{GroupParts, Plane};
use crate::pool::{Keeping, Pool};
use crate::timer::{TICK, Timer};
use crate::worker::Worker;
use portway_core::balance::{
    Ability, Algorithm, Ask, Balancer, Candidate, Candidates, Choice, Digest, Enough, Key, Live,
    Lookup, Members, NoTarget, Policy, SIXTEENTHS, Tried, WhenNoneUsable, digest, digest_address,
    hash_address, hash_bytes,
};
use portway_core::budget::Budget;
use portway_core::evaluate::{self, Facts, Fetched};
use portway_core::stick::Remembered;
use portway_model::choice::{Algorithm as Configured, HashFunction, HashMethod, MinHealthy};
use portway_model::expression::{GroupFigure, TargetFigure};
use portway_model::members;
use portway_model::name::Name;
use portway_model::settings::{NoneHealthy, SourceAddress, TargetKey};
use portway_model::snapshot::{GroupId, Target, TargetGroup};
use portway_model::stage::Resolved;
use portway_model::tcp::TcpWatch;
use portway_telemetry::metrics::{GroupMetrics, Shard, TargetMetrics};
use rustls::ClientConfig;
use std::cell::{Cell, OnceCell};
use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// What one worker runs: a plane and its own positions and pools. Replaced as a whole by a reload.
pub(crate) struct Generation {
    pub(crate) plane: Arc<Plane>,
    /// This worker's counters.
    pub(crate) shard: Arc<Shard>,
    /// Records of its exchanges.
    pub(crate) logs: LogBuffers,
    groups: Vec<Rc<GroupRun>>,
    later: Later,
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.flush_logs(true);
    }
}

/// Whether what a target serves was cut off since this was made.
pub(crate) struct Fate<'g> {
    state: &'g TargetState,
    cuts: u32,
    /// That of the client's connection.
    timer: &'g Timer,
}

impl Fate<'_> {
    /// Polls `work`, which the target serves, until it is done or cut off: then it is `None`.
    /// Where it is pinned it stays: a future of kilobytes would be copied otherwise.
    pub(crate) fn unless_cut_off<T>(
        &self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = Option<T>> {
        poll_fn(move |cx| {
            if self.state.cuts() != self.cuts || self.timer.is_cut_off() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
    }
}

/// What connections to a target are made of: those that were made otherwise are not used any more.
#[derive(PartialEq, Eq, Hash)]
struct Reached<'g> {
    target: *const TargetState,
    /// Settings of TLS, which are read from files: another object may trust others.
    tls: Option<*const ClientConfig>,
    source: Option<&'g SourceAddress>,
    /// How the system watches over them.
    watch: (TcpWatch, Option<Duration>),
}

impl<'g> Reached<'g> {
    fn of(
        group: &'g TargetGroup,
        parts: &GroupParts,
        index: usize,
        target: &Arc<TargetState>,
    ) -> Self {
        let own = parts.own_tls.get(index).and_then(Option::as_ref);
        let configured = group.targets.get(index);
        Self {
            target: Arc::as_ptr(target),
            tls: own.or(parts.tls.as_ref()).map(Arc::as_ptr),
            source: configured.and_then(|it| it.source.as_ref()),
            watch: (group.tcp, configured.and_then(|it| it.tcp_user_timeout)),
        }
    }
}

/// One group on one worker.
pub(crate) struct GroupRun {
    balancer: Balancer,
    /// What this worker has spent of retries.
    pub(crate) budget: Cell<Budget>,
    /// By index of the target.
    pools: Vec<Rc<Pool>>,
}

/// Targets of a group for one choice, in which the limit of the group is asked for once at most.
struct Targets<'a>(&'a GroupParts, OnceCell<bool>);

impl<'a> Targets<'a> {
    fn new(parts: &'a GroupParts) -> Self {
        Self(parts, OnceCell::new())
    }
}

impl Live for Targets<'_> {
    fn epoch(&self) -> u64 {
        crate::live::epoch()
    }

    fn up(&self, index: usize) -> bool {
        let state = self.0.targets.get(index);
        state.is_some_and(|state| state.health().is_usable())
    }

    fn full(&self, index: usize) -> bool {
        let of_group = || *self.1.get_or_init(|| self.0.is_group_full().is_some());
        self.0.is_limited() && (self.0.is_target_full(index) || of_group())
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0.targets.get(index).map_or(0, |it| it.in_flight())
    }

    fn time(&self, index: usize) -> u32 {
        let state = self.0.targets.get(index);
        state.map_or(0, |state| state.answer_time.known())
    }

    fn weight(&self, index: usize, configured: u32) -> u32 {
        let state = self.0.targets.get(index);
        state.map_or(0, |state| state.weight_in_service(configured))
    }
}

impl Generation {
    /// The plane as a worker runs it. A group whose parts are those of the generation `before` runs on as it is; of
    /// others the targets that are the same keep their pools.
    pub(crate) fn new(plane: Arc<Plane>, shard: Arc<Shard>, before: Option<&Self>) -> Self {
        let known: HashMap<&Name, usize> = before.map_or_else(HashMap::new, |it| {
            let groups = it.plane.snapshot.groups.iter();
            groups.map(|group| &group.name).zip(0..).collect()
        });
        let run = |index: usize, group: &TargetGroup, parts: &Arc<GroupParts>| {
            let known = known.get(&group.name);
            let old = before.zip(known);
            let old = old.and_then(|(it, at)| {
                let (group, parts) = it.plane.group(GroupId(u32::try_from(*at).ok()?))?;
                Some((group, parts, it.groups.get(*at)?))
            });
            if let Some((_, old, run)) = old
                && std::ptr::eq(old, &raw const **parts)
            {
                return Rc::clone(run);
            }
            let metrics = |target| Arc::clone(shard.target(index, target));
            let pools = old.map_or_else(HashMap::new, |(group, parts, run)| {
                run.pools_by_target(group, parts)
            });
            Rc::new(GroupRun::new(group, parts, metrics, &pools))
        };
        let groups = plane.snapshot.groups.iter().zip(&plane.groups).enumerate();
        let groups = groups
            .map(|(index, (group, parts))| run(index, group, parts))
            .collect();
        Self {
            logs: LogBuffers::new(&plane, shard.worker()),
            plane,
            shard,
            groups,
            later: Later::default(),
        }
    }

    /// Groups with targets that this generation has got later.
    pub(crate) fn later(&self) -> &Later {
        &self.later
    }

    /// Hands over what waits of its records: all of it, or only what goes to syslog.
    pub(crate) fn flush_logs(&self, all: bool) {
        self.logs.flush(&self.plane, all);
    }

    /// Closes the pooled connections of targets that the generation `next` does not have.
    pub(crate) fn make_way(&self, next: &Self) {
        let kept: HashSet<*const Pool> = next
            .groups
            .iter()
            .flat_map(|run| run.pools.iter().map(Rc::as_ptr))
            .collect();
        let pools = self.groups.iter().flat_map(|run| &run.pools);
        let gone = pools.filter(|pool| !kept.contains(&Rc::as_ptr(pool)));
        gone.for_each(|pool| pool.expire(u64::MAX));
    }

    /// Configuration, shared parts and this worker's part of a group. `None` only for an id of another snapshot.
    pub(crate) fn group(&self, id: GroupId) -> Option<(&TargetGroup, &GroupParts, &GroupRun)> {
        let Some((group, parts)) = self.plane.group(id) else {
            let later = self.later_group(id)?;
            return Some((&later.group, &later.parts, &later.run));
        };
        Some((group, parts, self.groups.get(id.index())?))
    }

    /// The same of a group of its own plane, to be shared.
    pub(crate) fn group_with_run(
        &self,
        id: GroupId,
    ) -> Option<(&TargetGroup, &Arc<GroupParts>, &Rc<GroupRun>)> {
        let index = id.index();
        let (group, parts) = (
            self.plane.snapshot.groups.get(index)?,
            self.plane.groups.get(index)?,
        );
        Some((group, parts, self.groups.get(index)?))
    }

    /// What this worker counts of a group.
    #[inline]
    pub(crate) fn group_metrics(&self, id: GroupId) -> &Arc<GroupMetrics> {
        match id.index() < self.groups.len() {
            true => self.shard.group(id.index()),
            false => self.shard.group(self.came_to(id).index()),
        }
    }

    /// What this worker counts of a target.
    #[inline]
    pub(crate) fn target_metrics(&self, id: GroupId, target: usize) -> &Arc<TargetMetrics> {
        match self.later_group_of(id) {
            None => self.shard.target(id.index(), target),
            Some(later) => later.shard.target(later.there.1.index(), target),
        }
    }

    #[inline]
    fn later_group_of(&self, id: GroupId) -> Option<&LaterGroup> {
        match id.index() < self.groups.len() {
            true => None,
            false => self.later_group(id),
        }
    }

    /// What becomes of what a target is about to serve, of the connection that has this timer.
    pub(crate) fn fate<'g>(
        &'g self,
        group: GroupId,
        target: usize,
        timer: &'g Timer,
    ) -> Option<Fate<'g>> {
        let (plane, served_by) = match self.later_group_of(group) {
            None => (self.plane.number, group),
            Some(later) => later.there,
        };
        timer.set_served_by(plane, served_by, Some(target));
        let (_, parts, _) = self.group(group)?;
        let state = parts.targets.get(target)?;
        let cuts = state.cuts();
        Some(Fate { state, cuts, timer })
    }

    /// The target of this name, or the member at this address of one that stands for many, if it may take traffic; one that
    /// is down only where `keeps` says so.
    pub(crate) fn target_named(&self, id: GroupId, name: &[u8], keeps: bool) -> Option<usize> {
        let (group, parts, _) = self.group(id)?;
        let named = |target: &Target| target.name.as_str().as_bytes() == name;
        let index = group.targets.iter().position(named);
        let index = index.or_else(|| members::at(group, std::str::from_utf8(name).ok()?))?;
        let health = parts.targets.get(index)?.health();
        let down = matches!(health, Health::Unhealthy | Health::Unused);
        (!down || keeps || group.keep_when_down).then_some(index)
    }

    /// The target that an entry of a stick table remembers, if it may take traffic; one that is down only where `keeps`
    /// says so. What the entry knows it by counts before its number.
    pub(crate) fn target_remembered(
        &self,
        id: GroupId,
        remembered: &Remembered,
        by: TargetKey,
        keeps: bool,
    ) -> Option<usize> {
        let (group, parts, _) = self.group(id)?;
        let known_by = |key: &str| match by {
            TargetKey::Name => {
                let mut targets = group.targets.iter();
                targets.position(|target| target.name.as_str() == key)
            }
            TargetKey::Address => {
                let address = key.parse().ok();
                let mut targets = parts.targets.iter();
                targets.position(|target| address.is_some() && target.address() == address)
            }
        };
        let numbered = || {
            let mut numbers = parts.numbers.iter();
            numbers.position(|number| u64::from(*number) == remembered.number)
        };
        let index = remembered.key.as_deref().and_then(known_by);
        let index = index.or_else(numbered)?;
        let health = parts.targets.get(index)?.health();
        let down = matches!(health, Health::Unhealthy | Health::Unused);
        (!down || keeps || group.keep_when_down).then_some(index)
    }

    /// Targets of a group that may take traffic.
    pub(crate) fn healthy_targets(&self, id: GroupId) -> Option<u32> {
        let (_, parts) = self.plane.group(id)?;
        let targets = parts.targets.iter();
        let healthy = targets.filter(|target| target.health().is_usable()).count();
        u32::try_from(healthy).ok()
    }

    /// Something that is counted of a group.
    pub(crate) fn of_group(&self, figure: GroupFigure, id: GroupId) -> Option<i64> {
        let (_, parts) = self.plane.group(id)?;
        if figure == GroupFigure::ConnectionRate {
            let total = self.plane.metrics.group_totals(id.index()).sessions;
            return i64::try_from(parts.state.session_rate.now(total)).ok();
        }
        Some(parts.figure(figure))
    }

    /// Something of a target.
    pub(crate) fn of_target(
        &self,
        figure: TargetFigure,
        id: GroupId,
        name: &str,
    ) -> Fetched<'static> {
        let Some((group, parts)) = self.plane.group(id) else {
            return Fetched::Absent;
        };
        let mut targets = group.targets.iter().zip(parts.targets.iter()).enumerate();
        let found = targets.find(|(_, (known, _))| known.name.as_str() == name);
        let Some((index, (known, live))) = found else {
            return Fetched::Absent;
        };
        match figure {
            TargetFigure::Usable => live.health().is_usable().into(),
            TargetFigure::Connections => live.in_flight().into(),
            TargetFigure::Weight => (live.weight(known.weight.into()) / SIXTEENTHS).into(),
            TargetFigure::ConfiguredWeight => u32::from(known.weight).into(),
            TargetFigure::Queued => live.queued().into(),
            TargetFigure::FreeConnections => {
                let free = parts.free_connections(index);
                free.map_or(-1, i64::from).into()
            }
            TargetFigure::ConnectionRate => {
                let metrics = &self.plane.metrics;
                let total = metrics.target_totals(id.index(), index).sessions;
                live.session_rate.now(total).into()
            }
        }
    }

    /// Connections open to a group.
    pub(crate) fn group_connections(&self, id: GroupId) -> Option<u32> {
        let (_, parts) = self.plane.group(id)?;
        Some(parts.targets.iter().map(|target| target.in_flight()).sum())
    }

    /// Chooses a target of a group; those tried before only where no other is left.
    pub(crate) fn choose(
        &self,
        id: GroupId,
        key: Key,
        worker: &Worker,
        tried: &mut Tried,
    ) -> Result<Choice, NoTarget> {
        let (_, parts, run) = self.group(id).ok_or(NoTarget::Empty)?;
        let ask = |tried: &Tried| {
            let chance = worker.random();
            let ask = Ask { key, chance, tried };
            run.balancer.choose(&Targets::new(parts), ask)
        };
        match ask(tried) {
            Err(NoTarget::AllTried) => {
                *tried = Tried::default();
                ask(tried)
            }
            other => other,
        }
    }

    /// How well a group can serve now.
    pub(crate) fn ability(&self, id: GroupId) -> Ability {
        let group = self.group(id);
        group.map_or(Ability::None, |(group, parts, run)| {
            match group.keep_share {
                true => Ability::Enough,
                false => run.balancer.ability(&Targets::new(parts)),
            }
        })
    }

    /// Closes connections that wait for a request, `most` at most; how many.
    pub(crate) fn close_idle(&self, most: u32) -> u32 {
        let mut left = most;
        let runs = self.groups.iter().map(|run| &**run);
        let later = self.later.iter().map(|it| &*it.run);
        for pool in runs.chain(later).flat_map(|run| &run.pools) {
            left -= pool.close_oldest(left);
        }
        most - left
    }

    /// Lets a part of what is known of times to answer go: a second is over.
    pub(crate) fn fade_times(&self) {
        let groups = self.plane.snapshot.groups.iter().zip(&self.plane.groups);
        let timed = groups.filter(|(group, _)| group.algorithm == Configured::LeastTime);
        for (_, parts) in timed {
            parts.targets.iter().for_each(|it| it.answer_time.fade());
        }
    }

    /// Closes pooled connections that have waited for too long. `now` and ages in ticks of the worker's timer.
    pub(crate) fn sweep(&self, now: u64) {
        for (group, run) in self.plane.snapshot.groups.iter().zip(&self.groups) {
            let oldest = now.saturating_sub(ticks_of(group.timeouts.idle));
            run.pools.iter().for_each(|pool| pool.expire(oldest));
        }
        for later in self.later.iter() {
            let ticks = ticks_of(later.group.timeouts.idle);
            let oldest = now.saturating_sub(ticks);
            later.run.pools.iter().for_each(|it| it.expire(oldest));
        }
    }
}

fn ticks_of(time: Duration) -> u64 {
    let ticks = time.as_millis() / TICK.as_millis().max(1);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

impl GroupRun {
    fn new(
        group: &TargetGroup,
        parts: &GroupParts,
        metrics: impl Fn(usize) -> Arc<TargetMetrics>,
        before: &HashMap<Reached<'_>, &Rc<Pool>>,
    ) -> Self {
        let balancer = Balancer::new(
            policy(group),
            Arc::new(Candidates::new(candidates(group, &parts.numbers))),
            Arc::clone(&parts.turns),
        );
        let keeping = Keeping {
            limit: usize::try_from(group.pool_size).unwrap_or(usize::MAX),
            reuse: group.connection_reuse,
            life: group.life,
        };
        let targets = parts.targets.iter().enumerate();
        let pool = |(index, target): (usize, &Arc<TargetState>)| {
            let kept = before.get(&Reached::of(group, parts, index, target));
            if let Some(kept) = kept.filter(|it| it.keeping() == keeping) {
                return Rc::clone(kept);
            }
            let metrics = metrics(index);
            Rc::new(Pool::new(keeping, target, metrics))
        };
        let pools = targets.map(pool).collect();
        let timed = group.algorithm == Configured::LeastTime;
        parts.targets.iter().for_each(|it| it.keep_time(timed));
        Self {
            balancer,
            budget: Cell::default(),
            pools,
        }
    }

    fn pools_by_target<'g>(
        &self,
        group: &'g TargetGroup,
        parts: &GroupParts,
    ) -> HashMap<Reached<'g>, &Rc<Pool>> {
        let pools = self.pools.iter().enumerate();
        pools
            .map(|(index, pool)| (Reached::of(group, parts, index, pool.target()), pool))
            .collect()
    }

    /// Among whom is chosen now.
    pub(crate) fn members(&self, parts: &GroupParts) -> Members {
        self.balancer.members(&Targets::new(parts))
    }

    /// Connections to a target that wait for the next request.
    pub(crate) fn pool(&self, target: usize) -> Option<&Rc<Pool>> {
        self.pools.get(target)
    }
}

pub(crate) fn candidates(group: &TargetGroup, numbers: &[u32]) -> Vec<Candidate> {
    let candidate = |(target, number): (&Target, &u32)| Candidate {
        weight: target.weight.into(),
        backup: target.backup,
        identity: hash_bytes(target.name.as_str().as_bytes()),
        id: *number,
        near: target.near,
    };
    group.targets.iter().zip(numbers).map(candidate).collect()
}

pub(crate) fn policy(group: &TargetGroup) -> Policy {
    let MinHealthy { count, percent } = group.min_healthy;
    Policy {
        algorithm: algorithm(&group.algorithm),
        when_none_usable: match group.none_healthy {
            NoneHealthy::Refuse => WhenNoneUsable::None,
            NoneHealthy::FailOpen => WhenNoneUsable::FailOpen,
        },
        backups_together: group.backups_together,
        bound: group.hash_balance_factor,
        enough: Enough {
            count,
            percent: percent.into(),
        },
        zone: group.min_zone_healthy.into(),
    }
}

fn algorithm(configured: &Configured<Resolved>) -> Algorithm {
    let lookup = |method: &HashMethod| match method {
        HashMethod::Consistent => Lookup::Rendezvous,
        HashMethod::Table { .. } => Lookup::Table,
        HashMethod::Ring { .. } => Lookup::Ring,
    };
    match configured {
        Configured::RoundRobin => Algorithm::RoundRobin,
        Configured::StaticRoundRobin => Algorithm::StaticRoundRobin,
        Configured::LeastOutstanding => Algorithm::LeastOutstanding,
        Configured::LeastTime => Algorithm::LeastTime,
        Configured::SourceHash(method) | Configured::Hash { method, .. } => {
            Algorithm::Hash(lookup(method))
        }
        Configured::Random { draws } => Algorithm::Random { draws: *draws },
        Configured::First => Algorithm::FirstAvailable,
    }
}

/// What a request or connection is known by, where the group's algorithm asks for it.
pub(crate) fn key(group: &TargetGroup, source: IpAddr, facts: &impl Facts) -> Key {
    let (function, avalanche) = match &group.algorithm {
        Configured::SourceHash(HashMethod::Consistent) => {
            return Key::Hash(hash_address(source));
        }
        Configured::SourceHash(
            HashMethod::Table { avalanche, .. } | HashMethod::Ring { avalanche, .. },
        ) => return Key::Hash(digest_address(source, *avalanche).into()),
        Configured::Hash { method, .. } => match method {
            HashMethod::Consistent => (None, false),
            HashMethod::Table {
                function,
                avalanche,
            }
            | HashMethod::Ring {
                function,
                avalanche,
            } => (Some(function), *avalanche),
        },
        _ => return Key::None,
    };
    let Configured::Hash { value, .. } = &group.algorithm else {
        return Key::None;
    };
    let text = evaluate::evaluate(value, facts).into_text();
    // Nobody is known by nothing.
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Key::None;
    };
    Key::Hash(match function {
        None => hash_bytes(&text),
        Some(HashFunction::Sdbm) => digest(&text, Digest::Sdbm, avalanche).into(),
        Some(HashFunction::Djb2) => digest(&text, Digest::Djb2, avalanche).into(),
        Some(HashFunction::Wt6) => digest(&text, Digest::Wt6, avalanche).into(),
        Some(HashFunction::Crc32) => digest(&text, Digest::Crc32, avalanche).into(),
    })
}
