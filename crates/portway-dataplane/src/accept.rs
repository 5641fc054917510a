//! Accepts connections and begins their way: limits, rules of the connection phase, TLS, then HTTP or a tunnel.

use crate::connection::Connection;
use crate::establish::{self, Before, Way};
use crate::h1;
use crate::h2;
use crate::l4;
use crate::live::{self, Entrance, Full, Gate, ListenerState, Shut};
use crate::memory::Level;
use crate::plane::{Plane, SocketPlace};
use crate::rules::{Rules, Verdict};
use crate::scarce;
use crate::stream::{Socket as Connected, Stream};
use crate::timer::TICK;
use crate::worker::{BoundSocket, Socket, SocketId, Worker};
use portway_core::stick::Event;
use portway_model::settings::ProxyHeader;
use portway_model::snapshot::ListenerId;
use portway_telemetry::metrics::{Limit, ListenerMetrics};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Connections that wait to be accepted on a socket that listens again; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long a worker waits before it accepts again when the process has no descriptors or memory left. Established
/// connections go on meanwhile, and give theirs back.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A socket that connections come in on, and the task that accepts them.
pub(crate) struct Acceptor {
    incoming: Rc<Incoming>,
    task: JoinHandle<()>,
}

struct Incoming {
    id: SocketId,
    /// Whose connections come in on it, in the generation that new connections get.
    place: Cell<SocketPlace>,
    /// It does not listen now, because its gate is not open.
    shut: RefCell<Option<Shut>>,
    socket: RefCell<Rc<Listening>>,
    /// Was accepted and waits for room.
    held: Cell<Option<(Connected, SocketAddr)>>,
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listening::Tcp(socket) => socket.as_fd(),
            Listening::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Acceptor {
    /// The address of its socket.
    pub(crate) fn id(&self) -> SocketId {
        self.incoming.id
    }
}

/// Begins to accept on a socket that the plane of the worker has a place for.
pub(crate) fn start(worker: &Rc<Worker>, bound: BoundSocket) -> io::Result<Acceptor> {
    let place = worker.generation().plane.sockets.get(&bound.id).copied();
    let place = place.ok_or(io::ErrorKind::NotFound)?;
    let socket = match bound.socket {
        Socket::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
        Socket::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
    };
    let incoming = Rc::new(Incoming {
        id: bound.id,
        place: Cell::new(place),
        shut: RefCell::default(),
        socket: RefCell::new(Rc::new(socket)),
        held: Cell::default(),
    });
    // So the process before had it.
    if !rustix::net::sockopt::socket_acceptconn(incoming.socket())? {
        incoming
            .shut
            .replace(incoming.shut_of(&worker.generation().plane));
    }
    let task = tokio::task::spawn_local(accept(Rc::clone(worker), Rc::clone(&incoming)));
    Ok(Acceptor { incoming, task })
}

/// From now on connections belong where this plane says; all sockets have a place in it.
pub(crate) fn move_to(acceptors: &[Acceptor], plane: &Plane) {
    for Acceptor { incoming, .. } in acceptors {
        if let Some(place) = plane.sockets.get(&incoming.id) {
            incoming.place.set(*place);
            incoming.counts_for(plane);
        }
    }
}

/// Ends accepting. What waits in the queues is let in first: closing a socket resets it (91 of 200 connections in a
/// test). The kernel is asked until nothing is there, because what tokio knows of readiness may be older.
pub(crate) fn stop(worker: &Rc<Worker>, acceptors: Vec<Acceptor>) {
    for Acceptor { incoming, task } in acceptors {
        task.abort();
        if let Some((socket, peer)) = incoming.held.take()
            && let Some(open) = enter_full(worker, incoming.listener())
        {
            admit(open, &incoming, socket, peer);
        }
        empty(worker, &incoming);
    }
}

/// Lets in what waits in the queue of a socket.
fn empty(worker: &Rc<Worker>, incoming: &Incoming) {
    loop {
        match incoming.accept_now() {
            Ok(Some((socket, peer))) => {
                if let Ok(open) = enter(worker, incoming.listener()) {
                    admit(open, incoming, socket, peer);
                }
            }
            Err(error) if is_of_one(&error) => {}
            Ok(None) | Err(_) => break,
        }
    }
}

impl Incoming {
    fn socket(&self) -> Rc<Listening> {
        Rc::clone(&self.socket.borrow())
    }

    fn is_tcp(&self) -> bool {
        matches!(*self.socket(), Listening::Tcp(_))
    }

    fn listener(&self) -> ListenerId {
        self.place.get().listener
    }

    fn state(&self, plane: &Plane) -> Option<Arc<ListenerState>> {
        let (_, parts) = plane.listener(self.listener())?;
        Some(parts.state.clone())
    }

    fn gate(&self, worker: &Worker) -> Gate {
        let generation = worker.generation();
        let listener = generation.plane.listener(self.listener());
        listener.map_or(Gate::Open, |(_, parts)| parts.state.gate())
    }

    /// That it does not listen, for as long as what this gives lives.
    fn shut_of(&self, plane: &Plane) -> Option<Shut> {
        let state = self.state(plane)?;
        Some(Shut::of(&state, self.socket().as_fd()))
    }

    fn is_shut(&self) -> bool {
        self.shut.borrow().is_some()
    }

    /// Where it is shut, it is one of the listener that it has now.
    fn counts_for(&self, plane: &Plane) {
        let mut shut = self.shut.borrow_mut();
        if let (Some(known), Some(state)) = (shut.as_ref(), self.state(plane))
            && !known.is_of(&state)
        {
            // The number is one's alone.
            *shut = None;
            *shut = Some(Shut::of(&state, self.socket().as_fd()));
        }
    }

    /// Waits until the gate is open, and listens again.
    async fn until_open(&self, worker: &Worker) {
        while self.gate(worker) != Gate::Open {
            tokio::time::sleep(TICK).await;
        }
        if let Err(error) = self.listen_again() {
            if let Some(shut) = self.shut.borrow().as_ref() {
                shut.cannot(&error);
            }
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
    }

    /// It is shut no longer. To tokio a socket that was shut has ended: it is ready whatever it is asked for, and whoever waits for a
    /// connection would turn for ever. So it gets to know the socket anew, by another number.
    fn listen_again(&self) -> io::Result<()> {
        let before = self.socket();
        let again = before.as_fd().try_clone_to_owned()?;
        let again = match &*before {
            Listening::Tcp(_) => Listening::Tcp(TcpListener::from_std(again.into())?),
            Listening::Unix(_) => Listening::Unix(UnixListener::from_std(again.into())?),
        };
        rustix::net::listen(&again, BACKLOG)?;
        // Its number is free with it.
        drop(self.shut.take());
        self.socket.replace(Rc::new(again));
        Ok(())
    }

    /// The next connection in the queue; `None` where it is empty.
    fn accept_now(&self) -> io::Result<Option<(Connected, SocketAddr)>> {
        let accepted = match &*self.socket() {
            Listening::Tcp(socket) => crate::sys::accept(socket)?
                .map(std::net::TcpStream::from)
                .map(|socket| {
                    let peer = socket.peer_addr().unwrap_or(UNSPECIFIED);
                    TcpStream::from_std(socket).map(|socket| (Connected::Tcp(socket), peer))
                }),
            Listening::Unix(socket) => crate::sys::accept(socket)?
                .map(std::os::unix::net::UnixStream::from)
                .map(|socket| {
                    UnixStream::from_std(socket)
                        .map(|socket| (Connected::Unix(socket), UNSPECIFIED))
                }),
        };
        accepted.transpose()
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Connected, SocketAddr)>> {
        match &**self.socket.borrow() {
            Listening::Tcp(socket) => socket
                .poll_accept(cx)
                .map_ok(|(socket, peer)| (Connected::Tcp(socket), peer)),
            Listening::Unix(socket) => socket
                .poll_accept(cx)
                .map_ok(|(socket, _)| (Connected::Unix(socket), UNSPECIFIED)),
        }
    }
}

async fn accept(worker: Rc<Worker>, incoming: Rc<Incoming>) {
    loop {
        match poll_fn(|cx| incoming.poll_accept(cx)).await {
            // The client reads an end.
            Ok((Connected::Unix(_), _)) if incoming.gate(&worker) != Gate::Open => {}
            Ok(accepted) => {
                incoming.held.set(Some(accepted));
                let open = room(&worker, &incoming).await;
                if let (Some(open), Some((socket, peer))) = (open, incoming.held.take()) {
                    admit(open, &incoming, socket, peer);
                }
            }
            Err(_) if incoming.is_shut() => incoming.until_open(&worker).await,
            Err(error) => failed(&worker, &error).await,
        }
    }
}

/// Lets sockets whose gates are not open listen no more: their tasks notice by the error that this gives them. What waits in their
/// queues is let in first, since the kernel would reset it.
pub(crate) fn look_at_gates(worker: &Rc<Worker>, acceptors: &[Acceptor]) {
    let generation = worker.generation();
    for Acceptor { incoming, .. } in acceptors {
        // One of UNIX would never listen again: who comes there is closed instead.
        if incoming.gate(worker) == Gate::Open || !incoming.is_tcp() || incoming.is_shut() {
            continue;
        }
        let shut = incoming.shut_of(&generation.plane);
        // Somebody may have opened it before it was counted.
        if incoming.gate(worker) != Gate::Open {
            incoming.shut.replace(shut);
            empty(worker, incoming);
            // One that does not listen any more is left alone: what comes in on it later would be shut as well. A socket that
            // cannot be shut goes on.
            let socket = incoming.socket();
            if rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(true) {
                let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Read);
            }
        }
    }
}

/// True for an error of one connection, which is gone; the others can still be accepted.
fn is_of_one(error: &io::Error) -> bool {
    let gone = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::Interrupted,
    ];
    gone.contains(&error.kind())
}

/// An error of accept: of one connection, which is gone, or of the process, which has to wait.
async fn failed(worker: &Worker, error: &io::Error) {
    worker.metrics().accept_errors.add(1);
    if !is_of_one(error) {
        worker.metrics().limit_reached(Limit::FileDescriptors);
        scarce::make_room(worker);
        tokio::time::sleep(EXHAUSTED_PAUSE).await;
    }
}

/// Counts a connection while it lives.
struct Open {
    worker: Rc<Worker>,
    listener: ListenerId,
    metrics: Arc<ListenerMetrics>,
    entrance: Arc<Entrance>,
    /// It is counted among those with TLS.
    tls: bool,
}

impl Open {
    fn new(worker: &Rc<Worker>, listener: ListenerId, entrance: &Arc<Entrance>) -> Self {
        worker.count_open(1);
        entrance.count(1);
        let metrics = worker.listener_metrics(listener);
        metrics.connections.add(1);
        metrics.connections_open.up();
        Self {
            worker: Rc::clone(worker),
            listener,
            metrics,
            entrance: Arc::clone(entrance),
            tls: false,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.tls {
            self.worker.process().leave_tls();
        }
        self.entrance.count(-1);
        live::leave(self.worker.process(), &self.entrance.state);
        self.worker.count_open(-1);
        self.metrics.connections_open.down();
    }
}

/// Why a connection cannot come in now.
enum Refused {
    /// There is no such listener any more.
    Gone,
    Full(Full),
    /// It, or the connection to its target, may find no descriptor.
    Scarce,
    /// What connections and exchanges take comes near the budget.
    NoMemory,
    /// Too many came lately; one more may come after this time.
    Soon(Duration),
}

/// Counts a connection in, unless the process or the listener is full.
fn enter(worker: &Rc<Worker>, id: ListenerId) -> Result<Open, Refused> {
    let generation = worker.generation();
    let (listener, parts) = generation.plane.listener(id).ok_or(Refused::Gone)?;
    let process: &live::ProcessState = worker.process();
    let process = (process, process.limit(generation.plane.max_connections));
    let limit = parts.state.limit(listener.max_connections);
    live::enter(process, (&parts.state, limit)).map_err(Refused::Full)?;
    Ok(Open::new(worker, id, &parts.entrance))
}

/// Counts a connection in although all is full: it was accepted before, and nobody else will take it.
fn enter_full(worker: &Rc<Worker>, id: ListenerId) -> Option<Open> {
    let generation = worker.generation();
    let (_, parts) = generation.plane.listener(id)?;
    live::enter((worker.process(), 0), (&parts.state, 0)).ok()?;
    Some(Open::new(worker, id, &parts.entrance))
}

/// As [`enter`], at the pace that the process and the listener have.
fn enter_paced(worker: &Rc<Worker>, id: ListenerId) -> Result<Open, Refused> {
    let generation = worker.generation();
    let (listener, parts) = generation.plane.listener(id).ok_or(Refused::Gone)?;
    let process: &live::ProcessState = worker.process();
    if !scarce::room_for_another(process) {
        return Err(Refused::Scarce);
    }
    if process.memory_level() > Level::Free {
        return Err(Refused::NoMemory);
    }
    let limits = &generation.plane.snapshot.process;
    let paces = [
        (&process.connection_pace, limits.max_connection_rate),
        (&process.session_pace, limits.max_session_rate),
        (&parts.state.session_pace, listener.max_session_rate),
        (&process.tls_pace, limits.max_tls_rate),
    ];
    let of_listener = if parts.tls.is_some() { 4 } else { 3 };
    let paces = paces.get(..of_listener).unwrap_or_default();
    let give_back = |count| {
        let taken = paces.iter().take(count);
        taken.for_each(|(pace, limit)| pace.give_back(*limit));
    };
    for (at, (pace, limit)) in paces.iter().enumerate() {
        pace.take(*limit).map_err(|wait| {
            give_back(at);
            Refused::Soon(wait)
        })?;
    }
    enter(worker, id).inspect_err(|_| give_back(paces.len()))
}

/// Counts a connection in when there is room for it. Until then it waits, and those behind it wait in the queue of the
/// kernel: nobody is refused, as in HAProxy.
async fn room(worker: &Rc<Worker>, incoming: &Incoming) -> Option<Open> {
    if let Ok(open) = enter_paced(worker, incoming.listener()) {
        return Some(open);
    }
    let mut told = false;
    let _waiting = worker.process().wait();
    loop {
        let left = worker.process().left();
        let mut left = pin!(left);
        left.as_mut().enable();
        let (limit, wait) = match enter_paced(worker, incoming.listener()) {
            Ok(open) => return Some(open),
            Err(Refused::Gone) => return None,
            Err(Refused::Scarce) => {
                worker.tell_resting();
                scarce::make_room(worker);
                (Limit::FileDescriptors, TICK)
            }
            Err(Refused::NoMemory) => {
                worker.tell_resting();
                if worker.process().rest_takes_memory() {
                    scarce::make_room(worker);
                }
                (Limit::Memory, TICK)
            }
            Err(Refused::Full(Full::Process)) => (Limit::Connections, TICK),
            Err(Refused::Full(Full::Listener)) => (Limit::ListenerConnections, TICK),
            Err(Refused::Soon(wait)) => (Limit::ConnectionRate, wait.min(TICK)),
        };
        if !std::mem::replace(&mut told, true) {
            worker.metrics().limit_reached(limit);
            if limit == Limit::Memory {
                worker.process().memory.count_reached();
            }
        }
        // A limit may have been raised in the meantime: then nobody has to leave.
        let _ = tokio::time::timeout(wait, left).await;
    }
}

/// Makes a socket ready to serve, and says our end of it.
fn own_end(socket: &Connected) -> io::Result<SocketAddr> {
    match socket {
        Connected::Tcp(socket) => {
            // Without it small answers wait for the client's acknowledgement (Nagle).
            socket.set_nodelay(true)?;
            Ok(socket.local_addr().unwrap_or(UNSPECIFIED))
        }
        Connected::Unix(_) => Ok(UNSPECIFIED),
    }
}

/// A connection that nothing has come of yet, with its place among those that operators see.
pub(crate) fn seated(
    worker: &Rc<Worker>,
    listener: ListenerId,
    socket_number: u16,
    ends: (SocketAddr, SocketAddr),
) -> Connection {
    let connection = Connection {
        timer: worker.timers.register(),
        worker: Rc::clone(worker),
        generation: worker.generation(),
        listener,
        socket_number,
        peer: ends.0,
        local: ends.1,
        tls: None,
        behind_proxy: false,
        exchanges: 0,
        born: worker.timers.now_short(),
        is_stream: false,
        captures: None,
        rare: OnceCell::new(),
    };
    connection.seat();
    connection
}

/// Lets a connection in if the rules do.
fn admit(mut open: Open, incoming: &Incoming, socket: Connected, peer: SocketAddr) {
    let (worker, id) = (&Rc::clone(&open.worker), open.listener);
    let generation = worker.generation();
    let limits = &generation.plane.snapshot.process;
    let Some((listener, parts)) = generation.plane.listener(id) else {
        return;
    };
    let Ok(local) = own_end(&socket) else {
        return;
    };
    let mut connection = seated(worker, id, incoming.place.get().number, (peer, local));
    let mut rules = Rules::new(&listener.rules.connection);
    let verdict = rules.run(&mut connection, None);
    let required = listener.accept_proxy.then_some(ProxyHeader::Required);
    let proxy = required.or(rules.proxy);
    if let Some(Verdict::Reject { silent }) = verdict {
        let process = worker.process();
        process.session_pace.give_back(limits.max_session_rate);
        let own = &parts.state.session_pace;
        own.give_back(listener.max_session_rate);
        let mut stream = Stream::Plain(socket);
        // So that nothing of the connection is left here.
        stream.reset();
        return establish::reject(&connection, &mut stream, silent);
    }
    let later = &listener.rules;
    let way = match verdict {
        _ if listener.protocol.is_http() => Way::Http,
        Some(Verdict::Forward(group)) => Way::Stream(Some(group)),
        // A handshake is finished first, as in HAProxy.
        _ if later.session.is_empty()
            && later.client_hello.is_empty()
            && proxy.is_none()
            && parts.tls.is_none() =>
        {
            return l4::nowhere(&connection, &mut Stream::Plain(socket));
        }
        _ => Way::Stream(None),
    };
    let before = if proxy.is_some() || parts.tls.is_some() || !later.session.is_empty() {
        Before::Something { proxy }
    } else {
        Before::Nothing
    };
    if parts.tls.is_some() {
        if !worker.process().enter_tls(limits.max_tls_connections) {
            worker.metrics().limit_reached(Limit::TlsConnections);
            return;
        }
        open.tls = true;
    }
    let life = life(connection, Stream::Plain(socket), (before, way), open);
    drop(tokio::task::spawn_local(life));
}

/// The life of a connection. What it rests in is all that an idle connection holds, and there may be very many: an
/// `async fn` would keep its arguments twice, so this is a block, and what is rare lives in boxes.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps its arguments twice"
)]
fn life(
    mut connection: Connection,
    mut stream: Stream,
    (before, mut way): (Before, Way),
    open: Open,
) -> impl Future<Output = ()> {
    async move {
        if let Before::Something { proxy } = before {
            let established = establish::run(&mut connection, stream, proxy, way);
            match Box::pin(established).await {
                Some(known) => (way, stream) = known,
                None => return,
            }
        }
        connection.count(Event::Session);
        match way {
            Way::Stream(group) => Box::pin(l4::run(connection, stream, group)).await,
            Way::Http if connection.speaks_http2() => {
                Box::pin(h2::run(&mut connection, &mut stream, None, None)).await;
            }
            Way::Http => h1::run(&mut connection, &mut stream, None, None).await,
        }
        // Counted until here.
        let _ = &open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what `life` gives back, without running it.
    fn size_of_life<F>(_: impl FnOnce(Connection, Stream, (Before, Way), Open) -> F) -> usize {
        size_of::<F>()
    }

    /// With tokio's own part of a task (128 bytes, aligned to 128) 384 bytes make an allocation of 512. Over TLS the
    /// session is a box of its own beside it.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of_life(life) <= 384, "{}", size_of_life(life));
    }

    /// Whoever waits for a connection sleeps, also on a socket that was shut before.
    #[tokio::test]
    async fn a_socket_that_listens_again_is_quiet() {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        bound.set_nonblocking(true).unwrap();
        let socket = Listening::Tcp(TcpListener::from_std(bound).unwrap());
        let incoming = Incoming {
            id: SocketId(0),
            place: Cell::new(SocketPlace {
                listener: ListenerId(0),
                number: 1,
            }),
            shut: RefCell::default(),
            socket: RefCell::new(Rc::new(socket)),
            held: Cell::default(),
        };
        rustix::net::shutdown(incoming.socket(), rustix::net::Shutdown::Read).unwrap();
        assert!(poll_fn(|cx| incoming.poll_accept(cx)).await.is_err());
        incoming.listen_again().unwrap();
        let turns = Cell::new(0);
        let accepts = poll_fn(|cx| {
            turns.set(turns.get() + 1);
            incoming.poll_accept(cx)
        });
        let waits = tokio::time::timeout(Duration::from_millis(300), accepts);
        assert!(waits.await.is_err());
        assert!(turns.get() < 10, "{} turns", turns.get());
        // The system has chosen its port, and chose anew.
        let address = match &*incoming.socket() {
            Listening::Tcp(socket) => socket.local_addr().unwrap(),
            Listening::Unix(_) => unreachable!(),
        };
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert!(poll_fn(|cx| incoming.poll_accept(cx)).await.is_ok());
    }
}
