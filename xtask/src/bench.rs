//! `cargo xtask bench`: what a request and an idle connection cost, beside HAProxy doing the same on the same machine.
//!
//! Figures of two machines cannot be compared, nor those of two hours on one: so both proxies are measured in turn,
//! round by round, and what counts is the ratio. The proxy has a CPU of its own, the target and wrk share the other.
//! A later version will know more cases; the meaning of the figures is in `docs/performance.md`.

mod figures;
mod peers;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::process;
use crate::workspace::Workspace;
use figures::median;
use peers::{Peer, Peers};

/// Connections of wrk.
const CONNECTIONS: &str = "64";

/// Connections that are opened and left idle.
const IDLE: usize = 5000;

/// Descriptors that [`IDLE`] needs in this process and in a proxy, and what is left over for everything else.
const IDLE_FILES: u64 = 5500;

/// How long memory is given to settle.
const SETTLE: Duration = Duration::from_secs(1);

/// Seconds of the runs in which system calls are counted.
const STRACE_SECONDS: u64 = 2;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Small,
    Large,
    Close,
    Idle,
}

const CASES: [Case; 4] = [Case::Small, Case::Large, Case::Close, Case::Idle];

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    cases: Vec<Case>,
    rounds: u64,
    seconds: u64,
    binary: Option<PathBuf>,
    json: Option<PathBuf>,
}

/// One run of wrk.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// Microseconds of CPU a request.
    cost: f64,
    /// Requests a second.
    rate: f64,
}

/// What a proxy came to in a case.
struct Cost {
    rounds: Vec<Round>,
    /// A request's system calls, where strace is installed.
    calls: Option<f64>,
}

impl Case {
    fn as_str(self) -> &'static str {
        match self {
            Case::Small => "small",
            Case::Large => "large",
            Case::Close => "close",
            Case::Idle => "idle",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Case::Large => peers::LARGE_PATH,
            _ => peers::SMALL_PATH,
        }
    }
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            cases: Vec::new(),
            rounds: 5,
            seconds: 4,
            binary: None,
            json: None,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => options.rounds = positive(value()?)?,
                "--seconds" => options.seconds = positive(value()?)?,
                "--binary" => options.binary = Some(value()?.into()),
                "--json" => options.json = Some(value()?.into()),
                name => match CASES.into_iter().find(|case| case.as_str() == name) {
                    Some(case) => options.cases.push(case),
                    None => return Err(format!("bench does not know {name}")),
                },
            }
        }
        if options.cases.is_empty() {
            options.cases = CASES.to_vec();
        }
        Ok(options)
    }
}

fn positive(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("not a number above 0: {text}"))
}

/// Measures; see the top of this file.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), String> {
    for tool in ["nginx", "haproxy", "wrk", "taskset"] {
        if process::find(tool).is_none() {
            return Err(format!("{tool} is missing; `cargo xtask test` installs it"));
        }
    }
    let binary = match &options.binary {
        Some(binary) => binary.canonicalize(),
        None => {
            let mut command = process::cargo(&workspace.root);
            process::loud(command.args(["build", "--release", "--locked", "-p", "portway"]))?;
            workspace.target.join("release/portway").canonicalize()
        }
    };
    let binary = binary.map_err(|e| format!("the binary of portway: {e}"))?;
    let folder = workspace.target.join("bench");
    let files = open_files()?;
    let mut results = Vec::new();
    for case in &options.cases {
        results.push(match case {
            Case::Idle => idle(&binary, &folder, files)?,
            case => requests(*case, options, &Peers::start(&binary, &folder, files)?)?,
        });
    }
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", Value::Array(results));
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Raises the limit of open files as far as it goes, for us and for what we start; the limit.
fn open_files() -> Result<u64, String> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|e| format!("limit of open files: {e}"))?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

/// Rounds in turn, then the system calls.
fn requests(case: Case, options: &Options, peers: &Peers) -> Result<Value, String> {
    let both = [&peers.haproxy, &peers.portway];
    for peer in both {
        load(peer, case, 1)?;
    }
    let mut rounds: [Vec<Round>; 2] = Default::default();
    for _ in 0..options.rounds {
        for (peer, rounds) in both.iter().zip(&mut rounds) {
            rounds.push(round(peer, case, options.seconds)?);
        }
    }
    let [haproxy, portway] = rounds;
    let costs = [
        Cost {
            rounds: haproxy,
            calls: system_calls(&peers.haproxy, case)?,
        },
        Cost {
            rounds: portway,
            calls: system_calls(&peers.portway, case)?,
        },
    ];
    Ok(report(case, &costs))
}

/// Lets wrk run; its requests and their rate.
fn load(peer: &Peer, case: Case, seconds: u64) -> Result<(u64, f64), String> {
    let mut command = peers::wrk();
    command.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s")]);
    if case == Case::Close {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(format!("http://{}{}", peer.address, case.path()));
    figures::wrk_says(&process::quiet(&mut command)?)
}

fn round(peer: &Peer, case: Case, seconds: u64) -> Result<Round, String> {
    let before = figures::cpu_time(peer.id())?;
    let (requests, rate) = load(peer, case, seconds)?;
    let spent = figures::cpu_time(peer.id())?.saturating_sub(before);
    Ok(Round {
        cost: spent as f64 / 1000.0 / requests as f64,
        rate,
    })
}

/// System calls a request, of a run that is not timed: being watched costs more than the calls.
fn system_calls(peer: &Peer, case: Case) -> Result<Option<f64>, String> {
    if process::find("strace").is_none() {
        return Ok(None);
    }
    let id = peer.id().to_string();
    let strace = process::program("timeout")
        // the interrupt makes strace print; it begins before wrk and ends after it
        .args(["-s", "INT", &(STRACE_SECONDS + 2).to_string()])
        .args(["strace", "-c", "-f", "-q", "-p", &id])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start strace: {e}"))?;
    std::thread::sleep(SETTLE);
    let requests = load(peer, case, STRACE_SECONDS);
    let output = strace.wait_with_output().map_err(|e| e.to_string())?;
    let (requests, _) = requests?;
    let counted = figures::strace_says(&String::from_utf8_lossy(&output.stderr));
    Ok(counted.map(|calls| calls as f64 / requests as f64))
}

/// Prints a case and gives its JSON.
fn report(case: Case, [haproxy, portway]: &[Cost; 2]) -> Value {
    let name = case.as_str();
    println!(
        "{name}: microseconds of CPU a request (all rounds), requests a second, system calls a request"
    );
    for (of, cost) in [("haproxy", haproxy), ("portway", portway)] {
        let (least, most) = spread(cost.rounds.iter().map(|round| round.cost));
        let calls = cost
            .calls
            .map_or("-".to_owned(), |calls| format!("{calls:.2}"));
        println!(
            "  {of:<8} {:>7.2} ({least:.2} to {most:.2}) {:>9.0} {calls:>6}",
            cost.median(),
            median(cost.rounds.iter().map(|round| round.rate)),
        );
    }
    let pairs: Vec<f64> = portway
        .rounds
        .iter()
        .zip(&haproxy.rounds)
        .map(|(ours, theirs)| ours.cost / theirs.cost)
        .collect();
    let (least, most) = spread(pairs.iter().copied());
    let ratio = median(pairs);
    println!("  ratio    {ratio:>7.3} ({least:.3} to {most:.3})\n");
    json!({
        "case": name,
        "ratio": ratio,
        "haproxy": haproxy.json(),
        "portway": portway.json(),
    })
}

impl Cost {
    fn median(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.cost))
    }

    fn json(&self) -> Value {
        let column = |of: fn(&Round) -> f64| -> Vec<f64> { self.rounds.iter().map(of).collect() };
        json!({
            "cpu_microseconds": column(|round| round.cost),
            "requests_per_second": column(|round| round.rate),
            "system_calls": self.calls,
        })
    }
}

/// The least and the greatest.
fn spread(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, 0.0), |(least, most), number| {
        (number.min(least), number.max(most))
    })
}

/// Memory of idle connections, each of which has made one request. Every proxy is fresh, and warmed up.
fn idle(binary: &Path, folder: &Path, files: u64) -> Result<Value, String> {
    if files < IDLE_FILES {
        return Err(format!(
            "idle: {IDLE_FILES} open files are needed, the limit is {files}"
        ));
    }
    let peers = Peers::start(binary, folder, files)?;
    println!("idle: bytes of memory a connection, of {IDLE} that have made one request each");
    let haproxy = held(&peers.haproxy)?;
    let portway = held(&peers.portway)?;
    let ratio = portway / haproxy;
    println!("  haproxy  {haproxy:>7.0}\n  portway  {portway:>7.0}\n  ratio    {ratio:>7.3}\n");
    Ok(json!({
        "case": Case::Idle.as_str(),
        "ratio": ratio,
        "haproxy": haproxy,
        "portway": portway,
    }))
}

/// Bytes that a connection costs this proxy.
fn held(peer: &Peer) -> Result<f64, String> {
    load(peer, Case::Small, 1)?;
    std::thread::sleep(SETTLE);
    let before = figures::private_memory(peer.id())?;
    let connections: Result<Vec<TcpStream>, _> = (0..IDLE)
        .map(|_| peers::connect_and_ask(peer.address))
        .collect();
    let connections = connections.map_err(|e| format!("{}: {e}", peer.name))?;
    std::thread::sleep(SETTLE);
    let after = figures::private_memory(peer.id())?;
    drop(connections);
    Ok(after.saturating_sub(before) as f64 / IDLE as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<(&[Case], u64, u64), &str>) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let expected = expected
            .map(|(cases, rounds, seconds)| Options {
                cases: cases.to_vec(),
                rounds,
                seconds,
                binary: None,
                json: None,
            })
            .map_err(str::to_owned);
        assert_eq!(Options::parse(&arguments), expected, "{line}");
    }

    #[test]
    fn command_lines() {
        check("", Ok((&CASES, 5, 4)));
        check("small idle", Ok((&[Case::Small, Case::Idle], 5, 4)));
        check("--rounds 7 close --seconds 3", Ok((&[Case::Close], 7, 3)));
        check("--rounds 0", Err("not a number above 0: 0"));
        check("--seconds", Err("--seconds needs a value"));
        check("huge", Err("bench does not know huge"));
    }

    #[test]
    fn spreads() {
        assert_eq!(spread([2.0, 1.0, 3.0].into_iter()), (1.0, 3.0));
    }
}
