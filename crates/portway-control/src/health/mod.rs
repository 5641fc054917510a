//! Active health checks: one task for each target that is checked.
//!
//! Decides when a target is checked and tells its state; how a check is done is [`Prober`], what its result changes is
//! [`portway_core::health`]. First checks are spread over a second, later ones over a tenth of their interval.

mod http;
mod probe;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use portway_core::health::{
    HealthState, InitialState, Thresholds, Transition, first_probe_delay, next_probe_delay,
};
use portway_model::settings::{NoneHealthy, ServerName as NameToSend};
use portway_model::snapshot::TargetGroup;
use portway_telemetry::events::{Event, emit};
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::targets::{LastCheck, WatchedTarget, in_telemetry};
use crate::tidings;

pub use probe::Prober;

/// Starts the checks of the targets of one group; they end with `tasks`. `tls` is for checks that speak TLS, see
/// [`crate::certificates::TlsConfigs::checks`].
pub fn start(
    group: &TargetGroup,
    tls: Option<&Arc<ClientConfig>>,
    targets: &[Arc<WatchedTarget>],
    tasks: &mut JoinSet<()>,
) {
    let Some(check) = &group.health_check else {
        return;
    };
    let peers: Arc<[Arc<WatchedTarget>]> = targets.into();
    for target in targets {
        let prober = Prober {
            check: check.clone(),
            tls: tls.cloned(),
            server_name: group
                .tls
                .as_ref()
                .map_or(NameToSend::None, |tls| tls.server_name.clone()),
        };
        let told = Told {
            peers: peers.clone(),
            fail_open: group.none_healthy == NoneHealthy::FailOpen,
        };
        tasks.spawn(watch(prober, target.clone(), told));
    }
}

/// Tells a change of state, if there was one.
pub fn announce(target: &WatchedTarget, transition: Option<Transition>) {
    if let Some(transition) = transition {
        tidings::changed(target, &transition);
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

/// What is told when a group goes down.
struct Told {
    /// All targets of the group.
    peers: Arc<[Arc<WatchedTarget>]>,
    fail_open: bool,
}

impl Told {
    fn if_down(&self, target: &WatchedTarget) {
        if !self
            .peers
            .iter()
            .any(|peer| peer.state.health().is_usable())
        {
            tidings::group_down(target);
            emit(&Event::TargetGroupDown {
                target_group: target.group.as_str(),
                fail_open: self.fail_open,
            });
        }
    }
}

async fn watch(prober: Prober, target: Arc<WatchedTarget>, told: Told) {
    let thresholds = Thresholds {
        healthy: prober.check.healthy_threshold.into(),
        unhealthy: prober.check.unhealthy_threshold.into(),
    };
    // A target takes traffic until it is shown to be down: it should not be a whole interval until the first look.
    let mut next =
        Instant::now() + first_probe_delay(prober.check.interval, InitialState::Wait, chance());
    loop {
        sleep_until(next).await;
        let start = Instant::now();
        // What has no address is unhealthy by its name alone, which says more than a check could.
        if !target.is_lost() && target.is_due() {
            let at = SystemTime::now();
            let result = prober.probe(&target).await;
            let took = start.elapsed();
            let transition = target.checked(LastCheck { at, took }, result, thresholds);
            let went_down = transition
                .as_ref()
                .is_some_and(|it| it.to == HealthState::Unhealthy);
            tidings::checked(&target);
            announce(&target, transition);
            if went_down {
                told.if_down(&target);
            }
        }
        let interval = match target.state_now() {
            HealthState::Unhealthy => prober.check.unhealthy_interval,
            _ => prober.check.interval,
        };
        // Never two checks of a target at once: one that took longer than the interval delays the next.
        next = (start + next_probe_delay(interval, chance())).max(Instant::now());
    }
}

/// Random bits; 0 where the system has none, which only makes checks fall into step.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}
