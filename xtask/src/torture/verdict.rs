//! The end of a run: what has to be true when the load is gone, and the figures of the report.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Measured;
use super::portway::{Metrics, Portway, Records};
use super::tally::{Class, Count, Tally};

/// How long Portway may take to come to rest: idle connections to targets live five seconds, deadlines twenty.
const REST: Duration = Duration::from_secs(40);

/// Memory may grow by so many percent, and so many KiB, between the second minute and the end: allocators keep what
/// bursts have left.
const GROWTH_PERCENT: u64 = 10;
const GROWTH_KIB: u64 = 6 * 1024;

/// Gauges that are 0 when nobody is there.
const GAUGES: [&str; 5] = [
    "portway_listener_connections_open",
    "portway_listener_requests_in_flight",
    "portway_target_requests_in_flight",
    "portway_target_connections_open",
    "portway_target_connections_idle",
];

/// Looks at everything, prints the figures, stops Portway. The error holds all that is wrong.
pub(super) fn judge(
    portway: &mut Portway,
    tally: &Tally,
    measured: &Measured,
) -> Result<(), String> {
    let cpu = portway.cpu();
    if !portway.has_ended() {
        match at_rest(portway, tally) {
            Ok(metrics) => records(portway, tally, &metrics),
            Err(problem) => tally.fail(problem),
        }
        memory(tally, measured);
        descriptors(portway, tally, measured);
        match portway.stop() {
            Ok(status) if status.success() => {}
            Ok(status) => tally.fail(format_args!("SIGTERM: {status}")),
            Err(problem) => tally.fail(problem),
        }
    }
    let errors = portway.errors();
    for line in errors.lines().filter(|line| line.contains("panicked")) {
        tally.fail(line);
    }
    report(tally, measured, cpu);
    match tally.failures() {
        0 => Ok(()),
        count => Err(format!(
            "{}\ntorture: {count} failures",
            tally.texts().join("\n")
        )),
    }
}

/// Waits until every gauge is 0.
fn at_rest(portway: &Portway, tally: &Tally) -> Result<Metrics, String> {
    let begun = Instant::now();
    loop {
        let metrics = portway.metrics()?;
        let left: Vec<String> = GAUGES
            .iter()
            .flat_map(|name| {
                metrics
                    .named(name)
                    .map(move |(labels, value)| (name, labels, value))
            })
            .filter(|(.., value)| *value != 0)
            .map(|(name, labels, value)| format!("{name}{labels} is {value}"))
            .collect();
        if left.is_empty() {
            return Ok(metrics);
        }
        if begun.elapsed() > REST {
            for text in left {
                tally.fail(format_args!("at rest, {text}"));
            }
            return Ok(metrics);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// One record an exchange and a TCP connection, and as many as clients know of.
fn records(portway: &Portway, tally: &Tally, metrics: &Metrics) {
    // The writer has half a second for what it holds.
    std::thread::sleep(Duration::from_secs(2));
    let records = match portway.records() {
        Ok(records) => records,
        Err(problem) => return tally.fail(problem),
    };
    let dropped = metrics.sum("portway_access_log_dropped_total");
    // Of every exchange, those without a status included, which `requests_total` has no class for.
    let exchanges = metrics.sum("portway_listener_request_duration_seconds_count");
    // Of every stream, and of every connection whose TLS handshake failed.
    let streams = metrics.with("portway_listener_connections_total", "listener=\"raw\"")
        + metrics.with("portway_listener_faults_total", "fault=\"client_tls\"");
    println!(
        "torture: {} HTTP and {} TCP records ({} MiB), {dropped} dropped; {exchanges} exchanges, {streams} TCP connections in metrics",
        records.http,
        records.tcp,
        records.bytes >> 20,
    );
    if records.broken > 0 {
        tally.fail(format_args!(
            "{} lines of the access log are no records",
            records.broken
        ));
    }
    if records.http + records.tcp + dropped != exchanges + streams {
        tally.fail("records and metrics do not agree");
    }
    if dropped == 0 {
        by_class(tally, &records);
    }
    let resumed = metrics.sum("portway_listener_tls_resumptions_total");
    if resumed < tally.resumed.load(Ordering::Relaxed) || resumed == 0 {
        tally.fail(format_args!(
            "metrics know of {resumed} resumed sessions only"
        ));
    }
    let internal = metrics.with("portway_listener_faults_total", "fault=\"internal\"");
    if internal > 0 {
        tally.fail(format_args!("{internal} faults of Portway's own"));
    }
}

fn by_class(tally: &Tally, records: &Records) {
    for class in Class::ALL.into_iter().filter(|class| class.is_recorded()) {
        let sent = tally.of(class, Count::Sent);
        let name = class.name();
        let found = records.by_user_agent.get(name).copied().unwrap_or(0);
        if sent != found {
            tally.fail(format_args!(
                "{name}: {sent} requests were sent, {found} are recorded"
            ));
        }
    }
}

fn memory(tally: &Tally, measured: &Measured) {
    let most = measured.settled + measured.settled * GROWTH_PERCENT / 100 + GROWTH_KIB;
    if measured.last > most {
        let Measured { settled, last, .. } = measured;
        tally.fail(format_args!("memory grew from {settled} to {last} KiB"));
    }
}

fn descriptors(portway: &Portway, tally: &Tally, measured: &Measured) {
    let begun = Instant::now();
    while begun.elapsed() < REST {
        if portway.descriptors() <= measured.descriptors_before {
            return;
        }
    }
    tally.fail(format_args!(
        "{} descriptors are open, {} before the load",
        portway.descriptors(),
        measured.descriptors_before
    ));
}

fn report(tally: &Tally, measured: &Measured, cpu: f64) {
    println!(
        "torture: {:<20}{:>10}{:>10}{:>6}{:>14}{:>8}",
        "", "sent", "whole", "cut", "unrepeatable", "failed"
    );
    for class in Class::ALL {
        let of = |count| tally.of(class, count);
        println!(
            "torture: {:<20}{:>10}{:>10}{:>6}{:>14}{:>8}",
            class.name(),
            of(Count::Sent),
            of(Count::Whole),
            of(Count::Cut),
            of(Count::Unrepeatable),
            of(Count::Failed),
        );
    }
    let of = |cell: &std::sync::atomic::AtomicU64| cell.load(Ordering::Relaxed);
    let Measured {
        duration,
        settled,
        last,
        most,
        ..
    } = measured;
    println!(
        "torture: {:.0} s; {} MiB down, {} MiB up, {} heartbeats, {} resumed sessions, the target was away {} times",
        duration.as_secs_f64(),
        of(&tally.bytes_down) >> 20,
        of(&tally.bytes_up) >> 20,
        of(&tally.heartbeats),
        of(&tally.resumed),
        of(&tally.absences),
    );
    println!(
        "torture: memory {settled} KiB settled, {last} at the end, {most} at most; {cpu:.1} s of CPU"
    );
}
