//! The configuration of rustls towards targets, and what is said when a target is not trusted.
//!
//! Decides whether a target's certificate is good enough: any (verification off), one that leads to an authority, or one that is in
//! the given file itself. With verification off a target still has to prove that it holds the key of the certificate it shows, which
//! rustls's own functions refuse for X.509 v1; so handshake signatures are checked with the bare public key here. The hard thing is
//! to keep "not verified" from becoming "not encrypted to anyone in particular".

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use portway_dataplane::handshake_failure::RefusedCertificate;
use portway_model::settings::{CertificateJudge, VerifyName};
use portway_telemetry::metrics::HandshakeFailure;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};

use super::client_auth::{judged_lists, revocation_lists};
use super::judge::Judge;
use super::pem::{self, PemError};
use super::policy::Policy;
use super::server::provider;
use super::sessions::{Sessions, resumption};
use super::signature;
use super::x509::{CertificateFacts, PublicKeyKind, Validity, day};

/// Servers whose sessions are kept for resumption, per target group.
pub const UPSTREAM_SESSIONS: usize = 256;

/// The same, per target of a group with several: few names are asked for at one.
pub const TARGET_SESSIONS: usize = 64;

/// The shortest RSA key whose signatures are accepted, in bits; the crypto library has no shorter one.
pub const MIN_RSA_BITS: usize = 2048;

/// Which targets are trusted.
#[derive(Debug, Clone)]
pub enum Verification<'a> {
    /// Every one, whatever its certificate says.
    Off,
    /// Those whose certificate leads to one of the system's authorities and names the target.
    Roots {
        /// The PEM text of the bundle, on Debian `/etc/ssl/certs/ca-certificates.crt`.
        bundle: &'a [u8],
        /// What else is asked of a target.
        target: Target<'a>,
    },
    /// Those whose certificate leads to one of these authorities and names the target, or is one of these certificates itself.
    Ca {
        /// PEM text.
        pem: &'a [u8],
        /// What else is asked of a target.
        target: Target<'a>,
    },
}

/// What is asked of a target whose authority is known.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The name that is sent to it, if not the one that the connection is made with. An address is never sent.
    pub name: Option<ServerName<'static>>,
    /// The name that its certificate must have.
    pub otherwise: VerifyName,
    /// PEM text of revocation lists.
    pub crl: Option<&'a [u8]>,
    /// Which certificates are good.
    pub judge: CertificateJudge,
}

impl Target<'_> {
    /// One whose certificate must have this name, or else the one that the connection is made with.
    #[must_use]
    pub fn named(name: Option<ServerName<'static>>) -> Self {
        Self {
            name,
            otherwise: VerifyName::SentOrAddress,
            crl: None,
            judge: CertificateJudge::Portway,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ClientConfigError {
    /// The authorities cannot be read.
    Pem(PemError),
    /// None of the certificates can be an authority.
    NoAuthority,
    /// The revocation lists cannot be read, in words.
    RevocationLists(String),
    /// The policy was not made by [`Policy`]'s own functions.
    Policy(Error),
}

impl fmt::Display for ClientConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => match error.line() {
                Some(line) => write!(f, "line {line}: {error}"),
                None => error.fmt(f),
            },
            Self::NoAuthority => {
                f.write_str("none of the certificates can be read as an authority")
            }
            Self::RevocationLists(error) => write!(f, "the file of revocation lists: {error}"),
            Self::Policy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientConfigError {}

/// The configuration towards the targets of a group. Without `alpn` none is offered.
///
/// The name to connect with, and so the SNI, is given with each connection; an IP address as name sends no SNI.
///
/// # Errors
/// See [`ClientConfigError`].
pub fn client_config(
    verification: &Verification<'_>,
    policy: &Policy,
    alpn: &[Vec<u8>],
) -> Result<Arc<ClientConfig>, ClientConfigError> {
    client_config_as(verification, policy, alpn, None, true)
}

/// What targets are shown where they ask for a certificate.
#[derive(Debug)]
pub struct RenewableKey {
    key: RwLock<Arc<CertifiedKey>>,
    /// Sessions in which it was shown.
    sessions: Mutex<Vec<Weak<Sessions>>>,
}

impl RenewableKey {
    /// Shows this one.
    #[must_use]
    pub fn new(key: Arc<CertifiedKey>) -> Self {
        Self {
            key: RwLock::new(key),
            sessions: Mutex::default(),
        }
    }

    /// Shows this one from now on: a session that is resumed would go on with the old one.
    pub fn renew(&self, key: Arc<CertifiedKey>) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|it| it.upgrade().map(|it| it.forget()).is_some());
    }

    /// Sessions that end with it.
    pub(super) fn shown_in(&self, shown: &Arc<Sessions>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push(Arc::downgrade(shown));
    }
}

impl ResolvesClientCert for RenewableKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(
            self.key
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// As [`client_config`]; targets that ask for a certificate are shown `own`, and sessions are resumed if `resume`.
///
/// # Errors
/// See [`ClientConfigError`].
pub fn client_config_as(
    verification: &Verification<'_>,
    policy: &Policy,
    alpn: &[Vec<u8>],
    own: Option<Arc<RenewableKey>>,
    resume: bool,
) -> Result<Arc<ClientConfig>, ClientConfigError> {
    let provider = provider(policy);
    let algorithms = provider.signature_verification_algorithms;
    let (trust, target) = match verification {
        Verification::Off => (Trust::Anyone, None),
        Verification::Roots { bundle, target } => {
            let trust = Trust::authorities(bundle, target, false, &provider)?;
            (trust, Some(target))
        }
        Verification::Ca { pem, target } => {
            let trust = Trust::authorities(pem, target, true, &provider)?;
            (trust, Some(target))
        }
    };
    let verifier = Arc::new(TargetVerifier {
        trust,
        name: target.and_then(|it| it.name.clone()),
        otherwise: target.map_or(VerifyName::SentOrAddress, |it| it.otherwise.clone()),
        algorithms,
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&policy.versions)
        .map_err(ClientConfigError::Policy)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let resumption = resumption(UPSTREAM_SESSIONS, resume, own.as_deref());
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => config.with_client_cert_resolver(own),
    };
    config.alpn_protocols = alpn.to_vec();
    config.resumption = resumption;
    config.cert_decompressors = Vec::new();
    config.cert_compressors = Vec::new();
    Ok(Arc::new(config))
}

/// The same with sessions of its own: targets cannot resume each other's.
#[must_use]
pub fn apart(config: &ClientConfig, own: Option<&RenewableKey>, resume: bool) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = resumption(TARGET_SESSIONS, resume, own);
    Arc::new(config)
}

/// Why a target's certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untrusted {
    /// It is for other names.
    WrongName {
        /// The name it should have.
        wanted: String,
        /// The names it has.
        presented: Vec<String>,
        /// Its common name, if that is the only name in it.
        common_name: Option<String>,
    },
    /// Its time, or that of one of its chain, is over.
    Expired {
        /// Its last second, in seconds since 1970.
        not_after: i64,
    },
    /// Its time has not begun.
    NotYetValid {
        /// Its first second, in seconds since 1970.
        not_before: i64,
    },
    /// Its authority has revoked it, or another that of an authority between.
    Revoked,
    /// The time of the revocation list that would say whether it is revoked is over.
    ListExpired {
        /// When the next one was to be there, in seconds since 1970, where that is known.
        next_update: Option<i64>,
    },
    /// None of the revocation lists is of the authority that would have revoked it.
    NotListed,
    /// No authority that we trust has signed it.
    UnknownAuthority {
        /// Who issued it, in words.
        issuer: String,
        /// It issued itself.
        self_signed: bool,
    },
    /// It names an authority that we trust as its issuer, or itself has the name of one, but another key signed it.
    OtherKey {
        /// Who issued it, in words.
        issuer: String,
        /// It issued itself.
        self_signed: bool,
    },
    /// X.509 v1, which cannot be verified against an authority.
    Version1,
    /// Its RSA key is shorter than [`MIN_RSA_BITS`].
    ShortKey {
        /// Bits of the key.
        bits: usize,
    },
    /// It is not made for servers.
    WrongPurpose,
    /// It is that of an authority, made to sign others and not for a server.
    AuthorityItself,
    /// It is no certificate.
    Unreadable,
    /// Anything else, in rustls's words.
    Other(String),
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongName { wanted, presented, common_name: None } if presented.is_empty() => write!(f, "the certificate is for no host, not for {wanted}"),
            Self::WrongName { wanted, presented, common_name: None } => write!(f, "the certificate is for {}, not for {wanted}", presented.join(", ")),
            Self::WrongName { wanted, common_name: Some(name), .. } => {
                write!(f, "the certificate names {name} only as its common name, which does not count; it needs {wanted} as a subject alternative name")
            }
            Self::Expired { not_after } => write!(f, "the certificate expired on {}", day(*not_after)),
            Self::NotYetValid { not_before } => write!(f, "the certificate is valid only from {} on", day(*not_before)),
            Self::Revoked => f.write_str("the certificate is revoked: it, or that of an authority between, is in the revocation list of its authority"),
            Self::NotListed => f.write_str("whether the certificate is revoked is not known: none of the revocation lists is of its authority"),
            Self::ListExpired { next_update: None } => f.write_str("whether the certificate is revoked is not known: the time of the revocation list of its authority is over or has not begun, and another one is needed"),
            Self::ListExpired { next_update: Some(next_update) } => write!(f, "whether the certificate is revoked is not known: the revocation list of its authority expired on {}, and a new one is needed", day(*next_update)),
            Self::UnknownAuthority { self_signed: true, .. } => f.write_str("the certificate is self-signed and not among the given ones: give it as the CA to trust it"),
            Self::UnknownAuthority { issuer, .. } => write!(f, "the certificate is issued by an unknown authority (`{issuer}`), or the target does not send its whole chain"),
            Self::OtherKey { issuer, self_signed: true } => write!(f, "the certificate is self-signed, and the given CA has its name (`{issuer}`) but another key: the target's certificate was made anew and the CA file is outdated, or this is not the target"),
            Self::OtherKey { issuer, .. } => write!(f, "the certificate names `{issuer}` as its issuer, but the given CA of this name has another key: the CA file is outdated, or the certificate is forged"),
            Self::Version1 => f.write_str(
                "the certificate is of X.509 version 1, which cannot be verified against an authority: give the certificate itself as the CA, or issue it anew with subject alternative names",
            ),
            Self::ShortKey { bits } => write!(f, "the certificate's RSA key of {bits} bits is too short: at least {MIN_RSA_BITS} are needed"),
            Self::WrongPurpose => f.write_str("the certificate is not made for servers (extended key usage)"),
            Self::AuthorityItself => f.write_str("the certificate is that of an authority (CA:TRUE), not of a server: give it as the CA to trust it for the target itself"),
            Self::Unreadable => f.write_str("what the target shows is not an X.509 certificate"),
            Self::Other(text) => write!(f, "the certificate is refused: {text}"),
        }
    }
}

impl std::error::Error for Untrusted {}

impl Untrusted {
    /// The same for metrics.
    fn kind(&self) -> HandshakeFailure {
        match self {
            Self::WrongName { .. } => HandshakeFailure::WrongName,
            Self::Expired { .. } | Self::NotYetValid { .. } => HandshakeFailure::Expired,
            Self::Revoked => HandshakeFailure::Revoked,
            Self::ListExpired { .. } => HandshakeFailure::CrlExpired,
            Self::UnknownAuthority { .. } | Self::OtherKey { .. } => {
                HandshakeFailure::UnknownAuthority
            }
            Self::NotListed
            | Self::Version1
            | Self::ShortKey { .. }
            | Self::WrongPurpose
            | Self::AuthorityItself
            | Self::Unreadable
            | Self::Other(_) => HandshakeFailure::BadCertificate,
        }
    }
}

impl From<Untrusted> for Error {
    fn from(reason: Untrusted) -> Self {
        let refused = RefusedCertificate::new(reason.kind(), reason);
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// Says in words why a handshake with a target failed.
#[must_use]
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(reason)) => reason.to_string(),
        Error::InvalidCertificate(CertificateError::BadSignature) => "the target does not hold the key of the certificate it shows".to_owned(),
        Error::NoCertificatesPresented => "the target shows no certificate".to_owned(),
        Error::InvalidMessage(_) => "what the target answers is not TLS: does it expect plain text on this port?".to_owned(),
        Error::PeerIncompatible(_) => "the target and the TLS policy have no version or cipher suite in common".to_owned(),
        Error::NoApplicationProtocol | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the target speaks none of the protocols offered by ALPN".to_owned()
        }
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
            "the target refused the handshake: it wants other TLS versions or cipher suites, or a client certificate".to_owned()
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) => "the target speaks none of the TLS versions of the policy".to_owned(),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => "the target does not know the name it was asked for (SNI)".to_owned(),
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate | AlertDescription::UnknownCA) => {
            "the target wants a client certificate".to_owned()
        }
        other => other.to_string(),
    }
}

#[derive(Debug)]
enum Trust {
    Anyone,
    Authorities {
        /// `None` if none of the certificates can be an authority, only a target's own.
        chain: Option<Chain>,
        /// Certificates that are trusted as they are.
        themselves: Vec<CertificateDer<'static>>,
    },
    Judged(Box<Judge>),
}

/// Who verifies chains.
#[derive(Debug)]
struct Chain {
    roots: Arc<RootCertStore>,
    /// Chain and name.
    named: Arc<WebPkiServerVerifier>,
    crls: Vec<webpki::CertRevocationList<'static>>,
}

impl Trust {
    fn authorities(
        text: &[u8],
        target: &Target<'_>,
        themselves: bool,
        provider: &Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Self, ClientConfigError> {
        let certificates = pem::read_certificates(text).map_err(ClientConfigError::Pem)?;
        let crl = target.crl;
        if target.judge == CertificateJudge::Openssl {
            let lists = crl.map(judged_lists).transpose();
            let lists = lists.map_err(ClientConfigError::RevocationLists)?;
            let algorithms = provider.signature_verification_algorithms;
            let judge = Judge::of_servers(&certificates, lists, algorithms);
            return Ok(Self::Judged(Box::new(judge)));
        }
        let mut roots = RootCertStore::empty();
        // Bundles hold odd certificates that no target leads to: only having none at all is an error.
        roots.add_parsable_certificates(certificates.iter().cloned());
        let chain = match roots.is_empty() {
            true => None,
            false => Chain::new(roots, crl, provider)?,
        };
        if chain.is_none() && !themselves {
            return Err(ClientConfigError::NoAuthority);
        }
        Ok(Self::Authorities {
            chain,
            themselves: if themselves { certificates } else { Vec::new() },
        })
    }
}

impl Chain {
    fn new(
        roots: RootCertStore,
        crl: Option<&[u8]>,
        provider: &Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Option<Self>, ClientConfigError> {
        let roots = Arc::new(roots);
        let lists = revocation_lists(crl).map_err(ClientConfigError::RevocationLists)?;
        let read = |list: &CertificateRevocationListDer<'static>| {
            webpki::OwnedCertRevocationList::from_der(list).map(Into::into)
        };
        let crls: Result<Vec<_>, _> = lists.iter().map(read).collect();
        let crls = crls.map_err(|it| ClientConfigError::RevocationLists(it.to_string()))?;
        let named =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
                .with_crls(lists)
                .enforce_revocation_expiration()
                .build();
        Ok(named.ok().map(|named| Self { roots, named, crls }))
    }

    /// Whether the chain is good, for whatever host.
    fn verify(
        &self,
        shown: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        algorithms: &WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Result<(), Error> {
        let (end_entity, intermediates) = shown;
        let crls: Vec<_> = self.crls.iter().collect();
        let revocation = webpki::RevocationOptionsBuilder::new(&crls)
            .map(|it| it.with_expiration_policy(webpki::ExpirationPolicy::Enforce))
            .ok();
        let verified = webpki::EndEntityCert::try_from(end_entity).and_then(|certificate| {
            certificate
                .verify_for_usage(
                    algorithms.all,
                    &self.roots.roots,
                    intermediates,
                    now,
                    webpki::KeyUsage::server_auth(),
                    revocation.map(webpki::RevocationOptionsBuilder::build),
                    None,
                )
                .map(|_| ())
        });
        let Err(why) = verified else {
            return Ok(());
        };
        // The same in rustls's words.
        let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        match self
            .named
            .verify_server_cert(end_entity, intermediates, &nobody, &[], now)
        {
            Err(Error::InvalidCertificate(error)) if !is_about_name(&error) => Err(error.into()),
            _ => Err(Error::General(why.to_string())),
        }
    }
}

fn is_about_name(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    )
}

#[derive(Debug)]
struct TargetVerifier {
    trust: Trust,
    name: Option<ServerName<'static>>,
    otherwise: VerifyName,
    algorithms: WebPkiSupportedAlgorithms,
}

impl TargetVerifier {
    /// Whether the certificate has the name that is asked for.
    fn check_name(
        &self,
        facts: &CertificateFacts,
        sent: &ServerName<'_>,
    ) -> Result<ServerCertVerified, Error> {
        let address = match (sent, &self.otherwise) {
            (ServerName::IpAddress(ip), VerifyName::SentOrAddress) => Some(IpAddr::from(*ip)),
            _ => None,
        };
        if address.is_some_and(|ip| !facts.ip_addresses.contains(&ip)) {
            return Err(wrong_name(facts, &sent.to_str()).into());
        }
        let name = match (sent, &self.otherwise) {
            (ServerName::DnsName(name), _) => Some(name.as_ref()),
            (_, VerifyName::SentOr(name)) => Some(name.as_str()),
            (_, VerifyName::SentOrAny | VerifyName::SentOrAddress) => None,
        };
        match name.filter(|name| !is_for(facts, name)) {
            Some(name) => Err(wrong_name(facts, name).into()),
            None => Ok(ServerCertVerified::assertion()),
        }
    }
}

impl ServerCertVerifier for TargetVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let facts = CertificateFacts::read(end_entity).map_err(|_| Untrusted::Unreadable)?;
        match facts.key {
            PublicKeyKind::Rsa { bits } if bits < MIN_RSA_BITS => {
                return Err(Untrusted::ShortKey { bits }.into());
            }
            _ => {}
        }
        let sent = self.name.as_ref().unwrap_or(server_name);
        let (chain, themselves) = match &self.trust {
            Trust::Anyone => return Ok(ServerCertVerified::assertion()),
            Trust::Authorities { chain, themselves } => (chain, themselves),
            Trust::Judged(judge) => {
                if let (_, Some(fault)) = judge.verdict(end_entity, intermediates, now) {
                    return Err(in_words(fault.error().into(), &facts, sent).into());
                }
                return self.check_name(&facts, sent);
            }
        };
        // First, because a self-signed CA:TRUE certificate given as its own CA is refused by webpki (`CaUsedAsEndEntity`).
        if themselves
            .iter()
            .any(|known| known.as_ref() == end_entity.as_ref())
        {
            return match facts.validity_at(now) {
                Validity::Valid { .. } => Ok(ServerCertVerified::assertion()),
                Validity::Expired => Err(Untrusted::Expired {
                    not_after: facts.not_after,
                }
                .into()),
                Validity::NotYet => Err(Untrusted::NotYetValid {
                    not_before: facts.not_before,
                }
                .into()),
            };
        }
        if facts.version < 3 {
            return Err(Untrusted::Version1.into());
        }
        let Some(chain) = chain else {
            return Err(unknown_authority(&facts).into());
        };
        let verified = if self.otherwise == VerifyName::SentOrAddress {
            let named = &chain.named;
            let verified =
                named.verify_server_cert(end_entity, intermediates, sent, ocsp_response, now);
            verified.map(|_| ())
        } else {
            chain.verify((end_entity, intermediates), &self.algorithms, now)
        };
        verified.map_err(|error| Error::from(in_words(error, &facts, sent)))?;
        if self.otherwise == VerifyName::SentOrAddress {
            return Ok(ServerCertVerified::assertion());
        }
        self.check_name(&facts, sent)
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

fn unknown_authority(facts: &CertificateFacts) -> Untrusted {
    Untrusted::UnknownAuthority {
        issuer: facts.issuer.clone(),
        self_signed: facts.self_signed,
    }
}

/// Whether it names this host; by its common name where it has no alternative names.
fn is_for(facts: &CertificateFacts, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let above = host.split_once('.').map(|(_, above)| above);
    facts
        .names()
        .iter()
        .any(|name| match name.strip_prefix("*.") {
            Some(parent) => above == Some(parent),
            None => *name == host,
        })
}

fn wrong_name(facts: &CertificateFacts, wanted: &str) -> Untrusted {
    let addresses = facts.ip_addresses.iter().map(ToString::to_string);
    let common_name = facts.common_name.clone();
    Untrusted::WrongName {
        wanted: wanted.to_owned(),
        presented: facts.dns_names.iter().cloned().chain(addresses).collect(),
        common_name: common_name.filter(|_| !facts.has_alternative_names),
    }
}

fn in_words(error: Error, facts: &CertificateFacts, name: &ServerName<'_>) -> Untrusted {
    let Error::InvalidCertificate(error) = error else {
        return Untrusted::Other(error.to_string());
    };
    // The dates of the leaf unless rustls knows better: an intermediate may be the one that expired.
    let seconds = |time: UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            wrong_name(facts, &name.to_str())
        }
        CertificateError::ExpiredContext { not_after, .. } => Untrusted::Expired {
            not_after: seconds(not_after),
        },
        CertificateError::Expired => Untrusted::Expired {
            not_after: facts.not_after,
        },
        CertificateError::NotValidYetContext { not_before, .. } => Untrusted::NotYetValid {
            not_before: seconds(not_before),
        },
        CertificateError::NotValidYet => Untrusted::NotYetValid {
            not_before: facts.not_before,
        },
        CertificateError::ExpiredRevocationListContext { next_update, .. } => {
            Untrusted::ListExpired {
                next_update: Some(seconds(next_update)),
            }
        }
        CertificateError::ExpiredRevocationList => Untrusted::ListExpired { next_update: None },
        CertificateError::Revoked => Untrusted::Revoked,
        CertificateError::UnknownRevocationStatus => Untrusted::NotListed,
        CertificateError::UnknownIssuer => unknown_authority(facts),
        CertificateError::BadSignature => Untrusted::OtherKey {
            issuer: facts.issuer.clone(),
            self_signed: facts.self_signed,
        },
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Untrusted::WrongPurpose
        }
        CertificateError::BadEncoding => Untrusted::Unreadable,
        CertificateError::Other(OtherError(reason)) => match reason.downcast_ref::<webpki::Error>()
        {
            Some(webpki::Error::CaUsedAsEndEntity) if facts.self_signed => unknown_authority(facts),
            Some(webpki::Error::CaUsedAsEndEntity) => Untrusted::AuthorityItself,
            _ => Untrusted::Other(reason.to_string()),
        },
        other => Untrusted::Other(other.to_string()),
    }
}
