//! `-W`: a master that serves nothing, starts workers and passes signals on.
//!
//! SIGUSR2 and SIGHUP start a new worker, which asks the one before to finish once it serves; where it does not come to serve,
//! the one before goes on and nothing changes. SIGUSR1 lets all workers finish, SIGTERM and SIGINT end them. A worker that
//! ends unasked ends the master with its status: whoever watches the service starts it again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use portway_control::pid_file::PidFile;
use portway_model::diagnostic::Severity;
use portway_model::snapshot::Snapshot;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind, signal};

use super::flags::Flags;
use super::messages::Voice;
use crate::background::{self, Itself, Serving};

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
    current: Serving,
    /// Workers that were asked to finish.
    leaving: Vec<Serving>,
    /// No new worker is wanted, and the end of one is no surprise.
    stopping: bool,
    /// With what the master ends once its workers have.
    code: ExitCode,
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
        let current = match itself.start(&worker(arguments, &[])) {
            Ok(Ok(serving)) => serving,
            Ok(Err(status)) => return background::ended(status),
            Err(error) => return super::fail(flags, &format!("cannot start a worker: {error}")),
        };
        let id = current.child.id();
        voice.tell(Severity::Note, &format!("New worker ({id}) forked"));
        background::tell_serving(background);
        let master = Master {
            itself,
            arguments,
            voice,
            systemd: flags.systemd,
            current,
            leaving: Vec::new(),
            stopping: false,
            code: ExitCode::SUCCESS,
        };
        master.wait(signals).await
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

impl Master<'_> {
    async fn wait(mut self, mut signals: Signals) -> ExitCode {
        loop {
            // A worker may have ended before its signal was waited for.
            if let Some(code) = self.reap() {
                return code;
            }
            tokio::select! {
                _ = signals.child.recv() => {}
                _ = signals.user2.recv() => self.reload(),
                _ = signals.hangup.recv() => self.reload(),
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
            .retain_mut(|it| !matches!(it.child.try_wait(), Ok(Some(_))));
        let ended = self.current.child.try_wait().ok().flatten()?;
        if self.stopping {
            return self.leaving.is_empty().then_some(self.code);
        }
        let id = self.current.child.id();
        let text = format!("Current worker ({id}) exited with {ended}: the master ends too");
        self.voice.tell(Severity::Error, &text);
        self.pass_on(Signal::TERM);
        Some(background::ended(ended))
    }

    fn reload(&mut self) {
        if self.stopping {
            return;
        }
        if self.systemd {
            background::tell_systemd("RELOADING=1");
        }
        self.voice.tell(Severity::Note, "Reloading HAProxy");
        let arguments = worker(self.arguments, &[self.current.child.id()]);
        match self.itself.start(&arguments) {
            Ok(Ok(serving)) => {
                self.voice.tell(
                    Severity::Note,
                    &format!("New worker ({}) forked", serving.child.id()),
                );
                self.leaving
                    .push(std::mem::replace(&mut self.current, serving));
            }
            Ok(Err(status)) => {
                let text = format!("Failed to load worker ({status}): the worker before goes on");
                self.voice.tell(Severity::Error, &text);
            }
            Err(error) => {
                let text = format!("cannot start a worker: {error}: the worker before goes on");
                self.voice.tell(Severity::Error, &text);
            }
        }
        if self.systemd {
            background::tell_systemd("READY=1");
        }
    }

    fn stop(&mut self, how: Signal) {
        if self.systemd && !self.stopping {
            background::tell_systemd("STOPPING=1");
        }
        self.stopping = true;
        self.pass_on(how);
    }

    fn pass_on(&self, how: Signal) {
        for serving in self.leaving.iter().chain([&self.current]) {
            // One that has gone already needs no telling; until it is waited for, nobody else has its number.
            let _ = kill_process(Pid::from_child(&serving.child), how);
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
