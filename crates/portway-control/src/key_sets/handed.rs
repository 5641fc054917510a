//! Keys that were fetched, on their way to the process that takes over: an issuer that is dead at an upgrade costs no token.
//!
//! Public keys alone are handed over; they count until a fetch of the new process has ended well.

use std::sync::Arc;

use portway_dataplane::keys::{Key, KeyKind, Keys, PublicKey};
use portway_model::jwt::JwtAlgorithm;
use serde::{Deserialize, Serialize};

use super::Loaded;
use crate::live_state::{of_base64, to_base64};

/// A set that was fetched.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeySetPart {
    url: String,
    /// The file of authorities that was believed, from the root.
    ca: Option<String>,
    keys: Vec<KeyPart>,
}

/// A public key. Its bytes and its name are in base64.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KeyPart {
    kind: String,
    key: String,
    id: Option<String>,
    /// The one algorithm that it is for.
    only: Option<String>,
}

impl KeyPart {
    fn of(key: &PublicKey<'_>) -> Self {
        Self {
            kind: key.kind.name().to_owned(),
            key: to_base64(key.key),
            id: key.id.map(to_base64),
            only: key.only.map(|it| it.name().to_owned()),
        }
    }

    fn key(&self) -> Option<Key> {
        let id = match &self.id {
            Some(id) => Some(of_base64(id)?),
            None => None,
        };
        let only = match &self.only {
            Some(name) => Some(JwtAlgorithm::named(name.as_bytes())?),
            None => None,
        };
        let kind = KeyKind::named(&self.kind)?;
        Key::public(kind, &of_base64(&self.key)?, id.as_deref(), only)
    }
}

impl Loaded {
    /// What was fetched.
    pub(crate) fn handed(&self) -> Vec<KeySetPart> {
        let part = |it: &super::Fetched| {
            let keys = it.keys()?;
            let keys = keys.iter().filter_map(Key::made_of);
            Some(KeySetPart {
                url: it.url.url.clone(),
                ca: it.ca.clone(),
                keys: keys.map(|it| KeyPart::of(&it)).collect(),
            })
        };
        self.fetched.iter().filter_map(part).collect()
    }

    /// Goes on with what another process has fetched; what is left out of that, in words.
    pub(crate) fn go_on(&self, parts: &[KeySetPart]) -> Vec<String> {
        let mut left_out = Vec::new();
        for it in self.fetched.iter() {
            let mut parts = parts.iter();
            let part = parts.find(|part| it.is_of(&part.url, part.ca.as_deref()));
            let (Some(set), Some(part)) = (it.set.upgrade(), part) else {
                continue;
            };
            let keys: Vec<Key> = part.keys.iter().filter_map(KeyPart::key).collect();
            if keys.len() < part.keys.len() {
                let lost = part.keys.len() - keys.len();
                let url = &part.url;
                left_out.push(format!("{lost} keys of tokens of `{url}`, of other kinds"));
            }
            if !keys.is_empty() {
                set.take_over(Arc::new(Keys::new(keys)));
            }
        }
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_sets::{Fetched, jwks};
    use portway_dataplane::keys::KeySet;
    use portway_model::jwt::{KeyUrl, REFRESH};

    const SET: &str = r#"{"keys":[
        {"kty":"EC","crv":"P-256","kid":"ec","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty":"RSA","kid":"rsa","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"},
        {"kty":"RSA","alg":"PS256","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"},
        {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// A set of this URL, and what looks after it.
    fn fetched(url: &str, ca: Option<&str>) -> (Arc<KeySet>, Loaded) {
        let set = Arc::new(KeySet::fetched());
        let it = Fetched {
            url: KeyUrl {
                url: url.to_owned(),
                refresh: REFRESH,
                ca: ca.map(str::to_owned),
            },
            ca: ca.map(str::to_owned),
            set: Arc::downgrade(&set),
            bell: set.bell(),
            tls: None,
        };
        let loaded = Loaded {
            sets: Arc::default(),
            fetched: [it].into(),
        };
        (set, loaded)
    }

    #[test]
    fn keys_are_the_same_on_the_other_side() {
        let (set, before) = fetched("https://login.example/keys", None);
        assert!(before.handed().is_empty());
        set.put(Some(Keys::new(jwks::read(SET.as_bytes()).unwrap())));
        let text = serde_json::to_string(&before.handed()).unwrap();
        let parts: Vec<KeySetPart> = serde_json::from_str(&text).unwrap();
        let (next, loaded) = fetched("https://login.example/keys", None);
        assert!(loaded.go_on(&parts).is_empty());
        let (before, after) = (set.keys().unwrap(), next.keys().unwrap());
        assert_eq!(after.count(), 4);
        for (before, after) in before.iter().zip(after.iter()) {
            assert_eq!(before.made_of(), after.made_of());
            assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
        // It may be asked for at once: nobody has fetched it here.
        assert!(next.may_be_asked_for());
    }

    #[test]
    fn keys_of_another_url_or_authority_are_not_believed() {
        let (set, before) = fetched("https://login.example/keys", Some("/etc/ca.pem"));
        set.put(Some(Keys::new(jwks::read(SET.as_bytes()).unwrap())));
        let parts = before.handed();
        for (url, ca, is_known) in [
            ("https://login.example/keys", Some("/etc/ca.pem"), true),
            ("https://login.example/keys", Some("/etc/other.pem"), false),
            ("https://login.example/keys", None, false),
            ("https://login.example/key", Some("/etc/ca.pem"), false),
        ] {
            let (next, loaded) = fetched(url, ca);
            assert!(loaded.go_on(&parts).is_empty());
            assert_eq!(next.keys().is_some(), is_known, "{url} {ca:?}");
        }
    }

    #[test]
    fn keys_that_are_not_known_are_left_out() {
        let parts = r#"[{"url":"http://a/","mood":"good","keys":[
            {"kind":"Dilithium","key":"AAAA"},
            {"kind":"Ed25519","key":"no base64"},
            {"kind":"Ed25519","key":"AAAA","only":"HS256"},
            {"kind":"RSA","key":"AAAA"}]}]"#;
        let parts: Vec<KeySetPart> = serde_json::from_str(parts).unwrap();
        let (next, loaded) = fetched("http://a/", None);
        assert_eq!(
            loaded.go_on(&parts),
            ["4 keys of tokens of `http://a/`, of other kinds"]
        );
        assert!(next.keys().is_none());
    }
}
