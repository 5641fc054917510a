//! What a certificate says: names, dates, key, version.
//!
//! Decides which host names a certificate serves and whether a private key belongs to it, for X.509 v1 as for v3: the parser of
//! rustls knows only v3, while `openssl x509 -req -signkey`, which many installation guides tell people to run, makes v1. Nothing
//! here verifies a signature or trusts anything.

use std::fmt;
use std::net::IpAddr;

use rustls_pki_types::{SubjectPublicKeyInfoDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_PKIX_ACCESS_DESCRIPTOR_OCSP, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Seconds of a day.
pub const DAY: i64 = 24 * 60 * 60;

/// What one certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject in words, such as `C=FR, CN=www.example.com`.
    pub subject: String,
    /// The issuer in words.
    pub issuer: String,
    /// DER of the subject, for comparing with an issuer.
    pub subject_der: Vec<u8>,
    /// DER of the issuer, for comparing with a subject.
    pub issuer_der: Vec<u8>,
    /// The first common name of the subject.
    pub common_name: Option<String>,
    /// DNS names of the subject alternative name extension, in lower case.
    pub dns_names: Vec<String>,
    /// IP addresses of the subject alternative name extension.
    pub ip_addresses: Vec<IpAddr>,
    /// Whether there is a subject alternative name extension at all.
    pub has_alternative_names: bool,
    /// First second of validity, in seconds since 1970.
    pub not_before: i64,
    /// Last second of validity, in seconds since 1970.
    pub not_after: i64,
    /// The X.509 version: 1, 2 or 3.
    pub version: u32,
    /// The public key's algorithm and size.
    pub key: PublicKeyKind,
    /// The bits of the public key alone, without its algorithm.
    pub key_bits: Vec<u8>,
    /// The public key with its algorithm (SubjectPublicKeyInfo), in DER.
    pub spki: Vec<u8>,
    /// The serial number in hexadecimal with colons.
    pub serial: String,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: Fingerprint,
    /// Subject and issuer are the same; the signature is not looked at.
    pub self_signed: bool,
    /// The basic constraints say that it may sign others.
    pub is_ca: bool,
    /// Where to ask whether it is revoked (OCSP), URLs of HTTP.
    pub responders: Vec<String>,
    /// It asks clients to insist on being shown an answer of its authority (RFC 7633).
    pub is_must_staple: bool,
}

/// The algorithm and size of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// RSA with the size of its modulus in bits.
    Rsa {
        /// Size of the modulus in bits.
        bits: usize,
    },
    /// ECDSA on a NIST curve.
    Ecdsa {
        /// Size of the curve in bits: 256, 384 or 521.
        bits: usize,
    },
    /// Ed25519.
    Ed25519,
    /// Anything else, by object identifier.
    Other(String),
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Ecdsa { bits } => write!(f, "ECDSA P-{bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "an unknown algorithm ({oid})"),
        }
    }
}

/// SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    /// As `openssl x509 -fingerprint -sha256` writes it: `AB:CD:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// Bytes that are not a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACertificate;

impl fmt::Display for NotACertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not an X.509 certificate: the block is damaged")
    }
}

impl std::error::Error for NotACertificate {}

impl CertificateFacts {
    /// Reads a certificate of version 1, 2 or 3.
    ///
    /// # Errors
    /// [`NotACertificate`] if the bytes do not parse as exactly one certificate.
    pub fn read(der: &[u8]) -> Result<Self, NotACertificate> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| NotACertificate)?;
        if !rest.is_empty() {
            return Err(NotACertificate);
        }
        let alternatives = certificate
            .subject_alternative_name()
            .map_err(|_| NotACertificate)?;
        let general_names = alternatives
            .as_ref()
            .map_or(&[][..], |extension| &extension.value.general_names);
        let subject_der = certificate.subject().as_raw().to_vec();
        let issuer_der = certificate.issuer().as_raw().to_vec();
        let common_name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned);
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            self_signed: subject_der == issuer_der,
            subject_der,
            issuer_der,
            common_name,
            dns_names: general_names.iter().filter_map(dns_name).collect(),
            ip_addresses: general_names.iter().filter_map(ip_address).collect(),
            has_alternative_names: alternatives.is_some(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            version: certificate.version().0.saturating_add(1),
            key: key_kind(certificate.public_key()),
            key_bits: certificate.public_key().subject_public_key.data.to_vec(),
            spki: certificate.public_key().raw.to_vec(),
            serial: certificate.raw_serial_as_string(),
            fingerprint: fingerprint(der),
            is_ca: certificate.is_ca(),
            responders: responders(&certificate),
            is_must_staple: is_must_staple(&certificate),
        })
    }

    /// The host names that this certificate serves, in lower case, wildcards as `*.example.com`: the DNS names of the extension, or,
    /// where a certificate has no such extension, the common name (RFC 2818 section 3.1, still in use with private authorities).
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        if self.has_alternative_names {
            let mut names = self.dns_names.clone();
            names.retain(|name| is_host_pattern(name));
            return names;
        }
        self.common_host().into_iter().collect()
    }

    /// The common name where it is that of a host and [`Self::names`] does not give it. Clients may ask for it all the same.
    #[must_use]
    pub fn common_name_besides(&self) -> Option<String> {
        let alone = |name: &String| self.has_alternative_names && !self.dns_names.contains(name);
        self.common_host().filter(alone)
    }

    /// The common name where it is that of a host.
    fn common_host(&self) -> Option<String> {
        let name = self.common_name.as_ref()?;
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        is_host_pattern(&name).then_some(name)
    }

    /// Whether the public key of a private key is the one certified here. Compares the keys' bits, so that v1 certificates and
    /// different spellings of one algorithm work.
    #[must_use]
    pub fn certifies(&self, key: &SubjectPublicKeyInfoDer<'_>) -> bool {
        SubjectPublicKeyInfo::from_der(key.as_ref())
            .is_ok_and(|(_, key)| *key.subject_public_key.data == *self.key_bits)
    }

    /// Where `now` stands to the time of validity.
    #[must_use]
    pub fn validity_at(&self, now: UnixTime) -> Validity {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < self.not_before {
            Validity::NotYet
        } else if now > self.not_after {
            Validity::Expired
        } else {
            Validity::Valid {
                seconds_left: self.not_after.saturating_sub(now),
            }
        }
    }
}

/// Where a moment stands to a certificate's time of validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Before the first second.
    NotYet,
    /// Within.
    Valid {
        /// Seconds until it ends.
        seconds_left: i64,
    },
    /// After the last second.
    Expired,
}

/// The day of a moment as `2026-11-21` (UTC), for messages.
#[must_use]
pub fn day(unix_seconds: i64) -> String {
    match ASN1Time::from_timestamp(unix_seconds) {
        Ok(time) => time.to_datetime().date().to_string(),
        Err(_) => "a date out of range".to_owned(),
    }
}

/// A moment as OpenSSL writes it: `Nov  9 03:45:11 2026 GMT`.
#[must_use]
pub fn moment(unix_seconds: i64) -> String {
    let Ok(time) = ASN1Time::from_timestamp(unix_seconds) else {
        return "a date out of range".to_owned();
    };
    let time = time.to_datetime();
    let month = time.month().to_string();
    let month = month.get(..3).unwrap_or(&month);
    let (hour, minute, second) = time.to_hms();
    format!(
        "{month} {:>2} {hour:02}:{minute:02}:{second:02} {} GMT",
        time.day(),
        time.year()
    )
}

/// SHA-256 of a certificate's DER.
#[must_use]
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let mut bytes = [0; 32];
    bytes
        .iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    Fingerprint(bytes)
}

/// A host name, or one label `*` before a host name. Underscores occur in the wild.
fn is_host_pattern(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    host.len() <= 253 && host.parse::<IpAddr>().is_err() && host.split('.').all(is_label)
}

/// `id-pe-tlsfeature`, RFC 7633.
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// Its content for `status_request` alone, and with what else there may be in front of it.
const STATUS_REQUEST: [u8; 3] = [2, 1, 5];

fn is_must_staple(certificate: &X509Certificate<'_>) -> bool {
    let mut extensions = certificate.extensions().iter();
    let feature = extensions.find(|it| it.oid.to_id_string() == TLS_FEATURE);
    feature.is_some_and(|it| {
        // A sequence of small numbers, each of three bytes.
        let numbers = it.value.get(2..).unwrap_or_default();
        numbers.chunks(3).any(|number| number == STATUS_REQUEST)
    })
}

fn responders(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extensions = certificate.extensions().iter();
    let access = extensions.filter_map(|it| match it.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => Some(access),
        _ => None,
    });
    let descriptions = access.flat_map(|it| &it.accessdescs);
    let urls = descriptions.filter_map(|it| match &it.access_location {
        GeneralName::URI(url) if it.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP => Some(*url),
        _ => None,
    });
    urls.filter(|url| url.starts_with("http://"))
        .map(str::to_owned)
        .collect()
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        _ => None,
    }
}

fn ip_address(name: &GeneralName<'_>) -> Option<IpAddr> {
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
        .ok()
}

fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> PublicKeyKind {
    let oid = &key.algorithm.algorithm;
    let other = || PublicKeyKind::Other(oid.to_id_string());
    if *oid == OID_PKCS1_RSAENCRYPTION {
        return match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => PublicKeyKind::Rsa {
                bits: bit_length(rsa.modulus),
            },
            _ => other(),
        };
    }
    if *oid == OID_SIG_ED25519 {
        return PublicKeyKind::Ed25519;
    }
    let curve = key
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok());
    match curve {
        Some(curve) if *oid == OID_KEY_TYPE_EC_PUBLIC_KEY => match () {
            () if curve == OID_EC_P256 => PublicKeyKind::Ecdsa { bits: 256 },
            () if curve == OID_NIST_EC_P384 => PublicKeyKind::Ecdsa { bits: 384 },
            () if curve == OID_NIST_EC_P521 => PublicKeyKind::Ecdsa { bits: 521 },
            () => PublicKeyKind::Other(curve.to_id_string()),
        },
        _ => other(),
    }
}

/// Bits of a big-endian number without its leading zeros.
fn bit_length(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let top = number
        .get(zeros)
        .map_or(0, |byte| byte.leading_zeros() as usize);
    (number.len() - zeros) * 8 - top
}
