//! The watch of the system over TCP connections.

use super::limits;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::TcpWatchDraft;
use crate::settings::Protocol;
use crate::span::{Span, Spanned};
use crate::tcp::{KeepAliveTimes, TcpKeepAlive, TcpWatch};
use std::time::Duration;

/// Longest time before and between probes: what the kernel takes (MAX_TCP_KEEPIDLE), nine hours.
pub const MAX_KEEP_ALIVE: Duration = Duration::from_secs(32_767);
/// Most probes: what the kernel takes (MAX_TCP_KEEPCNT).
pub const MAX_KEEP_ALIVE_PROBES: u8 = 127;

/// What is said, or the default; reports what the system would not take.
pub(super) fn watch(
    found: &mut Diagnostics,
    draft: &TcpWatchDraft,
    protocol: Protocol,
) -> TcpWatch {
    if let Some(Spanned { value, span }) = draft.keep_alive
        && let TcpKeepAlive::All(times) = value
    {
        check_times(found, times, span);
    }
    TcpWatch {
        keep_alive: draft
            .keep_alive
            .map_or(TcpKeepAlive::Tunnels, |it| it.value)
            .of(protocol),
        user_timeout: user_timeout(found, draft.user_timeout),
    }
}

/// How long what was sent may stay unacknowledged.
pub(super) fn user_timeout(
    found: &mut Diagnostics,
    given: Option<Spanned<Duration>>,
) -> Option<Duration> {
    limits::optional_duration(found, "the time to be acknowledged", given)
}

fn check_times(found: &mut Diagnostics, times: KeepAliveTimes, span: Span) {
    let both = [
        ("the time before the first probe", times.idle),
        ("the time between probes", times.interval),
    ];
    for (what, time) in both {
        let whole =
            |time: Duration| time.subsec_nanos() == 0 && !time.is_zero() && time <= MAX_KEEP_ALIVE;
        if time.is_some_and(|time| !whole(time)) {
            let message = format!("{what} is not of whole seconds, or too long");
            let help = format!("from `1s` to `{}s`", MAX_KEEP_ALIVE.as_secs());
            found.push(Diagnostic::error(Code::OutOfRange, span, message).help(help));
        }
    }
    if let Some(count) = times.count {
        let range = (1, MAX_KEEP_ALIVE_PROBES);
        limits::within(found, "a number of probes", count, range, span);
    }
}
