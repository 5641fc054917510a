//! The time of an attempt, and of a whole exchange.

use crate::harness::{Proxy, simple};
use crate::row::OK;
use portway_model::passive::PassiveHealth;
use portway_testkit::peer::{Target, Wire, eventually};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// A target that answers the first `slow` requests after a while, and others at once.
fn slow_at_first(slow: usize, milliseconds: u64) -> Target {
    let seen = AtomicUsize::new(0);
    Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            if seen.fetch_add(1, Ordering::Relaxed) < slow {
                pause(milliseconds);
            }
            wire.send(OK)?;
        }
    })
    .unwrap()
}

/// What a request is answered with, and what its record says, where a target answers the first `slow` requests after three seconds.
fn check(group: &str, slow: usize, request: &str, status: &str, record: &str) {
    let target = slow_at_first(slow, 3000);
    let proxy = Proxy::start(&simple("", group, &[target.address()]));
    let mut client = proxy.client();
    client.send(request).unwrap();
    let answer = String::from_utf8(client.message().unwrap()).unwrap();
    assert_eq!(answer.split(' ').nth(1), Some(status), "{group} {answer}");
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains(record), "{group} {}", log[0]);
}

#[test]
fn an_attempt_has_a_time_and_others_follow() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let timed = "timeouts.attempt = \"200ms\"\n";
    check(timed, 0, GET, "200", "\"attempts\":1");
    check(timed, 2, GET, "200", "\"attempts\":3");
    check(timed, 9, GET, "504", "\"fault\":\"attempt_timeout\"");
    check(timed, 9, GET, "504", "\"attempts\":4");
    // It may have been done.
    check(timed, 1, post, "504", "\"attempts\":1");
    let once = format!("{timed}retries = 0\n");
    check(&once, 1, GET, "504", "\"attempts\":1");
    let named = format!("{timed}retry_on = [\"response_timeout\"]\n");
    check(&named, 1, GET, "200", "\"attempts\":2");
    let named = format!("{timed}retry_on = [\"connect_failure\"]\n");
    check(&named, 1, GET, "504", "\"attempts\":1");
    // All of them together have one too.
    let total = format!("{timed}timeouts.total = \"500ms\"\nretries = 20\n");
    check(&total, 99, GET, "504", "\"fault\":\"total_timeout\"");
}

#[test]
fn a_whole_exchange_ends_in_its_time_while_retries_wait() {
    let check = |group, status, fault| check(group, 1, GET, status, fault);
    let timed = "timeouts.attempt = \"200ms\"\nretry_backoff = \"100ms\"\n";
    check(timed, "200", "\"attempts\":2");
    let timed = "timeouts = { attempt = \"200ms\", total = \"500ms\" }\nretry_backoff = \"40s\"\n";
    check(timed, "504", "\"fault\":\"total_timeout\"");
}

#[test]
fn the_time_of_an_attempt_begins_when_the_body_is_sent() {
    let target = Target::saying("ok").unwrap();
    let group = "timeouts.attempt = \"300ms\"\n";
    let proxy = Proxy::start(&simple("", group, &[target.address()]));
    let mut client = proxy.client();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n";
    client.send(head).unwrap();
    for _ in 0..8 {
        pause(150);
        client.send("x").unwrap();
    }
    assert!(client.message().unwrap().ends_with(b"ok"));
    // And ends when the head of the response is there.
    let slow = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        for _ in 0..4 {
            pause(250);
            wire.send("x")?;
        }
        Ok(())
    })
    .unwrap();
    drop(client);
    proxy.finish(1);
    let proxy = Proxy::start(&simple("", group, &[slow.address()]));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    assert!(client.message().unwrap().ends_with(b"xxxx"));
    drop(client);
    proxy.finish(1);
    // A target that has the body and says nothing has that time.
    let silent = Target::start(|_, mut wire| {
        wire.message()?;
        pause(2000);
        Ok(())
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", group, &[silent.address()]));
    let mut client = proxy.client();
    client.send(format!("{head}12345678")).unwrap();
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 504 "));
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("attempt_timeout"), "{}", log[0]);
}

#[test]
fn a_whole_exchange_has_a_time_whatever_it_waits_for() {
    let total = "timeouts.total = \"500ms\"\n";
    // A response that has begun is cut off.
    let endless = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")?;
        loop {
            pause(50);
            wire.send("x")?;
        }
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", total, &[endless.address()]));
    let mut client = proxy.client();
    client.send(GET).unwrap();
    let (bytes, _) = client.until_end().unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200 ") && bytes.len() < 2000);
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("total_timeout"), "{}", log[0]);
    // So is a client that goes on sending; it is the target's time all the same.
    let target = Target::saying("ok").unwrap();
    let proxy = Proxy::start(&simple("", total, &[target.address()]));
    let mut client = proxy.client();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n";
    client.send(head).unwrap();
    let sending = Instant::now();
    while client.send("x").is_ok() && sending.elapsed() < Duration::from_secs(2) {
        pause(50);
    }
    let (bytes, _) = client.until_end().unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 504 "));
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("total_timeout"), "{}", log[0]);
    // And who waits for room.
    let slow = slow_at_first(9, 1500);
    let text = simple("", total, &[slow.address()]);
    let one = format!(
        "{{ address = \"{}\", max_connections = 1 }}",
        slow.address()
    );
    let text = text.replace(&format!("\"{}\"", slow.address()), &one);
    let proxy = Proxy::start(&text);
    let mut clients: Vec<Wire> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(GET).unwrap();
    }
    for client in &mut clients {
        assert!(client.message().unwrap().starts_with(b"HTTP/1.1 504 "));
    }
    // The connection is good for the next request, which has a time of its own.
    let mut again = clients.remove(0);
    pause(3500);
    again.send(GET).unwrap();
    assert!(again.message().is_ok());
    drop((again, clients));
    let log = proxy.finish(4);
    let all = log.iter().take(3).all(|it| it.contains("total_timeout"));
    assert!(all, "{log:#?}");
}

#[test]
fn a_tunnel_is_no_exchange_that_ends() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")?;
        pause(1500);
        wire.send("late")?;
        Ok(())
    })
    .unwrap();
    let group = "timeouts.total = \"300ms\"\ntimeouts.attempt = \"300ms\"\n";
    let proxy = Proxy::start(&simple("", group, &[target.address()]));
    let mut client = proxy.client();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        .unwrap();
    let (bytes, _) = client.until_end().unwrap();
    assert!(bytes.ends_with(b"late"));
    drop(client);
    proxy.finish(1);
}

#[test]
fn rules_say_other_times() {
    let target = slow_at_first(9, 900);
    let text = format!(
        "[listener.web]\nbind = \"@0\"\n\
         [[listener.web.rule]]\nwhen = 'path == \"/long\"'\n\
         actions = [{{ set_timeout = {{ total = \"10s\" }} }}, {{ set_timeout = {{ attempt = \"10s\" }} }}]\n\
         [[listener.web.rule]]\nforward = \"app\"\n\
         [target_group.app]\ntargets = [\"{}\"]\nretries = 0\n\
         timeouts = {{ attempt = \"200ms\", total = \"300ms\" }}\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client.send(GET).unwrap();
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 504 "));
    client.send(GET.replace("/ ", "/long ")).unwrap();
    assert!(client.message().unwrap().starts_with(b"HTTP/1.1 200 "));
    drop(client);
    proxy.finish(2);
}

#[test]
fn no_attempt_begins_after_the_time_for_retries() {
    for (within, expected) in [("100ms", "503"), ("30s", "200")] {
        let bad = Target::start(|_, mut wire| {
            wire.message()?;
            pause(300);
            wire.send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")?;
            Ok(())
        })
        .unwrap();
        let good = Target::saying("ok").unwrap();
        let group = format!("retry_on = [503]\nretry_within = \"{within}\"\n");
        let proxy = Proxy::start(&simple("", &group, &[bad.address(), good.address()]));
        let mut client = proxy.client();
        client.send(GET).unwrap();
        let answer = String::from_utf8(client.message().unwrap()).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(expected));
        drop(client);
        proxy.finish(1);
    }
}

#[test]
fn who_was_waited_for_when_the_time_was_over_is_known() {
    let total = "timeouts.total = \"300ms\"\n";
    let target = slow_at_first(9, 1500);
    let named = format!("\"target\":\"{}\"", target.address());
    let start = |group: &str| {
        let proxy = Proxy::start(&simple("", group, &[target.address()]));
        let policy = PassiveHealth::default();
        proxy.target(0, 0).judge_by(Some(&policy), true);
        proxy
    };
    let failures = |proxy: &Proxy| proxy.target(0, 0).passive().unwrap().counts().failed;
    let refused = |client: &mut Wire| client.message().unwrap().starts_with(b"HTTP/1.1 504 ");
    // A target that does not answer was late.
    let proxy = start(total);
    let mut client = proxy.client();
    client.send(GET).unwrap();
    assert!(refused(&mut client));
    assert_eq!(failures(&proxy), 1);
    drop(client);
    let log = proxy.finish(1);
    assert!(
        log[0].contains(&named) && log[0].contains("total_timeout"),
        "{}",
        log[0]
    );
    // It was not where the client's body was waited for.
    let proxy = start(total);
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        .unwrap();
    assert!(refused(&mut client));
    assert_eq!(failures(&proxy), 0);
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("total_timeout"), "{}", log[0]);
}

#[test]
fn the_one_target_that_is_waited_for_in_a_queue_is_named() {
    let slow = slow_at_first(9, 2000);
    let proxy = Proxy::start(&format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n\
         [target_group.app]\n\
         targets = [{{ name = \"one\", address = \"{}\", max_connections = 1 }}]\n\
         [[target_group.app.rule]]\nwhen = 'PathPrefix(`/short`)'\nset_timeout = {{ total = '300ms' }}\n\
         [[target_group.app.rule]]\nwhen = 'Path(`/short/one`)'\nuse_target = 'one'\n",
        slow.address()
    ));
    // It keeps the place for longer than others wait.
    let mut first = proxy.client();
    first.send(GET).unwrap();
    assert!(eventually(|| slow.received_in_all().contains("GET")));
    for path in ["/short/one ", "/short "] {
        let mut client = proxy.client();
        client.send(GET.replace("/ ", path)).unwrap();
        assert!(client.message().unwrap().starts_with(b"HTTP/1.1 504 "));
    }
    assert!(first.message().unwrap().starts_with(b"HTTP/1.1 200 "));
    drop(first);
    let log = proxy.finish(3);
    let one = "\"target\":\"one\"";
    let named = log.iter().take(2).map(|it| it.contains(one));
    assert!(named.eq([true, false]), "{log:#?}");
    assert!(log[1].contains("total_timeout"), "{}", log[1]);
}
