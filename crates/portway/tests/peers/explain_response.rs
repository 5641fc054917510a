//! What `portway explain` says of rules on the response is what they do once there is one.

use crate::echo::Echo;
use crate::explain::{Asked, answer, explained};
use crate::support::{PORTWAY, Scene, free_port};

/// The rules: of what, phase, condition, and how it is for `/api` and for `/`.
const RULES: [(&str, &str, &str, [&str; 2]); 14] = [
    (
        "target_group.app",
        "response",
        "PathPrefix(`/api`)",
        ["matched", "not_matched"],
    ),
    (
        "target_group.app",
        "response",
        "status == 200",
        ["depends"; 2],
    ),
    (
        "target_group.app",
        "response",
        "status == 500",
        ["depends"; 2],
    ),
    (
        "target_group.app",
        "response",
        "PathPrefix(`/api`) && status == 200",
        ["depends", "not_matched"],
    ),
    (
        "target_group.app",
        "response",
        "status == 500 || PathPrefix(`/api`)",
        ["matched", "depends"],
    ),
    (
        "target_group.app",
        "response",
        "!(status == 500 && PathPrefix(`/api`))",
        ["depends", "matched"],
    ),
    (
        "listener.web",
        "response",
        "var.exchange.who == `api`",
        ["matched", "not_matched"],
    ),
    (
        "listener.web",
        "response",
        "var.exchange.later present",
        ["depends"; 2],
    ),
    (
        "listener.web",
        "response",
        "response_header(`X-Server`) present",
        ["depends"; 2],
    ),
    (
        "listener.web",
        "response",
        "target_name present",
        ["depends"; 2],
    ),
    (
        "target_group.app",
        "after_response",
        "source in `127.0.0.0/8`",
        ["matched"; 2],
    ),
    (
        "target_group.app",
        "after_response",
        "Method(`PUT`)",
        ["not_matched"; 2],
    ),
    // The rule before it accepts.
    (
        "target_group.app",
        "after_response",
        "Host(`a.example`)",
        ["skipped"; 2],
    ),
    (
        "listener.web",
        "after_response",
        "Host(`a.example`)",
        ["matched"; 2],
    ),
];

fn text(port: u16, server: u16) -> String {
    let mut text = format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [[listener.web.rule]]\nwhen = 'PathPrefix(`/api`)'\nset_variable = {{ exchange.who = 'api' }}\n\
         [target_group.app]\ntargets = ['127.0.0.1:{server}']\n"
    );
    for (number, (of, phase, when, _)) in RULES.iter().enumerate() {
        let more = match number {
            0 => ", { set_variable = { exchange.later = 'x' } }",
            _ => "",
        };
        text += &format!(
            "[[{of}.rule]]\nactions = [{{ add_header = {{ X-R{number} = '1' }} }}{more}]\nphase = '{phase}'\nwhen = '{when}'\n"
        );
        if number == 11 {
            text += &format!(
                "[[{of}.rule]]\nphase = '{phase}'\nwhen = 'Method(`GET`)'\naccept = true\n"
            );
        }
    }
    text
}

#[test]
fn rules_on_a_response_do_what_is_told() {
    let scene = Scene::new();
    let port = free_port();
    scene.file("web.toml", text(port, Echo::start("app").port));
    let portway = scene.portway_with(&["web.toml"]);
    for (nth, path) in ["/api", "/"].into_iter().enumerate() {
        let asked: Asked<'_> = ("GET", path.to_owned(), "a.example", Vec::new());
        let told = explained(&portway, port, &asked);
        let made = answer(port, &asked).to_ascii_lowercase();
        let rules = told["response_rules"].as_array().unwrap();
        let rules: Vec<_> = rules
            .iter()
            .filter(|it| it["text"].as_str().unwrap().contains("X-R"))
            .collect();
        assert_eq!(rules.len(), RULES.len(), "{told:#}");
        for (number, (of, phase, _, expected)) in RULES.iter().enumerate() {
            let sign = format!("X-R{number} ");
            let rule = rules
                .iter()
                .find(|it| it["text"].as_str().unwrap().contains(&sign))
                .unwrap();
            assert_eq!(rule["outcome"], expected[nth], "{rule:#}");
            assert_eq!(rule["phase"], *phase, "{rule:#}");
            assert_eq!(rule["target_group"].is_null(), of.starts_with("listener"));
            let is_there = made.contains(&format!("\r\nx-r{number}: "));
            match expected[nth] {
                "matched" => assert!(is_there, "{number}: {made}"),
                "depends" => {
                    let why = rule["why"][0].as_str().unwrap();
                    assert!(why.starts_with("depends on the response: "), "{why}");
                }
                _ => assert!(!is_there, "{number}: {made}"),
            }
        }
    }
    let url = format!("http://a.example:{port}/api");
    let words = ["explain", "--admin", &portway.admin, "--", &url];
    let told = scene.run(PORTWAY, &words).good();
    for part in [
        "on the response",
        "✓ web.toml:",
        "? web.toml:",
        "depends on the response: status",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
