//! `portway run`: compiles the sources and serves until told to stop.

use std::fmt::Write;
use std::process::ExitCode;

use portway_control::install::Running;
use portway_control::sources::compile_files;

use crate::cli::Run;
use crate::serve::{self, Talk};
use crate::{render, system};

/// Runs the command.
pub(crate) fn run(arguments: &Run, quiet: bool) -> ExitCode {
    system::start_log(arguments.log.log_level, quiet);
    let compiled = compile_files(&arguments.sources);
    render::to_stderr(&compiled.sources, &compiled.diagnostics, quiet);
    let Some(mut snapshot) = compiled.snapshot else {
        return ExitCode::FAILURE;
    };
    if let Some(workers) = arguments.workers {
        snapshot.process.workers = workers;
    }
    if let Some(admin) = arguments.admin {
        snapshot.process.admin = admin;
    }
    let tell = |running: &Running| {
        if !quiet {
            super::print(&started(running));
        }
    };
    let talk = Talk {
        sources: &compiled.sources,
        quiet,
        advice: None,
    };
    match serve::runtime() {
        Ok(runtime) => serve::serve(runtime, snapshot, &talk, tell),
        Err(error) => super::fail(&format!("cannot start the runtime: {error}")),
    }
}

/// What was started, for people.
pub(crate) fn started(running: &Running) -> String {
    let status = running.status();
    let mut text = String::new();
    for listener in &status.listeners {
        let addresses = listener.addresses.join(", ");
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "listener {}: {} on {addresses}",
            listener.name, listener.protocol
        );
    }
    for group in &status.groups {
        let count = group.targets.len();
        let noun = if count == 1 { "target" } else { "targets" };
        let _ = writeln!(text, "target group {}: {count} {noun}", group.name);
    }
    let admin = running.snapshot().process.admin;
    let _ = writeln!(text, "admin: http://{admin}/");
    text
}
