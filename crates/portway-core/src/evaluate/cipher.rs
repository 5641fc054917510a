//! Cipher suites by other names: what OpenSSL calls them, and how many bits their keys have.

/// Suites of TLS 1.2 by IANA and OpenSSL name; those of TLS 1.3 have one name.
const OPENSSL: [(&str, &str); 6] = [
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ),
];

/// What OpenSSL calls a suite of this IANA name.
pub fn openssl_name(iana: &str) -> &str {
    let known = OPENSSL.iter().find(|(name, _)| *name == iana);
    known.map_or(iana, |(_, openssl)| openssl)
}

/// Bits of the key of the symmetric cipher.
pub(super) fn key_bits(iana: &str) -> u16 {
    if iana.contains("AES_128") { 128 } else { 256 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits() {
        for (iana, openssl, bits) in [
            (
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "ECDHE-RSA-AES128-GCM-SHA256",
                128,
            ),
            ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", 256),
            (
                "TLS_CHACHA20_POLY1305_SHA256",
                "TLS_CHACHA20_POLY1305_SHA256",
                256,
            ),
        ] {
            assert_eq!((openssl_name(iana), key_bits(iana)), (openssl, bits));
        }
    }
}
