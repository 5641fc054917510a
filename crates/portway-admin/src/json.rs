//! The shapes of `/status`, also read by `portway status`. Moments are seconds since 1970, durations seconds.
//!
//! Fields may be added; a field that is here keeps its name and meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portway_control::certificates::LoadedCertificate;
use portway_control::drains::Draining as Drain;
use portway_control::plan;
use portway_control::planning;
use portway_control::reload::{self, NotReloaded, Reloaded};
use portway_control::status as control;
use portway_control::upgrade::EarlierProcess;
use portway_control::upgrade::{NotUpgraded, Upgraded};
use serde::{Deserialize, Serialize};

/// The whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub process: Process,
    /// Listeners in the order of the configuration.
    pub listeners: Vec<Listener>,
    /// Target groups in the order of the configuration.
    pub target_groups: Vec<TargetGroup>,
    /// Circuit breakers in the order of their names; left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circuit_breakers: Vec<CircuitBreaker>,
    /// What drains.
    #[serde(default)]
    pub draining: Vec<Draining>,
    /// Processes that have served before this one and finish what they have, the oldest first.
    #[serde(default)]
    pub earlier: Vec<Earlier>,
    /// Certificates in the order of the configuration.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// Revocation lists that clients and targets are judged by, of each authority the first that is over.
    #[serde(default)]
    pub revocation_lists: Vec<RevocationList>,
}

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevocationList {
    /// The authority in words.
    pub issuer: String,
    /// When it is over, seconds since 1970: then no certificate of the authority is accepted.
    pub next_update: i64,
}

/// A process that has served before and finishes what it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its process id.
    pub pid: u32,
    /// Connections that it has.
    pub connections: u64,
    /// Since when it finishes, seconds since 1970.
    pub since: f64,
    /// When what is left is cut off; `null`: it has not said so yet.
    pub until: Option<f64>,
    /// It has answered when it was asked last; if not, the rest is as it was before.
    pub answers: bool,
}

/// Something that drains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draining {
    /// `process`, `listener` or `target`.
    pub kind: String,
    /// Its name; of a target `GROUP/TARGET`; empty for the process.
    pub name: String,
    /// The group of a target; left out for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who wants it: `reload`, `command` or `stop`.
    pub by: String,
    /// `leaving`: it takes what comes for a while, and says that it leaves; `draining`; `drained`: it stays out of service.
    pub state: String,
    /// What is left of it: connections; of a target requests or TCP connections.
    pub left: u64,
    /// How many were cut off at its deadline.
    pub cut_off: u64,
    /// Since when, seconds since 1970.
    pub since: f64,
    /// When what is left is cut off; `null`: never.
    pub until: Option<f64>,
    /// What it was called when it was told to drain; left out where it has that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_as: Option<String>,
}

impl Draining {
    /// True where this is its name, or was when it was told to drain.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.ordered_as.as_deref() == Some(name)
    }
}

impl From<EarlierProcess> for Earlier {
    fn from(it: EarlierProcess) -> Self {
        Self {
            pid: it.process,
            connections: it.connections,
            since: seconds(it.since),
            until: it.until.map(seconds),
            answers: it.answers,
        }
    }
}

impl From<Drain> for Draining {
    fn from(it: Drain) -> Self {
        Self {
            kind: it.kind.word().to_owned(),
            name: it.name,
            group: it.group,
            by: it.by.word().to_owned(),
            state: it.stage.word().to_owned(),
            left: it.left,
            cut_off: it.cut_off,
            since: seconds(it.since),
            until: it.until.map(seconds),
            ordered_as: it.ordered_as,
        }
    }
}

/// The process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Version of Portway.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it began to serve, seconds since 1970.
    pub started: f64,
    /// Seconds since then.
    pub uptime: f64,
    /// Data workers.
    pub workers: usize,
    /// Number of the configuration.
    pub generation: u64,
    /// It stops gracefully.
    pub draining: bool,
    /// Memory; left out by versions that do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The files of its configuration.
    pub files: Vec<String>,
    /// How the latest reload went; left out where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<LastReload>,
    /// The generation that a rollback has put to work; left out where what the files say is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<u64>,
    /// The upgrade that made this process, or the latest one since that failed; left out where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_upgrade: Option<LastUpgrade>,
}

/// A circuit breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// Its name.
    pub name: String,
    /// `closed`, `open` or `recovering`.
    pub state: String,
    /// How many of a hundred requests pass now.
    pub percent: f64,
    /// Requests that it has answered in place of what fails.
    pub refused: u64,
}

impl From<control::CircuitStatus> for CircuitBreaker {
    fn from(circuit: control::CircuitStatus) -> Self {
        Self {
            name: circuit.name,
            state: circuit.state.to_owned(),
            percent: circuit.percent,
            refused: circuit.refused,
        }
    }
}

/// Memory of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes that connections and exchanges take, as far as it is counted.
    pub used: u64,
    /// Bytes that they may take; 0: no limit.
    pub budget: u64,
    /// Bytes of the whole process, as the system sees it; left out where it does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// `free`; `scarce`: new clients wait; `full`: new requests are turned away.
    pub level: String,
}

/// How an upgrade went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastUpgrade {
    /// When it was asked for, seconds since 1970.
    pub at: f64,
    /// Seconds that it took.
    pub took: f64,
    /// Why this process went on; left out where it took over from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a reload went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastReload {
    /// When it was asked for, seconds since 1970.
    pub at: f64,
    /// Seconds that it took.
    pub took: f64,
    /// Why the configuration stayed as it was; left out where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The answer to a reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// Another configuration is at work; false: nothing has changed.
    pub ok: bool,
    /// The number of the configuration that is at work.
    pub generation: u64,
    /// Seconds that it took.
    pub took: f64,
    /// What has changed.
    pub plan: Vec<Step>,
    /// Certificates that are shown from now on, which were not, or not so.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// What was found.
    pub diagnostics: Vec<Finding>,
}

/// The answer to an upgrade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upgrade {
    /// Another process serves; false: this one goes on, and nothing has changed.
    pub ok: bool,
    /// The process that serves.
    pub pid: u32,
    /// Seconds that it took.
    pub took: f64,
    /// The process before, which finishes what it has; `null` where there is none.
    pub before: Option<Before>,
    /// What has started that one, and may take its end for that of the service; left out where it follows, as systemd does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<Supervisor>,
    /// What was handed over of the live state; `null` where nothing was.
    pub state: Option<HandedOver>,
    /// Why the process before goes on; left out where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the new process has found.
    pub diagnostics: Vec<Finding>,
}

/// A process that finishes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// Its process id.
    pub pid: u32,
    /// Connections that it has.
    pub connections: u64,
    /// Seconds that they have at most.
    pub deadline: f64,
}

/// A process that has started Portway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Its process id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

/// Live state that went from one process to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    /// Entries of stick tables.
    pub entries: u64,
    /// Bytes of all of it.
    pub bytes: u64,
    /// Seconds that it took.
    pub took: f64,
}

impl Upgrade {
    /// One that succeeded.
    pub fn done(it: &Upgraded) -> Self {
        Self {
            ok: true,
            pid: it.process,
            took: it.took.as_secs_f64(),
            before: Some(Before {
                pid: std::process::id(),
                connections: it.connections,
                deadline: it.deadline.as_secs_f64(),
            }),
            supervisor: it
                .supervisor
                .clone()
                .map(|(pid, name)| Supervisor { pid, name }),
            state: Some(HandedOver {
                entries: it.given.entries,
                bytes: it.given.bytes,
                took: it.given.took.as_secs_f64(),
            }),
            error: None,
            diagnostics: Vec::new(),
        }
    }

    /// One that changed nothing.
    pub fn failed(it: NotUpgraded) -> Self {
        Self {
            ok: false,
            pid: std::process::id(),
            took: it.took.as_secs_f64(),
            before: None,
            supervisor: None,
            state: None,
            error: Some(it.why),
            diagnostics: it.findings.into_iter().map(Finding::from).collect(),
        }
    }
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `add`, `change` or `remove`.
    pub action: String,
    /// `listener`, `target_group`, `target`, …
    pub kind: String,
    /// Its name; of a target `GROUP/TARGET`; empty for the process.
    pub name: String,
    /// What changes in it; all that is said of it where it comes or goes.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// What a file says that it names is something else; left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contents: bool,
}

/// A key of an object, in the words of the native form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The key.
    pub name: String,
    /// What it says, as the native form has it; `null`: nothing, which means the default.
    pub old: Option<String>,
    /// What it is to say; `null`: nothing.
    pub new: Option<String>,
    /// It is an element of a list, which comes or goes; left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub element: bool,
    /// A reload leaves it as it is; left out where it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
}

/// The answer to a question for a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// A reload would do it; false: the configuration has errors.
    pub ok: bool,
    /// The number of the configuration at work; left out where files are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What would change.
    pub plan: Vec<Step>,
    /// How many objects.
    pub counts: Counts,
    /// What was found.
    pub diagnostics: Vec<Finding>,
}

/// How many objects come, change and go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// They come.
    pub add: usize,
    /// They say something else.
    pub change: usize,
    /// They go.
    pub remove: usize,
}

impl Counts {
    /// Those of a plan.
    pub fn of(plan: &plan::Plan) -> Self {
        let [add, change, remove] = plan.counts();
        Self {
            add,
            change,
            remove,
        }
    }

    /// All of them.
    pub fn all(self) -> usize {
        self.add + self.change + self.remove
    }
}

impl Planned {
    /// A plan, where there is one.
    pub fn of(plan: Option<&plan::Plan>) -> Self {
        Self {
            ok: plan.is_some(),
            generation: None,
            plan: plan.map_or_else(Vec::new, steps),
            counts: plan.map(Counts::of).unwrap_or_default(),
            diagnostics: Vec::new(),
        }
    }
}

impl From<planning::Planned> for Planned {
    fn from(it: planning::Planned) -> Self {
        Self {
            generation: Some(it.generation),
            diagnostics: it.found.into_iter().map(Finding::from).collect(),
            ..Self::of(it.plan.as_ref())
        }
    }
}

/// The steps of a plan.
pub fn steps(plan: &plan::Plan) -> Vec<Step> {
    plan.steps.iter().map(Step::from).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = plan::Action::of_word(&self.action).map_or('?', plan::Action::sign);
        f.write_str(format!("{sign} {} {}", self.kind, self.name).trim_end())
    }
}

impl From<&plan::Step> for Step {
    fn from(it: &plan::Step) -> Self {
        Self {
            action: it.action.word().to_owned(),
            kind: it.kind.to_owned(),
            name: it.name.clone(),
            fields: it.fields.iter().map(Field::from).collect(),
            contents: it.contents,
        }
    }
}

impl From<&plan::FieldChange> for Field {
    fn from(it: &plan::FieldChange) -> Self {
        Self {
            name: it.name.clone(),
            old: it.old.clone(),
            new: it.new.clone(),
            element: it.element,
            fixed: it.fixed,
        }
    }
}

/// Something that was found in a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// Its code, as `P0101`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// `FILE:LINE:COLUMN`; `null` where no text is to blame.
    pub place: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
}

impl From<reload::Finding> for Finding {
    fn from(it: reload::Finding) -> Self {
        Self {
            severity: it.severity.to_owned(),
            code: it.code.into_owned(),
            message: it.message,
            place: it.place,
            help: it.help,
        }
    }
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its name in the configuration.
    pub name: String,
    /// The host names that it serves; its subject where it has none.
    pub names: String,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// The last second of the answer of OCSP that clients are shown with it; 0 where there is none, left out where none is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp_until: Option<i64>,
    /// Its authority says, by OCSP, that it is revoked; left out where it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

impl From<&LoadedCertificate> for Certificate {
    fn from(it: &LoadedCertificate) -> Self {
        Self {
            name: it.name.clone(),
            names: it.names.clone(),
            not_before: it.not_before,
            not_after: it.not_after,
            ocsp_until: None,
            revoked: false,
        }
    }
}

impl From<control::RevocationListStatus> for RevocationList {
    fn from(it: control::RevocationListStatus) -> Self {
        Self {
            issuer: it.issuer,
            next_update: it.next_update,
        }
    }
}

impl From<control::CertificateStatus> for Certificate {
    fn from(it: control::CertificateStatus) -> Self {
        Self {
            name: it.name,
            names: it.names,
            not_before: it.not_before,
            not_after: it.not_after,
            ocsp_until: it.ocsp_until,
            revoked: it.revoked,
        }
    }
}

impl Reload {
    /// One that succeeded.
    pub fn done(it: &Reloaded) -> Self {
        Self {
            ok: true,
            generation: it.generation,
            took: it.took.as_secs_f64(),
            plan: steps(&it.plan),
            certificates: it.certificates.iter().map(Certificate::from).collect(),
            diagnostics: it.findings().into_iter().map(Finding::from).collect(),
        }
    }

    /// One that changed nothing.
    pub fn failed(it: &NotReloaded) -> Self {
        Self {
            ok: false,
            generation: it.generation,
            took: it.took.as_secs_f64(),
            plan: Vec::new(),
            certificates: Vec::new(),
            diagnostics: it.findings().into_iter().map(Finding::from).collect(),
        }
    }
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// What people call it besides; left out where there is nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `http`, `https`, `tcp` or `tls`.
    pub protocol: String,
    /// Where it accepts.
    pub addresses: Vec<String>,
    /// `accepting`; `leaving`: it still accepts, and says that it will not; `paused`; `blocked`: it is to accept and cannot listen,
    /// because another program has its address; `stopped`.
    #[serde(default)]
    pub state: String,
    /// Connections open now.
    pub connections: u64,
    /// Requests since the start; connections where it speaks no HTTP.
    pub requests: u64,
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its name.
    pub name: String,
    /// What people call it besides; left out where there is nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `http`, `https`, `tcp` or `tls`.
    pub protocol: String,
    /// Requests or connections that wait for a target now.
    #[serde(default)]
    pub queued: u32,
    /// Its targets in the order of the configuration.
    pub targets: Vec<Target>,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where it lives, as configured.
    pub address: String,
    /// What its name resolves to, where that is not the same.
    pub resolved: Option<String>,
    /// `initial`, `healthy`, `unhealthy`, `draining` or `unused`.
    pub health: String,
    /// Its health is checked; one that is not counts as healthy.
    #[serde(default = "is_checked_unless_said")]
    pub checked: bool,
    /// Why, in words.
    pub reason: String,
    /// Since when, seconds since 1970.
    pub since: f64,
    /// The latest check.
    pub last_check: Option<Check>,
    /// Checks that passed.
    pub checks_passed: u64,
    /// Checks that failed.
    pub checks_failed: u64,
    /// Requests or connections that it is serving now.
    pub in_flight: u32,
    /// Those that wait for it and take no other.
    #[serde(default)]
    pub queued: u32,
    /// Its share.
    pub weight: u16,
}

fn is_checked_unless_said() -> bool {
    true
}

impl Target {
    /// The word for its health that people are shown.
    pub fn shown_health(&self) -> &str {
        shown_health(&self.health, self.checked)
    }
}

/// The word for the health of a target that people are shown: what nobody checks is not called healthy.
pub(crate) fn shown_health(health: &str, is_checked: bool) -> &str {
    match health {
        "healthy" if !is_checked => "not checked",
        word => word,
    }
}

/// A check of a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// When it began, seconds since 1970.
    pub at: f64,
    /// Seconds that it took.
    pub took: f64,
}

impl From<control::Status> for Status {
    fn from(status: control::Status) -> Self {
        Self {
            process: status.process.into(),
            listeners: status.listeners.into_iter().map(Into::into).collect(),
            target_groups: status.groups.into_iter().map(Into::into).collect(),
            circuit_breakers: status.circuits.into_iter().map(Into::into).collect(),
            draining: status.draining.into_iter().map(Into::into).collect(),
            earlier: status.earlier.into_iter().map(Into::into).collect(),
            certificates: status.certificates.into_iter().map(Into::into).collect(),
            revocation_lists: status
                .revocation_lists
                .into_iter()
                .map(Into::into)
                .collect(),
        }
    }
}

impl From<control::ProcessStatus> for Process {
    fn from(process: control::ProcessStatus) -> Self {
        Self {
            version: process.version.to_owned(),
            pid: process.pid,
            started: seconds(process.started),
            uptime: rounded(process.uptime),
            workers: process.workers,
            generation: process.generation,
            draining: process.draining,
            memory: Some(Memory {
                used: process.memory.used,
                budget: process.memory.budget,
                resident: process.memory.resident,
                level: process.memory.level.to_owned(),
            }),
            files: process.files,
            rolled_back_to: process.rolled_back_to,
            last_reload: process.last_reload.map(|it| LastReload {
                at: seconds(it.at),
                took: it.took.as_secs_f64(),
                error: it.error,
            }),
            last_upgrade: process.last_upgrade.map(|it| LastUpgrade {
                at: seconds(it.at),
                took: it.took.as_secs_f64(),
                error: it.error,
            }),
        }
    }
}

impl From<control::ListenerStatus> for Listener {
    fn from(listener: control::ListenerStatus) -> Self {
        Self {
            name: listener.name,
            tags: listener.tags.into_iter().collect(),
            protocol: listener.protocol.to_owned(),
            addresses: listener.addresses,
            state: listener.state.to_owned(),
            connections: listener.connections,
            requests: listener.requests,
        }
    }
}

impl From<control::GroupStatus> for TargetGroup {
    fn from(group: control::GroupStatus) -> Self {
        Self {
            name: group.name,
            tags: group.tags.into_iter().collect(),
            protocol: group.protocol.to_owned(),
            queued: group.queued,
            targets: group.targets.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<control::TargetStatus> for Target {
    fn from(target: control::TargetStatus) -> Self {
        Self {
            name: target.name,
            address: target.address,
            resolved: target.resolved,
            health: target.health.to_owned(),
            checked: target.is_checked,
            reason: target.reason,
            since: seconds(target.since),
            last_check: target.last_check.map(|check| Check {
                at: seconds(check.at),
                took: rounded(check.took),
            }),
            checks_passed: target.checks_passed,
            checks_failed: target.checks_failed,
            in_flight: target.in_flight,
            queued: target.queued,
            weight: target.weight,
        }
    }
}

fn seconds(moment: SystemTime) -> f64 {
    rounded(moment.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// To a millisecond: more is noise.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
