//! What a process that takes over makes of one before it that is of another version, or dies while it hands over. The test plays that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use crate::echo::Echo;
use crate::stage::{Client, group, listener};
use crate::support::{PORTWAY, Process, Scene, eventually, free_port, local};

/// The line to a process that takes over, at the end of the one before.
struct Line(UnixStream);

impl Line {
    fn hears(&mut self) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while self.0.read(&mut byte).unwrap() > 0 && byte != *b"\n" {
            text.extend(byte);
        }
        String::from_utf8(text).unwrap()
    }

    fn record(&mut self, word: &[u8; 4], content: &[u8]) {
        let length = u32::try_from(content.len()).unwrap();
        self.0.write_all(word).unwrap();
        self.0.write_all(&length.to_le_bytes()).unwrap();
        self.0.write_all(content).unwrap();
    }
}

/// Starts a process that takes over, and answers its first question: there is no socket to be had.
fn begin(scene: &Scene, web: u16, one: &Echo) -> (Process, Line) {
    let text = listener("web", web, "app")
        + "[[listener.web.rule]]\ntrack = { key = 'source', table = 'seen' }\n\
           [[listener.web.rule]]\nphase = 'response'\nset_header = { X-Seen = '${counter(requests, tracked(0))}' }\n"
        + &group("app", &[one.port])
        + "[stick_table.seen]\nkey = 'address'\nsize = 100\nstore = ['errors', 'requests']\n";
    scene.file("web.toml", text);
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let admin = format!("127.0.0.1:{}", free_port());
    let mut command = std::process::Command::new(PORTWAY);
    command
        .args(["run", "web.toml", "--workers", "1", "--admin", &admin])
        .current_dir(scene.path(""))
        .env("PORTWAY_TAKES_OVER", "1");
    let process = scene.spawn_command_with(command, Stdio::from(OwnedFd::from(theirs)));
    let mut line = Line(ours);
    assert_eq!(line.hears(), "_getsocks");
    line.0.write_all(&0i32.to_ne_bytes()).unwrap();
    assert_eq!(line.hears(), "_portway_state");
    (process, line)
}

/// An entry of a client: how often it did wrong, and what it asked for.
fn entry(address: [u8; 4], counts: &[u64]) -> Vec<u8> {
    let mut bytes = vec![4, 0];
    bytes.extend(address);
    bytes.extend(10_u64.to_le_bytes());
    bytes.extend(u64::MAX.to_le_bytes());
    bytes.push(u8::try_from(counts.len()).unwrap());
    for count in counts {
        bytes.push(0);
        bytes.extend(count.to_le_bytes());
    }
    bytes
}

fn seen(web: u16) -> String {
    let mut client = Client::new(web);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.answer();
    let value = head.split("x-seen: ").nth(1).unwrap();
    value.split("\r\n").next().unwrap().to_owned()
}

const TABLE: &str = r#"{"name":"seen","key":"Address","store":[{"counter":"Requests","period":null},{"counter":"Dreams","period":null}]}"#;

#[test]
fn what_is_not_known_is_left_out() {
    let (one, web, scene) = (Echo::start("one"), free_port(), Scene::new());
    let (process, mut line) = begin(&scene, web, &one);
    let parts = r#"{"version":"9.9.9","listeners":[{"name":"web","gate":"open","mood":"good"}],"dreams":[1],"targets":"none"}"#;
    line.record(b"LIVE", parts.as_bytes());
    line.record(b"NEW!", &[7; 100]);
    line.record(b"TABL", br#"{"name":"gone","key":"Address","store":[]}"#);
    line.record(b"ENTR", &entry([127, 0, 0, 1], &[]));
    // A counter more than is stored here, and one that is stored here is not there.
    line.record(b"TABL", TABLE.as_bytes());
    line.record(b"ENTR", &entry([127, 0, 0, 1], &[41, 5]));
    line.record(b"END.", &[]);
    assert_eq!(line.hears(), "ready");
    line.0.write_all(b"go\n").unwrap();
    eventually("it serves", || TcpStream::connect(local(web)).ok());
    assert_eq!(seen(web), "42");
    let log = process.log();
    for what in ["`dreams`", "`targets`", "`NEW!`", "the stick table `gone`"] {
        let line = log
            .lines()
            .find(|it| it.contains("is left out: ") && it.contains(what));
        assert!(line.is_some(), "{what}: {log}");
    }
    assert!(
        log.contains("of the process before (9.9.9) was taken over"),
        "{log}"
    );
}

#[test]
fn who_is_alone_goes_on_with_what_came() {
    let (one, web, scene) = (Echo::start("one"), free_port(), Scene::new());
    let (process, mut line) = begin(&scene, web, &one);
    line.record(b"LIVE", br#"{"version":"0.1.0"}"#);
    line.record(b"TABL", TABLE.as_bytes());
    line.record(b"ENTR", &entry([127, 0, 0, 1], &[41, 5]));
    // In the middle of a record.
    line.0.write_all(b"ENTR\xff\0\0\0cut").unwrap();
    drop(line);
    eventually("it serves", || TcpStream::connect(local(web)).ok());
    assert_eq!(seen(web), "42");
    eventually("it says so", || {
        let log = process.log();
        let said = ["is left out: what came after", "has not let go"];
        said.iter().all(|it| log.contains(it)).then_some(())
    });
}
