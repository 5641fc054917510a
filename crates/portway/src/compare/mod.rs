//! `portway compare`: the same requests through the balancer that one has and through Portway, and what differs.
//!
//! Requests go one after the other, each over a connection of its own, to the old side and then to the new one: so that
//! both choose targets from the same state, and a log line belongs to the request before it.

mod answer;
mod difference;
mod report;
mod requests;

use std::fs;
use std::io::{self, IsTerminal};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use answer::{Answer, Side};
use difference::{Difference, Ignored, Mask, OF_THE_MOMENT};
use portway_control::tls::client::{Verification, client_config};
use portway_control::tls::policy::Policy;
use report::{Compared, Report};
use requests::{Reading, Requests};
use rustls_pki_types::ServerName;

use crate::cli::Compare;
use crate::commands::{fail, print};

/// Time for the line of a log to come after its answer.
const LOG_PATIENCE: Duration = Duration::from_millis(500);
/// As much again for the second side where the first was waited for in vain.
const LOG_GRACE: Duration = Duration::from_millis(50);
/// Time for both sides to count the connections of the request before as closed: logs tell how many there are.
const SETTLE: Duration = Duration::from_millis(30);
/// Bytes of a log line that are looked at.
const MAX_LOG_LINE: usize = 65_536;
/// Between two progress lines.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) fn run(arguments: &Compare, quiet: bool) -> ExitCode {
    match compared(arguments, quiet) {
        Ok(report) => {
            let text = if arguments.json {
                report.json()
            } else {
                report.text()
            };
            print(&text);
            if report.is_same() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(message) => fail(&message),
    }
}

fn compared(arguments: &Compare, quiet: bool) -> Result<Report, String> {
    let (old, host) = side("old", &arguments.old)?;
    let (new, _) = side("new", &arguments.new)?;
    let host = arguments.host.as_deref().unwrap_or(&host);
    let requests = read(arguments, host)?;
    let logs = Logs::open(arguments)?;
    let own = arguments
        .ignore_header
        .iter()
        .map(|it| it.to_ascii_lowercase());
    let ignored = Ignored {
        headers: OF_THE_MOMENT
            .map(str::to_owned)
            .into_iter()
            .chain(own)
            .collect(),
    };
    let total = requests.list.len();
    let mut progress = Progress::new(quiet || arguments.json, total);
    let mut compared = Vec::new();
    for request in requests.list {
        let is_head = request.is_head();
        if let Some(logs) = &logs {
            old.let_go();
            new.let_go();
            std::thread::sleep(SETTLE);
            logs.pass_over();
        }
        let [old, new] = [&old, &new].map(|side| side.ask(&request.bytes, is_head));
        if compared.is_empty() {
            reached("old", &arguments.old, &old)?;
            reached("new", &arguments.new, &new)?;
        }
        let mut differences = difference::between(&old, &new, &ignored);
        differences.extend(logs.as_ref().and_then(Logs::difference));
        compared.push(Compared {
            title: request.title,
            line: request.line,
            status: old.status,
            differences,
        });
        progress.tell(compared.len());
    }
    Ok(Report {
        compared,
        unsafe_left_out: requests.unsafe_left_out,
        not_understood: requests.not_understood,
    })
}

fn read(arguments: &Compare, host: &str) -> Result<Requests, String> {
    let name = arguments.from.display();
    let bytes =
        fs::read(&arguments.from).map_err(|error| format!("cannot read `{name}`: {error}"))?;
    let reading = Reading {
        host,
        all_methods: arguments.all_methods,
    };
    let requests = requests::read(&String::from_utf8_lossy(&bytes), reading);
    if requests.list.is_empty() {
        return Err(format!(
            "no request to send in `{name}`: it has neither lines of an access log nor requests between lines of `###`"
        ));
    }
    Ok(requests)
}

/// A side that cannot be reached at all is no difference in answers.
fn reached(name: &str, written: &str, answer: &Answer) -> Result<(), String> {
    match &answer.fault {
        Some(fault) if answer.unreached => {
            Err(format!("--{name} {written}: cannot connect to it: {fault}"))
        }
        _ => Ok(()),
    }
}

/// A side and its host as written.
fn side(name: &str, written: &str) -> Result<(Side, String), String> {
    let (rest, tls) = match written.split_once("://") {
        Some(("http", rest)) => (rest, false),
        Some(("https", rest)) => (rest, true),
        Some((scheme, _)) => return Err(format!("--{name} {written}: unknown scheme `{scheme}`")),
        None => (written, false),
    };
    let rest = rest.trim_end_matches('/');
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = match (has_port, tls) {
        (true, _) => rest.to_owned(),
        (false, true) => format!("{rest}:443"),
        (false, false) => format!("{rest}:80"),
    };
    let address = resolve(&place).map_err(|error| format!("--{name} {written}: {error}"))?;
    let host = place
        .rsplit_once(':')
        .map_or(place.as_str(), |(host, _)| host);
    let tls = tls.then(|| tls_config(host)).transpose()?;
    Ok((Side::new(address, tls), rest.to_owned()))
}

fn resolve(place: &str) -> Result<SocketAddr, String> {
    let mut addresses = place.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses
        .next()
        .ok_or_else(|| "it has no address".to_owned())
}

/// TLS without a look at the certificate: who is on the other side was said on the command line.
fn tls_config(host: &str) -> Result<(Arc<rustls::ClientConfig>, ServerName<'static>), String> {
    let policy = Policy::default();
    let config = client_config(&Verification::Off, &policy, &[b"http/1.1".to_vec()])
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| format!("`{host}`: {error}"))?;
    Ok((config, name))
}

/// What both sides log.
struct Logs {
    sockets: [UdpSocket; 2],
    mask: Mask,
}

impl Logs {
    fn open(arguments: &Compare) -> Result<Option<Self>, String> {
        let (Some(old), Some(new)) = (arguments.old_syslog, arguments.new_syslog) else {
            return Ok(None);
        };
        let bind = |address: SocketAddr| {
            UdpSocket::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))
        };
        let logs = Self {
            sockets: [bind(old)?, bind(new)?],
            mask: Mask::new().map_err(|error| error.to_string())?,
        };
        // What is still on its way is about something else.
        std::thread::sleep(LOG_PATIENCE);
        logs.pass_over();
        Ok(Some(logs))
    }

    /// Throws away what has come so far.
    fn pass_over(&self) {
        for socket in &self.sockets {
            drop(socket.set_nonblocking(true));
            while socket.recv(&mut [0; 1]).is_ok() {}
            drop(socket.set_nonblocking(false));
        }
    }

    /// What differs in what was logged of the request before.
    fn difference(&self) -> Option<Difference> {
        let [old, new] = &self.sockets;
        let old = self.line(old, LOG_PATIENCE);
        // Both have had the same time if the first was waited for in vain.
        let patience = old.as_ref().map_or(LOG_GRACE, |_| LOG_PATIENCE);
        let new = self.line(new, patience);
        (old != new).then(|| Difference {
            what: "log".to_owned(),
            old,
            new,
        })
    }

    /// The next line about a request, masked; others, about targets and the process, are passed over.
    fn line(&self, socket: &UdpSocket, patience: Duration) -> Option<String> {
        let begun = Instant::now();
        let mut bytes = vec![0; MAX_LOG_LINE];
        loop {
            let left = patience.checked_sub(begun.elapsed())?;
            socket
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .ok()?;
            let count = socket.recv(&mut bytes).ok()?;
            let line = String::from_utf8_lossy(bytes.get(..count)?).into_owned();
            let masked = self.mask.apply(&line);
            if masked.contains("[MOMENT]") {
                return Some(masked);
            }
        }
    }
}

/// A line that tells how far it is, for people.
struct Progress {
    silent: bool,
    total: usize,
    told: Instant,
}

impl Progress {
    fn new(silent: bool, total: usize) -> Self {
        Self {
            silent: silent || !io::stderr().is_terminal(),
            total,
            told: Instant::now(),
        }
    }

    fn tell(&mut self, done: usize) {
        if !self.silent && self.told.elapsed() >= TELL_AGAIN {
            crate::commands::tell(&format!("{done} of {} requests\n", self.total));
            self.told = Instant::now();
        }
    }
}
