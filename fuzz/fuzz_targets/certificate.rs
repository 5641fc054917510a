//! Certificates in DER, as rules and logs ask them: no panic, and forms that nothing in a certificate can break out of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::certificate::{Certificate, Name};
use portway_model::expression::{CertificateInfo, NameAttribute};

/// A part of each kind.
const PARTS: [CertificateInfo; 8] = [
    CertificateInfo::Subject(NameAttribute::CommonName),
    CertificateInfo::Subject(NameAttribute::DomainComponent),
    CertificateInfo::Issuer(NameAttribute::Organization),
    CertificateInfo::Issuer(NameAttribute::SerialNumber),
    CertificateInfo::Serial,
    CertificateInfo::NotBefore,
    CertificateInfo::NotAfter,
    CertificateInfo::AlternativeNames,
];

fuzz_target!(|der: &[u8]| {
    let Some(certificate) = Certificate::read(der) else {
        return;
    };
    [certificate.subject, certificate.issuer]
        .iter()
        .for_each(name);
    for moment in [certificate.not_before, certificate.not_after] {
        let text = moment.rfc3339();
        assert!(text.len() == 20 && text.ends_with('Z'), "{text}");
        assert_eq!(moment.short().len(), 13);
        let _ = moment.seconds();
    }
    let decimal = certificate.serial_decimal();
    assert!(!decimal.is_empty() && decimal.bytes().all(|it| it.is_ascii_digit()));
    assert!(decimal == "0" || !decimal.starts_with('0'), "{decimal}");
    let bits = certificate.key_with_bits();
    assert!(bits.is_none_or(|it| it.is_ascii()));
    let algorithms = [
        certificate.key_algorithm(),
        certificate.signature_algorithm(),
    ];
    assert!(algorithms.iter().all(|it| it.is_ascii()));
    for name in certificate.alternative_names().all() {
        assert!(!name.is_empty() && !name.contains(','), "{name:?}");
        assert!(name.bytes().all(|it| it.is_ascii_graphic()), "{name:?}");
    }
    // A field of a form in which only what we write separates.
    let info = certificate.info(&PARTS);
    assert!(
        info.bytes()
            .all(|it| it.is_ascii_graphic() && !b"\"';,=&".contains(&it))
    );
    assert!(info.matches("%22").count() % 2 == 0 && info.matches("%22").count() <= 12);
    let _ = certificate.info(&[&PARTS[..], &[CertificateInfo::AsTraefik]].concat());
});

fn name(name: &Name<'_>) {
    let line = name.line();
    let text = name.rfc4514();
    assert_eq!(line.is_empty(), text.is_empty());
    assert!(!text.contains('\0'));
    for short in ["CN", "O", "emailAddress"] {
        assert_eq!(name.attribute(short, 0), None);
        let first = name.attribute(short, 1);
        assert_eq!(first.is_some(), name.attribute(short, -1).is_some());
        assert_eq!(first.is_some() && name.attribute(short, 2).is_none(), {
            first.is_some() && name.attribute(short, -2).is_none()
        });
        let _ = (
            name.attribute(short, i16::MIN),
            name.attribute(short, i16::MAX),
        );
    }
}
