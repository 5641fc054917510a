//! What a sample is compared with: flags, the matching method, patterns and files of them.

use super::sample::{Sample, Type};
use super::{Reader, Word, regex};
use ipnet::{IpNet, Ipv4Net};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::MapDraft;
use portway_model::expression::{Matcher, NumberRange, TextMatch, Transform, Value};
use portway_model::name::Name;
use portway_model::settings::{MapLines, MapMatch};
use portway_model::span::{Span, Spanned};
use portway_model::stage::{Named, Pattern};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a sample is compared (`-m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Found,
    Boolean,
    Number,
    /// Two numbers with a dot between them.
    Version,
    Address,
    Binary,
    Length,
    Text,
    Prefix,
    Contains,
    Directory,
    Domain,
    Suffix,
    Regex,
    /// Groups of a userlist.
    Group,
}

/// The words after `-m`, and those that make an ACL of a fetch.
const METHODS: &[(&str, Method)] = &[
    ("found", Method::Found),
    ("bool", Method::Boolean),
    ("int", Method::Number),
    ("ip", Method::Address),
    ("bin", Method::Binary),
    ("len", Method::Length),
    ("str", Method::Text),
    ("beg", Method::Prefix),
    ("sub", Method::Contains),
    ("dir", Method::Directory),
    ("dom", Method::Domain),
    ("end", Method::Suffix),
    ("reg", Method::Regex),
];

impl Method {
    /// The method of `path_beg` and the like.
    pub(super) fn of_suffix(suffix: &str) -> Option<Method> {
        let suffixes = ["beg", "dir", "dom", "end", "len", "reg", "sub"];
        suffixes.contains(&suffix).then(|| named(suffix)).flatten()
    }

    /// What a sample of this type is compared by where nothing is said.
    fn of_type(kind: Type) -> Option<Method> {
        match kind {
            Type::Boolean => Some(Method::Boolean),
            Type::Number => Some(Method::Number),
            Type::Address => Some(Method::Address),
            Type::Text => Some(Method::Text),
            Type::Any | Type::Binary => None,
        }
    }

    fn takes(self) -> Type {
        match self {
            Method::Found => Type::Any,
            Method::Boolean => Type::Boolean,
            Method::Number | Method::Version => Type::Number,
            Method::Address => Type::Address,
            Method::Binary => Type::Binary,
            _ => Type::Text,
        }
    }

    fn text(self) -> Option<TextMatch> {
        match self {
            Method::Text => Some(TextMatch::Exact),
            Method::Prefix => Some(TextMatch::Prefix),
            Method::Contains => Some(TextMatch::Contains),
            Method::Directory => Some(TextMatch::Segment),
            Method::Domain => Some(TextMatch::Label),
            Method::Suffix => Some(TextMatch::Suffix),
            _ => None,
        }
    }

    /// Its word.
    fn word(self) -> &'static str {
        let known = METHODS.iter().find(|(_, method)| *method == self);
        known.map_or("int", |(word, _)| *word)
    }
}

fn named(word: &str) -> Option<Method> {
    let found = METHODS.iter().find(|(known, _)| *known == word);
    found.map(|(_, method)| *method)
}

/// What stands between the fetch and the patterns.
#[derive(Default)]
struct Flags {
    ignore_case: bool,
    method: Option<Method>,
    /// Files, and whether letters of either case are equal in what they hold.
    files: Vec<(Word, bool)>,
    /// Files are maps, whose first column alone is looked at.
    maps: bool,
    /// No patterns are meant.
    ended: bool,
}

/// Reads flags and patterns, casts the sample to what they compare, and gives the matchers, of which one must pass.
pub(super) fn matchers(
    sample: &mut Sample,
    implied: Option<Method>,
    words: &[Word],
    fetch: &Word,
    reader: &mut Reader<'_>,
) -> Option<Vec<Matcher<Named>>> {
    let (mut flags, patterns) = flags(words, reader)?;
    if sample.name == "method" && !sample.converted {
        // Methods are no texts to HAProxy: it compares them as they are.
        flags.ignore_case = false;
    }
    let Some(method) = flags.method.or(implied).or(Method::of_type(sample.kind)) else {
        let message = format!(
            "'{}' needs a matching method: nothing says how it is compared",
            sample.name
        );
        let wrong = Diagnostic::error(Code::Missing, fetch.span, message);
        reader.push(wrong.help("write for example '-m str' before the patterns"));
        return None;
    };
    if sample.name == "http_auth_group" {
        return groups(sample, &flags, patterns, fetch, reader);
    }
    if !fits(sample, method) {
        let message = format!(
            "'{}' cannot be compared with '-m {}'",
            sample.name,
            method.word()
        );
        reader.error(Code::WrongComparison, fetch.span, message);
        return None;
    }
    match method {
        Method::Found => return Some(vec![Matcher::Present]),
        Method::Boolean => return Some(vec![Matcher::True]),
        _ => {}
    }
    let mut matchers = Vec::new();
    for (file, ignore_case) in &flags.files {
        matchers.push(listed(method, file, *ignore_case, flags.maps, reader)?);
    }
    matchers.extend(inline(method, flags.ignore_case, patterns, reader)?);
    if matchers.is_empty() && !flags.ended {
        let message = format!(
            "no pattern to compare '{}' with: this never matches",
            sample.name
        );
        let warning = Diagnostic::warning(Code::NeverMatches, fetch.span, message);
        reader.push(warning.help(
            "write the patterns, '-m found' for what is there at all, or '--' if this is meant",
        ));
    }
    Some(matchers)
}

/// Patterns that are groups of a userlist: they belong to what is asked, and the answer is yes or no.
fn groups(
    sample: &mut Sample,
    flags: &Flags,
    words: &[Word],
    fetch: &Word,
    reader: &mut Reader<'_>,
) -> Option<Vec<Matcher<Named>>> {
    if sample.converted || flags.method.is_some() || !flags.files.is_empty() {
        let message = "'http_auth_group' is compared with the names of groups alone";
        let wrong = Diagnostic::error(Code::WrongComparison, fetch.span, message);
        reader.push(wrong.help("write for example: http_auth_group(people) admins staff"));
        return None;
    }
    let Value::InUserGroup { users, groups } = &mut sample.expression.value else {
        return None;
    };
    if words.is_empty() {
        let message = "'http_auth_group': no groups specified";
        let wrong = Diagnostic::error(Code::Missing, fetch.span, message);
        reader.push(wrong.help("write for example: http_auth_group(people) admins staff"));
        return None;
    }
    for word in words {
        groups.push(word.text.clone());
        let list = users.value.as_str().to_owned();
        reader
            .asked_groups
            .push((list, word.spanned(word.text.clone())));
    }
    Some(vec![Matcher::True])
}

/// Casts the sample to what the method compares.
fn fits(sample: &mut Sample, method: Method) -> bool {
    if method == Method::Address && sample.kind == Type::Number {
        return false;
    }
    if !sample.cast(method.takes()) {
        return false;
    }
    match method {
        Method::Length => sample.then(Transform::Length, Type::Number),
        Method::Binary => sample.then(Transform::Hex, Type::Text),
        _ => {}
    }
    true
}

fn flags<'w>(words: &'w [Word], reader: &mut Reader<'_>) -> Option<(Flags, &'w [Word])> {
    let mut flags = Flags::default();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        if !word.text.starts_with('-') {
            break;
        }
        rest = after;
        match word.as_str() {
            "-i" => flags.ignore_case = true,
            "-n" => {}
            "-M" => flags.maps = true,
            "--" => {
                flags.ended = true;
                break;
            }
            "-f" | "-m" | "-u" => {
                let Some((value, after)) = rest.split_first() else {
                    let message = format!(
                        "'{}' is the last word: what comes after it is missing",
                        word.text
                    );
                    reader.error(Code::Missing, word.span, message);
                    return None;
                };
                rest = after;
                match word.as_str() {
                    "-f" => flags.files.push((value.clone(), flags.ignore_case)),
                    "-m" => flags.method = Some(method(value, reader)?),
                    _ => {}
                }
            }
            other => {
                let message = format!("'{other}' is no ACL flag");
                let wrong = Diagnostic::error(Code::Unknown, word.span, message);
                reader.push(wrong.help("write '--' before a pattern that begins with a '-'"));
                return None;
            }
        }
    }
    Some((flags, rest))
}

fn method(word: &Word, reader: &mut Reader<'_>) -> Option<Method> {
    let found = named(&word.text);
    if found.is_none() {
        let message = format!("unknown matching method '{}'", word.text);
        let known: Vec<_> = METHODS.iter().map(|(known, _)| *known).collect();
        let wrong = Diagnostic::error(Code::Unknown, word.span, message);
        reader.push(wrong.help(format!("one of: {}", known.join(", "))));
    }
    found
}

/// The patterns of the line itself.
fn inline(
    method: Method,
    ignore_case: bool,
    words: &[Word],
    reader: &mut Reader<'_>,
) -> Option<Vec<Matcher<Named>>> {
    if words.is_empty() {
        return Some(Vec::new());
    }
    let matcher = match method {
        Method::Number | Method::Length | Method::Version => Matcher::Number {
            any_of: ranges(method, words, reader)?,
        },
        Method::Address => Matcher::Address {
            any_of: each(words, reader, network)?,
        },
        Method::Regex => Matcher::Regex {
            any_of: words
                .iter()
                .map(|word| pattern(&word.text, ignore_case, word.span, reader))
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<_>>()?,
        },
        Method::Binary => Matcher::Text {
            how: TextMatch::Exact,
            any_of: each(words, reader, hexadecimal)?,
            ignore_case: false,
        },
        other => Matcher::Text {
            how: other.text().unwrap_or(TextMatch::Exact),
            any_of: words.iter().map(|word| word.text.clone()).collect(),
            ignore_case,
        },
    };
    Some(vec![matcher])
}

/// Reads each word; reports each that is wrong.
fn each<T>(
    words: &[Word],
    reader: &mut Reader<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let mut done = Vec::with_capacity(words.len());
    for word in words {
        match read(&word.text) {
            Ok(value) => done.push(value),
            Err(message) => reader.error(Code::OutOfRange, word.span, message),
        }
    }
    (done.len() == words.len()).then_some(done)
}

fn pattern(
    text: &str,
    ignore_case: bool,
    span: Span,
    reader: &mut Reader<'_>,
) -> Option<Spanned<String>> {
    match regular_expression(text, ignore_case) {
        Ok(translated) => Some(Spanned::new(translated, span)),
        Err(message) => {
            reader.error(Code::BadPattern, span, message);
            None
        }
    }
}

/// The regular expression for our engine; the error says why there is none.
pub(crate) fn regular_expression(text: &str, ignore_case: bool) -> Result<String, String> {
    let translated = regex::translate(text, ignore_case).map_err(|why| why.says(text))?;
    match Pattern::new(&translated) {
        Ok(_) => Ok(translated),
        Err(error) => {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or("it does not compile");
            Err(format!(
                "the regular expression '{text}' is invalid: {}",
                reason.trim_start_matches("error: ")
            ))
        }
    }
}

/// Numbers, ranges, and operators that stay in force for the words after them.
fn ranges(method: Method, words: &[Word], reader: &mut Reader<'_>) -> Option<Vec<NumberRange>> {
    let mut ranges = Vec::new();
    let mut operator = "eq";
    let mut failed = false;
    for word in words {
        if matches!(word.as_str(), "eq" | "ge" | "gt" | "le" | "lt") {
            operator = word.as_str();
            continue;
        }
        match range(method, operator, &word.text) {
            Ok(range) => ranges.push(range),
            Err(message) => {
                reader.error(Code::OutOfRange, word.span, message);
                failed = true;
            }
        }
    }
    (!failed).then_some(ranges)
}

fn range(method: Method, operator: &str, text: &str) -> Result<NumberRange, String> {
    let number = |text: &str| -> Option<i64> {
        match (method, text.split_once('.')) {
            (Method::Version, Some((major, minor))) => {
                Some((major.parse::<i64>().ok()? << 16) + minor.parse::<i64>().ok()?)
            }
            (Method::Version, None) => Some(text.parse::<i64>().ok()? << 16),
            _ => text.parse().ok(),
        }
    };
    let wrong = || format!("'{text}' is neither a number nor a range such as 1:10");
    // A minus at the start is a sign, elsewhere it separates as a colon does.
    let separator = text
        .char_indices()
        .find(|(at, c)| *c == ':' || (*c == '-' && *at > 0));
    let (min, max) = match separator {
        None => {
            let only = number(text).ok_or_else(wrong)?;
            (only, only)
        }
        Some((at, _)) => {
            if operator != "eq" {
                return Err(format!("'{operator}' does not go with the range '{text}'"));
            }
            let (low, high) = text.split_at_checked(at).unwrap_or((text, ""));
            let high = high.get(1..).unwrap_or("");
            let bound = |text: &str, open| match text {
                "" => Some(open),
                text => number(text),
            };
            (
                bound(low, i64::MIN).ok_or_else(wrong)?,
                bound(high, i64::MAX).ok_or_else(wrong)?,
            )
        }
    };
    let (min, max) = match operator {
        "ge" => (min, i64::MAX),
        "gt" => (min.checked_add(1).ok_or_else(wrong)?, i64::MAX),
        "le" => (i64::MIN, max),
        "lt" => (i64::MIN, max.checked_sub(1).ok_or_else(wrong)?),
        _ => (min, max),
    };
    if min > max {
        return Err(format!(
            "the range '{text}' is empty: its end is before its beginning"
        ));
    }
    Ok(NumberRange { min, max })
}

/// An address or a network, also in HAProxy's abbreviated form: `10.12/8`, `127.1`, `10.0.0.0/255.0.0.0`.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("'{text}' is not a valid IPv4 or IPv6 address or network");
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        let bits = mask.map_or(Ok(128), str::parse).map_err(|_| wrong())?;
        return IpNet::new(address.into(), bits).map_err(|_| wrong());
    }
    let address = ipv4(address).ok_or_else(wrong)?;
    let bits = match mask {
        None => 32,
        Some(mask) if mask.contains('.') => {
            let mask: Ipv4Addr = mask.parse().map_err(|_| wrong())?;
            let network = Ipv4Net::with_netmask(address, mask)
                .map_err(|_| format!("'{text}': a mask with holes cannot be used"))?;
            network.prefix_len()
        }
        Some(mask) => mask.parse().map_err(|_| wrong())?,
    };
    IpNet::new(IpAddr::V4(address), bits).map_err(|_| wrong())
}

/// An IPv4 address, whose zeroes in the middle may be left out as inet_aton(3) has it.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let parts: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
    match parts?.as_slice() {
        [d] => Some(Ipv4Addr::new(0, 0, 0, *d)),
        [a, d] => Some(Ipv4Addr::new(*a, 0, 0, *d)),
        [a, b, d] => Some(Ipv4Addr::new(*a, *b, 0, *d)),
        _ => None,
    }
}

/// Hexadecimal digits in pairs, in lower case.
pub(super) fn hexadecimal(text: &str) -> Result<String, String> {
    if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!(
            "a hexadecimal digit is expected, found '{wrong}' in '{text}'"
        ));
    }
    if text.len() % 2 == 1 {
        return Err(format!("'{text}' has an odd number of hexadecimal digits"));
    }
    Ok(text.to_ascii_lowercase())
}

/// A file of patterns, as a list of the configuration.
fn listed(
    method: Method,
    file: &Word,
    ignore_case: bool,
    map: bool,
    reader: &mut Reader<'_>,
) -> Option<Matcher<Named>> {
    let compare = match method {
        Method::Address => MapMatch::Address,
        Method::Regex => MapMatch::Regex,
        Method::Number | Method::Length => MapMatch::Number,
        Method::Version | Method::Group => {
            let message = format!("patterns of '-m {}' cannot be in a file", method.word());
            reader.error(Code::NotRun, file.span, message);
            return None;
        }
        other => MapMatch::Text(other.text().unwrap_or(TextMatch::Exact)),
    };
    let lines = if map { MapLines::Pairs } else { MapLines::Keys };
    // Hexadecimal digits of either case are the same.
    let ignore_case = ignore_case || method == Method::Binary;
    let list = list(file, compare, lines, ignore_case, reader);
    Some(Matcher::Listed { list })
}

/// The list or map of this file, compared so; made where it is new.
pub(super) fn list(
    file: &Word,
    compare: MapMatch,
    lines: MapLines,
    ignore_case: bool,
    reader: &mut Reader<'_>,
) -> Spanned<Name> {
    let letters = |map: &MapDraft| map.ignore_case.is_some_and(|known| known.value);
    let same = |map: &&MapDraft| {
        let from = map.name.value.as_str().split('#').next();
        from == Some(file.text.as_str())
            && map.compare.is_some_and(|known| known.value == compare)
            && map.lines.is_some_and(|known| known.value == lines)
            && letters(map) == ignore_case
    };
    if let Some(map) = reader.maps.iter().find(same) {
        return Spanned::new(map.name.value.clone(), file.span);
    }
    let taken = |name: &str| {
        reader
            .maps
            .iter()
            .any(|map| map.name.value.as_str() == name)
    };
    let mut name = file.text.clone();
    let mut number = 1;
    while taken(&name) {
        number += 1;
        name = format!("{}#{number}", file.text);
    }
    let name = file.spanned(Name::new(name));
    let path = reader.path(file.as_str(), file.span);
    let held = held(file, &path, compare, lines, ignore_case, reader);
    reader.maps.push(MapDraft {
        name: name.clone(),
        file: held.is_none().then(|| file.spanned(path)),
        lines: Some(file.spanned(lines)),
        entries: held.unwrap_or_default(),
        compare: Some(file.spanned(compare)),
        ignore_case: Some(file.spanned(ignore_case)),
    });
    name
}

/// A map of a file that a rule changes: whichever of them is read already, since they change together.
pub(super) fn changed(file: &Word, lines: MapLines, reader: &mut Reader<'_>) -> Spanned<Name> {
    let of_file = |map: &&MapDraft| {
        let from = map.name.value.as_str().split('#').next();
        from == Some(file.text.as_str()) && map.lines.is_some_and(|known| known.value == lines)
    };
    match reader.maps.iter().find(of_file) {
        Some(map) => Spanned::new(map.name.value.clone(), file.span),
        None => {
            let exact = MapMatch::Text(TextMatch::Exact);
            list(file, exact, lines, false, reader)
        }
    }
}

/// Reads a file and reports what is wrong with it. Gives its entries where they are written in HAProxy's own way,
/// which is only understood here: regular expressions, abbreviated networks. `None`: the file can be read as it is.
fn held(
    file: &Word,
    path: &str,
    compare: MapMatch,
    lines: MapLines,
    ignore_case: bool,
    reader: &mut Reader<'_>,
) -> Option<Vec<(Spanned<String>, Spanned<String>)>> {
    let bytes = match (reader.inputs.read)(path) {
        Ok(bytes) => bytes,
        Err(why) => {
            let message = format!("cannot read the pattern file '{}': {why}", file.text);
            reader.error(Code::Unreadable, file.span, message);
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut entries = Vec::new();
    let mut own = compare == MapMatch::Regex;
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = portway_model::map_file::map_line(line, lines) else {
            continue;
        };
        let ours = match compare {
            MapMatch::Text(_) => Ok(key.to_owned()),
            MapMatch::Regex => regular_expression(key, ignore_case),
            MapMatch::Number => match NumberRange::parse(key) {
                Some(_) => Ok(key.to_owned()),
                None => Err(format!(
                    "'{key}' is neither a number nor a range such as 1:10"
                )),
            },
            MapMatch::Address => network(key).map(|network| network.to_string()),
        };
        match ours {
            Ok(ours) => {
                let plain = key.parse::<IpNet>().is_ok() || key.parse::<IpAddr>().is_ok();
                own |= compare == MapMatch::Address && !plain;
                entries.push((file.spanned(ours), file.spanned(value.to_owned())));
            }
            Err(why) => {
                let message = format!("{}:{}: {why}", file.text, number + 1);
                reader.error(Code::OutOfRange, file.span, message);
            }
        }
    }
    (own && !entries.is_empty()).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges() {
        let check = |operator: &str, text: &str, expected: Option<(i64, i64)>| {
            let found = range(Method::Number, operator, text).ok();
            let found = found.map(|range| (range.min, range.max));
            assert_eq!(found, expected, "{operator} {text}");
        };
        check("eq", "5", Some((5, 5)));
        check("eq", "5:7", Some((5, 7)));
        check("eq", "5-7", Some((5, 7)));
        check("eq", "-5:7", Some((-5, 7)));
        check("eq", ":7", Some((i64::MIN, 7)));
        check("eq", "7:", Some((7, i64::MAX)));
        check("eq", "7:5", None);
        check("eq", "a", None);
        check("gt", "5", Some((6, i64::MAX)));
        check("ge", "5", Some((5, i64::MAX)));
        check("lt", "5", Some((i64::MIN, 4)));
        check("le", "5", Some((i64::MIN, 5)));
        check("lt", "5:6", None);
    }

    #[test]
    fn networks() {
        let check = |text: &str, expected: Option<&str>| {
            let found = network(text).ok().map(|network| network.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("10.0.0.1", Some("10.0.0.1/32"));
        check("10.0.0.0/8", Some("10.0.0.0/8"));
        check("10/8", Some("0.0.0.10/8"));
        check("127.1", Some("127.0.0.1/32"));
        check("192.168.1/24", Some("192.168.0.1/24"));
        check("10.0.0.0/255.0.0.0", Some("10.0.0.0/8"));
        check("2001:db8::/32", Some("2001:db8::/32"));
        check("10.0.0.0/33", None);
        check("name", None);
    }
}
