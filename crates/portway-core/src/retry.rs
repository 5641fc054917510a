//! May a failed attempt be made again?
//!
//! Decides from how far the attempt got and what the request allows; which target the next attempt goes to is `balance`'s
//! matter. The hard thing: after the target may have acted, only a request that may be acted on twice is repeated.

/// How far an attempt got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// No connection came about (refused, timed out, TLS failed): no byte of the request left us.
    Connect,
    /// A reused connection was closed by the target before the first byte of a response: most likely it closed an idle
    /// connection just when we used it (RFC 9112 section 9.3.1, 9.5), but it may have read the request.
    ReusedClosedBeforeResponse,
    /// The request was sent, all of it or a part, on a fresh connection, or no answer came in time.
    Sent,
    /// No answer came within the time that the configuration gives one attempt.
    TimedOut,
    /// The target answered what is to be tried again: the configuration wants that of its status, or it says that nothing was done.
    Refused,
    /// The first byte of the response arrived. This is the point of no return.
    ResponseStarted,
}

/// Decides whether another attempt follows.
///
/// * `method_idempotent`: RFC 9110 section 9.2.2 (GET, HEAD, OPTIONS, TRACE, PUT, DELETE).
/// * `body_replayable`: all of the body that was taken so far can be sent again (there is none, or it is still held).
/// * `attempts`: how many were made, the failed one included.
/// * `unanswered`: how many of them were of the stage [`Stage::Sent`].
/// * `limit`: how many may be made in all; 1 means no retry.
///
/// "A proxy MUST NOT automatically retry non-idempotent requests" (RFC 9110 section 9.2.2) holds as soon as a byte may have
/// reached the target. "A client SHOULD NOT automatically retry a failed automatic retry" (the same section) is why
/// [`Stage::Sent`] is repeated once, whatever failed before; a stage before it says something about the connection,
/// not about the request, and an attempt with a time of its own was given it so that others may follow: those are bounded by
/// `limit` alone.
pub const fn may_retry(
    stage: Stage,
    method_idempotent: bool,
    body_replayable: bool,
    (attempts, unanswered): (u32, u32),
    limit: u32,
) -> bool {
    if attempts >= limit {
        return false;
    }
    match stage {
        Stage::Connect => true,
        Stage::ReusedClosedBeforeResponse | Stage::TimedOut => method_idempotent && body_replayable,
        Stage::Sent => method_idempotent && body_replayable && unanswered <= 1,
        Stage::Refused | Stage::ResponseStarted => false,
    }
}

/// Where an attempt beyond the first goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// To another target.
    Another,
    /// To the same.
    Same,
}

/// What a retry depends on where it goes to the same target first, as in HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Which attempt beyond the first it is, from 1.
    pub number: u32,
    /// How many there may be.
    pub limit: u32,
    /// Something binds the request to this target (a cookie).
    pub bound: bool,
    /// The target is known to be down.
    pub down: bool,
    /// The group takes turns, and more than one target takes part.
    pub turns: bool,
}

impl Retry {
    /// Decides as HAProxy does with `option redispatch`. `every`: above 0 each so many-th retry goes to another target;
    /// below 0 it is counted from the last, −1. 0 stands for never.
    pub fn next(self, every: i16) -> Next {
        let period = match u32::try_from(every) {
            Ok(every) => every,
            Err(_) => self
                .limit
                .saturating_add(1)
                .saturating_sub(every.unsigned_abs().into()),
        };
        let due = self.number.checked_rem(period) == Some(0);
        if every != 0 && (due || self.down || (self.turns && !self.bound)) {
            return Next::Another;
        }
        Next::Same
    }
}

#[cfg(test)]
mod tests {
    use super::Stage::{Connect, ResponseStarted, ReusedClosedBeforeResponse, Sent, TimedOut};
    use super::{Next, Retry, may_retry};

    #[test]
    fn table() {
        let check = |stage, idempotent, replayable, attempts, limit, expected| {
            assert_eq!(
                may_retry(stage, idempotent, replayable, (attempts, attempts), limit),
                expected,
                "{stage:?} idempotent={idempotent} replayable={replayable} {attempts}/{limit}"
            );
        };
        // Nothing left us: every request.
        check(Connect, true, true, 1, 3, true);
        check(Connect, false, true, 1, 3, true);
        check(Connect, false, false, 2, 3, true);
        check(Connect, true, true, 3, 3, false);
        check(Connect, true, true, 1, 1, false);
        check(Connect, true, true, 1, 0, false);
        // A stale connection: what may be done twice, as often as the limit says.
        check(ReusedClosedBeforeResponse, true, true, 1, 3, true);
        check(ReusedClosedBeforeResponse, true, true, 2, 3, true);
        check(ReusedClosedBeforeResponse, true, true, 3, 3, false);
        check(ReusedClosedBeforeResponse, true, false, 1, 3, false);
        check(ReusedClosedBeforeResponse, false, true, 1, 3, false);
        // Sent: once more, and never a retry of a retry.
        check(Sent, true, true, 1, 3, true);
        check(Sent, true, true, 2, 3, false);
        check(Sent, true, false, 1, 3, false);
        check(Sent, false, true, 1, 3, false);
        check(Sent, true, true, 1, 1, false);
        // What failed before it, and was not sent, is no retry of the request.
        assert!(may_retry(Sent, true, true, (2, 1), 3));
        assert!(!may_retry(Sent, true, true, (3, 2), 4));
        // An attempt that had a time of its own: as often as the limit says.
        check(TimedOut, true, true, 2, 3, true);
        check(TimedOut, true, true, 3, 3, false);
        check(TimedOut, true, false, 1, 3, false);
        check(TimedOut, false, true, 1, 3, false);
        // The client may have seen something.
        check(ResponseStarted, true, true, 1, 3, false);
        check(ResponseStarted, false, false, 1, 3, false);
    }

    #[test]
    fn where_retries_go() {
        let check = |every: i16, limit: u32, bound: bool, expected: &str| {
            let went: String = (1..=limit)
                .map(|number| {
                    let retry = Retry {
                        number,
                        limit,
                        bound,
                        down: false,
                        turns: true,
                    };
                    match retry.next(every) {
                        Next::Another => 'a',
                        Next::Same => 's',
                    }
                })
                .collect();
            assert_eq!(went, expected, "every {every}, {limit} retries");
        };
        check(0, 3, true, "sss");
        check(0, 3, false, "sss");
        check(-1, 3, true, "ssa");
        check(-1, 1, true, "a");
        check(-1, 3, false, "aaa");
        check(-2, 4, true, "ssas");
        check(1, 3, true, "aaa");
        check(2, 5, true, "sasas");
        check(-9, 3, true, "sss");
        let down = Retry {
            number: 1,
            limit: 3,
            bound: true,
            down: true,
            turns: false,
        };
        assert_eq!(down.next(-1), Next::Another);
        assert_eq!(down.next(0), Next::Same);
    }

    #[test]
    fn nothing_is_repeated_that_must_not_be() {
        let stages = [
            Connect,
            ReusedClosedBeforeResponse,
            Sent,
            TimedOut,
            ResponseStarted,
        ];
        for stage in stages {
            for bits in 0..4_u32 {
                let (idempotent, replayable) = (bits & 1 != 0, bits & 2 != 0);
                for attempts in 1..5 {
                    let made = (attempts, attempts);
                    let again = may_retry(stage, idempotent, replayable, made, 4);
                    assert!(!again || attempts < 4);
                    assert!(!again || stage == Connect || (idempotent && replayable));
                    assert!(!again || stage != ResponseStarted);
                }
            }
        }
    }
}
