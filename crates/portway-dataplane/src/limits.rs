//! Limits that rules put on a request or a connection.
//!
//! What a body comes to is looked at twice: here by the length that its head says, and on its way by the transfer.

use crate::answers::{self, Answer};
use crate::circuit;
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::fault::{TOO_LONG, TOO_MANY};
use crate::memory;
use crate::quota::{Held, Rate};
use crate::record::limit_reached;
use portway_core::evaluate::{self, Facts};
use portway_core::http1::{BodyLength, write_field};
use portway_core::rate::Bucket;
use portway_model::expression::Expression;
use portway_model::limit::Limit;
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Limit as Counted;
use std::sync::Arc;

/// Bytes of bodies at most, and what is held of them.
#[derive(Debug)]
pub(crate) struct BodyLimits {
    pub(crate) request: u64,
    pub(crate) response: u64,
    /// All of the request's body is here, and stays to be sent again.
    pub(crate) held: bool,
    /// A rule says so: what may have come to a target is not sent again.
    pub(crate) once: bool,
    /// What is held of it without its coding, where that is much.
    pub(crate) memory: Option<memory::Held>,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            request: u64::MAX,
            response: u64::MAX,
            held: false,
            once: false,
            memory: None,
        }
    }
}

/// Puts a limit on a request; gives what is answered where it goes beyond.
pub(crate) fn put(x: &mut Exchange<'_>, limit: &Limit<Resolved>) -> Option<Answer> {
    match limit {
        Limit::Body { request, response } => {
            let limits = &mut x.scratch.body_limits;
            let lower =
                |limit: &mut u64, to: Option<u64>| *limit = to.map_or(*limit, |to| to.min(*limit));
            lower(&mut limits.request, *request);
            lower(&mut limits.response, *response);
            let most = limits.request;
            let too_long = matches!(x.framing.body, BodyLength::Length(length) if length > most);
            too_long.then(|| {
                limit_reached(x, Counted::RequestBodyBytes);
                answers::own(x, 413, TOO_LONG)
            })
        }
        Limit::Rate {
            name,
            key,
            average,
            period,
            burst,
        } => {
            let key = key_of(x, key);
            let bucket = Bucket::new(*average, *period, *burst);
            let quotas = &x.connection.generation.plane.process.quotas;
            match quotas.take(name.as_str(), &key, bucket) {
                Rate::Passes => None,
                Rate::Uncounted => {
                    limit_reached(x, Counted::RequestRateKeys);
                    None
                }
                Rate::Wait(wait) => {
                    limit_reached(x, Counted::RequestRate);
                    let mut answer = answers::own(x, 429, TOO_MANY);
                    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                    let seconds = seconds.to_string();
                    write_field(&mut answer.fields, b"Retry-After", seconds.as_bytes());
                    Some(answer)
                }
            }
        }
        Limit::Circuit(breaker) => circuit::pass(x, breaker),
        Limit::Concurrency { name, key, amount } => {
            let key = key_of(x, key);
            let quotas = &x.connection.generation.plane.process.quotas;
            let Some(held) = quotas.hold(name.as_str(), &key, *amount) else {
                limit_reached(x, Counted::RequestConcurrency);
                return Some(answers::own(x, 429, TOO_MANY));
            };
            x.scratch.held.push(Holding::Place(held));
            None
        }
    }
}

/// What limits have of an exchange until it ends.
#[derive(Debug)]
pub(crate) enum Holding {
    /// It is counted while it is served.
    Place(Held),
    /// What becomes of it counts.
    Circuit(circuit::Passing),
}

/// The places of an exchange in limits, for who sends its last bytes: they are given back before those leave, so that a client
/// that has its answer may ask for another at once.
#[inline]
pub(crate) fn places(x: &mut Exchange<'_>) -> Vec<Held> {
    match x.scratch.held.is_empty() {
        true => Vec::new(),
        false => taken(&mut x.scratch.held),
    }
}

#[cold]
fn taken(held: &mut Vec<Holding>) -> Vec<Held> {
    let places = held.extract_if(.., |it| matches!(it, Holding::Place(_)));
    let place = |it| match it {
        Holding::Place(held) => Some(held),
        Holding::Circuit(_) => None,
    };
    places.filter_map(place).collect()
}

/// Nobody sends those bytes: the exchange goes on, and has its places.
#[cold]
pub(crate) fn keep(x: &mut Exchange<'_>, places: Vec<Held>) {
    x.scratch
        .held
        .extend(places.into_iter().map(Holding::Place));
}

/// An exchange has ended.
#[cold]
pub(crate) fn let_go(x: &mut Exchange<'_>) {
    for holding in &x.scratch.held {
        if let Holding::Circuit(passing) = holding {
            passing.ended(x);
        }
    }
    x.scratch.held.clear();
}

/// By what a limit counts a connection.
pub(crate) fn key_on_connection(limit: &Limit<Resolved>, facts: &impl Facts) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Limit::Rate { key, .. } | Limit::Concurrency { key, .. } = limit {
        evaluate::evaluate(key, facts).write(&mut bytes);
    }
    bytes
}

/// Puts a limit on a connection; false where it goes beyond.
pub(crate) fn put_on_connection(
    connection: &mut Connection,
    limit: &Limit<Resolved>,
    key: &[u8],
) -> bool {
    let process = Arc::clone(&connection.generation.plane.process);
    let reached = |connection: &Connection, limit| connection.shard().worker().limit_reached(limit);
    match limit {
        // Compile allows none there.
        Limit::Body { .. } | Limit::Circuit(_) => true,
        Limit::Rate {
            name,
            average,
            period,
            burst,
            ..
        } => {
            let bucket = Bucket::new(*average, *period, *burst);
            match process.quotas.take(name.as_str(), key, bucket) {
                Rate::Passes => true,
                Rate::Uncounted => {
                    reached(connection, Counted::RequestRateKeys);
                    true
                }
                Rate::Wait(_) => {
                    reached(connection, Counted::KeyConnectionRate);
                    false
                }
            }
        }
        Limit::Concurrency { name, amount, .. } => {
            let held = process.quotas.hold(name.as_str(), key, *amount);
            match held {
                Some(held) => connection.hold(held),
                None => {
                    reached(connection, Counted::KeyConnections);
                    return false;
                }
            }
            true
        }
    }
}

fn key_of(x: &Exchange<'_>, key: &Expression<Resolved>) -> Vec<u8> {
    let mut bytes = Vec::new();
    evaluate::evaluate(key, x).write(&mut bytes);
    bytes
}
