//! Steps on values that fit what stands before them.

use super::Choices;
use super::expression::{Kind, Place};
use portway_model::expression::{
    Append, ChunkForm, Chunks, DigestKind, Given, HashKind, Hashing, JsonCharset, JwtVerify,
    MqttField, MqttPart, Operand, Operation, Scope, Secret, SetWhen, Template, TemplatePart,
    TimeUnit, Transform, Value,
};
use portway_model::replacement::without_missing;
use portway_model::settings::MapMatch;
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The text without groups that the regular expression does not have.
fn of_known_groups(pattern: &str, mut text: String) -> String {
    loop {
        let (kept, left_out) = without_missing(pattern, &text);
        if left_out.is_empty() {
            return kept;
        }
        // What stands side by side now may name a group too.
        text = kept;
    }
}

impl Choices {
    /// A regular expression, and what comes in the place of what it finds.
    pub(super) fn replacement(
        &mut self,
        place: Place,
        text: impl FnMut(&mut Self) -> String,
    ) -> (Spanned<String>, Template<Named>) {
        let pattern = self.pattern();
        let mut template = Template(Vec::new());
        // Texts side by side are one text.
        for part in self.template_of(place, "", text).0 {
            match (template.0.last_mut(), part) {
                (Some(TemplatePart::Text(before)), TemplatePart::Text(more)) => {
                    before.push_str(&more);
                }
                // A number by itself would be taken for a group by who reads it.
                (_, TemplatePart::Expression(it))
                    if matches!(it.value.value, Value::Number(_))
                        && it.value.transforms.is_empty() => {}
                (_, part) => template.0.push(part),
            }
        }
        for part in &mut template.0 {
            if let TemplatePart::Text(text) = part {
                *text = of_known_groups(&pattern, std::mem::take(text));
            }
        }
        (Spanned::bare(pattern), template)
    }

    /// A step and what it gives.
    pub(super) fn transform(&mut self, kind: Kind) -> (Transform<Named>, Kind) {
        match self.below(5) {
            4 => {
                let variable = self.variable(Scope::Process);
                let others = [
                    Transform::Not,
                    Transform::Even,
                    Transform::Odd,
                    Transform::IsLocal,
                    Transform::FixMessage,
                    Transform::MqttPacket,
                    Transform::SameSecret(variable),
                ];
                (self.one(Transform::Truth, &others), Kind::Boolean)
            }
            0 if matches!(kind, Kind::Number | Kind::Text) => {
                let number = i64::from(self.below(2_000)) - 1_000;
                let number = if number == 0 { 1 } else { number };
                let operand = match self.one_in(3) {
                    true => Operand::Variable(self.variable(Scope::Process)),
                    false => Operand::Number(number),
                };
                let operations = [
                    Operation::Subtract,
                    Operation::Multiply,
                    Operation::Divide,
                    Operation::Modulo,
                    Operation::And,
                    Operation::Or,
                    Operation::Xor,
                ];
                let operation = self.one(Operation::Add, &operations);
                let steps = [Transform::Negate, Transform::Complement];
                let calculation = Transform::Calculate(operation, operand);
                (self.one(calculation, &steps), Kind::Number)
            }
            0 if kind == Kind::Address => {
                let v4 = self.one(0, &[0xffff_ff00, u32::MAX, 0xff00_ff00]);
                let v6 = self.maybe(|c| c.one(0, &[u128::MAX, u128::MAX << 64, 0xfee0]));
                let (v4, v6) = (Ipv4Addr::from_bits(v4), v6.map(Ipv6Addr::from_bits));
                (Transform::Mask { v4, v6 }, Kind::Address)
            }
            3 if self.one_in(8) => {
                let variable = self.variable(Scope::Process);
                let step = match self.below(3) {
                    0 => Transform::UnsetVariable(variable),
                    many => Transform::SetVariable {
                        variable,
                        when: (0..many).map(|_| self.set_when()).collect(),
                    },
                };
                (step, kind)
            }
            1 => {
                let plain = [
                    Transform::Upper,
                    Transform::Text,
                    Transform::Binary,
                    Transform::FirstLine,
                    Transform::HostName,
                    Transform::Base64Url,
                    Transform::FormDecode,
                    Transform::UrlEncode,
                    Transform::Trim,
                    Transform::Base64,
                    Transform::Base64Decode,
                    Transform::Hex,
                    Transform::UrlDecode,
                    Transform::Sha256,
                    Transform::Quoted,
                    Transform::Backslashed,
                    Transform::Hexadecimal,
                ];
                (self.one(Transform::Lower, &plain), Kind::Text)
            }
            2 => (self.number_transform(), Kind::Number),
            _ => (self.text_transform(kind), Kind::Text),
        }
    }

    fn set_when(&mut self) -> SetWhen {
        let others = [
            SetWhen::NotSet,
            SetWhen::Empty,
            SetWhen::NotEmpty,
            SetWhen::Greater,
            SetWhen::Less,
        ];
        self.one(SetWhen::Set, &others)
    }

    fn number_transform(&mut self) -> Transform<Named> {
        let algorithm = self.one("none", &["HS256", "ES256"]);
        let functions = [
            HashKind::Crc32c,
            HashKind::Djb2,
            HashKind::Sdbm,
            HashKind::Wt6,
            HashKind::Xxh32,
            HashKind::Xxh64,
            HashKind::Xxh3,
        ];
        let function = self.one(HashKind::Crc32, &functions);
        let seed = self.one(0, &[1, 5, u64::MAX]);
        let variable = self.variable(Scope::Process);
        let others = [
            Transform::Number,
            Transform::HexNumber,
            Transform::HostPort,
            Transform::HealthyTargets,
            Transform::TargetQueue,
            Transform::Compare(variable),
            Transform::Hash(Hashing { function, seed }),
            Transform::JwtVerify(Box::new(JwtVerify {
                algorithm: Given::Text(algorithm.into()),
                key: Given::Text("key`\".pem".into()),
            })),
        ];
        self.one(Transform::Length, &others)
    }

    /// Steps that give text and have arguments of their own.
    fn longer_transform(&mut self) -> Transform<Named> {
        let digests = [
            DigestKind::Md5,
            DigestKind::Sha1,
            DigestKind::Sha224,
            DigestKind::Sha384,
            DigestKind::Sha512,
        ];
        let digest = self.one(DigestKind::Sha256, &digests);
        let charsets = [JsonCharset::Utf8, JsonCharset::Utf8Lossy];
        match self.below(15) {
            12 => Transform::FixTag(self.below(100) + 1),
            13 => Transform::Mqtt(MqttField {
                answer: self.one_in(2),
                part: self.one(
                    MqttPart::Flags,
                    &[
                        MqttPart::ProtocolName,
                        MqttPart::ProtocolVersion,
                        MqttPart::ClientIdentifier,
                        MqttPart::WillTopic,
                        MqttPart::WillPayload,
                        MqttPart::Username,
                        MqttPart::Password,
                        MqttPart::KeepAlive,
                        MqttPart::ReasonCode,
                        MqttPart::Property(17),
                    ],
                ),
            }),
            14 => Transform::RdpCookie(self.maybe(Self::text)),
            11 => Transform::Chunks(Chunks {
                form: self.one(ChunkForm::Decimal, &[ChunkForm::Hex]),
                between: self.text(),
                size: self.one(1, &[2, 8]),
                whole: self.one_in(2),
            }),
            1 => Transform::TrimStart(self.text()),
            2 => Transform::TrimEnd(self.text()),
            3 => Transform::Otherwise(self.text()),
            4 => Transform::Choose(self.text(), self.text()),
            5 => Transform::JsonEscape(self.one(JsonCharset::Bytes, &charsets)),
            6 => Transform::Digest(digest),
            7 => Transform::Hmac {
                digest,
                key: match self.one_in(3) {
                    true => Secret::Variable(self.variable(Scope::Process)),
                    false => Secret::Base64("a2V5".to_owned()),
                },
            },
            8 => Transform::Date {
                format: self.text(),
                offset: i64::from(self.below(10)) - 5,
                local: self.one_in(2),
            },
            9 => Transform::HttpDate {
                offset: i64::from(self.below(10)) - 5,
                unit: self.one(
                    TimeUnit::Seconds,
                    &[TimeUnit::Milliseconds, TimeUnit::Microseconds],
                ),
            },
            10 if self.one_in(2) => Transform::LastOutside(self.at_least_one(2, Self::network)),
            10 => Transform::Language(self.at_least_one(3, Self::text)),
            _ => {
                let append = Append {
                    before: self.text(),
                    variable: self.maybe(|c| c.variable(Scope::Process)),
                    after: self.text(),
                };
                match self.one_in(2) {
                    true => Transform::Append(append),
                    false => Transform::Join(append),
                }
            }
        }
    }

    fn text_transform(&mut self, kind: Kind) -> Transform<Named> {
        let index = self.one(1, &[2, 100, -1, -2]);
        let delimiters = self
            .one("/", &[",", " ", ".:", "`", "\"'\\", "${}"])
            .to_owned();
        let path = self
            .one("$.a", &["$.a.b", "$", "$.a[0]", "$['a`\"']"])
            .to_owned();
        let count = self.one(1, &[0, 2, 100]);
        match self.below(18) {
            1 => Transform::Field {
                index,
                delimiters,
                count,
            },
            2 => Transform::Word {
                index,
                delimiters,
                count,
            },
            3 => Transform::Json(path),
            10..=17 => self.longer_transform(),
            4 => Transform::JwtHeader(path),
            5 => Transform::JwtPayload(path),
            6 => Transform::Bytes {
                offset: self.below(100),
                length: self.maybe(|c| c.below(100)),
            },
            7 => {
                let pattern = self.pattern();
                Transform::Replace {
                    with: of_known_groups(&pattern, self.text()),
                    pattern: Spanned::bare(pattern),
                    all: self.one_in(2),
                }
            }
            8 => match self.among(&self.maps.clone()) {
                Some((map, compare))
                    if compare != MapMatch::Address
                        || matches!(kind, Kind::Address | Kind::Text) =>
                {
                    let (map, default) = (Spanned::bare(map), self.maybe(Self::text));
                    match compare {
                        MapMatch::Regex if self.one_in(2) => Transform::MapGroups { map, default },
                        _ => Transform::Map { map, default },
                    }
                }
                _ => Transform::Trim,
            },
            _ => Transform::Default(self.text()),
        }
    }
}
