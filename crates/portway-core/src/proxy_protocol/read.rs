//! Reads a header.

use super::{
    Ends, LOCAL, PROXY, Parts, SIGNATURE, TCP4, TCP6, UNIX, checksum::crc32c, parts::kind,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a header at most, HAProxy's: what it reads at once. The largest that is sent in practice, with a
/// certificate's name in it, has some hundred.
pub const MAX_HEADER: usize = 16 * 1024;
/// Bytes of a header of version 1 at most, line end included: section 2.1 of the specification.
const MAX_LINE: usize = 107;
/// Bytes of the addresses of UNIX sockets: two paths of 108.
const UNIX_ADDRESSES: usize = 216;
/// Bytes of a name and of an id of a connection at most: sections 2.2.2 and 2.2.4 for the id, HAProxy for the name.
const MAX_AUTHORITY: usize = 255;
const MAX_UNIQUE_ID: usize = 128;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read<'b> {
    /// The beginning of a header.
    Partial,
    /// A header of this many bytes.
    Whole(Header<'b>, usize),
    /// No header.
    Refused,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header<'b> {
    /// Both ends; `None`: those of the connection itself, since the proxy speaks for itself (LOCAL, a health check of
    /// it), or does not know (UNKNOWN), or the client did not come over TCP.
    pub ends: Option<Ends>,
    /// What it tells beside them.
    pub parts: Parts<'b>,
}

/// Looks at the first bytes of a connection, all that have come.
pub fn read(bytes: &[u8]) -> Read<'_> {
    let signed = bytes.len().min(SIGNATURE.len());
    if bytes.get(..signed) == SIGNATURE.get(..signed) && !bytes.is_empty() {
        return binary(bytes);
    }
    line(bytes)
}

/// True for what begins as headers of either version do, whole or not, damaged or not: the client means one.
pub fn begins_header(bytes: &[u8]) -> bool {
    bytes.starts_with(START) || bytes.starts_with(&SIGNATURE)
}

/// What a header of version 1 begins with.
const START: &[u8] = b"PROXY ";

fn line(bytes: &[u8]) -> Read<'_> {
    let begun = bytes.len().min(START.len());
    if bytes.get(..begun) != START.get(..begun) {
        return Read::Refused;
    }
    let searched = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
        return if searched.len() < MAX_LINE {
            Read::Partial
        } else {
            Read::Refused
        };
    };
    let text = searched
        .get(START.len()..end)
        .and_then(|line| line.strip_suffix(b"\r"))
        .and_then(|line| std::str::from_utf8(line).ok());
    match text.and_then(ends_of_line) {
        Some(ends) => {
            let header = Header {
                ends,
                ..Header::default()
            };
            Read::Whole(header, end + 1)
        }
        None => Read::Refused,
    }
}

/// The part of a line behind `PROXY `; `None`: it is not as it should be.
fn ends_of_line(text: &str) -> Option<Option<Ends>> {
    let mut words = text.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse().ok().map(IpAddr::V4),
        "TCP6" => text.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    Some(Some(Ends {
        source: SocketAddr::new(address(source)?, source_port),
        destination: SocketAddr::new(address(destination)?, destination_port),
    }))
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn binary(bytes: &[u8]) -> Read<'_> {
    let Some([command, family, high, low]) = bytes.get(12..16) else {
        return match bytes.get(12) {
            Some(command) if !matches!(*command, LOCAL | PROXY) => Read::Refused,
            _ => Read::Partial,
        };
    };
    let length = 16 + usize::from(u16::from_be_bytes([*high, *low]));
    if !matches!(*command, LOCAL | PROXY) || length > MAX_HEADER {
        return Read::Refused;
    }
    let Some(whole) = bytes.get(..length) else {
        return Read::Partial;
    };
    let content = whole.get(16..).unwrap_or_default();
    let header = if *command == LOCAL {
        // Nothing of it is to be used (section 2.2).
        Some(Header::default())
    } else {
        proxied(*family, content).filter(|_| is_sound(whole))
    };
    header.map_or(Read::Refused, |header| Read::Whole(header, length))
}

/// What a header with the command PROXY says; `None`: it is not as it should be.
fn proxied(family: u8, content: &[u8]) -> Option<Header<'_>> {
    let (ends, parts) = match family {
        TCP4 => {
            let (addresses, parts) = content.split_first_chunk::<12>()?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            let source = Ipv4Addr::new(a, b, c, d).into();
            let destination = Ipv4Addr::new(e, f, g, h).into();
            (Some(ends(source, destination, ports)), parts)
        }
        TCP6 => {
            let (source, rest) = content.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            let (ports, parts) = rest.split_first_chunk::<4>()?;
            let source = Ipv6Addr::from(*source).into();
            let destination = Ipv6Addr::from(*destination).into();
            (Some(ends(source, destination, *ports)), parts)
        }
        UNIX => (None, content.get(UNIX_ADDRESSES..)?),
        // Another family: what it says of addresses is not used, and where they end is not known.
        _ => (None, &[][..]),
    };
    let parts = Parts::checked(parts)?;
    let fits = |of: u8, most: usize| {
        parts
            .each()
            .all(|(it, value)| it != of || value.len() <= most)
    };
    let fit = fits(kind::AUTHORITY, MAX_AUTHORITY) && fits(kind::UNIQUE_ID, MAX_UNIQUE_ID);
    fit.then_some(Header { ends, parts })
}

fn ends(source: IpAddr, destination: IpAddr, ports: [u8; 4]) -> Ends {
    let [a, b, c, d] = ports;
    Ends {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    }
}

/// Whether the checksum is right, where there is one: computed with zeroes in its place (section 2.2.3).
fn is_sound(header: &[u8]) -> bool {
    let addresses = match header.get(13) {
        Some(&TCP4) => 12,
        Some(&TCP6) => 36,
        Some(&UNIX) => UNIX_ADDRESSES,
        _ => return true,
    };
    let mut at = 16 + addresses;
    let parts = header.get(at..).and_then(Parts::checked);
    for (of, value) in parts.unwrap_or_default().each() {
        at += 3;
        if of == kind::CRC32C {
            let (Some(front), Some(back), Ok(said)) = (
                header.get(..at),
                header.get(at + value.len()..),
                <[u8; 4]>::try_from(value),
            ) else {
                return false;
            };
            return crc32c(&[front, &[0; 4], back]) == u32::from_be_bytes(said);
        }
        at += value.len();
    }
    true
}
