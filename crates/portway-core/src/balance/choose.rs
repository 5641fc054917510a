//! The algorithms themselves, and where each worker stands in them.

use std::cell::Cell;
use std::sync::Arc;

use super::hash::{affinity, draw, hash_address, mix};
use super::{
    Algorithm, Ask, Candidates, Choice, Live, NoTarget, Tier, Tierlist, Tried, WhenNoneUsable,
};

/// Chooses targets of one group for one worker.
///
/// Workers do not share positions: each turns through the targets by itself, starting at another place by its `seed`, so
/// that all of them together are as fair as one, without a shared cache line.
#[derive(Debug)]
pub struct Balancer {
    algorithm: Algorithm,
    when_none_usable: WhenNoneUsable,
    candidates: Arc<Candidates>,
    /// Next place in the turn over equal weights.
    turn: Cell<usize>,
    /// Next place in the turn that hands out the turns of targets that cannot take theirs.
    spare_turn: Cell<usize>,
    /// Smooth weighted round robin: what each target is owed, in units of weight. Between two choices their sum is 0 and
    /// none exceeds the total weight.
    owed: Box<[Cell<i64>]>,
}

impl Balancer {
    /// A balancer at the start of its turn. `seed` moves the start (the number of the worker, or anything).
    pub fn new(
        algorithm: Algorithm,
        when_none_usable: WhenNoneUsable,
        candidates: Arc<Candidates>,
        seed: u64,
    ) -> Balancer {
        let owed = candidates.all.iter().map(|_| Cell::new(0)).collect();
        let targets = candidates.primary.indices.len().max(1);
        let balancer = Balancer {
            algorithm,
            when_none_usable,
            turn: Cell::new((seed % targets as u64) as usize),
            spare_turn: Cell::new(0),
            owed,
            candidates,
        };
        // Weighted turns start elsewhere by having made some choices already.
        if !balancer.candidates.primary.equal {
            for _ in 0..seed % targets as u64 {
                balancer.smooth(balancer.candidates.primary.indices.iter().copied());
            }
        }
        balancer
    }

    /// The algorithm in use.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The targets chosen from.
    pub fn candidates(&self) -> &Arc<Candidates> {
        &self.candidates
    }

    #[cfg(test)]
    pub(super) fn owed_values(&self) -> impl Iterator<Item = i64> {
        self.owed.iter().map(Cell::get)
    }

    /// Chooses a target for one attempt, and moves the turn on.
    #[inline]
    pub fn choose(&self, live: &impl Live, ask: Ask<'_>) -> Result<Choice, NoTarget> {
        if self.candidates.primary.equal
            && let Some(index) = self.short_path(live, ask)
        {
            return Ok(Choice {
                index,
                tier: Tier::Primary,
            });
        }
        self.choose_in_tier(live, ask)
    }

    /// The choice among equal primary targets, when what is drawn can be had.
    #[inline]
    fn short_path(&self, live: &impl Live, ask: Ask<'_>) -> Option<usize> {
        let primary = &*self.candidates.primary.indices;
        let free = |&&index: &&usize| live.usable(index) && !ask.tried.contains(index);
        match self.algorithm {
            Algorithm::RoundRobin => {
                let turn = self.turn.get();
                let next = turn + 1;
                self.turn.set(if next < primary.len() { next } else { 0 });
                primary.get(turn).filter(free).copied()
            }
            Algorithm::Random => {
                let place = draw(ask.chance, primary.len() as u64);
                primary.get(place as usize).filter(free).copied()
            }
            Algorithm::RandomTwo if primary.len() > 1 => {
                let one = draw(ask.chance, primary.len() as u64) as usize;
                let other = draw(fresh(ask.chance, 1), primary.len() as u64 - 1) as usize;
                let other = if other < one { other } else { other + 1 };
                let one = primary.get(one).filter(free).copied()?;
                let other = primary.get(other).filter(free).copied()?;
                Some(if live.in_flight(other) < live.in_flight(one) {
                    other
                } else {
                    one
                })
            }
            Algorithm::FirstAvailable => primary.iter().find(free).copied(),
            Algorithm::RandomTwo | Algorithm::LeastOutstanding | Algorithm::SourceHash => None,
        }
    }

    /// The choice when the short path does not apply.
    fn choose_in_tier(&self, live: &impl Live, ask: Ask<'_>) -> Result<Choice, NoTarget> {
        let tier = self.tier(live)?;
        let members = Members {
            list: self.candidates.tier(tier),
            live,
            tried: ask.tried,
            fail_open: tier == Tier::FailOpen,
        };
        let index = match self.algorithm {
            Algorithm::RoundRobin if members.list.equal => self.spare(&members),
            Algorithm::RoundRobin => self.smooth(members.iter()),
            Algorithm::LeastOutstanding => self.least_outstanding(&members),
            Algorithm::SourceHash => self.by_source(&members, hash_address(ask.source)),
            Algorithm::Random => self.drawn(members.iter(), fresh(ask.chance, 2)),
            Algorithm::RandomTwo => self.drawn_two(&members, ask.chance),
            Algorithm::FirstAvailable => members.iter().next(),
        };
        let index = index.ok_or(NoTarget::AllTried)?;
        Ok(Choice { index, tier })
    }

    /// The tier to choose in. What was tried has no say in it: a retry does not fall back to backups, and not to targets
    /// known to be down, while a usable primary target exists.
    fn tier(&self, live: &impl Live) -> Result<Tier, NoTarget> {
        let usable = |tier| {
            let list: &Tierlist = self.candidates.tier(tier);
            list.indices.iter().any(|&index| live.usable(index))
        };
        if self.candidates.any.indices.is_empty() {
            return Err(NoTarget::Empty);
        }
        match self.when_none_usable {
            _ if usable(Tier::Primary) => Ok(Tier::Primary),
            _ if usable(Tier::Backup) => Ok(Tier::Backup),
            WhenNoneUsable::FailOpen => Ok(Tier::FailOpen),
            WhenNoneUsable::None => Err(NoTarget::NoneUsable),
        }
    }

    /// Hands out, in turn, what is not taken by whose turn it was. Giving it to the next neighbour instead would double
    /// the load of the neighbour of a dead target.
    fn spare(&self, members: &Members<'_, impl Live>) -> Option<usize> {
        let count = members.iter().count();
        let place = self.spare_turn.get().checked_rem(count)?;
        self.spare_turn.set(place + 1);
        members.iter().nth(place)
    }

    /// Smooth weighted round robin: everybody is owed its weight more, who is owed most is chosen and pays the total.
    fn smooth(&self, members: impl Iterator<Item = usize>) -> Option<usize> {
        let mut total = 0_i64;
        let mut best: Option<(i64, usize)> = None;
        for index in members {
            let weight = i64::from(self.candidates.weight(index));
            let owed = self.owed.get(index)?;
            owed.set(owed.get() + weight);
            total += weight;
            if best.is_none_or(|(most, _)| owed.get() > most) {
                best = Some((owed.get(), index));
            }
        }
        let (most, index) = best?;
        self.owed.get(index)?.set(most - total);
        Some(index)
    }

    fn least_outstanding(&self, members: &Members<'_, impl Live>) -> Option<usize> {
        let load = |index: usize| Load {
            in_flight: members.live.in_flight(index),
            weight: self.candidates.weight(index),
        };
        let least = members
            .iter()
            .map(load)
            .reduce(|a, b| if b.below(a) { b } else { a })?;
        // Counts change while we look: if nobody is at the least any more, everybody may have the turn.
        let tied = members.iter().filter(|&index| !least.below(load(index)));
        self.smooth(tied).or_else(|| self.smooth(members.iter()))
    }

    /// Weighted rendezvous hashing (Thaler and Ravishankar 1998; the weighted score after Schindelhauer and Schomaker
    /// 2005): a target of weight w wins with probability w / total, whatever else is in the list.
    fn by_source(&self, members: &Members<'_, impl Live>, key: u64) -> Option<usize> {
        let affinity = |index: usize| affinity(key, self.candidates.identity(index));
        if members.list.equal {
            return members.iter().max_by_key(|&index| affinity(index));
        }
        let score = |index: usize| {
            // 52 bits moved by half a step fit into the 53 of an f64, so they are never 0 and never 1, and the
            // logarithm is finite and not 0.
            let uniform = ((affinity(index) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
            f64::from(self.candidates.weight(index)) / -uniform.ln()
        };
        members
            .iter()
            .map(|index| (score(index), index))
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
            .map(|(_, index)| index)
    }

    /// One of the members, by weight.
    fn drawn(&self, members: impl Iterator<Item = usize> + Clone, chance: u64) -> Option<usize> {
        let weight = |index: usize| u64::from(self.candidates.weight(index));
        let total: u64 = members.clone().map(weight).sum();
        let mut left = draw(chance, total);
        for index in members.clone() {
            match left.checked_sub(weight(index)) {
                Some(rest) => left = rest,
                None => return Some(index),
            }
        }
        // A target became unusable between the two passes.
        members.last()
    }

    fn drawn_two(&self, members: &Members<'_, impl Live>, chance: u64) -> Option<usize> {
        let one = self.drawn(members.iter(), fresh(chance, 2))?;
        let others = members.iter().filter(|&index| index != one);
        let Some(other) = self.drawn(others, fresh(chance, 3)) else {
            return Some(one);
        };
        let load = |index: usize| Load {
            in_flight: members.live.in_flight(index),
            weight: self.candidates.weight(index),
        };
        Some(if load(other).below(load(one)) {
            other
        } else {
            one
        })
    }
}

/// Another draw from the same chance. The draws of the short path must not be used again: that they led to a target that
/// cannot be had says where they lie, and its whole share would fall to the same others.
fn fresh(chance: u64, draw: u64) -> u64 {
    mix(chance.wrapping_add(draw << 56 | 0x5851_f42d_4c95_7f2d))
}

/// The targets that one choice may fall on.
struct Members<'a, L> {
    list: &'a Tierlist,
    live: &'a L,
    tried: &'a Tried,
    fail_open: bool,
}

impl<'a, L: Live> Members<'a, L> {
    fn iter(&self) -> impl Iterator<Item = usize> + Clone + use<'a, L> {
        let (live, tried, fail_open) = (self.live, self.tried, self.fail_open);
        let free =
            move |index: &usize| (fail_open || live.usable(*index)) && !tried.contains(*index);
        self.list.indices.iter().copied().filter(free)
    }
}

/// Exchanges in flight per unit of weight, compared without dividing.
#[derive(Clone, Copy)]
struct Load {
    in_flight: u32,
    weight: u32,
}

impl Load {
    fn below(self, other: Load) -> bool {
        u64::from(self.in_flight) * u64::from(other.weight)
            < u64::from(other.in_flight) * u64::from(self.weight)
    }
}
