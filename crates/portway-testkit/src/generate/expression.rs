//! Values that are known in their place, transforms that fit them, tests that can hold.

use super::{Choices, KnownTable};
use ipnet::IpNet;
use portway_model::action::{End, Phase};
use portway_model::expression::{
    CertificateField, CertificateInfo, Condition, Counter, CounterEntry, EntryFigure, Expression,
    GroupFigure, HeaderPart, ListenerFigure, LogValue, MatchGroup, Matched, Matcher, Message,
    NameAttribute, NamePart, NumberRange, PriorityPart, Scope, TableFigure, TargetFigure, Template,
    TemplatePart, Test, TextMatch, TimeoutOf, TlsField, Touch, Value, Variable, Within,
};
use portway_model::name::Name;
use portway_model::proxied::ProxyField;
use portway_model::settings::{KeyType, MapMatch};
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// When an expression is evaluated, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In a rule of this phase; `None`: when the access record is written.
    pub phase: Option<Phase>,
    /// On a listener that terminates TLS.
    pub tls: bool,
    /// On a target group.
    pub group: bool,
}

impl Place {
    /// The request phase of a listener without TLS.
    pub const REQUEST: Place = Place {
        phase: Some(Phase::Request),
        tls: false,
        group: false,
    };

    fn from(self, phase: Phase) -> bool {
        self.phase.is_none_or(|now| now >= phase)
    }
}

/// What a value can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Text,
    Number,
    Address,
    Boolean,
}

pub(super) const TEXT_MATCHES: [TextMatch; 6] = [
    TextMatch::Prefix,
    TextMatch::Suffix,
    TextMatch::Contains,
    TextMatch::Glob,
    TextMatch::Segment,
    TextMatch::Label,
];

impl Choices {
    /// A tree of tests.
    pub(super) fn condition(&mut self, place: Place) -> Condition<Named> {
        self.condition_below(place, 3)
    }

    fn condition_below(&mut self, place: Place, depth: u32) -> Condition<Named> {
        let choice = if depth == 0 { 0 } else { self.below(6) };
        match choice {
            3 => Condition::Not(Box::new(self.condition_below(place, depth - 1))),
            4 => Condition::All(self.some(4, |c| c.condition_below(place, depth - 1))),
            5 => Condition::Any(self.some(4, |c| c.condition_below(place, depth - 1))),
            _ => Condition::Test(Spanned::bare(self.test(place))),
        }
    }

    fn test(&mut self, place: Place) -> Test<Named> {
        let (expression, kind) = self.typed_expression(place);
        let list = self.among(&self.maps.clone());
        let fits_list = |compare: &MapMatch| {
            *compare != MapMatch::Address || matches!(kind, Kind::Address | Kind::Text)
        };
        let matcher = match (self.below(6), list) {
            (0, _) => Matcher::Present,
            (1, Some((list, compare))) if fits_list(&compare) => Matcher::Listed {
                list: Spanned::bare(list),
            },
            (1 | 2, _) if kind != Kind::Address => Matcher::True,
            _ => self.matcher(kind),
        };
        Test {
            expression,
            matcher,
        }
    }

    fn matcher(&mut self, kind: Kind) -> Matcher<Named> {
        let kind = match kind {
            Kind::Text => self.one(Kind::Word, &[Kind::Word, Kind::Number, Kind::Address]),
            kind => kind,
        };
        match kind {
            Kind::Word | Kind::Text if self.one_in(3) => Matcher::Regex {
                any_of: self.at_least_one(2, |c| Spanned::bare(c.pattern())),
            },
            Kind::Word | Kind::Text => Matcher::Text {
                how: self.one(TextMatch::Exact, &TEXT_MATCHES),
                any_of: self.at_least_one(3, Self::text),
                ignore_case: self.one_in(3),
            },
            Kind::Number => Matcher::Number {
                any_of: self.at_least_one(3, Self::range),
            },
            Kind::Address => Matcher::Address {
                any_of: self.at_least_one(3, Self::network),
            },
            Kind::Boolean => Matcher::True,
        }
    }

    fn range(&mut self) -> NumberRange {
        let first = i64::from(self.below(1_000)) - 100;
        let second = self.one(first, &[first + 1, first + 1_000, i64::MAX]);
        let first = if self.one_in(10) { i64::MIN } else { first };
        NumberRange {
            min: first,
            max: second,
        }
    }

    /// A value with transforms.
    pub(super) fn expression(&mut self, place: Place) -> Expression<Named> {
        self.typed_expression(place).0
    }

    fn typed_expression(&mut self, place: Place) -> (Expression<Named>, Kind) {
        let (value, mut kind) = self.value(place);
        let mut transforms = Vec::new();
        let steps = if self.one_in(3) { self.count(4) } else { 0 };
        for _ in 0..steps {
            let (transform, made) = self.transform(kind);
            transforms.push(transform);
            kind = made;
        }
        (Expression { value, transforms }, kind)
    }

    /// An expression that can be a key of this type.
    pub(super) fn key(&mut self, place: Place, key: KeyType) -> Expression<Named> {
        match key {
            KeyType::Address | KeyType::Address6 => {
                self.one(Value::Source, &[Value::Destination]).into()
            }
            KeyType::Number => self.one(Value::SourcePort, &[Value::Now]).into(),
            KeyType::Text { .. } | KeyType::Binary { .. } if self.depth == 0 => {
                self.depth += 1;
                let key = self.expression(place);
                self.depth -= 1;
                key
            }
            KeyType::Text { .. } | KeyType::Binary { .. } => Value::ListenerName.into(),
        }
    }

    fn value(&mut self, place: Place) -> (Value<Named>, Kind) {
        match self.below(6) {
            1 if place.from(Phase::ClientHello) => self.stream_value(place),
            2 | 3 | 5 if place.phase.is_none() => self.log_value(),
            2 | 3 if place.from(Phase::Request) => self.request_value(),
            4 if place.from(Phase::Response) => self.response_value(),
            5 => self.live_value(place),
            _ => self.connection_value(place),
        }
    }

    /// What is known from the first moment on.
    fn connection_value(&mut self, place: Place) -> (Value<Named>, Kind) {
        match self.below(22) {
            20 => (Value::Accepted(End::Source), Kind::Address),
            21 => (
                self.one(
                    Value::Accepted(End::DestinationPort),
                    &[Value::Timeout(TimeoutOf::Client)],
                ),
                Kind::Number,
            ),
            16 => {
                let address = self.network().addr();
                (Value::Address(address), Kind::Address)
            }
            17 => (
                self.one(Value::Worker, &[Value::NowMicroseconds]),
                Kind::Number,
            ),
            18 => (Value::Uuid, Kind::Word),
            19 => (Value::Draining, Kind::Boolean),
            15 => (Value::Boolean(self.one_in(2)), Kind::Boolean),
            1 => (Value::Text(self.text()), Kind::Text),
            2 => (
                Value::Number(i64::from(self.below(u32::MAX)) - 1_000),
                Kind::Number,
            ),
            3 => (Value::SourcePort, Kind::Number),
            4 => (Value::Destination, Kind::Address),
            5 => (Value::DestinationPort, Kind::Number),
            6 => (Value::ListenerName, Kind::Word),
            7 => (Value::Tls, Kind::Boolean),
            8 => (
                self.one(
                    Value::ListenerConnections,
                    &[Value::ListenerConnectionRate, Value::ListenerRequestRate],
                ),
                Kind::Number,
            ),
            9 => (Value::Random(self.below(1_000) + 1), Kind::Number),
            10 => (Value::Now, Kind::Number),
            11 => (Value::Hostname, Kind::Text),
            12 => {
                let name = self.one("HOME", &["a b", "ä", "`\"'", "${X}"]).to_owned();
                (Value::Environment(name), Kind::Text)
            }
            13 | 14 => {
                let scopes = scopes(place.phase);
                let scope = self.one(Scope::Connection, scopes);
                (Value::Variable(self.variable(scope)), Kind::Text)
            }
            _ => (Value::Source, Kind::Address),
        }
    }

    pub(super) fn variable(&mut self, scope: Scope) -> Variable {
        Variable {
            scope,
            name: self.variable_name(),
        }
    }

    /// What is known from the first bytes on.
    fn stream_value(&mut self, place: Place) -> (Value<Named>, Kind) {
        let tls = place.tls || place.from(Phase::Request);
        match self.below(17) {
            1 if !place.tls => (Value::HelloSni, Kind::Text),
            2 if !place.tls => (Value::HelloAlpn, Kind::Word),
            3 => (Value::HelloType, Kind::Number),
            4 => (Value::Capture(1), Kind::Text),
            5 => {
                let (offset, length) = (self.below(100), self.below(100));
                (Value::Payload { offset, length }, Kind::Text)
            }
            6 if tls => {
                let words = [Value::TlsCipherOpenssl, Value::TlsCipher, Value::Alpn];
                (self.one(Value::TlsVersion, &words), Kind::Word)
            }
            7 if tls => (Value::Sni, Kind::Text),
            8 if tls => self.certificate_value(),
            9 => (Value::HelloVersion, Kind::Number),
            10 => (Value::HelloExtension(10), Kind::Boolean),
            0 => (Value::HelloSessionId, Kind::Text),
            11 => (self.one(Value::WaitEnded, &[Value::IsHttp]), Kind::Boolean),
            12 => {
                let block = Value::PayloadBlock {
                    length_at: self.below(100),
                    length_bytes: self.one(1, &[2, 4]),
                    at: self.below(100),
                };
                (block, Kind::Text)
            }
            13 if tls => (Value::TlsKeyBits, Kind::Number),
            14 if tls => (Value::TlsResumed, Kind::Boolean),
            16 if tls => (Value::TlsSessionId, Kind::Text),
            15 if tls => self.proxied(),
            _ => (Value::PayloadLength, Kind::Number),
        }
    }

    fn proxied(&mut self) -> (Value<Named>, Kind) {
        let truths = [
            Value::Proxied(ProxyField::Tls),
            Value::Proxied(ProxyField::Verified),
        ];
        let numbers = [Value::Proxied(ProxyField::GcpConnection)];
        let texts = [
            ProxyField::Alpn,
            ProxyField::Authority,
            ProxyField::UniqueId,
            ProxyField::NetworkNamespace,
            ProxyField::TlsVersion,
            ProxyField::CommonName,
            ProxyField::Cipher,
            ProxyField::Signature,
            ProxyField::Key,
            ProxyField::Type(0xFE),
        ];
        match self.below(4) {
            0 => (self.one(Value::ProxyReceived, &truths), Kind::Boolean),
            1 => {
                let azure = Value::Proxied(ProxyField::AzureEndpoint);
                (self.one(azure, &numbers), Kind::Number)
            }
            _ => {
                let field = self.one(ProxyField::AwsEndpoint, &texts);
                (Value::Proxied(field), Kind::Text)
            }
        }
    }

    fn certificate_value(&mut self) -> (Value<Named>, Kind) {
        let part = NamePart {
            attribute: "CN".to_owned(),
            occurrence: self.one(1, &[-1, 2]),
        };
        let fields = [
            CertificateField::Verified,
            CertificateField::Subject,
            CertificateField::Issuer,
            CertificateField::Serial,
            CertificateField::Fingerprint,
            CertificateField::NotBefore,
            CertificateField::NotAfter,
            CertificateField::Pem,
            CertificateField::VerifyCode,
            CertificateField::Fault,
            CertificateField::FaultAbove,
            CertificateField::FaultAboveDepth,
            CertificateField::SubjectLine,
            CertificateField::IssuerLine,
            CertificateField::SubjectPart(part.clone()),
            CertificateField::IssuerPart(part),
            CertificateField::SerialBytes,
            CertificateField::Sha1Bytes,
            CertificateField::NotBeforeText,
            CertificateField::NotAfterText,
            CertificateField::Version,
            CertificateField::KeyAlgorithm,
            CertificateField::SignatureAlgorithm,
            CertificateField::DnsNames,
            CertificateField::Addresses,
            CertificateField::Emails,
            CertificateField::Uris,
            CertificateField::AlternativeNames,
            CertificateField::Info(vec![
                CertificateInfo::Subject(NameAttribute::CommonName),
                CertificateInfo::Serial,
                CertificateInfo::AsTraefik,
            ]),
            CertificateField::Der,
        ];
        let field = self.one(CertificateField::Present, &fields);
        let kind = match field {
            CertificateField::Present | CertificateField::Verified => Kind::Boolean,
            CertificateField::VerifyCode
            | CertificateField::Fault
            | CertificateField::FaultAbove
            | CertificateField::FaultAboveDepth
            | CertificateField::Version => Kind::Number,
            CertificateField::SubjectPart(_) | CertificateField::IssuerPart(_) => Kind::Text,
            _ => Kind::Word,
        };
        (
            match self.below(2) {
                0 => Value::ShownCertificate(field),
                _ => Value::ClientCertificate(field),
            },
            kind,
        )
    }

    fn request_value(&mut self) -> (Value<Named>, Kind) {
        match self.below(28) {
            25 => match self.among(&self.userlists.clone()) {
                Some(users) => (Value::AuthenticatedUser(Spanned::bare(users)), Kind::Text),
                None => (Value::Path, Kind::Text),
            },
            26 => {
                let of = self.one(Value::HostPath, &[Value::Base, Value::Path]);
                (Value::WithSource(Box::new(of.into())), Kind::Text)
            }
            27 => {
                let group = self.one(MatchGroup::Number(0), &[MatchGroup::Name("b".into())]);
                let of = self.one(Value::HostPath, &[Value::Path, Value::Header("X-A".into())]);
                let within = Some(Within {
                    expression: of.into(),
                    any_of: vec![
                        Spanned::bare("^(?<b>a`?)".to_owned()),
                        Spanned::bare(self.pattern()),
                    ],
                });
                (
                    Value::Matched(Box::new(Matched { group, within })),
                    Kind::Text,
                )
            }
            19 => (Value::HostPath, Kind::Text),
            20 => {
                let words = [Value::ReceivedMethod, Value::AuthorizationScheme];
                (self.one(Value::ReceivedMethod, &words), Kind::Word)
            }
            21 => {
                let name = self.maybe(Self::text);
                let delimiter = self.maybe(|c| c.one('?', &[';', 'é', '`', '"']));
                (Value::Argument { name, delimiter }, Kind::Text)
            }
            22 => {
                let header = self.maybe(Self::header);
                let texts = [
                    Value::ReceivedTarget,
                    Value::BasicPassword,
                    Value::BodyArgument(self.text()),
                ];
                (self.one(Value::Bearer(header), &texts), Kind::Text)
            }
            23 => (Value::FirstRequest, Kind::Boolean),
            24 => match self.among(&self.userlists.clone()) {
                Some(users) => {
                    let users = Spanned::bare(users);
                    let groups = self.some(2, Self::text);
                    (Value::InUserGroup { users, groups }, Kind::Boolean)
                }
                None => (Value::Path, Kind::Text),
            },
            1 => (Value::Host, Kind::Text),
            2 => (Value::Method, Kind::Word),
            3 => (Value::Scheme, Kind::Word),
            4 => (Value::HttpVersion, Kind::Text),
            5 => (Value::Query, Kind::Text),
            6 => (Value::QueryParameter(self.text()), Kind::Text),
            7 => (self.one(Value::Target, &[Value::Url]), Kind::Text),
            8 => (Value::Base, Kind::Text),
            9 | 10 => (Value::Header(self.header()), Kind::Text),
            11 => self.message_value(Message::Request),
            12 => (Value::Cookie(self.token()), Kind::Text),
            13 => (Value::Body, Kind::Text),
            14 => (Value::BodyLength, Kind::Number),
            15 => (Value::BasicUser, Kind::Text),
            16 => (
                self.one(Value::RequestId, &[Value::TraceId, Value::SpanId]),
                Kind::Text,
            ),
            17 => match self.among(&self.userlists.clone()) {
                Some(users) => (Value::Authenticated(Spanned::bare(users)), Kind::Boolean),
                None => (Value::Path, Kind::Text),
            },
            _ => (Value::Path, Kind::Text),
        }
    }

    /// Headers and cookies of either message.
    fn message_value(&mut self, of: Message) -> (Value<Named>, Kind) {
        let place = self.one(1, &[2, -1, -2]);
        match self.below(7) {
            5 => (Value::AnyCookie(of), Kind::Text),
            1 => {
                let name = self.header();
                let part = HeaderPart::Line(place);
                (Value::HeaderPart { of, name, part }, Kind::Text)
            }
            2 => {
                let name = self.header();
                let part = HeaderPart::Item(self.maybe(|_| place));
                (Value::HeaderPart { of, name, part }, Kind::Text)
            }
            3 => {
                let delimiter = self.text();
                (Value::HeaderNames { of, delimiter }, Kind::Word)
            }
            4 => {
                let name = self.maybe(Self::token);
                (Value::CookieCount { of, name }, Kind::Number)
            }
            _ => {
                let name = self.maybe(Self::header);
                let items = self.one_in(2);
                (Value::HeaderCount { of, name, items }, Kind::Number)
            }
        }
    }

    fn response_value(&mut self) -> (Value<Named>, Kind) {
        match self.below(9) {
            6 => (
                self.one(Value::ResponseVersion, &[Value::ResponseCapture(2)]),
                Kind::Text,
            ),
            7 => self.message_value(Message::Response),
            1 => (Value::ResponseHeader(self.header()), Kind::Text),
            2 => (Value::ResponseCookie(self.token()), Kind::Text),
            3 => (Value::GroupName, Kind::Word),
            4 => (
                self.one(
                    Value::TargetName,
                    &[
                        Value::TargetCertificate(CertificateField::Subject),
                        Value::TargetTls(TlsField::Version),
                        Value::TargetTls(TlsField::Cipher),
                        Value::TargetTls(TlsField::CipherOpenssl),
                        Value::TargetTls(TlsField::Alpn),
                        Value::HeaderBlock(Message::Request),
                        Value::HeaderBlock(Message::Response),
                    ],
                ),
                Kind::Word,
            ),
            5 => (
                self.one(
                    Value::TargetNumber,
                    &[
                        Value::Priority(PriorityPart::Class),
                        Value::Priority(PriorityPart::Offset),
                        Value::Timeout(TimeoutOf::Group),
                        Value::Timeout(TimeoutOf::GroupTunnel),
                        Value::Timeout(TimeoutOf::Response),
                        Value::Timeout(TimeoutOf::Tunnel),
                    ],
                ),
                Kind::Number,
            ),
            8 => (Value::TargetAddress, Kind::Text),
            _ if self.one_in(4) => (Value::ResponseBody, Kind::Text),
            _ if self.one_in(4) => (Value::ResponseBodyLength, Kind::Number),
            _ => (Value::Status, Kind::Number),
        }
    }

    fn log_value(&mut self) -> (Value<Named>, Kind) {
        let words = [
            LogValue::StartTimeCommon,
            LogValue::StartTimeLocal,
            LogValue::StartDate,
            LogValue::AcceptTimeCommon,
            LogValue::AcceptTimeLocal,
            LogValue::AcceptDate,
            LogValue::RetriesMarked,
            LogValue::Termination,
            LogValue::TerminationLetters,
            LogValue::TerminationShort,
            LogValue::RequestLine,
            LogValue::RequestMethod,
            LogValue::RequestUri,
            LogValue::RequestUriPath,
            LogValue::RequestPath,
            LogValue::RequestQuery,
            LogValue::RequestVersion,
            LogValue::CapturedRequest,
            LogValue::CapturedRequestList,
            LogValue::CapturedResponse,
            LogValue::CapturedResponseList,
            LogValue::CapturedRequestCookie,
            LogValue::CapturedResponseCookie,
            LogValue::ClientAddress,
            LogValue::ListenerAddress,
            LogValue::UpstreamAddress,
            LogValue::TargetIp,
            LogValue::ListenerTransport,
            LogValue::Backend,
            LogValue::Server,
            LogValue::TargetsAttempted,
            LogValue::RuleFile,
            LogValue::RuleLine,
            LogValue::TlsVersion,
            LogValue::TlsCipher,
            LogValue::ConnectionError,
        ];
        let numbers = [
            LogValue::AcceptSeconds,
            LogValue::AcceptMilliseconds,
            LogValue::HandshakeTime,
            LogValue::IdleTime,
            LogValue::RequestTime,
            LogValue::UntilRequestTime,
            LogValue::QueueTime,
            LogValue::ConnectTime,
            LogValue::ResponseTime,
            LogValue::DataTime,
            LogValue::SessionTime,
            LogValue::UserTime,
            LogValue::BytesIn,
            LogValue::BytesOut,
            LogValue::BytesUploaded,
            LogValue::BytesRead,
            LogValue::Status,
            LogValue::Retries,
            LogValue::ClientPort,
            LogValue::ListenerPort,
            LogValue::UpstreamPort,
            LogValue::TargetPort,
            LogValue::ProcessConnections,
            LogValue::ListenerConnections,
            LogValue::GroupConnections,
            LogValue::TargetConnections,
            LogValue::GroupQueue,
            LogValue::TargetQueue,
            LogValue::ProcessId,
            LogValue::RequestCounter,
            LogValue::LogCounter,
        ];
        if self.one_in(2) {
            (
                Value::Log(self.one(LogValue::StartTime, &words)),
                Kind::Word,
            )
        } else {
            (
                Value::Log(self.one(LogValue::TotalTime, &numbers)),
                Kind::Number,
            )
        }
    }

    /// Counters and groups.
    fn live_value(&mut self, place: Place) -> (Value<Named>, Kind) {
        let choice = self.below(11);
        let groups = self.groups.clone();
        let group = self.among(&groups).map(|group| Spanned::bare(group.name));
        let tables: Vec<KnownTable> = self.stick_tables.clone();
        match (choice, group, self.among(&tables)) {
            (1, Some(group), _) => (Value::HealthyTargets(group), Kind::Number),
            (2, Some(group), _) => (Value::GroupConnections(group), Kind::Number),
            (4, Some(group), _) => {
                let figures = [
                    GroupFigure::AverageQueue,
                    GroupFigure::ConnectionRate,
                    GroupFigure::FreeSlots,
                    GroupFigure::FreeConnections,
                ];
                let figure = self.one(GroupFigure::Queued, &figures);
                (Value::OfGroup { figure, group }, Kind::Number)
            }
            (10, ..) => {
                let figures = [ListenerFigure::ConnectionRate, ListenerFigure::RequestRate];
                let figure = self.one(ListenerFigure::Connections, &figures);
                let names = self.listeners.clone();
                let listener = self.among(&names).map(Spanned::bare);
                let value = listener.map_or(Value::ListenerConnections, |listener| {
                    Value::OfListener { figure, listener }
                });
                (value, Kind::Number)
            }
            (5, Some(group), _) => {
                let figures = [
                    TargetFigure::Connections,
                    TargetFigure::Queued,
                    TargetFigure::Weight,
                    TargetFigure::ConfiguredWeight,
                    TargetFigure::FreeConnections,
                    TargetFigure::ConnectionRate,
                ];
                let figure = self.one(TargetFigure::Usable, &figures);
                let target = Name::from("t");
                let kind = match figure {
                    TargetFigure::Usable => Kind::Boolean,
                    _ => Kind::Number,
                };
                let value = Value::OfTarget {
                    figure,
                    group,
                    target,
                };
                (value, kind)
            }
            (3, _, Some(table)) => {
                let stored = self.among(&table.store);
                let key = self.key(place, table.key);
                let value = stored.map_or(Value::Now, |stored| Value::Counter {
                    counter: stored.counter,
                    of: CounterEntry::Key {
                        table: Spanned::bare(table.name),
                        key: Box::new(key),
                    },
                    touch: Touch::Read,
                });
                (value, Kind::Number)
            }
            (6, _, Some(table)) => {
                let figure = self.one(TableFigure::Used, &[TableFigure::Free]);
                let table = Spanned::bare(table.name);
                (Value::OfTable { figure, table }, Kind::Number)
            }
            (7, ..) => {
                let counter = Counter::General(u8::try_from(self.below(20)).unwrap_or(0));
                let touch = self.one(Touch::Raise, &[Touch::Clear]);
                let of = CounterEntry::Tracked(0);
                (Value::Counter { counter, of, touch }, Kind::Number)
            }
            (9, _, Some(table)) => {
                let table = Spanned::bare(table.name);
                let of = CounterEntry::TrackedKey { table, slot: 1 };
                let figure = self.one(EntryFigure::ExpiresIn, &[EntryFigure::Idle]);
                (Value::OfEntry { figure, of }, Kind::Number)
            }
            (8, ..) => {
                let (figure, of) = (EntryFigure::Trackers, CounterEntry::Tracked(0));
                (Value::OfEntry { figure, of }, Kind::Number)
            }
            _ => {
                let slot = u8::try_from(self.below(12)).unwrap_or(0);
                let value = Value::Counter {
                    counter: self.counter(),
                    of: CounterEntry::Tracked(slot),
                    touch: Touch::Read,
                };
                (value, Kind::Number)
            }
        }
    }

    pub(super) fn counter(&mut self) -> Counter {
        let number = u8::try_from(self.below(20)).unwrap_or(0);
        let others = [
            Counter::Connections,
            Counter::OpenConnections,
            Counter::ConnectionRate,
            Counter::RequestRate,
            Counter::Errors,
            Counter::ErrorRate,
            Counter::BytesIn,
            Counter::BytesInRate,
            Counter::BytesOut,
            Counter::BytesOutRate,
            Counter::General(number),
            Counter::GeneralRate(number),
            Counter::Mark(number),
            Counter::Target,
        ];
        self.one(Counter::Requests, &others)
    }

    /// Text and expressions.
    pub(super) fn template(&mut self, place: Place) -> Template<Named> {
        self.template_of(place, "", Self::text)
    }

    /// Text that `text` makes after `start`, and expressions.
    pub(super) fn template_of(
        &mut self,
        place: Place,
        start: &str,
        mut text: impl FnMut(&mut Self) -> String,
    ) -> Template<Named> {
        let mut template = Template::text(start);
        // Formats of access logs have more parts than other templates.
        let bound = if place.phase.is_none() { 12 } else { 4 };
        for _ in 0..self.count(bound) {
            template.0.push(if self.one_in(2) {
                let expression = self.expression(place);
                TemplatePart::Expression(Spanned::bare(expression))
            } else {
                TemplatePart::Text(text(self))
            });
        }
        template
    }

    /// The text of an address or a network, for maps.
    pub(super) fn network_text(&mut self) -> String {
        let network: IpNet = self.network();
        network.to_string()
    }
}

/// Scopes of variables that live in a phase, beside that of the connection.
pub(super) fn scopes(phase: Option<Phase>) -> &'static [Scope] {
    match phase {
        None => &[Scope::Process, Scope::Exchange],
        Some(Phase::Connection | Phase::Session) => &[Scope::Process],
        Some(Phase::ClientHello | Phase::Request) => {
            &[Scope::Process, Scope::Exchange, Scope::Request]
        }
        Some(Phase::Response | Phase::AfterResponse) => {
            &[Scope::Process, Scope::Exchange, Scope::Response]
        }
    }
}
