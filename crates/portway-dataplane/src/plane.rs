//! A snapshot with everything that could fail already made: what control installs and workers run.
//!
//! Leaves to control: reading files, building TLS configurations, binding sockets, probing targets.

use crate::access_log::LogSink;
use crate::live::{ListenerState, ProcessState, TargetState};
use crate::service::Services;
use portway_core::route::Router;
use portway_model::snapshot::{GroupId, Listener, ListenerId, Snapshot, TargetGroup};
use portway_telemetry::metrics::Registry;
use std::sync::Arc;

/// All that a worker needs to serve.
pub struct Plane {
    /// The compiled configuration.
    pub snapshot: Arc<Snapshot>,
    /// By [`ListenerId`].
    pub listeners: Vec<ListenerParts>,
    /// By [`GroupId`].
    pub groups: Vec<GroupParts>,
    /// Counters.
    pub metrics: Arc<Registry>,
    /// Connections of clients at most, all listeners together: as configured, or what the limit of descriptors leaves.
    pub max_connections: u32,
    /// What the process is doing.
    pub process: Arc<ProcessState>,
    /// Who answers what rules leave to Portway itself.
    pub services: Services,
}

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
    /// Contents of error pages: status and body, or the whole response where it begins with `HTTP/`.
    pub error_pages: Vec<(u16, Arc<[u8]>)>,
}

/// What control made for one target group.
pub struct GroupParts {
    /// `Some` exactly where TLS is spoken to targets.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Live state by index of the target.
    pub targets: Vec<Arc<TargetState>>,
}

impl Plane {
    /// The listener with this id and what was made for it. `None` only for an id of another snapshot.
    pub fn listener(&self, id: ListenerId) -> Option<(&Listener, &ListenerParts)> {
        Some((
            self.snapshot.listeners.get(id.index())?,
            self.listeners.get(id.index())?,
        ))
    }

    /// The group with this id and what was made for it. `None` only for an id of another snapshot.
    pub fn group(&self, id: GroupId) -> Option<(&TargetGroup, &GroupParts)> {
        Some((
            self.snapshot.groups.get(id.index())?,
            self.groups.get(id.index())?,
        ))
    }
}
