//! What Prometheus makes of our metrics: its own tool reads the page, the alerts and the queries of the dashboard, and nothing
//! that clients send becomes a series.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::certificates::{Issuer, Key, certificate, join};
use crate::echo::Echo;
use crate::stage::{Stage, group, listener, own_certificate};
use crate::support::{Scene, eventually, free_port, local};

fn packaged(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../packaging/{file}"))
}

/// The queries of the dashboard, with a value for each of its variables.
fn queries() -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(entries) => {
                if let Some(query) = entries.get("expr").and_then(Value::as_str) {
                    into.push(query.to_owned());
                }
                entries.values().for_each(|value| collect(value, into));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(packaged("grafana/portway.json")).unwrap();
    let mut found = Vec::new();
    collect(&serde_json::from_str(&text).unwrap(), &mut found);
    let variables = ["$job", "$instance", "$listener", "$target_group"];
    let filled = found.into_iter().map(|query| {
        let query = query.replace("$__rate_interval", "5m");
        let query = variables
            .iter()
            .fold(query, |query, name| query.replace(name, ".*"));
        assert!(!query.contains('$'), "{query}");
        query
    });
    filled.collect()
}

#[test]
fn alerts_and_queries_are_promql_and_alerts_fire_when_they_should() {
    let scene = Scene::new();
    for file in ["alerts.yml", "alerts_test.yml"] {
        let text = std::fs::read(packaged(&format!("prometheus/{file}"))).unwrap();
        scene.file(file, text);
    }
    scene
        .run("promtool", &["check", "rules", "alerts.yml"])
        .good();
    scene
        .run("promtool", &["test", "rules", "alerts_test.yml"])
        .good();
    // Each alert has a case in which it fires, and one in which it does not.
    let cases = scene.read("alerts_test.yml");
    let alerts = scene.read("alerts.yml");
    for alert in alerts
        .lines()
        .filter_map(|it| it.trim().strip_prefix("- alert: "))
    {
        for kind in ["fires", "is silent"] {
            let case = format!("  - name: '{alert} {kind}'\n");
            assert!(cases.contains(&case), "no case in which {alert} {kind}");
        }
    }
    let queries = queries();
    assert!(queries.len() > 60);
    let rules = queries.iter().enumerate().map(|(at, query)| {
        let query = query.replace('\'', "''");
        format!("      - record: 'query_{at}'\n        expr: '{query}'\n")
    });
    let rules: String = rules.collect();
    scene.file(
        "dashboard.yml",
        format!("groups:\n  - name: dashboard\n    rules:\n{rules}"),
    );
    scene
        .run("promtool", &["check", "rules", "dashboard.yml"])
        .good();
}

fn page(stage: &Stage) -> String {
    let url = format!("http://{}/metrics", stage.portway.admin);
    stage.scene.curl(&["-s", &url]).good()
}

/// Names and labels of all samples.
fn series(page: &str) -> BTreeSet<String> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let series = samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
    series.collect()
}

/// Sends this and reads until the end, or until nobody answers.
fn send(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // What is refused early may be reset.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A ClientHello that asks for this name.
fn client_hello(name: &str) -> Vec<u8> {
    let vector16 = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let extension =
        |number: u16, content: &[u8]| [&number.to_be_bytes()[..], &vector16(content)].concat();
    let entry = [&[0][..], &vector16(name.as_bytes())].concat();
    let extensions = [
        extension(0, &vector16(&entry)),
        // Groups, signatures.
        extension(10, &vector16(&[0, 29, 0, 23])),
        extension(13, &vector16(&[4, 3, 8, 4, 4, 1])),
    ];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(vector16(&[0xC0, 0x2B, 0xC0, 0x2F]));
    body.extend([1, 0]);
    body.extend(vector16(&extensions.concat()));
    let mut message = vec![1];
    message.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    [&[22, 3, 1][..], &vector16(&message)].concat()
}

/// Where hostile clients send what.
struct Ports {
    web: u16,
    tls: u16,
    raw: u16,
}

/// So many clients, no two of which say the same.
fn attack(ports: &Ports, mark: &str, count: usize) {
    for number in 0..count {
        let word = format!("{mark}x{number}");
        let status = 200 + number % 400;
        let requests = [
            format!("GET /{word}?{word}={word} HTTP/1.1\r\nHost: {word}.example\r\n"),
            format!("{word} / HTTP/1.1\r\nHost: a.example\r\n"),
            format!(
                "GET /status/{status} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {word}\r\nX-{word}: {word}\r\n\
                 Cookie: SRV={word}; {word}={word}\r\nX-User: {word}\r\nAuthorization: Bearer {word}\r\n\
                 X-Forwarded-For: 10.0.{}.{}\r\nX-Request-Id: {word}\r\n",
                number / 256,
                number % 256
            ),
            format!("GET /a HTTP/1.1\r\nHost: a.example\r\nNot {word}: a\r\n"),
            format!("GET /a HTTP/{number}.9\r\nHost: {word}.example\r\n"),
            format!(
                "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: {word}\r\nContent-Length: {number}\r\n"
            ),
            format!("GET /limited HTTP/1.1\r\nHost: a.example\r\nX-User: {word}\r\n"),
        ];
        let (at, others) = (number % requests.len(), requests.len());
        let request = requests.get(at).unwrap();
        send(
            ports.web,
            format!("{request}Connection: close\r\n\r\n").as_bytes(),
        );
        if number % others == 0 {
            let hello = client_hello(&format!("{word}.example"));
            send(ports.tls, &hello);
            send(ports.raw, &hello);
            send(ports.tls, word.as_bytes());
        }
    }
}

#[test]
fn clients_do_not_add_series() {
    let scene = Scene::new();
    own_certificate(&scene, "site", "a.example");
    join(&scene, "all.pem", &["site.pem", "site.key"]);
    let [web, tls, raw] = [(); 3].map(|()| free_port());
    let one = Echo::start("one");
    let mut text = format!(
        "{}\
         [[listener.web.rule]]\ntrack = {{ key = 'header(\"x-user\")', table = 'users' }}\n\
         [[listener.web.rule]]\nwhen = 'PathPrefix(`/limited`)'\n\
         limit_rate = {{ name = 'users', average = 1, period = '1m', key = 'header(\"x-user\")' }}\n\
         [[listener.web.rule]]\nwhen = 'Method(`POST`)'\nrespond = 403\n\
         {}stickiness = {{ cookie = 'SRV' }}\n\
         [stick_table.users]\nkey = 'text'\nsize = 50\nstore = ['requests']\n",
        listener("web", web, "app"),
        group("app", &[one.port]),
    );
    write!(
        text,
        "{}protocol = 'https'\ncertificate_files = ['all.pem']\ntls = {{ strict_sni = true }}\n\
         {}protocol = 'tcp'\n\
         [[listener.raw.rule]]\nphase = 'client_hello'\nwhen = 'hello_sni ends_with `.example`'\nforward = 'raw'\n\
         {}protocol = 'tcp'\n",
        listener("tls", tls, "app"),
        listener("raw", raw, "raw"),
        group("raw", &[one.port]),
    )
    .unwrap();
    let stage = Stage::with(scene, &text, &[]);
    let ports = Ports { web, tls, raw };
    // Each kind with each status.
    attack(&ports, "stranger", 7 * 400);
    let before = series(&page(&stage));
    attack(&ports, "hostile", 3_000);
    let text = page(&stage);
    assert!(
        !text.contains("hostile") && !text.contains("stranger"),
        "{text}"
    );
    let after = series(&text);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
    // Each kind of it has come to where it is counted.
    for line in [
        "portway_listener_requests_total{listener=\"web\",code=\"4xx\"} ",
        "portway_listener_tls_handshake_failures_total{listener=\"tls\",reason=\"unknown_name\"} ",
        "portway_listener_tls_handshake_failures_total{listener=\"tls\",reason=\"not_tls\"} ",
        "portway_listener_connections_total{listener=\"raw\"} ",
        "portway_target_response_time_seconds_count{target_group=\"app\",",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    let checked = stage
        .scene
        .run_with(&text, "promtool", &["check", "metrics"]);
    assert_eq!(checked.good(), "");
}

#[test]
fn time_and_tls_of_targets_are_counted() {
    let scene = Scene::new();
    certificate(&scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
    certificate(&scene, "other", Key::Ecdsa, "Other root", &[], Issuer::Own);
    let by = Issuer::Signed("ca");
    let name = "app.internal";
    certificate(&scene, "target", Key::Ecdsa, name, &[name], by);
    let [web, behind, clear, silent] = [(); 4].map(|()| free_port());
    let _nginx = scene.nginx(
        behind,
        &format!(
            "server {{ listen 127.0.0.1:{behind} ssl; ssl_certificate target.pem; ssl_certificate_key target.key; \
             keepalive_timeout 0; location / {{ return 200 ok; }} }}\n\
             server {{ listen 127.0.0.1:{clear}; return 200 clear; }}"
        ),
    );
    // Takes connections and says nothing.
    let _silent = std::net::TcpListener::bind(local(silent)).unwrap();
    let groups = [
        ("good", behind, "ca = 'ca.pem'", name),
        ("unknown", behind, "ca = 'other.pem'", name),
        ("name", behind, "ca = 'ca.pem'", "b.internal"),
        ("clear", clear, "ca = 'ca.pem'", name),
        ("silent", silent, "ca = 'ca.pem'", name),
    ];
    let mut text = listener("web", web, "good");
    for (name, ..) in groups {
        write!(
            text,
            "[[listener.web.rule]]\nwhen = 'Path(`/{name}`)'\nforward = '{name}'\n"
        )
        .unwrap();
    }
    for (name, port, ca, server_name) in groups {
        let patience = if name == "silent" { "500ms" } else { "30s" };
        write!(
            text,
            "{}protocol = 'https'\nretries = 0\ntimeouts = {{ connect = '{patience}' }}\n\
             tls = {{ verify = {{ {ca} }}, server_name = '{server_name}' }}\n",
            group(name, &[port])
        )
        .unwrap();
    }
    let stage = Stage::with(scene, &text, &[]);
    let get = |name: &str| {
        let url = format!("http://127.0.0.1:{web}/{name}");
        stage.scene.status(&[&url])
    };
    // A client may have its answer before that is counted.
    let becomes = |line: &str, expected: &str| {
        eventually(format_args!("{line}is {expected}"), || {
            (stage.metric(line) == expected).then_some(())
        });
    };
    let counts = |family: &str, group: &str, port: u16, more: &str, expected: &str| {
        let of = format!("target_group=\"{group}\",target=\"127.0.0.1:{port}\"{more}");
        becomes(&format!("{family}{{{of}}} "), expected);
    };
    for _ in 0..3 {
        assert_eq!(get("good"), "200");
    }
    let handshakes = "portway_target_tls_handshakes_total";
    counts(handshakes, "good", behind, ",result=\"ok\"", "3");
    counts(handshakes, "good", behind, ",result=\"failed\"", "0");
    let resumed = "portway_target_tls_resumptions_total";
    counts(resumed, "good", behind, "", "2");
    for family in ["response_time", "connect"] {
        let family = format!("portway_target_{family}_seconds_count");
        counts(&family, "good", behind, "", "3");
    }
    let time = "portway_target_group_tls_handshake_seconds_count{target_group=\"good\"} ";
    becomes(time, "3");
    for (group, port, reason) in [
        ("unknown", behind, "certificate_unknown_ca"),
        ("name", behind, "certificate_name"),
        ("clear", clear, "not_tls"),
        ("silent", silent, "timeout"),
    ] {
        assert!(get(group).starts_with("50"), "{group}");
        let failures = "portway_target_tls_handshake_failures_total";
        let reason = format!(",reason=\"{reason}\"");
        counts(failures, group, port, &reason, "1");
        counts(handshakes, group, port, ",result=\"failed\"", "1");
        // It was connected to, and never answered.
        let connected = "portway_target_connect_seconds_count";
        counts(connected, group, port, "", "1");
    }
    let text = page(&stage);
    let answered = "portway_target_response_time_seconds_count{target_group=\"unknown\"";
    assert!(!text.contains(answered), "{text}");
}
