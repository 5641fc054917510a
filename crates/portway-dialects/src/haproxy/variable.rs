//! Names of variables: `txn.host`.

use portway_model::expression::{Scope, Variable};
use portway_model::name::Name;

/// What HAProxy calls the life times, and ours.
const SCOPES: &[(&str, Scope)] = &[
    ("proc", Scope::Process),
    ("sess", Scope::Connection),
    ("txn", Scope::Exchange),
    ("req", Scope::Request),
    ("res", Scope::Response),
    ("check", Scope::Check),
];

/// The variable of this name; the error says what is wrong with it.
pub(crate) fn variable(text: &str) -> Result<Variable, String> {
    let scoped = text.split_once('.').and_then(|(scope, name)| {
        let (_, scope) = SCOPES.iter().find(|(known, _)| *known == scope)?;
        Some((*scope, name))
    });
    let Some((scope, name)) = scoped else {
        return Err(format!(
            "'{text}' is no variable: it begins with its life time, 'proc.', 'sess.', 'txn.', 'req.' or 'res.'"
        ));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!(
            "'{text}' is no variable: its name has letters, digits, '_', '-' and '.'"
        ));
    }
    Ok(Variable {
        scope,
        name: Name::new(name),
    })
}
