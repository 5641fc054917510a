//! Slow start: a target that comes back or joins others takes its share little by little, over reloads and upgrades too.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::control_socket::ask;
use crate::echo::Echo;
use crate::stage::{Client, listener};
use crate::support::{Process, Scene, eventually, free_port};
use crate::upgrade::Stage;

/// A target with weight 100 and what else it says of itself.
fn target(name: &str, more: &str) -> String {
    let port = Echo::start(name).port;
    format!("{{ name = '{name}', address = '127.0.0.1:{port}', weight = 100, {more} }}")
}

/// A control socket, a listener and a group.
fn text(scene: &Scene, web: u16, targets: &[&str]) -> String {
    let folder = scene.path("").display().to_string();
    format!(
        "[process]\ncontrol_sockets = {{ bind = 'unix:{folder}ctl.sock', level = 'admin' }}\n{}\
         [target_group.app]\nhealth_check = {{ tcp = true, interval = '30s' }}\ntargets = [{}]\n",
        listener("web", web, "app"),
        targets.join(", ")
    )
}

fn targets(stage: &Stage) -> Vec<Value> {
    let status = stage.json(&["status"]);
    let targets = status["target_groups"][0]["targets"].as_array();
    targets.unwrap().clone()
}

fn weights(stage: &Stage) -> Vec<u64> {
    let all = targets(stage);
    all.iter()
        .map(|it| it["weight"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_share_rises_over_a_reload_and_an_upgrade_to_what_was_said() {
    let scene = Scene::new();
    let (web, socket) = (free_port(), scene.path("ctl.sock"));
    let [a, b] = ["a", "b"].map(|name| target(name, "slow_start = '9s'"));
    let first = text(&scene, web, &[&a, &b]);
    let stage = Stage::with(scene, &first, &[]);
    // At the start nobody rises.
    assert_eq!(weights(&stage), [100, 100]);
    ask(&socket, "set weight app/a 40");
    ask(&socket, "set server app/a health down");
    ask(&socket, "set server app/a health up");
    let begun = Instant::now();
    // What was said is the whole, what counts a part of it.
    let early = &targets(&stage)[0];
    assert!(early["weight"].as_u64().unwrap() < 20, "{early:#}");
    let reason = early["reason"].as_str().unwrap();
    let told = reason.contains("weight 40 by command") && reason.contains("slow start: ");
    assert!(told, "{reason}");
    let answer = ask(&socket, "get weight app/a");
    assert_eq!(answer.trim(), "40 (initial 100)");
    // What looks after the target is another from now on.
    stage.becomes(&first.replace("'30s'", "'29s'"));
    let after_reload = weights(&stage)[0];
    stage.upgrade();
    let after_upgrade = weights(&stage)[0];
    if begun.elapsed() < Duration::from_secs(8) {
        assert!(
            after_reload < 40 && after_upgrade < 40,
            "{after_reload} {after_upgrade}"
        );
    }
    eventually("a takes what was said", || {
        (weights(&stage) == [40, 100]).then_some(())
    });
    assert!(begun.elapsed() >= Duration::from_secs(8));
    // Alone, one that has just come back takes all.
    ask(&socket, "set server app/a health down");
    ask(&socket, "set server app/a health up");
    ask(&socket, "set server app/b health down");
    let mut client = Client::new(web);
    for _ in 0..5 {
        assert_eq!(client.ask("/"), "a");
    }
}

#[test]
fn a_target_that_joins_others_rises_unless_it_is_not_to() {
    let scene = Scene::new();
    let web = free_port();
    let slow = "slow_start = '90s'";
    let [a, b, c] = ["a", "b", "c"].map(|name| target(name, slow));
    let d = target("d", "slow_start = '90s', slow_start_when_new = false");
    let [first, second, third, fourth] =
        [&[&*a][..], &[&a, &b], &[&a, &b, &d], &[&a, &c]].map(|targets| text(&scene, web, targets));
    let stage = Stage::with(scene, &first, &[]);
    stage.becomes(&second);
    let joined = weights(&stage);
    assert!(joined[0] == 100 && joined[1] < 50, "{joined:?}");
    // One more reload changes nothing of who rises.
    stage.becomes(&third);
    let joined = weights(&stage);
    assert!(
        joined[0] == 100 && joined[1] < 50 && joined[2] == 100,
        "{joined:?}"
    );
    // One that comes with the next process rises too.
    fs::write(&stage.file, &fourth).unwrap();
    stage.upgrade();
    let joined = weights(&stage);
    assert!(joined[0] == 100 && joined[1] < 50, "{joined:?}");
}

/// What makes a file for a listener and targets `a`, `b` and a dead one that rise for so long, with a number that may be another.
type Rising = fn(u16, [u16; 3], &str, u32) -> String;

fn native(web: u16, [a, b, dead]: [u16; 3], slow: &str, number: u32) -> String {
    let target = |(name, port)| {
        format!(
            "{{ name = '{name}', address = '127.0.0.1:{port}', weight = 100, slow_start = '{slow}' }}"
        )
    };
    let all = [("a", a), ("b", b), ("dead", dead)].map(target);
    format!(
        "{}[target_group.app]\nretries = {number}\ntargets = [{}]\n[target_group.app.health_check]\ntcp = true\n\
         interval = '100ms'\ntimeout = '30s'\nhealthy_threshold = 1\nunhealthy_threshold = 1\n",
        listener("web", web, "app"),
        all.join(", ")
    )
}

fn haproxy(web: u16, [a, b, dead]: [u16; 3], slow: &str, number: u32) -> String {
    format!(
        "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n timeout check 30s\n\
         frontend web\n bind 127.0.0.1:{web}\n default_backend app\n\
         backend app\n option redispatch 1\n retries {number}\n \
         default-server check inter 100ms rise 1 fall 1 weight 100 slowstart {slow}\n \
         server a 127.0.0.1:{a}\n server b 127.0.0.1:{b}\n server dead 127.0.0.1:{dead}\n"
    )
}

#[test]
fn who_was_dead_rises_over_a_reload_and_an_upgrade() {
    let ways: [(Rising, &[&str]); 2] = [(native, &[]), (haproxy, &["--as", "haproxy"])];
    for (text, arguments) in ways {
        let scene = Scene::new();
        let (web, ports) = (free_port(), [(); 3].map(|()| free_port()));
        let start = |scene: &Scene, name: &str, port: u16| -> Process {
            let answer = format!("add_header X-Server {name}; return 200;");
            let block = format!("server {{ listen 127.0.0.1:{port}; location / {{ {answer} }} }}");
            scene.nginx(port, &block)
        };
        let mut a = start(&scene, "a", ports[0]);
        let _b = start(&scene, "b", ports[1]);
        let file = |slow: &str, number| text(web, ports, slow, number);
        let stage = Stage::with(scene, &file("90s", 3), arguments);
        // How many of sixty requests come to the first.
        let share = || {
            let mut client = Client::new(web);
            (0..60).filter(|_| client.ask("/") == "a").count()
        };
        stage.until_health(2, "unhealthy");
        stage.until_health(0, "healthy");
        assert_eq!(weights(&stage)[..2], [100, 100]);
        assert!((29..=31).contains(&share()));
        a.signal(Signal::KILL);
        a.wait();
        stage.until_health(0, "unhealthy");
        assert_eq!(share(), 0);
        let _a = start(&stage.scene, "a", ports[0]);
        stage.until_health(0, "healthy");
        let begun = Instant::now();
        let is_rising = |what: &str| {
            let (weights, share) = (weights(&stage), share());
            // Where the machine let so much time pass, nothing is said.
            if begun.elapsed() < Duration::from_secs(45) {
                assert!(weights[0] < 60 && weights[1] == 100, "{what}: {weights:?}");
                assert!(share < 25, "{what}: {share}");
            }
        };
        is_rising("at once");
        stage.becomes(&file("90s", 2));
        is_rising("after a reload");
        stage.upgrade();
        is_rising("after an upgrade");
        // For less time from now on: it is over.
        stage.becomes(&file("100ms", 2));
        eventually("it takes its share", || {
            (weights(&stage)[..2] == [100, 100]).then_some(())
        });
        assert!((29..=31).contains(&share()));
    }
}
