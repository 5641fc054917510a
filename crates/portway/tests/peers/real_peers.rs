//! HTTP through Portway: curl and wrk in front, nginx, HAProxy and Python behind.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Portway, Process, Scene, free_port, local};

const MIB: usize = 1024 * 1024;

/// Portway in front of nginx, which serves `www/` and keeps what is put to `/put/`.
struct Site {
    scene: Scene,
    _nginx: Process,
    portway: Portway,
    port: u16,
    target: u16,
}

impl Site {
    fn new() -> Self {
        let scene = Scene::new();
        scene.file("www/small", "a small file\n");
        fs::create_dir(scene.path("kept")).unwrap();
        let (port, target) = (free_port(), free_port());
        let nginx = scene.nginx(target, &server(target));
        let portway = scene.portway(&format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
             [target_group.app]\ntargets = ['127.0.0.1:{target}']\n"
        ));
        Self {
            scene,
            _nginx: nginx,
            portway,
            port,
            target,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn curl(&self, arguments: &[&str], path: &str) -> String {
        let url = self.url(path);
        self.scene.curl(&[arguments, &[&url]].concat()).good()
    }

    fn end(self) {
        self.portway.stop();
    }
}

fn server(port: u16) -> String {
    format!(
        r#"server {{
    listen 127.0.0.1:{port} backlog=4096;
    root www;
    location /put/ {{ alias kept/; dav_methods PUT; }}
    location /tiny {{ return 200 "tiny\n"; }}
    location /echo {{
        return 200 "uri=$request_uri\nhost=$http_host\nproto=$http_x_forwarded_proto\nfor=$http_x_forwarded_for\nport=$http_x_forwarded_port\nvia=$server_protocol\nconnection=$connection\nid=$http_x_request_id\n";
    }}
}}"#
    )
}

/// Whether two files hold the same bytes; says nothing of 100 MiB when they do not.
#[track_caller]
fn assert_same(scene: &Scene, sent: &str, arrived: &str) {
    let read = |name: &str| fs::read(scene.path(name)).unwrap();
    let (sent, arrived) = (read(sent), read(arrived));
    assert_eq!(sent.len(), arrived.len());
    assert!(sent == arrived, "the bytes differ");
}

#[test]
fn methods_and_statuses() {
    let site = Site::new();
    assert_eq!(site.curl(&[], "/small"), "a small file\n");
    let head = site.curl(&["-I"], "/small");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("Content-Length: 13\r\n"), "{head}");
    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    let codes: &[(&[&str], &str, &str)] = &[
        (&[], "/nowhere", "404"),
        (&["-X", "DELETE"], "/small", "405"),
        (&["-X", "OPTIONS"], "/small", "405"),
        (&["-r", "2-6"], "/small", "206"),
        (&["-r", "500-"], "/small", "416"),
    ];
    for (arguments, path, expected) in codes {
        let all = [&code[..], arguments].concat();
        assert_eq!(site.curl(&all, path), *expected, "{arguments:?} {path}");
    }
    assert_eq!(site.curl(&["-r", "2-6"], "/small"), "small");
    let etag = head.lines().find_map(|line| line.strip_prefix("ETag: "));
    let condition = format!("If-None-Match: {}", etag.unwrap());
    let answer = site.curl(&["-i", "-H", &condition], "/small");
    assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    site.end();
}

#[test]
fn what_the_target_is_told() {
    let site = Site::new();
    let (port, target) = (site.port, site.target);
    let echo = site.curl(&["--path-as-is"], "/echo/x/.././/a%2Fb%41?q=a%20b&&");
    let expected = [
        "uri=/echo/x/.././/a%2Fb%41?q=a%20b&&\n".to_owned(),
        format!("host=127.0.0.1:{port}\n"),
        "proto=http\n".to_owned(),
        "for=127.0.0.1\n".to_owned(),
        format!("port={port}\n"),
        "via=HTTP/1.1\n".to_owned(),
    ];
    for line in expected {
        assert!(echo.contains(&line), "{line} is not in {echo}");
    }
    let old = site.curl(&["--http1.0", "-i"], "/echo");
    assert!(old.contains("\r\nConnection: close\r\n"), "{old}");
    assert!(old.contains("via=HTTP/1.1\n"), "{old}");
    // An absolute-form target, as a client sends it to a proxy.
    let proxy = format!("http://127.0.0.1:{port}");
    let absolute = ["--noproxy", "", "-x", &proxy, "http://app.example/echo"];
    let echo = site.scene.curl(&absolute).good();
    assert!(echo.contains("host=app.example\n"), "{echo}");
    assert!(echo.contains("uri=/echo\n"), "{echo}");
    assert_ne!(port, target);
    site.end();
}

#[test]
fn connections_are_kept_on_both_sides() {
    let site = Site::new();
    let url = site.url("/echo");
    let count = ["-w", "connects=%{num_connects}\n", &url, &url, &url];
    let echo = site.scene.curl(&count).good();
    let lines = |key: &str| -> Vec<String> {
        let found = echo.lines().filter_map(|line| line.strip_prefix(key));
        found.map(str::to_owned).collect()
    };
    assert_eq!(lines("connects="), ["1", "0", "0"], "{echo}");
    let upstream = lines("connection=");
    assert_eq!(upstream.len(), 3, "{echo}");
    assert!(upstream.iter().all(|it| *it == upstream[0]), "{echo}");
    let old = ["--http1.0", "-H", "Connection: keep-alive"];
    let again = [&old[..], &["-w", "connects=%{num_connects}\n", &url, &url]].concat();
    let answer = site.scene.curl(&again).good();
    assert!(answer.contains("connects=0"), "{answer}");
    site.end();
}

#[test]
fn big_bodies() {
    let site = Site::new();
    site.scene.big_file("www/big", 100 * MIB);
    site.curl(&["-o", "got"], "/big");
    assert_same(&site.scene, "www/big", "got");
    let uploads: &[(&str, &[&str])] = &[
        ("length", &["-T", "www/big"]),
        ("expect", &["-T", "www/big", "-H", "Expect: 100-continue"]),
        ("silent", &["-T", "www/big", "-H", "Expect:"]),
        ("1.0", &["-T", "www/big", "--http1.0"]),
    ];
    for (name, arguments) in uploads {
        let path = format!("/put/{name}");
        let arguments = [*arguments, &["-o", "/dev/null", "-w", "%{http_code}"]].concat();
        assert_eq!(site.curl(&arguments, &path), "201", "{name}");
        assert_same(&site.scene, "www/big", &format!("kept/{name}"));
        fs::remove_file(site.scene.path(&format!("kept/{name}"))).unwrap();
    }
    let url = site.url("/put/chunked");
    let upload = format!("cat www/big | curl -sSf --noproxy '*' -T - {url}");
    site.scene.run("sh", &["-c", &upload]).good();
    assert_same(&site.scene, "www/big", "kept/chunked");
    site.end();
}

#[test]
fn expect_100_continue_is_answered() {
    let site = Site::new();
    site.scene.big_file("body", 2 * MIB);
    let trace = ["-v", "-T", "body", "-H", "Expect: 100-continue"];
    // curl sends without an answer only after this time.
    let patient = [&trace[..], &["--expect100-timeout", "60"]].concat();
    let url = site.url("/put/it");
    let output = site.scene.curl(&[&patient[..], &[&url]].concat());
    assert!(output.stderr.contains("< HTTP/1.1 100"), "{output}");
    assert!(output.stderr.contains("< HTTP/1.1 201"), "{output}");
    assert_same(&site.scene, "body", "kept/it");
    site.end();
}

/// Answers what arrived: the method, how its body was framed, its length and SHA-256.
const SINK: &str = r#"
import hashlib, http.server, sys

class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def chunks(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            piece = self.rfile.read(min(left, 65536))
            left -= len(piece)
            yield piece
    def do_POST(self):
        digest, length = hashlib.sha256(), 0
        for chunk in self.chunks():
            digest.update(chunk)
            length += len(chunk)
        framing = "chunked" if "Transfer-Encoding" in self.headers else "length"
        body = f"{self.command} {framing} {length} {digest.hexdigest()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def handle_expect_100(self):
        if self.path != "/refused":
            return super().handle_expect_100()
        self.close_connection = True
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Sink).serve_forever()
"#;

#[test]
fn posts_arrive_as_they_were_sent() {
    let scene = Scene::new();
    let (port, target) = (free_port(), free_port());
    let _python = scene.python(target, SINK);
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{target}']\n"
    ));
    scene.big_file("big", 100 * MIB);
    let sum = scene.run("sha256sum", &["big"]).good();
    let sum = sum.split(' ').next().unwrap().to_owned();
    let url = format!("http://127.0.0.1:{port}/");
    let length = scene.curl(&["--data-binary", "@big", &url]).good();
    assert_eq!(length, format!("POST length {} {sum}\n", 100 * MIB));
    let chunked = [
        "-H",
        "Transfer-Encoding: chunked",
        "--data-binary",
        "@big",
        &url,
    ];
    let answer = scene.curl(&chunked).good();
    assert_eq!(answer, format!("POST chunked {} {sum}\n", 100 * MIB));
    let nothing = scene.curl(&["-X", "POST", &url]).good();
    assert!(nothing.starts_with("POST length 0 "), "{nothing}");
    // Refused by its head: no 100, and nothing of the body is sent.
    let refused = format!("{url}refused");
    let expect = ["-v", "--data-binary", "@big", "-H", "Expect: 100-continue"];
    let patient = [&expect[..], &["--expect100-timeout", "60", &refused]].concat();
    let output = scene.curl(&patient);
    assert!(!output.stderr.contains("HTTP/1.1 100"), "{output}");
    assert!(output.stderr.contains("< HTTP/1.1 403"), "{output}");
    portway.stop();
}

#[test]
fn haproxy_as_a_target() {
    let scene = Scene::new();
    let [port, middle, target] = [free_port(), free_port(), free_port()];
    scene.file("www/small", "a small file\n");
    scene.big_file("www/big", 20 * MIB);
    fs::create_dir(scene.path("kept")).unwrap();
    let _nginx = scene.nginx(target, &server(target));
    let config = format!(
        "global\n    maxconn 5000\ndefaults\n    mode http\n    timeout connect 10s\n    timeout client 30s\n    \
         timeout server 30s\n    option http-keep-alive\nfrontend f\n    bind 127.0.0.1:{middle}\n    default_backend b\n\
         backend b\n    server s 127.0.0.1:{target}\n"
    );
    scene.file("haproxy.cfg", config);
    let _haproxy = scene.serve(middle, "haproxy", &["-db", "-f", "haproxy.cfg"]);
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{middle}']\nhealth_check = {{ http = '/small' }}\n"
    ));
    portway.wait_for_health("app", local(middle), "healthy");
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    assert_eq!(scene.curl(&[&url("/small")]).good(), "a small file\n");
    scene.curl(&["-o", "got", &url("/big")]).good();
    assert_same(&scene, "www/big", "got");
    scene
        .curl(&["-f", "-T", "www/big", &url("/put/one")])
        .good();
    assert_same(&scene, "www/big", "kept/one");
    let upload = format!(
        "cat www/big | curl -sSf --noproxy '*' -T - {}",
        url("/put/two")
    );
    scene.run("sh", &["-c", &upload]).good();
    assert_same(&scene, "www/big", "kept/two");
    let echo = scene.curl(&[&url("/echo?a=b")]).good();
    assert!(echo.contains("uri=/echo?a=b\n"), "{echo}");
    assert_eq!(scene.status(&[&url("/nowhere")]), "404");
    assert!(
        scene
            .curl(&["-I", &url("/big")])
            .good()
            .contains("20971520")
    );
    // Fifty at once, over the pool of either.
    let range = format!("{}?[1-200]", url("/tiny"));
    let parallel = ["-Z", "--parallel-max", "50", &range];
    assert_eq!(scene.curl(&parallel).good(), "tiny\n".repeat(200));
    portway.stop();
}

/// Sends an event every 300 ms, ten of them, in chunks.
const EVENTS: &str = r#"
import http.server, sys, time

class Events(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(10):
            event = f"data: {number} {time.time()}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(0.3)
        self.wfile.write(b"0\r\n\r\n")
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Events).serve_forever()
"#;

/// Reads events as they come; prints when each was sent and when it arrived.
const EVENT_READER: &str = r#"
import sys, time, urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=60) as stream:
    for line in stream:
        if line.startswith(b"data: "):
            _, number, sent = line.decode().split()
            print(number, time.time() - float(sent))
"#;

#[test]
fn events_are_not_held_back() {
    let scene = Scene::new();
    let (port, target) = (free_port(), free_port());
    let _python = scene.python(target, EVENTS);
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{target}']\n"
    ));
    let url = format!("http://127.0.0.1:{port}/");
    let read = scene.run("python3", &["-c", EVENT_READER, &url]).good();
    let delays: Vec<f64> = read
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert_eq!(delays.len(), 10, "{read}");
    // Held back until the end, the first would be late by 2.7 s; a busy machine delays one or the other by itself.
    let prompt = delays.iter().filter(|delay| **delay < 0.25).count();
    assert!(prompt >= 5 && delays[0] < 2.0, "{delays:?}");
    portway.stop();
}

#[test]
fn two_thousand_connections() {
    let site = Site::new();
    let url = site.url("/tiny");
    let arguments = ["-t2", "-c2000", "-d3s", "--timeout", "30s", &url];
    let served = || site.portway.status()["listeners"][0]["requests"].as_u64();
    // How long that takes is the machine's affair.
    while served().unwrap() < 2000 {
        let begun = Instant::now();
        let report = site.scene.run("wrk", &arguments).good();
        assert!(begun.elapsed() < Duration::from_secs(90), "{report}");
        assert!(!report.contains("Non-2xx"), "{report}");
        assert!(!report.contains("Socket errors"), "{report}");
        assert!(report.contains("requests in"), "{report}");
    }
    site.end();
}
