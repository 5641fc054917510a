//! A chain and its private key, checked and ready to be shown to clients.
//!
//! Decides which certificate of a file is the server's own, in which order its chain is sent and what deserves a warning. Whether the
//! chain leads to an authority that clients trust cannot be known here. The hard thing is that people's files hold certificates in
//! any order, with some that do not belong: the key tells which one is the leaf, and issuers and subjects tell the rest.

use std::fmt;
use std::sync::Arc;

use portway_telemetry::events::CERTIFICATE_WARNING_DAYS;
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::pem::{self, PemError};
use super::staple::{Staple, verifies};
use super::x509::{CertificateFacts, DAY, Fingerprint, PublicKeyKind, Validity, day};

/// The longest chain we send, leaf included. Public chains have two to four certificates; clients give up at about ten.
pub const MAX_CHAIN: usize = 10;

/// A PEM text and the name to call it by in messages, mostly a path.
#[derive(Debug, Clone, Copy)]
pub struct PemSource<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// Its bytes.
    pub text: &'a [u8],
}

/// A certificate chain with its private key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// For rustls: the chain from the leaf upwards, and the key.
    pub certified_key: Arc<CertifiedKey>,
    /// The certificate of whoever issued the leaf, where the files have it.
    pub issuer_certificate: Option<CertificateDer<'static>>,
    /// Where its authority is asked about it (OCSP), as it says itself.
    pub responder: Option<String>,
    /// It asks clients to insist on being shown an answer of its authority.
    pub is_must_staple: bool,
    /// What its authority says of it, where clients are to be shown that.
    pub staple: Option<Arc<Staple>>,
    /// Host names that it serves, in lower case, wildcards as `*.example.com`.
    pub names: Vec<String>,
    /// One that it serves besides, where it is the first to: its common name.
    pub common_name: Option<String>,
    /// Host names that its wildcards do not serve.
    pub left_out: Vec<String>,
    /// First second of validity of the leaf, in seconds since 1970.
    pub not_before: i64,
    /// Last second of validity of the leaf, in seconds since 1970.
    pub not_after: i64,
    /// The algorithm of its key.
    pub key_kind: KeyKind,
    /// SHA-256 of the leaf.
    pub fingerprint: Fingerprint,
    /// The subject of the leaf in words.
    pub subject: String,
    /// The issuer of the leaf in words.
    pub issuer: String,
}

impl Identity {
    /// The last second of the answer of OCSP that is shown with it; 0: none is, `None`: none is wanted.
    pub(crate) fn ocsp_until(&self, now: UnixTime) -> Option<i64> {
        let staple = self.staple.as_ref()?;
        Some(staple.validity(now).map_or(0, |it| it.until))
    }

    /// True where its authority says that it is revoked, as far as is known.
    pub(crate) fn is_revoked(&self) -> bool {
        self.staple.as_ref().is_some_and(|it| it.is_revoked())
    }

    /// Serves these names in place of those in the certificate, where there are any; `!` before one that wildcards leave out.
    #[must_use]
    pub fn serving(mut self, names: &[String]) -> Self {
        if !names.is_empty() {
            let (left_out, served) = names.iter().cloned().partition(|it| it.starts_with('!'));
            self.names = served;
            self.common_name = None;
            let left_out: Vec<String> = left_out;
            self.left_out = left_out
                .iter()
                .map(|it| it.trim_start_matches('!').to_owned())
                .collect();
        }
        self
    }
}

/// Algorithms of keys that we can sign with, the preferred one first: the order in which certificates for one name are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256, P-384 or P-521.
    Ecdsa,
    /// Ed25519; browsers do not take it, so it is only ever used for clients that offer it.
    Ed25519,
    /// RSA of 2048 to 8192 bits.
    Rsa,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        })
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Clients will, or soon will, have trouble.
    Warning,
}

/// Something noticed about an identity that can be used nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A certificate of the chain is past its last day.
    Expired {
        /// Its subject.
        subject: String,
        /// Its last second, in seconds since 1970.
        not_after: i64,
    },
    /// A certificate of the chain is not valid yet.
    NotYetValid {
        /// Its subject.
        subject: String,
        /// Its first second, in seconds since 1970.
        not_before: i64,
    },
    /// A certificate of the chain ends within [`CERTIFICATE_WARNING_DAYS`].
    ExpiresSoon {
        /// Its subject.
        subject: String,
        /// Its last second, in seconds since 1970.
        not_after: i64,
        /// Whole days left.
        days: i64,
    },
    /// A certificate that belongs neither to the key nor to the chain; it is not sent.
    Unrelated {
        /// Its subject.
        subject: String,
        /// Where it is.
        place: Place,
    },
    /// The chain ends in a self-signed root, which clients have or do not trust; it is not sent.
    RootLeftOut {
        /// Its subject.
        subject: String,
    },
    /// The chain has more than [`MAX_CHAIN`] certificates; the rest is not sent.
    ChainCut,
    /// An X.509 v1 certificate: it has no list of names, and strict clients refuse it.
    Version1 {
        /// Its subject.
        subject: String,
    },
    /// There is no host name in the certificate: it is only ever the default.
    NoNames {
        /// Its subject.
        subject: String,
    },
    /// The names come from the common name; today's clients only read subject alternative names.
    CommonNameOnly {
        /// The common name.
        name: String,
    },
}

impl Finding {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::ExpiresSoon { .. }
            | Self::Unrelated { .. }
            | Self::ChainCut => Severity::Warning,
            Self::RootLeftOut { .. }
            | Self::Version1 { .. }
            | Self::NoNames { .. }
            | Self::CommonNameOnly { .. } => Severity::Note,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { subject, not_after } => write!(
                f,
                "the certificate `{subject}` expired on {}: clients will refuse it",
                day(*not_after)
            ),
            Self::NotYetValid {
                subject,
                not_before,
            } => {
                write!(
                    f,
                    "the certificate `{subject}` is valid only from {} on: clients will refuse it until then (or this machine's clock is wrong)",
                    day(*not_before)
                )
            }
            Self::ExpiresSoon {
                subject,
                not_after,
                days,
            } => write!(
                f,
                "the certificate `{subject}` expires on {}, in {days} days",
                day(*not_after)
            ),
            Self::Unrelated { subject, place } => write!(
                f,
                "the certificate `{subject}` ({place}) does not belong to the chain and is not sent"
            ),
            Self::RootLeftOut { subject } => write!(
                f,
                "the root certificate `{subject}` is not sent: clients that trust it have it"
            ),
            Self::ChainCut => write!(
                f,
                "the chain is longer than {MAX_CHAIN} certificates; the rest is not sent"
            ),
            Self::Version1 { subject } => write!(
                f,
                "the certificate `{subject}` is of X.509 version 1: it works, but strict clients refuse it"
            ),
            Self::NoNames { subject } => write!(
                f,
                "the certificate `{subject}` names no host: it is used only as the default certificate"
            ),
            Self::CommonNameOnly { name } => {
                write!(
                    f,
                    "the certificate has no subject alternative names; it is used for its common name `{name}`, which today's clients do not accept"
                )
            }
        }
    }
}

/// Where a block stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of its [`PemSource`].
    pub source: String,
    /// The line of its `BEGIN`, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}

/// Why certificates and a key make no identity. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityError {
    /// A text is wrong in itself, or (`source` names them all) something is missing in all of them.
    Pem {
        /// The name of the text.
        source: String,
        /// What is wrong.
        error: PemError,
    },
    /// A second, different private key in another text.
    TwoKeys {
        /// The first one.
        first: Place,
        /// The second one.
        second: Place,
    },
    /// A certificate block that holds no certificate.
    BadCertificate(Place),
    /// A key that is damaged, too short or of an algorithm that TLS here does not have.
    BadKey {
        /// Where it is.
        place: Place,
        /// The kind of the first certificate's key, which hints at the reason.
        certificate_key: PublicKeyKind,
    },
    /// No certificate belongs to the key.
    KeyMismatch {
        /// Where the key is.
        key: Place,
        /// The first certificate.
        certificate: Place,
        /// Its subject.
        subject: String,
        /// The algorithm of its key.
        certificate_key: PublicKeyKind,
        /// The algorithm of the private key.
        key_kind: KeyKind,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { source, error } => match error.line() {
                Some(line) => write!(f, "{source}:{line}: {error}"),
                None => write!(f, "{source}: {error}"),
            },
            Self::TwoKeys { first, second } => write!(
                f,
                "{second}: a second private key, different from the one at {first}: keep the one that belongs to the certificate"
            ),
            Self::BadCertificate(place) => write!(
                f,
                "{place}: this block is not an X.509 certificate: it is damaged"
            ),
            Self::BadKey {
                place,
                certificate_key,
            } => match certificate_key {
                PublicKeyKind::Rsa { bits } if *bits < 2048 => write!(
                    f,
                    "{place}: the RSA key of {bits} bits is too short to be safe: make one of 2048 bits or more, or an ECDSA key"
                ),
                PublicKeyKind::Other(_) => write!(
                    f,
                    "{place}: the key is of {certificate_key}: use an ECDSA (P-256, P-384, P-521), RSA or Ed25519 key"
                ),
                _ => write!(
                    f,
                    "{place}: the private key is damaged or not an ECDSA (P-256, P-384, P-521), RSA (2048 to 8192 bits) or Ed25519 key"
                ),
            },
            Self::KeyMismatch {
                key,
                certificate,
                subject,
                certificate_key,
                key_kind,
            } => write!(
                f,
                "the private key ({key_kind}, {key}) does not belong to the certificate `{subject}` ({certificate_key}, {certificate}); compare: `openssl x509 -noout -pubkey -in CERTIFICATE` and `openssl pkey -pubout -in KEY` must print the same"
            ),
        }
    }
}

impl std::error::Error for IdentityError {}

/// Reads certificates and their key from one or several texts and puts the chain in order.
///
/// The leaf is the certificate whose public key is the private key's; of several (a renewal with the same key) the one valid at `now`
/// that lasts longest. The chain follows issuers upwards; a self-signed root at its end is left out, since clients either have it or
/// do not trust it (RFC 8446 section 4.4.2).
///
/// # Errors
/// See [`IdentityError`]. An expired certificate is a finding, not an error: a balancer that refuses to start with one is worse than
/// one that runs with a warning.
pub fn load_identity(
    sources: &[PemSource<'_>],
    now: UnixTime,
) -> Result<(Identity, Vec<Finding>), IdentityError> {
    let (candidates, key) = read_all(sources)?;
    let signing_key =
        aws_lc_rs::sign::any_supported_type(&key.der).map_err(|_| IdentityError::BadKey {
            place: key.place.clone(),
            certificate_key: candidates
                .first()
                .map_or(PublicKeyKind::Other(String::new()), |first| {
                    first.facts.key.clone()
                }),
        })?;
    let key_kind = kind_of(signing_key.as_ref());
    let leaf = find_leaf(&candidates, signing_key.as_ref(), now)
        .ok_or_else(|| mismatch(&candidates, &key, key_kind))?;

    let mut findings = Vec::new();
    let chain = order_chain(&candidates, leaf, now, &mut findings);
    judge_leaf(&leaf.facts, &mut findings);
    chain
        .iter()
        .for_each(|link| judge_dates(&link.facts, now, &mut findings));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));

    let issuer = candidates.iter().map(|it| &it.der);
    let issuer = issuer_of(&leaf.der, issuer);
    let certificates = chain.iter().map(|link| link.der.clone()).collect();
    let identity = Identity {
        // Not `from_der`, which refuses X.509 v1; the keys were compared above.
        certified_key: Arc::new(CertifiedKey::new(certificates, signing_key)),
        issuer_certificate: issuer.cloned(),
        responder: leaf.facts.responders.first().cloned(),
        is_must_staple: leaf.facts.is_must_staple,
        staple: None,
        names: leaf.facts.names(),
        common_name: leaf.facts.common_name_besides(),
        left_out: Vec::new(),
        not_before: leaf.facts.not_before,
        not_after: leaf.facts.not_after,
        key_kind,
        fingerprint: leaf.facts.fingerprint,
        subject: leaf.facts.subject.clone(),
        issuer: leaf.facts.issuer.clone(),
    };
    Ok((identity, findings))
}

/// Whoever has issued a certificate. Authorities of one name are told apart by who has made the signature, where that is of an
/// algorithm that is still held for safe.
pub(crate) fn issuer_of<'c>(
    leaf: &[u8],
    candidates: impl Iterator<Item = &'c CertificateDer<'static>>,
) -> Option<&'c CertificateDer<'static>> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let mut named = candidates.filter_map(|der| {
        let (_, issuer) = X509Certificate::from_der(der).ok()?;
        (issuer.subject().as_raw() == leaf.issuer().as_raw()).then_some((der, issuer))
    });
    let first = named.next()?;
    let signed = leaf.tbs_certificate.as_ref();
    let has_signed = |it: &X509Certificate<'_>| verifies(it, signed, &leaf.signature_value.data);
    match has_signed(&first.1) {
        true => Some(first.0),
        false => named
            .find(|(_, issuer)| has_signed(issuer))
            .map_or(Some(first.0), |(der, _)| Some(der)),
    }
}

struct Candidate {
    der: CertificateDer<'static>,
    facts: CertificateFacts,
    place: Place,
}

struct FoundKey {
    der: PrivateKeyDer<'static>,
    place: Place,
}

fn read_all(sources: &[PemSource<'_>]) -> Result<(Vec<Candidate>, FoundKey), IdentityError> {
    let mut certificates = Vec::new();
    let mut key: Option<FoundKey> = None;
    let mut lookalike = None;
    for source in sources {
        let wrong = |error| pem_error(source.name, error);
        let place = |line| Place {
            source: source.name.to_owned(),
            line,
        };
        let contents = pem::read(source.text).map_err(wrong)?;
        if lookalike.is_none() {
            lookalike = contents
                .lookalike()
                .map(|block| wrong(PemError::NoCertificate(Some(block.clone()))));
        }
        for found in contents.certificates {
            let place = place(found.line);
            let facts = CertificateFacts::read(&found.der)
                .map_err(|_| IdentityError::BadCertificate(place.clone()))?;
            // The same certificate twice, as in a leaf file and a full chain file, counts once.
            if certificates
                .iter()
                .all(|other: &Candidate| other.der != found.der)
            {
                certificates.push(Candidate {
                    der: found.der,
                    facts,
                    place,
                });
            }
        }
        for found in contents.keys {
            let found = FoundKey {
                der: found.der,
                place: place(found.line),
            };
            match &key {
                Some(first) if first.der != found.der => {
                    return Err(IdentityError::TwoKeys {
                        first: first.place.clone(),
                        second: found.place,
                    });
                }
                Some(_) => {}
                None => key = Some(found),
            }
        }
    }
    let names = || {
        sources
            .iter()
            .map(|source| source.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if certificates.is_empty() {
        return Err(lookalike.unwrap_or_else(|| pem_error(&names(), PemError::NoCertificate(None))));
    }
    let key = key.ok_or_else(|| pem_error(&names(), PemError::NoKey))?;
    Ok((certificates, key))
}

fn pem_error(source: &str, error: PemError) -> IdentityError {
    IdentityError::Pem {
        source: source.to_owned(),
        error,
    }
}

fn kind_of(key: &dyn SigningKey) -> KeyKind {
    match key.algorithm() {
        rustls::SignatureAlgorithm::ECDSA => KeyKind::Ecdsa,
        rustls::SignatureAlgorithm::RSA => KeyKind::Rsa,
        // `any_supported_type` makes nothing else out of the keys that the PEM reader lets through.
        _ => KeyKind::Ed25519,
    }
}

fn find_leaf<'c>(
    candidates: &'c [Candidate],
    key: &dyn SigningKey,
    now: UnixTime,
) -> Option<&'c Candidate> {
    let public = key.public_key()?;
    let rank = |candidate: &&Candidate| {
        let valid = matches!(candidate.facts.validity_at(now), Validity::Valid { .. });
        (valid, candidate.facts.not_after)
    };
    // Reversed because `max_by_key` takes the last of equals and the first of a file should win.
    candidates
        .iter()
        .rev()
        .filter(|candidate| candidate.facts.certifies(&public))
        .max_by_key(rank)
}

fn mismatch(candidates: &[Candidate], key: &FoundKey, key_kind: KeyKind) -> IdentityError {
    match candidates.first() {
        Some(first) => IdentityError::KeyMismatch {
            key: key.place.clone(),
            certificate: first.place.clone(),
            subject: first.facts.subject.clone(),
            certificate_key: first.facts.key.clone(),
            key_kind,
        },
        None => IdentityError::Pem {
            source: key.place.source.clone(),
            error: PemError::NoCertificate(None),
        },
    }
}

/// From the leaf up by issuer; of several with the wanted subject (cross-signed authorities) one that is valid now, else the first.
fn order_chain<'c>(
    candidates: &'c [Candidate],
    leaf: &'c Candidate,
    now: UnixTime,
    findings: &mut Vec<Finding>,
) -> Vec<&'c Candidate> {
    let mut chain = vec![leaf];
    let mut last = leaf;
    while !last.facts.self_signed {
        let used = |candidate: &Candidate| chain.iter().any(|link| std::ptr::eq(*link, candidate));
        let issuers = candidates.iter().filter(|candidate| {
            candidate.facts.subject_der == last.facts.issuer_der && !used(candidate)
        });
        let is_valid = |candidate: &&Candidate| {
            matches!(candidate.facts.validity_at(now), Validity::Valid { .. })
        };
        let Some(issuer) = issuers
            .clone()
            .find(is_valid)
            .or_else(|| issuers.clone().next())
        else {
            break;
        };
        last = issuer;
        chain.push(issuer);
    }
    for extra in candidates
        .iter()
        .filter(|candidate| !chain.iter().any(|link| std::ptr::eq(*link, *candidate)))
    {
        findings.push(Finding::Unrelated {
            subject: extra.facts.subject.clone(),
            place: extra.place.clone(),
        });
    }
    if chain.len() > 1 && last.facts.self_signed {
        findings.push(Finding::RootLeftOut {
            subject: last.facts.subject.clone(),
        });
        chain.pop();
    }
    if chain.len() > MAX_CHAIN {
        findings.push(Finding::ChainCut);
        chain.truncate(MAX_CHAIN);
    }
    chain
}

fn judge_leaf(leaf: &CertificateFacts, findings: &mut Vec<Finding>) {
    let names = leaf.names();
    if leaf.version < 3 {
        findings.push(Finding::Version1 {
            subject: leaf.subject.clone(),
        });
    }
    match names.first() {
        None if leaf.common_name_besides().is_some() => {}
        None => findings.push(Finding::NoNames {
            subject: leaf.subject.clone(),
        }),
        Some(name) if !leaf.has_alternative_names && leaf.version >= 3 => {
            findings.push(Finding::CommonNameOnly { name: name.clone() })
        }
        Some(_) => {}
    }
}

fn judge_dates(facts: &CertificateFacts, now: UnixTime, findings: &mut Vec<Finding>) {
    let subject = facts.subject.clone();
    match facts.validity_at(now) {
        Validity::Expired => findings.push(Finding::Expired {
            subject,
            not_after: facts.not_after,
        }),
        Validity::NotYet => findings.push(Finding::NotYetValid {
            subject,
            not_before: facts.not_before,
        }),
        Validity::Valid { seconds_left } if seconds_left < CERTIFICATE_WARNING_DAYS * DAY => {
            findings.push(Finding::ExpiresSoon {
                subject,
                not_after: facts.not_after,
                days: seconds_left / DAY,
            });
        }
        Validity::Valid { .. } => {}
    }
}
