//! The published deployment of ElectricFlow: its haproxy.cfg, on hosts of their own, with a STOMP broker and client that we
//! did not write.
//!
//! Two namespaces: `lb`, where Portway runs as `haproxy` with the file in /etc/haproxy, and `nodes`, which has the three
//! machines of the cluster by their addresses.

use std::fs;
use std::path::Path;

use crate::namespace::Namespace;
use crate::support::{PORTWAY, Process, Scene, eventually, python_with_peers};

/// The file of `examples/electricflow`, or the published one where the folder of published documents is named.
fn published() -> String {
    let samples = std::env::var("PORTWAY_SAMPLES").unwrap_or_default();
    let published = format!("{samples}/deployments/electricflow/reconstructed.cfg");
    let ours =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/electricflow/haproxy.cfg");
    fs::read_to_string(&published)
        .or_else(|_| fs::read_to_string(ours))
        .unwrap()
}

const NODES: [&str; 4] = ["10.77.1.1", "10.77.1.2", "10.77.1.3", "10.77.1.4"];
const LB: &str = "10.77.2.1";

/// Web servers on 80 and application servers on 8000 of each node; /die ends the one that is asked.
const SERVERS: &str = r#"
import http.server, threading, sys, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = ('%s %s %s\n' % (self.server.server_address[0], self.server.server_address[1], self.path)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == '/die':
            threading.Thread(target=lambda: (self.server.shutdown(), self.server.server_close())).start()
    def log_message(self, *a): pass
for node in sys.argv[1:]:
    for port in (80, 8000):
        s = http.server.ThreadingHTTPServer((node, port), H)
        threading.Thread(target=s.serve_forever).start()
print('ready', flush=True)
"#;

/// Sends a message over TLS and waits until it comes back.
const STOMP: &str = r#"
import stomp, sys, threading
got = threading.Event()
class L(stomp.ConnectionListener):
    def on_message(self, frame):
        if frame.body == 'hello from the cluster': got.set()
c = stomp.Connection12([(sys.argv[1], 61613)], heartbeats=(0, 0), vhost="/")
# the article's certificate is self-signed
c.set_ssl(for_hosts=[(sys.argv[1], 61613)], verify=False)
c.set_listener('', L())
c.connect('guest', 'guest', wait=True)
c.subscribe('/queue/portway', id='1', ack='auto')
c.send('/queue/portway', 'hello from the cluster')
ok = got.wait(20)
c.disconnect()
print('received' if ok else 'nothing came')
"#;

/// Writes every datagram to 127.0.0.1:514 on a line.
const SYSLOG: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 514))
print('ready', flush=True)
while True:
    print(s.recv(65536).decode(errors='replace').rstrip(), flush=True)
"#;

struct Cluster {
    scene: Scene,
    lb: Namespace,
    nodes: Namespace,
    log: Process,
    _servers: Process,
    _broker: Process,
}

impl Cluster {
    fn start() -> Self {
        let scene = Scene::new();
        let nodes = Namespace::new(&scene, "nodes", &NODES);
        let lb = Namespace::new(&scene, "lb", &[]);
        lb.connect(&scene, LB, &nodes, "10.77.2.2");
        lb.route(&scene, "10.77.1.0/24", "10.77.2.2");
        let hosts: String = NODES
            .iter()
            .zip(1..)
            .map(|(address, number)| format!("{address} node{number} node{number}.example.com\n"))
            .collect();
        lb.etc(
            "hosts",
            format!("127.0.0.1 localhost\n{hosts}{LB} flow.example.com\n"),
        );
        nodes.etc("hosts", "127.0.0.1 localhost\n");
        fs::create_dir_all("/etc/haproxy").unwrap();
        lb.etc("haproxy/server.pem", server_pem(&scene));
        lb.etc("haproxy/haproxy.cfg", published());
        let log = python(&scene, &lb, "syslog.py", SYSLOG, &[]);
        let servers = python(&scene, &nodes, "servers.py", SERVERS, &NODES);
        let broker = broker(&scene, &nodes);
        Self {
            scene,
            lb,
            nodes,
            log,
            _servers: servers,
            _broker: broker,
        }
    }

    /// What curl gets on the balancer's machine.
    fn curl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-sSk", "--max-time", "20", "--noproxy", "*"];
        all.extend(arguments);
        self.lb.run(&self.scene, "curl", &all).good()
    }

    /// A command of the service script, as the article says it.
    fn service(&self, command: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/init.d/haproxy");
        let haproxy = self.scene.path("haproxy").display().to_string();
        let mut run = self
            .lb
            .command(&self.scene, "sh", &[&script.display().to_string(), command]);
        run.env("HAPROXY", haproxy)
            .env("PIDFILE", self.scene.path("pid"));
        crate::support::Output::of(run.output().unwrap()).both()
    }

    /// Waits for a line of the log.
    fn logged(&self, what: &str, mut look: impl FnMut(&str) -> bool) {
        eventually(
            format_args!("{what} in the log:\n{}", self.log.log()),
            || self.log.log().lines().any(&mut look).then_some(()),
        );
    }
}

fn python(
    scene: &Scene,
    place: &Namespace,
    name: &str,
    script: &str,
    arguments: &[&str],
) -> Process {
    scene.file(name, script);
    let process = place.spawn(scene, "python3", &[&["-u", name], arguments].concat());
    eventually(name, || process.log().contains("ready").then_some(()));
    process
}

/// The commands of the article, with the answers to their questions.
fn server_pem(scene: &Scene) -> Vec<u8> {
    let answers = "US\nCalifornia\nSan Jose\nExample\n\nflow.example.com\n\n\n\n";
    let pass = [
        "-passout",
        "pass:secret",
        "-keyout",
        "privkey.pem",
        "-newkey",
        "rsa:2048",
    ];
    let request = [&["req", "-new", "-out", "server.csr", "-text"], &pass[..]].concat();
    scene.run_with(answers, "openssl", &request).good();
    let key = [
        "rsa",
        "-in",
        "privkey.pem",
        "-out",
        "server.key",
        "-passin",
        "pass:secret",
    ];
    scene.run("openssl", &key).good();
    let sign = [
        "x509",
        "-in",
        "server.csr",
        "-out",
        "server.crt",
        "-req",
        "-signkey",
        "server.key",
        "-days",
        "3650",
        "-text",
    ];
    scene.run("openssl", &sign).good();
    let (certificate, key) = (scene.read("server.crt"), scene.read("server.key"));
    format!("{certificate}{key}").into_bytes()
}

/// RabbitMQ with its STOMP plugin, on the port of each node.
fn broker(scene: &Scene, nodes: &Namespace) -> Process {
    let mut settings = String::from("listeners.tcp.1 = 127.0.0.1:5672\nloopback_users = none\n");
    for (node, number) in NODES.iter().zip(1..) {
        settings.push_str(&format!("stomp.listeners.tcp.{number} = {node}:61613\n"));
    }
    let path = |name: &str| scene.path(name).display().to_string();
    scene.file("rabbitmq.conf", settings);
    scene.file("rabbitmq.plugins", "[rabbitmq_stomp].");
    let mut command = nodes.command(scene, "/usr/lib/rabbitmq/bin/rabbitmq-server", &[]);
    command
        .env("HOME", path("."))
        .env("RABBITMQ_NODENAME", "flow@localhost")
        .env("RABBITMQ_MNESIA_BASE", path("rabbitmq.db"))
        .env("RABBITMQ_LOG_BASE", path("rabbitmq.log"))
        .env("RABBITMQ_PID_FILE", path("rabbitmq.pid"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("rabbitmq.plugins"))
        .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"));
    let mut process = scene.spawn_command(command);
    eventually("the broker", || {
        assert!(process.ended().is_none(), "{}", process.log());
        process
            .log()
            .contains("Starting broker... completed")
            .then_some(())
    });
    process
}

#[test]
fn the_published_file_serves_a_cluster() {
    let cluster = Cluster::start();
    std::os::unix::fs::symlink(PORTWAY, cluster.scene.path("haproxy")).unwrap();

    let started = cluster.service("start");
    assert!(started.contains("started (process "), "{started}");
    let status = cluster.service("status");
    assert!(status.contains("is running (process "), "{status}");

    // Port 80 redirects to https and keeps the rest of the URL.
    let format = "%{http_code} %{redirect_url}";
    let redirected = cluster.curl(&[
        "-o",
        "/dev/null",
        "-w",
        format,
        "http://flow.example.com/commander/?a=b",
    ]);
    assert_eq!(redirected, "302 https://flow.example.com/commander/?a=b");

    // 443 and 8443 end TLS in `mode tcp`, their backends are HTTP; 8000 is in clear. Each takes the nodes in turn.
    for (url, port) in [
        ("https://flow.example.com/x", 80),
        ("https://flow.example.com:8443/x", 8000),
        ("http://flow.example.com:8000/x", 8000),
    ] {
        let answers: Vec<String> = (0..3).map(|_| cluster.curl(&[url])).collect();
        for node in &NODES[..3] {
            let expected = format!("{node} {port} /x\n");
            assert!(
                answers.contains(&expected),
                "{url}: {expected:?} in {answers:?}"
            );
        }
    }

    // STOMP over TLS, with a client and a broker that know nothing of a balancer.
    cluster.scene.file("stomp-client.py", STOMP);
    let python = python_with_peers();
    let stomp = || {
        cluster
            .lb
            .run(
                &cluster.scene,
                &python,
                &["stomp-client.py", "flow.example.com"],
            )
            .good()
    };
    assert_eq!(stomp(), "received\n");
    cluster.logged("the STOMP connection", |line| {
        line.contains("commander-stomp-frontend~ commander-stomp-backend/node")
            // Whichever of the two is first to close after the goodbye.
            && (line.contains(" -- ") || line.contains(" CD "))
    });

    // The page of statistics, on its own port and where a backend enables it.
    let page = cluster.curl(&["http://flow.example.com:1936/"]);
    assert!(page.contains("commander-web-backend"), "{page}");
    let csv = cluster.curl(&["http://flow.example.com:8000/haproxy?stats;csv"]);
    assert!(csv.starts_with("# pxname,svname,qcur,qmax,scur,"), "{csv}");
    assert!(csv.contains("\ncommander-stomp-backend,node3,"), "{csv}");

    add_a_node(&cluster);
    a_dead_node_gets_nothing(&cluster);
    assert_eq!(stomp(), "received\n");
    let stopped = cluster.service("stop");
    assert!(stopped.contains("stopped"), "{stopped}");
}

/// As the article says: a line in the file, and a restart.
fn add_a_node(cluster: &Cluster) {
    let line = "  server node3 node3.example.com:8000 check\n";
    let text = published();
    assert!(text.contains(line));
    let added = text.replace(
        line,
        &format!("{line}  server node4 node4.example.com:8000 check\n"),
    );
    cluster.lb.etc("haproxy/haproxy.cfg", added);
    let restarted = cluster.service("restart");
    assert!(restarted.contains("started (process "), "{restarted}");
    let answers: Vec<String> = (0..4)
        .map(|_| cluster.curl(&["http://flow.example.com:8000/y"]))
        .collect();
    let expected = format!("{} 8000 /y\n", NODES[3]);
    assert!(answers.contains(&expected), "{answers:?}");
    // Nothing else of the cluster noticed.
    assert!(
        cluster
            .nodes
            .run(&cluster.scene, "true", &[])
            .status
            .success()
    );
}

/// `check port 8000`: a node whose application is gone gets no STOMP either.
fn a_dead_node_gets_nothing(cluster: &Cluster) {
    let url = format!("http://{}:8000/die", NODES[1]);
    cluster.curl(&[&url]);
    let down = |csv: &str, backend: &str| {
        let row = format!("{backend},node2,");
        let line = csv.lines().find(|line| line.starts_with(&row)).unwrap();
        line.split(',').nth(17) == Some("DOWN")
    };
    eventually("node2 is down", || {
        let csv = cluster.curl(&["http://flow.example.com:8000/haproxy?stats;csv"]);
        let both = ["commander-server-backend", "commander-stomp-backend"];
        assert!(!down(&csv, "commander-web-backend"), "{csv}");
        both.iter().all(|backend| down(&csv, backend)).then_some(())
    });
    let answers: Vec<String> = (0..6)
        .map(|_| cluster.curl(&["http://flow.example.com:8000/z"]))
        .collect();
    assert!(
        answers.iter().all(|it| !it.starts_with(NODES[1])),
        "{answers:?}"
    );
    cluster.logged("the state of node2", |line| {
        line.contains(
            "Server commander-stomp-backend/node2 is DOWN, reason: Layer4 connection problem",
        )
    });
}
