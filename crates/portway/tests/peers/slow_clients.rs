//! Clients that send or read less than is demanded are cut off, those that keep up and those who wait for us are not.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::free_port;

const BODY: usize = 20_000;

/// Begins a request with a body.
fn begin(port: u16, path: &str) -> Client {
    let mut client = Client::new(port);
    client.send(&format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n"
    ));
    client
}

/// Sends so many bytes a second until all are sent or an answer comes; how many were sent.
fn trickle(client: &mut Client, rate: u128) -> usize {
    let (began, mut sent) = (Instant::now(), 0);
    let stream = client.0.get_mut();
    while sent < BODY {
        thread::sleep(Duration::from_millis(100));
        let due = usize::try_from(began.elapsed().as_millis() * rate / 1000).unwrap();
        let now = due.min(BODY).saturating_sub(sent);
        stream.write_all(&vec![b'x'; now]).unwrap();
        sent += now;
        stream.set_nonblocking(true).unwrap();
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        if answered {
            break;
        }
    }
    sent
}

#[test]
fn who_sends_too_slowly_is_cut_off() {
    let (one, dead, web) = (Echo::start("one"), free_port(), free_port());
    // Each is tried again, at another.
    let app = group("app", &[dead, one.port]) + "algorithm = 'first'\n";
    let text = |rate: &str| {
        listener("web", web, "app") + "access_log = { to = 'file:log' }\n" + rate + &app
    };
    let stage = Stage::new(&text(""));
    let mut before = begin(web, "/");
    before.send("x");
    thread::sleep(Duration::from_millis(300));
    stage.becomes(&text("min_rate = { request = 2000, grace = '2s' }\n"));

    let mut slow = begin(web, "/");
    // What has begun has its rate over a change.
    stage.becomes(&(text("min_rate = { request = 2000, grace = '2s' }\n") + "retries = 2\n"));
    let fast = thread::spawn(move || {
        let mut fast = begin(web, "/slow/3000");
        assert_eq!(trickle(&mut fast, 5000), BODY);
        // Then it is the target that is waited for.
        fast.answer()
    });
    let sent = trickle(&mut slow, 100);
    assert!(sent < BODY / 2, "{sent}");
    let answer = slow.answer();
    assert!(answer.starts_with("http/1.1 408 "), "{answer}");
    slow.ends();
    assert!(fast.join().unwrap().starts_with("http/1.1 200 "));
    assert_eq!(
        stage.metric("portway_limit_reached_total{limit=\"client_rate\"} "),
        "1"
    );
    let log = || std::fs::read_to_string(stage.scene.path("log")).unwrap_or_default();
    crate::support::eventually("the record", || {
        log().contains("client_too_slow").then_some(())
    });
    // What began before the reload has the rules of then.
    before.send(&"x".repeat(BODY - 1));
    assert!(before.answer().starts_with("http/1.1 200 "));
}

#[test]
fn who_reads_too_slowly_is_cut_off() {
    let (one, dead, web) = (Echo::start("one"), free_port(), free_port());
    let rate = "min_rate = { response = 1000000, grace = '1s' }\n";
    let app = group("app", &[dead, one.port]) + "algorithm = 'first'\n";
    let text = listener("web", web, "app") + rate + &app;
    let stage = Stage::new(&text);
    let ask = |client: &mut Client| client.send("GET /bytes/30000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut good = Client::new(web);
    ask(&mut good);
    assert!(good.answer().starts_with("http/1.1 200 "));
    assert_eq!(good.ask("/slow/2500"), "one");

    let mut slow = Client::new(web);
    ask(&mut slow);
    stage.becomes(&(text + "retries = 2\n"));
    let mut read = 0;
    let mut piece = [0; 4096];
    // 40 KiB a second, and all that is there once the other side has ended it.
    let mut patient = true;
    loop {
        if patient {
            thread::sleep(Duration::from_millis(100));
            patient = stage.metric("portway_limit_reached_total{limit=\"client_rate\"} ") == "0";
        }
        match slow.0.get_mut().read(&mut piece) {
            Ok(n) if n > 0 => read += n,
            _ => break,
        }
    }
    assert!(read < 30_000_000, "{read}");
    assert_eq!(good.ask("/"), "one");
}

#[test]
fn heads_that_do_not_end_fill_a_listener_for_no_longer_than_they_may_take() {
    let (one, dead, web) = (Echo::start("one"), free_port(), free_port());
    let text = |more: &str| {
        format!(
            "{}max_connections = 8\ntimeouts = {{ request_head = '2s' }}\n{}algorithm = 'first'\n{more}",
            listener("web", web, "app"),
            group("app", &[dead, one.port]),
        )
    };
    let stage = Stage::new(&text(""));
    let open = || stage.metric("portway_listener_connections_open{listener=\"web\"} ");
    for round in 0..2 {
        let mut slow: Vec<Client> = (0..8)
            .map(|_| {
                let mut client = Client::new(web);
                client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
                client
            })
            .collect();
        crate::support::eventually("all places are taken", || (open() == "8").then_some(()));
        // One that comes now waits, and is served once they are over.
        let waits = thread::spawn(move || Client::new(web).ask("/"));
        if round == 1 {
            stage.becomes(&text("retries = 2\n"));
        }
        for client in &mut slow {
            assert!(client.answer().starts_with("http/1.1 408 "));
        }
        assert_eq!(waits.join().unwrap(), "one");
        crate::support::eventually("all places are free", || (open() == "0").then_some(()));
    }
    let late = stage.metric("portway_limit_reached_total{limit=\"listener_connections\"} ");
    assert!(late.parse::<u32>().unwrap() > 0);
}

/// Who is waited for is cut off with the listener that is no more, and the worker goes on.
#[test]
fn who_is_waited_for_can_be_cut_off() {
    let one = Echo::start("one");
    let [web, other] = [(); 2].map(|()| free_port());
    let app = group("app", &[one.port]) + "retry_body_bytes = 100000\n";
    let soon = "[process]\ndrain_deadline = '1s'\nworkers = 1\n";
    let both = soon.to_owned()
        + &listener("web", web, "app")
        + "min_rate = { request = 1, response = 1, grace = '1h' }\n"
        + &listener("other", other, "app")
        + &app;
    let stage = Stage::new(&both);
    let mut slow = begin(web, "/");
    slow.send("x");
    assert_eq!(Client::new(other).ask("/"), "one");
    stage.becomes(&(soon.to_owned() + &listener("other", other, "app") + &app));
    // It ends, whole or broken off, and nobody has answered for the target.
    let mut rest = Vec::new();
    let ended = slow.0.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains(" 200 "), "{ended:?} {rest}");
    for _ in 0..3 {
        assert_eq!(Client::new(other).ask("/"), "one");
    }
    stage.becomes(&both);
    assert_eq!(Client::new(web).ask("/"), "one");
}
