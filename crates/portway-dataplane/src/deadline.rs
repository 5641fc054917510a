//! Times of an attempt and of a whole exchange: where one is over, whatever is waited for ends.
//!
//! Both are kept as ticks of the worker's clock. The sooner one is the latest moment at which the connection's timer expires
//! ([`Timer::set_latest`]), so that nothing that waits has to know of them: it runs into its own timeout early, and [`told`] says
//! what that fault really is. Where neither is configured nothing is set and nothing is asked.
//!
//! The time of an attempt is the target's: while the client's body is still coming it is lifted, and begins when the body is sent.

use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::timer::{NEVER, Timer, ticks_of};
use portway_core::http1::BodyLength;
use portway_core::retry::Stage;
use portway_model::settings::GroupTimeouts;
use portway_telemetry::record::FaultCode;
use std::cell::Cell;
use std::time::Duration;

/// Timeouts that rules replaced for this exchange.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NewTimeouts {
    pub(crate) response: Option<Duration>,
    pub(crate) tunnel: Option<Duration>,
    pub(crate) attempt: Option<Duration>,
    pub(crate) total: Option<Duration>,
}

/// The moments at which an exchange and its attempt are over, in ticks of the worker's clock.
#[derive(Debug, Clone)]
pub(crate) struct Deadlines {
    total: Cell<u64>,
    attempt: Cell<u64>,
    /// What the attempt has, in ticks, once the request's body is sent; 0: nothing is to begin then.
    after_upload: Cell<u64>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            total: Cell::new(NEVER),
            attempt: Cell::new(NEVER),
            after_upload: Cell::new(0),
        }
    }
}

impl Deadlines {
    fn apply(&self, timer: &Timer) {
        timer.set_latest(self.total.get().min(self.attempt.get()));
    }

    /// The request's body is sent: the time of the attempt begins, where that was left for now.
    #[inline]
    pub(crate) fn uploaded(&self, timer: &Timer) {
        let ticks = self.after_upload.replace(0);
        if ticks > 0 {
            self.attempt.set(timer.now().saturating_add(ticks));
            self.apply(timer);
        }
    }

    /// The response's head is there: the attempt has all the time of the exchange.
    #[inline]
    pub(crate) fn responded(&self, timer: &Timer) {
        if self.attempt.get() != NEVER {
            self.attempt.set(NEVER);
            self.apply(timer);
        }
        self.after_upload.set(0);
    }

    /// Nothing is timed any more: what follows is a tunnel, an answer of ours, or the next request.
    #[inline]
    pub(crate) fn end(&self, timer: &Timer) {
        if self.total.get() != NEVER || self.attempt.get() != NEVER {
            self.total.set(NEVER);
            self.attempt.set(NEVER);
            self.after_upload.set(0);
            self.apply(timer);
        }
    }
}

/// The exchange goes to a group with these timeouts.
pub(crate) fn begin(x: &Exchange<'_>, timeouts: &GroupTimeouts) {
    let Some(total) = x.scratch.timeouts.total.or(timeouts.total) else {
        return;
    };
    let passed = x.ledger.started.elapsed();
    let passed = passed.saturating_sub(x.ledger.head_took);
    let timer = &x.connection.timer;
    let deadlines = &x.scratch.deadlines;
    let left = ticks_of(total.saturating_sub(passed));
    deadlines.total.set(timer.now().saturating_add(left));
    deadlines.apply(timer);
}

/// An attempt begins: its request may have to be connected for, sent and answered in its time.
pub(crate) fn begin_attempt(x: &Exchange<'_>, timeouts: &GroupTimeouts) {
    if let Some(time) = x.scratch.timeouts.attempt.or(timeouts.attempt) {
        let timer = &x.connection.timer;
        let deadlines = &x.scratch.deadlines;
        deadlines
            .attempt
            .set(timer.now().saturating_add(ticks_of(time)));
        deadlines.apply(timer);
    }
}

/// There is a connection: where the client's body goes over it, the time of the attempt begins anew when that is sent.
pub(crate) fn connected(x: &Exchange<'_>, timeouts: &GroupTimeouts) {
    let deadlines = &x.scratch.deadlines;
    let bodiless = matches!(x.framing.body, BodyLength::None | BodyLength::Length(0));
    // All of one that is held is here: nobody waits for the client.
    if deadlines.attempt.get() == NEVER || bodiless || x.scratch.body_limits.held {
        return;
    }
    let time = x.scratch.timeouts.attempt.or(timeouts.attempt);
    deadlines.after_upload.set(time.map_or(0, ticks_of));
    deadlines.attempt.set(NEVER);
    deadlines.apply(&x.connection.timer);
}

/// What a fault really is: a wait that ended because the time of the exchange or of its attempt was over is theirs. The attempt has
/// ended.
pub(crate) fn told(x: &Exchange<'_>, fault: Fault) -> Fault {
    let deadlines = &x.scratch.deadlines;
    let (total, attempt) = (deadlines.total.get(), deadlines.attempt.get());
    if total == NEVER && attempt == NEVER {
        return fault;
    }
    let timer = &x.connection.timer;
    deadlines.responded(timer);
    let waited = matches!(
        fault.code,
        FaultCode::QueueTimeout
            | FaultCode::ConnectTimeout
            | FaultCode::ResponseTimeout
            | FaultCode::ClientTimeout
            | FaultCode::ClientTooSlow
    );
    let now = timer.now();
    if waited && total <= now {
        deadlines.end(timer);
        Fault::total_timeout()
    } else if waited && attempt <= now {
        Fault::attempt_timeout(match fault.stage {
            Some(Stage::Connect) => Stage::Connect,
            _ => Stage::TimedOut,
        })
    } else {
        fault
    }
}

/// What the target of an attempt is blamed for, where the `waited` of it became `told`: who was asked for most of the time of
/// the exchange was late when that was over, as with a time of its own. One that was asked near the end was not: a queue,
/// other targets or the client took the time.
pub(crate) fn blamed(x: &Exchange<'_>, waited: Fault, told: Fault) -> Fault {
    if told.code != FaultCode::TotalTimeout {
        return told;
    }
    let passed = x.ledger.started.elapsed();
    let connected = x.ledger.connected.unwrap_or_default();
    let asked = connected.max(x.ledger.uploaded.get().unwrap_or_default());
    match passed.saturating_sub(asked).saturating_mul(2) >= passed {
        true => waited,
        false => told,
    }
}

/// The time that is left of the exchange; zero: it is over. `None`: it has none of its own.
pub(crate) fn left(x: &Exchange<'_>) -> Option<Duration> {
    let total = x.scratch.deadlines.total.get();
    (total != NEVER).then(|| x.connection.timer.until(total))
}
