//! The matchers: whether one value is what a test asks for.

use super::fetched::Scratch;
use super::{Facts, Fetched};
use memchr::memmem;
use portway_model::expression::{Matcher, TextMatch};
use portway_model::stage::Resolved;
use std::net::IpAddr;

/// What ends a segment for HAProxy's `dir`.
const SEGMENT_ENDS: &[u8] = b"/?";
/// What ends a label for HAProxy's `dom`.
const LABEL_ENDS: &[u8] = b"/?.:";

/// Whether the value passes; an absent one never does.
pub(super) fn passes<F: Facts>(
    matcher: &Matcher<Resolved>,
    fetched: &Fetched<'_>,
    facts: &F,
) -> bool {
    match matcher {
        Matcher::Present => fetched.is_present(),
        Matcher::True => fetched.truth(),
        Matcher::Text {
            how,
            any_of,
            ignore_case,
        } => on_text(fetched, |text| {
            any_of
                .iter()
                .any(|pattern| text_matches(*how, text, pattern.as_bytes(), *ignore_case))
        }),
        Matcher::Regex { any_of } => on_text(fetched, |text| {
            any_of.iter().any(|pattern| pattern.is_match(text))
        }),
        Matcher::Number { any_of } => fetched.number().is_some_and(|number| {
            any_of
                .iter()
                .any(|range| (range.min..=range.max).contains(&number))
        }),
        // An IPv4 address inside IPv6 is in the networks of either notation, and one of IPv4 in those of IPv6 that
        // hold what it is there.
        Matcher::Address { any_of } => fetched.address().is_some_and(|address| {
            let canonical: IpAddr = address.to_canonical();
            let wide = match address {
                IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
                wide => wide,
            };
            any_of
                .iter()
                .any(|network| network.contains(&canonical) || network.contains(&wide))
        }),
        Matcher::Listed { list } => on_text(fetched, |text| facts.lookup(*list, text).is_some()),
    }
}

fn on_text(fetched: &Fetched<'_>, matches: impl FnOnce(&[u8]) -> bool) -> bool {
    fetched.text(&mut Scratch::new()).is_some_and(matches)
}

/// Whether the pattern is what is asked for of the text.
pub(crate) fn text_matches(how: TextMatch, text: &[u8], pattern: &[u8], ignore_case: bool) -> bool {
    match how {
        TextMatch::Exact => equal(text, pattern, ignore_case),
        TextMatch::Prefix => text
            .get(..pattern.len())
            .is_some_and(|start| equal(start, pattern, ignore_case)),
        TextMatch::Suffix => ends_with(text, pattern, ignore_case),
        TextMatch::Contains => find(text, pattern, ignore_case).is_some(),
        TextMatch::Glob => glob(text, pattern, ignore_case),
        TextMatch::Segment => run_of_parts(text, pattern, SEGMENT_ENDS, ignore_case),
        TextMatch::Label => run_of_parts(text, pattern, LABEL_ENDS, ignore_case),
    }
}

fn equal(text: &[u8], pattern: &[u8], ignore_case: bool) -> bool {
    if ignore_case {
        text.eq_ignore_ascii_case(pattern)
    } else {
        text == pattern
    }
}

fn ends_with(text: &[u8], pattern: &[u8], ignore_case: bool) -> bool {
    let end = text.len().checked_sub(pattern.len());
    end.and_then(|end| text.get(end..))
        .is_some_and(|end| equal(end, pattern, ignore_case))
}

/// Where the pattern is found first.
fn find(text: &[u8], pattern: &[u8], ignore_case: bool) -> Option<usize> {
    match (pattern.len(), ignore_case) {
        (0, _) => Some(0),
        (_, false) => memmem::find(text, pattern),
        (length, true) => text
            .windows(length)
            .position(|part| part.eq_ignore_ascii_case(pattern)),
    }
}

/// `*` is any run of bytes, `?` is one byte. Each part between stars is taken where it is found first, so time is
/// at most the text's length times the pattern's, and the text's alone where letters' case counts and no `?` is
/// between stars.
fn glob(text: &[u8], pattern: &[u8], ignore_case: bool) -> bool {
    let mut parts = pattern.split(|&byte| byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        return text.len() == first.len() && same_but_marks(text, first, ignore_case);
    };
    let Some((start, rest)) = text.split_at_checked(first.len()) else {
        return false;
    };
    let Some((mut middle, end)) = rest
        .len()
        .checked_sub(last.len())
        .and_then(|at| rest.split_at_checked(at))
    else {
        return false;
    };
    if !same_but_marks(start, first, ignore_case) || !same_but_marks(end, last, ignore_case) {
        return false;
    }
    for part in parts {
        let found = find_but_marks(middle, part, ignore_case);
        let Some(rest) = found.and_then(|at| middle.get(at + part.len()..)) else {
            return false;
        };
        middle = rest;
    }
    true
}

/// Equal where the pattern has no `?`; both have the same length.
fn same_but_marks(text: &[u8], pattern: &[u8], ignore_case: bool) -> bool {
    text.iter().zip(pattern).all(|(byte, mark)| {
        byte == mark || *mark == b'?' || (ignore_case && byte.eq_ignore_ascii_case(mark))
    })
}

fn find_but_marks(text: &[u8], pattern: &[u8], ignore_case: bool) -> Option<usize> {
    if !pattern.contains(&b'?') {
        return find(text, pattern, ignore_case);
    }
    text.windows(pattern.len())
        .position(|part| same_but_marks(part, pattern, ignore_case))
}

/// Whether the pattern is in the text with an end of a part, or of the text, on both its sides. Ends at the
/// pattern's own beginning and end do not count; a pattern of nothing else matches nothing.
fn run_of_parts(text: &[u8], pattern: &[u8], ends: &[u8], ignore_case: bool) -> bool {
    let is_end = |byte: &u8| ends.contains(byte);
    let Some(first) = pattern.iter().position(|byte| !is_end(byte)) else {
        return false;
    };
    let last = pattern.iter().rposition(|byte| !is_end(byte));
    let Some(run) = last.and_then(|last| pattern.get(first..=last)) else {
        return false;
    };
    let bounded = |rest: &[u8]| {
        rest.get(..run.len())
            .is_some_and(|part| equal(part, run, ignore_case))
            && rest.get(run.len()).is_none_or(is_end)
    };
    let mut rest = text;
    loop {
        if bounded(rest) {
            return true;
        }
        match rest
            .iter()
            .position(is_end)
            .and_then(|end| rest.get(end + 1..))
        {
            Some(after) => rest = after,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Exchange;
    use super::*;
    use portway_model::expression::NumberRange;
    use portway_model::snapshot::MapId;
    use portway_model::stage::Pattern;
    use proptest::prelude::*;

    #[track_caller]
    fn check(how: TextMatch, pattern: &str, text: &str, expected: bool) {
        let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
        assert_eq!(text_matches(how, text, pattern, false), expected, "{how:?}");
        if expected {
            assert!(text_matches(how, text, pattern, true));
            assert!(text_matches(how, &text.to_ascii_uppercase(), pattern, true));
        }
    }

    #[test]
    fn parts_of_text() {
        use TextMatch::{Contains, Exact, Prefix, Suffix};
        for (how, pattern, text, expected) in [
            (Exact, "a", "a", true),
            (Exact, "a", "A", false),
            (Exact, "", "", true),
            (Exact, "", "a", false),
            (Prefix, "/a", "/ab", true),
            (Prefix, "/ab", "/a", false),
            (Prefix, "", "x", true),
            (Suffix, ".css", "/x.css", true),
            (Suffix, ".css", "css", false),
            (Suffix, "", "", true),
            (Contains, "b", "abc", true),
            (Contains, "bd", "abc", false),
            (Contains, "", "", true),
        ] {
            check(how, pattern, text, expected);
        }
    }

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("?", "", false),
            ("?", "a", true),
            ("?", "ab", false),
            ("*.x", "a.x", true),
            ("*.x", ".x", true),
            ("*.x", "x", false),
            ("*.x", "a.b.x", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*a?c*", "xxabcxx", true),
            ("*a?c*", "xxacxx", false),
            ("**", "a", true),
            ("/img/*.p?g", "/img/a/b.png", true),
            ("/img/*.p?g", "/img/a/b.pngx", false),
            ("*ab*ab*", "aab", false),
            ("*ab*ab*", "abab", true),
        ] {
            check(TextMatch::Glob, pattern, text, expected);
        }
        // A hundred thousand bytes against many stars end at once.
        let text = "a".repeat(100_000);
        check(TextMatch::Glob, &"*a".repeat(50), &text, true);
        check(TextMatch::Glob, &("a*".repeat(50) + "b"), &text, false);
    }

    #[test]
    fn segments_and_labels() {
        use TextMatch::{Label, Segment};
        for (how, pattern, text, expected) in [
            (Segment, "b", "/a/b/c", true),
            (Segment, "/b/", "/a/b", true),
            (Segment, "b/c", "/a/b/c?x", true),
            (Segment, "a", "a", true),
            (Segment, "b", "/abc/d", false),
            (Segment, "ab", "/abc/ab", true),
            (Segment, "ab", "/abc", false),
            (Segment, "bc", "/abc", false),
            (Segment, "/", "/a/", false),
            (Segment, "", "/", false),
            (Label, "b", "a.b.c", true),
            (Label, ".b.c", "a.b.c:80", true),
            (Label, "b", "a.bb.c", false),
            (Label, "a.b", "http://a.b/c", true),
            (Label, "x", "", false),
        ] {
            check(how, pattern, text, expected);
        }
    }

    #[track_caller]
    fn passes_one(matcher: Matcher<Resolved>, fetched: Fetched<'_>, expected: bool) {
        let exchange = Exchange::get("http://a/");
        assert_eq!(
            passes(&matcher, &fetched, &exchange),
            expected,
            "{matcher:?} {fetched:?}"
        );
        assert!(
            !passes(&matcher, &Fetched::Absent, &exchange),
            "{matcher:?}"
        );
    }

    #[test]
    fn presence_truth_and_lists() {
        passes_one(Matcher::Present, "".into(), true);
        passes_one(Matcher::True, "".into(), false);
        passes_one(Matcher::True, true.into(), true);
        passes_one(Matcher::Listed { list: MapId(0) }, "known".into(), true);
        passes_one(Matcher::Listed { list: MapId(0) }, "other".into(), false);
        let exact = |any_of: &[&str]| Matcher::Text {
            how: TextMatch::Exact,
            any_of: any_of.iter().map(ToString::to_string).collect(),
            ignore_case: false,
        };
        passes_one(exact(&["1", "2"]), 2_i64.into(), true);
        passes_one(
            exact(&["10.0.0.1"]),
            IpAddr::from([10, 0, 0, 1]).into(),
            true,
        );
        passes_one(exact(&[]), "".into(), false);
        let regex = |text: &str| Matcher::Regex {
            any_of: vec![
                Pattern::new("^never$").unwrap(),
                Pattern::new(text).unwrap(),
            ],
        };
        passes_one(regex("b+"), "abc".into(), true);
        passes_one(regex("^b+"), "abc".into(), false);
        passes_one(regex("(?i)B"), (b"\xff b".as_slice()).into(), true);
    }

    #[test]
    fn numbers_and_networks() {
        let range = |min, max| Matcher::Number {
            any_of: vec![NumberRange { min: 1, max: 0 }, NumberRange { min, max }],
        };
        passes_one(range(200, 299), 299_i64.into(), true);
        passes_one(range(200, 299), 300_i64.into(), false);
        passes_one(range(200, 299), "200".into(), true);
        passes_one(range(200, 299), "2oo".into(), false);
        passes_one(range(0, 9), 1_i64.into(), true);
        let network = |text: &str| Matcher::Address {
            any_of: vec![text.parse().unwrap()],
        };
        passes_one(network("10.0.0.0/8"), "10.9.9.9".into(), true);
        passes_one(network("10.0.0.0/8"), "11.9.9.9".into(), false);
        passes_one(network("10.0.0.0/8"), "::ffff:10.1.1.1".into(), true);
        passes_one(
            network("::ffff:10.0.0.0/104"),
            "::ffff:10.1.1.1".into(),
            true,
        );
        passes_one(network("2001:db8::/32"), "2001:db8::1".into(), true);
        passes_one(network("0.0.0.0/0"), "2001:db8::1".into(), false);
        passes_one(network("0.0.0.0/0"), "x".into(), false);
    }

    /// What a glob means, by trying everything.
    fn naive_glob(text: &[u8], pattern: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive_glob(&text[at..], rest)),
            Some((mark, rest)) => {
                text.first()
                    .is_some_and(|byte| byte == mark || *mark == b'?')
                    && naive_glob(&text[1..], rest)
            }
        }
    }

    proptest! {
        #[test]
        fn globs_mean_what_they_say(text in "[ab]{0,8}", pattern in "[ab*?]{0,8}") {
            let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
            let expected = naive_glob(text, pattern);
            prop_assert_eq!(glob(text, pattern, false), expected);
            prop_assert_eq!(glob(&text.to_ascii_uppercase(), pattern, true), expected);
        }

        #[test]
        fn any_bytes(text: Vec<u8>, pattern: Vec<u8>, ignore_case: bool) {
            use TextMatch::{Contains, Exact, Glob, Label, Prefix, Segment, Suffix};
            for how in [Exact, Prefix, Suffix, Contains, Glob, Segment, Label] {
                text_matches(how, &text, &pattern, ignore_case);
            }
        }
    }
}
