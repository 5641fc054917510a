//! `portway status --watch`: a live picture of the running Portway.

mod picture;
mod sample;
mod terminal;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portway_admin::client;
use portway_admin::json::Status as Shown;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::paint::Paint;
use crate::cli::Status;
use crate::system;
use picture::{Live, Look};
use sample::Counted;
use terminal::Screen;

/// The width where there is no terminal.
const WIDTH: usize = 100;

/// Runs the command until `q`, Ctrl-C, or as many pictures as are wanted. Exit code 1 where nothing ever answered.
pub(super) fn run(arguments: &Status) -> ExitCode {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&format!("cannot start the runtime: {error}")),
    };
    let code = match runtime.block_on(watch(arguments)) {
        Ok(code) => code,
        Err(error) => super::fail(&format!("cannot wait for signals: {error}")),
    };
    // A question that nobody answers, or a key that nobody presses, keeps nobody.
    runtime.shutdown_background();
    code
}

/// What was answered.
struct Answer {
    status: Shown,
    counted: Counted,
    at: Instant,
}

/// Asks once. Blocks.
fn ask(address: SocketAddr) -> Result<Box<Answer>, String> {
    let status = client::status(address).map_err(|error| error.to_string())?;
    let metrics = client::metrics(address).map_err(|error| error.to_string())?;
    Ok(Box::new(Answer {
        status,
        counted: Counted::parse(&metrics),
        at: Instant::now(),
    }))
}

/// What happens while it is watched.
enum Happened {
    /// It is time to ask.
    Tick,
    Answered(Result<Box<Answer>, String>),
    /// The terminal has another size.
    Resized,
    /// Whoever watches has seen enough.
    Enough,
}

async fn watch(arguments: &Status) -> io::Result<ExitCode> {
    let mut ends = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let mut resized = signal(SignalKind::window_change())?;
    let screen = match arguments.json {
        true => None,
        false => Screen::enter(),
    };
    let mut keys = keys(screen.as_ref());
    let (answers, mut answered) = mpsc::channel(1);
    let mut ticks = interval(arguments.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watched = Watched::new(arguments);
    let mut is_asked = false;
    loop {
        let happened = tokio::select! {
            () = any(&mut ends) => Happened::Enough,
            Some(()) = keys.recv() => Happened::Enough,
            _ = resized.recv() => Happened::Resized,
            Some(answer) = answered.recv() => Happened::Answered(answer),
            _ = ticks.tick() => Happened::Tick,
        };
        match happened {
            Happened::Enough => break,
            Happened::Tick if is_asked => watched.is_silent("it takes long to answer"),
            Happened::Tick => {
                is_asked = true;
                let (answers, address) = (answers.clone(), arguments.admin);
                drop(tokio::task::spawn_blocking(move || {
                    // Nobody waits any more.
                    let _ = answers.blocking_send(ask(address));
                }));
                continue;
            }
            Happened::Answered(answer) => {
                is_asked = false;
                watched.take(answer);
                if watched.show(screen.as_ref()) {
                    break;
                }
                continue;
            }
            Happened::Resized => {}
        }
        if let (Some(screen), Some(live)) = (&screen, &watched.live) {
            watched.draw(screen, live);
        }
    }
    drop(screen);
    Ok(match watched.ever {
        true => ExitCode::SUCCESS,
        false => {
            let error = watched.error.unwrap_or_default();
            if !error.is_empty() {
                return Ok(super::fail(&error));
            }
            ExitCode::SUCCESS
        }
    })
}

async fn any(signals: &mut [Signal; 3]) {
    let [one, two, three] = signals;
    tokio::select! {
        _ = one.recv() => {}
        _ = two.recv() => {}
        _ = three.recv() => {}
    }
}

/// Tells when `q` is pressed.
fn keys(screen: Option<&Screen>) -> mpsc::Receiver<()> {
    let (pressed, keys) = mpsc::channel(1);
    if screen.is_some_and(Screen::has_keys) {
        // It ends with the process: a key may never come.
        drop(std::thread::spawn(move || {
            let mut key = [0];
            while let Ok(1) = io::stdin().lock().read(&mut key) {
                // q, Q, and Ctrl-C or Ctrl-D where the terminal makes no signal of them.
                if matches!(key, [b'q' | b'Q' | 3 | 4]) {
                    let _ = pressed.blocking_send(());
                    return;
                }
            }
            // Nobody is there to press one.
            std::mem::forget(pressed);
        }));
    } else {
        // As long as the receiver is there no key comes, and that is no end.
        std::mem::forget(pressed);
    }
    keys
}

/// What is known so far.
struct Watched<'a> {
    arguments: &'a Status,
    before: Option<Box<Answer>>,
    live: Option<Live>,
    /// When it answered last.
    heard: Instant,
    /// It has answered once.
    ever: bool,
    error: Option<String>,
    /// Pictures so far.
    count: u64,
}

impl<'a> Watched<'a> {
    fn new(arguments: &'a Status) -> Self {
        Self {
            arguments,
            before: None,
            live: None,
            heard: Instant::now(),
            ever: false,
            error: None,
            count: 0,
        }
    }

    fn take(&mut self, answer: Result<Box<Answer>, String>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.is_silent(&error),
        };
        let before = self.before.as_deref();
        // Another process counts from 0.
        let pid = |it: &Answer| it.status.process.pid;
        let before = before.filter(|it| pid(it) == pid(&answer));
        let seconds = match before {
            Some(before) => (answer.at - before.at).as_secs_f64(),
            None => answer.status.process.uptime.max(1.0),
        };
        self.live = Some(Live::between(
            answer.status.clone(),
            (before.map(|it| &it.counted), &answer.counted),
            seconds,
            now(),
        ));
        (self.heard, self.ever) = (answer.at, true);
        self.before = Some(answer);
    }

    fn is_silent(&mut self, error: &str) {
        self.error = Some(error.to_owned());
        if let Some(live) = &mut self.live {
            live.silent = Some((self.heard.elapsed(), error.to_owned()));
        }
    }

    /// Shows what is known now; true where that was the last that is wanted.
    fn show(&mut self, screen: Option<&Screen>) -> bool {
        self.count += 1;
        match (screen, &self.live) {
            (Some(screen), Some(live)) => self.draw(screen, live),
            (Some(screen), None) => {
                let error = self.error.clone().unwrap_or_default();
                screen.draw(&[
                    "waiting for Portway (q quits)".to_owned(),
                    format!("! {error}"),
                ]);
            }
            (None, live) => {
                let text = self.text(live.as_ref());
                let mut out = io::stdout().lock();
                if out
                    .write_all(text.as_bytes())
                    .and_then(|()| out.flush())
                    .is_err()
                {
                    // Whoever reads it has gone.
                    return true;
                }
            }
        }
        self.arguments
            .count
            .is_some_and(|count| self.count >= count)
    }

    /// A block, or a line of JSON.
    fn text(&self, live: Option<&Live>) -> String {
        let error = self.error.clone().unwrap_or_default();
        match (live, self.arguments.json) {
            (Some(live), true) => format!("{}\n", live.json()),
            (None, true) => {
                let value = serde_json::json!({ "at": now(), "answers": false, "error": error });
                format!("{value}\n")
            }
            (Some(live), false) => {
                let look = Look {
                    width: WIDTH,
                    height: None,
                    paint: Paint(false),
                };
                format!("{}\n\n", live.lines(look).join("\n"))
            }
            (None, false) => format!("! no answer: {error}\n\n"),
        }
    }

    fn draw(&self, screen: &Screen, live: &Live) {
        let (width, height) = screen.size();
        screen.draw(&live.lines(Look {
            width,
            height: Some(height),
            paint: Paint(system::colour(&io::stdout())),
        }));
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    (now.unwrap_or(Duration::ZERO).as_secs_f64() * 1000.0).round() / 1000.0
}
