//! What the matchers of rules mean: each becomes a condition.

use super::rule::{Matcher, Rule};
use crate::expression::read_network;
use crate::unknown_word;
use ipnet::IpNet;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::expression::{
    Condition, Expression, Matcher as How, Test, TextMatch, Transform, Value,
};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::net::IpAddr;

/// Which words a rule has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Those of version 3 alone.
    V3,
    /// Those of version 2 alone.
    V2,
    /// Nothing says which: those of 3, and forms that only 2 has.
    Either,
}

/// Where a rule is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On requests.
    Http,
    /// On connections whose TLS is passed through.
    Hello,
    /// On connections whose TLS ends here.
    Session,
}

/// Matchers of requests in version 3, with how many values they take.
const V3: &[(&str, usize, usize)] = &[
    ("Host", 1, 1),
    ("HostRegexp", 1, 1),
    ("Path", 1, 1),
    ("PathPrefix", 1, 1),
    ("PathRegexp", 1, 1),
    ("Method", 1, 1),
    ("Header", 2, 2),
    ("HeaderRegexp", 2, 2),
    ("Query", 1, 2),
    ("QueryRegexp", 1, 2),
    ("ClientIP", 1, 1),
];

/// Matchers of requests in version 2.
const V2: &[(&str, usize, usize)] = &[
    ("Host", 1, usize::MAX),
    ("HostHeader", 1, usize::MAX),
    ("HostRegexp", 1, usize::MAX),
    ("Path", 1, usize::MAX),
    ("PathPrefix", 1, usize::MAX),
    ("Method", 1, usize::MAX),
    ("Headers", 2, 2),
    ("HeadersRegexp", 2, 2),
    ("Query", 1, usize::MAX),
    ("ClientIP", 1, usize::MAX),
];

/// Matchers of connections, in both versions.
const TCP: &[(&str, usize, usize)] = &[
    ("HostSNI", 1, usize::MAX),
    ("HostSNIRegexp", 1, usize::MAX),
    ("ClientIP", 1, usize::MAX),
    ("ALPN", 1, usize::MAX),
];

/// The condition of a rule. What is wrong is in `found`.
pub(super) fn condition(
    rule: &Rule,
    syntax: Syntax,
    place: Place,
    found: &mut Diagnostics,
) -> Condition<Named> {
    let mut each = |parts: &[Rule]| -> Vec<Condition<Named>> {
        let parts = parts.iter();
        parts
            .map(|part| condition(part, syntax, place, found))
            .collect()
    };
    match rule {
        Rule::All(parts) => Condition::All(each(parts)),
        Rule::Any(parts) => Condition::Any(each(parts)),
        Rule::Not(inner) => Condition::Not(Box::new(condition(inner, syntax, place, found))),
        Rule::Matcher(matcher) => match of_matcher(matcher, syntax, place) {
            Ok(condition) => condition,
            Err(one) => {
                found.push(*one);
                Condition::Any(Vec::new())
            }
        },
    }
}

/// The server names that a rule speaks of, in lower case, anywhere in it; `*` is none.
pub(super) fn server_names(rule: &Rule) -> Vec<String> {
    match rule {
        Rule::Matcher(it) => {
            let words = ["Host", "HostHeader", "HostSNI"];
            let names = it
                .values
                .iter()
                .map(|value| value.value.to_ascii_lowercase());
            match words.iter().any(|word| it.name.eq_ignore_ascii_case(word)) {
                true => names.filter(|name| name != "*").collect(),
                false => Vec::new(),
            }
        }
        Rule::All(parts) | Rule::Any(parts) => parts.iter().flat_map(server_names).collect(),
        Rule::Not(inner) => server_names(inner),
    }
}

/// The host names that a rule is for, in their places: what it excludes is not among them, nor are patterns and names without a
/// dot, which no authority has certificates for.
pub(super) fn named_hosts(rule: &Rule) -> Vec<&Spanned<String>> {
    match rule {
        Rule::Matcher(it) => {
            let words = ["Host", "HostHeader", "HostSNI"];
            let is_host = words.iter().any(|word| it.name.eq_ignore_ascii_case(word));
            let is_name = |name: &&Spanned<String>| {
                let host = name.value.strip_prefix("*.").unwrap_or(&name.value);
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                host.contains('.') && host.bytes().all(plain) && host.parse::<IpAddr>().is_err()
            };
            let names = it.values.iter().filter(|_| is_host);
            names.filter(is_name).collect()
        }
        Rule::All(parts) | Rule::Any(parts) => parts.iter().flat_map(named_hosts).collect(),
        Rule::Not(_) => Vec::new(),
    }
}

/// The value is a name one label below this one.
pub(super) fn one_label_below(value: Value<Named>, name: &str, span: Span) -> Condition<Named> {
    let pattern = format!("(?i)^[^.]+\\.{}$", escaped(name));
    found_in(value, vec![Spanned::new(pattern, span)], span)
}

/// True where a rule of connections holds for every server name, whatever else it asks for.
pub(super) fn is_for_any_name(rule: &Rule) -> bool {
    match rule {
        Rule::All(parts) => parts.iter().any(is_for_any_name),
        other => is_catch_all(other),
    }
}

/// True where a rule asks for nothing but that: it is asked behind all others.
pub(super) fn is_catch_all(rule: &Rule) -> bool {
    match rule {
        Rule::Matcher(it) => {
            it.name.eq_ignore_ascii_case("HostSNI") && it.values.iter().any(|it| it.value == "*")
        }
        Rule::All(_) | Rule::Any(_) | Rule::Not(_) => false,
    }
}

type Outcome<T> = Result<T, Box<Diagnostic>>;

fn of_matcher(it: &Matcher, syntax: Syntax, place: Place) -> Outcome<Condition<Named>> {
    let tables: &[&[(&str, usize, usize)]] = match (place, syntax) {
        (Place::Hello | Place::Session, _) => &[TCP],
        (Place::Http, Syntax::V3) => &[V3],
        (Place::Http, Syntax::V2) => &[V2],
        (Place::Http, Syntax::Either) => &[V3, V2],
    };
    let fits = |name: &str| name.eq_ignore_ascii_case(&it.name);
    let rows = tables.iter().flat_map(|table| table.iter());
    let rows: Vec<_> = rows.filter(|(name, _, _)| fits(name)).collect();
    let Some((name, _, _)) = rows.first() else {
        let known = tables.iter().flat_map(|table| table.iter());
        let known = known.map(|(name, _, _)| *name);
        let one = unknown_word(it.name_span, "matcher", &it.name, known);
        return Err(Box::new(match other_version(&it.name, syntax, place) {
            Some(help) => one.help(help),
            None => one,
        }));
    };
    let given = it.values.len();
    if !rows
        .iter()
        .any(|(_, least, most)| (*least..=*most).contains(&given))
    {
        let message = match syntax {
            Syntax::V3 => format!("`{name}` of version 3 takes one value, not {given}"),
            _ => format!("`{name}` does not take {given} values"),
        };
        let one = Diagnostic::error(Code::Syntax, it.span, message);
        return Err(Box::new(
            one.help("join several with `||`: Host(`a`) || Host(`b`)"),
        ));
    }
    match place {
        Place::Http => of_request(it, name, syntax),
        Place::Hello | Place::Session => of_connection(it, name, place),
    }
}

fn other_version(name: &str, syntax: Syntax, place: Place) -> Option<String> {
    let table = match (place, syntax) {
        (Place::Http, Syntax::V3) => V2,
        (Place::Http, Syntax::V2) => V3,
        _ => return None,
    };
    let known = table.iter().any(|(it, _, _)| it.eq_ignore_ascii_case(name));
    let version = if syntax == Syntax::V3 { 2 } else { 3 };
    known.then(|| {
        format!(
            "that is a matcher of version {version}: say `ruleSyntax: v{version}` in the router"
        )
    })
}

fn of_request(it: &Matcher, name: &str, syntax: Syntax) -> Outcome<Condition<Named>> {
    let texts = || {
        it.values
            .iter()
            .map(|value| value.value.clone())
            .collect::<Vec<_>>()
    };
    // Templates in braces are of version 2, as are several values.
    let old = syntax == Syntax::V2 || (syntax == Syntax::Either && uses_old_form(it, name));
    match name {
        "Host" | "HostHeader" => hosts(it),
        "HostRegexp" if old => {
            let patterns = it.values.iter().map(|value| {
                let pattern = template(&value.value, "[^.]+", value.span)?;
                Ok(Spanned::new(format!("(?i)^{pattern}$"), value.span))
            });
            Ok(found_in(
                Value::Host,
                patterns.collect::<Outcome<_>>()?,
                it.span,
            ))
        }
        "HostRegexp" => Ok(found_in(Value::Host, it.values.clone(), it.span)),
        "Path" | "PathPrefix" => paths(it, name == "PathPrefix", old),
        "PathRegexp" => Ok(found_in(Value::Path, it.values.clone(), it.span)),
        "Method" => {
            let methods = texts().iter().map(|it| it.to_ascii_uppercase()).collect();
            Ok(one_of(Value::Method, methods, false, it.span))
        }
        "Header" => Ok(one_of(Value::Header(first(it)), second(it), false, it.span)),
        "Headers" => {
            let value = Value::Header(first(it));
            let any = second(it).iter().all(String::is_empty);
            Ok(match any {
                true => test(value, How::Present, it.span),
                false => one_of(value, second(it), false, it.span),
            })
        }
        "HeaderRegexp" | "HeadersRegexp" => {
            let patterns = it.values.get(1..).unwrap_or_default().to_vec();
            Ok(found_in(Value::Header(first(it)), patterns, it.span))
        }
        "Query" if old => {
            let each = it.values.iter().map(|value| old_query(value, it.span));
            Ok(Condition::All(each.collect::<Outcome<_>>()?))
        }
        "Query" | "QueryRegexp" if it.values.len() == 1 => {
            let value = Value::QueryParameter(first(it));
            Ok(one_of(value, vec![String::new()], false, it.span))
        }
        "Query" => Ok(one_of(
            Value::QueryParameter(first(it)),
            second(it),
            false,
            it.span,
        )),
        "QueryRegexp" => {
            let patterns = it.values.get(1..).unwrap_or_default().to_vec();
            Ok(found_in(
                Value::QueryParameter(first(it)),
                patterns,
                it.span,
            ))
        }
        _ => clients(it),
    }
}

/// True where the values have a form that only version 2 has.
fn uses_old_form(it: &Matcher, name: &str) -> bool {
    let braces = |it: &Spanned<String>| it.value.contains('{') && it.value.contains('}');
    let several = it.values.len() > 1;
    match name {
        "HostRegexp" => {
            several
                || it
                    .values
                    .iter()
                    .any(|it| braces(it) && looks_like_template(&it.value))
        }
        "Path" | "PathPrefix" => several || it.values.iter().any(braces),
        "Query" => it.values.iter().all(|it| it.value.contains('=')),
        _ => several,
    }
}

/// `{name}` or `{name:pattern}`: a repetition of a pattern begins with a digit or a comma.
fn looks_like_template(text: &str) -> bool {
    let inside = text.split('{').skip(1);
    let mut names =
        inside.map(|part| part.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_'));
    names.all(|it| it)
}

fn hosts(it: &Matcher) -> Outcome<Condition<Named>> {
    let mut names = Vec::new();
    let mut patterns = Vec::new();
    for value in &it.values {
        if !value.value.is_ascii() {
            let message = format!("the host `{}` has characters other than ASCII", value.value);
            let one = Diagnostic::error(Code::OutOfRange, value.span, message);
            return Err(Box::new(one.help("write it as `xn--…`")));
        }
        match value.value.strip_prefix("*.") {
            _ if value.value == "*" => return Ok(Condition::All(Vec::new())),
            Some(rest) => {
                let pattern = format!("(?i)^[^.]+\\.{}$", escaped(rest));
                patterns.push(Spanned::new(pattern, value.span));
            }
            None => names.push(value.value.to_ascii_lowercase()),
        }
    }
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(one_of(Value::Host, names, true, it.span));
    }
    if !patterns.is_empty() {
        parts.push(found_in(Value::Host, patterns, it.span));
    }
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => Condition::Any(parts),
    })
}

fn paths(it: &Matcher, prefix: bool, old: bool) -> Outcome<Condition<Named>> {
    if let Some(value) = it.values.iter().find(|it| !it.value.starts_with('/')) {
        let message = format!("the path `{}` does not begin with a slash", value.value);
        let one = Diagnostic::error(Code::OutOfRange, value.span, message);
        return Err(Box::new(one.help(format!("write `/{}`", value.value))));
    }
    if old && it.values.iter().any(|it| it.value.contains('{')) {
        let end = if prefix { "" } else { "$" };
        let patterns = it.values.iter().map(|value| {
            let pattern = template(&value.value, "[^/]+", value.span)?;
            Ok(Spanned::new(format!("^{pattern}{end}"), value.span))
        });
        return Ok(found_in(
            Value::Path,
            patterns.collect::<Outcome<_>>()?,
            it.span,
        ));
    }
    let matcher = How::Text {
        how: match prefix {
            true => TextMatch::Prefix,
            false => TextMatch::Exact,
        },
        any_of: it
            .values
            .iter()
            .map(|value| encoded(&value.value))
            .collect(),
        ignore_case: false,
    };
    Ok(test(Value::Path, matcher, it.span))
}

/// A path as it comes in requests: what may not stand there as it is, is percent-encoded (RFC 3986 section 3.3).
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ if b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `name=value` of version 2; nothing behind `=` holds for every value.
fn old_query(value: &Spanned<String>, span: Span) -> Outcome<Condition<Named>> {
    let (name, wanted) = value.value.split_once('=').unwrap_or((&value.value, ""));
    let of = Value::QueryParameter(name.to_owned());
    if wanted.is_empty() {
        return Ok(test(of, How::Present, span));
    }
    if wanted.contains('{') {
        let pattern = format!("^{}$", template(wanted, ".*", value.span)?);
        return Ok(found_in(of, vec![Spanned::new(pattern, value.span)], span));
    }
    Ok(one_of(of, vec![wanted.to_owned()], false, span))
}

fn clients(it: &Matcher) -> Outcome<Condition<Named>> {
    Ok(test(
        Value::Source,
        How::Address {
            any_of: networks(&it.values)?,
        },
        it.span,
    ))
}

/// Addresses and networks.
pub(super) fn networks(values: &[Spanned<String>]) -> Outcome<Vec<IpNet>> {
    let each = values.iter().map(|value| {
        read_network(value.value.trim()).ok_or_else(|| {
            let message = format!("`{}` is neither an address nor a network", value.value);
            let one = Diagnostic::error(Code::OutOfRange, value.span, message);
            Box::new(one.help("such as `192.0.2.1` or `10.0.0.0/8`"))
        })
    });
    each.collect()
}

fn of_connection(it: &Matcher, name: &str, place: Place) -> Outcome<Condition<Named>> {
    let hello = place == Place::Hello;
    let sni = if hello { Value::HelloSni } else { Value::Sni };
    match name {
        "HostSNI" if it.values.iter().any(|value| value.value == "*") => {
            Ok(Condition::All(Vec::new()))
        }
        "HostSNI" => {
            let mut names = Vec::new();
            let mut patterns = Vec::new();
            for value in &it.values {
                match value.value.strip_prefix("*.") {
                    Some(rest) => {
                        let pattern = format!("(?i)^[^.]+\\.{}$", escaped(rest));
                        patterns.push(Spanned::new(pattern, value.span));
                    }
                    None => names.push(value.value.to_ascii_lowercase()),
                }
            }
            let mut parts = Vec::new();
            if !names.is_empty() {
                parts.push(one_of(sni.clone(), names, true, it.span));
            }
            if !patterns.is_empty() {
                parts.push(found_in(sni, patterns, it.span));
            }
            Ok(match parts.len() {
                1 => parts.remove(0),
                _ => Condition::Any(parts),
            })
        }
        "HostSNIRegexp" => {
            let patterns = it.values.iter().map(|value| {
                let old = value.value.contains('{') && looks_like_template(&value.value);
                let pattern = match old {
                    true => format!("(?i)^{}$", template(&value.value, "[^.]+", value.span)?),
                    false => value.value.clone(),
                };
                Ok(Spanned::new(pattern, value.span))
            });
            Ok(found_in(sni, patterns.collect::<Outcome<_>>()?, it.span))
        }
        "ALPN" if hello => {
            let names = it.values.iter().map(|value| escaped(&value.value));
            let names: Vec<String> = names.collect();
            let pattern = format!("(?:^|,)(?:{})(?:,|$)", names.join("|"));
            Ok(found_in(
                Value::HelloAlpn,
                vec![Spanned::new(pattern, it.span)],
                it.span,
            ))
        }
        "ALPN" => {
            let names = it.values.iter().map(|value| value.value.clone()).collect();
            Ok(one_of(Value::Alpn, names, false, it.span))
        }
        _ => clients(it),
    }
}

fn first(it: &Matcher) -> String {
    it.values
        .first()
        .map(|value| value.value.clone())
        .unwrap_or_default()
}

fn second(it: &Matcher) -> Vec<String> {
    it.values
        .get(1)
        .map(|value| value.value.clone())
        .into_iter()
        .collect()
}

/// A test of a value without transforms.
pub(super) fn test(value: Value<Named>, matcher: How<Named>, span: Span) -> Condition<Named> {
    test_of(value.into(), matcher, span)
}

/// A test of an expression.
pub(super) fn test_of(
    expression: Expression<Named>,
    matcher: How<Named>,
    span: Span,
) -> Condition<Named> {
    Condition::Test(Spanned::new(
        Test {
            expression,
            matcher,
        },
        span,
    ))
}

/// The value equals one of these.
pub(super) fn one_of(
    value: Value<Named>,
    any_of: Vec<String>,
    ignore_case: bool,
    span: Span,
) -> Condition<Named> {
    let how = How::Text {
        how: TextMatch::Exact,
        any_of,
        ignore_case,
    };
    test(value, how, span)
}

fn found_in(value: Value<Named>, any_of: Vec<Spanned<String>>, span: Span) -> Condition<Named> {
    test(value, How::Regex { any_of }, span)
}

/// A value with steps on it.
pub(super) fn expression(
    value: Value<Named>,
    transforms: Vec<Transform<Named>>,
) -> Expression<Named> {
    Expression { value, transforms }
}

/// A template of version 2: `{name}` stands for `default`, `{name:pattern}` for the pattern, all else for itself.
fn template(text: &str, default: &str, span: Span) -> Outcome<String> {
    let unclosed = || {
        let message = format!("a `{{` without `}}` in `{text}`");
        Box::new(Diagnostic::error(Code::Syntax, span, message))
    };
    let mut pattern = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        pattern.push_str(&escaped(before));
        // Braces within the pattern belong to it.
        let mut depth = 0_usize;
        let end = after.char_indices().find(|(_, it)| match it {
            '{' => {
                depth += 1;
                false
            }
            '}' if depth > 0 => {
                depth -= 1;
                false
            }
            '}' => true,
            _ => false,
        });
        let (end, _) = end.ok_or_else(unclosed)?;
        let (inside, after) = after.split_at(end);
        let inner = inside.split_once(':').map_or(default, |(_, inner)| inner);
        pattern.push_str(&format!("(?:{inner})"));
        rest = after.get(1..).unwrap_or_default();
    }
    pattern.push_str(&escaped(rest));
    Ok(pattern)
}

/// A pattern that finds exactly this text.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
