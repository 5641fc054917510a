//! Memory that connections and exchanges take, held against the budget of the process.
//!
//! Counted to the byte are buffers that hold what came and is not gone yet, and the windows of encoders: that is what many slow
//! peers fill. Everything else that a client brings along is counted by what it takes as a rule. Not counted is what stands
//! whether anybody comes or not, or has a limit of its own: the program, the configuration, maps, certificates, stick tables, records
//! on their way, buffers of the kernel.
//!
//! ```text
//! 0 ─────────────── 7/8 ─────────────── whole
//!   everybody comes in │ new clients wait,   │ new requests get 503
//!                      │ copies are not made │
//! ```
//!
//! What is under way goes on at every level. Memory is counted where it is taken from the allocator and given back, so an exchange
//! whose buffers come from the worker's pool counts nothing; what lies in the pool is subtracted with each tick.

use crate::buffer::Buffers;
use crate::live::ProcessState;
use crate::scarce;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Bytes that an open connection takes as a rule, of a client or to a target: measured, see `docs/performance.md`.
pub(crate) const CONNECTION_BYTES: u64 = 1024;
/// Bytes that a TLS session takes beside its connection, as a rule: 8 KiB were measured of one that waits, the rest is for records
/// that are not whole.
pub(crate) const TLS_BYTES: u64 = 12 * 1024;
/// Bytes that an exchange takes beside its buffers, as a rule: its state, and the heads that it makes. 10 KiB were measured of a small
/// one that waits for its target.
pub(crate) const EXCHANGE_BYTES: u64 = 12 * 1024;

/// How full the budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is room.
    Free,
    /// Seven eighths are taken: new clients wait.
    Scarce,
    /// All of it is taken: new requests are turned away.
    Full,
}

impl Level {
    /// The word in status.
    pub fn word(self) -> &'static str {
        match self {
            Level::Free => "free",
            Level::Scarce => "scarce",
            Level::Full => "full",
        }
    }
}

/// What is known of memory, all workers together.
#[derive(Debug, Default)]
pub struct Memory {
    /// In bytes; 0: no limit.
    budget: AtomicU64,
    /// Buffers and encoders, as workers told last. A worker's part may be below 0 for a moment; only the sum has a meaning.
    held: AtomicI64,
    /// How often somebody had to wait or was turned away.
    reached: AtomicU32,
}

/// What is taken, by what it is taken for, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Buffers and encoders: counted.
    pub buffers: u64,
    /// Exchanges beside their buffers: estimated.
    pub exchanges: u64,
    /// Connections of clients and to targets: estimated.
    pub connections: u64,
    /// Sessions of TLS: estimated.
    pub tls: u64,
}

impl Used {
    /// All together.
    pub fn total(&self) -> u64 {
        self.buffers + self.exchanges + self.connections + self.tls
    }
}

impl Memory {
    /// Bytes that may be taken; 0: no limit.
    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// Says how many bytes may be taken; 0: no limit.
    pub fn set_budget(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }

    /// How often somebody had to wait or was turned away; it begins again behind the largest number.
    pub fn reached(&self) -> u32 {
        self.reached.load(Ordering::Relaxed)
    }

    pub(crate) fn count_reached(&self) {
        self.reached.fetch_add(1, Ordering::Relaxed);
    }

    fn count_held(&self, change: i64) {
        self.held.fetch_add(change, Ordering::Relaxed);
    }
}

impl ProcessState {
    /// What connections and exchanges take now.
    pub fn memory_used(&self) -> Used {
        let clients = self.open_connections();
        let upstream = scarce::upstream();
        let tls = self.tls_connections() + scarce::upstream_tls();
        let held = self.memory.held.load(Ordering::Relaxed);
        Used {
            buffers: u64::try_from(held).unwrap_or(0),
            exchanges: u64::from(scarce::busy(self)) * EXCHANGE_BYTES,
            connections: (u64::from(clients) + u64::from(upstream)) * CONNECTION_BYTES,
            tls: u64::from(tls) * TLS_BYTES,
        }
    }

    /// How full the budget is.
    pub fn memory_level(&self) -> Level {
        level(self.memory.budget(), self.memory_used().total())
    }

    /// True where closing all that only waits would make room for a new client.
    pub(crate) fn rest_takes_memory(&self) -> bool {
        let (clients, resting) = (self.open_connections(), self.resting());
        let idle = scarce::upstream().saturating_sub(scarce::busy(self));
        let used = self.memory_used();
        let sessions = u64::from(clients + idle).max(1);
        let rests = u64::from(resting + idle);
        let taken = rests * CONNECTION_BYTES + used.tls / sessions * rests;
        let without = used.total().saturating_sub(taken);
        level(self.memory.budget(), without) == Level::Free
    }
}

fn level(budget: u64, used: u64) -> Level {
    match budget {
        0 => Level::Free,
        _ if used >= budget => Level::Full,
        _ if used >= budget - budget / 8 => Level::Scarce,
        _ => Level::Free,
    }
}

/// What a worker has taken, and what the process knows of that.
#[derive(Debug, Default)]
pub(crate) struct Account {
    process: Arc<ProcessState>,
    /// Bytes taken from the allocator.
    taken: Cell<u64>,
    /// What the process was told.
    told: Cell<u64>,
    /// The budget was full when it was looked at last.
    full: Cell<bool>,
}

impl Account {
    pub(crate) fn new(process: Arc<ProcessState>) -> Self {
        Self {
            process,
            taken: Cell::new(0),
            told: Cell::new(0),
            full: Cell::new(false),
        }
    }

    /// True where new requests are to be turned away.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full.get() && self.look()
    }

    /// Looks how full the budget is: others may have given back since, or the budget is larger, and clients that are let in by that
    /// are served.
    #[cold]
    fn look(&self) -> bool {
        let full = self.process.memory_level() == Level::Full;
        self.full.set(full);
        full
    }

    /// So many bytes were taken from the allocator; nothing that was taken before lies idle.
    #[cold]
    pub(crate) fn take(&self, bytes: usize) {
        self.taken.set(self.taken.get() + bytes as u64);
        self.tell(0);
    }

    /// So many bytes went back to the allocator.
    pub(crate) fn give(&self, bytes: usize) {
        self.taken
            .set(self.taken.get().saturating_sub(bytes as u64));
    }

    /// Tells the process what is taken and not idle, and looks how full the budget is.
    pub(crate) fn tell(&self, idle: usize) {
        let now = self.taken.get().saturating_sub(idle as u64);
        let before = self.told.replace(now);
        if now != before {
            let change =
                i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX);
            self.process.memory.count_held(change);
        }
        self.look();
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.taken.set(0);
        self.tell(0);
    }
}

/// Memory that is no buffer, counted while this lives.
#[derive(Debug)]
pub(crate) struct Held {
    account: Rc<Buffers>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(account: &Rc<Buffers>, bytes: usize) -> Self {
        account.take(bytes);
        let account = Rc::clone(account);
        Self { account, bytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{ListenerState, enter};

    #[test]
    fn levels() {
        for (budget, used, expected) in [
            (0, u64::MAX, Level::Free),
            (800, 0, Level::Free),
            (800, 699, Level::Free),
            (800, 700, Level::Scarce),
            (800, 799, Level::Scarce),
            (800, 800, Level::Full),
            (1, 0, Level::Free),
        ] {
            assert_eq!(level(budget, used), expected, "{used} of {budget}");
        }
    }

    #[test]
    fn workers_add_up_and_leave_nothing() {
        let process = Arc::new(ProcessState::default());
        process.memory.set_budget(1000);
        let accounts = [(); 2].map(|()| Account::new(process.clone()));
        accounts[0].take(600);
        accounts[1].take(400);
        assert_eq!(process.memory_used().buffers, 1000);
        assert!(accounts[1].is_full() && !accounts[0].is_full());
        accounts[0].tell(0);
        assert!(accounts[0].is_full());
        // What lies idle is not taken.
        accounts[0].tell(500);
        assert_eq!(process.memory_used().buffers, 500);
        accounts[0].give(600);
        accounts[0].tell(0);
        assert_eq!(process.memory_used().buffers, 400);
        drop(accounts);
        assert_eq!(process.memory_used(), Used::default());
        assert_eq!(process.memory_level(), Level::Free);
    }

    #[test]
    fn who_rests_makes_room_only_where_that_helps() {
        let process = ProcessState::default();
        let listener = ListenerState::default();
        for _ in 0..100 {
            assert!(enter((&process, 0), (&listener, 0)).is_ok());
        }
        process.count_resting(100, 0);
        assert_eq!(process.memory_used().total(), 100 * CONNECTION_BYTES);
        process.memory.set_budget(100 * CONNECTION_BYTES);
        assert_eq!(process.memory_level(), Level::Full);
        assert!(process.rest_takes_memory());
        // What is held by others is not theirs to give.
        process.memory.count_held(1 << 20);
        assert!(!process.rest_takes_memory());
    }
}
