//! A compiled configuration: complete, checked, immutable.
//!
//! References are indices, defaults are filled in, and no `Option` means "use the default". Each object keeps
//! its [`Origin`], which equality does not look at.

use crate::action::{Phase, Rule};
use crate::address::{BindAddress, TargetAddress};
use crate::check::{CheckKind, Observation};
use crate::choice::{Algorithm, FirstAddress, MinHealthy, RetryOn, RetryTo, StickyCookie};
use crate::draft::{LogFormat, Verify};
use crate::expression::{Condition, StoredCounter, Template};
use crate::http2::Http2;
use crate::life::ConnectionLife;
use crate::log::{LogDestination, RecordPart};
use crate::min_rate::MinRate;
use crate::name::Name;
use crate::passive::PassiveHealth;
use crate::resolution::Resolution;
use crate::settings::{
    CaptureCookie, CertificateJudge, ClientAuth, ConnectionReuse, ControlLevel, ErrorPageSource,
    Faults, FileMode, ForwardedMode, GroupTimeouts, KeyType, ListenerTimeouts, MapLines, MapMatch,
    NoneHealthy, OwnAnswers, Password, Protocol, SendProxy, ServerName, SocketOptions,
    SourceAddress, Tags, TargetKey, TargetSendProxy, TlsVersion, VerifyName, WhenFull,
};
use crate::span::{Origin, Spanned};
use crate::stage::Resolved;
use crate::tcp::TcpWatch;
use crate::traces::Traces;
use ipnet::IpNet;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use crate::ids::{CertificateId, GroupId, ListenerId, MapId, StickTableId, UserlistId};

pub use crate::certificate::{Certificate, CertificateTls};

/// The compiled whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// What concerns the process.
    pub process: Process,
    /// By [`ListenerId`]. Shared: what a change leaves as it was is the same object in the next snapshot.
    pub listeners: Vec<Arc<Listener>>,
    /// By [`GroupId`]; shared as those.
    pub groups: Vec<Arc<TargetGroup>>,
    /// By [`CertificateId`].
    pub certificates: Vec<Certificate>,
    /// By [`StickTableId`].
    pub stick_tables: Vec<StickTable>,
    /// By [`MapId`].
    pub maps: Vec<Map>,
    /// By [`UserlistId`].
    pub userlists: Vec<Userlist>,
    /// Files with public keys that values hold signatures against, and where they are said.
    pub token_keys: TokenKeys,
}

/// Files that values name, of which conditions that never hold are no part any more. All are equal: the values are compared.
#[derive(Debug, Clone, Default)]
pub struct TokenKeys(pub Vec<Spanned<String>>);

impl PartialEq for TokenKeys {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Snapshot {
    /// True where there is something to connect to: a listener, or at least a control socket beside the health checks.
    pub fn serves(&self) -> bool {
        !self.listeners.is_empty() || !self.process.control_sockets.is_empty()
    }

    /// The group with this id. Ids of a snapshot are valid in it.
    pub fn group(&self, id: GroupId) -> Option<&TargetGroup> {
        self.groups.get(id.index()).map(Arc::as_ref)
    }
}

/// What concerns the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Data workers; 0: a worker a core.
    pub workers: u16,
    /// The admin address.
    pub admin: SocketAddr,
    /// Connections of all listeners together; 0: what the descriptor limit allows.
    pub max_connections: u32,
    /// Limits that the system does not give are errors; warnings otherwise.
    pub strict_limits: bool,
    /// Bytes that connections and exchanges may take together; 0: half of what the machine or its container has.
    pub max_memory: u64,
    /// Pipes that bulk is moved through inside the kernel, at most; 0: everything is copied.
    pub max_pipes: u32,
    /// Connections a second that are accepted at most; 0: no limit.
    pub max_connection_rate: u32,
    /// Those that rules of the connection phase let in; 0: no limit.
    pub max_session_rate: u32,
    /// Those of listeners with TLS; 0: no limit.
    pub max_tls_rate: u32,
    /// Open connections of listeners with TLS; 0: no limit.
    pub max_tls_connections: u32,
    /// How long readiness fails before listeners stop accepting.
    pub ready_delay: Duration,
    /// How long established exchanges may take to finish on a graceful stop.
    pub shutdown_deadline: Duration,
    /// How long what a reload removes may go on with what is in progress.
    pub drain_deadline: Duration,
    /// The zone that it is in.
    pub zone: Option<String>,
    /// Whom the process becomes once everything is bound: a user's name or number; `None`: it stays who it is.
    pub user: Option<Spanned<String>>,
    /// The group it then has: a group's name or number; `None`: that of the user.
    pub group: Option<Spanned<String>>,
    /// The folder that it then takes for the root of the file system.
    pub chroot: Option<Spanned<String>>,
    /// The file that its number is written to.
    pub pid_file: Option<Spanned<String>>,
    /// It leaves the terminal and goes on in the background.
    pub daemon: bool,
    /// A master starts it, watches it and reloads it.
    pub master: bool,
    /// Reloads that a worker which still finishes may outlive; `None`: any number.
    pub max_reloads: Option<u32>,
    /// What this machine is called in pages and logs; `None`: its host name.
    pub node: Option<String>,
    /// What there is to say about this installation, shown on pages.
    pub description: Option<String>,
    /// Variables of the process, and what they are when it starts, in this order.
    pub variables: Vec<(Name, Template<Resolved>)>,
    /// Where it says that it starts and stops, beside its own log.
    pub log: Vec<LogDestination>,
    /// The collector that traces go to; `None`: they go nowhere.
    pub traces: Option<Spanned<Traces>>,
    /// Sockets on which HAProxy's commands are understood.
    pub control_sockets: Vec<ControlSocket>,
    /// How long a connection to a control socket may be silent.
    pub control_timeout: Duration,
    /// Connections to control sockets at most, all of them together.
    pub control_connections: u32,
}

/// A socket on which HAProxy's commands are understood.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlSocket {
    /// Where it accepts; one address.
    pub bind: Spanned<BindAddress>,
    /// What may be done on it.
    pub level: ControlLevel,
    /// The permissions of a UNIX socket; `None`: what the umask leaves.
    pub mode: Option<FileMode>,
    /// The owner of a UNIX socket, by name or number; `None`: that of the process.
    pub user: Option<String>,
    /// The group of a UNIX socket, by name or number; `None`: that of the process.
    pub group: Option<String>,
    /// Another process may be given the listening sockets over it.
    pub expose_listeners: bool,
}

/// A listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name.
    pub name: Name,
    /// The name under which it is counted, logged and limited, together with others of that name.
    pub known_as: Name,
    /// The number by which HAProxy's tools know it; `None`: counted in the order of the text.
    pub number: Option<u32>,
    /// Shown beside it.
    pub tags: Tags,
    /// Where it accepts; none only where another listener hands over to it.
    pub binds: Vec<Spanned<BindAddress>>,
    /// How its sockets are made.
    pub socket: SocketOptions,
    /// What it speaks.
    pub protocol: Protocol,
    /// TLS settings; `Some` exactly where `protocol.is_tls()`.
    pub tls: Option<ListenerTls>,
    /// Rules by phase.
    pub rules: Rules,
    /// Timeouts.
    pub timeouts: ListenerTimeouts,
    /// X-Forwarded-* and Forwarded.
    pub forwarded: Forwarded,
    /// The id that each request gets; `None`: no id is made.
    pub request_id: Option<RequestId>,
    /// The PROXY protocol is expected from every client.
    pub accept_proxy: bool,
    /// Open connections at most; 0: only the process limit counts.
    pub max_connections: u32,
    /// Connections a second that rules of the connection phase let in; 0: no limit.
    pub max_session_rate: u32,
    /// How long a client's connection is used.
    pub life: ConnectionLife,
    /// HTTP/2 with clients.
    pub http2: Http2,
    /// Bytes of a request head at most.
    pub head_bytes: u32,
    /// Fields of a head at most, of requests and responses.
    pub head_fields: u16,
    /// Bytes of a request target at most.
    pub target_bytes: u32,
    /// Access log; `None`: records are not written.
    pub access_log: Option<AccessLog>,
    /// Where it is said that this listener starts and stops, beside the log of the process.
    pub log: Vec<LogDestination>,
    /// A cookie that is kept for the log.
    pub capture_cookie: Option<CaptureCookie>,
    /// How fast bodies must move on the client's side; `None`: any rate will do.
    pub min_rate: Option<MinRate>,
    /// Answers of our own by status.
    /// What is answered in place of our own words, by status.
    pub error_pages: Vec<ErrorPage>,
    /// The form of our own answers.
    pub own_answers: OwnAnswers,
    /// Heads are taken and passed on as HAProxy does it, also where that is less strict.
    pub lenient_heads: bool,
    /// Every client connection is closed after its first response.
    pub close: bool,
    /// Connections to targets are closed after a response to a client of this listener.
    pub close_targets: bool,
    /// A client that says nothing gets no answer.
    pub ignore_probes: bool,
    /// The text that made it.
    pub origin: Origin,
}

/// Rules by phase, each in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// [`Phase::Connection`].
    pub connection: Vec<Rule<Resolved>>,
    /// [`Phase::Session`].
    pub session: Vec<Rule<Resolved>>,
    /// [`Phase::ClientHello`].
    pub client_hello: Vec<Rule<Resolved>>,
    /// [`Phase::Request`].
    pub request: Vec<Rule<Resolved>>,
    /// [`Phase::Response`].
    pub response: Vec<Rule<Resolved>>,
    /// [`Phase::AfterResponse`].
    pub after_response: Vec<Rule<Resolved>>,
}

impl Rules {
    /// The rules of one phase.
    pub fn of(&self, phase: Phase) -> &[Rule<Resolved>] {
        match phase {
            Phase::Connection => &self.connection,
            Phase::Session => &self.session,
            Phase::ClientHello => &self.client_hello,
            Phase::Request => &self.request,
            Phase::Response => &self.response,
            Phase::AfterResponse => &self.after_response,
        }
    }

    /// The list of one phase, to be filled.
    pub fn of_mut(&mut self, phase: Phase) -> &mut Vec<Rule<Resolved>> {
        match phase {
            Phase::Connection => &mut self.connection,
            Phase::Session => &mut self.session,
            Phase::ClientHello => &mut self.client_hello,
            Phase::Request => &mut self.request,
            Phase::Response => &mut self.response,
            Phase::AfterResponse => &mut self.after_response,
        }
    }

    /// All rules, by phase in the order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Rule<Resolved>> {
        Phase::ALL.into_iter().flat_map(|phase| self.of(phase))
    }
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTls {
    /// At least one; the first is the default.
    pub certificates: Vec<CertificateId>,
    /// Versions and suites.
    pub policy: TlsPolicy,
    /// ALPN protocols in order of preference.
    pub alpn: Vec<String>,
    /// A client that offers only other protocols is served without one.
    pub accept_other_alpn: bool,
    /// A client that asks for a name without certificate is refused.
    pub strict_sni: bool,
    /// A connection that does not begin with TLS is served in the clear.
    pub accept_clear: bool,
    /// Client certificates.
    pub clients: Clients,
    /// Host names that a certificate should be for, in lower case.
    pub expected_names: Vec<Spanned<String>>,
}

/// What is asked of clients' certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct Clients {
    /// Whether one is asked for.
    pub auth: ClientAuth,
    /// Files of CAs.
    pub ca: Vec<String>,
    /// File of more CAs, whose names clients are not told.
    pub unnamed_ca: Option<String>,
    /// File of revocation lists.
    pub crl: Option<String>,
    /// Which certificates are good.
    pub judge: CertificateJudge,
    /// What may be wrong with the client's own certificate.
    pub ignored: Faults,
    /// What may be wrong with those above it.
    pub ignored_above: Faults,
}

/// Versions and suites of TLS. The named policy first, then what narrows it.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsPolicy {
    /// `modern`, `intermediate`, or one of AWS.
    pub name: String,
    /// No version below this; `None`: as the policy says.
    pub min_version: Option<TlsVersion>,
    /// No version above this; `None`: as the policy says.
    pub max_version: Option<TlsVersion>,
    /// Suites in place of the policy's; `None`: as the policy says.
    pub suites: Option<Vec<String>>,
    /// Groups of the key exchange; `None`: ours.
    pub curves: Option<Vec<String>>,
    /// The text that made it.
    pub origin: Origin,
}

/// What targets are told about the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Forwarded {
    /// X-Forwarded-For.
    pub x_forwarded_for: ForwardedMode,
    /// X-Forwarded-Proto.
    pub x_forwarded_proto: ForwardedMode,
    /// X-Forwarded-Port.
    pub x_forwarded_port: ForwardedMode,
    /// X-Forwarded-Host.
    pub x_forwarded_host: ForwardedMode,
    /// `Forwarded` of RFC 7239.
    pub forwarded: ForwardedMode,
    /// The client's port in X-Forwarded-For.
    pub client_port: bool,
    /// Peers whose X-Forwarded-* are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// An access log.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// The form of a record.
    pub format: LogFormat<Resolved>,
    /// Where records go; at least one.
    pub to: Vec<LogDestination>,
    /// The form of the record of a connection that ended before a request or a tunnel could begin; `None`: as `format`.
    pub error_format: Option<Template<Resolved>>,
    /// Structured data for destinations of the form RFC 5424; `None`: they get none.
    pub structured_data: Option<Template<Resolved>>,
    /// Connections on which the client sent nothing leave a record too.
    pub log_null: bool,
    /// Only what went wrong, was tried again or ended with a status of 500 or more is logged.
    pub only_faults: bool,
    /// What went wrong, was tried again or ended with a status of 500 or more is logged with the level `err`.
    pub raise_faults: bool,
    /// The record is written when the response's head, or a TCP connection to the target, is there.
    pub early: bool,
    /// Only exchanges and connections that this holds for are logged; `None`: all are.
    pub when: Option<Condition<Resolved>>,
    /// What records are without.
    pub without: Vec<RecordPart>,
}

/// The id of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestId {
    /// The header that carries it to targets, in lower case; `None`: none does.
    pub header: Option<String>,
    /// What it is made of; `None`: 32 hexadecimal digits by chance, or what a trusted proxy sent.
    pub format: Option<Template<Resolved>>,
}

/// What is sent in place of our own answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorPage {
    /// The status that is replaced.
    pub status: u16,
    /// What is sent.
    pub page: ErrorPageSource<Resolved>,
    /// The text that made it.
    pub origin: Origin,
}

/// A target group.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetGroup {
    /// Its name.
    pub name: Name,
    /// The number by which HAProxy's tools know it; `None`: counted in the order of the text.
    pub number: Option<u32>,
    /// Shown beside it.
    pub tags: Tags,
    /// What its targets speak.
    pub protocol: Protocol,
    /// Where rules forward to.
    pub targets: Vec<Target>,
    /// Who is chosen.
    pub algorithm: Algorithm<Resolved>,
    /// What keeps a client with a target.
    pub stickiness: Option<StickyCookie>,
    /// The active probe; `None`: targets are taken for healthy.
    pub health_check: Option<HealthCheck>,
    /// What is served ejects targets; `None`: nothing does.
    pub passive_health: Option<PassiveHealth>,
    /// Timeouts.
    pub timeouts: GroupTimeouts,
    /// TLS towards targets; `Some` exactly where `protocol.is_tls()`.
    pub tls: Option<UpstreamTls>,
    /// Rules by phase: those of the client-hello and request phases and of the response.
    pub rules: Rules,
    /// What happens when no target is healthy, or fewer than `min_healthy`.
    pub none_healthy: NoneHealthy,
    /// From how many usable targets on it counts as able to serve.
    pub min_healthy: MinHealthy,
    /// Its share of several groups is its own whatever its health.
    pub keep_share: bool,
    /// What a target may have in flight at most, in percent of its share of all that is, before a hash is led on to
    /// another; 0: no bound.
    pub hash_balance_factor: u32,
    /// Targets of the own zone serve alone while so many in a hundred of their weight are usable.
    pub min_zone_healthy: u8,
    /// How long a target that leaves or drains may go on with what is in progress; `None`: the process's
    /// `drain_deadline`.
    pub deregistration_delay: Option<Duration>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Those of requests that a target may have seen, in percent of requests; 0: no limit.
    pub retry_budget: u32,
    /// Bodies of up to so many bytes are held, so that they can be sent again; 0: none are.
    pub retry_body_bytes: u32,
    /// How long the first waits, a random part left out; each further one twice as long.
    pub retry_backoff: Duration,
    /// No attempt beyond the first begins later than this after the request came; `None`: no limit.
    pub retry_within: Option<Duration>,
    /// What `retry_on` names is tried again only of requests whose method may be done twice, but for connections that did not
    /// come about, and what targets say that they have not done.
    pub retry_idempotent_only: bool,
    /// Requests or connections in flight at all of its targets together, those of all workers; 0: no limit.
    pub max_connections: u32,
    /// Requests that may wait for a target; 0: no limit.
    pub max_pending: u32,
    /// Where they go.
    pub retry_to: RetryTo,
    /// What is tried again; `None`: what is safe.
    pub retry_on: Option<Vec<RetryOn>>,
    /// All usable backups take traffic together, not only the first.
    pub backups_together: bool,
    /// A client is kept with its target also while that is down.
    pub keep_when_down: bool,
    /// Where so many requests are in flight, targets with a lower limit may have their full one; 0: a tenth of
    /// what all of them may have.
    pub full_connections: u32,
    /// Idle connections kept per target, all workers together.
    pub pool_size: u32,
    /// How long a connection to a target is used.
    pub life: ConnectionLife,
    /// Which of them an exchange may have.
    pub connection_reuse: ConnectionReuse,
    /// The PROXY protocol is sent to targets.
    /// Where changes of its targets' health are told, beside the log of the process.
    pub log: Vec<LogDestination>,
    /// Checks are told there too when their result is another than the one before.
    pub log_health_checks: bool,
    /// What is answered in place of our own words, by status; before those of the listener.
    pub error_pages: Vec<ErrorPage>,
    /// Connections to targets are closed after one response.
    pub close: bool,
    /// A request whose client closes before it has an answer is given up.
    pub abort_on_close: bool,
    /// Requests get a header of this name with the name of the target, in place of what the client sent by this name.
    pub target_name_header: Option<String>,
    /// How connections to targets are watched over.
    pub tcp: TcpWatch,
    /// The PROXY protocol is sent to targets.
    pub send_proxy: Option<SendProxy>,
    /// The text that made it.
    pub origin: Origin,
}

/// A target.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its name, unique in the group.
    pub name: Name,
    /// The number by which HAProxy's tools know it; `None`: counted within the group, from 1.
    pub number: Option<u32>,
    /// Where it lives.
    pub address: TargetAddress,
    /// Its share.
    pub weight: u16,
    /// The zone that it is in.
    pub zone: Option<String>,
    /// That is the zone of the process.
    pub near: bool,
    /// Takes traffic only when no other may.
    pub backup: bool,
    /// Takes no traffic and is not checked.
    pub disabled: bool,
    /// Requests or connections in flight at most; 0: no limit.
    pub max_connections: u32,
    /// The limit while the group has little to do; 0: always the full one.
    pub min_connections: u32,
    /// So many may wait for this target alone; 0: no limit.
    pub max_queue: u32,
    /// What stands in the cookie of stickiness, where the configuration says it.
    pub cookie: Option<String>,
    /// False: stick tables do not remember it.
    pub stick: bool,
    /// How long its share rises after it has come back; zero: not at all.
    pub slow_start: Duration,
    /// It has one too when it comes to a group that serves.
    pub slow_start_when_new: bool,
    /// Its connections are closed when it goes down.
    pub shutdown_on_down: bool,
    /// Connections of backups are closed when it comes back.
    pub shutdown_backups_on_up: bool,
    /// How it differs from its group in TLS.
    pub tls: TargetTls,
    /// How it differs from its group in the PROXY protocol.
    pub send_proxy: TargetSendProxy,
    /// It is as this one is.
    pub track: Option<TargetRef>,
    /// How it is checked; `None`: not at all.
    pub check: Option<TargetCheck>,
    /// A program beside it that says how it is.
    pub agent: Option<Agent>,
    /// Where the first address of a name comes from.
    pub first_address: Vec<FirstAddress>,
    /// How its name is resolved.
    pub resolve: Resolution,
    /// It is one address of the name of this target, as it is written ([`crate::members`]).
    pub member_of: Option<Arc<Target>>,
    /// What stands before path and query in the `Location` of a 302, which GET and HEAD get in place of it; `None`: it serves them.
    pub redirect: Option<String>,
    /// What stands before the paths of requests that it gets; `None`: nothing.
    pub path_prefix: Option<String>,
    /// Where connections to it come from; `None`: as the system chooses.
    pub source: Option<SourceAddress>,
    /// How long what was sent to it may stay unacknowledged; `None`: as its group says.
    pub tcp_user_timeout: Option<Duration>,
    /// The text that made it.
    pub origin: Origin,
}

/// A target of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetRef {
    /// The group.
    pub group: GroupId,
    /// The index of the target in it.
    pub target: u32,
}

/// How one target is checked: what the group says, and what the target says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetCheck {
    /// Time between two checks of a healthy target.
    pub interval: Duration,
    /// Time between two checks while the state is about to change.
    pub fast_interval: Duration,
    /// Time between two checks of an unhealthy target.
    pub unhealthy_interval: Duration,
    /// Time for one check.
    pub timeout: Duration,
    /// Passing checks in a row until an unhealthy target is healthy.
    pub healthy_threshold: u16,
    /// Failing checks in a row until the target is unhealthy.
    pub unhealthy_threshold: u16,
    /// Another port than the target's.
    pub port: Option<u16>,
    /// Another address than the target's.
    pub address: Option<IpAddr>,
    /// With TLS or without it, whatever the kind of check says.
    pub tls: Option<bool>,
    /// The header of the PROXY protocol is sent first.
    pub send_proxy: bool,
    /// The server name of the handshake.
    pub server_name: Option<String>,
    /// ALPN protocols that are offered.
    pub alpn: Vec<String>,
    /// What clients see of the target counts too.
    pub observe: Option<Observation>,
}

/// A program beside a target that says how the target is.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// The port it listens on.
    pub port: u16,
    /// Another address than the target's.
    pub address: Option<IpAddr>,
    /// Time between two questions.
    pub interval: Duration,
    /// How far the time until the next one is from it, by chance, in percent.
    pub jitter_percent: u16,
    /// Time for one.
    pub timeout: Duration,
    /// What it is sent first; empty for nothing.
    pub send: String,
}

/// The active probe of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// How it is done.
    pub kind: CheckKind<Resolved>,
    /// Time between two checks of a healthy target.
    pub interval: Duration,
    /// Time between two checks while the state is about to change.
    pub fast_interval: Duration,
    /// Time between two checks of an unhealthy target.
    pub unhealthy_interval: Duration,
    /// How far the time until the next check is from what is said, by chance, in percent of it.
    pub jitter_percent: u16,
    /// Time for one check.
    pub timeout: Duration,
    /// Time for its connection.
    pub connect_timeout: Duration,
    /// Passing checks in a row until an unhealthy target is healthy.
    pub healthy_threshold: u16,
    /// Failing checks in a row until a target is unhealthy.
    pub unhealthy_threshold: u16,
    /// Another port than the target's.
    pub port: Option<u16>,
    /// A new target whose first check fails is unhealthy at once.
    pub first_failure_is_down: bool,
    /// A new target takes no traffic before its first passing check, unless its group fails open.
    pub wait_for_first_check: bool,
    /// A 404 is no failure: the target keeps its clients and takes no new ones.
    pub drain_on_404: bool,
    /// The text that made it.
    pub origin: Origin,
}

impl TargetGroup {
    /// The number of each target: its own, or the lowest that is left, from 1.
    pub fn target_numbers(&self) -> Vec<u32> {
        let own = |target: &Target| target.number;
        let taken: HashSet<u32> = self.targets.iter().filter_map(own).collect();
        let mut free = (1..).filter(|number| !taken.contains(number));
        let number = |target: &Target| own(target).or_else(|| free.next());
        self.targets.iter().filter_map(number).collect()
    }
}

impl HealthCheck {
    /// The check of a target that says nothing of its own.
    pub fn of_target(&self) -> TargetCheck {
        TargetCheck {
            interval: self.interval,
            fast_interval: self.fast_interval,
            unhealthy_interval: self.unhealthy_interval,
            timeout: self.timeout,
            healthy_threshold: self.healthy_threshold,
            unhealthy_threshold: self.unhealthy_threshold,
            port: self.port,
            address: None,
            tls: None,
            send_proxy: false,
            server_name: None,
            alpn: Vec::new(),
            observe: None,
        }
    }
}

impl TargetGroup {
    /// TLS towards one of its targets; `None` where none is spoken.
    pub fn tls_of<'a>(&'a self, target: &'a Target) -> Option<&'a UpstreamTls> {
        match &target.tls {
            TargetTls::Group => self.tls.as_ref(),
            TargetTls::Off => None,
            TargetTls::Own(own) => Some(own),
        }
    }

    /// The PROXY protocol that one of its targets gets.
    pub fn send_proxy_of<'a>(&'a self, target: &'a Target) -> Option<&'a SendProxy> {
        match &target.send_proxy {
            TargetSendProxy::Group => self.send_proxy.as_ref(),
            TargetSendProxy::Off => None,
            TargetSendProxy::Own(own) => Some(own),
        }
    }
}

/// TLS towards targets.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTls {
    /// Whose certificates are believed.
    pub verify: Verify,
    /// Which certificates are good.
    pub judge: CertificateJudge,
    /// The name that is sent and verified.
    pub server_name: ServerName,
    /// The name that the certificate must have.
    pub verify_name: VerifyName,
    /// ALPN protocols that are offered.
    pub alpn: Vec<String>,
    /// PEM file of revocation lists.
    pub crl: Option<String>,
    /// Versions and suites.
    pub policy: TlsPolicy,
    /// Our certificate towards targets.
    pub certificate: Option<CertificateId>,
    /// Sessions are resumed where the target offers it.
    pub resume: bool,
}

/// TLS towards one target.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetTls {
    /// As its group: none where that has none.
    Group,
    /// None, even where the group speaks it.
    Off,
    /// Settings of its own; only where the group speaks TLS.
    Own(Box<UpstreamTls>),
}

/// A table of counters by key.
#[derive(Debug, Clone, PartialEq)]
pub struct StickTable {
    /// Its name.
    pub name: Name,
    /// The type of its keys.
    pub key: KeyType,
    /// Entries at most.
    pub size: u32,
    /// How long an entry lives without use; `None`: for ever.
    pub expire: Option<Duration>,
    /// What becomes of a new key where it is full.
    pub when_full: WhenFull,
    /// What its entries know a target by where they remember one.
    pub target_key: TargetKey,
    /// What it counts.
    pub store: Vec<StoredCounter>,
    /// The text that made it.
    pub origin: Origin,
}

/// A map, or a list where the values are empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Its name.
    pub name: Name,
    /// A file: a line for each entry; empty lines and those that begin with `#` are none.
    pub file: Option<String>,
    /// What a line of the file is.
    pub lines: MapLines,
    /// Entries of the configuration itself, before those of the file.
    pub entries: Vec<(String, String)>,
    /// How keys are compared.
    pub compare: MapMatch,
    /// ASCII letters of either case are equal.
    pub ignore_case: bool,
    /// The text that made it.
    pub origin: Origin,
}

/// Users with their passwords and groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Userlist {
    /// Its name.
    pub name: Name,
    /// Each user once.
    pub users: Vec<User>,
    /// The text that made it.
    pub origin: Origin,
}

/// A user.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The name; without a colon.
    pub name: String,
    /// What the user must know.
    pub password: Password,
    /// The groups the user belongs to.
    pub groups: Vec<String>,
}
