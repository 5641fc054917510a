//! What the process asks of its system: a log and descriptors.

use std::io::{self, IsTerminal};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::level_filters::LevelFilter;

use crate::cli::Level;

/// Writes the log of the process to standard error, for people.
pub(crate) fn start_log(level: Level, quiet: bool) {
    let level = match level {
        _ if quiet => LevelFilter::ERROR,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let started = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(colour(&io::stderr()))
        .with_target(false)
        // Nobody is left to hear of it where standard error has no reader any more, and to say so there would be a panic.
        .log_internal_errors(false)
        .with_max_level(level)
        .try_init();
    // It fails only where a log was started before, and then there is one.
    drop(started);
}

/// True where what is written to is a terminal and its user did not ask for plain text (no-color.org).
pub(crate) fn colour(output: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    output.is_terminal() && !refused
}

/// Raises the limit of open files as far as the system lets us: each connection takes one or two. Root may have more
/// than the limit, where so many are `wanted`.
pub(crate) fn raise_descriptor_limit(wanted: Option<u64>) {
    let mut limit = getrlimit(Resource::Nofile);
    if let (Some(wanted), Some(maximum)) = (wanted, limit.maximum)
        && wanted > maximum
    {
        let more = Rlimit {
            current: Some(wanted),
            maximum: Some(wanted),
        };
        if setrlimit(Resource::Nofile, more).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(
            from = limit.current,
            to = limit.maximum,
            "limit of open files raised"
        ),
        Err(error) => tracing::debug!(%error, "limit of open files stays at {:?}", limit.current),
    }
}
