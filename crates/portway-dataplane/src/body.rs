//! Waiting for a body, so that rules can look at it.
//!
//! What has come stays in the buffer behind the head and is sent from there, so that looking at a body changes nothing
//! of it. Leaves to the rules what they make of it.

use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::client_rate::{ClientRate, Flow};
use crate::deadline;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::memory::Held;
use crate::reply;
use crate::stream::Stream;
use crate::timer::ticks_of;
use crate::upload;
use portway_core::http1::{BodyLength, ChunkedLimits, Decoder, Refusal, ResponseBody};
use portway_telemetry::metrics::{HeldBody, Limit};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

/// Bytes of a body, with its framing, that rules may look at: twice HAProxy's customary buffer. Of a longer one they
/// see the beginning.
pub(crate) const LOOKED_AT_BODY: usize = 32 * 1024;

/// Bytes, with its framing, that a body of `data` bytes may have which is kept to be sent elsewhere too. One in chunks of a few
/// bytes has more, and is too long.
pub(crate) fn room_for(data: u32) -> usize {
    LOOKED_AT_BODY.max((data as usize).saturating_mul(2))
}

/// Forgets a body, and keeps its memory where that is little.
pub(crate) fn forget(body: &mut Vec<u8>) {
    if body.capacity() > LOOKED_AT_BODY {
        *body = Vec::new();
    }
    body.clear();
}

/// How much of a body is waited for that goes elsewhere too where it has `most` bytes at most: with one more it is too long.
pub(crate) fn one_beyond(most: u32) -> (u32, usize) {
    (most.saturating_add(1), room_for(most))
}

/// How much of a body is wanted, and what is known of it while it comes.
pub(crate) struct Coming {
    /// Bytes that end it, where the head says how many.
    length: Option<u64>,
    /// Undoes the chunked coding.
    decoder: Option<Decoder>,
    /// Bytes behind the head that the decoder has had.
    decoded: usize,
    /// Bytes of data that will do.
    enough: usize,
}

impl Coming {
    /// The body of a request; `at_least` 0: the whole.
    fn of_request(body: BodyLength, at_least: u32) -> Self {
        match body {
            BodyLength::None => Self::new(Some(0), false, at_least),
            BodyLength::Length(length) => Self::new(Some(length), false, at_least),
            BodyLength::Chunked => Self::new(None, true, at_least),
        }
    }

    /// The body of a response; `at_least` 0: the whole.
    pub(crate) fn of_response(body: ResponseBody, at_least: u32) -> Self {
        match body {
            ResponseBody::None => Self::new(Some(0), false, at_least),
            ResponseBody::Length(length) => Self::new(Some(length), false, at_least),
            ResponseBody::Chunked => Self::new(None, true, at_least),
            ResponseBody::UntilClose => Self::new(None, false, at_least),
        }
    }

    fn new(length: Option<u64>, chunked: bool, at_least: u32) -> Self {
        Self {
            length,
            decoder: chunked.then(Decoder::new),
            decoded: 0,
            enough: match at_least {
                0 => usize::MAX,
                at_least => at_least as usize,
            },
        }
    }

    /// True where enough has come; `here`: all that came behind the head. What was in chunks is added to `data`.
    pub(crate) fn is_enough(&mut self, here: &[u8], data: &mut Vec<u8>) -> Result<bool, Refusal> {
        let Some(decoder) = &mut self.decoder else {
            let whole = self.length.unwrap_or(u64::MAX);
            return Ok(here.len() as u64 >= whole.min(self.enough as u64));
        };
        let mut new = here.get(self.decoded..).unwrap_or_default().to_vec();
        let mut rest = new.as_mut_slice();
        while !rest.is_empty() && !decoder.is_finished() {
            let mut trailers = Vec::new();
            let decoded =
                decoder.decode_in_place(rest, &mut trailers, &ChunkedLimits::default())?;
            data.extend_from_slice(rest.get(decoded.data()).unwrap_or_default());
            self.decoded += decoded.consumed;
            rest = rest.get_mut(decoded.consumed..).unwrap_or_default();
        }
        Ok(decoder.is_finished() || data.len() >= self.enough)
    }
}

/// The part of the response's body that is there, without its coding.
pub(crate) fn of_response<'x>(x: &'x Exchange<'_>) -> Option<&'x [u8]> {
    let (from, ends) = x.response_body?;
    let here = || x.response.as_ref()?.filled().get(from..);
    match ends {
        ResponseBody::None => Some(&[]),
        ResponseBody::Chunked => Some(&x.scratch.response_body),
        ResponseBody::UntilClose => here(),
        ResponseBody::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            here().map(|here| here.get(..length).unwrap_or(here))
        }
    }
}

/// The body of a request, without its chunks, where all of it is here.
pub(crate) fn whole(x: &Exchange<'_>) -> Option<Vec<u8>> {
    let here = x.arena().get(x.head_len..).unwrap_or_default();
    match x.framing.body {
        BodyLength::None => Some(Vec::new()),
        BodyLength::Length(length) => here
            .get(..usize::try_from(length).ok()?)
            .map(<[u8]>::to_vec),
        BodyLength::Chunked => {
            let mut data = Vec::new();
            let enough = Coming::of_request(x.framing.body, 0).is_enough(here, &mut data);
            (enough == Ok(true)).then_some(data)
        }
    }
}

/// Waits for a body of up to `most` bytes and holds it, so that it can be sent again. A longer one goes on as it comes.
pub(crate) async fn hold(
    x: &mut Exchange<'_>,
    stream: &mut Stream,
    most: u32,
) -> Result<(), Fault> {
    let is_too_long = match x.framing.body {
        BodyLength::None | BodyLength::Length(0) => return Ok(()),
        BodyLength::Length(length) => length > u64::from(most),
        BodyLength::Chunked => false,
    };
    let what = match is_too_long {
        true => HeldBody::TooLong,
        false => {
            let patience = Patience::with_client(x);
            wait(x, stream, patience, one_beyond(most)).await?;
            has_come(x, most as usize)
        }
    };
    x.scratch.body_limits.held = what == HeldBody::Held;
    if let Some(group) = x.attempt.group {
        x.connection.of_group(group).retries.count_body(what);
    }
    Ok(())
}

/// What becomes of a body for which was waited as long as it had no more than `most` bytes and there was memory for it.
fn has_come(x: &Exchange<'_>, most: usize) -> HeldBody {
    match whole(x) {
        Some(body) if body.len() <= most => HeldBody::Held,
        Some(_) => HeldBody::TooLong,
        None if is_short(x) => HeldBody::Memory,
        // Chunks whose end has not come.
        None => HeldBody::TooLong,
    }
}

/// How long a body is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) time: Duration,
    /// It begins anew with all that comes.
    pub(crate) renews: bool,
}

impl Patience {
    /// As where the body goes on as it comes: only silence is too long.
    pub(crate) fn with_client(x: &Exchange<'_>) -> Self {
        Self {
            time: x.connection.client_timeout(),
            renews: true,
        }
    }

    /// So long for the whole.
    pub(crate) fn of(time: Duration) -> Self {
        let renews = false;
        Self { time, renews }
    }
}

/// Waits until the body is here, or `at_least` bytes of it (0: the whole), or `most` bytes with its framing; not longer than
/// it is patient.
pub(crate) async fn wait(
    x: &mut Exchange<'_>,
    stream: &mut Stream,
    patience: Patience,
    (at_least, most): (u32, usize),
) -> Result<(), Fault> {
    let mut coming = Coming::of_request(x.framing.body, at_least);
    x.scratch.body.clear();
    go_on(x, stream).await?;
    if is_enough(x, &mut coming)? {
        return Ok(());
    }
    let Patience { time, renews } = patience;
    let mut rate = upload::demanded(x);
    let mut until = x.connection.timer.now().saturating_add(ticks_of(time));
    loop {
        if is_short(x) {
            crate::record::limit_reached(x, Limit::Memory);
            return Ok(());
        }
        allow(x, rate.as_deref_mut(), until)?;
        let received = receive(x, stream, most).await;
        let now = x.connection.timer.now();
        match received {
            Ok(n) if n > 0 => {
                x.arena.received(n);
                if renews {
                    until = now.saturating_add(ticks_of(time));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                // It may be only the time to look at the rate again; one that is cut off stays expired.
                let over = now >= until || deadline::left(x) == Some(Duration::ZERO);
                if rate.is_none() || over || x.connection.timer.is_cut_off() {
                    return Err(Fault::client_timeout());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                crate::record::limit_reached(x, Limit::LookedAtBody);
                return Ok(());
            }
            _ => return Err(Fault::client_closed()),
        }
        if is_enough(x, &mut coming)? {
            return Ok(());
        }
    }
}

/// True where more than a little is here, and the process has no memory for more: then it goes on as one that is too long.
fn is_short(x: &Exchange<'_>) -> bool {
    let here = x.arena.len().saturating_sub(x.head_len);
    here >= LOOKED_AT_BODY && x.connection.worker.buffers.are_short()
}

/// Sets the timer for the tick `until`, or for an earlier one at which the client would be slower than is demanded of it.
fn allow(x: &Exchange<'_>, rate: Option<&mut ClientRate>, until: u64) -> Result<(), Fault> {
    let timer = &x.connection.timer;
    let left = timer.until(until);
    let Some(rate) = rate else {
        timer.set(left);
        return Ok(());
    };
    let flow = Flow {
        waits: true,
        bytes: x.arena.len().saturating_sub(x.head_len) as u64,
    };
    let looked = rate.look(timer.now(), flow, None);
    let owed = looked.inspect_err(|_| crate::record::limit_reached(x, Limit::ClientRate))?;
    timer.set(left.min(owed));
    Ok(())
}

/// Reads once into the buffer behind what is there; `OutOfMemory` where there is no room.
async fn receive(x: &mut Exchange<'_>, stream: &mut Stream, most: usize) -> io::Result<usize> {
    let arena: &mut Buffer = &mut x.arena;
    let timer = &x.connection.timer;
    let body = arena.len().saturating_sub(x.head_len);
    let room = most.saturating_sub(body);
    if room == 0 || !arena.make_room(x.head_len + most + BUFFER_BYTES) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    poll_fn(|cx| {
        let spare = arena.spare();
        let most = spare.len().min(room);
        match stream.poll_read(cx, spare.get_mut(..most).unwrap_or_default()) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    })
    .await
}

/// A client that asks whether it shall send its body is told so by us; the target is not asked again.
async fn go_on(x: &mut Exchange<'_>, stream: &mut Stream) -> Result<(), Fault> {
    if !std::mem::take(&mut x.framing.expect_continue) {
        return Ok(());
    }
    x.continued = true;
    let limit = x.connection.client_timeout();
    let sent = reply::write_all(x, stream, b"HTTP/1.1 100 Continue\r\n\r\n", limit).await;
    sent.map_err(|error| Fault::unsent(&error))
}

fn is_enough(x: &mut Exchange<'_>, coming: &mut Coming) -> Result<bool, Fault> {
    let here = x.arena.filled().get(x.head_len..).unwrap_or_default();
    let enough = coming.is_enough(here, &mut x.scratch.body);
    let taken = x.scratch.body.capacity();
    let counted = x.scratch.body_limits.memory.as_ref().map_or(0, Held::bytes);
    if taken > LOOKED_AT_BODY && taken != counted {
        let buffers = &x.connection.worker.buffers;
        x.scratch.body_limits.memory = Some(Held::new(buffers, taken));
    }
    enough.map_err(Fault::refused)
}
