//! `min_rate`: how fast bodies must move on the client's side.

use super::form::{Form, Out, Reader};
use crate::tree::Item;
use portway_model::min_rate::MinRate;

/// The keys of `min_rate`.
pub(crate) const MIN_RATE_KEYS: &[&str] = &["request", "response", "grace"];

impl Form for MinRate {
    const WHAT: &'static str = "a table with `request`, `response` and `grace`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.keyed(item, Self::WHAT, MIN_RATE_KEYS)?;
        let unsaid = Self::default();
        Some(Self {
            request: table.optional("request", reader).unwrap_or(unsaid.request),
            response: table
                .optional("response", reader)
                .unwrap_or(unsaid.response),
            grace: table.optional("grace", reader).unwrap_or(unsaid.grace),
        })
    }

    fn write(&self) -> Out {
        let unsaid = Self::default();
        let said = [
            (
                "request",
                self.request.write(),
                self.request != unsaid.request,
            ),
            (
                "response",
                self.response.write(),
                self.response != unsaid.response,
            ),
            ("grace", self.grace.write(), self.grace != unsaid.grace),
        ];
        let said = said.into_iter().filter(|(.., differs)| *differs);
        Out::Table(said.map(|(key, out, _)| (key.to_owned(), out)).collect())
    }
}
