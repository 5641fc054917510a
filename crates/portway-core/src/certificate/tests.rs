//! Certificates that OpenSSL made, and what it says of them.

use super::*;
use portway_model::expression::{CertificateInfo, NameAttribute};
use proptest::prelude::*;

/// Version 3, RSA, made by `openssl req -x509`.
const AUTHORITY: &[u8] = include_bytes!("../../tests/certificates/authority.der");
/// Version 1, with a name of two attributes in one set, made by `openssl x509 -req`.
const CLIENT: &[u8] = include_bytes!("../../tests/certificates/client-v1.der");

fn texts(name: Name<'_>) -> (String, String) {
    let line = String::from_utf8(name.line()).unwrap();
    (line, name.rfc4514())
}

#[test]
fn what_openssl_says() {
    let it = Certificate::read(AUTHORITY).unwrap();
    let name = (
        "/C=FR/O=Shop, Inc./OU=one/OU=two/CN=a b".to_owned(),
        "CN=a b,OU=two,OU=one,O=Shop\\, Inc.,C=FR".to_owned(),
    );
    assert_eq!(
        (texts(it.subject), texts(it.issuer)),
        (name.clone(), name.clone())
    );
    let organization = CertificateInfo::Issuer(NameAttribute::Organization);
    let info = it.info(&[organization]);
    assert_eq!(info, "Issuer%3D%22O%3DShop%252C+Inc.%22");
    let info = it.info(&[organization, CertificateInfo::AsTraefik]);
    assert_eq!(info, "Issuer%3D%22O%3DShop%2C+Inc.%22");
    assert_eq!((it.version, it.serial), (3, &[0xA1, 0xB2, 0xC3][..]));
    assert_eq!(it.not_before.short(), b"261121114855Z");
    assert_eq!(it.not_before.rfc3339(), "2026-11-21T11:48:55Z");
    assert_eq!(it.not_after.short(), b"360528114855Z");
    assert_eq!(it.not_after.rfc3339(), "2136-05-28T11:48:55Z");
    assert_eq!(it.key_algorithm(), "rsaEncryption");
    assert_eq!(it.signature_algorithm(), "RSA-SHA256");
    assert_eq!(it.key_with_bits().as_deref(), Some("RSA2048"));

    let it = Certificate::read(CLIENT).unwrap();
    let subject = (
        "/DC=example/UID=42/CN=client/emailAddress=a@b.example".to_owned(),
        "emailAddress=a@b.example+CN=client,UID=42,DC=example".to_owned(),
    );
    assert_eq!((texts(it.subject), texts(it.issuer)), (subject, name));
    assert_eq!((it.version, it.serial), (1, &[7][..]));
    assert_eq!(it.key_algorithm(), "id-ecPublicKey");
    assert_eq!(it.key_with_bits().as_deref(), Some("EC256"));
}

#[test]
fn attributes_by_name_and_number() {
    let it = Certificate::read(AUTHORITY).unwrap();
    for (name, n, expected) in [
        ("CN", 1, Some("a b")),
        ("cn", -1, Some("a b")),
        ("OU", 1, Some("one")),
        ("OU", 2, Some("two")),
        ("OU", 3, None),
        ("OU", -1, Some("two")),
        ("OU", -2, Some("one")),
        ("OU", -3, None),
        ("ST", 1, None),
        ("CN", 0, None),
    ] {
        let found = it.subject.attribute(name, n);
        assert_eq!(found, expected.map(str::as_bytes), "{name} {n}");
    }
}

#[test]
fn years_of_two_digits() {
    let rfc3339 = |text: &'static [u8]| Time { text, long: false }.rfc3339();
    assert_eq!(rfc3339(b"491231235959Z"), "2049-12-31T23:59:59Z");
    assert_eq!(rfc3339(b"500101000000Z"), "1950-01-01T00:00:00Z");
}

proptest! {
    #[test]
    fn nothing_panics(at: prop::sample::Index, byte: u8, cut: prop::sample::Index, bytes: Vec<u8>) {
        let mut changed = AUTHORITY.to_vec();
        let at = at.index(changed.len());
        changed[at] = byte;
        for der in [&changed[..], &AUTHORITY[..cut.index(AUTHORITY.len())], &bytes] {
            if let Some(it) = Certificate::read(der) {
                let _ = (it.subject.line(), it.issuer.rfc4514(), it.not_after.rfc3339());
                let _ = (it.key_algorithm(), it.key_with_bits(), it.subject.attribute("CN", -1));
            }
        }
    }
}
