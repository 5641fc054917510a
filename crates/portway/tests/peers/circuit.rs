//! Circuit breakers: they open, answer, recover and close, over reloads and upgrades, with retries and dead targets.

use std::fs;
use std::time::{Duration, Instant};

use crate::passive::{Moody, answers};
use crate::stage::{Stage, group, listener};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade;

/// Two groups, one behind a circuit breaker.
fn text(web: u16, port: u16, breaker: &str, more: &str) -> String {
    format!(
        "{}{}retries = 0\nrule = {{ circuit_breaker = {{ name = 'app', {breaker} }} }}\n{more}\n",
        listener("web", web, "app"),
        group("app", &[port])
    )
}

fn state(metrics: &str, name: &str) -> String {
    let start = format!("portway_circuit_breaker_state{{circuit_breaker=\"{name}\"}} ");
    let found = metrics.lines().find_map(|it| it.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("{metrics}")).to_owned()
}

const BREAKER: &str = "opens_when = 'ResponseCodeRatio(500, 600, 0, 600) > 0.5', min_requests = 10";

#[test]
fn it_opens_stays_so_over_a_reload_and_an_upgrade_and_recovers() {
    let (a, web) = (Moody::start("a"), free_port());
    let breaker = format!("{BREAKER}, open_for = '6s', recover_over = '3s', status = 429");
    let first = text(web, a.port, &breaker, "");
    let stage = upgrade::Stage::with(Scene::new(), &first, &[]);
    let metrics = || {
        let url = format!("http://{}/metrics", stage.admin);
        stage.scene.curl(&["-s", &url]).good()
    };
    let mut all = answers(web, 30);
    all.dedup();
    assert_eq!(all, ["200 a"]);
    assert_eq!(state(&metrics(), "app"), "0");
    // A third of the responses fail, then most. It does not open before.
    let begun = Instant::now();
    a.is(500);
    answers(web, 15);
    eventually("it is open", || {
        answers(web, 20).contains(&"429 -".to_owned()).then_some(())
    });
    a.is(200);
    let nobody = |when: &str| {
        let answers = answers(web, 10);
        let is_over = begun.elapsed() > Duration::from_secs(5);
        assert!(
            is_over || answers.iter().all(|it| it == "429 -"),
            "{when}: {answers:?}"
        );
    };
    nobody("open");
    let others = text(
        web,
        a.port,
        &breaker.replace(
            "min_requests = 10",
            "min_requests = 11, check_period = '90ms'",
        ),
        "",
    );
    for next in [format!("{first}max_pending = 9\n"), others] {
        fs::write(&stage.file, next).unwrap();
        stage.command(&["reload"]).good();
        nobody("after a reload");
    }
    assert!(begun.elapsed() > Duration::from_secs(5) || state(&metrics(), "app") == "1");
    let explained = stage
        .command(&["explain", "--", "GET", &format!("http://127.0.0.1:{web}/")])
        .both();
    assert!(
        begun.elapsed() > Duration::from_secs(5) || explained.contains("429"),
        "{explained}"
    );
    stage.upgrade();
    nobody("after an upgrade");
    // Some pass, then more, then all.
    eventually("some pass", || {
        answers(web, 20).contains(&"200 a".to_owned()).then_some(())
    });
    assert!(begun.elapsed() >= Duration::from_secs(6));
    eventually("all pass", || {
        (state(&metrics(), "app") == "0").then_some(())
    });
    let mut all = answers(web, 30);
    all.dedup();
    assert_eq!(all, ["200 a"]);
    let changes = "portway_circuit_breaker_changes_total{circuit_breaker=\"app\",to=\"closed\"} 1";
    assert!(metrics().contains(changes));
    // Another condition is another breaker: it has seen nothing.
    fs::write(
        &stage.file,
        text(web, a.port, &breaker.replace("0.5", "0.9"), ""),
    )
    .unwrap();
    stage.command(&["reload"]).good();
    assert!(!metrics().contains(changes));
}

#[test]
fn a_dead_target_and_its_retries_open_it() {
    let (web, dead) = (free_port(), free_port());
    let breaker = "opens_when = 'NetworkErrorRatio() > 0.3', min_requests = 5, open_for = '1h'";
    let text = text(web, dead, breaker, "").replace("retries = 0", "retries = 2");
    let stage = Stage::new(&text);
    eventually("it is open", || {
        answers(web, 4);
        let refused = "portway_circuit_breaker_refused_requests_total{circuit_breaker=\"app\"} ";
        (stage.metric(refused) != "0").then_some(())
    });
    let status = stage.portway.status();
    let known = &status["circuit_breakers"][0];
    assert_eq!(
        (known["name"].as_str(), known["state"].as_str()),
        (Some("app"), Some("open"))
    );
    assert_eq!(known["percent"], 0.0);
    let told = stage.command(&["status"]).good();
    assert!(told.contains("CIRCUIT BREAKER"), "{told}");
    let faults = "portway_listener_faults_total{listener=\"web\",fault=\"circuit_open\"} ";
    let before: u64 = stage.metric(faults).parse().unwrap();
    let failures = "portway_target_connect_failures_total";
    let tried = |stage: &Stage| {
        let url = format!("http://{}/metrics", stage.portway.admin);
        let text = stage.scene.curl(&["-s", &url]).good();
        let line = text.lines().find(|it| it.starts_with(failures)).unwrap();
        line.to_owned()
    };
    let connects = tried(&stage);
    assert_eq!(answers(web, 10), vec!["503 -"; 10]);
    // Nobody tries the target meanwhile.
    assert_eq!(tried(&stage), connects);
    let after: u64 = stage.metric(faults).parse().unwrap();
    assert_eq!(after, before + 10);
    let log = stage.portway.stop();
    assert!(log.contains("circuit breaker app is open"), "{log}");
}

#[test]
fn traefiks_middleware_opens_on_slowness() {
    let (a, web) = (Moody::start("a"), free_port());
    let scene = Scene::new();
    scene.file(
        "dynamic.yml",
        format!(
            "http:\n  routers:\n    app:\n      rule: PathPrefix(`/`)\n      middlewares: [breaker]\n      service: app\n  \
             middlewares:\n    breaker:\n      circuitBreaker:\n        expression: LatencyAtQuantileMS(50.0) > 400\n        \
             fallbackDuration: 1h\n  services:\n    app:\n      loadBalancer:\n        servers:\n          - url: http://127.0.0.1:{}\n",
            a.port
        ),
    );
    let entry = format!(
        "entryPoints:\n  web:\n    address: 127.0.0.1:{web}\nproviders:\n  file:\n    filename: dynamic.yml\n"
    );
    scene.file("traefik.yml", entry);
    let portway = scene.portway_with(&["traefik.yml"]);
    assert_eq!(answers(web, 2), vec!["200 a"; 2]);
    a.is(80);
    eventually("it is open", || {
        answers(web, 4).contains(&"503 -".to_owned()).then_some(())
    });
    a.is(200);
    assert_eq!(answers(web, 5), vec!["503 -"; 5]);
    drop(portway);
}
