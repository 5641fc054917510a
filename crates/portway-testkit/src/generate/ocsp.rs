//! What authorities say of certificates, and how they are asked.

use super::Choices;
use portway_model::ocsp::{OcspDraft, Responder};
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
                let mut url = || {
                    c.one("http://ocsp.example/", &["http://[::1]:8/a"])
                        .to_owned()
                };
                let (one, other) = (url(), url());
                match c.one_in(2) {
                    true => Responder::At(one),
                    false => Responder::InPlaceOf(vec![
                        ("http://named.example".to_owned(), one),
                        ("what \"is'named".to_owned(), other),
                    ]),
                }
            }),
            min_refresh: self.setting(|c| seconds(c.one(60, &[1, 300]))),
            max_refresh: self.setting(|c| seconds(c.one(3_600, &[86_400]))),
        }
    }
}
