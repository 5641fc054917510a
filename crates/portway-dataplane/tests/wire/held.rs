//! Requests that wait: for their body, because rules look at it, or in a tarpit.

use crate::harness::{PLAIN, Proxy};
use crate::row::{OK, same};
use portway_testkit::peer::{End, Target, Wire};

/// A listener with these rules before one that forwards, its target, and a client.
fn start(rules: &str) -> (Proxy, Target, Wire) {
    let target = Target::answering(&[&[OK]]).unwrap();
    let (proxy, client) = towards(&target, rules);
    (proxy, target, client)
}

/// The same with this target.
fn towards(target: &Target, rules: &str) -> (Proxy, Wire) {
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n{PLAIN}{rules}\n\
         [target_group.app]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let client = proxy.client();
    (proxy, client)
}

/// Waits for the body and tells the target what was seen of it.
const LOOKS: &str = "
[[listener.web.rule]]
actions = [{ wait_for_body = '10s' }, { set_header = { X-Body = '${body}', X-Size = '${body.length()}' } }]
";

#[test]
fn rules_see_the_body() {
    let check = |pieces: &[&str], received: &str| {
        let (proxy, target, mut client) = start(LOOKS);
        client.send_pieces(pieces).unwrap();
        same("response", &client.receive(OK.len()).unwrap(), OK);
        same("request", target.received_in_all().as_bytes(), received);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        same("next", &client.receive(OK.len()).unwrap(), OK);
        drop(client);
        proxy.finish(2);
    };
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n";
    check(
        &[&format!("{sent}\r\n"), "ab", "cdef"],
        &format!("{sent}X-Body: abcdef\r\nX-Size: 6\r\n\r\nabcdef"),
    );
    check(
        &[&format!("{sent}\r\nabcdef")],
        &format!("{sent}X-Body: abcdef\r\nX-Size: 6\r\n\r\nabcdef"),
    );
    check(
        &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
        "GET / HTTP/1.1\r\nHost: a\r\nX-Body: \r\nX-Size: 0\r\n\r\n",
    );
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let plain = "POST / HTTP/1.1\r\nHost: a\r\nX-Body: abcdef\r\nX-Size: 6\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(
        &[chunked, "3\r\nabc\r\n3", ";x\r\ndef\r\n0\r\n", "\r\n"],
        &format!("{plain}6\r\nabcdef\r\n0\r\n\r\n"),
    );
}

#[test]
fn a_client_that_asks_is_told_to_go_on() {
    let (proxy, target, mut client) = start(LOOKS);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.send(head).unwrap();
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    same("go on", &client.receive(go_on.len()).unwrap(), go_on);
    client.send("ab").unwrap();
    same("response", &client.receive(OK.len()).unwrap(), OK);
    let received = target.received_in_all();
    assert!(!received.contains("Expect"), "{received}");
    drop(client);
    proxy.finish(1);
}

#[test]
fn the_beginning_of_a_body_may_be_enough() {
    let rules = "
[[listener.web.rule]]
actions = [{ wait_for_body = { time = '10s', at_least = 3 } }, { set_header = { X-Body = '${body.bytes(0, 3)}' } }]
";
    let (proxy, target, mut client) = start(rules);
    let body = "x".repeat(100_000);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    client.send_pieces(&[head, "xx", "x"]).unwrap();
    let seen =
        portway_testkit::peer::eventually(|| target.received_in_all().contains("X-Body: xxx"));
    assert!(seen, "{}", target.received_in_all());
    client.send(&body[3..]).unwrap();
    same("response", &client.receive(OK.len()).unwrap(), OK);
    assert!(target.received_in_all().ends_with(&body));
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_body_that_is_too_long_is_looked_at_in_part() {
    let (proxy, target, mut client) = start(LOOKS);
    let body = "x".repeat(300_000);
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n{body}"
        ))
        .unwrap();
    same("response", &client.receive(OK.len()).unwrap(), OK);
    let received = target.received_in_all();
    assert!(
        received.contains("X-Size: 32768\r\n"),
        "{}",
        &received[..80]
    );
    assert!(received.ends_with(&body));
    assert_eq!(
        proxy.metric("portway_limit_reached_total{limit=\"looked_at_body\"}"),
        1
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_body_that_does_not_come() {
    let rules = "own_answers = 'haproxy'
[[listener.web.rule]]
wait_for_body = '300ms'
";
    let (proxy, target, mut client) = start(rules);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    client.send(head).unwrap();
    let (answer, end) = client.until_end().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Time-out\r\n"),
        "{answer}"
    );
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert_eq!((end, target.connections()), (End::Closed, 0));
    let log = proxy.finish(1);
    assert!(
        log[0].contains("\"fault\":\"client_timeout\""),
        "{}",
        log[0]
    );
}

#[test]
fn rules_go_on_where_they_waited() {
    let rules = "
[[listener.web.rule]]
when = 'Path(`/`)'
actions = [{ add_header = { X-A = '1' } }, { wait_for_body = '10s' }, { add_header = { X-A = '2' } }]
[[listener.web.rule]]
when = 'body == `ab`'
actions = [{ add_header = { X-A = '3' } }, { forward = 'app' }]
[[listener.web.rule]]
respond = 404
[[target_group.app.rule]]
actions = [{ wait_for_body = '10s' }, { add_header = { X-A = '4' } }]
";
    let (proxy, target, mut client) = start(rules);
    client
        .send_pieces(&[
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
            "a",
            "b",
        ])
        .unwrap();
    same("response", &client.receive(OK.len()).unwrap(), OK);
    let received = target.received_in_all();
    let added: Vec<&str> = received
        .lines()
        .filter_map(|line| line.strip_prefix("X-A: "))
        .collect();
    assert_eq!(added, ["1", "2", "3", "4"]);
    drop(client);
    proxy.finish(1);
}

/// Waits for the body of a response of this status.
const RESPONSE: &str = "own_answers = 'haproxy'
[[target_group.app.rule]]
phase = 'response'
when = 'status == 200'
actions = [{ add_header = { X-A = '1' } }, { wait_for_body = '300ms' }, { add_header = { X-A = '2' } }]
[[listener.web.rule]]
phase = 'response'
when = 'status == 201'
wait_for_body = { time = '300ms', at_least = 3 }
[[listener.web.rule]]
phase = 'response'
add_header = { X-A = '3' }
";

#[test]
fn responses_wait_for_their_body() {
    let check = |answer: &[&str], response: &str| {
        let target = Target::answering(&[answer]).unwrap();
        let (proxy, mut client) = towards(&target, RESPONSE);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        same(response, &client.receive(response.len()).unwrap(), response);
        drop(client);
        proxy.finish(1);
    };
    let head = |status: &str, framing: &str, added: &str| {
        format!("HTTP/1.1 {status}\r\n{framing}{added}\r\n")
    };
    let all = "X-A: 1\r\nX-A: 2\r\nX-A: 3\r\n";
    let length = "Content-Length: 6\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    check(
        &[&head("200 OK", length, ""), "abc", "def"],
        &(head("200 OK", length, all) + "abcdef"),
    );
    check(
        &[&head("201 Created", length, ""), "ab", "cdef"],
        &(head("201 Created", length, "X-A: 3\r\n") + "abcdef"),
    );
    check(
        &[
            &head("200 OK", chunked, ""),
            "3\r\nabc\r\n3",
            "\r\ndef\r\n0\r\n",
            "\r\n",
        ],
        &(head("200 OK", &format!("{all}{chunked}"), "") + "6\r\nabcdef\r\n0\r\n\r\n"),
    );
    let long = "x".repeat(100_000);
    let framing = "Content-Length: 100000\r\n";
    check(
        &[&head("200 OK", framing, ""), &long],
        &(head("200 OK", framing, all) + &long),
    );
}

#[test]
fn a_response_whose_body_does_not_come() {
    let target =
        Target::answering(&[&["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"]]).unwrap();
    let (proxy, mut client) = towards(&target, RESPONSE);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let begin = "HTTP/1.1 504 Gateway Time-out\r\n";
    same("answer", &client.receive(begin.len()).unwrap(), begin);
    drop(client);
    let log = proxy.finish(1);
    assert!(
        log[0].contains("\"fault\":\"response_timeout\""),
        "{}",
        log[0]
    );
}

#[test]
fn a_wait_for_a_response_lets_the_request_go_on() {
    let target = Target::answering(&[&[
        "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n",
        "ab",
        "cd",
    ]])
    .unwrap();
    let (proxy, mut client) = towards(&target, RESPONSE);
    let body = "x".repeat(500_000);
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n{body}"
        ))
        .unwrap();
    let response = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX-A: 3\r\n\r\nabcd";
    same(
        "response",
        &client.receive(response.len()).unwrap(),
        response,
    );
    assert!(target.received_in_all().ends_with(&body));
    drop(client);
    proxy.finish(1);
}

#[test]
fn headers_of_answers_that_turn_out_empty_are_left_out() {
    let rules = "own_answers = 'haproxy'
[[listener.web.rule]]
respond = { status = 204, headers = { X-A = '${query}', X-B = '${method}', X-C = '' } }
";
    let (proxy, _target, mut client) = start(rules);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let response = "HTTP/1.1 204 No Content\r\nX-B: GET\r\n\r\n";
    same("answer", &client.receive(response.len()).unwrap(), response);
    drop(client);
    proxy.finish(1);
}

const TARPIT: &str = "
[[listener.web.rule]]
when = 'Path(`/pit`)'
tarpit = { delay = '400ms', status = 429, body = 'slow' }
[[listener.web.rule]]
when = 'Path(`/deep`)'
tarpit = '1h'
";

#[test]
fn a_tarpit_answers_after_a_while() {
    let (proxy, target, mut client) = start(TARPIT);
    client.send("GET /pit HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(
        client
            .is_quiet(std::time::Duration::from_millis(200))
            .unwrap()
    );
    let answer = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow";
    same("answer", &client.receive(answer.len()).unwrap(), answer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    same("next", &client.receive(OK.len()).unwrap(), OK);
    assert_eq!(target.connections(), 1);
    drop(client);
    let log = proxy.finish(2);
    assert!(log[0].contains("\"fault\":\"denied\""), "{}", log[0]);
}

#[test]
fn a_tarpit_lets_go_of_clients_that_go() {
    let (proxy, _target, mut client) = start(TARPIT);
    client
        .send("GET /deep HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(
        client
            .is_quiet(std::time::Duration::from_millis(100))
            .unwrap()
    );
    client.half_close().unwrap();
    let (answer, _) = client.until_end().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let mut gone = proxy.client();
    gone.send("GET /deep HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(
        gone.is_quiet(std::time::Duration::from_millis(100))
            .unwrap()
    );
    gone.reset().unwrap();
    drop(client);
    proxy.finish(2);
}
