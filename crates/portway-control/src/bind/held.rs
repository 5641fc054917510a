//! The addresses that this process listens on already: what the next configuration wants of them too is left alone.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use portway_dataplane::worker::SocketId;
use portway_model::settings::SocketOptions;

use super::{Place, Wanted};

/// Addresses that are listened on, each with what its sockets are called.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// How many there have been.
    count: u64,
    /// An address that several share has sockets for each.
    sockets: HashMap<Address, Vec<SocketId>>,
    /// The addresses on each port: a range of all ports is looked up one by one.
    ports: HashMap<u16, HashSet<Option<IpAddr>>>,
    /// The paths of UNIX sockets.
    paths: HashSet<String>,
}

/// An address, and how its sockets are made where that matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Address {
    place: Place,
    options: Option<SocketOptions>,
}

impl Address {
    fn of(wanted: &Wanted<'_>) -> Self {
        Self {
            place: wanted.place.clone(),
            options: match wanted.place {
                Place::Tcp { .. } => Some(wanted.options.clone()),
                // Such a socket could not be had beside another.
                Place::Unix(_) | Place::Inherited(_) => None,
            },
        }
    }
}

impl Held {
    /// Nothing yet, of the same process.
    pub(super) fn next(&self) -> Self {
        Self {
            count: self.count,
            ..Self::default()
        }
    }

    pub(super) fn new_id(&mut self) -> SocketId {
        self.count += 1;
        SocketId(self.count)
    }

    pub(super) fn keep(&mut self, wanted: &Wanted<'_>, id: SocketId) {
        match &wanted.place {
            Place::Tcp { ip, port } => {
                self.ports.entry(*port).or_default().insert(*ip);
            }
            Place::Unix(socket) => {
                self.paths.insert(socket.path.to_string());
            }
            Place::Inherited(_) => {}
        }
        let sockets = self.sockets.entry(Address::of(wanted));
        sockets.or_default().push(id);
    }

    /// True where sockets listen there.
    pub(super) fn has(&self, wanted: &Wanted<'_>) -> bool {
        self.sockets.contains_key(&Address::of(wanted))
    }

    /// The sockets that listen there, each once.
    pub(super) fn take(&mut self, wanted: &Wanted<'_>) -> Option<SocketId> {
        let sockets = self.sockets.get_mut(&Address::of(wanted))?;
        (!sockets.is_empty()).then(|| sockets.remove(0))
    }

    /// True where sockets of ours are in the way of an address: on the same port of it, or under the same path.
    pub(super) fn is_beside(&self, wanted: &Wanted<'_>) -> bool {
        let all = |ip: &Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
        match &wanted.place {
            Place::Tcp { ip, port } => self
                .ports
                .get(port)
                .is_some_and(|held| all(ip) || held.contains(ip) || held.iter().any(all)),
            Place::Unix(socket) => self.paths.contains(socket.path.as_str()),
            Place::Inherited(_) => false,
        }
    }
}
