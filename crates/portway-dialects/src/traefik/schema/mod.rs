//! Every option of Traefik with its type and its state, and trees held against them.
//!
//! A tree of labels, YAML or TOML goes in; what comes out has the reference's own spelling of keys and values of the
//! reference's types. What is unknown, not there, or has no effect is said on the way. `docs/traefik.md` is made of the
//! same tables.

mod dynamic;
mod fixed;
mod labels;
mod value;

pub(crate) use dynamic::rows as dynamic_rows;
pub(crate) use fixed::ROWS as FIXED;
pub(crate) use labels::ROWS as LABELS;
pub(crate) use value::{Entry, Section, Value, duration};

use crate::tree::{Content, Item, Table};
use crate::unknown_word;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};
use std::sync::OnceLock;

/// The type of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Texts; in labels, between commas.
    List,
    Flag,
    Number,
    Duration,
    Section,
    /// A list of sections.
    Objects,
    /// Sections by names of the user's.
    Names,
    /// Texts by names of the user's.
    Map,
    /// Whatever stands there.
    Free,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Yes,
    NoEffect,
    NotYet,
    No,
}

/// An option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// With `*` for a name of the user's and `[]` after a list of sections.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) remark: &'static str,
}

const fn row(path: &'static str, kind: Kind, state: State, remark: &'static str) -> Row {
    Row {
        path,
        kind,
        state,
        remark,
    }
}

const fn yes(path: &'static str, kind: Kind) -> Row {
    row(path, kind, State::Yes, "")
}

const fn yes_but(path: &'static str, kind: Kind, remark: &'static str) -> Row {
    row(path, kind, State::Yes, remark)
}

const fn no_effect(path: &'static str, kind: Kind, remark: &'static str) -> Row {
    row(path, kind, State::NoEffect, remark)
}

const fn not_yet(path: &'static str, kind: Kind, remark: &'static str) -> Row {
    row(path, kind, State::NotYet, remark)
}

const fn no(path: &'static str, kind: Kind, remark: &'static str) -> Row {
    row(path, kind, State::No, remark)
}

/// Options that are judged later: with certificates at hand they have no effect.
const JUDGED_LATER: [&str; 2] = ["certResolver", "certificatesResolvers"];

/// Numbers that mean something below 0, too.
const BELOW_ZERO: [&str; 5] = [
    "priority",
    "accessControlMaxAge",
    "maxAge",
    "maxIdleConnsPerHost",
    "maxRequestBodyBytes",
];

/// The options below one.
#[derive(Debug, Default)]
struct Node {
    row: Option<&'static Row>,
    children: Vec<(&'static str, Node)>,
}

impl Node {
    /// The dynamic configuration and more options.
    fn of(more: &'static [Row]) -> Self {
        let mut root = Node::default();
        for row in dynamic_rows().chain(more) {
            let mut node = &mut root;
            for part in row.path.split('.') {
                let part = part.trim_end_matches("[]");
                let place = node.children.iter().position(|(name, _)| *name == part);
                let place = place.unwrap_or_else(|| {
                    node.children.push((part, Node::default()));
                    node.children.len() - 1
                });
                let Some((_, child)) = node.children.get_mut(place) else {
                    return root;
                };
                node = child;
            }
            node.row = Some(row);
        }
        root
    }

    fn child(&self, key: &str) -> Option<(&'static str, &Node)> {
        let fits = |(name, _): &&(&'static str, Node)| name.eq_ignore_ascii_case(key);
        let (name, node) = self.children.iter().find(fits)?;
        Some((name, node))
    }

    /// What stands below each name of the user's.
    fn any(&self) -> Option<&Node> {
        let (name, node) = self.children.first()?;
        (*name == "*").then_some(node)
    }
}

/// Which options a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Dynamic files.
    Dynamic,
    /// Static files and the command line, which may have the dynamic configuration in them.
    Fixed,
    /// Labels, below `traefik`.
    Labels,
}

impl Language {
    fn options(self) -> &'static Node {
        static DYNAMIC_NODE: OnceLock<Node> = OnceLock::new();
        static FIXED_NODE: OnceLock<Node> = OnceLock::new();
        static LABELS_NODE: OnceLock<Node> = OnceLock::new();
        match self {
            Language::Dynamic => DYNAMIC_NODE.get_or_init(|| Node::of(&[])),
            Language::Fixed => FIXED_NODE.get_or_init(|| Node::of(FIXED)),
            Language::Labels => LABELS_NODE.get_or_init(|| Node::of(LABELS)),
        }
    }
}

/// Holds a tree against the options of its language.
pub(crate) fn read(table: &Table, language: Language, found: &mut Diagnostics) -> Section {
    let mut reading = Reading { found };
    reading.section(table, language.options(), Span::NONE)
}

struct Reading<'d> {
    found: &'d mut Diagnostics,
}

impl Reading<'_> {
    fn section(&mut self, table: &Table, options: &Node, span: Span) -> Section {
        let mut section = Section::new(span);
        for entry in table.entries() {
            let Some((name, option)) = options.child(&entry.key) else {
                // Where people keep what they refer to by anchors.
                if span.is_none() && entry.key.starts_with("x-") {
                    continue;
                }
                let known = options.children.iter().map(|(name, _)| *name);
                self.found
                    .push(unknown_word(entry.key_span, "option", &entry.key, known));
                continue;
            };
            if let Some(earlier) = section.get(name) {
                let message = format!("`{name}` is stated twice");
                self.found.push(
                    Diagnostic::error(Code::Duplicate, entry.key_span, message)
                        .label(earlier.key, "first stated here"),
                );
                continue;
            }
            let Some(row) = option
                .row
                .filter(|row| self.judge(row, name, entry.key_span))
            else {
                continue;
            };
            if let Some(value) = self.value(&entry.item, row, option) {
                section.add(name.to_owned(), entry.key_span, entry.item.span, value);
            }
        }
        section
    }

    /// Says what is to be said of an option's state; true where its value counts.
    fn judge(&mut self, row: &Row, name: &str, span: Span) -> bool {
        if JUDGED_LATER.contains(&name) {
            return true;
        }
        let why = |one: Diagnostic| match row.remark {
            "" => one,
            remark => one.help(remark),
        };
        let one = match row.state {
            State::Yes => return true,
            State::NoEffect => {
                let message = format!("`{name}` has no effect here");
                why(Diagnostic::warning(Code::NotRun, span, message))
            }
            State::NotYet => {
                let message = format!("`{name}` is not done yet");
                why(Diagnostic::error(Code::NotRun, span, message))
            }
            State::No => {
                let message = format!("`{name}` is not done here");
                why(Diagnostic::error(Code::NotRun, span, message))
            }
        };
        self.found.push(one);
        false
    }

    fn value(&mut self, item: &Item, row: &Row, option: &Node) -> Option<Value> {
        if let Content::Tagged { tag, item } = &item.content {
            let message = format!("the tag `!{tag}` is not understood here");
            self.found
                .push(Diagnostic::error(Code::Syntax, item.span, message));
            return self.value(item, row, option);
        }
        match row.kind {
            Kind::Free => Some(Value::Flag(true)),
            Kind::Section => self.one_section(item, option).map(Value::Section),
            Kind::Names => self.names(item, option).map(Value::Section),
            Kind::Objects => self.objects(item, option).map(Value::Objects),
            Kind::Map => self.map(item).map(Value::Map),
            Kind::List => self.list(item).map(Value::List),
            kind => {
                let text = self.scalar(item, kind)?;
                let value = value::typed(kind, &text);
                let name = row.path.rsplit('.').next().unwrap_or_default();
                if matches!(value, Some(Value::Number(below)) if below < 0)
                    && !BELOW_ZERO.contains(&name)
                {
                    let message = format!("`{name}` is below 0");
                    self.found
                        .push(Diagnostic::error(Code::OutOfRange, item.span, message));
                    return None;
                }
                value.or_else(|| {
                    self.wrong(item.span, kind, &format!("`{text}`"));
                    None
                })
            }
        }
    }

    fn wrong(&mut self, span: Span, kind: Kind, what: &str) {
        let message = format!("{} is expected here, not {what}", value::word(kind));
        let one = Diagnostic::error(Code::WrongType, span, message);
        self.found.push(match kind {
            Kind::Duration => one.help("such as `10s`, `500ms`, `1m30s`, or a number of seconds"),
            _ => one,
        });
    }

    /// A section; `true` or nothing stands for an empty one, `false` for none.
    fn one_section(&mut self, item: &Item, option: &Node) -> Option<Section> {
        match &item.content {
            Content::Table(table) => return Some(self.section(table, option, item.span)),
            Content::Boolean(true) => return Some(Section::new(item.span)),
            Content::Null => {
                let message = "nothing stands here: Traefik takes no notice of it";
                let one = Diagnostic::warning(Code::Unused, item.span, message);
                self.found
                    .push(one.help("write `{}`, or leave the key out"));
            }
            Content::Boolean(false) | Content::Broken => {}
            Content::Text { text, .. } => match value::flag(text) {
                Some(true) => return Some(Section::new(item.span)),
                Some(false) => {}
                None if text.is_empty() => return Some(Section::new(item.span)),
                None => self.wrong(item.span, Kind::Section, &format!("`{text}`")),
            },
            other => self.wrong(item.span, Kind::Section, other.kind()),
        }
        None
    }

    fn names(&mut self, item: &Item, option: &Node) -> Option<Section> {
        let below = option.any()?;
        let table = match &item.content {
            Content::Table(table) => table,
            Content::Null | Content::Broken => return None,
            other => {
                self.wrong(item.span, Kind::Names, other.kind());
                return None;
            }
        };
        let mut section = Section::new(item.span);
        for entry in table.entries() {
            if entry.key.contains('@') {
                let message = format!("the name `{}` has an `@`", entry.key);
                let one = Diagnostic::error(Code::OutOfRange, entry.key_span, message);
                self.found
                    .push(one.help("`@` stands between a name and its provider, where it is used"));
                continue;
            }
            if let Some(inner) = self.one_section(&entry.item, below) {
                let value = Value::Section(inner);
                section.add(entry.key.clone(), entry.key_span, entry.item.span, value);
            }
        }
        Some(section)
    }

    fn objects(&mut self, item: &Item, option: &Node) -> Option<Vec<Section>> {
        match &item.content {
            Content::List(items) => {
                let sections = items
                    .iter()
                    .filter_map(|item| self.one_section(item, option));
                Some(sections.collect())
            }
            Content::Null | Content::Broken => None,
            // One alone, as `[a.servers]` of TOML.
            Content::Table(table) => Some(vec![self.section(table, option, item.span)]),
            other => {
                self.wrong(item.span, Kind::Objects, other.kind());
                None
            }
        }
    }

    fn map(&mut self, item: &Item) -> Option<Vec<(Spanned<String>, Spanned<String>)>> {
        let table = match &item.content {
            Content::Table(table) => table,
            Content::Null | Content::Broken => return None,
            other => {
                self.wrong(item.span, Kind::Map, other.kind());
                return None;
            }
        };
        let mut map = Vec::new();
        for entry in table.entries() {
            if let Some(text) = self.scalar(&entry.item, Kind::Text) {
                let key = Spanned::new(entry.key.clone(), entry.key_span);
                map.push((key, Spanned::new(text, entry.item.span)));
            }
        }
        Some(map)
    }

    fn list(&mut self, item: &Item) -> Option<Vec<Spanned<String>>> {
        match &item.content {
            Content::List(items) => {
                let texts = items.iter().filter_map(|item| {
                    let text = self.scalar(item, Kind::Text)?;
                    Some(Spanned::new(text, item.span))
                });
                Some(texts.collect())
            }
            Content::Null => Some(Vec::new()),
            Content::Broken => None,
            _ => {
                let text = self.scalar(item, Kind::List)?;
                let parts = text.split(',').map(str::trim);
                let parts = parts.filter(|part| !part.is_empty());
                Some(
                    parts
                        .map(|part| Spanned::new(part.to_owned(), item.span))
                        .collect(),
                )
            }
        }
    }

    /// The text of a single value.
    fn scalar(&mut self, item: &Item, kind: Kind) -> Option<String> {
        match &item.content {
            Content::Text { text, .. } | Content::Other { text, .. } => Some(text.clone()),
            Content::Integer(number) => Some(number.to_string()),
            Content::Boolean(value) => Some(value.to_string()),
            Content::Null => Some(String::new()),
            Content::Broken => None,
            other => {
                self.wrong(item.span, kind, other.kind());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_stands_below_one_that_can_hold_it() {
        for more in [&[], FIXED, LABELS] {
            let rows: Vec<&Row> = dynamic_rows().chain(more).collect();
            for row in &rows {
                let Some((above, last)) = row.path.rsplit_once('.') else {
                    continue;
                };
                let above = above.trim_end_matches("[]");
                let holder = rows
                    .iter()
                    .find(|row| row.path.trim_end_matches("[]") == above);
                let holder = holder.unwrap_or_else(|| panic!("{}: nothing holds it", row.path));
                let fits = match holder.kind {
                    Kind::Names => last == "*",
                    Kind::Section | Kind::Objects => last != "*",
                    _ => false,
                };
                assert!(fits, "{} in {:?}", row.path, holder.kind);
            }
        }
    }

    #[test]
    fn no_option_is_there_twice() {
        for more in [&[], FIXED, LABELS] {
            let rows = dynamic_rows().chain(more);
            let mut seen = std::collections::HashSet::new();
            for row in rows {
                assert!(seen.insert(row.path.to_ascii_lowercase()), "{}", row.path);
            }
        }
    }
}
