//! Which target takes the next attempt.
//!
//! Decides one index among the targets of a group, and says when there is none. It leaves to others what "up" means
//! (health, draining), connecting, waiting for room, and whether to try again (`retry`). The hard things about it: a choice
//! is made for every request, so what follows from health and weights is worked out once for each of their changes (an
//! epoch) and not for each request; and orders and hashes must be HAProxy's, to the last choice.
//!
//! ```text
//! choose ─▶ members of the epoch: primaries that are up (those of the own zone, where there are enough), else backups,
//!              │                  else by policy all of them, else NoTarget
//!              └─▶ algorithm over those that are free and untried ─▶ index, or Full, or AllTried
//! ```
//!
//! What is configured (weights, backup, identity) is in [`Candidates`]; what happens meanwhile comes through [`Live`], so
//! that the data plane reads its atomics and builds nothing per request; whose turn it is, is in [`SharedTurns`], one for
//! each group; what a worker knows of an epoch is in its [`Balancer`].

mod bound;
mod choose;
mod digest;
mod hash;
mod members;
mod table;
mod tried;
mod turns;

pub use choose::{Balancer, SIXTEENTHS, SharedTurns};
pub use digest::{Digest, digest, digest_address, full_avalanche as mixed};
pub use hash::{hash_address, hash_bytes, rendezvous_score};
pub use members::{Ability, Enough, Members, members};
pub use table::MAX_SHARES;
pub use tried::{TRIED_REMEMBERED, Tried};

/// How a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// In turn: over a full cycle each target gets exactly its weight, and its turns are spread out. The order is that of
    /// HAProxy's `roundrobin`.
    RoundRobin,
    /// In turn, in the order of HAProxy's `static-rr`.
    StaticRoundRobin,
    /// The fewest exchanges in flight per unit of weight; ties take turns.
    LeastOutstanding,
    /// The least time that the target takes to answer, times one more than it has in flight, per unit of weight; ties take
    /// turns.
    LeastTime,
    /// By the key of the request; in turn where it has none.
    Hash(Lookup),
    /// So many targets drawn by weight, of which the one with fewest exchanges in flight per unit of weight.
    Random {
        /// At least 1.
        draws: u16,
    },
    /// The first free target in the order of the configuration.
    FirstAvailable,
}

/// How a group chooses, its targets left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who is chosen.
    pub algorithm: Algorithm,
    /// What happens where too few are usable.
    pub when_none_usable: WhenNoneUsable,
    /// All usable backups take traffic together, not only the first.
    pub backups_together: bool,
    /// What a target may have in flight, in percent of its share of all that is, before a hash is led on to another;
    /// 0: no bound. Not for [`Lookup::Table`].
    pub bound: u32,
    /// How many usable targets are enough.
    pub enough: Enough,
    /// Targets of the own zone serve alone while so much of their weight is usable, in percent.
    pub zone: u32,
}

impl From<Algorithm> for Policy {
    fn from(algorithm: Algorithm) -> Policy {
        Policy {
            algorithm,
            when_none_usable: WhenNoneUsable::None,
            backups_together: false,
            bound: 0,
            enough: Enough::default(),
            zone: 0,
        }
    }
}

/// How a key finds a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// Weighted rendezvous hashing: losing a target moves only the keys it had.
    Rendezvous,
    /// HAProxy's `map-based`.
    Table,
    /// HAProxy's `consistent`.
    Ring,
}

/// What a request is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// It does not have the value.
    None,
    /// Its hash; of 32 bits for [`Lookup::Table`] and [`Lookup::Ring`].
    Hash(u64),
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
    /// Takes traffic only while no primary target is up.
    pub backup: bool,
    /// What [`Lookup::Rendezvous`] knows the target by, stable over reloads: [`hash_bytes`] of its name or address.
    pub identity: u64,
    /// What [`Lookup::Ring`] knows it by.
    pub id: u32,
    /// It is of the own zone.
    pub near: bool,
}

/// What happens to the targets meanwhile, by index into [`Candidates`].
pub trait Live {
    /// A number that changes whenever `up` or `weight` of any target may have changed.
    fn epoch(&self) -> u64;
    /// May the target take traffic?
    fn up(&self, index: usize) -> bool;
    /// Has it as much to do as it may have?
    fn full(&self, index: usize) -> bool;
    /// Exchanges in flight at the target, over all workers.
    fn in_flight(&self, index: usize) -> u32;
    /// How long it takes to answer, in microseconds; 0: nothing is known of it yet.
    fn time(&self, _index: usize) -> u32 {
        0
    }
    /// Its weight now, in [`SIXTEENTHS`].
    fn weight(&self, _index: usize, configured: u32) -> u32 {
        configured.saturating_mul(SIXTEENTHS)
    }
}

/// What one choice depends on besides the targets.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What the request is known by, for [`Algorithm::Hash`].
    pub key: Key,
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
    /// All that could take it have as much to do as they may have; the one that it is bound to, where it is.
    Full(Option<usize>),
}

impl std::fmt::Display for NoTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NoTarget::Empty => "the target group has no target that takes traffic",
            NoTarget::NoneUsable => "no target is usable",
            NoTarget::AllTried => "all usable targets were tried",
            NoTarget::Full(_) => "all usable targets are full",
        })
    }
}

/// The targets of a group as configured, compiled once.
#[derive(Clone, Debug)]
pub struct Candidates {
    all: Box<[Candidate]>,
}

impl Candidates {
    /// The targets of a group, in the order of the configuration.
    pub fn new(all: Vec<Candidate>) -> Candidates {
        Candidates {
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

    fn is_empty_of_weight(&self) -> bool {
        self.all.iter().all(|it| it.weight == 0)
    }

    fn weight(&self, index: usize) -> u32 {
        self.all.get(index).map_or(0, |it| it.weight)
    }

    fn identity(&self, index: usize) -> u64 {
        self.all.get(index).map_or(0, |it| it.identity)
    }
}

#[cfg(test)]
mod tests;
