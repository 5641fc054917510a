//! Rules about source files that neither the compiler nor clippy holds.
//!
//! It reads every file that git knows or would add. Each rule is a function from a file's text to findings, so that
//! the tests below are tables. Rules about code see code only, rules about comments see comments only: see [`lex`].

use std::collections::BTreeSet;
use std::fmt;

use crate::workspace::Workspace;
use crate::{lex, links, process};

/// Most lines of a file under `crates/*/src`, tests included: what a reader can hold in mind.
const MOST_LINES: usize = 800;

/// Files without which a repository is not whole.
const REQUIRED: [&str; 2] = ["README.md", "CHANGELOG.md"];

/// Folders whose files are test data, byte for byte: only the rule about machine paths holds there.
const DATA_FOLDERS: [&str; 3] = ["golden", "fixtures", "seeds"];

/// Words that mean unfinished work.
const UNFINISHED_WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Macros that mean unfinished work.
const UNFINISHED_MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// First folders of paths that exist on one developer's machine only.
const MACHINE_FOLDERS: [&str; 3] = ["work", "root", "home"];

/// Files that may name such paths, and why.
const MACHINE_PATHS_ALLOWED: [(&str, &str); 1] = [("xtask/src/tidy.rs", "the tests of the rule")];

/// Crates that are functions of their arguments.
const PURE_CRATES: [&str; 3] = ["portway-model", "portway-core", "portway-dialects"];

/// What such a crate must not name outside tests.
const IMPURE: [&str; 9] = [
    "Instant::now",
    "SystemTime::now",
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "async fn",
    ".await",
];

/// What a rule found.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    /// From 1.
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Which rules a file falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Rust,
    Markdown,
    /// Manifests, scripts, pages, licences.
    Text,
    /// Test data, generated files, pictures.
    Data,
}

/// Line from 1, and what is wrong with it.
type Complaint = (usize, String);

/// Applies every rule to every file of the repository.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let files = repository(workspace)?;
    let mut findings = missing(&files);
    for file in &files {
        let bytes = std::fs::read(workspace.root.join(file)).map_err(|e| format!("{file}: {e}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            findings.extend(judge(file, &text, &files));
        }
    }
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("\n"))
    }
}

/// Every file that git tracks, or would track if it were added, by path from the root.
fn repository(workspace: &Workspace) -> Result<BTreeSet<String>, String> {
    let mut command = process::program("git");
    command.current_dir(&workspace.root);
    let list = process::quiet(command.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let files = list
        .split('\0')
        .filter(|file| workspace.root.join(file).is_file());
    Ok(files.map(str::to_owned).collect())
}

fn missing(files: &BTreeSet<String>) -> Vec<Finding> {
    let missing = REQUIRED.iter().filter(|file| !files.contains(**file));
    missing
        .map(|file| Finding {
            file: (*file).to_owned(),
            line: 1,
            message: "is missing".to_owned(),
        })
        .collect()
}

/// Which rules hold where.
fn judge(file: &str, text: &str, files: &BTreeSet<String>) -> Vec<Finding> {
    let sort = sort(file);
    let mut found = Vec::new();
    if sort != Sort::Data {
        found.extend(layout(text));
    }
    match sort {
        Sort::Rust => found.extend(rust(file, text)),
        Sort::Markdown => {
            found.extend(unfinished_words(text));
            found.extend(links::broken(file, text, files));
        }
        Sort::Text => found.extend(unfinished_words(text)),
        Sort::Data => {}
    }
    if file == "Cargo.toml" {
        found.extend(unexplained(text));
    }
    if !MACHINE_PATHS_ALLOWED
        .iter()
        .any(|(allowed, _)| *allowed == file)
    {
        found.extend(machine_paths(text));
    }
    found.sort();
    found
        .into_iter()
        .map(|(line, message)| Finding {
            file: file.to_owned(),
            line,
            message,
        })
        .collect()
}

fn sort(file: &str) -> Sort {
    let mut folders: Vec<&str> = file.split('/').collect();
    let name = folders.pop().unwrap_or_default();
    if folders.iter().any(|folder| DATA_FOLDERS.contains(folder)) {
        return Sort::Data;
    }
    match name.rsplit_once('.') {
        Some((_, "rs")) => Sort::Rust,
        Some((_, "md")) => Sort::Markdown,
        Some((_, "toml" | "sh" | "py" | "yml" | "yaml" | "html" | "css" | "js")) | None => {
            Sort::Text
        }
        Some(("", _)) => Sort::Text,
        Some(_) => Sort::Data,
    }
}

/// Tabs, blanks at the end of lines, the end of the file.
fn layout(text: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (line, content) in numbered(text) {
        if content.contains('\t') {
            found.push((line, "a tab".to_owned()));
        }
        if content.ends_with([' ', '\t', '\r']) {
            found.push((line, "white space at the end of the line".to_owned()));
        }
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        found.push((
            text.lines().count(),
            "a file ends in one newline".to_owned(),
        ));
    }
    found
}

/// The rules for Rust source.
fn rust(file: &str, text: &str) -> Vec<Complaint> {
    let split = lex::split(text);
    let mut found = unfinished_words(&split.comments);
    found.extend(macros(&split.code));
    found.extend(attributes(&split.code));
    if !text.starts_with("//!") {
        found.push((1, "a file opens with its purpose: //!".to_owned()));
    }
    let count = text.lines().count();
    if file.starts_with("crates/") && file.contains("/src/") && count > MOST_LINES {
        found.push((count, format!("{count} lines; {MOST_LINES} is the most")));
    }
    if !file.ends_with("/sys.rs") && !file.contains("/sys/") {
        found.extend(unsafe_code(&split.code));
    }
    if is_pure(file) {
        found.extend(impure(&split.code));
    }
    for (line, comment) in numbered(&split.comments) {
        if comment.contains("```ignore") {
            found.push((
                line,
                "an example that is not compiled: use ```text or make it compile".to_owned(),
            ));
        }
    }
    found
}

fn unfinished_words(text: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (line, content) in numbered(text) {
        for (word, _) in words(content).filter(|(word, _)| UNFINISHED_WORDS.contains(word)) {
            found.push((line, format!("{word}: finish it, or open an issue")));
        }
    }
    found
}

fn macros(code: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (line, content) in numbered(code) {
        for (word, rest) in words(content) {
            if UNFINISHED_MACROS.contains(&word) && rest.starts_with('!') {
                found.push((line, format!("{word}! is not committed")));
            }
        }
    }
    found
}

fn unsafe_code(code: &str) -> Vec<Complaint> {
    let with_unsafe =
        numbered(code).filter(|(_, content)| words(content).any(|(word, _)| word == "unsafe"));
    with_unsafe
        .map(|(line, _)| {
            (
                line,
                "unsafe stands in sys.rs or under sys/ only".to_owned(),
            )
        })
        .collect()
}

/// `#[ignore]`, and exceptions from lints without a reason.
fn attributes(code: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    let mut line = 1;
    for (index, after) in code.split('#').enumerate() {
        let attribute = after.strip_prefix('!').unwrap_or(after);
        if let Some(attribute) = attribute.strip_prefix('[').filter(|_| index > 0) {
            // a `#` inside of an attribute could only stand in a string, which is blank here
            found.extend(attribute_complaint(inside(attribute)).map(|message| (line, message)));
        }
        line += after.matches('\n').count();
    }
    found
}

/// What stands before the bracket that closes the one already open.
fn inside(text: &str) -> &str {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(..at).unwrap_or(text);
        }
    }
    text
}

fn attribute_complaint(attribute: &str) -> Option<String> {
    let names: Vec<&str> = words(attribute).map(|(word, _)| word).collect();
    let first = *names.first()?;
    let conditional = first == "cfg_attr";
    if first == "ignore" || (conditional && names.contains(&"ignore")) {
        return Some("a test that does not run is not a test: #[ignore]".to_owned());
    }
    let level = names
        .iter()
        .find(|name| ["allow", "expect"].contains(*name))?;
    let excepts = first == *level || conditional;
    (excepts && !names.contains(&"reason")).then(|| format!("#[{level}] needs a reason = \"...\""))
}

/// Whether a file belongs to the shipped part of a crate that is a function of its arguments.
fn is_pure(file: &str) -> bool {
    let Some((name, rest)) = file
        .strip_prefix("crates/")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let tests =
        file.ends_with("/tests.rs") || file.ends_with("_tests.rs") || file.contains("/tests/");
    PURE_CRATES.contains(&name) && rest.starts_with("src/") && !tests
}

fn impure(code: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (line, content) in
        numbered(code).take_while(|(_, content)| content.trim() != "#[cfg(test)]")
    {
        for name in IMPURE.iter().filter(|name| content.contains(**name)) {
            found.push((
                line,
                format!("{name}: this crate is a function of its arguments"),
            ));
        }
    }
    found
}

/// Dependencies and lints of the root manifest that do not say why they are there. Our own crates need not.
fn unexplained(manifest: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    let (mut applies, mut before) = (false, "");
    for (line, content) in numbered(manifest) {
        if content.starts_with('[') {
            applies =
                content == "[workspace.dependencies]" || content.starts_with("[workspace.lints");
        }
        let entry = content.starts_with(|c: char| c.is_ascii_alphanumeric());
        let own = content.contains("path = \"crates/");
        if applies && entry && !own && !before.starts_with('#') && !content.contains(" # ") {
            found.push((
                line,
                "a dependency or lint says why it is there, in a comment above it".to_owned(),
            ));
        }
        before = content;
    }
    found
}

/// Absolute paths that exist on one machine only.
fn machine_paths(text: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (line, content) in numbered(text) {
        for folder in MACHINE_FOLDERS.map(|name| format!("/{name}/")) {
            // behind a name or a dot it is the tail of a longer path or of an URL
            let absolute = content.match_indices(&folder).any(|(at, _)| {
                let before = content.get(..at).and_then(|text| text.chars().next_back());
                !before.is_some_and(|c| c.is_alphanumeric() || "._-~/}*".contains(c))
            });
            if absolute {
                found.push((line, format!("a path of one machine: {folder}...")));
            }
        }
    }
    found
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// The identifiers of a text, each with what follows it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let start = rest.trim_start_matches(|c| !part(c));
        let after = start.trim_start_matches(part);
        rest = after;
        let word = start.strip_suffix(after)?;
        (!word.is_empty()).then_some((word, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str, expected: &[&str]) {
        let files = ["README.md"].map(str::to_owned).into_iter().collect();
        let found: Vec<String> = judge(file, text, &files)
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(found, expected, "{file}: {text}");
    }

    /// A file of core with a purpose, then `text` from line 2 on.
    fn check_rust(text: &str, expected: &[(usize, &str)]) {
        let file = "crates/portway-core/src/a.rs";
        let expected: Vec<String> = expected
            .iter()
            .map(|(line, text)| format!("{file}:{line}: {text}"))
            .collect();
        check(
            file,
            &format!("//! a.\n{text}\n"),
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn layout_of_files() {
        check("a.toml", "a = 1\n", &[]);
        check("a.toml", "", &[]);
        check("a.toml", "a = 1", &["a.toml:1: a file ends in one newline"]);
        check(
            "a.toml",
            "a = 1\n\n",
            &["a.toml:2: a file ends in one newline"],
        );
        check("a.toml", "\ta = 1\n", &["a.toml:1: a tab"]);
        check(
            "LICENSE-MIT",
            "a\nb \n",
            &["LICENSE-MIT:2: white space at the end of the line"],
        );
        check(
            "a.toml",
            "a = 1\r\n",
            &["a.toml:1: white space at the end of the line"],
        );
        check(".ci/run", "\tx\n", &[".ci/run:1: a tab"]);
        check("crates/a/tests/golden/a.toml", "\ta = 1 ", &[]);
        check("a.cfg", "\tserver a \n\n", &[]);
        check("Cargo.lock", "a \n", &[]);
    }

    #[test]
    fn files_open_with_their_purpose() {
        check("crates/a/tests/a.rs", "//! a.\n", &[]);
        check(
            "crates/a/tests/a.rs",
            "// a.\n",
            &["crates/a/tests/a.rs:1: a file opens with its purpose: //!"],
        );
        check(
            "build.rs",
            "",
            &["build.rs:1: a file opens with its purpose: //!"],
        );
    }

    #[test]
    fn files_have_a_size() {
        let lines = |count: usize| format!("//! a.\n{}", "x();\n".repeat(count - 1));
        check("crates/a/src/b.rs", &lines(800), &[]);
        check(
            "crates/a/src/b.rs",
            &lines(801),
            &["crates/a/src/b.rs:801: 801 lines; 800 is the most"],
        );
        check("crates/a/tests/b.rs", &lines(801), &[]);
    }

    #[test]
    fn unfinished_work() {
        check_rust("todo!();", &[(2, "todo! is not committed")]);
        check_rust(
            "f(dbg!(x), unimplemented!(\"x\"));",
            &[
                (2, "dbg! is not committed"),
                (2, "unimplemented! is not committed"),
            ],
        );
        check_rust("let todo = \"todo!() TODO\"; // todo!", &[]);
        check_rust(
            "a(); // TODO: b",
            &[(2, "TODO: finish it, or open an issue")],
        );
        check_rust(
            "/* a\nFIXME */",
            &[(3, "FIXME: finish it, or open an issue")],
        );
        check_rust("// XXXX TODOS a_TODO", &[]);
        check(
            "a.sh",
            "# XXX\nmktemp a.XXXXXX\n",
            &["a.sh:1: XXX: finish it, or open an issue"],
        );
        check_rust(
            "/// ```ignore",
            &[(
                2,
                "an example that is not compiled: use ```text or make it compile",
            )],
        );
    }

    #[test]
    fn unsafe_has_its_place() {
        let message = "unsafe stands in sys.rs or under sys/ only";
        check_rust("unsafe { a() }", &[(2, message)]);
        check_rust(
            "#![forbid(unsafe_code)] // unsafe\nlet a = \"unsafe\";",
            &[],
        );
        check("crates/a/src/sys.rs", "//! a.\nunsafe {}\n", &[]);
        check("crates/a/src/sys/b.rs", "//! a.\nunsafe {}\n", &[]);
        check(
            "crates/a/src/notsys.rs",
            "//! a.\nunsafe {}\n",
            &[&format!("crates/a/src/notsys.rs:2: {message}")],
        );
    }

    #[test]
    fn attributes_have_reasons() {
        check_rust(
            "#[allow(dead_code)]",
            &[(2, "#[allow] needs a reason = \"...\"")],
        );
        check_rust(
            "\n#![expect(\n    dead_code,\n)]",
            &[(3, "#[expect] needs a reason = \"...\"")],
        );
        check_rust(
            "#[expect(\n    dead_code,\n    reason = \"a [b] # c\"\n)]",
            &[],
        );
        check_rust(
            "#[cfg_attr(test, allow(dead_code))]",
            &[(2, "#[allow] needs a reason = \"...\"")],
        );
        check_rust("#[cfg_attr(test, allow(dead_code, reason = \"x\"))]", &[]);
        check_rust(
            "a.expect(\"b\"); #[should_panic(expected = \"x\")]\n#[arg(value = allow)]",
            &[],
        );
        check_rust(
            "#[ignore]",
            &[(2, "a test that does not run is not a test: #[ignore]")],
        );
        check_rust(
            "#[ignore = \"slow\"]",
            &[(2, "a test that does not run is not a test: #[ignore]")],
        );
        check_rust(
            "#[command(ignore)] let a = r#\"#[ignore]\"#; // #[ignore]",
            &[],
        );
    }

    #[test]
    fn pure_crates() {
        let message = "Instant::now: this crate is a function of its arguments";
        check_rust("let a = Instant::now();", &[(2, message)]);
        check_rust(
            "// Instant::now\n#[cfg(test)]\nmod tests { Instant::now() }",
            &[],
        );
        check_rust(
            "use std::fs;",
            &[(2, "std::fs: this crate is a function of its arguments")],
        );
        check(
            "crates/portway-core/src/a/tests.rs",
            "//! a.\nuse std::fs;\n",
            &[],
        );
        check(
            "crates/portway-core/tests/a.rs",
            "//! a.\nuse std::fs;\n",
            &[],
        );
        check(
            "crates/portway-control/src/a.rs",
            "//! a.\nuse std::fs;\n",
            &[],
        );
    }

    #[test]
    fn links_of_documents() {
        check("docs/a.md", "[a](../README.md)\n", &[]);
        check(
            "docs/a.md",
            "[a](README.md)\n",
            &["docs/a.md:1: the link README.md leads nowhere"],
        );
    }

    #[test]
    fn reasons_of_the_root_manifest() {
        let message = "a dependency or lint says why it is there, in a comment above it";
        let head = "[workspace.dependencies]\n";
        check("Cargo.toml", &format!("{head}# why\na = \"1\"\n"), &[]);
        check("Cargo.toml", &format!("{head}a = \"1\" # why\n"), &[]);
        check(
            "Cargo.toml",
            &format!("{head}a = {{ path = \"crates/a\" }}\n"),
            &[],
        );
        check(
            "Cargo.toml",
            &format!("{head}a = \"1\"\n"),
            &[&format!("Cargo.toml:2: {message}")],
        );
        check(
            "Cargo.toml",
            &format!("{head}# why\na = \"1\"\nb = \"1\"\n"),
            &[&format!("Cargo.toml:4: {message}")],
        );
        check(
            "Cargo.toml",
            "[workspace.lints.rust]\na = \"deny\"\n",
            &[&format!("Cargo.toml:2: {message}")],
        );
        check("Cargo.toml", "[workspace.package]\na = \"1\"\n", &[]);
        check(
            "fuzz/Cargo.toml",
            "[workspace.dependencies]\na = \"1\"\n",
            &[],
        );
    }

    #[test]
    fn paths_of_machines() {
        check(
            "docs/a.md",
            "see /home/me/x\n",
            &["docs/a.md:1: a path of one machine: /home/..."],
        );
        check_rust(
            "let a = \"/root/.cargo\";",
            &[(2, "a path of one machine: /root/...")],
        );
        check(
            "a/golden/b.json",
            "{\"a\":\"/work/b\"}",
            &["a/golden/b.json:1: a path of one machine: /work/..."],
        );
        check(
            "docs/a.md",
            "https://a.example/home/b ~/work/ ../root/ src/home/x /homes/ $A/work/\n",
            &[],
        );
    }

    #[test]
    fn whole_repositories() {
        let found =
            |names: &[&str]| missing(&names.iter().map(|name| (*name).to_owned()).collect()).len();
        assert_eq!(found(&["README.md", "CHANGELOG.md"]), 0);
        assert_eq!(found(&["README.md"]), 1);
    }
}
