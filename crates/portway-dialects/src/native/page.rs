//! `page_from`: pages that another group has for answers with certain statuses.

use super::form::{Form, Out, Reader};
use super::forward;
use crate::tree::Item;
use portway_model::page::PageFrom;
use portway_model::stage::Named;

/// The keys of the table.
const KEYS: [&str; 6] = [
    "status",
    "forward",
    "target",
    "again",
    "headers",
    "answer_as",
];

impl Form for PageFrom<Named> {
    const WHAT: &'static str = "a table with `status`, `forward` and `target` or `again`";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.keyed(item, Self::WHAT, &KEYS)?;
        let status = table.required("status", reader);
        let again = match table.entry("again") {
            Some(_) => table.required("again", reader)?,
            None => false,
        };
        if again && let Some(target) = table.entry("target") {
            let help = "take one of the two out";
            return reader.refuse(target.key_span, "`target` beside `again`", help);
        }
        let target = match again {
            true => None,
            false => Some(table.required("target", reader)?),
        };
        let forward = match table.entry("forward") {
            Some(entry) => forward::read(&entry.item, reader)?,
            None => {
                return reader.refuse(
                    item.span,
                    "`forward` is missing",
                    "name the group that has the pages",
                );
            }
        };
        Some(Self {
            status: status?,
            forward,
            target,
            headers: match table.entry("headers") {
                Some(_) => Some(table.required("headers", reader)?),
                None => None,
            },
            answer_as: match table.entry("answer_as") {
                Some(_) => Some(table.required("answer_as", reader)?),
                None => None,
            },
        })
    }

    fn write(&self) -> Out {
        let mut out = vec![
            ("status".to_owned(), self.status.write()),
            ("forward".to_owned(), forward::write(&self.forward)),
        ];
        out.push(match &self.target {
            Some(target) => ("target".to_owned(), target.write()),
            None => ("again".to_owned(), true.write()),
        });
        if let Some(headers) = &self.headers {
            out.push(("headers".to_owned(), headers.write()));
        }
        if let Some(status) = &self.answer_as {
            out.push(("answer_as".to_owned(), status.write()));
        }
        Out::Table(out)
    }
}
