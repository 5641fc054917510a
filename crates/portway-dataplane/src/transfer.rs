//! One direction of an exchange or a tunnel: reads a body from one stream and writes it to another.
//!
//! Decides the order of reads and writes; leaves to the caller what to do when it breaks, and timeouts. What is
//! written always leaves in one piece with what precedes it: head and first bytes in one system call, a chunk with
//! its size. The next read happens only when everything before it was taken by the other side, so memory is one
//! buffer whatever the peers do, and none while nothing is there.
//!
//! ```text
//! decode ─▶ write (head, data, tail) ─▶ flush ─▶ read ─▶ decode …
//!    │                                     └─ much comes ─▶ a pipe, see [`bulk`]
//!    └─ body over ─▶ write the rest ─▶ flush ─▶ done
//! ```

mod bulk;

use self::bulk::Bulk;
use crate::buffer::{Buffer, Buffers};
use crate::compress::Encoder;
use crate::quota::Held;
use crate::stream::Stream;
use portway_core::http1::{
    BodyLength, ChunkedLimits, Decoder, Refusal, ResponseBody, write_chunk_head, write_last_chunk,
};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Compressed bytes that are sent although more will come: half of a buffer. Fewer wait until the source has nothing more.
const ENOUGH: usize = 8 * 1024;

/// Where the body ends on the side it comes from.
#[derive(Debug)]
enum Reading {
    /// So many bytes are still to come.
    Length(u64),
    /// The chunked coding; trailers are collected beside it.
    Chunked(Decoder, Vec<u8>),
    /// Everything until the end of the stream.
    UntilClose,
    /// It has ended.
    Over,
}

/// Why a transfer ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The side it came from failed or ended before the body did.
    Source,
    /// The body's framing is wrong.
    Refused(Refusal),
    /// The body is longer than it may be.
    TooLong,
    /// It could not be compressed.
    Encoder,
    /// The other side took no more.
    Sink,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Transfer {
    reading: Reading,
    /// Data leaves in chunks.
    chunked_out: bool,
    /// What was received: first `data` bytes that are ready to be sent, then `gap` bytes of framing to be skipped.
    buffer: Option<Buffer>,
    data: usize,
    gap: usize,
    /// Sent before the data: a message head, a chunk's size.
    head: Vec<u8>,
    head_sent: usize,
    /// Sent after the data: a chunk's end, the last chunk.
    tail: Vec<u8>,
    tail_sent: usize,
    /// Everything that is to be sent has been given to `head`, `buffer` and `tail`.
    finished: bool,
    /// The sink has not taken all that was written: over TLS, ciphertext waits.
    flushing: bool,
    body_bytes: u64,
    /// Compresses the data.
    encoder: Option<Box<Encoder>>,
    /// The encoder has taken something that it has not given yet.
    held_back: bool,
    /// Bytes that may still come of a body whose length is not known.
    allowed: u64,
    moves: u64,
    /// Something was taken by the sink.
    begun: bool,
    /// What goes by without a buffer.
    bulk: Bulk,
    /// Given back as soon as nothing is left but to be sent.
    places: Vec<Held>,
}

impl Transfer {
    fn new(reading: Reading, chunked_out: bool, head: Vec<u8>, buffer: Option<Buffer>) -> Self {
        Self {
            reading,
            chunked_out,
            buffer,
            data: 0,
            gap: 0,
            head,
            head_sent: 0,
            tail: Vec::new(),
            tail_sent: 0,
            finished: false,
            flushing: false,
            begun: false,
            body_bytes: 0,
            encoder: None,
            held_back: false,
            allowed: u64::MAX,
            moves: 0,
            bulk: Bulk::default(),
            places: Vec::new(),
        }
    }

    /// Nothing is sent.
    pub(crate) fn nothing() -> Self {
        Self::new(Reading::Over, false, Vec::new(), None)
    }

    /// A request: `head`, then its body, of which `buffer` holds what has come.
    pub(crate) fn request(body: BodyLength, head: Vec<u8>, buffer: Option<Buffer>) -> Self {
        let (reading, chunked) = match body {
            BodyLength::None | BodyLength::Length(0) => (Reading::Over, false),
            BodyLength::Length(length) => (Reading::Length(length), false),
            BodyLength::Chunked => (Reading::Chunked(Decoder::new(), Vec::new()), true),
        };
        Self::new(reading, chunked, head, buffer)
    }

    /// A response: `head`, then its body, sent in chunks if `chunked_out`.
    pub(crate) fn response(
        body: ResponseBody,
        chunked_out: bool,
        head: Vec<u8>,
        buffer: Buffer,
    ) -> Self {
        let reading = match body {
            ResponseBody::None | ResponseBody::Length(0) => Reading::Over,
            ResponseBody::Length(length) => Reading::Length(length),
            ResponseBody::Chunked => Reading::Chunked(Decoder::new(), Vec::new()),
            ResponseBody::UntilClose => Reading::UntilClose,
        };
        let chunked_out = chunked_out && body != ResponseBody::None;
        Self::new(reading, chunked_out, head, Some(buffer))
    }

    /// The same with a body of at most so many bytes. Of one that says its length nothing is looked at.
    #[inline]
    pub(crate) fn allowing(self, allowed: u64) -> Self {
        Self { allowed, ..self }
    }

    /// The same compressed, where there is an encoder.
    #[inline]
    pub(crate) fn encoded(self, encoder: Option<Box<Encoder>>) -> Self {
        Self { encoder, ..self }
    }

    /// The same, which gives these back before its last bytes leave.
    #[inline]
    pub(crate) fn giving_back(self, places: Vec<Held>) -> Self {
        Self { places, ..self }
    }

    /// What it has not given back.
    pub(crate) fn take_places(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.places)
    }

    /// One direction of a tunnel; `first` is sent before what is read.
    pub(crate) fn tunnel(head: Vec<u8>, first: Option<Buffer>) -> Self {
        Self::new(Reading::UntilClose, false, head, first)
    }

    /// Bytes of the body that were sent on.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// True once a byte was given to the other side.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// A number that changes whenever a byte has moved.
    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }

    /// Is not polled any more: nothing is kept for it.
    pub(crate) fn give_up(&mut self) {
        self.bulk.stop();
    }

    /// True where the next step is the source's.
    pub(crate) fn waits_for_source(&self) -> bool {
        !self.finished && !self.flushing && !self.has_output() && self.bulk.is_empty()
    }

    /// True where the whole body has come.
    pub(crate) fn source_is_over(&self) -> bool {
        matches!(self.reading, Reading::Over)
    }

    /// What was received beyond the body; only where the whole body has come.
    pub(crate) fn take_beyond(&mut self) -> Option<Buffer> {
        let mut buffer = self.buffer.take()?;
        buffer.consume(self.data + self.gap);
        (self.data, self.gap) = (0, 0);
        Some(buffer).filter(|buffer| !buffer.is_empty())
    }

    /// What was received beyond the body, and the head's memory for another use.
    pub(crate) fn into_rest(self) -> (Option<Buffer>, Vec<u8>) {
        (self.buffer.filter(|buffer| !buffer.is_empty()), self.head)
    }

    /// The head's memory for another use, once the head was sent.
    pub(crate) fn take_head(&mut self) -> Vec<u8> {
        self.head_sent = 0;
        std::mem::take(&mut self.head)
    }

    fn has_output(&self) -> bool {
        self.data > 0 || self.head_sent < self.head.len() || self.tail_sent < self.tail.len()
    }

    /// Goes on until the body is sent and flushed. Wakes when either stream allows more.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        buffers: &Rc<Buffers>,
    ) -> Poll<Result<(), Broken>> {
        let polled = self.poll_steps(cx, from, to, buffers);
        if let Poll::Ready(Err(_)) = polled {
            // Nobody comes back for what is in a pipe.
            self.bulk.stop();
        }
        polled
    }

    fn poll_steps(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        buffers: &Rc<Buffers>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if !self.bulk.is_empty() {
                ready!(self.poll_drain(cx, to))?;
            }
            if !self.finished && self.data == 0 && self.tail_sent == self.tail.len() {
                self.decode()?;
            }
            if self.has_output() {
                let written = ready!(self.poll_output(cx, to)).map_err(|_| Broken::Sink)?;
                self.sent(written);
                continue;
            }
            if self.encoder.is_some() && self.buffer.as_ref().is_some_and(|it| !it.is_empty()) {
                // The encoder took what there was and gave nothing yet.
                continue;
            }
            self.flushing = true;
            ready!(to.poll_flush(cx)).map_err(|_| Broken::Sink)?;
            self.flushing = false;
            if self.finished {
                return Poll::Ready(Ok(()));
            }
            if self.is_bulk(from, to, buffers) {
                ready!(self.poll_fill(cx, from));
                continue;
            }
            match self.poll_input(cx, from, buffers) {
                Poll::Ready(result) => result?,
                // Nothing more for now: the other side gets what there was.
                Poll::Pending if self.held_back => self.encode(Encoder::flush)?,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_output(&self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<usize>> {
        let head = self.head.get(self.head_sent..).unwrap_or_default();
        let data = self
            .buffer
            .as_ref()
            .and_then(|b| b.filled().get(..self.data))
            .unwrap_or_default();
        let tail = self.tail.get(self.tail_sent..).unwrap_or_default();
        match (head.is_empty(), data.is_empty(), tail.is_empty()) {
            (false, true, true) => to.poll_write(cx, &[IoSlice::new(head)]),
            (true, false, true) => to.poll_write(cx, &[IoSlice::new(data)]),
            (false, false, true) => to.poll_write(cx, &[IoSlice::new(head), IoSlice::new(data)]),
            _ => to.poll_write(
                cx,
                &[IoSlice::new(head), IoSlice::new(data), IoSlice::new(tail)],
            ),
        }
    }

    /// `written` bytes of head, data and tail, in this order, were taken.
    fn sent(&mut self, written: usize) {
        self.moves += 1;
        self.begun = true;
        let of_head = written.min(self.head.len() - self.head_sent);
        self.head_sent += of_head;
        let of_data = (written - of_head).min(self.data);
        if of_data > 0 {
            self.data -= of_data;
            self.body_bytes += of_data as u64;
            if let Some(buffer) = &mut self.buffer {
                buffer.consume(of_data);
                if self.data == 0 {
                    buffer.consume(std::mem::take(&mut self.gap));
                }
            }
        }
        self.tail_sent += (written - of_head - of_data).min(self.tail.len() - self.tail_sent);
    }

    /// Reads once. What nothing came into goes back to the pool.
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        buffers: &Rc<Buffers>,
    ) -> Poll<Result<(), Broken>> {
        let mut buffer = self.buffer.take().unwrap_or_else(|| buffers.lease());
        buffer.clear();
        let received = ready!(from.poll_read(cx, buffer.spare())).map_err(|_| Broken::Source)?;
        self.moves += 1;
        if received == 0 {
            return Poll::Ready(self.source_ended());
        }
        self.bulk.note_read(received == buffer.spare().len());
        buffer.received(received);
        self.buffer = Some(buffer);
        Poll::Ready(Ok(()))
    }

    /// Nothing more comes: the end of a body that has no other.
    fn source_ended(&mut self) -> Result<(), Broken> {
        match self.reading {
            Reading::UntilClose => self.reading = Reading::Over,
            _ => return Err(Broken::Source),
        }
        Ok(())
    }

    /// Finds data in what was received and puts it into the form in which it leaves.
    fn decode(&mut self) -> Result<(), Broken> {
        let buffer = self.buffer.as_mut().filter(|buffer| !buffer.is_empty());
        match (&mut self.reading, buffer) {
            (Reading::Over, _) => self.finish(&[])?,
            (_, None) => {}
            (Reading::UntilClose, Some(buffer)) => {
                self.data = buffer.len();
                self.allow()?;
                self.frame(false)?;
            }
            (Reading::Length(left), Some(buffer)) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                *left -= here as u64;
                let over = *left == 0;
                self.data = here;
                if over {
                    self.reading = Reading::Over;
                }
                self.frame(over)?;
            }
            (Reading::Chunked(decoder, trailers), Some(buffer)) => {
                let decoded = decoder
                    .decode_in_place(buffer.filled_mut(), trailers, &ChunkedLimits::default())
                    .map_err(Broken::Refused)?;
                buffer.consume(decoded.data_start);
                self.data = decoded.data_len;
                self.gap = decoded.consumed - decoded.data_start - decoded.data_len;
                if self.data == 0 {
                    buffer.consume(std::mem::take(&mut self.gap));
                }
                let trailers = decoded.finished.then(|| std::mem::take(trailers));
                self.allow()?;
                self.frame(false)?;
                if let Some(trailers) = trailers {
                    self.reading = Reading::Over;
                    self.finish(&trailers)?;
                }
            }
        }
        Ok(())
    }

    /// Counts the data; what goes beyond is not sent.
    fn allow(&mut self) -> Result<(), Broken> {
        let left = self.allowed.checked_sub(self.data as u64);
        if left.is_none() {
            self.data = 0;
        }
        self.allowed = left.ok_or(Broken::TooLong)?;
        Ok(())
    }

    /// Puts data into a chunk where chunks are sent; `over`: nothing follows it.
    fn frame(&mut self, over: bool) -> Result<(), Broken> {
        if self.encoder.is_some() {
            self.compress()?;
        } else if self.chunked_out && self.data > 0 {
            if self.head_sent == self.head.len() {
                self.head.clear();
                self.head_sent = 0;
            }
            write_chunk_head(&mut self.head, self.data);
            self.tail.clear();
            self.tail_sent = 0;
            self.tail.extend_from_slice(b"\r\n");
        }
        if over {
            self.finish(&[])?;
        }
        Ok(())
    }

    /// Gives the data to the encoder; what that makes of it leaves before data that comes later.
    fn compress(&mut self) -> Result<(), Broken> {
        let Some(buffer) = self.buffer.as_mut().filter(|_| self.data > 0) else {
            return Ok(());
        };
        let data = buffer.filled().get(..self.data).unwrap_or_default();
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        encoder.write(data).map_err(|_| Broken::Encoder)?;
        let enough = encoder.here() >= ENOUGH;
        buffer.consume(std::mem::take(&mut self.data) + std::mem::take(&mut self.gap));
        if enough {
            self.encode(|_| Ok(()))?;
        }
        self.held_back = true;
        Ok(())
    }

    /// Does something with the encoder and puts what it has made into the form in which it leaves.
    fn encode(&mut self, with: impl FnOnce(&mut Encoder) -> io::Result<()>) -> Result<(), Broken> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        with(encoder).map_err(|_| Broken::Encoder)?;
        self.held_back = false;
        let here = encoder.here();
        if here == 0 {
            return Ok(());
        }
        if self.head_sent == self.head.len() {
            self.head.clear();
            self.head_sent = 0;
        }
        if self.chunked_out {
            write_chunk_head(&mut self.head, here);
        }
        encoder.take(|made| self.head.extend_from_slice(made));
        if self.chunked_out {
            self.head.extend_from_slice(b"\r\n");
        }
        self.body_bytes += here as u64;
        Ok(())
    }

    /// Nothing more is to come.
    #[inline]
    fn give_back(&mut self) {
        if !self.places.is_empty() {
            self.places.clear();
        }
    }

    fn finish(&mut self, trailers: &[u8]) -> Result<(), Broken> {
        self.encode(Encoder::finish)?;
        self.encoder = None;
        self.finished = true;
        self.give_back();
        if self.chunked_out {
            if self.tail_sent == self.tail.len() {
                self.tail.clear();
                self.tail_sent = 0;
            }
            write_last_chunk(&mut self.tail, trailers);
        }
        Ok(())
    }
}
