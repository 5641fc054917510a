//! Answers of our own: what rules say, and what faults become.

use crate::answers::{self, Answer};
use crate::cors;
use crate::exchange::{Answered, Exchange, How};
use crate::fault::{Fault, client_text, reason_in};
use crate::head::as_http10;
use crate::limits;
use crate::log_value::{is_page_of_haproxy, response_head_size};
use crate::pages;
use crate::policy::{self, Side};
use crate::serve::Next;
use crate::set_aside;
use crate::statistics;
use crate::stream::Stream;
use portway_core::http1::{
    HOP_BY_HOP_BUT_PROXY, HeadLimits, Known, Method, Parsed, parse_response, write_content_length,
    write_field, write_status_line,
};
use portway_model::settings::OwnAnswers;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Poll, ready};
use std::time::Duration;

/// Writes all of `bytes`, giving up after `limit` of silence.
pub(crate) async fn write_all(
    x: &Exchange<'_>,
    stream: &mut Stream,
    bytes: &[u8],
    limit: Duration,
) -> io::Result<()> {
    let timer = &x.connection.timer;
    timer.set(limit);
    let mut sent = 0;
    poll_fn(|cx| {
        loop {
            let rest = bytes.get(sent..).unwrap_or_default();
            let step = if rest.is_empty() {
                stream.poll_flush(cx).map_ok(|()| 0)
            } else {
                stream.poll_write(cx, &[IoSlice::new(rest)])
            };
            match step {
                Poll::Ready(Ok(_)) if rest.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    sent += written;
                    timer.set(limit);
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    ready!(timer.poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
    })
    .await
}

/// Sends what a rule answers in place of a target.
pub(crate) async fn by_rule(
    x: &mut Exchange<'_>,
    stream: &mut Stream,
    answer: Answer,
    how: How,
    side: Side,
) -> Next {
    x.ledger.answered = Some(Answered { how, side });
    match (how, side) {
        (How::Answer | How::Challenge, _) => statistics::intercepted(x),
        (_, Side::Request) => statistics::denied(x),
        (_, Side::Response) => statistics::response_denied(x),
    }
    if how != How::Answer {
        x.ledger.fault = Some(Fault::denied());
    }
    forget_response(x);
    self::answer(x, stream, answer, false).await
}

/// What rules made of the target's response is not meant for ours.
pub(crate) fn forget_response(x: &mut Exchange<'_>) {
    x.scratch.response_edits.clear();
    x.scratch.response.clear();
    x.scratch.reason.clear();
    x.response = None;
    x.response_status = None;
}

/// Answers a fault, or says that nothing can be answered.
pub(crate) async fn fault(x: &mut Exchange<'_>, stream: &mut Stream, fault: Fault) -> Next {
    if x.scratch.set_aside.is_there()
        && let Some(kept) = set_aside::in_place_of(x, fault)
    {
        return Box::pin(set_aside::give(x, stream, *kept)).await;
    }
    x.ledger.fault = Some(fault);
    x.ledger.failed = true;
    forget_response(x);
    let no_request = x.head_len == 0;
    match to_fault(x, fault, no_request) {
        Some((answer, close)) => self::answer(x, stream, answer, close).await,
        None => Next::Close,
    }
}

/// What is answered to a fault, and whether the connection is closed after it; `None`: nothing is answered.
pub(crate) fn to_fault(x: &Exchange<'_>, fault: Fault, no_request: bool) -> Option<(Answer, bool)> {
    let form = x.connection.own_answers();
    let status = match form {
        OwnAnswers::Portway => fault.status,
        OwnAnswers::Haproxy => fault.haproxy_status(no_request),
    }?;
    let mut answer = match no_request {
        true => answers::to_no_request(x, status, client_text(fault)),
        false => answers::own(x, status, client_text(fault)),
    };
    if fault == Fault::passwords_busy() || fault.is_exhausted() {
        write_field(&mut answer.fields, b"Retry-After", b"1");
    }
    // What made the fault may have left the connection in any state; only faults of targets are sure not to.
    let close = match form {
        OwnAnswers::Portway => fault.stage.is_none() && !matches!(status, 404 | 503),
        OwnAnswers::Haproxy => no_request || fault.stage.is_none() && status == 400,
    };
    Some((answer, close))
}

/// Sends an answer. The connection goes on only where the request was read to its end.
pub(crate) async fn answer(
    x: &mut Exchange<'_>,
    stream: &mut Stream,
    answer: Answer,
    close: bool,
) -> Next {
    let mut status = answer.status;
    if x.scratch.pages.is_some() {
        status = pages::status(x, status);
        if !close && !answer.silent && pages::takes(x, status) {
            return Next::Elsewhere;
        }
    }
    x.ledger.status = status;
    x.ledger.in_place_of = answer.in_place_of;
    if answer.silent {
        return Next::Close;
    }
    let (out, rest) = written(x, &answer, status, close);
    send(x, stream, &answer, (out, rest)).await
}

/// Sends a target's answer that was kept, once rules have seen it.
pub(crate) async fn passed_on(x: &mut Exchange<'_>, stream: &mut Stream, answer: &Answer) -> Next {
    let close = !x.framing.keep_alive || x.connection.is_ending();
    let rest = if close { None } else { x.rest() };
    let out = head(x, answer, rest.is_none());
    x.response = None;
    send(x, stream, answer, (out, rest)).await
}

async fn send(
    x: &mut Exchange<'_>,
    stream: &mut Stream,
    answer: &Answer,
    (out, rest): (Vec<u8>, Option<Next>),
) -> Next {
    x.ledger.status = x.response_status.unwrap_or(answer.status);
    let sent = if has_body(x) {
        answer.body.bytes().len() as u64
    } else {
        0
    };
    x.ledger.body_out.set(sent);
    x.ledger.head_out = (out.len() as u64).saturating_sub(sent);
    if x.connection.wants_sizes() {
        x.ledger.response_size = size(x, answer, &out);
    }
    let limit = x.connection.client_timeout();
    drop(limits::places(x));
    if let Err(error) = write_all(x, stream, &out, limit).await {
        x.ledger.fault.get_or_insert(Fault::unsent(&error));
        return Next::Close;
    }
    x.scratch.head = out;
    rest.unwrap_or(Next::Linger)
}

/// The whole response, head and body, once rules on every response have seen it; and what comes after it where the
/// connection goes on.
pub(crate) fn written(
    x: &mut Exchange<'_>,
    answer: &Answer,
    status: u16,
    close: bool,
) -> (Vec<u8>, Option<Next>) {
    x.response_status = Some(status);
    let mut close = close || answer.close || !x.framing.keep_alive || x.connection.is_ending();
    // HAProxy shows its rules no answer to what is no request.
    let hidden = x.head_len == 0 && x.connection.own_answers() == OwnAnswers::Haproxy;
    let given = x.scratch.given.is_some();
    if !hidden && (given || policy::looks_at_every_response(x)) && show(x, answer) {
        if given {
            cors::respond(x);
        }
        close |= policy::after_response(x);
    }
    let rest = if close { None } else { x.rest() };
    let out = head(x, answer, rest.is_none());
    x.response = None;
    (out, rest)
}

/// Lets rules see the answer as they see a target's response. False where it has more fields than a response may have.
pub(crate) fn show(x: &mut Exchange<'_>, answer: &Answer) -> bool {
    let mut buffer = x.connection.worker.buffers.lease();
    let mut text = Vec::new();
    write_status_line(&mut text, answer.status, b"");
    text.extend_from_slice(&answer.fields);
    text.extend_from_slice(b"\r\n");
    let limits = HeadLimits::default();
    while buffer.spare().len() < text.len() {
        let filled = buffer.spare().len();
        buffer.received(filled);
        if !buffer.make_room(limits.head_bytes + crate::buffer::BUFFER_BYTES) {
            return false;
        }
        buffer.clear();
    }
    if let Some(room) = buffer.spare().get_mut(..text.len()) {
        room.copy_from_slice(&text);
    }
    buffer.received(text.len());
    let parsed = parse_response(buffer.filled(), 0, &limits, &mut x.scratch.response);
    x.response = Some(buffer);
    matches!(parsed, Parsed::Complete { .. })
}

/// True where the answer's body is sent.
fn has_body(x: &Exchange<'_>) -> bool {
    let bodiless = matches!(x.response_status, Some(204 | 304));
    x.request().method() != Method::Head && !bodiless
}

/// The size of what was answered but for the body, as HAProxy counts it. `out`: the whole response.
fn size(x: &Exchange<'_>, answer: &Answer, out: &[u8]) -> u64 {
    let (received, from_rule) = match x.ledger.answered {
        Some(Answered {
            side: Side::Response,
            ..
        }) => (x.ledger.response_size, true),
        answered => (0, answered.is_some()),
    };
    // HAProxy makes a length for the answer of a rule, and takes it out of a 204 or 304 as it leaves.
    let length = match x.response_status {
        Some(204 | 304) if from_rule => "Content-Length".len() + 1,
        _ => 0,
    };
    // Where it asks for the password of its page, it answers what is no request too, and sends nothing of that.
    let unsent = match answer.status {
        401 if is_page_of_haproxy(x) => page_size(x, &answers::own(x, 400, "")),
        _ => 0,
    };
    received + (length + answer.hop_bytes) as u64 + own_size(out, x.ledger.head_out) + unsent
}

/// The size of an answer, head and body, as HAProxy counts it.
fn page_size(x: &Exchange<'_>, page: &Answer) -> u64 {
    let mut out = Vec::new();
    let reason = match page.reason.is_empty() {
        true => reason_in(x.connection.own_answers(), page.status).as_bytes(),
        false => &page.reason,
    };
    write_status_line(&mut out, page.status, reason);
    out.extend_from_slice(&page.fields);
    let body = page.body.bytes().len();
    let sent = if has_body(x) { body } else { 0 };
    if !page.unsized_body {
        write_content_length(&mut out, body as u64);
    }
    own_size(&out, out.len() as u64) + (page.hop_bytes + sent) as u64
}

/// The size of the head of an answer of our own, as HAProxy counts it: without what divides names and values and ends
/// lines, and without the field that belongs to the connection.
fn own_size(out: &[u8], head_len: u64) -> u64 {
    let head = out.get(..head_len as usize).unwrap_or(out);
    let mut lines = head.split(|byte| *byte == b'\n');
    let reason = lines
        .next()
        .map_or(0, |line| line.len().saturating_sub("HTTP/1.1 200 \r".len()));
    let fields = lines
        .filter(|line| line.len() > 1)
        .filter(|line| {
            !line
                .get(..11)
                .is_some_and(|it| it.eq_ignore_ascii_case(b"connection:"))
        })
        .map(|line| line.len().saturating_sub(": \r".len()) as u64);
    response_head_size(reason, fields.sum(), false)
}

/// The whole response, head and body.
fn head(x: &mut Exchange<'_>, answer: &Answer, close: bool) -> Vec<u8> {
    let mut out = std::mem::take(&mut x.scratch.head);
    out.clear();
    let status = x.response_status.unwrap_or(answer.status);
    let reason = match () {
        () if !x.scratch.reason.is_empty() => x.scratch.reason.as_slice(),
        () if status == answer.status && !answer.reason.is_empty() => &answer.reason,
        () => reason_in(x.connection.own_answers(), status).as_bytes(),
    };
    write_status_line(&mut out, status, reason);
    if answer.http10 {
        as_http10(&mut out);
    }
    match &x.response {
        Some(shown) => x.scratch.response_edits.write(
            x.scratch.response.fields(),
            shown.filled(),
            HOP_BY_HOP_BUT_PROXY.with(Known::ContentLength),
            &mut out,
        ),
        None => out.extend_from_slice(&answer.fields),
    }
    if status != 204 && status != 304 && !answer.unsized_body {
        write_content_length(&mut out, answer.body.bytes().len() as u64);
    }
    match (close, x.is_http11() && !answer.http10) {
        (true, _) if answer.http10 => {}
        (true, _) => write_field(&mut out, b"Connection", b"close"),
        (false, false) => write_field(&mut out, b"Connection", b"keep-alive"),
        (false, true) => {}
    }
    out.extend_from_slice(b"\r\n");
    if has_body(x) {
        out.extend_from_slice(answer.body.bytes());
    }
    out
}
