//! The parts of a plane, made of what was loaded: those of a plane before where the configuration leaves them as they were.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use portway_core::route::Router;
use portway_core::stick::Table;
use portway_dataplane::access_log::LogSink;
use portway_dataplane::circuit::circuits;
use portway_dataplane::client_tls::AnswersHello;
use portway_dataplane::live::{Entrance, ListenerState, ProcessState};
use portway_dataplane::pipe;
use portway_dataplane::plane::{
    GroupParts, ListenerKey, ListenerParts, Machine, Plane, SocketPlace,
};
use portway_dataplane::service::Services;
use portway_dataplane::stick_time;
use portway_dataplane::wants::{self, Wants};
use portway_dataplane::worker::SocketId;
use portway_model::action::Rule;
use portway_model::name::Name;
use portway_model::snapshot::{Listener, Snapshot, StickTable, TargetGroup};
use portway_model::span::{Origin, Sources};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::{GroupNames, Names, Registry};
use portway_telemetry::zone::Zone;
use tokio::task::JoinSet;

use crate::certificates::GroupTls;
use crate::descriptors;
use crate::drains::{GoneListener, Leaving};
use crate::figures::{Installed, layout};
use crate::health;
use crate::install::Loaded;
use crate::logs::Tellers;
use crate::memory;
use crate::names::NameBook;
use crate::ocsp::Stapler;
use crate::outliers;
use crate::resolve;
use crate::targets::{Peers, Targets, WatchedTarget};
use crate::tidings;

/// What a process keeps from its first configuration to its last.
pub(crate) struct Base {
    pub(crate) process: Arc<ProcessState>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) zone: Zone,
    pub(crate) services: Services,
    pub(crate) names: Arc<NameBook>,
    pub(crate) stapler: Arc<Stapler>,
}

/// Everything that a configuration needs to be put to work.
pub(crate) struct Ready<'t> {
    pub(crate) snapshot: Snapshot,
    pub(crate) sources: Arc<Sources>,
    pub(crate) loaded: Loaded,
    pub(crate) targets: &'t [Targets],
    /// Of access logs by listener, and of events.
    pub(crate) sinks: (Vec<Option<LogSink>>, Tellers),
    pub(crate) keys: Vec<ListenerKey>,
    pub(crate) places: HashMap<SocketId, SocketPlace>,
    pub(crate) metrics: Arc<Registry>,
    /// What is no more and drains: where it comes back, it is the same.
    pub(crate) leaving: &'t Leaving,
}

impl Installed {
    /// The first configuration of a process.
    pub(crate) fn first(ready: Ready<'_>, base: Base) -> Self {
        Self::make(None, ready, base, (1, 1))
    }

    /// The one that follows this, which is `generation`: of what stays it has what this has.
    pub(crate) fn next(&self, mut ready: Ready<'_>, generation: u64) -> Self {
        ready.loaded.maps.take_over(&self.maps);
        ready.loaded.keys.take_over(&self.keys);
        let plane = &self.plane;
        let base = Base {
            process: plane.process.clone(),
            machine: plane.machine.clone(),
            zone: plane.zone.clone(),
            services: plane.services.clone(),
            names: self.names.clone(),
            stapler: self.stapler.clone(),
        };
        let numbers = (plane.number + 1, generation);
        Self::make(Some(self), ready, base, numbers)
    }

    fn make(
        before: Option<&Self>,
        ready: Ready<'_>,
        base: Base,
        (number, generation): (u32, u64),
    ) -> Self {
        let Ready {
            snapshot,
            loaded,
            targets,
            sinks: (sinks, tellers),
            ..
        } = ready;
        let plane = before.map(|it| &*it.plane);
        let tls = loaded.tls;
        let before_it = (plane, ready.leaving);
        let listeners = of_listeners(before_it, &snapshot, ready.keys, tls.listeners, sinks);
        let groups = of_groups(before_it, &snapshot, &tls.groups, targets);
        base.process.set_descriptors(descriptors::for_connections());
        let budget = memory::budget(&snapshot.process);
        base.process.memory.set_budget(budget);
        pipe::set_most(descriptors::for_pipes(&snapshot.process));
        let plane = Plane {
            max_connections: descriptors::max_connections(&snapshot),
            metrics: ready.metrics,
            answers: loaded.answers,
            traces: tellers.traces.clone(),
            keys: loaded.keys.sets.clone(),
            maps: loaded.maps.live(),
            map_sets: loaded.maps.for_rules(),
            sources: ready.sources,
            tables: tables(plane, &snapshot),
            circuits: circuits(&snapshot, plane.map(|it| &it.circuits)),
            machine: base.machine,
            process: base.process,
            zone: base.zone,
            services: base.services,
            numbers_requests: wants::numbers_requests(&snapshot),
            late_users: wants::late_users(&snapshot),
            number,
            sockets: ready.places,
            by_name: OnceLock::new(),
            by_key: OnceLock::new(),
            listeners,
            groups,
            snapshot: Arc::new(snapshot),
        };
        let made = Self {
            proxies: layout::proxies(&plane.snapshot),
            peers: peers(before, &plane.snapshot, targets),
            targets: targets.to_vec(),
            tls: tls.groups,
            tellers,
            maps: Arc::new(loaded.maps),
            keys: loaded.keys,
            certificates: tls.renewable,
            files: loaded.files,
            judges: tls.judges,
            generation,
            names: base.names,
            stapler: base.stapler,
            plane: Arc::new(plane),
        };
        // What is known of certificates is shown from the first handshake on.
        made.certificates.look_after(&made.stapler);
        made.tell_of_targets();
        made
    }

    /// Tells the logs of groups what becomes of their targets.
    fn tell_of_targets(&self) {
        let snapshot = &self.plane.snapshot;
        let groups = snapshot.groups.iter().zip(&self.targets).zip(&self.peers);
        for (((group, targets), peers), sink) in groups.zip(&self.tellers.groups) {
            tidings::listen(group, targets, peers, snapshot, sink.as_ref());
        }
    }

    /// Begins to look after the targets that are `alone`, by group.
    pub(crate) fn look_after(&self, alone: &[Vec<bool>], tasks: &mut JoinSet<()>) {
        self.keys.look_after(self.plane.metrics.process(), tasks);
        let groups = self.plane.snapshot.groups.iter().zip(&self.tls);
        let watched = self.targets.iter().zip(&self.peers).zip(alone);
        for ((group, tls), ((targets, peers), alone)) in groups.zip(watched) {
            let is_alone =
                |(place, _): &(usize, &Arc<WatchedTarget>)| alone.get(*place) == Some(&true);
            let targets = || targets.iter().enumerate().filter(is_alone);
            health::start(group, tls, targets(), peers, &self.plane.process, tasks);
            resolve::keep_resolving(targets().map(|(_, target)| target), &self.names, tasks);
        }
        let groups = self.plane.snapshot.groups.iter().zip(&self.plane.groups);
        for ((group, parts), peers) in groups.zip(&self.peers) {
            outliers::look_after(group, &parts.state, peers, tasks);
        }
        crate::circuits::look_after(&self.plane.circuits, tasks);
    }
}

/// Who looks at the targets of each group.
fn peers(before: Option<&Installed>, next: &Snapshot, targets: &[Targets]) -> Vec<Arc<Peers>> {
    let known: HashMap<&Name, &Arc<Peers>> = before.map_or_else(HashMap::new, |before| {
        let groups = before.plane.snapshot.groups.iter().zip(&before.peers);
        groups.map(|(it, peers)| (&it.name, peers)).collect()
    });
    let groups = next.groups.iter().zip(targets);
    let peers = groups.map(|(group, targets)| {
        let peers = known.get(&group.name).map(|it| Arc::clone(it));
        let peers = peers.unwrap_or_default();
        peers.set(targets);
        peers
    });
    peers.collect()
}

/// All targets, one after the other.
pub(crate) fn all(targets: &[Targets]) -> Vec<Arc<WatchedTarget>> {
    targets.iter().flat_map(|it| it.iter()).cloned().collect()
}

/// Which listeners those of a configuration are: one of the same name, or of the same addresses where its name is gone, is the
/// same, where its clients are judged alike (`judges` tells that, by listener), also where it is only `leaving` now. `count`: how many
/// there have been.
pub(crate) fn keys(
    before: Option<&Installed>,
    leaving: &[GoneListener],
    (next, judges): (&Snapshot, &[String]),
    count: &mut u64,
) -> Vec<ListenerKey> {
    let names: HashSet<&Name> = next.listeners.iter().map(|it| &it.name).collect();
    let known = || {
        let before = before.into_iter();
        before.flat_map(|it| {
            let plane = &it.plane;
            let keys = plane.listeners.iter().map(|it| it.key);
            let judges = it.judges.iter().map(String::as_str);
            let judges = judges.chain(std::iter::repeat(""));
            let known = plane.snapshot.listeners.iter().zip(keys).zip(judges);
            known.map(|((listener, key), judges)| Known {
                listener,
                key,
                judges,
            })
        })
    };
    let by_name: HashMap<&Name, Known<'_>> = known().map(|it| (&it.listener.name, it)).collect();
    let mut renamed: Vec<Known<'_>> = known()
        .filter(|it| !names.contains(&it.listener.name))
        .collect();
    let leaving = leaving.iter().map(|it| Known {
        listener: &it.listener,
        key: it.parts.key,
        judges: &it.judges,
    });
    let mut leaving: Vec<Known<'_>> = leaving.collect();
    let judges = judges.iter().map(String::as_str);
    let listeners = next
        .listeners
        .iter()
        .zip(judges.chain(std::iter::repeat("")));
    let key = |(listener, judges): (&Arc<Listener>, &str)| {
        let goes_on = |it: &Known<'_>| it.goes_on_as(listener, judges);
        let is_placed = |it: &Known<'_>| {
            let binds = &it.listener.binds;
            goes_on(it) && !binds.is_empty() && *binds == listener.binds
        };
        let known = match by_name.get(&listener.name) {
            Some(known) => Some(*known).filter(goes_on),
            None => {
                let at = renamed.iter().position(is_placed);
                at.map(|at| renamed.remove(at))
            }
        };
        let known = known.or_else(|| {
            let is_named = |it: &Known<'_>| goes_on(it) && it.listener.name == listener.name;
            let at = leaving.iter().position(is_named);
            let at = at.or_else(|| leaving.iter().position(is_placed));
            at.map(|at| leaving.remove(at))
        });
        known.map_or_else(
            || {
                *count += 1;
                ListenerKey(*count)
            },
            |it| it.key,
        )
    };
    listeners.map(key).collect()
}

/// A listener as it was.
#[derive(Clone, Copy)]
struct Known<'b> {
    listener: &'b Listener,
    key: ListenerKey,
    /// What judges its clients.
    judges: &'b str,
}

impl Known<'_> {
    /// Who came in the clear, or by another certificate, does not go on where that would not let him in.
    fn goes_on_as(&self, next: &Listener, judges: &str) -> bool {
        let clients = |it: &Listener| it.tls.as_ref().map(|tls| tls.clients.clone());
        self.listener.protocol == next.protocol
            && clients(self.listener) == clients(next)
            && self.judges == judges
    }
}

/// What a plane has of each listener beside its configuration.
pub(crate) fn of_listeners(
    (before, leaving): (Option<&Plane>, &Leaving),
    snapshot: &Snapshot,
    keys: Vec<ListenerKey>,
    tls: Vec<Option<Arc<dyn AnswersHello>>>,
    logs: Vec<Option<LogSink>>,
) -> Vec<Arc<ListenerParts>> {
    // Those of one name are limited together.
    let mut states: HashMap<&Name, Arc<ListenerState>> = HashMap::new();
    let mut limits: HashMap<&Name, u32> = HashMap::new();
    let mut by_key: HashMap<ListenerKey, Arc<Entrance>> = leaving
        .listeners
        .iter()
        .map(|it| (it.parts.key, it.parts.entrance.clone()))
        .collect();
    if let Some(before) = before {
        let known = || before.snapshot.listeners.iter().zip(&before.listeners);
        states.extend(known().map(|(it, parts)| (&it.known_as, parts.state.clone())));
        let entrances = before.listeners.iter();
        by_key.extend(entrances.map(|it| (it.key, it.entrance.clone())));
        for (former, now) in &leaving.rejudged {
            // What is open on it counts where it has become another.
            if let Some(entrance) = by_key.get(former).cloned() {
                by_key.entry(*now).or_insert(entrance);
            }
        }
        limits.extend(known().map(|(it, _)| (&it.known_as, it.max_connections)));
    }
    for listener in &snapshot.listeners {
        let before = limits.get(&listener.known_as);
        if let Some(state) = states.get(&listener.known_as)
            && before.is_some_and(|limit| *limit != listener.max_connections)
        {
            // What somebody said since holds until the configuration says something new.
            state.limit_as_configured();
        }
    }
    let listeners = snapshot.listeners.iter().zip(keys).zip(tls).zip(logs);
    let parts = listeners.map(|(((listener, key), tls), log)| {
        let entrance = by_key.get(&key);
        let known = || entrance.map(|it| it.state.clone());
        let state = states.entry(&listener.known_as);
        let state = state.or_insert_with(|| known().unwrap_or_default()).clone();
        let same = entrance.filter(|it| Arc::ptr_eq(&it.state, &state));
        let new = || Arc::new(Entrance::new(state.clone()));
        Arc::new(ListenerParts {
            key,
            tls,
            router: Router::build(&listener.rules.request),
            entrance: same.cloned().unwrap_or_else(new),
            state,
            log,
            wants: Wants::of(listener, &snapshot.groups),
        })
    });
    parts.collect()
}

/// The same of each group.
pub(crate) fn of_groups(
    (before, leaving): (Option<&Plane>, &Leaving),
    snapshot: &Snapshot,
    tls: &[GroupTls],
    targets: &[Targets],
) -> Vec<Arc<GroupParts>> {
    let known: HashMap<&Name, (&TargetGroup, &GroupParts)> =
        before.map_or_else(HashMap::new, |before| {
            let groups = before.snapshot.groups.iter().zip(&before.groups);
            groups
                .map(|(it, parts)| (&it.name, (&**it, &**parts)))
                .collect()
        });
    let groups = snapshot.groups.iter().zip(tls).zip(targets);
    let parts = groups.map(|((group, tls), targets)| {
        let states = targets.iter().map(|it| it.state.clone()).collect();
        let (all, own) = (tls.group.clone(), tls.own.clone());
        // Requests that wait are nothing for a group that takes connections.
        let is_of_its_kind = |it: &TargetGroup| it.protocol.is_http() == group.protocol.is_http();
        let known = known.get(&group.name).copied();
        let known = known.or_else(|| leaving.group(group));
        Arc::new(match known.filter(|(it, _)| is_of_its_kind(it)) {
            Some((_, known)) => known.next(group, (all, own), states),
            None => GroupParts {
                own_tls: own,
                ..GroupParts::new(group, all, states)
            },
        })
    });
    parts.collect()
}

/// Stick tables: one that says the same as before is the same, and another of that name has the entries that still fit.
pub(crate) fn tables(before: Option<&Plane>, snapshot: &Snapshot) -> Vec<Arc<Table>> {
    let known = || {
        let before = before.into_iter();
        before.flat_map(|it| it.snapshot.stick_tables.iter().zip(&it.tables))
    };
    let table = |table: &StickTable| match known().find(|(it, _)| it.name == table.name) {
        Some((before, kept)) if before == table => kept.clone(),
        Some((_, kept)) => Arc::new(kept.next(table, stick_time())),
        None => Arc::new(Table::new(table, portway_dataplane::seed())),
    };
    snapshot.stick_tables.iter().map(table).collect()
}

/// Rules of a listener or group that have a counter each: more would be more series than anybody looks at.
const RULES_SHOWN: usize = 100;

pub(crate) fn names(snapshot: &Snapshot, sources: &Sources) -> Names {
    let called = |(at, rule): (usize, &Rule<Resolved>)| {
        let Origin(span) = rule.origin;
        match (sources.get(span.file), sources.position(span)) {
            (Some(file), Some(place)) => format!("{}:{}", file.name, place.line),
            _ => format!("rule {}", at + 1),
        }
    };
    let of_rules = |rules: &[Rule<Resolved>]| {
        let rules = rules.iter().take(RULES_SHOWN);
        rules.enumerate().map(called).collect::<Vec<_>>()
    };
    let of_group = |group: &Arc<TargetGroup>| GroupNames {
        name: group.name.to_string(),
        targets: group.targets.iter().map(|it| it.name.to_string()).collect(),
        rules: of_rules(&group.rules.request),
    };
    Names {
        listeners: snapshot
            .listeners
            .iter()
            .map(|it| it.known_as.to_string())
            .collect(),
        rules: snapshot
            .listeners
            .iter()
            .map(|it| of_rules(&it.rules.request))
            .collect(),
        groups: snapshot.groups.iter().map(of_group).collect(),
        refusals: portway_dataplane::refusal_codes(),
    }
}
