//! Normal forms of path and query (RFC 3986 §6.2), for rules that ask for one: a function of its arguments.

use super::encoding::nibble;
use super::rewrite::split_target;
use portway_model::action::Normalization;

/// The target in this form; `None` where that must be percent-encoded in order and is not. The target begins with a
/// slash.
pub fn normalize(form: Normalization, target: &[u8]) -> Option<Vec<u8>> {
    let (path, query) = split_target(target);
    let with_path = |path: Vec<u8>| joined(path, query);
    Some(match form {
        Normalization::MergeSlashes => with_path(merge_slashes(path)),
        Normalization::StripDot => with_path(strip_dot(path)),
        Normalization::StripDotdot => with_path(strip_dotdot(path, false)),
        Normalization::StripDotdotFull => with_path(strip_dotdot(path, true)),
        Normalization::DecodeSlashes => with_path(percent(path, false, slash_decoded)?),
        Normalization::TurnBackslashes => {
            let mut path = percent(path, false, backslash_turned)?;
            path.iter_mut()
                .filter(|byte| **byte == b'\\')
                .for_each(|byte| *byte = b'/');
            with_path(path)
        }
        Normalization::SortQuery => match query {
            Some(query) => joined(path.to_vec(), Some(&sorted(query))),
            None => target.to_vec(),
        },
        Normalization::DecodeUnreserved => percent(target, false, decoded)?,
        Normalization::DecodeUnreservedStrict => percent(target, true, decoded)?,
        Normalization::UppercasePercent => percent(target, false, uppercased)?,
        Normalization::UppercasePercentStrict => percent(target, true, uppercased)?,
    })
}

fn joined(mut path: Vec<u8>, query: Option<&[u8]>) -> Vec<u8> {
    if let Some(query) = query {
        path.push(b'?');
        path.extend_from_slice(query);
    }
    path
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    out
}

/// Each segment with the slash behind it, the last perhaps without; what is before the first slash is empty.
fn segments(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path.split_inclusive(|byte| *byte == b'/')
}

fn strip_dot(path: &[u8]) -> Vec<u8> {
    let mut out = b"/".to_vec();
    for segment in segments(path).filter(|segment| !matches!(segment, [b'.'] | [b'.', b'/'])) {
        out.extend_from_slice(segment);
    }
    out
}

fn strip_dotdot(path: &[u8], full: bool) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    // How many of those that are kept are `..` themselves.
    let mut above = 0;
    for segment in segments(path) {
        if !matches!(segment, [b'.', b'.'] | [b'.', b'.', b'/']) {
            kept.push(segment);
        } else if kept.len() > above {
            kept.pop();
        } else if !full {
            kept.push(b"../");
            above += 1;
        }
    }
    let mut out = b"/".to_vec();
    out.extend_from_slice(&kept.concat());
    out
}

/// The arguments by the bytes of their names; those of one name stay in their order.
fn sorted(query: &[u8]) -> Vec<u8> {
    let mut arguments: Vec<&[u8]> = query.split(|byte| *byte == b'&').collect();
    arguments.sort_by_key(|argument| argument.split(|byte| *byte == b'=').next());
    arguments.join(&b'&')
}

/// Every three characters that percent-encode a byte, put as `put` has it; `None` where some do not and `strict` is on.
fn percent(target: &[u8], strict: bool, put: fn(u8, [u8; 2], &mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(target.len());
    let mut rest = target;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let digits = tail.split_at_checked(2).and_then(|(digits, behind)| {
            let [high, low] = digits.try_into().ok()?;
            Some(([high, low], nibble(high)? << 4 | nibble(low)?, behind))
        });
        match digits {
            Some((digits, byte, behind)) => {
                put(byte, digits, &mut out);
                rest = behind;
            }
            None if strict => return None,
            None => out.push(b'%'),
        }
    }
    Some(out)
}

fn decoded(byte: u8, [high, low]: [u8; 2], out: &mut Vec<u8>) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        out.push(byte);
    } else {
        out.extend([b'%', high, low]);
    }
}

fn slash_decoded(byte: u8, [high, low]: [u8; 2], out: &mut Vec<u8>) {
    match byte {
        b'/' => out.push(b'/'),
        _ => out.extend([b'%', high, low]),
    }
}

fn backslash_turned(byte: u8, [high, low]: [u8; 2], out: &mut Vec<u8>) {
    match byte {
        b'\\' => out.push(b'/'),
        _ => out.extend([b'%', high, low]),
    }
}

fn uppercased(_: u8, [high, low]: [u8; 2], out: &mut Vec<u8>) {
    out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(form: Normalization, target: &str, expected: Option<&str>) {
        let normal = normalize(form, target.as_bytes());
        let normal = normal.map(|normal| String::from_utf8(normal).unwrap());
        assert_eq!(normal.as_deref(), expected, "{target}");
    }

    #[test]
    fn slashes() {
        let check = |from, to| check(Normalization::MergeSlashes, from, Some(to));
        check("/foo/bar", "/foo/bar");
        check("///foo///bar///", "/foo/bar/");
        check("///", "/");
        check("//foo?bar=///", "/foo?bar=///");
    }

    #[test]
    fn dots() {
        let dot = |from, to| check(Normalization::StripDot, from, Some(to));
        dot("/", "/");
        dot("/.", "/");
        dot("/./", "/");
        dot("/a/.", "/a/");
        dot("/a./.a", "/a./.a");
        dot("/a/./a", "/a/a");
        dot("/a/../a", "/a/../a");
        dot("/?a=/./", "/?a=/./");

        let dotdot = |from, some, full| {
            check(Normalization::StripDotdot, from, Some(some));
            check(Normalization::StripDotdotFull, from, Some(full));
        };
        dotdot("/foo/bar", "/foo/bar", "/foo/bar");
        dotdot("/foo/..", "/", "/");
        dotdot("/foo/bar/../", "/foo/", "/foo/");
        dotdot("/foo/bar/..", "/foo/", "/foo/");
        dotdot("/foo/../../bar/", "/../bar/", "/bar/");
        dotdot("/foo//../../bar/", "/bar/", "/bar/");
        dotdot("/../../a/..", "/../../", "/");
        dotdot("/..", "/../", "/");
        dotdot("/foo/../?bar=/foo/../", "/?bar=/foo/../", "/?bar=/foo/../");
    }

    #[test]
    fn slashes_in_disguise() {
        let decoded = |from, to| check(Normalization::DecodeSlashes, from, Some(to));
        decoded("/a%2Fb%2fc?d=%2F", "/a/b/c?d=%2F");
        decoded("/a%5Cb%2", "/a%5Cb%2");
        decoded("/%2%2F%%2F", "/%2/%/");
        let turned = |from, to| check(Normalization::TurnBackslashes, from, Some(to));
        turned("/a\\b%5Cc%5cd?e=\\", "/a/b/c/d?e=\\");
        turned("/%2F%5", "/%2F%5");
    }

    #[test]
    fn queries() {
        let check = |from, to| check(Normalization::SortQuery, from, Some(to));
        check("/?c&b&a&z&x&y", "/?a&b&c&x&y&z");
        check("/?aaaa=&a=&aa=&aaa=", "/?a=&aa=&aaa=&aaaa=");
        check("/?a=5&b=3&a=1&a=2&b=4", "/?a=5&a=1&a=2&b=3&b=4");
        check("/?", "/?");
        check("/", "/");
    }

    #[test]
    fn percents() {
        let both = |lenient, strict, from, to| {
            check(lenient, from, Some(to));
            check(
                strict,
                from,
                Some(to).filter(|_| !from.contains("%z") && !from.contains("%%")),
            );
        };
        let upper = |from, to| {
            both(
                Normalization::UppercasePercent,
                Normalization::UppercasePercentStrict,
                from,
                to,
            );
        };
        upper("/%aa?a=%aa", "/%AA?a=%AA");
        upper("/%zz?a=%zz", "/%zz?a=%zz");
        let decode = |from, to| {
            both(
                Normalization::DecodeUnreserved,
                Normalization::DecodeUnreservedStrict,
                from,
                to,
            );
        };
        decode("/%61?%61=%61", "/a?a=a");
        decode("/%3F%3f?foo=bar", "/%3F%3f?foo=bar");
        decode("/%%36%36", "/%66");
    }

    proptest! {
        #[test]
        fn a_path_stays_one(rest: Vec<u8>) {
            let target = [b"/".as_slice(), &rest].concat();
            for form in Normalization::ALL {
                if let Some(normal) = normalize(form, &target) {
                    prop_assert_eq!(normal.first(), Some(&b'/'));
                    // What takes segments out may bring others together.
                    let stable = !matches!(form, Normalization::DecodeUnreserved | Normalization::DecodeUnreservedStrict);
                    prop_assert!(!stable || normalize(form, &normal) == Some(normal));
                }
            }
        }
    }
}
