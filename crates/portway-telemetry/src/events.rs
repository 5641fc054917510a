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
    /// A circuit breaker opened, recovers or is closed again.
    CircuitBreakerChanged {
        /// Its name.
        circuit_breaker: &'a str,
        /// What it is now: `closed`, `open` or `recovering`.
        state: &'a str,
        /// It lets nothing pass.
        is_open: bool,
        /// When it opens.
        opens_when: &'a dyn fmt::Display,
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
    /// An answer of OCSP is shown, or cannot be, other than before.
    OcspFetched {
        /// The certificate's name in the configuration.
        certificate: &'a str,
        /// The responder.
        url: &'a str,
        /// Why there is no new one.
        answer: Result<(), &'a str>,
        /// Until when the one that is shown is true; `None`: none is shown.
        until: Option<&'a str>,
        /// The certificate asks clients to insist on one.
        is_must: bool,
    },
    /// Other addresses are targets by a name that stands for many.
    MembersChanged {
        /// Name of the group.
        target_group: &'a str,
        /// Those that came, as a list for people.
        came: &'a str,
        /// Those that left.
        left: &'a str,
    },
    /// Connections and exchanges take nearly all memory that they may: new clients wait, or are turned away.
    MemoryShort {
        /// Bytes that they take.
        used: u64,
        /// Bytes that they may.
        budget: u64,
    },
    /// That is over.
    MemoryEnough {
        /// Bytes that they take.
        used: u64,
        /// Bytes that they may.
        budget: u64,
        /// How long it took.
        after: Duration,
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
        /// How many were lost since it was told last; 0 where none was.
        records: u64,
        /// How many since the first of them.
        in_all: u64,
    },
    /// No record of an access log was lost for a while.
    AccessLogRecovered {
        /// The destination.
        log: &'a str,
        /// How many were lost in all.
        records: u64,
        /// From the first to the last one.
        after: Duration,
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
            Event::CircuitBreakerChanged { .. } => "circuit_breaker_changed",
            Event::TargetGroupDown { .. } => "target_group_down",
            Event::TargetHandshakeFailed { .. } => "target_handshake_failed",
            Event::HealthCheckNotMade { .. } => "health_check_not_made",
            Event::TargetResolved { .. } => "target_resolved",
            Event::KeysFetched { .. } => "keys_fetched",
            Event::OcspFetched { .. } => "ocsp_fetched",
            Event::MembersChanged { .. } => "members_changed",
            Event::MemoryShort { .. } => "memory_short",
            Event::MemoryEnough { .. } => "memory_enough",
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
            Event::AccessLogRecovered { .. } => "access_log_recovered",
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
            Event::OcspFetched {
                until: None,
                is_must: true,
                ..
            } => Level::ERROR,
            Event::OcspFetched { answer: Err(_), .. } => Level::WARN,
            Event::CertificateLoaded { days_left, .. } if *days_left < CERTIFICATE_WARNING_DAYS => {
                Level::WARN
            }
            Event::CircuitBreakerChanged { is_open: true, .. }
            | Event::TargetEjected { .. }
            | Event::TargetNotEjected { .. }
            | Event::TargetHandshakeFailed { .. }
            | Event::HealthCheckNotMade { .. }
            | Event::MemoryShort { .. }
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
            | Event::CircuitBreakerChanged { .. }
            | Event::TargetResolved { .. }
            | Event::KeysFetched { .. }
            | Event::OcspFetched { .. }
            | Event::MembersChanged { .. }
            | Event::MemoryEnough { .. }
            | Event::AccessLogRecovered { .. }
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
            Event::CircuitBreakerChanged {
                circuit_breaker,
                state,
                is_open,
                opens_when,
            } => match is_open {
                true => write!(f, "circuit breaker {circuit_breaker} is open: {opens_when}"),
                false => write!(f, "circuit breaker {circuit_breaker} is {state}"),
            },
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
                    "target group {target_group} has no usable target: what comes to it is refused, unless another group takes over"
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
            Event::OcspFetched {
                certificate,
                url,
                answer,
                until,
                is_must,
            } => {
                match answer {
                    Ok(()) => write!(
                        f,
                        "an answer of OCSP for certificate {certificate} is known from {url}"
                    )?,
                    Err(why) => write!(
                        f,
                        "there is no new answer of OCSP for certificate {certificate} from {url}: {why}"
                    )?,
                }
                match (until, is_must) {
                    (Some(until), _) => write!(f, "; clients are shown one that is true until {until}"),
                    (None, false) => f.write_str("; clients are shown none"),
                    (None, true) => f.write_str("; clients are shown none, and those that heed the certificate (must-staple) refuse it"),
                }
            }
            Event::MembersChanged {
                target_group,
                came,
                left,
            } => {
                write!(f, "targets of {target_group} by name: ")?;
                match (came.is_empty(), left.is_empty()) {
                    (false, false) => write!(f, "{came} came; {left} left"),
                    (false, true) => write!(f, "{came} came"),
                    (true, _) => write!(f, "{left} left"),
                }
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
            Event::MemoryShort { used, budget } => write!(
                f,
                "connections and exchanges take {used} bytes of {budget} that they may: new clients wait, and beyond that requests get 503"
            ),
            Event::MemoryEnough {
                used,
                budget,
                after,
            } => write!(
                f,
                "there is memory again: connections and exchanges take {used} bytes of {budget} after {after:?}"
            ),
            Event::ShutdownEnded { after } => write!(f, "stopped after {after:?}"),
            Event::AccessLogFailed {
                log,
                error,
                records: 0,
                ..
            } => write!(f, "access log {log}: {error}"),
            Event::AccessLogFailed {
                log,
                error,
                records,
                in_all,
            } => {
                let word = plural(*records, "record");
                match in_all == records {
                    true => write!(f, "access log {log} lost {records} {word}: {error}"),
                    false => write!(
                        f,
                        "access log {log} lost {records} {word} more, {in_all} since it began: {error}"
                    ),
                }
            }
            Event::AccessLogRecovered {
                log,
                records: 0,
                after,
            } => write!(f, "access log {log} is written again, after {after:?}"),
            Event::AccessLogRecovered {
                log,
                records,
                after,
            } => write!(
                f,
                "access log {log} loses nothing any more: {records} {} lost in {after:?}",
                match records {
                    1 => "record was",
                    _ => "records were",
                }
            ),
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
mod tests;
