//! What only control knows, for a scrape: figures of things that no worker counts.

use std::time::Duration;

/// A stick table.
#[derive(Clone, Copy, Debug)]
pub struct TableFigures<'a> {
    /// Its name.
    pub name: &'a str,
    /// Entries that are there.
    pub entries: u64,
    /// Entries at most.
    pub size: u64,
    /// Entries that had to go because it was full.
    pub evicted: u64,
    /// Keys that had no room because nothing could go.
    pub refused: u64,
}

/// A destination of logs.
#[derive(Clone, Debug)]
pub struct LogFigures {
    /// Its path or address.
    pub destination: String,
    /// Records that it has taken.
    pub written: u64,
    /// Records that it has not, because its writer was behind or could not write.
    pub dropped: u64,
    /// Records that were cut off because they were longer than their messages may be, written or not.
    pub cut: u64,
}

/// The health checks of a target.
#[derive(Clone, Copy, Debug)]
pub struct CheckFigures {
    /// Checks that passed.
    pub passed: u64,
    /// Checks that failed.
    pub failed: u64,
    /// How long the latest took; `None`: there was none.
    pub took: Option<Duration>,
}
