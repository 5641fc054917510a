//! `portway convert`: any configuration in the native form.

use std::process::ExitCode;

use portway_control::sources::{compile_files_with, to_native};
use portway_dialects::cloudformation::Unset;
use serde_json::{Map, Value as Json};
use toml_edit::{DocumentMut, Item, Value as Toml};

use crate::cli::{Convert, Form, reading};
use crate::render;

/// Runs the command.
pub(crate) fn run(arguments: &Convert, quiet: bool) -> ExitCode {
    let compiled = compile_files_with(
        &arguments.sources,
        &reading(&arguments.language, &arguments.templates, Unset::Refused),
    );
    render::to_stderr(&compiled.sources, &compiled.diagnostics, quiet);
    let Some(snapshot) = &compiled.snapshot else {
        return ExitCode::FAILURE;
    };
    let toml = to_native(snapshot);
    match arguments.to {
        Form::Toml => super::print(&toml),
        Form::Json => match as_json(&toml) {
            Ok(json) => super::print(&format!("{json}\n")),
            Err(error) => return super::fail(&format!("the native form cannot be read: {error}")),
        },
    }
    ExitCode::SUCCESS
}

/// The same tables and values as JSON, so that there is one shape only.
fn as_json(toml: &str) -> Result<String, Box<dyn std::error::Error>> {
    let document: DocumentMut = toml.parse()?;
    Ok(serde_json::to_string_pretty(&of_item(document.as_item()))?)
}

fn of_item(item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Value(value) => of_value(value),
        Item::Table(table) => object(table.iter().map(|(key, item)| (key, of_item(item)))),
        Item::ArrayOfTables(tables) => tables
            .iter()
            .map(|table| object(table.iter().map(|(key, item)| (key, of_item(item)))))
            .collect(),
    }
}

fn of_value(value: &Toml) -> Json {
    match value {
        Toml::String(text) => text.value().as_str().into(),
        Toml::Integer(number) => (*number.value()).into(),
        Toml::Float(number) => (*number.value()).into(),
        Toml::Boolean(truth) => (*truth.value()).into(),
        Toml::Datetime(moment) => moment.value().to_string().into(),
        Toml::Array(values) => values.iter().map(of_value).collect(),
        Toml::InlineTable(table) => object(table.iter().map(|(key, value)| (key, of_value(value)))),
    }
}

fn object<'a>(entries: impl Iterator<Item = (&'a str, Json)>) -> Json {
    let map: Map<String, Json> = entries
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Json::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_shape() {
        let toml = "a = 1\n[b.c]\nd = [true, 'x', { e = 1.5 }]\n[[f]]\ng = 2\n[[f]]\n";
        let expected = serde_json::json!({
            "a": 1, "b": { "c": { "d": [true, "x", { "e": 1.5 }] } }, "f": [{ "g": 2 }, {}],
        });
        let json: Json = serde_json::from_str(&as_json(toml).unwrap()).unwrap();
        assert_eq!(json, expected);
    }
}
