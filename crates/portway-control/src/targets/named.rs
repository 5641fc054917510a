//! A target whose address is a name: the address that it has now, or why it has none.

use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard, PoisonError};

use portway_core::health::{Failure, HealthMachine, Probe, Reason, Transition};

use super::{AT_ONCE, WatchedTarget};
use crate::names::Asked;

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

    /// True where that was said already.
    pub(crate) fn is_unresolved_because(&self, why: &str) -> bool {
        self.naming().why.as_deref() == Some(why)
    }

    /// Its name does not resolve: it is unhealthy at once, there is nothing to connect to.
    pub fn unresolved(&self, why: &str) -> Option<Transition> {
        self.naming().why = Some(why.into());
        self.state.set_address(None);
        let mut known = self.known();
        let failed = Probe::Failed(Failure::NotResolved(why.into()));
        if let Some(own) = &mut known.without_agent {
            own.observe(failed.clone(), AT_ONCE);
        }
        let transition = known.machine.observe(failed, AT_ONCE);
        self.publish(&mut known, transition)
    }

    /// Its name resolves to `address` from now on.
    pub fn resolved(&self, address: SocketAddr) {
        self.naming().why = None;
        let first = self.state.address().is_none();
        self.state.set_address(Some(address));
        let mut known = self.known();
        let unresolved = matches!(
            known.own().reason(),
            Reason::Failed(_, Failure::NotResolved(_))
        );
        // Nothing but the name stood against a target that is not checked; the check finds out about others.
        if first && unresolved && !self.is_checked {
            let from = known.machine.state();
            *known.own_mut() = HealthMachine::unchecked();
            let transition = known.change_from(from);
            self.publish(&mut known, transition);
        }
    }

    fn naming(&self) -> MutexGuard<'_, Naming> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
