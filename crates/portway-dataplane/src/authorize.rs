//! Whether a request may go on, as another service says.
//!
//! The question is a request of our own to that service's group; nothing of the client's request goes on before it is
//! answered. Whatever is no clear yes keeps the request back: the answer is the client's then, or, where none came, one of
//! our own. What a service grants (an identity in a header) never comes from the client: its fields of those names are
//! taken away whatever is answered.

use crate::answers::{self, Answer, Body};
use crate::body::{self, Patience};
use crate::exchange::{Exchange, How};
use crate::fault::{Fault, TOO_LONG};
use crate::group;
use crate::record;
use crate::serve::while_there;
use crate::stream::Stream;
use crate::subrequest::{self, Ask, Reply};
use portway_core::evaluate::{Facts, write_header_value, write_target};
use portway_core::http1::{
    BodyLength, HOP_BY_HOP, Known, KnownSet, Method, Version, copy_end_to_end,
    write_content_length, write_field, write_request_line,
};
use portway_model::action::is_of_connection;
use portway_model::alike::is_alike;
use portway_model::authorize::{Authorize, Trust};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Limit;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// What becomes of the request.
pub(crate) enum Verdict {
    /// It goes on.
    Passes,
    /// The service said no.
    Refused(Box<Answer>, How),
    /// The service said nothing, or the client did not send what it is to be asked with.
    Failed(Fault),
}

/// Fields in which the service is told what the request was.
const METHOD: &str = "X-Forwarded-Method";
const URI: &str = "X-Forwarded-Uri";

/// Asks, and does what a yes says.
pub(crate) async fn ask(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    asked: &Authorize<Resolved>,
) -> Verdict {
    let body = match body(x, downstream, asked).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            record::limit_reached(x, Limit::RequestBodyBytes);
            let answer = answers::own(x, 413, TOO_LONG);
            return Verdict::Refused(Box::new(answer), How::Denial);
        }
        Err(fault) => return Verdict::Failed(fault),
    };
    let generation = Rc::clone(&x.connection.generation);
    let Some((group, _, _)) = generation.group(asked.group) else {
        return failed(x, asked, Fault::no_target());
    };
    let method = match asked.keep_method {
        true => x.sent_method(),
        false => Method::Get,
    };
    let wire = question(x, asked, &body);
    let host = std::mem::take(&mut x.scratch.host);
    let result = {
        let ask = Ask {
            group: asked.group,
            key: group::key(group, x.client, &*x),
            host: &host,
            ends: (x.source_end(), x.destination_end()),
            request_id: x.id(),
            method,
            wire: &wire,
            most: asked.answer_bytes as usize,
            patience: Duration::MAX,
            asked: &Cell::new(None),
        };
        let asking = pin!(subrequest::ask(x.connection, &ask));
        while_there(downstream, group.abort_on_close, asking).await
    };
    x.scratch.host = host;
    match result {
        None => Verdict::Failed(Fault::gave_up(false)),
        Some(Ok(reply)) if (200..300).contains(&reply.head.status()) => {
            forget(x, asked);
            grant(x, asked, &reply);
            Verdict::Passes
        }
        Some(Ok(reply)) => {
            let status = reply.head.status();
            // An invitation to log in is no offence.
            let how = match status {
                300..=399 | 401 | 407 => How::Challenge,
                _ => How::Denial,
            };
            Verdict::Refused(Box::new(answer(asked, &reply)), how)
        }
        Some(Err(fault)) => failed(x, asked, fault),
    }
}

/// No answer came.
fn failed(x: &mut Exchange<'_>, asked: &Authorize<Resolved>, fault: Fault) -> Verdict {
    match asked.on_failure {
        None => {
            forget(x, asked);
            Verdict::Passes
        }
        Some(status) => Verdict::Failed(Fault::not_authorized(fault, status)),
    }
}

/// The body that goes along; `None`: it is longer than may be.
async fn body(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    asked: &Authorize<Resolved>,
) -> Result<Option<Vec<u8>>, Fault> {
    let Some(most) = asked.body_bytes else {
        return Ok(Some(Vec::new()));
    };
    let most = most as usize;
    match x.framing.body {
        BodyLength::None | BodyLength::Length(0) => return Ok(Some(Vec::new())),
        BodyLength::Length(length) if length > most as u64 => return Ok(None),
        BodyLength::Length(_) | BodyLength::Chunked => {}
    }
    let patience = Patience::with_client(x);
    let wanted = body::one_beyond(asked.body_bytes.unwrap_or(0));
    body::wait(x, downstream, patience, wanted).await?;
    match body::whole(x) {
        None if x.connection.worker.buffers.are_short() => Err(Fault::exhausted()),
        whole => Ok(whole.filter(|body| body.len() <= most)),
    }
}

/// The whole request that the service is sent.
fn question(x: &Exchange<'_>, asked: &Authorize<Resolved>, body: &[u8]) -> Vec<u8> {
    let mut target = Vec::new();
    write_target(&asked.target, x, &mut target);
    let method = match asked.keep_method {
        true => x.method().unwrap_or(b"GET"),
        false => b"GET",
    };
    let mut out = Vec::new();
    write_request_line(&mut out, method, &target, None, Version::Http11);
    let own = own_fields(x, asked);
    let is_own = |name: &[u8]| {
        let mut own = own.iter();
        own.any(|(it, _)| it.as_bytes().eq_ignore_ascii_case(name))
    };
    match &asked.request_headers {
        None => {
            let unwanted = [Known::ContentLength, Known::Expect, Known::XForwardedPort];
            let known = own.iter().map(|(name, _)| Known::of(name.as_bytes()));
            let drop = unwanted
                .into_iter()
                .filter(|it| *it != Known::XForwardedPort || !keeps(x, asked));
            let drop = drop.chain(known.filter(|it| *it != Known::Other));
            let drop = drop.fold(HOP_BY_HOP, KnownSet::with);
            let edits = &x.scratch.request_edits;
            edits.write_but(x.request().fields(), x.arena(), (drop, is_own), &mut out);
        }
        Some(names) => {
            for name in names.iter().filter(|name| !is_own(name.as_bytes())) {
                let mut visit = |value: &[u8]| {
                    if !is_of_connection(name) {
                        write_field(&mut out, name.as_bytes(), value);
                    }
                    ControlFlow::Continue(())
                };
                x.header(name, &mut visit);
            }
        }
    }
    for (name, value) in &own {
        write_field(&mut out, name.as_bytes(), value);
    }
    if !body.is_empty() || (asked.keep_method && !x.sent_method().is_idempotent()) {
        write_content_length(&mut out, body.len() as u64);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// What the client says of those behind it counts.
fn keeps(x: &Exchange<'_>, asked: &Authorize<Resolved>) -> bool {
    match asked.trust {
        Trust::Nobody => false,
        Trust::Proxies => x.trusted,
        Trust::Everybody => true,
    }
}

/// The fields that the service is told in place of what the client sent of them.
fn own_fields(x: &Exchange<'_>, asked: &Authorize<Resolved>) -> Vec<(String, Vec<u8>)> {
    let sent = |name: &str| {
        let mut found = None;
        let mut visit = |value: &[u8]| {
            found = Some(value.to_vec());
            ControlFlow::Break(())
        };
        if keeps(x, asked) {
            x.header(name, &mut visit);
        }
        found.filter(|it| !it.is_empty())
    };
    let host = || {
        let mut host = Vec::new();
        x.header("host", &mut |value| {
            host = value.to_vec();
            ControlFlow::Break(())
        });
        host
    };
    let mut uri = x.current_path().to_vec();
    if let Some(query) = x.current_query() {
        uri.push(b'?');
        uri.extend_from_slice(query);
    }
    let mut chain = Vec::new();
    if keeps(x, asked) {
        x.header("x-forwarded-for", &mut |value| {
            chain.extend_from_slice(if chain.is_empty() { b"" } else { b", " });
            chain.extend_from_slice(value);
            ControlFlow::Continue(())
        });
    }
    // What rules have made of it is whole.
    if chain.is_empty() || !x.scratch.request_edits.removes(Known::XForwardedFor) {
        let peer = x.source_end().ip().to_canonical().to_string();
        chain.extend_from_slice(if chain.is_empty() { b"" } else { b", " });
        chain.extend_from_slice(peer.as_bytes());
    }
    let method = x.method().unwrap_or_default().to_vec();
    let scheme = || x.connection.scheme().as_bytes().to_vec();
    let (known_host, proto) = (Known::XForwardedHost.name(), Known::XForwardedProto.name());
    let mut own = vec![
        (Known::Host.name().to_owned(), host()),
        (METHOD.to_owned(), sent(METHOD).unwrap_or(method)),
        (proto.to_owned(), sent(proto).unwrap_or_else(scheme)),
        (known_host.to_owned(), sent(known_host).unwrap_or_else(host)),
        (URI.to_owned(), sent(URI).unwrap_or(uri)),
        (Known::XForwardedFor.name().to_owned(), chain),
    ];
    for (name, template) in &asked.headers {
        own.retain(|(it, _)| !it.eq_ignore_ascii_case(name));
        let mut value = Vec::new();
        write_header_value(template, x, &mut value);
        own.push((name.clone(), value));
    }
    own
}

/// True for a header that the client must not send, because targets may take it for one that the service alone gives the
/// request: however its name is spelt.
fn is_forgotten(asked: &Authorize<Resolved>, name: &[u8]) -> bool {
    let mut named = asked.copy_headers.iter();
    let as_written = || {
        let pattern = asked.copy_matching.as_ref();
        pattern.is_some_and(|it| it.is_match(name)) && may_match(name)
    };
    named.any(|it| is_alike(it.as_bytes(), name)) || fits(asked, name) || as_written()
}

/// True for a header that the service alone gives the request. Each is one that is forgotten of the client's.
fn is_granted(asked: &Authorize<Resolved>, name: &[u8]) -> bool {
    let mut named = asked.copy_headers.iter();
    let is_named = named.any(|it| it.as_bytes().eq_ignore_ascii_case(name));
    let as_written = || {
        let pattern = asked.copy_matching.as_ref();
        pattern.is_some_and(|it| {
            [name, &usual_letters(name), &name.to_ascii_lowercase()]
                .iter()
                .any(|name| it.is_match(name))
        })
    };
    is_named || (fits(asked, name) && as_written())
}

/// True where the expression is found in the name, in whichever spelling.
fn fits(asked: &Authorize<Resolved>, name: &[u8]) -> bool {
    let pattern = asked.copy_matching.as_ref();
    pattern.is_some_and(|it| it.is_match_alike(name)) && may_match(name)
}

/// False for headers of a connection and for Host, which no expression is about.
fn may_match(name: &[u8]) -> bool {
    let engine = || std::str::from_utf8(name).map_or(true, is_of_connection);
    !engine() && Known::of(name) != Known::Host
}

/// `X-Forwarded-For` for `x-FORWARDED-for`.
fn usual_letters(name: &[u8]) -> Vec<u8> {
    let mut first = true;
    let letters = name.iter().map(|byte| {
        let letter = match first {
            true => byte.to_ascii_uppercase(),
            false => byte.to_ascii_lowercase(),
        };
        first = *byte == b'-';
        letter
    });
    letters.collect()
}

/// Takes away what only the service may say.
fn forget(x: &mut Exchange<'_>, asked: &Authorize<Resolved>) {
    let scratch = &mut *x.scratch;
    let (request, edits) = (&scratch.request, &mut scratch.request_edits);
    edits.remove_where(request.fields(), x.arena.filled(), |name, _| {
        is_forgotten(asked, name)
    });
}

/// Gives the request, and later its response, what the service says.
fn grant(x: &mut Exchange<'_>, asked: &Authorize<Resolved>, reply: &Reply) {
    let arena = reply.arena();
    for field in reply.head.fields().as_slice() {
        let (name, value) = (field.name.of(arena), field.value.of(arena));
        if is_granted(asked, name) {
            let edits = &mut x.scratch.request_edits;
            edits.add(name, |out| out.extend_from_slice(value));
        }
        if field.known == Known::SetCookie
            && asked
                .copy_cookies
                .iter()
                .any(|it| it.as_bytes() == cookie_name(value))
        {
            let given = x.scratch.given.get_or_insert_default();
            given.cookies.push(value.to_vec());
        }
    }
}

fn cookie_name(set: &[u8]) -> &[u8] {
    let end = set.iter().position(|byte| *byte == b'=');
    end.and_then(|end| set.get(..end))
        .unwrap_or_default()
        .trim_ascii()
}

/// Gives the response the cookies that the service set, in place of the target's of these names.
pub(crate) fn give_cookies(x: &mut Exchange<'_>) {
    let scratch = &mut *x.scratch;
    let Some(given) = scratch.given.as_ref().map(|given| &given.cookies) else {
        return;
    };
    if given.is_empty() {
        return;
    }
    let arena = x.response.as_ref().map(crate::buffer::Buffer::filled);
    let is_given = |value: &[u8]| given.iter().any(|it| cookie_name(it) == cookie_name(value));
    let edits = &mut scratch.response_edits;
    let fields = scratch.response.fields();
    edits.remove_where(fields, arena.unwrap_or_default(), |name, value| {
        Known::of(name) == Known::SetCookie && is_given(value)
    });
    for value in given {
        edits.add(b"Set-Cookie", |out| out.extend_from_slice(value));
    }
}

/// What the client is answered in the service's words.
fn answer(asked: &Authorize<Resolved>, reply: &Reply) -> Answer {
    let (fields, arena) = (reply.head.fields(), reply.arena());
    let mut answer = Answer {
        status: reply.head.status(),
        body: Body::Made(reply.body().to_vec()),
        ..Answer::default()
    };
    let mut drop = HOP_BY_HOP.with(Known::ContentLength);
    let location = fields.value(Known::Location, arena);
    if asked.location_base.is_some() && location.is_some() {
        drop = drop.with(Known::Location);
    }
    copy_end_to_end(fields, arena, drop, &mut answer.fields);
    if let (Some(base), Some(location)) = (&asked.location_base, location) {
        let location = resolved(base.as_bytes(), location);
        write_field(&mut answer.fields, b"Location", &location);
    }
    answer
}

/// A reference as it is meant at this URL (RFC 3986 section 5.3, without removing dots).
fn resolved(base: &[u8], reference: &[u8]) -> Vec<u8> {
    let colon = reference
        .iter()
        .position(|byte| matches!(byte, b':' | b'/' | b'?' | b'#'));
    if colon.is_some_and(|at| at > 0 && reference.get(at) == Some(&b':')) {
        return reference.to_vec();
    }
    let scheme = base
        .iter()
        .position(|byte| *byte == b':')
        .map_or(0, |at| at + 1);
    let authority = scheme + 2;
    let rest = base.get(authority..).unwrap_or_default();
    let path = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let path = path.map_or(base.len(), |at| authority + at);
    let end = base
        .iter()
        .position(|byte| matches!(byte, b'?' | b'#'))
        .unwrap_or(base.len());
    let kept = match reference {
        [b'/', b'/', ..] => base.get(..scheme),
        [b'/', ..] => base.get(..path),
        [] | [b'?' | b'#', ..] => base.get(..end),
        _ => {
            let slash = base
                .get(path..end)
                .and_then(|it| it.iter().rposition(|byte| *byte == b'/'));
            let Some(slash) = slash else {
                return [base.get(..path).unwrap_or_default(), b"/", reference].concat();
            };
            base.get(..=path + slash)
        }
    };
    [kept.unwrap_or_default(), reference].concat()
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn locations_are_relative_to_the_service() {
        let check = |base: &str, reference: &str, expected: &str| {
            let found = resolved(base.as_bytes(), reference.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), expected, "{reference}");
        };
        let base = "http://auth:4181/a/verify?x=1";
        check(base, "https://login.example/", "https://login.example/");
        check(base, "/login?to=a:b", "http://auth:4181/login?to=a:b");
        check(base, "//login.example/a", "http://login.example/a");
        check(base, "login", "http://auth:4181/a/login");
        check(base, "?y", "http://auth:4181/a/verify?y");
        check("http://auth", "login", "http://auth/login");
        check("http://auth?q=/", "/login", "http://auth/login");
    }
}
