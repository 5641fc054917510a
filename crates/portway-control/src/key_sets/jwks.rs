//! JSON Web Key Sets (RFC 7517): their public keys, as far as tokens can be signed with them.
//!
//! What is no key for signatures, or of a kind that is not known, is passed over (RFC 7517 section 5). A symmetric key is
//! never taken from a set: a secret that is fetched is none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portway_dataplane::keys::{Key, KeyKind};
use portway_model::jwt::JwtAlgorithm;
use serde_json::Value;

/// The keys of a set.
///
/// # Errors
/// In words: it is no set, or there is no key in it that a token could be signed with.
pub fn read(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: Value =
        serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or("there is no list `keys`")?;
    let read: Vec<Key> = keys.iter().filter_map(key).collect();
    match read.is_empty() {
        true => Err(format!(
            "none of its {} keys is one for signatures of tokens",
            keys.len()
        )),
        false => Ok(read),
    }
}

fn key(jwk: &Value) -> Option<Key> {
    let text = |name: &str| jwk.get(name)?.as_str();
    let bytes = |name: &str| {
        URL_SAFE_NO_PAD
            .decode(text(name)?.trim_end_matches('='))
            .ok()
    };
    if text("use").is_some_and(|it| it != "sig") {
        return None;
    }
    let operations = jwk.get("key_ops").and_then(Value::as_array);
    if operations.is_some_and(|it| !it.iter().any(|it| it.as_str() == Some("verify"))) {
        return None;
    }
    let only = match text("alg") {
        Some(name) => Some(JwtAlgorithm::named(name.as_bytes())?),
        None => None,
    };
    let (kind, public) = match (text("kty")?, text("crv")) {
        ("RSA", _) => (KeyKind::Rsa, rsa(&bytes("n")?, &bytes("e")?)),
        ("EC", Some("P-256")) => (KeyKind::P256, point(32, &bytes("x")?, &bytes("y")?)?),
        ("EC", Some("P-384")) => (KeyKind::P384, point(48, &bytes("x")?, &bytes("y")?)?),
        ("EC", Some("P-521")) => (KeyKind::P521, point(66, &bytes("x")?, &bytes("y")?)?),
        ("OKP", Some("Ed25519")) => (KeyKind::Ed25519, bytes("x")?),
        _ => return None,
    };
    Key::public(kind, &public, text("kid").map(str::as_bytes), only)
}

/// An uncompressed point (SEC 1 section 2.3.3).
fn point(size: usize, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    let mut point = vec![4];
    for coordinate in [x, y] {
        let padding = size.checked_sub(coordinate.len())?;
        point.extend(std::iter::repeat_n(0, padding));
        point.extend_from_slice(coordinate);
    }
    Some(point)
}

/// An `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    let number = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0);
        let bytes = start.and_then(|start| bytes.get(start..)).unwrap_or(&[0]);
        let sign = bytes.first().is_some_and(|byte| *byte >= 0x80);
        let mut content = vec![0; usize::from(sign)];
        content.extend_from_slice(bytes);
        der(INTEGER, &content)
    };
    der(SEQUENCE, &[number(modulus), number(exponent)].concat())
}

/// One value of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let start = length.iter().position(|byte| *byte != 0);
    let short = start.and_then(|start| length.get(start..)).unwrap_or(&[0]);
    match short {
        [one] if *one < 0x80 => out.push(*one),
        several => {
            out.push(0x80 | u8::try_from(several.len()).unwrap_or(8));
            out.extend_from_slice(several);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::jwt::Token;
    use portway_dataplane::keys::Keys;

    /// The payload of the examples of RFC 7515 appendix A.
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    /// RFC 7515 appendix A.2.
    const RSA: &str = r#""kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB""#;
    const RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    /// RFC 7515 appendix A.3.
    const EC: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    const EC_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    /// RFC 8037 appendix A.2.
    const OKP: &str =
        r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn set(keys: &[&str]) -> String {
        let keys: Vec<String> = keys.iter().map(|it| format!("{{{it}}}")).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    #[test]
    fn the_examples_of_the_standard() {
        let keys = Keys::new(read(set(&[RSA, EC, OKP]).as_bytes()).unwrap());
        assert_eq!(keys.count(), 3);
        for (algorithm, signature) in [
            (JwtAlgorithm::Rs256, RSA_SIGNATURE),
            (JwtAlgorithm::Es256, EC_SIGNATURE),
        ] {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{}"}}"#, algorithm.name()));
            let text = format!("{header}.{PAYLOAD}.{signature}");
            let token = Token::parse(text.as_bytes()).unwrap();
            assert_eq!(token.algorithm(), Some(algorithm));
            assert_eq!(keys.verify(&token, algorithm), Ok(()), "{algorithm:?}");
            let changed = text.replace("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Uj");
            let changed = Token::parse(changed.as_bytes());
            assert!(changed.is_none_or(|it| keys.verify(&it, algorithm).is_err()));
        }
        // Appendix A.1: the secret stands in the set as any key would, and is none.
        let secret = r#""kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow""#;
        assert!(read(set(&[secret]).as_bytes()).is_err());
        let secret = URL_SAFE_NO_PAD.decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
        let keys = Key::secret(&secret.unwrap(), &[JwtAlgorithm::Hs256]).unwrap();
        let keys = Keys::new(vec![keys]);
        let text = format!(
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!(keys.verify(&token, JwtAlgorithm::Hs256), Ok(()));
    }

    #[test]
    fn what_is_no_key_for_signatures_is_passed_over() {
        let check = |key: &str, expected: usize| {
            let set = set(&[key, OKP]);
            let found = read(set.as_bytes()).unwrap().len();
            assert_eq!(found, expected + 1, "{key}");
        };
        check(
            &format!(r#"{RSA},"use":"sig","alg":"RS256","key_ops":["verify"],"kid":"a""#),
            1,
        );
        check(&format!(r#"{RSA},"use":"enc""#), 0);
        check(&format!(r#"{RSA},"key_ops":["sign"]"#), 0);
        check(&format!(r#"{RSA},"alg":"RSA-OAEP""#), 0);
        check(&format!(r#"{RSA},"alg":"ES256""#), 0);
        check(&RSA.replace("AQAB", "AA"), 0);
        check(r#""kty":"RSA","n":"AQAB","e":"AQAB""#, 0);
        check(&EC.replace("f83O", "f83P"), 0);
        check(&EC.replace("P-256", "P-384"), 0);
        check(&EC.replace("P-256", "secp256k1"), 0);
        check(r#""kty":"oct","k":"AAAA""#, 0);
        check(r#""kid":"a""#, 0);
        for none in [
            "",
            "{}",
            "[]",
            r#"{"keys":{}}"#,
            r#"{"keys":[]}"#,
            r#"{"keys":[1,null,"a"]}"#,
            "<html>",
        ] {
            assert!(read(none.as_bytes()).is_err(), "{none}");
        }
    }

    #[test]
    fn der_as_it_must_be() {
        let long = der(4, &[0; 300]);
        assert_eq!(long.get(..4), Some(&[4, 0x82, 1, 44][..]));
        assert_eq!(der(4, &[0; 128]).get(..3), Some(&[4, 0x81, 128][..]));
        assert_eq!(der(4, &[]), [4, 0]);
        assert_eq!(rsa(&[0, 0, 0x80], &[3]), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 3]);
    }
}
