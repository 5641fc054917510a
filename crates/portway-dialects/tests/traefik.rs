//! Golden files of Traefik's configuration: the native form of what is read, and every message.
#![cfg(test)]

use portway_dialects::traefik::{File, Options, parse_all};
use portway_dialects::{Inputs, Wanted, native};
use portway_model::compile::compile;
use portway_model::diagnostic::{Diagnostic, Diagnostics, Severity};
use portway_model::lift::lift;
use portway_model::snapshot::Snapshot;
use portway_model::span::{FileId, Sources};
use std::fs;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn golden(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            (name.ends_with(".yml") || name.ends_with(".toml")) && !name.ends_with(".printed.toml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{name} is empty");
    files
}

/// The files that configurations may name stand in `traefik-world`.
fn read(path: &str) -> Result<Vec<u8>, String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    fs::read(folder("traefik-world").join(name)).map_err(|_| "no such file".to_owned())
}

fn world() -> Inputs<'static> {
    Inputs {
        certificates_may_be_missing: false,
        environment: &|name| match name {
            "PWD" => Some("/srv/shop".to_owned()),
            "TAG" => Some("1.2".to_owned()),
            "DOMAIN" => Some("shop.example".to_owned()),
            _ => None,
        },
        read: &read,
        list: &|_, _| None,
        resolve: &|_| Vec::new(),
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
fn short_form(sources: &Sources, found: &Diagnostics) -> String {
    found.iter().map(|it| short(sources, it)).collect()
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

/// What came of files.
struct Judged {
    printed: String,
    snapshot: Option<Snapshot>,
    found: Diagnostics,
    sources: Sources,
}

/// Files by name and text, as one configuration.
fn judge(files: &[(&str, &str)], options: &Options) -> Judged {
    let mut sources = Sources::default();
    let ids: Vec<FileId> = files
        .iter()
        .map(|(name, text)| sources.add(*name, *text))
        .collect();
    let texts: Vec<File<'_>> = files
        .iter()
        .zip(&ids)
        .map(|((name, text), id)| File {
            id: *id,
            name,
            text,
        })
        .collect();
    let (draft, mut found) = parse_all(&texts, options, &world());
    let printed = native::print(&draft);
    let mut snapshot = None;
    if !found.has_errors() {
        let (compiled, more) = compile(&draft);
        found.extend(more);
        snapshot = compiled;
    }
    found.sort();
    Judged {
        printed,
        snapshot,
        found,
        sources,
    }
}

/// One file; an option of the command line may stand in its first line.
fn judge_file(path: &Path) -> Judged {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let given = text
        .lines()
        .next()
        .and_then(|it| it.strip_prefix("# --address "));
    let given = given.into_iter().flat_map(str::split_whitespace);
    let addresses = given.map(|it| it.split_once('=').unwrap());
    let options = Options {
        addresses: addresses
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect(),
    };
    judge(&[(&name, &text)], &options)
}

#[test]
fn configurations_are_read_and_their_native_form_means_the_same() {
    let mut refused = String::new();
    for path in golden("traefik") {
        let judged = judge_file(&path);
        let said = short_form(&judged.sources, &judged.found);
        held(&path.with_extension("diagnostics"), &said);
        held(&path.with_extension("printed.toml"), &judged.printed);
        let Some(snapshot) = judged.snapshot else {
            refused += &format!("{}\n{said}", path.display());
            continue;
        };
        let lifted = native::print(&lift(&snapshot));
        for printed in [judged.printed, lifted] {
            let (draft, found) = native::parse(FileId(0), &printed);
            assert!(
                !found.has_errors(),
                "{}\n{printed}\n{found:#?}",
                path.display()
            );
            let (again, found) = compile(&draft);
            assert_eq!(
                again.as_ref(),
                Some(&snapshot),
                "{}\n{printed}\n{found:#?}",
                path.display()
            );
        }
    }
    assert!(refused.is_empty(), "{refused}");
}

#[test]
fn errors_are_said_at_their_place() {
    for path in golden("traefik-errors") {
        let judged = judge_file(&path);
        assert!(judged.snapshot.is_none(), "{} is not wrong", path.display());
        let said = short_form(&judged.sources, &judged.found);
        held(&path.with_extension("diagnostics"), &said);
    }
}

#[test]
fn labels_yaml_toml_and_native_say_the_same() {
    let files = golden("traefik-same");
    let mut snapshots = Vec::new();
    for path in &files {
        let judged = judge_file(path);
        let said = short_form(&judged.sources, &judged.found);
        let snapshot = judged
            .snapshot
            .unwrap_or_else(|| panic!("{}\n{said}", path.display()));
        let (native, found) = native::parse(FileId(0), &judged.printed);
        assert!(found.is_empty(), "{found:?}");
        let (native, _) = compile(&native);
        assert_eq!(native.as_ref(), Some(&snapshot), "{}", path.display());
        snapshots.push(snapshot);
    }
    assert_eq!(snapshots.len(), 3);
    for (path, snapshot) in files.iter().zip(&snapshots) {
        let shown = native::print(&lift(snapshot));
        let first = native::print(&lift(&snapshots[0]));
        assert_eq!(shown, first, "{}", path.display());
        assert_eq!(snapshot, &snapshots[0], "{}", path.display());
    }
}

#[test]
fn files_that_are_named() {
    let list = |path: &str, wanted: Wanted| {
        let names: &[&str] = match path {
            "/srv/a/dynamic" => &["b.yml", "c.txt", "d/", "e.YAML"],
            "/srv/a/dynamic/d" => &["f.toml", "g"],
            _ => return None,
        };
        let names = names.iter().filter(|name| wanted(name));
        Some(names.map(|name| (*name).to_owned()).collect())
    };
    let read = |path: &str| match path {
        "/srv/a/dynamic.yml" => Ok(Vec::new()),
        _ => Err("it does not exist".to_owned()),
    };
    let inputs = Inputs {
        certificates_may_be_missing: false,
        list: &list,
        read: &read,
        ..world()
    };
    let named = |files: &[(&str, &str)]| {
        let files: Vec<File<'_>> = files
            .iter()
            .map(|(name, text)| File {
                id: FileId(0),
                name,
                text,
            })
            .collect();
        portway_dialects::traefik::named_files(&files, &inputs)
    };
    let compose = "services:\n  proxy:\n    image: traefik:v3\n    volumes: [\"./traefik.yml:/etc/traefik/traefik.yml:ro\", \"./dynamic:/etc/dynamic\", \"certs:/certs\"]\n";
    let fixed = "providers: { file: { directory: /etc/dynamic } }\n";
    let below = ["b.yml", "d/f.toml", "e.YAML"].map(|it| format!("/srv/a/dynamic/{it}"));
    let below = below.each_ref().map(String::as_str);
    assert_eq!(
        named(&[("/srv/a/compose.yml", compose)]),
        ["/srv/a/traefik.yml"]
    );
    assert_eq!(
        named(&[
            ("/srv/a/compose.yml", compose),
            ("/srv/a/traefik.yml", fixed)
        ]),
        ["/srv/a/traefik.yml"]
            .iter()
            .chain(&below)
            .copied()
            .collect::<Vec<_>>()
    );
    let own = "providers: { file: { filename: dynamic.yml, directory: ./dynamic } }\n";
    assert_eq!(
        named(&[("/srv/a/traefik.yml", own)]),
        ["/srv/a/dynamic.yml"]
            .iter()
            .chain(&below)
            .copied()
            .collect::<Vec<_>>()
    );
    let missing = judge(
        &[(
            "/srv/b/traefik.yml",
            "providers: { file: { directory: gone } }\n",
        )],
        &Options::default(),
    );
    let said = short_form(&missing.sources, &missing.found);
    assert!(
        said.starts_with("1:33: error[P0002]: cannot read the folder `/srv/b/gone`"),
        "{said}"
    );
}

/// The published files of a folder; `None`, said so, where they are not at hand.
fn published(name: &str) -> Option<Vec<PathBuf>> {
    let Some(root) = std::env::var_os("PORTWAY_SAMPLES") else {
        eprintln!("skipped: PORTWAY_SAMPLES is not set");
        return None;
    };
    let entries = fs::read_dir(Path::new(&root).join(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|end| ["yml", "yaml", "toml"].iter().any(|it| end == *it))
    });
    files.sort();
    Some(files)
}

/// Each is accepted, or refused with errors that have a place.
#[test]
fn published_samples_are_accepted_or_refused_at_a_line() {
    let mut said = String::new();
    for name in ["samples/compose-traefik", "samples/traefik-config"] {
        let Some(files) = published(name) else {
            return;
        };
        for path in files {
            let judged = judge_file(&path);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let errors = judged
                .found
                .iter()
                .filter(|it| it.severity == Severity::Error);
            let errors: Vec<String> = errors.map(|it| short(&judged.sources, it)).collect();
            assert_eq!(judged.snapshot.is_none(), !errors.is_empty(), "{name}");
            for error in &errors {
                assert!(!error.starts_with('-'), "{name}: {error}");
            }
            said += &format!("{name}\n");
            for error in errors {
                said += &format!("    {}", error.lines().next().unwrap_or_default());
                said.push('\n');
            }
        }
    }
    held(&folder("traefik-world").join("samples.txt"), &said);
}

#[test]
fn the_published_deployment_is_read() {
    let Some(files) = published("deployments/hazelcast-flow") else {
        return;
    };
    assert!(!files.is_empty());
    for path in files {
        let judged = judge_file(&path);
        let said = short_form(&judged.sources, &judged.found);
        assert!(judged.snapshot.is_some(), "{}\n{said}", path.display());
        held(&folder("traefik-world").join("published.txt"), &said);
    }
}

/// Broken configurations never panic, and what they still say compiles or is refused.
#[test]
fn mutated_configurations_never_panic() {
    let files: Vec<(String, String)> = ["traefik", "traefik-errors"]
        .into_iter()
        .flat_map(golden)
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    let words: Vec<&str> = files
        .iter()
        .flat_map(|(_, text)| text.split_whitespace())
        .collect();
    let mut seed = 1_u64;
    let mut below = |bound: usize| {
        // Xorshift: the same changes in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(bound.max(1)).unwrap()).unwrap()
    };
    for _ in 0..400 {
        let (name, text) = &files[below(files.len())];
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
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
        let judged = judge(&[(name, &text)], &Options::default());
        for label in judged.found.iter().flat_map(|one| &one.labels) {
            assert!(
                text.get(label.span.range()).is_some(),
                "{label:?} in\n{text}"
            );
        }
        let (_, found) = native::parse(FileId(0), &judged.printed);
        let good = judged.snapshot.is_none() || !found.has_errors();
        assert!(good, "{text}\n{}\n{found:?}", judged.printed);
    }
}
