//! The health of one target, as active checks see it.
//!
//! Decides what a result of a check changes, and when the next check is due. It leaves to others making the check
//! (control), and what a group does when nothing is healthy (`balance`). The hard thing about it: a new target has no
//! past, and the worlds we come from disagree about what to think of it ([`InitialState`]).
//!
//! ```text
//!              one pass                      `unhealthy` failures in a row
//!  INITIAL ─────────────────▶ HEALTHY ──────────────────────────────────▶ UNHEALTHY
//!     │                          ▲                                            │ │
//!     │                          └──────── `healthy` passes in a row ─────────┘ │
//!     └──────────────────── `unhealthy` failures in a row ──────────────────────┘
//!
//!  any ── drain ──▶ DRAINING ── retire ──▶ UNUSED ── restore ──▶ INITIAL
//! ```

use portway_model::check::CheckWord;
use std::fmt;
use std::time::Duration;

/// The health states of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthState {
    /// No verdict yet.
    Initial,
    /// Takes traffic.
    Healthy,
    /// Known to be down: takes no traffic unless the group fails open.
    Unhealthy,
    /// Being removed: what is in flight may finish, nothing new arrives, checks have no effect.
    Draining,
    /// Not in use: no rule forwards to its group, or it was switched off. It is not checked.
    Unused,
}

impl HealthState {
    /// The word of the glossary, lower case.
    pub const fn word(self) -> &'static str {
        match self {
            HealthState::Initial => "initial",
            HealthState::Healthy => "healthy",
            HealthState::Unhealthy => "unhealthy",
            HealthState::Draining => "draining",
            HealthState::Unused => "unused",
        }
    }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What to think of a target that no check has judged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InitialState {
    /// It takes traffic until it is shown to be down: HAProxy and nginx treat a new server so.
    Usable,
    /// It takes no traffic before its first passing check: AWS load balancers treat a new target so.
    Wait,
}

/// How many results in a row change the state. 0 counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Passes in a row that make an unhealthy target healthy (ALB: 2 to 10, default 5; HAProxy `rise`, default 2).
    pub healthy: u32,
    /// Failures in a row that make a target unhealthy (ALB: 2 to 10, default 2; HAProxy `fall`, default 3).
    pub unhealthy: u32,
}

/// Why a check failed, in words that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The target's host answered that nothing listens.
    ConnectionRefused,
    /// No connection within this time.
    ConnectTimedOut(Duration),
    /// The connection failed in another way (no route, reset, no local port): what the system says.
    ConnectFailed(Box<str>),
    /// We had no descriptor, port or memory for it: it says nothing of the target. What the system says.
    NotMade(Box<str>),
    /// The name of the target has no address: what the resolver says.
    NotResolved(Box<str>),
    /// The TLS handshake failed: why.
    TlsFailed(Box<str>),
    /// Connected, but no complete answer within this time.
    TimedOut(Duration),
    /// An answer with a status that is not expected.
    UnexpectedStatus {
        /// What it answered.
        status: u16,
        /// What the configuration expects, as written there: `200-399`.
        expected: Box<str>,
    },
    /// An answer without what its body should hold: the pattern.
    UnexpectedBody(Box<str>),
    /// The target closed the connection before its answer was complete.
    ClosedEarly,
    /// The answer is not what the protocol allows: why.
    MalformedAnswer(Box<str>),
    /// A step of a script or a known service says so.
    Step {
        /// What was found.
        word: CheckWord,
        /// What the answer says in a number.
        code: Option<u16>,
        /// What it says in words; perhaps nothing.
        said: Box<str>,
    },
}

impl Failure {
    /// In HAProxy's words.
    pub fn word(&self) -> CheckWord {
        match self {
            Failure::ConnectionRefused | Failure::ConnectFailed(_) | Failure::NotResolved(_) => {
                CheckWord::L4Connection
            }
            Failure::NotMade(_) => CheckWord::SocketError,
            Failure::ConnectTimedOut(_) => CheckWord::L4Timeout,
            Failure::TlsFailed(_) => CheckWord::L6Response,
            Failure::TimedOut(_) => CheckWord::L7Timeout,
            Failure::UnexpectedStatus { .. } => CheckWord::L7Status,
            Failure::UnexpectedBody(_) | Failure::ClosedEarly | Failure::MalformedAnswer(_) => {
                CheckWord::L7Response
            }
            Failure::Step { word, .. } => *word,
        }
    }

    /// What HAProxy says of it beside the word; perhaps nothing.
    pub fn said(&self) -> String {
        match self {
            Failure::ConnectionRefused => "Connection refused".to_owned(),
            Failure::ConnectTimedOut(_) | Failure::TimedOut(_) => String::new(),
            Failure::ConnectFailed(why) | Failure::NotMade(why) => why.to_string(),
            Failure::TlsFailed(_) => "SSL handshake failure".to_owned(),
            Failure::Step { said, .. } => said.to_string(),
            other => other.to_string(),
        }
    }

    /// True where it is of the connection, and not of what was said over it.
    pub fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Failure::ConnectionRefused
                | Failure::ConnectTimedOut(_)
                | Failure::ConnectFailed(_)
                | Failure::TlsFailed(_)
                | Failure::Step {
                    word: CheckWord::SocketError,
                    ..
                }
        )
    }

    /// What the answer says in a number.
    pub fn code(&self) -> Option<u16> {
        match self {
            Failure::UnexpectedStatus { status, .. } => Some(*status),
            Failure::Step { code, .. } => *code,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::ConnectionRefused => f.write_str("connection refused"),
            Failure::ConnectTimedOut(after) => write!(f, "connect timed out after {after:?}"),
            Failure::ConnectFailed(why) => write!(f, "connect failed: {why}"),
            Failure::NotMade(why) => write!(f, "could not be made: {why}"),
            Failure::NotResolved(why) => write!(f, "name not resolved: {why}"),
            Failure::TlsFailed(why) => write!(f, "TLS failed: {why}"),
            Failure::TimedOut(after) => write!(f, "timed out after {after:?}"),
            Failure::UnexpectedStatus { status, expected } => {
                write!(f, "answered {status} (expected {expected})")
            }
            Failure::UnexpectedBody(pattern) => {
                write!(f, "the body of its answer does not hold `{pattern}`")
            }
            Failure::ClosedEarly => f.write_str("connection closed early"),
            Failure::MalformedAnswer(why) => write!(f, "malformed answer: {why}"),
            Failure::Step { word, code, said } => {
                f.write_str(word.description())?;
                if let Some(code) = code {
                    write!(f, ", code {code}")?;
                }
                match said.trim() {
                    "" => Ok(()),
                    said => write!(f, ": {said}"),
                }
            }
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// As expected.
    Passed,
    /// Not as expected.
    Failed(Failure),
}

/// Why the state is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No check has ended yet.
    NotCheckedYet,
    /// The group has no health check: its targets count as healthy.
    NoHealthCheck,
    /// The latest checks passed, so many in a row.
    Passed(u32),
    /// The latest checks failed, so many in a row, the last one so.
    Failed(u32, Failure),
    /// It was told to drain.
    Removed,
    /// No rule forwards to it, or it was switched off.
    NotInUse,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotCheckedYet => f.write_str("not checked yet"),
            Reason::NoHealthCheck => f.write_str("no health check"),
            Reason::Passed(1) => f.write_str("check passed"),
            Reason::Passed(times) => write!(f, "{times} checks in a row passed"),
            Reason::Failed(1, failure) => write!(f, "{failure}"),
            Reason::Failed(times, failure) => write!(f, "{failure} ({times} times in a row)"),
            Reason::Removed => f.write_str("told to drain"),
            Reason::NotInUse => f.write_str("not in use"),
        }
    }
}

/// A change of state, to be told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: HealthState,
    /// After.
    pub to: HealthState,
    /// Why.
    pub reason: Reason,
}

/// The health of one target. It survives a reload that does not change the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthMachine {
    state: HealthState,
    initial: InitialState,
    reason: Reason,
}

impl HealthMachine {
    /// A target that was not checked yet.
    pub fn new(initial: InitialState) -> HealthMachine {
        HealthMachine {
            state: HealthState::Initial,
            initial,
            reason: Reason::NotCheckedYet,
        }
    }

    /// A target of a group without health check: healthy, and nobody calls [`Self::observe`].
    pub fn unchecked() -> HealthMachine {
        HealthMachine {
            state: HealthState::Healthy,
            initial: InitialState::Usable,
            reason: Reason::NoHealthCheck,
        }
    }

    /// A target as another process knew it.
    pub fn of(state: HealthState, initial: InitialState, reason: Reason) -> HealthMachine {
        HealthMachine {
            state,
            initial,
            reason,
        }
    }

    /// What it was taken for before its first check.
    pub fn initial(&self) -> InitialState {
        self.initial
    }

    /// Takes the result of a check into account. Nothing changes while draining or unused.
    pub fn observe(&mut self, probe: Probe, thresholds: Thresholds) -> Option<Transition> {
        if matches!(self.state, HealthState::Draining | HealthState::Unused) {
            return None;
        }
        self.reason = match (probe, &self.reason) {
            (Probe::Passed, Reason::Passed(times)) => Reason::Passed(times.saturating_add(1)),
            (Probe::Passed, _) => Reason::Passed(1),
            (Probe::Failed(failure), Reason::Failed(times, _)) => {
                Reason::Failed(times.saturating_add(1), failure)
            }
            (Probe::Failed(failure), _) => Reason::Failed(1, failure),
        };
        self.judge(thresholds)
    }

    /// As a failed check, after which one more is enough.
    pub fn wear(&mut self, failure: Failure, thresholds: Thresholds) -> Option<Transition> {
        if matches!(self.state, HealthState::Draining | HealthState::Unused) {
            return None;
        }
        let times = match &self.reason {
            Reason::Failed(times, _) => times.saturating_add(1),
            _ => 1,
        };
        let times = times.max(thresholds.unhealthy.saturating_sub(1));
        self.reason = Reason::Failed(times, failure);
        self.judge(thresholds)
    }

    /// What the reason of now makes of the state.
    fn judge(&mut self, thresholds: Thresholds) -> Option<Transition> {
        let to = match (self.state, &self.reason) {
            // A new target needs one pass only (ALB, "Health checks for target groups").
            (HealthState::Initial, Reason::Passed(_)) => HealthState::Healthy,
            (HealthState::Unhealthy, Reason::Passed(times)) if *times >= thresholds.healthy => {
                HealthState::Healthy
            }
            (HealthState::Initial | HealthState::Healthy, Reason::Failed(times, _))
                if *times >= thresholds.unhealthy =>
            {
                HealthState::Unhealthy
            }
            (state, _) => state,
        };
        self.change(to)
    }

    /// It is told to drain: no new traffic.
    pub fn drain(&mut self) -> Option<Transition> {
        if self.state == HealthState::Unused {
            return None;
        }
        self.reason = Reason::Removed;
        self.change(HealthState::Draining)
    }

    /// The target is not in use any more, or not yet.
    pub fn retire(&mut self) -> Option<Transition> {
        self.reason = Reason::NotInUse;
        self.change(HealthState::Unused)
    }

    /// A draining or unused target is wanted again: it starts as a new one does.
    pub fn restore(&mut self) -> Option<Transition> {
        if !matches!(self.state, HealthState::Draining | HealthState::Unused) {
            return None;
        }
        self.reason = Reason::NotCheckedYet;
        self.change(HealthState::Initial)
    }

    /// The state.
    pub fn state(&self) -> HealthState {
        self.state
    }

    /// Why the state is what it is, or what the checks since have found.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// May it take new traffic (without fail-open)?
    pub fn usable(&self) -> bool {
        match self.state {
            HealthState::Healthy => true,
            HealthState::Initial => self.initial == InitialState::Usable,
            HealthState::Unhealthy | HealthState::Draining | HealthState::Unused => false,
        }
    }

    fn change(&mut self, to: HealthState) -> Option<Transition> {
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then(|| Transition {
            from,
            to,
            reason: self.reason.clone(),
        })
    }
}

/// The first checks of targets that wait for them are spread over this time at most: until then they take no traffic.
pub const FIRST_PROBE_SPREAD: Duration = Duration::from_secs(1);

/// How long after its arrival a target is checked first, from 64 random bits: anywhere within the interval, so that a
/// thousand new targets are not checked in one moment; for [`InitialState::Wait`] within [`FIRST_PROBE_SPREAD`] at most.
pub fn first_probe_delay(interval: Duration, initial: InitialState, seed: u64) -> Duration {
    let spread = match initial {
        InitialState::Usable => interval,
        InitialState::Wait => interval.min(FIRST_PROBE_SPREAD),
    };
    spread.mul_f64(unit(seed))
}

/// How long after the start of a check the next one starts, from 64 random bits: the interval ± so many percent, so that
/// checks of many balancers do not fall into step.
pub fn next_probe_delay(interval: Duration, jitter_percent: u16, seed: u64) -> Duration {
    let most = f64::from(jitter_percent) / 100.0;
    interval.mul_f64((1.0 - most + 2.0 * most * unit(seed)).max(0.0))
}

/// A number in 0..1 from the upper 53 of 64 random bits.
fn unit(seed: u64) -> f64 {
    (seed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THREE_TWO: Thresholds = Thresholds {
        healthy: 3,
        unhealthy: 2,
    };

    fn refused() -> Probe {
        Probe::Failed(Failure::ConnectionRefused)
    }

    /// Steps: `+` pass, `-` failure, `d` drain, `r` retire, `s` restore. States after each step: I H U D N.
    #[test]
    fn walks() {
        let check = |steps: &str, expected: &str| {
            let mut machine = HealthMachine::new(InitialState::Wait);
            let states: String = steps
                .chars()
                .map(|step| {
                    let before = machine.state();
                    let transition = match step {
                        '+' => machine.observe(Probe::Passed, THREE_TWO),
                        '-' => machine.observe(refused(), THREE_TWO),
                        'd' => machine.drain(),
                        'r' => machine.retire(),
                        _ => machine.restore(),
                    };
                    assert_eq!(transition.is_some(), before != machine.state(), "{steps}");
                    if let Some(transition) = transition {
                        assert_eq!((transition.from, transition.to), (before, machine.state()));
                        assert_eq!(&transition.reason, machine.reason());
                    }
                    match machine.state() {
                        HealthState::Initial => 'I',
                        HealthState::Healthy => 'H',
                        HealthState::Unhealthy => 'U',
                        HealthState::Draining => 'D',
                        HealthState::Unused => 'N',
                    }
                })
                .collect();
            assert_eq!(states, expected, "{steps}");
        };
        check("+", "H");
        check("--", "IU");
        check("-+", "IH");
        check("+--", "HHU");
        check("+-+-+-", "HHHHHH");
        check("--+++", "IUUUH");
        check("--++-+++", "IUUUUUUH");
        check("+d+--", "HDDDD");
        check("+drs+", "HDNIH");
        check("+ds-", "HDII");
        check("r+d", "NNN");
        check("s+s", "IHH");
        check("+dd", "HDD");
    }

    #[test]
    fn a_worn_target_has_one_more_chance() {
        let thresholds = Thresholds {
            healthy: 1,
            unhealthy: 5,
        };
        let mut machine = HealthMachine::new(InitialState::Usable);
        machine.observe(Probe::Passed, thresholds);
        assert_eq!(machine.wear(Failure::ClosedEarly, thresholds), None);
        assert!(machine.observe(refused(), thresholds).is_some());
        machine.retire();
        assert_eq!(machine.wear(Failure::ClosedEarly, thresholds), None);
    }

    #[test]
    fn a_threshold_of_zero_counts_as_one() {
        let zero = Thresholds {
            healthy: 0,
            unhealthy: 0,
        };
        let mut machine = HealthMachine::new(InitialState::Usable);
        assert!(machine.observe(refused(), zero).is_some());
        assert!(machine.observe(Probe::Passed, zero).is_some());
    }

    #[test]
    fn who_takes_traffic() {
        let check = |mut machine: HealthMachine, steps: &[Probe], usable: bool| {
            for step in steps {
                machine.observe(step.clone(), THREE_TWO);
            }
            assert_eq!(machine.usable(), usable, "{machine:?}");
        };
        let wait = || HealthMachine::new(InitialState::Wait);
        let up = || HealthMachine::new(InitialState::Usable);
        check(wait(), &[], false);
        check(up(), &[], true);
        check(up(), &[refused()], true);
        check(up(), &[refused(), refused()], false);
        check(wait(), &[refused()], false);
        check(wait(), &[Probe::Passed], true);
        check(HealthMachine::unchecked(), &[], true);
    }

    #[test]
    fn reasons_in_words() {
        let check = |failure: Failure, expected: &str| {
            assert_eq!(failure.to_string(), expected);
            let once = Reason::Failed(1, failure.clone());
            assert_eq!(once.to_string(), expected);
            let twice = Reason::Failed(2, failure);
            assert_eq!(twice.to_string(), format!("{expected} (2 times in a row)"));
        };
        let five = Duration::from_secs(5);
        check(Failure::ConnectionRefused, "connection refused");
        check(Failure::ConnectTimedOut(five), "connect timed out after 5s");
        check(
            Failure::ConnectFailed("no route to host".into()),
            "connect failed: no route to host",
        );
        check(
            Failure::NotResolved("no such name".into()),
            "name not resolved: no such name",
        );
        check(
            Failure::TlsFailed("certificate expired".into()),
            "TLS failed: certificate expired",
        );
        check(
            Failure::TimedOut(Duration::from_millis(500)),
            "timed out after 500ms",
        );
        let unexpected = Failure::UnexpectedStatus {
            status: 503,
            expected: "200-399".into(),
        };
        check(unexpected, "answered 503 (expected 200-399)");
        check(
            Failure::UnexpectedBody("ok".into()),
            "the body of its answer does not hold `ok`",
        );
        check(Failure::ClosedEarly, "connection closed early");
        check(
            Failure::MalformedAnswer("no status line".into()),
            "malformed answer: no status line",
        );
        assert_eq!(Reason::Passed(1).to_string(), "check passed");
        assert_eq!(Reason::Passed(3).to_string(), "3 checks in a row passed");
        assert_eq!(Reason::NotCheckedYet.to_string(), "not checked yet");
    }

    proptest! {
        #[test]
        fn delays_keep_their_bounds(seconds in 1_u64..4_000, jitter in 0_u16..=50, seed in any::<u64>()) {
            let interval = Duration::from_secs(seconds);
            prop_assert!(first_probe_delay(interval, InitialState::Usable, seed) <= interval);
            prop_assert!(first_probe_delay(interval, InitialState::Wait, seed) <= FIRST_PROBE_SPREAD);
            let next = next_probe_delay(interval, jitter, seed);
            let most = f64::from(jitter) / 100.0 + 0.001;
            prop_assert!(next >= interval.mul_f64(1.0 - most) && next <= interval.mul_f64(1.0 + most));
        }

        /// A verdict needs its row of results: a healthy target has passed, an unhealthy one has failed often enough.
        #[test]
        fn the_state_follows_from_the_latest_results(
            results in prop::collection::vec(any::<bool>(), 1..40),
            healthy in 1_u32..5,
            unhealthy in 1_u32..5,
        ) {
            let thresholds = Thresholds { healthy, unhealthy };
            let mut machine = HealthMachine::new(InitialState::Wait);
            let mut row = (true, 0_u32);
            for passed in results {
                row = if passed == row.0 { (passed, row.1 + 1) } else { (passed, 1) };
                let probe = if passed { Probe::Passed } else { refused() };
                let before = machine.state();
                let changed = machine.observe(probe, thresholds);
                match (passed, before) {
                    (true, HealthState::Initial) => prop_assert!(changed.is_some()),
                    (true, HealthState::Unhealthy) => prop_assert_eq!(changed.is_some(), row.1 >= healthy),
                    (false, HealthState::Initial | HealthState::Healthy) => {
                        prop_assert_eq!(changed.is_some(), row.1 >= unhealthy);
                    }
                    _ => prop_assert!(changed.is_none()),
                }
            }
        }
    }
}
