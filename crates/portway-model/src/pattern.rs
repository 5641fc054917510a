//! Regular expressions that are matched in linear time, with the look-around that allows it.
//!
//! `^(?!A)(?=B)REST` says of the whole text that `^A` is not found in it, that `^B` is, and that `^REST` is what is matched:
//! three expressions of the regex crate, tried one after the other. Look-around elsewhere is an error, as there.

use crate::alike::{folded, letter};
use crate::expression::MatchGroup;
use regex::bytes::{Captures, Regex, Replacer};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// ASCII's sign for what could not be read.
const SUBSTITUTE: u8 = 0x1A;

/// A compiled regular expression over bytes; equal where its text is. Matching takes linear time.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    text: Box<str>,
    /// It is about bytes (`(?-u)`), not about characters.
    of_bytes: bool,
    parts: Parts,
    /// The same of names that are alike, made when it is first asked for; `None`: it would be too large.
    alike: OnceLock<Option<Parts>>,
}

/// What is matched.
#[derive(Debug)]
struct Parts {
    regex: Regex,
    looks: Box<[Look]>,
}

impl Parts {
    fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text) && self.looks_hold(text)
    }

    fn looks_hold(&self, text: &[u8]) -> bool {
        let mut looks = self.looks.iter();
        looks.all(|look| look.regex.is_match(text) != look.negative)
    }

    /// The same of names that are alike.
    fn alike(&self) -> Option<Self> {
        let look = |look: &Look| {
            Some(Look {
                negative: look.negative,
                regex: folded(&look.regex)?,
            })
        };
        Some(Self {
            regex: folded(&self.regex)?,
            looks: self.looks.iter().map(look).collect::<Option<_>>()?,
        })
    }
}

/// What must, or must not, be found besides.
#[derive(Debug)]
struct Look {
    negative: bool,
    regex: Regex,
}

impl Pattern {
    /// Compiles `text`; the error says what is wrong with it and where.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        let (regex, looks) = match behind_start(text) {
            None => (Regex::new(text)?, Box::default()),
            Some((flags, after)) => with_looks(flags, after)?,
        };
        Ok(Self(Arc::new(Compiled {
            text: text.into(),
            of_bytes: is_of_bytes(text),
            parts: Parts { regex, looks },
            alike: OnceLock::new(),
        })))
    }

    /// The text it was compiled from.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// True where it is found in `text`. What is no UTF-8 in that is a character like others that `.` stands for: one such byte
    /// does not hide the rest.
    pub fn is_match(&self, text: &[u8]) -> bool {
        if text.is_ascii() || self.0.of_bytes || std::str::from_utf8(text).is_ok() {
            self.0.parts.is_match(text)
        } else {
            self.0.parts.is_match(&readable(text))
        }
    }

    /// True where it is found in this name of a field however that is spelt: the same for all names that are
    /// [alike](crate::alike::is_alike). Wherever [`Self::is_match`] finds it in one of them, this does in all, unless it looks
    /// around, or asks for the edge of a word: to that `_` is a letter, and `-` is none.
    pub fn is_match_alike(&self, name: &[u8]) -> bool {
        let name: Vec<u8> = name.iter().copied().map(letter).collect();
        let alike = self.0.alike.get_or_init(|| self.0.parts.alike());
        // What cannot be known is taken for found: it is asked what must not come from outside.
        alike.as_ref().is_none_or(|it| it.is_match(&name))
    }

    /// Makes what [`Self::is_match_alike`] needs, which takes its time.
    pub fn prepare_alike(&self) {
        let _ = self.0.alike.get_or_init(|| self.0.parts.alike());
    }

    /// What its groups match where it is first found in `text`.
    pub fn captures<'t>(&self, text: &'t [u8]) -> Option<Captures<'t>> {
        let captures = self.0.parts.regex.captures(text)?;
        self.0.parts.looks_hold(text).then_some(captures)
    }

    /// True where its group with this number has a name too.
    pub fn is_named(&self, group: u16) -> bool {
        let mut names = self.0.parts.regex.capture_names();
        names.nth(usize::from(group)).flatten().is_some()
    }

    /// True where it has this group.
    pub fn has_group(&self, group: &MatchGroup) -> bool {
        match group {
            MatchGroup::Number(number) => usize::from(*number) < self.0.parts.regex.captures_len(),
            MatchGroup::Name(name) => {
                let mut names = self.0.parts.regex.capture_names().flatten();
                names.any(|known| known == name)
            }
        }
    }

    /// `text` with something else in the place of the first `limit` matches; 0: of all.
    pub fn replacen<'t>(&self, text: &'t [u8], limit: usize, with: impl Replacer) -> Cow<'t, [u8]> {
        match self.0.parts.looks_hold(text) {
            true => self.0.parts.regex.replacen(text, limit, with),
            false => Cow::Borrowed(text),
        }
    }
}

/// True where the flags that `text` begins with turn off Unicode.
fn is_of_bytes(text: &str) -> bool {
    let flags = text.strip_prefix("(?");
    let flags = flags.and_then(|rest| rest.split([')', ':']).next());
    let off = flags.and_then(|flags| flags.split_once('-'));
    off.is_some_and(|(_, off)| off.contains('u'))
}

/// `text` with a character of control in the place of each byte that is no UTF-8.
#[cold]
fn readable(text: &[u8]) -> Vec<u8> {
    let mut readable = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        readable.extend_from_slice(chunk.valid().as_bytes());
        readable.resize(readable.len() + chunk.invalid().len(), SUBSTITUTE);
    }
    readable
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

/// The flags that `text` begins with, and what stands behind its `^`, where that is look-ahead.
fn behind_start(text: &str) -> Option<(&str, &str)> {
    let start = text.find('^')?;
    let (flags, after) = text.split_at_checked(start)?;
    let are_flags = flags.is_empty() || flags.starts_with("(?") && flags.ends_with(')');
    let inner = flags.strip_prefix("(?").and_then(|it| it.strip_suffix(')'));
    let letters = |c: char| c.is_ascii_alphabetic() || c == '-';
    if !are_flags || !inner.unwrap_or_default().chars().all(letters) {
        return None;
    }
    let after = after.strip_prefix('^')?;
    look_ahead(after).map(|_| (flags, after))
}

/// Whether `text` begins with look-ahead, and with which.
fn look_ahead(text: &str) -> Option<bool> {
    let sign = text.strip_prefix("(?")?.chars().next()?;
    match sign {
        '=' => Some(false),
        '!' => Some(true),
        _ => None,
    }
}

fn with_looks(flags: &str, mut rest: &str) -> Result<(Regex, Box<[Look]>), regex::Error> {
    let mut looks = Vec::new();
    while let Some(negative) = look_ahead(rest) {
        let end = group_end(rest);
        let group = end.and_then(|end| Some((rest.get(3..end)?, rest.get(end + 1..)?)));
        let Some((inner, after)) = group else {
            let why = "look-ahead that is not closed".to_owned();
            return Err(regex::Error::Syntax(why));
        };
        let regex = Regex::new(&format!("{flags}^(?:{inner})"))?;
        looks.push(Look { negative, regex });
        rest = after;
    }
    if has_alternatives(rest) {
        let why = "alternatives behind look-ahead: write them in a group".to_owned();
        return Err(regex::Error::Syntax(why));
    }
    let regex = Regex::new(&format!("{flags}^(?:{rest})"))?;
    Ok((regex, looks.into()))
}

/// Where the parenthesis stands that closes the group with which `text` begins.
pub fn group_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, sign) in signs(text) {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ => continue,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// True where `text` is several alternatives.
pub fn has_alternatives(text: &str) -> bool {
    let mut depth = 0_usize;
    signs(text).any(|(_, sign)| {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    })
}

/// Parentheses and bars that have their meaning: not behind a backslash, and not in a class.
fn signs(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut class = Class::Outside;
    let mut escaped = false;
    text.char_indices().filter(move |(at, c)| {
        if std::mem::take(&mut escaped) {
            class = class.after_member();
            return false;
        }
        escaped = *c == '\\';
        class = match (class, *c) {
            (Class::Outside, '[') => Class::Begins,
            (Class::Outside, _) => Class::Outside,
            (Class::Begins, '^') => Class::Negated,
            (Class::Within, ']') => Class::Outside,
            (Class::Named, ']') => Class::Within,
            (Class::Named, _) => Class::Named,
            (_, '[') if text.get(at + 1..).is_some_and(|it| it.starts_with(':')) => Class::Named,
            (_, '\\') => class,
            _ => Class::Within,
        };
        matches!(class, Class::Outside) && matches!(c, '(' | ')' | '|')
    })
}

/// Where in a class in brackets one is.
#[derive(Debug, Clone, Copy)]
enum Class {
    Outside,
    /// Behind its bracket: another that closes is a member.
    Begins,
    /// Behind the `^` that begins it: the same.
    Negated,
    Within,
    /// In `[:alpha:]`.
    Named,
}

impl Class {
    fn after_member(self) -> Self {
        match self {
            Class::Outside => Class::Outside,
            _ => Class::Within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_around_of_the_whole_text() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.is_match(text.as_bytes()), expected, "{text}");
            assert_eq!(pattern.captures(text.as_bytes()).is_some(), expected);
            let replaced = pattern.replacen(text.as_bytes(), 1, "!".as_bytes());
            assert_eq!(replaced != text.as_bytes(), expected, "{text}");
        };
        check("^(?!/api)/", "/apis", false);
        check("^(?!/api)/", "/ap", true);
        check("^(?!/api)/", "x/ap", false);
        check("(?i)^(?!/api)/", "/API", false);
        check("(?i)^(?=.*b)(?!.*c)a", "AxB", true);
        check("(?i)^(?=.*b)(?!.*c)a", "AxBc", false);
        check(r"^(?![)]|a\))(?:x|\))", ")", false);
        check(r"^(?![)]|a\))(?:x|\))", "x", true);
    }

    #[test]
    fn a_byte_that_is_no_character_hides_nothing() {
        let check = |pattern: &str, text: &[u8], expected: bool| {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.is_match(text), expected, "{pattern:?} {text:?}");
        };
        check("bad.*bot", b"bad\xffbot", true);
        check("bad.*bot", b"\xff bad bot", true);
        check("^(.*)$", b"\xff\xfe", true);
        check("^..$", b"\xff\xfe", true);
        check(r"^\w+$", b"a\xff", false);
        check("^(?!.*evil)", b"\xffevil", false);
        check("é.", "é\u{fffd}".as_bytes(), true);
        check("é.", b"\xc3\xa9\xff", true);
        check("(?-u)^..$", b"\xff\xfe", true);
        check(r"(?-u)^\xff", b"\xffa", true);
        check(r"(?s-u)^\xff", b"\xffa", true);
        check("(?i)BAD.bot", b"bad\xffbot", true);
    }

    #[test]
    fn look_around_elsewhere() {
        for text in [
            "a(?!b)",
            "^a(?!b)",
            "^(?!a",
            "^(?!a)b|c",
            "(?<!a)b",
            "(a)^(?!b)",
        ] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ends_of_groups() {
        for (text, end) in [
            ("(a)b", Some(2)),
            (r"(\)[)](c))d", Some(9)),
            ("([^])])", Some(6)),
            ("([[:alpha:])])", Some(13)),
            ("(a", None),
        ] {
            assert_eq!(group_end(text), end, "{text}");
        }
    }
}
