//! Commands about stick tables.

use std::fmt::Write;
use std::net::Ipv6Addr;
use std::sync::Arc;

use portway_control::install::Running;
use portway_control::services::{COUNTER_WORDS, Counter, KeyType, StoredCounter};
use portway_core::evaluate::Fetched;
use portway_core::stick::{Entry, Key, Table};

use super::Session;
use super::command::Answer;
use crate::haproxy::prometheus::TableSize;

const NO_TABLE: &str = "No such table\n";
const OPTIONAL: &str =
    "Optional argument only supports \"data.<store_data_type>\" <operator> <value> and key <key>\n";
const REQUIRED_TO_CLEAR: &str = "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key>\n";
const REQUIRED_TO_SET: &str =
    "Required arguments: <table> key <key> [data.<store_data_type> <value>]*\n";
const NO_BINARY_KEYS: &str =
    "Inserting keys into tables of type other than ip, ipv6, string and integer is not supported\n";
const NO_NUMBER_TO_COMPARE: &str = "Require a valid integer value to compare against\n";
const NO_NUMBER_TO_STORE: &str = "Require a valid integer value to store\n";
const IN_USE: &str = "Entry currently in use, cannot remove\n";

/// A table and its name.
struct Named {
    name: String,
    table: Arc<Table>,
    now: u64,
}

fn named(session: &Session, name: &str) -> Result<Named, String> {
    let mut all = all(session).into_iter();
    all.find(|it| it.name == name)
        .ok_or_else(|| NO_TABLE.to_owned())
}

/// Every table, the last one first, as HAProxy has them.
fn all(session: &Session) -> Vec<Named> {
    let now = session.running.stick_time();
    let tables = session.running.stick_tables();
    let mut all: Vec<Named> = tables
        .into_iter()
        .map(|(name, table)| Named { name, table, now })
        .collect();
    all.reverse();
    all
}

/// How large each table is, and how much of it is used.
pub(in crate::haproxy) fn sizes(running: &Running) -> Vec<TableSize> {
    let now = running.stick_time();
    let tables = running.stick_tables();
    let sizes = tables.into_iter().map(|(name, table)| TableSize {
        name,
        kind: kind(&table),
        size: table.size() as u64,
        used: table.used(now) as u64,
    });
    sizes.collect()
}

fn kind(table: &Table) -> &'static str {
    match table.key_type() {
        KeyType::Address => "ip",
        KeyType::Address6 => "ipv6",
        KeyType::Number => "integer",
        KeyType::Text { .. } => "string",
        KeyType::Binary { .. } => "binary",
    }
}

impl Named {
    fn header(&self) -> String {
        let kind = kind(&self.table);
        let (size, used) = (self.table.size(), self.table.used(self.now));
        format!(
            "# table: {}, type: {kind}, size:{size}, used:{used}\n",
            self.name
        )
    }

    fn key(&self, text: &str) -> Option<Key> {
        let kind = self.table.key_type();
        if kind == KeyType::Address6 && text.parse::<Ipv6Addr>().is_err() {
            return None;
        }
        let text = Fetched::Bytes(text.as_bytes().into());
        Key::of(&text, kind)
    }

    fn read(&self, entry: &Entry, counter: Counter) -> u64 {
        let value = self.table.read(entry, counter, self.now);
        value.unwrap_or_default()
    }

    fn write(&self, entry: &Entry, text: &mut String) {
        let expires = match entry.expires() {
            u64::MAX => 0,
            at => at.saturating_sub(self.now),
        };
        let key = entry.key().display(self.table.key_type());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{:p}: key={key} use={} exp={expires}",
            std::ptr::from_ref(entry),
            entry.trackers()
        );
        let stored = in_order(self.table.store());
        let behind = behind_server(&stored);
        for (index, stored) in stored.iter().enumerate() {
            if index == behind {
                self.write_server(entry, text);
            }
            let value = self.read(entry, stored.counter);
            let _ = write!(text, " {}", word(stored.counter));
            if let Some(period) = stored.period {
                let _ = write!(text, "({})", period.as_millis());
            }
            let _ = write!(text, "={value}");
        }
        if behind == stored.len() {
            self.write_server(entry, text);
        }
        text.push('\n');
    }

    /// What the entry knows its server by, where the table stores servers.
    fn write_server(&self, entry: &Entry, text: &mut String) {
        let mut stored = self.table.store().iter();
        if stored.any(|stored| stored.counter == Counter::Target) {
            let server = self.table.remembered(entry);
            let key = server.key.as_deref().unwrap_or("-");
            let _ = write!(text, " server_key={key}");
        }
    }
}

/// Whether the marks and general counters of a table are arrays.
fn has_arrays(store: &[StoredCounter]) -> bool {
    store.iter().any(|stored| match stored.counter {
        Counter::Mark(number) => number > 0,
        Counter::General(number) | Counter::GeneralRate(number) => number > 1,
        _ => false,
    })
}

/// The first of the counters in HAProxy's order that stands behind what a server is known by.
fn behind_server(in_order: &[StoredCounter]) -> usize {
    let arrays = has_arrays(in_order);
    let behind = |stored: &StoredCounter| match stored.counter {
        Counter::Failures | Counter::FailureRate => true,
        Counter::Mark(_) | Counter::General(_) | Counter::GeneralRate(_) => arrays,
        _ => false,
    };
    let first = in_order.iter().position(behind);
    first.unwrap_or(in_order.len())
}

/// The counters of a table in HAProxy's order: arrays come last.
fn in_order(store: &[StoredCounter]) -> Vec<StoredCounter> {
    let arrays = has_arrays(store);
    let place = |stored: &StoredCounter| match stored.counter {
        Counter::Mark(number) if arrays => (1, usize::from(number)),
        Counter::General(number) if arrays => (2, usize::from(number)),
        Counter::GeneralRate(number) if arrays => (3, usize::from(number)),
        other => {
            let mut words = COUNTER_WORDS.iter();
            let known = words.position(|(_, counter)| *counter == other);
            (0, known.unwrap_or_default())
        }
    };
    let mut all = store.to_vec();
    all.sort_by_key(place);
    all
}

/// HAProxy's word for a counter; elements of arrays have their numbers in it.
fn word(counter: Counter) -> String {
    match counter {
        Counter::General(number) => format!("gpc{number}"),
        Counter::GeneralRate(number) => format!("gpc{number}_rate"),
        Counter::Mark(number) => format!("gpt{number}"),
        other => {
            let known = COUNTER_WORDS.iter().find(|(_, counter)| *counter == other);
            known.map_or("", |(word, _)| word).to_owned()
        }
    }
}

/// The counter of a word, which the table must store. `no_number`: what is said of words for what is no number.
fn stored(table: &Table, name: &str, no_number: &'static str) -> Result<Counter, &'static str> {
    let mut of_table = table.store().iter().map(|stored| stored.counter);
    if let Some(counter) = of_table.find(|counter| word(*counter) == name) {
        return Ok(counter);
    }
    // An array alone is its first element.
    let first = match name {
        "gpc" => Some(Counter::General(0)),
        "gpc_rate" => Some(Counter::GeneralRate(0)),
        "gpt" => Some(Counter::Mark(0)),
        _ => None,
    };
    let mut of_table = table.store().iter().map(|stored| stored.counter);
    if let Some(first) = first.filter(|first| of_table.any(|counter| counter == *first)) {
        return Ok(first);
    }
    let servers = table
        .store()
        .iter()
        .any(|stored| stored.counter == Counter::Target);
    if name == "server_key" && servers {
        return Err(no_number);
    }
    let known = COUNTER_WORDS.iter().any(|(word, _)| *word == name);
    let known = known || matches!(name, "server_key" | "gpc" | "gpc_rate" | "gpt");
    Err(match known {
        true => "Data type not stored in this table\n",
        false => "Unknown data type\n",
    })
}

/// `data.COUNTER OPERATOR VALUE`.
struct Filter {
    counter: Counter,
    holds: fn(&u64, &u64) -> bool,
    value: u64,
}

impl Filter {
    fn read(table: &Table, words: &[&str]) -> Result<Vec<Self>, String> {
        let mut filters = Vec::new();
        for (words, number) in words.chunks(3).zip(1..) {
            let wrong = |why: &str| format!("Filter entry #{number}: {why}");
            let [name, rest @ ..] = words else { break };
            let Some(name) = name.strip_prefix("data.") else {
                return Err(OPTIONAL.to_owned());
            };
            let counter = stored(table, name, NO_NUMBER_TO_COMPARE).map_err(wrong)?;
            let operators =
                "Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"\n";
            let holds: fn(&u64, &u64) -> bool = match rest.first() {
                Some(&"eq") => u64::eq,
                Some(&"ne") => u64::ne,
                Some(&"le") => u64::le,
                Some(&"ge") => u64::ge,
                Some(&"lt") => u64::lt,
                Some(&"gt") => u64::gt,
                _ => return Err(wrong(operators)),
            };
            let value = rest.get(1).and_then(|value| value.parse().ok());
            let value = value.ok_or_else(|| wrong(NO_NUMBER_TO_COMPARE))?;
            filters.push(Self {
                counter,
                holds,
                value,
            });
        }
        Ok(filters)
    }

    fn keeps(all: &[Self], named: &Named, entry: &Entry) -> bool {
        let keeps =
            |filter: &Self| (filter.holds)(&named.read(entry, filter.counter), &filter.value);
        all.iter().all(keeps)
    }
}

/// `show table [TABLE [data.COUNTER OPERATOR VALUE … | key KEY]]`.
pub(super) fn show(session: &mut Session, words: &[&str]) -> Answer {
    let [name, words @ ..] = words else {
        return Ok(all(session).iter().map(Named::header).collect());
    };
    let named = named(session, name)?;
    if let ["key", rest @ ..] = words {
        let key = rest.first().ok_or("Key value expected\n")?;
        let key = named.key(key);
        let Some(entry) = key.and_then(|key| named.table.get(&key, named.now)) else {
            return Ok(String::new());
        };
        let mut text = named.header();
        named.write(&entry, &mut text);
        return Ok(text);
    }
    let filters = Filter::read(&named.table, words)?;
    let mut text = named.header();
    for entry in named.table.entries(named.now) {
        if Filter::keeps(&filters, &named, &entry) {
            named.write(&entry, &mut text);
        }
    }
    Ok(text)
}

/// `clear table TABLE [data.COUNTER OPERATOR VALUE … | key KEY]`: what is tracked stays.
pub(super) fn clear(session: &mut Session, words: &[&str]) -> Answer {
    let [name, words @ ..] = words else {
        return Err(REQUIRED_TO_CLEAR.to_owned());
    };
    let named = named(session, name)?;
    if let ["key", rest @ ..] = words {
        let key = rest.first().ok_or("Key value expected\n")?;
        let entry = named
            .key(key)
            .and_then(|key| named.table.get(&key, named.now));
        return match entry {
            Some(entry) if !named.table.remove(entry.key()) => Err(IN_USE.to_owned()),
            _ => Ok(String::new()),
        };
    }
    let filters = Filter::read(&named.table, words)?;
    for entry in named.table.entries(named.now) {
        if Filter::keeps(&filters, &named, &entry) {
            named.table.remove(entry.key());
        }
    }
    Ok(String::new())
}

/// `set table TABLE key KEY [data.COUNTER VALUE]…`: all of it or nothing.
pub(super) fn set(session: &mut Session, words: &[&str]) -> Answer {
    let [name, "key", key, values @ ..] = words else {
        return Err(REQUIRED_TO_SET.to_owned());
    };
    let named = named(session, name)?;
    if matches!(named.table.key_type(), KeyType::Binary { .. }) {
        return Err(NO_BINARY_KEYS.to_owned());
    }
    let key = named.key(key).ok_or("Invalid key\n")?;
    let mut all = Vec::new();
    for pair in values.chunks(2) {
        let name = pair.first().and_then(|name| name.strip_prefix("data."));
        let counter = stored(
            &named.table,
            name.ok_or(REQUIRED_TO_SET)?,
            NO_NUMBER_TO_STORE,
        )?;
        let value = pair.get(1).and_then(|value| value.parse().ok());
        all.push((counter, value.ok_or(NO_NUMBER_TO_STORE)?));
    }
    let entry = named.table.get_or_make(&key, named.now);
    let entry = entry.ok_or("Unable to allocate a new entry\n")?;
    for (counter, value) in all {
        named.table.set(&entry, counter, value, named.now);
    }
    Ok(String::new())
}
