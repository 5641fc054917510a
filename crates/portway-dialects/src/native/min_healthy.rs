//! `min_healthy`: a number of targets, a share of them, or both.

use super::form::{Form, Out, Reader};
use crate::tree::{Content, Item};
use portway_model::choice::MinHealthy;
use portway_model::defaults::MIN_HEALTHY;

/// The keys of `min_healthy` as a table.
pub(crate) const MIN_HEALTHY_KEYS: &[&str] = &["count", "percent"];

impl Form for MinHealthy {
    const WHAT: &'static str =
        "a number of targets, a share such as \"50%\", or { count = 2, percent = 50 }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match &item.content {
            Content::Integer(_) => Some(Self {
                count: u32::read(item, reader)?,
                ..MIN_HEALTHY
            }),
            Content::Table(_) => {
                let table = reader.keyed(item, Self::WHAT, MIN_HEALTHY_KEYS)?;
                let count = table.optional("count", reader);
                let percent = table.optional("percent", reader);
                Some(Self {
                    count: count.unwrap_or(MIN_HEALTHY.count),
                    percent: percent.unwrap_or(MIN_HEALTHY.percent),
                })
            }
            _ => {
                let text = reader.text(item, Self::WHAT)?.text;
                let percent = text.strip_suffix('%').and_then(|it| it.trim().parse().ok());
                match percent {
                    Some(percent) => Some(Self {
                        percent,
                        ..MIN_HEALTHY
                    }),
                    None => reader.wrong_type(item, Self::WHAT),
                }
            }
        }
    }

    fn write(&self) -> Out {
        match (self.count, self.percent) {
            (count, 0) => count.write(),
            (count, percent) if count == MIN_HEALTHY.count => Out::text(format!("{percent}%")),
            (count, percent) => Out::Table(vec![
                ("count".to_owned(), count.write()),
                ("percent".to_owned(), percent.write()),
            ]),
        }
    }
}
