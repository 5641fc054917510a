//! What comes on a connection: requests that begin, their bodies, and what ends them.

use super::inbox::Inbox;
use super::mux::{Lane, Streams};
use crate::buffer::Buffers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portway_core::http1::Refusal;
use portway_core::http2::{Block, Body, Broken, ErrorCode, Reached, RequestFields, Sink, Unfit};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Bytes of a value of Sec-WebSocket-Key: sixteen at random, in base64.
const KEY_BYTES: usize = 24;

/// What is known of what comes.
pub(super) struct Incoming {
    fields: RequestFields,
    /// Streams that have begun, and that nobody serves yet.
    pub(super) fresh: Vec<u32>,
    /// Streams that were refused because there were too many, since this was looked at.
    pub(super) refused: u32,
}

impl Incoming {
    /// `most`: bytes of the fields of a head. `absolute`: targets are to have their origin before them.
    pub(super) fn new(most: usize, absolute: bool) -> Self {
        let mut fields = RequestFields::default();
        fields.allow(most);
        if absolute {
            fields.write_absolute_targets();
        }
        Self {
            fields,
            fresh: Vec::new(),
            refused: 0,
        }
    }

    /// Hears frames, as far as they are whole; how many bytes that were. `now`: since the connection began.
    pub(super) fn hear(
        &mut self,
        streams: &mut Streams,
        bytes: &[u8],
        now: Duration,
        random: impl Fn() -> u128,
    ) -> Result<usize, Broken> {
        let Streams {
            core,
            lanes,
            account,
            ..
        } = streams;
        let mut sink = Heard {
            fields: &mut self.fields,
            fresh: &mut self.fresh,
            refused: &mut self.refused,
            lanes,
            account,
            random,
        };
        let heard = core.receive(bytes, now, &mut sink);
        streams.give_turns();
        heard
    }
}

struct Heard<'h, R> {
    fields: &'h mut RequestFields,
    fresh: &'h mut Vec<u32>,
    refused: &'h mut u32,
    lanes: &'h mut BTreeMap<u32, Lane>,
    account: &'h Rc<Buffers>,
    random: R,
}

impl<R: Fn() -> u128> Heard<'_, R> {
    /// A request has come, without its body.
    fn head(&mut self, stream: u32, end: bool) -> Result<(), ErrorCode> {
        let mut head = Vec::new();
        let key = || {
            let mut key = [0; KEY_BYTES];
            // It has the length that it has to have.
            let _ = STANDARD.encode_slice((self.random)().to_ne_bytes(), &mut key);
            key
        };
        let asked = self.fields.asked();
        let (body, asked, refusal) = match self.fields.head(end, key, &mut head) {
            Ok((body, asked)) => (body, asked, None),
            Err(Unfit::TooLarge) => (Body::None, asked, Some(Refusal::HeadTooLarge)),
            Err(Unfit::Malformed) => (Body::None, asked, Some(Refusal::Http2Fields)),
        };
        let inbox = Inbox::new(head, body, end);
        self.lanes.insert(stream, Lane::new(inbox, asked, refusal));
        self.fresh.push(stream);
        match refusal {
            // It is not answered, and leaves a record all the same.
            Some(Refusal::Http2Fields) => Err(ErrorCode::PROTOCOL_ERROR),
            _ => Ok(()),
        }
    }

    fn trailers(&mut self, stream: u32) -> Result<(), ErrorCode> {
        let mut lines = Vec::new();
        let read = self.fields.trailers(&mut lines);
        read.map_err(|_| ErrorCode::PROTOCOL_ERROR)?;
        let Some(lane) = self.lanes.get_mut(&stream) else {
            return Ok(());
        };
        let ended = lane.inbox.end(lines, self.account);
        lane.wake();
        ended.map_err(|_| ErrorCode::PROTOCOL_ERROR)
    }
}

impl<R: Fn() -> u128> Sink for Heard<'_, R> {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.fields.field(name, value);
    }

    fn block(&mut self, stream: u32, what: Block, end: bool) -> Result<bool, ErrorCode> {
        match what {
            Block::Head => self.head(stream, end)?,
            Block::Trailers => self.trailers(stream)?,
        }
        Ok(false)
    }

    fn forget(&mut self) {
        self.fields.clear();
    }

    fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> Result<(), ErrorCode> {
        let Some(lane) = self.lanes.get_mut(&stream) else {
            return Ok(());
        };
        let received = lane.inbox.receive(bytes, end, self.account);
        lane.wake();
        received.map_err(|_| ErrorCode::PROTOCOL_ERROR)
    }

    fn reset(&mut self, stream: u32, code: ErrorCode, _: bool) {
        if let Some(lane) = self.lanes.get_mut(&stream) {
            lane.reset = Some(code);
            lane.wake();
        }
    }

    fn opened(&mut self, stream: u32) {
        match stream {
            // Those in the queue have their turns.
            0 => {
                let lanes = self.lanes.values_mut();
                lanes.filter(|it| !it.is_queued()).for_each(Lane::wake);
            }
            _ => self.lanes.get_mut(&stream).into_iter().for_each(Lane::wake),
        }
    }

    fn refused(&mut self, _: Reached) {
        *self.refused += 1;
    }

    fn going_away(&mut self, _: u32, _: ErrorCode) {
        // Streams that it has begun are served; it begins no others.
    }
}
