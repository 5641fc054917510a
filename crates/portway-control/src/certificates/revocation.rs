//! Revocation lists that clients and targets are judged by.

use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::Span;
use rustls_pki_types::UnixTime;

use crate::renewal::Certificates;
use crate::tls::revocation::lists;
use crate::tls::x509::day;

/// When the first of these is over, in seconds since 1970.
pub(super) fn end_of(text: &[u8]) -> Option<u64> {
    let first = lists(text).iter().map(|list| list.next_update).min()?;
    Some(u64::try_from(first).unwrap_or(0))
}

/// Remembers until when these are good, and warns of those that are not. `who` judges by them.
pub(super) fn note(
    who: &str,
    text: &[u8],
    (span, now): (Span, UnixTime),
    renewable: &mut Certificates,
    found: &mut Diagnostics,
) {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    for list in lists(text) {
        if list.next_update <= now {
            let message = format!(
                "{who}: the revocation list of `{}` expired on {}: no certificate of this authority is accepted",
                list.issuer,
                day(list.next_update)
            );
            let help = "put the authority's new list in the file, and have it read: `portway reload --certificates`";
            found.push(Diagnostic::warning(Code::CertificateWarning, span, message).help(help));
        }
        renewable.add_list(list);
    }
}
