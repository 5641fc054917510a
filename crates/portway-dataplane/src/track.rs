//! The entries of stick tables that a connection or an exchange is counted in.

use portway_core::evaluate::Fetched;
use portway_core::stick::{Entry, Event, Key, Table};
use portway_model::expression::Counter;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// So many milliseconds stand before the beginning: entries of the process before were made then. Ten years.
const BEFORE: u64 = 10 * 365 * 86_400 * 1000;

/// The milliseconds that stick tables count by: since long before the first was asked for.
pub fn now() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGIN.elapsed().as_millis()).map_or(u64::MAX, |it| it.saturating_add(BEFORE))
}

/// What is tracked, by slot; mostly nothing.
#[derive(Debug, Default)]
pub(crate) struct Tracked(Vec<Held>);

#[derive(Debug)]
struct Held {
    slot: u8,
    table: Arc<Table>,
    entry: Arc<Entry>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.table.release(&self.entry, now());
    }
}

impl Tracked {
    /// What is tracked in a slot.
    pub(crate) fn get(&self, slot: u8) -> Option<(&Table, &Entry)> {
        let held = self.0.iter().find(|held| held.slot == slot)?;
        Some((&held.table, &held.entry))
    }

    /// Tracks the entry of a key, unless something is tracked in the slot already, as in HAProxy. False where nothing new
    /// is.
    pub(crate) fn track(&mut self, slot: u8, table: &Arc<Table>, key: &Fetched<'_>) -> bool {
        if self.get(slot).is_some() {
            return false;
        }
        let now = now();
        let key = Key::of(key, table.key_type());
        let Some(entry) = key.and_then(|key| table.track(&key, now)) else {
            return false;
        };
        self.0.push(Held {
            slot,
            table: Arc::clone(table),
            entry,
        });
        true
    }

    /// Counts something in everything that is tracked.
    pub(crate) fn count(&self, event: Event, times: u64) {
        if self.0.is_empty() || times == 0 {
            return;
        }
        let now = now();
        for held in &self.0 {
            held.table.count(&held.entry, event, times, now);
        }
    }

    /// Ends the tracking and keeps the memory.
    pub(crate) fn release(&mut self) {
        self.0.clear();
    }
}

/// Raises a general counter of what is tracked.
pub(crate) fn raise((table, entry): (&Table, &Entry), counter: Counter) {
    if let Counter::General(number) = counter {
        table.count(entry, Event::General(number), 1, now());
    }
}

/// Sets a mark of what is tracked; not to a value that is no number of 32 bits.
pub(crate) fn set_mark((table, entry): (&Table, &Entry), mark: Counter, to: &Fetched<'_>) {
    let to = to.number().and_then(|to| u32::try_from(to).ok());
    if let Some(to) = to {
        table.set(entry, mark, u64::from(to), now());
    }
}
