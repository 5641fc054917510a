//! The columns of HAProxy 2.6's statistics: their names, what kind of value each is, and what it says.
//!
//! The order is that of HAProxy; tools count columns. What stands behind [`CORE`] is shown only where modules are.

/// Where a value comes from, what it is, and whom it is about: three letters, as `show stat typed` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tags(pub(crate) &'static str);

impl Tags {
    fn letter(self, at: usize) -> char {
        self.0.chars().nth(at).unwrap_or(' ')
    }

    /// Where it comes from.
    pub(crate) fn origin(self) -> &'static str {
        match self.letter(0) {
            'M' => "Metric",
            'S' => "Status",
            'K' => "Key",
            'C' => "Config",
            'P' => "Product",
            _ => "Unknown",
        }
    }

    /// What it is.
    pub(crate) fn nature(self) -> &'static str {
        match self.letter(1) {
            'G' => "Gauge",
            'L' => "Limit",
            'm' => "Min",
            'M' => "Max",
            'R' => "Rate",
            'C' => "Counter",
            'D' => "Duration",
            'A' => "Age",
            'T' => "Time",
            'N' => "Name",
            'O' => "Output",
            'a' => "Avg",
            _ => "Unknown",
        }
    }

    /// Whom it is about.
    pub(crate) fn scope(self) -> &'static str {
        match self.letter(2) {
            'C' => "Cluster",
            'P' => "Process",
            'S' => "Service",
            'Y' => "System",
            _ => "Unknown",
        }
    }
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    U32(u32),
    S32(i32),
    U64(u64),
    Text(String),
    /// Seconds with their fraction, where a tool asks for them.
    Float(f64),
}

impl Value {
    /// The word of `show stat typed`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::U32(_) => "u32",
            Value::S32(_) => "s32",
            Value::U64(_) => "u64",
            Value::Text(_) => "str",
            Value::Float(_) => "flt",
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::U32(value) => value.fmt(f),
            Value::S32(value) => value.fmt(f),
            Value::U64(value) => value.fmt(f),
            Value::Text(value) => value.fmt(f),
            Value::Float(value) => write!(f, "{value:.6}"),
        }
    }
}

/// A closed set of columns.
macro_rules! columns {
    ($(#[doc = $doc:literal])+ $set:ident: $($member:ident => ($name:literal, $tags:literal, $says:literal),)+) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(clippy::enum_variant_names, reason = "HAProxy's names")]
        pub(crate) enum $set {
            $($member,)+
        }

        impl $set {
            /// Every column in order.
            pub(crate) const ALL: &'static [$set] = &[$($set::$member,)+];

            /// Its name.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $($set::$member => $name,)+
                }
            }

            /// What kind of value it is.
            pub(crate) const fn tags(self) -> $crate::haproxy::field::Tags {
                match self {
                    $($set::$member => $crate::haproxy::field::Tags($tags),)+
                }
            }

            /// What it says.
            pub(crate) const fn says(self) -> &'static str {
                match self {
                    $($set::$member => $says,)+
                }
            }
        }
    };
}
pub(crate) use columns;

columns! {
    /// The columns of proxies and servers.
    Field:
    Pxname => ("pxname", "KNS", "Name of the proxy"),
    Svname => ("svname", "KNS", "Name of the server, or FRONTEND or BACKEND"),
    Qcur => ("qcur", "MGP", "Sessions that wait in the queue now"),
    Qmax => ("qmax", "MMP", "Most sessions that waited in the queue"),
    Scur => ("scur", "MGP", "Sessions now"),
    Smax => ("smax", "MMP", "Most sessions at once"),
    Slim => ("slim", "CLP", "Sessions at most"),
    Stot => ("stot", "MCP", "Sessions so far"),
    Bin => ("bin", "MCP", "Bytes of requests so far"),
    Bout => ("bout", "MCP", "Bytes of responses so far"),
    Dreq => ("dreq", "MCP", "Requests that rules refused"),
    Dresp => ("dresp", "MCP", "Responses that rules refused"),
    Ereq => ("ereq", "MCP", "Requests that were invalid or did not come whole"),
    Econ => ("econ", "MCP", "Connections to servers that did not come about"),
    Eresp => ("eresp", "MCP", "Responses that were invalid or did not come whole"),
    Wretr => ("wretr", "MCP", "Attempts that were made again"),
    Wredis => ("wredis", "MCP", "Attempts that were made at another server"),
    Status => ("status", "SGP", "State now"),
    Weight => ("weight", "MaP", "Weight in use"),
    Act => ("act", "MGP", "Active servers that take traffic"),
    Bck => ("bck", "MGP", "Backup servers that take traffic"),
    Chkfail => ("chkfail", "MCP", "Checks that failed while the server was up"),
    Chkdown => ("chkdown", "MCP", "Times that the server went down"),
    Lastchg => ("lastchg", "MAP", "Seconds since the state last changed"),
    Downtime => ("downtime", "MCP", "Seconds that it was down altogether"),
    Qlimit => ("qlimit", "CLS", "Sessions that may wait in the queue"),
    Pid => ("pid", "KGP", "Number of the process, always 1"),
    Iid => ("iid", "KGS", "Number of the proxy"),
    Sid => ("sid", "KGS", "Number of the server within its proxy"),
    Throttle => ("throttle", "MaP", "Percentage of its traffic that a starting server takes"),
    Lbtot => ("lbtot", "MCP", "Times that balancing chose it"),
    Tracked => ("tracked", "CNS", "Proxy and server whose state it follows"),
    Type => ("type", "CGS", "Kind of row: 0 frontend, 1 backend, 2 server, 3 socket"),
    Rate => ("rate", "MRP", "Sessions of the last second"),
    RateLim => ("rate_lim", "CLP", "Sessions a second at most"),
    RateMax => ("rate_max", "MMP", "Most sessions in a second"),
    CheckStatus => ("check_status", "MOP", "What the latest check found"),
    CheckCode => ("check_code", "MOP", "Status of the latest check answer"),
    CheckDuration => ("check_duration", "MDP", "Milliseconds that the latest check took"),
    Hrsp1xx => ("hrsp_1xx", "MCP", "Responses with a status of 100 to 199"),
    Hrsp2xx => ("hrsp_2xx", "MCP", "Responses with a status of 200 to 299"),
    Hrsp3xx => ("hrsp_3xx", "MCP", "Responses with a status of 300 to 399"),
    Hrsp4xx => ("hrsp_4xx", "MCP", "Responses with a status of 400 to 499"),
    Hrsp5xx => ("hrsp_5xx", "MCP", "Responses with a status of 500 to 599"),
    HrspOther => ("hrsp_other", "MCP", "Requests without a response of a known status"),
    Hanafail => ("hanafail", "MCP", "Failures seen in traffic"),
    ReqRate => ("req_rate", "MRP", "Requests of the last second"),
    ReqRateMax => ("req_rate_max", "MMP", "Most requests in a second"),
    ReqTot => ("req_tot", "MCP", "Requests so far"),
    CliAbrt => ("cli_abrt", "MCP", "Exchanges that the client gave up"),
    SrvAbrt => ("srv_abrt", "MCP", "Exchanges that the server gave up"),
    CompIn => ("comp_in", "MCP", "Bytes given to compression"),
    CompOut => ("comp_out", "MCP", "Bytes that compression made"),
    CompByp => ("comp_byp", "MCP", "Bytes that went around compression"),
    CompRsp => ("comp_rsp", "MCP", "Responses that were compressed"),
    Lastsess => ("lastsess", "MAP", "Seconds since the last session"),
    LastChk => ("last_chk", "MOP", "Why the latest check failed"),
    LastAgt => ("last_agt", "MOP", "Why the latest agent check failed"),
    Qtime => ("qtime", "MaP", "Average milliseconds in the queue"),
    Ctime => ("ctime", "MaP", "Average milliseconds to connect"),
    Rtime => ("rtime", "MaP", "Average milliseconds to the response"),
    Ttime => ("ttime", "MaP", "Average milliseconds of a session"),
    AgentStatus => ("agent_status", "SOP", "What the latest agent check found"),
    AgentCode => ("agent_code", "MCP", "Code of the latest agent check"),
    AgentDuration => ("agent_duration", "MDP", "Milliseconds that the latest agent check took"),
    CheckDesc => ("check_desc", "MOP", "What the latest check found, in words"),
    AgentDesc => ("agent_desc", "MOP", "What the latest agent check found, in words"),
    CheckRise => ("check_rise", "CGS", "Passing checks until it is up"),
    CheckFall => ("check_fall", "CGS", "Failing checks until it is down"),
    CheckHealth => ("check_health", "CGS", "Checks between down (0) and up (rise + fall - 1)"),
    AgentRise => ("agent_rise", "CGS", "Passing agent checks until it is up"),
    AgentFall => ("agent_fall", "CGS", "Failing agent checks until it is down"),
    AgentHealth => ("agent_health", "CGS", "Agent checks between down and up"),
    Addr => ("addr", "CGS", "Address of the server"),
    Cookie => ("cookie", "CNS", "Cookie of the proxy, or its value for the server"),
    Mode => ("mode", "CGS", "What it speaks: tcp or http"),
    Algo => ("algo", "CGS", "How servers are chosen"),
    ConnRate => ("conn_rate", "MRP", "Connections of the last second"),
    ConnRateMax => ("conn_rate_max", "MMP", "Most connections in a second"),
    ConnTot => ("conn_tot", "MCP", "Connections so far"),
    Intercepted => ("intercepted", "MCP", "Requests answered without a server"),
    Dcon => ("dcon", "MCP", "Connections that rules refused"),
    Dses => ("dses", "MCP", "Sessions that rules refused"),
    Wrew => ("wrew", "MCP", "Headers that could not be rewritten"),
    Connect => ("connect", "MCP", "Connections made to servers"),
    Reuse => ("reuse", "MCP", "Requests over connections that were open already"),
    CacheLookups => ("cache_lookups", "MCP", "Look-ups in the cache"),
    CacheHits => ("cache_hits", "MCP", "Responses out of the cache"),
    SrvIcur => ("srv_icur", "MGP", "Idle connections to the server"),
    SrcIlim => ("src_ilim", "CLP", "Idle connections to the server at most"),
    QtimeMax => ("qtime_max", "MMP", "Longest milliseconds in the queue"),
    CtimeMax => ("ctime_max", "MMP", "Longest milliseconds to connect"),
    RtimeMax => ("rtime_max", "MMP", "Longest milliseconds to the response"),
    TtimeMax => ("ttime_max", "MMP", "Longest milliseconds of a session"),
    Eint => ("eint", "MCP", "Mistakes of the balancer itself"),
    IdleConnCur => ("idle_conn_cur", "MGP", "Unsafe idle connections"),
    SafeConnCur => ("safe_conn_cur", "MGP", "Safe idle connections"),
    UsedConnCur => ("used_conn_cur", "MGP", "Connections in use"),
    NeedConnEst => ("need_conn_est", "MGP", "Connections that are probably needed"),
    Uweight => ("uweight", "MaP", "Weight as set"),
    AggServerStatus => ("agg_server_status", "MGP", "Servers by state"),
    AggServerCheckStatus => ("agg_server_check_status", "MGP", "Servers by result of their checks"),
    AggCheckStatus => ("agg_check_status", "MGP", "Servers by result of their checks"),
    SslSess => ("ssl_sess", "MCP", "TLS sessions so far"),
    SslReusedSess => ("ssl_reused_sess", "MCP", "TLS sessions that were resumed"),
    SslFailedHandshake => ("ssl_failed_handshake", "MCP", "TLS handshakes that failed"),
    H2HeadersRcvd => ("h2_headers_rcvd", "MCP", "HTTP/2: headers received"),
    H2DataRcvd => ("h2_data_rcvd", "MCP", "HTTP/2: data received"),
    H2SettingsRcvd => ("h2_settings_rcvd", "MCP", "HTTP/2: settings received"),
    H2RstStreamRcvd => ("h2_rst_stream_rcvd", "MCP", "HTTP/2: rst stream received"),
    H2GoawayRcvd => ("h2_goaway_rcvd", "MCP", "HTTP/2: goaway received"),
    H2DetectedConnProtocolErrors => ("h2_detected_conn_protocol_errors", "MCP", "HTTP/2: detected connection protocol errors"),
    H2DetectedStrmProtocolErrors => ("h2_detected_strm_protocol_errors", "MCP", "HTTP/2: detected stream protocol errors"),
    H2RstStreamResp => ("h2_rst_stream_resp", "MCP", "HTTP/2: rst stream sent"),
    H2GoawayResp => ("h2_goaway_resp", "MCP", "HTTP/2: goaway sent"),
    H2OpenConnections => ("h2_open_connections", "MGP", "HTTP/2: open connections"),
    H2BackendOpenStreams => ("h2_backend_open_streams", "MGP", "HTTP/2: backend open streams"),
    H2TotalConnections => ("h2_total_connections", "MCP", "HTTP/2: total connections"),
    H2BackendTotalStreams => ("h2_backend_total_streams", "MCP", "HTTP/2: backend total streams"),
    H1OpenConnections => ("h1_open_connections", "MGP", "HTTP/1: open connections"),
    H1OpenStreams => ("h1_open_streams", "MGP", "HTTP/1: open streams"),
    H1TotalConnections => ("h1_total_connections", "MCP", "HTTP/1: total connections"),
    H1TotalStreams => ("h1_total_streams", "MCP", "HTTP/1: total streams"),
    H1BytesIn => ("h1_bytes_in", "MCP", "HTTP/1: bytes in"),
    H1BytesOut => ("h1_bytes_out", "MCP", "HTTP/1: bytes out"),
    H1SplicedBytesIn => ("h1_spliced_bytes_in", "MCP", "HTTP/1: spliced bytes in"),
    H1SplicedBytesOut => ("h1_spliced_bytes_out", "MCP", "HTTP/1: spliced bytes out"),
}

/// How many columns there are without those of modules.
pub(crate) const CORE: usize = 103;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_where_haproxy_has_them() {
        for (at, name) in [
            (0, "pxname"),
            (17, "status"),
            (32, "type"),
            (62, "agent_status"),
            (79, "conn_tot"),
            (102, "agg_check_status"),
            (103, "ssl_sess"),
            (126, "h1_spliced_bytes_out"),
        ] {
            assert_eq!(Field::ALL[at].name(), name);
        }
        assert_eq!(Field::ALL.len(), 127);
        for (at, field) in Field::ALL.iter().enumerate() {
            assert_eq!(*field as usize, at);
            for part in [
                field.tags().origin(),
                field.tags().nature(),
                field.tags().scope(),
            ] {
                assert_ne!(part, "Unknown", "{}", field.name());
            }
        }
    }
}
