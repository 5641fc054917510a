//! YAML, and JSON as the part of it that it is, to a tree.
//!
//! The grammar is `granit_parser`'s. Ours is what it leaves open: the types of scalars (YAML 1.2, core schema), tags,
//! aliases (copied, up to [`MAX_ITEMS`] in all), merge keys (`<<`), and that a key stands once in a table.

use super::{Content, Item, MAX_DEPTH, Table};
use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput, Tag};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{FileId, Span};
use std::collections::HashMap;

/// How many values a text may have when its aliases are copied.
const MAX_ITEMS: usize = 1_000_000;

/// Reads a text with one document. What is wrong is in `found`; `None` where nothing could be read.
pub(crate) fn parse(file: FileId, text: &str, found: &mut Diagnostics) -> Option<Item> {
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH as usize;
    options.block_nesting_limit = MAX_DEPTH as usize;
    let mut document = Document {
        file,
        text,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        items: 0,
        found,
    };
    document.read()
}

/// What follows could not be read: the diagnostic is there.
struct Broken;

struct Document<'t, 'd> {
    file: FileId,
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Anchored>,
    items: usize,
    found: &'d mut Diagnostics,
}

/// What aliases of an anchor stand for, and how many values that is.
struct Anchored {
    item: Item,
    size: usize,
}

impl<'t> Document<'t, '_> {
    fn read(&mut self) -> Option<Item> {
        let mut root = None;
        while let Ok((event, span)) = self.next() {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    let message = "one document is expected, and this is another";
                    self.error(Code::Syntax, span, message);
                    break;
                }
                event => match self.item(event, span) {
                    Ok(item) => root = Some(item),
                    Err(Broken) => break,
                },
            }
        }
        root
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Broken> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let range = span.byte_range().unwrap_or_default();
                Ok((event, Span::new(self.file, range)))
            }
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or_default();
                let span = Span::new(self.file, at..at);
                self.error(Code::Syntax, span, error.info());
                Err(Broken)
            }
            None => Err(Broken),
        }
    }

    /// True for `{{ name }}`, which stands for two tables, the inner one as a key.
    fn is_placeholder(&self, span: Span) -> bool {
        let text = self.text.get(span.start as usize..span.end as usize);
        text.is_some_and(|text| text.starts_with("{{") && text.ends_with("}}"))
    }

    /// Something else than a text is a key.
    fn no_key(&mut self, key: &Item) {
        let wrong = Diagnostic::error(Code::WrongType, key.span, "a key has to be a text");
        let braces = key.span.start.checked_sub(1).map(|start| Span {
            start,
            end: key.span.end + 1,
            ..key.span
        });
        let placeholder = braces.filter(|it| self.is_placeholder(*it));
        self.found.push(match placeholder {
            Some(span) => {
                let text = self.text.get(span.start as usize..span.end as usize);
                let help = format!("write it in quotes: \"{}\"", text.unwrap_or_default());
                wrong.help(help)
            }
            None => wrong,
        });
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.found
            .push(Diagnostic::error(code, span, message.into()));
    }

    fn item(&mut self, event: Event<'t>, span: Span) -> Result<Item, Broken> {
        self.count(1, span)?;
        let before = self.items;
        let (content, end, anchor, tag) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                let content = self.scalar(&text, style, tag.as_deref(), span);
                (content, span, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let (items, end) = self.list()?;
                (Content::List(items), end, anchor, tag)
            }
            Event::MappingStart(_, anchor, tag) => {
                let (table, end) = self.table()?;
                let content = match self.is_placeholder(span.to(end)) {
                    // That was said of its key.
                    true => Content::Broken,
                    false => Content::Table(table),
                };
                (content, end, anchor, tag)
            }
            _ => (Content::Broken, span, 0, None),
        };
        let mut item = Item {
            content,
            span: span.to(end),
        };
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let tagged = format!("{}{}", tag.handle(), tag.suffix());
            let span = item.span;
            item = Item {
                content: Content::Tagged {
                    tag: tagged.trim_start_matches('!').to_owned(),
                    item: Box::new(item),
                },
                span,
            };
        }
        if anchor > 0 {
            let size = self.items - before + 1;
            let item = item.clone();
            self.anchors.insert(anchor, Anchored { item, size });
        }
        Ok(item)
    }

    /// So many more values; an error where that is too many.
    fn count(&mut self, more: usize, span: Span) -> Result<(), Broken> {
        self.items += more;
        if self.items <= MAX_ITEMS {
            return Ok(());
        }
        let message = format!("with its aliases, this text has more than {MAX_ITEMS} values");
        self.error(Code::TooLarge, span, message);
        Err(Broken)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Item, Broken> {
        let Some(anchored) = self.anchors.get(&id) else {
            let message = "this alias stands within what it names";
            self.error(Code::Syntax, span, message);
            return Err(Broken);
        };
        let size = anchored.size;
        self.count(size, span)?;
        let item = self.anchors.get(&id).map(|anchored| anchored.item.clone());
        item.ok_or(Broken)
    }

    fn list(&mut self) -> Result<(Vec<Item>, Span), Broken> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => return Ok((items, end)),
                (event, span) => items.push(self.item(event, span)?),
            }
        }
    }

    fn table(&mut self) -> Result<(Table, Span), Broken> {
        let mut table = Table::default();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                for item in &merged {
                    self.merge(&mut table, item);
                }
                return Ok((table, span));
            }
            let plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key = match event {
                Event::Scalar(text, ..) => Some(text.into_owned()),
                other => {
                    let inner = self.item(other, span)?;
                    self.no_key(&inner);
                    None
                }
            };
            let (event, value_span) = self.next()?;
            let item = self.item(event, value_span)?;
            match key {
                Some(key) if plain && key == "<<" => merged.push(item),
                Some(key) => self.insert(&mut table, key, span, item),
                None => {}
            }
        }
    }

    fn insert(&mut self, table: &mut Table, key: String, span: Span, item: Item) {
        match table.get(&key).map(|entry| entry.key_span) {
            None => table.add(key, span, item),
            Some(first) => {
                let message = format!("`{key}` is stated twice");
                self.found.push(
                    Diagnostic::error(Code::Duplicate, span, message)
                        .at("again here")
                        .label(first, "first stated here"),
                );
            }
        }
    }

    /// Adds what a merge key names, where the table does not say it itself.
    fn merge(&mut self, table: &mut Table, item: &Item) {
        match &item.content {
            Content::Table(other) => {
                for entry in other.entries() {
                    if table.get(&entry.key).is_none() {
                        table.add(entry.key.clone(), entry.key_span, entry.item.clone());
                    }
                }
            }
            Content::List(items) => {
                for item in items {
                    self.merge(table, item);
                }
            }
            other => {
                let message = format!(
                    "`<<` takes a table or a list of tables, not {}",
                    other.kind()
                );
                self.error(Code::WrongType, item.span, message);
            }
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Content {
        let typed = match tag.and_then(Tag::core_suffix) {
            Some("str") => None,
            Some(_) => plain(text),
            None if tag.is_some() || style != ScalarStyle::Plain => None,
            None => plain(text),
        };
        typed.unwrap_or_else(|| Content::Text {
            exact: self.exact(text, style, span),
            text: text.to_owned(),
        })
    }

    /// Where the bytes of a scalar stand, if they stand there as they are.
    fn exact(&self, text: &str, style: ScalarStyle, span: Span) -> Option<Span> {
        let quotes = match style {
            ScalarStyle::Plain => 0,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
            ScalarStyle::Literal | ScalarStyle::Folded => return None,
        };
        let start = span.start as usize + quotes;
        let range = start..start + text.len();
        let there = self.text.get(range.clone())? == text;
        there.then(|| Span::new(self.file, range))
    }
}

/// The value of a plain scalar in the core schema (YAML 1.2.2, 10.3.2); `None` for a text.
fn plain(text: &str) -> Option<Content> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Content::Null),
        "true" | "True" | "TRUE" => return Some(Content::Boolean(true)),
        "false" | "False" | "FALSE" => return Some(Content::Boolean(false)),
        _ => {}
    }
    let radix = [("0x", 16), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| {
            let digits = text.strip_prefix(prefix)?;
            i64::from_str_radix(digits, radix).ok()
        });
    if let Some(number) = radix {
        return Some(Content::Integer(number));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = !digits.is_empty()
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if !number {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse()
    {
        // A number whose text is another, such as `007`, keeps its text.
        let same = i64::to_string(&number) == text;
        return same.then_some(Content::Integer(number));
    }
    text.parse::<f64>().ok().map(|_| Content::Other {
        kind: "a number with a fraction",
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line, and what was found.
    fn read(text: &str) -> (String, Vec<String>) {
        let mut found = Diagnostics::default();
        let item = parse(FileId(0), text, &mut found);
        let shown = item.map_or_else(|| "-".to_owned(), |item| show(&item));
        (shown, found.iter().map(|one| one.message.clone()).collect())
    }

    fn show(item: &Item) -> String {
        match &item.content {
            Content::Text { text, exact } => {
                format!("{text:?}{}", if exact.is_some() { "" } else { "~" })
            }
            Content::Integer(number) => number.to_string(),
            Content::Boolean(value) => value.to_string(),
            Content::Other { text, .. } => format!("<{text}>"),
            Content::List(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" "))
            }
            Content::Table(table) => {
                let entries = table.entries().iter();
                let entries = entries.map(|entry| format!("{}:{}", entry.key, show(&entry.item)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
            Content::Null => "null".to_owned(),
            Content::Tagged { tag, item } => format!("!{tag} {}", show(item)),
            Content::Broken => "?".to_owned(),
        }
    }

    #[test]
    fn trees() {
        for (text, expected) in [
            ("", "-"),
            ("a: 1\nb: [x, \"y\", 'z']\n", r#"{a:1 b:["x" "y" "z"]}"#),
            (
                "{\n\t\"a\": {\"b\": -1, \"c\": true},\n\t\"d\": \"x\\n\"\n}\n",
                r#"{a:{b:-1 c:true} d:"x\n"~}"#,
            ),
            ("a: !Ref Elb\n", r#"{a:!Ref "Elb"}"#),
            ("a: !GetAtt 'Elb.DNSName'\n", r#"{a:!GetAtt "Elb.DNSName"}"#),
            ("- !If [a, !Ref b, 2]\n", r#"[!If ["a" !Ref "b" 2]]"#),
            ("a: !!str 5\nb: !!int 5\n", r#"{a:"5" b:5}"#),
            (
                "a: 2010-09-09\nb: 007\nc: 1.5\nd: 80:80\n",
                r#"{a:"2010-09-09" b:"007" c:<1.5> d:"80:80"}"#,
            ),
            ("a:\nb: ~\nc: no\n", r#"{a:null b:null c:"no"}"#),
            (
                "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: *x\n",
                "{x:{a:1 b:2} y:{b:3 a:1} z:{a:1 b:2}}",
            ),
            (
                "a: |\n  one\n  two\nb: >\n  one\n  two\n",
                r#"{a:"one\ntwo\n"~ b:"one two\n"~}"#,
            ),
        ] {
            assert_eq!(read(text), (expected.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, expected) in [
            ("a: 1\na: 2\n", "`a` is stated twice"),
            (
                "a: 1\n---\nb: 2\n",
                "one document is expected, and this is another",
            ),
            ("? [a]\n: 1\n", "a key has to be a text"),
            ("a: {{ b }}\n", "a key has to be a text"),
            (
                "<<: 5\n",
                "`<<` takes a table or a list of tables, not a number",
            ),
        ] {
            assert_eq!(read(text).1, [expected], "{text}");
        }
        for text in [
            "a: [1\n",
            "a: *x\n",
            "a:\n\tb: 1\n",
            "{\"a\": }{\n",
            "a: &x [*x]\n",
        ] {
            assert_eq!(read(text).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            let list = [below.as_str(); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        let expected = format!("with its aliases, this text has more than {MAX_ITEMS} values");
        assert_eq!(read(&text).1, [expected]);
    }

    #[test]
    fn depth_is_bounded() {
        let text = "[".repeat(100_000);
        assert_eq!(read(&text).1.len(), 1);
    }
}
