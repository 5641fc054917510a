//! What an old and a new process say to each other over the line between them: words of one line each.
//!
//! ```text
//! new                              old
//! _getsocks                 ─▶
//!                           ◀─     the listening sockets (see `bind::takeover`)
//! _portway_state            ─▶
//!                           ◀─     the live state (see `live_state`)
//! ready                     ─▶            it serves: both do now
//!                           ◀─     go     the old one accepts no more; with what only it can give
//! ```
//!
//! In place of `ready` it may say `failed` with what stands in the way. A word that is not known ends the upgrade: both are of
//! this project, and what may differ between versions is the state alone.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bind::takeover;
use crate::live_state;
use crate::reload::Finding;

/// Bytes of a word: what stands in the way of a configuration may be long.
const MAX_WORD_BYTES: usize = 4 * 1024 * 1024;

/// What a new process says.
#[derive(Debug)]
pub(super) enum Word {
    /// It wants the listening sockets.
    Sockets,
    /// It wants the live state.
    State,
    /// It serves. True: the old one is to write its number into the pid file.
    Ready(bool),
    /// It cannot.
    Failed(Vec<Finding>),
}

/// What was found, as it goes over the line.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    severity: String,
    code: String,
    message: String,
    place: Option<String>,
    help: Option<String>,
}

impl Word {
    fn read(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match word {
            takeover::REQUEST => Word::Sockets,
            live_state::REQUEST => Word::State,
            "ready" => Word::Ready(rest == "pid-file"),
            "failed" => {
                let found: Vec<Found> = serde_json::from_str(rest).ok()?;
                Word::Failed(found.into_iter().map(Into::into).collect())
            }
            _ => return None,
        })
    }

    /// As it goes over the line.
    pub(super) fn text(&self) -> String {
        match self {
            Word::Sockets => takeover::REQUEST.to_owned(),
            Word::State => live_state::REQUEST.to_owned(),
            Word::Ready(false) => "ready".to_owned(),
            Word::Ready(true) => "ready pid-file".to_owned(),
            Word::Failed(found) => {
                let found: Vec<Found> = found.iter().cloned().map(Into::into).collect();
                // Nothing of it can fail to be JSON.
                format!(
                    "failed {}",
                    serde_json::to_string(&found).unwrap_or_default()
                )
            }
        }
    }
}

impl From<Finding> for Found {
    fn from(it: Finding) -> Self {
        Self {
            severity: it.severity.to_owned(),
            code: it.code.into_owned(),
            message: it.message,
            place: it.place,
            help: it.help,
        }
    }
}

impl From<Found> for Finding {
    fn from(it: Found) -> Self {
        Self {
            severity: match it.severity.as_str() {
                "warning" => "warning",
                "note" => "note",
                _ => "error",
            },
            code: it.code.into(),
            message: it.message,
            place: it.place,
            help: it.help,
        }
    }
}

/// Says a line.
pub(super) fn say(mut line: &UnixStream, text: &str) -> io::Result<()> {
    line.write_all(format!("{text}\n").as_bytes())
}

/// The last word of an old process: it lets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Go {
    /// Another process that stays is to be told who takes over next: the one at the other end of the first socket that comes
    /// with it, or of the line where none does.
    pub(super) keeps: bool,
    /// The last file that comes with it is the pid file.
    pub(super) pid_file: bool,
    /// It hears on the line what drains from now on.
    pub(super) hears: bool,
    /// The first so many sockets that come with it are lines to the processes before it.
    pub(super) earlier: usize,
}

impl Go {
    pub(super) fn text(self) -> String {
        let keeps = if self.keeps { " keep" } else { "" };
        let pid_file = if self.pid_file { " pid-file" } else { "" };
        let hears = if self.hears { " hears" } else { "" };
        format!("go{keeps}{pid_file}{hears} earlier={}\n", self.earlier)
    }

    pub(super) fn read(said: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(said)
            .ok()?
            .strip_suffix('\n')?
            .split(' ');
        if words.next() != Some("go") {
            return None;
        }
        let words: Vec<&str> = words.collect();
        Some(Self {
            keeps: words.contains(&"keep"),
            pid_file: words.contains(&"pid-file"),
            hears: words.contains(&"hears"),
            earlier: words
                .iter()
                .find_map(|it| it.strip_prefix("earlier=")?.parse().ok())
                .unwrap_or(0),
        })
    }
}

/// What a process that stays is told of the one that serves.
pub(super) fn moved(process: u32) -> String {
    format!("moved {process}")
}

/// What that one says to it.
pub(super) const HEARD: &str = "heard";

/// The process that serves from now on, where this says it.
pub(super) fn moved_to(text: &str) -> Option<u32> {
    text.strip_prefix("moved ")?.parse().ok()
}

/// The next word of a new process, which has until `deadline` to say it.
///
/// # Errors
/// `UnexpectedEof` where it is gone, `TimedOut` where it is silent.
pub(super) fn hear(line: &UnixStream, deadline: Instant) -> io::Result<Word> {
    let text = read_line(line, Some(deadline))?;
    Word::read(&text).ok_or_else(|| {
        let text = format!(
            "it says what this version does not know: `{}`",
            text.escape_debug()
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// A line without its end, byte by byte: what comes behind it is not ours to read.
pub(super) fn read_line(mut line: &UnixStream, deadline: Option<Instant>) -> io::Result<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        line.set_read_timeout(left)?;
        match line.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => text.extend(byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if text.len() > MAX_WORD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_as_they_were_said() {
        let finding = Finding {
            severity: "warning",
            code: "P0101".into(),
            message: "a line\nand another".to_owned(),
            place: Some("a.toml:1:1".to_owned()),
            help: None,
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        for word in [
            Word::Sockets,
            Word::State,
            Word::Ready(true),
            Word::Ready(false),
            Word::Failed(vec![finding]),
        ] {
            say(&ours, &word.text()).unwrap();
            let heard = hear(&theirs, deadline).unwrap();
            assert_eq!(format!("{word:?}"), format!("{heard:?}"));
        }
        for (keeps, pid_file) in [(true, true), (true, false), (false, true), (false, false)] {
            for earlier in [0, 3] {
                let hears = earlier > 0;
                let go = Go {
                    keeps,
                    pid_file,
                    hears,
                    earlier,
                };
                assert_eq!(Go::read(go.text().as_bytes()), Some(go));
            }
        }
        assert_eq!(Go::read(b""), None);
        assert_eq!(Go::read(b"gone\n"), None);
        say(&ours, "sing").unwrap();
        assert_eq!(
            hear(&theirs, deadline).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(
            hear(&theirs, soon).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        drop(ours);
        assert_eq!(
            hear(&theirs, deadline).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
