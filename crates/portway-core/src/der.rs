//! The few forms of DER (X.690) that certificates, and what is said of them, are made of.

use crate::evaluate::days_since_1970;
use std::fmt::Write as _;

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Der<'d>(pub(crate) &'d [u8]);

/// An identifier octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) u8);

impl Tag {
    pub(crate) const INTEGER: Tag = Tag(0x02);
    pub(crate) const BIT_STRING: Tag = Tag(0x03);
    pub(crate) const OBJECT: Tag = Tag(0x06);
    pub(crate) const UTC_TIME: Tag = Tag(0x17);
    pub(crate) const GENERALIZED_TIME: Tag = Tag(0x18);
    pub(crate) const SEQUENCE: Tag = Tag(0x30);
    pub(crate) const SET: Tag = Tag(0x31);
    /// `[0] EXPLICIT` of a certificate.
    pub(crate) const VERSION: Tag = Tag(0xA0);
    /// Texts of two bytes a letter.
    pub(crate) const BMP_STRING: Tag = Tag(0x1E);
}

impl<'d> Der<'d> {
    /// The content of the next element, if it is of this kind; else nothing is taken.
    pub(crate) fn take(&mut self, tag: Tag) -> Option<&'d [u8]> {
        let mut rest = *self;
        let (found, content) = rest.any()?;
        if found != tag {
            return None;
        }
        *self = rest;
        Some(content)
    }

    /// As [`Der::take`], with its head.
    pub(crate) fn whole(&mut self, tag: Tag) -> Option<&'d [u8]> {
        let before = self.0;
        self.take(tag)?;
        before.get(..before.len() - self.0.len())
    }

    /// The next element, of whatever kind.
    pub(crate) fn any(&mut self) -> Option<(Tag, &'d [u8])> {
        let ([tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            // At most four bytes: no certificate is longer.
            let count = usize::from(*first & 0x7F);
            let (bytes, rest) = rest.split_at_checked(count)?;
            if !(1..=4).contains(&count) {
                return None;
            }
            let length = bytes
                .iter()
                .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
            (length as usize, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((Tag(*tag), content))
    }
}

/// An element of this kind.
pub(crate) fn write(tag: Tag, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag.0];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
            let bytes = bytes.get(skipped..).unwrap_or_default();
            // At most eight.
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Seconds since 1970 of a GeneralizedTime in the one form that DER allows, `YYYYMMDDhhmmssZ`.
pub(crate) fn seconds_of(time: &[u8]) -> Option<i64> {
    let digits = time.strip_suffix(b"Z")?;
    if digits.len() != 14 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let part = digits.get(from..to).unwrap_or_default();
        part.iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let days = days_since_1970(year, month, day)?;
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    let within = hour < 24 && minute < 60 && second < 61;
    within.then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// An object identifier in numbers, `1.2.840`.
pub(crate) fn dotted(object: &[u8]) -> String {
    let mut out = String::new();
    let mut number = 0_u64;
    for byte in object {
        number = (number << 7) | u64::from(byte & 0x7F);
        if byte & 0x80 != 0 {
            continue;
        }
        // Writing to a text cannot fail.
        let _ = if out.is_empty() {
            let first = (number / 40).min(2);
            write!(out, "{first}.{}", number - first * 40)
        } else {
            write!(out, ".{number}")
        };
        number = 0;
    }
    out
}
