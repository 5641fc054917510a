//! Transforms: a chain of methods after a value, as in ``path.field(2, `/`).lower()``.

use super::cursor::{Cursor, Parsed};
use super::{write_plain, write_text};
use portway_model::expression::Transform;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// Every method, and how it is written.
pub(crate) const METHODS: &[(&str, &str)] = &[
    ("number", "number()"),
    ("text", "text()"),
    ("lower", "lower()"),
    ("upper", "upper()"),
    ("trim", "trim()"),
    ("replace", "replace(`PATTERN`, `WITH`)"),
    ("replace_all", "replace_all(`PATTERN`, `WITH`)"),
    ("field", "field(1, `,`)"),
    ("word", "word(1, ` `)"),
    ("map", "map(`MAP`)"),
    ("default", "default(`TEXT`)"),
    ("base64", "base64()"),
    ("base64_decode", "base64_decode()"),
    ("hex", "hex()"),
    ("url_decode", "url_decode()"),
    ("length", "length()"),
    ("add", "add(1)"),
    ("multiply", "multiply(2)"),
    ("modulo", "modulo(10)"),
    ("mask", "mask(24, 64)"),
    ("json", "json(`$.a.b`)"),
    ("jwt_header", "jwt_header(`$.kid`)"),
    ("jwt_payload", "jwt_payload(`$.sub`)"),
    ("crc32", "crc32()"),
    ("sha256", "sha256()"),
    ("quoted", "quoted()"),
    ("backslashed", "backslashed()"),
    ("hexadecimal", "hexadecimal()"),
    ("bytes", "bytes(0, 8)"),
];

impl Cursor<'_, '_> {
    /// A method after the dot.
    pub(super) fn transform(&mut self) -> Parsed<Transform<Named>> {
        let Some(word) = self.word() else {
            return self.unexpected("a transform");
        };
        if METHODS.iter().all(|(known, _)| *known != word) {
            return self.unknown("transform", word, METHODS.iter().map(|(known, _)| *known));
        }
        self.advance()?;
        self.expect("(")?;
        let transform = self.method(word)?;
        self.expect(")")?;
        Ok(transform)
    }

    fn method(&mut self, word: &str) -> Parsed<Transform<Named>> {
        Ok(match word {
            "number" => Transform::Number,
            "text" => Transform::Text,
            "lower" => Transform::Lower,
            "upper" => Transform::Upper,
            "trim" => Transform::Trim,
            "replace" | "replace_all" => {
                let (pattern, span) = self.text("a pattern")?;
                self.expect(",")?;
                Transform::Replace {
                    pattern: Spanned::new(pattern, span),
                    with: self.text("what comes in its place")?.0,
                    all: word == "replace_all",
                }
            }
            "field" | "word" => self.part(word == "field")?,
            "map" => {
                let map = self.reference("a map")?;
                let default = match self.takes(",")? {
                    true => Some(self.text("a default")?.0),
                    false => None,
                };
                Transform::Map { map, default }
            }
            "default" => Transform::Default(self.text("a text")?.0),
            "base64" => Transform::Base64,
            "base64_decode" => Transform::Base64Decode,
            "hex" => Transform::Hex,
            "url_decode" => Transform::UrlDecode,
            "length" => Transform::Length,
            "add" => Transform::Add(self.number("a number")?),
            "multiply" => Transform::Multiply(self.number("a number")?),
            "modulo" => Transform::Modulo(self.number("a number")?),
            "mask" => {
                let v4 = self.number("a prefix length for IPv4")?;
                self.expect(",")?;
                let v6 = self.number("a prefix length for IPv6")?;
                Transform::Mask { v4, v6 }
            }
            "json" => Transform::Json(self.text("a path")?.0),
            "jwt_header" => Transform::JwtHeader(self.text("a path")?.0),
            "jwt_payload" => Transform::JwtPayload(self.text("a path")?.0),
            "crc32" => Transform::Crc32,
            "sha256" => Transform::Sha256,
            "quoted" => Transform::Quoted,
            "backslashed" => Transform::Backslashed,
            "hexadecimal" => Transform::Hexadecimal,
            _ => {
                let offset = self.number("an offset in bytes")?;
                let length = match self.takes(",")? {
                    true => Some(self.number("a length in bytes")?),
                    false => None,
                };
                Transform::Bytes { offset, length }
            }
        })
    }

    fn part(&mut self, field: bool) -> Parsed<Transform<Named>> {
        let index = self.number("a position from 1, or from the end below 0")?;
        self.expect(",")?;
        let delimiters = self.text("the delimiters")?.0;
        Ok(match field {
            true => Transform::Field { index, delimiters },
            false => Transform::Word { index, delimiters },
        })
    }
}

pub(super) fn write_transform(out: &mut String, transform: &Transform<Named>) {
    match transform {
        Transform::Number => out.push_str("number()"),
        Transform::Text => out.push_str("text()"),
        Transform::Lower => out.push_str("lower()"),
        Transform::Quoted => out.push_str("quoted()"),
        Transform::Backslashed => out.push_str("backslashed()"),
        Transform::Hexadecimal => out.push_str("hexadecimal()"),
        Transform::Upper => out.push_str("upper()"),
        Transform::Trim => out.push_str("trim()"),
        Transform::Base64 => out.push_str("base64()"),
        Transform::Base64Decode => out.push_str("base64_decode()"),
        Transform::Hex => out.push_str("hex()"),
        Transform::UrlDecode => out.push_str("url_decode()"),
        Transform::Length => out.push_str("length()"),
        Transform::Crc32 => out.push_str("crc32()"),
        Transform::Sha256 => out.push_str("sha256()"),
        Transform::Add(number) => write_plain(out, format_args!("add({number})")),
        Transform::Multiply(number) => write_plain(out, format_args!("multiply({number})")),
        Transform::Modulo(number) => write_plain(out, format_args!("modulo({number})")),
        Transform::Mask { v4, v6 } => write_plain(out, format_args!("mask({v4}, {v6})")),
        Transform::Bytes {
            offset,
            length: None,
        } => write_plain(out, format_args!("bytes({offset})")),
        Transform::Bytes {
            offset,
            length: Some(length),
        } => write_plain(out, format_args!("bytes({offset}, {length})")),
        Transform::Replace { pattern, with, all } => {
            let method = if *all { "replace_all" } else { "replace" };
            write_call(out, method, &[&pattern.value, with]);
        }
        Transform::Field { index, delimiters } => write_part(out, "field", *index, delimiters),
        Transform::Word { index, delimiters } => write_part(out, "word", *index, delimiters),
        Transform::Map { map, default: None } => write_call(out, "map", &[map.value.as_str()]),
        Transform::Map {
            map,
            default: Some(default),
        } => write_call(out, "map", &[map.value.as_str(), default]),
        Transform::Default(text) => write_call(out, "default", &[text]),
        Transform::Json(path) => write_call(out, "json", &[path]),
        Transform::JwtHeader(path) => write_call(out, "jwt_header", &[path]),
        Transform::JwtPayload(path) => write_call(out, "jwt_payload", &[path]),
    }
}

fn write_part(out: &mut String, method: &str, index: i32, delimiters: &str) {
    write_plain(out, format_args!("{method}({index}, "));
    write_text(out, delimiters);
    out.push(')');
}

/// A call with text arguments.
pub(super) fn write_call(out: &mut String, function: &str, arguments: &[&str]) {
    out.push_str(function);
    out.push('(');
    for (i, argument) in arguments.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_text(out, argument);
    }
    out.push(')');
}
