//! docs/native.md: every example compiles, every word that the parser knows is there.
#![cfg(test)]

use portway_dialects::{expression, native};
use portway_model::compile::compile;
use portway_model::span::FileId;
use std::collections::BTreeSet;

const REFERENCE: &str = include_str!("../../../docs/native.md");

/// Texts of the fenced blocks, and the lines that they begin at.
fn examples() -> Vec<(usize, String)> {
    let mut examples = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, text) in (1..).zip(REFERENCE.lines()) {
        match (&mut open, text) {
            (None, "```toml") => open = Some((line, String::new())),
            (Some(_), "```") => examples.extend(open.take()),
            (Some((_, body)), text) => {
                body.push_str(text);
                body.push('\n');
            }
            (None, text) => assert!(
                !text.starts_with("```"),
                "line {line}: a block that is not toml"
            ),
        }
    }
    examples
}

#[test]
fn every_example_compiles() {
    let examples = examples();
    assert!(examples.len() > 10);
    for (line, text) in examples {
        let (draft, found) = native::parse(FileId(0), &text);
        assert!(found.is_empty(), "example at line {line}: {found:#?}");
        let (snapshot, found) = compile(&draft);
        assert!(snapshot.is_some(), "example at line {line}: {found:#?}");
    }
}

#[test]
fn every_word_is_in_the_reference() {
    let words: BTreeSet<&str> = REFERENCE
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .chain(
            ["1.2", "1.3"]
                .into_iter()
                .filter(|version| REFERENCE.contains(version)),
        )
        .collect();
    let known = native::vocabulary()
        .into_iter()
        .chain(expression::vocabulary());
    let missing: BTreeSet<&str> = known.filter(|word| !words.contains(word)).collect();
    assert!(missing.is_empty(), "not in docs/native.md: {missing:?}");
}
