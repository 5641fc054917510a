//! How often something happens in a second.

use crate::track;
use std::sync::atomic::{AtomicU64, Ordering};

/// Told by control once a second: it looks at the totals.
#[derive(Debug, Default)]
pub struct LiveRate {
    /// The total at the last look.
    total: AtomicU64,
    /// What came in the second before it.
    before: AtomicU64,
    /// When that was, in the milliseconds of [`track::now`].
    looked: AtomicU64,
}

impl LiveRate {
    /// A second is over, in which so many came.
    pub fn look(&self, total: u64, before: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.before.store(before, Ordering::Relaxed);
        self.looked.store(track::now(), Ordering::Relaxed);
    }

    /// Says what another says.
    pub(crate) fn follow(&self, other: &LiveRate) {
        let pairs = [
            (&other.total, &self.total),
            (&other.before, &self.before),
            (&other.looked, &self.looked),
        ];
        for (from, to) in pairs {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Events a second where the total is `total` now: those since the last look, and of those before it what is left
    /// of a second.
    pub(crate) fn now(&self, total: u64) -> u64 {
        let since = track::now().saturating_sub(self.looked.load(Ordering::Relaxed));
        let left = 1000_u64.saturating_sub(since);
        let fresh = total.saturating_sub(self.total.load(Ordering::Relaxed));
        fresh + self.before.load(Ordering::Relaxed) * left / 1000
    }
}
