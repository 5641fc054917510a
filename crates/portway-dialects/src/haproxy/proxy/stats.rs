//! `stats …` of a proxy: the page of statistics.

use super::keyword::{extra, missing, word};
use super::rule::{self, List};
use super::{Args, Proxy};
use crate::haproxy::units::{self, Unit};
use crate::haproxy::{Line, Reader, Word};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::Condition;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::time::Duration;

/// Where the page is unless told otherwise, HAProxy's.
pub(crate) const STATS_URI: &str = "/haproxy?stats";

/// What a `stats http-request` rule does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StatsStep {
    Allow,
    Deny,
    /// Asks for authorization, with this realm.
    Auth(Option<String>),
}

/// The page of a proxy. It is there as soon as any `stats` line is.
#[derive(Debug, Clone)]
pub(crate) struct StatsSettings {
    pub(crate) uri: Option<Spanned<String>>,
    pub(crate) realm: Option<String>,
    pub(crate) refresh: Option<Duration>,
    pub(crate) hide_version: bool,
    pub(crate) show_legends: bool,
    pub(crate) show_modules: bool,
    /// Empty: that of the process.
    pub(crate) node: Option<String>,
    /// Empty: that of the process.
    pub(crate) description: Option<String>,
    /// Names and passwords.
    pub(crate) users: Vec<(Spanned<String>, Spanned<String>)>,
    pub(crate) scope: Vec<Spanned<String>>,
    pub(crate) admin: Option<Condition<Named>>,
    pub(crate) rules: Vec<(StatsStep, Condition<Named>, Span)>,
    pub(crate) span: Span,
}

/// Reads one line.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let kind = line.text(1);
    if kind.is_empty() {
        missing(line, "a word, such as `enable`", reader);
        return;
    }
    // Conditions look at the proxy while the page is changed.
    let Some(condition) = condition(proxy, line, reader) else {
        return;
    };
    let stats = proxy.stats.get_or_insert_with(|| StatsSettings {
        uri: None,
        realm: None,
        refresh: None,
        hide_version: false,
        show_legends: false,
        show_modules: false,
        node: None,
        description: None,
        users: Vec::new(),
        scope: Vec::new(),
        admin: None,
        rules: Vec::new(),
        span: line.span,
    });
    say(stats, line, condition, reader);
}

/// The condition of a line that has one; `always` for others.
fn condition(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) -> Option<Condition<Named>> {
    let from = match line.text(1) {
        "admin" => 2,
        "http-request" => {
            let words = line.from(0);
            let at = words
                .iter()
                .position(|word| matches!(word.as_str(), "if" | "unless"));
            at.unwrap_or(words.len())
        }
        _ => return Some(Condition::All(Vec::new())),
    };
    let mut args = Args::new(line, from);
    if line.text(1) == "admin" && !args.at_condition() {
        missing(line, "`if` or `unless` with a condition", reader);
        return None;
    }
    rule::condition(proxy, List::HttpRequest, &mut args, reader)
}

fn say(
    stats: &mut StatsSettings,
    line: &Line,
    condition: Condition<Named>,
    reader: &mut Reader<'_>,
) {
    let rest = || -> String {
        let words: Vec<&str> = line.from(2).iter().map(Word::as_str).collect();
        words.join(" ")
    };
    match line.text(1) {
        "uri" => stats.uri = word(line, 2, "a path", reader),
        "realm" => stats.realm = word(line, 2, "a realm", reader).map(|realm| realm.value),
        "hide-version" => stats.hide_version = true,
        "show-legends" => stats.show_legends = true,
        "show-modules" => stats.show_modules = true,
        "show-node" => {
            if let Some(name) = line.word(2).filter(|name| !is_node(&name.text)) {
                node_fault(name, reader);
            }
            stats.node = Some(rest());
        }
        "show-desc" => stats.description = Some(rest()),
        "scope" => stats
            .scope
            .extend(word(line, 2, "the name of a proxy", reader)),
        "admin" => {
            stats.admin = Some(match stats.admin.take() {
                Some(before) => Condition::Any(vec![before, condition]),
                None => condition,
            });
        }
        "refresh" => {
            if let Some(word) = line.word(2) {
                stats.refresh = units::duration(word, Unit::Seconds, reader);
                extra(line, 3, reader);
            } else {
                missing(line, "a time", reader);
            }
        }
        "auth" => {
            let Some(word) = line.word(2) else {
                missing(line, "`user:password`", reader);
                return;
            };
            let (user, password) = word.as_str().split_once(':').unwrap_or((word.as_str(), ""));
            stats.users.push((
                word.spanned(user.to_owned()),
                word.spanned(password.to_owned()),
            ));
        }
        "http-request" => http_request(stats, line, condition, reader),
        _ => {}
    }
}

/// What the name of a node is made of.
pub(crate) fn is_node(name: &str) -> bool {
    name.bytes()
        .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'-' | b'_'))
}

pub(crate) fn node_fault(name: &Word, reader: &mut Reader<'_>) {
    let message = format!("`{}` is not the name of a node", name.text);
    let help = "it has letters, digits, `.`, `-` and `_`";
    reader.push(Diagnostic::error(Code::OutOfRange, name.span, message).help(help));
}

fn http_request(
    stats: &mut StatsSettings,
    line: &Line,
    condition: Condition<Named>,
    reader: &mut Reader<'_>,
) {
    let realm = line.text(2) == "auth" && line.text(3) == "realm";
    let next = if realm { 5 } else { 3 };
    if !matches!(line.text(next), "" | "if" | "unless") {
        extra(line, next, reader);
    }
    let step = match line.text(2) {
        "allow" => StatsStep::Allow,
        "deny" => StatsStep::Deny,
        "auth" => StatsStep::Auth(realm.then(|| line.text(4).to_owned())),
        other => {
            let span = line.word(2).map_or(line.span, |word| word.span);
            reader.push(crate::unknown_word(
                span,
                "action of `stats http-request`",
                other,
                ["allow", "deny", "auth"],
            ));
            return;
        }
    };
    stats.rules.push((step, condition, line.span));
}
