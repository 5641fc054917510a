//! What an authority says of a certificate (OCSP, RFC 6960): an answer in a file, and how answers are fetched.

use crate::span::Spanned;
use std::time::Duration;

/// What an authority says of a certificate, and how it is asked (OCSP, RFC 6960).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OcspDraft {
    /// File of an answer, in DER.
    pub file: Option<Spanned<String>>,
    /// The responder is asked.
    pub fetch: Option<Spanned<bool>>,
    /// URL of the responder, in place of the one in the certificate.
    pub responder: Option<Spanned<String>>,
    /// Time between two fetches at least.
    pub min_refresh: Option<Spanned<Duration>>,
    /// Time between two fetches at most.
    pub max_refresh: Option<Spanned<Duration>>,
}

/// How what an authority says of a certificate is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OcspFetch {
    /// URL of the responder; `None`: as the certificate says.
    pub responder: Option<String>,
    /// Time between two fetches at least.
    pub min_refresh: Duration,
    /// Time between two fetches at most; `None`: half of the time that an answer is true.
    pub max_refresh: Option<Duration>,
}
