//! Where connections to targets come from (an address of this machine, one that is borrowed of the client), and targets on
//! UNIX sockets.

use std::collections::BTreeSet;

use crate::namespace::Namespace;
use crate::stage::{Client, Stage};
use crate::support::{PORTWAY, Process, Scene, eventually, free_port};

/// What `port` answers to so many requests of one connection, and to as many of connections of their own.
fn answers(stage: &Stage, port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/?[1-2]");
    stage
        .scene
        .curl(&["-f", &url, "--next", "-f", "-H", "Connection: close", &url])
        .good()
}

#[test]
fn connections_come_from_the_address_that_is_said() {
    let scene = Scene::new();
    let [port, target, dead] = [(); 3].map(|()| free_port());
    let server = format!(
        "server {{ listen 127.0.0.1:{target}; location / {{ return 200 \"$remote_addr\\n\"; }} \
         location /health {{ access_log checks; return 200; }} }}"
    );
    let _nginx = scene.nginx(target, &server);
    let text = |source: &str| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
             [target_group.app]\nretries = 2\nretry_to = 'another'\ntargets = [{{ address = '127.0.0.1:{target}', source = {source} }}, \
             {{ address = '127.0.0.1:{dead}', source = {source} }}]\n\
             [target_group.app.health_check]\nhttp = '/health'\ninterval = '1h'\nunhealthy_threshold = 9\n"
        )
    };
    let stage = Stage::with(scene, &text("'127.0.0.7'"), &[]);
    // One of the two targets is dead: what went there goes to the other, from the same address.
    assert_eq!(answers(&stage, port), "127.0.0.7\n".repeat(4));
    let checks = || stage.scene.read("checks");
    eventually("a check from there", || {
        checks().starts_with("127.0.0.7 ").then_some(())
    });
    // Connections that wait came from elsewhere, and serve nobody any more.
    stage.becomes(&text("{ address = '127.0.0.8', interface = 'lo' }"));
    assert_eq!(answers(&stage, port), "127.0.0.8\n".repeat(4));
    stage.becomes(&text("'::1'"));
    assert_eq!(
        answers(&stage, port),
        "127.0.0.1\n".repeat(4),
        "of another family"
    );
    // An address of nobody here is a lack of ours, and no target's fault.
    stage.becomes(&text("'192.0.2.1'"));
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(stage.scene.status(&[&url]), "503");
    stage.becomes(&text("'127.0.0.7'"));
    assert_eq!(answers(&stage, port), "127.0.0.7\n".repeat(4));
    stage.portway.stop();
}

#[test]
fn a_haproxy_file_says_where_connections_come_from() {
    let scene = Scene::new();
    let [port, target, dead] = [(); 3].map(|()| free_port());
    let server = format!("server {{ listen 127.0.0.1:{target}; return 200 \"$remote_addr\\n\"; }}");
    let _nginx = scene.nginx(target, &server);
    let text = |all: &str, own: &str| {
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n option redispatch 1\n\
             frontend web\n bind 127.0.0.1:{port}\n use_backend own if {{ path /own }}\n default_backend all\n\
             backend all\n source {all} interface lo\n server a 127.0.0.1:{target}\n server dead 127.0.0.1:{dead}\n\
             backend own\n source {all}\n server a 127.0.0.1:{target} source {own}\n \
             server dead 127.0.0.1:{dead} source {own}\n"
        )
    };
    let (first, second) = (["127.0.0.11", "127.0.0.12"], ["127.0.0.13", "127.0.0.11"]);
    let stage = Stage::with(scene, &text(first[0], first[1]), &["--as", "haproxy"]);
    let come_from = |sources: [&str; 2]| {
        for (path, source) in ["/", "/own"].iter().zip(sources) {
            let url = format!("http://127.0.0.1:{port}{path}?[1-4]");
            let seen = stage.scene.curl(&["-f", &url]).good();
            assert_eq!(seen, format!("{source}\n").repeat(4));
        }
    };
    come_from(first);
    // Connections that wait came from elsewhere, and serve nobody any more.
    stage.becomes(&text(second[0], second[1]));
    come_from(second);
    stage.portway.stop();
}

#[test]
fn a_haproxy_file_says_which_ports_connections_come_from() {
    let scene = Scene::new();
    let [port, target, first] = [(); 3].map(|()| free_port());
    let last = first + 3;
    let server = format!("server {{ listen 127.0.0.1:{target}; return 200 \"$remote_port\\n\"; }}");
    let _nginx = scene.nginx(target, &server);
    scene.file(
        "haproxy.cfg",
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen web\n bind 127.0.0.1:{port}\n server a 127.0.0.1:{target} source 127.0.0.13:{first}-{last}\n"
        ),
    );
    let portway = scene.portway_with(&["haproxy.cfg"]);
    let url = format!("http://127.0.0.1:{port}/");
    for _ in 0..3 {
        let came = scene.curl(&["-f", "-H", "Connection: close", &url]).good();
        let came: u16 = came.trim().parse().unwrap();
        assert!((first..=last).contains(&came), "{came}");
    }
    portway.stop();
}

/// A range of ports is all that there is, each for one connection at a time.
#[test]
fn connections_come_from_the_ports_that_are_said() {
    let scene = Scene::new();
    let [port, target, dead, first] = [(); 4].map(|()| free_port());
    let server = format!(
        "server {{ listen 127.0.0.1:{target}; add_header X-Server $remote_addr:$remote_port; return 200; }}"
    );
    let _nginx = scene.nginx(target, &server);
    let text = |ports: &str| {
        let source = format!("{{ address = '127.0.0.7', port = {ports} }}");
        format!(
            "[listener.raw]\nbind = '127.0.0.1:{port}'\nprotocol = 'tcp'\nforward = 'app'\n\
             [target_group.app]\nretries = 1\nretry_to = 'another'\nalgorithm = 'first'\n\
             targets = [{{ address = '127.0.0.1:{dead}', source = {source} }}, \
             {{ address = '127.0.0.1:{target}', source = {source} }}]\n"
        )
    };
    let last = first + 1;
    let stage = Stage::with(scene, &text(&format!("'{first}-{last}'")), &[]);
    let asked = || {
        let mut client = Client::new(port);
        let from = client.ask("/");
        (client, from)
    };
    let ends = |mut client: Client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(client.answer().starts_with("http/1.1 200 "));
        client.ends();
    };
    let from = |port: u16| format!("127.0.0.7:{port}");
    let (one, came) = asked();
    let (_two, other) = asked();
    let both: BTreeSet<&String> = [&came, &other].into();
    assert_eq!(both, [&from(first), &from(last)].into());
    // No port is left for a third, until one of them ends.
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let try_third = || {
        let mut third = Client::new(port);
        third.send(request);
        Some((third.try_answer()?, third))
    };
    assert!(try_third().is_none());
    let reached = stage.metric("portway_limit_reached_total{limit=\"source_ports\"} ");
    assert_ne!(reached, "0");
    ends(one);
    let (head, mut third) = eventually("a port is free", try_third);
    assert!(head.contains(&format!("x-server: {came}\r\n")), "{head}");
    // Those that are there keep their ports on a reload, and others come from the new one.
    let next = free_port();
    stage.becomes(&text(&next.to_string()));
    assert_eq!(asked().1, from(next));
    assert_eq!(third.ask("/"), came);
    stage.portway.stop();
}

#[test]
fn targets_on_unix_sockets_serve_fail_and_come_back() {
    let scene = Scene::new();
    let [port, other, pair, plain] = [(); 4].map(|()| free_port());
    let app = |name: &str| format!("server {{ listen unix:{name}; return 200 \"{name}\\n\"; }}");
    let backup = format!("server {{ listen 127.0.0.1:{plain}; return 200 \"backup\\n\"; }}");
    let _backup = scene.nginx(plain, &backup);
    let on = |scene: &Scene, name: &str| {
        let probe = free_port();
        let path = scene.path(name).display().to_string();
        let alive = format!("server {{ listen 127.0.0.1:{probe}; }}");
        scene.nginx(probe, &(app(&path) + &alive))
    };
    let first = on(&scene, "first.sock");
    let _second = on(&scene, "second.sock");
    let folder = scene.path("").display().to_string();
    let text = |name: &str| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
             [target_group.app]\nretries = 1\nretry_to = 'another'\n\
             targets = ['unix:{folder}{name}', {{ address = '127.0.0.1:{plain}', backup = true }}]\n\
             [target_group.app.health_check]\nhttp = '/'\ninterval = '200ms'\n\
             healthy_threshold = 1\nunhealthy_threshold = 1\n\
             [listener.pair]\nbind = '127.0.0.1:{pair}'\nforward = 'pair'\n\
             [target_group.pair]\nretries = 1\nretry_to = 'another'\n\
             targets = ['unix:{folder}first.sock', '127.0.0.1:{plain}']\n"
        )
    };
    scene.file(
        "haproxy.cfg",
        format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen web\n bind 127.0.0.1:{other}\n server a unix@{folder}second.sock send-proxy\n \
             server b {folder}second.sock\n server c 127.0.0.1:{plain} backup\n"
        )
        .replace(" send-proxy", " disabled"),
    );
    let haproxy = scene.portway_with(&["haproxy.cfg"]);
    let stage = Stage::with(scene, &text("first.sock"), &[]);
    let ask = |port: u16| {
        let url = format!("http://127.0.0.1:{port}/");
        stage.scene.curl(&["-f", &url]).good()
    };
    let is = |name: &str| format!("{folder}{name}\n");
    let mut stays = Client::new(port);
    stays.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(stays.answer().starts_with("http/1.1 200"));
    assert_eq!(ask(port), is("first.sock"));
    assert_eq!(ask(other), is("second.sock"));
    stage.becomes(&text("second.sock"));
    assert_eq!(ask(port), is("second.sock"));
    stage.becomes(&text("first.sock"));
    assert_eq!(ask(port), is("first.sock"));
    let both: BTreeSet<String> = (0..4).map(|_| ask(pair)).collect();
    assert_eq!(both, [is("first.sock"), "backup\n".to_owned()].into());
    // It dies: what went there goes to another, and checks say so; then it is there again.
    drop(first);
    for _ in 0..4 {
        assert_eq!(ask(pair), "backup\n");
    }
    let health = |wanted: &str| {
        eventually(wanted, || {
            let status = stage.portway.status();
            let health = &status["target_groups"][0]["targets"][0]["health"];
            (health == wanted).then_some(())
        });
    };
    health("unhealthy");
    assert_eq!(ask(port), "backup\n");
    stays.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(stays.answer().starts_with("http/1.1 200"));
    std::fs::remove_file(stage.scene.path("first.sock")).ok();
    let _first = on(&stage.scene, "first.sock");
    health("healthy");
    assert_eq!(ask(port), is("first.sock"));
    haproxy.stop();
    stage.portway.stop();
}

/// Answers each request with the address that its connection comes from.
const SERVER: &str = r#"
import socket, sys, threading
s = socket.socket()
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen()
def serve(c, peer):
    came = b''
    while True:
        came += c.recv(4096) or exit()
        if came.endswith(b'\r\n\r\n'):
            body = ('%s %d' % peer).encode()
            c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))
            came = b''
print('ready', flush=True)
while True: threading.Thread(target=serve, args=s.accept(), daemon=True).start()
"#;

/// Three requests for a client whom a proxy speaks for: its address and port, and headers; who the target sees.
const ASK: &str = r#"
import socket, sys
c = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20)
c.sendall(b'PROXY TCP4 %s 203.0.113.1 %s 80\r\n' % (sys.argv[2].encode(), sys.argv[3].encode()))
for _ in range(3):
    c.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n' + sys.argv[4].encode().replace(b'~', b'\r\n') + b'\r\n')
    came = b''
    while not came.count(b'\r\n\r\n'): came += c.recv(4096) or exit('closed')
    print(came.split(b'\r\n\r\n')[1].decode())
"#;

const LB: &str = "10.77.4.1";
const NODE: &str = "10.77.4.2";

/// A balancer that takes what comes from the cable for its own, and a host that answers by way of it.
pub(crate) struct Network {
    pub(crate) scene: Scene,
    pub(crate) lb: Namespace,
    pub(crate) node: Namespace,
}

impl Network {
    pub(crate) fn new() -> Self {
        let scene = Scene::new();
        let [lb, node] = ["lb", "node"].map(|role| Namespace::new(&scene, role, &[]));
        lb.connect(&scene, LB, &node, NODE);
        node.route(&scene, "203.0.113.0/24", LB);
        node.route(&scene, "198.51.100.0/24", LB);
        for words in [
            ["rule", "add", "iif", "veth0", "lookup", "100"].as_slice(),
            &[
                "route", "add", "local", "default", "dev", "lo", "table", "100",
            ],
        ] {
            let all = [&["-n", lb.name()], words].concat();
            scene.run("ip", &all).good();
        }
        scene.file("server.py", SERVER);
        scene.file("ask.py", ASK);
        Self { scene, lb, node }
    }

    /// A server on this port of the other host.
    fn server(&self, port: u16) -> Process {
        let words = ["-u", "server.py", NODE, &port.to_string()];
        let server = self.node.spawn(&self.scene, "python3", &words);
        eventually("the server", || {
            server.log().contains("ready").then_some(())
        });
        server
    }

    /// Tells Portway something.
    pub(crate) fn command(&self, word: &str) {
        let words = [word, "--admin", "127.0.0.1:9900"];
        self.lb.run(&self.scene, PORTWAY, &words).good();
    }

    pub(crate) fn portway(&self, file: &str, text: &str) -> Process {
        self.scene.file(file, text);
        let run = ["run", "--workers", "2", "--admin", "127.0.0.1:9900", file];
        let portway = self.lb.spawn(&self.scene, PORTWAY, &run);
        let ready = ["-sf", "--noproxy", "*", "http://127.0.0.1:9900/readyz"];
        eventually("Portway is ready", || {
            let answer = self.lb.run(&self.scene, "curl", &ready);
            answer.status.success().then_some(())
        });
        portway
    }

    /// Who the target sees of three requests of this client.
    fn seen(&self, port: &str, client: (&str, &str), headers: &str) -> Vec<String> {
        let words = ["ask.py", port, client.0, client.1, headers];
        let seen = self.lb.run(&self.scene, "python3", &words).good();
        seen.lines().map(str::to_owned).collect()
    }
}

/// All of `seen` are of this address; where a port is said, of that.
#[track_caller]
fn check(seen: &[String], address: &str, port: Option<&str>) {
    assert_eq!(seen.len(), 3, "{seen:?}");
    for one in seen {
        let (ip, from) = one.split_once(' ').unwrap();
        assert_eq!(ip, address, "{seen:?}");
        assert!(port.is_none_or(|port| port == from), "{seen:?}");
    }
}

#[test]
fn targets_see_the_address_that_is_borrowed() {
    let network = Network::new();
    let _server = network.server(9000);
    let listener = |name: &str, port: u16, source: &str| {
        format!(
            "[listener.{name}]\nbind = '0.0.0.0:{port}'\naccept_proxy = true\nforward = '{name}'\n\
             [target_group.{name}]\ntargets = [{{ address = '{NODE}:9000', source = {source} }}]\n"
        )
    };
    let native = [
        listener("ip", 8001, "'client'"),
        listener("port", 8002, "'client_with_port'"),
        listener("header", 8003, "{ borrowed = { header = 'x-real-ip' } }"),
        listener(
            "fixed",
            8004,
            "{ borrowed = { address = '203.0.113.99', port = 7000 } }",
        ),
    ];
    let backend = |name: &str, usesrc: &str| {
        format!("backend {name}\n source 0.0.0.0 usesrc {usesrc}\n server a {NODE}:9000\n")
    };
    let haproxy = [
        "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            .to_owned(),
        ["ip", "port", "header", "fixed"]
            .iter()
            .zip(8001..)
            .map(|(name, port)| {
                format!("frontend f{name}\n bind :{port} accept-proxy\n default_backend {name}\n")
            })
            .collect(),
        backend("ip", "clientip"),
        backend("port", "client"),
        backend("header", "hdr_ip(x-real-ip,-1)"),
        backend("fixed", "203.0.113.99:7000"),
    ];
    for (file, text) in [
        ("web.toml", native.concat()),
        ("haproxy.cfg", haproxy.concat()),
    ] {
        let portway = network.portway(file, &text);
        // Clients do not get each other's connections.
        for client in ["203.0.113.7", "203.0.113.8", "203.0.113.7"] {
            check(&network.seen("8001", (client, "5000"), ""), client, None);
        }
        let seen = network.seen("8002", ("203.0.113.7", "5001"), "");
        check(&seen, "203.0.113.7", Some("5001"));
        let told = "X-Real-IP: 203.0.113.50~X-Real-IP: 198.51.100.3~";
        let seen = network.seen("8003", ("203.0.113.7", "5002"), told);
        check(&seen, "198.51.100.3", None);
        check(&network.seen("8003", ("203.0.113.7", "5003"), ""), LB, None);
        let seen = network.seen("8004", ("203.0.113.7", "5004"), "");
        check(&seen, "203.0.113.99", Some("7000"));
        drop(portway);
    }
}

/// What makes a file for two targets, by whose address they see.
type Borrows = fn(&str) -> String;

#[test]
fn addresses_are_borrowed_past_deaths_reloads_and_upgrades() {
    let native: Borrows = |source| {
        let target = |port| format!("{{ address = '{NODE}:{port}', source = {source} }}");
        format!(
            "[listener.web]\nbind = '0.0.0.0:8001'\naccept_proxy = true\nforward = 'app'\n\
             [target_group.app]\nretries = 2\nretry_to = 'another'\ntargets = [{}, {}]\n",
            target(9000),
            target(9001)
        )
    };
    let haproxy: Borrows = |source| {
        format!(
            "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n option redispatch 1\n\
             frontend web\n bind :8001 accept-proxy\n default_backend app\n\
             backend app\n source 0.0.0.0 usesrc {source}\n server a {NODE}:9000\n server b {NODE}:9001\n"
        )
    };
    let fixed = "{ borrowed = { address = '203.0.113.99' } }";
    for (file, text, sources) in [
        (
            "web.toml",
            native,
            ["'client'", "'client_with_port'", fixed],
        ),
        (
            "haproxy.cfg",
            haproxy,
            ["clientip", "client", "203.0.113.99"],
        ),
    ] {
        let network = Network::new();
        let first = network.server(9000);
        let _portway = network.portway(file, &text(sources[0]));
        let becomes = |source: &str| {
            network.scene.file(file, text(source));
            network.command("reload");
        };
        // A port is borrowed by one connection at a time to each target.
        let ports = std::cell::Cell::new(5000);
        let seen = |client: &str| {
            ports.set(ports.get() + 1);
            let port = ports.get().to_string();
            (network.seen("8001", (client, &port), ""), port)
        };
        let clients = ["203.0.113.7", "203.0.113.8", "203.0.113.7"];
        // The second is dead: what goes there goes on to the first.
        for client in clients {
            check(&seen(client).0, client, None);
        }
        becomes(sources[1]);
        for client in clients {
            let (seen, port) = seen(client);
            check(&seen, client, Some(&port));
        }
        becomes(sources[2]);
        for client in clients {
            check(&seen(client).0, "203.0.113.99", None);
        }
        becomes(sources[0]);
        // The first dies, and the second lives.
        drop(first);
        let second = network.server(9001);
        for client in clients {
            check(&seen(client).0, client, None);
        }
        network.command("upgrade");
        for client in clients {
            check(&seen(client).0, client, None);
        }
        drop(second);
        let _first = network.server(9000);
        for client in clients {
            check(&seen(client).0, client, None);
        }
    }
}

/// Who may not borrow addresses is told at the start, not with the first request.
#[test]
fn whoever_may_not_borrow_is_told() {
    let scene = Scene::new();
    let port = free_port();
    scene.file(
        "web.toml",
        format!(
            "[process]\nuser = 'nobody'\n[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
             [target_group.app]\ntargets = [{{ address = '127.0.0.1:9', source = 'client' }}]\n"
        ),
    );
    let said = scene.run(PORTWAY, &["run", "web.toml"]).both();
    assert!(
        said.contains("a user who may not borrow addresses"),
        "{said}"
    );
}
