//! The middleware `retry`, and `retryExpression` of `buffering`: how often servers are tried, and after what.

use super::super::schema::Section;
use super::Lowering;
use super::chain::Chain;
use super::retry_expression;
use portway_model::choice::RetryOn;
use portway_model::compile::limits::MAX_KEPT_BODY;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::GroupDraft;
use portway_model::expression::NumberRange;
use portway_model::span::{Span, Spanned};
use std::time::Duration;

/// How often a server is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempts {
    /// In all.
    most: u32,
    /// How long the first beyond the first waits.
    backoff: Duration,
    /// None begins later than this.
    within: Option<Duration>,
    /// What is tried again, where it is not only what is safe.
    on: Vec<RetryOn>,
    /// Whatever the method.
    any_method: bool,
    /// Bytes of a body that is held for another attempt.
    body_bytes: u32,
}

impl Attempts {
    /// What tells a group that is tried so from the same one without.
    pub(super) fn suffix(&self) -> String {
        let mut parts = vec![format!("retry {}", self.most)];
        if !self.backoff.is_zero() {
            parts.push(format!("{:?}", self.backoff));
        }
        parts.extend(self.within.map(|within| format!("within {within:?}")));
        let statuses = self.on.iter().filter_map(|on| match on {
            RetryOn::Status(status) => Some(status.to_string()),
            RetryOn::Statuses(from, to) => Some(format!("{from}-{to}")),
            _ => None,
        });
        parts.extend(statuses);
        if !self.on.is_empty() && !self.on.contains(&RetryOn::ConnectFailure) {
            parts.push("answers alone".to_owned());
        }
        if self.any_method {
            parts.push("any method".to_owned());
        }
        if !self.on.is_empty() && self.body_bytes != MAX_KEPT_BODY {
            parts.push(format!("bodies of {} bytes", self.body_bytes));
        }
        format!(" ({})", parts.join(", "))
    }

    /// Has a group tried so.
    pub(super) fn apply(&self, group: &mut GroupDraft, at: Span) {
        group.retries = Some(Spanned::new(self.most.saturating_sub(1), at));
        let backoff = Some(self.backoff).filter(|it| !it.is_zero());
        group.retry_backoff = backoff.map(|it| Spanned::new(it, at));
        group.retry_within = self.within.map(|it| Spanned::new(it, at));
        if self.on.is_empty() {
            return;
        }
        let on = self.on.iter().map(|on| Spanned::new(*on, at)).collect();
        group.retry_on = Some(Spanned::new(on, at));
        group.retry_body_bytes = Some(Spanned::new(self.body_bytes, at));
        if !self.any_method {
            group.retry_idempotent_only = Some(Spanned::new(true, at));
        }
        // Traefik has no budget.
        group.retry_budget = Some(Spanned::new(0, at));
    }
}

/// Bytes of a body that is held: Traefik's default, two megabytes, is more than we hold, as no limit is.
fn body_bytes(section: &Section) -> u32 {
    let said = section.number("maxRequestBodyBytes");
    let said = said.and_then(|it| u32::try_from(it.value).ok());
    // Of `buffering`, 0 is no limit.
    let said = said.filter(|it| *it > 0 || section.get("attempts").is_some());
    said.unwrap_or(MAX_KEPT_BODY).min(MAX_KEPT_BODY)
}

impl Lowering<'_> {
    /// Has the services behind it tried again.
    pub(super) fn retry(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let attempts = section.number("attempts").map_or(0, |it| it.value);
        let Some(most) = u32::try_from(attempts).ok().filter(|it| *it > 0) else {
            let message = "a retry without `attempts`, 1 or more";
            return self.error(Code::OutOfRange, at, message);
        };
        let only_answers = section.is_on("disableRetryOnNetworkError");
        let on = self.tried_again(section, only_answers);
        if only_answers && on.is_empty() {
            let message = "a retry of neither failed connections nor answers";
            let one = Diagnostic::error(Code::Missing, at, message);
            let help = "give `status`, or leave out `disableRetryOnNetworkError`";
            return self.refused(one.help(help));
        }
        let time = |name: &str| {
            let time = section.duration(name).map(|it| it.value);
            time.filter(|it| !it.is_zero())
        };
        let attempts = Attempts {
            most,
            backoff: time("initialInterval").unwrap_or_default(),
            within: time("timeout"),
            on,
            any_method: section.is_on("retryNonIdempotentMethod"),
            body_bytes: body_bytes(section),
        };
        self.tried_so(attempts, chain, at);
    }

    fn tried_so(&mut self, attempts: Attempts, chain: &mut Chain, at: Span) {
        if chain.attempts.as_ref().is_some_and(|it| *it != attempts) {
            let message = "another middleware of the router has its requests made again too";
            let one = Diagnostic::error(Code::Conflict, at, message);
            return self.refused(one.help("retries of retries are not done: take one of them out"));
        }
        chain.attempts = Some(attempts);
    }

    /// Has the services behind it tried again as `buffering.retryExpression` says.
    pub(super) fn retry_expression(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let Some(said) = section.some_text("retryExpression") else {
            return;
        };
        let again = match retry_expression::read(said.value) {
            Ok(Some(again)) => again,
            Ok(None) => {
                let message = "`retryExpression` never holds";
                return self.refused(Diagnostic::warning(Code::Unused, said.span, message));
            }
            Err((message, help)) => {
                let one = Diagnostic::error(Code::OutOfRange, said.span, message);
                return self.refused(one.help(help));
            }
        };
        // A connection that does not come about is a 502 of Traefik's own.
        let has_502 = again
            .statuses
            .iter()
            .any(|it| it.min <= 502 && 502 <= it.max);
        let attempts = Attempts {
            most: again.attempts,
            backoff: Duration::ZERO,
            within: None,
            on: self.on_statuses(&again.statuses, has_502, said.span),
            any_method: again.any_method,
            body_bytes: body_bytes(section),
        };
        self.tried_so(attempts, chain, at);
    }

    /// What is tried again where statuses are named. Traefik answers 502 itself where a server closes without an answer or gives
    /// none that is HTTP, and 504 where it takes too long: those are its statuses like any other.
    fn tried_again(&mut self, section: &Section, only_answers: bool) -> Vec<RetryOn> {
        let said = section.list("status");
        let Some(first) = said.first() else {
            return Vec::new();
        };
        let ranges = self.statuses(said);
        self.on_statuses(&ranges, !only_answers, first.span)
    }

    fn on_statuses(&mut self, ranges: &[NumberRange], connects: bool, at: Span) -> Vec<RetryOn> {
        let mut on = Vec::new();
        if connects {
            on.push(RetryOn::ConnectFailure);
        }
        let covers = |status| ranges.iter().any(|it| it.min <= status && status <= it.max);
        if covers(502) {
            on.extend([RetryOn::EmptyResponse, RetryOn::JunkResponse]);
        }
        if covers(504) {
            on.push(RetryOn::ResponseTimeout);
        }
        for range in ranges {
            if range.min < 400 {
                let message = "an answer with a status below 400 is not tried again";
                let one = Diagnostic::error(Code::OutOfRange, at, message);
                self.refused(one.help("from 400 to 599"));
                continue;
            }
            // `statuses` lets none pass that is above 599.
            let [from, to] = [range.min, range.max].map(|it| u16::try_from(it).unwrap_or(599));
            on.push(match from == to {
                true => RetryOn::Status(from),
                false => RetryOn::Statuses(from, to),
            });
        }
        on
    }
}
