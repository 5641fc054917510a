//! Limits of rules: bodies, and those that go by a name: rates, requests at once, circuit breakers.

use super::Compiler;
use super::expressions::Place;
use super::futile::check_opens;
use super::limits::{MAX_BODY_BYTES, MAX_REQUESTS, check_duration, within};
use super::rules::place_error;
use crate::circuit::CircuitBreaker;
use crate::diagnostic::{Code, Diagnostic};
use crate::limit::Limit;
use crate::name::Name;
use crate::span::Span;
use crate::stage::Named;

/// What limits of one kind have to themselves: names of others are no names of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shared {
    Circuit,
    Rate,
    Concurrency,
}

impl Compiler<'_> {
    pub(super) fn check_limit(&mut self, place: Place, limit: &Limit<Named>) {
        let span = place.span;
        let found = &mut self.found;
        match limit {
            Limit::Body { request, response } => {
                for bytes in [request, response].into_iter().flatten() {
                    let range = (1, MAX_BODY_BYTES);
                    within(found, "a body's limit", *bytes, range, span);
                }
                if request.is_none() && response.is_none() {
                    let message = "a limit of no body".to_owned();
                    found.push(place_error(place, Code::Missing, message));
                }
            }
            Limit::Rate {
                key,
                average,
                period,
                burst,
                ..
            } => {
                check_duration(found, "`period`", *period, span);
                let range = (1, MAX_REQUESTS);
                within(found, "`average`", *average, range, span);
                within(found, "`burst`", *burst, range, span);
                self.check_expression(place, key);
                self.check_shared(limit, span);
            }
            Limit::Circuit(breaker) => {
                self.check_circuit_breaker(breaker, span);
                self.check_shared(limit, span);
            }
            Limit::Concurrency { key, amount, .. } => {
                let range = (1, MAX_REQUESTS);
                within(found, "`amount`", *amount, range, span);
                self.check_expression(place, key);
                self.check_shared(limit, span);
            }
        }
    }

    pub(super) fn check_circuit_breaker(&mut self, breaker: &CircuitBreaker, span: Span) {
        let found = &mut self.found;
        check_duration(found, "`check_period`", breaker.check_period, span);
        check_duration(found, "`open_for`", breaker.open_for, span);
        check_duration(found, "`recover_over`", breaker.recover_over, span);
        let range = (1, MAX_REQUESTS);
        within(found, "`min_requests`", breaker.min_requests, range, span);
        within(found, "`status`", breaker.status, (200, 599), span);
        check_opens(found, &breaker.opens_when, span);
    }

    /// Rules that name the same limit have it together, and say the same of it: with other numbers each would spoil the
    /// count of the other.
    pub(super) fn check_shared(&mut self, limit: &Limit<Named>, span: Span) {
        let Some((kind, name)) = shared(limit) else {
            return;
        };
        let key = (kind, name.clone());
        let Some((known, first)) = self.shared.get(&key) else {
            self.shared.insert(key, (limit.clone(), span));
            return;
        };
        if same_numbers(known, limit) {
            return;
        }
        let what = match kind {
            Shared::Circuit => "circuit breaker",
            Shared::Rate => "rate limit",
            Shared::Concurrency => "limit of requests at once",
        };
        let message = format!("the {what} `{name}` is said in two ways");
        let one = Diagnostic::error(Code::Conflict, span, message);
        let help = "give it another name, or say the same in both rules";
        self.found
            .push(one.label(*first, "the first of them").help(help));
    }
}

fn shared(limit: &Limit<Named>) -> Option<(Shared, &Name)> {
    match limit {
        Limit::Body { .. } => None,
        Limit::Circuit(breaker) => Some((Shared::Circuit, &breaker.name)),
        Limit::Rate { name, .. } => Some((Shared::Rate, name)),
        Limit::Concurrency { name, .. } => Some((Shared::Concurrency, name)),
    }
}

/// True where two limits of one name may count together. By what requests are told apart may be something else in each rule.
fn same_numbers(one: &Limit<Named>, other: &Limit<Named>) -> bool {
    match (one, other) {
        (
            Limit::Rate {
                average,
                period,
                burst,
                ..
            },
            Limit::Rate {
                average: other_average,
                period: other_period,
                burst: other_burst,
                ..
            },
        ) => (average, period, burst) == (other_average, other_period, other_burst),
        (Limit::Concurrency { amount, .. }, Limit::Concurrency { amount: other, .. }) => {
            amount == other
        }
        _ => one == other,
    }
}
