//! Conditions of rules.

use super::Lowering;
use crate::cloudformation::object::Object;
use ipnet::IpNet;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Condition, Expression, Matcher, Test, TextMatch, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Values of all conditions of a rule, and wildcards in them.
const MAX_VALUES: usize = 5;

impl Lowering<'_, '_, '_> {
    /// The condition that a rule's conditions make together; `None`: one is wrong.
    pub(super) fn condition(
        &mut self,
        conditions: &[Object],
        span: Span,
    ) -> Option<Condition<Named>> {
        let mut parts = Vec::new();
        for object in conditions {
            parts.push(self.one_condition(object)?);
        }
        if parts.is_empty() {
            self.error(Code::Missing, span, "a rule has at least one condition");
            return None;
        }
        Some(match parts.len() {
            1 => parts.pop()?,
            _ => Condition::All(parts),
        })
    }

    fn one_condition(&mut self, object: &Object) -> Option<Condition<Named>> {
        let Some(field) = object.text("Field") else {
            self.error(Code::Missing, object.span, "a condition has no `Field`");
            return None;
        };
        let config = match field.value {
            "host-header" => "HostHeaderConfig",
            "path-pattern" => "PathPatternConfig",
            "http-header" => "HttpHeaderConfig",
            "http-request-method" => "HttpRequestMethodConfig",
            "query-string" => "QueryStringConfig",
            _ => "SourceIpConfig",
        };
        let own = object.object(config);
        let values = match own.map(|own| own.texts("Values")) {
            Some(values) if !values.is_empty() => values,
            _ => object.texts("Values"),
        };
        let patterns = match own.map(|own| own.texts("RegexValues")) {
            Some(patterns) if !patterns.is_empty() => patterns,
            _ => object.texts("RegexValues"),
        };
        let pairs = own.map_or(&[][..], |own| own.objects("Values"));
        let count = values.len() + patterns.len() + pairs.len();
        if count == 0 {
            let message = format!("the condition `{}` has no values", field.value);
            self.error(Code::Missing, object.span, message);
            return None;
        }
        if count > MAX_VALUES {
            let message =
                format!("a condition has at most {MAX_VALUES} values, and this has {count}");
            let many = Diagnostic::warning(Code::OutOfRange, object.span, message);
            self.found.push(many.help("AWS refuses it; here it works"));
        }
        match field.value {
            "host-header" => Some(texts(Value::Host, values, patterns, true, object.span)),
            "path-pattern" => Some(texts(Value::Path, values, patterns, false, object.span)),
            "http-header" => {
                let Some(name) = own.and_then(|own| own.text("HttpHeaderName")) else {
                    let message = "the condition `http-header` has no `HttpHeaderName`";
                    self.error(Code::Missing, object.span, message);
                    return None;
                };
                let header = Value::Header(name.value.to_owned());
                Some(texts(header, values, patterns, true, object.span))
            }
            "http-request-method" => {
                let any_of = values.iter().map(|value| value.value.clone()).collect();
                let matcher = Matcher::Text {
                    how: TextMatch::Exact,
                    any_of,
                    ignore_case: false,
                };
                Some(test(Value::Method, matcher, object.span))
            }
            "query-string" => Some(query(pairs, object.span)),
            _ => self.sources(values, object.span),
        }
    }

    fn sources(&mut self, values: &[Spanned<String>], span: Span) -> Option<Condition<Named>> {
        let mut any_of = Vec::new();
        for value in values {
            any_of.push(self.network(value.as_ref().map(String::as_str))?);
        }
        Some(test(Value::Source, Matcher::Address { any_of }, span))
    }

    /// A network of addresses.
    pub(super) fn network(&mut self, text: Spanned<&str>) -> Option<IpNet> {
        match text.value.parse::<IpNet>() {
            Ok(network) => Some(network.trunc()),
            Err(_) => {
                let message = format!("`{}` is no network of addresses", text.value);
                let wrong = Diagnostic::error(Code::WrongType, text.span, message);
                self.found.push(
                    wrong.help("write for example 10.0.0.0/8, or 10.1.2.3/32 for one address"),
                );
                None
            }
        }
    }
}

/// One of the globs or patterns fits.
fn texts(
    value: Value<Named>,
    globs: &[Spanned<String>],
    patterns: &[Spanned<String>],
    ignore_case: bool,
    span: Span,
) -> Condition<Named> {
    let mut parts = Vec::new();
    if !globs.is_empty() {
        let wild = globs.iter().any(|glob| glob.value.contains(['*', '?']));
        let how = if wild {
            TextMatch::Glob
        } else {
            TextMatch::Exact
        };
        let any_of = globs.iter().map(|glob| match ignore_case {
            true => glob.value.to_ascii_lowercase(),
            false => glob.value.clone(),
        });
        let matcher = Matcher::Text {
            how,
            any_of: any_of.collect(),
            ignore_case,
        };
        parts.push(test(value.clone(), matcher, span));
    }
    if !patterns.is_empty() {
        let any_of = patterns.to_vec();
        parts.push(test(value, Matcher::Regex { any_of }, span));
    }
    match parts.len() {
        1 => parts.pop().unwrap_or(Condition::Any(Vec::new())),
        _ => Condition::Any(parts),
    }
}

/// An argument of the query fits one of these.
fn query(pairs: &[Object], span: Span) -> Condition<Named> {
    let any_of = pairs.iter().map(|pair| {
        let key = pair.text("Key").map_or("*", |it| it.value);
        let value = pair.text("Value").map_or("*", |it| it.value);
        let pattern = format!("(?i)(^|&){}={}(&|$)", glob(key), glob(value));
        Spanned::new(pattern, pair.span)
    });
    let any_of = any_of.collect();
    test(Value::Query, Matcher::Regex { any_of }, span)
}

/// A glob as a regular expression; a backslash before `*` and `?` takes away their meaning.
fn glob(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some(next @ ('*' | '?' | '\\'))) => {
                out.push('\\');
                out.push(*next);
                letters.next();
            }
            ('*', _) => out.push_str("[^&]*"),
            ('?', _) => out.push_str("[^&]"),
            _ if letter.is_ascii_punctuation() => {
                out.push('\\');
                out.push(letter);
            }
            _ => out.push(letter),
        }
    }
    out
}

fn test(value: Value<Named>, matcher: Matcher<Named>, span: Span) -> Condition<Named> {
    let expression = Expression::from(value);
    Condition::Test(Spanned::new(
        Test {
            expression,
            matcher,
        },
        span,
    ))
}
