//! What servers are told about clients, as Traefik tells it: X-Forwarded-*, X-Real-Ip, and the path as rules see it.
//!
//! What an untrusted client says of itself is removed. X-Forwarded-Proto is `ws` or `wss` for a WebSocket; a middleware
//! that sets it, or any other, comes later and counts.

use super::super::entry_point::EntryPoint;
use super::super::matcher::{expression, networks, one_of, test};
use super::super::schema::Section;
use super::chain::rule;
use super::middleware::{of, set_header, text_answer};
use super::{Speech, over_tls};
use portway_model::action::{Action, NamePattern, Normalization, Phase};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::ListenerDraft;
use portway_model::expression::{
    Condition, Expression, Matcher, Message, Template, TemplatePart, TextMatch, Transform, Value,
};
use portway_model::settings::ForwardedMode;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Names of headers that only a trusted proxy may send, also with `_` for `-`. Others that begin so, such as X-Forwarded-User, are
/// somebody else's.
const OURS: &str = "^(?i:x[-_](?:real[-_]ip|scheme|forwarded[-_](?:for|host|method|port|prefix|proto|scheme|server|uri|tls[-_]client[-_]cert(?:[-_]info)?)))$";
/// The port at the end of a Host header.
const PORT: &str = r"^(?:\[[^\]]*\]|[^:]*):?([0-9]*)$";

pub(super) fn lower(
    entry: &EntryPoint,
    speech: Speech,
    listener: &mut ListenerDraft,
    found: &mut Diagnostics,
) {
    let at = entry.name.span;
    listener.rules.extend(odd_names(entry, found));
    let sanitize = entry
        .section
        .section("http")
        .and_then(|it| it.flag("sanitizePath"));
    let sanitize = sanitize.is_none_or(|it| it.value);
    listener.rules.push(normal_path(sanitize, at));
    let options = entry.section.section("http.encodedCharacters");
    let without = options.and_then(|it| encoded(it, true));
    listener.rules.extend(
        without.map(|(condition, answer)| rule(Phase::Request, condition, vec![answer], at)),
    );
    if entry
        .section
        .section("http")
        .is_some_and(|it| it.is_on("encodeQuerySemicolons"))
    {
        listener.rules.push(encoded_semicolons(at));
    }
    let none = Section::new(at);
    let section = entry.section.section("forwardedHeaders").unwrap_or(&none);
    let trusted = section.list("trustedIPs");
    let append = !section.is_on("notAppendXForwardedFor");
    let mut always = Condition::All(Vec::new());
    if section.is_on("insecure") {
        facts(listener, speech, true, at);
    } else {
        if !trusted.is_empty() {
            match from(trusted, section.span, found) {
                Some(trusted) => always = Condition::Not(Box::new(trusted)),
                None => return,
            }
        }
        let mut actions = vec![Action::RemoveHeaders(NamePattern::Regex(Spanned::bare(
            OURS.to_owned(),
        )))];
        if append {
            actions.push(set_header("X-Forwarded-For", of(Value::Source)));
        }
        listener
            .rules
            .push(rule(Phase::Request, always, actions, at));
        facts(listener, speech, !trusted.is_empty(), at);
    }
    if section.is_on("addXForwardedSchemeHeaders") {
        let proto = || of(Value::Header("X-Forwarded-Proto".to_owned()));
        let actions = vec![
            set_header("X-Forwarded-Scheme", proto()),
            set_header("X-Scheme", proto()),
        ];
        let always = Condition::All(Vec::new());
        listener
            .rules
            .push(rule(Phase::Request, always, actions, at));
    }
    // Rules say them, but for what a trusted proxy is added to.
    let mode = |mode| Some(Spanned::bare(mode));
    listener.forwarded.x_forwarded_for = mode(match append {
        true => ForwardedMode::Append,
        false => ForwardedMode::Preserve,
    });
    listener.forwarded.x_forwarded_proto = mode(ForwardedMode::Preserve);
    listener.forwarded.x_forwarded_port = mode(ForwardedMode::Preserve);
    listener.forwarded.x_forwarded_host = mode(ForwardedMode::Preserve);
    listener.forwarded.forwarded = mode(ForwardedMode::Preserve);
}

/// Options about headers whose names others read as another one's, with what such names have.
const ODD_NAMES: [(&str, &str, &str); 2] = [
    ("underscoreHeadersStrategy", "_", "_"),
    ("aliasHeadersStrategy", "[^A-Za-z0-9-]", "[^A-Za-z0-9,-]"),
];

/// Headers with such names are taken away, or the request is refused, before routers see it.
fn odd_names(
    entry: &EntryPoint,
    found: &mut Diagnostics,
) -> Vec<portway_model::action::Rule<Named>> {
    let mut rules = Vec::new();
    let section = entry.section.section("http");
    for (option, of_name, of_list) in ODD_NAMES {
        let Some(said) = section.and_then(|it| it.some_text(option)) else {
            continue;
        };
        let pattern = |text: &str| Spanned::new(text.to_owned(), said.span);
        match said.value {
            "keep" => {}
            "delete" => {
                let names = NamePattern::Regex(pattern(of_name));
                let all = Condition::All(Vec::new());
                let away = vec![Action::RemoveHeaders(names)];
                rules.push(rule(Phase::Request, all, away, said.span));
            }
            "reject" => {
                let names = Value::HeaderNames {
                    of: Message::Request,
                    delimiter: ",".to_owned(),
                };
                let any_of = vec![pattern(of_list)];
                let some = test(names, Matcher::Regex { any_of }, said.span);
                let answer = vec![Action::Deny(text_answer(400, "Bad Request\n"))];
                rules.push(rule(Phase::Request, some, answer, said.span));
            }
            other => {
                let known = ["keep", "delete", "reject"];
                let message = format!("`{other}` is no `{option}`");
                let one = Diagnostic::error(Code::OutOfRange, said.span, message);
                let one = one.help(format!("one of: {}", known.join(", ")));
                found.push(one.nearest(other, known));
            }
        }
    }
    rules
}

/// The client's address is one of these. What is wrong with them is in `found`.
pub(super) fn from(
    list: &[Spanned<String>],
    at: Span,
    found: &mut Diagnostics,
) -> Option<Condition<Named>> {
    match networks(list) {
        Ok(any_of) => Some(test(Value::Source, Matcher::Address { any_of }, at)),
        Err(one) => {
            found.push(*one);
            None
        }
    }
}

/// Paths have one form before rules see them, so that nobody gets around a rule by another one: what need not be encoded
/// is not, and where a path is sanitized `//`, `/./` and `/../` are resolved after that.
fn normal_path(sanitize: bool, at: Span) -> portway_model::action::Rule<Named> {
    let words: &[&str] = match sanitize {
        true => &["%", "//", "/."],
        false => &["%"],
    };
    let how = Matcher::Text {
        how: TextMatch::Contains,
        any_of: words.iter().map(|it| (*it).to_owned()).collect(),
        ignore_case: false,
    };
    let mut forms = vec![
        Normalization::DecodeUnreserved,
        Normalization::UppercasePercent,
    ];
    if sanitize {
        forms.extend([
            Normalization::MergeSlashes,
            Normalization::StripDot,
            Normalization::StripDotdotFull,
        ]);
    }
    let actions = forms.into_iter().map(Action::Normalize).collect();
    rule(Phase::Request, test(Value::Path, how, at), actions, at)
}

/// Characters that may be forbidden in paths where they are percent-encoded, in upper case.
const ENCODED: [(&str, &str); 7] = [
    ("allowEncodedSlash", "%2F"),
    ("allowEncodedBackSlash", "%5C"),
    ("allowEncodedNullCharacter", "%00"),
    ("allowEncodedSemicolon", "%3B"),
    ("allowEncodedPercent", "%25"),
    ("allowEncodedQuestionMark", "%3F"),
    ("allowEncodedHash", "%23"),
];

/// A `;` in a query goes on as `%3B`.
fn encoded_semicolons(at: Span) -> portway_model::action::Rule<Named> {
    let how = Matcher::Text {
        how: TextMatch::Contains,
        any_of: vec![";".to_owned()],
        ignore_case: false,
    };
    let encoded = Expression {
        value: Value::Query,
        transforms: vec![Transform::Replace {
            pattern: Spanned::bare(";".to_owned()),
            with: "%3B".to_owned(),
            all: true,
        }],
    };
    let query = Template(vec![TemplatePart::Expression(Spanned::bare(encoded))]);
    let actions = vec![Action::SetQuery(query)];
    rule(Phase::Request, test(Value::Query, how, at), actions, at)
}

/// Which paths have encoded characters that are forbidden, and their answer; `allowed`: those of which nothing is said.
pub(super) fn encoded(
    section: &Section,
    allowed: bool,
) -> Option<(Condition<Named>, Action<Named>)> {
    let at = section.span;
    let forbidden = |(name, _): &&(&str, &str)| !section.flag(name).map_or(allowed, |it| it.value);
    let any_of = ENCODED.iter().filter(forbidden);
    let any_of: Vec<String> = any_of.map(|(_, code)| (*code).to_owned()).collect();
    let how = Matcher::Text {
        how: TextMatch::Contains,
        any_of,
        ignore_case: true,
    };
    let answer = Action::Deny(text_answer(400, "Bad Request\n"));
    let is_some = matches!(&how, Matcher::Text { any_of, .. } if !any_of.is_empty());
    is_some.then(|| (test(Value::Path, how, at), answer))
}

/// Sets what is not said yet. `said`: a proxy may have said it.
fn facts(listener: &mut ListenerDraft, speech: Speech, said: bool, at: Span) {
    match speech {
        Speech::Clear => facts_of(listener, None, false, said, at),
        Speech::Tls => facts_of(listener, None, true, said, at),
        Speech::Both => {
            facts_of(listener, Some(over_tls(at)), true, said, at);
            let clear = Condition::Not(Box::new(over_tls(at)));
            facts_of(listener, Some(clear), false, said, at);
        }
    }
}

/// The facts of a client that speaks TLS, or in the clear, where `only` holds.
fn facts_of(
    listener: &mut ListenerDraft,
    only: Option<Condition<Named>>,
    tls: bool,
    said: bool,
    at: Span,
) {
    let (scheme, socket, port) = match tls {
        true => ("https", "wss", "443"),
        false => ("http", "ws", "80"),
    };
    let host = || Value::Header("Host".to_owned());
    let explicit = Transform::Replace {
        pattern: Spanned::bare(PORT.to_owned()),
        with: "$1".to_owned(),
        all: false,
    };
    let port_of = |usual: &str| {
        let otherwise = Transform::Otherwise(usual.to_owned());
        let port = expression(host(), vec![explicit.clone(), otherwise]);
        Template(vec![TemplatePart::Expression(Spanned::bare(port))])
    };
    let is_socket = one_of(
        Value::Header("Upgrade".to_owned()),
        vec!["websocket".to_owned()],
        true,
        at,
    );
    let is_missing = |name: &str| {
        let there = test(Value::Header(name.to_owned()), Matcher::Present, at);
        Condition::Not(Box::new(there))
    };
    let mut add = |condition: Condition<Named>, actions: Vec<Action<Named>>| {
        let condition = match (&only, condition) {
            (None, condition) => condition,
            (Some(only), condition) if condition.is_always() => only.clone(),
            (Some(only), Condition::All(mut parts)) => {
                parts.insert(0, only.clone());
                Condition::All(parts)
            }
            (Some(only), condition) => Condition::All(vec![only.clone(), condition]),
        };
        listener
            .rules
            .push(rule(Phase::Request, condition, actions, at));
    };
    let proto = |word: &str| set_header("X-Forwarded-Proto", Template::text(word));
    let server = set_header("X-Forwarded-Server", of(Value::Hostname));
    if !said {
        let actions = vec![
            set_header("X-Forwarded-Host", of(host())),
            set_header("X-Forwarded-Port", port_of(port)),
            proto(scheme),
            server,
            set_header("X-Real-Ip", of(Value::Source)),
        ];
        add(Condition::All(Vec::new()), actions);
        add(is_socket, vec![proto(socket)]);
        return;
    }
    add(Condition::All(Vec::new()), vec![server]);
    let missing = is_missing("X-Forwarded-Proto");
    add(
        Condition::All(vec![missing.clone(), is_socket]),
        vec![proto(socket)],
    );
    add(missing, vec![proto(scheme)]);
    let missing = is_missing("X-Forwarded-Port");
    let secure = one_of(
        Value::Header("X-Forwarded-Proto".to_owned()),
        vec!["https".to_owned(), "wss".to_owned()],
        false,
        at,
    );
    if !tls {
        let condition = Condition::All(vec![missing.clone(), secure]);
        add(
            condition,
            vec![set_header("X-Forwarded-Port", port_of("443"))],
        );
    }
    add(missing, vec![set_header("X-Forwarded-Port", port_of(port))]);
    add(
        is_missing("X-Forwarded-Host"),
        vec![set_header("X-Forwarded-Host", of(host()))],
    );
    add(
        is_missing("X-Real-Ip"),
        vec![set_header("X-Real-Ip", of(Value::Source))],
    );
}
