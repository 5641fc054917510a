//! Golden files of haproxy.cfg: the native form of what is read, and every message; and HAProxy's own judgement of them.
#![cfg(test)]

use portway_dialects::{Inputs, Wanted, haproxy, native};
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

fn list(path: &str, wanted: Wanted) -> Option<Vec<String>> {
    let entries = fs::read_dir(folder("haproxy-world").join(path.trim_start_matches('/'))).ok()?;
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| wanted(name))
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
        certificates_may_be_missing: false,
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
    let mut snapshot = None;
    if !found.has_errors() {
        let (compiled, more) = compile(&draft);
        found.extend(more);
        snapshot = compiled;
    }
    found.sort();
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

/// A world in which every file and host name is there, as published samples need.
fn given() -> Inputs<'static> {
    Inputs {
        certificates_may_be_missing: false,
        environment: &|name| {
            let value = match name {
                "SOCKET_PATH" => "/var/run/docker.sock",
                "BIND_CONFIG" => ":2375",
                "LOG_LEVEL" => "info",
                "FRONTEND_PORT" => "8080",
                "BACKEND_HOST" => "app.example",
                "BACKEND_PORT" => "80",
                "HEALTH_CHECK_URI" => "/health",
                _ => return None,
            };
            Some(value.to_owned())
        },
        read: &|path| match path.ends_with(".pem") {
            true => read("server.pem"),
            false if path.ends_with(".lua") => Err("no such file".to_owned()),
            false => read("503.http"),
        },
        list: &|_, _| None,
        resolve: &|_| vec![IpAddr::from([127, 0, 0, 1])],
    }
}

/// The published files of a folder; `None`, said so, where they are not at hand.
fn published(name: &str) -> Option<Vec<PathBuf>> {
    let Some(root) = std::env::var_os("PORTWAY_SAMPLES") else {
        eprintln!("skipped: PORTWAY_SAMPLES is not set");
        return None;
    };
    let entries = fs::read_dir(Path::new(&root).join(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "cfg"));
    files.sort();
    Some(files)
}

/// The errors of a text, and whether it compiles.
fn refused(text: &str) -> (Vec<String>, String) {
    let (draft, mut found) = haproxy::parse(FileId(0), text, &given());
    if !found.has_errors() {
        found.extend(compile(&draft).1);
    }
    found.sort();
    let mut sources = Sources::default();
    sources.add("file", text);
    let errors = found.iter().filter(|it| it.severity == Severity::Error);
    let errors = errors.map(|it| short(&sources, it)).collect();
    (errors, short_form(text, &found))
}

#[test]
fn published_samples_are_accepted() {
    let Some(files) = published("samples/haproxy-cfg") else {
        return;
    };
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (errors, _) = refused(&fs::read_to_string(&path).unwrap());
        assert_eq!(errors, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn rejected_samples_are_refused_where_haproxy_refuses_them() {
    let lines = [
        ("Akaronte__okd4.14-install--kube2_haproxy.cfg", "62:"),
        (
            "MDA2AV__Http11Probe--src_Servers_HAProxyServer_haproxy.cfg",
            "3:",
        ),
        (
            "haproxytech__dataplaneapi--e2e_tests_force_be_switches_data_haproxy.cfg",
            "22:",
        ),
        (
            "haproxytech__dataplaneapi--e2e_tests_http_after_response_rules_data_haproxy_2.8.cfg",
            "35:",
        ),
    ];
    let Some(files) = published("samples/haproxy-cfg-rejected") else {
        return;
    };
    assert_eq!(files.len(), lines.len());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (_, line) = lines.iter().find(|(file, _)| *file == name).unwrap();
        let (errors, _) = refused(&fs::read_to_string(&path).unwrap());
        let first = errors.first().map(String::as_str).unwrap_or_default();
        assert!(first.starts_with(line), "{name}: {errors:?}");
    }
}

#[test]
fn the_published_deployment_is_read_as_its_authors_meant_it() {
    let Some(files) = published("deployments/electricflow") else {
        return;
    };
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (errors, said) = refused(&fs::read_to_string(&path).unwrap());
        held(
            &folder("haproxy-published").join(format!("{name}.diagnostics")),
            &said,
        );
        assert_eq!(
            errors.is_empty(),
            name != "as-published",
            "{name}: {errors:?}"
        );
    }
}

/// Broken configurations never panic, and what they still say compiles or is refused.
#[test]
fn mutated_configurations_never_panic() {
    let texts: Vec<String> = ["haproxy", "haproxy-errors"]
        .into_iter()
        .flat_map(golden)
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let words: Vec<&str> = texts
        .iter()
        .flat_map(|text| text.split_whitespace())
        .collect();
    let mut seed = 1_u64;
    let mut below = |bound: usize| {
        // Xorshift: the same changes in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(bound.max(1)).unwrap()).unwrap()
    };
    for _ in 0..600 {
        let mut lines: Vec<String> = texts[below(texts.len())]
            .lines()
            .map(str::to_owned)
            .collect();
        for _ in 0..=below(4) {
            let line = below(lines.len());
            let mut parts: Vec<&str> = lines[line].split(' ').collect();
            let at = below(parts.len());
            match below(4) {
                0 => {
                    parts.remove(at);
                }
                1 => parts.insert(at, words[below(words.len())]),
                2 => parts[at] = words[below(words.len())],
                _ => parts.truncate(at),
            }
            lines[line] = parts.join(" ");
        }
        let text = lines.join("\n");
        let (draft, found) = haproxy::parse(FileId(0), &text, &world());
        if !found.has_errors() {
            compile(&draft);
        }
        native::print(&draft);
    }
}
