//! One file a command.

mod cert;
mod check;
mod convert;
mod demo;
mod drain;
mod explain;
mod history;
mod live;
mod paint;
mod plan;
mod reload;
mod run;
mod status;
mod upgrade;
mod steps;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::cli::{Cli, Command};

/// Runs the command. Exit code 0: it did what was asked; 1: it could not; 2 (by clap): it was not understood.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let quiet = cli.quiet;
    let code = match cli.command {
        Command::Demo(arguments) => demo::run(&arguments, quiet),
        Command::Run(arguments) => run::run(&arguments, quiet),
        Command::Check(arguments) => check::run(&arguments, quiet),
        Command::Convert(arguments) => convert::run(&arguments, quiet),
        Command::Compare(arguments) => crate::compare::run(&arguments, quiet),
        Command::Status(arguments) if arguments.watch => live::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments, quiet),
        Command::History(arguments) => history::run(&arguments),
        Command::Rollback(arguments) => history::roll_back(&arguments, quiet),
        Command::Explain(arguments) => explain::run(&arguments, quiet),
        Command::Upgrade(arguments) => upgrade::run(&arguments, quiet),
        Command::Drain(arguments) => drain::run(&arguments, quiet),
        Command::Undrain(arguments) => drain::undo(&arguments, quiet),
        Command::Plan(arguments) => plan::run(&arguments, quiet),
        Command::Cert(arguments) => cert::run(&arguments),
    };
    match IS_LOST.load(Ordering::Relaxed) {
        true => ExitCode::FAILURE,
        false => code,
    }
}

/// Something that was to be printed could not be: the disk is full.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Prints to standard output. Whoever reads it may have gone (`| head`): that is no failure. Anything else is one, at the end of the
/// command.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = printed
        && error.kind() != io::ErrorKind::BrokenPipe
        && !IS_LOST.swap(true, Ordering::Relaxed)
    {
        fail(&format!("cannot write to standard output: {error}"));
    }
}

/// Prints an object.
pub(crate) fn print_json(it: &impl Serialize) {
    match serde_json::to_string_pretty(it) {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => {
            IS_LOST.store(true, Ordering::Relaxed);
            fail(&error.to_string());
        }
    }
}

/// Says why there is no answer, in an object too where one was asked for.
pub(crate) fn fail_as(as_json: bool, message: &str) -> ExitCode {
    if as_json {
        print_json(&serde_json::json!({ "ok": false, "error": message }));
    }
    fail(message)
}

/// Prints to standard error. Whoever reads it may have gone: that stops no work.
pub(crate) fn tell(text: &str) {
    let mut out = io::stderr().lock();
    drop(out.write_all(text.as_bytes()));
}

/// Prints an error without place.
pub(crate) fn fail(message: &str) -> ExitCode {
    tell(&format!("error: {message}\n"));
    ExitCode::FAILURE
}

/// Columns as wide as their widest cell, two blanks between them.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).map_or(0, |it| it.chars().count());
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
