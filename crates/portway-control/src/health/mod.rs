//! Active health checks: one task for each target that is checked.
//!
//! Decides when a target is checked and tells its state; how a check is done is [`Prober`], what its result changes is
//! [`portway_core::health`]. First checks are spread over a second, later ones come by chance a little sooner or later.

mod agent;
mod facts;
mod grpc;
pub(crate) mod http;
pub(crate) mod probe;
mod script;
mod service;
mod talk;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portway_core::health::{
    Failure, HealthState, InitialState, Probe, Thresholds, Transition, first_probe_delay,
    next_probe_delay,
};
use portway_dataplane::live::ProcessState;
use portway_model::check::{CheckWord, Observation, OnErrors};
use portway_model::settings::{NoneHealthy, ProxyProtocol, ServerName as NameToSend, VerifyName};
use portway_model::snapshot::{TargetCheck, TargetGroup, UpstreamTls};
use portway_telemetry::events::{Event, emit};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::certificates::GroupTls;
use crate::targets::{LastCheck, Peers, WatchedTarget, in_telemetry, ramp};
use crate::tidings::{self, By};

pub use probe::Prober;

/// Starts the checks of targets of one group, each with its place in it; they end with `tasks`. `tls` is for checks that speak TLS.
pub fn start<'t>(
    group: &TargetGroup,
    tls: &GroupTls,
    targets: impl Iterator<Item = (usize, &'t Arc<WatchedTarget>)>,
    peers: &Arc<Peers>,
    process: &Arc<ProcessState>,
    tasks: &mut JoinSet<()>,
) {
    for (place, target) in targets {
        if !target.target.slow_start.is_zero() {
            target.is_looked_after_by(tasks.spawn(ramp(target.clone())));
        }
        let told = Arc::new(Told {
            peers: peers.clone(),
            // One that comes alone waits for nobody.
            place: match target.is_added {
                true => 0,
                false => u32::try_from(place).unwrap_or(0),
            },
            process: Arc::clone(process),
            fail_open: group.none_healthy == NoneHealthy::FailOpen,
        });
        if let Some(agent) = &target.target.agent {
            let asks = agent::watch(agent.clone(), target.clone(), told.clone());
            target.is_looked_after_by(tasks.spawn(asks));
        }
        let Some(check) = &group.health_check else {
            continue;
        };
        let Some(own) = &target.target.check else {
            continue;
        };
        let prober = Prober {
            check: check.clone(),
            own: own.clone(),
            tls: tls.of_check(place).cloned(),
            server_name: group
                .tls_of(&target.target)
                .map_or(NameToSend::None, name_of_checks),
            process: Some(Arc::clone(process)),
            proxy: group
                .send_proxy_of(&target.target)
                .map_or(ProxyProtocol::V1, |send| send.version),
        };
        if let Some(observe) = own.observe {
            let first = check.first_failure_is_down;
            let listened = listen(target.clone(), own.clone(), observe, first, told.clone());
            target.is_looked_after_by(tasks.spawn(listened));
        }
        target.is_looked_after_by(tasks.spawn(watch(prober, target.clone(), told)));
    }
}

/// A check has no client whose name could be passed on. Where a certificate need not have the name of its target, none is sent
/// in its place.
fn name_of_checks(tls: &UpstreamTls) -> NameToSend {
    match (&tls.server_name, &tls.verify_name) {
        (NameToSend::Fixed(_), _) | (_, VerifyName::SentOrAddress) => tls.server_name.clone(),
        (_, VerifyName::SentOrAny | VerifyName::SentOr(_)) => NameToSend::None,
    }
}

/// Tells a change of state, if there was one, of the target and of those that are as it is.
pub fn announce(target: &WatchedTarget, transition: Option<Transition>) {
    announce_by(target, transition, By::Itself);
}

/// As [`announce`], with what changed it.
pub fn announce_by(target: &WatchedTarget, transition: Option<Transition>, by: By) {
    if let Some(transition) = transition {
        tidings::changed(target, &transition, by);
        target.lead();
        let Transition { from, to, reason } = transition;
        emit(&Event::TargetHealthChanged {
            target_group: target.group.as_str(),
            target: target.target.name.as_str(),
            from: in_telemetry(from),
            to: in_telemetry(to),
            reason: &reason,
        });
    }
}

/// What follows a change of state.
struct Told {
    /// All targets of the group.
    peers: Arc<Peers>,
    /// The place of the target among them.
    place: u32,
    fail_open: bool,
    process: Arc<ProcessState>,
}

impl Told {
    /// A target takes traffic until it is shown to be down, or none until it is shown to be up: it should not be a whole
    /// interval until the first look.
    fn first_delay(&self, prober: &Prober) -> Duration {
        let interval = prober.own.interval;
        if !prober.check.first_failure_is_down || prober.check.wait_for_first_check {
            return first_probe_delay(interval, InitialState::Wait, chance());
        }
        // As HAProxy: the first at once, the others spread over the interval.
        let count = u32::try_from(self.peers.all().len())
            .unwrap_or(u32::MAX)
            .max(1);
        interval.saturating_mul(self.place) / count
    }

    fn changed(&self, target: &WatchedTarget, transition: Option<Transition>) {
        let Some(to) = transition.as_ref().map(|it| it.to) else {
            return;
        };
        announce(target, transition);
        if to == HealthState::Unhealthy {
            if target.target.shutdown_on_down {
                target.state.cut_off(&self.process);
            }
            self.if_down(target);
        } else if to == HealthState::Healthy && target.target.shutdown_backups_on_up {
            let peers = self.peers.all();
            let backups = peers.iter().filter(|peer| peer.target.backup);
            backups.for_each(|peer| peer.state.cut_off(&self.process));
        }
    }

    fn if_down(&self, target: &WatchedTarget) {
        if !self
            .peers
            .all()
            .iter()
            .any(|peer| peer.state.health().is_usable())
        {
            emit(&Event::TargetGroupDown {
                target_group: target.group.as_str(),
                fail_open: self.fail_open,
            });
        }
    }
}

/// How many results in a row change the state now. `first`: the first failure does, for a new target.
fn thresholds(own: &TargetCheck, target: &WatchedTarget, first: bool) -> Thresholds {
    let unhealthy = match target.state_now() {
        HealthState::Initial if first => 1,
        _ => own.unhealthy_threshold.into(),
    };
    Thresholds {
        healthy: own.healthy_threshold.into(),
        unhealthy,
    }
}

/// Takes errors in a row of what the target serves into account.
async fn listen(
    target: Arc<WatchedTarget>,
    own: TargetCheck,
    observe: Observation,
    first: bool,
    told: Arc<Told>,
) {
    loop {
        let last = target.state.alarmed().await;
        if !target.is_due() {
            continue;
        }
        if observe.then != OnErrors::CheckSooner {
            let errors = observe.errors;
            let said = format!("Detected {errors} consecutive errors, last one was: {last}");
            let word = CheckWord::HealthAnalysis;
            let check = LastCheck {
                at: SystemTime::now(),
                took: Duration::ZERO,
                word,
                code: None,
                said: said.clone().into(),
            };
            let failure = Failure::Step {
                word,
                code: None,
                said: said.into(),
            };
            let thresholds = thresholds(&own, &target, first);
            let transition = target.failed_to_serve(check, failure, observe.then, thresholds);
            tidings::checked(&target);
            told.changed(&target, transition);
        }
        target.hurry.notify_one();
    }
}

/// A check has a result.
fn made(
    prober: &Prober,
    target: &Arc<WatchedTarget>,
    told: &Told,
    (check, probe): (LastCheck, Probe),
) {
    let first = prober.check.first_failure_is_down;
    let thresholds = thresholds(&prober.own, target, first);
    let before = target.state.health();
    let transition = target.checked(check, probe, thresholds);
    tidings::checked(target);
    if transition.is_none() {
        tidings::leaving(target, before);
    }
    told.changed(target, transition);
}

/// A check could not be made, for a reason of ours: what is known of the target holds.
fn not_made(target: &WatchedTarget, check: LastCheck, why: &str) {
    if target.not_checked(check) {
        emit(&Event::HealthCheckNotMade {
            target_group: target.group.as_str(),
            target: target.target.name.as_str(),
            reason: why,
        });
    }
}

async fn watch(prober: Prober, target: Arc<WatchedTarget>, told: Arc<Told>) {
    let mut next = Instant::now() + told.first_delay(&prober);
    loop {
        tokio::select! {
            () = sleep_until(next) => {}
            () = target.hurry.notified() => {
                next = next.min(Instant::now() + prober.own.fast_interval);
                continue;
            }
        }
        let start = Instant::now();
        // What has no address is unhealthy by its name alone, which says more than a check could.
        if !target.is_lost() && target.is_due() {
            let at = SystemTime::now();
            let outcome = prober.probe(&target).await;
            let check = LastCheck {
                at,
                took: start.elapsed(),
                word: outcome.word,
                code: outcome.code,
                said: outcome.said,
            };
            if outcome.probe == Probe::Passed {
                target.state.forgive();
            }
            match outcome.probe {
                Probe::Failed(Failure::NotMade(why)) => not_made(&target, check, &why),
                probe => made(&prober, &target, &told, (check, probe)),
            }
        }
        let interval = target.interval(&prober.own);
        // Never two checks of a target at once: one that took longer than the interval delays the next.
        next = (start + next_probe_delay(interval, prober.check.jitter_percent, chance()))
            .max(Instant::now());
    }
}

/// Random bits; 0 where the system has none, which only makes checks fall into step.
pub(crate) fn chance() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}
