//! Actions in which other services have a part.

use super::{Choices, Place};
use portway_model::action::Action;
use portway_model::authorize::{Authorize, Trust};
use portway_model::cors::{Cors, SecurityHeaders};
use portway_model::digest_auth::{DigestAuth, DigestUser, Ha1};
use portway_model::jwt::{
    Claim, ClaimForm, Jwt, JwtAlgorithm, KeySource, KeyUrl, OnBadToken, REFRESH, TokenFrom,
};
use portway_model::mirror::Mirror;
use portway_model::name::Name;
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::sync::Arc;
use std::time::Duration;

impl Choices {
    /// A copy for one of these groups.
    pub(super) fn mirror(&mut self, groups: &[Name]) -> Action<Named> {
        let Some(group) = self.among(groups) else {
            return Action::Accept;
        };
        let usual = Mirror::<Named>::new(Spanned::bare(group));
        Action::Mirror(Mirror {
            percent: self.one(usual.percent, &[0, 1, 50]),
            body_bytes: match self.below(3) {
                0 => usual.body_bytes,
                1 => None,
                _ => Some(1000),
            },
            group: usual.group,
        })
    }

    /// Who may pass by Digest authorization.
    pub(super) fn digest_auth(&mut self) -> Action<Named> {
        let user = |name: &str| DigestUser {
            name: name.to_owned(),
            ha1: Ha1::new(&"0f".repeat(16)).unwrap_or_else(|| unreachable!("32 digits")),
        };
        let mut users = vec![user("ann")];
        if self.one_in(2) {
            users.push(user("bob.b"));
        }
        Action::DigestAuth(Arc::new(DigestAuth {
            realm: self.word(),
            users,
            user_header: self.maybe(|_| "X-User".to_owned()),
        }))
    }

    /// A question to one of these groups.
    pub(super) fn authorize(&mut self, place: Place, groups: &[Name]) -> Action<Named> {
        let Some(group) = self.among(groups) else {
            return Action::Accept;
        };
        let usual = Authorize::new(Spanned::bare(group));
        let header = |c: &mut Self| c.one("X-User", &["X-Group", "X-a"]).to_owned();
        let asked = Authorize {
            target: match self.one_in(3) {
                true => usual.target,
                false => self.template_of(place, "/auth", Self::word),
            },
            keep_method: self.one_in(3),
            request_headers: self.maybe(|c| c.some(3, header)),
            headers: match self.one_in(2) {
                true => vec![(
                    "Host".to_owned(),
                    self.template_of(place, "auth", Self::word),
                )],
                false => Vec::new(),
            },
            trust: self.one(usual.trust, &[Trust::Nobody, Trust::Everybody]),
            body_bytes: self.maybe(|c| c.one(1024, &[1, 32768])),
            copy_headers: self.some(3, header),
            copy_matching: self.maybe(|c| Spanned::bare(c.pattern())),
            copy_cookies: self.some(2, |c| c.one("session", &["id"]).to_owned()),
            answer_bytes: self.one(usual.answer_bytes, &[0, 100]),
            location_base: self.maybe(|_| "http://auth.example/a".to_owned()),
            on_failure: match self.below(3) {
                0 => usual.on_failure,
                1 => None,
                _ => Some(500),
            },
            group: usual.group,
        };
        Action::Authorize(Arc::new(asked))
    }

    /// Who may read.
    pub(super) fn cors(&mut self) -> Action<Named> {
        let origins = self.at_least_one(2, |c| {
            c.one("https://a.example", &["https://*.b.example:8443", "null"])
                .to_owned()
        });
        let usual = Cors::new(origins);
        let word = |c: &mut Self| c.one("X-A", &["PUT", "*"]).to_owned();
        Action::Cors(Arc::new(Cors {
            methods: match self.one_in(2) {
                true => usual.methods,
                false => self.some(3, word),
            },
            headers: self.some(3, word),
            expose: self.some(3, word),
            // Any page can make itself the origin `null`.
            credentials: self.one_in(2) && !usual.origins.iter().any(|it| it == "null"),
            max_age: self.maybe(|_| Duration::from_secs(600)),
            origins: usual.origins,
        }))
    }

    /// What browsers are told.
    pub(super) fn security_headers(&mut self) -> Action<Named> {
        let usual = SecurityHeaders::default();
        let text = |c: &mut Self, usual: &str, other: &'static str| match c.one_in(2) {
            true => usual.to_owned(),
            false => c.one("", &[other]).to_owned(),
        };
        Action::SecurityHeaders(Arc::new(SecurityHeaders {
            transport: self.one(usual.transport, &[Duration::ZERO, Duration::from_secs(60)]),
            subdomains: self.one_in(3),
            preload: self.one_in(3),
            frame: text(self, &usual.frame, "DENY"),
            referrer: text(self, &usual.referrer, "no-referrer, Origin"),
            nosniff: !self.one_in(3),
            content: text(self, &usual.content, "default-src 'self'"),
            permissions: text(
                self,
                &usual.permissions,
                "camera=(), usb=(self \"https://a.example\")",
            ),
            opener: text(self, &usual.opener, "unsafe-none; report-to=\"a\""),
            replace: self.one_in(3),
        }))
    }

    /// A token that is asked for.
    pub(super) fn jwt(&mut self) -> Action<Named> {
        let keys = match self.below(3) {
            0 => KeySource::File("keys.json".to_owned()),
            1 => KeySource::Secret("secret.key".to_owned()),
            _ => KeySource::Url(KeyUrl {
                url: "https://login.example/jwks.json".to_owned(),
                ca: self.maybe(|_| "ca.pem".to_owned()),
                refresh: self.one(REFRESH, &[Duration::from_secs(60)]),
            }),
        };
        let usual = Jwt::new(keys);
        let text = |c: &mut Self| c.one("a", &["b", "c"]).to_owned();
        let jwt = Jwt {
            token: match self.below(4) {
                0 => vec![
                    TokenFrom::Cookie("session".to_owned()),
                    TokenFrom::Query("token".to_owned()),
                ],
                1 => vec![TokenFrom::Header("X-Token".to_owned())],
                _ => usual.token,
            },
            algorithms: match (&usual.keys, self.one_in(2)) {
                (_, false) => usual.algorithms,
                (KeySource::Secret(_), true) => vec![
                    JwtAlgorithm::Hs256,
                    JwtAlgorithm::Hs384,
                    JwtAlgorithm::Hs512,
                ],
                (_, true) => vec![JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
            },
            issuers: self.some(2, text),
            audiences: self.some(2, text),
            leeway: self.one(usual.leeway, &[Duration::ZERO, Duration::from_secs(5)]),
            require: match self.one_in(2) {
                true => usual.require,
                false => self.some(2, text),
            },
            claims: self.some(2, |c| Claim {
                name: c
                    .one("scope", &["$.realm.role", "https://a.example/group"])
                    .to_owned(),
                form: c.one(ClaimForm::Text, &[ClaimForm::List, ClaimForm::Words]),
                values: vec![c.one("read", &["write"]).to_owned()],
            }),
            headers: self.some(2, |c| {
                let name = c.one("X-User", &["X-Group"]).to_owned();
                (name, c.one("sub", &["$.realm.role"]).to_owned())
            }),
            realm: self.maybe(Self::line),
            on_failure: self.one(
                OnBadToken::Refuse,
                &[OnBadToken::Pass, OnBadToken::PassMissing],
            ),
            keys: usual.keys,
        };
        Action::Jwt(Arc::new(jwt))
    }
}
