//! A configuration at work, what may be asked of it, and its end.
//!
//! A graceful stop goes the other way round than install: readiness fails, listeners stop accepting, exchanges finish until the
//! deadline, logs are written out.

use std::collections::HashSet;
use std::io;
use std::iter::Sum;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use portway_core::drain::{Step, Terms};
use portway_dataplane::live::ProcessState;
use portway_dataplane::pipe;
use portway_dataplane::plane::Plane;
use portway_dataplane::service::ServiceCall;
use portway_dataplane::worker::{Publisher, Workers};
use portway_model::log::LogLevel;
use portway_model::snapshot::Snapshot;
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{
    Limit, ListenerMetrics, ProcessFigures, TableFigures, TargetHealth,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::bind::control::ControlListener;
use crate::bind::{self, SocketFiles};
use crate::certificates::{certificate_figures, list_figures};
use crate::change::Changing;
use crate::circuits;
use crate::drains::{self, Drains, LastTimes};
use crate::figures::Statistics;
use crate::files::Files;
use crate::history::History;
use crate::live_state;
use crate::logs::{self, LogWriters, Reopener};
use crate::memory;
use crate::outliers;
use crate::pid_file::PidFile;
use crate::reload::LastReload;
use crate::supervisor::{Doing, Supervisor};
use crate::tidings;
use crate::tls::tickets::TicketKeys;
use crate::turns::Waiting;
use crate::upgrade::Upgrades;

/// How long a process that takes the live state may be busy with what it has.
const STATE_PATIENCE: Duration = Duration::from_secs(10);

/// A configuration at work.
pub struct Running {
    pub(crate) process: Arc<ProcessState>,
    /// What changes are made of: one is made at a time.
    pub(crate) changing: tokio::sync::Mutex<Changing>,
    /// The reload that waits for its turn.
    pub(crate) waiting: Waiting,
    pub(crate) started: SystemTime,
    pub(crate) started_at: Instant,
    pub(crate) workers: usize,
    /// Tasks of control: checks, name resolution, ticket keys. They end with this.
    pub(crate) tasks: Mutex<JoinSet<()>>,
    pub(crate) threads: Arc<Mutex<Option<Threads>>>,
    /// Goes with this.
    pub(crate) pid_file: OnceLock<PidFile>,
    /// It has a pid file that only the process before can write.
    pub(crate) wants_number_written: bool,
    pub(crate) statistics: Arc<Statistics>,
    /// What listeners ask of Portway itself.
    pub(crate) calls: Mutex<Option<mpsc::Receiver<ServiceCall>>>,
    /// Set where another process has the sockets, and their files.
    pub(crate) given_away: Arc<AtomicBool>,
    /// What drains.
    pub(crate) drains: Arc<Drains>,
    /// Rung when a command wants the process to stop, and for how long it takes what comes, and how long what is in progress has then.
    pub(crate) stop_asked: Notify,
    pub(crate) stop_within: Mutex<Option<(Duration, Duration)>>,
    /// Sockets for commands, until somebody serves them.
    pub(crate) control: Mutex<Vec<ControlListener>>,
    /// How the latest reload went; `None`: there was none.
    pub(crate) last_reload: Mutex<Option<LastReload>>,
    /// The last good configurations.
    pub(crate) history: Mutex<History>,
    /// What the latest reload has read, or the start.
    pub(crate) files: Mutex<Files>,
    /// The keys of session tickets.
    pub(crate) tickets: Arc<TicketKeys>,
    /// Upgrades to another process.
    pub(crate) upgrades: Upgrades,
    /// Who is told what the process is doing.
    pub(crate) supervisor: OnceLock<Supervisor>,
}

/// How often it is looked whether the deadline of a stop is over.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How a running configuration ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What is in progress may finish, as the configuration says.
    Gracefully,
    /// What is in progress is cut off.
    AtOnce,
    /// The same by a command, which may be taken back until listeners close.
    ByCommand,
    /// Another process has the sockets and serves: what is in progress has `deregistration_delay` of its group, else
    /// `drain_deadline`.
    Succeeded,
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// All that was in progress has finished.
    Finished,
    /// Some of it was cut off.
    CutOff,
    /// Nothing has stopped: it was taken back.
    TakenBack,
}

/// Lets writers of logs end when the last generation that writes to them has.
pub(crate) async fn let_logs_go(threads: Arc<Mutex<Option<Threads>>>) {
    loop {
        tokio::time::sleep(logs::LET_GO).await;
        let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = threads.as_mut() {
            threads.logs.let_go();
            threads.logs.tell_losses(Instant::now());
        }
    }
}

/// What metrics say of stick tables.
fn tables(plane: &Plane) -> Vec<TableFigures<'_>> {
    let now = portway_dataplane::stick_time();
    let tables = plane.snapshot.stick_tables.iter().zip(&plane.tables);
    let figures = tables.map(|(configured, table)| TableFigures {
        name: configured.name.as_str(),
        entries: table.used(now) as u64,
        size: table.size() as u64,
        evicted: table.evicted(),
        refused: table.refused(),
    });
    figures.collect()
}

pub(crate) struct Threads {
    pub(crate) workers: Workers,
    pub(crate) logs: LogWriters,
    pub(crate) files: SocketFiles,
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
    pub fn hand_over(&self, to: &UnixStream) -> io::Result<()> {
        bind::takeover::give(to)?;
        self.given_away.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the live state of this process to another that takes over. Blocks until it is taken.
    ///
    /// # Errors
    /// The other process went away, or is silent.
    pub fn give_state(&self, to: &UnixStream) -> io::Result<()> {
        to.set_nonblocking(false)?;
        to.set_write_timeout(Some(STATE_PATIENCE))?;
        live_state::give(self, to).map(drop)
    }

    /// What was counted, as HAProxy's tools see it.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// True where the process before is to write the number of this one into the pid file.
    pub(crate) fn wants_number_written(&self) -> bool {
        self.wants_number_written
    }

    /// From now on the files of its sockets are this process's own, and the pid file says its number: no other process serves. Nor
    /// does one write to the folder for state: answers of OCSP, which are kept there, are fetched from now on.
    pub fn has_files(&self) {
        if let Some(threads) = self.threads().as_mut() {
            threads.files.settle();
        }
        if let Some(file) = self.pid_file.get() {
            let written = file.write_number(std::process::id());
            written.unwrap_or_else(|error| tracing::error!("cannot write the pid file: {error}"));
        }
        if let Some(stapler) = self.certificates().stapler() {
            let counters = self.statistics.installed().plane.metrics.process().clone();
            let fetching = stapler.clone().keep_fetching(counters);
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.spawn(fetching);
        }
    }

    /// True while new connections are welcome.
    pub fn is_ready(&self) -> bool {
        !self.process.is_draining()
    }

    /// The way on which planes come to workers; `None` once they are to stop.
    pub(crate) fn publisher(&self) -> Option<Publisher> {
        self.threads().as_ref().map(|it| it.workers.publisher())
    }

    pub(crate) fn threads(&self) -> MutexGuard<'_, Option<Threads>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration at work.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.statistics.installed().plane.snapshot.clone()
    }

    /// A connection to the admin address was closed because nothing was said there.
    pub fn admin_was_silent(&self) {
        let installed = self.statistics.installed();
        installed
            .plane
            .metrics
            .process()
            .limit_reached(Limit::AdminSilence);
    }

    /// Connections open now, of all listeners.
    pub fn open_connections(&self) -> u64 {
        let mut seen = HashSet::new();
        let snapshot = self.snapshot();
        let listeners = snapshot.listeners.iter().enumerate();
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
        let metrics = &self.statistics.installed().plane.metrics;
        (0..self.workers)
            .filter_map(|worker| metrics.shard(worker))
            .map(|shard| figure(shard.listener(listener)))
            .sum()
    }

    /// All counters as Prometheus text.
    pub fn metrics_text(&self) -> String {
        let mut text = String::new();
        let installed = self.statistics.installed();
        let circuits = circuits::figures(&installed.plane.circuits);
        let tables = tables(&installed.plane);
        let logs = self.threads().as_ref().map(|it| it.logs.figures());
        let identities = installed.certificates.identities();
        let certificates = certificate_figures(&installed.plane.snapshot, &identities);
        let lists = list_figures(&installed.certificates);
        let process = ProcessFigures {
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            generation: installed.generation,
            draining: self.drains.left(),
            circuits: &circuits,
            names: installed.names.figures(),
            memory: memory::figures(&self.process),
            pipes: pipe::figures(),
            tables: &tables,
            logs: logs.as_deref().unwrap_or_default(),
            certificates: &certificates,
            revocation_lists: &lists,
        };
        let targets = |group: usize, target: usize| {
            let targets = installed.targets.get(group);
            let target = targets.and_then(|it| it.get(target));
            target.map_or_else(|| TargetHealth::Unused.into(), |it| outliers::figures(it))
        };
        installed
            .plane
            .metrics
            .render(&process, &targets, &mut text);
        text
    }

    /// Opens the files of access logs by their paths again, so that they can be moved away and replaced. Comes back at
    /// once; the writers do it before their next record.
    pub fn reopen_logs(&self) {
        if let Some(threads) = self.threads().as_ref() {
            threads.logs.reopeners().iter().for_each(Reopener::reopen);
        }
    }

    /// Stops. Gracefully: readiness fails at once, listeners stop accepting after `ready_delay`, exchanges and tunnels
    /// have until `shutdown_deadline`. Another call once listeners have closed does nothing.
    pub async fn stop(&self, by: &str, how: Stop) -> Stopped {
        let begun = Instant::now();
        if !self.leaves(by, how).await {
            return Stopped::TakenBack;
        }
        let Some(Threads {
            workers,
            logs,
            files,
        }) = self.threads().take()
        else {
            return Stopped::Finished;
        };
        if how == Stop::ByCommand {
            self.tell_supervisor(Doing::Stopping(format!("stops ({by})")));
        }
        // Who is started in place of this one may have it.
        self.history().let_go();
        let axe = workers.drain();
        self.leave_targets_alone();
        if matches!(how, Stop::Gracefully | Stop::ByCommand) {
            tidings::all_stopped(&self.statistics);
        }
        // Nobody is to come any more: who looks for us shall find another, or nothing.
        drop(files);
        let mut joined = tokio::task::spawn_blocking(move || workers.join());
        let mut last = match how {
            Stop::Succeeded => {
                let now = self.statistics.installed();
                Some(LastTimes::of(&now, self.drains.longest(&now)))
            }
            _ => None,
        };
        let mut cut_before = 0;
        let cut = loop {
            if let Some(last) = &mut last {
                cut_before += last.cut_off(begun.elapsed(), &self.process);
            }
            if let Some(Step::CutOff(_)) = self.drains.step_of_process(false) {
                axe.fall();
            }
            // No later than the deadline, where that is near.
            if let Ok(cut) = tokio::time::timeout(LAST_LOOK, &mut joined).await {
                break cut_before + cut.unwrap_or(0);
            }
        };
        self.drains.step_of_process(true);
        let closed = tokio::task::spawn_blocking(move || logs.close());
        // A thread that has panicked has said so.
        drop(closed.await);
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
        match cut {
            0 => Stopped::Finished,
            _ => Stopped::CutOff,
        }
    }

    /// Says that the process leaves, and comes back when its listeners are to close. False: it was taken back.
    async fn leaves(&self, by: &str, how: Stop) -> bool {
        let installed = self.statistics.installed();
        let process = &installed.plane.snapshot.process;
        let said = self.stop_within().take();
        let configured = (process.ready_delay, process.shutdown_deadline);
        let (delay, deadline) = match (how, said) {
            (Stop::Gracefully, _) => configured,
            (Stop::ByCommand, Some(said)) => said,
            // Somebody has taken it back before it began.
            (Stop::ByCommand, None) => return false,
            (Stop::AtOnce, _) => (Duration::ZERO, Duration::ZERO),
            (Stop::Succeeded, _) => (Duration::ZERO, self.drains.longest(&installed)),
        };
        let stopping = Event::ShutdownStarted { by, deadline };
        emit(&stopping);
        let teller = installed.tellers.process.as_ref();
        logs::tell(teller, LogLevel::Warning, &stopping.to_string());
        let open = self.open_connections();
        let line = format!("stops ({by}): {open} connections have {deadline:?}");
        match how {
            Stop::Succeeded => {}
            // For a service manager a stop is for ever.
            Stop::ByCommand => self.tell_supervisor(Doing::Serving(line)),
            Stop::Gracefully | Stop::AtOnce => self.tell_supervisor(Doing::Stopping(line)),
        }
        if self.given_away.load(Ordering::Relaxed) {
            self.upgrades.leave();
        }
        self.process.set_draining();
        self.upgrades.give_up();
        let terms = Terms {
            leave: delay,
            deadline: Some(deadline),
        };
        self.drains.begin_process(terms, how == Stop::ByCommand);
        while self.drains.step_of_process(false) != Some(Step::Close) {
            if !self.drains.process_leaves() {
                self.tell_supervisor(Doing::Serving(self.in_short()));
                return false;
            }
            tokio::time::sleep(drains::LOOK.min(delay)).await;
        }
        true
    }

    /// Checks no more: what is in progress ends with the health that is known now, and whoever serves from now on looks for himself.
    fn leave_targets_alone(&self) {
        let installed = self.statistics.installed();
        let targets = installed.targets.iter().flat_map(|it| it.iter());
        targets.for_each(|it| it.leave_alone());
    }
}
