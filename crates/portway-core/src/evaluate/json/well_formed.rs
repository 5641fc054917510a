//! Whether a JSON text is one object, whole and in order (RFC 8259), where it must not be doubted what it says.
//!
//! The search for a member reads no further than it must. Where others read the same text, and the last of two members of
//! a name counts for them, or nothing counts because the text is broken behind what we looked for, that is not enough.

use super::{string, unescape};
use std::borrow::Cow;

/// Arrays and objects within each other at most, the outermost among them: no issuer nests a tenth of it, and most readers
/// of JSON allow so many.
pub(super) const MAX_JSON_DEPTH: u32 = 128;

/// True for an object whose members have different names. Of names further inside nothing is asked.
pub(crate) fn is_object(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok() && object(json).is_some()
}

fn object(json: &[u8]) -> Option<()> {
    let mut names: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut rest = blanks(json).strip_prefix(b"{")?;
    while let Some((name, at)) = next_member(rest, names.is_empty())? {
        names.push(name);
        rest = value(at, MAX_JSON_DEPTH - 1)?;
    }
    let behind = blanks(blanks(rest).strip_prefix(b"}")?);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    (behind.is_empty() && names.len() == count).then_some(())
}

/// The name of the next member, and where its value begins; `Some(None)`: there is no other.
#[expect(clippy::type_complexity, reason = "two ends of one step")]
fn next_member(json: &[u8], first: bool) -> Option<Option<(Cow<'_, [u8]>, &[u8])>> {
    let Some(at) = next(json, b'}', first)? else {
        return Some(None);
    };
    let (name, rest) = text(at)?;
    let at = blanks(rest).strip_prefix(b":")?;
    Some(Some((name, blanks(at))))
}

/// Where the next name or element begins; `Some(None)`: the bracket that closes comes instead.
fn next(json: &[u8], close: u8, first: bool) -> Option<Option<&[u8]>> {
    let rest = blanks(json);
    match rest.split_first()? {
        (byte, _) if *byte == close => Some(None),
        _ if first => Some(Some(rest)),
        (b',', rest) => Some(Some(blanks(rest))),
        _ => None,
    }
}

/// What follows the value that begins here, which nests `depth` deep at most.
fn value(json: &[u8], depth: u32) -> Option<&[u8]> {
    let (first, inside) = json.split_first()?;
    match first {
        b'{' | b'[' => nested(*first, inside, depth.checked_sub(1)?),
        b'"' => Some(text(json)?.1),
        b't' => json.strip_prefix(b"true"),
        b'f' => json.strip_prefix(b"false"),
        b'n' => json.strip_prefix(b"null"),
        _ => number(json),
    }
}

fn nested(open: u8, inside: &[u8], depth: u32) -> Option<&[u8]> {
    let (mut rest, mut first) = (inside, true);
    let close = if open == b'{' { b'}' } else { b']' };
    loop {
        let at = match open {
            b'{' => next_member(rest, first)?.map(|(_, at)| at),
            _ => next(rest, close, first)?,
        };
        let Some(at) = at else {
            return blanks(rest).get(1..);
        };
        rest = value(at, depth)?;
        first = false;
    }
}

/// A text as it is meant, and what follows it.
fn text(json: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let (inside, rest) = string(json)?;
    let is_plain = inside.iter().all(|byte| *byte >= b' ');
    Some((unescape(inside).filter(|_| is_plain)?, rest))
}

/// What follows a number (RFC 8259 section 6).
fn number(json: &[u8]) -> Option<&[u8]> {
    let digits = |at: &[u8]| at.iter().take_while(|it| it.is_ascii_digit()).count();
    let some_digits = |at: &'_ [u8]| Some(digits(at)).filter(|count| *count > 0);
    let mut rest = json.strip_prefix(b"-").unwrap_or(json);
    let whole = some_digits(rest)?;
    if whole > 1 && rest.first() == Some(&b'0') {
        return None;
    }
    rest = rest.get(whole..)?;
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = fraction.get(some_digits(fraction)?..)?;
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent = match exponent.split_first() {
            Some((b'+' | b'-', digits)) => digits,
            _ => exponent,
        };
        rest = exponent.get(some_digits(exponent)?..)?;
    }
    Some(rest)
}

/// What follows the blanks of JSON, which form feeds are none of.
fn blanks(json: &[u8]) -> &[u8] {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let count = json.iter().take_while(is_blank).count();
    json.get(count..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn objects() {
        for good in [
            "{}",
            " \r\n\t{ } \n",
            r#"{"a":1,"b":-0.5e+10,"c":[{},[],"",null],"d":{"a":true},"e":{"x":1,"x":2}}"#,
            r#"{"":0,"\u00e9":"\ud83d\ude00é"}"#,
        ] {
            assert!(is_object(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "{",
            "[]",
            "{} {}",
            "{}\u{c}",
            "{\"a\":1,}",
            "{,\"a\":1}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":[1}",
            "{\"a\":{]}",
            "{\"a\":{\"b\"}}",
            "{\"a\":tru}",
            "{\"a\":truee}",
            "{\"a\":'x'}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{a:1}",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
        ] {
            assert!(!is_object(bad.as_bytes()), "{bad}");
        }
        assert!(!is_object(b"{\"a\":\"\xff\"}"));
        for bad in [
            "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "--1", "NaN",
        ] {
            assert!(!is_object(format!("{{\"a\":{bad}}}").as_bytes()), "{bad}");
        }
    }

    #[test]
    fn depth_has_an_end() {
        let deep = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            is_object(format!("{{\"a\":{open}{close}}}").as_bytes())
        };
        assert!(deep(127) && !deep(128) && !deep(100_000));
    }

    proptest! {
        #[test]
        fn any_bytes(json: Vec<u8>) {
            let _ = is_object(&json);
        }

        #[test]
        fn what_stands_behind_an_object_breaks_it(inside in r#"[\[\]{}":,a0-2]{0,9}"#, behind in r#"[\[\]{}":,a0-2]{1,9}"#) {
            let json = format!("{{\"x\":{inside}}}");
            if is_object(json.as_bytes()) {
                let longer = format!("{json}{behind}");
                prop_assert!(!is_object(longer.as_bytes()), "{}", longer);
            }
        }
    }
}
