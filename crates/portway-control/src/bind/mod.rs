//! Listening sockets: every address of every listener, once for each worker, all of them or none.
//!
//! Each worker has TCP sockets of its own (SO_REUSEPORT: the kernel spreads connections); a UNIX socket or an
//! inherited one is shared by all workers. The hard thing is that SO_REUSEPORT would let a second Portway of the
//! same user take half of the connections without anybody noticing: so each address is first tried without it
//! (`is_free`), and only then bound.

mod fault;
mod owner;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};

use portway_dataplane::worker::{BoundSocket, Socket};
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::name::Name;
use portway_model::snapshot::{ListenerId, Snapshot};
use portway_model::span::Span;
use socket2::{Domain, Protocol, SockAddr, Type};

/// Connections that wait to be accepted on each socket; HAProxy's and nginx's defaults are 4096 and 511. The kernel
/// cuts it to `net.core.somaxconn` (4096 since Linux 5.4).
pub const BACKLOG: u16 = 4096;

/// Addresses of all listeners together. A range of all ports on one address fits.
pub const MAX_ADDRESSES: usize = 65_536;

/// One address that one listener asks for.
struct Wanted<'a> {
    listener: ListenerId,
    name: &'a Name,
    span: Span,
    place: Place,
}

/// A bind address, ranges of ports taken apart.
enum Place {
    Tcp { ip: Option<IpAddr>, port: u16 },
    Unix(String),
    Inherited(u32),
}

/// Who else may hold the addresses that are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// Nobody: an address that another process holds is an error.
    None,
    /// A process of the same user that is about to leave: addresses are bound beside it.
    Leaving,
}

/// Binds everything that `snapshot` asks for: one list for each of `workers` (at least one), and what is worth
/// knowing about it.
///
/// # Errors
/// One diagnostic for each address that cannot be had; nothing stays bound then.
pub fn bind(
    snapshot: &Snapshot,
    workers: usize,
    neighbour: Neighbour,
) -> Result<(Vec<Vec<BoundSocket>>, Diagnostics), Diagnostics> {
    let mut failed = check(snapshot, neighbour);
    let wanted = wanted(snapshot, &mut Diagnostics::default());
    // First all of them, then bind: two listeners of ours may share a port (`:80` and `127.0.0.1:80`).
    if failed.has_errors() {
        return Err(failed);
    }
    let mut sockets: Vec<Vec<BoundSocket>> = (0..workers.max(1)).map(|_| Vec::new()).collect();
    for one in &wanted {
        match open(&one.place, sockets.len(), neighbour) {
            Ok(opened) => {
                for (worker, socket) in sockets.iter_mut().zip(opened) {
                    worker.push(BoundSocket {
                        listener: one.listener,
                        socket,
                    });
                }
            }
            Err(error) => failed.push(fault::explain(one.name, one.span, &one.place, &error)),
        }
    }
    if failed.has_errors() {
        return Err(failed);
    }
    Ok((sockets, backlog_note()))
}

/// Checks that every address of `snapshot` could be bound now; binds nothing.
pub fn check(snapshot: &Snapshot, neighbour: Neighbour) -> Diagnostics {
    let mut found = Diagnostics::default();
    for one in wanted(snapshot, &mut found) {
        if neighbour == Neighbour::Leaving && !matches!(one.place, Place::Inherited(_)) {
            continue;
        }
        if let Err(error) = is_free(&one.place) {
            found.push(fault::explain(one.name, one.span, &one.place, &error));
        }
    }
    found
}

/// What to say when the admin address cannot be bound.
pub fn explain_admin(address: SocketAddr, error: &io::Error) -> Diagnostic {
    let place = Place::Tcp {
        ip: Some(address.ip()),
        port: address.port(),
    };
    fault::explain_for("the admin address", Span::NONE, &place, error)
        .help("stop that program, or choose another address: `admin` of `[process]`, or `portway run --admin ADDRESS:PORT`")
}

fn wanted<'a>(snapshot: &'a Snapshot, failed: &mut Diagnostics) -> Vec<Wanted<'a>> {
    let mut wanted = Vec::new();
    for (listener, id) in snapshot.listeners.iter().zip(0..) {
        for bind in &listener.binds {
            let mut add = |place| {
                wanted.push(Wanted {
                    listener: ListenerId(id),
                    name: &listener.name,
                    span: bind.span,
                    place,
                });
            };
            match &bind.value {
                BindAddress::Tcp {
                    ip,
                    first_port,
                    last_port,
                } => (*first_port..=*last_port).for_each(|port| add(Place::Tcp { ip: *ip, port })),
                BindAddress::Unix(socket) => add(Place::Unix(socket.path.clone())),
                BindAddress::Inherited(number) => add(Place::Inherited(*number)),
            }
        }
        if wanted.len() > MAX_ADDRESSES {
            let message = format!("the listeners ask for more than {MAX_ADDRESSES} addresses");
            failed.push(Diagnostic::error(
                Code::TooLarge,
                listener.origin.0,
                message,
            ));
            wanted.clear();
            break;
        }
    }
    wanted
}

/// Could `place` be bound without sharing it with anybody?
///
/// Linux lets two sockets with SO_REUSEADDR bind the same address as long as none listens: so remains of closed
/// connections (TIME_WAIT) do not matter, a listening socket does, and since nothing listens here, no connection
/// can get into a queue that is thrown away.
fn is_free(place: &Place) -> io::Result<()> {
    match place {
        Place::Tcp { ip, port } => tcp_socket(*ip, *port, false).map(drop),
        Place::Unix(path) if path.starts_with('@') => match connect_abstract(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => Ok(()),
        },
        Place::Unix(path) => unix_is_free(path),
        Place::Inherited(number) => inherited(*number).map(drop),
    }
}

fn connect_abstract(path: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&abstract_address(path)?)
}

fn abstract_address(path: &str) -> io::Result<std::os::unix::net::SocketAddr> {
    std::os::unix::net::SocketAddr::from_abstract_name(path.trim_start_matches('@'))
}

/// A socket file may be left over from a process that is gone: it is taken over only if nobody answers.
fn unix_is_free(path: &str) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file with this name that is not a socket",
        )),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
        },
    }
}

/// One socket for each worker.
fn open(place: &Place, workers: usize, neighbour: Neighbour) -> io::Result<Vec<Socket>> {
    let each = 0..workers;
    match place {
        Place::Tcp { ip, port } => each
            .map(|_| listening_tcp(*ip, *port).map(Socket::Tcp))
            .collect(),
        Place::Unix(path) => {
            let listener = listening_unix(path, neighbour)?;
            each.map(|_| listener.try_clone().map(Socket::Unix))
                .collect()
        }
        Place::Inherited(number) => {
            let socket = inherited(*number)?;
            each.map(|_| duplicate(&socket)).collect()
        }
    }
}

fn duplicate(socket: &Socket) -> io::Result<Socket> {
    Ok(match socket {
        Socket::Tcp(listener) => Socket::Tcp(listener.try_clone()?),
        Socket::Unix(listener) => Socket::Unix(listener.try_clone()?),
    })
}

fn listening_tcp(ip: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    let socket = tcp_socket(ip, port, true)?;
    socket.listen(i32::from(BACKLOG))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A bound socket. Without an address: one socket for IPv6 and IPv4, or for IPv4 alone where there is no IPv6.
fn tcp_socket(ip: Option<IpAddr>, port: u16, share: bool) -> io::Result<socket2::Socket> {
    let Some(ip) = ip else {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return match bound(all, share, true) {
            Err(error) if no_ipv6(&error) => bound(
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
                share,
                false,
            ),
            result => result,
        };
    };
    bound(SocketAddr::from((ip, port)), share, false)
}

fn no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    code == Some(Errno::AFNOSUPPORT.raw_os_error())
        || code == Some(Errno::ADDRNOTAVAIL.raw_os_error())
}

fn bound(address: SocketAddr, share: bool, dual_stack: bool) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

fn listening_unix(path: &str, neighbour: Neighbour) -> io::Result<UnixListener> {
    let listener = if path.starts_with('@') {
        UnixListener::bind_addr(&abstract_address(path)?)?
    } else {
        if neighbour == Neighbour::None {
            unix_is_free(path)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        UnixListener::bind(path)?
    };
    // Again, with our backlog in place of the library's.
    rustix::net::listen(&listener, i32::from(BACKLOG))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A duplicate of the listening socket that whoever started us left under this number.
///
/// A process may duplicate its own descriptors with pidfd_getfd(2), Linux 5.6, which needs no claim of ours that
/// the number is open and nobody else's.
fn inherited(number: u32) -> io::Result<Socket> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    let fd: OwnedFd = pidfd_getfd(&ourselves, number, PidfdGetfdFlags::empty())?;
    let not_a_listener = || {
        let text = "this descriptor is not a listening stream socket";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let socket = socket2::Socket::from(fd);
    if !socket.is_listener().map_err(|_| not_a_listener())? || socket.r#type()? != Type::STREAM {
        return Err(not_a_listener());
    }
    socket.set_nonblocking(true)?;
    let local = socket.local_addr()?;
    if local.is_unix() {
        Ok(Socket::Unix(OwnedFd::from(socket).into()))
    } else if local.as_socket().is_some() {
        Ok(Socket::Tcp(socket.into()))
    } else {
        Err(not_a_listener())
    }
}

fn backlog_note() -> Diagnostics {
    let mut notes = Diagnostics::default();
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    if let Some(limit) = limit.filter(|limit| *limit < u32::from(BACKLOG)) {
        let message = format!(
            "at most {limit} connections wait to be accepted on each socket, {BACKLOG} were asked for"
        );
        notes.push(
            Diagnostic::note(Code::Install, Span::NONE, message).help(format!(
                "raise it with `sysctl net.core.somaxconn={BACKLOG}`"
            )),
        );
    }
    notes
}
