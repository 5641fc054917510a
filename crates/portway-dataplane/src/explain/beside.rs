//! A plane beside another: it says the same, and nothing that happens on it changes the other.

use crate::map::EntriesChange;
use crate::plane::{GroupParts, Plane};
use crate::seal::Seal;
use portway_model::snapshot::TargetGroup;
use std::sync::Arc;

/// A map that is not changed.
struct Unchanged;

impl EntriesChange for Unchanged {
    fn put(&self, _: &[u8], _: Option<&[u8]>) {}

    fn remove(&self, _: &[u8]) {}
}

impl Plane {
    /// A plane of the same configuration whose live state is a copy. Maps are the same, and rules do not change them.
    pub(super) fn aside(&self) -> Self {
        let unchanged: Arc<dyn EntriesChange> = Arc::new(Unchanged);
        let groups = self.snapshot.groups.iter().zip(&self.groups);
        Self {
            groups: groups
                .map(|(group, parts)| Arc::new(aside(group, parts)))
                .collect(),
            map_sets: self.map_sets.iter().map(|_| unchanged.clone()).collect(),
            tables: self.tables.iter().map(|it| Arc::new(it.aside())).collect(),
            circuits: self
                .circuits
                .iter()
                .map(|(name, it)| (name.clone(), Arc::new(it.aside())))
                .collect(),
            process: Arc::new(self.process.aside()),
            ..self.clone()
        }
    }
}

/// A copy of the parts of a group.
fn aside(group: &TargetGroup, parts: &GroupParts) -> GroupParts {
    let targets: Vec<_> = parts
        .targets
        .iter()
        .map(|it| Arc::new(it.aside()))
        .collect();
    let targets = Arc::from(targets);
    GroupParts {
        tls: parts.tls.clone(),
        own_tls: parts.own_tls.clone(),
        numbers: parts.numbers.clone(),
        state: parts.state.aside(group, &targets),
        turns: Arc::new(parts.turns.moved(Some)),
        seal: Seal::of(group),
        targets,
    }
}
