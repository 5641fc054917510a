//! Checks by gRPC: one unary call over HTTP/2, and the judgement of its answer.
//!
//! The health protocol is one message of one field each way, so that its bytes are made and read here; HTTP/2 is h2's. Where a
//! target speaks in clear, HTTP/2 begins at once (RFC 9113 section 3.3).

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use portway_core::health::Failure;
use portway_model::check::CheckWord;
use portway_model::check_grpc::{GrpcCall, GrpcCheck};

use super::http::{USER_AGENT, broken, contains, in_words};
use super::probe::Stream;
use super::script::Found;
use super::talk::failed;

/// Bytes of an answer that are taken. That of the health protocol has two.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Bytes of the fields of an answer, which may carry a message for people and details for programs.
const MAX_FIELDS_BYTES: u32 = 16 * 1024;
/// Bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Names of status codes, each at the place of its number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What a service is, as the health protocol says it.
const SERVING: u64 = 1;
const SERVING_STATUS: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// Where and how a call is made.
pub(super) struct Way<'a> {
    /// `https` where the connection has TLS.
    pub(super) tls: bool,
    /// The `:authority`, unless the check has its own.
    pub(super) authority: &'a str,
    /// How long it may take, which the target is told.
    pub(super) timeout: Duration,
}

/// An answer, as far as it is judged.
struct Answer {
    /// The status code of gRPC.
    code: u16,
    /// What is said to it; perhaps nothing.
    said: String,
    /// The first message, without its prefix.
    message: Option<Bytes>,
}

/// Makes the call of `check` and judges what comes back.
pub(super) async fn check(
    stream: Box<dyn Stream>,
    check: &GrpcCheck,
    way: &Way<'_>,
) -> Result<Found, Failure> {
    let request = request(check, way)?;
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_FIELDS_BYTES)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| of_http2(&error))?;
    let mut answer = pin!(call(sender, request, message(&check.call)));
    let mut connection = pin!(connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            // What has arrived by then may be whole.
            Ok(()) => answer.await,
            Err(error) => Err(of_http2(&error)),
        },
    };
    judge(&check.call, &answer?)
}

fn request(check: &GrpcCheck, way: &Way<'_>) -> Result<Request<()>, Failure> {
    let authority = check.authority.as_deref().unwrap_or(way.authority);
    let uri = Uri::builder()
        .scheme(if way.tls { "https" } else { "http" })
        .authority(authority)
        .path_and_query(check.call.path())
        .build();
    let not_made = |error: &dyn std::fmt::Display| {
        let said = format!("the call cannot be made: {error}");
        failed(CheckWord::SocketError, None, said)
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.map_err(|error| not_made(&error))?;
    let fields = request.headers_mut();
    fields.insert("te", HeaderValue::from_static("trailers"));
    fields.insert("content-type", HeaderValue::from_static("application/grpc"));
    fields.insert("user-agent", HeaderValue::from_static(USER_AGENT));
    let timeout = format!("{}m", way.timeout.as_millis().clamp(1, 99_999_999));
    let timeout = HeaderValue::try_from(timeout).map_err(|error| not_made(&error))?;
    fields.insert("grpc-timeout", timeout);
    for (name, value) in &check.metadata {
        let name = HeaderName::try_from(name.as_str()).map_err(|error| not_made(&error))?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|error| not_made(&error))?;
        match name.as_str() {
            "user-agent" => drop(fields.insert(name, value)),
            _ => drop(fields.append(name, value)),
        }
    }
    Ok(request)
}

/// The message of a call with its prefix.
fn message(call: &GrpcCall) -> Bytes {
    let mut message = Vec::new();
    if let GrpcCall::Health { service } = call
        && !service.is_empty()
    {
        // Field 1, of bytes.
        message.push(0x0a);
        push_varint(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.append(&mut message);
    framed.into()
}

async fn call(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    message: Bytes,
) -> Result<Answer, Failure> {
    let mut sender = sender.ready().await.map_err(|error| of_http2(&error))?;
    let (response, mut body) = sender
        .send_request(request, false)
        .map_err(|error| of_http2(&error))?;
    // A target may have answered before it has read what is sent.
    let sent = body.send_data(message, true);
    let response = response.await.map_err(|error| of_http2(&error))?;
    let answer = read(response).await;
    match sent {
        Err(error) if answer.is_err() => Err(of_http2(&error)),
        _ => answer,
    }
}

async fn read(response: Response<RecvStream>) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    if status != 200 {
        let expected = "200".into();
        return Err(Failure::UnexpectedStatus { status, expected });
    }
    let (head, mut body) = response.into_parts();
    let kind = head.headers.get("content-type");
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        let kind = kind.map_or("no content type".into(), |kind| {
            String::from_utf8_lossy(kind.as_bytes())
        });
        return Err(malformed(format!("no answer of gRPC, but {kind}")));
    }
    // Where there is no message, the fields at the beginning may be those at the end.
    if head.headers.contains_key("grpc-status") {
        return of_fields(&head.headers, None);
    }
    let mut arrived = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| of_http2(&error))?;
        if arrived.len() + data.len() > MAX_ANSWER_BYTES {
            return Err(malformed("the answer is too long"));
        }
        arrived.extend_from_slice(&data);
        let flow = body.flow_control();
        flow.release_capacity(data.len())
            .map_err(|error| of_http2(&error))?;
    }
    let trailers = body.trailers().await.map_err(|error| of_http2(&error))?;
    let trailers = trailers.ok_or_else(|| malformed("the answer ends without grpc-status"))?;
    of_fields(&trailers, Some(arrived.freeze()))
}

/// What the fields behind the message say.
fn of_fields(fields: &HeaderMap, arrived: Option<Bytes>) -> Result<Answer, Failure> {
    let text = |name| {
        fields
            .get(name)
            .map(|it| String::from_utf8_lossy(it.as_bytes()))
    };
    let code = text("grpc-status").and_then(|code| code.parse().ok());
    Ok(Answer {
        code: code.ok_or_else(|| malformed("the answer has no grpc-status"))?,
        said: text("grpc-message").unwrap_or_default().into_owned(),
        message: arrived.and_then(unframed),
    })
}

/// The first message of what arrived. One that is compressed, which nobody has asked for, is none.
fn unframed(mut arrived: Bytes) -> Option<Bytes> {
    if arrived.len() < PREFIX_BYTES {
        return None;
    }
    let prefix = arrived.split_to(PREFIX_BYTES);
    let (compressed, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    (*compressed == 0 && arrived.len() >= length).then(|| arrived.split_to(length))
}

fn judge(call: &GrpcCall, answer: &Answer) -> Result<Found, Failure> {
    let Answer {
        code,
        said,
        message,
    } = answer;
    match call {
        GrpcCall::Method { codes, .. } => {
            if codes.iter().any(|range| contains(range, *code)) {
                return Ok(Found::new(CheckWord::L7Ok, Some(*code)));
            }
            let expected = in_words(codes);
            Err(of_code(*code, &format!("expected {expected}"), said))
        }
        GrpcCall::Health { .. } if *code != 0 => Err(of_code(*code, "", said)),
        GrpcCall::Health { .. } => {
            let message = message.as_ref();
            let message = message.ok_or_else(|| malformed("the answer has no message"))?;
            let status = serving_status(message)
                .ok_or_else(|| malformed("the answer is no HealthCheckResponse"))?;
            if status == SERVING {
                return Ok(Found::new(CheckWord::L7Ok, Some(*code)));
            }
            let known = usize::try_from(status).ok();
            let known = known.and_then(|status| SERVING_STATUS.get(status));
            let said = known.map_or_else(|| status.to_string(), |word| (*word).to_owned());
            Err(failed(CheckWord::L7Status, None, said))
        }
    }
}

fn of_code(code: u16, beside: &str, said: &str) -> Failure {
    let name = CODES.get(usize::from(code)).copied();
    let parts = [name.unwrap_or_default(), beside, said];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    failed(CheckWord::L7Status, Some(code), parts.join(", "))
}

/// Field 1 of the message, a number; 0 where it is not there. `None`: these are no fields.
fn serving_status(message: &[u8]) -> Option<u64> {
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = take_varint(&mut rest)?,
            (0, _) => return None,
            // Fields of later versions are passed over.
            (_, 0) => drop(take_varint(&mut rest)?),
            (_, 1) => rest = rest.get(8..)?,
            (_, 5) => rest = rest.get(4..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

/// A number in groups of seven bits, the lowest first.
fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn malformed(why: impl Into<Box<str>>) -> Failure {
    Failure::MalformedAnswer(why.into())
}

fn of_http2(error: &h2::Error) -> Failure {
    match (error.get_io(), error.reason()) {
        (Some(error), _) => broken(error),
        (None, Some(Reason::NO_ERROR | Reason::REFUSED_STREAM)) if error.is_remote() => {
            Failure::ClosedEarly
        }
        _ if error.is_remote() => malformed(format!("the target ends HTTP/2: {error}")),
        _ => malformed(format!("it does not speak HTTP/2: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::expression::NumberRange;

    #[test]
    fn messages() {
        let of = |service: &str| {
            let service = service.to_owned();
            message(&GrpcCall::Health { service }).to_vec()
        };
        assert_eq!(of(""), [0, 0, 0, 0, 0]);
        assert_eq!(of("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = of(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        assert_eq!(long.len(), 5 + 303);
        assert_eq!(
            unframed(of("ab").into()).unwrap()[..],
            [0x0a, 2, b'a', b'b']
        );
        for bad in [&[0, 0, 0, 0][..], &[0, 0, 0, 0, 1], &[1, 0, 0, 0, 0]] {
            assert_eq!(unframed(Bytes::copy_from_slice(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn statuses_of_services() {
        for (message, expected) in [
            (&[][..], Some(0)),
            (&[8, 1], Some(1)),
            (&[8, 2], Some(2)),
            (&[8, 0x81, 0], Some(1)),
            // Other fields, of each type, around it.
            (&[0x10, 5, 8, 1, 0x1a, 1, 0xff], Some(1)),
            (&[0x25, 1, 2, 3, 4, 8, 1], Some(1)),
            (&[0x21, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1], Some(1)),
            // The last one counts.
            (&[8, 1, 8, 2], Some(2)),
            (&[8], None),
            (&[0x1a, 5, 1], None),
            (&[0, 1], None),
            (&[0x0b], None),
            (&[0x0f], None),
            (
                &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                None,
            ),
        ] {
            assert_eq!(serving_status(message), expected, "{message:?}");
        }
    }

    #[test]
    fn judgements() {
        let health = GrpcCall::Health {
            service: String::new(),
        };
        let method = GrpcCall::Method {
            path: "/AWS.ALB/healthcheck".into(),
            codes: vec![
                NumberRange { min: 0, max: 2 },
                NumberRange { min: 12, max: 12 },
            ],
        };
        let serving = |status: u8| Some(Bytes::from(vec![8, status]));
        for (call, code, message, expected) in [
            (&health, 0, serving(1), "good"),
            (&health, 0, serving(2), "Layer7 wrong status: NOT_SERVING"),
            (
                &health,
                0,
                serving(3),
                "Layer7 wrong status: SERVICE_UNKNOWN",
            ),
            (&health, 0, serving(0), "Layer7 wrong status: UNKNOWN"),
            (&health, 0, serving(77), "Layer7 wrong status: 77"),
            (
                &health,
                0,
                None,
                "malformed answer: the answer has no message",
            ),
            (
                &health,
                5,
                serving(1),
                "Layer7 wrong status, code 5: NOT_FOUND, why",
            ),
            (&health, 99, None, "Layer7 wrong status, code 99: why"),
            (&method, 12, None, "good"),
            (&method, 1, serving(2), "good"),
            (
                &method,
                14,
                None,
                "Layer7 wrong status, code 14: UNAVAILABLE, expected 0-2,12, why",
            ),
        ] {
            let said = "why".into();
            let answer = Answer {
                code,
                said,
                message,
            };
            let result = judge(call, &answer);
            let result = result.map_or_else(|failure| failure.to_string(), |_| "good".to_owned());
            assert_eq!(result, expected);
        }
    }
}
