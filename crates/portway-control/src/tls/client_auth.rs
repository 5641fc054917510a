//! Which certificates of clients are good: those that lead to a given authority and are not revoked, or that are given
//! themselves.
//!
//! As OpenSSL does where a file of CAs is given: a certificate in that file is trusted as it is, and where revocation lists are
//! given, every certificate of a chain needs one that does not name it.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use super::client::Untrusted;
use super::pem::{self, PemError};
use super::policy::Policy;
use super::server::provider;
use super::signature;
use super::x509::{CertificateFacts, Validity};

/// Which clients are let in.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'a> {
    /// PEM text of the authorities, and of certificates that are good themselves.
    pub ca: &'a [u8],
    /// PEM text of revocation lists.
    pub crl: Option<&'a [u8]>,
    /// Clients without a certificate are refused.
    pub required: bool,
}

/// Why clients cannot be judged.
#[derive(Debug)]
pub enum ClientsError {
    /// The authorities cannot be read.
    Authorities(PemError),
    /// The revocation lists cannot be read, in words.
    RevocationLists(String),
}

impl fmt::Display for ClientsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorities(error) => match error.line() {
                Some(line) => write!(f, "the CA file, line {line}: {error}"),
                None => write!(f, "the CA file: {error}"),
            },
            Self::RevocationLists(error) => write!(f, "the file of revocation lists: {error}"),
        }
    }
}

impl std::error::Error for ClientsError {}

/// What asks clients for certificates and judges them.
///
/// # Errors
/// See [`ClientsError`].
pub fn verifier(
    clients: &Clients<'_>,
    policy: &Policy,
) -> Result<Arc<dyn ClientCertVerifier>, ClientsError> {
    let provider = provider(policy);
    let given = pem::read_certificates(clients.ca).map_err(ClientsError::Authorities)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(given.iter().cloned());
    let hints = roots.subjects();
    let chain = if roots.is_empty() {
        None
    } else {
        let lists = revocation_lists(clients.crl).map_err(ClientsError::RevocationLists)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .with_crls(lists)
                .allow_unauthenticated()
                .build();
        Some(verifier.map_err(|error| ClientsError::RevocationLists(error.to_string()))?)
    };
    Ok(Arc::new(Verifier {
        chain,
        given,
        hints,
        required: clients.required,
        algorithms: provider.signature_verification_algorithms,
    }))
}

/// Revocation lists of a PEM text; none without one.
pub(super) fn revocation_lists(
    text: Option<&[u8]>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    match lists {
        Ok(lists) if lists.is_empty() => {
            let none = "there is no `X509 CRL` block in it";
            Err(none.to_owned())
        }
        Ok(lists) => Ok(lists),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Debug)]
struct Verifier {
    /// `None` if none of the certificates can be an authority, only a client's own.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    given: Vec<CertificateDer<'static>>,
    hints: Vec<DistinguishedName>,
    required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let itself = |known: &CertificateDer<'_>| known.as_ref() == end_entity.as_ref();
        if self.given.iter().any(itself) {
            let facts = CertificateFacts::read(end_entity).map_err(|_| Untrusted::Unreadable)?;
            let (not_after, not_before) = (facts.not_after, facts.not_before);
            return match facts.validity_at(now) {
                Validity::Valid { .. } => Ok(ClientCertVerified::assertion()),
                Validity::Expired => Err(Untrusted::Expired { not_after }.into()),
                Validity::NotYet => Err(Untrusted::NotYetValid { not_before }.into()),
            };
        }
        let facts = CertificateFacts::read(end_entity).map_err(|_| Untrusted::Unreadable)?;
        if facts.version < 3 {
            return Err(Untrusted::Version1.into());
        }
        match &self.chain {
            Some(chain) => chain.verify_client_cert(end_entity, intermediates, now),
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls12(&self.algorithms, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls13(&self.algorithms, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
