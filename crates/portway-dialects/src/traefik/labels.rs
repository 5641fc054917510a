//! The grammar of labels and flags: `a.b[0].c=value` to a tree.
//!
//! Keys of either case are one; the first spelling stays. A node may have a value and children (`compress=true`,
//! `compress.encodings=gzip`): the children count.

use crate::tree::{Content, Item, Table};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::Span;

/// A label: its key, and what stands behind it.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) key_span: Span,
    /// Its bytes stand there as they are.
    pub(super) exact: bool,
    pub(super) value: Item,
}

impl Label {
    /// `key=value` in one text; a value alone where no `=` is there.
    pub(super) fn of_text(text: &str, span: Span, exact: Option<Span>, without: &str) -> Self {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        let part = |from: usize, to: usize| {
            exact.map(|exact| {
                let start = exact.start as usize;
                Span::new(exact.file, start + from..start + to)
            })
        };
        let key_span = part(0, key.len());
        let value_span = value.and_then(|_| part(key.len() + 1, text.len()));
        let content = Content::Text {
            text: value.unwrap_or(without).to_owned(),
            exact: value_span,
        };
        Self {
            key: key.trim().to_owned(),
            key_span: key_span.unwrap_or(span),
            exact: key_span.is_some() && key.trim() == key,
            value: Item {
                content,
                span: value_span.unwrap_or(span),
            },
        }
    }
}

/// A node on the way to a tree.
#[derive(Debug)]
struct Node {
    key: String,
    span: Span,
    value: Option<Item>,
    children: Vec<Node>,
}

impl Node {
    fn new(key: &str, span: Span) -> Self {
        Self {
            key: key.to_owned(),
            span,
            value: None,
            children: Vec::new(),
        }
    }

    fn child(&mut self, key: &str, span: Span) -> Option<&mut Node> {
        let fits = |node: &Node| node.key.eq_ignore_ascii_case(key);
        let place = self.children.iter().position(fits).unwrap_or_else(|| {
            self.children.push(Node::new(key, span));
            self.children.len() - 1
        });
        self.children.get_mut(place)
    }

    /// Reports values that mean nothing, since there are children.
    fn report_values(&self, found: &mut Diagnostics) {
        for child in &self.children {
            child.report_values(found);
        }
        let text = self.value.as_ref().and_then(|item| match &item.content {
            Content::Text { text, .. } => Some((text, item.span)),
            _ => None,
        });
        let Some((text, span)) = text.filter(|_| !self.children.is_empty()) else {
            return;
        };
        // `compress=true` beside `compress.encodings=gzip` says that there is one.
        let says_it_is = |word: &str| text.eq_ignore_ascii_case(word);
        if !["", "true", "false"].into_iter().any(says_it_is) {
            let message = format!("`{}` has no value, so `{text}` has no effect", self.key);
            let one = Diagnostic::warning(Code::Unused, span, message);
            found.push(one.help("write the option that it is for behind a dot"));
        }
    }

    fn index(&self) -> Option<usize> {
        let inner = self.key.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok()
    }

    fn into_item(mut self) -> Item {
        if self.children.is_empty() {
            return self.value.unwrap_or(Item {
                content: Content::Null,
                span: self.span,
            });
        }
        let content = if self.children.iter().all(|child| child.index().is_some()) {
            self.children.sort_by_key(Node::index);
            Content::List(self.children.into_iter().map(Node::into_item).collect())
        } else {
            Content::Table(table(self.children))
        };
        Item {
            content,
            span: self.span,
        }
    }
}

fn table(nodes: Vec<Node>) -> Table {
    let mut table = Table::default();
    for node in nodes {
        let (key, span) = (node.key.clone(), node.span);
        table.add(key, span, node.into_item());
    }
    table
}

/// The tree of labels whose keys begin with `root`, which is taken off; all of them where it is empty.
pub(super) fn tree(labels: &[Label], root: &str, found: &mut Diagnostics) -> Table {
    let mut top = Node::new("", Span::NONE);
    for label in labels {
        insert(&mut top, label, root, found);
    }
    top.report_values(found);
    table(top.children)
}

fn insert(top: &mut Node, label: &Label, root: &str, found: &mut Diagnostics) {
    let mut parts = parts(label);
    if !root.is_empty() {
        match parts.first() {
            Some((first, _)) if first.eq_ignore_ascii_case(root) => {
                parts.remove(0);
            }
            _ => return,
        }
    }
    if parts.is_empty() || parts.iter().any(|(part, _)| part.is_empty()) {
        let message = format!("`{}` is no label: a part of it is empty", label.key);
        found.push(Diagnostic::error(Code::Syntax, label.key_span, message));
        return;
    }
    let mut node = top;
    for (part, span) in &parts {
        node = match node.child(part, *span) {
            Some(child) => child,
            None => return,
        };
    }
    if let Some(earlier) = &node.value {
        let message = format!("`{}` is stated twice", label.key);
        found.push(
            Diagnostic::error(Code::Duplicate, label.key_span, message)
                .at("again here")
                .label(earlier.span, "first stated here"),
        );
        return;
    }
    node.value = Some(label.value.clone());
}

/// The parts of a key; an index in brackets is a part of its own.
fn parts(label: &Label) -> Vec<(&str, Span)> {
    let mut parts = Vec::new();
    let mut at = 0;
    for piece in label.key.split('.') {
        let (name, mut rest) = match piece.find('[') {
            Some(open) => piece.split_at(open),
            None => (piece, ""),
        };
        parts.push((name, place(label, at, name.len())));
        let mut offset = at + name.len();
        while let Some(close) = rest.find(']') {
            let (index, after) = rest.split_at(close + 1);
            parts.push((index, place(label, offset, index.len())));
            offset += index.len();
            rest = after;
        }
        at += piece.len() + 1;
    }
    parts
}

fn place(label: &Label, from: usize, length: usize) -> Span {
    if !label.exact {
        return label.key_span;
    }
    let start = label.key_span.start as usize + from;
    Span::new(label.key_span.file, start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(item: &Item) -> String {
        match &item.content {
            Content::Text { text, .. } => format!("{text:?}"),
            Content::List(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" "))
            }
            Content::Table(table) => {
                let entries = table.entries().iter();
                let entries = entries.map(|entry| format!("{}:{}", entry.key, show(&entry.item)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
            other => format!("{other:?}"),
        }
    }

    fn read(texts: &[&str]) -> (String, Vec<String>) {
        let labels: Vec<Label> = texts
            .iter()
            .map(|text| Label::of_text(text, Span::NONE, None, ""))
            .collect();
        let mut found = Diagnostics::default();
        let table = tree(&labels, "traefik", &mut found);
        let item = Item {
            content: Content::Table(table),
            span: Span::NONE,
        };
        (
            show(&item),
            found.iter().map(|one| one.message.clone()).collect(),
        )
    }

    #[test]
    fn trees() {
        for (labels, expected) in [
            (
                vec!["traefik.a.b=1", "TRAEFIK.A.c=2"],
                r#"{a:{b:"1" c:"2"}}"#,
            ),
            (
                vec!["other.a=1", "traefik.enable=true"],
                r#"{enable:"true"}"#,
            ),
            (
                vec!["traefik.a[1].b=2", "traefik.a[0].b=1", "traefik.a[0].c=x=y"],
                r#"{a:[{b:"1" c:"x=y"} {b:"2"}]}"#,
            ),
            (vec!["traefik.a=true", "traefik.a.b=1"], r#"{a:{b:"1"}}"#),
            (vec!["traefik.a.b=1", "traefik.a=true"], r#"{a:{b:"1"}}"#),
            (vec!["traefik.m.X-Name=v"], r#"{m:{X-Name:"v"}}"#),
        ] {
            assert_eq!(
                read(&labels),
                (expected.to_owned(), Vec::new()),
                "{labels:?}"
            );
        }
        let (_, found) = read(&["traefik.a..b=1", "traefik.c=1", "traefik.C=2"]);
        assert_eq!(
            found,
            [
                "`traefik.a..b` is no label: a part of it is empty",
                "`traefik.C` is stated twice"
            ]
        );
    }
}
