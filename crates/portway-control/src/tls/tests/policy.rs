//! Policies.

use std::path::Path;
use std::process::Command;

use super::super::aws_policies::AWS_POLICIES;
use super::super::ciphers::{Meaning, SPOKEN, meaning};
use super::super::policy::{Custom, DEFAULT_POLICY, Policy, PolicyError, TlsVersion, names};

/// `1.3 1.2 | suites by OpenSSL's names | dropped`.
fn summary(policy: Result<Policy, PolicyError>) -> String {
    match policy {
        Ok(policy) => {
            let versions: Vec<_> = policy
                .versions
                .iter()
                .map(|version| format!("{:?}", version.version))
                .collect();
            let name = |suite: &rustls::SupportedCipherSuite| {
                SPOKEN
                    .iter()
                    .find(|spoken| spoken.suite.suite() == suite.suite())
                    .unwrap()
                    .openssl
            };
            let suites: Vec<_> = policy.suites.iter().map(name).collect();
            format!(
                "{} | {} | {}",
                versions.join(" "),
                suites.join(" "),
                policy.dropped.join(", ")
            )
        }
        Err(error) => format!("error: {error}"),
    }
}

#[track_caller]
fn check(policy: Result<Policy, PolicyError>, expected: &str) {
    assert_eq!(summary(policy), expected);
}

const T13: &str = "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256";
const GCM: &str = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384";
const CHACHA: &str = "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305";

#[test]
fn by_name() {
    check(Policy::named("modern"), &format!("TLSv1_3 | {T13} | "));
    check(
        Policy::named("intermediate"),
        &format!("TLSv1_3 TLSv1_2 | {T13} {GCM} {CHACHA} | "),
    );
    assert_eq!(
        summary(Ok(Policy::default())),
        summary(Policy::named(DEFAULT_POLICY))
    );
    check(
        Policy::named("ELBSecurityPolicy-TLS13-1-2-Res-2021-06"),
        &format!("TLSv1_3 TLSv1_2 | {T13} {GCM} | "),
    );
    check(
        Policy::named("elbsecuritypolicy-fs-1-2-res-2019-08"),
        &format!(
            "TLSv1_2 | {GCM} | ECDHE-ECDSA-AES128-SHA256 (CBC), ECDHE-RSA-AES128-SHA256 (CBC), ECDHE-ECDSA-AES256-SHA384 (CBC), \
             ECDHE-RSA-AES256-SHA384 (CBC)"
        ),
    );
    let old = Policy::named("ELBSecurityPolicy-2016-08").unwrap().dropped;
    assert_eq!(&old[..2], ["TLSv1.1 (too old)", "TLSv1 (too old)"]);
    assert!(
        old.contains(&"AES128-GCM-SHA256 (RSA key exchange)".to_owned()),
        "{old:?}"
    );
    assert_eq!(old.len(), 2 + 14);
    check(
        Policy::named("intermidiate"),
        "error: there is no TLS policy `intermidiate`; did you mean `intermediate`?",
    );
    check(
        Policy::named("ELBSecurityPolicy-TLS13-1-2-2021-6"),
        "error: there is no TLS policy `ELBSecurityPolicy-TLS13-1-2-2021-6`; did you mean `ELBSecurityPolicy-TLS13-1-2-2021-06`?",
    );
    check(Policy::named("zzz"), "error: there is no TLS policy `zzz`");
    for name in names() {
        let policy = Policy::named(name).unwrap();
        assert!(
            policy.versions.iter().all(|version| policy
                .suites
                .iter()
                .any(|suite| suite.version() == *version)),
            "{name}"
        );
    }
}

#[test]
fn the_aws_table_is_that_of_the_reference() {
    let Some(samples) = std::env::var_os("PORTWAY_SAMPLES") else {
        println!("skipped: PORTWAY_SAMPLES is not set");
        return;
    };
    let path = Path::new(&samples).join("reference/aws-elbv2-ssl-policies.json");
    let reference: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let reference = reference.as_object().unwrap();
    assert_eq!(reference.len(), AWS_POLICIES.len());
    for policy in &AWS_POLICIES {
        let strings = |field: &str| -> Vec<String> {
            let list = reference[policy.name][field].as_array().unwrap();
            list.iter()
                .map(|value| value.as_str().unwrap().to_owned())
                .collect()
        };
        let protocols: Vec<_> = policy.protocols.iter().map(ToString::to_string).collect();
        assert_eq!(protocols, strings("protocols"), "{}", policy.name);
        assert_eq!(
            policy.ciphers().collect::<Vec<_>>(),
            strings("ciphers"),
            "{}",
            policy.name
        );
    }
}

#[test]
fn written_out() {
    let custom = |min, max, ciphers| Policy::custom(&Custom { min, max, ciphers });
    let (v10, v11, v12, v13) = (
        Some(TlsVersion::Tls10),
        Some(TlsVersion::Tls11),
        Some(TlsVersion::Tls12),
        Some(TlsVersion::Tls13),
    );
    assert_eq!(
        summary(custom(None, None, None)),
        summary(Ok(Policy::default()))
    );
    check(custom(v13, None, None), &format!("TLSv1_3 | {T13} | "));
    check(
        custom(None, v12, None),
        &format!("TLSv1_2 | {GCM} {CHACHA} | "),
    );
    check(
        custom(v10, v12, None),
        &format!("TLSv1_2 | {GCM} {CHACHA} | TLSv1.1 (too old), TLSv1 (too old)"),
    );
    check(
        custom(v13, v12, None),
        "error: the minimum version TLSv1.3 is above the maximum version TLSv1.2",
    );
    check(
        custom(None, v11, None),
        "error: nothing of this policy is spoken: TLSv1.1 (too old); TLS 1.2 with ECDHE and AES-GCM or ChaCha20, and TLS 1.3, are",
    );
    // OpenSSL's names, IANA's names, any separator, the order given; TLS 1.3 stays as it is.
    check(
        custom(
            None,
            None,
            Some("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"),
        ),
        &format!(
            "TLSv1_3 TLSv1_2 | {T13} ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-GCM-SHA256 | "
        ),
    );
    check(
        custom(
            v12,
            v12,
            Some("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, ECDHE-RSA-AES128-SHA"),
        ),
        "TLSv1_2 | ECDHE-RSA-CHACHA20-POLY1305 | ECDHE-RSA-AES128-SHA (CBC)",
    );
    check(
        custom(None, None, Some("TLS_AES_256_GCM_SHA384")),
        &format!("TLSv1_3 TLSv1_2 | TLS_AES_256_GCM_SHA384 {GCM} {CHACHA} | "),
    );
    check(
        custom(None, None, Some("AES128-SHA DHE-RSA-AES128-GCM-SHA256")),
        &format!(
            "TLSv1_3 | {T13} | TLSv1.2 (none of its cipher suites is spoken), AES128-SHA (RSA key exchange), \
             DHE-RSA-AES128-GCM-SHA256 (DHE key exchange)"
        ),
    );
    check(
        custom(None, None, Some("ECDHE-RSA-AES128-GCM-SHA265")),
        "error: there is no cipher suite `ECDHE-RSA-AES128-GCM-SHA265`; did you mean `ECDHE-RSA-AES128-GCM-SHA256`?",
    );
    check(
        custom(None, None, Some("ECDHE-RSA-AES128-GCM-SHA384")),
        "error: there is no cipher suite `ECDHE-RSA-AES128-GCM-SHA384`; did you mean `ECDHE-RSA-AES128-GCM-SHA256`?",
    );
    check(
        custom(
            v12,
            v12,
            Some("ecdhe-rsa-aes128-gcm-sha256,ecdhe-rsa-aes128-sha"),
        ),
        "TLSv1_2 | ECDHE-RSA-AES128-GCM-SHA256 | ecdhe-rsa-aes128-sha (CBC)",
    );
    // OpenSSL's expressions.
    let v12_only = |list| custom(v12, v12, Some(list));
    check(
        v12_only("HIGH:!aNULL:!MD5"),
        &format!("TLSv1_2 | {GCM} {CHACHA} | "),
    );
    check(v12_only("!aNULL"), &format!("TLSv1_2 | {GCM} {CHACHA} | "));
    check(
        v12_only("EECDH+AESGCM:EDH+AESGCM"),
        &format!("TLSv1_2 | {GCM} | EDH+AESGCM (no suite of this group is spoken)"),
    );
    check(
        v12_only("ECDHE+aRSA+CHACHA20:ECDHE:!ECDSA:@STRENGTH"),
        "TLSv1_2 | ECDHE-RSA-CHACHA20-POLY1305 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 | \
         @STRENGTH (the order and strength of suites are not set this way)",
    );
    check(
        v12_only("AES256:AES128:+AES256:-aRSA"),
        "TLSv1_2 | ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 | ",
    );
    check(
        v12_only("ECDHE+NONSENSE"),
        "error: there is no cipher suite `ECDHE+NONSENSE`",
    );
    check(
        v12_only("!NONSENSE"),
        "error: there is no cipher suite `!NONSENSE`",
    );
}

#[test]
fn every_suite_of_openssl_is_known() {
    for form in ["", "-stdname"] {
        let mut command = Command::new("openssl");
        command
            .args(["ciphers", "-v"])
            .args(Some(form).filter(|form| !form.is_empty()))
            .arg("ALL:COMPLEMENTOFALL:@SECLEVEL=0");
        let output = command
            .output()
            .expect("these tests need the `openssl` program (apt-get install openssl)");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 30, "{text}");
        for line in text.lines() {
            let name = line.split_whitespace().next().unwrap();
            assert!(
                matches!(meaning(name), Meaning::Suites(_) | Meaning::NotSpoken(_)),
                "{name}: {:?}",
                meaning(name)
            );
        }
    }
    assert_eq!(
        SPOKEN.len(),
        rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES.len()
    );
}

#[test]
fn versions_in_every_spelling() {
    for (text, expected) in [
        ("TLSv1.2", Some(TlsVersion::Tls12)),
        ("tls1.3", Some(TlsVersion::Tls13)),
        ("1.1", Some(TlsVersion::Tls11)),
        ("TLSv1", Some(TlsVersion::Tls10)),
        ("TLSv1.0", Some(TlsVersion::Tls10)),
        ("VersionTLS13", Some(TlsVersion::Tls13)),
        ("TLSv12", Some(TlsVersion::Tls12)),
        ("TLS 1.2", Some(TlsVersion::Tls12)),
        ("SSLv3", Some(TlsVersion::Ssl30)),
        ("TLSv1.4", None),
        ("", None),
        ("tls", None),
    ] {
        assert_eq!(TlsVersion::parse(text), expected, "{text}");
    }
    for version in TlsVersion::ALL {
        assert_eq!(TlsVersion::parse(&version.to_string()), Some(version));
    }
}
