//! The binary upgrade: another process of the program that stands on disk now takes over from this one.
//!
//! Here is the side of the old process: it starts the new one, answers what that asks over the line between them (`words`), and
//! leaves once that serves. Until then nothing of it changes: a new process that ends, has something to object to, or is not ready
//! in time is killed, and that is all. [`Predecessor`] is the other side.
//!
//! What the hard thing is: between the moment at which the live state is given and that at which the new process serves, nothing
//! may change by command that would be lost; so commands wait meanwhile ([`Running::may_change`]), and are told who serves then.

mod earlier;
mod predecessor;
mod words;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use portway_telemetry::events::{Event, emit};
use tokio::sync::{MutexGuard, RwLock, RwLockWriteGuard, watch};

use crate::bind::takeover;
use crate::change::Changing;
use crate::live_state::{self, Given};
use crate::reload::Finding;
use crate::running::Running;
use crate::supervisor::Doing;
pub(crate) use earlier::Earlier;
pub use earlier::{EarlierProcess, News};
pub use predecessor::{Predecessor, StateFrom};
use words::{Go, Word};

/// How long a new process has to be ready, unless whoever asks says otherwise.
pub const READY_WITHIN: Duration = Duration::from_secs(60);

/// The most that may be said.
pub const MOST_PATIENCE: Duration = Duration::from_secs(3600);

/// Once it has the live state there is little left to do: so long it has then at least.
const LAST_STEP: Duration = Duration::from_secs(10);

/// How long the process that stays may take to hear who serves.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// How often it is looked whether an upgrade is over.
const LOOK: Duration = Duration::from_millis(20);

/// How long a process that has closed its line may take to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts the program anew with this as its end of the line.
pub type Starter = Box<dyn Fn(UnixStream) -> io::Result<Child> + Send + Sync>;

/// What there is to say of upgrades.
pub(crate) struct Upgrades {
    starter: OnceLock<Starter>,
    /// The line to a new process that is not ready yet; `Some(None)`: it is about to be started.
    line: Mutex<Option<Option<UnixStream>>>,
    last: Mutex<Option<LastUpgrade>>,
    /// Held by whatever changes something by command; alone by an upgrade, once the live state is given.
    commands: RwLock<()>,
    /// The process that serves in place of this one.
    successor: watch::Sender<Option<u32>>,
    /// Whoever comes to an address that another process has too is its guest from now on.
    left: watch::Sender<bool>,
    /// Where a process waits that is to know who serves.
    keeper: OnceLock<UnixStream>,
    /// This process took over from another.
    follows: AtomicBool,
    /// Where this process hears who serves, if it is to know.
    news: Mutex<Option<News>>,
}

impl Default for Upgrades {
    fn default() -> Self {
        Self {
            starter: OnceLock::new(),
            line: Mutex::default(),
            last: Mutex::default(),
            commands: RwLock::default(),
            successor: watch::Sender::new(None),
            left: watch::Sender::new(false),
            keeper: OnceLock::new(),
            follows: AtomicBool::new(false),
            news: Mutex::default(),
        }
    }
}

/// How the latest upgrade went: the one that made this process, or one that failed since.
#[derive(Debug, Clone)]
pub struct LastUpgrade {
    /// When it was asked for.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Why this process goes on; `None`: it took over from another.
    pub error: Option<String>,
}

/// Another process serves.
#[derive(Debug, Clone)]
pub struct Upgraded {
    /// Its number.
    pub process: u32,
    /// How long it took.
    pub took: Duration,
    /// What it was given.
    pub given: Given,
    /// Connections that are open here.
    pub connections: u64,
    /// How long they have.
    pub deadline: Duration,
    /// What has started this process and may take its end for that of the service: its number and name.
    pub supervisor: Option<(u32, String)>,
}

/// This process goes on.
#[derive(Debug, Clone)]
pub struct NotUpgraded {
    /// Why, on a line.
    pub why: String,
    /// What the new process has found.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
}

/// Why a new process does not serve.
struct Refused {
    why: String,
    findings: Vec<Finding>,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self {
            why,
            findings: Vec::new(),
        }
    }
}

/// Nothing changes by command: what would, waits.
struct Quiet<'r> {
    _commands: RwLockWriteGuard<'r, ()>,
    _changing: MutexGuard<'r, Changing>,
}

/// Ends the turn of an upgrade.
struct Turn<'r>(&'r Upgrades);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.line() = None;
    }
}

impl Upgrades {
    fn line(&self) -> std::sync::MutexGuard<'_, Option<Option<UnixStream>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> std::sync::MutexGuard<'_, Option<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What changes something by command reads this.
    pub(crate) fn commands(&self) -> &RwLock<()> {
        &self.commands
    }

    /// True while a new process gets ready, and once it serves.
    pub(crate) fn is_under_way(&self) -> bool {
        self.line().is_some() || self.successor.borrow().is_some()
    }

    fn begin(&self) -> Result<Turn<'_>, Refused> {
        if let Some(process) = *self.successor.borrow() {
            return Err(format!("process {process} has taken over already: ask that one").into());
        }
        let mut line = self.line();
        if line.is_some() {
            return Err("another upgrade is under way: wait until it is over"
                .to_owned()
                .into());
        }
        *line = Some(None);
        Ok(Turn(self))
    }

    /// The process is to stop: a new one that is not ready is not waited for.
    pub(crate) fn give_up(&self) {
        // One that serves goes on, and is heard of over its line.
        if self.successor.borrow().is_some() {
            return;
        }
        if let Some(Some(line)) = &*self.line() {
            let _ = line.shutdown(std::net::Shutdown::Both);
        }
    }

    /// What has started this process and hears of its end alone. `None` where it is told of the next one (systemd, the parent in a
    /// container), or this process is not the first: then it follows the service already, or has lost it.
    fn supervisor(&self) -> Option<(u32, String)> {
        let is_told = std::env::var_os("NOTIFY_SOCKET").is_some()
            || std::process::id() == 1
            || self.keeper.get().is_some();
        if is_told || self.follows.load(Ordering::Relaxed) {
            return None;
        }
        let process = std::os::unix::process::parent_id();
        let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
        let name = name.trim_end();
        (!matches!(name, "systemd" | "init")).then(|| (process, name.to_owned()))
    }

    /// This process took over from another, in so long.
    pub(crate) fn have_made_this(&self, at: SystemTime, took: Duration) {
        self.follows.store(true, Ordering::Relaxed);
        self.set_last(at, took, None);
    }

    /// Another process has the sockets, and this one is to serve nobody new.
    pub(crate) fn leave(&self) {
        self.left.send_replace(true);
    }

    fn set_last(&self, at: SystemTime, took: Duration, error: Option<String>) {
        let last = Some(LastUpgrade { at, took, error });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

impl Running {
    /// This process can be replaced in this way.
    pub fn is_replaced_by(&self, starter: Starter) {
        // A second way is none.
        drop(self.upgrades.starter.set(starter));
    }

    /// From now on the process at the other end is told who takes over.
    pub(crate) fn is_kept_by(&self, keeper: UnixStream) {
        drop(self.upgrades.keeper.set(keeper));
    }

    /// Where the first process hears of those that follow its successor: it stays to the end of the last.
    pub fn news(&self) -> Option<News> {
        self.upgrades.news().take()
    }

    /// How the latest upgrade went; `None`: there was none.
    pub fn last_upgrade(&self) -> Option<LastUpgrade> {
        let last = self.upgrades.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until another process serves in place of this one; its number.
    pub async fn is_succeeded(&self) -> u32 {
        let mut successor = self.upgrades.successor.subscribe();
        let process = match successor.wait_for(Option::is_some).await {
            Ok(process) => *process,
            Err(_) => None,
        };
        match process {
            Some(process) => process,
            None => std::future::pending().await,
        }
    }

    /// Waits until another process has the sockets of this one, which is to serve nobody new.
    pub async fn has_left(&self) {
        let mut left = self.upgrades.left.subscribe();
        if left.wait_for(|left| *left).await.is_err() {
            std::future::pending().await
        }
    }

    /// The process that serves in place of this one; `None`: this one does.
    pub fn successor(&self) -> Option<u32> {
        *self.upgrades.successor.borrow()
    }

    /// Waits until no upgrade is under way; the process that serves in place of this one then.
    pub(crate) async fn upgrade_is_over(&self) -> Option<u32> {
        // The line ends last.
        while self.upgrades.line().is_some() {
            tokio::time::sleep(LOOK).await;
        }
        self.successor()
    }

    /// Starts the program that stands on disk now, hands everything over to it, and comes back when it serves. This process is to
    /// leave then: see [`Running::is_succeeded`]. `by`: what asks, for the log.
    ///
    /// # Errors
    /// Why the new process does not serve; nothing has changed then.
    pub async fn upgrade(
        self: &Arc<Self>,
        by: &str,
        within: Duration,
    ) -> Result<Upgraded, NotUpgraded> {
        let (at, begun) = (SystemTime::now(), Instant::now());
        let running = self.clone();
        let who = by.to_owned();
        let done = tokio::task::spawn_blocking(move || running.replaced(&who, begun, within));
        let done = done
            .await
            .unwrap_or_else(|error| Err(error.to_string().into()));
        let took = begun.elapsed();
        match done {
            Ok((process, given)) => {
                emit(&Event::Upgraded { by, process, took });
                Ok(Upgraded {
                    process,
                    took,
                    given,
                    connections: self.open_connections(),
                    deadline: self.drains.longest(&self.statistics.installed()),
                    supervisor: self.upgrades.supervisor(),
                })
            }
            Err(Refused { why, findings }) => {
                let first = findings.iter().find(|it| it.severity == "error");
                let error = match first {
                    Some(first) => format!("{why}: {}", first.on_a_line()),
                    None => why.clone(),
                };
                emit(&Event::UpgradeFailed { by, error: &error });
                let counters = self.statistics.installed().plane.metrics.clone();
                counters.process().failed_upgrades.add(1);
                self.upgrades.set_last(at, took, Some(error));
                Err(NotUpgraded {
                    why,
                    findings,
                    took,
                })
            }
        }
    }

    /// Blocks until the new process serves, or does not.
    fn replaced(
        &self,
        by: &str,
        begun: Instant,
        within: Duration,
    ) -> Result<(u32, Given), Refused> {
        let _turn = self.upgrades.begin()?;
        // What is being changed is finished first.
        drop(self.changing.blocking_lock());
        let start = self.may_leave()?;
        emit(&Event::UpgradeStarted { by });
        if let Some(number) = self.rolled_back_to() {
            tracing::warn!(
                "generation {number} is at work by a rollback: the new process begins with what the files say"
            );
        }
        let (line, theirs) = UnixStream::pair().map_err(|it| cannot_start(&it))?;
        let kept = line.try_clone().map_err(|it| cannot_start(&it))?;
        *self.upgrades.line() = Some(Some(kept));
        let mut child = start(theirs).map_err(|it| cannot_start(&it))?;
        // Whoever waits for its end sees who serves then.
        let mut quiet = None;
        match self.get_ready(&line, &mut child, (begun, within), &mut quiet) {
            Ok((given, writes_pid)) => {
                let process = child.id();
                self.leave_to(process, writes_pid);
                // Whoever does not hear it is alone from now on, and goes on.
                let _ = self.let_go(&line, process, writes_pid);
                // Last: this process may end as soon as it is known.
                self.upgrades.successor.send_replace(Some(process));
                Ok((process, given))
            }
            Err(refused) => {
                // Before the line ends: at its end it would believe itself alone.
                let _ = child.kill();
                let _ = child.wait();
                Err(refused)
            }
        }
    }

    /// How it is replaced, if it can be now.
    fn may_leave(&self) -> Result<&Starter, Refused> {
        let starter = self.upgrades.starter.get();
        let starter = starter.ok_or_else(|| "this process cannot start itself again".to_owned())?;
        if self.process.is_draining() {
            return Err("the process is stopping".to_owned().into());
        }
        if let Some(root) = &self.snapshot().process.chroot {
            let why = format!(
                "the root of this process is `{}` (`chroot`): neither the program nor its files can be found from there; restart it instead",
                root.value
            );
            return Err(why.into());
        }
        Ok(starter)
    }

    /// Answers a new process until it serves. True: this process is to write its number into the pid file.
    fn get_ready<'r>(
        &'r self,
        line: &UnixStream,
        child: &mut Child,
        (begun, within): (Instant, Duration),
        quiet: &mut Option<Quiet<'r>>,
    ) -> Result<(Given, bool), Refused> {
        let mut deadline = begun + within;
        let mut given = Given::default();
        loop {
            let word = words::hear(line, deadline).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut if deadline > begun + within => Refused::from(format!(
                    "the new process has the live state and did not serve within {} s after that",
                    LAST_STEP.as_secs()
                )),
                io::ErrorKind::TimedOut => {
                    Refused::from(format!("the new process was not ready within {within:?}"))
                }
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                    self.has_ended(child)
                }
                _ => format!("the new process cannot be understood: {error}").into(),
            })?;
            let answered = match word {
                Word::Sockets => match takeover::give(line) {
                    // Why is its next word, or there is none.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    given => given,
                },
                Word::State => {
                    quiet.get_or_insert_with(|| self.grow_quiet());
                    let left = deadline.saturating_duration_since(Instant::now());
                    let patience = left.max(LAST_STEP);
                    line.set_write_timeout(Some(patience))
                        .and_then(|()| live_state::give(self, line))
                        .map(|it| given = it)
                }
                Word::Ready(writes_pid) => return Ok((given, writes_pid)),
                Word::Failed(findings) => {
                    let why = "the new process does not come to serve".to_owned();
                    return Err(Refused { why, findings });
                }
            };
            answered.map_err(|error| {
                format!("what the new process has asked for cannot be given: {error}")
            })?;
            deadline = deadline.max(Instant::now() + LAST_STEP * u32::from(quiet.is_some()));
        }
    }

    /// Waits for what is being changed, and lets nobody change anything more.
    fn grow_quiet(&self) -> Quiet<'_> {
        // In the order of commands that need both.
        let commands = self.upgrades.commands.blocking_write();
        Quiet {
            _commands: commands,
            _changing: self.changing.blocking_lock(),
        }
    }

    fn has_ended(&self, child: &mut Child) -> Refused {
        if self.process.is_draining() {
            return "the process is stopping".to_owned().into();
        }
        let begun = Instant::now();
        while begun.elapsed() < LAST_WORDS {
            if let Ok(Some(status)) = child.try_wait() {
                return ended(status).into();
            }
            thread::sleep(Duration::from_millis(20));
        }
        "the new process has closed its line".to_owned().into()
    }

    /// Another process serves: sockets, files and whoever supervises are its own from now on.
    fn leave_to(&self, process: u32, writes_pid: bool) {
        self.given_away.store(true, Ordering::Relaxed);
        self.history().let_go();
        if writes_pid
            && let Some(file) = self.pid_file.get()
            && let Err(error) = file.write_number(process)
        {
            tracing::warn!(
                "cannot write the number of process {process} into the pid file: {error}"
            );
        }
        self.tell_supervisor(Doing::LeftTo(process));
        self.upgrades.leave();
    }

    /// Tells the new process that it is the one that serves.
    fn let_go(&self, line: &UnixStream, process: u32, wants_pid_file: bool) -> io::Result<()> {
        let keeper = self.upgrades.keeper.get();
        let pid_file = self.pid_file.get().filter(|_| wants_pid_file);
        let is_first = std::process::id() == 1;
        if let Some(keeper) = keeper {
            // A signal that comes behind is to be passed on to that one.
            let deadline = Some(Instant::now() + HEARD_WITHIN);
            let _ = words::say(keeper, &words::moved(process));
            let _ = words::read_line(keeper, deadline);
        }
        let earlier = self.drains.earlier.hand_on();
        let go = Go {
            keeps: is_first || keeper.is_some(),
            pid_file: pid_file.is_some(),
            hears: true,
            earlier: earlier.len(),
        };
        let keeper = keeper.map(AsFd::as_fd);
        let pid_file = pid_file.map(|it| it.file().as_fd());
        let carries = earlier.iter().map(AsFd::as_fd);
        let carries: Vec<BorrowedFd<'_>> = carries.chain(keeper).chain(pid_file).collect();
        takeover::send(line, go.text().as_bytes(), &carries)?;
        let (drains, statistics) = (self.drains.clone(), self.statistics.clone());
        let news = earlier::hear(line.try_clone()?, drains, statistics, is_first);
        *self.upgrades.news() = news;
        Ok(())
    }
}

fn cannot_start(error: &io::Error) -> Refused {
    format!("cannot start the new process: {error}").into()
}

fn ended(status: ExitStatus) -> String {
    format!("the new process ended before it was ready ({status}): its last words are in the log")
}
