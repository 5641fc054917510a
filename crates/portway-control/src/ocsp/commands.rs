//! What people and tools ask of answers of OCSP, and those that they bring.

use std::time::SystemTime;

use portway_core::ocsp::{Response, Status};
use rustls_pki_types::UnixTime;

use super::Stapler;
use crate::renewal::Certificates;
use crate::tls::staple::{NotShown, Staple};
use crate::tls::x509::moment;

/// What clients are shown of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspAnswer {
    /// The file of the certificate.
    pub file: String,
    /// What responders call the certificate, in DER.
    pub id: Vec<u8>,
    /// The answer that is shown, in DER.
    pub der: Option<Vec<u8>>,
    /// When it was signed, since when and until when it is true: `Nov 29 03:45:11 2026 GMT`.
    pub times: Option<[String; 3]>,
    /// Digests of the name and of the key of the issuer, and the serial number, in hexadecimal.
    pub parts: [String; 3],
}

/// How answers for a certificate are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspUpdate {
    /// What responders call the certificate, in DER.
    pub id: Vec<u8>,
    /// The file of the certificate.
    pub file: String,
    /// When it is asked for again.
    pub next: SystemTime,
    /// When it was last, and how that went; `None`: not yet.
    pub last: Option<(SystemTime, Result<(), String>)>,
    /// Fetches that went well, and others.
    pub counts: (u64, u64),
}

impl Certificates {
    /// What clients are shown of every certificate that they may be shown something of.
    pub fn ocsp_answers(&self) -> Vec<OcspAnswer> {
        let stapled = self.stapled();
        let answer = |(file, staple): &(String, std::sync::Arc<Staple>)| {
            let id = staple.id()?;
            let (name, key, serial) = parts_of(&id)?;
            let der = staple.answer().map(|(der, _)| der);
            let times = der.as_deref().and_then(|der| times(der, &id));
            Some(OcspAnswer {
                file: file.clone(),
                parts: [name, key, serial],
                id,
                der,
                times,
            })
        };
        stapled.iter().filter_map(answer).collect()
    }

    /// Shows clients this answer, with the certificates that it is of.
    ///
    /// # Errors
    /// In words: it is of none of them, or may not be shown.
    pub fn put_ocsp_answer(&self, der: &[u8]) -> Result<(), String> {
        let now = UnixTime::now();
        let mut why = NotShown::OfAnother;
        let mut is_shown = false;
        for staple in self.staples() {
            match staple.take(der, now) {
                Ok(_) => is_shown = true,
                Err(NotShown::OfAnother) => {}
                Err(other) => why = other,
            }
        }
        match is_shown {
            true => Ok(()),
            false => Err(why.to_string()),
        }
    }

    /// Has the responder asked about the certificate of a file, now. Gives whether it is one that is asked for.
    pub fn update_ocsp_answer(&self, file: &str) -> bool {
        let stapled = self.stapled();
        let of_file = stapled.iter().filter(|(name, _)| name == file);
        let asked: Vec<_> = of_file.filter(|(_, it)| it.asked.is_some()).collect();
        if let Some(stapler) = self.stapler() {
            asked.iter().for_each(|(_, staple)| stapler.ask_now(staple));
        }
        !asked.is_empty()
    }

    /// How answers are fetched, the next first.
    pub fn ocsp_updates(&self) -> Vec<OcspUpdate> {
        let Some(stapler) = self.stapler() else {
            return Vec::new();
        };
        let stapled = self.stapled();
        let update =
            |(file, staple): &(String, std::sync::Arc<Staple>)| stapler.update_of(file, staple);
        let mut all: Vec<OcspUpdate> = stapled.iter().filter_map(update).collect();
        all.sort_by_key(|it| it.next);
        all
    }
}

impl Stapler {
    fn ask_now(&self, staple: &Staple) {
        let certificate = staple.fingerprint();
        let mut entries = self.entries();
        let of_it = entries
            .iter_mut()
            .filter(|(key, _)| key.certificate == certificate);
        of_it.for_each(|(_, entry)| entry.due = tokio::time::Instant::now());
        drop(entries);
        self.bell.notify_one();
    }

    fn update_of(&self, file: &str, staple: &Staple) -> Option<OcspUpdate> {
        let certificate = staple.fingerprint();
        let url = &staple.asked.as_ref()?.url;
        let entries = self.entries();
        let (_, entry) = entries
            .iter()
            .find(|(key, _)| key.certificate == certificate && key.url == *url)?;
        let left = entry
            .due
            .saturating_duration_since(tokio::time::Instant::now());
        Some(OcspUpdate {
            id: staple.id()?,
            file: file.to_owned(),
            next: SystemTime::now() + left,
            last: entry.last.clone(),
            counts: entry.counts,
        })
    }
}

/// Digests of the name and of the key of the issuer, and the serial number.
fn parts_of(id: &[u8]) -> Option<(String, String, String)> {
    let id = portway_core::ocsp::CertificateId::read(id)?;
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|it| format!("{it:02X}"))
            .collect::<String>()
    };
    Some((hex(id.issuer_name), hex(id.issuer_key), hex(id.serial)))
}

fn times(der: &[u8], id: &[u8]) -> Option<[String; 3]> {
    let response = Response::read(der).ok()?;
    let serial = portway_core::ocsp::CertificateId::read(id)?.serial;
    let mut answers = response.answers.iter();
    let answer = answers.find(|it| it.certificate.serial == serial && it.status == Status::Good)?;
    let next = answer.next_update.map(moment).unwrap_or_default();
    Some([moment(response.produced), moment(answer.this_update), next])
}
