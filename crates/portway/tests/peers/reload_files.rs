//! Files that a configuration is read from: each that changes is seen, nothing else is, and a plan says whose it is.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::certificates::{Issuer, Key, certificate, join, revocations};
use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, own_certificate, server};
use crate::support::{Scene, eventually, free_port, local};

/// Longer than files are looked at anew and have time to settle.
const LOOKED_AT: Duration = Duration::from_millis(1500);

fn generation(stage: &Stage) -> u64 {
    let generation = stage.metric("portway_generation ");
    generation.parse().unwrap()
}

/// A configuration that reads something from every kind of file.
fn with_files(scene: &Scene) -> String {
    let one = Echo::start("one");
    own_certificate(scene, "site", "a.example");
    own_certificate(scene, "next-site", "b.example");
    for ca in ["ca", "next-ca", "target-ca"] {
        certificate(scene, ca, Key::Ecdsa, ca, &[], Issuer::Own);
    }
    for ca in ["ca", "target-ca"] {
        revocations(scene, ca, &[], &format!("{ca}.crl"));
        revocations(scene, ca, &["site"], &format!("next-{ca}.crl"));
    }
    scene.file("page.http", "HTTP/1.0 503 No\r\n\r\nfirst");
    scene.file("answer.txt", "first");
    scene.file("a.map", "k first\n");
    let [tls, web] = [(); 2].map(|()| free_port());
    listener("tls", tls, "app")
        + "protocol = 'https'\ncertificates = ['site']\n\
           tls = { client_auth = 'optional', client_ca = 'ca.pem', client_crl = 'ca.crl' }\n"
        + &listener("web", web, "app")
        + "error_pages = { 503 = 'page.http' }\n\
           [[listener.web.rule]]\nwhen = 'Path(`/answer`)'\nrespond = { status = 200, file = 'answer.txt' }\n\
           [[listener.web.rule]]\nset_header = { X-Map = '${path.map(`first`)}' }\n"
        + &group("app", &[one.port])
        + &group("tls", &[one.port])
        + "protocol = 'https'\ntls = { verify = { ca = 'target-ca.pem' }, crl = 'target-ca.crl' }\n\
           [certificate.site]\nfile = 'site.pem'\nkey = 'site.key'\n\
           [map.first]\nfile = 'a.map'\n"
}

#[test]
fn a_file_of_any_kind_is_watched() {
    let scene = Scene::new();
    let text = with_files(&scene);
    let stage = Stage::with(scene, &text, &["--watch"]);
    let scene = &stage.scene;
    let copy = |from: &str, to: &str| {
        fs::copy(scene.path(from), scene.path(to)).unwrap();
    };
    let pair = || {
        copy("next-site.key", "site.key");
        copy("next-site.pem", "site.pem");
    };
    let cases: [(&str, &dyn Fn()); 8] = [
        ("a CA of clients", &|| copy("next-ca.pem", "ca.pem")),
        ("a CA of targets", &|| copy("next-ca.pem", "target-ca.pem")),
        ("a CRL of clients", &|| copy("next-ca.crl", "ca.crl")),
        ("a CRL of targets", &|| {
            copy("next-target-ca.crl", "target-ca.crl");
        }),
        ("an error page", &|| {
            scene.file("page.http", "HTTP/1.0 503 No\r\n\r\nother");
        }),
        ("a file of an answer", &|| {
            scene.file("answer.txt", "other");
        }),
        ("a map", &|| {
            scene.file("a.map", "k other\n");
        }),
        ("a certificate and its key", &pair),
    ];
    for (nth, (what, change)) in (2..).zip(cases) {
        change();
        eventually(what, || (generation(&stage) == nth).then_some(()));
    }
    // What nobody reads does not matter, nor that it has been read again.
    scene.file("other.toml", "[listener.x]\n");
    scene.file("other.pem", "none");
    thread::sleep(LOOKED_AT);
    assert_eq!(generation(&stage), 9);
}

#[test]
fn a_plan_says_whose_file_has_changed() {
    let scene = Scene::new();
    let text = with_files(&scene);
    let stage = Stage::with(scene, &text, &[]);
    let scene = &stage.scene;
    assert_eq!(stage.becomes(&text), "");
    join(scene, "ca.pem", &["next-ca.pem"]);
    assert_eq!(stage.becomes(&text), "change listener tls");
    join(scene, "ca.crl", &["next-ca.crl"]);
    assert_eq!(stage.becomes(&text), "change listener tls");
    join(scene, "target-ca.crl", &["next-target-ca.crl"]);
    assert_eq!(stage.becomes(&text), "change target_group tls");
    join(scene, "target-ca.pem", &["next-ca.pem"]);
    assert_eq!(stage.becomes(&text), "change target_group tls");
    scene.file("page.http", "HTTP/1.0 503 No\r\n\r\nother");
    assert_eq!(stage.becomes(&text), "change listener web");
    scene.file("answer.txt", "other");
    assert_eq!(stage.becomes(&text), "change listener web");
    scene.file("a.map", "k other\n");
    assert_eq!(stage.becomes(&text), "change map first");
    join(scene, "site.key", &["next-site.key"]);
    join(scene, "site.pem", &["next-site.pem"]);
    assert_eq!(stage.becomes(&text), "change certificate site");
    assert_eq!(stage.becomes(&text), "");
}

#[test]
fn a_file_that_is_missing_may_come() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let text = |port| listener("web", web, "app") + &group("app", &[port]);
    let stage = Stage::with(Scene::new(), &text(one.port), &["--watch"]);
    let failed = || stage.metric("portway_reloads_total{result=\"failed\"} ");
    let with_page = text(two.port).replace("forward", "error_pages = { 503 = 'p.http' }\nforward");
    fs::write(&stage.file, with_page).unwrap();
    eventually("the file that is missing is named", || {
        (failed() == "1").then_some(())
    });
    stage.scene.file("p.http", "HTTP/1.0 503 No\r\n\r\n");
    eventually("the file that was missing is seen", || {
        (Client::new(web).ask("/") == "two").then_some(())
    });
    // The text itself goes, and comes back as it was before the change.
    fs::remove_file(&stage.file).unwrap();
    eventually("it is gone", || (failed() == "2").then_some(()));
    fs::write(&stage.file, text(one.port)).unwrap();
    eventually("it is back", || {
        (Client::new(web).ask("/") == "one").then_some(())
    });
    thread::sleep(LOOKED_AT);
    assert_eq!((failed().as_str(), generation(&stage)), ("2", 3));
    // A folder in its place is told as that.
    fs::remove_file(&stage.file).unwrap();
    fs::create_dir(&stage.file).unwrap();
    eventually("the folder is seen", || {
        let error = &stage.portway.status()["process"]["last_reload"]["error"];
        let error = error.as_str().unwrap_or_default();
        error.contains("web.toml` is a folder").then_some(())
    });
}

#[test]
fn a_file_that_changed_before_the_first_look_is_seen() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let text = |port| listener("web", web, "app") + &group("app", &[port]);
    let stage = Stage::with(Scene::new(), &text(one.port), &["--watch"]);
    // Twice within a moment, to something as long.
    for port in [two.port, one.port, two.port] {
        fs::write(&stage.file, text(port)).unwrap();
    }
    eventually("the last of them is seen", || {
        (Client::new(web).ask("/") == "two").then_some(())
    });
    let status: Value = stage.portway.status();
    assert_eq!(status["process"]["last_reload"].get("error"), None);
    assert!(std::net::TcpStream::connect(local(web)).is_ok());
}

#[test]
fn folders_of_traefik_are_watched_with_what_is_in_them() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let scene = Scene::new();
    let web = free_port();
    let text = format!(
        "entryPoints: {{ web: {{ address: '127.0.0.1:{web}' }} }}\nproviders: {{ file: {{ directory: conf.d }} }}\n"
    );
    scene.file("traefik.yml", text);
    let router = |name: &str, port: u16| {
        format!(
            "http:\n  routers: {{ {name}: {{ rule: 'PathPrefix(`/{name}`)', service: {name} }} }}\n  services:\n    \
             {name}: {{ loadBalancer: {{ servers: [{{ url: 'http://127.0.0.1:{port}' }}] }} }}\n"
        )
    };
    // Nothing in it yet.
    fs::create_dir(scene.path("conf.d")).unwrap();
    let portway = scene.portway_with(&["traefik.yml"]);
    scene.file("conf.d/a/b/c.yml", router("c", one.port));
    let answers = |path: &str| {
        let head = Client::new(web).ask_with(path, "");
        server(&head).map(str::to_owned)
    };
    eventually("a file below is seen", || {
        (answers("/c").as_deref() == Some("one")).then_some(())
    });
    // All of it goes, and comes back elsewhere.
    fs::rename(scene.path("conf.d"), scene.path("away")).unwrap();
    eventually("the folder is missed", || {
        let log = portway.process.log();
        log.contains("cannot read the folder").then_some(())
    });
    assert_eq!(answers("/c").as_deref(), Some("one"));
    fs::remove_dir_all(scene.path("away/a")).unwrap();
    scene.file("away/d.yml", router("d", two.port));
    fs::rename(scene.path("away"), scene.path("conf.d")).unwrap();
    eventually("the folder is back", || {
        (answers("/d").as_deref() == Some("two") && answers("/c").is_none()).then_some(())
    });
}

/// A log that is a pipe which nobody reads yet.
#[test]
fn a_log_that_cannot_be_opened_yet_keeps_nobody_else_waiting() {
    let one = Echo::start("one");
    let web = free_port();
    let text = listener("web", web, "app") + &group("app", &[one.port]);
    let stage = Stage::new(&text);
    let pipe = stage.scene.path("log");
    stage
        .scene
        .run("mkfifo", &[&pipe.display().to_string()])
        .good();
    let logged = text.replace("forward", "access_log = { to = 'file:log' }\nforward");
    fs::write(&stage.file, logged).unwrap();
    thread::scope(|scope| {
        let reload = scope.spawn(|| stage.command(&["reload"]));
        thread::sleep(Duration::from_millis(300));
        assert_eq!(generation(&stage), 1);
        assert_eq!(Client::new(web).ask("/"), "one");
        let _reader = fs::File::open(&pipe).unwrap();
        let output = reload.join().unwrap();
        assert!(output.both().contains("~ listener web"), "{output}");
    });
}
