//! What an authority says of our certificate, shown to clients together with it (OCSP stapling, RFC 6066 section 8).
//!
//! Decides whether an answer may be shown: it is of this certificate, says that it is good, is signed by the authority or by
//! whom the authority has named for that, and is neither of tomorrow nor of the day before yesterday. An answer that is over
//! is not shown any more; clients then ask for themselves, or do not.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use portway_core::ocsp::{
    Answer, CertificateId, Digest, NoResponse, Response, Status, certificate_id, without_zeros,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::identity::Identity;
use super::x509::{Fingerprint, day, fingerprint};

/// Clocks of responders and ours may differ by so many seconds, as OpenSSL allows by default.
const CLOCKS_DIFFER: i64 = 300;

/// An answer that was fetched and does not say until when it is true is held to be for so many seconds: responders that sign
/// each answer anew leave it out.
const ENDLESS_LIFETIME: i64 = 3_600;

/// The place of an answer, for one certificate.
pub struct Staple {
    /// The certificate without one.
    bare: Arc<CertifiedKey>,
    issuer: Option<CertificateDer<'static>>,
    /// How answers are fetched, where they are.
    pub(crate) asked: Option<Asked>,
    shown: RwLock<Option<Shown>>,
    /// The last answer that was signed says that the certificate is revoked.
    is_revoked: AtomicBool,
}

/// Whom answers are asked of, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What the certificate is called in the configuration.
    pub(crate) certificate: String,
    /// URL of the responder.
    pub(crate) url: String,
    /// The certificate asks clients to insist on an answer (RFC 7633).
    pub(crate) is_must: bool,
    /// Time between two fetches at least.
    pub(crate) min_refresh: Duration,
    /// Time between two fetches at most.
    pub(crate) max_refresh: Option<Duration>,
}

/// An answer that is shown.
struct Shown {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

/// How long an answer is true, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Since when.
    pub from: i64,
    /// Until when.
    pub until: i64,
}

/// Why an answer is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotShown {
    /// The bytes are no answer.
    Malformed,
    /// The responder did not say anything of any certificate; its status.
    Refused(u8),
    /// It is of other certificates.
    OfAnother,
    /// The certificate is revoked.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
    /// Its time has not come; seconds since 1970.
    NotYet(i64),
    /// Its time is over; seconds since 1970.
    Over(i64),
    /// It does not say until when it is true.
    Endless,
    /// Nobody whom the issuer trusts has signed it.
    BadSignature,
}

impl fmt::Display for NotShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("this is no answer of OCSP (in DER)"),
            Self::Refused(1) => f.write_str("the responder did not understand the question"),
            Self::Refused(3) => f.write_str("the responder says to try later"),
            Self::Refused(6) => {
                f.write_str("the responder does not speak of this certificate (unauthorized)")
            }
            Self::Refused(status) => write!(f, "the responder failed (status {status})"),
            Self::OfAnother => f.write_str("it is of another certificate"),
            Self::Revoked => f.write_str("it says that the certificate is revoked"),
            Self::Unknown => f.write_str("it says that the certificate is unknown"),
            Self::NotYet(from) => write!(f, "it is true only from {} on", day(*from)),
            Self::Over(until) => write!(f, "it was true until {}", day(*until)),
            Self::Endless => f.write_str("it does not say until when it is true"),
            Self::BadSignature => {
                f.write_str("it is not signed by the issuer of the certificate, or for it")
            }
        }
    }
}

impl From<NoResponse> for NotShown {
    fn from(why: NoResponse) -> Self {
        match why {
            NoResponse::Malformed => Self::Malformed,
            NoResponse::Refused(status) => Self::Refused(status),
        }
    }
}

impl Staple {
    /// A place without an answer yet.
    pub(crate) fn of(identity: &Identity, asked: Option<Asked>) -> Self {
        Self {
            bare: Arc::clone(&identity.certified_key),
            issuer: identity.issuer_certificate.clone(),
            asked,
            shown: RwLock::default(),
            is_revoked: AtomicBool::new(false),
        }
    }

    /// Shows this answer from now on, if it may be shown.
    ///
    /// # Errors
    /// It may not; what was shown before goes on.
    pub fn take(&self, der: &[u8], now: UnixTime) -> Result<Validity, NotShown> {
        let leaf = self.bare.cert.first().ok_or(NotShown::OfAnother)?;
        let issuer = self.issuer.as_deref();
        let may_be_endless = self.asked.is_some();
        let judged = judge(der, (leaf, issuer), seconds(now), may_be_endless);
        if judged == Err(NotShown::Revoked) {
            self.is_revoked.store(true, Ordering::Relaxed);
        }
        let validity = judged?;
        let key = CertifiedKey {
            cert: self.bare.cert.clone(),
            key: Arc::clone(&self.bare.key),
            ocsp: Some(der.to_vec()),
        };
        let shown = Shown {
            key: Arc::new(key),
            validity,
        };
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        self.is_revoked.store(false, Ordering::Relaxed);
        Ok(validity)
    }

    /// Shows nothing from now on: the certificate is revoked.
    pub(crate) fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Relaxed);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The answer that is shown, and how long it is true.
    pub(crate) fn answer(&self) -> Option<(Vec<u8>, Validity)> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.as_ref()?;
        Some((shown.key.ocsp.clone()?, shown.validity))
    }

    /// True where the last answer that was signed says so.
    pub(crate) fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Relaxed)
    }

    /// How long the answer that is shown now is true.
    pub(crate) fn validity(&self, now: UnixTime) -> Option<Validity> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let validity = shown.as_ref()?.validity;
        (seconds(now) <= validity.until).then_some(validity)
    }

    /// SHA-256 of the certificate.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fingerprint(self.bare.cert.first().map_or(&[], |it| it.as_ref()))
    }

    /// What the certificate is called by responders; `None` where its issuer is not known.
    pub(crate) fn id(&self) -> Option<Vec<u8>> {
        let (_, leaf) = X509Certificate::from_der(self.bare.cert.first()?).ok()?;
        let (_, issuer) = X509Certificate::from_der(self.issuer.as_deref()?).ok()?;
        let sha1 = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
        let name = sha1(leaf.issuer().as_raw());
        let key = sha1(issuer.public_key().subject_public_key.data.as_ref());
        let id = certificate_id(name.as_ref(), key.as_ref(), leaf.raw_serial());
        Some(id)
    }

    /// The certificate with an answer that is true now.
    #[must_use]
    pub fn key(&self, now: UnixTime) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.as_ref()?;
        (seconds(now) <= shown.validity.until).then(|| Arc::clone(&shown.key))
    }
}

impl fmt::Debug for Staple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let validity = shown.as_ref().map(|it| it.validity);
        f.debug_struct("Staple").field("shown", &validity).finish()
    }
}

fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Whether an answer may be shown with `leaf`. Without the certificate of its issuer, its signature cannot be verified, and
/// is not. Nothing but who it is of is believed before its signature is.
fn judge(
    der: &[u8],
    (leaf, issuer): (&[u8], Option<&[u8]>),
    now: i64,
    may_be_endless: bool,
) -> Result<Validity, NotShown> {
    let response = Response::read(der)?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| NotShown::OfAnother)?;
    let issuer = issuer.and_then(|der| Some(X509Certificate::from_der(der).ok()?.1));
    let mut answers = response.answers.iter();
    let answer = answers.find(|it| is_of(&it.certificate, &leaf, issuer.as_ref()));
    let answer: &Answer<'_> = answer.ok_or(NotShown::OfAnother)?;
    if let Some(issuer) = issuer
        && !is_signed(&response, &issuer, now)
    {
        return Err(NotShown::BadSignature);
    }
    match answer.status {
        Status::Good => {}
        Status::Revoked => return Err(NotShown::Revoked),
        Status::Unknown => return Err(NotShown::Unknown),
    }
    let from = answer.this_update;
    let endless = may_be_endless.then(|| from.saturating_add(ENDLESS_LIFETIME));
    let until = answer.next_update.or(endless).ok_or(NotShown::Endless)?;
    if from > now.saturating_add(CLOCKS_DIFFER) {
        return Err(NotShown::NotYet(from));
    }
    if until < now {
        return Err(NotShown::Over(until));
    }
    Ok(Validity { from, until })
}

/// Whether an answer speaks of this certificate.
fn is_of(
    id: &CertificateId<'_>,
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
) -> bool {
    let algorithm = match id.digest {
        Digest::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
        Digest::Sha256 => &SHA256,
        Digest::Other => return false,
    };
    let is = |bytes: &[u8], expected: &[u8]| digest(algorithm, bytes).as_ref() == expected;
    let key = issuer.map(|it| it.public_key().subject_public_key.data.as_ref());
    without_zeros(leaf.raw_serial()) == id.serial
        && is(leaf.issuer().as_raw(), id.issuer_name)
        && key.is_none_or(|key| is(key, id.issuer_key))
}

/// Whether the issuer has signed an answer, or a certificate in it that the issuer has made for that (RFC 6960 section 4.2.2.2).
fn is_signed(response: &Response<'_>, issuer: &X509Certificate<'_>, now: i64) -> bool {
    let by_issuer = verifies(issuer, response.signed, response.signature);
    by_issuer
        || response.certificates.iter().any(|der| {
            let Ok((_, signer)) = X509Certificate::from_der(der) else {
                return false;
            };
            is_named(&signer, issuer, now) && verifies(&signer, response.signed, response.signature)
        })
}

/// Whether `signer` may answer for `issuer`.
fn is_named(signer: &X509Certificate<'_>, issuer: &X509Certificate<'_>, now: i64) -> bool {
    let usage = signer.extended_key_usage().ok().flatten();
    let validity = signer.validity();
    let in_time = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now);
    let signed = signer.tbs_certificate.as_ref();
    usage.is_some_and(|it| it.value.ocsp_signing)
        && in_time
        && signer.issuer().as_raw() == issuer.subject().as_raw()
        && verifies(issuer, signed, &signer.signature_value.data)
}

/// Whether the key of a certificate has made a signature, by any algorithm that we hold for safe.
pub(super) fn verifies(signer: &X509Certificate<'_>, message: &[u8], signature: &[u8]) -> bool {
    let spki = SubjectPublicKeyInfoDer::from(signer.public_key().raw);
    let Ok(key) = webpki::RawPublicKeyEntity::try_from(&spki) else {
        return false;
    };
    let algorithms = default_provider().signature_verification_algorithms.all;
    let mut algorithms = algorithms.iter();
    algorithms.any(|it| key.verify_signature(*it, message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::identity::{PemSource, load_identity};
    use crate::tls::self_signed::self_signed;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// An authority, a certificate of it, and what `openssl ocsp` says of that for it, in base64.
    const AUTHORITY: &str = "
MIIBbzCCARWgAwIBAgIUEL4gQYHgZBa02+eS/JYvqhvLUP4wCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwHhcNMjYxMTI5MjM1NTU2WhcNMzYxMTI2MjM1NTU2WjAN
MQswCQYDVQQDDAJjYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHmVtMbntK3P
OiC8bLdyXCRDVtNJqbuMETduMBlfmoR8MSy22n/Uoc0S+IGU8XavP5443j9BO7ho
vQIu4JlTxYmjUzBRMB0GA1UdDgQWBBQD2JO3Mq2rYpiIzvHokoPxGTu6CjAfBgNV
HSMEGDAWgBQD2JO3Mq2rYpiIzvHokoPxGTu6CjAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0gAMEUCIFc7ZbN3L+VJENN/dFMSp+f87Y0hJN2NvQqlB2hSAbXC
AiEAvJKZ63J6qoGTzyfc+yYkSMS9Xz6D5wpNDRBmTNya7xE=";
    const LEAF: &str = "
MIIBCTCBsAICALEwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EwHhcNMjYxMTI5
MjM1NTU2WhcNMzUwMjE1MjM1NTU2WjAUMRIwEAYDVQQDDAlhLmV4YW1wbGUwWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAASAvDLr+y51rFoXD0GsU6Mu6raEsDVLBlll
QB51eroFjb6/r7KhFr9D1OdPEFh5ClfXmhW/9efDIRVAheRLda5QMAoGCCqGSM49
BAMCA0gAMEUCIGnGGyz3exgxU3zXQOpYjeoFQMFd2Xa+AKR+zHoD5eDfAiEAwoUh
Ikil6n1cDUb52tjm7P/MEzKSKpI+grP7K6aXFmY=";
    const ANSWER: &str = "
MIICewoBAKCCAnQwggJwBgkrBgEFBQcwAQEEggJhMIICXTCBiaEPMA0xCzAJBgNV
BAMMAmNhGA8yMDI2MTEyOTIzNTU1N1owZTBjMDswCQYFKw4DAhoFAAQUEQSM0gyz
WSMH0Bn9CIlWK2LTZJIEFAPYk7cyratimIjO8eiSg/EZO7oKAgIAsYAAGA8yMDI2
MTEyOTIzNTU1N1qgERgPMjAyNjExMzAyMzU1NTdaMAoGCCqGSM49BAMCA0gAMEUC
IEjKKCOdvnUmpo0VqksLei7OgqKgriKy+QfpsrL74B7wAiEA04cFInCP/bHCYHd4
e3L60z8hMC+57dHi+H6Xjfidp1egggF3MIIBczCCAW8wggEVoAMCAQICFBC+IEGB
4GQWtNvnkvyWL6oby1D+MAoGCCqGSM49BAMCMA0xCzAJBgNVBAMMAmNhMB4XDTI2
MTEyOTIzNTU1NloXDTM2MTEyNjIzNTU1NlowDTELMAkGA1UEAwwCY2EwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAR5lbTG57StzzogvGy3clwkQ1bTSam7jBE3bjAZ
X5qEfDEsttp/1KHNEviBlPF2rz+eON4/QTu4aL0CLuCZU8WJo1MwUTAdBgNVHQ4E
FgQUA9iTtzKtq2KYiM7x6JKD8Rk7ugowHwYDVR0jBBgwFoAUA9iTtzKtq2KYiM7x
6JKD8Rk7ugowDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBXO2Wz
dy/lSRDTf3RTEqfn/O2NISTdjb0KpQdoUgG1wgIhALySmetyeqqBk88n3PsmJEjE
vV8+g+cKTQ0QZkzcmu8R";

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD
            .decode(text.split_whitespace().collect::<String>())
            .unwrap()
    }

    #[test]
    fn times_signers_and_certificates() {
        let [authority, leaf, answer] = [AUTHORITY, LEAF, ANSWER].map(bytes);
        let from = Response::read(&answer).unwrap().answers[0].this_update;
        let until = from + 86_400;
        let check = |leaf: &[u8], issuer: Option<&[u8]>, now: i64| {
            judge(&answer, (leaf, issuer), now, false)
        };
        let good = Ok(Validity { from, until });
        for now in [from - CLOCKS_DIFFER, from, until] {
            assert_eq!(check(&leaf, Some(&authority), now), good);
            assert_eq!(check(&leaf, None, now), good);
        }
        let early = from - CLOCKS_DIFFER - 1;
        assert_eq!(check(&leaf, None, early), Err(NotShown::NotYet(from)));
        assert_eq!(check(&leaf, None, until + 1), Err(NotShown::Over(until)));
        assert_eq!(check(&authority, None, from), Err(NotShown::OfAnother));
        assert_eq!(
            check(&leaf, Some(&leaf), from),
            Err(NotShown::OfAnother),
            "another issuer"
        );
    }

    #[test]
    fn what_is_over_is_not_shown_and_what_is_wrong_changes_nothing() {
        let [authority, leaf, answer] = [AUTHORITY, LEAF, ANSWER].map(bytes);
        let made = self_signed(&["a".to_owned()], 9, UnixTime::now()).unwrap();
        let source = |text| PemSource { name: "a", text };
        let sources = [made.certificate_pem.as_bytes(), made.key_pem.as_bytes()].map(source);
        let (identity, _) = load_identity(&sources, UnixTime::now()).unwrap();
        let key = Arc::clone(&identity.certified_key.key);
        let staple = Staple {
            bare: Arc::new(CertifiedKey::new(vec![leaf.into()], key)),
            issuer: Some(authority.into()),
            asked: None,
            shown: RwLock::default(),
            is_revoked: AtomicBool::new(false),
        };
        let at = |seconds: i64| {
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap()))
        };
        let from = Response::read(&answer).unwrap().answers[0].this_update;
        assert!(staple.key(at(from)).is_none());
        let validity = staple.take(&answer, at(from)).unwrap();
        assert_eq!(staple.take(b"no DER", at(from)), Err(NotShown::Malformed));
        let shown = staple.key(at(validity.until)).unwrap();
        assert_eq!(shown.ocsp.as_deref(), Some(answer.as_slice()));
        assert!(staple.key(at(validity.until + 1)).is_none());
    }

    #[test]
    fn who_turns_a_bit_has_not_signed() {
        let [authority, leaf, answer] = [AUTHORITY, LEAF, ANSWER].map(bytes);
        let response = Response::read(&answer).unwrap();
        let from = response.answers[0].this_update;
        let signed = response.signed.len();
        let at = answer
            .windows(signed)
            .position(|it| it == response.signed)
            .unwrap();
        for bit in (at..at + signed).step_by(7) {
            let mut other = answer.clone();
            other[bit] ^= 1;
            let judged = judge(&other, (&leaf, Some(&authority)), from, false);
            assert!(judged.is_err(), "{bit}: {judged:?}");
        }
    }
}
