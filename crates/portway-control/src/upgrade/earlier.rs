//! The processes before the one that serves: they finish what they have, and the line to each stays open for as long.
//!
//! The one that serves says over it what drains by command, all of it, again and again, and hears how much of that is left there. So nothing is
//! lost where one of them is slow, and a command waits only until all have heard of it. Whoever takes over next is given the lines.
//!
//! ```text
//! serves                          served before
//! drains {…}                ─▶    makes it so
//!                           ◀─    {…}     what is left
//! moved N                   ─▶            to process 1 of a container: N serves from now on
//!                           ◀─    heard
//! ```

use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::words;
use crate::drains::{Drains, Heard, Told};
use crate::figures::Statistics;

/// Processes that are spoken to at most: those that served latest. One that is not ends as it was told before.
pub(super) const MOST: usize = 32;
/// How often they are told, where nothing has changed.
const EVERY: Duration = Duration::from_millis(500);
/// How long one of them may be silent.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a command waits until all have heard of it.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// How long the process that stays may take to follow the one that serves.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(1);

const DRAINS: &str = "drains ";

/// A process that served before this one and finishes what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierProcess {
    /// Its number.
    pub process: u32,
    /// Since when it finishes.
    pub since: SystemTime,
    /// When what is left is cut off; `None`: it has not said so yet.
    pub until: Option<SystemTime>,
    /// Connections that it has.
    pub connections: u64,
    /// It has answered when it was asked last.
    pub answers: bool,
}

struct Line {
    stream: UnixStream,
    known: Option<EarlierProcess>,
}

/// All of them.
pub(crate) struct Earlier {
    /// Held by who speaks.
    lines: Mutex<Vec<Line>>,
    known: Mutex<Vec<EarlierProcess>>,
    /// How often somebody wanted them to hear something.
    asked: Mutex<u64>,
    more: Condvar,
    /// As of which time they have heard it.
    heard: watch::Sender<u64>,
}

impl Default for Earlier {
    fn default() -> Self {
        Self {
            lines: Mutex::default(),
            known: Mutex::default(),
            asked: Mutex::default(),
            more: Condvar::new(),
            // There is nobody to hear.
            heard: watch::Sender::new(u64::MAX),
        }
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Earlier {
    /// Speaks over these lines from now on, on a thread of its own.
    pub(super) fn begin(drains: &Arc<Drains>, lines: Vec<UnixStream>) {
        if lines.is_empty() {
            return;
        }
        let earlier = &drains.earlier;
        for stream in lines {
            // Without it, one that reads nothing would hold up the others.
            let _ = stream.set_write_timeout(Some(PATIENCE));
            let known = None;
            locked(&earlier.lines).push(Line { stream, known });
        }
        earlier.heard.send_replace(0);
        let speaks = drains.clone();
        let thread = thread::Builder::new().name("portway-earlier".to_owned());
        if thread.spawn(move || keep_speaking(&speaks)).is_err() {
            earlier.heard.send_replace(u64::MAX);
        }
    }

    /// The lines, for whoever takes over: this process speaks no more.
    pub(super) fn hand_on(&self) -> Vec<UnixStream> {
        let mut lines = std::mem::take(&mut *locked(&self.lines));
        let newest = lines.len().saturating_sub(MOST - 1);
        lines.drain(..newest);
        lines.into_iter().map(|it| it.stream).collect()
    }

    /// What is known of them.
    pub(crate) fn all(&self) -> Vec<EarlierProcess> {
        locked(&self.known).clone()
    }

    /// Something is to be heard by all; see [`Self::have_heard`].
    pub(crate) fn ask(&self) -> u64 {
        let mut asked = locked(&self.asked);
        *asked += 1;
        self.more.notify_one();
        *asked
    }

    /// True once all have heard it, or are not there.
    pub(crate) fn have_heard(&self, asked: u64) -> bool {
        *self.heard.borrow() >= asked
    }

    /// Comes back once all have heard what drains now; those that have not.
    pub(crate) async fn all_hear(&self) -> Vec<u32> {
        let asked = self.ask();
        let mut heard = self.heard.subscribe();
        let hears = heard.wait_for(|it| *it >= asked);
        // Who is silent is known.
        let _ = tokio::time::timeout(HEARD_WITHIN, hears).await;
        let silent = self.all().into_iter().filter(|it| !it.answers);
        silent.map(|it| it.process).collect()
    }

    /// Says it once to all. False where nobody is left.
    fn speak(&self, drains: &Drains) -> bool {
        let mut lines = locked(&self.lines);
        lines.retain_mut(|line| {
            let number = SystemTime::now().duration_since(UNIX_EPOCH);
            let number = number.unwrap_or_default().as_micros();
            let told = drains.told(u64::try_from(number).unwrap_or_default());
            match exchange(&line.stream, &told) {
                Ok(Some(heard)) => {
                    drains.heard(&told, &heard);
                    line.known = Some(heard.process());
                    true
                }
                // It is stopped, or very busy: what was known of it holds.
                Ok(None) => {
                    if let Some(known) = &mut line.known {
                        known.answers = false;
                    }
                    true
                }
                Err(_) => false,
            }
        });
        *locked(&self.known) = lines.iter().filter_map(|it| it.known.clone()).collect();
        !lines.is_empty()
    }
}

fn keep_speaking(drains: &Drains) {
    let earlier = &drains.earlier;
    loop {
        let asked = *locked(&earlier.asked);
        if !earlier.speak(drains) {
            earlier.heard.send_replace(u64::MAX);
            return;
        }
        earlier.heard.send_replace(asked);
        let now = locked(&earlier.asked);
        drop(
            earlier
                .more
                .wait_timeout_while(now, EVERY, |it| *it == asked),
        );
    }
}

/// `None`: it is silent.
fn exchange(line: &UnixStream, told: &Told) -> io::Result<Option<Heard>> {
    let text = serde_json::to_string(told)?;
    words::say(line, &format!("{DRAINS}{text}"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match words::read_line(line, Some(deadline)) {
            Ok(text) => {
                // An older answer may come first, where one was not waited for.
                let heard: Option<Heard> = serde_json::from_str(&text).ok();
                if let Some(heard) = heard.filter(|it| it.number == told.number) {
                    return Ok(Some(heard));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// A process that serves from now on, and who waits until that is followed.
type Moved = (u32, SyncSender<()>);

/// Tells of the processes that follow one another.
pub struct News(Receiver<Moved>);

impl News {
    /// Gives the number of each process that serves from now on to `act`, until nobody is left to tell. Blocks.
    pub fn for_each(&self, mut act: impl FnMut(u32)) {
        while let Ok((process, followed)) = self.0.recv() {
            act(process);
            // Whoever waited may have lost patience.
            let _ = followed.send(());
        }
    }
}

/// Hears what the process that serves from now on says, until that and all that follow it are gone. What it says of them, where
/// `wants_news`.
pub(super) fn hear(
    line: UnixStream,
    drains: Arc<Drains>,
    statistics: Arc<Statistics>,
    wants_news: bool,
) -> Option<News> {
    let (tell, news) = sync_channel(1);
    let hears = move || {
        let _ = line.set_read_timeout(None);
        let _ = line.set_write_timeout(Some(PATIENCE));
        let Ok(read) = line.try_clone() else { return };
        for text in BufReader::new(read).lines() {
            let Ok(text) = text else { return };
            let answer = match (words::moved_to(&text), text.strip_prefix(DRAINS)) {
                (Some(process), _) => {
                    follow(&tell, process);
                    words::HEARD.to_owned()
                }
                (None, Some(told)) => {
                    let told = serde_json::from_str(told).unwrap_or_default();
                    let heard = drains.obey(&told, &statistics.installed());
                    // Nothing of it can fail to be JSON.
                    serde_json::to_string(&heard).unwrap_or_default()
                }
                (None, None) => "unknown".to_owned(),
            };
            if words::say(&line, &answer).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("portway-line".to_owned());
    if let Err(error) = thread.spawn(hears) {
        tracing::warn!("the process that serves is not heard any more: {error}");
        return None;
    }
    wants_news.then_some(News(news))
}

fn follow(tell: &SyncSender<Moved>, process: u32) {
    let (followed, is_followed) = sync_channel(1);
    if tell.try_send((process, followed)).is_ok() {
        let _ = is_followed.recv_timeout(FOLLOWED_WITHIN);
    }
}
