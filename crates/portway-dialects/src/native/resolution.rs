//! How the name of a target is resolved: a word, or a table.

use super::form::{Fields, Form, Out, Reader, fields, words};
use crate::tree::{Content, Item};
use portway_model::resolution::{Family, ResolutionDraft, Take};
use portway_model::span::Spanned;

words!(Take, "first, distinct or all", TAKES:
    "first" => Take::First,
    "distinct" => Take::Distinct,
    "all" => Take::All,
);

words!(Family, "ipv4 or ipv6", FAMILIES:
    "ipv4" => Family::Ipv4,
    "ipv6" => Family::Ipv6,
);

fields!(ResolutionDraft {
    "take" => take,
    "prefer" => prefer,
    "networks" => networks,
    "most" => most,
    "nameservers" => nameservers,
    "attempts" => attempts,
    "timeout" => timeout,
    "min_ttl" => min_ttl,
    "max_ttl" => max_ttl,
    "payload_size" => payload_size,
    "hold_missing" => hold_missing,
    "hold_refused" => hold_refused,
    "hold_timeout" => hold_timeout,
    "hold_other" => hold_other,
    "hold_obsolete" => hold_obsolete,
});

impl Form for ResolutionDraft {
    const WHAT: &'static str = "\"first\", \"distinct\", \"all\" or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let mut resolution = Self::default();
        match &item.content {
            Content::Table(table) => resolution.read_table(table, &[], reader),
            _ => resolution.take = Some(Spanned::read(item, reader)?),
        }
        Some(resolution)
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        self.write_fields(&mut out);
        match out.as_slice() {
            [(key, take)] if key == "take" => take.clone(),
            _ => Out::Table(out),
        }
    }
}
