//! Rows and tables of values as text: CSV, `typed`, JSON, and `name: value`.

use std::fmt::Write;

use super::field::{CORE, Field, Tags, Value};
use super::row::Row;

/// What stands between the columns of all and those of modules.
const MODULES: &str = "-,";

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// CSV, or `name: value`.
    Plain,
    /// A line a value, with its kind.
    Typed,
    /// JSON.
    Json,
}

/// The header of CSV.
pub(crate) fn csv_header(out: &mut String) {
    out.push_str("# ");
    for (at, field) in Field::ALL.iter().enumerate() {
        if at == CORE {
            out.push_str(MODULES);
        }
        put(out, format_args!("{},", field.name()));
    }
    out.push('\n');
}

/// A row of CSV.
pub(crate) fn csv_row(row: &Row, out: &mut String) {
    for (at, field) in Field::ALL.iter().enumerate() {
        if at == CORE {
            out.push_str(MODULES);
        }
        if let Some(value) = row.get(*field) {
            csv_value(value, out);
        }
        out.push(',');
    }
    out.push('\n');
}

/// A text with a comma, a quote or a line's end stands in quotes.
fn csv_value(value: &Value, out: &mut String) {
    match value {
        Value::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            put(out, format_args!("\"{}\"", text.replace('"', "\"\"")));
        }
        value => put(out, format_args!("{value}")),
    }
}

/// A row in `typed` form.
pub(crate) fn typed_row(row: &Row, says: bool, out: &mut String) {
    for (at, field) in Field::ALL.iter().enumerate() {
        let Some(value) = row.get(*field) else {
            continue;
        };
        put(
            out,
            format_args!(
                "{}.{}.{}.{at}.{}.1:{}:{}:{value}",
                row.object.letter(),
                row.proxy,
                row.id,
                field.name(),
                row.tags(*field).0,
                value.kind(),
            ),
        );
        describe(says, field.says(), out);
        out.push('\n');
    }
}

fn describe(says: bool, text: &str, out: &mut String) {
    if says {
        put(out, format_args!(":\"{text}\""));
    }
}

/// A row in JSON: an array of its values.
pub(crate) fn json_row(row: &Row, says: bool, out: &mut String) {
    out.push('[');
    let mut first = true;
    for (at, field) in Field::ALL.iter().enumerate() {
        let Some(value) = row.get(*field) else {
            continue;
        };
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        put(
            out,
            format_args!(
                "{{\"objType\":\"{}\",\"proxyId\":{},\"id\":{},",
                row.object.word(),
                row.proxy,
                row.id
            ),
        );
        json_value(
            at,
            (field.name(), row.tags(*field), field.says()),
            value,
            says,
            out,
        );
    }
    out.push(']');
}

/// The part of a JSON value that rows and the table of the process share; the brace is open.
fn json_value(
    at: usize,
    (name, tags, text): (&str, Tags, &str),
    value: &Value,
    says: bool,
    out: &mut String,
) {
    put(
        out,
        format_args!(
            "\"field\":{{\"pos\":{at},\"name\":\"{name}\"}},\"processNum\":1,\"tags\":{{\"origin\":\"{}\",\
             \"nature\":\"{}\",\"scope\":\"{}\"}},",
            tags.origin(),
            tags.nature(),
            tags.scope()
        ),
    );
    if says {
        put(out, format_args!("\"desc\":\"{text}\","));
    }
    put(
        out,
        format_args!("\"value\":{{\"type\":\"{}\",\"value\":", value.kind()),
    );
    match value {
        Value::Text(text) => {
            out.push('"');
            json_text(text, out);
            out.push('"');
        }
        value => put(out, format_args!("{value}")),
    }
    out.push_str("}}");
}

fn json_text(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_control() => {
                put(out, format_args!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
}

/// A named value of the process.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) tags: Tags,
    pub(crate) says: &'a str,
    pub(crate) value: Value,
}

/// A table of named values; `None` where a place is left out.
pub(crate) fn table(lines: &[Option<Line<'_>>], form: Form, says: bool, out: &mut String) {
    let there = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, line.as_ref()?)));
    if form == Form::Json {
        out.push('[');
        for (nth, (at, line)) in there.enumerate() {
            if nth > 0 {
                out.push(',');
            }
            out.push('{');
            json_value(
                at,
                (line.name, line.tags, line.says),
                &line.value,
                says,
                out,
            );
        }
        out.push_str("]\n");
        return;
    }
    for (
        at,
        Line {
            name,
            tags,
            says: text,
            value,
        },
    ) in there
    {
        match form {
            Form::Typed => put(
                out,
                format_args!("{at}.{name}.1:{}:{}:{value}", tags.0, value.kind()),
            ),
            _ => put(out, format_args!("{name}: {value}")),
        }
        describe(says, text, out);
        out.push('\n');
    }
}

/// Writing into a String does not fail.
pub(crate) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// The schema of both JSON forms (JSON Schema draft 4).
pub(crate) const SCHEMA: &str = include_str!("schema.json");
