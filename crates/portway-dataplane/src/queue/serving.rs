//! Among whom those who wait are served: the same targets among which those who come are spread, by health, weights, backups and zones.

use super::Queued;
use crate::group::{candidates, policy};
use crate::live::TargetState;
use portway_core::balance::{self, Candidates, Live, Policy};
use portway_model::snapshot::TargetGroup;
use std::sync::{Arc, Mutex, PoisonError};

/// How a group chooses, and whom as of an epoch.
#[derive(Debug, Default)]
pub(super) struct Choosers {
    /// `None`: every target that is usable.
    configured: Option<(Policy, Candidates)>,
    known: Mutex<Option<(u64, Serving)>>,
}

impl Choosers {
    pub(super) fn of(group: &TargetGroup) -> Self {
        let numbers = vec![0; group.targets.len()];
        let candidates = candidates(group, &numbers);
        Self::with(policy(group), Candidates::new(candidates))
    }

    pub(super) fn with(policy: Policy, candidates: Candidates) -> Self {
        Self {
            configured: Some((policy, candidates)),
            known: Mutex::default(),
        }
    }

    /// Who serves now.
    pub(super) fn now(&self, targets: &[Arc<TargetState>]) -> Serving {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = crate::live::epoch();
        if let Some((of, serving)) = &*known
            && *of == epoch
        {
            return serving.clone();
        }
        let serving = self.look(targets);
        *known = Some((epoch, serving.clone()));
        serving
    }

    fn look(&self, targets: &[Arc<TargetState>]) -> Serving {
        let live = States(targets);
        let mut serves: Vec<bool> = (0..targets.len())
            .map(|index| self.configured.is_none() && live.up(index))
            .collect();
        if let Some((policy, candidates)) = &self.configured {
            for member in balance::members(policy, candidates, &live).all {
                if let Some(it) = serves.get_mut(member.index) {
                    *it = true;
                }
            }
        }
        Serving(serves.into())
    }
}

/// For each target of a group whether it is one of those among which is chosen.
#[derive(Debug, Clone)]
pub(super) struct Serving(Arc<[bool]>);

impl Serving {
    pub(super) fn has(&self, index: usize) -> bool {
        self.0.get(index).copied().unwrap_or(false)
    }

    /// True where somebody who waits for any target may have this one: it has not tried it, or has tried all that there are.
    pub(super) fn gives(
        &self,
        index: usize,
        queued: &Queued,
        targets: &[Arc<TargetState>],
    ) -> bool {
        let has_tried = |it: &Arc<TargetState>| queued.tried.iter().any(|its| Arc::ptr_eq(its, it));
        let untried = |(it, serves): (&Arc<TargetState>, &bool)| *serves && !has_tried(it);
        let is_tried = targets.get(index).is_none_or(has_tried);
        self.has(index) && (!is_tried || !targets.iter().zip(&*self.0).any(untried))
    }
}

/// What is asked of targets to know who serves.
struct States<'a>(&'a [Arc<TargetState>]);

impl Live for States<'_> {
    fn epoch(&self) -> u64 {
        crate::live::epoch()
    }

    fn up(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|it| it.health().is_usable())
    }

    fn full(&self, _index: usize) -> bool {
        false
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |it| it.in_flight())
    }

    fn weight(&self, index: usize, configured: u32) -> u32 {
        let state = self.0.get(index);
        state.map_or(0, |it| it.weight_in_service(configured))
    }
}
