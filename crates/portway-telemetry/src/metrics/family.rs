//! The list: every metric with its name, kind, labels and help, and every limit that can be reached.

/// A metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "each member is described by its help text, once"
)]
pub enum Family {
    BuildVersion,
    StartTime,
    Workers,
    MemoryBudget,
    MemoryUsed,
    MemoryResident,
    Pipes,
    SplicedBytes,
    PipesMissing,
    Generation,
    Reloads,
    Upgrades,
    Spans,
    KeyFetches,
    OcspFetches,
    CertificateNotAfter,
    CertificateOcspUntil,
    RevocationListNextUpdate,
    Draining,
    Drains,
    DrainCutConnections,
    NameQueries,
    NameAge,
    AcceptErrors,
    AccessLogDropped,
    LogRecords,
    LimitReached,
    ListenerConnections,
    ListenerConnectionsOpen,
    ListenerRequests,
    ListenerRuleRequests,
    ListenerRequestsInFlight,
    ListenerReceivedBytes,
    ListenerSentBytes,
    ListenerRefusedRequests,
    ListenerFaults,
    ListenerTlsHandshakes,
    ListenerTlsFailures,
    ListenerTlsResumptions,
    ListenerTlsTime,
    ListenerCompressedResponses,
    ListenerUncompressedBytes,
    ListenerCompressedBytes,
    ListenerMirrored,
    ListenerTokens,
    ListenerProofs,
    ListenerRequestDuration,
    ListenerConnectionDuration,
    GroupRequests,
    GroupRuleRequests,
    GroupReceivedBytes,
    GroupSentBytes,
    GroupCompressedResponses,
    GroupUncompressedBytes,
    GroupCompressedBytes,
    GroupRetries,
    GroupRetriesRefused,
    /// `portway_target_group_retried_failures_total`
    GroupRetriedFailures,
    /// `portway_target_group_held_bodies_total`
    GroupHeldBodies,
    /// `portway_target_group_held_body_retries_total`
    GroupHeldBodyRetries,
    GroupQueued,
    GroupQueueTime,
    GroupResponseTime,
    GroupTlsTime,
    TargetRequests,
    TargetRequestsInFlight,
    TargetConnectFailures,
    /// `portway_target_failed_attempts_total`
    TargetFailedAttempts,
    TargetConnections,
    TargetConnectionsReused,
    TargetConnectionsOpen,
    TargetConnectionsIdle,
    TargetResponseTime,
    TargetConnectTime,
    TargetReceivedBytes,
    TargetSentBytes,
    TargetQueued,
    TargetQueueTime,
    TargetTlsHandshakes,
    TargetTlsFailures,
    TargetTlsResumptions,
    CircuitState,
    CircuitChanges,
    CircuitRefused,
    TargetHealth,
    TargetChecks,
    TargetCheckTime,
    TargetEjections,
    TableEntries,
    TableSize,
    TableKeys,
}

/// The kinds of metrics (Prometheus text format 0.0.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Grows and shrinks.
    Gauge,
    /// Counts by buckets of duration.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Name, kind, labels, help.
type Described = (&'static str, Kind, &'static [&'static str], &'static str);

impl Family {
    /// Every family, in the order of the rendered text.
    pub const ALL: [Family; 91] = [
        Family::BuildVersion,
        Family::StartTime,
        Family::Workers,
        Family::MemoryBudget,
        Family::MemoryUsed,
        Family::MemoryResident,
        Family::Pipes,
        Family::SplicedBytes,
        Family::PipesMissing,
        Family::Generation,
        Family::Reloads,
        Family::Upgrades,
        Family::Spans,
        Family::KeyFetches,
        Family::OcspFetches,
        Family::CertificateNotAfter,
        Family::CertificateOcspUntil,
        Family::RevocationListNextUpdate,
        Family::Draining,
        Family::Drains,
        Family::DrainCutConnections,
        Family::NameQueries,
        Family::NameAge,
        Family::AcceptErrors,
        Family::AccessLogDropped,
        Family::LogRecords,
        Family::LimitReached,
        Family::ListenerConnections,
        Family::ListenerConnectionsOpen,
        Family::ListenerRequests,
        Family::ListenerRuleRequests,
        Family::ListenerRequestsInFlight,
        Family::ListenerReceivedBytes,
        Family::ListenerSentBytes,
        Family::ListenerRefusedRequests,
        Family::ListenerFaults,
        Family::ListenerTlsHandshakes,
        Family::ListenerTlsFailures,
        Family::ListenerTlsResumptions,
        Family::ListenerTlsTime,
        Family::ListenerCompressedResponses,
        Family::ListenerUncompressedBytes,
        Family::ListenerCompressedBytes,
        Family::ListenerMirrored,
        Family::ListenerTokens,
        Family::ListenerProofs,
        Family::ListenerRequestDuration,
        Family::ListenerConnectionDuration,
        Family::GroupRequests,
        Family::GroupRuleRequests,
        Family::GroupReceivedBytes,
        Family::GroupSentBytes,
        Family::GroupCompressedResponses,
        Family::GroupUncompressedBytes,
        Family::GroupCompressedBytes,
        Family::GroupRetries,
        Family::GroupRetriesRefused,
        Family::GroupRetriedFailures,
        Family::GroupHeldBodies,
        Family::GroupHeldBodyRetries,
        Family::GroupQueued,
        Family::GroupQueueTime,
        Family::GroupResponseTime,
        Family::GroupTlsTime,
        Family::TargetRequests,
        Family::TargetRequestsInFlight,
        Family::TargetConnectFailures,
        Family::TargetFailedAttempts,
        Family::TargetConnections,
        Family::TargetConnectionsReused,
        Family::TargetConnectionsOpen,
        Family::TargetConnectionsIdle,
        Family::TargetResponseTime,
        Family::TargetConnectTime,
        Family::TargetReceivedBytes,
        Family::TargetSentBytes,
        Family::TargetQueued,
        Family::TargetQueueTime,
        Family::TargetTlsHandshakes,
        Family::TargetTlsFailures,
        Family::TargetTlsResumptions,
        Family::CircuitState,
        Family::CircuitChanges,
        Family::CircuitRefused,
        Family::TargetHealth,
        Family::TargetChecks,
        Family::TargetCheckTime,
        Family::TargetEjections,
        Family::TableEntries,
        Family::TableSize,
        Family::TableKeys,
    ];

    /// Name in the text format.
    pub const fn name(self) -> &'static str {
        self.described().0
    }

    /// Kind.
    pub const fn kind(self) -> Kind {
        self.described().1
    }

    /// Names of the labels of its samples.
    pub const fn labels(self) -> &'static [&'static str] {
        self.described().2
    }

    /// What it counts, and in what unit.
    pub const fn help(self) -> &'static str {
        self.described().3
    }

    #[rustfmt::skip] // a table
    const fn described(self) -> Described {
        use Kind::{Counter, Gauge, Histogram};
        const LISTENER: &[&str] = &["listener"];
        const GROUP: &[&str] = &["target_group"];
        const TARGET: &[&str] = &["target_group", "target"];
        const TABLE: &[&str] = &["stick_table"];
        match self {
            Family::BuildVersion => ("portway_build_info", Gauge, &["version"], "Always 1; the version is a label."),
            Family::StartTime => ("portway_start_time_seconds", Gauge, &[], "Start of the process, in seconds since 1970-01-01 UTC."),
            Family::Workers => ("portway_workers", Gauge, &[], "Number of data workers."),
            Family::MemoryBudget => ("portway_memory_budget_bytes", Gauge, &[], "What connections and exchanges may take together, in bytes; 0 is no limit."),
            Family::MemoryUsed => ("portway_memory_used_bytes", Gauge, &["by"], "What they take, in bytes: buffers are counted, exchanges, connections and tls estimated by their number."),
            Family::MemoryResident => ("portway_resident_memory_bytes", Gauge, &[], "Memory of the process as the system sees it, all that the budget does not count included, in bytes."),
            Family::Pipes => ("portway_pipes", Gauge, &["state"], "What bulk is moved through inside the kernel, in pipes: lent to a transfer, or free."),
            Family::SplicedBytes => ("portway_spliced_bytes_total", Counter, &[], "What went from socket to socket through a pipe, without a copy, in bytes."),
            Family::PipesMissing => ("portway_pipes_missing_total", Counter, &[], "Bulk that was copied because there was no pipe for it, in transfers."),
            Family::Generation => ("portway_generation", Gauge, &[], "Number of the snapshot in use; one more with each reload."),
            Family::Upgrades => ("portway_upgrades_total", Counter, &["result"], "Binary upgrades, in upgrades: ok is 1 where this process took over from another, failed are those after which it went on."),
            Family::Reloads => ("portway_reloads_total", Counter, &["result"], "Reloads of the configuration, ok or failed, in reloads; one that failed has changed nothing."),
            Family::Spans => ("portway_spans_total", Counter, &["result"], "Spans of sampled requests, sent to the collector, failed because it did not take them, or dropped because the writer was behind, in spans."),
            Family::KeyFetches => ("portway_token_key_fetches_total", Counter, &["result"], "Fetches of keys that tokens are signed with, ok or failed, in fetches; the last good keys stay where one fails."),
            Family::OcspFetches => ("portway_ocsp_fetches_total", Counter, &["result"], "Answers of OCSP that were asked for, in fetches: ok, failed (none came), refused (it may not be shown: of another certificate, not signed, over), revoked."),
            Family::CertificateNotAfter => ("portway_certificate_not_after_seconds", Gauge, &["certificate"], "When a certificate of the configuration expires, in seconds since 1970-01-01 UTC; of more than a thousand those that do first."),
            Family::CertificateOcspUntil => ("portway_certificate_ocsp_until_seconds", Gauge, &["certificate"], "Until when the answer of OCSP is true that clients are shown with a certificate, in seconds since 1970-01-01 UTC; 0 where one is wanted and there is none."),
            Family::RevocationListNextUpdate => ("portway_revocation_list_next_update_seconds", Gauge, &["issuer"], "When the first of the revocation lists of an authority is over, in seconds since 1970-01-01 UTC: from then on none of its certificates is accepted; of more than a thousand those that are over first."),
            Family::Draining => ("portway_draining", Gauge, &["kind"], "What is left of the process, of listeners and of targets that drain, in connections; for targets in requests or TCP connections."),
            Family::Drains => ("portway_drains_total", Counter, &["kind", "result"], "Drains of listeners and targets that are over, ended by themselves or cut_off at their deadline, in drains."),
            Family::DrainCutConnections => ("portway_drain_cut_connections_total", Counter, &["kind"], "What was left of listeners and targets at the deadline of their drain and was cut off, in connections; for targets in requests or TCP connections."),
            Family::NameQueries => ("portway_name_queries_total", Counter, &["result"], "Look-ups of names of targets at servers of names, IPv4 and IPv6 each, by how they went, in look-ups: found, nothing (no such name or no address), refused, timeout, failed."),
            Family::NameAge => ("portway_name_answer_age_seconds", Gauge, &[], "Age of the oldest answer that is in use for a name of a target, in seconds: it grows while servers of names do not answer."),
            Family::AcceptErrors => ("portway_accept_errors_total", Counter, &[], "Connections that the system could not hand over, in connections."),
            Family::AccessLogDropped => ("portway_access_log_dropped_total", Counter, &[], "Access log records dropped because the writer was behind, in records."),
            Family::LogRecords => ("portway_log_records_total", Counter, &["destination", "result"], "Records for a destination of logs, written, dropped because its writer was behind or could not write, or cut because they are longer than a message of syslog may be there, in records; those that are cut count as written or dropped too."),
            Family::LimitReached => ("portway_limit_reached_total", Counter, &["limit"], "Times that a limit was reached, by limit."),
            Family::ListenerConnections => ("portway_listener_connections_total", Counter, LISTENER, "Connections accepted, in connections."),
            Family::ListenerConnectionsOpen => ("portway_listener_connections_open", Gauge, LISTENER, "Connections open now, in connections."),
            Family::ListenerRequests => ("portway_listener_requests_total", Counter, &["listener", "code"], "Requests answered, by class of the status sent, in requests."),
            Family::ListenerRuleRequests => ("portway_listener_rule_requests_total", Counter, &["listener", "rule"], "Requests by the rule of their listener that answered them or sent them to a target group, in requests; a rule is called by the place of its text: after a reload of a file with lines put in above, a counter goes on for whichever rule stands at its place. Those of the first hundred rules; the rest is others, and rules that took none are left out."),
            Family::ListenerRequestsInFlight => ("portway_listener_requests_in_flight", Gauge, LISTENER, "Requests being served now, in requests."),
            Family::ListenerReceivedBytes => ("portway_listener_received_bytes_total", Counter, LISTENER, "Received from clients, without TLS, in bytes."),
            Family::ListenerSentBytes => ("portway_listener_sent_bytes_total", Counter, LISTENER, "Sent to clients, without TLS, in bytes."),
            Family::ListenerRefusedRequests => ("portway_listener_refused_requests_total", Counter, &["listener", "reason"], "Requests refused because of their form, by reason, in requests; reasons that did not occur are left out."),
            Family::ListenerFaults => ("portway_listener_faults_total", Counter, &["listener", "fault"], "Exchanges and TCP connections that ended with a fault, by fault, in records; faults that did not occur are left out."),
            Family::ListenerTlsHandshakes => ("portway_listener_tls_handshakes_total", Counter, &["listener", "result"], "TLS handshakes with clients, ok or failed, in handshakes."),
            Family::ListenerTlsFailures => ("portway_listener_tls_handshake_failures_total", Counter, &["listener", "reason"], "TLS handshakes with clients that failed, by reason, in handshakes; reasons that did not occur are left out."),
            Family::ListenerTlsResumptions => ("portway_listener_tls_resumptions_total", Counter, LISTENER, "TLS handshakes with clients that resumed a session, in handshakes."),
            Family::ListenerTlsTime => ("portway_listener_tls_handshake_seconds", Histogram, LISTENER, "How long TLS handshakes with clients took that succeeded, in seconds; left out where there was none."),
            Family::ListenerCompressedResponses => ("portway_listener_compressed_responses_total", Counter, LISTENER, "Responses that were compressed to their end, in responses; left out where none was compressed."),
            Family::ListenerUncompressedBytes => ("portway_listener_uncompressed_bytes_total", Counter, LISTENER, "Content of responses before it was compressed, without that of responses that were not, in bytes; left out where none was compressed."),
            Family::ListenerCompressedBytes => ("portway_listener_compressed_bytes_total", Counter, LISTENER, "What compression made of that content, in bytes; left out where none was compressed."),
            Family::ListenerMirrored => ("portway_listener_mirrored_requests_total", Counter, &["listener", "result"], "Copies of requests for other groups, answered, failed or dropped, in requests."),
            Family::ListenerProofs => ("portway_listener_digest_proofs_total", Counter, &["listener", "result"], "Proofs of Digest authorization that rules asked for, by what was found of them, in requests; what did not occur is left out."),
            Family::ListenerTokens => ("portway_listener_tokens_total", Counter, &["listener", "result"], "Tokens that rules asked for, by what was found of them, in requests; what did not occur is left out."),
            Family::ListenerRequestDuration => ("portway_listener_request_duration_seconds", Histogram, LISTENER, "From the first byte of a request to the last byte of its response, in seconds."),
            Family::ListenerConnectionDuration => ("portway_listener_connection_duration_seconds", Histogram, LISTENER, "How long TCP connections lasted, from when it was known to which target group they go to their end, in seconds; up to an hour in buckets of its own. Left out where there was none."),
            Family::GroupRequests => ("portway_target_group_requests_total", Counter, &["target_group", "code"], "Requests forwarded, by class of the status that the target sent, in requests."),
            Family::GroupRuleRequests => ("portway_target_group_rule_requests_total", Counter, &["target_group", "rule"], "Requests by the rule of the target group that decided them: it answered, refused or closed them, or chose their target; in requests. Rules are called, and left out, as those of listeners are; requests that no rule of the group decided are in none."),
            Family::GroupReceivedBytes => ("portway_target_group_received_bytes_total", Counter, GROUP, "Received from clients, in requests and TCP connections that went to the group, without TLS, in bytes."),
            Family::GroupSentBytes => ("portway_target_group_sent_bytes_total", Counter, GROUP, "Sent to clients, in requests and TCP connections that went to the group, without TLS, in bytes."),
            Family::GroupCompressedResponses => ("portway_target_group_compressed_responses_total", Counter, GROUP, "Responses of the group that were compressed to their end, in responses; left out where none was compressed."),
            Family::GroupUncompressedBytes => ("portway_target_group_uncompressed_bytes_total", Counter, GROUP, "Content of the group's responses before it was compressed, without that of responses that were not, in bytes; left out where none was compressed."),
            Family::GroupCompressedBytes => ("portway_target_group_compressed_bytes_total", Counter, GROUP, "What compression made of that content, in bytes; left out where none was compressed."),
            Family::GroupRetries => ("portway_target_group_retries_total", Counter, GROUP, "Attempts after the first one, in attempts."),
            Family::GroupRetriesRefused => ("portway_target_group_retries_refused_total", Counter, GROUP, "Attempts that did not follow because the budget of retries was spent, in attempts."),
            Family::GroupRetriedFailures => ("portway_target_group_retried_failures_total", Counter, &["target_group", "reason"], "Attempts that failed and were followed by another, by what failed, in attempts; reasons that did not occur are left out."),
            Family::GroupHeldBodies => ("portway_target_group_held_bodies_total", Counter, &["target_group", "result"], "Bodies of requests to a group with retry_body_bytes, in requests: held are those that can be sent again; too_long and memory (which was short) went on as they came. What did not occur is left out."),
            Family::GroupHeldBodyRetries => ("portway_target_group_held_body_retries_total", Counter, GROUP, "Attempts after the first one that sent a held body again, in attempts."),
            Family::GroupQueued => ("portway_target_group_queued", Gauge, GROUP, "Requests, or TCP connections, that wait for room at a target now, in requests."),
            Family::GroupQueueTime => ("portway_target_group_queue_seconds", Histogram, GROUP, "How long those that waited for room at a target did, whatever came of it, in seconds."),
            Family::GroupResponseTime => ("portway_target_group_response_time_seconds", Histogram, GROUP, "From the complete head of a request to the complete head of the target's response, in seconds."),
            Family::GroupTlsTime => ("portway_target_group_tls_handshake_seconds", Histogram, GROUP, "How long TLS handshakes with targets took that succeeded, health checks apart, in seconds; left out where there was none."),
            Family::TargetRequests => ("portway_target_requests_total", Counter, &["target_group", "target", "code"], "Requests forwarded, by class of the status that the target sent, in requests."),
            Family::TargetRequestsInFlight => ("portway_target_requests_in_flight", Gauge, TARGET, "Requests, or TCP connections, that the target is serving now, in requests."),
            Family::TargetFailedAttempts => ("portway_target_failed_attempts_total", Counter, TARGET, "Requests that the target left without an answer, or answered too late or wrongly, whether another target was asked then or not, in requests."),
            Family::TargetConnectFailures => ("portway_target_connect_failures_total", Counter, TARGET, "Connections to the target that did not come about, in connections."),
            Family::TargetConnections => ("portway_target_connections_total", Counter, TARGET, "Connections made to the target, in connections."),
            Family::TargetConnectionsReused => ("portway_target_connections_reused_total", Counter, TARGET, "Requests sent over a connection that was open already, in requests."),
            Family::TargetConnectionsOpen => ("portway_target_connections_open", Gauge, TARGET, "Connections to the target open now, idle ones included, in connections."),
            Family::TargetConnectionsIdle => ("portway_target_connections_idle", Gauge, TARGET, "Connections to the target waiting for a request, in connections."),
            Family::TargetResponseTime => ("portway_target_response_time_seconds", Histogram, TARGET, "From the moment that a target was asked (it was connected to and had the body of the request, where it waited for that) to the complete head of its response, in seconds. Those of the first thousand targets; the group's histogram has all. Left out where there was none."),
            Family::TargetConnectTime => ("portway_target_connect_seconds", Histogram, TARGET, "How long it took until a connection to the target was there, without TLS, in seconds; connections that did not come about are not in it. Those of the first thousand targets; left out where there was none."),
            Family::TargetReceivedBytes => ("portway_target_received_bytes_total", Counter, TARGET, "Received from clients, in requests and TCP connections that the target served last, without TLS, in bytes."),
            Family::TargetSentBytes => ("portway_target_sent_bytes_total", Counter, TARGET, "Sent to clients, in requests and TCP connections that the target served last, without TLS, in bytes."),
            Family::TargetQueued => ("portway_target_queued", Gauge, TARGET, "Requests, or TCP connections, that wait for room at this target and take no other now, in requests; of targets that have a limit of connections, or whose group has one."),
            Family::TargetQueueTime => ("portway_target_queue_seconds", Histogram, TARGET, "How long those did that waited for room at this target and took no other, whatever came of it, in seconds; they are in the group's too. Those of the first thousand targets; left out where there was none."),
            Family::TargetTlsHandshakes => ("portway_target_tls_handshakes_total", Counter, &["target_group", "target", "result"], "TLS handshakes with the target, ok or failed, health checks apart, in handshakes; of targets that TLS was begun with."),
            Family::TargetTlsFailures => ("portway_target_tls_handshake_failures_total", Counter, &["target_group", "target", "reason"], "TLS handshakes with the target that failed, by reason, health checks apart, in handshakes; reasons that did not occur are left out."),
            Family::TargetTlsResumptions => ("portway_target_tls_resumptions_total", Counter, TARGET, "TLS handshakes with the target that resumed a session, in handshakes; of targets that TLS was begun with."),
            Family::CircuitState => ("portway_circuit_breaker_state", Gauge, &["circuit_breaker"], "State as a code without unit: 0 closed, 1 open, 2 recovering."),
            Family::CircuitChanges => ("portway_circuit_breaker_changes_total", Counter, &["circuit_breaker", "to"], "Changes of state, by the state that it came to, in changes."),
            Family::CircuitRefused => ("portway_circuit_breaker_refused_requests_total", Counter, &["circuit_breaker"], "Requests that the circuit breaker answered in place of what fails, in requests."),
            Family::TargetHealth => ("portway_target_health", Gauge, TARGET, "Health as a code without unit: 1 healthy, 0 unhealthy, 2 initial, 3 draining, 4 unused, 5 ejected."),
            Family::TargetChecks => ("portway_target_health_checks_total", Counter, &["target_group", "target", "result"], "Health checks of a target, passed or failed, in checks; of groups that are checked."),
            Family::TargetCheckTime => ("portway_target_health_check_seconds", Gauge, TARGET, "How long the latest health check of the target took, in seconds; of groups that are checked."),
            Family::TargetEjections => ("portway_target_ejections_total", Counter, &["target_group", "target", "reason"], "Times that passive health left the target out, by what it had seen, in ejections; of groups with passive_health."),
            Family::TableEntries => ("portway_stick_table_entries", Gauge, TABLE, "Entries in the stick table now, in entries."),
            Family::TableSize => ("portway_stick_table_size_entries", Gauge, TABLE, "Entries that the stick table may have, in entries."),
            Family::TableKeys => ("portway_stick_table_full_total", Counter, &["stick_table", "result"], "Entries that were evicted from the full stick table, and new keys that were refused because nothing could go, in entries."),
        }
    }
}

/// What drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drained {
    /// The process.
    Process,
    /// A listener.
    Listener,
    /// A target.
    Target,
}

impl Drained {
    /// Every kind.
    pub const ALL: [Drained; 3] = [Drained::Process, Drained::Listener, Drained::Target];

    /// The label value.
    pub const fn word(self) -> &'static str {
        match self {
            Drained::Process => "process",
            Drained::Listener => "listener",
            Drained::Target => "target",
        }
    }
}

/// How a look-up of a name went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameResult {
    /// There are addresses.
    Found,
    /// There are none, or no such name.
    Nothing,
    /// Servers refused.
    Refused,
    /// Servers were silent.
    Timeout,
    /// Servers failed, or answered what cannot be read.
    Failed,
}

impl NameResult {
    /// Every kind.
    pub const ALL: [NameResult; 5] = [
        NameResult::Found,
        NameResult::Nothing,
        NameResult::Refused,
        NameResult::Timeout,
        NameResult::Failed,
    ];

    /// The label value.
    pub const fn word(self) -> &'static str {
        match self {
            NameResult::Found => "found",
            NameResult::Nothing => "nothing",
            NameResult::Refused => "refused",
            NameResult::Timeout => "timeout",
            NameResult::Failed => "failed",
        }
    }
}

/// What became of asking for an answer of OCSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OcspResult {
    /// It is shown.
    Ok,
    /// None came.
    Failed,
    /// It may not be shown.
    Refused,
    /// It says that the certificate is revoked.
    Revoked,
}

impl OcspResult {
    /// Every kind.
    pub const ALL: [OcspResult; 4] = [
        OcspResult::Ok,
        OcspResult::Failed,
        OcspResult::Refused,
        OcspResult::Revoked,
    ];

    /// The label value.
    pub const fn word(self) -> &'static str {
        match self {
            OcspResult::Ok => "ok",
            OcspResult::Failed => "failed",
            OcspResult::Refused => "refused",
            OcspResult::Revoked => "revoked",
        }
    }
}

/// The limits that move [`Family::LimitReached`]. Each stands with its value, unit and reason beside its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "each member is described by its help text, once"
)]
pub enum Limit {
    Connections,
    ListenerConnections,
    /// Connections in a second.
    ConnectionRate,
    /// Client connections with TLS.
    TlsConnections,
    ClientRate,
    KeyConnections,
    KeyConnectionRate,
    FileDescriptors,
    Memory,
    RequestHeadBytes,
    RequestTargetBytes,
    RequestHeadTime,
    ResponseHeadBytes,
    GroupConnections,
    TargetConnections,
    IdleTargetConnections,
    SourcePorts,
    Attempts,
    AccessLogBatches,
    Variables,
    LookedAtBody,
    RequestBodyBytes,
    ResponseBodyBytes,
    NameMembers,
    RequestRate,
    RequestRateKeys,
    RequestConcurrency,
    MirroredRequests,
    PasswordChecks,
    Http2Streams,
    Http2FieldBytes,
    Http2Continuations,
    Http2Resets,
    Http2IdleFrames,
    /// Time of a connection to the admin address without a word.
    AdminSilence,
}

/// One of something for each limit.
#[derive(Debug)]
pub(super) struct PerLimit<T>([T; Limit::ALL.len()]);

impl<T: Default> Default for PerLimit<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T> PerLimit<T> {
    /// That of this limit.
    pub(super) fn of(&self, limit: Limit) -> Option<&T> {
        self.0.get(limit as usize)
    }
}

impl Limit {
    /// Every limit.
    pub const ALL: [Limit; 35] = [
        Limit::Connections,
        Limit::ListenerConnections,
        Limit::ConnectionRate,
        Limit::TlsConnections,
        Limit::ClientRate,
        Limit::KeyConnections,
        Limit::KeyConnectionRate,
        Limit::FileDescriptors,
        Limit::Memory,
        Limit::RequestHeadBytes,
        Limit::RequestTargetBytes,
        Limit::RequestHeadTime,
        Limit::ResponseHeadBytes,
        Limit::GroupConnections,
        Limit::TargetConnections,
        Limit::IdleTargetConnections,
        Limit::SourcePorts,
        Limit::Attempts,
        Limit::AccessLogBatches,
        Limit::Variables,
        Limit::LookedAtBody,
        Limit::RequestBodyBytes,
        Limit::ResponseBodyBytes,
        Limit::NameMembers,
        Limit::RequestRate,
        Limit::RequestRateKeys,
        Limit::RequestConcurrency,
        Limit::MirroredRequests,
        Limit::PasswordChecks,
        Limit::Http2Streams,
        Limit::Http2FieldBytes,
        Limit::Http2Continuations,
        Limit::Http2Resets,
        Limit::Http2IdleFrames,
        Limit::AdminSilence,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        self.described().0
    }

    /// What happens when it is reached.
    pub const fn meaning(self) -> &'static str {
        self.described().1
    }

    #[rustfmt::skip] // a table
    const fn described(self) -> (&'static str, &'static str) {
        match self {
            Limit::Connections => ("connections", "all workers' client connections: a new one waits"),
            Limit::ListenerConnections => ("listener_connections", "client connections of a listener: a new one waits"),
            Limit::ConnectionRate => ("connection_rate", "client connections in a second: the next one waits"),
            Limit::TlsConnections => ("tls_connections", "client connections with TLS: a new one is closed"),
            Limit::ClientRate => ("client_rate", "fewest bytes of bodies a second of a client: 408 is answered, or the connection is closed"),
            Limit::KeyConnections => ("key_connections", "connections at once of a key, such as a source, that a rule allows: one more is closed"),
            Limit::KeyConnectionRate => ("key_connection_rate", "connections of a key in a time that a rule allows: one more is closed"),
            Limit::FileDescriptors => ("file_descriptors", "open files of the process: accepting waits"),
            Limit::Memory => ("memory", "bytes that connections and exchanges take: accepting waits, then 503 is answered"),
            Limit::RequestHeadBytes => ("request_head_bytes", "size or field count of a request head: the request is refused"),
            Limit::RequestTargetBytes => ("request_target_bytes", "bytes of a request target: 414 is answered"),
            Limit::RequestHeadTime => ("request_head_time", "time for a complete request head: the connection is closed"),
            Limit::ResponseHeadBytes => ("response_head_bytes", "size or field count of a response head: 502 is answered"),
            Limit::GroupConnections => ("target_group_connections", "requests or connections at all targets of a group: a new one waits"),
            Limit::TargetConnections => ("target_connections", "connections to a target: the request goes elsewhere, or 503 is answered"),
            Limit::IdleTargetConnections => ("idle_target_connections", "idle connections kept to a target: the oldest is closed"),
            Limit::SourcePorts => ("source_ports", "ports that a target's source allows: a connection that finds none of them free fails"),
            Limit::Attempts => ("attempts", "attempts of an exchange: the last fault is answered"),
            Limit::LookedAtBody => ("looked_at_body", "bytes of a request body that rules look at: they see its beginning"),
            Limit::RequestBodyBytes => ("request_body_bytes", "bytes of a request's body that a rule allows: 413 is answered"),
            Limit::ResponseBodyBytes => ("response_body_bytes", "bytes of a response's body that a rule allows: 500 is answered, or the response is cut off"),
            Limit::NameMembers => ("name_members", "addresses of a name that are targets each: those that are too many are left out"),
            Limit::RequestRate => ("request_rate", "requests in a time that a rule allows: 429 is answered"),
            Limit::RequestRateKeys => ("request_rate_keys", "keys whose requests are counted: one more is let through"),
            Limit::RequestConcurrency => ("request_concurrency", "requests at once that a rule allows: 429 is answered"),
            Limit::MirroredRequests => ("mirrored_requests", "copies of requests that a worker has on their way: no more are made"),
            Limit::PasswordChecks => ("password_checks", "passwords that wait to be held against a hash, in all or of one source: 503 is answered"),
            Limit::Http2Streams => ("http2_streams", "streams of a client's connection at the same time: one more is refused, and who goes on is closed"),
            Limit::Http2FieldBytes => ("http2_field_bytes", "bytes of a block of fields as it comes in HTTP/2: the connection is closed"),
            Limit::Http2Continuations => ("http2_continuations", "frames that a block of fields comes in: the connection is closed"),
            Limit::Http2Resets => ("http2_resets", "streams that a client ends before they are answered: the connection is closed"),
            Limit::Http2IdleFrames => ("http2_idle_frames", "frames of HTTP/2 that do nothing: the connection is closed"),
            Limit::AdminSilence => ("admin_silence", "time of a connection to the admin address without a word: it is closed"),
            Limit::Variables => ("variables", "bytes of the variables of a scope: the variable is unset"),
            Limit::AccessLogBatches => ("access_log_batches", "bytes of access logs waiting for a writer: records are dropped"),
        }
    }
}
