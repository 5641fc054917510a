//! Servers that come and go by commands of a control socket: the same haproxy.cfg and the same commands for a real HAProxy
//! and for Portway; and what no client of Portway may feel of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::control_changes::Both;
use crate::drain::{haproxys, say, state_of};
use crate::reload_tls::reload_certificates;
use crate::support::{Scene, eventually, free_port};

/// A server whose every answer is its name, on connections that it keeps.
fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, name));
        }
    });
    address
}

fn serve(stream: TcpStream, name: &str) {
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let mut line = String::new();
    while requests.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line == "\r\n" {
            let length = name.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// A client that keeps its connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    /// The status and body of an answer.
    fn ask(&mut self) -> (u16, String) {
        let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        self.0.get_mut().write_all(request).unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        while self.0.read_line(&mut line).unwrap() > 0 && line != "\r\n" {
            let lower = line.to_lowercase();
            if status == 0 {
                status = lower.split(' ').nth(1).unwrap().parse().unwrap();
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    fn bodies(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.ask().1).collect()
    }
}

fn configuration(port: u16, backends: &str) -> String {
    format!(
        "defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 2s
frontend f
  bind 127.0.0.1:{port}
  default_backend be
{backends}"
    )
}

/// Columns of `show servers state` up to the weights, and those behind the time.
fn without_times(answer: &str) -> String {
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words.len() > 12 {
            true => format!("{} {}", words[..9].join(" "), words[10..].join(" ")),
            false => line.to_owned(),
        }
    };
    answer.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_said_of_servers_that_come_and_go() {
    let [a, b] = [server("a"), server("b")];
    let both = Both::new(Scene::new(), |port, _| {
        let backends = format!(
            "backend be
  acl unused srv_sess_rate(be/named) gt 50
  use-server used if {{ path /used }}
  server a {a} weight 2
  server checked {a} check
  server follows {a} track checked
  server used {a} disabled
  server named {a} disabled
backend static
  balance static-rr
  server a {a}
backend mapped
  balance source
  server a {a}
backend empty
  balance leastconn
  option httpchk
backend hashed
  balance uri
  hash-type consistent
"
        );
        configuration(port, &backends)
    });
    let here = b.to_string();
    for line in [
        "add server",
        "add server be",
        "add server nowhere/x",
        "add server be/x",
        "add server static/x @",
        "add server mapped/x @",
        "add server be/a @",
        "add server be/x @ no-such-word",
        "add server be/x @ cookie c",
        "add server be/x @ resolvers r",
        "add server be/x @ track a",
        "add server be/x @ track nobody",
        "add server be/x @ track nowhere/nobody",
        "add server be/n @ id 17 weight 3 maxconn 5",
        "add server be/n @",
        "add server be/t @ track checked",
        "add server be/x @ track t",
        "add server empty/c @ check inter 100ms",
        "add server empty/g @ agent-check agent-port 9",
        "add server empty/s @ ssl verify none",
        "add server hashed/h @ weight 0",
        "show servers state empty",
        "show servers state hashed",
        "enable health be/n",
        "enable agent be/n",
        "set server be/n state ready",
        "set weight be/n 7",
        "get weight be/n",
        "set server #3/n state maint",
        "del server",
        "del server nowhere/x",
        "del server be/x",
        "del server be/a",
        "del server be/checked",
        "del server be/used",
        "del server be/named",
        "del server be/t",
        "del server be/n",
        "del server be/n",
        "disable server be/a",
        "del server be/a",
        "add server be/a @",
        "add server be/z @",
        "show servers state nowhere",
    ] {
        let line = line.replace('@', &here);
        let [theirs, ours] = both.ask(&line).map(|it| without_times(&it));
        assert_eq!(ours, theirs, "`{line}`");
    }
    // One that follows another is as that is, and not unchecked.
    let statuses = both.ask("show stat be 4 -1").map(|answer| {
        let mut lines = answer.lines();
        let line = lines.find(|it| it.starts_with("be,follows,")).unwrap();
        line.split(',').nth(17).unwrap().to_owned()
    });
    assert_eq!(statuses, ["UP", "UP"]);
    // The lowest numbers that are free.
    let [theirs, ours] = both.ask("show servers state be");
    let numbers = |answer: &str| -> Vec<String> {
        let lines = answer.lines().skip(2).filter(|line| !line.is_empty());
        let names = lines.map(|line| {
            line.split(' ')
                .skip(2)
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        });
        names.collect()
    };
    assert_eq!(numbers(&ours), numbers(&theirs));
}

#[test]
fn servers_that_come_serve_and_servers_that_go_do_not() {
    let [a, b, c] = [server("a"), server("b"), server("c")];
    let both = Both::new(Scene::new(), |port, _| {
        configuration(port, &format!("backend be\n  server a {a}\n"))
    });
    let mut clients = both.ports.map(Client::new);
    // Who takes so many requests.
    let mut serve = |count: usize, expected: &[&str]| {
        for client in &mut clients {
            let mut bodies = client.bodies(count);
            bodies.sort();
            bodies.dedup();
            assert_eq!(bodies, expected);
        }
    };
    serve(2, &["a"]);
    both.same(&format!("add server be/b {b}"));
    serve(2, &["a"]);
    both.same("enable server be/b");
    serve(4, &["a", "b"]);
    both.same(&format!("add server be/c {c} weight 2"));
    both.same("enable server be/c");
    serve(12, &["a", "b", "c"]);
    both.same("disable server be/a");
    both.same("del server be/a");
    serve(12, &["b", "c"]);
    both.same("disable server be/b");
    both.same("del server be/b");
    both.same("disable server be/c");
    both.same("del server be/c");
    for client in &mut clients {
        assert_eq!(client.ask().0, 503);
    }
    both.same(&format!("add server be/a {a}"));
    both.same("enable server be/a");
    let mut clients = both.ports.map(Client::new);
    for client in &mut clients {
        assert_eq!(client.ask(), (200, "a".to_owned()));
    }
}

#[test]
fn a_server_that_came_stays_as_it_is_while_the_configuration_does() {
    let (one, two, web) = (server("one"), server("two"), free_port());
    let stage = haproxys(web, &[one.port()]);
    let answers = || {
        let mut all = Client::new(web).bodies(4);
        all.sort();
        all.dedup();
        all
    };
    let said = say(&stage, &format!("add server be/n {two}"));
    assert!(said.contains("New server registered"), "{said}");
    for (line, expected) in [
        ("", "unused"),
        ("enable server be/n", "healthy"),
        ("set server be/n state drain", "draining"),
        ("set server be/n state ready", "healthy"),
        ("disable server be/n", "unused"),
    ] {
        if !line.is_empty() {
            assert_eq!(say(&stage, line).trim(), "", "{line}");
        }
        for times in 0..2 {
            assert_eq!(state_of(&stage, 1), expected, "{line} {times}");
            let serve: &[&str] = match expected {
                "healthy" => &["one", "two"],
                _ => &["one"],
            };
            assert_eq!(answers(), serve, "{line} {times}");
            reload_certificates(&stage, &[]).good();
        }
    }
    let said = say(&stage, "del server be/n");
    assert!(said.contains("Server deleted"), "{said}");
}

#[test]
fn a_server_that_begins_disabled_serves_once_it_is_enabled() {
    let a = server("a");
    let both = Both::new(Scene::new(), |port, _| {
        configuration(port, &format!("backend be\n  server a {a} disabled\n"))
    });
    both.same(&format!("add server be/b {a} disabled"));
    for name in ["a", "b"] {
        let mut clients = both.ports.map(Client::new);
        clients
            .iter_mut()
            .for_each(|it| assert_eq!(it.ask().0, 503));
        both.same(&format!("enable server be/{name}"));
        let mut clients = both.ports.map(Client::new);
        clients
            .iter_mut()
            .for_each(|it| assert_eq!(it.ask().0, 200));
        both.same(&format!("disable server be/{name}"));
    }
}

#[test]
fn a_server_that_comes_is_checked_once_that_is_asked_for() {
    let (a, nobody) = (server("a"), free_port());
    let both = Both::new(Scene::new(), |port, _| {
        configuration(
            port,
            &format!("backend be\n  option httpchk\n  server a {a}\n"),
        )
    });
    both.same(&format!(
        "add server be/down 127.0.0.1:{nobody} check inter 100ms rise 1 fall 1"
    ));
    both.same(&format!(
        "add server be/up {a} check inter 100ms rise 1 fall 1"
    ));
    for name in ["down", "up"] {
        both.same(&format!("enable server be/{name}"));
    }
    let states = |at: usize| -> Vec<String> {
        let answer = both.ask("show stat -1 4 -1")[at].clone();
        let lines = answer.lines().filter(|line| line.starts_with("be,"));
        lines
            .map(|line| line.split(',').nth(17).unwrap().to_owned())
            .collect()
    };
    for at in [0, 1] {
        assert_eq!(states(at), ["no check", "no check", "no check"], "{at}");
    }
    for name in ["down", "up"] {
        both.same(&format!("enable health be/{name}"));
    }
    for at in [0, 1] {
        let expected = ["no check", "DOWN", "UP"];
        eventually(format!("{at}: {expected:?}"), || {
            (states(at) == expected).then_some(())
        });
    }
}

/// Asks without a pause until told to stop; how many answers came, all of them good.
fn load(port: u16, stop: &Arc<AtomicBool>, answered: &Arc<AtomicUsize>) -> JoinHandle<()> {
    let (stop, answered) = (stop.clone(), answered.clone());
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let mut client = Client::new(port);
            for _ in 0..50 {
                let (status, body) = client.ask();
                assert_eq!(status, 200, "{body}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

#[test]
fn no_request_is_lost_while_servers_come_and_go() {
    let [a, b] = [server("a"), server("b")];
    let both = Both::new(Scene::new(), |port, _| {
        configuration(
            port,
            &format!("backend be\n  server a {a} maxconn 2\n  server a2 {a}\n"),
        )
    });
    let (stop, answered) = (Arc::default(), Arc::default());
    let clients: Vec<_> = (0..6)
        .map(|_| load(both.ports[1], &stop, &answered))
        .collect();
    let ask = |line: &str| both.ask(line)[1].trim().to_owned();
    let mut refused = 0;
    for round in 0..30 {
        let name = format!("be/n{}", round % 3);
        assert_eq!(
            ask(&format!("add server {name} {b} maxconn 3")),
            "New server registered."
        );
        assert_eq!(ask(&format!("enable server {name}")), "");
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(ask(&format!("disable server {name}")), "");
        loop {
            match ask(&format!("del server {name}")).as_str() {
                "Server deleted." => break,
                busy => assert!(busy.starts_with("Server still has connections"), "{busy}"),
            }
            refused += 1;
            assert!(refused < 1000);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 300, "{answered:?}");
    // What was counted of those that stayed did not begin anew.
    let stat = ask("show stat");
    let total = |name: &str| -> usize {
        let line = stat
            .lines()
            .find(|line| line.starts_with(&format!("be,{name},")))
            .unwrap();
        line.split(',').nth(7).unwrap().parse().unwrap()
    };
    assert_eq!(total("BACKEND"), answered.load(Ordering::Relaxed));
    assert!(total("a") + total("a2") > 100);
}
