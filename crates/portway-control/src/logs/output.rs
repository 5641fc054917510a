//! Where a writer writes to: files and streams, which take lines in one piece, and sockets, which take message by message.
//!
//! A receiver that is gone, full or slow loses what it is sent, and nothing else happens to anybody: datagrams are sent
//! without waiting. What is for a stream over TCP that is gone or takes nothing is held, and what follows waits behind it as
//! long as there is room; one that is gone is tried again a second later at the earliest.

use super::spans::Collector;
use crate::own_descriptors::Ourselves;
use crate::sources::folder_of;
use portway_model::log::{LogDestination, SyslogAddress, SyslogFraming};
use portway_model::span::{Sources, Span};
use portway_model::traces::Traces;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Time to connect to a syslog server over TCP, and for it to take something of a batch before it is told that it is slow.
const TCP_PATIENCE: Duration = Duration::from_secs(1);
/// Time between two attempts to connect to a syslog server over TCP.
const TCP_PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked whether a server over TCP may be connected to again, and whether it is waited for any more.
const TCP_LOOK: Duration = Duration::from_millis(50);

/// What a writer writes to. Destinations with the same place have one writer, whatever else they say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Stdout,
    Stderr,
    File(PathBuf),
    Descriptor(u16),
    Udp(String, u16),
    Tcp(String, u16, SyslogFraming),
    Unix(PathBuf),
    /// A collector of spans, and what this machine is called there.
    Collector(Box<Traces>, String),
}

impl Place {
    /// True for a server.
    pub(super) fn is_server(&self) -> bool {
        matches!(self, Place::Udp(..) | Place::Tcp(..))
    }

    /// The place of a destination; relative files lie beside the text that names them.
    pub(super) fn of(to: &LogDestination, sources: &Sources, span: Span) -> Self {
        let syslog = match to {
            LogDestination::Stdout => return Place::Stdout,
            LogDestination::File(path) => return Place::File(folder_of(sources, span).join(path)),
            LogDestination::Syslog(syslog) => syslog,
        };
        match &syslog.to {
            SyslogAddress::Stdout => Place::Stdout,
            SyslogAddress::Stderr => Place::Stderr,
            SyslogAddress::Descriptor(number) => Place::Descriptor(*number),
            SyslogAddress::Udp { host, port } => Place::Udp(host.clone(), *port),
            SyslogAddress::Tcp { host, port } => Place::Tcp(host.clone(), *port, syslog.framing),
            SyslogAddress::Unix(path) => Place::Unix(PathBuf::from(path)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Stdout => f.write_str("standard output"),
            Place::Stderr => f.write_str("standard error"),
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Descriptor(number) => write!(f, "descriptor {number}"),
            Place::Udp(host, port) => write!(f, "{host}:{port}"),
            Place::Tcp(host, port, _) => write!(f, "tcp@{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
            Place::Collector(traces, _) => f.write_str(&traces.url),
        }
    }
}

/// Messages on their way out.
pub(super) struct Messages<'a> {
    /// All of them, each with its line feed.
    pub(super) bytes: &'a [u8],
    /// Where each ends.
    pub(super) ends: &'a [usize],
}

impl<'a> Messages<'a> {
    fn each(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let message = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            message
        })
    }

    /// Each with its length before it and no line feed (RFC 6587 section 3.4.1), and where each ends.
    fn counted(&self) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 6 * self.ends.len());
        let mut ends = Vec::with_capacity(self.ends.len());
        for message in self.each() {
            let message = message.strip_suffix(b"\n").unwrap_or(message);
            bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
            bytes.extend_from_slice(message);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }
}

/// An open place.
pub(super) struct Output {
    pub(super) place: Place,
    writer: Writer,
}

enum Writer {
    Stream(Lines),
    Udp(Udp),
    Unix(UnixDatagram, PathBuf),
    Tcp(Tcp, SyslogFraming),
    Collector(Box<Collector>),
}

impl Output {
    /// Opens a place; the error says in words what is wrong with it.
    pub(super) fn open(place: Place) -> Result<Self, String> {
        let writer = Writer::open(&place).map_err(|error| unwritable(&place, &error))?;
        Ok(Self { place, writer })
    }

    /// True for what takes spans.
    pub(super) fn takes_spans(&self) -> bool {
        matches!(self.writer, Writer::Collector(_))
    }

    /// Opens a file by its path again; the old one stays where that fails. The name of a server is looked up again.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match (&mut self.writer, &self.place) {
            (writer, Place::File(path)) => *writer = Writer::Stream(Lines::to(append_to(path)?)),
            (Writer::Udp(udp), _) => udp.server.look_again(),
            (Writer::Tcp(tcp, _), _) => tcp.server.look_again(),
            _ => {}
        }
        Ok(())
    }

    /// Writes messages; the error says how many of them were lost. Those for a stream over TCP are held until it takes them, and spans
    /// for as long as a collector is asked again, or until `gives_up` says, when it is told what is in the way, that nothing is held any
    /// more.
    pub(super) fn write(
        &mut self,
        messages: &Messages<'_>,
        gives_up: impl FnMut(&io::Error) -> bool,
    ) -> Result<(), (u64, io::Error)> {
        match &mut self.writer {
            Writer::Stream(lines) => lines.write(messages),
            Writer::Collector(collector) => collector.write(messages.bytes, gives_up),
            Writer::Tcp(tcp, SyslogFraming::LineFeed) => tcp.write(messages, gives_up),
            Writer::Tcp(tcp, SyslogFraming::OctetCount) => {
                let (bytes, ends) = messages.counted();
                let counted = Messages {
                    bytes: &bytes,
                    ends: &ends,
                };
                tcp.write(&counted, gives_up)
            }
            Writer::Udp(udp) => udp.write(messages),
            Writer::Unix(socket, path) => {
                each_datagram(messages, |message| send_to_path(socket, path, message))
            }
        }
    }
}

/// What takes lines. A disk may be full in the middle of one: the next one that has room begins on a line of its own.
struct Lines {
    to: Box<dyn Write + Send>,
    /// The last line was cut off.
    torn: bool,
}

impl Lines {
    fn to(to: impl Write + Send + 'static) -> Self {
        let to = Box::new(to);
        Self { to, torn: false }
    }

    /// The error says how many lines are not there as a whole.
    fn write(&mut self, messages: &Messages<'_>) -> Result<(), (u64, io::Error)> {
        let mut written = 0;
        self.write_on(messages.bytes, &mut written)
            .map_err(|error| {
                let begun = messages.bytes.get(..written).unwrap_or_default();
                self.torn |= begun.last().is_some_and(|last| *last != b'\n');
                let whole = begun.iter().filter(|it| **it == b'\n').count();
                let lost = messages.ends.len().saturating_sub(whole);
                (lost as u64, error)
            })
    }

    fn write_on(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        if self.torn {
            self.to.write_all(b"\n")?;
            self.torn = false;
        }
        while let Some(rest) = bytes.get(*written..).filter(|it| !it.is_empty()) {
            match self.to.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.to.flush()
    }
}

/// Sends each message; a receiver that is not there is no error of ours to tell of twice.
fn each_datagram(
    messages: &Messages<'_>,
    mut send: impl FnMut(&[u8]) -> io::Result<usize>,
) -> Result<(), (u64, io::Error)> {
    let (mut lost, mut last) = (0, None);
    for message in messages.each() {
        if let Err(error) = send(message) {
            lost += 1;
            last = Some(error);
        }
    }
    last.map_or(Ok(()), |error| Err((lost, error)))
}

/// The socket is connected, so that it can be reached from a new root; where its receiver was replaced it is looked for by
/// its path.
fn send_to_path(socket: &UnixDatagram, path: &Path, message: &[u8]) -> io::Result<usize> {
    match socket.send(message) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::ConnectionReset
            ) =>
        {
            socket.connect(path)?;
            socket.send(message)
        }
        other => other,
    }
}

impl Writer {
    fn open(place: &Place) -> io::Result<Self> {
        Ok(match place {
            Place::Stdout => Writer::Stream(Lines::to(io::stdout())),
            Place::Stderr => Writer::Stream(Lines::to(io::stderr())),
            Place::File(path) => Writer::Stream(Lines::to(append_to(path)?)),
            Place::Descriptor(number) => Writer::Stream(Lines::to(descriptor(*number)?)),
            Place::Udp(host, port) => Writer::Udp(Udp::new(Server::new(host, *port)?)),
            Place::Tcp(host, port, framing) => {
                Writer::Tcp(Tcp::new(Server::new(host, *port)?), *framing)
            }
            Place::Collector(traces, node) => {
                let collector = Collector::new(Traces::clone(traces), node)?;
                Writer::Collector(Box::new(collector))
            }
            Place::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                // It may come later: each message looks for it again.
                let _ = socket.connect(path);
                Writer::Unix(socket, path.clone())
            }
        })
    }
}

/// A server of syslog, by its name.
struct Server {
    host: String,
    port: u16,
    to: SocketAddr,
    /// Its name is looked up again.
    looks: Option<Receiver<io::Result<SocketAddr>>>,
}

impl Server {
    fn new(host: &str, port: u16) -> io::Result<Self> {
        Ok(Self {
            host: host.to_owned(),
            port,
            to: resolve(host, port)?,
            looks: None,
        })
    }

    /// Where it is, as far as that is known.
    fn now(&mut self) -> SocketAddr {
        match self.looks.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok(to))) => (self.to, self.looks) = (to, None),
            // The last address holds where the name does not resolve now.
            Some(Ok(Err(_)) | Err(TryRecvError::Disconnected)) => self.looks = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        self.to
    }

    /// Has its name looked up again, on a thread of its own: that may take long, and nothing that is written waits for it.
    fn look_again(&mut self) {
        if self.looks.is_some() || self.host.parse::<IpAddr>().is_ok() {
            return;
        }
        let (host, port) = (self.host.clone(), self.port);
        let (found, looks) = channel();
        let thread = thread::Builder::new().name("portway-log-name".to_owned());
        // Who has asked may have ended since. Without a thread it is tried another time.
        let looking = thread.spawn(move || drop(found.send(resolve(&host, port))));
        self.looks = looking.is_ok().then_some(looks);
    }
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut addresses = (host, port).to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A descriptor that the process was started with, duplicated.
fn descriptor(number: u16) -> io::Result<File> {
    Ourselves::new().duplicate(number.into()).map(File::from)
}

pub(super) fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Why a place cannot be written to, in words.
pub(super) fn unwritable(place: &Place, error: &io::Error) -> String {
    let Place::File(path) = place else {
        return format!("cannot log to `{place}`: {error}");
    };
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "the file system does not permit it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot write the access log `{}`: {reason}", path.display())
}

/// What sends to a syslog server over UDP. Its socket is connected: so the system tells of a port that nobody listens on, which the
/// server's machine answers to one message, when the next is sent.
struct Udp {
    server: Server,
    /// Where it sends to.
    to: SocketAddr,
    /// Another one is made after an error: this machine may have come to have another address.
    socket: Option<UdpSocket>,
}

impl Udp {
    fn new(server: Server) -> Self {
        Self {
            to: server.to,
            server,
            socket: None,
        }
    }

    /// The error says how many messages were lost, as far as the network tells; those of before that it tells of only now are
    /// among them.
    fn write(&mut self, messages: &Messages<'_>) -> Result<(), (u64, io::Error)> {
        let to = self.server.now();
        if to != self.to {
            (self.to, self.socket) = (to, None);
        }
        let (mut lost, mut last) = (0, None);
        let mut note = |error| {
            lost += 1;
            last = Some(error);
        };
        for message in messages.each() {
            match self.send(message) {
                // It is the one before that was refused, and this one has not left.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    note(error);
                    self.send(message).map_or_else(&mut note, drop);
                }
                Err(error) => note(error),
                Ok(_) => {}
            }
        }
        // What is on this machine has refused the last one already.
        let refused = self.socket.as_ref().map(UdpSocket::take_error);
        if let Some(Ok(Some(error))) = refused {
            note(error);
        }
        last.map_or(Ok(()), |error| Err((lost, error)))
    }

    fn send(&mut self, message: &[u8]) -> io::Result<usize> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connected()?,
        };
        let sent = socket.send(message);
        let stays = sent.as_ref().map_or_else(
            |error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock
                )
            },
            |_| true,
        );
        self.socket = stays.then_some(socket);
        sent
    }

    fn connected(&self) -> io::Result<UdpSocket> {
        let from: SocketAddr = match self.to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(from)?;
        socket.set_nonblocking(true)?;
        socket.connect(self.to)?;
        Ok(socket)
    }
}

/// A stream to a syslog server, made when there is something to send.
struct Tcp {
    server: Server,
    stream: Option<TcpStream>,
    /// No attempt to connect before this.
    not_before: Instant,
}

impl Tcp {
    fn new(server: Server) -> Self {
        Self {
            server,
            stream: None,
            not_before: Instant::now(),
        }
    }

    fn write(
        &mut self,
        messages: &Messages<'_>,
        mut gives_up: impl FnMut(&io::Error) -> bool,
    ) -> Result<(), (u64, io::Error)> {
        let mut taken = 0;
        while let Err(error) = self.write_on(messages.bytes, &mut taken) {
            if self.stream.is_none() {
                // What a connection was in the middle of begins anew on the next.
                let whole = messages.ends.partition_point(|end| *end <= taken);
                let before = whole.checked_sub(1).and_then(|it| messages.ends.get(it));
                taken = before.copied().unwrap_or(0);
            }
            if gives_up(&error) {
                self.stream = None;
                let whole = messages.ends.partition_point(|end| *end <= taken);
                return Err(((messages.ends.len() - whole) as u64, error));
            }
            if self.stream.is_none() {
                thread::sleep(TCP_LOOK);
            }
        }
        Ok(())
    }

    /// Goes on behind what was taken. A stream that is only slow stays.
    fn write_on(&mut self, bytes: &[u8], taken: &mut usize) -> io::Result<()> {
        let mut stream = match self.stream.take() {
            Some(stream) if !has_ended(&stream) => stream,
            Some(_) => return Err(io::ErrorKind::ConnectionReset.into()),
            None => self.connect()?,
        };
        while let Some(rest) = bytes.get(*taken..).filter(|it| !it.is_empty()) {
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_slow(&error) => {
                    self.stream = Some(stream);
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        self.stream = Some(stream);
        Ok(())
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        let now = Instant::now();
        if now < self.not_before {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.not_before = now + TCP_PAUSE;
        let to = self.server.now();
        // It may have moved.
        let stream = TcpStream::connect_timeout(&to, TCP_PATIENCE)
            .inspect_err(|_| self.server.look_again())?;
        stream.set_write_timeout(Some(TCP_PATIENCE))?;
        Ok(stream)
    }
}

/// True where there was no room in time.
fn is_slow(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// True where the server has closed its side: what is written then would be lost without an error. Servers of syslog
/// send nothing, so that anything that is there to read is an end or an error.
fn has_ended(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let looked = stream.peek(&mut [0]);
    let waits = matches!(&looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    let data = matches!(looked, Ok(bytes) if bytes > 0);
    stream.set_nonblocking(false).is_err() || !(waits || data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    /// A server that was somewhere else when its name was looked up.
    fn moved(port: u16) -> Server {
        let mut server = Server::new("localhost", port).unwrap();
        server.to.set_port(1);
        server
    }

    fn here() -> SocketAddr {
        resolve("localhost", 0).unwrap()
    }

    fn output(place: Place, writer: Writer) -> Output {
        Output { place, writer }
    }

    fn one() -> Messages<'static> {
        Messages {
            bytes: b"one\n",
            ends: &[4],
        }
    }

    #[test]
    fn a_server_over_tcp_that_has_moved_is_found() {
        let listener = TcpListener::bind(here()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let place = Place::Tcp("localhost".to_owned(), port, SyslogFraming::LineFeed);
        let tcp = Tcp::new(moved(port));
        let mut output = output(place, Writer::Tcp(tcp, SyslogFraming::LineFeed));
        let begun = Instant::now();
        let over = |_: &io::Error| begun.elapsed() > Duration::from_secs(30);
        assert!(output.write(&one(), over).is_ok());
        drop(output);
        let mut text = String::new();
        let mut stream = listener.accept().unwrap().0;
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\n");
    }

    #[test]
    fn a_server_over_udp_that_has_moved_is_found() {
        let receiver = UdpSocket::bind(here()).unwrap();
        let patience = Duration::from_millis(20);
        receiver.set_read_timeout(Some(patience)).unwrap();
        let port = receiver.local_addr().unwrap().port();
        let place = Place::Udp("localhost".to_owned(), port);
        let mut output = output(place, Writer::Udp(Udp::new(moved(port))));
        output.reopen().unwrap();
        let mut buffer = [0; 9];
        let came = (0..1000).find_map(|_| {
            let _ = output.write(&one(), |_| true);
            receiver.recv(&mut buffer).ok()
        });
        assert_eq!(came, Some(4));
    }
}
