//! A listener that is put back to work listens when that is said, or it is said why it cannot.

use std::net::{TcpListener, TcpStream};

use crate::drain::{haproxys, say, told};
use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port, local};

fn state(stage: &Stage) -> String {
    let status = stage.portway.status();
    status["listeners"][0]["state"].as_str().unwrap().to_owned()
}

fn ready(stage: &Stage) -> String {
    let url = format!("http://{}/readyz?listener=web", stage.portway.admin);
    stage.scene.status(&[&url])
}

#[test]
fn it_listens_when_the_command_comes_back() {
    let one = Echo::start("one");
    let web = free_port();
    let stage = Stage::new(&(listener("web", web, "app") + &group("app", &[one.port])));
    for _ in 0..5 {
        assert!(told(&stage, &["drain", "listener", "web"]).0);
        eventually("nobody comes in", || TcpStream::connect(local(web)).err());
        assert!(told(&stage, &["undrain", "listener", "web"]).0);
        assert_eq!(Client::new(web).ask("/"), "one");
        assert_eq!(
            (state(&stage).as_str(), ready(&stage).as_str()),
            ("accepting", "200")
        );
    }
}

#[test]
fn who_has_its_address_is_named() {
    let one = Echo::start("one");
    let web = free_port();
    let stage = Stage::new(&(listener("web", web, "app") + &group("app", &[one.port])));
    assert!(told(&stage, &["drain", "listener", "web", "--wait"]).0);
    // Each worker lets its socket go for itself.
    let other = eventually("the port is free", || TcpListener::bind(local(web)).ok());
    let owner = format!("(process {})", std::process::id());
    for _ in 0..2 {
        let (ok, said) = told(&stage, &["undrain", "listener", "web"]);
        let names = [format!("listens on 127.0.0.1:{web}"), owner.clone()];
        assert!(!ok && names.iter().all(|it| said.contains(it)), "{said}");
        assert_eq!(
            (state(&stage).as_str(), ready(&stage).as_str()),
            ("blocked", "503")
        );
    }
    assert!(stage.portway.process.log().contains(&owner));
    drop(other);
    eventually("it is back", || TcpStream::connect(local(web)).ok());
    eventually("it says so", || {
        (state(&stage) == "accepting").then_some(())
    });
    assert_eq!(ready(&stage), "200");
    let (ok, said) = told(&stage, &["undrain", "listener", "web"]);
    assert!(!ok && said.contains("is at work already"), "{said}");
}

#[test]
fn haproxys_socket_says_so_too() {
    let one = Echo::start("one");
    let web = free_port();
    let stage = haproxys(web, &[one.port]);
    let socket = |line: &str| say(&stage, line);
    for _ in 0..3 {
        assert_eq!(socket("disable frontend fe").trim(), "");
        eventually("nobody comes in", || TcpStream::connect(local(web)).err());
        assert_eq!(socket("enable frontend fe").trim(), "");
        assert_eq!(Client::new(web).ask("/"), "one");
    }
    assert_eq!(socket("disable frontend fe").trim(), "");
    // Each worker lets its socket go for itself.
    let other = eventually("the port is free", || TcpListener::bind(local(web)).ok());
    let said = socket("enable frontend fe");
    assert!(said.contains("port conflict?"), "{said}");
    assert!(socket("show stat").contains(",PAUSED,"));
    drop(other);
    eventually("it is back", || TcpStream::connect(local(web)).ok());
}
