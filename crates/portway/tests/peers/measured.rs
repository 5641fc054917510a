//! What metrics say of rules, stick tables and health checks: counted where it happens, and kept where a reload keeps it.

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port};

fn number(stage: &Stage, line: &str) -> u64 {
    stage.metric(line).parse().unwrap()
}

#[test]
fn rules_tables_and_checks_have_figures() {
    let (one, web) = (Echo::start("one"), free_port());
    // The first is dead: what it does not take is tried again.
    let dead = free_port();
    let text = |before: &str| {
        format!(
            "{before}{}\
             [[listener.web.rule]]\ntrack = {{ key = 'argument(\"user\")', table = 'users' }}\n\
             [[listener.web.rule]]\nwhen = 'Path(`/own`)'\nrespond = {{ status = 403, body = 'no' }}\n\
             [[listener.web.rule]]\nwhen = 'PathPrefix(`/app`)'\nforward = 'app'\n\
             [[listener.web.rule]]\nwhen = 'Path(`/never`)'\nforward = 'app'\n\
             [stick_table.users]\nkey = 'text'\nsize = 4\nstore = ['requests']\n\
             {}retries = 2\nhealth_check = {{ http = '/', interval = '200ms', unhealthy_threshold = 2 }}\n",
            listener("web", web, "app"),
            group("app", &[dead, one.port]),
        )
    };
    let stage = Stage::new(&text(""));
    let rule = |file_line: u32| {
        format!(
            "portway_listener_rule_requests_total{{listener=\"web\",rule=\"web.toml:{file_line}\"}} "
        )
    };
    let mut client = Client::new(web);
    for user in 0..10 {
        assert_eq!(client.ask(&format!("/app?user={user}")), "one");
        client.send("GET /own HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.answer().starts_with("http/1.1 403 "));
        assert_eq!(client.ask("/elsewhere"), "one");
    }
    // By the lines of their text: each rule begins behind the head of its table.
    let lines = text("").lines().map(str::to_owned).collect::<Vec<_>>();
    let line_of = |words: &str| {
        let at = lines.iter().position(|it| it.contains(words)).unwrap();
        u32::try_from(at).unwrap()
    };
    let (own, app) = (line_of("`/own`"), line_of("`/app`"));
    assert_eq!(number(&stage, &rule(own)), 10);
    assert_eq!(number(&stage, &rule(app)), 10);
    let page = stage
        .scene
        .curl(&["-s", &format!("http://{}/metrics", stage.portway.admin)])
        .good();
    let rules = page
        .lines()
        .filter(|it| it.starts_with("portway_listener_rule"));
    let rules: Vec<&str> = rules.collect();
    // The one that none came to is left out; what is forwarded where no rule decides is a rule too.
    assert_eq!(rules.len(), 3, "{rules:#?}");
    assert_eq!(
        number(
            &stage,
            "portway_stick_table_entries{stick_table=\"users\"} "
        ),
        4
    );
    assert_eq!(
        number(
            &stage,
            "portway_stick_table_size_entries{stick_table=\"users\"} "
        ),
        4
    );
    let evicted = "portway_stick_table_full_total{stick_table=\"users\",result=\"evicted\"} ";
    let before = number(&stage, evicted);
    assert_eq!(before, 6);
    let checks = |port: u16, result: &str| {
        format!(
            "portway_target_health_checks_total{{target_group=\"app\",target=\"127.0.0.1:{port}\",result=\"{result}\"}} "
        )
    };
    eventually("both are checked", || {
        let failed = number(&stage, &checks(dead, "failed"));
        let passed = number(&stage, &checks(one.port, "passed"));
        (failed > 1 && passed > 1).then_some(())
    });
    let took = format!(
        "portway_target_health_check_seconds{{target_group=\"app\",target=\"127.0.0.1:{}\"}} ",
        one.port
    );
    let seconds: f64 = stage.metric(&took).parse().unwrap();
    assert!(seconds > 0.0 && seconds < 5.0, "{seconds}");
    // What keeps its place counts on; so does the table, and the checks.
    let passed = number(&stage, &checks(one.port, "passed"));
    stage.becomes(&(text("") + "[process]\nnode = 'other'\n"));
    for _ in 0..3 {
        assert_eq!(client.ask("/app?user=9"), "one");
    }
    assert_eq!(number(&stage, &rule(app)), 13);
    assert_eq!(number(&stage, evicted), before);
    assert!(number(&stage, &checks(one.port, "passed")) >= passed);
    // One that stands elsewhere is another.
    stage.becomes(&text("# a line before it\n"));
    assert_eq!(client.ask("/app?user=9"), "one");
    assert_eq!(number(&stage, &rule(app + 1)), 1);
}
