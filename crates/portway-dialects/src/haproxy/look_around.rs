//! PCRE's look-around where it says something of the whole text, so that matching goes on taking linear time.
//!
//! Look-ahead counts from the start where all before it, up to `^`, has a fixed number of characters: `^/(?!api)(.*)` is
//! `^(?!/api)/(.*)`. Look-behind counts to the end before a last `$`. `^((?!a).)*$` is "no `a` anywhere". What is found is
//! written first, as [`portway_model::pattern`] reads it.

use super::regex::Refused;
use portway_model::pattern::{group_end, has_alternatives};

/// A pattern taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'p> {
    /// Flags that all of it has, as `(?i)`.
    pub(super) flags: &'p str,
    /// What must be found at the start, and with `true` what must not.
    pub(super) looks: Vec<(bool, String)>,
    /// What is matched behind `^`.
    pub(super) rest: String,
}

const SIGNS: [(&str, bool); 4] = [
    ("(?=", false),
    ("(?!", true),
    ("(?<=", false),
    ("(?<!", true),
];

/// Takes a pattern apart; `None` where it has no look-around.
pub(super) fn take_apart(pattern: &str) -> Option<Result<Parts<'_>, Refused>> {
    if !SIGNS.iter().any(|(sign, _)| pattern.contains(sign)) {
        return None;
    }
    let (flags, text) = flags(pattern);
    Some(parts(flags, text).ok_or_else(|| {
        Refused::Missing(
            "look-around that is neither behind '^' and a fixed number of characters nor before a last '$'"
                .to_owned(),
        )
    }))
}

fn flags(pattern: &str) -> (&str, &str) {
    let letters = pattern
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'));
    match letters {
        Some((letters, rest))
            if !letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphabetic()) =>
        {
            let length = pattern.len() - rest.len();
            pattern.split_at_checked(length).unwrap_or(("", pattern))
        }
        _ => ("", pattern),
    }
}

fn parts<'p>(flags: &'p str, text: &str) -> Option<Parts<'p>> {
    let mut looks = Vec::new();
    if let Some(absent) = nowhere(text) {
        let look = (true, format!("[\\s\\S]*(?:{absent})"));
        let rest = "[\\s\\S]*$".to_owned();
        return Some(Parts {
            flags,
            looks: vec![look],
            rest,
        });
    }
    if has_alternatives(text) {
        return None;
    }
    let (text, behind) = before_end(text)?;
    let mut rest = match text.strip_prefix('^') {
        Some(text) => ahead(text, &mut looks)?,
        // Found anywhere: what is before it, as little as possible, is matched too.
        None if behind.is_some() => format!("[\\s\\S]*?(?:{text})"),
        None => return None,
    };
    if SIGNS.iter().any(|(sign, _)| rest.contains(sign)) {
        return None;
    }
    if let Some((negative, inner)) = behind {
        looks.push((negative, format!("[\\s\\S]*(?:{inner})$")));
        rest.push('$');
    }
    Some(Parts { flags, looks, rest })
}

/// What must stand nowhere, of `^((?!…).)*$`.
fn nowhere(text: &str) -> Option<&str> {
    let text = text.strip_prefix('^')?.strip_suffix(")*$")?;
    let text = text
        .strip_prefix("(?:")
        .or_else(|| text.strip_prefix('('))?;
    let inner = text.strip_prefix("(?!")?.strip_suffix(").")?;
    let closes = group_end(text)? == text.len() - 2;
    let plain = !SIGNS.iter().any(|(sign, _)| inner.contains(sign));
    (closes && plain).then_some(inner)
}

/// The text without look-behind before its last `$`, and that. `None` where there is more than one.
fn before_end(text: &str) -> Option<(&str, Option<(bool, &str)>)> {
    for (sign, negative) in [("(?<=", false), ("(?<!", true)] {
        let Some(at) = text.find(sign) else { continue };
        let (before, group) = text.split_at_checked(at)?;
        let end = group_end(group)?;
        let inner = group.get(sign.len()..end)?;
        if group.get(end..)? != ")$" || before.is_empty() {
            return None;
        }
        return Some((before, Some((negative, inner))));
    }
    Some((text, None))
}

/// Takes look-ahead out of what stands behind `^`, as long as its place is certain.
fn ahead(text: &str, looks: &mut Vec<(bool, String)>) -> Option<String> {
    let mut fixed = String::new();
    let mut rest = text;
    loop {
        if let Some((sign, negative)) = SIGNS
            .iter()
            .take(2)
            .find(|(sign, _)| rest.starts_with(sign))
        {
            let end = group_end(rest)?;
            let inner = rest.get(sign.len()..end)?;
            rest = rest.get(end + 1..)?;
            // Repeated look-ahead says nothing, or the same.
            if rest.starts_with(['*', '+', '?', '{']) {
                return None;
            }
            looks.push((*negative, format!("{fixed}(?:{inner})")));
            continue;
        }
        let Some(length) = one_character(rest) else {
            break;
        };
        let (one, after) = rest.split_at_checked(length)?;
        if after.starts_with(['*', '+', '?', '{']) {
            break;
        }
        fixed.push_str(one);
        rest = after;
    }
    fixed.push_str(rest);
    Some(fixed)
}

/// The length of what `text` begins with, where that stands for one character.
fn one_character(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    match chars.next()? {
        '\\' => {
            let next = chars.next()?;
            let one = !next.is_alphanumeric() || "dwsDWShN".contains(next);
            one.then(|| 1 + next.len_utf8())
        }
        '[' => {
            // As a group its end is known.
            let end = group_end(&format!("({text})"))?;
            class_end(text).filter(|length| *length <= end)
        }
        '(' | ')' | '|' | '*' | '+' | '?' | '{' | '^' | '$' => None,
        other => Some(other.len_utf8()),
    }
}

/// The length of the class with which `text` begins.
fn class_end(text: &str) -> Option<usize> {
    // Neither escapes nor names: they are read elsewhere.
    let inner = text.strip_prefix('[')?;
    let inner = inner.strip_prefix('^').unwrap_or(inner);
    let begins = text.len() - inner.len();
    let first = inner.chars().next()?.len_utf8();
    let end = inner.get(first..)?.find(']')? + first;
    let class = inner.get(..end)?;
    (!class.contains(['\\', '['])).then_some(begins + end + 1)
}
