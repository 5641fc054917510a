//! How the system watches over connections for us: probes of silent ones, and how long what was sent may stay unacknowledged.

use crate::connection::Connection;
use crate::stream::Stream;
use portway_model::snapshot::{Target, TargetGroup};
use portway_model::tcp::{KeepAliveTimes, TcpKeepAlive, TcpWatch};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::os::fd::AsFd;

/// Lets the system probe a TCP socket when it is silent.
fn probe(socket: &impl AsFd, times: KeepAliveTimes) -> io::Result<()> {
    let mut wanted = TcpKeepalive::new();
    if let Some(idle) = times.idle {
        wanted = wanted.with_time(idle);
    }
    if let Some(interval) = times.interval {
        wanted = wanted.with_interval(interval);
    }
    if let Some(count) = times.count {
        wanted = wanted.with_retries(count.into());
    }
    SockRef::from(socket).set_tcp_keepalive(&wanted)
}

/// What a socket of a connection to this target needs before it connects (its first packet counts too); `None`: nothing.
pub(crate) fn towards(group: &TargetGroup, target: Option<&Target>) -> Option<TcpWatch> {
    let own = target.and_then(|target| target.tcp_user_timeout);
    let watch = TcpWatch {
        user_timeout: own.or(group.tcp.user_timeout),
        ..group.tcp
    };
    let asked = matches!(watch.keep_alive, TcpKeepAlive::All(_)) || watch.user_timeout.is_some();
    asked.then_some(watch)
}

/// Sets a socket up.
///
/// # Errors
/// The socket is not one of TCP.
pub fn watch(socket: &impl AsFd, watch: &TcpWatch) -> io::Result<()> {
    if let TcpKeepAlive::All(times) = watch.keep_alive {
        probe(socket, times)?;
    }
    match watch.user_timeout {
        Some(limit) => SockRef::from(socket).set_tcp_user_timeout(Some(limit)),
        None => Ok(()),
    }
}

/// Both connections carry a tunnel from now on.
pub(crate) fn tunnel_begins(
    connection: &Connection,
    downstream: &Stream,
    (group, upstream): (&TargetGroup, &Stream),
) {
    let listener = connection.generation.plane.listener(connection.listener);
    let clients = listener.map(|(listener, _)| listener.socket.tcp.keep_alive);
    let sides = [
        (clients, downstream),
        (Some(group.tcp.keep_alive), upstream),
    ];
    for (keep_alive, stream) in sides {
        if keep_alive == Some(TcpKeepAlive::Tunnels)
            && let Some(socket) = stream.tcp()
        {
            // Without probes it lives on timeouts, as it did before.
            let _ = probe(socket, KeepAliveTimes::OURS);
        }
    }
}
