//! A target as HAProxy's tools see a server: its state in HAProxy's words.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portway_core::health::{Failure, HealthState, Reason};
use portway_dataplane::live::{Health, WHOLE_SHARE};
use portway_model::address::{Host, TargetAddress};
use portway_model::check::{CheckKind, CheckWord};
use portway_model::snapshot::{Target, TargetCheck, TargetGroup};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::TargetTotals;

use super::RateFigures;
use crate::targets::{Verdict, WatchedTarget};

/// A server.
#[derive(Debug, Clone)]
pub struct ServerFigures {
    /// Its name.
    pub name: String,
    /// Its `sid`.
    pub number: u32,
    /// What was counted.
    pub totals: TargetTotals,
    /// Sessions now, and the most that there were.
    pub sessions: (u32, u32),
    /// Sessions at most; 0: no limit.
    pub limit: u32,
    /// Exchanges that wait for it, and the most that there were.
    pub queue: (u32, u32),
    /// Sessions a second.
    pub session_rate: RateFigures,
    /// Since the last session; `None`: there was none.
    pub last_session: Option<Duration>,
    /// Its state.
    pub status: ServerStatus,
    /// How long it has been so.
    pub since: Duration,
    /// How often it went down.
    pub downs: u64,
    /// How long it was down.
    pub down_time: Duration,
    /// Its weight now.
    pub weight: u32,
    /// Its weight as configured.
    /// The same once it is through with its slow start.
    pub whole_weight: u32,
    /// Percent of its weight that count now, where it is in one.
    pub rises: Option<u32>,
    /// As the configuration has it.
    pub configured_weight: u32,
    /// It takes traffic only when no other may.
    pub is_backup: bool,
    /// Its checks; `None`: it is not checked.
    pub check: Option<CheckFigures>,
    /// Its agent; `None`: it has none that is asked.
    pub agent: Option<AgentFigures>,
    /// The configuration gives it an agent.
    pub has_agent: bool,
    /// The configuration has it checked; that may be left out.
    pub has_check: bool,
    /// It came while the process ran.
    pub is_added: bool,
    /// Where its agent is: another address, and a port; 0: none.
    pub agent_place: (Option<IpAddr>, u16),
    /// Where it lives, where that is known.
    pub address: Option<SocketAddr>,
    /// Where it lives, as configured.
    pub configured_address: String,
    /// The value of the cookie that means it.
    pub cookie: Option<String>,
    /// The configuration takes it out of service.
    pub is_disabled: bool,
    /// The configuration gives its number.
    pub is_numbered: bool,
    /// TLS is spoken to it.
    pub is_tls: bool,
    /// The name of its host, where it has one.
    pub name_to_resolve: Option<String>,
    /// Another port for checks; 0: none.
    pub check_port: u16,
    /// Another address for checks.
    pub check_address: Option<IpAddr>,
}

/// The state of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerStatus {
    /// It is not checked.
    Unchecked,
    /// Takes traffic.
    Up,
    /// Takes traffic; its latest checks failed.
    GoingDown,
    /// Failed its checks.
    Down,
    /// Failed its checks; the latest passed.
    GoingUp,
    /// Passes its checks and takes no new traffic, as they say.
    Stopping,
    /// The same; its latest checks failed.
    StoppingDown,
    /// Takes no new traffic.
    Drain,
    /// Taken out by a person, or by the configuration.
    Maintenance,
    /// Taken out because its name does not resolve.
    Unresolved,
}

/// The checks of a server.
#[derive(Debug, Clone)]
pub struct CheckFigures {
    /// What the latest found; `None`: there was none yet.
    pub outcome: Option<CheckWord>,
    /// What an answer's status was.
    pub code: Option<u16>,
    /// How long the latest took.
    pub took: Option<Duration>,
    /// What it says in words.
    pub reason: Option<String>,
    /// Checks that failed while it was up.
    pub failed: u64,
    /// Passing checks in a row until it is up.
    pub rise: u32,
    /// Failing checks in a row until it is down.
    pub fall: u32,
    /// From 0 (down) over `rise` (just up) to `rise + fall - 1` (up).
    pub health: u32,
    /// It speaks HTTP.
    pub is_http: bool,
}

/// The agent of a server.
#[derive(Debug, Clone)]
pub struct AgentFigures {
    /// What the latest answer was; `None`: there was none yet.
    pub outcome: Option<CheckWord>,
    /// How long it took.
    pub took: Option<Duration>,
    /// What it says in words.
    pub reason: Option<String>,
    /// It says that the server is down.
    pub is_down: bool,
}

/// What is known of the agent of a server; `None` where none is asked.
pub(crate) fn agent_figures(watched: &WatchedTarget, verdict: &Verdict) -> Option<AgentFigures> {
    let last = verdict.agent.last.as_ref();
    watched.agent_is_asked().then(|| AgentFigures {
        outcome: last.map(|it| it.word),
        took: last.map(|it| it.took),
        reason: last
            .map(|it| it.said.to_string())
            .filter(|it| !it.is_empty()),
        is_down: verdict.agent.down,
    })
}

/// What is known of a server, without what was counted by workers.
pub(super) fn figures(
    group: &TargetGroup,
    target: &Target,
    watched: &WatchedTarget,
    (number, totals): (u32, TargetTotals),
) -> ServerFigures {
    let verdict = watched.health();
    let kind = group.health_check.as_ref().map(|it| &it.kind);
    let check = target.check.as_ref().zip(kind);
    let check = check.filter(|_| !watched.rests());
    let check = check.map(|(check, kind)| checks(check, kind, &verdict));
    let state = &watched.state;
    let (weight, whole_weight) = (watched.weight(), watched.whole_weight());
    let rises = watched.rises_for().is_some();
    let percent = watched.state.share() * 100 / WHOLE_SHARE;
    let (told, configured) = (watched.check_place(), target.check.as_ref());
    ServerFigures {
        name: target.name.to_string(),
        number,
        totals,
        sessions: (state.in_flight(), state.peak().max(state.in_flight())),
        limit: target.max_connections,
        queue: (state.queued(), state.queued()),
        session_rate: RateFigures::default(),
        last_session: None,
        status: status(&verdict, check.as_ref(), watched),
        since: verdict.since.elapsed().unwrap_or_default(),
        downs: verdict.downs,
        down_time: verdict.down_time,
        weight,
        whole_weight,
        rises: rises.then_some(percent),
        configured_weight: target.weight.into(),
        is_backup: target.backup,
        check,
        agent: agent_figures(watched, &verdict),
        has_agent: target.agent.is_some(),
        has_check: target.check.is_some(),
        is_added: watched.is_added,
        agent_place: {
            let (told, own) = (watched.agent_place(), target.agent.as_ref());
            let address = told.address.or(own.and_then(|it| it.address));
            (address, told.port.or(own.map(|it| it.port)).unwrap_or(0))
        },
        address: super::address_of(watched),
        configured_address: target.address.to_string(),
        cookie: target.cookie.clone(),
        is_disabled: target.disabled,
        is_numbered: target.number.is_some(),
        is_tls: group.tls_of(target).is_some(),
        name_to_resolve: match &target.address {
            TargetAddress::Tcp {
                host: Host::Name(name),
                ..
            }
            | TargetAddress::Service(name) => Some(name.clone()),
            _ => None,
        },
        check_port: told.port.or(configured.and_then(|it| it.port)).unwrap_or(0),
        check_address: told.address.or(configured.and_then(|it| it.address)),
    }
}

/// What is known of the checks of a server; `None` where it is not checked.
pub(crate) fn check_figures(
    group: &TargetGroup,
    target: &Target,
    watched: &WatchedTarget,
) -> Option<CheckFigures> {
    let kind = group.health_check.as_ref().map(|it| &it.kind);
    let (check, kind) = target.check.as_ref().zip(kind)?;
    Some(checks(check, kind, &watched.health()))
}

fn status(
    verdict: &Verdict,
    check: Option<&CheckFigures>,
    watched: &WatchedTarget,
) -> ServerStatus {
    match verdict.state {
        // HAProxy has no word for it: to tools it is as one that failed its checks.
        _ if verdict.ejected => ServerStatus::Down,
        HealthState::Unused => ServerStatus::Maintenance,
        HealthState::Draining => ServerStatus::Drain,
        HealthState::Unhealthy if watched.is_lost() => ServerStatus::Unresolved,
        HealthState::Unhealthy => match check {
            Some(check) if check.health > 0 => ServerStatus::GoingUp,
            _ => ServerStatus::Down,
        },
        HealthState::Initial | HealthState::Healthy => match check {
            None if watched.target.track.is_some() => ServerStatus::Up,
            None => ServerStatus::Unchecked,
            Some(check) => {
                let failing = check.health < check.rise + check.fall - 1;
                match (watched.state.health() == Health::Draining, failing) {
                    (true, false) => ServerStatus::Stopping,
                    (true, true) => ServerStatus::StoppingDown,
                    (false, true) => ServerStatus::GoingDown,
                    (false, false) => ServerStatus::Up,
                }
            }
        },
    }
}

fn checks(check: &TargetCheck, kind: &CheckKind<Resolved>, verdict: &Verdict) -> CheckFigures {
    let (rise, fall) = (
        u32::from(check.healthy_threshold).max(1),
        u32::from(check.unhealthy_threshold).max(1),
    );
    let top = rise + fall - 1;
    let (state, why) = &verdict.by_checks;
    let down = matches!(state, HealthState::Unhealthy | HealthState::Unused);
    let health = match (why, down) {
        (Reason::Passed(times), true) => (*times).min(rise - 1),
        (_, true) => 0,
        // One failure is enough until a check has passed.
        (Reason::NotCheckedYet, false) => rise,
        (Reason::Failed(times, _), false) => top.saturating_sub(*times).max(rise),
        (_, false) => top,
    };
    let is_http = matches!(kind, CheckKind::Http(_) | CheckKind::Https(_));
    let last = verdict.last_check.as_ref();
    let reason = match &verdict.why {
        Reason::Failed(_, failure @ Failure::NotResolved(_)) => Some(failure.to_string()),
        _ => last.map(|it| it.said.to_string()),
    };
    CheckFigures {
        outcome: last.map(|it| it.word),
        code: last
            .filter(|it| it.word.has_code())
            .map(|it| it.code.unwrap_or(0)),
        // What is not a check takes no time.
        took: last
            .filter(|it| it.word != CheckWord::HealthAnalysis)
            .map(|it| it.took),
        reason: reason.filter(|it| !it.is_empty()),
        failed: verdict.failed_up,
        rise,
        fall,
        health,
        is_http,
    }
}
