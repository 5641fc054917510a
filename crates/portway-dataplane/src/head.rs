//! Heads as we send them: strict in, canonical out.

use crate::exchange::Exchange;
use crate::fault::reason_in;
use portway_core::evaluate::Facts;
use portway_core::evaluate::rewrite::{add_prefix, write_origin};
use portway_core::http1::{
    BodyLength, ForwardedFields, ForwardedMode, HOP_BY_HOP, Hop, Known, KnownSet, Method,
    ResponseBody, ResponseFraming, TargetForm, Version, copy_end_to_end, write_content_length,
    write_field, write_request_line, write_status_line, write_transfer_chunked, write_upgrade,
};
use portway_model::settings::ForwardedMode as Configured;
use portway_model::snapshot::Forwarded;

/// Where a status line says the minor version: `HTTP/1.1`.
const MINOR_VERSION: usize = 7;

/// How a response is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponsePlan {
    /// The body leaves in chunks.
    pub(crate) chunked: bool,
    /// The client may send another request.
    pub(crate) keep_alive: bool,
    /// What follows the head is a tunnel.
    pub(crate) tunnel: bool,
    /// It leaves in HTTP/1.0, as HAProxy leaves the target's version alone; not so with chunks, which HTTP/1.0 has not.
    pub(crate) http10: bool,
}

impl ResponsePlan {
    /// `keeps`: nothing on the client's side stands against another request.
    pub(crate) fn new(
        x: &Exchange<'_>,
        framing: &ResponseFraming,
        status: u16,
        keeps: bool,
    ) -> Self {
        let open_ended = matches!(
            framing.body,
            ResponseBody::Chunked | ResponseBody::UntilClose
        );
        let http10 = x.scratch.response.version() == Version::Http10
            && framing.body != ResponseBody::Chunked
            && x.connection.lenient_heads();
        let connect = x.request().method() == Method::Connect && (200..300).contains(&status);
        Self {
            chunked: open_ended && x.is_http11() && !http10,
            keep_alive: keeps && ((x.is_http11() && !http10) || !open_ended),
            tunnel: connect || (status == 101 && x.framing.upgrade),
            http10,
        }
    }

    /// True where the client finds the end of the body by the end of the connection alone.
    pub(crate) fn is_open_ended(&self, framing: &ResponseFraming) -> bool {
        let unsized_body = matches!(
            framing.body,
            ResponseBody::Chunked | ResponseBody::UntilClose
        );
        unsized_body && !self.chunked
    }
}

/// What the listener says about X-Forwarded-*, in the words of the core. A field that rules touch is left to them.
fn forwarded(configured: &Forwarded, x: &Exchange<'_>) -> ForwardedFields {
    let edits = &x.scratch.request_edits;
    let mode = |mode: Configured, known: Known| match mode {
        _ if edits.removes(known) => ForwardedMode::Preserve,
        Configured::Append => ForwardedMode::Append,
        Configured::Preserve => ForwardedMode::Preserve,
        Configured::Remove => ForwardedMode::Remove,
    };
    ForwardedFields {
        // A client on a UNIX socket has no address to tell.
        x_for: match x.source_port() {
            Some(_) => mode(configured.x_forwarded_for, Known::XForwardedFor),
            None => ForwardedMode::Preserve,
        },
        client_port: configured.client_port,
        x_proto: mode(configured.x_forwarded_proto, Known::XForwardedProto),
        x_port: mode(configured.x_forwarded_port, Known::XForwardedPort),
        x_host: mode(configured.x_forwarded_host, Known::XForwardedHost),
        forwarded: mode(configured.forwarded, Known::Forwarded),
    }
}

/// The request head towards the target.
pub(crate) fn request(x: &mut Exchange<'_>) -> Vec<u8> {
    let mut out = std::mem::take(&mut x.scratch.head);
    out.clear();
    write_request(x, path_prefix(x), KnownSet::EMPTY, &mut out);
    out.extend_from_slice(b"\r\n");
    out
}

/// The same with a body of this length.
pub(crate) fn copy_of_request(x: &mut Exchange<'_>, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let framing = std::mem::replace(&mut x.framing.body, BodyLength::None);
    let drop = KnownSet::EMPTY.with(Known::ContentLength);
    write_request(x, None, drop.with(Known::Expect), &mut out);
    if framing != BodyLength::None {
        write_content_length(&mut out, length as u64);
    }
    x.framing.body = framing;
    out.extend_from_slice(b"\r\n");
    out
}

/// All of a head but the line that ends it.
#[inline]
fn write_request(x: &Exchange<'_>, prefix: Option<&str>, mut drop: KnownSet, out: &mut Vec<u8>) {
    let (head, arena) = (x.request(), x.arena());
    request_line(x, prefix, out);
    let edits = &x.scratch.request_edits;
    if !x.is_http11() || x.continued {
        // HTTP/1.0 expects nothing (RFC 9110 §10.1.1), and what we send is HTTP/1.1.
        drop = drop.with(Known::Expect);
    }
    let is_named = head.target_form() != TargetForm::Absolute
        || x.current_origin().is_some()
        || x.has_made_origin();
    let has_host = head.fields().contains(Known::Host) && is_named;
    if !has_host && !edits.removes(Known::Host) {
        drop = drop.with(Known::Host);
        if !head.authority(arena).is_empty() {
            write_field(out, b"Host", head.authority(arena));
        }
    }
    let listener = x
        .connection
        .generation
        .plane
        .listener(x.connection.listener);
    let fields = listener.map(|(listener, _)| forwarded(&listener.forwarded, x));
    if let Some(fields) = &fields {
        drop = drop.union(fields.replaced(head.fields(), x.trusted));
    }
    edits.write(
        head.fields(),
        arena,
        drop.union(x.connection.hop_by_hop()),
        out,
    );
    if x.framing.body == BodyLength::Chunked {
        write_transfer_chunked(out);
    }
    if head.fields().contains(Known::Te) && passes_trailers(x) {
        write_field(out, b"TE", b"trailers");
    }
    if x.framing.upgrade {
        write_upgrade(head.fields(), arena, out);
    } else if crate::forward::closes(x) {
        write_field(out, b"Connection", b"close");
    } else if x.sends_http10() {
        write_field(out, b"Connection", b"keep-alive");
    }
    if let Some(fields) = fields {
        let hop = Hop {
            peer: x.source_end(),
            trusted: x.trusted,
            https: x.connection.tls.is_some(),
            listener_port: x.destination_end().port(),
            authority: head.authority(arena),
        };
        fields.write(head.fields(), arena, &hop, out);
    }
}

/// True where the target may send trailers, as the client said: HAProxy passes that on, and no coding.
fn passes_trailers(x: &Exchange<'_>) -> bool {
    x.connection.lenient_heads()
        && x.request()
            .fields()
            .list_contains(Known::Te, x.arena(), b"trailers")
}

/// What the target that is tried has before the paths of its requests.
fn path_prefix<'x>(x: &'x Exchange<'_>) -> Option<&'x str> {
    let (group, ..) = x.connection.generation.group(x.attempt.group?)?;
    let target = group.targets.get(x.attempt.target?)?;
    target.path_prefix.as_deref()
}

fn request_line(x: &Exchange<'_>, prefix: Option<&str>, out: &mut Vec<u8>) {
    let (head, arena) = (x.request(), x.arena());
    let version = if x.sends_http10() {
        Version::Http10
    } else {
        Version::Http11
    };
    if head.method() == Method::Connect {
        return write_request_line(out, b"CONNECT", head.target(arena), None, version);
    }
    let method = x
        .line
        .method
        .as_ref()
        .map_or(head.method_bytes(arena), |method| method.as_bytes());
    let is_of_server = x.sent_path() == b"*";
    let prefix = prefix.filter(|_| !is_of_server).unwrap_or_default();
    let origin = x.sent_origin();
    if origin.is_none() && prefix.is_empty() {
        return write_request_line(out, method, x.sent_path(), x.current_query(), version);
    }
    let mut url = Vec::new();
    if let Some(origin) = origin {
        write_origin(origin, &mut url);
    }
    match prefix {
        "" => url.extend_from_slice(x.sent_path()),
        prefix => add_prefix(prefix, x.sent_path(), &mut url),
    }
    write_request_line(out, method, &url, x.current_query(), version);
}

/// The response head towards the client. `x.response` holds the target's.
pub(crate) fn response(
    x: &mut Exchange<'_>,
    framing: &ResponseFraming,
    plan: &ResponsePlan,
) -> Vec<u8> {
    let mut out = std::mem::take(&mut x.scratch.head);
    out.clear();
    let (head, edits) = (&x.scratch.response, &x.scratch.response_edits);
    let arena = x
        .response
        .as_ref()
        .map(crate::buffer::Buffer::filled)
        .unwrap_or_default();
    match x.response_status {
        Some(status) if !x.scratch.reason.is_empty() => {
            write_status_line(&mut out, status, &x.scratch.reason);
        }
        Some(status) if status != head.status() => {
            let form = x.connection.own_answers();
            write_status_line(&mut out, status, reason_in(form, status).as_bytes());
        }
        _ => write_status_line(&mut out, head.status(), head.reason(arena)),
    }
    if plan.http10 {
        as_http10(&mut out);
    }
    let emptied = gains_a_body(x, head.status());
    let drop = if emptied {
        framing.drop.with(Known::ContentLength)
    } else {
        framing.drop
    };
    edits.write(
        head.fields(),
        arena,
        drop.union(x.connection.hop_by_hop()),
        &mut out,
    );
    if emptied {
        write_content_length(&mut out, 0);
    }
    if plan.chunked {
        write_transfer_chunked(&mut out);
    }
    if head.status() == 101 {
        write_upgrade(head.fields(), arena, &mut out);
    } else if !plan.keep_alive && !plan.tunnel {
        // That is what HTTP/1.0 means.
        if !plan.http10 {
            write_field(&mut out, b"Connection", b"close");
        }
    } else if !x.is_http11() || plan.http10 {
        write_field(&mut out, b"Connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Says HTTP/1.0 in a status line that stands there.
pub(crate) fn as_http10(head: &mut [u8]) {
    if let Some(minor) = head.get_mut(MINOR_VERSION) {
        *minor = b'0';
    }
}

/// True where a rule gave a response that has no body a status that has one: its end must be said.
fn gains_a_body(x: &Exchange<'_>, received: u16) -> bool {
    let changed = x.response_status.is_some_and(|status| status != received);
    changed && matches!(received, 204 | 304) && x.request().method() != Method::Head
}

/// A 1xx head towards the client.
pub(crate) fn interim(x: &mut Exchange<'_>, arena: &[u8]) -> Vec<u8> {
    let mut out = std::mem::take(&mut x.scratch.head);
    out.clear();
    let head = &x.scratch.response;
    write_status_line(&mut out, head.status(), head.reason(arena));
    copy_end_to_end(
        head.fields(),
        arena,
        HOP_BY_HOP.with(Known::ContentLength),
        &mut out,
    );
    out.extend_from_slice(b"\r\n");
    out
}
