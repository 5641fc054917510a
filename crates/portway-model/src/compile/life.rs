//! How long connections of HTTP are used.

use super::limits;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::life::{ConnectionLife, ConnectionLifeDraft};
use crate::settings::Protocol;

/// What is said, or no limit; reports what has no effect.
pub(super) fn life(
    found: &mut Diagnostics,
    draft: &ConnectionLifeDraft,
    protocol: Protocol,
) -> ConnectionLife {
    let requests = draft.max_requests.filter(|it| it.value > 0);
    let said = requests
        .map(|it| it.span)
        .or(draft.max_age.map(|it| it.span));
    if let Some(span) = said.filter(|_| !protocol.is_http()) {
        let message = "a connection that carries no requests is not ended between two of them";
        let help = "leave it out: `timeouts.tunnel` ends connections that are silent";
        found.push(Diagnostic::warning(Code::Unused, span, message).help(help));
    }
    ConnectionLife {
        max_requests: requests.map_or(0, |it| it.value),
        max_age: limits::optional_duration(found, "the age of a connection", draft.max_age),
    }
}
