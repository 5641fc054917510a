//! How often something happened in the last period, as HAProxy counts it: what came in the period that runs, and of the
//! one before it the part that is still within reach.

/// A rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rate {
    /// When the running period began.
    start: u64,
    current: u64,
    previous: u64,
}

impl Rate {
    /// A rate that has this value now.
    pub(super) fn of(current: u64, now: u64) -> Self {
        Self {
            start: now,
            current,
            previous: 0,
        }
    }

    /// What it has counted: how long ago its period began, and the events of that period and of the one before.
    pub(super) fn parts(&self, now: u64) -> (u64, u64, u64) {
        (now.saturating_sub(self.start), self.current, self.previous)
    }

    /// A rate that has counted this.
    pub(super) fn of_parts((ago, current, previous): (u64, u64, u64), now: u64) -> Self {
        Self {
            start: now.saturating_sub(ago),
            current,
            previous,
        }
    }

    /// Counts so many more. `period` in milliseconds.
    pub(super) fn raise(&mut self, by: u64, period: u64, now: u64) {
        let elapsed = now.saturating_sub(self.start);
        if elapsed >= period.saturating_mul(2) {
            *self = Self::of(0, now);
        } else if elapsed >= period {
            (self.previous, self.current) = (self.current, 0);
            self.start += period;
        }
        self.current = self.current.saturating_add(by);
    }

    /// How many came in the last period.
    pub(super) fn read(&self, period: u64, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.start);
        let (current, previous, left) = if elapsed < period {
            (self.current, self.previous, period - elapsed)
        } else if elapsed < period.saturating_mul(2) {
            (0, self.current, period.saturating_mul(2) - elapsed)
        } else {
            (0, 0, 0)
        };
        // A single event would be 0 at once: it counts until its period is over.
        if current == 0 && previous <= 1 {
            return previous;
        }
        let part = u128::from(previous) * u128::from(left) / u128::from(period.max(1));
        current.saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_fades_into_the_next() {
        let mut rate = Rate::default();
        rate.raise(10, 1_000, 10_000);
        assert_eq!(rate.read(1_000, 10_000), 10);
        assert_eq!(rate.read(1_000, 10_999), 10);
        for (now, expected) in [(11_000, 10), (11_250, 7), (11_500, 5), (11_999, 0)] {
            assert_eq!(rate.read(1_000, now), expected, "{now}");
        }
        rate.raise(4, 1_000, 11_500);
        assert_eq!(rate.read(1_000, 11_500), 9);
        assert_eq!(rate.read(1_000, 12_500), 2);
        assert_eq!(rate.read(1_000, 13_000), 0);
    }

    #[test]
    fn one_event_counts_for_two_periods_and_no_longer() {
        let mut rate = Rate::default();
        rate.raise(1, 1_000, 10_000);
        assert_eq!(rate.read(1_000, 11_900), 1);
        assert_eq!(rate.read(1_000, 12_000), 0);
        rate.raise(1, 1_000, 30_500);
        assert_eq!(rate.read(1_000, 30_500), 1);
    }
}
