//! A drain that is said again, taken back, or meets what others have said.

use std::time::{Duration, Instant};

use crate::drain::{draining, haproxys, say, state_of, targets, told, within};
use crate::echo::Echo;
use crate::reload_tls::reload_certificates;
use crate::stage::{Client, Stage, group, listener, tunnels};
use crate::support::{eventually, free_port};

#[test]
fn what_was_put_back_on_a_socket_drains_again_at_once() {
    let one = Echo::start("one");
    let stage = haproxys(free_port(), &[one.port, 1]);
    for _ in 0..3 {
        assert!(told(&stage, &["drain", "target", "be/a", "--wait"]).0);
        assert_eq!(say(&stage, "set server be/a state ready").trim(), "");
        let (ok, said) = told(&stage, &["drain", "target", "be/a", "--wait"]);
        assert!(ok && said.contains("target be/a has drained"), "{said}");
        assert_eq!(state_of(&stage, 0), "unused");
    }
}

#[test]
fn a_maintenance_by_a_socket_ends() {
    let one = Echo::start("one");
    let web = free_port();
    let stage = haproxys(web, &[one.port]);
    for what in [["target", "be/a"], ["group", "be"]] {
        assert_eq!(say(&stage, "disable server be/a").trim(), "");
        assert_eq!(state_of(&stage, 0), "unused");
        let (ok, said) = told(&stage, &[&["undrain"], &what[..]].concat());
        assert!(ok, "{said}");
        assert_eq!(Client::new(web).ask("/"), "one");
    }
    assert_eq!(say(&stage, "shutdown frontend fe").trim(), "");
    let (ok, said) = told(&stage, &["undrain", "listener", "fe"]);
    assert!(!ok && said.contains("has stopped for good"), "{said}");
}

#[test]
fn what_was_put_back_of_a_group_that_drains_serves_on() {
    let [one, two, three] = ["one", "two", "three"].map(Echo::start);
    let web = free_port();
    let (a, b, c) = (
        ("a", one.port, ""),
        ("b", two.port, ""),
        ("c", three.port, ""),
    );
    let text =
        |list: &[(&str, u16, &str)]| within(60) + &listener("web", web, "app") + &targets(list);
    let stage = Stage::new(&text(&[a, b]));
    let serves = |name: &str| {
        for _ in 0..4 {
            assert_eq!(Client::new(web).ask("/"), name);
        }
    };
    assert!(told(&stage, &["drain", "group", "app", "--wait"]).0);
    assert!(told(&stage, &["undrain", "target", "app/a"]).0);
    serves("one");
    // What comes to the group drains as the group does, and who was put back does not.
    stage.becomes(&text(&[a, b, c]));
    serves("one");
    reload_certificates(&stage, &[]).good();
    serves("one");
    // It is known by its name, and by its address.
    stage.becomes(&text(&[("a", three.port, ""), b]));
    serves("three");
    stage.becomes(&text(&[("z", three.port, ""), b]));
    serves("three");
    assert!(told(&stage, &["drain", "group", "app", "--wait"]).0);
    stage.becomes(&text(&[("z", three.port, ", weight = 2"), b]));
    assert_eq!(state_of(&stage, 0), "unused");
    assert!(told(&stage, &["undrain", "group", "app"]).0);
    stage.becomes(&text(&[a, b]));
    for place in [0, 1] {
        assert_eq!(state_of(&stage, place), "healthy");
    }
}

#[test]
fn a_group_may_have_a_slash_in_its_name() {
    let chat = tunnels();
    let web = free_port();
    let text = within(60)
        + &listener("web", web, "a/b")
        + &group("\"a/b\"", &[chat])
        + &listener("other", free_port(), "a")
        + &group("a", &[chat]);
    let stage = Stage::new(&text);
    let mut tunnel = Client::tunnel(web);
    assert!(told(&stage, &["drain", "group", "a"]).0);
    let (ok, said) = told(
        &stage,
        &["drain", "group", "a/b", "--deadline", "1s", "--wait"],
    );
    assert!(ok && said.contains("1 cut off"), "{said}");
    tunnel.ends();
    let (ok, said) = told(&stage, &["drain", "group", "a", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(
        ok && answer["draining"].as_array().unwrap().len() == 1,
        "{said}"
    );
}

#[test]
fn another_deadline_of_the_process_counts() {
    let chat = tunnels();
    let ws = free_port();
    let mut stage = Stage::new(&(listener("ws", ws, "chat") + &group("chat", &[chat])));
    let mut tunnel = Client::tunnel(ws);
    assert!(told(&stage, &["drain", "process", "--deadline", "30s"]).0);
    eventually("it drains", || (!draining(&stage).is_empty()).then_some(()));
    let begun = Instant::now();
    assert!(told(&stage, &["drain", "process", "--deadline", "1s"]).0);
    tunnel.ends();
    assert!(begun.elapsed() < Duration::from_secs(20));
    stage.portway.process.wait();
}

#[test]
fn a_signal_behind_the_way_back_stops() {
    let one = Echo::start("one");
    let mut stage = Stage::new(&(listener("web", free_port(), "app") + &group("app", &[one.port])));
    assert!(told(&stage, &["drain", "process", "--ready-delay", "1h"]).0);
    eventually("it drains", || (!draining(&stage).is_empty()).then_some(()));
    assert!(told(&stage, &["undrain", "process"]).0);
    stage.portway.process.signal(rustix::process::Signal::TERM);
    assert!(stage.portway.process.wait().success());
}
