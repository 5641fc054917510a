//! Variables of the process as the configuration sets them before anybody has come, and as people set them later.

use crate::plane::Plane;
use portway_core::evaluate::{Facts, Fetched, variable_value};
use portway_model::expression::{Scope, Template, Variable};
use portway_model::name::Name;
use portway_model::snapshot::MapId;
use portway_model::stage::Resolved;
use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

impl Plane {
    /// Sets the variables of the process to what they are at its start, each in view of those before it.
    pub fn set_initial_variables(&self) {
        for (name, value) in &self.snapshot.process.variables {
            self.set_process_variable(name, value);
        }
    }

    /// Sets a variable of the process to what a template says now. False where there is no room.
    pub fn set_process_variable(&self, name: &Name, value: &Template<Resolved>) -> bool {
        let variable = Variable {
            scope: Scope::Process,
            name: name.clone(),
        };
        let value = variable_value(value, &Starting(self));
        !value.is_present() || self.process.set_variable(&variable, value)
    }
}

/// What is known outside of connections.
struct Starting<'p>(&'p Plane);

impl Facts for Starting<'_> {
    fn variable(&self, variable: &Variable) -> Fetched<'_> {
        match variable.scope {
            Scope::Process => self.0.process.variable(variable),
            _ => Fetched::Absent,
        }
    }

    fn keep_variable(&self, variable: &Variable, value: Fetched<'static>) -> bool {
        variable.scope == Scope::Process && self.0.process.set_variable(variable, value)
    }

    fn lookup(&self, map: MapId, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.0.lookup(map, key)
    }

    fn lookup_groups(&self, map: MapId, key: &[u8]) -> Option<Vec<u8>> {
        self.0.maps.get(map.index())?.find_groups(key)
    }

    fn hostname(&self) -> Option<&str> {
        let hostname = &self.0.machine.hostname;
        Some(hostname.as_str()).filter(|name| !name.is_empty())
    }

    fn environment(&self, name: &str) -> Option<&str> {
        self.0.machine.environment.get(name).map(String::as_str)
    }

    fn clock_offset(&self, at: i64) -> i32 {
        self.0.zone.offset(at)
    }

    fn now_microseconds(&self) -> Option<i64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(now.as_micros()).ok()
    }

    fn now(&self) -> Option<i64> {
        self.now_microseconds().map(|now| now / 1_000_000)
    }

    fn random(&self) -> Option<u64> {
        // Each hasher has keys of its own, from the system's randomness.
        Some(RandomState::new().hash_one(0))
    }
}
