//! Clients that are kept with their target by a cookie of the application: a stick table remembers who set which value.

use super::Lowering;
use super::text::always;
use portway_model::action::{Action, Phase, Places, Rule};
use portway_model::choice::StickTo;
use portway_model::draft::{GroupDraft, StickTableDraft};
use portway_model::expression::{Counter, Expression, StoredCounter, Value};
use portway_model::name::Name;
use portway_model::settings::KeyType;
use portway_model::span::{Origin, Spanned};
use std::time::Duration;

/// Bytes of a cookie's value that tell clients apart; what applications make has 26 to 128.
const KEY_BYTES: u16 = 256;
/// Clients that are remembered, those seen last. An entry takes some 400 bytes.
const MAX_CLIENTS: u32 = 100_000;

impl Lowering<'_, '_, '_> {
    /// Keeps clients of a group by this cookie of its targets, for so long since their last request.
    pub(super) fn keep_by_app_cookie(
        &mut self,
        group: &mut GroupDraft,
        cookie: Spanned<&str>,
        lasts: Option<Duration>,
    ) {
        let name = Name::new(format!("{}-{}", group.name.value, cookie.value));
        let table = Spanned::new(name, cookie.span);
        self.draft.stick_tables.push(StickTableDraft {
            name: table.clone(),
            key: Some(Spanned::bare(KeyType::Text { length: KEY_BYTES })),
            size: Some(Spanned::bare(MAX_CLIENTS)),
            expire: lasts.map(Spanned::bare),
            when_full: None,
            target_key: None,
            store: vec![Spanned::bare(StoredCounter {
                counter: Counter::Target,
                period: None,
            })],
        });
        let own = cookie.value.to_owned();
        let steps = [
            (Phase::Request, StickTo::Both, Value::Cookie(own.clone())),
            (Phase::Response, StickTo::Store, Value::ResponseCookie(own)),
        ];
        for (phase, to, value) in steps {
            group.rules.push(Rule {
                phase,
                condition: always(),
                actions: vec![Action::Stick {
                    to,
                    key: Expression::from(value),
                    table: table.clone(),
                }],
                origin: Origin(cookie.span),
                places: Places::default(),
            });
        }
    }
}
