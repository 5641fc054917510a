//! ACLs and the conditions made of them.
//!
//! An ACL is a sample and patterns; lines of one name add to it. A condition is a list of ACLs that must all hold,
//! or several such lists of which one must.

use super::patterns::{self, Method};
use super::place::Place;
use super::{Line, Reader, Word, sample};
use portway_model::diagnostic::{Code, Diagnostic, nearest};
use portway_model::expression::{Condition, HeaderPart, Matcher, Message, Test, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::collections::HashMap;

use super::sample::Sample;

/// ACLs that are there without being declared.
const PREDEFINED: &[(&str, &str)] = &[
    ("TRUE", "always_true"),
    ("FALSE", "always_false"),
    ("LOCALHOST", "src 127.0.0.1/8"),
    ("HTTP", "req.proto_http"),
    ("HTTP_1.0", "req.ver 1.0"),
    ("HTTP_1.1", "req.ver 1.1"),
    ("HTTP_2.0", "req.ver 2.0"),
    ("HTTP_CONTENT", "req.hdr_val(content-length) gt 0"),
    ("HTTP_URL_ABS", "url_reg ^[^/:]*://"),
    ("HTTP_URL_SLASH", "url_beg /"),
    ("HTTP_URL_STAR", "url *"),
    ("METH_CONNECT", "method CONNECT"),
    ("METH_DELETE", "method DELETE"),
    ("METH_GET", "method GET HEAD"),
    ("METH_HEAD", "method HEAD"),
    ("METH_OPTIONS", "method OPTIONS"),
    ("METH_POST", "method POST"),
    ("METH_PUT", "method PUT"),
    ("METH_TRACE", "method TRACE"),
    ("RDP_COOKIE", "req.rdp_cookie_cnt gt 0"),
    ("REQ_CONTENT", "req.len gt 0"),
    ("WAIT_END", "wait_end"),
];

/// Words of ACLs that are a fetch and a method: the fetch they stand for.
const DERIVED: &[(&str, &str)] = &[
    ("base", "base"),
    ("cook", "req.cook"),
    ("hdr", "req.hdr"),
    ("path", "path"),
    ("scook", "res.cook"),
    ("shdr", "res.hdr"),
    ("url", "url"),
    ("urlp", "urlp"),
];

/// One line of an ACL.
#[derive(Debug, Clone)]
struct Term {
    sample: Sample,
    matchers: Vec<Matcher<Named>>,
    span: Span,
}

/// The ACLs of a proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acls {
    declared: HashMap<String, Vec<Term>>,
    /// Declared, but wrong: using it is not another error.
    broken: Vec<String>,
}

impl Acls {
    /// Where an ACL, used or not, asks for something of a server of a backend.
    pub(crate) fn asks_for_server(&self, backend: &str, server: &str) -> Option<Span> {
        let asks = |term: &&Term| match &term.sample.expression.value {
            Value::OfTarget { group, target, .. } => {
                group.value.as_str() == backend && target.as_str() == server
            }
            _ => false,
        };
        self.declared
            .values()
            .flatten()
            .find(asks)
            .map(|it| it.span)
    }

    /// Reads a line `acl NAME …`.
    pub(crate) fn declare(&mut self, line: &Line, reader: &mut Reader<'_>) {
        let Some(name) = line.word(1) else {
            let diagnostic = Diagnostic::error(Code::Missing, line.span, "an acl without a name");
            reader.push(diagnostic.help("write for example: acl is_api path_beg /api"));
            return;
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.');
        if let Some(wrong) = name.text.chars().find(|c| !allowed(*c)) {
            let message = format!(
                "character '{wrong}' is not permitted in acl name '{}'",
                name.text
            );
            reader.error(Code::OutOfRange, name.span, message);
            return;
        }
        if matches!(name.text.as_str(), "or" | "||") {
            let message = format!(
                "acl '{}' can never be used: the word means something else",
                name.text
            );
            reader.warn(Code::Conflict, name.span, message);
        }
        match term(line.from(2), line.span, Some(&name.text), reader) {
            Some(term) => self
                .declared
                .entry(name.text.clone())
                .or_default()
                .push(term),
            None => self.broken.push(name.text.clone()),
        }
    }

    /// Reads `if …` or `unless …`; `words` begins with that word.
    pub(crate) fn condition(
        &self,
        words: &[Word],
        place: Place,
        reader: &mut Reader<'_>,
    ) -> Option<Condition<Named>> {
        let (first, terms) = words.split_first()?;
        let condition = self.alternatives(terms, first.span, place, reader)?;
        match first.as_str() {
            "if" => Some(condition),
            "unless" => Some(negated(condition)),
            other => {
                let message = format!("expected 'if' or 'unless' and a condition, found '{other}'");
                reader.error(Code::Syntax, first.span, message);
                None
            }
        }
    }

    fn alternatives(
        &self,
        words: &[Word],
        span: Span,
        place: Place,
        reader: &mut Reader<'_>,
    ) -> Option<Condition<Named>> {
        let mut alternatives = Vec::new();
        let mut failed = false;
        for part in alternatives_of(words) {
            match self.conjunction(part, place, reader) {
                Some(parts) if parts.is_empty() => {}
                Some(parts) => alternatives.push(simplified(parts)),
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        if alternatives.is_empty() {
            let message = "the condition is empty: it never holds";
            reader.warn(Code::NeverMatches, span, message);
        }
        if alternatives.len() == 1 {
            return alternatives.pop();
        }
        Some(Condition::Any(alternatives))
    }

    /// Terms beside each other: all must hold.
    fn conjunction(
        &self,
        words: &[Word],
        place: Place,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<Condition<Named>>> {
        let mut parts = Vec::new();
        let mut failed = false;
        let mut negative = false;
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            let name = word.text.trim_start_matches('!');
            negative ^= (word.text.len() - name.len()) % 2 == 1;
            if name.is_empty() {
                continue;
            }
            let part = if name == "{" {
                let Some(end) = rest.iter().position(|word| word.as_str() == "}") else {
                    let message = "this condition is not closed with '}'";
                    let wrong = Diagnostic::error(Code::Syntax, word.span, message);
                    reader.push(
                        wrong.help("the braces stand apart from what is in them: { path /a }"),
                    );
                    return None;
                };
                let (inner, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                rest = after.get(1..).unwrap_or_default();
                anonymous(inner, word.span, place, reader)
            } else if let Some(inner) = name.strip_prefix('{').and_then(|n| n.strip_suffix('}')) {
                let inner = Word {
                    text: inner.to_owned(),
                    span: word.span,
                };
                anonymous(&[inner], word.span, place, reader)
            } else {
                self.named(name, word.span, place, reader)
            };
            match part {
                Some(part) if std::mem::take(&mut negative) => parts.push(negated(part)),
                Some(part) => parts.push(part),
                None => failed = true,
            }
        }
        (!failed).then_some(parts)
    }

    /// The ACL of this name.
    fn named(
        &self,
        name: &str,
        span: Span,
        place: Place,
        reader: &mut Reader<'_>,
    ) -> Option<Condition<Named>> {
        if let Some(terms) = self.declared.get(name) {
            let usable = terms.iter().any(|term| term.sample.when.is_known(place));
            if !usable {
                warn_never(name, terms, span, place, reader);
            }
            let tests = terms.iter().flat_map(|term| term.tests(place)).collect();
            return Some(either(tests));
        }
        if self.broken.iter().any(|broken| broken == name) {
            return None;
        }
        if let Some((_, text)) = PREDEFINED.iter().find(|(known, _)| *known == name) {
            let words: Vec<Word> = text
                .split(' ')
                .map(|text| Word {
                    text: text.to_owned(),
                    span,
                })
                .collect();
            return anonymous(&words, span, place, reader);
        }
        let message = format!("no such ACL: '{name}'");
        let known = self.declared.keys().map(String::as_str);
        let known = known.chain(PREDEFINED.iter().map(|(name, _)| *name));
        let diagnostic = Diagnostic::error(Code::UnknownReference, span, message);
        reader.push(match nearest(name, known.clone()) {
            Some(_) => diagnostic.nearest(name, known),
            None => diagnostic
                .help("declare it above with 'acl', or write the test itself in { braces }"),
        });
        None
    }
}

/// The parts between `or`s. What stands in braces belongs to one test, as a pattern where it reads `or`.
fn alternatives_of(words: &[Word]) -> impl Iterator<Item = &[Word]> {
    let mut inside = false;
    words.split(move |word| {
        let word = word.as_str();
        match inside {
            true => inside = word != "}",
            false => inside = word.trim_start_matches('!') == "{",
        }
        !inside && matches!(word, "or" | "||")
    })
}

/// An ACL without a name.
fn anonymous(
    words: &[Word],
    span: Span,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Condition<Named>> {
    let term = term(words, span, None, reader)?;
    if !term.sample.when.is_known(place) {
        warn_never("", std::slice::from_ref(&term), span, place, reader);
    }
    Some(either(term.tests(place)))
}

fn warn_never(name: &str, terms: &[Term], span: Span, place: Place, reader: &mut Reader<'_>) {
    let Some(term) = terms.first() else { return };
    let which = match name {
        "" => "this test".to_owned(),
        name => format!("acl '{name}'"),
    };
    let message = format!(
        "{which} never matches in {}: '{}' needs {}",
        place.word(),
        term.sample.name,
        term.sample.when.needs()
    );
    reader.warn(Code::WrongPhase, span, message);
}

impl Term {
    /// The tests, of which one must pass; none where the fetch is not known there.
    fn tests(&self, place: Place) -> Vec<Condition<Named>> {
        if !self.sample.when.is_known(place) {
            return Vec::new();
        }
        let tests = self.matchers.iter().map(|matcher| {
            let test = Test {
                expression: self.sample.expression.clone(),
                matcher: matcher.clone(),
            };
            let test = simpler(test);
            match (&test.expression.value, &test.matcher) {
                (Value::Boolean(truth), Matcher::True) if test.expression.transforms.is_empty() => {
                    if *truth {
                        Condition::All(Vec::new())
                    } else {
                        Condition::Any(Vec::new())
                    }
                }
                _ => Condition::Test(Spanned::new(test, self.span)),
            }
        });
        tests.collect()
    }
}

/// A header has a value between commas where it is there at all.
fn simpler(mut test: Test<Named>) -> Test<Named> {
    if let Value::HeaderPart {
        of,
        name,
        part: HeaderPart::Item(None),
    } = &test.expression.value
        && test.matcher == Matcher::Present
        && test.expression.transforms.is_empty()
    {
        let name = name.clone();
        test.expression.value = match of {
            Message::Request => Value::Header(name),
            Message::Response => Value::ResponseHeader(name),
        };
    }
    test
}

fn negated(condition: Condition<Named>) -> Condition<Named> {
    match condition {
        Condition::Not(inner) => *inner,
        Condition::All(parts) if parts.is_empty() => Condition::Any(parts),
        Condition::Any(parts) if parts.is_empty() => Condition::All(parts),
        other => Condition::Not(Box::new(other)),
    }
}

fn either(mut tests: Vec<Condition<Named>>) -> Condition<Named> {
    match (tests.len(), tests.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            tests.push(last);
            Condition::Any(tests)
        }
        (_, None) => Condition::Any(Vec::new()),
    }
}

fn simplified(mut parts: Vec<Condition<Named>>) -> Condition<Named> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Condition::All(parts)
        }
        (_, None) => Condition::All(Vec::new()),
    }
}

/// Reads `FETCH[,CONVERTER] [FLAGS] [PATTERNS]`.
fn term(words: &[Word], span: Span, acl: Option<&str>, reader: &mut Reader<'_>) -> Option<Term> {
    let Some((fetch, rest)) = words.split_first() else {
        let message = match acl {
            Some(name) => format!("acl '{name}' says nothing"),
            None => "an empty test".to_owned(),
        };
        let diagnostic = Diagnostic::error(Code::Missing, span, message);
        reader.push(diagnostic.help("write what is looked at and what it must be: path_beg /api"));
        return None;
    };
    let (text, implied) = derived(&fetch.text);
    let sample = sample::sample(&text, fetch.span, Place::ACL, reader)?;
    let implied = implied.filter(|_| !sample.converted);
    let mut sample = sample;
    let matchers = patterns::matchers(&mut sample, implied, rest, fetch, reader)?;
    Some(Term {
        sample,
        matchers,
        span: if acl.is_some() { fetch.span } else { span },
    })
}

/// The fetch that the word of an ACL stands for, and the method that it implies.
fn derived(text: &str) -> (String, Option<Method>) {
    let end = text.find(['(', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let whole = |fetch: &str, method| (format!("{fetch}{rest}"), Some(method));
    match name {
        "http_auth_group" => return whole(name, Method::Group),
        "method" => return whole(name, Method::Text),
        "payload" => return whole("req.payload", Method::Binary),
        "payload_lv" => return whole("req.payload_lv", Method::Binary),
        "req_rdp_cookie" => return whole("req.rdp_cookie", Method::Text),
        "req_rdp_cookie_cnt" => return whole("req.rdp_cookie_cnt", Method::Number),
        "req_ssl_sni" => return whole("req.ssl_sni", Method::Text),
        "req_ssl_ver" | "req.ssl_ver" => return whole("req.ssl_ver", Method::Version),
        "req_ver" => return whole("req.ver", Method::Text),
        "resp_ver" => return whole("res.ver", Method::Text),
        "ssl_fc_sni_end" => return whole("ssl_fc_sni", Method::Suffix),
        "ssl_fc_sni_reg" => return whole("ssl_fc_sni", Method::Regex),
        _ => {}
    }
    for (word, fetch) in DERIVED {
        if name == *word {
            return whole(fetch, Method::Text);
        }
        let suffix = name.strip_prefix(word).and_then(|s| s.strip_prefix('_'));
        if let Some(method) = suffix.and_then(Method::of_suffix) {
            return whole(fetch, method);
        }
    }
    (text.to_owned(), None)
}
