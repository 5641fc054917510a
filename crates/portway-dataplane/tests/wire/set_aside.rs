//! An answer that is asked for elsewhere is not lost where nobody gives another.

use crate::harness::{Proxy, simple};
use portway_model::passive::PassiveHealth;
use portway_testkit::peer::{Target, eventually};
use std::net::SocketAddr;
use std::time::Duration;

/// Answers each request with these pieces, each once the one before was read.
fn saying(pieces: &'static [&'static str]) -> Target {
    Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            for (at, piece) in pieces.iter().enumerate() {
                if at > 0 {
                    std::thread::sleep(Duration::from_millis(50));
                }
                wire.send(piece)?;
            }
        }
    })
    .unwrap()
}

const MISDIRECTED: &str = "HTTP/1.1 421 Not mine\r\nX-Own: 1\r\nContent-Length: 3\r\n\r\nbad";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// What comes of a request; the targets are asked in this order.
fn answer(more: &str, targets: &[SocketAddr], request: &str) -> String {
    let retries = match more.contains("retries") {
        true => "",
        false => "retries = 1",
    };
    let group = format!("algorithm = 'first'\n{retries}\n{more}");
    let text = simple("", &group, targets);
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    let mut answer = String::new();
    // A connection goes on as after any other answer.
    for _ in 0..2 {
        client.send(request).unwrap();
        let found = match request.starts_with("HEAD") {
            true => client.head(),
            false => client.message(),
        };
        answer = String::from_utf8(found.unwrap()).unwrap();
    }
    drop(client);
    proxy.finish(2);
    answer
}

#[test]
fn the_answer_of_who_is_left_is_the_clients() {
    let dead = Target::refusing().unwrap();
    let silent = Target::start(|_, mut wire| {
        wire.message()?;
        let _ = wire.until_end();
        Ok(())
    })
    .unwrap();
    let closing = Target::start(|_, mut wire| wire.message().map(drop)).unwrap();
    let junk = saying(&["nonsense\r\n\r\n"]);
    let one = saying(&[MISDIRECTED]);
    for (second, more) in [
        (dead, ""),
        (dead, "retry_on = ['safe']"),
        (dead, "retry_on = ['misdirected']"),
        (dead, "retry_on = [421, 'connect_failure']"),
        (junk.address(), ""),
        (silent.address(), "timeouts = { response = '300ms' }"),
        (silent.address(), "timeouts = { total = '300ms' }"),
    ] {
        for request in [GET, POST] {
            let found = answer(more, &[one.address(), second], request);
            assert!(
                found.starts_with("HTTP/1.1 421 Not mine\r\n"),
                "{more} {found}"
            );
            assert!(found.contains("X-Own: 1\r\n"), "{more} {found}");
            assert!(found.ends_with("\r\n\r\nbad"), "{more} {found}");
        }
    }
    let found = answer("", &[one.address(), closing.address()], POST);
    assert!(found.starts_with("HTTP/1.1 421 "), "{found}");
    // Nobody is there but itself, asked over another connection.
    let found = answer("", &[one.address()], GET);
    assert!(found.ends_with("\r\n\r\nbad"), "{found}");
}

#[test]
fn every_form_of_a_body_is_kept() {
    let dead = Target::refusing().unwrap();
    let later: &[&str] = &[
        "HTTP/1.1 421 No\r\nContent-Length: 7\r\n\r\nba",
        "d an",
        "d",
    ];
    let chunked: &[&str] = &[
        "HTTP/1.1 425 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n",
        "3\r\nand\r\n0\r\n\r\n",
    ];
    let none: &[&str] = &["HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n"];
    let busy: &[&str] = &["HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy"];
    for (pieces, more, request, end) in [
        (later, "", GET, "bad and"),
        (chunked, "", GET, "badand"),
        (none, "", GET, ""),
        (busy, "retry_on = [503]", GET, "busy"),
    ] {
        let target = saying(pieces);
        let found = answer(more, &[target.address(), dead], request);
        let (head, body) = found.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, end, "{found}");
        assert!(head.contains(" No\r\n"), "{found}");
    }
    let head = saying(&["HTTP/1.1 421 No\r\nContent-Length: 7\r\n\r\n"]);
    let request = GET.replace("GET", "HEAD");
    let found = answer("", &[head.address(), dead], &request);
    assert!(found.starts_with("HTTP/1.1 421 No\r\n"), "{found}");
}

/// One that breaks off, or that only the end of its connection ends, is not kept, and another target is asked all the same.
#[test]
fn an_answer_that_is_not_whole_is_tried_again() {
    let good = Target::saying("good").unwrap();
    for text in [
        "HTTP/1.1 421 No\r\nContent-Length: 100\r\n\r\nbad",
        "HTTP/1.1 421 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n",
        "HTTP/1.1 421 No\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        "HTTP/1.1 421 No\r\n\r\nbad",
    ] {
        let target = Target::start(move |_, mut wire| {
            wire.message()?;
            wire.send(text)
        })
        .unwrap();
        let found = answer("", &[target.address(), good.address()], GET);
        assert!(found.ends_with("\r\n\r\ngood"), "{text}: {found}");
    }
}

/// What is longer than is kept is passed on at once.
#[test]
fn a_long_answer_is_not_tried_again() {
    let length = 40_000;
    let long = format!(
        "HTTP/1.1 421 No\r\nContent-Length: {length}\r\n\r\n{:length$}",
        "x"
    );
    let long: &'static str = Box::leak(long.into_boxed_str());
    let target = Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            wire.send(long)?;
        }
    })
    .unwrap();
    let good = Target::saying("good").unwrap();
    let found = answer("", &[target.address(), good.address()], GET);
    let (head, body) = found.split_once("\r\n\r\n").unwrap();
    assert_eq!((&head[..12], body.len()), ("HTTP/1.1 421", length));
}

/// Other failures do not use up the one time that it is tried again.
#[test]
fn what_was_not_done_is_asked_for_once_whatever_failed_before() {
    let dead = Target::refusing().unwrap();
    let (one, two) = (
        saying(&[MISDIRECTED]),
        saying(&["HTTP/1.1 425 No\r\nContent-Length: 3\r\n\r\ntoo"]),
    );
    let good = Target::saying("good").unwrap();
    let found = answer("retries = 3", &[dead, one.address(), good.address()], GET);
    assert!(found.ends_with("\r\n\r\ngood"), "{found}");
    // The second that says so is believed.
    let all = [dead, one.address(), two.address(), good.address()];
    let found = answer("retries = 3", &all, GET);
    assert!(found.ends_with("\r\n\r\ntoo"), "{found}");
}

/// A limit of bodies holds for it as for what is passed on at once.
#[test]
fn what_was_kept_may_be_too_long() {
    let dead = Target::refusing().unwrap();
    let one = saying(&[MISDIRECTED]);
    for (most, expected) in [(3, "HTTP/1.1 421 "), (2, "HTTP/1.1 500 ")] {
        let rule = format!(
            "[[listener.web.rule]]\nactions = [{{ limit_body = {{ request = 100, response = {most} }} }}]\n"
        );
        let found = answer(&format!("retries = 1\n{rule}"), &[one.address(), dead], GET);
        assert!(found.starts_with(expected), "{most}: {found}");
    }
}

/// It is a response as any other: rules see it, and it is logged and counted as its target's.
#[test]
fn what_was_kept_is_a_response_of_its_target() {
    let dead = Target::refusing().unwrap();
    let one = saying(&[MISDIRECTED]);
    let listener = "[[listener.web.rule]]\nphase = 'response'\nwhen = 'status == 421'\n\
                    actions = [{ remove_header = 'X-Own' }, { set_header = { X-Ours = '2' } }]\n";
    let text = simple(
        "",
        &format!("algorithm = 'first'\nretries = 1\n{listener}"),
        &[one.address(), dead],
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client.send(GET).unwrap();
    let found = String::from_utf8(client.message().unwrap()).unwrap();
    assert!(found.starts_with("HTTP/1.1 421 Not mine\r\n"), "{found}");
    assert!(
        found.contains("X-Ours: 2\r\n") && !found.contains("X-Own"),
        "{found}"
    );
    assert!(found.ends_with("\r\n\r\nbad"), "{found}");
    drop(client);
    let of_target = format!(
        "portway_target_requests_total{{target_group=\"app\",target=\"{}\",code=\"4xx\"}}",
        one.address()
    );
    assert!(eventually(|| proxy.metric(&of_target) == 1));
    let log = proxy.finish(1);
    let record = &log[0];
    assert!(record.contains(&one.address().to_string()), "{record}");
    assert!(!record.contains("connect_refused"), "{record}");
}

/// How long an answer took is so whoever is asked after it.
#[test]
fn what_is_tried_again_took_its_time() {
    let late = Target::start(|_, mut wire| {
        wire.message()?;
        std::thread::sleep(Duration::from_millis(300));
        wire.send(MISDIRECTED)
    })
    .unwrap();
    let good = saying(&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]);
    let group = "algorithm = 'first'\nretries = 1\n";
    let proxy = Proxy::start(&simple("", group, &[late.address(), good.address()]));
    let policy = PassiveHealth {
        slow_after: Duration::from_millis(100),
        ..PassiveHealth::default()
    };
    proxy.target(0, 0).judge_by(Some(&policy), true);
    let mut client = proxy.client();
    client.send(GET).unwrap();
    assert!(client.message().unwrap().ends_with(b"ok"));
    assert_eq!(proxy.target(0, 0).passive().unwrap().counts().failed, 1);
    drop(client);
    proxy.finish(1);
}
