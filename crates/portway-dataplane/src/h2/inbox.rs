//! What has come of a request on a stream and was not read yet, in the form of HTTP/1.1.

use crate::buffer::Buffers;
use crate::memory::Held;
use portway_core::http1::{write_chunk_head, write_last_chunk};
use portway_core::http2::Body;
use std::rc::Rc;

/// The request: its head, then its body.
#[derive(Debug)]
pub(super) struct Inbox {
    /// What comes before anything that is in `data`: the head, a line of the chunked coding, the end with its trailers.
    text: Vec<u8>,
    text_read: usize,
    body: Body,
    data: Vec<u8>,
    data_read: usize,
    /// Bytes of `data` that the chunk still has which was begun.
    chunk: usize,
    /// Bytes of a body of known length that are still to come.
    left: u64,
    ended: bool,
    /// What ends the chunks was written to `text`.
    closed: bool,
    trailers: Vec<u8>,
    /// What `data` takes of the budget.
    held: Option<Held>,
}

/// What a read gave: bytes, and how many of them were of the body as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) bytes: usize,
    pub(super) of_body: usize,
}

/// More came than the head has said, or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongLength;

impl Inbox {
    /// Of a request with this head.
    pub(super) fn new(head: Vec<u8>, body: Body, ended: bool) -> Self {
        let left = match body {
            Body::Length(length) => length,
            _ => 0,
        };
        Self {
            text: head,
            text_read: 0,
            body,
            data: Vec::new(),
            data_read: 0,
            chunk: 0,
            left,
            ended,
            closed: false,
            trailers: Vec::new(),
            held: None,
        }
    }

    /// A part of the body has come; `end`: the last.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        end: bool,
        account: &Rc<Buffers>,
    ) -> Result<(), WrongLength> {
        if let Body::Length(_) = self.body {
            self.left = self
                .left
                .checked_sub(bytes.len() as u64)
                .ok_or(WrongLength)?;
            if end && self.left > 0 {
                return Err(WrongLength);
            }
        }
        if self.data_read > 0 && self.data.len() + bytes.len() > self.data.capacity() {
            self.data.drain(..self.data_read);
            self.data_read = 0;
        }
        self.ended = end;
        if bytes.is_empty() {
            return Ok(());
        }
        self.data.extend_from_slice(bytes);
        let room = self.data.capacity();
        if self.held.as_ref().map(Held::bytes) != Some(room) {
            self.held = Some(Held::new(account, room));
        }
        Ok(())
    }

    /// The body has ended with these lines of trailers.
    pub(super) fn end(
        &mut self,
        trailers: Vec<u8>,
        account: &Rc<Buffers>,
    ) -> Result<(), WrongLength> {
        self.trailers = trailers;
        self.receive(&[], true, account)
    }

    /// Nothing more is to be read now.
    pub(super) fn is_empty(&self) -> bool {
        let closes = self.ended && self.body == Body::Chunked && !self.closed;
        self.text_read == self.text.len() && self.data_read == self.data.len() && !closes
    }

    /// Everything has come and was read.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// Reads what there is, as much as there is room for.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Taken {
        let mut taken = Taken {
            bytes: 0,
            of_body: 0,
        };
        loop {
            let room = into.get_mut(taken.bytes..).unwrap_or_default();
            if room.is_empty() {
                return taken;
            }
            if self.text_read < self.text.len() {
                let text = self.text.get(self.text_read..).unwrap_or_default();
                let count = copy(text, room);
                self.text_read += count;
                taken.bytes += count;
                continue;
            }
            let here = self.data.len() - self.data_read;
            let is_chunked = self.body == Body::Chunked;
            if here == 0 && is_chunked && self.ended && !self.closed {
                self.closed = true;
                let trailers = std::mem::take(&mut self.trailers);
                write_last_chunk(self.fresh_text(), &trailers);
            } else if here == 0 {
                return taken;
            } else if is_chunked && self.chunk == 0 {
                self.chunk = here;
                write_chunk_head(self.fresh_text(), here);
            } else {
                let piece = if is_chunked { self.chunk } else { here };
                let data = self.data.get(self.data_read..self.data_read + piece);
                let count = copy(data.unwrap_or_default(), room);
                self.used(count);
                taken.bytes += count;
                taken.of_body += count;
                if is_chunked {
                    self.chunk -= count;
                    if self.chunk == 0 {
                        self.fresh_text().extend_from_slice(b"\r\n");
                    }
                }
            }
        }
    }

    fn fresh_text(&mut self) -> &mut Vec<u8> {
        self.text.clear();
        self.text_read = 0;
        &mut self.text
    }

    fn used(&mut self, count: usize) {
        self.data_read += count;
        if self.data_read == self.data.len() {
            self.data_read = 0;
            self.data.clear();
            if self.ended {
                self.data = Vec::new();
                self.held = None;
            }
        }
    }
}

/// Copies as much as there is room for.
fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let count = from.len().min(into.len());
    if let (Some(from), Some(into)) = (from.get(..count), into.get_mut(..count)) {
        into.copy_from_slice(from);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is there, read so many bytes at a time, and how much of it was of the body.
    fn all(inbox: &mut Inbox, at_a_time: usize) -> (String, usize) {
        let (mut text, mut of_body) = (Vec::new(), 0);
        let mut into = vec![0; at_a_time];
        loop {
            let taken = inbox.read(&mut into);
            if taken.bytes == 0 {
                return (String::from_utf8(text).unwrap(), of_body);
            }
            text.extend_from_slice(&into[..taken.bytes]);
            of_body += taken.of_body;
        }
    }

    fn inbox(body: Body, ended: bool) -> Inbox {
        Inbox::new(b"head\r\n\r\n".to_vec(), body, ended)
    }

    #[test]
    fn bodies_come_out_as_they_have_to() {
        let account = Rc::new(Buffers::default());
        for at_a_time in [1, 2, 3, 5, 100] {
            let read = |inbox: &mut Inbox| all(inbox, at_a_time);
            let mut none = inbox(Body::None, true);
            assert_eq!(read(&mut none), ("head\r\n\r\n".into(), 0));
            assert!(none.is_over());

            let mut length = inbox(Body::Length(5), false);
            length.receive(b"hel", false, &account).unwrap();
            assert_eq!(read(&mut length), ("head\r\n\r\nhel".into(), 3));
            assert!(length.is_empty() && !length.is_over());
            length.receive(b"lo", true, &account).unwrap();
            assert_eq!(read(&mut length), ("lo".into(), 2));
            assert!(length.is_over());

            let mut chunks = inbox(Body::Chunked, false);
            chunks.receive(b"hello", false, &account).unwrap();
            assert_eq!(read(&mut chunks), ("head\r\n\r\n5\r\nhello\r\n".into(), 5));
            chunks.receive(b"a", false, &account).unwrap();
            let lines = b"x: y\r\n".to_vec();
            chunks.end(lines, &account).unwrap();
            assert!(!chunks.is_empty());
            assert_eq!(read(&mut chunks), ("1\r\na\r\n0\r\nx: y\r\n\r\n".into(), 1));
            assert!(chunks.is_over());
        }
    }

    #[test]
    fn what_comes_while_a_chunk_is_read_is_the_next_one() {
        let account = Rc::new(Buffers::default());
        let mut chunks = Inbox::new(Vec::new(), Body::Chunked, false);
        chunks.receive(b"hello", false, &account).unwrap();
        let mut into = [0; 5];
        assert_eq!(
            chunks.read(&mut into),
            Taken {
                bytes: 5,
                of_body: 2
            }
        );
        chunks.receive(b" world", true, &account).unwrap();
        let rest = "llo\r\n6\r\n world\r\n0\r\n\r\n";
        assert_eq!(all(&mut chunks, 4), (rest.into(), 9));
    }

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        let account = Rc::new(Buffers::default());
        let mut more = inbox(Body::Length(2), false);
        assert_eq!(more.receive(b"abc", false, &account), Err(WrongLength));
        let mut less = inbox(Body::Length(2), false);
        assert_eq!(less.receive(b"a", true, &account), Err(WrongLength));
        let mut trailers = inbox(Body::Length(2), false);
        assert_eq!(trailers.end(Vec::new(), &account), Err(WrongLength));
    }
}
