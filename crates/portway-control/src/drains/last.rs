//! What a process has in progress that another one has taken over from: it takes nothing new, and to what is in progress each of its
//! targets is one that a reload has taken away.

use std::sync::Arc;
use std::time::Duration;

use portway_dataplane::live::{ProcessState, TargetState};

use super::Drains;
use crate::figures::Installed;

/// When what is in progress at targets is cut off: as their groups say, else as the process says.
pub(crate) struct LastTimes {
    /// The targets of each group, until it was their time.
    left: Vec<(Duration, Vec<Arc<TargetState>>)>,
}

impl LastTimes {
    /// From now on, where the process ends after `end` with all that is left.
    pub(crate) fn of(now: &Installed, end: Duration) -> Self {
        let usual = now.plane.snapshot.process.drain_deadline;
        let groups = now.plane.snapshot.groups.iter().zip(&now.plane.groups);
        let times = groups.map(|(group, parts)| {
            let time = group.deregistration_delay.unwrap_or(usual);
            (time, parts.targets.to_vec())
        });
        Self {
            left: times.filter(|(time, _)| *time < end).collect(),
        }
    }

    /// Cuts off what is due so long after the beginning; how much that was.
    pub(crate) fn cut_off(&mut self, since: Duration, process: &ProcessState) -> u32 {
        let due = self.left.extract_if(.., |(time, _)| *time <= since);
        let targets = due.flat_map(|(_, targets)| targets);
        let busy = targets.filter(|it| it.in_flight() > 0);
        busy.map(|it| {
            let cut = it.in_flight();
            it.cut_off(process);
            cut
        })
        .sum()
    }
}

impl Drains {
    /// How long a process has at most that another one has taken over from: as long as some group gives its targets, or something
    /// that drains already has.
    pub(crate) fn longest(&self, now: &Installed) -> Duration {
        let process = &now.plane.snapshot.process;
        let groups = now.plane.snapshot.groups.iter();
        let of_groups = groups.filter_map(|it| it.deregistration_delay);
        let moment = self.now();
        let entries = self.entries();
        let drains = entries.iter().filter(|it| it.drain.is_leaving());
        let until = drains.filter_map(|it| it.drain.until());
        let all = of_groups.chain(until.map(|it| it.saturating_sub(moment)));
        all.fold(process.drain_deadline, Duration::max)
    }
}
