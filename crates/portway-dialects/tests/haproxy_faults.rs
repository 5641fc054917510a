//! Faulty lines of haproxy.cfg, one in a file: each is an error at its line, here and in HAProxy itself.
#![cfg(test)]

use portway_dialects::{Inputs, haproxy};
use portway_model::compile::compile;
use portway_model::diagnostic::Severity;
use portway_model::span::{FileId, Sources};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that we are held against.
const HAPROXY: &str = "/usr/sbin/haproxy";

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Both refuse it.
    Wrong,
    /// Both refuse it; HAProxy names another line.
    WrongElsewhere,
    /// Both take it.
    Right,
    /// HAProxy takes it, Portway does not.
    WrongHere,
}

/// One line of `faults.txt`, in a file of its own.
struct Case {
    verdict: Verdict,
    /// As it is written there.
    written: String,
    text: String,
    /// Where it stands in the text.
    line: u32,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<Case> {
    let folder = golden().join("haproxy-faults");
    let base = fs::read_to_string(folder.join("base.cfg")).unwrap();
    let faults = fs::read_to_string(folder.join("faults.txt")).unwrap();
    let lines = faults
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| case(&base, line)).collect()
}

fn case(base: &str, written: &str) -> Case {
    let (mark, rest) = written.split_once(' ').unwrap();
    let (place, fault) = rest.split_once(": ").unwrap_or((rest, ""));
    let verdict = match mark {
        "!" => Verdict::Wrong,
        "~" => Verdict::WrongElsewhere,
        "=" => Verdict::Right,
        "+" => Verdict::WrongHere,
        _ => panic!("`{written}` has no mark"),
    };
    let slot = format!("@{place}");
    let (mut text, mut at) = (String::new(), 0);
    for (number, line) in (1..).zip(base.lines()) {
        match line.rsplit_once('@') {
            Some((before, _)) if line.ends_with(&slot) => {
                text += &format!("{before}{fault}\n");
                at = number;
            }
            Some((before, _)) => text += &format!("{before}\n"),
            None => text += &format!("{line}\n"),
        }
    }
    assert!(at > 0, "`{written}` has no place");
    Case {
        verdict,
        written: written.to_owned(),
        text,
        line: at,
    }
}

fn world() -> Inputs<'static> {
    Inputs {
        certificates_may_be_missing: false,
        environment: &|_| None,
        read: &|path| {
            let path = path.trim_start_matches('/');
            let path = golden().join("haproxy-world").join(path);
            fs::read(path).map_err(|_| "no such file".to_owned())
        },
        list: &|_, _| None,
        resolve: &|_| Vec::new(),
    }
}

/// The lines with errors; `None` where the file is taken.
fn judged_here(text: &str) -> Option<BTreeSet<u32>> {
    let (draft, mut found) = haproxy::parse(FileId(0), text, &world());
    if !found.has_errors() {
        found.extend(compile(&draft).1);
    }
    let mut sources = Sources::default();
    sources.add("file", text);
    let errors = found.iter().filter(|it| it.severity == Severity::Error);
    let lines = errors.filter_map(|it| Some(sources.position(it.labels.first()?.span)?.line));
    found.has_errors().then(|| lines.collect())
}

/// The same of HAProxy, which does not name the line of every fault.
fn judged_by_haproxy(text: &str, path: &Path) -> Option<BTreeSet<u32>> {
    fs::write(path, text).unwrap();
    let output = Command::new(HAPROXY)
        .args(["-c", "-f"])
        .arg(path)
        .current_dir(golden().join("haproxy-world"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let name = format!("{}:", path.to_string_lossy());
    let alerts = said.lines().filter(|line| line.contains("[ALERT]"));
    let lines = alerts.filter_map(|line| {
        let (_, after) = line.split_once(&name)?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    let lines = lines.collect();
    (!output.status.success()).then_some(lines)
}

#[test]
fn faults_are_errors_at_their_line() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = judged_here(&case.text);
        let good = match (case.verdict, &found) {
            (Verdict::Right, None) => true,
            (Verdict::Wrong | Verdict::WrongElsewhere | Verdict::WrongHere, Some(lines)) => {
                lines.contains(&case.line)
            }
            _ => false,
        };
        if !good {
            wrong.push(format!(
                "{}: line {}, errors in {found:?}",
                case.written, case.line
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn haproxy_judges_faults_the_same() {
    if !Path::new(HAPROXY).exists() {
        eprintln!("{HAPROXY} is not there: nothing was compared");
        return;
    }
    let path = std::env::temp_dir().join(format!("portway-faults-{}.cfg", std::process::id()));
    let mut wrong = Vec::new();
    for case in cases() {
        let found = judged_by_haproxy(&case.text, &path);
        let good = match (case.verdict, &found) {
            (Verdict::Right | Verdict::WrongHere, None) => true,
            (Verdict::WrongElsewhere, Some(_)) => true,
            (Verdict::Wrong, Some(lines)) => lines.is_empty() || lines.contains(&case.line),
            _ => false,
        };
        if !good {
            wrong.push(format!(
                "{}: line {}, HAProxy {found:?}",
                case.written, case.line
            ));
        }
    }
    let _ = fs::remove_file(&path);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
