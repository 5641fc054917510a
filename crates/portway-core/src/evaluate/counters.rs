//! What rules read of stick tables.

use super::{Facts, Fetched, evaluate};
use crate::stick::{Entry, Event, Key, Table};
use portway_model::expression::{Counter, CounterEntry, EntryFigure, TableFigure, Touch};
use portway_model::snapshot::StickTableId;
use portway_model::stage::Resolved;
use std::borrow::Cow;

/// A counter, and what becomes of it.
pub(super) fn counter<'a, F: Facts>(
    counter: Counter,
    of: &CounterEntry<Resolved>,
    touch: Touch,
    facts: &F,
) -> Fetched<'a> {
    let now = facts.stick_time();
    if let CounterEntry::Tracked(slot) = of {
        let found = facts.tracked(*slot);
        let value = found.and_then(|(table, entry)| touched(table, entry, counter, touch, now));
        return value.into();
    }
    let value = keyed(of, facts).and_then(|(table, key)| {
        let entry = match touch {
            Touch::Raise => table.get_or_make(&key, now),
            Touch::Read | Touch::Clear => table.get(&key, now),
        };
        match entry {
            Some(entry) => touched(table, &entry, counter, touch, now),
            None => Some(0),
        }
    });
    value.into()
}

fn touched(table: &Table, entry: &Entry, counter: Counter, touch: Touch, now: u64) -> Option<i64> {
    match (touch, counter) {
        (Touch::Raise, Counter::General(number)) => {
            table.count(entry, Event::General(number), 1, now);
        }
        (Touch::Raise, _) => table.count(entry, Event::Connection, 1, now),
        (Touch::Read | Touch::Clear, _) => {}
    }
    let value = table.read(entry, counter, now)?;
    if touch == Touch::Clear {
        table.set(entry, counter, 0, now);
    }
    Some(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Something of an entry itself.
pub(super) fn of_entry<'a, F: Facts>(
    figure: EntryFigure,
    of: &CounterEntry<Resolved>,
    facts: &F,
) -> Fetched<'a> {
    let now = facts.stick_time();
    let read = |entry: &Entry| match figure {
        EntryFigure::Trackers => Some(entry.trackers().into()),
        EntryFigure::ExpiresIn => {
            let is_forgotten = entry.expires() < u64::MAX;
            is_forgotten.then(|| entry.expires().saturating_sub(now))
        }
        EntryFigure::Idle => Some(now.saturating_sub(entry.last_used())),
    };
    let value = match of {
        CounterEntry::Tracked(slot) => facts.tracked(*slot).and_then(|(_, entry)| read(entry)),
        CounterEntry::TrackedKey { .. } | CounterEntry::Key { .. } => keyed(of, facts)
            .and_then(|(table, key)| table.get(&key, now))
            .and_then(|entry| read(&entry)),
    };
    value.and_then(|it: u64| i64::try_from(it).ok()).into()
}

/// A table and the key that is meant in it.
fn keyed<'f, F: Facts>(
    of: &CounterEntry<Resolved>,
    facts: &'f F,
) -> Option<(&'f Table, Cow<'f, Key>)> {
    match of {
        CounterEntry::Tracked(_) => None,
        CounterEntry::TrackedKey { table, slot } => {
            let (_, entry) = facts.tracked(*slot)?;
            Some((facts.stick_table(*table)?, Cow::Borrowed(entry.key())))
        }
        CounterEntry::Key { table, key } => {
            let table = facts.stick_table(*table)?;
            let key = Key::of(&evaluate(key, facts), table.key_type())?;
            Some((table, Cow::Owned(key)))
        }
    }
}

/// Something of a table as a whole.
pub(super) fn of_table<'a, F: Facts>(
    figure: TableFigure,
    table: StickTableId,
    facts: &F,
) -> Fetched<'a> {
    let count = |table: &Table| {
        let used = table.used(facts.stick_time());
        match figure {
            TableFigure::Used => used,
            TableFigure::Free => table.size().saturating_sub(used),
        }
    };
    let count = facts.stick_table(table).map(count);
    count.and_then(|count| i64::try_from(count).ok()).into()
}
