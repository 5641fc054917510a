//! Bodies and connections that live long: over TLS on both sides, to slow and vanishing peers, through a stop.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::certificates::{Issuer, Key, certificate, join};
use crate::support::{PATIENCE, Portway, Scene, eventually, free_port, local};

const MIB: usize = 1024 * 1024;

/// The most memory that Portway has used so far, in MiB.
fn peak_memory(portway: &Portway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", portway.process.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

fn in_flight(portway: &Portway) -> u64 {
    let status = portway.status();
    let groups = status["target_groups"].as_array().unwrap().iter();
    let targets = groups.flat_map(|group| group["targets"].as_array().unwrap());
    targets
        .map(|target| target["in_flight"].as_u64().unwrap())
        .sum()
}

/// nginx that serves `www/` and keeps what is put to `/put/`, on a plain port and on one with TLS.
fn files(plain: u16, tls: u16) -> String {
    format!(
        "server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; root www; \
         ssl_certificate front.pem; ssl_certificate_key front.key; \
         location /put/ {{ alias kept/; dav_methods PUT; }} \
         location /tiny {{ return 200 \"tiny\\n\"; }} }}"
    )
}

fn prepare(scene: &Scene) {
    certificate(
        scene,
        "front",
        Key::Ecdsa,
        "front",
        &["front.example"],
        Issuer::Own,
    );
    join(scene, "front-all.pem", &["front.pem", "front.key"]);
    fs::create_dir_all(scene.path("www")).unwrap();
    fs::create_dir_all(scene.path("kept")).unwrap();
}

#[test]
fn big_bodies_over_tls() {
    let scene = Scene::new();
    prepare(&scene);
    let [port, plain, tls] = [(); 3].map(|()| free_port());
    let _nginx = scene.nginx(plain, &files(plain, tls));
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nprotocol = 'https'\ncertificate_files = ['front-all.pem']\n\
         forward = 'app'\n\
         [target_group.app]\nprotocol = 'https'\ntargets = ['127.0.0.1:{tls}']\ntls = {{ verify = 'off' }}\n"
    ));
    let sent = fs::read(scene.big_file("www/big", 50 * MIB)).unwrap();
    let url = |path: &str| format!("https://127.0.0.1:{port}{path}");
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<&str> = version.split('=').collect();
        let with = |more: &[&str]| {
            let all = [&["-k", "-f"], &version[..], more].concat();
            scene.curl(&all).good()
        };
        with(&["-o", "got", &url("/big")]);
        assert!(
            fs::read(scene.path("got")).unwrap() == sent,
            "{version:?}: download"
        );
        with(&["-T", "www/big", &url("/put/length")]);
        assert!(
            fs::read(scene.path("kept/length")).unwrap() == sent,
            "{version:?}: upload"
        );
        let chunked = ["-H", "Transfer-Encoding: chunked", "-T", "www/big"];
        with(&[&chunked[..], &[&url("/put/chunked")]].concat());
        assert!(
            fs::read(scene.path("kept/chunked")).unwrap() == sent,
            "{version:?}: chunked"
        );
        let many = format!("{}?[1-100]", url("/tiny"));
        assert_eq!(
            with(&["-Z", "--parallel-max", "20", &many]),
            "tiny\n".repeat(100)
        );
    }
    portway.stop();
}

#[test]
fn slow_peers_cost_little_and_hold_up_nobody() {
    let scene = Scene::new();
    prepare(&scene);
    let [port, plain, tls] = [(); 3].map(|()| free_port());
    let _nginx = scene.nginx(plain, &files(plain, tls));
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{plain}']\n"
    ));
    scene.big_file("www/big", 100 * MIB);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let before = peak_memory(&portway);
    let slow = [
        "--noproxy",
        "*",
        "-s",
        "-o",
        "/dev/null",
        "--limit-rate",
        "50k",
    ];
    let download = url("/big");
    let upload = url("/put/slow");
    let mut slow_ones = Vec::new();
    for _ in 0..20 {
        slow_ones.push(scene.spawn("curl", &[&slow[..], &[&download]].concat()));
        slow_ones.push(scene.spawn("curl", &[&slow[..], &["-T", "www/big", &upload]].concat()));
    }
    eventually("forty exchanges", || {
        (in_flight(&portway) == 40).then_some(())
    });
    // Everybody else is served meanwhile, and the sockets' buffers fill up.
    for _ in 0..3 {
        let many = format!("{}?[1-100]", url("/tiny"));
        let answers = scene.curl(&["--max-time", "20", &many]).good();
        assert_eq!(answers, "tiny\n".repeat(100));
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(in_flight(&portway), 40);
    let grown = peak_memory(&portway) - before;
    assert!(
        grown < 20,
        "{grown} MiB for forty slow exchanges of 100 MiB"
    );
    // The clients go: the targets are let go as well.
    for curl in &slow_ones {
        curl.signal(Signal::KILL);
    }
    eventually("nothing is in flight", || {
        (in_flight(&portway) == 0).then_some(())
    });
    portway.stop();
}

#[test]
fn a_stop_lets_exchanges_finish() {
    let scene = Scene::new();
    prepare(&scene);
    let [port, plain, tls] = [(); 3].map(|()| free_port());
    let _nginx = scene.nginx(plain, &files(plain, tls));
    let mut portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{plain}']\n"
    ));
    let sent = fs::read(scene.big_file("www/big", 20 * MIB)).unwrap();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let slow = ["--noproxy", "*", "-sS", "-f", "--limit-rate", "6M"];
    let (down, up) = (url("/big"), url("/put/big"));
    let mut download = scene.spawn("curl", &[&slow[..], &["-o", "got", &down]].concat());
    let mut upload = scene.spawn("curl", &[&slow[..], &["-T", "www/big", &up]].concat());
    // One that waits for its next request does not hold it up.
    let mut idle = TcpStream::connect(local(port)).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    eventually("two exchanges", || (in_flight(&portway) == 2).then_some(()));
    portway.process.signal(Signal::TERM);
    let ready = format!("http://{}/readyz", portway.admin);
    eventually("it is not ready", || {
        (scene.status(&[&ready]) == "503").then_some(())
    });
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    eventually("it accepts nobody", || {
        TcpStream::connect(local(port)).err()
    });
    for transfer in [&mut download, &mut upload] {
        let status = transfer.wait();
        assert!(status.success(), "{status}: {}", transfer.log());
    }
    assert!(fs::read(scene.path("got")).unwrap() == sent, "download");
    assert!(fs::read(scene.path("kept/big")).unwrap() == sent, "upload");
    let status = portway.process.wait();
    assert!(status.success(), "{status}: {}", portway.process.log());
}

/// Sends half of what it announces, or answers and is gone, by path.
const VANISHING: &str = r#"
import os, http.server, socket, struct, sys

class Vanishing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.close_connection = True
        if self.path == "/half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
        elif self.path == "/half-chunk":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 500)
        elif self.path == "/no-last-chunk":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        elif self.path == "/to-the-end":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nhello")
        elif self.path == "/half-head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif self.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass

Server(("127.0.0.1", int(sys.argv[1])), Vanishing).serve_forever()
"#;

#[test]
fn targets_that_vanish() {
    let scene = Scene::new();
    let [port, target] = [(); 2].map(|()| free_port());
    let _python = scene.python(target, VANISHING);
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{target}']\n"
    ));
    // The path, curl's exit code (18: partial, 56: cut off), status and body.
    let cases = [
        ("/to-the-end", &[0][..], "200 hello"),
        ("/half", &[18], "200 "),
        ("/half-chunk", &[18, 56], "200 "),
        ("/no-last-chunk", &[18, 56], "200 hello"),
        ("/half-head", &[0], "502 "),
        ("/nothing", &[0], "502 "),
        ("/reset", &[0], "502 "),
    ];
    for (path, codes, expected) in cases {
        let url = format!("http://127.0.0.1:{port}{path}");
        let output = scene.curl(&["-w", "%{stderr}%{http_code} ", &url]);
        let code = output.status.code().unwrap();
        assert!(codes.contains(&code), "{path}: {output}");
        let (status, body) = expected.split_once(' ').unwrap();
        assert!(
            output.stderr.contains(&format!("{status} ")),
            "{path}: {output}"
        );
        assert!(output.stdout.starts_with(body), "{path}: {output}");
    }
    assert_eq!(in_flight(&portway), 0);
    portway.stop();
}

/// A proxy for one origin, itself: after CONNECT it answers requests on the same connection.
const PROXY: &str = r#"
import http.server, sys

class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_CONNECT(self):
        if self.path.startswith("forbidden"):
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.asked = self.path
        self.send_response(200)
        self.end_headers()
    def do_GET(self):
        body = f"through {getattr(self, 'asked', 'nothing')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Proxy).serve_forever()
"#;

#[test]
fn connect_makes_a_tunnel() {
    let scene = Scene::new();
    let [port, target] = [(); 2].map(|()| free_port());
    let _python = scene.python(target, PROXY);
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{target}']\n"
    ));
    let proxy = format!("http://127.0.0.1:{port}");
    let tunnel = ["--noproxy", "", "-p", "-x", &proxy];
    let urls = ["http://app.example/1", "http://app.example/2"];
    let answer = scene.curl(&[&tunnel[..], &urls].concat()).good();
    assert_eq!(answer, "through app.example:80\n".repeat(2));
    let refused = scene.curl(&[&tunnel[..], &["http://forbidden.example/"]].concat());
    assert!(refused.stderr.contains("403"), "{refused}");
    // Not a tunnel: the same connection is good for requests after the refusal.
    let direct = scene.curl(&[&format!("{proxy}/")]).good();
    assert_eq!(direct, "through nothing\n");
    portway.stop();
}

#[test]
fn a_tcp_listener_hands_over_to_http() {
    let scene = Scene::new();
    prepare(&scene);
    let [port, plain, tls] = [(); 3].map(|()| free_port());
    let _nginx = scene.nginx(plain, &files(plain, tls));
    scene.file("www/small", "a small file\n");
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nprotocol = 'tcp'\nforward = 'app'\n\
         [target_group.app]\nprotocol = 'http'\ntargets = ['127.0.0.1:{plain}']\n\
         [[target_group.app.rule]]\nphase = 'response'\nset_header = {{ X-By = 'http' }}\n"
    ));
    let url = format!("http://127.0.0.1:{port}/small");
    let answer = scene.curl(&["-i", &url, &url]).good();
    assert_eq!(answer.matches("a small file\n").count(), 2, "{answer}");
    // A rule on responses runs: it was HTTP, not bytes.
    assert_eq!(
        answer.to_lowercase().matches("x-by: http").count(),
        2,
        "{answer}"
    );
    let mut raw = TcpStream::connect(local(port)).unwrap();
    raw.set_read_timeout(Some(PATIENCE)).unwrap();
    raw.write_all(b"this is not HTTP\r\n\r\n").unwrap();
    raw.shutdown(Shutdown::Write).unwrap();
    let mut refused = String::new();
    raw.read_to_string(&mut refused).unwrap();
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    portway.stop();
}

#[test]
fn wrk_over_tls_while_a_target_comes_and_goes() {
    let scene = Scene::new();
    prepare(&scene);
    let [port, a, a_tls, b, b_tls] = [(); 5].map(|()| free_port());
    let _a = scene.nginx(a, &files(a, a_tls));
    let mut second = Some(scene.nginx(b, &files(b, b_tls)));
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nprotocol = 'https'\ncertificate_files = ['front-all.pem']\n\
         forward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:{a}', '127.0.0.1:{b}']\n\
         health_check = {{ http = '/tiny', interval = '200ms' }}\n"
    ));
    let url = format!("https://127.0.0.1:{port}/tiny");
    let mut wrk = scene.spawn("wrk", &["-t2", "-c200", "-d6s", "--timeout", "30s", &url]);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(800));
        drop(second.take());
        portway.wait_for_health("app", local(b), "unhealthy");
        second = Some(scene.nginx(b, &files(b, b_tls)));
        portway.wait_for_health("app", local(b), "healthy");
    }
    assert!(wrk.wait().success());
    let report = wrk.log();
    // A GET that lost its target is asked again: nobody notices.
    assert!(
        !report.contains("Non-2xx") && !report.contains("Socket errors"),
        "{report}"
    );
    portway.stop();
}
