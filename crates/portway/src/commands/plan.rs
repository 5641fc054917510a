//! `portway plan`: what a reload would change, of the running Portway or from one configuration to another.

use std::path::PathBuf;
use std::process::ExitCode;

use portway_admin::client;
use portway_admin::json::{Finding, Planned};
use portway_control::sources::{compile_files_with, to_native};
use portway_control::{plan, reload};
use portway_dialects::cloudformation::Unset;
use portway_model::snapshot::Snapshot;

use super::reload::findings;
use super::steps::{self, Tense};
use crate::cli::{Plan, reading};
use crate::render;

/// Runs the command. Exit code 1 where a configuration is none, or a reload would fail.
pub(crate) fn run(arguments: &Plan, quiet: bool) -> ExitCode {
    let planned = match arguments.sources.as_slice() {
        [old, new] if !arguments.running => {
            let one = |path: &PathBuf| compiled(std::slice::from_ref(path), arguments, quiet);
            match (one(old), one(new)) {
                (Ok(old), Ok(new)) => Planned::of(Some(&plan::Plan::between(&old, &new))),
                (old, new) => {
                    let wrong = [old.err(), new.err()].into_iter().flatten();
                    return broken(wrong.flatten().collect(), arguments.json);
                }
            }
        }
        [] => match client::plan(arguments.admin, None) {
            Ok(planned) => planned,
            Err(error) => return super::fail_as(arguments.json, &error.to_string()),
        },
        sources => {
            let new = match compiled(sources, arguments, quiet) {
                Ok(new) => new,
                Err(wrong) => return broken(wrong, arguments.json),
            };
            match client::plan(arguments.admin, Some(&to_native(&new))) {
                Ok(planned) if planned.ok => Planned {
                    // They were told of already, with their places.
                    diagnostics: Vec::new(),
                    ..planned
                },
                Ok(planned) => planned,
                Err(error) => return super::fail_as(arguments.json, &error.to_string()),
            }
        }
    };
    if arguments.json {
        super::print_json(&planned);
    } else {
        super::tell(&findings(&planned.diagnostics, quiet));
        match (planned.ok, planned.plan.is_empty()) {
            (false, _) => {
                super::tell("a reload would fail: the configuration at work would stay\n")
            }
            (true, true) => super::print("nothing changes\n"),
            (true, false) => super::print(&steps::text(&planned.plan, Tense::ToDo, |_| None)),
        }
    }
    match planned.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The configuration of files, or what is wrong with it, which has been told.
fn compiled(paths: &[PathBuf], arguments: &Plan, quiet: bool) -> Result<Snapshot, Vec<Finding>> {
    let reading = reading(&arguments.language, &arguments.templates, Unset::Refused);
    let compiled = compile_files_with(paths, &reading);
    render::to_stderr(&compiled.sources, &compiled.diagnostics, quiet);
    let found = || reload::findings(&compiled.diagnostics, &compiled.sources);
    compiled
        .snapshot
        .ok_or_else(|| found().into_iter().map(Into::into).collect())
}

/// That nothing can be compared, because of this.
fn broken(diagnostics: Vec<Finding>, as_json: bool) -> ExitCode {
    if as_json {
        super::print_json(&Planned {
            ok: false,
            diagnostics,
            ..Planned::of(None)
        });
    }
    ExitCode::FAILURE
}
