//! What is running, as plain values: for the admin address and whoever else shows it.

use std::time::{Duration, SystemTime};

use portway_model::snapshot::{Listener, Snapshot};
use portway_telemetry::metrics::{Drained, TargetHealth};
use rustls_pki_types::UnixTime;

use crate::circuits;
use crate::drains::{Draining, Stage};
use crate::memory;
use crate::operations::Gate;
use crate::reload::LastReload;
use crate::renewal::Certificates;
use crate::running::Running;
use crate::targets::{LastCheck, WatchedTarget};
use crate::upgrade::{EarlierProcess, LastUpgrade};

/// The whole.
#[derive(Debug, Clone)]
pub struct Status {
    /// The process.
    pub process: ProcessStatus,
    /// Listeners in the order of the configuration.
    pub listeners: Vec<ListenerStatus>,
    /// Target groups in the order of the configuration.
    pub groups: Vec<GroupStatus>,
    /// Circuit breakers in the order of their names.
    pub circuits: Vec<CircuitStatus>,
    /// What drains.
    pub draining: Vec<Draining>,
    /// Processes that have served before this one and finish what they have, the oldest first.
    pub earlier: Vec<EarlierProcess>,
    /// Certificates in the order of the configuration.
    pub certificates: Vec<CertificateStatus>,
    /// Revocation lists that clients and targets are judged by.
    pub revocation_lists: Vec<RevocationListStatus>,
}

/// A certificate.
#[derive(Debug, Clone)]
pub struct CertificateStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The host names that it serves; its subject where it has none.
    pub names: String,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// The last second of the answer of OCSP that is shown with it; 0: none is, `None`: none is wanted.
    pub ocsp_until: Option<i64>,
    /// Its authority says that it is revoked.
    pub revoked: bool,
}

/// The revocation lists of an authority.
#[derive(Debug, Clone)]
pub struct RevocationListStatus {
    /// The authority in words.
    pub issuer: String,
    /// When the first of them is over, in seconds since 1970: then nobody of the authority is accepted.
    pub next_update: i64,
}

/// The process.
#[derive(Debug, Clone)]
pub struct ProcessStatus {
    /// Version of Portway.
    pub version: &'static str,
    /// Its process id.
    pub pid: u32,
    /// When it began to serve.
    pub started: SystemTime,
    /// Since then.
    pub uptime: Duration,
    /// Data workers.
    pub workers: usize,
    /// Counts the configurations that were installed, from 1.
    pub generation: u64,
    /// It stops gracefully.
    pub draining: bool,
    /// Memory.
    pub memory: MemoryStatus,
    /// The files of its configuration as they were named.
    pub files: Vec<String>,
    /// How the latest reload went; `None`: there was none.
    pub last_reload: Option<LastReload>,
    /// The generation that a rollback has put to work; `None`: what the files say is.
    pub rolled_back_to: Option<u64>,
    /// The upgrade that made this process, or one that failed since; `None`: there was none.
    pub last_upgrade: Option<LastUpgrade>,
}

/// One circuit breaker.
#[derive(Debug, Clone)]
pub struct CircuitStatus {
    /// Its name.
    pub name: String,
    /// `closed`, `open` or `recovering`.
    pub state: &'static str,
    /// How many of a hundred requests pass.
    pub percent: f64,
    /// Requests that it has answered.
    pub refused: u64,
}

/// Memory of the process.
#[derive(Debug, Clone, Copy)]
pub struct MemoryStatus {
    /// Bytes that connections and exchanges take, as far as it is counted.
    pub used: u64,
    /// Bytes that they may take; 0: no limit.
    pub budget: u64,
    /// Bytes of the whole process, as the system sees it.
    pub resident: Option<u64>,
    /// `free`, `scarce` or `full`.
    pub level: &'static str,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// What people call it besides.
    pub tags: Vec<(String, String)>,
    /// Where it accepts.
    pub addresses: Vec<String>,
    /// `http`, `https`, `tcp` or `tls`.
    pub protocol: &'static str,
    /// `accepting`, `leaving`, `paused`, `blocked` or `stopped`.
    pub state: &'static str,
    /// Connections open now.
    pub connections: u64,
    /// Requests since the start; connections where the listener speaks no HTTP.
    pub requests: u64,
}

/// One target group.
#[derive(Debug, Clone)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// What people call it besides.
    pub tags: Vec<(String, String)>,
    /// `http`, `https`, `tcp` or `tls`.
    pub protocol: &'static str,
    /// Requests or connections that wait for a target now.
    pub queued: u32,
    /// Its targets in the order of the configuration.
    pub targets: Vec<TargetStatus>,
}

/// One target.
#[derive(Debug, Clone)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// Where it lives, as configured.
    pub address: String,
    /// Where it is now, by its name or by command, where that is not the same.
    pub resolved: Option<String>,
    /// `initial`, `healthy`, `unhealthy`, `ejected`, `draining` or `unused`.
    pub health: &'static str,
    /// Its group has a health check; without one it counts as healthy.
    pub is_checked: bool,
    /// Why, in words; and what was said of it by command.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// The latest check.
    pub last_check: Option<LastCheck>,
    /// Checks that passed.
    pub checks_passed: u64,
    /// Checks that failed.
    pub checks_failed: u64,
    /// Requests or connections that it is serving now.
    pub in_flight: u32,
    /// Those that wait for it and take no other.
    pub queued: u32,
    /// Its share now.
    pub weight: u16,
}

impl Running {
    /// What is running now.
    pub fn status(&self) -> Status {
        let installed = self.statistics().installed();
        let snapshot = &installed.plane.snapshot;
        let mut status = Status {
            process: ProcessStatus {
                version: env!("CARGO_PKG_VERSION"),
                pid: std::process::id(),
                started: self.started,
                uptime: self.started_at.elapsed(),
                workers: self.workers,
                generation: installed.generation,
                draining: !self.is_ready(),
                memory: MemoryStatus {
                    used: self.process.memory_used().total(),
                    budget: self.process.memory.budget(),
                    resident: memory::resident(),
                    level: self.process.memory_level().word(),
                },
                files: installed
                    .plane
                    .sources
                    .iter()
                    .map(|(_, it)| it.name.to_string())
                    .collect(),
                last_reload: self.last_reload(),
                rolled_back_to: self.rolled_back_to(),
                last_upgrade: self.last_upgrade(),
            },
            listeners: snapshot
                .listeners
                .iter()
                .enumerate()
                .map(|(id, listener)| self.listener(listener, id))
                .collect(),
            groups: snapshot
                .groups
                .iter()
                .zip(&installed.targets)
                .zip(&installed.plane.groups)
                .map(|((group, targets), parts)| GroupStatus {
                    name: group.name.to_string(),
                    tags: group.tags.0.clone(),
                    protocol: group.protocol.as_str(),
                    queued: parts.state.waiting(),
                    targets: targets.iter().map(|it| target(it)).collect(),
                })
                .collect(),
            circuits: circuits::status(&installed.plane.circuits),
            draining: self.drains.all(),
            earlier: self.drains.earlier.all(),
            certificates: certificates(snapshot, &installed.certificates),
            revocation_lists: revocation_lists(&installed.certificates),
        };
        status.follow_process();
        status
    }
}

impl Status {
    /// Where the process leaves, so do its listeners.
    fn follow_process(&mut self) {
        let mut all = self.draining.iter();
        let Some(process) = all.find(|it| it.kind == Drained::Process) else {
            return;
        };
        let leaves = process.stage == Stage::Leaving;
        for listener in &mut self.listeners {
            match listener.state {
                "accepting" if leaves => listener.state = "leaving",
                _ if leaves => {}
                _ => listener.state = "stopped",
            }
        }
    }
}

impl Running {
    fn state_of_listener(&self, id: usize) -> &'static str {
        let installed = self.statistics().installed();
        let state = installed.plane.listeners.get(id).map(|it| &it.state);
        match state.map(|it| (it.gate(), it)) {
            None => "accepting",
            Some((Gate::Open, it)) if !it.all_listen() => "blocked",
            Some((Gate::Open, it)) if it.is_leaving() => "leaving",
            Some((Gate::Open, _)) => "accepting",
            Some((Gate::Paused, _)) => "paused",
            Some((Gate::Closed, _)) => "stopped",
        }
    }

    fn listener(&self, listener: &Listener, id: usize) -> ListenerStatus {
        let requests = if listener.protocol.is_http() {
            self.sum(id, |it| it.requests.total())
        } else {
            self.sum(id, |it| it.connections.value())
        };
        let open: i64 = self.sum(id, |it| it.connections_open.value());
        ListenerStatus {
            name: listener.name.to_string(),
            tags: listener.tags.0.clone(),
            addresses: listener.binds.iter().map(ToString::to_string).collect(),
            protocol: listener.protocol.as_str(),
            state: self.state_of_listener(id),
            connections: u64::try_from(open).unwrap_or(0),
            requests,
        }
    }
}

fn revocation_lists(all: &Certificates) -> Vec<RevocationListStatus> {
    let lists = all.lists().into_iter();
    let status = lists.map(|list| RevocationListStatus {
        issuer: list.issuer.clone(),
        next_update: list.next_update,
    });
    status.collect()
}

fn certificates(snapshot: &Snapshot, all: &Certificates) -> Vec<CertificateStatus> {
    let now = UnixTime::now();
    let identities = all.identities();
    let both = snapshot.certificates.iter().zip(&identities);
    let status = both.map(|(certificate, identity)| CertificateStatus {
        name: certificate.name.to_string(),
        names: match identity.names.is_empty() {
            true => identity.subject.clone(),
            false => identity.names.join(", "),
        },
        not_before: identity.not_before,
        not_after: identity.not_after,
        ocsp_until: identity.ocsp_until(now),
        revoked: identity.is_revoked(),
    });
    status.collect()
}

fn target(watched: &WatchedTarget) -> TargetStatus {
    let health = watched.health();
    let address = watched.target.address.to_string();
    let resolved = watched.state.address().map(|it| it.to_string());
    let told = watched.told_otherwise().into_iter();
    let reasons: Vec<String> = std::iter::once(health.reason).chain(told).collect();
    TargetStatus {
        name: watched.target.name.to_string(),
        resolved: resolved.filter(|it| *it != address),
        address,
        health: match health.ejected {
            true => TargetHealth::Ejected.word(),
            false => health.state.word(),
        },
        is_checked: watched.is_checked(),
        reason: reasons.join("; "),
        since: health.since,
        last_check: health.last_check,
        checks_passed: health.passed,
        checks_failed: health.failed,
        in_flight: watched.state.in_flight(),
        queued: watched.state.queued(),
        weight: u16::try_from(watched.weight()).unwrap_or(u16::MAX),
    }
}
