//! `buffering.retryExpression`: what of it a target group can say.
//!
//! What is asked of a request is its method, of an answer its status, and how many attempts there were: few enough that every
//! combination can be tried. A group tries again for so many attempts whatever is answered with some statuses, for all methods or
//! for those that may be repeated; an expression that says anything else is refused.

use crate::predicate::{self, Read, Reader, Tree};
use portway_model::circuit::Comparison;
use portway_model::expression::NumberRange;
use std::collections::BTreeSet;

/// Traefik does not repeat more attempts than these, whatever the expression says.
const MOST_REPEATED: u16 = 10;

/// Methods that may be repeated whatever they do (RFC 9110 section 9.2.2).
const IDEMPOTENT: [&str; 6] = ["DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"];

/// Methods that an expression may tell from one another beside those that it names.
const OTHERS: [&str; 3] = ["PATCH", "POST", "another"];

/// Answers of a server.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

const HELP: &str = "such as `IsNetworkError() && Attempts() < 2`; there are IsNetworkError(), Attempts(), ResponseCode() and RequestMethod()";

/// When a request is made again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// Attempts in all.
    pub(super) attempts: u32,
    pub(super) statuses: Vec<NumberRange>,
    /// Whatever the method, not only where it may be repeated.
    pub(super) any_method: bool,
}

enum Test<'t> {
    NetworkError,
    Attempts(Comparison, f64),
    Status(Comparison, f64),
    Method(Comparison, &'t str),
}

impl Test<'_> {
    /// Whether it holds after so many attempts, the last of which had this answer.
    fn holds(&self, method: &str, attempts: u16, status: u16) -> bool {
        match self {
            // Those are Traefik's own answers then.
            Test::NetworkError => matches!(status, 502 | 504),
            Test::Attempts(how, than) => how.holds(attempts.into(), *than),
            Test::Status(how, than) => how.holds(status.into(), *than),
            Test::Method(how, than) => (*how == Comparison::Equal) == (method == *than),
        }
    }
}

/// Reads an expression; `None`: it never holds.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn read(text: &str) -> Read<Option<Again>> {
    let mut named = BTreeSet::new();
    let tree = predicate::read(text, HELP, |reader| {
        let test = test(reader)?;
        if let Test::Method(_, method) = test {
            named.insert(method);
        }
        Ok(test)
    })?;
    named.extend(IDEMPOTENT);
    named.extend(OTHERS);
    let (mut idempotent, mut others) = (BTreeSet::new(), BTreeSet::new());
    for method in named {
        let again = of_method(&tree, method)?;
        match IDEMPOTENT.contains(&method) {
            true => idempotent.insert(again),
            false => others.insert(again),
        };
    }
    let one = |said: &BTreeSet<Repeated>| match said.len() {
        1 => said.first().cloned(),
        _ => None,
    };
    let (attempts, statuses, any_method) = match (one(&idempotent), one(&others)) {
        (Some(None), Some(None)) => return Ok(None),
        (Some(Some(said)), Some(None)) => (said.0, said.1, false),
        (Some(said), Some(other)) if said == other => {
            let (attempts, statuses) = said.unwrap_or_default();
            (attempts, statuses, true)
        }
        _ => {
            let help = "all methods, or those that may be repeated: GET, HEAD, OPTIONS, TRACE, PUT and DELETE";
            let message = "retries of these methods alone are not done yet";
            return Err((message.to_owned(), help.to_owned()));
        }
    };
    Ok(Some(Again {
        attempts: u32::from(attempts) + 1,
        statuses: ranges(&statuses),
        any_method,
    }))
}

/// How many attempts are repeated after answers with these statuses, if any is.
type Repeated = Option<(u16, Vec<u16>)>;

fn of_method(tree: &Tree<Test<'_>>, method: &str) -> Read<Repeated> {
    let after = |attempts: u16| -> Vec<u16> {
        let again = |status: &u16| tree.holds(&|it: &Test<'_>| it.holds(method, attempts, *status));
        STATUSES.filter(again).collect()
    };
    let first = after(1);
    let repeated = (1..=MOST_REPEATED).take_while(|it| after(*it) == first);
    let repeated = u16::try_from(repeated.count()).unwrap_or(MOST_REPEATED);
    let then_none = (repeated + 1..=MOST_REPEATED).all(|it| after(it).is_empty());
    if first.is_empty() && then_none {
        return Ok(None);
    }
    if first.is_empty() || !then_none {
        let message = "retries after other answers the second time than the first are not done yet";
        return Err((message.to_owned(), HELP.to_owned()));
    }
    if first.iter().any(|status| *status < 400) {
        let message = "an answer with a status below 400 is not tried again";
        let help = "say which are, such as `ResponseCode() >= 500 && Attempts() <= 2`";
        return Err((message.to_owned(), help.to_owned()));
    }
    Ok(Some((repeated, first)))
}

fn test<'t>(reader: &mut Reader<'t>) -> Read<Test<'t>> {
    let name = reader.word();
    let known = [
        "IsNetworkError",
        "Attempts",
        "ResponseCode",
        "RequestMethod",
    ];
    if !known.contains(&name) {
        return Err(match name {
            "" => reader.wrong("a function"),
            other => (format!("unknown function `{other}`"), HELP.to_owned()),
        });
    }
    reader.expect("(")?;
    reader.expect(")")?;
    if name == "IsNetworkError" {
        return Ok(Test::NetworkError);
    }
    let how = reader.comparison()?;
    Ok(match name {
        "Attempts" => Test::Attempts(how, reader.number()?),
        "ResponseCode" => Test::Status(how, reader.number()?),
        _ if matches!(how, Comparison::Equal | Comparison::Unequal) => {
            Test::Method(how, reader.text()?)
        }
        _ => {
            let message = format!("`{}` does not compare methods", how.word());
            return Err((message, "`==` or `!=`".to_owned()));
        }
    })
}

/// Numbers in order, as ranges.
fn ranges(numbers: &[u16]) -> Vec<NumberRange> {
    let mut ranges: Vec<NumberRange> = Vec::new();
    for number in numbers.iter().copied().map(i64::from) {
        match ranges.last_mut() {
            Some(last) if last.max + 1 == number => last.max = number,
            _ => ranges.push(NumberRange {
                min: number,
                max: number,
            }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_say_what_is_repeated() {
        let check = |text: &str, expected: &str| {
            let said = match read(text) {
                Err((message, _)) => message,
                Ok(None) => "never".to_owned(),
                Ok(Some(again)) => {
                    let statuses = again.statuses.iter();
                    let statuses = statuses.map(|it| format!("{}-{}", it.min, it.max));
                    let statuses: Vec<String> = statuses.collect();
                    let methods = if again.any_method {
                        "any"
                    } else {
                        "idempotent"
                    };
                    format!("{} {} {methods}", again.attempts, statuses.join(","))
                }
            };
            assert_eq!(said, expected, "{text}");
        };
        check(
            "IsNetworkError() && Attempts() < 2",
            "2 502-502,504-504 any",
        );
        check(
            "IsNetworkError() && Attempts() <= 2",
            "3 502-502,504-504 any",
        );
        check("ResponseCode() == 502", "11 502-502 any");
        check(
            "(ResponseCode() >= 500 || ResponseCode() == 429) && Attempts() != 3 && Attempts() < 3",
            "3 429-429,500-599 any",
        );
        check(
            "Attempts() < 3 && ResponseCode() > 500 && RequestMethod() != \"POST\" && RequestMethod() != `PATCH`",
            "retries of these methods alone are not done yet",
        );
        let idempotent = IDEMPOTENT.map(|it| format!("RequestMethod() == \"{it}\""));
        check(
            &format!("({}) && IsNetworkError()", idempotent.join(" || ")),
            "11 502-502,504-504 idempotent",
        );
        check(
            "RequestMethod() == \"GET\" && IsNetworkError()",
            "retries of these methods alone are not done yet",
        );
        check(
            "Attempts() < 3",
            "an answer with a status below 400 is not tried again",
        );
        check("ResponseCode() == 500 && ResponseCode() == 502", "never");
        check("Attempts() > 99", "never");
        check(
            "ResponseCode() == 500 && Attempts() > 1",
            "retries after other answers the second time than the first are not done yet",
        );
        check(
            "ResponseCode() == 500 && Attempts() < 3 || ResponseCode() == 503",
            "retries after other answers the second time than the first are not done yet",
        );
        check("IsNetworkError", "expected `(`, found the end");
        check(
            "IsNetworkError() > 1",
            "expected `&&`, `||` or the end, found `> 1`",
        );
        check("Errors()", "unknown function `Errors`");
        check(
            "!IsNetworkError()",
            "expected a function, found `!IsNetworkError()`",
        );
        check("RequestMethod() > `GET`", "`>` does not compare methods");
        check(
            "RequestMethod() == GET",
            "expected a text in quotes, found `GET`",
        );
        check("Attempts() < `1`", "expected a number, found ``1``");
    }
}
