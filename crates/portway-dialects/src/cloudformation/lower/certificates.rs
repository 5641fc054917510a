//! Certificates of listeners: files that are given for what AWS would keep.

use super::{ACM, IAM, Lowering, Resource};
use crate::cloudformation::given::Kind;
use portway_model::diagnostic::Code;
use portway_model::draft::{CertificateDraft, CertificateTlsDraft};
use portway_model::name::Name;
use portway_model::span::{Span, Spanned};

/// Before the name of a file, in place of an ARN.
const FILE: char = '@';
/// Between the file of a certificate and that of its key.
const KEY: char = ',';

impl Lowering<'_, '_, '_> {
    /// The certificate that an ARN, or `@file`, stands for.
    pub(super) fn certificate(&mut self, arn: Spanned<&str>) -> Option<Spanned<Name>> {
        if let Some(file) = arn.value.strip_prefix(FILE) {
            return Some(self.certificate_file(file, file, arn.span));
        }
        if let Some(resource) = self.referred(arn.value) {
            return self.certificate_resource(resource, arn.span);
        }
        match self.book.one(Kind::Certificate, arn.value) {
            Some(file) => Some(self.certificate_file(arn.value, file, arn.span)),
            None => {
                let message = format!("the certificate `{}` is kept by AWS", arn.value);
                let help = format!(
                    "name a file with certificate and key: --certificate {}=FILE, or @FILE in place of the ARN",
                    arn.value
                );
                self.missing(arn.span, message, &help);
                None
            }
        }
    }

    fn certificate_resource(&mut self, resource: &Resource, span: Span) -> Option<Spanned<Name>> {
        let id = resource.id.as_str();
        if resource.kind != ACM && resource.kind != IAM {
            let message = format!(
                "`{id}` is an {}, and a certificate is expected",
                resource.kind
            );
            self.error(Code::WrongType, span, message);
            return None;
        }
        if let Some(file) = self.book.one(Kind::Certificate, id) {
            return Some(self.certificate_file(id, file, span));
        }
        if resource.object.incomplete {
            return None;
        }
        if resource.kind == IAM {
            return self.own_certificate(resource, span);
        }
        let message = format!("nothing issues the certificate `{id}` here");
        let help = format!("name a file with certificate and key: --certificate {id}=FILE");
        self.missing(resource.span, message, &help);
        None
    }

    /// A certificate whose PEM stands in the template.
    fn own_certificate(&mut self, resource: &Resource, span: Span) -> Option<Spanned<Name>> {
        let object = &resource.object;
        let mut text = String::new();
        for property in ["CertificateBody", "CertificateChain", "PrivateKey"] {
            match object.text(property) {
                Some(part) => {
                    text.push_str(part.value.trim());
                    text.push('\n');
                }
                None if property == "CertificateChain" => {}
                None => {
                    let message = format!("certificate `{}` has no `{property}`", resource.id);
                    self.error(Code::Missing, resource.span, message);
                    return None;
                }
            }
        }
        let name = Spanned::new(resource.name().value, span);
        let known = self.draft.certificates.iter();
        if !known.clone().any(|known| known.name == name) {
            self.draft.certificates.push(CertificateDraft {
                name: resource.name(),
                file: None,
                key: None,
                pem: Some(Spanned::new(text, object.span)),
                names: Vec::new(),
                tls: CertificateTlsDraft::default(),
            });
        }
        Some(name)
    }

    fn certificate_file(&mut self, name: &str, file: &str, span: Span) -> Spanned<Name> {
        let file = file.strip_prefix(FILE).unwrap_or(file);
        let (file, key) = match file.split_once(KEY) {
            Some((file, key)) => (file, Some(key.strip_prefix(FILE).unwrap_or(key))),
            None => (file, None),
        };
        let name = Spanned::new(Name::new(name.split(KEY).next().unwrap_or(name)), span);
        let known = self.draft.certificates.iter();
        if !known.clone().any(|known| known.name == name) {
            self.draft.certificates.push(CertificateDraft {
                name: name.clone(),
                file: Some(Spanned::new(file.to_owned(), span)),
                key: key.map(|key| Spanned::new(key.to_owned(), span)),
                pem: None,
                names: Vec::new(),
                tls: CertificateTlsDraft::default(),
            });
        }
        name
    }
}
