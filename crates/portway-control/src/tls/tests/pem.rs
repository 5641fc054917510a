//! The PEM reader.

use proptest::prelude::*;

use super::super::pem::{MAX_PEM_BYTES, OtherKind, PemError, read, read_certificates};
use super::{chain, openssl_file, openssl_text};

/// `cert@1 key@12 EcParameters@9`, or `line 3: text` of the error.
fn summary(text: &[u8]) -> String {
    match read(text) {
        Ok(contents) => {
            let mut blocks: Vec<(u32, String)> = Vec::new();
            blocks.extend(
                contents
                    .certificates
                    .iter()
                    .map(|block| (block.line, format!("cert@{}", block.line))),
            );
            blocks.extend(
                contents
                    .keys
                    .iter()
                    .map(|block| (block.line, format!("key@{}", block.line))),
            );
            blocks.extend(
                contents
                    .others
                    .iter()
                    .map(|block| (block.line, format!("{:?}@{}", block.kind, block.line))),
            );
            blocks.sort();
            blocks
                .into_iter()
                .map(|(_, text)| text)
                .collect::<Vec<_>>()
                .join(" ")
        }
        Err(error) => match error.line() {
            Some(line) => format!("line {line}: {error}"),
            None => error.to_string(),
        },
    }
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, expected: &str) {
    let found = summary(text.as_ref());
    let fits = if let Some(start) = expected.strip_suffix('…') {
        found.starts_with(start)
    } else {
        found == expected
    };
    assert!(fits, "found:    {found}\nexpected: {expected}");
}

/// A block of our own whose shape is known: nine lines of text for a certificate, five for a key.
fn blocks() -> (&'static str, &'static str, usize) {
    let leaf = &chain().leaf;
    (
        &leaf.certificate,
        &leaf.key,
        leaf.certificate.lines().count(),
    )
}

#[test]
fn shapes_that_people_have() {
    let (cert, key, lines) = blocks();
    let both = format!("{cert}{key}");
    let key_line = lines + 1;
    let expected = format!("cert@1 key@{key_line}");
    check(&both, &expected);
    check(both.replace('\n', "\r\n"), &expected);
    check(both.replace('\n', "\r"), &expected);
    check(both.replace('\n', " \t\n"), &expected);
    check(both.replace('\n', "\n   "), &expected);
    check(format!("\u{feff}{both}"), &expected);
    let le: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(both.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let be: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(both.encode_utf16())
        .flat_map(u16::to_be_bytes)
        .collect();
    check(le, &expected);
    check(be, &expected);
    check(both.trim_end(), &expected);
    check(
        format!("{}{key}", cert.trim_end()),
        &format!("cert@1 key@{lines}"),
    );
    check(
        format!("{key}{cert}"),
        &format!("key@1 cert@{}", key.lines().count() + 1),
    );
    check(
        format!("Certificate:\n    Data:\n        Version: 3\n{both}"),
        &format!("cert@4 key@{}", key_line + 3),
    );
    check(
        both.replace("-----END CERTIFICATE", "\n\n-----END CERTIFICATE"),
        &format!("cert@1 key@{}", key_line + 2),
    );
    check(cert.replace("CERTIFICATE", "X509 CERTIFICATE"), "cert@1");
    check(
        format!("{cert}{cert}"),
        &format!("cert@1 cert@{}", lines + 1),
    );
    check(
        "-----BEGIN EC PARAMETERS-----\n!!\n-----END EC PARAMETERS-----",
        "EcParameters@1",
    );
    check(
        "-----BEGIN DH PARAMETERS-----\n\n-----END DH PARAMETERS-----",
        "DhParameters@1",
    );
    check(
        "-----BEGIN X-----\na: b\n-----END X-----",
        "Unknown(\"X\")@1",
    );
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let (cert, key, lines) = blocks();
    check("", "the file is empty");
    check(" \r\n\t", "the file is empty");
    check("hello", "no PEM block found…");
    check("00000000", "no PEM block found…");
    check("----BEGIN CERTIFICATE----", "no PEM block found…");
    check(vec![b' '; MAX_PEM_BYTES + 1], "1048577 bytes are too many…");
    check(
        "\n-----BEGIN CERTIFICATE-----\nMIIB\n",
        "line 2: the block is cut off: `-----END CERTIFICATE-----` is missing…",
    );
    let cut: String = cert
        .lines()
        .take(lines - 1)
        .map(|line| format!("{line}\n"))
        .collect();
    check(format!("{cut}{key}"), "line 1: the block is cut off…");
    check(&cut, "line 1: the block is cut off…");
    let without_end_of_body: String = cert
        .lines()
        .enumerate()
        .filter(|(at, _)| *at != 3)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    check(
        without_end_of_body,
        "line 1: the CERTIFICATE block does not hold what it says…",
    );
    check(
        cert.replace("END CERTIFICATE", "END PRIVATE KEY"),
        &format!("line {lines}: this END line does not close `-----BEGIN CERTIFICATE-----`"),
    );
    check(
        format!("x\n{}", cert.replacen("MII", "M!I", 1)),
        "line 3: this is not base64…",
    );
    check(
        "-----BEGIN CERTIFICATE-----\nMIIBAA\nMI=BA\n-----END CERTIFICATE-----",
        "line 3: this is not base64…",
    );
    check(
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        "line 1: the CERTIFICATE block does not hold…",
    );
    check(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "line 1: the CERTIFICATE block does not hold…",
    );
    check(
        "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----",
        "line 1: the BEGIN line must be…",
    );
    check("-----BEGIN CERTIFICATE", "line 1: the BEGIN line must be…");
    check("-----BEGIN -----", "line 1: the BEGIN line must be…");
    check(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
        "line 1: the private key is encrypted with a passphrase; decrypt it: `openssl pkey…",
    );
    check(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
        "line 1: the private key is in OpenSSH's own form; convert it: `ssh-keygen…",
    );
    check(
        "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----",
        "line 1: `DSA PRIVATE KEY` is not a key for TLS…",
    );
    check(
        [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2],
        "this is a Java key store…",
    );
}

#[test]
fn what_openssl_writes() {
    for (file, expected) in [
        ("server.key", "key@1"),
        ("pkcs1.key", "key@1"),
        ("trusted.crt", "cert@1"),
        ("ec.key", "EcParameters@1 key@4"),
        ("ed25519.key", "key@1"),
        ("public.pem", "PublicKey@1"),
        ("server.p7b", "Pkcs7@1"),
        ("privkey.pem", "line 1: the private key is encrypted…"),
        (
            "legacy-encrypted.key",
            "line 1: the private key is encrypted…",
        ),
        ("server.der", "this is a certificate in binary form (DER)…"),
        ("key.der", "this is a private key in binary form (DER)…"),
        ("server.p12", "this is a PKCS#12 file…"),
    ] {
        check(openssl_file(file), expected);
    }
    for (file, certificates, keys) in [
        ("server.crt", 1, 0),
        ("server.pem", 1, 1),
        ("bags.pem", 1, 1),
        ("server.csr", 0, 0),
    ] {
        let contents = read(&openssl_file(file)).unwrap();
        assert_eq!(
            (contents.certificates.len(), contents.keys.len()),
            (certificates, keys),
            "{file}"
        );
    }
    // The trust settings behind a trusted certificate are cut off.
    assert_eq!(
        read_certificates(&openssl_file("trusted.crt")),
        read_certificates(&openssl_file("server.crt"))
    );
}

#[test]
fn what_is_missing_is_said() {
    let (cert, key, _) = blocks();
    let pair = |text: &str| read(text.as_bytes()).and_then(|contents| contents.pair().map(drop));
    assert_eq!(pair(&format!("{cert}{key}")), Ok(()));
    assert_eq!(pair(&format!("{cert}{key}{key}")), Ok(()));
    assert_eq!(pair(cert), Err(PemError::NoKey));
    assert_eq!(pair(key), Err(PemError::NoCertificate(None)));
    let other_key = &chain().root.key;
    let second = u32::try_from(key.lines().count()).unwrap() + 1;
    assert!(
        matches!(pair(&format!("{key}{other_key}{cert}")), Err(PemError::TwoKeys { first: 1, second: at }) if at == second)
    );
    for (file, kind, says) in [
        ("server.csr", OtherKind::Request, "signing request"),
        ("public.pem", OtherKind::PublicKey, "public key alone"),
        ("server.p7b", OtherKind::Pkcs7, "openssl pkcs7 -print_certs"),
    ] {
        let error = pair(&format!("{}\n{key}", openssl_text(file))).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(
            matches!(error, PemError::NoCertificate(Some(block)) if block.kind == kind),
            "{file}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_damage_panics(at in 0usize..1600, with in proptest::collection::vec(any::<u8>(), 0..20), cut in 0usize..60) {
        let (cert, key, _) = blocks();
        let mut text = format!("{cert}{key}").into_bytes();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, with);
        if let Ok(contents) = read(&text) {
            for certificate in contents.certificates {
                let _ = crate::tls::x509::CertificateFacts::read(&certificate.der);
            }
        }
    }

    #[test]
    fn text_between_blocks_changes_nothing(noise in "[ -,.-~\n]{0,80}", ending in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]) {
        let (cert, key, _) = blocks();
        let plain = read(format!("{cert}{key}").as_bytes()).unwrap();
        let noisy = format!("{noise}\n{cert}{noise}\n{key}{noise}").replace('\n', ending);
        let noisy = read(noisy.as_bytes()).unwrap();
        prop_assert_eq!(&noisy.certificates[0].der, &plain.certificates[0].der);
        prop_assert_eq!(&noisy.keys[0].der, &plain.keys[0].der);
    }
}
