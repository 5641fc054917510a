//! Idle connections to one target, on one worker.
//!
//! Last in, first out: the connection used last is the least likely to have been closed. A connection is handed out
//! only if no sign of its end has come; for a request that must not be repeated the kernel is asked.

use crate::stream::Stream;
use std::cell::RefCell;
use std::collections::VecDeque;

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<VecDeque<Idle>>,
    limit: usize,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    /// The name that was sent in the TLS handshake.
    server_name: Option<Box<str>>,
    since: u64,
}

impl Pool {
    /// A pool that keeps at most `limit` connections.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            idle: RefCell::default(),
            limit,
        }
    }

    /// A connection for the next request, opened with this server name. `surely`: the kernel is asked whether it is
    /// still open.
    pub(crate) fn take(&self, server_name: Option<&str>, surely: bool) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let fits = |one: &Idle| one.server_name.as_deref() == server_name;
            let found = match idle.back() {
                Some(last) if fits(last) => idle.pop_back(),
                _ => {
                    let index = idle.iter().rposition(fits)?;
                    idle.remove(index)
                }
            }?;
            if !found.stream.has_ended(surely) {
                return Some(found.stream);
            }
        }
    }

    /// Keeps a connection whose last exchange is over; `now` in ticks.
    pub(crate) fn put(&self, stream: Stream, server_name: Option<&str>, now: u64) {
        let mut idle = self.idle.borrow_mut();
        if self.limit == 0 {
            return;
        }
        if idle.len() >= self.limit {
            idle.pop_front();
        }
        idle.push_back(Idle {
            stream,
            server_name: server_name.map(Into::into),
            since: now,
        });
    }

    /// Closes what has waited since before `oldest`.
    pub(crate) fn expire(&self, oldest: u64) {
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|one| one.since < oldest) {
            idle.pop_front();
        }
    }
}
