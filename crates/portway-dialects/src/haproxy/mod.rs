//! haproxy.cfg, as HAProxy 2.6 reads it, and the words of 1.5 that it no longer reads.
//!
//! The way of a text: `lex` makes words of it, `sections` gathers them by section and holds every keyword against the
//! table of `keywords`, each section is read into settings, and `lower` makes the draft of them. Messages speak
//! HAProxy's language: frontend, backend, server.
//!
//! A proxy (`proxy`: defaults, frontend, backend, listen) begins as a copy of the defaults in force, and its lines are
//! read in order into settings, each with its place: ACLs and expressions at once, as HAProxy does. What may be said
//! later in the text (the mode, a backend, an option) is asked when all of it is read: `lower` makes listeners and
//! groups, runs the lists of rules in HAProxy's order, and says which names lead nowhere.

#![allow(
    dead_code,
    reason = "some of what reads expressions is for the tests of the tables"
)]

mod acl;
mod address;
mod arguments;
mod change;
mod converter;
mod environment;
#[cfg(test)]
mod expression_tests;
mod fetch;
mod global;
mod keywords;
mod lex;
mod old;
mod preprocess;
mod log_format;
mod lower;
mod patterns;
mod place;
mod proxy;
mod reader;
mod look_around;
mod regex;
mod resolvers;
mod ring;
mod sample;
mod sections;
mod signature;
mod token;
mod units;
mod users;
mod variable;
mod word;

pub use change::{Change, added, assigned};
pub use preprocess::{FEATURES, OPENSSL_VERSION, VERSION, condition_holds};
pub use proxy::COUNTER_WORDS;

pub(crate) use reader::Reader;
pub(crate) use sections::{Section, SectionKind, Text};
pub(crate) use word::{Line, Modifier, Word};

use crate::inputs::Inputs;
use portway_model::diagnostic::Diagnostics;
use portway_model::draft::Draft;
use portway_model::span::FileId;

/// True for a line that opens one of the sections that every configuration has, at the margin.
pub(crate) fn opens_a_section(line: &str) -> bool {
    let mut words = line.split(['\t', ' ', '\r']);
    let kind = words.next().and_then(SectionKind::of);
    let rest_is_plain = !line.contains(['=', '{']);
    rest_is_plain
        && match kind {
            Some(SectionKind::Global | SectionKind::Defaults) => true,
            Some(kind) => kind.is_proxy() && words.next().is_some_and(|name| !name.is_empty()),
            None => false,
        }
}

/// One file of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct File<'t> {
    /// For the places of messages.
    pub id: FileId,
    /// What `"$.FILE"` in it stands for.
    pub name: &'t str,
    /// What it says.
    pub text: &'t str,
}

/// Reads a haproxy.cfg. A broken text still gives a draft of what could be read.
pub fn parse(file: FileId, text: &str, inputs: &Inputs<'_>) -> (Draft, Diagnostics) {
    let name = "haproxy.cfg";
    parse_all(
        &[File {
            id: file,
            name,
            text,
        }],
        inputs,
    )
}

/// Reads the files of one configuration in their order: what one says of defaults and the environment holds in those
/// after it.
pub fn parse_all(files: &[File<'_>], inputs: &Inputs<'_>) -> (Draft, Diagnostics) {
    parse_changed(files, &[], inputs)
}

/// As [`parse_all`], with servers that came and went since.
pub fn parse_changed(
    files: &[File<'_>],
    changes: &[Change<'_>],
    inputs: &Inputs<'_>,
) -> (Draft, Diagnostics) {
    let first = files.first().map_or(FileId(0), |file| file.id);
    let mut reader = Reader::new(first, inputs);
    let mut all = Vec::new();
    for file in files {
        reader.file = file.id;
        let text = Text {
            name: file.name,
            text: file.text,
        };
        all.extend(sections::read(text, &mut reader));
    }
    draft(&all, changes, reader)
}

/// The draft of the sections.
fn draft(
    sections: &[Section],
    changes: &[Change<'_>],
    mut reader: Reader<'_>,
) -> (Draft, Diagnostics) {
    let mut draft = Draft::default();
    ring::read(sections, &mut reader);
    let global = global::read(sections, &mut draft, &mut reader);
    resolvers::read(sections, &mut reader);
    let mut proxies = proxy::read(sections, &mut reader);
    let servers = signature::servers(&proxies);
    change::apply(changes, &mut proxies, &mut reader);
    users::hold_groups(&mut reader);
    lower::lower(&proxies, &global.base, &mut draft, &mut reader);
    signature::hold_servers(&servers, &mut reader);
    signature::hold_sections(&mut reader);
    signature::hold_keys(&draft.stick_tables, &mut reader);
    global.finish(&mut draft, &mut reader);
    draft.maps.append(&mut reader.maps);
    draft.userlists.append(&mut reader.userlists);
    (draft, reader.diagnostics)
}
