//! What is sent on: start lines in the one correct form and the fields that are not meant for this connection only
//! (RFC 9110 §7.6.1).
//!
//! Runs of fields that stand in the read buffer as they must leave are copied in one piece, so an ordinary head costs a few
//! `memcpy` however many fields it has.

use super::head::{Field, FieldList, Version};
use super::known::{Known, KnownSet};
use super::list;

/// Fields that end at this connection: left out of what is sent on, whatever Connection says.
///
/// The three of proxy authentication concern the next proxy (RFC 9110 §11.7); a target that is itself a proxy needs them:
/// [`HOP_BY_HOP_BUT_PROXY`].
pub const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
    Known::ProxyAuthenticate,
    Known::ProxyAuthenticationInfo,
    Known::ProxyAuthorization,
]);

/// The same without those of proxy authentication: towards and from a target that is itself a proxy.
pub const HOP_BY_HOP_BUT_PROXY: KnownSet = HOP_BY_HOP
    .without(Known::ProxyAuthenticate)
    .without(Known::ProxyAuthenticationInfo)
    .without(Known::ProxyAuthorization);

/// Copies the fields that go on, in order, each as `Name: value CRLF`.
///
/// Left out are the names in `drop` (start from [`HOP_BY_HOP`]) and the fields that a Connection option names, but only if
/// their name is [`Known::Other`]. All other known names are protected: a client that could make the proxy remove Host,
/// Content-Length, Cookie, Authorization, X-Forwarded-For and the like from its own request with `Connection: cookie` would
/// change framing, slip past authentication or hide its address behind the proxy's ("hop-by-hop header abuse"); and an option
/// must not name a field meant for every recipient anyway (RFC 9110 §7.6.1). Add fields that rules set after this call.
pub fn copy_end_to_end(fields: &FieldList, arena: &[u8], drop: KnownSet, out: &mut Vec<u8>) {
    copy_end_to_end_but(fields, arena, drop, |_| false, out);
}

/// As [`copy_end_to_end`], without the fields of other names that `leaves_out` says too.
pub fn copy_end_to_end_but(
    fields: &FieldList,
    arena: &[u8],
    drop: KnownSet,
    leaves_out: impl Fn(&[u8]) -> bool,
    out: &mut Vec<u8>,
) {
    let names_fields = fields.connection().names_fields;
    // The bytes start..end of the arena are to be copied as they are.
    let (mut start, mut end) = (0, 0);
    for field in fields.as_slice() {
        let dropped = drop.contains(field.known)
            || (field.known == Known::Other
                && ((names_fields && is_named(fields, field, arena))
                    || leaves_out(field.name.of(arena))));
        if field.plain && !dropped {
            let line_start = field.name.start as usize;
            if line_start != end {
                copy_run(arena, start, end, out);
                start = line_start;
            }
            end = field.value.end() + 2;
        } else if !dropped {
            copy_run(arena, start, end, out);
            (start, end) = (0, 0);
            write_field(out, field.name.of(arena), canonical_value(field, arena));
        }
    }
    copy_run(arena, start, end, out);
}

#[inline]
fn copy_run(arena: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(arena.get(start..end).unwrap_or_default());
}

#[cold]
fn is_named(fields: &FieldList, field: &Field, arena: &[u8]) -> bool {
    fields.list_contains(Known::Connection, arena, field.name.of(arena))
}

/// The value as received, but a length without leading zeros.
fn canonical_value<'a>(field: &Field, arena: &'a [u8]) -> &'a [u8] {
    let mut value = field.value.of(arena);
    if field.known == Known::ContentLength {
        while let [b'0', b'0'..=b'9', ..] = value {
            value = value.get(1..).unwrap_or_default();
        }
    }
    value
}

/// Writes `method path[?query] version CRLF`. For a CONNECT that is sent on, the path is the authority.
pub fn write_request_line(
    out: &mut Vec<u8>,
    method: &[u8],
    path: &[u8],
    query: Option<&[u8]>,
    version: Version,
) {
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(path);
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(match version {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
    });
}

/// Writes `HTTP/1.1 status reason CRLF`. The version is always ours (RFC 9110 §2.5); the space before an empty reason stays
/// (RFC 9112 §4).
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Writes `name: value CRLF`. The caller vouches that the name is a token and the value has no control characters.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a Content-Length field.
pub fn write_content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Writes `Transfer-Encoding: chunked`.
pub fn write_transfer_chunked(out: &mut Vec<u8>) {
    out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
}

/// Writes `Connection: upgrade` and the Upgrade field of the message, for an upgrade that is passed through
/// ([`super::RequestFraming::upgrade`], or the 101 that answers it). Nothing when the message has no Upgrade.
pub fn write_upgrade(fields: &FieldList, arena: &[u8], out: &mut Vec<u8>) {
    let mut protocols = fields
        .values(Known::Upgrade, arena)
        .flat_map(list::elements);
    if let Some(first) = protocols.next() {
        out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
        out.extend_from_slice(first);
        for protocol in protocols {
            out.extend_from_slice(b", ");
            out.extend_from_slice(protocol);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the empty line that ends a head.
pub fn write_end_of_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes a decimal number. Twice an exchange: by hand it costs a fraction of what `write!` does.
pub(super) fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        // Below ten, so it fits.
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 99, 100, 8080, u64::from(u32::MAX), u64::MAX] {
            let mut out = b"x".to_vec();
            write_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }
}
