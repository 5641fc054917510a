//! Properties held against their table: what is left is known, of the right type and in range.

use super::table::{Kind, Property, State};
use super::value::{Field, Node, Value};
use crate::unknown_word;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};
use std::fmt::Display;

/// An object whose properties are known.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) span: Span,
    members: Vec<Member>,
    /// Something that counts depends on what is not given, or was wrong.
    pub(super) incomplete: bool,
}

#[derive(Debug, Clone)]
struct Member {
    name: &'static str,
    span: Span,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Text(String),
    Texts(Vec<Spanned<String>>),
    Objects(Vec<Object>),
}

impl Object {
    /// A text, a number or a boolean.
    pub(super) fn text(&self, name: &str) -> Option<Spanned<&str>> {
        let member = self.member(name)?;
        match &member.content {
            Content::Text(text) => Some(Spanned::new(text, member.span)),
            _ => None,
        }
    }

    /// A number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<Spanned<T>> {
        let text = self.text(name)?;
        let number = text.value.parse().ok()?;
        Some(Spanned::new(number, text.span))
    }

    /// True where it says so.
    pub(super) fn truth(&self, name: &str) -> Option<Spanned<bool>> {
        self.text(name).map(|text| text.map(|text| text == "true"))
    }

    /// The members of a list of texts; none where it is not there.
    pub(super) fn texts(&self, name: &str) -> &[Spanned<String>] {
        match self.member(name).map(|member| &member.content) {
            Some(Content::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// An object, or those of a list; none where it is not there.
    pub(super) fn objects(&self, name: &str) -> &[Object] {
        match self.member(name).map(|member| &member.content) {
            Some(Content::Objects(objects)) => objects,
            _ => &[],
        }
    }

    /// An object within this one.
    pub(super) fn object(&self, name: &str) -> Option<&Object> {
        self.objects(name).first()
    }

    /// Where a property stands.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.member(name).map(|member| member.span)
    }

    /// Every property with its place.
    pub(super) fn places(&self) -> impl Iterator<Item = (&'static str, Span)> {
        self.members.iter().map(|member| (member.name, member.span))
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// Reads objects, and says what is wrong with them.
pub(super) struct Reader<'f> {
    pub(super) found: &'f mut Diagnostics,
    /// Properties without effect, each once, and where.
    pub(super) without_effect: Vec<(String, Span)>,
    /// Within a property without effect, whose parts are not told one by one.
    within_such: bool,
}

impl<'f> Reader<'f> {
    pub(super) fn new(found: &'f mut Diagnostics, without_effect: Vec<(String, Span)>) -> Self {
        Self {
            found,
            without_effect,
            within_such: false,
        }
    }

    /// The object that a value is. `what`: whose properties they are, for messages.
    pub(super) fn object(
        &mut self,
        node: Node,
        known: &'static [Property],
        what: &str,
    ) -> Option<Object> {
        let span = node.span;
        let fields = match node.value {
            Value::Map(fields) => fields,
            Value::Unknown => {
                return Some(Object {
                    span,
                    members: Vec::new(),
                    incomplete: true,
                });
            }
            other => {
                self.wrong(span, what, "an object", &other);
                return None;
            }
        };
        let mut object = Object {
            span,
            members: Vec::new(),
            incomplete: false,
        };
        let mut stated = Vec::new();
        for field in fields {
            stated.push(field.name.clone());
            self.member(&mut object, field, known, what);
        }
        for row in known.iter().filter(|row| row.required) {
            if !stated.iter().any(|name| name == row.name) {
                let message = format!("{what} has no `{}`", row.name);
                self.found
                    .push(Diagnostic::error(Code::Missing, span, message));
                object.incomplete = true;
            }
        }
        Some(object)
    }

    fn member(
        &mut self,
        object: &mut Object,
        field: Field,
        known: &'static [Property],
        what: &str,
    ) {
        let Some(row) = known.iter().find(|row| row.name == field.name) else {
            let names = known.iter().map(|row| row.name);
            let kind = format!("property of {what}");
            self.found
                .push(unknown_word(field.span, &kind, &field.name, names));
            return;
        };
        if let Some(refusal) = row.state.refusal(&format!("`{}`", row.name)) {
            self.found
                .push(Diagnostic::error(Code::NotRun, field.span, refusal));
            return;
        }
        let without_effect = matches!(row.state, State::NoEffect(_));
        let known = self.without_effect.iter();
        let is_new = !known.clone().any(|(known, _)| known == row.name);
        if without_effect && is_new && !self.within_such {
            self.without_effect.push((row.name.to_owned(), field.span));
        }
        let span = field.node.span;
        let outer = self.within_such;
        self.within_such |= without_effect;
        let content = self.content(field.node, row, object);
        self.within_such = outer;
        match content {
            Some(content) => object.members.push(Member {
                name: row.name,
                span,
                content,
            }),
            None if without_effect => {}
            None => object.incomplete = true,
        }
    }

    /// What a property says; `None`: it is wrong or not known.
    fn content(&mut self, node: Node, row: &Property, object: &mut Object) -> Option<Content> {
        let what = format!("`{}`", row.name);
        match row.kind {
            Kind::Any => None,
            Kind::Text | Kind::Word(_) | Kind::Number(..) | Kind::Boolean => {
                let text = self.text(node, &what)?;
                self.checked(text, row.kind, &what).map(Content::Text)
            }
            Kind::Texts => {
                let nodes = self.list(node, &what)?;
                let texts = nodes.into_iter().map(|node| self.text(node, &what));
                let texts: Option<Vec<_>> = texts.collect();
                texts.map(Content::Texts)
            }
            Kind::Object(known) => {
                let inner = self.object(node, known, &what)?;
                object.incomplete |= inner.incomplete;
                Some(Content::Objects(vec![inner]))
            }
            Kind::Objects(known) => {
                let mut objects = Vec::new();
                for node in self.list(node, &what)? {
                    let inner = self.object(node, known, &what)?;
                    object.incomplete |= inner.incomplete;
                    objects.push(inner);
                }
                Some(Content::Objects(objects))
            }
            Kind::Attributes(known) => {
                let inner = self.attributes(node, known, &what)?;
                object.incomplete |= inner.incomplete;
                Some(Content::Objects(vec![inner]))
            }
        }
    }

    /// A list of keys and values as an object.
    fn attributes(&mut self, node: Node, known: &'static [Property], what: &str) -> Option<Object> {
        let span = node.span;
        let mut fields = Vec::new();
        for node in self.list(node, what)? {
            let place = node.span;
            let Value::Map(pair) = node.value else {
                if !matches!(node.value, Value::Unknown) {
                    self.wrong(place, what, "an object with `Key` and `Value`", &node.value);
                }
                continue;
            };
            let mut keyed = false;
            let mut key = None;
            let mut value = None;
            for field in pair {
                match field.name.as_str() {
                    "Key" => {
                        keyed = true;
                        key = self.text(field.node, "`Key`");
                    }
                    "Value" => value = Some(field.node),
                    other => self.found.push(unknown_word(
                        field.span,
                        "property of an attribute",
                        other,
                        ["Key", "Value"],
                    )),
                }
            }
            for (name, there) in [("Key", keyed), ("Value", value.is_some())] {
                if !there {
                    let message = format!("an attribute of {what} has no `{name}`");
                    self.found
                        .push(Diagnostic::error(Code::Missing, place, message));
                }
            }
            if let (Some(key), Some(node)) = (key, value) {
                let mut before = fields.iter().filter(|it: &&Field| it.name == key.value);
                if let Some(before) = before.next() {
                    let message = format!("{what} has `{}` twice", key.value);
                    let twice = Diagnostic::error(Code::Duplicate, key.span, message);
                    self.found
                        .push(twice.label(before.span, "the first is here"));
                    continue;
                }
                fields.push(Field {
                    name: key.value,
                    span: key.span,
                    node,
                });
            }
        }
        let map = Node {
            value: Value::Map(fields),
            span,
        };
        self.object(map, known, what)
    }

    fn list(&mut self, node: Node, what: &str) -> Option<Vec<Node>> {
        match node.value {
            Value::List(nodes) => Some(nodes),
            Value::Unknown => None,
            // One stands for a list of one, as at AWS.
            Value::Text(_) | Value::Map(_) => Some(vec![node]),
            other => {
                self.wrong(node.span, what, "a list", &other);
                None
            }
        }
    }

    fn text(&mut self, node: Node, what: &str) -> Option<Spanned<String>> {
        match node.value {
            Value::Text(text) => Some(Spanned::new(text, node.span)),
            Value::Unknown => None,
            other => {
                self.wrong(node.span, what, "a text", &other);
                None
            }
        }
    }

    /// The text in the form that the property has.
    fn checked(&mut self, text: Spanned<String>, kind: Kind, what: &str) -> Option<String> {
        let Spanned { value, span } = text;
        match kind {
            Kind::Word(words) if !words.contains(&value.as_str()) => {
                let kind = format!("value of {what}");
                self.found
                    .push(unknown_word(span, &kind, &value, words.iter().copied()));
                None
            }
            Kind::Number(min, max) => match value.trim().parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Some(number.to_string()),
                Ok(number) => {
                    self.outside(span, what, number, (min, max));
                    None
                }
                Err(_) => {
                    let message = format!("{what} is a whole number, not `{value}`");
                    self.found
                        .push(Diagnostic::error(Code::WrongType, span, message));
                    None
                }
            },
            Kind::Boolean => {
                let lower = value.to_ascii_lowercase();
                if matches!(lower.as_str(), "true" | "false") {
                    return Some(lower);
                }
                let message = format!("{what} is `true` or `false`, not `{value}`");
                self.found
                    .push(Diagnostic::error(Code::WrongType, span, message));
                None
            }
            _ => Some(value),
        }
    }

    fn outside(&mut self, span: Span, what: &str, number: i64, (min, max): (i64, i64)) {
        let message = format!("{what} is from {min} to {max}, and {number} is not");
        self.found
            .push(Diagnostic::error(Code::OutOfRange, span, message));
    }

    fn wrong(&mut self, span: Span, what: impl Display, expected: &str, value: &Value) {
        let message = format!("{what} is {expected}, not {}", value.kind());
        self.found
            .push(Diagnostic::error(Code::WrongType, span, message));
    }
}
