//! Where connections to targets come from: an address of this machine, or one that is borrowed of somebody else.
//!
//! The answers to a borrowed address find their way here only where the routes of the network lead them here, and the
//! system takes them for its own; that is the operator's (Linux' Documentation/networking/tproxy.rst).

use crate::connect::Wanted;
use crate::exchange::Exchange;
use crate::sys;
use portway_core::evaluate::fetch;
use portway_model::expression::{HeaderPart, Message, Value};
use portway_model::settings::{Borrowed, SourceAddress};
use portway_model::snapshot::TargetGroup;
use rustix::io::Errno;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::{TcpSocket, TcpStream};

/// The address that a connection borrows, with its port or 0; `None` where nobody has one to lend.
pub(crate) fn borrowed(borrowed: &Borrowed, wanted: Wanted<'_>) -> Option<Box<SocketAddr>> {
    let (client, _) = wanted.ends;
    let whose = match borrowed {
        Borrowed::Client { port: true } => client,
        Borrowed::Client { port: false } => SocketAddr::new(client.ip(), 0),
        Borrowed::Header { .. } => SocketAddr::new(wanted.in_header?, 0),
        Borrowed::Address { ip, port } => SocketAddr::new(*ip, port.unwrap_or(0)),
    };
    let canonical = SocketAddr::new(whose.ip().to_canonical(), whose.port());
    (!whose.ip().is_unspecified()).then(|| Box::new(canonical))
}

/// The address in the header that the target's connections borrow theirs of.
pub(crate) fn in_header(x: &Exchange<'_>, group: &TargetGroup, target: usize) -> Option<IpAddr> {
    let source = group.targets.get(target)?.source.as_ref()?;
    let Some(Borrowed::Header { name, occurrence }) = &source.borrowed else {
        return None;
    };
    let value = Value::HeaderPart {
        of: Message::Request,
        name: name.clone(),
        part: HeaderPart::Item(Some(i32::from(*occurrence))),
    };
    fetch(&value, x).address()
}

/// As [`connect_from`]; the connection comes from the borrowed address where there is one of that family.
pub(crate) async fn connect(
    source: &SourceAddress,
    borrowed: Option<&SocketAddr>,
    to: SocketAddr,
    prepare: impl Fn(&TcpSocket) -> io::Result<()>,
) -> io::Result<TcpStream> {
    let Some(from) = borrowed.filter(|from| from.is_ipv4() == to.is_ipv4()) else {
        return connect_from(source, to, prepare).await;
    };
    let socket = socket_to(to)?;
    of_interface(&socket, source)?;
    let options = SockRef::from(&socket);
    match to {
        SocketAddr::V4(_) => options.set_ip_transparent_v4(true)?,
        SocketAddr::V6(_) => options.set_ip_transparent_v6(true)?,
    }
    bind(&socket, *from)?;
    prepare(&socket)?;
    socket.connect(to).await
}

/// A connection to this address that comes from there. A source of the other family says nothing of its address. Of several
/// ports each is tried once at most, beginning with another one each time, until one is free towards that address.
///
/// # Errors
/// What the system says: the address is none of this machine, every port is taken, the interface is none of it, nobody
/// answers.
pub async fn connect_from(
    source: &SourceAddress,
    to: SocketAddr,
    prepare: impl Fn(&TcpSocket) -> io::Result<()>,
) -> io::Result<TcpStream> {
    let Some(ports) = source.ports else {
        return connect_by(source, 0, to, prepare).await;
    };
    let start = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
    let mut taken = io::Error::from(Errno::ADDRNOTAVAIL);
    for (tried, port) in ports.beginning_at(start).enumerate() {
        if tried % TRIES_AT_ONCE == TRIES_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        match connect_by(source, port, to, &prepare).await {
            Err(error) if is_taken(&error) => taken = error,
            other => return other,
        }
    }
    Err(taken)
}

/// So many ports of a range are tried before others on this thread have their turn: a few hundred microseconds.
const TRIES_AT_ONCE: usize = 64;

/// Where the next connection begins to look for a free port: those that were let go last are asked last.
static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

/// Another connection has this port: to the same place, or bound by a program that does not share it.
fn is_taken(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE))
}

async fn connect_by(
    source: &SourceAddress,
    port: u16,
    to: SocketAddr,
    prepare: impl Fn(&TcpSocket) -> io::Result<()>,
) -> io::Result<TcpStream> {
    let socket = socket_to(to)?;
    of_interface(&socket, source)?;
    let any = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let address = source.address.filter(|ip| ip.is_ipv4() == to.is_ipv4());
    if address.is_some() || port > 0 {
        bind(&socket, SocketAddr::new(address.unwrap_or(any), port))?;
    }
    prepare(&socket)?;
    socket.connect(to).await
}

/// A socket that is bound to nothing yet.
pub(crate) fn socket_to(to: SocketAddr) -> io::Result<TcpSocket> {
    match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

fn of_interface(socket: &TcpSocket, source: &SourceAddress) -> io::Result<()> {
    match &source.interface {
        Some(interface) => socket.bind_device(Some(interface.as_bytes())),
        None => Ok(()),
    }
}

fn bind(socket: &TcpSocket, from: SocketAddr) -> io::Result<()> {
    // A port may be bound again while the connection before waits for its end.
    socket.set_reuseaddr(true)?;
    if from.port() == 0 {
        // The port is chosen when the connection is: then each may go to many places at a time, and an address has more
        // than one connection a port. Older kernels choose it now.
        let _ = sys::choose_port_late(socket);
    }
    socket.bind(from)
}

/// Whether this process may borrow addresses (CAP_NET_ADMIN or CAP_NET_RAW).
///
/// # Errors
/// It may not, as the system says.
pub fn may_borrow() -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(any),
        socket2::Type::STREAM,
        None,
    )?;
    socket.set_ip_transparent_v4(true)
}
