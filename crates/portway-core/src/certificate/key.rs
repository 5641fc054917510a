//! The key of a certificate as the PROXY protocol tells it: `RSA2048`, `EC256`.

use super::Certificate;
use crate::der::{Der, Tag};

/// A type of key by its object identifier.
const RSA: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 1];
const ELLIPTIC: &[u8] = &[42, 134, 72, 206, 61, 2, 1];

/// Curves by object identifier, with the bits of their keys.
const CURVES: &[(&[u8], u16)] = &[
    (&[42, 134, 72, 206, 61, 3, 1, 1], 192),
    (&[43, 129, 4, 0, 33], 224),
    (&[42, 134, 72, 206, 61, 3, 1, 7], 256),
    (&[43, 129, 4, 0, 10], 256),
    (&[43, 129, 4, 0, 34], 384),
    (&[43, 129, 4, 0, 35], 521),
];

impl Certificate<'_> {
    /// The kind of its key and the number of its bits, `RSA2048` or `EC256`; `None` for keys of other kinds.
    pub fn key_with_bits(&self) -> Option<String> {
        let mut key = Der(self.public_key);
        let mut algorithm = Der(key.take(Tag::SEQUENCE)?);
        match algorithm.take(Tag::OBJECT)? {
            RSA => {
                // A byte says how many bits of the last one are none of it: 0 in DER of this kind.
                let [0, key @ ..] = key.take(Tag::BIT_STRING)? else {
                    return None;
                };
                let modulus = Der(Der(key).take(Tag::SEQUENCE)?).take(Tag::INTEGER)?;
                let first = modulus.iter().position(|byte| *byte != 0)?;
                let bits = modulus.get(first..)?;
                let unused = bits.first()?.leading_zeros() as usize;
                Some(format!("RSA{}", bits.len() * 8 - unused))
            }
            ELLIPTIC => {
                let curve = algorithm.take(Tag::OBJECT)?;
                let (_, bits) = CURVES.iter().find(|(known, _)| *known == curve)?;
                Some(format!("EC{bits}"))
            }
            _ => None,
        }
    }
}
