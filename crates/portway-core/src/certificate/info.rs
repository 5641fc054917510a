//! What is told of a certificate in one line, in the form of Traefik's `X-Forwarded-Tls-Client-Cert-Info`.
//!
//! ```text
//! Subject="C=FR,O=Shop,CN=a";Issuer="CN=ca";SerialNumber="4096";NB="1793404800";NA="1795996800";SAN="a.example,192.0.2.1"
//! ```
//!
//! All of it encoded as the value of a field of a form, with `+` for a blank. What would end a value, or begin another, is
//! percent-encoded before, so that a certificate cannot say what stands in none of its fields.

use super::{Certificate, Name};
use portway_model::expression::{CertificateInfo, NameAttribute};

impl Certificate<'_> {
    /// The parts, which are in order.
    pub fn info(&self, parts: &[CertificateInfo]) -> String {
        let attributes = |of: fn(&CertificateInfo) -> Option<NameAttribute>| {
            let attributes = parts.iter().filter_map(of);
            attributes.collect::<Vec<NameAttribute>>()
        };
        let subject = attributes(|it| match it {
            CertificateInfo::Subject(attribute) => Some(*attribute),
            _ => None,
        });
        let issuer = attributes(|it| match it {
            CertificateInfo::Issuer(attribute) => Some(*attribute),
            _ => None,
        });
        let has = |part| parts.contains(&part);
        let ends = match has(CertificateInfo::AsTraefik) {
            true => &ENDS[..2],
            false => &ENDS[..],
        };
        let names = match has(CertificateInfo::AlternativeNames) {
            true => {
                let all = self.alternative_names().all();
                let all: Vec<String> = all.iter().map(|it| within(it, ends)).collect();
                all.join(",")
            }
            false => String::new(),
        };
        let number = |is_asked, text: String| if is_asked { text } else { String::new() };
        let serial = number(has(CertificateInfo::Serial), self.serial_decimal());
        let before = number(
            has(CertificateInfo::NotBefore),
            self.not_before.seconds().to_string(),
        );
        let after = number(
            has(CertificateInfo::NotAfter),
            self.not_after.seconds().to_string(),
        );
        let fields = [
            ("Subject", of_name(&self.subject, &subject, ends)),
            ("Issuer", of_name(&self.issuer, &issuer, ends)),
            ("SerialNumber", serial),
            ("NB", before),
            ("NA", after),
            ("SAN", names),
        ];
        let fields = fields.iter().filter(|(_, text)| !text.is_empty());
        let fields: Vec<String> = fields
            .map(|(name, text)| format!("{name}=\"{text}\""))
            .collect();
        encoded(&fields.join(";"))
    }
}

/// What ends a value: a part, a field, one of several; and what encodes it.
const ENDS: [char; 4] = ['"', ';', ',', '%'];

/// A value in which nothing ends it.
fn within(text: &str, ends: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match ends.contains(&letter) {
            true => out.push_str(&format!("%{:02X}", u32::from(letter))),
            false => out.push(letter),
        }
    }
    out
}

fn of_name(name: &Name<'_>, attributes: &[NameAttribute], ends: &[char]) -> String {
    let mut out = Vec::new();
    for attribute in attributes {
        let (short, told) = match attribute {
            NameAttribute::DomainComponent => ("DC", "DC"),
            NameAttribute::Country => ("C", "C"),
            NameAttribute::Province => ("ST", "ST"),
            NameAttribute::Locality => ("L", "L"),
            NameAttribute::Organization => ("O", "O"),
            NameAttribute::OrganizationalUnit => ("OU", "OU"),
            NameAttribute::SerialNumber => ("serialNumber", "SN"),
            NameAttribute::CommonName => ("CN", "CN"),
        };
        let values = name.texts(short);
        out.extend(
            values
                .iter()
                .map(|it| format!("{told}={}", within(it, ends))),
        );
    }
    out.join(",")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
