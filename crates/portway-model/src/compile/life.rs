//! How long connections of HTTP are used, and what has no effect by the protocol.

use super::limits;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::GroupDraft;
use crate::life::{ConnectionLife, ConnectionLifeDraft};
use crate::settings::Protocol;
use crate::span::Span;

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

/// Reports what a group says that has no effect with what it speaks.
pub(super) fn of_other_protocol(found: &mut Diagnostics, draft: &GroupDraft, protocol: Protocol) {
    let bodies = draft.retry_body_bytes.filter(|it| it.value > 0);
    let first = draft.timeouts.inspect_response;
    let said: [(Option<Span>, bool, &str); 2] = [
        (
            bodies.map(|it| it.span),
            protocol.is_http(),
            "a stream has no bodies that could be held",
        ),
        (
            first.map(|it| it.span),
            !protocol.is_http(),
            "what a target of HTTP sends first is a response: rules of the `response` phase see it",
        ),
    ];
    for (span, fits, message) in said {
        if let Some(span) = span.filter(|_| !fits) {
            let one = Diagnostic::warning(Code::Unused, span, message);
            found.push(one.help("leave it out"));
        }
    }
}
