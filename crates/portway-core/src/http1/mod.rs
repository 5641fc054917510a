//! The HTTP/1.1 engine without I/O: heads, framing, chunked coding and what a proxy changes in them (RFC 9110, RFC 9112).
//!
//! Strict in, canonical out: a message whose end could be read in two ways is refused with a [`Refusal`] that names the
//! reason, and what is sent has one form whatever came in. Everything works on buffers of the caller: a head is ranges
//! over the read buffer ([`RequestHead`], [`ResponseHead`]), output is appended to a `Vec<u8>`, and nothing is allocated
//! while their capacity suffices (but for what is rare: HTTP/1.2 and later, trailer fields with odd whitespace).
//!
//! | file | decides |
//! |---|---|
//! | `parse.rs` | whether bytes are a head, and which |
//! | `lines.rs` | what exactly is wrong with a refused head; trailer fields |
//! | `target.rs` | request target and host |
//! | `framing.rs` | where the body ends, and whether the connection goes on |
//! | `chunked.rs` | the chunked coding, in and out |
//! | `rewrite.rs` | what is sent on: start lines, end-to-end fields |
//! | `forwarded.rs` | X-Forwarded-*, Forwarded, the client's address |
//! | `request_id.rs` | the form of a request id |

mod chunked;
mod forwarded;
mod framing;
mod head;
mod known;
mod lines;
mod list;
mod parse;
mod refusal;
mod request_id;
mod rewrite;
mod target;

pub use chunked::{
    ChunkedLimits, Decoded, Decoder, LAST_CHUNK, write_chunk_head, write_last_chunk,
};
pub use forwarded::{ForwardedFields, ForwardedMode, Hop, client_address};
pub use framing::{
    BodyLength, RequestFraming, ResponseBody, ResponseFraming, request_framing, response_framing,
};
pub use head::{
    ConnectionOptions, Field, FieldList, Method, RequestHead, ResponseHead, Span, TargetForm,
    Version,
};
pub use known::{Known, KnownSet};
pub use list::{elements, is_token};
pub use parse::{
    HeadLimits, MAX_CONNECTION_OPTIONS, MAX_HEAD_BYTES, MAX_LEADING_EMPTY_LINES, MAX_METHOD_BYTES,
    Parsed, STACK_FIELDS, parse_request, parse_response,
};
pub use refusal::Refusal;
pub use request_id::{RequestId, is_acceptable_request_id};
pub use rewrite::{
    HOP_BY_HOP, HOP_BY_HOP_BUT_PROXY, copy_end_to_end, copy_end_to_end_but, write_content_length,
    write_end_of_head, write_field, write_request_line, write_status_line, write_transfer_chunked,
    write_upgrade,
};
pub use target::drop_default_port;
