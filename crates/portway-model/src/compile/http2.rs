//! HTTP/2 towards clients: what is said of it, within its limits.

use super::limits::{
    MAX_HTTP2_RATE, MAX_HTTP2_STREAMS, MAX_HTTP2_WINDOW, MIN_HTTP2_CONNECTION_WINDOW,
    MIN_HTTP2_WINDOW, given_within,
};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::http2::{Http2, Http2Draft, PriorKnowledge};
use crate::settings::Protocol;
use crate::span::Span;

/// What is said, or what is usual; reports what is out of range, or has no effect.
pub(super) fn http2(found: &mut Diagnostics, draft: &Http2Draft, protocol: Protocol) -> Http2 {
    if let Some(span) = first_said(draft).filter(|_| !protocol.is_http()) {
        let message = "a listener that passes streams on speaks no HTTP/2 of its own";
        let help = "leave it out: what a listener hands over to has settings of its own";
        found.push(Diagnostic::warning(Code::Unused, span, message).help(help));
    }
    let windows = (MIN_HTTP2_WINDOW, MAX_HTTP2_WINDOW);
    let streams = (1, MAX_HTTP2_STREAMS);
    given_within(found, "the streams at a time", draft.max_streams, streams);
    given_within(
        found,
        "the window of a stream",
        draft.initial_window,
        windows,
    );
    given_within(found, "what a window grows to", draft.max_window, windows);
    let windows = (MIN_HTTP2_CONNECTION_WINDOW, MAX_HTTP2_WINDOW);
    let window = draft.connection_window;
    given_within(found, "the window of a connection", window, windows);
    let rates = (1, MAX_HTTP2_RATE);
    given_within(found, "the rate of resets", draft.max_reset_rate, rates);
    let rate = draft.max_idle_frame_rate;
    given_within(found, "the rate of idle frames", rate, rates);
    let usual = Http2::default();
    let said = Http2 {
        prior_knowledge: draft
            .prior_knowledge
            .map_or(PriorKnowledge::Refused, |it| it.value),
        max_streams: draft.max_streams.map_or(usual.max_streams, |it| it.value),
        initial_window: draft
            .initial_window
            .map_or(usual.initial_window, |it| it.value),
        max_window: usual.max_window,
        connection_window: window.map_or(usual.connection_window, |it| it.value),
        max_reset_rate: draft
            .max_reset_rate
            .map_or(usual.max_reset_rate, |it| it.value),
        max_idle_frame_rate: rate.map_or(usual.max_idle_frame_rate, |it| it.value),
    };
    let first = said.initial_window;
    if let Some(most) = draft.max_window.filter(|it| it.value < first) {
        let message = format!(
            "the window of a stream begins with {first} bytes, and would grow to {}",
            most.value
        );
        let one = Diagnostic::error(Code::Conflict, most.span, message);
        found.push(one.help("write as much as `initial_window` has, or more"));
    }
    Http2 {
        max_window: draft
            .max_window
            .map_or(usual.max_window.max(first), |it| it.value),
        ..said
    }
}

fn first_said(draft: &Http2Draft) -> Option<Span> {
    let numbers = [
        draft.max_streams,
        draft.initial_window,
        draft.max_window,
        draft.connection_window,
        draft.max_reset_rate,
        draft.max_idle_frame_rate,
    ];
    let first = numbers.into_iter().flatten().next();
    draft
        .prior_knowledge
        .map(|it| it.span)
        .or(first.map(|it| it.span))
}
