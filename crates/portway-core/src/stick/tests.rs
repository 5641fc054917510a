//! What asking a full table costs, and that a seed decides all that is left to chance.

use super::*;
use crate::evaluate::Fetched;
use portway_model::name::Name;
use portway_model::span::{Origin, Span};
use std::sync::mpsc;
use std::thread;

/// More than one part.
const SIZE: u32 = 5_000;

fn table(when_full: WhenFull, seed: u8) -> Arc<Table> {
    let settings = StickTable {
        name: Name::from("t"),
        key: KeyType::Number,
        size: SIZE,
        expire: None,
        when_full,
        target_key: TargetKey::Name,
        store: Vec::new(),
        origin: Origin(Span::NONE),
    };
    Arc::new(Table::new(&settings, Seed::new([seed; 16])))
}

fn number(number: i64) -> Key {
    Key::of(&Fetched::Number(number), KeyType::Number).unwrap()
}

/// What asking for a key gives while somebody else holds every part but its own.
fn asked_alone(table: &Arc<Table>, key: i64, now: u64) -> bool {
    let own: *const Mutex<Shard> = table.shard(&number(key)).unwrap();
    let others = table.held.shards.iter();
    let others: Vec<_> = others.filter(|it| !std::ptr::eq(*it, own)).collect();
    let held: Vec<_> = others.into_iter().map(lock).collect();
    assert_eq!(held.len(), SHARDS - 1);
    let (tell, told) = mpsc::channel();
    let asked = Arc::clone(table);
    thread::spawn(move || tell.send(asked.get_or_make(&number(key), now).is_some()));
    let found = told.recv_timeout(Duration::from_secs(20));
    drop(held);
    found.expect("it waits for no other part")
}

#[test]
fn a_full_table_that_refuses_looks_at_one_part() {
    let table = table(WhenFull::Refuse, 1);
    for key in 0..i64::from(SIZE) {
        table.get_or_make(&number(key), 0).unwrap();
    }
    for key in -50..0 {
        assert!(!asked_alone(&table, key, 1));
    }
    assert_eq!(table.refused(), 50);
}

#[test]
fn a_table_in_which_all_is_tracked_is_not_looked_through_each_time() {
    let table = table(WhenFull::Evict, 1);
    let all: Vec<_> = (0..i64::from(SIZE))
        .map(|key| table.track(&number(key), 0).unwrap())
        .collect();
    // Whoever comes first looks through it.
    assert!(table.get_or_make(&number(-1), 1).is_none());
    for key in -50..-1 {
        assert!(!asked_alone(&table, key, 2));
    }
    table.release(&all[0], 3);
    assert!(table.get_or_make(&number(-1), 3 + STUCK).is_some());
}

#[test]
fn a_seed_decides_which_entries_go() {
    let left = |seed: u8| {
        let table = table(WhenFull::Evict, seed);
        // All are of the same age.
        for key in 0..i64::from(2 * SIZE) {
            table.get_or_make(&number(key), 0).unwrap();
        }
        let entries = table.entries(0);
        let keys = entries.iter().map(|it| it.key().clone());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(left(1), left(1));
    assert_ne!(left(1), left(2));
}

/// The number that says which part a key is in does not say where it is in the map of that part, which would be a crowd.
#[test]
fn keys_of_a_part_are_spread_within_it() {
    let table = table(WhenFull::Evict, 1);
    let mut lower = std::collections::HashSet::new();
    let first: *const Mutex<Shard> = &raw const table.held.shards[0];
    for key in (0..i64::from(SIZE)).map(number) {
        if std::ptr::eq(table.shard(&key).unwrap(), first) {
            lower.insert(table.held.seed.hash_one(&key) % SHARDS as u64);
        }
    }
    assert_eq!(lower.len(), SHARDS);
}
