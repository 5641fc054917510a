//! Limits that rules put on requests: how long bodies may be, how many may come, how many are served at once.

use crate::harness::{PLAIN, Proxy};
use crate::row::{OK, same};
use portway_testkit::peer::{End, Target, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A listener with this limit in front of a target.
fn start(limit: &str, target: &Target) -> Proxy {
    Proxy::start(&format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n{PLAIN}[[listener.web.rule]]\n{limit}\n\
         [target_group.app]\ntargets = [\"{}\"]\n",
        target.address()
    ))
}

/// How often a limit was reached.
fn reached(proxy: &Proxy, limit: &str) -> i64 {
    proxy.metric(&format!("portway_limit_reached_total{{limit=\"{limit}\"}}"))
}

#[track_caller]
fn status(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    let status = text.get(9..12).and_then(|it| it.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {text}"))
}

#[test]
fn request_bodies_have_a_limit() {
    let check = |pieces: &[&str], expected: u16, end: Option<End>, arrives: &str| {
        let target = Target::answering(&[&[OK]]).unwrap();
        let proxy = start("limit_body = 5", &target);
        let mut client = proxy.client();
        client.send_pieces(pieces).unwrap();
        let mut arrived = String::new();
        let records = match end {
            Some(end) => {
                let (answer, ended) = client.until_end().unwrap();
                assert_eq!((status(&answer), ended), (expected, end), "{pieces:?}");
                assert_eq!(reached(&proxy, "request_body_bytes"), 1, "{pieces:?}");
                1
            }
            None => {
                assert_eq!(status(&client.message().unwrap()), expected, "{pieces:?}");
                arrived = target.received_in_all();
                client.send(GET).unwrap();
                assert_eq!(status(&client.message().unwrap()), 200, "{pieces:?}");
                2
            }
        };
        if end.is_some() {
            arrived = target.received_in_all();
        }
        let body = arrived.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert_eq!(body, arrives, "{pieces:?}");
        drop(client);
        proxy.finish(records);
    };
    let sized = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&[&format!("{sized}5\r\n\r\nabcde")], 200, None, "abcde");
    check(&[&format!("{sized}6\r\n\r\n")], 413, Some(End::Closed), "");
    check(
        &[&format!("{sized}9999999\r\nExpect: 100-continue\r\n\r\n")],
        413,
        Some(End::Closed),
        "",
    );
    // All of it is here: the connection may go on.
    check(&[&format!("{sized}6\r\n\r\nabcdef")], 413, None, "");
    check(
        &[chunked, "5\r\nabcde\r\n0\r\n\r\n"],
        200,
        None,
        "5\r\nabcde\r\n0",
    );
    check(
        &[chunked, "6\r\nabcdef\r\n0\r\n\r\n"],
        413,
        Some(End::Closed),
        "",
    );
    check(
        &[chunked, "3\r\nabc\r\n", "3\r\ndef\r\n"],
        413,
        Some(End::Closed),
        "3\r\nabc\r\n",
    );
}

#[test]
fn response_bodies_have_a_limit() {
    let check = |request: &str, response: &[&str], expected: &str, reach: i64| {
        let target = Target::start({
            let response: Vec<String> = response.iter().map(|it| (*it).to_owned()).collect();
            move |_, mut wire| {
                wire.message()?;
                wire.send_pieces(&response)
            }
        })
        .unwrap();
        let limit = "limit_body = { request = 100, response = 5 }";
        let proxy = start(limit, &target);
        let mut client = proxy.client();
        client.send(request).unwrap();
        client.half_close().unwrap();
        let (answer, _) = client.until_end().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(expected), "{response:?}: {answer}");
        assert_eq!(
            reached(&proxy, "response_body_bytes"),
            reach,
            "{response:?}"
        );
        if reach > 0 {
            assert!(!answer.contains("def"), "{answer}");
            assert!(!answer.contains("\r\n0\r\n"), "{answer}");
        }
        proxy.finish(1);
    };
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: ";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(
        GET,
        &[&format!("{sized}5\r\n\r\nabcde")],
        "HTTP/1.1 200 OK\r\n",
        0,
    );
    check(
        GET,
        &[&format!("{sized}6\r\n\r\nabcdef")],
        "HTTP/1.1 500 ",
        1,
    );
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    check(
        head,
        &[&format!("{sized}6\r\n\r\n")],
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n",
        0,
    );
    // What is seen before anything was passed on is answered; later the response is cut off.
    check(
        GET,
        &[&format!("{chunked}6\r\nabcdef\r\n0\r\n\r\n")],
        "HTTP/1.1 500 ",
        1,
    );
    let passed = format!("{chunked}3\r\nabc\r\n");
    check(GET, &[&passed, "3\r\ndef\r\n0\r\n\r\n"], &passed, 1);
    let passed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    check(GET, &["HTTP/1.1 200 OK\r\n\r\nabc", "def"], passed, 1);
}

#[test]
fn requests_in_a_time_have_a_limit() {
    let target = Target::answering(&[&[OK]]).unwrap();
    let limit = "limit_rate = { name = 'all', key = 'header(`X-Key`)', average = 2, period = '10s', burst = 2 }";
    let proxy = start(limit, &target);
    let mut client = proxy.client();
    let mut ask = |key: &str| {
        client
            .send(format!("GET / HTTP/1.1\r\nHost: a\r\n{key}\r\n"))
            .unwrap();
        String::from_utf8(client.message().unwrap()).unwrap()
    };
    for key in ["X-Key: a\r\n", "X-Key: b\r\n", ""] {
        same("first", ask(key).as_bytes(), OK);
        same("second", ask(key).as_bytes(), OK);
        let third = ask(key);
        assert!(
            third.starts_with("HTTP/1.1 429 Too Many Requests\r\n"),
            "{third}"
        );
        assert!(third.contains("\r\nRetry-After: 5\r\n"), "{third}");
    }
    assert_eq!(reached(&proxy, "request_rate"), 3);
    drop(client);
    proxy.finish(9);
}

#[test]
fn a_limit_is_of_all_workers_and_survives_another_plane() {
    let target = Target::answering(&[&[OK]]).unwrap();
    let limit = "limit_rate = { name = 'all', average = 1, period = '1h', burst = 2 }";
    let listener = |name: &str, place: usize| {
        format!(
            "[listener.{name}]\nbind = \"@{place}\"\nforward = \"app\"\n{PLAIN}[[listener.{name}.rule]]\n{limit}\n"
        )
    };
    let text = format!(
        "{}{}[target_group.app]\ntargets = [\"{}\"]\n",
        listener("web", 0),
        listener("other", 1),
        target.address()
    );
    let mut proxy = Proxy::start_apart(&text);
    let ask = |proxy: &Proxy, place: usize| {
        let mut client = portway_testkit::peer::Wire::connect(proxy.address(place)).unwrap();
        client.send(GET).unwrap();
        status(&client.message().unwrap())
    };
    assert_eq!(
        (ask(&proxy, 0), ask(&proxy, 1), ask(&proxy, 0)),
        (200, 200, 429)
    );
    proxy.change_targets(&[0], None);
    assert_eq!((ask(&proxy, 0), ask(&proxy, 1)), (429, 429));
    proxy.finish(5);
}

#[test]
fn requests_at_once_have_a_limit() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    let target = Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            let _ = receiver.lock().unwrap().recv();
            wire.send(OK)?;
        }
    })
    .unwrap();
    let proxy = start("limit_concurrency = { name = 'all', amount = 1 }", &target);
    let (mut first, mut second) = (proxy.client(), proxy.client());
    let mut records = 0;
    let mut refused = |client: &mut portway_testkit::peer::Wire| {
        client.send(GET).unwrap();
        records += 1;
        status(&client.message().unwrap()) == 429
    };
    first.send(GET).unwrap();
    assert!(eventually(|| !target.received_in_all().is_empty()));
    assert!(refused(&mut second));
    sender.send(()).unwrap();
    same("first", &first.message().unwrap(), OK);
    // A client that goes away is not counted any more either.
    first.send(GET).unwrap();
    assert!(eventually(|| target
        .received_in_all()
        .matches("GET")
        .count()
        == 2));
    assert!(refused(&mut second));
    drop(first);
    sender.send(()).unwrap();
    sender.send(()).unwrap();
    assert!(eventually(|| !refused(&mut second)));
    assert!(reached(&proxy, "request_concurrency") >= 2);
    drop(second);
    proxy.finish(records + 2);
}

#[test]
fn who_has_an_answer_may_ask_another_worker_at_once() {
    let target = Target::start(|_, mut wire| {
        loop {
            wire.message()?;
            wire.send(OK)?;
        }
    })
    .unwrap();
    let listener = |place: usize| {
        format!(
            "[listener.l{place}]\nbind = \"@{place}\"\nforward = \"app\"\n\
             [[listener.l{place}.rule]]\nlimit_concurrency = {{ name = 'all', amount = 1 }}\n\
             [[listener.l{place}.rule]]\nwhen = 'Path(`/own`)'\nrespond = 204\n"
        )
    };
    let proxy = Proxy::start_apart(&format!(
        "{}{}[target_group.app]\ntargets = [\"{}\"]\n",
        listener(0),
        listener(1),
        target.address()
    ));
    let connect = |place| portway_testkit::peer::Wire::connect(proxy.address(place)).unwrap();
    let mut clients = [connect(0), connect(1)];
    let own = GET.replace("/ ", "/own ");
    // Often, as a place that came back late would be missed by chance only.
    let mut ask = |number: usize| {
        let (request, expected) = match number / 2 % 2 {
            0 => (GET, 200),
            _ => (own.as_str(), 204),
        };
        let client = &mut clients[number % 2];
        client.send(request).unwrap();
        assert_eq!(status(&client.message().unwrap()), expected, "{number}");
    };
    (0..4000).for_each(&mut ask);
    drop(clients);
    proxy.finish(4000);
}
