//! `cargo xtask torture reload`: thousands of reloads under load, and what is never touched may lose nothing.
//!
//! Load of every kind goes through listeners and groups that every configuration has: wrk, downloads and uploads of gigabytes,
//! tunnels with heartbeats, TCP streams, TLS with and without resumption, connections that rest. Meanwhile configurations
//! are put to work that a seed draws: listeners, groups and targets come, go, change names and ports; certificates and maps are
//! replaced; targets go away; what is wrong must be refused; and now and then another process of the program takes over. At the
//! end nothing may be lost, and memory, descriptors and threads are what they were.
//!
//! ```text
//!  load, client, raw, wrk ──▶ process (Portway) ──▶ target, raw
//!                                ▲
//!          stage (configurations) ┘   samples: what it takes, after so many reloads
//! ```

mod load;
mod process;
mod samples;
mod stage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::client::Scene;
use super::tally::{Class, Count};
use super::target::{Speaks, Target};
use super::{Ground, addresses, allow_open_files, any_seed, play_client, thread};
use crate::workspace::Workspace;
use process::Process;
use samples::{Sample, Samples};
use stage::{Stage, Step};

/// How many reloads there are where nothing else is said.
const RELOADS: u64 = 10_000;
/// The most of them.
const MAX_RELOADS: u64 = 1_000_000;
/// Tunnels that are held.
const TUNNELS: usize = 1000;
/// Ports are looked for from here on: elsewhere than tests do, which would take the port of a target that is away.
const FIRST_PORT: u16 = 24_000;
/// Between two reloads: the load has to see each of them.
const PAUSE: Duration = Duration::from_millis(20);
/// What is taken is measured after so many reloads, several times in the life of a process; a tenth of shorter runs.
const SAMPLE_EVERY: u64 = UPGRADE_EVERY / 4;
/// An upgrade comes after so many reloads.
const UPGRADE_EVERY: u64 = 1000;
/// Between two lines about the progress.
const REPORT: Duration = Duration::from_secs(10);
/// How long a process has to close the logs and health checks of configurations that are gone, after the last reload.
const REST: Duration = Duration::from_secs(10);
/// How long the load is on before the first reload, to see what it is without them.
const BEFORE: Duration = Duration::from_secs(12);
/// The same where wrk does not run.
const BEFORE_ALONE: Duration = Duration::from_secs(2);

/// Clients by what they do, and how many there are.
const CAST: [(Class, usize); 8] = [
    (Class::Gets, 4),
    (Class::Uploads, 2),
    (Class::Pipelined, 1),
    (Class::TlsNew, 1),
    (Class::TlsResumed, 2),
    (Class::Raw, 3),
    (Class::SlowReader, 4),
    (Class::SlowWriter, 4),
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    reloads: u64,
    seed: Option<u64>,
    /// The run ends after so many, whatever it has done.
    minutes: Option<u64>,
    tunnels: usize,
    /// Connections of each wrk; without any it does not run.
    wrk: usize,
    upgrades: Option<u64>,
    /// Bytes of each large download and upload.
    flow: u64,
    binary: Option<PathBuf>,
    json: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            reloads: RELOADS,
            seed: None,
            minutes: None,
            tunnels: TUNNELS,
            wrk: 16,
            upgrades: None,
            flow: 1 << 30,
            binary: None,
            json: false,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--json" {
                options.json = true;
                continue;
            }
            let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
            let mut number = |most: u64| {
                let text = value()?;
                let number = text.parse().ok().filter(|number| *number <= most);
                number.ok_or_else(|| format!("{argument}: not a number up to {most}: {text}"))
            };
            match argument.as_str() {
                "--reloads" => options.reloads = number(MAX_RELOADS)?,
                "--seed" => options.seed = Some(number(u64::MAX)?),
                "--minutes" => options.minutes = Some(number(super::MAX_MINUTES)?),
                "--tunnels" => options.tunnels = number(3000)? as usize,
                "--connections" => options.wrk = number(1000)? as usize,
                "--upgrades" => options.upgrades = Some(number(1000)?),
                "--flow-mib" => options.flow = number(1 << 20)? << 20,
                "--binary" => options.binary = Some(value()?.into()),
                other => return Err(format!("torture reload does not know {other}")),
            }
        }
        Ok(options)
    }

    /// What every run of the tests does: a few of everything, with this binary.
    pub(crate) fn in_short(binary: PathBuf) -> Self {
        Self {
            reloads: 200,
            seed: None,
            minutes: Some(2),
            tunnels: 100,
            wrk: 0,
            upgrades: Some(2),
            flow: 32 << 20,
            binary: Some(binary),
            json: false,
        }
    }

    /// After how many reloads another process takes over; 0: never.
    fn upgrade_every(&self) -> u64 {
        match self.upgrades {
            None => UPGRADE_EVERY,
            Some(0) => 0,
            Some(count) => (self.reloads / count).max(1),
        }
    }
}

/// Runs to the end; the error says what failed and how to repeat it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), String> {
    let seed = options.seed.unwrap_or_else(any_seed);
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => super::build(workspace)?,
    };
    let binary = binary
        .canonicalize()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    eprintln!("torture: seed {seed}, {} reloads", options.reloads);
    let folder = tempfile::tempdir().map_err(|e| format!("a folder for the run: {e}"))?;
    match play(&binary, folder.path(), seed, options) {
        Ok(()) => Ok(()),
        Err(problem) => {
            let kept = folder.keep();
            Err(format!(
                "{problem}\ntorture: failed; configuration and log are in {}\nagain: cargo xtask torture reload --reloads {} --seed {seed}",
                kept.display(),
                options.reloads
            ))
        }
    }
}

/// Targets that are always there, and those that go away.
struct Targets {
    steady: Vec<Target>,
    flapping: Vec<Target>,
}

fn play(binary: &Path, folder: &Path, seed: u64, options: &Options) -> Result<(), String> {
    allow_open_files()?;
    let at = addresses(FIRST_PORT + u16::try_from(std::process::id() % 8).unwrap_or(0) * 100)?;
    let ground = Arc::new(Ground::new(seed));
    let targets = Targets {
        steady: vec![
            Target::start(&ground, at.stable[0], Speaks::Http)?,
            Target::start(&ground, at.stable[1], Speaks::Http)?,
            Target::start(&ground, at.streams, Speaks::Raw)?,
        ],
        flapping: vec![
            Target::start(&ground, at.flapping, Speaks::Http)?,
            Target::start(&ground, at.hasty, Speaks::Http)?,
        ],
    };
    let mut stage = Stage::new(seed, folder, binary, &at)?;
    let process = Process::start(binary, folder, at.admin)?;
    let (fresh, resuming) = super::tls(&folder.join("trusted.pem"))?;
    let scene = Arc::new(Scene {
        ground: Arc::clone(&ground),
        http: at.http,
        https: at.https,
        raw: at.raw,
        fresh,
        resuming,
        idle_complete: AtomicBool::new(false),
        closes_politely: true,
    });
    let mut run = Run {
        ground,
        options,
        process,
        samples: Samples::default(),
        idle: load::Idle::default(),
        begun: Instant::now(),
        reported: Instant::now(),
        nth: 0,
        refused: 0,
        certificates: 0,
        upgrades: 0,
        absences: 0,
    };
    run.sample(0)?;
    let load = load::Load::begin(&scene, options.tunnels, options.wrk, options.flow)?;
    let mut players = Vec::new();
    for (participant, class) in
        (1..).zip(CAST.iter().flat_map(|(class, count)| vec![*class; *count]))
    {
        let (scene, chance) = (Arc::clone(&scene), Chance::new(seed, participant));
        players.push(thread(class.name(), move || {
            play_client(&scene, chance, class)
        })?);
    }
    let done = run.reloads(&mut stage, &targets, &load, &scene);
    run.ground.over.store(true, Ordering::Relaxed);
    eprintln!("torture: the load ends");
    for player in players {
        if player.join().is_err() {
            run.ground
                .tally
                .fail("a client panicked: a mistake of the run itself");
        }
    }
    let figures = load.end(&run.ground.tally);
    done?;
    run.rest(&mut stage)?;
    run.verdict(seed, &figures, &targets)
}

/// A run, and what was done in it.
struct Run<'o> {
    ground: Arc<Ground>,
    options: &'o Options,
    process: Process,
    samples: Samples,
    idle: load::Idle,
    begun: Instant,
    reported: Instant,
    /// How many reloads there were.
    nth: u64,
    refused: u64,
    certificates: u64,
    upgrades: u64,
    absences: u64,
}

impl Run<'_> {
    fn fail(&self, text: impl std::fmt::Display) {
        self.ground.tally.fail(text);
    }

    /// All reloads, and what comes between them.
    fn reloads(
        &mut self,
        stage: &mut Stage,
        targets: &Targets,
        load: &load::Load,
        scene: &Scene,
    ) -> Result<(), String> {
        let before = if self.options.wrk > 0 {
            BEFORE
        } else {
            BEFORE_ALONE
        };
        std::thread::sleep(before);
        load.reloads_begin();
        self.begun = Instant::now();
        self.idle.open(scene);
        let every = SAMPLE_EVERY.min((self.options.reloads / 10).max(1));
        for nth in 1..=self.options.reloads {
            self.nth = nth;
            let step = stage.next(nth);
            self.take(&step, stage, targets)?;
            if nth.is_multiple_of(every) {
                self.idle.still_there(scene);
                self.sample(nth)?;
            }
            let upgrade = self.options.upgrade_every();
            if upgrade > 0 && nth.is_multiple_of(upgrade) {
                self.upgrade(stage, scene)?;
            }
            self.progress(nth);
            if self.is_over() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        self.idle.still_there(scene);
        Ok(())
    }

    fn is_over(&self) -> bool {
        let minutes = self.options.minutes;
        minutes.is_some_and(|it| self.begun.elapsed() > Duration::from_secs(it * 60))
    }

    /// One reload, or what is done in its place.
    fn take(&mut self, step: &Step, stage: &Stage, targets: &Targets) -> Result<(), String> {
        match step {
            Step::Good => {
                if self.reloaded()? {
                    self.probe(stage, "what was asked for is not at work");
                }
            }
            Step::Bad { why } => {
                let before = self.process.generation()?;
                let said = self.process.reload()?;
                self.refused += 1;
                if said.ok || self.process.generation()? != before {
                    self.fail(format_args!("a bad configuration is at work ({why})"));
                }
                self.probe(stage, "a bad configuration has changed what was at work");
                stage.restore()?;
            }
            Step::Certificates => {
                self.certificates += 1;
                let said = self.process.reload_certificates()?;
                if !said.ok || !said.text.contains("torture.example") {
                    self.fail(format_args!("a certificate was not taken: {}", said.text));
                }
            }
            Step::Burst => {
                self.process.hangup();
                self.process.hangup();
                self.reloaded()?;
                // Until both signals were heard.
                std::thread::sleep(PAUSE * 2);
                self.reloaded()?;
            }
            Step::Flap { target, reset } => {
                let target = targets.flapping.get(*target);
                if let Some(target) = target {
                    self.absences += 1;
                    target.leave(*reset, false);
                    self.reloaded()?;
                    target.come()?;
                }
            }
        }
        Ok(())
    }

    /// A reload that must succeed; false where it was refused.
    fn reloaded(&self) -> Result<bool, String> {
        let said = self.process.reload()?;
        if !said.ok {
            self.fail(format_args!(
                "a good configuration was refused: {}",
                said.text
            ));
        }
        Ok(said.ok)
    }

    /// The last good configuration is at work.
    fn probe(&self, stage: &Stage, otherwise: &str) {
        if let Err(problem) = stage.probe(&self.ground) {
            self.fail(format_args!("{otherwise}: {problem}"));
        }
    }

    fn upgrade(&mut self, stage: &Stage, scene: &Scene) -> Result<(), String> {
        stage.restore()?;
        self.reloaded()?;
        self.process.upgrade()?;
        self.upgrades += 1;
        // The process before has closed them politely.
        self.idle.open(scene);
        self.sample(self.samples.last())
    }

    fn sample(&mut self, reloads: u64) -> Result<(), String> {
        let sample = self.take_sample(reloads)?;
        self.samples.all.push(sample);
        Ok(())
    }

    fn take_sample(&self, reloads: u64) -> Result<Sample, String> {
        Sample::of(reloads, self.upgrades, self.process.pid())
    }

    fn progress(&mut self, nth: u64) {
        if self.reported.elapsed() < REPORT {
            return;
        }
        self.reported = Instant::now();
        let tally = &self.ground.tally;
        eprintln!(
            "torture: {:>6} reloads, {} refused, {} upgrades {:>9} requests {:>8} heartbeats {:>6} MiB {:>4} failures {:>7} KiB",
            nth,
            self.refused,
            self.upgrades,
            tally.sum(Count::Sent),
            tally.heartbeats.load(Ordering::Relaxed),
            (tally.bytes_up.load(Ordering::Relaxed) + tally.bytes_down.load(Ordering::Relaxed))
                >> 20,
            tally.failures(),
            self.samples.all.last().map_or(0, |it| it.rss),
        );
        for text in tally.texts().iter().take(3) {
            eprintln!("torture: {text}");
        }
    }

    /// The load is gone: the first configuration again, and a look at what is left.
    fn rest(&mut self, stage: &mut Stage) -> Result<(), String> {
        self.idle.close();
        stage.first()?;
        self.reloaded()?;
        self.process.at_rest(&self.ground.tally)?;
        let begun = Instant::now();
        while begun.elapsed() < REST {
            let sample = self.take_sample(self.samples.last())?;
            if self.samples.holds_no_more(&sample) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        self.sample(self.samples.last())
    }

    fn verdict(
        &mut self,
        seed: u64,
        figures: &load::Figures,
        targets: &Targets,
    ) -> Result<(), String> {
        self.samples.judge(&self.ground.tally);
        if let Err(problem) = self.process.stop() {
            self.fail(problem);
        }
        for line in self.process.errors().lines() {
            if line.contains("panicked") {
                self.fail(line);
            }
        }
        let tally = &self.ground.tally;
        let counts = [
            ("seed", seed),
            ("seconds", self.begun.elapsed().as_secs()),
            ("reloads", self.nth),
            ("refused", self.refused),
            ("certificate_swaps", self.certificates),
            ("upgrades", self.upgrades),
            ("target_absences", self.absences),
            (
                "targets",
                (targets.steady.len() + targets.flapping.len()) as u64,
            ),
            ("requests", tally.sum(Count::Whole) + figures.requests),
            (
                "repeated_on_a_new_connection",
                tally.repeated.load(Ordering::Relaxed),
            ),
            ("resumed_sessions", tally.resumed.load(Ordering::Relaxed)),
            ("tunnels_alive", figures.tunnels_alive),
            ("heartbeats", tally.heartbeats.load(Ordering::Relaxed)),
            ("bytes_up", tally.bytes_up.load(Ordering::Relaxed)),
            ("bytes_down", tally.bytes_down.load(Ordering::Relaxed)),
            ("failures", tally.failures()),
        ];
        self.samples
            .report(&counts, figures, &tally.texts(), self.options.json);
        match tally.failures() {
            0 => Ok(()),
            count => Err(format!(
                "{}\ntorture: {count} failures",
                tally.texts().join("\n")
            )),
        }
    }
}
