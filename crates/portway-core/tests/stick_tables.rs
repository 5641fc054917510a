//! Stick tables: how many entries they have, which go, and what they count.

use portway_core::evaluate::Fetched;
use portway_core::seed::Seed;
use portway_core::stick::{Event, Key, Table};
use portway_model::expression::{Counter, StoredCounter};
use portway_model::name::Name;
use portway_model::settings::{KeyType, TargetKey, WhenFull};
use portway_model::snapshot::StickTable;
use portway_model::span::{Origin, Span};
use std::net::IpAddr;
use std::time::Duration;

const SEED: Seed = Seed::new([7; 16]);

fn table(key: KeyType, size: u32, expire: Option<u64>, when_full: WhenFull) -> Table {
    Table::new(&settings(key, size, expire, when_full), SEED)
}

fn settings(key: KeyType, size: u32, expire: Option<u64>, when_full: WhenFull) -> StickTable {
    let period = Some(Duration::from_secs(1));
    let store = [
        (Counter::OpenConnections, None),
        (Counter::Connections, None),
        (Counter::RequestRate, period),
        (Counter::General(0), None),
        (Counter::Mark(0), None),
    ];
    let stored = |(counter, period)| StoredCounter { counter, period };
    StickTable {
        name: Name::from("t"),
        key,
        size,
        expire: expire.map(Duration::from_millis),
        when_full,
        target_key: TargetKey::Name,
        store: store.into_iter().map(stored).collect(),
        origin: Origin(Span::NONE),
    }
}

#[expect(clippy::unwrap_used, reason = "a number is always a key of numbers")]
fn number(number: i64) -> Key {
    Key::of(&Fetched::Number(number), KeyType::Number).unwrap()
}

#[test]
fn the_oldest_go_and_the_tracked_stay() {
    let table = table(KeyType::Number, 3, None, WhenFull::Evict);
    for (now, key) in [(10, 1), (20, 2), (30, 3)] {
        table.get_or_make(&number(key), now).unwrap();
    }
    let tracked = table.track(&number(1), 40).unwrap();
    // 2 was not used for longest; 1 would be if it were not tracked.
    table.get_or_make(&number(4), 50).unwrap();
    assert!(table.get(&number(2), 50).is_none());
    table.get_or_make(&number(5), 60).unwrap();
    assert!(table.get(&number(3), 60).is_none());
    assert!(table.get(&number(1), 60).is_some());
    assert_eq!(table.used(60), 3);
    table.release(&tracked, 70);
    assert_eq!(table.read(&tracked, Counter::OpenConnections, 70), Some(0));
    assert_eq!(table.read(&tracked, Counter::Connections, 70), Some(1));
    assert!(table.remove(&number(1)));
    assert!(!table.remove(&number(1)));
    assert_eq!(table.used(70), 2);
}

#[test]
fn a_full_table_may_refuse() {
    let table = table(KeyType::Number, 1, Some(100), WhenFull::Refuse);
    let first = table.get_or_make(&number(1), 0).unwrap();
    assert!(table.get_or_make(&number(2), 50).is_none());
    // Forgotten, it makes room.
    assert!(table.get_or_make(&number(2), 100).is_some());
    assert!(table.get(&number(1), 100).is_none());
    assert_eq!(table.used(100), 1);
    table.count(&first, Event::Request, 1, 100);
}

#[test]
fn every_entry_is_tracked_and_none_has_room() {
    let table = table(KeyType::Number, 1, None, WhenFull::Evict);
    let first = table.track(&number(1), 0).unwrap();
    assert!(table.get_or_make(&number(2), 900).is_none());
    table.release(&first, 1_000);
    assert!(table.get_or_make(&number(2), 1_000).is_some());
}

#[test]
fn large_tables_keep_to_their_size() {
    let table = table(KeyType::Number, 10_000, None, WhenFull::Evict);
    for key in 0..50_000 {
        assert!(
            table
                .get_or_make(&number(key), u64::try_from(key).unwrap())
                .is_some()
        );
    }
    assert!(table.used(50_000) <= 10_000);
    assert!(table.used(50_000) > 9_000, "{}", table.used(50_000));
    assert_eq!(table.entries(50_000).len(), table.used(50_000));
}

#[test]
fn no_part_of_a_full_table_keeps_others_out() {
    const SIZE: i64 = 5_000;
    let table = table(KeyType::Number, 5_000, None, WhenFull::Evict);
    let all: Vec<_> = (0..SIZE)
        .map(|key| table.track(&number(key), 0).unwrap())
        .collect();
    assert!(table.get_or_make(&number(-1), 1).is_none());
    // Wherever there is one that may go, anybody may come.
    for (now, entry) in (1_000..).step_by(1_000).zip(&all) {
        table.release(entry, now);
        let key = number(SIZE + i64::try_from(now).unwrap());
        let came = table.track(&key, now + 500);
        assert!(came.is_some(), "{now}");
        assert!(table.get(entry.key(), now + 500).is_none(), "{now}");
        if now > 300_000 {
            break;
        }
    }
    assert_eq!(table.used(u64::MAX), 5_000);
}

#[test]
fn settings_that_are_new_keep_what_fits() {
    let first = settings(KeyType::Number, 100, Some(1_000), WhenFull::Evict);
    let row = |change: fn(&mut StickTable)| {
        let old = Table::new(&first, SEED);
        for key in 1..=9 {
            let entry = old.get_or_make(&number(key), 0).unwrap();
            old.count(&entry, Event::General(0), 5, 0);
            old.count(&entry, Event::Request, 2, u64::try_from(key).unwrap());
        }
        let tracked = old.track(&number(1), 10).unwrap();
        let mut changed = first.clone();
        change(&mut changed);
        (old.next(&changed, 20), old, tracked)
    };
    let general = |table: &Table, key: i64, now: u64| {
        let entry = table.get(&number(key), now)?;
        table.read(&entry, Counter::General(0), now)
    };
    // Counters are the same for both, whoever counts.
    for change in [
        (|it| it.size = 200) as fn(&mut StickTable),
        |it| it.size = 100_000,
        |it| it.when_full = WhenFull::Refuse,
        |it| it.expire = None,
    ] {
        let (new, old, tracked) = row(change);
        old.count(&tracked, Event::General(0), 1, 30);
        assert_eq!(
            (general(&new, 1, 40), general(&new, 9, 40)),
            (Some(6), Some(5))
        );
        assert_eq!(new.used(40), 9);
        old.release(&tracked, 50);
        let entry = new.get(&number(1), 50).unwrap();
        assert_eq!(new.read(&entry, Counter::OpenConnections, 50), Some(0));
    }
    // Times are counted from the last use.
    let (new, ..) = row(|it| it.expire = Some(Duration::from_millis(100)));
    assert_eq!(
        (general(&new, 9, 108), general(&new, 9, 109)),
        (Some(5), None)
    );
    let (new, ..) = row(|it| it.expire = Some(Duration::from_secs(9)));
    assert_eq!(general(&new, 9, 5_000), Some(5));
    // The oldest go where there is less room, once somebody comes.
    let (new, ..) = row(|it| it.size = 3);
    new.get_or_make(&number(50), 30).unwrap();
    assert_eq!(new.used(30), 3);
    assert!(new.get(&number(1), 30).is_some() && new.get(&number(9), 30).is_some());
    // What is stored still has its value, what is new begins with none, and the rest is gone.
    let (new, ..) = row(|it| {
        it.store.remove(1);
        it.store.push(StoredCounter {
            counter: Counter::General(3),
            period: None,
        });
    });
    let entry = new.get(&number(1), 40).unwrap();
    let read = |counter| new.read(&entry, counter, 40);
    assert_eq!(read(Counter::General(0)), Some(5));
    assert_eq!(read(Counter::RequestRate), Some(2));
    assert_eq!(
        (read(Counter::General(3)), read(Counter::Connections)),
        (Some(0), None)
    );
    assert_eq!(read(Counter::OpenConnections), Some(0));
    // Keys of another type are no keys of it.
    let (new, ..) = row(|it| it.key = KeyType::Address);
    assert_eq!(new.used(40), 0);
}

#[test]
fn use_keeps_an_entry() {
    let table = table(KeyType::Number, 10, Some(100), WhenFull::Evict);
    let entry = table.get_or_make(&number(1), 0).unwrap();
    table.count(&entry, Event::Request, 3, 90);
    assert_eq!(table.read(&entry, Counter::RequestRate, 90), Some(3));
    assert!(table.get(&number(1), 189).is_some());
    assert!(table.get(&number(1), 190).is_none());
    // Reading is no use.
    let again = table.get_or_make(&number(1), 200).unwrap();
    assert_eq!(table.read(&again, Counter::RequestRate, 200), Some(0));
}

#[test]
fn counters_that_are_not_stored() {
    let table = table(KeyType::Number, 10, None, WhenFull::Evict);
    let entry = table.get_or_make(&number(1), 0).unwrap();
    table.count(&entry, Event::General(0), 2, 0);
    table.count(&entry, Event::General(1), 2, 0);
    assert_eq!(table.read(&entry, Counter::General(0), 0), Some(2));
    assert_eq!(table.read(&entry, Counter::General(1), 0), None);
    assert!(table.set(&entry, Counter::Mark(0), 7, 0));
    assert!(!table.set(&entry, Counter::Mark(1), 7, 0));
}

#[test]
fn keys() {
    let key = |value: Fetched<'_>, kind| {
        let key = Key::of(&value, kind)?;
        Some(key.display(kind).to_string())
    };
    let address = |text: &str| Fetched::Address(text.parse::<IpAddr>().unwrap());
    let text = |text: &'static str| Fetched::Bytes(text.as_bytes().into());
    let (short, binary) = (KeyType::Text { length: 3 }, KeyType::Binary { length: 3 });
    for (value, kind, expected) in [
        (address("10.0.0.1"), KeyType::Address, Some("10.0.0.1")),
        (
            address("::ffff:10.0.0.1"),
            KeyType::Address,
            Some("10.0.0.1"),
        ),
        (
            address("2001:db8::1"),
            KeyType::Address,
            Some("2001:db8::1"),
        ),
        (text("10.0.0.1"), KeyType::Address, Some("10.0.0.1")),
        (
            address("10.0.0.1"),
            KeyType::Address6,
            Some("::ffff:10.0.0.1"),
        ),
        (text("::1"), KeyType::Address6, Some("::1")),
        (text("no"), KeyType::Address, None),
        (text("12"), KeyType::Number, Some("12")),
        (Fetched::Number(-3), KeyType::Number, Some("-3")),
        (Fetched::Absent, KeyType::Number, None),
        (text("abcdef"), short, Some("abc")),
        (text(""), short, Some("")),
        (Fetched::Absent, short, None),
        (text("a"), binary, Some("610000")),
        (text("abcd"), binary, Some("616263")),
        (Fetched::Absent, binary, None),
    ] {
        assert_eq!(
            key(value.clone(), kind).as_deref(),
            expected,
            "{value:?} {kind:?}"
        );
    }
}
