//! Circuit breakers at work: one task for each looks at what was counted, as often as the configuration says.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use portway_core::breaker::State;
use portway_dataplane::circuit::{Circuit, Circuits};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::CircuitFigures;
use tokio::task::JoinSet;

use crate::live_state::CircuitPart;
use crate::status::CircuitStatus;

/// Looks after those that nobody looks after yet, for as long as some plane has them.
pub(crate) fn look_after(circuits: &Circuits, tasks: &mut JoinSet<()>) {
    for circuit in circuits.values() {
        if circuit.begin_watch() {
            tasks.spawn(watch(
                Arc::downgrade(circuit),
                circuit.settings.check_period,
            ));
        }
    }
}

/// Between two steps of the share that passes while a circuit breaker recovers.
const RISE: Duration = Duration::from_millis(100);

/// So long there is between two looks at least: what is due now is due a little later.
const SHORTEST: Duration = Duration::from_millis(1);

async fn watch(weak: Weak<Circuit>, period: Duration) {
    loop {
        let now = Instant::now();
        let Some(circuit) = weak.upgrade() else {
            return;
        };
        if circuit.is_replaced() {
            return;
        }
        if let Some(state) = circuit.look(now) {
            emit(&Event::CircuitBreakerChanged {
                circuit_breaker: circuit.settings.name.as_str(),
                state: state.word(),
                is_open: matches!(state, State::Open { .. }),
                opens_when: &circuit.settings.opens_when,
            });
        }
        let state = circuit.state();
        drop(circuit);
        let next = now + period;
        match state {
            State::Closed => tokio::time::sleep(period).await,
            // It recovers when its time is over, however long the period is.
            State::Open { until } => {
                let pause = until.saturating_duration_since(now).min(period);
                tokio::time::sleep(pause.max(SHORTEST)).await;
            }
            State::Recovering { .. } => rises(&weak, next).await,
        }
    }
}

/// Lets the share that passes rise until the next look.
async fn rises(circuit: &Weak<Circuit>, until: Instant) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(RISE)).await;
        match circuit.upgrade() {
            Some(circuit) if left > RISE && !circuit.is_replaced() => circuit.rise(Instant::now()),
            _ => return,
        }
    }
}

/// What metrics say of them, in the order of their names.
pub(crate) fn figures(circuits: &Circuits) -> Vec<CircuitFigures<'_>> {
    let of = |circuit: &'_ Arc<Circuit>| {
        let mut changes = [("", 0); 3];
        let counted = State::WORDS.into_iter().zip(circuit.changes());
        for (to, of) in changes.iter_mut().zip(counted) {
            *to = of;
        }
        (circuit.state().index() as u8, changes, circuit.refused())
    };
    let figures = circuits.iter().map(|(name, circuit)| {
        let (state, changes, refused) = of(circuit);
        CircuitFigures {
            name: name.as_str(),
            state,
            changes,
            refused,
        }
    });
    let mut figures: Vec<CircuitFigures<'_>> = figures.collect();
    figures.sort_unstable_by_key(|it| it.name);
    figures
}

/// What status says of them, in the order of their names.
pub(crate) fn status(circuits: &Circuits) -> Vec<CircuitStatus> {
    let mut all: Vec<CircuitStatus> = circuits
        .iter()
        .map(|(name, circuit)| CircuitStatus {
            name: name.to_string(),
            state: circuit.state().word(),
            percent: circuit.percent(),
            refused: circuit.refused(),
        })
        .collect();
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    all
}

/// What another process is to know of one; nothing of one that is closed.
pub(crate) fn part(circuit: &Circuit, now: Instant) -> Option<CircuitPart> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let state = circuit.state();
    let time = match state {
        State::Closed => return None,
        State::Open { until } => until.saturating_duration_since(now),
        State::Recovering { since } => now.saturating_duration_since(since),
    };
    Some(CircuitPart {
        name: circuit.settings.name.to_string(),
        state: state.word().to_owned(),
        time: millis(time),
    })
}

/// Goes on as another process knew one, where it is one of these.
pub(crate) fn go_on(circuits: &Circuits, part: &CircuitPart, now: Instant) {
    let named = circuits.values();
    let mut named = named.filter(|it| it.settings.name.as_str() == part.name);
    let Some(circuit) = named.next() else {
        return;
    };
    let (time, settings) = (Duration::from_millis(part.time), &circuit.settings);
    let state = match part.state.as_str() {
        "open" => State::Open {
            until: now + time.min(settings.open_for),
        },
        "recovering" => {
            let since = now.checked_sub(time.min(settings.recover_over));
            State::Recovering {
                since: since.unwrap_or(now),
            }
        }
        _ => return,
    };
    circuit.go_on(state, now);
}
