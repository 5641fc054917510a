//! `portway plan`: what a reload would change, of the running Portway or from one configuration to another.

use std::path::PathBuf;
use std::process::ExitCode;

use portway_admin::client;
use portway_admin::json::Planned;
use portway_control::plan;
use portway_control::sources::{compile_files_with, to_native};
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
            let (Some(old), Some(new)) = (one(old), one(new)) else {
                return ExitCode::FAILURE;
            };
            Planned::of(Some(&plan::Plan::between(&old, &new)))
        }
        [] => match client::plan(arguments.admin, None) {
            Ok(planned) => planned,
            Err(error) => return super::fail(&error.to_string()),
        },
        sources => {
            let Some(new) = compiled(sources, arguments, quiet) else {
                return ExitCode::FAILURE;
            };
            match client::plan(arguments.admin, Some(&to_native(&new))) {
                Ok(planned) if planned.ok => Planned {
                    // They were told of already, with their places.
                    diagnostics: Vec::new(),
                    ..planned
                },
                Ok(planned) => planned,
                Err(error) => return super::fail(&error.to_string()),
            }
        }
    };
    if arguments.json {
        match serde_json::to_string_pretty(&planned) {
            Ok(json) => super::print(&format!("{json}\n")),
            Err(error) => return super::fail(&error.to_string()),
        }
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

fn compiled(paths: &[PathBuf], arguments: &Plan, quiet: bool) -> Option<Snapshot> {
    let reading = reading(&arguments.language, &arguments.templates, Unset::Refused);
    let compiled = compile_files_with(paths, &reading);
    render::to_stderr(&compiled.sources, &compiled.diagnostics, quiet);
    compiled.snapshot
}
