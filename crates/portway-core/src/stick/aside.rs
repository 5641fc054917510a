//! A table beside another: it answers as that one would, and what happens to it changes nothing there.

use super::entry::Entry;
use super::{Held, Key, Shard, Table, lock};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

impl Held {
    /// Room for as many entries in the same parts, of which none is there yet.
    fn aside(&self) -> Self {
        Self {
            used: AtomicUsize::new(self.used.load(Ordering::Relaxed)),
            ..Self::new(self.shards.len(), self.seed)
        }
    }
}

impl Table {
    /// A table beside this one. An entry is copied when it is first asked for.
    pub fn aside(self: &Arc<Self>) -> Self {
        Self {
            key: self.key,
            size: self.size,
            expire: self.expire,
            when_full: self.when_full,
            target_key: self.target_key,
            store: self.store.clone(),
            held: Arc::new(self.held.aside()),
            behind: Some(Arc::clone(self)),
        }
    }

    /// Takes over the entry of a key from the table that this one stands beside.
    #[cold]
    pub(super) fn take_over(&self, shard: &mut Shard, key: &Key) {
        let Some(there) = self.behind.as_ref().and_then(|it| it.shard(key)) else {
            return;
        };
        if let Some(entry) = lock(there).entries.get(key) {
            shard
                .entries
                .insert(key.clone(), Arc::new(Entry::copy(entry)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Fetched;
    use crate::seed::Seed;
    use portway_model::expression::{Counter, StoredCounter};
    use portway_model::name::Name;
    use portway_model::settings::{KeyType, TargetKey, WhenFull};
    use portway_model::snapshot::StickTable;
    use portway_model::span::{Origin, Span};

    #[test]
    fn what_happens_beside_a_table_changes_nothing_in_it() {
        let settings = StickTable {
            name: Name::from("t"),
            key: KeyType::Number,
            size: 2,
            expire: None,
            when_full: WhenFull::Evict,
            target_key: TargetKey::Name,
            store: vec![StoredCounter {
                counter: Counter::Connections,
                period: None,
            }],
            origin: Origin(Span::NONE),
        };
        let table = Arc::new(Table::new(&settings, Seed::new([0; 16])));
        let key = |number: i64| Key::of(&Fetched::Number(number), KeyType::Number).expect("a key");
        let count = |table: &Table, number: i64| {
            let entry = table.get(&key(number), 0)?;
            table.read(&entry, Counter::Connections, 0)
        };
        table.track(&key(1), 0).expect("room");
        table.get_or_make(&key(2), 0).expect("room");
        let aside = table.aside();
        assert_eq!((count(&aside, 1), count(&aside, 3)), (Some(1), None));
        aside.track(&key(1), 0).expect("it is there");
        aside.track(&key(3), 0).expect("that table would make room");
        assert_eq!((count(&aside, 1), count(&aside, 3)), (Some(2), Some(1)));
        assert_eq!((count(&table, 1), count(&table, 3)), (Some(1), None));
        assert_eq!(count(&table, 2), Some(0));
    }
}
