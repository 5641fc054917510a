//! The counters of one worker.
//!
//! Every block of counters begins on a cache line of its own, so that two workers never write to the same one.

use std::collections::HashMap;
use std::sync::Arc;

use super::cell::{Average, Counter, Gauge, Histogram, Level, LongHistogram};
use super::compressed::Compressed;
use super::family::{Limit, PerLimit};
use super::handshake::HandshakeFailures;
use super::retries::Retries;
use super::rules::RuleCounters;
use super::target::{Late, TargetDurations, TargetTls};
use super::{Kept, Names};
use crate::record::FaultCode;

/// Counters by class of status: 1xx to 5xx.
#[derive(Debug, Default)]
pub struct StatusClasses([Counter; 5]);

impl StatusClasses {
    /// The label values.
    pub(super) const LABELS: [&'static str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

    /// Counts a status; what is not in 100..=599 is not counted.
    #[inline]
    pub fn count(&self, status: u16) {
        if let Some(counter) = self.0.get((status / 100).wrapping_sub(1) as usize) {
            counter.add(1);
        }
    }

    /// All classes together.
    pub fn total(&self) -> u64 {
        self.0.iter().map(Counter::value).sum()
    }

    pub(super) fn value(&self, class: usize) -> u64 {
        self.0.get(class).map_or(0, Counter::value)
    }
}

/// What a worker counts by itself.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct WorkerMetrics {
    /// Errors of accept(2) other than that nothing waits.
    pub accept_errors: Counter,
    /// Records of the access log that the writer did not take.
    pub access_log_dropped: Counter,
    /// Spans that the writer did not take.
    pub spans_dropped: Counter,
    /// Ticks of its clock, ten a second: a worker whose ticks stand hangs.
    pub ticks: Counter,
    limits: PerLimit<Counter>,
}

impl WorkerMetrics {
    /// Counts that a limit was reached.
    pub fn limit_reached(&self, limit: Limit) {
        if let Some(counter) = self.limits.of(limit) {
            counter.add(1);
        }
    }

    pub(super) fn limit(&self, limit: Limit) -> u64 {
        self.limits.of(limit).map_or(0, Counter::value)
    }
}

/// What a worker counts for a listener.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ListenerMetrics {
    /// Accepted connections.
    pub connections: Counter,
    /// Open connections.
    pub connections_open: Gauge,
    /// Requests by status sent.
    pub requests: StatusClasses,
    /// Requests being served.
    pub requests_in_flight: Gauge,
    /// Bytes from clients.
    pub received_bytes: Counter,
    /// Bytes to clients.
    pub sent_bytes: Counter,
    /// Handshakes that succeeded.
    pub tls_handshakes_ok: Counter,
    /// Handshakes that failed.
    pub tls_handshakes_failed: HandshakeFailures,
    /// Handshakes that resumed a session.
    pub tls_resumptions: Counter,
    /// How long handshakes took that succeeded.
    pub tls_handshake_time: Histogram,
    /// Durations of requests.
    pub request_duration: Histogram,
    /// Durations of TCP connections that went to a group.
    pub connection_duration: LongHistogram,
    /// Requests that ended without a status.
    pub unanswered: Counter,
    /// Requests that a rule answered.
    pub intercepted: Counter,
    /// Requests that a rule refused.
    pub denied_requests: Counter,
    /// Responses that a rule refused.
    pub denied_responses: Counter,
    /// Connections that a rule refused.
    pub denied_connections: Counter,
    /// Responses that were compressed.
    pub compressed: Compressed,
    /// Copies of requests for other groups.
    pub mirrored: Mirrored,
    /// Tokens of requests.
    pub tokens: Tokens,
    /// Proofs of Digest authorization.
    pub proofs: Proofs,
    faults: [Counter; FaultCode::ALL.len()],
    refused: Box<[Counter]>,
}

/// What became of copies of requests.
#[derive(Debug, Default)]
pub struct Mirrored {
    /// Their target gave an answer.
    pub answered: Counter,
    /// It gave none, or too long a one.
    pub failed: Counter,
    /// They were not made: too many were on their way, or the body was too long.
    pub dropped: Counter,
}

/// Counts one of the word among these.
fn count_word(counters: &[Counter], words: &[&str], word: &str) {
    let at = words.iter().position(|it| *it == word);
    if let Some(counter) = at.and_then(|at| counters.get(at)) {
        counter.add(1);
    }
}

/// What was found of tokens.
#[derive(Debug, Default)]
pub struct Tokens([Counter; Tokens::RESULTS.len()]);

impl Tokens {
    /// The result of a token that is believed.
    pub const VALID: &'static str = "valid";

    /// The label values.
    pub const RESULTS: [&'static str; 12] = [
        Tokens::VALID,
        "missing",
        "malformed",
        "algorithm",
        "unknown_key",
        "signature",
        "expired",
        "not_yet_valid",
        "issuer",
        "audience",
        "claims",
        "no_keys",
    ];

    /// Counts one of them.
    pub fn count(&self, result: &str) {
        count_word(&self.0, &Self::RESULTS, result);
    }

    pub(super) fn value(&self, at: usize) -> u64 {
        self.0.get(at).map_or(0, Counter::value)
    }
}

/// What was found of proofs of Digest authorization.
#[derive(Debug, Default)]
pub struct Proofs([Counter; Proofs::RESULTS.len()]);

impl Proofs {
    /// It is right, and came for the first time.
    pub const VALID: &'static str = "valid";
    /// The request has no `Authorization`.
    pub const MISSING: &'static str = "missing";
    /// It is none, or not right.
    pub const WRONG: &'static str = "wrong";
    /// It is right, and came before, or with a nonce that is too old, forgotten, or not ours.
    pub const STALE: &'static str = "stale";

    /// The label values.
    pub const RESULTS: [&'static str; 4] =
        [Proofs::VALID, Proofs::MISSING, Proofs::WRONG, Proofs::STALE];

    /// Counts one of them.
    pub fn count(&self, result: &str) {
        count_word(&self.0, &Self::RESULTS, result);
    }

    pub(super) fn value(&self, at: usize) -> u64 {
        self.0.get(at).map_or(0, Counter::value)
    }
}

impl ListenerMetrics {
    /// Counts a fault.
    pub fn fault(&self, fault: FaultCode) {
        if let Some(counter) = self.faults.get(fault.index()) {
            counter.add(1);
        }
    }

    /// Counts a refused request by the number of its reason in [`Names::refusals`].
    pub fn refused(&self, reason: usize) {
        debug_assert!(reason < self.refused.len(), "no refusal {reason}");
        if let Some(counter) = self.refused.get(reason) {
            counter.add(1);
        }
    }

    pub(super) fn fault_count(&self, index: usize) -> u64 {
        self.faults.get(index).map_or(0, Counter::value)
    }

    pub(super) fn refused_count(&self, reason: usize) -> u64 {
        self.refused.get(reason).map_or(0, Counter::value)
    }
}

/// What a worker counts for a target group.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct GroupMetrics {
    /// Requests by status of the target.
    pub requests: StatusClasses,
    /// Attempts after the first, and bodies that are held for them.
    pub retries: Retries,
    /// Those that did not follow because the budget was spent.
    pub retries_refused: Counter,
    /// Requests that wait for room.
    pub queued: Gauge,
    /// How long those that waited did.
    pub queue_time: Histogram,
    /// Durations up to the response head.
    pub response_time: Histogram,
    /// Exchanges or TCP connections that came to the group.
    pub sessions: Counter,
    /// Those that are not over.
    pub sessions_open: Level,
    /// Exchanges by the status that the client was sent.
    pub answers: StatusClasses,
    /// Exchanges that ended without a status.
    pub unanswered: Counter,
    /// Bytes from clients.
    pub received_bytes: Counter,
    /// Bytes to clients.
    pub sent_bytes: Counter,
    /// Requests that a rule refused.
    pub denied_requests: Counter,
    /// Responses that a rule refused.
    pub denied_responses: Counter,
    /// What went wrong.
    pub failures: Failures,
    /// Attempts at another target than the first.
    pub redispatches: Counter,
    /// Responses that were compressed.
    pub compressed: Compressed,
}

/// What may go wrong on the way to a target, as HAProxy counts it.
#[derive(Debug, Default)]
pub struct Failures {
    /// Exchanges that ended because no connection to a target came about.
    pub connection: Counter,
    /// Responses that were not understood, or did not come.
    pub response: Counter,
    /// Exchanges that the client gave up.
    pub client_aborts: Counter,
    /// Responses that the target cut off.
    pub target_aborts: Counter,
}

/// How long the parts of an exchange took.
#[derive(Debug, Default)]
pub struct Averages {
    /// How many exchanges were taken into account.
    pub count: Counter,
    /// Waiting for a free place.
    pub queue: Average,
    /// Connecting.
    pub connect: Average,
    /// From there to the head of the response.
    pub response: Average,
    /// All of it.
    pub total: Average,
}

/// What a worker counts for a target.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct TargetMetrics {
    /// Requests by status of the target.
    pub requests: StatusClasses,
    /// Requests or TCP connections being served.
    pub requests_in_flight: Gauge,
    /// Connections that did not come about.
    pub connect_failures: Counter,
    /// Attempts that failed behind the connection.
    pub failed_attempts: Counter,
    /// Connections made.
    pub connections: Counter,
    /// Requests over a connection that was open already.
    pub connections_reused: Counter,
    /// Open connections, idle ones included.
    pub connections_open: Gauge,
    /// Idle connections.
    pub connections_idle: Gauge,
    /// Attempts at it.
    pub sessions: Counter,
    /// How often its group's algorithm chose it.
    pub selections: Counter,
    /// Bytes from clients.
    pub received_bytes: Counter,
    /// Bytes to clients.
    pub sent_bytes: Counter,
    /// Responses that a rule refused.
    pub denied_responses: Counter,
    /// What went wrong.
    pub failures: Failures,
    /// Attempts that failed and were followed by another.
    pub retries: Counter,
    /// Those of them that were followed by one at another target.
    pub redispatches: Counter,
    /// How long exchanges took.
    pub times: Averages,
    /// How long it took to connect and to answer.
    pub durations: Late<TargetDurations>,
    /// How long those that waited for it alone did.
    pub queue_time: Late<Histogram>,
    /// TLS with it.
    pub tls: Late<TargetTls>,
}

/// All counters of one worker. Whoever counts often may keep the `Arc` of a block: it stays the right one over reloads.
#[derive(Debug)]
pub struct Shard {
    pub(super) worker: Arc<WorkerMetrics>,
    pub(super) listeners: Box<[Arc<ListenerMetrics>]>,
    pub(super) rules: Box<[RuleCounters]>,
    pub(super) groups: Box<[Group]>,
    pub(super) group_rules: Box<[RuleCounters]>,
    /// Where a number beyond the lists counts, which nobody reads.
    nobody: Nobody,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) metrics: Arc<GroupMetrics>,
    pub(super) targets: Box<[Arc<TargetMetrics>]>,
}

#[derive(Debug, Default)]
struct Nobody {
    rules: RuleCounters,
    listener: Arc<ListenerMetrics>,
    group: Arc<GroupMetrics>,
    target: Arc<TargetMetrics>,
}

impl Shard {
    pub(super) fn new(names: &Names, kept: Kept<'_>) -> Shard {
        // Listeners of one name count together.
        let mut made: HashMap<&str, Arc<ListenerMetrics>> = HashMap::new();
        let listeners = names.listeners.iter().map(|name| {
            let new = || match kept.listeners.get(name.as_str()) {
                Some(&known) => known.clone(),
                None => Arc::new(ListenerMetrics {
                    refused: names.refusals.iter().map(|_| Counter::default()).collect(),
                    ..ListenerMetrics::default()
                }),
            };
            made.entry(name).or_insert_with(new).clone()
        });
        let groups = names.groups.iter().map(|group| {
            let known = kept.groups.get(group.name.as_str());
            let target = |target: &String| {
                let known = kept.targets.get(&(group.name.as_str(), target.as_str()));
                known.map_or_else(Arc::default, |&known| known.clone())
            };
            Group {
                metrics: known.map_or_else(Arc::default, |&known| known.clone()),
                targets: group.targets.iter().map(target).collect(),
            }
        });
        Shard {
            worker: kept.worker.cloned().unwrap_or_default(),
            listeners: listeners.collect(),
            rules: RuleCounters::all(names.rules_of_listeners(), &kept.rules),
            groups: groups.collect(),
            group_rules: RuleCounters::all(names.rules_of_groups(), &kept.group_rules),
            nobody: Nobody::default(),
        }
    }

    /// What the worker counts by itself.
    pub fn worker(&self) -> &Arc<WorkerMetrics> {
        &self.worker
    }

    /// The counters of a listener, by its number in [`Names`]. A number beyond it is a mistake of the caller: it stops a
    /// debug build, and counts for nobody in a release build.
    #[inline]
    pub fn listener(&self, listener: usize) -> &Arc<ListenerMetrics> {
        let found = self.listeners.get(listener);
        debug_assert!(found.is_some(), "no listener {listener}");
        found.unwrap_or(&self.nobody.listener)
    }

    /// How many requests a rule of a listener took, by the number of the listener and the rule's place in its list.
    #[inline]
    pub fn rule(&self, listener: usize, rule: usize) -> &Counter {
        let rules = self.rules.get(listener).unwrap_or(&self.nobody.rules);
        rules.of(rule)
    }

    /// How many requests a rule of a target group decided, by the number of the group and the rule's place in its list.
    #[inline]
    pub fn group_rule(&self, group: usize, rule: usize) -> &Counter {
        let rules = self.group_rules.get(group);
        rules.unwrap_or(&self.nobody.rules).of(rule)
    }

    /// The counters of a target group, by its number; see [`Self::listener`].
    #[inline]
    pub fn group(&self, group: usize) -> &Arc<GroupMetrics> {
        let found = self.groups.get(group);
        debug_assert!(found.is_some(), "no target group {group}");
        found.map_or(&self.nobody.group, |group| &group.metrics)
    }

    /// The counters of a target, by the number of its group and its own; see [`Self::listener`].
    #[inline]
    pub fn target(&self, group: usize, target: usize) -> &Arc<TargetMetrics> {
        let found = self.groups.get(group).and_then(|g| g.targets.get(target));
        debug_assert!(found.is_some(), "no target {target} in group {group}");
        found.unwrap_or(&self.nobody.target)
    }
}
