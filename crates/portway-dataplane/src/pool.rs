//! Idle connections to one target, on one worker.
//!
//! Last in, first out: the connection used last is the least likely to have been closed. A connection is handed out
//! only if no sign of its end has come; for a request that must not be repeated the kernel is asked.

use crate::stream::Stream;
use portway_telemetry::metrics::TargetMetrics;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<VecDeque<Idle>>,
    limit: usize,
    metrics: Arc<TargetMetrics>,
}

/// How a connection was made; one made in another way is not used. A target may come to have another address, and
/// where clients' own destinations are the addresses each has many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// `None` for a UNIX socket.
    pub(crate) address: Option<SocketAddr>,
    /// The name that is sent in the TLS handshake.
    pub(crate) server_name: Option<Box<str>>,
    /// The header of the PROXY protocol that it began with: what it carries is believed to be of this client.
    pub(crate) proxy_header: Option<Box<[u8]>>,
}

/// An open connection to a target, counted while it lives.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    way: Way,
    metrics: Arc<TargetMetrics>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: u64,
    _counted: Counted,
}

/// Counts an idle connection.
#[derive(Debug)]
struct Counted(Arc<TargetMetrics>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections_idle.down();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.metrics.connections_open.down();
    }
}

impl Pool {
    /// A pool that keeps at most `limit` connections.
    pub(crate) fn new(limit: usize, metrics: Arc<TargetMetrics>) -> Self {
        Self {
            idle: RefCell::default(),
            limit,
            metrics,
        }
    }

    /// What this worker counts for the target.
    pub(crate) fn metrics(&self) -> &Arc<TargetMetrics> {
        &self.metrics
    }

    /// Counts a connection that was just made.
    pub(crate) fn opened(&self, stream: Stream, way: Way) -> Link {
        self.metrics.connections.add(1);
        self.metrics.connections_open.up();
        Link {
            stream,
            way,
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// A connection for the next request, opened in this way. `surely`: the kernel is asked whether it is still open.
    pub(crate) fn take(&self, way: &Way, surely: bool) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let fits = |one: &Idle| one.link.way == *way;
            let found = match idle.back() {
                Some(last) if fits(last) => idle.pop_back(),
                _ => {
                    let index = idle.iter().rposition(fits)?;
                    idle.remove(index)
                }
            }?;
            let link = found.link;
            if !link.stream.has_ended(surely) {
                self.metrics.connections_reused.add(1);
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose last exchange is over; `now` in ticks. False where another had to go for it, or none
    /// is kept.
    pub(crate) fn put(&self, link: Link, now: u64) -> bool {
        let mut idle = self.idle.borrow_mut();
        if self.limit == 0 {
            return false;
        }
        let full = idle.len() >= self.limit;
        if full {
            idle.pop_front();
        }
        self.metrics.connections_idle.up();
        idle.push_back(Idle {
            link,
            since: now,
            _counted: Counted(Arc::clone(&self.metrics)),
        });
        !full
    }

    /// Closes what has waited since before `oldest`.
    pub(crate) fn expire(&self, oldest: u64) {
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|one| one.since < oldest) {
            idle.pop_front();
        }
    }
}
