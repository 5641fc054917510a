//! The form of a request id. The number is given: chance is an argument.

/// The most bytes of a request id taken over from a peer.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// A request id in the form of a random UUID (RFC 9562 §5.4), 36 bytes of lower-case hexadecimal digits and hyphens: what
/// programs that read X-Request-Id commonly expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 36]);

impl RequestId {
    /// The id for a random number, of which 122 bits are used.
    pub fn from_random(number: u128) -> RequestId {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let number = number & !(0xf << 76) | 0x4 << 76;
        let number = number & !(0x3 << 62) | 0x2 << 62;
        let mut text = [b'-'; 36];
        let mut places = text
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
        for nibble in (0..32)
            .rev()
            .map(|place| (number >> (place * 4)) as usize & 0xf)
        {
            if let (Some((_, place)), Some(digit)) = (places.next(), HEX.get(nibble)) {
                *place = *digit;
            }
        }
        RequestId(text)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Whether an id that a peer sent may be taken over: 1 to 128 bytes of letters, digits and `-._~+/=:@`, so that it can stand in
/// any log without quoting.
pub fn is_acceptable_request_id(value: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&value.len())
        && value.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b':' | b'@'
                )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_uuids() {
        let check = |number: u128, expected: &str| {
            assert_eq!(RequestId::from_random(number).as_str(), expected)
        };
        check(0, "00000000-0000-4000-8000-000000000000");
        check(u128::MAX, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        check(
            0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
            "01234567-89ab-4def-8123-456789abcdef",
        );
    }

    #[test]
    fn foreign_ids() {
        let check = |text: &str, expected: bool| {
            assert_eq!(
                is_acceptable_request_id(text.as_bytes()),
                expected,
                "{text:?}"
            )
        };
        check("", false);
        check("a", true);
        check("Root=1-67891233-abcdef012345678912345678", true);
        check("a b", false);
        check("a\"", false);
        check("a,b", false);
        check("\u{e9}", false);
        check(&"a".repeat(128), true);
        check(&"a".repeat(129), false);
    }
}
