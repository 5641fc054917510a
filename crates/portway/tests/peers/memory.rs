//! Memory runs out: who is served is served to the end, new clients wait, new requests are turned away beyond that, and all is as
//! before once there is room.

use std::io::Read;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, tunnels};
use crate::support::{eventually, free_port};

const OPEN: &str = "portway_listener_connections_open{listener=\"web\"} ";
const BUFFERS: &str = "portway_memory_used_bytes{by=\"buffers\"} ";
const REACHED: &str = "portway_limit_reached_total{limit=\"memory\"} ";

/// Bytes of the body of a slow upload.
const BODY: usize = 20_000;

fn begin_upload(client: &mut Client) {
    client.send(&format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {BODY}\r\n\r\n{}",
        "x".repeat(BODY / 2)
    ));
}

fn end_upload(client: &mut Client) {
    client.send(&"y".repeat(BODY / 2));
    let head = client.answer();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
}

/// What was answered before the body was whole.
fn early_answer(client: &mut Client) -> Option<String> {
    let patience = |time| client.0.get_ref().set_read_timeout(Some(time)).unwrap();
    patience(Duration::from_millis(50));
    let answered = client
        .0
        .get_ref()
        .peek(&mut [0])
        .is_ok_and(|count| count > 0);
    patience(Duration::from_secs(20));
    answered.then(|| client.answer())
}

fn status_of(client: &mut Client) -> String {
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.answer()
}

fn level(stage: &Stage) -> String {
    let status = stage.command(&["status", "--json"]).good();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["process"]["memory"]["level"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn log_says(stage: &Stage, words: &str) {
    eventually(format_args!("the log says `{words}`"), || {
        stage.portway.process.log().contains(words).then_some(())
    });
}

fn number(stage: &Stage, line: &str) -> u64 {
    stage.metric(line).parse().unwrap()
}

/// Somebody who comes now, and what becomes of the request.
fn comes(web: u16) -> JoinHandle<String> {
    thread::spawn(move || Client::new(web).ask("/"))
}

#[test]
fn slow_uploads_fill_the_budget_and_are_served_to_the_end() {
    let (one, chat, web, ws) = (Echo::start("one"), tunnels(), free_port(), free_port());
    // Each second attempt is at a dead target, and is made again.
    let ports = [one.port, free_port()];
    let with = |bytes: u64, more: &str| {
        format!(
            "[process]\nworkers = 2\nmax_memory = {bytes}\n{}{}{}{}{more}",
            listener("web", web, "app"),
            listener("ws", ws, "chat"),
            group("chat", &[chat]),
            group("app", &ports),
        )
    };
    let budget = 4 << 20;
    let stage = Stage::new(&with(budget, ""));
    assert_eq!(
        stage.metric("portway_memory_budget_bytes "),
        budget.to_string()
    );
    let mut tunnel = Client::tunnel(ws);
    let mut inside: Vec<Client> = (0..200).map(|_| Client::new(web)).collect();
    for client in &mut inside {
        assert_eq!(client.ask("/"), "one");
    }
    let mut probe = inside.pop().unwrap();
    assert_eq!(level(&stage), "free");
    let mut uploads = Vec::new();
    let refused = loop {
        let mut client = inside.pop().expect("it is never full");
        begin_upload(&mut client);
        match early_answer(&mut client) {
            Some(head) => break head,
            None => uploads.push(client),
        }
    };
    assert!(refused.starts_with("http/1.1 503 "), "{refused}");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(uploads.len() > 50, "{}", uploads.len());
    assert_ne!(level(&stage), "free");
    log_says(&stage, "bytes of 4194304 that they may: new clients wait");
    // Who comes waits, and who rests stays: closing them would not help. A reload changes nothing about that, and a smaller budget
    // counts at once.
    let open = number(&stage, OPEN);
    let waiting: Vec<_> = (0..5).map(|_| comes(web)).collect();
    eventually("they wait", || (number(&stage, REACHED) >= 2).then_some(()));
    stage.becomes(&with(3 << 20, "retries = 5\n"));
    tunnel.beats();
    assert_eq!(level(&stage), "full");
    for _ in 0..2 {
        let head = eventually("requests are turned away", || {
            let head = status_of(&mut probe);
            head.starts_with("http/1.1 503 ").then_some(head)
        });
        assert!(!head.contains("\r\nconnection: close\r\n"), "{head}");
    }
    let faults = "portway_listener_faults_total{listener=\"web\",fault=\"exhausted\"} ";
    assert!(number(&stage, faults) >= 3);
    // The client that was turned away with half of its body may have gone.
    assert!((open - 1..=open).contains(&number(&stage, OPEN)));
    assert!(waiting.iter().all(|it| !it.is_finished()));
    // A larger budget lets them in at once.
    stage.becomes(&with(64 << 20, "retries = 5\n"));
    for client in waiting {
        assert_eq!(client.join().unwrap(), "one");
    }
    let head = status_of(&mut probe);
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    stage.becomes(&with(3 << 20, "retries = 5\n"));
    eventually("requests are turned away again", || {
        let head = status_of(&mut probe);
        head.starts_with("http/1.1 503 ").then_some(())
    });
    let waiting = comes(web);
    uploads.iter_mut().for_each(end_upload);
    assert_eq!(waiting.join().unwrap(), "one");
    tunnel.beats();
    eventually("all is given back", || {
        (number(&stage, BUFFERS) <= 32 * 1024).then_some(())
    });
    assert_eq!(level(&stage), "free");
    for client in inside.iter_mut().chain(&mut uploads) {
        assert_eq!(client.ask("/"), "one");
    }
    log_says(&stage, "there is memory again");
}

#[test]
fn slow_downloads_hold_up_those_who_come_and_end_whole() {
    let (one, web) = (Echo::start("one"), free_port());
    let length = 12_000_000;
    let stage = Stage::new(&format!(
        // What goes by inside the kernel takes no memory of the process.
        "[process]\nworkers = 2\nmax_memory = 1048576\nmax_pipes = 0\n{}{}",
        listener("web", web, "app"),
        group("app", &[one.port]),
    ));
    let mut readers = Vec::new();
    while number(&stage, REACHED) == 0 {
        assert!(readers.len() < 60, "{}", stage.metric(BUFFERS));
        let mut client = Client::new(web);
        client.send(&format!(
            "GET /bytes/{length} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        readers.push(client);
        thread::sleep(Duration::from_millis(20));
    }
    let waiting = comes(web);
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    for mut client in readers {
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        assert!(answer.len() > length, "{}", answer.len());
    }
    assert_eq!(waiting.join().unwrap(), "one");
    eventually("all is given back", || {
        (stage.metric(BUFFERS) == "0").then_some(())
    });
    assert_eq!(level(&stage), "free");
}
