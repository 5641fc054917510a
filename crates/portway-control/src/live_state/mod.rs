//! The live state of a process, handed to the one that takes over: what happened since, by name, as a reload keeps it.
//!
//! Session ticket keys, the key of sealed cookies, health and orders of targets, addresses of names, public keys of tokens, gates and limits that were set by command, what drains by command, rate
//! buckets, variables of the process, maps that were changed, stick tables. What an open connection or a running exchange counts
//! stays where it is served; counters of metrics begin anew.
//!
//! The two processes may be of different versions. Small things are parts of a JSON object, and each is read by itself; large
//! ones are streams of records (see `records`). What is not known to the reader is left out and told, and never an error.

mod parts;
mod records;
mod tables;

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_dataplane::live::Gate;
use portway_dataplane::plane::{GroupParts, Plane};
use portway_dataplane::seal;
use portway_model::name::Name;
use serde::Serialize;
use serde_json::Value;

use crate::circuits;
use crate::drains::HandedDrains;
use crate::figures::Installed;
use crate::history::Generation;
use crate::key_sets::KeySetPart;
use crate::names::NamePart;
use crate::running::Running;
use crate::targets::{join, parts_of};
use crate::tls::tickets::TicketKeys;
use crate::upgrade::StateFrom;
pub(crate) use parts::{CheckPart, CircuitPart, EjectionPart, FailurePart, HealthPart, TargetPart};
use parts::{ListenerPart, MapPart, PacePart, ProcessPart, QuotaPart, ValuePart, VariablePart};
pub(crate) use parts::{of_base64, to_base64};
use records::{BATCH_BYTES, BUCKETS, ENTRIES, Fields, LIVE, TABLE, Writer};

/// What asks for the state, on the line between two processes and on a control socket.
pub const REQUEST: &str = "_portway_state";

/// How long the other process may be silent in between.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Entries of stick tables.
    pub entries: u64,
    /// Bytes.
    pub bytes: u64,
    /// How long that took.
    pub took: Duration,
}

type Parts = BTreeMap<String, Value>;

/// Writes the state of this process to another. Blocks as long as that reads.
pub(crate) fn give(running: &Running, to: &UnixStream) -> io::Result<Given> {
    let begun = Instant::now();
    let installed = running.statistics.installed();
    let tickets = running.tickets.clone();
    let mut to = Writer::new(BufWriter::with_capacity(BATCH_BYTES, to));
    let mut parts = small(&installed, &tickets);
    let history = serde_json::to_value(running.history().parts())?;
    parts.insert("history".to_owned(), history);
    let drains = serde_json::to_value(running.drains.handed(&installed))?;
    parts.insert("drains".to_owned(), drains);
    to.write(LIVE, &serde_json::to_vec(&parts)?)?;
    give_buckets(&installed.plane, &mut to)?;
    let entries = tables::write(&installed.plane, &mut to)?;
    Ok(Given {
        entries,
        bytes: to.finish()?,
        took: begun.elapsed(),
    })
}

fn give_buckets(plane: &Plane, to: &mut Writer<impl Write>) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH_BYTES + 16);
    for (number, left) in plane.process.quota_buckets() {
        batch.extend(number.to_le_bytes());
        batch.extend(left.to_le_bytes());
        if batch.len() >= BATCH_BYTES {
            to.write(BUCKETS, &batch)?;
            batch.clear();
        }
    }
    to.write(BUCKETS, &batch)
}

fn small(installed: &Installed, tickets: &TicketKeys) -> Parts {
    let plane = &installed.plane;
    let process = &plane.process;
    let mut parts = Parts::new();
    let mut put = |name: &str, part: &dyn erased::Part| {
        if let Some(value) = part.value() {
            parts.insert(name.to_owned(), value);
        }
    };
    put("version", &env!("CARGO_PKG_VERSION"));
    put("ticket_keys", &parts::to_base64(&tickets.export()));
    let secrets = seal::own_secrets();
    if let Some(newest) = secrets.first() {
        // The one of processes that had no others.
        put("cookie_secret", &parts::to_base64(&newest.secret));
    }
    put("cookie_keys", &parts::cookie_keys(&secrets));
    let circuits = plane.circuits.values();
    let circuits = circuits.filter_map(|it| circuits::part(it, Instant::now()));
    put("circuit_breakers", &circuits.collect::<Vec<CircuitPart>>());
    put(
        "process",
        &ProcessPart {
            limit: process.told_limit(),
            connections: PacePart::of(&process.connection_pace),
            sessions: PacePart::of(&process.session_pace),
            handshakes: PacePart::of(&process.tls_pace),
        },
    );
    put("listeners", &listeners(plane));
    put("targets", &targets(installed));
    put("names", &installed.names.parts());
    put("token_keys", &installed.keys.handed());
    let variables = process.all_variables().into_iter();
    let variables = variables.map(|(name, value)| VariablePart {
        name: name.to_string(),
        value: ValuePart::of(&value),
    });
    put("variables", &variables.collect::<Vec<_>>());
    let maps = installed.maps.iter().filter_map(|(_, set)| {
        let (read, entries) = set.changed()?;
        Some(MapPart {
            name: set.name.clone(),
            is_list: set.is_list,
            read,
            entries,
        })
    });
    put("maps", &maps.collect::<Vec<_>>());
    let (seed, probe) = process.quota_seed();
    let seed = parts::to_base64(&seed);
    put("limits", &QuotaPart { seed, probe });
    parts
}

/// Whatever can be a part.
mod erased {
    use super::{Serialize, Value};

    pub(super) trait Part {
        fn value(&self) -> Option<Value>;
    }

    impl<T: Serialize> Part for T {
        fn value(&self) -> Option<Value> {
            serde_json::to_value(self).ok()
        }
    }
}

fn listeners(plane: &Plane) -> Vec<ListenerPart> {
    let mut known: Vec<&Name> = Vec::new();
    let mut all = Vec::new();
    for (listener, parts) in plane.snapshot.listeners.iter().zip(&plane.listeners) {
        if known.contains(&&listener.known_as) {
            continue;
        }
        known.push(&listener.known_as);
        all.push(ListenerPart {
            name: listener.known_as.to_string(),
            gate: gate_word(parts.state.gate()).to_owned(),
            limit: parts.state.told_limit(),
            configured: listener.max_connections,
            sessions: PacePart::of(&parts.state.session_pace),
        });
    }
    all
}

fn gate_word(gate: Gate) -> &'static str {
    match gate {
        Gate::Open => "open",
        Gate::Paused => "paused",
        Gate::Closed => "closed",
    }
}

fn targets(installed: &Installed) -> Vec<TargetPart> {
    let groups = installed.targets.iter().zip(&installed.plane.groups);
    let of_group = groups.flat_map(|(targets, parts)| {
        let numbers = parts.numbers.iter();
        targets
            .iter()
            .zip(numbers)
            .map(|(it, number)| it.part(*number))
    });
    of_group.collect()
}

/// The state of the process before, as far as it was read.
pub(crate) struct Received {
    parts: Parts,
    from: BufReader<UnixStream>,
    begun: Instant,
    /// Bytes so far.
    bytes: u64,
    /// What was left out, in words.
    left_out: Vec<String>,
}

impl Received {
    /// Asks for it and reads what is small. Blocks. `None`: the other process has none to give, or went away.
    pub(crate) fn ask(from: StateFrom) -> Option<Self> {
        let begun = Instant::now();
        let is_ours = from.is_ours;
        let read = || {
            let stream = from.stream;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            (&stream).write_all(format!("{REQUEST}\n").as_bytes())?;
            let mut from = BufReader::with_capacity(BATCH_BYTES, stream);
            let mut content = Vec::new();
            let word = records::read(&mut from, &mut content)?;
            if word != Some(LIVE) {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            Ok((
                from,
                serde_json::from_slice(&content)?,
                8 + content.len() as u64,
            ))
        };
        match read() {
            Ok((from, parts, bytes)) => Some(Self {
                parts,
                from,
                begun,
                bytes,
                left_out: Vec::new(),
            }),
            Err(error) if !is_ours => {
                tracing::debug!(%error, "the process before has no live state for us: it is no Portway, or an older one");
                None
            }
            Err(error) => {
                tracing::warn!(
                    "the process before does not hand over its live state ({error}): health, tables and limits begin anew"
                );
                None
            }
        }
    }

    /// A part, once. What cannot be read is left out.
    fn part<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.parts.remove(name)?;
        match serde_json::from_value(value) {
            Ok(part) => Some(part),
            Err(error) => {
                self.left_out.push(format!("`{name}` ({error})"));
                None
            }
        }
    }

    fn bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        parts::of_base64(&self.part::<String>(name)?)
    }

    /// The last good configurations.
    pub(crate) fn history(&mut self) -> Vec<Generation> {
        self.part("history").unwrap_or_default()
    }

    /// What drains by command.
    pub(crate) fn drains(&mut self) -> HandedDrains {
        self.part("drains").unwrap_or_default()
    }

    /// Takes over what planes are made with.
    pub(crate) fn begin(&mut self, tickets: &TicketKeys) {
        if let Some(keys) = self.bytes("ticket_keys")
            && let Err(error) = tickets.import(&keys)
        {
            self.left_out.push(format!("`ticket_keys` ({error})"));
        }
        let one = self.bytes("cookie_secret");
        let keys = match self.bytes("cookie_keys") {
            Some(keys) => parts::to_cookie_keys(&keys),
            // An earlier version has one, and does not say since when.
            None => one.and_then(|it| parts::first_cookie_key(&it)),
        };
        if keys.is_none_or(|keys| !keys.is_empty() && !seal::put_own(keys)) {
            self.left_out.push("`cookie_keys`".to_owned());
        }
    }

    /// Puts everything else into a configuration that nobody is served by yet.
    pub(crate) fn settle(mut self, installed: &mut Installed) {
        let names = self.part::<Vec<NamePart>>("names");
        installed.names.hand(names.unwrap_or_default());
        let keys = self.part::<Vec<KeySetPart>>("token_keys");
        let lost = installed.keys.go_on(&keys.unwrap_or_default());
        self.left_out.extend(lost);
        self.put_targets(installed);
        self.put_process(&installed.plane);
        self.put_listeners(&installed.plane);
        for map in self.part::<Vec<MapPart>>("maps").unwrap_or_default() {
            let set = installed.maps.named(&map.name, map.is_list);
            if !set.is_some_and(|set| set.restore(map.read, map.entries)) {
                self.left_out.push(format!(
                    "changes of `{}`, which says something else now",
                    map.name
                ));
            }
        }
        let version: Option<String> = self.part("version");
        let unknown = std::mem::take(&mut self.parts).into_keys();
        self.left_out
            .extend(unknown.map(|name| format!("`{name}`, which this version does not know")));
        let given = self.put_large(&installed.plane);
        for what in &self.left_out {
            tracing::warn!("of the live state of the process before is left out: {what}");
        }
        tracing::info!(
            "the live state of the process before ({}) was taken over: {} entries of stick tables, {} bytes, {:.0} ms",
            version.as_deref().unwrap_or("of an unknown version"),
            given.entries,
            given.bytes,
            given.took.as_secs_f64() * 1000.0
        );
    }

    fn put_process(&mut self, plane: &Plane) {
        let process = &plane.process;
        if let Some(part) = self.part::<ProcessPart>("process") {
            let most = plane.max_connections;
            if let Some(limit) = part.limit.filter(|it| most == 0 || *it <= most) {
                process.set_limit(limit);
            }
            part.connections.put(&process.connection_pace);
            part.sessions.put(&process.session_pace);
            part.handshakes.put(&process.tls_pace);
        }
        for it in self
            .part::<Vec<VariablePart>>("variables")
            .unwrap_or_default()
        {
            let value = it.value.and_then(ValuePart::value);
            if !value.is_some_and(|value| process.put_variable(&it.name, value)) {
                self.left_out
                    .push(format!("the variable `proc.{}`", it.name));
            }
        }
        if let Some(part) = self.part::<QuotaPart>("limits") {
            let seed = parts::of_base64(&part.seed).and_then(|it| it.try_into().ok());
            if !seed.is_some_and(|seed| process.take_over_quota_seed(seed, part.probe)) {
                self.left_out.push("`limits`".to_owned());
            }
        }
    }

    fn put_listeners(&mut self, plane: &Plane) {
        let parts = self.part::<Vec<CircuitPart>>("circuit_breakers");
        for part in parts.unwrap_or_default() {
            circuits::go_on(&plane.circuits, &part, Instant::now());
        }
        let parts = self
            .part::<Vec<ListenerPart>>("listeners")
            .unwrap_or_default();
        for part in parts {
            let mut listeners = plane.snapshot.listeners.iter().zip(&plane.listeners);
            let Some((listener, known)) =
                listeners.find(|(it, _)| it.known_as.as_str() == part.name)
            else {
                continue;
            };
            let state = &known.state;
            match part.gate.as_str() {
                "paused" => drop(state.set_gate(Gate::Paused)),
                "closed" => drop(state.set_gate(Gate::Closed)),
                _ => {}
            }
            if let Some(limit) = part
                .limit
                .filter(|_| part.configured == listener.max_connections)
            {
                state.set_limit(limit);
            }
            part.sessions.put(&state.session_pace);
        }
    }

    fn put_targets(&mut self, installed: &mut Installed) {
        let parts = self.part::<Vec<TargetPart>>("targets").unwrap_or_default();
        let mut by_group: BTreeMap<&str, Vec<&TargetPart>> = BTreeMap::new();
        for part in &parts {
            by_group.entry(part.group.as_str()).or_default().push(part);
        }
        let snapshot = installed.plane.snapshot.clone();
        let mut numbers: Vec<Vec<Option<u32>>> = Vec::new();
        for (group, targets) in snapshot.groups.iter().zip(&installed.targets) {
            let parts = by_group.get(group.name.as_str());
            let found = parts_of(targets, parts.map_or(&[], Vec::as_slice));
            numbers.push(found.iter().map(|it| it.map(|it| it.number)).collect());
            let is_known: Vec<bool> = found.iter().map(Option::is_some).collect();
            for (target, part) in targets.iter().zip(found) {
                if part.is_some_and(|part| !target.go_on(part)) {
                    let name = &target.target.name;
                    self.left_out
                        .push(format!("the health of target {}/{name}", group.name));
                }
            }
            join(targets, |index| is_known.get(index) == Some(&false));
        }
        // Nobody else has the plane yet.
        let groups = Arc::get_mut(&mut installed.plane).map(|plane| plane.groups.iter_mut());
        for ((group, parts), numbers) in snapshot
            .groups
            .iter()
            .zip(groups.into_iter().flatten())
            .zip(numbers)
        {
            if let Some(parts) = Arc::get_mut(parts) {
                renumber(parts, group, &numbers);
            }
        }
    }

    /// Reads stick tables and buckets to the end, or as far as they come.
    fn put_large(&mut self, plane: &Plane) -> Given {
        let mut given = Given {
            bytes: self.bytes,
            ..Given::default()
        };
        let mut content = Vec::new();
        let mut table = None;
        let mut no_room = 0;
        loop {
            match records::read(&mut self.from, &mut content) {
                Ok(None) => break,
                Ok(Some(TABLE)) => {
                    table = match tables::Into::of(&content, plane) {
                        Ok(table) => Some(table),
                        Err(why) => {
                            self.left_out.push(why);
                            None
                        }
                    };
                }
                Ok(Some(ENTRIES)) => {
                    let (taken, left) = table.as_ref().map_or((0, 0), |it| it.take(&content));
                    given.entries += taken;
                    no_room += left;
                }
                Ok(Some(BUCKETS)) => {
                    let mut fields = Fields(&content);
                    while let (Some(number), Some(left)) = (fields.number(), fields.number()) {
                        plane.process.put_quota_bucket(number, left);
                    }
                }
                Ok(Some(word)) => {
                    let word = String::from_utf8_lossy(&word).into_owned();
                    self.left_out.push(format!(
                        "records `{word}`, which this version does not know"
                    ));
                }
                Err(error) => {
                    self.left_out.push(format!(
                        "what came after the first {} bytes ({error})",
                        given.bytes
                    ));
                    break;
                }
            }
            given.bytes += 8 + content.len() as u64;
        }
        if no_room > 0 {
            self.left_out.push(format!(
                "{no_room} entries of stick tables that there is no room for"
            ));
        }
        given.took = self.begun.elapsed();
        given
    }
}

fn renumber(
    parts: &mut GroupParts,
    group: &portway_model::snapshot::TargetGroup,
    numbers: &[Option<u32>],
) {
    let mut places = numbers.iter();
    let known: Vec<(&Name, Option<u32>)> = group
        .targets
        .iter()
        .map(|it| (&it.name, places.next().copied().flatten()))
        .collect();
    parts.take_numbers(group, |target| {
        let found = known.iter().find(|(name, _)| **name == target.name);
        found.and_then(|(_, number)| *number)
    });
}
