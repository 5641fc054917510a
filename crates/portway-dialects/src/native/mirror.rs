//! `mirror`: a copy of a share of requests for another group; `trace_context`: the share of traces that are sampled.

use super::form::{Form, Out, Reader};
use super::limit::given;
use crate::tree::{Content, Item};
use portway_model::mirror::{BODY_BYTES, Mirror};
use portway_model::name::Name;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// The keys of the table.
pub(super) const KEYS: [&str; 3] = ["group", "percent", "body_bytes"];

/// Of a hundred new traces so many are sampled.
pub(super) fn read_sampled(item: &Item, reader: &mut Reader<'_>) -> Option<u8> {
    if !matches!(item.content, Content::Boolean(_)) {
        let table = reader.keyed(item, "true or a table", &["sampled"])?;
        return table.required("sampled", reader);
    }
    match bool::read(item, reader)? {
        true => Some(100),
        false => reader.refuse(item.span, "`trace_context` is false", "leave the key away"),
    }
}

impl Form for Mirror<Named> {
    const WHAT: &'static str = "the name of a target group, or a table with `group`";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Text { .. }) {
            let group: Spanned<Name> = Spanned::read(item, reader)?;
            return Some(Self::new(group));
        }
        let table = reader.keyed(item, Self::WHAT, &KEYS)?;
        let group: Option<Spanned<Name>> = table.required("group", reader);
        let body = given(&table, "body_bytes", BODY_BYTES, reader);
        let percent = given(&table, "percent", 100, reader);
        let body = body.unwrap_or(BODY_BYTES);
        Some(Self {
            percent: percent.unwrap_or(100),
            body_bytes: (body > 0).then_some(body),
            group: group?,
        })
    }

    fn write(&self) -> Out {
        let usual = Self::new(self.group.clone());
        if *self == usual {
            return self.group.write();
        }
        let mut out = vec![("group".to_owned(), self.group.write())];
        if self.percent != usual.percent {
            out.push(("percent".to_owned(), self.percent.write()));
        }
        if self.body_bytes != usual.body_bytes {
            let bytes = self.body_bytes.unwrap_or(0);
            out.push(("body_bytes".to_owned(), bytes.write()));
        }
        Out::Table(out)
    }
}
