//! Passive health: targets that are left out for a while because of what they serve.

use crate::expression::NumberRange;
use std::time::Duration;

/// When a target is ejected, and for how long. What is zero, or empty, does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failures in a row that eject.
    pub failures: u32,
    /// Those without a response (no connection, none in time, one that broke off) that eject.
    pub connection_failures: u32,
    /// A row counts where it is no longer than this; zero: however long it is.
    pub within: Duration,
    /// Statuses that are failures.
    pub statuses: Vec<NumberRange>,
    /// A response whose head takes longer is a failure.
    pub slow_after: Duration,
    /// Failures in the window, in percent of requests, that eject.
    pub failure_percent: u32,
    /// A mean response time, in the window, of so many times that of the others ejects.
    pub slower_than_others: u32,
    /// The time over which the two are taken.
    pub window: Duration,
    /// They count from so many requests in the window on.
    pub min_requests: u32,
    /// How long the first ejection lasts; each one in succession lasts as much longer.
    pub eject_time: Duration,
    /// How long one lasts at most.
    pub max_eject_time: Duration,
    /// Targets that may be ejected at once, in percent of those that may take traffic; one may always be, and never the last.
    pub max_ejected_percent: u32,
}

/// Failures in a row that eject: as Envoy's `consecutive_5xx`.
pub const FAILURES: u32 = 5;
/// Time over which shares and means are taken: as Envoy's interval.
pub const WINDOW: Duration = Duration::from_secs(10);
/// From so many requests on a share says something: one bad minute of a quiet service does not eject.
pub const MIN_REQUESTS: u32 = 20;
/// How long the first ejection lasts: as Envoy's, long enough for most restarts.
pub const EJECT_TIME: Duration = Duration::from_secs(30);
/// How long one lasts at most: as Envoy's.
pub const MAX_EJECT_TIME: Duration = Duration::from_secs(300);
/// Half of the targets: when most of them fail it is rarely theirs alone, and the rest could not carry it.
pub const MAX_EJECTED_PERCENT: u32 = 50;

impl Default for PassiveHealth {
    fn default() -> Self {
        Self {
            failures: FAILURES,
            connection_failures: 0,
            within: Duration::ZERO,
            statuses: vec![SERVER_ERRORS],
            slow_after: Duration::ZERO,
            failure_percent: 0,
            slower_than_others: 0,
            window: WINDOW,
            min_requests: MIN_REQUESTS,
            eject_time: EJECT_TIME,
            max_eject_time: MAX_EJECT_TIME,
            max_ejected_percent: MAX_EJECTED_PERCENT,
        }
    }
}

/// Statuses that are failures where nothing else is said.
pub const SERVER_ERRORS: NumberRange = NumberRange { min: 500, max: 599 };
