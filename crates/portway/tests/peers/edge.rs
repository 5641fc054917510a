//! The edge of a connection with programs that we did not write: the PROXY protocol with HAProxy and curl, server names
//! of ClientHellos with OpenSSL, certificates of clients, and what HAProxy says of the same.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};

use crate::certificates::{Issuer, Key, certificate, join, openssl, revocations};
use crate::stage::own_certificate;
use crate::support::{PORTWAY, Process, Scene, free_port, local};

pub(crate) fn haproxy(scene: &Scene, port: u16, sections: &str) -> Process {
    let common = "global\n    tune.ssl.default-dh-param 2048\ndefaults\n    mode http\n    timeout connect 5s\n    \
         timeout client 20s\n    timeout server 20s\n";
    let name = format!("haproxy-{port}.cfg");
    scene.file(&name, format!("{common}{sections}"));
    scene.serve(port, "haproxy", &["-db", "-f", &name])
}

/// What curl gets, and its own port.
fn get(scene: &Scene, arguments: &[&str]) -> (String, String) {
    let mut all = vec!["-w", "\n%{local_port}"];
    all.extend(arguments);
    let said = scene.curl(&all).good();
    let (body, port) = said.rsplit_once('\n').unwrap();
    (body.trim().to_owned(), port.to_owned())
}

#[test]
fn proxies_in_front_say_who_the_client_is() {
    let scene = Scene::new();
    let [port, v1, v2] = [free_port(), free_port(), free_port()];
    let _portway = scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\naccept_proxy = true\n\
         [[listener.web.rule]]\nrespond = {{ status = 200, body = '${{source}} ${{source_port}} ${{destination_port}}' }}\n"
    ));
    let front = |name: &str, front: u16, options: &str| {
        format!(
            "listen {name}\n    bind 127.0.0.1:{front}\n    server portway 127.0.0.1:{port} {options}\n"
        )
    };
    let options =
        "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c,unique-id";
    let _haproxy = haproxy(
        &scene,
        v2,
        &(front("one", v1, "send-proxy") + &front("two", v2, options)),
    );
    for front in [v1, v2] {
        let url = format!("http://127.0.0.1:{front}/");
        let (body, own) = get(&scene, &["--interface", "127.0.0.9", &url]);
        assert_eq!(body, format!("127.0.0.9 {own} {front}"));
    }
    let url = format!("http://127.0.0.1:{port}/");
    let (body, own) = get(&scene, &["--haproxy-protocol", &url]);
    assert_eq!(body, format!("127.0.0.1 {own} {port}"));
    assert!(!scene.curl(&[&url]).status.success());
}

#[test]
fn proxies_behind_are_told_who_the_client_is() {
    let scene = Scene::new();
    let [first, second, back, tls] = [free_port(), free_port(), free_port(), free_port()];
    own_certificate(&scene, "own", "a.example");
    join(&scene, "own-all.pem", &["own.pem", "own.key"]);
    let _haproxy = haproxy(
        &scene,
        back,
        &format!(
            "frontend back\n    bind 127.0.0.1:{back} accept-proxy\n    http-request return status 200 \
             content-type text/plain lf-string \"%[src] %[src_port] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]\"\n"
        ),
    );
    let with = "['tls', 'common_name', 'cipher', 'authority', 'alpn', 'checksum', 'unique_id']";
    let _portway = scene.portway(&format!(
        "[listener.a]\nbind = '127.0.0.1:{first}'\nforward = 'a'\n\
         [listener.b]\nbind = '127.0.0.1:{second}'\nforward = 'b'\nrequest_id = 'X-Request-Id'\n\
         [listener.b.forwarded]\ntrusted_proxies = ['127.0.0.1/32']\n\
         [listener.c]\nbind = '127.0.0.1:{tls}'\ncertificate_files = ['own-all.pem']\nforward = 'b'\n\
         [target_group.a]\ntargets = ['127.0.0.1:{back}']\nsend_proxy = 'v1'\n\
         [target_group.b]\ntargets = ['127.0.0.1:{back}']\nsend_proxy = {{ version = 'v2', with = {with} }}\n"
    ));
    let url = format!("http://127.0.0.1:{first}/");
    let (body, own) = get(&scene, &[&url]);
    assert_eq!(body, format!("127.0.0.1 {own} {first}"));
    let url = format!("http://127.0.0.1:{second}/");
    let (body, own) = get(&scene, &["-H", "X-Request-Id: abc", &url]);
    assert_eq!(body, format!("127.0.0.1 {own} {second}  abc"));
    let (url, resolve) = (
        format!("https://a.example:{tls}/"),
        format!("a.example:{tls}:127.0.0.1"),
    );
    let (body, own) = get(&scene, &["-k", "--resolve", &resolve, &url]);
    assert_eq!(body, format!("127.0.0.1 {own} {tls} a.example"));
}

#[test]
fn the_server_name_chooses_who_terminates() {
    let scene = Scene::new();
    let [edge, a, b] = [free_port(), free_port(), free_port()];
    for name in ["a", "b"] {
        let host = format!("{name}.example");
        certificate(&scene, name, Key::Ecdsa, &host, &[&host], Issuer::Own);
        let parts = [format!("{name}.pem"), format!("{name}.key")];
        join(
            &scene,
            &format!("{name}-all.pem"),
            &parts.each_ref().map(String::as_str),
        );
    }
    let inner = |name: &str, port: u16| {
        format!(
            "[listener.{name}]\nbind = '127.0.0.1:{port}'\ncertificate_files = ['{name}-all.pem']\naccept_proxy = true\n\
             [[listener.{name}.rule]]\nrespond = {{ status = 200, body = '{name} for ${{source_port}}' }}\n\
             [target_group.{name}]\nprotocol = 'tcp'\ntargets = ['127.0.0.1:{port}']\nsend_proxy = 'v2'\n"
        )
    };
    let _portway = scene.portway(&format!(
        "[listener.edge]\nbind = '127.0.0.1:{edge}'\nprotocol = 'tcp'\n\
         [[listener.edge.rule]]\nphase = 'client_hello'\nwhen = 'hello_type != 1'\nreject = 'reset'\n\
         [[listener.edge.rule]]\nphase = 'client_hello'\nwhen = 'hello_sni == `b.example` ignoring_case'\nforward = 'b'\n\
         [[listener.edge.rule]]\nphase = 'client_hello'\nforward = 'a'\n{}{}",
        inner("a", a),
        inner("b", b)
    ));
    for (asked, tls, expected) in [
        ("a.example", "--tlsv1.3", "a"),
        ("B.example", "--tlsv1.3", "b"),
        ("b.example", "--tls-max", "b"),
    ] {
        let (url, resolve) = (
            format!("https://{asked}:{edge}/"),
            format!("{asked}:{edge}:127.0.0.1"),
        );
        let mut arguments = vec!["-k", "--resolve", &resolve, &url, tls];
        if tls == "--tls-max" {
            arguments.push("1.2");
        }
        let (body, own) = get(&scene, &arguments);
        assert_eq!(body, format!("{expected} for {own}"));
    }
    let plain = format!("http://127.0.0.1:{edge}/");
    assert!(!scene.curl(&[&plain]).status.success());
    let connect = format!("127.0.0.1:{edge}");
    let shown = scene.run_with(
        "",
        "openssl",
        &["s_client", "-connect", &connect, "-servername", "b.example"],
    );
    assert!(shown.both().contains("subject=CN = b.example"), "{shown}");
}

/// A CA, a client's certificate of it, one of another CA, and one that is revoked.
pub(crate) fn clients(scene: &Scene) {
    for ca in ["ca", "stranger"] {
        certificate(scene, ca, Key::Rsa, ca, &[], Issuer::Own);
    }
    for (name, ca) in [("good", "ca"), ("bad", "stranger"), ("revoked", "ca")] {
        certificate(
            scene,
            name,
            Key::Ecdsa,
            name,
            &["client.example"],
            Issuer::Signed(ca),
        );
    }
    certificate(
        scene,
        "server",
        Key::Ecdsa,
        "s.example",
        &["s.example"],
        Issuer::Own,
    );
    join(scene, "server-all.pem", &["server.pem", "server.key"]);
    revocations(scene, "ca", &["revoked"], "crl.pem");
}

#[test]
fn certificates_of_clients_are_asked_for_and_judged() {
    let scene = Scene::new();
    clients(&scene);
    let ports: BTreeMap<&str, u16> = ["required", "optional", "crl", "itself", "any", "judged"]
        .map(|name| (name, free_port()))
        .into();
    let listener = |name: &str, tls: &str| {
        let more = match tls.contains("_any'") {
            true => " ${client_certificate(verified)} ${client_certificate(fault)}",
            false => "",
        };
        format!(
            "[listener.{name}]\nbind = '127.0.0.1:{}'\ncertificate_files = ['server-all.pem']\n{tls}\n\
             [[listener.{name}.rule]]\nrespond = {{ status = 200, body = '${{client_certificate(subject)}}{more}' }}\n",
            ports[name]
        )
    };
    let _portway = scene.portway(
        &[
            listener(
                "required",
                "tls = { client_auth = 'required', client_ca = 'ca.pem' }",
            ),
            listener(
                "optional",
                "tls = { client_auth = 'optional', client_ca = 'ca.pem' }",
            ),
            listener(
                "crl",
                "tls = { client_auth = 'required', client_ca = 'ca.pem', client_crl = 'crl.pem' }",
            ),
            listener(
                "itself",
                "tls = { client_auth = 'required', client_ca = 'bad.pem' }",
            ),
            listener("any", "tls = { client_auth = 'required_any' }"),
            listener(
                "judged",
                "tls = { client_auth = 'optional_any', client_ca = 'ca.pem' }",
            ),
        ]
        .concat(),
    );
    for (listener, client, expected) in [
        ("required", "good", Some("CN=good")),
        ("required", "", None),
        ("required", "bad", None),
        ("optional", "good", Some("CN=good")),
        ("optional", "", Some("")),
        ("optional", "bad", None),
        ("crl", "good", Some("CN=good")),
        ("crl", "revoked", None),
        ("required", "revoked", Some("CN=revoked")),
        ("itself", "bad", Some("CN=bad")),
        ("itself", "good", None),
        // Whatever it is, and it is said what it is.
        ("any", "good", Some("CN=good 0 20")),
        ("any", "stranger", Some("CN=stranger 0 18")),
        ("any", "", None),
        ("judged", "good", Some("CN=good 1 0")),
        ("judged", "bad", Some("CN=bad 0 20")),
        ("judged", "", Some("0 0")),
    ] {
        for version in ["1.2", "1.3"] {
            let url = format!("https://127.0.0.1:{}/", ports[listener]);
            let (pem, key) = (format!("{client}.pem"), format!("{client}.key"));
            let mut arguments = vec!["-k", "--tls-max", version, &url];
            if !client.is_empty() {
                arguments.extend(["--cert", &pem, "--key", &key]);
            }
            let output = scene.curl(&arguments);
            let name = format!("{listener} {client} {version}: {output}");
            match expected {
                Some(body) => assert_eq!(output.good().trim(), body, "{name}"),
                None => assert!(!output.status.success(), "{name}"),
            }
        }
    }
}

#[test]
fn what_haproxy_says_of_a_client_is_what_we_say() {
    let scene = Scene::new();
    clients(&scene);
    openssl(
        &scene,
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "odd.key",
            "-out",
            "odd.pem",
            "-days",
            "9000",
            "-set_serial",
            "0x8fffffffffffffff",
            "-subj",
            "/C=FR/ST=Ile, de/L=Paris/O=A+B/OU=one/OU=two/CN=od\"d/emailAddress=o@d.example",
        ],
    );
    scene.file("all-ca.pem", scene.read("ca.pem") + &scene.read("odd.pem"));
    let [ours, theirs] = [free_port(), free_port()];
    let pairs = [
        ("ssl_c_used", "client_certificate(present)"),
        ("ssl_c_verify", "client_certificate(verify_code)"),
        ("ssl_c_version", "client_certificate(version)"),
        ("ssl_c_s_dn", "client_certificate(subject_line)"),
        ("ssl_c_i_dn", "client_certificate(issuer_line)"),
        ("ssl_c_s_dn(,0,rfc2253)", "client_certificate(subject)"),
        ("ssl_c_s_dn(CN)", "client_certificate(subject_part, `CN`)"),
        (
            "ssl_c_s_dn(OU,2)",
            "client_certificate(subject_part, `OU`, 2)",
        ),
        (
            "ssl_c_s_dn(OU,-1)",
            "client_certificate(subject_part, `OU`, -1)",
        ),
        ("ssl_c_i_dn(cn)", "client_certificate(issuer_part, `cn`)"),
        ("ssl_c_serial,hex", "client_certificate(serial_bytes).hex()"),
        ("ssl_c_sha1,hex", "client_certificate(sha1_bytes).hex()"),
        ("ssl_c_der,sha2(256),hex", "client_certificate(fingerprint)"),
        ("ssl_c_notbefore", "client_certificate(not_before_text)"),
        ("ssl_c_notafter", "client_certificate(not_after_text)"),
        ("ssl_c_key_alg", "client_certificate(key_algorithm)"),
        ("ssl_c_sig_alg", "client_certificate(signature_algorithm)"),
        ("ssl_fc_sni", "sni"),
        ("ssl_fc_alpn", "alpn"),
        ("ssl_fc_protocol", "tls_version"),
        ("ssl_fc_cipher", "tls_cipher_openssl"),
        ("ssl_fc_use_keysize", "tls_key_bits"),
        ("ssl_fc_is_resumed", "tls_resumed"),
    ];
    let (mut lines, mut rules) = (String::new(), String::new());
    for (index, (fetch, value)) in pairs.iter().enumerate() {
        lines += &format!("    http-request set-header X-{index} %[{fetch}]\n");
        rules += &format!("{{ set_header = {{ X-{index} = '${{{value}}}' }} }}, ");
    }
    let echo = free_port();
    let script = "import http.server\n\
        class Echo(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_GET(self):\n\
        \x20       text = ''.join(f'{k.lower()}: {v}\\n' for k, v in self.headers.items() if k.lower()[2:].isdigit())\n\
        \x20       self.send_response(200)\n\
        \x20       self.send_header('Content-Length', str(len(text)))\n\
        \x20       self.end_headers()\n\
        \x20       self.wfile.write(text.encode('latin-1'))\n\
        http.server.ThreadingHTTPServer(('127.0.0.1', PORT), Echo).serve_forever()\n";
    let _echo = scene.python(echo, &script.replace("PORT", &echo.to_string()));
    let _haproxy = haproxy(
        &scene,
        theirs,
        &format!(
            "listen it\n    bind 127.0.0.1:{theirs} ssl crt server-all.pem ca-file all-ca.pem verify optional alpn http/1.1\n\
             {lines}    server echo 127.0.0.1:{echo}\n"
        ),
    );
    let _portway = scene.portway(&format!(
        "[listener.it]\nbind = '127.0.0.1:{ours}'\ncertificate_files = ['server-all.pem']\nforward = 'echo'\n\
         tls = {{ client_auth = 'optional', client_ca = ['ca.pem', 'odd.pem'] }}\n\
         [[listener.it.rule]]\nactions = [{rules}]\n[target_group.echo]\ntargets = ['127.0.0.1:{echo}']\n"
    ));
    for client in ["good", "odd", ""] {
        for version in ["1.2", "1.3"] {
            let said = |port: u16| {
                let (url, resolve) = (
                    format!("https://s.example:{port}/"),
                    format!("s.example:{port}:127.0.0.1"),
                );
                let (pem, key) = (format!("{client}.pem"), format!("{client}.key"));
                // The same suites, in the same order: each program has its own.
                let suites = [
                    "--ciphers",
                    "ECDHE-ECDSA-AES128-GCM-SHA256",
                    "--tls13-ciphers",
                    "TLS_AES_128_GCM_SHA256",
                ];
                let mut arguments = vec!["-k", "--tls-max", version, "--resolve", &resolve, &url];
                arguments.extend(suites);
                if !client.is_empty() {
                    arguments.extend(["--cert", &pem, "--key", &key]);
                }
                let said = scene.curl(&arguments).good();
                let fields = said.lines().filter_map(|line| line.split_once(": "));
                let known = |name: &str| {
                    let index = name.strip_prefix("x-").unwrap();
                    pairs[index.parse::<usize>().unwrap()].0
                };
                let text = |value: &str| match value {
                    "true" => "1".to_owned(),
                    "false" => "0".to_owned(),
                    // Hex of either case is the same number.
                    hex if hex.len() >= 16 && hex.bytes().all(|it| it.is_ascii_hexdigit()) => {
                        hex.to_lowercase()
                    }
                    other => other.to_owned(),
                };
                fields
                    .map(|(name, value)| (known(name), text(value)))
                    .filter(|(_, value)| !value.is_empty())
                    .collect::<BTreeMap<&str, String>>()
            };
            assert_eq!(said(ours), said(theirs), "{client} {version}");
        }
    }
}

#[test]
fn targets_may_ask_for_our_certificate() {
    let scene = Scene::new();
    clients(&scene);
    join(&scene, "good-all.pem", &["good.pem", "good.key"]);
    let [with, without, target] = [free_port(), free_port(), free_port()];
    let _haproxy = haproxy(
        &scene,
        target,
        &format!(
            "frontend it\n    bind 127.0.0.1:{target} ssl crt server-all.pem ca-file ca.pem verify required\n    \
             http-request return status 200 content-type text/plain lf-string \"%[ssl_c_s_dn(CN)]\"\n"
        ),
    );
    let group = |name: &str, certificate: &str| {
        format!(
            "[target_group.{name}]\nprotocol = 'https'\ntargets = ['127.0.0.1:{target}']\ntls = {{ verify = 'off'{certificate} }}\n"
        )
    };
    let portway = scene.portway(&format!(
        "[listener.with]\nbind = '127.0.0.1:{with}'\nforward = 'with'\n\
         [listener.without]\nbind = '127.0.0.1:{without}'\nforward = 'without'\n\
         [certificate.ours]\nfile = 'good-all.pem'\n{}{}",
        group("with", ", certificate = 'ours'"),
        group("without", "")
    ));
    let url = format!("http://127.0.0.1:{with}/");
    assert_eq!(scene.curl(&[&url]).good(), "good");
    let url = format!("http://127.0.0.1:{without}/");
    assert_eq!(scene.status(&[&url]), "502");
    let _ = (portway.stop(), local(target));
}

/// Frontends that look at what comes first. `a` and `b` are servers that say their name and then echo.
const INSPECTING: &str = "
global
    maxconn 100
defaults
    mode tcp
    timeout connect 2s
    timeout client 5s
    timeout server 5s

frontend edge
    bind 127.0.0.1:@edge
    tcp-request connection reject if { src 127.0.0.77 }
    tcp-request inspect-delay 1s
    tcp-request content capture req.ssl_sni len 20
    tcp-request content set-var(sess.x) src
    tcp-request content reject if { req.payload(0,3) -m str BAD }
    tcp-request content accept if { req.ssl_hello_type 1 }
    tcp-request content accept if { req.len gt 5 }
    use_backend b if { req.ssl_sni -i b.example }
    use_backend b if { req.payload(0,1) -m str B }
    default_backend a

frontend quick
    bind 127.0.0.1:@quick
    use_backend b if { src 127.0.0.5 }
    default_backend a

frontend waits
    bind 127.0.0.1:@waits
    tcp-request inspect-delay 1s
    tcp-request content reject if WAIT_END { req.len lt 3 }
    default_backend c

backend a
    server s 127.0.0.1:@a
backend b
    server s 127.0.0.1:@b
backend c
    tcp-request inspect-delay 1s
    tcp-request content reject unless { req.payload(0,2) -m str ok }
    server s 127.0.0.1:@a
";

/// A ClientHello that asks for this name.
fn hello(name: &str) -> Vec<u8> {
    let vector = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let entry = [&[0][..], &vector(name.as_bytes())].concat();
    let extension = [&[0, 0][..], &vector(&vector(&entry))].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0x13, 1, 1, 0],
        &vector(&extension),
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    [&[22, 3, 1][..], &vector(&message)].concat()
}

/// A name, a frontend, the client's address, and what it sends.
type Case<'a> = (&'a str, &'a str, [u8; 4], Vec<&'a [u8]>);

/// What becomes of a connection that sends these pieces: everything that comes back, and whether it was closed; and
/// whether that took as long as inspection.
fn fate(port: u16, from: [u8; 4], pieces: &[&[u8]]) -> (String, bool) {
    let begun = Instant::now();
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(from.into(), 0)).unwrap();
    let mut said = Vec::new();
    let expected = pieces.concat().len() + 1;
    let ended = (|| -> std::io::Result<bool> {
        rustix::net::connect(&socket, &local(port))?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        for piece in pieces {
            stream.write_all(piece)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        while said.len() < expected {
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes)? {
                0 => return Ok(true),
                count => said.extend_from_slice(&bytes[..count]),
            }
        }
        Ok(false)
    })();
    let end = match ended {
        Ok(true) => "closed",
        Ok(false) => "open",
        Err(_) => "reset",
    };
    let slow = begun.elapsed() > Duration::from_millis(900);
    let name = said.first().map_or(' ', |first| char::from(*first));
    (format!("{name} {} {end}", said.len()), slow)
}

#[test]
fn what_haproxy_does_with_first_bytes_is_what_we_do() {
    let scene = Scene::new();
    let script = "import socketserver\n\
        class Echo(socketserver.BaseRequestHandler):\n\
        \x20   def handle(self):\n\
        \x20       self.request.sendall(b'NAME')\n\
        \x20       while (data := self.request.recv(4096)):\n\
        \x20           self.request.sendall(data)\n\
        socketserver.ThreadingTCPServer(('127.0.0.1', PORT), Echo).serve_forever()\n";
    let [a, b] = [free_port(), free_port()];
    let servers = [("A", a), ("B", b)].map(|(name, port)| {
        let script = script
            .replace("NAME", name)
            .replace("PORT", &port.to_string());
        scene.python(port, &script)
    });
    let (b_hello, a_hello) = (hello("b.example"), hello("a.example"));
    let mut outcomes = Vec::new();
    for program in ["haproxy", PORTWAY] {
        let ports: BTreeMap<&str, u16> = [
            ("edge", free_port()),
            ("quick", free_port()),
            ("waits", free_port()),
        ]
        .into();
        let mut text = INSPECTING
            .replace("@a", &a.to_string())
            .replace("@b", &b.to_string());
        for (name, port) in &ports {
            text = text.replace(&format!("@{name}"), &port.to_string());
        }
        scene.file("inspecting.cfg", &text);
        let admin = format!("127.0.0.1:{}", free_port());
        let arguments: &[&str] = match program {
            "haproxy" => &["-db", "-f", "inspecting.cfg"],
            _ => &["run", "inspecting.cfg", "--admin", &admin],
        };
        let _running = scene.serve(ports["waits"], program, arguments);
        let own = [127, 0, 0, 1];
        let cases: Vec<Case<'_>> = vec![
            ("a hello", "edge", own, vec![&b_hello]),
            (
                "in pieces",
                "edge",
                own,
                vec![&b_hello[..3], &b_hello[3..20], &b_hello[20..]],
            ),
            ("another", "edge", own, vec![&a_hello]),
            ("half a hello", "edge", own, vec![&b_hello[..20]]),
            ("many bytes", "edge", own, vec![b"Bxxxxxxxx"]),
            ("few bytes", "edge", own, vec![b"Bx"]),
            ("refused", "edge", own, vec![b"BAD"]),
            ("refused later", "edge", own, vec![b"BA", b"Dx"]),
            ("silence", "edge", own, vec![]),
            ("from one", "edge", [127, 0, 0, 77], vec![]),
            ("at once", "quick", own, vec![]),
            ("by address", "quick", [127, 0, 0, 5], vec![b"x"]),
            ("nothing", "waits", own, vec![]),
            ("enough", "waits", own, vec![b"okay"]),
            ("wrong", "waits", own, vec![b"nope"]),
            ("in time", "waits", own, vec![b"o", b"kxxx"]),
            ("short", "waits", own, vec![b"ok"]),
        ];
        let outcome: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = cases
                .iter()
                .map(|(name, frontend, from, pieces)| {
                    let port = ports[frontend];
                    (*name, scope.spawn(move || fate(port, *from, pieces)))
                })
                .collect();
            let done = running.into_iter();
            done.map(|(name, it)| (name, it.join().unwrap())).collect()
        });
        outcomes.push(outcome);
    }
    drop(servers);
    assert_eq!(outcomes[0], outcomes[1]);
}
