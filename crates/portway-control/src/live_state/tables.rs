//! Stick tables on their way to another process: a record that says what a table is, then its entries in records of many.
//!
//! An entry is its key, how long ago it was used, in how many milliseconds it is forgotten, the number of its cells, and each of
//! them with its kind: a count, a rate, or a target.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use portway_core::stick::{Entry, Kept, Key, Remembered, Table};
use portway_dataplane::plane::Plane;
use portway_dataplane::stick_time;
use portway_model::expression::StoredCounter;
use portway_model::settings::KeyType;
use serde::{Deserialize, Serialize};

use super::records::{BATCH_BYTES, ENTRIES, Fields, TABLE, Writer, put_bytes};

const SUM: u8 = 0;
const RATE: u8 = 1;
const TARGET: u8 = 2;

/// What a table is.
#[derive(Debug, Serialize, Deserialize)]
struct TablePart {
    name: String,
    key: String,
    store: Vec<StoredPart>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct StoredPart {
    counter: String,
    period: Option<u64>,
}

/// The names of members of the model stand for them: what is called otherwise one day is left out.
fn stored(it: &StoredCounter) -> StoredPart {
    let milliseconds = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
    StoredPart {
        counter: format!("{:?}", it.counter),
        period: it.period.map(milliseconds),
    }
}

fn key_type(it: KeyType) -> String {
    format!("{it:?}")
}

/// Writes all tables; how many entries they have.
pub(super) fn write(plane: &Plane, to: &mut Writer<impl Write>) -> io::Result<u64> {
    let mut count = 0;
    for (table, live) in plane.snapshot.stick_tables.iter().zip(&plane.tables) {
        let part = TablePart {
            name: table.name.to_string(),
            key: key_type(live.key_type()),
            store: live.store().iter().map(stored).collect(),
        };
        to.write(TABLE, &serde_json::to_vec(&part)?)?;
        let now = stick_time();
        let mut batch = Vec::with_capacity(BATCH_BYTES + 1024);
        live.for_each(now, |entry| {
            put(&mut batch, entry, now);
            count += 1;
            if batch.len() >= BATCH_BYTES {
                to.write(ENTRIES, &batch)?;
                batch.clear();
            }
            io::Result::Ok(())
        })?;
        to.write(ENTRIES, &batch)?;
    }
    Ok(count)
}

fn put(batch: &mut Vec<u8>, entry: &Entry, now: u64) {
    put_bytes(batch, entry.key().as_bytes());
    let mut number = |it: u64| batch.extend(it.to_le_bytes());
    number(now.saturating_sub(entry.last_used()));
    number(match entry.expires() {
        u64::MAX => u64::MAX,
        // One that is tracked lives on although its time is over: it has its time from the next use on.
        expires => expires.saturating_sub(now).max(1),
    });
    let kept = entry.kept(now);
    batch.push(u8::try_from(kept.len()).unwrap_or(u8::MAX));
    for it in kept.iter().take(u8::MAX.into()) {
        match it {
            Kept::Sum(sum) => {
                batch.push(SUM);
                batch.extend(sum.to_le_bytes());
            }
            Kept::Rate {
                ago,
                current,
                previous,
            } => {
                batch.push(RATE);
                let numbers = [ago, current, previous];
                batch.extend(numbers.iter().flat_map(|it| it.to_le_bytes()));
            }
            Kept::Target(target) => {
                batch.push(TARGET);
                batch.extend(target.number.to_le_bytes());
                batch.push(u8::from(target.key.is_some()));
                put_bytes(batch, target.key.as_deref().unwrap_or_default().as_bytes());
            }
        }
    }
}

/// A table of this process that entries come for.
pub(super) struct Into {
    table: Arc<Table>,
    /// For each cell that comes its place here; `None`: it is not stored any more, or never was.
    places: Vec<Option<usize>>,
}

impl Into {
    /// The table that a record speaks of.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn of(content: &[u8], plane: &Plane) -> Result<Self, String> {
        let part: TablePart = serde_json::from_slice(content)
            .map_err(|error| format!("a stick table that cannot be read ({error})"))?;
        let name = &part.name;
        let tables = plane.snapshot.stick_tables.iter().zip(&plane.tables);
        let mut named = tables.filter(|(it, _)| it.name.as_str() == name);
        let (_, table) = named
            .next()
            .ok_or_else(|| format!("the stick table `{name}`, which is gone"))?;
        if key_type(table.key_type()) != part.key {
            return Err(format!(
                "the stick table `{name}`, whose keys are of another type now"
            ));
        }
        let ours: Vec<StoredPart> = table.store().iter().map(stored).collect();
        // What an open connection counts is counted in the process that serves it.
        let is_kept = |it: &StoredPart| it.counter != "OpenConnections";
        let place = |it: &StoredPart| ours.iter().position(|own| own == it && is_kept(own));
        Ok(Self {
            table: table.clone(),
            places: part.store.iter().map(place).collect(),
        })
    }

    /// Makes entries of a record; how many, and how many there was no room for.
    pub(super) fn take(&self, content: &[u8]) -> (u64, u64) {
        let (mut taken, mut left_out) = (0, 0);
        let mut fields = Fields(content);
        while let Some(entry) = self.next(&mut fields) {
            match entry {
                true => taken += 1,
                false => left_out += 1,
            }
        }
        (taken, left_out)
    }

    /// The next entry: whether it found a place. `None`: there is none, or it is of another form.
    fn next(&self, fields: &mut Fields<'_>) -> Option<bool> {
        let bytes = fields.bytes()?;
        let (ago, left) = (fields.number()?, fields.number()?);
        let cells = fields.byte()?;
        let mut kept = Vec::with_capacity(cells.into());
        for at in 0..usize::from(cells) {
            let cell = cell(fields)?;
            if let Some(Some(place)) = self.places.get(at) {
                kept.push((*place, cell));
            }
        }
        let Some(key) = Key::from_bytes(bytes, self.table.key_type()) else {
            return Some(false);
        };
        let now = stick_time();
        let times = (now.saturating_sub(ago), now.saturating_add(left));
        Some(self.table.restore(&key, kept.into_iter(), times, now))
    }
}

fn cell(fields: &mut Fields<'_>) -> Option<Kept> {
    Some(match fields.byte()? {
        SUM => Kept::Sum(fields.number()?),
        RATE => Kept::Rate {
            ago: fields.number()?,
            current: fields.number()?,
            previous: fields.number()?,
        },
        TARGET => {
            let number = fields.number()?;
            let has_key = fields.byte()? != 0;
            let key = fields.bytes()?;
            let key = std::str::from_utf8(key).ok().filter(|_| has_key);
            Kept::Target(Remembered {
                number,
                key: key.map(Arc::from),
            })
        }
        _ => return None,
    })
}
