//! The transforms: steps on a value that was fetched.
//!
//! A step that works on bytes sees the text of a number or an address; a step that works on numbers or addresses
//! makes a text that is none absent. Sums and products stop at the ends of their range. Text that was cut out or
//! left as it was stays borrowed.

use super::encoding::{hex, percent_decode};
use super::{Facts, Fetched, json};
use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use portway_model::expression::Transform;
use portway_model::stage::{Pattern, Resolved};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BASE64: GeneralPurpose = base64_engine(&STANDARD);
const BASE64_URL: GeneralPurpose = base64_engine(&URL_SAFE);

/// Written with padding, read with or without.
const fn base64_engine(alphabet: &Alphabet) -> GeneralPurpose {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, lenient)
}

/// What Base64 of either alphabet (RFC 4648 §4, §5) stands for.
pub(super) fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let standard = BASE64.decode(text);
    standard.or_else(|_| BASE64_URL.decode(text)).ok()
}

/// Applies the steps from left to right.
pub(super) fn apply_all<'a, F: Facts>(
    transforms: &'a [Transform<Resolved>],
    fetched: Fetched<'a>,
    facts: &'a F,
) -> Fetched<'a> {
    transforms.iter().fold(fetched, |fetched, transform| {
        apply(transform, fetched, facts)
    })
}

fn apply<'a, F: Facts>(
    transform: &'a Transform<Resolved>,
    fetched: Fetched<'a>,
    facts: &'a F,
) -> Fetched<'a> {
    match transform {
        Transform::Default(text) => match fetched {
            Fetched::Absent => text.as_str().into(),
            present => present,
        },
        Transform::Add(by) => on_number(&fetched, |number| Some(number.saturating_add(*by))),
        Transform::Multiply(by) => on_number(&fetched, |number| Some(number.saturating_mul(*by))),
        // The remainder by -1 is 0 also where the quotient would not fit.
        Transform::Modulo(by) => on_number(&fetched, |number| {
            (*by != 0).then(|| number.wrapping_rem(*by))
        }),
        Transform::Number => fetched.cast_number().into(),
        Transform::Mask { v4, v6 } => fetched
            .address()
            .map(|address| mask(address, *v4, *v6))
            .into(),
        Transform::Quoted => quoted(fetched.into_text().as_deref()).into(),
        Transform::Hexadecimal => hexadecimal(fetched),
        on_text => match fetched.into_text() {
            None => Fetched::Absent,
            Some(text) => apply_to_text(on_text, text, facts),
        },
    }
}

/// Between double quotes.
fn quoted(text: Option<&[u8]>) -> Vec<u8> {
    let text = text.unwrap_or_default();
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(text);
    quoted.push(b'"');
    quoted
}

/// With a backslash before what would end a value of structured data (RFC 5424 section 6.3.3).
fn backslashed(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
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

/// The digits of a number, at least four, or of the bytes of an address.
fn hexadecimal(fetched: Fetched<'_>) -> Fetched<'_> {
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

fn on_number<'a>(fetched: &Fetched<'_>, step: impl FnOnce(i64) -> Option<i64>) -> Fetched<'a> {
    fetched.number().and_then(step).into()
}

fn apply_to_text<'a, F: Facts>(
    transform: &'a Transform<Resolved>,
    text: Cow<'a, [u8]>,
    facts: &'a F,
) -> Fetched<'a> {
    match transform {
        Transform::Text => text.into(),
        Transform::Lower => change_case(text, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase),
        Transform::Upper => change_case(text, u8::is_ascii_lowercase, <[u8]>::make_ascii_uppercase),
        Transform::Trim => part_of(text, |text| text.trim_ascii().into()),
        Transform::Replace { pattern, with, all } => part_of(text, |text| {
            replace(pattern, with.as_bytes(), *all, text).into()
        }),
        Transform::Field { index, delimiters } => {
            part_of(text, |text| field(text, *index, delimiters, true).into())
        }
        Transform::Word { index, delimiters } => {
            part_of(text, |text| field(text, *index, delimiters, false).into())
        }
        Transform::Map { map, default } => match facts.lookup(*map, &text) {
            Some(found) => found.into(),
            None => default.as_deref().into(),
        },
        Transform::Base64 => BASE64.encode(&text).into_bytes().into(),
        Transform::Base64Decode => base64_decode(&text).into(),
        Transform::Hex => hex(&text).into(),
        Transform::UrlDecode => part_of(text, |text| percent_decode(text, false).into()),
        Transform::Length => (text.len() as u64).into(),
        Transform::Json(path) => part_of(text, |text| json::find(text, path)),
        Transform::JwtHeader(path) => jwt(&text, 0, path),
        Transform::JwtPayload(path) => jwt(&text, 1, path),
        Transform::Crc32 => crc32fast::hash(&text).into(),
        Transform::Sha256 => hex(&Sha256::digest(&text)).into(),
        Transform::Backslashed => backslashed(text).into(),
        Transform::Bytes { offset, length } => {
            part_of(text, |text| bytes(text, *offset, *length).into())
        }
        // Done by `apply`, which knows them by type.
        Transform::Default(_)
        | Transform::Add(_)
        | Transform::Multiply(_)
        | Transform::Modulo(_)
        | Transform::Number
        | Transform::Quoted
        | Transform::Hexadecimal
        | Transform::Mask { .. } => Fetched::Absent,
    }
}

/// What `step` takes of the text, borrowed where the text is.
fn part_of<'a>(text: Cow<'a, [u8]>, step: impl for<'t> Fn(&'t [u8]) -> Fetched<'t>) -> Fetched<'a> {
    match text {
        Cow::Borrowed(text) => step(text),
        Cow::Owned(text) => step(&text).into_owned(),
    }
}

fn change_case<'a>(
    text: Cow<'a, [u8]>,
    changes: fn(&u8) -> bool,
    change: fn(&mut [u8]),
) -> Fetched<'a> {
    if !text.iter().any(changes) {
        return text.into();
    }
    let mut text = text.into_owned();
    change(&mut text);
    text.into()
}

/// The first match, or all of them, replaced; `$1`, `${1}` and `$$` as the regex crate writes them (so `$1a` is
/// the group called `1a`).
pub(super) fn replace<'t>(
    pattern: &Pattern,
    with: &[u8],
    all: bool,
    text: &'t [u8],
) -> Cow<'t, [u8]> {
    let limit = if all { 0 } else { 1 };
    pattern.regex().replacen(text, limit, with)
}

/// The field with this 1-based index, counted from the end where it is negative.
fn field<'t>(text: &'t [u8], index: i32, delimiters: &str, empty: bool) -> Option<&'t [u8]> {
    let skip = (index.unsigned_abs() as usize).checked_sub(1)?;
    let delimits = |byte: &u8| delimiters.as_bytes().contains(byte);
    let counts = |field: &&[u8]| empty || !field.is_empty();
    if index > 0 {
        text.split(delimits).filter(counts).nth(skip)
    } else {
        text.rsplit(delimits).filter(counts).nth(skip)
    }
}

/// At most `length` bytes from `offset`; `None` where the text ends before it.
fn bytes(text: &[u8], offset: u32, length: Option<u32>) -> Option<&[u8]> {
    let rest = text.get(offset as usize..)?;
    let length = length.map_or(rest.len(), |length| rest.len().min(length as usize));
    rest.get(..length)
}

/// The network of an address; one of IPv4 inside IPv6 counts as IPv4.
fn mask(address: IpAddr, v4: u8, v6: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = u32::MAX.checked_shl(32_u32.saturating_sub(v4.into()));
            Ipv4Addr::from_bits(address.to_bits() & bits.unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            let bits = u128::MAX.checked_shl(128_u32.saturating_sub(v6.into()));
            Ipv6Addr::from_bits(address.to_bits() & bits.unwrap_or(0)).into()
        }
    }
}

/// A member of the part of a token (RFC 7519 §3) with this index. Says nothing about the signature.
fn jwt(token: &[u8], part: usize, path: &str) -> Fetched<'static> {
    let part = token.trim_ascii().split(|&byte| byte == b'.').nth(part);
    match part.and_then(base64_decode) {
        Some(decoded) => json::find(&decoded, path).into_owned(),
        None => Fetched::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Exchange, show};
    use super::*;
    use portway_model::snapshot::MapId;
    use proptest::prelude::*;

    #[track_caller]
    fn check_all(transforms: &[Transform<Resolved>], from: Fetched<'_>, expected: &str) {
        let exchange = Exchange::get("http://a/");
        // Owned and borrowed text must give the same.
        let owned = apply_all(transforms, from.clone().into_owned(), &exchange);
        assert_eq!(show(&owned), expected, "{transforms:?}");
        let borrowed = apply_all(transforms, from, &exchange);
        assert_eq!(owned, borrowed);
    }

    #[track_caller]
    fn check(transform: Transform<Resolved>, from: &str, expected: &str) {
        check_all(&[transform], from.into(), expected);
    }

    #[test]
    fn letters_and_parts() {
        check(Transform::Lower, "Ab-É", "ab-É");
        check(Transform::Upper, "aB1", "AB1");
        check(Transform::Trim, " \ta b\r\n", "a b");
        check(Transform::Length, "abc", "#3");
        check(Transform::Length, "", "#0");
        let bytes = |offset, length| Transform::Bytes { offset, length };
        check(bytes(1, Some(2)), "abcd", "bc");
        check(bytes(1, None), "abcd", "bcd");
        check(bytes(4, Some(2)), "abcd", "");
        check(bytes(2, Some(9)), "abcd", "cd");
        check(bytes(5, None), "abcd", "<absent>");
    }

    #[test]
    fn forms_of_log_lines() {
        check(Transform::Quoted, "a\"b", "\"a\"b\"");
        check_all(&[Transform::Quoted], Fetched::Absent, "\"\"");
        check(Transform::Backslashed, "a", "a");
        check(Transform::Backslashed, r#"a"b\c]d["#, r#"a\"b\\c\]d["#);
        check_all(&[Transform::Backslashed], Fetched::Absent, "<absent>");
        let hexadecimal = |from: Fetched<'_>, expected| {
            check_all(&[Transform::Hexadecimal], from, expected);
        };
        hexadecimal(20_001_i64.into(), "4E21");
        hexadecimal(1_i64.into(), "0001");
        hexadecimal(1_795_256_958_i64.into(), "6B01727E");
        hexadecimal(IpAddr::from([127, 0, 0, 1]).into(), "7F000001");
        hexadecimal("127.0.0.1".into(), "7F000001");
        hexadecimal("255".into(), "00FF");
        hexadecimal("::1".into(), "00000000000000000000000000000001");
        hexadecimal("unix".into(), "<absent>");
        hexadecimal(Fetched::Absent, "<absent>");
    }

    #[test]
    fn fields_and_words() {
        let check = |text: &str, index, as_field: &str, as_word: &str| {
            let delimiters = ",;".to_string();
            check(Transform::Field { index, delimiters }, text, as_field);
            let delimiters = ",;".to_string();
            check(Transform::Word { index, delimiters }, text, as_word);
        };
        check("a,b;c", 1, "a", "a");
        check("a,b;c", 3, "c", "c");
        check("a,b;c", -1, "c", "c");
        check("a,b;c", -3, "a", "a");
        check("a,b;c", 4, "<absent>", "<absent>");
        check("a,b;c", -4, "<absent>", "<absent>");
        check("a,b;c", 0, "<absent>", "<absent>");
        check(",,a", 2, "", "<absent>");
        check(",,a", 3, "a", "<absent>");
        check(",,a", 1, "", "a");
        check("", 1, "", "<absent>");
        check("a", i32::MIN, "<absent>", "<absent>");
    }

    #[test]
    fn replacements() {
        let check = |pattern: &str, with: &str, all, text: &str, expected: &str| {
            let pattern = Pattern::new(pattern).unwrap();
            let with = with.into();
            check(Transform::Replace { pattern, with, all }, text, expected);
        };
        check("a", "b", false, "aaa", "baa");
        check("a", "b", true, "aaa", "bbb");
        check("(.)-(.)", "$2-${1}x", true, "a-b c-d", "b-ax d-cx");
        check("x", "$$", true, "x", "$");
        check("z", "b", true, "aaa", "aaa");
        check("", "-", true, "ab", "-a-b-");
        check("(a)|(b)", "[$2]", true, "ab", "[][b]");
    }

    #[test]
    fn encodings() {
        check(Transform::Base64, "a?>b", "YT8+Yg==");
        check(Transform::Base64Decode, "YT8+Yg==", "a?>b");
        check(Transform::Base64Decode, "YT8+Yg", "a?>b");
        check(Transform::Base64Decode, "YT8-Yg", "a?>b");
        check(Transform::Base64Decode, "Y!", "<absent>");
        check(Transform::Hex, "\0aK", "00614b");
        check(Transform::UrlDecode, "a%2Fb+c%", "a/b+c%");
        check(Transform::Crc32, "123456789", "#3421780262");
        check(
            Transform::Sha256,
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
    }

    #[test]
    fn numbers() {
        check(Transform::Add(2), "40", "#42");
        check(Transform::Add(2), "x", "<absent>");
        check(Transform::Multiply(-2), "21", "#-42");
        check(Transform::Modulo(10), "42", "#2");
        check(Transform::Modulo(0), "42", "<absent>");
        check_all(
            &[Transform::Add(1)],
            i64::MAX.into(),
            "#9223372036854775807",
        );
        check_all(
            &[Transform::Multiply(2)],
            i64::MIN.into(),
            "#-9223372036854775808",
        );
        check_all(&[Transform::Modulo(-1)], i64::MIN.into(), "#0");
        check_all(&[Transform::Length], 1234_i64.into(), "#4");
        check_all(&[Transform::Add(1)], true.into(), "#2");
    }

    #[test]
    fn networks() {
        let check = |v4, v6, address: &str, expected: &str| {
            check(Transform::Mask { v4, v6 }, address, expected);
        };
        check(24, 64, "10.1.2.3", "@10.1.2.0");
        check(0, 64, "10.1.2.3", "@0.0.0.0");
        check(32, 64, "10.1.2.3", "@10.1.2.3");
        check(200, 200, "10.1.2.3", "@10.1.2.3");
        check(24, 64, "2001:db8:1:2:3::4", "@2001:db8:1:2::");
        check(24, 0, "2001:db8::1", "@::");
        check(24, 128, "2001:db8::1", "@2001:db8::1");
        check(24, 64, "::ffff:10.1.2.3", "@10.1.2.0");
        check(24, 64, "name", "<absent>");
    }

    #[test]
    fn maps_and_defaults() {
        let map = |index, default: Option<&str>| Transform::Map {
            map: MapId(index),
            default: default.map(Into::into),
        };
        check(map(0, None), "known", "found");
        check(map(0, None), "other", "<absent>");
        check(map(0, Some("d")), "other", "d");
        check(map(1, None), "known", "<absent>");
        check(Transform::Default("d".into()), "", "");
        check_all(&[Transform::Default("d".into())], Fetched::Absent, "d");
        check_all(&[map(0, Some("d"))], Fetched::Absent, "<absent>");
        check_all(&[Transform::Upper], Fetched::Absent, "<absent>");
        let chain = [
            map(0, None),
            Transform::Default("KNOWN".into()),
            Transform::Lower,
        ];
        check_all(&chain, "x".into(), "known");
    }

    #[test]
    fn tokens() {
        let encode = |text: &str| BASE64_URL.encode(text).replace('=', "");
        let (header, payload) = (
            encode(r#"{"alg":"RS256"}"#),
            encode(r#"{"sub":"é?>","n":[1,7]}"#),
        );
        let token = format!("{header}.{payload}.c2ln");
        check(Transform::JwtHeader("$.alg".into()), &token, "RS256");
        check(Transform::JwtPayload("$.sub".into()), &token, "é?>");
        check(Transform::JwtPayload("$.n[1]".into()), &token, "#7");
        check(Transform::JwtPayload("$.sub".into()), "abc", "<absent>");
        check(Transform::JwtPayload("$.sub".into()), "..", "<absent>");
    }

    fn any_transform() -> impl Strategy<Value = Transform<Resolved>> {
        let text = "[$a-z0-9.,\\[\\]]{0,6}";
        prop_oneof![
            Just(Transform::Lower),
            Just(Transform::Upper),
            Just(Transform::Trim),
            Just(Transform::Base64),
            Just(Transform::Base64Decode),
            Just(Transform::Hex),
            Just(Transform::UrlDecode),
            Just(Transform::Length),
            Just(Transform::Crc32),
            Just(Transform::Sha256),
            any::<i64>().prop_map(Transform::Add),
            any::<i64>().prop_map(Transform::Multiply),
            any::<i64>().prop_map(Transform::Modulo),
            any::<(u8, u8)>().prop_map(|(v4, v6)| Transform::Mask { v4, v6 }),
            any::<(u32, Option<u32>)>()
                .prop_map(|(offset, length)| Transform::Bytes { offset, length }),
            text.prop_map(Transform::Json),
            text.prop_map(Transform::JwtHeader),
            text.prop_map(Transform::JwtPayload),
            text.prop_map(Transform::Default),
            (any::<i32>(), text)
                .prop_map(|(index, delimiters)| Transform::Field { index, delimiters }),
            (-3..3, text).prop_map(|(index, delimiters)| Transform::Word { index, delimiters }),
            (text, any::<bool>()).prop_map(|(with, all)| Transform::Replace {
                pattern: Pattern::new("([a-z]?)[0-9]").unwrap(),
                with,
                all,
            }),
        ]
    }

    proptest! {
        #[test]
        fn any_steps_on_any_bytes(
            transforms in proptest::collection::vec(any_transform(), 0..4),
            bytes: Vec<u8>,
        ) {
            let exchange = Exchange::get("http://a/");
            let borrowed = apply_all(&transforms, bytes.as_slice().into(), &exchange);
            let owned = apply_all(&transforms, bytes.clone().into(), &exchange);
            prop_assert_eq!(borrowed, owned);
        }
    }
}
