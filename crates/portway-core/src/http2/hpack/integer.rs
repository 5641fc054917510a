//! Integers with a prefix (RFC 7541 section 5.1).

use super::Fault;

/// The largest number that is read: no length or index of ours comes near it.
const MOST: u32 = 1 << 24;

/// Reads a number whose first `prefix` bits (1 to 8) are the low ones of the first byte. Gives it and what follows.
#[inline]
pub(super) fn read(bytes: &[u8], prefix: u32) -> Result<(usize, &[u8]), Fault> {
    let (first, mut rest) = bytes.split_first().ok_or(Fault::Truncated)?;
    let full = (1_u32 << prefix) - 1;
    let mut number = u32::from(*first) & full;
    if number < full {
        return Ok((number as usize, rest));
    }
    let mut shift = 0;
    loop {
        let (byte, behind) = rest.split_first().ok_or(Fault::Truncated)?;
        rest = behind;
        if shift > 21 {
            return Err(Fault::Number);
        }
        number += u32::from(byte & 0x7F) << shift;
        if number > MOST {
            return Err(Fault::Number);
        }
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok((number as usize, rest));
        }
    }
}

/// Writes a number behind `pattern`, the bits of the first byte above the prefix.
#[inline]
pub(super) fn write(number: usize, prefix: u32, pattern: u8, out: &mut Vec<u8>) {
    let full = (1_usize << prefix) - 1;
    if number < full {
        out.push(pattern | number as u8);
        return;
    }
    out.push(pattern | full as u8);
    let mut rest = number - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
