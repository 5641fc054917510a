//! The canonical form of a condition, so that conditions that read the same are equal.
//!
//! A conjunction has no conjunction as a part, no single part, and no part that is always true; so for
//! disjunctions. What is always or never true is so at the root alone. Order and tests are left as they are.

use crate::expression::Condition;
use crate::stage::Stage;

/// The canonical form of `condition`.
pub(super) fn simplify<S: Stage>(condition: Condition<S>) -> Condition<S> {
    match condition {
        Condition::All(parts) => {
            let mut flat = Vec::with_capacity(parts.len());
            for part in parts {
                match simplify(part) {
                    Condition::All(inner) => flat.extend(inner),
                    never if is_never(&never) => return never,
                    part => flat.push(part),
                }
            }
            single(flat).unwrap_or_else(Condition::All)
        }
        Condition::Any(parts) => {
            let mut flat = Vec::with_capacity(parts.len());
            for part in parts {
                match simplify(part) {
                    Condition::Any(inner) => flat.extend(inner),
                    always if always.is_always() => return always,
                    part => flat.push(part),
                }
            }
            single(flat).unwrap_or_else(Condition::Any)
        }
        Condition::Not(part) => match simplify(*part) {
            Condition::All(parts) if parts.is_empty() => Condition::Any(parts),
            Condition::Any(parts) if parts.is_empty() => Condition::All(parts),
            part => Condition::Not(Box::new(part)),
        },
        Condition::Test(test) => Condition::Test(test),
    }
}

/// True where nothing can make it true.
pub(super) fn is_never<S: Stage>(condition: &Condition<S>) -> bool {
    matches!(condition, Condition::Any(parts) if parts.is_empty())
}

/// The only part, or all of them back.
fn single<S: Stage>(mut parts: Vec<Condition<S>>) -> Result<Condition<S>, Vec<Condition<S>>> {
    if parts.len() > 1 {
        return Err(parts);
    }
    parts.pop().ok_or_else(Vec::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Matcher, Test, Value};
    use crate::span::Spanned;
    use crate::stage::Named;

    type C = Condition<Named>;

    fn test(name: &str) -> C {
        C::Test(Spanned::bare(Test {
            expression: Value::Header(name.to_owned()).into(),
            matcher: Matcher::Present,
        }))
    }

    #[test]
    fn canonical_forms() {
        let (a, b, c) = (|| test("a"), || test("b"), || test("c"));
        let (always, never) = (|| C::All(vec![]), || C::Any(vec![]));
        let not = |part| C::Not(Box::new(part));
        for (given, expected) in [
            (a(), a()),
            (C::All(vec![a()]), a()),
            (C::Any(vec![C::All(vec![a()])]), a()),
            (
                C::All(vec![C::All(vec![a(), b()]), c()]),
                C::All(vec![a(), b(), c()]),
            ),
            (
                C::Any(vec![a(), C::Any(vec![b(), c()])]),
                C::Any(vec![a(), b(), c()]),
            ),
            (
                C::All(vec![a(), C::Any(vec![b(), c()])]),
                C::All(vec![a(), C::Any(vec![b(), c()])]),
            ),
            (C::All(vec![a(), always()]), a()),
            (C::All(vec![a(), never()]), never()),
            (C::Any(vec![a(), always()]), always()),
            (C::Any(vec![a(), never()]), a()),
            (not(always()), never()),
            (not(not(always())), always()),
            (not(not(a())), not(not(a()))),
            (C::All(vec![always(), always()]), always()),
        ] {
            assert_eq!(simplify(given.clone()), expected, "{given:?}");
        }
    }
}
