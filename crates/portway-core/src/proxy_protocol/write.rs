//! Writes a header.

use super::{
    CERTIFICATE_IN_SESSION, CERTIFICATE_NOW, CLIENT_TLS, Ends, LOCAL, PROXY, SIGNATURE, TCP4, TCP6,
    checksum::crc32c, parts::kind,
};
use std::io::Write;
use std::net::IpAddr;

/// Bytes of a value that is told at most; longer ones are left out. Names of hosts, protocols and requests are shorter.
const MAX_VALUE: usize = 1024;

/// What version 2 tells beside the addresses; absent parts are not told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tell<'a> {
    /// The ALPN protocol that was agreed on.
    pub alpn: Option<&'a [u8]>,
    /// The name that the client asked for.
    pub authority: Option<&'a [u8]>,
    /// What identifies the connection.
    pub unique_id: Option<&'a [u8]>,
    /// The client's TLS; told as absent where the client speaks none.
    pub tls: Option<TellTls<'a>>,
    /// A checksum is told.
    pub checksum: bool,
    /// What else is told, as another header told it.
    pub others: &'a [(u8, &'a [u8])],
}

impl Tell<'_> {
    /// Whether something is told in a part of this type: of TLS, where the client speaks it.
    pub fn says(&self, of: u8) -> bool {
        match of {
            kind::ALPN => self.alpn.is_some(),
            kind::AUTHORITY => self.authority.is_some(),
            kind::UNIQUE_ID => self.unique_id.is_some(),
            kind::SSL => self.tls.is_some_and(|tls| tls.spoken),
            kind::CRC32C => self.checksum,
            _ => false,
        }
    }
}

/// What is told of the client's TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct TellTls<'a> {
    /// The client speaks TLS.
    pub spoken: bool,
    /// The certificate that it showed.
    pub certificate: Option<TellCertificate>,
    /// The version, such as `TLSv1.3`.
    pub version: Option<&'a [u8]>,
    /// The common name of the client's certificate.
    pub common_name: Option<&'a [u8]>,
    /// The key of the certificate that the client was shown, `RSA2048`.
    pub key: Option<&'a [u8]>,
    /// What that certificate is signed with, `RSA-SHA256`.
    pub signature: Option<&'a [u8]>,
    /// The cipher suite.
    pub cipher: Option<&'a [u8]>,
}

/// What is told of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TellCertificate {
    /// It was shown before: the session is resumed.
    pub resumed: bool,
    /// What was found of it, by OpenSSL's numbers, as HAProxy tells it; 0: it is good.
    pub verify: u32,
}

/// Appends the line of version 1. `None`: this is a connection of our own, or the client did not come over TCP.
pub fn write_v1(ends: Option<Ends>, out: &mut Vec<u8>) {
    let ends = ends.map(|ends| {
        let (source, destination) = (ends.source.ip(), ends.destination.ip());
        (source.to_canonical(), destination.to_canonical(), ends)
    });
    // Writing to a vector cannot fail.
    let _ = match ends {
        Some((source, destination, ends)) if source.is_ipv4() == destination.is_ipv4() => write!(
            out,
            "PROXY TCP{} {source} {destination} {} {}\r\n",
            if source.is_ipv4() { 4 } else { 6 },
            ends.source.port(),
            ends.destination.port()
        ),
        _ => write!(out, "PROXY UNKNOWN\r\n"),
    };
}

/// Appends the header of version 2. `None`: this is a connection of our own (LOCAL).
pub fn write_v2(ends: Option<Ends>, tell: Tell<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&SIGNATURE);
    out.push(if ends.is_some() { PROXY } else { LOCAL });
    match ends.map(|ends| {
        (
            ends.source.ip().to_canonical(),
            ends.destination.ip().to_canonical(),
            ends,
        )
    }) {
        Some((IpAddr::V4(source), IpAddr::V4(destination), ends)) => {
            out.extend_from_slice(&[TCP4, 0, 0]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
            write_ports(ends, out);
        }
        Some((source, destination, ends)) => {
            let v6 = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            out.extend_from_slice(&[TCP6, 0, 0]);
            out.extend_from_slice(&v6(source).octets());
            out.extend_from_slice(&v6(destination).octets());
            write_ports(ends, out);
        }
        None => out.extend_from_slice(&[0, 0, 0]),
    }
    let sum_at = write_parts(tell, out);
    let length = u16::try_from(out.len() - start - SIGNATURE.len() - 4).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(start + 14..start + 16) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    let sum = crc32c(&[out.get(start..).unwrap_or_default()]).to_be_bytes();
    if let Some(place) = sum_at.and_then(|at| out.get_mut(at..at + 4)) {
        place.copy_from_slice(&sum);
    }
}

fn write_ports(ends: Ends, out: &mut Vec<u8>) {
    out.extend_from_slice(&ends.source.port().to_be_bytes());
    out.extend_from_slice(&ends.destination.port().to_be_bytes());
}

/// Appends everything but the addresses; says where the checksum, now zeroes, is to stand.
fn write_parts(tell: Tell<'_>, out: &mut Vec<u8>) -> Option<usize> {
    let sum_at = tell.checksum.then(|| {
        write_part(kind::CRC32C, Some(&[0; 4]), out);
        out.len() - 4
    });
    write_part(kind::ALPN, tell.alpn, out);
    write_part(kind::AUTHORITY, tell.authority, out);
    write_part(kind::UNIQUE_ID, tell.unique_id, out);
    if let Some(tls) = tell.tls {
        let mut value = Vec::new();
        let bits = if tls.spoken { CLIENT_TLS } else { 0 };
        let certificate = match tls.certificate {
            None => 0,
            Some(TellCertificate { resumed: true, .. }) => CERTIFICATE_IN_SESSION,
            Some(_) => CERTIFICATE_NOW | CERTIFICATE_IN_SESSION,
        };
        // 0 says that there is one that was verified.
        let verify = tls.certificate.map_or(1, |certificate| certificate.verify);
        value.push(bits | certificate);
        value.extend_from_slice(&verify.to_be_bytes());
        if tls.spoken {
            write_part(kind::SSL_VERSION, tls.version, &mut value);
            write_part(kind::SSL_CN, tls.common_name, &mut value);
            write_part(kind::SSL_KEY, tls.key, &mut value);
            write_part(kind::SSL_SIGNATURE, tls.signature, &mut value);
            write_part(kind::SSL_CIPHER, tls.cipher, &mut value);
        }
        // At most five values and a few bytes.
        let length = u16::try_from(value.len()).unwrap_or_default();
        out.push(kind::SSL);
        out.extend_from_slice(&length.to_be_bytes());
        out.append(&mut value);
    }
    for (kind, value) in tell.others {
        // It stood in a header before.
        let length = u16::try_from(value.len()).unwrap_or_default();
        out.push(*kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
    }
    sum_at
}

fn write_part(kind: u8, value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value.filter(|value| value.len() <= MAX_VALUE) else {
        return;
    };
    let length = u16::try_from(value.len()).unwrap_or_default();
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}
