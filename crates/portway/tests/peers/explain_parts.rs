//! What `portway explain` says of circuit breakers, of what regular expressions found, and of what the target of a stream sends
//! first.

use serde_json::{Value, json};

use crate::echo::Echo;
use crate::explain::{Asked, answer, explained};
use crate::support::{PORTWAY, Scene, eventually, free_port};

/// What is said of a file, for people and as JSON.
fn told(scene: &Scene, words: &[&str]) -> (String, Value) {
    let text = scene.run(PORTWAY, &[&["explain", "web.toml"], words].concat());
    let with_json = [&["explain", "web.toml", "--json"], words].concat();
    let json = scene.run(PORTWAY, &with_json).good();
    (text.good(), serde_json::from_str(&json).unwrap())
}

#[test]
fn circuit_breakers_are_told_as_they_are() {
    let scene = Scene::new();
    let (port, dead) = (free_port(), free_port());
    scene.file(
        "web.toml",
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
             [[listener.web.rule]]\nwhen = 'Path(`/other`)'\n\
             circuit_breaker = {{ name = 'other', opens_when = 'LatencyAtQuantileMS(50) > 100' }}\n\
             [target_group.app]\ntargets = ['127.0.0.1:{dead}']\nretries = 0\n\
             rule = {{ circuit_breaker = {{ name = 'app', opens_when = 'NetworkErrorRatio() > 0.5', min_requests = 1, open_for = '1h', status = 504 }} }}\n"
        ),
    );
    let (text, json) = told(&scene, &["--", "GET", &format!("http://127.0.0.1:{port}/")]);
    let closed = "circuit breaker app is closed and lets it pass; opens when NetworkErrorRatio() > 0.5 (of 1 requests or more in 10s) and then answers 504 for 3600s";
    assert!(text.contains(closed), "{text}");
    let expected = json!([{
        "name": "app", "place": "web.toml:10", "state": "closed", "left": null, "percent": 100.0, "answers": false,
        "opens_when": "NetworkErrorRatio() > 0.5", "min_requests": 1, "open_for": 3600.0, "recover_over": 10.0, "status": 504,
    }]);
    assert_eq!(json["circuit_breakers"], expected, "{json:#}");
    let portway = scene.portway_with(&["web.toml"]);
    let asked = |path: &str| -> Asked<'_> { ("GET", path.to_owned(), "a", Vec::new()) };
    let other = explained(&portway, port, &asked("/other"));
    let names: Vec<&Value> = other["circuit_breakers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["other", "app"], "{other:#}");
    assert_eq!(other["end"]["is"], "target");
    eventually("it is open", || {
        answer(port, &asked("/"));
        let told = portway.status();
        (told["circuit_breakers"][0]["state"] == "open").then_some(())
    });
    let told = explained(&portway, port, &asked("/"));
    assert_eq!(told["end"]["status"], 504, "{told:#}");
    let circuit = &told["circuit_breakers"][0];
    assert_eq!(circuit["state"], "open", "{circuit}");
    assert_eq!(circuit["answers"], true);
    let left = circuit["left"].as_u64().unwrap();
    assert!((1..=3600).contains(&left), "{circuit}");
    let did = told["rules"].as_array().unwrap().last().unwrap()["did"][0].clone();
    let said = format!(
        "circuit breaker app is open for {left} s more and answers 504: it has seen that NetworkErrorRatio() > 0.5"
    );
    assert_eq!(did, said);
    assert!(answer(port, &asked("/")).starts_with("HTTP/1.1 504 "));
}

const FOUND: &str = r#"
[listener.web]
bind = "127.0.0.1:PORT"
forward = "app"

[[listener.web.rule]]
when = "PathRegexp(`^/blog/(?<year>[0-9]{4})/([^/]+)$`)"
redirect = { location = "/${matched(`year`)}/${matched(2)}", status = 301 }

[[listener.web.rule]]
when = "PathRegexp(`^/v([0-9]+)(/.*)$`)"
actions = [
    { set_path = "${matched(2)}" },
    { set_header = { X-Version = "${matched(1)}" } },
]

[[listener.web.rule]]
when = "HeaderRegexp(`Authorization`, `^Bearer (.*)$`)"
set_header = { X-Sent = "${matched(1)}" }

[[listener.web.rule]]
phase = "response"
when = "HeaderRegexp(`X-Team`, `^(red|blue)(-.*)?$`)"
add_header = { X-Team = "${matched(1)}${matched(2)}" }

[target_group.app]
targets = ["127.0.0.1:SERVER"]
"#;

#[test]
fn what_regular_expressions_found_is_told() {
    let scene = Scene::new();
    let port = free_port();
    let server = Echo::start("app").port;
    let text = FOUND.replace("PORT", &port.to_string());
    scene.file("web.toml", text.replace("SERVER", &server.to_string()));
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let (text, json) = told(&scene, &["--", "GET", &url("/blog/2026/portway")]);
    assert_eq!(
        json["rules"][0]["did"],
        json!(["matched(`year`) is \"2026\"", "matched(2) is \"portway\""]),
        "{json:#}"
    );
    assert!(text.contains("Location: /2026/portway"), "{text}");
    assert!(text.contains("      matched(2) is \"portway\"\n"), "{text}");
    // What actions behind the first say is kept before the first changes the path.
    let (text, json) = told(&scene, &["--", "GET", &url("/v2/items")]);
    let did = &json["rules"][1]["did"];
    let parts = [
        "matched(1) is \"2\"",
        "variable matched_1 is now \"2\"",
        "matched(2) is \"/items\"",
        "header X-Version is now \"2\"",
    ];
    for part in parts {
        let known = did.as_array().unwrap();
        assert!(known.iter().any(|it| it == part), "{part}: {did:#}");
        assert!(text.contains(part), "{part}: {text}");
    }
    // Of a rule on the response that runs for certain, too.
    let team = ["-H", "X-Team: red", "--", "GET"];
    let (text, json) = told(&scene, &[&team[..], &[&url("/")]].concat());
    let found = json!(["matched(1) is \"red\"", "matched(2) is not there"]);
    assert_eq!(json["response_rules"][0]["did"], found, "{json:#}");
    assert!(text.contains("on the response"), "{text}");
    // The running Portway does not tell what may be a secret.
    let portway = scene.portway_with(&["web.toml"]);
    let headers = vec![("Authorization", "Bearer abc123".to_owned())];
    let asked: Asked<'_> = ("GET", "/".to_owned(), "a", headers);
    let told = explained(&portway, port, &asked).to_string();
    let hidden = "matched(1) is (not shown: it may be a secret)";
    assert!(told.contains(hidden), "{told}");
    assert!(!told.contains("abc123"), "{told}");
}

#[test]
fn what_a_target_of_a_stream_sends_first_is_looked_at() {
    let scene = Scene::new();
    scene.file(
        "web.toml",
        "[listener.tcp]\nbind = '127.0.0.1:4430'\nprotocol = 'tcp'\nforward = 'app'\n\
         [target_group.app]\nprotocol = 'tcp'\ntargets = ['127.0.0.1:1']\ntimeouts = { inspect_response = '3s' }\n\
         rule = [\n\
         { phase = 'response', when = 'source in `10.0.0.0/8`', reject = 'silent' },\n\
         { phase = 'response', when = 'response_hello_type == 2', stick = { key = 'response_session_id', table = 'ids', to = 'store' } },\n\
         { phase = 'response', when = 'source in `127.0.0.0/8`', accept = true },\n\
         { phase = 'response', when = 'response_hello_type == 2', set_variable = { connection.x = '1' } },\n\
         ]\n\
         [stick_table.ids]\nkey = { binary = 32 }\nsize = 100\nstore = ['target']\n",
    );
    let (text, json) = told(&scene, &["--", "tcp://127.0.0.1:4430"]);
    let outcomes: Vec<&Value> = json["response_rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["outcome"])
        .collect();
    let expected = ["not_matched", "depends", "matched", "skipped"];
    assert_eq!(outcomes, expected, "{json:#}");
    for part in [
        "\non what the target sends first\n",
        "  ? web.toml:11  ",
        "      depends on what the target sends first: response_hello_type\n",
        "note: rules look at what the target sends first: the client gets nothing of it before they have, or 3s are over",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Where nothing depends on it, nothing is waited for.
    let words = ["--from", "10.1.2.3", "--", "tcp://127.0.0.1:4430"];
    let (text, json) = told(&scene, &words);
    assert_eq!(json["response_rules"][0]["outcome"], "matched", "{json:#}");
    assert!(!text.contains("note: rules look"), "{text}");
}
