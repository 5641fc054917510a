//! One client, one target, one conversation: most cases read as a row of such a table.

use crate::harness::{Proxy, port, simple};
use portway_testkit::peer::{End, Target, Wire};

/// What becomes of the client's connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It serves another request.
    KeptAlive,
    /// It is closed.
    Closed,
}

/// A case. In the texts `{port}` is the listener's port, `{client}` the client's, `{target}` the target's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    /// Lines under `[listener.web]`.
    pub(crate) listener: &'a str,
    /// What the client sends, in pieces.
    pub(crate) client: &'a [&'a str],
    /// All that the target receives for it.
    pub(crate) received: &'a str,
    /// What the target answers, in pieces; it closes the connection after an answer whose last piece is empty.
    pub(crate) answer: &'a [&'a str],
    /// All that the client receives for it.
    pub(crate) response: &'a str,
    pub(crate) then: Then,
}

/// An ordinary response and what the client gets of it.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Default for Row<'_> {
    fn default() -> Self {
        Self {
            name: "",
            listener: "",
            client: &[],
            received: "",
            answer: &[OK],
            response: OK,
            then: Then::KeptAlive,
        }
    }
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: next\r\n\r\n";

/// Plays each row on a configuration of its own.
pub(crate) fn check_all(rows: &[Row<'_>]) {
    for row in rows {
        check(row);
    }
}

/// Plays one row: the conversation, then another request or the end of the connection.
pub(crate) fn check(row: &Row<'_>) {
    println!("{}", row.name);
    let answers = row.answer.iter().map(|&piece| piece.to_owned()).collect();
    let target = playing(answers);
    let proxy = Proxy::start(&simple(row.listener, "", &[target.address()]));
    let mut client = proxy.client();
    let fill = |text: &str| {
        text.replace("{port}", &port(proxy.address(0)))
            .replace("{client}", &port(client.local().unwrap()))
            .replace("{target}", &port(target.address()))
    };
    let (received, response) = (fill(row.received), fill(row.response));
    let pieces: Vec<String> = row.client.iter().map(|piece| fill(piece)).collect();
    client.send_pieces(&pieces).unwrap();
    match row.then {
        Then::KeptAlive => {
            same(
                row.name,
                &client.receive(response.len()).unwrap(),
                &response,
            );
            client.send(NEXT).unwrap();
            let next = client.receive(OK.len()).unwrap();
            same(row.name, &next, OK);
            let all = target.received_in_all();
            let next = all.strip_prefix(&received).unwrap_or_else(|| {
                panic!(
                    "{}: the target got {all:?}, not first {received:?}",
                    row.name
                )
            });
            assert!(
                next.starts_with("GET /next HTTP/1.1\r\n"),
                "{}: {next:?}",
                row.name
            );
            drop(client);
            proxy.finish(2);
        }
        Then::Closed => {
            let (all, end) = client.until_end().unwrap();
            same(row.name, &all, &response);
            assert_eq!(end, End::Closed, "{}", row.name);
            same(row.name, target.received_in_all().as_bytes(), &received);
            drop(client);
            proxy.finish(1);
        }
    }
}

/// Answers the first request with these pieces, all others with [`OK`].
fn playing(answer: Vec<String>) -> Target {
    Target::start(move |connection, mut wire| {
        if connection == 0 {
            wire.message()?;
            wire.send_pieces(&answer)?;
            if answer.last().is_some_and(String::is_empty) {
                return Ok(());
            }
        }
        serve_ok(&mut wire)
    })
    .unwrap()
}

fn serve_ok(wire: &mut Wire) -> std::io::Result<()> {
    loop {
        wire.message()?;
        wire.send(OK)?;
    }
}

/// Compares bytes as text that a person can read.
#[track_caller]
pub(crate) fn same(name: &str, got: &[u8], expected: &str) {
    let got = String::from_utf8_lossy(got);
    assert!(
        got == expected,
        "{name}\n     got: {got:?}\nexpected: {expected:?}"
    );
}
