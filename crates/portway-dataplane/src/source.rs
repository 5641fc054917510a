//! Where connections to targets come from: an address of this machine, or one that is borrowed of somebody else.
//!
//! The answers to a borrowed address find their way here only where the routes of the network lead them here, and the
//! system takes them for its own; that is the operator's (Linux' Documentation/networking/tproxy.rst).

use crate::connect::Wanted;
use crate::exchange::Exchange;
use crate::sys;
use portway_core::evaluate::fetch;
use portway_model::expression::{HeaderPart, Message, Value};
use portway_model::settings::{Borrowed, PortRange, SourceAddress};
use portway_model::snapshot::TargetGroup;
use rustix::io::Errno;
use socket2::SockRef;
use std::fmt;
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
    unless_itself(socket.connect(to).await?, to)
}

/// Ports below this one the system chooses for nobody.
const LOWEST_CHOSEN: u16 = 1024;

/// The connection, unless it leads to itself: the system may choose for it the very port of this machine that it goes to, where nobody
/// listens (a simultaneous open with itself, RFC 9293 section 3.5).
///
/// # Errors
/// It does: nobody listens there.
pub fn unless_itself(stream: TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    match to.port() >= LOWEST_CHOSEN && meets_itself(&stream, to)? {
        true => Err(Errno::CONNREFUSED.into()),
        false => Ok(stream),
    }
}

fn meets_itself(stream: &TcpStream, to: SocketAddr) -> io::Result<bool> {
    let from = stream.local_addr()?;
    Ok((from.port(), from.ip()) == (to.port(), to.ip()))
}

/// A connection to this address that comes from there. A source of the other family says nothing of its address. Of several
/// ports each is tried once at most, and no more than [`MOST_PORTS`], beginning with another one each time, until one is free
/// towards that address.
///
/// # Errors
/// What the system says: the interface is none of this machine, nobody answers. A lack of ours: the address is none of this machine, or
/// every port that was tried is taken.
pub async fn connect_from(
    source: &SourceAddress,
    to: SocketAddr,
    prepare: impl Fn(&TcpSocket) -> io::Result<()>,
) -> io::Result<TcpStream> {
    let Some(ports) = source.ports else {
        return connect_by(source, 0, to, prepare)
            .await
            .map_err(Failed::into_error);
    };
    let mut walk = Walk::new(ports, &NEXT_PORT);
    while let Some(port) = walk.next() {
        if walk.tried.is_multiple_of(TRIES_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        match connect_by(source, port, to, &prepare).await {
            Err(Failed::Taken) => {}
            other => return other.map_err(Failed::into_error),
        }
    }
    Err(Failed::Taken.into_error())
}

/// The ports that one attempt tries. Whoever comes next begins behind those that it has found taken.
struct Walk<'n, P> {
    ports: P,
    tried: u32,
    next: &'n AtomicU32,
}

impl<'n> Walk<'n, ()> {
    fn new(ports: PortRange, next: &'n AtomicU32) -> Walk<'n, impl Iterator<Item = u16>> {
        let start = next.fetch_add(1, Ordering::Relaxed);
        Walk {
            ports: ports.beginning_at(start).take(MOST_PORTS as usize),
            tried: 0,
            next,
        }
    }
}

impl<P: Iterator<Item = u16>> Iterator for Walk<'_, P> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let port = self.ports.next()?;
        self.tried += 1;
        Some(port)
    }
}

impl<P> Drop for Walk<'_, P> {
    fn drop(&mut self) {
        let passed = self.tried.saturating_sub(1);
        self.next.fetch_add(passed, Ordering::Relaxed);
    }
}

/// Ports of a range that one attempt tries: some milliseconds. The next one begins where it ended.
pub const MOST_PORTS: u32 = 1024;

/// So many ports of a range are tried before others on this thread have their turn: a few hundred microseconds.
const TRIES_AT_ONCE: u32 = 64;

/// Where the next connection begins to look for a free port: those that were let go last are asked last.
static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

/// Why a connection from a place is not made.
enum Failed {
    /// Another connection has the port: to the same place, or bound by a program that does not share it.
    Taken,
    Otherwise(io::Error),
}

impl Failed {
    fn into_error(self) -> io::Error {
        match self {
            Failed::Taken => io::Error::new(io::ErrorKind::AddrInUse, Lack::Port),
            Failed::Otherwise(error) => error,
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Otherwise(error)
    }
}

/// What a connection lacks of where it is to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Every port that was tried is taken.
    Port,
    /// The address is none of this machine.
    Address(IpAddr),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Port => f.write_str("the ports that the target's source allows are taken"),
            Lack::Address(ip) => {
                write!(f, "the target's source {ip} is no address of this machine")
            }
        }
    }
}

impl std::error::Error for Lack {}

/// What was lacking of the source, where that is why a connection was not made.
pub(crate) fn lack(error: &io::Error) -> Option<Lack> {
    let inner = error.get_ref()?;
    inner.downcast_ref().copied()
}

async fn connect_by(
    source: &SourceAddress,
    port: u16,
    to: SocketAddr,
    prepare: impl Fn(&TcpSocket) -> io::Result<()>,
) -> Result<TcpStream, Failed> {
    let socket = socket_to(to)?;
    of_interface(&socket, source)?;
    let any = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let address = source.address.filter(|ip| ip.is_ipv4() == to.is_ipv4());
    if address.is_some() || port > 0 {
        let from = SocketAddr::new(address.unwrap_or(any), port);
        bind(&socket, from).map_err(|error| not_bound(error, from))?;
    }
    prepare(&socket)?;
    let connected = socket.connect(to).await;
    let stream = connected.map_err(|error| not_connected(error, port))?;
    if port == 0 {
        return Ok(unless_itself(stream, to)?);
    }
    let may_meet_itself = address.is_none_or(|ip| ip == to.ip()) && port == to.port();
    if may_meet_itself && meets_itself(&stream, to)? {
        return Err(io::Error::from(Errno::CONNREFUSED).into());
    }
    Ok(stream)
}

/// A port that cannot be bound may be another program's. An address that cannot is so with every port.
fn not_bound(error: io::Error, from: SocketAddr) -> Failed {
    match errno(&error) {
        Some(Errno::ADDRINUSE) if from.port() > 0 => Failed::Taken,
        Some(Errno::ADDRNOTAVAIL) => {
            let lack = Lack::Address(from.ip());
            Failed::Otherwise(io::Error::new(io::ErrorKind::AddrNotAvailable, lack))
        }
        _ => Failed::Otherwise(error),
    }
}

/// Where the port is bound, another connection may have it to the same place.
fn not_connected(error: io::Error, port: u16) -> Failed {
    match errno(&error) {
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) if port > 0 => Failed::Taken,
        _ => Failed::Otherwise(error),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn source(address: [u8; 4], first: u16, last: u16) -> SourceAddress {
        SourceAddress {
            address: Some(IpAddr::from(address)),
            ports: PortRange::new(first, last),
            ..SourceAddress::default()
        }
    }

    /// The error of a connection that is not made, and how many ports were tried for it.
    fn tried(source: &SourceAddress, to: SocketAddr) -> (io::Error, u32) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let count = std::cell::Cell::new(0);
        let prepare = |_: &TcpSocket| {
            count.set(count.get() + 1);
            Ok(())
        };
        let error = runtime.block_on(connect_from(source, to, prepare));
        (error.unwrap_err(), count.get())
    }

    #[test]
    fn an_address_that_is_gone_is_gone_with_every_port() {
        let to = TcpListener::bind("127.0.0.1:0").unwrap();
        // A test network (RFC 5737), of which this machine has nothing.
        let (error, _) = tried(
            &source([192, 0, 2, 1], 1024, 65535),
            to.local_addr().unwrap(),
        );
        let ip = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(lack(&error), Some(Lack::Address(ip)), "{error}");
    }

    #[test]
    fn a_port_meets_no_one_but_the_target() {
        // Nobody listens there any more.
        let gone = TcpListener::bind("127.0.0.9:0").unwrap();
        let to = gone.local_addr().unwrap();
        drop(gone);
        let (error, count) = tried(&source([127, 0, 0, 9], to.port(), to.port()), to);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(count, 1);
    }

    /// The system gives out ports of one parity first, one after the other: some of so many connections gets the one that it goes to.
    #[test]
    fn the_system_connects_no_one_with_itself() {
        let ports = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let first: u16 = ports.split_whitespace().next().unwrap().parse().unwrap();
        let free = (first..).step_by(2).skip(1000);
        let mut free = free.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let to = free.next().unwrap().local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            for _ in 0..40_000 {
                let connected = TcpStream::connect(to).await;
                let connected = connected.and_then(|stream| unless_itself(stream, to));
                let refused = connected.unwrap_err().kind();
                assert_eq!(refused, io::ErrorKind::ConnectionRefused);
            }
        });
    }

    #[test]
    fn ports_that_are_taken_are_passed_over() {
        let to = TcpListener::bind("127.0.0.1:0").unwrap();
        // Bound, and not shared: listening sockets that do not say that they may be.
        let other = TcpListener::bind("127.0.0.8:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let (error, count) = tried(
            &source([127, 0, 0, 8], port, port),
            to.local_addr().unwrap(),
        );
        assert_eq!(lack(&error), Some(Lack::Port), "{error}");
        assert_eq!(count, 0);
    }
    /// However many ports there are, an attempt tries so many, the next one others, and after enough of them all were tried.
    #[test]
    fn a_walk_has_an_end_and_the_next_begins_there() {
        let next = AtomicU32::new(7);
        let all = PortRange::new(1000, 1000 + 4 * 1024 - 1).unwrap();
        let mut tried = std::collections::BTreeSet::new();
        for _ in 0..4 {
            let walk = Walk::new(all, &next);
            let before = tried.len();
            tried.extend(walk);
            assert_eq!(tried.len() - before, MOST_PORTS as usize);
        }
        let few = PortRange::new(1000, 1002).unwrap();
        assert_eq!(Walk::new(few, &next).count(), 3);
        // One that finds a free port at once is followed by one that begins behind it.
        let first = Walk::new(few, &next).next();
        assert_ne!(first, Walk::new(few, &next).next());
    }
}
