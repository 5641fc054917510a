//! HTTP/2 (RFC 9113): what comes and goes as bytes, decided without I/O.

mod connection;
mod frame;
pub mod hpack;
mod limits;
mod request;
mod response;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod translation_tests;

pub use self::connection::{Block, Broken, Connection, Reached, Remote, Role, Sink};
pub use self::frame::{ErrorCode, HEAD_BYTES, PAYLOAD_BYTES, PREFACE, write_data_head};
pub use self::limits::{Limits, Rate};
pub use self::request::{Body, RequestFields, Unfit};
pub use self::response::{Asked, NoResponse, ResponseFrames};
