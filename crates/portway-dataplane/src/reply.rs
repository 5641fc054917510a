//! Answers of our own: what rules say, and what faults become.

use crate::exchange::Exchange;
use crate::fault::{Fault, client_text, reason};
use crate::policy::{self, Answer, Decision, Side};
use crate::serve::Next;
use crate::stream::Stream;
use portway_core::http1::{Method, write_content_length, write_field, write_status_line};
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

/// Sends an answer. The connection goes on only where the request was read to its end.
pub(crate) async fn answer(
    x: &mut Exchange<'_>,
    stream: &mut Stream,
    answer: Answer,
    close: bool,
) -> Next {
    let unread_body = !matches!(
        x.framing.body,
        portway_core::http1::BodyLength::None | portway_core::http1::BodyLength::Length(0)
    );
    x.response_status = Some(answer.status);
    after_response(x);
    let close = close || unread_body || !x.framing.keep_alive || x.connection.worker.is_draining();
    let out = head(x, &answer, close);
    x.ledger.status = x.response_status.unwrap_or(answer.status);
    let sent = if x.request().method() == Method::Head {
        0
    } else {
        answer.body.len() as u64
    };
    x.ledger.body_out.set(sent);
    x.ledger.head_out = (out.len() as u64).saturating_sub(sent);
    let limit = x.connection.client_timeout();
    if let Err(error) = write_all(x, stream, &out, limit).await {
        x.ledger.fault.get_or_insert(Fault::unsent(&error));
        return Next::Close;
    }
    x.scratch.head = out;
    match (close, unread_body) {
        (true, _) => Next::Linger,
        (false, _) => x.rest(),
    }
}

/// Answers a fault, or says that nothing can be answered.
pub(crate) async fn fault(x: &mut Exchange<'_>, stream: &mut Stream, fault: Fault) -> Next {
    x.ledger.fault = Some(fault);
    // What rules made of the target's response is not meant for ours.
    x.scratch.response_edits.clear();
    x.scratch.response.clear();
    x.response = None;
    x.response_status = None;
    let Some(status) = fault.status else {
        return Next::Close;
    };
    // What made the fault may have left the connection in any state; only faults of targets are sure not to.
    let close = fault.stage.is_none() && !matches!(status, 404 | 503);
    if let Some(page) = x.connection.error_page(status) {
        return error_page(x, stream, (status, &page), close).await;
    }
    let mut reply = Answer {
        status,
        ..Answer::default()
    };
    write_field(
        &mut reply.fields,
        b"Content-Type",
        b"text/plain; charset=utf-8",
    );
    reply.body.extend_from_slice(client_text(fault).as_bytes());
    reply.body.push(b'\n');
    answer(x, stream, reply, close).await
}

/// Sends an operator's page in place of our own words: a whole response as it is, a body with our head.
async fn error_page(
    x: &mut Exchange<'_>,
    stream: &mut Stream,
    (status, page): (u16, &[u8]),
    close: bool,
) -> Next {
    if !page.starts_with(b"HTTP/") {
        let mut reply = Answer {
            status,
            body: page.to_vec(),
            ..Answer::default()
        };
        write_field(
            &mut reply.fields,
            b"Content-Type",
            b"text/html; charset=utf-8",
        );
        return answer(x, stream, reply, close).await;
    }
    let head_len = page
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map_or(page.len(), |at| at + 4);
    let (head, body) = page.split_at_checked(head_len).unwrap_or((page, &[]));
    let (page, body_len) = match x.request().method() {
        Method::Head => (head, 0),
        _ => (page, body.len()),
    };
    x.ledger.status = status;
    x.ledger.head_out = head.len() as u64;
    x.ledger.body_out.set(body_len as u64);
    let limit = x.connection.client_timeout();
    match write_all(x, stream, page, limit).await {
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}

/// The rules that see every response, also ours. They only change fields and status.
fn after_response(x: &mut Exchange<'_>) {
    let generation = std::rc::Rc::clone(&x.connection.generation);
    if let Some((listener, _)) = generation.plane.listener(x.connection.listener)
        && !listener.rules.after_response.is_empty()
        && let Decision::Close =
            policy::run(x, &listener.rules.after_response, None, Side::Response)
    {
        x.framing.keep_alive = false;
    }
}

/// The whole response, head and body.
fn head(x: &mut Exchange<'_>, answer: &Answer, close: bool) -> Vec<u8> {
    let mut out = std::mem::take(&mut x.scratch.head);
    out.clear();
    let status = x.response_status.unwrap_or(answer.status);
    write_status_line(&mut out, status, reason(status).as_bytes());
    out.extend_from_slice(&answer.fields);
    x.scratch.response_edits.write(
        &portway_core::http1::FieldList::default(),
        &[],
        portway_core::http1::KnownSet::EMPTY,
        &mut out,
    );
    if !(100..200).contains(&status) && status != 204 && status != 304 {
        write_content_length(&mut out, answer.body.len() as u64);
    }
    if close {
        write_field(&mut out, b"Connection", b"close");
    } else if !x.is_http11() {
        write_field(&mut out, b"Connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    if x.request().method() != Method::Head && status != 204 && status != 304 {
        out.extend_from_slice(&answer.body);
    }
    out
}
