//! Idle connections to one target.
//!
//! Each worker keeps its own on a shelf. Last in, first out: the connection used last is the least likely to have been
//! closed. A connection is handed out only if no sign of its end has come; for a request that must not be repeated the
//! kernel is asked. A worker with none that fits takes one from another worker's shelf (`docs/adr/0012`).

use crate::live::TargetState;
use crate::scarce;
use crate::stream::{Parked, Stream};
use portway_model::life::ConnectionLife;
use portway_model::settings::ConnectionReuse;
use portway_telemetry::metrics::TargetMetrics;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError, Weak};
use std::time::Duration;

/// What a worker keeps of a target, and its way to what the others keep.
#[derive(Debug)]
pub(crate) struct Pool {
    shelf: Arc<Shelf>,
    target: Arc<TargetState>,
    keeping: Keeping,
    metrics: Arc<TargetMetrics>,
}

/// How connections of a group are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// Those of all workers together that are kept.
    pub(crate) limit: usize,
    /// Who may have one.
    pub(crate) reuse: ConnectionReuse,
    /// How long one is used.
    pub(crate) life: ConnectionLife,
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
    /// The address that it borrows, and its port or 0.
    pub(crate) source: Option<Box<SocketAddr>>,
}

/// An open connection to a target, counted while it lives.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    way: Way,
    age: Age,
    open: Open,
    descriptor: scarce::Upstream,
}

/// How much a connection was used.
#[derive(Debug, Clone, Copy)]
struct Age {
    /// Exchanges that it served, with the one of now.
    exchanges: u32,
    /// The tick at which it was made.
    born: u32,
}

impl Age {
    /// It has served more than one exchange.
    fn is_proven(self) -> bool {
        self.exchanges > 1
    }
}

/// Counts an open connection, unless another counts it from now on.
#[derive(Debug)]
struct Open(Option<Arc<TargetMetrics>>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(metrics) = &self.0 {
            metrics.connections_open.down();
        }
    }
}

/// A connection on a shelf. It carries no counters: a worker counts in its own, and which will take it is not known.
#[derive(Debug)]
struct Idle {
    stream: Parked,
    way: Way,
    age: Age,
    since: u64,
    descriptor: scarce::Upstream,
}

/// The idle connections of one worker. The lock is free but for the moments in which another worker looks.
#[derive(Debug, Default)]
struct Shelf(Mutex<VecDeque<Idle>>);

/// The shelves of all workers, and how many connections lie on them.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    all: RwLock<Vec<Weak<Shelf>>>,
    idle: AtomicUsize,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Shelf::lock`], unless somebody is at it.
    fn try_lock(&self) -> Option<MutexGuard<'_, VecDeque<Idle>>> {
        match self.0.try_lock() {
            Ok(idle) => Some(idle),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Takes the last that fits.
fn take_last(idle: &mut VecDeque<Idle>, fits: impl Fn(&Idle) -> bool) -> Option<Idle> {
    match idle.back() {
        Some(last) if fits(last) => idle.pop_back(),
        _ => {
            let index = idle.iter().rposition(fits)?;
            idle.remove(index)
        }
    }
}

impl Shelves {
    /// A shelf for another worker. Those of workers that are gone make room.
    fn another(&self) -> Arc<Shelf> {
        let shelf = Arc::default();
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&shelf));
        shelf
    }

    /// Counts one more, unless there are `limit` already.
    fn count(&self, limit: usize) -> bool {
        let more = |idle: usize| (idle < limit).then_some(idle + 1);
        let counted = self
            .idle
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.is_ok()
    }

    /// Takes one that fits from a shelf that is not `own` and that nobody is at.
    fn take_from_others(
        &self,
        own: &Arc<Shelf>,
        fits: impl Fn(&Idle) -> bool + Copy,
    ) -> Option<Idle> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let others = all.iter().filter(|one| one.as_ptr() != Arc::as_ptr(own));
        let mut others = others.filter_map(Weak::upgrade);
        others.find_map(|shelf| take_last(&mut *shelf.try_lock()?, fits))
    }
}

impl Pool {
    /// A pool that keeps connections so.
    pub(crate) fn new(
        keeping: Keeping,
        target: &Arc<TargetState>,
        metrics: Arc<TargetMetrics>,
    ) -> Self {
        Self {
            shelf: target.shelves().another(),
            target: Arc::clone(target),
            keeping,
            metrics,
        }
    }

    /// Whose connections these are.
    pub(crate) fn target(&self) -> &Arc<TargetState> {
        &self.target
    }

    /// How it keeps them.
    pub(crate) fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// What this worker counts for the target.
    pub(crate) fn metrics(&self) -> &Arc<TargetMetrics> {
        &self.metrics
    }

    /// Counts a connection that was just made.
    /// `born`: the tick of now.
    pub(crate) fn opened(&self, stream: Stream, way: Way, born: u32) -> Link {
        self.metrics.connections.add(1);
        self.metrics.connections_open.up();
        let age = Age { exchanges: 1, born };
        let tls = matches!(stream, Stream::Tls(_));
        self.link(stream, way, age, scarce::Upstream::new(tls))
    }

    fn link(&self, stream: Stream, way: Way, age: Age, descriptor: scarce::Upstream) -> Link {
        Link {
            stream,
            way,
            age,
            open: Open(Some(Arc::clone(&self.metrics))),
            descriptor,
        }
    }

    /// True where clients' connections keep their connections to themselves, as [`Own`].
    pub(crate) fn is_private(&self) -> bool {
        self.keeping.reuse == ConnectionReuse::Never
    }

    /// Whether an exchange may have a connection that served others; `first`: it is the first of its client's connection.
    fn lends(&self, proven: bool, first: bool) -> bool {
        match self.keeping.reuse {
            ConnectionReuse::Never => false,
            ConnectionReuse::Safe => !first,
            ConnectionReuse::Aggressive => !first || proven,
            ConnectionReuse::Always => true,
        }
    }

    /// The link for another exchange, unless it has ended.
    fn again(&self, mut link: Link, surely: bool) -> Option<Link> {
        if link.stream.has_ended(surely) {
            return None;
        }
        self.metrics.connections_reused.add(1);
        link.age.exchanges = link.age.exchanges.saturating_add(1);
        Some(link)
    }

    /// What was on a shelf is this worker's.
    fn taken(&self, idle: Idle) -> Link {
        let shelves = self.target.shelves();
        shelves.idle.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections_idle.down();
        self.link(idle.stream.into(), idle.way, idle.age, idle.descriptor)
    }

    /// A connection for the next request, opened in this way. `first`: the request is the first of its client's connection.
    /// `surely`: the kernel is asked whether it is still open.
    pub(crate) fn take(&self, way: &Way, first: bool, surely: bool) -> Option<Link> {
        if !self.lends(true, first) {
            return None;
        }
        let fits = |one: &Idle| one.way == *way && self.lends(one.age.is_proven(), first);
        loop {
            // The lock is given back before the kernel is asked.
            let found = take_last(&mut self.shelf.lock(), fits);
            let Some(idle) = found else { break };
            let link = self.again(self.taken(idle), surely);
            if link.is_some() {
                return link;
            }
        }
        loop {
            let shelves = self.target.shelves();
            let idle = shelves.take_from_others(&self.shelf, fits)?;
            // What this worker's runtime knows of it begins now: only the kernel knows whether it is open.
            let link = self.taken(idle).moved_here().ok();
            let link = link.and_then(|link| self.again(link, true));
            if link.is_some() {
                return link;
            }
        }
    }

    /// True where the connection has served its last exchange.
    pub(crate) fn wears_out(&self, link: &Link, age_of: impl FnOnce(u32) -> Duration) -> bool {
        let Age { exchanges, born } = link.age;
        self.keeping.life.ends_with(exchanges, || age_of(born))
    }

    /// Keeps a connection whose last exchange is over; `now` in ticks. False where there are enough: then it is closed.
    pub(crate) fn put(&self, link: Link, now: u64) -> bool {
        if !self.target.shelves().count(self.keeping.limit) {
            return false;
        }
        let Some(idle) = link.idle(now) else {
            self.target.shelves().idle.fetch_sub(1, Ordering::Relaxed);
            return false;
        };
        self.shelf.lock().push_back(idle);
        self.metrics.connections_idle.up();
        true
    }

    /// Closes what has waited since before `oldest`.
    pub(crate) fn expire(&self, oldest: u64) {
        self.close(|idle| idle.since < oldest);
    }

    /// Closes the oldest, `most` at most; how many.
    pub(crate) fn close_oldest(&self, most: u32) -> u32 {
        let left = Cell::new(most);
        self.close(|_| {
            let goes = left.get() > 0;
            left.set(left.get().saturating_sub(1));
            goes
        });
        most - left.get()
    }

    /// Closes the oldest for as long as they are to go.
    fn close(&self, goes: impl Fn(&Idle) -> bool) {
        loop {
            // The lock is given back before a socket is closed.
            let gone = self.shelf.lock().pop_front_if(|idle| goes(idle));
            match gone {
                Some(idle) => drop(self.taken(idle)),
                None => break,
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close(|_| true);
    }
}

impl Link {
    /// What is left of it on a shelf; whoever takes it from there counts it. `None`: it is not one that can lie there.
    fn idle(mut self, since: u64) -> Option<Idle> {
        let stream = self.stream.parked()?;
        self.open.0 = None;
        Some(Idle {
            stream,
            way: self.way,
            age: self.age,
            since,
            descriptor: self.descriptor,
        })
    }

    /// The link with its socket in this thread's runtime.
    fn moved_here(self) -> io::Result<Self> {
        let stream = self.stream.moved_here()?;
        Ok(Self { stream, ..self })
    }
}

/// Connections to targets that only one client's connection may have, and that end with it.
#[derive(Default)]
pub(crate) struct Own(RefCell<VecDeque<(Rc<Pool>, Link, Waiting)>>);

/// Counts an idle connection that is on no shelf.
struct Waiting(Arc<TargetMetrics>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.connections_idle.down();
    }
}

/// Connections that a client's connection keeps to itself: those of the last targets it had. As many as HAProxy keeps
/// (`max-session-srv-conns`).
const MAX_OWN: usize = 5;

impl Own {
    /// As [`Pool::take`].
    pub(crate) fn take(&self, pool: &Rc<Pool>, way: &Way, surely: bool) -> Option<Link> {
        let mut own = self.0.borrow_mut();
        let mut all = own.iter();
        let index = all.position(|(of, link, _)| Rc::ptr_eq(of, pool) && link.way == *way)?;
        let (_, link, _) = own.remove(index)?;
        pool.again(link, surely)
    }

    /// As [`Pool::put`].
    pub(crate) fn put(&self, pool: &Rc<Pool>, link: Link) -> bool {
        let mut own = self.0.borrow_mut();
        let full = own.len() >= MAX_OWN;
        if full {
            own.pop_front();
        }
        pool.metrics.connections_idle.up();
        let waiting = Waiting(Arc::clone(&pool.metrics));
        own.push_back((Rc::clone(pool), link, waiting));
        !full
    }
}
