//! How long what drains has: a target what its group says, everything else what the process says.

use std::sync::Arc;
use std::time::Duration;

use portway_core::drain::Terms;
use portway_model::name::Name;

use super::{GoneTarget, Thing};
use crate::figures::Installed;

/// What a group gives its targets, where it says that.
pub(crate) fn delay_of(group: &Name, now: &Installed) -> Option<Duration> {
    let mut groups = now.plane.snapshot.groups.iter();
    groups.find(|it| it.name == *group)?.deregistration_delay
}

impl GoneTarget {
    /// As its group says now, or said last where it is no more.
    fn delay(&self, now: &Installed) -> Option<Duration> {
        let mut groups = now.plane.snapshot.groups.iter().zip(&now.plane.groups);
        let of_now = groups.find(|(_, parts)| Arc::ptr_eq(&parts.state, &self.parts.state));
        let group = of_now.map_or(&self.group, |(group, _)| group);
        group.deregistration_delay
    }
}

impl Thing {
    /// What it has where it takes nothing new from now on; `usual`: what the process says.
    pub(super) fn terms(&self, now: &Installed, usual: Duration) -> Terms {
        let own = match self {
            Thing::Target(it) => it.delay(now),
            Thing::OrderedTarget(it) => delay_of(&it.group, now),
            Thing::Process | Thing::Listener(_) | Thing::OrderedListener(_) => None,
        };
        Terms {
            leave: Duration::ZERO,
            deadline: Some(own.unwrap_or(usual)),
        }
    }
}
