//! Limits that rules put on requests and connections: how long bodies may be, how many may come, how many may be served at once.

use crate::circuit::CircuitBreaker;
use crate::convert::{Convert, Outcome, expression};
use crate::expression::Expression;
use crate::name::Name;
use crate::stage::Stage;
use std::sync::Arc;
use std::time::Duration;

/// A limit that a rule puts on a request, or, but for that of bodies, on a connection before any request: one that goes
/// beyond is closed.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit<S: Stage> {
    /// Of bodies. Of several the lowest counts.
    Body {
        /// Bytes of the request's body at most: 413 is answered to a longer one.
        request: Option<u64>,
        /// Bytes of the response's body at most: 500 is answered in place of a longer one.
        response: Option<u64>,
    },
    /// Of requests in a time, by a token bucket for each value of the key: 429 is answered where it is empty.
    Rate {
        /// Limits of one name share their buckets.
        name: Name,
        /// Whose bucket it is; where it is absent, that of the empty text.
        key: Expression<S>,
        /// So many requests in a period.
        average: u32,
        /// The period.
        period: Duration,
        /// So many requests may come at once.
        burst: u32,
    },
    /// Of requests to what fails: while it is open they are answered in its place.
    Circuit(Arc<CircuitBreaker>),
    /// Of requests that are served at once, for each value of the key: 429 is answered to one more.
    Concurrency {
        /// Limits of one name count together.
        name: Name,
        /// What is counted by; where it is absent, the empty text.
        key: Expression<S>,
        /// So many requests.
        amount: u32,
    },
}

impl<S: Stage> Limit<S> {
    /// The same in another stage.
    pub(crate) fn convert<C: Convert<Before = S>>(
        &self,
        to: &mut C,
    ) -> Outcome<C, Limit<C::After>> {
        Ok(match self {
            Limit::Body { request, response } => Limit::Body {
                request: *request,
                response: *response,
            },
            Limit::Rate {
                name,
                key,
                average,
                period,
                burst,
            } => Limit::Rate {
                name: name.clone(),
                key: expression(to, key)?,
                average: *average,
                period: *period,
                burst: *burst,
            },
            Limit::Circuit(breaker) => Limit::Circuit(Arc::clone(breaker)),
            Limit::Concurrency { name, key, amount } => Limit::Concurrency {
                name: name.clone(),
                key: expression(to, key)?,
                amount: *amount,
            },
        })
    }
}
