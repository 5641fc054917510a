//! Answers of targets that stand for "not by me": which of them are tried again elsewhere, in place of being passed on.
//!
//! A status that the configuration names is tried again because it says so. Three answers say more of themselves. With 421 the
//! target is not the one for the request (RFC 9110 section 15.5.20), with 425 it does not do what may have come in early data (RFC
//! 8470 section 5.2): both have not done it, so any method may be sent once more. 503 with Retry-After says when to come again, and
//! proves nothing of what was done: only a request that may be done twice goes elsewhere at once, and only where that is wanted.
//!
//! The first two need no configuration: what was not done is safe to ask for again, once. A second target that says the same is
//! believed, and its answer is the client's.

use crate::exchange::Exchange;
use crate::serve;
use portway_model::choice::RetryOn;
use portway_model::snapshot::TargetGroup;

/// True where this answer is tried again rather than passed on; `response`: what the ranges of its head are over.
pub(crate) fn is_tried_again(
    x: &Exchange<'_>,
    group: &TargetGroup,
    status: u16,
    response: &[u8],
) -> bool {
    let request = serve::repeatable(x);
    let may = || {
        let in_time = |time| request.came.elapsed() < time;
        request.replayable
            && x.ledger.attempts <= group.retries
            && group.retry_within.is_none_or(in_time)
    };
    let is_safe = || x.ledger.attempts <= 1 && says_undone(x, status);
    let Some(on) = group.retry_on.as_deref() else {
        return is_safe() && may();
    };
    let names = |on: &RetryOn| {
        let may_repeat = request.idempotent || !group.retry_idempotent_only;
        match *on {
            RetryOn::Safe => is_safe(),
            RetryOn::Misdirected => status == 421,
            RetryOn::TooEarly => status == 425 && !came_early(x),
            RetryOn::Unavailable => status == 503 && request.idempotent && says_when(x, response),
            RetryOn::Status(wanted) => status == wanted && may_repeat,
            RetryOn::Statuses(from, to) => (from..=to).contains(&status) && may_repeat,
            _ => false,
        }
    };
    may() && on.iter().any(names)
}

/// True for an answer that says of itself that nothing was done.
fn says_undone(x: &Exchange<'_>, status: u16) -> bool {
    status == 421 || (status == 425 && !came_early(x))
}

/// True where somebody before us had the request in early data, and is who may send it again (RFC 8470 section 5.2).
fn came_early(x: &Exchange<'_>) -> bool {
    let fields = x.request().fields();
    fields
        .values_named(b"early-data", x.arena())
        .next()
        .is_some()
}

fn says_when(x: &Exchange<'_>, response: &[u8]) -> bool {
    let fields = x.scratch.response.fields();
    fields
        .values_named(b"retry-after", response)
        .next()
        .is_some()
}
