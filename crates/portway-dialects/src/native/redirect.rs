//! The action `redirect`: a location, or what of it is another.

use super::action::REDIRECT_STATUS;
use super::form::{Form, Keyed, Reader};
use crate::expression::{self, Written};
use crate::tree::{Content, Item};
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::Template;
use portway_model::stage::Named;

/// The same for a change of scheme, host or port, which is meant to last.
const MOVED_STATUS: u16 = 301;

pub(super) fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Action<Named>> {
    if matches!(item.content, Content::Text { .. }) {
        return Some(Action::Redirect {
            location: Template::read(item, reader)?,
            status: REDIRECT_STATUS,
        });
    }
    let keys = ["location", "status", "scheme", "host", "port"];
    let table = reader.keyed(item, "a template or a table", &keys)?;
    let parts = ["scheme", "host", "port"];
    let part = parts.iter().find_map(|key| table.entry(key));
    if let (Some(location), Some(part)) = (table.entry("location"), part) {
        let message = format!("`location` and `{}` exclude each other", part.key);
        reader.push(
            Diagnostic::error(Code::Conflict, part.key_span, message)
                .label(location.key_span, "the whole location"),
        );
        return None;
    }
    let (location, default) = match part {
        Some(_) => (redirect_to(&table, reader), MOVED_STATUS),
        None => (table.required("location", reader), REDIRECT_STATUS),
    };
    let status = table.optional("status", reader).unwrap_or(default);
    Some(Action::Redirect {
        location: location?,
        status,
    })
}

/// The template for `{ scheme, host, port }`; path and query stay.
fn redirect_to(table: &Keyed<'_>, reader: &mut Reader<'_>) -> Option<Template<Named>> {
    let mut text = |key: &str, default: &str| -> Option<String> {
        match table.entry(key) {
            Some(_) => table.required(key, reader),
            None => Some(default.to_owned()),
        }
    };
    let scheme = text("scheme", "${scheme}")?;
    let host = text("host", "${host}")?;
    let port: Option<u16> = match table.entry("port") {
        Some(_) => Some(table.required("port", reader)?),
        None => None,
    };
    let usual = matches!(
        (scheme.as_str(), port),
        ("https", Some(443)) | ("http", Some(80))
    );
    let port = port.filter(|_| !usual);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let location = format!("{scheme}://{host}{port}${{target}}");
    expression::template::parse(Written::bare(&location), reader.found)
}
