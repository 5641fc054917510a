//! A snapshot with everything that could fail already made: what control installs and workers run.
//!
//! Leaves to control: reading files, building TLS configurations, binding sockets, probing targets.

use crate::access_log::LogSink;
use crate::answers::Answers;
use crate::circuit::Circuits;
use crate::client_tls::AnswersHello;
use crate::keys::KeySets;
use crate::live::{Entrance, ListenerState, ProcessState, TargetState};
use crate::map::{EntriesChange, LiveMap};
use crate::queue::GroupState;
use crate::seal::Seal;
use crate::service::Services;
use crate::wants::Wants;
use crate::worker::SocketId;
use portway_core::balance::SharedTurns;
use portway_core::route::Router;
use portway_core::stick::Table;
use portway_model::expression::ListenerFigure;
use portway_model::snapshot::{
    GroupId, Listener, ListenerId, MapId, Snapshot, StickTableId, Target, TargetGroup, UserlistId,
};
use portway_model::span::Sources;
use portway_telemetry::metrics::Registry;
use portway_telemetry::zone::Zone;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// All that a worker needs to serve. A change makes the next one ([`Plane::next`]), which shares every part that the change
/// leaves as it was.
#[derive(Clone)]
pub struct Plane {
    /// The compiled configuration.
    pub snapshot: Arc<Snapshot>,
    /// By [`ListenerId`].
    pub listeners: Vec<Arc<ListenerParts>>,
    /// By [`GroupId`].
    pub groups: Vec<Arc<GroupParts>>,
    /// Error pages, and files that rules answer with.
    pub answers: Arc<Answers>,
    /// Where spans of sampled requests go.
    pub traces: Option<LogSink>,
    /// Keys that tokens are signed with.
    pub keys: Arc<KeySets>,
    /// Maps and lists, by [`MapId`].
    pub maps: Vec<Arc<LiveMap>>,
    /// The texts of the configuration.
    pub sources: Arc<Sources>,
    /// What rules change them through, by [`MapId`].
    pub map_sets: Vec<Arc<dyn EntriesChange>>,
    /// Stick tables, by [`StickTableId`].
    pub tables: Vec<Arc<Table>>,
    /// Circuit breakers.
    pub circuits: Circuits,
    /// What rules see of this machine.
    pub machine: Arc<Machine>,
    /// Counters.
    pub metrics: Arc<Registry>,
    /// Connections of clients at most, all listeners together: as configured, or what the limit of descriptors leaves.
    pub max_connections: u32,
    /// What the process is doing.
    pub process: Arc<ProcessState>,
    /// The zone of local times in logs.
    pub zone: Zone,
    /// Some log, rule or id wants each request to have a number: see [`crate::wants::numbers_requests`].
    pub numbers_requests: bool,
    /// Lists of users that are asked where nobody can wait: see [`crate::wants::late_users`].
    pub late_users: Vec<UserlistId>,
    /// Who answers what rules leave to Portway itself.
    pub services: Services,
    /// Counts the planes of the process, from 1.
    pub number: u32,
    /// Whose connections come in on which socket. One that is not named here is closed.
    pub sockets: HashMap<SocketId, SocketPlace>,
    /// Made when a connection first asks for its listener.
    pub by_key: OnceLock<HashMap<ListenerKey, ListenerId>>,
    /// Made when a rule first asks for a group by a computed name.
    pub by_name: OnceLock<GroupIndex>,
}

/// HTTP groups by name.
pub type GroupIndex = HashMap<Box<[u8]>, GroupId>;

/// Which of all listeners that a process has had: it stays the same where a listener stays, whatever else changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerKey(pub u64);

/// Where connections of a socket belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketPlace {
    /// Whose they are.
    pub listener: ListenerId,
    /// The number of the socket among the addresses of the listener, from 1 on.
    pub number: u16,
}

/// What control made for one listener.
pub struct ListenerParts {
    /// Which one it is.
    pub key: ListenerKey,
    /// `Some` exactly where the listener terminates TLS.
    pub tls: Option<Arc<dyn AnswersHello>>,
    /// Index over the request rules.
    pub router: Router,
    /// Live state.
    pub state: Arc<ListenerState>,
    /// Where its connections are counted apart from others of its name.
    pub entrance: Arc<Entrance>,
    /// Where records go, if they are written.
    pub log: Option<LogSink>,
    /// What its records want to be looked at while there is time.
    pub wants: Wants,
}

/// How TLS is spoken, where it is.
pub type ClientTls = Option<Arc<rustls::ClientConfig>>;

/// What control made for one target group.
pub struct GroupParts {
    /// `Some` exactly where TLS is spoken to targets.
    pub tls: ClientTls,
    /// Of targets, by index, with TLS settings or sessions of their own; empty where none has.
    pub own_tls: Vec<ClientTls>,
    /// Live state by index of the target.
    pub targets: Arc<[Arc<TargetState>]>,
    /// The numbers of the targets.
    pub numbers: Vec<u32>,
    /// Whose turn it is.
    pub turns: Arc<SharedTurns>,
    /// Live state of the group as a whole.
    pub state: Arc<GroupState>,
    /// Seals the values of its cookie; `None`: they are not sealed.
    pub seal: Option<Seal>,
}

impl Plane {
    /// A stick table.
    pub fn table(&self, id: StickTableId) -> Option<&Table> {
        self.tables.get(id.index()).map(Arc::as_ref)
    }
}

impl GroupParts {
    /// The parts of a group with these targets.
    pub fn new(group: &TargetGroup, tls: ClientTls, targets: Vec<Arc<TargetState>>) -> Self {
        let targets = Arc::from(targets);
        Self {
            tls,
            own_tls: Vec::new(),
            numbers: group.target_numbers(),
            state: GroupState::new(group, &targets),
            turns: Arc::default(),
            seal: Seal::of(group),
            targets,
        }
    }

    /// The parts of the same group with other targets. Those that are among these too keep their numbers and turns, and
    /// everything that is known of them; whoever waits for one of them goes on waiting.
    pub fn next(
        &self,
        group: &TargetGroup,
        (tls, own_tls): (ClientTls, Vec<ClientTls>),
        targets: Vec<Arc<TargetState>>,
    ) -> Self {
        let targets: Arc<[Arc<TargetState>]> = Arc::from(targets);
        let places: HashMap<*const TargetState, usize> =
            targets.iter().map(Arc::as_ptr).zip(0..).collect();
        let place = |before: usize| places.get(&Arc::as_ptr(self.targets.get(before)?)).copied();
        self.state.hold(group, &targets);
        Self {
            tls,
            own_tls,
            numbers: self.next_numbers(group, &targets),
            state: Arc::clone(&self.state),
            turns: Arc::new(self.turns.moved(place)),
            seal: Seal::of(group),
            targets,
        }
    }

    /// Gives targets the numbers that another process gave them, as far as the configuration gives none and they are free.
    pub fn take_numbers(&mut self, group: &TargetGroup, known: impl Fn(&Target) -> Option<u32>) {
        let said = |target: &Target| target.number;
        let mut taken: HashSet<u32> = group.targets.iter().filter_map(said).collect();
        let kept = |target: &Target| {
            let kept = || known(target).filter(|number| *number > 0 && taken.insert(*number));
            said(target).or_else(kept)
        };
        let kept: Vec<Option<u32>> = group.targets.iter().map(kept).collect();
        let mut free = (1..).filter(|number| !taken.contains(number));
        let numbers = kept.into_iter().map(|it| it.or_else(|| free.next()));
        self.numbers = numbers.flatten().collect();
    }

    /// The numbers of the next targets: that of the configuration, or the one that a target had, or the lowest that is free.
    fn next_numbers(&self, group: &TargetGroup, targets: &[Arc<TargetState>]) -> Vec<u32> {
        let before: HashMap<*const TargetState, u32> = self
            .targets
            .iter()
            .map(Arc::as_ptr)
            .zip(self.numbers.iter().copied())
            .collect();
        let said = |target: &Target| target.number;
        let mut taken: HashSet<u32> = group.targets.iter().filter_map(said).collect();
        let known = |(state, target): (&Arc<TargetState>, &Target)| {
            let kept = || before.get(&Arc::as_ptr(state)).copied();
            let kept = || kept().filter(|number| taken.insert(*number));
            said(target).or_else(kept)
        };
        let known: Vec<Option<u32>> = targets.iter().zip(&group.targets).map(known).collect();
        let mut free = (1..).filter(|number| !taken.contains(number));
        let numbers = known.into_iter().map(|known| known.or_else(|| free.next()));
        numbers.flatten().collect()
    }
}

/// What rules see of this machine, as it was at install.
#[derive(Debug, Default)]
pub struct Machine {
    /// Its host name.
    pub hostname: String,
    /// The environment of the process.
    pub environment: HashMap<String, String>,
}

impl Plane {
    /// The plane of the next snapshot, whose listeners, maps and tables are those of this one.
    pub fn next(
        &self,
        snapshot: Arc<Snapshot>,
        groups: Vec<Arc<GroupParts>>,
        metrics: Arc<Registry>,
    ) -> Self {
        Self {
            snapshot,
            groups,
            metrics,
            by_name: OnceLock::new(),
            number: self.number + 1,
            ..self.clone()
        }
    }

    /// Where the listener is that another plane of the process has too. `None`: it is gone.
    pub(crate) fn place_of(&self, key: ListenerKey) -> Option<ListenerId> {
        let index = self.by_key.get_or_init(|| {
            let listeners = self.listeners.iter().zip(0..);
            listeners.map(|(it, id)| (it.key, ListenerId(id))).collect()
        });
        index.get(&key).copied()
    }

    /// The listener with this id and what was made for it. `None` only for an id of another snapshot.
    pub fn listener(&self, id: ListenerId) -> Option<(&Listener, &ListenerParts)> {
        Some((
            self.snapshot.listeners.get(id.index())?,
            self.listeners.get(id.index())?,
        ))
    }

    /// Something that is counted of a listener.
    pub(crate) fn of_listener(&self, figure: ListenerFigure, id: ListenerId) -> Option<i64> {
        let (_, parts) = self.listener(id)?;
        let totals = || self.metrics.listener_totals(id.index());
        let number = match figure {
            ListenerFigure::Connections => return Some(parts.state.open_connections().into()),
            ListenerFigure::ConnectionRate => parts.state.connection_rate.now(totals().connections),
            ListenerFigure::RequestRate => parts.state.request_rate.now(totals().requests()),
        };
        i64::try_from(number).ok()
    }

    /// The value of the entry of a map that fits a key.
    pub(crate) fn lookup(&self, map: MapId, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.maps.get(map.index())?.find(key)
    }

    /// The HTTP group with this name. The index is made when it is first asked for.
    pub(crate) fn group_named(&self, name: &[u8]) -> Option<GroupId> {
        let index = self.by_name.get_or_init(|| {
            let groups = (0..).zip(&self.snapshot.groups);
            let groups = groups.filter(|(_, group)| group.protocol.is_http());
            groups
                .map(|(id, group)| (group.name.as_str().as_bytes().into(), GroupId(id)))
                .collect()
        });
        index.get(name).copied()
    }

    /// The group with this id and what was made for it. `None` only for an id of another snapshot.
    pub fn group(&self, id: GroupId) -> Option<(&TargetGroup, &GroupParts)> {
        Some((
            self.snapshot.groups.get(id.index())?,
            self.groups.get(id.index())?,
        ))
    }
}
