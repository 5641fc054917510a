//! A configuration by name: what a dialect gives, before anything is resolved.
//!
//! Every value has its span. `None` means that the text does not say: compile puts the default of
//! [`crate::defaults`] in its place. A broken text still gives a draft of what could be read.

use crate::action::Rule;
use crate::address::{BindAddress, TargetAddress};
use crate::expression::{Condition, StoredCounter, Template};
use crate::http2::Http2Draft;
use crate::life::ConnectionLifeDraft;
use crate::log::{LogDestination, RecordPart};
use crate::min_rate::MinRate;
use crate::name::Name;
use crate::passive::PassiveHealth;
use crate::resolution::ResolutionDraft;
use crate::settings::{
    CaptureCookie, CertificateJudge, ClientAuth, ConnectionReuse, ControlLevel, ErrorPageSource,
    Faults, FileMode, ForwardedMode, KeyType, MapLines, MapMatch, NoneHealthy, OwnAnswers,
    Password, Protocol, SendProxy, ServerName, SourceAddress, Tags, TargetKey, TargetSendProxy,
    TlsVersion, VerifyName, WhenFull,
};
use crate::span::Spanned;
use crate::stage::Named;
use crate::tcp::TcpKeepAlive;
use crate::traces::Traces;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::time::Duration;

pub use crate::certificate::{CertificateDraft, CertificateTlsDraft};
pub use crate::check::*;
pub use crate::choice::*;

/// All that one source states.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// `[process]`.
    pub process: ProcessDraft,
    /// `[listener.NAME]`.
    pub listeners: Vec<ListenerDraft>,
    /// `[target_group.NAME]`.
    pub groups: Vec<GroupDraft>,
    /// `[certificate.NAME]`.
    pub certificates: Vec<CertificateDraft>,
    /// `[stick_table.NAME]`.
    pub stick_tables: Vec<StickTableDraft>,
    /// `[map.NAME]`.
    pub maps: Vec<MapDraft>,
    /// `[userlist.NAME]`.
    pub userlists: Vec<UserlistDraft>,
    /// Parts of what was stated are left out, and that was said: what is missing for that reason is not said again.
    pub unfinished: bool,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProcessDraft {
    /// Data workers; a worker a core by default.
    pub workers: Option<Spanned<u16>>,
    /// The admin address.
    pub admin: Option<Spanned<SocketAddr>>,
    /// Connections of all listeners together.
    pub max_connections: Option<Spanned<u32>>,
    /// Limits that the system does not give are errors; warnings otherwise. True by default.
    pub strict_limits: Option<Spanned<bool>>,
    /// Bytes that connections and exchanges may take together.
    pub max_memory: Option<Spanned<u64>>,
    /// Pipes that bulk is moved through inside the kernel, at most; 0: everything is copied.
    pub max_pipes: Option<Spanned<u32>>,
    /// Connections a second that are accepted at most (`maxconnrate`).
    pub max_connection_rate: Option<Spanned<u32>>,
    /// Those that rules of the connection phase let in (`maxsessrate`).
    pub max_session_rate: Option<Spanned<u32>>,
    /// Those of listeners with TLS (`maxsslrate`).
    pub max_tls_rate: Option<Spanned<u32>>,
    /// Open connections of listeners with TLS (`maxsslconn`).
    pub max_tls_connections: Option<Spanned<u32>>,
    /// How long readiness fails before listeners stop accepting.
    pub ready_delay: Option<Spanned<Duration>>,
    /// How long established exchanges may take to finish on a graceful stop.
    pub shutdown_deadline: Option<Spanned<Duration>>,
    /// How long what a reload removes may go on with what is in progress.
    pub drain_deadline: Option<Spanned<Duration>>,
    /// The zone that it is in: targets of it come first.
    pub zone: Option<Spanned<String>>,
    /// Whom the process becomes once everything is bound: a user's name or number.
    pub user: Option<Spanned<String>>,
    /// The group it then has: a group's name or number; that of the user by default.
    pub group: Option<Spanned<String>>,
    /// The folder that it then takes for the root of the file system.
    pub chroot: Option<Spanned<String>>,
    /// The file that its number is written to.
    pub pid_file: Option<Spanned<String>>,
    /// It leaves the terminal and goes on in the background.
    pub daemon: Option<Spanned<bool>>,
    /// A master starts it, watches it and reloads it (`master-worker`).
    pub master: Option<Spanned<bool>>,
    /// Reloads that a worker which still finishes may outlive (`mworker-max-reloads`).
    pub max_reloads: Option<Spanned<u32>>,
    /// What this machine is called in pages and logs; its host name by default.
    pub node: Option<Spanned<String>>,
    /// What there is to say about this installation, shown on pages.
    pub description: Option<Spanned<String>>,
    /// Variables of the process, and what they are when it starts, in this order.
    pub variables: Vec<(Spanned<Name>, Spanned<Template<Named>>)>,
    /// Where it says that it starts and stops, beside its own log.
    pub log: Vec<Spanned<LogDestination>>,
    /// The collector that traces go to.
    pub traces: Option<Spanned<Traces>>,
    /// Sockets on which HAProxy's commands are understood.
    pub control_sockets: Vec<ControlSocketDraft>,
    /// How long a connection to a control socket may be silent.
    pub control_timeout: Option<Spanned<Duration>>,
    /// Connections to control sockets at most, all of them together.
    pub control_connections: Option<Spanned<u32>>,
}

/// A socket on which HAProxy's commands are understood.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlSocketDraft {
    /// Where it accepts.
    pub bind: Spanned<BindAddress>,
    /// What may be done on it; `Operator` by default.
    pub level: Option<Spanned<ControlLevel>>,
    /// The permissions of a UNIX socket; what the umask leaves by default.
    pub mode: Option<Spanned<FileMode>>,
    /// The owner of a UNIX socket, by name or number.
    pub user: Option<Spanned<String>>,
    /// The group of a UNIX socket, by name or number.
    pub group: Option<Spanned<String>>,
    /// Another process may be given the listening sockets over it.
    pub expose_listeners: Option<Spanned<bool>>,
}

impl ControlSocketDraft {
    /// A socket that says nothing but its address.
    pub fn new(bind: Spanned<BindAddress>) -> Self {
        Self {
            bind,
            level: None,
            mode: None,
            user: None,
            group: None,
            expose_listeners: None,
        }
    }
}

/// A listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerDraft {
    /// Its name; the span is that of the whole header.
    pub name: Spanned<Name>,
    /// The name under which it is counted, logged and limited, together with others of that name; its own by default.
    pub known_as: Option<Spanned<Name>>,
    /// The number by which HAProxy's tools know it; counted in the order of the text by default.
    pub number: Option<Spanned<u32>>,
    /// Where it accepts.
    pub binds: Vec<Spanned<BindAddress>>,
    /// Shown beside it.
    pub tags: Option<Spanned<Tags>>,
    /// How its sockets are made.
    pub socket: SocketDraft,
    /// What it speaks: `http`, or `https` where certificates are given.
    pub protocol: Option<Spanned<Protocol>>,
    /// Certificates by name; the first is the default.
    pub certificates: Vec<Spanned<Name>>,
    /// TLS settings.
    pub tls: ListenerTlsDraft,
    /// Rules in order; those of one phase run in this order.
    pub rules: Vec<Rule<Named>>,
    /// Timeouts.
    pub timeouts: ListenerTimeoutsDraft,
    /// X-Forwarded-* and Forwarded.
    pub forwarded: ForwardedDraft,
    /// The id that each request gets; none is made without it.
    pub request_id: Option<Spanned<RequestIdDraft>>,
    /// The PROXY protocol is expected from every client.
    pub accept_proxy: Option<Spanned<bool>>,
    /// Open connections at most.
    pub max_connections: Option<Spanned<u32>>,
    /// Connections a second that rules of the connection phase let in; more wait.
    pub max_session_rate: Option<Spanned<u32>>,
    /// How long a client's connection is used.
    pub life: ConnectionLifeDraft,
    /// HTTP/2 with clients.
    pub http2: Http2Draft,
    /// Bytes of a request head at most.
    pub head_bytes: Option<Spanned<u32>>,
    /// Fields of a head at most.
    pub head_fields: Option<Spanned<u16>>,
    /// Bytes of a request target at most.
    pub target_bytes: Option<Spanned<u32>>,
    /// Access log.
    pub access_log: Option<Spanned<AccessLogDraft>>,
    /// Where it is said that this listener starts and stops, beside the log of the process.
    pub log: Vec<Spanned<LogDestination>>,
    /// A cookie that is kept for the log.
    pub capture_cookie: Option<Spanned<CaptureCookie>>,
    /// How fast bodies must move on the client's side.
    pub min_rate: Option<Spanned<MinRate>>,
    /// Answers of our own by status: file names.
    /// What is answered in place of our own words, by status.
    pub error_pages: Vec<ErrorPageDraft>,
    /// The form of our own answers.
    pub own_answers: Option<Spanned<OwnAnswers>>,
    /// Heads are taken and passed on as HAProxy does it, also where that is less strict.
    pub lenient_heads: Option<Spanned<bool>>,
    /// Every client connection is closed after its first response.
    pub close: Option<Spanned<bool>>,
    /// Connections to targets are closed after a response to a client of this listener.
    pub close_targets: Option<Spanned<bool>>,
    /// A client that says nothing gets no answer.
    pub ignore_probes: Option<Spanned<bool>>,
}

impl ListenerDraft {
    /// A listener that says nothing but its name.
    pub fn new(name: Spanned<Name>) -> Self {
        Self {
            name,
            known_as: None,
            number: None,
            tags: None,
            binds: Vec::new(),
            socket: SocketDraft::default(),
            protocol: None,
            certificates: Vec::new(),
            tls: ListenerTlsDraft::default(),
            rules: Vec::new(),
            timeouts: ListenerTimeoutsDraft::default(),
            forwarded: ForwardedDraft::default(),
            request_id: None,
            accept_proxy: None,
            max_connections: None,
            max_session_rate: None,
            life: ConnectionLifeDraft::default(),
            http2: Http2Draft::default(),
            head_bytes: None,
            head_fields: None,
            target_bytes: None,
            access_log: None,
            log: Vec::new(),
            capture_cookie: None,
            min_rate: None,
            error_pages: Vec::new(),
            own_answers: None,
            lenient_heads: None,
            close: None,
            close_targets: None,
            ignore_probes: None,
        }
    }
}

/// See [`crate::settings::SocketOptions`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SocketDraft {
    /// Only packets of this network interface.
    pub interface: Option<Spanned<String>>,
    /// Whether `[::]` takes IPv6 alone; it does by default.
    pub v6_only: Option<Spanned<bool>>,
    /// Connections that wait to be accepted on each socket.
    pub backlog: Option<Spanned<u32>>,
    /// Addresses that this machine does not have can be bound.
    pub transparent: Option<Spanned<bool>>,
    /// Another may accept on the same addresses.
    pub shared: Option<Spanned<bool>>,
    /// Clients elsewhere hear nothing.
    pub packets_from: Option<Spanned<Vec<IpNet>>>,
    /// How accepted connections are watched over.
    pub tcp: TcpWatchDraft,
}

/// See [`TcpWatch`](crate::tcp::TcpWatch).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TcpWatchDraft {
    /// Whether silent connections are probed; those that carry tunnels by default.
    pub keep_alive: Option<Spanned<TcpKeepAlive>>,
    /// How long what was sent may stay unacknowledged; as the system has it by default.
    pub user_timeout: Option<Spanned<Duration>>,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListenerTlsDraft {
    /// Versions and suites.
    pub policy: TlsPolicyDraft,
    /// ALPN protocols in order of preference.
    pub alpn: Option<Spanned<Vec<String>>>,
    /// A client that offers only other protocols is served without one.
    pub accept_other_alpn: Option<Spanned<bool>>,
    /// A client that asks for a name without certificate is refused.
    pub strict_sni: Option<Spanned<bool>>,
    /// A connection that does not begin with TLS is served in the clear.
    pub accept_clear: Option<Spanned<bool>>,
    /// Client certificates.
    pub clients: ClientsDraft,
    /// Host names that a certificate should be for, each where something says so.
    pub expected_names: Vec<Spanned<String>>,
}

/// What is asked of clients' certificates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientsDraft {
    /// Whether one is asked for.
    pub auth: Option<Spanned<ClientAuth>>,
    /// Files of CAs.
    pub ca: Vec<Spanned<String>>,
    /// File of more CAs, whose names clients are not told.
    pub unnamed_ca: Option<Spanned<String>>,
    /// File of revocation lists.
    pub crl: Option<Spanned<String>>,
    /// Which certificates are good.
    pub judge: Option<Spanned<CertificateJudge>>,
    /// What may be wrong with the client's own certificate.
    pub ignored: Option<Spanned<Faults>>,
    /// What may be wrong with those above it.
    pub ignored_above: Option<Spanned<Faults>>,
}

/// Versions and suites of TLS, for both sides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TlsPolicyDraft {
    /// A policy's name: `modern`, `intermediate`, or one of AWS.
    pub name: Option<Spanned<String>>,
    /// No version below this.
    pub min_version: Option<Spanned<TlsVersion>>,
    /// No version above this.
    pub max_version: Option<Spanned<TlsVersion>>,
    /// Cipher suites, IANA or OpenSSL names, in place of the policy's.
    pub suites: Option<Spanned<Vec<Spanned<String>>>>,
    /// Groups of the key exchange, in place of ours.
    pub curves: Option<Spanned<Vec<Spanned<String>>>>,
}

/// See [`crate::settings::ListenerTimeouts`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListenerTimeoutsDraft {
    /// Request head and TLS handshake.
    pub request_head: Option<Spanned<Duration>>,
    /// That of a request head begins anew with each byte.
    pub request_head_renews: Option<Spanned<bool>>,
    /// Between requests.
    pub keep_alive: Option<Spanned<Duration>>,
    /// Silent client.
    pub client: Option<Spanned<Duration>>,
    /// Silent tunnel.
    pub tunnel: Option<Spanned<Duration>>,
    /// Client-hello phase.
    pub inspect: Option<Spanned<Duration>>,
    /// Silent client of a tunnel whose target has ended.
    pub tunnel_ending: Option<Spanned<Duration>>,
}

/// What targets are told about the client.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForwardedDraft {
    /// X-Forwarded-For.
    pub x_forwarded_for: Option<Spanned<ForwardedMode>>,
    /// X-Forwarded-Proto.
    pub x_forwarded_proto: Option<Spanned<ForwardedMode>>,
    /// X-Forwarded-Port.
    pub x_forwarded_port: Option<Spanned<ForwardedMode>>,
    /// X-Forwarded-Host.
    pub x_forwarded_host: Option<Spanned<ForwardedMode>>,
    /// `Forwarded` of RFC 7239; removed where nothing is said.
    pub forwarded: Option<Spanned<ForwardedMode>>,
    /// The client's port in X-Forwarded-For.
    pub client_port: Option<Spanned<bool>>,
    /// Peers whose X-Forwarded-* are believed.
    pub trusted_proxies: Vec<Spanned<IpNet>>,
}

/// The id of requests.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestIdDraft {
    /// The header that carries it to targets; none without it.
    pub header: Option<Spanned<String>>,
    /// What it is made of when the head of the request has come; 32 hexadecimal digits by chance without it, or what a
    /// trusted proxy sent.
    pub format: Option<Spanned<Template<Named>>>,
}

/// An access log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessLogDraft {
    /// The form of a record.
    pub format: Option<Spanned<LogFormat<Named>>>,
    /// Where records go; standard output where nothing is said.
    pub to: Vec<Spanned<LogDestination>>,
    /// The form of the record of a connection that ended before a request or a tunnel could begin; `format` by default.
    pub error_format: Option<Spanned<Template<Named>>>,
    /// Structured data for destinations of the form RFC 5424.
    pub structured_data: Option<Spanned<Template<Named>>>,
    /// Connections on which the client sent nothing leave a record too; by default on TCP listeners only.
    pub log_null: Option<Spanned<bool>>,
    /// Only exchanges that went wrong, were tried again or ended with a status of 500 or more are logged.
    pub only_faults: Option<Spanned<bool>>,
    /// What went wrong, was tried again or ended with a status of 500 or more is logged with the level `err`.
    pub raise_faults: Option<Spanned<bool>>,
    /// The record is written when the response's head, or a TCP connection to the target, is there, and not at the end.
    pub early: Option<Spanned<bool>>,
    /// Only exchanges and connections that this holds for are logged.
    pub when: Option<Spanned<Condition<Named>>>,
    /// What records are without; of the formats that have a name.
    pub without: Vec<Spanned<RecordPart>>,
}

/// The form of an access record.
#[derive(Debug, Clone, PartialEq)]
pub enum LogFormat<S: crate::stage::Stage> {
    /// One JSON object a line.
    Json,
    /// Apache's combined format.
    Combined,
    /// The form of an Application Load Balancer's access log.
    Alb,
    /// A template of values.
    Template(Template<S>),
}

/// What is sent in place of our own answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorPageDraft {
    /// The status that is replaced.
    pub status: Spanned<u16>,
    /// What is sent.
    pub page: Spanned<ErrorPageSource<Named>>,
}

/// A target group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDraft {
    /// Its name.
    pub name: Spanned<Name>,
    /// The number by which HAProxy's tools know it; counted in the order of the text by default.
    pub number: Option<Spanned<u32>>,
    /// Shown beside it.
    pub tags: Option<Spanned<Tags>>,
    /// What its targets speak; `http` or `tcp`, as the listeners that use it need, by default.
    pub protocol: Option<Spanned<Protocol>>,
    /// Where rules forward to.
    pub targets: Vec<TargetDraft>,
    /// Who is chosen.
    pub algorithm: Option<Spanned<Algorithm<Named>>>,
    /// What keeps a client with a target.
    pub stickiness: Option<Spanned<StickyCookie>>,
    /// The active probe; none without it.
    pub health_check: Option<Spanned<HealthCheckDraft>>,
    /// What is served ejects targets; nothing does without it.
    pub passive_health: Option<Spanned<PassiveHealth>>,
    /// Timeouts.
    pub timeouts: GroupTimeoutsDraft,
    /// TLS towards targets.
    pub tls: UpstreamTlsDraft,
    /// Rules in order.
    pub rules: Vec<Rule<Named>>,
    /// What happens when no target is healthy, or fewer than `min_healthy`.
    pub none_healthy: Option<Spanned<NoneHealthy>>,
    /// From how many usable targets on it counts as able to serve.
    pub min_healthy: Option<Spanned<MinHealthy>>,
    /// Its share of several groups is its own whatever its health.
    pub keep_share: Option<Spanned<bool>>,
    /// What a target may have in flight at most, in percent of its share of all that is, before a hash is led on to
    /// another; 0: no bound.
    pub hash_balance_factor: Option<Spanned<u32>>,
    /// Targets of the own zone serve alone while so many in a hundred of their weight are usable.
    pub min_zone_healthy: Option<Spanned<u8>>,
    /// How long a target that leaves or drains may go on with what is in progress, in place of the process's
    /// `drain_deadline`.
    pub deregistration_delay: Option<Spanned<Duration>>,
    /// Attempts beyond the first.
    pub retries: Option<Spanned<u32>>,
    /// Those of requests that a target may have seen, in percent of requests; 0: no limit.
    pub retry_budget: Option<Spanned<u32>>,
    /// Bodies of up to so many bytes are held, so that they can be sent again; 0: none are.
    pub retry_body_bytes: Option<Spanned<u32>>,
    /// How long the first waits, a random part left out; each further one twice as long.
    pub retry_backoff: Option<Spanned<Duration>>,
    /// No attempt beyond the first begins later than this after the request came.
    pub retry_within: Option<Spanned<Duration>>,
    /// What `retry_on` names is tried again only of requests whose method may be done twice.
    pub retry_idempotent_only: Option<Spanned<bool>>,
    /// Requests or connections in flight at all of its targets together; 0: no limit.
    pub max_connections: Option<Spanned<u32>>,
    /// Requests that may wait for a target; 0: no limit.
    pub max_pending: Option<Spanned<u32>>,
    /// Where they go.
    pub retry_to: Option<Spanned<RetryTo>>,
    /// What is tried again; where it is not said, what Portway holds for safe: connections that did not come about, and
    /// requests that may be repeated where a target closed without an answer.
    pub retry_on: Option<Spanned<Vec<Spanned<RetryOn>>>>,
    /// All usable backups take traffic together, not only the first (`option allbackups`).
    pub backups_together: Option<Spanned<bool>>,
    /// A client is kept with its target also while that is down (`option persist`).
    pub keep_when_down: Option<Spanned<bool>>,
    /// Where so many requests are in flight, targets with `min_connections` may have their full `max_connections`
    /// (`fullconn`).
    pub full_connections: Option<Spanned<u32>>,
    /// Idle connections kept per target, all workers together.
    pub pool_size: Option<Spanned<u32>>,
    /// How long a connection to a target is used.
    pub life: ConnectionLifeDraft,
    /// Which of them an exchange may have.
    pub connection_reuse: Option<Spanned<ConnectionReuse>>,
    /// The PROXY protocol is sent to targets.
    pub send_proxy: Option<Spanned<SendProxy>>,
    /// Where changes of its targets' health are told, beside the log of the process.
    pub log: Vec<Spanned<LogDestination>>,
    /// Checks that pass or fail are told there too when their result is another than the one before.
    pub log_health_checks: Option<Spanned<bool>>,
    /// What is answered in place of our own words, by status; before those of the listener.
    pub error_pages: Vec<ErrorPageDraft>,
    /// Connections to targets are closed after one response.
    pub close: Option<Spanned<bool>>,
    /// A request whose client closes before it has an answer is given up.
    pub abort_on_close: Option<Spanned<bool>>,
    /// Requests get a header of this name with the name of the target.
    pub target_name_header: Option<Spanned<String>>,
    /// How connections to targets are watched over.
    pub tcp: TcpWatchDraft,
}

impl GroupDraft {
    /// A group that says nothing but its name.
    pub fn new(name: Spanned<Name>) -> Self {
        Self {
            name,
            number: None,
            tags: None,
            protocol: None,
            targets: Vec::new(),
            algorithm: None,
            stickiness: None,
            health_check: None,
            passive_health: None,
            timeouts: GroupTimeoutsDraft::default(),
            tls: UpstreamTlsDraft::default(),
            rules: Vec::new(),
            none_healthy: None,
            min_healthy: None,
            hash_balance_factor: None,
            keep_share: None,
            min_zone_healthy: None,
            deregistration_delay: None,
            retries: None,
            retry_budget: None,
            retry_body_bytes: None,
            retry_backoff: None,
            retry_within: None,
            max_connections: None,
            retry_idempotent_only: None,
            max_pending: None,
            retry_to: None,
            retry_on: None,
            backups_together: None,
            keep_when_down: None,
            full_connections: None,
            pool_size: None,
            connection_reuse: None,
            life: ConnectionLifeDraft::default(),
            send_proxy: None,
            log: Vec::new(),
            log_health_checks: None,
            error_pages: Vec::new(),
            close: None,
            abort_on_close: None,
            target_name_header: None,
            tcp: TcpWatchDraft::default(),
        }
    }
}

/// A target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetDraft {
    /// Its name; the address where there is none.
    pub name: Option<Spanned<Name>>,
    /// The number by which HAProxy's tools know it; counted within the group, from 1, by default.
    pub number: Option<Spanned<u32>>,
    /// Where it lives.
    pub address: Spanned<TargetAddress>,
    /// Its share.
    pub weight: Option<Spanned<u16>>,
    /// The zone that it is in.
    pub zone: Option<Spanned<String>>,
    /// Takes traffic only when no other may.
    pub backup: Option<Spanned<bool>>,
    /// Takes no traffic and is not checked.
    pub disabled: Option<Spanned<bool>>,
    /// Requests (HTTP) or connections (TCP) in flight at most; more wait for their turn.
    pub max_connections: Option<Spanned<u32>>,
    /// The limit while the group has little to do; it rises to `max_connections` with the load (`minconn`).
    pub min_connections: Option<Spanned<u32>>,
    /// So many may wait for this target alone; 0, the default: no limit but those on connections (`maxqueue`).
    pub max_queue: Option<Spanned<u32>>,
    /// What stands in the cookie of stickiness.
    pub cookie: Option<Spanned<String>>,
    /// False: stick tables do not remember it.
    pub stick: Option<Spanned<bool>>,
    /// How long its share rises after it has come back.
    pub slow_start: Option<Spanned<Duration>>,
    /// It has one too when it comes to a group that serves. Default true.
    pub slow_start_when_new: Option<Spanned<bool>>,
    /// Its connections are closed when it goes down (`on-marked-down shutdown-sessions`).
    pub shutdown_on_down: Option<Spanned<bool>>,
    /// Connections of backups are closed when it comes back (`on-marked-up shutdown-backup-sessions`).
    pub shutdown_backups_on_up: Option<Spanned<bool>>,
    /// Without TLS, whatever the group speaks, or with settings of its own.
    pub tls: Option<Spanned<TargetTlsDraft>>,
    /// Its PROXY protocol; as the group says by default.
    pub send_proxy: Option<Spanned<TargetSendProxy>>,
    /// It is not checked itself: it is as this one is.
    pub track: Option<Spanned<TrackedDraft>>,
    /// A program beside it that says how it is.
    pub agent: Option<Spanned<AgentDraft>>,
    /// What differs from the group's check.
    pub check: Option<Spanned<TargetCheckDraft>>,
    /// Where the first address of a name comes from; the system's resolver, and none where that has none, by default.
    pub first_address: Option<Spanned<Vec<FirstAddress>>>,
    /// How its name is resolved.
    pub resolve: Option<Spanned<ResolutionDraft>>,
    /// Requests for it that only read are sent on: they are answered with 302 and this before path and query.
    pub redirect: Option<Spanned<String>>,
    /// What stands before the paths of requests that it gets.
    pub path_prefix: Option<Spanned<String>>,
    /// Where connections to it come from; as the system chooses by default.
    pub source: Option<Spanned<SourceAddress>>,
    /// How long what was sent to it may stay unacknowledged; as its group says by default.
    pub tcp_user_timeout: Option<Spanned<Duration>>,
}

impl TargetDraft {
    /// A target that says nothing but its address.
    pub fn new(address: Spanned<TargetAddress>) -> Self {
        Self {
            name: None,
            number: None,
            address,
            weight: None,
            zone: None,
            backup: None,
            disabled: None,
            max_connections: None,
            min_connections: None,
            max_queue: None,
            cookie: None,
            stick: None,
            slow_start: None,
            slow_start_when_new: None,
            shutdown_on_down: None,
            shutdown_backups_on_up: None,
            tls: None,
            send_proxy: None,
            track: None,
            agent: None,
            check: None,
            first_address: None,
            resolve: None,
            redirect: None,
            path_prefix: None,
            source: None,
            tcp_user_timeout: None,
        }
    }
}

/// See [`crate::settings::GroupTimeouts`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupTimeoutsDraft {
    /// Connection, TLS included.
    pub connect: Option<Spanned<Duration>>,
    /// Silent target.
    pub response: Option<Spanned<Duration>>,
    /// Waiting for a target.
    pub queue: Option<Spanned<Duration>>,
    /// One attempt, until the head of its response.
    pub attempt: Option<Spanned<Duration>>,
    /// A whole exchange.
    pub total: Option<Spanned<Duration>>,
    /// Idle pool connection.
    pub idle: Option<Spanned<Duration>>,
    /// Silent tunnel, in place of the listener's.
    pub tunnel: Option<Spanned<Duration>>,
    /// Silent tunnel, unless the listener's is shorter.
    pub tunnel_target: Option<Spanned<Duration>>,
    /// Silent target of a tunnel whose client has ended.
    pub tunnel_ending: Option<Spanned<Duration>>,
    /// Client-hello phase.
    pub inspect: Option<Spanned<Duration>>,
    /// Response phase of a stream.
    pub inspect_response: Option<Spanned<Duration>>,
}

/// TLS towards targets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpstreamTlsDraft {
    /// Whose certificates are believed; verified against the system's CAs by default.
    pub verify: Option<Spanned<Verify>>,
    /// Which certificates are good.
    pub judge: Option<Spanned<CertificateJudge>>,
    /// The name that is sent and verified.
    pub server_name: Option<Spanned<ServerName>>,
    /// The name that the certificate must have.
    pub verify_name: Option<Spanned<VerifyName>>,
    /// ALPN protocols that are offered; HTTP/1.1 to targets of HTTP by default.
    pub alpn: Option<Spanned<Vec<String>>>,
    /// PEM file of revocation lists.
    pub crl: Option<Spanned<String>>,
    /// Versions and suites.
    pub policy: TlsPolicyDraft,
    /// Our certificate towards targets, by name.
    pub certificate: Option<Spanned<Name>>,
    /// Sessions are resumed where the target offers it.
    pub resume: Option<Spanned<bool>>,
}

/// TLS towards one target, in place of its group's.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetTlsDraft {
    /// The group's, or none.
    Group(bool),
    /// With settings of its own, which say nothing of the group's.
    Own(Box<UpstreamTlsDraft>),
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Anybody's, as an ALB does. The handshake is still checked.
    Off,
    /// Those of the system's CAs.
    System,
    /// Those of the CAs in these files.
    Ca(Vec<String>),
}

/// A table of counters by key.
#[derive(Debug, Clone, PartialEq)]
pub struct StickTableDraft {
    /// Its name.
    pub name: Spanned<Name>,
    /// The type of its keys.
    pub key: Option<Spanned<KeyType>>,
    /// Entries at most.
    pub size: Option<Spanned<u32>>,
    /// How long an entry lives without use; for ever where not said.
    pub expire: Option<Spanned<Duration>>,
    /// What becomes of a new key where it is full.
    pub when_full: Option<Spanned<WhenFull>>,
    /// What its entries know a target by where they remember one; its name by default.
    pub target_key: Option<Spanned<TargetKey>>,
    /// What it counts.
    pub store: Vec<Spanned<StoredCounter>>,
}

/// A map, or a list where the values are empty.
#[derive(Debug, Clone, PartialEq)]
pub struct MapDraft {
    /// Its name.
    pub name: Spanned<Name>,
    /// A file: a line for each entry; empty lines and those that begin with `#` are none.
    pub file: Option<Spanned<String>>,
    /// What a line of the file is.
    pub lines: Option<Spanned<MapLines>>,
    /// Entries of the configuration itself, before those of the file.
    pub entries: Vec<(Spanned<String>, Spanned<String>)>,
    /// How keys are compared.
    pub compare: Option<Spanned<MapMatch>>,
    /// ASCII letters of either case are equal.
    pub ignore_case: Option<Spanned<bool>>,
}

/// Users with their passwords and groups.
#[derive(Debug, Clone, PartialEq)]
pub struct UserlistDraft {
    /// Its name.
    pub name: Spanned<Name>,
    /// Each user once.
    pub users: Vec<UserDraft>,
}

/// A user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserDraft {
    /// The name; without a colon.
    pub name: Spanned<String>,
    /// What the user must know.
    pub password: Spanned<Password>,
    /// The groups the user belongs to.
    pub groups: Vec<Spanned<String>>,
}
