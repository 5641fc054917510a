//! Arguments of a query string: one is set or taken out, and the others stay as they are written.

use super::encoding::percent_decode;

/// The query with the argument `name` set to `value`, in place of the first of that name; `None`: without those of that name.
/// Nothing is left where `None` is given back.
pub fn with_argument(query: Option<&[u8]>, name: &[u8], value: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut written = value.map(|value| {
        let mut out = Vec::new();
        encode(name, &mut out);
        out.push(b'=');
        encode(value, &mut out);
        out
    });
    let mut pairs: Vec<Vec<u8>> = Vec::new();
    let before = query
        .into_iter()
        .flat_map(|it| it.split(|byte| *byte == b'&'));
    for pair in before.filter(|pair| !pair.is_empty()) {
        let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let key = pair.get(..end).unwrap_or(pair);
        match key == name || percent_decode(key, true) == name {
            true => pairs.extend(written.take()),
            false => pairs.push(pair.to_vec()),
        }
    }
    pairs.extend(written);
    (!pairs.is_empty()).then(|| pairs.join(&b'&'))
}

/// All but unreserved characters (RFC 3986 section 2.3) are percent-encoded.
fn encode(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
            continue;
        }
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn set_and_taken_out() {
        let check =
            |query: Option<&str>, name: &str, value: Option<&str>, expected: Option<&str>| {
                let found = with_argument(
                    query.map(str::as_bytes),
                    name.as_bytes(),
                    value.map(str::as_bytes),
                );
                let found = found.map(|it| String::from_utf8(it).unwrap());
                assert_eq!(found.as_deref(), expected, "{query:?} {name} {value:?}");
            };
        check(None, "a", Some("1"), Some("a=1"));
        check(Some(""), "a", Some("1"), Some("a=1"));
        check(Some("b=2"), "a", Some("1"), Some("b=2&a=1"));
        check(Some("a=0&b=%32&a=3"), "a", Some("1"), Some("a=1&b=%32"));
        check(Some("%61=0&b"), "a", Some(""), Some("a=&b"));
        check(
            Some("a&b=a"),
            "a",
            Some("x y&z=é"),
            Some("a=x%20y%26z%3D%C3%A9&b=a"),
        );
        check(Some("b=2"), "a b", Some("1"), Some("b=2&a%20b=1"));
        check(Some("a+b=2&c"), "a b", None, Some("c"));
        check(Some("a=1&&c=3&a"), "a", None, Some("c=3"));
        check(Some("a=1"), "a", None, None);
        check(None, "a", None, None);
    }

    proptest! {
        #[test]
        fn what_was_set_is_found(query: Vec<u8>, name: Vec<u8>, value: Vec<u8>) {
            let set = with_argument(Some(&query), &name, Some(&value)).unwrap();
            let again = with_argument(Some(&set), &name, Some(&value)).unwrap();
            prop_assert_eq!(&again, &set);
            let none = with_argument(Some(&set), &name, None);
            prop_assert_eq!(with_argument(none.as_deref(), &name, None), none);
        }
    }
}
