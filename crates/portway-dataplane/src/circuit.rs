//! Circuit breakers on the path of a request: who passes, and what became of those that did.
//!
//! Workers read a share and raise counters; control looks at the counters now and then and says what the share is
//! ([`portway_core::breaker`]). One breaker is shared by all workers, and outlives a reload that leaves it as it is.

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
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// All circuit breakers of a configuration, by name.
pub type Circuits = HashMap<Name, Arc<Circuit>>;

/// One circuit breaker.
#[derive(Debug)]
pub struct Circuit {
    /// What the configuration says of it.
    pub settings: CircuitBreaker,
    layout: Layout,
    slots: Box<[AtomicU64]>,
    /// Of [`ALL`] requests so many pass.
    share: AtomicU32,
    refused: AtomicU64,
    /// How often it came to each state, by [`State::index`].
    changes: [AtomicU64; State::WORDS.len()],
    /// Somebody looks after it.
    watched: AtomicBool,
    /// Only control looks at it.
    breaker: Mutex<Breaker>,
}

/// The circuit breakers of a configuration; those that say the same as `before` are the same.
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
        let known = || before?.get(name).filter(|it| it.settings == **settings);
        all.entry(name.clone()).or_insert_with(|| match known() {
            Some(known) => Arc::clone(known),
            None => Arc::new(Circuit::new((**settings).clone())),
        });
    }
    all
}

impl Circuit {
    fn new(settings: CircuitBreaker) -> Self {
        let layout = Layout::of(&settings);
        Self {
            slots: (0..layout.slots()).map(|_| AtomicU64::new(0)).collect(),
            layout,
            settings,
            share: AtomicU32::new(ALL),
            refused: AtomicU64::new(0),
            changes: Default::default(),
            watched: AtomicBool::new(false),
            breaker: Mutex::new(Breaker::new(State::Closed)),
        }
    }

    /// Another in the same state, for a look beside what serves.
    pub(crate) fn aside(&self) -> Self {
        let share = self.share.load(Ordering::Relaxed);
        Self {
            share: AtomicU32::new(share),
            breaker: Mutex::new(Breaker::new(self.state())),
            ..Self::new(self.settings.clone())
        }
    }

    /// True once: whoever asks first looks after it from then on.
    pub fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::Relaxed)
    }

    /// Looks at what was counted; the state that it has come to, where that has changed.
    pub fn look(&self, now: Instant) -> Option<State> {
        let counted = self.slots.iter().map(|it| it.load(Ordering::Relaxed));
        let counted: Box<[u64]> = counted.collect();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = breaker.look(now, &counted, &self.layout, &self.settings);
        let share = breaker.share(now, &self.settings);
        self.share.store(share, Ordering::Relaxed);
        changed.map(|_| {
            let state = breaker.state();
            if let Some(count) = self.changes.get(state.index()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            state
        })
    }

    /// While it recovers, the share that passes rises with time, whatever was counted.
    pub fn rise(&self, now: Instant) {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let share = breaker.share(now, &self.settings);
        self.share.store(share, Ordering::Relaxed);
    }

    /// Its state.
    pub fn state(&self) -> State {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.state()
    }

    /// It is in this state from now on.
    pub fn go_on(&self, state: State, now: Instant) {
        let next = Breaker::new(state);
        self.share
            .store(next.share(now, &self.settings), Ordering::Relaxed);
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// How many of a hundred requests pass now.
    pub fn percent(&self) -> f64 {
        f64::from(self.share.load(Ordering::Relaxed)) * 100.0 / f64::from(ALL)
    }

    /// Requests that it did not let pass.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often it came to each state, by [`State::index`].
    pub fn changes(&self) -> [u64; State::WORDS.len()] {
        self.changes.each_ref().map(|it| it.load(Ordering::Relaxed))
    }

    fn lets_pass(&self, chance: u64) -> bool {
        match self.share.load(Ordering::Relaxed) {
            ALL => true,
            0 => false,
            share => chance % u64::from(ALL) < u64::from(share),
        }
    }
}

/// A request that a circuit breaker let pass: what becomes of it counts.
#[derive(Debug)]
pub(crate) struct Passing {
    circuit: Arc<Circuit>,
    at: Instant,
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
        let circuit = &self.circuit;
        circuit.layout.count(&outcome, |slot| {
            if let Some(slot) = circuit.slots.get(slot) {
                slot.fetch_add(1, Ordering::Relaxed);
            }
        });
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
    if circuit.lets_pass(connection.worker.random()) {
        let circuit = Arc::clone(circuit);
        let at = Instant::now();
        x.scratch
            .held
            .push(Holding::Circuit(Passing { circuit, at }));
        return None;
    }
    circuit.refused.fetch_add(1, Ordering::Relaxed);
    x.ledger.fault = Some(Fault::circuit_open(settings.status));
    Some(answers::own(x, settings.status, CIRCUIT_OPEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::circuit::{Comparison, Figure, Opens};
    use std::time::Duration;

    #[test]
    fn its_share_rises_between_looks() {
        let circuit = Circuit::new(CircuitBreaker {
            name: "a".into(),
            opens_when: Opens::Is(Figure::NetworkErrorRatio, Comparison::Above, 0.3),
            check_period: Duration::from_secs(60),
            min_requests: 1,
            open_for: Duration::from_secs(1),
            recover_over: Duration::from_secs(20),
            status: 503,
        });
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
