//! Native files: no panic, places within the text, and what was read prints to something that reads as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_dialects::expression::Written;
use portway_dialects::{condition, native, template};
use portway_model::compile::compile;
use portway_model::diagnostic::Diagnostics;
use portway_model::lift::lift;
use portway_model::span::FileId;

fuzz_target!(|text: &str| {
    let (draft, found) = native::parse(FileId(0), text);
    for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
        assert!(label.span.range().end <= text.len());
    }
    let printed = native::print(&draft);
    let (again, found) = native::parse(FileId(0), &printed);
    assert!(found.is_empty(), "{found:?}\n{printed}");
    assert_eq!(again, draft, "{printed}");
    if let (Some(snapshot), _) = compile(&draft) {
        let printed = native::print(&lift(&snapshot));
        let (lifted, found) = native::parse(FileId(0), &printed);
        assert!(found.is_empty(), "{found:?}\n{printed}");
        assert_eq!(compile(&lifted).0, Some(snapshot), "{printed}");
    }
    expressions(text);
});

/// The whole text as a condition and as a template.
fn expressions(text: &str) {
    let mut found = Diagnostics::default();
    if let Some(condition) = condition::parse(Written::bare(text), &mut found) {
        let printed = condition::print(&condition);
        let again = condition::parse(Written::bare(&printed), &mut found);
        assert_eq!(again, Some(condition), "{printed}");
    }
    if let Some(template) = template::parse(Written::bare(text), &mut found) {
        let printed = template::print(&template);
        let again = template::parse(Written::bare(&printed), &mut found);
        assert_eq!(again, Some(template), "{printed}");
    }
}
