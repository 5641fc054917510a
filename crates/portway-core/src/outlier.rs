//! Passive health: which target of a group is left out because of what it serves, and when it is tried again.
//!
//! Decides what is an outlier (too many failures in a row, too large a share of them, too slow beside the others), how long it is
//! ejected, and when a trial is over. It leaves to others what a failure is and counting them (the data plane), and what is done
//! with a verdict (control). The hard thing about it: errors of the whole group must not empty it, so what may be ejected depends on
//! the others ([`may_eject`]).
//!
//! ```text
//!            failures in a row, a share of them, slowness
//!  SERVING ───────────────────────────────────────────────▶ EJECTED (1 × time, 2 × time, … up to the longest)
//!     ▲                                                      ▲  │
//!     │ so many good responses                 first failure │  │ its time is over, or nobody else may serve
//!     └──────────────────────────── ON TRIAL ────────────────┘◀─┘
//! ```
//!
//! Each ejection in succession is longer by one time than the one before; each time that a target serves without one takes one off
//! again.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// In so many steps a window moves on.
pub const STEPS: u32 = 10;

/// The settings of a group. Durations are more than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long the first ejection lasts.
    pub time: Duration,
    /// How long one lasts at most.
    pub longest: Duration,
    /// Good responses that end a trial; 0 counts as 1.
    pub trial: u32,
    /// The time over which shares and means are taken.
    pub window: Duration,
    /// So many responses in the window are needed for a verdict on them.
    pub least: u32,
    /// Failures in percent of what was asked that eject; 0: they do not.
    pub failed: u32,
    /// A mean time so many times that of the others ejects; 0: it does not.
    pub slower: u32,
}

/// What was counted of a target since it is known; it only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses and failures.
    pub asked: u64,
    /// Failures.
    pub failed: u64,
    /// Good responses.
    pub good: u64,
    /// Microseconds that these took together.
    pub micros: u64,
}

impl Counts {
    fn since(&self, before: &Counts) -> Counts {
        Counts {
            asked: self.asked.saturating_sub(before.asked),
            failed: self.failed.saturating_sub(before.failed),
            good: self.good.saturating_sub(before.good),
            micros: self.micros.saturating_sub(before.micros),
        }
    }
}

/// A failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// It was not connected to.
    NotConnected,
    /// No response in time.
    NoResponse,
    /// It closed before its response was whole.
    Closed,
    /// What is no response.
    Malformed,
    /// A response with this status.
    Status(u16),
    /// A response that came late.
    Late,
}

impl Failing {
    /// True where there was no response at all.
    pub fn is_of_connection(self) -> bool {
        !matches!(self, Failing::Status(_) | Failing::Late)
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failing::NotConnected => "no connection",
            Failing::NoResponse => "no response in time",
            Failing::Closed => "closed before its response was whole",
            Failing::Malformed => "a malformed response",
            Failing::Late => "a late response",
            Failing::Status(status) => return write!(f, "status {status}"),
        })
    }
}

/// Why a target is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many failures in a row, and the last of them.
    Failures(u32, Failing),
    /// So many in a row without a response, and the last of them.
    Connections(u32, Failing),
    /// So many failures of so many.
    Share(u64, u64),
    /// Its mean time, and that of the others.
    Slow(Duration, Duration),
    /// It failed on trial.
    Trial(Failing),
}

impl Cause {
    /// The words of all, as metrics have them.
    pub const WORDS: [&'static str; 5] = [
        "failures",
        "connection_failures",
        "failure_percent",
        "slow",
        "trial",
    ];

    /// Its place in [`Self::WORDS`].
    pub fn index(&self) -> usize {
        match self {
            Cause::Failures(..) => 0,
            Cause::Connections(..) => 1,
            Cause::Share(..) => 2,
            Cause::Slow(..) => 3,
            Cause::Trial(_) => 4,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Failures(1, last) => write!(f, "{last}"),
            Cause::Failures(row, last) => write!(f, "{row} failures in a row, the last: {last}"),
            Cause::Connections(1, last) => write!(f, "{last}"),
            Cause::Connections(row, last) => {
                write!(
                    f,
                    "{row} times in a row without a response, the last: {last}"
                )
            }
            Cause::Share(failed, of) => write!(f, "{failed} of {of} requests failed"),
            Cause::Slow(own, others) => write!(
                f,
                "it took {} ms on average, others {} ms",
                own.as_millis(),
                others.as_millis()
            ),
            Cause::Trial(last) => write!(f, "it failed again when it was tried: {last}"),
        }
    }
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes traffic.
    Serving,
    /// It takes none.
    Ejected {
        /// Until then.
        until: Instant,
        /// Why, in words.
        why: Box<str>,
    },
    /// It takes traffic again, and nothing is forgiven.
    Trial {
        /// What was counted when it began.
        from: Counts,
    },
}

/// One target.
#[derive(Clone, Debug)]
pub struct Standing {
    state: State,
    /// Ejections in succession.
    times: u32,
    /// Since when it is what it is; where it serves, since when one was taken off last.
    since: Instant,
    /// What was counted at the steps of the window, the oldest first.
    steps: VecDeque<(Instant, Counts)>,
}

impl Standing {
    /// A target that serves.
    pub fn new(now: Instant) -> Self {
        Self::of(State::Serving, 0, now)
    }

    /// A target that was known elsewhere.
    pub fn of(state: State, times: u32, now: Instant) -> Self {
        Self {
            state,
            times,
            since: now,
            steps: VecDeque::new(),
        }
    }

    /// Lets time pass. True where it has come back, and is on trial now.
    pub fn tick(&mut self, now: Instant, counts: Counts, policy: &Policy) -> bool {
        match &self.state {
            State::Ejected { until, .. } if *until <= now => {
                self.release(now, counts);
                return true;
            }
            State::Ejected { .. } => {}
            State::Trial { from } => {
                let since = counts.since(from);
                if since.failed == 0 && since.good >= u64::from(policy.trial.max(1)) {
                    self.state = State::Serving;
                    self.since = now;
                }
            }
            State::Serving => {
                if self.times > 0 && now.saturating_duration_since(self.since) >= policy.time {
                    self.times -= 1;
                    self.since = now;
                }
            }
        }
        self.step(now, counts, policy);
        false
    }

    /// A trial begins anew: there was a failure, and the target stays where it is.
    pub fn try_again(&mut self, counts: Counts) {
        if let State::Trial { from } = &mut self.state {
            *from = counts;
        }
    }

    fn step(&mut self, now: Instant, counts: Counts, policy: &Policy) {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let step = policy.window / STEPS;
        if self.steps.back().is_none_or(|(at, _)| age(at) >= step) {
            self.steps.push_back((now, counts));
        }
        // The oldest that is left is as old as the window or younger, but for the one that it began with.
        while self.steps.len() > 1
            && self
                .steps
                .front()
                .is_some_and(|(at, _)| age(at) > policy.window)
        {
            self.steps.pop_front();
        }
    }

    /// What was counted in the window, where it is enough for a verdict.
    fn recent(&self, counts: Counts, policy: &Policy) -> Option<Counts> {
        let (_, before) = self.steps.front()?;
        let recent = counts.since(before);
        (recent.asked >= u64::from(policy.least.max(1))).then_some(recent)
    }

    /// The mean time of its good responses in the window.
    pub fn mean(&self, counts: Counts, policy: &Policy) -> Option<Duration> {
        let recent = self.recent(counts, policy)?;
        let mean = recent.micros.checked_div(recent.good)?;
        Some(Duration::from_micros(mean))
    }

    /// What the window says against it; `others` is the middle of the means of the others.
    pub fn judge(
        &self,
        counts: Counts,
        others: Option<Duration>,
        policy: &Policy,
    ) -> Option<Cause> {
        let recent = self.recent(counts, policy)?;
        if policy.failed > 0
            && recent.failed.saturating_mul(100)
                >= recent.asked.saturating_mul(policy.failed.into())
        {
            return Some(Cause::Share(recent.failed, recent.asked));
        }
        let (own, others) = (self.mean(counts, policy)?, others?);
        let is_slow = policy.slower > 0 && own > others.saturating_mul(policy.slower);
        is_slow.then_some(Cause::Slow(own, others))
    }

    /// It takes no traffic from now on; for how long.
    pub fn eject(&mut self, now: Instant, cause: &Cause, policy: &Policy) -> Duration {
        self.times = self.times.saturating_add(1);
        let time = policy.time.saturating_mul(self.times).min(policy.longest);
        self.state = State::Ejected {
            until: now + time,
            why: cause.to_string().into(),
        };
        self.since = now;
        self.steps.clear();
        time
    }

    /// It is tried from now on, whether its time is over or not.
    pub fn release(&mut self, now: Instant, counts: Counts) {
        self.state = State::Trial { from: counts };
        self.since = now;
        self.steps.clear();
    }

    /// Where it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// True where it takes no traffic.
    pub fn is_ejected(&self) -> bool {
        matches!(self.state, State::Ejected { .. })
    }

    /// True where its next failure ejects it.
    pub fn is_on_trial(&self) -> bool {
        matches!(self.state, State::Trial { .. })
    }

    /// Ejections in succession.
    pub fn times(&self) -> u32 {
        self.times
    }
}

/// One target among those of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// It would take traffic if it were not ejected.
    pub up: bool,
    /// It is ejected.
    pub ejected: bool,
}

/// May another target be ejected? One may always be, and more up to so many percent of those that are up; never the last that
/// takes traffic.
pub fn may_eject(seats: &[Seat], percent: u32) -> bool {
    let up = seats.iter().filter(|it| it.up).count();
    let ejected = seats.iter().filter(|it| it.up && it.ejected).count();
    let share = up.saturating_mul(percent as usize) / 100;
    up - ejected >= 2 && ejected < share.max(1)
}

/// The middle one; of two in the middle the shorter.
pub fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: Policy = Policy {
        time: Duration::from_secs(30),
        longest: Duration::from_secs(100),
        trial: 3,
        window: Duration::from_secs(10),
        least: 20,
        failed: 50,
        slower: 3,
    };

    const CAUSE: Cause = Cause::Failures(5, Failing::Status(503));

    fn counts(good: u64, failed: u64, millis: u64) -> Counts {
        Counts {
            asked: good + failed,
            failed,
            good,
            micros: good * millis * 1000,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ejections_grow_and_shrink_again() {
        let start = Instant::now();
        let mut target = Standing::new(start);
        let mut now = start;
        for expected in [30, 60, 90, 100] {
            assert_eq!(target.eject(now, &CAUSE, &POLICY), seconds(expected));
            let before_it_ends = now + seconds(expected) - Duration::from_millis(1);
            assert!(!target.tick(before_it_ends, Counts::default(), &POLICY));
            assert!(target.is_ejected());
            now += seconds(expected);
            assert!(target.tick(now, Counts::default(), &POLICY));
            assert!(target.is_on_trial());
        }
        // The trial ends with good responses alone, and each time of serving takes one ejection off.
        assert!(!target.tick(now, counts(2, 0, 1), &POLICY));
        assert!(target.is_on_trial());
        target.tick(now, counts(3, 0, 1), &POLICY);
        assert_eq!(target.state(), &State::Serving);
        for (passed, expected) in [(0, 4), (29, 4), (1, 3), (30, 2), (30, 1), (30, 0), (30, 0)] {
            now += seconds(passed);
            target.tick(now, counts(3, 0, 1), &POLICY);
            assert_eq!(target.times(), expected);
        }
        assert_eq!(target.eject(now, &CAUSE, &POLICY), seconds(30));
    }

    #[test]
    fn a_failure_keeps_a_trial_from_ending() {
        let now = Instant::now();
        let mut target = Standing::new(now);
        target.eject(now, &CAUSE, &POLICY);
        target.release(now, Counts::default());
        target.tick(now, counts(100, 1, 1), &POLICY);
        assert!(target.is_on_trial());
        // It was not ejected for that: what comes after it counts.
        target.try_again(counts(100, 1, 0));
        target.tick(now + seconds(22), counts(101, 1, 0), &POLICY);
        assert!(target.is_on_trial());
        target.tick(now + seconds(23), counts(200, 1, 0), &POLICY);
        assert!(!target.is_on_trial());
    }

    #[test]
    fn what_a_window_says() {
        let check = |good: u64, failed: u64, millis: u64, others: Option<u64>, expected: &str| {
            let start = Instant::now();
            let mut target = Standing::new(start);
            let old = counts(1000, 0, 1);
            target.tick(start, old, &POLICY);
            let new = Counts {
                asked: old.asked + good + failed,
                failed,
                good: old.good + good,
                micros: old.micros + good * millis * 1000,
            };
            let others = others.map(Duration::from_millis);
            let cause = target.judge(new, others, &POLICY);
            let cause = cause.map_or_else(String::new, |it| it.to_string());
            assert_eq!(cause, expected, "{good} {failed} {millis}");
            // Once the window has moved past all that, it says nothing.
            for second in 1..=11 {
                target.tick(start + seconds(second), new, &POLICY);
            }
            assert_eq!(target.judge(new, others, &POLICY), None);
        };
        check(10, 10, 1, None, "10 of 20 requests failed");
        check(11, 9, 1, None, "");
        check(9, 10, 1, None, "");
        check(0, 20, 1, Some(1), "20 of 20 requests failed");
        check(
            20,
            0,
            40,
            Some(10),
            "it took 40 ms on average, others 10 ms",
        );
        check(20, 0, 30, Some(10), "");
        check(20, 0, 400, None, "");
        check(19, 0, 400, Some(1), "");
    }

    #[test]
    fn who_may_be_ejected() {
        // `+` serves, `e` ejected, `-` down.
        let check = |seats: &str, percent: u32, expected: bool| {
            let seats: Vec<Seat> = seats
                .chars()
                .map(|it| Seat {
                    up: it != '-',
                    ejected: it == 'e',
                })
                .collect();
            assert_eq!(may_eject(&seats, percent), expected, "{seats:?}");
        };
        check("+", 100, false);
        check("", 100, false);
        check("++", 10, true);
        check("e+", 100, false);
        check("-+", 100, false);
        check("+++", 10, true);
        check("e++", 50, false);
        check("e++", 67, true);
        check("e+++", 50, true);
        check("ee++", 50, false);
        check("eeeeeeeee+", 100, false);
        check("e---++", 100, true);
        check("+++++", 0, true);
        check("e++++", 0, false);
    }

    #[test]
    fn medians() {
        let check = |times: &[u64], expected: Option<u64>| {
            let mut times: Vec<Duration> = times.iter().map(|it| seconds(*it)).collect();
            assert_eq!(median(&mut times), expected.map(seconds));
        };
        check(&[], None);
        check(&[3], Some(3));
        check(&[9, 1], Some(1));
        check(&[9, 1, 5], Some(5));
    }

    #[test]
    fn causes_in_words() {
        let all = [
            CAUSE,
            Cause::Connections(2, Failing::NotConnected),
            Cause::Share(1, 2),
            Cause::Slow(seconds(1), seconds(0)),
            Cause::Trial(Failing::Late),
        ];
        let words = all.map(|it| Cause::WORDS[it.index()]);
        assert_eq!(words, Cause::WORDS);
        assert_eq!(
            CAUSE.to_string(),
            "5 failures in a row, the last: status 503"
        );
        assert!(Failing::Closed.is_of_connection() && !Failing::Late.is_of_connection());
    }

    proptest! {
        /// A group under any failures: somebody always serves, no more are out than may be, nobody is out for longer than the
        /// longest, and once all is well everybody comes back.
        #[test]
        fn a_group_is_never_emptied(
            size in 1_usize..8,
            percent in 0_u32..=100,
            moves in prop::collection::vec((0_usize..8, 0_u64..20), 1..80),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut targets: Vec<Standing> = (0..size).map(|_| Standing::new(start)).collect();
            let most = (size * percent as usize / 100).max(1);
            for (which, passed) in moves {
                now += seconds(passed);
                for target in &mut targets {
                    target.tick(now, Counts::default(), &POLICY);
                }
                let seats: Vec<Seat> = targets
                    .iter()
                    .map(|it| Seat { up: true, ejected: it.is_ejected() })
                    .collect();
                let which = which % size;
                if !seats[which].ejected && may_eject(&seats, percent) {
                    let time = targets[which].eject(now, &CAUSE, &POLICY);
                    prop_assert!(time >= POLICY.time && time <= POLICY.longest);
                }
                let out = targets.iter().filter(|it| it.is_ejected()).count();
                prop_assert!(out < size && out <= most);
            }
            now += POLICY.longest;
            for target in &mut targets {
                target.tick(now, Counts::default(), &POLICY);
                prop_assert!(!target.is_ejected());
            }
        }
    }
}
