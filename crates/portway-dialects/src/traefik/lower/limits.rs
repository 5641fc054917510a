//! Middlewares that limit requests: buffering, rateLimit, inFlightReq and circuitBreaker.
//!
//! Each router counts for itself, whatever middlewares it shares with others.

use super::super::schema::Section;
use super::Lowering;
use super::chain::Chain;
use super::middleware::nothing;
use portway_model::action::Action;
use portway_model::circuit::{CHECK_PERIOD, CircuitBreaker, OPEN_FOR, RECOVER_OVER, STATUS};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Expression, Value};
use portway_model::limit::Limit;
use portway_model::name::Name;
use portway_model::span::Span;
use portway_model::stage::Named;
use std::sync::Arc;
use std::time::Duration;

impl Lowering<'_> {
    pub(super) fn buffering(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let mut bytes = |option: &str| {
            let said = section.number(option).filter(|it| it.value != 0)?;
            let bytes = u64::try_from(said.value);
            if bytes.is_err() {
                self.error(
                    Code::OutOfRange,
                    said.span,
                    format!("`{option}` is below 0"),
                );
            }
            bytes.ok()
        };
        let request = bytes("maxRequestBodyBytes");
        let response = bytes("maxResponseBodyBytes");
        if section.entries.is_empty() {
            nothing(self, "buffering", at);
        }
        self.retry_expression(section, chain, at);
        if request.is_some() || response.is_some() {
            chain.always(Action::Limit(Limit::Body { request, response }), at);
        }
    }

    pub(super) fn rate_limit(
        &mut self,
        middleware: &str,
        section: &Section,
        chain: &mut Chain,
        at: Span,
    ) {
        let key = self.criterion(section, Value::Source.into());
        let average = self.amount(section, "average").unwrap_or(0);
        let burst = self.amount(section, "burst").unwrap_or(1).max(1);
        let period = section.duration("period").map(|it| it.value);
        // Without an average there is no limit.
        if average == 0 {
            nothing(self, "rateLimit", at);
            return;
        }
        let limit = Limit::Rate {
            name: name(chain, middleware),
            key,
            average,
            period: period
                .filter(|it| !it.is_zero())
                .unwrap_or(Duration::from_secs(1)),
            burst,
        };
        chain.always(Action::Limit(limit), at);
    }

    pub(super) fn in_flight_limit(
        &mut self,
        middleware: &str,
        section: &Section,
        chain: &mut Chain,
        at: Span,
    ) {
        let key = self.criterion(section, Value::Host.into());
        match self.amount(section, "amount") {
            Some(amount) if amount > 0 => {
                let name = name(chain, middleware);
                let limit = Limit::Concurrency { name, key, amount };
                chain.always(Action::Limit(limit), at);
            }
            _ => self.error(Code::Missing, at, "a limit without `amount`, 1 or more"),
        }
    }

    pub(super) fn circuit_breaker(
        &mut self,
        middleware: &str,
        section: &Section,
        chain: &mut Chain,
        at: Span,
    ) {
        let Some(expression) = section.some_text("expression") else {
            self.error(Code::Missing, at, "a circuit breaker without `expression`");
            return;
        };
        let opens_when = match crate::circuit::read(expression.value) {
            Ok(opens_when) => opens_when,
            Err((message, help)) => {
                let one = Diagnostic::error(Code::OutOfRange, expression.span, message);
                self.found.push(one.help(help));
                return;
            }
        };
        let time = |option: &str, usual: Duration| {
            let said = section.duration(option).map(|it| it.value);
            said.filter(|it| !it.is_zero()).unwrap_or(usual)
        };
        let status = self.amount(section, "responseCode").filter(|it| *it != 0);
        let status = status.map_or(Ok(STATUS), u16::try_from);
        let breaker = CircuitBreaker {
            name: name(chain, middleware),
            opens_when,
            check_period: time("checkPeriod", CHECK_PERIOD),
            // A single request may open Traefik's.
            min_requests: 1,
            open_for: time("fallbackDuration", OPEN_FOR),
            recover_over: time("recoveryDuration", RECOVER_OVER),
            status: status.unwrap_or(u16::MAX),
        };
        chain.always(Action::Limit(Limit::Circuit(Arc::new(breaker))), at);
    }

    pub(super) fn amount(&mut self, section: &Section, option: &str) -> Option<u32> {
        let said = section.number(option)?;
        let amount = u32::try_from(said.value);
        if amount.is_err() {
            let message = format!("`{option}` is out of range");
            self.error(Code::OutOfRange, said.span, message);
        }
        amount.ok()
    }

    /// By what requests are told apart.
    fn criterion(&mut self, section: &Section, default: Expression<Named>) -> Expression<Named> {
        let Some(section) = section.section("sourceCriterion") else {
            return default;
        };
        let address = section.get("ipStrategy");
        let header = section.get("requestHeaderName");
        let host = section
            .get("requestHost")
            .filter(|_| section.is_on("requestHost"));
        let mut said = [address, header, host].into_iter().flatten();
        if let (Some(one), Some(other)) = (said.next(), said.next()) {
            let message = format!("`{}` and `{}` exclude each other", one.name, other.name);
            let wrong = Diagnostic::error(Code::Conflict, other.key, message);
            self.found
                .push(wrong.label(one.key, "already told apart by this"));
        }
        match section.some_text("requestHeaderName") {
            Some(header) => Value::Header(header.value.to_owned()).into(),
            None if host.is_some() => Value::Host.into(),
            None if address.is_some() => self.client(section.section("ipStrategy")),
            None => default,
        }
    }
}

fn name(chain: &Chain, middleware: &str) -> Name {
    Name::from(format!("{}/{middleware}", chain.router()))
}
