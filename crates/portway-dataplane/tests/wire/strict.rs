//! Requests that are refused: with the right status, a closed connection, a count, and not a byte to any target.

use crate::harness::{Proxy, simple};
use portway_testkit::peer::Target;

const TAIL: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn bad_requests_are_refused() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    let long_head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: 1\r\n".repeat(200)
    );
    let rows: &[(&str, u16, &str)] = &[
        ("no request at all\r\n\r\n", 400, ""),
        ("GET /\r\n\r\n", 400, ""),
        ("GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            "duplicate_host",
        ),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_host"),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bare_lf"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            400,
            "bare_cr",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "nul"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
            400,
            "obs_fold",
        ),
        (
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            400,
            "whitespace_before_colon",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, ""),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
            400,
            "empty_name",
        ),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method"),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target_form"),
        ("GET / HTTP/1.x\r\nHost: a\r\n\r\n", 400, "bad_version"),
        (
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            505,
            "unsupported_version",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http2_preface"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "te_and_cl",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            400,
            "duplicate_content_length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
            400,
            "duplicate_content_length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
            400,
            "bad_content_length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
            400,
            "bad_content_length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            400,
            "content_length_overflow",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "unknown_transfer_coding",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            400,
            "chunked_not_final",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            400,
            "chunked_not_final",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "chunked_twice",
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "te_in_http10",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx",
            400,
            "body_on_connect",
        ),
        (&long_target, 414, "uri_too_long"),
        (&long_head, 431, "head_too_large"),
        (&many, 431, "too_many_fields"),
    ];
    let target = Target::saying("never").unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    for (request, status, reason) in rows {
        let name: String = request.chars().take(60).collect();
        println!("{name:?}");
        let sample = format!(
            "portway_listener_refused_requests_total{{listener=\"web\",reason=\"{reason}\"}}"
        );
        let before = (
            proxy.sum("portway_listener_refused_requests_total"),
            proxy.metric(&sample),
        );
        let mut client = proxy.client();
        client.send([request, TAIL].concat()).unwrap();
        let (reply, _) = client.until_end().unwrap();
        let reply = String::from_utf8(reply).unwrap();
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status} ")),
            "{name:?}: {reply:?}"
        );
        assert!(
            reply.contains("\r\nConnection: close\r\n"),
            "{name:?}: {reply}"
        );
        assert_eq!(reply.matches("HTTP/1.1").count(), 1, "{name:?}: {reply}");
        drop(client);
        proxy.quiet();
        assert_eq!(
            proxy.sum("portway_listener_refused_requests_total"),
            before.0 + 1,
            "{name:?}"
        );
        if !reason.is_empty() {
            assert_eq!(
                proxy.metric(&sample),
                before.1 + 1,
                "{name:?}: {}",
                proxy.metrics()
            );
        }
    }
    assert_eq!(target.connections(), 0);
    proxy.finish(rows.len());
}

#[test]
fn bad_chunks_end_the_exchange() {
    for (body, reason) in [
        ("x\r\n", "bad_chunk_size"),
        ("-1\r\n", "bad_chunk_size"),
        ("0x5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        ("5\nhello\r\n0\r\n\r\n", ""),
        ("5\r\nhelloX\r\n0\r\n\r\n", "bad_chunk_end"),
        ("11111111111111111\r\n", "chunk_size_overflow"),
        ("2\r\nhi\r\n0\r\nX : 1\r\n\r\n", ""),
        ("2\r\nhi\r\n0\r\nContent-Length\r\n\r\n", ""),
    ] {
        println!("{body:?}");
        let target = Target::start(|_, mut wire| wire.until_end().map(drop)).unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send([head, body, TAIL].concat()).unwrap();
        let (reply, _) = client.until_end().unwrap();
        assert!(
            reply.starts_with(b"HTTP/1.1 400 "),
            "{body:?}: {}",
            String::from_utf8_lossy(&reply)
        );
        assert!(
            portway_testkit::peer::eventually(|| target.open() == 0),
            "{body:?}"
        );
        let received = target.received_in_all();
        assert!(
            !received.contains("smuggled") && !received.contains("\r\n0\r\n"),
            "{body:?}: {received:?}"
        );
        drop(client);
        proxy.quiet();
        let sample = format!(
            "portway_listener_refused_requests_total{{listener=\"web\",reason=\"{reason}\"}}"
        );
        if !reason.is_empty() {
            assert_eq!(proxy.metric(&sample), 1, "{body:?}");
        }
        proxy.finish(1);
    }
}

#[test]
fn tls_on_a_port_in_clear_is_closed_without_a_word() {
    let target = Target::saying("never").unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, 0, 0, 0, 0, 0])
        .unwrap();
    assert_eq!(client.until_end().unwrap().0, b"");
    drop(client);
    proxy.quiet();
    let sample =
        "portway_listener_refused_requests_total{listener=\"web\",reason=\"tls_on_plain_port\"}";
    assert_eq!(proxy.metric(sample), 1);
    proxy.finish(1);
    assert_eq!(target.connections(), 0);
}

#[test]
fn the_size_of_a_head_is_the_listeners() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("head_bytes = 2048", "", &[target.address()]));
    let head = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    let mut client = proxy.client();
    client.send(head(2048)).unwrap();
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 200 "));
    client.send(head(2049)).unwrap();
    assert!(client.until_end().unwrap().0.starts_with(b"HTTP/1.1 431 "));
    drop(client);
    proxy.finish(2);
}

#[test]
fn a_large_head_within_its_limit_arrives() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X-Long: 0123456789\r\n".repeat(100) + &format!("Y: {}\r\n", "y".repeat(60_000))
    );
    let mut client = proxy.client();
    // Twice: what a buffer grew to must not be lost on the next.
    for _ in 0..2 {
        client
            .send_pieces(&[&head[..30_000], &head[30_000..50_000], &head[50_000..]])
            .unwrap();
        assert!(client.message().unwrap().starts_with(b"HTTP/1.1 200 "));
    }
    assert_eq!(target.received_in_all(), head.repeat(2));
    drop(client);
    proxy.finish(2);
}
