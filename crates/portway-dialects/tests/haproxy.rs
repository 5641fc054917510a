//! Golden files of haproxy.cfg: the native form of what is read, and every message; and HAProxy's own judgement of them.
#![cfg(test)]

use portway_dialects::{Inputs, haproxy, native};
use portway_model::compile::compile;
use portway_model::diagnostic::{Diagnostic, Diagnostics, Severity};
use portway_model::lift::lift;
use portway_model::snapshot::Snapshot;
use portway_model::span::{FileId, Sources};
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that we are held against.
const HAPROXY: &str = "/usr/sbin/haproxy";

/// Files that HAProxy 2.6 judges otherwise, each with the reason.
const OTHERWISE: &[(&str, &str)] = &[("old-words", "words of 1.5, which Portway still takes")];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn golden(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "cfg"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{name} is empty");
    files
}

/// The files that configurations may name stand in `haproxy-world`.
fn read(path: &str) -> Result<Vec<u8>, String> {
    let path = path.trim_start_matches('/');
    fs::read(folder("haproxy-world").join(path)).map_err(|_| "no such file".to_owned())
}

fn list(path: &str) -> Option<Vec<String>> {
    let entries = fs::read_dir(folder("haproxy-world").join(path.trim_start_matches('/'))).ok()?;
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Some(names)
}

fn environment(name: &str) -> Option<String> {
    (name == "PORT").then(|| "8085".to_owned())
}

fn resolve(name: &str) -> Vec<IpAddr> {
    match name {
        "localhost" => vec![IpAddr::from([127, 0, 0, 1])],
        _ => Vec::new(),
    }
}

fn world() -> Inputs<'static> {
    Inputs {
        environment: &environment,
        read: &read,
        list: &list,
        resolve: &resolve,
    }
}

/// Compares with a golden file, or writes it where `PORTWAY_BLESS` is set.
fn held(path: &Path, actual: &str) {
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        fs::write(path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        actual,
        expected,
        "{} differs; PORTWAY_BLESS=1 writes it anew",
        path.display()
    );
}

/// `line:col: error[P0101]: message`, then help and further places, indented.
fn short_form(text: &str, found: &Diagnostics) -> String {
    let mut sources = Sources::default();
    sources.add("file", text);
    found.iter().map(|it| short(&sources, it)).collect()
}

fn short(sources: &Sources, diagnostic: &Diagnostic) -> String {
    let place = |span| {
        let position = sources.position(span);
        position.map_or("-".to_owned(), |p| format!("{}:{}", p.line, p.column))
    };
    let first = diagnostic.labels.first();
    let mut out = format!(
        "{}: {}[{}]: {}\n",
        first.map_or("-".to_owned(), |label| place(label.span)),
        diagnostic.severity.as_str(),
        diagnostic.code,
        diagnostic.message
    );
    for label in diagnostic.labels.iter().skip(1) {
        out += &format!("    {}: {}\n", place(label.span), label.text);
    }
    if let Some(help) = &diagnostic.help {
        out += &format!("    help: {help}\n");
    }
    out
}

/// The native form, the snapshot, and what was found.
fn judge(text: &str) -> (String, Option<Snapshot>, Diagnostics) {
    let (draft, mut found) = haproxy::parse(FileId(0), text, &world());
    let printed = native::print(&draft);
    if found.has_errors() {
        return (printed, None, found);
    }
    let (snapshot, more) = compile(&draft);
    found.extend(more);
    (printed, snapshot, found)
}

#[test]
fn configurations_are_read_and_their_native_form_means_the_same() {
    let mut refused = String::new();
    for path in golden("haproxy") {
        let text = fs::read_to_string(&path).unwrap();
        let (printed, snapshot, found) = judge(&text);
        held(
            &path.with_extension("diagnostics"),
            &short_form(&text, &found),
        );
        held(&path.with_extension("printed.toml"), &printed);
        let Some(snapshot) = snapshot else {
            refused += &format!("{}\n{}", path.display(), short_form(&text, &found));
            continue;
        };
        let lifted = native::print(&lift(&snapshot));
        for printed in [printed, lifted] {
            let (draft, found) = native::parse(FileId(0), &printed);
            assert!(
                !found.has_errors(),
                "{}\n{}",
                path.display(),
                short_form(&printed, &found)
            );
            let (again, found) = compile(&draft);
            assert_eq!(
                again.as_ref(),
                Some(&snapshot),
                "{}\n{printed}\n{}",
                path.display(),
                short_form(&printed, &found)
            );
        }
    }
    assert!(refused.is_empty(), "{refused}");
}

#[test]
fn errors_are_said_at_their_place() {
    for path in golden("haproxy-errors") {
        let text = fs::read_to_string(&path).unwrap();
        let (_, snapshot, found) = judge(&text);
        assert!(snapshot.is_none(), "{} is not wrong", path.display());
        held(
            &path.with_extension("diagnostics"),
            &short_form(&text, &found),
        );
    }
}

/// The lines that HAProxy names in its alerts; `None` where it accepts the file.
fn judged_by_haproxy(path: &Path) -> Option<BTreeSet<u32>> {
    let output = Command::new(HAPROXY)
        .args(["-c", "-f"])
        .arg(path)
        .env("PORT", "8085")
        .current_dir(folder("haproxy-world"))
        .output()
        .unwrap();
    if output.status.success() {
        return None;
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let name = path.to_string_lossy().into_owned();
    let lines = said
        .lines()
        .filter(|line| line.contains("[ALERT]"))
        .filter_map(|line| {
            let (_, after) = line.split_once(&format!("{name}:"))?;
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
    Some(lines.collect())
}

#[test]
fn haproxy_judges_the_same() {
    if !Path::new(HAPROXY).exists() {
        eprintln!("{HAPROXY} is not there: nothing was compared");
        return;
    }
    let mut differences = Vec::new();
    for path in golden("haproxy")
        .into_iter()
        .chain(golden("haproxy-errors"))
    {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if OTHERWISE.iter().any(|(known, _)| *known == stem) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let (_, snapshot, found) = judge(&text);
        let mut sources = Sources::default();
        sources.add("file", text.as_str());
        let errors = found.iter().filter(|it| it.severity == Severity::Error);
        let ours: BTreeSet<u32> = errors
            .filter_map(|it| Some(sources.position(it.labels.first()?.span)?.line))
            .collect();
        match (judged_by_haproxy(&path), snapshot) {
            (None, Some(_)) => {}
            (Some(theirs), None) if theirs.is_subset(&ours) => {}
            (theirs, _) => differences.push(format!("{stem}: HAProxy {theirs:?}, we {ours:?}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
