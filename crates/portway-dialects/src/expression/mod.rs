//! Values, conditions and templates as text: reads like Traefik's rules, extended with comparisons of values.
//!
//! ```text
//! Host(`a.example`) && (PathPrefix(`/api`) || header(`X-Team`).lower() == `blue`)
//! counter(request_rate, tracked(0)) > 100 && !(source in `10.0.0.0/8`)
//! ```
//!
//! [`condition`] and [`template`] are what dialects call; [`parse`] and [`print()`] do the same for one
//! expression. Everything is one recursive descent over a [`Written`] text, with a limit on depth and length.
//! Parsing what was printed gives the same again.

pub mod condition;
mod cursor;
mod matcher;
pub mod template;
mod transform;
mod value;
mod words;

use cursor::Cursor;
pub(crate) use matcher::{network as read_network, print_network};
use portway_model::diagnostic::Diagnostics;
use portway_model::expression::{Counter, Expression, Scope, Variable};
use portway_model::span::Span;
use portway_model::stage::Named;
use std::ops::Range;
pub(crate) use transform::MQTT_PARTS;
pub(crate) use value::ENDS;
pub(crate) use words::PRIORITY_PARTS;

/// Longest text of one condition, expression or template, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// How deep parentheses, negations and nested values may go.
pub const MAX_DEPTH: usize = 64;

/// A text to be read, and where it stands in its file.
#[derive(Debug, Clone, Copy)]
pub struct Written<'t> {
    /// The text itself, after the escapes of the file's language.
    pub text: &'t str,
    /// Where it stands, without quotes where `exact`.
    pub span: Span,
    /// Each byte of `text` stands as it is in the file, from the start of `span`. Else messages point at the
    /// whole.
    pub exact: bool,
}

impl<'t> Written<'t> {
    /// A text that no file holds.
    pub fn bare(text: &'t str) -> Self {
        Self {
            text,
            span: Span::NONE,
            exact: false,
        }
    }

    /// Where a part of the text stands in the file.
    pub fn part(&self, range: Range<usize>) -> Span {
        if !self.exact {
            return self.span;
        }
        let start = self.span.start as usize;
        Span::new(self.span.file, start + range.start..start + range.end)
    }
}

/// Reads one expression. `None` where it is wrong: `found` then says why.
pub fn parse(written: Written<'_>, found: &mut Diagnostics) -> Option<Expression<Named>> {
    let mut cursor = Cursor::new(written, found)?;
    let expression = cursor.expression().ok()?;
    cursor.end("the end of the expression").ok()?;
    Some(expression)
}

/// The canonical text of an expression.
pub fn print(expression: &Expression<Named>) -> String {
    let mut out = String::new();
    write_expression(&mut out, expression);
    out
}

/// Reads a counter's name as it stands in `store` of a stick table.
pub fn parse_counter(written: Written<'_>, found: &mut Diagnostics) -> Option<Counter> {
    let mut cursor = Cursor::new(written, found)?;
    let counter = cursor.counter().ok()?;
    cursor.end("the end of the counter").ok()?;
    Some(counter)
}

/// The text of a counter.
pub fn print_counter(counter: Counter) -> String {
    let mut out = String::new();
    value::write_counter(&mut out, counter);
    out
}

/// The word of a variable's scope.
pub(crate) fn scope_word(variable: &Variable) -> &'static str {
    value::word_of(value::SCOPES, &variable.scope)
}

/// The scope of this word.
pub(crate) fn scope_named(word: &str) -> Option<Scope> {
    let found = value::SCOPES.iter().find(|(known, _)| *known == word);
    found.map(|(_, scope)| *scope)
}

/// The words of scopes.
pub(crate) fn scopes() -> impl Iterator<Item = &'static str> {
    value::SCOPES.iter().map(|(word, _)| *word)
}

/// Every name that the text of expressions knows, for the reference to be held against.
pub fn vocabulary() -> Vec<&'static str> {
    let mut words = Vec::new();
    words.extend(value::PLAIN.iter().map(|(word, _)| *word));
    words.extend(value::FUNCTIONS.iter().map(|(word, _)| *word));
    words.extend(value::CERTIFICATE_FIELDS.iter().map(|(word, _)| *word));
    words.extend(value::PROXY_FIELDS.iter().map(|(word, _)| *word));
    words.extend(value::CERTIFICATE_PARTS);
    words.push(value::CERTIFICATE_INFO);
    words.extend(value::CERTIFICATE_INFOS.iter().map(|(word, _)| *word));
    words.extend(value::LOG_VALUES.iter().map(|(word, _)| *word));
    words.extend(value::COUNTERS.iter().map(|(word, _)| *word));
    words.extend(value::NUMBERED_COUNTERS);
    words.extend(value::SCOPES.iter().map(|(word, _)| *word));
    words.extend(value::GROUP_FIGURES.iter().map(|(word, _)| *word));
    words.extend(value::TARGET_FIGURES.iter().map(|(word, _)| *word));
    words.extend(transform::HASHES.iter().map(|(word, _)| *word));
    words.extend(transform::DIGESTS.iter().map(|(word, _)| *word));
    words.extend(transform::JSON_CHARSETS.iter().map(|(word, _)| *word));
    words.extend(transform::METHODS.iter().map(|(word, _)| *word));
    words.extend(matcher::TEXT_WORDS.iter().map(|(word, _)| *word));
    words.extend(matcher::OTHER_WORDS);
    words.extend(condition::SHORT_FORMS.iter().map(|(word, _)| *word));
    words.extend(condition::WORDS);
    words
}

impl Cursor<'_, '_> {
    /// A value with its transforms.
    pub(crate) fn expression(&mut self) -> cursor::Parsed<Expression<Named>> {
        self.deeper(|cursor| {
            let value = cursor.value()?;
            let mut transforms = Vec::new();
            while cursor.takes(".")? {
                transforms.push(cursor.transform()?);
            }
            Ok(Expression { value, transforms })
        })
    }
}

pub(crate) fn write_expression(out: &mut String, expression: &Expression<Named>) {
    value::write_value(out, &expression.value);
    for transform in &expression.transforms {
        out.push('.');
        transform::write_transform(out, transform);
    }
}

/// Writes a text literal: in backticks where they can hold it, else in double quotes with escapes.
pub(crate) fn write_text(out: &mut String, text: &str) {
    if !text.chars().any(|c| c == '`' || c.is_control()) {
        out.push('`');
        out.push_str(text);
        out.push('`');
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => write_plain(out, format_args!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes any displayable thing.
pub(crate) fn write_plain(out: &mut String, thing: impl std::fmt::Display) {
    out.push_str(&thing.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_read() {
        for (name, shape) in value::FUNCTIONS {
            let shape = match *name {
                "tracked" | "entry" => format!("counter(requests, {shape})"),
                _ => (*shape).to_owned(),
            };
            let mut found = Diagnostics::default();
            let expression = parse(Written::bare(&shape), &mut found);
            assert!(expression.is_some(), "{shape}: {found:?}");
        }
        for (_, shape) in transform::METHODS {
            let mut found = Diagnostics::default();
            let expression = parse(Written::bare(&format!("path.{shape}")), &mut found);
            assert!(expression.is_some(), "{shape}: {found:?}");
        }
        for (_, shape) in condition::SHORT_FORMS {
            let mut found = Diagnostics::default();
            let condition = condition::parse(Written::bare(shape), &mut found);
            let printed = condition.as_ref().map(condition::print);
            assert_eq!(printed.as_deref(), Some(*shape), "{found:?}");
        }
    }
}
