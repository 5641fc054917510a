//! What drains by command goes on doing so where a reload renames it, removes it, or brings it back.

use std::thread;

use crate::drain::{draining, state_of, targets, told, within};
use crate::stage::{Client, Stage, group, listener, tunnels};
use crate::support::{eventually, free_port};

/// What `--wait` says in the end, while `meanwhile` is done.
fn waits(stage: &Stage, words: &[&str], meanwhile: impl FnOnce()) -> (bool, String) {
    thread::scope(|scope| {
        let command = [&["drain"], words, &["--deadline", "3s", "--wait"]].concat();
        let waits = scope.spawn(move || told(stage, &command));
        eventually("it drains", || (!draining(stage).is_empty()).then_some(()));
        meanwhile();
        waits.join().unwrap()
    })
}

#[test]
fn a_target_drains_on_under_another_name_and_where_it_is_no_more() {
    let (one, two) = (tunnels(), tunnels());
    let web = free_port();
    let stays = within(60) + &listener("web", web, "app");
    let b = ("b", two, "");
    let text = |list: &[(&str, u16, &str)]| stays.clone() + &targets(list);
    let stage = Stage::new(&text(&[("a", one, ""), b]));
    for (what, steps, name) in [
        ("renamed", vec![vec![("z", one, ""), b]], "z"),
        ("removed", vec![vec![b]], "a"),
        ("brought back", vec![vec![b], vec![("a", one, ""), b]], "a"),
    ] {
        stage.reload(&text(&[("a", one, ""), b]));
        told(&stage, &["drain", "target", "app/b"]);
        let mut tunnel = Client::tunnel(web);
        assert!(told(&stage, &["undrain", "target", "app/b"]).0);
        let (ok, said) = waits(&stage, &["target", "app/a"], || {
            for step in &steps {
                stage.becomes(&text(step));
            }
            assert_eq!(draining(&stage), format!("target app/{name} 1"), "{what}");
            let by = &stage.portway.status()["draining"][0]["by"];
            assert_eq!(by, "command", "{what}");
            tunnel.beats();
        });
        assert!(ok && said.contains("1 cut off"), "{what}: {said}");
        tunnel.ends();
        if what != "removed" {
            // It stays out of service.
            assert_eq!(state_of(&stage, 0), "unused", "{what}");
            assert!(told(&stage, &["undrain", "target", &format!("app/{name}")]).0);
        }
        eventually("nothing drains", || {
            draining(&stage).is_empty().then_some(())
        });
    }
    // What has drained and is no more is another one when it comes again.
    stage.reload(&text(&[("a", one, ""), b]));
    assert!(told(&stage, &["drain", "target", "app/a", "--wait"]).0);
    stage.becomes(&text(&[b]));
    stage.becomes(&text(&[("a", one, ""), b]));
    assert_eq!(state_of(&stage, 0), "healthy");
}

#[test]
fn a_listener_drains_on_under_another_name_and_where_it_is_no_more() {
    let chat = tunnels();
    let [web, other] = [(); 2].map(|()| free_port());
    let stays = within(60) + &listener("other", other, "app") + &group("app", &[chat]);
    let text = |name: &str| listener(name, web, "app") + &stays;
    let stage = Stage::new(&text("web"));
    for (what, steps, name) in [
        ("renamed", vec![text("www")], "www"),
        ("removed", vec![stays.clone()], "web"),
        ("brought back", vec![stays.clone(), text("web")], "web"),
    ] {
        stage.reload(&text("web"));
        let mut tunnel = Client::tunnel(web);
        let (ok, said) = waits(&stage, &["listener", "web"], || {
            for step in &steps {
                stage.becomes(step);
            }
            assert_eq!(draining(&stage), format!("listener {name} 1"), "{what}");
            tunnel.beats();
        });
        assert!(ok && said.contains("1 cut off"), "{what}: {said}");
        tunnel.ends();
        if what != "removed" {
            assert_eq!(stage.portway.status()["listeners"][0]["state"], "paused");
            assert!(told(&stage, &["undrain", "listener", name]).0);
            Client::tunnel(web).beats();
        }
        eventually("nothing drains", || {
            draining(&stage).is_empty().then_some(())
        });
    }
}
