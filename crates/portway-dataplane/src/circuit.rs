//! Circuit breakers on the path of a request: who passes, and what became of those that did.
//!
//! Workers read a share and raise counters; control looks at the counters now and then and says what the share is
//! ([`portway_core::breaker`]). One breaker is shared by all workers. It outlives a reload as long as what opens it is the same; whoever
//! edits for how long it stays open, what it answers or how often it is looked at has not heard anything new of the service.

use crate::answers::{self, Answer};
use crate::exchange::Exchange;
use crate::fault::{CIRCUIT_OPEN, Fault};
use crate::limits::Holding;
use portway_core::breaker::{ALL, Breaker, Layout, Outcome, State};
use portway_model::action::{Action, Rule};
use portway_model::circuit::CircuitBreaker;
use portway_model::limit::Limit;
use portway_model::name::Name;
use portway_model::snapshot::Snapshot;
use portway_model::stage::Resolved;
use portway_telemetry::record::FaultCode;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// All circuit breakers of a configuration, by name.
pub type Circuits = HashMap<Name, Arc<Circuit>>;

/// One circuit breaker.
#[derive(Debug)]
pub struct Circuit {
    /// What the configuration says of it.
    pub settings: CircuitBreaker,
    /// Which of those that share a state it is.
    number: u64,
    live: Arc<Live>,
}

/// What has become of a circuit breaker, whatever the configuration has said of it since.
#[derive(Debug)]
struct Live {
    layout: Layout,
    slots: Box<[AtomicU64]>,
    /// Of [`ALL`] requests so many pass.
    share: AtomicU32,
    /// Rises where it opens and where it begins to recover: what was let pass before that says nothing of the service now.
    era: AtomicU32,
    refused: AtomicU64,
    /// How often it came to each state, by [`State::index`].
    changes: [AtomicU64; State::WORDS.len()],
    /// The number of the one that is looked after; 0: none is yet.
    watched: AtomicU64,
    /// Only control looks at it.
    breaker: Mutex<Breaker>,
}

/// The circuit breakers of a configuration; those that say the same as `before` are the same, and those that are opened by the same are
/// in the same state.
pub fn circuits(snapshot: &Snapshot, before: Option<&Circuits>) -> Circuits {
    let listeners = snapshot.listeners.iter().flat_map(|it| &it.rules.request);
    let groups = snapshot.groups.iter().flat_map(|it| &it.rules.request);
    let actions = listeners
        .chain(groups)
        .flat_map(|rule: &Rule<Resolved>| &rule.actions);
    let mut all = Circuits::new();
    for action in actions {
        let Action::Limit(Limit::Circuit(settings)) = action else {
            continue;
        };
        let name = &settings.name;
        let same = |it: &&Arc<Circuit>| it.settings.opens_when == settings.opens_when;
        let known = || before?.get(name).filter(same);
        all.entry(name.clone()).or_insert_with(|| match known() {
            Some(known) if known.settings == **settings => Arc::clone(known),
            Some(known) => Arc::new(known.with((**settings).clone())),
            None => Arc::new(Circuit::new((**settings).clone())),
        });
    }
    all
}

impl Circuit {
    fn new(settings: CircuitBreaker) -> Self {
        Self::in_state(settings, State::Closed, ALL)
    }

    fn in_state(settings: CircuitBreaker, state: State, share: u32) -> Self {
        let layout = Layout::of(&settings);
        let live = Live {
            slots: (0..layout.slots()).map(|_| AtomicU64::new(0)).collect(),
            layout,
            share: AtomicU32::new(share),
            era: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            changes: Default::default(),
            watched: AtomicU64::new(0),
            breaker: Mutex::new(Breaker::new(state)),
        };
        Self {
            settings,
            number: 1,
            live: Arc::new(live),
        }
    }

    /// The same with other settings, which hold from when somebody looks after it.
    fn with(&self, settings: CircuitBreaker) -> Self {
        Self {
            settings,
            number: self.number + 1,
            live: Arc::clone(&self.live),
        }
    }

    /// Another in the same state, for a look beside what serves.
    pub(crate) fn aside(&self) -> Self {
        let share = self.live.share.load(Ordering::Relaxed);
        Self::in_state(self.settings.clone(), self.state(), share)
    }

    /// True once: whoever asks first looks after it from then on, and whoever did so with settings from before no longer does.
    pub fn begin_watch(&self) -> bool {
        self.live.watched.fetch_max(self.number, Ordering::Relaxed) < self.number
    }

    /// True where another with newer settings is looked after in its place.
    pub fn is_replaced(&self) -> bool {
        self.live.watched.load(Ordering::Relaxed) > self.number
    }

    /// Looks at what was counted; the state that it has come to, where that has changed.
    pub fn look(&self, now: Instant) -> Option<State> {
        let counted = self.live.slots.iter().map(|it| it.load(Ordering::Relaxed));
        let counted: Box<[u64]> = counted.collect();
        let mut breaker = self.breaker();
        let changed = breaker.look(now, &counted, &self.live.layout, &self.settings);
        let state = breaker.state();
        if changed.is_some() {
            if state != State::Closed {
                self.live.era.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(count) = self.live.changes.get(state.index()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let share = breaker.share(now, &self.settings);
        self.live.share.store(share, Ordering::Release);
        changed.map(|_| state)
    }

    /// While it recovers, the share that passes rises with time, whatever was counted.
    pub fn rise(&self, now: Instant) {
        let share = self.breaker().share(now, &self.settings);
        self.live.share.store(share, Ordering::Release);
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.breaker().state()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        let breaker = self.live.breaker.lock();
        breaker.unwrap_or_else(PoisonError::into_inner)
    }

    /// It is in this state from now on.
    pub fn go_on(&self, state: State, now: Instant) {
        let next = Breaker::new(state);
        let share = next.share(now, &self.settings);
        self.live.share.store(share, Ordering::Release);
        *self.breaker() = next;
    }

    /// How many of a hundred requests pass now.
    pub fn percent(&self) -> f64 {
        f64::from(self.live.share.load(Ordering::Relaxed)) * 100.0 / f64::from(ALL)
    }

    /// Requests that it did not let pass.
    pub fn refused(&self) -> u64 {
        self.live.refused.load(Ordering::Relaxed)
    }

    /// How often it came to each state, by [`State::index`].
    pub fn changes(&self) -> [u64; State::WORDS.len()] {
        let changes = &self.live.changes;
        changes.each_ref().map(|it| it.load(Ordering::Relaxed))
    }

    /// The era in which a request passes; `None`: it does not.
    fn lets_pass(&self, chance: u64) -> Option<u32> {
        let passes = match self.live.share.load(Ordering::Acquire) {
            ALL => true,
            0 => false,
            share => chance % u64::from(ALL) < u64::from(share),
        };
        passes.then(|| self.live.era.load(Ordering::Relaxed))
    }

    /// Counts what became of a request that passed in an era, unless that is over.
    fn count(&self, era: u32, outcome: &Outcome) {
        let live = &self.live;
        if era != live.era.load(Ordering::Relaxed) {
            return;
        }
        live.layout.count(outcome, |slot| {
            if let Some(slot) = live.slots.get(slot) {
                slot.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// A request that a circuit breaker let pass: what becomes of it counts.
#[derive(Debug)]
pub(crate) struct Passing {
    circuit: Arc<Circuit>,
    at: Instant,
    era: u32,
}

impl Passing {
    /// Counts what became of the request.
    pub(crate) fn ended(&self, x: &Exchange<'_>) {
        let status = x.ledger.status;
        let fault = x.ledger.fault.map(|fault| fault.code);
        // Who has gone, or was never answered for a reason of ours, says nothing of the service. A tunnel has no end.
        let says_nothing = matches!(
            fault,
            Some(
                FaultCode::ClientClosed
                    | FaultCode::ClientTimeout
                    | FaultCode::ClientTooSlow
                    | FaultCode::Shutdown
                    | FaultCode::Exhausted
                    | FaultCode::Rejected
            )
        );
        if status == 0 || status == 101 || says_nothing {
            return;
        }
        let ended = x.ledger.ended.unwrap_or_else(Instant::now);
        let outcome = Outcome {
            status,
            network_error: matches!(status, 502 | 504) || fault.is_some_and(is_of_target),
            took: ended.saturating_duration_since(self.at),
        };
        self.circuit.count(self.era, &outcome);
    }
}

/// True for what says that no target answered.
fn is_of_target(fault: FaultCode) -> bool {
    matches!(
        fault,
        FaultCode::ConnectRefused
            | FaultCode::ConnectTimeout
            | FaultCode::ConnectFailed
            | FaultCode::NotResolved
            | FaultCode::TargetTls
            | FaultCode::TargetClosed
            | FaultCode::ResponseTimeout
            | FaultCode::AttemptTimeout
            | FaultCode::BadResponse(_)
    )
}

/// Lets a request pass, or gives what is answered in its place.
pub(crate) fn pass(x: &mut Exchange<'_>, settings: &CircuitBreaker) -> Option<Answer> {
    let connection = x.connection;
    let circuit = connection.generation.plane.circuits.get(&settings.name)?;
    if let Some(era) = circuit.lets_pass(connection.worker.random()) {
        let circuit = Arc::clone(circuit);
        let at = Instant::now();
        let passing = Passing { circuit, at, era };
        x.scratch.held.push(Holding::Circuit(passing));
        return None;
    }
    circuit.live.refused.fetch_add(1, Ordering::Relaxed);
    x.ledger.fault = Some(Fault::circuit_open(settings.status));
    Some(answers::own(x, settings.status, CIRCUIT_OPEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::circuit::{Comparison, Figure, Opens};
    use std::time::Duration;

    fn settings() -> CircuitBreaker {
        CircuitBreaker {
            name: "a".into(),
            opens_when: Opens::Is(Figure::NetworkErrorRatio, Comparison::Above, 0.3),
            check_period: Duration::from_secs(60),
            min_requests: 1,
            open_for: Duration::from_secs(1),
            recover_over: Duration::from_secs(20),
            status: 503,
        }
    }

    #[test]
    fn what_passed_before_it_opened_says_nothing_while_it_recovers() {
        let (circuit, start) = (Circuit::new(settings()), Instant::now());
        let failed = Outcome {
            status: 504,
            network_error: true,
            took: Duration::from_secs(9),
        };
        let at = |seconds: u64| {
            circuit.look(start + Duration::from_secs(seconds));
            circuit.state().word()
        };
        let old = circuit.lets_pass(0).expect("it is closed");
        assert_eq!(at(0), "closed");
        circuit.count(old, &failed);
        assert_eq!(at(1), "open");
        assert_eq!(circuit.lets_pass(0), None);
        assert_eq!(at(2), "recovering");
        // Late answers to what came before are no news.
        (0..20).for_each(|_| circuit.count(old, &failed));
        assert_eq!(at(7), "recovering");
        // What passes now is.
        let new = circuit.lets_pass(0).expect("a quarter passes");
        circuit.count(new, &failed);
        assert_eq!(at(8), "open");
    }

    #[test]
    fn other_settings_leave_its_state() {
        let (old, now) = (Circuit::new(settings()), Instant::now());
        assert!(old.begin_watch() && !old.begin_watch());
        let until = now + Duration::from_secs(1);
        old.go_on(State::Open { until }, now);
        let new = old.with(CircuitBreaker {
            open_for: Duration::from_secs(9),
            status: 429,
            ..settings()
        });
        assert!(!old.is_replaced());
        assert!(new.begin_watch() && old.is_replaced() && !old.begin_watch());
        assert_eq!(
            (new.state(), new.lets_pass(0)),
            (State::Open { until }, None)
        );
        new.go_on(State::Closed, now);
        assert!(old.lets_pass(0).is_some());
    }

    #[test]
    fn its_share_rises_between_looks() {
        let circuit = Circuit::new(settings());
        let now = Instant::now();
        assert!((circuit.percent() - 100.0).abs() < 0.01);
        circuit.go_on(State::Recovering { since: now }, now);
        for seconds in [0, 5, 10, 19] {
            circuit.rise(now + Duration::from_secs(seconds));
            let expected = seconds as f64 * 5.0;
            assert!((circuit.percent() - expected).abs() < 0.01, "{seconds}");
        }
        assert_eq!(circuit.state(), State::Recovering { since: now });
        assert_eq!(circuit.changes(), [0; 3]);
        let aside = circuit.aside();
        assert_eq!(aside.state(), circuit.state());
        assert!((aside.percent() - circuit.percent()).abs() < 0.01);
    }
}
