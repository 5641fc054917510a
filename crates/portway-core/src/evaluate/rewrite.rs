//! Rewriting of paths and header values: functions of their arguments, for the data plane.
//!
//! A path that leaves here begins with a slash and holds nothing that would end it or a request line.

use super::encoding::{UriPart, encode_tail};
use super::transform::replace;
use portway_model::action::NamePattern;
use portway_model::stage::{Pattern, Resolved};
use std::borrow::Cow;

/// Path and query of a request target in origin form; `None`: no question mark.
pub fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

/// Scheme and authority of a request target.
pub type Origin<'a> = (&'a [u8], &'a [u8]);

/// The origin of a request target in absolute form, and what comes after them.
pub fn split_origin(url: &[u8]) -> (Option<Origin<'_>>, &[u8]) {
    let is_of_scheme =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let scheme_len = url.iter().take_while(|byte| is_of_scheme(byte)).count();
    let Some((scheme, rest)) = url.split_at_checked(scheme_len) else {
        return (None, url);
    };
    match rest.strip_prefix(b"://") {
        Some(rest) if scheme_len > 0 => {
            let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
            let len = rest.iter().position(ends).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(len).unwrap_or_default();
            (Some((scheme, authority)), rest)
        }
        _ => (None, url),
    }
}

/// Appends an origin as it may stand in a request line.
pub fn write_origin((scheme, authority): Origin<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(scheme);
    out.extend_from_slice(b"://");
    out.extend_from_slice(authority);
    encode_tail(out, start, UriPart::Path);
}

/// Makes what stands from `start` on a request target: without an origin it begins with a slash.
pub(super) fn root_url(out: &mut Vec<u8>, start: usize) {
    let (origin, rest) = split_origin(out.get(start..).unwrap_or_default());
    let starts_well = match origin {
        Some(_) => rest.is_empty() || rest.starts_with(b"/"),
        None => rest.starts_with(b"/"),
    };
    if !starts_well {
        out.insert(out.len() - rest.len(), b'/');
    }
    encode_tail(out, start, UriPart::Query);
}

/// Takes the first of `prefixes` that the path begins with off it, appends the rest to `out` and gives the prefix.
/// The comparison is of text, so `/a` comes off `/ab` as well, and the rest is `/b`.
pub fn strip_prefix<'p>(prefixes: &'p [String], path: &[u8], out: &mut Vec<u8>) -> Option<&'p str> {
    prefixes.iter().find_map(|prefix| {
        let rest = path.strip_prefix(prefix.as_bytes())?;
        write_rooted(rest, out);
        Some(prefix.as_str())
    })
}

/// Appends the path with a prefix before it.
pub fn add_prefix(prefix: &str, path: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if prefix.is_empty() {
        write_rooted(path, out);
    } else {
        write_rooted(prefix.as_bytes(), out);
        out.extend_from_slice(path);
    }
    encode_tail(out, start, UriPart::Path);
}

/// Appends the path with every match of `pattern` replaced by `with` (`$1`, `${1}`); false, and nothing appended,
/// where there is none.
pub fn replace_path(pattern: &Pattern, with: &[u8], path: &[u8], out: &mut Vec<u8>) -> bool {
    replace_part(pattern, with, path, UriPart::Path, out)
}

/// As [`replace_path`], for path and query.
pub fn replace_target(pattern: &Pattern, with: &[u8], target: &[u8], out: &mut Vec<u8>) -> bool {
    replace_part(pattern, with, target, UriPart::Query, out)
}

/// As [`replace_path`], for a whole request target.
pub fn replace_url(pattern: &Pattern, with: &[u8], url: &[u8], out: &mut Vec<u8>) -> bool {
    let Cow::Owned(replaced) = replace(pattern, with, true, url) else {
        return false;
    };
    let start = out.len();
    out.extend_from_slice(&replaced);
    root_url(out, start);
    true
}

fn replace_part(
    pattern: &Pattern,
    with: &[u8],
    text: &[u8],
    part: UriPart,
    out: &mut Vec<u8>,
) -> bool {
    let Cow::Owned(replaced) = replace(pattern, with, true, text) else {
        return false;
    };
    let start = out.len();
    write_rooted(&replaced, out);
    encode_tail(out, start, part);
    true
}

/// A header value with every match of `pattern` replaced by `with`, fit for a header; borrowed where there is none.
pub fn replace_header_value<'v>(pattern: &Pattern, with: &[u8], value: &'v [u8]) -> Cow<'v, [u8]> {
    let mut replaced = replace(pattern, with, true, value);
    if let Cow::Owned(value) = &mut replaced {
        sanitise(value);
    }
    replaced
}

/// As [`replace_header_value`], with each element of a list between commas, without the blanks around it, as a value of
/// its own. Blanks stay around what does not change, as HAProxy has it.
pub fn replace_elements(pattern: &Pattern, with: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (index, element) in value.split(|byte| *byte == b',').enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match replace_header_value(pattern, with, element.trim_ascii()) {
            Cow::Owned(replaced) => out.extend_from_slice(&replaced),
            Cow::Borrowed(_) => out.extend_from_slice(element),
        }
    }
    out
}

/// Whether a header fits.
pub fn header_fits(names: &NamePattern<Resolved>, name: &[u8], value: &[u8]) -> bool {
    match names {
        NamePattern::Text { how, text } => {
            super::matcher::text_matches(*how, name, text.as_bytes(), true)
        }
        NamePattern::Regex(pattern) => pattern.is_match(name),
        NamePattern::Line(pattern) => {
            let line = [&name.to_ascii_lowercase(), b": ".as_slice(), value].concat();
            pattern.is_match(&line)
        }
    }
}

/// Turns what a header value may not hold (RFC 9110 §5.5: CR, LF, NUL, and with them every control but the tab)
/// into a space.
pub(super) fn sanitise(value: &mut [u8]) {
    for byte in value {
        if byte.is_ascii_control() && *byte != b'\t' {
            *byte = b' ';
        }
    }
}

fn write_rooted(path: &[u8], out: &mut Vec<u8>) {
    if path.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn targets() {
        let check = |target: &str, path: &str, query: Option<&str>| {
            let expected = (path.as_bytes(), query.map(str::as_bytes));
            assert_eq!(split_target(target.as_bytes()), expected);
        };
        check("/a", "/a", None);
        check("/a?", "/a", Some(""));
        check("/a?b?c", "/a", Some("b?c"));
        check("", "", None);
        check("?", "", Some(""));
    }

    #[test]
    fn urls() {
        let check = |url: &str, expected: &str| {
            let mut out = b"x".to_vec();
            out.extend_from_slice(url.as_bytes());
            root_url(&mut out, 1);
            assert_eq!(text(out).split_off(1), expected);
        };
        check("http://a:81/b?c", "http://a:81/b?c");
        check("http://a", "http://a");
        check("http://a?b", "http://a/?b");
        check("/a://b", "/a://b");
        check("a/b c", "/a/b%20c");
        check("", "/");
        check("://a", "/://a");
        let origin = (b"http".as_slice(), b"a b/c".as_slice());
        let mut out = Vec::new();
        write_origin(origin, &mut out);
        assert_eq!(text(out), "http://a%20b/c");
        assert_eq!(
            split_origin(b"http://a/b"),
            (
                Some((b"http".as_slice(), b"a".as_slice())),
                b"/b".as_slice()
            )
        );
    }

    #[test]
    fn prefixes() {
        let prefixes = ["/api/v1".to_string(), "/api".into(), "/s/".into()];
        let check = |path: &str, expected: Option<(&str, &str)>| {
            let mut out = b"x".to_vec();
            let taken = strip_prefix(&prefixes, path.as_bytes(), &mut out);
            let rest = text(out).split_off(1);
            assert_eq!(
                taken.map(|taken| (taken, rest.as_str())),
                expected,
                "{path}"
            );
            assert!(taken.is_some() || rest.is_empty());
        };
        check("/api/v1/x", Some(("/api/v1", "/x")));
        check("/api/v1", Some(("/api/v1", "/")));
        check("/api/v2", Some(("/api", "/v2")));
        check("/apis", Some(("/api", "/s")));
        check("/s/a", Some(("/s/", "/a")));
        check("/s", None);
        check("*", None);

        let check = |prefix: &str, path: &str, expected: &str| {
            let mut out = Vec::new();
            add_prefix(prefix, path.as_bytes(), &mut out);
            assert_eq!(text(out), expected);
        };
        check("/a", "/b", "/a/b");
        check("a", "/b", "/a/b");
        check("", "/b", "/b");
        check("/a b?", "/c", "/a%20b%3F/c");
    }

    #[test]
    fn patterns() {
        let check = |pattern: &str, with: &str, path: &str, expected: Option<&str>| {
            let mut out = Vec::new();
            let pattern = Pattern::new(pattern).unwrap();
            let found = replace_path(&pattern, with.as_bytes(), path.as_bytes(), &mut out);
            assert_eq!(found.then(|| text(out)).as_deref(), expected, "{pattern:?}");
        };
        check("^/old/(.*)", "/new/$1", "/old/a", Some("/new/a"));
        check("^/old/(.*)", "/new/$1", "/x", None);
        check("^/(.*)", "$1", "/a", Some("/a"));
        check("a", "b c?", "/a/a", Some("/b%20c%3F/b%20c%3F"));
        check("a", "\r\nHost: x", "/a", Some("/%0D%0AHost:%20x"));

        let mut out = Vec::new();
        let all = Pattern::new("^(.*)$").unwrap();
        assert!(replace_target(&all, b"/x$1&a=b?c", b"/p?q=1", &mut out));
        assert_eq!(text(out), "/x/p?q=1&a=b?c");

        let pattern = Pattern::new("b(.)").unwrap();
        assert_eq!(
            *replace_header_value(&pattern, "$1\r\n\0é\t".as_bytes(), b"abc"),
            *"ac   é\t".as_bytes()
        );
        assert!(matches!(
            replace_header_value(&pattern, b"x", b"a"),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn elements_of_lists() {
        let check = |value: &str, expected: &str| {
            let pattern = Pattern::new("^b(.?)$").unwrap();
            let out = replace_elements(&pattern, b"<$1>", value.as_bytes());
            assert_eq!(text(out), expected);
        };
        check("", "");
        check("a,b,bc", "a,<>,<c>");
        check(" b ,\tbc,, c,b", "<>,<c>,, c,<>");
        check("a b", "a b");
    }

    #[test]
    fn headers_that_fit() {
        let check = |names: &NamePattern<Resolved>, name: &str, expected| {
            assert_eq!(
                header_fits(names, name.as_bytes(), b"v"),
                expected,
                "{name}"
            );
        };
        let prefix = NamePattern::Text {
            how: portway_model::expression::TextMatch::Prefix,
            text: "X-In".into(),
        };
        check(&prefix, "x-internal", true);
        check(&prefix, "a-x-in", false);
        let regex = NamePattern::Regex(Pattern::new("^X-[ab]$").unwrap());
        check(&regex, "X-a", true);
        check(&regex, "x-a", false);
        let line = NamePattern::Line(Pattern::new("^x-[ab]: v$").unwrap());
        check(&line, "X-a", true);
        check(&line, "X-c", false);
    }

    proptest! {
        #[test]
        fn paths_are_paths(path: Vec<u8>, prefix: String, with: String) {
            let mut out = Vec::new();
            let _ = split_target(&path);
            strip_prefix(std::slice::from_ref(&prefix), &path, &mut out);
            out.clear();
            add_prefix(&prefix, b"/x", &mut out);
            prop_assert!(out.first() == Some(&b'/') && out.iter().all(u8::is_ascii_graphic));
            out.clear();
            if replace_path(&Pattern::new("(.)").unwrap(), with.as_bytes(), &path, &mut out) {
                prop_assert!(out.first() == Some(&b'/') && !out.contains(&b'?'));
                prop_assert!(out.iter().all(u8::is_ascii_graphic));
            }
        }
    }
}
