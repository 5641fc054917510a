//! Every default of the model in one place, with unit and reason.

use crate::choice::{FirstAddress, MinHealthy, RetryTo};
use crate::draft::Verify;
use crate::expression::TextMatch;
use crate::settings::{
    ConnectionReuse, ControlLevel, ForwardedMode, MapLines, MapMatch, NoneHealthy, ServerName,
    TargetKey, VerifyName, WhenFull,
};
use std::time::Duration;

/// Time for a request head and for a TLS handshake: ten seconds suffice for a slow phone, and bound slow loris.
pub const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// Idle time between requests: an ALB's 60 seconds, so that a balancer in front with the same value is the one to close.
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Silence of a client while it sends or receives: an ALB's idle timeout.
pub const CLIENT: Duration = Duration::from_secs(60);
/// How long a client may be behind a demanded rate: a mobile network that changes cells recovers in less.
pub const GRACE: Duration = Duration::from_secs(10);
/// Silence in both directions of a tunnel: one hour, HAProxy's common `timeout tunnel`; WebSocket heartbeats come far more often.
pub const TUNNEL: Duration = Duration::from_secs(3600);
/// Wait for a ClientHello: HAProxy's customary `inspect-delay 5s`.
pub const INSPECT: Duration = Duration::from_secs(5);
/// Time to connect to a target: five seconds bear one lost SYN (retransmitted after 1 s and 3 s).
pub const CONNECT: Duration = Duration::from_secs(5);
/// Silence of a target: an ALB's idle timeout.
pub const RESPONSE: Duration = Duration::from_secs(60);
/// Wait for a free target; as long as for a connection.
pub const QUEUE: Duration = Duration::from_secs(5);
/// Life of an idle upstream connection: below the 60 s (nginx 75, Apache 5, Node 5) that most servers keep theirs;
/// a server with less closes first and the liveness check sees it.
pub const POOL_IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept per target, all workers together.
pub const POOL_SIZE: u32 = 1024;
/// Any of them: what a target has closed in the meantime is tried again where that is safe, and asked for where it is not.
pub const CONNECTION_REUSE: ConnectionReuse = ConnectionReuse::Always;
/// A target keeps its name when it moves.
pub const TARGET_KEY: TargetKey = TargetKey::Name;
/// A full stick table forgets whom it has not seen for longest: who comes now is of more interest.
pub const WHEN_FULL: WhenFull = WhenFull::Evict;
/// Attempts beyond the first, HAProxy's `retries 3`.
pub const RETRIES: u32 = 3;
/// Retries of requests that a target may have seen, in percent of requests: what Linkerd and Envoy allow.
pub const RETRY_BUDGET: u32 = 20;
/// Where an attempt beyond the first goes: to another target, which is more likely to answer.
pub const RETRY_TO: RetryTo = RetryTo::Another;
/// Weight of a target.
pub const WEIGHT: u16 = 1;
/// Open connections of a listener when the file says none: 0 means that only the limit of the process counts.
pub const MAX_CONNECTIONS: u32 = 0;
/// Size of a request or response head in bytes, an ALB's 64 K.
pub const HEAD_BYTES: u32 = 64 * 1024;
/// Number of fields in a head; HAProxy takes 101, nginx has no limit, browsers send about 20.
pub const HEAD_FIELDS: u16 = 128;
/// Bytes of a request target, an ALB's 16 K of the request line. RFC 9112 section 3 asks for at least 8,000.
pub const TARGET_BYTES: u32 = 16 * 1024;

/// Seconds between two health checks: ALB 30, Classic 30, HAProxy 2, Traefik 30; ten finds a dead target in 20 s
/// at a cost that no target notices.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How far the time until the next check is from the interval, in percent: enough that checks of many balancers do not stay in
/// step.
pub const JITTER_PERCENT: u16 = 10;
/// Seconds between two questions to an agent, HAProxy's.
pub const AGENT_INTERVAL: Duration = Duration::from_secs(2);
/// Time for one check, an ALB's five seconds; the time between two checks where that is shorter.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Passing checks until an unhealthy target is healthy, HAProxy's `rise 2`.
pub const HEALTHY_THRESHOLD: u16 = 2;
/// Failing checks until a target is unhealthy, an ALB's 2.
pub const UNHEALTHY_THRESHOLD: u16 = 2;
/// A new target waits for its row of failures as any other.
pub const FIRST_FAILURE_IS_DOWN: bool = false;
/// Where the first address of a name comes from: one name that does not resolve does not keep the others from working.
pub const FIRST_ADDRESS: [FirstAddress; 2] = [FirstAddress::Resolver, FirstAddress::None];
/// Statuses that pass: any 2xx or 3xx, as HAProxy and Traefik take it.
pub const CHECK_EXPECT: (u16, u16) = (200, 399);

/// Bytes of a syslog message at most: what RFC 3164 section 4.1 demands of every receiver, HAProxy's default.
pub const SYSLOG_LENGTH: u16 = 1024;
/// Bytes of a message over UDP at most, whatever is configured: what a datagram can carry (65535 bytes with the headers of IPv4 and
/// UDP).
pub const SYSLOG_DATAGRAM: u16 = 65507;
/// The level of access records: HAProxy's.
pub const ACCESS_LEVEL: crate::log::LogLevel = crate::log::LogLevel::Info;

/// Pipes at most: so many of 256 KiB are what a user without rights may have (`fs.pipe-user-pages-soft`, 64 MiB).
pub const MAX_PIPES: u32 = 256;
/// The admin address.
pub const ADMIN: &str = "127.0.0.1:9900";
/// How long readiness fails before listeners stop accepting, on a graceful stop: none unless asked for.
pub const READY_DELAY: Duration = Duration::ZERO;
/// How long established exchanges may take to finish on a graceful stop.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);
/// How long what a reload removes may go on with what is in progress: AWS' deregistration delay.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(300);
/// The name of the TLS policy in use unless told otherwise: TLS 1.2 and 1.3 with forward secrecy.
pub const TLS_POLICY: &str = "intermediate";
/// ALPN protocols of an https listener; a tls listener offers none, since it does not know what passes.
pub const HTTPS_ALPN: [&str; 1] = ["http/1.1"];
/// X-Forwarded-For, -Proto, -Port and -Host: all are sent, as Traefik and Caddy do (an ALB sends no -Host).
pub const FORWARDED: ForwardedMode = ForwardedMode::Append;
/// Whose certificates are believed of targets.
pub const VERIFY: Verify = Verify::System;
/// The server name sent to TLS targets: what the client asked for, as targets that serve several names need.
pub const SERVER_NAME: ServerName = ServerName::Client;
/// The name that certificates of targets must have.
pub const VERIFY_NAME: VerifyName = VerifyName::SentOrAddress;
/// What happens when no target is healthy.
pub const NONE_HEALTHY: NoneHealthy = NoneHealthy::Refuse;
/// From how many usable targets on a group counts as able to serve: an ALB's one.
pub const MIN_HEALTHY: MinHealthy = MinHealthy {
    count: 1,
    percent: 0,
};
/// Percent of the own zone's weight that must be usable for it to serve alone: Envoy spills over below 71, where each
/// target that is left would have to bear 1.4 times its load.
pub const MIN_ZONE_HEALTHY: u8 = 70;
/// What a line of a map's file is.
pub const MAP_LINES: MapLines = MapLines::Pairs;
/// How keys of a map are compared.
pub const MAP_COMPARE: MapMatch = MapMatch::Text(TextMatch::Exact);
/// What a connection to a control socket may do: HAProxy's default of `level`.
pub const CONTROL_LEVEL: ControlLevel = ControlLevel::Operator;
/// Silence of a connection to a control socket, HAProxy's `stats timeout`.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections to control sockets, HAProxy's `stats maxconn`.
pub const CONTROL_CONNECTIONS: u32 = 10;
/// Time between two fetches of an answer of OCSP at least: HAProxy's `tune.ssl.ocsp-update.mindelay`.
pub const OCSP_MIN_REFRESH: Duration = Duration::from_secs(300);

/// HTTP/2 with clients.
pub mod http2 {
    /// Streams at the same time: what RFC 9113 section 6.5.2 asks for at least, and HAProxy's default.
    pub const STREAMS: u32 = 100;
    /// Bytes of a stream's first window: the protocol's own.
    pub const INITIAL_WINDOW: u32 = 65_535;
    /// Bytes that the window of a stream grows to; those of all streams together grow by 4 MiB at most.
    pub const MAX_WINDOW: u32 = 256 * 1024;
    /// Bytes that may be on the way on all streams together.
    pub const CONNECTION_WINDOW: u32 = 1024 * 1024;
    /// Streams a second that are ended before they are answered; five times as many at once.
    pub const RESET_RATE: u32 = 20;
    /// Frames a second that do nothing; five times as many at once.
    pub const IDLE_FRAME_RATE: u32 = 200;
}
