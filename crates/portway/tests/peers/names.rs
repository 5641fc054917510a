//! Names of targets at a scripted server of names: TTL, failures and lies, reloads and dead addresses.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use portway_testkit::names::{NameServer, Says};

use crate::echo::Echo;
use crate::stage::{Client, Stage, listener};
use crate::support::{eventually, free_port};

/// Where targets listen: one port, at addresses of this machine.
fn same_port() -> u16 {
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
        "change group app"
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
