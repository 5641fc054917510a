//! Many clients at once, requests of every shape, cut anywhere: every answer belongs to its request.

use crate::harness::{Proxy, simple};
use portway_testkit::peer::{Target, Wire};
use std::fmt::Write;
use std::io;

/// Chance that comes out the same in every run (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }
}

/// What a request carries, so that its answer can be told from all others.
fn mark(client: u64, number: usize) -> String {
    format!("<{client}.{number}>")
}

/// A request of a random shape and the body that its answer will have.
fn request(chance: &mut Chance, mark: &str) -> (String, String) {
    let body = mark.repeat(chance.below(40));
    let path = mark.trim_matches(['<', '>']);
    let mut text = String::new();
    match chance.below(3) {
        0 => {
            write!(text, "GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            return (text, format!("{mark}|"));
        }
        1 => {
            write!(
                text,
                "PUT /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
        _ => {
            write!(
                text,
                "POST /{path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            .unwrap();
            let mut rest = body.as_str();
            while !rest.is_empty() {
                let (chunk, more) = rest.split_at(1 + chance.below(rest.len()));
                write!(text, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
                rest = more;
            }
            text.push_str("0\r\n\r\n");
        }
    }
    (text, format!("{mark}|{body}"))
}

/// The data of a message, without its framing.
fn data(message: &str) -> String {
    let (head, mut rest) = message.split_once("\r\n\r\n").unwrap();
    if !head.contains("Transfer-Encoding") {
        return rest.to_owned();
    }
    let mut data = String::new();
    loop {
        let (size, more) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return data;
        }
        data.push_str(&more[..size]);
        rest = &more[size + 2..];
    }
}

/// Answers `<path>|body`, framed and cut by chance; now and then the connection ends with the answer.
fn play(connection: usize, mut wire: Wire) -> io::Result<()> {
    let mut chance = Chance(0x9e37_79b9 + connection as u64);
    loop {
        let message = String::from_utf8(wire.message()?).unwrap();
        let path = message.split(' ').nth(1).unwrap().trim_start_matches('/');
        let body = format!("<{path}>|{}", data(&message));
        let (answer, last) = match chance.below(8) {
            0 => (format!("HTTP/1.1 200 OK\r\n\r\n{body}"), true),
            1 => {
                let length = body.len();
                (
                    format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                    ),
                    true,
                )
            }
            2..5 => {
                let (first, second) = body.split_at(1 + chance.below(body.len() - 1));
                let (one, two) = (first.len(), second.len());
                let chunks = format!("{one:x}\r\n{first}\r\n{two:x};x\r\n{second}\r\n0\r\n\r\n");
                (
                    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
                    false,
                )
            }
            _ => (
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ),
                false,
            ),
        };
        let (first, second) = answer.split_at(1 + chance.below(answer.len() - 1));
        match chance.below(4) {
            0 => wire.send_pieces(&[first, second])?,
            _ => wire.send(&answer)?,
        }
        if last {
            return Ok(());
        }
    }
}

fn converse(address: std::net::SocketAddr, client: u64, requests: usize) {
    let mut chance = Chance(0x1234_5678 ^ (client + 1) << 20);
    let mut wire = Wire::connect(address).unwrap();
    let (mut ahead, mut expected) = (String::new(), Vec::new());
    for number in 0..requests {
        let (text, body) = request(&mut chance, &mark(client, number));
        ahead.push_str(&text);
        expected.push(body);
        if number + 1 < requests && chance.below(3) > 0 {
            continue;
        }
        let (first, second) = ahead.split_at(1 + chance.below(ahead.len() - 1));
        match chance.below(3) {
            0 => wire.send_pieces(&[first, second]).unwrap(),
            _ => wire.send(&ahead).unwrap(),
        }
        for body in expected.drain(..) {
            let answer = String::from_utf8(wire.message().unwrap()).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert_eq!(data(&answer), body);
        }
        ahead.clear();
    }
}

#[test]
fn every_answer_belongs_to_its_request() {
    const CLIENTS: u64 = 24;
    const REQUESTS: usize = 60;
    let targets: Vec<Target> = (0..2).map(|_| Target::start(play).unwrap()).collect();
    let addresses: Vec<_> = targets.iter().map(Target::address).collect();
    let proxy = Proxy::start(&simple("", "", &addresses));
    let address = proxy.address(0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || converse(address, client, REQUESTS));
        }
    });
    proxy.finish(usize::try_from(CLIENTS).unwrap() * REQUESTS);
}

/// A target that breaks whatever can be broken, by chance.
fn play_badly(connection: usize, mut wire: Wire) -> io::Result<()> {
    let mut chance = Chance(0x5851_f42d + connection as u64);
    loop {
        match chance.below(20) {
            0 => return Ok(()),
            1 => return wire.reset(),
            2 => {
                wire.head()?;
                return wire.reset();
            }
            3 => {
                wire.head()?;
                return wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
            }
            _ => {}
        }
        let message = String::from_utf8(wire.message()?).unwrap();
        let path = message.split(' ').nth(1).unwrap().trim_start_matches('/');
        let body = format!("<{path}>|{}", data(&message));
        let length = body.len();
        match chance.below(12) {
            0 => return wire.send("garbage\r\n\r\n"),
            1 => return wire.send("HTTP/1.1 200 OK\r\nContent-"),
            2 => {
                return wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    length + 1
                ));
            }
            3 => {
                return wire.send(format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}X"
                ));
            }
            4 => wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}tail"
            ))?,
            5 => {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")?;
                return wire.reset();
            }
            _ => wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
            ))?,
        }
    }
}

/// Asks until something breaks, or breaks it; how many answers were whole and right.
fn converse_badly(address: std::net::SocketAddr, client: u64) -> usize {
    let mut chance = Chance(0x2545_f491 ^ (client + 1) << 18);
    let mut wire = Wire::connect(address).unwrap();
    for number in 0.. {
        let (text, expected) = request(&mut chance, &mark(client, number));
        let cut = 1 + chance.below(text.len());
        if chance.below(12) == 0 {
            // The other side may have gone first.
            let _ = wire.send(&text[..cut]);
            match chance.below(3) {
                0 => return wire.reset().map_or(number, |()| number),
                1 => return number,
                _ => {
                    let _ = wire.half_close();
                    let _ = wire.until_end();
                    return number;
                }
            }
        }
        let answer = wire.send(&text).and_then(|()| wire.message());
        let Ok(answer) = answer else { return number };
        let answer = String::from_utf8(answer).unwrap();
        if answer.starts_with("HTTP/1.1 200 ") {
            // What was cut off is an error of `message`; what is whole is right.
            assert_eq!(data(&answer), expected, "{answer}");
        }
        if answer.contains("\r\nConnection: close\r\n") {
            return number + 1;
        }
    }
    0
}

#[test]
fn whatever_breaks_leaves_one_record_and_no_byte_elsewhere() {
    let targets: Vec<Target> = (0..3).map(|_| Target::start(play_badly).unwrap()).collect();
    let addresses: Vec<_> = targets.iter().map(Target::address).collect();
    let proxy = Proxy::start(&simple("", "", &addresses));
    let address = proxy.address(0);
    let answered: usize = std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..8)
            .map(|part| {
                scope.spawn(move || {
                    let clients = part * 50..(part + 1) * 50;
                    clients
                        .map(|client| converse_badly(address, client))
                        .sum::<usize>()
                })
            })
            .collect();
        crowd.into_iter().map(|part| part.join().unwrap()).sum()
    });
    proxy.quiet();
    let records = proxy.metric("portway_listener_request_duration_seconds_count{listener=\"web\"}");
    let records = usize::try_from(records).unwrap();
    println!("{answered} answers, {records} records");
    assert!(
        records >= answered && answered > 400,
        "{answered} answers, {records} records"
    );
    proxy.finish(records);
}
