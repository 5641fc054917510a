//! The life of a running Portway: admin address, workers, signals, end.

use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_admin::{Handed, Shown};
use portway_control::bind::{self, Neighbour};
use portway_control::files::Files;
use portway_control::history::History;
use portway_control::install::{Running, Stop, Stopped, install};
use portway_control::planning::Adjust;
use portway_control::reload::Reader;
use portway_control::sources::Reading;
use portway_control::turns::Answered;
use portway_control::upgrade::{Predecessor, READY_WITHIN, StateFrom};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::snapshot::Snapshot;
use portway_model::span::{Sources, Span};
use rustix::process::{Pid, kill_process};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::background::Itself;
use crate::kept::Kept;
use crate::{render, systemd};

/// Time for answers of the admin address that are on their way when everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Time for tasks of control to notice the end.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// How long the system may take to close the sockets of a process that has ended.
const LAST_SOCKETS: Duration = Duration::from_secs(2);

/// How often it is tried whether it has.
const NEXT_TRY: Duration = Duration::from_millis(50);

/// How often it is looked whether keys of sealed cookies are due: they live for a month.
const COOKIE_KEY_LOOK: Duration = Duration::from_secs(60 * 60);

/// The runtime of control and admin: apart from the workers', so that neither waits for the other.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("portway-control")
        .enable_all()
        .build()
}

/// How a Portway runs, beside its configuration.
pub(crate) struct Setting<'a> {
    /// The texts that diagnostics point into.
    pub(crate) sources: &'a Sources,
    /// Says what was found while it was started.
    pub(crate) say: &'a dyn Fn(&Diagnostics),
    /// The admin address is served.
    pub(crate) admin: bool,
    /// Who else may hold the same addresses, until this process has what it wants of them.
    pub(crate) neighbour: Cell<Neighbour>,
    /// Connections to control sockets that come from elsewhere.
    pub(crate) handed: Cell<Option<mpsc::Receiver<Handed>>>,
    /// What signals mean.
    pub(crate) manners: Manners,
    /// How the texts were read: they are again where servers come and go.
    pub(crate) reading: Reading,
    /// How the configuration is read again; `None`: it never is.
    pub(crate) again: Option<Again>,
    /// The process that this one takes over from.
    pub(crate) predecessor: Cell<Option<Predecessor>>,
    /// Where the live state of a process before is asked for, if there is no such line to it.
    pub(crate) state: Cell<Option<StateFrom>>,
    /// What is started to take over from this process; `None`: nothing can.
    pub(crate) itself: Option<Itself>,
}

/// How the configuration is read again while it is at work.
pub(crate) struct Again {
    /// Reads it.
    pub(crate) reader: Reader,
    /// What the command line makes of it.
    pub(crate) adjust: Adjust,
    /// What it was read from: it is read again when one of these changes, or of the files that it names. `None`: only when somebody asks.
    pub(crate) watched: Option<Files>,
    /// Where it is remembered, beyond the end of the process.
    pub(crate) state_dir: Option<PathBuf>,
    /// Only errors are told.
    pub(crate) quiet: bool,
}

/// What signals mean. SIGTERM, SIGINT and SIGQUIT stop gracefully and SIGUSR1 opens access logs again unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// SIGHUP opens access logs again and reads the configuration again.
    Server,
    /// SIGHUP stops gracefully: nobody needs a demo whose terminal is closed.
    Demo,
    /// HAProxy's (its management guide, chapter 4): SIGUSR1 stops gracefully, SIGTERM and SIGINT stop at once, SIGHUP writes what
    /// is up and down to the log.
    Haproxy,
}

/// Serves `snapshot` until a signal stops it; a second signal stops at once. `tell` is called once everything runs. Exit
/// code 0 after a graceful stop, 1 where nothing could be started or the end was forced.
pub(crate) fn serve(
    runtime: Runtime,
    snapshot: Snapshot,
    setting: &Setting<'_>,
    tell: impl FnOnce(&Running),
) -> ExitCode {
    let code = runtime.block_on(async {
        let mut predecessor = setting.predecessor.take();
        match start(snapshot, setting, &mut predecessor).await {
            Ok((parts, found)) => {
                (setting.say)(&found);
                tell(&parts.running);
                let quiet = setting.again.as_ref().is_some_and(|again| again.quiet);
                parts.until_signal(setting.manners, quiet).await
            }
            Err(why) => {
                let (found, code) = match why {
                    NotStarted::Found(found) => {
                        (setting.say)(&found);
                        (found, ExitCode::FAILURE)
                    }
                    NotStarted::Stopped(by) => (stopped(by), ExitCode::SUCCESS),
                };
                if let Some(predecessor) = predecessor {
                    predecessor.failed(&found, setting.sources);
                }
                code
            }
        }
    });
    runtime.shutdown_timeout(LAST_TASKS);
    code
}

/// Why nothing serves.
enum NotStarted {
    /// This stands in the way.
    Found(Diagnostics),
    /// This signal came first.
    Stopped(&'static str),
}

impl From<Diagnostics> for NotStarted {
    fn from(found: Diagnostics) -> Self {
        NotStarted::Found(found)
    }
}

/// That a signal came before anything served.
fn stopped(by: &str) -> Diagnostics {
    let message = format!("stopped by {by} before it served");
    tracing::warn!("{message}");
    Diagnostic::error(Code::Install, Span::NONE, message).into()
}

/// The process before is told that this one serves, and lets go.
async fn take_over(predecessor: Predecessor, running: &Arc<Running>) {
    let serving = running.clone();
    // What it says is in the log.
    drop(tokio::task::spawn_blocking(move || predecessor.ready(&serving)).await);
}

/// What runs.
struct Parts {
    running: Arc<Running>,
    signals: Signals,
    /// The admin address.
    admin: Option<JoinHandle<io::Result<()>>>,
    /// Ends with this.
    _tasks: JoinSet<io::Result<()>>,
}

/// Starts everything: the admin address first, so that a clash is said before anything serves.
async fn start(
    snapshot: Snapshot,
    setting: &Setting<'_>,
    predecessor: &mut Option<Predecessor>,
) -> Result<(Parts, Diagnostics), NotStarted> {
    let mut signals = Signals::new().map_err(|error| {
        let message = format!("cannot wait for signals: {error}");
        Diagnostics::from(Diagnostic::error(Code::Install, Span::NONE, message))
    })?;
    let state = predecessor.as_ref().and_then(Predecessor::state);
    let state = state.or(setting.state.take());
    let shown = Shown::default();
    let mut tasks = JoinSet::new();
    // What nobody wants of it is closed when this function ends: a socket that is kept would go on listening.
    let neighbour = setting.neighbour.replace(Neighbour::None);
    let ended = predecessor.as_ref().is_some_and(Predecessor::has_ended);
    let patience = if ended { LAST_SOCKETS } else { Duration::ZERO };
    let listener = tokio::select! {
        biased;
        by = signals.stop(setting.manners) => return Err(NotStarted::Stopped(by)),
        bound = bind_admin(&snapshot, setting.admin, &neighbour, patience) => bound?,
    };
    let serve = |listener| tokio::spawn(portway_admin::serve(listener, shown.clone()));
    // As long as there is a process before, that one answers.
    let (now, later) = match state {
        Some(_) => (None, listener),
        None => (listener, None),
    };
    let mut admin = now.map(serve);
    let by = if state.is_some() { "upgrade" } else { "start" };
    let folder = setting.again.as_ref().and_then(|it| it.state_dir.clone());
    let history = History::open(folder, state.is_some());
    let before = (state, history);
    let (running, found) = tokio::select! {
        biased;
        by = signals.stop(setting.manners) => return Err(NotStarted::Stopped(by)),
        installed = install(snapshot, setting.sources, &neighbour, before) => installed?,
    };
    // The last moment at which a signal is the end of this process alone.
    tokio::select! {
        biased;
        by = signals.stop(setting.manners) => return Err(NotStarted::Stopped(by)),
        () = std::future::ready(()) => {}
    }
    running.read_as(setting.reading.clone()).await;
    let running = Arc::new(running);
    // Before anybody can ask this process for the next upgrade.
    if let Some(predecessor) = predecessor.take() {
        take_over(predecessor, &running).await;
    }
    running.has_files();
    if let Some(itself) = setting.itself.clone() {
        running.is_replaced_by(Box::new(move |line| itself.succeed(line)));
    }
    running.is_supervised_by(Box::new(systemd::supervise));
    if let Some(again) = &setting.again {
        running.is_read_by(again.reader.clone()).await;
        running.is_adjusted_by(again.adjust.clone()).await;
        running.remember(by, [0; 3]).await;
        if let Some(files) = &again.watched {
            running.was_read_from(files);
            tasks.spawn(watch(running.clone(), again.quiet));
        }
    }
    let watched = running.clone();
    tasks.spawn(async move {
        systemd::watchdog(watched).await;
        Ok(())
    });
    tasks.spawn(keep_cookie_keys(running.clone()));
    let named = running.clone();
    tasks.spawn(async move {
        named.keep_members().await;
        Ok(())
    });
    shown.set(running.clone());
    admin = admin.or(later.map(serve));
    tasks.spawn(answer_listeners(running.clone()));
    tasks.spawn(portway_admin::serve_control_sockets(
        running.clone(),
        setting.handed.take(),
    ));
    let parts = Parts {
        running,
        signals,
        admin,
        _tasks: tasks,
    };
    Ok((parts, found))
}

/// The admin address, if it is to be served. For so long addresses that are taken are waited for.
async fn bind_admin(
    snapshot: &Snapshot,
    is_served: bool,
    neighbour: &Neighbour,
    patience: Duration,
) -> Result<Option<TcpListener>, Diagnostics> {
    let address = snapshot.process.admin;
    let begun = Instant::now();
    loop {
        let bound = is_served.then(|| bind::admin(address, neighbour));
        let is_last = begun.elapsed() >= patience;
        let is_free = || !bind::check(snapshot, neighbour).has_errors();
        match bound.transpose() {
            // What is taken all the same is told when it is bound.
            Ok(listener) if is_last || is_free() => return Ok(listener),
            Err(error) if is_last => {
                // Nothing is bound yet: so all addresses that are taken can be named at once.
                let mut found = Diagnostics::from(bind::explain_admin(address, &error));
                found.extend(bind::check(snapshot, neighbour));
                return Err(found);
            }
            Ok(_) | Err(_) => tokio::time::sleep(NEXT_TRY).await,
        }
    }
}

/// Answers what listeners leave to Portway itself.
async fn answer_listeners(running: Arc<Running>) -> io::Result<()> {
    portway_admin::serve_listeners(running).await;
    Ok(())
}

/// Keys of sealed cookies rotate, however long nothing is reloaded.
async fn keep_cookie_keys(running: Arc<Running>) -> io::Result<()> {
    loop {
        tokio::time::sleep(COOKIE_KEY_LOOK).await;
        running.keep_cookie_keys().await;
    }
}

/// Reloads whenever a file of the configuration changes.
async fn watch(running: Arc<Running>, quiet: bool) -> io::Result<()> {
    loop {
        let path = running.changed().await;
        let by = format!("a file has changed: {}", path.display());
        if reload(&running, &by, quiet).await.is_some() {
            // The process that serves now watches its files itself.
            return Ok(());
        }
    }
}

/// Reads the configuration again, and says what was found, unless somebody else has asked for the same and says it. The process
/// that serves in place of this one, where nothing was done for its sake.
async fn reload(running: &Running, by: &str, quiet: bool) -> Option<u32> {
    let Answered { done, is_shared } = running.reload(by).await;
    let (sources, found) = match done {
        Ok(done) => (done.sources, done.found),
        Err(_) if running.successor().is_some() => return running.successor(),
        Err(failed) => (failed.sources, failed.found),
    };
    if !is_shared {
        render::to_stderr(&sources, &found, quiet);
    }
    None
}

/// Does what SIGHUP asks for. Where another process has taken over meanwhile it is told: who has sent the signal could not know.
async fn reload_or_pass_on(running: &Running, quiet: bool) {
    let Some(process) = reload(running, "SIGHUP", quiet).await else {
        return;
    };
    tracing::info!("SIGHUP: process {process} has taken over meanwhile, and is told");
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // One that has just ended needs no telling.
        let _ = kill_process(process, rustix::process::Signal::HUP);
    }
}

/// Signals so close to the first are the same wish, told twice: GNU `timeout` signals its child and the child's group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

impl Parts {
    async fn until_signal(mut self, manners: Manners, quiet: bool) -> ExitCode {
        let running = self.running.clone();
        loop {
            let (by, how) = tokio::select! {
                wish = stop_wish(&mut self.signals, &running, (manners, quiet)) => wish,
                () = running.is_asked_to_stop() => ("portway drain", Stop::ByCommand),
                process = running.is_succeeded() => return self.leave(process).await,
            };
            if let Some(code) = self.stop(by, how, (manners, quiet)).await {
                return code;
            }
        }
    }

    /// Stops; `None` where that was taken back.
    async fn stop(&mut self, by: &str, how: Stop, manners: (Manners, bool)) -> Option<ExitCode> {
        let mut begun = Instant::now();
        let mut by_command = how == Stop::ByCommand;
        let running = self.running.clone();
        let mut stop = Box::pin(running.stop(by, how));
        let mut for_good = None;
        loop {
            tokio::select! {
                stopped = &mut stop => match (stopped, for_good.take()) {
                    (Stopped::TakenBack, None) => return None,
                    // A signal has come when the way back had begun already.
                    (Stopped::TakenBack, Some((by, how))) => stop = Box::pin(running.stop(by, how)),
                    (Stopped::Finished | Stopped::CutOff, _) => break,
                },
                (by, how) = stop_wish(&mut self.signals, &running, manners) => {
                    if how == Stop::AtOnce {
                        return Some(ExitCode::SUCCESS);
                    }
                    if by_command {
                        // The first that does not leave a way back.
                        by_command = false;
                        for_good = Some((by, how));
                        running.stop_for_good(by, begun.elapsed());
                        begun = Instant::now();
                    } else if manners.0 != Manners::Haproxy && begun.elapsed() >= SAME_SIGNAL {
                        tracing::warn!("{by} again: stopping at once");
                        return Some(ExitCode::FAILURE);
                    }
                }
            }
        }
        // They say how it ended.
        self.signals.finish().await;
        Some(ExitCode::SUCCESS)
    }
}

impl Parts {
    /// Finishes what this process has, after another one has taken over.
    async fn leave(mut self, process: u32) -> ExitCode {
        let by = format!("process {process} has taken over");
        let mut kept = Kept::begin(&self.running, process);
        let stop = self.running.stop(&by, Stop::Succeeded);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                _ = &mut stop => break,
                wish = self.signals.next() => match (&kept, wish) {
                    (Some(kept), wish) => kept.pass_on(wish.signal()),
                    (None, Wish::Stop(by)) => {
                        tracing::warn!("{by}: stopping at once");
                        return ExitCode::SUCCESS;
                    }
                    (None, Wish::ReopenLogs | Wish::Reload) => self.running.reopen_logs(),
                    (None, Wish::Upgrade) => {}
                },
                code = Kept::ended(&mut kept) => return code,
            }
        }
        self.signals.finish().await;
        if let Some(admin) = self.admin.take() {
            // Who has asked for the upgrade waits for the answer.
            drop(timeout(LAST_ANSWERS, admin).await);
        }
        while kept.is_some() {
            tokio::select! {
                wish = self.signals.next() => {
                    if let Some(kept) = &kept {
                        kept.pass_on(wish.signal());
                    }
                }
                code = Kept::ended(&mut kept) => return code,
            }
        }
        ExitCode::SUCCESS
    }
}

/// Waits for a signal that stops Portway and gives its name; does what the others ask for.
async fn stop_wish(
    signals: &mut Signals,
    running: &Arc<Running>,
    (manners, quiet): (Manners, bool),
) -> (&'static str, Stop) {
    let haproxy = manners == Manners::Haproxy;
    loop {
        match signals.next().await {
            Wish::Stop(by) if haproxy => return (by, Stop::AtOnce),
            Wish::Stop(by) => return (by, Stop::Gracefully),
            Wish::Reload if manners == Manners::Demo => return ("SIGHUP", Stop::Gracefully),
            Wish::Reload if haproxy => tell_targets(running),
            Wish::ReopenLogs if haproxy => return ("SIGUSR1", Stop::Gracefully),
            Wish::ReopenLogs => {
                running.reopen_logs();
                tracing::info!("SIGUSR1: the files of access logs are opened again");
            }
            Wish::Reload => {
                running.reopen_logs();
                let running = running.clone();
                while signals.asked.try_join_next().is_some() {}
                // Signals are heard meanwhile.
                signals.asked.spawn(async move {
                    reload_or_pass_on(&running, quiet).await;
                });
            }
            Wish::Upgrade if haproxy => tracing::warn!(
                "SIGUSR2: nothing changes: it is the master (`-W`) that starts a new worker on it, or a new process with `-sf` that takes over"
            ),
            Wish::Upgrade => {
                let running = running.clone();
                // Signals are heard meanwhile. What there is to say is in the log.
                signals.asked.spawn(async move {
                    drop(running.upgrade("SIGUSR2", READY_WITHIN).await);
                });
            }
        }
    }
}

/// Writes which targets are up and which are not to the log of the process.
fn tell_targets(running: &Running) {
    for group in &running.status().groups {
        for target in &group.targets {
            tracing::warn!(
                "SIGHUP: {}/{} is {}",
                group.name,
                target.name,
                target.health
            );
        }
    }
}

/// What a signal asks for.
enum Wish {
    /// To stop, by the signal of this name.
    Stop(&'static str),
    /// SIGUSR1.
    ReopenLogs,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    Upgrade,
}

impl Wish {
    /// The signal that said it.
    fn signal(&self) -> rustix::process::Signal {
        use rustix::process::Signal;
        match self {
            Wish::Stop("SIGINT") => Signal::INT,
            Wish::Stop("SIGQUIT") => Signal::QUIT,
            Wish::Stop(_) => Signal::TERM,
            Wish::ReopenLogs => Signal::USR1,
            Wish::Reload => Signal::HUP,
            Wish::Upgrade => Signal::USR2,
        }
    }
}

/// The signals that are waited for; none of them ends the process by itself any more.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    /// What they have asked for.
    asked: JoinSet<()>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            asked: JoinSet::new(),
        })
    }

    /// Waits a moment for what they have asked for.
    async fn finish(&mut self) {
        let asked = &mut self.asked;
        let all = async { while asked.join_next().await.is_some() {} };
        drop(timeout(LAST_TASKS, all).await);
    }

    /// The signal that stops, by its name. Others wait until they are asked for.
    async fn stop(&mut self, manners: Manners) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
            _ = self.hangup.recv(), if manners == Manners::Demo => "SIGHUP",
            _ = self.user1.recv(), if manners == Manners::Haproxy => "SIGUSR1",
        }
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wish::Stop("SIGINT"),
            _ = self.quit.recv() => Wish::Stop("SIGQUIT"),
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.user1.recv() => Wish::ReopenLogs,
            _ = self.user2.recv() => Wish::Upgrade,
        }
    }
}
