//! Holds `docs/features.md` against the tests: what we say we have, a test shows.
//!
//! The page is written by hand. Its tables put each feature of ours beside those of others; a row that says `yes` or
//! `part` of Portway links to the tests that would notice its loss. Tests are renamed and moved, so this file reads the
//! page, follows every such link, and finds the function in the file, or the case of `tests/differential`. It also sees
//! that no row has lost a cell, that cells say one of a few words, that every note is there, and that one says what is
//! missing where Portway has a part.

use std::collections::BTreeSet;

use crate::lex;
use crate::workspace::Workspace;

/// The page, by path from the root.
const PAGE: &str = "docs/features.md";

/// What the head of each of its tables begins with, and the name of the last column.
const HEAD: [&str; 2] = ["feature", "Portway"];
const TESTS: &str = "tests";

/// What a cell may say of Portway.
const OURS: [&str; 3] = ["yes", "part", "no"];

/// What a cell may say of others: `?` is what nobody has looked up, `–` what makes no sense there.
const THEIRS: [&str; 5] = ["yes", "part", "no", "?", "–"];

/// The folder of cases that are run through HAProxy and Portway; each is a file, and a test of the file's name.
const CASES: &str = "crates/portway/tests/differential/";

/// Line from 1, and what is wrong with it.
type Complaint = (usize, String);

/// Compares the page with the tests of the repository.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    let page = std::fs::read_to_string(workspace.root.join(PAGE))
        .map_err(|error| format!("{PAGE}: {error}"))?;
    let read = |path: &str| std::fs::read_to_string(workspace.root.join(path)).ok();
    let found: Vec<String> = judge(&page, &read)
        .into_iter()
        .map(|(line, message)| format!("{PAGE}:{line}: {message}"))
        .collect();
    if found.is_empty() {
        Ok(())
    } else {
        Err(found.join("\n"))
    }
}

/// What is wrong with `page`. `read` gives the text of a file by its path from the root.
fn judge(page: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Complaint> {
    let mut found = notes(page);
    let mut rows = 0;
    // how many cells the rows of the table have that we are in
    let mut columns = None;
    for (index, text) in page.lines().enumerate() {
        let line = index + 1;
        let cells = cells(text);
        match columns {
            _ if cells.is_empty() => columns = None,
            None if cells.starts_with(&HEAD) && cells.last() == Some(&TESTS) => {
                columns = Some(cells.len());
            }
            Some(columns) if !is_rule(&cells) => {
                rows += 1;
                let complaints = row(&cells, columns, read);
                found.extend(complaints.into_iter().map(|message| (line, message)));
            }
            _ => {}
        }
    }
    if rows == 0 {
        let head = HEAD.join(" | ");
        found.push((1, format!("no table has the head {head} | … | {TESTS}")));
    }
    found.sort();
    found
}

/// The cells of a line of a table; none for any other line.
fn cells(line: &str) -> Vec<&str> {
    let inner = line
        .strip_prefix('|')
        .and_then(|rest| rest.strip_suffix('|'));
    inner.map_or_else(Vec::new, |inner| inner.split('|').map(str::trim).collect())
}

/// Whether this is the line between a head and its rows.
fn is_rule(cells: &[&str]) -> bool {
    let is_dashes = |cell: &&str| cell.contains('-') && cell.trim_matches([':', '-']).is_empty();
    cells.iter().all(is_dashes)
}

fn row(cells: &[&str], columns: usize, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    if cells.len() != columns {
        return vec![format!("{} cells; the head has {columns}", cells.len())];
    }
    let [_, ours, theirs @ .., tests] = cells else {
        return Vec::new();
    };
    let mut found = Vec::new();
    found.extend(unknown_word(ours, &OURS));
    for cell in theirs {
        found.extend(unknown_word(cell, &THEIRS));
    }
    let links = links(tests);
    let has_it = ["yes", "part"].contains(&word(ours));
    if has_it && links.is_empty() {
        found.push(format!("`{}`, but no test is named", word(ours)));
    }
    if *ours == "part" {
        found.push("`part`, but no note says what is missing".to_owned());
    }
    found.extend(links.iter().filter_map(|link| missing_test(*link, read)));
    found
}

/// What a cell says, without its notes.
fn word(cell: &str) -> &str {
    cell.split("[^").next().unwrap_or_default().trim()
}

fn unknown_word(cell: &str, known: &[&str]) -> Option<String> {
    let word = word(cell);
    (!known.contains(&word)).then(|| format!("`{word}` is none of {}", known.join(", ")))
}

/// The links of a cell: what they are called and where they lead.
fn links(cell: &str) -> Vec<(&str, &str)> {
    cell.split('[')
        .skip(1)
        .filter_map(|link| link.split_once("]("))
        .filter_map(|(name, rest)| Some((name, rest.split_once(')')?.0)))
        .collect()
}

/// What is wrong with a link to a test.
fn missing_test(
    (name, target): (&str, &str),
    read: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let Some(path) = target
        .strip_prefix("../")
        .filter(|p| p.starts_with("crates/"))
    else {
        return Some(format!("{target}: a test stands in ../crates/"));
    };
    let Some(text) = read(path) else {
        return Some(format!("{target} does not exist"));
    };
    if let Some(case) = path.strip_prefix(CASES) {
        let same = case.strip_suffix(".cfg") == Some(name);
        return (!same).then(|| format!("[{name}]: the case is called {case}"));
    }
    (!tests(&text).contains(name)).then(|| format!("{path} has no test `{name}`"))
}

/// The names of the functions of a source file that are tests.
fn tests(source: &str) -> BTreeSet<String> {
    let code = lex::split(source).code;
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in code.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            let name = attribute.split(['(', ']']).next().unwrap_or_default();
            is_test |= name == "test" || name.ends_with("::test");
        } else if let Some((_, rest)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            found.extend(rest.split(|c| !is_part(c)).next().map(str::to_owned));
        }
    }
    found
}

/// Notes that are used and not there, and the other way round: `[^name]` and `[^name]: text`.
fn notes(page: &str) -> Vec<Complaint> {
    let mut used = Vec::new();
    let mut written = Vec::new();
    for (index, text) in page.lines().enumerate() {
        let mut names = text
            .split("[^")
            .skip(1)
            .filter_map(|rest| rest.split_once(']'));
        if text.starts_with("[^") {
            written.extend(names.next().map(|(name, _)| (index + 1, name)));
        }
        used.extend(names.map(|(name, _)| (index + 1, name)));
    }
    let lacks = |list: &[(usize, &str)], name| !list.iter().any(|(_, other)| *other == name);
    let missing = used.iter().filter(|(_, name)| lacks(&written, *name));
    let idle = written.iter().filter(|(_, name)| lacks(&used, *name));
    missing
        .map(|(line, name)| (*line, format!("there is no note [^{name}]")))
        .chain(idle.map(|(line, name)| (*line, format!("nothing refers to the note [^{name}]"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        #[test]
        // #[test] fn said_in_a_comment() {}
        #[expect(clippy::panic, reason = \"#[test]\")]
        fn each_in_turn() {}
        fn helper() {}
        #[tokio::test(flavor = \"multi_thread\")]
        async fn two_at_once() {}
    ";

    fn read(path: &str) -> Option<String> {
        match path {
            "crates/a/tests/turns.rs" => Some(SOURCE.to_owned()),
            "crates/portway/tests/differential/sticky-insert.cfg" => Some("global".to_owned()),
            _ => None,
        }
    }

    /// Judges a page of one table with these rows.
    fn check(rows: &str, expected: &[(usize, &str)]) {
        let page = format!(
            "# Features\n\n| feature | Portway | A | B | tests |\n|---|---|:-:|:-:|---|\n{rows}\n"
        );
        let found = judge(&page, &read);
        let found: Vec<_> = found.iter().map(|(l, text)| (*l, text.as_str())).collect();
        assert_eq!(found, expected, "{rows}");
    }

    #[test]
    fn rows_that_are_right() {
        check("| a | no | yes | ? | |", &[]);
        check(
            "| a | yes | part[^x] | – | [each_in_turn](../crates/a/tests/turns.rs), [two_at_once](../crates/a/tests/turns.rs) |\n\n[^x]: why",
            &[],
        );
        check(
            "| a | part[^x] | no | no | [sticky-insert](../crates/portway/tests/differential/sticky-insert.cfg) |\n\n[^x]: why",
            &[],
        );
        check(
            "| a | no | yes | ? | |\n\ntext\n\n| other | table |\n|---|---|\n| with | a | row |",
            &[],
        );
    }

    #[test]
    fn tests_that_are_not_there() {
        check(
            "| a | yes | yes | yes | |",
            &[(5, "`yes`, but no test is named")],
        );
        check(
            "| a | part | yes | part | by hand |",
            &[
                (5, "`part`, but no note says what is missing"),
                (5, "`part`, but no test is named"),
            ],
        );
        for name in ["helper", "said_in_a_comment", "each"] {
            check(
                &format!(
                    "| a | no | no | no | |\n| a | yes | yes | yes | [{name}](../crates/a/tests/turns.rs) |"
                ),
                &[(6, &format!("crates/a/tests/turns.rs has no test `{name}`"))],
            );
        }
        check(
            "| a | yes | yes | yes | [a](../crates/a/tests/gone.rs) |",
            &[(5, "../crates/a/tests/gone.rs does not exist")],
        );
        check(
            "| a | yes | yes | yes | [a](native.md) |",
            &[(5, "native.md: a test stands in ../crates/")],
        );
        check(
            "| a | yes | no | no | [stick](../crates/portway/tests/differential/sticky-insert.cfg) |",
            &[(5, "[stick]: the case is called sticky-insert.cfg")],
        );
    }

    #[test]
    fn cells_and_notes() {
        check("| a | no | | yes |", &[(5, "4 cells; the head has 5")]);
        check(
            "| a | maybe | Yes | ? | |",
            &[
                (5, "`Yes` is none of yes, part, no, ?, –"),
                (5, "`maybe` is none of yes, part, no"),
            ],
        );
        check(
            "| a | no | yes[^x] | ? | |\n\n[^y]: why",
            &[
                (5, "there is no note [^x]"),
                (7, "nothing refers to the note [^y]"),
            ],
        );
        let none = judge("# Features\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", &read);
        let expected = "no table has the head feature | Portway | … | tests".to_owned();
        assert_eq!(none, [(1, expected)]);
    }
}
