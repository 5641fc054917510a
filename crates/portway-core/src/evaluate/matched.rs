//! What a group of a regular expression finds in a value.

use super::fetched::Scratch;
use super::{Facts, fetch, transform};
use portway_model::expression::{MatchGroup, Matched};
use portway_model::stage::Resolved;
use std::ops::ControlFlow::{Break, Continue};

/// The bytes of the group, in the first occurrence and by the first pattern that is found.
pub(super) fn found<F: Facts>(matched: &Matched<Resolved>, facts: &F) -> Option<Vec<u8>> {
    let within = matched.within.as_ref()?;
    let mut found = None;
    fetch::each(&within.expression.value, facts, &mut |fetched| {
        let fetched = transform::apply_all(&within.expression.transforms, fetched, facts);
        let mut scratch = Scratch::new();
        let Some(text) = fetched.text(&mut scratch) else {
            return Continue(());
        };
        let mut patterns = within.any_of.iter();
        let Some(captures) = patterns.find_map(|pattern| pattern.captures(text)) else {
            return Continue(());
        };
        let group = match &matched.group {
            MatchGroup::Number(number) => captures.get(usize::from(*number)),
            MatchGroup::Name(name) => captures.name(name),
        };
        found = group.map(|group| group.as_bytes().to_vec());
        Break(())
    });
    found
}
