//! The few forms of DER (X.690) that certificates are made of.

use std::fmt::Write as _;

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'d>(pub(super) &'d [u8]);

/// An identifier octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u8);

impl Tag {
    pub(super) const INTEGER: Tag = Tag(0x02);
    pub(super) const OBJECT: Tag = Tag(0x06);
    pub(super) const UTC_TIME: Tag = Tag(0x17);
    pub(super) const GENERALIZED_TIME: Tag = Tag(0x18);
    pub(super) const SEQUENCE: Tag = Tag(0x30);
    pub(super) const SET: Tag = Tag(0x31);
    /// `[0] EXPLICIT` of a certificate.
    pub(super) const VERSION: Tag = Tag(0xA0);
    /// Texts of two bytes a letter.
    pub(super) const BMP_STRING: Tag = Tag(0x1E);
}

impl<'d> Der<'d> {
    /// The content of the next element, if it is of this kind; else nothing is taken.
    pub(super) fn take(&mut self, tag: Tag) -> Option<&'d [u8]> {
        let mut rest = *self;
        let (found, content) = rest.any()?;
        if found != tag {
            return None;
        }
        *self = rest;
        Some(content)
    }

    /// The next element, of whatever kind.
    pub(super) fn any(&mut self) -> Option<(Tag, &'d [u8])> {
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

/// An object identifier in numbers, `1.2.840`.
pub(super) fn dotted(object: &[u8]) -> String {
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
