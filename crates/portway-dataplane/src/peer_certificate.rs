//! Fields of a client's certificate, read from its DER where a rule or a log asks for them.

use crate::client_tls::Verdict;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use portway_core::certificate::Certificate;
use portway_core::evaluate::Fetched;
use portway_model::expression::CertificateField;
use std::borrow::Cow;
use std::fmt::Write;

/// A field of the certificate of a client that speaks TLS, of which this was found; `None`: it showed none.
pub(crate) fn judged<'c>(
    der: Option<&'c [u8]>,
    verdict: Verdict,
    field: &CertificateField,
) -> Fetched<'c> {
    let number = |number: u8| Fetched::Number(i64::from(number));
    match field {
        CertificateField::Verified if verdict.last != 0 => false.into(),
        CertificateField::VerifyCode => number(verdict.last),
        CertificateField::Fault => number(verdict.first),
        CertificateField::FaultAbove => number(verdict.above),
        CertificateField::FaultAboveDepth => number(verdict.depth),
        other => self::field(der, other),
    }
}

/// A field of a certificate that nobody found fault with.
pub(crate) fn field<'c>(der: Option<&'c [u8]>, field: &CertificateField) -> Fetched<'c> {
    match (field, der) {
        (CertificateField::Present | CertificateField::Verified, der) => der.is_some().into(),
        // None at all counts as good, as with OpenSSL.
        (
            CertificateField::VerifyCode
            | CertificateField::Fault
            | CertificateField::FaultAbove
            | CertificateField::FaultAboveDepth,
            _,
        ) => Fetched::Number(0),
        (CertificateField::Der, der) => der.into(),
        (CertificateField::Sha1Bytes, Some(der)) => {
            owned(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref().to_vec())
        }
        (CertificateField::Fingerprint, Some(der)) => hex(digest(&SHA256, der).as_ref()),
        (CertificateField::Pem, Some(der)) => owned(pem(der).into_bytes()),
        (said, Some(der)) => Certificate::read(der)
            .and_then(|certificate| of_content(&certificate, said))
            .unwrap_or(Fetched::Absent),
        (_, None) => Fetched::Absent,
    }
}

fn of_content<'c>(it: &Certificate<'c>, field: &CertificateField) -> Option<Fetched<'c>> {
    let text = |text: String| owned(text.into_bytes());
    Some(match field {
        CertificateField::Subject => text(it.subject.rfc4514()),
        CertificateField::Issuer => text(it.issuer.rfc4514()),
        CertificateField::SubjectLine => owned(it.subject.line()),
        CertificateField::IssuerLine => owned(it.issuer.line()),
        CertificateField::SubjectPart(part) => it
            .subject
            .attribute(&part.attribute, part.occurrence)?
            .into(),
        CertificateField::IssuerPart(part) => it
            .issuer
            .attribute(&part.attribute, part.occurrence)?
            .into(),
        CertificateField::Serial => hex(it.serial),
        CertificateField::SerialBytes => it.serial.into(),
        CertificateField::NotBefore => text(it.not_before.rfc3339()),
        CertificateField::NotAfter => text(it.not_after.rfc3339()),
        CertificateField::NotBeforeText => it.not_before.short().into(),
        CertificateField::NotAfterText => it.not_after.short().into(),
        CertificateField::Version => Fetched::Number(i64::from(it.version)),
        CertificateField::KeyAlgorithm => text(it.key_algorithm()),
        CertificateField::SignatureAlgorithm => text(it.signature_algorithm()),
        CertificateField::DnsNames => list(it.alternative_names().dns)?,
        CertificateField::Emails => list(it.alternative_names().emails)?,
        CertificateField::Uris => list(it.alternative_names().uris)?,
        CertificateField::Addresses => {
            let addresses = it.alternative_names().addresses;
            list(addresses.iter().map(ToString::to_string).collect())?
        }
        CertificateField::AlternativeNames => list(it.alternative_names().all())?,
        CertificateField::Info(parts) => text(it.info(parts)),
        // Seen by `field`.
        CertificateField::Present
        | CertificateField::Verified
        | CertificateField::VerifyCode
        | CertificateField::Fault
        | CertificateField::FaultAbove
        | CertificateField::FaultAboveDepth
        | CertificateField::Fingerprint
        | CertificateField::Sha1Bytes
        | CertificateField::Der
        | CertificateField::Pem => return None,
    })
}

/// With commas between; none is nothing.
fn list(names: Vec<String>) -> Option<Fetched<'static>> {
    (!names.is_empty()).then(|| owned(names.join(",").into_bytes()))
}

fn owned(bytes: Vec<u8>) -> Fetched<'static> {
    Fetched::Bytes(Cow::Owned(bytes))
}

fn hex(bytes: &[u8]) -> Fetched<'static> {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a text cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    owned(out.into_bytes())
}

/// PEM with its line ends and blanks percent-encoded, so that it can stand in a header.
fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for (index, letter) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            out.push_str("%0A");
        }
        match letter {
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            plain => out.push(plain),
        }
    }
    out.push_str("%0A-----END%20CERTIFICATE-----%0A");
    out
}
