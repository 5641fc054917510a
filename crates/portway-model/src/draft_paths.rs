//! Which files a draft names, and where: what is wrong with one is said at its name.

use crate::draft::{Draft, Verify};
use crate::span::{Span, Spanned};

/// Every file that is named at a place of its own; those within rules stand where their action does.
pub fn paths(draft: &Draft) -> Vec<(Span, &str)> {
    let mut paths = Paths(Vec::new());
    for certificate in &draft.certificates {
        paths.one(certificate.file.as_ref());
        paths.one(certificate.key.as_ref());
        paths.one(certificate.issuer.as_ref());
        paths.one(certificate.ocsp.file.as_ref());
    }
    for listener in &draft.listeners {
        let clients = &listener.tls.clients;
        clients.ca.iter().for_each(|it| paths.one(Some(it)));
        paths.one(clients.unnamed_ca.as_ref());
        paths.one(clients.crl.as_ref());
    }
    for group in &draft.groups {
        paths.one(group.tls.crl.as_ref());
        if let Some(Spanned {
            value: Verify::Ca(files),
            span,
        }) = &group.tls.verify
        {
            paths
                .0
                .extend(files.iter().map(|file| (*span, file.as_str())));
        }
    }
    for map in &draft.maps {
        paths.one(map.file.as_ref());
    }
    if let Some(traces) = &draft.process.traces {
        let of = &traces.value;
        let files = [&of.ca, &of.certificate, &of.key].into_iter().flatten();
        paths
            .0
            .extend(files.map(|file| (traces.span, file.as_str())));
    }
    paths.0
}

struct Paths<'d>(Vec<(Span, &'d str)>);

impl<'d> Paths<'d> {
    fn one(&mut self, path: Option<&'d Spanned<String>>) {
        self.0
            .extend(path.map(|path| (path.span, path.value.as_str())));
    }
}
