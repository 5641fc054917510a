//! A request of our own to a target group: a question about somebody's request, or a copy of it.
//!
//! It goes the way of every request (a place at a target, a connection, retries, health) but answers nobody: what comes
//! back is kept as a whole, up to a bound, and given to whoever asked. It leaves no record; its group and its target count it.

use crate::body::Coming;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::connect::{self, Upstream, Wanted};
use crate::connection::Connection;
use crate::fault::Fault;
use crate::record;
use crate::reserve::{self, Ask as Place};
use crate::retries::{Attempts, Repeatable};
use portway_core::balance::Key;
use portway_core::http1::{
    HeadLimits, Method, Parsed, ResponseBody, ResponseHead, parse_response, response_framing,
};
use portway_core::retry::Stage;
use portway_model::snapshot::GroupId;
use std::cell::Cell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Interim responses (1xx) that are passed over; more are a target that never answers.
const INTERIM_RESPONSES: u32 = 32;

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) group: GroupId,
    /// What a target is chosen by.
    pub(crate) key: Key,
    /// The host of the request, in lower case.
    pub(crate) host: &'a [u8],
    /// The client's end of its connection, and the one that it connected to.
    pub(crate) ends: (SocketAddr, SocketAddr),
    pub(crate) request_id: Option<&'a [u8]>,
    pub(crate) method: Method,
    /// Head and body, as they are sent.
    pub(crate) wire: &'a [u8],
    /// Bytes that the body of the answer may have.
    pub(crate) most: usize,
    /// How long an answer may take, where its group would wait longer.
    pub(crate) patience: Duration,
    /// Is told whom the attempt of now asks.
    pub(crate) asked: &'a Cell<Option<(GroupId, usize)>>,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) head: ResponseHead,
    received: Buffer,
    head_len: usize,
    framing: ResponseBody,
    /// What was in chunks, without them.
    decoded: Vec<u8>,
}

impl Reply {
    /// What ranges of the head are over.
    pub(crate) fn arena(&self) -> &[u8] {
        self.received.filled()
    }

    /// The whole body.
    pub(crate) fn body(&self) -> &[u8] {
        let here = || self.arena().get(self.head_len..).unwrap_or_default();
        match self.framing {
            ResponseBody::None => &[],
            ResponseBody::Chunked => &self.decoded,
            ResponseBody::UntilClose => here(),
            ResponseBody::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                here().get(..length).unwrap_or_else(here)
            }
        }
    }
}

/// Asks, again where the group says so, and gives the answer, whatever its status.
///
/// # Errors
/// No target gave one, or it is longer than may be.
pub(crate) async fn ask(connection: &Connection, ask: &Ask<'_>) -> Result<Reply, Fault> {
    let generation = &connection.generation;
    let (configured, _, _) = generation.group(ask.group).ok_or(Fault::no_target())?;
    let request = Repeatable {
        idempotent: ask.method.is_idempotent(),
        replayable: true,
        came: Instant::now(),
    };
    let patience = configured.timeouts.response.min(ask.patience);
    let mut group = ask.group;
    let mut attempts = Attempts::new(group, None, false);
    loop {
        let place = Place {
            group,
            key: ask.key,
            bound: attempts.bound,
            forced: false,
            priority: None,
        };
        let reserved = reserve::reserve(connection, place, &mut attempts.tried, |_| {}).await?;
        if reserved.group != group {
            group = reserved.group;
            attempts.moved_to(group);
        }
        let target = reserved.target;
        attempts.begin();
        ask.asked.set(Some((group, target)));
        let wanted = Wanted {
            group,
            target,
            host: ask.host,
            ends: ask.ends,
            request_id: ask.request_id,
            in_header: None,
            pooled: attempts.pooled,
            surely: !request.idempotent || attempts.made() > configured.retries,
        };
        let began = Instant::now();
        let fate = generation.fate(group, target, &connection.timer);
        let connected = connect::connect(connection, wanted, reserved.slot).await;
        let result = match (connected, &fate) {
            (Ok(upstream), Some(fate)) => {
                let attempt = pin!(attempt(connection, upstream, ask, patience));
                let ended = fate.unless_cut_off(attempt).await;
                ended.unwrap_or(Err(Fault::target_closed(Stage::ResponseStarted)))
            }
            (Ok(_), None) => Err(Fault::no_target()),
            (Err(error), _) => Err(Fault::connect(&error)),
        };
        let at = (group, target);
        let fault = match result {
            Ok(reply) => {
                record::replied(connection, at, reply.head.status(), began.elapsed());
                return Ok(reply);
            }
            Err(fault) => fault,
        };
        record::failed_at(connection, at, (fault, began));
        if !attempts
            .again(connection, fault, target, (request, None))
            .await
        {
            return Err(fault);
        }
        record::retried_at(connection, at, fault);
    }
}

/// Sends the request on a connection and takes the whole answer, within the time that a target may be silent.
async fn attempt(
    connection: &Connection,
    mut upstream: Upstream,
    ask: &Ask<'_>,
    patience: Duration,
) -> Result<Reply, Fault> {
    connection.timer.set(patience);
    let mut sent = 0;
    let mut arriving = Arriving::new(connection, ask.most);
    let framing = poll_fn(|cx| {
        while let Some(rest) = ask.wire.get(sent..).filter(|rest| !rest.is_empty()) {
            match upstream.link.stream.poll_write(cx, &[IoSlice::new(rest)]) {
                Poll::Ready(Ok(written)) if written > 0 => sent += written,
                Poll::Ready(_) => return Poll::Ready(Err(arriving.closed(&upstream))),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(_)) = upstream.link.stream.poll_flush(cx) {
            return Poll::Ready(Err(arriving.closed(&upstream)));
        }
        if let Poll::Ready(result) = arriving.poll(cx, &mut upstream, ask.method) {
            return Poll::Ready(result);
        }
        let timer = &connection.timer;
        timer.poll(cx).map(|()| Err(Fault::response_timeout()))
    })
    .await?;
    let (group, _, _) = connection
        .generation
        .group(ask.group)
        .ok_or(Fault::no_target())?;
    let reply = arriving.done().ok_or_else(Fault::internal)?;
    let whole = sent == ask.wire.len() && reply.ends_here();
    if framing && whole && !group.close {
        let _ = upstream.give_back(connection);
    }
    Ok(reply)
}

/// The answer while it comes.
struct Arriving {
    head: ResponseHead,
    received: Option<Buffer>,
    scanned: usize,
    interims: u32,
    limits: HeadLimits,
    /// Set once the head is there.
    body: Option<(usize, ResponseBody, Coming)>,
    keeps: bool,
    decoded: Vec<u8>,
    most: usize,
}

impl Arriving {
    fn new(connection: &Connection, most: usize) -> Self {
        Self {
            head: ResponseHead::new(),
            received: Some(connection.worker.buffers.lease()),
            scanned: 0,
            interims: 0,
            limits: HeadLimits::default(),
            body: None,
            keeps: false,
            decoded: Vec::new(),
            most,
        }
    }

    /// What it means that the connection ended now.
    fn closed(&self, upstream: &Upstream) -> Fault {
        let begun = self.received.as_ref().is_some_and(|it| !it.is_empty());
        Fault::target_closed(match (begun, upstream.reused) {
            (true, _) => Stage::ResponseStarted,
            (false, true) => Stage::ReusedClosedBeforeResponse,
            (false, false) => Stage::Sent,
        })
    }

    /// Reads until all is there; whether the connection may be used again.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
        method: Method,
    ) -> Poll<Result<bool, Fault>> {
        loop {
            match self.look(method) {
                Ok(true) => return Poll::Ready(Ok(self.keeps)),
                Ok(false) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
            let Some(buffer) = &mut self.received else {
                return Poll::Ready(Err(Fault::internal()));
            };
            let head = self.body.as_ref().map_or(self.limits.head_bytes, |it| it.0);
            // Chunks have heads of their own.
            if !buffer.make_room(head + self.most.saturating_mul(2) + BUFFER_BYTES) {
                return Poll::Ready(Err(Fault::response_too_long()));
            }
            match upstream.link.stream.poll_read(cx, buffer.spare()) {
                Poll::Ready(Ok(n)) if n > 0 => buffer.received(n),
                Poll::Ready(Ok(_))
                    if matches!(self.body, Some((_, ResponseBody::UntilClose, _))) =>
                {
                    return Poll::Ready(Ok(false));
                }
                Poll::Ready(_) => return Poll::Ready(Err(self.closed(upstream))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Looks at what has come: true where it is all.
    fn look(&mut self, method: Method) -> Result<bool, Fault> {
        loop {
            let Some(buffer) = self.received.as_mut().filter(|it| !it.is_empty()) else {
                return Ok(false);
            };
            if let Some((head_len, framing, coming)) = &mut self.body {
                let here = buffer.filled().get(*head_len..).unwrap_or_default();
                let enough = coming.is_enough(here, &mut self.decoded);
                let enough = enough.map_err(Fault::bad_response)?;
                let length = match framing {
                    ResponseBody::Chunked => self.decoded.len(),
                    ResponseBody::UntilClose => here.len(),
                    ResponseBody::Length(length) => usize::try_from(*length).unwrap_or(usize::MAX),
                    ResponseBody::None => 0,
                };
                return match length > self.most {
                    true => Err(Fault::response_too_long()),
                    false => Ok(enough),
                };
            }
            match parse_response(buffer.filled(), self.scanned, &self.limits, &mut self.head) {
                Parsed::Partial => {
                    self.scanned = buffer.len();
                    return Ok(false);
                }
                Parsed::Refused(refusal) => return Err(Fault::bad_response(refusal)),
                Parsed::Complete { head_len } if self.head.is_interim() => {
                    self.interims += 1;
                    if self.interims > INTERIM_RESPONSES {
                        return Err(Fault::too_many_interims());
                    }
                    buffer.consume(head_len);
                    self.scanned = 0;
                }
                Parsed::Complete { .. } if self.head.status() == 101 => {
                    return Err(Fault::unasked_upgrade());
                }
                Parsed::Complete { head_len } => {
                    let framing = response_framing(&self.head, buffer.filled(), method);
                    let framing = framing.map_err(Fault::bad_response)?;
                    self.keeps = framing.keep_alive;
                    let coming = Coming::of_response(framing.body, 0);
                    self.body = Some((head_len, framing.body, coming));
                }
            }
        }
    }

    fn done(self) -> Option<Reply> {
        let (head_len, framing, _) = self.body?;
        Some(Reply {
            head: self.head,
            received: self.received?,
            head_len,
            framing,
            decoded: self.decoded,
        })
    }
}

impl Reply {
    /// True where nothing came behind it, as far as that can be told.
    fn ends_here(&self) -> bool {
        let here = self.received.len().saturating_sub(self.head_len);
        match self.framing {
            ResponseBody::None => here == 0,
            ResponseBody::Length(length) => here as u64 == length,
            // What stands behind the last chunk is not looked for.
            ResponseBody::Chunked => self.arena().ends_with(b"0\r\n\r\n"),
            ResponseBody::UntilClose => false,
        }
    }
}
