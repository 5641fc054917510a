//! How long a target takes to answer, for groups that choose by it.
//!
//! A mean of the last answers, from the connection to the head of the response; of TCP, the time to connect. What fails is
//! told as a slow answer, so that a target is not wanted for failing fast. Without a response that is a second; an answer of
//! a target that is at fault (5xx) counts as several times what it took before. So a target that fails all the time is asked
//! ever less, whatever the load, and one that failed once comes back soon. The mean fades with time, by half in ten seconds
//! without an answer, so that a target that was slow once, and is not asked for that, is asked again.

use super::TargetState;
use crate::observed::{Seen, TIMED};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The part of a mean that one answer makes, as of eight.
const PART: u64 = 8;
/// What a failure is told as: longer than most answers take, and over once a target answers again.
const FAILURE: Duration = Duration::from_secs(1);
/// By how much a 5xx is slower than the mean before it, which it makes 1.4 times as long; beyond [`FAILURE`] it does not go.
/// Where all answers fail, one in five seconds outruns the fading of the mean.
const AT_FAULT: u64 = 4;
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

    #[inline]
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
        let time = micros(time);
        self.change(|known| with(known, time));
    }

    /// It took so long, and the target was at fault.
    pub(crate) fn failed(&self, time: Duration) {
        let (time, most) = (micros(time), micros(FAILURE));
        self.change(|known| {
            let slow = match known {
                0 => most,
                known => (known * AT_FAULT).min(most),
            };
            with(known, time.max(slow))
        });
    }

    /// A second is over.
    pub(crate) fn fade(&self) {
        if self.is_kept() {
            self.change(|known| known - known.div_ceil(15));
        }
    }
}

/// A mean with one answer more.
fn with(known: u64, time: u64) -> u64 {
    match known {
        0 => time,
        known => (known * (PART - 1) + time.min(u64::from(NOT_KEPT))).div_ceil(PART),
    }
}

/// At least one: 0 says that nothing is known.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
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
            // They say what it cannot do for anybody.
            Seen::Connected | Seen::Status(501 | 505) => {}
            Seen::Status(_) => self.answer_time.failed(took),
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
        // Nothing is learned of how fast it does not do what nobody does.
        status(501, 1);
        status(505, 1);
        target.saw(Seen::Connected, || Duration::ZERO);
        assert_eq!(time.known(), 900);
        // It is not wanted for failing fast.
        status(503, 1);
        assert_eq!(time.known(), 1238);
        status(200, 900);
        target.saw(Seen::NotConnected, || Duration::ZERO);
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
    #[test]
    fn who_fails_fast_is_asked_ever_less() {
        let target = || {
            let target = TargetState::new(Health::Healthy, None);
            target.keep_time(true);
            target
        };
        let answer = |target: &TargetState, status: u16, micros: u64| {
            target.answered(status, || Duration::from_micros(micros));
            target.answer_time.known()
        };
        // From the first answer on.
        let new = target();
        assert_eq!(answer(&new, 503, 10), 1_000_000);
        // It goes up to a second, not beyond, and comes down where it answers.
        let failing = target();
        answer(&failing, 200, 1000);
        let times: Vec<u32> = (0..40).map(|_| answer(&failing, 500, 10)).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert!(times[5] > 5000 && times[39] > 900_000 && times[39] <= 1_000_000);
        let times: Vec<u32> = (0..60).map(|_| answer(&failing, 200, 1000)).collect();
        assert!(times[59] < 2000, "{times:?}");
        // One that is slow as well is not better for failing.
        let slow = target();
        answer(&slow, 200, 5_000_000);
        assert!(answer(&slow, 500, 10) >= 1_000_000);
        assert!(answer(&slow, 500, 9_000_000) > 1_000_000);
        // Asked whenever it would answer soonest, it is asked now and then, however many requests there are.
        let (good, failing) = (target(), target());
        let mut asked = 0;
        for second in 0..600 {
            for _ in 0..100 {
                answer(&good, 200, 2000);
                if failing.answer_time.known() <= good.answer_time.known() {
                    answer(&failing, 502, 10);
                    asked += usize::from(second >= 100);
                }
            }
            good.answer_time.fade();
            failing.answer_time.fade();
        }
        assert!((50..200).contains(&asked), "{asked} of 50000");
    }
}
