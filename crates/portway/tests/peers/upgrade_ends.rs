//! Ends of a new process before it serves, by a signal or by what it lacks: they are its own, and are told.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{group, listener};
use crate::support::{PORTWAY, Process, Scene, eventually, free_port};
use crate::upgrade::{Stage, get, is_there, signal};

/// A configuration with a map that is read from a pipe, so for as long as the test wants.
fn slow(scene: &Scene, web: u16, one: &Echo) -> String {
    let made = Command::new("mkfifo").arg(scene.path("slow.map")).status();
    assert!(made.unwrap().success());
    let rule = "[[listener.web.rule]]\nset_header = { X-Team = '${header(`X-Who`).map(`slow`, `none`)}' }\n";
    let map = "[map.slow]\nfile = 'slow.map'\n";
    listener("web", web, "app") + rule + &group("app", &[one.port]) + map
}

/// True where a process catches the signal that asks for an end: it has come as far as that.
fn catches_term(process: u64) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|it| it.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|it| u64::from_str_radix(it.trim(), 16).ok());
    caught.is_some_and(|it| it & (1 << 14) != 0)
}

#[test]
fn a_signal_before_it_serves_ends_the_new_one_alone() {
    let one = Echo::start("one");
    let web = free_port();
    let scene = Scene::new();
    let slow = slow(&scene, web, &one);
    let quick = listener("web", web, "app") + &group("app", &[one.port]);
    let stage = Stage::with(scene, &quick, &[]);
    let process = stage.process();
    fs::write(&stage.file, slow).unwrap();
    let answer = std::thread::scope(|scope| {
        let refused = scope.spawn(|| stage.refused(&[]));
        // Children are those of threads.
        let child = eventually("a new process waits for its map", || {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
            let mut children = tasks.filter_map(|task| {
                let text = fs::read_to_string(task.ok()?.path().join("children")).ok()?;
                text.split_whitespace().next()?.parse().ok()
            });
            children.find(|child| catches_term(*child))
        });
        signal(child, Signal::TERM);
        let answer: Value = refused.join().unwrap();
        assert!(!is_there(child));
        answer
    });
    let text = answer.to_string();
    assert!(
        text.contains("stopped by SIGTERM before it served"),
        "{text}"
    );
    assert_eq!((get(web), stage.process()), ("200".to_owned(), process));
}

#[test]
fn a_signal_ends_a_process_that_starts() {
    let one = Echo::start("one");
    let web = free_port();
    let scene = Scene::new();
    let text = slow(&scene, web, &one);
    scene.file("web.toml", text);
    let admin = format!("127.0.0.1:{}", free_port());
    let mut starts: Process = scene.spawn(PORTWAY, &["run", "web.toml", "--admin", &admin]);
    eventually("it waits for its map", || {
        catches_term(starts.id().into()).then_some(())
    });
    starts.signal(Signal::TERM);
    let status = starts.wait();
    assert!(status.success(), "{status}: {}", starts.log());
    assert!(starts.log().contains("stopped by SIGTERM before it served"));
}

#[test]
fn too_few_descriptors_are_told() {
    let one = Echo::start("one");
    let web = free_port();
    let sockets: Vec<String> = (0..100)
        .map(|it| format!("'unix:@portway-few-{web}-{it}'"))
        .collect();
    let many = format!("bind = [{}, ", sockets.join(", "));
    let text = listener("web", web, "app")
        .replace("bind = ", &many)
        .replace("'\nforward", "']\nforward")
        + &group("app", &[one.port]);
    let few = ["sh", "-c", "ulimit -n 255; exec \"$@\"", "sh"];
    let stage = Stage::started_by(Scene::new(), &text, &few);
    let answer = stage.refused(&[]);
    let found = answer["diagnostics"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{answer:#}");
    let message = found[0]["message"].as_str().unwrap();
    assert!(
        message.contains("this process may have 255: raise the limit"),
        "{message}"
    );
    assert_eq!(get(web), "200");
}

#[test]
fn who_started_it_is_named_once() {
    let one = Echo::start("one");
    let web = free_port();
    let text = listener("web", web, "app") + &group("app", &[one.port]);
    let stage = Stage::with(Scene::new(), &text, &[]);
    let answer = stage.upgrade();
    assert_eq!(
        answer["supervisor"]["pid"],
        std::process::id(),
        "{answer:#}"
    );
    assert_eq!(stage.upgrade().get("supervisor"), None);
}
