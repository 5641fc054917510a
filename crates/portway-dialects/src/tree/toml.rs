//! TOML to a tree.
//!
//! The lexer and the grammar are `toml_parser`'s; this file arranges their events into tables. After an error it
//! goes on, so that one run shows every error. The one hard thing is what TOML says about tables that are stated
//! in parts: a header may complete a table that only sub-tables have named so far, nothing may state one twice.

use super::{Content, Item, MAX_DEPTH, Stated, Table};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{FileId, Span};
use std::borrow::Cow;
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{Expected, ParseError, Source};

/// Reads a document. What is wrong is in `found`; what could be read is in the table.
pub(crate) fn parse(file: FileId, text: &str, found: &mut Diagnostics) -> Table {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
    let mut last: Option<usize> = None;
    let mut report = |error: ParseError| {
        // What follows an error in its line is mostly made by it.
        let at = error.unexpected().map_or(0, |span| span.start());
        let same_line = last.is_some_and(|last| {
            let between = text.get(last.min(at)..last.max(at));
            between.is_some_and(|between| !between.contains('\n'))
        });
        last = Some(at);
        if !same_line {
            found.push(diagnose(file, &error));
        }
    };
    let mut receiver = ValidateWhitespace::new(&mut events, source);
    let mut receiver = RecursionGuard::new(&mut receiver, MAX_DEPTH);
    parse_document(&tokens, &mut receiver, &mut report);
    let mut document = Document {
        file,
        source,
        events: &events,
        at: 0,
        found,
    };
    document.read()
}

fn place(file: FileId, span: toml_parser::Span) -> Span {
    Span::new(file, span.start()..span.end())
}

fn diagnose(file: FileId, error: &ParseError) -> Diagnostic {
    let span = error.unexpected().or(error.context());
    let span = span.map_or(Span::new(file, 0..0), |span| place(file, span));
    let expected: Vec<String> = error
        .expected()
        .unwrap_or_default()
        .iter()
        .map(|expected| match expected {
            Expected::Literal("\n") => "the end of the line".to_owned(),
            Expected::Literal(literal) => format!("`{literal}`"),
            Expected::Description(text) => (*text).to_owned(),
            _ => "something else".to_owned(),
        })
        .collect();
    let message = match error.description() {
        "string values must be quoted" if span.range().is_empty() => {
            "a value is missing here".to_owned()
        }
        "string values must be quoted" => "texts stand in quotes".to_owned(),
        "invalid basic string" | "invalid literal string" if !expected.is_empty() => {
            format!("this text is not closed with {}", expected.join(" or "))
        }
        other if expected.is_empty() => other.to_owned(),
        other => format!("{other}, expected {}", expected.join(" or ")),
    };
    Diagnostic::error(Code::Syntax, span, message)
}

#[derive(Debug, Clone)]
struct Key {
    text: String,
    span: Span,
}

struct Document<'s, 'e, 'd> {
    file: FileId,
    source: Source<'s>,
    events: &'e [Event],
    at: usize,
    found: &'d mut Diagnostics,
}

impl<'s> Document<'s, '_, '_> {
    fn read(&mut self) -> Table {
        let mut root = Table {
            stated: Stated::Header,
            ..Table::default()
        };
        // Keys under a header that may not be are read, for their errors, and dropped.
        let mut dropped = Table::default();
        let mut header: Option<Vec<Key>> = Some(Vec::new());
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                    header = self.header(event, &mut root);
                }
                EventKind::SimpleKey => {
                    let path = self.path(event);
                    if !self.skip_to(EventKind::KeyValSep) {
                        continue;
                    }
                    let item = self.value(0);
                    let table = match &header {
                        Some(header) => current(&mut root, header).unwrap_or(&mut dropped),
                        None => &mut dropped,
                    };
                    self.insert(table, path, item);
                }
                _ => {}
            }
        }
        root
    }

    fn next(&mut self) -> Option<Event> {
        let event = self.events.get(self.at).copied();
        self.at += usize::from(event.is_some());
        event
    }

    fn peek(&self) -> Option<EventKind> {
        self.events.get(self.at).map(Event::kind)
    }

    /// Goes past white space and the event of this kind, where it is the next.
    fn skip_to(&mut self, kind: EventKind) -> bool {
        while self.peek() == Some(EventKind::Whitespace) {
            self.at += 1;
        }
        let here = self.peek() == Some(kind);
        self.at += usize::from(here);
        here
    }

    /// A dotted key that begins with this event.
    fn path(&mut self, first: Event) -> Vec<Key> {
        let mut path = vec![self.key(first)];
        while self.skip_to(EventKind::KeySep) {
            while self.peek() == Some(EventKind::Whitespace) {
                self.at += 1;
            }
            match self.events.get(self.at).copied() {
                Some(event) if event.kind() == EventKind::SimpleKey => {
                    self.at += 1;
                    path.push(self.key(event));
                }
                _ => break,
            }
        }
        if path.len() > MAX_DEPTH as usize {
            let span = place(self.file, first.span());
            let message = format!("this key has more than {MAX_DEPTH} parts");
            self.found
                .push(Diagnostic::error(Code::TooLarge, span, message));
            path.truncate(MAX_DEPTH as usize);
        }
        path
    }

    fn key(&mut self, event: Event) -> Key {
        let mut text = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            let (file, found) = (self.file, &mut *self.found);
            raw.decode_key(&mut text, &mut |error: ParseError| {
                found.push(diagnose(file, &error));
            });
        }
        Key {
            text: text.into_owned(),
            span: place(self.file, event.span()),
        }
    }

    /// Opens the table of a header; `None` where it may not be.
    fn header(&mut self, open: Event, root: &mut Table) -> Option<Vec<Key>> {
        let list = open.kind() == EventKind::ArrayTableOpen;
        let mut span = place(self.file, open.span());
        let mut path = Vec::new();
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::SimpleKey => path = self.path(event),
                EventKind::StdTableClose | EventKind::ArrayTableClose => {
                    span = span.to(place(self.file, event.span()));
                    break;
                }
                EventKind::Newline => break,
                _ => {}
            }
        }
        let (last, parents) = path.split_last()?;
        let parent = self.descend(root, parents, Stated::Implied)?;
        let opened = if list {
            open_list(parent, last, span)
        } else {
            open_table(parent, last, span)
        };
        match opened {
            Ok(()) => Some(path),
            Err(first) => {
                self.duplicate(last, first);
                None
            }
        }
    }

    /// Goes down a path, making tables where there are none.
    fn descend<'t>(
        &mut self,
        mut table: &'t mut Table,
        path: &[Key],
        stated: Stated,
    ) -> Option<&'t mut Table> {
        for key in path {
            if table.get(&key.text).is_none() {
                let content = Content::Table(Table {
                    stated,
                    ..Table::default()
                });
                let item = Item {
                    content,
                    span: key.span,
                };
                table.add(key.text.clone(), key.span, item);
            }
            let entry = table.get_mut(&key.text)?;
            let (first, kind) = (entry.key_span, entry.item.content.kind());
            let inner = match &mut entry.item.content {
                Content::Table(inner) => Some(inner),
                Content::List(items) if stated == Stated::Implied => last_table(items),
                _ => None,
            };
            table = match inner {
                Some(inner)
                    if inner.stated != Stated::Inline
                        && (stated == Stated::Implied || inner.stated != Stated::Header) =>
                {
                    inner
                }
                _ => {
                    let message = format!("`{}` is {kind} that cannot be added to", key.text);
                    self.found.push(
                        Diagnostic::error(Code::Duplicate, key.span, message)
                            .label(first, "stated here"),
                    );
                    return None;
                }
            };
        }
        Some(table)
    }

    fn insert(&mut self, table: &mut Table, mut path: Vec<Key>, item: Item) {
        let Some(last) = path.pop() else { return };
        let Some(parent) = self.descend(table, &path, Stated::Dotted) else {
            return;
        };
        match parent.get(&last.text).map(|entry| entry.key_span) {
            Some(first) => self.duplicate(&last, first),
            None => parent.add(last.text, last.span, item),
        }
    }

    fn duplicate(&mut self, key: &Key, first: Span) {
        let message = format!("`{}` is stated twice", key.text);
        self.found.push(
            Diagnostic::error(Code::Duplicate, key.span, message)
                .at("again here")
                .label(first, "first stated here"),
        );
    }

    fn value(&mut self, depth: u32) -> Item {
        while self.peek() == Some(EventKind::Whitespace) {
            self.at += 1;
        }
        let broken = Item {
            content: Content::Broken,
            span: Span::NONE,
        };
        let Some(event) = self.events.get(self.at).copied() else {
            return broken;
        };
        if depth > MAX_DEPTH {
            return broken;
        }
        match event.kind() {
            EventKind::Scalar => {
                self.at += 1;
                self.scalar(event)
            }
            EventKind::ArrayOpen => {
                self.at += 1;
                self.list(event, depth)
            }
            EventKind::InlineTableOpen => {
                self.at += 1;
                self.inline_table(event, depth)
            }
            _ => broken,
        }
    }

    fn list(&mut self, open: Event, depth: u32) -> Item {
        let mut span = place(self.file, open.span());
        let mut items = Vec::new();
        while let Some(kind) = self.peek() {
            match kind {
                EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                    let before = self.at;
                    items.push(self.value(depth + 1));
                    self.at = self.at.max(before + 1);
                }
                EventKind::ArrayClose => {
                    span = self.closed(span);
                    break;
                }
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => break,
                _ => self.at += 1,
            }
        }
        Item {
            content: Content::List(items),
            span,
        }
    }

    fn inline_table(&mut self, open: Event, depth: u32) -> Item {
        let mut span = place(self.file, open.span());
        let mut table = Table {
            stated: Stated::Inline,
            ..Table::default()
        };
        while let Some(kind) = self.peek() {
            match kind {
                EventKind::SimpleKey => {
                    let Some(event) = self.next() else { break };
                    let path = self.path(event);
                    if self.skip_to(EventKind::KeyValSep) {
                        let item = self.value(depth + 1);
                        self.insert(&mut table, path, item);
                    }
                }
                EventKind::InlineTableClose => {
                    span = self.closed(span);
                    break;
                }
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => break,
                _ => self.at += 1,
            }
        }
        Item {
            content: Content::Table(table),
            span,
        }
    }

    /// Takes the closing event and gives the span up to it.
    fn closed(&mut self, open: Span) -> Span {
        let close = self.next();
        close.map_or(open, |event| open.to(place(self.file, event.span())))
    }

    fn scalar(&mut self, event: Event) -> Item {
        let span = place(self.file, event.span());
        let mut text = Cow::Borrowed("");
        let Some(raw) = self.source.get(event) else {
            let content = Content::Broken;
            return Item { content, span };
        };
        let mut failed = false;
        let (file, found) = (self.file, &mut *self.found);
        let kind = raw.decode_scalar(&mut text, &mut |error: ParseError| {
            failed = true;
            found.push(diagnose(file, &error));
        });
        let content = match kind {
            _ if failed => Content::Broken,
            ScalarKind::Boolean(value) => Content::Boolean(value),
            ScalarKind::DateTime => Content::Other {
                kind: "a date",
                text: text.into_owned(),
            },
            ScalarKind::Float => Content::Other {
                kind: "a number with a fraction",
                text: text.into_owned(),
            },
            ScalarKind::Integer(radix) => match i64::from_str_radix(&text, radix.value()) {
                Ok(number) => Content::Integer(number),
                Err(_) => {
                    let message = "this number does not fit into 64 bits";
                    self.found
                        .push(Diagnostic::error(Code::OutOfRange, span, message));
                    Content::Broken
                }
            },
            ScalarKind::String => Content::Text {
                exact: exact(raw.as_str(), event.encoding(), &text, span),
                text: text.into_owned(),
            },
        };
        Item { content, span }
    }
}

/// Where the text's bytes stand, if nothing in the raw form is escaped.
fn exact(raw: &str, encoding: Option<Encoding>, text: &str, span: Span) -> Option<Span> {
    let quote = match encoding? {
        Encoding::LiteralString | Encoding::BasicString => 1,
        Encoding::MlLiteralString | Encoding::MlBasicString => 3,
    };
    let body = raw.get(quote..raw.len().checked_sub(quote)?)?;
    let trimmed = match body.strip_prefix("\r\n").or(body.strip_prefix('\n')) {
        Some(rest) if quote == 3 => rest,
        _ => body,
    };
    if trimmed != text {
        return None;
    }
    let start = span.start as usize + quote + body.len() - trimmed.len();
    Some(Span::new(span.file, start..start + text.len()))
}

/// The table of a header that [`Document::header`] opened.
fn current<'t>(root: &'t mut Table, header: &[Key]) -> Option<&'t mut Table> {
    let mut table = root;
    for key in header {
        table = match &mut table.get_mut(&key.text)?.item.content {
            Content::Table(inner) => inner,
            Content::List(items) => last_table(items)?,
            _ => return None,
        };
    }
    Some(table)
}

fn last_table(items: &mut [Item]) -> Option<&mut Table> {
    match &mut items.last_mut()?.content {
        Content::Table(table) => Some(table),
        _ => None,
    }
}

/// `[a.b]`. The error is the place of the first statement.
fn open_table(parent: &mut Table, key: &Key, span: Span) -> Result<(), Span> {
    let Some(entry) = parent.get_mut(&key.text) else {
        let content = Content::Table(Table {
            stated: Stated::Header,
            ..Table::default()
        });
        parent.add(key.text.clone(), key.span, Item { content, span });
        return Ok(());
    };
    match &mut entry.item.content {
        Content::Table(table) if table.stated == Stated::Implied => {
            table.stated = Stated::Header;
            entry.item.span = span;
            entry.key_span = key.span;
            Ok(())
        }
        _ => Err(entry.key_span),
    }
}

/// `[[a.b]]`: one more table of a list. The error is the place of the first statement.
fn open_list(parent: &mut Table, key: &Key, span: Span) -> Result<(), Span> {
    let item = Item {
        content: Content::Table(Table {
            stated: Stated::Header,
            ..Table::default()
        }),
        span,
    };
    let Some(entry) = parent.get_mut(&key.text) else {
        let content = Content::List(vec![item]);
        parent.add(key.text.clone(), key.span, Item { content, span });
        return Ok(());
    };
    let first = entry.key_span;
    match &mut entry.item.content {
        // A list in brackets is complete; one of headers has header tables only.
        Content::List(items)
            if matches!(items.last(), Some(Item { content: Content::Table(table), .. })
                if table.stated == Stated::Header) =>
        {
            items.push(item);
            Ok(())
        }
        _ => Err(first),
    }
}
