//! Circuit breakers.

use super::Compiler;
use super::limits::{MAX_REQUESTS, check_duration, within};
use crate::circuit::CircuitBreaker;
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;

impl Compiler<'_> {
    /// Checks a circuit breaker, and that rules which name the same one say the same of it.
    pub(super) fn check_circuit_breaker(&mut self, breaker: &CircuitBreaker, span: Span) {
        let found = &mut self.found;
        check_duration(found, "the check period", breaker.check_period, span);
        check_duration(found, "the time that it is open", breaker.open_for, span);
        let what = "the time over which it recovers";
        check_duration(found, what, breaker.recover_over, span);
        let range = (1, MAX_REQUESTS);
        within(found, "requests", breaker.min_requests, range, span);
        within(found, "a status", breaker.status, (200, 599), span);
        let known = self.circuits.get(&breaker.name);
        match known {
            Some((known, first)) if known != breaker => {
                let message = format!("the circuit breaker `{}` is said in two ways", breaker.name);
                let one = Diagnostic::error(Code::Conflict, span, message);
                let help = "give it another name, or say the same in both rules";
                found.push(one.label(*first, "the first of them").help(help));
            }
            Some(_) => {}
            None => {
                let known = (breaker.clone(), span);
                self.circuits.insert(breaker.name.clone(), known);
            }
        }
    }
}
