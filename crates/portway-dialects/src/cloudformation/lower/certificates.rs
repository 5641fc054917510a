//! Certificates of listeners: files that are given for what AWS would keep.

use super::{ACM, IAM, Lowering, RULE, Resource};
use crate::cloudformation::given::Kind;
use crate::cloudformation::object::Object;
use portway_model::diagnostic::Code;
use portway_model::draft::{CertificateDraft, CertificateTlsDraft, ListenerDraft};
use portway_model::name::Name;
use portway_model::ocsp::OcspDraft;
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

    /// The names that a listener's certificates should be for, as the resources of the template say.
    pub(super) fn expect_names(&self, arn: Spanned<&str>, listener: &mut ListenerDraft) {
        let acm = self.referred(arn.value).filter(|it| it.kind == ACM);
        let Some(object) = acm.map(|it| &it.object) else {
            return;
        };
        let main = object.text("DomainName").map(|it| it.map(str::to_owned));
        let others = object.texts("SubjectAlternativeNames").iter().cloned();
        for name in main.into_iter().chain(others) {
            if !listener.tls.expected_names.contains(&name) {
                listener.tls.expected_names.push(name);
            }
        }
    }

    /// The same of the hosts that its rules name.
    pub(super) fn expect_hosts(&self, resource: &Resource, listener: &mut ListenerDraft) {
        for rule in self.of_kind(RULE) {
            let of = rule.object.text("ListenerArn");
            let of = of.and_then(|arn| self.referred(arn.value));
            if !of.is_some_and(|it| std::ptr::eq(it, resource)) {
                continue;
            }
            let conditions = rule.object.objects("Conditions").iter();
            for condition in conditions.filter(|it| is_of_hosts(it)) {
                let own = condition.object("HostHeaderConfig");
                let values = own.map_or(&[][..], |own| own.texts("Values")).iter();
                for name in values.chain(condition.texts("Values")) {
                    let host = name.value.strip_prefix("*.").unwrap_or(&name.value);
                    let is_name = !host.is_empty() && !host.contains(['*', '?', ' ', '/', ':']);
                    if is_name && !listener.tls.expected_names.contains(name) {
                        listener.tls.expected_names.push(name.clone());
                    }
                }
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
                issuer: None,
                ocsp: OcspDraft::default(),
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
                issuer: None,
                ocsp: OcspDraft::default(),
                tls: CertificateTlsDraft::default(),
            });
        }
        name
    }
}

fn is_of_hosts(condition: &Object) -> bool {
    let field = condition.text("Field");
    field.is_some_and(|field| field.value == "host-header")
}
