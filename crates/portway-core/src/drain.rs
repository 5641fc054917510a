//! How something leaves: a listener, a target, a group of targets, the process.
//!
//! ```text
//!            begin            time to leave is over             nothing is left
//!   at work ───────▶ leaving ───────────────────────▶ draining ─────────────────▶ ended
//!      ▲               │                                │  └─────────────────────▶ cut off
//!      └───────────────┴──────── taken back ────────────┘        deadline
//! ```
//!
//! Decides when; what it means at each step is for whoever owns the thing. Moments are times since any moment that stays the same.
//! The hard thing is that wishes change on the way: a second one with another deadline counts from its own moment, and who takes
//! back takes back everything, whatever was due.

use std::time::Duration;

/// How something is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it goes on taking what comes, while it says to everybody that it leaves.
    pub leave: Duration,
    /// How long what is in progress may take from then on; `None`: for ever.
    pub deadline: Option<Duration>,
}

/// Where something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It takes what comes.
    #[default]
    AtWork,
    /// It takes what comes and says that it leaves.
    Leaving {
        /// Since when.
        since: Duration,
        /// Until when.
        until: Duration,
    },
    /// It takes nothing new.
    Draining {
        /// Since when it leaves.
        since: Duration,
    },
    /// Nothing is left of it.
    Ended,
    /// What was left of it at its deadline was cut off.
    CutOff,
}

/// What is to be done, or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To take nothing new from now on, and to close politely what rests.
    Close,
    /// To tell that nothing is left, so long after it began.
    Ended(Duration),
    /// To cut off what is left, so long after it began.
    CutOff(Duration),
}

/// Something that may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    state: State,
    /// When what is left is cut off: so long after it was closed, or at this moment once it is.
    deadline: Option<Duration>,
}

impl Drain {
    /// One that stands there already. `deadline` as long as it leaves: how long what is left then has; later: when it is cut off.
    pub fn at(state: State, deadline: Option<Duration>) -> Self {
        Self { state, deadline }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// True while it takes what comes.
    pub fn accepts(&self) -> bool {
        matches!(self.state, State::AtWork | State::Leaving { .. })
    }

    /// True where it is on its way: it leaves, and is not gone.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. } | State::Draining { .. })
    }

    /// When what is left is cut off; `None`: never, or it does not leave.
    pub fn until(&self) -> Option<Duration> {
        match self.state {
            State::Leaving { until, .. } => Some(until.saturating_add(self.deadline?)),
            State::Draining { .. } => self.deadline,
            State::AtWork | State::Ended | State::CutOff => None,
        }
    }

    /// It is to leave. True where that begins now; where it leaves already, these terms count from now, but that it closes no
    /// later than it would have.
    pub fn begin(&mut self, now: Duration, terms: Terms) -> bool {
        let until = now.saturating_add(terms.leave);
        let (state, begins) = match self.state {
            State::Leaving {
                since,
                until: before,
            } => {
                let until = until.min(before);
                (State::Leaving { since, until }, false)
            }
            State::Draining { .. } => (self.state, false),
            State::AtWork | State::Ended | State::CutOff => {
                (State::Leaving { since: now, until }, true)
            }
        };
        self.deadline = match state {
            State::Draining { .. } => terms.deadline.map(|it| now.saturating_add(it)),
            _ => terms.deadline,
        };
        self.state = state;
        begins
    }

    /// It stays: nothing of it is cut off. False where it did not leave.
    pub fn take_back(&mut self) -> bool {
        let before = std::mem::take(self);
        before.state != State::AtWork
    }

    /// What is due now, where so much is `left` of it. Each step comes once; to be asked again until nothing comes.
    pub fn look(&mut self, now: Duration, left: u64) -> Option<Step> {
        match self.state {
            State::Leaving { since, until } if now >= until => {
                self.deadline = self.deadline.map(|it| until.saturating_add(it));
                self.state = State::Draining { since };
                Some(Step::Close)
            }
            State::Draining { since } if left == 0 => {
                self.state = State::Ended;
                Some(Step::Ended(now.saturating_sub(since)))
            }
            State::Draining { since } if self.deadline.is_some_and(|it| now >= it) => {
                self.state = State::CutOff;
                Some(Step::CutOff(now.saturating_sub(since)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn terms(leave: u64, deadline: Option<u64>) -> Terms {
        Terms {
            leave: at(leave),
            deadline: deadline.map(at),
        }
    }

    /// Begins at second 10 and looks at each of these, where so much is left.
    fn check(begun: Terms, looks: &[(u64, u64, Option<Step>)]) {
        let mut drain = Drain::default();
        assert!(drain.begin(at(10), begun));
        for (second, left, expected) in looks {
            assert_eq!(
                drain.look(at(*second), *left),
                *expected,
                "{begun:?} at {second}"
            );
        }
    }

    #[test]
    fn it_leaves_step_by_step() {
        let (close, ended, cut) = (
            Some(Step::Close),
            |after| Some(Step::Ended(at(after))),
            |after| Some(Step::CutOff(at(after))),
        );
        check(
            terms(5, Some(20)),
            &[
                (10, 0, None),
                (14, 0, None),
                (15, 3, close),
                (34, 1, None),
                (35, 1, cut(25)),
                (36, 1, None),
            ],
        );
        check(
            terms(0, Some(20)),
            &[
                (10, 1, close),
                (12, 1, None),
                (12, 0, ended(2)),
                (13, 0, None),
            ],
        );
        check(
            terms(0, Some(0)),
            &[(10, 1, close), (10, 1, cut(0)), (10, 0, None)],
        );
        check(
            terms(0, None),
            &[
                (10, 1, close),
                (99_999, 1, None),
                (99_999, 0, ended(99_989)),
            ],
        );
        // Nobody looked for long: what is due comes one after the other.
        check(
            terms(5, Some(5)),
            &[(99, 1, close), (99, 1, cut(89)), (99, 1, None)],
        );
    }

    #[test]
    fn a_second_wish_counts_from_its_moment() {
        let mut drain = Drain::default();
        drain.begin(at(0), terms(5, Some(100)));
        assert_eq!(drain.until(), Some(at(105)));
        assert!(!drain.begin(at(2), terms(9, Some(50))));
        assert_eq!(drain.until(), Some(at(55)));
        assert_eq!(drain.look(at(5), 1), Some(Step::Close));
        assert!(!drain.begin(at(20), terms(9, Some(300))));
        assert_eq!(drain.until(), Some(at(320)));
        assert!(!drain.accepts());
        assert!(!drain.begin(at(21), terms(0, None)));
        assert_eq!((drain.until(), drain.look(at(9999), 1)), (None, None));
    }

    #[test]
    fn what_is_taken_back_is_at_work() {
        let mut drain = Drain::default();
        assert!(!drain.take_back());
        drain.begin(at(0), terms(0, Some(1)));
        drain.look(at(0), 1);
        assert!(drain.take_back() && drain.accepts() && !drain.is_leaving());
        assert_eq!(drain.look(at(99), 1), None);
        assert!(drain.begin(at(100), terms(0, Some(1))));
        assert_eq!(drain.until(), Some(at(101)));
    }
}
