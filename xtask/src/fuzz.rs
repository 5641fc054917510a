//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/` on the stable toolchain, a line of summary each.
//!
//! What a target finds new is kept in `fuzz/corpus/TARGET`, which git ignores; `fuzz/seeds/TARGET` holds what it
//! starts from.

use std::path::Path;
use std::time::Instant;

use crate::workspace::Workspace;
use crate::{process, tools};

/// How long a target runs where nothing else is said, in seconds.
pub(crate) const DEFAULT_SECONDS: u64 = 60;

/// How many of the last lines of a failed run are shown: enough for the panic, its backtrace and the input.
const SHOWN_LINES: usize = 60;

/// Runs `target`, or all of them, for `seconds` each. All run, whatever the others found.
pub(crate) fn run(workspace: &Workspace, target: Option<&str>, seconds: u64) -> Result<(), String> {
    let folder = workspace.root.join("fuzz");
    if !folder.join("Cargo.toml").is_file() {
        return Err("there is no fuzz/Cargo.toml".to_owned());
    }
    if !tools::has_subcommand(workspace, "fuzz") {
        println!("fuzz: installing cargo-fuzz: it builds and runs the targets");
        process::loud(process::cargo(&workspace.root).args(["install", "cargo-fuzz", "--locked"]))?;
    }
    let targets = chosen(targets(&folder)?, target)?;
    let mut failed = Vec::new();
    for name in targets {
        let start = Instant::now();
        let result = fuzz(&folder, &name, seconds);
        let time = process::seconds(start.elapsed());
        match result {
            Ok(executions) => println!("fuzz: {name:<20}{time}  {executions:>12} executions  ok"),
            Err(problem) => {
                println!("{}\nfuzz: {name:<20}{time}  failed", last_lines(&problem));
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let packages = Workspace::at(folder)?.packages;
    Ok(packages
        .into_iter()
        .flat_map(|package| package.binaries)
        .collect())
}

fn chosen(all: Vec<String>, target: Option<&str>) -> Result<Vec<String>, String> {
    match target {
        None => Ok(all),
        Some(name) if all.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(format!(
            "no fuzz target {name}; there are: {}",
            all.join(", ")
        )),
    }
}

/// Runs one target and answers with the number of inputs it tried. Building it counts into its time, not into
/// `seconds`.
fn fuzz(folder: &Path, name: &str, seconds: u64) -> Result<u64, String> {
    let corpus = folder.join("corpus").join(name);
    let seeds = folder.join("seeds").join(name);
    std::fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    let root = folder.parent().unwrap_or(folder);
    let mut command = process::cargo(root);
    // the sanitizer's flags are unstable; this lets the stable compiler take them
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["fuzz", "run", name])
        .arg(&corpus);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.arg("--").arg(format!("-max_total_time={seconds}"));
    let log = process::both(&mut command)?;
    executions(&log).ok_or_else(|| format!("{log}\nlibFuzzer did not say that it is done"))
}

/// From libFuzzer's last line, `Done 123 runs in 4 second(s)`.
fn executions(log: &str) -> Option<u64> {
    let done = log
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Done "))?;
    done.split_whitespace().next()?.parse().ok()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(SHOWN_LINES);
    lines
        .iter()
        .skip(first)
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_of_a_log() {
        let check = |log: &str, expected| assert_eq!(executions(log), expected, "{log}");
        check(
            "#2 INITED\n#128 DONE cov: 3\nDone 128 runs in 2 second(s)\n",
            Some(128),
        );
        check("Done 128 runs in 2 second(s)\nstat::x: 1\n", Some(128));
        check("thread panicked\n", None);
        check("", None);
    }

    #[test]
    fn one_target_or_all() {
        let all = || vec!["chunked".to_owned(), "head".to_owned()];
        assert_eq!(chosen(all(), None), Ok(all()));
        assert_eq!(chosen(all(), Some("head")), Ok(vec!["head".to_owned()]));
        assert_eq!(
            chosen(all(), Some("hed")),
            Err("no fuzz target hed; there are: chunked, head".to_owned())
        );
    }

    #[test]
    fn long_logs_are_cut_at_the_front() {
        let log: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert!(last_lines(&log.join("\n")).starts_with("40\n"));
        assert_eq!(last_lines("a\nb"), "a\nb");
    }
}
