//! Requests sent ahead: answered in order, and no byte of one in another.

use crate::harness::{Proxy, simple};
use crate::row::same;
use portway_testkit::peer::Target;

/// A target that answers each request with all that it received of it.
fn echo() -> Target {
    Target::start(|_, mut wire| {
        loop {
            let request = wire.message()?;
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.len()
            ))?;
            wire.send(&request)?;
        }
    })
    .unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn chunked(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
}

/// Sends all requests as one run of bytes, cut as said, and expects their echoes in order.
fn check(name: &str, requests: &[String], cuts: &[usize]) {
    println!("{name}");
    let target = echo();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    let all = requests.concat();
    let (mut pieces, mut from) = (Vec::new(), 0);
    for cut in cuts.iter().chain([&all.len()]) {
        pieces.push(&all[from..*cut]);
        from = *cut;
    }
    client.send_pieces(&pieces).unwrap();
    for request in requests {
        let answer = client.message().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            request.len()
        );
        same(name, &answer, &(head + request));
    }
    assert_eq!(target.connections(), 1, "{name}");
    drop(client);
    proxy.finish(requests.len());
}

#[test]
fn answers_come_in_order() {
    let three = [get("/1"), get("/2"), get("/3")];
    check("three in one piece", &three, &[]);
    check(
        "the second one cut in its head",
        &three,
        &[three[0].len() + 10],
    );
    check("each alone", &three, &[three[0].len(), 2 * three[0].len()]);
    let bodies = [
        post("/1", "one"),
        get("/2"),
        chunked("/3", "three"),
        post("/4", ""),
        chunked("/5", "5"),
    ];
    check("bodies between", &bodies, &[]);
    let first = bodies[0].len();
    check("cut in a body", &bodies, &[first - 1]);
    check("cut behind a body", &bodies, &[first]);
    check(
        "cut in the last chunk",
        &bodies,
        &[first + bodies[1].len() + bodies[2].len() - 3],
    );
}

#[test]
fn every_cut_of_three_requests_is_the_same_to_us() {
    let requests = [post("/1", "a"), chunked("/2", "b"), get("/3")];
    let target = echo();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let all = requests.concat();
    for cut in 1..all.len() {
        let mut client = proxy.client();
        client.send_pieces(&[&all[..cut], &all[cut..]]).unwrap();
        for request in &requests {
            let answer = client.message().unwrap();
            assert!(
                answer.ends_with(request.as_bytes()),
                "cut at {cut}: {}",
                String::from_utf8_lossy(&answer)
            );
        }
    }
    proxy.finish(3 * (all.len() - 1));
}

#[test]
fn many_requests_ahead_are_all_answered() {
    let requests: Vec<String> = (0..2000).map(|number| get(&format!("/{number}"))).collect();
    let target = echo();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    let mut sender = Vec::new();
    // More than the buffers of both sides hold: what is ahead waits in the kernel.
    for request in &requests {
        sender.extend_from_slice(request.as_bytes());
    }
    client.send(&sender).unwrap();
    for request in &requests {
        assert!(
            client.message().unwrap().ends_with(request.as_bytes()),
            "{request}"
        );
    }
    drop(client);
    proxy.finish(requests.len());
}

#[test]
fn what_comes_behind_a_request_that_closes_is_no_request() {
    let target = echo();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    let last = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send([last, &get("/2")].concat()).unwrap();
    let (answer, _) = client.until_end().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert!(!target.received_in_all().contains("/2"));
    drop(client);
    proxy.finish(1);
}
