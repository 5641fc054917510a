//! Text with expressions in it: headers, logs, redirects.

use crate::expression::Expression;
use crate::span::Spanned;
use crate::stage::Stage;

/// Text with expressions in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Template<S: Stage>(pub Vec<TemplatePart<S>>);

/// A piece of a template. An absent value writes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplatePart<S: Stage> {
    /// As it is.
    Text(String),
    /// What this gives.
    Expression(Spanned<Expression<S>>),
}

impl<S: Stage> Template<S> {
    /// A template without expressions.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() {
            Self(Vec::new())
        } else {
            Self(vec![TemplatePart::Text(text)])
        }
    }

    /// The text, where no expression is in it.
    pub fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [TemplatePart::Text(text)] => Some(text),
            _ => None,
        }
    }
}
