//! Changes that come in awkward ways: at once, by the thousand, from somebody who does not wait, twice under one name.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{Scene, eventually, free_port, local};

fn changes(web: u16, port: u16) -> String {
    listener("web", web, "app") + &group("app", &[port])
}

/// Writes the configuration at once, as `mv` does: nobody reads half of it.
fn put(stage: &Stage, text: String) {
    let next = stage.scene.file("next", text);
    fs::rename(next, &stage.file).unwrap();
}

#[test]
fn two_changes_at_once_leave_the_last() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let stage = Stage::new(&changes(web, one.port));
    let mut kept = Client::new(web);
    for round in 0..10 {
        let ports = [one.port, two.port];
        let (first, last) = (ports[round % 2], ports[(round + 1) % 2]);
        thread::scope(|scope| {
            put(&stage, changes(web, first));
            scope.spawn(|| stage.command(&["reload"]).good());
            put(&stage, changes(web, last));
            scope.spawn(|| stage.command(&["reload"]).good());
        });
        let expected = if last == one.port { "one" } else { "two" };
        assert_eq!(kept.ask("/"), expected);
    }
    // Both, or one for both.
    let generation: u32 = stage.metric("portway_generation ").parse().unwrap();
    assert!((11..=21).contains(&generation), "{generation}");
}

#[test]
fn a_thousand_changes_in_a_burst_leave_the_last() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let stage = Stage::with(Scene::new(), &changes(web, one.port), &["--watch"]);
    let mut kept = Client::new(web);
    assert_eq!(kept.ask("/"), "one");
    for nth in 0..1000 {
        let port = if nth % 2 == 0 { one.port } else { two.port };
        put(&stage, changes(web, port));
        stage.portway.process.signal(Signal::HUP);
    }
    eventually("the last of them is at work", || {
        let last = stage.metric("portway_generation ") != "1" && kept.ask("/") == "two";
        last.then_some(())
    });
    // One that nobody asked for would follow, were the list of files another after each.
    eventually("the signals are heard", || {
        let generation = stage.metric("portway_generation ");
        thread::sleep(Duration::from_millis(1200));
        (stage.metric("portway_generation ") == generation).then_some(())
    });
    assert_eq!(kept.ask("/"), "two");
    assert_eq!(
        stage.metric("portway_reloads_total{result=\"failed\"} "),
        "0"
    );
}

#[test]
fn who_does_not_wait_has_asked_nevertheless() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let stage = Stage::new(&changes(web, one.port));
    let admin: SocketAddr = stage.portway.admin.parse().unwrap();
    let request = "POST /reload HTTP/1.1\r\nHost: localhost\r\nPortway-Command: 1\r\nContent-Length: 0\r\n\r\n";
    // Often enough that once the end is there as soon as the request is.
    for turn in 0..9 {
        let (port, name) = [(two.port, "two"), (one.port, "one")][turn % 2];
        fs::write(&stage.file, changes(web, port)).unwrap();
        let mut asks = TcpStream::connect(admin).unwrap();
        asks.write_all(request.as_bytes()).unwrap();
        drop(asks);
        eventually("the configuration is at work", || {
            (Client::new(web).ask("/") == name).then_some(())
        });
    }
    // The next one is told as ever.
    assert_eq!(stage.becomes(&changes(web, two.port)), "");
}

#[test]
fn a_name_that_stands_twice_changes_nothing() {
    let one = Echo::start("one");
    let web = free_port();
    let text = changes(web, one.port);
    let stage = Stage::new(&text);
    let twice = [
        text.clone() + &listener("web", free_port(), "app"),
        text.clone() + &group("app", &[one.port]),
        text.replace("targets = [", "targets = [{ name = 'a', address = '127.0.0.1:1' }, { name = 'a', address = '127.0.0.1:2' }, "),
    ];
    for bad in twice {
        let answer = stage.reload(&bad);
        assert_eq!(answer["ok"], false, "{bad}");
        assert_eq!(Client::new(web).ask("/"), "one");
    }
    assert_eq!(stage.metric("portway_generation "), "1");
}

#[test]
fn a_port_that_moves_serves_for_its_new_listener() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let [a, b] = [(); 2].map(|()| free_port());
    let groups = group("one", &[one.port]) + &group("two", &[two.port]);
    let both = |name: &str, group: &str| {
        format!(
            "[listener.{name}]\nbind = ['127.0.0.1:{a}', '127.0.0.1:{b}']\nforward = '{group}'\n"
        )
    };
    let alone = listener("one", a, "one") + &listener("two", b, "two") + &groups;
    let stage = Stage::new(&(both("one", "one") + &groups));
    let mut kept = Client::new(b);
    assert_eq!(kept.ask("/"), "one");
    // A connection that waits in the queue of the port is served by whoever has it then.
    stage.becomes(&alone);
    assert_eq!(Client::new(b).ask("/"), "two");
    // It stays with the listener that took it.
    assert_eq!(kept.ask("/"), "one");
    stage.becomes(&(both("two", "two") + &groups));
    assert_eq!(
        (Client::new(a).ask("/"), Client::new(b).ask("/")),
        ("two".to_owned(), "two".to_owned())
    );
}

#[test]
fn limits_of_connections_go_on_and_change() {
    let one = Echo::start("one");
    let web = free_port();
    let text = |most: u32| {
        let limited = listener("web", web, "app")
            .replace("forward", &format!("max_connections = {most}\nforward"));
        limited + &group("app", &[one.port])
    };
    let stage = Stage::new(&text(2));
    let (mut first, mut second) = (Client::new(web), Client::new(web));
    assert_eq!(
        (first.ask("/"), second.ask("/")),
        ("one".to_owned(), "one".to_owned())
    );
    // Those that were let in before count.
    stage.becomes(&(text(2) + "retries = 2\n"));
    let mut third = TcpStream::connect(local(web)).unwrap();
    third
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    third
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    assert!(std::io::Read::read(&mut third, &mut [0; 1]).is_err());
    stage.becomes(&text(3));
    third
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut byte = [0; 1];
    std::io::Read::read_exact(&mut third, &mut byte).unwrap();
    assert_eq!(&byte, b"H");
    assert_eq!(
        (first.ask("/"), second.ask("/")),
        ("one".to_owned(), "one".to_owned())
    );
}
