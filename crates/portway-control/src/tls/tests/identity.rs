//! Certificates, their keys and their chains.

use proptest::prelude::*;

use super::super::identity::{KeyKind, Severity};
use super::super::pem::read_certificates;
use super::super::x509::{CertificateFacts, PublicKeyKind, day};
use super::super::{identity::Identity, self_signed::self_signed};
use super::{Chain, NOW, Wanted, at, chain, load, make, openssl_text};

/// Loads texts and compares `names | chain as common names | findings`, or the error.
#[track_caller]
fn check(texts: &[&str], expected: &str) {
    let found = match load(texts) {
        Ok((identity, findings)) => {
            let findings: Vec<_> = findings
                .iter()
                .map(|finding| format!("{finding:?}").split(' ').next().unwrap().to_owned())
                .collect();
            format!(
                "{} | {} | {}",
                identity.names.join(","),
                chain_names(&identity),
                findings.join(",")
            )
        }
        Err(error) => error.to_string(),
    };
    let fits = if let Some(start) = expected.strip_suffix('…') {
        found.starts_with(start)
    } else {
        found == expected
    };
    assert!(fits, "found:    {found}\nexpected: {expected}");
}

fn chain_names(identity: &Identity) -> String {
    let name = |der: &rustls_pki_types::CertificateDer<'_>| {
        CertificateFacts::read(der).unwrap().common_name.unwrap()
    };
    identity
        .certified_key
        .cert
        .iter()
        .map(name)
        .collect::<Vec<_>>()
        .join(">")
}

#[test]
fn chains_in_any_order() {
    let (root, middle, leaf) = (
        &chain().root.certificate,
        &chain().middle.certificate,
        &chain().leaf.certificate,
    );
    let key = &chain().leaf.key;
    let other = &make(
        &Wanted {
            common_name: "other",
            ..Wanted::default()
        },
        None,
    )
    .certificate;
    check(&[leaf, key], "a.example | leaf | ");
    check(
        &[&format!("{leaf}{middle}{key}")],
        "a.example | leaf>middle | ",
    );
    check(
        &[&format!("{key}{middle}{leaf}")],
        "a.example | leaf>middle | ",
    );
    check(&[key, middle, leaf], "a.example | leaf>middle | ");
    check(
        &[&format!("{root}{middle}{leaf}"), key],
        "a.example | leaf>middle | RootLeftOut",
    );
    check(
        &[&format!("{other}{middle}{leaf}{root}"), key],
        "a.example | leaf>middle | Unrelated,RootLeftOut",
    );
    check(
        &[&format!("{leaf}{middle}"), leaf, key, key],
        "a.example | leaf>middle | ",
    );
    check(&[&chain().root.both()], "root | root | CommonNameOnly");
}

#[test]
fn names_and_dates() {
    let made = |names: &[&str], common_name: &str, days| {
        make(
            &Wanted {
                names,
                common_name,
                days,
                ..Wanted::default()
            },
            None,
        )
        .both()
    };
    let far = (-1, 365);
    check(
        &[&made(
            &["A.Example", "*.b.example", "192.0.2.1"],
            "cn.example",
            far,
        )],
        "a.example,*.b.example | cn.example | ",
    );
    check(
        &[&made(&[], "cn.example", far)],
        "cn.example | cn.example | CommonNameOnly",
    );
    check(
        &[&made(&[], "A Common Name", far)],
        " | A Common Name | NoNames",
    );
    check(
        &[&made(&["192.0.2.1"], "cn.example", far)],
        " | cn.example | ",
    );
    check(
        &[&made(&["a.example"], "x", (-30, -2))],
        "a.example | x | Expired",
    );
    check(
        &[&made(&["a.example"], "x", (2, 30))],
        "a.example | x | NotYetValid",
    );
    check(
        &[&made(&["a.example"], "x", (-1, 13))],
        "a.example | x | ExpiresSoon",
    );
    check(&[&made(&["a.example"], "x", (-1, 14))], "a.example | x | ");

    let (_, findings) = load(&[&made(&["a.example"], "x", (-30, -2))]).unwrap();
    assert_eq!(
        findings[0].to_string(),
        "the certificate `CN=x` expired on 2026-11-19: clients will refuse it"
    );
    assert_eq!(findings[0].severity(), Severity::Warning);
    assert_eq!(day(NOW), "2026-11-21");
    assert_eq!(day(i64::MAX), "a date out of range");
}

#[test]
fn an_expired_issuer_is_warned_about() {
    let root = make(
        &Wanted {
            common_name: "root",
            is_ca: true,
            ..Wanted::default()
        },
        None,
    );
    let old = make(
        &Wanted {
            common_name: "old",
            is_ca: true,
            days: (-90, -1),
            ..Wanted::default()
        },
        Some(&root),
    );
    let leaf = make(
        &Wanted {
            common_name: "leaf",
            names: &["a.example"],
            ..Wanted::default()
        },
        Some(&old),
    );
    check(
        &[&leaf.both(), &old.certificate],
        "a.example | leaf>old | Expired",
    );
}

#[test]
fn what_openssl_writes() {
    for (files, expected) in [
        (
            &["server.pem"][..],
            "flow.example.com | flow.example.com | Version1",
        ),
        (
            &["server.crt", "server.key"],
            "flow.example.com | flow.example.com | Version1",
        ),
        (
            &["server.crt", "pkcs1.key"],
            "flow.example.com | flow.example.com | Version1",
        ),
        (
            &["trusted.crt", "pkcs1.key"],
            "flow.example.com | flow.example.com | Version1",
        ),
        (
            &["bags.pem"],
            "flow.example.com | flow.example.com | Version1",
        ),
        (&["ec.crt", "ec.key"], "ec.example | ec.example | "),
        (
            &["p384.crt", "p384.key"],
            "p384.example | p384.example | CommonNameOnly",
        ),
        (
            &["p521.crt", "p521.key"],
            "p521.example | p521.example | CommonNameOnly",
        ),
        (
            &["ed25519.crt", "ed25519.key"],
            "ed25519.example | ed25519.example | CommonNameOnly",
        ),
        (
            &["k1.crt", "k1.key"],
            "2.pem:1: the key is of an unknown algorithm (1.3.132.0.10): use an ECDSA…",
        ),
        (
            &["short.crt", "short.key"],
            "2.pem:1: the RSA key of 1024 bits is too short…",
        ),
        (
            &["server.crt", "privkey.pem"],
            "2.pem:1: the private key is encrypted with a passphrase…",
        ),
        (&["server.crt"], "1.pem: no private key found…"),
        (
            &["server.key"],
            "1.pem: no certificate found: a certificate starts with…",
        ),
        (
            &["public.pem", "server.key"],
            "1.pem:1: no certificate found…",
        ),
        (
            &["server.csr", "server.key"],
            "1.pem:48: no certificate found: this is a certificate signing request…",
        ),
        (
            &["ec.crt", "ec.key", "p384.key"],
            "3.pem:1: a second private key, different from the one at 2.pem:4…",
        ),
        (
            &["ec.crt", "p384.key"],
            "the private key (ECDSA, 2.pem:1) does not belong to the certificate `CN=ec.example` (ECDSA P-256, 1.pem:1)…",
        ),
        (
            &["ec.crt", "server.key"],
            "the private key (RSA, 2.pem:1) does not belong to the certificate `CN=ec.example`…",
        ),
    ] {
        let texts: Vec<_> = files.iter().map(|file| openssl_text(file)).collect();
        // Certificates of openssl start now, by the machine's clock.
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let found = load_now(&texts);
        let fits = if let Some(start) = expected.strip_suffix('…') {
            found.starts_with(start)
        } else {
            found == expected
        };
        assert!(fits, "{files:?}\nfound:    {found}\nexpected: {expected}");
    }
}

fn load_now(texts: &[&str]) -> String {
    let names: Vec<_> = (1..=texts.len())
        .map(|number| format!("{number}.pem"))
        .collect();
    let sources: Vec<_> = names
        .iter()
        .zip(texts)
        .map(|(name, text)| super::PemSource {
            name,
            text: text.as_bytes(),
        })
        .collect();
    match super::load_identity(&sources, rustls_pki_types::UnixTime::now()) {
        Ok((identity, findings)) => {
            let findings: Vec<_> = findings
                .iter()
                .map(|finding| format!("{finding:?}").split(' ').next().unwrap().to_owned())
                .collect();
            format!(
                "{} | {} | {}",
                identity.names.join(","),
                chain_names(&identity),
                findings.join(",")
            )
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn facts_of_openssl_certificates() {
    let facts = |file: &str| {
        CertificateFacts::read(&read_certificates(openssl_text(file).as_bytes()).unwrap()[0])
            .unwrap()
    };
    let flow = facts("server.crt");
    assert_eq!(
        (
            flow.version,
            flow.self_signed,
            flow.is_ca,
            flow.has_alternative_names
        ),
        (1, true, false, false)
    );
    assert_eq!(flow.key, PublicKeyKind::Rsa { bits: 2048 });
    assert_eq!(flow.names(), ["flow.example.com"]);
    let ec = facts("ec.crt");
    assert_eq!((ec.version, ec.self_signed, ec.is_ca), (3, true, true));
    assert_eq!(ec.key, PublicKeyKind::Ecdsa { bits: 256 });
    assert_eq!(
        ec.ip_addresses,
        ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(facts("p384.crt").key, PublicKeyKind::Ecdsa { bits: 384 });
    assert_eq!(facts("p521.crt").key, PublicKeyKind::Ecdsa { bits: 521 });
    assert_eq!(facts("ed25519.crt").key, PublicKeyKind::Ed25519);
    assert_eq!(facts("short.crt").key, PublicKeyKind::Rsa { bits: 1024 });

    let output = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(super::openssl_files().join("server.crt"))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.trim_end().ends_with(&flow.fingerprint.to_string()),
        "{printed}"
    );
}

#[test]
fn self_signed_certificates_load() {
    let names = [
        "localhost".to_owned(),
        "*.demo.example".to_owned(),
        "127.0.0.1".to_owned(),
    ];
    let made = self_signed(&names, 30, at(NOW)).unwrap();
    let (identity, findings) = load(&[&made.certificate_pem, &made.key_pem]).unwrap();
    assert_eq!(identity.names, ["localhost", "*.demo.example"]);
    assert_eq!((identity.key_kind, findings), (KeyKind::Ecdsa, vec![]));
    assert_eq!(day(identity.not_after), "2026-12-21");
    assert!(self_signed(&["bücher.example".to_owned()], 30, at(NOW)).is_err());
}

proptest! {
    #[test]
    fn the_order_of_blocks_does_not_matter(order in Just([0usize, 1, 2, 3]).prop_shuffle()) {
        let Chain { root, middle, leaf } = chain();
        let blocks = [&root.certificate, &middle.certificate, &leaf.certificate, &leaf.key];
        let text: String = order.iter().map(|at| blocks[*at].as_str()).collect();
        let (identity, _) = load(&[&text]).unwrap();
        prop_assert_eq!(chain_names(&identity), "leaf>middle");
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = CertificateFacts::read(&bytes);
    }
}
