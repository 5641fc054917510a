//! What compile accepts of numbers and durations, each limit with its reason.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::span::{Span, Spanned};
use std::fmt::Display;
use std::time::Duration;

/// Shortest timeout, interval or period: the clock of a worker counts milliseconds.
pub const MIN_DURATION: Duration = Duration::from_millis(1);
/// Longest timeout, interval or period: HAProxy's limit of 2^31 - 1 ms, a little under 25 days.
pub const MAX_DURATION: Duration = Duration::from_millis(i32::MAX as u64);
/// Longest life of a sticky cookie: browsers keep none longer than 400 days (RFC 6265bis, section 5.5).
pub const MAX_COOKIE_AGE: Duration = Duration::from_secs(400 * 24 * 3600);
/// Longest name in bytes: names stand in log lines, metric labels and cookies.
pub const MAX_NAME_BYTES: usize = 255;
/// Fewest bytes of a request head: a request line and a few fields must fit.
pub const MIN_HEAD_BYTES: u32 = 1024;
/// Most bytes of a request head: every waiting client may hold as much.
pub const MAX_HEAD_BYTES: u32 = 1024 * 1024;
/// Fewest fields of a head: Host is one.
pub const MIN_HEAD_FIELDS: u16 = 1;
/// Most fields of a head, HAProxy's most.
pub const MAX_HEAD_FIELDS: u16 = 32_767;
/// Fewest bytes of a request target: a short path must fit.
pub const MIN_TARGET_BYTES: u32 = 64;
/// Most data workers: a thread and its sockets each.
pub const MAX_WORKERS: u16 = 1024;
/// Fewest bytes of memory for connections and exchanges: some thirty exchanges.
pub const MIN_MEMORY: u64 = 1024 * 1024;
/// Most bytes of that: a pebibyte, which no machine has.
pub const MAX_MEMORY: u64 = 1 << 50;
/// Most pipes of the process: two descriptors each.
pub const MAX_PIPES: u32 = 65_536;
/// Most attempts beyond the first: more only add to an outage.
pub const MAX_RETRIES: u32 = 100;
/// Most retries in percent of requests: as many for each request as there may be.
pub const MAX_RETRY_BUDGET: u32 = 10_000;
/// Most idle connections per target, all workers together: each is a file descriptor on both machines.
pub const MAX_POOL_SIZE: u32 = 65_536;
/// Most passing or failing checks in a row that a state may wait for.
pub const MAX_THRESHOLD: u16 = 1_000;
/// Jitter of checks at most, in percent of their interval, HAProxy's.
pub const MAX_JITTER: u16 = 50;
/// Most entries of a stick table: about 100 bytes each.
pub const MAX_TABLE_SIZE: u32 = 100_000_000;
/// Most bytes of a stick table's text key.
pub const MAX_KEY_BYTES: u16 = 4096;
/// Most bytes that a limit of bodies may allow: an exbibyte.
pub const MAX_BODY_BYTES: u64 = 1 << 60;
/// Most bytes of an answer that is kept as a whole before it is passed on: each exchange may hold as much.
pub const MAX_KEPT_ANSWER: u32 = 1024 * 1024;
/// Most bytes of a request's body that are kept to be sent elsewhere too: each exchange may hold as much.
pub const MAX_KEPT_BODY: u32 = 1024 * 1024;
/// The shortest time between two fetches of a set of keys: who has it must not be kept busy with that.
pub const MIN_KEY_REFRESH: Duration = Duration::from_secs(10);
/// By how much clocks may differ at most where tokens are judged: one that ended longer ago is no good anywhere.
pub const MAX_TOKEN_LEEWAY: Duration = Duration::from_secs(3600);
/// Most requests that a limit may allow in a period, or at once: more is no limit.
pub const MAX_REQUESTS: u32 = 1_000_000_000;
/// Slots for tracked entries, HAProxy's customary twelve.
pub const TRACK_SLOTS: u8 = 12;
/// Most captures of a request, and of a response: each is kept until the exchange ends.
pub const MAX_CAPTURES: u16 = 256;
/// Most connections that wait to be accepted on a socket: `listen(2)` takes a signed number, the kernel's limit
/// `net.core.somaxconn` is far below.
pub const MAX_BACKLOG: u32 = 1_000_000;
/// Longest name of a network interface: `IFNAMSIZ` of netdevice(7) without its final NUL.
pub const MAX_INTERFACE: usize = 15;
/// Longest path of a UNIX socket in bytes: `sun_path` of unix(7) without its final NUL.
pub const MAX_SOCKET_PATH: usize = 107;
/// Longest DNS name in text form, RFC 1035 section 2.3.4.
pub const MAX_DNS_NAME: usize = 253;
/// Longest ALPN protocol name, RFC 7301 section 3.1.
pub const MAX_ALPN_BYTES: usize = 255;

/// Most streams of HTTP/2 that a client may have open at the same time: each may hold what its window has.
pub const MAX_HTTP2_STREAMS: u32 = 10_000;
/// Least window of a stream of HTTP/2: with less a body comes by a few bytes each turn.
pub const MIN_HTTP2_WINDOW: u32 = 1_024;
/// Greatest window of HTTP/2: 10 Gbit/s over 13 ms.
pub const MAX_HTTP2_WINDOW: u32 = 16 * 1024 * 1024;
/// Least window of a connection of HTTP/2: what it begins with, RFC 9113 section 6.9.2.
pub const MIN_HTTP2_CONNECTION_WINDOW: u32 = 65_535;
/// Most resets, or idle frames, of HTTP/2 a second: more is no limit.
pub const MAX_HTTP2_RATE: u32 = 1_000_000;

/// Reports `value` where it lies outside of `min..=max`.
pub(super) fn within<T: PartialOrd + Display>(
    found: &mut Diagnostics,
    what: &str,
    value: T,
    (min, max): (T, T),
    span: Span,
) {
    if value < min || value > max {
        found.push(
            Diagnostic::error(
                Code::OutOfRange,
                span,
                format!("{value} is out of range for {what}"),
            )
            .help(format!("from {min} to {max}")),
        );
    }
}

/// As [`within`], for what may not be given.
pub(super) fn given_within<T: PartialOrd + Display + Copy>(
    found: &mut Diagnostics,
    what: &str,
    value: Option<Spanned<T>>,
    range: (T, T),
) {
    if let Some(value) = value {
        within(found, what, value.value, range, value.span);
    }
}

/// The duration given, or the default; reports zero and what is longer than [`MAX_DURATION`].
pub(super) fn duration(
    found: &mut Diagnostics,
    what: &str,
    given: Option<Spanned<Duration>>,
    default: Duration,
) -> Duration {
    match given {
        Some(given) => {
            check_duration(found, what, given.value, given.span);
            given.value
        }
        None => default,
    }
}

/// As [`duration`], where zero has a meaning.
pub(super) fn duration_or_zero(
    found: &mut Diagnostics,
    what: &str,
    given: Option<Spanned<Duration>>,
    default: Duration,
) -> Duration {
    match given {
        Some(given) if given.value.is_zero() => Duration::ZERO,
        given => duration(found, what, given, default),
    }
}

/// As [`duration`], where none has a meaning.
pub(super) fn optional_duration(
    found: &mut Diagnostics,
    what: &str,
    given: Option<Spanned<Duration>>,
) -> Option<Duration> {
    given.map(|given| duration(found, what, Some(given), given.value))
}

/// Reports a duration outside of [`MIN_DURATION`] to [`MAX_DURATION`].
pub(super) fn check_duration(found: &mut Diagnostics, what: &str, value: Duration, span: Span) {
    let (wrong, help) = if value.is_zero() {
        (format!("{what} is zero"), "give a time, such as `30s`")
    } else if value < MIN_DURATION {
        (
            format!("{what} is below a millisecond"),
            "the shortest is `1ms`",
        )
    } else if value > MAX_DURATION {
        (format!("{what} is too long"), "the longest is 24 days")
    } else {
        return;
    };
    found.push(Diagnostic::error(Code::OutOfRange, span, wrong).help(help));
}
