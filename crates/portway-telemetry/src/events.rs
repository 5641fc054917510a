//! What happens to the process, as types: an event knows its line in the log and how loud it is.
//!
//! Events are for people who operate Portway: they are rare. What happens per exchange is a record, what happens often is a
//! metric; [`Event::LimitReached`], [`Event::AcceptFailed`] and [`Event::TargetHandshakeFailed`] stand for a burst and say how
//! many it was.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::Level;

use crate::metrics::{Limit, TargetHealth};

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
        /// Its protocol: `HTTP`, `HTTPS`, `TCP`, `TLS`.
        protocol: &'a str,
        /// Where.
        address: SocketAddr,
    },
    /// A listener accepts no more connections.
    ListenerStopped {
        /// Its name.
        listener: &'a str,
        /// Why.
        reason: &'a str,
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
    /// The name of a target leads nowhere, or elsewhere than before.
    TargetResolved {
        /// Name of its group.
        target_group: &'a str,
        /// Its name.
        target: &'a str,
        /// The address, or why there is none.
        address: Result<SocketAddr, &'a str>,
    },
    /// A certificate is in use.
    CertificateLoaded {
        /// Name of the listener or target group.
        owner: &'a str,
        /// Subject and alternative names, as a list for people.
        names: &'a str,
        /// Days until it expires; below 0 once it has.
        days_left: i64,
    },
    /// A configuration was put into use.
    ConfigurationApplied {
        /// Number of the snapshot.
        generation: u64,
        /// What it did, in words.
        changes: &'a str,
    },
    /// A configuration was not put into use; the one before stays.
    ConfigurationRefused {
        /// Where it came from.
        source: &'a str,
        /// Number of errors in it.
        errors: usize,
        /// The first of them.
        first: &'a str,
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
    /// A limit was reached.
    LimitReached {
        /// Which.
        limit: Limit,
        /// How often since the event before.
        times: u64,
    },
    /// The system could not hand over connections.
    AcceptFailed {
        /// Name of the listener.
        listener: &'a str,
        /// What the system says.
        error: &'a dyn fmt::Display,
        /// How often since the event before.
        times: u64,
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
    /// A worker ended by a mistake of ours.
    WorkerFailed {
        /// Its number.
        worker: usize,
        /// What it left behind.
        error: &'a str,
    },
}

/// Days before the end of a certificate from which on loading it is a warning.
pub const CERTIFICATE_WARNING_DAYS: i64 = 21;

impl Event<'_> {
    /// A stable name: the field `event` of the log line.
    pub const fn code(&self) -> &'static str {
        match self {
            Event::Started { .. } => "started",
            Event::ListenerStarted { .. } => "listener_started",
            Event::ListenerStopped { .. } => "listener_stopped",
            Event::TargetHealthChanged { .. } => "target_health_changed",
            Event::TargetGroupDown { .. } => "target_group_down",
            Event::TargetHandshakeFailed { .. } => "target_handshake_failed",
            Event::TargetResolved { .. } => "target_resolved",
            Event::CertificateLoaded { .. } => "certificate_loaded",
            Event::ConfigurationApplied { .. } => "configuration_applied",
            Event::ConfigurationRefused { .. } => "configuration_refused",
            Event::ShutdownStarted { .. } => "shutdown_started",
            Event::DrainDeadlineReached { .. } => "drain_deadline_reached",
            Event::ShutdownEnded { .. } => "shutdown_ended",
            Event::LimitReached { .. } => "limit_reached",
            Event::AcceptFailed { .. } => "accept_failed",
            Event::AccessLogFailed { .. } => "access_log_failed",
            Event::WorkerFailed { .. } => "worker_failed",
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
            } => Level::WARN,
            Event::CertificateLoaded { days_left, .. } if *days_left < CERTIFICATE_WARNING_DAYS => {
                Level::WARN
            }
            Event::TargetHandshakeFailed { .. } | Event::DrainDeadlineReached { .. } => Level::WARN,
            Event::LimitReached { .. } | Event::AcceptFailed { .. } => Level::WARN,
            Event::TargetGroupDown { .. }
            | Event::ConfigurationRefused { .. }
            | Event::AccessLogFailed { .. }
            | Event::WorkerFailed { .. } => Level::ERROR,
            Event::Started { .. }
            | Event::ListenerStarted { .. }
            | Event::ListenerStopped { .. }
            | Event::TargetHealthChanged { .. }
            | Event::TargetResolved { .. }
            | Event::CertificateLoaded { .. }
            | Event::ConfigurationApplied { .. }
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
            Event::ListenerStopped { listener, reason } => {
                write!(f, "listener {listener} stopped: {reason}")
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
            Event::CertificateLoaded {
                owner,
                names,
                days_left,
            } => {
                write!(f, "certificate of {owner} for {names} ")?;
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
            Event::ConfigurationApplied {
                generation,
                changes,
            } => {
                write!(f, "configuration {generation} is in use: {changes}")
            }
            Event::ConfigurationRefused {
                source,
                errors,
                first,
            } => {
                let errors_word = plural(*errors as u64, "error");
                write!(
                    f,
                    "configuration {source} refused, the one before stays: {errors} {errors_word}, first: {first}"
                )
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
            Event::ShutdownEnded { after } => write!(f, "stopped after {after:?}"),
            Event::LimitReached { limit, times } => {
                write!(
                    f,
                    "limit {} reached {times} {}: {}",
                    limit.name(),
                    plural(*times, "time"),
                    limit.meaning()
                )
            }
            Event::AcceptFailed {
                listener,
                error,
                times,
            } => {
                write!(
                    f,
                    "listener {listener} could not accept {times} {}: {error}",
                    plural(*times, "connection")
                )
            }
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
            Event::WorkerFailed { worker, error } => write!(f, "worker {worker} failed: {error}"),
        }
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
                protocol: "HTTPS",
                address,
            },
            "listener_started",
            Level::INFO,
            "listener web accepts HTTPS on 127.0.0.1:8080",
        );
        check(
            Event::ListenerStopped {
                listener: "web",
                reason: "removed",
            },
            "listener_stopped",
            Level::INFO,
            "listener web stopped: removed",
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
            Event::CertificateLoaded {
                owner: "web",
                names: "a.example",
                days_left: 90,
            },
            "certificate_loaded",
            Level::INFO,
            "certificate of web for a.example expires in 90 days",
        );
        check(
            Event::CertificateLoaded {
                owner: "web",
                names: "a.example",
                days_left: -1,
            },
            "certificate_loaded",
            Level::WARN,
            "certificate of web for a.example expired 1 day ago",
        );
        check(
            Event::ConfigurationApplied {
                generation: 2,
                changes: "1 listener added",
            },
            "configuration_applied",
            Level::INFO,
            "configuration 2 is in use: 1 listener added",
        );
        check(
            Event::ConfigurationRefused {
                source: "web.toml",
                errors: 2,
                first: "unknown key",
            },
            "configuration_refused",
            Level::ERROR,
            "configuration web.toml refused, the one before stays: 2 errors, first: unknown key",
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
            Event::LimitReached {
                limit: Limit::Attempts,
                times: 2,
            },
            "limit_reached",
            Level::WARN,
            "limit attempts reached 2 times: attempts of an exchange: the last fault is answered",
        );
        check(
            Event::AcceptFailed {
                listener: "web",
                error: &"too many open files",
                times: 1,
            },
            "accept_failed",
            Level::WARN,
            "listener web could not accept 1 connection: too many open files",
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
        check(
            Event::WorkerFailed {
                worker: 1,
                error: "panicked",
            },
            "worker_failed",
            Level::ERROR,
            "worker 1 failed: panicked",
        );
    }
}
