//! Revocation lists that change while Portway serves, and our own certificate towards targets.

use std::thread;
use std::time::Duration;

use crate::certificates::{
    Issuer, KeptTls, Key, certificate, expired_revocations, handshake, join, revocations,
};
use crate::echo::Echo;
use crate::edge;
use crate::reload_tls::reload_certificates;
use crate::stage::{Stage, group, listener, own_certificate};
use crate::support::{PORTWAY, Scene, eventually, free_port, local};
use crate::upgrade;

/// An authority `ca` with a list `crl.pem` of nobody yet, and certificates of it for `a.example`.
fn family(scene: &Scene, names: &[&str]) {
    certificate(scene, "ca", Key::Ecdsa, "ca", &[], Issuer::Own);
    for name in names {
        let by = Issuer::Signed("ca");
        certificate(scene, name, Key::Ecdsa, name, &["a.example"], by);
    }
    revocations(scene, "ca", &[], "crl.pem");
}

/// A listener that lets clients of `ca` in, unless they are revoked.
fn asking(port: u16, app: &Echo) -> String {
    listener("web", port, "app")
        + "protocol = 'https'\ncertificate_files = ['site-all.pem']\n\
           tls = { client_auth = 'required', client_ca = 'ca.pem', client_crl = 'crl.pem' }\n"
        + &group("app", &[app.port])
}

fn with_clients(scene: &Scene) {
    family(scene, &["client", "other"]);
    own_certificate(scene, "site", "a.example");
    join(scene, "site-all.pem", &["site.pem", "site.key"]);
}

/// What a handshake of this client comes to.
fn comes(scene: &Scene, port: u16, name: &str, more: &[&str]) -> String {
    let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
    let own = ["-cert", &certificate, "-key", &key];
    handshake(scene, port, &[&own, more].concat())
}

#[track_caller]
fn refused(said: &str) {
    assert!(
        said.contains("alert") && !said.contains("Reused, "),
        "{said}"
    );
}

#[test]
fn a_client_that_is_revoked_is_out() {
    let scene = Scene::new();
    let (app, port) = (Echo::start("app"), free_port());
    with_clients(&scene);
    let stage = Stage::with(scene, &asking(port, &app), &[]);
    let scene = &stage.scene;
    let ticket = scene.path("ticket").display().to_string();
    let twelve =
        |name: &str, more: &[&str]| comes(scene, port, name, &[&["-tls1_2"], more].concat());
    twelve("client", &["-sess_out", &ticket]);
    assert!(twelve("client", &["-sess_in", &ticket]).contains("Reused, TLSv1.2"));
    let mut kept = KeptTls::new(scene, port, "client");
    kept.asks("/");
    assert!(kept.answer().contains("x-server: app"));
    // The same list again changes nothing for anybody.
    reload_certificates(&stage, &[]).good();
    assert!(twelve("client", &["-sess_in", &ticket]).contains("Reused, TLSv1.2"));
    kept.asks("/slow/700");
    thread::sleep(Duration::from_millis(200));
    revocations(scene, "ca", &["client"], "crl.pem");
    let said = reload_certificates(&stage, &[]).good();
    assert!(said.contains("~ listener web\n"), "{said}");
    // What is in progress ends well, and is the last.
    let last = kept.answer();
    assert!(
        last.contains("x-server: app") && last.contains("connection: close"),
        "{last}"
    );
    kept.ends();
    refused(&twelve("client", &["-sess_in", &ticket]));
    refused(&twelve("client", &[]));
    // A client of TLS 1.3 is through before it is told: it waits for the word.
    refused(&comes(scene, port, "client", &["-tls1_3", "-ign_eof"]));
    // Nobody else is.
    let mut other = KeptTls::new(scene, port, "other");
    other.asks("/");
    assert!(other.answer().contains("x-server: app"));
    assert!(!twelve("other", &[]).contains("alert"));
}

#[test]
fn a_list_that_is_new_at_an_upgrade_counts() {
    let scene = Scene::new();
    let (app, port) = (Echo::start("app"), free_port());
    with_clients(&scene);
    let stage = upgrade::Stage::with(scene, &asking(port, &app), &[]);
    let scene = &stage.scene;
    let session = |name: &str| scene.path(&format!("{name}.ticket")).display().to_string();
    let again = |name: &str| comes(scene, port, name, &["-tls1_2", "-sess_in", &session(name)]);
    for name in ["client", "other"] {
        let out = ["-tls1_2", "-sess_out", &session(name)];
        comes(scene, port, name, &out);
    }
    stage.upgrade();
    for name in ["client", "other"] {
        let resumed = again(name);
        assert!(resumed.contains("Reused, TLSv1.2"), "{resumed}");
    }
    revocations(scene, "ca", &["client"], "crl.pem");
    stage.upgrade();
    refused(&again("client"));
    assert!(!again("other").contains("alert"));
}

/// nginx that shows this certificate, and says so.
fn shows(name: &str, port: u16) -> String {
    format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {name}.pem; ssl_certificate_key {name}.key;\n\
         location / {{ return 200 \"{name}\"; }} }}\n"
    )
}

/// A target's certificate is refused for this: the metric, the log and the health check say so.
fn refuses(stage: &Stage, port: u16, reason: &str, words: &str) {
    let line = format!(
        "portway_target_tls_handshake_failures_total{{target_group=\"app\",target=\"127.0.0.1:{port}\",reason=\"{reason}\"}} "
    );
    assert_ne!(stage.metric(&line), "0", "{reason}");
    eventually(format_args!("the check says {words}"), || {
        let (health, why) = stage.portway.health("app", local(port));
        (health == "unhealthy" && why.contains(words)).then_some(())
    });
    let said = format!("TLS with target 127.0.0.1:{port} of app failed ");
    let log = stage.portway.process.log();
    let said = |line: &&str| line.contains(&said) && line.contains(words);
    assert!(log.lines().any(|it| said(&it)), "{words}: {log}");
}

/// A health check by which targets that are refused are asked all the same.
const CHECKED: &str = "when_none_healthy = 'fail_open'\n\
    health_check = { https = '/', interval = '200ms', unhealthy_threshold = 1, healthy_threshold = 1 }\n";

/// Who answers so many requests, one connection each; `-`: nobody.
fn answers(scene: &Scene, port: u16, count: usize) -> Vec<String> {
    let url = format!("http://127.0.0.1:{port}/");
    let ask = |_| {
        let output = scene.curl(&["-f", "-m", "20", &url]);
        match output.status.success() {
            true => output.stdout.trim().to_owned(),
            false => "-".to_owned(),
        }
    };
    (0..count).map(ask).collect()
}

#[test]
fn a_target_that_is_revoked_is_not_believed() {
    let scene = Scene::new();
    family(&scene, &["one", "two"]);
    let [web, one, two, dead] = [(); 4].map(|()| free_port());
    let _servers = scene.nginx(two, &(shows("one", one) + &shows("two", two)));
    let text = listener("web", web, "app")
        + &group("app", &[one, two, dead])
        + "protocol = 'https'\nretries = 3\n\
           tls = { verify = { ca = 'ca.pem' }, crl = 'crl.pem', server_name = 'a.example' }\n";
    let stage = Stage::with(scene, &text, &[]);
    let scene = &stage.scene;
    let both = answers(scene, web, 12);
    for name in ["one", "two"] {
        assert!(both.iter().any(|it| it == name), "{both:?}");
    }
    assert!(!both.contains(&"-".to_owned()), "{both:?}");
    // Connections to it that are kept are of no use either; requests go on to the other.
    revocations(scene, "ca", &["one"], "crl.pem");
    assert_eq!(stage.becomes(&text), "change target_group app");
    assert_eq!(answers(scene, web, 12), vec!["two"; 12]);
    revocations(scene, "ca", &["one", "two"], "crl.pem");
    assert_eq!(stage.becomes(&text), "change target_group app");
    assert_eq!(answers(scene, web, 4), vec!["-"; 4]);
    revocations(scene, "ca", &["two"], "crl.pem");
    assert_eq!(stage.becomes(&text), "change target_group app");
    assert_eq!(answers(scene, web, 12), vec!["one"; 12]);
}

/// A list that is over says of nobody that he is not revoked, as with OpenSSL: an attacker who keeps a new one away gains nothing.
#[test]
fn a_list_that_has_expired_lets_nobody_in() {
    let scene = Scene::new();
    let (app, port) = (Echo::start("app"), free_port());
    with_clients(&scene);
    expired_revocations(&scene, "ca", "crl.pem");
    let text = asking(port, &app);
    scene.file("own.toml", &text);
    let said = scene.run(PORTWAY, &["check", "own.toml"]).both();
    assert!(
        said.contains("the revocation list of `CN=ca` expired on 2020-02-01"),
        "{said}"
    );
    let stage = Stage::with(scene, &text, &[]);
    let scene = &stage.scene;
    refused(&comes(scene, port, "client", &["-tls1_2"]));
    let over = "portway_revocation_list_next_update_seconds{issuer=\"CN=ca\"} ";
    let failed =
        "portway_listener_tls_handshake_failures_total{listener=\"web\",reason=\"crl_expired\"} ";
    assert_eq!(stage.metric(over), "1580515200");
    assert_eq!(stage.metric(failed), "1");
    let told = stage.command(&["status"]).good();
    assert!(
        told.contains("CN=ca") && told.contains("expired") && told.contains("revocation list"),
        "{told}"
    );
    let told = stage.command(&["status", "--json"]).good();
    assert!(told.contains("1580515200"), "{told}");
    // A new one beside it counts, wherever it stands.
    let old = scene.read("crl.pem");
    revocations(scene, "ca", &["other"], "crl.pem");
    let new = scene.read("crl.pem");
    for both in [new.clone() + &old, old + &new] {
        scene.file("crl.pem", both);
        reload_certificates(&stage, &[]).good();
        assert!(!comes(scene, port, "client", &["-tls1_2"]).contains("alert"));
        refused(&comes(scene, port, "other", &["-tls1_2"]));
    }
    assert_eq!(stage.metric(failed), "1");
    assert!(stage.metric(over).parse::<u64>().unwrap() > 1_580_515_200);
    let told = stage.command(&["status"]).good();
    assert!(!told.contains("revocation list"), "{told}");
}

#[test]
fn a_target_whose_list_has_expired_is_not_believed() {
    let scene = Scene::new();
    family(&scene, &["one"]);
    let [web, one] = [(); 2].map(|()| free_port());
    let _servers = scene.nginx(one, &shows("one", one));
    let text = |judge: &str| {
        listener("web", web, "app")
            + &group("app", &[one])
            + &format!(
                "protocol = 'https'\ntls = {{ verify = {{ ca = 'ca.pem' }}, crl = 'crl.pem', \
                 server_name = 'a.example', judge = '{judge}' }}\n"
            )
            + CHECKED
    };
    let stage = Stage::with(scene, &text("portway"), &[]);
    let scene = &stage.scene;
    assert_eq!(answers(scene, web, 1), ["one"]);
    for judge in ["portway", "openssl"] {
        expired_revocations(scene, "ca", "crl.pem");
        stage.becomes(&text(judge));
        assert_eq!(answers(scene, web, 1), ["-"], "{judge}");
        refuses(
            &stage,
            one,
            "crl_expired",
            "the revocation list of its authority",
        );
        revocations(scene, "ca", &["one"], "crl.pem");
        stage.becomes(&text(judge));
        assert_eq!(answers(scene, web, 1), ["-"], "{judge}");
        refuses(
            &stage,
            one,
            "certificate_revoked",
            "the certificate is revoked",
        );
        revocations(scene, "ca", &[], "crl.pem");
        stage.becomes(&text(judge));
        assert_eq!(answers(scene, web, 1), ["one"], "{judge}");
    }
}

#[test]
fn our_certificate_towards_targets_may_change() {
    let scene = Scene::new();
    family(&scene, &["first", "second", "third", "server"]);
    for name in ["first", "second", "server"] {
        let parts = [format!("{name}.pem"), format!("{name}.key")];
        let parts = parts.each_ref().map(String::as_str);
        join(&scene, &format!("{name}-all.pem"), &parts);
    }
    let [web, target, dead] = [(); 3].map(|()| free_port());
    let _haproxy = edge::haproxy(
        &scene,
        target,
        &format!(
            "frontend it\n    bind 127.0.0.1:{target} ssl crt server-all.pem ca-file ca.pem verify required\n    \
             http-request return status 200 content-type text/plain lf-string \"%[ssl_c_s_dn(CN)]\"\n"
        ),
    );
    let text = |targets: &[u16], file: &str| {
        let certificate = match file {
            "" => String::new(),
            _ => format!(", certificate = 'ours' }}\n[certificate.ours]\nfile = '{file}'\n"),
        };
        let end = if file.is_empty() { " }\n" } else { "" };
        listener("web", web, "app")
            + &group("app", targets)
            + "protocol = 'https'\nretries = 1\ntls = { verify = 'off'"
            + &certificate
            + end
    };
    let all = [dead, target];
    let stage = Stage::with(scene, &text(&all, "first-all.pem"), &[]);
    let scene = &stage.scene;
    assert_eq!(answers(scene, web, 6), vec!["first"; 6]);
    // No connection that was made with the one before is used.
    stage.becomes(&text(&all, "second-all.pem"));
    assert_eq!(answers(scene, web, 6), vec!["second"; 6]);
    join(scene, "second-all.pem", &["third.pem", "third.key"]);
    reload_certificates(&stage, &[]).good();
    assert_eq!(answers(scene, web, 6), vec!["third"; 6]);
    stage.becomes(&text(&all, ""));
    assert_eq!(answers(scene, web, 4), vec!["-"; 4]);
    stage.becomes(&text(&all, "first-all.pem"));
    assert_eq!(answers(scene, web, 6), vec!["first"; 6]);
    stage.becomes(&text(&[dead], "first-all.pem"));
    assert_eq!(answers(scene, web, 2), vec!["-"; 2]);
    stage.becomes(&text(&[target], "first-all.pem"));
    assert_eq!(answers(scene, web, 2), vec!["first"; 2]);
}
