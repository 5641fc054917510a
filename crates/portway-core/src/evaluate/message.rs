//! Headers, cookies and arguments in their parts: by place, by comma, counted.

use super::{Facts, Fetched, Visitor};
use portway_model::expression::{HeaderPart, Message};
use std::ops::ControlFlow::{self, Break, Continue};

/// Visits the values of the header `name` of a message.
pub(super) fn lines<'a, F: Facts>(
    of: Message,
    name: &str,
    facts: &'a F,
    visit: &mut Visitor<'_, 'a>,
) {
    match of {
        Message::Request => facts.header(name, visit),
        Message::Response => facts.response_header(name, visit),
    }
}

/// Visits the parts of a header that are meant: all of them, or the one at its place.
pub(super) fn parts<'a, F: Facts>(
    of: Message,
    name: &str,
    part: HeaderPart,
    facts: &'a F,
    visit: &mut Visitor<'_, 'a>,
) {
    match part {
        HeaderPart::Item(None) => lines(of, name, facts, &mut |line| {
            items(line).try_for_each(&mut *visit)
        }),
        HeaderPart::Item(Some(place)) => at_place(place, visit, &mut |each| {
            lines(of, name, facts, &mut |line| {
                items(line).try_for_each(&mut *each)
            });
        }),
        HeaderPart::Line(place) => at_place(place, visit, &mut |each| {
            lines(of, name, facts, each);
        }),
    }
}

/// Gives `visit` what stands at a place from 1, or from the end below 0, of what `all` visits.
fn at_place<'a>(
    place: i32,
    visit: &mut Visitor<'_, 'a>,
    all: &mut dyn FnMut(&mut Visitor<'_, 'a>),
) {
    let distance = place.unsigned_abs() as usize;
    let wanted = if place > 0 {
        Some(distance)
    } else {
        let mut count = 0_usize;
        all(&mut |_| {
            count += 1;
            Continue(())
        });
        (count + 1).checked_sub(distance)
    };
    let Some(wanted) = wanted.filter(|wanted| *wanted > 0) else {
        return;
    };
    let mut now = 0_usize;
    all(&mut |value| {
        now += 1;
        if now < wanted {
            return Continue(());
        }
        let _ = visit(value);
        Break(())
    });
}

/// The values between commas, without blanks around them. A comma within double quotes is part of a value.
pub(super) fn items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let mut escaped = false;
        let end = text.iter().position(|byte| {
            match (quoted, byte) {
                _ if escaped => escaped = false,
                (true, b'\\') => escaped = true,
                (_, b'"') => quoted = !quoted,
                (false, b',') => return true,
                _ => {}
            }
            false
        });
        let item = match end {
            Some(end) => {
                rest = text.get(end + 1..);
                text.get(..end)?
            }
            None => {
                rest = None;
                text
            }
        };
        Some(item.trim_ascii())
    })
}

/// How many lines or items a header has; of all headers together an empty one counts for nothing.
pub(super) fn count<F: Facts>(
    of: Message,
    name: Option<&str>,
    by_items: bool,
    facts: &F,
) -> Option<u64> {
    known(of, facts)?;
    let mut total = 0_u64;
    match name {
        Some(name) => lines(of, name, facts, &mut |line| {
            total += if by_items {
                items(line).count() as u64
            } else {
                1
            };
            Continue(())
        }),
        None => facts.fields(of, &mut |_, line| {
            total += match by_items {
                true if line.is_empty() => 0,
                true => items(line).count() as u64,
                false => 1,
            };
            Continue(())
        }),
    }
    Some(total)
}

/// Nothing before there is such a message.
fn known<F: Facts>(of: Message, facts: &F) -> Option<()> {
    match of {
        Message::Request => facts.method().map(|_| ()),
        Message::Response => facts.status().map(|_| ()),
    }
}

/// The names of all headers but Connection, which is nobody else's business, in lower case.
pub(super) fn names<'a, F: Facts>(of: Message, delimiter: &str, facts: &F) -> Fetched<'a> {
    let mut out = Vec::new();
    facts.fields(of, &mut |name, _| {
        if name.eq_ignore_ascii_case(b"connection") {
            return Continue(());
        }
        if !out.is_empty() {
            out.extend_from_slice(delimiter.as_bytes());
        }
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        Continue(())
    });
    if out.is_empty() {
        return Fetched::Absent;
    }
    out.into()
}

/// The lines of all headers, and an empty one.
pub(super) fn block<'a, F: Facts>(of: Message, facts: &F) -> Fetched<'a> {
    let mut out = Vec::new();
    facts.fields(of, &mut |name, value| {
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
        Continue(())
    });
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// How many cookies a message has, of this name or of all.
pub(super) fn cookies<F: Facts>(of: Message, name: Option<&str>, facts: &F) -> Option<u64> {
    known(of, facts)?;
    let header = match of {
        Message::Request => "cookie",
        Message::Response => "set-cookie",
    };
    let mut total = 0_u64;
    lines(of, header, facts, &mut |line| {
        let pairs = line.split(|&byte| byte == b';');
        // Where no name is asked for, attributes of a cookie that have values count too, as HAProxy has it.
        let pairs = pairs.take(match (of, name) {
            (Message::Response, Some(_)) => 1,
            _ => usize::MAX,
        });
        let named = pairs.filter(|pair| {
            let key = memchr::memchr(b'=', pair).and_then(|end| pair.get(..end));
            key.is_some_and(|key| name.is_none_or(|name| key.trim_ascii() == name.as_bytes()))
        });
        total += named.count() as u64;
        Continue(())
    });
    Some(total)
}

/// Visits the values of the argument `name` (of any, where there is none) behind the first `delimiter` of a target,
/// as they stand there.
pub(super) fn arguments<'a>(
    target: &'a [u8],
    delimiter: u8,
    name: Option<&str>,
    visit: &mut impl FnMut(&'a [u8]) -> ControlFlow<()>,
) {
    let start = memchr::memchr(delimiter, target).map(|at| at + 1);
    let Some(query) = start.and_then(|start| target.get(start..)) else {
        return;
    };
    let _ = pairs(query, delimiter, name, visit);
}

/// Visits the values of `name=value` between `&`, `;` or `delimiter`.
pub(super) fn pairs<'a>(
    query: &'a [u8],
    delimiter: u8,
    name: Option<&str>,
    visit: &mut impl FnMut(&'a [u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    query
        .split(|&byte| byte == b'&' || byte == b';' || byte == delimiter)
        .filter_map(|pair| {
            let at = memchr::memchr(b'=', pair)?;
            Some((pair.get(..at)?, pair.get(at + 1..)?))
        })
        .filter(|(key, _)| name.is_none_or(|name| *key == name.as_bytes()))
        .try_for_each(|(_, value)| visit(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_commas() {
        let check = |line: &str, expected: &[&str]| {
            let found: Vec<_> = items(line.as_bytes())
                .map(|item| String::from_utf8_lossy(item).into_owned())
                .collect();
            assert_eq!(found, expected, "{line}");
        };
        check("", &[""]);
        check("a", &["a"]);
        check(" a , b\t", &["a", "b"]);
        check("a, ,b,", &["a", "", "b", ""]);
        check(r#"a;b="x,y", c"#, &[r#"a;b="x,y""#, "c"]);
        check(r#""\",",b"#, &[r#""\",""#, "b"]);
    }

    #[test]
    fn arguments_as_they_stand() {
        let check = |target: &str, delimiter: u8, name: Option<&str>, expected: &[&str]| {
            let mut found = Vec::new();
            arguments(target.as_bytes(), delimiter, name, &mut |value| {
                found.push(String::from_utf8_lossy(value).into_owned());
                Continue(())
            });
            assert_eq!(found, expected, "{target} {name:?}");
        };
        let target = "/p/q?a=1&b=%41+c&a=2;d=3&e";
        check(target, b'?', Some("a"), &["1", "2"]);
        check(target, b'?', Some("b"), &["%41+c"]);
        check(target, b'?', Some("d"), &["3"]);
        check(target, b'?', Some("e"), &[]);
        check(target, b'?', None, &["1", "%41+c", "2", "3"]);
        check(target, b'q', Some("a"), &["2"]);
        check("/p", b'?', None, &[]);
    }
}
