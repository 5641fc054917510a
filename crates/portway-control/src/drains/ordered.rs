//! What drains by command, over changes of the configuration: it is found again by its state, which a new name does not change, else by
//! its name; and it drains on where it is no more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use portway_core::drain::Drain;
use portway_core::health::HealthState;
use portway_dataplane::live::{ListenerState, ProcessState, TargetState};
use portway_dataplane::plane::ListenerKey;
use portway_dataplane::sessions::{Wanted, Whom};
use portway_model::name::Name;

use super::{By, Draining, Drains, Entry, Leaving, Thing};
use crate::figures::Installed;
use crate::targets::WatchedTarget;

/// All listeners of a name that are told to drain.
pub(crate) struct OrderedListener {
    /// Where they are, as configured.
    pub(super) addresses: Vec<String>,
    pub(crate) name: Name,
    pub(crate) state: Arc<ListenerState>,
    pub(crate) keys: Vec<ListenerKey>,
}

impl OrderedListener {
    /// Those of this name, by which they are known.
    pub(crate) fn of(name: &Name, now: &Installed) -> Option<Self> {
        let listeners = now.plane.snapshot.listeners.iter();
        let listeners = listeners.zip(&now.plane.listeners);
        let of_name = || listeners.clone().filter(|(it, _)| it.known_as == *name);
        let parts: Vec<_> = of_name().map(|(_, parts)| parts).collect();
        let binds = of_name().flat_map(|(it, _)| it.binds.iter());
        Some(Self {
            addresses: binds.map(ToString::to_string).collect(),
            name: name.clone(),
            state: parts.first()?.state.clone(),
            keys: parts.iter().map(|it| it.key).collect(),
        })
    }

    /// What it is in this configuration.
    pub(super) fn next(&self, now: &Installed) -> Option<Self> {
        let listeners = now.plane.snapshot.listeners.iter();
        let mut listeners = listeners.zip(&now.plane.listeners);
        let named = |it: &Name| *it == self.name;
        let same = |state: &Arc<ListenerState>| Arc::ptr_eq(state, &self.state);
        let renamed = listeners.clone().find(|(_, parts)| same(&parts.state));
        let found = listeners
            .find(|(it, parts)| named(&it.known_as) && same(&parts.state))
            .or(renamed);
        let name = found.map_or(&self.name, |(it, _)| &it.known_as);
        Self::of(name, now)
    }

    pub(super) fn order(&self, process: &ProcessState, wanted: Wanted) {
        let keys = self.keys.iter();
        keys.for_each(|key| process.roll_call.order(Whom::OfListener(*key), wanted));
    }
}

/// What a target is in this configuration.
pub(super) fn next_target(it: &Arc<WatchedTarget>, now: &Installed) -> Option<Arc<WatchedTarget>> {
    let targets = || now.targets.iter().flat_map(|it| it.iter());
    let same = |other: &&Arc<WatchedTarget>| Arc::ptr_eq(&other.state, &it.state);
    let named = |other: &&Arc<WatchedTarget>| {
        (&other.group, &other.target.name) == (&it.group, &it.target.name)
    };
    targets()
        .find(same)
        .or_else(|| targets().find(named))
        .cloned()
}

/// Targets of groups that are told to drain which do not: somebody has put them back to work since, or had taken them out of
/// service before.
#[derive(Debug, Default)]
pub(super) struct Excepted {
    states: HashSet<*const TargetState>,
    /// Each with its group.
    names: HashSet<(String, String)>,
}

impl Excepted {
    /// Those that are called so.
    pub(super) fn named(names: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            states: HashSet::new(),
            names: names.into_iter().collect(),
        }
    }

    pub(super) fn names(self) -> Vec<(String, String)> {
        let mut names: Vec<_> = self.names.into_iter().collect();
        names.sort_unstable();
        names
    }

    fn has(&self, target: &WatchedTarget) -> bool {
        self.states.contains(&Arc::as_ptr(&target.state)) || self.names.contains(&name_of(target))
    }
}

fn name_of(target: &WatchedTarget) -> (String, String) {
    (target.group.to_string(), target.target.name.to_string())
}

impl Drains {
    /// Those of this configuration.
    pub(super) fn excepted(&self, of: &Installed) -> Excepted {
        let groups = self.groups().clone();
        let entries = self.entries();
        let ordered = entries.iter().filter_map(|entry| match &entry.thing {
            Thing::OrderedTarget(it) => Some(Arc::as_ptr(&it.state)),
            _ => None,
        });
        let ordered: HashSet<*const TargetState> = ordered.collect();
        drop(entries);
        let mut excepted = Excepted::default();
        for target in of.targets.iter().flat_map(|it| it.iter()) {
            let state = Arc::as_ptr(&target.state);
            if groups.contains(&target.group) && !ordered.contains(&state) {
                excepted.states.insert(state);
                excepted.names.insert(name_of(target));
            }
        }
        excepted
    }

    /// What was told to drain goes on doing so where it has another name now, or none: then it drains as what is `gone`. Something else
    /// that has its name now is told so too, and so is what comes to a group that is told to drain.
    pub(super) fn keep_orders(
        &self,
        gone: &Leaving,
        excepted: &Excepted,
        now: &Installed,
        deadline: Duration,
    ) {
        let mut entries = self.entries();
        let mut left = Vec::new();
        for entry in entries.iter() {
            left.extend(entry.of_gone(gone));
        }
        entries.retain_mut(|entry| {
            let moment = self.now();
            match &mut entry.thing {
                Thing::OrderedListener(it) => match it.next(now) {
                    Some(next) => {
                        let same = Arc::ptr_eq(&it.state, &next.state);
                        *it = next;
                        if !same {
                            entry.begin_anew(moment, now, deadline);
                        }
                        true
                    }
                    None => false,
                },
                Thing::OrderedTarget(it) => {
                    let Some(next) = next_target(it, now) else {
                        return false;
                    };
                    let same = Arc::ptr_eq(&it.state, &next.state);
                    *it = next;
                    let rests = [HealthState::Draining, HealthState::Unused];
                    if !same || !rests.contains(&it.state_now()) {
                        entry.begin_anew(moment, now, deadline);
                    }
                    true
                }
                Thing::Process | Thing::Listener(_) | Thing::Target(_) => true,
            }
        });
        entries.extend(left);
        let groups = self.groups().clone();
        let known: HashSet<*const WatchedTarget> = entries
            .iter()
            .filter_map(|entry| match &entry.thing {
                Thing::OrderedTarget(it) => Some(Arc::as_ptr(it)),
                _ => None,
            })
            .collect();
        drop(entries);
        let targets = now.targets.iter().flat_map(|it| it.iter());
        let is_new = |it: &&Arc<WatchedTarget>| {
            let has_come = !known.contains(&Arc::as_ptr(it)) && !excepted.has(it);
            groups.contains(&it.group) && has_come
        };
        let new: Vec<_> = targets.filter(is_new).cloned().collect();
        for target in new {
            let thing = Thing::OrderedTarget(target);
            let terms = thing.terms(now, deadline);
            self.order(thing, terms);
        }
    }
}

impl Draining {
    /// True where this is its name, or was when a command told it to drain.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.ordered_as.as_deref() == Some(name)
    }
}

impl Thing {
    /// A command has told it to drain, and it is in the configuration.
    pub(super) fn is_ordered(&self) -> bool {
        matches!(self, Thing::OrderedListener(_) | Thing::OrderedTarget(_))
    }

    /// What has come back to the configuration, as a command has told it.
    pub(super) fn ordered(&self, now: &Installed) -> Option<Thing> {
        match self {
            Thing::Listener(it) => {
                let listeners = now.plane.snapshot.listeners.iter();
                let mut listeners = listeners.zip(&now.plane.listeners);
                let (listener, _) = listeners.find(|(_, other)| other.key == it.parts.key)?;
                let ordered = OrderedListener::of(&listener.known_as, now)?;
                Some(Thing::OrderedListener(ordered))
            }
            Thing::Target(it) => {
                let mut targets = now.targets.iter().flat_map(|it| it.iter());
                let same =
                    |other: &&Arc<WatchedTarget>| Arc::ptr_eq(&other.state, &it.target.state);
                Some(Thing::OrderedTarget(targets.find(same)?.clone()))
            }
            Thing::Process | Thing::OrderedListener(_) | Thing::OrderedTarget(_) => None,
        }
    }

    /// True where the other is the same listener or target.
    pub(super) fn is(&self, other: &Thing) -> bool {
        match (self, other) {
            (Thing::Listener(it), Thing::Listener(other)) => it.parts.key == other.parts.key,
            (Thing::Target(it), Thing::Target(other)) => {
                Arc::ptr_eq(&it.target.state, &other.target.state)
            }
            (Thing::OrderedListener(it), Thing::OrderedListener(other)) => {
                Arc::ptr_eq(&it.state, &other.state)
            }
            (Thing::OrderedTarget(it), Thing::OrderedTarget(other)) => {
                Arc::ptr_eq(&it.state, &other.state)
            }
            _ => false,
        }
    }
}

impl Entry {
    pub(super) fn by(&self) -> By {
        match self.thing {
            Thing::Process => By::Stop,
            _ if self.ordered_as.is_some() => By::Command,
            _ => By::Reload,
        }
    }

    /// What drains on in its place, where it is among what is gone: each of the listeners that it was.
    pub(super) fn of_gone(&self, gone: &Leaving) -> Vec<Entry> {
        let listeners = gone.listeners.iter().map(|it| {
            let is_it = matches!(&self.thing, Thing::OrderedListener(other) if other.keys.contains(&it.parts.key));
            is_it.then(|| Thing::Listener(it.clone()))
        });
        let targets = gone.targets.iter().map(|it| {
            let is_it = matches!(&self.thing, Thing::OrderedTarget(other) if Arc::ptr_eq(&other.state, &it.target.state));
            is_it.then(|| Thing::Target(it.clone()))
        });
        let things = listeners.chain(targets).flatten();
        let entries = things.map(|thing| Entry {
            thing,
            drain: self.drain,
            elsewhere: self.elsewhere.clone(),
            ordered_as: self.ordered_as.clone(),
            ..*self
        });
        entries.collect()
    }

    /// Another thing has its name, and is told the same.
    pub(super) fn begin_anew(&mut self, now: Duration, installed: &Installed, usual: Duration) {
        let terms = self.thing.terms(installed, usual);
        self.thing.leave();
        self.drain = Drain::default();
        self.drain.begin(now, terms);
        (self.since, self.closes_at) = (now, now.saturating_add(terms.leave));
        (self.told, self.cut_off) = (false, 0);
        self.elsewhere.clear();
    }
}
