//! Responses that are not what they should be, and targets that end in the middle.

use crate::harness::{Proxy, simple};
use portway_testkit::peer::{End, Target};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn what_is_no_response_becomes_502() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(70_000)
    );
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "X: 1\r\n".repeat(200)
    );
    let rows: &[(&str, &str)] = &[
        ("no HTTP", "hello\r\n\r\n"),
        ("a request", "GET / HTTP/1.1\r\n\r\n"),
        (
            "a status of two digits",
            "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a status of letters",
            "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "another version",
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        ("a head cut short", "HTTP/1.1 200 OK\r\nContent-"),
        (
            "length and chunked",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            "a list of lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        ),
        (
            "a negative length",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ),
        (
            "an unknown coding",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ),
        (
            "chunked in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a folded line",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a space before the colon",
            "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        ),
        (
            "NUL",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "switching without being asked",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            "a bad chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhelX\r\n0\r\n\r\n",
        ),
        ("a head that is too long", &long),
        ("a head of too many fields", &many),
    ];
    for (name, answer) in rows {
        println!("{name}");
        let answer = answer.to_string();
        let target = Target::start(move |_, mut wire| {
            wire.message()?;
            wire.send(&answer)
        })
        .unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        client.send(GET).unwrap();
        let reply = String::from_utf8(client.message().unwrap()).unwrap();
        assert!(
            reply.starts_with("HTTP/1.1 502 Bad Gateway\r\n"),
            "{name}: {reply}"
        );
        // The fault is the target's: the client may go on.
        client.send(GET).unwrap();
        assert!(
            client.message().unwrap().starts_with(b"HTTP/1.1 502 "),
            "{name}"
        );
        assert_eq!(target.connections(), 2, "{name}: never used again");
        drop(client);
        let log = proxy.finish(2);
        assert!(log[0].contains("\"status\":502"), "{name}: {}", log[0]);
        assert!(!log[0].contains("\"fault\":null"), "{name}: {}", log[0]);
    }
}

#[test]
fn a_body_that_ends_too_early_is_not_passed_off_as_whole() {
    let check_pieces =
        |name: &str, answer: &'static [&'static str], reset: bool, received: &str| {
            println!("{name}");
            let target = Target::start(move |_, mut wire| {
                wire.message()?;
                wire.send_pieces(answer)?;
                if reset {
                    std::thread::sleep(portway_testkit::peer::BETWEEN_PIECES);
                    return wire.reset();
                }
                Ok(())
            })
            .unwrap();
            let proxy = Proxy::start(&simple("", "", &[target.address()]));
            let mut client = proxy.client();
            client.send([GET, GET].concat()).unwrap();
            let (got, _) = client.until_end().unwrap();
            crate::row::same(name, &got, received);
            assert_eq!(
                target.connections(),
                1,
                "{name}: neither again nor another request"
            );
            drop(client);
            let log = proxy.finish(1);
            assert!(!log[0].contains("\"fault\":null"), "{name}: {}", log[0]);
        };
    let length = &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"];
    check_pieces("a length, closed", length, false, length[0]);
    check_pieces("a length, reset", length, true, length[0]);
    let chunked = &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"];
    check_pieces("chunks, closed", chunked, false, chunked[0]);
    check_pieces("chunks, reset", chunked, true, chunked[0]);
    check_pieces(
        "a bad chunk behind a good one",
        &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
            "X\r\n0\r\n\r\n",
        ],
        false,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
    );
    check_pieces(
        "the end of what only the end delimits, reset",
        &["HTTP/1.1 200 OK\r\n\r\nhel"],
        true,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
    );
}

#[test]
fn http_1_0_clients_can_tell_a_cut_body_from_a_whole_one() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n")
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    // Only the way in which the connection ends can say it.
    assert_eq!(client.until_end().unwrap().1, End::Reset);
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_response_before_its_time_reaches_a_client_that_still_sends() {
    let answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!";
    let expected = answer.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for hold in [true, false] {
        let target = Target::start(move |_, mut wire| {
            wire.head()?;
            wire.send(answer)?;
            if hold {
                wire.until_end()?;
            }
            Ok(())
        })
        .unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
            .unwrap();
        let mut sent = 0;
        while sent < 300_000 && client.send(vec![b'x'; 30_000]).is_ok() {
            sent += 30_000;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        crate::row::same("early", &client.until_end().unwrap().0, &expected);
        drop(client);
        let log = proxy.finish(1);
        assert!(log[0].contains("\"status\":413"), "{}", log[0]);
    }
}

#[test]
fn a_client_that_waits_for_100_gets_it_and_sends_its_body() {
    let target = Target::start(|_, mut wire| {
        let head = wire.head()?;
        assert!(String::from_utf8_lossy(&head).contains("Expect: 100-continue\r\n"));
        wire.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        wire.receive(5)?;
        wire.send(crate::row::OK)?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .unwrap();
    crate::row::same(
        "100",
        &client.head().unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\n",
    );
    client.send("hello").unwrap();
    crate::row::same("final", &client.message().unwrap(), crate::row::OK);
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_client_that_waits_for_100_and_is_refused_sends_nothing() {
    let answer = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    let target = Target::answering(&[&[answer]]).unwrap();
    let target = Target::start({
        drop(target);
        move |_, mut wire| {
            wire.head()?;
            wire.send(answer)?;
            wire.until_end().map(drop)
        }
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .unwrap();
    let (got, _) = client.until_end().unwrap();
    crate::row::same(
        "417",
        &got,
        &answer.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_client_that_gives_its_upload_up_still_gets_the_answer_that_has_begun() {
    let target = Target::start(|_, mut wire| {
        wire.head()?;
        wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 6\r\n\r\nno")?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        wire.send(", no")
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello")
        .unwrap();
    client.head().unwrap();
    client.half_close().unwrap();
    crate::row::same("the rest", &client.until_end().unwrap().0, "no, no");
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_half_closed_client_gets_its_response() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        std::thread::sleep(std::time::Duration::from_millis(100));
        wire.send(crate::row::OK)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    client.half_close().unwrap();
    crate::row::same(
        "half-closed",
        &client.until_end().unwrap().0,
        crate::row::OK,
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn clients_that_reset_leave_one_record_each() {
    let target = Target::start(|_, mut wire| {
        let head = String::from_utf8_lossy(&wire.head()?).into_owned();
        if head.starts_with("GET") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")?;
            wire.flood(100_000_000, portway_testkit::peer::PATIENCE)?;
        }
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    client.receive(100_000).unwrap();
    client.reset().unwrap();
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello")
        .unwrap();
    assert!(portway_testkit::peer::eventually(
        || target.connections() == 2
    ));
    client.reset().unwrap();
    let mut client = proxy.client();
    client.send("GET / HT").unwrap();
    client.reset().unwrap();
    proxy.client().reset().unwrap();
    // Nothing stays open on the other side either.
    proxy.quiet();
    assert!(portway_testkit::peer::eventually(|| target.open() == 0));
    // Two with a whole head, one with a part of it.
    proxy.finish(3);
}

/// Sends these interim responses at once, and the final one a while later; what the client gets.
fn after_interims(interims: String) -> String {
    let target = Target::start(move |_, mut wire| {
        wire.message()?;
        wire.send(&interims)?;
        std::thread::sleep(std::time::Duration::from_millis(100));
        wire.send(crate::row::OK)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "retries = 0", &[target.address()]));
    let mut client = proxy.client();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let got = client.until_end().unwrap().0;
    drop(client);
    proxy.finish(1);
    String::from_utf8(got).unwrap()
}

#[test]
fn interim_responses_that_fill_a_buffer_to_its_brim_are_relayed() {
    // A buffer has 32 KiB: 8 heads of 4 KiB, read at once.
    let one = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n",
        "x".repeat(4058)
    );
    assert_eq!(one.len(), 4096);
    let got = after_interims(one.repeat(8));
    let rest = got.strip_prefix(&one.repeat(8)).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"), "{rest}");
}

#[test]
fn interim_responses_without_end_are_a_fault() {
    let got = after_interims("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000));
    assert!(
        got.contains("\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n"),
        "{got}"
    );
    assert!(got.matches("HTTP/1.1 103").count() < 100);
}

#[test]
fn what_a_client_sends_after_its_last_request_does_not_cost_it_the_response() {
    let size = 3_000_000;
    // The body comes when the client has sent more.
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let waits = std::sync::Mutex::new(waits);
    let target = Target::start(move |_, mut wire| {
        wire.message()?;
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"))?;
        waits.lock().unwrap().recv().unwrap();
        wire.flood(size, portway_testkit::peer::PATIENCE).map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = portway_testkit::peer::Wire::connect_small(proxy.address(0)).unwrap();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let head = client.head().unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200 "));
    client.send(vec![b'x'; 10_000]).unwrap();
    go_on.send(()).unwrap();
    let mut received = 0;
    while received < size {
        received += client.receive(100_000.min(size - received)).unwrap().len();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    drop(client);
    proxy.finish(1);
}

#[test]
fn an_upgrade_before_the_request_is_whole_is_a_fault() {
    let target = Target::start(|_, mut wire| {
        wire.head()?;
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        )?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        .unwrap();
    let got = client.until_end().unwrap().0;
    assert!(
        got.starts_with(b"HTTP/1.1 502 "),
        "{}",
        String::from_utf8_lossy(&got)
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn our_own_answers_to_head_have_no_body() {
    let dead = Target::refusing().unwrap();
    let proxy = Proxy::start(&simple("", "", &[dead]));
    let mut client = proxy.client();
    client
        .send(["HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", GET].concat())
        .unwrap();
    let head = String::from_utf8(client.head().unwrap()).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 502 ") && !head.contains("Content-Length: 0\r\n"),
        "{head}"
    );
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 502 "));
    drop(client);
    proxy.finish(2);
}
