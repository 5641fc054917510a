//! Values of cookies that tell nobody anything: encrypted and authenticated, so that a client can neither read nor make one.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portway_model::choice::CookieValues;
use portway_model::snapshot::TargetGroup;
use std::sync::OnceLock;

/// Goes before the secret, so that the same text elsewhere makes another key.
const PURPOSE: &[u8] = b"portway sticky cookie\0";

/// Seals the values of one group's cookie.
#[derive(Debug)]
pub struct Seal {
    key: RandomizedNonceKey,
    /// Values of one group are none of another's.
    group: Box<[u8]>,
}

impl Seal {
    /// That of a group; `None`: its cookie is not sealed, or there is none.
    pub(crate) fn of(group: &TargetGroup) -> Option<Self> {
        let CookieValues::Sealed { key } = &group.stickiness.as_ref()?.values else {
            return None;
        };
        let mut secret = Context::new(&SHA256);
        secret.update(PURPOSE);
        match key {
            Some(key) => secret.update(key.as_bytes()),
            None => secret.update(own_secret()),
        }
        Some(Self {
            // A digest of SHA-256 is as long as a key.
            key: RandomizedNonceKey::new(&AES_256_GCM, secret.finish().as_ref()).ok()?,
            group: group.name.as_str().as_bytes().into(),
        })
    }

    /// Writes the sealed value.
    pub(crate) fn seal(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut bytes = value.to_vec();
        let aad = Aad::from(&self.group);
        // It fails for values of many gigabytes alone.
        if let Ok(nonce) = self.key.seal_in_place_append_tag(aad, &mut bytes) {
            let whole = [nonce.as_ref().as_slice(), &bytes].concat();
            out.extend_from_slice(URL_SAFE_NO_PAD.encode(whole).as_bytes());
        }
    }

    /// What was sealed; `None`: not by us, or for another group.
    pub(crate) fn open(&self, text: &[u8]) -> Option<Vec<u8>> {
        let whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = whole.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(&self.group);
        let value = self.key.open_in_place(nonce, aad, &mut sealed).ok()?;
        Some(value.to_vec())
    }
}

static SECRET: OnceLock<[u8; 32]> = OnceLock::new();

/// Takes over the secret of the process before; false where this process has one already. It has none before its first plane.
pub fn take_over_secret(secret: [u8; 32]) -> bool {
    SECRET.set(secret).is_ok()
}

/// The secret of this process, for configurations that say none, and for the process that takes over.
pub fn own_secret() -> &'static [u8; 32] {
    SECRET.get_or_init(|| {
        let mut secret = [0; 32];
        // Without randomness nothing here would have started: TLS tickets need it before.
        let _ = aws_lc_rs::rand::fill(&mut secret);
        secret
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &[u8; 32], group: &str) -> Seal {
        Seal {
            key: RandomizedNonceKey::new(&AES_256_GCM, secret).unwrap(),
            group: group.as_bytes().into(),
        }
    }

    #[test]
    fn only_what_was_sealed_is_opened() {
        let one = seal(&[1; 32], "a");
        let mut text = Vec::new();
        one.seal(b"target|date", &mut text);
        assert_eq!(one.open(&text).as_deref(), Some(&b"target|date"[..]));
        let mut again = Vec::new();
        one.seal(b"target|date", &mut again);
        assert_ne!(text, again);
        assert_eq!(seal(&[1; 32], "b").open(&text), None);
        assert_eq!(seal(&[2; 32], "a").open(&text), None);
        for wrong in [&b""[..], b"AAAA", b"target|date", &text[1..]] {
            assert_eq!(one.open(wrong), None);
        }
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(one.open(&changed), None, "{at}");
        }
    }
}
