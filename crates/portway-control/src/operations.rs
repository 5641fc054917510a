//! What people and tools change while Portway runs, without touching the configuration.
//!
//! An order is given to the live state of one object and holds until another order or the end of the process; checks
//! go on meanwhile, and their results count again once the order is taken back.

use std::fmt;
use std::sync::Arc;

use crate::figures::Statistics;
use crate::health;
use crate::targets::WatchedTarget;

/// What a target is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetOrder {
    /// To take traffic as its checks allow.
    Ready,
    /// To take no new traffic.
    Drain,
    /// To take no traffic and not to be checked.
    Maintain,
    /// To count as healthy until a check says otherwise.
    Up,
    /// To count as unhealthy until a check says otherwise.
    Down,
}

/// Why there is nobody to give an order to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSuch {
    /// No group of this name or number.
    Group,
    /// No target of this name or number in it.
    Target,
}

impl fmt::Display for NoSuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoSuch::Group => "no such group",
            NoSuch::Target => "no such target",
        })
    }
}

impl Statistics {
    /// A target by the names of its group and its own; `#2` is a number.
    ///
    /// # Errors
    /// Which of the two is not there.
    pub fn target(&self, group: &str, target: &str) -> Result<&Arc<WatchedTarget>, NoSuch> {
        let of_name = |it: &&crate::figures::Proxy| match number(group) {
            Some(number) => it.number == number,
            None => it.name.as_str() == group,
        };
        let backends = self.proxies.iter().filter(|it| it.group.is_some());
        let proxy = backends.clone().find(of_name).ok_or(NoSuch::Group)?;
        let index = proxy.group.ok_or(NoSuch::Group)?;
        let targets = self.targets.get(index).ok_or(NoSuch::Group)?;
        let at = match number(target) {
            Some(number) => proxy.targets.iter().position(|it| *it == number),
            None => targets
                .iter()
                .position(|it| it.target.name.as_str() == target),
        };
        at.and_then(|at| targets.get(at)).ok_or(NoSuch::Target)
    }
}

/// The number in `#2`.
fn number(text: &str) -> Option<u32> {
    text.strip_prefix('#')?.parse().ok()
}

impl WatchedTarget {
    /// Carries an order out, and tells what changed.
    pub fn order(&self, order: TargetOrder) {
        let transition = self.ordered(order);
        health::announce(self, transition);
    }
}
