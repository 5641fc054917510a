//! What a condition, an expression or a template says of an exchange.
//!
//! Pure: everything known comes through [`Facts`], time and chance included. Tests of host, path, method and
//! headers and templates of them allocate nothing; only steps that make new text do (a decoding, a
//! replacement, a digest).
//!
//! An absent value fails every matcher and every transform but `Default`; `Not` turns that failure round like
//! any other. A value with several occurrences (a header that is repeated) passes a test if one occurrence does;
//! where one value is needed, a header gives its last occurrence, which is the one the nearest proxy wrote, a
//! cookie or an argument its first.

pub mod arguments;
mod calculate;
mod cipher;
mod counters;
mod date;
mod encoding;
mod facts;
mod fetch;
mod fetched;
mod fix;
pub(crate) mod json;
mod judge;
mod keep;
mod matched;
mod matcher;
mod message;
mod mqtt;
pub mod normalize;
mod rdp;
pub mod rewrite;
mod settled;
mod sought;
mod template;
mod text;
mod token;
mod transform;

#[cfg(test)]
pub(crate) mod fixture;

pub use cipher::openssl_name as openssl_cipher_name;
pub(crate) use date::{days_since_1970, seconds_as_http_date};
pub use facts::{Facts, TlsFacts, Visitor, Whose};
pub use fetch::{block_length, credentials, each as fetch_each, fetch};
pub use fetched::Fetched;
pub use judge::{Judged, judge};
pub(crate) use matcher::text_matches;
pub use settled::settled;
pub use template::{
    variable_value, write_header_value, write_location, write_log_line, write_path, write_query,
    write_replacement, write_sanitised, write_target, write_template, write_url,
};
pub(crate) use text::same_secret;

use portway_model::expression::{Condition, Expression, Test};
use portway_model::stage::Resolved;
use std::ops::ControlFlow;

/// Whether a condition is true.
pub fn holds<F: Facts>(condition: &Condition<Resolved>, facts: &F) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| holds(part, facts)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, facts)),
        Condition::Not(part) => !holds(part, facts),
        Condition::Test(one) => test(&one.value, facts),
    }
}

/// Whether some occurrence of the expression passes the matcher.
pub fn test<F: Facts>(test: &Test<Resolved>, facts: &F) -> bool {
    let Expression { value, transforms } = &test.expression;
    let mut passed = false;
    fetch::each(value, facts, &mut |fetched| {
        let fetched = transform::apply_all(transforms, fetched, facts);
        passed = matcher::passes(&test.matcher, &fetched, facts);
        if passed {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    passed
}

/// The one value of an expression.
pub fn evaluate<'a, F: Facts>(expression: &'a Expression<Resolved>, facts: &'a F) -> Fetched<'a> {
    let fetched = fetch(&expression.value, facts);
    transform::apply_all(&expression.transforms, fetched, facts)
}
