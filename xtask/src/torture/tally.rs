//! What is counted in a run, and the rules of what is a failure.
//!
//! A *cut* is an exchange whose response had begun, with a target that went away: nothing can be repeated then. An
//! *unrepeatable* one is an upload to such a target: its content is gone when the target is. Both are allowed on the
//! flapping group only, and are counted apart.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How many failures are kept with their text. The others are counted.
const KEPT_TEXTS: usize = 40;

/// What a client does. The name is its User-Agent, by which its records are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Class {
    Gets,
    Uploads,
    Pipelined,
    TlsNew,
    TlsResumed,
    Tunnel,
    Raw,
    SlowReader,
    SlowWriter,
    Idle,
    /// Uploads that are answered before they are over.
    Early,
    /// Downloads from a target that closes idle connections at once.
    Hasty,
    FlapGets,
    FlapUploads,
    Aborting,
    RawAborting,
    Hostile,
}

/// What became of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Count {
    /// Begun by the client.
    Sent,
    /// Ended as it should, every byte right.
    Whole,
    /// Its response had begun when the target went.
    Cut,
    /// Could not be repeated when the target went.
    Unrepeatable,
    /// None of these.
    Failed,
}

const COUNTS: usize = 5;

impl Class {
    pub(super) const ALL: [Class; 17] = [
        Class::Gets,
        Class::Uploads,
        Class::Pipelined,
        Class::TlsNew,
        Class::TlsResumed,
        Class::Tunnel,
        Class::Raw,
        Class::SlowReader,
        Class::SlowWriter,
        Class::Idle,
        Class::Early,
        Class::Hasty,
        Class::FlapGets,
        Class::FlapUploads,
        Class::Aborting,
        Class::RawAborting,
        Class::Hostile,
    ];

    /// As User-Agent and in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Class::Gets => "downloads",
            Class::Uploads => "uploads",
            Class::Pipelined => "pipelined",
            Class::TlsNew => "tls-new",
            Class::TlsResumed => "tls-resumed",
            Class::Tunnel => "tunnels",
            Class::Raw => "tcp-streams",
            Class::SlowReader => "slow-readers",
            Class::SlowWriter => "slow-writers",
            Class::Idle => "idle",
            Class::Early => "answered-early",
            Class::Hasty => "hasty-target",
            Class::FlapGets => "flapping-downloads",
            Class::FlapUploads => "flapping-uploads",
            Class::Aborting => "aborting",
            Class::RawAborting => "tcp-aborting",
            Class::Hostile => "hostile",
        }
    }

    const fn is_flapping(self) -> bool {
        matches!(self, Class::FlapGets | Class::FlapUploads)
    }

    /// True where every request that was sent leaves a record with this User-Agent.
    pub(super) const fn is_recorded(self) -> bool {
        !matches!(
            self,
            Class::Raw | Class::RawAborting | Class::Aborting | Class::Hostile
        )
    }
}

/// How far an exchange came before something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// No response, or one of Portway's own in its place.
    Before,
    /// Into the response. What had come of it was right.
    Within,
    /// Something came that must never come.
    Wrong,
}

/// What went wrong in an exchange.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) reach: Reach,
    pub(super) text: String,
}

impl Trouble {
    /// Before a byte of the response came.
    pub(super) fn before(text: impl fmt::Display) -> Self {
        Self {
            reach: Reach::Before,
            text: text.to_string(),
        }
    }

    /// After the response had begun.
    pub(super) fn within(text: impl fmt::Display) -> Self {
        Self {
            reach: Reach::Within,
            text: text.to_string(),
        }
    }

    /// True where not a byte of an answer came, and the connection has ended.
    pub(super) fn is_unanswered(&self) -> bool {
        self.reach == Reach::Before && !self.text.contains("HTTP/")
    }

    /// A wrong byte, a wrong answer.
    pub(super) fn wrong(text: impl fmt::Display) -> Self {
        Self {
            reach: Reach::Wrong,
            text: text.to_string(),
        }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    cells: Vec<AtomicU64>,
    failures: AtomicU64,
    texts: Mutex<Vec<String>>,
    /// TLS handshakes that resumed a session, as clients saw it.
    pub(super) resumed: AtomicU64,
    /// Bytes of content that clients received and found right.
    pub(super) bytes_down: AtomicU64,
    /// Bytes of content that targets received and found right.
    pub(super) bytes_up: AtomicU64,
    /// Heartbeats that came back through tunnels.
    pub(super) heartbeats: AtomicU64,
    /// Times that the flapping target went away.
    pub(super) absences: AtomicU64,
    /// Requests that were sent again, because their connection was closed while they were on their way.
    pub(super) repeated: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            cells: (0..Class::ALL.len() * COUNTS)
                .map(|_| AtomicU64::new(0))
                .collect(),
            failures: AtomicU64::new(0),
            texts: Mutex::default(),
            resumed: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
            heartbeats: AtomicU64::new(0),
            absences: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub(super) fn add(&self, class: Class, count: Count) {
        if let Some(cell) = self.cell(class, count) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted.
    pub(super) fn of(&self, class: Class, count: Count) -> u64 {
        self.cell(class, count)
            .map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// What was counted of all classes.
    pub(super) fn sum(&self, count: Count) -> u64 {
        Class::ALL.iter().map(|class| self.of(*class, count)).sum()
    }

    /// Everything that broke a rule so far.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The first failures in words.
    pub(super) fn texts(&self) -> Vec<String> {
        match self.texts.lock() {
            Ok(texts) => texts.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// Counts how an exchange ended; false where its connection is of no use any more.
    pub(super) fn close(&self, class: Class, result: Result<(), Trouble>) -> bool {
        let Err(trouble) = result else {
            self.add(class, Count::Whole);
            return true;
        };
        let count = match class {
            _ if !class.is_flapping() || trouble.reach == Reach::Wrong => Count::Failed,
            _ if trouble.reach == Reach::Within => Count::Cut,
            Class::FlapUploads => Count::Unrepeatable,
            _ => Count::Failed,
        };
        self.add(class, count);
        if count == Count::Failed {
            self.fail(format_args!("{}: {}", class.name(), trouble.text));
        }
        false
    }

    /// Something broke a rule.
    pub(super) fn fail(&self, text: impl fmt::Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let at = self.started.elapsed().as_secs_f64();
        if let Ok(mut texts) = self.texts.lock()
            && texts.len() < KEPT_TEXTS
        {
            texts.push(format!("at {at:.1} s: {text}"));
        }
    }

    fn cell(&self, class: Class, count: Count) -> Option<&AtomicU64> {
        self.cells.get(class as usize * COUNTS + count as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(class: Class, result: Result<(), Trouble>, expected: Count) {
        let tally = Tally::new();
        let goes_on = tally.close(class, result.clone());
        assert_eq!(tally.of(class, expected), 1, "{class:?} {result:?}");
        assert_eq!(tally.sum(expected), 1);
        assert_eq!(tally.failures(), u64::from(expected == Count::Failed));
        assert_eq!(goes_on, expected == Count::Whole);
    }

    #[test]
    fn what_is_a_failure() {
        let (before, within) = (Trouble::before("x"), Trouble::within("x"));
        for class in Class::ALL {
            check(class, Ok(()), Count::Whole);
        }
        check(Class::Gets, Err(before.clone()), Count::Failed);
        check(Class::Gets, Err(within.clone()), Count::Failed);
        check(Class::Uploads, Err(within.clone()), Count::Failed);
        check(Class::FlapGets, Err(before.clone()), Count::Failed);
        check(Class::FlapGets, Err(within.clone()), Count::Cut);
        check(Class::FlapUploads, Err(before), Count::Unrepeatable);
        check(Class::FlapUploads, Err(within), Count::Cut);
        check(Class::FlapUploads, Err(Trouble::wrong("x")), Count::Failed);
    }

    #[test]
    fn texts_are_bounded() {
        let tally = Tally::new();
        for n in 0..KEPT_TEXTS + 10 {
            tally.fail(n);
        }
        assert_eq!(tally.texts().len(), KEPT_TEXTS);
        assert_eq!(tally.failures(), KEPT_TEXTS as u64 + 10);
    }
}
