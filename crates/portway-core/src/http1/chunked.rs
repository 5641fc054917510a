//! The chunked coding (RFC 9112 §7.1): a strict decoder that can stop at any byte, and an encoder.
//!
//! The decoder works in the read buffer itself: it closes the gaps that chunk heads leave, so that the caller forwards one
//! contiguous piece. A buffer within one chunk is not moved at all. Chunk extensions are checked, bounded and dropped (RFC 9112
//! §7.1.1); trailer fields are checked like header fields, and those that must not be trailers are dropped (RFC 9110
//! §6.5.1).
//!
//! ```text
//! Size ─▶ [Extension…] ─▶ SizeLf ─▶ Data ─▶ DataCr ─▶ DataLf ─▶ Size
//!                            └─ size 0 ─▶ Trailers ─▶ Finished
//! ```

use std::ops::Range;

use memchr::memchr;

use super::known::Known;
use super::lines;
use super::list::{is_token_byte, is_value_byte};
use super::refusal::Refusal;
use super::rewrite::write_field;

/// What a chunked body may cost beyond its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkedLimits {
    /// Bytes of the extensions of one chunk. Default 256: nobody is known to use them in earnest.
    pub line_extension_bytes: u32,
    /// Bytes of the extensions of a whole body. Default 4 KiB, so that a body cannot consist of extensions.
    pub total_extension_bytes: u32,
    /// Bytes of the trailer section. Default 8 KiB.
    pub trailer_bytes: u32,
    /// Lines of the trailer section. Default 64.
    pub trailer_fields: u32,
}

impl Default for ChunkedLimits {
    fn default() -> Self {
        ChunkedLimits {
            line_extension_bytes: 256,
            total_extension_bytes: 4 * 1024,
            trailer_bytes: 8 * 1024,
            trailer_fields: 64,
        }
    }
}

/// What [`Decoder::decode_in_place`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Where in the slice the data begins, now in one piece.
    pub data_start: usize,
    /// Bytes of data.
    pub data_len: usize,
    /// Bytes of the slice that are dealt with: all of them unless the body is finished; what follows is the next message.
    pub consumed: usize,
    /// Whether the body is over.
    pub finished: bool,
}

impl Decoded {
    /// The place of the data in the slice.
    pub fn data(&self) -> Range<usize> {
        self.data_start..self.data_start + self.data_len
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a chunk size, so many read.
    Size(u8),
    /// In the extensions of a chunk.
    Extension(Extension),
    /// After the CR that ends the line of a chunk size.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Finished,
}

/// The grammar of chunk extensions (RFC 9112 §7.1.1) without its "bad" whitespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    NameStart,
    Name,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    QuotedEnd,
}

/// The longest chunk size, in digits: 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// Decodes one chunked body. Make a new one for every body.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    /// Size of the chunk, then what remains of it.
    remaining: u64,
    line_extension_bytes: u32,
    total_extension_bytes: u32,
    trailer_bytes: u32,
    trailer_fields: u32,
    /// Bytes at the end of the caller's trailers that are the beginning of a line.
    partial_line: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder at the start of a body.
    pub const fn new() -> Decoder {
        Decoder {
            state: State::Size(0),
            remaining: 0,
            line_extension_bytes: 0,
            total_extension_bytes: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
            partial_line: 0,
        }
    }

    /// Decodes the bytes of the body that have arrived, in place.
    ///
    /// Give every byte once: all are consumed, except those after the end of the body. `trailers` collects the trailer section
    /// over all calls for a body and must start empty; once finished it holds lines of the form `Name: value CRLF`, without
    /// fields that Portway knows by meaning ([`Known`]): they concern framing, routing, authentication or the form of the
    /// content and must not come after it (RFC 9110 §6.5.1). After an error neither the slice nor `trailers` has a meaning.
    pub fn decode_in_place(
        &mut self,
        buf: &mut [u8],
        trailers: &mut Vec<u8>,
        limits: &ChunkedLimits,
    ) -> Result<Decoded, Refusal> {
        let mut at = 0;
        let (mut data_start, mut data_end) = (0, 0);
        while let Some(byte) = buf.get(at).copied() {
            match self.state {
                State::Data => {
                    let run = usize::try_from(self.remaining)
                        .unwrap_or(usize::MAX)
                        .min(buf.len() - at);
                    if data_start == data_end {
                        (data_start, data_end) = (at, at + run);
                    } else {
                        // `at + run` is at most the length of the slice, and `data_end` is not after `at`.
                        buf.copy_within(at..at + run, data_end);
                        data_end += run;
                    }
                    at += run;
                    self.remaining -= run as u64;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailers => {
                    let rest = buf.get(at..).unwrap_or_default();
                    at += self.take_trailer_bytes(rest, trailers, limits)?;
                }
                State::Finished => break,
                _ => {
                    self.state = self.after_byte(byte, limits)?;
                    at += 1;
                }
            }
        }
        Ok(Decoded {
            data_start,
            data_len: data_end - data_start,
            consumed: at,
            finished: self.is_finished(),
        })
    }

    /// Whether the end of the body was seen.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// The state after one byte outside data and trailers.
    #[inline]
    fn after_byte(&mut self, byte: u8, limits: &ChunkedLimits) -> Result<State, Refusal> {
        match self.state {
            State::Size(digits) => self.after_size_byte(digits, byte),
            State::Extension(extension) => self.after_extension_byte(extension, byte, limits),
            State::SizeLf if byte == b'\n' => {
                self.line_extension_bytes = 0;
                Ok(if self.remaining == 0 {
                    State::Trailers
                } else {
                    State::Data
                })
            }
            State::SizeLf => Err(Refusal::BareCr),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                self.remaining = 0;
                Ok(State::Size(0))
            }
            State::DataCr | State::DataLf => Err(Refusal::BadChunkEnd),
            State::Data | State::Trailers | State::Finished => Ok(self.state),
        }
    }

    #[inline]
    fn after_size_byte(&mut self, digits: u8, byte: u8) -> Result<State, Refusal> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(State::SizeLf),
            b';' if digits > 0 => return Ok(State::Extension(Extension::NameStart)),
            b'\n' if digits > 0 => return Err(Refusal::BareLf),
            _ => return Err(Refusal::BadChunkSize),
        };
        if digits == MAX_SIZE_DIGITS {
            return Err(Refusal::ChunkSizeOverflow);
        }
        self.remaining = self.remaining << 4 | u64::from(digit);
        Ok(State::Size(digits + 1))
    }

    #[cold]
    fn after_extension_byte(
        &mut self,
        extension: Extension,
        byte: u8,
        limits: &ChunkedLimits,
    ) -> Result<State, Refusal> {
        use Extension::{Name, NameStart, Quoted, QuotedEnd, QuotedPair, Value, ValueStart};
        self.line_extension_bytes = self.line_extension_bytes.saturating_add(1);
        self.total_extension_bytes = self.total_extension_bytes.saturating_add(1);
        if self.line_extension_bytes > limits.line_extension_bytes
            || self.total_extension_bytes > limits.total_extension_bytes
        {
            return Err(Refusal::ChunkExtensionTooLong);
        }
        let next = match (extension, byte) {
            (Name | Value | QuotedEnd, b'\r') => return Ok(State::SizeLf),
            (Name | Value | QuotedEnd, b';') => NameStart,
            (NameStart | Name, _) if is_token_byte(byte) => Name,
            (Name, b'=') => ValueStart,
            (ValueStart, b'"') => Quoted,
            (ValueStart | Value, _) if is_token_byte(byte) => Value,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, _) if is_value_byte(byte) => Quoted,
            (_, b'\n') => return Err(Refusal::BareLf),
            _ => return Err(Refusal::BadChunkExtension),
        };
        Ok(State::Extension(next))
    }

    /// Takes bytes up to the end of a line; answers how many.
    #[cold]
    fn take_trailer_bytes(
        &mut self,
        rest: &[u8],
        trailers: &mut Vec<u8>,
        limits: &ChunkedLimits,
    ) -> Result<usize, Refusal> {
        let line_end = memchr(b'\n', rest).map(|at| at + 1);
        let piece = rest
            .get(..line_end.unwrap_or(rest.len()))
            .unwrap_or_default();
        let count = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        self.trailer_bytes = self.trailer_bytes.saturating_add(count);
        // The two bytes that end the section are not counted.
        if self.trailer_bytes > limits.trailer_bytes.saturating_add(2) {
            return Err(Refusal::TrailersTooLarge);
        }
        trailers.extend_from_slice(piece);
        self.partial_line += count;
        if line_end.is_some() {
            self.end_trailer_line(trailers, limits)?;
        }
        Ok(piece.len())
    }

    /// Brings the line at the end of `trailers` into its canonical form, or drops it.
    fn end_trailer_line(
        &mut self,
        trailers: &mut Vec<u8>,
        limits: &ChunkedLimits,
    ) -> Result<(), Refusal> {
        let line_start = trailers.len().saturating_sub(self.partial_line as usize);
        self.partial_line = 0;
        let line = trailers.get(line_start..).unwrap_or_default();
        if line == b"\r\n" {
            trailers.truncate(line_start);
            self.state = State::Finished;
            return Ok(());
        }
        self.trailer_fields += 1;
        if self.trailer_fields > limits.trailer_fields {
            return Err(Refusal::TrailersTooLarge);
        }
        let field = lines::parse_field_line(line)?;
        let is_canonical = line.len() == field.name.len() + field.value.len() + 4
            && line.get(field.name.len() + 1) == Some(&b' ');
        if Known::of(field.name) != Known::Other {
            trailers.truncate(line_start);
        } else if !is_canonical {
            let (name, value) = (field.name.to_vec(), field.value.to_vec());
            trailers.truncate(line_start);
            write_field(trailers, &name, &value);
        }
        Ok(())
    }
}

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the line before a chunk of `len` bytes. The data must be followed by CRLF. A chunk of 0 bytes would end the body, so
/// nothing is written for it.
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    if len == 0 {
        return;
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit = (len >> (place * 4)) as u8 & 0xf;
        out.push(if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        });
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body with a trailer section as [`Decoder::decode_in_place`] leaves it.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
