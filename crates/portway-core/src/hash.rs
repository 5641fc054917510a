//! The hash functions of HAProxy: for its converters and for its ways of choosing a server, with equal results.
//!
//! None of them is a secret or withstands an attacker.

use portway_model::expression::{HashKind, Hashing};

/// The hash of `bytes`. The functions of 64 bits fill all of them; read as signed where a sign exists.
pub fn hash(hashing: Hashing, bytes: &[u8]) -> u64 {
    let spread = |hash: u32| {
        u64::from(if hashing.seed == 1 {
            avalanche(hash)
        } else {
            hash
        })
    };
    match hashing.function {
        HashKind::Crc32 => spread(crc32fast::hash(bytes)),
        HashKind::Crc32c => spread(crc32c(bytes)),
        HashKind::Djb2 => spread(djb2(bytes)),
        HashKind::Sdbm => spread(sdbm(bytes)),
        HashKind::Wt6 => spread(wt6(bytes)),
        // A seed of 32 bits: the lower half is the whole of it.
        HashKind::Xxh32 => u64::from(xxhash_rust::xxh32::xxh32(bytes, hashing.seed as u32)),
        HashKind::Xxh64 => xxhash_rust::xxh64::xxh64(bytes, hashing.seed),
        HashKind::Xxh3 => xxhash_rust::xxh3::xxh3_64_with_seed(bytes, hashing.seed),
    }
}

/// The function of sdbm.
pub fn sdbm(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0_u32, |hash, byte| {
        u32::from(*byte)
            .wrapping_add(hash << 6)
            .wrapping_add(hash << 16)
            .wrapping_sub(hash)
    })
}

/// Bernstein's function.
pub fn djb2(bytes: &[u8]) -> u32 {
    bytes.iter().fold(5381_u32, |hash, byte| {
        (hash << 5)
            .wrapping_add(hash)
            .wrapping_add(u32::from(*byte))
    })
}

/// HAProxy's own function: two halves that turn each other.
pub fn wt6(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut left, mut right) = (6, 18);
    for byte in bytes {
        let byte = u32::from(*byte);
        low = !(low ^ byte);
        high = !high.wrapping_add(byte);
        let turned = high.rotate_left(left);
        high = low.rotate_left(right);
        low = turned;
        let mixed = ((low >> 16) ^ high) & 0xffff;
        left = mixed & 0x1f;
        right = mixed >> 11;
    }
    low ^ high
}

/// Bob Jenkins' mixing of all bits, and the last multiplication that HAProxy adds.
pub fn avalanche(hash: u32) -> u32 {
    let mut a = hash;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
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
        assert_eq!(
            hash(
                Hashing {
                    function: HashKind::Sdbm,
                    seed: 1
                },
                b""
            ),
            u64::from(avalanche(0))
        );
    }
}
