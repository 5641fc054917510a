//! Why a handshake with a client or a target failed, for metrics: what rustls says, in the words of a closed list.

use portway_telemetry::metrics::HandshakeFailure;
use rustls::{CertificateError, Error, OtherError, PeerIncompatible};
use std::fmt;
use std::io;

/// `is_answered`: the client has said what it wants; `is_shown`: there is a certificate for that.
pub(crate) fn failure(error: &io::Error, is_answered: bool, is_shown: bool) -> HandshakeFailure {
    match error.kind() {
        io::ErrorKind::TimedOut => return HandshakeFailure::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => return HandshakeFailure::Closed,
        _ => {}
    }
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
    match inner {
        Some(error) => of_tls(error, is_answered, is_shown),
        None => HandshakeFailure::Other,
    }
}

/// Why a certificate is refused, in words and with their kind: rustls carries it to the connection as it is.
#[derive(Debug)]
pub struct RefusedCertificate {
    why: HandshakeFailure,
    said: Box<dyn std::error::Error + Send + Sync>,
}

impl RefusedCertificate {
    /// The kind and the words of it.
    pub fn new(
        why: HandshakeFailure,
        said: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            why,
            said: said.into(),
        }
    }
}

impl fmt::Display for RefusedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.said.fmt(f)
    }
}

impl std::error::Error for RefusedCertificate {}

fn of_tls(error: &Error, is_answered: bool, is_shown: bool) -> HandshakeFailure {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::NoCertificatesPresented => HandshakeFailure::NoCertificate,
        Error::PeerIncompatible(why) => incompatible(why),
        Error::NoApplicationProtocol => HandshakeFailure::Protocol,
        Error::AlertReceived(_) => HandshakeFailure::Alert,
        Error::InvalidCertRevocationList(_) => HandshakeFailure::BadCertificate,
        // Before a ClientHello was understood.
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } if !is_answered => {
            HandshakeFailure::NotTls
        }
        // rustls has no certificate to show.
        Error::General(_) if is_answered && !is_shown => HandshakeFailure::UnknownName,
        _ => HandshakeFailure::Other,
    }
}

fn of_certificate(why: &CertificateError) -> HandshakeFailure {
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => HandshakeFailure::Expired,
        CertificateError::UnknownIssuer => HandshakeFailure::UnknownAuthority,
        CertificateError::Revoked => HandshakeFailure::Revoked,
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => HandshakeFailure::CrlExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            HandshakeFailure::WrongName
        }
        CertificateError::Other(OtherError(reason)) => {
            let refused = reason.downcast_ref::<RefusedCertificate>();
            refused.map_or(HandshakeFailure::BadCertificate, |it| it.why)
        }
        _ => HandshakeFailure::BadCertificate,
    }
}

fn incompatible(why: &PeerIncompatible) -> HandshakeFailure {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired => HandshakeFailure::Cipher,
        // A client of TLS 1.1 or older says nothing of signatures.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => HandshakeFailure::Version,
        _ => HandshakeFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, InvalidMessage};
    use std::sync::Arc;

    #[test]
    fn reasons() {
        let check = |error: Error, is_answered: bool, is_shown: bool, expected| {
            let text = format!("{error:?}");
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(failure(&error, is_answered, is_shown), expected, "{text}");
        };
        let general = || Error::General("no server certificate chain resolved".to_owned());
        check(general(), true, false, HandshakeFailure::UnknownName);
        check(general(), true, true, HandshakeFailure::Other);
        let message = || Error::InvalidMessage(InvalidMessage::InvalidContentType);
        check(message(), false, false, HandshakeFailure::NotTls);
        check(message(), true, true, HandshakeFailure::Other);
        for (why, expected) in [
            (CertificateError::Expired, HandshakeFailure::Expired),
            (CertificateError::NotValidYet, HandshakeFailure::Expired),
            (
                CertificateError::UnknownIssuer,
                HandshakeFailure::UnknownAuthority,
            ),
            (CertificateError::Revoked, HandshakeFailure::Revoked),
            (
                CertificateError::ExpiredRevocationList,
                HandshakeFailure::CrlExpired,
            ),
            (
                CertificateError::BadSignature,
                HandshakeFailure::BadCertificate,
            ),
        ] {
            check(why.into(), true, true, expected);
        }
        for expected in [HandshakeFailure::Revoked, HandshakeFailure::WrongName] {
            let refused = OtherError(Arc::new(RefusedCertificate::new(expected, "so")));
            check(
                CertificateError::Other(refused).into(),
                true,
                true,
                expected,
            );
        }
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        check(alert, true, true, HandshakeFailure::Alert);
        let none = Error::NoCertificatesPresented;
        check(none, true, true, HandshakeFailure::NoCertificate);
        let suites = PeerIncompatible::NoCipherSuitesInCommon;
        check(suites.into(), true, true, HandshakeFailure::Cipher);
        let version = PeerIncompatible::Tls12NotOfferedOrEnabled;
        check(version.into(), true, true, HandshakeFailure::Version);
        for (kind, expected) in [
            (io::ErrorKind::TimedOut, HandshakeFailure::Timeout),
            (io::ErrorKind::UnexpectedEof, HandshakeFailure::Closed),
            (io::ErrorKind::ConnectionReset, HandshakeFailure::Closed),
            (io::ErrorKind::PermissionDenied, HandshakeFailure::Other),
        ] {
            assert_eq!(failure(&kind.into(), true, true), expected, "{kind:?}");
        }
    }
}
