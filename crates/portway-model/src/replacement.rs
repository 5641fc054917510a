//! What the text of a replacement names of the regular expression before it: `$1`, `${1}`, `$name`, as the regex crate
//! reads them. A group that does not exist is an empty text there, which nobody means.

use crate::expression::MatchGroup;
use crate::pattern::Pattern;
use std::ops::Range;

/// A group that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedGroup {
    /// Where, with its dollar.
    pub range: Range<usize>,
    /// Which.
    pub group: MatchGroup,
}

impl NamedGroup {
    /// The number that its name begins with where letters follow it: `$1x` is the group `1x`, and `${1}x` was meant.
    pub fn number_meant(&self) -> Option<&str> {
        let MatchGroup::Name(name) = &self.group else {
            return None;
        };
        let end = name.find(|c: char| !c.is_ascii_digit())?;
        name.get(..end).filter(|digits| !digits.is_empty())
    }
}

/// The groups that the text names, in order. `$$` is a dollar, and so is one before anything else.
pub fn named_groups(text: &str) -> Vec<NamedGroup> {
    let mut named = Vec::new();
    let mut at = 0;
    while let Some(dollar) = text.get(at..).and_then(|rest| rest.find('$')) {
        let start = at + dollar;
        let rest = text.get(start + 1..).unwrap_or_default();
        let (length, name) = match name(rest) {
            Some(found) => found,
            None => {
                at = start + 1 + usize::from(rest.starts_with('$'));
                continue;
            }
        };
        at = start + 1 + length;
        let group = match name.parse() {
            Ok(number) => MatchGroup::Number(number),
            Err(_) => MatchGroup::Name(name.to_owned()),
        };
        let range = start..at;
        named.push(NamedGroup { range, group });
    }
    named
}

/// The name behind a dollar, and how long it is with its braces.
fn name(rest: &str) -> Option<(usize, &str)> {
    if let Some(inner) = rest.strip_prefix('{') {
        let name = inner.get(..inner.find('}')?)?;
        return Some((name.len() + 2, name));
    }
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = rest.find(|c| !of_name(c)).unwrap_or(rest.len());
    let name = rest.get(..length).filter(|name| !name.is_empty())?;
    Some((length, name))
}

/// Those of [`named_groups`] that the regular expression does not have; none where it is none.
pub fn missing_groups(pattern: &str, text: &str) -> Vec<NamedGroup> {
    let named = named_groups(text);
    // Most texts name none, and compiling takes its time.
    if named.is_empty() {
        return named;
    }
    let Ok(pattern) = Pattern::new(pattern) else {
        return Vec::new();
    };
    let missing = named.into_iter();
    missing.filter(|it| !pattern.has_group(&it.group)).collect()
}

/// The text without the groups that the regular expression does not have, and these as they are written.
pub fn without_missing(pattern: &str, text: &str) -> (String, Vec<String>) {
    let (mut kept, mut left_out) = (String::with_capacity(text.len()), Vec::new());
    let mut at = 0;
    for missing in missing_groups(pattern, text) {
        kept.push_str(text.get(at..missing.range.start).unwrap_or_default());
        at = missing.range.end;
        left_out.extend(text.get(missing.range).map(str::to_owned));
    }
    kept.push_str(text.get(at..).unwrap_or_default());
    (kept, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_are_not_there() {
        for (pattern, text, expected) in [
            ("^/a/(.*)$", "/b/$1", vec![]),
            ("^/a/(.*)$", "/b/$0${1}x$$2$", vec![]),
            ("^/a/(.*)$", "/b/$2", vec!["$2"]),
            ("^/a/(.*)$", "$2/$1/${2}", vec!["$2", "${2}"]),
            ("^/a/(.*)$", "/$1x/y", vec!["$1x"]),
            (
                "^/(?<year>[0-9]+)",
                "$year-${year}-$1-$month",
                vec!["$month"],
            ),
            ("^/a", "costs 5$ or $ 5", vec![]),
            ("^/a", "${} ${", vec!["${}"]),
            ("(", "$7", vec![]),
        ] {
            let (kept, left_out) = without_missing(pattern, text);
            assert_eq!(left_out, expected, "{text}");
            assert!(missing_groups(pattern, &kept).is_empty(), "{kept}");
            // What is left out is nothing for the regular expression too.
            if let Ok(regex) = regex::Regex::new(pattern) {
                let of = |with: &str| regex.replace("/a/2024", with).into_owned();
                assert_eq!(of(&kept), of(text), "{text}");
            }
        }
        let named = named_groups("$1x$abc");
        let meant: Vec<_> = named.iter().map(NamedGroup::number_meant).collect();
        assert_eq!(meant, [Some("1"), None]);
    }
}
