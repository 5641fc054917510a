//! The request target (RFC 9112 §3.2) and `uri-host [":" port]` (RFC 9110 §7.2), checked and taken apart once.

use std::net::Ipv6Addr;

use memchr::{memchr, memchr2, memrchr};

use super::head::{Method, RequestHead, Span, TargetForm, TargetParts};
use super::known::Known;
use super::refusal::Refusal;

/// Host and port as ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Authority {
    pub(super) whole: Span,
    pub(super) host: Span,
    pub(super) port: Option<u16>,
}

/// Takes a target apart. `offset` is where it starts in the arena. The tokeniser has refused spaces and control characters.
#[inline]
pub(super) fn parse_target(
    method: Method,
    target: &[u8],
    offset: usize,
    lenient: bool,
) -> Result<TargetParts, Refusal> {
    if !target.is_ascii() {
        return Err(Refusal::BadTarget);
    }
    if method == Method::Connect {
        return authority_form(target, offset);
    }
    match target {
        [b'/', ..] => {
            let (path, query) = path_and_query(target, offset)?;
            Ok(TargetParts {
                form: TargetForm::Origin,
                path,
                query,
                ..TargetParts::default()
            })
        }
        b"*" if method == Method::Options => Ok(TargetParts {
            form: TargetForm::Asterisk,
            path: Span::new(offset, offset + 1),
            ..TargetParts::default()
        }),
        b"*" => Err(Refusal::BadTargetForm),
        _ => absolute_form(target, offset, lenient),
    }
}

/// Splits at the first `?`; a fragment is not part of a request target (RFC 9112 §3.2.1).
#[inline]
fn path_and_query(bytes: &[u8], offset: usize) -> Result<(Span, Option<Span>), Refusal> {
    let end = offset + bytes.len();
    match memchr2(b'?', b'#', bytes) {
        None => Ok((Span::new(offset, end), None)),
        Some(at) if memchr(b'#', bytes.get(at..).unwrap_or_default()).is_some() => {
            Err(Refusal::BadTarget)
        }
        Some(at) => Ok((
            Span::new(offset, offset + at),
            Some(Span::new(offset + at + 1, end)),
        )),
    }
}

/// `http://authority/path?query`. User information is refused unless `lenient` (RFC 9110 §4.2.4), and so is an empty host
/// (§4.2.1).
#[cold]
fn absolute_form(target: &[u8], offset: usize, lenient: bool) -> Result<TargetParts, Refusal> {
    let scheme_len = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map(<[u8]>::len)
        .ok_or(Refusal::BadTarget)?;
    let rest = target.get(scheme_len..).unwrap_or_default();
    let authority_len = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(authority_len).unwrap_or_default();
    let user_len = match memrchr(b'@', authority) {
        Some(at) if lenient => at + 1,
        _ => 0,
    };
    let host = authority.get(user_len..).unwrap_or_default();
    let parsed = parse_authority(host, offset + scheme_len + user_len)?;
    if parsed.host.len == 0 {
        return Err(Refusal::BadHost);
    }
    let (path, query) = path_and_query(tail, offset + scheme_len + authority_len)?;
    Ok(TargetParts {
        form: TargetForm::Absolute,
        scheme: Span::new(offset, offset + scheme_len - "://".len()),
        authority: parsed.whole,
        host: parsed.host,
        port: parsed.port,
        path,
        query,
    })
}

/// `host:port`, the port being required (RFC 9112 §3.2.3, RFC 9110 §9.3.6).
#[cold]
fn authority_form(target: &[u8], offset: usize) -> Result<TargetParts, Refusal> {
    if memchr2(b'/', b'?', target).is_some() || target == b"*" {
        return Err(Refusal::BadTargetForm);
    }
    let parsed = parse_authority(target, offset)?;
    if parsed.host.len == 0 || parsed.port.unwrap_or(0) == 0 {
        return Err(Refusal::BadTarget);
    }
    Ok(TargetParts {
        form: TargetForm::Authority,
        authority: parsed.whole,
        host: parsed.host,
        port: parsed.port,
        ..TargetParts::default()
    })
}

/// Takes the port of the scheme, or an empty one, off the authority of a target in absolute form, and off Host with it, as
/// HAProxy does (RFC 3986 §6.2.3). What stands before the port in the target moves up to what stands behind it.
#[cold]
pub fn drop_default_port(head: &mut RequestHead, arena: &mut [u8]) {
    let parts = head.target;
    let https = parts.scheme.of(arena).eq_ignore_ascii_case(b"https");
    let default = if https { 443 } else { 80 };
    let port_len = parts.authority.len.saturating_sub(parts.host.len);
    if parts.form == TargetForm::Authority {
        return drop_port_of_connect(head, arena);
    }
    if parts.form != TargetForm::Absolute
        || port_len == 0
        || parts.port.is_some_and(|port| port != default)
    {
        return;
    }
    let (start, end) = (head.target_span.start as usize, parts.host.end());
    let moved = port_len as usize;
    let Some(before) = arena.get_mut(start..end + moved) else {
        return;
    };
    before.copy_within(..end - start, moved);
    head.target_span.start += port_len;
    head.target_span.len -= port_len;
    head.target.scheme.start += port_len;
    head.target.host.start += port_len;
    head.target.authority = head.target.host;
    head.target.port = None;
    for field in head
        .list
        .fields
        .iter_mut()
        .filter(|field| field.known == Known::Host)
    {
        if let Ok(host) = parse_authority(field.value.of(arena), field.value.start as usize) {
            field.plain &= field.value == host.host;
            field.value = host.host;
        }
    }
}

/// Takes the port 80 or 443 off the Host of a CONNECT that names it.
#[cold]
fn drop_port_of_connect(head: &mut RequestHead, arena: &[u8]) {
    for field in head
        .list
        .fields
        .iter_mut()
        .filter(|field| field.known == Known::Host)
    {
        match parse_authority(field.value.of(arena), field.value.start as usize) {
            Ok(host) if matches!(host.port, Some(80 | 443)) => {
                field.plain = false;
                field.value = host.host;
            }
            _ => {}
        }
    }
}

/// Whether Host says what the authority of the target says: the same host in any letter case, and the same port, where the
/// port of the scheme may be left out. A CONNECT tells of no scheme: both 80 and 443 may be left out of its Host.
#[cold]
pub(super) fn is_same_host(
    whole: Span,
    target: &TargetParts,
    field: &Authority,
    arena: &[u8],
) -> bool {
    let https = || {
        let scheme = whole.of(arena).get(..5).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"https")
    };
    let same_port = match (target.form, target.port, field.port) {
        (_, one, other) if one == other => true,
        (TargetForm::Authority, Some(port), None) => matches!(port, 80 | 443),
        (TargetForm::Absolute, one, other) => {
            let default = if https() { 443 } else { 80 };
            one.unwrap_or(default) == other.unwrap_or(default)
        }
        _ => false,
    };
    let (one, other) = (target.host.of(arena), field.host.of(arena));
    same_port && one.eq_ignore_ascii_case(other)
}

/// Checks `uri-host [":" port]` (RFC 3986 §3.2.2, §3.2.3). The host may be empty, the port too.
#[inline]
pub(super) fn parse_authority(bytes: &[u8], offset: usize) -> Result<Authority, Refusal> {
    let host_len = match bytes {
        [b'[', ..] => ipv6_literal_len(bytes)?,
        _ => reg_name_len(bytes)?,
    };
    let port = match bytes.get(host_len..).unwrap_or_default() {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(parse_port(digits)?),
        _ => return Err(Refusal::BadHost),
    };
    Ok(Authority {
        whole: Span::new(offset, offset + bytes.len()),
        host: Span::new(offset, offset + host_len),
        port,
    })
}

/// As [`parse_authority`]; what stands behind a colon may be no port if this is `lenient`, and is part of the host then.
#[inline]
pub(super) fn parse_host(bytes: &[u8], offset: usize, lenient: bool) -> Result<Authority, Refusal> {
    parse_authority(bytes, offset).or_else(|refusal| match lenient {
        true => without_port(bytes, offset).ok_or(refusal),
        false => Err(refusal),
    })
}

/// An authority whose bytes may all stand in one, however its colons stand.
#[cold]
fn without_port(bytes: &[u8], offset: usize) -> Option<Authority> {
    let mut parts = bytes.split(|byte| *byte == b':');
    let plain = parts.all(|part| reg_name_len(part) == Ok(part.len()));
    let whole = Span::new(offset, offset + bytes.len());
    plain.then_some(Authority {
        whole,
        host: whole,
        port: None,
    })
}

/// [`is_reg_name_byte`] by byte.
#[expect(
    clippy::indexing_slicing,
    reason = "computed when this is compiled: an index beyond the table would not compile"
)]
const REG_NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_reg_name_byte(byte as u8);
        byte += 1;
    }
    table
};

#[inline]
fn may_stand_in_name(byte: u8) -> bool {
    REG_NAME_BYTES.get(usize::from(byte)) == Some(&true)
}

/// The length of a `reg-name` or IPv4 address up to a colon or the end.
#[inline]
fn reg_name_len(bytes: &[u8]) -> Result<usize, Refusal> {
    let mut len = 0;
    loop {
        let rest = bytes.get(len..).unwrap_or_default();
        let plain = rest.iter().position(|byte| !may_stand_in_name(*byte));
        len += plain.unwrap_or(rest.len());
        match bytes.get(len..).unwrap_or_default() {
            [] | [b':', ..] => return Ok(len),
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                len += 3
            }
            _ => return Err(Refusal::BadHost),
        }
    }
}

/// `unreserved` and `sub-delims` (RFC 3986 §2).
#[inline]
const fn is_reg_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
        | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// The length of `[IPv6address]` with its brackets. Zone identifiers mean nothing to another machine and are refused.
#[cold]
fn ipv6_literal_len(bytes: &[u8]) -> Result<usize, Refusal> {
    let close = memchr(b']', bytes).ok_or(Refusal::BadHost)?;
    let address = bytes.get(1..close).unwrap_or_default();
    let text = std::str::from_utf8(address).map_err(|_| Refusal::BadHost)?;
    text.parse::<Ipv6Addr>().map_err(|_| Refusal::BadHost)?;
    Ok(close + 1)
}

fn parse_port(digits: &[u8]) -> Result<u16, Refusal> {
    digits.iter().try_fold(0u16, |port, digit| {
        let digit = digit
            .is_ascii_digit()
            .then(|| u16::from(digit - b'0'))
            .ok_or(Refusal::BadHost)?;
        port.checked_mul(10)
            .and_then(|tens| tens.checked_add(digit))
            .ok_or(Refusal::BadHost)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, parse_request};

    type Parts<'a> = (TargetForm, &'a str, Option<u16>, &'a str, Option<&'a str>);

    fn check(method: Method, target: &str, expected: Result<Parts<'_>, Refusal>) {
        let arena = format!("1234{target}");
        let found = parse_target(method, target.as_bytes(), 4, false);
        let text = |span: Span| std::str::from_utf8(span.of(arena.as_bytes())).unwrap();
        let found = found.map(|parts| {
            (
                parts.form,
                text(parts.host),
                parts.port,
                text(parts.path),
                parts.query.map(text),
            )
        });
        assert_eq!(found, expected, "{method:?} {target}");
    }

    #[test]
    fn origin_form() {
        use TargetForm::Origin;
        check(Method::Get, "/", Ok((Origin, "", None, "/", None)));
        check(
            Method::Get,
            "/a/b?c=d?e",
            Ok((Origin, "", None, "/a/b", Some("c=d?e"))),
        );
        check(Method::Get, "/a?", Ok((Origin, "", None, "/a", Some(""))));
        check(Method::Get, "//a/b", Ok((Origin, "", None, "//a/b", None)));
        check(
            Method::Get,
            "/\"<|>\\^`{}",
            Ok((Origin, "", None, "/\"<|>\\^`{}", None)),
        );
        check(Method::Get, "/a#b", Err(Refusal::BadTarget));
        check(Method::Get, "/a?b#c", Err(Refusal::BadTarget));
        check(Method::Get, "/\u{e9}", Err(Refusal::BadTarget));
        check(Method::Get, "a/b", Err(Refusal::BadTarget));
        check(Method::Get, "?a", Err(Refusal::BadTarget));
        check(Method::Connect, "/", Err(Refusal::BadTargetForm));
    }

    #[test]
    fn absolute_form() {
        use TargetForm::Absolute;
        check(Method::Get, "http://a", Ok((Absolute, "a", None, "", None)));
        check(
            Method::Get,
            "HTTP://a.example:80/b",
            Ok((Absolute, "a.example", Some(80), "/b", None)),
        );
        check(
            Method::Get,
            "https://a?b",
            Ok((Absolute, "a", None, "", Some("b"))),
        );
        check(
            Method::Get,
            "http://[::1]:8080/",
            Ok((Absolute, "[::1]", Some(8080), "/", None)),
        );
        check(
            Method::Get,
            "http://a:/",
            Ok((Absolute, "a", None, "/", None)),
        );
        check(Method::Get, "http:///b", Err(Refusal::BadHost));
        check(Method::Get, "http://:80/b", Err(Refusal::BadHost));
        check(Method::Get, "http://user@a/", Err(Refusal::BadHost));
        check(Method::Get, "http://user:word@a/", Err(Refusal::BadHost));
        check(Method::Get, "http://a/#b", Err(Refusal::BadTarget));
        check(Method::Get, "http://a#b", Err(Refusal::BadTarget));
        check(Method::Get, "ftp://a/", Err(Refusal::BadTarget));
        check(Method::Get, "a.example:80", Err(Refusal::BadTarget));
    }

    #[test]
    fn authority_and_asterisk_form() {
        check(
            Method::Connect,
            "a:443",
            Ok((TargetForm::Authority, "a", Some(443), "", None)),
        );
        check(
            Method::Connect,
            "[::1]:443",
            Ok((TargetForm::Authority, "[::1]", Some(443), "", None)),
        );
        for target in ["a", "a:", "a:0", ":443"] {
            check(Method::Connect, target, Err(Refusal::BadTarget));
        }
        check(Method::Connect, "http://a:443", Err(Refusal::BadTargetForm));
        check(Method::Connect, "*", Err(Refusal::BadTargetForm));
        check(
            Method::Options,
            "*",
            Ok((TargetForm::Asterisk, "", None, "*", None)),
        );
        check(Method::Get, "*", Err(Refusal::BadTargetForm));
        check(Method::Options, "**", Err(Refusal::BadTarget));
    }

    #[test]
    fn default_ports_are_dropped() {
        let check = |target: &str, host: &str, expected: (&str, &str)| {
            let mut arena = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
            let limits = HeadLimits {
                lenient: true,
                ..HeadLimits::default()
            };
            let mut head = RequestHead::new();
            parse_request(&arena, 0, &limits, &mut head);
            drop_default_port(&mut head, &mut arena);
            let field = head.fields().value(Known::Host, &arena).unwrap();
            assert_eq!(
                (head.target(&arena), field),
                (expected.0.as_bytes(), expected.1.as_bytes())
            );
            let (scheme, authority) = head.origin(&arena).unwrap();
            let path = head.written_path(&arena);
            let whole = [scheme, b"://", authority, path].concat();
            assert_eq!(whole, expected.0.as_bytes());
        };
        check("http://a:80/b", "a", ("http://a/b", "a"));
        check("http://u:p@a:80/b", "a:80", ("http://u:p@a/b", "a"));
        check("https://a:443/b", "a:443", ("https://a/b", "a"));
        check("http://a:/b", "a:80", ("http://a/b", "a"));
        check("http://a:80", "a:", ("http://a", "a"));
        check("http://a/b", "a:80", ("http://a/b", "a:80"));
        check("http://a:443/b", "a:443", ("http://a:443/b", "a:443"));
        check("https://a:80/b", "a:80", ("https://a:80/b", "a:80"));
    }

    #[test]
    fn hosts() {
        let check = |text: &str, expected: Result<(&str, Option<u16>), Refusal>| {
            let found = parse_authority(text.as_bytes(), 0);
            let found = found.map(|authority| {
                (
                    std::str::from_utf8(authority.host.of(text.as_bytes())).unwrap(),
                    authority.port,
                )
            });
            assert_eq!(found, expected, "{text:?}");
        };
        check("", Ok(("", None)));
        check("a", Ok(("a", None)));
        check("A_b.example", Ok(("A_b.example", None)));
        check("a:1", Ok(("a", Some(1))));
        check("a:65535", Ok(("a", Some(65535))));
        check("a:", Ok(("a", None)));
        check("%41b", Ok(("%41b", None)));
        check("127.0.0.1:80", Ok(("127.0.0.1", Some(80))));
        check("[::1]", Ok(("[::1]", None)));
        check("[::ffff:1.2.3.4]:80", Ok(("[::ffff:1.2.3.4]", Some(80))));
        for text in [
            "a:65536",
            "a:x",
            "a:+1",
            "a:-1",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[]",
            "[a]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "%4",
            "%zz",
            "%",
            "a\"",
            "a<",
            "a\\b",
            "\u{e9}",
            "a]",
        ] {
            check(text, Err(Refusal::BadHost));
        }
    }
}
