//! Golden files and properties of the native dialect.
#![cfg(test)]

use portway_dialects::native;
use portway_model::diagnostic::{Diagnostic, Diagnostics};
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

#[test]
fn configurations_print_and_parse_to_the_same() {
    for path in golden("native") {
        let text = fs::read_to_string(&path).unwrap();
        let (draft, found) = native::parse(FileId(0), &text);
        assert!(
            !found.has_errors(),
            "{}\n{}",
            path.display(),
            short_form(&text, &found)
        );
        let printed = native::print(&draft);
        held(&path.with_extension("printed.toml"), &printed);
        let (again, found) = native::parse(FileId(0), &printed);
        assert!(
            found.is_empty(),
            "{}\n{printed}\n{}",
            path.display(),
            short_form(&printed, &found)
        );
        assert_eq!(again, draft, "{}", path.display());
        assert_eq!(native::print(&again), printed, "{}", path.display());
    }
}
