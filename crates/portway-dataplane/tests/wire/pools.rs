//! Connections to targets: used again, given up, and what may be sent twice.

use crate::harness::{Proxy, simple};
use crate::row::{OK, same};
use portway_testkit::peer::{Target, Wire};
use std::io;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

fn ask(client: &mut Wire, request: &str) -> String {
    client.send(request).unwrap();
    String::from_utf8(client.message().unwrap()).unwrap()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// Asks twice with a client each, the first answer being this; how many connections the target then saw.
fn connections_for(answer: &'static str, request: &str) -> usize {
    let target = Target::start(move |connection, mut wire| {
        if connection == 0 {
            wire.message()?;
            wire.send(answer)?;
        }
        loop {
            wire.message()?;
            wire.send(OK)?;
        }
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut first = proxy.client();
    first.send(request).unwrap();
    // Some of these answers have no end but that of the head, by design.
    first.head().unwrap();
    let mut second = proxy.client();
    // The first connection comes back to the pool after its answer was sent.
    std::thread::sleep(std::time::Duration::from_millis(50));
    same(answer, ask(&mut second, GET).as_bytes(), OK);
    drop((first, second));
    proxy.finish(2);
    target.connections()
}

#[test]
fn connections_are_used_again_where_that_is_safe() {
    let check = |answer, request: &str, connections| {
        assert_eq!(connections_for(answer, request), connections, "{answer:?}");
    };
    check(OK, GET, 1);
    check(OK, POST, 1);
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        GET,
        1,
    );
    check("HTTP/1.1 204 No Content\r\n\r\n", GET, 1);
    check(
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        GET,
        1,
    );
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        1,
    );
    check(
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        GET,
        1,
    );
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        GET,
        1,
    );
    // Not these:
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        GET,
        2,
    );
    check("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", GET, 2);
    check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", GET, 2);
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        GET,
        2,
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
        GET,
        2,
    );
    check(
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        GET,
        2,
    );
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        2,
    );
}

#[test]
fn a_client_that_closes_leaves_the_connection_to_the_next() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    for _ in 0..3 {
        let mut client = proxy.client();
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let (answer, _) = client.until_end().unwrap();
        same(
            "close",
            &answer,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        );
    }
    assert_eq!(target.connections(), 1);
    assert!(!target.received_in_all().contains("close"));
    proxy.finish(3);
}

#[test]
fn connections_of_other_clients_are_had_as_the_mode_says() {
    // Connections that three clients make with two requests each, one client after the other.
    for (mode, expected) in [("never", 3), ("safe", 3), ("aggressive", 1), ("always", 1)] {
        let target = Target::saying("ok").unwrap();
        let setting = format!("connection_reuse = \"{mode}\"");
        let proxy = Proxy::start(&simple("", &setting, &[target.address()]));
        for _ in 0..3 {
            let mut client = proxy.client();
            ask(&mut client, GET);
            ask(&mut client, GET);
        }
        assert_eq!(target.connections(), expected, "{mode}");
        if mode == "never" {
            assert!(portway_testkit::peer::eventually(|| target.open() == 0));
        }
        proxy.finish(6);
    }
    // One that has served one exchange is not had by a first one.
    let target = Target::saying("ok").unwrap();
    let setting = "connection_reuse = \"aggressive\"";
    let proxy = Proxy::start(&simple("", setting, &[target.address()]));
    for expected in [1, 2, 3] {
        ask(&mut proxy.client(), GET);
        assert_eq!(target.connections(), expected);
    }
    proxy.finish(3);
}

#[test]
fn a_pool_of_none_keeps_none() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("", "pool_size = 0", &[target.address()]));
    let mut client = proxy.client();
    for _ in 0..3 {
        ask(&mut client, GET);
    }
    assert_eq!(target.connections(), 3);
    drop(client);
    proxy.finish(3);
}

#[test]
fn of_more_than_the_pool_holds_the_new_one_is_closed() {
    let target = Target::saying("ok").unwrap();
    let settings = "pool_size = 1\nconnection_reuse = \"safe\"";
    let proxy = Proxy::start(&simple("", settings, &[target.address()]));
    let mut first = proxy.client();
    ask(&mut first, GET);
    let mut second = proxy.client();
    ask(&mut second, GET);
    assert_eq!(target.connections(), 2);
    assert!(portway_testkit::peer::eventually(|| target.open() == 1));
    ask(&mut second, GET);
    ask(&mut first, GET);
    assert_eq!(target.connections(), 2);
    drop((first, second));
    proxy.finish(4);
}

#[test]
fn idle_connections_are_closed_after_their_time() {
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple(
        "",
        "timeouts.idle = \"300ms\"",
        &[target.address()],
    ));
    let mut client = proxy.client();
    ask(&mut client, GET);
    assert!(portway_testkit::peer::eventually(|| target.open() == 0));
    ask(&mut client, GET);
    assert_eq!(target.connections(), 2);
    drop(client);
    proxy.finish(2);
}

#[test]
fn connections_are_used_as_often_as_said() {
    // What the group says, and how many connections five requests take.
    for (settings, expected) in [
        ("", 1),
        ("max_connection_requests = 1", 5),
        ("max_connection_requests = 2", 3),
        (
            "max_connection_requests = 2\nconnection_reuse = \"never\"",
            3,
        ),
        ("max_connection_requests = 5", 1),
        ("max_connection_age = \"1h\"", 1),
    ] {
        let target = Target::saying("ok").unwrap();
        let proxy = Proxy::start(&simple("", settings, &[target.address()]));
        let mut client = proxy.client();
        for _ in 0..5 {
            assert_eq!(status(&ask(&mut client, GET)), "200");
        }
        assert_eq!(target.connections(), expected, "{settings}");
        drop(client);
        proxy.finish(5);
    }
}

/// True where the client is told that this answer is the last.
fn closes(answer: &str) -> bool {
    assert_eq!(status(answer), "200");
    answer.to_lowercase().contains("connection: close")
}

#[test]
fn clients_are_told_which_request_of_a_connection_is_the_last() {
    for last in [1, 3] {
        let target = Target::saying("ok").unwrap();
        let settings = format!("max_connection_requests = {last}");
        let proxy = Proxy::start(&simple(&settings, "", &[target.address()]));
        let mut client = proxy.client();
        for number in 1..=last {
            assert_eq!(closes(&ask(&mut client, GET)), number == last);
        }
        assert!(client.until_end().unwrap().0.is_empty());
        drop(client);
        proxy.finish(last);
    }
}

#[test]
fn connections_that_are_old_serve_one_more_request() {
    let target = Target::saying("ok").unwrap();
    let aged = "max_connection_age = \"1s\"";
    let proxy = Proxy::start(&simple(aged, aged, &[target.address()]));
    let mut client = proxy.client();
    let mut asked = 1;
    while !closes(&ask(&mut client, GET)) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        asked += 1;
    }
    assert!(asked > 1);
    assert!(client.until_end().unwrap().0.is_empty());
    // That to the target is as old.
    assert!(portway_testkit::peer::eventually(|| {
        ask(&mut proxy.client(), GET);
        asked += 1;
        target.connections() == 2
    }));
    proxy.finish(asked);
}

/// A target that serves the first request and closes its connection in this way at the second; all others it serves.
fn fickle(close: impl Fn(Wire) -> io::Result<()> + Send + Sync + 'static) -> Target {
    Target::start(move |connection, mut wire| {
        if connection == 0 {
            wire.message()?;
            wire.send(OK)?;
            wire.receive(1)?;
            return close(wire);
        }
        loop {
            wire.message()?;
            wire.send(OK)?;
        }
    })
    .unwrap()
}

#[test]
fn what_is_lost_on_an_old_connection_is_sent_again_only_if_it_may_be() {
    let check = |name: &str, request: &str, reset: bool, expected: &str, attempts: &str| {
        println!("{name}");
        let target = fickle(move |wire| match reset {
            true => wire.reset(),
            false => Ok(()),
        });
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        ask(&mut client, GET);
        assert_eq!(status(&ask(&mut client, request)), expected, "{name}");
        drop(client);
        let log = proxy.finish(2);
        assert!(log[1].contains(attempts), "{name}: {}", log[1]);
    };
    let put = POST.replace("POST", "PUT");
    let delete = GET.replace("GET", "DELETE");
    check("GET", GET, false, "200", "\"attempts\":2");
    check("GET, reset", GET, true, "200", "\"attempts\":2");
    check("DELETE", &delete, false, "200", "\"attempts\":2");
    check("POST", POST, false, "502", "\"attempts\":1");
    check("POST, reset", POST, true, "502", "\"attempts\":1");
    check(
        "PUT with a body that is gone",
        &put,
        true,
        "502",
        "\"attempts\":1",
    );
    check(
        "POST without a body",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        false,
        "502",
        "\"attempts\":1",
    );
}

#[test]
fn a_connection_that_was_closed_while_idle_is_not_used() {
    for request in [GET, POST] {
        let target = Target::start(|connection, mut wire| {
            let requests = if connection == 0 { 1 } else { usize::MAX };
            for _ in 0..requests {
                wire.message()?;
                wire.send(OK)?;
            }
            Ok(())
        })
        .unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        ask(&mut client, GET);
        assert!(portway_testkit::peer::eventually(|| target.open() == 0));
        same(request, ask(&mut client, request).as_bytes(), OK);
        assert_eq!(target.connections(), 2);
        drop(client);
        let log = proxy.finish(2);
        assert!(log[1].contains("\"attempts\":1"), "{}", log[1]);
    }
}

#[test]
fn a_fresh_connection_that_breaks_is_tried_once_more() {
    let check = |name: &str, request: &str, expected: &str, connections| {
        let target = Target::start(|_, mut wire| wire.message().map(drop)).unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        assert_eq!(status(&ask(&mut client, request)), expected, "{name}");
        assert_eq!(target.connections(), connections, "{name}");
        drop(client);
        proxy.finish(1);
    };
    check("GET", GET, "502", 2);
    check("POST", POST, "502", 1);
}

/// Two listeners that share a target, each on a worker of its own.
fn apart(target: &Target) -> Proxy {
    let other = "[listener.other]\nbind = \"@1\"\nforward = \"app\"\n";
    Proxy::start_apart(&format!("{}{other}", simple("", "", &[target.address()])))
}

#[test]
fn a_worker_takes_over_what_another_has_idle() {
    let target = Target::saying("ok").unwrap();
    let proxy = apart(&target);
    for turn in 0..6 {
        let mut client = Wire::connect(proxy.address(turn % 2)).unwrap();
        assert_eq!(status(&ask(&mut client, GET)), "200");
        assert_eq!(status(&ask(&mut client, POST)), "200");
        drop(client);
        proxy.quiet();
    }
    assert_eq!(target.connections(), 1);
    assert_eq!(proxy.sum("portway_target_connections_idle"), 1);
    proxy.finish(12);
}

#[test]
fn what_was_taken_over_may_have_ended() {
    // The target closes after an answer, without a word.
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send(OK)
    })
    .unwrap();
    let proxy = apart(&target);
    for turn in 0..4 {
        let mut client = Wire::connect(proxy.address(turn % 2)).unwrap();
        assert_eq!(status(&ask(&mut client, POST)), "200");
        drop(client);
        proxy.quiet();
        assert!(portway_testkit::peer::eventually(|| target.open() == 0));
    }
    assert_eq!(target.connections(), 4);
    proxy.finish(4);
}

#[test]
fn workers_take_from_each_other_under_load() {
    let target = Target::saying("ok").unwrap();
    let proxy = apart(&target);
    std::thread::scope(|scope| {
        for turn in 0..8 {
            let proxy = &proxy;
            scope.spawn(move || {
                for _ in 0..100 {
                    let mut client = Wire::connect(proxy.address(turn % 2)).unwrap();
                    assert_eq!(status(&ask(&mut client, GET)), "200");
                }
            });
        }
    });
    assert!(target.connections() < 800, "{}", target.connections());
    proxy.finish(800);
}
