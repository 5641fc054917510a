//! What is counted for groups and targets beyond metrics: the columns of HAProxy's statistics.
//!
//! All of it is plain additions to cells of this worker.

use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::record::Passed;
use crate::track::Tracked;
use portway_core::retry::Stage;
use portway_core::stick::Event;
use portway_model::snapshot::GroupId;
use portway_telemetry::metrics::{Failures, GroupMetrics, ListenerMetrics, TargetMetrics};
use portway_telemetry::record::FaultCode;
use std::sync::Arc;
use std::time::Duration;

/// Where the bytes of an exchange or connection are counted.
pub(crate) struct Flow<'a> {
    listener: &'a Arc<ListenerMetrics>,
    group: Option<&'a Arc<GroupMetrics>>,
    target: Option<&'a Arc<TargetMetrics>>,
    tracked: Option<&'a Tracked>,
}

impl<'a> Flow<'a> {
    /// That of what goes this way.
    #[inline]
    pub(crate) fn of(
        connection: &'a Connection,
        group: Option<GroupId>,
        target: Option<usize>,
    ) -> Self {
        let shard = connection.shard();
        Self {
            listener: shard.listener(connection.listener.index()),
            group: group.map(|group| connection.of_group(group)),
            target: group
                .zip(target)
                .map(|(group, target)| connection.of_target(group, target)),
            tracked: connection.tracked(),
        }
    }

    /// Counts bytes from and to the client.
    #[inline]
    pub(crate) fn add(&self, received: u64, sent: u64) {
        self.listener.received_bytes.add(received);
        self.listener.sent_bytes.add(sent);
        if let Some(group) = self.group {
            group.received_bytes.add(received);
            group.sent_bytes.add(sent);
        }
        if let Some(target) = self.target {
            target.received_bytes.add(received);
            target.sent_bytes.add(sent);
        }
        if let Some(tracked) = self.tracked {
            tracked.count(Event::BytesIn, received);
            tracked.count(Event::BytesOut, sent);
        }
    }
}

/// Counts that a target was chosen by the group's algorithm.
#[inline]
pub(crate) fn selected(connection: &Connection, group: GroupId, target: usize) {
    connection.of_target(group, target).selections.add(1);
}

/// Counts that an exchange or connection came to a group; [`end_of_exchange`] or [`end_of_connection`] follows.
#[inline]
pub(crate) fn session(connection: &Connection, group: GroupId) {
    let metrics = connection.of_group(group);
    metrics.sessions.add(1);
    metrics.sessions_open.up();
}

/// Counts what an exchange came to for its group and target.
#[inline]
pub(crate) fn end_of_exchange(x: &Exchange<'_>, group: GroupId, total: Duration) {
    let metrics = x.connection.of_group(group);
    metrics.sessions_open.down();
    metrics.answers.count(x.ledger.status);
    if x.ledger.status == 0 {
        metrics.unanswered.add(1);
    }
    let (Some(target), Some(connected)) = (x.attempt.target, x.ledger.connected) else {
        return;
    };
    let times = &x.connection.of_target(group, target).times;
    times.count.add(1);
    let queued = x.ledger.queued.unwrap_or_default();
    let connect = match x.attempt.reused {
        true => Duration::ZERO,
        false => connected.saturating_sub(queued),
    };
    times.queue.add(queued);
    times.connect.add(connect);
    let head = x.ledger.response_head.unwrap_or(connected);
    times.response.add(head.saturating_sub(connected));
    times.total.add(total);
}

/// Counts whose fault ended an exchange.
pub(crate) fn failed(x: &Exchange<'_>, fault: Fault) {
    let Some(group) = x.attempt.group else {
        return;
    };
    count(&x.connection.of_group(group).failures, fault);
    let ours = fault.code == FaultCode::Exhausted;
    if let Some(target) = x.attempt.target.filter(|_| !ours) {
        count(&x.connection.of_target(group, target).failures, fault);
    }
}

fn count(failures: &Failures, fault: Fault) {
    let counter = match fault.code {
        FaultCode::ConnectRefused
        | FaultCode::ConnectTimeout
        | FaultCode::ConnectFailed
        | FaultCode::NotResolved
        | FaultCode::TargetTls
        | FaultCode::QueueTimeout
        | FaultCode::QueueFull
        | FaultCode::Exhausted
        | FaultCode::NoHealthyTarget => &failures.connection,
        FaultCode::TargetDown => {
            failures.target_aborts.add(1);
            &failures.response
        }
        FaultCode::TargetClosed if fault.stage == Some(Stage::ResponseStarted) => {
            failures.target_aborts.add(1);
            &failures.response
        }
        FaultCode::AttemptTimeout if fault.stage == Some(Stage::Connect) => &failures.connection,
        FaultCode::TargetClosed
        | FaultCode::ResponseTimeout
        | FaultCode::AttemptTimeout
        | FaultCode::TotalTimeout
        | FaultCode::BadResponse(_) => &failures.response,
        FaultCode::ClientClosed | FaultCode::ClientTimeout | FaultCode::ClientTooSlow => {
            &failures.client_aborts
        }
        _ => return,
    };
    counter.add(1);
}

/// Counts what a TCP connection came to for its group and target.
pub(crate) fn end_of_connection(connection: &Connection, passed: &Passed) {
    let shard = connection.shard();
    let Some(group) = passed.group else {
        if passed
            .fault
            .is_some_and(|it| it.code == FaultCode::Rejected)
        {
            let listener = shard.listener(connection.listener.index());
            listener.denied_connections.add(1);
        }
        return;
    };
    let metrics = connection.of_group(group);
    metrics.sessions_open.down();
    let target = passed
        .target
        .map(|target| connection.of_target(group, target));
    if let Some(fault) = passed.fault {
        count(&metrics.failures, fault);
        if let Some(target) = target {
            count(&target.failures, fault);
        }
    }
    if let (Some(target), Some(connected)) = (target, passed.connected) {
        let times = &target.times;
        times.count.add(1);
        let queued = passed.queued.unwrap_or_default();
        times.queue.add(queued);
        times.connect.add(connected.saturating_sub(queued));
        times.total.add(passed.started.elapsed());
    }
}

/// Counts a request that a rule answered in place of a target.
pub(crate) fn intercepted(x: &Exchange<'_>) {
    let shard = x.connection.shard();
    let listener = shard.listener(x.connection.listener.index());
    listener.intercepted.add(1);
}

/// Counts a request that a rule refused.
pub(crate) fn denied(x: &Exchange<'_>) {
    let shard = x.connection.shard();
    let listener = shard.listener(x.connection.listener.index());
    listener.denied_requests.add(1);
    if let Some(group) = x.attempt.group {
        x.connection.of_group(group).denied_requests.add(1);
    }
}

/// Counts a response that a rule refused.
pub(crate) fn response_denied(x: &Exchange<'_>) {
    let shard = x.connection.shard();
    let listener = shard.listener(x.connection.listener.index());
    listener.denied_responses.add(1);
    let Some(group) = x.attempt.group else {
        return;
    };
    x.connection.of_group(group).denied_responses.add(1);
    if let Some(target) = x.attempt.target {
        let target = x.connection.of_target(group, target);
        target.denied_responses.add(1);
    }
}

/// Counts that the next attempt goes to another target than the last.
pub(crate) fn redispatched(connection: &Connection, group: GroupId, from: usize) {
    connection.of_group(group).redispatches.add(1);
    connection.of_target(group, from).redispatches.add(1);
}
