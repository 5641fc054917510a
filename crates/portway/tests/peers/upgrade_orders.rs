//! What is told to drain after an upgrade, or taken back then, holds in the processes before too: they have the connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::drain::{targets, within};
use crate::stage::{Client, listener, tunnels};
use crate::support::{Scene, eventually, free_port, local};
use crate::upgrade::Stage;

/// A listener `web` with a target `a`, and where it is.
fn staged() -> (Stage, u16, u16) {
    let (web, one) = (free_port(), tunnels());
    (
        Stage::with(Scene::new(), &text("a", web, one), &[]),
        web,
        one,
    )
}

fn text(name: &str, web: u16, one: u16) -> String {
    within(60) + &listener("web", web, "app") + &targets(&[(name, one, "")])
}

/// What is left of each that drains, and its state.
fn draining(stage: &Stage) -> Vec<(String, u64)> {
    let status = stage.json(&["status"]);
    let all = status["draining"].as_array().unwrap().iter();
    let one = |it: &Value| {
        let state = it["state"].as_str().unwrap().to_owned();
        (state, it["left"].as_u64().unwrap())
    };
    all.map(one).collect()
}

const KINDS: [[&str; 2]; 3] = [["target", "app/a"], ["group", "app"], ["listener", "web"]];

#[test]
fn what_drains_after_an_upgrade_is_waited_for_and_cut_off() {
    for what in KINDS {
        let (stage, web, _) = staged();
        let mut tunnel = Client::tunnel(web);
        stage.upgrade();
        let begun = Instant::now();
        let words = [&["drain"], &what[..], &["--deadline", "2s", "--wait"]].concat();
        thread::scope(|scope| {
            let waits = scope.spawn(|| stage.command(&words).good());
            eventually("it drains", || {
                (draining(&stage) == [("draining".to_owned(), 1)]).then_some(())
            });
            tunnel.beats();
            let said = waits.join().unwrap();
            assert!(said.contains("1 cut off"), "{what:?}: {said}");
        });
        assert!(begun.elapsed() >= Duration::from_secs(2));
        tunnel.ends();
        assert_eq!(draining(&stage), [("drained".to_owned(), 0)]);
    }
}

#[test]
fn what_ends_by_itself_in_an_earlier_process_has_drained() {
    let (stage, web, _) = staged();
    let tunnels = [(); 2].map(|()| Client::tunnel(web));
    stage.upgrade();
    let other = Client::tunnel(web);
    stage.upgrade();
    stage.command(&["drain", "target", "app/a"]).good();
    // In both processes before.
    assert_eq!(draining(&stage), [("draining".to_owned(), 3)]);
    drop((tunnels, other));
    eventually("it has drained", || {
        (draining(&stage) == [("drained".to_owned(), 0)]).then_some(())
    });
    let status = stage.json(&["status"]);
    assert_eq!(status["draining"][0]["cut_off"], 0);
}

#[test]
fn what_is_taken_back_or_given_more_time_after_an_upgrade_lives_on() {
    for what in KINDS {
        for more in [&["undrain"][..], &["drain", "--deadline", "60s"]] {
            let (stage, web, _) = staged();
            let mut tunnel = Client::tunnel(web);
            let begun = Instant::now();
            let words = [&["drain"], &what[..], &["--deadline", "3s"]].concat();
            stage.command(&words).good();
            stage.upgrade();
            stage.command(&[more, &what[..]].concat()).good();
            assert!(begun.elapsed() < Duration::from_secs(3));
            while begun.elapsed() < Duration::from_secs(4) {
                tunnel.beats();
                thread::sleep(Duration::from_millis(100));
            }
            tunnel.beats();
        }
    }
}

#[test]
fn what_a_reload_has_renamed_is_found_in_an_earlier_process() {
    let (stage, web, one) = staged();
    let mut tunnel = Client::tunnel(web);
    stage.upgrade();
    std::fs::write(&stage.file, text("z", web, one)).unwrap();
    stage.command(&["reload"]).good();
    let words = ["drain", "target", "app/z", "--deadline", "1s", "--wait"];
    let said = stage.command(&words).good();
    assert!(said.contains("1 cut off"), "{said}");
    tunnel.ends();
}

#[test]
fn earlier_processes_are_seen() {
    let (stage, web, _) = staged();
    let tunnel = Client::tunnel(web);
    stage.upgrade();
    let second = stage.json(&["status"])["process"]["pid"].clone();
    let other = [(); 2].map(|()| Client::tunnel(web));
    stage.upgrade();
    let seen = || {
        let status = stage.json(&["status"]);
        let all = status["earlier"].as_array().unwrap().iter();
        let one = |it: &Value| (it["pid"].clone(), it["connections"].as_u64().unwrap());
        all.map(one).collect::<Vec<_>>()
    };
    let first = Value::from(stage.first.id());
    let expected = [(first.clone(), 1), (second.clone(), 2)];
    eventually("both are seen", || (seen() == expected).then_some(()));
    let status = stage.json(&["status"]);
    let moment = |key: &str| status["earlier"][0][key].as_f64().unwrap();
    assert!(
        (moment("until") - moment("since") - 60.0).abs() < 1.0,
        "{status:#}"
    );
    let shown = stage.command(&["status"]).good();
    assert!(
        shown.contains("EARLIER PROCESS") && shown.contains(&format!("{first} ")),
        "{shown}"
    );
    drop(tunnel);
    eventually("one is left", || {
        (seen() == [(second.clone(), 2)]).then_some(())
    });
    drop(other);
    eventually("none is left", || seen().is_empty().then_some(()));
}

#[test]
fn nobody_comes_in_where_a_listener_has_drained() {
    let (stage, web, _) = staged();
    stage
        .command(&["drain", "listener", "web", "--wait"])
        .good();
    eventually("nobody comes in", || TcpStream::connect(local(web)).err());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asks = || {
            while !over.load(Ordering::Relaxed) {
                if let Ok(mut stream) = TcpStream::connect(local(web)) {
                    stream
                        .set_read_timeout(Some(Duration::from_secs(5)))
                        .unwrap();
                    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    let got = stream.read(&mut [0; 64]);
                    assert!(!got.is_ok_and(|count| count > 0), "it was served");
                }
                thread::sleep(Duration::from_millis(1));
            }
        };
        for _ in 0..3 {
            scope.spawn(asks);
        }
        for _ in 0..2 {
            stage.upgrade();
        }
        thread::sleep(Duration::from_millis(200));
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(draining(&stage), [("drained".to_owned(), 0)]);
    stage.command(&["undrain", "listener", "web"]).good();
    Client::tunnel(web).beats();
}
