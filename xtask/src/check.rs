//! `cargo xtask check`: everything that can be said about the source without running it.
//!
//! Every step runs, whatever the others said; what failed is shown and summed up at the end.

use std::io::{IsTerminal as _, Write as _};
use std::process::Command;
use std::time::Instant;

use crate::workspace::Workspace;
use crate::{edges, features, limits, process, tidy};

/// Name of a step and what it does; `Err` holds what to show.
type Step = (&'static str, fn(&Workspace) -> Result<(), String>);

/// In the order of their run: the quick ones do not wait for the build.
const STEPS: [Step; 8] = [
    ("rustfmt", rustfmt),
    ("tidy", tidy::run),
    ("limits", limits::check),
    ("features", features::check),
    ("edges", edges::check_manifests),
    ("graph", edges::check_graph),
    ("clippy", clippy),
    ("docs", docs),
];

/// Runs every step with a line of progress each.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        print!("check: {name:<8}");
        // a line that does not appear in time is a pity, not a failure
        let _ = std::io::stdout().flush();
        let start = Instant::now();
        let result = step(workspace);
        let time = process::seconds(start.elapsed());
        match result {
            Ok(()) => println!("{time}  ok"),
            Err(problem) => {
                println!("{time}  failed\n{}\n", problem.trim_end());
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} of {} checks failed: {}",
        failed.len(),
        STEPS.len(),
        failed.join(", ")
    ))
}

fn rustfmt(workspace: &Workspace) -> Result<(), String> {
    // the files are enough: what to change is what `cargo fmt` does
    let listed = cargo(
        workspace,
        &["fmt", "--all", "--check", "--", "--files-with-diff"],
    );
    listed.map_err(|files| format!("{}\n`cargo fmt --all` formats them", files.trim_end()))
}

fn clippy(workspace: &Workspace) -> Result<(), String> {
    cargo(
        workspace,
        &[
            "clippy",
            "--quiet",
            "--keep-going",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    )
}

fn docs(workspace: &Workspace) -> Result<(), String> {
    let mut command = process::cargo(&workspace.root);
    command.env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
        "--locked",
    ]);
    shown(&mut command)
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<(), String> {
    let mut command = process::cargo(&workspace.root);
    shown(command.args(arguments))
}

/// In colour where ours is seen by a person.
fn shown(command: &mut Command) -> Result<(), String> {
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    process::quiet(command).map(drop)
}
