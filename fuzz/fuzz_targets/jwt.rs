//! Tokens: no panic, and what we take for the header and the claims is what other readers of JSON take for them.
//!
//! The input is a token, and also two lines of JSON of which a token is made: the search for both would take long.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use portway_core::jwt::Token;
use portway_model::jwt::{Claim, ClaimForm, Jwt, JwtAlgorithm, KeySource};
use serde_json::{Map, Value};

fuzz_target!(|bytes: &[u8]| {
    if let Some(token) = Token::parse(bytes) {
        look(&token);
    }
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (header, payload) = bytes.split_at(end.unwrap_or(bytes.len()));
    let [header, payload] = [header, payload.get(1..).unwrap_or_default()];
    let text = [header, payload].map(|it| URL_SAFE_NO_PAD.encode(it));
    let text = format!("{}.{}.AAEC", text[0], text[1]);
    let known = [header, payload].map(serde_json::from_slice::<Map<String, Value>>);
    match (Token::parse(text.as_bytes()), known) {
        (Some(token), [Ok(header), Ok(claims)]) => {
            look(&token);
            same(&token, &header, &claims);
        }
        (Some(_), [header, payload]) => {
            // Its numbers end where those of a machine do.
            for error in [header.err(), payload.err()].into_iter().flatten() {
                assert!(
                    error.to_string().starts_with("number out of range"),
                    "{error}"
                );
            }
        }
        (None, [header, payload]) => {
            // Two of a name are one there.
            if let (Ok(header), Ok(payload)) = (header, payload) {
                let names = header.keys().chain(payload.keys()).count();
                let colons = bytes.iter().filter(|byte| **byte == b':').count();
                assert!(colons > names, "{:?}", String::from_utf8_lossy(bytes));
            }
        }
    }
});

fn same(token: &Token<'_>, header: &Map<String, Value>, claims: &Map<String, Value>) {
    let text = |name: &str| header.get(name).and_then(Value::as_str).map(str::as_bytes);
    assert_eq!(token.algorithm(), text("alg").and_then(JwtAlgorithm::named));
    assert_eq!(token.key_id().as_deref(), text("kid"));
    let crit = header.get("crit").is_some_and(|it| !it.is_null());
    assert_eq!(token.is_critical(), crit);
    for (name, value) in claims.iter().filter(|(name, _)| !name.starts_with('$')) {
        let ours = token.claim(name);
        match value {
            Value::Null => assert_eq!(ours, None),
            Value::String(text) => assert_eq!(ours.as_deref(), Some(text.as_bytes())),
            other => {
                let ours: Value = serde_json::from_slice(&ours.unwrap()).unwrap();
                assert_eq!(ours, *other);
            }
        }
    }
}

/// Every question that a configuration may ask.
fn look(token: &Token<'_>) {
    let words = || vec!["a".to_owned(), "b".to_owned()];
    let nothing = Jwt::new(KeySource::File("k".to_owned()));
    let mut asked = vec![nothing.clone()];
    asked.push(Jwt {
        require: Vec::new(),
        issuers: words(),
        ..nothing.clone()
    });
    asked.push(Jwt {
        require: Vec::new(),
        audiences: words(),
        ..nothing.clone()
    });
    for form in [ClaimForm::Text, ClaimForm::List, ClaimForm::Words] {
        for name in ["c", "$.c.d", "$.c[1]", "$['c']"] {
            let (name, values) = (name.to_owned(), words());
            let claims = vec![Claim { name, form, values }];
            asked.push(Jwt {
                require: Vec::new(),
                claims,
                ..nothing.clone()
            });
        }
    }
    for jwt in &asked {
        let _ = token.check(jwt, 1000);
        let early = token.check(jwt, i64::MIN);
        assert_eq!(early, token.check(jwt, i64::MIN));
    }
}
