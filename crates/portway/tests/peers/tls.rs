//! TLS towards clients, seen by `openssl s_client` and curl: which certificate, version, cipher and session they get.

use std::fmt::Write;

use crate::certificates::{Issuer, Key, certificate, handshake, join, openssl};
use crate::support::{PORTWAY, Process, Scene, free_port};

/// A target that answers anything.
fn answering(scene: &Scene, port: u16) -> Process {
    let block =
        format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"served\\n\"; }} }}");
    scene.nginx(port, &block)
}

/// An HTTPS listener and the group behind it; `tls` are lines of the listener.
fn listener(name: &str, port: u16, tls: &str) -> String {
    format!(
        "[listener.{name}]\nbind = '127.0.0.1:{port}'\nprotocol = 'https'\nforward = 'app'\n{tls}\n"
    )
}

fn group(target: u16) -> String {
    format!("[target_group.app]\ntargets = ['127.0.0.1:{target}']\n")
}

/// A CA named `ca`, an intermediate one named `middle`, and certificates that the latter signs, each with its chain and
/// key in `NAME-all.pem`.
fn family(scene: &Scene, members: &[(&str, Key, &str)]) {
    certificate(scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
    certificate(
        scene,
        "middle",
        Key::Ecdsa,
        "Intermediate",
        &[],
        Issuer::Signed("ca"),
    );
    for (name, key, host) in members {
        certificate(scene, name, *key, host, &[host], Issuer::Signed("middle"));
        let parts = [&format!("{name}.pem"), "middle.pem", &format!("{name}.key")];
        join(scene, &format!("{name}-all.pem"), &parts);
    }
}

/// Asserts what a handshake shows; `!` before a text: it must not be there.
#[track_caller]
fn check(scene: &Scene, port: u16, arguments: &[&str], expected: &[&str]) {
    let shown = handshake(scene, port, arguments);
    for text in expected {
        let wanted = !text.starts_with('!');
        let found = shown.contains(text.trim_start_matches('!'));
        assert_eq!(found, wanted, "{arguments:?}: {text}\n{shown}");
    }
}

#[test]
fn the_name_chooses_the_certificate() {
    let scene = Scene::new();
    let (port, strict, target) = (free_port(), free_port(), free_port());
    let members = [
        ("default", Key::Ecdsa, "default.example"),
        ("rsa", Key::Rsa, "both.example"),
        ("ecdsa", Key::Ecdsa, "both.example"),
        ("wild", Key::Ecdsa, "*.wild.example"),
        ("exact", Key::Ecdsa, "exact.wild.example"),
    ];
    family(&scene, &members);
    let files = "certificate_files = ['default-all.pem', 'wild-all.pem', 'rsa-all.pem', 'ecdsa-all.pem', 'exact-all.pem']";
    let _nginx = answering(&scene, target);
    let portway = scene.portway(&format!(
        "{}{}tls = {{ strict_sni = true }}\n{}",
        listener("web", port, files),
        listener("strict", strict, files),
        group(target)
    ));
    let subjects = [
        ("default.example", "default.example"),
        ("both.example", "both.example"),
        ("BOTH.example", "both.example"),
        ("a.wild.example", "*.wild.example"),
        ("exact.wild.example", "exact.wild.example"),
        ("a.b.wild.example", "default.example"),
        ("wild.example", "default.example"),
        ("other.example", "default.example"),
    ];
    for (asked, shown) in subjects {
        for version in ["-tls1_2", "-tls1_3"] {
            let subject = format!("subject=CN={shown}\n");
            check(&scene, port, &["-servername", asked, version], &[&subject]);
        }
    }
    check(
        &scene,
        port,
        &["-noservername"],
        &["subject=CN=default.example\n"],
    );

    let both = ["-servername", "both.example"];
    let with = |more: &[&'static str]| [&both[..], more].concat();
    check(&scene, port, &both, &["Peer signature type: ECDSA"]);
    check(
        &scene,
        port,
        &with(&["-tls1_2"]),
        &["Peer signature type: ECDSA"],
    );
    let rsa = ["Peer signature type: RSA-PSS", "subject=CN=both.example\n"];
    check(&scene, port, &with(&["-sigalgs", "RSA-PSS+SHA256"]), &rsa);
    let old_rsa = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"];
    check(
        &scene,
        port,
        &with(&old_rsa),
        &["Peer signature type: RSA", "Cipher is ECDHE-RSA-AES128"],
    );

    let trust = [
        "-CAfile",
        "ca.pem",
        "-verify_return_error",
        "-verify_hostname",
        "both.example",
    ];
    check(&scene, port, &with(&trust), &["Verify return code: 0 (ok)"]);

    check(&scene, strict, &both, &["subject=CN=both.example\n"]);
    check(
        &scene,
        strict,
        &["-servername", "other.example"],
        &["!subject=", "alert"],
    );
    portway.stop();
}

#[test]
fn certificates_in_every_shape_that_people_have() {
    let scene = Scene::new();
    family(
        &scene,
        &[
            ("rsa", Key::Rsa, "rsa.example"),
            ("ecdsa", Key::Ecdsa, "ecdsa.example"),
        ],
    );
    openssl(
        &scene,
        &["rsa", "-in", "rsa.key", "-traditional", "-out", "rsa.pkcs1"],
    );
    assert!(
        scene
            .read("rsa.pkcs1")
            .starts_with("-----BEGIN RSA PRIVATE KEY")
    );
    openssl(&scene, &["ec", "-in", "ecdsa.key", "-out", "ecdsa.sec1"]);
    assert!(
        scene
            .read("ecdsa.sec1")
            .starts_with("-----BEGIN EC PRIVATE KEY")
    );
    openssl(
        &scene,
        &["ecparam", "-name", "prime256v1", "-out", "parameters"],
    );
    openssl(
        &scene,
        &["x509", "-in", "rsa.pem", "-text", "-out", "rsa.text"],
    );
    assert!(scene.read("rsa.text").starts_with("Certificate:"));
    let windows = scene.read("rsa-all.pem").replace('\n', "\r\n");
    scene.file("windows.raw", windows);
    as_the_article_says(&scene);

    let shapes: &[(&str, &str, &[&str])] = &[
        (
            "pkcs1",
            "rsa.example",
            &["rsa.pem", "middle.pem", "rsa.pkcs1"],
        ),
        (
            "sec1",
            "ecdsa.example",
            &["ecdsa.pem", "middle.pem", "parameters", "ecdsa.sec1"],
        ),
        (
            "key-first",
            "rsa.example",
            &["rsa.key", "rsa.pem", "middle.pem"],
        ),
        (
            "text",
            "rsa.example",
            &["rsa.text", "middle.pem", "rsa.key"],
        ),
        (
            "wrong-order",
            "rsa.example",
            &["ca.pem", "middle.pem", "rsa.pem", "rsa.key"],
        ),
        ("windows", "rsa.example", &["windows.raw"]),
        ("v1", "v1.example", &["server.crt", "server.key"]),
    ];
    let target = free_port();
    let mut text = group(target);
    let mut ports = Vec::new();
    for (name, _, parts) in shapes {
        let (port, file) = (free_port(), format!("shape-{name}.pem"));
        join(&scene, &file, parts);
        text.push_str(&listener(
            name,
            port,
            &format!("certificate_files = ['{file}']"),
        ));
        ports.push(port);
    }
    let two = free_port();
    text.push_str(&listener("two-files", two, "certificates = ['two']"));
    writeln!(
        text,
        "[certificate.two]\nfile = 'rsa-chain.pem'\nkey = 'rsa.pkcs1'"
    )
    .unwrap();
    join(&scene, "rsa-chain.pem", &["rsa.pem", "middle.pem"]);
    let _nginx = answering(&scene, target);
    let portway = scene.portway(&text);
    let shapes = shapes.iter().map(|(name, host, _)| (*name, *host));
    for ((name, host), port) in shapes
        .chain([("two", "rsa.example")])
        .zip(ports.into_iter().chain([two]))
    {
        let subject = format!("subject=CN={host}\n");
        let ca = if name == "v1" { "server.crt" } else { "ca.pem" };
        for version in ["-tls1_2", "-tls1_3"] {
            let trust = ["-CAfile", ca, "-servername", host, version];
            check(
                &scene,
                port,
                &trust,
                &[&subject, "Verify return code: 0 (ok)"],
            );
        }
        let url = format!("https://127.0.0.1:{port}/");
        assert_eq!(scene.curl(&["-k", &url]).good(), "served\n", "{name}");
    }
    portway.stop();
}

/// The commands of the article about ElectricFlow behind HAProxy: an X.509 v1 certificate with text before its block.
fn as_the_article_says(scene: &Scene) {
    let subject = [
        "-newkey",
        "rsa:2048",
        "-passout",
        "pass:secret",
        "-subj",
        "/CN=v1.example",
    ];
    let request = [
        "req",
        "-new",
        "-out",
        "server.csr",
        "-text",
        "-keyout",
        "privkey.pem",
    ];
    openssl(scene, &[&request[..], &subject].concat());
    openssl(
        scene,
        &[
            "rsa",
            "-in",
            "privkey.pem",
            "-passin",
            "pass:secret",
            "-out",
            "server.key",
        ],
    );
    let sign = [
        "x509",
        "-in",
        "server.csr",
        "-out",
        "server.crt",
        "-req",
        "-signkey",
        "server.key",
    ];
    openssl(scene, &[&sign[..], &["-days", "3650", "-text"]].concat());
    assert!(scene.read("server.crt").contains("Version: 1 (0x0)"));
    assert!(scene.read("privkey.pem").contains("ENCRYPTED PRIVATE KEY"));
}

#[test]
fn versions_ciphers_and_protocols() {
    let scene = Scene::new();
    family(&scene, &[("rsa", Key::Rsa, "rsa.example")]);
    let target = free_port();
    let [usual, modern, old, aws, aws_13, one] = [(); 6].map(|()| free_port());
    let with = |name: &str, port: u16, tls: &str| {
        let files = "certificate_files = ['rsa-all.pem']";
        listener(name, port, &format!("{files}\ntls = {{ {tls} }}"))
    };
    let text = [
        with("usual", usual, ""),
        with("modern", modern, "policy = 'modern'"),
        with("old", old, "max_version = '1.2'"),
        with("aws", aws, "policy = 'ELBSecurityPolicy-2016-08'"),
        with(
            "aws13",
            aws_13,
            "policy = 'ELBSecurityPolicy-TLS13-1-3-2021-06'",
        ),
        with(
            "one",
            one,
            "suites = ['ECDHE-RSA-AES256-GCM-SHA384'], max_version = '1.2'",
        ),
        group(target),
    ];
    let text = text.concat();
    let (good, said) = scene.check(&text);
    assert!(good, "{said}");
    assert_eq!(said.matches("warning[").count(), 1, "{said}");
    for left_out in [
        "TLSv1 (too old)",
        "TLSv1.1 (too old)",
        "ECDHE-RSA-AES128-SHA256 (CBC)",
        "AES128-GCM-SHA256",
    ] {
        assert!(said.contains(left_out), "{left_out} is not in {said}");
    }
    let _nginx = answering(&scene, target);
    let portway = scene.portway(&text);
    let cases: &[(u16, &[&str], &[&str])] = &[
        (usual, &[], &["TLSv1.3, Cipher is TLS_AES"]),
        (usual, &["-tls1_2"], &["TLSv1.2, Cipher is ECDHE-RSA"]),
        (
            usual,
            &["-tls1_1", "-cipher", "ALL@SECLEVEL=0"],
            &["alert", "!subject="],
        ),
        (
            usual,
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"],
            &["handshake failure", "!subject="],
        ),
        (
            usual,
            &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
            &["handshake failure", "!subject="],
        ),
        (modern, &["-tls1_2"], &["protocol version", "!subject="]),
        (modern, &["-tls1_3"], &["TLSv1.3, Cipher is"]),
        (old, &[], &["TLSv1.2, Cipher is"]),
        (old, &["-tls1_3"], &["protocol version", "!subject="]),
        (
            aws,
            &[],
            &["TLSv1.2, Cipher is ECDHE-RSA-AES128-GCM-SHA256"],
        ),
        (aws, &["-tls1_3"], &["protocol version"]),
        (aws_13, &[], &["TLSv1.3, Cipher is"]),
        (aws_13, &["-tls1_2"], &["protocol version"]),
        (one, &[], &["Cipher is ECDHE-RSA-AES256-GCM-SHA384"]),
        (
            usual,
            &["-alpn", "h2,http/1.1"],
            &["ALPN protocol: http/1.1"],
        ),
        (
            usual,
            &["-alpn", "http/1.1", "-tls1_2"],
            &["ALPN protocol: http/1.1"],
        ),
        (usual, &[], &["No ALPN negotiated"]),
        (usual, &["-alpn", "spdy/3"], &["no application protocol"]),
    ];
    for (port, arguments, expected) in cases {
        check(&scene, *port, arguments, expected);
    }
    let url = format!("https://127.0.0.1:{usual}/");
    assert_eq!(scene.curl(&["-k", "--http2", &url]).good(), "served\n");
    portway.stop();
}

#[test]
fn sessions_are_resumed_on_every_worker() {
    let scene = Scene::new();
    family(&scene, &[("rsa", Key::Rsa, "rsa.example")]);
    let (port, target) = (free_port(), free_port());
    let _nginx = answering(&scene, target);
    let files = "certificate_files = ['rsa-all.pem']";
    let portway = scene.portway(&[listener("web", port, files), group(target)].concat());
    let place = format!("127.0.0.1:{port}");
    let request = "GET / HTTP/1.1\r\nHost: rsa.example\r\nConnection: close\r\n\r\n";
    // A request, because tickets of TLS 1.3 come after the handshake.
    let connect = |more: &[&str]| {
        let client = [
            "s_client",
            "-ign_eof",
            "-connect",
            &place,
            "-servername",
            "rsa.example",
        ];
        let shown = scene
            .run_with(request, "openssl", &[&client[..], more].concat())
            .both();
        assert!(shown.contains("served"), "{shown}");
        shown
    };
    for (flag, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let first = connect(&[flag, "-sess_out", "session"]);
        assert!(first.contains(&format!("New, {version}")), "{first}");
        for _ in 0..10 {
            let again = connect(&[flag, "-sess_in", "session"]);
            assert!(again.contains(&format!("Reused, {version}")), "{again}");
        }
        // A certificate change of the client's mind: another name is not served from the first one's session.
        let fresh = connect(&[flag]);
        assert!(fresh.contains("New, "), "{fresh}");
    }
    let reconnected = handshake(&scene, port, &["-tls1_2", "-reconnect"]);
    assert_eq!(
        reconnected.matches("Reused, TLSv1.2").count(),
        5,
        "{reconnected}"
    );
    portway.stop();
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let scene = Scene::new();
    family(
        &scene,
        &[
            ("rsa", Key::Rsa, "rsa.example"),
            ("other", Key::Ecdsa, "other.example"),
        ],
    );
    as_the_article_says(&scene);
    join(
        &scene,
        "mismatch.pem",
        &["rsa.pem", "middle.pem", "other.key"],
    );
    join(&scene, "encrypted.pem", &["server.crt", "privkey.pem"]);
    let old = [
        "x509", "-req", "-in", "rsa.csr", "-signkey", "rsa.key", "-extfile", "rsa.ext",
    ];
    openssl(
        &scene,
        &[&old[..], &["-days", "-1", "-out", "old.crt"]].concat(),
    );
    join(&scene, "expired.pem", &["old.crt", "rsa.key"]);
    join(&scene, "no-key.pem", &["rsa.pem", "middle.pem"]);
    join(&scene, "no-certificate.pem", &["rsa.key"]);
    scene.file("nothing.pem", "nothing\n");
    let cases: &[(&str, bool, &[&str])] = &[
        ("mismatch.pem", false, &["key", "does not"]),
        ("encrypted.pem", false, &["encrypted"]),
        ("expired.pem", true, &["warning", "expired"]),
        ("no-key.pem", false, &["key"]),
        ("no-certificate.pem", false, &["certificate"]),
        ("nothing.pem", false, &["PEM"]),
        ("absent.pem", false, &["cannot read", "does not exist"]),
    ];
    for (file, good, expected) in cases {
        let files = format!("certificate_files = ['{file}']");
        let text = [listener("web", 8443, &files), group(8080)].concat();
        let (found, said) = scene.check(&text);
        assert_eq!(found, *good, "{file}: {said}");
        assert!(
            said.contains("checked.toml:") && said.contains(file),
            "{said}"
        );
        for part in *expected {
            assert!(said.contains(part), "{file}: `{part}` is not in {said}");
        }
        println!("{said}");
        // It does not start either: never half of a configuration.
        if !good {
            let started = scene.run(PORTWAY, &["run", "checked.toml"]);
            assert_eq!(started.status.code(), Some(1), "{started}");
        }
    }
}
