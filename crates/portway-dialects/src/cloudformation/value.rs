//! What a part of a template comes to once its functions are carried out, with the place that it stands at.
//!
//! CloudFormation lets numbers, booleans and texts stand for each other, so there are texts alone.

use portway_model::span::Span;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    List(Vec<Node>),
    Map(Vec<Field>),
    /// `AWS::NoValue`: as if it did not stand there.
    Nothing,
    /// It depends on what is not given, or was wrong; the diagnostic is already there.
    Unknown,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn text(text: impl Into<String>, span: Span) -> Self {
        Self {
            value: Value::Text(text.into()),
            span,
        }
    }

    pub(super) fn unknown(span: Span) -> Self {
        Self {
            value: Value::Unknown,
            span,
        }
    }

    pub(super) fn list(texts: impl IntoIterator<Item = String>, span: Span) -> Self {
        let nodes = texts.into_iter().map(|text| Node::text(text, span));
        Self {
            value: Value::List(nodes.collect()),
            span,
        }
    }

    /// The text, where it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
            Value::Nothing | Value::Unknown => "nothing",
        }
    }
}
