//! `passTLSClientCert`: what targets are told of the certificate that the client has shown.

use super::super::matcher::{expression, test};
use super::super::schema::Section;
use super::chain::Chain;
use super::middleware::own_header;
use portway_model::expression::{
    CertificateField, CertificateInfo, Matcher, NameAttribute, Template, TemplatePart, Transform,
    Value,
};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Options of `subject` and `issuer`.
const ATTRIBUTES: [(&str, NameAttribute); 8] = [
    ("domainComponent", NameAttribute::DomainComponent),
    ("country", NameAttribute::Country),
    ("province", NameAttribute::Province),
    ("locality", NameAttribute::Locality),
    ("organization", NameAttribute::Organization),
    ("organizationalUnit", NameAttribute::OrganizationalUnit),
    ("serialNumber", NameAttribute::SerialNumber),
    ("commonName", NameAttribute::CommonName),
];

/// Options of `info`.
const PARTS: [(&str, CertificateInfo); 4] = [
    ("serialNumber", CertificateInfo::Serial),
    ("notBefore", CertificateInfo::NotBefore),
    ("notAfter", CertificateInfo::NotAfter),
    ("sans", CertificateInfo::AlternativeNames),
];

/// Sets the headers that are asked for, where there is a certificate.
pub(super) fn lower(section: &Section, chain: &mut Chain, at: Span) {
    let mut tell = |name: &str, field: CertificateField, transforms: Vec<Transform<Named>>| {
        let shown = Value::ClientCertificate(CertificateField::Present);
        let told = expression(Value::ClientCertificate(field), transforms);
        let told = Template(vec![TemplatePart::Expression(Spanned::new(told, at))]);
        let set = own_header(name, told).into();
        chain.when(test(shown, Matcher::True, at), set, at);
    };
    if section.is_on("pem") {
        let pem = vec![Transform::Base64];
        tell("X-Forwarded-Tls-Client-Cert", CertificateField::Der, pem);
    }
    let mut parts = section.section("info").map(parts).unwrap_or_default();
    if !parts.is_empty() {
        parts.push(CertificateInfo::AsTraefik);
        let info = CertificateField::Info(parts);
        tell("X-Forwarded-Tls-Client-Cert-Info", info, Vec::new());
    }
}

/// What is told, in order.
fn parts(info: &Section) -> Vec<CertificateInfo> {
    let attributes = |of: &str| {
        let of = info.section(of);
        let asked = ATTRIBUTES
            .iter()
            .filter(move |(name, _)| of.is_some_and(|it| it.is_on(name)));
        asked.map(|(_, attribute)| *attribute)
    };
    let subject = attributes("subject").map(CertificateInfo::Subject);
    let issuer = attributes("issuer").map(CertificateInfo::Issuer);
    let others = PARTS.iter().filter(|(name, _)| info.is_on(name));
    let mut parts: Vec<CertificateInfo> = subject
        .chain(issuer)
        .chain(others.map(|(_, part)| *part))
        .collect();
    parts.sort();
    parts
}
