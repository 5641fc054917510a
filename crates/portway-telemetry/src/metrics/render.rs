//! All counters as Prometheus text (exposition format 0.0.4, `text/plain; version=0.0.4`).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Registry;
use super::cell::{BUCKET_BOUNDS, Histogram};
use super::family::{Drained, Family, Limit, NameResult, OcspResult};
use super::figures::{CheckFigures, LogFigures, TableFigures};
use super::handshake::HandshakeFailure;
use super::shard::{
    GroupMetrics, ListenerMetrics, Mirrored, Proofs, Shard, StatusClasses, TargetMetrics, Tokens,
};
use crate::record::FaultCode;

/// What only the process knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct ProcessFigures<'a> {
    /// Version of Portway.
    pub version: &'a str,
    /// When the process started.
    pub started: SystemTime,
    /// Number of the snapshot in use.
    pub generation: u64,
    /// What is left of what drains, by [`Drained`].
    pub draining: [u64; Drained::ALL.len()],
    /// Its circuit breakers, by name.
    pub circuits: &'a [CircuitFigures<'a>],
    /// What is known of names.
    pub names: NameFigures,
    /// What is known of memory.
    pub memory: MemoryFigures,
    /// What is known of pipes.
    pub pipes: PipeFigures,
    /// Stick tables in the order of the configuration.
    pub tables: &'a [TableFigures<'a>],
    /// Where logs go.
    pub logs: &'a [LogFigures],
    /// Certificates, [`MOST_CERTIFICATES`] at most.
    pub certificates: &'a [CertificateFigures<'a>],
    /// Revocation lists, as many at most.
    pub revocation_lists: &'a [RevocationListFigures<'a>],
}

/// Certificates that have samples of their own: those that expire first.
pub const MOST_CERTIFICATES: usize = 1_000;

/// A certificate of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFigures<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// The last second of the answer of OCSP that is shown with it; 0: none is, `None`: none is wanted.
    pub ocsp_until: Option<i64>,
}

/// The revocation lists of an authority.
#[derive(Clone, Copy, Debug)]
pub struct RevocationListFigures<'a> {
    /// The authority in words.
    pub issuer: &'a str,
    /// When the first of them is over, in seconds since 1970.
    pub next_update: i64,
}

/// Memory of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFigures {
    /// Bytes that connections and exchanges may take; 0: no limit.
    pub budget: u64,
    /// Bytes that they take, by what for.
    pub used: [(&'static str, u64); 4],
    /// Bytes of the whole process; `None` where the system does not say it.
    pub resident: Option<u64>,
}

/// Pipes that bulk is moved through inside the kernel, all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeFigures {
    /// How many there may be.
    pub most: u32,
    /// Those that are lent to a transfer.
    pub lent: u32,
    /// Those that wait for use.
    pub free: u32,
    /// Bytes that went through them.
    pub bytes: u64,
    /// How often a transfer found none and copied.
    pub refused: u64,
}

/// Names of targets that are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameFigures {
    /// Look-ups by how they went, by [`NameResult`].
    pub results: [u64; NameResult::ALL.len()],
    /// Age of the oldest answer that is in use.
    pub oldest: Duration,
}

/// What is known of a circuit breaker.
#[derive(Clone, Copy, Debug)]
pub struct CircuitFigures<'a> {
    /// Its name.
    pub name: &'a str,
    /// The code of its state.
    pub state: u8,
    /// How often it came to each state.
    pub changes: [(&'static str, u64); 3],
    /// Requests that it answered.
    pub refused: u64,
}

/// The health states of a target, as the metric and events know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetHealth {
    /// No verdict yet.
    Initial,
    /// Takes traffic.
    Healthy,
    /// Known to be down.
    Unhealthy,
    /// Left out for a while because of what it served.
    Ejected,
    /// Being removed.
    Draining,
    /// Not in use.
    Unused,
}

impl TargetHealth {
    /// The word of the glossary, lower case.
    pub const fn word(self) -> &'static str {
        match self {
            TargetHealth::Initial => "initial",
            TargetHealth::Healthy => "healthy",
            TargetHealth::Unhealthy => "unhealthy",
            TargetHealth::Ejected => "ejected",
            TargetHealth::Draining => "draining",
            TargetHealth::Unused => "unused",
        }
    }

    /// The value of `portway_target_health`: 1 and 0 for what everybody asks first.
    pub const fn code(self) -> u8 {
        match self {
            TargetHealth::Unhealthy => 0,
            TargetHealth::Healthy => 1,
            TargetHealth::Initial => 2,
            TargetHealth::Draining => 3,
            TargetHealth::Unused => 4,
            TargetHealth::Ejected => 5,
        }
    }
}

/// What only control knows of a target.
#[derive(Clone, Copy, Debug)]
pub struct TargetFigures {
    /// Its health.
    pub health: TargetHealth,
    /// How often it was ejected, by reason; empty where nothing ejects it.
    pub ejections: [(&'static str, u64); 5],
    /// Its checks; `None`: it is not checked.
    pub checks: Option<CheckFigures>,
    /// How many wait for it alone; `None`: nobody ever has to.
    pub queued: Option<u32>,
}

impl From<TargetHealth> for TargetFigures {
    fn from(health: TargetHealth) -> Self {
        let ejections = [("", 0); 5];
        Self {
            health,
            ejections,
            checks: None,
            queued: None,
        }
    }
}

impl Registry {
    /// Appends all metrics. `targets` answers for the target with a group's number and its own.
    pub fn render(
        &self,
        process: &ProcessFigures<'_>,
        targets: &dyn Fn(usize, usize) -> TargetFigures,
        out: &mut String,
    ) {
        for family in Family::ALL {
            let mut page = Page { out, family };
            page.head();
            self.family(&mut page, process, targets);
        }
    }

    /// The samples of one family.
    fn family(
        &self,
        page: &mut Page<'_>,
        process: &ProcessFigures<'_>,
        targets: &dyn Fn(usize, usize) -> TargetFigures,
    ) {
        match page.family {
            Family::BuildVersion => page.sample(&[process.version], 1),
            Family::StartTime => {
                let since = process
                    .started
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                page.line(
                    "",
                    &[],
                    None,
                    format_args!("{}.{:03}", since.as_secs(), since.subsec_millis()),
                );
            }
            Family::Workers => page.sample(&[], self.shards.len() as i128),
            Family::MemoryBudget => page.sample(&[], process.memory.budget.into()),
            Family::MemoryUsed => {
                for (by, bytes) in process.memory.used {
                    page.sample(&[by], bytes.into());
                }
            }
            Family::MemoryResident => {
                if let Some(bytes) = process.memory.resident {
                    page.sample(&[], bytes.into());
                }
            }
            Family::Pipes => {
                page.sample(&["lent"], process.pipes.lent.into());
                page.sample(&["free"], process.pipes.free.into());
            }
            Family::SplicedBytes => page.sample(&[], process.pipes.bytes.into()),
            Family::PipesMissing => page.sample(&[], process.pipes.refused.into()),
            Family::Generation => page.sample(&[], process.generation.into()),
            Family::Reloads => {
                page.sample(&["ok"], self.process.reloads.value().into());
                page.sample(&["failed"], self.process.failed_reloads.value().into());
            }
            Family::Upgrades => {
                page.sample(&["ok"], self.process.upgrades.value().into());
                page.sample(&["failed"], self.process.failed_upgrades.value().into());
            }
            Family::Spans => {
                page.sample(&["sent"], self.process.spans_sent.value().into());
                page.sample(&["failed"], self.process.spans_failed.value().into());
                page.sample(&["dropped"], self.sum(|s| s.worker.spans_dropped.value()));
            }
            Family::KeyFetches => {
                page.sample(&["ok"], self.process.key_fetches.value().into());
                page.sample(&["failed"], self.process.failed_key_fetches.value().into());
            }
            Family::OcspFetches => {
                for result in OcspResult::ALL {
                    page.sample(&[result.word()], self.process.ocsp_fetches(result).into());
                }
            }
            Family::CertificateNotAfter => {
                for it in process.certificates {
                    page.sample(&[it.name], it.not_after.into());
                }
            }
            Family::CertificateOcspUntil => {
                for it in process.certificates {
                    if let Some(until) = it.ocsp_until {
                        page.sample(&[it.name], until.into());
                    }
                }
            }
            Family::RevocationListNextUpdate => {
                for it in process.revocation_lists {
                    page.sample(&[it.issuer], it.next_update.into());
                }
            }
            Family::Draining => {
                for (kind, left) in Drained::ALL.iter().zip(process.draining) {
                    page.sample(&[kind.word()], left.into());
                }
            }
            Family::Drains => {
                for kind in [Drained::Listener, Drained::Target] {
                    let counted = self.process.drained(kind);
                    page.sample(&[kind.word(), "ended"], counted.ended.value().into());
                    page.sample(&[kind.word(), "cut_off"], counted.cut_off.value().into());
                }
            }
            Family::DrainCutConnections => {
                for kind in [Drained::Listener, Drained::Target] {
                    let counted = self.process.drained(kind);
                    page.sample(&[kind.word()], counted.connections.value().into());
                }
            }
            Family::NameQueries => {
                for (result, count) in NameResult::ALL.iter().zip(process.names.results) {
                    page.sample(&[result.word()], count.into());
                }
            }
            Family::NameAge => page.sample(&[], process.names.oldest.as_secs().into()),
            Family::AcceptErrors => page.sample(&[], self.sum(|s| s.worker.accept_errors.value())),
            Family::AccessLogDropped => {
                let workers = self.sum(|s| s.worker.access_log_dropped.value());
                page.sample(
                    &[],
                    workers + i128::from(self.process.access_log_dropped.value()),
                );
            }
            Family::LogRecords => {
                for it in process.logs {
                    page.sample(&[&it.destination, "written"], it.written.into());
                    page.sample(&[&it.destination, "dropped"], it.dropped.into());
                    page.unless_zero(&[&it.destination, "cut"], it.cut.into());
                }
            }
            Family::LimitReached => {
                for limit in Limit::ALL {
                    let workers = self.sum(|s| s.worker.limit(limit));
                    page.sample(
                        &[limit.name()],
                        workers + i128::from(self.process.limit(limit)),
                    );
                }
            }
            Family::ListenerConnections => self.listeners(page, |l| l.connections.value()),
            Family::ListenerConnectionsOpen => self.listeners(page, |l| l.connections_open.value()),
            Family::ListenerRequests => self.listener_classes(page),
            Family::ListenerRuleRequests => {
                for (listener, rule, requests) in self.rule_requests() {
                    page.unless_zero(&[listener, rule], requests.into());
                }
            }
            Family::ListenerRequestsInFlight => {
                self.listeners(page, |l| l.requests_in_flight.value())
            }
            Family::ListenerReceivedBytes => self.listeners(page, |l| l.received_bytes.value()),
            Family::ListenerSentBytes => self.listeners(page, |l| l.sent_bytes.value()),
            Family::ListenerRefusedRequests => self.refusals(page),
            Family::ListenerFaults => self.faults(page),
            Family::ListenerTlsHandshakes => self.handshakes(page),
            Family::ListenerTlsFailures => self.handshake_failures(page),
            Family::ListenerTlsResumptions => self.listeners(page, |l| l.tls_resumptions.value()),
            Family::ListenerTlsTime => {
                for (name, blocks) in self.by_listener() {
                    page.histogram_if_any(&[name], blocks.map(|l| &l.tls_handshake_time));
                }
            }
            Family::ListenerCompressedResponses
            | Family::ListenerUncompressedBytes
            | Family::ListenerCompressedBytes => self.listeners_compressed(page),
            Family::ListenerMirrored => self.mirrored(page),
            Family::ListenerTokens => {
                self.results(page, &Tokens::RESULTS, |l, at| l.tokens.value(at));
            }
            Family::ListenerProofs => {
                self.results(page, &Proofs::RESULTS, |l, at| l.proofs.value(at));
            }
            Family::ListenerRequestDuration => {
                for (name, blocks) in self.by_listener() {
                    page.histogram(name, blocks.map(|l| &l.request_duration));
                }
            }
            Family::ListenerConnectionDuration => {
                for (name, blocks) in self.by_listener() {
                    page.histogram_if_any(&[name], blocks.map(|l| &l.connection_duration));
                }
            }
            Family::GroupRequests => self.group_classes(page),
            Family::GroupRuleRequests => {
                for (group, rule, requests) in self.group_rule_requests() {
                    page.unless_zero(&[group, rule], requests.into());
                }
            }
            Family::GroupReceivedBytes => self.groups(page, |g| g.received_bytes.value()),
            Family::GroupSentBytes => self.groups(page, |g| g.sent_bytes.value()),
            Family::GroupCompressedResponses
            | Family::GroupUncompressedBytes
            | Family::GroupCompressedBytes => self.groups_compressed(page),
            Family::GroupRetries => self.groups(page, |g| g.retries.total()),
            Family::GroupRetriesRefused => self.groups(page, |g| g.retries_refused.value()),
            Family::GroupRetriedFailures => self.retried_failures(page),
            Family::GroupHeldBodies => self.held_bodies(page),
            Family::GroupHeldBodyRetries => self.groups(page, |g| g.retries.with_body.value()),
            Family::GroupQueued => self.groups(page, |g| g.queued.value()),
            Family::GroupQueueTime => {
                for (name, blocks) in self.by_group() {
                    page.histogram(name, blocks.map(|g| &g.queue_time));
                }
            }
            Family::GroupResponseTime => {
                for (name, blocks) in self.by_group() {
                    page.histogram(name, blocks.map(|g| &g.response_time));
                }
            }
            Family::GroupTlsTime => self.group_handshake_time(page),
            Family::TargetRequests => self.target_classes(page),
            Family::TargetRequestsInFlight => self.targets(page, |t| t.requests_in_flight.value()),
            Family::TargetFailedAttempts => self.targets(page, |t| t.failed_attempts.value()),
            Family::TargetConnectFailures => self.targets(page, |t| t.connect_failures.value()),
            Family::TargetConnections => self.targets(page, |t| t.connections.value()),
            Family::TargetConnectionsReused => self.targets(page, |t| t.connections_reused.value()),
            Family::TargetConnectionsOpen => self.targets(page, |t| t.connections_open.value()),
            Family::TargetConnectionsIdle => self.targets(page, |t| t.connections_idle.value()),
            Family::TargetResponseTime => {
                self.target_histograms(page, |t| t.durations.counted().map(|it| &it.response))
            }
            Family::TargetConnectTime => {
                self.target_histograms(page, |t| t.durations.counted().map(|it| &it.connect))
            }
            Family::TargetReceivedBytes => self.targets(page, |t| t.received_bytes.value()),
            Family::TargetSentBytes => self.targets(page, |t| t.sent_bytes.value()),
            Family::TargetQueued => self.queued(page, targets),
            Family::TargetQueueTime => self.target_histograms(page, |t| t.queue_time.counted()),
            Family::TargetTlsHandshakes => self.target_handshakes(page),
            Family::TargetTlsFailures => self.target_handshake_failures(page),
            Family::TargetTlsResumptions => self.target_resumptions(page),
            Family::CircuitState => {
                for it in process.circuits {
                    page.sample(&[it.name], it.state.into());
                }
            }
            Family::CircuitChanges => {
                for it in process.circuits {
                    for (to, times) in it.changes {
                        page.sample(&[it.name, to], times.into());
                    }
                }
            }
            Family::CircuitRefused => {
                for it in process.circuits {
                    page.sample(&[it.name], it.refused.into());
                }
            }
            Family::TargetHealth => {
                for (group, names) in self.names.groups.iter().enumerate() {
                    for (target, name) in names.targets.iter().enumerate() {
                        let health = targets(group, target).health;
                        page.sample(&[&names.name, name], health.code().into());
                    }
                }
            }
            Family::TargetChecks => self.checks(targets, |labels, checks| {
                let [group, target] = labels;
                page.sample(&[group, target, "passed"], checks.passed.into());
                page.sample(&[group, target, "failed"], checks.failed.into());
            }),
            Family::TargetCheckTime => self.checks(targets, |labels, checks| {
                if let Some(took) = checks.took {
                    page.line("", &labels, None, format_args!("{}", took.as_secs_f64()));
                }
            }),
            Family::TableEntries => {
                for it in process.tables {
                    page.sample(&[it.name], it.entries.into());
                }
            }
            Family::TableSize => {
                for it in process.tables {
                    page.sample(&[it.name], it.size.into());
                }
            }
            Family::TableKeys => {
                for it in process.tables {
                    page.sample(&[it.name, "evicted"], it.evicted.into());
                    page.sample(&[it.name, "refused"], it.refused.into());
                }
            }
            Family::TargetEjections => {
                for (group, names) in self.names.groups.iter().enumerate() {
                    for (target, name) in names.targets.iter().enumerate() {
                        let reasons = targets(group, target).ejections.into_iter();
                        for (reason, times) in reasons.filter(|(reason, _)| !reason.is_empty()) {
                            page.sample(&[&names.name, name, reason], times.into());
                        }
                    }
                }
            }
        }
    }

    /// Each target that is checked, by the names of its group and its own.
    fn checks(
        &self,
        targets: &dyn Fn(usize, usize) -> TargetFigures,
        mut each: impl FnMut([&str; 2], CheckFigures),
    ) {
        for (group, names) in self.names.groups.iter().enumerate() {
            for (target, name) in names.targets.iter().enumerate() {
                if let Some(checks) = targets(group, target).checks {
                    each([&names.name, name], checks);
                }
            }
        }
    }

    /// Who waits for each target that has a limit.
    fn queued(&self, page: &mut Page<'_>, targets: &dyn Fn(usize, usize) -> TargetFigures) {
        for (group, names) in self.names.groups.iter().enumerate() {
            for (target, name) in names.targets.iter().enumerate() {
                if let Some(queued) = targets(group, target).queued {
                    page.sample(&[&names.name, name], queued.into());
                }
            }
        }
    }

    fn listeners<T: Into<i128>>(&self, page: &mut Page<'_>, value: impl Fn(&ListenerMetrics) -> T) {
        for (name, blocks) in self.by_listener() {
            page.sample(&[name], blocks.map(|l| value(l).into()).sum());
        }
    }

    fn listener_classes(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_listener() {
            for (class, label) in StatusClasses::LABELS.iter().enumerate() {
                let count = blocks.clone().map(|l| i128::from(l.requests.value(class)));
                page.sample(&[name, label], count.sum());
            }
        }
    }

    /// Reasons are many and rare: one that did not occur is left out.
    fn refusals(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_listener() {
            for (reason, label) in self.names.refusals.iter().enumerate() {
                let count = blocks.clone().map(|l| i128::from(l.refused_count(reason)));
                page.unless_zero(&[name, label], count.sum());
            }
        }
    }

    fn faults(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_listener() {
            for fault in FaultCode::ALL {
                let count = blocks
                    .clone()
                    .map(|l| i128::from(l.fault_count(fault.index())));
                page.unless_zero(&[name, fault.code()], count.sum());
            }
        }
    }

    fn handshakes(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_listener() {
            let ok = blocks
                .clone()
                .map(|l| i128::from(l.tls_handshakes_ok.value()));
            page.sample(&[name, "ok"], ok.sum());
            let failed = blocks.map(|l| i128::from(l.tls_handshakes_failed.total()));
            page.sample(&[name, "failed"], failed.sum());
        }
    }

    fn handshake_failures(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_listener() {
            for why in HandshakeFailure::ALL {
                let count = blocks
                    .clone()
                    .map(|l| i128::from(l.tls_handshakes_failed.value(why)));
                page.unless_zero(&[name, why.word()], count.sum());
            }
        }
    }

    fn mirrored(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_listener() {
            let sum = |value: fn(&Mirrored) -> u64| {
                let each = blocks.clone().map(|l| i128::from(value(&l.mirrored)));
                each.sum::<i128>()
            };
            page.sample(&[name, "answered"], sum(|it| it.answered.value()));
            page.sample(&[name, "failed"], sum(|it| it.failed.value()));
            page.sample(&[name, "dropped"], sum(|it| it.dropped.value()));
        }
    }

    fn results(
        &self,
        page: &mut Page<'_>,
        results: &[&str],
        value: impl Fn(&ListenerMetrics, usize) -> u64,
    ) {
        for (name, blocks) in self.by_listener() {
            for (at, result) in results.iter().enumerate() {
                let count = blocks.clone().map(|l| i128::from(value(l, at)));
                page.unless_zero(&[name, result], count.sum());
            }
        }
    }

    fn group_classes(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_group() {
            for (class, label) in StatusClasses::LABELS.iter().enumerate() {
                let count = blocks.clone().map(|g| i128::from(g.requests.value(class)));
                page.sample(&[name, label], count.sum());
            }
        }
    }

    fn groups<T: Into<i128>>(&self, page: &mut Page<'_>, value: impl Fn(&GroupMetrics) -> T) {
        for (name, blocks) in self.by_group() {
            page.sample(&[name], blocks.map(|g| value(g).into()).sum());
        }
    }

    fn targets<T: Into<i128>>(&self, page: &mut Page<'_>, value: impl Fn(&TargetMetrics) -> T) {
        for (group, name, blocks) in self.by_target() {
            page.sample(&[group, name], blocks.map(|t| value(t).into()).sum());
        }
    }

    fn target_classes(&self, page: &mut Page<'_>) {
        for (group, name, blocks) in self.by_target() {
            for (class, label) in StatusClasses::LABELS.iter().enumerate() {
                let count = blocks.clone().map(|t| i128::from(t.requests.value(class)));
                page.sample(&[group, name, label], count.sum());
            }
        }
    }

    fn sum(&self, value: impl Fn(&Shard) -> u64) -> i128 {
        self.shards
            .iter()
            .map(|shard| i128::from(value(shard)))
            .sum()
    }

    /// Each listener with its counters in every shard.
    pub(super) fn by_listener(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = &ListenerMetrics> + Clone)> {
        let mut seen = HashSet::new();
        self.names
            .listeners
            .iter()
            .enumerate()
            // Listeners of one name have one block of counters.
            .filter(move |(_, name)| seen.insert(name.as_str()))
            .map(|(number, name)| {
                let blocks = self
                    .shards
                    .iter()
                    .map(move |shard| &**shard.listener(number));
                (name.as_str(), blocks)
            })
    }

    pub(super) fn by_group(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = &GroupMetrics> + Clone)> {
        self.names.groups.iter().enumerate().map(|(number, names)| {
            let blocks = self.shards.iter().map(move |shard| &**shard.group(number));
            (names.name.as_str(), blocks)
        })
    }

    pub(super) fn by_target(
        &self,
    ) -> impl Iterator<Item = (&str, &str, impl Iterator<Item = &TargetMetrics> + Clone)> {
        let groups = self.names.groups.iter().enumerate();
        groups.flat_map(move |(group, names)| {
            names.targets.iter().enumerate().map(move |(target, name)| {
                let shards = self.shards.iter();
                let blocks = shards.map(move |shard| &**shard.target(group, target));
                (names.name.as_str(), name.as_str(), blocks)
            })
        })
    }
}

/// The text of one family.
pub(super) struct Page<'a> {
    out: &'a mut String,
    pub(super) family: Family,
}

impl Page<'_> {
    fn head(&mut self) {
        let (name, kind) = (self.family.name(), self.family.kind().word());
        let help = self.family.help();
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn sample(&mut self, values: &[&str], value: i128) {
        self.line("", values, None, format_args!("{value}"));
    }

    pub(super) fn unless_zero(&mut self, values: &[&str], value: i128) {
        if value != 0 {
            self.sample(values, value);
        }
    }

    /// The same, unless nothing was counted.
    pub(super) fn histogram_if_any<'h, const TIMES: u32>(
        &mut self,
        values: &[&str],
        shards: impl Iterator<Item = &'h Histogram<TIMES>>,
    ) {
        let (counts, sum) = Self::summed(shards);
        if counts.iter().any(|count| *count != 0) {
            self.buckets(values, counts, (sum, TIMES));
        }
    }

    fn histogram<'h>(&mut self, name: &str, shards: impl Iterator<Item = &'h Histogram>) {
        let (counts, sum) = Self::summed(shards);
        self.buckets(&[name], counts, (sum, 1));
    }

    /// What all workers counted in each bucket, and the sum of all durations.
    fn summed<'h, const TIMES: u32>(
        shards: impl Iterator<Item = &'h Histogram<TIMES>>,
    ) -> ([u64; BUCKET_BOUNDS.len() + 1], Duration) {
        let mut counts = [0_u64; BUCKET_BOUNDS.len() + 1];
        let mut sum = Duration::ZERO;
        for shard in shards {
            for (total, count) in counts.iter_mut().zip(shard.counts()) {
                *total += count;
            }
            sum += shard.sum();
        }
        (counts, sum)
    }

    /// `times`: how much longer the bounds are than [`BUCKET_BOUNDS`].
    fn buckets(
        &mut self,
        values: &[&str],
        counts: [u64; BUCKET_BOUNDS.len() + 1],
        (sum, times): (Duration, u32),
    ) {
        let bounds = BUCKET_BOUNDS.iter().map(|(bound, text)| match times {
            1 => Cow::Borrowed(*text),
            _ => Cow::Owned((*bound * times).as_secs_f64().to_string()),
        });
        let mut count = 0_u64;
        for (bound, bucket) in bounds.chain([Cow::Borrowed("+Inf")]).zip(counts) {
            count += bucket;
            self.line("_bucket", values, Some(&bound), format_args!("{count}"));
        }
        let (seconds, nanos) = (sum.as_secs(), sum.subsec_nanos());
        self.line("_sum", values, None, format_args!("{seconds}.{nanos:09}"));
        self.line("_count", values, None, format_args!("{count}"));
    }

    /// One line: name and suffix, the family's labels with these values, a bucket's bound, the value.
    fn line(
        &mut self,
        suffix: &str,
        values: &[&str],
        bound: Option<&str>,
        value: std::fmt::Arguments<'_>,
    ) {
        self.out.push_str(self.family.name());
        self.out.push_str(suffix);
        let labels = self
            .family
            .labels()
            .iter()
            .copied()
            .zip(values.iter().copied());
        let mut before = '{';
        for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            self.out.push(before);
            self.put(format_args!("{label}=\""));
            self.label_value(value);
            self.out.push('"');
            before = ',';
        }
        self.out.push_str(if before == ',' { "} " } else { " " });
        self.put(format_args!("{value}\n"));
    }

    fn label_value(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                other => self.out.push(other),
            }
        }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a String does not fail.
        let _ = self.out.write_fmt(text);
    }
}
