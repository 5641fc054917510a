//! What the canonical text says, piece by piece: for who compares configurations or tells of their parts.

use super::form::{Fields, Out};
use super::objects::Object;
use super::print::{inline, key};
use super::{group, listener, rule};
use portway_model::action::Rule;
use portway_model::draft::Draft;
use portway_model::stage::Named;

/// One object of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlined {
    /// Its section: `process`, `listener`, `target_group`, `certificate`, `stick_table`, `map`, `userlist`.
    pub kind: &'static str,
    /// Its name; empty for the process.
    pub name: String,
    /// What is said of it, in the order of the text.
    pub fields: Vec<OutlinedField>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlinedField {
    /// The key; `health_check.interval` where it stands in a table.
    pub key: String,
    /// The value, as the text has it; each element of a list by itself.
    pub values: Vec<String>,
    /// It is a list.
    pub is_list: bool,
}

/// Every object of a draft, in the order of the canonical text.
pub fn outline(draft: &Draft) -> Vec<Outlined> {
    let mut process = Vec::new();
    draft.process.write_fields(&mut process);
    let mut all = vec![outlined("process", "", &process)];
    let listeners = draft.listeners.iter();
    all.extend(
        listeners.map(|it| outlined("listener", it.name.value.as_str(), &listener::write(it))),
    );
    let groups = draft.groups.iter();
    all.extend(
        groups.map(|it| outlined("target_group", it.name.value.as_str(), &group::write(it))),
    );
    objects(&mut all, "certificate", &draft.certificates);
    objects(&mut all, "stick_table", &draft.stick_tables);
    objects(&mut all, "map", &draft.maps);
    objects(&mut all, "userlist", &draft.userlists);
    all
}

/// A rule on one line, as it stands in braces.
pub fn rule_text(rule: &Rule<Named>) -> String {
    let entries = rule::write_one(rule);
    let entries = entries.iter();
    let texts: Vec<String> = entries
        .map(|(name, value)| super::print::entry(name, value))
        .collect();
    texts.join(", ")
}

fn objects<T: Object>(all: &mut Vec<Outlined>, kind: &'static str, objects: &[T]) {
    for object in objects {
        let mut out: Vec<(String, Out)> = Vec::new();
        object.write_fields(&mut out);
        all.push(outlined(kind, object.name().value.as_str(), &out));
    }
}

fn outlined(kind: &'static str, name: &str, entries: &[(String, Out)]) -> Outlined {
    let mut fields = Vec::new();
    flatten(&mut fields, "", entries);
    Outlined {
        kind,
        name: name.to_owned(),
        fields,
    }
}

fn flatten(fields: &mut Vec<OutlinedField>, prefix: &str, entries: &[(String, Out)]) {
    for (name, value) in entries {
        one(fields, &format!("{prefix}{}", key(name)), value);
    }
}

fn one(fields: &mut Vec<OutlinedField>, name: &str, value: &Out) {
    let (values, is_list) = match value {
        Out::Table(inner) | Out::Section(inner) if !inner.is_empty() => {
            return flatten(fields, &format!("{name}."), inner);
        }
        Out::Dotted(inner, value) => return one(fields, &format!("{name}.{}", key(inner)), value),
        Out::List(items) => (items.iter().map(inline).collect(), true),
        Out::Sections(tables) => {
            let tables = tables.iter();
            (
                tables.map(|it| inline(&Out::Table(it.clone()))).collect(),
                true,
            )
        }
        value => (vec![inline(value)], false),
    };
    fields.push(OutlinedField {
        key: name.to_owned(),
        values,
        is_list,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::span::FileId;

    #[test]
    fn objects_and_their_fields() {
        let text = "[listener.web]\nbind = ':80'\nforward = 'a'\n[target_group.a]\n\
             targets = ['10.0.0.1:80', '10.0.0.2:80']\ntimeouts = { connect = '2s', queue = '3s' }\n";
        let (draft, found) = super::super::parse(FileId(0), text);
        assert!(!found.has_errors(), "{found:?}");
        let all = outline(&draft);
        let names: Vec<_> = all.iter().map(|it| (it.kind, it.name.as_str())).collect();
        assert_eq!(
            names,
            [("process", ""), ("listener", "web"), ("target_group", "a")]
        );
        let fields: Vec<String> = all[2]
            .fields
            .iter()
            .map(|it| format!("{} {}", it.key, it.values.join(" | ")))
            .collect();
        assert_eq!(
            fields,
            [
                "targets \"10.0.0.1:80\" | \"10.0.0.2:80\"",
                "timeouts.connect \"2s\"",
                "timeouts.queue \"3s\"",
            ]
        );
    }
}
