//! Live state beside that of the process: it says the same, and what happens to it changes nothing there.

use super::{ProcessState, TargetState};
use crate::quota::Quotas;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

impl TargetState {
    /// A target in the same state, which is of no group yet.
    pub(crate) fn aside(&self) -> Self {
        let mut aside = Self::new(self.health(), self.address());
        aside.weight = self.weight.copied();
        aside.answer_time = self.answer_time.copied();
        aside.session_rate.follow(&self.session_rate);
        let copies = [
            (&self.in_flight, &aside.in_flight),
            (&self.queued, &aside.queued),
        ];
        for (from, to) in copies {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        aside
    }
}

impl ProcessState {
    /// A process that knows the same variables and counts the same requests.
    pub(crate) fn aside(&self) -> Self {
        let variables = self.variables.lock();
        let variables = variables.unwrap_or_else(PoisonError::into_inner).clone();
        let aside = Self {
            variables: Mutex::new(variables),
            quotas: Arc::new(Quotas::aside(&self.quotas)),
            ..Self::default()
        };
        let requests = self.requests.load(Ordering::Relaxed);
        aside.requests.store(requests, Ordering::Relaxed);
        aside.draining.store(self.is_draining(), Ordering::Relaxed);
        aside
    }
}
