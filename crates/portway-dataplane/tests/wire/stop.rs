//! The graceful stop: idle connections go, exchanges finish, what is left is cut off at the deadline.

use crate::harness::{Proxy, simple};
use crate::row::{OK, same};
use portway_testkit::peer::{PATIENCE, Target, Wire, eventually};
use std::time::{Duration, Instant};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[test]
fn idle_connections_are_closed_at_once() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut fresh = proxy.client();
    let mut used = proxy.client();
    used.send(GET).unwrap();
    same("used", &used.message().unwrap(), OK);
    let begun = Instant::now();
    let address = proxy.address(0);
    proxy.drain(PATIENCE);
    assert_eq!(fresh.until_end().unwrap().0, b"");
    assert_eq!(used.until_end().unwrap().0, b"");
    let outcome = proxy.join();
    assert!(outcome.graceful && begun.elapsed() < PATIENCE / 2);
    assert_eq!(outcome.log.len(), 1);
    assert!(Wire::connect(address).is_err(), "nobody accepts");
    assert!(eventually(|| target.open() == 0), "pools are closed");
}

#[test]
fn an_exchange_finishes_and_says_that_it_was_the_last() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        std::thread::sleep(Duration::from_millis(700));
        wire.send(OK)?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut waiting = proxy.client();
    waiting.send(GET).unwrap();
    let mut in_its_body = proxy.client();
    in_its_body
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh")
        .unwrap();
    let mut in_its_head = proxy.client();
    in_its_head.send("GET / HT").unwrap();
    assert!(eventually(|| target.connections() == 2));
    std::thread::sleep(Duration::from_millis(200));
    proxy.drain(PATIENCE);
    std::thread::sleep(Duration::from_millis(200));
    in_its_body.send("i").unwrap();
    in_its_head.send("TP/1.1\r\nHost: a\r\n\r\n").unwrap();
    for client in [&mut waiting, &mut in_its_body, &mut in_its_head] {
        same("the last", &client.until_end().unwrap().0, CLOSING);
    }
    let outcome = proxy.join();
    assert!(outcome.graceful);
    assert_eq!(outcome.log.len(), 3);
}

#[test]
fn what_does_not_finish_is_cut_off_at_the_deadline() {
    let target = Target::start(|_, mut wire| {
        wire.send("hello")?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\nforward = \"raw\"\n[target_group.raw]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    assert_eq!(client.receive(5).unwrap(), b"hello");
    let begun = Instant::now();
    proxy.drain(Duration::from_millis(500));
    let outcome = proxy.join();
    assert!(!outcome.graceful);
    assert!(begun.elapsed() >= Duration::from_millis(500) && begun.elapsed() < PATIENCE / 2);
    assert_eq!(client.until_end().unwrap().0, b"");
    assert!(eventually(|| target.open() == 0));
    assert_eq!(outcome.log.len(), 1, "{:?}", outcome.log);
    assert!(
        outcome.log[0].contains("\"bytes_out\":5,")
            && outcome.log[0].contains("\"fault\":\"shutdown\""),
        "{}",
        outcome.log[0]
    );
}

#[test]
fn what_waits_in_the_queue_or_for_its_first_request_is_served() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut clients: Vec<Wire> = (0..50).map(|_| proxy.client()).collect();
    proxy.drain(PATIENCE);
    std::thread::sleep(Duration::from_millis(200));
    for client in &mut clients {
        client.send(GET).unwrap();
    }
    for client in &mut clients {
        same(
            "the first and last",
            &client.until_end().unwrap().0,
            CLOSING,
        );
    }
    let outcome = proxy.join();
    assert!(outcome.graceful);
    assert_eq!(outcome.log.len(), 50);
}

#[test]
fn an_exchange_that_is_cut_off_leaves_its_record() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    assert!(eventually(|| target.connections() == 1));
    proxy.drain(Duration::from_millis(300));
    let outcome = proxy.join();
    assert!(!outcome.graceful);
    assert_eq!(client.until_end().unwrap().0, b"");
    assert_eq!(outcome.log.len(), 1, "{:?}", outcome.log);
    assert!(
        outcome.log[0].contains("\"fault\":\"shutdown\""),
        "{}",
        outcome.log[0]
    );
}
