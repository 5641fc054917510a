//! What authorities say of certificates, and how they are asked.

use super::Choices;
use portway_model::ocsp::OcspDraft;
use portway_model::span::Spanned;
use std::time::Duration;

impl Choices {
    pub(super) fn ocsp(&mut self) -> OcspDraft {
        let file = self.setting(Self::file);
        if self.one_in(2) {
            return OcspDraft {
                file,
                ..OcspDraft::default()
            };
        }
        let seconds = |it: u64| Duration::from_secs(it);
        OcspDraft {
            file,
            fetch: Some(Spanned::bare(true)),
            responder: self.setting(|c| {
                c.one("http://ocsp.example/", &["http://[::1]:8/a"])
                    .to_owned()
            }),
            min_refresh: self.setting(|c| seconds(c.one(60, &[1, 300]))),
            max_refresh: self.setting(|c| seconds(c.one(3_600, &[86_400]))),
        }
    }
}
