//! Why a condition is true or false: the tests on which it hangs, with what was compared.
//!
//! For people, beside the path of exchanges: [`holds`](super::holds) says the same and keeps nothing. A test and the
//! order in which tests are asked are the same code and the same order.

use super::{Facts, Fetched, fetch, matcher, transform};
use portway_model::expression::{Condition, Expression, Test};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Resolved;
use std::ops::ControlFlow;

/// A test on which a condition hangs.
#[derive(Debug, Clone)]
pub struct Judged<'c> {
    /// The test.
    pub test: &'c Test<Resolved>,
    /// Where it stands.
    pub span: Span,
    /// What was compared, in order, up to what passed; empty: there is no such value.
    pub values: Vec<Vec<u8>>,
    /// Whether it passed.
    pub passed: bool,
}

/// Whether a condition is true, and the tests that make it so: all of them that must be as they are.
pub fn judge<'c, F: Facts>(
    condition: &'c Condition<Resolved>,
    facts: &F,
) -> (bool, Vec<Judged<'c>>) {
    match condition {
        Condition::All(parts) => of_parts(parts, true, facts),
        Condition::Any(parts) => of_parts(parts, false, facts),
        Condition::Not(part) => {
            let (truth, reasons) = judge(part, facts);
            (!truth, reasons)
        }
        Condition::Test(one) => {
            let judged = test(one, facts);
            (judged.passed, vec![judged])
        }
    }
}

/// Parts that are asked until one is not `wanted`: that one is the reason then, else all of them are.
fn of_parts<'c, F: Facts>(
    parts: &'c [Condition<Resolved>],
    wanted: bool,
    facts: &F,
) -> (bool, Vec<Judged<'c>>) {
    let mut all = Vec::new();
    for part in parts {
        let (truth, reasons) = judge(part, facts);
        if truth != wanted {
            return (truth, reasons);
        }
        all.extend(reasons);
    }
    (wanted, all)
}

fn test<'c, F: Facts>(one: &'c Spanned<Test<Resolved>>, facts: &F) -> Judged<'c> {
    let Test {
        expression: Expression { value, transforms },
        matcher,
    } = &one.value;
    let mut passed = false;
    let mut values = Vec::new();
    fetch::each(value, facts, &mut |fetched| {
        let fetched = transform::apply_all(transforms, fetched, facts);
        passed = matcher::passes(matcher, &fetched, facts);
        if fetched != Fetched::Absent {
            let mut text = Vec::new();
            fetched.write(&mut text);
            values.push(text);
        }
        match passed {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    Judged {
        test: &one.value,
        span: one.span,
        values,
        passed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Exchange;
    use super::super::holds;
    use super::*;
    use portway_model::expression::{Matcher, TextMatch, Value};

    fn is(value: Value<Resolved>, text: &str) -> Condition<Resolved> {
        Condition::Test(Spanned::bare(Test {
            expression: value.into(),
            matcher: Matcher::Text {
                how: TextMatch::Exact,
                any_of: vec![text.to_owned()],
                ignore_case: false,
            },
        }))
    }

    #[test]
    fn the_tests_that_matter() {
        let exchange = Exchange::get("http://a.example/x");
        let (host, path) = (is(Value::Host, "a.example"), is(Value::Path, "/y"));
        let none = is(Value::Header("x-a".to_owned()), "1");
        let not = |part: &Condition<Resolved>| Condition::Not(Box::new(part.clone()));
        let all = |parts: &[&Condition<Resolved>]| {
            Condition::All(parts.iter().map(|it| (*it).clone()).collect())
        };
        let any = |parts: &[&Condition<Resolved>]| {
            Condition::Any(parts.iter().map(|it| (*it).clone()).collect())
        };
        let check = |condition: &Condition<Resolved>, truth: bool, expected: &[&[&str]]| {
            let (judged, reasons) = judge(condition, &exchange);
            assert_eq!((judged, holds(condition, &exchange)), (truth, truth));
            let values: Vec<Vec<&str>> = reasons
                .iter()
                .map(|it| {
                    it.values
                        .iter()
                        .filter_map(|it| str::from_utf8(it).ok())
                        .collect()
                })
                .collect();
            assert_eq!(values, expected, "{condition:?}");
        };
        check(&host, true, &[&["a.example"]]);
        check(&path, false, &[&["/x"]]);
        check(&none, false, &[&[]]);
        check(&all(&[&host, &path, &none]), false, &[&["/x"]]);
        check(&any(&[&path, &none]), false, &[&["/x"], &[]]);
        check(&any(&[&path, &host, &none]), true, &[&["a.example"]]);
        check(
            &all(&[&host, &not(&path)]),
            true,
            &[&["a.example"], &["/x"]],
        );
        check(&not(&all(&[&host])), false, &[&["a.example"]]);
        check(&all(&[]), true, &[]);
        check(&any(&[]), false, &[]);
    }
}
