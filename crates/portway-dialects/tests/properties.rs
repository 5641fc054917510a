//! Properties of the native dialect over generated configurations, and over any bytes.
#![cfg(test)]

use portway_dialects::expression::{self, Written};
use portway_dialects::{condition, native, template};
use portway_model::action::Phase;
use portway_model::compile::compile;
use portway_model::diagnostic::Diagnostics;
use portway_model::expression::{Template, TemplatePart};
use portway_model::lift::lift;
use portway_model::span::FileId;
use portway_model::stage::Named;
use portway_testkit::generate::{self, Place};
use proptest::prelude::*;

/// Every phase and the log, with and without TLS, of listeners and of groups.
fn places() -> impl Strategy<Value = Place> {
    let phases = Phase::ALL.into_iter().map(Some).chain([None]);
    let phase = proptest::sample::select(phases.collect::<Vec<_>>());
    (phase, any::<bool>(), any::<bool>()).prop_map(|(phase, tls, group)| Place {
        phase,
        tls,
        group,
    })
}

/// Texts that stand side by side as one, as a parser gives them.
fn joined(template: Template<Named>) -> Template<Named> {
    let mut parts: Vec<TemplatePart<Named>> = Vec::new();
    for part in template.0 {
        match (parts.last_mut(), part) {
            (_, TemplatePart::Text(text)) if text.is_empty() => {}
            (Some(TemplatePart::Text(before)), TemplatePart::Text(text)) => before.push_str(&text),
            (_, part) => parts.push(part),
        }
    }
    Template(parts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is printed parses without a finding and means the same.
    #[test]
    fn drafts_print_and_parse(draft in generate::drafts()) {
        let text = native::print(&draft);
        let (again, found) = native::parse(FileId(0), &text);
        prop_assert!(found.is_empty(), "{found:?}\n{text}");
        prop_assert_eq!(native::print(&again), text.clone());
        prop_assert_eq!(compile(&again).0, compile(&draft).0, "{}", text);
    }

    /// A snapshot lifted, printed, parsed and compiled is the same snapshot.
    #[test]
    fn snapshots_print_and_compile(draft in generate::drafts()) {
        let snapshot = compile(&draft).0;
        let Some(snapshot) = snapshot else {
            return Err(TestCaseError::fail("generated drafts compile"));
        };
        let text = native::print(&lift(&snapshot));
        let (again, found) = native::parse(FileId(0), &text);
        prop_assert!(found.is_empty(), "{found:?}\n{text}");
        let (same, found) = compile(&again);
        prop_assert_eq!(same, Some(snapshot), "{:?}\n{}", found, text);
    }

    #[test]
    fn conditions_print_and_parse(
        condition in places().prop_flat_map(generate::conditions)
    ) {
        let text = condition::print(&condition);
        let mut found = Diagnostics::default();
        let again = condition::parse(Written::bare(&text), &mut found);
        prop_assert!(found.is_empty(), "{found:?}\n{text}");
        prop_assert_eq!(again, Some(condition), "{}", text);
    }

    #[test]
    fn templates_print_and_parse(template in places().prop_flat_map(generate::templates)) {
        let text = template::print(&template);
        let mut found = Diagnostics::default();
        let again = template::parse(Written::bare(&text), &mut found);
        prop_assert!(found.is_empty(), "{found:?}\n{text}");
        prop_assert_eq!(again, Some(joined(template)), "{}", text);
    }

    /// No text makes the parser panic, and what it took prints to something that it takes again.
    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,200}") {
        parses_calmly(&text);
    }

    /// As above, from pieces that come far into the parser.
    #[test]
    fn any_pieces_are_taken_or_refused(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..40)
    ) {
        parses_calmly(&pieces.concat());
    }
}

const PIECES: [&str; 48] = [
    "[listener.web]\n",
    "[[listener.web.rule]]\n",
    "[target_group.app]\n",
    "[process]\n",
    "[map.m]\n",
    "bind = ",
    "forward = ",
    "when = ",
    "targets = ",
    "actions = ",
    "set_header = ",
    "health_check = ",
    "\"app\"",
    "\":80\"",
    "'Host(`a`)'",
    "\"10.0.0.1:80\"",
    "{ ",
    " }",
    "[",
    "]",
    ", ",
    "\n",
    "=",
    ".",
    "host",
    "header",
    "(",
    ")",
    "`x`",
    " && ",
    " || ",
    "!",
    " == ",
    " in ",
    "..",
    "5",
    "-7",
    "${",
    "}",
    "$",
    "\\",
    "\"",
    "'''",
    "\u{e9}",
    "\u{0}",
    "var.exchange.x",
    ".lower()",
    "# c\n",
];

fn parses_calmly(text: &str) {
    let (draft, found) = native::parse(FileId(0), text);
    for diagnostic in &found {
        for label in &diagnostic.labels {
            assert!(label.span.range().end <= text.len(), "{diagnostic:?}");
        }
    }
    drop(compile(&draft));
    let mut ignored = Diagnostics::default();
    let printed = native::print(&draft);
    let (again, found) = native::parse(FileId(0), &printed);
    assert!(found.is_empty(), "{found:?}\n{printed}");
    assert_eq!(again, draft, "{printed}");
    if let Some(condition) = condition::parse(Written::bare(text), &mut ignored) {
        let printed = condition::print(&condition);
        let again = condition::parse(Written::bare(&printed), &mut ignored);
        assert_eq!(again, Some(condition), "{printed}");
    }
    if let Some(template) = template::parse(Written::bare(text), &mut ignored) {
        let printed = template::print(&template);
        let again = template::parse(Written::bare(&printed), &mut ignored);
        assert_eq!(again, Some(template), "{printed}");
    }
    drop(expression::parse(Written::bare(text), &mut ignored));
}
