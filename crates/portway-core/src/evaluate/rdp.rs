//! The cookie in the first packet of the Remote Desktop Protocol (MS-RDPBCGR section 2.2.1.1): `Cookie: NAME=VALUE`
//! and a line end, after eleven bytes.

use super::sought::Sought;

/// Bytes of TPKT and X.224 headers before the cookie.
const HEADERS: usize = 11;
const WORD: &[u8] = b"Cookie:";

/// The value of the cookie with this name, of any where there is none. Letters of either case are equal.
pub(super) fn cookie<'b>(bytes: &'b [u8], name: Option<&str>) -> Sought<&'b [u8]> {
    let Some(rest) = bytes.get(HEADERS..).filter(|rest| rest.len() > WORD.len()) else {
        return Sought::Unfinished;
    };
    let (word, rest) = rest.split_at(WORD.len());
    if !word.eq_ignore_ascii_case(WORD) {
        return Sought::Missing;
    }
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let rest = rest.get(blanks..).unwrap_or_default();
    let value = match name {
        Some(name) => match rest.split_at_checked(name.len()) {
            None | Some((_, [])) => return Sought::Unfinished,
            Some((key, [b'=', value @ ..])) if key.eq_ignore_ascii_case(name.as_bytes()) => value,
            Some(_) => return Sought::Missing,
        },
        None => match rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b'\r' | b'\n'))
        {
            None => return Sought::Unfinished,
            Some(at) => match rest.get(at..) {
                Some([b'=', value @ ..]) => value,
                _ => return Sought::Missing,
            },
        },
    };
    let Some(end) = memchr::memchr(b'\r', value) else {
        return Sought::Unfinished;
    };
    match value.get(end + 1) {
        None => Sought::Unfinished,
        Some(b'\n') => Sought::Found(value.get(..end).unwrap_or_default()),
        Some(_) => Sought::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        let headers = [3, 0, 0, 40, 35, 224, 0, 0, 0, 0, 0];
        let check = |text: &str, name, expected| {
            let bytes = [&headers, text.as_bytes()].concat();
            assert_eq!(cookie(&bytes, name), expected, "{text} {name:?}");
        };
        let line = "Cookie: mstshash=alice\r\n\u{1}";
        check(line, Some("mstshash"), Sought::Found(b"alice".as_slice()));
        check(line, Some("MSTSHASH"), Sought::Found(b"alice"));
        check(line, None, Sought::Found(b"alice"));
        check(line, Some("msts"), Sought::Missing);
        check("cookie:msts=1\r\n", Some("msts"), Sought::Found(b"1"));
        check("Cookie: mstshash=alice\r", None, Sought::Unfinished);
        check("Cookie: msts", Some("mstshash"), Sought::Unfinished);
        check("Cookie: mstshash=alice\rx", None, Sought::Missing);
        check("Cookie: none\r\n", None, Sought::Missing);
        check("Cookie:", None, Sought::Unfinished);
        check("\u{1}\0\u{8}\0\u{3}\0\0\0", None, Sought::Missing);
    }
}
