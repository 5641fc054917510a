//! Targets among others: those of a group, those that are as another is, and the tasks that look after one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use portway_dataplane::live::Health;
use portway_model::snapshot::{Target, TargetGroup};
use tokio::task::AbortHandle;

use super::WatchedTarget;
use crate::tidings::Teller;

/// The targets of one group, for those who look at them again and again.
#[derive(Debug, Default)]
pub struct Peers {
    targets: RwLock<Targets>,
    /// What looks after them together.
    task: Mutex<Option<AbortHandle>>,
}

/// The targets of one group, in the order of the configuration.
pub type Targets = Arc<[Arc<WatchedTarget>]>;

impl Peers {
    /// These, from now on.
    pub fn set(&self, targets: &Targets) {
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = targets.clone();
    }

    /// Those of now.
    pub fn all(&self) -> Targets {
        let all = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// This looks after them together from now on, and what did before ends.
    pub(crate) fn set_task(&self, task: Option<AbortHandle>) {
        let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *known, task) {
            before.abort();
        }
    }
}

/// Has each target followed by those that are as it is, and by no others.
pub(crate) fn follow(all: &[Targets]) {
    let mut followers: HashMap<(usize, usize), Vec<Arc<WatchedTarget>>> = HashMap::new();
    for target in all.iter().flat_map(|it| it.iter()) {
        if let Some(to) = target.target.track {
            let leader = (to.group.index(), to.target as usize);
            followers.entry(leader).or_default().push(target.clone());
        }
    }
    for (group, leaders) in all.iter().enumerate() {
        for (index, leader) in leaders.iter().enumerate() {
            // Compile makes no circles.
            *leader.followers() = followers.remove(&(group, index)).unwrap_or_default();
        }
    }
}

impl WatchedTarget {
    /// One that comes while the process runs: it takes no traffic, is not checked and its agent is not asked, until it is
    /// told to.
    pub(crate) fn added(group: &TargetGroup, target: &Target) -> Self {
        let mut added = Self::new(group, target);
        added.known().machine.retire();
        added.begin_rise(&mut added.known());
        added.state.set_health(Health::Unused);
        added.is_added = true;
        added.rest(true);
        added.rest_agent(true);
        added
    }

    /// Where its changes are told in HAProxy's words.
    pub(crate) fn teller(&self) -> Option<Arc<Teller>> {
        let teller = self.teller.lock().unwrap_or_else(PoisonError::into_inner);
        teller.clone()
    }

    /// They are told there from now on.
    pub(crate) fn set_teller(&self, teller: Option<Arc<Teller>>) {
        *self.teller.lock().unwrap_or_else(PoisonError::into_inner) = teller;
    }

    pub(super) fn followers(&self) -> MutexGuard<'_, Vec<Arc<WatchedTarget>>> {
        let followers = self.followers.lock();
        followers.unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `follower` is as this one is.
    pub(crate) fn follow_with(&self, follower: &Arc<WatchedTarget>) {
        self.followers().push(follower.clone());
    }

    /// Nobody is as this one is because of `gone`.
    pub(crate) fn forget_follower(&self, gone: &WatchedTarget) {
        self.followers()
            .retain(|it| !std::ptr::eq(&raw const **it, gone));
    }

    /// True where others are as this one is.
    pub(crate) fn is_followed(&self) -> bool {
        !self.followers().is_empty()
    }

    /// This task looks after it.
    pub(crate) fn is_looked_after_by(&self, task: AbortHandle) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(task);
    }

    /// Nobody looks after it any more.
    pub(crate) fn leave_alone(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.drain(..).for_each(|task| task.abort());
    }
}
