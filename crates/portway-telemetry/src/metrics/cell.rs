//! The cells that are counted in.
//!
//! [`Counter`], [`Gauge`] and [`Histogram`] have a single writer, the worker whose shard they stand in, and any number of
//! readers: adding is a plain load and store, which on x86-64 costs a tenth of a locked instruction. Two writers would
//! lose counts (never more than that). A reader may see one cell before another that was written first.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows, with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the worker that owns the shard may.
    #[inline]
    pub fn add(&self, n: u64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(n), Ordering::Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that grows and shrinks, with a single writer. A worker's part may be below 0; only sums have a meaning.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds one.
    #[inline]
    pub fn up(&self) {
        self.add(1);
    }

    /// Takes one away.
    #[inline]
    pub fn down(&self) {
        self.add(-1);
    }

    /// Adds; only the worker that owns the shard may.
    #[inline]
    pub fn add(&self, n: i64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(n), Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that grows and shrinks, with the highest that it was. A single writer, but for [`Level::forget_peak`].
#[derive(Debug, Default)]
pub struct Level {
    now: Gauge,
    peak: AtomicI64,
}

impl Level {
    /// Adds one; only the worker that owns the shard may.
    #[inline]
    pub fn up(&self) {
        self.now.add(1);
        let now = self.now.value();
        if now > self.peak.load(Ordering::Relaxed) {
            self.peak.store(now, Ordering::Relaxed);
        }
    }

    /// Takes one away; only the worker that owns the shard may.
    #[inline]
    pub fn down(&self) {
        self.now.add(-1);
    }

    /// The sum so far.
    pub fn value(&self) -> i64 {
        self.now.value()
    }

    /// The highest that it was since the start, or since the peak was forgotten.
    pub fn peak(&self) -> i64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Begins anew with what it is now; whoever resets statistics may. A peak of the same moment may be lost.
    pub fn forget_peak(&self) {
        self.peak.store(self.now.value(), Ordering::Relaxed);
    }
}

/// Durations over which an [`Average`] slides: HAProxy's `TIME_STATS_SAMPLES`.
pub const AVERAGED: u64 = 512;

/// The average of the latest durations, and the longest, with a single writer, but for [`Average::forget_longest`].
///
/// A sum of which each new duration takes its share away (`sum - sum / N + new`), as HAProxy's `swrate_add`: no list of
/// durations is kept. In microseconds.
#[derive(Debug, Default)]
pub struct Average {
    sum: AtomicU64,
    longest: AtomicU64,
}

impl Average {
    /// Takes a duration into account; only the worker that owns the shard may.
    #[inline]
    pub fn add(&self, duration: Duration) {
        let micros = duration.as_micros() as u64;
        let sum = self.sum.load(Ordering::Relaxed);
        let kept = sum - sum.div_ceil(AVERAGED);
        self.sum.store(kept.wrapping_add(micros), Ordering::Relaxed);
        if micros > self.longest.load(Ordering::Relaxed) {
            self.longest.store(micros, Ordering::Relaxed);
        }
    }

    /// The average where `count` durations were added.
    pub fn value(&self, count: u64) -> Duration {
        let window = count.clamp(1, AVERAGED);
        Duration::from_micros(self.sum.load(Ordering::Relaxed) / window)
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }

    /// Forgets the longest; whoever resets statistics may.
    pub fn forget_longest(&self) {
        self.longest.store(0, Ordering::Relaxed);
    }
}

/// A number that only grows, for everybody.
#[derive(Debug, Default)]
pub struct SharedCounter(AtomicU64);

impl SharedCounter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets, and how they are written in seconds. Finer where a local target answers, up to the minute
/// after which most clients have gone.
pub const BUCKET_BOUNDS: [(Duration, &str); 15] = [
    (Duration::from_micros(1_000), "0.001"),
    (Duration::from_micros(2_500), "0.0025"),
    (Duration::from_micros(5_000), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_millis(500), "0.5"),
    (Duration::from_secs(1), "1"),
    (Duration::from_millis(2_500), "2.5"),
    (Duration::from_secs(5), "5"),
    (Duration::from_secs(10), "10"),
    (Duration::from_secs(30), "30"),
    (Duration::from_secs(60), "60"),
];

/// How many durations fell into each bucket, with a single writer. Bounds are [`BUCKET_BOUNDS`], `TIMES` as long.
#[derive(Debug, Default)]
pub struct Histogram<const TIMES: u32 = 1> {
    /// Not cumulative; one for each bound.
    buckets: [Counter; BUCKET_BOUNDS.len()],
    beyond: Counter,
    /// Nanoseconds: they overflow after 584 years of summed durations.
    sum: Counter,
}

/// For what lasts: up to an hour.
pub type LongHistogram = Histogram<60>;

impl<const TIMES: u32> Histogram<TIMES> {
    #[expect(
        clippy::indexing_slicing,
        reason = "an index that is wrong would end the build"
    )]
    const BOUNDS: [Duration; BUCKET_BOUNDS.len()] = {
        let mut bounds = [Duration::ZERO; BUCKET_BOUNDS.len()];
        let mut at = 0;
        while at < bounds.len() {
            let times = TIMES as u64;
            bounds[at] = Duration::from_micros(BUCKET_BOUNDS[at].0.as_micros() as u64 * times);
            at += 1;
        }
        bounds
    };

    /// Counts a duration; only the worker that owns the shard may.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < duration);
        self.buckets.get(bucket).unwrap_or(&self.beyond).add(1);
        self.sum.add(duration.as_nanos() as u64);
    }

    /// The counts of all buckets, not cumulative, the one beyond the last bound last.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets
            .iter()
            .chain(std::iter::once(&self.beyond))
            .map(Counter::value)
    }

    /// Sum of all durations.
    pub(super) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_include_their_bound() {
        let check = |micros: u64, expected: usize| {
            let histogram: Histogram = Histogram::default();
            histogram.observe(Duration::from_micros(micros));
            let long = LongHistogram::default();
            long.observe(Duration::from_micros(micros * 60));
            assert!(long.counts().eq(histogram.counts()), "{micros} µs");
            let found = histogram.counts().position(|count| count == 1);
            assert_eq!(found, Some(expected), "{micros} µs");
            assert_eq!(histogram.sum(), Duration::from_micros(micros));
        };
        check(0, 0);
        check(1_000, 0);
        check(1_001, 1);
        check(60_000_000, 14);
        check(60_000_001, 15);
    }

    #[test]
    fn peaks_stay_until_they_are_forgotten() {
        let level = Level::default();
        for up in [true, true, true, false, false, true] {
            if up { level.up() } else { level.down() }
        }
        assert_eq!((level.value(), level.peak()), (2, 3));
        level.forget_peak();
        assert_eq!(level.peak(), 2);
    }

    #[test]
    fn averages_follow_what_comes() {
        let average = Average::default();
        let mut count = 0;
        let mut check = |millis: u64, times: u64, expected: std::ops::RangeInclusive<u64>| {
            for _ in 0..times {
                average.add(Duration::from_millis(millis));
                count += 1;
            }
            let value = average.value(count).as_millis() as u64;
            assert!(expected.contains(&value), "{times} × {millis} ms: {value}");
        };
        check(10, 1, 10..=10);
        check(20, 1, 14..=15);
        check(10, 5_000, 9..=10);
        check(100, 512, 60..=75);
        assert_eq!(average.longest(), Duration::from_millis(100));
        average.forget_longest();
        assert_eq!(average.longest(), Duration::ZERO);
    }

    #[test]
    fn bounds_grow_and_are_written_as_they_are() {
        for pair in BUCKET_BOUNDS.windows(2) {
            assert!(pair[0].0 < pair[1].0);
        }
        for (bound, text) in BUCKET_BOUNDS {
            assert_eq!(text.parse(), Ok(bound.as_secs_f64()));
        }
    }
}
