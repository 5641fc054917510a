//! Conditions over bytes of which more may come: true, false, or not to be said yet.
//!
//! As HAProxy's `tcp-request content` has it: a test that passes is true whatever follows; one that fails is not
//! settled while its value may still change; `Not`, `All` and `Any` carry what is not settled along.

use super::sought::{self, unfinished};
use super::{Facts, holds, test};
use portway_model::expression::{Condition, CounterEntry, Expression, Value};
use portway_model::stage::Resolved;

/// Whether a condition is true; `None`: more bytes may change what it says.
pub fn settled<F: Facts>(condition: &Condition<Resolved>, facts: &F) -> Option<bool> {
    if facts.wait_ended() {
        return Some(holds(condition, facts));
    }
    match condition {
        Condition::All(parts) => all(parts, true, facts),
        Condition::Any(parts) => all(parts, false, facts),
        Condition::Not(part) => settled(part, facts).map(|truth| !truth),
        Condition::Test(one) => {
            let passed = test(&one.value, facts);
            let waits = !passed && may_change(&one.value.expression, facts);
            (!waits).then_some(passed)
        }
    }
}

/// Whether more bytes may change an expression. A step that reads a protocol knows when it has seen enough.
fn may_change<F: Facts>(expression: &Expression<Resolved>, facts: &F) -> bool {
    match &expression.value {
        Value::WithSource(of) => return may_change(of, facts),
        Value::Matched(matched) => {
            let within = matched.within.as_ref();
            return within.is_some_and(|it| may_change(&it.expression, facts));
        }
        Value::Counter {
            of: CounterEntry::Key { key, .. },
            ..
        }
        | Value::OfEntry {
            of: CounterEntry::Key { key, .. },
            ..
        } => return may_change(key, facts),
        _ => {}
    }
    if !facts.may_change(&expression.value) {
        return false;
    }
    let first = expression.transforms.first();
    match (&expression.value, first, facts.payload()) {
        (
            Value::Payload {
                offset: 0,
                length: 0,
            },
            Some(step),
            Some(bytes),
        ) => unfinished(step, bytes).unwrap_or(true),
        (Value::IsHttp, _, Some(bytes)) => sought::request_head(bytes).known().is_none(),
        _ => true,
    }
}

/// Whether every part is `sought`; the opposite of it as soon as one settles that, gives the opposite.
fn all<F: Facts>(parts: &[Condition<Resolved>], sought: bool, facts: &F) -> Option<bool> {
    let mut outcome = Some(sought);
    for part in parts {
        match settled(part, facts) {
            Some(truth) if truth != sought => return Some(truth),
            Some(_) => {}
            None => outcome = None,
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::expression::{MatchGroup, Matched, Matcher, Test, TextMatch, Within};
    use portway_model::pattern::Pattern;
    use portway_model::span::Spanned;

    /// Bytes that have come, and whether they are all.
    struct Stream(&'static [u8], bool);

    impl Facts for Stream {
        fn payload(&self) -> Option<&[u8]> {
            Some(self.0)
        }

        fn listener_name(&self) -> Option<&str> {
            Some("edge")
        }

        fn wait_ended(&self) -> bool {
            self.1
        }

        fn may_change(&self, value: &Value<Resolved>) -> bool {
            match value {
                Value::Payload { length, .. } => *length == 0 || self.0.len() < 3,
                Value::PayloadLength | Value::WaitEnded => true,
                _ => false,
            }
        }
    }

    fn is(value: Value<Resolved>, text: &str) -> Condition<Resolved> {
        Condition::Test(Spanned::bare(Test {
            expression: value.into(),
            matcher: Matcher::Text {
                how: TextMatch::Exact,
                any_of: vec![text.into()],
                ignore_case: false,
            },
        }))
    }

    #[test]
    fn what_may_change_is_waited_for() {
        let first = |text| {
            let (offset, length) = (0, 3);
            is(Value::Payload { offset, length }, text)
        };
        let name = |text| is(Value::ListenerName, text);
        let ended = Condition::Test(Spanned::bare(Test {
            expression: Value::WaitEnded.into(),
            matcher: Matcher::True,
        }));
        let not = |condition: Condition<Resolved>| Condition::Not(Box::new(condition));
        let check = |condition: &Condition<Resolved>, short, long, last| {
            let said = [
                Stream(b"GE", false),
                Stream(b"GET", false),
                Stream(b"GE", true),
            ]
            .map(|stream| settled(condition, &stream));
            assert_eq!(said, [short, long, last], "{condition:?}");
        };
        let (yes, no) = (Some(true), Some(false));
        check(&first("GET"), None, yes, no);
        check(&first("PUT"), None, no, no);
        check(&not(first("GET")), None, no, yes);
        check(&ended, None, None, yes);
        check(&name("edge"), yes, yes, yes);
        check(
            &Condition::All(vec![first("GET"), name("edge")]),
            None,
            yes,
            no,
        );
        check(&Condition::All(vec![first("GET"), name("no")]), no, no, no);
        check(
            &Condition::Any(vec![first("GET"), name("edge")]),
            yes,
            yes,
            yes,
        );
        check(
            &Condition::Any(vec![first("GET"), name("no")]),
            None,
            yes,
            no,
        );
        check(&Condition::Any(vec![first("PUT"), ended]), None, None, yes);
        let payload = || {
            let (offset, length) = (0, 3);
            Expression::from(Value::Payload { offset, length })
        };
        let matched = |expression, text| {
            let (group, any_of) = (MatchGroup::Number(1), vec![Pattern::new("^(...)").unwrap()]);
            let within = Some(Within { expression, any_of });
            is(Value::Matched(Box::new(Matched { group, within })), text)
        };
        check(&matched(payload(), "GET"), None, yes, no);
        check(&not(matched(payload(), "GET")), None, no, yes);
        check(&matched(Value::ListenerName.into(), "no"), no, no, no);
        let with_source = |of| Value::WithSource(Box::new(of));
        check(&is(with_source(payload()), "no"), None, no, no);
        let both = matched(with_source(payload()).into(), "no");
        check(&both, None, no, no);
        check(&Condition::All(vec![]), yes, yes, yes);
        check(&Condition::Any(vec![]), no, no, no);
    }
}
