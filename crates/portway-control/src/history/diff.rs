//! The difference of two texts, line by line, as `diff -u` shows it.

use std::fmt::Write;

/// Lines around a change.
const AROUND: usize = 3;
/// Lines that differ at most before the whole of what is between equal beginnings and ends counts as changed: the search costs
/// their square.
const MOST: usize = 1500;

/// A line: where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Same(&'t str),
    Gone(&'t str),
    New(&'t str),
}

/// The difference of two texts with these names; empty where there is none.
pub(super) fn unified((old_name, old): (&str, &str), (new_name, new): (&str, &str)) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = lines(&old, &new);
    let mut out = String::new();
    let changed = |it: &Line<'_>| !matches!(it, Line::Same(_));
    let mut at = 0;
    while let Some(first) = lines.iter().skip(at).position(changed).map(|it| it + at) {
        let begin = first.saturating_sub(AROUND);
        let mut end = first;
        // Changes that are near each other stand together.
        while let Some(next) = lines
            .iter()
            .skip(end)
            .take(2 * AROUND + 1)
            .position(changed)
        {
            end += next + 1;
        }
        let last = end;
        let end = (last + AROUND).min(lines.len());
        if out.is_empty() {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(out, "--- {old_name}\n+++ {new_name}");
        }
        let before = lines.get(..begin).unwrap_or_default();
        let hunk = lines.get(begin..end).unwrap_or_default();
        let count = |lines: &[Line<'_>], but: fn(&Line<'_>) -> bool| {
            lines.iter().filter(|it| !but(it)).count()
        };
        let is_new = |it: &Line<'_>| matches!(it, Line::New(_));
        let is_gone = |it: &Line<'_>| matches!(it, Line::Gone(_));
        let _ = writeln!(
            out,
            "@@ -{},{} +{},{} @@",
            count(before, is_new) + 1,
            count(hunk, is_new),
            count(before, is_gone) + 1,
            count(hunk, is_gone)
        );
        for line in hunk {
            let _ = match line {
                Line::Same(text) => writeln!(out, " {text}"),
                Line::Gone(text) => writeln!(out, "-{text}"),
                Line::New(text) => writeln!(out, "+{text}"),
            };
        }
        at = end;
    }
    out
}

/// All lines of both. What both begin and end with is not looked at further.
fn lines<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = (
        old.get(head..).unwrap_or_default(),
        new.get(head..).unwrap_or_default(),
    );
    let ends = rest.0.iter().rev().zip(rest.1.iter().rev());
    let tail = ends.take_while(|(a, b)| a == b).count();
    let middle = |of: &[&'t str]| {
        let of = of.get(head..of.len() - tail).unwrap_or_default();
        of.to_vec()
    };
    let same = |of: &[&'t str]| of.iter().map(|it| Line::Same(it)).collect::<Vec<_>>();
    let mut all = same(old.get(..head).unwrap_or_default());
    all.extend(between(&middle(old), &middle(new)));
    all.extend(same(old.get(old.len() - tail..).unwrap_or_default()));
    all
}

/// The longest run of common lines, by a table of lengths.
fn between<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    if old.len() > MOST || new.len() > MOST {
        let gone = old.iter().map(|it| Line::Gone(it));
        return gone.chain(new.iter().map(|it| Line::New(it))).collect();
    }
    let wide = new.len() + 1;
    // How many lines are common from here to the end, by both places. At most `MOST` fits.
    let mut common = vec![0_u16; (old.len() + 1) * wide];
    let length =
        |common: &[u16], a: usize, b: usize| common.get(a * wide + b).copied().unwrap_or(0);
    for (a, one) in old.iter().enumerate().rev() {
        for (b, other) in new.iter().enumerate().rev() {
            let best = match one == other {
                true => length(&common, a + 1, b + 1) + 1,
                false => length(&common, a + 1, b).max(length(&common, a, b + 1)),
            };
            if let Some(cell) = common.get_mut(a * wide + b) {
                *cell = best;
            }
        }
    }
    let (mut a, mut b) = (0, 0);
    let mut all = Vec::new();
    loop {
        match (old.get(a), new.get(b)) {
            (Some(one), Some(other)) if one == other => {
                all.push(Line::Same(one));
                (a, b) = (a + 1, b + 1);
            }
            (Some(one), Some(_)) if length(&common, a + 1, b) >= length(&common, a, b + 1) => {
                all.push(Line::Gone(one));
                a += 1;
            }
            (_, Some(other)) => {
                all.push(Line::New(other));
                b += 1;
            }
            (Some(one), None) => {
                all.push(Line::Gone(one));
                a += 1;
            }
            (None, None) => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks() {
        let text = |numbers: std::ops::Range<u32>| -> String {
            numbers.map(|it| format!("{it}\n")).collect()
        };
        let old = text(1..20);
        assert_eq!(unified(("a", &old), ("b", &old)), "");
        let new = old.replace("5\n", "five\n").replacen("18\n", "", 1);
        let new = new.replacen("1five\n", "15\n", 1);
        assert_eq!(
            unified(("a", &old), ("b", &new)),
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -15,5 +15,4 @@\n 15\n 16\n 17\n-18\n 19\n"
        );
        assert_eq!(
            unified(("nothing", ""), ("b", "x\ny\n")),
            "--- nothing\n+++ b\n@@ -1,0 +1,2 @@\n+x\n+y\n"
        );
        let many = text(0..5000);
        let all = unified(("a", &many), ("b", &text(5000..9000)));
        assert_eq!(all.lines().count(), 3 + 9000);
    }
}
