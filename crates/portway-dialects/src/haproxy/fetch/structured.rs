//! Fetches whose arguments are more than a name: blocks of first bytes, parts of names in certificates.

use super::*;
use portway_model::first_answer::AnswerPart;

impl Reading<'_, '_, '_> {
    /// A block with its length before it. The third argument says where the block begins: after the length, from the
    /// start of what was received, or, with a sign, from there.
    pub(super) fn payload_block(&self) -> Found {
        let length_at = small(self.call.text(0))?;
        let length_bytes = small(self.call.text(1))?;
        let behind = length_at.saturating_add(length_bytes);
        let at = match self.call.given(2) {
            None => behind,
            Some(text) if text.starts_with(['+', '-']) => {
                let moved = i64::from(behind).saturating_add(integer(text)?);
                u32::try_from(moved).map_err(|_| Refusal::wrong("it begins before the start"))?
            }
            Some(text) => small(text)?,
        };
        let length_bytes = u8::try_from(length_bytes).ok();
        let length_bytes = length_bytes.filter(|bytes| (1..=4).contains(bytes));
        let length_bytes =
            length_bytes.ok_or_else(|| Refusal::wrong("the length has 1 to 4 bytes"))?;
        if self.of_response() {
            let block = AnswerPart::Block {
                length_at,
                length_bytes,
                at,
            };
            return self.of(When::Response, Type::Binary, Value::OfAnswer(block));
        }
        let value = Value::PayloadBlock {
            length_at,
            length_bytes,
            at,
        };
        self.of(When::Request, Type::Binary, value)
    }

    /// Bytes of a request; those of a response by name, or where one is looked at.
    pub(super) fn payload(&self) -> Found {
        let offset = small(self.call.text(0))?;
        let length = small(self.call.text(1))?;
        if self.of_response() {
            let part = AnswerPart::Bytes { offset, length };
            return self.of(When::Response, Type::Binary, Value::OfAnswer(part));
        }
        self.of(
            When::Request,
            Type::Binary,
            Value::Payload { offset, length },
        )
    }

    fn of_response(&self) -> bool {
        match self.call.name.split_once('.') {
            Some((side, _)) => side == "res",
            None => self.place.is_response(),
        }
    }

    /// The name in a certificate, whole or one part of it.
    pub(super) fn distinguished_name(&self) -> Found {
        let subject = self.call.name.ends_with("_s_dn");
        let field = match (self.call.given(0), self.call.text(2)) {
            (None, "") if subject => CertificateField::SubjectLine,
            (None, "") => CertificateField::IssuerLine,
            (None, "rfc2253") if subject => CertificateField::Subject,
            (None, "rfc2253") => CertificateField::Issuer,
            (_, format) if !matches!(format, "" | "rfc2253") => {
                return Err(Refusal::wrong("the format is 'rfc2253'"));
            }
            (None, _) => return Err(Refusal::wrong("the format is 'rfc2253'")),
            (Some(attribute), _) => {
                let occurrence = self.occurrence()?.unwrap_or(1);
                let part = NamePart {
                    attribute: attribute.to_owned(),
                    occurrence: i16::try_from(occurrence)
                        .map_err(|_| Refusal::wrong("the occurrence is out of range"))?,
                };
                match subject {
                    true => CertificateField::SubjectPart(part),
                    false => CertificateField::IssuerPart(part),
                }
            }
        };
        let (when, value) = match self.call.name.get(..6) {
            Some("ssl_f_") => (When::Session, Value::ShownCertificate(field)),
            Some("ssl_s_") => (When::Connected, Value::TargetCertificate(field)),
            _ => (When::Session, Value::ClientCertificate(field)),
        };
        self.of(when, Type::Text, value)
    }
}
