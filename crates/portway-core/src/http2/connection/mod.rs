//! One connection as its peer's frames make it: which streams there are, what may be sent on them, and what ends it.
//!
//! Bytes go in, and a [`Sink`] hears what they mean; what the protocol wants in return is written to [`Connection::out`], which the
//! owner sends. What we send is asked for here first, so that windows and the order of things on a stream are kept in one place.
//! Bodies are not kept: their bytes pass by, and the owner says when they were used, which is when the peer may send more.

mod receive;
mod send;

use super::frame::{self, ACK, ErrorCode, FrameHead, HEAD_BYTES, Kind, PAYLOAD_BYTES, PREFACE};
use super::hpack::{self, Decoder};
use super::limits::{Allowance, Limits};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
/// The table of fields that we offer: the protocol's own.
const TABLE_BYTES: usize = 4096;
/// The window that a connection begins with (RFC 9113 section 6.9.2).
const FIRST_WINDOW: i64 = 65_535;
/// Streams that we have ended and remember, at least: their peer may not know it yet. Never less than twice as many as there are at a time.
const REMEMBERED: usize = 256;
/// How often the bytes that a block may have are read of its names and values: Huffman coding takes five bits at least of eight,
/// and names that come often are in a table.
const EXPANDED: usize = 4;

/// Which side we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Streams come from the peer.
    Server,
    /// Streams are ours.
    Client,
}

/// What a whole block of fields was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// The head of a request on a new stream, or of a response.
    Head,
    /// What stands behind a body.
    Trailers,
}

/// Hears what a peer says.
pub trait Sink {
    /// A field of the block that comes.
    fn field(&mut self, name: &[u8], value: &[u8]);
    /// The block is whole. True where another head follows for the same message: it was an interim response. Where it is not as
    /// it should be, the stream ends with that error.
    ///
    /// # Errors
    /// The message is malformed (RFC 9113 section 8.1.1), or not wanted.
    fn block(&mut self, stream: u32, what: Block, end: bool) -> Result<bool, ErrorCode>;
    /// The block that was heard is nobody's: its stream has ended, or there are too many.
    fn forget(&mut self);
    /// A part of a body.
    ///
    /// # Errors
    /// It is not wanted: the stream ends with that error.
    fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> Result<(), ErrorCode>;
    /// The stream has ended before its time, by the peer, or by us for what the peer did.
    fn reset(&mut self, stream: u32, code: ErrorCode, by_peer: bool);
    /// More may be sent on a stream, or on all that wait (0).
    fn opened(&mut self, stream: u32);
    /// A stream was refused for this limit.
    fn refused(&mut self, limit: Reached);
    /// The peer takes no further streams, and has looked at none beyond `last`.
    fn going_away(&mut self, last: u32, code: ErrorCode);
}

/// Why a connection ends: what the peer is told, and which limit it was, if one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// What GOAWAY says.
    pub code: ErrorCode,
    /// The limit that was reached.
    pub limit: Option<Reached>,
}

/// A limit of [`Limits`] that ends a connection or refuses a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reached {
    /// [`Limits::streams`]
    Streams,
    /// [`Limits::block_bytes`]
    BlockBytes,
    /// [`Limits::continuations`]
    Continuations,
    /// [`Limits::resets`]
    Resets,
    /// [`Limits::idle_frames`]
    IdleFrames,
}

impl From<ErrorCode> for Broken {
    fn from(code: ErrorCode) -> Self {
        Self { code, limit: None }
    }
}

impl From<hpack::Fault> for Broken {
    fn from(fault: hpack::Fault) -> Self {
        match fault {
            hpack::Fault::TooLarge => calm(Reached::BlockBytes),
            _ => ErrorCode::COMPRESSION_ERROR.into(),
        }
    }
}

fn calm(limit: Reached) -> Broken {
    Broken {
        code: ErrorCode::ENHANCE_YOUR_CALM,
        limit: Some(limit),
    }
}

/// A stream that is not over.
#[derive(Debug, Clone, Copy)]
struct Stream {
    /// The peer may send.
    remote_open: bool,
    /// We may send.
    local_open: bool,
    /// The head has come.
    has_head: bool,
    /// Bytes that we may send.
    send_window: i64,
    /// Bytes that the peer may send.
    receive_window: i64,
    /// Bytes that were used and not given back yet.
    used: u32,
    /// By so much its window has grown.
    widened: u32,
    /// Bytes that were used in all.
    used_in_all: u64,
    /// The window that the peer is given.
    window: u32,
}

/// A block of fields that is not whole.
#[derive(Debug)]
struct Unfinished {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

/// What the peer has said of itself.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// Streams that we may have open at the same time.
    pub streams: u32,
    /// Bytes of a frame's payload.
    pub payload: usize,
    /// Bytes of a block of fields, each field counted 32 more.
    pub fields: u32,
    /// CONNECT may name a protocol (RFC 8441).
    pub connect_protocol: bool,
    window: i64,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
    remote: Remote,
    decoder: Decoder,
    streams: BTreeMap<u32, Stream>,
    unfinished: Option<Unfinished>,
    /// What is to be sent before anything else.
    pub out: Vec<u8>,
    /// The last stream that the peer has begun (server), or that we have (client).
    last: u32,
    /// Bytes of the preface that have come.
    greeted: usize,
    /// The peer's settings have come.
    has_settings: bool,
    send_window: i64,
    receive_window: i64,
    /// Bytes that came and were not given back yet.
    used: u32,
    /// What the windows of all streams have grown by.
    widened: u32,
    /// Streams that we have ended, the oldest first.
    ended: VecDeque<u32>,
    /// No stream beyond this one is looked at any more: we have said so.
    closing: Option<u32>,
    resets: Allowance,
    idle_frames: Allowance,
    now: Duration,
    /// A table's size was told to the peer.
    has_begun: bool,
}

impl Connection {
    /// A connection that has just been opened; what we say first is in [`Connection::out`].
    pub fn new(role: Role, limits: Limits) -> Self {
        let mut out = Vec::new();
        let stream_window = limits.stream_window;
        match role {
            Role::Server => frame::write_settings(
                &[
                    (MAX_CONCURRENT_STREAMS, limits.streams),
                    (INITIAL_WINDOW_SIZE, stream_window),
                    (MAX_HEADER_LIST_SIZE, limits.block_bytes as u32),
                    (ENABLE_CONNECT_PROTOCOL, 1),
                ],
                &mut out,
            ),
            Role::Client => {
                out.extend_from_slice(PREFACE);
                frame::write_settings(
                    &[
                        (ENABLE_PUSH, 0),
                        (INITIAL_WINDOW_SIZE, stream_window),
                        (MAX_HEADER_LIST_SIZE, limits.block_bytes as u32),
                    ],
                    &mut out,
                );
            }
        }
        let more = i64::from(limits.connection_window) - FIRST_WINDOW;
        if more > 0 {
            frame::write_window_update(0, more as u32, &mut out);
        }
        Self {
            role,
            limits,
            remote: Remote {
                streams: u32::MAX,
                payload: PAYLOAD_BYTES,
                fields: u32::MAX,
                connect_protocol: false,
                window: FIRST_WINDOW,
            },
            decoder: Decoder::new(TABLE_BYTES),
            streams: BTreeMap::new(),
            unfinished: None,
            out,
            last: 0,
            greeted: 0,
            has_settings: false,
            send_window: FIRST_WINDOW,
            receive_window: FIRST_WINDOW + more.max(0),
            used: 0,
            widened: 0,
            ended: VecDeque::new(),
            closing: None,
            resets: Allowance::new(limits.resets),
            idle_frames: Allowance::new(limits.idle_frames),
            now: Duration::ZERO,
            has_begun: false,
        }
    }

    /// Takes what has come, as far as whole frames are there, and says how many bytes that were. `now`: since the connection
    /// began.
    ///
    /// # Errors
    /// The connection is over. GOAWAY is in [`Connection::out`].
    pub fn receive(
        &mut self,
        bytes: &[u8],
        now: Duration,
        sink: &mut impl Sink,
    ) -> Result<usize, Broken> {
        self.now = now;
        self.frames(bytes, sink).inspect_err(|broken| {
            let last = match self.role {
                Role::Server => self.closing.unwrap_or(self.last),
                Role::Client => 0,
            };
            frame::write_go_away(last, broken.code, &mut self.out);
        })
    }

    fn frames(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, Broken> {
        let mut rest = self.greet(bytes)?;
        while let Some(head) = FrameHead::read(rest) {
            if head.length > PAYLOAD_BYTES {
                return Err(ErrorCode::FRAME_SIZE_ERROR.into());
            }
            if !self.has_settings && (head.kind != Kind::Settings || head.has(ACK)) {
                return Err(ErrorCode::PROTOCOL_ERROR.into());
            }
            let Some(payload) = rest.get(HEAD_BYTES..HEAD_BYTES + head.length) else {
                break;
            };
            self.frame(&head, payload, sink)?;
            rest = rest.get(HEAD_BYTES + head.length..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }

    /// What follows the preface of a client.
    fn greet<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Broken> {
        if self.role == Role::Client || self.greeted == PREFACE.len() {
            return Ok(bytes);
        }
        let expected = PREFACE.get(self.greeted..).unwrap_or_default();
        let count = expected.len().min(bytes.len());
        let (front, rest) = bytes.split_at(count);
        if expected.get(..count) != Some(front) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        self.greeted += count;
        Ok(rest)
    }

    /// A frame that does nothing has come.
    fn idle_frame(&mut self) -> Result<(), Broken> {
        match self.idle_frames.take(self.now) {
            true => Ok(()),
            false => Err(calm(Reached::IdleFrames)),
        }
    }

    /// True for a stream that nobody has begun.
    fn is_idle(&self, stream: u32) -> bool {
        // Those with even numbers would be pushed, and nobody pushes.
        stream.is_multiple_of(2) || stream > self.last
    }
}
