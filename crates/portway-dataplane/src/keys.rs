//! Keys that tokens are signed with, and signatures held against them.
//!
//! A key fits the algorithms of its kind and no other, so that a token cannot choose to have a public key taken for a
//! secret. A set of keys that is fetched is filled by control; a worker that meets an unknown key asks for it again and
//! waits, and nobody asks more often than once in [`FETCH_PAUSE`]. What was fetched last stays where a fetch fails.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use portway_core::jwt::{Refusal, Token};
use portway_model::jwt::{JwtAlgorithm, KeySource};
use portway_model::span::FileId;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Keys of a set at most: more are left out. Whoever changes keys has a few.
pub const MAX_KEYS: usize = 100;
/// Keys that a token without a key's name is held against at most: each costs a signature.
pub const MAX_KEYS_TRIED: usize = 8;
/// The least time between two fetches of a set because of unknown keys: whoever sends tokens could ask for more.
pub const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// How long a request waits for keys before it is answered 503.
pub const FETCH_PATIENCE: Duration = Duration::from_secs(5);

/// A shorter RSA key in its shortest form has no 2048 bits (RFC 7518 section 3.3). Signatures of one that is longer by its
/// form alone are refused by the library.
const MIN_RSA_BYTES: usize = 264;

/// How a signature is held against a key.
enum Verifier {
    Public(ParsedPublicKey),
    Shared(Box<hmac::Key>),
}

/// A key with what it may be used for.
pub struct Key {
    /// Its name in the set; a key without one may be any.
    id: Option<Box<[u8]>>,
    verifiers: Vec<(JwtAlgorithm, Verifier)>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.verifiers.iter().map(|(it, _)| it.name());
        f.debug_list().entries(algorithms).finish()
    }
}

/// The kinds of public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2048 bits and more.
    Rsa,
    /// A point on P-256.
    P256,
    /// A point on P-384.
    P384,
    /// A point on P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

/// What a public key is made of, for [`Key::public`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// What it is.
    pub kind: KeyKind,
    /// In the form in which it came.
    pub key: &'a [u8],
    /// Its name in the set.
    pub id: Option<&'a [u8]>,
    /// The one algorithm that it is for, where its kind has several.
    pub only: Option<JwtAlgorithm>,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [KeyKind; 5] = [
        KeyKind::Rsa,
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::P521,
        KeyKind::Ed25519,
    ];

    /// Its name, as a JSON Web Key has it.
    pub const fn name(self) -> &'static str {
        match self {
            KeyKind::Rsa => "RSA",
            KeyKind::P256 => "P-256",
            KeyKind::P384 => "P-384",
            KeyKind::P521 => "P-521",
            KeyKind::Ed25519 => "Ed25519",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    const fn algorithms(self) -> &'static [JwtAlgorithm] {
        match self {
            KeyKind::Rsa => &[
                JwtAlgorithm::Rs256,
                JwtAlgorithm::Rs384,
                JwtAlgorithm::Rs512,
                JwtAlgorithm::Ps256,
                JwtAlgorithm::Ps384,
                JwtAlgorithm::Ps512,
            ],
            KeyKind::P256 => &[JwtAlgorithm::Es256],
            KeyKind::P384 => &[JwtAlgorithm::Es384],
            KeyKind::P521 => &[JwtAlgorithm::Es512],
            KeyKind::Ed25519 => &[JwtAlgorithm::EdDsa],
        }
    }
}

fn verification(algorithm: JwtAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        JwtAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        JwtAlgorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        JwtAlgorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        JwtAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        JwtAlgorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        JwtAlgorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        JwtAlgorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        JwtAlgorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        JwtAlgorithm::Es512 => &ECDSA_P521_SHA512_FIXED,
        JwtAlgorithm::EdDsa => &ED25519,
        JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512 => return None,
    })
}

impl Key {
    /// A public key: its `SubjectPublicKeyInfo`, or in short an `RSAPublicKey`, an uncompressed point, the 32 bytes of
    /// Ed25519. `only`: the one algorithm that it is for. `None`: it is no key of this kind, or not for it.
    pub fn public(
        kind: KeyKind,
        key: &[u8],
        id: Option<&[u8]>,
        only: Option<JwtAlgorithm>,
    ) -> Option<Self> {
        if kind == KeyKind::Rsa && key.len() < MIN_RSA_BYTES {
            return None;
        }
        let algorithms = kind.algorithms().iter().copied();
        let wanted = algorithms.filter(|it| only.is_none_or(|only| only == *it));
        let mut verifiers = Vec::new();
        for algorithm in wanted {
            let parsed = ParsedPublicKey::new(verification(algorithm)?, key).ok()?;
            verifiers.push((algorithm, Verifier::Public(parsed)));
        }
        let id = id.map(Into::into);
        (!verifiers.is_empty()).then_some(Self { id, verifiers })
    }

    /// A public key of whatever kind, in a `SubjectPublicKeyInfo`, or an `RSAPublicKey`.
    pub fn of_any_kind(key: &[u8]) -> Option<Self> {
        let mut kinds = KeyKind::ALL.into_iter();
        kinds.find_map(|kind| Self::public(kind, key, None, None))
    }

    /// A secret that both sides have; it is as long as one of these algorithms demands it (RFC 7518 section 3.2).
    pub fn secret(secret: &[u8], algorithms: &[JwtAlgorithm]) -> Option<Self> {
        let kind = |algorithm: JwtAlgorithm| {
            Some(match algorithm {
                JwtAlgorithm::Hs256 => hmac::HMAC_SHA256,
                JwtAlgorithm::Hs384 => hmac::HMAC_SHA384,
                JwtAlgorithm::Hs512 => hmac::HMAC_SHA512,
                _ => return None,
            })
        };
        let long = algorithms
            .iter()
            .filter(|it| secret.len() >= it.secret_bytes());
        let verifier = |it: &JwtAlgorithm| {
            let key = hmac::Key::new(kind(*it)?, secret);
            Some((*it, Verifier::Shared(Box::new(key))))
        };
        let verifiers: Vec<_> = long.filter_map(verifier).collect();
        (!verifiers.is_empty()).then_some(Self {
            id: None,
            verifiers,
        })
    }

    /// What it is made of; `None`: it is a secret, and stays where it is.
    pub fn made_of(&self) -> Option<PublicKey<'_>> {
        let (algorithm, verifier) = self.verifiers.first()?;
        let Verifier::Public(key) = verifier else {
            return None;
        };
        let mut kinds = KeyKind::ALL.into_iter();
        let kind = kinds.find(|it| it.algorithms().contains(algorithm))?;
        let is_for_all = self.verifiers.len() == kind.algorithms().len();
        Some(PublicKey {
            kind,
            key: key.as_ref(),
            id: self.id.as_deref(),
            only: (!is_for_all).then_some(*algorithm),
        })
    }

    fn verifier(&self, algorithm: JwtAlgorithm) -> Option<&Verifier> {
        let mut verifiers = self.verifiers.iter();
        verifiers.find(|(it, _)| *it == algorithm).map(|(_, it)| it)
    }
}

impl Verifier {
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Public(key) => key.verify_sig(signed, signature).is_ok(),
            Verifier::Shared(key) => hmac::verify(key, signed, signature).is_ok(),
        }
    }
}

/// Keys that count at one time.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// These, as far as there is room.
    pub fn new(mut keys: Vec<Key>) -> Self {
        keys.truncate(MAX_KEYS);
        Self(keys)
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Key> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a token was signed with one of them, in the way that it says.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] where there is none that it could have been signed with, [`Refusal::Signature`] where it was not.
    pub fn verify(&self, token: &Token<'_>, algorithm: JwtAlgorithm) -> Result<(), Refusal> {
        let id = token.key_id();
        let is_meant = |key: &&Key| match (&id, &key.id) {
            (Some(wanted), Some(id)) => **wanted == **id,
            _ => true,
        };
        let fitting = self.0.iter().filter(is_meant);
        let mut why = Refusal::UnknownKey;
        for verifier in fitting
            .filter_map(|key| key.verifier(algorithm))
            .take(MAX_KEYS_TRIED)
        {
            if verifier.verifies(token.signed, &token.signature) {
                return Ok(());
            }
            why = Refusal::Signature;
        }
        Err(why)
    }
}

/// What is known of a set at one time.
#[derive(Debug, Clone, Default)]
struct Known {
    keys: Option<Arc<Keys>>,
    /// When a fetch last ended, whatever it gave.
    tried: Option<Instant>,
}

/// A set of keys, which may change while Portway runs.
#[derive(Debug)]
pub struct KeySet {
    known: watch::Sender<Known>,
    /// Rung where keys are asked for, and where nobody has the set any more.
    bell: Arc<Notify>,
    is_fetched: bool,
    /// Somebody fetches it.
    watched: AtomicBool,
}

impl KeySet {
    /// Keys that stay as they are.
    pub fn fixed(keys: Keys) -> Self {
        let mut set = Self::fetched();
        set.is_fetched = false;
        set.put(Some(keys));
        set
    }

    /// Keys that are still to be fetched.
    pub fn fetched() -> Self {
        Self {
            known: watch::Sender::default(),
            bell: Arc::default(),
            is_fetched: true,
            watched: AtomicBool::new(false),
        }
    }

    /// True once: whoever asks first fetches it from then on.
    pub fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::Relaxed)
    }

    /// True for keys that are fetched.
    pub fn is_fetched(&self) -> bool {
        self.is_fetched
    }

    /// A fetch has ended: with these keys, or without any, and those that were there stay.
    pub fn put(&self, keys: Option<Keys>) {
        self.known.send_modify(|known| {
            if let Some(keys) = keys {
                known.keys = Some(Arc::new(keys));
            }
            known.tried = Some(Instant::now());
        });
    }

    /// These count until a fetch has ended.
    pub fn take_over(&self, keys: Arc<Keys>) {
        self.known.send_modify(|known| known.keys = Some(keys));
    }

    /// What rings where keys are asked for, or nobody has the set any more.
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// The keys that count now; `None`: there have not been any yet.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.known.borrow().keys.clone()
    }

    /// True where it may be asked for again.
    pub fn may_be_asked_for(&self) -> bool {
        let tried = self.known.borrow().tried;
        self.is_fetched && tried.is_none_or(|tried| tried.elapsed() >= FETCH_PAUSE)
    }

    /// Asks, and waits until the fetch has ended.
    pub(crate) async fn next(&self) {
        let mut known = self.known.subscribe();
        let before = known.borrow_and_update().tried;
        self.bell.notify_one();
        // The sender is here.
        let _ = known.wait_for(|known| known.tried != before).await;
    }
}

impl Drop for KeySet {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

/// The sets of a configuration: by the file that speaks of them, and what it says.
#[derive(Debug, Default)]
pub struct KeySets {
    /// Those of rules.
    of_rules: HashMap<(FileId, KeySource), Arc<KeySet>>,
    /// Those of values, by their file.
    of_values: HashMap<Box<[u8]>, Vec<Key>>,
}

impl KeySets {
    /// Adds a set.
    pub fn add(&mut self, source: FileId, keys: KeySource, set: Arc<KeySet>) {
        self.of_rules.insert((source, keys), set);
    }

    /// Adds public keys that values name by their file.
    pub fn add_file(&mut self, file: &str, keys: Vec<Key>) {
        self.of_values.insert(file.as_bytes().into(), keys);
    }

    /// Whether a signature is of one of the keys in a file; `None`: there is no such file.
    pub(crate) fn verifies(
        &self,
        algorithm: JwtAlgorithm,
        file: &[u8],
        signed: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let keys = self.of_values.get(file)?;
        let mut verifiers = keys.iter().filter_map(|key| key.verifier(algorithm));
        Some(verifiers.any(|verifier| verifier.verifies(signed, signature)))
    }

    /// The set that a rule in this file means.
    pub fn of(&self, source: FileId, keys: &KeySource) -> Option<&Arc<KeySet>> {
        // Few rules ask, and checking a signature costs a hundred times as much as this copy.
        self.of_rules.get(&(source, keys.clone()))
    }

    /// The set that is fetched so, whoever speaks of it.
    pub fn fetched_as(&self, keys: &KeySource) -> Option<&Arc<KeySet>> {
        let mut sets = self.of_rules.iter();
        sets.find(|((_, it), set)| it == keys && set.is_fetched)
            .map(|(_, set)| set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding, RsaKeyPair,
    };
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// Who signs, and the key that verifies.
    type Signer = Box<dyn Fn(&[u8]) -> Vec<u8>>;

    fn token(algorithm: &str, id: Option<&str>, signer: &Signer) -> String {
        let id = id.map_or_else(String::new, |id| format!(r#","kid":"{id}""#));
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}"{id}}}"#));
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode("{}"));
        let signature = URL_SAFE_NO_PAD.encode(signer(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn signers() -> Vec<(JwtAlgorithm, Signer, Key)> {
        let mut all: Vec<(JwtAlgorithm, Signer, Key)> = Vec::new();
        let rsa = Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        let paddings: [(JwtAlgorithm, &'static dyn RsaEncoding); 6] = [
            (JwtAlgorithm::Rs256, &RSA_PKCS1_SHA256),
            (JwtAlgorithm::Rs384, &RSA_PKCS1_SHA384),
            (JwtAlgorithm::Rs512, &RSA_PKCS1_SHA512),
            (JwtAlgorithm::Ps256, &RSA_PSS_SHA256),
            (JwtAlgorithm::Ps384, &RSA_PSS_SHA384),
            (JwtAlgorithm::Ps512, &RSA_PSS_SHA512),
        ];
        for (algorithm, padding) in paddings {
            let key = Key::public(KeyKind::Rsa, rsa.public_key().as_ref(), None, None).unwrap();
            let rsa = rsa.clone();
            let sign = move |text: &[u8]| {
                let mut signature = vec![0; rsa.public_modulus_len()];
                rsa.sign(padding, &SystemRandom::new(), text, &mut signature)
                    .unwrap();
                signature
            };
            all.push((algorithm, Box::new(sign), key));
        }
        let curves = [
            (
                JwtAlgorithm::Es256,
                KeyKind::P256,
                &ECDSA_P256_SHA256_FIXED_SIGNING,
            ),
            (
                JwtAlgorithm::Es384,
                KeyKind::P384,
                &ECDSA_P384_SHA384_FIXED_SIGNING,
            ),
            (
                JwtAlgorithm::Es512,
                KeyKind::P521,
                &ECDSA_P521_SHA512_FIXED_SIGNING,
            ),
        ];
        for (algorithm, kind, curve) in curves {
            let pair = EcdsaKeyPair::generate(curve).unwrap();
            let key = Key::public(kind, pair.public_key().as_ref(), None, None).unwrap();
            let sign = move |text: &[u8]| {
                let signature = pair.sign(&SystemRandom::new(), text).unwrap();
                signature.as_ref().to_vec()
            };
            all.push((algorithm, Box::new(sign), key));
        }
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = Key::public(KeyKind::Ed25519, pair.public_key().as_ref(), None, None).unwrap();
        let sign = move |text: &[u8]| pair.sign(text).as_ref().to_vec();
        all.push((JwtAlgorithm::EdDsa, Box::new(sign), key));
        let hashes = [
            (JwtAlgorithm::Hs256, hmac::HMAC_SHA256),
            (JwtAlgorithm::Hs384, hmac::HMAC_SHA384),
            (JwtAlgorithm::Hs512, hmac::HMAC_SHA512),
        ];
        for (algorithm, hash) in hashes {
            let secret = [7; 64];
            let key = Key::secret(&secret, &[algorithm]).unwrap();
            let sign = move |text: &[u8]| {
                let key = hmac::Key::new(hash, &secret);
                hmac::sign(&key, text).as_ref().to_vec()
            };
            all.push((algorithm, Box::new(sign), key));
        }
        all
    }

    #[test]
    fn a_key_fits_its_own_algorithms_only() {
        let all = signers();
        assert_eq!(all.len(), JwtAlgorithm::ALL.len());
        let pads = |a: JwtAlgorithm, b: JwtAlgorithm| {
            let kind = KeyKind::Rsa.algorithms();
            kind.contains(&a) && kind.contains(&b)
        };
        for (signed, signer, _) in &all {
            for said in JwtAlgorithm::ALL {
                let text = token(said.name(), None, signer);
                let token = Token::parse(text.as_bytes()).unwrap();
                for (own, _, key) in &all {
                    let keys = [key];
                    let found = keys[0]
                        .verifier(said)
                        .map(|it| it.verifies(token.signed, &token.signature));
                    let expected = match (own == &said || pads(*own, said), signed == &said) {
                        (false, _) => None,
                        (true, right) => Some(right && (own == signed || pads(*own, *signed))),
                    };
                    assert_eq!(
                        found, expected,
                        "{signed:?} as {said:?} by a key of {own:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_public_key_is_no_secret() {
        // Who has the public key signs with its bytes.
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let key = Key::public(KeyKind::Rsa, &public, None, None).unwrap();
        let sign = move |text: &[u8]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
            hmac::sign(&key, text).as_ref().to_vec()
        };
        let text = token("HS256", None, &(Box::new(sign) as Signer));
        let token = Token::parse(text.as_bytes()).unwrap();
        let keys = Keys::new(vec![key]);
        for algorithm in JwtAlgorithm::ALL {
            assert!(keys.verify(&token, algorithm).is_err(), "{algorithm:?}");
        }
    }

    #[test]
    fn keys_by_name() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let other = Ed25519KeyPair::generate().unwrap();
        let key = |pair: &Ed25519KeyPair, id: Option<&str>| {
            let id = id.map(str::as_bytes);
            Key::public(KeyKind::Ed25519, pair.public_key().as_ref(), id, None).unwrap()
        };
        let keys = vec![
            key(&other, Some("a")),
            key(&pair, Some("b")),
            key(&other, None),
        ];
        let keys = Keys::new(keys);
        let sign: Signer = Box::new(move |text: &[u8]| pair.sign(text).as_ref().to_vec());
        let check = |id: Option<&str>, keys: &Keys, expected: Result<(), Refusal>| {
            let text = token("EdDSA", id, &sign);
            let token = Token::parse(text.as_bytes()).unwrap();
            assert_eq!(keys.verify(&token, JwtAlgorithm::EdDsa), expected, "{id:?}");
        };
        check(Some("b"), &keys, Ok(()));
        check(None, &keys, Ok(()));
        check(Some("a"), &keys, Err(Refusal::Signature));
        check(Some("c"), &keys, Err(Refusal::Signature));
        check(
            Some("c"),
            &Keys::new(vec![key(&other, Some("a"))]),
            Err(Refusal::UnknownKey),
        );
        check(None, &Keys::default(), Err(Refusal::UnknownKey));
        let many = (0..20).map(|_| key(&other, None)).collect();
        check(None, &Keys::new(many), Err(Refusal::Signature));
    }

    #[test]
    fn short_secrets_are_none() {
        use JwtAlgorithm::{Hs256, Hs512};
        assert!(Key::secret(&[1; 31], &[Hs256, Hs512]).is_none());
        let key = Key::secret(&[1; 32], &[Hs256, Hs512]).unwrap();
        assert!(key.verifier(Hs256).is_some() && key.verifier(Hs512).is_none());
    }
}
