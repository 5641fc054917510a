//! What belongs to connections rather than to requests.

use super::{Choices, Place};
use portway_model::action::{Action, Phase, Places, Rule};
use portway_model::expression::{Condition, Matcher, NumberRange, Test, Value};
use portway_model::first_answer::AnswerPart;
use portway_model::proxied::PassOn;
use portway_model::settings::{ProxyPart, ProxyProtocol, SendProxy};
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;

impl Choices {
    /// A rule on what the target of a stream sends first. `place`: where what it asks besides is known.
    pub(super) fn answer_rule(&mut self, place: Place) -> Rule<Named> {
        let texts = [
            AnswerPart::SessionId,
            AnswerPart::Block {
                length_at: self.below(100),
                length_bytes: 4,
                at: self.below(100),
            },
        ];
        let bytes = AnswerPart::Bytes {
            offset: self.below(100),
            length: self.below(100),
        };
        let (part, matcher) = match self.one_in(2) {
            true => (self.one(bytes, &texts), Matcher::Present),
            false => {
                let two = NumberRange { min: 2, max: 2 };
                let any_of = vec![two];
                let part = self.one(AnswerPart::HelloType, &[AnswerPart::Length]);
                (part, Matcher::Number { any_of })
            }
        };
        let answered = Condition::Test(Spanned::bare(Test {
            expression: Value::OfAnswer(part).into(),
            matcher,
        }));
        let others = [
            Action::Reject { silent: true },
            Action::Reject { silent: false },
        ];
        let action = match self.one_in(3) {
            true => self.stick(place, Phase::Response),
            false => self.one(Action::Accept, &others),
        };
        Rule {
            phase: Phase::Response,
            condition: Condition::All(vec![self.condition(place), answered]),
            actions: vec![action],
            origin: Origin(Span::NONE),
            places: Places::default(),
        }
    }

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
