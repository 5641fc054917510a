//! What kind of thing a value is, from which phase it is known, and what it is called in messages.

use crate::action::{End, Phase};
use crate::expression::{
    CertificateField, LogValue, Message, Scope, TargetFigure, TimeoutOf, TlsField, Transform, Value,
};
use crate::first_answer::AnswerPart;
use crate::proxied::ProxyField;
use crate::stage::Stage;

/// The kind of a value as comparisons see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that is never a number or an address, such as a method.
    Word,
    /// Text that people write: it may hold a number or an address.
    Text,
    Number,
    Address,
    Boolean,
}

impl Kind {
    /// With its article, in messages.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Word | Kind::Text => "a text",
            Kind::Number => "a number",
            Kind::Address => "an address",
            Kind::Boolean => "true or false",
        }
    }

    pub(super) fn may_be_number(self) -> bool {
        matches!(self, Kind::Number | Kind::Text)
    }

    pub(super) fn may_be_address(self) -> bool {
        matches!(self, Kind::Address | Kind::Text)
    }

    pub(super) fn may_be_text(self) -> bool {
        matches!(self, Kind::Word | Kind::Text)
    }
}

/// What a fetch gives.
pub(super) fn kind_of<S: Stage>(value: &Value<S>) -> Kind {
    match value {
        Value::Source
        | Value::Destination
        | Value::Address(_)
        | Value::Accepted(End::Source | End::Destination) => Kind::Address,
        Value::Number(_)
        | Value::SourcePort
        | Value::DestinationPort
        | Value::HelloType
        | Value::HelloVersion
        | Value::OfAnswer(AnswerPart::Length | AnswerPart::HelloType)
        | Value::TlsKeyBits
        | Value::Proxied(ProxyField::AzureEndpoint | ProxyField::GcpConnection)
        | Value::PayloadLength
        | Value::HeaderCount { .. }
        | Value::CookieCount { .. }
        | Value::OfGroup { .. }
        | Value::OfListener { .. }
        | Value::NowMicroseconds
        | Value::Worker
        | Value::BodyLength
        | Value::Status
        | Value::ResponseBodyLength
        | Value::Counter { .. }
        | Value::OfEntry { .. }
        | Value::OfTable { .. }
        | Value::HealthyTargets(_)
        | Value::GroupConnections(_)
        | Value::ListenerConnections
        | Value::ListenerConnectionRate
        | Value::ListenerRequestRate
        | Value::Random(_)
        | Value::Accepted(End::SourcePort | End::DestinationPort)
        | Value::Timeout(_)
        | Value::Priority(_)
        | Value::TargetNumber
        | Value::Now => Kind::Number,
        Value::Boolean(_)
        | Value::Tls
        | Value::TlsResumed
        | Value::ProxyReceived
        | Value::Proxied(ProxyField::Tls | ProxyField::Verified)
        | Value::HelloExtension(_)
        | Value::IsHttp
        | Value::WaitEnded
        | Value::Authenticated(_)
        | Value::InUserGroup { .. }
        | Value::FirstRequest
        | Value::Draining => Kind::Boolean,
        Value::OfTarget { figure, .. } => match figure {
            TargetFigure::Usable => Kind::Boolean,
            _ => Kind::Number,
        },
        Value::ClientCertificate(field)
        | Value::ShownCertificate(field)
        | Value::TargetCertificate(field) => kind_of_field(field),
        Value::TargetTls(TlsField::Spoken | TlsField::Resumed) => Kind::Boolean,
        Value::TargetTls(TlsField::KeyBits) => Kind::Number,
        Value::TargetTls(_) => Kind::Word,
        Value::ListenerName
        | Value::TlsVersion
        | Value::TlsCipher
        | Value::TlsCipherOpenssl
        | Value::Alpn
        | Value::HelloAlpn
        | Value::Method
        | Value::ReceivedMethod
        | Value::Scheme
        | Value::AuthorizationScheme
        | Value::Uuid
        | Value::HeaderNames { .. }
        | Value::HeaderBlock(_)
        | Value::GroupName
        | Value::TargetName => Kind::Word,
        Value::Log(log) => kind_of_log(*log),
        Value::Text(_)
        | Value::Sni
        | Value::TlsSessionId
        | Value::HelloSni
        | Value::HelloSessionId
        | Value::OfAnswer(_)
        | Value::Payload { .. }
        | Value::PayloadBlock { .. }
        | Value::HttpVersion
        | Value::Host
        | Value::Path
        | Value::Query
        | Value::QueryParameter(_)
        | Value::Target
        | Value::Url
        | Value::Base
        | Value::HostPath
        | Value::ReceivedTarget
        | Value::Header(_)
        | Value::HeaderPart { .. }
        | Value::Argument { .. }
        | Value::BodyArgument(_)
        | Value::ResponseVersion
        | Value::Cookie(_)
        | Value::AnyCookie(_)
        | Value::AuthenticatedUser(_)
        | Value::WithSource(_)
        | Value::Matched(_)
        | Value::Body
        | Value::BasicUser
        | Value::BasicPassword
        | Value::Bearer(_)
        | Value::RequestId
        | Value::TraceId
        | Value::SpanId
        | Value::ResponseHeader(_)
        | Value::ResponseBody
        | Value::ResponseCookie(_)
        | Value::Variable(_)
        | Value::Capture(_)
        | Value::ResponseCapture(_)
        | Value::TargetAddress
        | Value::Hostname
        | Value::Environment(_)
        | Value::Proxied(_) => Kind::Text,
    }
}

fn kind_of_field(field: &CertificateField) -> Kind {
    match field {
        CertificateField::Present | CertificateField::Verified => Kind::Boolean,
        CertificateField::VerifyCode
        | CertificateField::Fault
        | CertificateField::FaultAbove
        | CertificateField::FaultAboveDepth
        | CertificateField::Version => Kind::Number,
        CertificateField::SubjectPart(_) | CertificateField::IssuerPart(_) => Kind::Text,
        CertificateField::Subject
        | CertificateField::Issuer
        | CertificateField::SubjectLine
        | CertificateField::IssuerLine
        | CertificateField::Serial
        | CertificateField::SerialBytes
        | CertificateField::Fingerprint
        | CertificateField::Sha1Bytes
        | CertificateField::NotBefore
        | CertificateField::NotAfter
        | CertificateField::NotBeforeText
        | CertificateField::NotAfterText
        | CertificateField::KeyAlgorithm
        | CertificateField::SignatureAlgorithm
        | CertificateField::DnsNames
        | CertificateField::Addresses
        | CertificateField::Emails
        | CertificateField::Uris
        | CertificateField::AlternativeNames
        | CertificateField::Info(_)
        | CertificateField::Der
        | CertificateField::Pem => Kind::Word,
    }
}

fn kind_of_log(log: LogValue) -> Kind {
    match log {
        LogValue::AcceptSeconds
        | LogValue::AcceptMilliseconds
        | LogValue::HandshakeTime
        | LogValue::IdleTime
        | LogValue::RequestTime
        | LogValue::UntilRequestTime
        | LogValue::QueueTime
        | LogValue::ConnectTime
        | LogValue::ResponseTime
        | LogValue::DataTime
        | LogValue::TotalTime
        | LogValue::SessionTime
        | LogValue::UserTime
        | LogValue::BytesIn
        | LogValue::BytesOut
        | LogValue::BytesUploaded
        | LogValue::BytesRead
        | LogValue::Status
        | LogValue::Retries
        | LogValue::ClientPort
        | LogValue::ListenerPort
        | LogValue::UpstreamPort
        | LogValue::TargetPort
        | LogValue::ProcessConnections
        | LogValue::ListenerConnections
        | LogValue::GroupConnections
        | LogValue::TargetConnections
        | LogValue::GroupQueue
        | LogValue::TargetQueue
        | LogValue::ProcessId
        | LogValue::RequestCounter
        | LogValue::LogCounter => Kind::Number,
        LogValue::StartTime
        | LogValue::StartTimeCommon
        | LogValue::StartTimeLocal
        | LogValue::StartDate
        | LogValue::AcceptTimeCommon
        | LogValue::AcceptTimeLocal
        | LogValue::AcceptDate
        | LogValue::RetriesMarked
        | LogValue::Termination
        | LogValue::TerminationLetters
        | LogValue::TerminationShort
        | LogValue::RequestLine
        | LogValue::RequestMethod
        | LogValue::RequestUri
        | LogValue::RequestUriPath
        | LogValue::RequestPath
        | LogValue::RequestQuery
        | LogValue::RequestVersion
        | LogValue::CapturedRequest
        | LogValue::CapturedRequestList
        | LogValue::CapturedResponse
        | LogValue::CapturedResponseList
        | LogValue::CapturedRequestCookie
        | LogValue::CapturedResponseCookie
        | LogValue::ListenerTransport
        | LogValue::Backend
        | LogValue::Server
        | LogValue::TargetsAttempted
        | LogValue::RuleFile
        | LogValue::RuleLine
        | LogValue::TlsVersion
        | LogValue::TlsCipher
        | LogValue::ConnectionError => Kind::Word,
        LogValue::ClientAddress
        | LogValue::ListenerAddress
        | LogValue::UpstreamAddress
        | LogValue::TargetIp => Kind::Text,
    }
}

/// What a transform makes of a kind; `Err` says what it takes instead.
pub(super) fn transformed<S: Stage>(
    kind: Kind,
    transform: &Transform<S>,
) -> Result<Kind, &'static str> {
    match transform {
        Transform::Number
        | Transform::Length
        | Transform::JwtVerify(_)
        | Transform::HexNumber
        | Transform::HostPort
        | Transform::Compare(_)
        | Transform::HealthyTargets
        | Transform::TargetQueue
        | Transform::Hash(_) => Ok(Kind::Number),
        Transform::SetVariable { .. } | Transform::UnsetVariable(_) => Ok(kind),
        Transform::SameSecret(_)
        | Transform::Truth
        | Transform::IsLocal
        | Transform::FixMessage
        | Transform::MqttPacket
        | Transform::Not
        | Transform::Even
        | Transform::Odd => Ok(Kind::Boolean),
        Transform::Calculate(..) | Transform::Negate | Transform::Complement => {
            if kind.may_be_number() {
                Ok(Kind::Number)
            } else {
                Err("a number")
            }
        }
        Transform::Mask { .. } => {
            if kind.may_be_address() {
                Ok(Kind::Address)
            } else {
                Err("an address")
            }
        }
        Transform::Default(_)
        | Transform::Text
        | Transform::Binary
        | Transform::TrimStart(_)
        | Transform::TrimEnd(_)
        | Transform::FirstLine
        | Transform::HostName
        | Transform::Otherwise(_)
        | Transform::Choose(..)
        | Transform::Append(_)
        | Transform::Join(_)
        | Transform::Base64Url
        | Transform::FormDecode
        | Transform::UrlEncode
        | Transform::JsonEscape(_)
        | Transform::Digest(_)
        | Transform::Hmac { .. }
        | Transform::Date { .. }
        | Transform::HttpDate { .. }
        | Transform::Language(_)
        | Transform::LastOutside(_)
        | Transform::Lower
        | Transform::Upper
        | Transform::Trim
        | Transform::Replace { .. }
        | Transform::Field { .. }
        | Transform::Word { .. }
        | Transform::Map { .. }
        | Transform::MapGroups { .. }
        | Transform::Chunks(_)
        | Transform::Base64
        | Transform::Base64Decode
        | Transform::Hex
        | Transform::UrlDecode
        | Transform::Json(_)
        | Transform::JwtHeader(_)
        | Transform::JwtPayload(_)
        | Transform::Sha256
        | Transform::Quoted
        | Transform::Backslashed
        | Transform::Hexadecimal
        | Transform::FixTag(_)
        | Transform::Mqtt(_)
        | Transform::RdpCookie(_)
        | Transform::Bytes { .. } => Ok(Kind::Text),
    }
}

/// The first and the last phase in which a value is known. `group`: a target group was chosen.
pub(super) fn known<S: Stage>(value: &Value<S>, group: bool) -> (Phase, Phase) {
    let from = match value {
        Value::Text(_)
        | Value::Number(_)
        | Value::Boolean(_)
        | Value::Address(_)
        | Value::Source
        | Value::SourcePort
        | Value::Destination
        | Value::DestinationPort
        | Value::Accepted(_)
        | Value::Timeout(TimeoutOf::Client)
        | Value::Priority(_)
        | Value::ListenerName
        | Value::Tls
        | Value::Counter { .. }
        | Value::OfEntry { .. }
        | Value::OfTable { .. }
        | Value::HealthyTargets(_)
        | Value::GroupConnections(_)
        | Value::ListenerConnections
        | Value::ListenerConnectionRate
        | Value::ListenerRequestRate
        | Value::OfListener { .. }
        | Value::OfGroup { .. }
        | Value::OfTarget { .. }
        | Value::Random(_)
        | Value::Now
        | Value::NowMicroseconds
        | Value::Uuid
        | Value::Worker
        | Value::Draining
        | Value::Hostname
        | Value::Environment(_) => Phase::Connection,
        Value::HelloSni
        | Value::HelloAlpn
        | Value::HelloType
        | Value::HelloVersion
        | Value::HelloSessionId
        | Value::HelloExtension(_)
        | Value::IsHttp
        | Value::WaitEnded
        | Value::PayloadLength
        | Value::Payload { .. }
        | Value::PayloadBlock { .. }
        | Value::Capture(_) => Phase::ClientHello,
        Value::TlsVersion
        | Value::TlsCipher
        | Value::TlsCipherOpenssl
        | Value::TlsKeyBits
        | Value::TlsResumed
        | Value::TlsSessionId
        | Value::ProxyReceived
        | Value::Proxied(_)
        | Value::Sni
        | Value::Alpn
        | Value::ClientCertificate(_)
        | Value::ShownCertificate(_) => Phase::Session,
        Value::HeaderPart {
            of: Message::Response,
            ..
        }
        | Value::HeaderCount {
            of: Message::Response,
            ..
        }
        | Value::HeaderNames {
            of: Message::Response,
            ..
        }
        | Value::CookieCount {
            of: Message::Response,
            ..
        }
        | Value::ResponseVersion
        | Value::AnyCookie(Message::Response)
        | Value::HeaderBlock(Message::Response)
        | Value::ResponseCapture(_)
        | Value::ResponseBody
        | Value::ResponseBodyLength
        | Value::Status
        | Value::ResponseHeader(_)
        | Value::ResponseCookie(_) => Phase::Response,
        Value::GroupName if group => Phase::ClientHello,
        Value::GroupName
        | Value::TargetName
        | Value::TargetNumber
        | Value::TargetAddress
        | Value::TargetCertificate(_)
        | Value::OfAnswer(_)
        | Value::TargetTls(_) => Phase::Response,
        Value::Variable(variable) => return lives(variable.scope),
        // The client's address is known everywhere.
        Value::WithSource(of) => return known(&of.value, group),
        Value::Matched(matched) => match &matched.within {
            Some(within) => return known(&within.expression.value, group),
            None => Phase::Connection,
        },
        Value::Method
        | Value::Scheme
        | Value::HttpVersion
        | Value::Host
        | Value::Path
        | Value::Query
        | Value::QueryParameter(_)
        | Value::Target
        | Value::Url
        | Value::Base
        | Value::Header(_)
        | Value::HostPath
        | Value::ReceivedMethod
        | Value::ReceivedTarget
        | Value::HeaderPart { .. }
        | Value::HeaderCount { .. }
        | Value::HeaderNames { .. }
        | Value::CookieCount { .. }
        | Value::Argument { .. }
        | Value::BodyArgument(_)
        | Value::BasicPassword
        | Value::AuthorizationScheme
        | Value::Bearer(_)
        | Value::FirstRequest
        | Value::InUserGroup { .. }
        | Value::Cookie(_)
        | Value::AnyCookie(Message::Request)
        | Value::AuthenticatedUser(_)
        | Value::Body
        | Value::BodyLength
        | Value::BasicUser
        | Value::RequestId
        | Value::TraceId
        | Value::SpanId
        | Value::Authenticated(_)
        | Value::Timeout(_)
        | Value::HeaderBlock(_)
        | Value::Log(_) => Phase::Request,
    };
    (from, Phase::AfterResponse)
}

/// The first and the last phase of a variable.
pub(super) fn lives(scope: Scope) -> (Phase, Phase) {
    match scope {
        Scope::Process | Scope::Connection => (Phase::Connection, Phase::AfterResponse),
        Scope::Exchange => (Phase::ClientHello, Phase::AfterResponse),
        Scope::Request => (Phase::ClientHello, Phase::Request),
        Scope::Response => (Phase::Response, Phase::AfterResponse),
        // In no phase.
        Scope::Check => (Phase::AfterResponse, Phase::Connection),
    }
}

/// A phase in messages.
pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Connection => "connection phase",
        Phase::Session => "session phase",
        Phase::ClientHello => "client-hello phase",
        Phase::Request => "request phase",
        Phase::Response => "response phase",
        Phase::AfterResponse => "after-response phase",
    }
}

/// A value in messages.
pub(super) fn value_word<S: Stage>(value: &Value<S>) -> String {
    let word = match value {
        Value::Text(_) => "a text",
        Value::Number(_) => "a number",
        Value::Address(_) => "an address",
        Value::Boolean(_) => "a truth",
        Value::Source => "the source address",
        Value::SourcePort => "the source port",
        Value::Destination => "the destination address",
        Value::DestinationPort => "the destination port",
        Value::ListenerName => "the listener's name",
        Value::Tls => "whether the client speaks TLS",
        Value::TlsVersion => "the TLS version",
        Value::TlsCipher | Value::TlsCipherOpenssl => "the cipher suite",
        Value::TlsKeyBits => "the bits of the cipher's key",
        Value::TlsResumed => "whether the TLS session was resumed",
        Value::TlsSessionId => "the id of the TLS session",
        Value::ProxyReceived => "whether a proxy was in front",
        Value::Proxied(_) => "what a proxy tells of the client",
        Value::Sni => "the server name",
        Value::Alpn => "the ALPN protocol",
        Value::ClientCertificate(_) => "the client's certificate",
        Value::ShownCertificate(_) => "the certificate that the client is shown",
        Value::TargetCertificate(_) => "the target's certificate",
        Value::TargetTls(_) => "the target's TLS",
        Value::HelloSni => "the server name of a ClientHello",
        Value::HelloAlpn => "the ALPN protocols of a ClientHello",
        Value::HelloType => "the type of the first handshake message",
        Value::HelloVersion => "the version of a ClientHello",
        Value::HelloSessionId => "the session id of a ClientHello",
        Value::OfAnswer(_) => "what a target sends first",
        Value::HelloExtension(_) => "an extension of a ClientHello",
        Value::IsHttp => "whether HTTP is spoken",
        Value::WaitEnded => "whether waiting has ended",
        Value::PayloadLength => "the number of bytes received",
        Value::Payload { .. } | Value::PayloadBlock { .. } => "the first bytes",
        Value::Method => "the method",
        Value::Scheme => "the scheme",
        Value::HttpVersion => "the HTTP version",
        Value::Host => "the host",
        Value::Path => "the path",
        Value::Query => "the query string",
        Value::QueryParameter(name) => return format!("the query parameter `{name}`"),
        Value::Target => "the path and query",
        Value::Url => "the request target",
        Value::Base => "the host, path and query",
        Value::Header(name) => return format!("the request header `{name}`"),
        Value::HeaderCount {
            name: Some(name), ..
        } => return format!("the number of `{name}` headers"),
        Value::HeaderCount { name: None, .. } => "the number of headers",
        Value::HeaderPart { name, .. } => return format!("a part of the header `{name}`"),
        Value::HeaderNames { .. } => "the names of headers",
        Value::CookieCount { .. } => "the number of cookies",
        Value::Argument { .. } => "an argument of the query string",
        Value::BodyArgument(name) => return format!("the argument `{name}` of the request's body"),
        Value::HostPath => "the host and path",
        Value::ReceivedMethod => "the method as received",
        Value::ReceivedTarget => "the path and query as received",
        Value::BasicPassword => "the password of Basic authorization",
        Value::AuthorizationScheme => "the scheme of authorization",
        Value::Bearer(_) => "the bearer token",
        Value::FirstRequest => "whether this is the first request",
        Value::Cookie(name) => return format!("the cookie `{name}`"),
        Value::Body => "the request's body",
        Value::BodyLength => "the length of the request's body",
        Value::BasicUser => "the user of Basic authorization",
        Value::RequestId => "the request id",
        Value::TraceId => "the id of a trace",
        Value::SpanId => "the id of a step of a trace",
        other => return late_value_word(other),
    };
    word.to_owned()
}

fn late_value_word<S: Stage>(value: &Value<S>) -> String {
    let word = match value {
        Value::Status => "the response's status",
        Value::ResponseBody => "the response's body",
        Value::ResponseBodyLength => "the length of the response's body",
        Value::ResponseHeader(name) => return format!("the response header `{name}`"),
        Value::ResponseCookie(name) => return format!("the response cookie `{name}`"),
        Value::Variable(variable) => return format!("the variable `{}`", variable.name),
        Value::Capture(slot) => return format!("capture {slot}"),
        Value::ResponseCapture(slot) => return format!("capture {slot} of the response"),
        Value::Authenticated(_) => "whether a user is authorized",
        Value::AnyCookie(_) => "the first cookie",
        Value::AuthenticatedUser(_) => "the authorized user",
        Value::WithSource(of) => {
            return format!("{} and the source address", value_word(&of.value));
        }
        Value::Matched(_) => "what a regular expression finds",
        Value::InUserGroup { .. } => "whether a user is in a group",
        Value::OfGroup { .. } => "a number of a group",
        Value::OfListener { .. } => "a number of a listener",
        Value::OfTarget { .. } => "the state of a target",
        Value::ResponseVersion => "the version of the response",
        Value::NowMicroseconds => "the time",
        Value::Uuid => "a UUID",
        Value::Worker => "the worker's number",
        Value::Draining => "whether the process ends",
        Value::Counter { .. } => "a counter",
        Value::OfEntry { .. } => "a figure of an entry",
        Value::OfTable { .. } => "a figure of a stick table",
        Value::HealthyTargets(_) => "the number of healthy targets",
        Value::GroupConnections(_) => "the number of a group's connections",
        Value::ListenerConnections => "the number of the listener's connections",
        Value::ListenerConnectionRate => "the rate of the listener's connections",
        Value::ListenerRequestRate => "the rate of the listener's requests",
        Value::GroupName => "the chosen target group",
        Value::TargetName => "the chosen target",
        Value::TargetNumber => "the number of the chosen target",
        Value::Accepted(_) => "an end of the client's connection",
        Value::Timeout(_) => "a timeout",
        Value::Priority(_) => "a part of the priority",
        Value::HeaderBlock(_) => "the lines of headers",
        Value::TargetAddress => "the chosen target's address",
        Value::Random(_) => "a random number",
        Value::Now => "the time",
        Value::Hostname => "this machine's name",
        Value::Environment(name) => return format!("the environment variable `{name}`"),
        Value::Log(_) => "a value of the access log",
        _ => "this value",
    };
    word.to_owned()
}
