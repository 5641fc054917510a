//! The PROXY protocol: who the client of a proxy in front of us is, and telling a target who ours is.
//!
//! Both versions of the specification of HAProxy (`doc/proxy-protocol.txt`, 2020/03/05): a line of text, and a binary
//! header that may tell more. A header is read whole or not at all; whatever does not fit is [`Read::Refused`], and
//! the connection with it, because everything behind it would be believed of the wrong client.

mod checksum;
mod parts;
mod read;
mod write;

pub use parts::{Part, Parts};
pub use read::{Header, MAX_HEADER, Read, begins_header, read};
pub use write::{Tell, TellCertificate, TellTls, write_v1, write_v2};

use std::net::SocketAddr;

/// Both ends of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// What a header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2 and the commands LOCAL and PROXY.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Families with the protocol TCP.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// A stream of a UNIX socket.
const UNIX: u8 = 0x31;

/// The type of the part that tells of the client's TLS.
pub const TYPE_OF_TLS: u8 = parts::kind::SSL;

/// Bits of what [`parts::kind::SSL`] says of the client: it speaks TLS, it showed a certificate on this connection, and in
/// this session.
const CLIENT_TLS: u8 = 0x01;
const CERTIFICATE_NOW: u8 = 0x02;
const CERTIFICATE_IN_SESSION: u8 = 0x04;

#[cfg(test)]
mod tests;
