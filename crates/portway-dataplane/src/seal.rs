//! Values of cookies that tell nobody anything: encrypted and authenticated, so that a client can neither read nor make one.
//!
//! The first key of a group seals, the others open what they have sealed before. Keys are those of the configuration, or
//! the process's own, which all groups without keys share and which control keeps beyond the process where it can. An own
//! key seals for [`ROTATE_AFTER`] and opens for as long again, so that every cookie that clients keep for less than that is
//! believed to its end.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portway_model::choice::CookieValues;
use portway_model::snapshot::TargetGroup;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Goes before the secret, so that the same text elsewhere makes another key.
const PURPOSE: &[u8] = b"portway sticky cookie\0";

/// How long an own key seals; then it opens for as long again. The cookies of an Application Load Balancer live seven days
/// at most.
pub const ROTATE_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most own keys alive: one that seals, one that still opens, and one of a clock that was set.
pub const MAX_OWN_KEYS: usize = 3;

/// Seals the values of one group's cookie.
#[derive(Debug)]
pub struct Seal {
    /// Those of the configuration, the one that seals first; `None`: the process's own.
    keys: Option<Box<[RandomizedNonceKey]>>,
    /// Values of one group are none of another's.
    group: Box<[u8]>,
}

impl Seal {
    /// That of a group; `None`: its cookie is not sealed, or there is none.
    pub(crate) fn of(group: &TargetGroup) -> Option<Self> {
        let CookieValues::Sealed { keys } = &group.stickiness.as_ref()?.values else {
            return None;
        };
        let keys = match keys.as_slice() {
            [] => {
                // It is there before anybody asks for it, and control can keep it.
                own();
                None
            }
            said => {
                let keys = said.iter().map(|key| derived(key.as_bytes()));
                Some(keys.collect::<Option<_>>()?)
            }
        };
        Some(Self {
            keys,
            group: group.name.as_str().as_bytes().into(),
        })
    }

    /// Writes the sealed value.
    pub(crate) fn seal(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut bytes = value.to_vec();
        let aad = Aad::from(&self.group);
        let sealed = match &self.keys {
            Some(keys) => keys
                .first()
                .map(|key| key.seal_in_place_append_tag(aad, &mut bytes)),
            None => {
                let own = own();
                let key = own.first().map(|it| &it.key);
                key.map(|key| key.seal_in_place_append_tag(aad, &mut bytes))
            }
        };
        // It fails for values of many gigabytes alone.
        if let Some(Ok(nonce)) = sealed {
            let whole = [nonce.as_ref().as_slice(), &bytes].concat();
            out.extend_from_slice(URL_SAFE_NO_PAD.encode(whole).as_bytes());
        }
    }

    /// What was sealed; `None`: not by us, or for another group, or too long ago.
    pub(crate) fn open(&self, text: &[u8]) -> Option<Vec<u8>> {
        let whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = whole.split_first_chunk::<NONCE_LEN>()?;
        let open = |key: &RandomizedNonceKey| {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let mut sealed = sealed.to_vec();
            let aad = Aad::from(&self.group);
            let value = key.open_in_place(nonce, aad, &mut sealed).ok()?;
            Some(value.to_vec())
        };
        match &self.keys {
            Some(keys) => keys.iter().find_map(open),
            None => own().iter().find_map(|it| open(&it.key)),
        }
    }
}

fn derived(secret: &[u8]) -> Option<RandomizedNonceKey> {
    let mut hashed = Context::new(&SHA256);
    hashed.update(PURPOSE);
    hashed.update(secret);
    // A digest of SHA-256 is as long as a key.
    RandomizedNonceKey::new(&AES_256_GCM, hashed.finish().as_ref()).ok()
}

/// What an own key is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnSecret {
    /// When, in seconds since 1970.
    pub born: u64,
    /// Random.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for OwnSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnSecret")
            .field("born", &self.born)
            .finish_non_exhaustive()
    }
}

impl OwnSecret {
    /// `None`: the system has no randomness. A key that anybody could guess would be worse than none.
    fn random(born: u64) -> Option<Self> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        Some(Self { born, secret })
    }
}

struct OwnKey {
    of: OwnSecret,
    key: RandomizedNonceKey,
}

/// The newest first. Written when the first is asked for, and every thirty days.
static OWN: RwLock<Option<Arc<[OwnKey]>>> = RwLock::new(None);

fn own() -> Arc<[OwnKey]> {
    if let Some(own) = known() {
        return own;
    }
    put_own(OwnSecret::random(seconds_now()).into_iter().collect());
    known().unwrap_or_else(|| Arc::new([]))
}

fn known() -> Option<Arc<[OwnKey]>> {
    OWN.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn seconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn keys_of(mut secrets: Vec<OwnSecret>) -> Arc<[OwnKey]> {
    secrets.sort_by_key(|it| std::cmp::Reverse(it.born));
    secrets.truncate(MAX_OWN_KEYS);
    let key = |of: OwnSecret| derived(&of.secret).map(|key| OwnKey { of, key });
    secrets.into_iter().filter_map(key).collect()
}

/// Takes over the secrets of the process before, or those that were kept; false where this process has some already, or these
/// are none. It has none before its first plane.
pub fn put_own(secrets: Vec<OwnSecret>) -> bool {
    let keys = keys_of(secrets);
    let mut own = OWN.write().unwrap_or_else(PoisonError::into_inner);
    let is_wanted = own.is_none() && !keys.is_empty();
    if is_wanted {
        *own = Some(keys);
    }
    is_wanted
}

/// The secrets of this process, for configurations that say none, for the process that takes over and to be kept; none where nobody
/// has asked for one.
pub fn own_secrets() -> Vec<OwnSecret> {
    let known = known();
    known
        .iter()
        .flat_map(|it| it.iter())
        .map(|it| it.of)
        .collect()
}

/// Makes a new own key where the newest one is due, and forgets those that are past their time.
pub fn rotate_own() {
    let next = rotated(&own_secrets(), seconds_now());
    if let Some(next) = next {
        let keys = keys_of(next);
        *OWN.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }
}

/// What comes after these, the newest of which is the first; `None`: they stay.
fn rotated(secrets: &[OwnSecret], now: u64) -> Option<Vec<OwnSecret>> {
    let newest = secrets.first()?;
    let after = ROTATE_AFTER.as_secs();
    // A moment to come is of a clock that was set back since.
    if (newest.born..newest.born.saturating_add(after)).contains(&now) || now < newest.born {
        return None;
    }
    // A key opens for as long as it has sealed, from the moment on at which the next one was made.
    let mut next = vec![OwnSecret::random(now)?];
    let mut until = now;
    for secret in secrets {
        if now.saturating_sub(until) < after {
            next.push(*secret);
        }
        until = secret.born;
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secrets: &[&[u8; 32]], group: &str) -> Seal {
        let keys = secrets.iter().map(|it| derived(*it).unwrap());
        Seal {
            keys: Some(keys.collect()),
            group: group.as_bytes().into(),
        }
    }

    #[test]
    fn only_what_was_sealed_is_opened() {
        let one = seal(&[&[1; 32]], "a");
        let mut text = Vec::new();
        one.seal(b"target|date", &mut text);
        assert_eq!(one.open(&text).as_deref(), Some(&b"target|date"[..]));
        let mut again = Vec::new();
        one.seal(b"target|date", &mut again);
        assert_ne!(text, again);
        assert_eq!(seal(&[&[1; 32]], "b").open(&text), None);
        assert_eq!(seal(&[&[2; 32]], "a").open(&text), None);
        for wrong in [&b""[..], b"AAAA", b"target|date", &text[1..]] {
            assert_eq!(one.open(wrong), None);
        }
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(one.open(&changed), None, "{at}");
        }
    }

    #[test]
    fn the_first_key_seals_and_the_others_open() {
        let old = seal(&[&[1; 32]], "a");
        let both = seal(&[&[2; 32], &[1; 32]], "a");
        let (mut before, mut after) = (Vec::new(), Vec::new());
        old.seal(b"x", &mut before);
        both.seal(b"x", &mut after);
        assert_eq!(both.open(&before).as_deref(), Some(&b"x"[..]));
        assert_eq!(both.open(&after).as_deref(), Some(&b"x"[..]));
        assert_eq!(old.open(&after), None);
    }

    #[test]
    fn own_keys_rotate_and_open_for_as_long_again() {
        let after = ROTATE_AFTER.as_secs();
        let secret = |born| OwnSecret {
            born,
            secret: [0; 32],
        };
        let born = |secrets: &[OwnSecret], now: u64| {
            let next = rotated(secrets, now)?;
            Some(next.iter().map(|it| it.born).collect::<Vec<_>>())
        };
        assert_eq!(born(&[], 5), None);
        assert_eq!(born(&[secret(100)], 100), None);
        assert_eq!(born(&[secret(100)], 99 + after), None);
        assert_eq!(born(&[secret(100)], 5), None);
        assert_eq!(
            born(&[secret(100)], 100 + after),
            Some(vec![100 + after, 100])
        );
        // The one before has opened for as long as it had sealed.
        let two = [secret(100 + after), secret(100)];
        assert_eq!(
            born(&two, 100 + 2 * after),
            Some(vec![100 + 2 * after, 100 + after])
        );
        // Nobody was there for a year: the last still opens for once.
        assert_eq!(
            born(&[secret(100)], 12 * after),
            Some(vec![12 * after, 100])
        );
    }
}
