//! The request of a check and the judgement of its answer.

use std::io;

use portway_core::health::Failure;
use portway_core::http1::{
    ChunkedLimits, Decoder, HeadLimits, Method, Parsed, Refusal, ResponseBody, ResponseHead,
    parse_response, response_framing,
};
use portway_model::draft::HttpCheck;
use portway_model::expression::NumberRange;
use portway_model::stage::{Pattern, Resolved};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::probe::Stream;

/// Bytes of an answer's body that are searched. A page that says its state later than that is not a health page.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
/// Interim answers (1xx) that are skipped.
const MAX_INTERIM: usize = 8;
/// Bytes asked for at a time.
pub(super) const READ_BYTES: usize = 8 * 1024;

/// Who asks, so that targets can keep checks out of their logs.
pub(super) const USER_AGENT: &str = concat!("Portway-HealthCheck/", env!("CARGO_PKG_VERSION"));

/// Sends the request of `check` and judges what comes back; gives its status.
pub(super) async fn check(
    stream: &mut dyn Stream,
    check: &HttpCheck<Resolved>,
    host: &str,
) -> Result<u16, Failure> {
    stream
        .write_all(&request(check, host))
        .await
        .map_err(|error| broken(&error))?;
    let mut buffer = Vec::new();
    let mut head = ResponseHead::new();
    let head_len = read_head(stream, &mut buffer, &mut head).await?;
    let status = head.status();
    if !check.expect.iter().any(|range| contains(range, status)) {
        return Err(Failure::UnexpectedStatus {
            status,
            expected: in_words(&check.expect).into(),
        });
    }
    let Some(pattern) = &check.body else {
        return Ok(status);
    };
    let framing =
        response_framing(&head, &buffer, Method::of(check.method.as_bytes())).map_err(malformed)?;
    buffer.drain(..head_len);
    let body = read_body(stream, buffer, framing.body, MAX_BODY_BYTES).await?;
    judge_body(pattern, &body).map(|()| status)
}

fn request(check: &HttpCheck<Resolved>, host: &str) -> Vec<u8> {
    let given = |name: &str| {
        check
            .headers
            .iter()
            .any(|(it, _)| it.eq_ignore_ascii_case(name))
    };
    let mut request = format!("{} {} HTTP/1.1\r\n", check.method, check.path);
    let mut add = |name: &str, value: &str| request.push_str(&format!("{name}: {value}\r\n"));
    if !given("host") {
        add("Host", host);
    }
    if !given("user-agent") {
        add("User-Agent", USER_AGENT);
    }
    if !given("connection") {
        add("Connection", "close");
    }
    for (name, value) in &check.headers {
        add(name, value);
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Reads until the head of the final answer is there; gives its length.
pub(crate) async fn read_head(
    stream: &mut dyn Stream,
    buffer: &mut Vec<u8>,
    head: &mut ResponseHead,
) -> Result<usize, Failure> {
    let limits = HeadLimits::default();
    let (mut scanned, mut interim) = (0, 0);
    loop {
        match parse_response(buffer, scanned, &limits, head) {
            Parsed::Complete { head_len } if head.is_interim() && interim < MAX_INTERIM => {
                buffer.drain(..head_len);
                (scanned, interim) = (0, interim + 1);
            }
            Parsed::Complete { head_len } => return Ok(head_len),
            Parsed::Refused(refusal) => return Err(malformed(refusal)),
            Parsed::Partial => {
                scanned = buffer.len();
                if read_some(stream, buffer).await? == 0 {
                    return Err(Failure::ClosedEarly);
                }
            }
        }
    }
}

/// The beginning of the body, decoded: so many bytes of it at most.
pub(crate) async fn read_body(
    stream: &mut dyn Stream,
    mut arrived: Vec<u8>,
    length: ResponseBody,
    most: usize,
) -> Result<Vec<u8>, Failure> {
    let wanted = match length {
        ResponseBody::None => 0,
        ResponseBody::Length(length) => usize::try_from(length).unwrap_or(usize::MAX).min(most),
        ResponseBody::Chunked | ResponseBody::UntilClose => most,
    };
    let mut decoder = (length == ResponseBody::Chunked).then(Decoder::new);
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    loop {
        match &mut decoder {
            None => body.append(&mut arrived),
            Some(decoder) => {
                let decoded = decoder
                    .decode_in_place(&mut arrived, &mut trailers, &ChunkedLimits::default())
                    .map_err(malformed)?;
                body.extend_from_slice(arrived.get(decoded.data()).unwrap_or_default());
                arrived.clear();
            }
        }
        let finished = decoder.as_ref().is_some_and(Decoder::is_finished);
        if finished || body.len() >= wanted {
            break;
        }
        if read_some(stream, &mut arrived).await? == 0 {
            if length != ResponseBody::UntilClose {
                return Err(Failure::ClosedEarly);
            }
            break;
        }
    }
    body.truncate(wanted);
    Ok(body)
}

async fn read_some(stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> Result<usize, Failure> {
    buffer.reserve(READ_BYTES);
    match stream.read_buf(buffer).await {
        Ok(count) => Ok(count),
        // A TLS peer that closes without saying so.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(broken(&error)),
    }
}

fn judge_body(pattern: &Pattern, body: &[u8]) -> Result<(), Failure> {
    if pattern.is_match(body) {
        return Ok(());
    }
    Err(Failure::UnexpectedBody(pattern.as_str().into()))
}

pub(super) fn contains(range: &NumberRange, status: u16) -> bool {
    (range.min..=range.max).contains(&i64::from(status))
}

pub(super) fn in_words(ranges: &[NumberRange]) -> String {
    let one = |range: &NumberRange| match range {
        NumberRange { min, max } if min == max => min.to_string(),
        NumberRange { min, max } => format!("{min}-{max}"),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}

fn malformed(refusal: Refusal) -> Failure {
    Failure::MalformedAnswer(refusal.description().into())
}

pub(super) fn broken(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::ClosedEarly,
        _ => Failure::ConnectFailed(error.to_string().into()),
    }
}
