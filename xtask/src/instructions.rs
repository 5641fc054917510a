//! `cargo xtask instructions`: how many instructions the worker's thread spends on an exchange, held against the
//! numbers in `xtask/instructions.toml`.
//!
//! Time differs from run to run and from machine to machine, instructions hardly: the tests in
//! `crates/portway-dataplane/tests/hot_path` make exchanges one after the other, callgrind counts, and the difference
//! between two runs of different length leaves out start and end. Only user space is counted. Where two machines
//! differ by more than [`ALLOWED_PERCENT`], their C libraries or processors do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// Tests of `hot_path`, each a case.
const CASES: [&str; 2] = ["plain", "rules"];

/// Exchanges of the two runs whose difference is taken.
const EXCHANGES: [u64; 2] = [500, 2500];

/// Read by the tests of `hot_path`: how many exchanges to make.
const VARIABLE: &str = "PORTWAY_EXCHANGES";

/// What a number may grow by before it is a regression, and fall by before it is to be lowered. Repeated runs differ
/// by 0.1 %.
const ALLOWED_PERCENT: u64 = 3;

/// Stands in what callgrind says of the worker's thread and of no other.
const ONLY_WORKER: &str = "portway_dataplane::h1::run";

const HEADER: &str = "\
# Instructions in user space that the worker's thread spends on an exchange, by case of the tests in
# crates/portway-dataplane/tests/hot_path. Compared by `cargo xtask instructions`, written by its `--bless`.
";

/// How a count stands to the number on record.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Less,
    More,
    Unknown,
}

/// Counts and compares; `bless` writes what was counted instead.
pub(crate) fn run(workspace: &Workspace, bless: bool) -> Result<(), String> {
    if process::find("valgrind").is_none() {
        return Err("valgrind is missing: it counts the instructions".to_owned());
    }
    let file = workspace.root.join("xtask/instructions.toml");
    let known = match fs::read_to_string(&file) {
        Ok(text) => read(&text)?,
        Err(_) if bless => BTreeMap::new(),
        Err(problem) => return Err(format!("{}: {problem}", file.display())),
    };
    let start = Instant::now();
    let program = build(workspace)?;
    println!(
        "instructions: built in {}",
        process::seconds(start.elapsed()).trim()
    );
    let folder = workspace.target.join("instructions");
    let mut counted = BTreeMap::new();
    let mut worse = Vec::new();
    for case in CASES {
        let now = count(&program, &folder, case)?;
        let before = known.get(case).copied();
        let verdict = judge(before, now);
        println!("{}", line(case, before, now, &verdict));
        if matches!(verdict, Verdict::More | Verdict::Unknown) {
            worse.push(case);
        }
        counted.insert(case.to_owned(), now);
    }
    if bless {
        return fs::write(&file, write(&counted)).map_err(|e| format!("{}: {e}", file.display()));
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "an exchange costs over {ALLOWED_PERCENT} % more than on record: {}. Where it is worth it: \
         `cargo xtask instructions --bless`, and the reason in the commit",
        worse.join(", ")
    ))
}

fn judge(before: Option<u64>, now: u64) -> Verdict {
    match before {
        None => Verdict::Unknown,
        Some(before) if now * 100 > before * (100 + ALLOWED_PERCENT) => Verdict::More,
        Some(before) if now * 100 < before * (100 - ALLOWED_PERCENT) => Verdict::Less,
        Some(_) => Verdict::Same,
    }
}

fn line(case: &str, before: Option<u64>, now: u64, verdict: &Verdict) -> String {
    let before = before.map_or("none".to_owned(), |before| before.to_string());
    let said = match verdict {
        Verdict::Same => "ok",
        Verdict::Less => "less: lower the number with --bless",
        Verdict::More => "more",
        Verdict::Unknown => "not on record",
    };
    format!("instructions: {case:<8}{now:>8} an exchange, on record {before:>8}  {said}")
}

/// Builds the tests of `hot_path` in the profile for counting, and answers with the program.
fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    let mut command = process::cargo(&workspace.root);
    let messages = process::quiet(command.args([
        "test",
        "--locked",
        "--profile",
        "measure",
        "--package",
        "portway-dataplane",
        "--test",
        "hot_path",
        "--no-run",
        "--message-format",
        "json",
    ]))?;
    let found = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back();
    found.ok_or_else(|| "cargo built no program for hot_path".to_owned())
}

/// Instructions of an exchange.
fn count(program: &Path, folder: &Path, case: &str) -> Result<u64, String> {
    let [few, many] = EXCHANGES;
    let short = worker_instructions(program, folder, case, few)?;
    let long = worker_instructions(program, folder, case, many)?;
    Ok(long.saturating_sub(short) / (many - few))
}

/// Instructions of the worker's thread in a run of so many exchanges.
fn worker_instructions(
    program: &Path,
    folder: &Path,
    case: &str,
    exchanges: u64,
) -> Result<u64, String> {
    let said = |e: std::io::Error| format!("{}: {e}", folder.display());
    if folder.is_dir() {
        fs::remove_dir_all(folder).map_err(said)?;
    }
    fs::create_dir_all(folder).map_err(said)?;
    let mut command = process::program("valgrind");
    command
        .current_dir(folder)
        .env(VARIABLE, exchanges.to_string())
        .args(["--quiet", "--tool=callgrind", "--separate-threads=yes"])
        .arg("--callgrind-out-file=thread")
        .arg(program)
        .args(["--exact", case, "--test-threads", "1"]);
    process::quiet(&mut command)?;
    for entry in fs::read_dir(folder).map_err(said)? {
        let text = fs::read_to_string(entry.map_err(said)?.path()).map_err(said)?;
        if text.contains(ONLY_WORKER) {
            return total(&text).ok_or_else(|| "callgrind states no total".to_owned());
        }
    }
    Err(format!(
        "{case}: callgrind saw no thread that runs {ONLY_WORKER}"
    ))
}

/// The `totals:` line of what callgrind writes of a thread.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

/// Lines of `case = number`; comments begin with `#`.
fn read(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let pair = line.split_once('=').and_then(|(case, number)| {
                Some((case.trim().to_owned(), number.trim().parse().ok()?))
            });
            pair.ok_or_else(|| format!("instructions.toml: not `case = number`: {line}"))
        })
        .collect()
}

fn write(counted: &BTreeMap<String, u64>) -> String {
    let lines: String = counted
        .iter()
        .map(|(case, number)| format!("{case} = {number}\n"))
        .collect();
    format!("{HEADER}{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let check = |before, now, expected| assert_eq!(judge(before, now), expected, "{now}");
        check(None, 1, Verdict::Unknown);
        check(Some(1000), 1000, Verdict::Same);
        check(Some(1000), 1030, Verdict::Same);
        check(Some(1000), 1031, Verdict::More);
        check(Some(1000), 970, Verdict::Same);
        check(Some(1000), 969, Verdict::Less);
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let counted = BTreeMap::from([("plain".to_owned(), 18_150), ("rules".to_owned(), 26_070)]);
        assert_eq!(read(&write(&counted)), Ok(counted));
        assert!(read("plain: 5").is_err());
        assert!(read("plain = many").is_err());
    }

    #[test]
    fn totals_of_callgrind() {
        assert_eq!(total("events: Ir\nsummary: 7\n\ntotals: 42\n"), Some(42));
        assert_eq!(total("events: Ir\n"), None);
    }
}
