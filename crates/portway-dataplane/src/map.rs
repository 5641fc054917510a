//! A map or a list as rules ask it: as it was read, until somebody changes it while Portway runs.
//!
//! Rules see either all of a change or nothing of it. As long as nothing was changed, what is found is lent; afterwards
//! it is copied, since the next change may come while it is in use.

use portway_core::lookup::Lookup;
use std::borrow::Cow;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

/// All maps of a file, whose entries rules may change.
pub trait EntriesChange: Send + Sync {
    /// Adds an entry behind the others, or gives those with this key another value. A list has no values: where the key is in
    /// it, it stays as it is. Nothing happens where the key is none for one of the maps.
    fn put(&self, key: &[u8], value: Option<&[u8]>);

    /// Takes away the entries with this key.
    fn remove(&self, key: &[u8]);
}

/// A map or a list.
#[derive(Debug, Default)]
pub struct LiveMap {
    read: Lookup,
    /// What it is now. The lock is written on a change and held for an instant, or read for a question.
    changed: OnceLock<RwLock<Lookup>>,
}

impl From<Lookup> for LiveMap {
    fn from(read: Lookup) -> Self {
        let changed = OnceLock::new();
        Self { read, changed }
    }
}

impl LiveMap {
    /// Replaces all of it.
    pub fn change(&self, to: Lookup) {
        let mut to = Some(to);
        let current = self
            .changed
            .get_or_init(|| RwLock::new(to.take().unwrap_or_default()));
        if let Some(to) = to {
            let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *current, to);
            // What it was may be large: nobody waits for its end.
            drop(current);
            drop(before);
        }
    }

    /// True once it was changed: it can be edited then.
    pub fn is_changed(&self) -> bool {
        self.changed.get().is_some()
    }

    /// Changes entries where they stand; nothing happens to what is as it was read.
    pub fn edit(&self, edit: impl FnOnce(&mut Lookup)) {
        if let Some(current) = self.changed.get() {
            edit(&mut current.write().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The value of the entry that fits; empty in a list.
    pub fn find(&self, text: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self.current() {
            None => self.read.find(text).map(Cow::Borrowed),
            Some(current) => current.find(text).map(|found| Cow::Owned(found.to_vec())),
        }
    }

    /// The same with the groups of the regular expression that the value names.
    pub fn find_groups(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self.current() {
            None => self.read.find_groups(text),
            Some(current) => current.find_groups(text),
        }
    }

    /// What it was changed to.
    fn current(&self) -> Option<RwLockReadGuard<'_, Lookup>> {
        let current = self.changed.get()?;
        Some(current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::expression::TextMatch;
    use portway_model::settings::MapMatch;

    #[test]
    fn what_was_read_counts_until_it_is_changed() {
        let made = |entries: &[(&'static str, &'static str)]| {
            let exact = MapMatch::Text(TextMatch::Exact);
            Lookup::build(exact, false, entries.iter().copied()).unwrap()
        };
        let map = LiveMap::from(made(&[("a", "1")]));
        assert!(matches!(map.find(b"a"), Some(Cow::Borrowed(b"1"))));
        map.change(made(&[("b", "2")]));
        assert_eq!((map.find(b"a"), map.find(b"b")), (None, Some(b"2".into())));
        map.change(made(&[]));
        assert_eq!(map.find(b"b"), None);
    }
}
