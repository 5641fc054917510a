//! How answers of OCSP are fetched: what goes together, and what is an address of a responder.

use crate::defaults;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::jwt::UrlParts;
use crate::ocsp::{OcspDraft, OcspFetch};
use std::time::Duration;

/// Answers are asked for this often at most.
const SHORTEST: Duration = Duration::from_secs(1);

/// The settings of fetching; `None` where nothing is fetched.
pub(super) fn fetch(draft: &OcspDraft, found: &mut Diagnostics) -> Option<OcspFetch> {
    let others = [
        draft.responder.as_ref().map(|it| it.span),
        draft.min_refresh.as_ref().map(|it| it.span),
        draft.max_refresh.as_ref().map(|it| it.span),
    ];
    if !draft.fetch.is_some_and(|it| it.value) {
        if let Some(span) = others.into_iter().flatten().next() {
            let message = "this says how answers of OCSP are fetched, and none are";
            let help = "write `ocsp_fetch = true` too, or take this out";
            found.push(Diagnostic::error(Code::Conflict, span, message).help(help));
        }
        return None;
    }
    if let Some(responder) = &draft.responder {
        let is_bad = |url: &&str| UrlParts::of(url).is_none_or(|parts| parts.tls);
        for url in responder.value.urls().filter(is_bad) {
            let message = format!("`{url}` is no address of a responder");
            let help = "an URL such as `http://ocsp.example/`: what it says is signed, and is asked for without TLS";
            found.push(Diagnostic::error(Code::WrongType, responder.span, message).help(help));
        }
    }
    let min_refresh = draft.min_refresh.map(|it| it.value);
    let min_refresh = min_refresh.unwrap_or(defaults::OCSP_MIN_REFRESH);
    let max_refresh = draft.max_refresh.map(|it| it.value);
    let spans = [draft.min_refresh, draft.max_refresh].map(|it| it.map(|it| it.span));
    let span = spans.into_iter().flatten().next();
    if let Some(span) = span {
        if min_refresh < SHORTEST {
            let message = "answers of OCSP are fetched once a second at most";
            let wrong = Diagnostic::error(Code::OutOfRange, span, message);
            found.push(wrong.help("responders ask for hours"));
        }
        if max_refresh.is_some_and(|most| most < min_refresh) {
            let message = format!(
                "answers of OCSP are fetched after {min_refresh:?} at the earliest, and that is later than at the latest"
            );
            found.push(Diagnostic::error(Code::Conflict, span, message));
        }
    }
    Some(OcspFetch {
        responder: draft.responder.as_ref().map(|it| it.value.clone()),
        min_refresh,
        max_refresh,
    })
}
