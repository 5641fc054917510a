//! Actions: one key each, with what the action needs as its value.
//!
//! A key that takes names with values (`set_header`, `set_variable`, …) or a list (`remove_header`, …) gives one
//! action for each; printing ([`super::print_action`]) joins neighbours again.

use super::form::{Form, Keyed, Out, Reader, words};
use super::{forward, limit, pairs, redirect, service};
use crate::expression::{self, ENDS, PRIORITY_PARTS};
use crate::tree::{Content, Entry, Item};
use portway_model::action::{
    Action, AnswerBody, FixedResponse, NamePattern, NewTimeout, Normalization, TimeoutKind,
};
use portway_model::choice::StickTo;
use portway_model::diagnostic::{Code, Diagnostic, Severity};
use portway_model::expression::{Counter, Expression, Template, Variable};
use portway_model::name::Name;
use portway_model::settings::ProxyHeader;
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::sync::Arc;
use std::time::Duration;

/// Every action's key, and how it is written.
pub(crate) const ACTIONS: &[(&str, &str)] = &[
    ("forward", "\"GROUP\" or { a = 90, b = 10 }"),
    (
        "forward_by_hash",
        "{ hash = \"EXPRESSION\", groups = { a = 90, b = 10 } }",
    ),
    ("forward_by_name", "\"TEMPLATE\" or { name, fallback }"),
    ("hand_over", "\"LISTENER\""),
    ("redirect", "\"TEMPLATE\" or { location, status }"),
    ("respond", "STATUS or { status, body, … }"),
    ("deny", "STATUS or { status, body, … }"),
    ("authenticate", "\"USERLIST\" or { users, realm }"),
    ("digest_auth", "{ realm, users, … }"),
    ("authorize", "\"GROUP\" or { group, target, … }"),
    ("jwt", "\"https://…\" or { keys, issuer, audience, … }"),
    ("accept", "true"),
    ("disable_l7_retry", "true"),
    ("expect_proxy", "true, \"optional\" or \"ignored\""),
    ("reject", "\"reset\" or \"silent\""),
    ("tarpit", "\"10s\" or { delay, status, body, … }"),
    ("service", "\"stats\", \"metrics\" or { stats = { … } }"),
    ("set_header", "{ NAME = \"TEMPLATE\" }"),
    ("add_header", "{ NAME = \"TEMPLATE\" }"),
    ("remove_header", "\"NAME\""),
    ("remove_headers", "{ prefix = \"X-\" }"),
    ("replace_header", "{ name, pattern, with }"),
    ("set_path", "\"TEMPLATE\""),
    ("replace_path", "{ pattern, with }"),
    ("replace_target", "{ pattern, with }"),
    ("replace_url", "{ pattern, with }"),
    ("strip_prefix", "\"/PREFIX\""),
    ("add_prefix", "\"/PREFIX\""),
    ("set_argument", "{ NAME = \"TEMPLATE\" }"),
    ("remove_argument", "\"NAME\""),
    ("set_query", "\"TEMPLATE\""),
    ("set_target", "\"TEMPLATE\""),
    ("set_url", "\"TEMPLATE\""),
    ("set_method", "\"GET\""),
    ("normalize", "\"merge_slashes\""),
    ("set_end", "{ source = \"header(`X-Real-IP`)\" }"),
    ("set_status", "404 or { status, reason }"),
    ("set_variable", "{ exchange.NAME = \"TEMPLATE\" }"),
    ("unset_variable", "\"exchange.NAME\""),
    (
        "put_entry",
        "{ map = \"MAP\", key = \"TEMPLATE\", value = \"TEMPLATE\" }",
    ),
    ("remove_entry", "{ map = \"MAP\", key = \"TEMPLATE\" }"),
    ("track", "{ key = \"source\", table = \"TABLE\" }"),
    ("increment", "{ counter = \"general(0)\" }"),
    ("set_mark", "{ mark = \"mark(0)\", to = \"1\" }"),
    ("capture", "{ value = \"VALUE\", length = 64 }"),
    ("set_timeout", "{ response = \"5m\" }"),
    ("set_priority", "{ class = \"VALUE\" }"),
    ("wait_for_body", "\"10s\" or { time, at_least }"),
    ("limit_body", "BYTES or { request, response }"),
    ("limit_rate", "{ name, key, average, period, burst }"),
    (
        "circuit_breaker",
        "{ name, opens_when, check_period, min_requests, open_for, recover_over, status }",
    ),
    ("limit_concurrency", "{ name, key, amount }"),
    ("trace_context", "true or { sampled = 10 }"),
    ("mirror", "\"GROUP\" or { group, percent, body_bytes }"),
    ("cors", "\"ORIGIN\" or { origins, methods, … }"),
    ("security_headers", "true or { content, frame, … }"),
    ("compress", "true or { codings, types, … }"),
    (
        "page_from",
        "{ status, forward, target, again, headers, answer_as }",
    ),
    ("set_log", "false"),
    ("stickiness", "ignore"),
    ("use_target", "\"TEMPLATE\""),
    ("stick", "{ key = \"source\", table = \"TABLE\" }"),
];

/// The keys of tables under actions.
pub(crate) const ACTION_KEYS: &[&str] = &[
    "name",
    "fallback",
    "location",
    "scheme",
    "host",
    "port",
    "status",
    "content_type",
    "body",
    "file",
    "error_page",
    "headers",
    "users",
    "realm",
    "delay",
    "pattern",
    "with",
    "elements",
    "reason",
    "prefix",
    "suffix",
    "contains",
    "glob",
    "regex",
    "time",
    "at_least",
    "milliseconds",
    "slot",
    "map",
    "key",
    "table",
    "counter",
    "value",
    "length",
    "response",
    "tunnel",
    "source",
    "source_port",
    "destination",
    "destination_port",
    "request",
    "average",
    "period",
    "burst",
    "amount",
    "codings",
    "default",
    "types",
    "except",
    "min_bytes",
    "forward",
    "target",
    "answer_as",
    "sampled",
    "replace",
];

/// A redirect's status where none is said.
pub(crate) const REDIRECT_STATUS: u16 = 302;
/// A tarpit's status where none is said, HAProxy's.
pub(crate) const TARPIT_STATUS: u16 = 500;

/// How a connection is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rejection {
    Reset,
    Silent,
}

words!(Normalization, "a normal form such as \"merge_slashes\"", NORMALIZATIONS:
    "merge_slashes" => Normalization::MergeSlashes,
    "strip_dot" => Normalization::StripDot,
    "strip_dotdot" => Normalization::StripDotdot,
    "strip_dotdot_full" => Normalization::StripDotdotFull,
    "decode_slashes" => Normalization::DecodeSlashes,
    "turn_backslashes" => Normalization::TurnBackslashes,
    "sort_query" => Normalization::SortQuery,
    "decode_unreserved" => Normalization::DecodeUnreserved,
    "decode_unreserved_strict" => Normalization::DecodeUnreservedStrict,
    "uppercase_percent" => Normalization::UppercasePercent,
    "uppercase_percent_strict" => Normalization::UppercasePercentStrict,
);

words!(Rejection, "\"reset\" or \"silent\"", REJECTIONS:
    "reset" => Rejection::Reset,
    "silent" => Rejection::Silent,
);

/// `true` or a word.
fn read_proxy_header(item: &Item, reader: &mut Reader<'_>) -> Option<ProxyHeader> {
    if !matches!(item.content, Content::Boolean(_)) {
        return ProxyHeader::read(item, reader);
    }
    match bool::read(item, reader)? {
        true => Some(ProxyHeader::Required),
        false => {
            let help = "leave the key away";
            reader.refuse(item.span, "`expect_proxy` is false", help)
        }
    }
}

words!(ProxyHeader, "true, \"optional\" or \"ignored\"", PROXY_HEADERS:
    "required" => ProxyHeader::Required,
    "optional" => ProxyHeader::Optional,
    "ignored" => ProxyHeader::Ignored,
);

/// The keys of all actions.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(key, _)| *key)
}

/// The actions that one key gives; `None` where it is wrong.
pub(crate) fn read(entry: &Entry, reader: &mut Reader<'_>) -> Option<Vec<Action<Named>>> {
    let item = &entry.item;
    let action = match entry.key.as_str() {
        "forward" => Action::Forward(forward::read(item, reader)?),
        "hand_over" => Action::HandOver(Spanned::read(item, reader)?),
        "forward_by_hash" => {
            let table = reader.keyed(item, "a table", &["hash", "groups"])?;
            let hash = table.required("hash", reader);
            let groups = match table.entry("groups") {
                Some(entry) => forward::read(&entry.item, reader),
                None => reader.refuse(
                    item.span,
                    "`groups` is missing",
                    "such as { a = 90, b = 10 }",
                ),
            };
            Action::ForwardByHash {
                hash: hash?,
                groups: groups?,
            }
        }
        "forward_by_name" => read_forward_by_name(item, reader)?,
        "redirect" => redirect::read(item, reader)?,
        "respond" => Action::Respond(read_response(item, &RESPONSE, reader)?),
        "deny" => Action::Deny(read_response(item, &RESPONSE, reader)?),
        "authenticate" => read_authenticate(item, reader)?,
        "digest_auth" => Action::DigestAuth(Arc::new(Form::read(item, reader)?)),
        "authorize" => Action::Authorize(Arc::new(Form::read(item, reader)?)),
        "jwt" => Action::Jwt(Arc::new(Form::read(item, reader)?)),
        "accept" => match bool::read(item, reader)? {
            true => Action::Accept,
            false => return reader.refuse(item.span, "`accept` is false", "leave the key away"),
        },
        "disable_l7_retry" => match bool::read(item, reader)? {
            true => Action::DisableL7Retry,
            false => {
                let message = "`disable_l7_retry` is false";
                return reader.refuse(item.span, message, "leave the key away");
            }
        },
        "expect_proxy" => Action::ExpectProxy(read_proxy_header(item, reader)?),
        "reject" => Action::Reject {
            silent: Rejection::read(item, reader)? == Rejection::Silent,
        },
        "tarpit" => read_tarpit(item, reader)?,
        "service" => Action::Service(service::read(item, reader)?),
        "remove_headers" => Action::RemoveHeaders(NamePattern::read(item, reader)?),
        "replace_header" => {
            let keys = ["name", "pattern", "with", "elements"];
            let table = reader.keyed(item, REPLACE, &keys)?;
            let name = table.required("name", reader);
            let pattern = table.required("pattern", reader);
            let with = table.required("with", reader);
            Action::ReplaceHeader {
                elements: table.optional("elements", reader).unwrap_or(false),
                name: name?,
                pattern: pattern?,
                with: with?,
            }
        }
        "set_path" => Action::SetPath(Template::read(item, reader)?),
        "replace_path" => {
            let (pattern, with) = read_replacement(item, reader)?;
            Action::ReplacePath { pattern, with }
        }
        "replace_target" => {
            let (pattern, with) = read_replacement(item, reader)?;
            Action::ReplaceTarget { pattern, with }
        }
        "replace_url" => {
            let (pattern, with) = read_replacement(item, reader)?;
            Action::ReplaceUrl { pattern, with }
        }
        "strip_prefix" => Action::StripPrefix(Vec::read(item, reader)?),
        "add_prefix" => Action::AddPrefix(String::read(item, reader)?),
        "set_query" => Action::SetQuery(Template::read(item, reader)?),
        "set_target" => Action::SetTarget(Template::read(item, reader)?),
        "set_url" => Action::SetUrl(Template::read(item, reader)?),
        "set_method" => Action::SetMethod(Template::read(item, reader)?),
        "normalize" => Action::Normalize(Normalization::read(item, reader)?),
        "set_status" => read_status(item, reader)?,
        "wait_for_body" => read_wait_for_body(item, reader)?,
        "limit_body" | "limit_rate" | "limit_concurrency" => {
            Action::Limit(limit::read(&entry.key, item, reader)?)
        }
        "circuit_breaker" => Action::Limit(portway_model::limit::Limit::Circuit(Arc::new(
            Form::read(item, reader)?,
        ))),
        "page_from" => Action::PageFrom(Arc::new(Vec::read(item, reader)?)),
        "trace_context" => Action::TraceContext(super::mirror::read_sampled(item, reader)?),
        "mirror" => Action::Mirror(Form::read(item, reader)?),
        "cors" => Action::Cors(Arc::new(Form::read(item, reader)?)),
        "security_headers" => Action::SecurityHeaders(Arc::new(Form::read(item, reader)?)),
        "compress" => Action::Compress(Arc::new(Form::read(item, reader)?)),
        "put_entry" => {
            let table = reader.keyed(item, "a table", &["map", "key", "value"])?;
            let (map, key) = (table.required("map", reader), table.required("key", reader));
            Action::PutEntry {
                value: table.optional("value", reader),
                map: map?,
                key: key?,
            }
        }
        "remove_entry" => {
            let table = reader.keyed(item, "a table", &["map", "key"])?;
            let (map, key) = (table.required("map", reader), table.required("key", reader));
            Action::RemoveEntry {
                map: map?,
                key: key?,
            }
        }
        "track" => read_track(item, reader)?,
        "increment" => {
            let table = reader.keyed(item, "a table", &["slot", "counter"])?;
            Action::Increment {
                slot: table.optional("slot", reader).unwrap_or(0),
                counter: table.required("counter", reader)?,
            }
        }
        "set_mark" => {
            let table = reader.keyed(item, "a table", &["slot", "mark", "to"])?;
            let (mark, to) = (table.required("mark", reader), table.required("to", reader));
            Action::SetMark {
                slot: table.optional("slot", reader).unwrap_or(0),
                mark: mark?,
                to: to?,
            }
        }
        "capture" => {
            let table = reader.keyed(item, "a table", &["value", "length", "slot"])?;
            let (value, length) = (
                table.required("value", reader),
                table.required("length", reader),
            );
            Action::Capture {
                value: value?,
                length: length?,
                slot: table.optional("slot", reader),
            }
        }
        "set_log" => Action::SetLog(super::log::read_level(item, reader)?),
        "stickiness" => Action::SetStickiness(Form::read(item, reader)?),
        "use_target" => Action::UseTarget(Form::read(item, reader)?),
        "stick" => {
            let table = reader.keyed(item, "a table", &["to", "key", "table"])?;
            let (key, stick_table) = (
                table.required("key", reader),
                table.required("table", reader),
            );
            Action::Stick {
                to: table.optional("to", reader).unwrap_or(StickTo::Both),
                key: key?,
                table: stick_table?,
            }
        }
        _ => return read_several(entry, reader),
    };
    Some(vec![action])
}

const REPLACE: &str = "a table with `pattern` and `with`";

/// Keys that give one action for each name.
fn read_several(entry: &Entry, reader: &mut Reader<'_>) -> Option<Vec<Action<Named>>> {
    let item = &entry.item;
    let errors = reader.found.count(Severity::Error);
    let actions: Vec<Action<Named>> = match entry.key.as_str() {
        "set_header" => pairs::read(item, reader)
            .into_iter()
            .map(|(name, value)| Action::SetHeader {
                name: name.value,
                value,
            })
            .collect(),
        "add_header" => pairs::read(item, reader)
            .into_iter()
            .map(|(name, value)| Action::AddHeader {
                name: name.value,
                value,
            })
            .collect(),
        "remove_header" => Vec::read(item, reader)?
            .into_iter()
            .map(|name| Action::RemoveHeader { name })
            .collect(),
        "set_argument" => pairs::read(item, reader)
            .into_iter()
            .map(|(name, value)| Action::SetArgument {
                name: name.value,
                value,
            })
            .collect(),
        "remove_argument" => Vec::read(item, reader)?
            .into_iter()
            .map(Action::RemoveArgument)
            .collect(),
        "set_variable" => read_variables(item, reader),
        "set_end" => pairs::read::<Expression<Named>>(item, reader)
            .into_iter()
            .filter_map(|(which, to)| {
                let known = ENDS.iter().find(|(word, _)| *word == which.value);
                let Some((_, end)) = known else {
                    let known = ENDS.iter().map(|(word, _)| *word);
                    return reader.unknown(which.span, "end", &which.value, known);
                };
                Some(Action::SetEnd { end: *end, to })
            })
            .collect(),
        "set_priority" => pairs::read::<Expression<Named>>(item, reader)
            .into_iter()
            .filter_map(|(which, to)| {
                let known = PRIORITY_PARTS.iter().find(|(word, _)| *word == which.value);
                let Some((_, part)) = known else {
                    let known = PRIORITY_PARTS.iter().map(|(word, _)| *word);
                    return reader.unknown(which.span, "part", &which.value, known);
                };
                Some(Action::SetPriority { part: *part, to })
            })
            .collect(),
        "unset_variable" => Vec::read(item, reader)?
            .into_iter()
            .map(Action::UnsetVariable)
            .collect(),
        // The last one that is left: "set_timeout".
        _ => pairs::read::<NewTimeout<Named>>(item, reader)
            .into_iter()
            .filter_map(|(which, to)| {
                let known = TIMEOUTS.iter().find(|(word, _)| *word == which.value);
                let Some((_, which)) = known else {
                    let known = TIMEOUTS.iter().map(|(word, _)| *word);
                    return reader.unknown(which.span, "timeout", &which.value, known);
                };
                Some(Action::SetTimeout { which: *which, to })
            })
            .collect(),
    };
    let wrong = reader.found.count(Severity::Error) > errors;
    if actions.is_empty() && !wrong {
        let message = format!("`{}` is empty", entry.key);
        reader.push(Diagnostic::error(Code::Missing, item.span, message));
        return None;
    }
    (!wrong).then_some(actions)
}

/// Timeouts that a rule may replace.
pub(crate) const TIMEOUTS: [(&str, TimeoutKind); 4] = [
    ("response", TimeoutKind::Response),
    ("tunnel", TimeoutKind::Tunnel),
    ("attempt", TimeoutKind::Attempt),
    ("total", TimeoutKind::Total),
];

fn read_forward_by_name(item: &Item, reader: &mut Reader<'_>) -> Option<Action<Named>> {
    if matches!(item.content, Content::Text { .. }) {
        return Some(Action::ForwardByName {
            name: Template::read(item, reader)?,
            fallback: None,
        });
    }
    let table = reader.keyed(item, "a template or a table", &["name", "fallback"])?;
    let name = table.required("name", reader);
    let fallback = table.optional("fallback", reader);
    Some(Action::ForwardByName {
        name: name?,
        fallback,
    })
}

/// The keys of an answer.
const RESPONSE: [&str; 6] = [
    "status",
    "content_type",
    "body",
    "file",
    "error_page",
    "headers",
];

fn read_response(
    item: &Item,
    keys: &[&str],
    reader: &mut Reader<'_>,
) -> Option<FixedResponse<Named>> {
    if matches!(item.content, Content::Integer(_)) {
        return Some(plain_response(u16::read(item, reader)?));
    }
    let table = reader.keyed(item, "a status or a table", keys)?;
    read_response_of(&table, None, reader)
}

/// An answer without a body.
fn plain_response(status: u16) -> FixedResponse<Named> {
    FixedResponse {
        status,
        content_type: None,
        body: AnswerBody::NONE,
        headers: Vec::new(),
    }
}

/// The answer that a table says; `status`: where it does not say one.
fn read_response_of(
    table: &Keyed<'_>,
    status: Option<u16>,
    reader: &mut Reader<'_>,
) -> Option<FixedResponse<Named>> {
    let said: Vec<&Entry> = BODIES.iter().filter_map(|key| table.entry(key)).collect();
    if let [first, second, ..] = said.as_slice() {
        let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
        reader.push(
            Diagnostic::error(Code::Conflict, second.key_span, message)
                .label(first.key_span, "the body is said here"),
        );
        return None;
    }
    let body = match said.first().map(|entry| entry.key.as_str()) {
        Some("body") => table.required("body", reader).map(AnswerBody::Text),
        Some("file") => table.required("file", reader).map(AnswerBody::File),
        Some("error_page") => table.required("error_page", reader),
        _ => Some(AnswerBody::NONE),
    };
    let headers = table.entry("headers");
    let headers = headers.map(|entry| pairs::read(&entry.item, reader));
    let headers = headers.unwrap_or_default().into_iter();
    let status = match (table.entry("status"), status) {
        (None, Some(status)) => Some(status),
        _ => table.required("status", reader),
    };
    let content_type = table.optional("content_type", reader);
    Some(FixedResponse {
        status: status?,
        content_type,
        body: body?,
        headers: headers.map(|(name, value)| (name.value, value)).collect(),
    })
}

/// Keys that say a body.
const BODIES: [&str; 3] = ["body", "file", "error_page"];

/// `error_page = true` or a file.
impl Form for AnswerBody<Named> {
    const WHAT: &'static str = "true or a file";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match &item.content {
            Content::Boolean(true) => Some(AnswerBody::ErrorPage),
            Content::Text { text, .. } => Some(AnswerBody::ErrorPageFile(text.clone())),
            _ => reader.wrong_type(item, Self::WHAT),
        }
    }

    fn write(&self) -> Out {
        match self {
            AnswerBody::ErrorPageFile(file) | AnswerBody::File(file) => file.write(),
            AnswerBody::ErrorPage => Out::Boolean(true),
            AnswerBody::Text(text) => text.write(),
        }
    }
}

fn read_authenticate(item: &Item, reader: &mut Reader<'_>) -> Option<Action<Named>> {
    if matches!(item.content, Content::Text { .. }) {
        let users: Spanned<Name> = Spanned::read(item, reader)?;
        let realm = users.value.to_string();
        let users = Some(users);
        return Some(Action::Authenticate { users, realm });
    }
    let table = reader.keyed(item, "a name or a table", &["users", "realm"])?;
    let users: Option<Spanned<Name>> = match table.entry("users") {
        Some(_) => Some(table.required("users", reader)?),
        None => None,
    };
    let realm = match (&users, table.entry("realm")) {
        (Some(users), None) => users.value.to_string(),
        _ => table.required("realm", reader)?,
    };
    Some(Action::Authenticate { users, realm })
}

fn read_tarpit(item: &Item, reader: &mut Reader<'_>) -> Option<Action<Named>> {
    if !matches!(item.content, Content::Table(_)) {
        return Some(Action::Tarpit {
            delay: Duration::read(item, reader)?,
            response: plain_response(TARPIT_STATUS),
        });
    }
    let keys: Vec<&str> = RESPONSE.iter().copied().chain(["delay"]).collect();
    let table = reader.keyed(item, "a duration or a table", &keys)?;
    let delay = table.required("delay", reader);
    let response = read_response_of(&table, Some(TARPIT_STATUS), reader);
    Some(Action::Tarpit {
        delay: delay?,
        response: response?,
    })
}

fn read_replacement(
    item: &Item,
    reader: &mut Reader<'_>,
) -> Option<(Spanned<String>, Template<Named>)> {
    let table = reader.keyed(item, REPLACE, &["pattern", "with"])?;
    let pattern = table.required("pattern", reader);
    let with = table.required("with", reader);
    Some((pattern?, with?))
}

fn read_status(item: &Item, reader: &mut Reader<'_>) -> Option<Action<Named>> {
    if !matches!(item.content, Content::Table(_)) {
        return Some(Action::SetStatus {
            status: u16::read(item, reader)?,
            reason: None,
        });
    }
    let table = reader.keyed(item, "a status or a table", &["status", "reason"])?;
    let status = table.required("status", reader);
    let reason = table.optional("reason", reader);
    Some(Action::SetStatus {
        status: status?,
        reason,
    })
}

fn read_wait_for_body(item: &Item, reader: &mut Reader<'_>) -> Option<Action<Named>> {
    if !matches!(item.content, Content::Table(_)) {
        return Some(Action::WaitForBody {
            time: Duration::read(item, reader)?,
            at_least: 0,
        });
    }
    let table = reader.keyed(item, "a duration or a table", &["time", "at_least"])?;
    let time = table.required("time", reader);
    let at_least = table.optional("at_least", reader).unwrap_or(0);
    Some(Action::WaitForBody {
        time: time?,
        at_least,
    })
}

impl Form for NewTimeout<Named> {
    const WHAT: &'static str = "a duration or { milliseconds = \"VALUE\" }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, &["milliseconds"])?;
            let number = table.required("milliseconds", reader);
            return number.map(NewTimeout::Milliseconds);
        }
        Duration::read(item, reader).map(NewTimeout::Fixed)
    }

    fn write(&self) -> Out {
        match self {
            NewTimeout::Fixed(time) => time.write(),
            NewTimeout::Milliseconds(number) => Out::one("milliseconds", number.write()),
        }
    }
}

fn read_track(item: &Item, reader: &mut Reader<'_>) -> Option<Action<Named>> {
    let table = reader.keyed(item, "a table", &["slot", "key", "table"])?;
    let (key, stick_table): (Option<Expression<Named>>, _) = (
        table.required("key", reader),
        table.required("table", reader),
    );
    Some(Action::Track {
        slot: match table.entry("slot") {
            Some(_) => table.required("slot", reader)?,
            None => 0,
        },
        key: key?,
        table: stick_table?,
    })
}

/// `{ exchange.NAME = "TEMPLATE" }`.
fn read_variables(item: &Item, reader: &mut Reader<'_>) -> Vec<Action<Named>> {
    let mut actions = Vec::new();
    for element in reader.elements(item) {
        let Content::Table(scopes) = &element.content else {
            let _: Option<()> = reader.wrong_type(element, "{ exchange.NAME = \"TEMPLATE\" }");
            continue;
        };
        for entry in scopes.entries() {
            let Some(scope) = expression::scope_named(&entry.key) else {
                let known = expression::scopes();
                reader.unknown::<()>(entry.key_span, "scope", &entry.key, known);
                continue;
            };
            for (name, value) in pairs::read(&entry.item, reader) {
                let name = Name::from(name.value);
                let variable = Variable { scope, name };
                actions.push(Action::SetVariable { variable, value });
            }
        }
    }
    actions
}

impl Form for Variable {
    const WHAT: &'static str = "a variable such as \"exchange.NAME\"";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        let (scope, name) = text.split_once('.').unwrap_or((text, ""));
        let Some(scope) = expression::scope_named(scope) else {
            return reader.unknown(item.span, "scope", scope, expression::scopes());
        };
        if name.is_empty() {
            return reader.refuse(
                item.span,
                "the variable's name is missing",
                "write SCOPE.NAME",
            );
        }
        Some(Variable {
            scope,
            name: Name::new(name),
        })
    }

    fn write(&self) -> Out {
        Out::text(format!("{}.{}", expression::scope_word(self), self.name))
    }
}

impl Form for Counter {
    const WHAT: &'static str = "a counter such as \"general(0)\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let written = reader.text(item, Self::WHAT)?;
        expression::parse_counter(written, reader.found)
    }

    fn write(&self) -> Out {
        Out::text(expression::print_counter(*self))
    }
}
