//! Whether a listener listens whose gate was opened, and who is in its way where it cannot.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_dataplane::live::{Gate, ListenerState};
use portway_dataplane::plane::Plane;
use portway_dataplane::worker::{BoundSocket, Socket};
use portway_model::address::BindAddress;
use portway_model::name::Name;

use crate::bind;
use crate::drain_orders::NotOrdered;
use crate::figures::Statistics;

/// How long workers are waited for: they look ten times a second.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// Has sockets of listeners that are paused listen no more, before anybody is served: so it was in the process before.
pub(crate) fn shut_paused(plane: &Plane, sockets: &[Vec<BoundSocket>]) {
    for bound in sockets.iter().flatten() {
        let place = plane.sockets.get(&bound.id);
        let parts = place.and_then(|it| plane.listener(it.listener));
        let is_paused = parts.is_some_and(|(_, it)| it.state.gate() != Gate::Open);
        if let (Socket::Tcp(socket), true) = (&bound.socket, is_paused)
            // What comes in later on one that does not listen would be shut as well.
            && rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
        {
            // One that cannot be shut is tried again by its worker.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Read);
        }
    }
}

impl Statistics {
    /// Waits until the listeners of a name listen, where they are to.
    ///
    /// # Errors
    /// They cannot: what is in the way. They go on trying.
    pub(crate) async fn listens(&self, known_as: &Name) -> Result<(), NotOrdered> {
        let Some(state) = self.state_of(known_as) else {
            return Ok(());
        };
        let begun = Instant::now();
        while state.gate() == Gate::Open && !state.all_listen() {
            let error = state.cannot_listen();
            let why = match &error {
                Some(error) => self.in_the_way(known_as, error),
                None if begun.elapsed() > PATIENCE => "its workers are too busy".to_owned(),
                None => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            };
            let error =
                format!("listener `{known_as}` is to accept again and cannot listen yet: {why}");
            tracing::warn!("{error}; it goes on trying");
            return Err(NotOrdered {
                error,
                help: Some(format!(
                    "it goes on trying: it accepts as soon as it can; `portway drain listener {known_as}` ends that"
                )),
            });
        }
        Ok(())
    }

    /// The same of a frontend of this name or number; false: it cannot, which the log explains.
    pub async fn frontend_listens(&self, name: &str) -> bool {
        let known_as = self.frontend(name);
        match known_as {
            Some(known_as) => self.listens(&known_as).await.is_ok(),
            None => true,
        }
    }

    fn frontend(&self, name: &str) -> Option<Name> {
        let installed = self.installed();
        let state = self.listener(name).ok()?;
        let listeners = installed.plane.snapshot.listeners.iter();
        let mut listeners = listeners.zip(&installed.plane.listeners);
        let found = listeners.find(|(_, parts)| Arc::ptr_eq(&parts.state, &state));
        found.map(|(it, _)| it.known_as.clone())
    }

    fn state_of(&self, known_as: &Name) -> Option<Arc<ListenerState>> {
        let installed = self.installed();
        let listeners = installed.plane.snapshot.listeners.iter();
        let mut listeners = listeners.zip(&installed.plane.listeners);
        let found = listeners.find(|(it, _)| it.known_as == *known_as);
        found.map(|(_, parts)| parts.state.clone())
    }

    fn in_the_way(&self, known_as: &Name, error: &std::io::Error) -> String {
        let installed = self.installed();
        let listeners = installed.plane.snapshot.listeners.iter();
        let binds = listeners.filter(|it| it.known_as == *known_as);
        let places = binds.flat_map(|it| it.binds.iter().filter_map(|it| place(&it.value)));
        let mut owners =
            places.filter_map(|(ip, port)| Some((ip, port, bind::other_owner(ip, port)?)));
        match owners.next() {
            Some((ip, port, owner)) => format!(
                "another program listens on {}: {owner}",
                BindAddress::tcp(ip, port)
            ),
            None => error.to_string(),
        }
    }
}

/// Of a range, its first.
fn place(bind: &BindAddress) -> Option<(Option<IpAddr>, u16)> {
    match bind {
        BindAddress::Tcp { ip, first_port, .. } => Some((*ip, *first_port)),
        BindAddress::Unix(_) | BindAddress::Inherited(_) => None,
    }
}
