//! Limits of requests and connections by source: all workers count together, a reload forgets nothing, and what ends badly
//! is given back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port, local};

/// A rule of a listener.
fn rule(of: &str, text: &str) -> String {
    format!("[[listener.{of}.rule]]\n{text}\n")
}

/// Asks on a connection of its own; the head of the answer.
pub(crate) fn once(port: u16, path: &str) -> String {
    let mut client = Client::new(port);
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.answer()
}

pub(crate) fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

#[test]
fn requests_of_a_source_have_a_rate() {
    let one = Echo::start("one");
    let (web, other) = (free_port(), free_port());
    let text = |more: &str| {
        format!(
            "[process]\nworkers = 2\n{}{}{}{more}",
            listener("web", web, "app"),
            rule(
                "web",
                "limit_rate = { name = 'few', average = 4, period = '1h', burst = 4 }"
            ),
            group("app", &[one.port])
        )
    };
    let stage = Stage::new(&text(""));
    let heads: Vec<_> = (0..8).map(|_| once(web, "/")).collect();
    let passed = heads.iter().filter(|head| status(head) == "200").count();
    assert_eq!(passed, 4, "{heads:#?}");
    let refused = heads.iter().find(|head| status(head) == "429").unwrap();
    let after = refused.split("retry-after: ").nth(1).unwrap();
    let after: u32 = after.split("\r\n").next().unwrap().parse().unwrap();
    assert!((1..=900).contains(&after), "{after}");

    stage.becomes(&text(&listener("other", other, "app")));
    assert_eq!(status(&once(web, "/")), "429");
    assert_eq!(status(&once(other, "/")), "200");
    let url = format!("http://127.0.0.1:{web}/");
    assert_eq!(
        stage.scene.status(&["--interface", "127.0.0.2", &url]),
        "200"
    );
    assert_eq!(
        stage.metric("portway_limit_reached_total{limit=\"request_rate\"} "),
        "5"
    );
}

#[test]
fn requests_at_once_and_bodies_have_limits() {
    let one = Echo::start("one");
    let (web, dead) = (free_port(), free_port());
    let text = |more: &str| {
        let rules = [
            "limit_concurrency = { name = 'two', amount = 2 }",
            "limit_body = 10",
            "when = 'PathPrefix(`/dead`)'\nforward = 'dead'",
        ];
        let rules: String = rules.iter().map(|it| rule("web", it)).collect();
        format!(
            "{}{more}{rules}{}{}retries = 1\n",
            listener("web", web, "app"),
            group("app", &[one.port]),
            group("dead", &[dead])
        )
    };
    let stage = Stage::new(&text(""));
    // What a dead target fails is not held.
    for _ in 0..4 {
        assert_eq!(status(&once(web, "/dead")), "502");
    }
    let in_flight = |count: &str| {
        eventually(format_args!("{count} in flight"), || {
            let line = "portway_listener_requests_in_flight{listener=\"web\"} ";
            (stage.metric(line) == count).then_some(())
        });
    };
    // A client has its answer a moment before its place is free.
    in_flight("0");
    let slow: Vec<_> = (0..2)
        .map(|_| thread::spawn(move || once(web, "/slow/3000")))
        .collect();
    in_flight("2");
    assert_eq!(status(&once(web, "/")), "429");
    stage.becomes(&text("max_connections = 900\n"));
    assert_eq!(status(&once(web, "/")), "429");
    for client in slow {
        assert_eq!(status(&client.join().unwrap()), "200");
    }
    in_flight("0");
    assert_eq!(status(&once(web, "/")), "200");

    let send = |text: &str| {
        let mut client = Client::new(web);
        client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{text}"));
        client.answer()
    };
    assert_eq!(status(&send("Content-Length: 10\r\n\r\n0123456789")), "200");
    assert_eq!(status(&send("Content-Length: 11\r\n\r\n")), "413");
    let chunked = "Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
    assert_eq!(status(&send(chunked)), "413");
}

/// Whether a connection is passed on.
pub(crate) fn passes(client: &mut TcpStream) -> bool {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let wait = Some(Duration::from_secs(20));
    client.set_read_timeout(wait).unwrap();
    client.write_all(request).is_ok() && client.read(&mut [0; 4096]).is_ok_and(|read| read > 0)
}

#[test]
fn connections_of_a_source_have_limits() {
    let one = Echo::start("one");
    let [tcp, rate, hello] = [(); 3].map(|()| free_port());
    let listens = |name: &str, port: u16| listener(name, port, "raw") + "protocol = 'tcp'\n";
    let text = |more: &str| {
        let twice = "limit_rate = { name = 'twice', average = 2, period = '1h', burst = 2 }";
        [
            listens("tcp", tcp),
            more.to_owned(),
            rule(
                "tcp",
                "phase = 'connection'\nlimit_concurrency = { name = 'two', amount = 2 }",
            ),
            listener("rate", rate, "app"),
            rule("rate", &format!("phase = 'session'\n{twice}")),
            format!("[listener.hello]\nbind = '127.0.0.1:{hello}'\nprotocol = 'tcp'\n"),
            rule(
                "hello",
                &format!(
                    "phase = 'client_hello'\n{}",
                    twice.replace("twice", "hello")
                ),
            ),
            rule(
                "hello",
                "phase = 'client_hello'\nwhen = 'payload_length >= 10'\nforward = 'raw'",
            ),
            group("app", &[one.port]),
            group("raw", &[one.port]) + "protocol = 'tcp'\n",
        ]
        .concat()
    };
    let stage = Stage::new(&text(""));
    let connect = |port| TcpStream::connect(local(port)).unwrap();
    let (mut first, mut second) = (connect(tcp), connect(tcp));
    assert!(passes(&mut first) && passes(&mut second));
    assert!(!passes(&mut connect(tcp)));
    stage.becomes(&text("max_connections = 900\n"));
    assert!(!passes(&mut connect(tcp)));
    assert!(passes(&mut first));
    let url = format!("http://127.0.0.1:{tcp}/");
    assert_eq!(
        stage.scene.status(&["--interface", "127.0.0.2", &url]),
        "200"
    );
    drop(first);
    eventually("room", || passes(&mut connect(tcp)).then_some(()));

    let let_in = (0..5).filter(|_| passes(&mut connect(rate))).count();
    assert_eq!(let_in, 2);
    // Bytes that come by pieces do not count a connection again.
    let mut pieces = connect(hello);
    for piece in [&b"GET"[..], b" / ", b"HTTP/1.1\r\n"] {
        pieces.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    pieces.write_all(b"Host: a\r\n\r\n").unwrap();
    assert!(pieces.read(&mut [0; 4096]).unwrap() > 0);
    assert!(passes(&mut connect(hello)));
    assert!(!passes(&mut connect(hello)));
    let closed = ["key_connections", "key_connection_rate"].map(|limit| {
        let line = format!("portway_limit_reached_total{{limit=\"{limit}\"}} ");
        stage.metric(&line).parse::<u32>().unwrap()
    });
    assert!(closed[0] >= 2 && closed[1] == 4, "{closed:?}");
}
