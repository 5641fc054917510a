//! Which target takes the next attempt.
//!
//! Decides one index among the targets of a group, by one of six algorithms, and says when there is none. It leaves to
//! others what "usable" means (health, draining, a full target: the caller folds them into one answer), connecting, and
//! whether to try again (`retry`). The hard thing about it: a choice is made for every request, so the usual case (equal
//! weights, everything usable) must not look at all targets, and must stay fair when one of them is down.
//!
//! ```text
//! choose ─▶ short path (equal weights, the drawn target is usable and untried) ─▶ index
//!    └────▶ tier: usable primaries, else usable backups, else by policy all of them, else NoTarget
//!              └─▶ algorithm over the tier without the tried ones ─▶ index or NoTarget::AllTried
//! ```
//!
//! What is configured (weights, backup, identity) is in [`Candidates`], shared by workers; what happens meanwhile comes
//! through [`Live`], so that the data plane reads its atomics and builds nothing per request; positions are in
//! [`Balancer`], one for each worker and group.

mod choose;
mod hash;
mod tried;

pub use choose::Balancer;
pub use hash::{hash_address, hash_bytes};
pub use tried::{TRIED_REMEMBERED, Tried};

/// How a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Smooth weighted round robin: over a full cycle each target gets exactly its weight, and its turns are spread out.
    /// With equal weights O(1); else O(number of targets).
    RoundRobin,
    /// The fewest exchanges in flight per unit of weight; ties take turns by weight. O(number of targets).
    LeastOutstanding,
    /// The same source address goes to the same target while it is usable (weighted rendezvous hashing): losing a
    /// target moves only the addresses it had. O(number of targets).
    SourceHash,
    /// Two targets drawn by weight, of which the one with fewer exchanges in flight per unit of weight. With equal
    /// weights O(1).
    RandomTwo,
    /// One target drawn by weight. With equal weights O(1).
    Random,
    /// The first usable target in the order of the configuration.
    FirstAvailable,
}

/// What to do when no target is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenNoneUsable {
    /// Choose among all targets as if all were usable (an Application Load Balancer's fail-open).
    FailOpen,
    /// Choose none: the client gets 503 (HAProxy, nginx).
    None,
}

/// What the configuration says of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Share of traffic relative to the others. 0 takes no new traffic, not even with fail-open.
    pub weight: u32,
    /// Takes traffic only while no primary target is usable.
    pub backup: bool,
    /// What [`Algorithm::SourceHash`] knows the target by, stable over reloads: [`hash_bytes`] of its name or address.
    pub identity: u64,
}

/// What happens to the targets meanwhile, by index into [`Candidates`].
pub trait Live {
    /// May the target take a new exchange now?
    fn usable(&self, index: usize) -> bool;
    /// Exchanges in flight at the target, over all workers.
    fn in_flight(&self, index: usize) -> u32;
}

/// What one choice depends on besides the targets.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Address of the client, for [`Algorithm::SourceHash`].
    pub source: std::net::IpAddr,
    /// 64 random bits, fresh for each choice, for the algorithms that draw.
    pub chance: u64,
    /// Targets that failed this exchange before; they are not chosen again.
    pub tried: &'a Tried,
}

/// A chosen target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index into [`Candidates`].
    pub index: usize,
    /// Where the choice was made.
    pub tier: Tier,
}

/// The set of targets among which a choice is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Usable primary targets.
    Primary,
    /// Usable backup targets, no primary one being usable.
    Backup,
    /// All targets with a weight, none being usable.
    FailOpen,
}

/// Why no target was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoTarget {
    /// The group has no target with a weight above 0.
    Empty,
    /// None is usable, and the policy is [`WhenNoneUsable::None`].
    NoneUsable,
    /// There are usable targets, but this exchange has tried them all. The caller may ask again with an empty [`Tried`].
    AllTried,
}

impl std::fmt::Display for NoTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NoTarget::Empty => "the target group has no target that takes traffic",
            NoTarget::NoneUsable => "no target is usable",
            NoTarget::AllTried => "all usable targets were tried",
        })
    }
}

/// The targets of a group as configured, compiled once and shared by all workers.
#[derive(Clone, Debug)]
pub struct Candidates {
    all: Box<[Candidate]>,
    /// Indices with a weight, in order, by tier.
    primary: Tierlist,
    backup: Tierlist,
    any: Tierlist,
}

/// Indices of one tier.
#[derive(Clone, Debug)]
struct Tierlist {
    indices: Box<[usize]>,
    /// All have the same weight: drawing and turning need not look at weights.
    equal: bool,
}

impl Candidates {
    /// Prepares the targets of a group, in the order of the configuration.
    pub fn new(all: Vec<Candidate>) -> Candidates {
        let tier = |wanted: fn(&Candidate) -> bool| {
            let members = || {
                all.iter()
                    .enumerate()
                    .filter(|(_, c)| c.weight > 0 && wanted(c))
            };
            let first = members().next().map_or(0, |(_, c)| c.weight);
            Tierlist {
                indices: members().map(|(index, _)| index).collect(),
                equal: members().all(|(_, c)| c.weight == first),
            }
        };
        Candidates {
            primary: tier(|c| !c.backup),
            backup: tier(|c| c.backup),
            any: tier(|_| true),
            all: all.into_boxed_slice(),
        }
    }

    /// Number of targets, those without weight included.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Are there no targets at all?
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The target at `index`, as configured.
    pub fn candidate(&self, index: usize) -> Option<&Candidate> {
        self.all.get(index)
    }

    fn weight(&self, index: usize) -> u32 {
        self.all.get(index).map_or(0, |c| c.weight)
    }

    fn identity(&self, index: usize) -> u64 {
        self.all.get(index).map_or(0, |c| c.identity)
    }

    fn tier(&self, tier: Tier) -> &Tierlist {
        match tier {
            Tier::Primary => &self.primary,
            Tier::Backup => &self.backup,
            Tier::FailOpen => &self.any,
        }
    }
}

#[cfg(test)]
mod tests;
