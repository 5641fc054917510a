//! What an X.509 certificate says, for rules and logs: names, dates, numbers, in the words of OpenSSL and of the RFCs.
//!
//! Nothing is verified: who asks has a certificate whose handshake succeeded. It is read where it is asked for, without
//! a copy; what does not fit RFC 5280 gives `None`, never a panic.

mod alternative;
mod info;
mod key;
mod name;

use crate::der::{self, Der, Tag, seconds_of};
pub use alternative::AlternativeNames;
pub use name::Name;

/// `[3] EXPLICIT` of a certificate.
const EXTENSIONS: Tag = Tag(0xA3);
const BOOLEAN: Tag = Tag(0x01);
const OCTET_STRING: Tag = Tag(0x04);

/// A certificate in parts, all of them ranges of its DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate<'d> {
    /// Version: 1, 2 or 3.
    pub version: u8,
    /// The bytes of the serial number, without a leading zero.
    pub serial: &'d [u8],
    /// Who issued it.
    pub issuer: Name<'d>,
    /// Whom it is for.
    pub subject: Name<'d>,
    /// Its first second.
    pub not_before: Time<'d>,
    /// Its last second.
    pub not_after: Time<'d>,
    /// Object identifier of the algorithm of its key.
    key_algorithm: &'d [u8],
    /// SubjectPublicKeyInfo: its key with everything that is said of it.
    public_key: &'d [u8],
    /// Object identifier of the algorithm of its signature.
    signature_algorithm: &'d [u8],
    /// Its extensions, one after the other.
    extensions: &'d [u8],
}

/// A moment as a certificate says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time<'d> {
    /// `YYMMDDhhmmssZ`, or `YYYYMMDDhhmmssZ` where `long`.
    text: &'d [u8],
    long: bool,
}

/// Algorithms of keys and signatures, by object identifier, with OpenSSL's short names.
const ALGORITHMS: &[(&[u8], &str)] = &[
    (&[42, 134, 72, 134, 247, 13, 1, 1, 1], "rsaEncryption"),
    (&[42, 134, 72, 134, 247, 13, 1, 1, 5], "RSA-SHA1"),
    (&[42, 134, 72, 134, 247, 13, 1, 1, 10], "RSASSA-PSS"),
    (&[42, 134, 72, 134, 247, 13, 1, 1, 11], "RSA-SHA256"),
    (&[42, 134, 72, 134, 247, 13, 1, 1, 12], "RSA-SHA384"),
    (&[42, 134, 72, 134, 247, 13, 1, 1, 13], "RSA-SHA512"),
    (&[42, 134, 72, 206, 61, 2, 1], "id-ecPublicKey"),
    (&[42, 134, 72, 206, 61, 4, 1], "ecdsa-with-SHA1"),
    (&[42, 134, 72, 206, 61, 4, 3, 2], "ecdsa-with-SHA256"),
    (&[42, 134, 72, 206, 61, 4, 3, 3], "ecdsa-with-SHA384"),
    (&[42, 134, 72, 206, 61, 4, 3, 4], "ecdsa-with-SHA512"),
    (&[43, 101, 112], "ED25519"),
    (&[43, 101, 113], "ED448"),
];

impl<'d> Certificate<'d> {
    /// Reads a certificate, RFC 5280 section 4.1.
    pub fn read(der: &'d [u8]) -> Option<Self> {
        let mut whole = Der(Der(der).take(Tag::SEQUENCE)?);
        let mut body = Der(whole.take(Tag::SEQUENCE)?);
        let version = match body.take(Tag::VERSION) {
            Some(version) => match Der(version).take(Tag::INTEGER)? {
                [number] => number.checked_add(1)?,
                _ => return None,
            },
            None => 1,
        };
        let serial = body.take(Tag::INTEGER)?;
        body.take(Tag::SEQUENCE)?;
        let issuer = Name(body.take(Tag::SEQUENCE)?);
        let mut validity = Der(body.take(Tag::SEQUENCE)?);
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = Name(body.take(Tag::SEQUENCE)?);
        let public_key = body.take(Tag::SEQUENCE)?;
        let key_algorithm = Der(Der(public_key).take(Tag::SEQUENCE)?).take(Tag::OBJECT)?;
        // Identifiers of issuer and subject that nobody uses.
        body.take(Tag(0x81));
        body.take(Tag(0x82));
        let extensions = body.take(EXTENSIONS);
        let extensions = extensions.and_then(|it| Der(it).take(Tag::SEQUENCE));
        let signature_algorithm = Der(whole.take(Tag::SEQUENCE)?).take(Tag::OBJECT)?;
        Some(Self {
            version,
            serial: match serial {
                [0, rest @ ..] if !rest.is_empty() => rest,
                all => all,
            },
            issuer,
            subject,
            not_before,
            not_after,
            key_algorithm,
            public_key,
            signature_algorithm,
            extensions: extensions.unwrap_or_default(),
        })
    }

    /// The content of an extension.
    fn extension(&self, object: &[u8]) -> Option<&'d [u8]> {
        let mut all = Der(self.extensions);
        while let Some(one) = all.take(Tag::SEQUENCE) {
            let mut one = Der(one);
            if one.take(Tag::OBJECT)? == object {
                one.take(BOOLEAN);
                return one.take(OCTET_STRING);
            }
        }
        None
    }

    /// The serial number in decimal digits.
    pub fn serial_decimal(&self) -> String {
        let mut digits: Vec<u8> = vec![0];
        for byte in self.serial {
            let mut carry = u16::from(*byte);
            for digit in &mut digits {
                let sum = u16::from(*digit) * 256 + carry;
                *digit = (sum % 10) as u8;
                carry = sum / 10;
            }
            while carry > 0 {
                digits.push((carry % 10) as u8);
                carry /= 10;
            }
        }
        digits
            .iter()
            .rev()
            .map(|it| char::from(b'0' + it))
            .collect()
    }

    /// OpenSSL's short name of the algorithm of the key; its numbers where we know none.
    pub fn key_algorithm(&self) -> String {
        algorithm(self.key_algorithm)
    }

    /// OpenSSL's short name of the algorithm of the signature.
    pub fn signature_algorithm(&self) -> String {
        algorithm(self.signature_algorithm)
    }
}

fn algorithm(object: &[u8]) -> String {
    let known = ALGORITHMS.iter().find(|(known, _)| *known == object);
    known.map_or_else(|| der::dotted(object), |(_, name)| (*name).to_owned())
}

fn time<'d>(validity: &mut Der<'d>) -> Option<Time<'d>> {
    let (text, long) = match validity.take(Tag::UTC_TIME) {
        Some(text) => (text, false),
        None => (validity.take(Tag::GENERALIZED_TIME)?, true),
    };
    let digits = if long { 14 } else { 12 };
    let (moment, zone) = text.split_at_checked(digits)?;
    let sound = moment.iter().all(u8::is_ascii_digit) && zone == b"Z";
    sound.then_some(Time { text, long })
}

impl<'d> Time<'d> {
    /// `YYMMDDhhmmssZ`, as HAProxy gives it: the century is left out.
    pub fn short(&self) -> &'d [u8] {
        let skipped = if self.long { 2 } else { 0 };
        self.text.get(skipped..).unwrap_or_default()
    }

    /// Seconds since 1970; 0 for a day that there is not.
    pub fn seconds(&self) -> i64 {
        let text: Vec<u8> = self.rfc3339().bytes().filter(u8::is_ascii_digit).collect();
        seconds_of(&[&text[..], b"Z"].concat()).unwrap_or(0)
    }

    /// RFC 3339, `2050-01-02T03:04:05Z`.
    pub fn rfc3339(&self) -> String {
        let text = std::str::from_utf8(self.text).unwrap_or_default();
        let (year, rest) = if self.long {
            let (year, rest) = text.split_at_checked(4).unwrap_or_default();
            (year.to_owned(), rest)
        } else {
            // Years from 50 on are of the last century (RFC 5280 section 4.1.2.5.1).
            let (year, rest) = text.split_at_checked(2).unwrap_or_default();
            let century = if year < "50" { "20" } else { "19" };
            ([century, year].concat(), rest)
        };
        let part = |from: usize| rest.get(from..from + 2).unwrap_or("00");
        let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(part);
        format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
    }
}

#[cfg(test)]
mod tests;
