//! What a HAProxy file says of servers and of who may come, at work: queues, limits that rise, checks, sessions that end with their
//! server, and who is chosen; over reloads and servers that die.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::Ordering;
use std::thread;

use crate::echo::Echo;
use crate::queue::Gate;
use crate::sources::Network;
use crate::stage::{Client, Stage, group, listener, tunnels};
use crate::support::{PORTWAY, Process, Scene, eventually, free_port, local};

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n \
                        timeout queue 30s\n timeout tunnel 30s\n";

/// A configuration with a listener at this port, these servers, and so many retries.
type Text<'t, S> = &'t dyn Fn(u16, S, u32) -> String;

/// A program on `haproxy.cfg`.
enum Running {
    Haproxy(Process),
    Portway(Stage),
}

impl Running {
    fn start(program: &str, web: u16, text: &str) -> (Option<Scene>, Self) {
        let scene = Scene::new();
        if program == "portway" {
            return (
                None,
                Self::Portway(Stage::of_file(scene, "haproxy.cfg", text, &[])),
            );
        }
        scene.file("haproxy.cfg", text);
        let haproxy = scene.serve(web, "haproxy", &["-db", "-f", "haproxy.cfg"]);
        (Some(scene), Self::Haproxy(haproxy))
    }

    /// What can be reloaded has this text from now on.
    fn becomes(&self, text: &str) {
        if let Self::Portway(stage) = self {
            stage.becomes(text);
        }
    }

    fn stop(self) {
        match self {
            Self::Haproxy(process) => drop(process),
            Self::Portway(stage) => drop(stage.portway.stop()),
        }
    }
}

/// Who is bound to a server that is busy waits for it, as many as may; who comes then goes to another, or has an answer at once.
#[test]
fn a_full_queue_of_a_server_is_left() {
    for (program, redispatch, expected) in [
        ("haproxy", "", "503"),
        ("portway", "", "503"),
        ("haproxy", "option redispatch", "200 b"),
        ("portway", "option redispatch", "200 b"),
    ] {
        let (gate, other, web) = (Gate::default(), Echo::start("b"), free_port());
        let text = format!(
            "{DEFAULTS} {redispatch}\nfrontend web\n bind 127.0.0.1:{web}\n default_backend app\n\
             backend app\n cookie S insert indirect\n server a 127.0.0.1:{} cookie a maxconn 1 maxqueue 2\n \
             server b 127.0.0.1:{} cookie b\n",
            gate.target(),
            other.port
        );
        let (_scene, running) = Running::start(program, web, &text);
        let ask = move || {
            let mut client = Client::new(web);
            client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: S=a\r\n\r\n");
            let head = client.answer();
            let of_b = if head.contains("x-server: b") {
                " b"
            } else {
                ""
            };
            format!("{}{of_b}", head.split(' ').nth(1).unwrap())
        };
        let first = thread::spawn(ask);
        gate.arrived(1);
        let mut others: Vec<_> = (0..5).map(|_| thread::spawn(ask)).collect();
        eventually(
            format_args!("{program}: all but two have an answer"),
            || (others.iter().filter(|it| it.is_finished()).count() == 3).then_some(()),
        );
        // What the file says of a queue is so for who waits already: there is room for another one.
        running.becomes(&text.replace("maxqueue 2", "maxqueue 3"));
        others.push(thread::spawn(ask));
        if program == "portway" {
            others.push(thread::spawn(ask));
        }
        eventually(format_args!("{program}: one more has an answer"), || {
            (others.iter().filter(|it| it.is_finished()).count() == 4).then_some(())
        });
        gate.open.store(true, Ordering::SeqCst);
        assert_eq!(first.join().unwrap(), "200", "{program}");
        let mut came: Vec<String> = others.into_iter().map(|it| it.join().unwrap()).collect();
        let waited = if program == "portway" { 3 } else { 2 };
        came.sort();
        let mut wanted = [vec!["200"; waited], vec![expected; 4]].concat();
        wanted.sort_unstable();
        assert_eq!(came, wanted, "{program} {redispatch}");
        assert_eq!(gate.most.load(Ordering::SeqCst), 1);
        running.stop();
    }
}

/// The limit of a server is low while there is little to do, and rises to its highest as more come.
#[test]
fn a_limit_rises_with_the_load() {
    let haproxy = |web: u16, target: u16, retries: u32| {
        format!(
            "{DEFAULTS} retries {retries}\nlisten app\n bind 127.0.0.1:{web}\n fullconn 8\n \
             server a 127.0.0.1:{target} minconn 1 maxconn 4\n"
        )
    };
    let native = |web: u16, target: u16, retries: u32| {
        format!(
            "{}[target_group.app]\nretries = {retries}\nfull_connections = 8\ntimeouts.queue = '30s'\n\
             targets = [{{ address = '127.0.0.1:{target}', min_connections = 1, max_connections = 4 }}]\n",
            listener("web", web, "app")
        )
    };
    let rows: [(&str, Text<'_, u16>); 2] = [("haproxy.cfg", &haproxy), ("web.toml", &native)];
    for (file, text) in rows {
        let (gate, web) = (Gate::default(), free_port());
        let target = gate.target();
        let stage = Stage::of_file(Scene::new(), file, &text(web, target, 2), &[]);
        let ask = || {
            let mut client = Client::new(web);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        };
        let queued = |count: &str| {
            let line = "portway_target_group_queued{target_group=\"app\"} ";
            eventually(format_args!("{file}: {count} wait"), || {
                (stage.metric(line) == count).then_some(())
            });
        };
        let mut clients = vec![ask(), ask()];
        queued("1");
        assert_eq!(gate.most.load(Ordering::SeqCst), 1);
        clients.extend((0..6).map(|_| ask()));
        gate.arrived(4);
        queued("4");
        stage.becomes(&text(web, target, 1));
        queued("4");
        gate.open.store(true, Ordering::SeqCst);
        for client in &mut clients {
            assert!(client.answer().starts_with("http/1.1 200 "));
        }
        assert_eq!(gate.most.load(Ordering::SeqCst), 4, "{file}");
        // As before, once there is little to do.
        gate.most.store(0, Ordering::SeqCst);
        let mut clients = [ask(), ask(), ask()];
        for client in &mut clients {
            assert!(client.answer().starts_with("http/1.1 200 "));
        }
        assert_eq!(gate.most.load(Ordering::SeqCst), 1, "{file}");
        stage.portway.stop();
    }
}

/// Sessions end with the health of their server, and those of a backup server where another one is back.
#[test]
fn sessions_end_with_the_health_of_servers() {
    for program in ["haproxy", "portway"] {
        let (web, first, backup) = (free_port(), tunnels(), tunnels());
        let check = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = check.local_addr().unwrap();
        let text = |retries: u32| {
            format!(
                "{DEFAULTS} retries {retries}\nfrontend web\n bind 127.0.0.1:{web}\n default_backend app\nbackend app\n \
                 server a 127.0.0.1:{first} check port {} inter 100ms fall 1 rise 1 on-marked-down shutdown-sessions \
                 on-marked-up shutdown-backup-sessions\n server b 127.0.0.1:{backup} backup\n",
                at.port()
            )
        };
        let (_scene, running) = Running::start(program, web, &text(2));
        let mut of_first = Client::tunnel(web);
        of_first.beats();
        running.becomes(&text(1));
        of_first.beats();
        drop(check);
        // The server is there still; it is what is checked that is not.
        of_first.ends();
        let mut of_backup = Client::tunnel(web);
        of_backup.beats();
        running.becomes(&text(2));
        of_backup.beats();
        let check = TcpListener::bind(at).unwrap();
        of_backup.ends();
        Client::tunnel(web).beats();
        drop(check);
        running.stop();
    }
}

/// Checks that say what is sent and what is wanted.
#[test]
fn checks_say_what_is_sent_and_what_is_wanted() {
    let (app, gone, web) = (Echo::start("app"), free_port(), free_port());
    let text = |checks: &str| {
        format!(
            "{DEFAULTS}frontend web\n bind 127.0.0.1:{web}\n default_backend app\nbackend app\n option httpchk\n {}\n \
             server a 127.0.0.1:{} check inter 100ms fall 1 rise 1\n",
            checks.replace("; ", "\n "),
            app.port
        )
    };
    let send = "http-check send meth PUT uri /header/X-State/good ver HTTP/1.1 hdr Host check.example hdr X-Asked this body what";
    let elsewhere = format!(
        "http-check connect port {}; http-check send meth GET uri /status/204",
        app.port
    );
    let nowhere = format!("http-check connect port {gone}; {send}");
    let down = "http-check send meth GET uri /status/503";
    let rows = [
        (send, "status 200", true),
        (send, "status 204,201-300", false),
        (send, "rstatus ^2..$", true),
        (send, "! rstatus ^2", false),
        (send, "string \"PUT /header/X-State/good HTTP/1.1\"", true),
        (send, "rstring host:.check\\.example", true),
        (send, "string \"x-asked: this\"", true),
        (send, "string \"nowhere to be found\"", false),
        (send, "! string what", false),
        (send, "hdr name X-State value good", true),
        (send, "hdr name X-State value bad", false),
        (send, "fhdr name -m beg x-st value -m beg go", true),
        (&elsewhere, "status 204", true),
        (&nowhere, "status 200", false),
        (down, "status 200-399", false),
        (down, "! status 200", true),
    ];
    let stage = Stage::of_file(Scene::new(), "haproxy.cfg", &text(send), &[]);
    for (send, expect, passes) in rows {
        // Each comes from the other state, so that it is the check that finds it.
        let other = if passes { "status 599" } else { "! status 599" };
        for (expect, passes) in [(other, !passes), (expect, passes)] {
            stage.becomes(&text(&format!("{send}; http-check expect {expect}")));
            let wanted = if passes { "healthy" } else { "unhealthy" };
            if send == nowhere && passes {
                continue;
            }
            let at = local(app.port);
            stage.portway.wait_for_health("app", at, wanted);
        }
        let status = stage.scene.status(&[&format!("http://127.0.0.1:{web}/")]);
        assert_eq!(
            status,
            if passes { "200" } else { "503" },
            "{send} {expect}"
        );
    }
    stage.portway.stop();
}

/// Of those that are drawn, the one that has least to do.
#[test]
fn who_is_drawn_has_less_to_do() {
    let dead = free_port();
    let haproxy = |web: u16, [a, b]: [u16; 2], retries: u32| {
        format!(
            "{DEFAULTS} retries {retries}\n option redispatch 1\nlisten app\n bind 127.0.0.1:{web}\n balance random(30)\n \
             server a 127.0.0.1:{a}\n server b 127.0.0.1:{b}\n server dead 127.0.0.1:{dead}\n"
        )
    };
    // Two that are drawn are never the same one.
    let native = |web: u16, targets: [u16; 2], retries: u32| {
        let (listener, group) = (listener("web", web, "app"), group("app", &targets));
        format!("{listener}{group}algorithm = 'random_of_two'\nretries = {retries}\n")
    };
    let rows: [(&str, Text<'_, [u16; 2]>); 2] = [("haproxy.cfg", &haproxy), ("web.toml", &native)];
    for (file, text) in rows {
        let (gates, web) = ([Gate::default(), Gate::default()], free_port());
        let targets = [gates[0].target(), gates[1].target()];
        let stage = Stage::of_file(Scene::new(), file, &text(web, targets, 3), &[]);
        let busy = "portway_target_requests_in_flight{target_group=\"app\",target=";
        let idle = match file {
            "haproxy.cfg" => format!("{busy}\"b\"}} "),
            _ => format!("{busy}\"127.0.0.1:{}\"}} ", targets[1]),
        };
        let is_idle = || stage.metric(&idle) == "0";
        less_to_do_is_chosen(web, &gates, is_idle, || {
            stage.becomes(&text(web, targets, 4));
        });
        stage.portway.stop();
    }
}

/// Of two the one that has less to do is chosen, before a change and after it. `is_idle`: the second has nothing to do.
pub(crate) fn less_to_do_is_chosen(
    web: u16,
    gates: &[Gate; 2],
    is_idle: impl Fn() -> bool,
    change: impl Fn(),
) {
    let ask = || {
        let mut client = Client::new(web);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    };
    let mut kept: Vec<Client> = (0..8).map(|_| ask()).collect();
    gates.iter().for_each(|gate| gate.arrived(3));
    // One goes on; what the other keeps is enough for everybody to be sent past it.
    gates[1].open.store(true, Ordering::SeqCst);
    eventually("one has nothing to do", || is_idle().then_some(()));
    let most = gates[0].most.load(Ordering::SeqCst);
    for changed in [false, true] {
        if changed {
            change();
        }
        for _ in 0..40 {
            assert!(ask().answer().starts_with("http/1.1 200 "));
        }
        assert_eq!(gates[0].most.load(Ordering::SeqCst), most);
    }
    gates[0].open.store(true, Ordering::SeqCst);
    for client in &mut kept {
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
}

/// Addresses that this machine does not have are listened at where the file says so, and only then.
#[test]
fn addresses_of_others_are_listened_at() {
    const OTHERS: &str = "203.0.113.7";
    for (file, transparent) in [
        ("haproxy.cfg", " transparent"),
        ("web.toml", "socket.transparent = true\n"),
    ] {
        let network = Network::new();
        let text = |port: u16, transparent: &str| match file {
            "haproxy.cfg" => format!(
                "{DEFAULTS}frontend web\n bind {OTHERS}:{port}{transparent}\n http-request return status 200 content-type text/plain string here\n"
            ),
            _ => format!(
                "[listener.web]\nbind = '{OTHERS}:{port}'\n{transparent}[[listener.web.rule]]\nrespond = {{ status = 200, body = 'here' }}\n"
            ),
        };
        network.scene.file(file, text(80, ""));
        let run = ["run", "--admin", "127.0.0.1:9900", file];
        let refused = network.lb.run(&network.scene, PORTWAY, &run);
        assert!(!refused.status.success(), "{refused}");
        assert!(refused.both().contains(OTHERS), "{refused}");
        let portway = network.portway(file, &text(80, transparent));
        let answers = |port: u16| {
            let url = format!("http://{OTHERS}:{port}/");
            let words = ["-sf", "--noproxy", "*", &url];
            let output = network.node.run(&network.scene, "curl", &words);
            assert_eq!(output.stdout, "here", "{file}: {output}");
        };
        answers(80);
        network.scene.file(file, text(81, transparent));
        network.command("reload");
        answers(81);
        drop(portway);
    }
}

/// A connection that is bound to a server whose queue is full goes to another, as a request does.
#[test]
fn a_full_queue_is_left_by_connections_too() {
    for program in ["haproxy", "portway"] {
        let (gate, other, web) = (Gate::default(), Echo::start("b"), free_port());
        let text = format!(
            "{}\nlisten app\n bind 127.0.0.1:{web}\n balance first\n option redispatch\n stick-table type ip size 10\n stick on src\n \
             server a 127.0.0.1:{} maxconn 1 maxqueue 1\n server b 127.0.0.1:{}\n",
            DEFAULTS.replace("mode http", "mode tcp"),
            gate.target(),
            other.port
        );
        let (_scene, running) = Running::start(program, web, &text);
        let ask = move || {
            let mut client = Client::new(web);
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.try_answer().unwrap_or_default()
        };
        let first = thread::spawn(ask);
        gate.arrived(1);
        let mut others: Vec<_> = (0..2).map(|_| thread::spawn(ask)).collect();
        let place = eventually(format_args!("{program}: one has an answer"), || {
            others.iter().position(|it| it.is_finished())
        });
        let answer = others.remove(place).join().unwrap();
        assert!(answer.contains("x-server: b"), "{program} {answer}");
        gate.open.store(true, Ordering::SeqCst);
        others.push(first);
        for waited in others {
            let answer = waited.join().unwrap();
            assert!(answer.starts_with("http/1.1 200 "), "{program} {answer}");
        }
        running.stop();
    }
}
