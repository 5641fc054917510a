//! The converters: what HAProxy calls a step on a sample, and which steps of the model it is.

use super::Reader;
use super::arguments::Call;
use super::fetch::{integer, small};
use super::regex;
use super::sample::{Refusal, Sample, Type};
use portway_model::expression::Transform;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// A converter without arguments.
struct Plain(&'static str, Type, Type, &'static [Transform<Named>]);

/// Converters without arguments: what they take, what they give, the steps.
const PLAIN: &[Plain] = &[
    Plain("lower", Type::Text, Type::Text, &[Transform::Lower]),
    Plain("upper", Type::Text, Type::Text, &[Transform::Upper]),
    Plain("length", Type::Text, Type::Number, &[Transform::Length]),
    Plain("base64", Type::Binary, Type::Text, &[Transform::Base64]),
    Plain(
        "b64dec",
        Type::Text,
        Type::Binary,
        &[Transform::Base64Decode],
    ),
    Plain(
        "hex",
        Type::Binary,
        Type::Text,
        &[Transform::Hex, Transform::Upper],
    ),
];

/// Converters with arguments, for suggestions.
const FUNCTIONS: &[&str] = &[
    "add", "sub", "mul", "mod", "field", "word", "regsub", "bytes", "ipmask", "url_dec", "crc32",
    "map",
];

/// Every name that is read here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let plain = PLAIN.iter().map(|Plain(name, ..)| *name);
    plain.chain(FUNCTIONS.iter().copied())
}

/// Applies the converter of this name. A refusal without a reason means that there is none.
pub(super) fn apply(
    sample: &mut Sample,
    call: &Call<'_>,
    span: Span,
    reader: &mut Reader<'_>,
) -> Result<(), Refusal> {
    let name = call.name;
    if let Some(Plain(_, takes, gives, steps)) =
        PLAIN.iter().find(|Plain(known, ..)| *known == name)
    {
        cast(sample, *takes)?;
        if call.count() > 0 {
            return Err(Refusal::wrong("it takes no arguments"));
        }
        sample.expression.transforms.extend_from_slice(steps);
        sample.kind = *gives;
        return Ok(());
    }
    let (takes, gives, transform) = function(call, span)?;
    let _ = reader;
    cast(sample, takes)?;
    sample.then(transform, gives);
    Ok(())
}

fn cast(sample: &mut Sample, takes: Type) -> Result<(), Refusal> {
    if sample.cast(takes) {
        Ok(())
    } else {
        Err(Refusal::wrong("it cannot be applied to what is before it"))
    }
}

fn function(call: &Call<'_>, span: Span) -> Result<(Type, Type, Transform<Named>), Refusal> {
    let number = |transform| (Type::Number, Type::Number, transform);
    let text = |transform| (Type::Text, Type::Text, transform);
    Ok(match call.name {
        "add" => number(Transform::Add(integer(call.text(0))?)),
        "sub" => number(Transform::Add(integer(call.text(0))?.saturating_neg())),
        "mul" => number(Transform::Multiply(integer(call.text(0))?)),
        "mod" => number(Transform::Modulo(integer(call.text(0))?)),
        "field" | "word" => {
            let index = i32::try_from(integer(call.text(0))?);
            let index = index.map_err(|_| Refusal::wrong("the index is out of range"))?;
            let delimiters = call.text(1).to_owned();
            text(match call.name {
                "field" => Transform::Field { index, delimiters },
                _ => Transform::Word { index, delimiters },
            })
        }
        "regsub" => {
            let flags = call.text(2);
            let pattern = regex::translate(call.text(0), flags.contains('i'))
                .map_err(|what| Refusal::Wrong(format!("{what} cannot be used")))?;
            text(Transform::Replace {
                pattern: Spanned::new(pattern, span),
                with: regex::replacement(call.text(1)),
                all: flags.contains('g'),
            })
        }
        "bytes" => (
            Type::Binary,
            Type::Binary,
            Transform::Bytes {
                offset: small(call.text(0))?,
                length: call.given(1).map(small).transpose()?,
            },
        ),
        "ipmask" => {
            let v4 = small(call.text(0))?;
            let v4 = u8::try_from(v4).map_err(|_| Refusal::wrong("the mask is out of range"))?;
            let v6 = call.given(1).map(small).transpose()?.unwrap_or(128);
            let v6 = u8::try_from(v6).map_err(|_| Refusal::wrong("the mask is out of range"))?;
            (Type::Address, Type::Address, Transform::Mask { v4, v6 })
        }
        "url_dec" => text(Transform::UrlDecode),
        "crc32" => (Type::Binary, Type::Number, Transform::Crc32),
        _ => return Err(Refusal::wrong("")),
    })
}
