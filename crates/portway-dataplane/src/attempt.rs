//! The attempt at a target that is being made, and what one begins with: nothing of the response of the attempt before it.
//!
//! A response may fail after rules have seen it and before anything of it has reached the client: its body does not come, or is not
//! in its coding. Whatever it left in the exchange must not be joined to the response of the next target, nor count for it. What
//! rules did to others (counters, maps, variables of the process) is done.

use crate::deadline::NewTimeouts;
use crate::exchange::Exchange;
use crate::group::Generation;
use crate::policy::Side;
use crate::record::LogWish;
use crate::reply;
use portway_model::name::Name;
use portway_model::snapshot::GroupId;
use std::cell::Cell;
use std::time::Duration;

/// Targets that an exchange is known to have tried before its last one; of more the first are.
pub(crate) const EARLIER_TARGETS: usize = 16;

/// The names of the targets of attempts before the last, in order. An exchange with one attempt keeps nothing.
#[derive(Debug, Default)]
pub(crate) struct Earlier(Vec<Name>);

impl Earlier {
    /// Another attempt follows the one at this target.
    #[cold]
    pub(crate) fn push(&mut self, generation: &Generation, (group, target): (GroupId, usize)) {
        let group = generation.group(group);
        let target = group.and_then(|(group, ..)| group.targets.get(target));
        if let Some(target) = target.filter(|_| self.0.len() < EARLIER_TARGETS) {
            self.0.push(target.name.clone());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn names(&self) -> &[Name] {
        &self.0
    }
}

/// The attempt that is being made or was made last.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) group: Option<GroupId>,
    pub(crate) target: Option<usize>,
    /// Where the exchange ended in a queue: the one target that it waited for.
    pub(crate) waited_for: Option<usize>,
    pub(crate) reused: bool,
    /// What its target has answered.
    pub(crate) status: Option<u16>,
    /// Its response is a good one once it is whole, and took so long until its head came.
    pub(crate) good: Cell<Option<Duration>>,
    /// What rules on its response may change.
    pub(crate) before_response: Option<BeforeResponse>,
}

/// What rules on a response may change of what those on the request said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BeforeResponse {
    timeouts: NewTimeouts,
    log: LogWish,
}

/// The response of the attempt is shown to rules from now on.
#[inline]
pub(crate) fn response_begins(x: &mut Exchange<'_>) {
    x.scratch.variables.end_request();
    x.attempt.before_response = Some(BeforeResponse {
        timeouts: x.scratch.timeouts,
        log: x.ledger.log,
    });
}

/// Another attempt follows the one that has failed.
#[cold]
pub(crate) fn follows(x: &mut Exchange<'_>) {
    reply::forget_response(x);
    x.response_body = None;
    x.kept.forget_response();
    let scratch = &mut *x.scratch;
    scratch.response_body.clear();
    scratch.variables.forget_response();
    scratch.captures.forget(Side::Response);
    let ledger = &mut x.ledger;
    if let Some(before) = x.attempt.before_response.take() {
        scratch.timeouts = before.timeouts;
        ledger.log = before.log;
    }
    ledger.uploaded.set(None);
    ledger.response_head = None;
    ledger.response_size = 0;
    ledger.response_cookie = None;
    ledger.upstream_local = None;
    ledger.upstream_tls = None;
}
