//! Health checks by gRPC, against the health service of gRPC's own library, and against what is none.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;

use crate::certificates::{Issuer, Key, certificate};
use crate::health::{Case, judged};
use crate::stage::{Client, Stage};
use crate::support::{Process, Scene, eventually, free_port, local, python_with_peers};

/// Serves HTTP on one port, which says the name of the server, and gRPC on another. `/set/SERVICE/STATUS` is what the health
/// service says from then on (`-`: the server as a whole), `/seen` the metadata of the last call and how many there were.
const SERVER: &str = r#"
import json, sys, http.server
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

name, web, port, *tls = sys.argv[1:]
calls = {"count": 0}

class Counts(grpc.ServerInterceptor):
    def intercept_service(self, continuation, details):
        seen = {key: str(value) for key, value in details.invocation_metadata}
        calls.update(count=calls["count"] + 1, method=details.method, metadata=seen)
        return continuation(details)

servicer = health.HealthServicer()
servicer.set("shop.Cart", health_pb2.HealthCheckResponse.SERVING)
servicer.set("shop.Closed", health_pb2.HealthCheckResponse.NOT_SERVING)
server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=[Counts()], options=[("grpc.so_reuseport", 0)])
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
if tls:
    key, certificate = [open(file, "rb").read() for file in tls]
    assert server.add_secure_port("127.0.0.1:" + port, grpc.ssl_server_credentials([(key, certificate)]))
else:
    assert server.add_insecure_port("127.0.0.1:" + port)
server.start()

class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b""
        if self.path.startswith("/set/"):
            _, _, service, status = self.path.split("/")
            servicer.set(service.strip("-"), getattr(health_pb2.HealthCheckResponse, status))
        elif self.path == "/seen":
            body = json.dumps(calls).encode()
        self.send_response(200)
        self.send_header("X-Server", name)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(web)), Web).serve_forever()
"#;

pub(crate) struct Server {
    name: &'static str,
    pub(crate) web: u16,
    pub(crate) grpc: u16,
    tls: Vec<String>,
    process: Option<Process>,
}

impl Server {
    pub(crate) fn start(scene: &Scene, name: &'static str, tls: &[&str]) -> Self {
        let mut server = Self {
            name,
            web: free_port(),
            grpc: free_port(),
            tls: tls.iter().map(|file| (*file).to_owned()).collect(),
            process: None,
        };
        server.revive(scene);
        server
    }

    pub(crate) fn revive(&mut self, scene: &Scene) {
        let Self { web, grpc, .. } = *self;
        scene.file("server.py", SERVER);
        let [web_text, grpc_text] = [web, grpc].map(|port| port.to_string());
        let mut arguments = vec!["-u", "server.py", self.name, &web_text, &grpc_text];
        arguments.extend(self.tls.iter().map(String::as_str));
        self.process = Some(scene.serve(web, &python_with_peers(), &arguments));
    }

    pub(crate) fn die(&mut self) {
        self.process = None;
    }

    pub(crate) fn says(&self, service: &str, status: &str) {
        Client::new(self.web).ask(&format!("/set/{service}/{status}"));
    }

    fn seen(&self, scene: &Scene) -> Value {
        let url = format!("http://127.0.0.1:{}/seen", self.web);
        serde_json::from_str(&scene.curl(&[&url]).good()).unwrap()
    }

    fn target(&self) -> String {
        let Self { web, grpc, .. } = self;
        format!("{{ address = '127.0.0.1:{web}', check = {{ port = {grpc} }} }}")
    }
}

/// Who answers ten requests; each is answered.
fn who(port: u16) -> Vec<String> {
    let mut client = Client::new(port);
    let mut all: Vec<String> = (0..10).map(|_| client.ask("/")).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn grpc_servers_say_how_they_are_over_reloads_and_deaths() {
    let scene = Scene::new();
    let [port, more] = [(); 2].map(|()| free_port());
    let [a, mut b] = ["a", "b"].map(|name| Server::start(&scene, name, &[]));
    let text = |service: &str, further: &str| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n{further}\n\
             [target_group.app]\ntargets = [{}, {}]\n\
             health_check = {{ grpc = '{service}', interval = '100ms', timeout = '5s' }}\n",
            a.target(),
            b.target()
        )
    };
    let [usual, changed, other] = [
        text("shop.Cart", ""),
        text(
            "shop.Cart",
            &format!("[listener.more]\nbind = '127.0.0.1:{more}'\nforward = 'app'\n"),
        ),
        text("shop.Unheard", ""),
    ];
    let stage = Stage::with(scene, &usual, &[]);
    let (scene, portway) = (&stage.scene, &stage.portway);
    let health =
        |server: &Server, wanted| portway.wait_for_health("app", local(server.web), wanted);
    health(&a, "healthy");
    health(&b, "healthy");
    assert_eq!(who(port), ["a", "b"]);

    b.says("shop.Cart", "NOT_SERVING");
    let reason = health(&b, "unhealthy");
    assert!(reason.contains("NOT_SERVING"), "{reason}");
    assert_eq!(who(port), ["a"]);

    // What is known of targets stays over a reload, and is told again by the same checks.
    stage.becomes(&changed);
    assert_eq!(portway.health("app", local(b.web)).0, "unhealthy");
    assert_eq!(who(more), ["a"]);
    b.says("shop.Cart", "SERVING");
    health(&b, "healthy");
    assert_eq!(who(more), ["a", "b"]);

    // Dead and not yet known to be: another target is asked.
    b.die();
    assert_eq!(who(port), ["a"]);
    let reason = health(&b, "unhealthy");
    assert!(reason.contains("connection refused"), "{reason}");
    assert_eq!(who(port), ["a"]);
    b.revive(scene);
    health(&b, "healthy");
    assert_eq!(who(port), ["a", "b"]);

    // A service that nobody knows.
    stage.becomes(&other);
    for server in [&a, &b] {
        let reason = health(server, "unhealthy");
        assert!(reason.contains("NOT_FOUND"), "{reason}");
    }
    stage.portway.stop();
}

#[test]
fn what_counts_as_serving() {
    let scene = Scene::new();
    certificate(
        &scene,
        "own",
        Key::Rsa,
        "a.example",
        &["a.example"],
        Issuer::Own,
    );
    let server = Server::start(&scene, "a", &[]);
    let secret = Server::start(&scene, "b", &["own.key", "own.pem"]);
    let [port, web, second, https] = [(); 4].map(|()| free_port());
    let _nginx = scene.nginx(
        web,
        &format!(
            "server {{ listen 127.0.0.1:{web}; return 200; }}\n\
             server {{ listen 127.0.0.1:{second} http2; return 200 page; }}\n\
             server {{ listen 127.0.0.1:{https} ssl; ssl_certificate own.pem; ssl_certificate_key own.key; return 200; }}"
        ),
    );
    // Takes connections and says nothing.
    let silence = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = silence.local_addr().unwrap().port();
    let nobody = free_port();
    let cases: &[Case<'_>] = &[
        ("grpc = ''", server.grpc, "healthy", "passed"),
        ("grpc = 'shop.Cart'", server.grpc, "healthy", "passed"),
        (
            "grpc = 'shop.Closed'",
            server.grpc,
            "unhealthy",
            "NOT_SERVING",
        ),
        (
            "grpc = 'shop.Unheard'",
            server.grpc,
            "unhealthy",
            "code 5: NOT_FOUND",
        ),
        (
            "grpc = { method = '/grpc.health.v1.Health/Check' }",
            server.grpc,
            "healthy",
            "passed",
        ),
        (
            "grpc = { method = '/AWS.ALB/healthcheck', codes = 12 }",
            server.grpc,
            "healthy",
            "passed",
        ),
        (
            "grpc = { method = '/AWS.ALB/healthcheck', codes = [0, '5-11'] }",
            server.grpc,
            "unhealthy",
            "code 12: UNIMPLEMENTED, expected 0,5-11",
        ),
        ("grpcs = ''", secret.grpc, "healthy", "passed"),
        (
            "grpcs = 'shop.Closed'",
            secret.grpc,
            "unhealthy",
            "NOT_SERVING",
        ),
        ("grpc = ''", secret.grpc, "unhealthy", ""),
        ("grpcs = ''", server.grpc, "unhealthy", "TLS failed"),
        ("grpcs = ''", https, "unhealthy", "TLS failed"),
        ("grpc = ''", web, "unhealthy", "does not speak HTTP/2"),
        (
            "grpc = ''",
            second,
            "unhealthy",
            "no answer of gRPC, but text/plain",
        ),
        ("grpc = ''", silent, "unhealthy", "timed out"),
        ("grpc = ''", nobody, "unhealthy", "connection refused"),
    ];
    // What is to pass has time; what fails need not be waited for.
    judged(&scene, port, cases, |health| match health {
        "healthy" => "interval = '30s', fast_interval = '200ms', timeout = '30s'",
        _ => "interval = '1s', fast_interval = '200ms', timeout = '1s'",
    });
}

#[test]
fn what_servers_are_told() {
    let scene = Scene::new();
    let port = free_port();
    let server = Server::start(&scene, "a", &[]);
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n[target_group.app]\n\
         targets = [{}]\n[target_group.app.health_check]\ngrpc = 'shop.Cart'\nhost = 'cart.internal'\n\
         headers = {{ X-Env = 'test', User-Agent = 'checks/1' }}\ninterval = '100ms'\ntimeout = '30s'\n",
        server.target()
    ));
    portway.wait_for_health("app", local(server.web), "healthy");
    let seen = eventually("several calls", || {
        let seen = server.seen(&scene);
        (seen["count"].as_u64() > Some(3)).then_some(seen)
    });
    assert_eq!(seen["method"], "/grpc.health.v1.Health/Check");
    let metadata = &seen["metadata"];
    assert_eq!(metadata["x-env"], "test", "{seen}");
    assert_eq!(metadata["user-agent"], "checks/1", "{seen}");
    portway.stop();
}
