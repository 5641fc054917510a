//! `cargo xtask torture`: everything that clients and targets may do to Portway, at once, for minutes.
//!
//! It starts Portway with two workers, targets and clients of its own, all on loopback, and lets them run. Clients and
//! targets check every byte; a target of a group of its own goes away and comes back. At the end nothing may be left:
//! no wrong byte, no lost request, no cut tunnel, no missing record, no connection, no memory, no descriptor.
//!
//! A run is drawn from a seed. A failure names it: the same seed gives every client and target the same life, though
//! not the same order among them.
//!
//! ```text
//!  client, raw, misbehave ──▶ portway (a process of its own) ──▶ target, raw
//!         └── wire, chance, tally: shared by both ends ──────────────┘
//! ```

mod chance;
mod client;
mod misbehave;
mod portway;
mod raw;
pub(crate) mod reload;
mod tally;
mod target;
mod verdict;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

use crate::process;
use crate::workspace::Workspace;
use chance::{Chance, Pattern};
use client::Scene;
use portway::{Addresses, Portway};
use tally::{Class, Count, Tally};
use target::{Speaks, Target};

/// How long a run takes where nothing else is said, in minutes.
pub(crate) const DEFAULT_MINUTES: u64 = 10;

/// The longest run, in minutes: a day.
pub(crate) const MAX_MINUTES: u64 = 24 * 60;

/// Between two lines about the progress.
const REPORT: Duration = Duration::from_secs(10);

/// Memory is compared with what it was after this time, or half of a shorter run: by then every client is there.
const SETTLED: Duration = Duration::from_secs(120);

/// Files that both processes may open: connections of clients and targets, twice over.
const OPEN_FILES: u64 = 16_384;

/// Ports are looked for from here on, below those that the system gives to outgoing connections.
const FIRST_PORT: u16 = 18_000;

/// Clients by what they do, and how many there are.
const CAST: [(Class, usize); 16] = [
    (Class::Gets, 8),
    (Class::Uploads, 5),
    (Class::Pipelined, 3),
    (Class::TlsNew, 2),
    (Class::TlsResumed, 2),
    (Class::Tunnel, 12),
    (Class::Raw, 4),
    (Class::SlowReader, 10),
    (Class::SlowWriter, 10),
    (Class::Early, 2),
    (Class::Hasty, 3),
    (Class::FlapGets, 6),
    (Class::FlapUploads, 2),
    (Class::Aborting, 3),
    (Class::RawAborting, 1),
    (Class::Hostile, 8),
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) minutes: u64,
    pub(crate) seed: Option<u64>,
    /// A Portway that is there; without one it is built.
    pub(crate) binary: Option<PathBuf>,
}

/// What clients and targets share.
struct Ground {
    seed: u64,
    /// What a good client says to be let in at a target.
    marker: String,
    pattern: Pattern,
    tally: Tally,
    over: AtomicBool,
}

impl Ground {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            marker: format!("{:016x}", Chance::new(seed, u64::MAX - 1).next()),
            pattern: Pattern::new(seed),
            tally: Tally::new(),
            over: AtomicBool::new(false),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// The targets of a run.
struct Targets {
    flapping: Arc<Target>,
    _steady: [Target; 4],
}

/// What was measured while the load was on.
#[derive(Debug, Default)]
struct Measured {
    duration: Duration,
    descriptors_before: usize,
    /// KiB, when the run had settled and at its end.
    settled: u64,
    last: u64,
    most: u64,
}

/// Runs to the end; the error says what failed and how to repeat it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), String> {
    let seed = options.seed.unwrap_or_else(any_seed);
    let again = format!(
        "cargo xtask torture --minutes {} --seed {seed}",
        options.minutes
    );
    println!("torture: seed {seed}, {} minutes", options.minutes);
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build(workspace)?,
    };
    let binary = binary
        .canonicalize()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    let folder = tempfile::tempdir().map_err(|e| format!("a folder for the run: {e}"))?;
    let duration = Duration::from_secs(options.minutes * 60);
    match play(&binary, folder.path(), seed, duration) {
        Ok(()) => Ok(()),
        Err(problem) => {
            let kept = folder.keep();
            let kept = kept.display();
            Err(format!(
                "{problem}\ntorture: failed; log and error stream are in {kept}\nagain: {again}"
            ))
        }
    }
}

fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |time| time.as_micros() as u64 % 1_000_000_000)
}

fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    let mut command = process::cargo(&workspace.root);
    process::loud(command.args(["build", "--release", "--locked", "--package", "portway"]))?;
    Ok(workspace.target.join("release/portway"))
}

fn play(binary: &Path, folder: &Path, seed: u64, duration: Duration) -> Result<(), String> {
    allow_open_files()?;
    let at = addresses(FIRST_PORT + u16::try_from(std::process::id() % 8000).unwrap_or(0))?;
    let ground = Arc::new(Ground::new(seed));
    let targets = targets(&ground, &at)?;
    let mut portway = Portway::start(binary, folder, &at)?;
    let (fresh, resuming) = tls(&folder.join("cert.pem"))?;
    let scene = Arc::new(Scene {
        ground: Arc::clone(&ground),
        http: at.http,
        https: at.https,
        raw: at.raw,
        fresh,
        resuming,
        idle_complete: AtomicBool::new(false),
        closes_politely: false,
    });
    let mut measured = Measured {
        descriptors_before: portway.descriptors(),
        ..Measured::default()
    };
    let players = enter(&scene, &targets.flapping)?;
    watch(&mut portway, &ground.tally, duration, &mut measured);
    ground.over.store(true, Ordering::Relaxed);
    println!("torture: the load ends");
    for player in players {
        if player.join().is_err() {
            ground
                .tally
                .fail("a client panicked: a mistake of the run itself");
        }
    }
    if !scene.idle_complete.load(Ordering::Relaxed) {
        ground
            .tally
            .fail("the idle connections were never complete");
    }
    verdict::judge(&mut portway, &ground.tally, &measured)
}

/// Raises the limit of open files for this process and for those it starts.
fn allow_open_files() -> Result<(), String> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < OPEN_FILES) {
        limit.current = limit
            .maximum
            .map_or(Some(OPEN_FILES), |most| Some(most.min(OPEN_FILES)));
        setrlimit(Resource::Nofile, limit).map_err(|e| format!("the limit of open files: {e}"))?;
    }
    Ok(())
}

/// Free ports of 127.0.0.1, from this one on.
fn addresses(start: u16) -> Result<Addresses, String> {
    let mut free = (start..start + 4000)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .filter(|address| TcpListener::bind(address).is_ok());
    let mut next = || free.next().ok_or("no free ports");
    Ok(Addresses {
        http: next()?,
        https: next()?,
        raw: next()?,
        admin: next()?,
        stable: [next()?, next()?],
        flapping: next()?,
        hasty: next()?,
        streams: next()?,
    })
}

fn targets(ground: &Arc<Ground>, at: &Addresses) -> Result<Targets, String> {
    let [first, second] = at.stable;
    Ok(Targets {
        flapping: Arc::new(Target::start(ground, at.flapping, Speaks::Http)?),
        _steady: [
            Target::start(ground, first, Speaks::Http)?,
            Target::start(ground, second, Speaks::Http)?,
            Target::start(ground, at.hasty, Speaks::Hasty)?,
            Target::start(ground, at.streams, Speaks::Raw)?,
        ],
    })
}

/// Two configurations of clients that believe the certificates in a file: one without resumption, one with it.
fn tls(trusted: &Path) -> Result<(Arc<ClientConfig>, Arc<ClientConfig>), String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", trusted.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(trusted).map_err(|e| wrong(&e))? {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    let resuming = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut fresh = resuming.clone();
    fresh.resumption = Resumption::disabled();
    Ok((Arc::new(fresh), Arc::new(resuming)))
}

/// Starts a thread whose stack suffices for everything here.
fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(512 << 10)
        .spawn(run)
        .map_err(|e| format!("a thread for {name}: {e}"))
}

/// Every client begins, and the flapping.
fn enter(scene: &Arc<Scene>, flapping: &Arc<Target>) -> Result<Vec<JoinHandle<()>>, String> {
    let mut players = Vec::new();
    let mut participant = 0;
    for (class, count) in CAST {
        for _ in 0..count {
            participant += 1;
            let chance = Chance::new(scene.ground.seed, participant);
            let scene = Arc::clone(scene);
            players.push(thread(class.name(), move || {
                play_client(&scene, chance, class)
            })?);
        }
    }
    let (theirs, chance) = (Arc::clone(scene), Chance::new(scene.ground.seed, 1000));
    players.push(thread("idle", move || client::idle(&theirs, chance))?);
    let (theirs, chance) = (Arc::clone(scene), Chance::new(scene.ground.seed, 1001));
    let target = Arc::clone(flapping);
    players.push(thread("flap", move || {
        flap(&theirs.ground, &target, chance)
    })?);
    Ok(players)
}

fn play_client(scene: &Scene, chance: Chance, class: Class) {
    match class {
        Class::Tunnel => client::tunnel(scene, chance),
        Class::Raw | Class::RawAborting => raw::client(scene, chance, class),
        Class::Aborting => misbehave::aborting(scene, chance),
        Class::Hostile => misbehave::hostile(scene, chance),
        _ => client::session(scene, chance, class),
    }
}

/// The flapping target is there for some seconds and away for some, until the run ends; then it is there.
fn flap(ground: &Ground, target: &Target, mut chance: Chance) {
    while !ground.is_over() {
        sleep_until_over(ground, chance.millis(4000, 7000));
        target.leave(chance.one_in(2), chance.one_in(2));
        ground.tally.absences.fetch_add(1, Ordering::Relaxed);
        sleep_until_over(ground, chance.millis(3000, 6000));
        if let Err(problem) = target.come() {
            ground
                .tally
                .fail(format_args!("a mistake of the run itself: {problem}"));
        }
    }
}

fn sleep_until_over(ground: &Ground, time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time && !ground.is_over() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Watches the run until its time is over, or Portway has ended.
fn watch(portway: &mut Portway, tally: &Tally, duration: Duration, measured: &mut Measured) {
    let begun = Instant::now();
    let settled = SETTLED.min(duration / 2);
    let mut recent = [0; 4];
    let mut reported = Instant::now();
    while begun.elapsed() < duration {
        std::thread::sleep(Duration::from_secs(1));
        if portway.has_ended() {
            tally.fail("portway has ended");
            break;
        }
        recent.rotate_left(1);
        if let Some(last) = recent.last_mut() {
            *last = portway.rss();
        }
        measured.last = recent.iter().sum::<u64>() / recent.len() as u64;
        measured.most = measured.most.max(measured.last);
        if measured.settled == 0 && begun.elapsed() >= settled {
            measured.settled = measured.last;
        }
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            println!(
                "torture: {:>5} s {:>9} requests {:>5} failures {:>7} KiB",
                begun.elapsed().as_secs(),
                tally.sum(Count::Sent),
                tally.failures(),
                portway.rss(),
            );
        }
    }
    measured.duration = begun.elapsed();
}
