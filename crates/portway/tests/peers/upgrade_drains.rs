//! What drains goes over to the process that takes over; and a process that drains leaves its targets alone.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{Client, group, listener, tunnels};
use crate::support::{Scene, eventually, free_port, local};
use crate::upgrade::{Stage, get, is_there};

/// What drains, each with its name, state and what is left.
fn draining(stage: &Stage) -> Vec<(String, String, u64)> {
    let status = stage.json(&["status"]);
    let all = status["draining"].as_array().unwrap().iter();
    let word = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    let one = |it| {
        (
            word(it, "name"),
            word(it, "state"),
            it["left"].as_u64().unwrap(),
        )
    };
    let mut all: Vec<_> = all.map(one).collect();
    all.sort();
    all
}

/// One listener, its port, and a target that answers.
fn old_alone() -> (Echo, u16, Stage) {
    let (echo, old) = (Echo::start("one"), free_port());
    let text = listener("old", old, "app") + &group("app", &[echo.port]);
    (echo, old, Stage::with(Scene::new(), &text, &[]))
}

/// The listener is taken back, and serves.
fn comes_back(stage: &Stage, old: u16) {
    stage.command(&["undrain", "listener", "old"]).good();
    eventually("it is back", || TcpStream::connect(local(old)).ok());
    assert_eq!(get(old), "200");
}

/// Since when it drains and until when, in hundredths of a second.
fn moments(stage: &Stage, name: &str) -> [i64; 2] {
    let status = stage.json(&["status"]);
    let mut all = status["draining"].as_array().unwrap().iter();
    let found = all.find(|it| it["name"] == name).unwrap();
    ["since", "until"].map(|key| (found[key].as_f64().unwrap() * 100.0).round() as i64)
}

#[test]
fn what_drains_by_command_goes_over() {
    let (one, two, other) = (tunnels(), tunnels(), Echo::start("other"));
    let [web, old] = [(); 2].map(|()| free_port());
    let text = format!(
        "{}{}[target_group.app]\ntargets = [\n\
           {{ name = 'a', address = '127.0.0.1:{one}' }},\n\
           {{ name = 'b', address = '127.0.0.1:{two}' }}]\n{}",
        listener("web", web, "app"),
        listener("old", old, "gone"),
        group("gone", &[other.port]),
    );
    let stage = Stage::with(Scene::new(), &text, &[]);
    let tunnel = Client::tunnel(web);
    for what in [["target", "app/a"], ["listener", "old"], ["group", "gone"]] {
        let output = stage.command(&[&["drain"], &what[..], &["--deadline", "90s"]].concat());
        output.good();
    }
    let gone = format!("gone/127.0.0.1:{}", other.port);
    let expected = |left| {
        let one = |name: &str, state: &str, left| (name.to_owned(), state.to_owned(), left);
        let state = if left > 0 { "draining" } else { "drained" };
        let mut all = vec![
            one("app/a", state, left),
            one(&gone, "drained", 0),
            one("old", "drained", 0),
        ];
        all.sort();
        all
    };
    eventually("it drains", || {
        (draining(&stage) == expected(1)).then_some(())
    });
    let told = moments(&stage, "app/a");
    for _ in 0..2 {
        stage.upgrade();
        assert_eq!(draining(&stage), expected(1));
        let now = moments(&stage, "app/a");
        let close = now
            .iter()
            .zip(&told)
            .all(|(one, other)| (one - other).abs() <= 20);
        assert!(close, "{now:?} {told:?}");
        assert!(TcpStream::connect(local(old)).is_err());
        Client::tunnel(web).beats();
    }
    // The first process ends with its last connection, and then nothing is left.
    drop(tunnel);
    eventually("nothing is left", || {
        (draining(&stage) == expected(0)).then_some(())
    });
    for what in [["target", "app/a"], ["listener", "old"], ["group", "gone"]] {
        stage.command(&[&["undrain"], &what[..]].concat()).good();
    }
    assert_eq!(draining(&stage), []);
    eventually("it is back", || TcpStream::connect(local(old)).ok());
    assert_eq!(get(old), "200");
}

#[test]
fn nobody_comes_to_a_drained_listener_while_processes_follow_one_another() {
    let echo = Echo::start("one");
    let [web, old] = [(); 2].map(|()| free_port());
    let text = format!(
        "{}{}{}",
        listener("web", web, "app"),
        listener("old", old, "app"),
        group("app", &[echo.port])
    );
    let stage = Stage::with(Scene::new(), &text, &[]);
    stage.command(&["drain", "listener", "old"]).good();
    eventually("it refuses", || TcpStream::connect(local(old)).err());
    let (is_over, came) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let here = TcpStream::connect(local(old)).is_ok();
                    came.fetch_add(here.into(), Ordering::Relaxed);
                    thread::sleep(Duration::from_micros(200));
                }
            });
        }
        for _ in 0..3 {
            stage.upgrade();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(came.load(Ordering::Relaxed), 0);
    comes_back(&stage, old);
}

#[test]
fn another_program_at_the_address_of_a_drained_listener_stops_no_upgrade() {
    let (_echo, old, stage) = old_alone();
    stage.command(&["drain", "listener", "old"]).good();
    // The library sets SO_REUSEADDR.
    let other = eventually("the address is free", || TcpListener::bind(local(old)).ok());
    for _ in 0..2 {
        stage.upgrade();
        let client = TcpStream::connect(local(old)).unwrap();
        let (_, from) = other.accept().unwrap();
        assert_eq!(client.local_addr().unwrap(), from);
    }
    drop(other);
    comes_back(&stage, old);
}

#[test]
fn what_was_put_back_of_a_group_that_drains_serves_on_over_an_upgrade() {
    let [one, two] = ["one", "two"].map(Echo::start);
    let web = free_port();
    let text = listener("web", web, "app") + &group("app", &[one.port, two.port]);
    let stage = Stage::with(Scene::new(), &text, &[]);
    stage.command(&["drain", "group", "app", "--wait"]).good();
    let first = format!("app/127.0.0.1:{}", one.port);
    stage.command(&["undrain", "target", &first]).good();
    stage.upgrade();
    for _ in 0..4 {
        assert_eq!(Client::new(web).ask("/"), "one");
    }
    assert_eq!(stage.health(1).0, "unused");
}

#[test]
fn an_upgrade_follows_an_undrain_at_once() {
    let (_echo, old, stage) = old_alone();
    for _ in 0..4 {
        stage.command(&["drain", "listener", "old"]).good();
        eventually("it refuses", || TcpStream::connect(local(old)).err());
        stage.command(&["undrain", "listener", "old"]).good();
        stage.upgrade();
        eventually("it is back", || TcpStream::connect(local(old)).ok());
        assert_eq!(get(old), "200");
    }
}

#[test]
fn a_process_that_drains_checks_no_more() {
    let (one, checked) = (Echo::start("one"), TcpListener::bind(local(0)).unwrap());
    let counted = checked.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counts = count.clone();
    thread::spawn(move || {
        for stream in checked.incoming() {
            counts.fetch_add(1, Ordering::Relaxed);
            let _ = stream
                .unwrap()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let [web, raw] = [(); 2].map(|()| free_port());
    let text = |check: &str| {
        format!(
            "{}{}{check}[listener.raw]\nprotocol = 'tcp'\nbind = '127.0.0.1:{raw}'\nforward = 'raw'\n{}protocol = 'tcp'\n",
            listener("web", web, "checked"),
            group("checked", &[counted]),
            group("raw", &[one.port]),
        )
    };
    let check = "health_check = { http = '/', interval = '50ms' }\n";
    for by_upgrade in [true, false] {
        let stage = Stage::with(Scene::new(), &text(check), &[]);
        let now = || count.load(Ordering::Relaxed);
        let before = now();
        eventually("it checks", || (now() > before + 5).then_some(()));
        let mut stream = Client::new(raw);
        assert_eq!(stream.ask("/"), "one");
        if by_upgrade {
            std::fs::write(&stage.file, text("")).unwrap();
            stage.upgrade();
        } else {
            stage.first.signal(Signal::TERM);
            eventually("it stops", || {
                stage.first.log().contains("stopping").then_some(())
            });
        }
        // What has begun may end.
        thread::sleep(Duration::from_millis(200));
        let before = now();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(now(), before, "{by_upgrade}");
        assert!(is_there(stage.first.id().into()));
        assert_eq!(stream.ask("/"), "one");
        drop(stream);
        drop(stage);
    }
}
