//! What a change leaves behind: who waits, and what goes.

use crate::echo::Echo;
use crate::stage::{Client, Stage, listener, tunnels};
use crate::support::{eventually, free_port};

/// A group with these targets, each a name, a port and what more is said of it.
fn targets(list: &[(&str, u16, &str)]) -> String {
    let target = |(name, port, more): &(&str, u16, &str)| {
        format!("{{ name = '{name}', address = '127.0.0.1:{port}'{more} }}")
    };
    let list: Vec<String> = list.iter().map(target).collect();
    format!(
        "[target_group.app]\ntimeouts = {{ queue = '30s' }}\ntargets = [{}]\n",
        list.join(", ")
    )
}

const ONE: &str = ", max_connections = 1";

fn waiting(stage: &Stage) -> u64 {
    stage.portway.status()["target_groups"][0]["queued"]
        .as_u64()
        .unwrap()
}

/// Comes back once so many wait.
fn wait_for(stage: &Stage, count: u64) {
    eventually(format!("{count} wait"), || {
        (waiting(stage) == count).then_some(())
    });
}

#[test]
fn who_waits_is_served_by_the_targets_of_now() {
    let (one, two) = (tunnels(), tunnels());
    let web = free_port();
    let text = |list: &[(&str, u16, &str)]| listener("web", web, "app") + &targets(list);
    let a = ("a", one, ONE);
    let stage = Stage::new(&text(&[a]));
    for (what, next) in [
        (
            "a limit is raised",
            vec![("a", one, ", max_connections = 9")],
        ),
        ("a limit is removed", vec![("a", one, "")]),
        ("a target comes", vec![a, ("b", two, "")]),
        ("an address changes", vec![("a", two, "")]),
        ("another in its place", vec![("b", two, "")]),
    ] {
        stage.reload(&text(&[a]));
        let holds = Client::tunnel(web);
        let mut wait = [(); 2].map(|()| Client::new(web));
        for client in &mut wait {
            client.upgrade();
        }
        wait_for(&stage, 2);
        stage.becomes(&text(&next));
        for client in &mut wait {
            // The one who holds the place does not give it up.
            assert!(client.answer().starts_with("http/1.1 101 "), "{what}");
            client.beats();
        }
        assert_eq!(waiting(&stage), 0);
        drop(holds);
    }
}

#[test]
fn connections_that_wait_are_passed_to_the_targets_of_now() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let [tcp, fresh] = [(); 2].map(|()| free_port());
    let text = |port: u16, list: &[(&str, u16, &str)]| {
        let listener = listener("web", port, "app").replace("forward", "protocol = 'tcp'\nforward");
        listener + &targets(list).replace("targets", "protocol = 'tcp'\ntargets")
    };
    let a = ("a", one.port, ONE);
    let stage = Stage::new(&text(tcp, &[a]));
    let (mut holds, mut waits) = (Client::new(tcp), Client::new(tcp));
    assert_eq!(holds.ask("/"), "one");
    wait_for(&stage, 1);
    stage.becomes(&text(tcp, &[a, ("b", two.port, ONE)]));
    assert_eq!(waits.ask("/"), "two");
    assert_eq!(holds.ask("/"), "one");
    // What waited counts where it is.
    let metric = "portway_target_requests_in_flight{target_group=\"app\",target=\"b\"} ";
    assert_eq!(stage.metric(metric), "1");
    let mut last = Client::new(tcp);
    wait_for(&stage, 1);
    stage.becomes(&text(fresh, &[a, ("b", two.port, ", max_connections = 2")]));
    assert_eq!(last.ask("/"), "two");
}
