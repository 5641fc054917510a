//! What follows a failed attempt: nothing, or another one, and where. The rules themselves are in `portway_core::retry`.

use crate::connection::Connection;
use crate::fault::Fault;
use portway_core::balance::Tried;
use portway_core::retry::{Next, Retry, Stage, may_retry};
use portway_model::choice::{Algorithm, RetryOn, RetryTo};
use portway_model::snapshot::{GroupId, TargetGroup};
use portway_telemetry::record::FaultCode;
use std::future::poll_fn;
use std::time::{Duration, Instant};

/// How long HAProxy waits before it tries the same target again, where the connect timeout is not shorter.
const SAME_TARGET: Duration = Duration::from_secs(1);

/// The attempts of one exchange or connection.
#[derive(Debug)]
pub(crate) struct Attempts {
    group: GroupId,
    /// Targets that are not to be chosen again.
    pub(crate) tried: Tried,
    /// Where the next attempt must go.
    pub(crate) bound: Option<usize>,
    /// Stickiness names the target of the attempt.
    sticky: bool,
    /// And a rule forces it.
    pub(crate) forced: bool,
    /// A connection that waits in a pool will do.
    pub(crate) pooled: bool,
    made: u32,
    /// Those that a target may have seen, and left without an answer.
    unanswered: u32,
}

/// What the request allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeatable {
    /// It may be done twice.
    pub(crate) idempotent: bool,
    /// All of it can be sent again.
    pub(crate) replayable: bool,
    /// When it came.
    pub(crate) came: Instant,
}

impl Attempts {
    /// None was made yet; `bound`: stickiness names a target; `forced`: and it may not be left.
    pub(crate) fn new(group: GroupId, bound: Option<usize>, forced: bool) -> Self {
        Self {
            group,
            tried: Tried::default(),
            bound,
            sticky: bound.is_some(),
            forced: forced && bound.is_some(),
            pooled: true,
            made: 0,
            unanswered: 0,
        }
    }

    /// Counts one that begins.
    pub(crate) fn begin(&mut self) {
        self.made += 1;
    }

    /// How many were made.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// True where the target may be left although stickiness names it: others may take what it cannot.
    pub(crate) fn may_leave(&self, connection: &Connection) -> bool {
        let group = connection.generation.group(self.group);
        let stays = |to: RetryTo| to == RetryTo::Same || self.forced;
        self.sticky && !matches!(group, Some((group, _, _)) if stays(group.retry_to))
    }

    /// True while the attempt goes where stickiness wants it.
    pub(crate) fn is_kept(&self) -> bool {
        self.sticky
    }

    /// It goes on with other targets of its group, among which those that it had have other places.
    pub(crate) fn moved_to(&mut self, group: GroupId) {
        self.group = group;
        self.leave();
    }

    /// Leaves the target that stickiness names.
    pub(crate) fn leave(&mut self) {
        (self.bound, self.sticky) = (None, false);
    }

    /// Decides what follows the failure of an attempt at `target`, and waits where that is part of it, for as long as is `left`
    /// at most (`None`: as long as that takes). False: nothing.
    pub(crate) async fn again(
        &mut self,
        connection: &Connection,
        fault: Fault,
        target: usize,
        (request, left): (Repeatable, Option<Duration>),
    ) -> bool {
        let Some((group, parts, _)) = connection.generation.group(self.group) else {
            return false;
        };
        self.unanswered += u32::from(fault.stage == Some(Stage::Sent));
        if !self.is_allowed(group, fault, request) {
            return false;
        }
        let reused = fault.stage == Some(Stage::ReusedClosedBeforeResponse);
        // What no target has seen costs none of them anything; for an answer that is left unsaid it was spent already.
        let is_free = matches!(fault.stage, Some(Stage::Connect | Stage::Refused)) || reused;
        if !is_free && !spend(connection, self.group) {
            return false;
        }
        if !group.retry_backoff.is_zero() && !reused {
            let waiting = back_off(connection, (group.retry_backoff, left), self.made);
            Box::pin(waiting).await;
        }
        // Who says that it is not the one for a request may be so on this connection alone (RFC 9110 section 15.5.20).
        let misdirected = fault.status == Some(421);
        self.pooled &= !reused && !misdirected;
        let every = match group.retry_to {
            _ if self.forced => 0,
            RetryTo::Another => {
                if !reused {
                    self.tried.insert(target);
                    (self.bound, self.sticky) = (None, false);
                }
                return true;
            }
            RetryTo::Same => 0,
            RetryTo::SameThenAnother { every } => every,
        };
        let up = |index: &usize| {
            let state = parts.targets.get(*index);
            state.is_some_and(|state| state.health().is_usable())
        };
        let active = (0..parts.targets.len()).filter(up).count();
        let turns = matches!(
            group.algorithm,
            Algorithm::RoundRobin | Algorithm::StaticRoundRobin
        ) || matches!(group.algorithm, Algorithm::Random { .. });
        let next = Retry {
            number: self.made,
            limit: group.retries,
            bound: self.sticky,
            down: !up(&target),
            turns: turns && active > 1,
        }
        .next(every);
        let (waits, delay) = (
            next == Next::Same || !turns || active <= 1,
            SAME_TARGET.min(group.timeouts.connect),
        );
        match next {
            Next::Same => self.bound = Some(target),
            Next::Another => {
                self.tried = Tried::default();
                self.tried.insert(target);
                (self.bound, self.sticky) = (None, false);
            }
        }
        let waits = waits && group.retry_backoff.is_zero();
        if waits && fault.stage == Some(Stage::Connect) {
            Box::pin(pause(connection, delay)).await;
        }
        true
    }

    fn is_allowed(&self, group: &TargetGroup, fault: Fault, request: Repeatable) -> bool {
        let in_time = |time| request.came.elapsed() < time;
        let Some(stage) = fault.stage else {
            return false;
        };
        if !group.retry_within.is_none_or(in_time) {
            return false;
        }
        let is_safe = || {
            let limit = group.retries + 1;
            let (idempotent, replayable) = (request.idempotent, request.replayable);
            let attempts = (self.made, self.unanswered);
            may_retry(stage, idempotent, replayable, attempts, limit)
        };
        if stage == Stage::Refused {
            // Looked at when it came.
            return self.made <= group.retries;
        }
        let Some(on) = &group.retry_on else {
            return is_safe();
        };
        let kind = match (stage, fault.code) {
            (Stage::Connect, _) => RetryOn::ConnectFailure,
            (_, FaultCode::ResponseTimeout | FaultCode::AttemptTimeout) => RetryOn::ResponseTimeout,
            (_, FaultCode::BadResponse(_)) => RetryOn::JunkResponse,
            (Stage::Sent | Stage::ReusedClosedBeforeResponse, _) => RetryOn::EmptyResponse,
            _ => return false,
        };
        let may_repeat = request.idempotent || !group.retry_idempotent_only;
        let repeatable = kind == RetryOn::ConnectFailure || (request.replayable && may_repeat);
        (self.made <= group.retries && repeatable && on.contains(&kind))
            || (on.contains(&RetryOn::Safe) && is_safe())
    }
}

/// Spends a retry of a group, where there is one to spend.
pub(crate) fn spend(connection: &Connection, id: GroupId) -> bool {
    let Some((group, _, run)) = connection.generation.group(id) else {
        return false;
    };
    if group.retry_budget == 0 {
        return true;
    }
    let metrics = connection.of_group(id);
    let (now, requests) = (connection.worker.timers.now(), metrics.sessions.value());
    let mut budget = run.budget.get();
    let may = budget.take(now, requests, group.retry_budget);
    run.budget.set(budget);
    if !may {
        metrics.retries_refused.add(1);
    }
    may
}

/// The longest wait before a retry, in first ones.
const MOST_BACKOFF: u32 = 10;

/// Waits before an attempt that follows so many: twice as long as before the last one, half of it by chance, so that clients whose
/// requests failed together do not come together again.
async fn back_off(connection: &Connection, (first, left): (Duration, Option<Duration>), made: u32) {
    let times = 1_u32
        .checked_shl(made.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let longest = first.saturating_mul(times.clamp(1, MOST_BACKOFF));
    let part = u32::try_from(connection.worker.random() % 1000).unwrap_or(0);
    let wait = longest / 2 + longest / 2000 * part;
    match left {
        // The exchange ends before it: at the tick by which that is judged.
        Some(left) if left <= wait => pause(connection, wait).await,
        _ => tokio::time::sleep(wait).await,
    }
}

async fn pause(connection: &Connection, delay: Duration) {
    connection.timer.set(delay);
    poll_fn(|cx| connection.timer.poll(cx)).await;
}
