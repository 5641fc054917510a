//! Whatever stands in a haproxy.cfg, it is read without a panic, with places within the text, and what is read without
//! an error has a native form.
#![cfg(test)]

use portway_dialects::{Inputs, haproxy, native};
use portway_model::span::FileId;
use proptest::prelude::*;
use std::sync::LazyLock;

/// The lines of every golden configuration.
static LINES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let folders = ["haproxy", "haproxy-errors"].map(|name| format!("{golden}/{name}"));
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "cfg"));
    let mut lines: Vec<String> = files
        .flat_map(|path| {
            let bytes = std::fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
});

/// The words of those lines.
static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let words = LINES.iter().flat_map(|line| line.split_whitespace());
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    words.extend(
        [
            "no",
            "default",
            "\"$A\"",
            "'",
            "\\",
            "{",
            "}",
            "(",
            "é",
            "-1",
            "99999999999",
        ]
        .map(str::to_owned),
    );
    words.sort();
    words.dedup();
    words
});

fn line() -> impl Strategy<Value = String> {
    let known = (0..LINES.len()).prop_map(|at| LINES[at].clone());
    let word = (0..WORDS.len()).prop_map(|at| WORDS[at].clone());
    let changed =
        (known.clone(), 0..8_usize, word.clone(), 0..3_u8).prop_map(|(line, at, word, how)| {
            let mut words: Vec<&str> = line.split(' ').collect();
            let at = at.min(words.len().saturating_sub(1));
            match how {
                0 => words.insert(at, &word),
                1 => words[at] = &word,
                _ => words.truncate(at),
            }
            words.join(" ")
        });
    let free = prop::collection::vec(word, 1..6).prop_map(|words| words.join(" "));
    prop_oneof![6 => known, 3 => changed, 1 => free]
}

fn check(text: &str) {
    let inputs = Inputs {
        certificates_may_be_missing: false,
        environment: &|name| (name.len() % 2 == 1).then(|| "x \"y".to_owned()),
        read: &|path| match path.len() % 3 {
            0 => Err("it does not exist".to_owned()),
            1 => Ok(Vec::new()),
            _ => Ok(format!("{path}\n# x\n1.2.3.4 y\n").into_bytes()),
        },
        ..Inputs::NOTHING
    };
    let (draft, found) = haproxy::parse(FileId(0), text, &inputs);
    for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
        assert!(text.get(label.span.range()).is_some(), "{label:?}\n{text}");
    }
    if found.has_errors() {
        return;
    }
    let printed = native::print(&draft);
    let (again, found) = native::parse(FileId(0), &printed);
    assert!(!found.has_errors(), "{found:?}\n{text}\n{printed}");
    assert_eq!(native::print(&again), printed, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn lines_of_every_kind(lines in prop::collection::vec(line(), 0..24)) {
        check(&(lines.join("\n") + "\n"));
    }

    #[test]
    fn proxies_of_known_lines(lines in prop::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        check(&format!("defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\nlisten l\n bind :80\n server s 10.0.0.1:80\n{text}\n"));
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        check(&text);
    }
}
