//! What a change leaves behind: who waits, and what goes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, tunnels};
use crate::support::{Scene, eventually, free_port, local};

/// A group with these targets, each a name, a port and what more is said of it.
pub(crate) fn targets(list: &[(&str, u16, &str)]) -> String {
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
    let mut holds = Client::new(tcp);
    assert_eq!(holds.ask("/"), "one");
    let mut waits = Client::new(tcp);
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
pub(crate) fn draining(stage: &Stage) -> String {
    let status = stage.portway.status();
    let all = status["draining"].as_array().unwrap().iter();
    let one = |it: &Value| {
        let lasts = it["until"].as_f64() > it["since"].as_f64();
        assert!(lasts || it["state"] == "drained", "{it}");
        let [kind, name] = ["kind", "name"].map(|key| it[key].as_str().unwrap().to_owned());
        format!("{kind} {name} {}", it["left"])
    };
    all.map(one).collect::<Vec<_>>().join(", ")
}

pub(crate) fn within(seconds: u32) -> String {
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
    let stays = within(3) + &listener("web", web, "app") + &group("app", &[one.port]);
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
    thread::sleep(Duration::from_millis(3500));
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

/// What a command prints on both streams, and whether it succeeded.
pub(crate) fn told(stage: &Stage, words: &[&str]) -> (bool, String) {
    let output = stage.command(words);
    (output.status.success(), output.both())
}

pub(crate) fn state_of(stage: &Stage, target: usize) -> String {
    let status = stage.portway.status();
    let target = &status["target_groups"][0]["targets"][target];
    target["health"].as_str().unwrap().to_owned()
}

#[test]
fn a_target_drains_by_command() {
    let (one, two) = (tunnels(), tunnels());
    let web = free_port();
    let text = |second: &str| {
        within(60) + &listener("web", web, "app") + &targets(&[("a", one, ""), (second, two, "")])
    };
    let stage = Stage::new(&text("b"));
    let mut first = Client::tunnel(web);
    let (ok, said) = told(&stage, &["drain", "target", "app/a"]);
    assert!(
        ok && said.starts_with("target app/a drains: 1 left, cut off in 60 s\n"),
        "{said}"
    );
    assert_eq!(state_of(&stage, 0), "draining");
    first.beats();
    let _others = [(); 4].map(|()| Client::tunnel(web));
    let in_flight = |target| {
        let metric = "portway_target_requests_in_flight{target_group=\"app\",target=";
        stage.metric(&format!("{metric}\"{target}\"}} "))
    };
    assert_eq!(
        (in_flight("a"), in_flight("b")),
        ("1".to_owned(), "4".to_owned())
    );
    // It stays so over a reload, which changes its neighbour; and with another deadline it is cut off.
    stage.becomes(&text("c"));
    assert_eq!(draining(&stage), "target app/a 1");
    let (ok, said) = told(
        &stage,
        &["drain", "target", "app/a", "--deadline", "500ms", "--wait"],
    );
    assert!(
        ok && said.contains("target app/a has drained for") && said.contains("1 cut off"),
        "{said}"
    );
    first.ends();
    assert_eq!(state_of(&stage, 0), "unused");
    stage.becomes(&text("d"));
    assert_eq!(state_of(&stage, 0), "unused");
    let (ok, said) = told(&stage, &["drain", "target", "app/d"]);
    let warning =
        "warning: target group `app` has no target left that takes traffic: its clients get 503";
    assert!(ok && said.contains(warning), "{said}");
    let (ok, said) = told(&stage, &["drain", "target", "app/e"]);
    assert!(
        !ok && said.contains("there is no target `app/e`") && said.contains("did you mean"),
        "{said}"
    );
    for target in ["a", "d"] {
        let (ok, said) = told(&stage, &["undrain", "target", &format!("app/{target}")]);
        assert!(ok, "{said}");
    }
    assert_eq!(
        (state_of(&stage, 0), draining(&stage)),
        ("healthy".to_owned(), String::new())
    );
    let (ok, said) = told(&stage, &["undrain", "target", "app/a"]);
    assert!(!ok && said.contains("is at work already"), "{said}");
    Client::tunnel(web).beats();
}

#[test]
fn a_group_drains_with_what_comes_to_it() {
    let (one, two) = (tunnels(), tunnels());
    let web = free_port();
    let text =
        |list: &[(&str, u16, &str)]| within(60) + &listener("web", web, "app") + &targets(list);
    let stage = Stage::new(&text(&[("a", one, "")]));
    let (ok, said) = told(&stage, &["drain", "group", "app", "--wait"]);
    assert!(ok && said.contains("group app has drained"), "{said}");
    stage.becomes(&text(&[("a", one, ""), ("b", two, "")]));
    eventually("both are out", || {
        (state_of(&stage, 0) == "unused" && state_of(&stage, 1) == "unused").then_some(())
    });
    let mut client = Client::new(web);
    client.upgrade();
    assert!(client.answer().starts_with("http/1.1 503 "));
    assert!(told(&stage, &["undrain", "group", "app"]).0);
    Client::tunnel(web).beats();
    assert_eq!(draining(&stage), "");
}

#[test]
fn a_listener_drains_by_command() {
    let (one, chat) = (Echo::start("one"), tunnels());
    let [web, ws] = [(); 2].map(|()| free_port());
    let text = within(60)
        + &listener("web", web, "app")
        + &group("app", &[one.port])
        + &listener("ws", ws, "chat")
        + &group("chat", &[chat]);
    let stage = Stage::new(&text);
    let (mut rests, mut slow, mut tunnel) =
        (Client::new(web), Client::new(web), Client::tunnel(ws));
    assert_eq!(rests.ask("/"), "one");
    slow.send("GET /slow/1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is on its way", || {
        let metric = stage.metric("portway_listener_requests_in_flight{listener=\"web\"} ");
        (metric == "1").then_some(())
    });
    let ready = |name: &str| {
        let url = format!("http://{}/readyz?listener={name}", stage.portway.admin);
        stage.scene.status(&[&url])
    };
    assert_eq!(ready("web"), "200");
    let (ok, said) = told(&stage, &["drain", "listener", "web"]);
    assert!(ok && said.starts_with("listener web drains: "), "{said}");
    rests.ends();
    assert!(slow.answer().contains("connection: close"));
    slow.ends();
    eventually("nobody comes in", || TcpStream::connect(local(web)).err());
    assert_eq!(
        (ready("web"), ready("ws")),
        ("503".to_owned(), "200".to_owned())
    );
    eventually("it has drained", || {
        draining_state(&stage).filter(|it| it == "drained")
    });
    stage.becomes(&text.replace("'/slow", "'/other"));
    assert_eq!(draining_state(&stage).as_deref(), Some("drained"));
    assert!(TcpStream::connect(local(web)).is_err());
    assert!(told(&stage, &["undrain", "listener", "web"]).0);
    assert_eq!(Client::new(web).ask("/"), "one");
    let (ok, said) = told(
        &stage,
        &["drain", "listener", "ws", "--deadline", "300ms", "--wait"],
    );
    assert!(
        ok && said.contains("listener ws has drained for") && said.contains("1 cut off"),
        "{said}"
    );
    tunnel.ends();
    let (ok, said) = told(&stage, &["drain", "listener", "wed"]);
    assert!(
        !ok && said.contains("there is no listener `wed`") && said.contains("did you mean"),
        "{said}"
    );
}

fn draining_state(stage: &Stage) -> Option<String> {
    let status = stage.portway.status();
    Some(
        status["draining"].as_array()?.first()?["state"]
            .as_str()?
            .to_owned(),
    )
}

#[test]
fn the_process_drains_by_command() {
    let chat = tunnels();
    let ws = free_port();
    let text = "[process]\nready_delay = '500ms'\n".to_owned()
        + &listener("ws", ws, "chat")
        + &group("chat", &[chat]);
    let mut stage = Stage::new(&text);
    let mut tunnel = Client::tunnel(ws);
    let (ok, said) = told(&stage, &["drain", "process"]);
    assert!(
        ok && said.starts_with("process drains: 1 left, cut off in 3"),
        "{said}"
    );
    let url = format!("http://{}/readyz", stage.portway.admin);
    eventually("readiness fails", || {
        (stage.scene.status(&[&url]) == "503").then_some(())
    });
    // Others still come in.
    Client::tunnel(ws).beats();
    eventually("nobody comes in", || TcpStream::connect(local(ws)).err());
    tunnel.beats();
    assert!(draining(&stage).starts_with("process  1"));
    drop(tunnel);
    assert!(stage.portway.process.wait().success());
}

#[test]
fn a_process_that_drains_is_taken_back_until_its_listeners_close() {
    let one = Echo::start("one");
    let web = free_port();
    let text = |delay: &str| {
        let process = format!("[process]\nready_delay = '{delay}'\n");
        process + &listener("web", web, "app") + &group("app", &[one.port])
    };
    let mut stage = Stage::new(&text("1s"));
    let admin = format!("http://{}", stage.portway.admin);
    let ready = || stage.scene.status(&[&format!("{admin}/readyz")]);
    let mut kept = Client::new(web);
    let closes = |client: &mut Client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().contains("connection: close")
    };
    let (ok, said) = told(&stage, &["undrain", "process"]);
    assert!(
        !ok && said.contains("the process is at work already"),
        "{said}"
    );
    let (ok, said) = told(&stage, &["drain", "group", "app", "--ready-delay", "1s"]);
    assert!(
        !ok && said.contains("for listeners and the process"),
        "{said}"
    );
    for _ in 0..2 {
        assert!(!closes(&mut kept));
        let (ok, said) = told(&stage, &["drain", "process", "--ready-delay", "1h"]);
        assert!(ok && said.contains("cut off in 36"), "{said}");
        eventually("readiness fails", || (ready() == "503").then_some(()));
        assert!(closes(&mut Client::new(web)));
        // Whoever looks after it may change it meanwhile, but not replace it.
        assert_eq!(stage.becomes(&text("1s")), "");
        let (ok, said) = told(&stage, &["upgrade"]);
        assert!(!ok && said.contains("the process is stopping"), "{said}");
        // Another deadline counts from now on.
        let words = [
            "drain",
            "process",
            "--deadline",
            "7s",
            "--ready-delay",
            "1h",
        ];
        let (ok, said) = told(&stage, &words);
        let within = said.split("cut off in ").nth(1);
        let within = within.and_then(|it| it.split(' ').next()?.parse::<u32>().ok());
        assert!(
            ok && within.is_some_and(|it| (3590..=3607).contains(&it)),
            "{said}"
        );
        let (ok, said) = told(&stage, &["undrain", "process"]);
        assert!(ok && said.contains("process is at work again"), "{said}");
        assert_eq!(ready(), "200");
        assert_eq!(draining(&stage), "");
        assert!(!closes(&mut Client::new(web)));
    }
    let log = stage.portway.process.log();
    assert!(log.contains("process is at work again"), "{log}");
    // Whoever waits for the end is told that there is none.
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            told(
                &stage,
                &["drain", "process", "--wait", "--ready-delay", "1h"],
            )
        });
        eventually("it has begun", || {
            (!draining(&stage).is_empty()).then_some(())
        });
        thread::sleep(Duration::from_secs(1));
        assert!(told(&stage, &["undrain", "process"]).0);
        let (ok, said) = waits.join().unwrap();
        assert!(!ok && said.contains("process drains no more"), "{said}");
    });
    stage.becomes(&text("0s"));
    let chat = Client::new(web);
    let mut held = Client::new(web);
    held.send("GET /slow/3000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(told(&stage, &["drain", "process"]).0);
    eventually("nobody comes in", || TcpStream::connect(local(web)).err());
    let (ok, said) = told(&stage, &["undrain", "process"]);
    assert!(
        !ok && said.contains("are closed already") && said.contains("(0 s)"),
        "{said}"
    );
    assert!(held.answer().contains("connection: close"));
    drop((chat, kept));
    assert!(stage.portway.process.wait().success());
}

#[test]
fn a_stop_by_a_signal_is_not_taken_back() {
    let one = Echo::start("one");
    let web = free_port();
    let text = listener("web", web, "app") + &group("app", &[one.port]);
    let mut stage = Stage::new(&("[process]\nready_delay = '2s'\n".to_owned() + &text));
    stage.portway.process.signal(rustix::process::Signal::TERM);
    eventually("it stops", || (!draining(&stage).is_empty()).then_some(()));
    let (ok, said) = told(&stage, &["undrain", "process"]);
    assert!(!ok && said.contains("stops by a signal"), "{said}");
    assert!(stage.portway.process.wait().success());
    // One by a command is one by a signal from then on, and what is in progress ends.
    let mut stage = Stage::new(&text);
    let mut held = Client::new(web);
    held.send("GET /slow/1500 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(told(&stage, &["drain", "process", "--ready-delay", "1h"]).0);
    eventually("it stops", || (!draining(&stage).is_empty()).then_some(()));
    thread::sleep(Duration::from_millis(600));
    stage.portway.process.signal(rustix::process::Signal::TERM);
    eventually("nobody comes in", || TcpStream::connect(local(web)).err());
    let (ok, said) = told(&stage, &["undrain", "process"]);
    assert!(!ok && said.contains("stops by a signal"), "{said}");
    assert!(held.answer().starts_with("http/1.1 200 "));
    assert!(stage.portway.process.wait().success());
}

/// A haproxy.cfg with a frontend `fe`, servers `a`, `b` of these ports and a control socket.
pub(crate) fn haproxys(web: u16, servers: &[u16]) -> Stage {
    let scene = Scene::new();
    let mut text = format!(
        "global\n stats socket {} level admin\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         frontend fe\n bind 127.0.0.1:{web}\n default_backend be\nbackend be\n",
        scene.path("s").display(),
    );
    for (name, port) in ["a", "b"].iter().zip(servers) {
        text += &format!(" server {name} 127.0.0.1:{port}\n");
    }
    Stage::with(scene, &text, &["--as", "haproxy"])
}

/// What the control socket answers.
pub(crate) fn say(stage: &Stage, line: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(stage.scene.path("s")).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn haproxys_socket_and_the_commands_agree() {
    let one = Echo::start("one");
    let web = free_port();
    let stage = haproxys(web, &[one.port, 1]);
    let socket = |line: &str| say(&stage, line);
    let column = |of: &str, nth: usize| {
        let all = socket("show stat");
        let line = all
            .lines()
            .find(|it| it.starts_with(of))
            .unwrap()
            .to_owned();
        line.split(',').nth(nth).unwrap().to_owned()
    };
    assert!(told(&stage, &["drain", "target", "be/a", "--wait"]).0);
    assert!(
        column("be,a,", 17).starts_with("MAINT"),
        "{}",
        column("be,a,", 17)
    );
    assert_eq!(socket("set server be/a state ready").trim(), "");
    eventually("the command has heard", || {
        draining(&stage).is_empty().then_some(())
    });
    assert_eq!(socket("set server be/b state drain").trim(), "");
    assert_eq!(state_of(&stage, 1), "draining");
    assert!(told(&stage, &["undrain", "target", "be/b"]).0);
    assert!(
        column("be,b,", 17).starts_with("no check"),
        "{}",
        column("be,b,", 17)
    );
    assert!(told(&stage, &["drain", "listener", "fe", "--wait"]).0);
    assert_eq!(column("fe,FRONTEND,", 17), "PAUSED");
    assert_eq!(socket("enable frontend fe").trim(), "");
    eventually("the command has heard", || {
        draining(&stage).is_empty().then_some(())
    });
    assert_eq!(socket("disable frontend fe").trim(), "");
    assert_eq!(stage.portway.status()["listeners"][0]["state"], "paused");
    assert!(told(&stage, &["undrain", "listener", "fe"]).0);
    assert_eq!(column("fe,FRONTEND,", 17), "OPEN");
    assert_eq!(Client::new(web).ask("/"), "one");
}

#[test]
fn logs_that_nothing_is_written_to_any_more_are_closed() {
    let chat = tunnels();
    let ws = free_port();
    let text = |log: &str| {
        let log = format!("access_log = {{ to = 'file:{log}' }}\n");
        listener("ws", ws, "chat") + &log + &group("chat", &[chat])
    };
    let stage = Stage::new(&text("0.log"));
    let mut tunnel = Client::tunnel(ws);
    for nth in 1..5 {
        stage.becomes(&text(&format!("{nth}.log")));
    }
    let open = || {
        let folder = format!("/proc/{}/fd", stage.portway.process.id());
        let files = std::fs::read_dir(folder).unwrap().flatten();
        let files = files.filter_map(|it| std::fs::read_link(it.path()).ok());
        let names = files.filter_map(|it| Some(it.file_name()?.to_str()?.to_owned()));
        let mut logs: Vec<String> = names
            .filter(|it| it.ends_with(".log") && it.len() == 5)
            .collect();
        logs.sort();
        logs.join(" ")
    };
    // The tunnel is logged where it began; what comes back before it is closed is written on.
    eventually("all others are closed", || {
        (open() == "0.log 4.log").then_some(())
    });
    stage.becomes(&text("0.log"));
    eventually("the last is closed", || (open() == "0.log").then_some(()));
    stage.becomes(&text("5.log"));
    tunnel.beats();
    assert!(stage.scene.read("0.log").is_empty());
    drop(tunnel);
    eventually("it is closed", || (open() == "5.log").then_some(()));
    assert_eq!(stage.scene.read("0.log").lines().count(), 1);
}

#[test]
fn a_listener_on_a_unix_socket_drains_and_comes_back() {
    let one = Echo::start("one");
    let scene = Scene::new();
    let socket = scene.path("s").display().to_string();
    let text = format!("[listener.web]\nbind = 'unix:{socket}'\nforward = 'app'\n");
    let stage = Stage::with(scene, &(text + &group("app", &[one.port])), &[]);
    let answers = || {
        let output = stage
            .scene
            .curl(&["-s", "--unix-socket", &socket, "http://a/"]);
        output.status.success().then_some(())
    };
    eventually("it answers", answers);
    assert!(told(&stage, &["drain", "listener", "web", "--wait"]).0);
    eventually("nobody comes in", || match answers() {
        Some(()) => None,
        None => Some(()),
    });
    assert!(told(&stage, &["undrain", "listener", "web"]).0);
    eventually("it is back", answers);
}
