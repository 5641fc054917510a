//! The PEM reader and what reads its blocks: certificates, keys and chains, from any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_control::tls::identity::{PemSource, load_identity};
use portway_control::tls::pem::{self, PemError};
use portway_control::tls::x509::CertificateFacts;
use rustls_pki_types::UnixTime;

/// 2026-11-21, so that findings about dates do not change from run to run.
const NOW: u64 = 1_795_219_200;

fuzz_target!(|text: &[u8]| {
    let lines = text
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count()
        + 1;
    match pem::read(text) {
        Ok(contents) => {
            let of_certificates = contents.certificates.iter().map(|block| block.line);
            let of_keys = contents.keys.iter().map(|block| block.line);
            assert!(
                of_certificates
                    .chain(of_keys)
                    .all(|line| line >= 1 && line as usize <= lines)
            );
            for certificate in &contents.certificates {
                if let Ok(facts) = CertificateFacts::read(&certificate.der) {
                    assert!(
                        facts
                            .names()
                            .iter()
                            .all(|name| !name.is_empty() && name.is_ascii())
                    );
                }
            }
        }
        Err(error) => {
            assert!(
                error
                    .line()
                    .is_none_or(|line| line >= 1 && line as usize <= lines)
            );
            assert!(!error.to_string().is_empty());
            assert!(!matches!(error, PemError::TooLarge { .. }) || text.len() > pem::MAX_PEM_BYTES);
        }
    }
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
    if let Ok((identity, findings)) = load_identity(&[PemSource { name: "fuzz", text }], now) {
        assert!(!identity.certified_key.cert.is_empty());
        findings
            .iter()
            .for_each(|finding| assert!(!finding.to_string().is_empty()));
    }
    // Beyond the frame, the DER itself.
    let _ = CertificateFacts::read(text);
});
