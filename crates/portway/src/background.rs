//! Starting this program again as a child that tells when it serves: how it goes into the background, and how a master has
//! workers.
//!
//! The child's standard input is one end of a pair of sockets: it writes a byte once it serves, and its death closes it.
//! That needs no `fork`, which a program with threads must not use, and no name that others could speak to.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;

use portway_admin::Handed;
use portway_control::bind::takeover;
use portway_control::services::ControlLevel;
use portway_control::supervisor::Doing;
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::systemd;

/// Set in the environment of a child whose standard input leads to a parent that waits.
const PARENT_WAITS: &str = "PORTWAY_PARENT_WAITS";

/// Set in the environment of a process that takes over from the one at the other end of its standard input.
const TAKES_OVER: &str = "PORTWAY_TAKES_OVER";

/// The value of [`PARENT_WAITS`] where a connection to the process before comes over standard input first.
const WITH_PREDECESSOR: &str = "2";
/// Its value else.
const ALONE: &str = "1";

/// This program and how it was called.
#[derive(Debug, Clone)]
pub(crate) struct Itself {
    /// The file to start again: what stands there then, so that an update takes effect.
    program: PathBuf,
    /// The name it was called by.
    name: OsString,
}

impl Itself {
    /// As this process was started. Called before the working directory changes.
    ///
    /// # Errors
    /// The system does not say where the program is.
    pub(crate) fn find() -> io::Result<Self> {
        let name = std::env::args_os().next().unwrap_or_default();
        let program = match called_as(&name) {
            Some(path) => path,
            None => std::env::current_exe()?,
        };
        Ok(Self { program, name })
    }

    /// Starts this program with the arguments of this process, as the one that takes over from it: `line` leads to this one.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) fn succeed(&self, line: UnixStream) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .arg0(&self.name)
            .args(std::env::args_os().skip(1))
            .env(TAKES_OVER, "1")
            .stdin(Stdio::from(OwnedFd::from(line)));
        command.env_remove(PARENT_WAITS);
        systemd::succeed(&mut command, takes_over());
        command.spawn().map_err(|error| {
            let text = format!("{}: {error}", self.program.display());
            io::Error::new(error.kind(), text)
        })
    }

    /// Starts this program with `arguments` and waits until it serves. The status where it ended before. It may ask the
    /// `predecessor`, connections to another process's control socket, for its listening sockets and its live state.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) fn start(
        &self,
        arguments: &[OsString],
        predecessor: &[UnixStream],
    ) -> io::Result<Result<Serving, ExitStatus>> {
        let Starting { mut serving } = self.begin(arguments, predecessor)?;
        let serves = serving.line.read_exact(&mut [0]).is_ok();
        Ok(if serves {
            Ok(serving)
        } else {
            Err(serving.child.wait()?)
        })
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) fn begin(
        &self,
        arguments: &[OsString],
        predecessor: &[UnixStream],
    ) -> io::Result<Starting> {
        let waits = match predecessor {
            [] => ALONE,
            _ => WITH_PREDECESSOR,
        };
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.program)
            .arg0(&self.name)
            .args(arguments)
            .env(PARENT_WAITS, waits)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        if !predecessor.is_empty() && takeover::send(&ours, &[0], predecessor).is_err() {
            // The child waits for it, and must not do so for ever. One that is gone already is noticed below.
            let _ = takeover::send(&ours, &[0], &[] as &[&UnixStream]);
        }
        let serving = Serving { child, line: ours };
        Ok(Starting { serving })
    }
}

/// A child of which nobody knows yet whether it will serve.
pub(crate) struct Starting {
    serving: Serving,
}

impl Starting {
    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.serving.child.id()
    }

    /// Comes with true once it serves, with false where it has ended before or was given up. Called once.
    ///
    /// # Errors
    /// There is no descriptor left for it.
    pub(crate) fn serves(&self) -> io::Result<JoinHandle<bool>> {
        let mut line = self.serving.line.try_clone()?;
        let wait = move || line.read_exact(&mut [0]).is_ok();
        Ok(tokio::task::spawn_blocking(wait))
    }

    /// It serves.
    pub(crate) fn serving(self) -> Serving {
        self.serving
    }

    /// Ends it, whatever it is at. What is given back has ended once the system says so: a process that waits for a disk does not
    /// hear of it before.
    pub(crate) fn give_up(mut self) -> Child {
        // One that is gone needs no telling.
        let _ = self.serving.child.kill();
        let _ = self.serving.line.shutdown(Shutdown::Both);
        self.serving.child
    }
}

/// The path that this process was started by, if that still leads to it: a link may lead elsewhere tomorrow, and that is what an
/// update changes.
fn called_as(name: &OsStr) -> Option<PathBuf> {
    let ours = std::fs::canonicalize(std::env::current_exe().ok()?).ok();
    let is_ours = |path: &PathBuf| ours.is_some() && std::fs::canonicalize(path).ok() == ours;
    if name.as_bytes().contains(&b'/') {
        return std::path::absolute(name).ok().filter(is_ours);
    }
    let folders = std::env::var_os("PATH")?;
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(name));
    paths
        .find(is_ours)
        .and_then(|path| std::path::absolute(path).ok())
}

/// True in a process that takes over from another.
fn takes_over() -> bool {
    std::env::var_os(TAKES_OVER).is_some()
}

/// The line to the process that this one takes over from, if there is one. Called once, before threads start; standard input is
/// empty afterwards.
pub(crate) fn takes_over_from() -> Option<UnixStream> {
    if !takes_over() {
        return None;
    }
    let line = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).ok()?;
    if let Ok(null) = File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
    }
    Some(UnixStream::from(line))
}

/// A child that serves.
pub(crate) struct Serving {
    /// The process.
    pub(crate) child: Child,
    /// Ends with this, and so tells a worker that its master is gone.
    line: UnixStream,
}

impl Serving {
    /// Gives the child a connection to its control socket, as if it had accepted it.
    ///
    /// # Errors
    /// The child is gone.
    pub(crate) fn hand(&self, stream: &UnixStream, level: ControlLevel) -> io::Result<()> {
        takeover::send(&self.line, &[level as u8], &[stream])
    }
}

/// The exit code of a child that ended before it served.
pub(crate) fn ended(status: ExitStatus) -> ExitCode {
    // As a shell says it: 128 and the number of the signal.
    let code = status.code().or(status.signal().map(|number| 128 + number));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.filter(|code| *code > 0).unwrap_or(1))
}

/// Starts this program again to go on in the background, and waits until it serves.
///
/// # Errors
/// It could not be started.
pub(crate) fn go_on(itself: &Itself, arguments: &[OsString]) -> io::Result<ExitCode> {
    Ok(match itself.start(arguments, &[])? {
        Ok(_child) => ExitCode::SUCCESS,
        Err(status) => ended(status),
    })
}

/// What takes the place of standard input and output: opened before the root changes, since another root need not have it.
pub(crate) struct Nobody(Option<File>);

impl Nobody {
    /// Where it cannot be had, the process keeps what it was given.
    pub(crate) fn open() -> Self {
        Self(
            File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .ok(),
        )
    }

    /// Tells whoever waits that this process serves, and what on a line, and lets go of the terminal if it is in the background.
    pub(crate) fn tell_serving(&self, background: bool, line: String) {
        tell_parent();
        self.leave_parent();
        systemd::supervise(Doing::Serving(line));
        if background {
            self.leave_terminal();
        }
    }

    /// Lets go of standard input: the parent may end.
    fn leave_parent(&self) {
        if let (true, Some(null)) = (parent_waits(), &self.0) {
            let _ = rustix::stdio::dup2_stdin(null);
        }
    }

    /// Lets go of standard output and error, once nothing is left to say on them.
    pub(crate) fn leave_terminal(&self) {
        if let Some(null) = &self.0 {
            let _ = rustix::stdio::dup2_stdout(null);
            let _ = rustix::stdio::dup2_stderr(null);
        }
    }
}

/// True in a child that [`Itself::start`] made.
pub(crate) fn parent_waits() -> bool {
    std::env::var_os(PARENT_WAITS).is_some()
}

/// Connections to the control socket of the process before, where the parent gives some: over each, one thing can be asked for.
/// Called once, before [`tell_master`].
pub(crate) fn predecessor() -> Vec<UnixStream> {
    let mut streams = Vec::new();
    if std::env::var_os(PARENT_WAITS).is_some_and(|it| it == WITH_PREDECESSOR) {
        let mut take = |fd: OwnedFd| streams.push(UnixStream::from(fd));
        // Without any, this process starts as if there had been none before.
        let _ = takeover::receive(rustix::stdio::stdin(), &mut [0], &mut take);
    }
    streams
}

/// What the parent says next, with the connection that it gives; `None` at its end.
fn received(said: &mut [u8; 1]) -> Option<(u8, Option<UnixStream>)> {
    let mut stream = None;
    let mut take = |fd: OwnedFd| stream = Some(UnixStream::from(fd));
    let got = takeover::receive(rustix::stdio::stdin(), said, &mut take).ok()?;
    (got > 0).then_some((said[0], stream))
}

/// Tells the parent that waits, if there is one, that this process serves.
fn tell_parent() {
    if parent_waits() {
        // A parent that is gone has nobody to tell.
        let _ = rustix::io::write(rustix::stdio::stdin(), b"1");
    }
}

/// Tells the master that this worker serves, takes the connections that it hands over, and ends this process once the
/// master is gone, however it went.
///
/// # Errors
/// No thread could be started to watch it.
pub(crate) fn tell_master(handed: mpsc::Sender<Handed>) -> io::Result<()> {
    tell_parent();
    let watch = move || {
        // It ends when the master does.
        while let Some((level, stream)) = received(&mut [0]) {
            let level = match level {
                it if it == ControlLevel::Admin as u8 => ControlLevel::Admin,
                it if it == ControlLevel::Operator as u8 => ControlLevel::Operator,
                _ => ControlLevel::User,
            };
            if let Some(stream) = stream {
                // Where nobody answers any more, the connection ends.
                let _ = handed.blocking_send(Handed { stream, level });
            }
        }
        let _ = kill_process(getpid(), Signal::TERM);
    };
    thread::Builder::new()
        .name("portway-master".to_owned())
        .spawn(watch)
        .map(drop)
}

/// Leaves the terminal: a session of its own. Called before threads start.
pub(crate) fn leave_session() {
    // It fails only in the leader of a group, which a child of ours is not.
    let _ = rustix::process::setsid();
}
