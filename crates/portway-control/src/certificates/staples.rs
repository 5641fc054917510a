//! What clients are shown with a certificate of what its authority says (OCSP): from a file, and where it is fetched from.

use std::path::PathBuf;
use std::sync::Arc;

use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::ocsp::OcspFetch;
use portway_model::span::Span;
use rustls_pki_types::UnixTime;

use super::MAX_OCSP_BYTES;
use crate::files::read_limited;
use crate::tls::identity::{Identity, issuer_of};
use crate::tls::pem;
use crate::tls::staple::{Asked, Staple};

/// How answers for a certificate are come by, whatever the certificate is meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Staples {
    /// What it is called in the configuration.
    pub(crate) certificate: String,
    /// What the file of its issuer says.
    pub(crate) of_issuer: Option<Vec<u8>>,
    pub(crate) fetch: Option<OcspFetch>,
    /// There is a file for an answer: others may be shown in its place by command.
    pub(crate) has_file: bool,
}

/// Why nobody is asked for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAsked {
    NoIssuer,
    OtherIssuer,
    NoResponder,
}

impl NotAsked {
    /// That a certificate is none that anybody is asked about.
    pub(crate) fn of(self, certificate: &str) -> String {
        let why = match self {
            NotAsked::NoIssuer => "its issuer is not known, by which answers are judged",
            NotAsked::OtherIssuer => "no certificate in the file of its issuer has signed it",
            NotAsked::NoResponder => "it does not say whom to ask over HTTP",
        };
        format!("nobody is asked about certificate `{certificate}` (OCSP): {why}")
    }

    fn help(self) -> &'static str {
        match self {
            NotAsked::NoIssuer => {
                "put the certificate of the issuer behind it in its file, or name a file with it in `issuer` (HAProxy: `FILE.issuer`)"
            }
            NotAsked::OtherIssuer => {
                "name a file with the certificate of the authority that signed it: `openssl x509 -noout -issuer -in FILE` says its name, and of that name there may be several with other keys"
            }
            NotAsked::NoResponder => {
                "many authorities have given OCSP up: take `ocsp_fetch` out then; `ocsp_responder` names another"
            }
        }
    }
}

impl Staples {
    /// A place for answers; `None` where none are wanted. The inner error: they are wanted, and nobody can be asked.
    pub(crate) fn place(
        &self,
        identity: &mut Identity,
    ) -> Option<(Arc<Staple>, Result<(), NotAsked>)> {
        if self.fetch.is_none() && !self.has_file {
            return None;
        }
        if let Some(text) = &self.of_issuer {
            let leaf = identity.certified_key.cert.first();
            let read = pem::read(text).ok();
            let all = read.map(|it| it.certificates).unwrap_or_default();
            let all: Vec<_> = all.into_iter().map(|it| it.der).collect();
            let named = leaf.and_then(|leaf| issuer_of(leaf, all.iter()));
            if let Some(named) = named {
                identity.issuer_certificate = Some(named.clone());
            }
        }
        let asked = self.asked(identity);
        let (asked, said) = match asked {
            Some(Ok(asked)) => (Some(asked), Ok(())),
            Some(Err(why)) => (None, Err(why)),
            None => (None, Ok(())),
        };
        Some((Arc::new(Staple::of(identity, asked)), said))
    }

    fn asked(&self, identity: &Identity) -> Option<Result<Asked, NotAsked>> {
        let fetch = self.fetch.as_ref()?;
        let named = identity.responder.as_deref();
        let url = match &fetch.responder {
            Some(responder) => responder.url(named),
            None => named,
        };
        let Some(url) = url else {
            return Some(Err(NotAsked::NoResponder));
        };
        if identity.issuer_certificate.is_none() {
            return Some(Err(match &self.of_issuer {
                Some(_) => NotAsked::OtherIssuer,
                None => NotAsked::NoIssuer,
            }));
        }
        Some(Ok(Asked {
            certificate: self.certificate.clone(),
            url: url.to_owned(),
            is_must: identity.is_must_staple,
            min_refresh: fetch.min_refresh,
            max_refresh: fetch.max_refresh,
        }))
    }
}

/// The place of the answers for a certificate, with that of a file if it may be shown. The outer `None`: there is no such file.
pub(super) fn staple(
    identity: &mut Identity,
    staples: &Staples,
    answer: Option<PathBuf>,
    (span, now): (Span, UnixTime),
    found: &mut Diagnostics,
) -> Option<Option<Arc<Staple>>> {
    let name = &staples.certificate;
    let mut warn = |message: String, help: &str| {
        let warning = Diagnostic::warning(Code::CertificateWarning, span, message);
        found.push(warning.help(help));
    };
    let Some((staple, asked)) = staples.place(identity) else {
        if identity.is_must_staple {
            warn(
                format!(
                    "certificate `{name}` asks for an answer of OCSP to be shown with it (must-staple), and there is none: clients that heed that refuse it"
                ),
                "`ocsp_fetch = true` has its authority asked; `ocsp` names a file with an answer",
            );
        }
        return Some(None);
    };
    if let Err(why) = asked {
        warn(why.of(name), why.help());
    }
    if let Some(path) = answer {
        let der = match read_limited(&path, MAX_OCSP_BYTES) {
            Ok(der) => der,
            Err(reason) => {
                let message = format!("cannot read `{}`: {reason}", path.display());
                found.push(Diagnostic::error(Code::Unreadable, span, message));
                return None;
            }
        };
        if let Err(reason) = staple.take(&der, now) {
            warn(
                format!(
                    "certificate `{name}` is shown without the answer of OCSP in `{}`: {reason}",
                    path.display()
                ),
                "have the authority asked again (`openssl ocsp -respout`), and reload",
            );
        }
    }
    Some(Some(staple))
}
