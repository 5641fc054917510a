//! What belongs to connections rather than to requests.

use super::Choices;
use portway_model::proxied::PassOn;
use portway_model::settings::{ProxyPart, ProxyProtocol, SendProxy};

impl Choices {
    /// The header of the PROXY protocol that targets get.
    pub(super) fn send_proxy(&mut self) -> SendProxy {
        let version = self.one(ProxyProtocol::V1, &[ProxyProtocol::V2]);
        let mut parts = vec![
            ProxyPart::Tls,
            ProxyPart::CommonName,
            ProxyPart::Cipher,
            ProxyPart::Key,
            ProxyPart::Signature,
            ProxyPart::Authority,
            ProxyPart::Alpn,
            ProxyPart::Checksum,
            ProxyPart::UniqueId,
        ];
        if version == ProxyProtocol::V1 {
            parts.clear();
        }
        parts.retain(|_| self.one_in(2));
        let types = vec![0x02, 0xEA, 0xFE];
        let others = [PassOn::default(), PassOn::All, PassOn::Types(types)];
        let pass_on = match version {
            ProxyProtocol::V1 => PassOn::default(),
            ProxyProtocol::V2 => self.one(PassOn::Types(vec![0x20]), &others),
        };
        SendProxy {
            version,
            parts,
            pass_on,
        }
    }
}
