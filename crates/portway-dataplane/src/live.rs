//! Live state of targets, listeners and the process: what happened since, shared by workers and control.
//!
//! Control writes health and addresses; workers read them and count requests in flight. What is counted is an atomic.
//! Under locks are the address of a target, which only control ever writes, a few times a day, and which every attempt
//! and record reads; idle connections to it (`Shelves`); and variables of the process, where a rule names one.

mod answer_time;
mod aside;
mod hearing;
mod others;
mod passive;
mod in_flight;
mod weight;

use crate::digest::Digests;
use crate::live_rate::LiveRate;
use crate::memory::Memory;
use crate::observed::Observed;
pub use crate::observed::Seen;
use crate::pace::Pace;
use crate::passwords::Passwords;
use crate::pool::Shelves;
use crate::queue::{GroupState, Limits};
use crate::quota::Quotas;
use crate::sessions::RollCall;
use crate::timer::TICK;
use crate::variables::Variables;
pub(crate) use hearing::Shut;
pub use hearing::shut_sockets;
pub use in_flight::InFlight;
use others::Others;
use passive::EJECTED;
pub use passive::Passive;
use portway_core::evaluate::Fetched;
use portway_model::expression::Variable;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
pub use weight::WHOLE_SHARE;
use weight::Weight;

/// Between two events about failed handshakes with one target: every request may fail, and the log is for people.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// The health of a target as the active probe sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Not judged yet.
    Initial = 0,
    /// Takes traffic.
    Healthy = 1,
    /// Failed its checks.
    Unhealthy = 2,
    /// Takes no new traffic, finishes what it has.
    Draining = 3,
    /// Disabled, or its group is not in use.
    Unused = 4,
}

impl Health {
    /// The word in status and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Initial => "initial",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Draining => "draining",
            Health::Unused => "unused",
        }
    }

    fn from_u8(number: u8) -> Self {
        match number {
            0 => Health::Initial,
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            3 => Health::Draining,
            ejected if ejected & EJECTED != 0 => Self::from_u8(ejected & !EJECTED).while_ejected(),
            _ => Health::Unused,
        }
    }

    /// True where the target may take new traffic. A target that was not judged yet may: a configuration serves
    /// from its first moment, and a dead target costs one retry.
    pub fn is_usable(self) -> bool {
        matches!(self, Health::Initial | Health::Healthy)
    }
}

/// Rises with every change of health or weight of any target: what follows from them is worked out anew then.
static EPOCH: AtomicU64 = AtomicU64::new(0);

pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire)
}

/// No weight and no limit but that of the configuration.
pub(crate) const AS_CONFIGURED: u32 = u32::MAX;

/// What is known of one target.
#[derive(Debug)]
pub struct TargetState {
    /// Connections and requests that came to it.
    pub session_rate: LiveRate,
    health: AtomicU8,
    in_flight: AtomicU32,
    /// The most that were in flight at once.
    peak: AtomicU32,
    /// How often what the target serves was cut off.
    cuts: AtomicU32,
    address: RwLock<Option<SocketAddr>>,
    others: Others,
    weight: Weight,
    /// Exchanges that wait for it alone.
    queued: AtomicU32,
    /// Its group.
    group: OnceLock<Weak<GroupState>>,
    /// How much it may have to do.
    limits: OnceLock<Limits>,
    /// The group is told when it has room: some target of it has a limit.
    tells: AtomicBool,
    /// Handshakes that failed since the last one that was told of.
    failed_handshakes: AtomicU64,
    /// The tick of the next one that is told of.
    tell_handshake_at: AtomicU64,
    shelves: Shelves,
    /// What is counted of what it serves; nothing where its health does not depend on that.
    observed: Observed,
    /// What passive health knows, where it is asked.
    passive: OnceLock<Box<Passive>>,
    pub(crate) answer_time: answer_time::AnswerTime,
}

impl TargetState {
    /// A target in this state; `address` is `None` until its name is resolved, and for UNIX sockets.
    pub fn new(health: Health, address: Option<SocketAddr>) -> Self {
        Self {
            session_rate: LiveRate::default(),
            health: AtomicU8::new(health as u8),
            in_flight: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            cuts: AtomicU32::new(0),
            address: RwLock::new(address),
            others: Others::default(),
            weight: Weight::default(),
            queued: AtomicU32::new(0),
            group: OnceLock::new(),
            limits: OnceLock::new(),
            tells: AtomicBool::new(false),
            failed_handshakes: AtomicU64::new(0),
            tell_handshake_at: AtomicU64::new(0),
            shelves: Shelves::default(),
            observed: Observed::default(),
            passive: OnceLock::new(),
            answer_time: answer_time::AnswerTime::default(),
        }
    }

    /// Connections to it that wait for a request.
    pub(crate) fn shelves(&self) -> &Shelves {
        &self.shelves
    }

    /// Its health.
    pub fn health(&self) -> Health {
        Health::from_u8(self.health.load(Ordering::Relaxed))
    }

    /// Control says what the probe found.
    pub fn set_health(&self, health: Health) {
        // Who is ejected stays so.
        let next = |before: u8| Some(before & EJECTED | health as u8);
        let order = Ordering::Relaxed;
        let _ = self.health.fetch_update(order, order, next);
        EPOCH.fetch_add(1, Ordering::Release);
        self.tell_those_who_wait();
        if !self.health().is_usable()
            && let Some(group) = self.group.get().and_then(Weak::upgrade)
        {
            // Where it was the last that could serve, those that are ejected are wanted back at once.
            group.outlier.notify_one();
        }
    }

    /// Its health or its weight is another: it may have room, or others may serve those who wait.
    fn tell_those_who_wait(&self) {
        // Who enters the queue looks at the health after that: one of the two sees the other.
        fence(Ordering::SeqCst);
        if let Some(group) = self.group.get().and_then(Weak::upgrade) {
            group.turned();
        }
    }

    /// Exchanges that wait for it alone.
    pub fn queued(&self) -> u32 {
        self.queued.load(Ordering::SeqCst)
    }

    /// Counts one more (1) or less (−1) that waits for it alone.
    pub(crate) fn count_queued(&self, change: i32) {
        self.queued.fetch_add(change as u32, Ordering::SeqCst);
    }

    /// True where somebody may have to wait for it: it has a limit, or its group as a whole.
    pub fn may_be_waited_for(&self) -> bool {
        let group = self.group.get().and_then(Weak::upgrade);
        self.most() > 0 || group.is_some_and(|it| it.is_limited_as_a_whole())
    }

    /// It is of this group from now on.
    pub(crate) fn belong(&self, group: &Arc<GroupState>, limits: Limits) {
        // A target is of one group for as long as it lives.
        let _ = self.group.set(Arc::downgrade(group));
        if let Err(limits) = self.limits.set(limits)
            && let Some(known) = self.limits.get()
        {
            known.set(&limits);
        }
    }

    /// How much it may have to do; nothing is said before it is of a group.
    pub(crate) fn limits(&self) -> Option<&Limits> {
        self.limits.get()
    }

    /// What it may have in flight at most; 0: no limit.
    pub fn most(&self) -> u32 {
        self.limits().map_or(0, Limits::most)
    }

    /// Tells its group from now on when it has room.
    pub(crate) fn tell(&self) {
        self.tells.store(true, Ordering::SeqCst);
    }

    fn gave_back(&self, of_group: bool) {
        // A place of the group goes back whoever waits for the target.
        if (of_group || self.tells.load(Ordering::SeqCst))
            && let Some(group) = self.group.get().and_then(Weak::upgrade)
        {
            group.gave_back(self, of_group);
        }
    }

    /// As [`Self::enter`], where fewer than `limit` are in flight; 0: no limit.
    pub(crate) fn try_enter(self: &Arc<Self>, limit: u32) -> Option<InFlight> {
        // Not raised and taken back: that would hide a place from whoever looks in between.
        let raise = |before: u32| (limit == 0 || before < limit).then_some(before + 1);
        let order = (Ordering::SeqCst, Ordering::Relaxed);
        let before = self.in_flight.fetch_update(order.0, order.1, raise).ok()?;
        raise_peak(&self.peak, before + 1);
        Some(InFlight::at(self))
    }

    /// Requests (HTTP) or connections (TCP) that it is serving now, all workers together.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Ends everything that the target is serving now, on all workers, within a few ticks: the connections of its
    /// clients are closed without an answer. What comes later is not touched.
    pub fn cut_off(&self, process: &ProcessState) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        // A worker that sees this sees the other.
        process.cuts.fetch_add(1, Ordering::Release);
    }

    /// How often that was done: who remembers the number knows whether it was done since.
    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Counts one more until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> InFlight {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        raise_peak(&self.peak, before + 1);
        InFlight::at(self)
    }

    /// The most that were in flight at once since the start, or since [`Self::forget_peak`].
    pub fn peak(&self) -> u32 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Begins the peak anew with what is in flight now.
    pub fn forget_peak(&self) {
        self.peak.store(self.in_flight(), Ordering::Relaxed);
    }

    /// Counts a TLS handshake that failed at the tick `now` of a worker. `Some` where it is time to tell of it: how many
    /// failed since that was done last.
    pub(crate) fn handshake_failed(&self, now: u64) -> Option<u64> {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        let at = self.tell_handshake_at.load(Ordering::Relaxed);
        if now < at {
            return None;
        }
        let next = now + (TELL_AGAIN.as_millis() / TICK.as_millis()) as u64;
        // Of two workers that are here together one tells.
        self.tell_handshake_at
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        Some(self.failed_handshakes.swap(0, Ordering::Relaxed))
    }

    /// Says how many it may have in flight; 0: no limit.
    pub fn set_most(&self, most: u32) {
        if let Some(group) = self.group.get().and_then(Weak::upgrade) {
            group.set_most(self, most);
        }
    }

    /// The address to connect to.
    pub fn address(&self) -> Option<SocketAddr> {
        *self
            .address
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Control says what the name resolves to.
    pub fn set_address(&self, address: Option<SocketAddr>) {
        *self
            .address
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = address;
    }
}

/// Whether a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Gate {
    /// It does.
    Open = 0,
    /// Not now: who connects is refused.
    Paused = 1,
    /// Never again.
    Closed = 2,
}

/// Rises with every change of a gate: workers look at theirs then.
static GATES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn gates() -> u64 {
    GATES.load(Ordering::Acquire)
}

/// What is known of one listener.
#[derive(Debug)]
pub struct ListenerState {
    /// What is let in a second.
    pub session_pace: Pace,
    /// Connections.
    pub connection_rate: LiveRate,
    /// Requests.
    pub request_rate: LiveRate,
    open: AtomicU32,
    /// The most that were open at once.
    peak: AtomicU32,
    records: AtomicU32,
    /// The most that may be open; [`AS_CONFIGURED`] where nobody has said another.
    pub(crate) limit: AtomicU32,
    gate: AtomicU8,
    /// No exchange is to follow on its connections.
    leaving: AtomicBool,
    hearing: hearing::Hearing,
}

/// Where the connections of one listener come in. Those of one name share their state, each has its own entrance.
#[derive(Debug, Default)]
pub struct Entrance {
    /// What is known of all of that name.
    pub state: Arc<ListenerState>,
    open: AtomicU32,
}

impl Entrance {
    /// One of a listener with this state.
    pub fn new(state: Arc<ListenerState>) -> Self {
        let open = AtomicU32::new(0);
        Self { state, open }
    }

    /// Connections open that came in here, all workers together.
    pub fn open_connections(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts one that came in (1) or has ended (−1).
    pub(crate) fn count(&self, change: i32) {
        self.open.fetch_add(change as u32, Ordering::Relaxed);
    }
}

impl Default for ListenerState {
    fn default() -> Self {
        Self {
            session_pace: Pace::default(),
            connection_rate: LiveRate::default(),
            request_rate: LiveRate::default(),
            open: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            records: AtomicU32::new(0),
            limit: AtomicU32::new(AS_CONFIGURED),
            gate: AtomicU8::new(Gate::Open as u8),
            leaving: AtomicBool::new(false),
            hearing: hearing::Hearing::default(),
        }
    }
}

impl ListenerState {
    /// Counts a connection that another listener has accepted (1), or that has ended (−1).
    pub(crate) fn count(&self, change: i32) {
        self.open.fetch_add(change as u32, Ordering::Relaxed);
    }

    /// Whether it accepts.
    pub fn gate(&self) -> Gate {
        match self.gate.load(Ordering::Relaxed) {
            0 => Gate::Open,
            1 => Gate::Paused,
            _ => Gate::Closed,
        }
    }

    /// Says whether it accepts, from a few ticks on. What is closed stays closed: false then.
    pub fn set_gate(&self, gate: Gate) -> bool {
        let change = |now: u8| (now != Gate::Closed as u8).then_some(gate as u8);
        let order = Ordering::Relaxed;
        let changed = self.gate.fetch_update(order, order, change).is_ok();
        GATES.fetch_add(1, Ordering::Release);
        changed
    }

    /// True where no exchange is to follow on its connections: answers say so.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Says whether an exchange is to follow.
    pub fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Connections at most, where `configured` is what the configuration says; 0: no limit.
    pub fn limit(&self, configured: u32) -> u32 {
        match self.limit.load(Ordering::Relaxed) {
            AS_CONFIGURED => configured,
            limit => limit,
        }
    }

    /// Says another limit.
    pub fn set_limit(&self, limit: u32) {
        self.limit
            .store(limit.min(AS_CONFIGURED - 1), Ordering::Relaxed);
    }

    /// The limit is that of the configuration again.
    pub fn limit_as_configured(&self) {
        self.limit.store(AS_CONFIGURED, Ordering::Relaxed);
    }

    /// Connections open on it now, all workers together.
    pub fn open_connections(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// The most that were open at once since the start, or since [`Self::forget_peak`].
    pub fn peak(&self) -> u32 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Records of it that were written, all workers together; it begins again behind the largest number.
    pub fn records(&self) -> u32 {
        self.records.load(Ordering::Relaxed)
    }

    /// Counts a record.
    pub(crate) fn recorded(&self) {
        self.records.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins the peak anew with what is open now.
    pub fn forget_peak(&self) {
        self.peak.store(self.open_connections(), Ordering::Relaxed);
    }
}

/// What the whole process is doing.
#[derive(Debug, Default)]
pub struct ProcessState {
    /// Connections that are accepted a second.
    pub connection_pace: Pace,
    /// Those that rules let in.
    pub session_pace: Pace,
    /// Those of listeners with TLS.
    pub tls_pace: Pace,
    /// Open connections of listeners with TLS.
    tls_open: AtomicU32,
    draining: AtomicBool,
    open: AtomicU32,
    /// Connections at most; 0 where nobody has said another than the configuration.
    limit: AtomicU32,
    /// How often what some target serves was cut off.
    cuts: AtomicU32,
    /// Who asks for connections.
    pub roll_call: RollCall,
    /// Variables that live as long as the process: held for an instant, and only where a rule names one.
    pub(crate) variables: Mutex<Variables>,
    requests: AtomicU32,
    /// What limits of rules count.
    pub(crate) quotas: Arc<Quotas>,
    /// Who holds passwords against hashes, and nonces of Digest authorization.
    pub(crate) passwords: Passwords,
    pub(crate) digests: Digests,
    /// Told whenever a connection ends while somebody waits for room.
    left: Notify,
    waiting: AtomicU32,
    /// Descriptors that connections may have; 0: no limit.
    descriptors: AtomicU32,
    /// Clients that wait for their next request, as workers told last.
    resting: AtomicU32,
    /// Streams that are served, less one for each client that has some.
    streams_beside: AtomicU32,
    /// How often somebody found too few descriptors.
    pub(crate) room_asked: AtomicU32,
    /// What connections and exchanges take.
    pub memory: Memory,
}

/// Somebody who waits for room.
pub(crate) struct Waiting<'p>(&'p ProcessState);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ProcessState {
    /// Comes when some connection has ended, to those who are counted as waiting.
    pub(crate) fn left(&self) -> Notified<'_> {
        self.left.notified()
    }

    /// Counts who waits for room, as long as what this gives lives.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }

    /// Counts an open connection with TLS, unless there are as many as `limit`; 0 is no limit.
    pub(crate) fn enter_tls(&self, limit: u32) -> bool {
        raise(&self.tls_open, limit)
    }

    /// Open connections of listeners with TLS.
    pub(crate) fn tls_connections(&self) -> u32 {
        self.tls_open.load(Ordering::Relaxed)
    }

    /// Counts one less.
    pub(crate) fn leave_tls(&self) {
        self.tls_open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections at most, where `configured` is what the configuration says; 0: no limit.
    pub fn limit(&self, configured: u32) -> u32 {
        match self.limit.load(Ordering::Relaxed) {
            0 => configured,
            limit => limit,
        }
    }

    /// Says another limit; 0: as configured.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Descriptors that connections of clients and to targets may have; 0: no limit.
    pub fn set_descriptors(&self, limit: u32) {
        self.descriptors.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn descriptors(&self) -> u32 {
        self.descriptors.load(Ordering::Relaxed)
    }

    /// Clients that wait for their next request, and streams beside the first of each client: a worker has so many more, or less.
    pub(crate) fn count_resting(&self, resting: i32, beside: i32) {
        self.resting.fetch_add(resting as u32, Ordering::Relaxed);
        self.streams_beside
            .fetch_add(beside as u32, Ordering::Relaxed);
    }

    pub(crate) fn streams_beside(&self) -> i32 {
        self.streams_beside.load(Ordering::Relaxed) as i32
    }

    pub(crate) fn resting(&self) -> u32 {
        self.resting.load(Ordering::Relaxed)
    }

    /// True from the beginning of a graceful stop: readiness fails and answers carry `Connection: close`.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The number of the next exchange or TCP connection, from 0; it begins again behind the largest number.
    pub(crate) fn next_request(&self) -> u32 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins a graceful stop.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The stop that had begun was taken back.
    pub fn set_at_work(&self) {
        self.draining.store(false, Ordering::Relaxed);
    }

    /// How often what some target serves was cut off: workers wake their connections where it is more than before.
    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Acquire)
    }

    /// What a rule set this variable to.
    pub fn variable(&self, variable: &Variable) -> Fetched<'static> {
        let variables = self
            .variables
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        variables.value(variable).into_owned()
    }

    /// Sets a variable, or unsets it where the value is absent. False where there is no room.
    pub(crate) fn set_variable(&self, variable: &Variable, value: Fetched<'static>) -> bool {
        let mut variables = self
            .variables
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        variables.set(variable, value)
    }

    /// Connections of clients open now, all listeners and workers together.
    pub fn open_connections(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }
}

/// Which limit a connection would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of the process.
    Process,
    /// That of its listener.
    Listener,
}

/// Counts one open connection more where both limits (0: none) allow it; [`leave`] takes it back.
pub(crate) fn enter(
    (process, process_limit): (&ProcessState, u32),
    (listener, listener_limit): (&ListenerState, u32),
) -> Result<(), Full> {
    if !raise(&process.open, process_limit) {
        return Err(Full::Process);
    }
    if !raise(&listener.open, listener_limit) {
        process.open.fetch_sub(1, Ordering::Relaxed);
        return Err(Full::Listener);
    }
    raise_peak(&listener.peak, listener.open_connections());
    Ok(())
}

/// Counts one open connection less.
pub(crate) fn leave(process: &ProcessState, listener: &ListenerState) {
    process.open.fetch_sub(1, Ordering::Relaxed);
    listener.open.fetch_sub(1, Ordering::Relaxed);
    // Telling takes a lock, which nobody who leaves a process with room has a reason to take.
    if process.waiting.load(Ordering::SeqCst) > 0 {
        process.left.notify_waiters();
    }
}

/// Remembers `now` where it is the most so far. Mostly it is not: a locked instruction is spared then.
fn raise_peak(peak: &AtomicU32, now: u32) {
    if now > peak.load(Ordering::Relaxed) {
        peak.fetch_max(now, Ordering::Relaxed);
    }
}

/// Raises a count unless it has reached `limit`; 0 is no limit.
fn raise(count: &AtomicU32, limit: u32) -> bool {
    let before = count.fetch_add(1, Ordering::Relaxed);
    if limit > 0 && before >= limit {
        count.fetch_sub(1, Ordering::Relaxed);
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::check::ObservedLayer;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn limits_count_what_is_open() {
        let (process, listener) = (ProcessState::default(), ListenerState::default());
        let come = || enter((&process, 3), (&listener, 2));
        assert_eq!((come(), come()), (Ok(()), Ok(())));
        assert_eq!(come(), Err(Full::Listener));
        assert_eq!(
            (process.open_connections(), listener.open_connections()),
            (2, 2)
        );
        leave(&process, &listener);
        assert_eq!(come(), Ok(()));
        let other = ListenerState::default();
        assert_eq!(enter((&process, 3), (&other, 0)), Ok(()));
        assert_eq!(enter((&process, 3), (&other, 0)), Err(Full::Process));
        assert_eq!(listener.peak(), 2);
    }

    #[test]
    fn handshakes_that_fail_are_told_of_now_and_then() {
        let target = TargetState::new(Health::Initial, None);
        let told: Vec<Option<u64>> = [0, 1, 99, 100, 101, 500]
            .into_iter()
            .map(|tick| target.handshake_failed(tick))
            .collect();
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }

    #[test]
    fn in_flight_ends_with_its_guard() {
        let target = Arc::new(TargetState::new(Health::Initial, None));
        let guard = target.enter();
        assert_eq!(target.in_flight(), 1);
        drop(guard);
        assert_eq!(target.in_flight(), 0);
        for health in [
            Health::Initial,
            Health::Healthy,
            Health::Unhealthy,
            Health::Draining,
            Health::Unused,
        ] {
            target.set_health(health);
            assert_eq!(target.health(), health);
        }
    }

    #[test]
    fn errors_in_a_row_are_told() {
        let target = TargetState::new(Health::Healthy, None);
        target.saw(Seen::NotConnected, || Duration::ZERO);
        target.observe(Some((ObservedLayer::Response, 2)));
        let rung = || {
            let mut alarmed = std::pin::pin!(target.alarmed());
            let mut cx = Context::from_waker(Waker::noop());
            match alarmed.as_mut().poll(&mut cx) {
                Poll::Ready(last) => Some(last),
                Poll::Pending => None,
            }
        };
        for seen in [
            Seen::Status(500),
            Seen::Status(404),
            Seen::NotConnected,
            Seen::Connected,
        ] {
            target.saw(seen, || Duration::ZERO);
            assert_eq!(rung(), None, "{seen:?}");
        }
        target.saw(Seen::Closed, || Duration::ZERO);
        assert_eq!(rung(), Some("Close from server (http)"));
        target.saw(Seen::Status(503), || Duration::ZERO);
        target.forgive();
        target.saw(Seen::Status(501), || Duration::ZERO);
        target.saw(Seen::Status(502), || Duration::ZERO);
        assert_eq!(rung(), None);
    }
}
