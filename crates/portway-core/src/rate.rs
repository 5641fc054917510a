//! A token bucket as one number: the moment at which it will be full again.
//!
//! A token takes as long to come back as a period has room for; a bucket with `burst` places may be taken from as long as
//! it will be full again within that many times as long.

use std::time::Duration;

/// The rule by which tokens come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds for one token.
    each: u64,
    /// The bucket is empty where it will not be full within so many nanoseconds.
    all: u64,
}

/// The bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// Until there is a token again.
    pub wait: Duration,
}

impl Bucket {
    /// `average` tokens in a period, at most `burst` at once.
    pub fn new(average: u32, period: Duration, burst: u32) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let each = (period / u64::from(average.max(1))).max(1);
        Self {
            each,
            all: each.saturating_mul(u64::from(burst.max(1))),
        }
    }

    /// Takes a token at this moment, in nanoseconds, from a bucket that is full at `full_at`; gives when it will be.
    ///
    /// # Errors
    /// How long to wait where there is none.
    pub fn take(self, full_at: u64, now: u64) -> Result<u64, Denied> {
        let next = full_at.max(now).saturating_add(self.each);
        let late = (next - now).saturating_sub(self.all);
        match late {
            0 => Ok(next),
            late => Err(Denied {
                wait: Duration::from_nanos(late),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When a bucket of these is asked at these milliseconds: how long to wait, 0 where there is a token.
    #[track_caller]
    fn check(bucket: (u32, u64, u32), asked: &[(u64, u64)]) {
        let (average, period, burst) = bucket;
        let bucket = Bucket::new(average, Duration::from_millis(period), burst);
        let mut full_at = 0;
        for (at, expected) in asked {
            let wait = match bucket.take(full_at, at * 1_000_000) {
                Ok(next) => {
                    full_at = next;
                    Duration::ZERO
                }
                Err(Denied { wait }) => wait,
            };
            assert_eq!(wait, Duration::from_millis(*expected), "at {at}");
        }
    }

    #[test]
    fn tokens_come_back_evenly() {
        let burst = [
            (0, 0),
            (0, 0),
            (0, 0),
            (0, 100),
            (50, 50),
            (100, 0),
            (100, 100),
        ];
        check((10, 1000, 3), &burst);
        check((1, 1000, 1), &[(5, 0), (5, 1000), (1004, 1), (1005, 0)]);
        check((60, 60_000, 1), &[(0, 0), (999, 1), (1000, 0)]);
        // What was not used is not kept beyond the burst.
        check((10, 1000, 2), &[(60_000, 0), (60_000, 0), (60_000, 100)]);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_what_came_back(
            average in 1u32..1000, burst in 1u32..100, steps in proptest::collection::vec(0u64..50_000_000, 1..200),
        ) {
            let bucket = Bucket::new(average, Duration::from_secs(1), burst);
            let (mut now, mut full_at, mut taken) = (0, 0, 0u64);
            for step in steps {
                now += step;
                if let Ok(next) = bucket.take(full_at, now) {
                    full_at = next;
                    taken += 1;
                }
                let each = 1_000_000_000 / u64::from(average);
                prop_assert!(taken <= u64::from(burst) + now / each);
            }
        }
    }
}
