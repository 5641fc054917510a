//! What chains are judged by: certificates and revocation lists as links, read once and owned.
//!
//! Decides which of two is the other's issuer and whether it signed it. Nothing here trusts anything: see [`super::judge`].

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, KeyUsage, ParsedExtension, X509Extension};
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::CertificateRevocationList;

/// `sha1WithRSAEncryption` without its outer tag (RFC 3279 section 2.2.1). `openssl ca` signs revocation lists so where nobody
/// says another digest, and such a list says of more certificates that they are revoked, not of fewer.
const RSA_SHA1: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00,
];

/// What is signed, and how (RFC 5280 section 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signed {
    content: Vec<u8>,
    /// The algorithm's identifier without its outer tag.
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// A certificate in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) der: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// Of an RSA key.
    pub(super) rsa_bits: Option<usize>,
    pub(super) uses: Uses,
    /// Its own key's name, and what it says of its issuer's.
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
    issuer_serial: Option<Vec<u8>>,
    public_key: PublicBits,
    signed: Signed,
}

/// A public key with its algorithm (SubjectPublicKeyInfo), and alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PublicBits {
    info: Vec<u8>,
    bits: Vec<u8>,
}

/// What its extensions let a certificate be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uses {
    /// It may sign others. Without an extension that says so, one of version 1 that signed itself may too.
    pub(super) is_authority: bool,
    /// How many authorities may stand below it.
    pub(super) path_length: Option<u32>,
    /// Where its key's uses are limited, they include signing certificates.
    pub(super) signs_certificates: bool,
    /// The same of revocation lists.
    pub(super) signs_lists: bool,
    /// The same of handshakes.
    pub(super) signs_handshakes: bool,
    /// Where its purposes are limited, they include clients of TLS.
    pub(super) is_for_clients: bool,
    /// The same as both, of servers.
    pub(super) makes_handshakes: bool,
    pub(super) is_for_servers: bool,
    pub(super) has_name_constraints: bool,
    /// It says something that must be understood, and is not.
    pub(super) has_unknown: bool,
}

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) issuer: Vec<u8>,
    pub(super) this_update: i64,
    pub(super) next_update: Option<i64>,
    pub(super) scope: Scope,
    /// It says something that must be understood, and is not.
    pub(super) has_unknown: bool,
    revoked: Vec<Vec<u8>>,
    signed: Signed,
}

/// Which certificates a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Users,
    Authorities,
    /// Those of a distribution point, of attributes, of other issuers.
    Other,
}

impl Link {
    /// `None`: it is no certificate.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let subject = certificate.subject().as_raw().to_vec();
        let issuer = certificate.issuer().as_raw().to_vec();
        let extensions = certificate.extensions();
        let authority = extensions
            .iter()
            .find_map(|it| match it.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => Some(id),
                _ => None,
            });
        let key_id = extensions
            .iter()
            .find_map(|it| match it.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            });
        let rsa_bits = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Some(key.key_size()),
            _ => None,
        };
        Some(Self {
            uses: Uses::of(&certificate)?,
            serial: certificate.raw_serial().to_vec(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            rsa_bits,
            key_id,
            issuer_key_id: authority
                .and_then(|it| it.key_identifier.as_ref())
                .map(|it| it.0.to_vec()),
            issuer_serial: authority
                .and_then(|it| it.authority_cert_serial)
                .map(<[u8]>::to_vec),
            public_key: PublicBits {
                info: certificate.public_key().raw.to_vec(),
                bits: certificate.public_key().subject_public_key.data.to_vec(),
            },
            signed: Signed::read(der)?,
            subject,
            issuer,
            der: der.to_vec(),
        })
    }

    /// Whether this one can have issued the other, by all that they say.
    pub(super) fn can_have_issued(&self, other: &Self) -> bool {
        let is_other = |said: &Option<Vec<u8>>, own: &Option<Vec<u8>>| match (said, own) {
            (Some(said), Some(own)) => said != own,
            _ => false,
        };
        let serial = Some(self.serial.clone());
        self.subject == other.issuer
            && !is_other(&other.issuer_key_id, &self.key_id)
            && !is_other(&other.issuer_serial, &serial)
    }

    /// Issued by itself, by all that it says.
    pub(super) fn is_self_signed(&self) -> bool {
        self.can_have_issued(self)
    }

    /// Whether its dates include this moment, in seconds since 1970.
    pub(super) fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Whether this one's key signed the other.
    pub(super) fn signed(
        &self,
        other: &Self,
        known: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        other.signed.is_by(&self.public_key, known)
    }

    /// Whether this one's key signed the list.
    pub(super) fn signed_list(
        &self,
        list: &List,
        known: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        list.signed.is_by(&self.public_key, known)
    }

    /// Whether how it is signed is known and strong.
    pub(super) fn is_signed_well(&self, known: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        known
            .iter()
            .any(|it| it.signature_alg_id().as_ref() == self.signed.algorithm)
    }
}

impl Uses {
    /// `None`: an extension cannot be read, or stands there twice.
    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let constraints = certificate.basic_constraints().ok()?.map(|it| it.value);
        let key: Option<&KeyUsage> = certificate.key_usage().ok()?.map(|it| it.value);
        let purposes: Option<&ExtendedKeyUsage<'_>> =
            certificate.extended_key_usage().ok()?.map(|it| it.value);
        let constrained = certificate.name_constraints().ok()?;
        let signs_certificates = key.is_none_or(KeyUsage::key_cert_sign);
        let is_old = certificate.version().0 == 0;
        let is_authority = match constraints {
            Some(constraints) => constraints.ca,
            None => (is_old && certificate.subject() == certificate.issuer()) || key.is_some(),
        };
        let extensions = certificate.extensions();
        if extensions
            .iter()
            .any(|it| it.parsed_extension().error().is_some())
        {
            return None;
        }
        Some(Self {
            is_authority: is_authority && signs_certificates,
            path_length: constraints.and_then(|it| it.path_len_constraint),
            signs_certificates,
            signs_lists: key.is_none_or(KeyUsage::crl_sign),
            signs_handshakes: key.is_none_or(|it| it.digital_signature() || it.key_agreement()),
            makes_handshakes: key.is_none_or(|it| {
                it.digital_signature() || it.key_encipherment() || it.key_agreement()
            }),
            is_for_servers: purposes.is_none_or(|it| it.server_auth),
            is_for_clients: purposes.is_none_or(|it| it.client_auth),
            has_name_constraints: constrained.is_some(),
            has_unknown: extensions.iter().any(is_unknown),
        })
    }
}

/// Whether an extension must be understood, and is not, by what OpenSSL understands.
fn is_unknown(extension: &X509Extension<'_>) -> bool {
    let is_known = matches!(
        extension.parsed_extension(),
        ParsedExtension::AuthorityKeyIdentifier(_)
            | ParsedExtension::SubjectKeyIdentifier(_)
            | ParsedExtension::KeyUsage(_)
            | ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyMappings(_)
            | ParsedExtension::SubjectAlternativeName(_)
            | ParsedExtension::BasicConstraints(_)
            | ParsedExtension::NameConstraints(_)
            | ParsedExtension::PolicyConstraints(_)
            | ParsedExtension::ExtendedKeyUsage(_)
            | ParsedExtension::CRLDistributionPoints(_)
            | ParsedExtension::InhibitAnyPolicy(_)
            | ParsedExtension::NSCertType(_)
    );
    extension.critical && !is_known
}

impl List {
    /// `None`: it is no revocation list.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (rest, list) = CertificateRevocationList::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut scope = Scope::All;
        let mut has_unknown = false;
        for extension in list.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::IssuingDistributionPoint(point) => {
                    let is_partial = point.distribution_point.is_some()
                        || point.only_some_reasons.is_some()
                        || point.indirect_crl
                        || point.only_contains_attribute_certs;
                    scope = match (point.only_contains_user_certs, point.only_contains_ca_certs) {
                        _ if is_partial => Scope::Other,
                        (true, true) => Scope::Other,
                        (true, false) => Scope::Users,
                        (false, true) => Scope::Authorities,
                        (false, false) => Scope::All,
                    };
                }
                ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::CRLNumber(_) => {}
                _ => has_unknown |= extension.critical,
            }
        }
        let has_more = |it: &x509_parser::revocation_list::RevokedCertificate<'_>| {
            it.extensions().iter().any(|it| {
                let is_known = matches!(
                    it.parsed_extension(),
                    ParsedExtension::ReasonCode(_) | ParsedExtension::InvalidityDate(_)
                );
                it.critical && !is_known
            })
        };
        Some(Self {
            issuer: list.issuer().as_raw().to_vec(),
            this_update: list.last_update().timestamp(),
            next_update: list.next_update().map(|it| it.timestamp()),
            scope,
            has_unknown: has_unknown || list.iter_revoked_certificates().any(has_more),
            revoked: list
                .iter_revoked_certificates()
                .map(|it| it.raw_serial().to_vec())
                .collect(),
            signed: Signed::read(der)?,
        })
    }

    /// Whether it names this certificate of its issuer.
    pub(super) fn names(&self, link: &Link) -> bool {
        self.revoked.contains(&link.serial)
    }
}

impl Signed {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, outer) = Any::from_der(der).ok()?;
        let (rest, _) = Any::from_der(outer.data).ok()?;
        let length = outer.data.len().checked_sub(rest.len())?;
        let (rest, algorithm) = Any::from_der(rest).ok()?;
        let (_, signature) = Any::from_der(rest).ok()?;
        // A bit string says first how many bits of its last byte do not count.
        let (unused, signature) = signature.data.split_first()?;
        (*unused == 0).then(|| Self {
            content: outer.data.get(..length).unwrap_or_default().to_vec(),
            algorithm: algorithm.data.to_vec(),
            signature: signature.to_vec(),
        })
    }

    fn is_by(&self, key: &PublicBits, known: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        if self.algorithm == RSA_SHA1 {
            return UnparsedPublicKey::new(
                &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                &key.bits,
            )
            .verify(&self.content, &self.signature)
            .is_ok();
        }
        let key = SubjectPublicKeyInfoDer::from(key.info.as_slice());
        let Ok(key) = webpki::RawPublicKeyEntity::try_from(&key) else {
            return false;
        };
        // One identifier stands for several curves: the one that fits the key verifies.
        known
            .iter()
            .filter(|it| it.signature_alg_id().as_ref() == self.algorithm)
            .any(|it| {
                let verified = key.verify_signature(*it, &self.content, &self.signature);
                verified.is_ok()
            })
    }
}
