//! Listening sockets: every address of every listener, once for each worker, all of them or none.
//!
//! Each worker has TCP sockets of its own (SO_REUSEPORT: the kernel spreads connections); a UNIX socket or an
//! inherited one is shared by all workers. The hard thing is that SO_REUSEPORT would let a second Portway of the
//! same user take half of the connections without anybody noticing: so each address is first tried without it
//! (`is_free`), and only then bound.

pub mod control;
mod fault;
mod filter;
mod held;
mod owner;
pub mod takeover;
mod unix;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

pub use held::Held;
use owner::Owners;
use portway_dataplane::plane::SocketPlace;
use portway_dataplane::worker::{BoundSocket, Socket, SocketId};
pub use takeover::Handover;
pub use unix::SocketFiles;

use crate::own_descriptors::Ourselves;
use portway_model::address::{BindAddress, UnixSocket};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::name::Name;
use portway_model::settings::SocketOptions;
use portway_model::snapshot::{ListenerId, Snapshot};
use portway_model::span::Span;
use portway_model::tcp::TcpKeepAlive;
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

/// Connections that wait to be accepted on each socket; HAProxy's and nginx's defaults are 4096 and 511. The kernel
/// cuts it to `net.core.somaxconn` (4096 since Linux 5.4).
pub const BACKLOG: u16 = 4096;

/// Addresses of all listeners together. A range of all ports on one address fits.
pub const MAX_ADDRESSES: usize = 65_536;

/// The program beside this one that listens there, as `NAME (process N)`.
pub(crate) fn other_owner(ip: Option<IpAddr>, port: u16) -> Option<String> {
    let owners = Owners::default();
    let owner = owners.of_port(ip, port)?;
    (owner.pid != std::process::id()).then(|| owner.to_string())
}

/// One address that one listener asks for.
struct Wanted<'a> {
    listener: ListenerId,
    /// Among the addresses of the listener and those that are counted with it, from 1 on.
    number: u16,
    name: &'a Name,
    span: Span,
    place: Place,
    options: &'a SocketOptions,
}

/// Everything that was bound.
#[derive(Debug)]
pub struct Bound {
    /// A list for each worker, without those that were held before.
    pub sockets: Vec<Vec<BoundSocket>>,
    /// Whose connections come in on which socket, those that were held before among them.
    pub places: HashMap<SocketId, SocketPlace>,
    /// What is held from now on.
    pub held: Held,
    /// Files of UNIX sockets.
    pub files: SocketFiles,
    /// What is worth knowing.
    pub notes: Diagnostics,
}

/// A bind address, ranges of ports taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Tcp { ip: Option<IpAddr>, port: u16 },
    Unix(UnixSocket),
    Inherited(u32),
}

/// Who else may hold the addresses that are bound.
#[derive(Debug, Clone)]
pub enum Neighbour {
    /// Nobody: an address that another process holds is an error.
    None,
    /// A process of the same user that is about to leave: what it hands over is taken, other addresses are bound beside it.
    Leaving(Handover),
    /// Whoever gave these sockets, the process before or the system, has no others: what is among them is taken, and other
    /// addresses must be free.
    Giving {
        /// All of them.
        sockets: Handover,
        /// Those of the system: it has them also when this process is gone, and their files with them.
        of_system: Handover,
    },
}

impl Neighbour {
    /// Nobody but the system, with these sockets.
    pub fn given(of_system: Handover) -> Self {
        match of_system.is_empty() {
            true => Neighbour::None,
            false => Neighbour::Giving {
                sockets: of_system.clone(),
                of_system,
            },
        }
    }

    /// What was handed over.
    fn handover(&self) -> Option<&Handover> {
        match self {
            Neighbour::None => None,
            Neighbour::Leaving(sockets) | Neighbour::Giving { sockets, .. } => Some(sockets),
        }
    }

    /// True where somebody else may listen at an address that is to be bound.
    fn may_share(&self, wanted: &Place) -> bool {
        match self {
            Neighbour::None => false,
            Neighbour::Leaving(_) => true,
            Neighbour::Giving { sockets, .. } => sockets.is_at(wanted),
        }
    }

    /// True where the file of a socket is the system's.
    fn has_file(&self, path: &str) -> bool {
        match self {
            Neighbour::None | Neighbour::Leaving(_) => false,
            Neighbour::Giving { of_system, .. } => matches!(of_system.unix(path), Ok(Some(_))),
        }
    }
}

/// Binds everything that `snapshot` asks for and is not `held`, for each of `workers` (at least one). What UNIX sockets are called
/// is as before until [`Bound::put_in_place`].
///
/// # Errors
/// One diagnostic for each address that cannot be had; nothing more stays bound then.
pub fn bind(
    snapshot: &Snapshot,
    workers: usize,
    neighbour: &Neighbour,
    held: &Held,
) -> Result<Bound, Diagnostics> {
    let mut failed = check_listeners(snapshot, neighbour, held);
    let wanted = wanted(snapshot, &mut Diagnostics::default());
    // First all of them, then bind: two listeners of ours may share a port (`:80` and `127.0.0.1:80`).
    if failed.has_errors() {
        return Err(failed);
    }
    let mut bound = Bound {
        sockets: (0..workers.max(1)).map(|_| Vec::new()).collect(),
        places: HashMap::with_capacity(wanted.len()),
        held: held.next(),
        files: SocketFiles::default(),
        notes: backlog_note(),
    };
    let owners = Owners::default();
    let mut left = held.clone();
    // Those that take the place of a file come last: what fails before has changed nothing.
    let (files, others): (Vec<_>, Vec<_>) = wanted
        .iter()
        .partition(|one| matches!(one.place, Place::Unix(_)));
    for one in others.into_iter().chain(files) {
        if failed.has_errors() && matches!(one.place, Place::Unix(_)) {
            break;
        }
        // A file that somebody took away is made again.
        let is_there = |_: &SocketId| match &one.place {
            Place::Unix(socket) => !unix::is_lost(&socket.path),
            Place::Tcp { .. } | Place::Inherited(_) => true,
        };
        let id = match left.take(one).filter(is_there) {
            Some(id) => id,
            None => match open(one, workers.max(1), (neighbour, held), &mut bound.files) {
                Ok(opened) => bound.add(opened),
                Err(error) => {
                    let who = (one.name, one.span);
                    failed.push(fault::explain(who, &one.place, &error, &owners));
                    continue;
                }
            },
        };
        bound.held.keep(one, id);
        let place = SocketPlace {
            listener: one.listener,
            number: one.number,
        };
        bound.places.insert(id, place);
    }
    if failed.has_errors() {
        return Err(failed);
    }
    Ok(bound)
}

/// That a socket could not be given its name.
fn not_in_place((path, error): (PathBuf, io::Error)) -> Diagnostic {
    let message = format!("cannot put a socket at `{}`: {error}", path.display());
    Diagnostic::error(Code::Install, Span::NONE, message)
}

impl Bound {
    /// Gives UNIX sockets their names: the last step.
    ///
    /// # Errors
    /// What the system says of a path.
    pub fn put_in_place(&mut self) -> Result<(), Diagnostic> {
        self.files.put_in_place().map_err(not_in_place)
    }

    /// Takes the sockets of one address.
    fn add(&mut self, opened: Vec<Socket>) -> SocketId {
        let id = self.held.new_id();
        let workers = self.sockets.len();
        // The other process may have had more workers, and left a queue in each of its sockets.
        for (socket, nth) in opened.into_iter().zip(0..) {
            if let Some(worker) = self.sockets.get_mut(nth % workers) {
                worker.push(BoundSocket { id, socket });
            }
        }
        id
    }
}

/// Sockets that the system listens on and this configuration does not speak of, each by its address: whoever connects there waits for
/// ever.
pub fn unused(snapshot: &Snapshot, sockets: &Handover) -> Vec<String> {
    let listeners = wanted(snapshot, &mut Diagnostics::default());
    let mut places: Vec<Place> = listeners.into_iter().map(|it| it.place).collect();
    places.extend(snapshot.process.control_sockets.iter().map(control::place));
    places.push(Place::Tcp {
        ip: Some(snapshot.process.admin.ip()),
        port: snapshot.process.admin.port(),
    });
    let is_used = |it: &Handover| places.iter().any(|place| it.is_at(place));
    sockets
        .each()
        .filter(|it| !is_used(&it.1))
        .map(|it| it.0)
        .collect()
}

/// Checks that every address of `snapshot` could be bound now; binds nothing.
pub fn check(snapshot: &Snapshot, neighbour: &Neighbour) -> Diagnostics {
    let mut found = control::check(&snapshot.process, neighbour);
    found.extend(check_listeners(snapshot, neighbour, &Held::default()));
    found
}

/// The same for the addresses of listeners that are not held.
pub(crate) fn check_listeners(
    snapshot: &Snapshot,
    neighbour: &Neighbour,
    held: &Held,
) -> Diagnostics {
    let mut found = Diagnostics::default();
    let owners = Owners::default();
    for one in wanted(snapshot, &mut found) {
        if held.has(&one) {
            continue;
        }
        let beside = neighbour.may_share(&one.place) || held.is_beside(&one);
        if beside && !matches!(one.place, Place::Inherited(_)) {
            continue;
        }
        if let Err(error) = is_free(&one.place, one.options) {
            let who = (one.name, one.span);
            found.push(fault::explain(who, &one.place, &error, &owners));
        }
    }
    found
}

/// Owners of sockets that this machine does not know.
pub fn check_owners(snapshot: &Snapshot) -> Diagnostics {
    let listeners = snapshot.listeners.iter().flat_map(|it| &it.binds);
    let control = snapshot.process.control_sockets.iter().map(|it| &it.bind);
    let mut found = Diagnostics::default();
    for bind in listeners.chain(control) {
        if let BindAddress::Unix(socket) = &bind.value
            && let Err(error) = unix::owner(socket)
        {
            let unknown = Diagnostic::error(Code::UnknownReference, bind.span, error.to_string());
            found.push(unknown.help("name another, or remove it"));
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
    let owners = Owners::default();
    fault::explain_for("the admin address", Span::NONE, (&place, error), &owners)
        .help("stop that program, or choose another address: `admin` of `[process]`, or `portway run --admin ADDRESS:PORT`")
}

fn wanted<'a>(snapshot: &'a Snapshot, failed: &mut Diagnostics) -> Vec<Wanted<'a>> {
    let mut wanted = Vec::new();
    let mut numbers: HashMap<&Name, u16> = HashMap::new();
    for (listener, id) in snapshot.listeners.iter().zip(0..) {
        let number = numbers.entry(&listener.known_as).or_default();
        for bind in &listener.binds {
            let mut add = |place| {
                *number = number.saturating_add(1);
                wanted.push(Wanted {
                    listener: ListenerId(id),
                    number: *number,
                    name: &listener.name,
                    span: bind.span,
                    place,
                    options: &listener.socket,
                });
            };
            match &bind.value {
                BindAddress::Tcp {
                    ip,
                    first_port,
                    last_port,
                } => (*first_port..=*last_port).for_each(|port| add(Place::Tcp { ip: *ip, port })),
                BindAddress::Unix(socket) => add(Place::Unix(socket.clone())),
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

/// Could its place be bound without sharing it with anybody?
///
/// Linux lets two sockets with SO_REUSEADDR bind the same address as long as none listens: so remains of closed
/// connections (TIME_WAIT) do not matter, a listening socket does, and since nothing listens here, no connection
/// can get into a queue that is thrown away.
fn is_free(place: &Place, options: &SocketOptions) -> io::Result<()> {
    match place {
        Place::Tcp { ip, port } => tcp_socket(*ip, *port, options, false).map(drop),
        Place::Unix(socket) => unix::is_free(&socket.path),
        Place::Inherited(number) => inherited(*number).map(drop),
    }
}

/// One socket for each worker, at least.
fn open(
    wanted: &Wanted<'_>,
    workers: usize,
    (neighbour, held): (&Neighbour, &Held),
    files: &mut SocketFiles,
) -> io::Result<Vec<Socket>> {
    // What is in the way is our own, and leaves.
    let ourselves = Neighbour::Leaving(Handover::default());
    let neighbour = match held.is_beside(wanted) {
        true => &ourselves,
        false => neighbour,
    };
    let each = 0..workers;
    let backlog = wanted.options.backlog.unwrap_or(u32::from(BACKLOG));
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    match &wanted.place {
        Place::Tcp { ip, port } => {
            let taken = taken_tcp(*ip, *port, wanted.options, backlog, neighbour)?;
            // Where the process before was told not to listen, whoever serves decides when to.
            let listens = taken.iter().all(listens);
            let more = || another_tcp(*ip, *port, wanted.options, listens.then_some(backlog));
            let sockets = for_each(taken, workers, more)?;
            Ok(sockets.into_iter().map(Socket::Tcp).collect())
        }
        Place::Unix(socket) => {
            let listener = unix::listen(socket, backlog, neighbour, files)?;
            each.map(|_| listener.try_clone().map(Socket::Unix))
                .collect()
        }
        Place::Inherited(number) => {
            let socket = inherited(*number)?;
            if let Socket::Tcp(socket) = &socket {
                watch_over(socket, wanted.options)?;
            }
            each.map(|_| duplicate(&socket)).collect()
        }
    }
}

/// One socket for each worker, at least: those that were taken, and others beside them. Where no other can stand beside them (the
/// system made them, or a process with more rights), workers share those that are there.
fn for_each(
    mut taken: Vec<TcpListener>,
    workers: usize,
    more: impl Fn() -> io::Result<TcpListener>,
) -> io::Result<Vec<TcpListener>> {
    let given = taken.len();
    while taken.len() < workers {
        let next = match more() {
            Ok(another) => another,
            Err(error) => match taken.get(taken.len() % given.max(1)) {
                Some(shared) if given > 0 => shared.try_clone()?,
                _ => return Err(error),
            },
        };
        taken.push(next);
    }
    Ok(taken)
}

/// The admin address: as the process before had it, or bound anew.
///
/// # Errors
/// What the system says; [`explain_admin`] puts it into words.
pub fn admin(address: SocketAddr, neighbour: &Neighbour) -> io::Result<TcpListener> {
    let taken = neighbour.handover().map(|it| it.plain(address));
    let listener = match taken.transpose()?.flatten() {
        Some(taken) => taken,
        None => TcpListener::bind(address)?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn duplicate(socket: &Socket) -> io::Result<Socket> {
    Ok(match socket {
        Socket::Tcp(listener) => Socket::Tcp(listener.try_clone()?),
        Socket::Unix(listener) => Socket::Unix(listener.try_clone()?),
    })
}

fn listens(socket: &TcpListener) -> bool {
    SockRef::from(socket).is_listener().unwrap_or(true)
}

/// The sockets of an address that another process handed over; those that do not listen do not then either.
fn taken_tcp(
    ip: Option<IpAddr>,
    port: u16,
    options: &SocketOptions,
    backlog: i32,
    neighbour: &Neighbour,
) -> io::Result<Vec<TcpListener>> {
    let Some(handover) = neighbour.handover().filter(|_| !options.transparent) else {
        return Ok(Vec::new());
    };
    let address = |ip: IpAddr| SocketAddr::from((ip, port));
    let mut taken = match ip {
        Some(ip) => {
            let dual_stack = ip.is_unspecified() && !options.v6_only;
            handover.tcp(address(ip), options, dual_stack)?
        }
        None => handover.tcp(address(Ipv6Addr::UNSPECIFIED.into()), options, true)?,
    };
    if ip.is_none() && taken.is_empty() {
        taken = handover.tcp(address(Ipv4Addr::UNSPECIFIED.into()), options, false)?;
    }
    for socket in &taken {
        filter::put(SockRef::from(socket), options)?;
        watch_over(socket, options)?;
        if listens(socket) {
            rustix::net::listen(socket, backlog)?;
        }
        socket.set_nonblocking(true)?;
    }
    Ok(taken)
}

/// One more socket, which listens with this backlog if it has one.
fn another_tcp(
    ip: Option<IpAddr>,
    port: u16,
    options: &SocketOptions,
    backlog: Option<i32>,
) -> io::Result<TcpListener> {
    let socket = tcp_socket(ip, port, options, true)?;
    filter::put(SockRef::from(&socket), options)?;
    watch_over(&socket, options)?;
    if let Some(backlog) = backlog {
        socket.listen(backlog)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Lets the system watch over the connections that a socket accepts: they inherit it. One that another process has left
/// loses what is not wanted.
fn watch_over(socket: &impl AsFd, options: &SocketOptions) -> io::Result<()> {
    let set = SockRef::from(socket);
    if options.tcp.keep_alive == TcpKeepAlive::Off {
        set.set_keepalive(false)?;
    }
    if options.tcp.user_timeout.is_none() {
        set.set_tcp_user_timeout(None)?;
    }
    portway_dataplane::keep_alive::watch(socket, &options.tcp)
        .map_err(|error| of_option("`tcp_keep_alive` and `tcp_user_timeout`", &error))
}

/// A bound socket. Without an address: one socket for IPv6 and IPv4, or for IPv4 alone where there is no IPv6.
fn tcp_socket(
    ip: Option<IpAddr>,
    port: u16,
    options: &SocketOptions,
    share: bool,
) -> io::Result<socket2::Socket> {
    let Some(ip) = ip else {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return match bound(all, options, share, true) {
            Err(error) if no_ipv6(&error) => bound(
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
                options,
                share,
                false,
            ),
            result => result,
        };
    };
    let dual_stack = ip.is_unspecified() && !options.v6_only;
    bound(SocketAddr::from((ip, port)), options, share, dual_stack)
}

fn no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    code == Some(Errno::AFNOSUPPORT.raw_os_error())
        || code == Some(Errno::ADDRNOTAVAIL.raw_os_error())
}

fn bound(
    address: SocketAddr,
    options: &SocketOptions,
    share: bool,
    dual_stack: bool,
) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    if share {
        socket.set_reuse_port(true)?;
    }
    if let Some(interface) = &options.interface {
        let taken = socket.bind_device(Some(interface.as_bytes()));
        taken.map_err(|error| of_option(&format!("the interface `{interface}`"), &error))?;
    }
    if options.transparent {
        let set = match address {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true),
        };
        set.map_err(|error| of_option("`transparent`, which needs CAP_NET_ADMIN", &error))?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// An error of an option, which would be told as one of the address.
fn of_option(option: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{option}: {error}"))
}

/// A duplicate of the listening socket that whoever started us left under this number.
fn inherited(number: u32) -> io::Result<Socket> {
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let fd = Ourselves::new().duplicate(number)?;
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
