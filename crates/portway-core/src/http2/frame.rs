//! Frames (RFC 9113 sections 4 and 6): their heads, what stands in them, and how ours are written.

/// Bytes of a frame's head.
pub const HEAD_BYTES: usize = 9;
/// Where the flags stand in it.
const FLAGS_AT: usize = 4;
/// What a client sends before its first frame (section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The payload that every peer takes; the most that we take too.
pub const PAYLOAD_BYTES: usize = 16_384;
/// The largest window (section 6.9.1).
pub(super) const MAX_WINDOW: i64 = (1 << 31) - 1;

/// The end of a stream's direction: of DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// The block of fields is whole: of HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;
/// The payload begins with the length of padding: of DATA and HEADERS.
pub(super) const PADDED: u8 = 0x8;
/// The block has a priority in front: of HEADERS.
pub(super) const PRIORITY: u8 = 0x20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A part of a body.
    Data,
    /// The beginning of a block of fields.
    Headers,
    /// Obsolete.
    Priority,
    /// The end of a stream before its time.
    RstStream,
    /// Settings, or that they were taken.
    Settings,
    /// Never wanted.
    PushPromise,
    /// A question whether the other side is there, or the answer.
    Ping,
    /// No further streams.
    GoAway,
    /// More may be sent.
    WindowUpdate,
    /// More of a block of fields.
    Continuation,
    /// To be passed over (section 5.5).
    Unknown,
}

impl Kind {
    fn of(code: u8) -> Self {
        match code {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Unknown,
        }
    }
}

/// Why a stream or a connection ends (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// Something that the protocol does not allow.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// A fault of our own.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More was sent than the window allows.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// Something was sent on a stream whose sender had ended it.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame is not as long as it has to be.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Nothing was done for the stream.
    pub const REFUSED_STREAM: Self = Self(7);
    /// Nobody wants the answer any more.
    pub const CANCEL: Self = Self(8);
    /// A block of fields cannot be read.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// What CONNECT led to has failed.
    pub const CONNECT_ERROR: Self = Self(10);
    /// Too much of something that does nothing.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    /// TLS is not good enough.
    pub const INADEQUATE_SECURITY: Self = Self(12);
    /// The request is to be made over HTTP/1.1.
    pub const HTTP_1_1_REQUIRED: Self = Self(13);
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of the payload.
    pub length: usize,
    /// What it is.
    pub kind: Kind,
    /// What is said beside.
    pub flags: u8,
    /// Whose it is; 0: the connection's.
    pub stream: u32,
}

impl FrameHead {
    /// Reads a head; `None`: there are not enough bytes.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes(stream) & 0x7FFF_FFFF,
        })
    }

    /// True where it says this.
    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes a head.
#[inline]
pub(super) fn write_head(kind: u8, flags: u8, stream: u32, length: usize, out: &mut Vec<u8>) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// Writes the head of a DATA frame; its payload follows.
#[inline]
pub fn write_data_head(stream: u32, length: usize, end: bool, out: &mut Vec<u8>) {
    write_head(0, u8::from(end) * END_STREAM, stream, length, out);
}

/// Lets the DATA frame that begins at this place be the last of its stream.
pub(super) fn say_end(out: &mut [u8], at: usize) {
    if let Some(flags) = out.get_mut(at + FLAGS_AT) {
        *flags |= END_STREAM;
    }
}

/// Writes a block of fields, in as many frames of at most `payload` bytes as it takes.
pub(super) fn write_block(stream: u32, block: &[u8], end: bool, payload: usize, out: &mut Vec<u8>) {
    let mut rest = block;
    let mut first = true;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(payload));
        rest = behind;
        let whole = u8::from(rest.is_empty()) * END_HEADERS;
        let (kind, flags) = match first {
            true => (1, whole | (u8::from(end) * END_STREAM)),
            false => (9, whole),
        };
        write_head(kind, flags, stream, piece.len(), out);
        out.extend_from_slice(piece);
        first = false;
        if rest.is_empty() {
            return;
        }
    }
}

/// Writes RST_STREAM.
pub(super) fn write_reset(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write_head(3, 0, stream, 4, out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Writes GOAWAY: streams up to `last` may have been looked at.
pub(super) fn write_go_away(last: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write_head(7, 0, 0, 8, out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Writes WINDOW_UPDATE.
#[inline]
pub(super) fn write_window_update(stream: u32, more: u32, out: &mut Vec<u8>) {
    write_head(8, 0, stream, 4, out);
    out.extend_from_slice(&more.to_be_bytes());
}

/// Writes PING or the answer to one.
pub(super) fn write_ping(payload: [u8; 8], ack: bool, out: &mut Vec<u8>) {
    write_head(6, u8::from(ack) * ACK, 0, 8, out);
    out.extend_from_slice(&payload);
}

/// Writes settings.
pub(super) fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    write_head(4, 0, 0, settings.len() * 6, out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Writes that settings were taken.
pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    write_head(4, ACK, 0, 0, out);
}

/// What stands between the padding's length and the padding; `None`: there is more padding than payload.
#[inline]
pub(super) fn without_padding<'p>(head: &FrameHead, payload: &'p [u8]) -> Option<&'p [u8]> {
    if !head.has(PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    let length = rest.len().checked_sub(usize::from(*padding))?;
    rest.get(..length)
}

/// A number of four bytes at the front of a payload.
#[inline]
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}
