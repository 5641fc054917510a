//! One check of one target: connect, speak TLS and HTTP as the check says, and judge.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use portway_core::health::{Failure, Probe};
use portway_dataplane::live::TargetState;
use portway_model::address::{Host, TargetAddress};
use portway_model::draft::{CheckKind, HttpCheck};
use portway_model::settings::ServerName as NameToSend;
use portway_model::snapshot::{HealthCheck, Target};
use portway_model::stage::Resolved;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::http;
use crate::targets::WatchedTarget;

/// A connection to a target, whatever it is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How the targets of a group are checked.
#[derive(Debug, Clone)]
pub struct Prober {
    /// What the configuration says.
    pub check: HealthCheck,
    /// How TLS is spoken; `None` where the check has none.
    pub tls: Option<Arc<ClientConfig>>,
    /// The name that is asked for.
    pub server_name: NameToSend,
}

/// Where a check connects to.
enum Place<'a> {
    Tcp(SocketAddr),
    Unix(&'a str),
}

impl Prober {
    /// Checks `target` once; takes no longer than the check's timeout.
    pub async fn probe(&self, target: &WatchedTarget) -> Probe {
        match self.attempt(&target.target, &target.state).await {
            Ok(()) => Probe::Passed,
            Err(failure) => Probe::Failed(failure),
        }
    }

    async fn attempt(&self, target: &Target, state: &TargetState) -> Result<(), Failure> {
        let limit = self.check.timeout;
        let deadline = Instant::now() + limit;
        let place = self.place(target, state)?;
        let mut stream = timeout_at(deadline, connect(&place))
            .await
            .map_err(|_| Failure::ConnectTimedOut(limit))?
            .map_err(refused)?;
        let talk = async {
            if let Some(tls) = &self.tls {
                stream = self.handshake(tls, target, stream).await?;
            }
            match &self.check.kind {
                CheckKind::Http(request) | CheckKind::Https(request) => {
                    http::check(stream.as_mut(), request, &host(request, target)).await
                }
                // A script is refused before anything is installed.
                CheckKind::Tcp | CheckKind::Tls | CheckKind::Script(_) | CheckKind::Service(_) => {
                    Ok(())
                }
            }
        };
        timeout_at(deadline, talk)
            .await
            .unwrap_or(Err(Failure::TimedOut(limit)))
    }

    fn place<'a>(&self, target: &'a Target, state: &TargetState) -> Result<Place<'a>, Failure> {
        match &target.address {
            TargetAddress::Unix(path) => Ok(Place::Unix(path)),
            TargetAddress::Tcp { .. } => {
                let mut address = state
                    .address()
                    .ok_or_else(|| Failure::NotResolved("it has no address".into()))?;
                if let Some(port) = self.check.port {
                    address.set_port(port);
                }
                Ok(Place::Tcp(address))
            }
            TargetAddress::ClientDestination { .. } => {
                let why = "a target that is the client's own destination has no address of its own";
                Err(Failure::ConnectFailed(why.into()))
            }
        }
    }

    async fn handshake(
        &self,
        tls: &Arc<ClientConfig>,
        target: &Target,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Failure> {
        let name = self.name(target);
        let connected = TlsConnector::from(tls.clone()).connect(name, stream).await;
        match connected {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(handshake_failure(&error)),
        }
    }

    /// The name to ask for. A check has no client whose name could be passed on: the check's host, then the target's own
    /// name stand for it. An address as name asks for none.
    fn name(&self, target: &Target) -> ServerName<'static> {
        let no_name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let own = match &target.address {
            TargetAddress::Tcp {
                host: Host::Name(name),
                ..
            } => Some(name.clone()),
            TargetAddress::Tcp {
                host: Host::Ip(ip), ..
            } => Some(ip.to_string()),
            TargetAddress::Unix(_) | TargetAddress::ClientDestination { .. } => None,
        };
        let asked = match (&self.server_name, &self.check.kind) {
            (NameToSend::Fixed(name), _) => Some(name.clone()),
            (NameToSend::None, _) => None,
            (NameToSend::Client | NameToSend::Host, CheckKind::Https(check)) => {
                check.host.as_deref().map(without_port).or(own)
            }
            (NameToSend::Client | NameToSend::Host, _) => own,
        };
        asked
            .and_then(|name| ServerName::try_from(name).ok())
            .unwrap_or(no_name)
    }
}

async fn connect(place: &Place<'_>) -> io::Result<Box<dyn Stream>> {
    Ok(match place {
        Place::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

/// The Host of the request: as the check says, else where the target lives, without its port where that is the usual one.
fn host(check: &HttpCheck<Resolved>, target: &Target) -> String {
    match (&check.host, &target.address) {
        (Some(host), _) => host.clone(),
        (
            None,
            TargetAddress::Tcp {
                host,
                port: 80 | 443,
            },
        ) => host.to_string(),
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

fn refused(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        _ => Failure::ConnectFailed(error.to_string().into()),
    }
}

fn handshake_failure(error: &io::Error) -> Failure {
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
