//! Silence, and what comes of it: of clients, of targets, in heads and in bodies.

use crate::harness::{Proxy, simple};
use crate::row::{OK, same};
use portway_testkit::peer::{Target, Wire, eventually};
use std::time::{Duration, Instant};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn who_waits_for_room_is_served_at_the_stop() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("max_connections = 1\n", "", &[target.address()]));
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut first = proxy.client();
    first.send(request).unwrap();
    first.message().unwrap();
    let mut second = proxy.client();
    second.send(request).unwrap();
    let sample = "portway_limit_reached_total{limit=\"listener_connections\"}";
    assert!(eventually(|| proxy.metric(sample) == 1));
    proxy.drain(Duration::from_secs(10));
    assert!(second.message().unwrap().ends_with(b"ok"));
    drop((first, second));
    assert!(proxy.join().graceful);
}

#[test]
fn who_comes_to_a_full_listener_waits() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("max_connections = 2\n", "", &[target.address()]));
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let ask = |client: &mut Wire| {
        client.send(request).unwrap();
        client.message().unwrap()
    };
    let (mut first, mut second) = (proxy.client(), proxy.client());
    ask(&mut first);
    ask(&mut second);
    let mut waiting: Vec<Wire> = (0..5).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send(request).unwrap();
    }
    let sample = "portway_limit_reached_total{limit=\"listener_connections\"}";
    assert!(eventually(|| proxy.metric(sample) == 1));
    assert_eq!(proxy.sum("portway_listener_connections_open"), 2);
    // Those that are in are served on.
    ask(&mut first);
    drop((first, second));
    for mut client in waiting {
        assert!(client.message().unwrap().ends_with(b"ok"));
    }
    proxy.finish(8);
}

#[test]
fn who_comes_too_soon_waits() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("max_session_rate = 1\n", "", &[target.address()]));
    // How long they wait is tested where that is computed.
    let mut clients: Vec<Wire> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(GET).unwrap();
    }
    for client in &mut clients {
        assert!(client.message().unwrap().ends_with(b"ok"));
    }
    let sample = "portway_limit_reached_total{limit=\"connection_rate\"}";
    assert!(proxy.metric(sample) >= 1);
    drop(clients);
    proxy.finish(3);
}

#[test]
fn a_head_byte_by_byte_is_fine_within_its_time() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    for byte in GET.bytes() {
        client.send([byte]).unwrap();
        pause(5);
    }
    assert_eq!(client.message().unwrap(), OK.as_bytes());
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let target = Target::saying("never").unwrap();
    let proxy = Proxy::start(&simple(
        "timeouts.request_head = \"500ms\"",
        "",
        &[target.address()],
    ));
    let mut client = proxy.client();
    let begun = Instant::now();
    // Every byte comes in time; the head does not.
    for byte in GET.bytes().cycle() {
        if client.send([byte & 0x5f | 0x40]).is_err() || begun.elapsed() > Duration::from_secs(1) {
            break;
        }
        pause(50);
    }
    let (reply, _) = client.until_end().unwrap();
    assert!(
        reply.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("\"status\":408"), "{}", log[0]);
    assert_eq!(target.connections(), 0);
}

#[test]
fn a_head_that_goes_on_coming_has_time_where_its_time_renews() {
    let target = Target::saying("ok").unwrap();
    let settings = "timeouts = { request_head = \"500ms\", request_head_renews = true }";
    let proxy = Proxy::start(&simple(settings, "", &[target.address()]));
    let mut client = proxy.client();
    for byte in GET.bytes() {
        client.send([byte]).unwrap();
        pause(50);
    }
    assert_eq!(client.message().unwrap(), OK.as_bytes());
    client.send("GET / HTTP/1.1\r\n").unwrap();
    let (reply, _) = client.until_end().unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 408 "));
    drop(client);
    proxy.finish(2);
}

#[test]
fn who_says_nothing_gets_an_answer_or_none() {
    let check = |settings: &str, expected: &str| {
        let target = Target::saying("never").unwrap();
        let settings =
            format!("own_answers = \"haproxy\"\ntimeouts.request_head = \"300ms\"\n{settings}");
        let proxy = Proxy::start(&simple(&settings, "", &[target.address()]));
        let (mut waits, mut ends) = (proxy.client(), proxy.client());
        ends.half_close().unwrap();
        for client in [&mut waits, &mut ends] {
            let (reply, _) = client.until_end().unwrap();
            let reply = String::from_utf8_lossy(&reply).into_owned();
            assert_eq!(reply.get(..10).unwrap_or_default(), expected, "{reply}");
        }
    };
    check("", "HTTP/1.1 4");
    check("ignore_probes = true", "");
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple(
        "timeouts.keep_alive = \"300ms\"",
        "",
        &[target.address()],
    ));
    let mut fresh = proxy.client();
    let mut used = proxy.client();
    used.send(GET).unwrap();
    assert_eq!(used.message().unwrap(), OK.as_bytes());
    assert_eq!(used.until_end().unwrap().0, b"");
    assert_eq!(fresh.until_end().unwrap().0, b"");
    drop((fresh, used));
    proxy.finish(1);
}

#[test]
fn a_client_that_falls_silent_in_its_body_is_given_up() {
    let target = Target::start(|_, mut wire| wire.until_end().map(drop)).unwrap();
    let proxy = Proxy::start(&simple(
        "timeouts.client = \"400ms\"",
        "",
        &[target.address()],
    ));
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        .unwrap();
    // Slow is not silent.
    for _ in 0..6 {
        client.send("x").unwrap();
        pause(150);
    }
    let (reply, _) = client.until_end().unwrap();
    assert!(
        reply.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    assert!(eventually(|| target.open() == 0), "the target is told");
    assert!(target.received_in_all().ends_with("xxxxxx"));
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_body_that_is_held_has_time_while_it_comes() {
    let target = Target::saying("ok").unwrap();
    let settings = "timeouts = { client = \"1s\" }";
    let proxy = Proxy::start(&simple(
        settings,
        "retry_body_bytes = 1000",
        &[target.address()],
    ));
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n")
        .unwrap();
    for _ in 0..8 {
        pause(200);
        client.send("x").unwrap();
    }
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 200"));
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nx")
        .unwrap();
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 408"));
    drop(client);
    proxy.finish(2);
}

#[test]
fn a_target_that_does_not_answer_is_given_up() {
    let target = Target::start(|_, mut wire| wire.until_end().map(drop)).unwrap();
    let proxy = Proxy::start(&simple(
        "",
        "timeouts.response = \"300ms\"",
        &[target.address()],
    ));
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(GET).unwrap();
        assert!(
            client.message().unwrap().starts_with(b"HTTP/1.1 504 "),
            "and the client may go on"
        );
    }
    assert!(eventually(|| target.open() == 0), "the target is told");
    assert_eq!(target.connections(), 2, "no second attempt");
    drop(client);
    proxy.finish(2);
}

#[test]
fn a_target_that_falls_silent_in_its_body_is_given_up() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")?;
        for _ in 0..6 {
            wire.send("x")?;
            pause(150);
        }
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple(
        "",
        "timeouts.response = \"400ms\"",
        &[target.address()],
    ));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    let (reply, _) = client.until_end().unwrap();
    assert!(
        reply.ends_with(b"\r\n\r\nxxxxxx"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    assert!(eventually(|| target.open() == 0), "the target is told");
    drop(client);
    let log = proxy.finish(1);
    assert!(!log[0].contains("\"fault\":null"), "{}", log[0]);
}

#[test]
fn waiting_for_a_target_does_not_count_as_silence_of_the_client() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        pause(900);
        wire.send(OK)?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let settings =
        "timeouts = { client = \"300ms\", keep_alive = \"300ms\", request_head = \"300ms\" }";
    let proxy = Proxy::start(&simple(settings, "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        .unwrap();
    assert_eq!(client.message().unwrap(), OK.as_bytes());
    drop(client);
    proxy.finish(1);
}

#[test]
fn an_empty_line_after_a_body_is_no_request() {
    let target = Target::saying("ok").unwrap();
    let timeouts = "timeouts = { request_head = \"1s\", keep_alive = \"20s\" }\n";
    let proxy = Proxy::start(&simple(timeouts, "", &[target.address()]));
    let mut client = proxy.client();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n";
    client.send(post).unwrap();
    same("the first", &client.message().unwrap(), OK);
    assert!(
        client.is_quiet(Duration::from_millis(1_600)).unwrap(),
        "no 408"
    );
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    same("the second", &client.message().unwrap(), OK);
    drop(client);
    proxy.finish(2);
}
