//! What was taken down, in words: which test failed by which value, and what actions did.

use portway_core::balance::Ability;
use portway_core::breaker::State;
use portway_dataplane::explain::{CircuitTold, Done, Reason};
use portway_dialects::{Dialect, detect, expression, native};
use portway_model::action::{End, Rule};
use portway_model::circuit::WINDOW;
use portway_model::expression::{
    Expression, MatchGroup, Matcher, NumberRange, Test, TextMatch, Value,
};
use portway_model::lift::{lift_expression, lift_rule};
use portway_model::snapshot::{GroupId, Snapshot};
use portway_model::span::{FileId, SourceText, Sources, Span, Spanned};
use portway_model::stage::Resolved;
use std::collections::HashMap;

use super::secrets::{Discretion, HIDDEN};

/// Characters of a value or of a rule's text that are shown.
const SHOWN: usize = 120;
/// Patterns of a test that are shown.
const PATTERNS: usize = 3;

/// What objects are called in the language of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// What accepts connections.
    pub listener: &'static str,
    /// Where rules forward to.
    pub group: &'static str,
    /// What serves.
    pub target: &'static str,
}

impl Words {
    /// Those of the language that the text of an object is in.
    pub(super) fn of(sources: &Sources, span: Span) -> Self {
        let text = sources
            .get(span.file)
            .or_else(|| Some(sources.iter().next()?.1));
        let (listener, group, target) = match text.and_then(|it| detect(&it.name, &it.text)) {
            Some(Dialect::Haproxy) => ("frontend", "backend", "server"),
            Some(Dialect::Traefik) => ("entry point", "service", "server"),
            _ => ("listener", "target group", "target"),
        };
        Self {
            listener,
            group,
            target,
        }
    }
}

/// What words need to know.
pub(super) struct Speaker<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) sources: &'s Sources,
    pub(super) discretion: Discretion<'s>,
    /// What is known of the texts.
    texts: HashMap<FileId, Text>,
}

/// What is looked up again and again in a text: there may be a rule on each of its lines.
struct Text {
    /// Where each line begins.
    lines: Vec<usize>,
    is_haproxy: bool,
}

impl<'s> Speaker<'s> {
    /// Speaks of this configuration, `discreet` where it may hold secrets.
    pub(super) fn new(snapshot: &'s Snapshot, sources: &'s Sources, discreet: bool) -> Self {
        let text = |(id, source): (FileId, &SourceText)| {
            let ends = source.text.match_indices('\n');
            let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
            let text = Text {
                lines: lines.collect(),
                is_haproxy: detect(&source.name, &source.text) == Some(Dialect::Haproxy),
            };
            (id, text)
        };
        Self {
            snapshot,
            sources,
            discretion: Discretion::new(snapshot, discreet),
            texts: sources.iter().map(text).collect(),
        }
    }
}

impl Speaker<'_> {
    /// `FILE:LINE` of a text.
    pub(super) fn place(&self, span: Span) -> Option<String> {
        let lines = &self.texts.get(&span.file)?.lines;
        let line = lines.partition_point(|begin| *begin <= span.range().start);
        let file = &self.sources.get(span.file)?.name;
        Some(format!("{file}:{line}"))
    }

    /// The text of a rule on one line.
    pub(super) fn text_of(&self, rule: &Rule<Resolved>) -> Option<String> {
        if self.discretion.hides_rule(rule) {
            return Some(HIDDEN.to_owned());
        }
        let span = rule.origin.0;
        if span.is_none() {
            let text = native::rule_text(&lift_rule(self.snapshot, rule));
            return Some(cut(&text));
        }
        let text = &self.sources.get(span.file)?.text;
        let start = text.floor_char_boundary(span.range().start);
        let end = text.floor_char_boundary(span.range().end).max(start);
        let begin = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(end..)?;
        let mut end = end + rest.find('\n').unwrap_or(rest.len());
        // A table of TOML goes on to the next.
        if text.get(begin..)?.starts_with("[[") {
            let rest = text.get(end..)?;
            end += rest.find("\n[").unwrap_or(rest.len());
        }
        let lines = text.get(begin..end)?.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Some(cut(&lines.collect::<Vec<_>>().join(" ")))
    }

    /// Why a test passed or did not.
    pub(super) fn reason(&self, reason: &Reason) -> String {
        let Expression { value, transforms } = &reason.test.expression;
        let subject = self.subject(&reason.test.expression, reason.span);
        let bare = transforms.is_empty();
        if reason.values.is_empty() {
            return match value {
                Value::Header(name) if bare => format!("there is no header {name}"),
                Value::Cookie(name) if bare => format!("there is no cookie {name}"),
                _ => format!("{subject} is not there"),
            };
        }
        if let Some(kept) = self.discretion.test(reason, &subject) {
            return kept;
        }
        let known: Vec<String> = reason.values.iter().map(|it| shown(it)).collect();
        let is = format!("{subject} is {}", known.join(", "));
        match &reason.test.matcher {
            Matcher::Present => is,
            Matcher::True => truth(&subject, reason),
            matcher => format!("{is}, {}", self.comparison(matcher, reason.passed)),
        }
    }

    /// That a test depends on the response, or on what the target of a stream sends first.
    pub(super) fn open(&self, test: &Spanned<Test<Resolved>>, is_stream: bool) -> String {
        let subject = self.subject(&test.value.expression, test.span);
        match is_stream {
            true => format!("depends on what the target sends first: {subject}"),
            false => format!("depends on the response: {subject}"),
        }
    }

    fn comparison(&self, matcher: &Matcher<Resolved>, passed: bool) -> String {
        match matcher {
            Matcher::Present | Matcher::True => String::new(),
            Matcher::Text { how, any_of, .. } => {
                let (yes, no) = match how {
                    TextMatch::Exact => ("as asked:", "not"),
                    TextMatch::Prefix => ("begins with", "does not begin with"),
                    TextMatch::Suffix => ("ends with", "does not end with"),
                    TextMatch::Contains => ("contains", "does not contain"),
                    TextMatch::Glob => ("fits", "does not fit"),
                    TextMatch::Segment => ("has the segment", "has no segment"),
                    TextMatch::Label => ("has the label", "has no label"),
                };
                let patterns = any_of.iter().map(|it| quoted(it.as_bytes()));
                match (how, passed, any_of.len()) {
                    (TextMatch::Exact, true, 1) => "as it is to be".to_owned(),
                    _ => format!("{} {}", if passed { yes } else { no }, list(patterns)),
                }
            }
            Matcher::Regex { any_of } => {
                let patterns = any_of.iter().map(|it| format!("`{}`", cut(it.as_str())));
                let fits = if passed { "fits" } else { "does not fit" };
                format!("{fits} {}", list(patterns))
            }
            Matcher::Number { any_of } => {
                let ranges = any_of.iter().map(|it| range(*it));
                format!("{}in {}", not(!passed), list(ranges))
            }
            Matcher::Address { any_of } => {
                let networks = any_of.iter().map(ToString::to_string);
                format!("{}in {}", not(!passed), list(networks))
            }
            Matcher::Listed { list } => {
                let list = self.snapshot.maps.get(list.index());
                let name = list.map_or("", |it| it.file.as_deref().unwrap_or(it.name.as_str()));
                format!("{}in the list {name}", not(!passed))
            }
        }
    }

    /// The words of haproxy.cfg that a test looks at: those before its patterns.
    fn own_words(&self, span: Span) -> Option<String> {
        if !self.texts.get(&span.file)?.is_haproxy {
            return None;
        }
        let text = &self.sources.get(span.file)?.text;
        let text = text.get(span.range().start..)?;
        let mut words = text.lines().next()?.split_whitespace();
        // In braces, or behind `acl NAME`.
        let word = match words.next()? {
            "{" => words.next(),
            "acl" => words.nth(1),
            _ => None,
        };
        word.map(str::to_owned)
    }

    /// What a test looks at.
    fn subject(&self, expression: &Expression<Resolved>, span: Span) -> String {
        let Expression { value, transforms } = expression;
        let plain = match value {
            _ if !transforms.is_empty() => None,
            Value::Host => Some("host".to_owned()),
            Value::Path => Some("path".to_owned()),
            Value::Method => Some("method".to_owned()),
            Value::Source => Some("the client".to_owned()),
            Value::Header(name) => Some(format!("header {name}")),
            Value::Cookie(name) => Some(format!("cookie {name}")),
            _ => None,
        };
        let plain = plain.or_else(|| self.own_words(span));
        plain.unwrap_or_else(|| expression::print(&lift_expression(self.snapshot, expression)))
    }

    fn table(&self, id: portway_model::snapshot::StickTableId) -> &str {
        let table = self.snapshot.stick_tables.get(id.index());
        table.map_or("", |it| it.name.as_str())
    }

    fn group(&self, id: portway_model::snapshot::GroupId) -> &str {
        self.snapshot.group(id).map_or("", |it| it.name.as_str())
    }

    /// What an action of a rule did; `None`: nothing that anybody needs to know.
    pub(super) fn done(
        &self,
        done: &Done,
        rule: Option<&Rule<Resolved>>,
        words: Words,
        target: impl Fn(usize) -> Option<String>,
    ) -> Option<String> {
        let Words { group, .. } = words;
        let hides = self.discretion.hides_done(done, rule);
        Some(match done {
            Done::Found { matched, value } => {
                let group = match &matched.group {
                    MatchGroup::Number(number) => number.to_string(),
                    MatchGroup::Name(name) => format!("`{name}`"),
                };
                match value {
                    Some(_) if hides => format!("matched({group}) is {HIDDEN}"),
                    Some(value) => format!("matched({group}) is {}", quoted(value)),
                    None => format!("matched({group}) is not there"),
                }
            }
            Done::Circuit(told) => circuit(told),
            Done::Header { name, values } if values.is_empty() => format!("header {name} is gone"),
            Done::Header { name, .. } if hides => format!("header {name} is now {HIDDEN}"),
            Done::Header { name, values } => {
                format!(
                    "header {name} is now {}",
                    list(values.iter().map(|it| quoted(it)))
                )
            }
            Done::Gone(names) => format!("gone: {}", names.join(", ")),
            Done::Target { .. } if hides => format!("path and query are now {HIDDEN}"),
            Done::Target { from, to } => {
                format!("path and query: {} → {}", quoted(from), quoted(to))
            }
            Done::Method(method) => format!("the method is now {}", quoted(method)),
            Done::Variable { variable, value } => {
                let name = variable.name.as_str();
                match value {
                    Some(_) if hides => format!("variable {name} is now {HIDDEN}"),
                    Some(value) => format!("variable {name} is now {}", quoted(value)),
                    None => format!("variable {name} has no value"),
                }
            }
            Done::End { end, to } => {
                let end = match end {
                    End::Source => "the client's address",
                    End::SourcePort => "the client's port",
                    End::Destination => "the address it came to",
                    End::DestinationPort => "the port it came to",
                };
                format!("{end} is now {}", quoted(to))
            }
            Done::Captured(_) if hides => format!("kept for the log: {HIDDEN}"),
            Done::Captured(value) => format!("{} is kept for the log", quoted(value)),
            Done::Tracked {
                table,
                key: Some(_),
            } if hides => {
                format!("counted in {} under {HIDDEN}", self.table(*table))
            }
            Done::Stuck {
                table,
                key: Some(_),
                target: kept,
            } if hides => {
                let kept = kept.and_then(target).unwrap_or_else(|| "nobody".to_owned());
                format!("{} remembers {kept} for {HIDDEN}", self.table(*table))
            }
            Done::Tracked { table, key } => match key {
                Some(key) => {
                    format!("counted in {} under {}", self.table(*table), quoted(key))
                }
                None => format!("not counted in {}: there is no key", self.table(*table)),
            },
            Done::Stuck {
                table,
                key,
                target: kept,
            } => {
                let table = self.table(*table);
                match (key, kept.and_then(target)) {
                    (None, _) => format!("{table} is not asked: there is no key"),
                    (Some(key), Some(kept)) => {
                        format!("{table} remembers {kept} for {}", quoted(key))
                    }
                    (Some(key), None) => format!("{table} remembers nobody for {}", quoted(key)),
                }
            }
            Done::Named { name, target: None } => {
                format!("{} may not be taken: others are asked", quoted(name))
            }
            Done::Named { target: named, .. } => format!("→ {}", target((*named)?)?),
            Done::Drawn {
                among,
                others,
                by_hash,
                taken,
            } => self.drawn(among, others, (*taken, *by_hash), words),
            Done::Forwarded(id) => format!("→ {group} {}", self.group(*id)),
            Done::HandedOver(id) => {
                let listener = self.snapshot.listeners.get(id.index())?;
                format!("→ {} {}", words.listener, listener.name)
            }
            Done::Passes => "lets it pass".to_owned(),
            Done::Mirrored(id, 100) => format!("a copy goes to {group} {}", self.group(*id)),
            Done::Mirrored(id, percent) => {
                format!("a copy of {percent} % goes to {group} {}", self.group(*id))
            }
            Done::Traced(true) => "is a step of a trace, which is sampled".to_owned(),
            Done::Traced(false) => "is a step of a trace, which is not sampled".to_owned(),
            Done::ToldOrigin(Some(origin)) => format!(
                "its response says Access-Control-Allow-Origin: {}",
                String::from_utf8_lossy(origin)
            ),
            Done::ToldOrigin(None) => {
                "its response does not say Access-Control-Allow-Origin: no page of another origin that may read asks".to_owned()
            }
            Done::TokenUnjudged => "asks for a good token, whose keys are fetched while Portway runs: it goes on as if it were good".to_owned(),
            Done::Asks(id) => format!(
                "asks {group} {} whether it may go on: taken for a yes, of which nothing is known",
                self.group(*id)
            ),
            Done::Waits => "waits for the body: taken for what is given here".to_owned(),
            Done::MapChange => {
                "a map would change; rules below are shown with it as it is".to_owned()
            }
            Done::Quiet => return None,
        })
    }

    fn drawn(
        &self,
        among: &[(GroupId, u16)],
        others: &[(GroupId, Ability)],
        (taken, by_hash): (Option<GroupId>, bool),
        words: Words,
    ) -> String {
        let Some(taken) = taken else {
            return format!("no {} has any weight", words.group);
        };
        let sum: u32 = among.iter().map(|it| u32::from(it.1)).sum();
        let share = |(id, weight): &(_, u16)| {
            format!("{} {}", self.group(*id), percent(u32::from(*weight), sum))
        };
        let shares: Vec<String> = among.iter().map(share).collect();
        let others = others.iter().map(|(id, ability)| {
            let why = match ability {
                Ability::Enough => "comes later",
                Ability::Some => "has too few healthy targets",
                Ability::FailOpen | Ability::None => "has no healthy target",
            };
            format!("; {} {why}", self.group(*id))
        });
        let others: String = others.collect();
        match shares.as_slice() {
            [_] => format!("→ {} {}{others}", words.group, self.group(taken)),
            _ if by_hash => format!(
                "→ {} {} by the hash, of {}{others}",
                words.group,
                self.group(taken),
                shares.join(", ")
            ),
            _ => format!(
                "→ one {} by weight: {}{others}; shown on with {}",
                words.group,
                shares.join(", "),
                self.group(taken)
            ),
        }
    }
}

/// What a circuit breaker does now, and what else it would do.
fn circuit(told: &CircuitTold) -> String {
    let it = &told.settings;
    let name = format!("circuit breaker {}", it.name);
    let left = told.left.unwrap_or_default().as_secs();
    let (opens_when, status, open_for) = (&it.opens_when, it.status, it.open_for);
    match told.state {
        State::Closed => format!(
            "{name} is closed and lets it pass; opens when {opens_when} (of {} requests or more in {WINDOW:?}) and then answers {status} for {open_for:?}",
            it.min_requests
        ),
        State::Open { .. } => format!(
            "{name} is open for {left} s more and answers {status}: it has seen that {opens_when}"
        ),
        State::Recovering { .. } if told.answers() => {
            format!("{name} recovers for {left} s more: none passes yet, it answers {status}")
        }
        State::Recovering { .. } => format!(
            "{name} recovers for {left} s more: {:.0} % pass, this one is taken to be among them; others get {status}; opens again when {opens_when}",
            told.percent
        ),
    }
}

fn truth(subject: &str, reason: &Reason) -> String {
    let is = |text: &[u8]| reason.values.iter().all(|it| it == text);
    match () {
        () if is(b"1") => format!("{subject} is true"),
        () if is(b"0") => format!("{subject} is not true"),
        () => {
            let known: Vec<String> = reason.values.iter().map(|it| shown(it)).collect();
            format!("{subject} is {}", known.join(", "))
        }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "not " } else { "" }
}

/// A share in whole percents, or tenths where it is small.
pub(super) fn percent(part: u32, sum: u32) -> String {
    if sum == 0 {
        return "0 %".to_owned();
    }
    let share = f64::from(part) * 100.0 / f64::from(sum);
    match share {
        share if share > 0.0 && share < 1.0 => format!("{share:.1} %"),
        share => format!("{share:.0} %"),
    }
}

/// The first few, and how many more there are.
fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(PATTERNS);
    let shown: Vec<String> = items.take(PATTERNS).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} or {more} others"),
    }
}

fn range(range: NumberRange) -> String {
    match (range.min, range.max) {
        (min, max) if min == max => min.to_string(),
        (i64::MIN, max) => format!("..{max}"),
        (min, i64::MAX) => format!("{min}.."),
        (min, max) => format!("{min}..{max}"),
    }
}

/// A value: a number as it is, anything else quoted.
fn shown(bytes: &[u8]) -> String {
    let is_number = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    match str::from_utf8(bytes) {
        Ok(text) if is_number => text.to_owned(),
        _ => quoted(bytes),
    }
}

/// In double quotes, on one line, and not too long.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::from("\"");
    for character in text.chars().take(SHOWN) {
        match character {
            '"' => out.push_str("\\\""),
            character if character.is_control() => out.extend(character.escape_default()),
            character => out.push(character),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out.push('"');
    out
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_texts() {
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(1, 1000), "0.1 %");
        assert_eq!(percent(0, 0), "0 %");
        assert_eq!(quoted(b"a\"b\n\xff"), "\"a\\\"b\\n\u{fffd}\"");
        assert_eq!(
            list(["a", "b", "c", "d", "e"].map(str::to_owned).into_iter()),
            "a, b, c or 2 others"
        );
    }
}
