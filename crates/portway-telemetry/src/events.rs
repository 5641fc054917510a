//! What happens to the process, as types: an event knows its line in the log and how loud it is.
//!
//! Events are for people who operate Portway: they are rare. What happens per exchange is a record, what happens often is a
//! metric; [`Event::TargetHandshakeFailed`] stands for a burst and says how many it was.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::Level;

use crate::metrics::TargetHealth;

/// Something that happened to the process.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// The process serves.
    Started {
        /// Version of Portway.
        version: &'a str,
        /// Number of data workers.
        workers: usize,
    },
    /// A listener accepts connections.
    ListenerStarted {
        /// Its name.
        listener: &'a str,
        /// Its protocol: `http`, `https`, `tcp`, `tls`.
        protocol: &'a str,
        /// Where, as configured.
        address: &'a dyn fmt::Display,
    },
    /// The health of a target changed.
    TargetHealthChanged {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// Before.
        from: TargetHealth,
        /// After.
        to: TargetHealth,
        /// Why, in words.
        reason: &'a dyn fmt::Display,
    },
    /// Passive health leaves a target out.
    TargetEjected {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// For how long.
        time: Duration,
        /// Why, in words.
        reason: &'a dyn fmt::Display,
    },
    /// Passive health would leave a target out, and too many are, or nobody else could serve.
    TargetNotEjected {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// What is wrong with it.
        reason: &'a dyn fmt::Display,
    },
    /// A target that was left out is tried again.
    TargetReturned {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// Why, in words.
        reason: &'a str,
    },
    /// No target of a group is usable any more.
    TargetGroupDown {
        /// Name of the group.
        target_group: &'a str,
        /// Traffic goes to all targets all the same.
        fail_open: bool,
    },
    /// TLS handshakes with a target failed, for exchanges and connections, not for checks.
    TargetHandshakeFailed {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// What is wrong, of the latest.
        error: &'a dyn fmt::Display,
        /// How often since the event before.
        times: u64,
    },
    /// A check of a target could not be made for a reason of this machine or process: the target stays as it is.
    HealthCheckNotMade {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// What the system says.
        reason: &'a str,
    },
    /// The name of a target leads nowhere, or elsewhere than before.
    TargetResolved {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// The address, or why there is none.
        address: Result<SocketAddr, &'a str>,
    },
    /// Keys of tokens are known, other than before, or cannot be fetched.
    KeysFetched {
        /// Where from.
        url: &'a str,
        /// How many, or why there are none.
        keys: Result<usize, &'a str>,
    },
    /// A certificate is in use.
    CertificateLoaded {
        /// Its name in the configuration.
        certificate: &'a str,
        /// Subject and alternative names, as a list for people.
        names: &'a str,
        /// Days until it expires; below 0 once it has.
        days_left: i64,
    },
    /// Another configuration is at work.
    Reloaded {
        /// What asked: `SIGHUP`.
        by: &'a str,
        /// Its number.
        generation: u64,
        /// Objects that came, went or changed.
        changes: usize,
    },
    /// The configuration at work stays, because something is wrong with the one that was to follow it.
    ReloadFailed {
        /// What asked: `SIGHUP`.
        by: &'a str,
        /// The first error.
        error: &'a str,
    },
    /// The program is started again, to take over from this process.
    UpgradeStarted {
        /// What asked: `SIGUSR2`.
        by: &'a str,
    },
    /// Another process serves in place of this one.
    Upgraded {
        /// What asked.
        by: &'a str,
        /// Its number.
        process: u32,
        /// How long that took.
        took: Duration,
    },
    /// This process goes on, because the one that was to take over does not serve.
    UpgradeFailed {
        /// What asked.
        by: &'a str,
        /// Why.
        error: &'a str,
    },
    /// A listener accepts no more on an address.
    ListenerStopped {
        /// Its name.
        listener: &'a str,
        /// Where, as configured.
        address: &'a dyn fmt::Display,
    },
    /// Something drains.
    DrainStarted {
        /// What: `listener`, `target`.
        kind: &'a str,
        /// Its name.
        name: &'a str,
        /// What is left of it.
        left: u64,
        /// How long that has; `None`: for ever.
        deadline: Option<Duration>,
    },
    /// Nothing is left of something that drained.
    DrainEnded {
        /// What: `listener`, `target`.
        kind: &'a str,
        /// Its name.
        name: &'a str,
        /// How long it took.
        after: Duration,
    },
    /// What was left of something at its deadline was cut off.
    DrainCutOff {
        /// What: `listener`, `target`.
        kind: &'a str,
        /// Its name.
        name: &'a str,
        /// How long it had drained.
        after: Duration,
        /// How many connections or requests that were.
        left: u64,
    },
    /// Something that drained is at work again.
    DrainTakenBack {
        /// What: `listener`, `target`.
        kind: &'a str,
        /// Its name.
        name: &'a str,
        /// What was left of it, and goes on.
        left: u64,
    },
    /// The process was asked to stop.
    ShutdownStarted {
        /// What asked: `SIGTERM`.
        by: &'a str,
        /// How long exchanges in progress may take.
        deadline: Duration,
    },
    /// The deadline of a stop is over.
    DrainDeadlineReached {
        /// Connections that are cut.
        connections: u64,
    },
    /// Everything has ended.
    ShutdownEnded {
        /// How long it took.
        after: Duration,
    },
    /// Records of an access log were lost, or its file could not be opened again.
    AccessLogFailed {
        /// The destination: a path, or `standard output`.
        log: &'a str,
        /// Why.
        error: &'a dyn fmt::Display,
        /// How many were lost; 0 where none was.
        records: u64,
    },
}

/// A certificate that ends sooner than this many days from now is warned about: half of the 30 days at which ACME clients renew.
pub const CERTIFICATE_WARNING_DAYS: i64 = 14;

impl Event<'_> {
    /// A stable name: the field `event` of the log line.
    pub const fn code(&self) -> &'static str {
        match self {
            Event::Started { .. } => "started",
            Event::ListenerStarted { .. } => "listener_started",
            Event::TargetHealthChanged { .. } => "target_health_changed",
            Event::TargetEjected { .. } => "target_ejected",
            Event::TargetNotEjected { .. } => "target_not_ejected",
            Event::TargetReturned { .. } => "target_returned",
            Event::TargetGroupDown { .. } => "target_group_down",
            Event::TargetHandshakeFailed { .. } => "target_handshake_failed",
            Event::HealthCheckNotMade { .. } => "health_check_not_made",
            Event::TargetResolved { .. } => "target_resolved",
            Event::KeysFetched { .. } => "keys_fetched",
            Event::CertificateLoaded { .. } => "certificate_loaded",
            Event::Reloaded { .. } => "reloaded",
            Event::ReloadFailed { .. } => "reload_failed",
            Event::UpgradeStarted { .. } => "upgrade_started",
            Event::Upgraded { .. } => "upgraded",
            Event::UpgradeFailed { .. } => "upgrade_failed",
            Event::ListenerStopped { .. } => "listener_stopped",
            Event::DrainStarted { .. } => "drain_started",
            Event::DrainEnded { .. } => "drain_ended",
            Event::DrainCutOff { .. } => "drain_cut_off",
            Event::DrainTakenBack { .. } => "drain_taken_back",
            Event::ShutdownStarted { .. } => "shutdown_started",
            Event::DrainDeadlineReached { .. } => "drain_deadline_reached",
            Event::ShutdownEnded { .. } => "shutdown_ended",
            Event::AccessLogFailed { .. } => "access_log_failed",
        }
    }

    /// How loud it is: an error wants somebody now, a warning wants somebody today.
    pub const fn level(&self) -> Level {
        match self {
            Event::TargetHealthChanged {
                to: TargetHealth::Unhealthy,
                ..
            } => Level::WARN,
            Event::TargetResolved {
                address: Err(_), ..
            }
            | Event::KeysFetched { keys: Err(_), .. } => Level::WARN,
            Event::CertificateLoaded { days_left, .. } if *days_left < CERTIFICATE_WARNING_DAYS => {
                Level::WARN
            }
            Event::TargetEjected { .. }
            | Event::TargetNotEjected { .. }
            | Event::TargetHandshakeFailed { .. }
            | Event::HealthCheckNotMade { .. }
            | Event::DrainCutOff { .. }
            | Event::DrainDeadlineReached { .. } => Level::WARN,
            Event::TargetGroupDown { .. }
            | Event::AccessLogFailed { .. }
            | Event::ReloadFailed { .. }
            | Event::UpgradeFailed { .. } => Level::ERROR,
            Event::Started { .. }
            | Event::ListenerStarted { .. }
            | Event::TargetHealthChanged { .. }
            | Event::TargetReturned { .. }
            | Event::TargetResolved { .. }
            | Event::KeysFetched { .. }
            | Event::CertificateLoaded { .. }
            | Event::Reloaded { .. }
            | Event::UpgradeStarted { .. }
            | Event::Upgraded { .. }
            | Event::ListenerStopped { .. }
            | Event::DrainStarted { .. }
            | Event::DrainEnded { .. }
            | Event::DrainTakenBack { .. }
            | Event::ShutdownStarted { .. }
            | Event::ShutdownEnded { .. } => Level::INFO,
        }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { version, workers } => {
                write!(
                    f,
                    "Portway {version} serves with {workers} {}",
                    plural(*workers as u64, "worker")
                )
            }
            Event::ListenerStarted {
                listener,
                protocol,
                address,
            } => {
                write!(f, "listener {listener} accepts {protocol} on {address}")
            }
            Event::TargetHealthChanged {
                target_group,
                target,
                from,
                to,
                reason,
            } => {
                write!(
                    f,
                    "target {target} of {target_group} is {} (was {}): {reason}",
                    to.word(),
                    from.word()
                )
            }
            Event::TargetEjected {
                target_group,
                target,
                time,
                reason,
            } => write!(
                f,
                "target {target} of {target_group} is ejected for {time:?}: {reason}"
            ),
            Event::TargetNotEjected {
                target_group,
                target,
                reason,
            } => write!(
                f,
                "target {target} of {target_group} fails and is kept, because too few others may take traffic: {reason}"
            ),
            Event::TargetReturned {
                target_group,
                target,
                reason,
            } => write!(
                f,
                "target {target} of {target_group} is tried again: {reason}"
            ),
            Event::TargetGroupDown {
                target_group,
                fail_open: true,
            } => {
                write!(
                    f,
                    "target group {target_group} has no usable target; all targets take traffic (fail-open)"
                )
            }
            Event::TargetGroupDown {
                target_group,
                fail_open: false,
            } => {
                write!(
                    f,
                    "target group {target_group} has no usable target; clients get 503"
                )
            }
            Event::TargetResolved {
                target_group,
                target,
                address: Ok(address),
            } => {
                write!(
                    f,
                    "target {target} of {target_group} has the address {address}"
                )
            }
            Event::TargetResolved {
                target_group,
                target,
                address: Err(why),
            } => {
                write!(f, "target {target} of {target_group} has no address: {why}")
            }
            Event::KeysFetched {
                url,
                keys: Ok(count),
            } => write!(f, "{count} keys of tokens are known from {url}"),
            Event::KeysFetched {
                url,
                keys: Err(why),
            } => {
                write!(f, "the keys of tokens cannot be fetched from {url}: {why}")
            }
            Event::CertificateLoaded {
                certificate,
                names,
                days_left,
            } => {
                write!(f, "certificate {certificate} for {names} ")?;
                match days_left {
                    ..0 => write!(
                        f,
                        "expired {} {} ago",
                        -days_left,
                        plural(days_left.unsigned_abs(), "day")
                    ),
                    _ => write!(
                        f,
                        "expires in {days_left} {}",
                        plural(days_left.unsigned_abs(), "day")
                    ),
                }
            }
            Event::Reloaded {
                by,
                generation,
                changes,
            } => write!(
                f,
                "reloaded ({by}): configuration {generation} is at work, {changes} {}",
                plural(*changes as u64, "change")
            ),
            Event::ReloadFailed { by, error } => {
                write!(
                    f,
                    "not reloaded ({by}), the configuration stays as it is: {error}"
                )
            }
            Event::UpgradeStarted { by } => {
                write!(f, "upgrade ({by}): the program is started again")
            }
            Event::Upgraded { by, process, took } => write!(
                f,
                "upgraded ({by}): process {process} serves, after {:.0} ms",
                took.as_secs_f64() * 1000.0
            ),
            Event::UpgradeFailed { by, error } => {
                write!(f, "not upgraded ({by}), this process goes on: {error}")
            }
            Event::ListenerStopped { listener, address } => {
                write!(f, "listener {listener} accepts no more on {address}")
            }
            Event::DrainStarted {
                kind,
                name,
                left,
                deadline,
            } => {
                write!(f, "{kind} {name} drains: {}", in_progress(kind, *left))?;
                match deadline {
                    Some(deadline) => write!(f, ", cut off in {deadline:?}"),
                    None => f.write_str(", for as long as that takes"),
                }
            }
            Event::DrainEnded { kind, name, after } => {
                write!(f, "{kind} {name} has drained after {after:.1?}")
            }
            Event::DrainCutOff {
                kind,
                name,
                after,
                left,
            } => {
                let left = in_progress(kind, *left);
                write!(
                    f,
                    "{kind} {name} has drained for {after:.1?}: cut off {left}"
                )
            }
            Event::DrainTakenBack { kind, name, left } => {
                let left = in_progress(kind, *left);
                let what = format!("{kind} {name}");
                // The process has no name.
                write!(f, "{} is at work again, with {left}", what.trim_end())
            }
            Event::ShutdownStarted { by, deadline } => {
                write!(f, "stopping ({by}): what is in progress has {deadline:?}")
            }
            Event::DrainDeadlineReached { connections } => {
                write!(
                    f,
                    "deadline of the stop reached: {connections} {} cut",
                    plural(*connections, "connection")
                )
            }
            Event::TargetHandshakeFailed {
                target_group,
                target,
                error,
                times,
            } => {
                write!(
                    f,
                    "TLS with target {target} of {target_group} failed {times} {}: {error}",
                    plural(*times, "time")
                )
            }
            Event::HealthCheckNotMade {
                target_group,
                target,
                reason,
            } => write!(
                f,
                "target {target} of {target_group} could not be checked, and stays as it is: {reason}"
            ),
            Event::ShutdownEnded { after } => write!(f, "stopped after {after:?}"),
            Event::AccessLogFailed {
                log,
                error,
                records: 0,
            } => write!(f, "access log {log}: {error}"),
            Event::AccessLogFailed {
                log,
                error,
                records,
            } => {
                write!(
                    f,
                    "access log {log} lost {records} {}: {error}",
                    plural(*records, "record")
                )
            }
        }
    }
}

/// `3 connections`: what is left of a thing of this kind.
fn in_progress(kind: &str, left: u64) -> String {
    let of_target = matches!(kind, "target" | "target_group");
    match (of_target, left) {
        (false, _) => format!("{left} {}", plural(left, "connection")),
        (true, 1) => "1 request or connection".to_owned(),
        (true, _) => format!("{left} requests or connections"),
    }
}

/// Writes the event to the log of the process.
pub fn emit(event: &Event<'_>) {
    let code = event.code();
    // The level of a call is fixed in its place: one place for each level that events have.
    match event.level() {
        Level::ERROR => tracing::error!(target: "portway", event = code, "{event}"),
        Level::WARN => tracing::warn!(target: "portway", event = code, "{event}"),
        _ => tracing::info!(target: "portway", event = code, "{event}"),
    }
}

/// The noun in its form for `count`.
fn plural(count: u64, noun: &'static str) -> Noun {
    Noun {
        noun,
        many: count != 1,
    }
}

struct Noun {
    noun: &'static str,
    many: bool,
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun)?;
        f.write_str(if self.many { "s" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |event: Event<'_>, code: &str, level: Level, line: &str| {
            assert_eq!((event.code(), event.level()), (code, level), "{line}");
            assert_eq!(event.to_string(), line);
            emit(&event);
        };
        let address: SocketAddr = "127.0.0.1:8080".parse().expect("address");
        check(
            Event::Started {
                version: "0.1.0",
                workers: 1,
            },
            "started",
            Level::INFO,
            "Portway 0.1.0 serves with 1 worker",
        );
        check(
            Event::ListenerStarted {
                listener: "web",
                protocol: "https",
                address: &address,
            },
            "listener_started",
            Level::INFO,
            "listener web accepts https on 127.0.0.1:8080",
        );
        let change = |from, to| Event::TargetHealthChanged {
            target_group: "app",
            target: "app1",
            from,
            to,
            reason: &"connection refused",
        };
        check(
            change(TargetHealth::Healthy, TargetHealth::Unhealthy),
            "target_health_changed",
            Level::WARN,
            "target app1 of app is unhealthy (was healthy): connection refused",
        );
        assert_eq!(
            change(TargetHealth::Initial, TargetHealth::Healthy).level(),
            Level::INFO
        );
        check(
            Event::TargetGroupDown {
                target_group: "app",
                fail_open: false,
            },
            "target_group_down",
            Level::ERROR,
            "target group app has no usable target; clients get 503",
        );
        check(
            Event::TargetGroupDown {
                target_group: "app",
                fail_open: true,
            },
            "target_group_down",
            Level::ERROR,
            "target group app has no usable target; all targets take traffic (fail-open)",
        );
        check(
            Event::TargetHandshakeFailed {
                target_group: "app",
                target: "app1",
                error: &"the certificate has expired",
                times: 2,
            },
            "target_handshake_failed",
            Level::WARN,
            "TLS with target app1 of app failed 2 times: the certificate has expired",
        );
        check(
            Event::TargetResolved {
                target_group: "app",
                target: "app1",
                address: Ok(address),
            },
            "target_resolved",
            Level::INFO,
            "target app1 of app has the address 127.0.0.1:8080",
        );
        check(
            Event::TargetResolved {
                target_group: "app",
                target: "app1",
                address: Err("no such name"),
            },
            "target_resolved",
            Level::WARN,
            "target app1 of app has no address: no such name",
        );
        check(
            Event::KeysFetched {
                url: "https://login.example/keys",
                keys: Ok(2),
            },
            "keys_fetched",
            Level::INFO,
            "2 keys of tokens are known from https://login.example/keys",
        );
        check(
            Event::KeysFetched {
                url: "https://login.example/keys",
                keys: Err("the answer was 500"),
            },
            "keys_fetched",
            Level::WARN,
            "the keys of tokens cannot be fetched from https://login.example/keys: the answer was 500",
        );
        check(
            Event::CertificateLoaded {
                certificate: "site",
                names: "a.example",
                days_left: 90,
            },
            "certificate_loaded",
            Level::INFO,
            "certificate site for a.example expires in 90 days",
        );
        check(
            Event::CertificateLoaded {
                certificate: "site",
                names: "a.example",
                days_left: -1,
            },
            "certificate_loaded",
            Level::WARN,
            "certificate site for a.example expired 1 day ago",
        );
        check(
            Event::Reloaded {
                by: "SIGHUP",
                generation: 2,
                changes: 1,
            },
            "reloaded",
            Level::INFO,
            "reloaded (SIGHUP): configuration 2 is at work, 1 change",
        );
        check(
            Event::ReloadFailed {
                by: "SIGHUP",
                error: "a.toml:1:1: no",
            },
            "reload_failed",
            Level::ERROR,
            "not reloaded (SIGHUP), the configuration stays as it is: a.toml:1:1: no",
        );
        check(
            Event::UpgradeStarted { by: "SIGUSR2" },
            "upgrade_started",
            Level::INFO,
            "upgrade (SIGUSR2): the program is started again",
        );
        check(
            Event::Upgraded {
                by: "SIGUSR2",
                process: 7,
                took: Duration::from_millis(120),
            },
            "upgraded",
            Level::INFO,
            "upgraded (SIGUSR2): process 7 serves, after 120 ms",
        );
        check(
            Event::UpgradeFailed {
                by: "SIGUSR2",
                error: "a.toml:1:1: no",
            },
            "upgrade_failed",
            Level::ERROR,
            "not upgraded (SIGUSR2), this process goes on: a.toml:1:1: no",
        );
        check(
            Event::ShutdownStarted {
                by: "SIGTERM",
                deadline: Duration::from_secs(30),
            },
            "shutdown_started",
            Level::INFO,
            "stopping (SIGTERM): what is in progress has 30s",
        );
        check(
            Event::DrainDeadlineReached { connections: 3 },
            "drain_deadline_reached",
            Level::WARN,
            "deadline of the stop reached: 3 connections cut",
        );
        check(
            Event::ShutdownEnded {
                after: Duration::from_millis(250),
            },
            "shutdown_ended",
            Level::INFO,
            "stopped after 250ms",
        );
        check(
            Event::AccessLogFailed {
                log: "a.log",
                error: &"disk full",
                records: 9,
            },
            "access_log_failed",
            Level::ERROR,
            "access log a.log lost 9 records: disk full",
        );
        check(
            Event::AccessLogFailed {
                log: "a.log",
                error: &"cannot open it",
                records: 0,
            },
            "access_log_failed",
            Level::ERROR,
            "access log a.log: cannot open it",
        );
    }
}
