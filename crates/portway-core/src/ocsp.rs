//! OCSP (RFC 6960): what an authority says of a certificate, and how it is asked.
//!
//! Reads the forms and writes the question; whether a signature is good and a digest the right one is for whoever has a
//! crypto library. Bytes come from files and from the network: what does not fit gives `None`, never a panic.

use crate::der::{Der, Tag, seconds_of, write};

/// What a responder said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'d> {
    /// What is signed.
    pub signed: &'d [u8],
    /// The algorithm of the signature: its identifier with parameters, in DER.
    pub algorithm: &'d [u8],
    /// The signature.
    pub signature: &'d [u8],
    /// When it was signed, in seconds since 1970.
    pub produced: i64,
    /// Certificates that may help to verify it.
    pub certificates: Vec<&'d [u8]>,
    /// What is said, certificate by certificate.
    pub answers: Vec<Answer<'d>>,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoResponse {
    /// They are not DER of a response, or of one of another kind than the basic one.
    Malformed,
    /// The responder did not answer: its status, such as 3 (`tryLater`) or 6 (`unauthorized`).
    Refused(u8),
}

/// What is said of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'d> {
    /// Which certificate.
    pub certificate: CertificateId<'d>,
    /// What is the matter with it.
    pub status: Status,
    /// Since when this is known to be right, in seconds since 1970.
    pub this_update: i64,
    /// When there will be news, in seconds since 1970; `None`: there may be at any time.
    pub next_update: Option<i64>,
}

/// What a certificate is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateId<'d> {
    /// All of it, in DER.
    pub whole: &'d [u8],
    /// The digest that both are made with.
    pub digest: Digest,
    /// Of the issuer's name in DER.
    pub issuer_name: &'d [u8],
    /// Of the bits of the issuer's public key.
    pub issuer_key: &'d [u8],
    /// The serial number, without leading zeros.
    pub serial: &'d [u8],
}

/// A digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, which every responder knows.
    Sha1,
    /// SHA-256.
    Sha256,
    /// Another.
    Other,
}

/// What is the matter with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    Good,
    /// It is not to be trusted any more.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[43, 6, 1, 5, 5, 7, 48, 1, 1];
/// `id-sha1`, 1.3.14.3.2.26.
const SHA1: &[u8] = &[43, 14, 3, 2, 26];
/// `id-sha256`, 2.16.840.1.101.3.4.2.1.
const SHA256: &[u8] = &[96, 134, 72, 1, 101, 3, 4, 2, 1];

const ENUMERATED: Tag = Tag(0x0A);
const OCTET_STRING: Tag = Tag(0x04);
const NULL: Tag = Tag(0x05);
/// `[0] EXPLICIT` of several places.
const FIRST: Tag = Tag(0xA0);
const GOOD: Tag = Tag(0x80);
const REVOKED: Tag = Tag(0xA1);
const UNKNOWN: Tag = Tag(0x82);

impl<'d> Response<'d> {
    /// Reads `OCSPResponse`, RFC 6960 section 4.2.1.
    ///
    /// # Errors
    /// The bytes are none, or the responder refused.
    pub fn read(der: &'d [u8]) -> Result<Self, NoResponse> {
        let outer = Der(der).take(Tag::SEQUENCE).ok_or(NoResponse::Malformed)?;
        let mut outer = Der(outer);
        match outer.take(ENUMERATED) {
            Some([0]) => {}
            Some([status]) => return Err(NoResponse::Refused(*status)),
            _ => return Err(NoResponse::Malformed),
        }
        Self::basic(outer).ok_or(NoResponse::Malformed)
    }

    fn basic(mut outer: Der<'d>) -> Option<Self> {
        let mut bytes = Der(Der(outer.take(FIRST)?).take(Tag::SEQUENCE)?);
        if bytes.take(Tag::OBJECT)? != BASIC {
            return None;
        }
        let mut basic = Der(Der(bytes.take(OCTET_STRING)?).take(Tag::SEQUENCE)?);
        let signed = basic.whole(Tag::SEQUENCE)?;
        let algorithm = basic.whole(Tag::SEQUENCE)?;
        // A signature has whole bytes: no bit of the last is unused.
        let signature = basic.take(Tag::BIT_STRING)?.strip_prefix(&[0])?;
        let mut certificates = Vec::new();
        if let Some(all) = basic.take(FIRST) {
            let mut all = Der(Der(all).take(Tag::SEQUENCE)?);
            while let Some(certificate) = all.whole(Tag::SEQUENCE) {
                certificates.push(certificate);
            }
        }
        let mut data = Der(Der(signed).take(Tag::SEQUENCE)?);
        data.take(FIRST);
        // Who answers, by name or key, and when: the signature says the one, the answers the other.
        data.any()?;
        let produced = seconds_of(data.take(Tag::GENERALIZED_TIME)?)?;
        let mut all = Der(data.take(Tag::SEQUENCE)?);
        let mut answers = Vec::new();
        while let Some(one) = all.take(Tag::SEQUENCE) {
            answers.push(Answer::read(Der(one))?);
        }
        Some(Self {
            signed,
            algorithm,
            signature,
            produced,
            certificates,
            answers,
        })
    }
}

impl<'d> Answer<'d> {
    fn read(mut one: Der<'d>) -> Option<Self> {
        let certificate = CertificateId::read(one.whole(Tag::SEQUENCE)?)?;
        let status = match one.any()?.0 {
            GOOD => Status::Good,
            REVOKED => Status::Revoked,
            UNKNOWN => Status::Unknown,
            _ => return None,
        };
        let this_update = seconds_of(one.take(Tag::GENERALIZED_TIME)?)?;
        let next_update = match one.take(FIRST) {
            Some(next) => Some(seconds_of(Der(next).take(Tag::GENERALIZED_TIME)?)?),
            None => None,
        };
        Some(Self {
            certificate,
            status,
            this_update,
            next_update,
        })
    }
}

impl<'d> CertificateId<'d> {
    /// Reads `CertID`, RFC 6960 section 4.1.1; `None`: it is none.
    pub fn read(whole: &'d [u8]) -> Option<Self> {
        let mut id = Der(Der(whole).take(Tag::SEQUENCE)?);
        let digest = match Der(id.take(Tag::SEQUENCE)?).take(Tag::OBJECT)? {
            SHA1 => Digest::Sha1,
            SHA256 => Digest::Sha256,
            _ => Digest::Other,
        };
        Some(Self {
            whole,
            digest,
            issuer_name: id.take(OCTET_STRING)?,
            issuer_key: id.take(OCTET_STRING)?,
            serial: without_zeros(id.take(Tag::INTEGER)?),
        })
    }
}

/// A number's bytes without those that say nothing.
pub fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0);
    first
        .and_then(|first| number.get(first..))
        .unwrap_or_default()
}

/// What a certificate is called by SHA-1, as RFC 5019 section 2.1.1 wants it: `CertID`, RFC 6960 section 4.1.1.
/// `issuer_name` and `issuer_key` are digests, `serial` are the bytes of the number in the certificate.
pub fn certificate_id(issuer_name: &[u8], issuer_key: &[u8], serial: &[u8]) -> Vec<u8> {
    let algorithm = [write(Tag::OBJECT, SHA1), write(NULL, &[])].concat();
    let id = [
        write(Tag::SEQUENCE, &algorithm),
        write(OCTET_STRING, issuer_name),
        write(OCTET_STRING, issuer_key),
        write(Tag::INTEGER, serial),
    ];
    write(Tag::SEQUENCE, &id.concat())
}

/// Asks for the certificate that is called so: `OCSPRequest`, RFC 6960 section 4.1.1.
pub fn request(id: Vec<u8>) -> Vec<u8> {
    // Request, requestList, TBSRequest, OCSPRequest.
    (0..4).fold(id, |inner, _| write(Tag::SEQUENCE, &inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answered by `openssl ocsp` for a certificate with the serial number 0x00B1: good, until a day later.
    const GOOD_ANSWER: &str = "3082027b0a0100a08202743082027006092b0601050507300101048202613082025d308189a10f300d310b30090603550403\
         0c026361180f32303236313132393233353535375a30653063303b300906052b0e03021a0500041411048cd20cb3592307d0\
         19fd0889562b62d36492041403d893b732adab629888cef1e89283f1193bba0a020200b18000180f32303236313132393233\
         353535375aa011180f32303236313133303233353535375a300a06082a8648ce3d0403020348003045022048ca28239dbe75\
         26a68d15aa4b0b7a2ece82a2a0ae22b2f907e9b2b2fbe01ef0022100d3870522708ffdb1c26077787b72fad33f21302fb9ed\
         d1e2f87e978df89da757a0820177308201733082016f30820115a003020102021410be204181e06416b4dbe792fc962faa1b\
         cb50fe300a06082a8648ce3d040302300d310b300906035504030c026361301e170d3236313132393233353535365a170d33\
         36313132363233353535365a300d310b300906035504030c0263613059301306072a8648ce3d020106082a8648ce3d030107\
         034200047995b4c6e7b4adcf3a20bc6cb7725c244356d349a9bb8c11376e30195f9a847c312cb6da7fd4a1cd12f88194f176\
         af3f9e38de3f413bb868bd022ee09953c589a3533051301d0603551d0e0416041403d893b732adab629888cef1e89283f119\
         3bba0a301f0603551d2304183016801403d893b732adab629888cef1e89283f1193bba0a300f0603551d130101ff04053003\
         0101ff300a06082a8648ce3d04030203480030450220573b65b3772fe54910d37f745312a7e7fced8d2124dd8dbd0aa50768\
         5201b5c2022100bc9299eb727aaa8193cf27dcfb262448c4bd5f3e83e70a4d0d10664cdc9aef11";
    /// Asked by `openssl ocsp -no_nonce` for the same.
    const QUESTION: &str = "30433041303f303d303b300906052b0e03021a0500041411048cd20cb3592307d019fd0889562b62d36492041403d893b732\
         adab629888cef1e89283f1193bba0a020200b1";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|it| it.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
            .collect()
    }

    #[test]
    fn an_answer_of_openssl() {
        let der = bytes(GOOD_ANSWER);
        let response = Response::read(&der).unwrap();
        let [answer] = response.answers[..] else {
            panic!("{response:?}");
        };
        assert_eq!(answer.status, Status::Good);
        assert_eq!(answer.certificate.digest, Digest::Sha1);
        assert_eq!(answer.certificate.serial, [0xB1]);
        assert_eq!(answer.next_update.unwrap() - answer.this_update, 86_400);
        assert_eq!(response.certificates.len(), 1);
        assert!(
            der.windows(response.signed.len())
                .any(|it| it == response.signed)
        );
    }

    #[test]
    fn the_question_of_openssl_is_ours() {
        let der = bytes(GOOD_ANSWER);
        let id = Response::read(&der).unwrap().answers[0].certificate;
        let ours = certificate_id(id.issuer_name, id.issuer_key, &[0x00, 0xB1]);
        assert_eq!(ours, id.whole);
        assert_eq!(request(ours), bytes(QUESTION));
    }

    /// Whatever is cut off or turned over is no answer, or another one, and nothing panics.
    #[test]
    fn damaged_answers() {
        let der = bytes(GOOD_ANSWER);
        for length in 0..der.len() {
            assert_eq!(
                Response::read(&der[..length]),
                Err(NoResponse::Malformed),
                "{length}"
            );
        }
        for at in 0..der.len() {
            let mut other = der.clone();
            other[at] ^= 0xFF;
            let _ = Response::read(&other);
        }
        assert_eq!(
            Response::read(&[0x30, 3, 10, 1, 6]),
            Err(NoResponse::Refused(6))
        );
        assert_eq!(
            Response::read(&[0x30, 3, 10, 1, 0]),
            Err(NoResponse::Malformed)
        );
    }
}
