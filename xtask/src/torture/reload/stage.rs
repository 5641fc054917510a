//! Configurations that a seed draws, around what every one of them has.
//!
//! What is never touched: listeners `http`, `https` and `raw`, groups `stable` and `streams`. Everything else comes, goes and
//! changes: listeners that share a few ports among them, groups over targets of which some go away, names, weights, rules, maps,
//! logs, the order of all of it, and the certificate of `https`.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::super::Ground;
use super::super::chance::Chance;
use super::super::portway::Addresses;
use super::super::wire::{self, Line};
use crate::process;

/// Ports that listeners move between.
const PORTS: usize = 6;
/// Names of listeners and groups: fewer than there are configurations, so that some come back.
const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

pub(super) struct Stage {
    chance: Chance,
    folder: PathBuf,
    at: Addresses,
    ports: Vec<u16>,
    /// The latest good configuration.
    good: String,
    /// A listener that it has.
    probe: Option<Probe>,
}

/// What is done next. Its files are written.
#[derive(Debug)]
pub(super) enum Step {
    /// A configuration that must be taken.
    Good,
    /// One that must be refused.
    Bad { why: &'static str },
    /// Another certificate of a listener that stays.
    Certificates,
    /// Several reloads at once.
    Burst,
    /// A target goes away for the time of a reload.
    Flap { target: usize, reset: bool },
}

/// A listener that must answer so.
#[derive(Debug)]
struct Probe {
    port: u16,
    step: u64,
}

impl Stage {
    /// Makes certificates, and writes the first configuration.
    pub(super) fn new(
        seed: u64,
        folder: &Path,
        binary: &Path,
        at: &Addresses,
    ) -> Result<Self, String> {
        let taken = [
            at.http,
            at.https,
            at.raw,
            at.admin,
            at.flapping,
            at.hasty,
            at.streams,
        ];
        let taken = taken.iter().chain(&at.stable).map(SocketAddr::port);
        let from = taken.max().unwrap_or(0).saturating_add(1);
        let free = (from..).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let mut stage = Self {
            chance: Chance::new(seed, 1_000_000),
            folder: folder.to_owned(),
            at: *at,
            ports: free.take(PORTS).collect(),
            good: String::new(),
            probe: None,
        };
        let mut trusted = String::new();
        for name in ["one", "two"] {
            let [pem, key] = ["pem", "key"].map(|end| format!("{name}.{end}"));
            let mut make = process::program(binary);
            make.current_dir(folder)
                .args(["-q", "cert", "self-signed", wire::HOST])
                .args(["--out-cert", &pem, "--out-key", &key]);
            process::quiet(&mut make)?;
            trusted += &fs::read_to_string(folder.join(&pem)).unwrap_or_default();
        }
        stage.write("trusted.pem", &trusted)?;
        stage.show("one")?;
        stage.write("m.map", "k first\n")?;
        stage.first()?;
        Ok(stage)
    }

    /// The configuration that has nothing but what is never touched.
    pub(super) fn first(&mut self) -> Result<(), String> {
        (self.good, self.probe) = (self.untouched().concat(), None);
        self.restore()
    }

    /// The latest good configuration, once more.
    pub(super) fn restore(&self) -> Result<(), String> {
        self.write("torture.toml", &self.good)
    }

    /// Draws what is next.
    pub(super) fn next(&mut self, nth: u64) -> Step {
        // Whoever draws writes a folder of its own: it is there, and has room.
        let written =
            |result: Result<(), String>| result.unwrap_or_else(|e| eprintln!("torture: {e}"));
        match self.chance.below(20) {
            0 | 1 => {
                let (why, text) = self.bad(nth);
                written(self.write("torture.toml", &text));
                Step::Bad { why }
            }
            2 => {
                let name = if self.shown("one") { "two" } else { "one" };
                written(self.show(name));
                Step::Certificates
            }
            3 => {
                (self.good, self.probe) = self.draw(nth);
                written(self.restore());
                Step::Burst
            }
            4 => {
                (self.good, self.probe) = self.draw(nth);
                written(self.restore());
                Step::Flap {
                    target: self.chance.below(2),
                    reset: self.chance.one_in(2),
                }
            }
            _ => {
                (self.good, self.probe) = self.draw(nth);
                written(self.restore());
                Step::Good
            }
        }
    }

    /// Asks a listener that must be there now.
    pub(super) fn probe(&self, ground: &Ground) -> Result<(), String> {
        let Some(Probe { port, step }) = &self.probe else {
            return Ok(());
        };
        let said = |it: super::super::tally::Trouble| format!("port {port}: {}", it.text);
        let mut line = Line::connect(SocketAddr::from(([127, 0, 0, 1], *port))).map_err(said)?;
        let request = format!(
            "GET /bytes/9/100/length HTTP/1.1\r\nHost: {}\r\nX-Marker: {}\r\nConnection: close\r\n\r\n",
            wire::HOST,
            ground.marker
        );
        line.send(request.as_bytes())
            .map_err(|e| format!("port {port}: {e}"))?;
        let head = line.response().map_err(said)?;
        let body = line.body(wire::ending(&head, true)).map_err(said)?;
        if head.status() != 200 || head.number("x-step") != Some(*step) {
            return Err(format!(
                "port {port} does not answer as step {step}: {head:?}"
            ));
        }
        ground.pattern.compare(9, 100, &body)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        // Renamed into its place, so that nobody reads half of it.
        let (path, new) = (
            self.folder.join(name),
            self.folder.join(format!("{name}.new")),
        );
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.map_err(|e| format!("{}: {e}", path.display()))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Makes a certificate the one that is shown.
    fn show(&self, name: &str) -> Result<(), String> {
        self.write("key.pem", &self.read(&format!("{name}.key")))?;
        self.write("cert.pem", &self.read(&format!("{name}.pem")))
    }

    fn shown(&self, name: &str) -> bool {
        self.read("cert.pem") == self.read(&format!("{name}.pem"))
    }

    /// A configuration with mistakes, one of them enough.
    fn bad(&mut self, nth: u64) -> (&'static str, String) {
        let (good, _) = self.draw(nth);
        let taken = self.at.stable[0];
        match self.chance.below(6) {
            0 => ("half a section", good + "[listener.broken\n"),
            1 => (
                "an unknown group",
                good + "[listener.x]\nbind = '127.0.0.1:1'\nforward = 'nobody'\n",
            ),
            2 => {
                let text = format!("[listener.x]\nbind = '{taken}'\nforward = 'stable'\n");
                ("an address that is taken", good + &text)
            }
            3 => (
                "a certificate that is not there",
                good + "[certificate.x]\nfile = 'none.pem'\nkey = 'none.key'\n",
            ),
            4 => (
                "a name twice",
                good + "[target_group.stable]\ntargets = ['127.0.0.1:1']\n",
            ),
            _ => {
                let text = format!(
                    "[listener.x]\nbind = '{}'\nforward = 'stable'\n",
                    self.at.http
                );
                ("an address twice", good + &text)
            }
        }
    }

    /// A good configuration, and a listener that it has.
    fn draw(&mut self, nth: u64) -> (String, Option<Probe>) {
        let mut parts = self.untouched();
        let groups: Vec<&str> = NAMES
            .into_iter()
            .filter(|_| self.chance.one_in(2))
            .collect();
        for name in &groups {
            parts.push(self.group(name));
        }
        if self.chance.one_in(4) {
            let text = format!("k{} value\n", self.chance.below(4));
            // What cannot be written stays as it was.
            let _ = self.write("m.map", &text);
        }
        let mut ports = self.ports.clone();
        let mut names = NAMES.to_vec();
        let mut probe = None;
        for _ in 0..self.chance.below(PORTS) {
            let port = ports.swap_remove(self.chance.below(ports.len()));
            let name = names.swap_remove(self.chance.below(names.len()));
            let group = self.chance.pick(&groups).copied().unwrap_or("stable");
            parts.push(self.listener(name, port, group, nth));
            probe = Some(Probe { port, step: nth });
        }
        // In another order each time.
        for at in (1..parts.len()).rev() {
            parts.swap(at, self.chance.below(at + 1));
        }
        (parts.concat(), probe)
    }

    fn listener(&mut self, name: &str, port: u16, group: &str, nth: u64) -> String {
        let mut text =
            format!("[listener.{name}]\nbind = '127.0.0.1:{port}'\nforward = '{group}'\n");
        if self.chance.one_in(3) {
            let log = self.chance.below(3);
            let _ = writeln!(
                text,
                "access_log = {{ format = 'json', to = 'file:{log}.log' }}"
            );
        }
        if self.chance.one_in(3) {
            let _ = writeln!(text, "max_connections = {}", 100 + self.chance.below(100));
        }
        let _ = write!(
            text,
            "[[listener.{name}.rule]]\nphase = 'response'\nset_header = {{ X-Step = '{nth}' }}\n"
        );
        for rule in 0..self.chance.below(3) {
            let path = self.chance.below(5);
            let _ = write!(
                text,
                "[[listener.{name}.rule]]\nwhen = 'PathPrefix(`/never/{path}`)'\nset_header = {{ X-Rule = '{rule} ${{path.map(`m`)}}' }}\n"
            );
        }
        text
    }

    fn group(&mut self, name: &str) -> String {
        let [first, second] = self.at.stable;
        let mut all = vec![first, second, self.at.flapping, self.at.hasty];
        let mut targets = Vec::new();
        // One of those that are always there is among them.
        let steady = self.chance.below(2);
        let mut picked = vec![all.remove(steady)];
        for _ in 0..self.chance.below(3) {
            picked.push(all.remove(self.chance.below(all.len())));
        }
        for (nth, address) in picked.iter().enumerate() {
            let named = match self.chance.one_in(3) {
                true => format!("name = 't{}', ", nth + 3 * self.chance.below(2)),
                false => String::new(),
            };
            let weight = self.chance.between(1, 9);
            targets.push(format!(
                "{{ {named}address = '{address}', weight = {weight} }}"
            ));
        }
        let algorithm = self
            .chance
            .pick(&["round_robin", "least_outstanding", "source_hash"]);
        let mut text = format!(
            "[target_group.{name}]\nalgorithm = '{}'\nretries = {}\ntargets = [{}]\n",
            algorithm.copied().unwrap_or("round_robin"),
            self.chance.between(3, 5),
            targets.join(", ")
        );
        if self.chance.one_in(3) {
            let seconds = self.chance.between(1, 3);
            let _ = writeln!(
                text,
                "health_check = {{ http = '/health', interval = '{seconds}s' }}"
            );
        }
        text
    }

    /// What every configuration has.
    fn untouched(&self) -> Vec<String> {
        let Addresses {
            http,
            https,
            raw,
            admin,
            stable: [first, second],
            streams,
            ..
        } = self.at;
        let timeouts = "timeouts = { request_head = '30s', keep_alive = '12h', client = '60s', tunnel = '1h' }\n";
        vec![
            format!(
                "[process]\nworkers = 2\nadmin = '{admin}'\nshutdown_deadline = '15s'\ndrain_deadline = '30m'\n"
            ),
            format!("[listener.http]\nbind = '{http}'\nforward = 'stable'\n{timeouts}"),
            format!(
                "[listener.https]\nbind = '{https}'\ncertificates = 'torture'\nforward = 'stable'\n{timeouts}"
            ),
            format!(
                "[listener.raw]\nbind = '{raw}'\nprotocol = 'tcp'\nforward = 'streams'\ntimeouts = {{ tunnel = '1h' }}\n"
            ),
            "[certificate.torture]\nfile = 'cert.pem'\nkey = 'key.pem'\n".to_owned(),
            "[map.m]\nfile = 'm.map'\n".to_owned(),
            format!(
                "[target_group.stable]\ntargets = ['{first}', '{second}']\ntimeouts = {{ idle = '5s' }}\n\
                 health_check = {{ http = '/health', interval = '1s', timeout = '1s', unhealthy_threshold = 30 }}\n"
            ),
            format!(
                "[target_group.streams]\ntargets = ['{streams}']\n\
                 health_check = {{ tcp = true, interval = '1s', timeout = '1s', unhealthy_threshold = 30 }}\n"
            ),
        ]
    }
}
