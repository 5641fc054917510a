//! Descriptors are scarce: who gets them, and who has to let go first.
//!
//! What is established goes on before anything new begins. A client that is let in may need a second descriptor, towards its
//! target, so that one counts from the beginning ([`room_for_another`]). Where there is no room for another client, what only
//! waits is closed first: pipes and connections to targets that nobody uses, then clients that wait for their next request, the oldest
//! first ([`make_room`]). Only where nothing waits does the new client, in the queue of the kernel. A connection to a target that
//! finds no descriptor all the same is tried again for as long as it has time ([`with_patience`]).

use crate::live::ProcessState;
use crate::pipe;
use crate::source;
use crate::worker::Worker;
use portway_telemetry::metrics::Limit;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Connections to targets that are open, all workers together. Descriptors are of the process, and so is this count.
static UPSTREAM: AtomicU32 = AtomicU32::new(0);

/// Those of them over TLS.
static UPSTREAM_TLS: AtomicU32 = AtomicU32::new(0);

/// Between two attempts to get a descriptor, or two looks whether there is one: some exchange may have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// So many connections that wait a worker closes at once: what it closes on a tick is soon enough for those that come, and a
/// crowd of clients is not sent away for one.
const AT_ONCE: u32 = 32;

/// An open connection to a target.
#[derive(Debug)]
pub(crate) struct Upstream {
    tls: bool,
}

impl Upstream {
    /// Counts one, as long as what this gives lives.
    pub(crate) fn new(tls: bool) -> Self {
        UPSTREAM.fetch_add(1, Ordering::Relaxed);
        UPSTREAM_TLS.fetch_add(u32::from(tls), Ordering::Relaxed);
        Self { tls }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        UPSTREAM.fetch_sub(1, Ordering::Relaxed);
        UPSTREAM_TLS.fetch_sub(u32::from(self.tls), Ordering::Relaxed);
    }
}

/// Clients that are being served, and streams that are.
pub(crate) fn busy(process: &ProcessState) -> u32 {
    let clients = process.open_connections();
    let busy = clients.saturating_sub(process.resting());
    busy.saturating_add_signed(process.streams_beside())
}

/// Connections to targets that are open.
pub(crate) fn upstream() -> u32 {
    UPSTREAM.load(Ordering::Relaxed)
}

/// Those of them over TLS.
pub(crate) fn upstream_tls() -> u32 {
    UPSTREAM_TLS.load(Ordering::Relaxed)
}

/// True where another client has room, and so has the connection to a target that it may need.
pub(crate) fn room_for_another(process: &ProcessState) -> bool {
    let limit = process.descriptors();
    if limit == 0 {
        return true;
    }
    let clients = process.open_connections();
    // Each that is being served has one to a target, or may want one.
    let upstream = upstream().max(busy(process));
    let taken = clients.saturating_add(upstream);
    taken.saturating_add(pipe::descriptors()).saturating_add(2) <= limit
}

impl ProcessState {
    /// Has every worker close what only waits.
    pub(crate) fn ask_for_room(&self) {
        self.room_asked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn room_asked(&self) -> u32 {
        self.room_asked.load(Ordering::Relaxed)
    }
}

/// Closes what only waits on this worker, and has the others do the same at their next tick.
pub(crate) fn make_room(worker: &Worker) {
    worker.process().ask_for_room();
    close_waiting(worker);
}

/// Closes what only waits on this worker. Where that is nothing it is not looked for again before the next tick.
pub(crate) fn close_waiting(worker: &Worker) {
    let now = worker.timers.now();
    if worker.nothing_waits_at.get() == now {
        return;
    }
    if worker.buffers.pipes.clear() {
        return;
    }
    let closed = worker.close_idle_upstream(AT_ONCE);
    if closed == 0 && worker.timers.expire_oldest_resting(AT_ONCE) == 0 {
        worker.nothing_waits_at.set(now);
    }
}

/// True for an error that says nothing of the other side: this machine or process has not what a connection takes.
pub fn is_of_ours(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        // No port is left of the addresses that a connection may come from.
        Errno::ADDRNOTAVAIL,
        Errno::ADDRINUSE,
    ];
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|it| ours.contains(&it)) || source::lack(error).is_some()
}

/// True where there are no more descriptors.
pub(crate) fn is_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// Opens a connection to a target; where there is no descriptor, again once there may be one. Whoever asks sets the limit of time;
/// `lack` remembers the error for when it is over.
pub(crate) async fn with_patience<T, F: Future<Output = io::Result<T>>>(
    worker: &Worker,
    lack: &Cell<Option<io::Error>>,
    mut open: impl FnMut() -> F,
) -> io::Result<T> {
    loop {
        match open().await {
            Err(error) if is_of_descriptors(&error) => lack.set(Some(error)),
            other => {
                lack.set(None);
                return other;
            }
        }
        worker.metrics().limit_reached(Limit::FileDescriptors);
        make_room(worker);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_twice_unless_it_rests() {
        let process = ProcessState::default();
        assert!(room_for_another(&process));
        let listener = crate::live::ListenerState::default();
        for _ in 0..10 {
            assert!(crate::live::enter((&process, 0), (&listener, 0)).is_ok());
        }
        for (limit, resting, expected) in
            [(22, 0, true), (21, 0, false), (16, 6, true), (15, 6, false)]
        {
            process.set_descriptors(limit);
            process.count_resting(resting, 0);
            assert_eq!(room_for_another(&process), expected, "{limit} {resting}");
            process.count_resting(-resting, 0);
        }
        // One of them has five streams, another one.
        process.count_resting(0, 4);
        for (limit, expected) in [(26, true), (25, false)] {
            process.set_descriptors(limit);
            assert_eq!(room_for_another(&process), expected, "{limit}");
        }
    }

    #[test]
    fn what_is_our_own_lack() {
        use io::ErrorKind;
        for (number, expected) in [
            (24, true),
            (23, true),
            (105, true),
            (12, true),
            (99, true),
            (111, false),
            (113, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(is_of_ours(&error), expected, "{error}");
        }
        assert!(!is_of_ours(&ErrorKind::TimedOut.into()));
    }
}
