//! Retries that a group can bear, and requests that wait only as long as there is a place for them.

use std::thread;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port};

/// A group whose targets are asked again where they answer 503.
fn text(web: u16, ports: &[u16], more: &str) -> String {
    format!(
        "{}{}retries = 3\nretry_on = ['connect_failure', 503]\n{more}",
        listener("web", web, "app"),
        group("app", ports)
    )
}

fn number(stage: &Stage, line: &str) -> u64 {
    stage
        .metric(&format!("{line}{{target_group=\"app\"}} "))
        .parse()
        .unwrap()
}

/// The statuses of so many requests, one after the other.
fn statuses(web: u16, path: &str, count: usize) -> Vec<String> {
    let mut client = Client::new(web);
    let ask = |_| {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.answer().split(' ').nth(1).unwrap().to_owned()
    };
    (0..count).map(ask).collect()
}

#[test]
fn retries_have_a_budget_and_connections_that_fail_spend_none() {
    let (one, two, web) = (Echo::start("one"), Echo::start("two"), free_port());
    let dead = free_port();
    let ports = [one.port, two.port, dead];
    let with = |more: &str| text(web, &ports, more);
    let stage = Stage::new(&with(""));
    let fail = |count| {
        // The last attempt may have been at the dead one.
        let all = statuses(web, "/status/503", count);
        assert!(all.iter().all(|it| it == "503" || it == "502"), "{all:?}");
    };
    // Each third is tried again at another target, which nobody has to pay for.
    assert_eq!(statuses(web, "/", 300), vec!["200"; 300]);
    let free = number(&stage, "portway_target_group_retries_total");
    assert!(free >= 100, "{free}");
    assert_eq!(
        number(&stage, "portway_target_group_retries_refused_total"),
        0
    );
    // All of them fail now: a hundred retries, and one for each five requests.
    fail(300);
    let refused = number(&stage, "portway_target_group_retries_refused_total");
    assert!((100..=290).contains(&refused), "{refused}");
    // The budget is what the file says from a reload on; 0 is none.
    stage.becomes(&with("retry_budget = 0\nretry_backoff = '1ms'\n"));
    fail(100);
    let still = number(&stage, "portway_target_group_retries_refused_total");
    assert_eq!(still, refused);
}

#[test]
fn a_group_has_only_so_many_that_wait() {
    let (one, web) = (Echo::start("one"), free_port());
    let more = "targets = [{ address = '127.0.0.1:PORT', max_connections = 1 }]\nmax_pending = 2\n";
    let more = more.replace("PORT", &one.port.to_string());
    let text = format!("{}[target_group.app]\n{more}", listener("web", web, "app"));
    let stage = Stage::new(&text);
    let clients: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || statuses(web, "/slow/600", 1).remove(0)))
        .collect();
    eventually("two wait", || {
        (number(&stage, "portway_target_group_queued") == 2).then_some(())
    });
    // Those that wait feel nothing of a reload.
    stage.becomes(&text.replace("max_pending = 2", "max_pending = 3"));
    let mut statuses: Vec<String> = clients.into_iter().map(|it| it.join().unwrap()).collect();
    statuses.sort();
    let expected = [vec!["200"; 3], vec!["503"; 5]].concat();
    assert_eq!(statuses, expected);
    let waited = number(&stage, "portway_target_group_queue_seconds_count");
    assert_eq!(
        (waited, number(&stage, "portway_target_group_queued")),
        (2, 0)
    );
    let full = "portway_listener_faults_total{listener=\"web\",fault=\"queue_full\"} ";
    assert_eq!(stage.metric(full), "5");
}
