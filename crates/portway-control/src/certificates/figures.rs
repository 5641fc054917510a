//! What there is to measure of certificates.

use std::sync::Arc;

use portway_model::snapshot::Snapshot;
use portway_telemetry::metrics::{CertificateFigures, MOST_CERTIFICATES, RevocationListFigures};
use rustls_pki_types::UnixTime;

use crate::renewal::Certificates;
use crate::tls::identity::Identity;

/// Figures of the certificates of a configuration, in its order; of too many those that expire first.
pub(crate) fn figures<'s>(
    snapshot: &'s Snapshot,
    identities: &[Arc<Identity>],
) -> Vec<CertificateFigures<'s>> {
    let now = UnixTime::now();
    let all = snapshot.certificates.iter().zip(identities);
    let mut figures: Vec<CertificateFigures<'s>> = all
        .map(|(certificate, identity)| CertificateFigures {
            name: certificate.name.as_str(),
            not_after: identity.not_after,
            ocsp_until: identity.ocsp_until(now),
        })
        .collect();
    if figures.len() > MOST_CERTIFICATES {
        figures.sort_by_key(|it| it.not_after);
        figures.truncate(MOST_CERTIFICATES);
    }
    figures
}

/// Figures of revocation lists; of too many those that are over first.
pub(crate) fn list_figures(all: &Certificates) -> Vec<RevocationListFigures<'_>> {
    let lists = all.lists().into_iter();
    let mut figures: Vec<RevocationListFigures<'_>> = lists
        .map(|list| RevocationListFigures {
            issuer: &list.issuer,
            next_update: list.next_update,
        })
        .collect();
    if figures.len() > MOST_CERTIFICATES {
        figures.sort_by_key(|it| it.next_update);
        figures.truncate(MOST_CERTIFICATES);
    }
    figures
}
