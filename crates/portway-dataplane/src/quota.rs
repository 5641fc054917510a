//! How many requests may come, and be served at once, for each value of a key: what the limits of rules count.
//!
//! All workers count together. A key is remembered by a number of 64 bits that nobody outside can foresee, so that every
//! entry has one size. A bucket is a moment: that at which it will be full again. One that is full says nothing, and is
//! forgotten where room is needed; a count that is 0 again is forgotten at once. Keys are spread over shards, each with a
//! lock that is held for a look-up and, in a shard that is full, to look for full buckets, ten times a second at most.

use portway_core::rate::{Bucket, Denied};
use portway_core::seed::Seed;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Buckets of rate limits that are not full, all limits together: about 40 bytes each. Requests of one key more are let
/// through.
const BUCKETS: usize = 1 << 20;
/// Locks that keys are spread over: more than workers of a large machine.
const SHARDS: usize = 64;
/// How long a shard that is full stays so before it is looked through again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Everything that limits of rules count.
#[derive(Debug)]
pub(crate) struct Quotas {
    seed: OnceLock<Seed>,
    shards: Box<[Mutex<Shard>]>,
    /// Those that these stand beside: see [`Quotas::aside`].
    behind: Option<Arc<Quotas>>,
}

/// A secret of 32 bytes.
pub(crate) fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    let (one, other) = secret.split_at_mut(16);
    one.copy_from_slice(&random().bytes());
    other.copy_from_slice(&random().bytes());
    secret
}

/// A seed of chance.
pub fn random() -> Seed {
    let mut seed = [0; 16];
    match aws_lc_rs::rand::fill(&mut seed) {
        Ok(()) => Seed::new(seed),
        Err(_) => of_hash_maps(),
    }
}

/// A secret made of the keys that hash maps of this process have, which nobody outside can foresee either: where the system has
/// no chance to give.
fn of_hash_maps() -> Seed {
    let keys = RandomState::new();
    let halves = [keys.hash_one(0_u64), keys.hash_one(1_u64)];
    Seed::new((u128::from(halves[0]) << 64 | u128::from(halves[1])).to_ne_bytes())
}

#[derive(Debug, Default)]
struct Shard {
    /// When the bucket of a key will be full again, in nanoseconds.
    buckets: HashMap<u64, u64>,
    /// Requests of a key that are being served.
    served: HashMap<u64, u32>,
    /// Not looked through before this moment.
    look_again: u64,
}

/// What a rate limit says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// It may go on.
    Passes,
    /// It may go on, as there is no room to count it.
    Uncounted,
    /// Not before so long.
    Wait(Duration),
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            seed: OnceLock::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            behind: None,
        }
    }
}

impl Quotas {
    /// Counts beside these: they say the same, and what is counted there is not counted here.
    pub(crate) fn aside(self: &Arc<Self>) -> Self {
        Self {
            seed: self.seed.clone(),
            behind: Some(Arc::clone(self)),
            ..Self::default()
        }
    }

    /// Takes a token out of the bucket of a key.
    pub(crate) fn take(&self, name: &str, key: &[u8], bucket: Bucket) -> Rate {
        self.take_at(name, key, bucket, now())
    }

    fn take_at(&self, name: &str, key: &[u8], bucket: Bucket, now: u64) -> Rate {
        let number = self.number(name, key);
        let Some(mut shard) = self.shard(number) else {
            return Rate::Uncounted;
        };
        if let Some(full_at) = shard.buckets.get_mut(&number) {
            return match bucket.take(*full_at, now) {
                Ok(next) => {
                    *full_at = next;
                    Rate::Passes
                }
                Err(Denied { wait }) => Rate::Wait(wait),
            };
        }
        if !shard.has_room(now) {
            return Rate::Uncounted;
        }
        if let Ok(next) = bucket.take(now, now) {
            shard.buckets.insert(number, next);
        }
        Rate::Passes
    }

    /// Counts a request of a key as long as what this gives lives; `None` where `amount` are counted already.
    pub(crate) fn hold(self: &Arc<Self>, name: &str, key: &[u8], amount: u32) -> Option<Held> {
        let number = self.number(name, key);
        let mut shard = self.shard(number)?;
        let served = shard.served.entry(number).or_default();
        if *served >= amount {
            return None;
        }
        *served += 1;
        drop(shard);
        let quotas = Arc::clone(self);
        Some(Held { quotas, number })
    }

    fn number(&self, name: &str, key: &[u8]) -> u64 {
        self.seed.get_or_init(random).hash_one((name, key))
    }

    /// What the numbers of keys are made with, and the number of a key that is always the same: who makes another number of that
    /// cannot read ours.
    pub(crate) fn seed(&self) -> ([u8; 16], u64) {
        let seed = self.seed.get_or_init(random);
        (seed.bytes(), self.number("", b"portway"))
    }

    /// Makes the numbers of keys as another process does; false where this one has begun already, or its hash function is
    /// another.
    pub(crate) fn take_over_seed(&self, seed: [u8; 16], probe: u64) -> bool {
        let is_new = self.seed.set(Seed::new(seed)).is_ok();
        is_new && self.number("", b"portway") == probe
    }

    /// Every bucket that is not full: the number of its key, and in how many nanoseconds it will be full.
    pub(crate) fn buckets(&self) -> Vec<(u64, u64)> {
        let now = now();
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let left = shard.buckets.iter();
            let left = left.map(|(number, full_at)| (*number, full_at.saturating_sub(now)));
            all.extend(left.filter(|(_, left)| *left > 0));
        }
        all
    }

    /// Puts a bucket that another process has counted. False where there is no room for it.
    pub(crate) fn put(&self, number: u64, left: u64) -> bool {
        let now = now();
        let Some(mut shard) = self.shard(number) else {
            return false;
        };
        let has_room = shard.has_room(now);
        if has_room {
            shard.buckets.insert(number, now.saturating_add(left));
        }
        has_room
    }

    fn shard(&self, number: u64) -> Option<MutexGuard<'_, Shard>> {
        let index = usize::try_from(number % SHARDS as u64).unwrap_or(0);
        let shard = self.shards.get(index)?;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = self.behind.as_ref().and_then(|it| it.shard(number)) {
            shard.take_over(&there, number);
        }
        Some(shard)
    }
}

impl Shard {
    /// Says of this number what another shard says, where nothing was said yet.
    fn take_over(&mut self, other: &Self, number: u64) {
        if let Some(full_at) = other.buckets.get(&number) {
            self.buckets.entry(number).or_insert(*full_at);
        }
        if let Some(served) = other.served.get(&number) {
            self.served.entry(number).or_insert(*served);
        }
    }

    /// True where one bucket more may be remembered.
    fn has_room(&mut self, now: u64) -> bool {
        const MOST: usize = BUCKETS / SHARDS;
        if self.buckets.len() < MOST {
            return true;
        }
        if now < self.look_again {
            return false;
        }
        self.buckets.retain(|_, full_at| *full_at > now);
        self.look_again = now.saturating_add(LOOK_AGAIN.as_nanos() as u64);
        self.buckets.len() < MOST
    }
}

/// A request that is counted while it is served.
#[derive(Debug)]
pub(crate) struct Held {
    quotas: Arc<Quotas>,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut shard) = self.quotas.shard(self.number) else {
            return;
        };
        if let Some(served) = shard.served.get_mut(&self.number) {
            *served = served.saturating_sub(1);
            if *served == 0 {
                shard.served.remove(&self.number);
            }
        }
    }
}

/// The nanoseconds that buckets count by: since the first was asked for.
fn now() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_secret_of_hash_maps_is_another_each_time() {
        let made: HashSet<[u8; 16]> = (0..16).map(|_| of_hash_maps().bytes()).collect();
        assert_eq!(made.len(), 16);
    }

    #[test]
    fn a_full_table_forgets_full_buckets_and_lets_others_pass() {
        let quotas = Quotas::default();
        let bucket = Bucket::new(1, Duration::from_secs(1), 1);
        let key = |number: usize| number.to_le_bytes();
        let uncounted = |from: usize, now: u64| {
            let keys = from..from + BUCKETS + BUCKETS / 4;
            keys.filter(|it| quotas.take_at("a", &key(*it), bucket, now) == Rate::Uncounted)
                .count()
        };
        assert!(uncounted(0, 0) > 0);
        assert_eq!(
            quotas.take_at("a", &key(0), bucket, SECOND / 2),
            Rate::Wait(Duration::from_millis(500))
        );
        let kept: usize = quotas
            .shards
            .iter()
            .map(|it| it.lock().unwrap().buckets.len())
            .sum();
        assert_eq!(kept, BUCKETS);
        let new = key(usize::MAX);
        assert_eq!(quotas.take_at("a", &new, bucket, 2 * SECOND), Rate::Passes);
        assert_eq!(
            quotas.take_at("a", &new, bucket, 2 * SECOND),
            Rate::Wait(Duration::from_secs(1))
        );
    }

    #[test]
    fn names_and_keys_count_apart_and_nothing_stays() {
        let quotas = Arc::new(Quotas::default());
        let one = quotas.hold("a", b"x", 1);
        assert!(one.is_some());
        assert!(quotas.hold("a", b"x", 1).is_none());
        assert!(quotas.hold("a", b"y", 1).is_some());
        assert!(quotas.hold("b", b"x", 1).is_some());
        drop(one);
        assert!(quotas.hold("a", b"x", 1).is_some());
        assert!(
            quotas
                .shards
                .iter()
                .all(|it| it.lock().unwrap().served.is_empty())
        );
    }
}
