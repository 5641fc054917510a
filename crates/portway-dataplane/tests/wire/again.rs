//! An attempt that follows one whose response failed before anything of it reached the client: nothing of that is left.

use crate::harness::{Proxy, simple};
use crate::row::same;
use portway_testkit::peer::{Target, Wire, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GOOD: &str = "HTTP/1.1 203 Non-Authoritative Information\r\nContent-Length: 4\r\n\r\ngood";
/// It fails before its head is sent on.
const JUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n";
const STALLS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc";
const ON_JUNK: &str = "retry_on = ['junk_response']\n";
const ON_TIMEOUT: &str = "retry_on = ['response_timeout']\n";

/// A target that gives this answer, once on each connection.
fn answering(answer: &'static str) -> Target {
    Target::start(move |_, mut wire| {
        wire.message()?;
        wire.send(answer)?;
        wire.message().map(|_| ())
    })
    .unwrap()
}

/// What the client gets where the first target answers `bad`, and the second [`GOOD`].
fn after(bad: &'static str, group: &str, rules: &str) -> String {
    let (bad, good) = (answering(bad), answering(GOOD));
    let group = format!("{group}{rules}");
    let proxy = Proxy::start(&simple("", &group, &[bad.address(), good.address()]));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    let answer = String::from_utf8(client.message().unwrap()).unwrap();
    assert_eq!(bad.connections(), 1, "{rules}");
    drop(client);
    proxy.finish(1);
    answer
}

#[test]
fn nothing_of_a_failed_response_is_in_the_next() {
    let waits = "[[listener.web.rule]]\nphase = 'response'\nwait_for_body = '300ms'\n";
    let when = "[[listener.web.rule]]\nphase = 'response'\nwhen = 'status == 200'\n";
    let then = "[[listener.web.rule]]\nphase = 'response'\n";
    let check = |bad, group: &str, rules: &str, added: &str| {
        let expected = GOOD.replacen("\r\n\r\n", &format!("\r\n{added}\r\n"), 1);
        same(rules, after(bad, group, rules).as_bytes(), &expected);
    };
    check(STALLS, ON_TIMEOUT, waits, "");
    check(JUNK, ON_JUNK, waits, "");
    check(JUNK, ON_JUNK, "", "");
    let adds = format!("{then}add_header = {{ X-A = '1' }}\n");
    check(JUNK, ON_JUNK, &adds, "X-A: 1\r\n");
    let after_response = adds.replace("'response'", "'after_response'");
    check(JUNK, ON_JUNK, &after_response, "X-A: 1\r\n");
    let of_the_other = format!("{when}set_header = {{ X-A = '1' }}\n");
    check(JUNK, ON_JUNK, &of_the_other, "");
    let status = format!("{when}set_status = {{ status = 201, reason = 'Odd' }}\n");
    check(JUNK, ON_JUNK, &status, "");
    let variables = format!(
        "{when}set_variable = {{ exchange.a = 'x', response.b = 'y' }}\n\
         {then}add_header = {{ X-A = '-${{var.exchange.a}}${{var.response.b}}' }}\n"
    );
    check(JUNK, ON_JUNK, &variables, "X-A: -\r\n");
    let captures = format!(
        "{when}capture = {{ value = 'status', length = 3 }}\n\
         {then}add_header = {{ X-A = '-${{response_capture(0)}}' }}\n"
    );
    check(JUNK, ON_JUNK, &captures, "X-A: -\r\n");
}

#[test]
fn what_the_balancer_adds_is_there_once() {
    let check = |group: &str, rules: &str, name: &str| {
        let answer = after(JUNK, &format!("{ON_JUNK}{group}"), rules);
        let lines = answer.lines().map(str::to_ascii_lowercase);
        let count = lines.filter(|line| line.starts_with(name)).count();
        assert_eq!(count, 1, "{answer}");
        assert!(answer.ends_with("\r\n\r\ngood"), "{answer}");
    };
    check("stickiness = { cookie = 'S' }\n", "", "set-cookie: s=");
    let compress = "[[listener.web.rule]]\ncompress = { min_bytes = 1 }\n\
                    [[listener.web.rule]]\nphase = 'response'\nset_header = { Content-Type = 'text/html' }\n";
    check("", compress, "vary: ");
    let auth = Target::answering(&[&[
        "HTTP/1.1 200 OK\r\nSet-Cookie: session=1\r\nContent-Length: 0\r\n\r\n",
    ]])
    .unwrap();
    let asks = format!(
        "[[listener.web.rule]]\nauthorize = {{ group = 'auth', target = '/', copy_cookies = ['session'] }}\n\
         [target_group.auth]\ntargets = ['{}']\n",
        auth.address()
    );
    check("", &asks, "set-cookie: session=1");
}

#[test]
fn the_target_that_served_is_remembered() {
    let (bad, good) = (answering(JUNK), Target::saying("good").unwrap());
    let group = format!(
        "{ON_JUNK}rule = [{{ stick = {{ key = 'source', table = 'clients' }} }}]\n\
         [stick_table.clients]\nkey = 'address'\nsize = 100\nstore = ['target']"
    );
    let proxy = Proxy::start(&simple("", &group, &[bad.address(), good.address()]));
    let mut client = proxy.client();
    for _ in 0..4 {
        client.send(GET).unwrap();
        assert!(client.message().unwrap().ends_with(b"good"));
    }
    assert_eq!(bad.connections(), 1);
    drop(client);
    proxy.finish(4);
}

#[test]
fn an_exchange_counts_until_its_last_attempt_is_over() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let good = Target::start(move |_, mut wire| {
        wire.message()?;
        while !gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        wire.send(GOOD)
    })
    .unwrap();
    let bad = answering(JUNK);
    let rules = "[[listener.web.rule]]\nlimit_concurrency = { name = 'all', amount = 1 }\n";
    let group = format!("{ON_JUNK}{rules}");
    let proxy = Proxy::start(&simple("", &group, &[bad.address(), good.address()]));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    assert!(eventually(|| good.connections() == 1));
    let status = |client: &mut Wire| client.message().unwrap()[..12].to_vec();
    let mut other = proxy.client();
    other.send(GET).unwrap();
    assert_eq!(status(&mut other), b"HTTP/1.1 429");
    open.store(true, Ordering::SeqCst);
    assert_eq!(status(&mut client), b"HTTP/1.1 203");
    drop((client, other));
    proxy.finish(2);
}

#[test]
fn what_a_rule_rejects_is_not_asked_again() {
    let (one, other) = (answering(GOOD), answering(GOOD));
    let group = "retry_on = ['junk_response']\nretries = 3\n\
                 [[listener.web.rule]]\nphase = 'response'\nreject = 'reset'\n";
    let proxy = Proxy::start(&simple("", group, &[one.address(), other.address()]));
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let (answer, _) = client.until_end().unwrap();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(one.connections() + other.connections(), 1);
    drop(client);
    proxy.finish(1);
}
