//! One attempt at a target: the request goes out, the response comes back, both bodies flow at once.
//!
//! Until the first byte of the response's head was sent to the client a fault is given back and may be answered or
//! tried again; after that a fault can only cut the response off.

use crate::attempt;
use crate::authorize;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::client_rate::{AHEAD, Flow};
use crate::compress;
use crate::connect::Upstream;
use crate::cors;
use crate::deadline;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::head;
use crate::limits;
use crate::log_value::{fields_size, find_cookie, response_head_size};
use crate::pages;
use crate::policy::{self, Side};
use crate::record;
use crate::refused::{self, Why};
use crate::reply;
use crate::response_rules::ruled;
use crate::retries;
use crate::serve::Next;
use crate::set_aside;
use crate::sticky;
use crate::stream::Stream;
use crate::transfer::{Broken, Transfer};
use crate::tunnel;
use crate::upload::Upload;
use portway_core::http1::{
    BodyLength, HeadLimits, Known, Method, Parsed, Refusal, ResponseBody, ResponseFraming,
    ResponseHead, parse_response, response_framing,
};
use portway_core::retry::Stage;
use portway_model::settings::OwnAnswers;
use portway_model::snapshot::GroupId;
use portway_telemetry::metrics::Limit;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

/// Interim responses (1xx) to one request: a 100, a few 103; more are a target that never answers.
const INTERIM_RESPONSES: u32 = 32;

/// How long each side may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    client: Duration,
    pub(crate) target: Duration,
    /// Where both are silent, it is the target that is waited for, as in HAProxy where its time is not longer. Not so
    /// once it has begun to respond.
    target_first: bool,
    /// A client that has gone is waited for no more.
    abort_on_close: bool,
}

/// Forwards the exchange over this connection. An error means that nothing of a response has reached the client.
pub(crate) async fn attempt(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    upstream: Upstream,
) -> Result<Next, Fault> {
    let mut upload = Upload::begin(x);
    let result = respond(x, downstream, upstream, &mut upload).await;
    if result.is_err() {
        x.beyond = upload.beyond();
    }
    result
}

/// Sends the request and passes the response on.
async fn respond(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    mut upstream: Upstream,
    upload: &mut Upload,
) -> Result<Next, Fault> {
    let patience = patience(x);
    let (mut response, head_len) =
        final_head(x, downstream, &mut upstream, upload, patience).await?;
    let came = came(x);
    x.ledger.response_head = Some(came);
    if let Some(why) = tried_again(x, &response) {
        let parts = (&mut upstream, &mut *upload);
        let answer = (response, head_len);
        // Boxed because it is rare.
        let kept = Box::pin(unless_set_aside(x, downstream, parts, answer, (why, came)));
        response = kept.await?;
    }
    let mut framing = begin(x, upload, (response, head_len))?;
    if has_page(x) {
        leave(x, upstream, upload, &framing, head_len);
        return Ok(Next::Elsewhere);
    }
    note(x, framing.body);
    let begun = (framing.body, head_len);
    if let Some((answer, how)) = ruled(x, downstream, &mut upstream, upload, begun).await? {
        leave(x, upstream, upload, &framing, head_len);
        return Ok(Box::pin(reply::by_rule(x, downstream, answer, how, Side::Response)).await);
    }
    let most = x.scratch.body_limits.response;
    let Outgoing {
        plan,
        head,
        response,
        received,
        encoder,
    } = outgoing(x, upload.done, &mut framing, head_len)?;
    if plan.tunnel {
        let transfer = end_requests(x, upload);
        let tunnel = tunnel::after_upgrade(x, downstream, upstream, transfer, head, response);
        // Boxed because it is rare and large, and every exchange would carry it along.
        return Ok(Box::pin(tunnel).await);
    }
    let mut download = Transfer::response(received, plan.chunked, head, response)
        .allowing(most)
        .encoded(encoder)
        .giving_back(limits::places(x));
    let both = (&mut *upload, &mut download);
    if let Err(fault) = bodies(x, downstream, &mut upstream, both, patience).await {
        // Where nothing but the end of the connection ends the body, only a reset says that it was cut off.
        let open_ended = plan.is_open_ended(&framing);
        return broken_off(x, fault, download, open_ended);
    }
    x.ledger.fault = upload.fault;
    let (rest, head) = download.into_rest();
    x.scratch.head = head;
    let whole = rest.is_none() && received != ResponseBody::UntilClose;
    if framing.keep_alive && upload.done && whole && !closes(x) && !upstream.give_back(x.connection)
    {
        crate::record::limit_reached(x, Limit::IdleTargetConnections);
    }
    Ok(after(x, downstream, upload, plan.keep_alive))
}

/// The head of the response, behind those of interim ones, which go on at once.
async fn final_head(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    upstream: &mut Upstream,
    upload: &mut Upload,
    patience: Patience,
) -> Result<(Buffer, usize), Fault> {
    let mut interims = 0;
    loop {
        let (mut buffer, head_len) =
            response_head(x, downstream, upstream, upload, patience).await?;
        if !x.scratch.response.is_interim() {
            return Ok((buffer, head_len));
        }
        interims += 1;
        if interims > INTERIM_RESPONSES {
            return Err(Fault::too_many_interims());
        }
        interim(x, downstream, &buffer, patience).await?;
        buffer.consume(head_len);
        x.response = (!buffer.is_empty()).then_some(buffer);
    }
}

/// The head is there: how long that took.
fn came(x: &mut Exchange<'_>) -> Duration {
    x.scratch.deadlines.responded(&x.connection.timer);
    x.attempt.status = Some(x.scratch.response.status());
    x.ledger.started.elapsed()
}

/// Sets an answer aside in whose place another is asked for elsewhere, which is the error; gives it back where nobody is asked.
async fn unless_set_aside(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    parts: (&mut Upstream, &mut Upload),
    (response, head_len): (Buffer, usize),
    (why, came): (Why, Duration),
) -> Result<Buffer, Fault> {
    x.response = Some(response);
    if spend(x) && set_aside::keep(x, downstream, parts, head_len, (why, came)).await? {
        x.scratch.set_aside.undone |= why == Why::Undone;
        return Err(Fault::refused_status(x.scratch.response.status()));
    }
    x.scratch.set_aside.forget_answer();
    x.response.take().ok_or_else(Fault::internal)
}

/// The response is the one that the exchange gets.
fn begin(
    x: &mut Exchange<'_>,
    upload: &mut Upload,
    (response, head_len): (Buffer, usize),
) -> Result<ResponseFraming, Fault> {
    if upload.done {
        x.scratch.head = upload.transfer.take_head();
    }
    let framing = framing_of(x, &response)?;
    let status = x.scratch.response.status();
    record::answered(x, status);
    x.response_status = Some(status);
    x.response_body = Some((head_len, framing.body));
    x.response = Some(response);
    Ok(framing)
}

/// True where the answer has its page from another group.
fn has_page(x: &mut Exchange<'_>) -> bool {
    if x.scratch.pages.is_none() {
        return false;
    }
    let told = pages::status(x, x.scratch.response.status());
    x.response_status = Some(told);
    pages::takes(x, told)
}

/// Notes what rules on the response must not change.
fn note(x: &mut Exchange<'_>, body: ResponseBody) {
    note_for_log(x, body);
    attempt::response_begins(x);
    if let (Some(group), Some(target)) = (x.attempt.group, x.attempt.target) {
        let generation = &x.connection.generation;
        x.kept.sticks.remember(generation, group, target);
    }
}

/// A response that is about to be sent on.
struct Outgoing {
    plan: head::ResponsePlan,
    /// As the client gets it.
    head: Vec<u8>,
    /// What has come of the body.
    response: Buffer,
    /// How it comes.
    received: ResponseBody,
    encoder: Option<Box<compress::Encoder>>,
}

/// Makes what the client gets of the response. `uploaded`: the request is sent.
fn outgoing(
    x: &mut Exchange<'_>,
    uploaded: bool,
    framing: &mut ResponseFraming,
    head_len: usize,
) -> Result<Outgoing, Fault> {
    let status = x.scratch.response.status();
    let most = x.scratch.body_limits.response;
    if matches!(framing.body, ResponseBody::Length(length) if length > most) {
        record::limit_reached(x, Limit::ResponseBodyBytes);
        return Err(Fault::response_too_long());
    }
    finish_edits(x, status)?;
    let keeps = uploaded && x.framing.keep_alive && !x.connection.is_ending();
    let received = framing.body;
    let encoder = compress::encoder(x, framing);
    let plan = head::ResponsePlan::new(x, framing, status, keeps);
    if status == 101 {
        check_upgrade(x, plan.tunnel && uploaded)?;
    }
    let head = head::response(x, framing, &plan);
    let mut response = x.response.take().ok_or_else(Fault::internal)?;
    response.consume(head_len);
    x.ledger.status = x.response_status.unwrap_or(status);
    x.ledger.head_out = head.len() as u64;
    record::log_early(x);
    Ok(Outgoing {
        plan,
        head,
        response,
        received,
        encoder,
    })
}

/// What follows is a tunnel: the direction of the request goes on as one of it.
fn end_requests(x: &mut Exchange<'_>, upload: &mut Upload) -> Transfer {
    record::settle(x);
    x.scratch.deadlines.end(&x.connection.timer);
    x.ledger.body_in.set(upload.transfer.body_bytes());
    std::mem::replace(&mut upload.transfer, Transfer::nothing())
}

/// The response was not sent to its end: where nothing of it was, the fault may be answered.
fn broken_off(
    x: &mut Exchange<'_>,
    fault: Fault,
    mut download: Transfer,
    open_ended: bool,
) -> Result<Next, Fault> {
    let fault = deadline::told(x, fault);
    if fault.stage.is_some() && !download.has_begun() {
        // A record that was written early is of an answer that nobody got.
        x.ledger.logged = false;
        limits::keep(x, download.take_places());
        return Err(fault);
    }
    x.ledger.fault = Some(fault);
    record::attempt_failed(x, fault);
    Ok(if open_ended { Next::Reset } else { Next::Close })
}

/// How the body of a response ends for its client, and whether the target's connection can be kept.
pub(crate) fn framing_of(x: &Exchange<'_>, response: &Buffer) -> Result<ResponseFraming, Fault> {
    let mut framing = response_framing(&x.scratch.response, response.filled(), x.sent_method())
        .map_err(Fault::bad_response)?;
    if x.request().method() == Method::Head && framing.body != ResponseBody::None {
        // A rule made another request of it: the client wants no body, and nobody reads the target's.
        framing.body = ResponseBody::None;
        framing.keep_alive = false;
    }
    if x.sends_http10()
        && !x.scratch.response.fields().connection().keep_alive
        && !x.connection.lenient_heads()
    {
        // Who is asked in HTTP/1.0 may close whatever version it answers with; HAProxy, which asks to keep the connection,
        // believes the version.
        framing.keep_alive = false;
    }
    Ok(framing)
}

/// Gives a response what comes behind its rules.
pub(crate) fn finish_edits(x: &mut Exchange<'_>, status: u16) -> Result<(), Fault> {
    sticky::respond(x, status);
    if x.scratch.given.is_some() {
        authorize::give_cookies(x);
        cors::respond(x);
    }
    if policy::after_response(x) {
        return Err(Fault::rejected());
    }
    if status == 101 {
        // The status is the agreement to speak another protocol: it is no rule's to change.
        x.response_status = Some(status);
        x.scratch.reason.clear();
    }
    Ok(())
}

/// Refuses another protocol that nobody asked for, or that was not agreed on.
fn check_upgrade(x: &Exchange<'_>, asked: bool) -> Result<(), Fault> {
    if !asked {
        return Err(Fault::unasked_upgrade());
    }
    if lacks_accept(x) {
        return Err(Fault::bad_response(Refusal::NoWebsocketKey));
    }
    Ok(())
}

/// Leaves a response of which nothing goes on; its connection is kept where it is over.
fn leave(
    x: &mut Exchange<'_>,
    upstream: Upstream,
    upload: &mut Upload,
    framing: &ResponseFraming,
    head_len: usize,
) {
    let here = x
        .response
        .as_ref()
        .map_or(0, |response| response.len() - head_len);
    // What came so far counts, beside the answer.
    x.ledger.response_size += here as u64;
    let whole = match framing.body {
        ResponseBody::None => here == 0,
        ResponseBody::Length(length) => here as u64 == length,
        ResponseBody::Chunked | ResponseBody::UntilClose => false,
    };
    if framing.keep_alive && upload.done && whole && !closes(x) {
        let _ = upstream.give_back(x.connection);
    }
    x.beyond = upload.beyond();
}

/// True where the configuration wants connections to targets closed after one response.
pub(crate) fn closes(x: &Exchange<'_>) -> bool {
    let group = x
        .attempt
        .group
        .and_then(|group| x.connection.generation.group(group));
    group.is_some_and(|(group, _, _)| group.close) || x.connection.closes_targets()
}

/// Why another answer than this one is asked for elsewhere, where it is.
fn tried_again(x: &Exchange<'_>, response: &Buffer) -> Option<Why> {
    let status = x.scratch.response.status();
    let group = x.connection.generation.group(x.attempt.group?);
    let (group, _, _) = group?;
    refused::tried_again(x, group, status, response.filled())
}

/// True where the group has a retry left, which this spends.
fn spend(x: &Exchange<'_>) -> bool {
    let group = x.attempt.group;
    group.is_some_and(|id| retries::spend(x.connection, id))
}

/// True for the answer to a handshake of WebSocket that HAProxy refuses.
fn lacks_accept(x: &Exchange<'_>) -> bool {
    let arena = x.response.as_ref().map(Buffer::filled).unwrap_or_default();
    let fields = x.scratch.response.fields();
    x.connection.own_answers() == OwnAnswers::Haproxy
        && fields.list_contains(Known::Upgrade, arena, b"websocket")
        && fields
            .values_named(b"sec-websocket-accept", arena)
            .next()
            .is_none()
}

/// Keeps what the log wants of a response, while its head is there.
fn note_for_log(x: &mut Exchange<'_>, body: ResponseBody) {
    let connection = x.connection;
    let Some((listener, parts)) = connection.generation.plane.listener(connection.listener) else {
        return;
    };
    let head = &x.scratch.response;
    let arena = x.response.as_ref().map(Buffer::filled).unwrap_or_default();
    if parts.wants.sizes {
        let fields = fields_size(head.fields());
        let reason = head.reason(arena).len();
        let chunked = body == ResponseBody::Chunked;
        x.ledger.response_size = response_head_size(reason, fields, chunked);
    }
    if let Some(wanted) = &listener.capture_cookie {
        let set = head.fields().values_named(b"set-cookie", arena);
        let pairs = set.filter_map(|value| value.split(|byte| *byte == b';').next());
        x.ledger.response_cookie = find_cookie(wanted, pairs).map(Into::into);
    }
}

/// What becomes of the client's connection.
fn after(x: &mut Exchange<'_>, downstream: &Stream, upload: &mut Upload, keep_alive: bool) -> Next {
    if !upload.done || !keep_alive {
        // What the client may still send must not turn the end into a reset that overtakes the response. One that
        // has announced its own end sends no more (RFC 9112 §9.6): believed unless something is there already.
        let announced = upload.done && !x.framing.keep_alive;
        let silent = announced && !downstream.has_ended(true);
        return if silent { Next::Close } else { Next::Linger };
    }
    if matches!(x.framing.body, BodyLength::None | BodyLength::Length(0)) {
        return x.rest().unwrap_or(Next::Linger);
    }
    Next::Again(upload.transfer.take_beyond())
}

pub(crate) fn patience(x: &Exchange<'_>) -> Patience {
    let group = x
        .attempt
        .group
        .and_then(|group: GroupId| x.connection.generation.group(group));
    let target = x.scratch.timeouts.response.unwrap_or_else(|| {
        group.map_or(portway_model::defaults::RESPONSE, |(group, _, _)| {
            group.timeouts.response
        })
    });
    let client = x.connection.client_timeout();
    let haproxy = x.connection.own_answers() == OwnAnswers::Haproxy;
    Patience {
        client,
        target,
        target_first: haproxy && target <= client,
        abort_on_close: group.is_some_and(|(group, _, _)| group.abort_on_close),
    }
}

/// Sends the request and waits for the head of a response, final or interim, in `x.scratch.response`; gives what was
/// received and the length of the head in it.
async fn response_head(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    upstream: &mut Upstream,
    upload: &mut Upload,
    patience: Patience,
) -> Result<(Buffer, usize), Fault> {
    let mut arriving = Arriving {
        response: x.response.take(),
        head: std::mem::take(&mut x.scratch.response),
        scanned: 0,
        limits: x.connection.response_limits(),
    };
    let mut moves = u64::MAX;
    let result = poll_fn(|cx| {
        if let Err(fault) = upload.poll(cx, x, downstream, &mut upstream.link.stream) {
            return Poll::Ready(Err(fault));
        }
        if let Poll::Ready(head_len) = arriving.poll(cx, x, upstream) {
            return Poll::Ready(head_len);
        }
        let body_bytes = upload.transfer.body_bytes();
        x.ledger.body_in.set(body_bytes);
        if body_bytes > 0 && upload.done && x.ledger.uploaded.get().is_none() {
            x.ledger.uploaded.set(Some(x.ledger.started.elapsed()));
        }
        let watched = patience.abort_on_close || downstream.tells_of_its_end();
        if watched && upload.done && downstream.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Fault::gave_up(true)));
        }
        wait(
            cx,
            x,
            &mut moves,
            (upload.transfer.moves(), None),
            upload,
            patience,
        )
    })
    .await;
    x.scratch.response = arriving.head;
    let head_len = result?;
    let response = arriving.response.ok_or_else(Fault::internal)?;
    Ok((response, head_len))
}

/// The head of a response that is on its way.
struct Arriving {
    /// What was received of it.
    response: Option<Buffer>,
    head: ResponseHead,
    /// Bytes in which its end was looked for.
    scanned: usize,
    limits: HeadLimits,
}

impl Arriving {
    /// Reads until the head is there, or nothing more is; gives its length.
    #[inline]
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        x: &Exchange<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<usize, Fault>> {
        loop {
            if let Some(result) = self.parse(x) {
                return Poll::Ready(result);
            }
            let leased = || x.connection.worker.buffers.lease();
            let mut buffer = self.response.take().unwrap_or_else(leased);
            match upstream.link.stream.poll_read(cx, buffer.spare()) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    buffer.received(n);
                    self.response = Some(buffer);
                }
                Poll::Ready(_) => {
                    let stage = match (buffer.is_empty(), upstream.reused) {
                        (false, _) => Stage::ResponseStarted,
                        (true, true) => Stage::ReusedClosedBeforeResponse,
                        (true, false) => Stage::Sent,
                    };
                    return Poll::Ready(Err(Fault::target_closed(stage)));
                }
                Poll::Pending => {
                    self.response = (!buffer.is_empty()).then_some(buffer);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Looks for the end of the head in what was received; `None` where it is not there yet.
    #[inline]
    fn parse(&mut self, x: &Exchange<'_>) -> Option<Result<usize, Fault>> {
        let received = self.response.as_mut();
        let buffer = received.filter(|buffer| !buffer.is_empty())?;
        match parse_response(buffer.filled(), self.scanned, &self.limits, &mut self.head) {
            Parsed::Complete { head_len } => return Some(Ok(head_len)),
            Parsed::Refused(refusal) => {
                if matches!(refusal, Refusal::HeadTooLarge | Refusal::TooManyFields) {
                    crate::record::limit_reached(x, Limit::ResponseHeadBytes);
                }
                return Some(Err(Fault::bad_response(refusal)));
            }
            Parsed::Partial => self.scanned = buffer.len(),
        }
        let has_room = buffer.make_room(self.limits.head_bytes + BUFFER_BYTES);
        (!has_room).then(|| Err(Fault::internal()))
    }
}

/// Pending until the side that is waited for was silent for too long, or the client is too slow. Every move begins the
/// wait anew. `response`: how it flows, once it does.
fn wait<T>(
    cx: &mut Context<'_>,
    x: &Exchange<'_>,
    last: &mut u64,
    (moves, response): (u64, Option<Flow>),
    upload: &mut Upload,
    patience: Patience,
) -> Poll<Result<T, Fault>> {
    let timer = &x.connection.timer;
    let for_client = upload.waits_for_client() || response.is_some_and(|response| response.waits);
    let client_first = for_client && !patience.target_first;
    let silence = match client_first {
        true => patience.client,
        false => patience.target,
    };
    let moved = std::mem::replace(last, moves) != moves;
    if moved {
        timer.set(silence);
    }
    if upload.rate.is_some() {
        upload.keep_up(x, response, moved, silence)?;
    }
    match timer.poll(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(()) if client_first => Poll::Ready(Err(Fault::client_timeout())),
        Poll::Ready(()) => Poll::Ready(Err(Fault::response_timeout())),
    }
}

/// Passes a 1xx on; a client of HTTP/1.0 knows none (RFC 9110 §15.2).
async fn interim(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    response: &Buffer,
    patience: Patience,
) -> Result<(), Fault> {
    if !x.is_http11() {
        return Ok(());
    }
    let out = head::interim(x, response.filled());
    let sent = reply::write_all(x, downstream, &out, patience.client).await;
    x.scratch.head = out;
    sent.map_err(|error| Fault::unsent(&error))
}

/// Moves both bodies until the response is over.
async fn bodies(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    upstream: &mut Upstream,
    (upload, download): (&mut Upload, &mut Transfer),
    mut patience: Patience,
) -> Result<(), Fault> {
    patience.target_first = false;
    if upload.rate.as_ref().is_some_and(|rate| rate.of_responses()) {
        downstream.hold_back(AHEAD);
    }
    let mut moves = u64::MAX;
    poll_fn(|cx| {
        upload.poll_beside(cx, x, downstream, &mut upstream.link.stream);
        let buffers = &x.connection.worker.buffers;
        let step = download.poll(cx, &mut upstream.link.stream, downstream, buffers);
        // Known at every moment: a stop may cut off here.
        x.ledger.body_in.set(upload.transfer.body_bytes());
        x.ledger.body_out.set(download.body_bytes());
        match step {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(Broken::Source)) => {
                return Poll::Ready(Err(Fault::target_closed(Stage::ResponseStarted)));
            }
            Poll::Ready(Err(Broken::Refused(refusal))) => {
                return Poll::Ready(Err(Fault::bad_response(refusal)));
            }
            Poll::Ready(Err(Broken::Encoder)) => return Poll::Ready(Err(Fault::internal())),
            Poll::Ready(Err(Broken::TooLong)) => {
                crate::record::limit_reached(x, Limit::ResponseBodyBytes);
                return Poll::Ready(Err(Fault::response_too_long()));
            }
            Poll::Ready(Err(Broken::Sink)) => return Poll::Ready(Err(Fault::client_closed())),
            Poll::Pending => {}
        }
        let moved = upload.transfer.moves().wrapping_add(download.moves());
        let flow = Flow {
            waits: !download.waits_for_source(),
            bytes: download.body_bytes(),
        };
        wait(cx, x, &mut moves, (moved, Some(flow)), upload, patience)
    })
    .await
}
