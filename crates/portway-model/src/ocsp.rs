//! What an authority says of a certificate (OCSP, RFC 6960): an answer in a file, and how answers are fetched.

use crate::span::Spanned;
use std::time::Duration;

/// What an authority says of a certificate, and how it is asked (OCSP, RFC 6960).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OcspDraft {
    /// File of an answer, in DER.
    pub file: Option<Spanned<String>>,
    /// The responder is asked.
    pub fetch: Option<Spanned<bool>>,
    /// Who is asked, where it is not whom the certificate names.
    pub responder: Option<Spanned<Responder>>,
    /// Time between two fetches at least.
    pub min_refresh: Option<Spanned<Duration>>,
    /// Time between two fetches at most.
    pub max_refresh: Option<Spanned<Duration>>,
}

/// Who is asked for answers of OCSP.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Responder {
    /// This URL, whatever the certificate names.
    At(String),
    /// The second URL where the certificate names the first; what stands in none of them is asked as it is.
    InPlaceOf(Vec<(String, String)>),
}

impl Responder {
    /// The URL that is asked where a certificate names this one.
    pub fn url<'a>(&'a self, named: Option<&'a str>) -> Option<&'a str> {
        match self {
            Self::At(url) => Some(url),
            Self::InPlaceOf(pairs) => {
                let other = pairs.iter().find(|(from, _)| Some(from.as_str()) == named);
                other.map(|(_, to)| to.as_str()).or(named)
            }
        }
    }

    /// The URLs that may be asked in place of those in certificates.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let (one, pairs) = match self {
            Self::At(url) => (Some(url.as_str()), [].as_slice()),
            Self::InPlaceOf(pairs) => (None, pairs.as_slice()),
        };
        one.into_iter()
            .chain(pairs.iter().map(|(_, to)| to.as_str()))
    }
}

/// How what an authority says of a certificate is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OcspFetch {
    /// Who is asked; `None`: as the certificate says.
    pub responder: Option<Responder>,
    /// Time between two fetches at least.
    pub min_refresh: Duration,
    /// Time between two fetches at most; `None`: half of the time that an answer is true.
    pub max_refresh: Option<Duration>,
}
