//! The sections of a template, not yet evaluated.

use super::table;
use crate::tree::{Content, Entry, Item, Table};
use crate::unknown_word;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};
use std::collections::HashMap;

/// The one version of the language.
const VERSION: &str = "2010-09-09";
/// What may become of a resource when its stack goes.
const POLICIES: [&str; 4] = ["Delete", "Retain", "RetainExceptOnCreate", "Snapshot"];

/// A template.
pub(super) struct Template<'t> {
    /// Its parameters, each with the table that declares it.
    pub(super) parameters: Vec<(&'t Entry, &'t Table)>,
    pub(super) mappings: Option<&'t Table>,
    pub(super) conditions: Option<&'t Table>,
    pub(super) rules: Option<&'t Table>,
    pub(super) outputs: Option<&'t Table>,
    pub(super) resources: Vec<Declared<'t>>,
    index: HashMap<&'t str, usize>,
}

/// A resource as it is declared.
pub(super) struct Declared<'t> {
    pub(super) id: &'t str,
    pub(super) span: Span,
    pub(super) kind: Spanned<&'t str>,
    pub(super) condition: Option<Spanned<&'t str>>,
    pub(super) depends_on: Vec<Spanned<&'t str>>,
    pub(super) properties: Option<&'t Item>,
}

impl<'t> Template<'t> {
    /// Reads the sections of `item`; what is wrong is left out.
    pub(super) fn read(item: &'t Item, found: &mut Diagnostics) -> Self {
        let mut template = Self {
            parameters: Vec::new(),
            mappings: None,
            conditions: None,
            rules: None,
            outputs: None,
            resources: Vec::new(),
            index: HashMap::new(),
        };
        let Some(root) = as_table(item, "a template", found) else {
            return template;
        };
        known_keys(root, "section", table::SECTIONS, found);
        template.read_version(root, found);
        let mut section = |name: &str| {
            let entry = root.get(name)?;
            as_table(&entry.item, &format!("`{name}`"), found)
        };
        template.mappings = section("Mappings");
        template.conditions = section("Conditions");
        template.rules = section("Rules");
        template.outputs = section("Outputs");
        template.check_shapes(found);
        let mut section = |name: &str| {
            let entry = root.get(name)?;
            as_table(&entry.item, &format!("`{name}`"), found)
        };
        let parameters = section("Parameters");
        let resources = section("Resources");
        for entry in parameters.map_or(&[][..], Table::entries) {
            if let Some(declared) = as_table(&entry.item, "a parameter", found) {
                known_keys(declared, "key of a parameter", table::PARAMETER, found);
                template.parameters.push((entry, declared));
            }
        }
        for entry in resources.map_or(&[][..], Table::entries) {
            template.read_resource(entry, found);
        }
        if resources.is_none() && !found.has_errors() {
            found.push(Diagnostic::error(
                Code::Missing,
                item.span,
                "a template has a section `Resources`, and this has none",
            ));
        }
        template
    }

    /// What stands in sections that are looked into where something refers to them.
    fn check_shapes(&self, found: &mut Diagnostics) {
        for entry in self.mappings.map_or(&[][..], Table::entries) {
            let maps = as_table(&entry.item, "a mapping", found);
            for entry in maps.map_or(&[][..], Table::entries) {
                as_table(&entry.item, "what stands under a key of a mapping", found);
            }
        }
        for entry in self.outputs.map_or(&[][..], Table::entries) {
            // Of another shape it is said where outputs are read.
            let Content::Table(output) = &entry.item.content else {
                continue;
            };
            if let Some(entry) = output.get("Export") {
                as_table(&entry.item, "an export", found);
            }
            if let Some(value) = output.get("Value").map(|entry| &entry.item)
                && matches!(value.content, Content::List(_))
            {
                let message = "the value of an output is a text, not a list";
                found.push(Diagnostic::error(Code::WrongType, value.span, message));
            }
        }
    }

    /// The resource of this logical id.
    pub(super) fn resource(&self, id: &str) -> Option<(usize, &Declared<'t>)> {
        let index = *self.index.get(id)?;
        Some((index, self.resources.get(index)?))
    }

    /// The table that declares the parameter of this name.
    pub(super) fn parameter(&self, name: &str) -> Option<(&'t Entry, &'t Table)> {
        let mut parameters = self.parameters.iter();
        parameters.find(|(entry, _)| entry.key == name).copied()
    }

    fn read_version(&self, root: &'t Table, found: &mut Diagnostics) {
        if let Some(entry) = root.get("AWSTemplateFormatVersion")
            && !matches!(&entry.item.content, Content::Text { text, .. } if text == VERSION)
        {
            let message = format!("the version of a template is \"{VERSION}\"");
            found.push(Diagnostic::error(
                Code::OutOfRange,
                entry.item.span,
                message,
            ));
        }
        if let Some(entry) = root.get("Transform") {
            let mut names = Vec::new();
            texts_of(&entry.item, &mut names);
            let names: Vec<&str> = names.iter().map(|name| name.value).collect();
            let message = format!("the transform `{}` is not run here", names.join("`, `"));
            found.push(
                Diagnostic::error(Code::NotRun, entry.item.span, message).help(
                    "take the processed template: aws cloudformation get-template --template-stage Processed",
                ),
            );
        }
        if let Some(entry) = root.get("Hooks") {
            let message = "hooks need CloudFormation itself";
            found.push(Diagnostic::error(Code::NotRun, entry.key_span, message));
        }
    }

    fn read_resource(&mut self, entry: &'t Entry, found: &mut Diagnostics) {
        let id = entry.key.as_str();
        if id == "Fn::ForEach" || id.starts_with("Fn::ForEach::") {
            let message = "`Fn::ForEach` needs the transform `AWS::LanguageExtensions`";
            found.push(Diagnostic::error(Code::NotRun, entry.key_span, message));
            return;
        }
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let message =
                format!("a logical id has letters and digits only, and `{id}` has others");
            found.push(Diagnostic::error(Code::Syntax, entry.key_span, message));
        }
        let Some(declared) = as_table(&entry.item, &format!("resource `{id}`"), found) else {
            return;
        };
        known_keys(declared, "key of a resource", table::RESOURCE, found);
        let Some(kind) = declared.get("Type").and_then(|it| as_text(&it.item)) else {
            let message = format!("resource `{id}` has no `Type`");
            found.push(Diagnostic::error(Code::Missing, entry.key_span, message));
            return;
        };
        check_policies(declared, found);
        let mut depends_on = Vec::new();
        if let Some(entry) = declared.get("DependsOn") {
            texts_of(&entry.item, &mut depends_on);
        }
        self.index.insert(id, self.resources.len());
        self.resources.push(Declared {
            id,
            span: entry.key_span,
            kind,
            condition: declared.get("Condition").and_then(|it| as_text(&it.item)),
            depends_on,
            properties: declared.get("Properties").map(|entry| &entry.item),
        });
    }
}

fn check_policies(declared: &Table, found: &mut Diagnostics) {
    for key in ["DeletionPolicy", "UpdateReplacePolicy"] {
        let Some(entry) = declared.get(key) else {
            continue;
        };
        if let Some(policy) = as_text(&entry.item)
            && !POLICIES.contains(&policy.value)
        {
            found.push(unknown_word(policy.span, key, policy.value, POLICIES));
        }
    }
}

/// The table that an item is; an error where it is none.
pub(super) fn as_table<'t>(
    item: &'t Item,
    what: &str,
    found: &mut Diagnostics,
) -> Option<&'t Table> {
    match &item.content {
        Content::Table(table) => Some(table),
        Content::Broken => None,
        other => {
            let message = format!("{what} is an object, not {}", other.kind());
            found.push(Diagnostic::error(Code::WrongType, item.span, message));
            None
        }
    }
}

/// The text that an item is, as it stands there.
pub(super) fn as_text(item: &Item) -> Option<Spanned<&str>> {
    match &item.content {
        Content::Text { text, .. } | Content::Other { text, .. } => {
            Some(Spanned::new(text, item.span))
        }
        _ => None,
    }
}

/// A text, or those of a list.
fn texts_of<'t>(item: &'t Item, texts: &mut Vec<Spanned<&'t str>>) {
    match &item.content {
        Content::List(items) => {
            for item in items {
                texts_of(item, texts);
            }
        }
        _ => texts.extend(as_text(item)),
    }
}

/// Says which keys are none of these.
pub(super) fn known_keys(
    table: &Table,
    what: &str,
    known: &[table::Property],
    found: &mut Diagnostics,
) {
    for entry in table.entries() {
        if !known.iter().any(|row| row.name == entry.key) {
            let names = known.iter().map(|row| row.name);
            found.push(unknown_word(entry.key_span, what, &entry.key, names));
        }
    }
}
