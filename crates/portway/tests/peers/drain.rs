//! What a change leaves behind: who waits, and what goes.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, tunnels};
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

/// How many wait in the queues of all groups.
fn waiting(stage: &Stage) -> u64 {
    let status = stage.portway.status();
    let groups = status["target_groups"].as_array().unwrap().iter();
    groups.map(|it| it["queued"].as_u64().unwrap()).sum()
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

/// What drains, each as `KIND NAME LEFT`.
fn draining(stage: &Stage) -> String {
    let status = stage.portway.status();
    let all = status["draining"].as_array().unwrap().iter();
    let one = |it: &Value| {
        assert!(it["until"].as_f64() > it["since"].as_f64(), "{it}");
        let [kind, name] = ["kind", "name"].map(|key| it[key].as_str().unwrap().to_owned());
        format!("{kind} {name} {}", it["left"])
    };
    all.map(one).collect::<Vec<_>>().join(", ")
}

fn within(seconds: u32) -> String {
    format!("[process]\ndrain_deadline = '{seconds}s'\n")
}

#[test]
fn what_drains_is_seen() {
    let (one, chat) = (Echo::start("one"), tunnels());
    let [web, gone] = [(); 2].map(|()| free_port());
    let stays = listener("web", web, "app") + &group("app", &[one.port]);
    let goes = listener("gone", gone, "chat") + &group("chat", &[chat]);
    let text = |seconds| within(seconds) + &stays;
    let stage = Stage::new(&(text(60) + &goes));
    let mut tunnels = [(); 3].map(|()| Client::tunnel(gone));
    stage.becomes(&text(60));
    let target = format!("target chat/127.0.0.1:{chat}");
    assert_eq!(draining(&stage), format!("listener gone 3, {target} 3"));
    assert_eq!(stage.metric("portway_draining{kind=\"target\"} "), "3");
    let shown = stage.command(&["status"]).good();
    assert!(
        shown.contains("DRAINS") && shown.contains("listener  gone"),
        "{shown}"
    );
    tunnels[0].beats();
    drop(tunnels);
    eventually("all is over", || draining(&stage).is_empty().then_some(()));
    let ended = "portway_drains_total{kind=\"listener\",result=\"ended\"} ";
    assert_eq!(stage.metric(ended), "1");
    stage.becomes(&(text(1) + &goes));
    let mut tunnel = Client::tunnel(gone);
    stage.becomes(&text(1));
    tunnel.beats();
    tunnel.ends();
    eventually("all is over", || draining(&stage).is_empty().then_some(()));
    let cut = "portway_drains_total{kind=\"listener\",result=\"cut_off\"} ";
    assert_eq!(stage.metric(cut), "1");
    let cut = "portway_drain_cut_connections_total{kind=\"target\"} ";
    assert_eq!(stage.metric(cut), "1");
    let log = stage.portway.process.log();
    for line in [
        format!("listener gone accepts no more on 127.0.0.1:{gone}"),
        format!("listener gone accepts http on 127.0.0.1:{gone}"),
        "listener gone drains: 3 connections, cut off in 60s".to_owned(),
        "listener gone has drained after".to_owned(),
        "s: cut off 1 connection".to_owned(),
    ] {
        assert!(log.contains(&line), "{line}: {log}");
    }
}

#[test]
fn what_comes_back_is_taken_back() {
    let (one, chat, stream) = (Echo::start("one"), tunnels(), Echo::start("stream"));
    let [web, ws, tcp] = [(); 3].map(|()| free_port());
    let stays = within(1) + &listener("web", web, "app") + &group("app", &[one.port]);
    let named = |name: &str| {
        let tcp = format!("protocol = 'tcp'\nbind = '127.0.0.1:{tcp}'");
        listener("ws", ws, "chat")
            + &group("chat", &[chat])
                .replace("['", &format!("[{{ name = '{name}', address = '"))
                .replace("']", "' }]")
            + &format!("[listener.tcp]\n{tcp}\nforward = 'stream'\n")
            + &group("stream", &[stream.port]).replace("targets", "protocol = 'tcp'\ntargets")
    };
    let stage = Stage::new(&(stays.clone() + &named("a")));
    let (mut tunnel, mut connection) = (Client::tunnel(ws), Client::new(tcp));
    assert_eq!(connection.ask("/"), "stream");
    stage.becomes(&stays);
    assert_eq!(
        draining(&stage),
        format!(
            "listener ws 1, listener tcp 1, target chat/a 1, target stream/127.0.0.1:{} 1",
            stream.port
        )
    );
    // The target has another name, at the same address.
    stage.becomes(&(stays.clone() + &named("z")));
    assert_eq!(draining(&stage), "");
    let metrics = [
        "portway_listener_connections_open{listener=\"ws\"} ".to_owned(),
        "portway_listener_connections_open{listener=\"tcp\"} ".to_owned(),
        "portway_target_requests_in_flight{target_group=\"chat\",target=\"z\"} ".to_owned(),
        format!(
            "portway_target_requests_in_flight{{target_group=\"stream\",target=\"127.0.0.1:{}\"}} ",
            stream.port
        ),
    ];
    for metric in &metrics {
        assert_eq!(stage.metric(metric), "1", "{metric}");
    }
    thread::sleep(Duration::from_millis(1500));
    // The deadline is over, and nobody is cut off.
    tunnel.beats();
    assert_eq!(connection.ask("/"), "stream");
    let status = stage.portway.status();
    assert_eq!(status["target_groups"][1]["targets"][0]["in_flight"], 1);
    let log = stage.portway.process.log();
    assert!(
        log.contains("listener ws is at work again, with 1 connection"),
        "{log}"
    );
    drop((tunnel, connection));
    for metric in &metrics {
        eventually(metric, || (stage.metric(metric) == "0").then_some(()));
    }
    // What comes later is cut off as ever.
    let mut tunnel = Client::tunnel(ws);
    stage.becomes(&stays);
    tunnel.ends();
}

#[test]
fn a_listener_that_has_gone_closes_connections_that_say_nothing() {
    let one = Echo::start("one");
    let [web, gone] = [(); 2].map(|()| free_port());
    let stays = within(60) + &listener("web", web, "app") + &group("app", &[one.port]);
    let stage = Stage::new(&(stays.clone() + &listener("gone", gone, "app")));
    let (mut silent, mut speaks) = (Client::new(gone), Client::new(gone));
    eventually("both are there", || {
        let open = stage.metric("portway_listener_connections_open{listener=\"gone\"} ");
        (open == "2").then_some(())
    });
    stage.becomes(&stays);
    speaks.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(speaks.answer().contains("connection: close"));
    silent.ends();
}

#[test]
fn who_waits_where_a_group_has_gone_is_told_at_the_deadline() {
    let (one, chat) = (Echo::start("one"), tunnels());
    let web = free_port();
    let stays = within(1) + &listener("web", web, "other") + &group("other", &[one.port]);
    let stage = Stage::new(&(stays.replace("'other'", "'app'") + &targets(&[("a", chat, ONE)])));
    let (mut holds, mut waits) = (Client::tunnel(web), Client::new(web));
    waits.upgrade();
    wait_for(&stage, 1);
    stage.becomes(&stays);
    assert_eq!(draining(&stage), "target app/a 2");
    holds.ends();
    let answer = waits.answer();
    assert!(answer.starts_with("http/1.1 503 "), "{answer}");
}
