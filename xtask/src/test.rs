//! `cargo xtask test`: the test command of the README, and all that continuous integration runs.
//!
//! Without arguments: tools, `check`, every test, every doc test, 200 reloads under load, the instructions of the hot path. With arguments,
//! which go to cargo-nextest: only the tests they choose. A failed step does not keep the next from running.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::torture::reload;
use crate::workspace::Workspace;
use crate::{check, instructions, process, tools};

/// Names the folder of the published documents.
const SAMPLES: &str = "PORTWAY_SAMPLES";

/// Names the Python that has our peers.
const PYTHON: &str = "PORTWAY_TEST_PYTHON";

/// What tests read from their environment.
struct Surroundings {
    python: PathBuf,
    samples: Option<PathBuf>,
}

/// Steps so far: name, time, and whether it went well.
#[derive(Default)]
struct Protocol {
    steps: Vec<(&'static str, Duration, bool)>,
}

/// Runs the tests; see the top of this file.
pub(crate) fn run(workspace: &Workspace, filter: &[String]) -> Result<(), String> {
    let samples = samples(std::env::var_os(SAMPLES).map(PathBuf::from).as_deref())?;
    let mut protocol = Protocol::default();
    let python = protocol.step("tools", || tools::install(workspace));
    if let Some(python) = python {
        let surroundings = Surroundings { python, samples };
        if filter.is_empty() {
            protocol.step("check", || check::run(workspace));
        }
        protocol.step("tests", || tests(workspace, &surroundings, filter));
        if filter.is_empty() {
            protocol.step("doc tests", || doc_tests(workspace, &surroundings));
            protocol.step("reloads", || {
                let binary = workspace.target.join("debug/portway");
                reload::run(workspace, &reload::Options::in_short(binary))
            });
            protocol.step("instructions", || instructions::run(workspace, false));
        }
    }
    protocol.close()
}

/// The folder of the published documents, absolute: tests run in the folders of their crates.
fn samples(named: Option<&Path>) -> Result<Option<PathBuf>, String> {
    let Some(folder) = named else {
        println!("test: {SAMPLES} is not set: tests over published documents are skipped");
        return Ok(None);
    };
    match folder.canonicalize() {
        Ok(folder) if folder.is_dir() => Ok(Some(folder)),
        _ => Err(format!(
            "{SAMPLES} names {}, which is not a folder",
            folder.display()
        )),
    }
}

fn tests(
    workspace: &Workspace,
    surroundings: &Surroundings,
    filter: &[String],
) -> Result<(), String> {
    let runner: &[&str] = if tools::has_subcommand(workspace, "nextest") {
        &["nextest", "run", "--locked"]
    } else {
        println!("test: cargo-nextest is not installed: using cargo test, without its time limits");
        &[
            "test",
            "--locked",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ]
    };
    let mut arguments = runner.to_vec();
    if !names_package(filter) {
        arguments.push("--workspace");
    }
    cargo(workspace, surroundings, &arguments, filter)
}

/// Whether the arguments choose crates themselves; `--workspace` would undo that.
fn names_package(filter: &[String]) -> bool {
    let mut options = filter.iter().take_while(|argument| *argument != "--");
    options.any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

fn doc_tests(workspace: &Workspace, surroundings: &Surroundings) -> Result<(), String> {
    cargo(
        workspace,
        surroundings,
        &["test", "--doc", "--workspace", "--locked", "--no-fail-fast"],
        &[],
    )
}

fn cargo(
    workspace: &Workspace,
    surroundings: &Surroundings,
    arguments: &[&str],
    filter: &[String],
) -> Result<(), String> {
    let mut command = process::cargo(&workspace.root);
    command
        .args(arguments)
        .args(filter)
        .env(PYTHON, &surroundings.python);
    if let Some(samples) = &surroundings.samples {
        command.env(SAMPLES, samples);
    }
    process::loud(&mut command)
}

impl Protocol {
    /// Runs a step, keeps its time and shows its problem.
    fn step<T>(
        &mut self,
        name: &'static str,
        run: impl FnOnce() -> Result<T, String>,
    ) -> Option<T> {
        println!("test: {name}");
        let start = Instant::now();
        let result = run();
        self.steps.push((name, start.elapsed(), result.is_ok()));
        result
            .map_err(|problem| println!("test: {name}: {}", problem.trim_end()))
            .ok()
    }

    /// Prints the time of every step; `Err` names those that failed.
    fn close(self) -> Result<(), String> {
        println!();
        for (name, time, well) in &self.steps {
            println!(
                "test: {name:<10}{}  {}",
                process::seconds(*time),
                if *well { "ok" } else { "failed" }
            );
        }
        let total = self.steps.iter().map(|(_, time, _)| *time).sum();
        println!("test: {:<10}{}", "all", process::seconds(total));
        let failed: Vec<&str> = self
            .steps
            .iter()
            .filter(|(_, _, well)| !well)
            .map(|(name, _, _)| *name)
            .collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(format!("failed: {}", failed.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_a_folder_or_nothing() {
        assert_eq!(samples(None), Ok(None));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(
            samples(Some(&here.join("src/.."))),
            Ok(Some(here.to_owned()))
        );
        assert!(samples(Some(&here.join("Cargo.toml"))).is_err());
        assert!(samples(Some(&here.join("nowhere"))).is_err());
    }

    #[test]
    fn crates_chosen_by_the_caller() {
        let check = |line: &str, expected| {
            let filter: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(names_package(&filter), expected, "{line}");
        };
        check("", false);
        check("head", false);
        check("-p xtask", true);
        check("--package=xtask tidy", true);
        check("head -- -p", false);
    }

    #[test]
    fn a_failed_step_is_named_at_the_end() {
        let mut protocol = Protocol::default();
        assert_eq!(protocol.step("one", || Ok::<_, String>(1)), Some(1));
        assert_eq!(protocol.step("two", || Err::<u8, _>("no".to_owned())), None);
        assert_eq!(protocol.step("three", || Ok::<_, String>(3)), Some(3));
        assert_eq!(protocol.close(), Err("failed: two".to_owned()));
    }
}
