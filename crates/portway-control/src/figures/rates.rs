//! Rates per second, from totals: nothing is counted for them while serving.
//!
//! HAProxy counts events of the current second and of the one before, and takes of the latter what is left of a
//! second; here a task looks at every total once a second, and a reader does the same sum. What changes between two
//! looks is known at the moment of reading, only its moment is not.

use portway_dataplane::live_rate::LiveRate;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// What is known of one total.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    /// The total at the last look.
    total: u64,
    /// What came in the second before it.
    before: u64,
    /// The most that came in a second.
    most: u64,
    /// When it was last seen to change.
    changed: Option<Instant>,
}

impl Rate {
    /// One whose total is so much already, which came at another time.
    pub(crate) fn begun(total: u64) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    /// Its total is the sum of others from now on, which was `before` and is `after`.
    pub(crate) fn moved(&mut self, before: u64, after: u64) {
        self.total = self.total.saturating_add(after).saturating_sub(before);
    }

    /// A second is over; the total is `total` now.
    pub(crate) fn look(&mut self, total: u64, now: Instant) {
        self.before = total.saturating_sub(self.total);
        self.most = self.most.max(self.before);
        self.total = total;
        if self.before > 0 {
            self.changed = Some(now);
        }
    }

    /// Tells workers what came of the last look.
    pub(crate) fn tell(&self, live: &LiveRate) {
        live.look(self.total, self.before);
    }

    /// Events a second, `since` after the last look, where the total is `total` now.
    pub(crate) fn now(&self, total: u64, since: Duration) -> u64 {
        let left = SECOND.saturating_sub(since).as_millis() as u64;
        self.since_look(total) + self.before * left / 1000
    }

    /// The most events in a second.
    pub(crate) fn most(&self, total: u64) -> u64 {
        self.most.max(self.since_look(total))
    }

    /// How long ago it last changed; `None`: never.
    pub(crate) fn idle(&self, total: u64, now: Instant) -> Option<Duration> {
        if self.since_look(total) > 0 {
            return Some(Duration::ZERO);
        }
        self.changed
            .map(|changed| now.saturating_duration_since(changed))
    }

    /// Begins the most anew.
    pub(crate) fn forget(&mut self) {
        self.most = 0;
    }

    fn since_look(&self, total: u64) -> u64 {
        total.saturating_sub(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_slide() {
        let begin = Instant::now();
        let at = |millis: u64| begin + Duration::from_millis(millis);
        let mut rate = Rate::default();
        let since = Duration::from_millis;
        assert_eq!(rate.idle(0, at(0)), None);
        assert_eq!((rate.now(10, since(300)), rate.most(10)), (10, 10));
        assert_eq!(rate.idle(10, at(300)), Some(Duration::ZERO));
        rate.look(10, at(1000));
        assert_eq!(rate.now(10, since(0)), 10);
        assert_eq!(rate.now(10, since(500)), 5);
        assert_eq!(rate.now(14, since(500)), 9);
        rate.look(14, at(2000));
        assert_eq!((rate.now(14, since(250)), rate.most(14)), (3, 10));
        rate.look(14, at(3000));
        assert_eq!(rate.now(14, since(0)), 0);
        assert_eq!(rate.idle(14, at(4000)), Some(Duration::from_secs(2)));
        rate.forget();
        assert_eq!(rate.most(15), 1);
        rate.moved(15, 1000);
        assert_eq!((rate.now(1001, since(0)), rate.most(1001)), (2, 2));
        let mut rate = Rate::begun(1000);
        assert_eq!((rate.now(1002, since(0)), rate.most(1002)), (2, 2));
        rate.look(1003, at(5000));
        assert_eq!(rate.most(1003), 3);
    }
}
