//! The sums of all workers' counters for one object, as plain numbers: for pages that show objects one by one.

use super::Registry;
use super::cell::{AVERAGED, Average};
use super::compressed::CompressedTotals;
use super::shard::{Averages, Failures, StatusClasses};
use crate::record::FaultCode;
use std::time::Duration;

/// What was counted for a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListenerTotals {
    /// Accepted connections.
    pub connections: u64,
    /// Open connections.
    pub connections_open: u64,
    /// Requests by class of the status sent, 1xx to 5xx.
    pub requests: [u64; 5],
    /// Requests that ended without a status.
    pub unanswered: u64,
    /// Requests that are not over.
    pub requests_open: u64,
    /// Bytes from clients.
    pub received_bytes: u64,
    /// Bytes to clients.
    pub sent_bytes: u64,
    /// Handshakes that succeeded.
    pub tls_handshakes: u64,
    /// Handshakes that failed.
    pub tls_failures: u64,
    /// Handshakes that resumed a session.
    pub tls_resumptions: u64,
    /// Requests that a rule answered.
    pub intercepted: u64,
    /// Requests that a rule refused.
    pub denied_requests: u64,
    /// Responses that a rule refused.
    pub denied_responses: u64,
    /// Connections that a rule refused.
    pub denied_connections: u64,
    /// Requests that were not understood, or did not come whole in time.
    pub request_errors: u64,
    /// Mistakes of Portway's.
    pub internal_errors: u64,
    /// Responses that were compressed.
    pub compressed: CompressedTotals,
}

impl ListenerTotals {
    /// Requests so far, those that are not over included.
    pub fn requests(&self) -> u64 {
        self.requests.iter().sum::<u64>() + self.unanswered + self.requests_open
    }
}

/// What was counted for a target group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupTotals {
    /// Exchanges or TCP connections that came to it.
    pub sessions: u64,
    /// Those that are not over.
    pub sessions_open: u64,
    /// The most that were open at once on one worker.
    pub sessions_peak: u64,
    /// Exchanges by class of the status that the client was sent, 1xx to 5xx.
    pub answers: [u64; 5],
    /// Exchanges that ended without a status.
    pub unanswered: u64,
    /// Bytes from clients.
    pub received_bytes: u64,
    /// Bytes to clients.
    pub sent_bytes: u64,
    /// Requests that a rule refused.
    pub denied_requests: u64,
    /// Responses that a rule refused.
    pub denied_responses: u64,
    /// What went wrong.
    pub failures: FailureTotals,
    /// Attempts after the first.
    pub retries: u64,
    /// Those of them at another target.
    pub redispatches: u64,
    /// Responses that were compressed.
    pub compressed: CompressedTotals,
}

/// What was counted for a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TargetTotals {
    /// Attempts at it.
    pub sessions: u64,
    /// How often its group's algorithm chose it.
    pub selections: u64,
    /// Requests by class of its status, 1xx to 5xx.
    pub requests: [u64; 5],
    /// Connections made.
    pub connections: u64,
    /// Requests over a connection that was open already.
    pub connections_reused: u64,
    /// Open connections, idle ones included.
    pub connections_open: u64,
    /// Idle connections.
    pub connections_idle: u64,
    /// Bytes from clients.
    pub received_bytes: u64,
    /// Bytes to clients.
    pub sent_bytes: u64,
    /// Responses that a rule refused.
    pub denied_responses: u64,
    /// What went wrong.
    pub failures: FailureTotals,
    /// Attempts that failed and were followed by another.
    pub retries: u64,
    /// Those of them that were followed by one at another target.
    pub redispatches: u64,
    /// How long exchanges took.
    pub times: Times,
}

/// What went wrong, see [`Failures`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureTotals {
    /// Exchanges that ended because no connection to a target came about.
    pub connection: u64,
    /// Responses that were not understood, or did not come.
    pub response: u64,
    /// Exchanges that the client gave up.
    pub client_aborts: u64,
    /// Responses that the target cut off.
    pub target_aborts: u64,
}

/// How long exchanges took: averages over the latest, and the longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// How many the averages are over.
    pub count: u64,
    /// Waiting for a free place: average and longest.
    pub queue: (Duration, Duration),
    /// Connecting.
    pub connect: (Duration, Duration),
    /// From there to the head of the response.
    pub response: (Duration, Duration),
    /// All of it.
    pub total: (Duration, Duration),
}

impl Times {
    /// Both together: averages by their counts, the longer of the longest.
    pub fn with(self, other: Times) -> Times {
        let count = self.count + other.count;
        let joined = |a: (Duration, Duration), b: (Duration, Duration)| {
            let part = |time: Duration, of: u64| time.as_micros() * u128::from(of);
            let sum = part(a.0, self.count) + part(b.0, other.count);
            let average = sum.checked_div(u128::from(count)).unwrap_or(0);
            (Duration::from_micros(average as u64), a.1.max(b.1))
        };
        Times {
            count,
            queue: joined(self.queue, other.queue),
            connect: joined(self.connect, other.connect),
            response: joined(self.response, other.response),
            total: joined(self.total, other.total),
        }
    }
}

impl Registry {
    /// The sums for a listener, by its number in [`super::Names`].
    pub fn listener_totals(&self, number: usize) -> ListenerTotals {
        let mut sum = ListenerTotals::default();
        let (mut open, mut requests) = (0, 0);
        for block in self.shards.iter().map(|shard| shard.listener(number)) {
            requests += block.requests_in_flight.value();
            sum.connections += block.connections.value();
            open += block.connections_open.value();
            add_classes(&mut sum.requests, &block.requests);
            sum.unanswered += block.unanswered.value();
            sum.received_bytes += block.received_bytes.value();
            sum.sent_bytes += block.sent_bytes.value();
            sum.tls_handshakes += block.tls_handshakes_ok.value();
            sum.tls_failures += block.tls_handshakes_failed.total();
            sum.tls_resumptions += block.tls_resumptions.value();
            sum.intercepted += block.intercepted.value();
            sum.denied_requests += block.denied_requests.value();
            sum.denied_responses += block.denied_responses.value();
            sum.denied_connections += block.denied_connections.value();
            sum.compressed.add(&block.compressed);
            for fault in FaultCode::ALL {
                let count = block.fault_count(fault.index());
                match fault {
                    FaultCode::RefusedRequest(_) | FaultCode::ClientTimeout => {
                        sum.request_errors += count;
                    }
                    FaultCode::Internal => sum.internal_errors += count,
                    _ => {}
                }
            }
        }
        sum.connections_open = at_least_zero(open);
        sum.requests_open = at_least_zero(requests);
        sum
    }

    /// The sums for a target group, by its number.
    pub fn group_totals(&self, number: usize) -> GroupTotals {
        let mut sum = GroupTotals::default();
        let (mut open, mut peak) = (0, 0);
        for block in self.shards.iter().map(|shard| shard.group(number)) {
            sum.sessions += block.sessions.value();
            open += block.sessions_open.value();
            peak = block.sessions_open.peak().max(peak);
            add_classes(&mut sum.answers, &block.answers);
            sum.unanswered += block.unanswered.value();
            sum.received_bytes += block.received_bytes.value();
            sum.sent_bytes += block.sent_bytes.value();
            sum.denied_requests += block.denied_requests.value();
            sum.denied_responses += block.denied_responses.value();
            sum.failures.add(&block.failures);
            sum.retries += block.retries.total();
            sum.redispatches += block.redispatches.value();
            sum.compressed.add(&block.compressed);
        }
        sum.sessions_open = at_least_zero(open);
        sum.sessions_peak = at_least_zero(peak).max(sum.sessions_open);
        sum
    }

    /// The sums for a target, by the number of its group and its own.
    pub fn target_totals(&self, group: usize, target: usize) -> TargetTotals {
        let mut sum = TargetTotals::default();
        let (mut open, mut idle) = (0, 0);
        let shards = self.shards.iter();
        for block in shards.map(|shard| shard.target(group, target)) {
            sum.sessions += block.sessions.value();
            sum.selections += block.selections.value();
            add_classes(&mut sum.requests, &block.requests);
            sum.connections += block.connections.value();
            sum.connections_reused += block.connections_reused.value();
            open += block.connections_open.value();
            idle += block.connections_idle.value();
            sum.received_bytes += block.received_bytes.value();
            sum.sent_bytes += block.sent_bytes.value();
            sum.denied_responses += block.denied_responses.value();
            sum.failures.add(&block.failures);
            sum.retries += block.retries.value();
            sum.redispatches += block.redispatches.value();
            sum.times = sum.times.with(Times::of(&block.times));
        }
        sum.connections_open = at_least_zero(open);
        sum.connections_idle = at_least_zero(idle);
        sum
    }

    /// Begins peaks and longest times anew.
    pub fn forget_peaks(&self) {
        for shard in &self.shards {
            for group in &shard.groups {
                group.metrics.sessions_open.forget_peak();
                for target in &group.targets {
                    let times = &target.times;
                    for time in [&times.queue, &times.connect, &times.response, &times.total] {
                        time.forget_longest();
                    }
                }
            }
        }
    }
}

impl FailureTotals {
    fn add(&mut self, failures: &Failures) {
        self.connection += failures.connection.value();
        self.response += failures.response.value();
        self.client_aborts += failures.client_aborts.value();
        self.target_aborts += failures.target_aborts.value();
    }
}

impl Times {
    fn of(averages: &Averages) -> Times {
        let count = averages.count.value();
        let of = |average: &Average| (average.value(count), average.longest());
        Times {
            count: count.min(AVERAGED),
            queue: of(&averages.queue),
            connect: of(&averages.connect),
            response: of(&averages.response),
            total: of(&averages.total),
        }
    }
}

fn add_classes(sum: &mut [u64; 5], classes: &StatusClasses) {
    for (class, sum) in sum.iter_mut().enumerate() {
        *sum += classes.value(class);
    }
}

/// Cells are read one after the other: what went may be seen before what came.
fn at_least_zero(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
