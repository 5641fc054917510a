//! A text as a tree in which every key and value knows its place.
//!
//! [`toml`] and [`yaml`] read their languages into it; JSON is read as YAML. What the entries mean is for the dialects
//! to say.

pub(crate) mod json;
pub(crate) mod toml;
pub(crate) mod yaml;

use portway_model::span::Span;
use std::collections::HashMap;

/// How deep lists, tables and dotted keys may go.
const MAX_DEPTH: u32 = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) content: Content,
    /// The value; of a table with a header, the header.
    pub(crate) span: Span,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Text {
        text: String,
        /// Where the bytes of the text stand, if they stand there as they are.
        exact: Option<Span>,
    },
    Integer(i64),
    Boolean(bool),
    /// A float, a date or a time, as it stands there.
    Other {
        kind: &'static str,
        text: String,
    },
    List(Vec<Item>),
    Table(Table),
    /// YAML's and JSON's `null`, or nothing at all after a key of YAML.
    Null,
    /// A value with a tag of YAML other than those of its core schema, such as `!Ref`.
    Tagged {
        /// Without the first `!`.
        tag: String,
        item: Box<Item>,
    },
    /// Was not well-formed; the diagnostic is already there.
    Broken,
}

/// A table, its entries in the order of the text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    stated: Stated,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) item: Item,
}

/// How a table came to be, which decides what TOML may still add.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stated {
    /// Named by the header of a table within it.
    #[default]
    Implied,
    /// By a header of its own.
    Header,
    /// By a dotted key.
    Dotted,
    /// In braces.
    Inline,
}

impl Content {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Content::Text { .. } => "a text",
            Content::Integer(_) => "a number",
            Content::Boolean(_) => "a boolean",
            Content::Other { kind, .. } => kind,
            Content::List(_) => "a list",
            Content::Table(_) => "a table",
            Content::Tagged { .. } => "a value with a tag",
            Content::Null | Content::Broken => "nothing",
        }
    }
}

impl Table {
    /// Entries in the order of the text.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(*self.index.get(key)?)
    }

    /// The entry with this key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.get_mut(*self.index.get(key)?)
    }

    /// Adds an entry behind the others; the caller knows that there is none of this key.
    pub(crate) fn add(&mut self, key: String, key_span: Span, item: Item) {
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push(Entry {
            key,
            key_span,
            item,
        });
    }
}
