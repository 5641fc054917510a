//! `-S`: the master's control socket. It answers a few commands itself and passes those for a worker on: `@1` is the current
//! worker, `@!PID` any of them, `@master` itself. A prefix without a command counts for the commands behind it.
//!
//! A worker has no socket for this: it is handed one end of a pair, as if it had accepted it ([`crate::background`]).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use portway_admin::incoming;
use portway_control::bind::control::{self, ControlListener, Socket};
use portway_control::bind::{Handover, Neighbour, SocketFiles};
use portway_control::services::ControlLevel;
use portway_control::sources::compile_text;
use portway_model::diagnostic::Severity;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::version;

/// Connections at the same time, HAProxy's limit; more wait.
const MAX_CONNECTIONS: usize = 10;

/// How long a connection may be silent: as in HAProxy, for ever.
const PATIENCE: Duration = Duration::MAX;

/// Questions to the master that wait.
pub(super) const QUESTIONS: usize = 16;

/// Whom a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    Master,
    /// The worker that serves.
    Current,
    /// The worker with this number.
    Process(u32),
}

/// A connection to a worker, and the worker's number.
pub(super) type Connected = (std::os::unix::net::UnixStream, u32);

/// What a connection asks of the master.
pub(super) enum Question {
    /// What `show proc` says.
    Processes(oneshot::Sender<String>),
    /// The number of a worker, and a connection to it on which so much may be done.
    Worker(Whom, ControlLevel, oneshot::Sender<Option<Connected>>),
    /// A new worker is wanted. Dropped once it is known what became of it.
    Reload(oneshot::Sender<()>),
}

/// The sockets of the master, bound.
pub(super) struct Sockets {
    listeners: Vec<ControlListener>,
    /// Goes with this.
    _files: SocketFiles,
}

/// Binds what `-S` says, each an address with the options of a `bind` line behind commas. `beside`: another master, which is
/// about to leave, may hold them.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn bind(texts: &[String], beside: bool) -> Result<Sockets, String> {
    let neighbour = match beside {
        true => Neighbour::Leaving(Handover::default()),
        false => Neighbour::None,
    };
    let (mut listeners, mut files) = (Vec::new(), SocketFiles::default());
    for text in texts {
        let (address, options) = text.split_once(',').unwrap_or((text, ""));
        let line = format!(
            "stats socket {address} level admin {}",
            options.replace(',', " ")
        );
        let compiled = compile_text("-S", &format!("global\n  {line}\n"));
        let error = compiled
            .diagnostics
            .iter()
            .find(|it| it.severity == Severity::Error);
        if let Some(error) = error {
            return Err(format!("-S {text} : {}", error.message));
        }
        let sockets = compiled.snapshot.map(|it| it.process.control_sockets);
        let bound = control::bind(&sockets.unwrap_or_default(), &neighbour, &mut files);
        listeners.extend(bound.map_err(|found| {
            let why = found
                .iter()
                .next()
                .map_or_else(String::new, |it| it.message.clone());
            format!("-S {text} : {why}")
        })?);
    }
    Ok(Sockets {
        listeners,
        _files: files,
    })
}

impl Sockets {
    /// Serves the sockets in tasks that end with what is given back.
    ///
    /// # Errors
    /// A socket could not be registered with the runtime.
    pub(super) fn serve(&mut self, ask: &mpsc::Sender<Question>) -> io::Result<JoinSet<()>> {
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let listeners = std::mem::take(&mut self.listeners);
        let names = listeners.iter().map(|it| (it.name.clone(), it.level));
        let names: Arc<Vec<_>> = Arc::new(names.collect());
        let mut tasks = JoinSet::new();
        for it in listeners {
            let session = Session {
                ask: ask.clone(),
                sockets: names.clone(),
                whom: Whom::Master,
                number: 0,
                level: it.level,
                prompts: false,
            };
            let free = free.clone();
            match it.socket {
                Socket::Tcp(socket) => {
                    let socket = TcpListener::from_std(socket)?;
                    tasks.spawn(async move {
                        let mut open = JoinSet::new();
                        loop {
                            let accepted = socket.accept().await.map(|it| it.0);
                            begin(accepted, &session, &free, &mut open).await;
                        }
                    });
                }
                Socket::Unix(socket) => {
                    let socket = UnixListener::from_std(socket)?;
                    tasks.spawn(async move {
                        let mut open = JoinSet::new();
                        loop {
                            let accepted = socket.accept().await.map(|it| it.0);
                            begin(accepted, &session, &free, &mut open).await;
                        }
                    });
                }
            }
        }
        Ok(tasks)
    }
}

/// After an error of accept: of one connection, or of the process, which has to wait.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a connection once there is room for it.
async fn begin<S>(
    accepted: io::Result<S>,
    session: &Session,
    free: &Arc<Semaphore>,
    open: &mut JoinSet<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    while open.try_join_next().is_some() {}
    let Ok(stream) = accepted else {
        return tokio::time::sleep(PAUSE).await;
    };
    // The semaphore is never closed.
    let Ok(permit) = free.clone().acquire_owned().await else {
        return;
    };
    let session = session.clone();
    open.spawn(async move {
        // A tool that goes away is no error of ours.
        let _ = session.converse(stream).await;
        drop(permit);
    });
}

/// What a connection is about.
#[derive(Clone)]
struct Session {
    ask: mpsc::Sender<Question>,
    /// The master's sockets, for those who ask.
    sockets: Arc<Vec<(String, ControlLevel)>>,
    /// Whom commands without a prefix are for, and its number where that is a worker.
    whom: Whom,
    number: u32,
    level: ControlLevel,
    /// Commands follow one after the other.
    prompts: bool,
}

/// What follows a command.
enum Next {
    /// The answer ends with an empty line.
    Answered(String),
    /// The answer was passed on whole, or there is none.
    Done,
    /// The connection ends.
    End,
}

impl Session {
    async fn converse<S>(mut self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = BufReader::new(stream);
        while let Some(line) = incoming::next_line(&mut stream, PATIENCE).await? {
            let line = line.trim_end_matches(['\r', '\n']);
            let mut payload = String::new();
            if line.trim_end().ends_with("<<") {
                payload = incoming::payload(&mut stream, PATIENCE).await?;
            }
            let commands = split(line);
            let last = commands.len().saturating_sub(1);
            for (nth, command) in commands.into_iter().enumerate() {
                let payload = if nth == last { payload.as_str() } else { "" };
                match self.one(command.trim_start(), payload, &mut stream).await? {
                    Next::Answered(text) => {
                        stream.write_all(format!("{text}\n").as_bytes()).await?;
                    }
                    Next::Done => {}
                    Next::End => return stream.shutdown().await,
                }
                if self.prompts {
                    stream.write_all(self.prompt().as_bytes()).await?;
                }
            }
            if !self.prompts {
                return stream.shutdown().await;
            }
        }
        Ok(())
    }

    fn prompt(&self) -> String {
        match self.whom {
            Whom::Master => "master> ".to_owned(),
            _ => format!("{}> ", self.number),
        }
    }

    /// Carries out one command.
    async fn one<S>(&mut self, command: &str, payload: &str, to: &mut S) -> io::Result<Next>
    where
        S: AsyncWrite + Unpin,
    {
        let (prefix, command) = match command.strip_prefix('@') {
            Some(rest) => {
                let (prefix, command) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
                (Some(prefix), command.trim_start())
            }
            None => (None, command),
        };
        let whom = match prefix.map(whom) {
            None => self.whom,
            Some(Some(whom)) => whom,
            Some(None) => return self.lost(prefix, to).await,
        };
        let connected = match whom {
            Whom::Master => None,
            _ => match self.worker(whom).await {
                Some(connected) => Some(connected),
                None => return self.lost(prefix, to).await,
            },
        };
        if command.is_empty() && prefix.is_some() {
            self.whom = whom;
            self.number = connected.map_or(0, |it| it.1);
            return Ok(Next::Done);
        }
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        match (words.as_slice(), connected) {
            (["prompt"], _) => {
                self.prompts = !self.prompts;
                Ok(Next::Done)
            }
            (["quit"], _) => Ok(Next::End),
            (_, None) => self.answer(&words).await,
            (words, Some((stream, _))) => {
                match words {
                    ["operator"] => self.lower(ControlLevel::Operator),
                    ["user"] => self.lower(ControlLevel::User),
                    _ => {}
                }
                pass_on(stream, command, payload, to).await
            }
        }
    }

    /// Says that there is no such worker, which ends the connection.
    async fn lost<S>(&self, prefix: Option<&str>, to: &mut S) -> io::Result<Next>
    where
        S: AsyncWrite + Unpin,
    {
        let prefix = match (prefix, self.whom) {
            (Some(prefix), _) => prefix.to_owned(),
            (None, Whom::Process(number)) => format!("!{number}"),
            (None, _) => "1".to_owned(),
        };
        let text = format!("Can't find the target PID matching the prefix '@{prefix}'\n");
        to.write_all(text.as_bytes()).await?;
        Ok(Next::End)
    }

    async fn worker(&self, whom: Whom) -> Option<Connected> {
        let (answer, answered) = oneshot::channel();
        let question = Question::Worker(whom, self.level, answer);
        self.ask.send(question).await.ok()?;
        answered.await.ok()?
    }

    /// Answers a command of the master.
    async fn answer(&mut self, words: &[&str]) -> io::Result<Next> {
        let needs = match words {
            ["reload"] | ["show", "proc", ..] => ControlLevel::Operator,
            _ => ControlLevel::User,
        };
        if self.level < needs {
            return Ok(Next::Answered("Permission denied\n".to_owned()));
        }
        let text = match words {
            ["help", about @ ..] => {
                list("The following commands are valid at this level:\n", about)
            }
            ["operator"] => self.lowered(ControlLevel::Operator),
            ["user"] => self.lowered(ControlLevel::User),
            ["reload"] => {
                // The master is there as long as its sockets are.
                let (over, is_over) = oneshot::channel();
                let _ = self.ask.send(Question::Reload(over)).await;
                let _ = is_over.await;
                return Ok(Next::End);
            }
            ["show", "cli", "level"] => format!("{}\n", self.level.as_str()),
            ["show", "cli", "sockets"] => {
                let lines = self.sockets.iter();
                lines.fold(
                    "# socket lvl processes\n".to_owned(),
                    |text, (name, level)| format!("{text}{name} {} master\n", level.as_str()),
                )
            }
            ["show", "proc", ..] => {
                let (answer, answered) = oneshot::channel();
                let asked = self.ask.send(Question::Processes(answer)).await.is_ok();
                match asked {
                    true => answered.await.unwrap_or_default(),
                    false => String::new(),
                }
            }
            ["show", "version"] => format!("{}\n", version::version()),
            [] => list(
                "Unknown command. Please enter one of the following commands only:\n",
                &[],
            ),
            about => list(
                "Unknown command, but maybe one of the following ones is a better match:\n",
                about,
            ),
        };
        Ok(Next::Answered(text))
    }

    fn lower(&mut self, level: ControlLevel) {
        self.level = self.level.min(level);
    }

    fn lowered(&mut self, level: ControlLevel) -> String {
        if self.level < level {
            return "Permission denied\n".to_owned();
        }
        self.level = level;
        String::new()
    }
}

/// Gives a worker a command and passes its answer on.
async fn pass_on<S>(
    stream: std::os::unix::net::UnixStream,
    command: &str,
    payload: &str,
    to: &mut S,
) -> io::Result<Next>
where
    S: AsyncWrite + Unpin,
{
    stream.set_nonblocking(true)?;
    let mut worker = UnixStream::from_std(stream)?;
    let end = if payload.is_empty() { "" } else { "\n" };
    let text = format!("{command}\n{payload}{end}");
    // A worker that ends in the middle of it has no answer.
    let _ = worker.write_all(text.as_bytes()).await;
    copy(&mut worker, to).await?;
    Ok(Next::Done)
}

/// Whom a prefix means, without its `@`.
fn whom(prefix: &str) -> Option<Whom> {
    if prefix == "master" {
        return Some(Whom::Master);
    }
    match prefix.strip_prefix('!') {
        Some(number) => number.parse().ok().map(Whom::Process),
        // There is one worker, whose number is 1.
        None => (prefix == "1").then_some(Whom::Current),
    }
}

/// Commands of a line: what stands between `;` that no `\` makes ordinary.
fn split(line: &str) -> Vec<&str> {
    let (mut commands, mut from, mut escaped) = (Vec::new(), 0, false);
    for (at, letter) in line.char_indices() {
        if letter == ';' && !escaped {
            commands.extend(line.get(from..at));
            from = at + 1;
        }
        escaped = letter == '\\' && !escaped;
    }
    commands.extend(line.get(from..));
    commands
}

#[rustfmt::skip] // a table
const COMMANDS: &[(&str, &str)] = &[
    ("@!<pid>", "give a command to the worker with this number"),
    ("@<relative pid>", "give a command to the current worker, which is 1"),
    ("@master", "give a command to the master"),
    ("operator", "lower the level of this connection to operator"),
    ("reload", "start a worker with the configuration as it is now"),
    ("show cli level", "the level of this connection"),
    ("show cli sockets", "where the master understands commands"),
    ("show proc", "the master and its workers"),
    ("show version", "the version of the master"),
    ("user", "lower the level of this connection to user"),
];

#[rustfmt::skip] // a table
const ALWAYS: [(&str, &str); 3] = [
    ("help [<command>]", "list matching or all commands"),
    ("prompt", "toggle interactive mode with prompt"),
    ("quit", "disconnect"),
];

/// Commands that begin with the same word as `about`; all where there are none.
fn list(head: &str, about: &[&str]) -> String {
    let first = about.first().copied().unwrap_or_default();
    let begins = |usage: &str| usage.split(' ').next() == Some(first);
    let none = !COMMANDS.iter().any(|(usage, _)| begins(usage));
    let wanted = COMMANDS.iter().filter(|(usage, _)| none || begins(usage));
    wanted
        .chain(&ALWAYS)
        .fold(head.to_owned(), |text, (usage, says)| {
            format!("{text}  {usage:<40}: {says}\n")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_commands() {
        let check = |prefix: &str, expected: Option<Whom>| assert_eq!(whom(prefix), expected);
        check("master", Some(Whom::Master));
        check("1", Some(Whom::Current));
        check("2", None);
        check("!42", Some(Whom::Process(42)));
        check("!", None);
        check("", None);
        assert_eq!(split("a;b ; c\\;d"), ["a", "b ", " c\\;d"]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("a\\\\;b"), ["a\\\\", "b"]);
    }
}
