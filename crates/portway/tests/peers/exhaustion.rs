//! Limits of connections and of a queue, and ports of connections to targets, are exhausted: who is in is served on, who comes beyond waits or is turned away, and all is as
//! before once there is room. Descriptors are exhausted in `overload.rs`.

use std::sync::atomic::Ordering;
use std::thread;

use crate::echo::Echo;
use crate::queue::Gate;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{Scene, eventually, free_offset, free_port, local};

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

/// A target that holds who comes, behind one that is dead; connections to both come from a few ports.
struct FewPorts {
    protocol: &'static str,
    gate: Gate,
    web: u16,
    target: u16,
    dead: u16,
    first: u16,
}

const CHECKED: &str = "[target_group.checked]\ntargets = [TARGET]\n\
                       health_check = { tcp = true, interval = '100ms', unhealthy_threshold = 1 }\n";

impl FewPorts {
    fn new(protocol: &'static str) -> Self {
        let gate = Gate::default();
        Self {
            protocol,
            target: gate.target(),
            gate,
            web: free_port(),
            dead: free_port(),
            first: free_offset(&[0, 1, 2, 3, 4]),
        }
    }

    /// The configuration with so many of the ports.
    fn text(&self, ports: u16, more: &str) -> String {
        let (first, last) = (self.first, self.first + ports - 1);
        let from = |port| {
            format!(
                "{{ address = '127.0.0.1:{port}', source = {{ address = '127.0.0.7', port = '{first}-{last}' }} }}"
            )
        };
        let more = more.replace("TARGET", &from(self.target));
        format!(
            "{}protocol = '{}'\n[target_group.app]\nretries = 1\nretry_to = 'another'\npool_size = 0\n\
             passive_health = {{ failures = 3 }}\ntargets = [{}, {}]\n{more}",
            listener("web", self.web, "app"),
            self.protocol,
            from(self.dead),
            from(self.target)
        )
    }

    fn comes(&self) -> Client {
        let mut client = Client::new(self.web);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    }

    /// Somebody comes and is turned away, as so many have been then.
    fn is_refused(&self, stage: &Stage, count: u32) {
        let answer = self.comes().try_answer();
        match self.protocol {
            "tcp" => assert_eq!(answer, None),
            _ => assert!(answer.unwrap().starts_with("http/1.1 503 ")),
        }
        let faults = "portway_listener_faults_total{listener=\"web\",fault=\"exhausted\"} ";
        eventually("the fault is counted", || {
            (stage.metric(faults) == count.to_string()).then_some(())
        });
    }

    /// None of it is held against the target.
    fn is_blameless(&self, stage: &Stage) {
        let target = self.target;
        for group in ["app", "checked"] {
            let (health, reason) = stage.portway.health(group, local(target));
            assert_ne!(health, "unhealthy", "{group}: {reason}");
            let at = format!("{{target_group=\"{group}\",target=\"127.0.0.1:{target}\"}} ");
            let failures = format!("portway_target_connect_failures_total{at}");
            assert_eq!(stage.metric(&failures), "0", "{group}");
        }
    }
}

/// Four ports are all that connections to the target may come from, and all are in use.
fn ports_run_out(protocol: &'static str) {
    let few = FewPorts::new(protocol);
    let stage = Stage::new(&few.text(4, ""));
    let mut inside = Vec::new();
    let mut enters = |count| {
        inside.push(few.comes());
        few.gate.arrived(count);
    };
    (1..=4).for_each(&mut enters);
    (1..=6).for_each(|count| few.is_refused(&stage, count));
    // Checks have no port either.
    stage.becomes(&few.text(4, CHECKED));
    eventually("a check is not made", || {
        let log = stage.portway.process.log();
        log.contains("could not be checked, and stays as it is")
            .then_some(())
    });
    few.is_refused(&stage, 7);
    few.is_blameless(&stage);
    // There is one port more, and somebody has it.
    stage.becomes(&few.text(5, ""));
    enters(5);
    few.is_refused(&stage, 8);
    // Who was served all the time has an answer, and ports are used again.
    few.gate.open.store(true, Ordering::SeqCst);
    for client in &mut inside {
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
    drop(inside);
    for _ in 0..8 {
        eventually("a port is free", || {
            let head = few.comes().try_answer()?;
            head.starts_with("http/1.1 200 ").then_some(())
        });
    }
    stage.becomes(&few.text(5, CHECKED));
    let target = local(few.target);
    stage.portway.wait_for_health("checked", target, "healthy");
}

#[test]
fn requests_without_a_port_to_come_from_are_no_fault_of_the_target() {
    ports_run_out("http");
}

#[test]
fn streams_without_a_port_to_come_from_are_no_fault_of_the_target() {
    ports_run_out("tcp");
}
