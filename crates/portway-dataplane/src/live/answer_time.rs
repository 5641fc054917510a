//! How long a target takes to answer, for groups that choose by it.
//!
//! A mean of the last answers, from the connection to the head of the response; of TCP, the time to connect. What fails is
//! told as a slow answer, so that a target is not wanted for failing fast, and answers of a target that is at fault (5xx)
//! say nothing. The mean fades with time, by half in ten seconds without an answer, so that a target that was slow
//! once, and is not asked for that, is asked again.

use super::TargetState;
use crate::observed::{Seen, TIMED};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The part of a mean that one answer makes, as of eight.
const PART: u64 = 8;
/// What a failure is told as: longer than most answers take, and over once a target answers again.
const FAILURE: Duration = Duration::from_secs(1);
/// Nobody asks.
const NOT_KEPT: u32 = u32::MAX;

/// The mean in microseconds; 0: nothing is known; [`NOT_KEPT`].
#[derive(Debug)]
pub(crate) struct AnswerTime(AtomicU32);

impl Default for AnswerTime {
    fn default() -> Self {
        Self(AtomicU32::new(NOT_KEPT))
    }
}

impl AnswerTime {
    /// Another that knows the same.
    pub(crate) fn copied(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }

    /// Whether it is kept from now on.
    pub(crate) fn keep(&self, wanted: bool) {
        if wanted != self.is_kept() {
            let known = if wanted { 0 } else { NOT_KEPT };
            self.0.store(known, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn is_kept(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NOT_KEPT
    }

    /// In microseconds; 0: nothing is known.
    pub(crate) fn known(&self) -> u32 {
        match self.0.load(Ordering::Relaxed) {
            NOT_KEPT => 0,
            known => known,
        }
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        let changed = |known: u32| {
            let next = change(known.into()).min(u64::from(NOT_KEPT) - 1);
            (known != NOT_KEPT).then_some(u32::try_from(next).unwrap_or(NOT_KEPT - 1))
        };
        let order = Ordering::Relaxed;
        // It is not kept any more.
        let _ = self.0.fetch_update(order, order, changed);
    }

    /// It took so long.
    pub(crate) fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        self.change(|known| match known {
            0 => time,
            known => (known * (PART - 1) + time.min(u64::from(NOT_KEPT))).div_ceil(PART),
        });
    }

    /// A second is over.
    pub(crate) fn fade(&self) {
        if self.is_kept() {
            self.change(|known| known - known.div_ceil(15));
        }
    }
}

impl TargetState {
    /// Its time to answer is kept from now on, or not any more.
    pub(crate) fn keep_time(&self, wanted: bool) {
        self.answer_time.keep(wanted);
        self.observed.tell(TIMED, wanted);
    }

    /// Notes how long an answer took, or that there was none.
    pub(super) fn note_time(&self, seen: Seen, took: Duration) {
        match seen {
            Seen::Status(status) if status < 500 => self.answer_time.took(took),
            Seen::Connected | Seen::Status(_) => {}
            Seen::NotConnected | Seen::BadResponse | Seen::ResponseTimeout | Seen::Closed => {
                self.answer_time.took(FAILURE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Health;

    #[test]
    fn a_mean_that_failures_raise_and_time_lets_go() {
        let target = TargetState::new(Health::Healthy, None);
        let time = &target.answer_time;
        let status = |status, micros| {
            target.answered(status, || Duration::from_micros(micros));
        };
        status(200, 500);
        assert_eq!((time.is_kept(), time.known()), (false, 0));
        target.keep_time(true);
        assert_eq!((time.is_kept(), time.known()), (true, 0));
        status(200, 800);
        assert_eq!(time.known(), 800);
        status(404, 1600);
        assert_eq!(time.known(), 900);
        // Nothing is learned of how fast it fails.
        status(503, 1);
        target.saw(Seen::Connected);
        assert_eq!(time.known(), 900);
        target.saw(Seen::NotConnected);
        assert!(time.known() > 100_000);
        (0..50).for_each(|_| status(200, 900));
        assert!((900..1200).contains(&time.known()), "{}", time.known());
        (0..10).for_each(|_| time.fade());
        assert!((400..650).contains(&time.known()), "{}", time.known());
        (0..500).for_each(|_| time.fade());
        assert_eq!(time.known(), 0);
        status(200, u64::MAX);
        assert_eq!(time.known(), NOT_KEPT - 1);
        target.keep_time(true);
        assert!(time.known() > 0);
        target.keep_time(false);
        assert_eq!(time.known(), 0);
    }
}
