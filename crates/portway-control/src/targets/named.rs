//! A target whose address is a name: the address that it has now, or why it has none.

use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard, PoisonError};

use portway_core::health::{Failure, HealthState, Probe, Reason, Transition};

use super::{AT_ONCE, Known, WatchedTarget};
use crate::names::Asked;
use crate::resolve::NO_ANSWER;

/// What is known of the name of a target.
#[derive(Debug, Default)]
pub(super) struct Naming {
    asked: Option<Arc<Asked>>,
    /// Why it has no address.
    why: Option<Box<str>>,
}

impl WatchedTarget {
    /// This is asked for its name, as long as there is the target.
    pub(crate) fn asks(&self, asked: Arc<Asked>) {
        self.naming().asked = Some(asked);
    }

    /// What is asked for its name.
    pub(crate) fn asked(&self) -> Option<Arc<Asked>> {
        self.naming().asked.clone()
    }

    /// The address that it has is free for those that share its name: it is no more, or asks somebody else.
    pub(crate) fn gives_its_address_up(&self) {
        if let Some(asked) = self.asked() {
            asked.forget(&self.state);
        }
    }

    /// True where that was said already.
    pub(crate) fn is_unresolved_because(&self, why: &str) -> bool {
        self.naming().why.as_deref() == Some(why)
    }

    /// Its name does not resolve: it is unhealthy at once, there is nothing to connect to.
    pub fn unresolved(&self, why: &str) -> Option<Transition> {
        self.naming().why = Some(why.into());
        self.state.set_address(None);
        let mut known = self.known();
        let failed = self.not_resolved();
        if let Some(own) = &mut known.without_agent {
            own.observe(failed.clone(), AT_ONCE);
        }
        let transition = known.machine.observe(failed, AT_ONCE);
        self.publish(&mut known, transition)
    }

    /// It lives at `address` from now on: its name resolves to that, or somebody says so.
    pub fn resolved(&self, address: SocketAddr) -> Option<Transition> {
        self.naming().why = None;
        self.state.set_address(Some(address));
        let mut known = self.known();
        let from = known.machine.state();
        self.judge_by_name(&mut known);
        let transition = known.change_from(from);
        self.publish(&mut known, transition)
    }

    /// What is known of its name comes first: it is down where there is nothing to connect to, and where nothing but the name
    /// stood against one that is not checked, that is over with an address. Of others the check finds out.
    pub(super) fn judge_by_name(&self, known: &mut Known) {
        if self.is_lost() {
            let own = known.own_mut();
            if matches!(own.state(), HealthState::Initial | HealthState::Healthy) {
                drop(own.observe(self.not_resolved(), AT_ONCE));
            }
        } else if !self.is_checked && is_by_name(known.own().reason()) {
            known.begin_again();
        }
    }

    /// As a check would find it.
    pub(super) fn not_resolved(&self) -> Probe {
        let why = self.naming().why.clone();
        Probe::Failed(Failure::NotResolved(
            why.unwrap_or_else(|| NO_ANSWER.into()),
        ))
    }

    fn naming(&self) -> MutexGuard<'_, Naming> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_by_name(reason: &Reason) -> bool {
    matches!(reason, Reason::Failed(_, Failure::NotResolved(_)))
}
