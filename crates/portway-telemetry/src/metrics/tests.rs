//! The rendered text, reloads, and the list.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::record::FaultCode;

fn names(listeners: &[&str], groups: &[(&str, &[&str])]) -> Names {
    let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Names {
        listeners: strings(listeners),
        groups: groups
            .iter()
            .map(|(name, targets)| GroupNames {
                name: name.to_string(),
                targets: strings(targets),
                rules: strings(&["web.cfg:9"]),
            })
            .collect(),
        rules: listeners.iter().map(|_| strings(&["web.cfg:7"])).collect(),
        refusals: vec!["bare_lf", "te_and_cl"],
    }
}

fn shard(registry: &Registry, worker: usize) -> Arc<Shard> {
    registry.shard(worker).expect("a worker")
}

fn rendered(registry: &Registry) -> String {
    let process = ProcessFigures {
        tables: &[TableFigures {
            name: "per-client",
            entries: 3,
            size: 4,
            evicted: 2,
            refused: 1,
        }],
        logs: &[LogFigures {
            destination: "/var/log/a b\".log".to_owned(),
            written: 10,
            dropped: 1,
            cut: 2,
        }],
        memory: MemoryFigures {
            budget: 64 << 20,
            used: [
                ("buffers", 32_768),
                ("exchanges", 12_288),
                ("connections", 2048),
                ("tls", 0),
            ],
            resident: Some(40 << 20),
        },
        pipes: PipeFigures {
            most: 256,
            lent: 2,
            free: 3,
            bytes: 1 << 30,
            refused: 4,
        },
        version: "1.2.3",
        started: UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
        generation: 4,
        circuits: &[CircuitFigures {
            name: "breaker",
            state: 1,
            changes: [("closed", 1), ("open", 2), ("recovering", 1)],
            refused: 9,
        }],
        draining: [0, 3, 7],
        certificates: &[
            CertificateFigures {
                name: "site",
                not_after: 1_800_000_000,
                ocsp_until: Some(1_700_003_600),
            },
            CertificateFigures {
                name: "other",
                not_after: 1_800_000_001,
                ocsp_until: None,
            },
        ],
        revocation_lists: &[RevocationListFigures {
            issuer: "CN=Root",
            next_update: 1_700_007_200,
        }],
        names: NameFigures {
            results: [90, 5, 4, 3, 2],
            oldest: Duration::from_millis(7_900),
        },
    };
    let health = |_, target| match target {
        0 => TargetHealth::Healthy.into(),
        _ => TargetFigures {
            health: TargetHealth::Unhealthy,
            ejections: [("failures", 2), ("slow", 1), ("trial", 0), ("", 0), ("", 0)],
            checks: Some(CheckFigures {
                passed: 90,
                failed: 7,
                took: Some(Duration::from_micros(1_250)),
            }),
            queued: Some(5),
        },
    };
    let mut out = String::new();
    registry.render(&process, &health, &mut out);
    out
}

/// The sample that begins so.
fn value(text: &str, sample: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(sample));
    found.unwrap_or_else(|| panic!("no {sample}")).trim().into()
}

#[test]
fn golden_text() {
    let registry = Registry::new(2, names(&["web"], &[("app", &["app1", "a\"\\\n2"])]));
    for worker in 0..2 {
        let shard = shard(&registry, worker);
        shard.worker().limit_reached(Limit::Attempts);
        shard.worker().accept_errors.add(1);
        shard.worker().access_log_dropped.add(10);
        let listener = shard.listener(0);
        listener.connections.add(3);
        listener.connections_open.up();
        listener.requests.count(200);
        listener.requests.count(503);
        listener.requests.count(0);
        listener.requests.count(999);
        listener.received_bytes.add(1_000);
        listener.sent_bytes.add(5_000);
        listener.compressed.responses.add(2);
        listener.compressed.bytes_in.add(4_000);
        listener.compressed.bytes_out.add(900);
        listener.refused(1);
        listener.fault(FaultCode::RefusedRequest("te_and_cl"));
        listener.tls_handshakes_ok.add(2);
        listener
            .tls_handshakes_failed
            .count(HandshakeFailure::Expired);
        listener.tls_resumptions.add(1);
        listener
            .tls_handshake_time
            .observe(Duration::from_micros(900));
        listener.request_duration.observe(Duration::from_millis(7));
        listener.request_duration.observe(Duration::from_secs(61));
        shard.group(0).requests.count(404);
        shard.group(0).retries.count(RetryReason::Timeout);
        shard.group(0).retries.count_body(HeldBody::TooLong);
        shard.group(0).retries.with_body.add(1);
        shard
            .group(0)
            .response_time
            .observe(Duration::from_micros(1_500));
        let target = shard.target(0, 1);
        target.requests.count(101);
        target.requests_in_flight.add(5);
        target.connect_failures.add(2);
        target.failed_attempts.add(3);
        target.connections.add(4);
        target.connections_reused.add(6);
        target.connections_open.add(3);
        target.connections_idle.add(2);
        let durations = target.durations.counters();
        durations.response.observe(Duration::from_micros(2_400));
        durations.connect.observe(Duration::from_micros(300));
        target.received_bytes.add(700);
        target.sent_bytes.add(900);
        let queue_time = target.queue_time.counters();
        queue_time.observe(Duration::from_millis(20));
        shard.group_rule(0, 0).add(3);
        shard.group(0).received_bytes.add(800);
        shard.group(0).sent_bytes.add(1_100);
        let connection_duration = &shard.listener(0).connection_duration;
        connection_duration.observe(Duration::from_secs(3_600));
        let tls = target.tls.counters();
        tls.ok.add(2);
        tls.resumptions.add(1);
        tls.time.observe(Duration::from_millis(3));
        tls.failures.count(HandshakeFailure::WrongName);
    }
    registry.process().access_log_dropped.add(1);
    registry.process().limit_reached(Limit::AccessLogBatches);
    // A part may be below 0: only sums have a meaning.
    shard(&registry, 1).listener(0).connections_open.add(-1);
    shard(&registry, 1).listener(0).connections_open.add(-1);
    shard(&registry, 0).listener(0).connections_open.up();

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.txt");
    let text = rendered(&registry);
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        std::fs::write(path, &text).expect("written");
    }
    let golden = std::fs::read_to_string(path).expect("golden.txt");
    assert_eq!(text, golden, "PORTWAY_BLESS=1 writes the file anew");
}

#[test]
fn the_list_is_in_order() {
    let names: BTreeSet<_> = Family::ALL.iter().map(|family| family.name()).collect();
    assert_eq!(names.len(), Family::ALL.len());
    for (index, family) in Family::ALL.into_iter().enumerate() {
        let (name, help) = (family.name(), family.help());
        assert_eq!(family as usize, index, "{name}");
        assert!(name.starts_with("portway_"), "{name}");
        assert_eq!(
            name.ends_with("_total"),
            family.kind() == Kind::Counter,
            "{name}"
        );
        assert!(
            help.ends_with('.') && !help.contains(['\n', '\\']),
            "{name}"
        );
        // Counters and histograms say their unit; of the gauges, the plain numbers are their own.
        let unit = [" in ", "Times ", "Number of ", "Always 1", "without unit"];
        assert!(
            unit.iter().any(|unit| help.contains(unit)),
            "{name}: {help}"
        );
    }
    for (index, limit) in Limit::ALL.into_iter().enumerate() {
        assert_eq!(limit as usize, index, "{}", limit.name());
        assert!(!limit.meaning().is_empty());
    }
}

#[test]
fn every_family_is_rendered_once() {
    let text = rendered(&Registry::new(1, names(&["l"], &[("g", &["t"])])));
    for family in Family::ALL {
        let head = format!("# TYPE {} {}\n", family.name(), family.kind().word());
        assert_eq!(text.matches(&head).count(), 1, "{head}");
    }
}

#[test]
fn a_reload_keeps_what_keeps_its_name() {
    let old = Registry::new(
        2,
        names(&["a", "b"], &[("g", &["t1", "t2"]), ("h", &["t1"])]),
    );
    for worker in 0..2 {
        let shard = shard(&old, worker);
        shard.worker().accept_errors.add(1);
        shard.listener(0).connections.add(1);
        shard.listener(1).connections.add(10);
        shard.group(0).retries.count(RetryReason::Connect);
        shard.group(0).retries.count(RetryReason::Status);
        shard.target(0, 1).connections.add(5);
        shard.target(1, 0).connections.add(7);
    }
    old.process().limit_reached(Limit::Attempts);
    let gone = shard(&old, 0).listener(0).clone();
    let in_flight = shard(&old, 0).target(0, 1).clone();
    in_flight.requests_in_flight.up();

    let next = names(&["c", "b"], &[("h", &["t1"]), ("g", &["t3", "t2"])]);
    let new = old.renewed(next, &Past::default());
    let text = rendered(&new);
    let check = |sample: &str, expected: &str| assert_eq!(value(&text, sample), expected);
    check("portway_accept_errors_total", "2");
    check("portway_limit_reached_total{limit=\"attempts\"}", "1");
    check("portway_listener_connections_total{listener=\"b\"}", "20");
    check("portway_listener_connections_total{listener=\"c\"}", "0");
    check(
        "portway_target_group_retries_total{target_group=\"g\"}",
        "4",
    );
    check(
        "portway_target_connections_total{target_group=\"g\",target=\"t2\"}",
        "10",
    );
    check(
        "portway_target_connections_total{target_group=\"g\",target=\"t3\"}",
        "0",
    );
    check(
        "portway_target_connections_total{target_group=\"h\",target=\"t1\"}",
        "14",
    );
    assert!(!text.contains("\"a\"") && !text.contains("target_group=\"g\",target=\"t1\""));

    // Exchanges that began before the reload end on the same gauges; what is gone may still be counted in.
    let sample = "portway_target_requests_in_flight{target_group=\"g\",target=\"t2\"}";
    assert_eq!(value(&text, sample), "1");
    in_flight.requests_in_flight.down();
    gone.connections_open.down();
    assert_eq!(value(&rendered(&new), sample), "0");
}

#[test]
fn what_leaves_and_comes_back_and_what_is_renamed_is_counted_on() {
    let all = names(&["a", "b"], &[("g", &["t1", "t2"]), ("h", &["t"])]);
    let first = Registry::new(1, all.clone());
    let of_first = shard(&first, 0);
    of_first.listener(0).connections_open.up();
    of_first.listener(1).connections_open.up();
    of_first.target(0, 0).requests_in_flight.up();
    of_first.target(0, 1).requests_in_flight.up();
    of_first.target(1, 0).requests_in_flight.up();
    let past = Past {
        renamed_listeners: vec![("z".to_owned(), "b".to_owned())],
        renamed_targets: vec![("g".to_owned(), "new".to_owned(), "t2".to_owned())],
        leaving: names(&["a"], &[("g", &["t1"]), ("h", &["t"])]),
    };
    let second = first.renewed(names(&["z"], &[("g", &["new"])]), &past);
    let text = rendered(&second);
    let open = "portway_listener_connections_open{listener=";
    let in_flight = "portway_target_requests_in_flight{target_group=";
    assert_eq!(value(&text, &format!("{open}\"z\"}}")), "1");
    assert_eq!(
        value(&text, &format!("{in_flight}\"g\",target=\"new\"}}")),
        "1"
    );
    assert!(!text.contains("\"a\"") && !text.contains("\"t1\"") && !text.contains("\"h\""));
    let text = rendered(&second.renewed(all, &Past::default()));
    for sample in [
        format!("{open}\"a\"}}"),
        format!("{in_flight}\"g\",target=\"t1\"}}"),
        format!("{in_flight}\"h\",target=\"t\"}}"),
    ] {
        assert_eq!(value(&text, &sample), "1", "{sample}");
    }
}

#[test]
fn blocks_do_not_share_cache_lines() {
    let registry = Registry::new(2, names(&["a"], &[("g", &["t"])]));
    let place = |worker| Arc::as_ptr(shard(&registry, worker).target(0, 0)) as usize;
    assert_eq!(place(0) % 64, 0);
    assert!(place(0).abs_diff(place(1)) >= 64);
}

#[test]
fn histograms_of_targets_are_bounded_and_begin_when_there_is_something() {
    let many: Vec<String> = (0..=MOST_TARGET_HISTOGRAMS)
        .map(|at| format!("t{at}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let registry = Registry::new(2, names(&["web"], &[("app", &many)]));
    let lines = |text: &str, name: &str| text.lines().filter(|it| it.starts_with(name)).count();
    let response = "portway_target_response_time_seconds_count";
    let handshakes = "portway_target_tls_handshakes_total";
    let text = rendered(&registry);
    assert_eq!((lines(&text, response), lines(&text, handshakes)), (0, 0));
    for at in 0..many.len() {
        let target = shard(&registry, at % 2).target(0, at).clone();
        let durations = target.durations.counters();
        durations.response.observe(Duration::from_millis(1));
        target.tls.counters().ok.add(1);
        target.tls.counters().time.observe(Duration::from_millis(1));
    }
    let text = rendered(&registry);
    assert_eq!(lines(&text, response), MOST_TARGET_HISTOGRAMS);
    assert_eq!(lines(&text, "portway_target_connect_seconds"), 0);
    assert_eq!(lines(&text, handshakes), 2 * many.len());
    // All of them are in that of the group.
    let group = "portway_target_group_tls_handshake_seconds_count{target_group=\"app\"}";
    assert_eq!(value(&text, group), "1001");
    assert!(std::mem::size_of::<TargetDurations>() <= 320);
    assert!(std::mem::size_of::<TargetTls>() <= 320);
}
