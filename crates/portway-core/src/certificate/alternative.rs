//! Other names of whom a certificate is for: the extension subjectAltName (RFC 5280 section 4.2.1.6).

use super::Certificate;
use crate::der::{Der, Tag};
use std::net::IpAddr;

/// `id-ce-subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[85, 29, 17];

const EMAIL: Tag = Tag(0x81);
const DNS: Tag = Tag(0x82);
const URI: Tag = Tag(0x86);
const ADDRESS: Tag = Tag(0x87);

/// Alternative names by their kinds, each in the order of the certificate. What could not stand in a list with commas is left out
/// (in URIs the comma is percent-encoded), as is what is no text of ASCII and what is of another kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlternativeNames {
    /// Names of hosts.
    pub dns: Vec<String>,
    /// Addresses of mail.
    pub emails: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
}

impl Certificate<'_> {
    /// Its alternative names.
    pub fn alternative_names(&self) -> AlternativeNames {
        let mut names = AlternativeNames::default();
        let all = self.extension(ALTERNATIVE_NAMES);
        let all = all.and_then(|it| Der(it).take(Tag::SEQUENCE));
        let mut all = Der(all.unwrap_or_default());
        while let Some((tag, value)) = all.any() {
            match tag {
                DNS => names.dns.extend(listed(value)),
                EMAIL => names.emails.extend(listed(value)),
                URI => names
                    .uris
                    .extend(printable(value).map(|it| it.replace(',', "%2C"))),
                ADDRESS => names.addresses.extend(address(value)),
                _ => {}
            }
        }
        names
    }
}

impl AlternativeNames {
    /// All of them: names of hosts, addresses of mail, IP addresses, URIs.
    pub fn all(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let names = self.dns.iter().chain(&self.emails).cloned();
        names
            .chain(addresses)
            .chain(self.uris.iter().cloned())
            .collect()
    }
}

fn printable(value: &[u8]) -> Option<&str> {
    let is_text = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

fn listed(value: &[u8]) -> Option<String> {
    let text = printable(value)?;
    (!text.contains(',')).then(|| text.to_owned())
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}
