//! How a type of the model stands in TOML: one place for reading and writing, so that they cannot drift apart.
//!
//! A [`Form`] is a value, a [`Field`] is what a key of a table holds, [`Fields`] are all keys of a table. The macro
//! `fields!` makes the last from one list of keys.

use super::scalar::{range_of_key, read_duration};
use super::size::is_size;
use crate::expression::Written;
use crate::tree::{Content, Entry, Item, Table};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics, MAX_DIAGNOSTICS};
use portway_model::draft::{CertificateDraft, GroupDraft};
use portway_model::name::Name;
use portway_model::span::{Span, Spanned};
use std::collections::HashSet;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    Boolean(bool),
    Integer(i64),
    Text(String),
    List(Vec<Out>),
    /// In braces.
    Table(Vec<(String, Out)>),
    /// Under a header of its own.
    Section(Vec<(String, Out)>),
    /// Each under a header of its own.
    Sections(Vec<Vec<(String, Out)>>),
    /// A key below the key, written with a dot.
    Dotted(String, Box<Out>),
}

impl Out {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Out::Text(text.into())
    }

    /// A table in braces with one entry.
    pub(crate) fn one(key: &str, value: Out) -> Self {
        Out::Table(vec![(key.to_owned(), value)])
    }
}

/// So many keys of a table are named where something else stands in its place.
const MAX_SHOWN_KEYS: usize = 16;

/// What to write where a value of another type stands: people bring spellings with them.
fn habit(item: &Item, expected: &str) -> Option<String> {
    match &item.content {
        Content::Text { text, .. } if expected == u64::WHAT => Some(number_of(text)),
        Content::Text { text, .. } if expected == bool::WHAT => {
            match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" | "enabled" => {
                    Some("write `true` without quotes".to_owned())
                }
                "false" | "no" | "off" | "0" | "disabled" => {
                    Some("write `false` without quotes".to_owned())
                }
                _ => None,
            }
        }
        Content::Integer(1) if expected == bool::WHAT => Some("write `true`".to_owned()),
        Content::Integer(0) if expected == bool::WHAT => Some("write `false`".to_owned()),
        Content::Integer(number) if expected == String::WHAT || expected == Name::WHAT => {
            Some(format!("write \"{number}\" in quotes"))
        }
        Content::Boolean(value) if expected == String::WHAT || expected == Name::WHAT => {
            Some(format!("write \"{value}\" in quotes"))
        }
        Content::Other { text, .. } if expected == u64::WHAT => {
            Some(format!("`{text}` is no whole number: write one such as 20"))
        }
        _ => None,
    }
}

/// What to write for a text that stands for a number: `20%`, `10/s`, `5m`.
fn number_of(text: &str) -> String {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    match (digits, unit.trim()) {
        ("", _) => "write a number without quotes, such as 20".to_owned(),
        (_, "" | "%") => format!("write {digits} without quotes"),
        (_, unit) if unit.starts_with('/') => {
            format!(
                "write {digits} without quotes; the time that it is for is the key `period`, or a second"
            )
        }
        (_, "k" | "K") => format!("write {digits}000 without quotes"),
        (_, "M") => format!("write {digits}000000 without quotes"),
        _ if read_duration(text).is_some() => {
            format!(
                "this key is a number and no time: write one without unit and quotes, such as {digits}"
            )
        }
        _ => format!("write {digits} without quotes and unit"),
    }
}

/// What reading fills beside the value at hand.
pub(crate) struct Reader<'d> {
    pub(crate) found: &'d mut Diagnostics,
    /// Certificates that `certificate_files` makes.
    pub(crate) certificates: Vec<CertificateDraft>,
    /// Their names.
    pub(crate) certificate_names: HashSet<Name>,
    /// Target groups that presets make.
    pub(crate) groups: Vec<GroupDraft>,
    /// What is allowed of the number that is being read, where that is less than its type holds.
    pub(crate) range: Option<(u32, u32)>,
    /// That number is one of bytes, which may have a unit.
    pub(crate) is_size: bool,
}

impl Reader<'_> {
    /// Reads what stands under a key.
    pub(super) fn under<T: Form>(&mut self, key: &str, item: &Item) -> Option<T> {
        let now = (range_of_key(key), is_size(key));
        let outer = (self.range, self.is_size);
        (self.range, self.is_size) = now;
        let value = T::read(item, self);
        (self.range, self.is_size) = outer;
        value
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Says that this value has the wrong type. A value that was not well-formed has been reported.
    pub(crate) fn wrong_type<T>(&mut self, item: &Item, expected: &str) -> Option<T> {
        if !matches!(item.content, Content::Broken) {
            let message = format!("expected {expected}, found {}", item.content.kind());
            let wrong = Diagnostic::error(Code::WrongType, item.span, message);
            self.push(match habit(item, expected) {
                Some(help) => wrong.help(help),
                None => wrong,
            });
        }
        None
    }

    /// The same where a table of these keys was expected.
    fn no_table<T>(&mut self, item: &Item, expected: &str, keys: &[&str]) -> Option<T> {
        if matches!(item.content, Content::Broken) {
            return None;
        }
        let message = format!("expected {expected}, found {}", item.content.kind());
        let wrong = Diagnostic::error(Code::WrongType, item.span, message);
        let number = match &item.content {
            Content::Text { text, .. } if expected.starts_with("a status") => text.parse().ok(),
            _ => None::<u16>,
        };
        if let Some(number) = number {
            self.push(wrong.help(format!("write {number} without quotes")));
            return None;
        }
        self.push(match keys {
            [] => wrong,
            [first, ..] if keys.len() <= MAX_SHOWN_KEYS => {
                let all = keys.join("`, `");
                wrong.help(format!(
                    "write `{{ {first} = …, … }}`; its keys are `{all}`"
                ))
            }
            [first, ..] => wrong.help(format!("write `{{ {first} = …, … }}`")),
        });
        None
    }

    /// A text with its place.
    pub(crate) fn text<'i>(&mut self, item: &'i Item, expected: &str) -> Option<Written<'i>> {
        match &item.content {
            Content::Text { text, exact } => Some(Written {
                text,
                span: exact.unwrap_or(item.span),
                exact: exact.is_some(),
            }),
            _ => self.wrong_type(item, expected),
        }
    }

    /// Says what is wrong with a value of the right type.
    pub(crate) fn refuse<T>(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: &str,
    ) -> Option<T> {
        let diagnostic = Diagnostic::error(Code::OutOfRange, span, message);
        self.push(if help.is_empty() {
            diagnostic
        } else {
            diagnostic.help(help)
        });
        None
    }

    /// A word that is none of the known ones.
    pub(crate) fn unknown<'k, T>(
        &mut self,
        span: Span,
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<T> {
        // Looking for the nearest word takes time, and errors beyond the limit are dropped; there are only errors here.
        if self.found.iter().len() < MAX_DIAGNOSTICS {
            self.push(crate::unknown_word(span, what, word, known));
        }
        None
    }

    /// A table of these keys only; others are reported and left out.
    pub(crate) fn keyed<'i>(
        &mut self,
        item: &'i Item,
        expected: &str,
        keys: &[&str],
    ) -> Option<Keyed<'i>> {
        let Content::Table(table) = &item.content else {
            return self.no_table(item, expected, keys);
        };
        for entry in table.entries() {
            if !keys.contains(&entry.key.as_str()) {
                self.unknown::<()>(entry.key_span, "key", &entry.key, keys.iter().copied());
            }
        }
        Some(Keyed {
            table,
            span: item.span,
        })
    }

    /// Every element of a list; what is no list is a list of one.
    pub(crate) fn elements<'i>(&self, item: &'i Item) -> &'i [Item] {
        match &item.content {
            Content::List(items) => items,
            _ => std::slice::from_ref(item),
        }
    }
}

/// A table whose keys are known to be known.
pub(crate) struct Keyed<'i> {
    table: &'i Table,
    span: Span,
}

impl<'i> Keyed<'i> {
    pub(crate) fn entry(&self, key: &str) -> Option<&'i Entry> {
        self.table.get(key)
    }

    /// The value of this key, or `None` where it is not there or wrong.
    pub(crate) fn optional<T: Form>(&self, key: &str, reader: &mut Reader<'_>) -> Option<T> {
        reader.under(key, &self.table.get(key)?.item)
    }

    /// The value of this key; it is reported where it is not there.
    pub(crate) fn required<T: Form>(&self, key: &str, reader: &mut Reader<'_>) -> Option<T> {
        if self.table.get(key).is_none() {
            let message = format!("`{key}` is missing");
            reader.push(Diagnostic::error(Code::Missing, self.span, message));
        }
        self.optional(key, reader)
    }
}

/// A value of TOML.
pub(crate) trait Form: Sized {
    /// What it is, for messages: "a duration such as "10s"".
    const WHAT: &'static str;
    /// A list of one is written without brackets.
    const ALONE: bool = false;

    /// Reads it, or says what is wrong.
    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self>;

    /// The canonical way to write it.
    fn write(&self) -> Out;
}

impl<T: Form> Form for Spanned<T> {
    const WHAT: &'static str = T::WHAT;
    const ALONE: bool = T::ALONE;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(item, reader).map(|value| Spanned::new(value, item.span))
    }

    fn write(&self) -> Out {
        self.value.write()
    }
}

impl<T: Form> Form for Vec<T> {
    const WHAT: &'static str = T::WHAT;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let elements = reader.elements(item).iter();
        Some(elements.filter_map(|item| T::read(item, reader)).collect())
    }

    fn write(&self) -> Out {
        match self.as_slice() {
            [one] if T::ALONE => one.write(),
            several => Out::List(several.iter().map(Form::write).collect()),
        }
    }
}

/// What a key holds: perhaps nothing.
pub(crate) trait Field {
    /// Fills it from the value of its key.
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>);

    /// What to write; `None`: the key is left out.
    fn emit(&self) -> Option<Out>;
}

impl<T: Form> Field for Option<Spanned<T>> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        *self = reader.under(&entry.key, &entry.item);
    }

    fn emit(&self) -> Option<Out> {
        self.as_ref().map(Form::write)
    }
}

impl<T: Form> Field for Vec<Spanned<T>> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        self.extend(Vec::<Spanned<T>>::read(&entry.item, reader).unwrap_or_default());
    }

    fn emit(&self) -> Option<Out> {
        (!self.is_empty()).then(|| self.write())
    }
}

/// All keys of a table, but for those that need more than their own value.
pub(crate) trait Fields {
    /// The keys, in the order of printing.
    const KEYS: &'static [&'static str];

    /// Reads one entry; false where the key is not among `KEYS`.
    fn read_field(&mut self, entry: &Entry, reader: &mut Reader<'_>) -> bool;

    /// Adds every entry that says something.
    fn write_fields(&self, out: &mut Vec<(String, Out)>);

    /// Reads a whole table; `more`: keys that the caller reads itself.
    fn read_table(&mut self, table: &Table, more: &[&str], reader: &mut Reader<'_>) {
        for entry in table.entries() {
            if !self.read_field(entry, reader) && !more.contains(&entry.key.as_str()) {
                let known = Self::KEYS.iter().chain(more).copied();
                reader.unknown::<()>(entry.key_span, "key", &entry.key, known);
            }
        }
    }

    /// As [`Field::fill`], for a table within a table.
    fn fill_table(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        match &entry.item.content {
            Content::Table(table) => self.read_table(table, &[], reader),
            _ => {
                let _: Option<()> = reader.wrong_type(&entry.item, "a table");
            }
        }
    }

    /// As [`Field::emit`], for a table within a table.
    fn emit_table(&self) -> Option<Out> {
        let mut out = Vec::new();
        self.write_fields(&mut out);
        (!out.is_empty()).then_some(Out::Section(out))
    }
}

/// The keys of a table and the fields they stand for.
macro_rules! fields {
    ($object:ty { $($key:literal => $field:ident $(. $inner:ident)?,)* }) => {
        impl $crate::native::form::Fields for $object {
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn read_field(
                &mut self,
                entry: &$crate::tree::Entry,
                reader: &mut $crate::native::form::Reader<'_>,
            ) -> bool {
                use $crate::native::form::Field as _;
                match entry.key.as_str() {
                    $($key => self.$field $(. $inner)?.fill(entry, reader),)*
                    _ => return false,
                }
                true
            }

            fn write_fields(&self, out: &mut Vec<(String, $crate::native::form::Out)>) {
                use $crate::native::form::Field as _;
                $(
                    if let Some(value) = self.$field $(. $inner)?.emit() {
                        out.push(($key.to_owned(), value));
                    }
                )*
            }
        }
    };
}
pub(crate) use fields;

/// A table within a table, made of [`Fields`].
macro_rules! nested {
    ($($object:ty),*) => {$(
        impl $crate::native::form::Field for $object {
            fn fill(
                &mut self,
                entry: &$crate::tree::Entry,
                reader: &mut $crate::native::form::Reader<'_>,
            ) {
                $crate::native::form::Fields::fill_table(self, entry, reader);
            }

            fn emit(&self) -> Option<$crate::native::form::Out> {
                $crate::native::form::Fields::emit_table(self)
            }
        }
    )*};
}
pub(crate) use nested;

/// A closed set of words.
macro_rules! words {
    ($set:ty, $what:literal, $list:ident: $($word:literal => $value:expr,)*) => {
        /// The words of the set.
        pub(crate) const $list: &[&str] = &[$($word),*];

        impl $crate::native::form::Form for $set {
            const WHAT: &'static str = $what;

            fn read(
                item: &$crate::tree::Item,
                reader: &mut $crate::native::form::Reader<'_>,
            ) -> Option<Self> {
                let written = reader.text(item, $what)?;
                match written.text {
                    $($word => Some($value),)*
                    other => reader.unknown(item.span, "word", other, $list.iter().copied()),
                }
            }

            fn write(&self) -> $crate::native::form::Out {
                $(if *self == $value {
                    return $crate::native::form::Out::text($word);
                })*
                $crate::native::form::Out::text("")
            }
        }
    };
}
pub(crate) use words;
