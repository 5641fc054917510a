//! Comma-separated lists (RFC 9110 §5.6.1) and the character classes that they and the lines of a head are made of.

/// The elements of a list without the whitespace around them; empty elements are skipped (RFC 9110 §5.6.1.2). Commas inside
/// quoted strings separate too: use it for lists of tokens only.
#[inline]
pub fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    elements_with_empty(value).filter(|element| !element.is_empty())
}

/// Like [`elements`], with the empty ones.
#[inline]
pub(super) fn elements_with_empty(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Without optional whitespace (SP and HTAB, RFC 9110 §5.6.3) at both ends.
#[inline]
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether the byte may stand in a token (RFC 9110 §5.6.2).
#[inline]
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
        | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether the bytes are a token.
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether the byte may stand in a field value: visible, SP, HTAB or obs-text (RFC 9110 §5.5).
#[inline]
pub(super) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_trimmed_and_empty_ones_skipped() {
        let check = |value: &str, expected: &[&str]| {
            let found: Vec<_> = elements(value.as_bytes())
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .collect();
            assert_eq!(found, expected, "{value:?}");
        };
        check("", &[]);
        check(",", &[]);
        check("a", &["a"]);
        check("a,b", &["a", "b"]);
        check(" a ,\tb\t, , c", &["a", "b", "c"]);
        check("a b", &["a b"]);
    }

    #[test]
    fn tokens() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_token(text.as_bytes()), expected, "{text:?}")
        };
        check("", false);
        check("a", true);
        check("a-b_c.d~!#$%&'*+^`|0", true);
        for text in [
            "a b", "a:b", "a\"", "(a)", "a,b", "a/b", "a\0", "é", "a\r", "[", "{}", "@", "=",
        ] {
            check(text, false);
        }
    }
}
