//! The limit of a group as a whole: what all of its targets together may have in flight.
//!
//! Counted in the group are the places that were given while it had a limit, each until it is given back. Those from before count as
//! long as their targets are of the group, so that a limit that is new holds at once. Who waits for the group may go to any of its
//! targets: the first who waits has the next place, at the target that has least to do.

use super::serving::Serving;
use super::{GroupState, Members, Queued};
use crate::live::{InFlight, TargetState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// How much a group may have in flight, and has.
#[derive(Debug, Default)]
pub(super) struct Total {
    /// 0: no limit.
    most: AtomicU32,
    in_flight: AtomicU32,
    /// Among targets that have as little to do, they take turns.
    turn: AtomicU32,
}

impl Total {
    pub(super) fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }

    /// The configuration says this from now on.
    pub(super) fn set_most(&self, most: u32) {
        self.most.store(most, Ordering::SeqCst);
    }

    /// Counts as many as another.
    pub(super) fn follow(&self, other: &Self) {
        let now = other.in_flight.load(Ordering::SeqCst);
        self.in_flight.store(now, Ordering::SeqCst);
    }

    /// A place has been given back.
    pub(super) fn left(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// What is in flight, and what may be; `None` where there is room, or no limit.
    pub(super) fn reached(&self, all: &[Arc<TargetState>]) -> Option<(u32, u32)> {
        let most = self.most();
        if most == 0 {
            return None;
        }
        let at_targets: u32 = all.iter().map(|it| it.in_flight()).sum();
        let now = at_targets.max(self.in_flight.load(Ordering::SeqCst));
        (now >= most).then_some((now, most))
    }

    /// A place in the group; given back by [`Self::left`].
    fn enter(&self, all: &[Arc<TargetState>]) -> bool {
        let most = self.most();
        let raise = |before: u32| (before < most).then_some(before + 1);
        let order = (Ordering::SeqCst, Ordering::Relaxed);
        self.reached(all).is_none() && self.in_flight.fetch_update(order.0, order.1, raise).is_ok()
    }
}

impl GroupState {
    /// A place at a target of a group that looks at limits, if there is one.
    pub(super) fn place_at(
        &self,
        all: &[Arc<TargetState>],
        target: &Arc<TargetState>,
    ) -> Result<InFlight, Full> {
        let limit = self.limit(all, target);
        if self.total.most() == 0 {
            return target.try_enter(limit).ok_or(Full::Target);
        }
        if !self.total.enter(all) {
            return Err(Full::Group);
        }
        match target.try_enter(limit) {
            Some(slot) => Ok(slot.of_group()),
            None => {
                self.total.left();
                Err(Full::Target)
            }
        }
    }

    /// Gives the places that there are to those who wait, the first of them first.
    pub(super) fn serve(&self) {
        if self.waiting() == 0 {
            return;
        }
        // Whoever gives back a place after this looks at the queue after that; what was given back before is seen here.
        fence(Ordering::SeqCst);
        let members = self.members();
        let mut queue = self.lock();
        let serving = members.serving();
        'next: while self.total.reached(&members.targets).is_none() {
            for at in 0..queue.len() {
                let Some(target) = queue
                    .get(at)
                    .and_then(|it| self.fits(it, &members, &serving))
                else {
                    continue;
                };
                match self.place_at(&members.targets, target) {
                    Ok(slot) => {
                        self.grant(&mut queue, at, slot);
                        continue 'next;
                    }
                    Err(Full::Group) => return,
                    Err(Full::Target) => {}
                }
            }
            return;
        }
    }

    /// The target that may serve somebody who waits now: of several the one that has least to do.
    fn fits<'m>(
        &self,
        queued: &Queued,
        members: &'m Members,
        serving: &Serving,
    ) -> Option<&'m Arc<TargetState>> {
        let all = &members.targets;
        let has_room = |it: &Arc<TargetState>| {
            let limit = self.limit(all, it);
            limit == 0 || it.in_flight() < limit
        };
        if let Some(bound) = &queued.bound {
            let place = members.place_of(bound)?;
            let bound = all.get(place);
            return bound.filter(|it| queued.may_have_it(it, serving.has(place)) && has_room(it));
        }
        let turn = self.total.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let from = turn.checked_rem(all.len())?;
        let in_turn = (from..all.len()).chain(0..from);
        let may_serve = in_turn.filter(|at| serving.gives(*at, queued, all));
        let in_turn = may_serve
            .filter_map(|at| all.get(at))
            .filter(|it| has_room(it));
        in_turn.min_by_key(|it| {
            // As a share of its weight, in thousands.
            let weight = it.weight_now().max(1);
            u64::from(it.in_flight()) * 1000 / u64::from(weight)
        })
    }
}

/// What has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Group,
    Target,
}
