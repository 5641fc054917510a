//! Comparisons that can never hold, because no request and no response has such a value.
//!
//! What is never sent is known from the grammar of HTTP and from how a [`Value`] is made: a host has no port, a path
//! begins with a slash. A comparison is named only where nothing was done to the value, so that no transform needs to
//! be understood. The one hard thing is to stay silent about what may come: an unusual method, the path `*`.

use super::text::is_token;
use crate::expression::{Matcher, NumberRange, Test, TextMatch, Value};
use crate::stage::Stage;
use std::net::Ipv6Addr;

/// What never is, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Never {
    pub(super) message: String,
    pub(super) help: String,
}

impl Never {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// Methods of RFC 9110 section 9 and RFC 5789, for which a text in other letters was meant.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
/// What [`Value::Scheme`] gives.
const SCHEMES: [&str; 2] = ["http", "https"];
/// What [`Value::HttpVersion`] gives.
const HTTP_VERSIONS: [&str; 4] = ["1.0", "1.1", "2.0", "3.0"];
/// What [`Value::TlsVersion`] gives.
const TLS_VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];
/// Status codes, RFC 9110 section 15.
const STATUSES: NumberRange = NumberRange { min: 100, max: 599 };
/// Ports of TCP, RFC 9293 section 3.1.
const PORTS: NumberRange = NumberRange {
    min: 0,
    max: 65_535,
};

/// Every operand of a test that its value never fits.
pub(super) fn of_test<S: Stage>(test: &Test<S>) -> Vec<Never> {
    if !test.expression.transforms.is_empty() {
        return Vec::new();
    }
    let value = &test.expression.value;
    match &test.matcher {
        Matcher::Text {
            how,
            any_of,
            ignore_case,
        } => {
            let texts = any_of.iter();
            texts
                .filter_map(|text| of_text(value, *how, text, *ignore_case))
                .collect()
        }
        Matcher::Number { any_of } => {
            let ranges = any_of.iter().filter(|range| range.min <= range.max);
            ranges.filter_map(|range| of_number(value, range)).collect()
        }
        Matcher::Present
        | Matcher::True
        | Matcher::Regex { .. }
        | Matcher::Address { .. }
        | Matcher::Listed { .. } => Vec::new(),
    }
}

fn of_text<S: Stage>(
    value: &Value<S>,
    how: TextMatch,
    text: &str,
    ignore_case: bool,
) -> Option<Never> {
    match value {
        Value::Host => of_host(how, text, ignore_case),
        Value::Path => of_path("the path", how, text).or_else(|| path_with_query(how, text)),
        Value::Target => of_path("`target`", how, text),
        Value::Method => of_method(how, text, ignore_case),
        Value::Scheme => of_words("the scheme", &SCHEMES, how, text, ignore_case),
        Value::HttpVersion => of_words("the HTTP version", &HTTP_VERSIONS, how, text, ignore_case),
        Value::TlsVersion => of_words("the TLS version", &TLS_VERSIONS, how, text, ignore_case),
        _ => None,
    }
}

/// RFC 3986 section 3.2.2, in lower case and without the port; an IPv6 address in brackets.
fn of_host(how: TextMatch, text: &str, ignore_case: bool) -> Option<Never> {
    let shown = text.escape_debug();
    if let Some((_, rest)) = text.split_once("://") {
        let host = without_port(rest.split('/').next().unwrap_or(rest));
        return Some(Never::new(
            format!("`{shown}` is a URL, which the host never is"),
            write_instead(host, "the name alone"),
        ));
    }
    if text.contains(['/', '?', '#', '@']) && how != TextMatch::Glob {
        return Some(Never::new(
            format!("`{shown}` is not within a host"),
            "a host has no path: compare `path` too",
        ));
    }
    let whole = matches!(how, TextMatch::Exact | TextMatch::Suffix);
    if whole && text.parse::<Ipv6Addr>().is_ok() {
        return Some(Never::new(
            format!("the host is never `{shown}`: an IPv6 address stands in brackets there"),
            format!("write `[{shown}]`"),
        ));
    }
    let host = without_port(text);
    if host != text {
        return Some(Never::new(
            format!("the host has no port, so it is never `{shown}`"),
            write_instead(
                host,
                "the name alone; `destination_port` is the port that the client connected to",
            ),
        ));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some(Never::new(
            format!("`{shown}` is not within a host"),
            "a host has no white space",
        ));
    }
    if !ignore_case && text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(Never::new(
            format!("the host is in lower case, so it is never `{shown}`"),
            format!("write `{}`", text.to_ascii_lowercase().escape_debug()),
        ));
    }
    None
}

/// `text` before the colon of a port, which need not be a number: a `*` may stand there.
fn without_port(text: &str) -> &str {
    if text.starts_with('[') {
        return match text.split_once("]:") {
            // The bracket was found, so there is a place after it.
            Some((address, _)) => text.get(..=address.len()).unwrap_or(text),
            None => text,
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => text,
    }
}

fn write_instead(text: &str, otherwise: &str) -> String {
    match text.is_empty() {
        true => format!("write {otherwise}"),
        false => format!("write `{}`", text.escape_debug()),
    }
}

/// RFC 9112 section 3.2: what begins otherwise is refused, or is `*` (OPTIONS) or nothing (CONNECT).
fn of_path(what: &str, how: TextMatch, text: &str) -> Option<Never> {
    let (begins, alone): (&[char], _) = match how {
        TextMatch::Exact => (&['/'], "*"),
        TextMatch::Prefix => (&['/'], "*"),
        TextMatch::Glob => (&['/', '*', '?'], "*"),
        TextMatch::Suffix | TextMatch::Contains | TextMatch::Segment | TextMatch::Label => {
            return None;
        }
    };
    if text.is_empty() || text == alone || text.starts_with(begins) {
        return None;
    }
    let shown = text.escape_debug();
    if text.contains("://") {
        return Some(Never::new(
            format!("`{shown}` is a URL, which {what} never is"),
            "compare `host` with the name and `path` with what follows it",
        ));
    }
    let verb = match how {
        TextMatch::Prefix => "begins with",
        _ => "is",
    };
    Some(Never::new(
        format!("{what} begins with a slash, so it never {verb} `{shown}`"),
        format!("write `/{shown}`"),
    ))
}

fn path_with_query(how: TextMatch, text: &str) -> Option<Never> {
    let (path, _) = text.split_once('?')?;
    if how == TextMatch::Glob {
        return None;
    }
    Some(Never::new(
        format!(
            "the path has no query, so `{}` is never in it",
            text.escape_debug()
        ),
        match path.is_empty() {
            true => "compare `query`, or `target` for path and query".to_owned(),
            false => format!(
                "write `{}`, and compare the query with `Query`, or `target` for both",
                path.escape_debug()
            ),
        },
    ))
}

/// RFC 9110 section 9.1: a token, and case counts.
fn of_method(how: TextMatch, text: &str, ignore_case: bool) -> Option<Never> {
    if how != TextMatch::Exact {
        return None;
    }
    let shown = text.escape_debug();
    let upper = text.to_ascii_uppercase();
    let known = METHODS.contains(&upper.as_str());
    if known && !ignore_case && upper != text {
        return Some(Never::new(
            format!("methods are in upper case, so none is `{shown}`"),
            format!("write `{upper}`"),
        ));
    }
    (!is_token(text)).then(|| {
        Never::new(
            format!("`{shown}` is not a method"),
            "a method is one word, such as `GET`; a list means one of",
        )
    })
}

/// A value that is one of a few words.
fn of_words(
    what: &str,
    words: &[&str],
    how: TextMatch,
    text: &str,
    ignore_case: bool,
) -> Option<Never> {
    let is = |word: &&str| match ignore_case {
        true => word.eq_ignore_ascii_case(text),
        false => *word == text,
    };
    if how != TextMatch::Exact || words.iter().any(is) {
        return None;
    }
    let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    Some(Never::new(
        format!("{what} is never `{}`", text.escape_debug()),
        format!("one of {}", list.join(", ")),
    ))
}

fn of_number<S: Stage>(value: &Value<S>, range: &NumberRange) -> Option<Never> {
    let (what, within) = match value {
        Value::Status => ("the status", STATUSES),
        Value::SourcePort => ("the source port", PORTS),
        Value::DestinationPort => ("the destination port", PORTS),
        _ => return None,
    };
    if range.max >= within.min && range.min <= within.max {
        return None;
    }
    let shown = match (range.min, range.max) {
        (min, max) if min == max => min.to_string(),
        (i64::MIN, max) => format!("at most {max}"),
        (min, i64::MAX) => format!("{min} or more"),
        (min, max) => format!("from {min} to {max}"),
    };
    Some(Never::new(
        format!("{what} is never {shown}"),
        format!("it is from {} to {}", within.min, within.max),
    ))
}
