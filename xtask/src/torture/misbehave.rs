//! Clients that misbehave: those who abort what they began well, and those whose messages must not reach a target.
//!
//! The former carry the marker of the run and say `X-Aborts`; the latter carry neither, so that a target knows them.

use std::time::{Duration, Instant};

use super::chance::Chance;
use super::client::Scene;
use super::tally::{Class, Count, Trouble};
use super::wire::{self, Line};

/// By then Portway must have ended a connection that sends its head, or its handshake, too slowly: the configured
/// five seconds, and time for a busy machine.
const LORIS_ENDS: Duration = Duration::from_secs(20);

/// What stands behind a head that is to be refused: were its framing read otherwise, it would be a request.
const SMUGGLED: &str =
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: torture.example\r\nContent-Length: 0\r\n\r\n";

/// Messages that are refused: what follows `Host` in the head (or the whole head where it begins with a method), and
/// the statuses that may answer it.
const REFUSED: &[(&str, &[u16])] = &[
    (
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n",
        &[400],
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n",
        &[400],
    ),
    ("Content-Length: 6\r\nContent-Length: 7\r\n\r\n", &[400]),
    ("Content-Length: 6, 6\r\n\r\n", &[400]),
    ("Content-Length: +6\r\n\r\n", &[400]),
    ("Content-Length: 0x6\r\n\r\n", &[400]),
    ("Content-Length: -1\r\n\r\n", &[400]),
    ("Content-Length: 99999999999999999999\r\n\r\n", &[400]),
    ("Transfer-Encoding: xchunked\r\n\r\n", &[400, 501]),
    ("Transfer-Encoding: chunked, identity\r\n\r\n", &[400, 501]),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        &[400],
    ),
    ("Transfer-Encoding : chunked\r\n\r\n", &[400]),
    ("Transfer-Encoding: chun\r\n ked\r\n\r\n", &[400]),
    ("X-Folded: a\r\n b\r\n\r\n", &[400]),
    ("X-Nul: a\0b\r\n\r\n", &[400]),
    ("X-Return: a\rb\r\n\r\n", &[400]),
    ("X-Feed: a\nX: b\r\n\r\n", &[400]),
    (": nameless\r\n\r\n", &[400]),
    ("colonless\r\n\r\n", &[400]),
    ("Host: second.example\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\nHost: a.example\n\n", &[400]),
    ("GET / HTTP/1.1 HTTP/1.1\r\nHost: a.example\r\n\r\n", &[400]),
    ("GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", &[400]),
    ("GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", &[400, 505]),
    (
        "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        &[400],
    ),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 505]),
];

/// A client whose messages must not reach a target, until the run ends.
pub(super) fn hostile(scene: &Scene, mut chance: Chance) {
    let tally = &scene.ground.tally;
    while !scene.ground.is_over() {
        tally.add(Class::Hostile, Count::Sent);
        let result = match chance.below(12) {
            0 => garbage(scene, &mut chance),
            1 => part(scene, &mut chance),
            2 => loris(scene, &mut chance),
            3 => huge(scene, &mut chance),
            4 => hello(scene, &mut chance),
            _ => refused(scene, &mut chance),
        };
        tally.close(Class::Hostile, result);
        std::thread::sleep(chance.millis(0, 100));
    }
}

fn connect(scene: &Scene, chance: &mut Chance) -> Result<Line, Trouble> {
    match chance.one_in(4) {
        true => Line::connect_tls(scene.https, &scene.resuming),
        false => Line::connect(scene.http),
    }
}

/// Sends all of it; what the other side does not take any more needs no answer.
fn throw(line: &mut Line, bytes: &[u8]) {
    let _ = line.send(bytes);
}

/// A message that has to be answered with one of these statuses, and the end of the connection.
fn refused(scene: &Scene, chance: &mut Chance) -> Result<(), Trouble> {
    let Some((text, statuses)) = chance.pick(REFUSED) else {
        return Ok(());
    };
    let whole = ["GET ", "POST ", "PRI "]
        .iter()
        .any(|method| text.starts_with(method));
    let before = if whole {
        ""
    } else {
        "POST /refused HTTP/1.1\r\nHost: torture.example\r\n"
    };
    let message = format!("{before}{text}{SMUGGLED}");
    let mut line = connect(scene, chance)?;
    throw(&mut line, message.as_bytes());
    let strange = |what: String| Trouble::wrong(format_args!("{text:?} got {what}"));
    let head = line.response().map_err(|trouble| strange(trouble.text))?;
    if !statuses.contains(&head.status()) {
        return Err(strange(head.first));
    }
    line.body(wire::ending(&head, true))
        .map_err(|trouble| strange(trouble.text))?;
    match line.some() {
        Ok(Some(more)) => Err(strange(format!("{} bytes behind its answer", more.len()))),
        // An end, or a reset: we sent more than was read.
        _ => Ok(()),
    }
}

/// Random bytes: an answer that refuses them, or none.
fn garbage(scene: &Scene, chance: &mut Chance) -> Result<(), Trouble> {
    let size = 1 + chance.size(16 << 10);
    let bytes = scene.ground.pattern.content(chance.next(), size).to_vec();
    let secure = chance.one_in(3);
    let mut line = Line::connect(if secure { scene.https } else { scene.http })?;
    throw(&mut line, &bytes);
    let _ = line.end();
    never_well(&mut line, "garbage")
}

/// Whatever comes must not be a success.
fn never_well(line: &mut Line, what: &str) -> Result<(), Trouble> {
    match line.head() {
        Ok(Some(head)) if (200..400).contains(&head.status()) => {
            Err(Trouble::wrong(format_args!("{what} got {:?}", head.first)))
        }
        _ => Ok(()),
    }
}

/// The beginning of a request, then an end or a reset. It has no marker, so a target would tell.
fn part(scene: &Scene, chance: &mut Chance) -> Result<(), Trouble> {
    let whole =
        "GET /part HTTP/1.1\r\nHost: torture.example\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
    let piece = whole
        .get(..chance.below(whole.len() - 1))
        .unwrap_or_default();
    let mut line = connect(scene, chance)?;
    throw(&mut line, piece.as_bytes());
    if chance.one_in(2) {
        std::thread::sleep(chance.millis(0, 20));
        line.reset();
        return Ok(());
    }
    let _ = line.end();
    never_well(&mut line, "a part of a head")
}

/// A byte now and then: Portway has to end it.
fn loris(scene: &Scene, chance: &mut Chance) -> Result<(), Trouble> {
    let mut line = connect(scene, chance)?;
    let begun = Instant::now();
    throw(
        &mut line,
        b"GET /loris HTTP/1.1\r\nHost: torture.example\r\nX-Slow: ",
    );
    while begun.elapsed() < LORIS_ENDS {
        std::thread::sleep(Duration::from_millis(300));
        if line.send(b"a").is_err() || line.has_something() {
            return never_well(&mut line, "a slow loris");
        }
    }
    Err(Trouble::wrong("a slow loris was borne"))
}

/// A head beyond the limits.
fn huge(scene: &Scene, chance: &mut Chance) -> Result<(), Trouble> {
    let mut message = b"GET /huge HTTP/1.1\r\nHost: torture.example\r\n".to_vec();
    let (fields, length) = match chance.one_in(2) {
        true => (chance.between(300, 600), 4),
        false => (chance.between(70, 100), 1 << 10),
    };
    for n in 0..fields {
        message.extend_from_slice(format!("X-{n}: {}\r\n", "a".repeat(length)).as_bytes());
    }
    message.extend_from_slice(b"\r\n");
    let mut line = connect(scene, chance)?;
    throw(&mut line, &message);
    let head = line.response()?;
    match head.status() {
        431 => Ok(()),
        _ => Err(Trouble::wrong(format_args!(
            "a huge head got {:?}",
            head.first
        ))),
    }
}

/// The beginning of a TLS handshake, then silence or a reset.
fn hello(scene: &Scene, chance: &mut Chance) -> Result<(), Trouble> {
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut line = Line::connect(scene.https)?;
    throw(
        &mut line,
        hello.get(..chance.below(hello.len())).unwrap_or_default(),
    );
    if chance.one_in(2) {
        line.reset();
        return Ok(());
    }
    let begun = Instant::now();
    // An end, or an alert and an end.
    let _ = line.rest();
    match begun.elapsed() < LORIS_ENDS {
        true => Ok(()),
        false => Err(Trouble::wrong("a handshake without end was borne")),
    }
}

/// A client that begins well and aborts, until the run ends.
pub(super) fn aborting(scene: &Scene, mut chance: Chance) {
    let tally = &scene.ground.tally;
    while !scene.ground.is_over() {
        tally.add(Class::Aborting, Count::Sent);
        let result = connect(scene, &mut chance).and_then(|line| abort(scene, line, &mut chance));
        tally.close(Class::Aborting, result);
        std::thread::sleep(chance.millis(0, 60));
    }
}

fn abort(scene: &Scene, mut line: Line, chance: &mut Chance) -> Result<(), Trouble> {
    let (key, size) = (chance.next(), 1 + chance.size(1 << 20));
    let content = scene.ground.pattern.content(key, size);
    let part = content.get(..chance.below(size)).unwrap_or_default();
    let group = if chance.one_in(2) { "/flap" } else { "" };
    let ask = |start: String, fields: &str| {
        let fields = format!("X-Aborts: 1\r\n{fields}");
        scene.request(Class::Aborting, &format!("{start} HTTP/1.1"), &fields)
    };
    let download = ask(format!("GET {group}/bytes/{key}/{size}"), "");
    let upload = |fields: &str| ask(format!("PUT {group}/judge/{key}/{size}"), fields);
    let by_length = upload(&format!("Content-Length: {size}\r\n"));
    match chance.below(6) {
        0 => {
            throw(&mut line, &by_length);
            throw(&mut line, part);
        }
        1 => {
            throw(&mut line, &download);
            let _ = line.exactly(part.len());
        }
        2 => {
            let mut chunk = Vec::new();
            wire::chunk(&mut chunk, part);
            chunk.extend_from_slice(chance.pick(&BAD_CHUNKS).copied().unwrap_or_default());
            throw(&mut line, &upload("Transfer-Encoding: chunked\r\n"));
            throw(&mut line, &chunk);
            return never_well(&mut line, "a bad chunk");
        }
        3 => {
            throw(
                &mut line,
                &ask(
                    "GET /echo".to_owned(),
                    "Connection: Upgrade\r\nUpgrade: torture\r\n",
                ),
            );
            throw(&mut line, part);
        }
        4 => {
            for _ in 0..chance.between(1, 20) {
                throw(&mut line, &download);
            }
        }
        _ => {
            throw(&mut line, &by_length);
            throw(&mut line, part);
            let _ = line.end();
            return never_well(&mut line, "a part of a body");
        }
    }
    std::thread::sleep(chance.millis(0, 30));
    line.reset();
    Ok(())
}

/// What no chunk begins with.
const BAD_CHUNKS: [&[u8]; 6] = [
    b"g\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\n",
    b"11111111111111111\r\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
];
