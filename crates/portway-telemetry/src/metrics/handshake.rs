//! Why handshakes with clients and targets fail: a closed list, and a counter for each.

use super::cell::Counter;

/// Why a handshake failed. With a target, the other side is the target, and its certificate is never missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// The other side closed or reset the connection in the middle of it.
    Closed,
    /// The other side was too slow.
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
    /// The other side's certificate is not valid any more, or not yet.
    Expired,
    /// The other side's certificate comes from nobody who is trusted.
    UnknownAuthority,
    /// The other side's certificate is revoked.
    Revoked,
    /// The revocation list of the authority of the other side's certificate is over.
    CrlExpired,
    /// A target's certificate is for another name.
    WrongName,
    /// Something else is wrong with the other side's certificate.
    BadCertificate,
    /// The other side said that it does not go on: a client does not believe our certificate, mostly; a target wants another one of us.
    Alert,
    /// Anything else.
    Other,
}

impl HandshakeFailure {
    /// Every reason.
    pub const ALL: [HandshakeFailure; 16] = [
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
        HandshakeFailure::WrongName,
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
            HandshakeFailure::WrongName => "certificate_name",
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
