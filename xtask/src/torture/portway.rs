//! The Portway under test: its configuration, its process, and what the system and its metrics say of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::wire::{self, Line};
use crate::process;

/// How long a start, a stop or the return to zero may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Every line of the log is looked at, every so many are read as JSON.
const PARSED_LINES: u64 = 16;

/// The addresses of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) raw: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) stable: [SocketAddr; 2],
    pub(super) flapping: SocketAddr,
    pub(super) hasty: SocketAddr,
    pub(super) streams: SocketAddr,
}

/// A running Portway. Dropping it kills the process.
pub(super) struct Portway {
    child: Child,
    folder: PathBuf,
    admin: SocketAddr,
}

/// A look at the metrics: values by name with labels.
#[derive(Debug)]
pub(super) struct Metrics(BTreeMap<String, u64>);

/// What the access log holds.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) http: u64,
    pub(super) tcp: u64,
    pub(super) by_user_agent: BTreeMap<String, u64>,
    pub(super) bytes: u64,
    /// Lines that are no record.
    pub(super) broken: u64,
}

impl Portway {
    /// Makes a certificate and a configuration in `folder`, starts, and waits until it is ready.
    pub(super) fn start(binary: &Path, folder: &Path, at: &Addresses) -> Result<Self, String> {
        let mut certificate = process::program(binary);
        let files = ["--out-cert", "cert.pem", "--out-key", "key.pem"];
        certificate
            .current_dir(folder)
            .args(["-q", "cert", "self-signed", wire::HOST])
            .args(files);
        process::quiet(&mut certificate)?;
        let said = |e: std::io::Error| format!("{}: {e}", folder.display());
        fs::write(folder.join("torture.toml"), configuration(at)).map_err(said)?;
        let errors = File::create(folder.join("stderr")).map_err(said)?;
        let child = process::program(binary)
            .current_dir(folder)
            .args(["run", "torture.toml"])
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{}: {e}", binary.display()))?;
        let mut portway = Self {
            child,
            folder: folder.to_owned(),
            admin: at.admin,
        };
        let begun = Instant::now();
        while portway.get("/readyz").is_none() || !portway.healthy() {
            if portway.has_ended() || begun.elapsed() > DEADLINE {
                return Err(format!("portway did not get ready:\n{}", portway.errors()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(portway)
    }

    /// True where the process is there no more.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn stop(&mut self) -> Result<ExitStatus, String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("a process without number")?;
        kill_process(pid, Signal::TERM).map_err(|e| format!("SIGTERM: {e}"))?;
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("it did not stop".to_owned())
    }

    /// What it said on its error stream.
    pub(super) fn errors(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Resident memory in KiB; 0 where the process is gone.
    pub(super) fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// CPU time that it has used, user and system, in seconds.
    pub(super) fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // Behind the name in parentheses: the 12th and 13th are user and system time in hundredths of a second.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: f64 = rest
            .split(' ')
            .skip(11)
            .take(2)
            .flat_map(str::parse::<f64>)
            .sum();
        ticks / 100.0
    }

    /// Open file descriptors: the fewest of several looks, because health checks come and go.
    pub(super) fn descriptors(&self) -> usize {
        let look = || {
            std::thread::sleep(Duration::from_millis(100));
            fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
        };
        (0..10).map(|_| look()).min().unwrap_or(0)
    }

    /// Its metrics now.
    pub(super) fn metrics(&self) -> Result<Metrics, String> {
        let text = self.get("/metrics").ok_or("no metrics")?;
        Ok(Metrics::parse(&text))
    }

    /// Reads the access log.
    pub(super) fn records(&self) -> Result<Records, String> {
        let path = self.folder.join("access.log");
        let file = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut records = Records::default();
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|e| format!("{}: {e}", path.display()))?;
            records.take(number as u64, &line);
        }
        Ok(records)
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut line = Line::connect(self.admin).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        line.send(request.as_bytes()).ok()?;
        let head = line.response().ok()?;
        let body = line.body(wire::ending(&head, true)).ok()?;
        (head.status() == 200).then(|| String::from_utf8_lossy(&body).into_owned())
    }

    /// True once every target was found healthy.
    fn healthy(&self) -> bool {
        self.metrics().is_ok_and(|metrics| {
            let mut states = metrics.named("portway_target_health").peekable();
            states.peek().is_some() && states.all(|(_, value)| value == 1)
        })
    }
}

impl Drop for Portway {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(values.collect())
    }

    /// The sum over all labels.
    pub(super) fn sum(&self, name: &str) -> u64 {
        self.named(name).map(|(_, value)| value).sum()
    }

    /// The sum over those with this label.
    pub(super) fn with(&self, name: &str, label: &str) -> u64 {
        let named = self
            .named(name)
            .filter(|(labels, _)| labels.contains(label));
        named.map(|(_, value)| value).sum()
    }

    /// Labels and value of each with this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().filter_map(move |(key, value)| {
            let labels = key.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, *value))
        })
    }
}

impl Records {
    fn take(&mut self, number: u64, line: &str) {
        self.bytes += line.len() as u64 + 1;
        let whole = line.starts_with('{') && line.ends_with('}');
        let read = || serde_json::from_str::<Value>(line).is_ok();
        if !whole || (number.is_multiple_of(PARSED_LINES) && !read()) {
            self.broken += 1;
            return;
        }
        match member(line, "kind") {
            Some("http") => self.http += 1,
            Some("tcp") => self.tcp += 1,
            _ => self.broken += 1,
        }
        if let Some(name) = member(line, "user_agent") {
            match self.by_user_agent.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    self.by_user_agent.insert(name.to_owned(), 1);
                }
            }
        }
    }
}

/// The text of a member, where it has no escapes.
fn member<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{key}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// The configuration under test: every sort of listener, a group that is always there and one that is not.
fn configuration(at: &Addresses) -> String {
    let Addresses {
        http,
        https,
        raw,
        admin,
        stable: [first, second],
        flapping,
        hasty,
        streams,
    } = at;
    format!(
        r#"[process]
workers = 2
admin = "{admin}"
shutdown_deadline = "15s"

[listener.http]
bind = "{http}"
request_id = "X-Request-Id"
access_log = {{ format = "json", to = "file:access.log" }}
rule = [
    {{ when = "PathPrefix(`/flap`)", forward = "flapping" }},
    {{ when = "PathPrefix(`/hasty`)", forward = "hasty" }},
]
forward = "stable"
timeouts = {{ request_head = "5s", keep_alive = "12h", client = "20s", tunnel = "1m" }}

[listener.https]
bind = "{https}"
certificates = "torture"
access_log = {{ format = "json", to = "file:access.log" }}
rule = [
    {{ when = "PathPrefix(`/flap`)", forward = "flapping" }},
    {{ when = "PathPrefix(`/hasty`)", forward = "hasty" }},
]
forward = "stable"
timeouts = {{ request_head = "5s", keep_alive = "12h", client = "20s", tunnel = "1m" }}

[listener.raw]
bind = "{raw}"
protocol = "tcp"
access_log = {{ format = "json", to = "file:access.log" }}
forward = "streams"
timeouts = {{ tunnel = "1m" }}

[certificate.torture]
file = "cert.pem"
key = "key.pem"

[target_group.stable]
targets = ["{first}", "{second}"]
health_check = {{ http = "/health", interval = "1s", timeout = "1s", unhealthy_threshold = 30 }}
timeouts = {{ idle = "5s" }}

[target_group.flapping]
targets = ["{flapping}", "{second}"]
health_check = {{ http = "/health", interval = "1s", timeout = "1s" }}
timeouts = {{ idle = "5s" }}

[target_group.hasty]
targets = ["{hasty}"]
health_check = {{ tcp = true, interval = "1s", timeout = "1s" }}
timeouts = {{ idle = "5s" }}

[target_group.streams]
targets = ["{streams}"]
health_check = {{ tcp = true, interval = "1s", timeout = "1s", unhealthy_threshold = 30 }}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_by_name_and_label() {
        let metrics =
            Metrics::parse("# HELP a_b x\na_b{l=\"x\"} 2\na_b{l=\"y\"} 3\na_b_c 7\na 1\n");
        assert_eq!(metrics.sum("a_b"), 5);
        assert_eq!(metrics.with("a_b", "l=\"y\""), 3);
        assert_eq!(metrics.sum("a"), 1);
        assert_eq!(metrics.sum("none"), 0);
    }

    #[test]
    fn records_are_counted() {
        let mut records = Records::default();
        for line in [
            r#"{"kind":"http","user_agent":"idle"}"#,
            r#"{"kind":"tcp"}"#,
            r#"{"kind":"http","user_agent":"idle"}"#,
            "{",
            r#"{"kind":"other"}"#,
        ] {
            records.take(1, line);
        }
        assert_eq!((records.http, records.tcp, records.broken), (2, 1, 2));
        assert_eq!(records.by_user_agent.get("idle"), Some(&2));
    }
}
