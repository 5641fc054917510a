//! How long connections of HTTP are used.

use crate::span::Spanned;
use std::time::Duration;

/// How long a connection of HTTP is used, beside what both sides want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionLife {
    /// Requests that it serves at most; 0: no limit.
    pub max_requests: u32,
    /// One that is older serves one more request; `None`: no limit.
    pub max_age: Option<Duration>,
}

impl ConnectionLife {
    /// Whether the request is the last, the `number`th (from 1) of a connection of this `age`.
    #[inline]
    pub fn ends_with(&self, number: u32, age: impl FnOnce() -> Duration) -> bool {
        (self.max_requests != 0 && number >= self.max_requests)
            || self.max_age.is_some_and(|most| age() >= most)
    }
}

/// See [`ConnectionLife`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectionLifeDraft {
    /// Requests that it serves at most; no limit by default.
    pub max_requests: Option<Spanned<u32>>,
    /// One that is older serves one more request; no limit by default.
    pub max_age: Option<Spanned<Duration>>,
}

impl From<ConnectionLife> for ConnectionLifeDraft {
    fn from(life: ConnectionLife) -> Self {
        Self {
            max_requests: (life.max_requests != 0).then(|| Spanned::bare(life.max_requests)),
            max_age: life.max_age.map(Spanned::bare),
        }
    }
}
