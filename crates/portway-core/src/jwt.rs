//! Tokens as they are written (RFC 7515, RFC 7519), and what must stand in them. Signatures are held against keys elsewhere.
//!
//! What a header says is read to find the key, and believed in nothing else: the algorithm must be one that is accepted, and
//! the key one that fits it. What is said critical is refused, because nothing of that kind is understood.
//!
//! Header and claims are whole objects of JSON without a name twice (RFC 7515 section 4, RFC 7519 section 4): whoever reads the
//! token behind us reads the same in it.

use crate::evaluate::json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portway_model::jwt::{Claim, ClaimForm, Jwt, JwtAlgorithm};
use std::borrow::Cow;

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is none.
    Missing,
    /// It is no token, or says something critical that is not understood.
    Malformed,
    /// It is signed in a way that is not accepted.
    Algorithm,
    /// The key that it names is not among those that count.
    UnknownKey,
    /// It was not signed with that key.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is of another issuer.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// A claim is missing, or says something else.
    Claims,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 10] = [
        Refusal::Missing,
        Refusal::Malformed,
        Refusal::Algorithm,
        Refusal::UnknownKey,
        Refusal::Signature,
        Refusal::Expired,
        Refusal::NotYetValid,
        Refusal::Issuer,
        Refusal::Audience,
        Refusal::Claims,
    ];

    /// The word in metrics and variables.
    pub const fn word(self) -> &'static str {
        match self {
            Refusal::Missing => "missing",
            Refusal::Malformed => "malformed",
            Refusal::Algorithm => "algorithm",
            Refusal::UnknownKey => "unknown_key",
            Refusal::Signature => "signature",
            Refusal::Expired => "expired",
            Refusal::NotYetValid => "not_yet_valid",
            Refusal::Issuer => "issuer",
            Refusal::Audience => "audience",
            Refusal::Claims => "claims",
        }
    }

    /// What the client is told.
    pub const fn description(self) -> &'static str {
        match self {
            Refusal::Missing => "a token is needed",
            Refusal::Malformed => "the token is malformed",
            Refusal::Algorithm => "the algorithm of the token is not accepted",
            Refusal::UnknownKey => "the key of the token is not known",
            Refusal::Signature => "the signature of the token is wrong",
            Refusal::Expired => "the token has expired",
            Refusal::NotYetValid => "the token is not valid yet",
            Refusal::Issuer => "the issuer of the token is not accepted",
            Refusal::Audience => "the token is for another audience",
            Refusal::Claims => "the token lacks what is needed here",
        }
    }
}

/// A token in its three parts.
#[derive(Debug, Clone)]
pub struct Token<'t> {
    /// What is signed: header and payload as they are written.
    pub signed: &'t [u8],
    /// The signature.
    pub signature: Vec<u8>,
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Takes a token apart (RFC 7515 section 7.1). `None`: it is none.
    pub fn parse(text: &'t [u8]) -> Option<Self> {
        let end = memchr::memrchr(b'.', text)?;
        let (signed, signature) = (text.get(..end)?, text.get(end + 1..)?);
        let dot = memchr::memchr(b'.', signed)?;
        let (header, payload) = (signed.get(..dot)?, signed.get(dot + 1..)?);
        let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).ok();
        let object = |part: &[u8]| decode(part).filter(|it| json::is_object(it));
        Some(Self {
            signed,
            signature: decode(signature)?,
            header: object(header)?,
            payload: object(payload)?,
        })
    }

    /// In which way the token says that it is signed; `None`: in none that is known.
    pub fn algorithm(&self) -> Option<JwtAlgorithm> {
        JwtAlgorithm::named(&json::text(json::written(&self.header, "alg")?)?)
    }

    /// The key that it says it is signed with.
    pub fn key_id(&self) -> Option<Cow<'_, [u8]>> {
        json::text(json::written(&self.header, "kid")?)
    }

    /// True where the header says something that whoever does not understand it must refuse (RFC 7515 section 4.1.11).
    pub fn is_critical(&self) -> bool {
        json::written(&self.header, "crit").is_some()
    }

    /// What a header says of a claim: a text as it is meant, anything else as it is written. `None`: it is not there.
    pub fn claim(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let written = json::written(&self.payload, name)?;
        match written.first() {
            Some(b'"') => json::text(written),
            _ => Some(Cow::Borrowed(written)),
        }
    }

    /// Whether a token whose signature is right counts at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, jwt: &Jwt, now: i64) -> Result<(), Refusal> {
        let leeway = jwt.leeway.as_secs_f64();
        // Exact for seconds far beyond any date.
        let now = now as f64;
        if self.moment("exp")?.is_some_and(|end| now - leeway >= end) {
            return Err(Refusal::Expired);
        }
        for begin in ["nbf", "iat"] {
            if self.moment(begin)?.is_some_and(|it| it > now + leeway) {
                return Err(Refusal::NotYetValid);
            }
        }
        let said = |name: &str| json::written(&self.payload, name);
        if !jwt.require.iter().all(|name| said(name).is_some()) {
            return Err(Refusal::Claims);
        }
        let among = |text: &[u8], known: &[String]| known.iter().any(|it| it.as_bytes() == text);
        if !jwt.issuers.is_empty() {
            let issuer = said("iss").and_then(json::text);
            if !issuer.is_some_and(|issuer| among(&issuer, &jwt.issuers)) {
                return Err(Refusal::Issuer);
            }
        }
        if !jwt.audiences.is_empty() {
            let audience = said("aud").unwrap_or_default();
            let mut one = std::iter::once(audience).chain(json::elements(audience));
            if !one.any(|it| json::text(it).is_some_and(|it| among(&it, &jwt.audiences))) {
                return Err(Refusal::Audience);
            }
        }
        let fits = |claim: &Claim| said(&claim.name).is_some_and(|it| says(it, claim));
        match jwt.claims.iter().all(fits) {
            true => Ok(()),
            false => Err(Refusal::Claims),
        }
    }

    /// A NumericDate (RFC 7519 section 2).
    fn moment(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let Some(written) = json::written(&self.payload, name) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(written).ok();
        let is_number = |it: &&str| {
            it.bytes()
                .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        };
        let number = text.filter(is_number).and_then(|it| it.parse().ok());
        let number = number.filter(|it: &f64| it.is_finite());
        number.map(Some).ok_or(Refusal::Malformed)
    }
}

/// Whether a claim says what it must.
fn says(written: &[u8], claim: &Claim) -> bool {
    match claim.form {
        ClaimForm::Text => {
            let text = match written.first() {
                Some(b'"') => json::text(written),
                Some(b'{' | b'[') | None => None,
                Some(_) => Some(Cow::Borrowed(written)),
            };
            text.is_some_and(|text| claim.values.iter().any(|it| it.as_bytes() == &*text))
        }
        ClaimForm::List => {
            let texts: Vec<_> = json::elements(written).filter_map(json::text).collect();
            let there = |value: &String| texts.iter().any(|it| **it == *value.as_bytes());
            claim.values.iter().all(there)
        }
        ClaimForm::Words => json::text(written).is_some_and(|text| {
            let there =
                |value: &String| text.split(|b| *b == b' ').any(|it| it == value.as_bytes());
            claim.values.iter().all(there)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::jwt::KeySource;
    use proptest::prelude::*;
    use std::time::Duration;

    fn written(header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|it| URL_SAFE_NO_PAD.encode(it));
        format!("{header}.{payload}.AAEC")
    }

    fn asked() -> Jwt {
        Jwt {
            require: Vec::new(),
            leeway: Duration::from_secs(10),
            ..Jwt::new(KeySource::File("k".to_owned()))
        }
    }

    #[test]
    fn parts() {
        // RFC 7515 appendix A.1.
        let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!(token.algorithm(), Some(JwtAlgorithm::Hs256));
        assert_eq!((token.key_id(), token.is_critical()), (None, false));
        assert_eq!(
            token.claim("http://example.com/is_root").unwrap(),
            &b"true"[..]
        );
        assert_eq!(token.signature.len(), 32);
        assert_eq!(token.check(&asked(), 1_300_819_380 + 9), Ok(()));
        assert_eq!(
            token.check(&asked(), 1_300_819_380 + 10),
            Err(Refusal::Expired)
        );
        let none = written(r#"{"alg":"none","kid":"a\u0041","crit":["x"]}"#, "{}");
        let none = Token::parse(none.as_bytes()).unwrap();
        assert_eq!(none.algorithm(), None);
        assert_eq!(
            (&*none.key_id().unwrap(), none.is_critical()),
            (&b"aA"[..], true)
        );
        let good = written(r#"{"alg":"RS256"}"#, "{}");
        for bad in [
            "",
            ".",
            "..",
            "a.b.c",
            "e30.e30",
            "e30.e30.AA.AA",
            "e30.e30.AA=",
            "e30=.e30.AA",
            "e30.e30.A",
            "W10.e30.AA",
            "e30.W10.AA",
            "e30.e30.A+",
            " e30.e30.AA",
            &good.replace('.', ".."),
        ] {
            assert!(Token::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(
            Token::parse(b"e30.e30.").is_some(),
            "no signature is one that fits nothing"
        );
    }

    #[test]
    fn what_others_could_read_otherwise_is_no_token() {
        for bad in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"sub":"a" "exp":1}"#,
            r#"{"sub":"a"}}"#,
            r#"{"sub":"a","#,
            "{\"sub\":\"a\"}\u{c}",
        ] {
            for (header, payload) in [(bad, "{}"), ("{}", bad)] {
                let text = written(header, payload);
                assert!(Token::parse(text.as_bytes()).is_none(), "{bad}");
            }
        }
    }

    #[test]
    fn claims() {
        let check = |payload: &str, change: &dyn Fn(&mut Jwt), expected: Result<(), Refusal>| {
            let mut jwt = asked();
            change(&mut jwt);
            let text = written("{}", payload);
            let token = Token::parse(text.as_bytes()).unwrap();
            assert_eq!(token.check(&jwt, 1000), expected, "{payload}");
        };
        let nothing = &|_: &mut Jwt| {};
        check("{}", nothing, Ok(()));
        check(r#"{"exp":991}"#, nothing, Ok(()));
        check(r#"{"exp":990.5}"#, nothing, Ok(()));
        check(r#"{"exp":990}"#, nothing, Err(Refusal::Expired));
        check(r#"{"exp":1e9}"#, nothing, Ok(()));
        check(r#"{"exp":-1}"#, nothing, Err(Refusal::Expired));
        for odd in [r#""9999""#, "true", "[1]", "1e999", "{}"] {
            let payload = format!(r#"{{"exp":{odd}}}"#);
            check(&payload, nothing, Err(Refusal::Malformed));
        }
        check(r#"{"nbf":1010}"#, nothing, Ok(()));
        check(r#"{"nbf":1011}"#, nothing, Err(Refusal::NotYetValid));
        check(r#"{"iat":1011}"#, nothing, Err(Refusal::NotYetValid));
        let require = &|jwt: &mut Jwt| jwt.require = vec!["exp".into(), "sub".into()];
        check(r#"{"exp":2000,"sub":""}"#, require, Ok(()));
        check(r#"{"exp":2000,"sub":null}"#, require, Err(Refusal::Claims));
        check(r#"{"exp":2000}"#, require, Err(Refusal::Claims));
        let issuer = &|jwt: &mut Jwt| jwt.issuers = vec!["a".into(), "https://b/".into()];
        check(r#"{"iss":"https:\/\/b\/"}"#, issuer, Ok(()));
        check(r#"{"iss":"b"}"#, issuer, Err(Refusal::Issuer));
        check(r#"{"iss":["a"]}"#, issuer, Err(Refusal::Issuer));
        check("{}", issuer, Err(Refusal::Issuer));
        let audience = &|jwt: &mut Jwt| jwt.audiences = vec!["a".into(), "b".into()];
        check(r#"{"aud":"b"}"#, audience, Ok(()));
        check(r#"{"aud":["x","b"]}"#, audience, Ok(()));
        check(
            r#"{"aud":[["b"],{"b":"b"},1]}"#,
            audience,
            Err(Refusal::Audience),
        );
        check(r#"{"aud":[]}"#, audience, Err(Refusal::Audience));
        check("{}", audience, Err(Refusal::Audience));
        let claim = |name: &str, form: ClaimForm, values: &[&str]| {
            let claim = Claim {
                name: name.to_owned(),
                form,
                values: values.iter().map(|it| (*it).to_owned()).collect(),
            };
            move |jwt: &mut Jwt| jwt.claims = vec![claim.clone()]
        };
        let text = &claim("tenant", ClaimForm::Text, &["a", "7", "true"]);
        for good in [r#""a""#, "7", "true", r#""7""#] {
            check(&format!(r#"{{"tenant":{good}}}"#), text, Ok(()));
        }
        for bad in [r#""b""#, "[\"a\"]", "70", "null"] {
            check(
                &format!(r#"{{"tenant":{bad}}}"#),
                text,
                Err(Refusal::Claims),
            );
        }
        let list = &claim("$.realm.roles", ClaimForm::List, &["a", "b"]);
        check(r#"{"realm":{"roles":["b","c","a"]}}"#, list, Ok(()));
        check(r#"{"realm":{"roles":["b"]}}"#, list, Err(Refusal::Claims));
        check(r#"{"realm":{"roles":"a b"}}"#, list, Err(Refusal::Claims));
        let words = &claim("scope", ClaimForm::Words, &["read", "write"]);
        check(r#"{"scope":"write x read"}"#, words, Ok(()));
        check(r#"{"scope":"writeread read"}"#, words, Err(Refusal::Claims));
        check(r#"{"scope":["read","write"]}"#, words, Err(Refusal::Claims));
        let url = &claim("https://a.example/role", ClaimForm::Text, &["x"]);
        check(r#"{"https://a.example/role":"x"}"#, url, Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes(text: Vec<u8>, now: i64) {
            if let Some(token) = Token::parse(&text) {
                let _ = token.check(&asked(), now);
            }
        }

        #[test]
        fn any_claims(payload in r#"\{[\[\]{}":,\\aeoinsxpudu0-9. ]{0,60}\}"#, now: i64) {
            let text = written("{}", &payload);
            if let Some(token) = Token::parse(text.as_bytes()) {
                let jwt = Jwt { issuers: vec!["a".into()], audiences: vec!["a".into()], ..asked() };
                let _ = (token.check(&jwt, now), token.claim("aud"), token.key_id(), token.algorithm());
            }
        }
    }
}
