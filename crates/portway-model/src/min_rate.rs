//! How fast bodies must move on the client's side.

use crate::defaults;
use std::time::Duration;

/// Bytes a second that a client must send of a request's body and take of a response, while it is the client that is waited
/// for. Within any time of the length of `grace` as much as that must move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MinRate {
    /// Of the body of a request; 0: any rate will do.
    pub request: u32,
    /// Of a response; 0: any rate will do.
    pub response: u32,
    /// How long a client may be behind.
    pub grace: Duration,
}

impl Default for MinRate {
    fn default() -> Self {
        Self {
            request: 0,
            response: 0,
            grace: defaults::GRACE,
        }
    }
}
