//! Carries out what a template computes: placeholders, references, functions, conditions.
//!
//! Everything is evaluated where it is asked for, so that what a resource of another kind says is never looked at. A
//! resource has the text for a reference that AWS would give it (an ARN, an id), made of its logical id; whoever reads
//! a reference looks the text up again. The hard thing are circles: conditions are watched while they are evaluated,
//! references between resources are noted and looked at in the end.

use super::given::{Book, Kind, Unset};
use super::parameters;
use super::table;
use super::template::{Template, as_text};
use super::value::{Field, Node, Value};
use crate::tree::{Content, Item, Table};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use portway_model::span::Span;
use std::collections::{BTreeSet, HashMap};

/// Bytes of a text that functions make. The largest body of a fixed response has 1,024; texts within texts could grow
/// without end.
const MAX_TEXT: usize = 256 * 1024;

/// How far a condition is evaluated.
#[derive(Debug, Clone, Copy)]
enum Progress {
    Begun,
    Done(Option<bool>),
}

/// A reference from one resource to another, by their places in the template.
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) span: Span,
}

/// Evaluates parts of one template.
pub(super) struct Evaluator<'t, 'g, 'e> {
    pub(super) template: &'t Template<'t>,
    pub(super) book: &'e mut Book<'g>,
    /// What templates before this one export.
    pub(super) exports: &'e mut HashMap<String, String>,
    pub(super) found: &'e mut Diagnostics,
    /// The resource whose properties are evaluated.
    pub(super) current: Option<usize>,
    pub(super) edges: Vec<Edge>,
    /// The section `Rules` is evaluated, which has functions of its own.
    pub(super) in_rules: bool,
    conditions: HashMap<&'t str, Progress>,
    said: BTreeSet<String>,
}

impl<'t, 'g, 'e> Evaluator<'t, 'g, 'e> {
    pub(super) fn new(
        template: &'t Template<'t>,
        book: &'e mut Book<'g>,
        exports: &'e mut HashMap<String, String>,
        found: &'e mut Diagnostics,
    ) -> Self {
        Self {
            template,
            book,
            exports,
            found,
            current: None,
            edges: Vec::new(),
            in_rules: false,
            conditions: HashMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// Evaluates a part of the template.
    pub(super) fn evaluate(&mut self, item: &'t Item) -> Node {
        let span = item.span;
        match &item.content {
            Content::Text { text, exact } => match self.fill(text, span, *exact) {
                Some(text) => Node::text(text, span),
                None => Node::unknown(span),
            },
            Content::Integer(number) => Node::text(number.to_string(), span),
            Content::Boolean(truth) => Node::text(truth.to_string(), span),
            Content::Other { text, .. } => Node::text(text.clone(), span),
            Content::List(items) => self.list(items, span),
            Content::Table(table) => match only_entry(table) {
                Some(("Fn::Ref", _)) => {
                    let unknown =
                        Diagnostic::error(Code::Unknown, span, "there is no function `Fn::Ref`");
                    self.found.push(unknown.help("write `Ref`"));
                    Node::unknown(span)
                }
                Some((name, argument)) if is_function(name) => {
                    self.function(name.strip_prefix("Fn::").unwrap_or(name), argument, span)
                }
                _ => self.map(table, span),
            },
            Content::Tagged { tag, item } => self.function(tag, item, span),
            Content::Null => {
                let message = "nothing stands here, which CloudFormation refuses";
                let diagnostic = Diagnostic::error(Code::WrongType, span, message);
                self.found.push(
                    diagnostic.help("leave the key out, or write `{\"Ref\": \"AWS::NoValue\"}`"),
                );
                Node::unknown(span)
            }
            Content::Broken => Node::unknown(span),
        }
    }

    fn list(&mut self, items: &'t [Item], span: Span) -> Node {
        let nodes = items.iter().map(|item| self.evaluate(item));
        let nodes = nodes.filter(|node| !matches!(node.value, Value::Nothing));
        Node {
            value: Value::List(nodes.collect()),
            span,
        }
    }

    fn map(&mut self, table: &'t Table, span: Span) -> Node {
        let mut fields = Vec::new();
        for entry in table.entries() {
            let node = self.evaluate(&entry.item);
            if !matches!(node.value, Value::Nothing) {
                fields.push(Field {
                    name: entry.key.clone(),
                    span: entry.key_span,
                    node,
                });
            }
        }
        Node {
            value: Value::Map(fields),
            span,
        }
    }

    /// A text with its placeholders filled; `None` where one is not.
    pub(super) fn fill(&mut self, text: &str, span: Span, exact: Option<Span>) -> Option<String> {
        let mut out = String::new();
        let mut complete = true;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, more)) = after.split_once("}}") else {
                break;
            };
            out.push_str(before);
            let start = text.len() - rest.len() + before.len();
            let place = exact.map_or(span, |exact| {
                let start = exact.start as usize + start;
                Span::new(exact.file, start..start + name.len() + 4)
            });
            match self.placeholder(name.trim(), place) {
                Some(value) => out.push_str(value),
                None => complete = false,
            }
            rest = more;
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    fn placeholder(&mut self, name: &str, span: Span) -> Option<&'g str> {
        if name.starts_with("resolve:") {
            let message = format!("`{{{{{name}}}}}` lies in a store of AWS, which is not asked");
            let refused = Diagnostic::error(Code::NotRun, span, message);
            self.found
                .push(refused.help("write the value itself, or make it a parameter"));
            return None;
        }
        let value = self.book.one(Kind::Placeholder, name);
        if value.is_none() {
            let message = format!("`{{{{ {name} }}}}` is not filled in");
            let unfilled = Diagnostic::error(Code::Missing, span, message);
            self.say_once(unfilled.help(format!("write its value, or give it: --set {name}=…")));
        }
        value
    }

    /// What `Ref` gives for this name.
    pub(super) fn reference(&mut self, name: &str, span: Span) -> Node {
        if let Some(node) = parameters::pseudo(self, name, span) {
            return node;
        }
        if let Some(node) = self.parameter(name, span) {
            return node;
        }
        if self.template.resource(name).is_some() {
            return self.of_resource(name, None, span);
        }
        let resources = self.template.resources.iter().map(|it| it.id);
        let parameters = self.template.parameters.iter();
        let known = resources.chain(parameters.map(|(entry, _)| entry.key.as_str()));
        let message = format!("there is no parameter and no resource `{name}`");
        let unknown = Diagnostic::error(Code::UnknownReference, span, message);
        self.found.push(unknown.nearest(name, known));
        Node::unknown(span)
    }

    /// What `Fn::GetAtt` gives for this attribute, or `Ref` without one.
    pub(super) fn of_resource(&mut self, id: &str, attribute: Option<&str>, span: Span) -> Node {
        let template = self.template;
        let Some((index, declared)) = template.resource(id) else {
            let message = format!("there is no resource `{id}`");
            let unknown = Diagnostic::error(Code::UnknownReference, span, message);
            let known = template.resources.iter().map(|it| it.id);
            self.found.push(unknown.nearest(id, known));
            return Node::unknown(span);
        };
        if let Some(from) = self.current {
            let to = index;
            self.edges.push(Edge { from, to, span });
        }
        if let Some(condition) = declared.condition {
            match self.condition(condition.value, condition.span) {
                Some(true) => {}
                None => return Node::unknown(span),
                Some(false) => {
                    let message = format!(
                        "resource `{id}` is not there: its condition `{}` is false",
                        condition.value
                    );
                    let gone = Diagnostic::error(Code::UnknownReference, span, message);
                    self.found
                        .push(gone.label(condition.span, "this condition"));
                    return Node::unknown(span);
                }
            }
        }
        let env = self.env(span);
        match (table::resource(declared.kind.value), attribute) {
            (Some(row), None) => Node::text(row.reference.text(&env, id), span),
            (Some(row), Some(attribute)) => match row.attribute(attribute) {
                Some(_) if row.identifies(attribute) => {
                    Node::text(row.identity(attribute, &env, id), span)
                }
                Some(_) => Node::text(stand_in(id, attribute, &env), span),
                None => {
                    let kind = declared.kind.value;
                    let message = format!("{kind} has no attribute `{attribute}`");
                    let unknown = Diagnostic::error(Code::Unknown, span, message);
                    let known = row.attributes.iter().copied();
                    self.found.push(unknown.nearest(attribute, known));
                    Node::unknown(span)
                }
            },
            (None, None) => Node::text(id, span),
            (None, Some(attribute)) => Node::text(format!("{id}.{attribute}"), span),
        }
    }

    /// What ARNs are made of.
    pub(super) fn env(&mut self, span: Span) -> table::Env {
        let mut text = |name: &str| {
            let node = parameters::pseudo(self, name, span);
            node.and_then(|node| node.as_text().map(str::to_owned))
                .unwrap_or_default()
        };
        table::Env {
            partition: text("AWS::Partition"),
            region: text("AWS::Region"),
            account: text("AWS::AccountId"),
            stack: text("AWS::StackName"),
        }
    }

    /// What `Fn::ImportValue` gives.
    pub(super) fn import(&mut self, name: &str, span: Span) -> Node {
        if let Some(value) = self.book.one(Kind::Import, name) {
            return Node::text(value, span);
        }
        if let Some(value) = self.exports.get(name) {
            return Node::text(value.clone(), span);
        }
        let message = format!("no template exports `{name}`");
        let unset = match self.book.unset() {
            Unset::Refused => Diagnostic::error(Code::Missing, span, message),
            Unset::Warned => Diagnostic::warning(Code::Missing, span, message),
        };
        let help = format!(
            "name the template that does before this one, or give the value: --import {name}=…"
        );
        let mut known: Vec<&str> = self.exports.keys().map(String::as_str).collect();
        known.sort_unstable();
        let help = match nearest(name, known) {
            Some(known) => format!("did you mean `{known}`? Else {help}"),
            None => help,
        };
        self.say_once(unset.help(help));
        Node::unknown(span)
    }

    /// Whether the condition of this name holds; `None`: it depends on what is not given.
    pub(super) fn condition(&mut self, name: &str, span: Span) -> Option<bool> {
        let template = self.template;
        let declared = template.conditions.and_then(|table| table.get(name));
        let Some(entry) = declared else {
            let message = format!("there is no condition `{name}`");
            let unknown = Diagnostic::error(Code::UnknownReference, span, message);
            let known = template.conditions.map_or(&[][..], Table::entries);
            let known = known.iter().map(|entry| entry.key.as_str());
            self.found.push(unknown.nearest(name, known));
            return None;
        };
        match self.conditions.get(entry.key.as_str()) {
            Some(Progress::Done(holds)) => return *holds,
            Some(Progress::Begun) => {
                let message = format!("condition `{name}` depends on itself");
                let circle = Diagnostic::error(Code::Conflict, span, message);
                self.found
                    .push(circle.label(entry.key_span, "it is declared here"));
                return None;
            }
            None => {}
        }
        self.conditions.insert(&entry.key, Progress::Begun);
        let holds = self.truth(&entry.item);
        self.conditions.insert(&entry.key, Progress::Done(holds));
        holds
    }

    /// Evaluates conditions, rules and outputs, which nothing may refer to.
    pub(super) fn check_rest(&mut self) {
        let template = self.template;
        for entry in template.conditions.map_or(&[][..], Table::entries) {
            self.condition(&entry.key, entry.key_span);
        }
        self.in_rules = true;
        self.check_rules();
        self.in_rules = false;
        for entry in template.outputs.map_or(&[][..], Table::entries) {
            self.output(&entry.key, &entry.item);
        }
    }

    fn output(&mut self, name: &str, item: &'t Item) {
        let Some(output) = super::template::as_table(item, "an output", self.found) else {
            return;
        };
        super::template::known_keys(output, "key of an output", table::OUTPUT, self.found);
        if let Some(condition) = output.get("Condition").and_then(|it| as_text(&it.item))
            && self.condition(condition.value, condition.span) != Some(true)
        {
            return;
        }
        let Some(value) = output.get("Value") else {
            let message = format!("output `{name}` has no `Value`");
            self.found
                .push(Diagnostic::error(Code::Missing, item.span, message));
            return;
        };
        let value = self.evaluate(&value.item);
        let Some(export) = output.get("Export") else {
            return;
        };
        let export = self.evaluate(&export.item);
        if let Value::Map(fields) = &export.value
            && let Some(name) = fields.iter().find(|field| field.name == "Name")
            && let (Some(name), Some(value)) = (name.node.as_text(), value.as_text())
        {
            self.exports.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Adds a diagnostic unless its message was said before.
    pub(super) fn say_once(&mut self, diagnostic: Diagnostic) {
        if self.said.insert(diagnostic.message.clone()) {
            self.found.push(diagnostic);
        }
    }

    /// A text that a function made, if it is not too long.
    pub(super) fn made(&mut self, text: String, span: Span) -> Node {
        if text.len() <= MAX_TEXT {
            return Node::text(text, span);
        }
        let message = format!("this makes a text of more than {MAX_TEXT} bytes");
        self.found
            .push(Diagnostic::error(Code::TooLarge, span, message));
        Node::unknown(span)
    }
}

/// An attribute that does not say which resource it is.
fn stand_in(id: &str, attribute: &str, env: &table::Env) -> String {
    match attribute {
        "DNSName" | "CanonicalHostedZoneName" => {
            format!(
                "{}.{}.elb.amazonaws.com",
                id.to_ascii_lowercase(),
                env.region
            )
        }
        _ => format!("{id}.{attribute}"),
    }
}

/// The key and value of a table with one entry.
fn only_entry(table: &Table) -> Option<(&str, &Item)> {
    match table.entries() {
        [entry] => Some((&entry.key, &entry.item)),
        _ => None,
    }
}

/// True for keys that stand for functions.
pub(super) fn is_function(name: &str) -> bool {
    name == "Ref" || name.starts_with("Fn::")
}
