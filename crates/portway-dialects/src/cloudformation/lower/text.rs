//! Conditions and templates written as text of the native form, which is shorter than building them.

use crate::expression::{Written, condition, template};
use portway_model::action::{Action, Phase, Places, Rule};
use portway_model::diagnostic::Diagnostics;
use portway_model::expression::{Condition, Expression, Template, TemplatePart, Value};
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;

/// The condition that a text of ours says.
pub(super) fn holds(text: &str) -> Condition<Named> {
    let condition = condition::parse(Written::bare(text), &mut Diagnostics::default());
    debug_assert!(condition.is_some(), "{text}");
    condition.unwrap_or(Condition::Any(Vec::new()))
}

/// The template that a text of ours says.
pub(super) fn written(text: &str) -> Template<Named> {
    let template = template::parse(Written::bare(text), &mut Diagnostics::default());
    debug_assert!(template.is_some(), "{text}");
    template.unwrap_or(Template(Vec::new()))
}

/// Always.
pub(super) fn always() -> Condition<Named> {
    Condition::All(Vec::new())
}

/// A value within a template.
pub(super) fn part(expression: impl Into<Expression<Named>>) -> TemplatePart<Named> {
    TemplatePart::Expression(Spanned::bare(expression.into()))
}

/// A template of one value.
pub(super) fn only(value: Value<Named>) -> Template<Named> {
    Template(vec![part(value)])
}

/// A rule of the request phase.
pub(super) fn on_request(
    condition: Condition<Named>,
    actions: Vec<Action<Named>>,
    span: Span,
) -> Rule<Named> {
    Rule {
        phase: Phase::Request,
        condition,
        actions,
        origin: Origin(span),
        places: Places::default(),
    }
}
