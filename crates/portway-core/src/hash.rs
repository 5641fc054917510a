//! The hash functions of HAProxy: for its converters and for its ways of choosing a server, with equal results.
//!
//! None of them is a secret or withstands an attacker.

use crate::balance::{Digest, digest, mixed};
use portway_model::expression::{HashKind, Hashing};
use twox_hash::{XxHash3_64, XxHash32, XxHash64};

/// The hash of `bytes`. The functions of 64 bits fill all of them; read as signed where a sign exists.
pub fn hash(hashing: Hashing, bytes: &[u8]) -> u64 {
    let Hashing { function, seed } = hashing;
    let spread = seed == 1;
    let of = |how| u64::from(digest(bytes, how, spread));
    match function {
        HashKind::Crc32 => of(Digest::Crc32),
        HashKind::Crc32c if spread => u64::from(mixed(crc32c(bytes))),
        HashKind::Crc32c => u64::from(crc32c(bytes)),
        HashKind::Djb2 => of(Digest::Djb2),
        HashKind::Sdbm => of(Digest::Sdbm),
        HashKind::Wt6 => of(Digest::Wt6),
        // A seed of 32 bits: the lower half is the whole of it.
        HashKind::Xxh32 => u64::from(XxHash32::oneshot(seed as u32, bytes)),
        HashKind::Xxh64 => XxHash64::oneshot(seed, bytes),
        HashKind::Xxh3 => XxHash3_64::oneshot_with_seed(seed, bytes),
    }
}

/// CRC-32C (RFC 4960, appendix B), bit by bit: nothing that is hashed here is long.
fn crc32c(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
            (sum >> 1) ^ carry
        })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from HAProxy 2.6: `str(hello),crc32` and so on.
    #[test]
    fn as_haproxy_computes_them() {
        for (function, seed, expected) in [
            (HashKind::Crc32, 0, 907_060_870_i64),
            (HashKind::Crc32, 1, 3_902_247_103),
            (HashKind::Crc32c, 0, 2_591_144_780),
            (HashKind::Crc32c, 1, 2_290_590_055),
            (HashKind::Djb2, 0, 261_238_937),
            (HashKind::Djb2, 1, 1_119_739_105),
            (HashKind::Sdbm, 0, 684_824_882),
            (HashKind::Sdbm, 1, 2_061_535_398),
            (HashKind::Wt6, 0, 3_538_347_703),
            (HashKind::Wt6, 1, 140_457_739),
            (HashKind::Xxh32, 0, 4_211_111_929),
            (HashKind::Xxh32, 5, 3_191_799_670),
            (HashKind::Xxh64, 0, 2_794_345_569_481_354_659),
            (HashKind::Xxh64, 5, 5_588_056_476_589_539_108),
            (HashKind::Xxh3, 0, -7_685_981_735_718_036_227),
            (HashKind::Xxh3, 5, -5_040_988_036_188_159_185),
        ] {
            let found = hash(Hashing { function, seed }, b"hello").cast_signed();
            assert_eq!(found, expected, "{function:?} {seed}");
        }
    }
}
