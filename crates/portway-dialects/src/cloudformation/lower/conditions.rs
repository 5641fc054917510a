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
/// What else may be said of something that works here.
const REFUSED_THERE: &str = "AWS refuses it; here it works";
/// Where the values of each field stand.
const CONFIGS: [&str; 6] = [
    "HostHeaderConfig",
    "PathPatternConfig",
    "HttpHeaderConfig",
    "HttpRequestMethodConfig",
    "QueryStringConfig",
    "SourceIpConfig",
];

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
        self.repeated(conditions)?;
        self.amounts(conditions, span);
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
        self.no_other(object, field, config)?;
        let values = match own.map(|own| own.texts("Values")) {
            Some(values) if !values.is_empty() => values,
            _ => object.texts("Values"),
        };
        let patterns = match own.map(|own| own.texts("RegexValues")) {
            Some(patterns) if !patterns.is_empty() => patterns,
            _ => object.texts("RegexValues"),
        };
        let pairs = own.map_or(&[][..], |own| own.objects("Values"));
        if values.is_empty() && patterns.is_empty() && pairs.is_empty() {
            let message = format!("the condition `{}` has no values", field.value);
            self.error(Code::Missing, object.span, message);
            return None;
        }
        match field.value {
            "host-header" => {
                for value in values.iter().filter(|it| !it.value.contains('.')) {
                    let message = format!("a host has a dot, and `{}` has none", value.value);
                    let bare = Diagnostic::warning(Code::OutOfRange, value.span, message);
                    self.found.push(bare.help(REFUSED_THERE));
                }
                Some(texts(Value::Host, values, patterns, true, object.span))
            }
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

    /// Values stand in one place, and no configuration of another field is there.
    fn no_other(&mut self, object: &Object, field: Spanned<&str>, config: &str) -> Option<()> {
        for other in CONFIGS.into_iter().filter(|it| *it != config) {
            if let Some(place) = object.place(other) {
                let message = format!(
                    "`{other}` does not belong to the condition `{}`",
                    field.value
                );
                self.error(Code::Conflict, place, message);
                return None;
            }
        }
        let own = object.place(config);
        for short in ["Values", "RegexValues"] {
            if let (Some(place), Some(own)) = (object.place(short), own) {
                let message = format!("a condition has either `{short}` or `{config}`");
                let both = Diagnostic::error(Code::Conflict, place, message);
                self.found.push(both.label(own, "the other is here"));
                return None;
            }
        }
        Some(())
    }

    /// Only conditions on headers and on the query may stand several times in a rule.
    fn repeated(&mut self, conditions: &[Object]) -> Option<()> {
        let fields: Vec<Spanned<&str>> = conditions
            .iter()
            .filter_map(|it| it.text("Field"))
            .collect();
        for (index, field) in fields.iter().enumerate() {
            let mut before = fields.iter().take(index);
            let first = before.find(|it| it.value == field.value);
            let many = matches!(field.value, "http-header" | "query-string");
            if let Some(first) = first.filter(|_| !many) {
                let message = format!(
                    "a rule has one condition `{}`, with all its values",
                    field.value
                );
                let twice = Diagnostic::error(Code::Duplicate, field.span, message);
                self.found
                    .push(twice.label(first.span, "the other is here"));
                return None;
            }
        }
        Some(())
    }

    /// How much a rule of AWS may have.
    fn amounts(&mut self, conditions: &[Object], span: Span) {
        let lists = conditions.iter().flat_map(|it| {
            let inner = CONFIGS.iter().filter_map(|name| it.object(name));
            [it].into_iter().chain(inner)
        });
        let mut values = 0;
        let mut wildcards = 0;
        for object in lists {
            let texts = object.texts("Values").iter().map(|it| it.value.as_str());
            let pairs = object.objects("Values").iter();
            let halves = pairs.flat_map(|pair| ["Key", "Value"].map(|name| pair.text(name)));
            let halves = halves.flatten().map(|it| it.value);
            values += object.texts("Values").len() + object.objects("Values").len();
            values += object.texts("RegexValues").len();
            let all = texts.chain(halves);
            wildcards += all
                .map(|text| text.matches(['*', '?']).count())
                .sum::<usize>();
        }
        for (count, what) in [(values, "values"), (wildcards, "wildcards")] {
            if count > MAX_VALUES {
                let message =
                    format!("a rule has at most {MAX_VALUES} {what}, and this has {count}");
                let many = Diagnostic::warning(Code::OutOfRange, span, message);
                self.found.push(many.help(REFUSED_THERE));
            }
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
