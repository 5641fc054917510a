//! Connections to targets: one that waits in the pool, or a new one, TLS included.

use crate::connection::Connection;
use crate::group::Generation;
use crate::handshake_failure::failure;
use crate::keep_alive;
use crate::live::{InFlight, Seen, TargetState};
use crate::plane::GroupParts;
use crate::pool::{Link, Pool, Way};
use crate::proxy_header;
use crate::race;
use crate::scarce;
use crate::source;
use crate::stream::{Socket, Stream};
use crate::timer::Timer;
use portway_model::address::{TargetAddress, abstract_name};
use portway_model::members::written_address;
use portway_model::settings::ServerName;
use portway_model::snapshot::{GroupId, Target, TargetGroup, TargetTls};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{HandshakeFailure, Limit, TargetMetrics};
use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::OsString;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// A connection to a target, counted as in flight while it lives.
pub(crate) struct Upstream {
    pub(crate) link: Link,
    /// It carried an exchange before.
    pub(crate) reused: bool,
    pool: Rc<Pool>,
    _in_flight: (InFlight, Serving),
}

/// Counts what a target is serving for this worker.
struct Serving(Arc<TargetMetrics>);

impl Serving {
    fn new(metrics: &Arc<TargetMetrics>) -> Self {
        metrics.requests_in_flight.up();
        metrics.sessions.add(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.requests_in_flight.down();
    }
}

/// Which connection is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) group: GroupId,
    pub(crate) target: usize,
    /// The host of the request, in lower case; empty where there is none.
    pub(crate) host: &'a [u8],
    /// The client's end of its connection, and the one that it connected to.
    pub(crate) ends: (SocketAddr, SocketAddr),
    /// The request id, if there is one.
    pub(crate) request_id: Option<&'a [u8]>,
    /// The address of a header from which the connection is to come, if it is.
    pub(crate) in_header: Option<IpAddr>,
    /// One from the pool will do.
    pub(crate) pooled: bool,
    /// The request must not be repeated: a pooled connection is looked at closely.
    pub(crate) surely: bool,
}

impl Upstream {
    /// Keeps the connection for another exchange, unless it has served its last. False where it, or another in its place, had
    /// to go because there are enough.
    pub(crate) fn give_back(self, connection: &Connection) -> bool {
        let age = |born| connection.timer.age_of(born);
        if self.pool.wears_out(&self.link, age) {
            return true;
        }
        if self.pool.is_private() {
            connection.rare().own.put(&self.pool, self.link)
        } else {
            let now = connection.worker.timers.now();
            self.pool.put(self.link, now)
        }
    }
}

/// Runs `future` for at most `limit`; `TimedOut` after that.
pub(crate) async fn within<T>(
    timer: &Timer,
    limit: Duration,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timer.set(limit);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
    })
    .await
}

/// A connection to the target where `slot` is. The error's kind says what failed: `NotFound` for a name without address, `TimedOut`,
/// `ConnectionRefused`, `InvalidData` for TLS.
pub(crate) async fn connect(
    connection: &Connection,
    wanted: Wanted<'_>,
    slot: InFlight,
) -> io::Result<Upstream> {
    let generation = &connection.generation;
    let all = parts_of(generation, wanted)?;
    let (group, _, state, pool) = all;
    let own = group.targets.get(wanted.target);
    let mut way = Way {
        address: address(wanted, group, state)?,
        server_name: server_name(connection, group, wanted),
        proxy_header: own
            .and_then(|target| group.send_proxy_of(target))
            .map(|send| proxy_header::of(connection, send, wanted.ends, wanted.request_id)),
        source: own
            .and_then(|target| target.source.as_ref()?.borrowed.as_ref())
            .and_then(|borrowed| source::borrowed(borrowed, wanted)),
    };
    let in_flight = (slot, Serving::new(pool.metrics()));
    let pooled = if wanted.pooled {
        let first = connection.exchanges == 0;
        let rare = connection.rare.get();
        let own = rare.and_then(|rare| rare.own.take(pool, &way, wanted.surely));
        own.or_else(|| pool.take(&way, first, wanted.surely))
    } else {
        None
    };
    let reused = pooled.is_some();
    let link = match pooled {
        Some(link) => link,
        None => {
            let opening = open_in_time(connection, all, wanted.target, &way);
            let began = Instant::now();
            // Boxed because most exchanges use a pooled connection, and every one would carry it along.
            let opened = Box::pin(opening).await;
            if matches!(&opened, Err(error) if !scarce::is_of_ours(error)) {
                state.saw(Seen::NotConnected, || began.elapsed());
            }
            let (stream, at) = opened?;
            // Another address may have answered: the connection serves who asks for that one.
            way.address = at;
            pool.opened(stream, way, connection.worker.timers.now_short())
        }
    };
    state.saw(Seen::Connected, || Duration::ZERO);
    Ok(Upstream {
        link,
        reused,
        pool: Rc::clone(pool),
        _in_flight: in_flight,
    })
}

/// Our address towards the target, where a log of the listener wants it.
pub(crate) fn wanted_local(connection: &Connection, upstream: &Upstream) -> Option<SocketAddr> {
    let (_, parts) = connection.generation.plane.listener(connection.listener)?;
    if parts.wants.upstream_address {
        upstream.link.stream.local_address()
    } else {
        None
    }
}

type Parts<'a> = (
    &'a TargetGroup,
    &'a GroupParts,
    &'a Arc<TargetState>,
    &'a Rc<Pool>,
);

fn parts_of<'a>(generation: &'a Generation, wanted: Wanted<'_>) -> io::Result<Parts<'a>> {
    let found = || {
        let (group, parts, run) = generation.group(wanted.group)?;
        Some((
            group,
            parts,
            parts.targets.get(wanted.target)?,
            run.pool(wanted.target)?,
        ))
    };
    found().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Where a target is for this client now; `None` for a UNIX socket.
fn address(
    wanted: Wanted<'_>,
    group: &TargetGroup,
    state: &TargetState,
) -> io::Result<Option<SocketAddr>> {
    match group
        .targets
        .get(wanted.target)
        .map(|target| &target.address)
    {
        Some(TargetAddress::Unix(_)) => Ok(None),
        Some(TargetAddress::ClientDestination { port }) => {
            let (_, destination) = wanted.ends;
            let port = port.unwrap_or(destination.port());
            Ok(Some(SocketAddr::new(destination.ip(), port)))
        }
        Some(TargetAddress::Tcp { .. } | TargetAddress::Service(_)) => {
            Ok(Some(state.address().ok_or(io::ErrorKind::NotFound)?))
        }
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What a UNIX socket is connected by: its path; for an abstract one its name behind a zero.
pub fn unix_path(path: &str) -> Cow<'_, Path> {
    match abstract_name(path) {
        Some(name) => Cow::Owned(OsString::from_vec([b"\0", name.as_slice()].concat()).into()),
        None => Cow::Borrowed(Path::new(path)),
    }
}

/// As [`open`], until the time to connect is over. What we lack ourselves is waited for, and is the error where it does not come.
async fn open_in_time(
    connection: &Connection,
    all: Parts<'_>,
    target: usize,
    way: &Way,
) -> io::Result<(Stream, Option<SocketAddr>)> {
    let (group, _, _, pool) = all;
    let (lack, shaking) = (Cell::new(None), Cell::new(false));
    let open = || open(connection, all, (target, way), &shaking);
    let opening = scarce::with_patience(&connection.worker, &lack, open);
    let opened = within(&connection.timer, group.timeouts.connect, opening).await;
    if opened.is_err() && shaking.get() {
        let failures = &pool.metrics().tls.counters().failures;
        failures.count(HandshakeFailure::Timeout);
    }
    opened.map_err(|error| match lack.take() {
        Some(lack) if error.kind() == io::ErrorKind::TimedOut => lack,
        _ => {
            if source::lack(&error) == Some(source::Lack::Port) {
                let metrics = connection.worker.metrics();
                metrics.limit_reached(Limit::SourcePorts);
            }
            error
        }
    })
}

/// A new connection, and the address to which it leads; none for a UNIX socket. `shaking` is true while a handshake is under way.
async fn open(
    connection: &Connection,
    (group, parts, state, pool): Parts<'_>,
    (target, way): (usize, &Way),
    shaking: &Cell<bool>,
) -> io::Result<(Stream, Option<SocketAddr>)> {
    let begun = Instant::now();
    let own = group.targets.get(target);
    let configured = own.map(|target| &target.address);
    let mut at = way.address;
    let (socket, ip) = match (way.address, configured) {
        (Some(address), _) => match state.ways_from(address) {
            None => tcp(address, way.source.as_deref(), (group, own)).await?,
            Some(ways) => {
                let connect = |to| tcp(to, way.source.as_deref(), (group, own));
                let (to, connected) = Box::pin(race::first_of(ways, connect)).await?;
                state.moves(address, to);
                at = Some(to);
                connected
            }
        },
        (None, Some(TargetAddress::Unix(path))) => {
            let socket = UnixStream::connect(unix_path(path)).await;
            let socket = socket.map_err(nobody_listens)?;
            (Socket::Unix(socket), None)
        }
        (None, _) => return Err(io::ErrorKind::NotFound.into()),
    };
    let metrics = pool.metrics();
    let connected = Instant::now();
    let took = connected.duration_since(begun);
    metrics.durations.counters().connect.observe(took);
    let mut socket = socket;
    if let Some(header) = &way.proxy_header {
        socket.send(header).await?;
    }
    let of_target = || parts.own_tls.get(target).and_then(Option::as_ref);
    let config = match own.map(|target| &target.tls) {
        Some(TargetTls::Off) => None,
        Some(TargetTls::Own(_)) => of_target(),
        Some(TargetTls::Group) | None => of_target().or(parts.tls.as_ref()),
    };
    let Some(config) = config else {
        return Ok((Stream::Plain(socket), at));
    };
    let name = tls_name(way.server_name.as_deref(), ip)?;
    let session =
        rustls::ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = Stream::begin_tls(socket, session);
    let tls = metrics.tls.counters();
    shaking.set(true);
    let done = poll_fn(|cx| stream.poll_handshake(cx)).await;
    shaking.set(false);
    if let Err(error) = done {
        tls.failures
            .count(failure(&error, stream.has_agreed(), true));
        if let Some(times) = state.handshake_failed(connection.worker.timers.now()) {
            emit(&Event::TargetHandshakeFailed {
                target_group: group.name.as_str(),
                target: group.targets.get(target).map_or("", |it| it.name.as_str()),
                error: &Cause(&error),
                times,
            });
        }
        return Err(error);
    }
    stream.note_agreed();
    tls.ok.add(1);
    tls.time.observe(connected.elapsed());
    if stream.agreed().is_some_and(|it| it.resumed) {
        tls.resumptions.add(1);
    }
    Ok((stream, at))
}

/// A UNIX socket that is not there is a target that does not listen: its name is known.
fn nobody_listens(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::ConnectionRefused, error),
        _ => error,
    }
}

/// Why a handshake failed. A verifier of ours has words for it, which rustls would wrap in its own types.
struct Cause<'a>(&'a io::Error);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(reason))) => {
                write!(f, "{}", reason.0)
            }
            _ => write!(f, "{}", self.0),
        }
    }
}

async fn tcp(
    address: SocketAddr,
    borrowed: Option<&SocketAddr>,
    (group, target): (&TargetGroup, Option<&Target>),
) -> io::Result<(Socket, Option<IpAddr>)> {
    let from = target.and_then(|target| target.source.as_ref());
    let watch = keep_alive::towards(group, target);
    let socket = match from {
        None if watch.is_none() => {
            source::unless_itself(TcpStream::connect(address).await?, address)?
        }
        from => {
            let watched = |socket: &TcpSocket| match &watch {
                Some(watch) => keep_alive::watch(socket, watch),
                None => Ok(()),
            };
            match from {
                Some(from) => source::connect(from, borrowed, address, watched).await?,
                None => {
                    let socket = source::socket_to(address)?;
                    watched(&socket)?;
                    source::unless_itself(socket.connect(address).await?, address)?
                }
            }
        }
    };
    socket.set_nodelay(true)?;
    Ok((Socket::Tcp(socket), Some(address.ip())))
}

/// What is sent and verified in the handshake. An address is never sent (RFC 6066 §3) but can be verified.
fn tls_name(
    name: Option<&str>,
    ip: Option<IpAddr>,
) -> io::Result<rustls::pki_types::ServerName<'static>> {
    if let Some(name) = name {
        return rustls::pki_types::ServerName::try_from(name.to_owned())
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
    }
    Ok(ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).into())
}

/// The name to send, as the target or its group has it.
fn server_name(
    connection: &Connection,
    group: &TargetGroup,
    wanted: Wanted<'_>,
) -> Option<Box<str>> {
    let target = group.targets.get(wanted.target)?;
    let tls = group.tls_of(target)?;
    let host = || {
        std::str::from_utf8(wanted.host)
            .ok()
            .filter(|host| !host.is_empty())
    };
    let own = || written_address(target).host_name();
    let name = match &tls.server_name {
        ServerName::Fixed(name) => Some(name.as_str()),
        ServerName::None => None,
        ServerName::Host => host().or_else(own),
        ServerName::Client => {
            let sni = connection.tls.as_ref().and_then(|tls| tls.sni.as_deref());
            sni.or_else(host).or_else(own)
        }
    }?;
    // `host:port`, brackets and addresses are no names; the handshake then goes by the target's address.
    let is_name = rustls::pki_types::DnsName::try_from(name).is_ok();
    is_name.then(|| name.into())
}
