//! Stick tables: what is counted by key, for a bounded number of keys, forgotten where it is not used.
//!
//! All times are milliseconds since some moment that the caller keeps to. Nothing here knows a clock, a socket or a rule.

mod aside;
mod entry;
mod key;
mod rate;

pub use entry::{Entry, Event, Kept, Remembered};
pub use key::Key;

use crate::seed::Seed;
use portway_model::expression::{Counter, StoredCounter};
use portway_model::settings::{KeyType, TargetKey, WhenFull};
use portway_model::snapshot::StickTable;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Parts of a large table that are locked by themselves.
const SHARDS: usize = 16;

/// Entries from which a table has more than one part: below that, which entries are the oldest is exact.
const SHARDED_FROM: usize = 4096;

/// Of a full table so many entries go at once, as one part in this many.
const EVICTED_PART: usize = 256;

/// How often a key is looked at again because room was made for it in another part of its table, and somebody else took that.
const TRIES: usize = 4;

/// Milliseconds for which a part, or a table, in which all is tracked is not looked through again.
const STUCK: u64 = 100;

/// A table.
#[derive(Debug)]
pub struct Table {
    key: KeyType,
    size: usize,
    expire: Option<u64>,
    when_full: WhenFull,
    target_key: TargetKey,
    store: Vec<StoredCounter>,
    held: Arc<Held>,
    /// The table that this one stands beside: see [`Table::aside`].
    behind: Option<Arc<Table>>,
}

/// The entries of a table, which settings that are new leave as they are.
#[derive(Debug)]
struct Held {
    used: AtomicUsize,
    /// Entries that had to go because it was full.
    evicted: AtomicU64,
    /// Keys that had no room because nothing could go.
    refused: AtomicU64,
    shards: Box<[Mutex<Shard>]>,
    /// Until then nothing in any part can be evicted: all was tracked.
    stuck_until: AtomicU64,
    /// Which part a key is in, and where there: nobody outside can know which keys share one.
    seed: Seed,
}

impl Held {
    fn new(shards: usize, seed: Seed) -> Self {
        Self {
            stuck_until: AtomicU64::new(0),
            used: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            shards: (0..shards).map(|_| Mutex::new(Shard::new(seed))).collect(),
            seed,
        }
    }
}

#[derive(Debug)]
struct Shard {
    entries: HashMap<Key, Arc<Entry>, Seed>,
    /// When it is looked through for forgotten entries again.
    sweep_at: u64,
    /// Until then nothing in it can be evicted: all was tracked.
    stuck_until: u64,
}

impl Shard {
    fn new(seed: Seed) -> Self {
        Self {
            entries: HashMap::with_hasher(seed),
            sweep_at: 0,
            stuck_until: 0,
        }
    }

    /// Removes the entries that do not stay; how many.
    fn retain(&mut self, mut stays: impl FnMut(&Entry) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| stays(entry));
        before - self.entries.len()
    }
}

impl Table {
    /// An empty table. `seed`: of chance, so that nobody outside can make keys that crowd one part; those with the same do the same.
    pub fn new(table: &StickTable, seed: Seed) -> Self {
        Self::with(table, Arc::new(Held::new(parts(table), seed)))
    }

    fn with(table: &StickTable, held: Arc<Held>) -> Self {
        Self {
            key: table.key,
            size: usize::try_from(table.size).unwrap_or(usize::MAX),
            expire: table.expire.map(milliseconds),
            when_full: table.when_full,
            target_key: table.target_key,
            store: table.store.clone(),
            held,
            behind: None,
        }
    }

    /// The table of this configuration, which was another before, with the entries of this one: the same where it stores the same,
    /// so that who counts in one of them counts in both, else copies with the counters that are still stored. Empty where keys are of another type, or targets are known by something else.
    /// Times begin with the last use of each entry; where there are too many of them, they go as new ones come.
    #[must_use]
    pub fn next(&self, table: &StickTable, now: u64) -> Self {
        if table.key != self.key || table.target_key != self.target_key {
            return Self::new(table, self.held.seed);
        }
        if table.store != self.store {
            let next = Self::new(table, self.held.seed);
            next.copy_all(self, now);
            return next;
        }
        let held = match self.held.shards.len() == parts(table) {
            true => Arc::clone(&self.held),
            false => Arc::new(Held::new(parts(table), self.held.seed)),
        };
        let next = Self::with(table, held);
        if !Arc::ptr_eq(&self.held, &next.held) {
            for entry in self.entries(now) {
                if let Some(shard) = next.shard(entry.key()) {
                    lock(shard).entries.insert(entry.key().clone(), entry);
                    next.held.used.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if next.expire != self.expire {
            for shard in &next.held.shards {
                let mut shard = lock(shard);
                shard.sweep_at = now;
                let living = shard.entries.values().filter(|it| it.lives(now));
                living.for_each(|it| it.use_until(it.used_at(), next.expiry(it.used_at())));
            }
        }
        next
    }

    /// Takes over what another table has, as far as it is stored here; what counts open connections is counted anew.
    fn copy_all(&self, from: &Self, now: u64) {
        let is_kept = |it: &StoredCounter| it.counter != Counter::OpenConnections;
        let place =
            |it: &StoredCounter| self.store.iter().position(|own| own == it && is_kept(own));
        let places: Vec<Option<usize>> = from.store.iter().map(place).collect();
        let Ok(()) = from.for_each(now, |entry| {
            let kept = places.iter().zip(entry.kept(now));
            let kept = kept.filter_map(|(place, it)| Some(((*place)?, it)));
            let expires = self.expiry(entry.used_at());
            self.restore(entry.key(), kept, (entry.used_at(), expires), now);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// The type of its keys.
    pub fn key_type(&self) -> KeyType {
        self.key
    }

    /// Entries at most.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Entries that had to go because it was full, since it was made.
    pub fn evicted(&self) -> u64 {
        self.held.evicted.load(Ordering::Relaxed)
    }

    /// Keys that had no room because nothing could go, since it was made; each time they came.
    pub fn refused(&self) -> u64 {
        self.held.refused.load(Ordering::Relaxed)
    }

    /// What its entries know a target by.
    pub fn target_key(&self) -> TargetKey {
        self.target_key
    }

    /// What it counts, in the order of the configuration.
    pub fn store(&self) -> &[StoredCounter] {
        &self.store
    }

    /// Entries that are there. Some of them may be forgotten already: they are looked for now and then.
    pub fn used(&self, now: u64) -> usize {
        for shard in &self.held.shards {
            let mut shard = lock(shard);
            if now >= shard.sweep_at {
                self.sweep(&mut shard, now);
            }
        }
        self.held.used.load(Ordering::Relaxed)
    }

    /// The entry of a key, if there is one.
    pub fn get(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        let mut shard = lock(self.shard(key)?);
        if self.behind.is_some() && !shard.entries.contains_key(key) {
            self.take_over(&mut shard, key);
        }
        let entry = shard.entries.get(key)?;
        entry.lives(now).then(|| Arc::clone(entry))
    }

    /// The entry of a key, made where there is none; `None` where there is no room for it.
    pub fn get_or_make(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        self.found_or_made(key, now, |_| {})
    }

    /// The same, which `then` has before anybody else can forget it.
    fn found_or_made(&self, key: &Key, now: u64, then: impl Fn(&Entry)) -> Option<Arc<Entry>> {
        let own = self.shard(key)?;
        // Who comes to a part with few entries takes the room of those in others.
        let mut spares = self.held.shards.len() > 1 && self.behind.is_none();
        for _ in 0..TRIES {
            let mut part = lock(own);
            if let Some(entry) = self.found_or_made_in(&mut part, key, now, spares) {
                then(&entry);
                return Some(entry);
            }
            drop(part);
            if self.when_full == WhenFull::Refuse {
                break;
            }
            if !self.make_room_elsewhere(now) {
                if !spares {
                    break;
                }
                spares = false;
            }
        }
        self.held.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// `spares`: no entry of this part goes where it has few.
    fn found_or_made_in(
        &self,
        shard: &mut Shard,
        key: &Key,
        now: u64,
        spares: bool,
    ) -> Option<Arc<Entry>> {
        if self.behind.is_some() && !shard.entries.contains_key(key) {
            self.take_over(shard, key);
        }
        if let Some(entry) = shard.entries.get(key) {
            if entry.lives(now) {
                return Some(Arc::clone(entry));
            }
            shard.entries.remove(key);
            self.gone(1);
        }
        if now >= shard.sweep_at {
            self.sweep(shard, now);
        }
        // Few is less than half of what each part would have.
        let has_few = |shard: &Shard| shard.entries.len() * 2 * self.held.shards.len() < self.size;
        if self.is_full() && (spares && has_few(shard) || !self.make_room(shard, now)) {
            return None;
        }
        let entry = Arc::new(Entry::new(key.clone(), &self.store));
        entry.use_until(now, self.expiry(now));
        shard.entries.insert(key.clone(), Arc::clone(&entry));
        self.held.used.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    fn is_full(&self) -> bool {
        self.held.used.load(Ordering::Relaxed) >= self.size
    }

    /// Forgets the entry of a key, unless it is tracked. False where there is none or it stays.
    pub fn remove(&self, key: &Key) -> bool {
        let Some(shard) = self.shard(key) else {
            return false;
        };
        let mut shard = lock(shard);
        let is_free = |entry: &Arc<Entry>| entry.trackers() == 0;
        if !shard.entries.get(key).is_some_and(is_free) {
            return false;
        }
        shard.entries.remove(key);
        self.gone(1);
        true
    }

    /// Every entry that is there now, in the order of the keys.
    pub fn entries(&self, now: u64) -> Vec<Arc<Entry>> {
        let mut all = Vec::new();
        for shard in &self.held.shards {
            let shard = lock(shard);
            let living = shard.entries.values().filter(|entry| entry.lives(now));
            all.extend(living.map(Arc::clone));
        }
        all.sort_by(|one, other| one.key().cmp(other.key()));
        all
    }

    /// Every entry that is there now, in no order, a part of the table after the other: no part is held for longer than it takes
    /// to list it.
    pub fn for_each<E>(
        &self,
        now: u64,
        mut act: impl FnMut(&Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        for shard in &self.held.shards {
            let living: Vec<Arc<Entry>> = {
                let shard = lock(shard);
                let living = shard.entries.values().filter(|entry| entry.lives(now));
                living.cloned().collect()
            };
            living.iter().try_for_each(|entry| act(entry))?;
        }
        Ok(())
    }

    /// Makes an entry as another process had it: what it has in these places, when it was used and when it is forgotten. False
    /// where there is no room for it.
    pub fn restore(
        &self,
        key: &Key,
        kept: impl Iterator<Item = (usize, Kept)>,
        (used_at, expires): (u64, u64),
        now: u64,
    ) -> bool {
        let Some(entry) = self.get_or_make(key, now) else {
            return false;
        };
        kept.for_each(|(place, it)| entry.keep(place, it, now));
        let expires = expires.min(self.expiry(now));
        entry.use_until(used_at, expires);
        true
    }

    /// The value of a counter of an entry; `None` where the table does not store it.
    pub fn read(&self, entry: &Entry, counter: Counter, now: u64) -> Option<u64> {
        Some(entry.read(self.place(counter)?, now))
    }

    /// Sets a counter that is no rate, or begins a rate anew at this value.
    pub fn set(&self, entry: &Entry, counter: Counter, to: u64, now: u64) -> bool {
        let Some(place) = self.place(counter) else {
            return false;
        };
        entry.set(place, to, now);
        entry.use_until(now, self.expiry(now));
        true
    }

    /// Counts as a use of the entry.
    pub fn touch(&self, entry: &Entry, now: u64) {
        entry.use_until(now, self.expiry(now));
    }

    /// The target that an entry remembers.
    pub fn remembered(&self, entry: &Entry) -> Remembered {
        let place = self.place(Counter::Target);
        place.map_or_else(Remembered::default, |place| entry.remembered(place))
    }

    /// Lets an entry remember a target, by its number and what the table knows it by.
    pub fn remember(&self, entry: &Entry, number: u64, key: Option<&str>, now: u64) {
        if let Some(place) = self.place(Counter::Target) {
            entry.remember(place, number, key);
        }
        self.touch(entry, now);
    }

    /// Counts something that happened, so many times, in every counter of it that the table stores.
    pub fn count(&self, entry: &Entry, event: Event, times: u64, now: u64) {
        let counters = event.counters();
        entry.raise(self.places(&counters), times, now);
        entry.use_until(now, self.expiry(now));
    }

    /// Begins to track the entry of a key, made where there is none: it is not forgotten until [`Table::release`].
    pub fn track(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        let entry = self.found_or_made(key, now, Entry::hold)?;
        entry.raise(self.places(&[Counter::OpenConnections]), 1, now);
        self.count(&entry, Event::Connection, 1, now);
        Some(entry)
    }

    /// Ends what [`Table::track`] began.
    pub fn release(&self, entry: &Entry, now: u64) {
        entry.lower(self.places(&[Counter::OpenConnections]));
        entry.use_until(now, self.expiry(now));
        entry.let_go();
    }

    fn places<'t>(&'t self, counters: &'t [Counter]) -> impl Iterator<Item = usize> + 't {
        counters.iter().filter_map(|counter| self.place(*counter))
    }

    fn place(&self, counter: Counter) -> Option<usize> {
        self.store
            .iter()
            .position(|stored| stored.counter == counter)
    }

    fn expiry(&self, now: u64) -> u64 {
        self.expire
            .map_or(u64::MAX, |expire| now.saturating_add(expire))
    }

    fn shard(&self, key: &Key) -> Option<&Mutex<Shard>> {
        let held = &self.held;
        match &*held.shards {
            [only] => Some(only),
            shards => {
                // The map of a part goes by the lower half of the same number.
                let number = (held.seed.hash_one(key) >> 32) % shards.len().max(1) as u64;
                shards.get(usize::try_from(number).ok()?)
            }
        }
    }

    fn gone(&self, count: usize) {
        self.held.used.fetch_sub(count, Ordering::Relaxed);
    }

    fn sweep(&self, shard: &mut Shard, now: u64) {
        self.gone(shard.retain(|entry| entry.lives(now)));
        // Looking through it costs as much as it has entries: once in a part of their lives is enough.
        let pause = self.expire.map_or(u64::MAX, |expire| expire / 8 + 1);
        shard.sweep_at = now.saturating_add(pause);
    }

    /// Makes room in the part of a full table that has most entries of which some can go. False where none can anywhere, which is
    /// not looked for again at once.
    #[cold]
    fn make_room_elsewhere(&self, now: u64) -> bool {
        let [_, _, ..] = &*self.held.shards else {
            return false;
        };
        if now < self.held.stuck_until.load(Ordering::Relaxed) {
            return false;
        }
        let mut parts: Vec<_> = self.held.shards.iter().collect();
        parts.sort_by_cached_key(|it| std::cmp::Reverse(lock(it).entries.len()));
        let mut parts = parts.into_iter();
        let is_made = parts.any(|part| self.make_room(&mut lock(part), now));
        if !is_made {
            let until = now.saturating_add(STUCK);
            self.held.stuck_until.store(until, Ordering::Relaxed);
        }
        is_made
    }

    /// Makes room in a full table. False where nothing can go.
    fn make_room(&self, shard: &mut Shard, now: u64) -> bool {
        if self.when_full == WhenFull::Refuse || now < shard.stuck_until {
            return false;
        }
        if self.behind.is_some() {
            // Whom the table behind would forget is not known here.
            return true;
        }
        let free = shard.entries.values().filter(|entry| entry.trackers() == 0);
        let mut ages: Vec<u64> = free.map(|entry| entry.used_at()).collect();
        // More where it may have fewer than it had.
        let over = self
            .held
            .used
            .load(Ordering::Relaxed)
            .saturating_sub(self.size);
        let count = shard.entries.len() / EVICTED_PART + 1 + over.div_ceil(self.held.shards.len());
        let count = count.min(ages.len());
        let Some(last) = count.checked_sub(1) else {
            // All is tracked: whoever asks next need not look through it again at once.
            shard.stuck_until = now.saturating_add(STUCK);
            return false;
        };
        let (_, youngest, _) = ages.select_nth_unstable(last);
        let (youngest, mut left) = (*youngest, count);
        let gone = shard.retain(|entry| {
            let goes = left > 0 && entry.trackers() == 0 && entry.used_at() <= youngest;
            left -= usize::from(goes);
            !goes
        });
        self.gone(gone);
        let evicted = &self.held.evicted;
        evicted.fetch_add(gone as u64, Ordering::Relaxed);
        gone > 0
    }
}

/// How many parts a table has.
fn parts(table: &StickTable) -> usize {
    match usize::try_from(table.size) {
        Ok(size) if size < SHARDED_FROM => 1,
        _ => SHARDS,
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whole milliseconds, as many as there may be.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
