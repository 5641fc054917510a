//! A target that leaves or drains has the time of its group for what is in progress.

use std::time::{Duration, Instant};

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, tunnels};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade;

fn draining(stage: &Stage) -> Vec<String> {
    let status = stage.portway.status();
    let draining = status["draining"].as_array().cloned().unwrap_or_default();
    let name = |it: &serde_json::Value| it["name"].as_str().unwrap().to_owned();
    draining.iter().map(name).collect()
}

#[test]
fn a_target_that_a_reload_removes_has_the_time_of_its_group() {
    let (web, other_web) = (free_port(), free_port());
    let [short, long] = [tunnels(), tunnels()];
    let stays = Echo::start("stays");
    let with = |short: &[u16], long: &[u16], delay: &str| {
        format!(
            "[process]\ndrain_deadline = '1h'\n{}{}{}deregistration_delay = '{delay}'\n{}",
            listener("web", web, "app"),
            listener("other", other_web, "other"),
            group("app", short),
            group("other", long)
        )
    };
    let stage = Stage::new(&with(&[short], &[long], "3h"));
    let (mut short_lived, mut long_lived) = (Client::tunnel(web), Client::tunnel(other_web));
    let begun = Instant::now();
    // What the group says when its target goes is what counts.
    stage.becomes(&with(&[stays.port], &[stays.port], "2s"));
    short_lived.beats();
    long_lived.beats();
    let left = draining(&stage);
    assert_eq!(left.len(), 2, "{left:?}");
    short_lived.ends();
    assert!(begun.elapsed() >= Duration::from_secs(2));
    // The other group has the time of the process.
    long_lived.beats();
    eventually("one is left", || {
        (draining(&stage) == [format!("other/127.0.0.1:{long}")]).then_some(())
    });
    assert_eq!(Client::new(web).ask("/"), "stays");
}

#[test]
fn a_command_gives_the_time_of_the_group_unless_it_says_another() {
    let (web, one) = (free_port(), tunnels());
    let stays = Echo::start("stays");
    let text = |delay: &str| {
        format!(
            "{}{}deregistration_delay = '{delay}'\n",
            listener("web", web, "app"),
            group("app", &[one, stays.port])
        )
    };
    let stage = Stage::new(&text("1s"));
    let name = format!("app/127.0.0.1:{one}");
    let tunnel = || loop {
        // One of two targets takes upgrades.
        let mut client = Client::new(web);
        client.upgrade();
        if client.answer().starts_with("http/1.1 101 ") {
            return client;
        }
    };
    let mut first = tunnel();
    let begun = Instant::now();
    stage.command(&["drain", "target", &name]).good();
    first.ends();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    stage.command(&["undrain", "target", &name]).good();
    // A time that is said counts; so does another of the group, over a reload.
    let mut second = tunnel();
    stage
        .command(&["drain", "target", &name, "--deadline", "1h"])
        .good();
    stage.becomes(&text("0s"));
    second.beats();
    stage.command(&["undrain", "target", &name]).good();
    second.beats();
    stage.command(&["drain", "target", &name]).good();
    second.ends();
    assert_eq!(Client::new(web).ask("/"), "stays");
}

#[test]
fn what_an_upgrade_leaves_to_the_process_before_has_the_time_of_its_group() {
    let ports = [free_port(), free_port(), free_port()];
    let servers = [tunnels(), tunnels(), tunnels()];
    let text = format!(
        "[process]\ndrain_deadline = '3s'\n{}{}{}{}{}deregistration_delay = '1s'\n{}deregistration_delay = '6s'\n",
        listener("usual", ports[0], "usual"),
        listener("short", ports[1], "short"),
        listener("long", ports[2], "long"),
        group("usual", &[servers[0]]),
        group("short", &[servers[1]]),
        group("long", &[servers[2]]),
    );
    let stage = upgrade::Stage::with(Scene::new(), &text, &[]);
    let [mut usual, mut short, mut long] = ports.map(Client::tunnel);
    let begun = Instant::now();
    let answer = stage.upgrade();
    assert_eq!(answer["before"]["deadline"], 6.0, "{answer:#}");
    let ends = |client: &mut Client, seconds: u64| {
        client.ends();
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(seconds), "{took:?}");
    };
    usual.beats();
    ends(&mut short, 1);
    ends(&mut usual, 3);
    long.beats();
    ends(&mut long, 6);
    eventually("the process before has ended", || {
        let log = stage.first.log();
        log.contains("deadline of the stop reached: 3 connections cut")
            .then_some(())
    });
}
