//! Scripted clients and targets over real sockets: what they send, in which pieces, and how they end is said by the
//! test, byte by byte.
//!
//! Everything blocks and gives up after [`PATIENCE`]; a target runs each of its connections on a thread of its own
//! and remembers all bytes that came in.

use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a peer waits for what it expects: far longer than it takes, since test machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two pieces of a message that is sent in pieces: long enough that they arrive one by one.
pub const BETWEEN_PIECES: Duration = Duration::from_millis(15);

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// Bytes of send and receive buffers of a peer that shall block soon (the kernel doubles them).
const SMALL_BUFFER: usize = 16 * 1024;

/// A message larger than this is not read: a test that expects so much has another way.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// How the other end of a connection ended its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Closed,
    /// With a RST.
    Reset,
}

/// One end of a TCP connection.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    /// Received and not yet asked for.
    ahead: Vec<u8>,
    /// Everything that was received, shared with the target.
    seen: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Wire {
    /// Connects.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect_timeout(&to, PATIENCE)?, None)
    }

    /// Connects from another address of this host.
    pub fn connect_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&to.into())?;
        Self::new(socket.into(), None)
    }

    /// Connects with buffers as small as the kernel allows.
    pub fn connect_small(to: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
        socket.set_send_buffer_size(SMALL_BUFFER)?;
        socket.connect(&to.into())?;
        Self::new(socket.into(), None)
    }

    fn new(socket: TcpStream, seen: Option<Arc<Mutex<Vec<u8>>>>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let ahead = Vec::new();
        Ok(Self {
            socket,
            ahead,
            seen,
        })
    }

    /// The same connection for another thread, to send on while this one receives.
    pub fn another(&self) -> io::Result<Self> {
        Self::new(self.socket.try_clone()?, None)
    }

    /// Our address.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends all of this.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Sends piece after piece with [`BETWEEN_PIECES`] between.
    pub fn send_pieces<T: AsRef<[u8]>>(&mut self, pieces: &[T]) -> io::Result<()> {
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                std::thread::sleep(BETWEEN_PIECES);
            }
            self.send(piece)?;
        }
        Ok(())
    }

    /// Sends zeros until the other side has taken none for `quiet`, or `most` are sent; how many were.
    pub fn flood(&mut self, most: usize, quiet: Duration) -> io::Result<usize> {
        let piece = vec![0; SMALL_BUFFER];
        self.socket.set_write_timeout(Some(quiet))?;
        let mut sent = 0;
        while sent < most {
            let next = piece.get(..piece.len().min(most - sent)).unwrap_or(&piece);
            match self.socket.write(next) {
                Ok(n) => sent += n,
                Err(e) if is_timeout(&e) => break,
                Err(e) => return Err(e),
            }
        }
        self.socket.set_write_timeout(Some(PATIENCE))?;
        Ok(sent)
    }

    /// Reads what is there, waiting for at least one byte; false at the end.
    fn more(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        let n = self.socket.read(&mut piece)?;
        let piece = piece.get(..n).unwrap_or_default();
        self.ahead.extend_from_slice(piece);
        if let Some(seen) = &self.seen {
            locked(seen).extend_from_slice(piece);
        }
        Ok(n > 0)
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(n.min(self.ahead.len()));
        std::mem::replace(&mut self.ahead, rest)
    }

    /// The next `n` bytes.
    pub fn receive(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < n {
            if !self.more()? {
                return Err(self.ended());
            }
        }
        Ok(self.take(n))
    }

    fn ended(&self) -> io::Error {
        let last = self.ahead.len().saturating_sub(200);
        let text = String::from_utf8_lossy(self.ahead.get(last..).unwrap_or_default());
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the end after {text:?}"),
        )
    }

    /// Up to and with the next empty line.
    pub fn head(&mut self) -> io::Result<Vec<u8>> {
        self.through(b"\r\n\r\n", 0)
    }

    fn through(&mut self, mark: &[u8], from: usize) -> io::Result<Vec<u8>> {
        let end = self.find(mark, from)?;
        Ok(self.take(end))
    }

    /// Where the next `mark` ends.
    fn find(&mut self, mark: &[u8], from: usize) -> io::Result<usize> {
        loop {
            let searched = self.ahead.get(from..).unwrap_or_default();
            let found = searched.windows(mark.len()).position(|part| part == mark);
            if let Some(at) = found {
                return Ok(from + at + mark.len());
            }
            if self.ahead.len() > MAX_MESSAGE {
                return Err(io::Error::other("too long"));
            }
            if !self.more()? {
                return Err(self.ended());
            }
        }
    }

    /// A message with its body as the fields of its head frame it, as it came. One without Content-Length and
    /// Transfer-Encoding has no body.
    pub fn message(&mut self) -> io::Result<Vec<u8>> {
        let mut message = self.head()?;
        let head = String::from_utf8_lossy(&message).to_ascii_lowercase();
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            loop {
                let size = self.through(b"\r\n", 0)?;
                let digits = String::from_utf8_lossy(&size);
                let digits = digits.split(';').next().unwrap_or_default().trim();
                let length = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
                message.extend_from_slice(&size);
                if length == 0 {
                    break;
                }
                message.extend_from_slice(&self.receive(length + 2)?);
            }
            loop {
                let line = self.through(b"\r\n", 0)?;
                message.extend_from_slice(&line);
                if line == b"\r\n" {
                    return Ok(message);
                }
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.parse().ok());
        message.extend_from_slice(&self.receive(length.unwrap_or(0))?);
        Ok(message)
    }

    /// Everything until the other side ends, and how it does.
    pub fn until_end(&mut self) -> io::Result<(Vec<u8>, End)> {
        loop {
            match self.more() {
                Ok(true) => {}
                Ok(false) => return Ok((std::mem::take(&mut self.ahead), End::Closed)),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok((std::mem::take(&mut self.ahead), End::Reset));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// True where nothing comes for this long, not even the end.
    pub fn is_quiet(&mut self, time: Duration) -> io::Result<bool> {
        if !self.ahead.is_empty() {
            return Ok(false);
        }
        self.socket.set_read_timeout(Some(time))?;
        let quiet = match self.more() {
            Ok(_) => false,
            Err(e) if is_timeout(&e) => true,
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => false,
            Err(e) => return Err(e),
        };
        self.socket.set_read_timeout(Some(PATIENCE))?;
        Ok(quiet)
    }

    /// Ends our direction.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Ends the connection with a RST.
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks again and again until `condition` holds; false after [`PATIENCE`].
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// What a target has seen.
#[derive(Debug, Default)]
struct Visits {
    /// What came in, by connection.
    all: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    open: AtomicUsize,
}

/// A server that a script plays. It accepts until the process ends.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    visits: Arc<Visits>,
}

impl Target {
    /// A target whose every connection is played by `script`, which gets its number from 0 on. The connection closes
    /// when the script ends; an error of the script does the same.
    pub fn start(
        script: impl Fn(usize, Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, script)
    }

    /// The same with buffers as small as the kernel allows.
    pub fn start_small(
        script: impl Fn(usize, Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Accepted sockets inherit them.
        SockRef::from(&listener).set_recv_buffer_size(SMALL_BUFFER)?;
        SockRef::from(&listener).set_send_buffer_size(SMALL_BUFFER)?;
        Self::start_on(listener, script)
    }

    /// The same on a socket that the test has bound.
    pub fn start_on(
        listener: TcpListener,
        script: impl Fn(usize, Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let visits = Arc::new(Visits::default());
        let (script, shared) = (Arc::new(script), Arc::clone(&visits));
        std::thread::spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let Ok(socket) = socket else { return };
                let bytes = Arc::default();
                locked(&shared.all).push(Arc::clone(&bytes));
                shared.open.fetch_add(1, Ordering::SeqCst);
                let (script, shared) = (Arc::clone(&script), Arc::clone(&shared));
                std::thread::spawn(move || {
                    // What a script meets is judged by the test at what was received.
                    let _ = Wire::new(socket, Some(bytes)).and_then(|wire| script(number, wire));
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { address, visits })
    }

    /// A target that answers requests one after the other, over however many connections, with these answers, and
    /// keeps each connection until the other side ends it. An answer is sent in its pieces; after the last one it
    /// begins with the first again.
    pub fn answering(answers: &[&[&str]]) -> io::Result<Self> {
        let answers: Vec<Vec<String>> = answers
            .iter()
            .map(|pieces| pieces.iter().map(|&piece| piece.to_owned()).collect())
            .collect();
        let next = AtomicUsize::new(0);
        Self::start(move |_, mut wire| {
            loop {
                wire.message()?;
                let turn = next.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answers.get(turn % answers.len().max(1)) {
                    wire.send_pieces(answer)?;
                }
            }
        })
    }

    /// A target that answers every request with 200 and this body.
    pub fn saying(body: &str) -> io::Result<Self> {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self::answering(&[&[&answer]])
    }

    /// The address of a target that refuses connections.
    pub fn refusing() -> io::Result<SocketAddr> {
        // Bound and not listening: nobody else gets the port, and every SYN is refused.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket.local_addr()?.as_socket();
        std::mem::forget(socket);
        address.ok_or_else(|| io::Error::other("no address"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        locked(&self.visits.all).len()
    }

    /// Connections whose script goes on.
    pub fn open(&self) -> usize {
        self.visits.open.load(Ordering::SeqCst)
    }

    /// Everything that its scripts read from a connection.
    pub fn received(&self, connection: usize) -> Vec<u8> {
        locked(&self.visits.all)
            .get(connection)
            .map(|bytes| locked(bytes).clone())
            .unwrap_or_default()
    }

    /// Everything that its scripts read from all connections, in the order in which these came.
    pub fn received_in_all(&self) -> String {
        let all: Vec<u8> = (0..self.connections())
            .flat_map(|connection| self.received(connection))
            .collect();
        String::from_utf8_lossy(&all).into_owned()
    }
}
