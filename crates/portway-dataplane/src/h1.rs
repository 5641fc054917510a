//! The HTTP/1.1 adapter: turns what a client sends into exchanges, one after the other.
//!
//! Between two requests the connection holds no buffer and no exchange: what rests is the stream, a timer slot and a
//! few numbers. A test asserts how much that is.

use crate::buffer::Buffer;
use crate::connection::Connection;
use crate::exchange::{Arrival, Exchange, RequestIdText, Scratch};
use crate::fault::Fault;
use crate::h2;
use crate::record::LogWish;
use crate::reply;
use crate::serve::{self, Next};
use crate::stream::Stream;
use crate::timer::{JUST_SERVED, Rests};
use portway_core::http1::{
    HeadLimits, Known, Parsed, Refusal, RequestId, TargetForm, client_address, drop_default_port,
    is_acceptable_request_id, parse_request, request_framing,
};
use portway_model::settings::OwnAnswers;
use portway_model::snapshot::{GroupId, Listener};
use portway_telemetry::metrics::Limit;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long a client may go on sending what nobody reads after our answer, so that the answer is not lost.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes of that are read: more than stand in the buffers of both sides while the client does not know of the answer.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// What the wait for a request head came to.
enum Head {
    /// A request, in the scratch memory; the head's length.
    Request(Box<Scratch>, Buffer, usize, Arrival),
    /// Not HTTP as it should be.
    Refused(Box<Scratch>, Buffer, Refusal, Arrival),
    /// The head did not come in time.
    TooSlow(Box<Scratch>, Buffer, Arrival),
    /// The client went in the middle of the head.
    Broken(Box<Scratch>, Buffer, Arrival),
    /// The client has gone before it began.
    Gone,
    /// There is no more time for the client to begin.
    Silent,
    /// Nothing has come, and what serves the next request has changed.
    Changed,
}

/// Serves a client's connection until it ends. `group`: see [`serve::serve`]; `rest`: what has come already. One that
/// begins with HTTP/2, and may, is served so.
///
/// This future is most of what an idle connection costs: what is needed only while a request is there lives in a box
/// of its own, and this is a block because an `async fn` would keep its arguments twice. A test in `accept` asserts
/// the size.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps its arguments twice, for as long as the connection rests"
)]
pub(crate) fn run(
    connection: &mut Connection,
    stream: &mut Stream,
    mut group: Option<GroupId>,
    mut rest: Option<Buffer>,
) -> impl Future<Output = ()> {
    async move {
        let mut goes_on = false;
        let lingers = loop {
            let head = next_head(connection, stream, &mut rest, goes_on).await;
            connection.timer.set_rests(Rests::No);
            let renewed = renew(connection, &mut group);
            goes_on = matches!(head, Head::Changed);
            if goes_on && renewed {
                continue;
            } else if goes_on {
                break false;
            }
            let is_preface = matches!(head, Head::Refused(_, _, Refusal::Http2Preface, _));
            if is_preface && connection.may_begin_with_http2() {
                return begin_http2(connection, stream, head, group).await;
            }
            match one(connection, stream, head, group).await {
                Next::Again(more) => rest = more,
                Next::Close | Next::Elsewhere => break false,
                Next::Reset => return stream.reset(),
                Next::Vanish => return stream.vanish(),
                Next::Linger => break true,
            }
            connection.exchanges = connection.exchanges.saturating_add(1);
            // Also where no exchange is to follow: the client was told that one may, and is answered once more.
            connection.timer.begin_anew();
        };
        drop(rest);
        if lingers {
            Box::pin(linger(connection, stream)).await;
        } else {
            shutdown(connection, stream).await;
        }
    }
}

/// Goes on with HTTP/2, of which the preface has come. In a box, as few connections come here.
fn begin_http2<'c>(
    connection: &'c mut Connection,
    stream: &'c mut Stream,
    head: Head,
    group: Option<GroupId>,
) -> Pin<Box<dyn Future<Output = ()> + 'c>> {
    let Head::Refused(scratch, preface, ..) = head else {
        return Box::pin(async {});
    };
    connection.worker.give_scratch(scratch);
    Box::pin(h2::run(connection, stream, group, Some(preface)))
}

/// Serves one stream of HTTP/2: a request that has come, or that was `refused` while it came.
pub(crate) async fn once(
    connection: Connection,
    mut stream: Stream,
    group: Option<GroupId>,
    refused: Option<Refusal>,
) {
    let head = match refused {
        None => next_head(&connection, &mut stream, &mut None, false).await,
        Some(refusal) => {
            let worker = &connection.worker;
            let arrival = Arrival {
                at: Instant::now(),
                head_took: Duration::ZERO,
            };
            let (scratch, arena) = (worker.take_scratch(), worker.buffers.lease());
            Head::Refused(scratch, arena, refusal, arrival)
        }
    };
    connection.timer.set_rests(Rests::No);
    match one(&connection, &mut stream, head, group).await {
        // What is not whole by its own framing is reset as the stream ends.
        Next::Again(_) | Next::Close | Next::Elsewhere | Next::Linger => {
            let _ = poll_fn(|cx| stream.poll_shutdown(cx)).await;
        }
        Next::Reset => stream.reset(),
        Next::Vanish => stream.vanish(),
    }
}

/// Goes on with what new exchanges are served by, where the listener and the group of the connection are found there. False:
/// one of them is gone, and all stays as it was.
pub(crate) fn renew(connection: &mut Connection, group: &mut Option<GroupId>) -> bool {
    if connection.worker.is_current(&connection.generation) {
        return true;
    }
    let Some(id) = *group else {
        return connection.renew();
    };
    let before = Rc::clone(&connection.generation);
    let name = before.plane.group(id).map(|(group, _)| &group.name);
    let next = connection.worker.generation();
    let found = name.and_then(|name| next.plane.group_named(name.as_str().as_bytes()));
    let renewed = found.is_some() && connection.renew();
    if renewed {
        *group = found;
    }
    renewed
}

/// Serves a request, or answers what is none.
fn one<'c>(
    connection: &'c Connection,
    stream: &'c mut Stream,
    head: Head,
    group: Option<GroupId>,
) -> Pin<Box<dyn Future<Output = Next> + 'c>> {
    match head {
        Head::Gone | Head::Changed => left(connection, stream, Fault::client_closed()),
        Head::Silent => left(connection, stream, Fault::client_timeout()),
        Head::Request(scratch, arena, head_len, arrival) => {
            let parts = (scratch, arena, head_len);
            // Made where it stays: several kilobytes would be copied there otherwise, for every request.
            let served = Box::write(
                Box::new_uninit(),
                exchange(connection, stream, parts, arrival, group),
            );
            Box::into_pin(served)
        }
        Head::Refused(scratch, arena, refusal, arrival) => {
            let fault = Fault::refused(refusal);
            Box::pin(refuse(connection, stream, (scratch, arena), arrival, fault))
        }
        Head::Broken(scratch, arena, arrival) => {
            let fault = Fault::client_closed();
            Box::pin(refuse(connection, stream, (scratch, arena), arrival, fault))
        }
        Head::TooSlow(scratch, arena, arrival) => {
            let fault = Fault::client_timeout();
            Box::pin(refuse(connection, stream, (scratch, arena), arrival, fault))
        }
    }
}

/// Waits for a request head without holding a buffer while nothing is there.
/// The timer counts the connection as idle until the first byte; the caller takes that back. `goes_on`: it waits already, and
/// has no more time for that than it had.
fn next_head(
    connection: &Connection,
    stream: &mut Stream,
    rest: &mut Option<Buffer>,
    goes_on: bool,
) -> impl Future<Output = Head> {
    let (timer, worker) = (&connection.timer, &connection.worker);
    let mut scanned = 0;
    let mut began: Option<Instant> = None;
    let arrival = |began: Option<Instant>, whole: bool| {
        // The clock is asked again only where the head came in pieces.
        let at = began.unwrap_or_else(Instant::now);
        Arrival {
            at,
            head_took: if whole { Duration::ZERO } else { at.elapsed() },
        }
    };
    let mut fresh = rest.is_some();
    let mut left_over = fresh;
    // HAProxy gives the first request of a connection no more time than its head.
    let first = connection.exchanges == 0 && connection.own_answers() == OwnAnswers::Haproxy;
    if !goes_on {
        timer.set(if fresh || first {
            connection.head_timeout()
        } else {
            connection.keep_alive_timeout()
        });
    }
    timer.set_rests(match (fresh, connection.exchanges) {
        (true, _) => Rests::No,
        (false, 0) => Rests::BeforeFirst,
        (false, _) => Rests::Between,
    });
    poll_fn(move |cx| {
        loop {
            if fresh && let Some(mut arena) = rest.take() {
                let mut scratch = worker.take_scratch();
                // Asked for here, so that an idle connection does not carry them.
                let limits = connection.head_limits();
                let whole = began.is_none();
                began.get_or_insert_with(Instant::now);
                match parse_request(arena.filled(), scanned, &limits, &mut scratch.request) {
                    Parsed::Complete { head_len } => {
                        let arrival = arrival(began, whole);
                        return Poll::Ready(Head::Request(scratch, arena, head_len, arrival));
                    }
                    Parsed::Refused(refusal) => {
                        let arrival = arrival(began, whole);
                        return Poll::Ready(Head::Refused(scratch, arena, refusal, arrival));
                    }
                    Parsed::Partial => {}
                }
                if arena.filled().chunks(2).all(|pair| pair == b"\r\n") {
                    // Some clients end a body with an empty line that belongs to no request (RFC 9112 §2.2): the
                    // connection rests as if nothing had come.
                    worker.give_scratch(scratch);
                    if std::mem::take(&mut left_over) {
                        timer.set(connection.keep_alive_timeout());
                        timer.set_rests(Rests::Between);
                    }
                    (fresh, began) = (false, None);
                    continue;
                }
                if scanned == 0 || connection.head_timeout_renews() {
                    timer.set_rests(Rests::No);
                    timer.set(connection.head_timeout());
                }
                scanned = arena.len();
                if !arena.make_room(limits.head_bytes + crate::buffer::BUFFER_BYTES) {
                    let (refusal, arrival) = (Refusal::HeadTooLarge, arrival(began, whole));
                    return Poll::Ready(Head::Refused(scratch, arena, refusal, arrival));
                }
                worker.give_scratch(scratch);
                *rest = Some(arena);
                fresh = false;
            }
            let mut arena = rest.take().unwrap_or_else(|| worker.buffers.lease());
            match stream.poll_read(cx, arena.spare()) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    arena.received(n);
                    *rest = Some(arena);
                    fresh = true;
                }
                Poll::Ready(_) if arena.is_empty() => {
                    return Poll::Ready(Head::Gone);
                }
                Poll::Ready(_) => {
                    let (scratch, arrival) = (worker.take_scratch(), arrival(began, false));
                    return Poll::Ready(Head::Broken(scratch, arena, arrival));
                }
                Poll::Pending => {
                    *rest = (!arena.is_empty()).then_some(arena);
                    break;
                }
            }
        }
        let is_over = timer.poll(cx);
        let has_changed = is_over.is_pending() && rest.is_none() && has_changed(connection);
        // A request that has come, and that nobody was told of yet, is still answered.
        let closes =
            rest.is_none() && (is_over.is_ready() || has_changed && connection.is_ending());
        if closes && stream.has_input() {
            return Poll::Pending;
        }
        match is_over {
            Poll::Pending if has_changed => Poll::Ready(Head::Changed),
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(match rest.take() {
                Some(arena) => Head::TooSlow(worker.take_scratch(), arena, arrival(began, false)),
                None => Head::Silent,
            }),
        }
    })
}

/// True where a connection that rests has something to do about a change: to go on with what is new, or to end. One that has
/// just come to a listener that goes, or was just served there, may have a request on the way.
fn has_changed(connection: &Connection) -> bool {
    let rests = || connection.exchanges > 0 && connection.since().elapsed() >= JUST_SERVED;
    connection
        .left_behind()
        .is_some_and(|is_there| is_there || rests())
}

/// Serves one request.
async fn exchange(
    connection: &Connection,
    stream: &mut Stream,
    (mut scratch, arena, head_len): (Box<Scratch>, Buffer, usize),
    arrival: Arrival,
    group: Option<GroupId>,
) -> Next {
    let next = {
        let mut x = Exchange::open(connection, &mut scratch, (arena, head_len), arrival);
        if x.request().target_form() != TargetForm::Origin && connection.lenient_heads() {
            drop_default_port(&mut x.scratch.request, x.arena.filled_mut());
        }
        match request_framing(x.request(), x.arena()) {
            Ok(framing) if framing.upgrade && lacks_key(&x) => {
                refuse_framing(&mut x, stream, Refusal::NoWebsocketKey).await
            }
            Ok(framing) => {
                x.framing = framing;
                x.framing.keep_alive &= !connection.closes();
                let generation = Rc::clone(&connection.generation);
                if let Some((listener, _)) = generation.plane.listener(connection.listener) {
                    admit(&mut x, listener);
                }
                if connection.worker.buffers.are_short() {
                    Box::pin(turn_away(&mut x, stream)).await
                } else {
                    serve::serve(&mut x, stream, group).await
                }
            }
            Err(refusal) => refuse_framing(&mut x, stream, refusal).await,
        }
    };
    connection.worker.give_scratch(scratch);
    next
}

/// Answers a request for which there is no memory.
#[cold]
async fn turn_away(x: &mut Exchange<'_>, stream: &mut Stream) -> Next {
    crate::record::limit_reached(x, Limit::Memory);
    x.connection.worker.process().memory.count_reached();
    reply::fault(x, stream, Fault::exhausted()).await
}

/// Answers a request whose end cannot be told. HAProxy looks for it while it reads the head: to it this is no request.
async fn refuse_framing(x: &mut Exchange<'_>, stream: &mut Stream, refusal: Refusal) -> Next {
    if x.connection.own_answers() == OwnAnswers::Haproxy {
        x.scratch.request.clear();
        x.head_len = 0;
    }
    reply::fault(x, stream, Fault::refused(refusal)).await
}

/// True for a handshake of WebSocket that HAProxy refuses.
pub(crate) fn lacks_key(x: &Exchange<'_>) -> bool {
    let fields = x.request().fields();
    x.connection.own_answers() == OwnAnswers::Haproxy
        && fields.list_contains(Known::Upgrade, x.arena(), b"websocket")
        && fields
            .values_named(b"sec-websocket-key", x.arena())
            .next()
            .is_none()
}

/// Finds out who the client is and gives the request its id.
pub(crate) fn admit(x: &mut Exchange<'_>, listener: &Listener) {
    x.lower_host();
    let proxies = &listener.forwarded.trusted_proxies;
    if !proxies.is_empty() {
        let is_trusted = |ip: IpAddr| proxies.iter().any(|network| network.contains(&ip));
        let peer = x.client;
        x.trusted = is_trusted(peer);
        x.client = client_address(x.request().fields(), x.arena(), x.client, is_trusted);
    }
    let Some(wanted) = &listener.request_id else {
        return;
    };
    if wanted.format.is_some() {
        // Made when it is asked for.
        return;
    }
    let name = wanted.header.as_deref().unwrap_or_default();
    let taken = x
        .request()
        .fields()
        .values_named(name.as_bytes(), x.arena())
        .next();
    let id = match taken {
        Some(id) if x.trusted && is_acceptable_request_id(id) => RequestIdText::Taken(id.into()),
        _ => RequestIdText::Made(RequestId::from_random(x.connection.worker.random_128())),
    };
    if !name.is_empty() {
        x.scratch.request_edits.remove(name.as_bytes());
        x.scratch.request_edits.add(name.as_bytes(), |value| {
            value.extend_from_slice(id.as_bytes())
        });
    }
    // The first that is set.
    let _ = x.request_id.set(id);
}

/// Ends a connection on which nothing came. Before its first request HAProxy says so to the client, and writes a
/// record where the listener's log wants it.
fn left<'c>(
    connection: &'c Connection,
    stream: &'c mut Stream,
    fault: Fault,
) -> Pin<Box<dyn Future<Output = Next> + 'c>> {
    let listener = connection.generation.plane.listener(connection.listener);
    let log = listener.and_then(|(listener, _)| listener.access_log.as_ref());
    let logged = log.is_some_and(|log| log.log_null);
    let ignored = listener.is_some_and(|(listener, _)| listener.ignore_probes);
    let answered = connection.own_answers() == OwnAnswers::Haproxy && !ignored;
    if connection.exchanges > 0 || connection.is_ending() || !(logged || answered) {
        return Box::pin(std::future::ready(Next::Close));
    }
    Box::pin(nothing(connection, stream, fault, (logged, answered)))
}

async fn nothing(
    connection: &Connection,
    stream: &mut Stream,
    fault: Fault,
    (logged, answered): (bool, bool),
) -> Next {
    let (mut scratch, arena) = (
        connection.worker.take_scratch(),
        connection.worker.buffers.lease(),
    );
    scratch.request.clear();
    let arrival = Arrival {
        at: connection.since(),
        head_took: connection.since().elapsed(),
    };
    let next = {
        let mut x = Exchange::open(connection, &mut scratch, (arena, 0), arrival);
        if !logged {
            x.ledger.log = LogWish::Silent;
        }
        if answered {
            reply::fault(&mut x, stream, fault).await
        } else {
            x.ledger.fault = Some(fault);
            Next::Close
        }
    };
    connection.worker.give_scratch(scratch);
    next
}

/// Answers what is no request, and leaves a record of it.
async fn refuse(
    connection: &Connection,
    stream: &mut Stream,
    (mut scratch, arena): (Box<Scratch>, Buffer),
    arrival: Arrival,
    fault: Fault,
) -> Next {
    scratch.request.clear();
    let received = arena.len() as u64;
    let next = {
        let mut x = Exchange::open(connection, &mut scratch, (arena, 0), arrival);
        x.ledger.head_in = received;
        if fault == Fault::client_timeout() {
            crate::record::limit_reached(&x, Limit::RequestHeadTime);
        }
        // TLS on a port that speaks HTTP in clear: an answer in clear would not be understood. HAProxy gives one.
        let unread = connection.own_answers() == OwnAnswers::Portway;
        if unread && fault == Fault::refused(Refusal::TlsOnPlainPort) {
            x.ledger.fault = Some(fault);
            Next::Close
        } else {
            reply::fault(&mut x, stream, fault).await
        }
    };
    connection.worker.give_scratch(scratch);
    next
}

/// Ends our direction, then reads what still comes for a while.
pub(crate) async fn linger(connection: &Connection, stream: &mut Stream) {
    shutdown(connection, stream).await;
    connection.timer.set(LINGER);
    let mut left = LINGER_BYTES;
    poll_fn(|cx| {
        let mut buffer = connection.worker.buffers.lease();
        while left > 0 {
            buffer.clear();
            match stream.poll_read(cx, buffer.spare()) {
                Poll::Ready(Ok(n)) if n > 0 => left = left.saturating_sub(n),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return connection.timer.poll(cx),
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// Ends our direction; the peer has [`LINGER`] to take what is left.
async fn shutdown(connection: &Connection, stream: &mut Stream) {
    connection.timer.set(LINGER);
    poll_fn(|cx| match stream.poll_shutdown(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => connection.timer.poll(cx),
    })
    .await;
}

impl Connection {
    /// What heads of requests may cost.
    pub(crate) fn head_limits(&self) -> HeadLimits {
        let configured = self.generation.plane.listener(self.listener);
        configured.map_or(HeadLimits::default(), |(listener, _)| HeadLimits {
            head_bytes: listener.head_bytes as usize,
            target_bytes: listener.target_bytes as usize,
            fields: usize::from(listener.head_fields),
            // HAProxy leaves it to the server.
            host_required: !listener.lenient_heads,
            lenient: listener.lenient_heads,
        })
    }

    /// The same of responses.
    pub(crate) fn response_limits(&self) -> HeadLimits {
        let configured = self.generation.plane.listener(self.listener);
        configured.map_or(HeadLimits::default(), |(listener, _)| HeadLimits {
            fields: usize::from(listener.head_fields),
            lenient: listener.lenient_heads,
            ..HeadLimits::default()
        })
    }
}
