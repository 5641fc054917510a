//! What a header of version 2 tells beside the addresses: values by type, in any order, any of them absent.
//!
//! They are kept as they came, since few are ever asked for; which are well-formed was seen when the header was read. Of
//! several of one type the last counts, as in HAProxy 2.6.

use super::{CERTIFICATE_IN_SESSION, CERTIFICATE_NOW, CLIENT_TLS};
use portway_model::proxied::ProxyField;

/// Types of parts (section 2.2 of the specification), and of those within [`kind::SSL`].
pub(super) mod kind {
    pub(crate) const ALPN: u8 = 0x01;
    pub(crate) const AUTHORITY: u8 = 0x02;
    pub(crate) const CRC32C: u8 = 0x03;
    pub(crate) const NOOP: u8 = 0x04;
    pub(crate) const UNIQUE_ID: u8 = 0x05;
    pub(crate) const SSL: u8 = 0x20;
    pub(crate) const SSL_VERSION: u8 = 0x21;
    pub(crate) const SSL_CN: u8 = 0x22;
    pub(crate) const SSL_CIPHER: u8 = 0x23;
    pub(crate) const SSL_SIGNATURE: u8 = 0x24;
    pub(crate) const SSL_KEY: u8 = 0x25;
    pub(crate) const NETNS: u8 = 0x30;
    /// Of Google Cloud: the id of a connection of Private Service Connect, 8 bytes, big-endian.
    pub(crate) const GCP: u8 = 0xE0;
    /// Of Amazon: a subtype, 1 for the id of a VPC endpoint as text.
    pub(crate) const AWS: u8 = 0xEA;
    /// Of Azure: a subtype, 1 for the id of a private endpoint, 4 bytes, little-endian.
    pub(crate) const AZURE: u8 = 0xEE;
}

/// The subtype of [`kind::AWS`] and [`kind::AZURE`] that names an endpoint.
const ENDPOINT: u8 = 1;

/// What a header tells beside the addresses: well-formed types with their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts<'b>(&'b [u8]);

/// One of them, as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'b> {
    /// A text, or bytes.
    Bytes(&'b [u8]),
    /// A number.
    Number(u64),
    /// Whether something is so.
    Truth(bool),
}

impl<'b> Parts<'b> {
    /// `None`: a part is cut off, or what is said of TLS is.
    pub fn checked(bytes: &'b [u8]) -> Option<Self> {
        let parts = Self(bytes);
        let mut rest = Each(bytes);
        for (of, value) in rest.by_ref() {
            let of_tls = value.split_first_chunk::<5>();
            if of == kind::SSL && !of_tls.is_some_and(|(_, within)| is_whole(within)) {
                return None;
            }
        }
        rest.0.is_empty().then_some(parts)
    }

    /// As they came.
    pub fn bytes(self) -> &'b [u8] {
        self.0
    }

    /// Each with its type.
    pub fn each(self) -> impl Iterator<Item = (u8, &'b [u8])> {
        Each(self.0)
    }

    /// Those that mean the same in another header: all but the checksum, and what only fills.
    pub fn passable(self) -> impl Iterator<Item = (u8, &'b [u8])> {
        self.each()
            .filter(|(of, _)| !matches!(*of, kind::CRC32C | kind::NOOP))
    }

    /// The value of this type.
    pub fn of(self, of: u8) -> Option<&'b [u8]> {
        last(self.0, of)
    }

    /// What is told of this; a truth is told of everybody, `false` where nothing is said.
    pub fn field(self, field: ProxyField) -> Option<Part<'b>> {
        let tls = || self.tls();
        let within = |of| last(tls()?.2, of).map(Part::Bytes);
        match field {
            ProxyField::Type(of) => self.of(of).map(Part::Bytes),
            ProxyField::Alpn => self.of(kind::ALPN).map(Part::Bytes),
            ProxyField::Authority => self.of(kind::AUTHORITY).map(Part::Bytes),
            ProxyField::UniqueId => self.of(kind::UNIQUE_ID).map(Part::Bytes),
            ProxyField::NetworkNamespace => self.of(kind::NETNS).map(Part::Bytes),
            ProxyField::Tls => Some(Part::Truth(tls().is_some())),
            ProxyField::Verified => Some(Part::Truth(tls().is_some_and(|(client, verify, _)| {
                client & (CERTIFICATE_NOW | CERTIFICATE_IN_SESSION) != 0 && verify == [0; 4]
            }))),
            ProxyField::TlsVersion => within(kind::SSL_VERSION),
            ProxyField::CommonName => within(kind::SSL_CN),
            ProxyField::Cipher => within(kind::SSL_CIPHER),
            ProxyField::Signature => within(kind::SSL_SIGNATURE),
            ProxyField::Key => within(kind::SSL_KEY),
            ProxyField::AwsEndpoint => match self.of(kind::AWS)? {
                [ENDPOINT, id @ ..] => Some(Part::Bytes(id)),
                _ => None,
            },
            ProxyField::AzureEndpoint => match *self.of(kind::AZURE)? {
                [ENDPOINT, a, b, c, d] => {
                    Some(Part::Number(u32::from_le_bytes([a, b, c, d]).into()))
                }
                _ => None,
            },
            ProxyField::GcpConnection => {
                let id = self.of(kind::GCP)?.try_into().ok()?;
                Some(Part::Number(u64::from_be_bytes(id)))
            }
        }
    }

    /// Bits of the client and what verifying its certificate gave, with the parts about its TLS; `None`: it speaks none.
    fn tls(self) -> Option<(u8, [u8; 4], &'b [u8])> {
        let ([client, verify @ ..], within) = self.of(kind::SSL)?.split_first_chunk::<5>()?;
        (client & CLIENT_TLS != 0).then_some((*client, *verify, within))
    }
}

fn last(parts: &[u8], of: u8) -> Option<&[u8]> {
    Each(parts)
        .filter(|(it, _)| *it == of)
        .last()
        .map(|(_, value)| value)
}

fn is_whole(parts: &[u8]) -> bool {
    let mut rest = Each(parts);
    rest.by_ref().for_each(drop);
    rest.0.is_empty()
}

/// Types with their values; ends before one that is cut off, which is left then.
struct Each<'b>(&'b [u8]);

impl<'b> Iterator for Each<'b> {
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([kind, high, low], rest) = self.0.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*kind, value))
    }
}
