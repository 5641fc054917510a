//! The Portway of a run, which is another process after each upgrade: what is asked of it, and what the system says of it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::super::tally::Tally;
use super::super::wire::{self, Line};
use crate::process;

/// How long a start, a stop or the return to rest may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Gauges that are 0 when nobody is there.
const GAUGES: [&str; 3] = [
    "portway_listener_connections_open{",
    "portway_listener_requests_in_flight{",
    "portway_target_requests_in_flight{",
];

/// A running Portway. Dropping it ends every process of it.
pub(super) struct Process {
    child: Child,
    /// All that there have been, the one that serves last.
    pids: Vec<Pid>,
    binary: PathBuf,
    folder: PathBuf,
    admin: SocketAddr,
}

/// What a command answered.
pub(super) struct Said {
    pub(super) ok: bool,
    pub(super) text: String,
}

impl Process {
    pub(super) fn start(binary: &Path, folder: &Path, admin: SocketAddr) -> Result<Self, String> {
        let said = |e: std::io::Error| format!("{}: {e}", folder.display());
        let errors = File::create(folder.join("stderr")).map_err(said)?;
        let child = process::program(binary)
            .current_dir(folder)
            .args(["run", "torture.toml"])
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{}: {e}", binary.display()))?;
        let mut started = Self {
            pids: vec![Pid::from_child(&child)],
            child,
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            admin,
        };
        let begun = Instant::now();
        while started.ask("GET /readyz").is_err() {
            let ended = !matches!(started.child.try_wait(), Ok(None));
            if ended || begun.elapsed() > DEADLINE {
                return Err(format!("portway did not get ready:\n{}", started.errors()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(started)
    }

    /// The process that serves.
    pub(super) fn pid(&self) -> Pid {
        self.pids.last().copied().unwrap_or(Pid::INIT)
    }

    /// What it said on its error stream.
    pub(super) fn errors(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    pub(super) fn reload(&self) -> Result<Said, String> {
        self.command("POST /reload")
    }

    pub(super) fn reload_certificates(&self) -> Result<Said, String> {
        self.command("POST /reload?certificates")
    }

    /// Reloads without waiting for it.
    pub(super) fn hangup(&self) {
        // One that is gone is found out by the next command.
        let _ = kill_process(self.pid(), Signal::HUP);
    }

    /// Another process of the program takes over.
    pub(super) fn upgrade(&mut self) -> Result<(), String> {
        let admin = self.admin.to_string();
        let mut command = process::program(&self.binary);
        command.args(["upgrade", "--admin", &admin]);
        process::both(&mut command)?;
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            let pid = self
                .status()
                .ok()
                .and_then(|it| it.pointer("/process/pid")?.as_i64());
            let pid = pid.and_then(|it| Pid::from_raw(it.try_into().ok()?));
            if let Some(pid) = pid.filter(|pid| *pid != self.pid()) {
                self.pids.push(pid);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("no other process serves after an upgrade".to_owned())
    }

    pub(super) fn generation(&self) -> Result<u64, String> {
        let status = self.status()?;
        let generation = status.pointer("/process/generation");
        let generation = generation.and_then(Value::as_u64);
        generation.ok_or_else(|| "a status without generation".to_owned())
    }

    /// Waits until nobody is there any more.
    pub(super) fn at_rest(&self, tally: &Tally) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let (_, metrics) = self.ask("GET /metrics")?;
            let is_gauge = |line: &&str| GAUGES.iter().any(|it| line.starts_with(it));
            let gauges = metrics.lines().filter(is_gauge);
            let left: Vec<&str> = gauges.filter(|line| !line.ends_with(" 0")).collect();
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > DEADLINE {
                left.iter()
                    .for_each(|line| tally.fail(format_args!("at rest, {line}")));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks the one that serves to stop, and waits until all have.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        kill_process(self.pid(), Signal::TERM).map_err(|e| format!("SIGTERM: {e}"))?;
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            let _ = self.child.try_wait();
            if self.pids.iter().all(|pid| !self.is_there(*pid)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("it did not stop".to_owned())
    }

    /// True where the process is there, and is one of this run.
    fn is_there(&self, pid: Pid) -> bool {
        let folder = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
        let is_ours = folder.is_ok_and(|it| it == self.folder);
        is_ours && test_kill_process(pid).is_ok()
    }

    fn status(&self) -> Result<Value, String> {
        let (_, text) = self.ask("GET /status")?;
        serde_json::from_str(&text).map_err(|e| format!("the status: {e}"))
    }

    fn command(&self, what: &str) -> Result<Said, String> {
        let (status, text) = self.ask(what)?;
        match status {
            200 => Ok(Said { ok: true, text }),
            422 => Ok(Said {
                ok: false,
                text: errors(&text),
            }),
            _ => Err(format!("{what}: {status} {text}")),
        }
    }

    fn ask(&self, what: &str) -> Result<(u16, String), String> {
        let failed = |trouble: &dyn std::fmt::Display| format!("{what}: {trouble}");
        let mut line = Line::connect(self.admin).map_err(|e| failed(&e.text))?;
        let request = format!(
            "{what} HTTP/1.1\r\nHost: localhost\r\nPortway-Command: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        line.send(request.as_bytes()).map_err(|e| failed(&e))?;
        let head = line.response().map_err(|e| failed(&e.text))?;
        let body = line
            .body(wire::ending(&head, true))
            .map_err(|e| failed(&e.text))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match head.status() {
            503 => Err(failed(&text)),
            status => Ok((status, text)),
        }
    }
}

/// What was wrong, of an answer to a reload.
fn errors(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let found = answer.pointer("/diagnostics").and_then(Value::as_array);
    let word = |one: &Value, key: &str| {
        let word = one.get(key).and_then(Value::as_str);
        word.unwrap_or_default().to_owned()
    };
    let found = found.into_iter().flatten();
    let errors = found.filter(|one| word(one, "severity") == "error");
    let errors: Vec<String> = errors
        .map(|one| format!("{} {}", word(one, "place"), word(one, "message")))
        .collect();
    errors.join("; ")
}

impl Drop for Process {
    fn drop(&mut self) {
        for pid in &self.pids {
            if self.is_there(*pid) {
                let _ = kill_process(*pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}
