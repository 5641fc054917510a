//! What browsers are told: who may read responses, what to be careful of, and bodies in a coding of theirs.

use std::fs;

use crate::certificates::{Issuer, Key, certificate};
use crate::echo::Echo;
use crate::stage::{Stage, group};
use crate::support::{PORTWAY, Scene, free_port};

/// Asks with these headers; the answer without what differs each time.
fn ask(stage: &Stage, url: &str, method: &str, headers: &[&str]) -> String {
    let mut arguments = vec!["-s", "-i", "-k", "-m", "20", "-X", method];
    headers.iter().for_each(|it| arguments.extend(["-H", it]));
    arguments.push(url);
    stage.scene.curl(&arguments).good()
}

/// The lines of an answer's head that tell of other origins.
fn told(answer: &str) -> Vec<String> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines().map(str::to_ascii_lowercase);
    let told = lines.filter(|it| it.starts_with("access-control-") || it.starts_with("vary:"));
    told.map(|it| it.trim_end().to_owned()).collect()
}

#[test]
fn pages_of_named_origins_may_read() {
    let (app, web, dead) = (Echo::start("app"), free_port(), free_port());
    let text = |cors: &str, ports: &[u16]| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{web}'\n\
             [[listener.web.rule]]\ncors = {cors}\n\
             [[listener.web.rule]]\nwhen = 'Path(`/own`)'\nrespond = {{ status = 403, body = 'no' }}\n\
             [[listener.web.rule]]\nforward = 'app'\n"
        ) + &group("app", ports)
    };
    let named = "{ origins = ['https://a.example', 'https://*.b.example'], methods = ['PUT'], headers = ['X-A', 'X-B'], \
        expose = ['X-Total'], credentials = true, max_age = '10m' }";
    let stage = Stage::new(&text(named, &[dead, app.port]));
    let url = |path: &str| format!("http://127.0.0.1:{web}{path}");
    let asks = [
        "Origin: https://x.b.example",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: x-a",
    ];
    let preflight = ask(&stage, &url("/"), "OPTIONS", &asks);
    assert!(
        preflight.starts_with("HTTP/1.1 204 ") && !preflight.contains("X-Server"),
        "{preflight}"
    );
    assert_eq!(
        told(&preflight),
        [
            "vary: origin, access-control-request-method, access-control-request-headers",
            "access-control-allow-origin: https://x.b.example",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: put",
            "access-control-allow-headers: x-a, x-b",
            "access-control-max-age: 600",
        ]
    );
    let stranger = ask(
        &stage,
        &url("/"),
        "OPTIONS",
        &["Origin: https://b.example", asks[1]],
    );
    assert_eq!(told(&stranger).len(), 1, "{stranger}");
    // Without the question it is a request like any other.
    let options = ask(&stage, &url("/"), "OPTIONS", &["Origin: https://a.example"]);
    assert!(options.contains("X-Server: app"), "{options}");
    let own = [
        "access-control-allow-origin: https://a.example",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: x-total",
    ];
    let with_vary = [&["vary: origin"][..], &own].concat();
    let from = ["Origin: https://a.example"];
    // What the target says of it does not count; what it says of other things does.
    for path in [
        "/",
        "/header/Access-Control-Allow-Origin/*/access-control-allow-credentials/false",
        "/own",
    ] {
        let answer = ask(&stage, &url(path), "GET", &from);
        assert_eq!(told(&answer), with_vary, "{path}: {answer}");
    }
    let varied = ask(&stage, &url("/header/Vary/Accept,origin"), "GET", &from);
    assert_eq!(
        told(&varied).first().unwrap(),
        "vary: accept,origin",
        "{varied}"
    );
    assert_eq!(told(&varied).len(), 4, "{varied}");
    for strange in [
        &["Origin: https://evil.example"][..],
        &["Origin: null"],
        &[],
    ] {
        let answer = ask(&stage, &url("/"), "GET", strange);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(told(&answer), ["vary: origin"], "{strange:?}: {answer}");
    }
    // A reload says something else, and a fault can be read too.
    stage.becomes(&text("{ origins = '*', methods = '*' }", &[dead]));
    let answer = ask(&stage, &url("/"), "GET", &from);
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(told(&answer), ["access-control-allow-origin: *"]);
    let preflight = ask(&stage, &url("/"), "OPTIONS", &asks);
    let methods = told(&preflight)
        .iter()
        .any(|it| it == "access-control-allow-methods: *");
    assert!(methods, "{preflight}");
    let refused = stage.reload(&text("{ origins = '*', credentials = true }", &[dead]));
    assert!(
        refused["diagnostics"]
            .to_string()
            .contains("every page could act for its user"),
        "{refused:#}"
    );
    let admin = &stage.portway.admin;
    let words = [
        "explain",
        "--admin",
        admin,
        "--",
        "GET",
        &url("/"),
        "-H",
        from[0],
    ];
    let explained = stage.scene.run(PORTWAY, &words);
    assert!(
        explained.stdout.contains("Access-Control-Allow-Origin"),
        "{explained}"
    );
}

#[test]
fn browsers_are_told_to_be_careful() {
    let (scene, app) = (Scene::new(), Echo::start("app"));
    let (plain, secure) = (free_port(), free_port());
    certificate(
        &scene,
        "own",
        Key::Ecdsa,
        "own",
        &["localhost"],
        Issuer::Own,
    );
    let text = |headers: &str| {
        let listener = |name: &str, port: u16, more: &str| {
            format!(
                "[listener.{name}]\nbind = '127.0.0.1:{port}'\n{more}forward = 'app'\n\
                 [[listener.{name}.rule]]\nphase = 'after_response'\nsecurity_headers = {headers}\n"
            )
        };
        listener("plain", plain, "")
            + &listener("secure", secure, "certificates = ['own']\n")
            + &group("app", &[app.port])
            + "[certificate.own]\nfile = 'own.pem'\nkey = 'own.key'\n"
    };
    let stage = Stage::with(scene, &text("true"), &[]);
    let head = |url: &str| {
        let answer = ask(&stage, url, "GET", &[]);
        answer.split("\r\n\r\n").next().unwrap().to_owned() + "\r\n"
    };
    let usual = [
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: SAMEORIGIN",
        "Referrer-Policy: strict-origin-when-cross-origin",
        "Cross-Origin-Opener-Policy: same-origin",
    ];
    let over_tls = head(&format!("https://localhost:{secure}/"));
    assert!(
        over_tls.contains("Strict-Transport-Security: max-age=31536000\r\n"),
        "{over_tls}"
    );
    let in_clear = head(&format!("http://127.0.0.1:{plain}/"));
    assert!(!in_clear.contains("Strict-Transport"), "{in_clear}");
    for line in usual {
        let line = format!("{line}\r\n");
        assert!(
            over_tls.contains(&line) && in_clear.contains(&line),
            "{line}: {in_clear}"
        );
    }
    // The target knows better, unless it is not to.
    let said = format!("http://127.0.0.1:{plain}/header/X-Frame-Options/DENY");
    let kept = head(&said);
    assert!(
        kept.contains("X-Frame-Options: DENY\r\n") && !kept.contains("SAMEORIGIN"),
        "{kept}"
    );
    let more = "{ replace = true, content = \"default-src 'self'\", opener = '', subdomains = true, preload = true }";
    stage.becomes(&text(more));
    let replaced = head(&said);
    assert!(
        replaced.contains("X-Frame-Options: SAMEORIGIN\r\n") && !replaced.contains("DENY"),
        "{replaced}"
    );
    assert!(
        replaced.contains("Content-Security-Policy: default-src 'self'\r\n")
            && !replaced.contains("Opener"),
        "{replaced}"
    );
    let over_tls = head(&format!("https://localhost:{secure}/"));
    assert!(
        over_tls.contains("max-age=31536000; includeSubDomains; preload\r\n"),
        "{over_tls}"
    );
}

#[test]
fn arguments_are_set_and_taken_out() {
    let (app, web) = (Echo::start("app"), free_port());
    let stage = Stage::new(
        &(format!(
            "[listener.web]\nbind = '127.0.0.1:{web}'\n[[listener.web.rule]]\n\
             actions = [{{ set_argument = {{ from = '${{source}}', 'a b' = '${{header(`X-Value`)}}' }} }}, \
             {{ remove_argument = ['debug', 'x'] }}, {{ forward = 'app' }}]\n"
        ) + &group("app", &[app.port])),
    );
    let sent = |target: &str| {
        let url = format!("http://127.0.0.1:{web}{target}");
        let answer = ask(&stage, &url, "GET", &["X-Value: 1&2 é"]);
        let line = answer.lines().find(|it| it.starts_with("GET "));
        line.unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let added = "from=127.0.0.1&a%20b=1%262%20%C3%A9";
    assert_eq!(sent("/"), format!("GET /?{added} HTTP/1.1"));
    assert_eq!(
        sent("/p?debug=1&a+b=0&c=%20&x&from=me&a%20b=2"),
        "GET /p?a%20b=1%262%20%C3%A9&c=%20&from=127.0.0.1 HTTP/1.1"
    );
}

#[test]
fn bodies_come_in_the_coding_that_curl_takes() {
    let (app, web, dead) = (Echo::start("app"), free_port(), free_port());
    let text = |ports: &[u16], more: &str| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{web}'\n[[listener.web.rule]]\n\
             actions = [{{ compress = {{ types = 'text/*'{more} }} }}, {{ forward = 'app' }}]\n"
        ) + &group("app", ports)
    };
    // One target is dead: the request is made again.
    let stage = Stage::new(&text(&[dead, app.port], ""));
    let long = format!("X-Long: {}", "all work and no play ".repeat(400));
    let path = "/header/Content-Type/text%2Fplain";
    let url = format!("http://127.0.0.1:{web}{path}");
    let ask = |url: &str, coding: &str, body: &str| {
        let accept = format!("Accept-Encoding: {coding}");
        let output = [
            "-s", "-m", "20", "-D", "head", "-o", body, "-H", &accept, "-H", &long, url,
        ];
        stage.scene.curl(&output).good();
        let head = fs::read_to_string(stage.scene.path("head")).unwrap();
        (
            head.to_ascii_lowercase(),
            fs::read(stage.scene.path(body)).unwrap(),
        )
    };
    let (head, plain) = ask(&url, "identity", "plain");
    assert!(
        !head.contains("content-encoding") && plain.len() > 8000,
        "{head}"
    );
    for (coding, program) in [("gzip", &["gzip", "-dc"][..]), ("zstd", &["zstd", "-dcq"])] {
        let (head, body) = ask(&url, coding, "body");
        assert!(
            head.contains(&format!("content-encoding: {coding}\r\n")),
            "{head}"
        );
        assert!(
            head.contains("vary: accept-encoding") && body.len() * 4 < plain.len(),
            "{head}"
        );
        let own = stage.scene.run(
            "sh",
            &["-c", &format!("{} < body > decoded", program.join(" "))],
        );
        own.good();
        let decoded = fs::read(stage.scene.path("decoded")).unwrap();
        assert_eq!(
            decoded.len(),
            plain.len() + coding.len() - "identity".len(),
            "{coding}"
        );
    }
    // curl undoes whatever comes, brotli too.
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        let output = [
            "-s",
            "--compressed",
            "-D",
            "head",
            "-H",
            &accept,
            "-H",
            &long,
            &url,
        ];
        let body = stage.scene.curl(&output).good();
        let head = fs::read_to_string(stage.scene.path("head"))
            .unwrap()
            .to_ascii_lowercase();
        assert!(
            head.contains(&format!("content-encoding: {coding}\r\n")),
            "{head}"
        );
        assert!(
            body.contains("all work and no play all work"),
            "{coding}: {body}"
        );
    }
    // By type, by size, and by what a reload says.
    let other = format!("http://127.0.0.1:{web}/header/Content-Type/image%2Fpng");
    assert!(!ask(&other, "gzip", "body").0.contains("content-encoding"));
    stage.becomes(&text(&[app.port], ", min_bytes = 1000000"));
    assert!(!ask(&url, "gzip", "body").0.contains("content-encoding"));
    stage.becomes(&text(&[app.port], ", codings = ['br']"));
    assert!(!ask(&url, "gzip", "body").0.contains("content-encoding"));
    assert!(
        ask(&url, "gzip, br", "body")
            .0
            .contains("content-encoding: br\r\n")
    );
}
