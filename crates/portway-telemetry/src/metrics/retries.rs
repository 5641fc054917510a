//! Why attempts are followed by others, and what becomes of bodies that are held for that: closed lists, and a counter for each.

use super::Registry;
use super::cell::Counter;
use super::render::Page;

/// What failed before another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// No connection came about.
    Connect,
    /// A connection that had waited in the pool was closed when it was used.
    ReusedClosed,
    /// The connection ended before a whole head of a response.
    NoResponse,
    /// No response came in time.
    Timeout,
    /// What came was not understood.
    BadResponse,
    /// The response had a status that is tried again.
    Status,
}

impl RetryReason {
    /// Every reason.
    pub const ALL: [RetryReason; 6] = [
        RetryReason::Connect,
        RetryReason::ReusedClosed,
        RetryReason::NoResponse,
        RetryReason::Timeout,
        RetryReason::BadResponse,
        RetryReason::Status,
    ];

    /// The label value.
    pub const fn word(self) -> &'static str {
        match self {
            RetryReason::Connect => "connect",
            RetryReason::ReusedClosed => "reused_closed",
            RetryReason::NoResponse => "no_response",
            RetryReason::Timeout => "timeout",
            RetryReason::BadResponse => "bad_response",
            RetryReason::Status => "status",
        }
    }
}

/// What became of the body of a request that was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldBody {
    /// It is held, and can be sent again.
    Held,
    /// It is longer than is held: it goes on as it comes.
    TooLong,
    /// Memory is short: it goes on as it comes.
    Memory,
}

impl HeldBody {
    /// Every result.
    pub const ALL: [HeldBody; 3] = [HeldBody::Held, HeldBody::TooLong, HeldBody::Memory];

    /// The label value.
    pub const fn word(self) -> &'static str {
        match self {
            HeldBody::Held => "held",
            HeldBody::TooLong => "too_long",
            HeldBody::Memory => "memory",
        }
    }
}

/// What a worker counts of the retries of a target group.
#[derive(Debug, Default)]
pub struct Retries {
    reasons: [Counter; RetryReason::ALL.len()],
    bodies: [Counter; HeldBody::ALL.len()],
    /// Attempts after the first that sent a held body again.
    pub with_body: Counter,
}

impl Retries {
    /// Counts an attempt that is followed by another.
    pub fn count(&self, why: RetryReason) {
        if let Some(counter) = self.reasons.get(why as usize) {
            counter.add(1);
        }
    }

    /// Counts a body that was to be held.
    pub fn count_body(&self, what: HeldBody) {
        if let Some(counter) = self.bodies.get(what as usize) {
            counter.add(1);
        }
    }

    /// Attempts after the first one.
    pub fn total(&self) -> u64 {
        self.reasons.iter().map(Counter::value).sum()
    }

    pub(super) fn reason(&self, why: RetryReason) -> u64 {
        self.reasons.get(why as usize).map_or(0, Counter::value)
    }

    pub(super) fn bodies(&self, what: HeldBody) -> u64 {
        self.bodies.get(what as usize).map_or(0, Counter::value)
    }
}

impl Registry {
    pub(super) fn retried_failures(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_group() {
            for reason in RetryReason::ALL {
                let count = blocks.clone().map(|g| i128::from(g.retries.reason(reason)));
                page.unless_zero(&[name, reason.word()], count.sum());
            }
        }
    }

    pub(super) fn held_bodies(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_group() {
            for result in HeldBody::ALL {
                let count = blocks.clone().map(|g| i128::from(g.retries.bodies(result)));
                page.unless_zero(&[name, result.word()], count.sum());
            }
        }
    }
}
