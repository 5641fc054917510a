//! Values of options, each with its place.

use super::Kind;
use portway_model::span::{Span, Spanned};
use std::time::Duration;

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<Spanned<String>>),
    Flag(bool),
    Number(i64),
    Duration(Duration),
    Section(Section),
    Objects(Vec<Section>),
    Map(Vec<(Spanned<String>, Spanned<String>)>),
}

/// Options with their values, in the order of the text.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) span: Span,
    pub(crate) entries: Vec<Entry>,
}

/// An option with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// As the reference spells it, or as the user does where it is a name of theirs.
    pub(crate) name: String,
    pub(crate) key: Span,
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// Two sections say the same where their options do, wherever and in which order they stand.
impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.entries.iter().all(|entry| {
                let there = other.get(&entry.name);
                there.is_some_and(|there| there.value == entry.value)
            })
    }
}

impl Section {
    pub(crate) fn new(span: Span) -> Self {
        Self {
            span,
            entries: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: String, key: Span, span: Span, value: Value) {
        self.entries.push(Entry {
            name,
            key,
            span,
            value,
        });
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Entry> {
        let place = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(place))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The section of this name; of several with dots between them, the last.
    pub(crate) fn section(&self, path: &str) -> Option<&Section> {
        path.split('.')
            .try_fold(self, |section, name| match &section.get(name)?.value {
                Value::Section(inner) => Some(inner),
                _ => None,
            })
    }

    /// The objects of a section with names of the user's.
    pub(crate) fn named(&self, path: &str) -> impl Iterator<Item = (&Entry, &Section)> {
        let entries = self.section(path).map(|section| section.entries.as_slice());
        entries
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| match &entry.value {
                Value::Section(inner) => Some((entry, inner)),
                _ => None,
            })
    }

    pub(crate) fn text(&self, name: &str) -> Option<Spanned<&str>> {
        let entry = self.get(name)?;
        match &entry.value {
            Value::Text(text) => Some(Spanned::new(text.as_str(), entry.span)),
            _ => None,
        }
    }

    /// As `text`; an empty one is none.
    pub(crate) fn some_text(&self, name: &str) -> Option<Spanned<&str>> {
        self.text(name).filter(|text| !text.value.is_empty())
    }

    pub(crate) fn list(&self, name: &str) -> &[Spanned<String>] {
        match self.get(name).map(|entry| &entry.value) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    pub(crate) fn map(&self, name: &str) -> &[(Spanned<String>, Spanned<String>)] {
        match self.get(name).map(|entry| &entry.value) {
            Some(Value::Map(map)) => map,
            _ => &[],
        }
    }

    pub(crate) fn objects(&self, name: &str) -> &[Section] {
        match self.get(name).map(|entry| &entry.value) {
            Some(Value::Objects(list)) => list,
            _ => &[],
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Option<Spanned<bool>> {
        let entry = self.get(name)?;
        match entry.value {
            Value::Flag(flag) => Some(Spanned::new(flag, entry.span)),
            _ => None,
        }
    }

    /// True where it is said and true.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.flag(name).is_some_and(|flag| flag.value)
    }

    pub(crate) fn number(&self, name: &str) -> Option<Spanned<i64>> {
        let entry = self.get(name)?;
        match entry.value {
            Value::Number(number) => Some(Spanned::new(number, entry.span)),
            _ => None,
        }
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Spanned<Duration>> {
        let entry = self.get(name)?;
        match entry.value {
            Value::Duration(duration) => Some(Spanned::new(duration, entry.span)),
            _ => None,
        }
    }
}

/// A value of one of the plain types.
pub(super) fn typed(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Flag => flag(text).map(Value::Flag),
        Kind::Number => text.trim().parse().ok().map(Value::Number),
        Kind::Duration => duration(text.trim()).map(Value::Duration),
        _ => None,
    }
}

/// What messages call the type.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::List => "a list of texts",
        Kind::Flag => "`true` or `false`",
        Kind::Number => "a number",
        Kind::Duration => "a duration",
        Kind::Section | Kind::Free => "a table of options",
        Kind::Objects => "a list of tables",
        Kind::Names => "a table of names",
        Kind::Map => "a table of texts",
    }
}

/// As Go reads a boolean.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// As Go reads a duration; a number alone counts seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|it: char| it.is_ascii_digit() || it == '.');
        let (unit, after) = after.split_at_checked(end.unwrap_or(after.len()))?;
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("42", Some(42_000)),
            ("42s", Some(42_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5s", Some(1_500)),
            ("0", Some(0)),
            ("", None),
            ("5", Some(5_000)),
            ("-1s", None),
            ("5x", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
