//! Which headers are meant by their names: `{ prefix = "X-" }`.

use super::form::{Form, Out, Reader};
use crate::tree::{Entry, Item};
use portway_model::action::NamePattern;
use portway_model::expression::TextMatch;
use portway_model::stage::Named;

/// Ways in which a header's name may agree with a text.
const NAME_MATCHES: [(&str, TextMatch); 4] = [
    ("prefix", TextMatch::Prefix),
    ("suffix", TextMatch::Suffix),
    ("contains", TextMatch::Contains),
    ("glob", TextMatch::Glob),
];

impl Form for NamePattern<Named> {
    const WHAT: &'static str = "a table such as { prefix = \"X-\" }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let keys: Vec<&str> = NAME_MATCHES.iter().map(|(key, _)| *key).collect();
        let keys = [keys.as_slice(), &["regex", "line"]].concat();
        let table = reader.keyed(item, Self::WHAT, &keys)?;
        let said: Vec<&Entry> = keys.iter().filter_map(|key| table.entry(key)).collect();
        let [entry] = said.as_slice() else {
            return reader.refuse(
                item.span,
                "this must say one way to compare names",
                "write for example { prefix = \"X-\" }",
            );
        };
        let known = NAME_MATCHES.iter().find(|(key, _)| *key == entry.key);
        match known {
            Some((key, how)) => Some(NamePattern::Text {
                how: *how,
                text: table.required(key, reader)?,
            }),
            None if entry.key == "line" => table.required("line", reader).map(NamePattern::Line),
            None => table.required("regex", reader).map(NamePattern::Regex),
        }
    }

    fn write(&self) -> Out {
        match self {
            NamePattern::Text { how, text } => {
                let known = NAME_MATCHES.iter().find(|(_, known)| known == how);
                Out::one(known.map_or("glob", |(key, _)| *key), text.write())
            }
            NamePattern::Regex(pattern) => Out::one("regex", pattern.write()),
            NamePattern::Line(pattern) => Out::one("line", pattern.write()),
        }
    }
}
