//! Answers of OCSP, and what certificates are called in them: no panic, and a name that we write reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::ocsp::{CertificateId, Response, certificate_id, request};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(response) = Response::read(bytes) {
        assert!(response.signed.len() + response.signature.len() < bytes.len());
        for answer in &response.answers {
            check(&answer.certificate);
        }
    }
    if let Some(id) = CertificateId::read(bytes) {
        check(&id);
    }
});

fn check(id: &CertificateId<'_>) {
    assert_eq!(CertificateId::read(id.whole).as_ref(), Some(id));
    let written = certificate_id(id.issuer_name, id.issuer_key, id.serial);
    let again = CertificateId::read(&written).unwrap();
    assert_eq!(again.issuer_name, id.issuer_name);
    assert_eq!(again.issuer_key, id.issuer_key);
    assert_eq!(again.serial, id.serial);
    assert!(request(written.clone()).ends_with(&written));
}
