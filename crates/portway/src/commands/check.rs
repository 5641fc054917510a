//! `portway check`: everything that is wrong, without running anything.

use std::process::ExitCode;

use portway_control::install;
use portway_control::sources::compile_files_with;
use portway_dialects::cloudformation::Unset;
use portway_model::diagnostic::{Diagnostics, Severity};
use portway_model::snapshot::Snapshot;

use crate::cli::{Check, reading};
use crate::render;

/// Runs the command.
pub(crate) fn run(arguments: &Check, quiet: bool) -> ExitCode {
    let mut compiled = compile_files_with(
        &arguments.sources,
        &reading(&arguments.language, &arguments.templates, Unset::Warned),
    );
    install::check_compiled(&mut compiled);
    let (sources, found) = (&compiled.sources, &compiled.diagnostics);
    if arguments.json {
        super::print(&format!("{}\n", render::json(sources, found)));
    } else if arguments.short {
        let wanted = found
            .iter()
            .filter(|it| !quiet || it.severity == Severity::Error);
        let lines: String = wanted.map(|it| render::short(sources, it) + "\n").collect();
        super::print(&lines);
    } else {
        render::to_stderr(sources, found, quiet);
        if !quiet {
            super::print(&summary(compiled.snapshot.as_ref(), found));
        }
    }
    if found.has_errors() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn summary(snapshot: Option<&Snapshot>, found: &Diagnostics) -> String {
    let findings: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (found.count(severity), severity.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| counted(count, word))
        .collect();
    let verdict = if found.has_errors() {
        "cannot run"
    } else {
        "good"
    };
    let findings = if findings.is_empty() {
        "nothing found".to_owned()
    } else {
        let more = if render::may_be_cut(found) {
            ", there may be more"
        } else {
            ""
        };
        findings.join(", ") + more
    };
    let holds = snapshot.map(|snapshot| {
        let targets = snapshot
            .groups
            .iter()
            .map(|group| group.targets.len())
            .sum();
        format!(
            "{}, {}, {}: ",
            counted(snapshot.listeners.len(), "listener"),
            counted(snapshot.groups.len(), "target group"),
            counted(targets, "target"),
        )
    });
    format!("{}{verdict} ({findings})\n", holds.unwrap_or_default())
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
