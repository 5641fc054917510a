//! Properties of the model over generated drafts.
#![cfg(test)]

use portway_model::compile::compile;
use portway_model::diagnostic::Severity;
use portway_model::draft::Draft;
use portway_model::lift::lift;
use portway_model::merge::merge;
use portway_testkit::generate::drafts;
use proptest::prelude::*;

/// What is wrong with a draft, for the message of a failing case.
fn errors(draft: &Draft) -> Vec<String> {
    let (_, found) = compile(draft);
    let errors = found.iter().filter(|x| x.severity == Severity::Error);
    errors
        .map(|x| format!("{}: {}", x.code, x.message))
        .collect()
}

proptest! {
    #[test]
    fn generated_drafts_compile(draft in drafts()) {
        prop_assert_eq!(errors(&draft), Vec::<String>::new());
    }

    #[test]
    fn what_is_lifted_compiles_to_the_same(draft in drafts()) {
        let Some(first) = compile(&draft).0 else {
            return Err(TestCaseError::fail("does not compile"));
        };
        let lifted = lift(&first);
        prop_assert_eq!(errors(&lifted), Vec::<String>::new());
        let second = compile(&lifted).0;
        prop_assert_eq!(second.as_ref(), Some(&first));
        // What is left out stays left out.
        prop_assert_eq!(lift(&first), second.map(|second| lift(&second)).unwrap_or_default());
    }

    #[test]
    fn one_source_is_merged_into_itself(draft in drafts()) {
        let (merged, found) = merge(vec![draft.clone()]);
        prop_assert!(found.is_empty());
        prop_assert_eq!(merged, draft);
    }

    #[test]
    fn broken_drafts_do_not_panic(mut draft in drafts(), other in drafts()) {
        // Objects of two drafts: names and addresses twice, references into nothing, protocols that do not fit.
        draft.listeners.extend(other.listeners);
        draft.groups.truncate(1);
        draft.groups.extend(other.groups);
        draft.maps = other.maps;
        draft.stick_tables = other.stick_tables;
        let (snapshot, found) = compile(&draft);
        prop_assert_eq!(snapshot.is_none(), found.has_errors());
    }
}
