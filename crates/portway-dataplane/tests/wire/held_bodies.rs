//! Bodies that are held, so that their requests can be made again.

use crate::harness::{Proxy, simple};
use portway_testkit::peer::Target;
use std::time::Duration;

/// A listener and group that hold bodies of this many bytes.
fn holding(listener: &str, most: u32, target: &Target, more: &str) -> Proxy {
    let group = format!("retry_body_bytes = {most}\n{more}");
    Proxy::start(&simple(listener, &group, &[target.address()]))
}

#[test]
fn a_held_body_is_no_request_where_a_page_stands_for_the_answer() {
    let app = Target::answering(&[&["HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]]).unwrap();
    let pages = Target::saying("sorry").unwrap();
    let rule = "[[listener.web.rule]]\npage_from = { status = \"400-599\", forward = \"pages\", target = \"/sorry\" }\n";
    let more = format!(
        "[target_group.pages]\ntargets = [\"{}\"]\n",
        pages.address()
    );
    let proxy = holding(rule, 1000, &app, &more);
    let mut client = proxy.client();
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = body.len();
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .unwrap();
    assert!(client.message().unwrap().ends_with(b"sorry"));
    assert!(client.is_quiet(Duration::from_millis(300)).unwrap());
    drop(client);
    proxy.finish(1);
    let all = app.received_in_all() + &pages.received_in_all();
    assert_eq!(all.matches("GET /smuggled").count(), 1, "{all}");
    assert!(!pages.received_in_all().contains("smuggled"));
}

#[test]
fn a_body_in_chunks_that_is_too_long_goes_on_at_once() {
    let target = Target::start(|_, mut wire| {
        wire.head()?;
        wire.receive(1000)?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    })
    .unwrap();
    let proxy = holding("", 100, &target, "");
    let mut client = proxy.client();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client
        .send(format!("{head}3e8\r\n{}\r\n", "x".repeat(1000)))
        .unwrap();
    // It is answered before it has ended.
    assert!(client.message().unwrap().ends_with(b"ok"));
    let too_long =
        "portway_target_group_held_bodies_total{target_group=\"app\",result=\"too_long\"}";
    assert_eq!(proxy.metric(too_long), 1);
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_body_that_is_held_comes_as_fast_as_is_demanded() {
    let target = Target::saying("ok").unwrap();
    let demand = "min_rate = { request = 500, grace = \"1s\" }\n";
    let proxy = holding(demand, 1000, &target, "");
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        .unwrap();
    let slow = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        client.send("x").is_err() || proxy.metric(TOO_SLOW) == 1
    });
    assert!(slow);
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 408"));
    assert_eq!(target.connections(), 0);
    drop(client);
    proxy.finish(1);
}

const TOO_SLOW: &str = "portway_limit_reached_total{limit=\"client_rate\"}";
