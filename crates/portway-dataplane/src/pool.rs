//! Idle connections to one target, on one worker.
//!
//! Last in, first out: the connection used last is the least likely to have been closed. A connection is handed out
//! only if no sign of its end has come; for a request that must not be repeated the kernel is asked.

use crate::stream::Stream;
use portway_model::settings::ConnectionReuse;
use portway_telemetry::metrics::TargetMetrics;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<VecDeque<Idle>>,
    limit: usize,
    reuse: ConnectionReuse,
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
    /// It has served more than one exchange.
    proven: bool,
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
    /// A pool that keeps at most `limit` connections and gives them out as `reuse` says.
    pub(crate) fn new(limit: usize, reuse: ConnectionReuse, metrics: Arc<TargetMetrics>) -> Self {
        Self {
            idle: RefCell::default(),
            limit,
            reuse,
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
            proven: false,
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// True where clients' connections keep their connections to themselves, as [`Own`].
    pub(crate) fn is_private(&self) -> bool {
        self.reuse == ConnectionReuse::Never
    }

    /// Whether an exchange may have this connection, which served others; `first`: it is the first of its client's
    /// connection.
    fn lends(&self, link: &Link, first: bool) -> bool {
        match self.reuse {
            ConnectionReuse::Never => false,
            ConnectionReuse::Safe => !first,
            ConnectionReuse::Aggressive => !first || link.proven,
            ConnectionReuse::Always => true,
        }
    }

    /// The link for another exchange, unless it has ended.
    fn again(&self, mut link: Link, surely: bool) -> Option<Link> {
        if link.stream.has_ended(surely) {
            return None;
        }
        self.metrics.connections_reused.add(1);
        link.proven = true;
        Some(link)
    }

    /// A connection for the next request, opened in this way. `first`: the request is the first of its client's connection.
    /// `surely`: the kernel is asked whether it is still open.
    pub(crate) fn take(&self, way: &Way, first: bool, surely: bool) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let fits = |one: &Idle| one.link.way == *way && self.lends(&one.link, first);
            let found = match idle.back() {
                Some(last) if fits(last) => idle.pop_back(),
                _ => {
                    let index = idle.iter().rposition(fits)?;
                    idle.remove(index)
                }
            }?;
            if let Some(link) = self.again(found.link, surely) {
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
        idle.push_back(self.idle(link, now));
        !full
    }

    fn idle(&self, link: Link, now: u64) -> Idle {
        self.metrics.connections_idle.up();
        Idle {
            link,
            since: now,
            _counted: Counted(Arc::clone(&self.metrics)),
        }
    }

    /// Closes what has waited since before `oldest`.
    pub(crate) fn expire(&self, oldest: u64) {
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|one| one.since < oldest) {
            idle.pop_front();
        }
    }
}

/// Connections to targets that only one client's connection may have, and that end with it.
#[derive(Default)]
pub(crate) struct Own(RefCell<VecDeque<(Rc<Pool>, Idle)>>);

/// Connections that a client's connection keeps to itself: those of the last targets it had. As many as HAProxy keeps
/// (`max-session-srv-conns`).
const MAX_OWN: usize = 5;

impl Own {
    /// As [`Pool::take`].
    pub(crate) fn take(&self, pool: &Rc<Pool>, way: &Way, surely: bool) -> Option<Link> {
        let mut own = self.0.borrow_mut();
        let fits = |(of, idle): &(Rc<Pool>, Idle)| Rc::ptr_eq(of, pool) && idle.link.way == *way;
        let index = own.iter().position(fits)?;
        let (_, idle) = own.remove(index)?;
        pool.again(idle.link, surely)
    }

    /// As [`Pool::put`].
    pub(crate) fn put(&self, pool: &Rc<Pool>, link: Link, now: u64) -> bool {
        let mut own = self.0.borrow_mut();
        let full = own.len() >= MAX_OWN;
        if full {
            own.pop_front();
        }
        own.push_back((Rc::clone(pool), pool.idle(link, now)));
        !full
    }
}
