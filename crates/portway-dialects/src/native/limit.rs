//! Limits that rules put on requests: `limit_body`, `limit_rate`, `limit_concurrency`.

use super::form::{Form, Keyed, Out, Reader};
use crate::tree::{Content, Item};
use portway_model::expression::{Expression, Value};
use portway_model::limit::Limit;
use portway_model::stage::Named;
use std::time::Duration;

/// A rate's period where none is said.
const PERIOD: Duration = Duration::from_secs(1);

/// Reads the value of one of the keys.
pub(crate) fn read(key: &str, item: &Item, reader: &mut Reader<'_>) -> Option<Limit<Named>> {
    match key {
        "limit_body" => read_body(item, reader),
        "limit_rate" => {
            let keys = ["name", "key", "average", "period", "burst"];
            let table = reader.keyed(item, "a table", &keys)?;
            let (name, average) = (
                table.required("name", reader),
                table.required("average", reader),
            );
            let (key, period) = (
                read_key(&table, reader),
                given(&table, "period", PERIOD, reader),
            );
            let burst = given(&table, "burst", 1, reader);
            Some(Limit::Rate {
                name: name?,
                key: key?,
                average: average?,
                period: period.unwrap_or(PERIOD),
                burst: burst.unwrap_or(1),
            })
        }
        // The last one that is left: "limit_concurrency".
        _ => {
            let table = reader.keyed(item, "a table", &["name", "key", "amount"])?;
            let (name, amount) = (
                table.required("name", reader),
                table.required("amount", reader),
            );
            let key = read_key(&table, reader);
            Some(Limit::Concurrency {
                name: name?,
                key: key?,
                amount: amount?,
            })
        }
    }
}

fn read_body(item: &Item, reader: &mut Reader<'_>) -> Option<Limit<Named>> {
    if matches!(item.content, Content::Integer(_) | Content::Text { .. }) {
        return Some(Limit::Body {
            request: Some(reader.under("limit_body", item)?),
            response: None,
        });
    }
    let table = reader.keyed(item, "a size or a table", &["request", "response"])?;
    let mut read = |key: &str| match table.entry(key) {
        Some(_) => table.required(key, reader).map(Some),
        None => Some(None),
    };
    let (request, response) = (read("request"), read("response"));
    Some(Limit::Body {
        request: request?,
        response: response?,
    })
}

/// By what requests are told apart: the client's address unless something else is said.
fn read_key(table: &Keyed<'_>, reader: &mut Reader<'_>) -> Option<Expression<Named>> {
    given(table, "key", Value::Source.into(), reader)
}

/// What a key says; `default` where it is not there.
pub(super) fn given<T: Form>(
    table: &Keyed<'_>,
    key: &str,
    default: T,
    reader: &mut Reader<'_>,
) -> Option<T> {
    match table.entry(key) {
        Some(_) => table.required(key, reader),
        None => Some(default),
    }
}

/// The key and its value.
pub(crate) fn write(limit: &Limit<Named>) -> (&'static str, Out) {
    match limit {
        Limit::Body {
            request: Some(request),
            response: None,
        } => ("limit_body", request.write()),
        Limit::Body { request, response } => {
            let entries = [("request", request), ("response", response)];
            let entries = entries
                .into_iter()
                .filter_map(|(key, bytes)| Some((key.to_owned(), bytes.as_ref()?.write())));
            ("limit_body", Out::Table(entries.collect()))
        }
        Limit::Rate {
            name,
            key,
            average,
            period,
            burst,
        } => {
            let mut out = named(name.write(), key);
            out.push(("average".to_owned(), average.write()));
            let period = (*period != PERIOD).then(|| ("period".to_owned(), period.write()));
            out.extend(period);
            out.extend((*burst != 1).then(|| ("burst".to_owned(), burst.write())));
            ("limit_rate", Out::Table(out))
        }
        Limit::Circuit(breaker) => ("circuit_breaker", breaker.write()),
        Limit::Concurrency { name, key, amount } => {
            let mut out = named(name.write(), key);
            out.push(("amount".to_owned(), amount.write()));
            ("limit_concurrency", Out::Table(out))
        }
    }
}

fn named(name: Out, key: &Expression<Named>) -> Vec<(String, Out)> {
    let mut out = vec![("name".to_owned(), name)];
    let by_client = *key == Value::Source.into();
    out.extend((!by_client).then(|| ("key".to_owned(), key.write())));
    out
}
