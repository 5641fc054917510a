//! Just enough HTTP/1.1 for both ends of a run: heads, bodies in both framings, over TCP or TLS.
//!
//! A [`Line`] is one connection. Sockets have a short timeout and are asked again until [`PATIENCE`] is over, so that
//! a target that has to go away does so in the middle of whatever it waits for. Reading may be paced, to be slow.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use super::tally::Trouble;

/// Longest silence of a peer that is borne. Longer than any timeout of the configuration, so that Portway's come first.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a socket waits before it is asked again.
const GLANCE: Duration = Duration::from_millis(250);

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// Most bytes of a head.
const MAX_HEAD: usize = 256 << 10;

/// The name that the certificate is for.
pub(super) const HOST: &str = "torture.example";

/// How slowly somebody reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// At a time.
    pub(super) bytes: usize,
    /// Before each time.
    pub(super) pause: Duration,
}

/// The start line and fields of a message.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field; `name` in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A number in a field.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// The status of a response; 0 where there is none.
    pub(super) fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1);
        status.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// True where the field holds this word; both in lower case.
    pub(super) fn has(&self, name: &str, word: &str) -> bool {
        self.field(name)
            .is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { first, fields }
    }
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Length(usize),
    Chunked,
    Close,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection.
pub(super) struct Line {
    stream: Stream,
    scratch: Vec<u8>,
    received: Vec<u8>,
    pace: Option<Pace>,
    gone: Option<Arc<AtomicBool>>,
}

impl Line {
    /// A connection that was accepted. `gone`: set when it has to end.
    pub(super) fn accepted(socket: TcpStream, gone: Arc<AtomicBool>) -> io::Result<Self> {
        let mut line = Self::plain(socket)?;
        line.gone = Some(gone);
        Ok(line)
    }

    /// Connects without TLS.
    pub(super) fn connect(to: SocketAddr) -> Result<Self, Trouble> {
        let failed = |e: io::Error| Trouble::before(format_args!("cannot connect: {e}"));
        let socket = TcpStream::connect_timeout(&to, PATIENCE).map_err(failed)?;
        Self::plain(socket).map_err(failed)
    }

    /// Connects with TLS, the handshake included.
    pub(super) fn connect_tls(to: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self, Trouble> {
        let mut line = Self::connect(to)?;
        let failed = |e: String| Trouble::before(format_args!("TLS handshake: {e}"));
        let name = ServerName::try_from(HOST).map_err(|e| failed(e.to_string()))?;
        let session =
            ClientConnection::new(Arc::clone(config), name).map_err(|e| failed(e.to_string()))?;
        let Stream::Plain(socket) = line.stream else {
            return Err(failed("twice".to_owned()));
        };
        line.stream = Stream::Tls(Box::new(StreamOwned::new(session, socket)));
        line.handshake().map_err(|e| failed(e.to_string()))?;
        Ok(line)
    }

    /// A connection that was opened before and rested.
    pub(super) fn again(socket: TcpStream) -> Result<Self, Trouble> {
        Self::plain(socket).map_err(Trouble::before)
    }

    fn plain(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(GLANCE))?;
        socket.set_write_timeout(Some(GLANCE))?;
        Ok(Self {
            stream: Stream::Plain(socket),
            scratch: vec![0; READ_BYTES],
            received: Vec::new(),
            pace: None,
            gone: None,
        })
    }

    /// Reads slowly from now on.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = Some(pace);
    }

    /// The socket.
    pub(super) fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Ends this connection with a reset.
    pub(super) fn reset(self) {
        self.will_reset();
    }

    /// The end of this connection will be a reset.
    pub(super) fn will_reset(&self) {
        // a socket that refuses is closed in the ordinary way
        let _ = socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }

    /// True where the TLS session was resumed.
    pub(super) fn is_resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    fn handshake(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while let Stream::Tls(tls) = &mut self.stream {
            if !tls.conn.is_handshaking() {
                break;
            }
            match tls.conn.complete_io(&mut tls.sock) {
                Err(e) if is_glance(&e) && begun.elapsed() < PATIENCE => {}
                Err(e) => return Err(e),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Sends everything.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut begun = Instant::now();
        while !bytes.is_empty() {
            let piece = bytes.get(..READ_BYTES).unwrap_or(bytes);
            let written = match &mut self.stream {
                Stream::Plain(socket) => socket.write(piece),
                Stream::Tls(tls) => tls.write(piece),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    bytes = bytes.get(n..).unwrap_or_default();
                    begun = Instant::now();
                    self.look_gone()?;
                }
                Err(e) => self.bear(e, begun)?,
            }
        }
        let begun = Instant::now();
        loop {
            let flushed = match &mut self.stream {
                Stream::Plain(_) => return Ok(()),
                Stream::Tls(tls) => tls.flush(),
            };
            match flushed {
                Ok(()) => return Ok(()),
                Err(e) => self.bear(e, begun)?,
            }
        }
    }

    /// Ends our direction of a connection without TLS.
    pub(super) fn end(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Reads more; false at the end.
    fn more(&mut self) -> io::Result<bool> {
        let mut most = READ_BYTES;
        if let Some(pace) = self.pace {
            std::thread::sleep(pace.pause);
            most = pace.bytes.clamp(1, READ_BYTES);
        }
        let begun = Instant::now();
        loop {
            self.look_gone()?;
            let into = self.scratch.get_mut(..most).unwrap_or_default();
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(into),
                Stream::Tls(tls) => tls.read(into),
            };
            match read {
                Ok(n) => {
                    let new = self.scratch.get(..n).unwrap_or_default();
                    self.received.extend_from_slice(new);
                    return Ok(n > 0);
                }
                Err(e) => self.bear(e, begun)?,
            }
        }
    }

    fn bear(&self, error: io::Error, since: Instant) -> io::Result<()> {
        self.look_gone()?;
        if is_glance(&error) && since.elapsed() < PATIENCE {
            Ok(())
        } else {
            Err(error)
        }
    }

    fn look_gone(&self) -> io::Result<()> {
        match &self.gone {
            Some(gone) if gone.load(Ordering::Relaxed) => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            _ => Ok(()),
        }
    }

    /// The next head; nothing where the connection ends before its first byte.
    pub(super) fn head(&mut self) -> Result<Option<Head>, Trouble> {
        let mut searched = 0_usize;
        loop {
            let from = searched.saturating_sub(3);
            let found = self
                .received
                .get(from..)
                .and_then(|new| find(new, b"\r\n\r\n"))
                .map(|place| place + from);
            if let Some(place) = found {
                let text = String::from_utf8_lossy(self.received.get(..place).unwrap_or_default())
                    .into_owned();
                self.received.drain(..place + 4);
                return Ok(Some(Head::parse(&text)));
            }
            searched = self.received.len();
            if searched > MAX_HEAD {
                return Err(Trouble::wrong("a head without end"));
            }
            let trouble = |text: String| match searched {
                0 => Trouble::before(text),
                _ => Trouble::within(text),
            };
            match self.more() {
                Ok(true) => {}
                Ok(false) if searched == 0 => return Ok(None),
                Ok(false) => return Err(trouble("the end within a head".to_owned())),
                Err(e) => return Err(trouble(format!("no head: {e}"))),
            }
        }
    }

    /// The final response head.
    pub(super) fn response(&mut self) -> Result<Head, Trouble> {
        loop {
            let head = self
                .head()?
                .ok_or_else(|| Trouble::before("closed without a response"))?;
            if !(100..200).contains(&head.status()) || head.status() == 101 {
                return Ok(head);
            }
        }
    }

    /// A body that ends so.
    pub(super) fn body(&mut self, ending: Ending) -> Result<Vec<u8>, Trouble> {
        match ending {
            Ending::Length(length) => self.exactly(length),
            Ending::Chunked => self.chunked(),
            Ending::Close => self.rest(),
        }
    }

    /// So many bytes.
    pub(super) fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Trouble> {
        while self.received.len() < count {
            self.need()?;
        }
        let rest = self.received.split_off(count);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    /// True where something has come that was not read yet, or the end.
    pub(super) fn has_something(&self) -> bool {
        let mut byte = [0];
        let socket = self.socket();
        let peeked = socket
            .set_nonblocking(true)
            .and_then(|()| socket.peek(&mut byte));
        let blocked = matches!(peeked, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        socket.set_nonblocking(false).is_err() || !blocked
    }

    /// What comes next, whatever it is; nothing at the end.
    pub(super) fn some(&mut self) -> io::Result<Option<Vec<u8>>> {
        let begun = Instant::now();
        while self.received.is_empty() {
            match self.more() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) if is_glance(&e) && begun.elapsed() < 60 * PATIENCE => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Some(std::mem::take(&mut self.received)))
    }

    /// Everything until the end.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, Trouble> {
        loop {
            match self.more() {
                Ok(true) => {}
                Ok(false) => return Ok(std::mem::take(&mut self.received)),
                Err(e) => return Err(Trouble::within(format_args!("within a body: {e}"))),
            }
        }
    }

    fn chunked(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut content = Vec::new();
        loop {
            let line = self.text_line()?;
            let size = usize::from_str_radix(&line, 16)
                .map_err(|_| Trouble::wrong(format_args!("a chunk of size {line:?}")))?;
            if size == 0 {
                break;
            }
            content.append(&mut self.exactly(size)?);
            if !self.text_line()?.is_empty() {
                return Err(Trouble::wrong("a chunk without end"));
            }
        }
        while !self.text_line()?.is_empty() {}
        Ok(content)
    }

    fn text_line(&mut self) -> Result<String, Trouble> {
        loop {
            if let Some(place) = find(&self.received, b"\r\n") {
                let text = String::from_utf8_lossy(self.received.get(..place).unwrap_or_default())
                    .into_owned();
                self.received.drain(..place + 2);
                return Ok(text);
            }
            self.need()?;
        }
    }

    fn need(&mut self) -> Result<(), Trouble> {
        match self.more() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Trouble::within("the end within a body")),
            Err(e) => Err(Trouble::within(format_args!("within a body: {e}"))),
        }
    }
}

fn is_glance(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Where `wanted` begins.
pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Where the body of a message ends. `of_response`: it may end with the connection.
pub(super) fn ending(head: &Head, of_response: bool) -> Ending {
    if head.has("transfer-encoding", "chunked") {
        return Ending::Chunked;
    }
    match head.number("content-length") {
        Some(length) => Ending::Length(usize::try_from(length).unwrap_or(usize::MAX)),
        None if of_response => Ending::Close,
        None => Ending::Length(0),
    }
}

/// A chunk.
pub(super) fn chunk(out: &mut Vec<u8>, content: &[u8]) {
    if !content.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }
}
