//! A target of the run: serves contents by key, judges what is uploaded, echoes in tunnels, and goes away when told to.
//!
//! ```text
//! GET|HEAD /bytes/KEY/SIZE/FRAMING    the content of KEY, framed by length, chunks or the end of the connection
//! PUT|POST /judge/KEY/SIZE            200 where exactly that content came; the verdict in x-verdict
//! PUT|POST /early/KEY/SIZE            200 before the content has come, then the end of the connection
//! GET|PUT /flow/KEY/SIZE              blocks of the contents of KEY, KEY + 1, …: gigabytes, or the judgement of them
//! GET /echo, Upgrade: torture         101, then every byte comes back
//! GET /health                         200
//! ```
//!
//! Whatever group the path begins with (`/flap`, `/hasty`) is skipped. Every request but the health check must carry the marker
//! of the run, which misbehaving clients do not know: one without it is a failure of the run. So is a body that ends
//! early, unless the client said that it would abort.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::chance::Chance;
use super::raw;
use super::tally::Trouble;
use super::wire::{self, Ending, Head, Line};
use super::{Ground, thread};

/// How long a target that waits for connections sleeps before it looks whether it has to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long a target that comes back tries to listen.
const BIND: Duration = Duration::from_secs(5);

/// What a target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    /// HTTP, and closes idle connections so soon that requests are on their way.
    Hasty,
    /// The streams of [`raw`].
    Raw,
}

/// A target. Dropping it makes it go away for good.
pub(super) struct Target {
    ground: Arc<Ground>,
    pub(super) address: SocketAddr,
    speaks: Speaks,
    presence: Mutex<Option<Presence>>,
    connections: Arc<AtomicU64>,
}

/// Sockets of open connections by number.
type Sockets = Arc<Mutex<HashMap<u64, TcpStream>>>;

/// One time of being there.
struct Presence {
    acceptor: std::thread::JoinHandle<()>,
    shared: Shared,
}

/// What the threads of a presence share.
#[derive(Clone, Default)]
struct Shared {
    /// Set when they have to end.
    gone: Arc<AtomicBool>,
    sockets: Sockets,
}

impl Shared {
    fn end_all(&self, reset: bool) {
        let sockets = self.sockets.lock();
        let sockets = sockets.map(|mut all| std::mem::take(&mut *all));
        for socket in sockets.unwrap_or_default().into_values() {
            if reset {
                let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            }
            // Wakes the thread that reads and sends nothing; the end comes when it drops its half.
            let _ = socket.shutdown(std::net::Shutdown::Read);
        }
    }
}

/// Keeps a socket among the open ones while its connection is served.
struct Kept(u64, Sockets);

impl Kept {
    fn new(number: u64, socket: &TcpStream, sockets: &Sockets) -> Self {
        if let (Ok(mut all), Ok(copy)) = (sockets.lock(), socket.try_clone()) {
            all.insert(number, copy);
        }
        Self(number, Arc::clone(sockets))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Ok(mut all) = self.1.lock() {
            all.remove(&self.0);
        }
    }
}

impl Target {
    /// A target that is there.
    pub(super) fn start(
        ground: &Arc<Ground>,
        address: SocketAddr,
        speaks: Speaks,
    ) -> Result<Self, String> {
        let target = Self {
            ground: Arc::clone(ground),
            address,
            speaks,
            presence: Mutex::default(),
            connections: Arc::default(),
        };
        target.come()?;
        Ok(target)
    }

    /// Listens, where it does not yet.
    pub(super) fn come(&self) -> Result<(), String> {
        let failed = |e: io::Error| format!("target {}: {e}", self.address);
        let listener = bind(self.address).map_err(failed)?;
        SockRef::from(&listener)
            .set_read_timeout(Some(LOOK))
            .map_err(failed)?;
        let shared = Shared::default();
        let (ground, speaks) = (Arc::clone(&self.ground), self.speaks);
        let (numbers, theirs) = (Arc::clone(&self.connections), shared.clone());
        let acceptor = thread("target", move || {
            accept(&ground, &listener, speaks, &numbers, &theirs);
        })?;
        if let Ok(mut place) = self.presence.lock() {
            *place = Some(Presence { acceptor, shared });
        }
        Ok(())
    }

    /// Stops listening and ends every connection: with a reset if `reset`, whatever is on its way. `listening_last`:
    /// while connections end new ones still come about, and end too.
    pub(super) fn leave(&self, reset: bool, listening_last: bool) {
        let Some(presence) = self.presence.lock().ok().and_then(|mut p| p.take()) else {
            return;
        };
        presence.shared.gone.store(true, Ordering::Relaxed);
        if listening_last {
            presence.shared.end_all(reset);
        }
        // The acceptor ends within a look; only then is the listening socket closed.
        let _ = presence.acceptor.join();
        presence.shared.end_all(reset);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.leave(true, false);
    }
}

/// Listens at `address`. A program that another thread is just starting may hold the socket that listened there before, until it
/// is loaded: for a moment the address is taken then.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + BIND;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(LOOK);
            }
            result => return result,
        }
    }
}

/// Takes the connections of `listener` until the target goes.
fn accept(
    ground: &Arc<Ground>,
    listener: &TcpListener,
    speaks: Speaks,
    numbers: &AtomicU64,
    shared: &Shared,
) {
    let port = u64::from(listener.local_addr().map_or(0, |address| address.port()));
    while !shared.gone.load(Ordering::Relaxed) {
        let Ok((socket, _)) = listener.accept() else {
            continue;
        };
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let chance = Chance::new(ground.seed, (port << 32) | number);
        let kept = Kept::new(number, &socket, &shared.sockets);
        let (ground, gone) = (Arc::clone(ground), Arc::clone(&shared.gone));
        let served = thread("served", move || {
            if let Ok(line) = Line::accepted(socket, Arc::clone(&gone)) {
                match speaks {
                    Speaks::Http => serve(&ground, line, chance, &gone, false),
                    Speaks::Hasty => serve(&ground, line, chance, &gone, true),
                    Speaks::Raw => raw::serve(&ground, line, &gone),
                }
            }
            drop(kept);
        });
        if served.is_err() {
            return;
        }
    }
}

/// Serves requests until the connection ends.
fn serve(ground: &Ground, mut line: Line, mut chance: Chance, gone: &AtomicBool, hasty: bool) {
    while let Ok(Some(head)) = line.head() {
        if !is_welcome(ground, &head) {
            return;
        }
        match answer(ground, &mut line, &head, &mut chance) {
            Ok(true) if hasty && chance.one_in(3) => {
                std::thread::sleep(chance.millis(0, 8));
                return;
            }
            Ok(true) => {}
            Ok(false) => return,
            Err(trouble) => {
                let leaves = ground.is_over() && head.first.contains(" /flow/");
                let may_end =
                    gone.load(Ordering::Relaxed) || head.field("x-aborts").is_some() || leaves;
                if !may_end {
                    ground.tally.fail(format_args!(
                        "a target, at {:?}: {}",
                        head.first, trouble.text
                    ));
                }
                return;
            }
        }
    }
}

/// True where the request may be here.
fn is_welcome(ground: &Ground, head: &Head) -> bool {
    if head.first.starts_with("GET /health ") {
        return true;
    }
    let marked = head.field("x-marker") == Some(ground.marker.as_str());
    if !marked {
        ground.tally.fail(format_args!(
            "a request that must not reach a target did: {:?}",
            head.first
        ));
    }
    marked
}

/// Answers one request; false where the connection ends after it.
fn answer(
    ground: &Ground,
    line: &mut Line,
    head: &Head,
    chance: &mut Chance,
) -> Result<bool, Trouble> {
    let mut words = head.first.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let path = path
        .trim_start_matches("/flap")
        .trim_start_matches("/hasty");
    let mut parts = path.split('/').skip(1);
    let sort = parts.next().unwrap_or_default();
    let mut number = || parts.next().and_then(|text| text.parse::<u64>().ok());
    let key = number().unwrap_or(0);
    let size = usize::try_from(number().unwrap_or(0)).unwrap_or(0);
    match sort {
        "bytes" => {
            let framing = match parts.next() {
                Some("chunked") => Ending::Chunked,
                Some("close") => Ending::Close,
                _ => Ending::Length(size),
            };
            give(ground, line, chance, (method, key, size, framing))
        }
        "judge" => judge(ground, line, head, (key, size)),
        "early" => early(line, chance, (key, size)),
        "flow" => match method {
            "PUT" => judge_flow(ground, line, (key, size)),
            _ => give_flow(ground, line, (key, size)),
        },
        "echo" => echo(line, head),
        "health" => say(line, "200 OK", "").map(|()| true),
        _ => Err(Trouble::wrong("a request that nobody sent")),
    }
}

fn sent(result: io::Result<()>) -> Result<(), Trouble> {
    result.map_err(|e| Trouble::within(format_args!("the response was not taken: {e}")))
}

fn say(line: &mut Line, status: &str, fields: &str) -> Result<(), Trouble> {
    sent(line.send(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n").as_bytes()))
}

/// Sends a content, in one piece or in several with pauses.
fn give(
    ground: &Ground,
    line: &mut Line,
    chance: &mut Chance,
    (method, key, size, framing): (&str, u64, usize, Ending),
) -> Result<bool, Trouble> {
    let content = ground.pattern.content(key, size);
    let closes = framing == Ending::Close || chance.one_in(64);
    let mut out = format!("HTTP/1.1 200 OK\r\nX-Key: {key}\r\n").into_bytes();
    match framing {
        Ending::Length(length) => {
            out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        Ending::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Ending::Close => {}
    }
    if closes {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if method == "HEAD" {
        sent(line.send(&out))?;
        return Ok(!closes);
    }
    // Nothing but a reset would say that such a content is not whole.
    let sent = |line: &mut Line, result: io::Result<()>| {
        if result.is_err() && framing == Ending::Close {
            line.will_reset();
        }
        sent(result)
    };
    let slowly = chance.one_in(40);
    let mut rest = content;
    while !rest.is_empty() {
        let most = if slowly { 16 << 10 } else { 64 << 10 };
        let (piece, after) = rest.split_at(chance.between(1, most).min(rest.len()));
        match framing {
            Ending::Chunked => wire::chunk(&mut out, piece),
            _ => out.extend_from_slice(piece),
        }
        if slowly {
            let taken = line.send(&out);
            sent(line, taken)?;
            out.clear();
            std::thread::sleep(chance.millis(0, 20));
        }
        rest = after;
    }
    if framing == Ending::Chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    let taken = line.send(&out);
    sent(line, taken)?;
    Ok(!closes)
}

/// Compares what was uploaded with what should have come.
fn judge(
    ground: &Ground,
    line: &mut Line,
    head: &Head,
    (key, size): (u64, usize),
) -> Result<bool, Trouble> {
    if head.has("expect", "100-continue") {
        sent(line.send(b"HTTP/1.1 100 Continue\r\n\r\n"))?;
    }
    let content = line.body(wire::ending(head, false))?;
    ground
        .pattern
        .compare(key, size, &content)
        .map_err(Trouble::wrong)?;
    ground
        .tally
        .bytes_up
        .fetch_add(content.len() as u64, Ordering::Relaxed);
    let fields = format!("X-Key: {key}\r\nX-Verdict: {size}\r\n");
    say(line, "200 OK", &fields)?;
    Ok(true)
}

/// Bytes of a block of what flows.
pub(super) const FLOW_BLOCK: usize = 256 << 10;

/// Sends blocks, as fast as they are taken.
fn give_flow(ground: &Ground, line: &mut Line, (key, size): (u64, usize)) -> Result<bool, Trouble> {
    let blocks = size / FLOW_BLOCK;
    let length = blocks * FLOW_BLOCK;
    let head = format!("HTTP/1.1 200 OK\r\nX-Key: {key}\r\nContent-Length: {length}\r\n\r\n");
    sent(line.send(head.as_bytes()))?;
    for block in 0..blocks as u64 {
        sent(line.send(ground.pattern.content(key + block, FLOW_BLOCK)))?;
    }
    Ok(true)
}

/// Compares blocks with what should come.
fn judge_flow(
    ground: &Ground,
    line: &mut Line,
    (key, size): (u64, usize),
) -> Result<bool, Trouble> {
    for block in 0..(size / FLOW_BLOCK) as u64 {
        let content = line.exactly(FLOW_BLOCK)?;
        let verdict = ground.pattern.compare(key + block, FLOW_BLOCK, &content);
        verdict.map_err(Trouble::wrong)?;
        let counted = &ground.tally.bytes_up;
        counted.fetch_add(FLOW_BLOCK as u64, Ordering::Relaxed);
    }
    say(line, "200 OK", &format!("X-Key: {key}\r\n"))?;
    Ok(true)
}

/// Answers before the content has come, and closes: at once, or when the other side has.
fn early(line: &mut Line, chance: &mut Chance, (key, size): (u64, usize)) -> Result<bool, Trouble> {
    if size > 0 && chance.one_in(2) {
        // Whether anything of it has come does not matter.
        let _ = line.some();
    }
    let fields = format!("X-Key: {key}\r\nX-Verdict: early\r\nConnection: close\r\n");
    say(line, "200 OK", &fields)?;
    if chance.one_in(2) {
        sent(line.end())?;
        while let Ok(Some(_)) = line.some() {}
    }
    Ok(false)
}

/// A tunnel: every byte comes back.
fn echo(line: &mut Line, head: &Head) -> Result<bool, Trouble> {
    let protocol = head.field("upgrade").unwrap_or("torture");
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    );
    sent(line.send(head.as_bytes()))?;
    while let Ok(Some(bytes)) = line.some() {
        if line.send(&bytes).is_err() {
            break;
        }
    }
    Ok(false)
}
