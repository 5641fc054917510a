//! How many events may happen in a second, all workers together.
//!
//! Counts as HAProxy does: those of this second, and of the second before what is left of it. A burst is let through up
//! to the limit, and what follows comes at an even pace. Whoever may not go on is told how long to wait.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No limit but that of the configuration.
const AS_CONFIGURED: u32 = u32::MAX;

/// Bits of each of the two counts.
const COUNT_BITS: u32 = 20;
/// The largest count, and the largest limit that has an effect: a million events a second.
const MOST: u64 = (1 << COUNT_BITS) - 1;
/// Seconds are counted up to here, and from 0 again: 194 days.
const SECONDS: u64 = 1 << (u64::BITS - 2 * COUNT_BITS);
const LAST_SECOND: u64 = SECONDS - 1;

/// A limit of events in a second.
#[derive(Debug)]
pub struct Pace {
    /// From above: the number of the second, events of the second before it, events of it.
    counts: AtomicU64,
    /// Events a second; [`AS_CONFIGURED`] where nobody has said another number.
    limit: AtomicU32,
}

/// What a [`Pace`] has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceParts {
    /// What somebody has said in place of the configuration.
    pub limit: Option<u32>,
    /// Events of the second before.
    pub before: u64,
    /// Events of this second.
    pub here: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            counts: AtomicU64::new(0),
            limit: AtomicU32::new(AS_CONFIGURED),
        }
    }
}

impl Pace {
    /// Events a second, where `configured` is what the configuration says; 0: no limit.
    pub fn limit(&self, configured: u32) -> u32 {
        match self.limit.load(Ordering::Relaxed) {
            AS_CONFIGURED => configured,
            limit => limit,
        }
    }

    /// Says another limit; 0: none.
    pub fn set_limit(&self, limit: u32) {
        let limit = limit.min(AS_CONFIGURED - 1);
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// What somebody has said, and what was counted in this second and the one before: for another process.
    pub fn parts(&self) -> PaceParts {
        let limit = self.limit.load(Ordering::Relaxed);
        let counts = self.counts.load(Ordering::Relaxed);
        let second = milliseconds() / 1000 % SECONDS;
        let (before, here) = (counts >> COUNT_BITS & MOST, counts & MOST);
        let (before, here) = match (second + SECONDS - (counts >> (2 * COUNT_BITS))) % SECONDS {
            0 => (before, here),
            1 => (here, 0),
            _ => (0, 0),
        };
        PaceParts {
            limit: (limit != AS_CONFIGURED).then_some(limit),
            before,
            here,
        }
    }

    /// Goes on as another process has counted, whose seconds begin at other moments: the counts are right to a second.
    pub fn go_on(&self, parts: &PaceParts) {
        if let Some(limit) = parts.limit {
            self.set_limit(limit);
        }
        let second = milliseconds() / 1000 % SECONDS;
        let (before, here) = (parts.before.min(MOST), parts.here.min(MOST));
        let counts = second << (2 * COUNT_BITS) | before << COUNT_BITS | here;
        self.counts.store(counts, Ordering::Relaxed);
    }

    /// Counts an event, where fewer than the limit have happened.
    ///
    /// # Errors
    /// How long it takes until one more may happen.
    pub(crate) fn take(&self, configured: u32) -> Result<(), Duration> {
        match self.limit(configured) {
            0 => Ok(()),
            limit => self.take_at(limit.into(), milliseconds()),
        }
    }

    /// An event did not happen after all.
    pub(crate) fn give_back(&self, configured: u32) {
        if self.limit(configured) == 0 {
            return;
        }
        let less = |counts: u64| (counts & MOST > 0).then(|| counts - 1);
        // Where a new second has begun, what was counted is not known any more.
        let order = Ordering::Relaxed;
        let _ = self.counts.fetch_update(order, order, less);
    }

    fn take_at(&self, limit: u64, now: u64) -> Result<(), Duration> {
        let limit = limit.min(MOST);
        let order = Ordering::Relaxed;
        let (second, past) = (now / 1000 % SECONDS, now % 1000);
        let mut wait = 0;
        let taken = self.counts.fetch_update(order, order, |counts| {
            let (before, here) = (counts >> COUNT_BITS & MOST, counts & MOST);
            let counted = counts >> (2 * COUNT_BITS);
            let (second, before, here) = match (second + SECONDS - counted) % SECONDS {
                0 => (second, before, here),
                1 => (second, here, 0),
                // Another worker is in the next second already.
                LAST_SECOND if here > 0 => (counted, before, here),
                _ => (second, 0, 0),
            };
            if here + before * (1000 - past) / 1000 < limit {
                return Some(second << (2 * COUNT_BITS) | before << COUNT_BITS | (here + 1));
            }
            // So long that enough of the second before is gone, or until the next second.
            let room = (limit - 1).saturating_sub(here);
            wait = match here < limit && before > 0 {
                true => (1000 - past).saturating_sub(((room + 1) * 1000 - 1) / before),
                false => 1000 - past,
            };
            None
        });
        taken
            .map(drop)
            .map_err(|_| Duration::from_millis(wait.max(1)))
    }
}

/// Milliseconds since the first question.
fn milliseconds() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = FIRST.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of so many events happens, in milliseconds, where each comes as soon as it may.
    fn moments(limit: u64, count: usize) -> Vec<u64> {
        moments_since(0, limit, count)
    }

    /// The same from a moment on.
    fn moments_since(start: u64, limit: u64, count: usize) -> Vec<u64> {
        let pace = Pace::default();
        let mut now = start;
        (0..count)
            .map(|_| {
                while let Err(wait) = pace.take_at(limit, now) {
                    now += wait.as_millis() as u64;
                }
                now - start
            })
            .collect()
    }

    #[test]
    fn a_burst_and_then_an_even_pace() {
        let all = moments(4, 12);
        assert_eq!(all[..4], [0, 0, 0, 0]);
        assert_eq!(all[4..8], [1001, 1251, 1501, 1751]);
        assert_eq!(all[8..], [2001, 2251, 2501, 2751]);
        let most = moments(1000, 5000);
        assert!((4900..=5100).contains(&most[4999]), "{}", most[4999]);
        assert_eq!(moments(1, 3), [0, 1001, 2001]);
    }

    #[test]
    fn it_holds_after_half_a_year() {
        let turn = SECONDS * 1000;
        for start in [turn - 1000, turn, turn + 5000, 3 * turn - 1000] {
            let all = moments_since(start, 4, 12);
            assert_eq!(all, moments(4, 12), "{start}");
        }
    }

    #[test]
    fn what_did_not_happen_does_not_count() {
        let pace = Pace::default();
        assert_eq!(pace.take_at(1, 10), Ok(()));
        assert!(pace.take_at(1, 20).is_err());
        pace.give_back(1);
        assert_eq!(pace.take_at(1, 30), Ok(()));
        assert_eq!(pace.take(0), Ok(()));
    }
}
