//! What was found of a target, for the one that it becomes: after a reload, or in another process.

use std::time::SystemTime;

use portway_core::health::{HealthMachine, HealthState};

use super::{Known, LastCheck, WatchedTarget, is_out};

/// What was found of a target, and by what.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) machine: HealthMachine,
    /// Its agent holds it down: what it is without that.
    pub(super) without_agent: Option<HealthMachine>,
    pub(super) follows_into_rest: bool,
    pub(super) since: SystemTime,
    pub(super) last_check: Option<LastCheck>,
    pub(super) is_checked: bool,
    pub(super) has_agent: bool,
    /// It was as another is.
    pub(super) follows: bool,
}

impl WatchedTarget {
    /// Goes on with what was found, as far as what has found it is still there: checks, an agent, the one that it follows, a
    /// name. Of what is not, nothing is left: nobody would ever find otherwise.
    pub(super) fn take_found(&self, known: &mut Known, found: Found) {
        let from = found.machine.state();
        let held = found.without_agent.is_some();
        let own = found.without_agent.unwrap_or_else(|| found.machine.clone());
        let is_led = found.follows && (!is_out(&own) || found.follows_into_rest);
        let is_found_again = !is_led || self.target.track.is_some();
        if is_found_again && found.is_checked == self.is_checked {
            known.machine = own;
            known.follows_into_rest = found.follows_into_rest;
            known.last_check = found.last_check;
        }
        if held && found.has_agent && self.target.agent.is_some() {
            let own = std::mem::replace(&mut known.machine, found.machine);
            known.without_agent = Some(own);
        }
        self.judge_by_name(known);
        if known.machine.state() == from {
            known.since = found.since;
        } else if from == HealthState::Unhealthy {
            known.down_time += found.since.elapsed().unwrap_or_default();
        }
    }
}
