//! The fixed hash behind source affinity.
//!
//! It is part of behaviour: two Portway nodes, and one node before and after an upgrade, must send an address to the same
//! target. So it is ours, has no seed, and a test holds known values. It is not meant to withstand somebody who
//! chooses addresses: whoever can choose a source address may choose a target.
//!
//! `mix` is the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014;
//! constants of Stafford's variant 13): every input bit flips every output bit with probability close to one half.

use std::net::IpAddr;

/// 2^64 divided by the golden ratio: keeps 0 from being a fixed point.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hash of an address: its 4 or 16 bytes in network order as one or two integers, mixed. An IPv4 address written as IPv6
/// (`::ffff:192.0.2.1`) hashes like the IPv4 address, so that a dual-stack listener changes nothing.
pub fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(v4.to_bits()).wrapping_add(GOLDEN)),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let high = mix(((bits >> 64) as u64).wrapping_add(GOLDEN));
            mix(high ^ (bits as u64))
        }
    }
}

/// Hash of a name: FNV-1a over its bytes, mixed. For identities of targets, computed once.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv.wrapping_add(GOLDEN))
}

/// How much `key` wants the target `identity`: uniform over 64 bits and independent for each pair.
pub(super) fn affinity(key: u64, identity: u64) -> u64 {
    mix(key ^ identity.rotate_left(32))
}

/// How much `key` wants what has this identity and weight: the highest of several wins, each with probability weight /
/// total, whatever else is in the list (weighted rendezvous hashing: Thaler and Ravishankar 1998; the score after
/// Schindelhauer and Schomaker 2005).
pub fn rendezvous_score(key: u64, identity: u64, weight: u32) -> f64 {
    // 52 bits moved by half a step fit into the 53 of an f64, so they are never 0 and never 1, and the
    // logarithm is finite and not 0.
    let uniform = ((affinity(key, identity) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    f64::from(weight) / -uniform.ln()
}

/// A number in `0..bound` from 64 random bits (Lemire's multiplication; bias below bound / 2^64).
pub(super) fn draw(chance: u64, bound: u64) -> u64 {
    ((u128::from(chance) * u128::from(bound)) >> 64) as u64
}

/// One round of SplitMix64's finaliser.
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_never_change() {
        let check = |address: &str, expected: u64| {
            let address: IpAddr = address.parse().expect("address");
            assert_eq!(
                hash_address(address),
                expected,
                "{address}: {:#x}",
                hash_address(address)
            );
        };
        check("192.0.2.1", 0x95e7_f1e4_1fea_861c);
        check("::ffff:192.0.2.1", 0x95e7_f1e4_1fea_861c);
        check("192.0.2.2", 0xf9eb_b4f7_e09f_0c94);
        check("2001:db8::1", 0x504b_8dce_1c93_8e43);
        check("::", 0x4821_8226_ff3c_d4bf);
        assert_eq!(hash_bytes(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(hash_bytes(b"web1"), 0x3af2_1974_cf71_9acf);
    }

    #[test]
    fn draw_stays_within_its_bound() {
        for bound in [1, 2, 3, 7, 1000] {
            assert_eq!(draw(0, bound), 0);
            assert_eq!(draw(u64::MAX, bound), bound - 1);
        }
        assert_eq!(draw(u64::MAX, 0), 0);
    }
}
