//! The side of the new process: what it asks of the one before, and what it tells it.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Sources, Span};

use super::Earlier;
use super::words::{self, Go, Word};
use crate::bind::{Handover, Neighbour, takeover};
use crate::pid_file::PidFile;
use crate::reload::findings;
use crate::running::Running;

/// How long the old process may take to let go: it writes a file and tells its supervisor.
const GRANTED_WITHIN: Duration = Duration::from_secs(5);

/// Where the live state of a process is asked for.
pub struct StateFrom {
    pub(crate) stream: UnixStream,
    /// It is a Portway that has it; else it may be a HAProxy.
    pub(crate) is_ours: bool,
}

impl StateFrom {
    /// Over a connection to a control socket of it.
    pub fn control_socket(connection: UnixStream) -> Self {
        Self {
            stream: connection,
            is_ours: false,
        }
    }
}

/// The process before, at the other end of the line.
pub struct Predecessor {
    line: UnixStream,
    at: SystemTime,
    begun: Instant,
    /// It ended before it gave anything.
    has_ended: Cell<bool>,
}

impl Predecessor {
    /// At the other end of this line.
    pub fn new(line: UnixStream) -> Self {
        Self {
            line,
            at: SystemTime::now(),
            begun: Instant::now(),
            has_ended: Cell::new(false),
        }
    }

    /// True where it ended before it gave its sockets: the system may be about to close them.
    pub fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Its listening sockets, those of the system among them. Where it is gone meanwhile there are none to share, and every address has to be free.
    ///
    /// # Errors
    /// It is there and does not hand them over.
    pub fn sockets(&self, of_system: Handover) -> Result<Neighbour, Diagnostic> {
        match Handover::fetch(&self.line) {
            Ok(sockets) => Ok(Neighbour::Giving { sockets, of_system }),
            Err(error) if is_end(&error) => {
                tracing::warn!(
                    "the process before has ended: this one starts as if there had been none"
                );
                self.has_ended.set(true);
                Ok(Neighbour::given(of_system))
            }
            Err(error) => {
                let message = format!("the process before does not hand over its sockets: {error}");
                Err(Diagnostic::error(Code::Install, Span::NONE, message))
            }
        }
    }

    /// Where its live state is asked for.
    pub fn state(&self) -> Option<StateFrom> {
        let stream = self.line.try_clone().ok()?;
        Some(StateFrom {
            stream,
            is_ours: true,
        })
    }

    /// This process cannot serve.
    pub fn failed(&self, found: &Diagnostics, sources: &Sources) {
        // One that is gone needs no telling.
        let _ = words::say(&self.line, &Word::Failed(findings(found, sources)).text());
    }

    /// This process serves. Comes back once the old one has let go, or is gone: then this one is alone, and goes on.
    pub fn ready(self, running: &Running) {
        running
            .upgrades
            .have_made_this(self.at, self.begun.elapsed());
        let counters = running.statistics.installed().plane.metrics.clone();
        counters.process().upgrades.add(1);
        let word = Word::Ready(running.wants_number_written());
        let granted = words::say(&self.line, &word.text()).and_then(|()| self.granted());
        match granted {
            Ok((go, carried)) => self.take(running, go, carried),
            Err(error) => {
                tracing::warn!(
                    "the process before has not let go ({error}): this one serves alone"
                );
            }
        }
    }

    fn granted(&self) -> io::Result<(Go, Vec<OwnedFd>)> {
        self.line.set_read_timeout(Some(GRANTED_WITHIN))?;
        let mut carried = Vec::new();
        let mut said = [0; 128];
        let got = takeover::receive(&self.line, &mut said, &mut |fd| carried.push(fd))?;
        self.line.set_read_timeout(None)?;
        let go = Go::read(said.get(..got).unwrap_or_default());
        Ok((go.ok_or(io::ErrorKind::UnexpectedEof)?, carried))
    }

    /// Takes what only the old process could give.
    fn take(&self, running: &Running, go: Go, mut carried: Vec<OwnedFd>) {
        let snapshot = running.snapshot();
        let pid_file = carried.pop_if(|_| go.pid_file);
        let has_keeper = carried.len() > go.earlier;
        if let (Some(file), Some(path)) = (pid_file, &snapshot.process.pid_file) {
            let file = PidFile::given(Path::new(&path.value), file.into());
            drop(running.pid_file.set(file));
        } else if running.wants_number_written() {
            tracing::warn!(
                "nobody may write the pid file any more: it says the number of a process before"
            );
        }
        if go.keeps {
            let keeper = carried.pop_if(|_| has_keeper).map(UnixStream::from);
            if let Some(keeper) = keeper.or_else(|| self.line.try_clone().ok()) {
                running.is_kept_by(keeper);
            }
        }
        let mut lines: Vec<UnixStream> = carried.into_iter().map(UnixStream::from).collect();
        lines.truncate(go.earlier);
        lines.extend(self.line.try_clone().ok().filter(|_| go.hears));
        Earlier::begin(&running.drains, lines);
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
