//! TLS on both sides: versions, suites, and what is expected of targets; HTTP/2 with clients.

use super::Choices;
use portway_model::compile::limits;
use portway_model::draft::{TlsPolicyDraft, UpstreamTlsDraft, Verify};
use portway_model::http2::{Http2Draft, PriorKnowledge};
use portway_model::settings::{CertificateJudge, ServerName, TlsVersion, VerifyName};
use portway_model::span::Spanned;

impl Choices {
    pub(super) fn http2(&mut self) -> Http2Draft {
        let others = [PriorKnowledge::Optional, PriorKnowledge::Refused];
        let initial_window = self.setting(|c| c.below(100_000) + limits::MIN_HTTP2_WINDOW);
        let first = initial_window.map_or(65_535, |it| it.value);
        Http2Draft {
            prior_knowledge: self.setting(|c| c.one(PriorKnowledge::Required, &others)),
            max_streams: self.setting(|c| c.below(limits::MAX_HTTP2_STREAMS) + 1),
            initial_window,
            max_window: self.setting(|c| first + c.below(1_000_000)),
            connection_window: self
                .setting(|c| c.below(1_000_000) + limits::MIN_HTTP2_CONNECTION_WINDOW),
            max_reset_rate: self.setting(|c| c.below(1_000) + 1),
            max_idle_frame_rate: self.setting(|c| c.below(1_000) + 1),
        }
    }

    pub(super) fn tls_policy(&mut self) -> TlsPolicyDraft {
        let versions = [TlsVersion::V12, TlsVersion::V13];
        TlsPolicyDraft {
            name: self.setting(|c| c.one("intermediate", &["modern", "a \"b\""]).to_owned()),
            min_version: self.setting(|_| TlsVersion::V12),
            max_version: self.setting(|c| c.one(TlsVersion::V13, &versions)),
            suites: self.setting(|c| {
                c.at_least_one(2, |c| {
                    let names = ["ECDHE-RSA-AES128-GCM-SHA256"];
                    Spanned::bare(c.one("TLS_AES_128_GCM_SHA256", &names).to_owned())
                })
            }),
            curves: self.setting(|c| {
                c.at_least_one(2, |c| Spanned::bare(c.one("X25519", &["P-384"]).to_owned()))
            }),
        }
    }

    pub(super) fn upstream_tls(&mut self) -> UpstreamTlsDraft {
        UpstreamTlsDraft {
            verify: self.setting(|c| match c.below(3) {
                1 => Verify::Off,
                2 => Verify::Ca(c.at_least_one(2, Self::file)),
                _ => Verify::System,
            }),
            server_name: self.setting(|c| match c.below(4) {
                1 => ServerName::Host,
                2 => ServerName::None,
                3 => ServerName::Fixed(c.host_name()),
                _ => ServerName::Client,
            }),
            judge: self.setting(|c| c.one(CertificateJudge::Portway, &[CertificateJudge::Openssl])),
            resume: self.setting(|c| c.one_in(2)),
            verify_name: self.setting(|c| match c.below(3) {
                1 => VerifyName::SentOrAny,
                2 => VerifyName::SentOr(c.host_name()),
                _ => VerifyName::SentOrAddress,
            }),
            alpn: self.setting(|_| vec!["http/1.0".to_owned()]),
            crl: None,
            policy: self.tls_policy(),
            certificate: self.among(&self.certificates.clone()).map(Spanned::bare),
        }
    }
}
