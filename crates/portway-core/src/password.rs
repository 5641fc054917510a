//! Whether a password is the right one: against itself, or against what crypt(3) made of it.
//!
//! A hash costs what it was made to cost, some milliseconds as a rule; who asks often remembers the answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use portway_model::settings::Password;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha1::Sha1;
use sha2::Sha256;

/// The alphabet of crypt(3).
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Rounds of the MD5 kind; they were never meant to be changed.
const MD5_ROUNDS: usize = 1000;

/// Whether `given` is the password. Takes as long for a wrong one as for the right one.
pub fn is_right(password: &Password, given: &[u8]) -> bool {
    match password {
        Password::Plain(plain) => same(plain.as_bytes(), given),
        Password::Crypt(hash) => match hash.as_bytes() {
            [b'$', b'5' | b'6', b'$', ..] => ShaCrypt::default()
                .verify_password(given, hash.as_str())
                .is_ok(),
            [b'$', b'2', b'a' | b'b' | b'y', b'$', ..] => {
                bcrypt::verify(given, hash).unwrap_or(false)
            }
            [b'$', b'1', b'$', ..] => {
                let made = md5_crypt("$1$", hash, given);
                made.is_some_and(|made| same(made.as_bytes(), hash.as_bytes()))
            }
            [b'$', b'a', b'p', b'r', b'1', b'$', ..] => {
                let made = md5_crypt("$apr1$", hash, given);
                made.is_some_and(|made| same(made.as_bytes(), hash.as_bytes()))
            }
            [b'{', b'S', b'H', b'A', b'}', digest @ ..] => same(sha1(given).as_bytes(), digest),
            _ => false,
        },
    }
}

/// Whether finding out takes as long as the hash was made to take.
pub fn takes_long(password: &Password) -> bool {
    match password {
        Password::Plain(_) => false,
        Password::Crypt(hash) => !hash.starts_with("{SHA}"),
    }
}

/// Whether passwords can be held against this hash at all.
pub fn is_known(hash: &str) -> bool {
    let kinds = [
        "$1$", "$5$", "$6$", "$2a$", "$2b$", "$2y$", "$apr1$", "{SHA}",
    ];
    kinds.iter().any(|kind| hash.starts_with(kind))
}

/// SHA-256 of a password or its hash with other texts, for an answer to be found again by. Each text counts with its
/// length.
pub fn fingerprint<'p>(
    password: &'p Password,
    with: impl IntoIterator<Item = &'p [u8]>,
) -> [u8; 32] {
    let (Password::Plain(text) | Password::Crypt(text)) = password;
    let mut digest = Sha256::new();
    for part in std::iter::once(text.as_bytes()).chain(with) {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
fn same(left: &[u8], right: &[u8]) -> bool {
    crate::evaluate::same_secret(left, right)
}

/// What htpasswd's SHA-1 kind makes of a password: Base64 of its digest.
fn sha1(password: &[u8]) -> String {
    STANDARD.encode(Sha1::digest(password))
}

/// What the MD5 kind of crypt(3), or Apache's (`$apr1$`), makes of a password, with the salt of `hash`.
fn md5_crypt(kind: &str, hash: &str, password: &[u8]) -> Option<String> {
    let salt = hash.strip_prefix(kind)?.split('$').next()?;
    let salt = salt.get(..8).unwrap_or(salt);
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut outer = Md5::new()
        .chain_update(password)
        .chain_update(kind)
        .chain_update(salt);
    for (index, _) in password.iter().enumerate() {
        outer.update([*inner.get(index % 16)?]);
    }
    let mut length = password.len();
    while length > 0 {
        match length & 1 {
            1 => outer.update([0]),
            _ => outer.update(password.get(..1)?),
        }
        length >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..MD5_ROUNDS {
        let mut next = Md5::new();
        match round % 2 {
            1 => next.update(password),
            _ => next.update(digest),
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        match round % 2 {
            1 => next.update(digest),
            _ => next.update(password),
        }
        digest = next.finalize();
    }
    let mut made = format!("{kind}{salt}$");
    let groups = [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)];
    for (high, middle, low) in groups {
        let byte = |at: usize| digest.get(at).copied().map(u32::from);
        letters(
            byte(high)? << 16 | byte(middle)? << 8 | byte(low)?,
            4,
            &mut made,
        );
    }
    letters(u32::from(*digest.get(11)?), 2, &mut made);
    Some(made)
}

/// So many letters of six bits each, the lowest first.
fn letters(mut bits: u32, count: usize, out: &mut String) {
    for _ in 0..count {
        let letter = ALPHABET
            .get((bits & 0x3f) as usize)
            .copied()
            .unwrap_or(b'.');
        out.push(char::from(letter));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl passwd` and Python's crypt.
    #[test]
    fn hashes_of_other_programs() {
        for hash in [
            "$6$abc$34O8oRzThM7onc3iRQAcdWBv2H/sMGJlnsnG6uIkasTEvQkG9apXR/oBhPpqIepkul8wg.bf4wxoel67eJND./",
            "$5$abc$W6SISEcmf6GfVdGFK0lGBXz2NPDhGZ.FBBMOz418YA7",
            "$1$abc$jWy0FsfCoVBK.I85XpXf30",
            "$2b$05$aaaaaaaaaaaaaaaaaaaaaOUaxmGswMzF9C2I/DX6trTmZY8244WgW",
            "$apr1$abcdefgh$cy3DSYyOwfhsyu7QOMQzd.",
            "{SHA}qvTGHdzF6KLavt4PO0gs2a6pQ00=",
        ] {
            let password = Password::Crypt(hash.to_owned());
            assert!(is_known(hash) && is_right(&password, b"hello"), "{hash}");
            assert!(
                !is_right(&password, b"hellO") && !is_right(&password, b""),
                "{hash}"
            );
        }
        for hash in ["abl0JrMf6tlhw", "$y$j9T$x$y", "", "$6$"] {
            assert!(
                !is_right(&Password::Crypt(hash.to_owned()), b"hello"),
                "{hash}"
            );
        }
        let plain = Password::Plain("hello".to_owned());
        assert!(is_right(&plain, b"hello") && !is_right(&plain, b"hell"));
    }
}
