//! From a snapshot to running workers, and to their end.
//!
//! Everything that can fail (files, certificates, names, addresses) comes first; nothing serves until all of it is
//! there, and what was had is given back where something fails. A graceful stop goes the other way round:
//! readiness fails, listeners stop accepting, exchanges finish until the deadline, logs are written out.

use std::collections::{HashMap, HashSet};
use std::io;
use std::iter::Sum;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use portway_core::route::Router;
use portway_core::stick::Table;
use portway_dataplane::Answers;
use portway_dataplane::access_log::LogSink;
use portway_dataplane::client_tls::AnswersHello;
use portway_dataplane::live::{ListenerState, ProcessState};
use portway_dataplane::plane::{GroupParts, ListenerParts, Machine, Plane};
use portway_dataplane::service::{ServiceCall, Services};
use portway_dataplane::support;
use portway_dataplane::wants::{self, Wants};
use portway_dataplane::worker::{BoundSocket, Publisher, Workers};
use portway_dialects::{Dialect, detect};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::log::LogLevel;
use portway_model::name::Name;
use portway_model::snapshot::{Listener, Snapshot, TargetGroup};
use portway_model::span::{FileId, Sources, Span};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{
    GroupNames, ListenerMetrics, Names, ProcessFigures, Registry, TargetHealth,
};
use portway_telemetry::zone::Zone;
use rustls::time_provider::DefaultTimeProvider;
use rustls_pki_types::UnixTime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bind::control::ControlListener;
use crate::bind::{self, Neighbour, SocketFiles};
use crate::certificates::{self, GroupTls};
use crate::change::Changing;
use crate::descriptors;
use crate::error_pages;
use crate::figures::{Installed, Statistics};
use crate::health;
use crate::logs::{self, LogWriters, Reopener, Tellers};
use crate::maps::{self, MapSets};
use crate::pid_file::PidFile;
use crate::privileges;
use crate::renewal::Certificates;
use crate::resolve;
use crate::targets::{Peers, Targets, WatchedTarget, in_telemetry, watch};
use crate::tidings;
use crate::tls::tickets::TicketKeys;

/// How often ticket keys are looked at on a listener without traffic; they change three times a day.
const TICKET_KEY_LOOK: Duration = Duration::from_secs(600);

/// The number of the configuration: there is one, until it can be changed while it runs.
pub(crate) const GENERATION: u64 = 1;

/// A configuration at work.
pub struct Running {
    /// The first plane: its process, listeners, maps and tables are those of every later one.
    pub(crate) plane: Arc<Plane>,
    /// By group: who looks at them again and again.
    pub(crate) peers: Vec<Arc<Peers>>,
    /// By group: what is spoken to its targets.
    pub(crate) tls: Mutex<Vec<GroupTls>>,
    /// The texts, and the servers that came and went since they were read.
    pub(crate) changing: tokio::sync::Mutex<Changing>,
    pub(crate) started: SystemTime,
    pub(crate) started_at: Instant,
    pub(crate) workers: usize,
    pub(crate) files: Vec<PathBuf>,
    /// Tasks of control: checks, name resolution, ticket keys. They end with this.
    pub(crate) tasks: Mutex<JoinSet<()>>,
    threads: Mutex<Option<Threads>>,
    reopeners: Vec<Reopener>,
    /// Goes with this.
    _pid_file: Option<PidFile>,
    statistics: Arc<Statistics>,
    /// Where events are told beside the log of the process.
    pub(crate) tellers: Tellers,
    /// What listeners ask of Portway itself.
    calls: Mutex<Option<mpsc::Receiver<ServiceCall>>>,
    pub(crate) maps: MapSets,
    pub(crate) certificates: Certificates,
    /// Set where another process has the sockets, and their files.
    given_away: Arc<AtomicBool>,
    /// Sockets for commands, until somebody serves them.
    control: Mutex<Vec<ControlListener>>,
}

/// How a running configuration ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What is in progress may finish, as the configuration says.
    Gracefully,
    /// What is in progress is cut off.
    AtOnce,
}

struct Threads {
    workers: Workers,
    logs: LogWriters,
    files: SocketFiles,
}

/// The smallest configuration that serves.
const SMALLEST: &str = "the smallest file that serves: `[listener.web]`, `bind = \":8080\"`, `forward = \"app\"`, \
     `[target_group.app]`, `targets = [\"127.0.0.1:9001\"]`, each on a line of its own";

/// The same in HAProxy's language.
const SMALLEST_OF_HAPROXY: &str = "the smallest file that serves: `defaults`, `mode http`, `timeout connect 5s`, \
     `timeout client 30s`, `timeout server 30s`, `frontend web`, `bind :8080`, `default_backend app`, `backend app`, \
     `server a 127.0.0.1:9001`, each on a line of its own";

/// What serves in a compose file.
const SMALLEST_OF_TRAEFIK: &str = "a service of a compose file serves with a port (`expose: [80]`) and a label such as \
     traefik.http.routers.app.rule=Host(`app.example`), if it is exposed (`traefik.enable=true`)";

/// What serves in a template.
const SMALLEST_OF_CLOUDFORMATION: &str = "a template serves with an `AWS::ElasticLoadBalancingV2::Listener` or the `Listeners` \
     of an `AWS::ElasticLoadBalancing::LoadBalancer`";

/// The smallest configuration in the language of the texts.
fn smallest(sources: &Sources) -> &'static str {
    let first = sources.get(FileId(0));
    match first.and_then(|it| detect(&it.name, &it.text)) {
        Some(Dialect::Haproxy) => SMALLEST_OF_HAPROXY,
        Some(Dialect::Traefik) => SMALLEST_OF_TRAEFIK,
        Some(Dialect::CloudFormation) => SMALLEST_OF_CLOUDFORMATION,
        _ => SMALLEST,
    }
}

/// What `check` can say about a snapshot beyond compile, without binding or starting anything: parts that are not run
/// yet, certificates, error pages, folders of logs. What is an error here is one for [`install`] too.
pub fn check(snapshot: &Snapshot, sources: &Sources) -> Diagnostics {
    let mut found = refused(snapshot, sources);
    match ticket_keys() {
        Ok(tickets) => {
            found.extend(certificates::load(snapshot, sources, &tickets, UnixTime::now()).1);
        }
        Err(diagnostic) => found.push(diagnostic),
    }
    found.extend(error_pages::load(snapshot, sources).1);
    found.extend(maps::load(snapshot, sources).1);
    found.extend(logs::check(snapshot, sources));
    found.extend(privileges::check(&snapshot.process));
    found.extend(bind::check_owners(snapshot));
    found.extend(resolve::check(snapshot));
    found.extend(resolve::waiting(snapshot));
    found
}

/// What no machine would run: parts that are understood only, and nothing at all.
fn refused(snapshot: &Snapshot, sources: &Sources) -> Diagnostics {
    let mut found = support::not_run(snapshot);
    if !snapshot.serves() {
        let message = "nothing to serve: no listener";
        found.push(Diagnostic::error(Code::Missing, Span::NONE, message).help(smallest(sources)));
    }
    found
}

/// Installs `snapshot`: gives what runs and the warnings and notes on the way. `neighbour` says whether another process
/// may hold the same addresses.
///
/// # Errors
/// Everything that stands in the way; nothing runs then and nothing stays bound.
pub async fn install(
    snapshot: Snapshot,
    sources: &Sources,
    neighbour: &Neighbour,
) -> Result<(Running, Diagnostics), Diagnostics> {
    let workers = worker_count(&snapshot);
    let mut found = refused(&snapshot, sources);
    let tickets = ticket_keys().map_err(alone)?;
    let (tls, of_tls) = certificates::load(&snapshot, sources, &tickets, UnixTime::now());
    found.extend(of_tls);
    let (answers, of_pages) = error_pages::load(&snapshot, sources);
    found.extend(of_pages);
    let (maps, of_maps) = maps::load(&snapshot, sources);
    found.extend(of_maps);
    found.extend(logs::check(&snapshot, sources));
    found.extend(privileges::check(&snapshot.process));
    found.extend(bind::check_owners(&snapshot));
    if let Some(diagnostic) = descriptors::check(&snapshot.process) {
        found.push(diagnostic);
    }
    if found.has_errors() {
        return Err(found);
    }
    found.extend(resolve::check(&snapshot));
    // Nothing waits for names, and no file of a log is created, where an address is taken.
    found.extend(bind::check(&snapshot, neighbour));
    if found.has_errors() {
        return Err(found);
    }
    let targets = watch(&snapshot);
    resolve::resolve_all(&all(&targets)).await;
    let (logs, of_logs) = logs::open(&snapshot, sources);
    found.extend(of_logs);
    let mut bound = match bind::bind(&snapshot, workers, neighbour) {
        Ok(bound) => bound,
        Err(of_binds) => {
            found.extend(of_binds);
            return Err(found);
        }
    };
    found.extend(bound.notes);
    if found.has_errors() {
        return Err(found);
    }
    let control = bind::control::bind(
        &snapshot.process.control_sockets,
        neighbour,
        &mut bound.files,
    )?;
    let pid_file = snapshot.process.pid_file.as_ref().map(PidFile::of);
    let pid_file = pid_file.transpose().map_err(alone)?;
    privileges::take(&snapshot.process).map_err(alone)?;
    let prepared = Prepared {
        snapshot,
        tls,
        answers,
        maps,
        logs,
        sockets: bound.sockets,
        files_of_sockets: bound.files,
        control,
        targets,
        tickets,
        sources: sources.clone(),
        files: sources
            .iter()
            .map(|(_, it)| PathBuf::from(&*it.name))
            .collect(),
        pid_file,
    };
    Ok((prepared.start(workers).map_err(alone)?, found))
}

/// What rules may ask of this machine.
fn machine() -> Machine {
    let texts = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Machine {
        hostname: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        environment: texts.collect(),
    }
}

fn alone(diagnostic: Diagnostic) -> Diagnostics {
    let mut found = Diagnostics::default();
    found.push(diagnostic);
    found
}

fn ticket_keys() -> Result<Arc<TicketKeys>, Diagnostic> {
    TicketKeys::new(Arc::new(DefaultTimeProvider))
        .map_err(|error| Diagnostic::error(Code::Install, Span::NONE, error.to_string()))
}

/// A worker for each core unless told otherwise.
fn worker_count(snapshot: &Snapshot) -> usize {
    match snapshot.process.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count.into(),
    }
}

/// Everything that could fail, had.
struct Prepared {
    snapshot: Snapshot,
    tls: certificates::TlsConfigs,
    answers: Answers,
    maps: MapSets,
    logs: logs::OpenLogs,
    sockets: Vec<Vec<BoundSocket>>,
    files_of_sockets: SocketFiles,
    control: Vec<ControlListener>,
    targets: Vec<Targets>,
    tickets: Arc<TicketKeys>,
    sources: Sources,
    files: Vec<PathBuf>,
    pid_file: Option<PidFile>,
}

impl Prepared {
    fn start(self, workers: usize) -> Result<Running, Diagnostic> {
        let loaded = self.tls.loaded;
        let failed = |error: std::io::Error| {
            let message = format!("cannot start the workers: {error}");
            Diagnostic::error(Code::Install, Span::NONE, message)
        };
        let metrics = Arc::new(Registry::new(workers, names(&self.snapshot)));
        let (sinks, tellers, logs) = self.logs.start(&metrics).map_err(failed)?;
        let peers: Vec<Arc<Peers>> = self.targets.iter().map(|_| Arc::default()).collect();
        let watched: Vec<_> = self.targets.iter().zip(&peers).collect();
        watched
            .iter()
            .for_each(|(targets, peers)| peers.set(targets));
        tell_of_targets(&self.snapshot, &watched, &tellers);
        let process = Arc::new(ProcessState::default());
        let mut tasks = look_after_targets(&self.snapshot, &watched, &self.tls.groups, &process);
        resolve::keep_resolving(&all(&self.targets), &mut tasks);
        tasks.spawn(renew(self.tickets.clone()));

        let listeners = parts_of_listeners(&self.snapshot, self.tls.listeners, sinks);
        let groups = parts_of_groups(&self.snapshot, &self.tls.groups, &self.targets);
        let (services, calls) = Services::channel();
        let numbers_requests = wants::numbers_requests(&self.snapshot);
        let plane = Arc::new(Plane {
            max_connections: descriptors::max_connections(&self.snapshot),
            metrics,
            answers: Arc::new(self.answers),
            maps: self.maps.live(),
            map_sets: self.maps.for_rules(),
            sources: Arc::new(self.sources.clone()),
            tables: self
                .snapshot
                .stick_tables
                .iter()
                .map(|table| Arc::new(Table::new(table)))
                .collect(),
            machine: Arc::new(machine()),
            by_name: OnceLock::new(),
            snapshot: Arc::new(self.snapshot),
            listeners,
            groups,
            process,
            zone: Zone::system(),
            numbers_requests,
            services,
        });
        plane.set_initial_variables();
        let installed = Installed {
            plane: plane.clone(),
            targets: self.targets,
        };
        let statistics = Statistics::new(installed, workers);
        let statistics = Arc::new(statistics);
        tasks.spawn(statistics.clone().keep_looking());
        let reopeners = logs.reopeners();
        let given_away = self.files_of_sockets.given_away();
        let threads = Threads {
            workers: Workers::start(plane.clone(), self.sockets).map_err(failed)?,
            logs,
            files: self.files_of_sockets,
        };
        let started = Event::Started {
            version: env!("CARGO_PKG_VERSION"),
            workers,
        };
        emit(&started);
        let teller = tellers.process.as_ref();
        logs::tell(teller, LogLevel::Notice, &started.to_string());
        tell_parts(&plane.snapshot, &loaded);
        Ok(Running {
            plane,
            peers,
            tls: Mutex::new(self.tls.groups),
            changing: tokio::sync::Mutex::new(Changing::new(self.sources, self.tickets)),
            started: SystemTime::now(),
            started_at: Instant::now(),
            workers,
            files: self.files,
            tasks: Mutex::new(tasks),
            threads: Mutex::new(Some(threads)),
            reopeners,
            _pid_file: self.pid_file,
            statistics,
            tellers,
            calls: Mutex::new(Some(calls)),
            given_away,
            control: Mutex::new(self.control),
            maps: self.maps,
            certificates: self.tls.renewable,
        })
    }
}

/// The targets of a group, and who looks at them.
type Watched<'p> = (&'p Targets, &'p Arc<Peers>);

/// Tells the logs of groups what becomes of their targets.
fn tell_of_targets(snapshot: &Snapshot, watched: &[Watched<'_>], tellers: &Tellers) {
    let groups = snapshot.groups.iter().zip(watched);
    for ((group, (targets, peers)), sink) in groups.zip(&tellers.groups) {
        if let Some(sink) = sink {
            tidings::listen(group, targets, peers, snapshot, sink);
        }
    }
}

/// Begins the checks of all targets.
fn look_after_targets(
    snapshot: &Snapshot,
    watched: &[Watched<'_>],
    tls: &[GroupTls],
    process: &Arc<ProcessState>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let groups = snapshot.groups.iter().zip(tls);
    for ((group, tls), (targets, peers)) in groups.zip(watched) {
        let targets = targets.iter().enumerate();
        health::start(group, tls, targets, peers, process, &mut tasks);
    }
    tasks
}

/// What the plane has of each listener beside its configuration.
fn parts_of_listeners(
    snapshot: &Snapshot,
    tls: Vec<Option<Arc<dyn AnswersHello>>>,
    logs: Vec<Option<LogSink>>,
) -> Vec<Arc<ListenerParts>> {
    // Those of one name are limited together.
    let mut states: HashMap<&Name, Arc<ListenerState>> = HashMap::new();
    let listeners = snapshot.listeners.iter().zip(tls).zip(logs);
    let parts = listeners.map(|((listener, tls), log)| {
        Arc::new(ListenerParts {
            tls,
            router: router(listener),
            state: states.entry(&listener.known_as).or_default().clone(),
            log,
            wants: Wants::of(listener, &snapshot.groups),
        })
    });
    parts.collect()
}

/// The same of each group.
fn parts_of_groups(
    snapshot: &Snapshot,
    tls: &[GroupTls],
    targets: &[Targets],
) -> Vec<Arc<GroupParts>> {
    let groups = snapshot.groups.iter().zip(tls).zip(targets);
    let parts = groups.map(|((group, tls), targets)| {
        let targets = targets.iter().map(|it| it.state.clone()).collect();
        Arc::new(GroupParts {
            own_tls: tls.own.clone(),
            ..GroupParts::new(group, tls.group.clone(), targets)
        })
    });
    parts.collect()
}

/// Writes to the log of the process what is at work.
fn tell_parts(snapshot: &Snapshot, loaded: &[certificates::LoadedCertificate]) {
    for listener in &snapshot.listeners {
        for bind in &listener.binds {
            emit(&Event::ListenerStarted {
                listener: listener.name.as_str(),
                protocol: listener.protocol.as_str(),
                address: &bind.value,
            });
        }
    }
    for it in loaded {
        emit(&Event::CertificateLoaded {
            certificate: &it.name,
            names: &it.names,
            days_left: it.days_left,
        });
    }
}

/// All targets, one after the other.
fn all(targets: &[Targets]) -> Vec<Arc<WatchedTarget>> {
    targets.iter().flat_map(|it| it.iter()).cloned().collect()
}

pub(crate) fn names(snapshot: &Snapshot) -> Names {
    let of_group = |group: &Arc<TargetGroup>| GroupNames {
        name: group.name.to_string(),
        targets: group.targets.iter().map(|it| it.name.to_string()).collect(),
    };
    Names {
        listeners: snapshot
            .listeners
            .iter()
            .map(|it| it.known_as.to_string())
            .collect(),
        groups: snapshot.groups.iter().map(of_group).collect(),
        refusals: portway_dataplane::refusal_codes(),
    }
}

fn router(listener: &Listener) -> Router {
    Router::build(&listener.rules.request)
}

async fn renew(tickets: Arc<TicketKeys>) {
    loop {
        tokio::time::sleep(TICKET_KEY_LOOK).await;
        tickets.rotate_if_due();
    }
}

impl Running {
    /// What listeners ask of Portway itself, for whoever answers it. `None` after the first call. Dropped, every
    /// such request is answered with 503.
    pub fn service_calls(&self) -> Option<mpsc::Receiver<ServiceCall>> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Sockets for commands, for whoever serves them; none after the first call.
    pub fn control_sockets(&self) -> Vec<ControlListener> {
        std::mem::take(&mut self.control.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives the listening sockets of this process to another that takes over. Blocks until they are taken.
    ///
    /// # Errors
    /// The other process went away, or is silent.
    pub fn hand_over(&self, to: UnixStream) -> io::Result<()> {
        bind::takeover::give(to)?;
        self.given_away.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What was counted, as HAProxy's tools see it.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// True while new connections are welcome.
    pub fn is_ready(&self) -> bool {
        !self.plane.process.is_draining()
    }

    /// The way on which planes come to workers; `None` once they are to stop.
    pub(crate) fn publisher(&self) -> Option<Publisher> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.as_ref().map(|it| it.workers.publisher())
    }

    /// The configuration at work, as the process began with it.
    pub fn snapshot(&self) -> &Snapshot {
        &self.plane.snapshot
    }

    /// Connections open now, of all listeners.
    pub fn open_connections(&self) -> u64 {
        let mut seen = HashSet::new();
        let listeners = self.plane.snapshot.listeners.iter().enumerate();
        listeners
            // Those of one name have one count.
            .filter(|(_, it)| seen.insert(&it.known_as))
            .map(|(id, _)| id)
            .map(|id| self.sum(id, |it| it.connections_open.value()))
            .sum::<i64>()
            .try_into()
            .unwrap_or(0)
    }

    /// The sum of a figure of a listener over all workers.
    pub(crate) fn sum<T: Sum>(&self, listener: usize, figure: impl Fn(&ListenerMetrics) -> T) -> T {
        (0..self.workers)
            .filter_map(|worker| self.plane.metrics.shard(worker))
            .map(|shard| figure(shard.listener(listener)))
            .sum()
    }

    /// All counters as Prometheus text.
    pub fn metrics_text(&self) -> String {
        let mut text = String::new();
        let process = ProcessFigures {
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            generation: GENERATION,
        };
        let installed = self.statistics.installed();
        let health = |group: usize, target: usize| {
            let targets = installed.targets.get(group);
            let target = targets.and_then(|it| it.get(target));
            target.map_or(TargetHealth::Unused, |it| in_telemetry(it.state_now()))
        };
        installed.plane.metrics.render(&process, &health, &mut text);
        text
    }

    /// Opens the files of access logs by their paths again, so that they can be moved away and replaced. Comes back at
    /// once; the writers do it before their next record.
    pub fn reopen_logs(&self) {
        self.reopeners.iter().for_each(Reopener::reopen);
    }

    /// Stops. Gracefully: readiness fails at once, listeners stop accepting after `ready_delay`, exchanges and tunnels
    /// have until `shutdown_deadline`. True if all of them finished. A second call does nothing.
    pub async fn stop(&self, by: &str, how: Stop) -> bool {
        let begun = Instant::now();
        let process = &self.plane.snapshot.process;
        let (delay, deadline) = match how {
            Stop::Gracefully => (process.ready_delay, process.shutdown_deadline),
            Stop::AtOnce => (Duration::ZERO, Duration::ZERO),
        };
        let threads = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Threads {
            workers,
            logs,
            files,
        }) = threads
        else {
            return true;
        };
        let stopping = Event::ShutdownStarted { by, deadline };
        emit(&stopping);
        let teller = self.tellers.process.as_ref();
        logs::tell(teller, LogLevel::Warning, &stopping.to_string());
        self.plane.process.set_draining();
        tokio::time::sleep(delay).await;
        workers.drain(deadline);
        if how == Stop::Gracefully {
            tidings::all_stopped(&self.statistics, &self.tellers);
        }
        // Nobody is to come any more: who looks for us shall find another, or nothing.
        drop(files);
        let cut = tokio::task::spawn_blocking(move || {
            let cut = workers.join();
            logs.close();
            cut
        });
        let cut = cut.await.unwrap_or(0);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        if cut > 0 {
            emit(&Event::DrainDeadlineReached {
                connections: cut.into(),
            });
        }
        emit(&Event::ShutdownEnded {
            after: begun.elapsed(),
        });
        cut == 0
    }
}
