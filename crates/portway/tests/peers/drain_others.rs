//! Drains of listeners that get their connections from others, and commands on what a control socket has put out of service.

use std::net::TcpStream;

use crate::drain::{haproxys, say, told};
use crate::echo::Echo;
use crate::stage::{Client, Stage, group, tunnels};
use crate::support::{eventually, free_port, local};

/// Plain HTTP that comes to `front` goes on at `inner`, which has no address.
fn handing_over(port: u16, target: u16) -> String {
    format!(
        "[listener.front]\nprotocol = 'tcp'\nbind = '127.0.0.1:{port}'\n\
         rule = [{{ phase = 'client_hello', when = '!hello_type == 1', hand_over = 'inner' }}]\n\
         [listener.inner]\nforward = 'app'\n{}",
        group("app", &[target])
    )
}

fn ask(client: &mut Client) -> String {
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.answer()
}

fn left(stage: &Stage, name: &str) -> Option<u64> {
    let status = stage.portway.status();
    let mut all = status["draining"].as_array()?.iter();
    all.find(|it| it["name"] == name)?["left"].as_u64()
}

#[test]
fn connections_that_were_handed_over_hear_that_the_listener_leaves_which_accepted_them() {
    let one = Echo::start("one");
    let port = free_port();
    let stage = Stage::new(&handing_over(port, one.port));
    let mut client = Client::new(port);
    assert!(!ask(&mut client).contains("connection: close"));
    let words = ["drain", "listener", "front", "--ready-delay", "60s"];
    assert!(told(&stage, &words).0);
    assert_eq!(left(&stage, "front"), Some(1));
    assert!(ask(&mut client).contains("\r\nconnection: close\r\n"));
    assert!(told(&stage, &["undrain", "listener", "front"]).0);
    assert!(!ask(&mut Client::new(port)).contains("connection: close"));
}

#[test]
fn a_listener_that_gets_its_connections_from_others_drains() {
    let target = tunnels();
    let port = free_port();
    let stage = Stage::new(&handing_over(port, target));
    let mut tunnel = Client::tunnel(port);
    let words = ["drain", "listener", "inner", "--deadline", "90s"];
    assert!(told(&stage, &words).0);
    assert_eq!(left(&stage, "inner"), Some(1));
    eventually("nobody is served any more", || {
        let mut client = Client::new(port);
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client.try_answer().is_none().then_some(())
    });
    tunnel.beats();
    // What is in progress is cut off at the deadline.
    let words = ["drain", "listener", "inner", "--deadline", "0s"];
    assert!(told(&stage, &words).0);
    assert!(tunnel.try_answer().is_none());
    eventually("nothing is left", || {
        (left(&stage, "inner") == Some(0)).then_some(())
    });
    assert!(told(&stage, &["undrain", "listener", "inner"]).0);
    Client::tunnel(port).beats();
}

#[test]
fn what_a_control_socket_has_put_into_maintenance_comes_back() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let stage = haproxys(web, &[one.port, two.port]);
    for words in [["undrain", "target", "be/a"], ["undrain", "group", "be"]] {
        say(&stage, "disable server be/a");
        say(&stage, "disable server be/b");
        let url = format!("http://127.0.0.1:{web}/");
        assert_eq!(stage.scene.status(&[&url]), "503");
        assert!(told(&stage, &words).0, "{words:?}");
        assert_eq!(stage.scene.status(&[&url]), "200");
        let (ok, said) = told(&stage, &words);
        assert!(!ok && said.contains("at work already"), "{said}");
    }
    say(&stage, "shutdown frontend fe");
    let (ok, said) = told(&stage, &["undrain", "listener", "fe"]);
    assert!(!ok && said.contains("shutdown frontend"), "{said}");
    eventually("nobody comes in", || TcpStream::connect(local(web)).err());
    let text = stage.command(&["status"]).good();
    assert!(text.contains(" stopped "), "{text}");
}
