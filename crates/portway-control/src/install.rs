//! From a snapshot to running workers.
//!
//! Everything that can fail (files, certificates, names, addresses) comes first; nothing serves until all of it is
//! there, and what was had is given back where something fails.

use std::sync::Arc;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use portway_dataplane::Answers;
use portway_dataplane::live::ProcessState;
use portway_dataplane::plane::Machine;
use portway_dataplane::service::Services;
use portway_dataplane::support;
use portway_dataplane::worker::Workers;
use portway_dialects::{Dialect, detect};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::log::LogLevel;
use portway_model::snapshot::{Process, Snapshot};
use portway_model::span::{FileId, Sources, Span};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::Registry;
use portway_telemetry::zone::Zone;
use rustls::time_provider::DefaultTimeProvider;
use rustls_pki_types::UnixTime;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::bind::control::ControlListener;
use crate::bind::{self, Bound, Held, Neighbour};
use crate::certificates::{self, TlsConfigs};
use crate::change::Changing;
use crate::descriptors;
use crate::drains::{Drains, Leaving};
use crate::error_pages;
use crate::figures::{Installed, Statistics};
use crate::files::{Files, Record};
use crate::history::History;
use crate::key_sets;
use crate::listening;
use crate::live_state::Received;
use crate::logs::{self, Known, LogWriters, OpenLogs};
use crate::maps::{self, MapSets};
use crate::members;
use crate::memory;
use crate::names::{Asked, NameBook};
use crate::ocsp::Stapler;
use crate::parts::{self, Base, Ready};
use crate::pid_file::PidFile;
use crate::privileges;
use crate::resolve;
pub use crate::running::{Running, Stop, Stopped};
use crate::running::{Threads, let_logs_go};
use crate::sources::Compiled;
use crate::targets::{NextTargets, watch};
use crate::tls::tickets::TicketKeys;
use crate::turns::Waiting;
use crate::upgrade::{StateFrom, Upgrades};

/// How often ticket keys are looked at on a listener without traffic; they change three times a day.
const TICKET_KEY_LOOK: Duration = Duration::from_secs(600);

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
    let mut found = match ticket_keys() {
        Ok(tickets) => load(snapshot, sources, &tickets, &Record::default()).1,
        Err(diagnostic) => diagnostic.into(),
    };
    found.extend(privileges::check(&snapshot.process));
    memory::check(&snapshot.process)
        .into_iter()
        .for_each(|one| found.push(one));
    found.extend(admin_is_open(&snapshot.process));
    found.extend(resolve::check(snapshot));
    found.extend(resolve::waiting(snapshot));
    found
}

/// The same of what was compiled; where that has errors, of what could be made of the rest of it, so that all mistakes are told
/// at once.
pub fn check_compiled(compiled: &mut Compiled) {
    let Some(snapshot) = compiled.snapshot.as_ref().or(compiled.rest.as_deref()) else {
        return;
    };
    let found = check(snapshot, &compiled.sources);
    let whole = compiled.snapshot.is_some();
    for one in &found {
        // What is missing may stand in the part that is wrong.
        let is_new = !compiled.diagnostics.iter().any(|it| it == one);
        if whole || (is_new && one.code != Code::Missing) {
            compiled.diagnostics.push(one.clone());
        }
    }
    compiled.diagnostics.sort();
}

/// What it means that the admin address can be reached from other machines.
fn admin_is_open(process: &Process) -> Diagnostics {
    if process.admin.ip().is_loopback() {
        return Diagnostics::default();
    }
    let message = format!(
        "everybody who reaches the admin address `{}` may read the configuration, reload, drain and upgrade: it knows no password",
        process.admin
    );
    Diagnostic::warning(Code::Unprotected, Span::NONE, message)
        .help("use an address of loopback (127.0.0.1:9900) and come over a tunnel, or let a firewall decide who reaches it")
        .into()
}

/// What a configuration names, read and judged; nothing is bound, opened or started.
pub(crate) struct Loaded {
    pub(crate) tls: TlsConfigs,
    pub(crate) answers: Arc<Answers>,
    pub(crate) maps: MapSets,
    pub(crate) keys: key_sets::Loaded,
    /// What it was read from.
    pub(crate) files: Files,
}

/// Reads and judges what `snapshot` names; notes in `record` what was read. It is complete where the diagnostics hold no error.
pub(crate) fn load(
    snapshot: &Snapshot,
    sources: &Sources,
    tickets: &Arc<TicketKeys>,
    record: &Record,
) -> (Loaded, Diagnostics) {
    let mut found = refused(snapshot, sources);
    let (tls, answers, maps, keys) = record.during(|| {
        let (tls, of_tls) = certificates::load(snapshot, sources, tickets, UnixTime::now());
        found.extend(of_tls);
        let (answers, of_pages) = error_pages::load(snapshot, sources);
        found.extend(of_pages);
        let (maps, of_maps) = maps::load(snapshot, sources);
        found.extend(of_maps);
        let (keys, of_keys) = key_sets::load(snapshot, sources);
        found.extend(of_keys);
        (tls, answers, maps, keys)
    });
    found.extend(logs::check(snapshot, sources));
    found.extend(bind::check_owners(snapshot));
    found.extend(privileges::check_borrowing(snapshot));
    let files = record.files();
    let loaded = Loaded {
        tls,
        answers: Arc::new(answers),
        maps,
        keys,
        files,
    };
    (loaded, found)
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
/// may hold the same addresses, `before` where the live state of one is asked for, as the last step before anybody is served;
/// `history` is what was at work before. What runs is to [have the files](Running::has_files) once no other process does.
///
/// # Errors
/// Everything that stands in the way; nothing runs then and nothing stays bound.
pub async fn install(
    snapshot: Snapshot,
    sources: &Sources,
    neighbour: &Neighbour,
    (before, history): (Option<StateFrom>, History),
) -> Result<(Running, Diagnostics), Diagnostics> {
    let workers = worker_count(&snapshot.process);
    // A change of root may hide it later.
    memory::available(workers, false);
    let tickets = ticket_keys().map_err(Diagnostics::from)?;
    let names = Arc::new(NameBook::default());
    let (snapshot, asked) = members::expanded(snapshot, &names).await;
    let (snapshot, loaded, mut found) = load_apart(snapshot, sources, &tickets).await?;
    found.extend(privileges::check(&snapshot.process));
    found.extend(admin_is_open(&snapshot.process));
    let limits = [descriptors::check, memory::check];
    let told = limits.iter().filter_map(|check| check(&snapshot.process));
    told.for_each(|one| found.push(one));
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
    let all = parts::all(&targets);
    resolve::hear_all(&all, &names).await;
    resolve::settle_all(&all);
    let (logs, of_logs) = logs::open(&snapshot, sources, &Known::default());
    found.extend(of_logs);
    let mut bound = match bind::bind(&snapshot, workers, neighbour, &Held::default()) {
        Ok(bound) => bound,
        Err(of_binds) => {
            found.extend(of_binds);
            return Err(found);
        }
    };
    found.extend(std::mem::take(&mut bound.notes));
    if found.has_errors() {
        return Err(found);
    }
    let with_found = |error: Diagnostics| {
        let mut all = found.clone();
        all.extend(error);
        all
    };
    let and_one = |error: Diagnostic| with_found(error.into());
    bound.put_in_place().map_err(and_one)?;
    let control = bind::control::bind(
        &snapshot.process.control_sockets,
        neighbour,
        &mut bound.files,
    );
    let control = control.map_err(with_found)?;
    let pid_file = snapshot.process.pid_file.as_ref().map(PidFile::of);
    let (pid_file, wants_number_written) = match (pid_file.transpose(), &before) {
        // The process before had more rights when it began, and has the file.
        (Err(_), Some(_)) => (None, true),
        (file, _) => (file.map_err(and_one)?, false),
    };
    history.make_folder(&snapshot.process);
    privileges::take(&snapshot.process).map_err(and_one)?;
    let prepared = Prepared {
        snapshot,
        loaded,
        logs,
        bound,
        control,
        targets: NextTargets::first(targets),
        names,
        asked,
        tickets,
        sources: Arc::new(sources.clone()),
        pid_file,
        wants_number_written,
        before,
        history,
    };
    Ok((prepared.start(workers).map_err(and_one)?, found))
}

/// [`load`] on a thread of its own: it may take long, and whoever waits for it may give up.
async fn load_apart(
    snapshot: Snapshot,
    sources: &Sources,
    tickets: &Arc<TicketKeys>,
) -> Result<(Snapshot, Loaded, Diagnostics), Diagnostics> {
    let (sources, tickets) = (sources.clone(), tickets.clone());
    let loaded = tokio::task::spawn_blocking(move || {
        let (loaded, found) = load(&snapshot, &sources, &tickets, &Record::default());
        (snapshot, loaded, found)
    });
    loaded.await.map_err(|error| {
        let message = format!("cannot read what the configuration names: {error}");
        Diagnostic::error(Code::Install, Span::NONE, message).into()
    })
}

/// What rules may ask of this machine.
pub(crate) fn machine() -> Machine {
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

pub(crate) fn ticket_keys() -> Result<Arc<TicketKeys>, Diagnostic> {
    TicketKeys::new(Arc::new(DefaultTimeProvider))
        .map_err(|error| Diagnostic::error(Code::Install, Span::NONE, error.to_string()))
}

/// A worker for each core unless told otherwise.
pub(crate) fn worker_count(process: &Process) -> usize {
    match process.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count.into(),
    }
}

/// Everything that could fail, had.
struct Prepared {
    snapshot: Snapshot,
    loaded: Loaded,
    logs: OpenLogs,
    bound: Bound,
    control: Vec<ControlListener>,
    targets: NextTargets,
    names: Arc<NameBook>,
    /// Names that stand for many, until their targets have them.
    asked: Vec<Arc<Asked>>,
    tickets: Arc<TicketKeys>,
    sources: Arc<Sources>,
    pid_file: Option<PidFile>,
    wants_number_written: bool,
    before: Option<StateFrom>,
    history: History,
}

impl Prepared {
    fn start(mut self, workers: usize) -> Result<Running, Diagnostic> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot start the workers: {error}");
            Diagnostic::error(Code::Install, Span::NONE, message)
        };
        let metrics = Arc::new(Registry::new(
            workers,
            parts::names(&self.snapshot, &self.sources),
        ));
        let mut logs = LogWriters::default();
        let sinks = self.logs.start(&metrics, &mut logs).map_err(failed)?;
        let mut received = self.before.take().and_then(Received::ask);
        if let Some(received) = &mut received {
            received.begin(&self.tickets);
            self.history.take_over(received.history());
        }
        let mut listeners = 0;
        let keys = parts::keys(None, &[], (&self.snapshot, &[]), &mut listeners);
        let certificates = self.loaded.tls.loaded.clone();
        let files = self.loaded.files.clone();
        let (services, calls) = Services::channel();
        let stapler = Arc::new(Stapler::default());
        if let Some(kept) = self.history.kept_answers() {
            stapler.keep_in(kept);
        }
        let process = Arc::new(ProcessState::default());
        let ready = Ready {
            snapshot: self.snapshot,
            sources: self.sources.clone(),
            loaded: self.loaded,
            targets: &self.targets.targets,
            sinks,
            keys,
            places: self.bound.places,
            metrics,
            leaving: &Leaving::default(),
        };
        let mut installed = Installed::first(
            ready,
            Base {
                process: process.clone(),
                machine: Arc::new(machine()),
                zone: Zone::system(),
                services,
                names: self.names,
                stapler,
            },
        );
        installed.generation = self
            .history
            .begin(&installed.plane.snapshot, &installed.plane.sources);
        installed.plane.set_initial_variables();
        let mut drains = Drains::new(process.clone(), installed.plane.metrics.process().clone());
        if let Some(mut received) = received {
            let handed = received.drains();
            received.settle(&mut installed);
            drains.take_over(handed, &installed);
        }
        listening::shut_paused(&installed.plane, &self.bound.sockets);
        let plane = installed.plane.clone();
        let mut tasks = JoinSet::new();
        installed.look_after(&self.targets.alone, &mut tasks);
        drop(self.asked);
        tasks.spawn(renew(self.tickets.clone()));
        let drains = Arc::new(drains);
        tasks.spawn(drains.clone().keep_looking());
        let statistics = Arc::new(Statistics::new(installed, workers));
        tasks.spawn(statistics.clone().keep_looking());
        tasks.spawn(memory::keep_looking(process.clone()));
        let given_away = self.bound.files.given_away();
        let threads = Threads {
            workers: Workers::start(plane.clone(), self.bound.sockets).map_err(failed)?,
            logs,
            files: self.bound.files,
        };
        let threads = Arc::new(Mutex::new(Some(threads)));
        tasks.spawn(let_logs_go(threads.clone()));
        let started = Event::Started {
            version: env!("CARGO_PKG_VERSION"),
            workers,
        };
        emit(&started);
        let installed = statistics.installed();
        let teller = installed.tellers.process.as_ref();
        logs::tell(teller, LogLevel::Notice, &started.to_string());
        tell_parts(&plane.snapshot, &certificates);
        Ok(Running {
            process,
            changing: tokio::sync::Mutex::new(Changing::new(
                Sources::clone(&self.sources),
                self.tickets.clone(),
                self.bound.held,
                listeners,
            )),
            started: SystemTime::now(),
            started_at: Instant::now(),
            workers,
            tasks: Mutex::new(tasks),
            threads,
            pid_file: self.pid_file.map_or_else(OnceLock::new, OnceLock::from),
            wants_number_written: self.wants_number_written,
            waiting: Waiting::default(),
            statistics,
            calls: Mutex::new(Some(calls)),
            given_away,
            drains,
            stop_asked: Notify::new(),
            stop_within: Mutex::default(),
            control: Mutex::new(self.control),
            last_reload: Mutex::default(),
            history: Mutex::new(self.history),
            files: Mutex::new(files),
            tickets: self.tickets,
            upgrades: Upgrades::default(),
            supervisor: OnceLock::new(),
        })
    }
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

async fn renew(tickets: Arc<TicketKeys>) {
    loop {
        tokio::time::sleep(TICKET_KEY_LOOK).await;
        tickets.rotate_if_due();
    }
}
