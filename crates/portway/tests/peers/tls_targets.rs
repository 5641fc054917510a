//! TLS towards targets, and TLS that only passes through.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::certificates::{Issuer, Key, certificate, handshake, join};
use crate::support::{PATIENCE, Process, Scene, free_port, local};

/// nginx with the certificate `target` (for app.internal, signed by `ca`), which answers the SNI that it was asked for.
fn target(scene: &Scene, port: u16) -> Process {
    certificate(scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
    certificate(
        scene,
        "stranger",
        Key::Ecdsa,
        "Other root",
        &[],
        Issuer::Own,
    );
    certificate(
        scene,
        "target",
        Key::Ecdsa,
        "app.internal",
        &["app.internal"],
        Issuer::Signed("ca"),
    );
    let block = format!(
        r#"server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate target.pem;
    ssl_certificate_key target.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ return 200 "sni=$ssl_server_name\nversion=$ssl_protocol\nproto=$http_x_forwarded_proto\n"; }}
}}"#
    );
    scene.nginx(port, &block)
}

#[test]
fn whom_we_believe() {
    let scene = Scene::new();
    let (port, behind) = (free_port(), free_port());
    let _nginx = target(&scene, behind);
    let url = format!("http://127.0.0.1:{port}/");
    let cases: &[(&str, &str)] = &[
        ("verify = 'off'", "200"),
        ("verify = 'off', server_name = 'other.internal'", "200"),
        ("", "502"),
        ("verify = 'system', server_name = 'app.internal'", "502"),
        (
            "verify = { ca = 'ca.pem' }, server_name = 'app.internal'",
            "200",
        ),
        (
            "verify = { ca = 'target.pem' }, server_name = 'app.internal'",
            "200",
        ),
        (
            "verify = { ca = 'ca.pem' }, server_name = 'other.internal'",
            "502",
        ),
        (
            "verify = { ca = 'stranger.pem' }, server_name = 'app.internal'",
            "502",
        ),
        ("verify = 'off', min_version = '1.3'", "200"),
        ("verify = 'off', max_version = '1.2'", "200"),
    ];
    for (tls, expected) in cases {
        let portway = scene.portway(&format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\naccess_log = 'json'\n\
             [target_group.app]\nprotocol = 'https'\ntargets = ['127.0.0.1:{behind}']\ntls = {{ {tls} }}\n\
             when_none_healthy = 'fail_open'\nhealth_check = {{ https = '/', interval = '300ms', unhealthy_threshold = 1 }}\n"
        ));
        assert_eq!(scene.status(&[&url]), *expected, "{tls}");
        let reason = |health: &str| portway.wait_for_health("app", local(behind), health);
        if *expected == "200" {
            assert!(reason("healthy").contains("passed"), "{tls}");
            portway.stop();
        } else {
            let why = reason("unhealthy");
            assert!(why.contains("certificate"), "{tls}: {why}");
            let log = portway.stop();
            assert!(log.contains("\"fault\":\"target_tls\""), "{tls}: {log}");
            assert!(log.contains(&why), "{tls}: {log}");
            // The exchange says it too: there need not be a check.
            let said = format!("TLS with target 127.0.0.1:{behind} of app failed ");
            let said = log.lines().find(|line| line.contains(&said)).unwrap();
            assert!(said.contains(": the certificate "), "{said}");
        }
    }
}

#[test]
fn versions_towards_targets() {
    let scene = Scene::new();
    let (port, behind) = (free_port(), free_port());
    let _nginx = target(&scene, behind);
    for (tls, expected) in [("", "TLSv1.3"), (", max_version = '1.2'", "TLSv1.2")] {
        let portway = scene.portway(&format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
             [target_group.app]\nprotocol = 'https'\ntargets = ['127.0.0.1:{behind}']\ntls = {{ verify = 'off'{tls} }}\n"
        ));
        let answer = scene.curl(&[&format!("http://127.0.0.1:{port}/")]).good();
        assert!(
            answer.contains(&format!("version={expected}\n")),
            "{answer}"
        );
        portway.stop();
    }
}

/// Each has keys of its own for its tickets.
#[test]
fn sessions_are_those_of_one_target() {
    let scene = Scene::new();
    let [port, one, two] = [(); 3].map(|()| free_port());
    certificate(
        &scene,
        "target",
        Key::Ecdsa,
        "app",
        &["app.internal"],
        Issuer::Own,
    );
    let server = |port: u16| {
        format!(
            r#"server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate target.pem;
    ssl_certificate_key target.key;
    keepalive_timeout 0;
    location / {{ return 200 "$ssl_session_reused"; }}
}}
"#
        )
    };
    let _nginx = scene.nginx(one, &[server(one), server(two)].concat());
    let portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\nprotocol = 'https'\ntargets = ['127.0.0.1:{one}', '127.0.0.1:{two}']\n\
         tls = {{ verify = 'off', server_name = 'app.internal', max_version = '1.2' }}\n"
    ));
    let url = format!("http://127.0.0.1:{port}/");
    let answers: Vec<_> = (0..6).map(|_| scene.curl(&[&url]).good()).collect();
    assert_eq!(answers, [".", ".", "r", "r", "r", "r"]);
    portway.stop();
}

#[test]
fn the_name_that_targets_are_asked_for() {
    let scene = Scene::new();
    let (http, https, behind) = (free_port(), free_port(), free_port());
    let _nginx = target(&scene, behind);
    certificate(
        &scene,
        "front",
        Key::Ecdsa,
        "front",
        &["front.example"],
        Issuer::Own,
    );
    join(&scene, "front-all.pem", &["front.pem", "front.key"]);
    // What the group says; the SNI that a client of HTTPS (for a.example, Host b.example) and one of HTTP (Host
    // b.example) make us send.
    let cases = [
        ("client", "a.example", "b.example"),
        ("host", "b.example", "b.example"),
        ("none", "", ""),
        ("fixed.example", "fixed.example", "fixed.example"),
    ];
    for (name, over_https, over_http) in cases {
        let portway = scene.portway(&format!(
            "[listener.http]\nbind = '127.0.0.1:{http}'\nforward = 'app'\n\
             [listener.https]\nbind = '127.0.0.1:{https}'\nprotocol = 'https'\nforward = 'app'\n\
             certificate_files = ['front-all.pem']\n\
             [target_group.app]\nprotocol = 'https'\ntargets = ['127.0.0.1:{behind}']\n\
             tls = {{ verify = 'off', server_name = '{name}' }}\n"
        ));
        let resolve = format!("a.example:{https}:127.0.0.1");
        let secure = format!("https://a.example:{https}/");
        let host = ["-H", "Host: b.example"];
        let answer = scene.curl(&[&host[..], &["-k", "--resolve", &resolve, &secure]].concat());
        let answer = answer.good();
        assert!(
            answer.contains(&format!("sni={over_https}\n")),
            "{name}: {answer}"
        );
        assert!(answer.contains("proto=https\n"), "{name}: {answer}");
        let plain = format!("http://127.0.0.1:{http}/");
        let answer = scene.curl(&[&host[..], &[&plain]].concat()).good();
        assert!(
            answer.contains(&format!("sni={over_http}\n")),
            "{name}: {answer}"
        );
        // Another name does not travel on the first one's connection.
        if name == "host" {
            let answer = scene.curl(&["-H", "Host: c.example", &plain]).good();
            assert!(answer.contains("sni=c.example\n"), "{answer}");
        }
        portway.stop();
    }
}

#[test]
fn tls_passes_through_untouched() {
    let scene = Scene::new();
    let (port, behind) = (free_port(), free_port());
    certificate(
        &scene,
        "own",
        Key::Ecdsa,
        "own",
        &["own.example"],
        Issuer::Own,
    );
    let at = format!("127.0.0.1:{behind}");
    let serve = [
        "s_server", "-accept", &at, "-cert", "own.pem", "-key", "own.key", "-www",
    ];
    let alpn = ["-alpn", "acme-tls/1"];
    let _server = scene.serve(behind, "openssl", &[&serve[..], &alpn].concat());
    let portway = scene.portway(&format!(
        "[listener.raw]\nbind = '127.0.0.1:{port}'\nprotocol = 'tcp'\nforward = 'raw'\n\
         [target_group.raw]\ntargets = ['{at}']\n"
    ));
    let arguments = ["-alpn", "acme-tls/1", "-CAfile", "own.pem"];
    let shown = handshake(&scene, port, &arguments);
    let expected = [
        "ALPN protocol: acme-tls/1",
        "Verify return code: 0 (ok)",
        "subject=CN=own",
    ];
    for text in expected {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    portway.stop();
}

/// Reads to the end, then answers with what arrived: it needs the client's half-close.
const ECHO: &str = r#"
import socket, socketserver, sys

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        received = b""
        while piece := self.request.recv(65536):
            received += piece
        self.request.sendall(b"%d:" % len(received) + received[-20:])

socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"#;

/// Sends `request` and the end of it, and reads to the end of the answer.
fn exchange(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_half_close_is_carried_on() {
    let scene = Scene::new();
    let [plain, tls, doubled, echo] = [(); 4].map(|()| free_port());
    let _python = scene.python(echo, ECHO);
    certificate(
        &scene,
        "front",
        Key::Ecdsa,
        "front",
        &["front.example"],
        Issuer::Own,
    );
    join(&scene, "front-all.pem", &["front.pem", "front.key"]);
    let portway = scene.portway(&format!(
        "[listener.plain]\nbind = '127.0.0.1:{plain}'\nprotocol = 'tcp'\nforward = 'echo'\n\
         [listener.tls]\nbind = '127.0.0.1:{tls}'\nprotocol = 'tls'\nforward = 'echo'\n\
         certificate_files = ['front-all.pem']\n\
         [listener.doubled]\nbind = '127.0.0.1:{doubled}'\nprotocol = 'tcp'\nforward = 'secure'\n\
         [target_group.echo]\ntargets = ['127.0.0.1:{echo}']\n\
         [target_group.secure]\nprotocol = 'tls'\ntargets = ['127.0.0.1:{tls}']\ntls = {{ verify = 'off' }}\n"
    ));
    // TCP to TCP; and TCP to TLS to TCP: into Portway's own TLS listener, which hands over plain bytes.
    for port in [plain, doubled] {
        assert_eq!(exchange(port, b"hello"), "5:hello");
        assert_eq!(exchange(port, b""), "0:");
        let mut big = vec![b'x'; 5_000_000];
        big.extend_from_slice(b"the end");
        assert_eq!(exchange(port, &big), "5000007:xxxxxxxxxxxxxthe end");
    }
    portway.stop();
}

#[test]
fn tls_is_taken_off_and_put_on() {
    let scene = Scene::new();
    let [off, on, plain, secure] = [(); 4].map(|()| free_port());
    let block =
        format!("server {{ listen 127.0.0.1:{plain}; location / {{ return 200 \"plain\\n\"; }} }}");
    let _plain = scene.nginx(plain, &block);
    let _secure = target(&scene, secure);
    certificate(
        &scene,
        "front",
        Key::Ecdsa,
        "front",
        &["front.example"],
        Issuer::Own,
    );
    join(&scene, "front-all.pem", &["front.pem", "front.key"]);
    let portway = scene.portway(&format!(
        "[listener.off]\nbind = '127.0.0.1:{off}'\nprotocol = 'tls'\nforward = 'plain'\n\
         certificate_files = ['front-all.pem']\n\
         [listener.on]\nbind = '127.0.0.1:{on}'\nprotocol = 'tcp'\nforward = 'secure'\n\
         [target_group.plain]\nprotocol = 'tcp'\ntargets = ['127.0.0.1:{plain}']\n\
         [target_group.secure]\nprotocol = 'tls'\ntargets = ['127.0.0.1:{secure}']\n\
         tls = {{ verify = {{ ca = 'ca.pem' }}, server_name = 'app.internal' }}\nhealth_check = 'tls'\n"
    ));
    portway.wait_for_health("secure", local(secure), "healthy");
    let shown = handshake(&scene, off, &["-servername", "front.example"]);
    assert!(shown.contains("subject=CN=front"), "{shown}");
    let url = format!("https://127.0.0.1:{off}/");
    assert_eq!(scene.curl(&["-k", &url]).good(), "plain\n");
    let answer = scene.curl(&[&format!("http://127.0.0.1:{on}/")]).good();
    assert!(answer.contains("sni=app.internal\n"), "{answer}");
    portway.stop();
}
