//! The life of a running Portway: admin address, workers, signals, end.

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_admin::Shown;
use portway_control::bind;
use portway_control::install::{Running, install};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::snapshot::Snapshot;
use portway_model::span::{Sources, Span};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::{render, system};

/// Time for tasks of control to notice the end.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// The runtime of control and admin: apart from the workers', so that neither waits for the other.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("portway-control")
        .enable_all()
        .build()
}

/// How a running Portway talks to the person who started it.
pub(crate) struct Talk<'a> {
    /// The texts that diagnostics point into.
    pub(crate) sources: &'a Sources,
    /// Errors only.
    pub(crate) quiet: bool,
    /// What to try where nothing could be started.
    pub(crate) advice: Option<&'a str>,
    /// What a closed terminal or a wish to reload (SIGHUP) does.
    pub(crate) hangup: Hangup,
}

/// What SIGHUP does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Opens access logs again and says that nothing else changes.
    Reopens,
    /// Stops gracefully: nobody needs a demo whose terminal is closed.
    Stops,
}

/// Serves `snapshot` until SIGTERM, SIGINT or SIGQUIT, then stops gracefully; a second signal stops at once. `tell` is called once
/// everything runs. Exit code 0 after a graceful stop, 1 where nothing could be started or the end was forced.
pub(crate) fn serve(
    runtime: Runtime,
    snapshot: Snapshot,
    talk: &Talk<'_>,
    tell: impl FnOnce(&Running),
) -> ExitCode {
    system::raise_descriptor_limit();
    let Talk { sources, quiet, .. } = *talk;
    let code = runtime.block_on(async {
        match start(snapshot, sources).await {
            Ok((parts, found)) => {
                render::to_stderr(sources, &found, quiet);
                tell(&parts.running);
                parts.until_signal(talk.hangup).await
            }
            Err(found) => {
                render::to_stderr(sources, &found, quiet);
                if let Some(advice) = talk.advice {
                    eprintln!("{advice}");
                }
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_timeout(LAST_TASKS);
    code
}

/// What runs.
struct Parts {
    running: Arc<Running>,
    signals: Signals,
    /// Ends with this.
    _admin: JoinSet<io::Result<()>>,
}

/// Starts everything: the admin address first, so that a clash is said before anything serves.
async fn start(snapshot: Snapshot, sources: &Sources) -> Result<(Parts, Diagnostics), Diagnostics> {
    let signals = Signals::new().map_err(|error| {
        let message = format!("cannot wait for signals: {error}");
        alone(Diagnostic::error(Code::Install, Span::NONE, message))
    })?;
    let address = snapshot.process.admin;
    let listener = portway_admin::bind(address).map_err(|error| {
        // Nothing is bound yet: so all addresses that are taken can be named at once.
        let mut found = alone(bind::explain_admin(address, &error));
        found.extend(bind::check(&snapshot));
        found
    })?;
    let shown = Shown::default();
    let mut admin = JoinSet::new();
    admin.spawn(portway_admin::serve(listener, shown.clone()));
    let (running, found) = install(snapshot, sources).await?;
    let running = Arc::new(running);
    shown.set(running.clone());
    let parts = Parts {
        running,
        signals,
        _admin: admin,
    };
    Ok((parts, found))
}

/// Signals so close to the first are the same wish, told twice: GNU `timeout` signals its child and the child's group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

impl Parts {
    async fn until_signal(mut self, hangup: Hangup) -> ExitCode {
        let by = stop_wish(&mut self.signals, &self.running, hangup).await;
        let begun = Instant::now();
        let stop = self.running.stop(by);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                _ = &mut stop => return ExitCode::SUCCESS,
                by = stop_wish(&mut self.signals, &self.running, hangup) => {
                    if begun.elapsed() >= SAME_SIGNAL {
                        tracing::warn!("{by} again: stopping at once");
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
}

/// Waits for a signal that stops Portway and gives its name; does what the others ask for.
async fn stop_wish(signals: &mut Signals, running: &Running, hangup: Hangup) -> &'static str {
    loop {
        match signals.next().await {
            Wish::Stop(by) => return by,
            Wish::Reload if hangup == Hangup::Stops => return "SIGHUP",
            Wish::ReopenLogs => {
                running.reopen_logs();
                tracing::info!("SIGUSR1: the files of access logs are opened again");
            }
            Wish::Reload => {
                running.reopen_logs();
                tracing::warn!(
                    "SIGHUP: the files of access logs are opened again; this version cannot reload its configuration, \
                     which stays as it is: restart to apply changes"
                );
            }
            Wish::Upgrade => tracing::warn!(
                "SIGUSR2: this version cannot upgrade itself while it runs, nothing changes: restart to apply changes"
            ),
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

/// The signals that are waited for; none of them ends the process by itself any more.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
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
        })
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

fn alone(diagnostic: Diagnostic) -> Diagnostics {
    let mut found = Diagnostics::default();
    found.push(diagnostic);
    found
}
