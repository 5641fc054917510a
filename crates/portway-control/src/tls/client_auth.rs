//! Which certificates of clients are good: those that lead to a given authority and are not revoked, or that are given
//! themselves.
//!
//! A certificate in the file of CAs is trusted as it is, and where revocation lists are given, every certificate of a chain needs
//! one that does not name it and whose time is not over. Where OpenSSL's judgement is asked for, `judge` has it.

use std::fmt;
use std::sync::Arc;

use portway_dataplane::client_tls::{Judged, JudgesClients, leave_judged};
use portway_model::settings::{CertificateJudge, Faults};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use super::client::Untrusted;
use super::judge::Judge;
use super::link::List;
use super::pem::{self, PemError};
use super::policy::Policy;
use super::revocation::newest_first;
use super::server::provider;
use super::signature;
use super::x509::{CertificateFacts, Validity};

/// Which clients are let in.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'a> {
    /// PEM text of the authorities, and of certificates that are good themselves.
    pub ca: Option<&'a [u8]>,
    /// The same of more, whose names clients are not told.
    pub unnamed_ca: Option<&'a [u8]>,
    /// PEM text of revocation lists.
    pub crl: Option<&'a [u8]>,
    /// Clients without a certificate are refused.
    pub required: bool,
    /// Which certificates are good.
    pub judge: CertificateJudge,
    /// What may be wrong with a client's own certificate, and with those above it, where OpenSSL's judgement is asked for.
    pub ignored: (Faults, Faults),
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
#[derive(Debug, Clone)]
pub struct Asking {
    /// Judges in handshakes.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// Knows what was let pass; `None`: nothing ever is.
    pub judge: Option<Arc<dyn JudgesClients>>,
}

/// See [`Asking`].
///
/// # Errors
/// See [`ClientsError`].
pub fn asking(clients: &Clients<'_>, policy: &Policy) -> Result<Asking, ClientsError> {
    let provider = provider(policy);
    let read = |text: Option<&[u8]>| match text {
        Some(text) => pem::read_certificates(text).map_err(ClientsError::Authorities),
        None => Ok(Vec::new()),
    };
    let mut given = read(clients.ca)?;
    let mut named = RootCertStore::empty();
    named.add_parsable_certificates(given.iter().cloned());
    let hints = named.subjects();
    given.extend(read(clients.unnamed_ca)?);
    let algorithms = provider.signature_verification_algorithms;
    let (good, judge) = match clients.judge {
        CertificateJudge::Portway => {
            let lists = revocation_lists(clients.crl).map_err(ClientsError::RevocationLists)?;
            (Good::within(given, lists, &provider)?, None)
        }
        CertificateJudge::Openssl => {
            let lists = clients.crl.map(judged_lists).transpose();
            let lists = lists.map_err(ClientsError::RevocationLists)?;
            let judge = Arc::new(Judge::of_clients(
                &given,
                lists,
                clients.ignored,
                algorithms,
            ));
            let known = judge.lets_pass().then(|| judge.clone() as Arc<_>);
            (Good::Judged(judge), known)
        }
    };
    let verifier = Arc::new(Verifier {
        good,
        hints,
        required: clients.required,
        algorithms,
    });
    Ok(Asking { verifier, judge })
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
        Ok(mut lists) => {
            newest_first(&mut lists);
            Ok(lists)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Which certificates are good.
#[derive(Debug)]
enum Good {
    Within {
        /// `None` if none of the certificates can be an authority, only a client's own.
        chain: Option<Arc<dyn ClientCertVerifier>>,
        given: Vec<CertificateDer<'static>>,
    },
    Judged(Arc<Judge>),
}

impl Good {
    fn within(
        given: Vec<CertificateDer<'static>>,
        lists: Vec<CertificateRevocationListDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, ClientsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(given.iter().cloned());
        let chain = if roots.is_empty() {
            None
        } else {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                    .with_crls(lists)
                    .enforce_revocation_expiration()
                    .allow_unauthenticated()
                    .build();
            Some(verifier.map_err(|error| ClientsError::RevocationLists(error.to_string()))?)
        };
        Ok(Self::Within { chain, given })
    }
}

/// Leaves what it finds with the thread, for the connection.
fn judged(
    judge: &Judge,
    own: &CertificateDer<'_>,
    sent: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<ClientCertVerified, Error> {
    let (verdict, wrong) = judge.verdict(own, sent, now);
    leave_judged(Judged {
        verdict,
        refused: wrong.map(|_| own.as_ref().into()),
        ends_above: wrong.is_some_and(|it| it.depth > 0),
    });
    match wrong {
        None => Ok(ClientCertVerified::assertion()),
        Some(fault) => Err(fault.error().into()),
    }
}

/// Revocation lists of a PEM text for [`Judge`].
pub(super) fn judged_lists(text: &[u8]) -> Result<Vec<List>, String> {
    let lists = revocation_lists(Some(text))?;
    let lists: Option<Vec<List>> = lists.iter().map(|it| List::read(it)).collect();
    lists.ok_or_else(|| "one of the lists cannot be read".to_owned())
}

#[derive(Debug)]
struct Verifier {
    good: Good,
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
        let (chain, given) = match &self.good {
            Good::Within { chain, given } => (chain, given),
            Good::Judged(judge) => return judged(judge, end_entity, intermediates, now),
        };
        let itself = |known: &CertificateDer<'_>| known.as_ref() == end_entity.as_ref();
        if given.iter().any(itself) {
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
        match chain {
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
