//! The one record that an exchange or a TCP connection leaves: counted, and written to the access log.

use crate::attempt::Earlier;
use crate::connection::{Connection, TlsDetails};
use crate::exchange::{Exchange, How, Ledger};
use crate::fault::Fault;
use crate::live::{Seen, TargetState};
use crate::log_value::Subject;
use crate::rules::ended;
use crate::statistics::{self, Flow};
use portway_core::evaluate::{Facts, holds, write_log_line};
use portway_core::http1::{Known, Refusal};
use portway_core::retry::Stage;
use portway_core::stick::Event;
use portway_core::trace::TracePart;
use portway_model::draft::LogFormat;
use portway_model::expression::{LogValue, Template};
use portway_model::log::LogLevel;
use portway_model::settings::OwnAnswers;
use portway_model::snapshot::{AccessLog, GroupId, Listener};
use portway_model::stage::Resolved;
use portway_telemetry::access_log::number;
use portway_telemetry::metrics::{Limit, RetryReason};
use portway_telemetry::record::{ConnectionRecord, Durations, FaultCode, Record, Tls, Upstream};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// What rules said of the record of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogWish {
    /// Nothing.
    AsConfigured,
    /// It is not logged.
    Silent,
    /// It is logged with this level.
    Level(LogLevel),
}

/// The codes that requests may be refused with, in the order in which they are counted.
pub fn refusal_codes() -> Vec<&'static str> {
    Refusal::ALL.iter().map(|refusal| refusal.code()).collect()
}

/// Closes an exchange: counts it and writes its record.
pub(crate) fn close(x: &Exchange<'_>) {
    settle(x);
    let connection = x.connection;
    let shard = connection.shard();
    let metrics = shard.listener(connection.listener.index());
    let total = x.ledger.started.elapsed();
    metrics.requests.count(x.ledger.status);
    metrics.request_duration.observe(total);
    metrics.requests_in_flight.down();
    if x.ledger.status == 0 {
        metrics.unanswered.add(1);
    }
    Flow::of(connection, x.attempt.group, x.attempt.target).add(
        x.ledger.head_in + x.ledger.body_in.get() - x.ledger.counted.up(),
        x.ledger.head_out + x.ledger.body_out.get() - x.ledger.counted.down(),
    );
    count_tracked(x);
    if let Some(fault) = x.ledger.fault {
        metrics.fault(fault.code);
        statistics::failed(x, fault);
        if let FaultCode::RefusedRequest(code) = fault.code {
            refused(x, code);
        }
    }
    leave_group(x, total);
    if !x.ledger.logged {
        log_exchange(x, total);
    }
    if x.scratch.trace.is_some() {
        log_span(x, total);
    }
}

/// Counts what the exchange came to at its group and target.
#[inline]
fn leave_group(x: &Exchange<'_>, total: Duration) {
    let Some(group) = x.attempt.group else {
        return;
    };
    statistics::end_of_exchange(x, group, total);
    let Some(until_head) = x.ledger.response_head else {
        return;
    };
    let metrics = x.connection.of_group(group);
    metrics.requests.count(x.ledger.status);
    metrics.response_time.observe(until_head);
    if let Some(target) = x.attempt.target {
        let metrics = x.connection.of_target(group, target);
        metrics.requests.count(x.ledger.status);
        let durations = metrics.durations.counters();
        durations.response.observe(answer_time(&x.ledger));
    }
}

/// Counts what the exchange came to at the group whose answer with this status gives way to a page.
pub(crate) fn gave_way(x: &mut Exchange<'_>, status: u16) {
    settle(x);
    if let Some(fault) = x.ledger.fault {
        statistics::failed(x, fault);
    }
    x.ledger.status = status;
    leave_group(x, x.ledger.started.elapsed());
    x.ledger.status = 0;
}

/// Hands a span of an exchange over, where its trace is sampled and somebody takes spans.
fn log_span(x: &Exchange<'_>, total: Duration) {
    let generation = &x.connection.generation;
    let sampled = x.scratch.trace.is_some_and(|trace| trace.is_sampled());
    if !sampled || generation.plane.traces.is_none() {
        return;
    }
    let began = x.connection.worker.wall(x.ledger.started);
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    generation
        .logs
        .add_span(&generation.plane, |formatter, out| {
            out.extend_from_slice(&x.scratch.parent_span);
            for time in [began, total] {
                out.push(b' ');
                number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), out);
            }
            out.push(b' ');
            formatter.exchange(&record_of(x, total), out);
        });
}

/// Counts what came of an exchange in the entries of stick tables that it and its connection track.
fn count_tracked(x: &Exchange<'_>) {
    let ledger = &x.ledger;
    let own = &x.scratch.tracked;
    own.count(Event::BytesIn, ledger.head_in + ledger.body_in.get());
    own.count(Event::BytesOut, ledger.head_out + ledger.body_out.get());
    if let Some(event) = wrong(x) {
        own.count(event, 1);
        x.connection.count(event);
    }
}

/// Who did wrong in an exchange, as HAProxy sees it.
fn wrong(x: &Exchange<'_>) -> Option<Event> {
    let status = x.ledger.status;
    let answered = x.ledger.answered;
    if answered.is_some_and(|answered| answered.how != How::Answer) {
        return Some(Event::Error);
    }
    if let Some(fault) = x.ledger.fault {
        let refused = x.head_len == 0 || matches!(fault.code, FaultCode::RefusedRequest(_));
        return match status {
            _ if refused => Some(Event::Error),
            500..600 => Some(Event::Failure),
            _ => None,
        };
    }
    let from_target = x.ledger.response_head.is_some();
    match status {
        400..500 if from_target => Some(Event::Error),
        501 | 505 => None,
        500..600 if from_target => Some(Event::Failure),
        _ => None,
    }
}

/// Writes the record of an exchange before its end, where its listener is to log so: its head is there.
pub(crate) fn log_early(x: &mut Exchange<'_>) {
    let connection = x.connection;
    let listener = connection.generation.plane.listener(connection.listener);
    let log = listener.and_then(|(listener, _)| listener.access_log.as_ref());
    if !log.is_some_and(|log| log.early) || x.ledger.logged {
        return;
    }
    x.ledger.early = true;
    log_exchange(x, x.ledger.started.elapsed());
    x.ledger.early = false;
    x.ledger.logged = true;
}

/// Writes the record of an exchange, where it is to be written.
fn log_exchange(x: &Exchange<'_>, total: Duration) {
    let connection = x.connection;
    let generation = &connection.generation;
    let Some((listener, parts)) = generation.plane.listener(connection.listener) else {
        return;
    };
    let (Some(log), Some(_)) = (&listener.access_log, &parts.log) else {
        return;
    };
    let subject = Subject::Exchange(x);
    let Some(level) = level(log, (subject, x), x.ledger.log) else {
        return;
    };
    // What never became a request has the form of errors, as HAProxy has it.
    let format = match &log.error_format {
        Some(template) if x.head_len == 0 => Some(template),
        _ => template_of(log),
    };
    connection.worker.log(
        (generation, connection.listener),
        level,
        |formatter, out| match format {
            Some(template) => line(template, log.structured_data.as_ref(), x, out),
            None => {
                let structured = structured(log.structured_data.as_ref(), x, out);
                let mut record = record_of(x, total);
                record.leave_out(&log.without);
                formatter.exchange(&record, out);
                structured
            }
        },
    );
}

fn template_of(log: &AccessLog) -> Option<&Template<Resolved>> {
    match &log.format {
        LogFormat::Template(template) => Some(template),
        LogFormat::Json | LogFormat::Combined | LogFormat::Alb => None,
    }
}

/// The level of a record; `None`: it is not written.
fn level<F: Facts>(
    log: &AccessLog,
    (subject, facts): (Subject<'_>, &F),
    wish: LogWish,
) -> Option<LogLevel> {
    let abnormal = (log.only_faults || log.raise_faults) && subject.is_abnormal();
    if log.only_faults && !abnormal {
        return None;
    }
    if log.when.as_ref().is_some_and(|it| !holds(it, facts)) {
        return None;
    }
    match wish {
        LogWish::Silent => None,
        LogWish::Level(level) => Some(level),
        LogWish::AsConfigured if log.raise_faults && abnormal => Some(LogLevel::Err),
        LogWish::AsConfigured => Some(portway_model::defaults::ACCESS_LEVEL),
    }
}

/// Appends structured data and a line; how many bytes the former has.
fn line<F: Facts>(
    template: &Template<Resolved>,
    data: Option<&Template<Resolved>>,
    facts: &F,
    out: &mut Vec<u8>,
) -> usize {
    let structured = structured(data, facts, out);
    write_log_line(template, facts, out);
    out.push(b'\n');
    structured
}

fn structured<F: Facts>(data: Option<&Template<Resolved>>, facts: &F, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    if let Some(template) = data {
        write_log_line(template, facts, out);
    }
    out.len() - start
}

fn refused(x: &Exchange<'_>, code: &str) {
    let shard = x.connection.shard();
    if let Some(reason) = Refusal::ALL
        .iter()
        .position(|refusal| refusal.code() == code)
    {
        shard
            .listener(x.connection.listener.index())
            .refused(reason);
    }
    let limit = match code {
        _ if code == Refusal::UriTooLong.code() => Limit::RequestTargetBytes,
        _ if code == Refusal::HeadTooLarge.code() => Limit::RequestHeadBytes,
        _ if code == Refusal::TooManyFields.code() => Limit::RequestHeadBytes,
        _ => return,
    };
    shard.worker().limit_reached(limit);
}

fn record_of<'a>(x: &'a Exchange<'_>, total: Duration) -> Record<'a> {
    let connection = x.connection;
    let listener = connection.listener_name().unwrap_or("-");
    let head = x.request();
    let client = SocketAddr::new(x.client, x.source_end().port());
    let start = connection.worker.wall(x.ledger.started);
    let mut record = Record::new(start, listener, Some(client), x.destination_end().port());
    if x.head_len > 0 {
        record.method = head.method_bytes(x.arena());
        record.host = Some(head.authority(x.arena())).filter(|host| !host.is_empty());
        record.request_target = head.target(x.arena());
        record.version = x.client_version();
        record.user_agent = x.received(Known::UserAgent);
        record.referer = x.received(Known::Referer);
    }
    record.scheme = connection.scheme();
    record.tls = connection.tls.as_deref().map(|tls| Tls {
        version: tls.version,
        cipher: tls.cipher,
    });
    record.sni = connection.tls.as_deref().and_then(|tls| tls.sni.as_deref());
    record.request_id = x.id();
    record.trace_id = x.trace(TracePart::Trace);
    record.span_id = x.trace(TracePart::Span);
    record.status = x.ledger.status;
    record.body_bytes_in = x.ledger.body_in.get();
    record.bytes_in = x.ledger.body_in.get() + x.ledger.head_in;
    record.body_bytes_out = x.ledger.body_out.get();
    record.bytes_out = x.ledger.body_out.get() + x.ledger.head_out;
    record.upstream = upstream_of(connection, x);
    record.durations = durations(&x.ledger, total);
    record.fault = x.ledger.fault.map(|fault| fault.code);
    record.client_connection_reused = connection.exchanges > 0;
    record
}

fn upstream_of<'a>(connection: &'a Connection, x: &'a Exchange<'_>) -> Upstream<'a> {
    let Some((group, parts, _)) = x
        .attempt
        .group
        .and_then(|group| connection.generation.group(group))
    else {
        return Upstream::default();
    };
    let place = x.attempt.waited_for.or(x.attempt.target);
    let target = place.and_then(|target| group.targets.get(target));
    Upstream {
        target_group: Some(group.name.as_str()),
        target: target.map(|target| target.name.as_str()),
        address: place.and_then(|target| parts.targets.get(target)?.address()),
        attempts: x.ledger.attempts,
        earlier: x.scratch.earlier.names(),
        status: x.attempt.status,
        connection_reused: x.attempt.reused,
    }
}

fn durations(ledger: &Ledger, total: Duration) -> Durations {
    Durations {
        request_head: Some(ledger.head_took),
        queue: ledger.queued,
        connect: ledger.connected,
        response_head: ledger.response_head,
        total: Some(total),
    }
}

/// Counts that an exchange ran into a limit.
pub(crate) fn limit_reached(x: &Exchange<'_>, limit: Limit) {
    x.connection.shard().worker().limit_reached(limit);
}

/// Counts an attempt that failed.
pub(crate) fn attempt_failed(x: &mut Exchange<'_>, fault: Fault) {
    // A response that somebody else is to give in its place is one all the same.
    if fault.stage == Some(Stage::Refused) {
        answered(x, fault.status.unwrap_or(0));
        x.ledger.response_head = None;
        return settle(x);
    }
    if let (Some(group), Some(target)) = (x.attempt.group, x.attempt.target) {
        let asked = x.ledger.started + x.ledger.connected.unwrap_or_default();
        match failed_at(x.connection, (group, target), (fault, asked)) {
            // Its response had begun well.
            true => x.attempt.good.set(None),
            false => settle(x),
        }
    }
}

/// A response that nothing was wrong with so far is taken for a good one.
pub(crate) fn settle(x: &Exchange<'_>) {
    if let Some(took) = x.attempt.good.take()
        && let Some(at) = x.attempt.group.zip(x.attempt.target)
        && let Some(state) = state_of(x.connection, at)
    {
        state.was_whole(took);
    }
}

/// Counts an attempt at this target that was `asked` then and failed; true where that says something of the target.
pub(crate) fn failed_at(
    connection: &Connection,
    at: (GroupId, usize),
    (fault, asked): (Fault, Instant),
) -> bool {
    if fault.is_failed_connect() {
        connection.of_target(at.0, at.1).connect_failures.add(1);
    }
    let saw = |seen| {
        if let Some(state) = state_of(connection, at) {
            state.saw(seen, || asked.elapsed());
        }
    };
    match fault.code {
        // It closed what nobody used, as it may.
        FaultCode::TargetClosed if fault.stage == Some(Stage::ReusedClosedBeforeResponse) => {
            return false;
        }
        FaultCode::TargetClosed => saw(Seen::Closed),
        FaultCode::ResponseTimeout | FaultCode::AttemptTimeout
            if fault.stage != Some(Stage::Connect) =>
        {
            saw(Seen::ResponseTimeout);
        }
        FaultCode::BadResponse(_) => saw(Seen::BadResponse),
        _ => return false,
    }
    connection.of_target(at.0, at.1).failed_attempts.add(1);
    true
}

/// Counts what a target replied to a request of our own.
pub(crate) fn replied(connection: &Connection, at: (GroupId, usize), status: u16, took: Duration) {
    if let Some(state) = state_of(connection, at)
        && let Some(took) = state.answered(status, || took)
    {
        state.was_whole(took);
    }
    let metrics = connection.of_group(at.0);
    metrics.requests.count(status);
    metrics.response_time.observe(took);
    let metrics = connection.of_target(at.0, at.1);
    metrics.requests.count(status);
    metrics.durations.counters().response.observe(took);
}

/// How long the target took for the head of its response. How long the client took for its body is not the target's time.
fn answer_time(ledger: &Ledger) -> Duration {
    let (Some(head), Some(connected)) = (ledger.response_head, ledger.connected) else {
        return Duration::ZERO;
    };
    let asked = match (ledger.uploaded.get(), ledger.body_in.get()) {
        (None, 0) => connected,
        // It did not wait for all of it.
        (None, _) => head,
        (Some(uploaded), _) => uploaded.max(connected),
    };
    head.saturating_sub(asked)
}

/// Notes the response of the target of this attempt.
pub(crate) fn answered(x: &Exchange<'_>, status: u16) {
    let at = x.attempt.group.zip(x.attempt.target);
    if let Some(state) = at.and_then(|at| state_of(x.connection, at)) {
        let good = state.answered(status, || answer_time(&x.ledger));
        if good.is_some() {
            x.attempt.good.set(good);
        }
    }
}

fn state_of(connection: &Connection, (group, target): (GroupId, usize)) -> Option<&TargetState> {
    let (_, parts, _) = connection.generation.group(group)?;
    parts.targets.get(target).map(|it| &**it)
}

/// Counts that another attempt follows one that failed so.
pub(crate) fn retried(x: &Exchange<'_>, fault: Fault) {
    if let Some(group) = x.attempt.group {
        let retries = &x.connection.of_group(group).retries;
        retries.count(retry_reason(fault));
        if x.scratch.body_limits.held {
            retries.with_body.add(1);
        }
        if let Some(target) = x.attempt.target {
            x.connection.of_target(group, target).retries.add(1);
        }
    }
}

/// The same of an attempt at this target, without a body.
pub(crate) fn retried_at(connection: &Connection, (group, target): (GroupId, usize), fault: Fault) {
    let retries = &connection.of_group(group).retries;
    retries.count(retry_reason(fault));
    connection.of_target(group, target).retries.add(1);
}

fn retry_reason(fault: Fault) -> RetryReason {
    match (fault.stage, fault.code) {
        (Some(Stage::Connect), _) => RetryReason::Connect,
        (Some(Stage::Refused), _) => RetryReason::Status,
        (_, FaultCode::ResponseTimeout | FaultCode::AttemptTimeout) => RetryReason::Timeout,
        (_, FaultCode::BadResponse(_)) => RetryReason::BadResponse,
        (Some(Stage::ReusedClosedBeforeResponse), _) => RetryReason::ReusedClosed,
        _ => RetryReason::NoResponse,
    }
}

/// Bytes that were counted while they flowed: what an hour-long tunnel moves must not appear in one piece at its end.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    up: Cell<u64>,
    down: Cell<u64>,
}

impl Counted {
    /// Counts what has come since; `up` and `down` are totals.
    pub(crate) fn count(&self, flow: &Flow<'_>, up: u64, down: u64) {
        flow.add(up - self.up.replace(up), down - self.down.replace(down));
    }

    /// Bytes from the client.
    pub(crate) fn up(&self) -> u64 {
        self.up.get()
    }

    /// Bytes to the client.
    pub(crate) fn down(&self) -> u64 {
        self.down.get()
    }
}

/// Records a connection that was closed before anything could be served on it.
pub(crate) fn closed_early(
    connection: &Connection,
    started: Instant,
    fault: Fault,
    handshake_error: Option<&'static str>,
) {
    close_connection(
        connection,
        &Passed {
            fault: Some(fault),
            number: connection.next_number(),
            handshake_error,
            ..Passed::new(started)
        },
    );
}

/// What a TCP connection came to.
pub(crate) struct Passed {
    pub(crate) started: Instant,
    pub(crate) counted: Counted,
    pub(crate) fault: Option<Fault>,
    pub(crate) group: Option<portway_model::snapshot::GroupId>,
    pub(crate) target: Option<usize>,
    pub(crate) attempts: u32,
    /// Targets that were tried before the one of now.
    pub(crate) earlier: Earlier,
    /// How long it took until a target was connected.
    pub(crate) connected: Option<std::time::Duration>,
    /// How long it took until it left the queue, where it came to one.
    pub(crate) queued: Option<std::time::Duration>,
    /// Connections that waited before it, for the group and for the target.
    pub(crate) queue_positions: (u32, u32),
    /// Another target took over.
    pub(crate) redispatched: bool,
    /// Its number among all exchanges and connections of the process; 0 where nobody asks.
    pub(crate) number: u32,
    /// Our address towards the target; known only where a log wants it.
    pub(crate) upstream_local: Option<SocketAddr>,
    /// What was agreed on with the target.
    pub(crate) upstream_tls: Option<Arc<TlsDetails>>,
    /// HAProxy's words for a handshake that failed.
    pub(crate) handshake_error: Option<&'static str>,
    /// Its record was written before its end.
    pub(crate) logged: bool,
    /// Its record is being written before its end.
    pub(crate) early: bool,
}

impl Passed {
    /// A connection from which nothing has come yet.
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            counted: Counted::default(),
            fault: None,
            group: None,
            target: None,
            attempts: 0,
            earlier: Earlier::default(),
            connected: None,
            queued: None,
            queue_positions: (0, 0),
            redispatched: false,
            number: 0,
            upstream_local: None,
            upstream_tls: None,
            handshake_error: None,
            logged: false,
            early: false,
        }
    }
}

/// Closes a TCP connection: counts it and writes its record.
pub(crate) fn close_connection(connection: &Connection, passed: &Passed) {
    let shard = connection.shard();
    let metrics = shard.listener(connection.listener.index());
    if let Some(fault) = passed.fault {
        metrics.fault(fault.code);
    }
    statistics::end_of_connection(connection, passed);
    if passed.group.is_some() {
        let lasted = passed.started.elapsed();
        metrics.connection_duration.observe(lasted);
    }
    if !passed.logged {
        log_connection(connection, passed);
    }
}

/// Writes the record of a TCP connection before its end, where its listener is to log so: its target is connected.
pub(crate) fn log_connection_early(connection: &Connection, passed: &mut Passed) {
    let listener = connection.generation.plane.listener(connection.listener);
    let log = listener.and_then(|(listener, _)| listener.access_log.as_ref());
    if log.is_some_and(|log| log.early) {
        passed.early = true;
        log_connection(connection, passed);
        passed.early = false;
        passed.logged = true;
    }
}

/// Writes the record of a TCP connection, where it is to be written.
fn log_connection(connection: &Connection, passed: &Passed) {
    let generation = &connection.generation;
    let Some((listener, parts)) = generation.plane.listener(connection.listener) else {
        return;
    };
    let (Some(log), Some(_)) = (&listener.access_log, &parts.log) else {
        return;
    };
    let nothing_came = passed.group.is_some() && !passed.early && passed.counted.up() == 0;
    if nothing_came && !log.log_null {
        return;
    }
    let subject = Subject::Connection(connection, passed);
    let facts = ended(connection, passed);
    let Some(level) = level(log, (subject, &facts), LogWish::AsConfigured) else {
        return;
    };
    let format = match &log.error_format {
        Some(template) if passed.group.is_none() => Some(template),
        _ => template_of(log),
    };
    // HAProxy has a form of its own for what failed before there was anything to serve (its manual, 8.2.6).
    let failed = passed
        .handshake_error
        .filter(|_| log.error_format.is_none() && connection.own_answers() == OwnAnswers::Haproxy);
    let from = (&*connection.generation, connection.listener);
    connection
        .worker
        .log(from, level, |formatter, out| match (failed, format) {
            (Some(failed), _) => {
                let structured = structured(log.structured_data.as_ref(), &facts, out);
                write_failed(subject, failed, out);
                structured
            }
            (None, Some(template)) => line(template, log.structured_data.as_ref(), &facts, out),
            (None, None) => {
                let structured = structured(log.structured_data.as_ref(), &facts, out);
                let mut record = connection_record(connection, listener, passed);
                record.leave_out(&log.without);
                formatter.connection(&record, out);
                structured
            }
        });
}

/// `CLIENT:PORT [DATE] LISTENER/SOCKET: WHAT`.
fn write_failed(subject: Subject<'_>, failed: &str, out: &mut Vec<u8>) {
    subject.write(LogValue::ClientAddress, out);
    out.push(b':');
    subject.write(LogValue::ClientPort, out);
    out.extend_from_slice(b" [");
    subject.write(LogValue::AcceptDate, out);
    out.extend_from_slice(b"] ");
    out.extend_from_slice(subject.listener().as_bytes());
    out.push(b'/');
    number(subject.connection().socket_number.into(), out);
    out.extend_from_slice(b": ");
    out.extend_from_slice(failed.as_bytes());
    out.push(b'\n');
}

fn connection_record<'a>(
    connection: &'a Connection,
    listener: &'a Listener,
    passed: &'a Passed,
) -> ConnectionRecord<'a> {
    let start = connection.worker.wall(passed.started);
    let peer = connection.peer;
    let client = Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
    let mut record = ConnectionRecord::new(
        start,
        listener.known_as.as_str(),
        client,
        connection.local.port(),
    );
    record.tls = connection.tls.as_deref().map(|tls| Tls {
        version: tls.version,
        cipher: tls.cipher,
    });
    record.sni = connection.tls.as_deref().and_then(|tls| tls.sni.as_deref());
    record.bytes_in = passed.counted.up();
    record.bytes_out = passed.counted.down();
    if let Some((group, states, _)) = passed
        .group
        .and_then(|group| connection.generation.group(group))
    {
        let target = passed.target.and_then(|target| group.targets.get(target));
        record.upstream = Upstream {
            target_group: Some(group.name.as_str()),
            target: target.map(|target| target.name.as_str()),
            address: passed
                .target
                .and_then(|target| states.targets.get(target)?.address()),
            attempts: passed.attempts,
            earlier: passed.earlier.names(),
            status: None,
            connection_reused: false,
        };
    }
    record.durations.total = Some(passed.started.elapsed());
    record.fault = passed.fault.map(|fault| fault.code);
    record
}
