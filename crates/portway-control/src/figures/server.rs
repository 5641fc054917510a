//! A target as HAProxy's tools see a server: its state in HAProxy's words.

use std::net::SocketAddr;
use std::time::Duration;

use portway_core::health::{Failure, HealthState, Reason};
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
    pub configured_weight: u32,
    /// It takes traffic only when no other may.
    pub is_backup: bool,
    /// Its checks; `None`: it is not checked.
    pub check: Option<CheckFigures>,
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
    pub outcome: Option<CheckOutcome>,
    /// What an answer's status was.
    pub code: Option<u16>,
    /// How long the latest took.
    pub took: Option<Duration>,
    /// Why it failed, in words.
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

/// What a check found, in HAProxy's terms: layer 4 is the connection, 6 TLS, 7 what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "HAProxy's words")]
pub enum CheckOutcome {
    L4Ok,
    L4Timeout,
    L4Connection,
    L6Ok,
    L6Timeout,
    L6Response,
    L7Ok,
    L7Timeout,
    L7Response,
    L7Status,
}

impl From<CheckWord> for CheckOutcome {
    fn from(word: CheckWord) -> Self {
        match word {
            CheckWord::L4Ok | CheckWord::Unknown | CheckWord::Initializing => CheckOutcome::L4Ok,
            CheckWord::L4Timeout => CheckOutcome::L4Timeout,
            CheckWord::L4Connection | CheckWord::SocketError => CheckOutcome::L4Connection,
            CheckWord::L6Ok => CheckOutcome::L6Ok,
            CheckWord::L6Timeout => CheckOutcome::L6Timeout,
            CheckWord::L6Response => CheckOutcome::L6Response,
            CheckWord::L7Ok | CheckWord::L7OkConditionally => CheckOutcome::L7Ok,
            CheckWord::L7Timeout => CheckOutcome::L7Timeout,
            CheckWord::L7Response => CheckOutcome::L7Response,
            CheckWord::L7Status => CheckOutcome::L7Status,
        }
    }
}

impl CheckOutcome {
    /// HAProxy's word and its description.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            CheckOutcome::L4Ok => ("L4OK", "Layer4 check passed"),
            CheckOutcome::L4Timeout => ("L4TOUT", "Layer4 timeout"),
            CheckOutcome::L4Connection => ("L4CON", "Layer4 connection problem"),
            CheckOutcome::L6Ok => ("L6OK", "Layer6 check passed"),
            CheckOutcome::L6Timeout => ("L6TOUT", "Layer6 timeout"),
            CheckOutcome::L6Response => ("L6RSP", "Layer6 invalid response"),
            CheckOutcome::L7Ok => ("L7OK", "Layer7 check passed"),
            CheckOutcome::L7Timeout => ("L7TOUT", "Layer7 timeout"),
            CheckOutcome::L7Response => ("L7RSP", "Layer7 invalid response"),
            CheckOutcome::L7Status => ("L7STS", "Layer7 wrong status"),
        }
    }

    /// The number of `show servers state`.
    pub fn number(self) -> u8 {
        match self {
            CheckOutcome::L4Ok => 6,
            CheckOutcome::L4Timeout => 7,
            CheckOutcome::L4Connection => 8,
            CheckOutcome::L6Ok => 9,
            CheckOutcome::L6Timeout => 10,
            CheckOutcome::L6Response => 11,
            CheckOutcome::L7Timeout => 12,
            CheckOutcome::L7Response => 13,
            CheckOutcome::L7Ok => 15,
            CheckOutcome::L7Status => 17,
        }
    }

    /// True where the check passed.
    pub fn passed(self) -> bool {
        matches!(
            self,
            CheckOutcome::L4Ok | CheckOutcome::L6Ok | CheckOutcome::L7Ok
        )
    }
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
    let check = check.map(|(check, kind)| checks(check, kind, &verdict));
    let state = &watched.state;
    let weight = watched.weight();
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
        configured_weight: target.weight.into(),
        is_backup: target.backup,
        check,
        address: super::address_of(watched),
        configured_address: target.address.to_string(),
        cookie: target.cookie.clone(),
        is_disabled: target.disabled,
        is_numbered: target.number.is_some(),
        is_tls: group.tls.is_some(),
        name_to_resolve: match &target.address {
            TargetAddress::Tcp {
                host: Host::Name(name),
                ..
            } => Some(name.clone()),
            _ => None,
        },
        check_port: target.check.as_ref().and_then(|it| it.port).unwrap_or(0),
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
        HealthState::Unused => ServerStatus::Maintenance,
        HealthState::Draining => ServerStatus::Drain,
        HealthState::Unhealthy if watched.is_lost() => ServerStatus::Unresolved,
        HealthState::Unhealthy => match check {
            Some(check) if check.health > 0 => ServerStatus::GoingUp,
            _ => ServerStatus::Down,
        },
        HealthState::Initial | HealthState::Healthy => match check {
            None => ServerStatus::Unchecked,
            Some(check) if check.health < check.rise + check.fall - 1 => ServerStatus::GoingDown,
            Some(_) => ServerStatus::Up,
        },
    }
}

fn checks(check: &TargetCheck, kind: &CheckKind<Resolved>, verdict: &Verdict) -> CheckFigures {
    let (rise, fall) = (
        u32::from(check.healthy_threshold).max(1),
        u32::from(check.unhealthy_threshold).max(1),
    );
    let top = rise + fall - 1;
    let down = matches!(verdict.state, HealthState::Unhealthy | HealthState::Unused);
    let health = match (&verdict.why, down) {
        (Reason::Passed(times), true) => (*times).min(rise - 1),
        (_, true) => 0,
        (Reason::Failed(times, _), false) => top.saturating_sub(*times).max(rise),
        (_, false) => top,
    };
    let is_http = matches!(kind, CheckKind::Http(_) | CheckKind::Https(_));
    let (mut outcome, mut code, reason) = outcome(kind, &verdict.why);
    if let (Reason::Passed(_), Some(check)) = (&verdict.why, &verdict.last_check) {
        (outcome, code) = (Some(check.word.into()), check.code);
    }
    CheckFigures {
        outcome: outcome.filter(|_| verdict.last_check.is_some()),
        code,
        took: verdict.last_check.map(|it| it.took),
        reason,
        failed: verdict.failed_up,
        rise,
        fall,
        health,
        is_http,
    }
}

type Outcome = (Option<CheckOutcome>, Option<u16>, Option<String>);

fn outcome(kind: &CheckKind<Resolved>, why: &Reason) -> Outcome {
    let said = matches!(
        kind,
        CheckKind::Http(_) | CheckKind::Https(_) | CheckKind::Script(_)
    );
    let failure = match why {
        Reason::Passed(_) => {
            let passed = match kind {
                CheckKind::Tcp => CheckOutcome::L4Ok,
                CheckKind::Tls => CheckOutcome::L6Ok,
                _ => CheckOutcome::L7Ok,
            };
            return (Some(passed), None, None);
        }
        Reason::Failed(_, failure) => failure,
        _ => return (None, None, None),
    };
    let (outcome, code) = match failure {
        Failure::Step { word, code, .. } => (CheckOutcome::from(*word), *code),
        Failure::ConnectionRefused | Failure::ConnectFailed(_) | Failure::NotResolved(_) => {
            (CheckOutcome::L4Connection, None)
        }
        Failure::ConnectTimedOut(_) => (CheckOutcome::L4Timeout, None),
        Failure::TlsFailed(_) => (CheckOutcome::L6Response, None),
        Failure::TimedOut(_) if said => (CheckOutcome::L7Timeout, None),
        Failure::TimedOut(_) => (CheckOutcome::L6Timeout, None),
        Failure::UnexpectedStatus { status, .. } => (CheckOutcome::L7Status, Some(*status)),
        Failure::UnexpectedBody(_) | Failure::ClosedEarly | Failure::MalformedAnswer(_) => {
            (CheckOutcome::L7Response, None)
        }
    };
    let reason = match failure {
        // HAProxy has the system's words.
        Failure::ConnectionRefused => "Connection refused".to_owned(),
        Failure::ConnectTimedOut(_) | Failure::TimedOut(_) => String::new(),
        Failure::Step { said, .. } => said.to_string(),
        other => other.to_string(),
    };
    (
        Some(outcome),
        code,
        Some(reason).filter(|it| !it.is_empty()),
    )
}
