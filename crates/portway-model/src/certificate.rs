//! Certificates: as stated, and as compiled.

use crate::draft::{ClientsDraft, TlsPolicyDraft};
use crate::name::Name;
use crate::ocsp::{OcspDraft, OcspFetch};
use crate::snapshot::{Clients, TlsPolicy};
use crate::span::{Origin, Spanned};

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateDraft {
    /// Its name.
    pub name: Spanned<Name>,
    /// PEM file with the chain, and the key if `key` is not given.
    pub file: Option<Spanned<String>>,
    /// PEM file with the key.
    pub key: Option<Spanned<String>>,
    /// The PEM text with the chain and the key, in place of files.
    pub pem: Option<Spanned<String>>,
    /// The host names that it is shown for, in place of those in it; with `!`, one that a wildcard leaves out.
    pub names: Vec<Spanned<String>>,
    /// PEM file with the certificate of its issuer, where the chain does not have it: answers of OCSP are judged by it, and
    /// clients are not shown it.
    pub issuer: Option<Spanned<String>>,
    /// The answer of its authority that clients are shown with it.
    pub ocsp: OcspDraft,
    /// Settings for clients that are shown it, in place of those of the listener.
    pub tls: CertificateTlsDraft,
}

/// TLS for clients that are shown a certificate. Where anything is given, nothing but ALPN is as the listener has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CertificateTlsDraft {
    /// Versions and suites.
    pub policy: TlsPolicyDraft,
    /// ALPN protocols in order of preference; those of the listener where not given.
    pub alpn: Option<Spanned<Vec<String>>>,
    /// Client certificates.
    pub clients: ClientsDraft,
}

/// A certificate with its key, still in files.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// Its name.
    pub name: Name,
    /// PEM file with the chain, and the key if `key` is `None`; where there is `pem`, the name that it is known by.
    pub file: String,
    /// PEM file with the key.
    pub key: Option<String>,
    /// The PEM text with the chain and the key, in place of files.
    pub pem: Option<String>,
    /// The host names that it is shown for, in lower case; with `!`, one that a wildcard leaves out. Empty: those in it.
    pub names: Vec<String>,
    /// PEM file with the certificate of its issuer, for judging answers of OCSP.
    pub issuer: Option<String>,
    /// File of the answer of its authority (OCSP, in DER) that clients are shown with it.
    pub ocsp: Option<String>,
    /// How such answers are fetched.
    pub ocsp_fetch: Option<OcspFetch>,
    /// Settings for clients that are shown it, in place of those of the listener.
    pub tls: Option<Box<CertificateTls>>,
    /// The text that made it.
    pub origin: Origin,
}

/// TLS for clients that are shown a certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateTls {
    /// Versions and suites.
    pub policy: TlsPolicy,
    /// ALPN protocols in order of preference; `None`: those of the listener.
    pub alpn: Option<Vec<String>>,
    /// Client certificates.
    pub clients: Clients,
}
