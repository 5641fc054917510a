//! A snapshot with everything that could fail already made: what control installs and workers run.
//!
//! Leaves to control: reading files, building TLS configurations, binding sockets, probing targets.

use crate::access_log::LogSink;
use crate::answers::Answers;
use crate::live::{ListenerState, ProcessState, TargetState};
use crate::map::LiveMap;
use crate::queue::GroupState;
use crate::service::Services;
use crate::wants::Wants;
use portway_core::route::Router;
use portway_core::stick::Table;
use portway_model::snapshot::{
    GroupId, Listener, ListenerId, MapId, Snapshot, StickTableId, TargetGroup,
};
use portway_telemetry::metrics::Registry;
use portway_telemetry::zone::Zone;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// All that a worker needs to serve.
pub struct Plane {
    /// The compiled configuration.
    pub snapshot: Arc<Snapshot>,
    /// By [`ListenerId`].
    pub listeners: Vec<ListenerParts>,
    /// By [`GroupId`].
    pub groups: Vec<GroupParts>,
    /// Error pages, and files that rules answer with.
    pub answers: Answers,
    /// Maps and lists, by [`MapId`].
    pub maps: Vec<Arc<LiveMap>>,
    /// Stick tables, by [`StickTableId`].
    pub tables: Vec<Arc<Table>>,
    /// What rules see of this machine.
    pub machine: Machine,
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
    /// Who answers what rules leave to Portway itself.
    pub services: Services,
    /// Made when a rule first asks for a group by a computed name.
    pub by_name: OnceLock<GroupIndex>,
}

/// HTTP groups by name.
pub type GroupIndex = HashMap<Box<[u8]>, GroupId>;

/// What control made for one listener.
pub struct ListenerParts {
    /// `Some` exactly where the listener terminates TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Index over the request rules.
    pub router: Router,
    /// Live state.
    pub state: Arc<ListenerState>,
    /// Where records go, if they are written.
    pub log: Option<LogSink>,
    /// What its records want to be looked at while there is time.
    pub wants: Wants,
}

/// What control made for one target group.
pub struct GroupParts {
    /// `Some` exactly where TLS is spoken to targets.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Of targets with TLS settings of their own, by index; empty where none has.
    pub own_tls: Vec<Option<Arc<rustls::ClientConfig>>>,
    /// Live state by index of the target.
    pub targets: Vec<Arc<TargetState>>,
    /// The numbers of the targets.
    pub numbers: Vec<u32>,
    /// Live state of the group as a whole.
    pub state: Arc<GroupState>,
}

impl Plane {
    /// A stick table.
    pub fn table(&self, id: StickTableId) -> Option<&Table> {
        self.tables.get(id.index()).map(Arc::as_ref)
    }
}

impl GroupParts {
    /// The parts of a group with these targets.
    pub fn new(
        group: &TargetGroup,
        tls: Option<Arc<rustls::ClientConfig>>,
        targets: Vec<Arc<TargetState>>,
    ) -> Self {
        let state = GroupState::new(group, &targets);
        Self {
            tls,
            own_tls: Vec::new(),
            targets,
            numbers: group.target_numbers(),
            state,
        }
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
    /// The listener with this id and what was made for it. `None` only for an id of another snapshot.
    pub fn listener(&self, id: ListenerId) -> Option<(&Listener, &ListenerParts)> {
        Some((
            self.snapshot.listeners.get(id.index())?,
            self.listeners.get(id.index())?,
        ))
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
