//! Addresses: where a listener accepts, where a target lives.

use crate::settings::FileMode;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An address that a listener accepts on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// TCP on one port or an inclusive range of ports.
    Tcp {
        /// `None`: every address of this host, IPv4 and IPv6 (`:80`).
        ip: Option<IpAddr>,
        /// First port, 1–65535.
        first_port: u16,
        /// Last port; the same as the first for a single one.
        last_port: u16,
    },
    /// A UNIX stream socket.
    Unix(UnixSocket),
    /// A listening socket inherited by file descriptor number.
    Inherited(u32),
}

/// A UNIX stream socket to accept on, and who may connect to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnixSocket {
    /// Its path; `@name` is an abstract one ([`abstract_name`]), which has neither mode nor owner.
    pub path: String,
    /// Permission bits of the file, at most 0o777; `None`: as the process' umask leaves them.
    pub mode: Option<FileMode>,
    /// Name or number of the user that owns the file; `None`: the process' own.
    pub user: Option<String>,
    /// Name or number of the group that owns the file; `None`: the process' own.
    pub group: Option<String>,
}

/// Bytes of an abstract name that fit into an address.
const ABSTRACT_BYTES: usize = 107;

/// The bytes of the abstract name that a path with `@` in front means; `None`: it is the path of a file. As with HAProxy's
/// `abns@`, zeros fill the address: both sides must know the name in this form.
pub fn abstract_name(path: &str) -> Option<Vec<u8>> {
    let mut name = path.strip_prefix('@')?.as_bytes().to_vec();
    name.resize(name.len().max(ABSTRACT_BYTES), 0);
    Some(name)
}

impl UnixSocket {
    /// A socket with the mode and owner that the process gives it.
    pub fn at(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            mode: None,
            user: None,
            group: None,
        }
    }
}

impl BindAddress {
    /// A UNIX stream socket at this path.
    pub fn unix(path: impl Into<String>) -> Self {
        BindAddress::Unix(UnixSocket::at(path))
    }

    /// One TCP port.
    pub fn tcp(ip: Option<IpAddr>, port: u16) -> Self {
        BindAddress::Tcp {
            ip,
            first_port: port,
            last_port: port,
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Tcp {
                ip,
                first_port,
                last_port,
            } => {
                match ip {
                    Some(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
                    Some(IpAddr::V4(ip)) => write!(f, "{ip}")?,
                    None => {}
                }
                write!(f, ":{first_port}")?;
                if last_port != first_port {
                    write!(f, "-{last_port}")?;
                }
                Ok(())
            }
            BindAddress::Unix(socket) => write!(f, "unix:{}", socket.path),
            BindAddress::Inherited(fd) => write!(f, "fd:{fd}"),
        }
    }
}

/// The host part of a target's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A DNS name, resolved when the configuration is installed and again as long as answers hold.
    Name(String),
}

/// Where a target lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetAddress {
    /// Host and TCP port, 1–65535.
    Tcp {
        /// Literal address or name.
        host: Host,
        /// TCP port.
        port: u16,
    },
    /// Hosts and ports of a service by its SRV records (RFC 2782): `_http._tcp.app.example`.
    Service(String),
    /// A UNIX stream socket.
    Unix(String),
    /// The address that the client connected to (HAProxy's server without an address), with this port if given.
    ClientDestination {
        /// Port; `None`: the one the client used.
        port: Option<u16>,
    },
}

/// The domain of the name of a service over TCP: what follows `_http._tcp.`; `None`: it is no such name.
pub fn domain_of_service(name: &str) -> Option<&str> {
    let (service, rest) = name.strip_prefix('_')?.split_once("._")?;
    let (protocol, domain) = rest.split_once('.')?;
    let good = !service.is_empty() && protocol.eq_ignore_ascii_case("tcp");
    (good && !domain.is_empty()).then_some(domain)
}

impl TargetAddress {
    /// The name that is asked for where it lives, as hosts are called: of a service its domain.
    pub fn host_name(&self) -> Option<&str> {
        match self {
            TargetAddress::Tcp {
                host: Host::Name(name),
                ..
            } => Some(name),
            TargetAddress::Service(name) => domain_of_service(name),
            _ => None,
        }
    }

    /// True where names of servers say where it is.
    pub fn is_named(&self) -> bool {
        self.host_name().is_some()
    }

    /// A literal socket address.
    pub fn socket(address: SocketAddr) -> Self {
        TargetAddress::Tcp {
            host: Host::Ip(address.ip()),
            port: address.port(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetAddress::Tcp { host, port } => write!(f, "{host}:{port}"),
            TargetAddress::Service(name) => f.write_str(name),
            TargetAddress::Unix(path) => write!(f, "unix:{path}"),
            TargetAddress::ClientDestination { port: Some(port) } => {
                write!(f, "client-destination:{port}")
            }
            TargetAddress::ClientDestination { port: None } => f.write_str("client-destination"),
        }
    }
}
