//! Relative links of Markdown files: each must lead to a file of the repository.

use std::collections::BTreeSet;

/// The links of `text` that lead nowhere, with their line (from 1). `file` is where the text stands; `files` are all
/// files of the repository, by path from its root.
pub(crate) fn broken(file: &str, text: &str, files: &BTreeSet<String>) -> Vec<(usize, String)> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        for target in targets(&without_code(line)) {
            if let Some(problem) = judge(file, &target, files) {
                findings.push((index + 1, problem));
            }
        }
    }
    findings
}

/// The line without what stands in backticks.
fn without_code(line: &str) -> String {
    line.split('`')
        .enumerate()
        .filter(|(index, _)| index % 2 == 0)
        .map(|(_, part)| part)
        .collect()
}

/// Where the links of a line lead: `[text](target "title")`, and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let mut found: Vec<String> = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .map(str::to_owned)
        .collect();
    // `[^name]: text` is a note
    if let Some((_, target)) = line
        .strip_prefix('[')
        .filter(|rest| !rest.starts_with('^'))
        .and_then(|rest| rest.split_once("]: "))
    {
        found.extend(target.split_whitespace().next().map(str::to_owned));
    }
    found
}

fn judge(file: &str, target: &str, files: &BTreeSet<String>) -> Option<String> {
    let path = target
        .trim_matches(['<', '>'])
        .split(['#', '?'])
        .next()
        .unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return None;
    }
    let Some(resolved) = resolve(file, path) else {
        return Some(format!("the link {target} leaves the repository"));
    };
    let folder = format!("{resolved}/");
    let exists = resolved.is_empty()
        || files.contains(&resolved)
        || files
            .range(folder.clone()..)
            .next()
            .is_some_and(|next| next.starts_with(&folder));
    (!exists).then(|| format!("the link {target} leads nowhere"))
}

/// The path from the root that `path` means in `file`; none if it climbs out.
fn resolve(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = if path.starts_with('/') {
        Vec::new()
    } else {
        file.split('/').collect()
    };
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str)]) {
        let names = [
            "README.md",
            "docs/native.md",
            "docs/adr/0001-loop.md",
            "docs.toml",
        ];
        let files = names.map(str::to_owned).into_iter().collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect();
        assert_eq!(broken("docs/native.md", text, &files), expected, "{text}");
    }

    #[test]
    fn links() {
        check("[a](native.md) and [b](../README.md)", &[]);
        check(
            "[a](adr/) [b](adr) [c](..) [d](/docs/adr/0001-loop.md)",
            &[],
        );
        check(
            "[a](native.md#part \"title\") [b](#part) [c](https://a.example/x) [d](mailto:a@a.example)",
            &[],
        );
        check(
            "text\n[a](nativ.md)",
            &[(2, "the link nativ.md leads nowhere")],
        );
        check(
            "![a](img/x.png#y)",
            &[(1, "the link img/x.png#y leads nowhere")],
        );
        check(
            "[a](../../shared/x.md)",
            &[(1, "the link ../../shared/x.md leaves the repository")],
        );
        check(
            "[a]: missing.md",
            &[(1, "the link missing.md leads nowhere")],
        );
        check("[a]: adr/0001-loop.md", &[]);
        check("[^a]: Missing, as a note, and [b](native.md)", &[]);
        check(
            "[^a]: [b](missing.md)",
            &[(1, "the link missing.md leads nowhere")],
        );
        check("`[a](missing.md)` and\n```\n[b](missing.md)\n```", &[]);
        check(
            "`x` [a](missing.md)",
            &[(1, "the link missing.md leads nowhere")],
        );
        check("[a](doc)", &[(1, "the link doc leads nowhere")]);
    }
}
