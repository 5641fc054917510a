//! What is in flight at a target: counted while it lives, and given back wherever it ends.

use super::TargetState;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One request or connection in flight.
#[derive(Debug)]
pub struct InFlight {
    target: Arc<TargetState>,
    /// It has a place of the group's limit too.
    of_group: bool,
}

impl InFlight {
    pub(super) fn at(target: &Arc<TargetState>) -> Self {
        Self {
            target: Arc::clone(target),
            of_group: false,
        }
    }

    /// With a place of the group, which it gives back when it is dropped.
    pub(crate) fn of_group(mut self) -> Self {
        self.of_group = true;
        self
    }

    /// Where.
    pub(crate) fn target(&self) -> &Arc<TargetState> {
        &self.target
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.target.gave_back(self.of_group);
    }
}
