//! What one connection may cost.

use std::time::Duration;

/// So many at once, and so many a second in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// A second.
    pub per_second: u32,
}

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams that are open at the same time. Default 100: what RFC 9113 section 6.5.2 asks for at least.
    pub streams: u32,
    /// Bytes of a block of fields as it comes, all its frames together. Default 64 KiB, as a head of HTTP/1.
    pub block_bytes: usize,
    /// Frames that a block of fields comes in beside the first. Default 8: a block of 64 KiB in frames of 16 KiB has four.
    pub continuations: u32,
    /// Bytes that may come of a stream before they are asked for. Default 65,535, the protocol's own.
    pub stream_window: u32,
    /// What that grows to where its bytes are used as they come. Default 1 MiB.
    pub widest_window: u32,
    /// What the windows of all streams together may grow by. Default 4 MiB.
    pub widened: u32,
    /// Bytes that may be on the way on all streams together; what a stream holds is bounded by its own window. Default 1 MiB.
    pub connection_window: u32,
    /// Streams that the peer ends before they are answered. Default 100 and 20 a second.
    pub resets: Rate,
    /// Frames that do nothing: PING, SETTINGS, PRIORITY, GOAWAY, empty DATA. Default 1000 and 200 a second: clients that measure the way
    /// send a PING with each of its turns.
    pub idle_frames: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            block_bytes: 64 * 1024,
            continuations: 8,
            stream_window: 65_535,
            widest_window: 1024 * 1024,
            widened: 4 * 1024 * 1024,
            connection_window: 1024 * 1024,
            resets: Rate {
                burst: 100,
                per_second: 20,
            },
            idle_frames: Rate {
                burst: 1000,
                per_second: 200,
            },
        }
    }
}

/// How much is left of a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    rate: Rate,
    /// In thousandths.
    left: u64,
    /// When it was asked last.
    at: Duration,
}

impl Allowance {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            left: u64::from(rate.burst) * 1000,
            at: Duration::ZERO,
        }
    }

    /// Takes one; false where none is left. `now`: since the connection began.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_millis() as u64;
        let most = u64::from(self.rate.burst) * 1000;
        let more = passed.saturating_mul(u64::from(self.rate.per_second));
        self.left = self.left.saturating_add(more).min(most);
        self.at = now;
        match self.left.checked_sub(1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}
