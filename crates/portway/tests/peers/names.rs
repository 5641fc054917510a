//! Names of targets at a scripted server of names: TTL, failures and lies, reloads and dead addresses.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use portway_testkit::names::{NameServer, Says};

use crate::echo::Echo;
use crate::stage::{self, Client, Stage, listener};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade;

/// Where targets listen: one port, at addresses of this machine.
pub(crate) fn same_port() -> u16 {
    let free =
        |port: u16, last: u8| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)).is_ok();
    eventually("a port that is free at all addresses", || {
        let port = free_port();
        (2..=5).all(|last| free(port, last)).then_some(port)
    })
}

/// A group of one target with this name, which asks this server.
fn text(web: u16, port: u16, server: &NameServer, more: &str) -> String {
    format!(
        "{}[target_group.app]\ntargets = [{{ name = 'app', address = 'app.test:{port}', \
         resolve = {{ nameservers = ['{}'], timeout = '300ms', max_ttl = '1s' {more} }} }}]\n",
        listener("web", web, "app"),
        server.address()
    )
}

/// Waits until a new client is served by this one.
fn until_served_by(web: u16, name: &str) {
    eventually(format_args!("{name} serves"), || {
        let mut client = Client::new(web);
        client.send("GET /who HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let head = client.answer();
        head.contains(&format!("x-server: {name}\r\n"))
            .then_some(())
    });
}

#[test]
fn a_name_goes_elsewhere_and_back_over_failures_and_reloads() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 2), port, "two");
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 3), port, "three");
    server.say_addresses("app.test", &["127.0.0.2"]);
    let stage = Stage::new(&text(web, port, &server, ""));
    assert_eq!(Client::new(web).ask("/who"), "two");
    // Another order changes nothing, another address does.
    server.say_addresses("app.test", &["127.0.0.3", "127.0.0.2"]);
    let asked = server.asked("app.test");
    eventually("it is asked again", || {
        (server.asked("app.test") > asked + 4).then_some(())
    });
    assert_eq!(Client::new(web).ask("/who"), "two");
    server.say_addresses("app.test", &["127.0.0.3"]);
    until_served_by(web, "three");
    // Whatever is wrong with the server of names, the last good answer holds.
    for says in [
        Says::Missing(1),
        Says::Silence,
        Says::Status(2),
        Says::Status(5),
        Says::Junk,
        Says::Addresses(Vec::new(), 1),
    ] {
        server.say("app.test", says.clone());
        let asked = server.asked("app.test");
        eventually("it is asked again", || {
            (server.asked("app.test") > asked + 4).then_some(())
        });
        assert_eq!(Client::new(web).ask("/who"), "three", "{says:?}");
    }
    // A reload in the middle of that changes nothing.
    server.say("app.test", Says::Silence);
    let more = ", min_ttl = '1s', hold_timeout = '1h'";
    assert_eq!(
        stage.becomes(&text(web, port, &server, more)),
        "change target app/app"
    );
    assert_eq!(Client::new(web).ask("/who"), "three");
    let metric = |result: &str| {
        let line = format!("portway_name_queries_total{{result=\"{result}\"}}");
        stage.metric(&line).parse::<u64>().unwrap()
    };
    for result in ["found", "nothing", "refused", "timeout", "failed"] {
        assert!(metric(result) > 0, "{result}");
    }
    server.say(
        "app.test",
        Says::OverTcp(vec![Ipv4Addr::new(127, 0, 0, 2).into()], 1),
    );
    until_served_by(web, "two");
    server.say(
        "app.test",
        Says::LiesFirst(vec![Ipv4Addr::new(127, 0, 0, 3).into()], 1),
    );
    until_served_by(web, "three");
    let log = stage.portway.stop();
    assert!(!log.contains("192.0.2.66"), "{log}");
}

#[test]
fn a_name_that_only_another_server_of_names_knows() {
    let (web, port) = (free_port(), same_port());
    let [knows_not, knows] = [(); 2].map(|()| NameServer::start());
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 2), port, "two");
    knows_not.say("app.test", Says::Missing(1));
    knows.say_addresses("app.test", &["127.0.0.2"]);
    let stage = Stage::new(&text(web, port, &knows_not, ""));
    let health = || {
        let status = stage.portway.status();
        let health = &status["target_groups"][0]["targets"][0]["health"];
        health.as_str().unwrap().to_owned()
    };
    assert_eq!(health(), "unhealthy");
    // A reload that fails changes nothing, whatever was heard for it.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener("taken", taken.local_addr().unwrap().port(), "app");
    let answer = stage.reload(&(text(web, port, &knows, "") + &taken));
    assert_eq!(answer["ok"], false, "{answer:#}");
    assert_eq!(health(), "unhealthy");
    assert_eq!(
        stage.becomes(&text(web, port, &knows, "")),
        "change target app/app"
    );
    assert_eq!(health(), "healthy");
    assert_eq!(Client::new(web).ask("/who"), "two");
    stage.portway.stop();
}

#[test]
fn a_target_is_down_when_its_last_good_answer_is_over() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 2), port, "two");
    let stage = Stage::new(&text(web, port, &server, ", hold_missing = '1s'"));
    let reason = || {
        let status = stage.portway.status();
        let target = &status["target_groups"][0]["targets"][0];
        let word = |key: &str| target[key].as_str().unwrap().to_owned();
        (word("health"), word("reason"))
    };
    let is_down = || {
        let (health, why) = reason();
        let down = health == "unhealthy" && why == "name not resolved: there is no such name";
        down.then_some(())
    };
    eventually("it is down", is_down);
    server.say_addresses("app.test", &["127.0.0.2"]);
    eventually("it is up", || (reason().0 == "healthy").then_some(()));
    until_served_by(web, "two");
    server.say("app.test", Says::Missing(1));
    eventually("it is down again", is_down);
    let begun = Instant::now();
    let mut client = Client::new(web);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(client.answer().starts_with("http/1.1 503 "));
    assert!(begun.elapsed() < Duration::from_secs(15));
    server.say_addresses("app.test", &["127.0.0.2"]);
    until_served_by(web, "two");
    stage.portway.stop();
}

/// A group whose targets are the addresses of a name.
fn members(web: u16, port: u16, server: &NameServer, more: &str) -> String {
    format!(
        "{}[target_group.app]\nalgorithm = 'round_robin'\n{more}\n\
         targets = [{{ name = 'app', address = 'app.test:{port}', weight = 2, \
         resolve = {{ take = 'all', nameservers = ['{}'], timeout = '300ms', max_ttl = '1s' }} }}]\n",
        listener("web", web, "app"),
        server.address()
    )
}

/// Names of the targets of the group, each with its health.
fn targets(stage: &Stage) -> Vec<(String, String)> {
    let status = stage.portway.status();
    let all = status["target_groups"][0]["targets"].as_array();
    let all = all.unwrap_or_else(|| panic!("{status:#}"));
    let one = |it: &serde_json::Value| {
        let word = |key: &str| it[key].as_str().unwrap().to_owned();
        (word("name"), word("health"))
    };
    all.iter().map(one).collect()
}

fn until_targets(stage: &Stage, port: u16, last: &[u8]) {
    let expected: Vec<String> = last
        .iter()
        .map(|it| format!("app@127.0.0.{it}:{port}"))
        .collect();
    eventually(format_args!("the targets are {expected:?}"), || {
        let names: Vec<String> = targets(stage).into_iter().map(|(name, _)| name).collect();
        (names == expected).then_some(())
    });
}

/// Who answers `count` requests, each over a connection of its own, in order.
fn who(web: u16, count: usize) -> Vec<String> {
    let mut all: Vec<String> = (0..count).map(|_| Client::new(web).ask("/who")).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn rules_name_members() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    for (last, name) in [(2, "two"), (3, "three")] {
        Echo::start_at(Ipv4Addr::new(127, 0, 0, last), port, name);
    }
    // Nobody lives at the third address.
    server.say_addresses("app.test", &["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let rules = |constant: &str| {
        let named = "when = 'Header(`X-Target`)'\nuse_target = '${header(`X-Target`)}'";
        format!(
            "{}[[target_group.app.rule]]\n{named}\n[[target_group.app.rule]]\n\
             when = 'Path(`/always`)'\nuse_target = '{constant}'\n",
            members(web, port, &server, "retries = 2")
        )
    };
    let first = rules(&format!("app@127.0.0.3:{port}"));
    let stage = Stage::new(&first);
    until_targets(&stage, port, &[2, 3, 4]);
    let ask = |path: &str, target: &str| {
        let head = Client::new(web).ask_with(path, &format!("X-Target: {target}\r\n"));
        stage::server(&head).unwrap_or(&head).to_owned()
    };
    let check = || {
        for _ in 0..3 {
            assert_eq!(ask("/", &format!("app@127.0.0.2:{port}")), "two");
            assert_eq!(ask("/", &format!("127.0.0.3:{port}")), "three");
            assert_eq!(Client::new(web).ask("/always"), "three");
        }
        // A dead one is tried, and another then; who is not there leaves the choice to the algorithm.
        let dead = ask("/", &format!("127.0.0.4:{port}"));
        assert!(["two", "three"].contains(&&*dead), "{dead}");
        let strange = ask("/", "app@127.0.0.9:1");
        assert!(["two", "three"].contains(&&*strange), "{strange}");
    };
    check();
    stage.becomes(&first.replace("weight = 2", "weight = 3"));
    check();
    let wrong = stage.reload(&rules("other@127.0.0.3:80"));
    let found = wrong["diagnostics"].to_string();
    assert!(
        found.contains("there is no target `other@127.0.0.3:80`"),
        "{found}"
    );
}

#[test]
fn every_address_is_a_target_that_joins_and_drains() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    for (last, name) in [(2, "two"), (3, "three"), (4, "four")] {
        Echo::start_at(Ipv4Addr::new(127, 0, 0, last), port, name);
    }
    server.say_addresses("app.test", &["127.0.0.3", "127.0.0.2"]);
    let stage = Stage::new(&members(web, port, &server, ""));
    until_targets(&stage, port, &[2, 3]);
    assert_eq!(who(web, 8), ["three", "two"]);
    let requests = || {
        let line = format!(
            "portway_target_requests_total{{target_group=\"app\",target=\"app@127.0.0.3:{port}\",code=\"2xx\"}}"
        );
        stage.metric(&line).parse::<u64>().unwrap()
    };
    assert_eq!(requests(), 4);
    // One comes: what there is keeps its counters.
    server.say_addresses("app.test", &["127.0.0.4", "127.0.0.3", "127.0.0.2"]);
    until_targets(&stage, port, &[2, 3, 4]);
    assert_eq!(who(web, 9), ["four", "three", "two"]);
    assert_eq!(requests(), 7);
    // One goes in the middle of an answer, which comes all the same, and nothing new goes there.
    let mut slow: Vec<Client> = (0..3).map(|_| Client::new(web)).collect();
    let ask = "GET /slow/4000 HTTP/1.1\r\nHost: a.example\r\n\r\n";
    slow.iter_mut().for_each(|it| it.send(ask));
    eventually("three are in progress", || {
        let in_progress = |last: u8| {
            let line = format!(
                "portway_target_requests_in_flight{{target_group=\"app\",target=\"app@127.0.0.{last}:{port}\"}}"
            );
            stage.metric(&line) == "1"
        };
        (2..=4).all(in_progress).then_some(())
    });
    server.say_addresses("app.test", &["127.0.0.4", "127.0.0.3"]);
    until_targets(&stage, port, &[3, 4]);
    let draining = stage.portway.status()["draining"].clone();
    assert_eq!(
        draining[0]["name"],
        format!("app/app@127.0.0.2:{port}"),
        "{draining}"
    );
    assert_eq!(who(web, 8), ["four", "three"]);
    let mut answered: Vec<String> = slow.iter_mut().map(Client::answer).collect();
    answered.sort_unstable();
    assert!(
        answered.iter().any(|it| it.contains("x-server: two")),
        "{answered:?}"
    );
    eventually("it has drained", || {
        let status = stage.portway.status();
        status["draining"]
            .as_array()
            .is_none_or(Vec::is_empty)
            .then_some(())
    });
    // Nothing that goes wrong takes a target away.
    for says in [Says::Missing(1), Says::Silence, Says::Status(2)] {
        server.say("app.test", says);
        let asked = server.asked("app.test");
        eventually("it is asked again", || {
            (server.asked("app.test") > asked + 4).then_some(())
        });
        until_targets(&stage, port, &[3, 4]);
    }
    // A reload has what is known, and shows the name as it is written.
    let before = requests();
    assert_eq!(
        stage.becomes(&members(web, port, &server, "retries = 1")),
        "change target_group app"
    );
    until_targets(&stage, port, &[3, 4]);
    assert_eq!(requests(), before);
    assert_eq!(
        stage.becomes(&members(web, port, &server, "retries = 1")),
        ""
    );
    server.say_addresses("app.test", &["127.0.0.2"]);
    until_targets(&stage, port, &[2]);
    assert_eq!(who(web, 3), ["two"]);
    let log = stage.portway.stop();
    let joined = format!("targets of app by name: app@127.0.0.4:{port} came");
    assert!(log.contains(&joined), "{log}");
}

#[test]
fn members_that_could_not_be_taken_in_are_tried_again() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    server.say_addresses("app.test", &["127.0.0.2"]);
    let scene = Scene::new();
    let folder = scene.path("sockets");
    std::fs::create_dir(&folder).unwrap();
    let unix = format!(
        "[listener.unix]\nbind = 'unix:{}'\nforward = 'app'\n",
        folder.join("s").display()
    );
    let stage = Stage::with(scene, &(members(web, port, &server, "") + &unix), &[]);
    until_targets(&stage, port, &[2]);
    // There is no place for the socket's file.
    std::fs::remove_dir_all(&folder).unwrap();
    server.say_addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
    eventually("it fails", || {
        let log = stage.portway.process.log();
        log.contains("are not taken in").then_some(())
    });
    std::fs::create_dir(&folder).unwrap();
    until_targets(&stage, port, &[2, 3]);
    stage.portway.stop();
}

#[test]
fn members_come_late_and_dead_ones_cost_no_request() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 3), port, "three");
    let check = "health_check = { tcp = true, interval = '200ms', unhealthy_threshold = 1 }";
    let stage = Stage::new(&members(web, port, &server, check));
    let reason = || {
        let status = stage.portway.status();
        let target = &status["target_groups"][0]["targets"][0];
        (target["name"].clone(), target["reason"].clone())
    };
    assert_eq!(reason().0, "app");
    assert_eq!(reason().1, "name not resolved: there is no such name");
    // 127.0.0.5 is dead.
    server.say_addresses("app.test", &["127.0.0.5", "127.0.0.3"]);
    until_targets(&stage, port, &[3, 5]);
    assert_eq!(who(web, 6), ["three"]);
    let name = |last: u8| format!("app@127.0.0.{last}:{port}");
    eventually("the dead one is down", || {
        let health = [
            (name(3), "healthy".to_owned()),
            (name(5), "unhealthy".to_owned()),
        ];
        (targets(&stage) == health).then_some(())
    });
    stage.portway.stop();
}

#[test]
fn any_address_of_a_name_will_do() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 3), port, "three");
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 4), port, "four");
    // Nobody listens at two of them, and no request is tried twice.
    server.say_addresses("app.test", &["::1", "127.0.0.5", "127.0.0.3"]);
    let more = "retries = 0\nhealth_check = { tcp = true, interval = '200ms', timeout = '30s', unhealthy_threshold = 1 }\n";
    let with = |more: &str| format!("{}{more}", text(web, port, &server, ""));
    let stage = Stage::new(&with("retries = 0\n"));
    let asked = |count: usize| {
        (0..count).for_each(|_| assert_eq!(Client::new(web).ask("/who"), "three"));
    };
    asked(5);
    let resolved = || {
        let status = stage.portway.status();
        status["target_groups"][0]["targets"][0]["resolved"].clone()
    };
    // What has answered is asked first from then on.
    assert_eq!(resolved(), format!("127.0.0.3:{port}"));
    let failures = "portway_target_connect_failures_total{target_group=\"app\",target=\"app\"}";
    assert_eq!(stage.metric(failures), "0");
    // So is it for checks, and after a reload.
    let plan = stage.becomes(&with(more));
    assert!(plan.contains("change target_group app"), "{plan}");
    eventually("a check has passed", || {
        let status = stage.portway.status();
        let health = status["target_groups"][0]["targets"][0]["health"].clone();
        assert_ne!(health, "unhealthy");
        (health == "healthy").then_some(())
    });
    asked(5);
    // It goes, and comes back elsewhere.
    server.say_addresses("app.test", &["127.0.0.5", "::1", "127.0.0.4"]);
    until_served_by(web, "four");
    stage.portway.stop();
}

/// An address of IPv6 alone, and one behind a dead one of IPv4.
#[test]
fn a_name_of_ipv6_serves() {
    let (web, port, server) = (free_port(), same_port(), NameServer::start());
    Echo::on(
        TcpListener::bind((Ipv6Addr::LOCALHOST, port)).unwrap(),
        "six",
    );
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 2), port, "two");
    let with = |more: &str| format!("{}{more}", text(web, port, &server, ""));
    server.say_addresses("app.test", &["::1"]);
    let stage = Stage::new(&with("retries = 0\n"));
    let asked = |name: &str| (0..3).for_each(|_| assert_eq!(Client::new(web).ask("/who"), name));
    let resolved = |address: &str| {
        eventually(format_args!("{address} is asked first"), || {
            let status = stage.portway.status();
            let target = &status["target_groups"][0]["targets"][0]["resolved"];
            (*target == format!("{address}:{port}")).then_some(())
        });
    };
    asked("six");
    resolved("[::1]");
    stage.becomes(&with("retries = 1\n"));
    asked("six");
    // 127.0.0.5 is dead.
    server.say_addresses("app.test", &["127.0.0.5", "::1"]);
    asked("six");
    server.say_addresses("app.test", &["127.0.0.2"]);
    until_served_by(web, "two");
    server.say_addresses("app.test", &["::1"]);
    until_served_by(web, "six");
    stage.portway.stop();
}

/// A listener that answers nobody: its queue is full, and stays so while the connections in it live.
fn silent(last: u8, port: u16) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500));
    let fill = std::iter::from_fn(|| connect().ok()).collect();
    (listener, fill)
}

#[test]
fn a_silent_address_costs_a_moment_and_no_request() {
    for protocol in ["http", "tcp"] {
        let (web, port, server) = (free_port(), same_port(), NameServer::start());
        let (listener, full) = silent(2, port);
        Echo::start_at(Ipv4Addr::new(127, 0, 0, 3), port, "three");
        Echo::start_at(Ipv4Addr::new(127, 0, 0, 4), port, "four");
        // Alone, the silent one would be waited for: nothing is tried twice, and a connection has a minute.
        let with = |more: &str| {
            let text = text(web, port, &server, "")
                .replace("forward", &format!("protocol = '{protocol}'\nforward"));
            format!("{text}retries = 0\n{more}[target_group.app.timeouts]\nconnect = '1m'\n")
        };
        server.say_addresses("app.test", &["127.0.0.2", "127.0.0.5", "127.0.0.3"]);
        let stage = Stage::new(&with(""));
        let target = |key: &str| {
            let status = stage.portway.status();
            status["target_groups"][0]["targets"][0][key].clone()
        };
        let asked = |name: &str| {
            (0..3).for_each(|_| assert_eq!(Client::new(web).ask("/who"), name, "{protocol}"));
        };
        asked("three");
        // What has answered is asked first, after a reload too, and by checks, which this one adds.
        assert_eq!(target("resolved"), format!("127.0.0.3:{port}"));
        let check = "health_check = { tcp = true, interval = '200ms', timeout = '30s', unhealthy_threshold = 1 }\n";
        stage.becomes(&with(check));
        eventually("a check has passed", || {
            let health = target("health");
            assert_ne!(health, "unhealthy");
            (health == "healthy").then_some(())
        });
        asked("three");
        // It goes: the silent one is first again, for requests and for checks.
        server.say_addresses("app.test", &["127.0.0.2", "127.0.0.4"]);
        until_served_by(web, "four");
        asked("four");
        let failures = "portway_target_connect_failures_total{target_group=\"app\",target=\"app\"}";
        assert_eq!(stage.metric(failures), "0", "{protocol}");
        // Nobody else is there, and a reload comes while a client waits: it is served when the silent one speaks at last.
        stage.becomes(&with(""));
        server.say_addresses("app.test", &["127.0.0.2"]);
        eventually("it lives there alone", || {
            (target("resolved") == format!("127.0.0.2:{port}")).then_some(())
        });
        let mut waits = Client::new(web);
        waits.send("GET /who HTTP/1.1\r\nHost: a.example\r\n\r\n");
        eventually("it waits", || (target("in_flight") == 1).then_some(()));
        stage.becomes(&with("max_pending = 9\n"));
        drop(full);
        Echo::on(listener, "two");
        let head = waits.answer();
        assert!(head.contains("x-server: two\r\n"), "{protocol}: {head}");
        asked("two");
        stage.portway.stop();
    }
}

#[test]
fn hosts_of_a_service_are_targets_with_their_ports_and_weights() {
    let (web, server) = (free_port(), NameServer::start());
    let start = |last: u8, name: &str| Echo::start_at(Ipv4Addr::new(127, 0, 0, last), 0, name).port;
    let ports = [start(2, "two"), start(3, "three"), start(4, "four")];
    let host = |priority: u16, weight: u16, at: usize, name: &str| {
        (priority, weight, ports[at], name.to_owned())
    };
    for (name, address) in [
        ("a.test", "127.0.0.2"),
        ("b.test", "127.0.0.3"),
        ("c.test", "127.0.0.4"),
    ] {
        server.say_addresses(name, &[address]);
    }
    let name = "_http._tcp.app.test";
    let all = vec![
        host(1, 10, 0, "a.test"),
        host(1, 30, 1, "b.test"),
        host(2, 0, 2, "c.test"),
    ];
    server.say(name, Says::Services(all, 1));
    let text = |more: &str| {
        format!(
            "{}[target_group.app]\nalgorithm = 'round_robin'\n{more}\n\
             targets = [{{ name = 'app', address = '{name}', \
             resolve = {{ nameservers = ['{}'], timeout = '300ms', max_ttl = '1s' }} }}]\n",
            listener("web", web, "app"),
            server.address()
        )
    };
    let stage = Stage::new(&text(""));
    let names = || {
        targets(&stage)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    let member = |last: u8, at: usize| format!("app@127.0.0.{last}:{}", ports[at]);
    let until_names = |expected: Vec<String>| {
        eventually(format_args!("the targets are {expected:?}"), || {
            (names() == expected).then_some(())
        });
    };
    until_names(vec![member(2, 0), member(3, 1), member(4, 2)]);
    // The last has another priority: it is a backup.
    assert_eq!(who(web, 8), ["three", "two"]);
    let requests = |last: u8, at: usize| {
        let line = format!(
            "portway_target_requests_total{{target_group=\"app\",target=\"{}\",code=\"2xx\"}}",
            member(last, at)
        );
        stage.metric(&line)
    };
    assert_eq!(
        (requests(2, 0), requests(3, 1)),
        ("2".to_owned(), "6".to_owned())
    );
    // A reload shows the name as it is written.
    assert_eq!(stage.becomes(&text("")), "");
    assert_eq!(
        stage.becomes(&text("retries = 1")),
        "change target_group app"
    );
    // A host is gone, and where one is, is another port.
    server.say(name, Says::Services(vec![host(2, 0, 2, "c.test")], 1));
    until_names(vec![member(4, 2)]);
    assert_eq!(who(web, 2), ["four"]);
    server.say(name, Says::Silence);
    let asked = server.asked(name);
    eventually("it is asked again", || {
        (server.asked(name) > asked + 2).then_some(())
    });
    assert_eq!(who(web, 2), ["four"]);
    stage.portway.stop();
}

#[test]
fn what_was_known_of_names_goes_on_over_an_upgrade() {
    let server = NameServer::start();
    let (webs, ports) = ([free_port(), free_port()], [same_port(), same_port()]);
    for port in ports {
        Echo::start_at(Ipv4Addr::new(127, 0, 0, 2), port, "two");
        Echo::start_at(Ipv4Addr::new(127, 0, 0, 3), port, "three");
    }
    server.say_addresses("one.test", &["127.0.0.2"]);
    server.say_addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
    let one = text(webs[0], ports[0], &server, "").replace("app.test", "one.test");
    let many = members(webs[1], ports[1], &server, "");
    let many = many.replace("listener.web", "listener.many");
    let many = many.replace("'app'\n[target_group.app]", "'many'\n[target_group.many]");
    let stage = upgrade::Stage::with(Scene::new(), &format!("{one}{many}"), &[]);
    let both_serve = |web: u16| (who(web, 8) == ["three", "two"]).then_some(());
    eventually("both addresses serve", || both_serve(webs[1]));
    // Silent at the wrong moment.
    for name in ["one.test", "app.test"] {
        server.say(name, Says::Silence);
    }
    stage.upgrade();
    assert_eq!(who(webs[0], 4), ["two"]);
    eventually("both addresses serve on", || {
        let served = |_| {
            let mut client = Client::new(webs[1]);
            client.send("GET /who HTTP/1.1\r\nHost: a.example\r\n\r\n");
            client.answer()
        };
        let all: Vec<String> = (0..8).map(served).collect();
        let of = |name: &str| {
            all.iter()
                .any(|it| it.contains(&format!("x-server: {name}\r\n")))
        };
        (of("two") && of("three")).then_some(())
    });
    // And what is said from then on counts.
    for name in ["one.test", "app.test"] {
        server.say_addresses(name, &["127.0.0.3"]);
    }
    until_served_by(webs[0], "three");
    eventually("one address is left", || {
        (who(webs[1], 8) == ["three"]).then_some(())
    });
}
