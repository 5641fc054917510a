//! Answers of targets that stand for "not by me": which of them are tried again elsewhere, in place of being passed on.
//!
//! A status that the configuration names is tried again because it says so. Three answers say more of themselves. With 421 the
//! target is not the one for the request (RFC 9110 section 15.5.20), with 425 it does not do what may have come in early data (RFC
//! 8470 section 5.2): both have not done it, so any method may be sent once more. 503 with Retry-After says when to come again, and
//! proves nothing of what was done: only a request that may be done twice goes elsewhere at once, and only where that is wanted.
//!
//! The first two need no configuration: what was not done is safe to ask for again, once in an exchange, however many attempts failed
//! otherwise. A second target that says the same is believed, and its answer is the client's; where nobody else answers, the first
//! one is (see [`set_aside`](crate::set_aside)).

use crate::exchange::Exchange;
use crate::serve;
use portway_model::choice::RetryOn;
use portway_model::snapshot::TargetGroup;

/// Why an answer is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It says that nothing was done, and nobody has to be asked.
    Undone,
    /// The configuration names it.
    Named,
}

/// Why this answer is tried again rather than passed on; `response`: what the ranges of its head are over.
pub(crate) fn tried_again(
    x: &Exchange<'_>,
    group: &TargetGroup,
    status: u16,
    response: &[u8],
) -> Option<Why> {
    let request = serve::repeatable(x);
    let in_time = |time| request.came.elapsed() < time;
    let may = || {
        request.replayable
            && x.ledger.attempts <= group.retries
            && group.retry_within.is_none_or(in_time)
    };
    let why = of_status(x, group, (status, response), request.idempotent)?;
    may().then_some(why)
}

fn of_status(
    x: &Exchange<'_>,
    group: &TargetGroup,
    (status, response): (u16, &[u8]),
    idempotent: bool,
) -> Option<Why> {
    let is_safe = || !x.scratch.set_aside.undone && says_undone(x, status);
    let safe = || is_safe().then_some(Why::Undone);
    let Some(on) = group.retry_on.as_deref() else {
        return safe();
    };
    let may_repeat = idempotent || !group.retry_idempotent_only;
    let names = |on: &RetryOn| match *on {
        RetryOn::Misdirected => status == 421,
        RetryOn::TooEarly => status == 425 && !came_early(x),
        RetryOn::Unavailable => status == 503 && idempotent && says_when(x, response),
        RetryOn::Status(wanted) => status == wanted && may_repeat,
        RetryOn::Statuses(from, to) => (from..=to).contains(&status) && may_repeat,
        _ => false,
    };
    if on.iter().any(names) {
        return Some(Why::Named);
    }
    on.contains(&RetryOn::Safe).then(safe).flatten()
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
