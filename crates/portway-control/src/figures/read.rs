//! Reads everything at one moment.

use std::time::{Duration, Instant};

use portway_dataplane::live::Gate;
use portway_dataplane::pipe;
use portway_model::action::Rule;
use portway_model::choice::Algorithm;
use portway_model::expression::Value;
use portway_model::snapshot::TargetGroup;
use portway_model::stage::Stage;
use portway_telemetry::metrics::{GroupTotals, ListenerTotals, TargetTotals};

use super::layout::Proxy;
use super::rates::Rate;
use super::{
    BackendFigures, Figures, FrontendFigures, Installed, ProcessFigures, ProxyFigures, ProxyRates,
    RateFigures, Recorder, ServerFigures, ServerStatus, Statistics, Zero, server,
};
use crate::descriptors;

/// HAProxy's `fullconn` where none is said: a tenth of what its frontends may have.
const FULL_PART: u32 = 10;

/// What reading needs at hand.
struct Reading<'a> {
    statistics: &'a Statistics,
    installed: &'a Installed,
    recorder: &'a Recorder,
    zero: &'a Zero,
    now: Instant,
    since_look: Duration,
}

impl Statistics {
    /// Everything as it is now.
    pub fn figures(&self) -> Figures {
        let (recorder, zero) = (self.recorder(), self.zero());
        let installed = self.installed();
        let now = Instant::now();
        let reading = Reading {
            statistics: self,
            installed: &installed,
            since_look: now.saturating_duration_since(recorder.looked),
            recorder: &recorder,
            zero: &zero,
            now,
        };
        let proxies = installed.proxies.iter().zip(&recorder.proxies);
        Figures {
            process: reading.process(),
            proxies: proxies
                .map(|(proxy, rates)| reading.proxy(proxy, rates))
                .collect(),
        }
    }
}

impl Reading<'_> {
    fn rate(&self, rate: &Rate, total: u64) -> RateFigures {
        RateFigures {
            now: rate.now(total, self.since_look),
            most: rate.most(total),
        }
    }

    fn process(&self) -> ProcessFigures {
        let plane = &self.installed.plane;
        let first = self.installed.proxies.iter();
        let first: Vec<usize> = first
            .filter_map(|it| it.listeners.first().copied())
            .collect();
        let raw = |listener: &usize| plane.metrics.listener_totals(*listener);
        let mut sum = ListenerTotals::default();
        let (mut requests, mut tls_connections) = (0, 0);
        for (index, totals) in first.iter().map(|it| (*it, raw(it))) {
            sum.connections += totals.connections;
            sum.tls_handshakes += totals.tls_handshakes;
            sum.tls_resumptions += totals.tls_resumptions;
            sum.sent_bytes += totals.sent_bytes;
            requests += totals.requests();
            let listener = plane.snapshot.listeners.get(index);
            if listener.is_some_and(|it| it.tls.is_some()) {
                tls_connections += totals.connections_open;
            }
        }
        let process = &plane.snapshot.process;
        let live = &plane.process;
        let binds = plane.snapshot.listeners.iter().map(|it| it.binds.len());
        ProcessFigures {
            version: super::version(),
            pid: std::process::id(),
            started: self.statistics.started,
            uptime: self.statistics.started_at.elapsed(),
            workers: self.statistics.workers,
            node: self.statistics.node(),
            description: process.description.clone(),
            max_connections: plane.process.limit(plane.max_connections),
            hard_max_connections: plane.max_connections,
            max_descriptors: descriptors::limit(),
            connections: plane.process.open_connections(),
            connections_total: sum.connections,
            connection_rate: self.rate(&self.recorder.connections, sum.connections),
            rate_limits: [
                live.connection_pace.limit(process.max_connection_rate),
                live.session_pace.limit(process.max_session_rate),
                live.tls_pace.limit(process.max_tls_rate),
            ],
            max_memory: process.max_memory,
            pipes: pipe::figures(),
            max_tls_connections: process.max_tls_connections,
            requests_total: requests,
            tls_total: sum.tls_handshakes,
            tls_rate: self.rate(&self.recorder.handshakes, sum.tls_handshakes),
            tls_resumed: sum.tls_resumptions,
            tls_connections,
            sent_bytes: sum.sent_bytes,
            sent_rate: self.rate(&self.recorder.sent, sum.sent_bytes),
            dropped_logs: plane.metrics.access_log_dropped(),
            listeners: binds.sum(),
            stopping: plane.process.is_draining(),
        }
    }

    fn proxy(&self, proxy: &Proxy, rates: &ProxyRates) -> ProxyFigures {
        let snapshot = &self.installed.plane.snapshot;
        let group = proxy.group.and_then(|it| snapshot.groups.get(it));
        let listener = proxy.listeners.first();
        let listener = listener.and_then(|it| snapshot.listeners.get(*it));
        let is_http = listener
            .map(|it| it.protocol)
            .or(group.map(|it| it.protocol))
            .is_some_and(|protocol| protocol.is_http());
        let servers = match (proxy.group, group) {
            (Some(index), Some(group)) => self.servers(index, group, rates),
            _ => Vec::new(),
        };
        ProxyFigures {
            name: proxy.name.to_string(),
            number: proxy.number,
            is_numbered: group.is_some_and(|it| it.number.is_some()),
            is_http,
            frontend: self.frontend(proxy, rates),
            backend: proxy
                .group
                .zip(group)
                .map(|(index, group)| self.backend(index, group, rates, &servers)),
            servers,
        }
    }

    fn frontend(&self, proxy: &Proxy, rates: &ProxyRates) -> Option<FrontendFigures> {
        let plane = &self.installed.plane;
        let first = *proxy.listeners.first()?;
        let (listener, parts) = plane
            .snapshot
            .listeners
            .get(first)
            .zip(plane.listeners.get(first))?;
        let raw = plane.metrics.listener_totals(first);
        let zero = self.zero.listeners.get(first).copied().unwrap_or_default();
        let open = parts.state.open_connections();
        let binds = proxy.listeners.iter();
        let binds = binds.filter_map(|it| plane.snapshot.listeners.get(*it));
        Some(FrontendFigures {
            totals: since_listener(raw, zero),
            sessions: (open, parts.state.peak().max(open)),
            limit: match parts.state.limit(listener.max_connections) {
                0 => plane.process.limit(plane.max_connections),
                limit => limit,
            },
            session_rate: self.rate(&rates.connections, raw.connections),
            session_rate_limit: parts.state.session_pace.limit(listener.max_session_rate),
            request_rate: self.rate(&rates.requests, raw.requests()),
            is_paused: parts.state.gate() == Gate::Paused || !parts.state.all_listen(),
            is_stopped: parts.state.gate() == Gate::Closed || plane.process.is_draining(),
            addresses: binds
                .flat_map(|it| it.binds.iter().map(ToString::to_string))
                .collect(),
        })
    }

    fn servers(&self, index: usize, group: &TargetGroup, rates: &ProxyRates) -> Vec<ServerFigures> {
        let plane = &self.installed.plane;
        let (metrics, parts) = (&plane.metrics, plane.groups.get(index));
        let (Some(watched), Some(parts)) = (self.installed.targets.get(index), parts) else {
            return Vec::new();
        };
        let numbers = parts.numbers.iter().zip(&rates.servers);
        let targets = group.targets.iter().zip(watched.iter()).zip(numbers);
        targets
            .enumerate()
            .map(|(nth, ((target, watched), (number, rate)))| {
                let raw = metrics.target_totals(index, nth);
                let zero = self.zero.targets.get(index).and_then(|it| it.get(nth));
                let totals = since_target(raw, zero.copied().unwrap_or_default());
                ServerFigures {
                    session_rate: self.rate(rate, raw.sessions),
                    last_session: rate.idle(raw.sessions, self.now),
                    limit: watched.state.most(),
                    ..server::figures(group, target, watched, (*number, totals))
                }
            })
            .collect()
    }

    fn backend(
        &self,
        index: usize,
        group: &TargetGroup,
        rates: &ProxyRates,
        servers: &[ServerFigures],
    ) -> BackendFigures {
        let plane = &self.installed.plane;
        let parts = plane.groups.get(index);
        let raw = plane.metrics.group_totals(index);
        let zero = self.zero.groups.get(index).copied().unwrap_or_default();
        let usable = |it: &&ServerFigures| it.status.takes_traffic();
        let active = || servers.iter().filter(usable).filter(|it| !it.is_backup);
        let backups = || servers.iter().filter(usable).filter(|it| it.is_backup);
        let weight = |sum: u32, it: &ServerFigures| sum + it.weight;
        let times = servers.iter().map(|it| it.totals.times);
        let up = &rates.up;
        BackendFigures {
            totals: since_group(raw, zero),
            selections: servers.iter().map(|it| it.totals.selections).sum(),
            connections: servers.iter().fold((0, 0), |sum, it| {
                (
                    sum.0 + it.totals.connections,
                    sum.1 + it.totals.connections_reused,
                )
            }),
            times: times.reduce(|a, b| a.with(b)).unwrap_or_default(),
            queue: parts.map_or((0, 0), |it| (it.state.waiting(), it.state.most_waiting())),
            limit: match group.full_connections {
                0 => self.full_connections(index),
                limit => limit,
            },
            session_rate: self.rate(&rates.sessions, raw.sessions),
            last_session: rates.sessions.idle(raw.sessions, self.now),
            is_up: self.installed.is_up(index),
            since: self.now.saturating_duration_since(up.since),
            downs: up.downs,
            down_time: match up.is_up {
                true => up.down_time,
                false => up.down_time + self.now.saturating_duration_since(up.since),
            },
            weight: match active().count() {
                0 => backups().fold(0, weight),
                _ => active().fold(0, weight),
            },
            active: count(active().count()),
            backups: count(backups().count()),
            algorithm: algorithm(&group.algorithm),
            cookie: group.stickiness.as_ref().map(|cookie| cookie.name.clone()),
        }
    }

    /// A tenth of what the listeners that forward to the group may have.
    fn full_connections(&self, group: usize) -> u32 {
        let plane = &self.installed.plane;
        let limits = plane.snapshot.listeners.iter().filter_map(|listener| {
            let rules = listener.rules.iter();
            let mut forwarded = rules.flat_map(Rule::forwards_to);
            let limit = match listener.max_connections {
                0 => plane.max_connections,
                limit => limit,
            };
            forwarded.any(|it| it.index() == group).then_some(limit)
        });
        let sum = limits.fold(0, u32::saturating_add);
        sum.div_ceil(FULL_PART).max(1)
    }
}

impl ServerStatus {
    /// True where it keeps its clients and takes no new ones.
    pub fn is_leaving(self) -> bool {
        matches!(
            self,
            ServerStatus::Stopping | ServerStatus::StoppingDown | ServerStatus::Drain
        )
    }

    /// True where it may be given new traffic.
    pub fn takes_traffic(self) -> bool {
        matches!(
            self,
            ServerStatus::Unchecked | ServerStatus::Up | ServerStatus::GoingDown
        )
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// HAProxy's word for an algorithm.
fn algorithm<S: Stage>(algorithm: &Algorithm<S>) -> &'static str {
    match algorithm {
        Algorithm::RoundRobin => "roundrobin",
        Algorithm::StaticRoundRobin => "static-rr",
        Algorithm::LeastOutstanding => "leastconn",
        Algorithm::LeastTime => "leasttime",
        Algorithm::SourceHash(_) => "source",
        Algorithm::Random { .. } => "random",
        Algorithm::First => "first",
        Algorithm::Hash { value, .. } => match value.value {
            Value::Path | Value::Target => "uri",
            Value::QueryParameter(_) => "url_param",
            Value::Header(_) => "hdr",
            _ => "hash",
        },
    }
}

macro_rules! less {
    ($from:ident, $zero:ident, $($field:ident $(. $inner:ident)?),*) => {
        $($from.$field $(. $inner)? = $from.$field $(. $inner)?.saturating_sub($zero.$field $(. $inner)?);)*
    };
}

fn less_classes(from: &mut [u64; 5], zero: &[u64; 5]) {
    for (from, zero) in from.iter_mut().zip(zero) {
        *from = from.saturating_sub(*zero);
    }
}

fn since_listener(mut from: ListenerTotals, zero: ListenerTotals) -> ListenerTotals {
    less!(
        from,
        zero,
        connections,
        unanswered,
        received_bytes,
        sent_bytes,
        tls_handshakes,
        tls_failures,
        tls_resumptions,
        intercepted,
        denied_requests,
        denied_responses,
        denied_connections,
        request_errors,
        internal_errors
    );
    less_classes(&mut from.requests, &zero.requests);
    from.compressed = from.compressed.since(zero.compressed);
    from
}

fn since_group(mut from: GroupTotals, zero: GroupTotals) -> GroupTotals {
    less!(
        from,
        zero,
        sessions,
        unanswered,
        received_bytes,
        sent_bytes,
        denied_requests,
        denied_responses,
        failures.connection,
        failures.response,
        failures.client_aborts,
        failures.target_aborts,
        retries,
        redispatches
    );
    less_classes(&mut from.answers, &zero.answers);
    from.compressed = from.compressed.since(zero.compressed);
    from
}

fn since_target(mut from: TargetTotals, zero: TargetTotals) -> TargetTotals {
    less!(
        from,
        zero,
        sessions,
        selections,
        connections,
        connections_reused,
        received_bytes,
        sent_bytes,
        denied_responses,
        failures.connection,
        failures.response,
        failures.client_aborts,
        failures.target_aborts,
        retries,
        redispatches
    );
    less_classes(&mut from.requests, &zero.requests);
    from
}
