//! Signatures of handshakes, checked with the bare public key of the certificate that was shown.
//!
//! rustls's own functions parse the certificate, and refuse X.509 v1; whether a certificate is trusted is decided elsewhere.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use super::client::Untrusted;
use super::resolver::SCHEMES;
use super::x509::CertificateFacts;

/// Of TLS 1.2.
pub(super) fn tls12(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = public_key(certificate)?;
    let candidates = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme && SCHEMES.contains(scheme));
    let (_, candidates) =
        candidates.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let key = webpki::RawPublicKeyEntity::try_from(&spki).map_err(|_| Untrusted::Unreadable)?;
    // TLS 1.2 does not tie the scheme to a curve (RFC 8446 section 4.2.3): the one that fits the key decides.
    let verified = candidates.iter().any(|algorithm| {
        key.verify_signature(*algorithm, message, signed.signature())
            .is_ok()
    });
    if verified {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// Of TLS 1.3.
pub(super) fn tls13(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature_with_raw_key(message, &public_key(certificate)?, signed, algorithms)
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let facts = CertificateFacts::read(certificate).map_err(|_| Untrusted::Unreadable)?;
    Ok(SubjectPublicKeyInfoDer::from(facts.spki))
}
