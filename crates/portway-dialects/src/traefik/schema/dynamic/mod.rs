//! What may be said in dynamic files and labels.

mod http;
mod middlewares;
mod other;

use super::Row;

/// In the order of the reference.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    [http::ROWS, middlewares::ROWS, other::ROWS]
        .into_iter()
        .flatten()
}
