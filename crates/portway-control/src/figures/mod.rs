//! What was counted and what is, proxy by proxy: as plain values, for pages and sockets that HAProxy's users know.
//!
//! Decides nothing and renders nothing. Totals are the sums of the workers' counters at the moment of reading; rates
//! and the time since something last happened come of a task that looks at the totals once a second ([`Statistics`]).

mod known;
pub(crate) mod layout;
mod rates;
mod read;
mod server;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use portway_dataplane::live::ProcessState;
use portway_dataplane::plane::Plane;
use portway_model::snapshot::TargetGroup;
use portway_telemetry::access_log::Dates;
use portway_telemetry::metrics::{GroupTotals, ListenerTotals, PipeFigures};
use portway_telemetry::zone::Zone;

use crate::certificates::GroupTls;
use crate::files::Files;
use crate::key_sets;
use crate::logs::Tellers;
use crate::maps::MapSets;
use crate::names::NameBook;
use crate::ocsp::Stapler;
use crate::renewal::Certificates;
use crate::targets::{Peers, Targets, WatchedTarget};
pub(crate) use layout::Proxy;
use rates::Rate;
pub(crate) use server::{agent_figures, check_figures};

pub use portway_model::check::CheckWord;
pub use portway_telemetry::metrics::{CompressedTotals, FailureTotals, TargetTotals, Times};
pub use server::{AgentFigures, CheckFigures, ServerFigures, ServerStatus};

/// How often totals are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Everything.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The process.
    pub process: ProcessFigures,
    /// Proxies in the order of the configuration.
    pub proxies: Vec<ProxyFigures>,
}

/// The process.
#[derive(Debug, Clone)]
pub struct ProcessFigures {
    /// The version of HAProxy whose behaviour this is, and ours.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it began to serve.
    pub started: SystemTime,
    /// Since then.
    pub uptime: Duration,
    /// Data workers.
    pub workers: usize,
    /// What this machine is called.
    pub node: String,
    /// What there is to say about this installation.
    pub description: Option<String>,
    /// Connections of clients at most.
    pub max_connections: u32,
    /// The most that it can be set to.
    pub hard_max_connections: u32,
    /// Open files at most.
    pub max_descriptors: u64,
    /// Connections of clients open now.
    pub connections: u32,
    /// Connections of clients so far.
    pub connections_total: u64,
    /// Those of the last second.
    pub connection_rate: RateFigures,
    /// Connections, sessions and TLS handshakes a second at most; 0: no limit.
    pub rate_limits: [u32; 3],
    /// Bytes of memory that connections and exchanges may take, where the configuration says it; 0: it does not.
    pub max_memory: u64,
    /// What is known of pipes.
    pub pipes: PipeFigures,
    /// Open TLS connections at most; 0: no limit.
    pub max_tls_connections: u32,
    /// Requests so far.
    pub requests_total: u64,
    /// TLS handshakes with clients so far.
    pub tls_total: u64,
    /// Those of the last second.
    pub tls_rate: RateFigures,
    /// TLS handshakes that resumed a session.
    pub tls_resumed: u64,
    /// TLS connections of clients open now, as far as it is known: all connections of listeners with TLS.
    pub tls_connections: u64,
    /// Bytes sent to clients.
    pub sent_bytes: u64,
    /// Those of the last second.
    pub sent_rate: RateFigures,
    /// Records of access logs that were dropped.
    pub dropped_logs: u64,
    /// Sockets that connections are accepted on.
    pub listeners: usize,
    /// It stops gracefully.
    pub stopping: bool,
}

/// `10/Oct/2000:15:55:36.123`: a moment in local time.
pub fn local_time(moment: SystemTime) -> String {
    let mut text = Vec::new();
    let mut dates = Dates::new(Zone::system());
    dates.at(moment).write_milliseconds(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Events a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateFigures {
    /// In the last second.
    pub now: u64,
    /// At most.
    pub most: u64,
}

/// A proxy.
#[derive(Debug, Clone)]
pub struct ProxyFigures {
    /// Its name.
    pub name: String,
    /// Its `iid`.
    pub number: u32,
    /// The configuration of its backend gives the number.
    pub is_numbered: bool,
    /// It reads requests.
    pub is_http: bool,
    /// What comes in.
    pub frontend: Option<FrontendFigures>,
    /// Where it goes, in the order of the configuration.
    pub servers: Vec<ServerFigures>,
    /// All servers together.
    pub backend: Option<BackendFigures>,
}

/// What comes in.
#[derive(Debug, Clone)]
pub struct FrontendFigures {
    /// What was counted.
    pub totals: ListenerTotals,
    /// Open connections, and the most that there were.
    pub sessions: (u32, u32),
    /// Open connections at most.
    pub limit: u32,
    /// Connections a second.
    pub session_rate: RateFigures,
    /// The most that may be; 0: no limit.
    pub session_rate_limit: u32,
    /// Requests a second.
    pub request_rate: RateFigures,
    /// New connections wait in the queues of its sockets.
    pub is_paused: bool,
    /// It accepts no more.
    pub is_stopped: bool,
    /// Where it accepts.
    pub addresses: Vec<String>,
}

impl FrontendFigures {
    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.totals.requests()
    }
}

/// All servers of a proxy together.
#[derive(Debug, Clone)]
pub struct BackendFigures {
    /// What was counted.
    pub totals: GroupTotals,
    /// How often the algorithm chose a server.
    pub selections: u64,
    /// What was counted for its targets: connections made and used again.
    pub connections: (u64, u64),
    /// How long exchanges took.
    pub times: Times,
    /// Exchanges that wait for a free place, and the most that there were.
    pub queue: (u32, u32),
    /// HAProxy's `fullconn`.
    pub limit: u32,
    /// Sessions a second.
    pub session_rate: RateFigures,
    /// Since the last session; `None`: there was none.
    pub last_session: Option<Duration>,
    /// A server takes traffic.
    pub is_up: bool,
    /// How long it has been so.
    pub since: Duration,
    /// How often it went down.
    pub downs: u64,
    /// How long it was down.
    pub down_time: Duration,
    /// The sum of the weights of those that take traffic.
    pub weight: u32,
    /// Servers that take traffic, backups left out.
    pub active: u32,
    /// Backups that would take traffic.
    pub backups: u32,
    /// How servers are chosen, in HAProxy's words.
    pub algorithm: &'static str,
    /// The cookie of stickiness.
    pub cookie: Option<String>,
}

/// What is at work: replaced as a whole by every change.
#[derive(Clone)]
pub struct Installed {
    /// What workers serve.
    pub plane: Arc<Plane>,
    /// By group, in the order of the plane.
    pub targets: Vec<Targets>,
    /// By group: who looks at them again and again.
    pub(crate) peers: Vec<Arc<Peers>>,
    /// By group: what is spoken to its targets.
    pub(crate) tls: Vec<GroupTls>,
    /// Its proxies as HAProxy's tools see them.
    pub(crate) proxies: Vec<Proxy>,
    /// Where events are told beside the log of the process.
    pub(crate) tellers: Tellers,
    /// Maps and lists that can be changed.
    pub(crate) maps: Arc<MapSets>,
    /// Keys of tokens.
    pub(crate) keys: key_sets::Loaded,
    /// Certificates that can be replaced.
    pub(crate) certificates: Arc<Certificates>,
    /// What it was read from.
    pub(crate) files: Files,
    /// By listener what its clients are judged by, in a few letters.
    pub(crate) judges: Vec<String>,
    /// Counts the configurations, from 1.
    pub(crate) generation: u64,
    /// Names of targets that are asked for.
    pub(crate) names: Arc<NameBook>,
    /// Who fetches answers of OCSP.
    pub(crate) stapler: Arc<Stapler>,
}

/// Looks at totals, and knows what there was.
pub struct Statistics {
    installed: RwLock<Arc<Installed>>,
    /// Planes before that somebody is still served by.
    earlier: Mutex<Vec<Weak<Plane>>>,
    pub(crate) process: Arc<ProcessState>,
    pub(crate) started: SystemTime,
    pub(crate) started_at: Instant,
    pub(crate) workers: usize,
    recorder: Mutex<Recorder>,
    zero: Mutex<Zero>,
}

/// What the task knows.
#[derive(Debug)]
struct Recorder {
    looked: Instant,
    connections: Rate,
    handshakes: Rate,
    sent: Rate,
    proxies: Vec<ProxyRates>,
}

#[derive(Debug, Default, Clone)]
struct ProxyRates {
    connections: Rate,
    requests: Rate,
    sessions: Rate,
    servers: Vec<Rate>,
    up: Up,
}

/// Whether a backend takes traffic, and how often it did not.
#[derive(Debug, Clone)]
struct Up {
    is_up: bool,
    since: Instant,
    downs: u64,
    down_time: Duration,
}

impl Default for Up {
    fn default() -> Self {
        Self {
            is_up: true,
            since: Instant::now(),
            downs: 0,
            down_time: Duration::ZERO,
        }
    }
}

impl Up {
    fn look(&mut self, is_up: bool, now: Instant) {
        if is_up == self.is_up {
            return;
        }
        match is_up {
            true => self.down_time += now.saturating_duration_since(self.since),
            false => self.downs += 1,
        }
        (self.is_up, self.since) = (is_up, now);
    }
}

/// What is taken off all totals: what they were when counters were cleared.
#[derive(Debug, Default)]
struct Zero {
    listeners: Vec<ListenerTotals>,
    groups: Vec<GroupTotals>,
    targets: Vec<Vec<TargetTotals>>,
}

impl Statistics {
    pub(crate) fn new(installed: Installed, workers: usize) -> Self {
        let recorder = Recorder {
            looked: Instant::now(),
            connections: Rate::default(),
            handshakes: Rate::default(),
            sent: Rate::default(),
            proxies: known::rates(None, &installed),
        };
        Self {
            process: installed.plane.process.clone(),
            installed: RwLock::new(Arc::new(installed)),
            earlier: Mutex::default(),
            started: SystemTime::now(),
            started_at: Instant::now(),
            workers,
            recorder: Mutex::new(recorder),
            zero: Mutex::default(),
        }
    }

    /// What is at work now.
    pub fn installed(&self) -> Arc<Installed> {
        let installed = self.installed.read();
        installed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This is at work from now on. What was counted of an object goes on where the next has one of the same name.
    pub(crate) fn replace(&self, next: Installed) {
        // Who reads takes these first, and sees one or the other.
        let (mut recorder, mut zero) = (self.recorder(), self.zero());
        let before = self.installed();
        recorder.goes_on(before.sums(), next.sums());
        recorder.proxies = known::rates(Some((&before, &recorder.proxies)), &next);
        *zero = known::zero((&before, &zero), &next);
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.retain(|it| it.strong_count() > 0);
        earlier.push(Arc::downgrade(&before.plane));
        drop(earlier);
        *self
            .installed
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// The plane of this number, as long as somebody is served by it.
    pub(crate) fn plane(&self, number: u32) -> Option<Arc<Plane>> {
        let now = self.installed();
        if now.plane.number == number {
            return Some(now.plane.clone());
        }
        let earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let mut earlier = earlier.iter().filter_map(Weak::upgrade);
        earlier.find(|plane| plane.number == number)
    }

    /// What this node is called.
    pub(crate) fn node(&self) -> String {
        let installed = self.installed();
        let node = installed.plane.snapshot.process.node.clone();
        node.unwrap_or_else(host_name)
    }

    /// Looks at the totals once a second, for ever.
    pub(crate) async fn keep_looking(self: Arc<Self>) {
        let mut interval = tokio::time::interval(LOOK);
        loop {
            interval.tick().await;
            self.look(Instant::now());
        }
    }

    /// A second is over.
    fn look(&self, now: Instant) {
        let mut recorder = self.recorder();
        let installed = self.installed();
        let (plane, metrics) = (&installed.plane, &installed.plane.metrics);
        for (proxy, rates) in installed.proxies.iter().zip(&mut recorder.proxies) {
            if let Some(listener) = proxy.listeners.first() {
                let totals = metrics.listener_totals(*listener);
                rates.connections.look(totals.connections, now);
                rates.requests.look(totals.requests(), now);
                if let Some(parts) = plane.listeners.get(*listener) {
                    rates.connections.tell(&parts.state.connection_rate);
                    rates.requests.tell(&parts.state.request_rate);
                }
            }
            let Some(group) = proxy.group else { continue };
            rates
                .sessions
                .look(metrics.group_totals(group).sessions, now);
            let parts = plane.groups.get(group);
            if let Some(parts) = parts {
                rates.sessions.tell(&parts.state.session_rate);
            }
            for (target, rate) in rates.servers.iter_mut().enumerate() {
                rate.look(metrics.target_totals(group, target).sessions, now);
                if let Some(state) = parts.and_then(|parts| parts.targets.get(target)) {
                    rate.tell(&state.session_rate);
                }
            }
            rates.up.look(installed.is_up(group), now);
        }
        let [connections, handshakes, sent] = installed.sums();
        recorder.connections.look(connections, now);
        recorder.handshakes.look(handshakes, now);
        recorder.sent.look(sent, now);
        recorder.looked = now;
    }

    /// Begins the highest and longest of everything anew; `all`: counters too.
    pub fn clear(&self, all: bool) {
        let installed = self.installed();
        let plane = &installed.plane;
        plane.metrics.forget_peaks();
        plane.listeners.iter().for_each(|it| it.state.forget_peak());
        let targets = || installed.targets.iter().flat_map(|it| it.iter());
        targets().for_each(|it| it.state.forget_peak());
        plane.groups.iter().for_each(|it| it.state.forget_peak());
        let mut recorder = self.recorder();
        let Recorder {
            connections,
            handshakes,
            sent,
            proxies,
            ..
        } = &mut *recorder;
        for rate in [connections, handshakes, sent] {
            rate.forget();
        }
        for rates in proxies {
            rates.connections.forget();
            rates.requests.forget();
            rates.sessions.forget();
            rates.servers.iter_mut().for_each(Rate::forget);
            if all {
                (rates.up.downs, rates.up.down_time) = (0, Duration::ZERO);
            }
        }
        drop(recorder);
        if all {
            *self.zero() = totals(&installed.plane);
            targets().for_each(|it| it.clear());
        }
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn zero(&self) -> MutexGuard<'_, Zero> {
        self.zero.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// The sums of all listeners are those of others from now on.
    fn goes_on(&mut self, before: [u64; 3], after: [u64; 3]) {
        let rates = [&mut self.connections, &mut self.handshakes, &mut self.sent];
        for (rate, (before, after)) in rates.into_iter().zip(before.into_iter().zip(after)) {
            rate.moved(before, after);
        }
    }
}

impl Installed {
    /// Connections, TLS handshakes and bytes to clients of all listeners so far.
    fn sums(&self) -> [u64; 3] {
        let mut sums = [0; 3];
        let listeners = self.proxies.iter().filter_map(|it| it.listeners.first());
        for listener in listeners {
            let totals = self.plane.metrics.listener_totals(*listener);
            sums[0] += totals.connections;
            sums[1] += totals.tls_handshakes;
            sums[2] += totals.sent_bytes;
        }
        sums
    }

    /// True where a target of the group takes traffic.
    pub(crate) fn is_up(&self, group: usize) -> bool {
        let targets = self.targets.get(group);
        targets.is_none_or(|targets| {
            targets.is_empty() || targets.iter().any(|it| it.state.health().is_usable())
        })
    }
}

/// Every total as it is now.
fn totals(plane: &Plane) -> Zero {
    let (snapshot, metrics) = (&plane.snapshot, &plane.metrics);
    let groups = || snapshot.groups.iter().enumerate();
    let of_targets = |(group, it): (usize, &Arc<TargetGroup>)| {
        let targets = 0..it.targets.len();
        targets
            .map(|target| metrics.target_totals(group, target))
            .collect()
    };
    Zero {
        listeners: (0..snapshot.listeners.len())
            .map(|it| metrics.listener_totals(it))
            .collect(),
        groups: groups().map(|(it, _)| metrics.group_totals(it)).collect(),
        targets: groups().map(of_targets).collect(),
    }
}

/// The version that HAProxy's tools are told: the HAProxy whose behaviour this is, and ours.
pub fn version() -> String {
    let haproxy = portway_dialects::haproxy::VERSION;
    format!("{haproxy}-portway{}", env!("CARGO_PKG_VERSION"))
}

/// The name of this host.
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The address of a target, where it is known.
pub(crate) fn address_of(target: &WatchedTarget) -> Option<SocketAddr> {
    target.state.address()
}
