//! Where a body ends and whether the connection goes on (RFC 9112 §6, §9.3), decided once per message.
//!
//! This is the place where request smuggling happens or does not: whatever two readers could understand differently is
//! refused here, both ways.

use super::head::{
    ConnectionOptions, FieldList, Method, RequestHead, ResponseHead, TargetForm, Version,
};
use super::known::{Known, KnownSet};
use super::list;
use super::refusal::Refusal;

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyLength {
    /// Neither Content-Length nor Transfer-Encoding: no body.
    None,
    /// Content-Length; may be 0.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// The body of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseBody {
    /// No body, whatever the fields say: HEAD, 1xx, 204, 304, 2xx to CONNECT (RFC 9112 §6.3).
    None,
    /// Content-Length; may be 0.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the target closes the connection.
    UntilClose,
}

/// What the framing fields of a request say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFraming {
    /// Where the body ends.
    pub body: BodyLength,
    /// Whether the client means to send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1); never in HTTP/1.0 and never
    /// without a body.
    pub expect_continue: bool,
    /// Whether the client asks for another protocol that may be tunnelled (RFC 9110 §7.8), WebSocket say. HTTP itself (`h2c`)
    /// and TLS do not count: a tunnel for them would carry requests past every rule.
    pub upgrade: bool,
}

/// What the framing fields of a response say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFraming {
    /// Where the body ends.
    pub body: ResponseBody,
    /// Whether the connection may carry another request afterwards.
    pub keep_alive: bool,
    /// Fields that contradict the status and must not be sent on (RFC 9110 §8.6, RFC 9112 §6.1). Put them into the set that
    /// [`super::copy_end_to_end`] leaves out.
    pub drop: KnownSet,
}

const FRAMING_FIELDS: KnownSet = KnownSet::of(&[Known::ContentLength, Known::TransferEncoding]);

/// Decides the framing of a request.
///
/// Refused: Transfer-Encoding with Content-Length or in HTTP/1.0, any coding but one final `chunked`, more than one
/// Content-Length even if equal, a malformed one, and content on CONNECT; some of it is repaired before, where
/// [`HeadLimits::lenient`](super::HeadLimits::lenient) says so.
pub fn request_framing(head: &RequestHead, arena: &[u8]) -> Result<RequestFraming, Refusal> {
    let fields = head.fields();
    let body = match declared_length(fields, arena, head.version())? {
        Declared::Nothing => BodyLength::None,
        Declared::Length(length) => BodyLength::Length(length),
        Declared::Chunked => BodyLength::Chunked,
    };
    let has_content = !matches!(body, BodyLength::None | BodyLength::Length(0));
    if has_content && head.target_form() == TargetForm::Authority {
        return Err(Refusal::BodyOnConnect);
    }
    Ok(RequestFraming {
        body,
        keep_alive: keep_alive(head.version(), fields.connection()),
        expect_continue: has_content
            && head.version() == Version::Http11
            && fields.list_contains(Known::Expect, arena, b"100-continue"),
        upgrade: head.version() == Version::Http11
            && fields.connection().upgrade
            && may_tunnel(fields, arena),
    })
}

/// Decides the framing of a response to a request with this method. Whatever is refused becomes a 502.
///
/// A connection is not reused after a response that a reader could end elsewhere: 1xx, 204 and CONNECT's 2xx that claim a body.
pub fn response_framing(
    head: &ResponseHead,
    arena: &[u8],
    method: Method,
) -> Result<ResponseFraming, Refusal> {
    let fields = head.fields();
    let declared = declared_length(fields, arena, head.version())?;
    let keep_alive = keep_alive(head.version(), fields.connection());
    let status = head.status();
    let tunnel = method == Method::Connect && (200..300).contains(&status);
    if tunnel || status < 200 || status == 204 {
        let claims_body = !matches!(declared, Declared::Nothing | Declared::Length(0));
        return Ok(ResponseFraming {
            body: ResponseBody::None,
            keep_alive: keep_alive && !claims_body,
            drop: FRAMING_FIELDS,
        });
    }
    let body = match declared {
        _ if method == Method::Head || status == 304 => ResponseBody::None,
        Declared::Length(length) => ResponseBody::Length(length),
        Declared::Chunked => ResponseBody::Chunked,
        Declared::Nothing => ResponseBody::UntilClose,
    };
    Ok(ResponseFraming {
        body,
        keep_alive: keep_alive && body != ResponseBody::UntilClose,
        drop: KnownSet::EMPTY,
    })
}

/// What Content-Length and Transfer-Encoding say together.
enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

#[inline]
fn declared_length(
    fields: &FieldList,
    arena: &[u8],
    version: Version,
) -> Result<Declared, Refusal> {
    let coded = fields.contains(Known::TransferEncoding);
    match (coded, fields.contains(Known::ContentLength)) {
        (false, false) => Ok(Declared::Nothing),
        (false, true) => content_length(fields, arena).map(Declared::Length),
        (true, true) => Err(Refusal::TeAndCl),
        (true, false) if version == Version::Http10 && !fields.coded_in_http10 => {
            Err(Refusal::TeInHttp10)
        }
        (true, false) => only_chunked(fields, arena).map(|()| Declared::Chunked),
    }
}

#[inline]
fn content_length(fields: &FieldList, arena: &[u8]) -> Result<u64, Refusal> {
    let mut values = fields.values(Known::ContentLength, arena);
    let value = values.next().ok_or(Refusal::BadContentLength)?;
    if values.next().is_some() || value.contains(&b',') {
        return Err(Refusal::DuplicateContentLength);
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::BadContentLength);
    }
    value
        .iter()
        .try_fold(0u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(Refusal::ContentLengthOverflow)
}

/// Accepts exactly one coding, `chunked`. Empty list elements, legal in other lists, are refused: they serve to hide it.
fn only_chunked(fields: &FieldList, arena: &[u8]) -> Result<(), Refusal> {
    let (mut codings, mut chunked, mut chunked_is_last) = (0, 0, false);
    for coding in fields
        .values(Known::TransferEncoding, arena)
        .flat_map(list::elements_with_empty)
    {
        let name = coding
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        if !list::is_token(list::trim(name)) {
            return Err(Refusal::BadTransferEncoding);
        }
        chunked_is_last = coding.eq_ignore_ascii_case(b"chunked");
        chunked += u32::from(chunked_is_last);
        codings += 1;
    }
    match (codings, chunked) {
        (1, 1) => Ok(()),
        (_, 0) => Err(Refusal::ChunkedNotFinal),
        (_, 1) if chunked_is_last => Err(Refusal::UnknownTransferCoding),
        (_, 1) => Err(Refusal::ChunkedNotFinal),
        (_, _) => Err(Refusal::ChunkedTwice),
    }
}

/// RFC 9112 §9.3.
#[inline]
fn keep_alive(version: Version, options: ConnectionOptions) -> bool {
    !options.close && (version == Version::Http11 || options.keep_alive)
}

fn may_tunnel(fields: &FieldList, arena: &[u8]) -> bool {
    let is_http_or_tls = |protocol: &[u8]| {
        let name = protocol
            .split(|byte| *byte == b'/')
            .next()
            .unwrap_or_default();
        [b"h2c".as_slice(), b"h2", b"http", b"tls"]
            .iter()
            .any(|other| name.eq_ignore_ascii_case(other))
    };
    let mut protocols = fields
        .values(Known::Upgrade, arena)
        .flat_map(list::elements)
        .peekable();
    protocols.peek().is_some() && !protocols.any(is_http_or_tls)
}
