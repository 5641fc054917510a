//! `show info`: what there is to say of the process, under HAProxy's names.

use std::time::{Duration, SystemTime};

use portway_control::figures::{Figures, ProcessFigures};

use super::field::{Value, columns};
use super::print::Line;
use super::row::narrow;

/// The date of this release, where HAProxy says its own.
const RELEASED: &str = "2026/11/21";

columns! {
    /// The values of `show info`.
    Info:
    Name => ("Name", "POS", "What this is"),
    Version => ("Version", "POS", "Version of HAProxy whose behaviour this is, and of Portway"),
    ReleaseDate => ("Release_date", "POS", "Date of the release"),
    Nbthread => ("Nbthread", "CGS", "Data workers"),
    Nbproc => ("Nbproc", "CGS", "Processes, always 1"),
    ProcessNum => ("Process_num", "KGP", "Number of this process, always 1"),
    Pid => ("Pid", "SGP", "Process id"),
    Uptime => ("Uptime", "MDP", "Time since the start, in words"),
    UptimeSec => ("Uptime_sec", "MDP", "Seconds since the start"),
    MemmaxMB => ("Memmax_MB", "CLP", "Megabytes of memory at most; 0: no limit"),
    PoolAllocMB => ("PoolAlloc_MB", "MGP", "Megabytes in pools"),
    PoolUsedMB => ("PoolUsed_MB", "MGP", "Megabytes of pools in use"),
    PoolFailed => ("PoolFailed", "MCP", "Allocations of pools that failed"),
    UlimitN => ("Ulimit-n", "CLP", "Open files at most"),
    Maxsock => ("Maxsock", "CLP", "Sockets at most"),
    Maxconn => ("Maxconn", "CLP", "Connections at most"),
    HardMaxconn => ("Hard_maxconn", "CLP", "The most that the limit of connections can be set to"),
    CurrConns => ("CurrConns", "MGP", "Connections now"),
    CumConns => ("CumConns", "MCP", "Connections so far"),
    CumReq => ("CumReq", "MCP", "Requests so far"),
    MaxSslConns => ("MaxSslConns", "MMP", "TLS connections at most; 0: no limit"),
    CurrSslConns => ("CurrSslConns", "MGP", "TLS connections now"),
    CumSslConns => ("CumSslConns", "MCP", "TLS connections so far"),
    Maxpipes => ("Maxpipes", "CLP", "Pipes at most"),
    PipesUsed => ("PipesUsed", "MGP", "Pipes in use"),
    PipesFree => ("PipesFree", "MGP", "Pipes that wait for use"),
    ConnRate => ("ConnRate", "MRP", "Connections of the last second"),
    ConnRateLimit => ("ConnRateLimit", "CLP", "Connections a second at most; 0: no limit"),
    MaxConnRate => ("MaxConnRate", "MMP", "Most connections in a second"),
    SessRate => ("SessRate", "MRP", "Sessions of the last second"),
    SessRateLimit => ("SessRateLimit", "CLP", "Sessions a second at most; 0: no limit"),
    MaxSessRate => ("MaxSessRate", "MRP", "Most sessions in a second"),
    SslRate => ("SslRate", "MRP", "TLS handshakes of the last second"),
    SslRateLimit => ("SslRateLimit", "CLP", "TLS handshakes a second at most; 0: no limit"),
    MaxSslRate => ("MaxSslRate", "MMP", "Most TLS handshakes in a second"),
    SslFrontendKeyRate => ("SslFrontendKeyRate", "MGP", "New TLS sessions of clients in the last second"),
    SslFrontendMaxKeyRate => ("SslFrontendMaxKeyRate", "MMP", "Most new TLS sessions of clients in a second"),
    SslFrontendSessionReusePct => ("SslFrontendSessionReuse_pct", "MGP", "Percentage of TLS sessions of clients that were resumed"),
    SslBackendKeyRate => ("SslBackendKeyRate", "MRP", "New TLS sessions with servers in the last second"),
    SslBackendMaxKeyRate => ("SslBackendMaxKeyRate", "MMP", "Most new TLS sessions with servers in a second"),
    SslCacheLookups => ("SslCacheLookups", "MCP", "Look-ups of TLS sessions"),
    SslCacheMisses => ("SslCacheMisses", "MCP", "Look-ups of TLS sessions that found none"),
    CompressBpsIn => ("CompressBpsIn", "MRP", "Bytes a second given to compression"),
    CompressBpsOut => ("CompressBpsOut", "MRP", "Bytes a second that compression made"),
    CompressBpsRateLim => ("CompressBpsRateLim", "CLP", "Bytes a second of compression at most"),
    ZlibMemUsage => ("ZlibMemUsage", "MGP", "Memory of zlib"),
    MaxZlibMemUsage => ("MaxZlibMemUsage", "CLP", "Memory of zlib at most"),
    Tasks => ("Tasks", "MGP", "Tasks of control"),
    RunQueue => ("Run_queue", "MGP", "Tasks that wait to run"),
    IdlePct => ("Idle_pct", "MaP", "Percentage of time without work"),
    Node => ("node", "COS", "What this machine is called"),
    Description => ("description", "COS", "What there is to say about this installation"),
    Stopping => ("Stopping", "MGP", "1 while the process stops"),
    Jobs => ("Jobs", "MGP", "Listening sockets and connections"),
    UnstoppableJobs => ("Unstoppable Jobs", "MGP", "Those of them that a stop does not wait for"),
    Listeners => ("Listeners", "MGP", "Sockets that connections are accepted on"),
    ActivePeers => ("ActivePeers", "MGP", "Peers that are connected or connect"),
    ConnectedPeers => ("ConnectedPeers", "MGP", "Peers that are connected"),
    DroppedLogs => ("DroppedLogs", "MGP", "Log lines that were not written"),
    BusyPolling => ("BusyPolling", "MGP", "1 where workers never sleep"),
    FailedResolutions => ("FailedResolutions", "MGP", "Names that were not resolved"),
    TotalBytesOut => ("TotalBytesOut", "MGP", "Bytes sent so far"),
    TotalSplicdedBytesOut => ("TotalSplicdedBytesOut", "MGP", "Bytes sent by splicing so far"),
    BytesOutRate => ("BytesOutRate", "MRP", "Bytes sent in the last second"),
    DebugCommandsIssued => ("DebugCommandsIssued", "MGP", "Debug commands so far"),
    CumRecvLogs => ("CumRecvLogs", "MCP", "Log lines received so far"),
    BuildInfo => ("Build info", "POS", "Build"),
    MemmaxBytes => ("Memmax_bytes", "CLP", "Bytes of memory at most; 0: no limit"),
    PoolAllocBytes => ("PoolAlloc_bytes", "MGP", "Bytes in pools"),
    PoolUsedBytes => ("PoolUsed_bytes", "MGP", "Bytes of pools in use"),
    StartTimeSec => ("Start_time_sec", "MDP", "Start, in seconds since 1970-01-01 UTC"),
    Tainted => ("Tainted", "SGP", "What should not have been done"),
}

/// Every value, in HAProxy's order; `None` for what this build does not have. `float`: durations with fractions.
pub(crate) fn lines(figures: &Figures, float: bool) -> Vec<Option<Line<'static>>> {
    let all = Info::ALL.iter();
    all.map(|info| {
        Some(Line {
            name: info.name(),
            tags: info.tags(),
            says: info.says(),
            value: value(*info, &figures.process, float)?,
        })
    })
    .collect()
}

fn value(info: Info, process: &ProcessFigures, float: bool) -> Option<Value> {
    let number = |value: u64| Value::U32(narrow(value));
    let text = |text: &str| Value::Text(text.to_owned());
    Some(match info {
        Info::Name => text("HAProxy"),
        Info::Version | Info::BuildInfo => text(&process.version),
        Info::ReleaseDate => text(RELEASED),
        Info::Nbthread => number(process.workers as u64),
        Info::Nbproc | Info::ProcessNum => Value::U32(1),
        Info::Pid => Value::U32(process.pid),
        Info::Uptime => Value::Text(uptime(process.uptime)),
        Info::UptimeSec if float => Value::Float(process.uptime.as_secs_f64()),
        Info::UptimeSec => number(process.uptime.as_secs()),
        Info::UlimitN | Info::Maxsock => number(process.max_descriptors),
        Info::Maxconn => Value::U32(process.max_connections),
        Info::HardMaxconn => Value::U32(process.hard_max_connections),
        Info::CurrConns => Value::U32(process.connections),
        Info::CumConns => number(process.connections_total),
        Info::CumReq => number(process.requests_total),
        Info::CurrSslConns => number(process.tls_connections),
        Info::CumSslConns => number(process.tls_total),
        Info::ConnRate | Info::SessRate => number(process.connection_rate.now),
        Info::MaxConnRate | Info::MaxSessRate => number(process.connection_rate.most),
        Info::ConnRateLimit => Value::U32(process.rate_limits[0]),
        Info::SessRateLimit => Value::U32(process.rate_limits[1]),
        Info::SslRateLimit => Value::U32(process.rate_limits[2]),
        Info::MemmaxMB => number(process.max_memory >> 20),
        // As many bits as HAProxy has for it.
        Info::MemmaxBytes => number(process.max_memory),
        Info::MaxSslConns => Value::U32(process.max_tls_connections),
        Info::Maxpipes => Value::U32(process.pipes.most),
        Info::PipesUsed => Value::U32(process.pipes.lent),
        Info::PipesFree => Value::U32(process.pipes.free),
        Info::SslRate => number(process.tls_rate.now),
        Info::MaxSslRate => number(process.tls_rate.most),
        Info::SslFrontendSessionReusePct => {
            let percent = process.tls_resumed * 100;
            number(percent.checked_div(process.tls_total).unwrap_or(0))
        }
        Info::ZlibMemUsage | Info::MaxZlibMemUsage => return None,
        Info::IdlePct => Value::U32(100),
        Info::Node => text(&process.node),
        Info::Description => text(process.description.as_deref()?),
        Info::Stopping => Value::U32(u32::from(process.stopping)),
        Info::Jobs => number(process.listeners as u64 + u64::from(process.connections)),
        Info::Listeners => number(process.listeners as u64),
        Info::DroppedLogs => number(process.dropped_logs),
        Info::TotalBytesOut => Value::U64(process.sent_bytes),
        Info::TotalSplicdedBytesOut => Value::U64(process.pipes.bytes),
        Info::PoolAllocBytes | Info::PoolUsedBytes => Value::U64(0),
        Info::BytesOutRate => Value::U64(process.sent_rate.now),
        Info::StartTimeSec if float => Value::Float(since_epoch(process.started).as_secs_f64()),
        Info::StartTimeSec => number(since_epoch(process.started).as_secs()),
        Info::Tainted => text("0"),
        _ => Value::U32(0),
    })
}

fn since_epoch(moment: SystemTime) -> Duration {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// `0d 0h01m02s`.
pub(crate) fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    format!(
        "{}d {}h{:02}m{:02}s",
        hours / 24,
        hours % 24,
        minutes % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_haproxy_has_them() {
        for (at, name) in [
            (6, "Pid"),
            (13, "Ulimit-n"),
            (50, "node"),
            (54, "Unstoppable Jobs"),
            (71, "Tainted"),
        ] {
            assert_eq!(Info::ALL[at].name(), name);
        }
        assert_eq!(Info::ALL.len(), 72);
    }

    #[test]
    fn uptimes() {
        let check = |seconds, expected: &str| {
            assert_eq!(uptime(Duration::from_secs(seconds)), expected);
        };
        check(0, "0d 0h00m00s");
        check(62, "0d 0h01m02s");
        check(90_061, "1d 1h01m01s");
    }
}
