//! What a target of a stream sends first, as rules of its group see it.

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerPart {
    /// Number: bytes that have come.
    Length,
    /// Bytes of it.
    Bytes {
        /// First byte.
        offset: u32,
        /// Bytes; 0: all there is.
        length: u32,
    },
    /// A block whose length stands before it, big-endian.
    Block {
        /// First byte of the length.
        length_at: u32,
        /// Bytes of the length, 1–4.
        length_bytes: u8,
        /// First byte of the block.
        at: u32,
    },
    /// Number: handshake type, 2 for a ServerHello.
    HelloType,
    /// The id of the session in a ServerHello; absent where it has none.
    SessionId,
}
