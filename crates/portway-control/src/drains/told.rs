//! What drains by command, as the process that serves says it to those before it, and what they make of it.
//!
//! It is found there by its name, else by its address: a reload may have renamed it since. What is said no more was taken back, but for what was
//! never said: that is not in the configuration of the process that serves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portway_core::drain::{State, Terms};
use portway_telemetry::metrics::Drained;
use serde::{Deserialize, Serialize};

use super::handed::{Elsewhere, micros};
use super::{Drains, Entry, OrderedListener, Thing};
use crate::figures::Installed;
use crate::upgrade::EarlierProcess;

/// Moments that are as close are the same: they come from two clocks.
const CLOSE: Duration = Duration::from_millis(100);

/// All that drains by command. Moments are microseconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    /// Which time it is said.
    pub(crate) number: u64,
    all: Vec<ToldOf>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct ToldOf {
    /// A listener; else a target.
    is_listener: bool,
    name: String,
    /// What it was called when it was told to drain.
    ordered_as: String,
    addresses: Vec<String>,
    closes_at: u64,
    until: Option<u64>,
    /// Nothing is left of it, or what was left was cut off.
    is_over: bool,
}

/// What one that served before says to that.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Heard {
    /// What it answers.
    pub(crate) number: u64,
    process: u32,
    since: u64,
    until: Option<u64>,
    connections: u64,
    /// What is left of each, in the order in which they were said; or was left, where it was cut off.
    left: Vec<u64>,
}

impl Heard {
    /// What it says of itself.
    pub(crate) fn process(&self) -> EarlierProcess {
        let moment = |it| UNIX_EPOCH + Duration::from_micros(it);
        EarlierProcess {
            process: self.process,
            since: moment(self.since),
            until: self.until.map(moment),
            connections: self.connections,
            answers: true,
        }
    }
}

impl ToldOf {
    fn kind(&self) -> Drained {
        match self.is_listener {
            true => Drained::Listener,
            false => Drained::Target,
        }
    }

    /// What it is here.
    fn thing(&self, now: &Installed) -> Option<Thing> {
        let names = [&self.name, &self.ordered_as];
        let mut named = names
            .iter()
            .filter_map(|it| Thing::named(self.kind(), it, now));
        named.next().or_else(|| {
            let mut all = Thing::all(self.kind(), now);
            let group = |name: &str| name.split_once('/').map(|(of, _)| of.to_owned());
            all.find(|it| {
                let is_close = self.is_listener || group(&it.name()) == group(&self.name);
                is_close && it.addresses() == self.addresses
            })
        })
    }
}

impl Thing {
    /// All listeners or targets of a configuration.
    fn all(kind: Drained, now: &Installed) -> Box<dyn Iterator<Item = Thing> + '_> {
        if kind == Drained::Listener {
            let listeners = now.plane.snapshot.listeners.iter();
            let known = listeners.filter_map(|it| OrderedListener::of(&it.known_as, now));
            return Box::new(known.map(Thing::OrderedListener));
        }
        let targets = now.targets.iter().flat_map(|it| it.iter());
        Box::new(targets.cloned().map(Thing::OrderedTarget))
    }

    /// The one of this name.
    pub(super) fn named(kind: Drained, name: &str, now: &Installed) -> Option<Thing> {
        Thing::all(kind, now).find(|it| it.name() == name)
    }

    /// Where it is, as configured.
    fn addresses(&self) -> Vec<String> {
        let of_listener = |it: &portway_model::snapshot::Listener| {
            it.binds.iter().map(ToString::to_string).collect()
        };
        match self {
            Thing::Process => Vec::new(),
            Thing::Listener(it) => of_listener(&it.listener),
            Thing::OrderedListener(it) => it.addresses.clone(),
            Thing::Target(it) => vec![it.target.target.address.to_string()],
            Thing::OrderedTarget(it) => vec![it.target.address.to_string()],
        }
    }
}

impl Drains {
    fn wall(&self, moment: Duration) -> u64 {
        micros(self.zero.1.checked_add(moment).unwrap_or(self.zero.1))
    }

    /// For those that served before.
    pub(crate) fn told(&self, number: u64) -> Told {
        let entries = self.entries();
        let ordered = entries
            .iter()
            .filter_map(|it| Some((it, it.ordered_as.as_ref()?)));
        let all = ordered.map(|(entry, ordered_as)| ToldOf {
            is_listener: entry.thing.kind() == Drained::Listener,
            name: entry.thing.name(),
            ordered_as: ordered_as.clone(),
            addresses: entry.thing.addresses(),
            closes_at: self.wall(entry.closes_at),
            until: entry.drain.until().map(|it| self.wall(it)),
            is_over: !entry.drain.is_leaving(),
        });
        let all = all.collect();
        Told { number, all }
    }

    /// One of them has said what is left there.
    pub(crate) fn heard(&self, told: &Told, heard: &Heard) {
        let mut entries = self.entries();
        for (one, left) in told.all.iter().zip(&heard.left) {
            let is_it = |it: &&mut Entry| {
                it.ordered_as.is_some()
                    && it.thing.kind() == one.kind()
                    && it.thing.name() == one.name
            };
            let Some(entry) = entries.iter_mut().find(is_it) else {
                continue;
            };
            entry.elsewhere.retain(|it| it.process != heard.process);
            if *left > 0 {
                let (process, left) = (heard.process, *left);
                entry.elsewhere.push(Elsewhere { process, left });
            }
        }
    }

    /// Makes it so, in a process that served before; what is left of each.
    pub(crate) fn obey(&self, told: &Told, now: &Installed) -> Heard {
        let things: Vec<Option<Thing>> = told.all.iter().map(|it| it.thing(now)).collect();
        for (one, thing) in told.all.iter().zip(&things) {
            if let Some(thing) = thing {
                self.obey_one(one, thing, now);
            }
        }
        let is_said = |it: &Thing| things.iter().flatten().any(|other| other.is(it));
        let mut entries = self.entries();
        for entry in entries.extract_if(.., |it| it.is_told_of && !is_said(&it.thing)) {
            entry.thing.come_back();
            if entry.thing.left(&self.process) > 0 {
                self.tell_of_return(&entry.thing);
            }
        }
        drop(entries);
        self.look();
        self.more.notify_one();
        self.said(told.number, &things)
    }

    fn obey_one(&self, one: &ToldOf, thing: &Thing, now: &Installed) {
        let moment = self.now();
        let zero = micros(self.zero.1);
        let here = |moment: u64| Duration::from_micros(moment.saturating_sub(zero));
        let leave = here(one.closes_at).saturating_sub(moment);
        let until = one.until.map(here);
        let terms = |leave: Duration| Terms {
            leave,
            deadline: until.map(|it| it.saturating_sub(moment.saturating_add(leave))),
        };
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|it| it.thing.is(thing)) {
            entry.is_told_of = true;
            let differs = match (entry.drain.until(), until) {
                (Some(known), Some(said)) => known.abs_diff(said) > CLOSE,
                (known, said) => known != said,
            };
            if !one.is_over && differs && entry.drain.is_leaving() {
                let leave = if entry.drain.accepts() {
                    leave
                } else {
                    Duration::ZERO
                };
                entry.drain.begin(moment, terms(leave));
            }
            return;
        }
        drop(entries);
        if one.is_over {
            return;
        }
        // The same once more: things are not copied.
        if let Some(thing) = Thing::named(thing.kind(), &thing.name(), now) {
            self.order(thing, terms(leave));
        }
        if let Some(entry) = self.entries().iter_mut().find(|it| it.thing.is(thing)) {
            entry.is_told_of = true;
        }
    }

    fn said(&self, number: u64, things: &[Option<Thing>]) -> Heard {
        let entries = self.entries();
        let left = |thing: &Thing| {
            let entry = entries.iter().find(|it| it.thing.is(thing));
            match entry.filter(|it| it.drain.state() == State::CutOff) {
                Some(entry) => entry.cut_off,
                None => thing.left(&self.process),
            }
        };
        let left = things
            .iter()
            .map(|it| it.as_ref().map_or(0, left))
            .collect();
        let process = entries.iter().find(|it| it.thing.is_process());
        let until = process.and_then(|it| it.drain.until());
        Heard {
            number,
            process: std::process::id(),
            since: process.map_or_else(|| micros(SystemTime::now()), |it| self.wall(it.since)),
            until: until.map(|it| self.wall(it)),
            connections: self.process.open_connections().into(),
            left,
        }
    }
}
