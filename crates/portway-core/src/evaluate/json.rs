//! Finds one member of a JSON text (RFC 8259) without reading the rest into memory.
//!
//! What lies before the member is skipped, not checked, and what lies after it is not read. Nothing recurses:
//! a member that is skipped only counts its brackets, and the search goes as deep as the path is long.

mod well_formed;

use super::Fetched;
use super::encoding::nibble;
use std::borrow::Cow;
pub(crate) use well_formed::is_object;

/// The member at `path`: `$`, then `.name`, `['name']` or `[index]` steps. Of a text its unescaped bytes, a whole
/// number or a boolean as such, an array, an object or another number as it is written. Absent where there is no
/// such member, where it is `null` and where `path` or the text up to there makes no sense.
pub(super) fn find<'j>(json: &'j [u8], path: &str) -> Fetched<'j> {
    member(json, path).unwrap_or(Fetched::Absent)
}

enum Step<'p> {
    Name(&'p str),
    Index(usize),
}

/// The member of this name, or at this path where it begins with `$`, as it is written; `null` is none.
pub(crate) fn written<'j>(json: &'j [u8], name: &str) -> Option<&'j [u8]> {
    let at = match name.starts_with('$') {
        true => walk(json, name)?,
        false => named(json.trim_ascii_start(), name.as_bytes())?,
    };
    let (text, _) = split_value(at)?;
    (text != b"null").then_some(text)
}

/// The text of a member that was found as it is written; `None`: it is no text.
pub(crate) fn text(written: &[u8]) -> Option<Cow<'_, [u8]>> {
    unescape(string(written)?.0)
}

/// The elements of an array, as they are written; none where it is no array.
pub(crate) fn elements(written: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inside = written.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    let mut rest = inside.filter(|rest| rest.first() != Some(&b']'));
    std::iter::from_fn(move || {
        let at = rest?;
        rest = next_element(at);
        split_value(at).map(|(element, _)| element)
    })
}

fn member<'j>(json: &'j [u8], path: &str) -> Option<Fetched<'j>> {
    value(walk(json, path)?)
}

/// Where the value at a path begins.
fn walk<'j>(json: &'j [u8], path: &str) -> Option<&'j [u8]> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut at = json.trim_ascii_start();
    while !rest.is_empty() {
        let (step, after) = next_step(rest)?;
        rest = after;
        at = match step {
            Step::Name(name) => named(at, name.as_bytes())?,
            Step::Index(index) => indexed(at, index)?,
        };
    }
    Some(at)
}

/// The first step of a path and the rest of the path.
fn next_step(path: &str) -> Option<(Step<'_>, &str)> {
    if let Some(name) = path.strip_prefix("['") {
        let (name, rest) = name.split_once("']")?;
        return Some((Step::Name(name), rest));
    }
    if let Some(index) = path.strip_prefix('[') {
        let (index, rest) = index.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), rest));
    }
    // The first dot may be left out after a path without `$`.
    let name = path.strip_prefix('.').unwrap_or(path);
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (name, rest) = name.split_at_checked(end)?;
    (!name.is_empty()).then_some((Step::Name(name), rest))
}

/// Where the value of the first member called `name` begins.
fn named<'j>(json: &'j [u8], name: &[u8]) -> Option<&'j [u8]> {
    let mut rest = json.strip_prefix(b"{")?.trim_ascii_start();
    loop {
        let (key, after) = string(rest)?;
        rest = after
            .trim_ascii_start()
            .strip_prefix(b":")?
            .trim_ascii_start();
        if unescape(key)?.as_ref() == name {
            return Some(rest);
        }
        rest = next_element(rest)?;
    }
}

/// Where the element with this index begins.
fn indexed(json: &[u8], index: usize) -> Option<&[u8]> {
    let mut rest = json.strip_prefix(b"[")?.trim_ascii_start();
    for _ in 0..index {
        rest = next_element(rest)?;
    }
    (rest.first()? != &b']').then_some(rest)
}

/// What follows the comma after the value that begins here.
fn next_element(json: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_value(json)?;
    let rest = rest.trim_ascii_start().strip_prefix(b",")?;
    Some(rest.trim_ascii_start())
}

/// The value that begins here.
fn value(json: &[u8]) -> Option<Fetched<'_>> {
    if json.first() == Some(&b'"') {
        let (inside, _) = string(json)?;
        return unescape(inside).map(Fetched::from);
    }
    let (text, _) = split_value(json)?;
    match text {
        b"true" => Some(true.into()),
        b"false" => Some(false.into()),
        [b'{' | b'[', ..] => Some(text.into()),
        [b'-' | b'0'..=b'9', ..] => {
            let text = Fetched::from(text);
            Some(text.number().map_or(text, Fetched::Number))
        }
        _ => None,
    }
}

/// The value that begins here, as it is written, and the rest.
fn split_value(json: &[u8]) -> Option<(&[u8], &[u8])> {
    match json.first()? {
        b'{' | b'[' => json.split_at_checked(length_of_nested(json)?),
        b'"' => {
            let (_, rest) = string(json)?;
            json.split_at_checked(json.len() - rest.len())
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
            json.split_at_checked(json.iter().position(ends).unwrap_or(json.len()))
        }
    }
}

/// Bytes up to and with the bracket that closes the first.
fn length_of_nested(json: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut rest = json;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = match byte {
            b'"' => string(rest)?.1,
            _ => after,
        };
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(json.len() - rest.len());
        }
    }
}

/// What is between the quotes of the string that begins here, still escaped, and the rest.
fn string(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = json.strip_prefix(b"\"")?;
    let mut end = 0;
    loop {
        end += memchr::memchr2(b'"', b'\\', inside.get(end..)?)?;
        if inside.get(end)? == &b'"' {
            return Some((inside.get(..end)?, inside.get(end + 1..)?));
        }
        end += 2;
    }
}

/// The text of a string; `None` where an escape is none (RFC 8259 §7).
fn unescape(inside: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        text.push(match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, after) = unicode(rest)?;
                rest = after;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    Some(Cow::Owned(text))
}

/// The character of the four digits here, or of a surrogate pair.
fn unicode(json: &[u8]) -> Option<(char, &[u8])> {
    let (high, rest) = four_digits(json)?;
    if let Some(character) = char::from_u32(high) {
        return Some((character, rest));
    }
    let (low, rest) = four_digits(rest.strip_prefix(b"\\u")?)?;
    if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let scalar = 0x1_0000 + ((high - 0xd800) << 10 | (low - 0xdc00));
    Some((char::from_u32(scalar)?, rest))
}

fn four_digits(json: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = json.split_at_checked(4)?;
    let number = digits.iter().try_fold(0_u32, |number, &digit| {
        Some(number << 4 | u32::from(nibble(digit)?))
    })?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::show;
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(json: &str, path: &str, expected: &str) {
        assert_eq!(
            show(&find(json.as_bytes(), path)),
            expected,
            "{path} of {json}"
        );
    }

    #[test]
    fn members() {
        let json = r#" { "a" : {"b":[10, {"c":"x"} ,[],"]}" , -7]}, "t":true,"f":false,"n":null,
            "e": "q\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00", "f\u006f\"o":1, "x.y":2, "d":1.5e3, "empty":"" } "#;
        check(json, "$.a.b[0]", "#10");
        check(json, "$.a.b[1].c", "x");
        check(json, "$.a.b[2]", "[]");
        check(json, "$.a.b[3]", "]}");
        check(json, "$.a.b[4]", "#-7");
        check(json, "$.a.b[5]", "<absent>");
        check(json, "$.a.b[1]", r#"{"c":"x"}"#);
        check(json, "$.t", "?true");
        check(json, "t", "?true");
        check(json, "$.f", "?false");
        check(json, "$.n", "<absent>");
        check(json, "$.e", "q\"\\/\u{8}\u{c}\n\r\téé😀");
        check(json, "$.fo\"o", "#1");
        check(json, "$['x.y']", "#2");
        check(json, "$.d", "1.5e3");
        check(json, "$.empty", "");
        check(json, "$.none", "<absent>");
        check(json, "$.a.none", "<absent>");
        check(json, "$.t.none", "<absent>");
        check(json, "$.a[0]", "<absent>");
        check("[1,2]", "$[1]", "#2");
        check("[]", "$[0]", "<absent>");
        check("\"s\"", "$", "s");
        check(" 17 ", "$", "#17");
        check("{}", "$.a", "<absent>");
        check(r#"{"a":1,"a":2}"#, "$.a", "#1");
    }

    #[test]
    fn members_as_they_are_written() {
        let json =
            br#" {"a":"x\u0041", "l" : ["b", 1 ,{"c":[]}], "e":[], "n":null, "f":1.5, "$d":2}"#;
        let check = |name: &str, expected: Option<&str>| {
            let found = written(json, name).map(|it| String::from_utf8_lossy(it));
            assert_eq!(found.as_deref(), expected, "{name}");
        };
        check("a", Some(r#""x\u0041""#));
        check("$.l[2].c", Some("[]"));
        check("n", None);
        check("f", Some("1.5"));
        check("none", None);
        check("['$d']", None);
        assert_eq!(text(written(json, "a").unwrap()).unwrap(), &b"xA"[..]);
        assert_eq!(text(written(json, "f").unwrap()), None);
        let of = |name: &str| {
            let elements = elements(written(json, name).unwrap());
            elements
                .map(|it| String::from_utf8_lossy(it).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("l"), [r#""b""#, "1", r#"{"c":[]}"#]);
        assert!(of("e").is_empty() && of("a").is_empty());
    }

    #[test]
    fn nonsense() {
        for path in ["$..a", "$.", "$[", "$[x]", "$[-1]", "$['a", "$a]b"] {
            check(r#"{"a":1}"#, path, "<absent>");
        }
        for json in [
            "",
            "{",
            "{\"",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\" 1}",
            "{\"a\":\"",
            "{a:1}",
            "{\"a\":\"\\",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\ud800\\u0041\"}",
            "{\"a\":\"\\udc00\\udc00\"}",
            "{\"a\":nul}",
            "[\"a\",1]",
            "{\"b\":[[[,\"a\":1}",
            "]",
            "}",
        ] {
            check(json, "$.a", "<absent>");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000);
        check(&format!("{{\"x\":{deep},\"a\":1}}"), "$.a", "<absent>");
        let closed = deep.clone() + &"]".repeat(1_000_000);
        check(&format!("{{\"x\":{closed},\"a\":1}}"), "$.a", "#1");
    }

    proptest! {
        #[test]
        fn any_bytes(json: Vec<u8>, path: String) {
            let _ = find(&json, &path);
        }

        #[test]
        fn nearly_json(json in r#"[\[\]{}":,\\au0-2 ]{0,40}"#, path in r#"[$.\[\]'a0-2]{0,8}"#) {
            let _ = find(json.as_bytes(), &path);
            assert!(elements(json.as_bytes()).count() <= json.len());
        }
    }
}
