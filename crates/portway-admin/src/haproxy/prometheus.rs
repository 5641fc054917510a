//! The metrics of HAProxy's Prometheus exporter: its names, labels and order, so that dashboards made for it keep working.
//!
//! A sample is a column of [`super::row`] or a value of [`super::info`] under another name.

use portway_control::figures::{Figures, ProxyFigures, ServerFigures, ServerStatus};

use super::field::{Field, Value};
use super::info::{self, Info};
use super::print::put;
use super::row::{self, Row};

/// The content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// What there is of the process.
#[rustfmt::skip] // a table
const PROCESS: &[(&str, Info, Kind)] = &[
    ("nbthread", Info::Nbthread, Kind::Gauge),
    ("nbproc", Info::Nbproc, Kind::Gauge),
    ("relative_process_id", Info::ProcessNum, Kind::Gauge),
    ("uptime_seconds", Info::UptimeSec, Kind::Gauge),
    ("pool_failures_total", Info::PoolFailed, Kind::Counter),
    ("max_fds", Info::UlimitN, Kind::Gauge),
    ("max_sockets", Info::Maxsock, Kind::Gauge),
    ("max_connections", Info::Maxconn, Kind::Gauge),
    ("hard_max_connections", Info::HardMaxconn, Kind::Gauge),
    ("current_connections", Info::CurrConns, Kind::Gauge),
    ("connections_total", Info::CumConns, Kind::Counter),
    ("requests_total", Info::CumReq, Kind::Counter),
    ("max_ssl_connections", Info::MaxSslConns, Kind::Gauge),
    ("current_ssl_connections", Info::CurrSslConns, Kind::Gauge),
    ("ssl_connections_total", Info::CumSslConns, Kind::Counter),
    ("max_pipes", Info::Maxpipes, Kind::Gauge),
    ("pipes_used_total", Info::PipesUsed, Kind::Counter),
    ("pipes_free_total", Info::PipesFree, Kind::Counter),
    ("current_connection_rate", Info::ConnRate, Kind::Gauge),
    ("limit_connection_rate", Info::ConnRateLimit, Kind::Gauge),
    ("max_connection_rate", Info::MaxConnRate, Kind::Gauge),
    ("current_session_rate", Info::SessRate, Kind::Gauge),
    ("limit_session_rate", Info::SessRateLimit, Kind::Gauge),
    ("max_session_rate", Info::MaxSessRate, Kind::Gauge),
    ("current_ssl_rate", Info::SslRate, Kind::Gauge),
    ("limit_ssl_rate", Info::SslRateLimit, Kind::Gauge),
    ("max_ssl_rate", Info::MaxSslRate, Kind::Gauge),
    ("current_frontend_ssl_key_rate", Info::SslFrontendKeyRate, Kind::Gauge),
    ("max_frontend_ssl_key_rate", Info::SslFrontendMaxKeyRate, Kind::Gauge),
    ("frontend_ssl_reuse", Info::SslFrontendSessionReusePct, Kind::Gauge),
    ("current_backend_ssl_key_rate", Info::SslBackendKeyRate, Kind::Gauge),
    ("max_backend_ssl_key_rate", Info::SslBackendMaxKeyRate, Kind::Gauge),
    ("ssl_cache_lookups_total", Info::SslCacheLookups, Kind::Counter),
    ("ssl_cache_misses_total", Info::SslCacheMisses, Kind::Counter),
    ("http_comp_bytes_in_total", Info::CompressBpsIn, Kind::Counter),
    ("http_comp_bytes_out_total", Info::CompressBpsOut, Kind::Counter),
    ("limit_http_comp", Info::CompressBpsRateLim, Kind::Gauge),
    ("current_zlib_memory", Info::ZlibMemUsage, Kind::Gauge),
    ("max_zlib_memory", Info::MaxZlibMemUsage, Kind::Gauge),
    ("current_tasks", Info::Tasks, Kind::Gauge),
    ("current_run_queue", Info::RunQueue, Kind::Gauge),
    ("idle_time_percent", Info::IdlePct, Kind::Gauge),
    ("stopping", Info::Stopping, Kind::Gauge),
    ("jobs", Info::Jobs, Kind::Gauge),
    ("unstoppable_jobs", Info::UnstoppableJobs, Kind::Gauge),
    ("listeners", Info::Listeners, Kind::Gauge),
    ("active_peers", Info::ActivePeers, Kind::Gauge),
    ("connected_peers", Info::ConnectedPeers, Kind::Gauge),
    ("dropped_logs_total", Info::DroppedLogs, Kind::Counter),
    ("busy_polling_enabled", Info::BusyPolling, Kind::Gauge),
    ("failed_resolutions", Info::FailedResolutions, Kind::Counter),
    ("bytes_out_total", Info::TotalBytesOut, Kind::Counter),
    ("spliced_bytes_out_total", Info::TotalSplicdedBytesOut, Kind::Counter),
    ("bytes_out_rate", Info::BytesOutRate, Kind::Gauge),
    ("recv_logs_total", Info::CumRecvLogs, Kind::Counter),
    ("build_info", Info::BuildInfo, Kind::Gauge),
    ("max_memory_bytes", Info::MemmaxBytes, Kind::Gauge),
    ("pool_allocated_bytes", Info::PoolAllocBytes, Kind::Gauge),
    ("pool_used_bytes", Info::PoolUsedBytes, Kind::Gauge),
    ("start_time_seconds", Info::StartTimeSec, Kind::Gauge),
];

/// What there is of a frontend.
#[rustfmt::skip] // a table
const FRONTEND: &[(&str, Field, Kind)] = &[
    ("current_sessions", Field::Scur, Kind::Gauge),
    ("max_sessions", Field::Smax, Kind::Gauge),
    ("limit_sessions", Field::Slim, Kind::Gauge),
    ("sessions_total", Field::Stot, Kind::Counter),
    ("bytes_in_total", Field::Bin, Kind::Counter),
    ("bytes_out_total", Field::Bout, Kind::Counter),
    ("requests_denied_total", Field::Dreq, Kind::Counter),
    ("responses_denied_total", Field::Dresp, Kind::Counter),
    ("request_errors_total", Field::Ereq, Kind::Counter),
    ("status", Field::Status, Kind::Gauge),
    ("limit_session_rate", Field::RateLim, Kind::Gauge),
    ("max_session_rate", Field::RateMax, Kind::Gauge),
    ("http_responses_total", Field::Hrsp1xx, Kind::Counter),
    ("http_requests_rate_max", Field::ReqRateMax, Kind::Gauge),
    ("http_requests_total", Field::ReqTot, Kind::Counter),
    ("http_comp_bytes_in_total", Field::CompIn, Kind::Counter),
    ("http_comp_bytes_out_total", Field::CompOut, Kind::Counter),
    ("http_comp_bytes_bypassed_total", Field::CompByp, Kind::Counter),
    ("http_comp_responses_total", Field::CompRsp, Kind::Counter),
    ("connections_rate_max", Field::ConnRateMax, Kind::Gauge),
    ("connections_total", Field::ConnTot, Kind::Counter),
    ("intercepted_requests_total", Field::Intercepted, Kind::Counter),
    ("denied_connections_total", Field::Dcon, Kind::Counter),
    ("denied_sessions_total", Field::Dses, Kind::Counter),
    ("failed_header_rewriting_total", Field::Wrew, Kind::Counter),
    ("http_cache_lookups_total", Field::CacheLookups, Kind::Counter),
    ("http_cache_hits_total", Field::CacheHits, Kind::Counter),
    ("internal_errors_total", Field::Eint, Kind::Counter),
];

/// What there is of a backend.
#[rustfmt::skip] // a table
const BACKEND: &[(&str, Field, Kind)] = &[
    ("current_queue", Field::Qcur, Kind::Gauge),
    ("max_queue", Field::Qmax, Kind::Gauge),
    ("current_sessions", Field::Scur, Kind::Gauge),
    ("max_sessions", Field::Smax, Kind::Gauge),
    ("limit_sessions", Field::Slim, Kind::Gauge),
    ("sessions_total", Field::Stot, Kind::Counter),
    ("bytes_in_total", Field::Bin, Kind::Counter),
    ("bytes_out_total", Field::Bout, Kind::Counter),
    ("requests_denied_total", Field::Dreq, Kind::Counter),
    ("responses_denied_total", Field::Dresp, Kind::Counter),
    ("connection_errors_total", Field::Econ, Kind::Counter),
    ("response_errors_total", Field::Eresp, Kind::Counter),
    ("retry_warnings_total", Field::Wretr, Kind::Counter),
    ("redispatch_warnings_total", Field::Wredis, Kind::Counter),
    ("status", Field::Status, Kind::Gauge),
    ("weight", Field::Weight, Kind::Gauge),
    ("active_servers", Field::Act, Kind::Gauge),
    ("backup_servers", Field::Bck, Kind::Gauge),
    ("check_up_down_total", Field::Chkdown, Kind::Counter),
    ("check_last_change_seconds", Field::Lastchg, Kind::Gauge),
    ("downtime_seconds_total", Field::Downtime, Kind::Counter),
    ("loadbalanced_total", Field::Lbtot, Kind::Counter),
    ("max_session_rate", Field::RateMax, Kind::Gauge),
    ("http_responses_total", Field::Hrsp1xx, Kind::Counter),
    ("http_requests_total", Field::ReqTot, Kind::Counter),
    ("client_aborts_total", Field::CliAbrt, Kind::Counter),
    ("server_aborts_total", Field::SrvAbrt, Kind::Counter),
    ("http_comp_bytes_in_total", Field::CompIn, Kind::Counter),
    ("http_comp_bytes_out_total", Field::CompOut, Kind::Counter),
    ("http_comp_bytes_bypassed_total", Field::CompByp, Kind::Counter),
    ("http_comp_responses_total", Field::CompRsp, Kind::Counter),
    ("last_session_seconds", Field::Lastsess, Kind::Gauge),
    ("queue_time_average_seconds", Field::Qtime, Kind::Gauge),
    ("connect_time_average_seconds", Field::Ctime, Kind::Gauge),
    ("response_time_average_seconds", Field::Rtime, Kind::Gauge),
    ("total_time_average_seconds", Field::Ttime, Kind::Gauge),
    ("failed_header_rewriting_total", Field::Wrew, Kind::Counter),
    ("connection_attempts_total", Field::Connect, Kind::Counter),
    ("connection_reuses_total", Field::Reuse, Kind::Counter),
    ("http_cache_lookups_total", Field::CacheLookups, Kind::Counter),
    ("http_cache_hits_total", Field::CacheHits, Kind::Counter),
    ("max_queue_time_seconds", Field::QtimeMax, Kind::Gauge),
    ("max_connect_time_seconds", Field::CtimeMax, Kind::Gauge),
    ("max_response_time_seconds", Field::RtimeMax, Kind::Gauge),
    ("max_total_time_seconds", Field::TtimeMax, Kind::Gauge),
    ("internal_errors_total", Field::Eint, Kind::Counter),
    ("uweight", Field::Uweight, Kind::Gauge),
    ("agg_server_status", Field::AggServerStatus, Kind::Gauge),
    ("agg_server_check_status", Field::AggServerCheckStatus, Kind::Gauge),
    ("agg_check_status", Field::AggCheckStatus, Kind::Gauge),
];

/// What there is of a server.
#[rustfmt::skip] // a table
const SERVER: &[(&str, Field, Kind)] = &[
    ("current_queue", Field::Qcur, Kind::Gauge),
    ("max_queue", Field::Qmax, Kind::Gauge),
    ("current_sessions", Field::Scur, Kind::Gauge),
    ("max_sessions", Field::Smax, Kind::Gauge),
    ("limit_sessions", Field::Slim, Kind::Gauge),
    ("sessions_total", Field::Stot, Kind::Counter),
    ("bytes_in_total", Field::Bin, Kind::Counter),
    ("bytes_out_total", Field::Bout, Kind::Counter),
    ("responses_denied_total", Field::Dresp, Kind::Counter),
    ("connection_errors_total", Field::Econ, Kind::Counter),
    ("response_errors_total", Field::Eresp, Kind::Counter),
    ("retry_warnings_total", Field::Wretr, Kind::Counter),
    ("redispatch_warnings_total", Field::Wredis, Kind::Counter),
    ("status", Field::Status, Kind::Gauge),
    ("weight", Field::Weight, Kind::Gauge),
    ("check_failures_total", Field::Chkfail, Kind::Counter),
    ("check_up_down_total", Field::Chkdown, Kind::Counter),
    ("check_last_change_seconds", Field::Lastchg, Kind::Gauge),
    ("downtime_seconds_total", Field::Downtime, Kind::Counter),
    ("queue_limit", Field::Qlimit, Kind::Gauge),
    ("current_throttle", Field::Throttle, Kind::Gauge),
    ("loadbalanced_total", Field::Lbtot, Kind::Counter),
    ("max_session_rate", Field::RateMax, Kind::Gauge),
    ("check_status", Field::CheckStatus, Kind::Gauge),
    ("check_code", Field::CheckCode, Kind::Gauge),
    ("check_duration_seconds", Field::CheckDuration, Kind::Gauge),
    ("http_responses_total", Field::Hrsp1xx, Kind::Counter),
    ("client_aborts_total", Field::CliAbrt, Kind::Counter),
    ("server_aborts_total", Field::SrvAbrt, Kind::Counter),
    ("last_session_seconds", Field::Lastsess, Kind::Gauge),
    ("queue_time_average_seconds", Field::Qtime, Kind::Gauge),
    ("connect_time_average_seconds", Field::Ctime, Kind::Gauge),
    ("response_time_average_seconds", Field::Rtime, Kind::Gauge),
    ("total_time_average_seconds", Field::Ttime, Kind::Gauge),
    ("failed_header_rewriting_total", Field::Wrew, Kind::Counter),
    ("connection_attempts_total", Field::Connect, Kind::Counter),
    ("connection_reuses_total", Field::Reuse, Kind::Counter),
    ("idle_connections_current", Field::SrvIcur, Kind::Gauge),
    ("idle_connections_limit", Field::SrcIlim, Kind::Gauge),
    ("max_queue_time_seconds", Field::QtimeMax, Kind::Gauge),
    ("max_connect_time_seconds", Field::CtimeMax, Kind::Gauge),
    ("max_response_time_seconds", Field::RtimeMax, Kind::Gauge),
    ("max_total_time_seconds", Field::TtimeMax, Kind::Gauge),
    ("internal_errors_total", Field::Eint, Kind::Counter),
    ("unsafe_idle_connections_current", Field::IdleConnCur, Kind::Gauge),
    ("safe_idle_connections_current", Field::SafeConnCur, Kind::Gauge),
    ("used_connections_current", Field::UsedConnCur, Kind::Gauge),
    ("need_connections_current", Field::NeedConnEst, Kind::Gauge),
    ("uweight", Field::Uweight, Kind::Gauge),
];

/// Classes of statuses, as labels.
const CLASSES: [(&str, Field); 6] = [
    ("1xx", Field::Hrsp1xx),
    ("2xx", Field::Hrsp2xx),
    ("3xx", Field::Hrsp3xx),
    ("4xx", Field::Hrsp4xx),
    ("5xx", Field::Hrsp5xx),
    ("other", Field::HrspOther),
];

/// States of proxies, as labels.
const SIDE_STATES: [&str; 2] = ["DOWN", "UP"];

/// States of servers, as labels.
const SERVER_STATES: [&str; 5] = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];

/// What checks find, as labels.
const CHECK_STATES: [&str; 16] = [
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP",
    "L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

/// Which parts are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    process: bool,
    frontends: bool,
    backends: bool,
    servers: bool,
    tables: bool,
    /// Servers in maintenance too.
    maintenance: bool,
}

impl Wanted {
    /// What a query asks for: `scope=global|frontend|backend|server|sticktable|*`, `no-maint`. `Err` for a scope that is none.
    pub(crate) fn of(query: &str) -> Result<Self, ()> {
        let mut wanted = Self {
            process: false,
            frontends: false,
            backends: false,
            servers: false,
            tables: false,
            maintenance: true,
        };
        let mut all = true;
        for part in query.split('&') {
            match part.split_once('=') {
                Some(("scope", scope)) => {
                    all = false;
                    match scope {
                        "" => {}
                        "global" => wanted.process = true,
                        "frontend" => wanted.frontends = true,
                        "backend" => wanted.backends = true,
                        "server" => wanted.servers = true,
                        "sticktable" => wanted.tables = true,
                        "*" => all = true,
                        _ => return Err(()),
                    }
                }
                None if part == "no-maint" => wanted.maintenance = false,
                None if part == "scope" => return Err(()),
                _ => {}
            }
        }
        if all {
            (wanted.process, wanted.frontends) = (true, true);
            (wanted.backends, wanted.servers) = (true, true);
            wanted.tables = true;
        }
        Ok(wanted)
    }
}

/// What is said of a stick table.
pub(crate) struct TableSize {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) size: u64,
    pub(crate) used: u64,
}

/// All metrics that are wanted.
pub(crate) fn render(figures: &Figures, tables: &[TableSize], wanted: Wanted) -> String {
    let mut out = String::new();
    if wanted.process {
        process(figures, &mut out);
    }
    if wanted.frontends {
        let rows: Vec<Labelled<'_>> = figures.proxies.iter().filter_map(frontend).collect();
        family("frontend", FRONTEND, &rows, &mut out);
    }
    if wanted.backends {
        let rows: Vec<Labelled<'_>> = figures.proxies.iter().filter_map(backend).collect();
        family("backend", BACKEND, &rows, &mut out);
    }
    if wanted.servers {
        let servers = |proxy| servers(proxy, wanted.maintenance);
        let rows: Vec<Labelled<'_>> = figures.proxies.iter().flat_map(servers).collect();
        family("server", SERVER, &rows, &mut out);
    }
    if wanted.tables {
        tables_of(
            tables,
            "size",
            "Entries that the table has room for",
            |it| it.size,
            &mut out,
        );
        tables_of(
            tables,
            "used",
            "Entries of the table",
            |it| it.used,
            &mut out,
        );
    }
    out
}

fn tables_of(
    tables: &[TableSize],
    name: &str,
    says: &str,
    value: impl Fn(&TableSize) -> u64,
    out: &mut String,
) {
    if !tables.is_empty() {
        head("sticktable", name, says, Kind::Gauge, out);
    }
    for it in tables {
        let (table, kind, value) = (escaped(&it.name), it.kind, value(it));
        put(
            out,
            format_args!("haproxy_sticktable_{name}{{name=\"{table}\",type=\"{kind}\"}} {value}\n"),
        );
    }
}

/// A row with what its samples say of themselves.
struct Labelled<'a> {
    labels: String,
    row: Row,
    /// The servers of a backend.
    servers: &'a [ServerFigures],
}

fn frontend(proxy: &ProxyFigures) -> Option<Labelled<'_>> {
    let it = proxy.frontend.as_ref()?;
    Some(Labelled {
        labels: format!("proxy=\"{}\"", escaped(&proxy.name)),
        row: row::frontend(proxy, it),
        servers: &[],
    })
}

fn backend(proxy: &ProxyFigures) -> Option<Labelled<'_>> {
    let it = proxy.backend.as_ref()?;
    Some(Labelled {
        labels: format!("proxy=\"{}\"", escaped(&proxy.name)),
        row: row::backend(proxy, it),
        servers: &proxy.servers,
    })
}

fn servers(proxy: &ProxyFigures, maintenance: bool) -> impl Iterator<Item = Labelled<'_>> {
    let shown = move |it: &&ServerFigures| maintenance || !is_in_maintenance(it.status);
    proxy.servers.iter().filter(shown).map(|it| {
        let (name, server) = (escaped(&proxy.name), escaped(&it.name));
        Labelled {
            labels: format!("proxy=\"{name}\",server=\"{server}\""),
            row: row::server(proxy, it),
            servers: std::slice::from_ref(it),
        }
    })
}

fn is_checked(it: &ServerFigures) -> bool {
    it.check.is_some() && !is_in_maintenance(it.status)
}

fn is_in_maintenance(status: ServerStatus) -> bool {
    matches!(status, ServerStatus::Maintenance | ServerStatus::Unresolved)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn process(figures: &Figures, out: &mut String) {
    let lines = info::lines(figures, false);
    for (name, info, kind) in PROCESS {
        head("process", name, info.says(), *kind, out);
        let line = lines.get(*info as usize).and_then(Option::as_ref);
        match line.map(|line| &line.value) {
            Some(Value::Text(text)) => {
                let version = escaped(text);
                put(
                    out,
                    format_args!("haproxy_process_{name}{{version=\"{version}\"}} 1\n"),
                );
            }
            Some(value) => put(out, format_args!("haproxy_process_{name} {value}\n")),
            None => put(out, format_args!("haproxy_process_{name} NaN\n")),
        }
    }
}

fn head(part: &str, name: &str, says: &str, kind: Kind, out: &mut String) {
    let kind = kind.word();
    put(
        out,
        format_args!("# HELP haproxy_{part}_{name} {says}\n# TYPE haproxy_{part}_{name} {kind}\n"),
    );
}

fn family(part: &str, table: &[(&str, Field, Kind)], rows: &[Labelled<'_>], out: &mut String) {
    for (name, field, kind) in table {
        let mut begun = false;
        for labelled in rows {
            let mut samples = String::new();
            samples_of(part, name, *field, labelled, &mut samples);
            if !samples.is_empty() && !std::mem::replace(&mut begun, true) {
                head(part, name, field.says(), *kind, out);
            }
            out.push_str(&samples);
        }
    }
}

fn samples_of(part: &str, name: &str, field: Field, labelled: &Labelled<'_>, out: &mut String) {
    let Labelled {
        labels,
        row,
        servers,
    } = labelled;
    let mut sample = |more: &str, value: &str| {
        put(
            out,
            format_args!("haproxy_{part}_{name}{{{labels}{more}}} {value}\n"),
        );
    };
    let is_server = part == "server";
    if is_of_http(field) && row.show(Field::Mode) == "tcp" {
        return;
    }
    match field {
        Field::Hrsp1xx => {
            for (label, field) in CLASSES {
                if let Some(value) = row.get(field) {
                    sample(&format!(",code=\"{label}\""), &value.to_string());
                }
            }
        }
        Field::Status if is_server => {
            let state = servers.first().map_or("DOWN", |it| state(it.status));
            for label in SERVER_STATES {
                let value = if label == state { "1" } else { "0" };
                sample(&format!(",state=\"{label}\""), value);
            }
        }
        Field::Status => {
            let state = match row.show(Field::Status).as_str() {
                "OPEN" | "UP" => "UP",
                _ => "DOWN",
            };
            for label in SIDE_STATES {
                let value = if label == state { "1" } else { "0" };
                sample(&format!(",state=\"{label}\""), value);
            }
        }
        Field::AggServerStatus | Field::AggServerCheckStatus | Field::AggCheckStatus
            if servers.is_empty() => {}
        Field::AggServerStatus | Field::AggServerCheckStatus => {
            for label in SERVER_STATES {
                let count = servers
                    .iter()
                    .filter(|it| state(it.status) == label)
                    .count();
                sample(&format!(",state=\"{label}\""), &count.to_string());
            }
        }
        Field::AggCheckStatus => {
            for label in CHECK_STATES {
                let count = servers
                    .iter()
                    .filter(|it| check_state(it) == Some(label))
                    .count();
                sample(&format!(",state=\"{label}\""), &count.to_string());
            }
        }
        Field::CheckStatus => {
            let Some(state) = servers.first().and_then(check_state) else {
                return;
            };
            for label in CHECK_STATES {
                let value = if label == state { "1" } else { "0" };
                sample(&format!(",state=\"{label}\""), value);
            }
        }
        field => match row.get(field) {
            Some(value) => sample("", &number(name, field, value)),
            // HAProxy tells the time down of a backend without servers here, and not in its table.
            None if field == Field::Downtime => sample("", "NaN"),
            // A check that came to no status is told as 0.
            None if field == Field::CheckCode && servers.first().is_some_and(is_checked) => {
                sample("", "0");
            }
            None if is_server && !is_of_http_or_checks(field) => sample("", "NaN"),
            None => {}
        },
    }
}

/// Columns that mean nothing where no requests are read.
fn is_of_http(field: Field) -> bool {
    matches!(
        field,
        Field::CompIn
            | Field::CompOut
            | Field::CompByp
            | Field::CompRsp
            | Field::ReqTot
            | Field::ReqRateMax
    )
}

/// Columns that a server of a tcp backend, or without checks, has no sample of.
fn is_of_http_or_checks(field: Field) -> bool {
    matches!(
        field,
        Field::ReqTot | Field::CheckCode | Field::CheckDuration
    )
}

/// Times are in seconds here.
fn number(name: &str, field: Field, value: &Value) -> String {
    let is_time = name.ends_with("_seconds")
        && !matches!(field, Field::Lastchg | Field::Lastsess | Field::Downtime);
    match value {
        Value::U32(millis) if is_time => format!("{:.6}", f64::from(*millis) / 1000.0),
        Value::U64(millis) if is_time => format!("{:.6}", *millis as f64 / 1000.0),
        value => value.to_string(),
    }
}

fn state(status: ServerStatus) -> &'static str {
    match status {
        ServerStatus::Unchecked | ServerStatus::Up | ServerStatus::GoingDown => "UP",
        ServerStatus::Down | ServerStatus::GoingUp => "DOWN",
        ServerStatus::Stopping | ServerStatus::StoppingDown => "NOLB",
        ServerStatus::Drain => "DRAIN",
        ServerStatus::Maintenance | ServerStatus::Unresolved => "MAINT",
    }
}

fn check_state(it: &ServerFigures) -> Option<&'static str> {
    if is_in_maintenance(it.status) {
        return None;
    }
    it.check.as_ref()?.outcome.map(|it| it.as_str())
}
