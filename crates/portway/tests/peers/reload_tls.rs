//! What TLS is spoken with changes while Portway serves: certificates, and who may come in.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::certificates::{Issuer, KeptTls, Key, certificate, handshake, join};
use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, own_certificate};
use crate::support::{Output, PORTWAY, Scene, free_port};

#[test]
fn certificates_are_renewed_and_sessions_go_on() {
    let scene = Scene::new();
    let one = Echo::start("one");
    let port = free_port();
    let renew = |serial: &str| {
        let names = [serial, "a.example"];
        certificate(&scene, "a", Key::Ecdsa, "a.example", &names, Issuer::Own);
        join(&scene, "all.pem", &["a.pem", "a.key"]);
    };
    renew("first.example");
    let text = listener("web", port, "app")
        + "protocol = 'https'\ncertificate_files = ['all.pem']\n"
        + &group("app", &[one.port]);
    let shown = |scene: &Scene, more: &[&str]| {
        let arguments = [&["-servername", "a.example"], more].concat();
        handshake(scene, port, &arguments)
    };
    scene.file("web.toml", &text);
    let portway = scene.portway_with(&["web.toml"]);
    let ticket = scene.path("ticket").display().to_string();
    shown(&scene, &["-tls1_2", "-sess_out", &ticket]);
    renew("second.example");
    let output = scene.run(PORTWAY, &["reload", "--admin", &portway.admin]);
    assert!(output.both().contains("~ certificate"), "{output}");
    let resumed = shown(&scene, &["-tls1_2", "-sess_in", &ticket]);
    assert!(resumed.contains("Reused, TLSv1.2"), "{resumed}");
    let new = shown(&scene, &[]);
    let pem = fs::read_to_string(scene.path("a.pem")).unwrap();
    let line = pem.lines().nth(3).unwrap();
    assert!(new.contains(line), "{new}");
}

#[test]
fn connections_that_were_not_verified_are_used_no_more() {
    let scene = Scene::new();
    let [web, target] = [(); 2].map(|()| free_port());
    own_certificate(&scene, "site", "a.example");
    own_certificate(&scene, "other", "other");
    let nginx = format!(
        "server {{ listen 127.0.0.1:{target} ssl; ssl_certificate {0}/site.pem; ssl_certificate_key {0}/site.key; \
         keepalive_timeout 60s; return 200; add_header X-Server tls; }}",
        scene.path("").display()
    );
    let _nginx = scene.nginx(target, &nginx);
    let text = |verify: &str| {
        let group = group("app", &[target]);
        format!(
            "{}{group}protocol = 'https'\ntls = {{ verify = {verify} }}\n",
            listener("web", web, "app")
        )
    };
    let stage = Stage::with(scene, &text("'off'"), &[]);
    let mut kept = Client::new(web);
    assert_eq!(kept.ask("/"), "tls");
    stage.becomes(&text("{ ca = 'other.pem' }"));
    kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(kept.answer().starts_with("http/1.1 502 "));
}

#[test]
fn sessions_of_clients_end_with_the_authority_that_let_them_in() {
    let scene = Scene::new();
    let one = Echo::start("one");
    let port = free_port();
    own_certificate(&scene, "site", "a.example");
    join(&scene, "site-all.pem", &["site.pem", "site.key"]);
    for ca in ["old", "new"] {
        certificate(&scene, ca, Key::Ecdsa, ca, &[], Issuer::Own);
    }
    let by = Issuer::Signed("old");
    certificate(&scene, "client", Key::Ecdsa, "client", &["client"], by);
    join(&scene, "trusted.pem", &["old.pem"]);
    scene.file(
        "web.toml",
        listener("web", port, "app")
            + "protocol = 'https'\ncertificate_files = ['site-all.pem']\n\
               tls = { client_auth = 'required', client_ca = 'trusted.pem' }\n"
            + &group("app", &[one.port]),
    );
    let portway = scene.portway_with(&["web.toml"]);
    let ticket = scene.path("ticket").display().to_string();
    let comes = |more: &[&str]| {
        let own = ["-tls1_2", "-cert", "client.pem", "-key", "client.key"];
        handshake(&scene, port, &[&own, more].concat())
    };
    comes(&["-sess_out", &ticket]);
    assert!(comes(&["-sess_in", &ticket]).contains("Reused, TLSv1.2"));
    let reload = || {
        scene
            .run(PORTWAY, &["reload", "--admin", &portway.admin])
            .good()
    };
    reload();
    assert!(comes(&["-sess_in", &ticket]).contains("Reused, TLSv1.2"));
    join(&scene, "trusted.pem", &["new.pem"]);
    reload();
    let refused = comes(&["-sess_in", &ticket]);
    assert!(!refused.contains("Reused, TLSv1.2"), "{refused}");
    assert!(refused.contains("alert"), "{refused}");
}

/// A certificate and its key for `a.example` and one more name, in `all.pem`.
fn renew(scene: &Scene, name: &str) {
    let names = [name, "a.example"];
    certificate(scene, "a", Key::Ecdsa, "a.example", &names, Issuer::Own);
    join(scene, "all.pem", &["a.pem", "a.key"]);
}

pub(crate) fn reload_certificates(stage: &Stage, more: &[&str]) -> Output {
    stage.command(&[&["reload", "--certificates"], more].concat())
}

#[test]
fn certificates_are_read_again_in_the_middle_of_an_edit() {
    let scene = Scene::new();
    let one = Echo::start("one");
    let port = free_port();
    renew(&scene, "first.example");
    own_certificate(&scene, "other", "b.example");
    join(&scene, "other-all.pem", &["other.pem", "other.key"]);
    let text = listener("web", port, "app")
        + "protocol = 'https'\ncertificates = ['site', 'other']\n"
        + &group("app", &[one.port])
        + "[certificate.site]\nfile = 'all.pem'\n[certificate.other]\nfile = 'other-all.pem'\n";
    let stage = Stage::with(scene, &text, &[]);
    let scene = &stage.scene;
    let shown = |more: &[&str]| {
        let arguments = [&["-servername", "a.example"], more].concat();
        handshake(scene, port, &arguments)
    };
    let ticket = scene.path("ticket").display().to_string();
    shown(&["-tls1_2", "-sess_out", &ticket]);
    // The text is not what is at work, nor any that could be.
    fs::write(&stage.file, "[listener.web").unwrap();
    renew(scene, "second.example");
    let output = reload_certificates(&stage, &[]).good();
    assert!(output.contains("~ certificate site\n    "), "{output}");
    assert!(
        output.contains("second.example, a.example, from 20"),
        "{output}"
    );
    assert!(!output.contains("other"), "{output}");
    assert!(
        output.contains("certificates of configuration 1 are at work"),
        "{output}"
    );
    let pem = scene.read("a.pem");
    let line = pem.lines().nth(3).unwrap().to_owned();
    let new = shown(&[]);
    assert!(new.contains(&line), "{new}");
    let resumed = shown(&["-tls1_2", "-sess_in", &ticket]);
    assert!(resumed.contains("Reused, TLSv1.2"), "{resumed}");
    // All of them or none.
    renew(scene, "third.example");
    scene.file("other-all.pem", "half a certificate");
    let failed = reload_certificates(&stage, &[]);
    assert!(!failed.status.success(), "{failed}");
    assert!(
        failed.both().contains("certificate `other` cannot be used"),
        "{failed}"
    );
    assert!(shown(&[]).contains(&line));
    assert_eq!(stage.metric("portway_generation "), "1");
    join(scene, "other-all.pem", &["other.pem", "other.key"]);
    let json: Value =
        serde_json::from_str(&reload_certificates(&stage, &["--json"]).good()).unwrap();
    assert_eq!(json["certificates"][0]["name"], "site");
    assert!(
        json["certificates"][0]["names"]
            .as_str()
            .unwrap()
            .contains("third.example")
    );
    let days = json["certificates"][0]["not_after"].as_i64().unwrap()
        - json["certificates"][0]["not_before"].as_i64().unwrap();
    assert_eq!(days / 86_400, 30);
    let again = reload_certificates(&stage, &[]).good();
    assert!(again.contains("nothing has changed"), "{again}");
    let log = stage.portway.process.log();
    assert!(log.contains("(portway reload --certificates)"), "{log}");
    // The configuration is read as ever, once it is whole.
    assert_eq!(stage.becomes(&text), "");
}

#[test]
fn connections_of_clients_end_with_the_authority_that_let_them_in() {
    let scene = Scene::new();
    let one = Echo::start("one");
    let [port, plain] = [(); 2].map(|()| free_port());
    own_certificate(&scene, "site", "a.example");
    join(&scene, "site-all.pem", &["site.pem", "site.key"]);
    for ca in ["old", "new"] {
        certificate(&scene, ca, Key::Ecdsa, ca, &[], Issuer::Own);
    }
    let by = Issuer::Signed("old");
    certificate(&scene, "client", Key::Ecdsa, "client", &["client"], by);
    join(&scene, "trusted.pem", &["old.pem"]);
    let text = listener("web", port, "app")
        + "protocol = 'https'\ncertificate_files = ['site-all.pem']\n\
           tls = { client_auth = 'required', client_ca = 'trusted.pem' }\n"
        + &listener("plain", plain, "app")
        + &group("app", &[one.port]);
    let stage = Stage::with(scene, &text, &[]);
    let mut client = KeptTls::new(&stage.scene, port, "client");
    client.asks("/");
    assert!(client.answer().contains("x-server: one"));
    let mut kept = Client::new(plain);
    assert_eq!(kept.ask("/"), "one");
    // The same file again changes nothing for anybody.
    reload_certificates(&stage, &[]).good();
    client.asks("/slow/700");
    thread::sleep(Duration::from_millis(200));
    join(&stage.scene, "trusted.pem", &["new.pem"]);
    let said = reload_certificates(&stage, &[]).good();
    assert!(said.contains("~ listener web\n"), "{said}");
    // What is in progress ends well, and is the last.
    let last = client.answer();
    assert!(
        last.contains("x-server: one") && last.contains("connection: close"),
        "{last}"
    );
    client.ends();
    assert_eq!(kept.ask("/"), "one");
}
