//! Keys of stick tables.

use crate::evaluate::Fetched;
use portway_model::settings::KeyType;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A key: what a value is as the type of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// A value as a key; `None` where it cannot be one.
    pub fn of(value: &Fetched<'_>, kind: KeyType) -> Option<Self> {
        let bytes: Box<[u8]> = match kind {
            KeyType::Address => match value.address()?.to_canonical() {
                IpAddr::V4(address) => address.octets().into(),
                IpAddr::V6(address) => address.octets().into(),
            },
            KeyType::Address6 => match value.address()? {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets().into(),
                IpAddr::V6(address) => address.octets().into(),
            },
            KeyType::Number => value.cast_number()?.to_be_bytes().into(),
            KeyType::Text { .. } | KeyType::Binary { .. } if !value.is_present() => return None,
            KeyType::Text { length } => {
                let mut text = Vec::new();
                value.write(&mut text);
                text.truncate(usize::from(length));
                text.into()
            }
            KeyType::Binary { length } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                bytes.resize(usize::from(length), 0);
                bytes.into()
            }
        };
        Some(Self(bytes))
    }

    /// Its bytes, as [`Key::from_bytes`] reads them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A key of these bytes; `None` where no key of this type has them.
    pub fn from_bytes(bytes: &[u8], kind: KeyType) -> Option<Self> {
        let length = bytes.len();
        let fits = match kind {
            KeyType::Address => matches!(length, 4 | 16),
            KeyType::Address6 => length == 16,
            KeyType::Number => length == 8,
            KeyType::Text { length: most } => length <= usize::from(most),
            KeyType::Binary { length: exact } => length == usize::from(exact),
        };
        fits.then(|| Self(bytes.into()))
    }

    /// The key as people write it.
    pub fn display(&self, kind: KeyType) -> impl fmt::Display + '_ {
        Shown { key: self, kind }
    }
}

struct Shown<'k> {
    key: &'k Key,
    kind: KeyType,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = &*self.key.0;
        match self.kind {
            KeyType::Address | KeyType::Address6 => match <[u8; 4]>::try_from(bytes) {
                Ok(octets) => write!(f, "{}", Ipv4Addr::from(octets)),
                Err(_) => {
                    let octets = <[u8; 16]>::try_from(bytes).unwrap_or_default();
                    write!(f, "{}", Ipv6Addr::from(octets))
                }
            },
            KeyType::Number => {
                let number = <[u8; 8]>::try_from(bytes).unwrap_or_default();
                write!(f, "{}", i64::from_be_bytes(number))
            }
            KeyType::Text { .. } => write!(f, "{}", bytes.escape_ascii()),
            KeyType::Binary { .. } => bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}")),
        }
    }
}
