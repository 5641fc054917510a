//! `path_policy` of a listener: what becomes of paths that can be read in more than one way.
//!
//! It stands for rules that come before all others of the request phase, each of which brings paths into one form, or
//! refuses them. They follow each other so that none makes again what one before has taken away: what is decoded may be a
//! slash, and what stands between slashes a dot segment. They are never printed as a policy: what it stands for is.

use super::form::{Form, Keyed, Reader, words};
use crate::expression::{Written, condition};
use crate::tree::{Content, Entry, Item, Table};
use portway_model::action::{
    Action, AnswerBody, FixedResponse, Normalization, Phase, Places, Rule,
};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::ListenerDraft;
use portway_model::expression::Template;
use portway_model::settings::Protocol;
use portway_model::span::{Origin, Span};
use portway_model::stage::Named;

/// The key.
pub(super) const KEY: &str = "path_policy";
/// The keys within.
pub(crate) const KEYS: [&str; 6] = [
    "nul",
    "encoded_unreserved",
    "encoded_slashes",
    "backslashes",
    "double_slashes",
    "dot_segments",
];

/// What is done with such a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Keep,
    Normalize,
    Refuse,
}

words!(Treatment, "keep, normalize or refuse", TREATMENTS:
    "keep" => Treatment::Keep,
    "normalize" => Treatment::Normalize,
    "refuse" => Treatment::Refuse,
);

/// Where a path is not in order: one condition for paths that are brought in order, one for those that are refused, which
/// may be more.
struct Subject {
    key: &'static str,
    normalize: &'static str,
    forms: &'static [Normalization],
    refuse: &'static str,
}

/// All of them, in their order.
const SUBJECTS: [Subject; 6] = [
    Subject {
        key: "nul",
        normalize: "",
        forms: &[],
        refuse: "path contains `%00`",
    },
    Subject {
        key: "encoded_unreserved",
        normalize: "path contains `%`",
        forms: &[Normalization::DecodeUnreserved],
        refuse: "path =~ `(?i)%(?:2[de]|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])`",
    },
    Subject {
        key: "encoded_slashes",
        normalize: "path contains `%2f` ignoring_case",
        forms: &[Normalization::DecodeSlashes],
        refuse: "path contains `%2f` ignoring_case",
    },
    Subject {
        key: "backslashes",
        normalize: r"path contains [`\\`, `%5c`] ignoring_case",
        forms: &[Normalization::TurnBackslashes],
        refuse: r"path contains [`\\`, `%5c`] ignoring_case",
    },
    Subject {
        key: "double_slashes",
        normalize: "path contains `//`",
        forms: &[Normalization::MergeSlashes],
        refuse: "path contains `//`",
    },
    Subject {
        key: "dot_segments",
        normalize: "path contains `/.`",
        forms: &[Normalization::StripDot, Normalization::StripDotdotFull],
        // However targets may read it: encoded, between backslashes, with a parameter behind it.
        refuse: r"path =~ `(?i)(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\;]|%2f|%5c|%3b|$)`",
    },
];

/// A percent sign that encodes nothing: what is decoded around it could become an encoding.
const ALONE: &str = "path =~ `(?s)%(?:$|.$|[^0-9A-Fa-f]|.[^0-9A-Fa-f])`";

/// The rules that the policy stands for.
pub(super) fn rules(
    listener: &ListenerDraft,
    table: &Table,
    reader: &mut Reader<'_>,
) -> Vec<Rule<Named>> {
    let Some(entry) = table.get(KEY) else {
        return Vec::new();
    };
    let protocol = listener.protocol.map(|protocol| protocol.value);
    if matches!(protocol, Some(Protocol::Tcp | Protocol::Tls)) {
        let message = "a TCP listener knows no paths";
        let one = Diagnostic::error(Code::Conflict, entry.key_span, message);
        reader.push(one.help("leave `path_policy` out, or write protocol = \"http\""));
        return Vec::new();
    }
    let what = "a table such as { dot_segments = \"normalize\" }";
    let Some(policy) = reader.keyed(&entry.item, what, &KEYS) else {
        return Vec::new();
    };
    let mut rules = Vec::new();
    for subject in &SUBJECTS {
        let stated = policy.entry(subject.key);
        let treatment = match treatment(subject, &policy, reader) {
            Some(treatment) => treatment,
            None => continue,
        };
        let place = stated.map_or(entry.key_span, |it| it.key_span.to(it.item.span));
        rules.extend(subject.rules(treatment, place, reader));
    }
    rules
}

/// What is said of a subject, or holds where nothing is. `None`: what is said cannot be.
fn treatment(subject: &Subject, policy: &Keyed<'_>, reader: &mut Reader<'_>) -> Option<Treatment> {
    let decodes = subject.key == "encoded_unreserved";
    let dots = policy.entry("dot_segments");
    let dots = dots.filter(|dots| decodes && is_normalize(&dots.item));
    let Some(entry) = policy.entry(subject.key) else {
        return Some(match dots {
            Some(_) => Treatment::Normalize,
            None => Treatment::Keep,
        });
    };
    let treatment = Treatment::read(&entry.item, reader)?;
    if treatment == Treatment::Normalize && subject.forms.is_empty() {
        let message = "a NUL in a path has no normal form";
        return reader.refuse(entry.item.span, message, "write \"refuse\" or \"keep\"");
    }
    if let (Treatment::Keep, Some(dots)) = (treatment, dots) {
        refuse_hidden_dots(entry, dots, reader);
        return None;
    }
    Some(treatment)
}

fn is_normalize(item: &Item) -> bool {
    matches!(&item.content, Content::Text { text, .. } if text == "normalize")
}

fn refuse_hidden_dots(entry: &Entry, dots: &Entry, reader: &mut Reader<'_>) {
    let message = "dot segments are resolved, but not where their dots are encoded: `/%2e%2e/`";
    let one = Diagnostic::error(Code::Conflict, entry.item.span, message);
    let help = "write \"normalize\" or \"refuse\", or leave `encoded_unreserved` out";
    reader.push(one.label(dots.item.span, "resolved here").help(help));
}

impl Subject {
    fn rules(
        &self,
        treatment: Treatment,
        place: Span,
        reader: &mut Reader<'_>,
    ) -> Vec<Rule<Named>> {
        let forms = || self.forms.iter().copied().map(Action::Normalize).collect();
        let mut rules = Vec::new();
        let mut add = |when: &str, actions: Vec<Action<Named>>| {
            let written = Written {
                text: when,
                span: place,
                exact: false,
            };
            // The texts are ours.
            if let Some(condition) = condition::parse(written, reader.found) {
                rules.push(Rule {
                    phase: Phase::Request,
                    condition,
                    actions,
                    origin: Origin(place),
                    places: Places::default(),
                });
            }
        };
        match treatment {
            Treatment::Keep => {}
            Treatment::Normalize => {
                if self.key == "encoded_unreserved" {
                    add(ALONE, vec![refusal()]);
                }
                add(self.normalize, forms());
            }
            Treatment::Refuse => add(self.refuse, vec![refusal()]),
        }
        rules
    }
}

fn refusal() -> Action<Named> {
    Action::Deny(FixedResponse {
        status: 400,
        content_type: None,
        body: AnswerBody::Text(Template::text("")),
        headers: Vec::new(),
    })
}
