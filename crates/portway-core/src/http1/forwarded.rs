//! What we tell the target about the client (X-Forwarded-*, and Forwarded of RFC 7239), and whom we believe the client to be.
//!
//! The peer is the only thing known for certain; what it says about those before it counts only if it is a trusted proxy.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::head::FieldList;
use super::known::{Known, KnownSet};
use super::list;
use super::rewrite::{write_decimal, write_field};

/// What happens to one of the forwarding fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ForwardedMode {
    /// Lists (X-Forwarded-For, Forwarded) get the peer at their end. The others are set by us; what a trusted peer sent stays.
    #[default]
    Append,
    /// What came is sent on, nothing is added.
    Preserve,
    /// The field is removed.
    Remove,
}

/// What happens to the forwarding fields of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardedFields {
    /// X-Forwarded-For. Default append.
    pub x_for: ForwardedMode,
    /// Whether X-Forwarded-For and Forwarded say the client's port too: `192.0.2.1:4711`, `[2001:db8::1]:4711`. Default no.
    pub client_port: bool,
    /// X-Forwarded-Proto, `http` or `https`. Default append.
    pub x_proto: ForwardedMode,
    /// X-Forwarded-Port, the port of the listener. Default append.
    pub x_port: ForwardedMode,
    /// X-Forwarded-Host, the host asked for. Default append.
    pub x_host: ForwardedMode,
    /// Forwarded. Default remove: a target that reads it must not believe a client that wrote it.
    pub forwarded: ForwardedMode,
}

impl Default for ForwardedFields {
    fn default() -> Self {
        ForwardedFields {
            x_for: ForwardedMode::Append,
            client_port: false,
            x_proto: ForwardedMode::Append,
            x_port: ForwardedMode::Append,
            x_host: ForwardedMode::Append,
            forwarded: ForwardedMode::Remove,
        }
    }
}

/// The connection that a request came on.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The other end, after the PROXY protocol if it is in use.
    pub peer: SocketAddr,
    /// Whether the peer is one of the trusted proxies.
    pub trusted: bool,
    /// Whether the client used TLS.
    pub https: bool,
    /// The port of the listener.
    pub listener_port: u16,
    /// Host and port asked for, as sent ([`super::RequestHead::authority`]).
    pub authority: &'a [u8],
}

impl ForwardedFields {
    /// The fields that [`super::copy_end_to_end`] must leave out, since they are removed or [`ForwardedFields::write`] writes them
    /// anew.
    pub fn replaced(&self, fields: &FieldList, trusted: bool) -> KnownSet {
        let lists = [
            (Known::XForwardedFor, self.x_for),
            (Known::Forwarded, self.forwarded),
        ];
        let facts = [
            (Known::XForwardedProto, self.x_proto),
            (Known::XForwardedPort, self.x_port),
            (Known::XForwardedHost, self.x_host),
        ];
        let lists = lists
            .into_iter()
            .filter(|(_, mode)| *mode != ForwardedMode::Preserve);
        let facts = facts.into_iter().filter(|(known, mode)| match mode {
            ForwardedMode::Append => !keeps(fields, *known, trusted),
            ForwardedMode::Preserve => false,
            ForwardedMode::Remove => true,
        });
        lists
            .chain(facts)
            .fold(KnownSet::EMPTY, |set, (known, _)| set.with(known))
    }

    /// Writes the fields that this hop adds.
    pub fn write(&self, fields: &FieldList, arena: &[u8], hop: &Hop<'_>, out: &mut Vec<u8>) {
        let port = self.client_port.then_some(hop.peer.port());
        if self.x_for == ForwardedMode::Append {
            out.extend_from_slice(b"X-Forwarded-For: ");
            write_list_so_far(fields, arena, Known::XForwardedFor, out);
            write_address(out, hop.peer.ip(), port);
            out.extend_from_slice(b"\r\n");
        }
        let sets =
            |mode, known| mode == ForwardedMode::Append && !keeps(fields, known, hop.trusted);
        if sets(self.x_proto, Known::XForwardedProto) {
            write_field(out, b"X-Forwarded-Proto", scheme(hop));
        }
        if sets(self.x_port, Known::XForwardedPort) {
            out.extend_from_slice(b"X-Forwarded-Port: ");
            write_decimal(out, u64::from(hop.listener_port));
            out.extend_from_slice(b"\r\n");
        }
        if sets(self.x_host, Known::XForwardedHost) && !hop.authority.is_empty() {
            write_field(out, b"X-Forwarded-Host", hop.authority);
        }
        if self.forwarded == ForwardedMode::Append {
            out.extend_from_slice(b"Forwarded: ");
            write_list_so_far(fields, arena, Known::Forwarded, out);
            write_element(out, hop, port);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether what a trusted peer said stays.
fn keeps(fields: &FieldList, known: Known, trusted: bool) -> bool {
    trusted && fields.contains(known)
}

fn scheme(hop: &Hop<'_>) -> &'static [u8] {
    if hop.https { b"https" } else { b"http" }
}

/// Writes the elements of all fields of the name as one list, with a comma at the end if there are any.
fn write_list_so_far(fields: &FieldList, arena: &[u8], known: Known, out: &mut Vec<u8>) {
    for value in fields
        .values(known, arena)
        .filter(|value| !value.is_empty())
    {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
}

/// Writes an address, with brackets for IPv6 only when a port follows: `2001:db8::1`, `[2001:db8::1]:4711`.
fn write_address(out: &mut Vec<u8>, address: IpAddr, port: Option<u16>) {
    // Writing to a vector cannot fail.
    let _ = match (address.to_canonical(), port) {
        (IpAddr::V4(address), port) => {
            write_ipv4(out, address.octets());
            port.map_or(Ok(()), |port| write!(out, ":{port}"))
        }
        (IpAddr::V6(address), None) => write!(out, "{address}"),
        (IpAddr::V6(address), Some(port)) => write!(out, "[{address}]:{port}"),
    };
}

fn write_ipv4(out: &mut Vec<u8>, octets: [u8; 4]) {
    for (place, octet) in octets.into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        if octet >= 100 {
            out.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            out.push(b'0' + octet / 10 % 10);
        }
        out.push(b'0' + octet % 10);
    }
}

/// Writes `for=…;host=…;proto=…` (RFC 7239 §4). What is not a token is quoted; IPv6 has brackets always (§6).
fn write_element(out: &mut Vec<u8>, hop: &Hop<'_>, port: Option<u16>) {
    // Writing to a vector cannot fail.
    let _ = match (hop.peer.ip().to_canonical(), port) {
        (IpAddr::V4(address), None) => write!(out, "for={address}"),
        (IpAddr::V4(address), Some(port)) => write!(out, "for=\"{address}:{port}\""),
        (IpAddr::V6(address), None) => write!(out, "for=\"[{address}]\""),
        (IpAddr::V6(address), Some(port)) => write!(out, "for=\"[{address}]:{port}\""),
    };
    if list::is_token(hop.authority) {
        out.extend_from_slice(b";host=");
        out.extend_from_slice(hop.authority);
    } else if !hop.authority.is_empty() {
        out.extend_from_slice(b";host=\"");
        for byte in hop.authority.iter().copied() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(scheme(hop));
}

/// The client's address: the peer, or when the peer is a trusted proxy, the rightmost address in X-Forwarded-For that is not
/// one. An element that is no address ends the search, and the last trusted address before it is the answer: nobody
/// vouches for what stands further left.
pub fn client_address(
    fields: &FieldList,
    arena: &[u8],
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer.to_canonical();
    let elements = fields
        .values(Known::XForwardedFor, arena)
        .rev()
        .flat_map(|value| list::elements(value).rev());
    for element in elements {
        if !is_trusted(client) {
            break;
        }
        match parse_address(element) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:80`.
fn parse_address(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<std::net::Ipv6Addr>()
            .ok()
            .map(IpAddr::V6)
    };
    address
        .or_else(bracketed)
        .map(|address| address.to_canonical())
}
