//! Answers of OCSP that Portway fetches itself, with OpenSSL's responder and client, and with responders that are dead or wrong.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::certificates::{handshake, join, sign};
use crate::ocsp::{answer, check, site};
use crate::stage::{Stage, group, listener};
use crate::support::{PORTWAY, Process, Scene, eventually, free_port};
use crate::upgrade;

/// The certificate of `site` once more, which names a responder on this port.
pub(crate) fn with_responder(scene: &Scene, port: u16, more: &str) {
    let extensions = format!(
        "subjectAltName=DNS:a.example\nauthorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/\n{more}"
    );
    scene.file("site.ext", extensions);
    sign(scene, "site", "30", "0x1234");
    join(scene, "all.pem", &["site.pem", "site.key", "ca.pem"]);
}

/// OpenSSL's responder, which says this of the certificate: `V` for good, `R` for revoked.
pub(crate) fn responder(scene: &Scene, port: u16, state: char) -> Process {
    let revoked = if state == 'R' { "260101000000Z" } else { "" };
    let index = format!("{state}\t350101000000Z\t{revoked}\t1234\tunknown\t/CN=a\n");
    scene.file("index.txt", index);
    let port_text = port.to_string();
    let what = [
        "ocsp",
        "-port",
        &port_text,
        "-index",
        "index.txt",
        "-CA",
        "ca.pem",
        "-ndays",
        "1",
    ];
    let how = ["-rsigner", "ca.pem", "-rkey", "ca.key", "-ignore_err"];
    let process = scene.spawn("openssl", &[&what[..], &how].concat());
    // A connection that says nothing would be its last.
    eventually("the responder waits", || {
        process.log().contains("waiting for").then_some(())
    });
    process
}

fn text(port: u16, certificate: &str) -> String {
    listener("web", port, "app")
        + "protocol = 'https'\ncertificates = ['site']\n"
        + &group("app", &[9])
        + "[certificate.site]\nfile = 'all.pem'\nocsp_fetch = true\n"
        + certificate
}

/// Again every second.
const OFTEN: &str = "ocsp_min_refresh = '1s'\nocsp_max_refresh = '1s'\n";

pub(crate) fn is_stapled(scene: &Scene, port: u16) -> bool {
    let said = handshake(scene, port, &["-status", "-servername", "a.example"]);
    said.contains("Cert Status: good")
}

fn fetches(stage: &Stage, result: &str) -> u64 {
    let line = format!("portway_ocsp_fetches_total{{result=\"{result}\"}} ");
    stage.metric(&line).parse().unwrap()
}

/// Waits until as many more fetches have ended so.
fn wait_for(stage: &Stage, result: &str, more: u64) {
    let wanted = fetches(stage, result) + more;
    eventually(format!("{wanted} fetches are {result}"), || {
        (fetches(stage, result) >= wanted).then_some(())
    });
}

#[test]
fn answers_are_fetched_and_outlive_reloads_responders_and_processes() {
    let scene = Scene::new();
    site(&scene);
    let (port, asked) = (free_port(), free_port());
    with_responder(&scene, asked, "");
    let authority = responder(&scene, asked, 'V');
    let arguments = ["--state-dir", "state"];
    let stage = Stage::with(scene, &text(port, ""), &arguments);
    eventually("the answer is shown", || {
        is_stapled(&stage.scene, port).then_some(())
    });
    check(&stage.scene, port, true);
    assert_eq!(fetches(&stage, "ok"), 1);
    let until = stage.metric("portway_certificate_ocsp_until_seconds{certificate=\"site\"} ");
    let expires = stage.metric("portway_certificate_not_after_seconds{certificate=\"site\"} ");
    let [until, expires] = [until, expires].map(|it| it.parse::<u64>().unwrap());
    assert!(0 < until && until < expires, "{until} {expires}");

    // A reload leaves it: with what is new beside it, with its certificate read again, and with another name for it.
    let more = text(port, "") + &group("more", &[8]);
    stage.becomes(&more);
    check(&stage.scene, port, true);
    stage.command(&["reload", "--certificates"]).good();
    check(&stage.scene, port, true);
    stage.becomes(
        &text(port, "")
            .replace("site'", "page'")
            .replace("e.site", "e.page"),
    );
    check(&stage.scene, port, true);
    assert_eq!(fetches(&stage, "ok"), 1);

    // The responder dies: fetches fail, and what is known stays.
    drop(authority);
    stage.becomes(&text(port, OFTEN));
    wait_for(&stage, "failed", 2);
    check(&stage.scene, port, true);
    let log = stage.portway.stop();
    assert!(
        log.contains("there is no new answer of OCSP for certificate site from http://127.0.0.1:"),
        "{log}"
    );
    assert!(
        log.contains("clients are shown one that is true until"),
        "{log}"
    );

    // The next process shows it from its first handshake on.
    let next = Stage::with(stage.scene, &text(port, ""), &arguments);
    check(&next.scene, port, true);
    assert_eq!(fetches(&next, "ok"), 0);
    next.portway.stop();
}

#[test]
fn what_is_revoked_is_not_called_good_any_more() {
    let scene = Scene::new();
    site(&scene);
    let (port, asked) = (free_port(), free_port());
    with_responder(&scene, asked, "");
    let authority = responder(&scene, asked, 'V');
    let stage = Stage::with(scene, &text(port, OFTEN), &["--state-dir", "state"]);
    eventually("the answer is shown", || {
        is_stapled(&stage.scene, port).then_some(())
    });
    drop(authority);
    let authority = responder(&stage.scene, asked, 'R');
    eventually("nothing is shown", || {
        (!is_stapled(&stage.scene, port)).then_some(())
    });
    check(&stage.scene, port, false);
    let revoked = eventually("a count", || {
        Some(fetches(&stage, "revoked")).filter(|it| *it > 0)
    });
    assert!(revoked > 0);
    // Status says so, also of the certificate of another configuration.
    for round in ["before", "after"] {
        let said = stage.command(&["status"]).good();
        let line = said.lines().find(|it| it.starts_with("site "));
        let is_revoked = line.is_some_and(|it| it.ends_with(" revoked"));
        assert!(is_revoked, "{round} a reload: {said}");
        let status = stage.portway.status();
        assert_eq!(status["certificates"][0]["revoked"], true, "{status:#}");
        stage
            .scene
            .file("web.toml", text(port, OFTEN) + "# another\n");
        stage.command(&["reload"]).good();
    }
    // Nor by the next process.
    drop(authority);
    let log = stage.portway.stop();
    let said = "it says that the certificate is revoked; clients are shown none";
    assert!(log.contains(said), "{log}");
    let next = Stage::with(stage.scene, &text(port, ""), &["--state-dir", "state"]);
    check(&next.scene, port, false);
    // A hold that ends.
    let _authority = responder(&next.scene, asked, 'V');
    eventually("it is shown again", || {
        is_stapled(&next.scene, port).then_some(())
    });
    let status = next.portway.status();
    assert!(status["certificates"][0]["revoked"].is_null(), "{status:#}");
    next.portway.stop();
}

/// What a responder of our own says to whoever asks: the bytes of whole answers, for GET and for POST. It says nothing where there
/// are none.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<[Vec<u8>; 2]>>);

impl Script {
    fn says(&self, status: &str, body: &[u8]) {
        *self.0.lock().unwrap() = [http(status, body), http(status, body)];
    }

    fn serve(&self) -> u16 {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let script = self.clone();
        thread::spawn(move || {
            for stream in socket.incoming() {
                let script = script.clone();
                thread::spawn(move || script.answer(stream.unwrap()));
            }
        });
        port
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut asked = [0; 4096];
        let length = stream.read(&mut asked).unwrap_or(0);
        let by_post = asked[..length].starts_with(b"POST");
        let said = self.0.lock().unwrap()[usize::from(by_post)].clone();
        if said.is_empty() {
            thread::sleep(Duration::from_secs(60));
        }
        let _ = stream.write_all(&said);
    }
}

fn http(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/ocsp-response\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn wrong_answers_do_not_replace_good_ones() {
    let scene = Scene::new();
    site(&scene);
    let script = Script::default();
    let (port, asked) = (free_port(), script.serve());
    let bytes = |scene: &Scene, name: &str| fs::read(scene.path(name)).unwrap();
    let made = |scene: &Scene, certificate: &str, signer: &str| {
        answer(scene, certificate, 'V', signer, "made.der");
        bytes(scene, "made.der")
    };
    let good = made(&scene, "site", "ca");
    let by_another = made(&scene, "site", "stranger");
    let of_another = made(&scene, "other", "ca");
    let mut damaged = good.clone();
    let middle = damaged.len() / 3;
    damaged[middle] ^= 1;
    let more = format!("ocsp_responder = 'http://127.0.0.1:{asked}/of/site'\n{OFTEN}");
    script.says("200 OK", &by_another);
    let stage = Stage::with(scene, &text(port, &more), &[]);
    wait_for(&stage, "refused", 1);
    check(&stage.scene, port, false);
    script.says("200 OK", &good);
    eventually("the answer is shown", || {
        is_stapled(&stage.scene, port).then_some(())
    });
    let too_large = vec![0x30; 70_000];
    for (status, body, result) in [
        ("200 OK", &by_another, "refused"),
        ("200 OK", &of_another, "refused"),
        ("200 OK", &damaged, "refused"),
        ("200 OK", &b"no DER".to_vec(), "refused"),
        // `tryLater`.
        ("200 OK", &vec![0x30, 3, 10, 1, 3], "refused"),
        ("200 OK", &too_large, "failed"),
        ("200 OK", &Vec::new(), "refused"),
        ("302 Found", &good, "failed"),
        ("500 Internal Server Error", &good, "failed"),
    ] {
        script.says(status, body);
        // What was on its way before may end otherwise.
        wait_for(&stage, result, 2);
        check(&stage.scene, port, true);
    }
    // A responder that takes no GET is asked with POST.
    *script.0.lock().unwrap() = [http("405 No", b""), http("200 OK", &good)];
    wait_for(&stage, "ok", 2);
    // So is one that says with OCSP that it does not understand a GET (`malformedRequest`), or says nothing of OCSP.
    for by_get in [&[0x30, 3, 10, 1, 1][..], b"", b"<html>"] {
        *script.0.lock().unwrap() = [http("200 OK", by_get), http("200 OK", &good)];
        wait_for(&stage, "ok", 2);
    }
    // What OCSP says is told where there is no POST.
    *script.0.lock().unwrap() = [http("200 OK", &[0x30, 3, 10, 1, 6]), http("405 No", b"")];
    wait_for(&stage, "refused", 2);
    check(&stage.scene, port, true);
    // One that says nothing is given up, and nobody waits for it meanwhile; silence says nothing of the method, and POST is not tried.
    *script.0.lock().unwrap() = [Vec::new(), http("200 OK", &good)];
    wait_for(&stage, "failed", 1);
    check(&stage.scene, port, true);
    let log = stage.portway.stop();
    for said in [
        "it is not signed by the issuer of the certificate, or for it",
        "it is of another certificate",
        "this is no answer of OCSP (in DER)",
        "the responder says to try later",
        "the responder does not speak of this certificate",
        "the answer has more than 65536 bytes",
        "the answer was 302",
        "no answer within 10s",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
}

#[test]
fn a_certificate_that_must_have_an_answer_and_has_none_is_told() {
    let scene = Scene::new();
    site(&scene);
    let (port, dead) = (free_port(), free_port());
    with_responder(&scene, dead, "tlsfeature=status_request\n");
    let without = text(port, "").replace("ocsp_fetch = true\n", "");
    scene.file("without.toml", without);
    let said = scene.run(PORTWAY, &["check", "without.toml"]).both();
    assert!(
        said.contains("asks for an answer of OCSP") && said.contains("(must-staple)"),
        "{said}"
    );
    let stage = Stage::with(scene, &text(port, OFTEN), &[]);
    wait_for(&stage, "failed", 1);
    let said = stage.command(&["status"]).good();
    assert!(said.contains("no answer of OCSP"), "{said}");
    let log = stage.portway.stop();
    let said =
        "clients are shown none, and those that heed the certificate (must-staple) refuse it";
    assert!(log.contains(said), "{log}");
    // Who asks for what cannot be had is told why.
    let scene = stage.scene;
    join(&scene, "all.pem", &["site.pem", "site.key"]);
    let said = scene.run(PORTWAY, &["check", "web.toml"]).both();
    assert!(said.contains("its issuer is not known"), "{said}");
    let wrong = text(port, "").replace(
        "ocsp_fetch = true\n",
        "ocsp_fetch = true\nissuer = 'other.pem'\n",
    );
    scene.file("wrong.toml", wrong);
    let said = scene.run(PORTWAY, &["check", "wrong.toml"]).both();
    assert!(
        said.contains("no certificate in the file of its issuer has signed it"),
        "{said}"
    );
    join(&scene, "all.pem", &["other.pem", "other.key", "ca.pem"]);
    let said = scene.run(PORTWAY, &["check", "web.toml"]).both();
    assert!(
        said.contains("it does not say whom to ask over HTTP"),
        "{said}"
    );
}

#[test]
fn an_answer_that_is_due_at_an_upgrade_costs_nobody_the_folder() {
    let scene = Scene::new();
    site(&scene);
    let script = Script::default();
    let (port, asked) = (free_port(), script.serve());
    answer(&scene, "site", 'V', "ca", "made.der");
    script.says("200 OK", &fs::read(scene.path("made.der")).unwrap());
    let with = |groups: u64| {
        let more = (0..groups).map(|it| group(&format!("more{it}"), &[8]));
        let responder = format!("ocsp_responder = 'http://127.0.0.1:{asked}/'\n");
        text(port, &responder) + &more.collect::<String>()
    };
    let stage = upgrade::Stage::with(scene, &with(0), &["--state-dir", "state"]);
    let folder = stage.scene.path("state");
    let has_answer = || {
        let mut kept = fs::read_dir(folder.join("ocsp")).ok()?.flatten();
        kept.any(|it| it.path().extension().is_some_and(|it| it == "der"))
            .then_some(())
    };
    eventually("the answer is kept", has_answer);
    for generation in 1..6 {
        // Who does not find it asks at once, while the process before has the folder still.
        fs::remove_dir_all(folder.join("ocsp")).unwrap();
        stage.upgrade();
        eventually("the answer is kept again", has_answer);
        fs::write(&stage.file, with(generation)).unwrap();
        stage.command(&["reload"]).good();
        let written = folder.join(format!("generations/{:08}.toml", generation + 1));
        eventually("the history is written", || written.exists().then_some(()));
    }
    assert!(!stage.first.log().contains("cannot be kept"));
}

/// What a control socket answers.
fn command(scene: &Scene, line: &str) -> String {
    use std::os::unix::net::UnixStream;
    let mut stream = UnixStream::connect(scene.path("control.sock")).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_certificate_that_is_renewed_by_command_has_its_answers_fetched_still() {
    let scene = Scene::new();
    site(&scene);
    let (port, dead) = (free_port(), free_port());
    with_responder(&scene, dead, "");
    let list = "all.pem [alpn http/1.1] b.example\nall.pem [ocsp-update on] a.example\n";
    scene.file("list", list);
    let control = scene.path("control.sock");
    scene.file(
        "haproxy.cfg",
        format!(
            "global\n stats socket {} level admin\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen web\n bind 127.0.0.1:{port} ssl crt-list list\n server a 127.0.0.1:9\n",
            control.display()
        ),
    );
    let portway = scene.portway_with(&["haproxy.cfg"]);
    let renew = |scene: &Scene| {
        let pem = fs::read_to_string(scene.path("all.pem")).unwrap();
        let said = command(scene, &format!("set ssl cert all.pem <<\n{pem}\n"));
        assert!(said.contains("Transaction created"), "{said}");
        let said = command(scene, "commit ssl cert all.pem");
        assert!(said.contains("Success!"), "{said}");
        command(scene, "show ssl ocsp-updates")
    };
    let said = command(&scene, "show ssl ocsp-updates");
    assert!(said.contains("all.pem"), "{said}");
    let said = renew(&scene);
    assert!(said.contains("all.pem"), "{said}");
    // Without its issuer nobody can be asked, which is told.
    join(&scene, "all.pem", &["site.pem", "site.key"]);
    let said = renew(&scene);
    assert!(!said.contains("all.pem"), "{said}");
    let log = portway.stop();
    assert!(log.contains("its issuer is not known"), "{log}");
}

#[test]
fn a_haproxy_file_has_answers_fetched_shown_and_set() {
    let scene = Scene::new();
    site(&scene);
    let (port, asked) = (free_port(), free_port());
    with_responder(&scene, asked, "");
    // The issuer lies beside it.
    join(&scene, "all.pem", &["site.pem", "site.key"]);
    join(&scene, "all.pem.issuer", &["ca.pem"]);
    scene.file("list", "all.pem [ocsp-update on] a.example\n");
    let control = scene.path("control.sock");
    scene.file(
        "haproxy.cfg",
        format!(
            "global\n stats socket {} level admin\n tune.ssl.ocsp-update.mindelay 10\n tune.ssl.ocsp-update.maxdelay 600\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen web\n bind 127.0.0.1:{port} ssl crt-list list\n server a 127.0.0.1:9\n",
            control.display()
        ),
    );
    let native = scene.run(PORTWAY, &["convert", "haproxy.cfg"]).good();
    for line in [
        "ocsp_fetch = true",
        "issuer = \"all.pem.issuer\"",
        "ocsp_max_refresh = \"10m\"",
    ] {
        assert!(native.contains(line), "{line}: {native}");
    }
    let portway = scene.portway_with(&["haproxy.cfg"]);
    // Nobody is there to be asked: an answer is given by command.
    eventually("a fetch has failed", || {
        let said = command(&scene, "show ssl ocsp-updates");
        said.contains(" | 0 | 1 | 2 | ").then_some(())
    });
    let said = command(&scene, "show ssl ocsp-response");
    assert!(said.contains("Serial Number: 1234"), "{said}");
    let said = command(&scene, "show ssl ocsp-response all.pem");
    assert!(said.contains("There is no answer"), "{said}");
    answer(&scene, "site", 'V', "ca", "made.der");
    let text = scene
        .run("openssl", &["base64", "-A", "-in", "made.der"])
        .good();
    let said = command(&scene, &format!("set ssl ocsp-response {}", text.trim()));
    assert!(said.contains("OCSP Response updated!"), "{said}");
    check(&scene, port, true);
    for wrong in ["", " !!", " aaaa"] {
        let said = command(&scene, &format!("set ssl ocsp-response{wrong}"));
        assert!(!said.contains("updated"), "{wrong}: {said}");
    }
    check(&scene, port, true);
    let said = command(&scene, "show ssl ocsp-response all.pem");
    assert!(
        said.contains("Cert Status: good") && said.contains("Next Update: "),
        "{said}"
    );
    let said = command(&scene, "show ssl ocsp-response base64 all.pem");
    assert_eq!(said.trim(), text.trim());
    let said = command(&scene, "show ssl cert all.pem");
    assert!(said.contains("OCSP Response Key: 303b3009"), "{said}");
    // Asked by command, whoever is there now answers.
    let _authority = responder(&scene, asked, 'V');
    let said = command(&scene, "update ssl ocsp-response all.pem");
    assert_eq!(said.trim(), "");
    eventually("a fetch has succeeded", || {
        let said = command(&scene, "show ssl ocsp-updates");
        said.contains("Update successful").then_some(())
    });
    check(&scene, port, true);
    portway.stop();
}
