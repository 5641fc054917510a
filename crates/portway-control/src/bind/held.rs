//! The addresses that this process listens on already: what the next configuration wants of them too is left alone.

use std::collections::HashMap;
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
            sockets: HashMap::new(),
        }
    }

    pub(super) fn new_id(&mut self) -> SocketId {
        self.count += 1;
        SocketId(self.count)
    }

    pub(super) fn keep(&mut self, wanted: &Wanted<'_>, id: SocketId) {
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
        let in_the_way = |place: &Place| match (place, &wanted.place) {
            (
                Place::Tcp { ip, port },
                Place::Tcp {
                    ip: other,
                    port: at,
                },
            ) => port == at && (ip == other || all(ip) || all(other)),
            (Place::Unix(socket), Place::Unix(other)) => socket.path == other.path,
            _ => false,
        };
        self.sockets.keys().any(|it| in_the_way(&it.place))
    }
}
