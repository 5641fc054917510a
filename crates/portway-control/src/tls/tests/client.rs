//! Verification of targets.

use std::sync::Arc;

use portway_model::settings::VerifyName;
use rustls::{ClientConfig, ClientConnection, ServerConnection};
use rustls_pki_types::ServerName;

use super::super::client::{ClientConfigError, Target, Verification, client_config, explain};
use super::super::policy::Policy;
use super::super::resolver::{CertificateResolver, NoMatch};
use super::super::server::server_config;
use super::super::tickets::TicketKeys;
use super::{
    Made, TestClock, Wanted, chain, load, load_identity, make, openssl_file, openssl_text, shake,
};

fn ca<'a>(pem: &'a str, name: Option<&str>) -> Verification<'a> {
    let name = name.map(|name| ServerName::try_from(name.to_owned()).unwrap());
    Verification::Ca {
        pem: pem.as_bytes(),
        target: Target::named(name),
    }
}

fn other_than_sent(pem: &str, otherwise: VerifyName) -> Verification<'_> {
    let target = Target {
        otherwise,
        ..Target::named(None)
    };
    let pem = pem.as_bytes();
    Verification::Ca { pem, target }
}

/// Connects to a target that shows `texts`; `ok`, or why not, in words.
fn outcome(verification: &Verification<'_>, texts: &[&str], name: &str) -> String {
    let sources: Vec<_> = texts
        .iter()
        .map(|text| super::PemSource {
            name: "target",
            text: text.as_bytes(),
        })
        .collect();
    let (identity, _) = load_identity(&sources, super::at(super::NOW)).unwrap();
    let (resolver, _) = CertificateResolver::new(&[Arc::new(identity)], NoMatch::Default);
    let clock = TestClock::new();
    let tickets = TicketKeys::new(clock.clone())
        .unwrap()
        .resumption("target", None);
    let server = server_config(Arc::new(resolver), &Policy::default(), &[], tickets, None).unwrap();
    let mut client =
        ClientConfig::clone(&client_config(verification, &Policy::default(), &[]).unwrap());
    client.time_provider = clock;
    let mut client = ClientConnection::new(
        Arc::new(client),
        ServerName::try_from(name.to_owned()).unwrap(),
    )
    .unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    // Of the two ends the client says why; the server only hears an alert.
    match shake(&mut client, &mut server) {
        Ok(()) => "ok".to_owned(),
        Err(error) => explain(&error),
    }
}

#[test]
fn who_is_trusted() {
    let (root, leaf, middle) = (
        &chain().root.certificate,
        chain().leaf.both(),
        &chain().middle.certificate,
    );
    let whole: &[&str] = &[&leaf, middle];
    let other = make(
        &Wanted {
            common_name: "other root",
            is_ca: true,
            ..Wanted::default()
        },
        None,
    )
    .certificate;
    let alone = |wanted: &Wanted<'_>| make(wanted, None);
    let expired = alone(&Wanted {
        names: &["a.example"],
        days: (-30, -2),
        ..Wanted::default()
    });
    let early = alone(&Wanted {
        names: &["a.example"],
        days: (2, 30),
        ..Wanted::default()
    });
    let self_ca = alone(&Wanted {
        names: &["a.example"],
        is_ca: true,
        ..Wanted::default()
    });
    let by_root = |wanted: &Wanted<'_>| make(wanted, Some(&chain().root)).both();
    let expired_by_root = by_root(&Wanted {
        names: &["a.example"],
        days: (-30, -2),
        ..Wanted::default()
    });
    let early_by_root = by_root(&Wanted {
        names: &["a.example"],
        days: (2, 30),
        ..Wanted::default()
    });
    let common_name = by_root(&Wanted {
        common_name: "a.example",
        ..Wanted::default()
    });
    let address = by_root(&Wanted {
        names: &["192.0.2.1"],
        ..Wanted::default()
    });
    let roots = Verification::Roots {
        bundle: root.as_bytes(),
        target: Target::named(None),
    };

    let check = |verification: &Verification<'_>, texts: &[&str], name: &str, expected: &str| {
        assert_eq!(outcome(verification, texts, name), expected);
    };
    check(&Verification::Off, &[&expired.both()], "b.example", "ok");
    check(&ca(root, None), whole, "a.example", "ok");
    check(&roots, whole, "a.example", "ok");
    check(&ca(middle, None), &[&leaf], "a.example", "ok");
    check(
        &ca(&format!("{other}{root}"), None),
        whole,
        "a.example",
        "ok",
    );
    check(
        &ca(root, None),
        whole,
        "b.example",
        "the certificate is for a.example, not for b.example",
    );
    // Any name will do, or only another one; but not every authority.
    let any = |pem| other_than_sent(pem, VerifyName::SentOrAny);
    let or = |name: &str| other_than_sent(root, VerifyName::SentOr(name.to_owned()));
    let not_for_b = "the certificate is for a.example, not for b.example";
    check(&any(root), whole, "192.0.2.9", "ok");
    check(&any(root), whole, "b.example", not_for_b);
    check(&any(root), &[&common_name], "a.example", "ok");
    check(&or("A.example"), whole, "192.0.2.9", "ok");
    check(&or("b.example"), whole, "192.0.2.9", not_for_b);
    check(&or("b.example"), whole, "a.example", "ok");
    let unknown = outcome(&any(&other), whole, "192.0.2.9");
    assert!(unknown.contains("unknown authority"), "{unknown}");
    let over = outcome(&any(root), &[&expired_by_root], "192.0.2.9");
    assert!(over.contains("expired"), "{over}");
    check(&ca(root, Some("a.example")), whole, "b.example", "ok");
    check(
        &ca(root, Some("c.example")),
        whole,
        "a.example",
        "the certificate is for a.example, not for c.example",
    );
    check(&ca(root, None), &[&address], "192.0.2.1", "ok");
    check(
        &ca(root, None),
        &[&address],
        "192.0.2.2",
        "the certificate is for 192.0.2.1, not for 192.0.2.2",
    );
    check(
        &ca(root, None),
        &[&leaf],
        "a.example",
        "the certificate is issued by an unknown authority (`CN=middle`), or the target does not send its whole chain",
    );
    check(
        &ca(&other, None),
        &[&self_ca.both()],
        "a.example",
        "the certificate is self-signed and not among the given ones: give it as the CA to trust it",
    );
    let made = || {
        let names = ["a.example".to_owned()];
        crate::tls::self_signed::self_signed(&names, 30, super::at(super::NOW)).unwrap()
    };
    let (outdated, anew) = (made(), made());
    check(
        &ca(&outdated.certificate_pem, None),
        &[&anew.certificate_pem, &anew.key_pem],
        "a.example",
        "the certificate is self-signed, and the given CA has its name (`CN=a.example`) but another key: the target's certificate was made anew and the CA file is outdated, or this is not the target",
    );
    check(
        &ca(root, None),
        &[&by_root(&Wanted {
            names: &["a.example"],
            is_ca: true,
            ..Wanted::default()
        })],
        "a.example",
        "the certificate is that of an authority (CA:TRUE), not of a server: give it as the CA to trust it for the target itself",
    );
    check(
        &ca(root, None),
        &[&expired_by_root],
        "a.example",
        "the certificate expired on 2026-11-19",
    );
    check(
        &ca(root, None),
        &[&early_by_root],
        "a.example",
        "the certificate is valid only from 2026-11-23 on",
    );
    check(
        &ca(root, None),
        &[&common_name],
        "a.example",
        "the certificate names a.example only as its common name, which does not count; it needs a.example as a subject alternative name",
    );
    // A certificate as its own CA, whatever it is: its names do not matter, its dates do.
    check(
        &ca(&self_ca.certificate, None),
        &[&self_ca.both()],
        "b.example",
        "ok",
    );
    check(
        &ca(&chain().leaf.certificate, None),
        whole,
        "a.example",
        "ok",
    );
    check(
        &ca(&expired.certificate, None),
        &[&expired.both()],
        "a.example",
        "the certificate expired on 2026-11-19",
    );
    check(
        &ca(&early.certificate, None),
        &[&early.both()],
        "a.example",
        "the certificate is valid only from 2026-11-23 on",
    );
}

#[test]
fn x509_version_1_and_verification() {
    let flow = openssl_text("server.pem");
    // By the machine's clock, since openssl made it now.
    let connect = |verification: &Verification<'_>| {
        let source = super::PemSource {
            name: "target",
            text: flow.as_bytes(),
        };
        let (identity, _) = load_identity(&[source], rustls_pki_types::UnixTime::now()).unwrap();
        let (resolver, _) = CertificateResolver::new(&[Arc::new(identity)], NoMatch::Default);
        let tickets = TicketKeys::new(TestClock::new())
            .unwrap()
            .resumption("target", None);
        let server =
            server_config(Arc::new(resolver), &Policy::default(), &[], tickets, None).unwrap();
        let client = client_config(verification, &Policy::default(), &[]).unwrap();
        let mut client =
            ClientConnection::new(client, "flow.example.com".try_into().unwrap()).unwrap();
        shake(&mut client, &mut ServerConnection::new(server).unwrap())
            .map_err(|error| explain(&error))
    };
    assert_eq!(connect(&Verification::Off), Ok(()));
    let itself = openssl_text("server.crt");
    assert_eq!(connect(&ca(&itself, None)), Ok(()));
    let refused = connect(&ca(&chain().root.certificate, None)).unwrap_err();
    assert!(
        refused.starts_with("the certificate is of X.509 version 1"),
        "{refused}"
    );
}

#[test]
fn authorities_that_cannot_be_read() {
    let error = |verification: &Verification<'_>| {
        client_config(verification, &Policy::default(), &[]).unwrap_err()
    };
    fn roots(bundle: &[u8]) -> Verification<'_> {
        Verification::Roots {
            bundle,
            target: Target::named(None),
        }
    }
    assert!(matches!(error(&roots(b"")), ClientConfigError::Pem(_)));
    assert!(
        error(&roots(&openssl_file("server.der")))
            .to_string()
            .contains("openssl x509 -inform DER")
    );
    assert!(
        error(&ca(&chain().root.key, None))
            .to_string()
            .contains("no certificate found")
    );
    let damaged = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        error(&roots(damaged.as_bytes())),
        ClientConfigError::NoAuthority
    ));
}

#[test]
fn the_bundle_of_the_system_is_read() {
    let Ok(bundle) = std::fs::read("/etc/ssl/certs/ca-certificates.crt") else {
        println!("skipped: there is no bundle");
        return;
    };
    client_config(
        &Verification::Roots {
            bundle: &bundle,
            target: Target::named(None),
        },
        &Policy::default(),
        &[],
    )
    .unwrap();
}

#[test]
fn what_is_not_tls_is_said() {
    let client = client_config(&Verification::Off, &Policy::default(), &[]).unwrap();
    let mut client = ClientConnection::new(client, "a.example".try_into().unwrap()).unwrap();
    client
        .read_tls(&mut &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..])
        .unwrap();
    let says = explain(&client.process_new_packets().unwrap_err());
    assert_eq!(
        says,
        "what the target answers is not TLS: does it expect plain text on this port?"
    );
}

#[test]
fn fixtures_are_what_they_say() {
    let Made {
        certificate, key, ..
    } = &chain().leaf;
    let (identity, findings) = load(&[certificate, key]).unwrap();
    assert_eq!((identity.issuer.as_str(), findings.len()), ("CN=middle", 0));
}
