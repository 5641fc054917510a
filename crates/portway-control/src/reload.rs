//! From the configuration at work to another, while exchanges go on.
//!
//! Everything that can fail comes first, as in [`crate::install`]: files, certificates, names, logs, addresses. Then one swap
//! puts the next configuration to work, and workers take it over. What both have is the same object afterwards: its
//! connections, health, counters, queues and entries go on. What is gone drains: connections that rest are closed politely, what
//! is in progress has `drain_deadline`. Where something fails, nothing has changed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use portway_dataplane::access_log::LogSink;
use portway_dataplane::plane::ListenerKey;
use portway_dataplane::worker::{BoundSocket, Publisher};
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use portway_model::name::Name;
use portway_model::snapshot::{Listener, Process, Snapshot};
use portway_model::span::{Sources, Span};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{Names, Past, Registry};
use tokio::time::timeout;

use crate::bind::{self, Bound, Neighbour};
use crate::certificates::LoadedCertificate;
use crate::change::Changing;
use crate::descriptors;
use crate::drains::Leaving;
use crate::figures::Installed;
use crate::files::Record;
use crate::install::{Loaded, load};
use crate::logs::{self, OpenLogs, Tellers};
use crate::members;
use crate::memory;
use crate::parts::{self, Ready};
use crate::plan::{self, Plan};
use crate::planning::Adjust;
use crate::privileges;
use crate::resolve;
use crate::running::Running;
use crate::sources::Compiled;
use crate::supervisor::Doing;
use crate::targets::{NextTargets, Watching, watch_next};
use crate::tls::tickets::TicketKeys;

/// How long files are waited for: one may be a pipe that nobody writes to, or lie where nobody answers.
const READ_PATIENCE: Duration = Duration::from_secs(20);

/// How the latest reload went.
#[derive(Debug, Clone)]
pub struct LastReload {
    /// When it was asked for.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The first error; `None`: it succeeded.
    pub error: Option<String>,
}

/// A reload that succeeded.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// What it has done.
    pub plan: Plan,
    /// Certificates that are shown from now on, which were not, or not so.
    pub certificates: Vec<LoadedCertificate>,
    /// The number of the configuration that is at work now.
    pub generation: u64,
    /// Warnings and notes.
    pub found: Diagnostics,
    /// The texts that they point into.
    pub sources: Sources,
    /// How long it took.
    pub took: Duration,
}

/// What a reload has done, before it is told.
pub(crate) struct Done {
    plan: Plan,
    certificates: Vec<LoadedCertificate>,
    pub(crate) found: Diagnostics,
}

/// A reload that changed nothing.
#[derive(Debug, Clone)]
pub struct NotReloaded {
    /// The number of the configuration that stays at work.
    pub generation: u64,
    /// How long it took to find out.
    pub took: Duration,
    /// Why, among warnings and notes.
    pub found: Diagnostics,
    /// The texts that they point into.
    pub sources: Sources,
}

/// Something that was found, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// Its code, as `P0101`.
    pub code: Cow<'static, str>,
    /// What is wrong.
    pub message: String,
    /// `FILE:LINE:COLUMN`; `None` where no text is to blame.
    pub place: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Finding {
    /// What is wrong and where.
    pub fn on_a_line(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("{place}: "));
        format!("{}{}", place.unwrap_or_default(), self.message)
    }
}

impl Reloaded {
    /// Warnings and notes.
    pub fn findings(&self) -> Vec<Finding> {
        findings(&self.found, &self.sources)
    }
}

impl NotReloaded {
    /// Everything that was found.
    pub fn findings(&self) -> Vec<Finding> {
        findings(&self.found, &self.sources)
    }
}

/// What was found, in words.
pub fn findings(found: &Diagnostics, sources: &Sources) -> Vec<Finding> {
    let finding = |one: &Diagnostic| Finding {
        severity: one.severity.as_str(),
        code: one.code.as_str().into(),
        message: one.message.clone(),
        place: place(one, sources),
        help: one.help.clone(),
    };
    found.iter().map(finding).collect()
}

fn place(one: &Diagnostic, sources: &Sources) -> Option<String> {
    let span = one.labels.first()?.span;
    let at = sources.position(span)?;
    let file = &sources.get(span.file)?.name;
    Some(format!("{file}:{}:{}", at.line, at.column))
}

/// Reads the configuration of the process again: its files as they are now.
pub type Reader = Arc<dyn Fn() -> Compiled + Send + Sync>;

impl Running {
    /// The configuration is read so again.
    pub async fn is_read_by(&self, reader: Reader) {
        self.changing.lock().await.is_read_by(reader);
    }

    /// What the command line makes of every configuration, those among them that others have read.
    pub async fn is_adjusted_by(&self, adjust: Adjust) {
        self.changing.lock().await.is_adjusted_by(adjust);
    }

    /// Reads the files of the process again and puts to work what they say.
    ///
    /// # Errors
    /// Everything that stands in the way; nothing has changed then.
    pub(crate) async fn reload_files(&self, by: &str) -> Result<Reloaded, NotReloaded> {
        self.reload_by(by, None).await
    }

    /// The same with what `reader` gives, which is the generation of this number, in place of the files of the process.
    pub(crate) async fn reload_kept(
        &self,
        by: &str,
        (number, reader): (u64, Reader),
    ) -> Result<Reloaded, NotReloaded> {
        self.reload_by(by, Some((number, reader))).await
    }

    async fn reload_by(
        &self,
        by: &str,
        other: Option<(u64, Reader)>,
    ) -> Result<Reloaded, NotReloaded> {
        let (number, other) = other.unzip();
        // One after the other: the last that asks sees the files as they were then, or later.
        let turn = self.turn().await;
        if other.is_none() {
            self.waiting.begins();
        }
        let mut changing = turn.map_err(|process| self.left_to(process))?;
        let (at, begun) = (SystemTime::now(), Instant::now());
        self.tell_supervisor(Doing::Reloading);
        let record = Record::default();
        let Compiled {
            snapshot,
            sources,
            mut diagnostics,
            ..
        } = read(other.clone().or(changing.reader()), &record).await;
        let done = match snapshot {
            Some(snapshot) => {
                let sources = Arc::new(sources.clone());
                self.replace(snapshot, &sources, &mut changing, &record)
                    .await
            }
            None => Err(Diagnostics::default()),
        };
        // Of what is kept nothing is watched: the files of the process are, as they were when they were read.
        if other.is_none() {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            *files = files.after(&record);
        }
        let (done, found) = match done {
            Ok(mut done) => {
                let found = std::mem::take(&mut done.found);
                (Some(done), found)
            }
            Err(found) => (None, found),
        };
        diagnostics.extend(found);
        let ended = self.ended(by, (at, begun), done, (diagnostics, sources));
        if let Ok(done) = &ended {
            // Before anybody else has a turn.
            self.history().is_rollback_to(number);
            self.remember(by, done.plan.counts()).await;
        }
        let line = self.in_short();
        self.tell_supervisor(Doing::Serving(match ended {
            Ok(_) => line,
            Err(_) => format!("{line}; the latest reload has failed"),
        }));
        ended
    }

    /// What is not reloaded here because another process serves.
    pub(crate) fn left_to(&self, process: u32) -> NotReloaded {
        let left = unread(format!(
            "process {process} has taken over meanwhile: it is the one to ask"
        ));
        NotReloaded {
            generation: self.statistics.installed().generation,
            took: Duration::ZERO,
            found: left.diagnostics,
            sources: left.sources,
        }
    }

    /// Tells of a reload that has ended, and remembers how. `begun`: when, and by a clock that only goes forward.
    pub(crate) fn ended(
        &self,
        by: &str,
        (at, begun): (SystemTime, Instant),
        done: Option<Done>,
        (found, sources): (Diagnostics, Sources),
    ) -> Result<Reloaded, NotReloaded> {
        let took = begun.elapsed();
        let process = &self.statistics.installed().plane.snapshot.process;
        let found = with_who_reads(process, found);
        let error = match &done {
            Some(_) => None,
            None => Some(first_error(&found, &sources)),
        };
        self.tell_of_reload(by, done.as_ref().map(|it| &it.plan), error.as_deref());
        let last = LastReload { at, took, error };
        *self
            .last_reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(last);
        let generation = self.statistics.installed().generation;
        match done {
            Some(Done {
                plan, certificates, ..
            }) => Ok(Reloaded {
                plan,
                certificates,
                generation,
                found,
                sources,
                took,
            }),
            None => Err(NotReloaded {
                generation,
                took,
                found,
                sources,
            }),
        }
    }

    /// How the latest reload went; `None`: there was none.
    pub fn last_reload(&self) -> Option<LastReload> {
        let last = self.last_reload.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell_of_reload(&self, by: &str, done: Option<&Plan>, error: Option<&str>) {
        let installed = self.statistics.installed();
        let process = installed.plane.metrics.process();
        match (done, error) {
            (Some(plan), _) => {
                process.reloads.add(1);
                emit(&Event::Reloaded {
                    by,
                    generation: installed.generation,
                    changes: plan.steps.len(),
                });
            }
            (None, error) => {
                process.failed_reloads.add(1);
                let error = error.unwrap_or_default();
                emit(&Event::ReloadFailed { by, error });
            }
        }
    }

    async fn replace(
        &self,
        mut snapshot: Snapshot,
        sources: &Arc<Sources>,
        changing: &mut Changing,
        record: &Record,
    ) -> Result<Done, Diagnostics> {
        let before = self.statistics.installed();
        let mut found = keep_fixed(&before.plane.snapshot.process, &mut snapshot.process);
        let (snapshot, _asked) = members::expanded(snapshot, &before.names).await;
        let (snapshot, loaded, of_files) =
            look(snapshot, sources, changing.tickets(), record).await?;
        found.extend(of_files);
        let limits = [descriptors::check, memory::check];
        let told = limits.iter().filter_map(|check| check(&snapshot.process));
        told.for_each(|one| found.push(one));
        if found.has_errors() {
            return Err(found);
        }
        let next = (snapshot, loaded, before.generation + 1);
        self.put_to_work(next, sources, changing, found).await
    }

    /// Puts a configuration to work that was read and judged; `generation` is its number, that of the one before where only
    /// certificates were read. `found`: what was found of it.
    pub(crate) async fn put_to_work(
        &self,
        (snapshot, loaded, generation): (Snapshot, Loaded, u64),
        sources: &Arc<Sources>,
        changing: &mut Changing,
        mut found: Diagnostics,
    ) -> Result<Done, Diagnostics> {
        let before = self.statistics.installed();
        let plan = plan(&before, &snapshot, &loaded);
        let mut leaving = self.drains.leaving();
        let watching = Watching {
            snapshot: &before.plane.snapshot,
            targets: &before.targets,
            tls: &before.tls,
            leaving: &leaving.targets,
            stays: generation == before.generation,
        };
        let targets = watch_next(&watching, &snapshot, &loaded.tls.groups);
        resolve::hear_all(&targets.strangers(), &before.names).await;
        let (snapshot, logs) = self.open_logs(snapshot, sources, changing).await?;
        let next = (&snapshot, loaded.tls.judges.as_slice());
        let keys = changing.keys(&before, &leaving.listeners, next);
        let mut gone = Leaving::of(&before, &keys, &targets.gone);
        let past = past(&before, &snapshot, &keys, &targets, [&leaving, &gone]);
        let opened = self.bind(snapshot, changing).await;
        let opened = opened.and_then(|(snapshot, bound)| {
            let opened = self.open(&before, (&snapshot, sources, &past), logs, bound)?;
            Ok((snapshot, opened))
        });
        let (snapshot, opened) = opened.map_err(|of_opening| {
            found.extend(of_opening);
            std::mem::take(&mut found)
        })?;
        let Opened {
            bound,
            sinks,
            publisher,
            metrics,
            notes,
        } = opened;
        found.extend(notes);
        let rejudged = changing.rejudged().to_vec();
        gone.keep(&changing.gone(&before, &snapshot, &keys), &rejudged);
        leaving.rejudged = changing.rejudged().to_vec();
        let certificates = renewed(&plan, &loaded.tls.loaded);
        let deadline = snapshot.process.drain_deadline;
        let ready = Ready {
            snapshot,
            sources: sources.clone(),
            loaded,
            targets: &targets.targets,
            sinks,
            keys,
            places: bound.places,
            metrics,
            leaving: &leaving,
        };
        let next = before.next(ready, generation);
        match generation == before.generation {
            true => changing.now_holds(bound.held),
            false => changing.now_reads(Sources::clone(sources), bound.held),
        }
        self.swap(next, &targets);
        publish(&publisher, &self.statistics.installed(), bound.sockets).await;
        let now = self.statistics.installed();
        tell_of_listeners(&before.plane.snapshot, &now.plane.snapshot);
        changing.became(self.drains.follow(gone, (&before, &now), deadline));
        Ok(Done {
            plan,
            certificates,
            found,
        })
    }

    /// Looks whether addresses are free and opens logs, on a thread that may wait for them. No file of a log is created where an address
    /// is taken.
    async fn open_logs(
        &self,
        snapshot: Snapshot,
        sources: &Arc<Sources>,
        changing: &Changing,
    ) -> Result<(Snapshot, OpenLogs), Diagnostics> {
        let known = self.threads().as_ref().map(|it| it.logs.known());
        let known = known.ok_or_else(stopping)?;
        let (sources, held) = (sources.clone(), changing.held().clone());
        let opened = on_a_thread(move || {
            let taken = bind::check_listeners(&snapshot, &Neighbour::None, &held);
            if taken.has_errors() {
                return Err(taken);
            }
            let (logs, found) = logs::open(&snapshot, &sources, &known);
            match found.has_errors() {
                true => Err(found),
                false => Ok((snapshot, logs)),
            }
        });
        let opened = opened.await;
        opened.unwrap_or_else(|message| Err(unread(message).diagnostics))
    }

    /// Binds addresses, on a thread that may wait for the names of their owners. Sockets have no names of files yet.
    async fn bind(
        &self,
        snapshot: Snapshot,
        changing: &Changing,
    ) -> Result<(Snapshot, Bound), Diagnostics> {
        let (workers, held) = (self.workers, changing.held().clone());
        let bound = on_a_thread(move || {
            let bound = bind::bind(&snapshot, workers, &Neighbour::None, &held)?;
            Ok((snapshot, bound))
        });
        let bound = bound.await;
        bound.unwrap_or_else(|message| Err(unread(message).diagnostics))
    }

    /// Starts what writes logs, and puts sockets in the place of files: the last that can fail, and without waiting for anything.
    fn open(
        &self,
        before: &Installed,
        (snapshot, sources, past): (&Snapshot, &Sources, &Past),
        logs: OpenLogs,
        mut bound: Bound,
    ) -> Result<Opened, Diagnostics> {
        let mut threads = self.threads();
        let threads = threads.as_mut().ok_or_else(stopping)?;
        let notes = std::mem::take(&mut bound.notes);
        let metrics = before
            .plane
            .metrics
            .renewed(parts::names(snapshot, sources), past);
        let metrics = Arc::new(metrics);
        let sinks = logs.start(&metrics, &mut threads.logs).map_err(|error| {
            let message = format!("cannot start a thread for a log: {error}");
            Diagnostic::error(Code::Install, Span::NONE, message)
        })?;
        bound.put_in_place()?;
        threads.logs.look_names_up();
        let files = std::mem::take(&mut bound.files);
        let wanted = unix_paths(snapshot);
        let is_wanted = |path: &Path| wanted.contains(&path);
        threads.files.go_on_with(files, is_wanted);
        Ok(Opened {
            bound,
            sinks,
            publisher: threads.workers.publisher(),
            metrics,
            notes,
        })
    }

    /// Puts the next configuration to work, as far as control sees it.
    fn swap(&self, next: Installed, targets: &NextTargets) {
        targets.left.iter().for_each(|it| it.leave_alone());
        targets.settle();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended with their target.
        while tasks.try_join_next().is_some() {}
        next.look_after(&targets.alone, &mut tasks);
        drop(tasks);
        self.statistics.replace(next);
    }
}

fn stopping() -> Diagnostics {
    let message = "the process is stopping: its configuration stays as it is";
    Diagnostic::error(Code::Install, Span::NONE, message).into()
}

/// The configuration as its files say it now.
pub(crate) async fn read(reader: Option<Reader>, record: &Record) -> Compiled {
    let record = record.clone();
    match reader {
        Some(reader) => {
            let read = on_a_thread(move || record.during(|| reader()));
            read.await.unwrap_or_else(unread)
        }
        None => {
            let message = "this process has no files to read its configuration from again";
            unread(message.to_owned())
        }
    }
}

pub(crate) fn unread(message: String) -> Compiled {
    let error = Diagnostic::error(Code::Unreadable, Span::NONE, message);
    Compiled {
        snapshot: None,
        sources: Sources::default(),
        diagnostics: error.into(),
        rest: None,
    }
}

/// Does what may wait for files and names where nobody waits for it.
///
/// # Errors
/// In words: it takes too long, or it has panicked.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    match timeout(READ_PATIENCE, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => {
            let seconds = READ_PATIENCE.as_secs();
            Err(format!(
                "files could not be opened and read within {seconds} seconds"
            ))
        }
    }
}

/// What was opened and bound for a configuration.
struct Opened {
    bound: Bound,
    sinks: (Vec<Option<LogSink>>, Tellers),
    publisher: Publisher,
    metrics: Arc<Registry>,
    notes: Diagnostics,
}

/// Reads and judges what a configuration names, on a thread that may wait for files and names.
pub(crate) async fn look(
    snapshot: Snapshot,
    sources: &Arc<Sources>,
    tickets: &Arc<TicketKeys>,
    record: &Record,
) -> Result<(Snapshot, Loaded, Diagnostics), Diagnostics> {
    let (sources, tickets, record) = (sources.clone(), tickets.clone(), record.clone());
    let looked = on_a_thread(move || {
        let (loaded, mut found) = load(&snapshot, &sources, &tickets, &record);
        if !found.has_errors() {
            found.extend(resolve::check(&snapshot));
        }
        (snapshot, loaded, found)
    });
    looked.await.map_err(|message| unread(message).diagnostics)
}

/// What leads from what is at work to the next, files that certificates and maps are read from among it.
pub(crate) fn plan(before: &Installed, next: &Snapshot, loaded: &Loaded) -> Plan {
    let mut plan = Plan::between(&before.plane.snapshot, next);
    for name in loaded
        .tls
        .renewable
        .renewed_since(&before.certificates, next)
    {
        plan.add_changed("certificate", &name);
    }
    for name in loaded.maps.changed_since(&before.maps, next) {
        plan.add_changed("map", &name);
    }
    for (kind, name) in loaded.files.changed_since(&before.files) {
        plan.add_changed(kind, name);
    }
    plan
}

/// Workers take it over. That one cannot take a socket, for which the kernel has no memory, is told: the others accept there.
async fn publish(publisher: &Publisher, installed: &Installed, sockets: Vec<Vec<BoundSocket>>) {
    if let Err(error) = publisher.publish(&installed.plane, sockets).await {
        tracing::error!("a worker cannot accept on a new address: {error}");
    }
}

/// The certificates that a plan brings.
fn renewed(plan: &Plan, loaded: &[LoadedCertificate]) -> Vec<LoadedCertificate> {
    let is_renewed = |it: &&LoadedCertificate| {
        let mut steps = plan.steps.iter();
        steps.any(|step| step.kind == "certificate" && step.name == it.name)
    };
    loaded.iter().filter(is_renewed).cloned().collect()
}

/// What is counted on although its name is another, or is no more.
fn past(
    before: &Installed,
    next: &Snapshot,
    keys: &[ListenerKey],
    targets: &NextTargets,
    leaving: [&Leaving; 2],
) -> Past {
    let plane = &before.plane;
    let listeners = plane.snapshot.listeners.iter().zip(&plane.listeners);
    let known: HashMap<ListenerKey, &Listener> =
        listeners.map(|(it, parts)| (parts.key, &**it)).collect();
    let of_listener = |(listener, key): (&Arc<Listener>, &ListenerKey)| {
        let (now, before) = (&listener.known_as, &known.get(key)?.known_as);
        (now != before).then(|| (now.to_string(), before.to_string()))
    };
    let mut names = Names::default();
    for it in leaving.map(Leaving::names) {
        names.listeners.extend(it.listeners);
        names.groups.extend(it.groups);
    }
    Past {
        renamed_listeners: next
            .listeners
            .iter()
            .zip(keys)
            .filter_map(of_listener)
            .collect(),
        renamed_targets: targets.renamed().collect(),
        leaving: names,
    }
}

/// Tells on which addresses listeners accept now, and on which they do no more.
fn tell_of_listeners(before: &Snapshot, now: &Snapshot) {
    let (before, now) = (accepted(before), accepted(now));
    fn key<'a>((listener, address): &'a (&Listener, String)) -> (&'a Name, &'a str) {
        (&listener.name, address)
    }
    let [known, stays] = [&before, &now].map(|it| it.iter().map(key).collect::<HashSet<_>>());
    for (listener, address) in before.iter().filter(|it| !stays.contains(&key(it))) {
        emit(&Event::ListenerStopped {
            listener: listener.name.as_str(),
            address,
        });
    }
    for (listener, address) in now.iter().filter(|it| !known.contains(&key(it))) {
        emit(&Event::ListenerStarted {
            listener: listener.name.as_str(),
            protocol: listener.protocol.as_str(),
            address,
        });
    }
}

/// Each listener with each of its addresses.
fn accepted(snapshot: &Snapshot) -> Vec<(&Listener, String)> {
    let mut all = Vec::new();
    for listener in &snapshot.listeners {
        let addresses = listener.binds.iter().map(|bind| bind.value.to_string());
        all.extend(addresses.map(|address| (&**listener, address)));
    }
    all
}

/// The files of UNIX sockets, those for commands among them.
fn unix_paths(snapshot: &Snapshot) -> Vec<&Path> {
    let listeners = snapshot.listeners.iter().flat_map(|it| &it.binds);
    let control = snapshot.process.control_sockets.iter().map(|it| &it.bind);
    let paths = listeners
        .chain(control)
        .filter_map(|bind| match &bind.value {
            BindAddress::Unix(socket) => Some(Path::new(socket.path.as_str())),
            _ => None,
        });
    paths.collect()
}

/// Settings that a process has from its start to its end: they stay as they are, and whoever says otherwise is told.
fn keep_fixed(now: &Process, next: &mut Process) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut kept = |name: &str, is_same: bool| {
        debug_assert!(plan::FIXED.contains(&name), "{name}");
        if !is_same {
            let message =
                format!("`{name}` of the process stays as it is: a reload cannot change it");
            let warning = Diagnostic::warning(Code::NotRun, Span::NONE, message);
            found.push(warning.help("everything else of the configuration is at work; `portway upgrade` or a restart changes this"));
        }
    };
    kept("workers", now.workers == next.workers);
    kept("admin", now.admin == next.admin);
    kept("user", now.user == next.user);
    kept("group", now.group == next.group);
    kept("chroot", now.chroot == next.chroot);
    kept("pid_file", now.pid_file == next.pid_file);
    kept("daemon", now.daemon == next.daemon);
    kept("master", now.master == next.master);
    kept("variables", now.variables == next.variables);
    kept(
        "control_sockets",
        now.control_sockets == next.control_sockets,
    );
    next.workers = now.workers;
    next.admin = now.admin;
    next.user.clone_from(&now.user);
    next.group.clone_from(&now.group);
    next.chroot.clone_from(&now.chroot);
    next.pid_file.clone_from(&now.pid_file);
    next.daemon = now.daemon;
    next.master = now.master;
    next.variables.clone_from(&now.variables);
    next.control_sockets.clone_from(&now.control_sockets);
    found
}

/// What could not be read, with who the process is.
fn with_who_reads(process: &Process, found: Diagnostics) -> Diagnostics {
    let Some(who) = privileges::since_the_start(process) else {
        return found;
    };
    let mut told = Diagnostics::default();
    for one in found.iter().cloned() {
        told.push(match (one.code, &one.help) {
            (Code::Unreadable, Some(help)) => {
                let help = format!("{help}; {who}");
                one.help(help)
            }
            (Code::Unreadable, None) => one.help(&who),
            _ => one,
        });
    }
    told
}

/// The first error with its place, on a line.
fn first_error(found: &Diagnostics, sources: &Sources) -> String {
    let errors = found.iter().filter(|one| one.severity == Severity::Error);
    let Some(error) = errors.into_iter().next() else {
        return String::new();
    };
    let place = place(error, sources).map(|place| format!("{place}: "));
    format!("{}{}", place.unwrap_or_default(), error.message)
}
