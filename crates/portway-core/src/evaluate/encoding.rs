//! Percent encoding and hex.

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Which bytes a percent encoding leaves alone beyond what no part of a URI may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UriPart {
    /// `?` and `#` are encoded.
    Path,
    /// `#` is encoded.
    Query,
    /// A whole reference: neither is encoded.
    Reference,
}

impl UriPart {
    /// True for what would end this part, and for blanks, controls and bytes beyond ASCII, which would end a
    /// request line or a header (RFC 3986 §3.3, §3.4). A percent sign stays: what is encoded stays encoded.
    pub(crate) fn must_encode(self, byte: u8) -> bool {
        match byte {
            0..=b' ' | 0x7f.. => true,
            b'?' => self == UriPart::Path,
            b'#' => self != UriPart::Reference,
            _ => false,
        }
    }
}

/// Percent-encodes what must not stand in `part`, from `start` to the end of `out`. Allocates only where there is
/// such a byte.
pub(crate) fn encode_tail(out: &mut Vec<u8>, start: usize, part: UriPart) {
    let tail = out.get(start..).unwrap_or_default();
    let Some(first) = tail.iter().position(|&byte| part.must_encode(byte)) else {
        return;
    };
    let rest = out.split_off(start + first);
    for byte in rest {
        if part.must_encode(byte) {
            out.push(b'%');
            out.extend_from_slice(&hex_digits(byte, HEX_UPPER));
        } else {
            out.push(byte);
        }
    }
}

/// What percent-encoded text stands for. A percent sign without two hex digits stays as it is. `plus_is_space`:
/// as in forms and query strings.
pub(crate) fn percent_decode(text: &[u8], plus_is_space: bool) -> Cow<'_, [u8]> {
    let special = |byte: &u8| *byte == b'%' || (plus_is_space && *byte == b'+');
    if !text.iter().any(special) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (b'+', _) if plus_is_space => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}

/// Two lower-case hex digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|&byte| hex_digits(byte, HEX))
        .collect()
}

/// The value of a hex digit of either case.
pub(crate) fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "four bits index a table of sixteen"
)]
fn hex_digits(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [
        digits[usize::from(byte >> 4)],
        digits[usize::from(byte & 15)],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes() {
        let check = |text: &str, plain: &str, form: &str| {
            assert_eq!(
                percent_decode(text.as_bytes(), false),
                plain.as_bytes(),
                "{text}"
            );
            assert_eq!(
                percent_decode(text.as_bytes(), true),
                form.as_bytes(),
                "{text}"
            );
        };
        check("", "", "");
        check("a+b", "a+b", "a b");
        check("a%20b%2Bc", "a b+c", "a b+c");
        check("%2f%2F", "//", "//");
        check("%", "%", "%");
        check("%4", "%4", "%4");
        check("%zz%41", "%zzA", "%zzA");
        check("%%41", "%A", "%A");
    }

    #[test]
    fn encodes_what_may_not_stand() {
        let check = |part, text: &str, encoded: &str| {
            let mut out = [b"? ", text.as_bytes()].concat();
            encode_tail(&mut out, 2, part);
            assert_eq!(out, [b"? ", encoded.as_bytes()].concat());
        };
        check(UriPart::Path, "/a%20b", "/a%20b");
        check(UriPart::Path, "/a b?c#d\r\né", "/a%20b%3Fc%23d%0D%0A%C3%A9");
        check(UriPart::Query, "a=?&b=#", "a=?&b=%23");
        check(UriPart::Reference, "/a b?c#d\t", "/a%20b?c#d%09");
    }

    proptest! {
        #[test]
        fn encoding_is_undone_by_decoding(bytes: Vec<u8>) {
            prop_assume!(!bytes.contains(&b'%'));
            for part in [UriPart::Path, UriPart::Query, UriPart::Reference] {
                let mut out = bytes.clone();
                encode_tail(&mut out, 0, part);
                prop_assert!(out.iter().all(u8::is_ascii_graphic));
                let decoded = percent_decode(&out, false).into_owned();
                prop_assert_eq!(&decoded, &bytes);
            }
        }

        #[test]
        fn decoding_never_panics(bytes: Vec<u8>) {
            prop_assert!(percent_decode(&bytes, true).len() <= bytes.len());
            prop_assert_eq!(hex(&bytes).len(), 2 * bytes.len());
        }
    }
}
