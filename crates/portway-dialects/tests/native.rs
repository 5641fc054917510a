//! Golden files and properties of the native dialect.
#![cfg(test)]

use portway_dialects::native;
use portway_model::compile::compile;
use portway_model::diagnostic::{Diagnostic, Diagnostics};
use portway_model::draft::Draft;
use portway_model::lift::lift;
use portway_model::snapshot::Snapshot;
use portway_model::span::{FileId, Sources};
use std::fs;
use std::path::{Path, PathBuf};

/// `line:col: error[P0101]: message`, then help and further places, indented.
fn short_form(text: &str, found: &Diagnostics) -> String {
    let mut sources = Sources::default();
    sources.add("file", text);
    found.iter().map(|d| short(&sources, d)).collect()
}

fn short(sources: &Sources, diagnostic: &Diagnostic) -> String {
    let place = |span| {
        sources
            .position(span)
            .map_or("-".to_owned(), |p| format!("{}:{}", p.line, p.column))
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

fn golden(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.ends_with(".toml") && !name.ends_with(".printed.toml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
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

/// What parsing and compiling find, in short form, and the snapshot.
fn judge(text: &str) -> (Draft, Option<Snapshot>, String) {
    let (draft, mut found) = native::parse(FileId(0), text);
    if found.has_errors() {
        return (draft, None, short_form(text, &found));
    }
    let (snapshot, more) = compile(&draft);
    found.extend(more);
    (draft, snapshot, short_form(text, &found))
}

#[test]
fn configurations_compile_print_and_come_back() {
    for path in golden("native") {
        let text = fs::read_to_string(&path).unwrap();
        let (draft, snapshot, found) = judge(&text);
        held(&path.with_extension("diagnostics"), &found);
        let Some(snapshot) = snapshot else {
            panic!("{}\n{found}", path.display());
        };
        let printed = native::print(&draft);
        held(&path.with_extension("printed.toml"), &printed);
        for printed in [printed, native::print(&lift(&snapshot))] {
            let (again, same, found) = judge(&printed);
            assert_eq!(
                same.as_ref(),
                Some(&snapshot),
                "{}\n{printed}\n{found}",
                path.display()
            );
            assert_eq!(native::print(&again), printed, "{}", path.display());
        }
    }
}

#[test]
fn the_common_case_is_short() {
    let text = include_str!("golden/native/common-case.toml");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert!(lines.count() <= 10);
}

#[test]
fn errors_are_said_at_their_place() {
    for path in golden("native-errors") {
        let text = fs::read_to_string(&path).unwrap();
        let (_, snapshot, found) = judge(&text);
        assert!(snapshot.is_none(), "{} is not wrong", path.display());
        held(&path.with_extension("diagnostics"), &found);
    }
}
