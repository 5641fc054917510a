//! Steps that set and unset variables on the way.

use super::{Facts, Fetched};
use portway_model::expression::{SetWhen, Transform};
use portway_model::stage::Resolved;

/// What stands before the step, where the variable was set or unset.
pub(super) fn apply<'a, F: Facts>(
    step: &Transform<Resolved>,
    fetched: Fetched<'a>,
    facts: &F,
) -> Fetched<'a> {
    if !fetched.is_present() {
        return fetched;
    }
    let done = match step {
        Transform::SetVariable { variable, when } => {
            let old = facts.variable(variable);
            when.iter().all(|when| holds(*when, &old, &fetched))
                && facts.keep_variable(variable, fetched.lent().into_owned())
        }
        Transform::UnsetVariable(variable) => {
            facts.variable(variable).is_present() && facts.keep_variable(variable, Fetched::Absent)
        }
        _ => true,
    };
    if done { fetched } else { Fetched::Absent }
}

fn holds(when: SetWhen, old: &Fetched<'_>, new: &Fetched<'_>) -> bool {
    let is_empty = || matches!(new, Fetched::Bytes(bytes) if bytes.is_empty());
    // Only numbers are compared: anything else is set.
    let compared = |differs: fn(&i64, &i64) -> bool| match (old, new) {
        (Fetched::Number(old), Fetched::Number(new)) => differs(old, new),
        _ => true,
    };
    match when {
        SetWhen::Set => old.is_present(),
        SetWhen::NotSet => !old.is_present(),
        SetWhen::Empty => is_empty(),
        SetWhen::NotEmpty => !is_empty(),
        SetWhen::Greater => compared(i64::gt),
        SetWhen::Less => compared(i64::lt),
    }
}
