//! `cargo xtask docs`: makes `docs/limits.md` from the constants in the code, so that it cannot say anything else.
//!
//! Every limit and default is a constant at the top level of a file, beside its owner, and its doc comment says what it
//! is of, in which unit and why it is what it is. This file finds the constants that are a number, a duration or stand
//! among the defaults of the model, and prints them with their comments. A constant without a doc comment is a detail
//! of its file; what has one and is neither a limit nor a default is listed in [`NEITHER`]. Limits that travel together
//! are the fields of a struct whose name ends in `Limits`, with their values in its `impl Default`.

use std::fmt::Write as _;
use std::path::Path;

use crate::workspace::Workspace;

/// The page, by path from the root.
const PAGE: &str = "docs/limits.md";

/// The defaults of the model, of which every constant is shown, whatever its type.
const DEFAULTS: &str = "crates/portway-model/src/defaults.rs";

/// Types whose constants are amounts.
const AMOUNTS: [&str; 8] = ["u8", "u16", "u32", "u64", "usize", "i32", "i64", "Duration"];

/// Crates and the heading of their limits, in the order of the page.
const CRATES: [(&str, &str); 8] = [
    ("portway-model", "Configurations"),
    ("portway-dialects", "Texts of configurations"),
    ("portway-core", "Messages and decisions"),
    ("portway-dataplane", "Traffic"),
    (
        "portway-control",
        "Files, sockets, certificates and health checks",
    ),
    ("portway-telemetry", "Telemetry"),
    ("portway-admin", "The admin address"),
    ("portway", "The process"),
];

/// Constants that are a number but no amount that anybody runs into.
const NEITHER: [&str; 10] = [
    "DAY",
    "GENERATION",
    "GOLDEN",
    "KINDS",
    "LINES_AROUND",
    "MIX",
    "MOVED_STATUS",
    "PRIVATE",
    "REDIRECT_STATUS",
    "TARPIT_STATUS",
];

const OPENING: &str = "\
# Limits and defaults

Every amount in Portway has a limit with a name, and every default stands in one place. This page is made from the
constants in the code and their comments (`cargo xtask docs` writes it anew). What a configuration may set, and under
which name, is in the reference of [the native file](native.md). The metric `portway_limit_reached_total` counts the
limits that traffic runs into, see [metrics](metrics.md#limits).
";

/// Writes the page anew, or with `check` compares it with the one that is there.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<(), String> {
    let page = page(&workspace.root)?;
    let path = workspace.root.join(PAGE);
    if !check {
        return std::fs::write(&path, page).map_err(|error| format!("{PAGE}: {error}"));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == page {
        Ok(())
    } else {
        Err(format!(
            "{PAGE} is not what the code says: `cargo xtask docs` writes it anew"
        ))
    }
}

/// As a step of `check`.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    run(workspace, true)
}

fn page(root: &Path) -> Result<String, String> {
    let mut page = OPENING.to_owned();
    let defaults = read(root, DEFAULTS)?;
    section(
        &mut page,
        "Defaults of a configuration",
        &[(DEFAULTS.to_owned(), constants(&defaults, true))],
    );
    for (name, heading) in CRATES {
        let folder = format!("crates/{name}/src");
        let mut files = Vec::new();
        rust_files(&root.join(&folder), &folder, &mut files)?;
        files.sort();
        let mut found = Vec::new();
        for file in files.into_iter().filter(|file| file != DEFAULTS) {
            let source = read(root, &file)?;
            let mut limits = constants(&source, false);
            limits.extend(fields(&source));
            if !limits.is_empty() {
                found.push((file, limits));
            }
        }
        if !found.is_empty() {
            section(&mut page, heading, &found);
        }
    }
    Ok(page)
}

fn section(page: &mut String, heading: &str, files: &[(String, Vec<Limit>)]) {
    let _ = write!(page, "\n## {heading}\n");
    for (file, limits) in files {
        let _ = write!(
            page,
            "\n`{file}`\n\n| name | value | of what, and why |\n|---|---|---|\n"
        );
        for Limit { name, value, doc } in limits {
            let _ = writeln!(page, "| `{name}` | {value} | {doc} |");
        }
    }
}

fn read(root: &Path, file: &str) -> Result<String, String> {
    std::fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))
}

/// Source files of `folder` and below but those of tests, by path from the root.
fn rust_files(folder: &Path, path: &str, files: &mut Vec<String>) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{path}: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("{path}: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{path}/{name}");
        if entry.path().is_dir() {
            if name != "tests" {
                rust_files(&entry.path(), &path, files)?;
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    Ok(())
}

/// One row of the page.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    value: String,
    doc: String,
}

/// The constants at the top level of a file that have a doc comment and are an amount, or all that have one.
fn constants(source: &str, all: bool) -> Vec<Limit> {
    let mut found = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    let mut rest = source;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
            continue;
        }
        let doc = std::mem::take(&mut doc);
        if let Some(declared) = declaration(line, after)
            && !doc.is_empty()
            && (all || AMOUNTS.contains(&declared.kind))
            && !NEITHER.contains(&declared.name)
        {
            let doc = in_markdown(&doc.join(" "));
            found.push(Limit {
                name: declared.name.to_owned(),
                value: shown(declared.name, &declared.value, &doc),
                doc,
            });
        }
    }
    found
}

/// `pub const NAME: KIND = VALUE;`
struct Declared<'a> {
    name: &'a str,
    kind: &'a str,
    value: String,
}

fn declaration<'a>(line: &'a str, after: &'a str) -> Option<Declared<'a>> {
    let rest = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.strip_prefix(' ')?,
        None => line,
    };
    let (name, rest) = rest.strip_prefix("const ")?.split_once(": ")?;
    let (kind, value) = rest.split_once('=')?;
    let mut value = value.trim().to_owned();
    // rustfmt breaks what is long behind the equals sign, or between brackets
    for line in after.lines() {
        if value.ends_with(';') {
            break;
        }
        value.push_str(line.trim());
    }
    let value = value.strip_suffix(';')?.to_owned();
    Some(Declared {
        name,
        kind: kind.trim(),
        value,
    })
}

/// The documented fields of every struct `…Limits` of a file, with the values of its `impl Default`.
fn fields(source: &str) -> Vec<Limit> {
    let mut found = Vec::new();
    for after in source.split("\npub struct ").skip(1) {
        let Some((name, body)) = block(after).filter(|(name, _)| name.ends_with("Limits")) else {
            continue;
        };
        let defaults = source.split_once(&format!("\nimpl Default for {name} "));
        let Some((_, defaults)) = defaults.and_then(|(_, after)| block(after)) else {
            continue;
        };
        let mut doc: Vec<&str> = Vec::new();
        for line in body.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                doc.push(text.trim());
            } else if let Some((field, _)) = line.split_once(": ") {
                let field = field.trim_start_matches("pub ");
                let doc = in_markdown(&std::mem::take(&mut doc).join(" "));
                let value = defaults.lines().find_map(|line| {
                    let value = line.trim().strip_prefix(field)?.strip_prefix(": ")?;
                    value.strip_suffix(',')
                });
                found.extend(value.map(|value| Limit {
                    name: format!("{name}::{field}"),
                    value: shown(&field.to_uppercase(), value, &doc),
                    doc,
                }));
            }
        }
    }
    found
}

/// The first word of an item and what stands between its braces, which rustfmt closes at the start of a line.
fn block(item: &str) -> Option<(&str, &str)> {
    let (head, rest) = item.split_once('{')?;
    let (body, _) = rest.split_once("\n}")?;
    Some((head.split_whitespace().next().unwrap_or_default(), body))
}

/// Comments hold links of rustdoc, which mean nothing on a page; a bar would end a cell.
fn in_markdown(doc: &str) -> String {
    doc.replace("[`", "`")
        .replace("`]", "`")
        .replace('|', "\\|")
}

/// The value as a person would write it; as in the source where that is not known.
fn shown(name: &str, value: &str, doc: &str) -> String {
    let seconds = value.strip_prefix("Duration::from_secs(");
    let milliseconds = value.strip_prefix("Duration::from_millis(");
    let inner = |text: &str| text.strip_suffix(')').and_then(number);
    let duration = match (seconds, milliseconds) {
        (Some(text), _) => inner(text).and_then(|n| n.checked_mul(1000)),
        (_, Some(text)) => inner(text),
        _ => None,
    };
    if value == "Duration::ZERO" {
        return "0".to_owned();
    }
    if let Some(milliseconds) = duration {
        return in_units(
            milliseconds,
            &[
                (86_400_000, "d"),
                (3_600_000, "h"),
                (60_000, "min"),
                (1000, "s"),
                (1, "ms"),
            ],
        );
    }
    match number(value) {
        Some(bytes) if is_bytes(name, doc) => {
            in_units(bytes, &[(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")])
        }
        Some(number) => number.to_string(),
        None => format!("`{}`", value.replace('|', "\\|")),
    }
}

fn is_bytes(name: &str, doc: &str) -> bool {
    name.contains("BYTES") || doc.starts_with("Bytes ") || doc.contains("in bytes")
}

/// In the largest unit that leaves a whole number.
fn in_units(value: u64, units: &[(u64, &str)]) -> String {
    let unit = units
        .iter()
        .find(|(size, _)| value >= *size && value.is_multiple_of(*size));
    match unit {
        Some((size, name)) => format!("{} {name}", value / size),
        None => value.to_string(),
    }
}

/// The value of a product of whole numbers, or of a shift.
fn number(expression: &str) -> Option<u64> {
    if let Some((value, by)) = expression.split_once("<<") {
        return number(value)?.checked_shl(number(by)?.try_into().ok()?);
    }
    expression
        .split('*')
        .map(|factor| factor.trim().replace('_', "").parse::<u64>().ok())
        .try_fold(1_u64, |product, factor| product.checked_mul(factor?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, all: bool, expected: &[(&str, &str, &str)]) {
        let found = constants(source, all);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.name.as_str(), it.value.as_str(), it.doc.as_str()))
            .collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn constants_of_a_file() {
        check(
            "/// Bytes of a\n/// [`Buffer`].\npub(crate) const SIZE: usize = 32 * 1024;\n",
            false,
            &[("SIZE", "32 KiB", "Bytes of a `Buffer`.")],
        );
        check(
            "/// Wait.\nconst WAIT: Duration =\n    Duration::from_secs(8 * 60 * 60);\nconst X: u8 = 1;\n",
            false,
            &[("WAIT", "8 h", "Wait.")],
        );
        check(
            "/// Most.\npub const MOST: u32 = 65_536;\n",
            false,
            &[("MOST", "65536", "Most.")],
        );
        check(
            "/// PEM, in bytes.\npub const PEM: usize = 1 << 20;\n",
            false,
            &[("PEM", "1 MiB", "PEM, in bytes.")],
        );
        check("/// No amount.\npub const A: &str = \"a\";\n", false, &[]);
        check(
            "/// No amount.\npub const A: &str = \"a\";\n",
            true,
            &[("A", "`\"a\"`", "No amount.")],
        );
        check(
            "/// Of a function.\nfn f() {\n    const X: u8 = 1;\n}\n",
            false,
            &[],
        );
        check("/// No limit.\npub const DAY: i64 = 86_400;\n", false, &[]);
        check(
            "/// Unknown.\nconst N: u64 = u64::MAX;\n",
            false,
            &[("N", "`u64::MAX`", "Unknown.")],
        );
    }

    #[test]
    fn fields_of_limits() {
        let source = "\npub struct HeadLimits {\n    /// Bytes of a head.\n    pub bytes: usize,\n}\n\n\
            impl Default for HeadLimits {\n    fn default() -> Self {\n        HeadLimits {\n            \
            bytes: 64 * 1024,\n        }\n    }\n}\n\npub struct Head {\n    /// X.\n    pub x: u8,\n}\n";
        let expected = Limit {
            name: "HeadLimits::bytes".to_owned(),
            value: "64 KiB".to_owned(),
            doc: "Bytes of a head.".to_owned(),
        };
        assert_eq!(fields(source), [expected]);
    }

    #[test]
    fn durations() {
        let check = |value: &str, expected: &str| {
            let source = format!("/// A.\nconst A: Duration = {value};\n");
            assert_eq!(constants(&source, false)[0].value, expected);
        };
        check("Duration::ZERO", "0");
        check("Duration::from_secs(90)", "90 s");
        check("Duration::from_secs(3600)", "1 h");
        check("Duration::from_millis(50)", "50 ms");
        check(
            "Duration::from_millis(i32::MAX as u64)",
            "`Duration::from_millis(i32::MAX as u64)`",
        );
    }
}
