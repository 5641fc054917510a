//! Conditions: `&&`, `||`, `!`, parentheses, comparisons and Traefik's short forms.
//!
//! A short form is printed wherever a test equals what the short form gives. `Host` compares without case,
//! and with a `*` or `?` in one of its names by glob, where `*` stands for any run of characters as on an ALB:
//! `*.example.com` also holds for `a.b.example.com`.

use super::cursor::{Cursor, Parsed};
use super::matcher::{network, print_network, write_matcher};
use super::transform::write_call;
use super::{Written, write_expression};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::expression::{Condition, Expression, Matcher, Test, TextMatch, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Short forms, and how they are written.
pub(crate) const SHORT_FORMS: &[(&str, &str)] = &[
    ("Host", "Host(`a.example`)"),
    ("HostRegexp", "HostRegexp(`PATTERN`)"),
    ("Path", "Path(`/a`)"),
    ("PathPrefix", "PathPrefix(`/a`)"),
    ("PathRegexp", "PathRegexp(`PATTERN`)"),
    ("Method", "Method(`GET`)"),
    ("Header", "Header(`NAME`, `VALUE`)"),
    ("HeaderRegexp", "HeaderRegexp(`NAME`, `PATTERN`)"),
    ("Query", "Query(`NAME`, `VALUE`)"),
    ("QueryRegexp", "QueryRegexp(`NAME`, `PATTERN`)"),
    ("ClientIP", "ClientIP(`10.0.0.0/8`)"),
];

/// Conditions that are words; `all` and `any` take a list in parentheses.
pub(crate) const WORDS: [&str; 4] = ["always", "never", "all", "any"];

/// Reads a condition. `None` where it is wrong: `found` then says why.
pub fn parse(written: Written<'_>, found: &mut Diagnostics) -> Option<Condition<Named>> {
    let mut cursor = Cursor::new(written, found)?;
    let condition = cursor.condition().ok()?;
    cursor.end("`&&`, `||` or the end").ok()?;
    (!cursor.failed).then_some(condition)
}

/// The canonical text of a condition.
pub fn print(condition: &Condition<Named>) -> String {
    let mut out = String::new();
    write_condition(&mut out, condition);
    out
}

impl Cursor<'_, '_> {
    fn condition(&mut self) -> Parsed<Condition<Named>> {
        self.deeper(|cursor| {
            let first = cursor.conjunction()?;
            if !cursor.is("||") {
                return Ok(first);
            }
            let mut parts = vec![first];
            while cursor.takes("||")? {
                parts.push(cursor.conjunction()?);
            }
            Ok(Condition::Any(parts))
        })
    }

    fn conjunction(&mut self) -> Parsed<Condition<Named>> {
        let first = self.negation()?;
        if !self.is("&&") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.takes("&&")? {
            parts.push(self.negation()?);
        }
        Ok(Condition::All(parts))
    }

    fn negation(&mut self) -> Parsed<Condition<Named>> {
        if self.takes("!")? {
            let inner = self.deeper(Self::negation)?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.takes("(")? {
            let inner = self.condition()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let (start, depth) = (self.start(), self.depth());
        match self.test() {
            Ok(test) => Ok(test),
            // The others are looked at too.
            Err(_) => {
                self.return_to(depth);
                self.skip_from(start, &["&&", "||", ")", ","])?;
                Ok(Condition::All(Vec::new()))
            }
        }
    }

    fn test(&mut self) -> Parsed<Condition<Named>> {
        let start = self.start();
        if let Some(word) = self.word() {
            match word {
                "always" | "never" | "all" | "any" => return self.list_of(word),
                _ if word.starts_with(|c: char| c.is_ascii_uppercase()) => {
                    return self.short_form(word, start);
                }
                _ => {}
            }
        }
        let expression = self.expression()?;
        let (matcher, negated) = self.matcher()?;
        let test = Test {
            expression,
            matcher,
        };
        let test = Condition::Test(Spanned::new(test, self.since(start)));
        Ok(match negated {
            true => Condition::Not(Box::new(test)),
            false => test,
        })
    }

    /// `always`, `never`, `all(…)`, `any(…)`.
    fn list_of(&mut self, word: &str) -> Parsed<Condition<Named>> {
        self.advance()?;
        match word {
            "always" => return Ok(Condition::All(Vec::new())),
            "never" => return Ok(Condition::Any(Vec::new())),
            _ => {}
        }
        self.expect("(")?;
        let mut parts = Vec::new();
        while !self.is(")") {
            parts.push(self.condition()?);
            if !self.takes(",")? && !self.is(")") {
                return self.unexpected("`,` or `)`");
            }
        }
        self.advance()?;
        Ok(match word {
            "all" => Condition::All(parts),
            _ => Condition::Any(parts),
        })
    }

    fn short_form(&mut self, word: &str, start: usize) -> Parsed<Condition<Named>> {
        let Some((_, shape)) = SHORT_FORMS.iter().find(|(known, _)| *known == word) else {
            let known = SHORT_FORMS.iter().map(|(known, _)| *known);
            return self.unknown("condition", word, known.chain(habits(word)));
        };
        self.advance()?;
        self.expect("(")?;
        let mut arguments = Vec::new();
        loop {
            arguments.push(self.text("a text")?);
            if !self.takes(",")? {
                break;
            }
        }
        self.expect(")")?;
        let span = self.since(start);
        let test = match build(word, arguments) {
            Ok(test) => test,
            Err(Refusal::Arguments) => {
                let message = format!("wrong number of arguments for `{word}`");
                let diagnostic = Diagnostic::error(Code::Syntax, span, message);
                return self.stop(diagnostic.help(format!("write for example {shape}")));
            }
            Err(Refusal::Network(text, span)) => {
                let message = format!("`{text}` is not an address or a network");
                let diagnostic = Diagnostic::error(Code::OutOfRange, span, message);
                return self.stop(diagnostic.help("write for example 10.0.0.0/8"));
            }
        };
        Ok(Condition::Test(Spanned::new(test, span)))
    }
}

/// Other spellings of short forms, to suggest from.
fn habits(word: &str) -> Option<&'static str> {
    match word {
        "HostRegex" => Some("HostRegexp"),
        "PathRegex" => Some("PathRegexp"),
        "Headers" => Some("Header"),
        "HeadersRegexp" | "HeaderRegex" => Some("HeaderRegexp"),
        _ => None,
    }
}

enum Refusal {
    Arguments,
    Network(String, Span),
}

/// The test that a short form stands for.
fn build(word: &str, mut arguments: Vec<(String, Span)>) -> Result<Test<Named>, Refusal> {
    let keyed = matches!(word, "Header" | "HeaderRegexp" | "Query" | "QueryRegexp");
    let key = if keyed && !arguments.is_empty() {
        arguments.remove(0).0
    } else {
        String::new()
    };
    let value = match word {
        "Host" | "HostRegexp" => Value::Host,
        "Path" | "PathPrefix" | "PathRegexp" => Value::Path,
        "Method" => Value::Method,
        "Header" | "HeaderRegexp" => Value::Header(key),
        "Query" | "QueryRegexp" => Value::QueryParameter(key),
        _ => Value::Source,
    };
    let matcher = match word {
        "Header" | "Query" if arguments.is_empty() => Matcher::Present,
        _ if arguments.is_empty() => return Err(Refusal::Arguments),
        "Host" if arguments.iter().any(|(text, _)| has_wildcard(text)) => {
            text_matcher(TextMatch::Glob, arguments, true)
        }
        "Host" => text_matcher(TextMatch::Exact, arguments, true),
        "PathPrefix" => text_matcher(TextMatch::Prefix, arguments, false),
        "HostRegexp" | "PathRegexp" | "HeaderRegexp" | "QueryRegexp" => Matcher::Regex {
            any_of: arguments
                .into_iter()
                .map(|(text, span)| Spanned::new(text, span))
                .collect(),
        },
        "ClientIP" => Matcher::Address {
            any_of: arguments
                .into_iter()
                .map(|(text, span)| network(&text).ok_or(Refusal::Network(text, span)))
                .collect::<Result<_, _>>()?,
        },
        _ => text_matcher(TextMatch::Exact, arguments, false),
    };
    Ok(Test {
        expression: Expression::from(value),
        matcher,
    })
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn text_matcher(how: TextMatch, texts: Vec<(String, Span)>, ignore_case: bool) -> Matcher<Named> {
    Matcher::Text {
        how,
        any_of: texts.into_iter().map(|(text, _)| text).collect(),
        ignore_case,
    }
}

fn write_condition(out: &mut String, condition: &Condition<Named>) {
    match condition {
        Condition::All(parts) => write_parts(out, parts, "always", "all", " && "),
        Condition::Any(parts) => write_parts(out, parts, "never", "any", " || "),
        Condition::Not(inner) => write_negation(out, inner),
        Condition::Test(test) => write_test(out, &test.value),
    }
}

fn write_parts(
    out: &mut String,
    parts: &[Condition<Named>],
    empty: &str,
    single: &str,
    operator: &str,
) {
    match parts {
        [] => out.push_str(empty),
        [one] => {
            out.push_str(single);
            out.push('(');
            write_condition(out, one);
            out.push(')');
        }
        several => {
            for (i, part) in several.iter().enumerate() {
                if i > 0 {
                    out.push_str(operator);
                }
                write_grouped(out, part);
            }
        }
    }
}

/// A part of a list; a list within a list stands in parentheses.
fn write_grouped(out: &mut String, part: &Condition<Named>) {
    match part {
        Condition::All(parts) | Condition::Any(parts) if parts.len() > 1 => {
            out.push('(');
            write_condition(out, part);
            out.push(')');
        }
        _ => write_condition(out, part),
    }
}

fn write_negation(out: &mut String, inner: &Condition<Named>) {
    if let Condition::Test(test) = inner {
        let test = &test.value;
        if short_form(test).is_some() || test.matcher == Matcher::True {
            out.push('!');
            return write_test(out, test);
        }
        if let Some(compared) = equality(&test.matcher) {
            write_expression(out, &test.expression);
            out.push_str(" !=");
            return out.push_str(&compared);
        }
        out.push_str("!(");
        write_test(out, test);
        return out.push(')');
    }
    out.push('!');
    write_grouped(out, inner);
}

/// What follows `==` where the matcher is printed with it.
fn equality(matcher: &Matcher<Named>) -> Option<String> {
    let mut text = String::new();
    write_matcher(&mut text, matcher);
    text.strip_prefix(" ==").map(str::to_owned)
}

fn write_test(out: &mut String, test: &Test<Named>) {
    if let Some((word, arguments)) = short_form(test) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        return write_call(out, word, &arguments);
    }
    write_expression(out, &test.expression);
    write_matcher(out, &test.matcher);
}

/// The short form that gives exactly this test.
fn short_form(test: &Test<Named>) -> Option<(&'static str, Vec<String>)> {
    if !test.expression.transforms.is_empty() {
        return None;
    }
    let (words, key): (&[&'static str], Option<&String>) = match &test.expression.value {
        Value::Host => (&["Host", "HostRegexp"], None),
        Value::Path => (&["Path", "PathPrefix", "PathRegexp"], None),
        Value::Method => (&["Method"], None),
        Value::Source => (&["ClientIP"], None),
        Value::Header(name) => (&["Header", "HeaderRegexp"], Some(name)),
        Value::QueryParameter(name) => (&["Query", "QueryRegexp"], Some(name)),
        _ => return None,
    };
    let values: Vec<String> = match &test.matcher {
        Matcher::Present => Vec::new(),
        Matcher::Text { any_of, .. } => any_of.clone(),
        Matcher::Regex { any_of } => any_of.iter().map(|p| p.value.clone()).collect(),
        Matcher::Address { any_of } => any_of.iter().map(print_network).collect(),
        Matcher::True | Matcher::Number { .. } | Matcher::Listed { .. } => return None,
    };
    let arguments: Vec<String> = key.cloned().into_iter().chain(values).collect();
    let placed = |text: &String| (text.clone(), Span::NONE);
    words
        .iter()
        .find(|word| {
            build(word, arguments.iter().map(placed).collect())
                .is_ok_and(|candidate| candidate == *test)
        })
        .map(|word| (*word, arguments))
}
