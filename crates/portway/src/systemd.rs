//! What this process and systemd say to each other: notifications (sd_notify(3)), sockets that systemd listens on
//! (sd_listen_fds(3)) and its watchdog (sd_watchdog_enabled(3)). Nothing of it where systemd did not start the process so.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use portway_control::bind::Handover;
use portway_control::install::Running;
use portway_control::supervisor::{Doing, Pulses};
use rustix::time::{ClockId, clock_gettime};

/// The first descriptor of those that systemd leaves (`SD_LISTEN_FDS_START`).
const FIRST_SOCKET: i32 = 3;

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

/// Tells it what this process does.
pub(crate) fn supervise(doing: Doing) {
    match doing {
        Doing::Serving(line) => tell(&format!("READY=1\nSTATUS={line}")),
        Doing::Reloading => reloading(),
        Doing::Stopping(line) => tell(&format!("STOPPING=1\nSTATUS={line}")),
        Doing::LeftTo(process) => tell(&format!("MAINPID={process}")),
    }
}

/// Tells that a reload has begun, and when: `Type=notify-reload` tells it so from those before it asked.
pub(crate) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// True where what this variable goes with is for this process: it has its number, or none where that is `unsaid`.
fn is_for_us(name: &str, unsaid: bool) -> bool {
    match std::env::var_os(name) {
        Some(_) => number(name) == Some(std::process::id().into()),
        None => unsaid,
    }
}

/// The sockets that systemd listens on for this process. `inherited`: for one that it took over from, with which it has them too.
pub(crate) fn sockets(inherited: bool) -> Handover {
    let count = number("LISTEN_FDS").filter(|_| is_for_us("LISTEN_PID", inherited));
    let count = count.unwrap_or(0);
    let count = i32::try_from(count).unwrap_or(0);
    Handover::of_numbers(FIRST_SOCKET..FIRST_SOCKET.saturating_add(count))
}

/// Leaves to the process that takes over from this one what is for this one, whose number is not its own. `inherited`: this one has it
/// from another.
pub(crate) fn succeed(command: &mut Command, inherited: bool) {
    for (number, what, unsaid) in [
        ("LISTEN_PID", "LISTEN_FDS", inherited),
        ("WATCHDOG_PID", "WATCHDOG_USEC", true),
    ] {
        if !is_for_us(number, unsaid) {
            command.env_remove(what);
        }
        command.env_remove(number);
    }
}

/// Tells the watchdog, at twice its pace, that control and every worker of this process move: control by doing so. What hangs is
/// told in the log, and systemd ends the process then.
pub(crate) async fn watchdog(running: Arc<Running>) {
    let Some(period) = watchdog_period() else {
        return;
    };
    let mut looks = tokio::time::interval(period / 2);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = Pulses::default();
    let mut told = false;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            // The process that serves has the watchdog from now on.
            _ = running.is_succeeded() => return,
        }
        let hanging = running.hanging_workers(&mut seen);
        if hanging.is_empty() {
            told = false;
            tell("WATCHDOG=1");
        } else if !told {
            told = true;
            tracing::error!(
                "workers {hanging:?} hang: the watchdog of systemd is not told that all is well"
            );
        }
    }
}

fn watchdog_period() -> Option<Duration> {
    // Without a number it is for whoever reads it: so for the process that took over.
    let is_for_us = is_for_us("WATCHDOG_PID", true);
    let period = number("WATCHDOG_USEC").filter(|period| is_for_us && *period > 1)?;
    Some(Duration::from_micros(period))
}
