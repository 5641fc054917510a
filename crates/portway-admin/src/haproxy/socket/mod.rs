//! Control sockets: HAProxy's commands, one line a connection, or many after `prompt`.
//!
//! A connection may lower its level and never raise it. What is answered ends with an empty line, as tools expect.

mod certificates;
mod change;
mod command;
mod insides;
pub mod incoming;
mod line;
mod maps;
mod ocsp;
mod servers;
mod sessions;
mod show;
pub(super) mod tables;
mod variables;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portway_control::bind::control::{ControlListener, Socket};
use portway_control::bind::takeover;
use portway_control::figures::Figures;
use portway_control::install::Running;
use portway_control::live_state;
use portway_control::services::ControlLevel;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What stands before each command after `prompt`.
const PROMPT: &str = "> ";

/// What a connection is about.
pub(crate) struct Session {
    running: Arc<Running>,
    level: ControlLevel,
    /// Its peer may be given the listening sockets.
    exposes: bool,
    /// Commands follow one after the other.
    prompts: bool,
    /// How long it may be silent.
    timeout: Duration,
    /// All control sockets, for those who ask.
    sockets: Arc<Vec<(String, ControlLevel)>>,
    /// Whether messages say how severe they are.
    severity: Severity,
    /// How severe what the command in progress says is; `None` where it is no message.
    tone: Option<Tone>,
    expert: bool,
    experimental: bool,
    /// What was said of profiling, for all connections.
    profiles: Arc<Profiles>,
    /// Who asks, and since when.
    peer: Peer,
    since: Instant,
    /// Lines behind the line of commands.
    payload: Option<String>,
}

/// The two settings of `set profiling`.
#[derive(Default)]
pub(crate) struct Profiles([Mutex<Option<&'static str>>; 2]);

impl Profiles {
    fn set(&self, nth: usize, state: &'static str) {
        if let Some(it) = self.0.get(nth) {
            *it.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        }
    }

    fn shown(&self, nth: usize) -> &'static str {
        let state = self.0.get(nth);
        let state = state.and_then(|it| *it.lock().unwrap_or_else(PoisonError::into_inner));
        state.unwrap_or("off")
    }
}

/// Who is connected to a control socket: `None` on a UNIX socket.
type Peer = Option<std::net::SocketAddr>;

/// Whether messages say how severe they are, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Hidden,
    Number,
    Word,
}

/// How severe a message is, as syslog has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Error,
    Warning,
    Information,
}

impl Tone {
    fn number(self) -> u8 {
        match self {
            Tone::Error => 3,
            Tone::Warning => 4,
            Tone::Information => 6,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Tone::Error => "err",
            Tone::Warning => "warning",
            Tone::Information => "info",
        }
    }
}

impl Session {
    fn figures(&self) -> Figures {
        self.running.statistics().figures()
    }
}

/// A connection to a control socket that another process accepted.
pub struct Handed {
    /// The connection.
    pub stream: std::os::unix::net::UnixStream,
    /// What may be done on it.
    pub level: ControlLevel,
}

/// Serves the control sockets until the task is dropped.
///
/// # Errors
/// A socket could not be registered with the runtime.
pub(crate) async fn serve(
    running: Arc<Running>,
    handed: Option<mpsc::Receiver<Handed>>,
) -> io::Result<()> {
    let listeners = running.control_sockets();
    let sockets = listeners.iter().map(|it| (it.name.clone(), it.level));
    let sockets = Arc::new(sockets.collect::<Vec<_>>());
    let limit = running.snapshot().process.control_connections;
    let free = Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX)));
    let profiles = Arc::new(Profiles::default());
    let mut tasks = JoinSet::new();
    if let Some(handed) = handed {
        let serving = Serving {
            running: running.clone(),
            level: ControlLevel::Admin,
            exposes: true,
            profiles: profiles.clone(),
            sockets: sockets.clone(),
            free: free.clone(),
        };
        tasks.spawn(async move { serving.handed(handed).await });
    }
    for listener in listeners {
        let ControlListener {
            socket,
            level,
            exposes,
            ..
        } = listener;
        let serving = Serving {
            running: running.clone(),
            level,
            exposes,
            profiles: profiles.clone(),
            sockets: sockets.clone(),
            free: free.clone(),
        };
        match socket {
            Socket::Tcp(socket) => {
                let socket = TcpListener::from_std(socket)?;
                tasks.spawn(async move { serving.tcp(socket).await });
            }
            Socket::Unix(socket) => {
                let socket = UnixListener::from_std(socket)?;
                tasks.spawn(async move { serving.unix(socket).await });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// After an error of accept: of one connection, or of the process, which has to wait.
const PAUSE: Duration = Duration::from_millis(100);

/// One control socket.
struct Serving {
    running: Arc<Running>,
    level: ControlLevel,
    /// Another process may be given the listening sockets over it.
    exposes: bool,
    profiles: Arc<Profiles>,
    sockets: Arc<Vec<(String, ControlLevel)>>,
    free: Arc<Semaphore>,
}

impl Serving {
    async fn tcp(&self, socket: TcpListener) {
        let mut connections = JoinSet::new();
        while let Some(accepted) = self.unless_left(socket.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let conversation =
                        |session| async move { drop(converse(stream, session).await) };
                    let whose = (self.level, Some(peer));
                    self.begin(whose, conversation, &mut connections).await;
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }

    /// The next connection, as long as no other process answers whoever comes.
    async fn unless_left<T>(&self, accepted: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            accepted = accepted => Some(accepted),
            () = self.running.has_left() => None,
        }
    }

    /// Connections that the master hands over.
    async fn handed(&self, mut handed: mpsc::Receiver<Handed>) {
        let mut connections = JoinSet::new();
        while let Some(Handed { stream, level }) = handed.recv().await {
            let ready = stream.set_nonblocking(true);
            if let Ok(stream) = ready.and_then(|()| UnixStream::from_std(stream)) {
                let conversation = |session| converse_unix(stream, session);
                self.begin((level, None), conversation, &mut connections)
                    .await;
            }
        }
    }

    async fn unix(&self, socket: UnixListener) {
        let mut connections = JoinSet::new();
        while let Some(accepted) = self.unless_left(socket.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    let conversation = |session| converse_unix(stream, session);
                    self.begin((self.level, None), conversation, &mut connections)
                        .await;
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }

    /// Serves a connection once there is room for one more.
    async fn begin<F>(
        &self,
        (level, peer): (ControlLevel, Peer),
        conversation: impl FnOnce(Session) -> F,
        connections: &mut JoinSet<()>,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(permit) = self.free.clone().acquire_owned().await else {
            return;
        };
        let session = Session {
            running: self.running.clone(),
            level,
            // A connection that the master hands over may be of a lower level than its socket.
            exposes: self.exposes && level == ControlLevel::Admin,
            prompts: false,
            timeout: self.running.snapshot().process.control_timeout,
            sockets: self.sockets.clone(),
            severity: Severity::Hidden,
            tone: None,
            expert: false,
            experimental: false,
            payload: None,
            profiles: self.profiles.clone(),
            peer,
            since: Instant::now(),
        };
        // A tool that goes away is no error of ours.
        let conversation = conversation(session);
        connections.spawn(async move {
            conversation.await;
            drop(permit);
        });
    }
}

/// What a process that takes over wants.
enum Wish {
    Sockets,
    State,
}

impl Wish {
    fn of(line: &str) -> Option<Self> {
        match line {
            takeover::REQUEST => Some(Wish::Sockets),
            live_state::REQUEST => Some(Wish::State),
            _ => None,
        }
    }
}

/// A conversation that may end with all listening sockets being handed over.
async fn converse_unix(stream: UnixStream, session: Session) {
    let running = session.running.clone();
    let Ok(Some((stream, wish))) = converse(stream, session).await else {
        return;
    };
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let hand_over = move || match wish {
        Wish::Sockets => running.hand_over(&stream),
        Wish::State => running.give_state(&stream),
    };
    // Where it fails, the other process is gone or says so itself.
    drop(tokio::task::spawn_blocking(hand_over).await);
}

/// Reads lines and answers them until one ends the connection. Gives the connection back where its peer is to be given the
/// listening sockets or the live state over it.
async fn converse<S>(stream: S, mut session: Session) -> io::Result<Option<(S, Wish)>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    loop {
        let Some(line) = incoming::next_line(&mut stream, session.timeout).await? else {
            return Ok(None);
        };
        let may = session.exposes && session.level == ControlLevel::Admin;
        let wish = Wish::of(line.trim_end()).filter(|_| may);
        if let Some(wish) = wish {
            return Ok(Some((stream.into_inner(), wish)));
        }
        let (commands, has_payload) = line::read(&line);
        session.payload = match has_payload {
            true => Some(incoming::payload(&mut stream, session.timeout).await?),
            false => None,
        };
        for command in &commands {
            let Some(mut answer) = command::run(&mut session, command).await else {
                return Ok(None);
            };
            answer.push('\n');
            if session.prompts {
                answer.push_str(PROMPT);
            }
            timeout(session.timeout, stream.write_all(answer.as_bytes())).await??;
        }
        if !session.prompts {
            timeout(session.timeout, stream.shutdown()).await??;
            return Ok(None);
        }
    }
}
