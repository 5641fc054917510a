//! HPACK, the compression of fields in HTTP/2 (RFC 7541).
//!
//! What comes is read whatever its sender makes of it: all representations, both codings of strings, a dynamic table of the size
//! that we offer. What we send uses the static table alone and no coding of strings: it costs the least, holds no memory for a
//! connection, and lets nobody learn of a secret by how well it is compressed (section 7.1).

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod static_table;
mod table;

#[cfg(test)]
mod tests;

pub use self::decoder::{Decoder, Fault};
pub use self::encoder::{NO_TABLE, begin, field, status};
