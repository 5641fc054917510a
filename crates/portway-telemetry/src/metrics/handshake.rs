//! Why handshakes with clients fail: a closed list, and a counter for each.

use super::cell::Counter;

/// Why a handshake with a client failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// The client closed or reset the connection in the middle of it.
    Closed,
    /// The client was too slow.
    Timeout,
    /// What came was not TLS: HTTP in the clear, mostly.
    NotTls,
    /// There is no certificate for the name that the client asked for, and another is not shown.
    UnknownName,
    /// There is no version that both speak.
    Version,
    /// There is no cipher suite, group or signature scheme that both know.
    Cipher,
    /// There is no protocol (ALPN) that both speak.
    Protocol,
    /// The client showed no certificate, and one is required.
    NoCertificate,
    /// The client's certificate is not valid any more, or not yet.
    Expired,
    /// The client's certificate comes from nobody who is trusted.
    UnknownAuthority,
    /// The client's certificate is revoked.
    Revoked,
    /// The revocation list of the authority of the client's certificate is over.
    CrlExpired,
    /// Something else is wrong with the client's certificate.
    BadCertificate,
    /// The client said that it does not go on: it does not believe our certificate, mostly.
    Alert,
    /// Anything else.
    Other,
}

impl HandshakeFailure {
    /// Every reason.
    pub const ALL: [HandshakeFailure; 15] = [
        HandshakeFailure::Closed,
        HandshakeFailure::Timeout,
        HandshakeFailure::NotTls,
        HandshakeFailure::UnknownName,
        HandshakeFailure::Version,
        HandshakeFailure::Cipher,
        HandshakeFailure::Protocol,
        HandshakeFailure::NoCertificate,
        HandshakeFailure::Expired,
        HandshakeFailure::UnknownAuthority,
        HandshakeFailure::Revoked,
        HandshakeFailure::CrlExpired,
        HandshakeFailure::BadCertificate,
        HandshakeFailure::Alert,
        HandshakeFailure::Other,
    ];

    /// The label value.
    pub const fn word(self) -> &'static str {
        match self {
            HandshakeFailure::Closed => "closed",
            HandshakeFailure::Timeout => "timeout",
            HandshakeFailure::NotTls => "not_tls",
            HandshakeFailure::UnknownName => "unknown_name",
            HandshakeFailure::Version => "version",
            HandshakeFailure::Cipher => "cipher",
            HandshakeFailure::Protocol => "protocol",
            HandshakeFailure::NoCertificate => "no_certificate",
            HandshakeFailure::Expired => "certificate_expired",
            HandshakeFailure::UnknownAuthority => "certificate_unknown_ca",
            HandshakeFailure::Revoked => "certificate_revoked",
            HandshakeFailure::CrlExpired => "crl_expired",
            HandshakeFailure::BadCertificate => "certificate_bad",
            HandshakeFailure::Alert => "alert",
            HandshakeFailure::Other => "other",
        }
    }
}

/// Handshakes that failed, by reason.
#[derive(Debug, Default)]
pub struct HandshakeFailures([Counter; HandshakeFailure::ALL.len()]);

impl HandshakeFailures {
    /// Counts one.
    pub fn count(&self, why: HandshakeFailure) {
        if let Some(counter) = self.0.get(why as usize) {
            counter.add(1);
        }
    }

    pub(super) fn value(&self, why: HandshakeFailure) -> u64 {
        self.0.get(why as usize).map_or(0, Counter::value)
    }

    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(Counter::value).sum()
    }
}
