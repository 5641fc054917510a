//! Slow start: the share of its weight that a target has rises after it has come back, or has joined others.
//!
//! When a rise begins is decided where the health changes, so that no request comes to the full weight in between; one task for
//! each target goes on with it. What rises is a share ([`TargetState::set_share`]): the weight stays what is said of it.
//!
//! [`TargetState::set_share`]: portway_dataplane::live::TargetState::set_share

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portway_core::health::HealthState;
use portway_dataplane::live::WHOLE_SHARE;

use super::{Known, Targets, WatchedTarget};

/// Steps in which a share rises.
const RAMP_STEPS: u32 = 20;
/// The shortest of them: more often nobody would see.
const RAMP_STEP: Duration = Duration::from_millis(100);

/// How far a target is with its slow start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rise {
    /// It began then, and goes on.
    pub(crate) since: Option<SystemTime>,
    /// One begins once the target takes traffic.
    pub(crate) is_due: bool,
}

impl Known {
    /// One that was out of traffic rises when it is back in it. `whole` is how long that takes.
    pub(super) fn begin_rise(&mut self, whole: Duration) -> bool {
        match self.machine.state() {
            HealthState::Unhealthy | HealthState::Unused => {
                let is_due = !whole.is_zero();
                self.rise = Rise {
                    since: None,
                    is_due,
                };
            }
            _ if self.machine.usable() && self.rise.is_due => {
                self.rise = Rise {
                    since: Some(SystemTime::now()),
                    is_due: false,
                };
                return true;
            }
            _ => {}
        }
        false
    }
}

impl WatchedTarget {
    /// Begins its slow start where its state says so. To be called before workers see the state.
    pub(super) fn begin_rise(&self, known: &mut Known) {
        if known.begin_rise(self.target.slow_start) {
            self.rises.notify_one();
        }
        self.state.set_share(self.share(known));
    }

    /// Its slow start goes on from where it was.
    pub(super) fn take_rise(&self, known: &mut Known, rise: Rise) {
        if !self.target.slow_start.is_zero() {
            known.rise = rise;
        }
        self.begin_rise(known);
    }

    /// It has come to a group that serves.
    fn joins(&self) {
        if !self.target.slow_start.is_zero() && self.target.slow_start_when_new {
            let mut known = self.known();
            known.rise.is_due = true;
            self.begin_rise(&mut known);
        }
    }

    /// It takes traffic again after it was ejected. To be called before workers see that.
    pub(crate) fn rises_again(&self) {
        if !self.target.slow_start.is_zero() {
            let mut known = self.known();
            known.rise.is_due = true;
            self.begin_rise(&mut known);
        }
    }

    /// How much of its weight counts now.
    fn share(&self, known: &Known) -> u32 {
        let whole = self.target.slow_start;
        let Some(since) = known.rise.since.filter(|_| !whole.is_zero()) else {
            return WHOLE_SHARE;
        };
        let risen = since.elapsed().unwrap_or(whole).min(whole);
        let share = risen.as_secs_f64() / whole.as_secs_f64() * f64::from(WHOLE_SHARE);
        share as u32
    }

    /// How long its slow start takes yet; `None` where it is in none.
    pub(crate) fn rises_for(&self) -> Option<Duration> {
        let since = self.known().rise.since?;
        let left = self.target.slow_start.checked_sub(since.elapsed().ok()?)?;
        Some(left)
    }
}

/// Those of a group that have come to others rise. Where nobody serves fully yet there is nobody to take their part.
pub(crate) fn join(targets: &Targets, is_new: impl Fn(usize) -> bool) {
    let serves = |(index, it): (usize, &Arc<WatchedTarget>)| {
        !is_new(index) && it.state.health().is_usable() && it.state.share() == WHOLE_SHARE
    };
    if targets.iter().enumerate().any(serves) {
        let new = targets
            .iter()
            .enumerate()
            .filter(|(index, _)| is_new(*index));
        new.for_each(|(_, it)| it.joins());
    }
}

/// Lets the share of a target rise whenever it has come back.
pub(crate) async fn ramp(target: Arc<WatchedTarget>) {
    let step = (target.target.slow_start / RAMP_STEPS).max(RAMP_STEP);
    loop {
        let is_over = {
            let mut known = target.known();
            let share = target.share(&known);
            if share == WHOLE_SHARE {
                known.rise.since = None;
            }
            target.state.set_share(share);
            share == WHOLE_SHARE
        };
        match is_over {
            true => target.rises.notified().await,
            false => tokio::time::sleep(step).await,
        }
    }
}
