//! Ordered pairs: a table where every key is there once, else a list of tables with one entry each.

use super::form::{Form, Out, Reader};
use crate::tree::{Content, Item};
use portway_model::span::Spanned;
use std::collections::HashSet;

/// Reads `{ a = 1, b = 2 }` or `[{ a = 1 }, { a = 2 }]`.
pub(crate) fn read<T: Form>(item: &Item, reader: &mut Reader<'_>) -> Vec<(Spanned<String>, T)> {
    let mut pairs = Vec::new();
    for element in reader.elements(item) {
        let Content::Table(table) = &element.content else {
            let _: Option<()> = reader.wrong_type(element, "a table of names and values");
            continue;
        };
        for entry in table.entries() {
            let key = Spanned::new(entry.key.clone(), entry.key_span);
            pairs.extend(T::read(&entry.item, reader).map(|value| (key, value)));
        }
    }
    pairs
}

/// True where no key is there twice.
fn unique(pairs: &[(String, Out)]) -> bool {
    let mut seen = HashSet::new();
    pairs.iter().all(|(key, _)| seen.insert(key.as_str()))
}

/// In braces.
pub(crate) fn write(pairs: Vec<(String, Out)>) -> Out {
    if unique(&pairs) {
        return Out::Table(pairs);
    }
    let tables = pairs.into_iter().map(|pair| Out::Table(vec![pair]));
    Out::List(tables.collect())
}

/// Under a header of its own; `None` where there are no pairs.
pub(crate) fn section(pairs: Vec<(String, Out)>) -> Option<Out> {
    match pairs.is_empty() {
        true => None,
        false if unique(&pairs) => Some(Out::Section(pairs)),
        false => Some(write(pairs)),
    }
}
