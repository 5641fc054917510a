//! What this process and systemd say to each other: notifications (sd_notify(3)), sockets that systemd listens on
//! (sd_listen_fds(3)) and its watchdog (sd_watchdog_enabled(3)). Nothing of it where systemd did not start the process so.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells systemd what this process does, such as `READY=1`: a line each.
pub(crate) fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let told = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!("cannot tell systemd `{state}`: {error}");
    }
}

/// Another process is the main one of the service from now on.
pub(crate) fn leave_to(process: u32) {
    tell(&format!("MAINPID={process}"));
}
