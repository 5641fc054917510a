//! One entry point of Traefik for HTTP and TCP, for TLS that ends here and TLS that passes through.

use crate::support::{PORTWAY, Portway, Process, Scene, free_offset, free_port};

const DYNAMIC: &str = r#"
http:
  routers:
    plain: { rule: "PathPrefix(`/plain`)", service: app }
    a: { rule: "Host(`a.example`)", service: app, tls: {} }
    strict: { rule: "Host(`b.example`)", service: app, tls: { options: strict } }
  services:
    app: { loadBalancer: { servers: [{ url: "http://127.0.0.1:APP" }] } }
tcp:
  routers:
    through: { rule: "HostSNI(`t.example`)", service: through, tls: { passthrough: true } }
    ends: { rule: "HostSNI(`e.example`)", service: ends, tls: {} }
  services:
    through: { loadBalancer: { servers: [{ address: "127.0.0.1:SECURE" }] } }
    ends: { loadBalancer: { servers: [{ address: "127.0.0.1:APP" }] } }
tls:
  options: { strict: { minVersion: VersionTLS13 } }
  certificates: [{ certFile: front.crt, keyFile: front.key }]
"#;

const STATIC: &str = r#"
entryPoints: { all: { address: "127.0.0.1:443" } }
providers: { file: { filename: dynamic.yml } }
"#;

/// Says what it is asked for; over TLS where there is a certificate.
const SERVER: &str = r#"
import ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{NAME} {self.path}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
if NAME == "secure":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("back.crt", "back.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

struct Deployment {
    scene: Scene,
    portway: Portway,
    _servers: [Process; 2],
    port: u16,
}

impl Deployment {
    fn new() -> Self {
        let scene = Scene::new();
        for (names, name) in [
            (&["a.example", "b.example", "e.example"][..], "front"),
            (&["t.example"][..], "back"),
        ] {
            let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
            let out = ["--out-cert", &certificate, "--out-key", &key];
            let all = [&["cert", "self-signed"][..], names, &out].concat();
            scene.run(PORTWAY, &all).good();
        }
        let [app, secure] = [(); 2].map(|()| free_port());
        let servers = [(app, "app"), (secure, "secure")]
            .map(|(port, name)| scene.python(port, &format!("NAME = \"{name}\"\n{SERVER}")));
        let dynamic = DYNAMIC.replace("APP", &app.to_string());
        scene.file(
            "dynamic.yml",
            dynamic.replace("SECURE", &secure.to_string()),
        );
        scene.file("traefik.yml", STATIC);
        let offset = free_offset(&[443]);
        let portway = scene.portway_with(&["traefik.yml", "--port-offset", &offset.to_string()]);
        Self {
            scene,
            portway,
            _servers: servers,
            port: offset + 443,
        }
    }

    /// What a request over TLS to this name comes to.
    fn ask(&self, name: &str, authority: &str, more: &[&str]) -> (bool, String) {
        let resolve = format!("{name}:{}:127.0.0.1", self.port);
        let url = format!("https://{name}:{}/x", self.port);
        let own = [
            "-s",
            "-i",
            "--http1.1",
            "--cacert",
            authority,
            "--resolve",
            &resolve,
            &url,
        ];
        let output = self.scene.command("curl", &[&own, more].concat()).output();
        let output = output.unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        (output.status.success(), answer)
    }
}

#[test]
fn each_client_comes_to_what_is_for_it() {
    let it = Deployment::new();
    let (_, answer) = it.ask("a.example", "front.crt", &[]);
    for part in ["HTTP/1.1 200 ", "\napp /x\n", "X-Forwarded-Proto: https\n"] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    // Passed through: the target's own certificate, and nothing told to it.
    let (_, answer) = it.ask("t.example", "back.crt", &[]);
    assert!(
        answer.contains("\nsecure /x\n") && !answer.contains("X-Forwarded"),
        "{answer}"
    );
    assert!(!it.ask("t.example", "front.crt", &[]).0);
    // TLS ends here, and the bytes within go on.
    let (_, answer) = it.ask("e.example", "front.crt", &[]);
    assert!(
        answer.contains("\napp /x\n") && !answer.contains("X-Forwarded"),
        "{answer}"
    );
    // The options of a name.
    let old = ["--tls-max", "1.2"];
    assert!(it.ask("a.example", "front.crt", &old).0);
    assert!(!it.ask("b.example", "front.crt", &old).0);
    assert!(
        it.ask("b.example", "front.crt", &[])
            .1
            .contains("\napp /x\n")
    );
    // Nobody gets around them by another name.
    let (_, answer) = it.ask("a.example", "front.crt", &["-H", "Host: b.example"]);
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    let (_, answer) = it.ask("b.example", "front.crt", &["-H", "Host: a.example"]);
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    // In the clear.
    let url = format!("http://127.0.0.1:{}/plain", it.port);
    let answer = it.scene.curl(&["-i", &url]).good().replace('\r', "");
    assert!(
        answer.contains("\napp /plain\n") && answer.contains("X-Forwarded-Proto: http\n"),
        "{answer}"
    );
    it.portway.stop();
}
