//! A response as an exchange writes it, in HTTP/1.1, as the frames of HTTP/2 that say the same.
//!
//! What comes in was written by this program: it is in order. It may come in any pieces, and goes out as far as windows and the
//! owner's room allow; what is not taken is offered again.

use super::frame;
use super::{Connection, hpack};
use memchr::{memchr, memmem};
use std::io::IoSlice;

/// What the client asked for, as far as it says how the response is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A body may follow a head.
    Any,
    /// HEAD: none does.
    Head,
    /// CONNECT: a good answer makes a tunnel.
    Connect,
    /// CONNECT with a protocol, which is an upgrade in HTTP/1.1 (RFC 8441).
    Upgrade,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A head, final or interim.
    Head,
    /// So many bytes of a body of known length.
    Length(u64),
    /// The size of a chunk, as far as it has come.
    Size(u64),
    /// The rest of the line behind it.
    SizeLine(u64),
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line that ends a chunk.
    ChunkEnd,
    /// Trailers, or the empty line.
    Trailers,
    /// Bytes until the writer says that they are over.
    Open,
    /// END_STREAM was sent.
    Over,
}

/// Translates one response.
#[derive(Debug)]
pub struct ResponseFrames {
    asked: Asked,
    state: State,
    /// A head, or a line of trailers, of which the end has not come.
    text: Vec<u8>,
    /// A block that is being made.
    block: Vec<u8>,
    /// Where in the connection's output the last DATA frame begins; it may still be the last of all.
    last_data: Option<usize>,
}

/// What is written is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoResponse;

impl ResponseFrames {
    /// Of a response to such a request.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            state: State::Head,
            text: Vec::new(),
            block: Vec::new(),
            last_data: None,
        }
    }

    /// True once the whole response is in frames.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// True where nothing of a final head was sent.
    pub fn has_not_begun(&self) -> bool {
        self.state == State::Head
    }

    /// Takes what is written, as far as there is room in windows and in `budget`, which is for bytes of the body; how much that is.
    ///
    /// # Errors
    /// It is no response.
    pub fn write(
        &mut self,
        connection: &mut Connection,
        stream: u32,
        from: &[IoSlice<'_>],
        mut budget: usize,
    ) -> Result<usize, NoResponse> {
        self.last_data = None;
        let mut taken = 0;
        for slice in from {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let used = self.step(connection, stream, rest, &mut budget)?;
                if used == 0 {
                    return Ok(taken);
                }
                taken += used;
                rest = rest.get(used..).unwrap_or_default();
            }
        }
        Ok(taken)
    }

    /// The writer has nothing more. True where that ends the response as it should.
    pub fn end(&mut self, connection: &mut Connection, stream: u32) -> bool {
        if self.state == State::Open {
            self.state = State::Over;
            // What was written before may have been sent meanwhile.
            self.last_data = None;
            self.end_data(connection, stream);
        }
        self.is_over()
    }

    fn step(
        &mut self,
        connection: &mut Connection,
        stream: u32,
        rest: &[u8],
        budget: &mut usize,
    ) -> Result<usize, NoResponse> {
        match self.state {
            State::Head => self.head(connection, stream, rest),
            State::Length(left) => {
                let sent = self.data(connection, stream, rest, left, budget);
                let left = left - sent as u64;
                self.state = State::Length(left);
                if left == 0 {
                    self.state = State::Over;
                    self.end_data(connection, stream);
                }
                Ok(sent)
            }
            State::Chunk(left) => {
                let sent = self.data(connection, stream, rest, left, budget);
                self.state = match left - sent as u64 {
                    0 => State::ChunkEnd,
                    left => State::Chunk(left),
                };
                Ok(sent)
            }
            State::Open => Ok(self.data(connection, stream, rest, u64::MAX, budget)),
            State::Size(so_far) => self.size(so_far, rest),
            State::SizeLine(size) => {
                let next = match size {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
                Ok(self.line(rest, next))
            }
            State::ChunkEnd => Ok(self.line(rest, State::Size(0))),
            State::Trailers => self.trailers(connection, stream, rest),
            // Nothing follows a response.
            State::Over => Err(NoResponse),
        }
    }

    /// A digit of a chunk's size, or what ends it.
    fn size(&mut self, so_far: u64, rest: &[u8]) -> Result<usize, NoResponse> {
        let first = rest.first().copied().unwrap_or_default();
        if first == b'\r' || first == b';' {
            self.state = State::SizeLine(so_far);
            return Ok(1);
        }
        let digit = char::from(first).to_digit(16).ok_or(NoResponse)?;
        let more = so_far.checked_mul(16).ok_or(NoResponse)?;
        self.state = State::Size(more | u64::from(digit));
        Ok(1)
    }

    /// Passes over the rest of a line.
    fn line(&mut self, rest: &[u8], next: State) -> usize {
        match memchr(b'\n', rest) {
            Some(at) => {
                self.state = next;
                at + 1
            }
            None => rest.len(),
        }
    }

    /// Bytes of a body, `left` at most, in one frame; how many went.
    fn data(
        &mut self,
        connection: &mut Connection,
        stream: u32,
        rest: &[u8],
        left: u64,
        budget: &mut usize,
    ) -> usize {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let room = connection.room(stream).min(*budget);
        let count = rest.len().min(left).min(room);
        let bytes = rest.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return 0;
        }
        *budget -= count;
        self.last_data = Some(connection.out.len());
        frame::write_data_head(stream, count, false, &mut connection.out);
        connection.out.extend_from_slice(bytes);
        connection.sent(stream, count, false);
        count
    }

    /// Says that the body has ended: with the frame that was written last, where that is still the last one.
    fn end_data(&mut self, connection: &mut Connection, stream: u32) {
        match self.last_data.take() {
            Some(at) => frame::say_end(&mut connection.out, at),
            None => frame::write_data_head(stream, 0, true, &mut connection.out),
        }
        connection.sent(stream, 0, true);
    }

    fn head(
        &mut self,
        connection: &mut Connection,
        stream: u32,
        rest: &[u8],
    ) -> Result<usize, NoResponse> {
        let Some((text, used)) = whole(&mut self.text, rest, b"\r\n\r\n") else {
            return Ok(rest.len());
        };
        let head = text
            .as_deref()
            .unwrap_or(rest.get(..used).unwrap_or_default());
        connection.begin_block(&mut self.block);
        let (status, length, chunked) =
            write_head(head, self.asked, &mut self.block).ok_or(NoResponse)?;
        self.state = match (status, self.asked) {
            (101, Asked::Upgrade) => State::Open,
            // Without the upgrade nobody could tell that the tunnel is none.
            (101, _) | (200..=299, Asked::Upgrade) => return Err(NoResponse),
            (100..=199, _) => State::Head,
            (200..=299, Asked::Connect) => State::Open,
            (204 | 304, _) | (_, Asked::Head) => State::Over,
            _ => match (chunked, length) {
                (true, _) => State::Size(0),
                (false, Some(0)) => State::Over,
                (false, Some(length)) => State::Length(length),
                (false, None) => State::Open,
            },
        };
        let over = self.is_over();
        connection.send_block(stream, &self.block, over);
        Ok(used)
    }

    fn trailers(
        &mut self,
        connection: &mut Connection,
        stream: u32,
        rest: &[u8],
    ) -> Result<usize, NoResponse> {
        if self.text.is_empty() && rest.starts_with(b"\r\n") {
            self.state = State::Over;
            self.end_data(connection, stream);
            return Ok(2);
        }
        // An empty line alone may come in two pieces.
        let alone = self.text == b"\r" && rest.starts_with(b"\n");
        let end: &[u8] = if alone { b"\r\n" } else { b"\r\n\r\n" };
        let Some((text, used)) = whole(&mut self.text, rest, end) else {
            return Ok(rest.len());
        };
        self.state = State::Over;
        if alone {
            self.end_data(connection, stream);
            return Ok(used);
        }
        let lines = text
            .as_deref()
            .unwrap_or(rest.get(..used).unwrap_or_default());
        connection.begin_block(&mut self.block);
        for (name, value) in fields(lines) {
            field(name, value, &mut self.block);
        }
        connection.send_block(stream, &self.block, true);
        Ok(used)
    }
}

/// What ends with `end`, and how many bytes of `rest` belong to it; the text where it does not stand in `rest` alone. `None`: it is
/// not whole, and what came is kept.
fn whole(kept: &mut Vec<u8>, rest: &[u8], end: &[u8]) -> Option<(Option<Vec<u8>>, usize)> {
    if kept.is_empty()
        && let Some(at) = memmem::find(rest, end)
    {
        return Some((None, at + end.len()));
    }
    let before = kept.len();
    kept.extend_from_slice(rest);
    let from = before.saturating_sub(end.len());
    let found = memmem::find(kept.get(from..).unwrap_or_default(), end)?;
    let length = from + found + end.len();
    let mut text = std::mem::take(kept);
    text.truncate(length);
    Some((Some(text), length - before))
}

/// Writes the block of a head; status, length, and whether chunks follow.
fn write_head(head: &[u8], asked: Asked, block: &mut Vec<u8>) -> Option<(u16, Option<u64>, bool)> {
    let line = memchr(b'\n', head)?;
    let status = head.get(9..12)?;
    let status = str::from_utf8(status).ok()?.parse().ok()?;
    let upgraded = status == 101 && asked == Asked::Upgrade;
    hpack::status(if upgraded { 200 } else { status }, block);
    let (mut length, mut chunked) = (None, false);
    for (name, value) in fields(head.get(line + 1..).unwrap_or_default()) {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            14 if is(b"content-length") => {
                length = Some(str::from_utf8(value).ok()?.parse().ok()?);
                // Neither what has no content has one, nor a tunnel (RFC 9110 section 8.6).
                if status == 204 || asked == Asked::Connect && (200..=299).contains(&status) {
                    continue;
                }
            }
            17 if is(b"transfer-encoding") => {
                chunked = true;
                continue;
            }
            // Of a connection of HTTP/1.1 (RFC 9113 section 8.2.2).
            10 if is(b"connection") || is(b"keep-alive") => continue,
            7 if is(b"upgrade") => continue,
            16 if is(b"proxy-connection") => continue,
            20 if upgraded && is(b"sec-websocket-accept") => continue,
            _ => {}
        }
        field(name, value, block);
    }
    Some((status, length, chunked))
}

/// The fields of lines, up to an empty one.
fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').map_while(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = memchr(b':', line)?;
        let (name, value) = line.split_at(colon);
        Some((name, value.get(1..).unwrap_or_default().trim_ascii()))
    })
}

/// Longest name that is brought into lower case without memory of its own.
const SHORT_NAME: usize = 64;

fn field(name: &[u8], value: &[u8], block: &mut Vec<u8>) {
    let mut short = [0; SHORT_NAME];
    let lower;
    let name = match short.get_mut(..name.len()) {
        Some(into) => {
            into.copy_from_slice(name);
            into.make_ascii_lowercase();
            into
        }
        None => {
            lower = name.to_ascii_lowercase();
            &*lower
        }
    };
    let secret = matches!(name, b"set-cookie" | b"authorization");
    hpack::field(name, value, secret, block);
}
