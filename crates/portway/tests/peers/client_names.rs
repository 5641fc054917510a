//! Other names of clients' certificates, as values and as Traefik tells them; and why handshakes fail.

use crate::certificates::{Issuer, Key, certificate, handshake, openssl, sign};
use crate::stage::{Stage, group, listener};
use crate::support::{Scene, eventually, free_port};

/// Who names a certificate of each kind of name, a comma where there should be none, and what would be another issuer.
fn client(scene: &Scene) {
    certificate(scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
    let by = Issuer::Signed("ca");
    certificate(scene, "site", Key::Ecdsa, "a.example", &["a.example"], by);
    certificate(scene, "plain", Key::Ecdsa, "plain", &["plain"], by);
    certificate(scene, "late", Key::Ecdsa, "late", &["late"], by);
    certificate(scene, "stranger", Key::Ecdsa, "s", &["s"], Issuer::Own);
    let names = "subjectAltName=DNS:c.example,DNS:*.d.example,email:c@d.example,IP:192.0.2.7,IP:2001:db8::1,URI:spiffe://d/c\n";
    scene.file("named.ext", names);
    openssl(
        scene,
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "named.key",
            "-out",
            "named.csr",
            "-subj",
            "/DC=org/C=FR/O=Le Shop, Inc./OU=a/OU=b/CN=c\";Issuer=\"CN=x",
        ],
    );
    sign(scene, "named", "30", "0x0123456789abcdef01");
    sign(scene, "late", "-1", "9");
}

fn asking(port: u16, auth: &str, rules: &str) -> String {
    listener("web", port, "app").replace("forward = 'app'\n", "")
        + &format!(
            "protocol = 'https'\ncertificates = ['site']\n[listener.web.tls]\nclient_auth = '{auth}'\nclient_ca = 'ca.pem'\nstrict_sni = true\n{rules}"
        )
        + &group("app", &[9])
        + "[certificate.site]\nfile = 'site.pem'\nkey = 'site.key'\n"
}

/// What a listener answers to a client with this certificate.
fn body(scene: &Scene, port: u16, name: &str) -> String {
    let (url, place) = (
        format!("https://a.example:{port}/"),
        format!("a.example:{port}:127.0.0.1"),
    );
    let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
    let how = ["-s", "-m", "20", "--cacert", "ca.pem", "--resolve", &place];
    let who = ["--cert", &certificate, "--key", &key, &url];
    scene.curl(&[&how[..], &who].concat()).good()
}

#[test]
fn other_names_of_clients_are_told() {
    let scene = Scene::new();
    client(&scene);
    let port = free_port();
    let fields = [
        "dns_names",
        "emails",
        "ip_addresses",
        "uris",
        "alternative_names",
    ];
    let told: Vec<String> = fields
        .iter()
        .map(|it| format!("${{client_certificate({it}).default(`-`)}}"))
        .collect();
    let info = "client_certificate(info, subject_cn, subject_o, subject_ou, subject_c, subject_dc, issuer_cn, serial, alternative_names)";
    let rules = format!(
        "[[listener.web.rule]]\nrespond = {{ status = 200, body = \"{}|${{{info}}}|${{{}}}\" }}\n",
        told.join("|"),
        info.replace("names)", "names, as_traefik)")
    );
    let stage = Stage::with(scene, &asking(port, "required", &rules), &[]);
    let all = "c.example,*.d.example,c@d.example,192.0.2.7,2001:db8::1,spiffe://d/c";
    let encoded = "Subject%3D%22DC%3Dorg%2CC%3DFR%2CO%3DLe+Shop%252C+Inc.%2COU%3Da%2COU%3Db%2CCN%3Dc%2522%253BIssuer%3D%2522CN%3Dx%22%3BIssuer%3D%22CN%3DRoot%22%3B\
                   SerialNumber%3D%2220988295479420645121%22%3BSAN%3D%22c.example%2C%2A.d.example%2Cc%40d.example%2C192.0.2.7%2C2001%3Adb8%3A%3A1%2Cspiffe%3A%2F%2Fd%2Fc%22";
    let as_traefik = encoded.replace("%252C", "%2C");
    assert_eq!(
        body(&stage.scene, port, "named"),
        format!(
            "c.example,*.d.example|c@d.example|192.0.2.7,2001:db8::1|spiffe://d/c|{all}|{encoded}|{as_traefik}"
        )
    );
    assert_eq!(
        body(&stage.scene, port, "plain")
            .split('|')
            .take(5)
            .collect::<Vec<_>>(),
        ["plain", "-", "-", "-", "plain"]
    );
    stage.portway.stop();
}

#[test]
fn handshakes_that_fail_are_counted_by_reason() {
    let scene = Scene::new();
    client(&scene);
    let port = free_port();
    let rules = "[[listener.web.rule]]\nrespond = 200\n";
    let stage = Stage::with(scene, &asking(port, "required", rules), &[]);
    let to = ["-servername", "a.example"];
    let with = |name: &str| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let arguments = [&to[..], &["-cert", &certificate, "-key", &key]].concat();
        handshake(&stage.scene, port, &arguments)
    };
    with("late");
    with("stranger");
    handshake(&stage.scene, port, &to);
    handshake(&stage.scene, port, &["-servername", "b.example"]);
    handshake(
        &stage.scene,
        port,
        &[&to[..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]].concat(),
    );
    handshake(
        &stage.scene,
        port,
        &[&to[..], &["-tls1_2", "-cipher", "AES128-SHA"]].concat(),
    );
    let url = format!("http://127.0.0.1:{port}/");
    stage.scene.curl(&["-s", "-m", "20", &url]);
    drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    for reason in [
        "certificate_expired",
        "certificate_unknown_ca",
        "no_certificate",
        "unknown_name",
        "version",
        "cipher",
        "not_tls",
        "closed",
    ] {
        let url = format!("http://{}/metrics", stage.portway.admin);
        let line = format!(
            "portway_listener_tls_handshake_failures_total{{listener=\"web\",reason=\"{reason}\"}} "
        );
        eventually(reason, || {
            let text = stage.scene.curl(&["-s", &url]).good();
            text.lines().any(|it| it.starts_with(&line)).then_some(())
        });
    }
    stage.portway.stop();
}
