//! Names of fields that targets may take for one: gateways write `X_User` and `X-User` as one variable, and letters of either
//! case are the same to all.
//!
//! What is asked of such a name is asked of its one form, in small letters with hyphens. A regular expression is brought
//! into that form by its syntax tree, letter by letter: whichever way a name is spelt, and however the parts of it are, the answer
//! is one.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind,
};

/// Bytes of a compiled expression: twice what others may have, so that what compiled as it was written does so in this form.
const SIZE_LIMIT: usize = 20 * 1024 * 1024;

/// The letter that stands for this one in the one form of names.
pub const fn letter(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    }
}

/// True for names that differ by case, and by `_` in place of `-`, alone.
pub fn is_alike(name: &[u8], other: &[u8]) -> bool {
    let mut letters = name.iter().zip(other);
    name.len() == other.len() && letters.all(|(one, other)| letter(*one) == letter(*other))
}

/// The expression that is found in the one form of a name where `regex` is found in a name of that form.
pub(crate) fn folded(regex: &Regex) -> Option<Regex> {
    let parsed = ParserBuilder::new()
        .utf8(false)
        .build()
        .parse(regex.as_str());
    let text = of_hir(parsed.ok()?).to_string();
    RegexBuilder::new(&text).size_limit(SIZE_LIMIT).build().ok()
}

/// Its depth is that of the groups of an expression, which the parser limits.
fn of_hir(hir: Hir) -> Hir {
    let all = |parts: Vec<Hir>| parts.into_iter().map(of_hir).collect();
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => {
            let letters = literal.0.iter().copied().map(letter);
            Hir::literal(letters.collect::<Vec<u8>>())
        }
        HirKind::Class(class) => Hir::class(of_class(class)),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(mut repeated) => {
            repeated.sub = Box::new(of_hir(*repeated.sub));
            Hir::repetition(repeated)
        }
        HirKind::Capture(mut capture) => {
            capture.sub = Box::new(of_hir(*capture.sub));
            Hir::capture(capture)
        }
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
    }
}

/// With the letters that stand for those that are in it.
fn of_class(class: Class) -> Class {
    match class {
        Class::Unicode(mut class) => {
            let more = ClassUnicode::new(
                letters_in(|letter| {
                    let mut ranges = class.iter();
                    ranges.any(|it| (it.start()..=it.end()).contains(&char::from(letter)))
                })
                .map(|it| ClassUnicodeRange::new(it.into(), it.into())),
            );
            class.union(&more);
            Class::Unicode(class)
        }
        Class::Bytes(mut class) => {
            let more = ClassBytes::new(
                letters_in(|letter| {
                    let mut ranges = class.iter();
                    ranges.any(|it| (it.start()..=it.end()).contains(&letter))
                })
                .map(|it| ClassBytesRange::new(it, it)),
            );
            class.union(&more);
            Class::Bytes(class)
        }
    }
}

fn letters_in(has: impl Fn(u8) -> bool) -> impl Iterator<Item = u8> {
    (0..=0x7f).filter(move |it| has(*it)).map(letter)
}

#[cfg(test)]
mod tests {
    use super::is_alike;
    use crate::pattern::Pattern;

    #[test]
    fn names_that_targets_take_for_one() {
        for (name, other, expected) in [
            ("X-User", "x-user", true),
            ("X-User", "X_User", true),
            ("X_User-Id", "x-user_ID", true),
            ("X-User", "XUser", false),
            ("X-User", "X.User", false),
            ("", "", true),
        ] {
            let alike = is_alike(name.as_bytes(), other.as_bytes());
            assert_eq!(alike, expected, "{name} {other}");
        }
    }

    /// Every way to write a name: each hyphen as either sign, each letter in either case.
    fn spellings(name: &str) -> Vec<String> {
        name.chars().fold(vec![String::new()], |all, c| {
            let ways = match c {
                '-' | '_' => vec!['-', '_'],
                c if c.is_ascii_alphabetic() => {
                    vec![c.to_ascii_lowercase(), c.to_ascii_uppercase()]
                }
                c => vec![c],
            };
            let with = |start: &String| {
                let ways = ways.iter();
                ways.map(|c| format!("{start}{c}")).collect::<Vec<_>>()
            };
            all.iter().flat_map(with).collect()
        })
    }

    #[test]
    fn an_expression_is_found_in_all_spellings_or_in_none() {
        for (pattern, found, not_found) in [
            ("^X-Id-", vec!["X-Id-A"], vec!["XId-A", "Y-X-Id-"]),
            ("^X_Id-a$", vec!["x-id_A"], vec!["x-id-ab"]),
            ("^x_ID$", vec!["X-Id"], vec!["X-I"]),
            ("^X-[A-Z]+$", vec!["x_id"], vec!["x_i1"]),
            ("^X[^-]Id$", vec!["X-Id", "XaId"], vec!["XId"]),
            ("(?-i:^X-ID)(_|a)", vec!["x-id-", "x-ida"], vec!["x-idb"]),
            ("(?i)^x-(?:ID|us_r)$", vec!["X_Us-r", "X-id"], vec!["X_Usr"]),
            (r"^\w-\w$", vec!["x-y", "X_Y"], vec!["x.y"]),
            (r"^X-\p{Lu}$", vec!["x_i"], vec!["x_1"]),
            (r"(?-u)^X\x2dI", vec!["x_i"], vec!["xi"]),
            ("^[Xx](-I){2}$", vec!["x_i-i"], vec!["x_i"]),
            ("^(?!X-Id_p)X_Id", vec!["x-id", "x-id-q"], vec!["x_id-P"]),
            ("^(?=.*_U)X", vec!["x-u"], vec!["xu"]),
            ("", vec!["x"], vec![]),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            let names = found.iter().map(|it| (it, true));
            for (name, expected) in names.chain(not_found.iter().map(|it| (it, false))) {
                for spelling in spellings(name) {
                    let is_found = compiled.is_match_alike(spelling.as_bytes());
                    assert_eq!(is_found, expected, "{pattern} {spelling}");
                    // Whatever is granted is taken away, in whichever form it comes.
                    let is_granted = compiled.is_match(spelling.as_bytes());
                    let looks = pattern.contains("(?!") || pattern.contains("(?=");
                    assert!(looks || !is_granted || is_found, "{pattern} {spelling}");
                }
            }
        }
    }
}
