//! A worker's view of the target groups: whose turn it is, and connections that wait for the next request.

use crate::live::TargetState;
use crate::plane::{GroupParts, Plane};
use crate::pool::Pool;
use crate::worker::Worker;
use portway_core::balance::{
    Algorithm, Ask, Balancer, Candidate, Candidates, Choice, Live, NoTarget, Tried, WhenNoneUsable,
    hash_bytes,
};
use portway_model::draft::Algorithm as Configured;
use portway_model::settings::NoneHealthy;
use portway_model::snapshot::{GroupId, TargetGroup};
use portway_telemetry::metrics::{Limit, Shard, TargetMetrics};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// What one worker runs: a plane and its own positions and pools. Replaced as a whole by a reload.
pub(crate) struct Generation {
    pub(crate) plane: Arc<Plane>,
    groups: Vec<GroupRun>,
}

/// Whether what a target serves was cut off since this was made.
pub(crate) struct Fate<'g> {
    state: &'g TargetState,
    cuts: u32,
}

impl Fate<'_> {
    /// Polls `work`, which the target serves, until it is done or cut off: then it is `None`.
    pub(crate) async fn unless_cut_off<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if self.state.cuts() != self.cuts {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// One group on one worker.
pub(crate) struct GroupRun {
    balancer: Balancer,
    /// By index of the target.
    pools: Vec<Rc<Pool>>,
}

struct Targets<'a>(&'a [Arc<TargetState>], &'a TargetGroup);

impl Live for Targets<'_> {
    fn usable(&self, index: usize) -> bool {
        let Some(state) = self.0.get(index) else {
            return false;
        };
        let limit = self
            .1
            .targets
            .get(index)
            .map_or(0, |target| target.max_connections);
        state.health().is_usable() && (limit == 0 || state.in_flight() < limit)
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |state| state.in_flight())
    }
}

impl Generation {
    /// The plane as worker `seed` runs it; the seed spreads the first turns of workers over targets.
    pub(crate) fn new(plane: Arc<Plane>, shard: &Shard, seed: u64) -> Self {
        let groups = plane.snapshot.groups.iter().enumerate();
        let groups = groups
            .map(|(index, group)| {
                GroupRun::new(
                    group,
                    |target| Arc::clone(shard.target(index, target)),
                    seed,
                )
            })
            .collect();
        Self { plane, groups }
    }

    /// Configuration, shared parts and this worker's part of a group. `None` only for an id of another snapshot.
    pub(crate) fn group(&self, id: GroupId) -> Option<(&TargetGroup, &GroupParts, &GroupRun)> {
        let (group, parts) = self.plane.group(id)?;
        Some((group, parts, self.groups.get(id.index())?))
    }

    /// What becomes of what a target is about to serve.
    pub(crate) fn fate(&self, group: GroupId, target: usize) -> Option<Fate<'_>> {
        let (_, parts) = self.plane.group(group)?;
        let state = parts.targets.get(target)?;
        let cuts = state.cuts();
        Some(Fate { state, cuts })
    }

    /// Targets of a group that may take traffic.
    pub(crate) fn healthy_targets(&self, id: GroupId) -> Option<u32> {
        let (_, parts) = self.plane.group(id)?;
        let targets = parts.targets.iter();
        let healthy = targets.filter(|target| target.health().is_usable()).count();
        u32::try_from(healthy).ok()
    }

    /// Connections open to a group.
    pub(crate) fn group_connections(&self, id: GroupId) -> Option<u32> {
        let (_, parts) = self.plane.group(id)?;
        Some(parts.targets.iter().map(|target| target.in_flight()).sum())
    }

    /// Chooses a target of a group for a client; those tried before only where no other is left.
    pub(crate) fn choose(
        &self,
        id: GroupId,
        source: IpAddr,
        worker: &Worker,
        tried: &mut Tried,
    ) -> Result<Choice, NoTarget> {
        let (group, parts, run) = self.group(id).ok_or(NoTarget::Empty)?;
        let ask = |tried: &Tried| {
            let chance = worker.random();
            let ask = Ask {
                source,
                chance,
                tried,
            };
            run.balancer.choose(&Targets(&parts.targets, group), ask)
        };
        let choice = match ask(tried) {
            Err(NoTarget::AllTried) => {
                *tried = Tried::default();
                ask(tried)
            }
            other => other,
        };
        if choice.is_err() && self.is_full(id) {
            let metrics = worker.shard().worker();
            metrics.limit_reached(Limit::TargetConnections);
        }
        choice
    }

    /// True where a target would take traffic but for its limit of connections.
    pub(crate) fn is_full(&self, id: GroupId) -> bool {
        let Some((group, parts, _)) = self.group(id) else {
            return false;
        };
        let mut targets = group.targets.iter().zip(&parts.targets);
        targets.any(|(target, state)| {
            let limit = target.max_connections;
            state.health().is_usable() && limit > 0 && state.in_flight() >= limit
        })
    }

    /// Closes pooled connections that have waited for too long. `now` and ages in ticks of the worker's timer.
    pub(crate) fn sweep(&self, now: u64) {
        for (group, run) in self.plane.snapshot.groups.iter().zip(&self.groups) {
            let ticks = group.timeouts.idle.as_millis() / crate::timer::TICK.as_millis().max(1);
            let oldest = now.saturating_sub(u64::try_from(ticks).unwrap_or(u64::MAX));
            run.pools.iter().for_each(|pool| pool.expire(oldest));
        }
    }
}

impl GroupRun {
    fn new(group: &TargetGroup, metrics: impl Fn(usize) -> Arc<TargetMetrics>, seed: u64) -> Self {
        let candidates = group
            .targets
            .iter()
            .map(|target| Candidate {
                weight: if target.disabled {
                    0
                } else {
                    u32::from(target.weight)
                },
                backup: target.backup,
                identity: hash_bytes(target.name.as_str().as_bytes()),
            })
            .collect();
        let when_none = match group.none_healthy {
            NoneHealthy::Refuse => WhenNoneUsable::None,
            NoneHealthy::FailOpen => WhenNoneUsable::FailOpen,
        };
        let algorithm = match group.algorithm {
            // Other orders are refused before a plane is made (`support`).
            Configured::RoundRobin | Configured::StaticRoundRobin => Algorithm::RoundRobin,
            Configured::LeastOutstanding => Algorithm::LeastOutstanding,
            // A hash of another value than the source is refused before a plane is made (`support`).
            Configured::SourceHash(_) | Configured::Hash { .. } => Algorithm::SourceHash,
            Configured::Random { .. } => Algorithm::RandomTwo,
            Configured::First => Algorithm::FirstAvailable,
        };
        let balancer = Balancer::new(
            algorithm,
            when_none,
            Arc::new(Candidates::new(candidates)),
            seed,
        );
        let limit = usize::try_from(group.pool_size).unwrap_or(usize::MAX);
        let pools = (0..group.targets.len())
            .map(|target| Rc::new(Pool::new(limit, metrics(target))))
            .collect();
        Self { balancer, pools }
    }

    /// Connections to a target that wait for the next request.
    pub(crate) fn pool(&self, target: usize) -> Option<&Rc<Pool>> {
        self.pools.get(target)
    }
}
