//! Distinguished names, in one line as OpenSSL writes them, as RFC 4514 has them, or one attribute of them.

use crate::der::{Der, Tag, dotted};

/// A name: the content of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'d>(pub(super) &'d [u8]);

/// Attributes by object identifier, with OpenSSL's short names.
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (&[85, 4, 3], "CN"),
    (&[85, 4, 4], "SN"),
    (&[85, 4, 5], "serialNumber"),
    (&[85, 4, 6], "C"),
    (&[85, 4, 7], "L"),
    (&[85, 4, 8], "ST"),
    (&[85, 4, 9], "street"),
    (&[85, 4, 10], "O"),
    (&[85, 4, 11], "OU"),
    (&[85, 4, 12], "title"),
    (&[85, 4, 13], "description"),
    (&[85, 4, 15], "businessCategory"),
    (&[85, 4, 17], "postalCode"),
    (&[85, 4, 41], "name"),
    (&[85, 4, 42], "GN"),
    (&[85, 4, 43], "initials"),
    (&[85, 4, 46], "dnQualifier"),
    (&[85, 4, 65], "pseudonym"),
    (&[42, 134, 72, 134, 247, 13, 1, 9, 1], "emailAddress"),
    (&[9, 146, 38, 137, 147, 242, 44, 100, 1, 1], "UID"),
    (&[9, 146, 38, 137, 147, 242, 44, 100, 1, 25], "DC"),
];

/// One attribute: the set of a relative name that it belongs to, its identifier, and its value.
struct Attribute<'d> {
    set: usize,
    object: &'d [u8],
    tag: Tag,
    value: &'d [u8],
}

impl Attribute<'_> {
    fn short_name(&self) -> String {
        let known = ATTRIBUTES.iter().find(|(known, _)| *known == self.object);
        known.map_or_else(|| dotted(self.object), |(_, name)| (*name).to_owned())
    }

    /// The value as text.
    fn text(&self) -> String {
        if self.tag == Tag::BMP_STRING {
            let letters = self.value.chunks_exact(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0,
            });
            return char::decode_utf16(letters)
                .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
        }
        String::from_utf8_lossy(self.value).into_owned()
    }
}

impl<'d> Name<'d> {
    /// `/C=FR/O=Shop/CN=a`: OpenSSL's short names with the bytes of the values, in the order of the certificate.
    pub fn line(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for attribute in self.attributes() {
            out.push(b'/');
            out.extend_from_slice(attribute.short_name().as_bytes());
            out.push(b'=');
            out.extend_from_slice(attribute.value);
        }
        out
    }

    /// `CN=a,O=Shop,C=FR`: RFC 4514, the last attribute first.
    pub fn rfc4514(&self) -> String {
        let mut attributes: Vec<Attribute<'d>> = self.attributes().collect();
        attributes.reverse();
        let mut out = String::new();
        let mut before = None;
        for attribute in attributes {
            match before.replace(attribute.set) {
                None => {}
                Some(set) if set == attribute.set => out.push('+'),
                Some(_) => out.push(','),
            }
            out.push_str(&attribute.short_name());
            out.push('=');
            out.push_str(&escaped(&attribute.text()));
        }
        out
    }

    /// The value of the n-th attribute of this short name, from 1 or, backwards, from -1.
    pub fn attribute(&self, short_name: &str, n: i16) -> Option<&'d [u8]> {
        let found = self
            .attributes()
            .filter(|attribute| attribute.short_name().eq_ignore_ascii_case(short_name));
        let values: Vec<&'d [u8]> = found.map(|attribute| attribute.value).collect();
        let nth = usize::from(n.unsigned_abs()).checked_sub(1)?;
        let index = if n > 0 {
            nth
        } else {
            values.len().checked_sub(nth + 1)?
        };
        values.get(index).copied()
    }

    /// The values of all attributes of this short name, as text.
    pub(super) fn texts(&self, short_name: &str) -> Vec<String> {
        let found = self.attributes().filter(|it| it.short_name() == short_name);
        found.map(|it| it.text()).collect()
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute<'d>> + use<'d> {
        let mut sets = Der(self.0);
        let mut within = Der(&[]);
        let mut set = 0;
        std::iter::from_fn(move || {
            while within.0.is_empty() {
                within = Der(sets.take(Tag::SET)?);
                set += 1;
            }
            let mut pair = Der(within.take(Tag::SEQUENCE)?);
            let object = pair.take(Tag::OBJECT)?;
            let (tag, value) = pair.any()?;
            Some(Attribute {
                set,
                object,
                tag,
                value,
            })
        })
    }
}

/// A value as RFC 4514 section 2.4 has it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, letter) in text.chars().enumerate() {
        let at_the_edge =
            matches!((letter, index), (' ' | '#', 0)) || (letter == ' ' && index == last);
        if at_the_edge || matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
        }
        if letter == '\0' {
            out.push_str("\\00");
        } else {
            out.push(letter);
        }
    }
    out
}
