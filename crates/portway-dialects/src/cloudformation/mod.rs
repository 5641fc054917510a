//! CloudFormation templates in JSON and YAML.
//!
//! ```text
//! text ─▶ tree ─▶ sections (template) ─▶ values (evaluate, functions, parameters) ─▶ properties (object, by table)
//!                                                                                        │
//!                             draft ◀─ lower: listeners, rules, target groups, filters ◀─┘
//! ```
//!
//! Several templates are read as one: what the first exports the second may import, and a rule of one may belong to a
//! listener of another.

mod evaluate;
mod functions;
mod given;
mod lower;
mod object;
mod parameters;
mod table;
mod template;
mod value;

pub use given::{Given, Unset};

use crate::tree::{Item, json, yaml};
use evaluate::{Edge, Evaluator};
use given::Book;
use lower::Resource;
use object::Reader;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::Draft;
use portway_model::span::{FileId, Span};
use std::collections::HashMap;
use template::{Declared, Template};

/// A template to be read.
#[derive(Debug, Clone, Copy)]
pub struct File<'t> {
    /// The file, for spans.
    pub id: FileId,
    /// JSON or YAML.
    pub text: &'t str,
}

/// True where a text looks like a template: JSON with `Resources`, or YAML with one of its sections at the top.
pub fn looks_like(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    let sections = ["\"Resources\"", "\"AWSTemplateFormatVersion\""];
    if is_json(text) && sections.iter().any(|it| text.contains(it)) {
        return true;
    }
    text.lines().any(|line| {
        let word = line.split([' ', '\t', ':']).next().unwrap_or_default();
        match word.trim_matches(['"', '\'']) {
            "AWSTemplateFormatVersion" => true,
            "Resources" => line.trim_end().ends_with(':'),
            _ => false,
        }
    })
}

/// True where AWS takes a text for JSON.
fn is_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    text.trim_start().starts_with('{')
}

/// Says where a text that is meant to be JSON is none.
fn check_json(file: &File<'_>, found: &mut Diagnostics) {
    if !is_json(file.text) {
        return;
    }
    if let Some((at, wrong)) = json::first_fault(file.text) {
        let message = format!("this is no JSON: {wrong}");
        let span = Span::new(file.id, at..at);
        let fault = Diagnostic::warning(Code::Syntax, span, message);
        found.push(fault.help("AWS refuses it; here it works"));
    }
}

/// Reads templates that are one configuration, with what is given beside them.
pub fn parse_all(files: &[File<'_>], given: &Given) -> (Draft, Diagnostics) {
    let mut found = Diagnostics::default();
    let mut book = Book::new(given);
    let mut exports = HashMap::new();
    let mut resources = Vec::new();
    let items: Vec<Option<Item>> = files
        .iter()
        .map(|file| yaml::parse(file.id, file.text, &mut found))
        .collect();
    for (file, item) in files.iter().zip(&items) {
        if item.is_some() {
            check_json(file, &mut found);
        }
    }
    let mut ignored = Vec::new();
    for item in items.iter().flatten() {
        let template = Template::read(item, &mut found);
        let mut evaluator = Evaluator::new(&template, &mut book, &mut exports, &mut found);
        evaluator.check_parameters();
        let evaluated = evaluated(&mut evaluator);
        evaluator.check_rest();
        let edges = std::mem::take(&mut evaluator.edges);
        circles(&template, edges, &mut found);
        let mut reader = Reader::new(&mut found, std::mem::take(&mut ignored));
        for (declared, row, node, env) in evaluated {
            let what = format!("{} `{}`", row.name, declared.id);
            let object = reader.object(node, row.properties, &what);
            resources.extend(object.map(|object| Resource::new(declared, row, object, &env)));
        }
        ignored = reader.without_effect;
    }
    say_ignored(&ignored, &mut found);
    let mut draft = lower::lower(&resources, &mut book, &mut found);
    let incomplete = resources.iter().any(Resource::is_incomplete);
    draft.unfinished |= incomplete || found.has_errors();
    book.say_twice(&mut found);
    if !items.iter().any(Option::is_none) {
        book.say_unused(&mut found);
    }
    (draft, found)
}

/// The resources of the kinds that we know, with what their properties come to.
fn evaluated<'t>(
    evaluator: &mut Evaluator<'t, '_, '_>,
) -> Vec<(
    &'t Declared<'t>,
    &'static table::Resource,
    value::Node,
    table::Env,
)> {
    let template = evaluator.template;
    let mut evaluated = Vec::new();
    for (index, declared) in template.resources.iter().enumerate() {
        evaluator.current = Some(index);
        for other in &declared.depends_on {
            match template.resource(other.value) {
                Some((to, _)) => evaluator.edges.push(Edge {
                    from: index,
                    to,
                    span: other.span,
                }),
                None => {
                    let message = format!("there is no resource `{}`", other.value);
                    let known = template.resources.iter().map(|it| it.id);
                    let missing = Diagnostic::error(Code::UnknownReference, other.span, message);
                    evaluator.found.push(missing.nearest(other.value, known));
                }
            }
        }
        let condition = declared.condition;
        let there = condition.is_none_or(|it| evaluator.condition(it.value, it.span) == Some(true));
        let kind = declared.kind;
        let row = table::resource(kind.value);
        if let Some(refusal) = row.and_then(|row| row.state.refusal(kind.value)) {
            let refused = Diagnostic::error(Code::NotRun, kind.span, refusal);
            evaluator.found.push(refused);
            continue;
        }
        let Some(row) = row else {
            other_type(evaluator, declared);
            continue;
        };
        if there {
            let node = match declared.properties {
                Some(item) => evaluator.evaluate(item),
                None => value::Node {
                    value: value::Value::Map(Vec::new()),
                    span: declared.span,
                },
            };
            let env = evaluator.env(declared.span);
            evaluated.push((declared, row, node, env));
        }
    }
    evaluator.current = None;
    evaluated
}

/// Refuses a resource of a type that is none of a load balancer.
fn other_type(evaluator: &mut Evaluator<'_, '_, '_>, declared: &Declared<'_>) {
    if evaluator.book.ignores_others() {
        return;
    }
    let (id, kind) = (declared.id, declared.kind);
    let message = format!(
        "resource `{id}` is of the type {}, which Portway does not run",
        kind.value
    );
    let refused = Diagnostic::error(Code::NotRun, kind.span, message);
    let known = table::RESOURCES.iter().map(|row| row.name);
    let refused = refused.nearest(kind.value, known);
    evaluator.found.push(match refused.help {
        Some(_) => refused,
        None => refused
            .help("leave it out, or say --ignore-other-resources to run the load balancers alone"),
    });
}

/// Says where resources refer to each other in a circle.
fn circles(template: &Template<'_>, edges: Vec<Edge>, found: &mut Diagnostics) {
    let mut to: Vec<Vec<&Edge>> = template.resources.iter().map(|_| Vec::new()).collect();
    for edge in &edges {
        if let Some(list) = to.get_mut(edge.from) {
            list.push(edge);
        }
    }
    // 0: not seen, 1: on the way, 2: done.
    let mut seen = vec![0_u8; to.len()];
    for start in 0..to.len() {
        if seen.get(start) != Some(&0) {
            continue;
        }
        let mut way = vec![(start, 0_usize)];
        seen.iter_mut().skip(start).take(1).for_each(|it| *it = 1);
        while let Some((at, next)) = way.pop() {
            let Some(edge) = to.get(at).and_then(|edges| edges.get(next)) else {
                seen.iter_mut().skip(at).take(1).for_each(|it| *it = 2);
                continue;
            };
            way.push((at, next + 1));
            match seen.get(edge.to) {
                Some(0) => {
                    seen.iter_mut().skip(edge.to).take(1).for_each(|it| *it = 1);
                    way.push((edge.to, 0));
                }
                Some(1) => say_circle(template, &way, edge, found),
                _ => {}
            }
        }
    }
}

fn say_circle(
    template: &Template<'_>,
    way: &[(usize, usize)],
    edge: &Edge,
    found: &mut Diagnostics,
) {
    let ids = way
        .iter()
        .map(|(at, _)| *at)
        .skip_while(|at| *at != edge.to);
    let ids: Vec<String> = ids
        .chain([edge.to])
        .filter_map(|at| Some(format!("`{}`", template.resources.get(at)?.id)))
        .collect();
    let message = format!(
        "resources refer to each other in a circle: {}",
        ids.join(" → ")
    );
    found.push(Diagnostic::error(Code::Conflict, edge.span, message));
}

/// Says in one note what has no effect.
fn say_ignored(ignored: &[(String, Span)], found: &mut Diagnostics) {
    let Some((_, first)) = ignored.first() else {
        return;
    };
    let names: Vec<String> = ignored
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let message = format!("these have no effect here: {}", names.join(", "));
    let help = "docs/cloudformation.md says why";
    found.push(Diagnostic::note(Code::NotRun, *first, message).help(help));
}
