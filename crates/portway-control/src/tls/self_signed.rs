//! Self-signed certificates, for the demo, the console's first start and trying things out.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::UnixTime;
use x509_parser::time::ASN1Time;

use super::x509::DAY;

/// The most days that a self-signed certificate is made for: ten years.
pub const MAX_DAYS: u32 = 3650;

/// The longest common name, in characters (RFC 5280 appendix A, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// A certificate and its key as PEM text.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: String,
}

/// Makes a self-signed X.509 v3 certificate with a new ECDSA P-256 key, for host names (`*.` before one too) and IP addresses,
/// valid from a day before `now`, for clocks that are late, until `days` (at most [`MAX_DAYS`]) after it.
///
/// # Errors
/// A name that cannot stand in a certificate, or a system without randomness.
pub fn self_signed(names: &[String], days: u32, now: UnixTime) -> Result<SelfSigned, rcgen::Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let moment = |seconds: i64| {
        ASN1Time::from_timestamp(seconds)
            .map(|time| time.to_datetime())
            .map_err(|_| rcgen::Error::Time)
    };
    let mut params = CertificateParams::new(names)?;
    params.not_before = moment(now.saturating_sub(DAY))?;
    params.not_after = moment(now.saturating_add(i64::from(days.min(MAX_DAYS)) * DAY))?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name = DistinguishedName::new();
    let first = names
        .first()
        .filter(|name| name.chars().count() <= MAX_COMMON_NAME);
    params.distinguished_name.push(
        DnType::CommonName,
        first.map_or("Portway self-signed", String::as_str),
    );
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(SelfSigned {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}
