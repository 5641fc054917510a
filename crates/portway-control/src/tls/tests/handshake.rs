//! Whole handshakes between rustls and rustls, in memory.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig,
    ServerConnection,
};
use rustls_pki_types::ServerName;

use super::super::client::{RenewableKey, Verification, apart, client_config, client_config_as};
use super::super::identity::Identity;
use super::super::policy::{Custom, Policy, TlsVersion};
use super::super::resolver::{CertificateResolver, NoMatch};
use super::super::server::server_config;
use super::super::tickets::TicketKeys;
use super::{TestClock, Wanted, identity, load_identity, openssl_file, shake};

fn only(version: TlsVersion) -> Policy {
    Policy::custom(&Custom {
        min: Some(version),
        max: Some(version),
        ciphers: None,
    })
    .unwrap()
}

fn server(identities: &[Arc<Identity>], no_match: NoMatch, policy: &Policy) -> Arc<ServerConfig> {
    let keys = TicketKeys::new(TestClock::new()).unwrap();
    server_with(identities, no_match, policy, &keys, "web")
}

fn server_with(
    identities: &[Arc<Identity>],
    no_match: NoMatch,
    policy: &Policy,
    keys: &Arc<TicketKeys>,
    scope: &str,
) -> Arc<ServerConfig> {
    let (resolver, _) = CertificateResolver::new(identities, no_match);
    server_config(
        Arc::new(resolver),
        policy,
        &[b"h2".to_vec(), b"http/1.1".to_vec()],
        keys.resumption(scope, None),
        None,
    )
    .unwrap()
}

fn client(policy: &Policy) -> Arc<ClientConfig> {
    client_config(&Verification::Off, policy, &[]).unwrap()
}

fn connect(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    shake(&mut client, &mut server).map(|()| (client, server))
}

#[test]
fn sni_and_key_kinds() {
    let ecdsa = |names: &[&str]| {
        identity(&Wanted {
            names,
            ..Wanted::default()
        })
    };
    let rsa = |names: &[&str]| {
        identity(&Wanted {
            names,
            algorithm: &rcgen::PKCS_RSA_SHA256,
            ..Wanted::default()
        })
    };
    let identities = [
        ecdsa(&["default.example"]),
        rsa(&["a.example"]),
        ecdsa(&["a.example"]),
        ecdsa(&["*.b.example"]),
    ];
    let lenient = server(&identities, NoMatch::Default, &Policy::default());
    let strict = server(&identities, NoMatch::Refuse, &Policy::default());
    let any = client(&Policy::default());
    let only_rsa = client(
        &Policy::custom(&Custom {
            max: Some(TlsVersion::Tls12),
            ciphers: Some("aRSA"),
            ..Custom::default()
        })
        .unwrap(),
    );
    for (client, name, of_lenient, of_strict) in [
        (&any, "a.example", Some(2), Some(2)),
        (&any, "A.EXAMPLE", Some(2), Some(2)),
        (&only_rsa, "a.example", Some(1), Some(1)),
        (&any, "x.b.example", Some(3), Some(3)),
        (&any, "x.y.b.example", Some(0), None),
        (&any, "nowhere.example", Some(0), None),
        (&any, "192.0.2.1", Some(0), None),
        (&only_rsa, "nowhere.example", Some(1), None),
        (&only_rsa, "x.b.example", None, None),
    ] {
        for (server, expected) in [(&lenient, of_lenient), (&strict, of_strict)] {
            let shown = connect(client, server, name).ok().map(|(client, _)| {
                let leaf = &client.peer_certificates().unwrap()[0];
                identities
                    .iter()
                    .position(|identity| identity.certified_key.cert[0] == *leaf)
                    .unwrap()
            });
            assert_eq!(shown, expected, "{name}");
        }
    }
}

#[test]
fn policies_are_kept() {
    let identities = [identity(&Wanted {
        names: &["a.example"],
        ..Wanted::default()
    })];
    let (v12, v13, both) = (
        only(TlsVersion::Tls12),
        only(TlsVersion::Tls13),
        Policy::default(),
    );
    for (of_client, of_server, expected) in [
        (&both, &both, Some(ProtocolVersion::TLSv1_3)),
        (&both, &v12, Some(ProtocolVersion::TLSv1_2)),
        (&v12, &both, Some(ProtocolVersion::TLSv1_2)),
        (&v13, &v12, None),
        (&v12, &v13, None),
    ] {
        let done = connect(
            &client(of_client),
            &server(&identities, NoMatch::Default, of_server),
            "a.example",
        );
        assert_eq!(
            done.ok().and_then(|(client, _)| client.protocol_version()),
            expected
        );
    }
    // The server's order counts.
    let aes256_first = Policy::custom(&Custom {
        ciphers: Some("TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"),
        ..Custom::default()
    })
    .unwrap();
    let (client, _) = connect(
        &client(&both),
        &server(&identities, NoMatch::Default, &aes256_first),
        "a.example",
    )
    .unwrap();
    assert_eq!(
        client.negotiated_cipher_suite().unwrap().suite(),
        rustls::CipherSuite::TLS13_AES_256_GCM_SHA384
    );
}

#[test]
fn alpn() {
    let identities = [identity(&Wanted {
        names: &["a.example"],
        ..Wanted::default()
    })];
    let server = server(&identities, NoMatch::Default, &Policy::default());
    for (offered, expected) in [
        (&["http/1.1", "h2"][..], Some(Some("h2"))),
        (&["http/1.1"], Some(Some("http/1.1"))),
        (&[], Some(None)),
        (&["spdy/1"], None),
    ] {
        let offered: Vec<_> = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let client = client_config(&Verification::Off, &Policy::default(), &offered).unwrap();
        let chosen = connect(&client, &server, "a.example").ok();
        let chosen = chosen.map(|(_, server)| server.alpn_protocol().map(<[u8]>::to_vec));
        assert_eq!(
            chosen,
            expected.map(|name| name.map(|name| name.as_bytes().to_vec())),
            "{offered:?}"
        );
    }
}

/// A worker's configuration, a reloaded one and that of a new process resume each other's sessions; another scope does not.
#[test]
fn resumption() {
    let identities = [identity(&Wanted {
        names: &["a.example"],
        ..Wanted::default()
    })];
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let policy = only(version);
        let clock = TestClock::new();
        let keys = TicketKeys::new(clock.clone()).unwrap();
        let one = server_with(&identities, NoMatch::Default, &policy, &keys, "web");
        let two = server_with(&identities, NoMatch::Default, &policy, &keys, "web");
        let other_scope = server_with(&identities, NoMatch::Default, &policy, &keys, "other");
        let kind = |client: &Arc<ClientConfig>, server: &Arc<ServerConfig>| {
            connect(client, server, "a.example")
                .unwrap()
                .1
                .handshake_kind()
        };
        // With X25519 and P-256 on both sides no second ClientHello is asked for.
        let (full, resumed) = (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed));

        let visitor = client(&policy);
        assert_eq!(kind(&visitor, &one), full, "{version}");
        assert_eq!(kind(&visitor, &two), resumed, "{version}");
        assert_eq!(
            kind(&visitor, &one),
            resumed,
            "{version}: a resumed session brings the next ticket"
        );
        clock.advance(9);
        assert_eq!(
            kind(&visitor, &two),
            resumed,
            "{version}: the previous key still opens"
        );

        let new_process = TicketKeys::new(clock.clone()).unwrap();
        new_process.import(&keys.export()).unwrap();
        let after_upgrade =
            server_with(&identities, NoMatch::Default, &policy, &new_process, "web");
        assert_eq!(kind(&visitor, &after_upgrade), resumed, "{version}");
        assert_eq!(kind(&visitor, &other_scope), full, "{version}");

        let visitor = client(&policy);
        assert_eq!(kind(&visitor, &one), full, "{version}");
        clock.advance(21);
        assert_eq!(
            kind(&visitor, &one),
            full,
            "{version}: no key opens after its time"
        );
    }
}

/// The certificate of the ElectricFlow document is shown by a listener, and accepted from a target with verification off.
#[test]
fn x509_version_1() {
    let text = openssl_file("server.pem");
    let source = super::PemSource {
        name: "server.pem",
        text: &text,
    };
    let (flow, _) = load_identity(&[source], rustls_pki_types::UnixTime::now()).unwrap();
    let flow = [Arc::new(flow)];
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let policy = only(version);
        let (client, _) = connect(
            &client(&policy),
            &server(&flow, NoMatch::Default, &policy),
            "flow.example.com",
        )
        .unwrap();
        assert_eq!(
            client.peer_certificates().unwrap(),
            flow[0].certified_key.cert
        );
    }
}

/// With verification off a target must still hold the key of what it shows.
#[test]
fn a_target_without_the_key_is_refused() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256] {
        let honest = identity(&Wanted {
            names: &["a.example"],
            algorithm,
            ..Wanted::default()
        });
        let thief = identity(&Wanted {
            names: &["a.example"],
            algorithm,
            ..Wanted::default()
        });
        let stolen = rustls::sign::CertifiedKey::new(
            honest.certified_key.cert.clone(),
            Arc::clone(&thief.certified_key.key),
        );
        let stolen = [Arc::new(Identity {
            certified_key: Arc::new(stolen),
            ..(*honest).clone()
        })];
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let policy = only(version);
            let error = connect(
                &client(&policy),
                &server(&stolen, NoMatch::Default, &policy),
                "a.example",
            )
            .unwrap_err();
            let says = super::super::client::explain(&error);
            assert!(says.contains("does not hold the key"), "{version}: {says}");
        }
    }
}

/// Every kind of key signs and is checked, in both versions.
#[test]
fn every_key_kind() {
    for name in ["p384", "p521", "ed25519", "ec", "server"] {
        let (certificate, key) = (
            openssl_file(&format!("{name}.crt")),
            openssl_file(&format!("{name}.key")),
        );
        let sources = [
            super::PemSource {
                name: "crt",
                text: &certificate,
            },
            super::PemSource {
                name: "key",
                text: &key,
            },
        ];
        let (identity, _) = load_identity(&sources, rustls_pki_types::UnixTime::now()).unwrap();
        let identity = [Arc::new(identity)];
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let policy = only(version);
            connect(
                &client(&policy),
                &server(&identity, NoMatch::Default, &policy),
                "a.example",
            )
            .unwrap();
        }
    }
}

/// Groups of the key exchange are those that a policy names.
#[test]
fn curves() {
    let identities = [identity(&Wanted {
        names: &["a.example"],
        ..Wanted::default()
    })];
    let named = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        Policy::default().with_curves(&names)
    };
    for (names, spoken) in [
        (&["secp384r1"][..], NamedGroup::secp384r1),
        (&["P-521", "prime256v1"], NamedGroup::secp256r1),
        (&["x25519", "P-256"], NamedGroup::X25519),
    ] {
        let server = server(&identities, NoMatch::Default, &named(names).unwrap());
        let (of_client, _) = connect(&client(&Policy::default()), &server, "a.example").unwrap();
        let group = of_client.negotiated_key_exchange_group();
        assert_eq!(group.map(|it| it.name()), Some(spoken), "{names:?}");
    }
    assert!(named(&["secp521r1"]).is_err());
}

/// A session with a target ends where another certificate is to be shown, and is not resumed where that is off.
#[test]
fn sessions_end_with_our_certificate() {
    let identities = [identity(&Wanted {
        names: &["a.example"],
        ..Wanted::default()
    })];
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let policy = only(version);
        let server = server(&identities, NoMatch::Default, &policy);
        let key = Arc::new(RenewableKey::new(identities[0].certified_key.clone()));
        let made = |resume| {
            client_config_as(&Verification::Off, &policy, &[], Some(key.clone()), resume).unwrap()
        };
        let resumed = |client: &Arc<ClientConfig>| {
            let (client, _) = connect(client, &server, "a.example").unwrap();
            client.handshake_kind() == Some(HandshakeKind::Resumed)
        };
        let (client, never) = (made(true), made(false));
        let alone = apart(&client, Some(&key), true);
        let all = || [&client, &alone, &never].map(resumed);
        assert_eq!(all(), [false; 3], "{version}");
        assert_eq!(all(), [true, true, false], "{version}");
        key.renew(identities[0].certified_key.clone());
        assert_eq!(all(), [false; 3], "{version}");
    }
}
