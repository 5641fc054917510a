//! Actions written: the inverse of reading in [`super::action`].

use super::action::{REDIRECT_STATUS, TARPIT_STATUS, TIMEOUTS};
use super::form::{Form, Out};
use super::{forward, limit, pairs, service};
use crate::expression::{self, ENDS, PRIORITY_PARTS, template};
use portway_model::action::{Action, AnswerBody, FixedResponse};
use portway_model::choice::StickTo;
use portway_model::settings::ProxyHeader;
use portway_model::stage::Named;
use std::time::Duration;

/// The entries of actions in order; neighbours with one key are joined where that keeps their order.
pub(crate) fn write_all(actions: &[Action<Named>]) -> Vec<(String, Out)> {
    let mut out: Vec<(String, Out)> = Vec::new();
    for action in actions {
        let (key, value) = write(action);
        match out.last_mut() {
            Some((last, before)) if last == key && joins(key) => {
                if let Some(value) = join(before, value) {
                    out.push((key.to_owned(), value));
                }
            }
            _ => out.push((key.to_owned(), value)),
        }
    }
    out
}

fn joins(key: &str) -> bool {
    matches!(
        key,
        "set_header"
            | "add_header"
            | "remove_header"
            | "set_argument"
            | "remove_argument"
            | "set_variable"
            | "unset_variable"
            | "set_timeout"
    )
}

/// At most so many neighbours are joined under one key: more are hard to read.
const MAX_JOINED: usize = 32;

/// Adds `value` to `before`, or gives it back where it cannot be added.
fn join(before: &mut Out, value: Out) -> Option<Out> {
    match (before, value) {
        (Out::Table(entries), Out::Table(more)) => {
            let fits = more.iter().all(|(key, value)| match value {
                Out::Dotted(name, _) => dotted_fits(entries, key, name),
                _ => entries.iter().all(|(known, _)| known != key),
            });
            if !fits || entries.len() >= MAX_JOINED {
                return Some(Out::Table(more));
            }
            entries.extend(more);
            None
        }
        (Out::List(items), value @ Out::Text(_)) if items.len() < MAX_JOINED => {
            items.push(value);
            None
        }
        (before @ Out::Text(_), value @ Out::Text(_)) => {
            let first = std::mem::replace(before, Out::List(Vec::new()));
            *before = Out::List(vec![first, value]);
            None
        }
        (_, value) => Some(value),
    }
}

/// A variable joins others where its scope's come together and it is not there yet.
fn dotted_fits(entries: &[(String, Out)], scope: &str, name: &str) -> bool {
    let same = |(known, value): &(String, Out)| {
        known == scope && matches!(value, Out::Dotted(other, _) if other == name)
    };
    let last_scope = entries.last().is_some_and(|(known, _)| known == scope);
    let new_scope = entries.iter().all(|(known, _)| known != scope);
    (last_scope || new_scope) && !entries.iter().any(same)
}

/// The key of an action and its value.
fn write(action: &Action<Named>) -> (&'static str, Out) {
    match action {
        Action::Forward(groups) => ("forward", forward::write(groups)),
        Action::ForwardByHash { hash, groups } => (
            "forward_by_hash",
            table([("hash", hash.write()), ("groups", forward::write(groups))]),
        ),
        Action::ForwardByName {
            name,
            fallback: None,
        } => ("forward_by_name", name.write()),
        Action::ForwardByName {
            name,
            fallback: Some(fallback),
        } => (
            "forward_by_name",
            table([("name", name.write()), ("fallback", fallback.write())]),
        ),
        Action::HandOver(listener) => ("hand_over", listener.write()),
        Action::Redirect {
            location,
            status: REDIRECT_STATUS,
        } => ("redirect", location.write()),
        Action::Redirect { location, status } => (
            "redirect",
            table([("location", location.write()), ("status", status.write())]),
        ),
        Action::Respond(response) => ("respond", write_response(response)),
        Action::Deny(response) => ("deny", write_response(response)),
        Action::Authenticate { users, realm } => (
            "authenticate",
            match users {
                Some(users) if users.value.as_str() == realm => users.write(),
                Some(users) => table([("users", users.write()), ("realm", realm.write())]),
                None => Out::one("realm", realm.write()),
            },
        ),
        Action::Accept => ("accept", Out::Boolean(true)),
        Action::DisableL7Retry => ("disable_l7_retry", Out::Boolean(true)),
        Action::ExpectProxy(ProxyHeader::Required) => ("expect_proxy", Out::Boolean(true)),
        Action::ExpectProxy(header) => ("expect_proxy", header.write()),
        Action::Reject { silent } => {
            let how = if *silent { "silent" } else { "reset" };
            ("reject", Out::text(how))
        }
        Action::Tarpit { delay, response } => ("tarpit", write_tarpit(delay, response)),
        Action::WaitForBody { time, at_least: 0 } => ("wait_for_body", time.write()),
        Action::WaitForBody { time, at_least } => (
            "wait_for_body",
            table([("time", time.write()), ("at_least", at_least.write())]),
        ),
        Action::TraceContext(100) => ("trace_context", Out::Boolean(true)),
        Action::TraceContext(sampled) => ("trace_context", Out::one("sampled", sampled.write())),
        Action::Mirror(mirror) => ("mirror", mirror.write()),
        Action::Authorize(asked) => ("authorize", asked.write()),
        Action::DigestAuth(digest) => ("digest_auth", digest.write()),
        Action::Jwt(jwt) => ("jwt", jwt.write()),
        Action::Limit(limit) => limit::write(limit),
        Action::PageFrom(pages) => ("page_from", pages.write()),
        Action::Cors(cors) => ("cors", cors.write()),
        Action::SecurityHeaders(headers) => ("security_headers", headers.write()),
        Action::Compress(compression) => ("compress", compression.write()),
        Action::Service(service) => ("service", service::write(service)),
        Action::SetLog(level) => ("set_log", super::log::write_level(*level)),
        Action::SetStatus {
            status,
            reason: None,
        } => ("set_status", status.write()),
        Action::SetStatus {
            status,
            reason: Some(reason),
        } => (
            "set_status",
            table([("status", status.write()), ("reason", reason.write())]),
        ),
        Action::SetStickiness(how) => ("stickiness", how.write()),
        Action::UseTarget(name) => ("use_target", name.write()),
        Action::Normalize(form) => ("normalize", form.write()),
        Action::SetEnd { end, to } => {
            let known = ENDS.iter().find(|(_, known)| known == end);
            let word = known.map_or("", |(word, _)| *word);
            ("set_end", Out::one(word, to.write()))
        }
        Action::SetPriority { part, to } => {
            let known = PRIORITY_PARTS.iter().find(|(_, known)| known == part);
            let word = known.map_or("", |(word, _)| *word);
            ("set_priority", Out::one(word, to.write()))
        }
        Action::SetTimeout { which, to } => {
            let known = TIMEOUTS.iter().find(|(_, known)| known == which);
            let word = known.map_or("", |(word, _)| *word);
            ("set_timeout", Out::one(word, to.write()))
        }
        Action::PutEntry { map, key, value } => {
            let mut out = vec![
                ("map".to_owned(), map.write()),
                ("key".to_owned(), key.write()),
            ];
            out.extend(
                value
                    .iter()
                    .map(|value| ("value".to_owned(), value.write())),
            );
            ("put_entry", Out::Table(out))
        }
        Action::RemoveEntry { map, key } => {
            let out = vec![
                ("map".to_owned(), map.write()),
                ("key".to_owned(), key.write()),
            ];
            ("remove_entry", Out::Table(out))
        }
        Action::Track { .. }
        | Action::Stick { .. }
        | Action::Increment { .. }
        | Action::SetMark { .. }
        | Action::Capture { .. } => counted(action),
        _ => rewriting(action),
    }
}

fn counted(action: &Action<Named>) -> (&'static str, Out) {
    match action {
        Action::Track { slot, key, table } => {
            let mut out = slot_entry(*slot);
            out.push(("key".to_owned(), key.write()));
            out.push(("table".to_owned(), table.write()));
            ("track", Out::Table(out))
        }
        Action::Stick { to, key, table } => {
            let mut out = Vec::new();
            out.extend((*to != StickTo::Both).then(|| ("to".to_owned(), to.write())));
            out.push(("key".to_owned(), key.write()));
            out.push(("table".to_owned(), table.write()));
            ("stick", Out::Table(out))
        }
        Action::Increment { slot, counter } => {
            let mut out = slot_entry(*slot);
            out.push(("counter".to_owned(), counter.write()));
            ("increment", Out::Table(out))
        }
        Action::SetMark { slot, mark, to } => {
            let mut out = slot_entry(*slot);
            out.push(("mark".to_owned(), mark.write()));
            out.push(("to".to_owned(), to.write()));
            ("set_mark", Out::Table(out))
        }
        Action::Capture {
            value,
            length,
            slot,
        } => {
            let mut out = vec![
                ("value".to_owned(), value.write()),
                ("length".to_owned(), length.write()),
            ];
            out.extend(slot.map(|slot| ("slot".to_owned(), slot.write())));
            ("capture", Out::Table(out))
        }
        other => rewriting(other),
    }
}

/// The slot where it is not 0.
fn slot_entry(slot: u8) -> Vec<(String, Out)> {
    let stated = (slot != 0).then(|| ("slot".to_owned(), slot.write()));
    stated.into_iter().collect()
}

fn rewriting(action: &Action<Named>) -> (&'static str, Out) {
    match action {
        Action::SetHeader { name, value } => ("set_header", Out::one(name, value.write())),
        Action::AddHeader { name, value } => ("add_header", Out::one(name, value.write())),
        Action::RemoveHeader { name } => ("remove_header", name.write()),
        Action::SetArgument { name, value } => ("set_argument", Out::one(name, value.write())),
        Action::RemoveArgument(name) => ("remove_argument", name.write()),
        Action::ReplaceHeader {
            name,
            pattern,
            with,
            elements,
        } => {
            let mut out = vec![
                ("name".to_owned(), name.write()),
                ("pattern".to_owned(), pattern.write()),
                ("with".to_owned(), with.write()),
            ];
            out.extend(elements.then(|| ("elements".to_owned(), Out::Boolean(true))));
            ("replace_header", Out::Table(out))
        }
        Action::RemoveHeaders(names) => ("remove_headers", names.write()),
        Action::SetPath(path) => ("set_path", path.write()),
        Action::ReplacePath { pattern, with } => (
            "replace_path",
            table([("pattern", pattern.write()), ("with", with.write())]),
        ),
        Action::ReplaceTarget { pattern, with } => (
            "replace_target",
            table([("pattern", pattern.write()), ("with", with.write())]),
        ),
        Action::ReplaceUrl { pattern, with } => (
            "replace_url",
            table([("pattern", pattern.write()), ("with", with.write())]),
        ),
        Action::StripPrefix(prefixes) => match prefixes.as_slice() {
            [one] => ("strip_prefix", one.write()),
            _ => ("strip_prefix", prefixes.write()),
        },
        Action::AddPrefix(prefix) => ("add_prefix", prefix.write()),
        Action::SetQuery(query) => ("set_query", query.write()),
        Action::SetTarget(target) => ("set_target", target.write()),
        Action::SetUrl(url) => ("set_url", url.write()),
        Action::SetMethod(method) => ("set_method", method.write()),
        Action::SetVariable { variable, value } => {
            let scope = expression::scope_word(variable);
            let named = Out::Dotted(variable.name.to_string(), Box::new(value.write()));
            ("set_variable", Out::one(scope, named))
        }
        Action::UnsetVariable(variable) => ("unset_variable", variable.write()),
        // `write` handles the others.
        _ => ("", Out::Boolean(false)),
    }
}

fn write_response(response: &FixedResponse<Named>) -> Out {
    let mut out = vec![("status".to_owned(), response.status.write())];
    write_answer(response, &mut out);
    match out.as_slice() {
        [(_, alone)] => alone.clone(),
        _ => Out::Table(out),
    }
}

fn write_tarpit(delay: &Duration, response: &FixedResponse<Named>) -> Out {
    let mut out = vec![("delay".to_owned(), delay.write())];
    if response.status != TARPIT_STATUS {
        out.push(("status".to_owned(), response.status.write()));
    }
    write_answer(response, &mut out);
    match out.as_slice() {
        [(_, alone)] => alone.clone(),
        _ => Out::Table(out),
    }
}

/// All of an answer but its status.
fn write_answer(response: &FixedResponse<Named>, out: &mut Vec<(String, Out)>) {
    if let Some(content_type) = &response.content_type {
        out.push(("content_type".to_owned(), content_type.write()));
    }
    let key = match &response.body {
        AnswerBody::Text(text) if template::print(text).is_empty() => None,
        AnswerBody::Text(_) => Some("body"),
        AnswerBody::File(_) => Some("file"),
        AnswerBody::ErrorPage | AnswerBody::ErrorPageFile(_) => Some("error_page"),
    };
    out.extend(key.map(|key| (key.to_owned(), response.body.write())));
    if !response.headers.is_empty() {
        let headers = response.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.write()));
        out.push(("headers".to_owned(), pairs::write(headers.collect())));
    }
}

fn table<const N: usize>(entries: [(&str, Out); N]) -> Out {
    let entries = entries.into_iter();
    Out::Table(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}
