//! How fast bodies must move on the client's side.
//!
//! Of each direction a debt of time is kept: it grows while the client is what is waited for, and each byte that moves
//! pays off what the configured rate gives it. Nothing is saved up, so that a fast beginning does not buy a slow end. A
//! debt beyond the grace is too much. What we or the target make the client wait for does not count.

use crate::fault::Fault;
use crate::timer::TICK;
use portway_model::min_rate::MinRate;
use std::time::Duration;

/// Bytes of a response that the system may hold for a client that takes none, where a rate is demanded of it: what the
/// system has taken counts as taken. A client may always be behind by as much.
pub(crate) const AHEAD: u32 = 64 * 1024;

/// The two directions of an exchange.
#[derive(Debug)]
pub(crate) struct ClientRate {
    request: Debt,
    response: Debt,
    /// When something moved last, in ticks.
    pub(crate) moved_at: u64,
}

/// What is known of a direction at this moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// It is the client that is waited for.
    pub(crate) waits: bool,
    /// What has moved so far.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Debt {
    /// Bytes a second; 0: none is demanded.
    rate: u64,
    /// In milliseconds, as all here.
    grace: u64,
    owed: u64,
    /// What was paid and is less than a millisecond yet, in thousandths of a byte.
    rest: u64,
    /// The client is waited for since this tick.
    since: Option<u64>,
    bytes: u64,
}

impl ClientRate {
    pub(crate) fn new(wanted: MinRate, now: u64) -> Self {
        let debt = |rate: u32| Debt {
            rate: rate.into(),
            grace: u64::try_from(wanted.grace.as_millis()).unwrap_or(u64::MAX),
            owed: 0,
            rest: 0,
            since: None,
            bytes: 0,
        };
        let mut response = debt(wanted.response);
        if let Some(ahead) = (u64::from(AHEAD) * 1000).checked_div(response.rate) {
            response.grace = response.grace.max(ahead);
        }
        Self {
            request: debt(wanted.request),
            response,
            moved_at: now,
        }
    }

    /// True where a rate is demanded of responses.
    pub(crate) fn of_responses(&self) -> bool {
        self.response.rate > 0
    }

    /// Looks at both directions: how long they may go on without a byte, or that the client is too slow.
    pub(crate) fn look(
        &mut self,
        now: u64,
        request: Flow,
        response: Option<Flow>,
    ) -> Result<Duration, Fault> {
        let still = Flow {
            waits: false,
            bytes: self.response.bytes,
        };
        let left = self.request.look(now, request);
        let of_response = self.response.look(now, response.unwrap_or(still));
        let left = left.zip(of_response).map(|(left, other)| left.min(other));
        left.map(Duration::from_millis)
            .ok_or_else(Fault::client_too_slow)
    }
}

impl Debt {
    /// Milliseconds that may pass without a byte; `None`: too many have.
    fn look(&mut self, now: u64, flow: Flow) -> Option<u64> {
        if self.rate == 0 {
            return Some(u64::MAX);
        }
        let tick = u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX);
        if let Some(since) = self.since {
            let waited = now.saturating_sub(since).saturating_mul(tick);
            self.owed = self.owed.saturating_add(waited);
        }
        let moved = flow.bytes.saturating_sub(self.bytes);
        self.bytes = flow.bytes;
        let paid = moved.saturating_mul(1000).saturating_add(self.rest);
        self.rest = paid % self.rate;
        self.owed = self.owed.saturating_sub(paid / self.rate);
        self.since = flow.waits.then_some(now);
        if self.owed > self.grace {
            return None;
        }
        Some(match flow.waits {
            true => self.grace - self.owed,
            false => u64::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through moments in seconds with what has moved until then; the second at which it was too much.
    fn fails_at(rate: u32, steps: &[(u64, u64, bool)]) -> Option<u64> {
        let wanted = MinRate {
            request: rate,
            grace: Duration::from_secs(5),
            ..MinRate::default()
        };
        let mut it = ClientRate::new(wanted, 0);
        let failed = steps.iter().find(|(second, bytes, waits)| {
            let flow = Flow {
                waits: *waits,
                bytes: *bytes,
            };
            it.look(second * 10, flow, None).is_err()
        });
        failed.map(|(second, ..)| *second)
    }

    #[test]
    fn bytes_that_come_one_by_one_are_paid_for_too() {
        let wanted = MinRate {
            request: 2000,
            grace: Duration::from_secs(5),
            ..MinRate::default()
        };
        // For so many bytes a second, looked at for each of them, the second at which it was too much.
        let fails_at = |speed: u64| {
            let mut it = ClientRate::new(wanted, 0);
            let failed = (0..60 * speed).find(|bytes| {
                let flow = Flow {
                    waits: true,
                    bytes: *bytes,
                };
                it.look(bytes * 10 / speed, flow, None).is_err()
            });
            failed.map(|bytes| bytes / speed)
        };
        assert_eq!(fails_at(4000), None);
        assert_eq!(fails_at(2000), None);
        assert_eq!(fails_at(1000), Some(10));
    }

    #[test]
    fn debts_grow_while_the_client_is_waited_for() {
        let silent: Vec<_> = (0..20).map(|second| (second, 0, true)).collect();
        assert_eq!(fails_at(100, &silent), Some(6));
        assert_eq!(fails_at(0, &silent), None);
        let fast_enough: Vec<_> = (0..60).map(|second| (second, second * 100, true)).collect();
        assert_eq!(fails_at(100, &fast_enough), None);
        // Half of the rate is behind by half a second each second.
        let half: Vec<_> = (0..60).map(|second| (second, second * 50, true)).collect();
        assert_eq!(fails_at(100, &half), Some(11));
        // Bursts within the grace will do, and a long wait for the target is not the client's.
        assert_eq!(
            fails_at(100, &[(0, 0, true), (5, 500, true), (10, 1000, true)]),
            None
        );
        assert_eq!(
            fails_at(100, &[(0, 0, false), (100, 1, true), (104, 2, true)]),
            None
        );
        // A fast beginning buys nothing.
        assert_eq!(
            fails_at(
                100,
                &[(0, 0, true), (1, 1_000_000, true), (7, 1_000_000, true)]
            ),
            Some(7)
        );
    }
}
