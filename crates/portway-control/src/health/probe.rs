//! One check of one target: connect, speak TLS and HTTP as the check says, and judge.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portway_core::evaluate::Fetched;
use portway_core::health::{Failure, HealthState, Probe};
use portway_core::proxy_protocol::{Tell, write_v1, write_v2};
use portway_dataplane::live::ProcessState;
use portway_dataplane::race;
use portway_dataplane::{connect_from, is_of_ours, unix_path};
use portway_model::address::{Host, TargetAddress, domain_of_service};
use portway_model::check::{
    CheckConnect, CheckKind, CheckStep, CheckWord, CheckedService, HttpCheck,
};
use portway_model::expression::Variable;
use portway_model::members::written_address;
use portway_model::settings::{ProxyProtocol, ServerName as NameToSend, SourceAddress};
use portway_model::snapshot::{HealthCheck, Target, TargetCheck};
use portway_model::stage::Resolved;
use rustix::net::sockopt::{set_socket_linger, set_tcp_quickack};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::script::{self, Found};
use super::talk::{Talk, failed};
use super::{grpc, http, service};
use crate::targets::WatchedTarget;

/// What HTTP/2 is called in a handshake.
const HTTP2: &[u8] = b"h2";

/// A connection to a target, whatever it is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How a target is checked.
#[derive(Debug, Clone)]
pub struct Prober {
    /// What the configuration says of its group.
    pub check: HealthCheck,
    /// What it says of the target.
    pub own: TargetCheck,
    /// How TLS is spoken, where it is.
    pub tls: Option<Arc<ClientConfig>>,
    /// The name that is asked for.
    pub server_name: NameToSend,
    /// The version of the PROXY protocol, where checks send it.
    pub proxy: ProxyProtocol,
    /// Where the variables of the process are.
    pub process: Option<Arc<ProcessState>>,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Passed or failed.
    pub probe: Probe,
    /// In HAProxy's words.
    pub word: CheckWord,
    /// What the answer says in a number.
    pub code: Option<u16>,
    /// What there is to say of it, in HAProxy's words; perhaps nothing.
    pub said: Box<str>,
}

/// Where a check connects to.
enum Place<'a> {
    Tcp(SocketAddr),
    Unix(&'a str),
}

/// One check that is being done.
pub(super) struct Attempt<'a> {
    prober: &'a Prober,
    watched: &'a WatchedTarget,
    at: Mutex<At>,
}

/// How far a check has come.
struct At {
    /// What a timeout is called now.
    word: CheckWord,
    /// What is said of a timeout, and behind what is said of a connection that fails.
    told: String,
    /// When the time ends.
    deadline: Instant,
}

impl Prober {
    /// Checks `target` once; takes no longer than the check's timeout, and that to connect where it has one.
    pub async fn probe(&self, target: &WatchedTarget) -> Outcome {
        let attempt = Attempt {
            prober: self,
            watched: target,
            at: Mutex::new(At {
                word: CheckWord::L4Timeout,
                told: String::new(),
                deadline: Instant::now() + self.own.timeout,
            }),
        };
        let result = attempt.in_time().await;
        match result {
            Ok(Found { word, code, said }) => Outcome {
                probe: Probe::Passed,
                word,
                code,
                said: shortened(said),
            },
            Err(failure) => Outcome {
                word: failure.word(),
                code: failure.code().filter(|_| failure.word().has_code()),
                said: shortened(attempt.said(&failure)),
                probe: Probe::Failed(failure),
            },
        }
    }
}

impl Attempt<'_> {
    /// As [`Self::run`], until the deadline that the connection of the moment has.
    async fn in_time(&self) -> Result<Found, Failure> {
        let run = self.run();
        tokio::pin!(run);
        loop {
            let deadline = self.at().deadline;
            tokio::select! {
                result = &mut run => return result,
                () = sleep_until(deadline) => {
                    if self.at().deadline <= Instant::now() {
                        return Err(self.timed_out(self.prober.own.timeout));
                    }
                }
            }
        }
    }

    async fn run(&self) -> Result<Found, Failure> {
        if let CheckKind::Script(steps) = &self.prober.check.kind {
            return script::run(self, steps).await;
        }
        let mut talk = self.connect(None).await?;
        self.is_at(CheckWord::L7Timeout, String::new());
        match &self.prober.check.kind {
            CheckKind::Http(request) | CheckKind::Https(request) => {
                let host = self.host(request);
                match http::check(talk.stream.as_mut(), request, &host).await {
                    Ok(status) => Ok(Found::new(CheckWord::L7Ok, Some(status))),
                    Err(Failure::UnexpectedStatus { status: 404, .. }) if self.leaves_on_404() => {
                        Ok(Found::new(CheckWord::L7OkConditionally, Some(404)))
                    }
                    Err(failure) => Err(failure),
                }
            }
            CheckKind::Grpc(check) | CheckKind::Grpcs(check) => {
                let way = grpc::Way {
                    tls: self.speaks_tls(None),
                    authority: &host(None, &self.watched.target),
                    timeout: self.prober.own.timeout,
                };
                grpc::check(talk.stream, check, &way).await
            }
            CheckKind::Service(service) => {
                if matches!(service, CheckedService::SslHello) {
                    self.at().word = CheckWord::L6Timeout;
                }
                service::run(&mut talk, service).await
            }
            CheckKind::Tcp | CheckKind::Tls | CheckKind::Script(_) => Ok(self.connected()),
        }
    }

    /// What a check that only connects has found.
    pub(super) fn connected(&self) -> Found {
        Found::new(self.reached(None), None)
    }

    /// What a connection alone is called.
    pub(super) fn reached(&self, step: Option<&CheckConnect>) -> CheckWord {
        match self.speaks_tls(step) {
            true => CheckWord::L6Ok,
            false => CheckWord::L4Ok,
        }
    }

    /// Remembers what is said where the time ends now, or the connection.
    pub(super) fn is_at(&self, word: CheckWord, told: String) {
        let mut at = self.at();
        at.word = word;
        at.told = told;
    }

    /// What is said of a failure; where the connection has failed, with the step.
    fn said(&self, failure: &Failure) -> String {
        let mut said = failure.said();
        if failure.is_of_connection() {
            said.push_str(&self.at().told);
        }
        said
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timed_out(&self, limit: Duration) -> Failure {
        let at = self.at();
        match at.word {
            CheckWord::L4Timeout => Failure::ConnectTimedOut(limit),
            CheckWord::L7Timeout if at.told.is_empty() => Failure::TimedOut(limit),
            word => failed(word, None, at.told.as_str()),
        }
    }

    fn speaks_tls(&self, step: Option<&CheckConnect>) -> bool {
        let by_kind = matches!(
            self.prober.check.kind,
            CheckKind::Tls | CheckKind::Https(_) | CheckKind::Grpcs(_)
        );
        match step {
            Some(step) if !step.as_target => step.tls,
            Some(step) => step.tls || self.prober.own.tls.unwrap_or(by_kind),
            None => self.prober.own.tls.unwrap_or(by_kind),
        }
    }

    /// True where nothing is said over a connection.
    fn leaves_at_once(&self, step: Option<&CheckConnect>) -> bool {
        let own = &self.prober.own;
        let silent = match (step, &self.prober.check.kind) {
            (None, kind) => matches!(kind, CheckKind::Tcp) && !own.send_proxy,
            (Some(step), CheckKind::Script(steps)) => {
                let is_last =
                    matches!(steps.last(), Some(CheckStep::Connect(last)) if last == step);
                let sends = step.send_proxy || (step.as_target && own.send_proxy);
                is_last && !step.linger && !sends
            }
            (Some(_), _) => false,
        };
        silent && !self.speaks_tls(step)
    }

    /// A connection as the target's check says, or as a step of a script says.
    pub(super) async fn connect(&self, step: Option<&CheckConnect>) -> Result<Talk, Failure> {
        let Prober { check, own, .. } = self.prober;
        let word = std::mem::replace(&mut self.at().word, CheckWord::L4Timeout);
        // Where answers have a time of their own, the connection has another, the handshake included.
        let apart = check.connect_timeout != check.timeout;
        if apart {
            self.at().deadline = Instant::now() + check.connect_timeout;
        }
        let place = self.place(step)?;
        let limit = check
            .connect_timeout
            .min(own.timeout.max(check.connect_timeout));
        let (source, leaves) = (
            self.watched.target.source.as_ref(),
            self.leaves_at_once(step),
        );
        let mut stream = timeout(limit, self.connect_to(&place, source, leaves))
            .await
            .map_err(|_| Failure::ConnectTimedOut(limit))?
            .map_err(refused)?;
        let as_target = step.is_none_or(|step| step.as_target);
        if step.is_some_and(|step| step.send_proxy) || (as_target && own.send_proxy) {
            let mut header = Vec::new();
            match self.prober.proxy {
                ProxyProtocol::V1 => write_v1(None, &mut header),
                ProxyProtocol::V2 => write_v2(None, Tell::default(), &mut header),
            }
            stream.write_all(&header).await.map_err(refused)?;
        }
        if self.speaks_tls(step) {
            self.at().word = CheckWord::L6Timeout;
            stream = self.handshake(step, stream).await?;
        }
        let mut at = self.at();
        at.word = word;
        if apart {
            at.deadline = Instant::now() + own.timeout;
        }
        drop(at);
        Ok(Talk::new(stream))
    }

    /// Any address of the target will do, as for what it serves.
    async fn connect_to(
        &self,
        place: &Place<'_>,
        source: Option<&SourceAddress>,
        leaves: bool,
    ) -> io::Result<Box<dyn Stream>> {
        let state = &self.watched.state;
        let ways = match place {
            Place::Tcp(address) if state.address() == Some(*address) => {
                state.ways_from(*address).map(|ways| (*address, ways))
            }
            _ => None,
        };
        let Some((from, ways)) = ways else {
            return connect(place, source, leaves).await;
        };
        let connect = |to| async move { connect(&Place::Tcp(to), source, leaves).await };
        let (to, stream) = race::first_of(ways, connect).await?;
        state.moves(from, to);
        Ok(stream)
    }

    fn place(&self, step: Option<&CheckConnect>) -> Result<Place<'_>, Failure> {
        let Prober { own, .. } = self.prober;
        let as_target = step.is_none_or(|step| step.as_target);
        let told = self.watched.check_place();
        let own_ip = told.address.or(own.address);
        let own_port = told.port.or(own.port);
        let ip = step.and_then(|step| step.address).or(own_ip);
        let port = step.and_then(|step| step.port);
        let port = port.or(own_port.filter(|_| as_target || port.is_none()));
        let target = &self.watched.target;
        match (&target.address, ip) {
            (TargetAddress::Unix(path), None) => Ok(Place::Unix(path)),
            (TargetAddress::ClientDestination { port: own }, Some(ip)) => {
                let port = port.or(*own).unwrap_or_default();
                Ok(Place::Tcp(SocketAddr::new(ip, port)))
            }
            (TargetAddress::ClientDestination { .. }, None) => {
                let why = "a target that is the client's own destination has no address of its own";
                Err(Failure::ConnectFailed(why.into()))
            }
            (_, ip) => {
                let known = self.watched.state.address();
                let mut address = match (known, ip) {
                    (Some(address), _) => address,
                    (None, Some(ip)) => SocketAddr::new(ip, 0),
                    (None, None) => {
                        return Err(Failure::NotResolved("it has no address".into()));
                    }
                };
                if let Some(ip) = ip {
                    address.set_ip(ip);
                }
                if let Some(port) = port {
                    address.set_port(port);
                }
                Ok(Place::Tcp(address))
            }
        }
    }

    async fn handshake(
        &self,
        step: Option<&CheckConnect>,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Failure> {
        let Some(tls) = &self.prober.tls else {
            return Err(Failure::TlsFailed("it is not set up".into()));
        };
        let own = &self.prober.own;
        let alpn = step.map(|step| &step.alpn).filter(|alpn| !alpn.is_empty());
        let alpn = alpn.unwrap_or(&own.alpn);
        let mut tls = Arc::clone(tls);
        let is_grpc = matches!(
            self.prober.check.kind,
            CheckKind::Grpc(_) | CheckKind::Grpcs(_)
        );
        if is_grpc {
            Arc::make_mut(&mut tls).alpn_protocols = vec![HTTP2.to_vec()];
        } else if !alpn.is_empty() {
            let protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec());
            Arc::make_mut(&mut tls).alpn_protocols = protocols.collect();
        }
        let said = step.and_then(|step| step.server_name.as_ref());
        let said = said.or(own.server_name.as_ref());
        let name = match said {
            Some(name) => ServerName::try_from(name.clone())
                .unwrap_or(ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into())),
            None => self.prober.name(&self.watched.target),
        };
        match TlsConnector::from(tls).connect(name, stream).await {
            Ok(stream) if is_grpc && stream.get_ref().1.alpn_protocol() != Some(HTTP2) => Err(
                Failure::TlsFailed("the target does not choose HTTP/2 (ALPN h2)".into()),
            ),
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(handshake_failure(&error)),
        }
    }

    /// True where a 404 takes the target out of rotation without being a failure: one that is down stays so.
    pub(super) fn leaves_on_404(&self) -> bool {
        self.prober.check.drain_on_404 && self.watched.state_now() != HealthState::Unhealthy
    }

    pub(super) fn group_name(&self) -> &str {
        self.watched.group.as_str()
    }

    pub(super) fn target_name(&self) -> &str {
        self.watched.target.name.as_str()
    }

    pub(super) fn process_variable(&self, variable: &Variable) -> Fetched<'static> {
        let process = self.prober.process.as_ref();
        process.map_or(Fetched::Absent, |process| process.variable(variable))
    }

    /// The Host of a request.
    pub(super) fn host(&self, check: &HttpCheck<Resolved>) -> String {
        host(check.host.as_deref(), &self.watched.target)
    }

    /// What `X-Haproxy-Server-State` says, where it is sent.
    pub(super) fn state_text(&self, wanted: bool) -> Option<String> {
        wanted.then(|| self.watched.state_text(&self.prober.own))
    }
}

impl Prober {
    /// The name to ask for. A check has no client whose name could be passed on: the check's host, then the target's own
    /// name stand for it. An address as name asks for none.
    fn name(&self, target: &Target) -> ServerName<'static> {
        let no_name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let own = match written_address(target) {
            TargetAddress::Tcp {
                host: Host::Ip(ip), ..
            } => Some(ip.to_string()),
            address => address.host_name().map(str::to_owned),
        };
        let asked = match (&self.server_name, &self.check.kind) {
            (NameToSend::Fixed(name), _) => Some(name.clone()),
            (NameToSend::None, _) => None,
            (NameToSend::Client | NameToSend::Host, CheckKind::Https(check)) => {
                check.host.as_deref().map(without_port).or(own)
            }
            (NameToSend::Client | NameToSend::Host, CheckKind::Grpcs(check)) => {
                check.authority.as_deref().map(without_port).or(own)
            }
            (NameToSend::Client | NameToSend::Host, _) => own,
        };
        asked
            .and_then(|name| ServerName::try_from(name).ok())
            .unwrap_or(no_name)
    }
}

/// `leaves`: nothing is said over the connection. Its last acknowledgement is held back, and it is reset: a server
/// that only listens sees nothing of the check.
async fn connect(
    place: &Place<'_>,
    source: Option<&SourceAddress>,
    leaves: bool,
) -> io::Result<Box<dyn Stream>> {
    let address = match place {
        Place::Tcp(address) => address,
        Place::Unix(path) => return Ok(Box::new(UnixStream::connect(unix_path(path)).await?)),
    };
    let prepare = |socket: &TcpSocket| {
        if leaves {
            set_tcp_quickack(socket, false)?;
            set_socket_linger(socket, Some(Duration::ZERO))?;
        }
        Ok(())
    };
    let anywhere = SourceAddress::default();
    let source = source.unwrap_or(&anywhere);
    Ok(Box::new(connect_from(source, *address, prepare).await?))
}

/// The Host of the request: as the check says, else where the target lives, without its port where that is the usual one.
fn host(said: Option<&str>, target: &Target) -> String {
    match (said, written_address(target)) {
        (Some(host), _) => host.to_owned(),
        (
            None,
            TargetAddress::Tcp {
                host,
                port: 80 | 443,
            },
        ) => host.to_string(),
        (None, TargetAddress::Service(name)) => domain_of_service(name).unwrap_or(name).to_owned(),
        (None, address @ TargetAddress::Tcp { .. }) => address.to_string(),
        (None, TargetAddress::Unix(_) | TargetAddress::ClientDestination { .. }) => {
            "localhost".to_owned()
        }
    }
}

fn without_port(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => host.to_owned(),
    }
}

pub(crate) fn refused(error: io::Error) -> Failure {
    match error.kind() {
        _ if is_of_ours(&error) => Failure::NotMade(in_words(&error).into()),
        io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        // What the system refuses at once is of the socket, HAProxy says.
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::PermissionDenied => {
            let said = format!("General socket error ({})", in_words(&error));
            Failure::ConnectFailed(said.into())
        }
        _ => Failure::ConnectFailed(in_words(&error).into()),
    }
}

/// What the system says of an error, without its number.
pub(super) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// As long as HAProxy's texts of checks at most, and nothing in it that a terminal would do in place of showing it: a target may say
/// what it wants.
pub(super) fn shortened(said: String) -> Box<str> {
    const MOST_BYTES: usize = 127;
    let mut said = without_control(said);
    if said.len() > MOST_BYTES {
        let end = (0..=MOST_BYTES).rev().find(|at| said.is_char_boundary(*at));
        said.truncate(end.unwrap_or(0));
    }
    said.into()
}

/// With control characters as their numbers, as HAProxy writes them.
fn without_control(said: String) -> String {
    if !said.contains(char::is_control) {
        return said;
    }
    let mut text = String::with_capacity(said.len());
    for one in said.chars() {
        match one.is_control() {
            true => text.push_str(&format!("<{:02X}>", u32::from(one))),
            false => text.push(one),
        }
    }
    text
}

pub(crate) fn handshake_failure(error: &io::Error) -> Failure {
    let of_tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (of_tls, error.kind()) {
        (Some(reason), _) => Failure::TlsFailed(crate::tls::client::explain(reason).into()),
        (None, io::ErrorKind::UnexpectedEof) => {
            Failure::TlsFailed("the target closed the connection during the handshake".into())
        }
        (None, _) => Failure::TlsFailed(error.to_string().into()),
    }
}
