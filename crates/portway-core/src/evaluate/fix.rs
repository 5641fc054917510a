//! Messages of the FIX protocol (FIX Session Layer, section 4): fields `TAG=VALUE`, each with a byte 1 after it.

use super::sought::Sought::{self, Found, Missing, Unfinished};

const DELIMITER: u8 = 1;
/// Bytes of the shortest message.
const SHORTEST: usize = 26;
const BEGIN_STRING: u32 = 8;
const BODY_LENGTH: u32 = 9;
const CHECK_SUM: u32 = 10;
const MESSAGE_TYPE: u32 = 35;
/// Tags that users agree on among themselves, in any version.
const OWN_TAGS: std::ops::RangeInclusive<u32> = 10_000..=19_999;

/// Versions, and the last tag that each defines.
const VERSIONS: &[(&[u8], u32)] = &[
    (b"FIX.4.0", 140),
    (b"FIX.4.1", 211),
    (b"FIX.4.2", 446),
    (b"FIX.4.3", 659),
    (b"FIX.4.4", 956),
    (b"FIXT.1.1", 1_621),
];

/// One field, and what comes after it.
struct Field<'b> {
    tag: u32,
    value: &'b [u8],
    whole: &'b [u8],
    rest: &'b [u8],
}

/// Whether the bytes begin with a whole message whose length and checksum are right.
pub(super) fn message(bytes: &[u8]) -> Sought<()> {
    if bytes.len() < SHORTEST {
        return Unfinished;
    }
    let (mut last_tag, mut length, mut body) = (u32::MAX, 0, 0);
    let mut sum = 0_u8;
    let mut rest = bytes;
    for index in 0_usize.. {
        let field = match field(rest) {
            Found(field) => field,
            Missing => return Missing,
            Unfinished => return Unfinished,
        };
        if field.tag > last_tag && !OWN_TAGS.contains(&field.tag) {
            return Missing;
        }
        let fits = match index {
            0 => {
                let version = VERSIONS.iter().find(|(name, _)| *name == field.value);
                version.inspect(|(_, last)| last_tag = *last).is_some() && field.tag == BEGIN_STRING
            }
            1 => {
                length = number(field.value)
                    .and_then(|length| usize::try_from(length).ok())
                    .unwrap_or(0);
                field.tag == BODY_LENGTH && length > 0
            }
            2 => field.tag == MESSAGE_TYPE,
            _ if field.tag == CHECK_SUM => {
                let right = field.value.len() == 3 && number(field.value) == Some(u32::from(sum));
                return if right && body == length {
                    Found(())
                } else {
                    Missing
                };
            }
            _ => true,
        };
        if !fits {
            return Missing;
        }
        if index > 1 {
            body += field.whole.len();
        }
        sum = field
            .whole
            .iter()
            .fold(sum, |sum, byte| sum.wrapping_add(*byte));
        rest = field.rest;
    }
    Missing
}

/// The value of the first field with this tag.
pub(super) fn tag(bytes: &[u8], tag: u32) -> Sought<&[u8]> {
    let mut rest = bytes;
    loop {
        match field(rest) {
            Found(field) if field.tag == tag => {
                return if field.value.is_empty() {
                    Unfinished
                } else {
                    Found(field.value)
                };
            }
            Found(field) if field.tag != CHECK_SUM => rest = field.rest,
            Found(_) | Missing => return Missing,
            Unfinished => return Unfinished,
        }
    }
}

fn field(bytes: &[u8]) -> Sought<Field<'_>> {
    let end = |equals: usize| Some(equals + memchr::memchr(DELIMITER, bytes.get(equals..)?)?);
    let equals = memchr::memchr(b'=', bytes);
    let Some((equals, end)) = equals.and_then(|equals| Some((equals, end(equals)?))) else {
        return Unfinished;
    };
    let field = || {
        Some(Field {
            tag: number(bytes.get(..equals)?).filter(|tag| *tag > 0)?,
            value: bytes.get(equals + 1..end)?,
            whole: bytes.get(..=end)?,
            rest: bytes.get(end + 1..)?,
        })
    };
    field().map_or(Missing, Found)
}

/// Digits and nothing else.
fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGON: &str =
        "8=FIX.4.2|9=67|35=A|34=1|49=CLIENT|52=20200101-00:00:00.000|56=SERVER|98=0|108=30|10=";

    fn bytes(text: &str) -> Vec<u8> {
        text.replace('|', "\u{1}").into_bytes()
    }

    fn whole(text: &str) -> Vec<u8> {
        let text = bytes(text);
        let fields = text.strip_suffix(b"10=").unwrap();
        let sum = fields
            .iter()
            .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        [text.as_slice(), format!("{sum:03}\u{1}").as_bytes()].concat()
    }

    #[test]
    fn messages() {
        let good = whole(LOGON);
        assert_eq!(message(&good), Found(()));
        assert_eq!(message(&[good.as_slice(), b"more"].concat()), Found(()));
        for length in 0..good.len() {
            assert_eq!(message(good.get(..length).unwrap()), Unfinished, "{length}");
        }
        for wrong in [
            LOGON.replace("9=67", "9=66"),
            LOGON.replace("FIX.4.2", "FIX.9.9"),
            LOGON.replace("35=A|34=1", "34=1|35=A"),
            LOGON.replace("108=30", "447=30"),
            LOGON.replace("34=1", "x4=1"),
        ] {
            assert_eq!(message(&whole(&wrong)), Missing, "{wrong}");
        }
        let sum = bytes(&format!("{LOGON}999|"));
        assert_eq!(message(&sum), Missing);
    }

    #[test]
    fn tags() {
        let good = whole(LOGON);
        assert_eq!(tag(&good, 49), Found(b"CLIENT".as_slice()));
        assert_eq!(tag(&good, 50), Missing);
        assert_eq!(tag(good.get(..10).unwrap(), 49), Unfinished);
        assert_eq!(tag(b"GET / HTTP/1.1\r\na=b\x01", 49), Missing);
    }
}
