//! One entry of a stick table.

use super::key::Key;
use super::milliseconds;
use super::rate::Rate;
use portway_model::expression::{Counter, StoredCounter};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is counted of one key.
#[derive(Debug)]
pub struct Entry {
    key: Key,
    /// In the order of the table's store.
    cells: Mutex<Box<[Cell]>>,
    trackers: AtomicU32,
    /// When it is forgotten, unless it is tracked then.
    expires: AtomicU64,
    used_at: AtomicU64,
}

#[derive(Debug, Clone)]
enum Cell {
    Sum(u64),
    Rate { rate: Rate, period: u64 },
    Target(Remembered),
}

/// The target that an entry remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Its number in its group; 0: none.
    pub number: u64,
    /// Its name or address, as the table says.
    pub key: Option<Arc<str>>,
}

/// What an entry has in one place, for another process: moments are told by how long ago they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// A count.
    Sum(u64),
    /// A rate.
    Rate {
        /// How long ago its period began.
        ago: u64,
        /// What came in that.
        current: u64,
        /// What came in the one before.
        previous: u64,
    },
    /// A target.
    Target(Remembered),
}

/// What happens to whom an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A connection came, or an exchange that is tracked by itself.
    Connection,
    /// A connection was let in.
    Session,
    /// A request came.
    Request,
    /// The client did wrong.
    Error,
    /// A target did wrong.
    Failure,
    /// Bytes came from the client.
    BytesIn,
    /// Bytes went to the client.
    BytesOut,
    /// A rule raises a counter of this number.
    General(u8),
}

impl Event {
    /// The counters of it: so far, and per period.
    pub(super) fn counters(self) -> [Counter; 2] {
        match self {
            Event::Connection => [Counter::Connections, Counter::ConnectionRate],
            Event::Session => [Counter::Sessions, Counter::SessionRate],
            Event::Request => [Counter::Requests, Counter::RequestRate],
            Event::Error => [Counter::Errors, Counter::ErrorRate],
            Event::Failure => [Counter::Failures, Counter::FailureRate],
            Event::BytesIn => [Counter::BytesIn, Counter::BytesInRate],
            Event::BytesOut => [Counter::BytesOut, Counter::BytesOutRate],
            Event::General(number) => [Counter::General(number), Counter::GeneralRate(number)],
        }
    }
}

impl Entry {
    /// An entry that nobody has used yet.
    pub(super) fn new(key: Key, store: &[StoredCounter]) -> Self {
        let cell = |stored: &StoredCounter| match stored.period {
            Some(period) => Cell::Rate {
                rate: Rate::default(),
                period: milliseconds(period),
            },
            None if stored.counter == Counter::Target => Cell::Target(Remembered::default()),
            None => Cell::Sum(0),
        };
        Self {
            key,
            cells: Mutex::new(store.iter().map(cell).collect()),
            trackers: AtomicU32::new(0),
            expires: AtomicU64::new(0),
            used_at: AtomicU64::new(0),
        }
    }

    /// The same, apart from this one.
    pub(super) fn copy(&self) -> Self {
        Self {
            key: self.key.clone(),
            cells: Mutex::new(self.cells().clone()),
            trackers: AtomicU32::new(self.trackers()),
            expires: AtomicU64::new(self.expires()),
            used_at: AtomicU64::new(self.used_at()),
        }
    }

    /// Its key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Connections and exchanges that track it now.
    pub fn trackers(&self) -> u32 {
        self.trackers.load(Ordering::Relaxed)
    }

    /// When it is forgotten unless it is used until then; `u64::MAX`: never.
    pub fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    pub(super) fn lives(&self, now: u64) -> bool {
        now < self.expires() || self.trackers() > 0
    }

    pub(super) fn used_at(&self) -> u64 {
        self.used_at.load(Ordering::Relaxed)
    }

    pub(super) fn use_until(&self, now: u64, expires: u64) {
        self.used_at.store(now, Ordering::Relaxed);
        self.expires.store(expires, Ordering::Relaxed);
    }

    pub(super) fn hold(&self) {
        self.trackers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn let_go(&self) {
        self.trackers.fetch_sub(1, Ordering::Relaxed);
    }

    /// What it has, in the order of the store of its table.
    pub fn kept(&self, now: u64) -> Vec<Kept> {
        let cells = self.cells();
        let kept = cells.iter().map(|cell| match cell {
            Cell::Sum(sum) => Kept::Sum(*sum),
            Cell::Rate { rate, .. } => {
                let (ago, current, previous) = rate.parts(now);
                Kept::Rate {
                    ago,
                    current,
                    previous,
                }
            }
            Cell::Target(target) => Kept::Target(target.clone()),
        });
        kept.collect()
    }

    /// Has this in a place from now on, where something of its kind is.
    pub(super) fn keep(&self, place: usize, kept: Kept, now: u64) {
        match (self.cells().get_mut(place), kept) {
            (Some(Cell::Sum(sum)), Kept::Sum(it)) => *sum = it,
            (
                Some(Cell::Rate { rate, .. }),
                Kept::Rate {
                    ago,
                    current,
                    previous,
                },
            ) => *rate = Rate::of_parts((ago, current, previous), now),
            (Some(Cell::Target(target)), Kept::Target(it)) => *target = it,
            _ => {}
        }
    }

    /// When it was used last.
    pub fn last_used(&self) -> u64 {
        self.used_at()
    }

    fn cells(&self) -> MutexGuard<'_, Box<[Cell]>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, place: usize, now: u64) -> u64 {
        match self.cells().get(place) {
            Some(Cell::Sum(sum)) => *sum,
            Some(Cell::Rate { rate, period }) => rate.read(*period, now),
            Some(Cell::Target(target)) => target.number,
            None => 0,
        }
    }

    pub(super) fn remembered(&self, place: usize) -> Remembered {
        match self.cells().get(place) {
            Some(Cell::Target(target)) => target.clone(),
            _ => Remembered::default(),
        }
    }

    pub(super) fn remember(&self, place: usize, number: u64, key: Option<&str>) {
        if let Some(Cell::Target(target)) = self.cells().get_mut(place) {
            target.number = number;
            if target.key.as_deref() != key {
                target.key = key.map(Arc::from);
            }
        }
    }

    pub(super) fn set(&self, place: usize, to: u64, now: u64) {
        match self.cells().get_mut(place) {
            Some(Cell::Sum(sum)) => *sum = to,
            Some(Cell::Rate { rate, .. }) => *rate = Rate::of(to, now),
            Some(Cell::Target(target)) => target.number = to,
            None => {}
        }
    }

    pub(super) fn raise(&self, places: impl Iterator<Item = usize>, by: u64, now: u64) {
        let mut cells = self.cells();
        for place in places {
            match cells.get_mut(place) {
                Some(Cell::Sum(sum)) => *sum = sum.saturating_add(by),
                Some(Cell::Rate { rate, period }) => rate.raise(by, *period, now),
                Some(Cell::Target(_)) | None => {}
            }
        }
    }

    pub(super) fn lower(&self, places: impl Iterator<Item = usize>) {
        let mut cells = self.cells();
        for place in places {
            if let Some(Cell::Sum(sum)) = cells.get_mut(place) {
                *sum = sum.saturating_sub(1);
            }
        }
    }
}
