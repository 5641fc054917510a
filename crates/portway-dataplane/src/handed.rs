//! What control reads of the live state for the process that takes over, and puts into that of a process that did.

use crate::live::{AS_CONFIGURED, ListenerState, ProcessState, TargetState};
use crate::queue::Limits;
use portway_core::evaluate::Fetched;
use portway_model::expression::{Scope, Variable};
use portway_model::name::Name;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

impl TargetState {
    /// What it may have in flight at most, where somebody has said another number than the configuration.
    pub fn told_most(&self) -> Option<u32> {
        self.limits().and_then(Limits::told)
    }
}

impl ListenerState {
    /// The connections that it may have at most, where somebody has said another number than the configuration.
    pub fn told_limit(&self) -> Option<u32> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit != AS_CONFIGURED).then_some(limit)
    }
}

impl ProcessState {
    /// The connections that it may have at most, where somebody has said another number than the configuration.
    pub fn told_limit(&self) -> Option<u32> {
        Some(self.limit(0)).filter(|limit| *limit > 0)
    }

    /// Every variable of the process.
    pub fn all_variables(&self) -> Vec<(Name, Fetched<'static>)> {
        let variables = self.variables.lock();
        variables.unwrap_or_else(PoisonError::into_inner).all()
    }

    /// Sets a variable of the process. False where there is no room.
    pub fn put_variable(&self, name: &str, value: Fetched<'static>) -> bool {
        let variable = Variable {
            scope: Scope::Process,
            name: Name::new(name),
        };
        self.set_variable(&variable, value)
    }

    /// What the numbers of keys of limits are made with, and a number to compare.
    pub fn quota_seed(&self) -> ([u8; 16], u64) {
        self.quotas.seed()
    }

    /// Makes numbers of keys as another process does; false where that cannot be.
    pub fn take_over_quota_seed(&self, seed: [u8; 16], probe: u64) -> bool {
        self.quotas.take_over_seed(seed, probe)
    }

    /// Buckets of limits that are not full: the number of the key, and in how many nanoseconds it will be.
    pub fn quota_buckets(&self) -> Vec<(u64, u64)> {
        self.quotas.buckets()
    }

    /// Puts such a bucket. False where there is no room for it.
    pub fn put_quota_bucket(&self, number: u64, left: u64) -> bool {
        self.quotas.put(number, left)
    }
}
