//! The choice of a certificate.

use std::sync::Arc;

use rustls::SignatureScheme as S;

use super::super::identity::Identity;
use super::super::resolver::{CertificateResolver, NoMatch};
use super::{Wanted, identity};

const EVERY: &[S] = &[S::ECDSA_NISTP256_SHA256, S::RSA_PSS_SHA256];
const RSA: &[S] = &[S::RSA_PSS_SHA256, S::RSA_PKCS1_SHA256];
const P384: &[S] = &[S::ECDSA_NISTP384_SHA384];

fn identities() -> Vec<Arc<Identity>> {
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
    vec![
        rsa(&["a.example"]),
        ecdsa(&["a.example"]),
        ecdsa(&["*.a.example", "only-ecdsa.example"]),
        rsa(&["*.a.example", "www.b.example"]),
        ecdsa(&["exact.a.example"]),
        ecdsa(&["a.example", "late.example"]),
    ]
}

#[test]
fn the_choice() {
    let identities = identities();
    let (lenient, shadowed) = CertificateResolver::new(&identities, NoMatch::Default);
    let (strict, _) = CertificateResolver::new(&identities, NoMatch::Refuse);
    let shadowed: Vec<_> = shadowed.iter().map(ToString::to_string).collect();
    assert_eq!(
        shadowed,
        ["two ECDSA certificates for `a.example`: number 2 is used, number 6 is not"]
    );

    let at = |key: Option<&Arc<rustls::sign::CertifiedKey>>| {
        key.map(|key| {
            identities
                .iter()
                .position(|identity| Arc::ptr_eq(&identity.certified_key, key))
                .unwrap()
        })
    };
    let check = |name: Option<&str>, schemes: &[S], expected: (Option<usize>, Option<usize>)| {
        assert_eq!(
            (
                at(lenient.choose(name, schemes)),
                at(strict.choose(name, schemes))
            ),
            expected,
            "{name:?} {schemes:?}"
        );
    };
    let both = |position| (Some(position), Some(position));
    let default = |position| (Some(position), None);

    // Exact name; ECDSA before RSA where the client checks it.
    check(Some("a.example"), EVERY, both(1));
    check(Some("a.example"), RSA, both(0));
    check(Some("A.Example"), EVERY, both(1));
    check(Some("a.example."), EVERY, both(1));
    check(Some("late.example"), EVERY, both(5));
    // A wildcard stands for one label, and comes after the exact name.
    check(Some("x.a.example"), EVERY, both(2));
    check(Some("x.a.example"), RSA, both(3));
    check(Some("x.y.a.example"), EVERY, default(1));
    check(Some("exact.a.example"), EVERY, both(4));
    check(Some("exact.a.example"), RSA, both(3));
    // A client that checks none of them gets the preferred one of its name.
    check(Some("a.example"), P384, both(1));
    check(Some("only-ecdsa.example"), RSA, both(2));
    check(Some("www.b.example"), EVERY, both(3));
    // All have this common name besides.
    check(Some("fixture"), EVERY, both(1));
    check(Some("fixture"), RSA, both(0));
    // No name, or none that is known: the default, of which there are two.
    check(None, EVERY, default(1));
    check(None, RSA, default(0));
    check(None, P384, default(1));
    check(Some("nowhere.example"), EVERY, default(1));
    check(Some(""), EVERY, default(1));
    check(Some("example"), EVERY, default(1));
}

#[test]
fn nothing_to_choose_from() {
    let (resolver, _) = CertificateResolver::new(&[], NoMatch::Default);
    assert!(resolver.choose(Some("a.example"), EVERY).is_none());
    assert!(resolver.choose(None, EVERY).is_none());
}
