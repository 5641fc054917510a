//! Health checks that speak other protocols than HTTP, natively and as a haproxy.cfg says them: through wrong answers, death, a
//! reload and a return, with a target among them that its check takes for well and nobody can connect to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::echo::Echo;
use crate::stage::Client;
use crate::support::{PORTWAY, Portway, Scene, free_port, local};

/// What a server says first, and what it says to whatever it gets.
type Words = (&'static [u8], &'static [u8]);

/// A server that speaks as a check expects, or otherwise, or closes without a word: it keeps its port all the time.
struct Server {
    port: u16,
    words: Arc<Mutex<Option<Words>>>,
}

impl Server {
    fn start(words: Words) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let words = Arc::new(Mutex::new(Some(words)));
        let now = Arc::clone(&words);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Some((greeting, reply)) = *now.lock().unwrap() else {
                    continue;
                };
                thread::spawn(move || {
                    stream.write_all(greeting)?;
                    while stream.read(&mut [0; 512])? > 0 {
                        stream.write_all(reply)?;
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        Self { port, words }
    }

    fn says(&self, words: Option<Words>) {
        *self.words.lock().unwrap() = words;
    }
}

/// A way to check: natively, in a haproxy.cfg, what a good server says, and what a bad one does.
struct Row {
    native: &'static str,
    haproxy: &'static str,
    good: Words,
    bad: Words,
}

const ROWS: [Row; 8] = [
    Row {
        native: "service = 'redis'",
        haproxy: "option redis-check",
        good: (b"", b"+PONG\r\n"),
        bad: (b"", b"-LOADING Redis is loading\r\n"),
    },
    Row {
        native: "service = { smtp = { hello = 'HELO', domain = 'localhost' } }",
        haproxy: "option smtpchk HELO localhost",
        good: (b"220 ready\r\n", b"250 ok\r\n"),
        bad: (b"421 not now\r\n", b""),
    },
    Row {
        native: "service = { postgres = 'joe' }",
        haproxy: "option pgsql-check user joe",
        good: (b"", b"R\0\0\0\x0c\0\0\0\x05abcd"),
        bad: (b"", b"E\0\0\0\x0cSFATAL\0"),
    },
    Row {
        native: "service = { mysql = {} }",
        haproxy: "option mysql-check",
        good: (b"\x07\0\0\0\x0a5.5.5\0", b""),
        bad: (b"\x09\0\0\0\xff\x15\x04Denied", b""),
    },
    Row {
        native: "service = { mysql = { user = 'joe' } }",
        haproxy: "option mysql-check user joe",
        good: (b"\x07\0\0\0\x0a5.5.5\0", b"\x07\0\0\x02\0\0\0\x02\0\0\0"),
        bad: (b"\x07\0\0\0\x0a5.5.5\0", b"\x09\0\0\x02\xff\x15\x04Denied"),
    },
    Row {
        native: "service = 'ldap'",
        haproxy: "option ldap-check",
        good: (
            b"",
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        ),
        bad: (
            b"",
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x01\x04\x00\x04\x00",
        ),
    },
    Row {
        native: "script = [{ expect = '^220 ' }, { send = \"STAT\\r\\n\" }, { expect = '^ok [0-9]+' }]",
        haproxy: "option tcp-check\n  tcp-check expect rstring ^220\\x20\n  tcp-check send STAT\\r\\n\n  tcp-check expect rstring ^ok\\x20[0-9]+",
        good: (b"220 ready\r\n", b"ok 17\r\n"),
        bad: (b"220 ready\r\n", b"ok, but\r\n"),
    },
    Row {
        native: "service = 'ssl_hello'",
        haproxy: "option ssl-hello-chk",
        good: (b"", b"\x16\x03\x00\x00\x02\x02\x00"),
        bad: (b"", b"nope!"),
    },
];

/// Where targets serve, and where they are asked how they are.
struct Ports {
    web: u16,
    targets: [(u16, u16); 3],
}

fn native(row: &Row, ports: &Ports, more: &str) -> String {
    let target = |(port, check): (u16, u16)| {
        format!("{{ address = '127.0.0.1:{port}', check = {{ port = {check} }} }}")
    };
    let targets = ports.targets.map(target).join(", ");
    format!(
        "[listener.web]\nbind = '127.0.0.1:{}'\nforward = 'app'\n[target_group.app]\ntargets = [{targets}]\n{more}\n\
         [target_group.app.health_check]\n{}\ninterval = '100ms'\ntimeout = '2s'\nhealthy_threshold = 1\n",
        ports.web, row.native
    )
}

fn haproxy(row: &Row, ports: &Ports, more: &str) -> String {
    let names = ["one", "two", "dead"].iter().zip(ports.targets);
    let server = |(name, (port, check)): (&&str, (u16, u16))| {
        format!("  server {name} 127.0.0.1:{port} check port {check} inter 100ms rise 1 fall 2\n")
    };
    let servers: String = names.map(server).collect();
    format!(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n  timeout check 2s\n\
         frontend web\n  bind 127.0.0.1:{}\n  default_backend app\nbackend app\n  option redispatch 1\n  retries 3\n  {}\n{more}\n{servers}",
        ports.web, row.haproxy
    )
}

/// Who answers to so many requests that all do, sorted.
fn answering(web: u16) -> Vec<String> {
    let mut client = Client::new(web);
    let mut seen: Vec<String> = (0..12).map(|_| client.ask("/")).collect();
    seen.sort();
    seen.dedup();
    seen
}

fn row_through_its_life(row: &Row, file: &str, text: fn(&Row, &Ports, &str) -> String, more: &str) {
    let [one, two] = [Echo::start("one"), Echo::start("two")];
    let [web, dead] = [(); 2].map(|()| free_port());
    let checked = [(); 3].map(|()| Server::start(row.good));
    let [first, second, third] = &checked;
    let ports = Ports {
        web,
        targets: [
            (one.port, first.port),
            (two.port, second.port),
            (dead, third.port),
        ],
    };
    let scene = Scene::new();
    scene.file(file, text(row, &ports, ""));
    let portway: Portway = scene.portway_with(&[file]);
    let health = |target: u16, word| portway.wait_for_health("app", local(target), word);
    // The check of the third says that it is well, but nobody can connect to it: its requests are made again.
    for target in [one.port, two.port, dead] {
        health(target, "healthy");
    }
    assert_eq!(answering(web), ["one", "two"], "{}", row.native);

    second.says(Some(row.bad));
    health(two.port, "unhealthy");
    assert_eq!(answering(web), ["one"], "{}", row.native);

    // What is known of a target outlives a reload, and is looked after by the new one.
    scene.file(file, text(row, &ports, more));
    let admin = portway.admin.as_str();
    let reloaded = scene.run(PORTWAY, &["reload", "--admin", admin]);
    reloaded.good();
    assert_eq!(answering(web), ["one"], "{}", row.native);
    second.says(Some(row.good));
    health(two.port, "healthy");
    assert_eq!(answering(web), ["one", "two"], "{}", row.native);

    first.says(None);
    health(one.port, "unhealthy");
    assert_eq!(answering(web), ["two"], "{}", row.native);
    first.says(Some(row.good));
    health(one.port, "healthy");
    assert_eq!(answering(web), ["one", "two"], "{}", row.native);
}

#[test]
fn services_and_scripts_are_asked_natively() {
    thread::scope(|scope| {
        for row in &ROWS {
            scope.spawn(|| row_through_its_life(row, "web.toml", native, "retries = 2"));
        }
    });
}

#[test]
fn services_and_scripts_are_asked_as_haproxy_says() {
    thread::scope(|scope| {
        for row in &ROWS {
            scope.spawn(|| row_through_its_life(row, "haproxy.cfg", haproxy, "  timeout queue 3s"));
        }
    });
}
