//! Limits of connections and of a queue are exhausted: who is in is served on, who comes beyond waits or is turned away, and all is as
//! before once there is room. Descriptors are exhausted in `overload.rs`.

use std::sync::atomic::Ordering;
use std::thread;

use crate::echo::Echo;
use crate::queue::Gate;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{Scene, eventually, free_port};

/// Three clients fill it, five more come; `limit` is what is counted then.
fn fill_and_recover(with: impl Fn(&str) -> String, web: u16, limit: &str) {
    let text = with("");
    let file = if text.starts_with("defaults") {
        "haproxy.cfg"
    } else {
        "web.toml"
    };
    let stage = Stage::of_file(Scene::new(), file, &text, &[]);
    let mut inside: Vec<Client> = (0..3).map(|_| Client::new(web)).collect();
    for client in &mut inside {
        assert_eq!(client.ask("/"), "one");
    }
    let outside: Vec<_> = (0..5)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::new(web);
                client.ask("/")
            })
        })
        .collect();
    let line = format!("portway_limit_reached_total{{limit=\"{limit}\"}} ");
    eventually("it is full", || (stage.metric(&line) != "0").then_some(()));
    let open = "portway_listener_connections_open{listener=\"web\"} ";
    assert_eq!(stage.metric(open), "3");
    // Who is in is served on, also by what the file says from now on.
    for client in &mut inside {
        assert_eq!(client.ask("/"), "one");
    }
    stage.becomes(&with("retries = 5\n"));
    for client in &mut inside {
        assert_eq!(client.ask("/"), "one");
    }
    assert!(outside.iter().all(|it| !it.is_finished()));
    assert_eq!(stage.metric(open), "3");
    // One leaves: those who wait come in one after the other.
    drop(inside.pop());
    for client in outside {
        assert_eq!(client.join().unwrap(), "one");
    }
    drop(inside);
    eventually("all have left", || {
        (stage.metric(open) == "0").then_some(())
    });
    for _ in 0..10 {
        assert_eq!(Client::new(web).ask("/"), "one");
    }
}

#[test]
fn a_full_listener_serves_on_and_recovers() {
    let (one, web) = (Echo::start("one"), free_port());
    // Each second attempt is at a dead target, and is made again.
    let ports = [one.port, free_port()];
    let with = |more: &str| {
        let listener = listener("web", web, "app") + "max_connections = 3\n";
        format!("{listener}{}{more}", group("app", &ports))
    };
    fill_and_recover(with, web, "listener_connections");
}

#[test]
fn a_full_frontend_of_haproxy_serves_on_and_recovers() {
    for (frontend, bind) in [(" maxconn 3\n", ""), ("", " maxconn 3")] {
        let (one, web, dead) = (Echo::start("one"), free_port(), free_port());
        let with = |more: &str| {
            let more = more.replace(" =", "");
            format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n option redispatch 1\n {more}\
                 frontend web\n bind 127.0.0.1:{web}{bind}\n{frontend} default_backend app\n\
                 backend app\n server a 127.0.0.1:{}\n server dead 127.0.0.1:{dead}\n",
                one.port
            )
        };
        fill_and_recover(with, web, "listener_connections");
    }
}

#[test]
fn a_full_process_serves_on_and_recovers() {
    let (one, web) = (Echo::start("one"), free_port());
    let ports = [one.port, free_port()];
    let with = |more: &str| {
        let process = "[process]\nmax_connections = 3\n";
        let listener = listener("web", web, "app");
        format!("{process}{listener}{}{more}", group("app", &ports))
    };
    fill_and_recover(with, web, "connections");
}

#[test]
fn a_full_queue_turns_away_and_recovers() {
    let (gate, web) = (Gate::default(), free_port());
    let ports = [gate.target(), free_port()];
    let limits = "max_connections = 1\nmax_pending = 3\ntimeouts.queue = '30s'\n";
    let stage = Stage::new(&format!(
        "{}{}{limits}",
        listener("web", web, "app"),
        group("app", &ports)
    ));
    let ask = move || {
        let mut client = Client::new(web);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().split(' ').nth(1).unwrap().to_owned()
    };
    let first = thread::spawn(ask);
    gate.arrived(1);
    let others: Vec<_> = (0..9).map(|_| thread::spawn(ask)).collect();
    // All but those who wait have their answer at once.
    eventually("six are turned away", || {
        (others.iter().filter(|it| it.is_finished()).count() == 6).then_some(())
    });
    let queued = "portway_target_group_queued{target_group=\"app\"} ";
    assert_eq!(stage.metric(queued), "3");
    gate.open.store(true, Ordering::SeqCst);
    assert_eq!(first.join().unwrap(), "200");
    let mut statuses: Vec<String> = others.into_iter().map(|it| it.join().unwrap()).collect();
    statuses.sort();
    assert_eq!(statuses, [vec!["200"; 3], vec!["503"; 6]].concat());
    assert_eq!(stage.metric(queued), "0");
    for _ in 0..5 {
        assert_eq!(ask(), "200");
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 1);
}
