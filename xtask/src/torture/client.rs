//! Clients that behave: downloads, uploads, bursts, tunnels, idle connections. Each checks every byte it gets.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ClientConfig;

use super::Ground;
use super::chance::Chance;
use super::tally::{Class, Count, Trouble};
use super::wire::{self, Ending, Head, Line, Pace};

/// Longest content of an ordinary exchange, in bytes.
const MAX_BODY: usize = 1 << 20;

/// Longest upload that is answered early: what Portway reads and throws away, so that its answer is not lost, is a
/// mebibyte.
const MAX_EARLY: usize = 900 << 10;

/// Idle connections that are held.
pub(super) const IDLE: usize = 2000;

/// Most requests of a burst.
const MAX_BURST: usize = 32;

/// Where clients go, and what they know.
pub(super) struct Scene {
    pub(super) ground: Arc<Ground>,
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) raw: SocketAddr,
    /// Never resumes a session.
    pub(super) fresh: Arc<ClientConfig>,
    /// Resumes where it can.
    pub(super) resuming: Arc<ClientConfig>,
    /// Set where as many connections idle as should.
    pub(super) idle_complete: AtomicBool,
    /// Connections that rest may be closed: a request that finds that out is sent again on another.
    pub(super) closes_politely: bool,
}

/// What an exchange leaves: whether its connection can carry another.
type Outcome = Result<bool, Trouble>;

impl Scene {
    /// A request head of a good client; `fields` are whole lines.
    pub(super) fn request(&self, class: Class, line: &str, fields: &str) -> Vec<u8> {
        let (name, marker, host) = (class.name(), &self.ground.marker, wire::HOST);
        format!(
            "{line}\r\nHost: {host}\r\nUser-Agent: {name}\r\nX-Marker: {marker}\r\n{fields}\r\n"
        )
        .into_bytes()
    }

    fn open(&self, class: Class, chance: &mut Chance) -> Result<Line, Trouble> {
        match class {
            Class::TlsNew => Line::connect_tls(self.https, &self.fresh),
            Class::TlsResumed => {
                let line = Line::connect_tls(self.https, &self.resuming)?;
                let resumed = u64::from(line.is_resumed());
                self.ground
                    .tally
                    .resumed
                    .fetch_add(resumed, Ordering::Relaxed);
                Ok(line)
            }
            Class::SlowReader => {
                let line = Line::connect(self.http)?;
                // A window that fills soon; a system that refuses makes the test easier, not wrong.
                let _ = socket2::SockRef::from(line.socket()).set_recv_buffer_size(4096);
                Ok(line)
            }
            Class::Tunnel | Class::Uploads | Class::Pipelined if chance.one_in(3) => {
                Line::connect_tls(self.https, &self.resuming)
            }
            _ => Line::connect(self.http),
        }
    }
}

/// A client that makes exchanges, one after the other, until the run ends.
pub(super) fn session(scene: &Scene, mut chance: Chance, class: Class) {
    let tally = &scene.ground.tally;
    let mut open: Option<Line> = None;
    while !scene.ground.is_over() {
        let kept = open.take();
        let kept = kept.filter(|line| !scene.closes_politely || !is_closed(line));
        let is_kept = kept.is_some();
        let line = match kept {
            Some(line) => Ok(line),
            None => scene.open(class, &mut chance),
        };
        let mut line = match line {
            Ok(line) => line,
            Err(trouble) => {
                tally.fail(format_args!("{}: {}", class.name(), trouble.text));
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let result = exchange(scene, &mut line, &mut chance, class);
        if let Err(trouble) = &result
            && scene.closes_politely
            && is_kept
            && trouble.is_unanswered()
        {
            // It was closed while the request was on its way: clients send it again.
            tally.repeated.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let another = matches!(result, Ok(true)) && keeps(class, &mut chance);
        tally.close(class, result.map(|_| ()));
        open = another.then_some(line);
        std::thread::sleep(pause(class, &mut chance));
    }
}

/// True where the client keeps its connection.
fn keeps(class: Class, chance: &mut Chance) -> bool {
    match class {
        Class::TlsNew | Class::TlsResumed => chance.one_in(3),
        Class::SlowReader => false,
        _ => !chance.one_in(50),
    }
}

fn pause(class: Class, chance: &mut Chance) -> Duration {
    match class {
        Class::TlsNew | Class::TlsResumed => chance.millis(0, 60),
        Class::Pipelined => chance.millis(0, 150),
        _ => chance.millis(0, 30),
    }
}

fn exchange(scene: &Scene, line: &mut Line, chance: &mut Chance, class: Class) -> Outcome {
    match class {
        Class::Uploads | Class::FlapUploads | Class::SlowWriter => {
            upload(scene, line, chance, class)
        }
        Class::Early => answered_early(scene, line, chance),
        Class::Pipelined => burst(scene, line, chance),
        Class::SlowReader => {
            let (bytes, pause, most) = match chance.one_in(2) {
                true => (chance.between(4, 16), 50, 1 << 10),
                false => (16 << 10, 50, 2 << 20),
            };
            let pause = Duration::from_millis(pause);
            line.set_pace(Pace { bytes, pause });
            download(scene, line, chance, class, most)
        }
        _ => download(scene, line, chance, class, MAX_BODY),
    }
}

const FRAMINGS: [&str; 4] = ["length", "length", "chunked", "close"];

/// What a download should bring.
struct Download {
    key: u64,
    size: usize,
    head_only: bool,
    http10: bool,
}

fn ask(
    scene: &Scene,
    chance: &mut Chance,
    class: Class,
    most: usize,
    http10: bool,
) -> (Download, Vec<u8>) {
    let download = Download {
        key: chance.next(),
        size: chance.size(most),
        head_only: chance.one_in(16),
        http10,
    };
    let group = match class {
        Class::FlapGets => "/flap",
        Class::Hasty => "/hasty",
        _ => "",
    };
    let method = if download.head_only { "HEAD" } else { "GET" };
    let version = if download.http10 { "1.0" } else { "1.1" };
    let framing = chance.pick(&FRAMINGS).copied().unwrap_or_default();
    let (key, size) = (download.key, download.size);
    let line = format!("{method} {group}/bytes/{key}/{size}/{framing} HTTP/{version}");
    (download, scene.request(class, &line, ""))
}

fn download(
    scene: &Scene,
    line: &mut Line,
    chance: &mut Chance,
    class: Class,
    most: usize,
) -> Outcome {
    let http10 = class == Class::Gets && chance.one_in(16);
    let (expected, request) = ask(scene, chance, class, most, http10);
    scene.ground.tally.add(class, Count::Sent);
    line.send(&request).map_err(Trouble::before)?;
    let closes = receive(scene, line, &expected)?;
    Ok(!expected.http10 && !closes)
}

/// Reads a response; gives whether its connection ends with it.
fn receive(scene: &Scene, line: &mut Line, expected: &Download) -> Outcome {
    let head = line.response()?;
    accept(&head, expected.key)?;
    let closes = head.has("connection", "close");
    if expected.head_only {
        return Ok(closes);
    }
    let ending = wire::ending(&head, true);
    if ending == Ending::Close && !expected.http10 {
        return Err(Trouble::wrong(
            "a response of HTTP/1.1 that ends with its connection",
        ));
    }
    let content = line.body(ending)?;
    let pattern = &scene.ground.pattern;
    let verdict = pattern.compare(expected.key, expected.size, &content);
    verdict.map_err(Trouble::wrong)?;
    let counted = &scene.ground.tally.bytes_down;
    counted.fetch_add(content.len() as u64, Ordering::Relaxed);
    Ok(closes)
}

/// Judges a response head.
fn accept(head: &Head, key: u64) -> Result<(), Trouble> {
    match head.status() {
        200 if head.number("x-key") == Some(key) => Ok(()),
        200 => Err(Trouble::wrong(format_args!("another's response: {head:?}"))),
        500..600 => Err(Trouble::before(&head.first)),
        _ => Err(Trouble::wrong(format_args!(
            "an answer that makes no sense: {:?}",
            head.first
        ))),
    }
}

fn upload(scene: &Scene, line: &mut Line, chance: &mut Chance, class: Class) -> Outcome {
    let slow = class == Class::SlowWriter;
    let bytewise = slow && chance.one_in(2);
    let (key, size) = (
        chance.next(),
        chance.size(if bytewise { 256 } else { MAX_BODY }),
    );
    let group = if class == Class::FlapUploads {
        "/flap"
    } else {
        ""
    };
    let method = if chance.one_in(2) { "PUT" } else { "POST" };
    let chunked = chance.one_in(2);
    let expects = !slow && chance.one_in(8);
    let mut fields = match chunked {
        true => "Transfer-Encoding: chunked\r\n".to_owned(),
        false => format!("Content-Length: {size}\r\n"),
    };
    if expects {
        fields.push_str("Expect: 100-continue\r\n");
    }
    let start = format!("{method} {group}/judge/{key}/{size} HTTP/1.1");
    let head = scene.request(class, &start, &fields);
    scene.ground.tally.add(class, Count::Sent);
    let content = scene.ground.pattern.content(key, size);
    let body = pieces(content, chance, chunked, bytewise);
    let sent = match slow {
        true => send_slowly(line, chance, &head, &body),
        false => send_upload(line, &head, &body, expects),
    };
    // A response may have come though not everything was taken: it says more than the error.
    let response = line.response();
    let head = match (sent, response) {
        (Err(trouble), Err(_)) => return Err(trouble),
        (_, response) => response?,
    };
    accept(&head, key)?;
    if head.number("x-verdict") != Some(size as u64) {
        return Err(Trouble::wrong(format_args!("another's verdict: {head:?}")));
    }
    line.body(wire::ending(&head, true))?;
    Ok(!head.has("connection", "close"))
}

/// An upload that the target answers whenever it likes. What is not taken any more is no fault; the answer is due.
fn answered_early(scene: &Scene, line: &mut Line, chance: &mut Chance) -> Outcome {
    let (key, size) = (chance.next(), chance.size(MAX_EARLY));
    let (start, fields) = (
        format!("PUT /early/{key}/{size} HTTP/1.1"),
        format!("Content-Length: {size}\r\n"),
    );
    let head = scene.request(Class::Early, &start, &fields);
    scene.ground.tally.add(Class::Early, Count::Sent);
    let content = scene.ground.pattern.content(key, size);
    line.send(&head).map_err(Trouble::before)?;
    for piece in content.chunks(1 + chance.size(64 << 10)).take(200) {
        if line.send(piece).is_err() {
            break;
        }
    }
    let head = line.response()?;
    accept(&head, key)?;
    line.body(wire::ending(&head, true))?;
    Ok(false)
}

/// The body, cut into what is sent at a time; each is a chunk where chunks are sent.
fn pieces(content: &[u8], chance: &mut Chance, chunked: bool, bytewise: bool) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = content;
    let most = if bytewise {
        8
    } else {
        1 + chance.size(128 << 10)
    };
    while !rest.is_empty() {
        // not too many: a body of a mebibyte in single bytes would be a run of its own
        let least = if bytewise { 1 } else { content.len() / 64 + 1 };
        let (piece, after) = rest.split_at(chance.between(least, most.max(least)).min(rest.len()));
        let mut out = Vec::with_capacity(piece.len() + 16);
        match chunked {
            true => wire::chunk(&mut out, piece),
            false => out.extend_from_slice(piece),
        }
        pieces.push(out);
        rest = after;
    }
    if chunked {
        pieces.push(b"0\r\n\r\n".to_vec());
    }
    pieces
}

fn send_upload(
    line: &mut Line,
    head: &[u8],
    body: &[Vec<u8>],
    expects: bool,
) -> Result<(), Trouble> {
    let failed =
        |e: std::io::Error| Trouble::before(format_args!("the request was not taken: {e}"));
    line.send(head).map_err(failed)?;
    if expects {
        match line.head()? {
            Some(head) if head.status() == 100 => {}
            Some(head) if head.status() >= 500 => return Err(Trouble::before(&head.first)),
            other => return Err(Trouble::wrong(format_args!("no 100 but {other:?}"))),
        }
    }
    for piece in body {
        line.send(piece).map_err(failed)?;
    }
    Ok(())
}

/// Head and body with pauses; the head well within its time.
fn send_slowly(
    line: &mut Line,
    chance: &mut Chance,
    head: &[u8],
    body: &[Vec<u8>],
) -> Result<(), Trouble> {
    let failed =
        |e: std::io::Error| Trouble::before(format_args!("the request was not taken: {e}"));
    for piece in head.chunks(head.len() / 8 + 1) {
        line.send(piece).map_err(failed)?;
        std::thread::sleep(chance.millis(1, 100));
    }
    for piece in body {
        line.send(piece).map_err(failed)?;
        std::thread::sleep(chance.millis(1, 100));
    }
    Ok(())
}

/// Requests that are sent before the first response is read.
fn burst(scene: &Scene, line: &mut Line, chance: &mut Chance) -> Outcome {
    let count = chance.between(2, MAX_BURST);
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..count {
        let (download, request) = ask(scene, chance, Class::Pipelined, 4 << 10, false);
        requests.extend_from_slice(&request);
        expected.push(download);
        scene.ground.tally.add(Class::Pipelined, Count::Sent);
    }
    line.send(&requests).map_err(Trouble::before)?;
    for (place, download) in expected.iter().enumerate() {
        let closes = receive(scene, line, download).map_err(|trouble| Trouble {
            text: format!("response {place} of {count}: {}", trouble.text),
            ..trouble
        })?;
        // What was sent behind it was never read: that is asked for again.
        if closes && scene.closes_politely {
            return Ok(false);
        }
        // The caller counts the last one.
        if place + 1 < count {
            scene.ground.tally.add(Class::Pipelined, Count::Whole);
        }
    }
    Ok(true)
}

/// A tunnel that is held for the whole run.
pub(super) fn tunnel(scene: &Scene, mut chance: Chance) {
    let tally = &scene.ground.tally;
    while !scene.ground.is_over() {
        let result = scene
            .open(Class::Tunnel, &mut chance)
            .and_then(|mut line| beat(scene, &mut line, &mut chance));
        tally.close(Class::Tunnel, result);
    }
}

/// Opens a tunnel and sends heartbeats through it until the run ends.
fn beat(scene: &Scene, line: &mut Line, chance: &mut Chance) -> Result<(), Trouble> {
    let tally = &scene.ground.tally;
    tally.add(Class::Tunnel, Count::Sent);
    let fields = "Connection: Upgrade\r\nUpgrade: torture\r\n";
    let request = scene.request(Class::Tunnel, "GET /echo HTTP/1.1", fields);
    line.send(&request).map_err(Trouble::before)?;
    let head = line.response()?;
    if head.status() != 101 {
        return Err(Trouble::wrong(format_args!("no tunnel: {}", head.first)));
    }
    while !scene.ground.is_over() {
        let (key, size) = (chance.next(), 1 + chance.size(16 << 10));
        let sent = scene.ground.pattern.content(key, size);
        let cut = |text: String| Trouble::within(format_args!("a tunnel was cut: {text}"));
        line.send(sent).map_err(|e| cut(e.to_string()))?;
        let back = line.exactly(size).map_err(|trouble| cut(trouble.text))?;
        if back != sent {
            return Err(Trouble::wrong("corrupt content in a tunnel"));
        }
        tally.heartbeats.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(chance.millis(100, 1000));
    }
    Ok(())
}

/// Connections that wait for their next request, nearly always.
pub(super) fn idle(scene: &Scene, mut chance: Chance) {
    let tally = &scene.ground.tally;
    let mut sockets: Vec<TcpStream> = Vec::new();
    while !scene.ground.is_over() {
        let socket = if sockets.len() < IDLE {
            Line::connect(scene.http)
        } else {
            scene.idle_complete.store(true, Ordering::Relaxed);
            std::thread::sleep(chance.millis(5, 50));
            Line::again(sockets.swap_remove(chance.below(sockets.len())))
        };
        let result = socket.and_then(|mut line| {
            download(scene, &mut line, &mut chance, Class::Idle, 1 << 10)?;
            line.socket().try_clone().map_err(Trouble::within)
        });
        let result = result.map(|socket| sockets.push(socket));
        tally.close(Class::Idle, result);
        std::thread::sleep(Duration::from_millis(5));
    }
    let closed = sockets.iter().filter(|socket| has_ended(socket)).count();
    if closed > 0 {
        tally.fail(format_args!("{closed} idle connections were closed"));
    }
}

/// True where a connection that rests was closed.
fn is_closed(line: &Line) -> bool {
    let ended = has_ended(line.socket());
    // It blocks again, as it did.
    ended || line.socket().set_nonblocking(false).is_err()
}

pub(super) fn has_ended(socket: &TcpStream) -> bool {
    let mut byte = [0];
    let blocked = socket
        .set_nonblocking(true)
        .and_then(|()| socket.peek(&mut byte));
    !matches!(blocked, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}
