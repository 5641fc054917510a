//! What came of a comparison, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use super::difference::Difference;

/// Requests that are shown for one kind of difference; the others are counted.
const SHOWN: usize = 5;

/// One request that went to both sides.
pub(super) struct Compared {
    /// What the report calls it.
    pub(super) title: String,
    /// The line of the file.
    pub(super) line: usize,
    /// The status of the old side.
    pub(super) status: Option<u16>,
    /// What differs.
    pub(super) differences: Vec<Difference>,
}

/// Everything.
pub(super) struct Report {
    /// In the order of the file.
    pub(super) compared: Vec<Compared>,
    /// See [`super::requests::Requests`].
    pub(super) unsafe_left_out: usize,
    /// See [`super::requests::Requests`].
    pub(super) not_understood: usize,
}

impl Report {
    /// True where nothing differs.
    pub(super) fn is_same(&self) -> bool {
        self.differing() == 0
    }

    fn differing(&self) -> usize {
        self.compared
            .iter()
            .filter(|it| !it.differences.is_empty())
            .count()
    }

    /// For people: what differs, by kind, each with a few requests.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut kinds: BTreeMap<&str, Vec<(&Compared, &Difference)>> = BTreeMap::new();
        for one in &self.compared {
            for difference in &one.differences {
                kinds
                    .entry(&difference.what)
                    .or_default()
                    .push((one, difference));
            }
        }
        // Writing to a String cannot fail, here and below.
        for (what, found) in &kinds {
            let _ = writeln!(
                text,
                "{what} differs in {} of {}:",
                found.len(),
                self.compared.len()
            );
            for (one, difference) in found.iter().take(SHOWN) {
                let _ = writeln!(text, "  line {}: {}", one.line, one.title);
                for (side, value) in [("old", &difference.old), ("new", &difference.new)] {
                    let value = value.as_deref().unwrap_or("(none)").escape_debug();
                    let _ = writeln!(text, "    {side}  {value}");
                }
            }
            if let Some(more) = found.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                let _ = writeln!(text, "  and {more} more");
            }
        }
        let _ = writeln!(
            text,
            "{} requests: {} the same, {} differ",
            self.compared.len(),
            self.compared.len() - self.differing(),
            self.differing(),
        );
        if self.unsafe_left_out > 0 {
            let _ = writeln!(
                text,
                "{} requests that may change something were not sent (--all-methods sends them)",
                self.unsafe_left_out
            );
        }
        if self.not_understood > 0 {
            let _ = writeln!(
                text,
                "{} lines have no request in them",
                self.not_understood
            );
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let requests: Vec<_> = self
            .compared
            .iter()
            .map(|one| {
                let differences: Vec<_> = one
                    .differences
                    .iter()
                    .map(|it| json!({ "what": it.what, "old": it.old, "new": it.new }))
                    .collect();
                json!({ "title": one.title, "line": one.line, "status": one.status, "differences": differences })
            })
            .collect();
        let object = json!({
            "requests": self.compared.len(),
            "differing": self.differing(),
            "unsafe_left_out": self.unsafe_left_out,
            "not_understood": self.not_understood,
            "compared": requests,
        });
        format!("{object}\n")
    }
}
