//! Steps from text to text that are more than a line: hosts, languages, JSON, digests.

use super::Fetched;
use super::encoding::{hex, nibble, percent_decode};
use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use md5::Md5;
use portway_model::expression::{ChunkForm, Chunks, DigestKind, JsonCharset};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

/// The bytes of a digest.
pub(super) fn digest(kind: DigestKind, bytes: &[u8]) -> Vec<u8> {
    match kind {
        DigestKind::Md5 => Md5::digest(bytes).to_vec(),
        DigestKind::Sha1 => Sha1::digest(bytes).to_vec(),
        DigestKind::Sha224 => Sha224::digest(bytes).to_vec(),
        DigestKind::Sha256 => Sha256::digest(bytes).to_vec(),
        DigestKind::Sha384 => Sha384::digest(bytes).to_vec(),
        DigestKind::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}

/// The bytes of a keyed digest.
pub(super) fn hmac(kind: DigestKind, key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    fn keyed<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
        mac.update(bytes);
        Some(mac.finalize().into_bytes().to_vec())
    }
    match kind {
        DigestKind::Md5 => keyed::<Hmac<Md5>>(key, bytes),
        DigestKind::Sha1 => keyed::<Hmac<Sha1>>(key, bytes),
        DigestKind::Sha224 => keyed::<Hmac<Sha224>>(key, bytes),
        DigestKind::Sha256 => keyed::<Hmac<Sha256>>(key, bytes),
        DigestKind::Sha384 => keyed::<Hmac<Sha384>>(key, bytes),
        DigestKind::Sha512 => keyed::<Hmac<Sha512>>(key, bytes),
    }
}

/// Bytes as numbers.
pub(super) fn chunks(chunks: &Chunks, bytes: &[u8]) -> Vec<u8> {
    let size = (chunks.size as usize).max(1);
    let mut out = Vec::with_capacity(bytes.len() * 2);
    for (index, chunk) in bytes.chunks(size).enumerate() {
        if chunks.whole && chunk.len() < size {
            break;
        }
        if index > 0 {
            out.extend_from_slice(chunks.between.as_bytes());
        }
        match chunks.form {
            ChunkForm::Hex => out.extend(hex(chunk).to_ascii_uppercase()),
            ChunkForm::Decimal => {
                let number = chunk
                    .iter()
                    .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                // Writing to a vector cannot fail.
                let _ = write!(out, "{number}");
            }
        }
    }
    out
}

/// Up to the first carriage return or line feed.
pub(super) fn first_line(text: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', text).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// The host of a Host header's value, and what stands behind its colon.
pub(super) fn host_and_port(text: &[u8]) -> (&[u8], &[u8]) {
    let bracket = memchr::memrchr(b']', text).map_or(0, |at| at + 1);
    let tail = text.get(bracket..).unwrap_or_default();
    match memchr::memchr(b':', tail) {
        Some(colon) => {
            let (host, port) = text
                .split_at_checked(bracket + colon)
                .unwrap_or((text, b""));
            (host, port.get(1..).unwrap_or_default())
        }
        None => (text, b""),
    }
}

/// Without any of these characters at the start.
pub(super) fn trim_start<'t>(text: &'t [u8], chars: &str) -> &'t [u8] {
    let kept = text
        .iter()
        .position(|byte| !chars.as_bytes().contains(byte));
    kept.and_then(|start| text.get(start..)).unwrap_or_default()
}

/// Without any of these characters at the end.
pub(super) fn trim_end<'t>(text: &'t [u8], chars: &str) -> &'t [u8] {
    let kept = text
        .iter()
        .rposition(|byte| !chars.as_bytes().contains(byte));
    kept.and_then(|last| text.get(..=last)).unwrap_or_default()
}

/// What percent-encoded text stands for; `None` where a percent sign is not followed by two hex digits. A plus is a
/// blank behind a question mark, or everywhere.
pub(super) fn url_decode(text: &[u8], form: bool) -> Option<Cow<'_, [u8]>> {
    let broken = memchr::memchr_iter(b'%', text).any(|at| {
        let digits = text.get(at + 1..at + 3);
        digits.is_none_or(|digits| digits.iter().any(|digit| nibble(*digit).is_none()))
    });
    if broken {
        return None;
    }
    if form {
        return Some(percent_decode(text, true));
    }
    let question = memchr::memchr(b'?', text).unwrap_or(text.len());
    let (path, query) = text.split_at_checked(question)?;
    if memchr::memchr(b'+', query).is_none() {
        return Some(percent_decode(text, false));
    }
    let mut decoded = percent_decode(path, false).into_owned();
    decoded.extend_from_slice(&percent_decode(query, true));
    Some(Cow::Owned(decoded))
}

/// Percent-encoded, all but what needs it nowhere (RFC 3986 §2.3).
pub(super) fn url_encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            // Writing to a vector cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The number that hex stands for, its last 64 bits.
pub(super) fn hex_number(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let number = text.iter().try_fold(0_u64, |number, byte| {
        Some((number << 4) | u64::from(nibble(*byte)?))
    });
    number.map(u64::cast_signed)
}

/// Escaped to stand within quotes of JSON, in ASCII alone.
pub(super) fn json_escape(charset: JsonCharset, text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() + 8);
    if charset == JsonCharset::Bytes {
        for byte in text {
            escape_one(char::from(*byte), &mut out)?;
        }
        return Some(out);
    }
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if escape_one(c, &mut out).is_none() && charset == JsonCharset::Utf8 {
                return None;
            }
        }
        if !chunk.invalid().is_empty() && charset == JsonCharset::Utf8 {
            return None;
        }
    }
    Some(out)
}

/// `None` for what four hex digits cannot say.
fn escape_one(c: char, out: &mut Vec<u8>) -> Option<()> {
    let short = match c {
        '"' | '\\' | '/' => Some(c),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        _ => None,
    };
    // Writing to a vector cannot fail.
    let _ = match short {
        Some(short) => write!(out, "\\{short}"),
        None if c == ' ' || c.is_ascii_graphic() => write!(out, "{c}"),
        None if u32::from(c) > 0xffff => return None,
        None => write!(out, "\\u{:04x}", u32::from(c)),
    };
    Some(())
}

/// The best of `known` that an Accept-Language header asks for: the highest weight, the first of equal ones.
pub(super) fn language<'k>(header: &[u8], known: &'k [String]) -> Option<&'k str> {
    let mut best: Option<(u32, &str)> = None;
    for wish in header.split(|&byte| byte == b',') {
        let mut parts = wish.split(|&byte| byte == b';');
        let Ok(name) = std::str::from_utf8(parts.next().unwrap_or_default().trim_ascii()) else {
            continue;
        };
        let weight = parts.next().map_or(Some(1000), weight);
        let base = name.split('-').next().unwrap_or(name);
        let found = known.iter().find(|known| *known == name);
        let found = found.or_else(|| known.iter().find(|known| *known == base));
        if let (Some(weight), Some(found)) = (weight, found)
            && weight > 0
            && best.is_none_or(|(so_far, _)| weight > so_far)
        {
            best = Some((weight, found));
        }
    }
    best.map(|(_, found)| found)
}

/// The last entry of a list that is no address in these networks.
pub(super) fn last_outside<'t>(list: &'t [u8], networks: &[IpNet]) -> Option<&'t [u8]> {
    let entries = list.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let mut entries = entries.filter(|entry| !entry.is_empty());
    entries.find(|entry| {
        let address = std::str::from_utf8(entry).ok();
        let address: Option<IpAddr> = address.and_then(|it| it.parse().ok());
        let is_inside = |address: IpAddr| {
            networks
                .iter()
                .any(|it| it.contains(&address.to_canonical()))
        };
        !address.is_some_and(is_inside)
    })
}

/// Thousandths of `q=0.8`.
fn weight(parameter: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(parameter.trim_ascii()).ok()?;
    let (whole, fraction) = text
        .strip_prefix("q=")?
        .split_once('.')
        .unwrap_or((text.strip_prefix("q=")?, ""));
    let fraction = format!("{fraction:0<3}");
    let thousandths: u32 = fraction.get(..3)?.parse().ok()?;
    Some(whole.parse::<u32>().ok()?.min(1) * 1000 + thousandths)
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
pub(crate) fn same_secret(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left
        .iter()
        .zip(right)
        .fold(0_u8, |difference, (left, right)| {
            difference | (left ^ right)
        });
    std::hint::black_box(difference) == 0
}

/// How `left` differs from `right`: by the first byte that differs, else by length.
pub(super) fn compare(left: &[u8], right: &[u8]) -> i64 {
    let mut pairs = left.iter().zip(right);
    match pairs.find(|(left, right)| left != right) {
        Some((left, right)) => i64::from(*left) - i64::from(*right),
        None => {
            i64::try_from(left.len()).unwrap_or(i64::MAX)
                - i64::try_from(right.len()).unwrap_or(i64::MAX)
        }
    }
}

/// The digits of a number, at least four, or of the bytes of an address.
pub(super) fn hexadecimal(fetched: &Fetched<'_>) -> Fetched<'static> {
    if let Fetched::Number(number) = fetched {
        return format!("{number:04X}").into_bytes().into();
    }
    let digits = |bytes: &[u8]| hex(bytes).to_ascii_uppercase();
    match fetched.address() {
        Some(IpAddr::V4(address)) => digits(&address.octets()).into(),
        Some(IpAddr::V6(address)) => digits(&address.octets()).into(),
        None => match fetched.number() {
            Some(number) => format!("{number:04X}").into_bytes().into(),
            None => Fetched::Absent,
        },
    }
}

/// What stands before the first NUL.
pub(super) fn until_nul(text: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// Between double quotes.
pub(super) fn quoted(text: Option<&[u8]>) -> Vec<u8> {
    let text = text.unwrap_or_default();
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(text);
    quoted.push(b'"');
    quoted
}

/// With a backslash before what would end a value of structured data (RFC 5424 section 6.3.3).
pub(super) fn backslashed(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b']');
    if !text.iter().any(special) {
        return text;
    }
    let mut escaped = Vec::with_capacity(text.len() + 8);
    for byte in text.iter() {
        if special(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, host, port) in [
            ("a.example", "a.example", ""),
            ("a.example:80", "a.example", "80"),
            ("[::1]", "[::1]", ""),
            ("[::1]:80", "[::1]", "80"),
            ("", "", ""),
        ] {
            let expected = (host.as_bytes(), port.as_bytes());
            assert_eq!(host_and_port(text.as_bytes()), expected, "{text}");
        }
    }

    /// Recorded from HAProxy 2.6.
    #[test]
    fn url_coding() {
        let decoded = |text: &'static str, form| {
            let decoded = url_decode(text.as_bytes(), form)?;
            Some(String::from_utf8_lossy(&decoded).into_owned())
        };
        assert_eq!(decoded("a%20b+c?d+e", false).as_deref(), Some("a b+c?d e"));
        assert_eq!(decoded("a%20b+c?d+e", true).as_deref(), Some("a b c?d e"));
        assert_eq!(decoded("a%2", false), None);
        assert_eq!(decoded("a%zz", false), None);
        let encoded = url_encode("a b/c?d=e&f%é~".as_bytes());
        assert_eq!(encoded, b"a%20b%2Fc%3Fd%3De%26f%25%C3%A9~");
    }

    #[test]
    fn json_texts() {
        let check = |charset, text: &[u8], expected: Option<&str>| {
            let escaped = json_escape(charset, text);
            let escaped = escaped.map(|escaped| String::from_utf8(escaped).unwrap());
            assert_eq!(escaped.as_deref(), expected);
        };
        check(JsonCharset::Bytes, b"a\"b/c\\d", Some(r#"a\"b\/c\\d"#));
        check(JsonCharset::Bytes, "é".as_bytes(), Some("\\u00c3\\u00a9"));
        check(JsonCharset::Utf8, "é".as_bytes(), Some("\\u00e9"));
        check(JsonCharset::Utf8, b"a\xff", None);
        check(JsonCharset::Utf8Lossy, b"a\tb\xff", Some("a\\tb"));
        check(JsonCharset::Utf8, "🦀".as_bytes(), None);
        check(JsonCharset::Utf8Lossy, "🦀a".as_bytes(), Some("a"));
    }

    #[test]
    fn languages() {
        let check = |header: &str, known: &[&str], expected: Option<&str>| {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            assert_eq!(language(header.as_bytes(), &known), expected, "{header}");
        };
        let header = "fr-CA;q=0.8, en;q=0.9, de";
        check(header, &["en", "fr"], Some("en"));
        check(header, &["fr"], Some("fr"));
        check(header, &["fr-CA"], Some("fr-CA"));
        check(header, &["de", "en"], Some("de"));
        check("en;q=0", &["en"], None);
        check("", &["en"], None);
    }

    #[test]
    fn the_last_outside_of_networks() {
        let check = |list: &str, expected: Option<&str>| {
            let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|it| it.parse().unwrap());
            let found = last_outside(list.as_bytes(), &networks);
            assert_eq!(found, expected.map(str::as_bytes), "{list}");
        };
        check("192.0.2.1", Some("192.0.2.1"));
        check(
            "192.0.2.1, 192.0.2.2 ,10.1.1.1, 2001:db8::1",
            Some("192.0.2.2"),
        );
        check("192.0.2.1,::ffff:10.0.0.1,,", Some("192.0.2.1"));
        check("192.0.2.1, unknown", Some("unknown"));
        check("10.0.0.1", None);
        check("", None);
    }

    /// Recorded from HAProxy 2.6.
    #[test]
    fn comparisons() {
        assert_eq!(compare(b"a", b"hello"), -7);
        assert_eq!(compare(b"hell", b"hello"), -1);
        assert_eq!(compare(b"hellp", b"hello"), 1);
        assert!(same_secret(b"a", b"a") && !same_secret(b"a", b"b") && !same_secret(b"a", b"ab"));
        assert_eq!(hex_number(b"fff"), Some(4095));
        assert_eq!(hex_number(b"12zz"), None);
        assert_eq!(hex_number(b"xyz"), None);
        assert_eq!(
            (trim_start(b"xxhixx", "x"), trim_end(b"xxhixx", "x")),
            (&b"hixx"[..], &b"xxhi"[..])
        );
        assert_eq!(trim_end(b"xx", "x"), b"");
    }
}
