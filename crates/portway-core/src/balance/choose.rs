//! The algorithms themselves.

use std::cell::{Ref, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::bound::Bound;
use super::hash::{affinity, draw, mix, rendezvous_score};
use super::members::{Ability, Member, Members, members};
use super::table::{divisor, nearest, ring, table};
use super::turns::Turns;
use super::{Algorithm, Ask, Candidates, Choice, Key, Live, Lookup, NoTarget, Policy};

/// What one full share of weight is divided into, so that a share can rise slowly.
pub const SIXTEENTHS: u32 = 16;

/// Whose turn it is, for all workers of a group: people count the turns of a balancer as a whole, not of its workers. A
/// choice among equals takes one atomic instruction, one among unequals a short lock.
#[derive(Debug, Default)]
pub struct SharedTurns {
    /// Next place in the turn over equal weights, in tables, and among those that are equally busy.
    turn: AtomicUsize,
    /// The turns over unequal weights.
    fair: Mutex<Turns>,
}

impl SharedTurns {
    /// The turns of the same group where targets stand at other places; those that `place` gives none are gone. Where
    /// turns had got to is kept; from here on the two are apart.
    pub fn moved(&self, place: impl Fn(usize) -> Option<usize>) -> SharedTurns {
        let fair = self.fair.lock().unwrap_or_else(PoisonError::into_inner);
        SharedTurns {
            turn: AtomicUsize::new(self.turn.load(Ordering::Relaxed)),
            fair: Mutex::new(fair.moved(place)),
        }
    }
}

/// Chooses targets of one group for one worker.
#[derive(Debug)]
pub struct Balancer {
    policy: Policy,
    candidates: Arc<Candidates>,
    turns: Arc<SharedTurns>,
    known: RefCell<Known>,
}

/// Who is there, as of an epoch.
#[derive(Debug, Default)]
struct Known {
    epoch: Option<u64>,
    is: Members,
    /// Of lookups by a table and of static turns.
    table: Vec<usize>,
    /// Of lookups on a ring.
    ring: Vec<(u32, usize)>,
}

impl Balancer {
    /// A balancer over these targets; `turns` are shared by the workers of a group.
    pub fn new(policy: Policy, candidates: Arc<Candidates>, turns: Arc<SharedTurns>) -> Balancer {
        Balancer {
            policy,
            candidates,
            turns,
            known: RefCell::default(),
        }
    }

    /// The algorithm in use.
    pub fn algorithm(&self) -> Algorithm {
        self.policy.algorithm
    }

    /// The targets chosen from.
    pub fn candidates(&self) -> &Arc<Candidates> {
        &self.candidates
    }

    /// Chooses a target for one attempt, and moves the turn on.
    #[inline]
    pub fn choose(&self, live: &impl Live, ask: Ask<'_>) -> Result<Choice, NoTarget> {
        let known = self.known(live);
        let Some(tier) = known.is.tier else {
            return Err(if self.candidates.is_empty_of_weight() {
                NoTarget::Empty
            } else {
                NoTarget::NoneUsable
            });
        };
        let free = |index: usize| !ask.tried.contains(index) && !live.full(index);
        let index = match self.policy.algorithm {
            Algorithm::RoundRobin => self.next_turn(&known, free),
            Algorithm::StaticRoundRobin => self.turn_in(&known.table, |it| *it, free),
            Algorithm::LeastOutstanding => self.least_outstanding(&known, live, free),
            Algorithm::LeastTime => self.least_time(&known, live, free),
            Algorithm::Random { draws } => drawn(&known, live, ask.chance, draws, free),
            Algorithm::FirstAvailable => known.indices().find(|&index| free(index)),
            Algorithm::Hash(lookup) => match self.by_hash(&known, live, lookup, ask) {
                Some(index) if live.full(index) => return Err(NoTarget::Full(Some(index))),
                other => other,
            },
        };
        match index {
            Some(index) => Ok(Choice { index, tier }),
            None if known.indices().any(|index| !ask.tried.contains(index)) => {
                Err(NoTarget::Full(None))
            }
            None => Err(NoTarget::AllTried),
        }
    }

    /// Among whom is chosen now.
    pub fn members(&self, live: &impl Live) -> Members {
        self.known(live).is.clone()
    }

    /// How well the group can serve now.
    #[inline]
    pub fn ability(&self, live: &impl Live) -> Ability {
        self.known(live).is.ability
    }

    /// Who is there now.
    #[inline]
    fn known(&self, live: &impl Live) -> Ref<'_, Known> {
        let epoch = live.epoch();
        if self.known.borrow().epoch != Some(epoch) {
            self.look(live, epoch);
        }
        self.known.borrow()
    }

    #[cold]
    fn look(&self, live: &impl Live, epoch: u64) {
        let mut known = self.known.borrow_mut();
        known.is = members(&self.policy, &self.candidates, live);
        known.epoch = Some(epoch);
        self.fill(&mut known);
    }

    /// Makes what the algorithm looks up.
    fn fill(&self, known: &mut Known) {
        let lookup = match self.policy.algorithm {
            Algorithm::StaticRoundRobin => Lookup::Table,
            Algorithm::Hash(lookup) => lookup,
            _ => return,
        };
        match lookup {
            Lookup::Table => {
                let configured = self.candidates.all.iter().map(|it| it.weight);
                let divisor = divisor(configured);
                let share = |member: &Member| {
                    let weight = member.weight.div_ceil(SIXTEENTHS);
                    (member.index, weight)
                };
                let members: Vec<_> = known.is.all.iter().map(share).collect();
                known.table = table(&members, divisor);
            }
            Lookup::Ring => {
                let id = |index| self.candidates.candidate(index).map_or(0, |it| it.id);
                let members = known.is.all.iter();
                known.ring = ring(members.map(|it| (it.index, id(it.index), it.weight)));
            }
            Lookup::Rendezvous => {}
        }
    }

    /// The next by turns and weight.
    fn next_turn(&self, known: &Known, free: impl Fn(usize) -> bool) -> Option<usize> {
        if !known.is.equal {
            let mut fair = self
                .turns
                .fair
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let epoch = known.epoch.unwrap_or_default();
            fair.know(epoch, known.is.all.iter().map(|it| (it.index, it.weight)));
            return fair.next(free);
        }
        let count = known.is.all.len();
        let turn = self.turns.turn.fetch_add(1, Ordering::Relaxed);
        let start = turn.checked_rem(count)?;
        for step in 0..count {
            let place = (start + step) % count;
            let member = known.is.all.get(place)?;
            if free(member.index) {
                if step > 0 {
                    // Whoever was passed over has had its turn.
                    self.turns.turn.fetch_add(step, Ordering::Relaxed);
                }
                return Some(member.index);
            }
        }
        None
    }

    /// The next in a table of turns, or on a ring.
    fn turn_in<T>(
        &self,
        table: &[T],
        index: impl Fn(&T) -> usize,
        free: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        for _ in 0..table.len() {
            let turn = self.turns.turn.fetch_add(1, Ordering::Relaxed);
            let index = index(table.get(turn.checked_rem(table.len())?)?);
            if free(index) {
                return Some(index);
            }
        }
        None
    }

    /// The least busy one; those that are equally busy take turns.
    fn least_outstanding(
        &self,
        known: &Known,
        live: &impl Live,
        free: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let load = |member: &Member| Load {
            in_flight: live.in_flight(member.index),
            weight: member.weight,
        };
        self.least(known, free, load, Load::below)
    }

    /// The one that will answer soonest by what is known. One of which nothing is known is asked once, and until it has answered
    /// counts as the slowest.
    fn least_time(
        &self,
        known: &Known,
        live: &impl Live,
        free: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let times = known.is.all.iter().map(|member| live.time(member.index));
        let slowest = times.max().unwrap_or(0).max(1);
        let wait = |member: &Member| {
            let in_flight = live.in_flight(member.index);
            let time = match live.time(member.index) {
                0 if in_flight > 0 => slowest,
                time => time,
            };
            (u64::from(time) * (u64::from(in_flight) + 1), member.weight)
        };
        self.least(known, free, wait, |(one, its), (other, others)| {
            u128::from(one) * u128::from(others) < u128::from(other) * u128::from(its)
        })
    }

    /// The least of those that are free; those that are equal take turns.
    fn least<T: Copy>(
        &self,
        known: &Known,
        free: impl Fn(usize) -> bool,
        load: impl Fn(&Member) -> T,
        below: impl Fn(T, T) -> bool,
    ) -> Option<usize> {
        let free = |member: &&Member| free(member.index);
        let members = || known.is.all.iter().filter(free);
        let least = members()
            .map(&load)
            .reduce(|a, b| if below(b, a) { b } else { a })?;
        let tied = || members().filter(|member| !below(least, load(member)));
        let turn = self.turns.turn.fetch_add(1, Ordering::Relaxed);
        let place = turn.checked_rem(tied().count()).unwrap_or(0);
        // Counts change while we look: if nobody is at the least any more, anybody may have the turn.
        let found = tied().nth(place).or_else(|| members().next());
        found.map(|member| member.index)
    }

    fn by_hash(
        &self,
        known: &Known,
        live: &impl Live,
        lookup: Lookup,
        ask: Ask<'_>,
    ) -> Option<usize> {
        let untried = |index: usize| !ask.tried.contains(index);
        let free = |index: usize| untried(index) && !live.full(index);
        match (ask.key, lookup) {
            (Key::None, Lookup::Table) => self.turn_in(&known.table, |it| *it, free),
            (Key::None, Lookup::Ring) => self.turn_in(&known.ring, |(_, it)| *it, free),
            (Key::None, Lookup::Rendezvous) => self.next_turn(known, free),
            (Key::Hash(hash), Lookup::Table) => {
                let start = (hash as u32 as usize).checked_rem(known.table.len())?;
                let (before, behind) = known.table.split_at_checked(start)?;
                let mut from = behind.iter().chain(before).copied();
                from.find(|&index| untried(index))
            }
            (Key::Hash(hash), _) if self.policy.bound == 0 => {
                self.nearest(known, lookup, hash, |index| match lookup {
                    Lookup::Rendezvous => free(index),
                    _ => untried(index),
                })
            }
            (Key::Hash(hash), _) => {
                let bound = Bound::new(self.policy.bound, &known.is.all, live);
                let has_room = |index| free(index) && bound.has_room(&known.is.all, index, live);
                self.nearest(known, lookup, hash, has_room)
                    .or_else(|| self.nearest(known, lookup, hash, free))
                    .or_else(|| self.nearest(known, lookup, hash, untried))
            }
        }
    }

    /// The target that a hash leads to among those that will do.
    fn nearest(
        &self,
        known: &Known,
        lookup: Lookup,
        hash: u64,
        will_do: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match lookup {
            Lookup::Ring => nearest(&known.ring, hash as u32, |index| !will_do(index)),
            _ => self.rendezvous(known, hash, will_do),
        }
    }

    /// Weighted rendezvous hashing.
    fn rendezvous(&self, known: &Known, key: u64, free: impl Fn(usize) -> bool) -> Option<usize> {
        let affinity = |index: usize| affinity(key, self.candidates.identity(index));
        let members = known.is.all.iter().filter(|it| free(it.index));
        if known.is.equal {
            return members.map(|it| it.index).max_by_key(|it| affinity(*it));
        }
        let score = |member: &Member| {
            let identity = self.candidates.identity(member.index);
            rendezvous_score(key, identity, member.weight)
        };
        members
            .map(|member| (score(member), member.index))
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
            .map(|(_, index)| index)
    }
}

impl Known {
    fn indices(&self) -> impl Iterator<Item = usize> {
        self.is.all.iter().map(|member| member.index)
    }
}

/// The least busy of so many that are drawn by weight.
fn drawn(
    known: &Known,
    live: &impl Live,
    chance: u64,
    draws: u16,
    free: impl Fn(usize) -> bool,
) -> Option<usize> {
    let mut out: Option<Member> = None;
    let load = |member: Member| Load {
        in_flight: live.in_flight(member.index),
        weight: member.weight,
    };
    for number in 0..u64::from(draws.max(1)) {
        let members = known
            .is
            .all
            .iter()
            .filter(|it| free(it.index) && out.is_none_or(|out| out.index != it.index));
        let Some(other) = one_of(members, fresh(chance, number)) else {
            break;
        };
        out = Some(match out {
            Some(one) if !load(other).below(load(one)) => one,
            _ => other,
        });
    }
    out.map(|member| member.index)
}

/// One of the members, by weight.
fn one_of<'m>(members: impl Iterator<Item = &'m Member> + Clone, chance: u64) -> Option<Member> {
    let total: u64 = members.clone().map(|it| u64::from(it.weight)).sum();
    let mut left = draw(chance, total);
    for member in members.clone() {
        match left.checked_sub(u64::from(member.weight)) {
            Some(rest) => left = rest,
            None => return Some(*member),
        }
    }
    // One became busy between the two passes.
    members.last().copied()
}

/// Another draw from the same chance.
fn fresh(chance: u64, draw: u64) -> u64 {
    mix(chance.wrapping_add(draw << 56 | 0x5851_f42d_4c95_7f2d))
}

/// How busy a target is for its weight, compared without dividing. Who has nothing to do is equal to everybody who has
/// nothing to do; else the one that is asked about counts too, as in HAProxy.
#[derive(Clone, Copy)]
struct Load {
    in_flight: u32,
    weight: u32,
}

impl Load {
    fn below(self, other: Load) -> bool {
        let busy = |load: Load| match load.in_flight {
            0 => 0,
            some => u64::from(some) + 1,
        };
        busy(self) * u64::from(other.weight) < busy(other) * u64::from(self.weight)
    }
}
