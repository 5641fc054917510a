//! The configuration is read again while Portway serves: what stays feels nothing, what goes drains, what is wrong changes nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, tunnels};
use crate::support::{Scene, eventually, free_port, local};

const SOON: &str = "[process]\ndrain_deadline = '1s'\n";

#[test]
fn what_stays_feels_nothing() {
    let (one, two, chat) = (Echo::start("one"), Echo::start("two"), tunnels());
    let [web, ws, tcp, other] = [(); 4].map(|()| free_port());
    let raw =
        format!("[listener.raw]\nprotocol = 'tcp'\nbind = '127.0.0.1:{tcp}'\nforward = 'raw'\n");
    let raw_group = group("raw", &[one.port]) + "protocol = 'tcp'\n";
    let first = [
        listener("web", web, "app"),
        listener("ws", ws, "chat"),
        raw.clone(),
        group("app", &[one.port]),
        group("chat", &[chat]),
        raw_group.clone(),
    ];
    let stage = Stage::new(&(SOON.to_owned() + &first.concat()));
    let (mut kept, mut tunnel, mut stream) =
        (Client::new(web), Client::tunnel(ws), Client::new(tcp));
    let mut early = Client::new(web);
    assert_eq!(
        (kept.ask("/"), stream.ask("/")),
        ("one".to_owned(), "one".to_owned())
    );
    tunnel.beats();
    // All in another order, a listener and a group more, one of which comes first.
    let second = [
        listener("a", other, "new"),
        group("new", &[two.port]),
        raw_group,
        group("chat", &[chat]),
        listener("ws", ws, "chat"),
        listener("web", web, "app"),
        group("app", &[one.port]),
        raw,
    ];
    let text = SOON.to_owned() + &second.concat();
    assert_eq!(
        stage.becomes(&text),
        "add listener a, add target_group new, add target new/127.0.0.1:".to_owned()
            + &two.port.to_string()
    );
    assert_eq!(Client::new(other).ask("/"), "two");
    assert_eq!(stage.becomes(&text), "");
    let both = format!("127.0.0.1:{}'", one.port);
    let text = text.replace(&format!("targets = ['{both}]\nprotocol"), "@");
    let more = text.replace(
        &format!("'{both}]"),
        &format!("'{both}, '127.0.0.1:{}']", two.port),
    );
    let more = more.replace('@', &format!("targets = ['{both}]\nprotocol"));
    assert_eq!(
        stage.becomes(&more),
        format!("add target app/127.0.0.1:{}", two.port)
    );
    // Longer than what is gone has.
    thread::sleep(Duration::from_millis(1500));
    let mut servers = [kept.ask("/"), kept.ask("/"), early.ask("/"), early.ask("/")];
    servers.sort();
    assert_eq!(servers, ["one", "one", "two", "two"]);
    assert_eq!(stream.ask("/"), "one");
    tunnel.beats();
    assert_eq!(stage.metric("portway_generation "), "4");
    assert_eq!(
        stage.metric("portway_listener_connections_total{listener=\"web\"} "),
        "2"
    );
    assert_eq!(
        stage.metric("portway_listener_connections_open{listener=\"ws\"} "),
        "1"
    );
    assert_eq!(
        stage.metric("portway_listener_requests_total{listener=\"web\",code=\"2xx\"} "),
        "5"
    );
}

#[test]
fn listeners_that_are_gone_drain() {
    let (one, chat) = (Echo::start("one"), tunnels());
    let [web, gone, ws] = [(); 3].map(|()| free_port());
    let web = listener("web", web, "app") + &group("app", &[one.port]);
    let both =
        listener("gone", gone, "app") + &listener("ws", ws, "chat") + &group("chat", &[chat]);
    // Who was just served has a second for one more request.
    let soon = SOON.replace("1s", "4s");
    let stage = Stage::new(&format!("{soon}{web}{both}"));
    let (mut rests, mut slow, mut tunnel) =
        (Client::new(gone), Client::new(gone), Client::tunnel(ws));
    assert_eq!(rests.ask("/"), "one");
    slow.send("GET /slow/600 HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(Duration::from_millis(200));
    stage.becomes(&format!("{soon}{web}"));
    rests.ends();
    assert!(TcpStream::connect(local(gone)).is_err());
    tunnel.beats();
    let answer = slow.answer();
    assert!(
        answer.contains("x-server: one") && answer.contains("connection: close"),
        "{answer}"
    );
    slow.ends();
    // Until the deadline.
    tunnel.ends();
    assert_eq!(
        stage.metric("portway_listener_connections_open{listener=\"web\"} "),
        "0"
    );
}

#[test]
fn targets_that_are_gone_drain() {
    let (one, two, chat) = (Echo::start("one"), Echo::start("two"), tunnels());
    let web = free_port();
    let text = |ports: &[u16]| {
        format!(
            "{SOON}{}{}",
            listener("web", web, "app"),
            group("app", ports)
        )
    };
    let stage = Stage::new(&text(&[chat]));
    let mut tunnel = Client::tunnel(web);
    stage.becomes(&text(&[one.port]));
    let mut slow = Client::new(web);
    slow.send("GET /slow/600 HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(Duration::from_millis(200));
    stage.becomes(&text(&[two.port]));
    assert_eq!(Client::new(web).ask("/"), "two");
    tunnel.beats();
    assert!(slow.answer().contains("x-server: one"));
    // The listener is still there, and so is the connection.
    assert_eq!(slow.ask("/"), "two");
    tunnel.ends();
}

#[test]
fn names_and_addresses_change() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let [a, b] = [(); 2].map(|()| free_port());
    let groups = group("one", &[one.port]) + &group("two", &[two.port]);
    let stage = Stage::new(&(listener("a", a, "one") + &listener("b", b, "two") + &groups));
    let (mut at_a, mut at_b) = (Client::new(a), Client::new(b));
    assert_eq!(
        (at_a.ask("/"), at_b.ask("/")),
        ("one".to_owned(), "two".to_owned())
    );
    // The ports change hands: connections stay with their listeners.
    stage.becomes(&(listener("a", b, "one") + &listener("b", a, "two") + &groups));
    assert_eq!(
        (at_a.ask("/"), at_b.ask("/")),
        ("one".to_owned(), "two".to_owned())
    );
    assert_eq!(Client::new(a).ask("/"), "two");
    assert_eq!(Client::new(b).ask("/"), "one");
    // Another name at the same address is the same listener.
    let plan = stage.becomes(&(listener("c", b, "one") + &listener("b", a, "two") + &groups));
    assert_eq!(plan, "add listener c, remove listener a");
    assert_eq!(at_a.ask("/"), "one");
    // Every address of the host in place of one, and back.
    let everywhere = listener("b", a, "two").replace("127.0.0.1", "");
    stage.becomes(&(everywhere + &groups + &listener("c", b, "one")));
    assert_eq!(
        (Client::new(a).ask("/"), at_b.ask("/")),
        ("two".to_owned(), "two".to_owned())
    );
    stage.becomes(&(listener("b", a, "two") + &groups + &listener("c", b, "one")));
    assert_eq!(
        (Client::new(a).ask("/"), at_b.ask("/")),
        ("two".to_owned(), "two".to_owned())
    );
    // Requests become a stream.
    let stream = listener("b", a, "two") + "protocol = 'tcp'\n";
    let groups = groups.replace(
        "[target_group.two]\n",
        "[target_group.two]\nprotocol = 'tcp'\n",
    );
    stage.becomes(&(stream + &groups + &listener("c", b, "one")));
    at_b.ends();
    assert_eq!(Client::new(a).ask("/"), "two");
    assert_eq!(at_a.ask("/"), "one");
}

#[test]
fn what_is_wrong_changes_nothing() {
    let one = Echo::start("one");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let web = free_port();
    let good = listener("web", web, "app") + &group("app", &[one.port]);
    let stage = Stage::new(&good);
    let mut kept = Client::new(web);
    assert_eq!(kept.ask("/"), "one");
    let port = taken.local_addr().unwrap().port();
    let new = free_port();
    let cases = [
        ("[listener.web\n".to_owned(), "web.toml:1:"),
        (good.replace("'app'", "'nobody'"), "web.toml:3:11"),
        (
            format!(
                "{good}{}access_log = {{ to = 'file:new.log' }}\n",
                listener("b", port, "app")
            ),
            "another program is listening there",
        ),
        (
            format!(
                "{good}{}{}protocol = 'https'\ncertificate_files = ['no.pem']\n",
                listener("new", new, "app"),
                listener("b", free_port(), "app")
            ),
            "no.pem",
        ),
    ];
    for (nth, (bad, why)) in cases.iter().enumerate() {
        let answer = stage.reload(bad);
        assert_eq!(
            (&answer["ok"], &answer["generation"]),
            (&Value::from(false), &Value::from(1))
        );
        assert!(answer.to_string().contains(why), "{answer:#}");
        let output = stage.command(&["reload"]);
        assert!(
            !output.status.success() && output.both().contains(why),
            "{output}"
        );
        assert!(output.both().contains("stays as it is"), "{output}");
        let error = stage.portway.status()["process"]["last_reload"]["error"].clone();
        assert!(error.as_str().unwrap().contains(why), "{error}");
        let failed = (2 * (nth + 1)).to_string();
        assert_eq!(
            stage.metric("portway_reloads_total{result=\"failed\"} "),
            failed
        );
        assert_eq!(
            (kept.ask("/"), Client::new(web).ask("/")),
            ("one".to_owned(), "one".to_owned())
        );
        assert!(TcpStream::connect(local(new)).is_err());
        assert!(!stage.scene.path("new.log").exists());
    }
    assert!(
        stage
            .portway
            .process
            .log()
            .contains("not reloaded (portway reload)")
    );
    assert_eq!(stage.becomes(&good), "");
    let foreign = stage.scene.curl(&[
        "-s",
        "-X",
        "POST",
        &format!("http://{}/reload", stage.portway.admin),
    ]);
    assert!(foreign.good().contains("Portway-Command"));
}

#[test]
fn a_signal_and_a_file_that_changes_reload_too() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let text = |port| listener("web", web, "app") + &group("app", &[port]);
    let stage = Stage::with(Scene::new(), &text(one.port), &[]);
    fs::write(&stage.file, text(two.port)).unwrap();
    stage.portway.process.signal(Signal::HUP);
    eventually("the signal is heard", || {
        (Client::new(web).ask("/") == "two").then_some(())
    });
    let watched = free_port();
    let text = |port| listener("web", watched, "app") + &group("app", &[port]);
    let stage = Stage::with(Scene::new(), &text(one.port), &["--watch"]);
    fs::write(&stage.file, "[listener.web").unwrap();
    eventually("the mistake is seen", || {
        stage
            .portway
            .process
            .log()
            .contains("not reloaded (a file has changed: web.toml)")
            .then_some(())
    });
    let next = stage.scene.file("next", text(two.port));
    fs::rename(next, &stage.file).unwrap();
    eventually("the file is seen", || {
        (Client::new(watched).ask("/") == "two").then_some(())
    });
}

#[test]
fn files_of_traefik_are_watched_as_traefik_does() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let fixed = |port: u16, watch: &str| {
        format!(
            "entryPoints: {{ web: {{ address: '127.0.0.1:{port}' }} }}\nproviders:\n  file: {{ directory: conf.d{watch} }}\n"
        )
    };
    let router = |name: &str, rule: &str, port: u16| {
        format!(
            "http:\n  routers: {{ {name}: {{ rule: '{rule}', service: {name} }} }}\n  services:\n    \
             {name}: {{ loadBalancer: {{ servers: [{{ url: 'http://127.0.0.1:{port}' }}] }} }}\n"
        )
    };
    for (watch, watched) in [("", true), (", watch: false", false)] {
        let scene = Scene::new();
        let web = free_port();
        scene.file("traefik.yml", fixed(web, watch));
        scene.file("conf.d/a.yml", router("a", "PathPrefix(`/`)", one.port));
        let portway = scene.portway_with(&["traefik.yml"]);
        let mut kept = Client::new(web);
        assert_eq!(kept.ask("/b"), "one");
        // A file more, in the folder.
        scene.file("conf.d/b.yml", router("b", "PathPrefix(`/b`)", two.port));
        if watched {
            eventually("the new file is seen", || {
                (kept.ask("/b") == "two").then_some(())
            });
            scene.file("conf.d/a.yml", router("a", "PathPrefix(`/`)", two.port));
            eventually("the change is seen", || {
                (kept.ask("/") == "two").then_some(())
            });
        } else {
            thread::sleep(Duration::from_millis(1500));
            assert_eq!(
                (kept.ask("/b"), kept.ask("/")),
                ("one".to_owned(), "one".to_owned())
            );
        }
        portway.stop();
    }
}

#[test]
fn what_was_counted_of_clients_goes_on() {
    let one = Echo::start("one");
    let web = free_port();
    let with = |more: &str, table: &str| {
        let web = listener("web", web, "app");
        let app = group("app", &[one.port]);
        format!(
            "{web}[[listener.web.rule]]\ntrack = {{ key = 'source', table = 'seen' }}\n\
             [[listener.web.rule]]\nwhen = 'counter(requests, tracked(0)) > 2'\ndeny = 429\n\
             {app}{more}[stick_table.seen]\nkey = 'address'\n{table}\n"
        )
    };
    let text = |more: &str| with(more, "size = 100\nstore = ['requests']");
    let stage = Stage::new(&text(""));
    let status = || {
        let mut client = Client::new(web);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().get(9..12).unwrap().to_owned()
    };
    assert_eq!([status(), status()], ["200", "200"]);
    stage.becomes(&text("retries = 2\n"));
    assert_eq!(status(), "429");
    // A table that is another keeps what fits into it.
    for table in [
        "size = 200\nstore = ['requests']",
        "size = 20000\nstore = ['requests']",
        "size = 20000\nexpire = '1h'\nstore = ['requests']",
        "size = 20000\nexpire = '1h'\nstore = ['errors', 'requests', 'request_rate per 10s']",
        "size = 10\nwhen_full = 'refuse'\nstore = ['requests']",
    ] {
        stage.becomes(&with("", table));
        assert_eq!(status(), "429", "{table}");
    }
    stage.becomes(&with("", "size = 10\nstore = ['requests']").replace("'address'", "'text'"));
    assert_eq!([status(), status(), status()], ["200", "200", "429"]);
}

#[test]
fn what_a_process_has_from_its_start_stays_and_is_told() {
    let one = Echo::start("one");
    let web = free_port();
    let text = |process: &str| {
        let web = listener("web", web, "app");
        format!("[process]\n{process}{web}{}", group("app", &[one.port]))
    };
    let stage = Stage::new(&text(""));
    let kept = [
        "user = 'nobody'",
        "group = 'nogroup'",
        "chroot = '/tmp'",
        "pid_file = '/tmp/portway-test.pid'",
        "daemon = true",
        "variables = { a = '1' }",
        "control_sockets = 'unix:control.sock'",
    ];
    for one in kept {
        let told = format!("`{}`", one.split(' ').next().unwrap());
        let answer = stage.reload(&text(&format!("ready_delay = '1s'\n{one}\n")));
        assert_eq!(answer["ok"], true, "{one}: {answer:#}");
        let found = answer["diagnostics"].to_string();
        let said = found.contains(&told) && found.contains("a reload cannot change it");
        assert!(said, "{found}");
        // Told once more, since it was not taken over; and nothing else has changed.
        let answer = stage.reload(&text(&format!("ready_delay = '1s'\n{one}\n")));
        assert_eq!(
            answer["plan"],
            Value::Array(Vec::new()),
            "{one}: {answer:#}"
        );
        assert!(
            answer["diagnostics"].to_string().contains(&told),
            "{answer:#}"
        );
        stage.becomes(&text(""));
    }
}

#[test]
fn files_of_unix_sockets_are_as_they_were_or_as_they_should_be() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let one = Echo::start("one");
    let unix = |name: &str, path: &str, mode: &str| {
        format!(
            "[listener.{name}]\nbind = {{ unix = '{path}', mode = '{mode}' }}\nforward = 'app'\n"
        )
    };
    let rest = group("app", &[one.port]);
    let text = |mode: &str| unix("a", "a.sock", mode) + &rest;
    let stage = Stage::new(&text("600"));
    let path = stage.scene.path("a.sock");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let mut early = UnixStream::connect(&path).unwrap();
    let answers = |stream: &mut UnixStream| {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    };
    // One of them fails: the other is as it was.
    let taken = stage.scene.file("taken.sock", "");
    for other in ["taken.sock", "no/folder.sock"] {
        let both = text("660") + &unix("b", other, "600");
        assert_eq!(stage.reload(&both)["ok"], false);
        assert_eq!(mode(), 0o600);
        answers(&mut UnixStream::connect(&path).unwrap());
    }
    assert!(fs::metadata(&taken).unwrap().is_file());
    stage.becomes(&text("660"));
    assert_eq!(mode(), 0o660);
    answers(&mut UnixStream::connect(&path).unwrap());
    // Somebody takes it away.
    fs::remove_file(&path).unwrap();
    assert_eq!(stage.becomes(&text("660")), "");
    assert_eq!(mode(), 0o660);
    answers(&mut UnixStream::connect(&path).unwrap());
    answers(&mut early);
    let hidden = fs::read_dir(stage.scene.path("")).unwrap().flatten();
    let hidden = hidden.filter(|it| it.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

/// Two hundred configurations one after the other, each with other targets, retries and a listener that comes and goes.
#[test]
fn many_reloads_lose_nothing() {
    const RELOADS: usize = 200;
    let (one, two, chat) = (Echo::start("one"), Echo::start("two"), tunnels());
    let [web, ws, flapping] = [(); 3].map(|()| free_port());
    let text = |nth: usize| {
        let ports = [one.port, two.port];
        // Targets that go have the five minutes that they have by default.
        let mut text = listener("web", web, "app") + &listener("ws", ws, "chat");
        text += &group("app", &ports[nth % 2..]);
        text += &format!("retries = {}\n", nth % 5);
        text += &group("chat", &[chat]);
        if nth.is_multiple_of(3) {
            text += &listener("flapping", flapping, "app");
        }
        text
    };
    let stage = Stage::new(&text(0));
    let ended = Arc::new(AtomicBool::new(false));
    let asks = |keeps: bool| {
        let ended = ended.clone();
        thread::spawn(move || {
            let mut kept = Client::new(web);
            while !ended.load(Ordering::Relaxed) {
                if !keeps {
                    kept = Client::new(web);
                }
                kept.ask("/slow/5");
            }
        })
    };
    let beats = || {
        let ended = ended.clone();
        thread::spawn(move || {
            let mut tunnel = Client::tunnel(ws);
            while !ended.load(Ordering::Relaxed) {
                tunnel.beats();
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let uploads = || {
        let ended = ended.clone();
        thread::spawn(move || {
            let mut client = Client::new(web);
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            while !ended.load(Ordering::Relaxed) {
                client.send("5\r\nchunk\r\n");
                thread::sleep(Duration::from_millis(20));
            }
            client.send("0\r\n\r\n");
            assert!(client.answer().starts_with("http/1.1 200 "));
        })
    };
    let clients = [
        asks(true),
        asks(true),
        asks(false),
        beats(),
        beats(),
        uploads(),
    ];
    for nth in 1..=RELOADS {
        stage.becomes(&text(nth));
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(
        stage.metric("portway_generation "),
        (RELOADS + 1).to_string()
    );
    assert_eq!(
        stage.metric("portway_reloads_total{result=\"failed\"} "),
        "0"
    );
}
