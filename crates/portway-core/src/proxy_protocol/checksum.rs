//! CRC-32C (Castagnoli), RFC 3720 appendix B.4.

/// The polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;

#[expect(
    clippy::indexing_slicing,
    reason = "computed when this is compiled: an index beyond the table would not compile"
)]
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// The checksum of these pieces, one after the other.
pub(super) fn crc32c(pieces: &[&[u8]]) -> u32 {
    let bytes = pieces.iter().copied().flatten();
    !bytes.fold(u32::MAX, |sum, byte| {
        let index = (sum ^ u32::from(*byte)) & 0xFF;
        // The index has eight bits and the table 256 entries.
        (sum >> 8) ^ TABLE.get(index as usize).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    /// Values of RFC 3720 appendix B.4, and the customary check of the algorithm.
    #[test]
    fn known_sums() {
        for (bytes, sum) in [
            (&[0_u8; 32][..], 0x8A91_36AA),
            (&[0xFF; 32], 0x62A8_AB43),
            (b"123456789", 0xE306_9283),
            (b"", 0),
        ] {
            assert_eq!(crc32c(&[bytes]), sum);
            let (front, back) = bytes.split_at(bytes.len() / 3);
            assert_eq!(crc32c(&[front, back]), sum);
        }
    }
}
