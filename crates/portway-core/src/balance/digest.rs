//! From bytes to numbers, bit by bit as HAProxy does it.

use std::net::IpAddr;

/// How bytes become a number of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// sdbm.
    Sdbm,
    /// Bernstein's, times 33.
    Djb2,
    /// wt6.
    Wt6,
    /// CRC-32 of Ethernet.
    Crc32,
}

/// A value as a number, mixed once more where `avalanche` says so.
pub fn digest(bytes: &[u8], how: Digest, avalanche: bool) -> u32 {
    let hash = match how {
        Digest::Sdbm => bytes.iter().fold(0_u32, |hash, byte| {
            u32::from(*byte)
                .wrapping_add(hash << 6)
                .wrapping_add(hash << 16)
                .wrapping_sub(hash)
        }),
        Digest::Djb2 => bytes.iter().fold(5381_u32, |hash, byte| {
            hash.wrapping_mul(33).wrapping_add(u32::from(*byte))
        }),
        Digest::Wt6 => wt6(bytes),
        Digest::Crc32 => crc32(bytes),
    };
    if avalanche {
        full_avalanche(hash)
    } else {
        hash
    }
}

/// An address as a number: its words of 32 bits, each over the other. An IPv4 address written as IPv6 counts as such.
pub fn digest_address(address: IpAddr, avalanche: bool) -> u32 {
    let hash = match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            ((bits >> 96) ^ (bits >> 64) ^ (bits >> 32) ^ bits) as u32
        }
    };
    if avalanche {
        full_avalanche(hash)
    } else {
        hash
    }
}

fn wt6(bytes: &[u8]) -> u32 {
    let (mut h0, mut h1) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut step0, mut step1) = (6_u32, 18_u32);
    for byte in bytes {
        let byte = u32::from(*byte);
        h0 = !(h0 ^ byte);
        h1 = !h1.wrapping_add(byte);
        let turned = h1.rotate_left(step0);
        h1 = h0.rotate_left(step1);
        h0 = turned;
        let steps = ((h0 >> 16) ^ h1) & 0xffff;
        (step0, step1) = (steps & 0x1f, steps >> 11);
    }
    h0 ^ h1
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut hash = u32::MAX;
    for byte in bytes {
        hash ^= u32::from(*byte);
        for _ in 0..8 {
            let low = hash & 1;
            hash >>= 1;
            if low == 1 {
                hash ^= 0xedb8_8320;
            }
        }
    }
    !hash
}

/// Bob Jenkins' full avalanche of an integer, spread by a large prime.
pub fn full_avalanche(mut a: u32) -> u32 {
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}
