//! The slow, exact reading of lines: it says what is wrong with a head that the fast tokeniser refused, and checks trailer
//! fields. It runs for refused messages and trailers only, so it is written for clarity.

use super::list::{is_token_byte, is_value_byte, trim};
use super::refusal::Refusal;
use std::ops::RangeInclusive;

/// Where the parts of a field line stand, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldLine<'a> {
    pub(super) name: &'a [u8],
    /// Without the whitespace around it.
    pub(super) value: &'a [u8],
}

/// The first fault of a request head, in the order of its bytes. `head` starts at the request line and may be incomplete.
/// `None` when every line received so far is well-formed; a later minor version is.
#[cold]
pub(super) fn request_fault(head: &[u8]) -> Option<Refusal> {
    if head.first() == Some(&0x16) {
        return Some(Refusal::TlsOnPlainPort);
    }
    if head.starts_with(b"PRI * HTTP/2.0\r\n") {
        return Some(Refusal::Http2Preface);
    }
    let (line, fields) = split_line(head);
    request_line_fault(line).or_else(|| fields_fault(fields))
}

/// The first fault of a response head, like [`request_fault`].
#[cold]
pub(super) fn response_fault(head: &[u8]) -> Option<Refusal> {
    let (line, fields) = split_line(head);
    status_line_fault(line).or_else(|| fields_fault(fields))
}

/// Where the minor version digit stands when the request line or status line says a version later than HTTP/1.1, of one of
/// these major versions.
#[cold]
pub(super) fn later_version(
    head: &[u8],
    in_status_line: bool,
    major: RangeInclusive<u8>,
) -> Option<usize> {
    let (line, _) = split_line(head);
    let version_start = if in_status_line {
        0
    } else {
        line.iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b' ')
            .nth(1)?
            .0
            + 1
    };
    match line.get(version_start..)? {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            first,
            b'.',
            minor @ b'0'..=b'9',
            ..,
        ] if major.contains(first) && (*first > b'1' || *minor > b'1') => Some(version_start + 7),
        _ => None,
    }
}

/// Takes a complete field line apart, CRLF included.
pub(super) fn parse_field_line(line: &[u8]) -> Result<FieldLine<'_>, Refusal> {
    if let Some(fault) = field_line_fault(line) {
        return Err(fault);
    }
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(Refusal::MissingColon)?;
    let (name, rest) = line.split_at_checked(colon).unwrap_or_default();
    let value = rest
        .get(1..rest.len().saturating_sub(2))
        .unwrap_or_default();
    Ok(FieldLine {
        name,
        value: trim(value),
    })
}

/// Splits after the first LF; everything is the line when there is none.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    bytes.split_at_checked(len).unwrap_or((bytes, &[]))
}

fn request_line_fault(line: &[u8]) -> Option<Refusal> {
    let method_len = line.iter().position(|byte| !is_token_byte(*byte))?;
    let (_, after_method) = line.split_at_checked(method_len)?;
    match after_method {
        [b' ', ..] if method_len > 0 => {}
        [0, ..] => return Some(Refusal::Nul),
        [b'\r' | b'\n', ..] => return Some(Refusal::BadRequestLine),
        _ => return Some(Refusal::BadMethod),
    }
    let target = after_method.get(1..)?;
    let target_len = target
        .iter()
        .position(|byte| !matches!(byte, 0x21..=0x7e))?;
    match target.get(target_len..)? {
        [b' ', ..] if target_len > 0 => version_fault(target.get(target_len + 1..)?),
        [0, ..] => Some(Refusal::Nul),
        [b' ' | b'\r' | b'\n', ..] => Some(Refusal::BadRequestLine),
        [0x80..=0xff, ..] => Some(Refusal::BadTarget),
        _ => Some(Refusal::ControlCharacter),
    }
}

/// Checks `HTTP/d.d CRLF`, the end of a request line.
fn version_fault(rest: &[u8]) -> Option<Refusal> {
    let after = match version_prefix(rest) {
        VersionPrefix::Incomplete => return None,
        VersionPrefix::Foreign => return Some(Refusal::BadRequestLine),
        VersionPrefix::Malformed => return Some(Refusal::BadVersion),
        VersionPrefix::NotOne => return Some(Refusal::UnsupportedVersion),
        VersionPrefix::One(after) => after,
    };
    match after {
        [] | [b'\r'] | [b'\r', b'\n'] => None,
        [b'\n', ..] => Some(Refusal::BareLf),
        [b'\r', ..] => Some(Refusal::BareCr),
        _ => Some(Refusal::BadVersion),
    }
}

enum VersionPrefix<'a> {
    Incomplete,
    /// Does not begin with `HTTP/`.
    Foreign,
    /// `HTTP/` without `digit.digit`.
    Malformed,
    /// Another major version.
    NotOne,
    /// HTTP/1, and what follows it.
    One(&'a [u8]),
}

fn version_prefix(bytes: &[u8]) -> VersionPrefix<'_> {
    let known = bytes.len().min(5);
    if bytes.get(..known) != b"HTTP/".get(..known) {
        return VersionPrefix::Foreign;
    }
    match bytes.get(5..).unwrap_or_default() {
        [major, b'.', minor, after @ ..] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            if *major == b'1' {
                VersionPrefix::One(after)
            } else {
                VersionPrefix::NotOne
            }
        }
        [] => VersionPrefix::Incomplete,
        [b'1'] | [b'1', b'.'] => VersionPrefix::Incomplete,
        _ => VersionPrefix::Malformed,
    }
}

fn status_line_fault(line: &[u8]) -> Option<Refusal> {
    let after = match version_prefix(line) {
        VersionPrefix::Incomplete => return None,
        VersionPrefix::Foreign => return Some(Refusal::BadStatusLine),
        VersionPrefix::Malformed => return Some(Refusal::BadVersion),
        VersionPrefix::NotOne => return Some(Refusal::UnsupportedVersion),
        VersionPrefix::One(after) => after,
    };
    let digits = match after {
        [] => return None,
        [b' ', digits @ ..] => digits,
        _ => return Some(Refusal::BadStatusLine),
    };
    let code = digits.get(..digits.len().min(3))?;
    if !code.iter().all(u8::is_ascii_digit) {
        return Some(Refusal::BadStatus);
    }
    match digits.get(3..)? {
        [] | [b'\r'] | [b'\r', b'\n'] => None,
        [b' ', reason @ ..] => text_fault(reason),
        [b'\r', ..] => Some(Refusal::BareCr),
        [b'\n', ..] => Some(Refusal::BareLf),
        _ => Some(Refusal::BadStatus),
    }
}

/// Checks lines up to the empty one.
fn fields_fault(mut rest: &[u8]) -> Option<Refusal> {
    while !rest.is_empty() {
        let (line, tail) = split_line(rest);
        if line == b"\r\n" {
            return None;
        }
        if let Some(fault) = field_line_fault(line) {
            return Some(fault);
        }
        rest = tail;
    }
    None
}

fn field_line_fault(line: &[u8]) -> Option<Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Some(Refusal::ObsFold);
    }
    let name_len = line.iter().position(|byte| !is_token_byte(*byte))?;
    let after = line.get(name_len..)?;
    match after {
        [b':', value @ ..] if name_len > 0 => text_fault(value),
        [b':', ..] => Some(Refusal::EmptyFieldName),
        [b'\r', ..] if name_len > 0 => Some(Refusal::MissingColon),
        [b'\r'] => None,
        [b'\r', ..] => Some(Refusal::BareCr),
        [b'\n', ..] => Some(Refusal::BareLf),
        [0, ..] => Some(Refusal::Nul),
        [b' ' | b'\t', ..] => Some(Refusal::WhitespaceBeforeColon),
        [0x01..0x20 | 0x7f, ..] => Some(Refusal::ControlCharacter),
        _ => Some(Refusal::BadFieldName),
    }
}

/// Checks a field value or reason phrase up to its CRLF.
fn text_fault(text: &[u8]) -> Option<Refusal> {
    let at = text.iter().position(|byte| !is_value_byte(*byte))?;
    match text.get(at..)? {
        [b'\r'] | [b'\r', b'\n', ..] => None,
        [b'\r', ..] => Some(Refusal::BareCr),
        [b'\n', ..] => Some(Refusal::BareLf),
        [0, ..] => Some(Refusal::Nul),
        _ => Some(Refusal::ControlCharacter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_lines() {
        let check = |line: &[u8], expected: Result<(&[u8], &[u8]), Refusal>| {
            let found = parse_field_line(line).map(|field| (field.name, field.value));
            assert_eq!(found, expected, "{}", line.escape_ascii());
        };
        check(b"a: b\r\n", Ok((b"a", b"b")));
        check(b"a:\r\n", Ok((b"a", b"")));
        check(b"a: \t b c \t\r\n", Ok((b"a", b"b c")));
        check(b"a:b:c\r\n", Ok((b"a", b"b:c")));
        check(b"a: \xff\r\n", Ok((b"a", b"\xff")));
        check(b"a\r\n", Err(Refusal::MissingColon));
        check(b"a: b\n", Err(Refusal::BareLf));
        check(b"a: b\rc\r\n", Err(Refusal::BareCr));
        check(b"a : b\r\n", Err(Refusal::WhitespaceBeforeColon));
        check(b"a b: c\r\n", Err(Refusal::WhitespaceBeforeColon));
        check(b": c\r\n", Err(Refusal::EmptyFieldName));
        check(b" a: c\r\n", Err(Refusal::ObsFold));
        check(b"a: \0\r\n", Err(Refusal::Nul));
        check(b"a\0: b\r\n", Err(Refusal::Nul));
        check(b"a: \x01\r\n", Err(Refusal::ControlCharacter));
        check(b"a: \x7f\r\n", Err(Refusal::ControlCharacter));
        check(b"a(): b\r\n", Err(Refusal::BadFieldName));
        check(b"\xe9: b\r\n", Err(Refusal::BadFieldName));
    }
}
