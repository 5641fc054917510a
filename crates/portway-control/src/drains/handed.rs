//! What drains by command, handed to the process that takes over.
//!
//! It goes on there until the moments that were said. The process before still has connections of it, and cuts them off when it is
//! their time: what drains has not drained before that process has ended, or its deadline has come.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portway_core::drain::{Drain, State};
use portway_dataplane::live::ProcessState;
use portway_telemetry::metrics::Drained;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::ordered::Excepted;
use super::{Drains, Entry, Leaving, Thing};
use crate::figures::Installed;

/// All that drains by command.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HandedDrains {
    /// Groups whose targets drain, also those that come to them.
    groups: Vec<String>,
    /// Targets of these that do not, each with its group.
    excepted: Vec<(String, String)>,
    all: Vec<DrainPart>,
}

/// One thing that drains. Moments are microseconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct DrainPart {
    /// A listener; else a target.
    is_listener: bool,
    name: String,
    since: u64,
    closes_at: u64,
    until: Option<u64>,
    /// It takes what comes.
    leaves: bool,
    /// Nothing is left of it.
    has_drained: bool,
    cut_off: u64,
    elsewhere: Vec<Elsewhere>,
}

/// What an older process has of something that drains.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Elsewhere {
    pub(super) process: u32,
    /// When it was heard of last.
    pub(super) left: u64,
}

impl Elsewhere {
    pub(super) fn is_there(self) -> bool {
        let process = i32::try_from(self.process).ok().and_then(Pid::from_raw);
        // One that has ended has its number until somebody has waited for it.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process));
        let has_ended = stat.is_ok_and(|it| it.contains(") Z "));
        !has_ended && process.is_some_and(|it| test_kill_process(it) != Err(Errno::SRCH))
    }
}

pub(super) fn micros(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Entry {
    /// What is left of it, in older processes too: as was heard of last, since one that cuts off at the deadline may end with that.
    pub(super) fn left(&self, process: &ProcessState) -> u64 {
        let elsewhere = self.elsewhere.iter().filter(|_| self.drain.is_leaving());
        self.thing.left(process) + elsewhere.map(|it| it.left).sum::<u64>()
    }

    /// Forgets what is left in older processes that have ended before the deadline.
    pub(super) fn look_elsewhere(&mut self, now: Duration) {
        if self.drain.until().is_none_or(|until| now < until) {
            self.elsewhere.retain(|it| it.is_there());
        }
    }
}

impl Drains {
    /// For the process that takes over.
    pub(crate) fn handed(&self, now: &Installed) -> HandedDrains {
        self.look();
        let excepted = self.excepted(now).names();
        let groups = self.groups().iter().map(ToString::to_string).collect();
        let wall =
            |moment: Duration| micros(self.zero.1.checked_add(moment).unwrap_or(self.zero.1));
        let mut all = Vec::new();
        for entry in self.entries().iter() {
            if !entry.thing.is_ordered() {
                continue;
            }
            let mut elsewhere = entry.elsewhere.clone();
            elsewhere.retain(|it| it.is_there());
            let left = entry.thing.left(&self.process);
            if left > 0 {
                let process = std::process::id();
                elsewhere.push(Elsewhere { process, left });
            }
            all.push(DrainPart {
                is_listener: entry.thing.kind() == Drained::Listener,
                name: entry.thing.name(),
                since: wall(entry.since),
                closes_at: wall(entry.closes_at),
                until: entry.drain.until().map(wall),
                leaves: entry.drain.accepts(),
                has_drained: !entry.drain.is_leaving(),
                cut_off: entry.cut_off,
                elsewhere,
            });
        }
        HandedDrains {
            groups,
            excepted,
            all,
        }
    }

    /// Goes on with what the process before has told to drain. Called before anything else drains, and before anybody is served.
    pub(crate) fn take_over(&mut self, handed: HandedDrains, now: &Installed) {
        let oldest = handed.all.iter().map(|it| it.since).min();
        let (instant, wall) = (Instant::now(), SystemTime::now());
        let age = oldest.map_or(0, |it| micros(wall).saturating_sub(it));
        let age = Duration::from_micros(age);
        // A machine that has started since has no such moment.
        if let (Some(instant), Some(wall)) = (instant.checked_sub(age), wall.checked_sub(age)) {
            self.zero = (instant, wall);
        }
        for part in &handed.all {
            if let Some(thing) = part.thing(now) {
                let entry = self.going_on(part, thing);
                self.entries().push(entry);
            }
        }
        let groups = now.plane.snapshot.groups.iter().map(|it| &it.name);
        let told = groups.filter(|name| handed.groups.iter().any(|it| it == name.as_str()));
        self.groups().extend(told.cloned());
        let deadline = now.plane.snapshot.process.drain_deadline;
        let excepted = Excepted::named(handed.excepted);
        self.keep_orders(&Leaving::default(), &excepted, now, deadline);
    }

    fn going_on(&self, part: &DrainPart, thing: Thing) -> Entry {
        let zero = micros(self.zero.1);
        let here = |moment: u64| Duration::from_micros(moment.saturating_sub(zero));
        let (since, closes_at) = (here(part.since), here(part.closes_at));
        let until = part.until.map(here);
        let drain = match () {
            () if part.has_drained && part.cut_off > 0 => Drain::at(State::CutOff, None),
            () if part.has_drained => Drain::at(State::Ended, None),
            () if part.leaves => {
                let until = until.map(|it| it.saturating_sub(closes_at));
                let state = State::Leaving {
                    since,
                    until: closes_at,
                };
                Drain::at(state, until)
            }
            () => Drain::at(State::Draining { since }, until),
        };
        // A target that has drained is in maintenance, which came with its health.
        if !(part.has_drained && matches!(thing, Thing::OrderedTarget(_))) {
            thing.leave();
        }
        if !drain.accepts() {
            thing.close();
        }
        Entry {
            thing,
            since,
            closes_at,
            drain,
            rests_at: closes_at,
            told: !part.leaves,
            cut_off: part.cut_off,
            elsewhere: part.elsewhere.clone(),
            ordered_as: Some(part.name.clone()),
            over_at: None,
            asked: 0,
            is_told_of: false,
        }
    }
}

impl DrainPart {
    /// What has its name now.
    fn thing(&self, now: &Installed) -> Option<Thing> {
        let kind = match self.is_listener {
            true => Drained::Listener,
            false => Drained::Target,
        };
        Thing::named(kind, &self.name, now)
    }
}
