//! Whether a JWT was signed with a key, as HAProxy's `jwt_verify` says it.
//!
//! The algorithm is the one that the configuration says, whatever the header of the token does: that header is not read. What a
//! signature by a public key is held against is found by [`Facts::verifies`].

use super::{Facts, text};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use portway_model::expression::{DigestKind, Given, JwtVerify};
use portway_model::jwt::JwtAlgorithm;
use std::borrow::Cow;

/// There is no such algorithm.
const UNKNOWN_ALGORITHM: i64 = -1;
/// It is no token that is signed so.
const INVALID_TOKEN: i64 = -3;
/// There is no such key.
const UNKNOWN_KEY: i64 = -5;

/// As HAProxy does: bits that are left over may be anything.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// 1 where the signature is right, 0 where it is not, below 0 where that cannot be said. `None`: a variable is not there.
pub(super) fn verify<F: Facts>(token: &[u8], verify: &JwtVerify, facts: &F) -> Option<i64> {
    let algorithm = given(&verify.algorithm, facts)?;
    let key = given(&verify.key, facts)?;
    // Everybody may know the path of a file: nothing that was signed with it is.
    let shared = JwtAlgorithm::named(&algorithm).is_some_and(JwtAlgorithm::is_shared);
    let secret = !shared || verify.key_file().is_none();
    Some(match judge(token, &algorithm, &key, facts) {
        Ok(good) => i64::from(good && secret),
        Err(why) => why,
    })
}

fn given<'a, F: Facts>(given: &'a Given, facts: &'a F) -> Option<Cow<'a, [u8]>> {
    match given {
        Given::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
        Given::Variable(variable) => facts.variable(variable).into_text(),
    }
}

fn judge<F: Facts>(token: &[u8], algorithm: &[u8], key: &[u8], facts: &F) -> Result<bool, i64> {
    let known = JwtAlgorithm::named(algorithm);
    if known.is_none() && algorithm != b"none" {
        return Err(UNKNOWN_ALGORITHM);
    }
    // One more than a token has.
    let parts: Vec<&[u8]> = token.splitn(4, |byte| *byte == b'.').collect();
    let signature = match (parts.as_slice(), known) {
        ([_, _, []], Some(_)) => return Err(INVALID_TOKEN),
        ([_, _, signature], _) => *signature,
        ([_, _], None) => &[],
        _ => return Err(INVALID_TOKEN),
    };
    let Some(algorithm) = known else {
        return Ok(signature.is_empty());
    };
    let signed = token.len() - signature.len() - 1;
    let signed = token.get(..signed).unwrap_or_default();
    let signature = decoded(signature).ok_or(INVALID_TOKEN)?;
    let digest = match algorithm {
        JwtAlgorithm::Hs256 => DigestKind::Sha256,
        JwtAlgorithm::Hs384 => DigestKind::Sha384,
        JwtAlgorithm::Hs512 => DigestKind::Sha512,
        _ => {
            let good = facts.verifies(algorithm, key, signed, &signature);
            let is_pair = matches!(
                algorithm,
                JwtAlgorithm::Es256 | JwtAlgorithm::Es384 | JwtAlgorithm::Es512
            );
            return match good {
                None => Err(UNKNOWN_KEY),
                // Two numbers of one length.
                Some(_) if is_pair && signature.len() % 2 == 1 => Err(INVALID_TOKEN),
                Some(good) => Ok(good),
            };
        }
    };
    let right = text::hmac(digest, key, signed);
    Ok(right.is_some_and(|right| text::same_secret(&right, &signature)))
}

/// The bytes of a signature. What pads it counts as letters that stand for nothing, as with HAProxy: it is longer then, and so
/// never right.
fn decoded(signature: &[u8]) -> Option<Vec<u8>> {
    let mut text = signature.to_vec();
    let padding = text.iter_mut().rev().take_while(|byte| **byte == b'=');
    padding.for_each(|byte| *byte = b'A');
    LENIENT.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Exchange;
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn says(token: &str, algorithm: &str, key: &str) -> Option<i64> {
        let text = |text: &str| Given::Text(text.to_owned());
        let (algorithm, key) = (text(algorithm), text(key));
        let exchange = Exchange::get("http://a/");
        verify(token.as_bytes(), &JwtVerify { algorithm, key }, &exchange)
    }

    fn signed(text: &str, kind: DigestKind, key: &str) -> String {
        let mac = text::hmac(kind, key.as_bytes(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    #[test]
    fn what_the_manual_says() {
        // RFC 7515 appendix A.1.
        let header = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
        let token = signed(&format!("{header}.e30"), DigestKind::Sha256, "secret");
        let longer = signed(&format!("{header}.e30"), DigestKind::Sha512, "secret");
        let (unsigned, padded) = (format!("{header}.e30."), format!("{token}="));
        for (token, algorithm, key, expected) in [
            (&*token, "HS256", "secret", 1),
            (&longer, "HS512", "secret", 1),
            (&token, "HS256", "secrets", 0),
            (&token, "HS256", "", 0),
            (&token, "HS384", "secret", 0),
            (&longer, "HS256", "secret", 0),
            (&padded, "HS256", "secret", 0),
            (&token, "hs256", "secret", -1),
            (&token, "", "secret", -1),
            (&unsigned, "HS256", "secret", -3),
            (&unsigned, "none", "", 1),
            ("a.b", "none", "", 1),
            (&token, "none", "", 0),
            ("a", "none", "", -3),
            ("a.b.c.d", "none", "", -3),
            ("a.b", "HS256", "secret", -3),
            ("", "HS256", "secret", -3),
            ("a.b.!!!!", "HS256", "secret", -3),
            ("a.b.AA==", "HS256", "secret", 0),
            ("a.b.A=A=", "HS256", "secret", -3),
            (&token, "RS256", "/none.pem", -5),
            (&token, "ES256", "/none.pem", -5),
        ] {
            assert_eq!(
                says(token, algorithm, key),
                Some(expected),
                "{token} {algorithm}"
            );
        }
    }
}
