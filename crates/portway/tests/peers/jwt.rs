//! Requests with tokens: good ones go on, others do not, whatever becomes of whoever gives the keys.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::certificates::{Issuer, Key, certificate};
use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{Scene, eventually, free_port, local};
use crate::upgrade;

/// Whoever gives keys: what it answers can be changed.
pub(crate) struct Keys {
    pub(crate) port: u16,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Keys {
    pub(crate) fn start(body: &str) -> Self {
        Self::start_at(0, body)
    }

    fn start_at(port: u16, body: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new((200, body.to_owned())));
        let (asked, ended): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
        let shared = (answer.clone(), asked.clone(), ended.clone());
        let thread = thread::spawn(move || {
            let (answer, asked, ended) = shared;
            for mut stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head = lines.map_while(Result::ok).take_while(|it| !it.is_empty());
                if head.count() == 0 {
                    continue;
                }
                asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answer.lock().unwrap().clone();
                if status == 0 {
                    // It hangs.
                    thread::spawn(move || {
                        thread::sleep(Duration::from_secs(60));
                        drop(stream);
                    });
                    continue;
                }
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(text.as_bytes());
            }
        });
        Self {
            port,
            answer,
            asked,
            ended,
            thread,
        }
    }

    /// Nobody is there any more: who connects is refused.
    fn die(self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(local(self.port)));
        self.thread.join().unwrap();
    }

    pub(crate) fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..=chunk.len() {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(char::from(letter));
        }
    }
    text
}

pub(crate) fn openssl(scene: &Scene, arguments: &[&str]) {
    scene.run("openssl", arguments).good();
}

/// Makes a key of P-256 with OpenSSL; its member of a set.
pub(crate) fn ec_key(scene: &Scene, name: &str) -> String {
    let (key, public) = (format!("{name}.ec"), format!("{name}.pub"));
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    openssl(scene, &[&["genpkey", "-out", &key][..], &curve].concat());
    let out = [
        "pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", &public,
    ];
    openssl(scene, &out);
    let der = fs::read(scene.path(&public)).unwrap();
    let (x, y) = der[der.len() - 64..].split_at(32);
    let (x, y) = (base64url(x), base64url(y));
    format!(r#"{{"kty":"EC","crv":"P-256","kid":"{name}","use":"sig","x":"{x}","y":"{y}"}}"#)
}

pub(crate) fn set(keys: &[&str]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// The two numbers of a signature of ECDSA, side by side, from DER: each has so many bytes.
pub(crate) fn side_by_side(der: &[u8], bytes: usize) -> Vec<u8> {
    // A length of 128 and more takes a byte more.
    let head = if der[1] < 0x80 { 2 } else { 3 };
    let mut rest: VecDeque<u8> = der.iter().copied().skip(head).collect();
    let mut out = Vec::new();
    for _ in 0..2 {
        rest.pop_front();
        let length = usize::from(rest.pop_front().unwrap());
        let number: Vec<u8> = rest.drain(..length).collect();
        let number = &number[number.len().saturating_sub(bytes)..];
        out.extend(std::iter::repeat_n(0, bytes - number.len()));
        out.extend(number);
    }
    out
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Signs as OpenSSL does with these options.
fn signed(scene: &Scene, header: &str, claims: &str, options: &[&str], ec: bool) -> String {
    let text = format!(
        "{}.{}",
        base64url(header.as_bytes()),
        base64url(claims.as_bytes())
    );
    scene.file("signed.txt", &text);
    let sign = ["dgst", "-sha256", "-binary", "-out", "signature.bin"];
    openssl(scene, &[&sign[..], options, &["signed.txt"]].concat());
    let mut signature = fs::read(scene.path("signature.bin")).unwrap();
    if ec {
        signature = side_by_side(&signature, 32);
    }
    format!("{text}.{}", base64url(&signature))
}

/// A token of ours, by the key of this name.
pub(crate) fn token(scene: &Scene, key: &str, claims: &str) -> String {
    let header = format!(r#"{{"alg":"ES256","kid":"{key}"}}"#);
    signed(
        scene,
        &header,
        claims,
        &["-sign", &format!("{key}.ec")],
        true,
    )
}

/// A web listener that asks for a token.
pub(crate) fn asking(port: u16, jwt: &str, app: u16) -> String {
    format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\n\
         [[listener.web.rule]]\njwt = {{ {jwt} }}\n[[listener.web.rule]]\nforward = 'app'\n"
    ) + &group("app", &[app])
}

/// Asks with this token; head and body of the answer.
pub(crate) fn ask(stage: &Stage, port: u16, token: &str, more: &[&str]) -> String {
    ask_from(&stage.scene, port, token, more)
}

fn ask_from(scene: &Scene, port: u16, token: &str, more: &[&str]) -> String {
    let url = format!("http://127.0.0.1:{port}/page");
    let authorization = format!("Authorization: Bearer {token}");
    let mut arguments = vec!["-s", "-i", "-m", "20", "-H", &authorization];
    more.iter()
        .for_each(|header| arguments.extend(["-H", header]));
    arguments.push(&url);
    scene.curl(&arguments).good()
}

#[track_caller]
pub(crate) fn refused(answer: &str, why: &str) {
    let challenge = format!(
        "WWW-Authenticate: Bearer realm=\"api\", error=\"invalid_token\", error_description=\"{why}\""
    );
    let told = answer.lines().any(|line| line.trim_end() == challenge);
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && told,
        "{why}: {answer}"
    );
}

#[track_caller]
fn good(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

pub(crate) fn counted(stage: &Stage, result: &str) -> String {
    stage.metric(&format!(
        "portway_listener_tokens_total{{listener=\"web\",result=\"{result}\"}} "
    ))
}

#[test]
fn a_good_token_goes_on_and_no_other() {
    let (scene, app, web) = (Scene::new(), Echo::start("app"), free_port());
    let own = ec_key(&scene, "own");
    let _other = ec_key(&scene, "other");
    scene.file("keys.json", set(&[&own]));
    let jwt = "keys = 'keys.json', issuer = 'login', audience = ['app', 'api'], realm = 'api', \
        claims = { scope = { words = 'read' } }, set_headers = { X-User = 'sub', X-Roles = '$.realm.roles' }";
    let text = asking(web, jwt, app.port);
    let stage = Stage::with(scene, &text, &[]);
    let claims = |exp: u64, more: &str| {
        format!(r#"{{"iss":"login","aud":"api","scope":"read write","exp":{exp}{more}}}"#)
    };
    let soon = now() + 600;
    let user = r#","sub":"anna\nX: é","realm":{"roles":["a","b"]}"#;
    let fine = token(&stage.scene, "own", &claims(soon, user));
    let answer = ask(
        &stage,
        web,
        &fine,
        &["X-USER: eve", "x-roles: all", "X_User: eve"],
    );
    good(&answer);
    let line = |text: &str| answer.lines().any(|it| it.trim_end() == text);
    assert!(
        line("x-user: anna X: é") && line(r#"x-roles: ["a","b"]"#),
        "{answer}"
    );
    assert!(
        !answer.contains("eve") && !answer.contains("all"),
        "{answer}"
    );
    let by = |claims: &str| token(&stage.scene, "own", claims);
    let late = by(&claims(now() - 61, ""));
    refused(&ask(&stage, web, &late, &[]), "the token has expired");
    let early = by(&claims(soon, &format!(r#","nbf":{soon}"#)));
    refused(&ask(&stage, web, &early, &[]), "the token is not valid yet");
    let elsewhere = by(&claims(soon, "").replace("login", "logout"));
    refused(
        &ask(&stage, web, &elsewhere, &[]),
        "the issuer of the token is not accepted",
    );
    let for_others = by(&claims(soon, "").replace("\"api\"", "[\"x\"]"));
    refused(
        &ask(&stage, web, &for_others, &[]),
        "the token is for another audience",
    );
    let lacking = by(&claims(soon, "").replace("read ", ""));
    refused(
        &ask(&stage, web, &lacking, &[]),
        "the token lacks what is needed here",
    );
    let endless = by(r#"{"iss":"login","aud":"api","scope":"read"}"#);
    refused(
        &ask(&stage, web, &endless, &[]),
        "the token lacks what is needed here",
    );
    let foreign = token(&stage.scene, "other", &claims(soon, ""));
    refused(
        &ask(&stage, web, &foreign, &[]),
        "the key of the token is not known",
    );
    let options = ["-sign", "other.ec"];
    let header = r#"{"alg":"ES256","kid":"own"}"#;
    let forged = signed(&stage.scene, header, &claims(soon, ""), &options, true);
    refused(
        &ask(&stage, web, &forged, &[]),
        "the signature of the token is wrong",
    );
    let none = format!(
        "{}.{}.",
        base64url(br#"{"alg":"none"}"#),
        base64url(claims(soon, "").as_bytes())
    );
    refused(
        &ask(&stage, web, &none, &[]),
        "the algorithm of the token is not accepted",
    );
    let public = fs::read(stage.scene.path("own.pub")).unwrap();
    let mut hex = String::new();
    public
        .iter()
        .for_each(|byte| write!(hex, "{byte:02x}").unwrap());
    let (mac, key) = (["-mac", "HMAC", "-macopt"], format!("hexkey:{hex}"));
    let header = r#"{"alg":"HS256","kid":"own"}"#;
    let confused = signed(
        &stage.scene,
        header,
        &claims(soon, ""),
        &[&mac[..], &[&key]].concat(),
        false,
    );
    refused(
        &ask(&stage, web, &confused, &[]),
        "the algorithm of the token is not accepted",
    );
    refused(&ask(&stage, web, "a.b", &[]), "the token is malformed");
    // The target could read the one that was not looked at.
    let second = format!("Authorization: Bearer {forged}");
    refused(
        &ask(&stage, web, &fine, &[&second]),
        "the token is malformed",
    );
    let mut without = Client::new(web);
    without.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n\r\n");
    let answer = without.answer();
    assert!(
        answer.starts_with("http/1.1 401 ")
            && answer.contains("\r\nwww-authenticate: bearer realm=\"api\"\r\n"),
        "{answer}"
    );
    for (result, count) in [
        ("valid", "1"),
        ("claims", "2"),
        ("algorithm", "2"),
        ("missing", "1"),
        ("signature", "1"),
    ] {
        assert_eq!(counted(&stage, result), count, "{result}");
    }
    // What is said of a token says why, and a reload goes over to other rules.
    let explained = stage.scene.run(
        crate::support::PORTWAY,
        &[
            "explain",
            "web.toml",
            "--",
            "GET",
            &format!("http://127.0.0.1:{web}/"),
            "-H",
            &format!("Authorization: Bearer {fine}"),
        ],
    );
    assert!(explained.stdout.contains("lets it pass"), "{explained}");
    let pass = text.replace("realm = 'api'", "on_failure = 'pass'");
    stage.becomes(&pass);
    let answer = ask(&stage, web, &late, &["X-User: eve", "x_user: eve"]);
    good(&answer);
    assert!(!answer.contains("eve"), "{answer}");
    stage.becomes(&text.replace(
        "realm = 'api'",
        "on_failure = 'pass_missing', realm = 'api'",
    ));
    refused(&ask(&stage, web, &late, &[]), "the token has expired");
    assert_eq!(Client::new(web).ask("/"), "app");
    // A cookie and an argument that stand twice are none either, however they are written.
    stage.becomes(&text.replace(
        "realm = 'api'",
        "token = [{ cookie = 'id' }, { query = 'token' }], realm = 'api'",
    ));
    let from = |cookie: &str, query: &str| {
        let (url, cookie) = (
            format!("http://127.0.0.1:{web}/page?{query}"),
            format!("Cookie: {cookie}"),
        );
        stage
            .scene
            .curl(&["-s", "-i", "-m", "20", "-H", &cookie, &url])
            .good()
    };
    good(&from(&format!("a=1; id={fine}"), "token=other"));
    good(&from("a=1", &format!("b=2&token={fine}")));
    for twice in [
        from(&format!("id={fine}; id={forged}"), ""),
        from(&format!("id={fine}; a=1;id={fine}"), ""),
        from("", &format!("token={fine}&token={forged}")),
        from("", &format!("token={fine}&tok%65n=x")),
    ] {
        refused(&twice, "the token is malformed");
    }
    // Two with other keys: in PEM, and a secret.
    let options = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    openssl(
        &stage.scene,
        &[&["genpkey", "-out", "rsa.key"], &options[..]].concat(),
    );
    openssl(
        &stage.scene,
        &["pkey", "-in", "rsa.key", "-pubout", "-out", "rsa.pem"],
    );
    stage.becomes(&asking(
        web,
        "keys = 'rsa.pem', token = [{ cookie = 't' }, { query = 't' }]",
        app.port,
    ));
    let pss = [
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:-1",
        "-sign",
        "rsa.key",
    ];
    for (algorithm, options) in [("RS256", &pss[4..]), ("PS256", &pss[..])] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let token = signed(&stage.scene, &header, &claims(soon, ""), options, false);
        let url = format!("http://127.0.0.1:{web}/?t={token}");
        good(&stage.scene.curl(&["-s", "-i", &url]).good());
        let cookie = format!("Cookie: a=b; t={token}");
        good(&ask(&stage, web, "", &[&cookie]));
    }
    let secret = "secret of at least thirty-two bytes";
    stage.scene.file("secret.key", format!("{secret}\n"));
    stage.becomes(&asking(
        web,
        "secret = 'secret.key', algorithms = ['HS256']",
        app.port,
    ));
    let hs = signed(
        &stage.scene,
        r#"{"alg":"HS256"}"#,
        &claims(soon, ""),
        &["-hmac", secret],
        false,
    );
    good(&ask(&stage, web, &hs, &[]));
    stage.scene.file("secret.key", "too short\n");
    let answer = stage.reload(&asking(
        web,
        "secret = 'secret.key', algorithms = ['HS256']",
        app.port,
    ));
    assert_eq!(answer["ok"], false, "{answer:#}");
    good(&ask(&stage, web, &hs, &[]));
}

#[test]
fn keys_are_fetched_and_change() {
    let (scene, app, web) = (Scene::new(), Echo::start("app"), free_port());
    let names = ["one", "two", "three"];
    let [one, two, three] = names.map(|name| ec_key(&scene, name));
    let keys = Keys::start(&set(&[&one]));
    let jwt = format!(
        "keys = 'http://127.0.0.1:{}/keys', realm = 'api'",
        keys.port
    );
    let text = asking(web, &jwt, app.port);
    // The first request waits for keys, where it must.
    let stage = Stage::with(scene, &text, &[]);
    let claims = format!(r#"{{"exp":{}}}"#, now() + 600);
    let [by_one, by_two, by_three] = names.map(|name| token(&stage.scene, name, &claims));
    good(&ask(&stage, web, &by_one, &[]));
    assert_eq!(keys.asked(), 1);
    // Nobody makes it ask more often than in ten seconds.
    for _ in 0..5 {
        refused(
            &ask(&stage, web, &by_two, &[]),
            "the key of the token is not known",
        );
    }
    assert_eq!(keys.asked(), 1);
    keys.answers(200, &set(&[&one, &two]));
    eventually("the next key is known", || {
        let answer = ask(&stage, web, &by_two, &[]);
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    });
    assert_eq!(keys.asked(), 2);
    // What lies, fails or hangs takes no key away, over a reload neither.
    let mut asked = keys.asked();
    for (status, body) in [
        (500, String::new()),
        (200, "<html>".to_owned()),
        (200, set(&[])),
        (0, String::new()),
    ] {
        keys.answers(status, &body);
        eventually("it is asked again", || {
            let _ = ask(&stage, web, &by_three, &[]);
            (keys.asked() > asked).then_some(())
        });
        asked = keys.asked();
        good(&ask(&stage, web, &by_one, &[]));
        stage.becomes(&format!(
            "{text}\n[target_group.app.timeouts]\nresponse = '{}s'\n",
            20 + asked
        ));
        good(&ask(&stage, web, &by_two, &[]));
        eventually("the reload asks too", || {
            (keys.asked() > asked).then_some(())
        });
        asked = keys.asked();
    }
    assert!(stage.metric("portway_token_key_fetches_total{result=\"failed\"} ") != "0");
    keys.answers(200, &set(&[&three]));
    eventually("keys that are gone do not count", || {
        let answer = ask(&stage, web, &by_one, &[]);
        let _ = ask(&stage, web, &by_three, &[]);
        answer.starts_with("HTTP/1.1 401 ").then_some(())
    });
    good(&ask(&stage, web, &by_three, &[]));
    // Where there never were any, nobody passes, and who gave up is not waited for.
    stage.becomes(&asking(
        web,
        &format!("keys = 'http://127.0.0.1:{}/keys'", free_port()),
        app.port,
    ));
    let answer = ask(&stage, web, &by_three, &[]);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(counted(&stage, "no_keys"), "1");
    let served = "portway_listener_requests_in_flight{listener=\"web\"} ";
    eventually("nobody is served", || {
        (stage.metric(served) == "0").then_some(())
    });
}

#[test]
fn keys_come_over_tls_from_this_very_process() {
    let (scene, app) = (Scene::new(), Echo::start("app"));
    let (web, login) = (free_port(), free_port());
    let one = ec_key(&scene, "one");
    let keys = Keys::start(&set(&[&one]));
    certificate(&scene, "ca", Key::Ecdsa, "test authority", &[], Issuer::Own);
    certificate(
        &scene,
        "login",
        Key::Ecdsa,
        "login",
        &["localhost"],
        Issuer::Signed("ca"),
    );
    let text = |ca: &str| {
        let url = format!("https://localhost:{login}/.well-known/jwks.json");
        asking(
            web,
            &format!("keys = '{url}', refresh = '10s'{ca}"),
            app.port,
        ) + &listener("login", login, "keys")
            + "certificates = ['login']\n"
            + &group("keys", &[keys.port])
            + "[certificate.login]\nfile = 'login.pem'\nkey = 'login.key'\n"
    };
    let stage = Stage::with(scene, &text(", ca = 'ca.pem'"), &[]);
    let claims = format!(r#"{{"exp":{}}}"#, now() + 600);
    let by_one = token(&stage.scene, "one", &claims);
    eventually("keys are known", || {
        let answer = ask(&stage, web, &by_one, &[]);
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    });
    // One that no known authority stands behind is not believed.
    stage.becomes(&text(", ca = 'own.pem'").replace("own.pem", "login.pem"));
    good(&ask(&stage, web, &by_one, &[]));
    certificate(
        &stage.scene,
        "else",
        Key::Ecdsa,
        "another",
        &[],
        Issuer::Own,
    );
    stage.becomes(&text(", ca = 'else.pem'"));
    let answer = ask(&stage, web, &by_one, &[]);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn keys_outlive_an_upgrade_while_the_issuer_is_dead() {
    let (scene, app, web) = (Scene::new(), Echo::start("app"), free_port());
    let names = ["one", "two", "three"];
    let [one, two, three] = names.map(|name| ec_key(&scene, name));
    let keys = Keys::start(&set(&[&one, &two]));
    let port = keys.port;
    let jwt = |refresh| {
        format!("keys = 'http://127.0.0.1:{port}/keys', realm = 'api', refresh = '{refresh}'")
    };
    let dead = free_port();
    let text = |refresh| {
        asking(web, &jwt(refresh), app.port)
            .replace("targets = [", &format!("targets = ['127.0.0.1:{dead}', "))
            + "retries = 1\n"
    };
    let stage = upgrade::Stage::with(scene, &text("1h"), &[]);
    let claims = format!(r#"{{"exp":{}}}"#, now() + 600);
    let [by_one, by_two, by_three] = names.map(|name| token(&stage.scene, name, &claims));
    let ask = |token: &str| ask_from(&stage.scene, web, token, &[]);
    let known = || {
        good(&ask(&by_one));
        good(&ask(&by_two));
        refused(&ask(&by_three), "the key of the token is not known");
    };
    good(&ask(&by_one));
    keys.die();
    // The second is upgraded from one that never fetched them itself, the third reads another file.
    for _ in 0..2 {
        stage.upgrade();
        known();
        eventually("it tries to fetch them", || {
            let failed = stage.metric("portway_token_key_fetches_total{result=\"failed\"} ");
            (failed != "0").then_some(())
        });
        known();
    }
    fs::write(&stage.file, text("2h")).unwrap();
    stage.command(&["reload"]).good();
    known();
    stage.upgrade();
    known();
    let fetched = stage.metric("portway_token_key_fetches_total{result=\"ok\"} ");
    assert_eq!(fetched, "0");
    // What it says once it is back counts, and nothing else.
    let _keys = Keys::start_at(port, &set(&[&three]));
    eventually("its new keys count", || {
        let answer = ask(&by_three);
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    });
    refused(&ask(&by_one), "the key of the token is not known");
    stage.upgrade();
    good(&ask(&by_three));
    refused(&ask(&by_one), "the key of the token is not known");
    let log = stage.first.log();
    assert!(!log.contains("left out"), "{log}");
}
