//! The coding of strings (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: symbols of the same length have codes that follow each other, in the order of the symbols, and longer
//! codes are larger. So the lengths say it all. Codes of up to eight bits, which is what names and values are made of, are found
//! in a table by the next eight bits; longer ones by a search for their length.

use super::Fault;

/// Bits of the code of each byte, and of the end of a string, which never stands in one.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
/// The symbol that is the end of a string.
const EOS: u16 = 256;
/// The longest code.
const LONGEST: usize = 30;
/// Bits by which the first table is asked.
const QUICK_BITS: u32 = 8;

struct Code {
    /// By the next eight bits: the byte, and the bits of its code; 0 bits: the code is longer.
    quick: [(u8, u8); 1 << QUICK_BITS],
    /// By length: what a window of 32 bits is below where it begins with a code of at most that length.
    below: [u64; LONGEST + 1],
    /// By length: its first code.
    first: [u32; LONGEST + 1],
    /// By length: where its symbols stand in `symbols`.
    at: [u16; LONGEST + 1],
    /// All symbols by the length of their code, then by themselves.
    symbols: [u16; 257],
}

static CODE: Code = code();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated while compiling: an index out of range does not compile"
)]
const fn code() -> Code {
    let mut code = Code {
        quick: [(0, 0); 1 << QUICK_BITS],
        below: [0; LONGEST + 1],
        first: [0; LONGEST + 1],
        at: [0; LONGEST + 1],
        symbols: [0; 257],
    };
    let (mut next, mut length, mut found) = (0_u32, 1, 0);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.at[length] = found as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.symbols[found] = symbol as u16;
                found += 1;
                if length <= QUICK_BITS as usize {
                    let free = QUICK_BITS as usize - length;
                    let mut low = 0;
                    while low < 1 << free {
                        code.quick[((next as usize) << free) + low] = (symbol as u8, length as u8);
                        low += 1;
                    }
                }
                next += 1;
            }
            symbol += 1;
        }
        code.below[length] = (next as u64) << (32 - length);
        length += 1;
    }
    code
}

/// The symbol that a window begins with, and the bits of its code.
#[inline]
fn symbol(window: u32) -> (u16, u32) {
    let quick = CODE.quick.get((window >> (32 - QUICK_BITS)) as usize);
    match quick {
        Some((byte, bits)) if *bits > 0 => (u16::from(*byte), u32::from(*bits)),
        _ => long_symbol(window),
    }
}

fn long_symbol(window: u32) -> (u16, u32) {
    let begins = |length: &usize| {
        let below = CODE.below.get(*length).copied();
        below.is_some_and(|below| u64::from(window) < below)
    };
    let length = (QUICK_BITS as usize + 1..LONGEST)
        .find(begins)
        .unwrap_or(LONGEST);
    let code = window >> (32 - length);
    let found = CODE.first.get(length).zip(CODE.at.get(length));
    let symbol = found.and_then(|(first, at)| {
        let place = usize::from(*at) + code.wrapping_sub(*first) as usize;
        CODE.symbols.get(place).copied()
    });
    (symbol.unwrap_or(EOS), length as u32)
}

/// Decodes a string and appends it to `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    // No code is shorter than five bits.
    out.reserve(coded.len() * 8 / 5);
    // Bits that are there stand at the top; below them are ones, as padding is.
    let (mut window, mut there) = (u64::MAX, 0_u32);
    let mut rest = coded;
    loop {
        while there <= 56
            && let Some((byte, behind)) = rest.split_first()
        {
            let at = 56 - there;
            window &= !(0xFF_u64 << at) | (u64::from(*byte) << at);
            there += 8;
            rest = behind;
        }
        let (symbol, bits) = symbol((window >> 32) as u32);
        if bits > there {
            // What is left is padding: less than a byte of ones.
            let padded = there < 8 && window == u64::MAX;
            return if padded { Ok(()) } else { Err(Fault::Coding) };
        }
        if symbol == EOS {
            return Err(Fault::Coding);
        }
        out.push(symbol as u8);
        window = (window << bits) | ((1_u64 << bits) - 1);
        there -= bits;
    }
}

/// Appends a coded string: what tests give the decoder.
#[cfg(test)]
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut there) = (0_u64, 0);
    for byte in text {
        let length = usize::from(LENGTHS[usize::from(*byte)]);
        let symbols = &CODE.symbols[usize::from(CODE.at[length])..];
        let place = symbols
            .iter()
            .position(|it| *it == u16::from(*byte))
            .unwrap();
        bits = (bits << length) | u64::from(CODE.first[length] + place as u32);
        there += length;
        while there >= 8 {
            there -= 8;
            out.push((bits >> there) as u8);
        }
    }
    if there > 0 {
        out.push((bits << (8 - there)) as u8 | (0xFF >> there));
    }
}
