//! Every algorithm of tokens that a key in a set can be for, as OpenSSL signs: the good go on and others do not, over reloads that name
//! algorithms and take them back, past a target that is dead, and while the issuer is.

use std::fs;

use crate::echo::Echo;
use crate::jwt::{Keys, ask, asking, base64url, counted, now, openssl, refused, set, side_by_side};
use crate::stage::Stage;
use crate::support::{Scene, eventually, free_port};

/// What is signed with.
#[derive(Clone, Copy)]
enum Kind {
    Rsa,
    Pss,
    /// By its name in sets and for OpenSSL, with the bytes of a coordinate.
    Curve(&'static str, &'static str, usize),
    Ed25519,
}

use Kind::{Curve, Ed25519, Pss, Rsa};

/// Each algorithm, what it hashes with and what it signs with. Its key has its name.
const ROWS: [(&str, &str, Kind); 10] = [
    ("RS256", "-sha256", Rsa),
    ("RS384", "-sha384", Rsa),
    ("RS512", "-sha512", Rsa),
    ("PS256", "-sha256", Pss),
    ("PS384", "-sha384", Pss),
    ("PS512", "-sha512", Pss),
    ("ES256", "-sha256", Curve("P-256", "P-256", 32)),
    ("ES384", "-sha384", Curve("P-384", "P-384", 48)),
    ("ES512", "-sha512", Curve("P-521", "P-521", 66)),
    ("EdDSA", "", Ed25519),
];

/// Makes the key of a row; its member of a set.
fn key(scene: &Scene, (name, _, kind): (&str, &str, Kind)) -> String {
    let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
    let curve;
    let options: &[&str] = match kind {
        Rsa | Pss => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        Curve(_, name, _) => {
            curve = format!("ec_paramgen_curve:{name}");
            &["-algorithm", "EC", "-pkeyopt", &curve]
        }
        Ed25519 => &["-algorithm", "ED25519"],
    };
    openssl(scene, &[&["genpkey", "-out", &key], options].concat());
    let out = [
        "pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", &public,
    ];
    openssl(scene, &out);
    let der = fs::read(scene.path(&public)).unwrap();
    let end = |bytes: usize, before: usize| {
        let from = der.len() - before - bytes;
        base64url(&der[from..from + bytes])
    };
    let members = match kind {
        // The modulus stands before the exponent, which takes five bytes with what announces it.
        Rsa | Pss => format!(r#""kty":"RSA","n":"{}","e":"AQAB""#, end(256, 5)),
        Curve(name, _, bytes) => format!(
            r#""kty":"EC","crv":"{name}","x":"{}","y":"{}""#,
            end(bytes, bytes),
            end(bytes, 0)
        ),
        Ed25519 => format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, end(32, 0)),
    };
    format!(r#"{{"kid":"{name}","use":"sig",{members}}}"#)
}

/// A token whose header says `header`, signed as the row does.
fn signed(
    scene: &Scene,
    header: &str,
    claims: &str,
    (name, hash, kind): (&str, &str, Kind),
) -> String {
    let [header, claims] = [header, claims].map(|it| base64url(it.as_bytes()));
    let text = format!("{header}.{claims}");
    scene.file("signed.txt", &text);
    let key = format!("{name}.key");
    let padding = [
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:digest",
    ];
    let sign = [
        "dgst",
        hash,
        "-sign",
        &key,
        "-out",
        "signature.bin",
        "signed.txt",
    ];
    match kind {
        Ed25519 => openssl(
            scene,
            &[
                "pkeyutl",
                "-sign",
                "-inkey",
                &key,
                "-rawin",
                "-in",
                "signed.txt",
                "-out",
                "signature.bin",
            ],
        ),
        Pss => openssl(scene, &[&sign[..2], &padding, &sign[2..]].concat()),
        Rsa | Curve(..) => openssl(scene, &sign),
    }
    let mut signature = fs::read(scene.path("signature.bin")).unwrap();
    if let Curve(_, _, bytes) = kind {
        signature = side_by_side(&signature, bytes);
    }
    format!("{text}.{}", base64url(&signature))
}

#[test]
fn every_algorithm_holds_over_a_retry_a_reload_and_dead_issuers_and_targets() {
    let (scene, app) = (Scene::new(), Echo::start("app"));
    let [web, dead] = [(); 2].map(|()| free_port());
    let members = ROWS.map(|row| key(&scene, row));
    let keys = Keys::start(&set(&members.each_ref().map(String::as_str)));
    let jwt = format!(
        "keys = 'http://127.0.0.1:{}/keys', realm = 'api', set_headers = {{ X-User = 'sub' }}",
        keys.port
    );
    let with = |more: &str, targets: &[u16]| {
        let targets: Vec<String> = targets
            .iter()
            .map(|it| format!("'127.0.0.1:{it}'"))
            .collect();
        let one = format!("targets = ['127.0.0.1:{}']", app.port);
        asking(web, &format!("{jwt}{more}"), app.port)
            .replace(&one, &format!("targets = [{}]", targets.join(", ")))
            + "retries = 2\n"
    };
    // Nobody is asked again until a token comes whose key is not known.
    let stage = Stage::with(scene, &with("", &[dead, app.port]), &[]);
    let claims = format!(r#"{{"sub":"anna","exp":{}}}"#, now() + 3600);
    let header = |alg: &str, key: &str| format!(r#"{{"alg":"{alg}","kid":"{key}"}}"#);
    let tokens = ROWS.map(|row| signed(&stage.scene, &header(row.0, row.0), &claims, row));
    let is_good =
        |answer: &str| answer.starts_with("HTTP/1.1 200 ") && answer.contains("\nx-user: anna\n");
    let all_are_good = |phase: &str| {
        for ((name, ..), token) in ROWS.iter().zip(&tokens) {
            let answer = ask(&stage, web, token, &["X-User: eve"]);
            assert!(is_good(&answer), "{name}, {phase}: {answer}");
        }
    };
    let wrong = "the signature of the token is wrong";
    let none_is_forged = || {
        for ((name, ..), token) in ROWS.iter().zip(&tokens) {
            let mut parts: Vec<&str> = token.split('.').collect();
            let other = base64url(claims.replace("anna", "eve").as_bytes());
            parts[1] = &other;
            let answer = ask(&stage, web, &parts.join("."), &[]);
            assert!(answer.contains(wrong), "{name}: {answer}");
            // Of the right length, and nothing else.
            let signature = base64url(&vec![0; parts[2].len() * 3 / 4]);
            parts[1] = token.split('.').nth(1).unwrap();
            parts[2] = &signature;
            refused(&ask(&stage, web, &parts.join("."), &[]), wrong);
        }
    };
    all_are_good("at first");
    assert_eq!(keys.asked(), 1);
    none_is_forged();
    // A key of one kind is not taken for another, whatever the header says.
    for (said, key, why) in [
        ("RS256", "PS256", wrong),
        ("PS384", "PS256", wrong),
        ("ES256", "ES384", "the key of the token is not known"),
        ("EdDSA", "ES256", "the key of the token is not known"),
        ("ES512", "EdDSA", "the key of the token is not known"),
        (
            "HS256",
            "RS256",
            "the algorithm of the token is not accepted",
        ),
        (
            "Ed448",
            "EdDSA",
            "the algorithm of the token is not accepted",
        ),
    ] {
        let row = ROWS.into_iter().find(|row| row.0 == key).unwrap();
        let token = signed(&stage.scene, &header(said, key), &claims, row);
        let answer = ask(&stage, web, &token, &[]);
        assert!(answer.contains(why), "{said} by {key}: {answer}");
    }
    // One without the name of a key is held against all that fit.
    for row in [ROWS[7], ROWS[9]] {
        let token = signed(
            &stage.scene,
            &format!(r#"{{"alg":"{}"}}"#, row.0),
            &claims,
            row,
        );
        assert!(is_good(&ask(&stage, web, &token, &[])), "{}", row.0);
    }
    // Only those that the file names now.
    stage.becomes(&with(
        ", algorithms = ['EdDSA', 'ES384', 'PS256']",
        &[app.port, dead],
    ));
    for ((name, ..), token) in ROWS.iter().zip(&tokens) {
        let answer = ask(&stage, web, token, &[]);
        match ["EdDSA", "ES384", "PS256"].contains(name) {
            true => assert!(is_good(&answer), "{name}: {answer}"),
            false => refused(&answer, "the algorithm of the token is not accepted"),
        }
    }
    // The issuer dies: what was fetched counts on, over reloads too.
    keys.answers(500, "");
    stage.becomes(&with("", &[app.port, dead]));
    all_are_good("without the issuer");
    none_is_forged();
    // Nobody serves: who has no good token is not told so.
    stage.becomes(&with("", &[dead]));
    for ((name, ..), token) in ROWS.iter().zip(&tokens) {
        let answer = ask(&stage, web, token, &[]);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{name}: {answer}");
        refused(&ask(&stage, web, &format!("{token}AAAA"), &[]), wrong);
    }
    stage.becomes(&with("", &[dead, app.port]));
    all_are_good("once they are back");
    // A key for one algorithm alone is for no other of its kind.
    let only = members[3].replace(r#""kid":"PS256""#, r#""kid":"only","alg":"PS256""#);
    keys.answers(200, &set(&[&only]));
    let by = |alg: &str| signed(&stage.scene, &header(alg, "only"), &claims, ROWS[3]);
    let (fine, other) = (by("PS256"), by("PS384"));
    eventually("the next set counts", || {
        is_good(&ask(&stage, web, &fine, &[])).then_some(())
    });
    refused(
        &ask(&stage, web, &other, &[]),
        "the key of the token is not known",
    );
    assert_ne!(counted(&stage, "valid"), "0");
}
