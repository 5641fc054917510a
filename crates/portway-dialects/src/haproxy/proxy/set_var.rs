//! `set-var` and `set-var-fmt`, and the conditions in their parentheses.

use super::http_rule::Reading;
use crate::haproxy::place::Place;
use crate::haproxy::sample::Type;
use crate::haproxy::{Reader, Word, log_format, sample};
use portway_model::action::Action;
use portway_model::expression::{
    Condition, Expression, Matcher, NumberRange, Operand, Operation, Scope, Template, TemplatePart,
    Test, TextMatch, Transform, Value, Variable,
};
use portway_model::span::Spanned;
use portway_model::stage::Named;

impl<'l> Reading<'_, 'l, '_> {
    /// `set-var(NAME[,CONDITION…]) EXPRESSION`, `set-var-fmt(NAME[,CONDITION…]) FORMAT`.
    pub(super) fn set_var(
        &mut self,
        action: &str,
        argument: Option<&str>,
    ) -> Option<Action<Named>> {
        let mut parts = argument.unwrap_or("").split(',');
        let variable = self.variable(parts.next())?;
        let place = self.place();
        let word = self.argument("a value")?;
        let (value, sample) = if action == "set-var-fmt" {
            (format(word, place, self.reader)?, None)
        } else {
            let expression = sample::expression(word, place, self.reader)?;
            let sample = sample::sample(&word.text, word.span, place, self.reader)?;
            let value = Template(vec![TemplatePart::Expression(expression)]);
            (value, Some(sample))
        };
        for condition in parts {
            let condition =
                self.variable_condition(condition, &variable, &value, sample.as_ref())?;
            self.also.push(condition);
        }
        Some(Action::SetVariable { variable, value })
    }

    /// When a variable is set, as its condition says.
    fn variable_condition(
        &mut self,
        condition: &str,
        variable: &Variable,
        written: &Template<Named>,
        sample: Option<&sample::Sample>,
    ) -> Option<Condition<Named>> {
        let span = self.word.span;
        let test = |expression, matcher| {
            let test = Test {
                expression,
                matcher,
            };
            Condition::Test(Spanned::new(test, span))
        };
        let not = |condition| Condition::Not(Box::new(condition));
        let is_set = || {
            let value = Value::Variable(variable.clone());
            test(value.into(), Matcher::Present)
        };
        // Those of the process exist from the start.
        let exists = || match variable.scope {
            Scope::Process => Condition::All(Vec::new()),
            _ => is_set(),
        };
        let is_empty = || {
            let Some(sample) = sample else {
                return empty_template(written, &test);
            };
            match sample.kind {
                // What is no text is never empty.
                Type::Boolean | Type::Number | Type::Address => Condition::Any(Vec::new()),
                Type::Any | Type::Text | Type::Binary => {
                    let empty = Matcher::Text {
                        how: TextMatch::Exact,
                        any_of: vec![String::new()],
                        ignore_case: false,
                    };
                    test(sample.expression.clone(), empty)
                }
            }
        };
        // Only numbers are compared: anything else is set.
        let differs = |min, max| match sample.filter(|sample| sample.kind.may_be_number()) {
            None => Condition::All(Vec::new()),
            Some(sample) => {
                let mut difference = sample.expression.clone();
                if sample.kind == Type::Boolean {
                    difference.transforms.push(Transform::Number);
                }
                let operand = Operand::Variable(variable.clone());
                let subtract = Transform::Calculate(Operation::Subtract, operand);
                difference.transforms.push(subtract);
                let within = |min, max| Matcher::Number {
                    any_of: vec![NumberRange { min, max }],
                };
                let kept = Value::Variable(variable.clone());
                let is_number = test(kept.into(), within(i64::MIN, i64::MAX));
                let differs = test(difference, within(min, max));
                Condition::Any(vec![not(is_number), differs])
            }
        };
        let known = match condition {
            "ifset" => is_set(),
            "ifnotset" => not(is_set()),
            "ifexists" => exists(),
            "ifnotexists" => not(exists()),
            "ifempty" => is_empty(),
            "ifnotempty" => not(is_empty()),
            "ifgt" => differs(i64::MIN, -1),
            "iflt" => differs(1, i64::MAX),
            other => {
                let known = [
                    "ifset",
                    "ifnotset",
                    "ifexists",
                    "ifnotexists",
                    "ifempty",
                    "ifnotempty",
                    "ifgt",
                    "iflt",
                ];
                let what = "condition of `set-var`";
                self.reader
                    .push(crate::unknown_word(span, what, other, known));
                return None;
            }
        };
        Some(known)
    }
}

/// What a variable is set to by a log format: always a text. What is written of an absent value is empty, not absent.
pub(crate) fn format(
    word: &Word,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Template<Named>> {
    let mut written = log_format::of_variable(word, place, reader)?;
    if let [TemplatePart::Expression(only)] = written.0.as_mut_slice() {
        let empty = Transform::Default(String::new());
        only.value.transforms.extend([empty, Transform::Text]);
    }
    Some(written)
}

/// Whether nothing is written.
fn empty_template(
    written: &Template<Named>,
    test: &impl Fn(Expression<Named>, Matcher<Named>) -> Condition<Named>,
) -> Condition<Named> {
    let mut parts = Vec::new();
    for part in &written.0 {
        match part {
            TemplatePart::Text(text) if text.is_empty() => {}
            TemplatePart::Text(_) => return Condition::Any(Vec::new()),
            TemplatePart::Expression(expression) => {
                let mut length = expression.value.clone();
                length.transforms.push(Transform::Length);
                let none = Matcher::Number {
                    any_of: vec![NumberRange { min: 0, max: 0 }],
                };
                let absent = test(expression.value.clone(), Matcher::Present);
                parts.push(Condition::Any(vec![
                    Condition::Not(Box::new(absent)),
                    test(length, none),
                ]));
            }
        }
    }
    Condition::All(parts)
}
