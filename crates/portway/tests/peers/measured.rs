//! What metrics say of rules, stick tables and health checks: counted where it happens, and kept where a reload keeps it.

use std::sync::atomic::Ordering;

use crate::echo::Echo;
use crate::queue::Gate;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port};

/// A target that takes one at a time: who is bound to it waits for it alone. What went to it, and by which rule, is known.
#[test]
fn groups_and_single_targets_have_figures() {
    let (gate, web, tcp) = (Gate::default(), free_port(), free_port());
    let (one, two) = (gate.target(), Echo::start("two"));
    let text = format!(
        "{}[target_group.app]\ntimeouts.queue = '30s'\n\
         targets = [{{ address = '127.0.0.1:{one}', max_connections = 1 }}, '127.0.0.1:{}']\n\
         [[target_group.app.rule]]\nwhen = 'Path(`/no`)'\nrespond = {{ status = 403, body = 'no' }}\n\
         [[target_group.app.rule]]\nwhen = 'Path(`/one`)'\nuse_target = '127.0.0.1:{one}'\n\
         [[target_group.app.rule]]\nuse_target = '127.0.0.1:{}'\n\
         [listener.raw]\nbind = '127.0.0.1:{tcp}'\nprotocol = 'tcp'\nforward = 'raw'\n\
         [target_group.raw]\nprotocol = 'tcp'\ntargets = ['127.0.0.1:{}']\n",
        listener("web", web, "app"),
        two.port,
        two.port,
        two.port,
    );
    let stage = Stage::new(&text);
    let line_of = |words: &str| text.lines().position(|it| it.contains(words)).unwrap();
    let rule = |words: &str| {
        let line = line_of(words);
        format!(
            "portway_target_group_rule_requests_total{{target_group=\"app\",rule=\"web.toml:{line}\"}} "
        )
    };
    let of = |metric: &str, port: u16| {
        format!("portway_target_{metric}{{target_group=\"app\",target=\"127.0.0.1:{port}\"}} ")
    };
    // Three that one target must serve: two wait for it, though another is idle.
    let mut clients: Vec<Client> = (0..3).map(|_| Client::new(web)).collect();
    for client in &mut clients {
        client.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("two wait for it", || {
        (number(&stage, &of("queued", one)) == 2).then_some(())
    });
    let mut other = Client::new(web);
    assert_eq!(other.ask("/else"), "two");
    other.send("GET /no HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(other.answer().starts_with("http/1.1 403 "));
    gate.open.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
    let mut raw = Client::new(tcp);
    assert_eq!(raw.ask("/"), "two");
    drop(raw);
    let lasted = "portway_listener_connection_duration_seconds_count{listener=\"raw\"} ";
    eventually("the connection has ended", || {
        stage.has_metric(lasted).then_some(())
    });
    assert_eq!(number(&stage, lasted), 1);
    assert_eq!(number(&stage, &of("queued", one)), 0);
    assert_eq!(number(&stage, &of("queue_seconds_count", one)), 2);
    assert_eq!(number(&stage, &rule("Path(`/one`)")), 3);
    assert_eq!(number(&stage, &rule("Path(`/no`)")), 1);
    // Who has no limit has no queue, and nobody waited for it.
    for metric in ["queued", "queue_seconds_count"] {
        assert!(!stage.has_metric(&of(metric, two.port)), "{metric}");
    }
    assert!(!stage.has_metric(&lasted.replace("raw", "web")));
    // Bytes are those of the one that served, and of the group those of both, and of what it answered itself.
    let request =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n").len() as u64;
    let received = |port| number(&stage, &of("received_bytes_total", port));
    assert_eq!(received(two.port), request("/else"));
    assert_eq!(
        received(one),
        3 * (request("/one") - ".example".len() as u64)
    );
    let of_group = |way: &str| {
        number(
            &stage,
            &format!("portway_target_group_{way}_bytes_total{{target_group=\"app\"}} "),
        )
    };
    let own = request("/no") - ".example".len() as u64;
    assert_eq!(
        of_group("received"),
        received(one) + received(two.port) + own
    );
    let sent = |port| number(&stage, &of("sent_bytes_total", port));
    assert!(sent(one) > 3 * 38 && sent(two.port) > 38);
    assert!(of_group("sent") > sent(one) + sent(two.port));
}

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
