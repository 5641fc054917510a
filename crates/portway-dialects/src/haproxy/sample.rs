//! Sample expressions: a fetch and the converters after it, `hdr(host),lower,field(1,:)`.
//!
//! HAProxy's samples have types and are cast from step to step. The types are known here, so each cast becomes a step
//! of its own in the model, where it changes anything.

use super::arguments::{Call, call};
use super::place::{Place, When};
use super::{Reader, Word, converter, fetch, keywords, signature};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Expression, Transform, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// What a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// Known at run time only: a variable.
    Any,
    Boolean,
    Number,
    Address,
    Text,
    Binary,
}

impl Type {
    /// True where it has a number's value, or it is not known that it has none.
    pub(crate) fn may_be_number(self) -> bool {
        matches!(self, Type::Any | Type::Boolean | Type::Number)
    }
}

/// Why a fetch, a converter or an argument is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is wrong, and this is why.
    Wrong(String),
    /// HAProxy has it, Portway does not yet.
    NotYet,
    /// HAProxy has it, Portway never will, for this reason.
    Never(&'static str),
}

impl Refusal {
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Refusal::Wrong(message.into())
    }
}

/// An expression with what must be known to use it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) expression: Expression<Named>,
    pub(super) kind: Type,
    /// When the fetch is known.
    pub(super) when: When,
    /// The fetch as it was written, without arguments.
    pub(super) name: String,
    /// Converters were applied.
    pub(super) converted: bool,
}

impl Sample {
    /// Adds a step that gives this type.
    pub(super) fn then(&mut self, transform: Transform<Named>, kind: Type) {
        self.expression.transforms.push(transform);
        self.kind = kind;
    }

    /// Casts to `wanted`; false where HAProxy has no such cast.
    pub(super) fn cast(&mut self, wanted: Type) -> bool {
        // The name of a method and an IPv6 address are types of their own, which are no numbers.
        let method = self.name == "method" && !self.converted;
        let long = self.name == "ipv6" && !self.converted;
        match (self.kind, wanted) {
            (_, Type::Any) => return true,
            (from, to) if from == to => return true,
            (_, Type::Number | Type::Boolean | Type::Address) if method => return false,
            (_, Type::Number | Type::Boolean) if long => return false,
            (Type::Text, Type::Binary) => {}
            (Type::Boolean, Type::Number) | (Type::Number, Type::Boolean) => {
                self.expression.transforms.push(Transform::Number);
            }
            (Type::Text | Type::Any, Type::Number | Type::Boolean)
            | (Type::Address, Type::Number) => {
                self.expression.transforms.push(Transform::Number);
            }
            (Type::Text | Type::Any, Type::Address) => {}
            (Type::Number | Type::Address | Type::Any, Type::Binary) => {
                self.expression.transforms.push(Transform::Binary);
            }
            (Type::Boolean, Type::Binary) => {
                let steps = [Transform::Number, Transform::Binary];
                self.expression.transforms.extend(steps);
            }
            // Bytes are a text up to the first NUL.
            (
                Type::Boolean | Type::Number | Type::Address | Type::Binary | Type::Any,
                Type::Text,
            ) => {
                self.expression.transforms.push(Transform::Text);
            }
            _ => return false,
        }
        self.kind = wanted;
        true
    }
}

/// Reads an expression that stands in one word. `None` where it is wrong; `reader` then knows why.
pub(crate) fn expression(
    word: &Word,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Spanned<Expression<Named>>> {
    let sample = sample(&word.text, word.span, place, reader)?;
    known(&sample, word.span, place, reader)?;
    Some(word.spanned(sample.expression))
}

/// As [`expression`], with its type.
pub(crate) fn expression_and_type(
    word: &Word,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<(Spanned<Expression<Named>>, Type)> {
    let sample = sample(&word.text, word.span, place, reader)?;
    known(&sample, word.span, place, reader)?;
    Some((word.spanned(sample.expression), sample.kind))
}

/// As [`expression`], cast to this type.
pub(crate) fn expression_of(
    word: &Word,
    wanted: Type,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Expression<Named>> {
    let mut sample = sample(&word.text, word.span, place, reader)?;
    known(&sample, word.span, place, reader)?;
    if !sample.cast(wanted) {
        let what = match wanted {
            Type::Address => "an address",
            Type::Number => "a number",
            _ => "of another type",
        };
        let message = format!("'{}' is not {what}", word.text);
        reader.error(Code::WrongComparison, word.span, message);
        return None;
    }
    Some(sample.expression)
}

/// As [`expression`], as a value of this type.
pub(crate) fn typed(
    word: &Word,
    wanted: Type,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Spanned<Expression<Named>>> {
    let mut sample = sample(&word.text, word.span, place, reader)?;
    known(&sample, word.span, place, reader)?;
    if !sample.cast(wanted) {
        let message = format!("`{}` has another type than is needed here", word.text);
        reader.error(Code::WrongType, word.span, message);
        return None;
    }
    Some(word.spanned(sample.expression))
}

/// As [`expression`], for a text that is part of a word.
pub(super) fn written(
    text: &str,
    span: Span,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Expression<Named>> {
    let sample = sample(text, span, place, reader)?;
    known(&sample, span, place, reader)?;
    Some(sample.expression)
}

/// Says where a fetch is not known here.
fn known(sample: &Sample, span: Span, place: Place, reader: &mut Reader<'_>) -> Option<()> {
    if sample.when.is_known(place) {
        return Some(());
    }
    let message = format!(
        "'{}' cannot be used in {}: it needs {}",
        sample.name,
        place.word(),
        sample.when.needs()
    );
    let diagnostic = Diagnostic::error(Code::WrongPhase, span, message);
    reader.push(diagnostic.help("keep it in a variable where it is known, and read that here"));
    None
}

/// A fetch and its converters. Whether it is known in `place` is for the caller to say.
pub(super) fn sample(
    text: &str,
    span: Span,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Sample> {
    let call = read_call(text, span, "fetch", reader)?;
    if call.name.is_empty() {
        let message = format!("a fetch is missing at '{text}'");
        reader.error(Code::Syntax, span, message);
        return None;
    }
    let found = signature::hold(&call).and_then(|()| fetch::find(&call, place, span, reader));
    let mut sample = match found {
        Ok(sample) => sample,
        Err(refusal) => {
            refuse("fetch", &call, &refusal, span, reader);
            return None;
        }
    };
    converters(&mut sample, call.rest, span, reader)?;
    Some(sample)
}

/// The converters that stand at the start of `text`, each after a comma.
pub(super) fn converters(
    sample: &mut Sample,
    text: &str,
    span: Span,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let mut rest = text;
    while !rest.is_empty() {
        let Some(next) = rest.strip_prefix(',') else {
            let message = format!("expected a comma and a converter, found '{rest}'");
            reader.error(Code::Syntax, span, message);
            return None;
        };
        let call = read_call(next, span, "converter", reader)?;
        if call.name.is_empty() {
            reader.error(
                Code::Syntax,
                span,
                format!("a converter is missing at '{next}'"),
            );
            return None;
        }
        let done =
            signature::hold(&call).and_then(|()| converter::apply(sample, &call, span, reader));
        if let Err(refusal) = done {
            refuse("converter", &call, &refusal, span, reader);
            return None;
        }
        sample.converted = true;
        rest = call.rest;
    }
    Some(())
}

fn read_call<'t>(
    text: &'t str,
    span: Span,
    what: &str,
    reader: &mut Reader<'_>,
) -> Option<Call<'t>> {
    match call(text) {
        Ok(call) => Some(call),
        Err(message) => {
            reader.error(Code::Syntax, span, format!("{what} '{text}': {message}"));
            None
        }
    }
}

/// Says why a fetch or a converter is not taken.
fn refuse(what: &str, call: &Call<'_>, refusal: &Refusal, span: Span, reader: &mut Reader<'_>) {
    let name = call.name;
    let diagnostic = match refusal {
        Refusal::Wrong(why) if why.is_empty() => match what {
            "fetch" => keywords::fetch_fault(name, span),
            _ => keywords::converter_fault(name, span),
        },
        Refusal::Wrong(why) => {
            Diagnostic::error(Code::OutOfRange, span, format!("{what} '{name}': {why}"))
        }
        Refusal::NotYet => {
            let message = format!("the {what} '{name}' is not supported yet");
            Diagnostic::error(Code::NotRun, span, message)
        }
        Refusal::Never(why) => {
            let message = format!("the {what} '{name}' is not supported: {why}");
            Diagnostic::error(Code::NotRun, span, message)
        }
    };
    reader.push(diagnostic);
}

/// A value of this type that is known then.
pub(super) fn of(
    name: &str,
    when: When,
    kind: Type,
    value: impl Into<Expression<Named>>,
) -> Sample {
    Sample {
        expression: value.into(),
        kind,
        when,
        name: name.to_owned(),
        converted: false,
    }
}

/// A value and the steps that make a fetch of it.
pub(super) fn chain(value: Value<Named>, transforms: Vec<Transform<Named>>) -> Expression<Named> {
    Expression { value, transforms }
}
