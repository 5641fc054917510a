//! `-W`: a master that serves nothing, starts workers and passes signals on.
//!
//! SIGUSR2 and SIGHUP start a new worker, which asks the one before to finish once it serves; where it does not come to serve,
//! the one before goes on and nothing changes; signals and commands are heard meanwhile. SIGUSR1 lets all workers finish, SIGTERM and SIGINT end them. A worker that
//! ends unasked ends the master with its status: whoever watches the service starts it again.
//!
//! A new worker is given a connection to the one before, over which it takes the listening sockets.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ExitCode};
use std::time::Instant;

use portway_control::pid_file::PidFile;
use portway_control::services::ControlLevel;
use portway_control::supervisor::Doing;
use portway_control::upgrade::READY_WITHIN;
use portway_model::diagnostic::Severity;
use portway_model::snapshot::Snapshot;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::flags::Flags;
use super::master_socket::{self, Question, Whom};
use super::messages::Voice;
use super::version;
use crate::background::{self, Itself, Nobody, Serving, Starting};
use crate::systemd;

/// Connections to the worker before that a worker is given: one for the sockets, one for the live state.
const CONNECTIONS: usize = 2;

/// In the arguments of a worker: the part it plays. HAProxy has no such option.
const WORKER: &str = "--portway-worker";

/// Arguments without the mark of a worker, and whether there was one.
pub(super) fn part(arguments: &[OsString]) -> (Vec<OsString>, bool) {
    match arguments {
        [first, rest @ ..] if first == OsStr::new(WORKER) => (rest.to_vec(), true),
        _ => (arguments.to_vec(), false),
    }
}

/// What the master has.
struct Master<'a> {
    itself: &'a Itself,
    /// Arguments of its own, for workers.
    arguments: &'a [OsString],
    voice: Voice,
    systemd: bool,
    /// Since when there is the master.
    since: Instant,
    current: Worker,
    /// The worker that is to take its place.
    next: Option<Next>,
    /// Another one was asked for meanwhile, by these.
    again: Option<Vec<oneshot::Sender<()>>>,
    /// Those that did not come to serve, until the system has ended them.
    given_up: Vec<Child>,
    /// Workers that were asked to finish.
    leaving: Vec<Worker>,
    /// Reloads that led to a new worker, and those since then that did not.
    reloads: u32,
    failed: u32,
    /// Reloads that a worker may outlive.
    max_reloads: Option<u32>,
    /// No new worker is wanted, and the end of one is no surprise.
    stopping: bool,
    /// With what the master ends once its workers have.
    code: ExitCode,
}

/// A worker that serves, or still finishes.
struct Worker {
    serving: Serving,
    since: Instant,
    /// The reloads it has seen.
    reloads: u32,
}

impl Worker {
    fn new(serving: Serving) -> Self {
        Self {
            serving,
            since: Instant::now(),
            reloads: 0,
        }
    }

    fn id(&self) -> u32 {
        self.serving.child.id()
    }
}

/// A worker that is to serve.
struct Next {
    starting: Starting,
    serves: JoinHandle<bool>,
    deadline: Instant,
    /// Who waits for what becomes of it.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What became of it.
enum Outcome {
    Serves,
    Ended,
    TooLate,
}

impl Next {
    /// Waits until it is known; for ever where there is none.
    async fn outcome(next: &mut Option<Self>) -> Outcome {
        let Some(next) = next else {
            return std::future::pending().await;
        };
        match timeout_at(next.deadline.into(), &mut next.serves).await {
            Ok(Ok(true)) => Outcome::Serves,
            Ok(_) => Outcome::Ended,
            Err(_) => Outcome::TooLate,
        }
    }
}

/// Runs the master until its workers are gone.
pub(super) fn run(
    itself: &Itself,
    arguments: &[OsString],
    flags: &Flags,
    snapshot: &Snapshot,
    background: bool,
) -> ExitCode {
    let voice = super::voice(flags);
    let configured = snapshot
        .process
        .pid_file
        .as_ref()
        .map(|it| Path::new(&it.value));
    let path = flags.pid_file.as_deref().or(configured);
    let _pid_file = match path.map(PidFile::write).transpose() {
        Ok(file) => file,
        Err(error) => return super::fail(flags, &format!("cannot write the pid file: {error}")),
    };
    let sockets = master_socket::bind(&flags.master_sockets, !flags.finish.is_empty());
    let mut sockets = match sockets {
        Ok(sockets) => sockets,
        Err(message) => return super::fail(flags, &message),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(flags, &format!("cannot start the runtime: {error}")),
    };
    runtime.block_on(async {
        // Before anybody is told that this serves: a signal that is not waited for would end the master.
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return super::fail(flags, &format!("cannot wait for signals: {error}")),
        };
        let current = match itself.start(&worker(arguments, &[]), &[]) {
            Ok(Ok(serving)) => serving,
            Ok(Err(status)) => return background::ended(status),
            Err(error) => return super::fail(flags, &format!("cannot start a worker: {error}")),
        };
        let (ask, asked) = mpsc::channel(master_socket::QUESTIONS);
        let _sockets = match sockets.serve(&ask) {
            Ok(tasks) => tasks,
            Err(error) => return super::fail(flags, &format!("cannot serve `-S`: {error}")),
        };
        let id = current.child.id();
        voice.tell(Severity::Note, &format!("New worker ({id}) forked"));
        let line = format!("worker {id} serves");
        Nobody::open().tell_serving(background, line);
        let master = Master {
            itself,
            arguments,
            voice,
            systemd: flags.systemd,
            since: Instant::now(),
            current: Worker::new(current),
            next: None,
            again: None,
            given_up: Vec::new(),
            leaving: Vec::new(),
            reloads: 0,
            failed: 0,
            max_reloads: snapshot.process.max_reloads,
            stopping: false,
            code: ExitCode::SUCCESS,
        };
        master.wait(signals, asked).await
    })
}

/// The signals that a master waits for.
struct Signals {
    child: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
    hangup: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// The arguments of a worker that asks `old` to finish: those of the master, and the old one's in place of what it was told.
fn worker(arguments: &[OsString], old: &[u32]) -> Vec<OsString> {
    let mut all = vec![OsString::from(WORKER)];
    let mut given = arguments.iter().peekable();
    while let Some(argument) = given.next() {
        let word = argument.to_string_lossy();
        match word.as_ref() {
            // The first worker asks those that the master was told of; later ones the worker before.
            "-sf" | "-st" if !old.is_empty() => {
                while given
                    .next_if(|it| !it.to_string_lossy().starts_with('-'))
                    .is_some()
                {}
            }
            "--" => {
                all.extend(finish(old));
                all.push(argument.clone());
                all.extend(given.by_ref().cloned());
                return all;
            }
            _ => all.push(argument.clone()),
        }
    }
    all.extend(finish(old));
    all
}

fn finish(old: &[u32]) -> Vec<OsString> {
    if old.is_empty() {
        return Vec::new();
    }
    let pids = old.iter().map(|pid| OsString::from(pid.to_string()));
    std::iter::once(OsString::from("-sf")).chain(pids).collect()
}

/// A connection to the control socket of a worker.
fn connect(worker: &Serving, level: ControlLevel) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    worker.hand(&theirs, level)?;
    Ok(ours)
}

/// How long something has been there, as HAProxy writes it.
fn uptime(since: Instant) -> String {
    let seconds = since.elapsed().as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    format!(
        "{days}d{hours:02}h{:02}m{:02}s",
        seconds / 60 % 60,
        seconds % 60
    )
}

impl Master<'_> {
    async fn wait(mut self, mut signals: Signals, mut asked: mpsc::Receiver<Question>) -> ExitCode {
        loop {
            // A worker may have ended before its signal was waited for.
            if let Some(code) = self.reap() {
                return code;
            }
            tokio::select! {
                _ = signals.child.recv() => {}
                outcome = Next::outcome(&mut self.next) => self.replace(outcome),
                Some(question) = asked.recv() => self.answer(question),
                _ = signals.user2.recv() => self.reload(Vec::new()),
                _ = signals.hangup.recv() => self.reload(Vec::new()),
                _ = signals.user1.recv() => self.stop(Signal::USR1),
                _ = signals.terminate.recv() => self.stop(Signal::TERM),
                // As a shell has it for a program that the signal killed; HAProxy's master ends with that too.
                _ = signals.interrupt.recv() => {
                    self.code = ExitCode::from(130);
                    self.stop(Signal::TERM);
                }
            }
        }
    }

    /// Takes note of workers that ended; `Some` where the master's end has come.
    fn reap(&mut self) -> Option<ExitCode> {
        self.leaving
            .retain_mut(|it| !matches!(it.serving.child.try_wait(), Ok(Some(_))));
        self.given_up
            .retain_mut(|it| !matches!(it.try_wait(), Ok(Some(_))));
        if self.next.is_some() {
            // It may have been asked to finish by the one that serves now, which is heard of next.
            return None;
        }
        let ended = self.current.serving.child.try_wait().ok().flatten()?;
        if self.stopping {
            return self.leaving.is_empty().then_some(self.code);
        }
        let id = self.current.id();
        let text = format!("Current worker ({id}) exited with {ended}: the master ends too");
        self.voice.tell(Severity::Error, &text);
        self.pass_on(Signal::TERM);
        Some(background::ended(ended))
    }

    /// Starts a new worker; who is `waiting` hears of it once it is known what becomes of that.
    fn reload(&mut self, waiting: Vec<oneshot::Sender<()>>) {
        if self.stopping {
            return;
        }
        if self.next.is_some() {
            // The one that starts may have read the configuration before it was changed.
            self.again.get_or_insert_default().extend(waiting);
            return;
        }
        if self.systemd {
            systemd::reloading();
        }
        self.voice.tell(Severity::Note, "Reloading HAProxy");
        let arguments = worker(self.arguments, &[self.current.id()]);
        let connect = |_| connect(&self.current.serving, ControlLevel::Admin);
        let before: io::Result<Vec<UnixStream>> = (0..CONNECTIONS).map(connect).collect();
        match self.begin(&arguments, &before.unwrap_or_default()) {
            Ok(next) => self.next = Some(Next { waiting, ..next }),
            Err(error) => {
                self.failed(&format!("cannot start a worker: {error}"));
            }
        }
    }

    fn begin(&self, arguments: &[OsString], before: &[UnixStream]) -> io::Result<Next> {
        let starting = self.itself.begin(arguments, before)?;
        match starting.serves() {
            Ok(serves) => Ok(Next {
                starting,
                serves,
                deadline: Instant::now() + READY_WITHIN,
                waiting: Vec::new(),
            }),
            Err(error) => {
                drop(starting.give_up().wait());
                Err(error)
            }
        }
    }

    /// The new worker serves, has ended, or has not come to it in time.
    fn replace(&mut self, outcome: Outcome) {
        let Some(next) = self.next.take() else {
            return;
        };
        let id = next.starting.id();
        match outcome {
            Outcome::Serves => {
                let text = format!("New worker ({id}) forked");
                self.voice.tell(Severity::Note, &text);
                let new = Worker::new(next.starting.serving());
                self.leaving.push(std::mem::replace(&mut self.current, new));
                self.reloads += 1;
                self.failed = 0;
                self.end_old_ones();
                self.tell_serving();
            }
            Outcome::Ended => {
                let mut child = next.starting.give_up();
                let status = child.wait();
                let status = status.map_or_else(|it| it.to_string(), |it| it.to_string());
                self.failed(&format!("Failed to load worker ({status})"));
            }
            Outcome::TooLate => {
                self.given_up.push(next.starting.give_up());
                let within = READY_WITHIN.as_secs();
                self.failed(&format!(
                    "New worker ({id}) did not serve within {within} seconds and was ended"
                ));
            }
        }
        drop(next.waiting);
        if let Some(waiting) = self.again.take() {
            self.reload(waiting);
        }
    }

    /// A reload has led to nothing.
    fn failed(&mut self, why: &str) {
        self.failed += 1;
        let text = format!("{why}: the worker before goes on");
        self.voice.tell(Severity::Error, &text);
        self.tell_serving();
    }

    fn tell_serving(&self) {
        if self.systemd {
            let line = format!("worker {} serves", self.current.id());
            systemd::supervise(Doing::Serving(line));
        }
    }

    /// Counts a reload, and ends workers that have seen too many of them.
    fn end_old_ones(&mut self) {
        for old in &mut self.leaving {
            old.reloads = old.reloads.saturating_add(1);
            if self.max_reloads.is_some_and(|most| old.reloads > most) {
                // One that has gone already needs no telling.
                let _ = kill_process(Pid::from_child(&old.serving.child), Signal::TERM);
            }
        }
    }

    /// Answers who has connected to the master.
    fn answer(&mut self, question: Question) {
        // Who has gone meanwhile needs no answer.
        match question {
            Question::Processes(answer) => drop(answer.send(self.processes())),
            Question::Reload(over) => self.reload(vec![over]),
            Question::Worker(whom, level, answer) => {
                let all = || std::iter::once(&self.current).chain(&self.leaving);
                let worker = match whom {
                    Whom::Master => None,
                    Whom::Current => Some(&self.current),
                    Whom::Process(id) => all().find(|it| it.id() == id),
                };
                let connected = worker.and_then(|worker| {
                    let stream = connect(&worker.serving, level).ok()?;
                    Some((stream, worker.id()))
                });
                drop(answer.send(connected));
            }
        }
    }

    /// What `show proc` says.
    fn processes(&self) -> String {
        let row = |id: &str, kind: &str, reloads: &str, uptime: &str, version: &str| {
            format!("{id:<15} {kind:<15} {reloads:<15} {uptime:<15} {version:<15}\n")
        };
        let version = version::version();
        let worker = |it: &Worker| {
            let (id, reloads) = (it.id().to_string(), it.reloads.to_string());
            row(&id, "worker", &reloads, &uptime(it.since), &version)
        };
        let mut text = row("#<PID>", "<type>", "<reloads>", "<uptime>", "<version>");
        let id = std::process::id().to_string();
        let reloads = format!("{} [failed: {}]", self.reloads, self.failed);
        text += &row(&id, "master", &reloads, &uptime(self.since), &version);
        text += "# workers\n";
        text += &worker(&self.current);
        if !self.leaving.is_empty() {
            text += "# old workers\n";
            text.extend(self.leaving.iter().map(worker));
        }
        text += "# programs\n";
        text
    }

    fn stop(&mut self, how: Signal) {
        if self.systemd && !self.stopping {
            systemd::supervise(Doing::Stopping("stops".to_owned()));
        }
        self.stopping = true;
        if let Some(next) = self.next.take() {
            self.given_up.push(next.starting.give_up());
        }
        self.pass_on(how);
    }

    fn pass_on(&self, how: Signal) {
        for worker in self.leaving.iter().chain([&self.current]) {
            // One that has gone already needs no telling; until it is waited for, nobody else has its number.
            let _ = kill_process(Pid::from_child(&worker.serving.child), how);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_workers() {
        let check = |given: &str, old: &[u32], expected: &str| {
            let given: Vec<OsString> = given.split_whitespace().map(OsString::from).collect();
            let made = worker(&given, old);
            let made: Vec<String> = made.iter().map(|it| it.to_string_lossy().into()).collect();
            assert_eq!(made.join(" "), expected);
            assert!(part(&worker(&given, old)).1);
        };
        check(
            "-W -f a -sf 1 2 -q",
            &[],
            "--portway-worker -W -f a -sf 1 2 -q",
        );
        check(
            "-W -f a -sf 1 2 -q",
            &[7],
            "--portway-worker -W -f a -q -sf 7",
        );
        check("-Ws -- a b", &[7], "--portway-worker -Ws -sf 7 -- a b");
    }
}
