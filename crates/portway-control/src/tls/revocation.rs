//! What a revocation list says of itself.
//!
//! Nobody who is judged by a list is accepted once its time is over, so operators have to know before. Whether a list is signed by
//! its authority is seen where it is used.

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevocationList {
    /// The authority in words, such as `C=FR, CN=Root`.
    pub issuer: String,
    /// When the next one is to be there, in seconds since 1970: from then on this one is not believed.
    pub next_update: i64,
}

impl RevocationList {
    /// `None`: it is none, or does not say how long it is good.
    fn read(der: &CertificateRevocationListDer<'_>) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(Self {
            issuer: list.issuer().to_string(),
            next_update: list.next_update()?.timestamp(),
        })
    }
}

/// Of each authority in a PEM text the list that is over last.
#[must_use]
pub fn lists(text: &[u8]) -> Vec<RevocationList> {
    let lists = CertificateRevocationListDer::pem_slice_iter(text).flatten();
    let mut lists: Vec<RevocationList> =
        lists.filter_map(|der| RevocationList::read(&der)).collect();
    lists.sort_by(|one, other| other.cmp(one));
    lists.dedup_by(|next, kept| next.issuer == kept.issuer);
    lists
}

/// Puts those that are over last first: of several of one authority the first counts.
pub(super) fn newest_first(lists: &mut [CertificateRevocationListDer<'_>]) {
    let end = |der: &CertificateRevocationListDer<'_>| {
        RevocationList::read(der).map_or(i64::MAX, |it| it.next_update)
    };
    lists.sort_by_cached_key(|der| std::cmp::Reverse(end(der)));
}
