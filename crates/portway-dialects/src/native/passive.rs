//! `passive_health` of a target group.

use super::form::{Form, Out, Reader};
use crate::tree::{Content, Item};
use portway_model::passive::PassiveHealth;

/// Hands the fields of a [`PassiveHealth`] to a macro, by the names that they have in a file.
macro_rules! each_field {
    ($with:ident) => {
        $with!(
            failures,
            connection_failures,
            within,
            statuses,
            slow_after,
            failure_percent,
            slower_than_others,
            window,
            min_requests,
            eject_time,
            max_eject_time,
            max_ejected_percent
        )
    };
}

macro_rules! names {
    ($($field:ident),*) => {
        &[$(stringify!($field)),*]
    };
}

/// The keys of a table under `passive_health`.
pub(crate) const KEYS: &[&str] = each_field!(names);

impl Form for PassiveHealth {
    const WHAT: &'static str = "true or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match item.content {
            Content::Boolean(true) => return Some(Self::default()),
            Content::Boolean(false) => {
                let message = "`passive_health` is true or a table";
                return reader.refuse(item.span, message, "leave it out: nothing is ejected then");
            }
            _ => {}
        }
        let table = reader.keyed(item, Self::WHAT, KEYS)?;
        let mut it = Self::default();
        macro_rules! take {
            ($($field:ident),*) => {
                $(if let Some(value) = table.optional(stringify!($field), reader) {
                    it.$field = value;
                })*
            };
        }
        each_field!(take);
        Some(it)
    }

    fn write(&self) -> Out {
        let usual = Self::default();
        let mut out = Vec::new();
        macro_rules! give {
            ($($field:ident),*) => {
                $(if self.$field != usual.$field {
                    out.push((stringify!($field).to_owned(), self.$field.write()));
                })*
            };
        }
        each_field!(give);
        match out.is_empty() {
            true => Out::Boolean(true),
            false => Out::Section(out),
        }
    }
}
