//! What changes, for people: a line for an object, and what changes within it.

use std::collections::BTreeMap;
use std::fmt::Write;

use portway_admin::json::{Field, Step};

/// Of more steps than these, the first are shown, and how many more there are.
const STEPS: usize = 60;
/// Of more fields of an object than these, the first are shown.
const FIELDS: usize = 12;
/// Characters of a line with all that changes in an object; longer ones are divided.
const LINE: usize = 100;
/// Characters of a value.
const VALUE: usize = 160;

/// Whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    /// It would be.
    ToDo,
    /// It was.
    Done,
}

/// Every step, or the first of very many. `beside`: what else there is to say of one.
pub(super) fn text(
    steps: &[Step],
    tense: Tense,
    beside: impl Fn(&Step) -> Option<String>,
) -> String {
    let mut out = String::new();
    for step in steps.iter().take(STEPS) {
        one(&mut out, step);
        if let Some(more) = beside(step) {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(out, "    {more}");
        }
    }
    if let Some(rest) = steps.get(STEPS..).filter(|rest| !rest.is_empty()) {
        let mut left: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for step in rest {
            *left.entry((&step.action, &step.kind)).or_default() += 1;
        }
        let left: Vec<String> = left
            .into_iter()
            .map(|((action, kind), count)| format!("{} {kind} × {count}", sign(action)))
            .collect();
        let _ = writeln!(
            out,
            "… and {} more (--json has all): {}",
            rest.len(),
            left.join(", ")
        );
    }
    if steps.len() > 1 {
        let [add, change, remove] = ["add", "change", "remove"]
            .map(|action| steps.iter().filter(|it| it.action == action).count());
        let _ = match tense {
            Tense::ToDo => writeln!(out, "{add} to add, {change} to change, {remove} to remove"),
            Tense::Done => writeln!(out, "{add} added, {change} changed, {remove} removed"),
        };
    }
    out
}

fn sign(action: &str) -> &'static str {
    match action {
        "add" => "+",
        "remove" => "-",
        _ => "~",
    }
}

fn one(out: &mut String, step: &Step) {
    let fields: &[Field] = match step.action.as_str() {
        "change" => &step.fields,
        _ => &[],
    };
    // Where nothing else changes, it is what a file says that the object names.
    let contents = step.contents && !fields.is_empty();
    let mut parts: Vec<String> = fields.iter().map(field).collect();
    parts.extend(contents.then(|| "what a file says that it names".to_owned()));
    let line = format!("{step}: {}", parts.join(", "));
    if parts.is_empty() {
        let _ = writeln!(out, "{step}");
    } else if line.chars().count() <= LINE {
        let _ = writeln!(out, "{line}");
    } else {
        let _ = writeln!(out, "{step}:");
        for part in parts.iter().take(FIELDS) {
            let _ = writeln!(out, "    {part}");
        }
        if parts.len() > FIELDS {
            let _ = writeln!(out, "    … and {} more", parts.len() - FIELDS);
        }
    }
}

fn field(field: &Field) -> String {
    let Field {
        name,
        old,
        new,
        element,
        ..
    } = field;
    let value = |value: &str| match value.char_indices().nth(VALUE) {
        Some((at, _)) => format!("{}…", value.get(..at).unwrap_or_default()),
        None => value.to_owned(),
    };
    let text = match (old, new) {
        (Some(old), Some(new)) if old == new => format!("{name} {} (another one)", value(new)),
        (Some(old), Some(new)) => format!("{name} {} → {}", value(old), value(new)),
        (None, Some(new)) if *element => format!("+ {name} {}", value(new)),
        (Some(old), None) if *element => format!("- {name} {}", value(old)),
        (None, Some(new)) => format!("{name} (default) → {}", value(new)),
        (Some(old), None) => format!("{name} {} → (default)", value(old)),
        (None, None) => name.clone(),
    };
    match field.fixed {
        true => format!("{text} (stays until a restart or `portway upgrade`)"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(action: &str, name: &str, fields: &[(&str, Option<&str>, Option<&str>)]) -> Step {
        let field = |(name, old, new): &(&str, Option<&str>, Option<&str>)| Field {
            name: (*name).to_owned(),
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
            element: *name == "rule",
            fixed: *name == "workers",
        };
        Step {
            action: action.to_owned(),
            kind: "listener".to_owned(),
            name: name.to_owned(),
            fields: fields.iter().map(field).collect(),
            contents: false,
        }
    }

    #[test]
    fn lines() {
        let long = "x".repeat(90);
        let steps = [
            step("add", "a", &[("bind", None, Some("':80'"))]),
            step(
                "change",
                "b",
                &[
                    ("retries", Some("3"), Some("7")),
                    ("rule", None, Some("{}")),
                ],
            ),
            step(
                "change",
                "c",
                &[("node", Some(&long), None), ("workers", None, Some("2"))],
            ),
            step(
                "change",
                "d",
                &[("pem", Some("(secret)"), Some("(secret)"))],
            ),
        ];
        let expected = format!(
            "+ listener a\n~ listener b: retries 3 → 7, + rule {{}}\n~ listener c:\n    node {long} → (default)\n    \
             workers (default) → 2 (stays until a restart or `portway upgrade`)\n~ listener d: pem (secret) (another one)\n\
             1 to add, 3 to change, 0 to remove\n"
        );
        let to_do = |steps: &[Step]| text(steps, Tense::ToDo, |_| None);
        assert_eq!(to_do(&steps), expected);
        let many: Vec<Step> = (0..1000)
            .map(|number| step("add", &number.to_string(), &[]))
            .collect();
        let text = to_do(&many);
        assert_eq!(text.lines().count(), STEPS + 2);
        assert!(
            text.contains("… and 940 more (--json has all): + listener × 940\n1000 to add"),
            "{text}"
        );
    }
}
