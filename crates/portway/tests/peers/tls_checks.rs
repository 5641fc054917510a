//! Health checks over TLS, natively and as a haproxy.cfg says them: a real nginx dies, comes back and shows a certificate that is no
//! longer believed, reloads and upgrades in between.

use std::fs;
use std::thread;

use rustix::process::Signal;

use crate::certificates::{Issuer, Key, certificate};
use crate::stage::Client;
use crate::support::{Process, Scene, eventually, free_port};
use crate::upgrade::Stage;

/// One that serves in clear and over TLS.
struct Server {
    name: &'static str,
    plain: u16,
    tls: u16,
    running: Option<Process>,
}

impl Server {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            plain: free_port(),
            tls: free_port(),
            running: None,
        }
    }

    /// Starts it with this certificate.
    fn shows(&mut self, scene: &Scene, certificate: &str) {
        let (name, plain, tls) = (self.name, self.plain, self.tls);
        let block = format!(
            "server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
             ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key;
             location / {{ add_header X-Server {name}; return 200 'hello'; }}
             location /health {{ if ($scheme != https) {{ return 503; }} return 200; }} }}"
        );
        self.running = None;
        self.running = Some(scene.nginx(tls, &block));
    }

    fn is_killed(&mut self) {
        let mut running = self.running.take().unwrap();
        running.signal(Signal::KILL);
        running.wait();
    }
}

/// A way to check over TLS. `PLAIN1`, `TLS2` and the like are ports of the servers.
struct Row {
    native: &'static str,
    haproxy: &'static str,
}

const ROWS: [Row; 4] = [
    Row {
        native: "protocol = 'https'\ntargets = ['127.0.0.1:TLS1', '127.0.0.1:TLS2']\n\
                 health_check = { https = '/health', TIMES }",
        haproxy: "mode http\n option httpchk GET /health\n \
                  default-server TIMES ssl verify required ca-file ca.pem sni str(app.internal) verifyhost app.internal\n \
                  server one 127.0.0.1:TLS1 check\n server two 127.0.0.1:TLS2 check",
    },
    Row {
        native: "protocol = 'https'\ntargets = ['127.0.0.1:TLS1', '127.0.0.1:TLS2']\n\
                 health_check = { tls = true, TIMES }",
        haproxy: "mode http\n default-server TIMES ssl verify required ca-file ca.pem sni str(app.internal) check-sni app.internal\n \
                  server one 127.0.0.1:TLS1 check\n server two 127.0.0.1:TLS2 check",
    },
    // What is served goes over TCP, by whoever speaks TLS to them.
    Row {
        native: "protocol = 'tls'\ntargets = ['127.0.0.1:TLS1', '127.0.0.1:TLS2']\n\
                 health_check = { tls = true, TIMES }",
        haproxy: "mode tcp\n option httpchk GET /health\n \
                  default-server TIMES ssl verify required ca-file ca.pem verifyhost app.internal\n \
                  server one 127.0.0.1:TLS1 check\n server two 127.0.0.1:TLS2 check",
    },
    // What is served goes in clear.
    Row {
        native: "protocol = 'https'\ntargets = [{ address = '127.0.0.1:PLAIN1', tls = false, check = { port = TLS1, tls = true } }, \
                 { address = '127.0.0.1:PLAIN2', tls = false, check = { port = TLS2 } }]\n\
                 health_check = { https = '/health', TIMES }",
        haproxy: "mode http\n option httpchk GET /health\n \
                  default-server TIMES check-ssl verify required ca-file ca.pem check-sni app.internal verifyhost app.internal\n \
                  server one 127.0.0.1:PLAIN1 check port TLS1\n server two 127.0.0.1:PLAIN2 check port TLS2",
    },
];

/// A file for a listener on this port, with a number that may be another; and the words that say in which language.
type Text = (fn(&Row, u16, u32) -> String, &'static [&'static str]);

fn native(row: &Row, web: u16, number: u32) -> String {
    let protocol = match row.native.contains("protocol = 'tls'") {
        true => "protocol = 'tcp'\n",
        false => "",
    };
    let times = "interval = '100ms', timeout = '30s', healthy_threshold = 1";
    format!(
        "[listener.web]\nbind = '127.0.0.1:{web}'\n{protocol}forward = 'app'\n[target_group.app]\nretries = {number}\n{}\n\
         tls = {{ verify = {{ ca = 'ca.pem' }}, server_name = 'app.internal' }}\n",
        row.native.replace("TIMES", times)
    )
}

fn haproxy(row: &Row, web: u16, number: u32) -> String {
    let mode = row.haproxy.split('\n').next().unwrap();
    format!(
        "defaults\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n timeout check 30s\n\
         frontend web\n {mode}\n bind 127.0.0.1:{web}\n default_backend app\n\
         backend app\n option redispatch 1\n retries {number}\n {}\n",
        row.haproxy.replace("TIMES", "inter 100ms rise 1 fall 2")
    )
}

/// What stands in the file.
struct File<'r> {
    row: &'r Row,
    text: Text,
    web: u16,
    ports: [(&'static str, u16); 4],
}

impl File<'_> {
    fn with(&self, number: u32) -> String {
        let text = (self.text.0)(self.row, self.web, number);
        self.ports.iter().fold(text, |text, (name, port)| {
            text.replace(name, &port.to_string())
        })
    }
}

/// A listener before two servers.
struct Life<'r> {
    file: File<'r>,
    stage: Stage,
    servers: [Server; 2],
}

impl<'r> Life<'r> {
    fn begin(row: &'r Row, text: Text) -> Self {
        let scene = Scene::new();
        certificate(&scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
        certificate(&scene, "stranger", Key::Ecdsa, "Other", &[], Issuer::Own);
        let host = "app.internal";
        for (name, by) in [("good", "ca"), ("strange", "stranger")] {
            let by = Issuer::Signed(by);
            certificate(&scene, name, Key::Ecdsa, host, &[host], by);
        }
        let mut servers = ["one", "two"].map(Server::new);
        for server in &mut servers {
            server.shows(&scene, "good");
        }
        let [one, two] = &servers;
        let ports = [
            ("PLAIN1", one.plain),
            ("TLS1", one.tls),
            ("PLAIN2", two.plain),
            ("TLS2", two.tls),
        ];
        let web = free_port();
        let file = File {
            row,
            text,
            web,
            ports,
        };
        let stage = Stage::with(scene, &file.with(3), text.1);
        Self {
            file,
            stage,
            servers,
        }
    }

    /// All of so many requests are served, by these.
    #[track_caller]
    fn serve(&self, names: &[&str]) {
        let mut seen: Vec<String> = (0..12)
            .map(|_| Client::new(self.file.web).ask("/"))
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, names);
    }

    fn retries(&self) -> u64 {
        let line = "portway_target_group_retries_total{target_group=\"app\"} ";
        self.stage.metric(line).parse().unwrap()
    }

    /// The first is known to be down, for this reason: nothing is tried there, before a reload and an upgrade, or after them.
    #[track_caller]
    fn is_left_alone(&self, reason: &str, next: u32) {
        let is_down = |when: &str| {
            let (health, why) = self.stage.health(0);
            assert!(
                health == "unhealthy" && why.contains(reason),
                "{when}: {health}: {why}"
            );
            let before = self.retries();
            self.serve(&["two"]);
            assert_eq!(self.retries(), before, "{when}");
        };
        is_down("at once");
        self.stage.becomes(&self.file.with(next));
        is_down("after a reload");
        self.stage.upgrade();
        is_down("after an upgrade");
    }
}

fn through_its_life(row: &Row, text: Text) {
    let mut life = Life::begin(row, text);
    for place in 0..2 {
        life.stage.until_health(place, "healthy");
    }
    life.serve(&["one", "two"]);

    life.servers[0].is_killed();
    // Not known yet, it is tried past.
    life.serve(&["two"]);
    life.stage.until_health(0, "unhealthy");
    life.is_left_alone("connection refused", 2);
    life.servers[0].shows(&life.stage.scene, "good");
    life.stage.until_health(0, "healthy");
    life.serve(&["one", "two"]);

    // It comes back as somebody whom nobody knows.
    life.servers[0].is_killed();
    life.servers[0].shows(&life.stage.scene, "strange");
    eventually("its certificate is what is wrong", || {
        let (health, why) = life.stage.health(0);
        (health == "unhealthy" && why.contains("certificate")).then_some(())
    });
    life.is_left_alone("certificate", 3);
    life.servers[0].shows(&life.stage.scene, "good");
    life.stage.until_health(0, "healthy");
    life.serve(&["one", "two"]);

    // Whom we believe is another, in the same file and under the same name; then it is as before.
    let (good, bad) = (
        life.stage.scene.path("good-ca.pem"),
        life.stage.scene.path("stranger.pem"),
    );
    let ca = life.stage.scene.path("ca.pem");
    fs::copy(&ca, &good).unwrap();
    fs::copy(&bad, &ca).unwrap();
    life.stage.becomes(&life.file.with(3));
    for place in 0..2 {
        let why = life.stage.until_health(place, "unhealthy");
        assert!(why.contains("certificate"), "{why}");
    }
    fs::copy(&good, &ca).unwrap();
    life.stage.becomes(&life.file.with(3));
    for place in 0..2 {
        life.stage.until_health(place, "healthy");
    }
    life.serve(&["one", "two"]);
}

#[test]
fn checks_over_tls_follow_targets_natively() {
    thread::scope(|scope| {
        for row in &ROWS {
            scope.spawn(|| through_its_life(row, (native, &[])));
        }
    });
}

#[test]
fn checks_over_tls_follow_servers_as_haproxy_says() {
    thread::scope(|scope| {
        for row in &ROWS {
            scope.spawn(|| through_its_life(row, (haproxy, &["--as", "haproxy"])));
        }
    });
}
