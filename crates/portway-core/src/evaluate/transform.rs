//! The transforms: steps on a value that was fetched.
//!
//! A step that works on bytes sees the text of a number or an address; a step that works on numbers or addresses
//! makes a text that is none absent. Sums and products stop at the ends of their range. Text that was cut out or
//! left as it was stays borrowed.

use super::calculate::calculate;
use super::date::HTTP_DATE;
use super::encoding::hex;
use super::fetched::Scratch;
use super::{Facts, Fetched, fix, json, keep, mqtt, rdp, text, token};
use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use portway_model::expression::{Append, Operand, Secret, TimeUnit, Transform};
use portway_model::stage::{Pattern, Resolved};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BASE64: GeneralPurpose = base64_engine(&STANDARD);
const BASE64_URL: GeneralPurpose = base64_engine(&URL_SAFE);
const URL_WITHOUT_PADDING: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, base64::engine::general_purpose::NO_PAD);

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
        Transform::Otherwise(text) => match fetched {
            Fetched::Absent => text.as_str().into(),
            Fetched::Bytes(bytes) if bytes.is_empty() => text.as_str().into(),
            present => present,
        },
        Transform::Calculate(operation, operand) => {
            let right = match operand {
                Operand::Number(number) => Some(*number),
                Operand::Variable(variable) => facts.variable(variable).cast_number(),
            };
            on_number(&fetched, |left| Some(calculate(*operation, left, right?)))
        }
        Transform::SetVariable { .. } | Transform::UnsetVariable(_) => {
            keep::apply(transform, fetched, facts)
        }
        Transform::Negate => on_number(&fetched, |number| Some(number.saturating_neg())),
        Transform::Complement => on_number(&fetched, |number| Some(!number)),
        Transform::Truth => on_cast(&fetched, |number| number != 0),
        Transform::Not => on_cast(&fetched, |number| number == 0),
        Transform::Even => on_cast(&fetched, |number| number & 1 == 0),
        Transform::Odd => on_cast(&fetched, |number| number & 1 == 1),
        Transform::Choose(yes, no) => match fetched.cast_number() {
            None => Fetched::Absent,
            Some(0) => no.as_str().into(),
            Some(_) => yes.as_str().into(),
        },
        Transform::Binary => binary(fetched),
        Transform::Date {
            format,
            offset,
            local,
        } => match fetched.cast_number() {
            None => Fetched::Absent,
            Some(seconds) => {
                let seconds = seconds.saturating_add(*offset);
                let ahead = if *local {
                    facts.clock_offset(seconds)
                } else {
                    0
                };
                date(format, seconds, ahead)
            }
        },
        Transform::HttpDate { offset, unit } => match fetched.cast_number() {
            None => Fetched::Absent,
            Some(time) => http_date(time.saturating_add(*offset), *unit),
        },
        Transform::Number => fetched.cast_number().into(),
        Transform::Mask { v4, v6 } => fetched
            .address()
            .and_then(|address| mask(address, *v4, *v6))
            .into(),
        Transform::Quoted => text::quoted(fetched.into_text().as_deref()).into(),
        Transform::Hexadecimal => text::hexadecimal(&fetched),
        Transform::Map { map, default } => {
            let mut scratch = Scratch::new();
            let found = fetched
                .text(&mut scratch)
                .map(|key| facts.lookup(*map, key));
            match found {
                None => Fetched::Absent,
                Some(Some(found)) => found.into(),
                Some(None) => default.as_deref().into(),
            }
        }
        Transform::IsLocal => {
            let address = fetched.address();
            address.and_then(|address| facts.is_local(address)).into()
        }
        Transform::MapGroups { map, default } => match fetched.into_text() {
            None => Fetched::Absent,
            Some(key) => match facts.lookup_groups(*map, &key) {
                Some(found) => found.into(),
                None => default.as_deref().into(),
            },
        },
        on_text => match fetched.into_text() {
            None => Fetched::Absent,
            Some(text) => apply_to_text(on_text, text, facts),
        },
    }
}

fn on_number<'a>(fetched: &Fetched<'_>, step: impl FnOnce(i64) -> Option<i64>) -> Fetched<'a> {
    fetched.number().and_then(step).into()
}

fn on_cast<'a>(fetched: &Fetched<'_>, step: impl FnOnce(i64) -> bool) -> Fetched<'a> {
    fetched.cast_number().map(step).into()
}

fn apply_to_text<'a, F: Facts>(
    transform: &'a Transform<Resolved>,
    text: Cow<'a, [u8]>,
    facts: &'a F,
) -> Fetched<'a> {
    match transform {
        Transform::Text => part_of(text, |text| text::until_nul(text).into()),
        Transform::Lower => change_case(text, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase),
        Transform::Upper => change_case(text, u8::is_ascii_lowercase, <[u8]>::make_ascii_uppercase),
        Transform::Trim => part_of(text, |text| text.trim_ascii().into()),
        Transform::Replace { pattern, with, all } => part_of(text, |text| {
            replace(pattern, with.as_bytes(), *all, text).into()
        }),
        Transform::Field {
            index,
            delimiters,
            count,
        } => part_of(text, |text| {
            fields(text, *index, delimiters, *count, true).into()
        }),
        Transform::Word {
            index,
            delimiters,
            count,
        } => part_of(text, |text| {
            let words = fields(text, *index, delimiters, *count, false);
            words.unwrap_or_default().into()
        }),
        Transform::TrimStart(chars) => part_of(text, |text| text::trim_start(text, chars).into()),
        Transform::TrimEnd(chars) => part_of(text, |text| text::trim_end(text, chars).into()),
        Transform::FirstLine => part_of(text, |text| text::first_line(text).into()),
        Transform::HostName => {
            let host = part_of(text, |text| text::host_and_port(text).0.into());
            let host = host.into_text().unwrap_or_default();
            change_case(host, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase)
        }
        Transform::HostPort => {
            let port = Fetched::from(text::host_and_port(&text).1).cast_number();
            port.into()
        }
        Transform::Append(append) => appended(text, append, false, facts),
        Transform::Join(append) => appended(text, append, true, facts),
        Transform::Compare(variable) => {
            let other = facts.variable(variable).into_text();
            other.map(|other| text::compare(&text, &other)).into()
        }
        Transform::SameSecret(variable) => {
            let other = facts.variable(variable).into_text();
            other.map(|other| text::same_secret(&text, &other)).into()
        }
        Transform::Base64Url => URL_WITHOUT_PADDING.encode(&text).into_bytes().into(),
        Transform::HexNumber => text::hex_number(&text).into(),
        Transform::FormDecode => part_of(text, |text| text::url_decode(text, true).into()),
        Transform::UrlEncode => text::url_encode(&text).into(),
        Transform::JsonEscape(charset) => text::json_escape(*charset, &text).into(),
        Transform::Hash(hashing) => crate::hash::hash(*hashing, &text).cast_signed().into(),
        Transform::Digest(kind) => text::digest(*kind, &text).into(),
        Transform::Chunks(chunks) => text::chunks(chunks, &text).into(),
        Transform::HealthyTargets => {
            let found = facts.healthy_targets_of(&text);
            found.into()
        }
        Transform::Hmac { digest, key } => {
            let key = match key {
                Secret::Base64(text) => base64_decode(text.as_bytes()),
                Secret::Variable(variable) => {
                    let text = facts.variable(variable).into_text();
                    text.and_then(|text| base64_decode(&text))
                }
            };
            key.and_then(|key| text::hmac(*digest, &key, &text)).into()
        }
        Transform::Language(known) => text::language(&text, known).into(),
        Transform::LastOutside(networks) => {
            part_of(text, |text| text::last_outside(text, networks).into())
        }
        Transform::Base64 => BASE64.encode(&text).into_bytes().into(),
        Transform::Base64Decode => base64_decode(&text).into(),
        Transform::Hex => hex(&text).into(),
        Transform::UrlDecode => part_of(text, |text| text::url_decode(text, false).into()),
        Transform::Length => (text.len() as u64).into(),
        Transform::Json(path) => part_of(text, |text| json::find(text, path)),
        Transform::JwtHeader(path) => jwt(&text, 0, path),
        Transform::JwtPayload(path) => jwt(&text, 1, path),
        Transform::JwtVerify(verify) => token::verify(&text, verify, facts).into(),
        Transform::Sha256 => hex(&Sha256::digest(&text)).into(),
        Transform::Backslashed => text::backslashed(text).into(),
        Transform::FixMessage => fix::message(&text).known().into(),
        Transform::FixTag(tag) => part_of(text, |text| fix::tag(text, *tag).found().into()),
        Transform::MqttPacket => mqtt::packet(&text).known().into(),
        Transform::Mqtt(field) => part_of(text, |text| match mqtt::field(text, *field).found() {
            Some(found) => found.into(),
            None => Fetched::Absent,
        }),
        Transform::RdpCookie(name) => part_of(text, |text| {
            rdp::cookie(text, name.as_deref()).found().into()
        }),
        Transform::TargetQueue => facts.queued_at(&text).into(),
        Transform::Bytes { offset, length } => part_of(text, |text| {
            bytes(text, *offset, *length).unwrap_or_default().into()
        }),
        // Done by `apply`, which knows them by type.
        Transform::Default(_)
        | Transform::Otherwise(_)
        | Transform::Map { .. }
        | Transform::MapGroups { .. }
        | Transform::IsLocal
        | Transform::Calculate(..)
        | Transform::SetVariable { .. }
        | Transform::UnsetVariable(_)
        | Transform::Negate
        | Transform::Complement
        | Transform::Truth
        | Transform::Not
        | Transform::Even
        | Transform::Odd
        | Transform::Choose(..)
        | Transform::Binary
        | Transform::Date { .. }
        | Transform::HttpDate { .. }
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
    pattern.replacen(text, limit, with)
}

/// So many fields from the one with this 1-based index on, or back from it where it is counted from the end.
/// `empty`: empty fields count. A `count` of 0, or more than there are, is all that follow.
fn fields<'t>(
    text: &'t [u8],
    index: i32,
    delimiters: &str,
    count: u32,
    empty: bool,
) -> Option<&'t [u8]> {
    let wanted = index.unsigned_abs() as usize;
    let last = wanted.checked_add((count as usize).checked_sub(1).unwrap_or(text.len() + 1))?;
    let delimits = |byte: &u8| delimiters.as_bytes().contains(byte);
    let mut edge = None;
    let mut number = 0_usize;
    // What of the text was not looked at yet.
    let (mut from, mut to) = (0, text.len());
    loop {
        let rest = text.get(from..to)?;
        let (start, end) = if index > 0 {
            let end = rest.iter().position(delimits);
            (from, end.map_or(to, |end| from + end))
        } else {
            let start = rest.iter().rposition(delimits);
            (start.map_or(from, |start| from + start + 1), to)
        };
        if empty || end > start {
            number += 1;
            if number == wanted {
                edge = Some(if index > 0 { start } else { end });
            }
            if number == last {
                return match index > 0 {
                    true => text.get(edge?..end),
                    false => text.get(start..edge?),
                };
            }
        }
        if index > 0 && end < to {
            from = end + 1;
        } else if index < 0 && start > from {
            to = start - 1;
        } else {
            break;
        }
    }
    match index > 0 {
        true => text.get(edge?..),
        false => text.get(..edge?),
    }
}

/// The bytes of a number or an address; text as it is.
fn binary(fetched: Fetched<'_>) -> Fetched<'_> {
    match fetched {
        Fetched::Number(number) => number.to_be_bytes().to_vec().into(),
        Fetched::Boolean(truth) => i64::from(truth).to_be_bytes().to_vec().into(),
        Fetched::Address(IpAddr::V4(address)) => address.octets().to_vec().into(),
        Fetched::Address(IpAddr::V6(address)) => address.octets().to_vec().into(),
        other => other,
    }
}

fn date<'a>(format: &str, seconds: i64, ahead: i32) -> Fetched<'a> {
    let mut out = Vec::new();
    super::date::write(format, seconds, ahead, &mut out);
    out.into()
}

fn http_date<'a>(time: i64, unit: TimeUnit) -> Fetched<'a> {
    let split = |per_second| (time.div_euclid(per_second), time.rem_euclid(per_second));
    match unit {
        TimeUnit::Seconds => date(HTTP_DATE, time, 0),
        TimeUnit::Milliseconds => {
            let (seconds, rest) = split(1_000);
            date(
                &HTTP_DATE.replace("%S", &format!("%S.{rest:03}")),
                seconds,
                0,
            )
        }
        TimeUnit::Microseconds => {
            let (seconds, rest) = split(1_000_000);
            date(
                &HTTP_DATE.replace("%S", &format!("%S.{rest:06}")),
                seconds,
                0,
            )
        }
    }
}

/// The text with more behind it; `join`: what is first of that only where it stands between two texts.
fn appended<'a, F: Facts>(
    text: Cow<'a, [u8]>,
    append: &Append,
    join: bool,
    facts: &F,
) -> Fetched<'a> {
    let variable = append.variable.as_ref();
    let variable = variable
        .and_then(|variable| facts.variable(variable).into_text())
        .unwrap_or_default();
    let something = !variable.is_empty() || !append.after.is_empty();
    let mut out = text.into_owned();
    if !join || (something && !out.is_empty()) {
        out.extend_from_slice(append.before.as_bytes());
    }
    out.extend_from_slice(&variable);
    out.extend_from_slice(append.after.as_bytes());
    out.into()
}

/// At most `length` bytes from `offset`; `None` where the text ends before it.
fn bytes(text: &[u8], offset: u32, length: Option<u32>) -> Option<&[u8]> {
    let rest = text.get(offset as usize..)?;
    let length = length.map_or(rest.len(), |length| rest.len().min(length as usize));
    rest.get(..length)
}

/// What a mask leaves of an address; one of IPv4 inside IPv6 counts as IPv4.
fn mask(address: IpAddr, v4: Ipv4Addr, v6: Option<Ipv6Addr>) -> Option<IpAddr> {
    Some(match address.to_canonical() {
        IpAddr::V4(address) => (address & v4).into(),
        IpAddr::V6(address) => (address & v6?).into(),
    })
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
    use ipnet::IpNet;
    use portway_model::expression::{ChunkForm, Chunks, HashKind, Hashing, Operation};
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
        check(bytes(5, None), "abcd", "");
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
            let count = 1;
            let field = Transform::Field {
                index,
                delimiters,
                count,
            };
            check(field, text, as_field);
            let delimiters = ",;".to_string();
            let word = Transform::Word {
                index,
                delimiters,
                count,
            };
            check(word, text, as_word);
        };
        check("a,b;c", 1, "a", "a");
        check("a,b;c", 3, "c", "c");
        check("a,b;c", -1, "c", "c");
        check("a,b;c", -3, "a", "a");
        check("a,b;c", 4, "<absent>", "");
        check("a,b;c", -4, "<absent>", "");
        check("a,b;c", 0, "<absent>", "");
        check(",,a", 2, "", "");
        check(",,a", 3, "a", "");
        check(",,a", 1, "", "a");
        check("", 1, "", "");
        check("a", i32::MIN, "<absent>", "");
    }

    /// Recorded from HAProxy 2.6.
    #[test]
    fn several_fields() {
        let check = |text: &str, index, count, as_field: &str, as_word: &str| {
            let found = |empty| {
                let found = fields(text.as_bytes(), index, "_", count, empty);
                found.map_or("<absent>".into(), String::from_utf8_lossy)
            };
            assert_eq!(found(true), as_field, "field {text} {index} {count}");
            assert_eq!(found(false), as_word, "word {text} {index} {count}");
        };
        check("a_b__c", 3, 0, "_c", "c");
        check("a_b__c", 2, 2, "b_", "b__c");
        check("a_b__c", 2, 0, "b__c", "b__c");
        check("a_b__c", -2, 2, "b_", "a_b");
        check("a_b__c", -1, 0, "a_b__c", "a_b__c");
        check("_a_b_", -1, 0, "_a_b_", "_a_b");
        check("a_b", 1, 5, "a_b", "a_b");
        check("a_b", 5, 0, "<absent>", "<absent>");
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
        check(Transform::UrlDecode, "a%2Fb+c", "a/b+c");
        check(Transform::UrlDecode, "a%2Fb+c%", "<absent>");
        check(
            Transform::Sha256,
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
    }

    #[test]
    fn numbers() {
        let by = |operation, number| Transform::Calculate(operation, Operand::Number(number));
        check(by(Operation::Add, 2), "40", "#42");
        check(by(Operation::Add, 2), "x", "<absent>");
        check(by(Operation::Multiply, -2), "21", "#-42");
        check(by(Operation::Modulo, 10), "42", "#2");
        check(Transform::Negate, "42", "#-42");
        check(Transform::Complement, "5", "#-6");
        check(Transform::Truth, "x", "?false");
        check(Transform::Not, "0", "?true");
        check(Transform::Odd, "5", "?true");
        check(Transform::Even, "5", "?false");
        let choice = || Transform::Choose("a".into(), "b".into());
        check(choice(), "1", "a");
        check(choice(), "x", "b");
        check_all(
            &[Transform::Binary, Transform::Hex],
            1_i64.into(),
            "0000000000000001",
        );
        check_all(&[Transform::Length], 1234_i64.into(), "#4");
        let chunks = |form, size, whole| {
            let between = "-".to_owned();
            Transform::Chunks(Chunks {
                form,
                between,
                size,
                whole,
            })
        };
        check(
            chunks(ChunkForm::Decimal, 2, false),
            "\u{1}\u{2}\u{3}",
            "258-3",
        );
        check(
            chunks(ChunkForm::Decimal, 2, true),
            "\u{1}\u{2}\u{3}",
            "258",
        );
        check(chunks(ChunkForm::Hex, 2, false), "kkk", "6B6B-6B");
        check(chunks(ChunkForm::Hex, 1, true), "", "");
        check_all(&[by(Operation::Add, 1)], true.into(), "#2");
    }

    #[test]
    fn networks() {
        let check = |v4: &str, v6: &str, address: &str, expected: &str| {
            let (v4, v6) = (v4.parse().unwrap(), v6.parse().ok());
            check(Transform::Mask { v4, v6 }, address, expected);
        };
        check("255.255.255.0", "ffff::", "10.1.2.3", "@10.1.2.0");
        check("0.0.0.0", "ffff::", "10.1.2.3", "@0.0.0.0");
        check("255.0.0.254", "ffff::", "10.1.2.3", "@10.0.0.2");
        check(
            "255.255.255.0",
            "ffff:0:ffff::",
            "2001:db8:1::4",
            "@2001:0:1::",
        );
        check("255.255.255.0", "", "2001:db8:1::4", "<absent>");
        check("255.255.255.0", "ffff::", "::ffff:10.1.2.3", "@10.1.2.0");
        check("255.255.255.0", "::", "name", "<absent>");
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
            any::<u64>().prop_map(|seed| {
                let function = HashKind::Wt6;
                Transform::Hash(Hashing { function, seed })
            }),
            Just(Transform::HostName),
            Just(Transform::HostPort),
            Just(Transform::HexNumber),
            Just(Transform::FormDecode),
            Just(Transform::UrlEncode),
            Just(Transform::Binary),
            text.prop_map(|text| Transform::Language(vec![text])),
            Just(Transform::LastOutside(vec![IpNet::from(IpAddr::from([
                10, 0, 0, 1
            ]))])),
            text.prop_map(Transform::TrimEnd),
            Just(Transform::Sha256),
            any::<i64>()
                .prop_map(|by| Transform::Calculate(Operation::Multiply, Operand::Number(by))),
            any::<(u32, Option<u128>)>().prop_map(|(v4, v6)| {
                let (v4, v6) = (Ipv4Addr::from_bits(v4), v6.map(Ipv6Addr::from_bits));
                Transform::Mask { v4, v6 }
            }),
            any::<(u32, Option<u32>)>()
                .prop_map(|(offset, length)| Transform::Bytes { offset, length }),
            text.prop_map(Transform::Json),
            text.prop_map(Transform::JwtHeader),
            text.prop_map(Transform::JwtPayload),
            text.prop_map(Transform::Default),
            (any::<i32>(), text).prop_map(|(index, delimiters)| Transform::Field {
                index,
                delimiters,
                count: 1
            }),
            (-3..3, text, 0_u32..4).prop_map(|(index, delimiters, count)| Transform::Word {
                index,
                delimiters,
                count,
            }),
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
