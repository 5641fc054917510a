//! Values, transforms, conditions and templates: what rules look at and what they write.
//!
//! A [`Value`] is a typed fetch from a connection, a request, a response or live state; an [`Expression`] is a
//! value followed by [`Transform`]s; a [`Test`] compares an expression; a [`Condition`] is a boolean tree of
//! tests; a [`Template`] mixes text and expressions. All are closed sets, held for both stages.

use crate::action::End;
pub use crate::figure::{EntryFigure, GroupFigure, ListenerFigure, TableFigure, TargetFigure};
use crate::first_answer::AnswerPart;
pub use crate::log_value::LogValue;
pub use crate::matched::{MatchGroup, Matched, Within};
use crate::name::Name;
use crate::proxied::ProxyField;
use crate::span::Spanned;
use crate::stage::Stage;
pub use crate::template::{Template, TemplatePart};
pub use crate::transform::{
    Append, ChunkForm, Chunks, DigestKind, Given, HashKind, Hashing, JsonCharset, JwtVerify,
    MqttField, MqttPart, Operand, Operation, Secret, SetWhen, TimeUnit, Transform,
};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// A boolean tree of tests.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition<S: Stage> {
    /// True where every part is; `All(vec![])` is true.
    All(Vec<Condition<S>>),
    /// True where some part is; `Any(vec![])` is false.
    Any(Vec<Condition<S>>),
    /// The opposite.
    Not(Box<Condition<S>>),
    /// One comparison.
    Test(Spanned<Test<S>>),
}

/// One comparison: an expression against a matcher. A value that is absent (no such header) fails every
/// matcher; a value with several occurrences (a repeated header) passes if one occurrence does.
#[derive(Debug, Clone, PartialEq)]
pub struct Test<S: Stage> {
    /// What is looked at.
    pub expression: Expression<S>,
    /// What it must be.
    pub matcher: Matcher<S>,
}

/// A value and what is done to it, left to right.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression<S: Stage> {
    /// The fetch.
    pub value: Value<S>,
    /// Applied in order.
    pub transforms: Vec<Transform<S>>,
}

impl<S: Stage> From<Value<S>> for Expression<S> {
    fn from(value: Value<S>) -> Self {
        Expression {
            value,
            transforms: Vec::new(),
        }
    }
}

/// How an expression is compared. Every list means "one of".
#[derive(Debug, Clone, PartialEq)]
pub enum Matcher<S: Stage> {
    /// The value exists (a header is there, an argument is given, even if empty).
    Present,
    /// The value is a true boolean, a number other than 0 or a text that is not empty.
    True,
    /// Text comparison.
    Text {
        /// Whole, prefix, suffix, ….
        how: TextMatch,
        /// One of these.
        any_of: Vec<String>,
        /// ASCII letters of either case are equal.
        ignore_case: bool,
    },
    /// A regular expression finds a match somewhere in the value.
    Regex {
        /// One of these.
        any_of: Vec<S::Pattern>,
    },
    /// A number lies within one of these ranges.
    Number {
        /// One of these.
        any_of: Vec<NumberRange>,
    },
    /// An address lies within one of these networks.
    Address {
        /// One of these.
        any_of: Vec<IpNet>,
    },
    /// As `Text`, with the patterns of a list that is loaded from a file or the configuration.
    Listed {
        /// The list (the keys of a map).
        list: S::Map,
    },
}

/// What part of a text must equal the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextMatch {
    /// The whole value.
    Exact,
    /// Its beginning.
    Prefix,
    /// Its end.
    Suffix,
    /// Some part of it.
    Contains,
    /// The whole value, where `*` stands for any run of characters and `?` for one.
    Glob,
    /// A run of whole segments between slashes (HAProxy's `dir`).
    Segment,
    /// A run of whole labels between dots (HAProxy's `dom`).
    Label,
}

/// An inclusive range of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberRange {
    /// Smallest member.
    pub min: i64,
    /// Largest member.
    pub max: i64,
}

impl NumberRange {
    /// Reads `5`, `5..7` or, as HAProxy has it, `5:7`; a bound that is left out is open. `None` where it is neither, or
    /// empty.
    pub fn parse(text: &str) -> Option<Self> {
        let bound = |text: &str, open| match text {
            "" => Some(open),
            text => text.parse().ok(),
        };
        let ends = text.split_once("..").or_else(|| text.split_once(':'));
        let (min, max) = match ends {
            Some((min, max)) => (bound(min, i64::MIN)?, bound(max, i64::MAX)?),
            None => {
                let only = text.parse().ok()?;
                (only, only)
            }
        };
        (min <= max).then_some(Self { min, max })
    }
}

/// A typed fetch. The doc says the type where it is not text, and the phase from which it is known where that is
/// not the request phase.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<S: Stage> {
    /// A literal text.
    Text(String),
    /// A literal address.
    Address(IpAddr),
    /// A literal number.
    Number(i64),
    /// Boolean: `true` or `false`.
    Boolean(bool),
    /// Address: the client (after PROXY protocol and trusted X-Forwarded-For); from the connection phase.
    Source,
    /// Number: the client's port; from the connection phase.
    SourcePort,
    /// Address: what the client connected to; from the connection phase.
    Destination,
    /// Number: the port the client connected to; from the connection phase.
    DestinationPort,
    /// The listener's name; from the connection phase.
    ListenerName,
    /// Boolean: the client's connection is TLS, terminated here; from the connection phase.
    Tls,
    /// `TLSv1.2`, `TLSv1.3` of the client's connection.
    TlsVersion,
    /// Cipher suite of the client's connection, IANA name.
    TlsCipher,
    /// Server name that the client asked for, on a connection that is terminated here.
    Sni,
    /// ALPN protocol that was agreed on.
    Alpn,
    /// Cipher suite of the client's connection, OpenSSL's name.
    TlsCipherOpenssl,
    /// Number: bits of the cipher's key.
    TlsKeyBits,
    /// Boolean: the TLS session was resumed.
    TlsResumed,
    /// The id of the TLS session, the same on each connection that resumes it; absent where it cannot be resumed.
    TlsSessionId,
    /// A field of the client's certificate.
    ClientCertificate(CertificateField),
    /// A field of the certificate that the client was shown.
    ShownCertificate(CertificateField),
    /// A field of the certificate of the target that the exchange has.
    TargetCertificate(CertificateField),
    /// What was agreed on with the target in its TLS handshake.
    TargetTls(TlsField),
    /// Boolean: the client came with a header of the PROXY protocol that was believed; from the session phase.
    ProxyReceived,
    /// What that header told of it; from the session phase.
    Proxied(ProxyField),
    /// Server name in a ClientHello that is not terminated here; from the client-hello phase.
    HelloSni,
    /// The ALPN protocols that a ClientHello offers, comma separated; from the client-hello phase.
    HelloAlpn,
    /// Number: handshake type of what the client sent first, 1 for a ClientHello; from the client-hello phase.
    HelloType,
    /// Number: the version that a ClientHello is written for, major times 65536 plus minor: 3.3 for TLS 1.2 and later;
    /// from the client-hello phase.
    HelloVersion,
    /// Boolean: a ClientHello has the extension of this number; from the client-hello phase.
    HelloExtension(u16),
    /// The session that a ClientHello asks to resume; absent where it asks for none; from the client-hello phase.
    HelloSessionId,
    /// What the target of a stream sent first; in the response phase of its group.
    OfAnswer(AnswerPart),
    /// Boolean: what the client sent first is the head of an HTTP/1 request; from the client-hello phase.
    IsHttp,
    /// Boolean: nothing more is waited for; from the client-hello phase.
    WaitEnded,
    /// Number: bytes received so far; from the client-hello phase.
    PayloadLength,
    /// Bytes of what the client sent first; from the client-hello phase.
    Payload {
        /// First byte.
        offset: u32,
        /// Bytes; 0: all there is.
        length: u32,
    },
    /// A block of what the client sent first whose length stands before it, big-endian; from the client-hello phase.
    PayloadBlock {
        /// First byte of the length.
        length_at: u32,
        /// Bytes of the length, 1–4.
        length_bytes: u8,
        /// First byte of the block.
        at: u32,
    },
    /// Request method.
    Method,
    /// `http` or `https`: how the client came.
    Scheme,
    /// `1.0`, `1.1`, `2.0`, `3.0`.
    HttpVersion,
    /// Host of the request in lower case, without the port.
    Host,
    /// Path of the request, as received.
    Path,
    /// Query string, without the question mark; absent where there is none.
    Query,
    /// One argument of the query string, percent-decoded.
    QueryParameter(String),
    /// Path and query.
    Target,
    /// Path and query, with scheme and authority before them where the request has them (RFC 9112 section 3.2.2).
    Url,
    /// Host header, path and query.
    Base,
    /// Host header and path.
    HostPath,
    /// Request method as received, whatever rules made of it.
    ReceivedMethod,
    /// Path and query as received, whatever rules made of them; where a target in absolute form goes on as path and query, the
    /// whole of it.
    ReceivedTarget,
    /// A request header; several occurrences.
    Header(String),
    /// Part of a header; several occurrences where no place is given.
    HeaderPart {
        /// Of which message.
        of: Message,
        /// The header.
        name: String,
        /// Which part.
        part: HeaderPart,
    },
    /// Number: how often a header occurs.
    HeaderCount {
        /// In which message.
        of: Message,
        /// The header; `None`: all of them together.
        name: Option<String>,
        /// Each value between commas counts, not each line.
        items: bool,
    },
    /// The names of all headers in their order.
    HeaderNames {
        /// Of which message.
        of: Message,
        /// What stands between them.
        delimiter: String,
    },
    /// A cookie of the request; several occurrences.
    Cookie(String),
    /// The first cookie of a message, whatever its name; several occurrences.
    AnyCookie(Message),
    /// Number: how often a cookie occurs.
    CookieCount {
        /// In which message.
        of: Message,
        /// The cookie; `None`: all of them together.
        name: Option<String>,
    },
    /// An argument of the query string as it stands there, which `&` or `;` ends; several occurrences.
    Argument {
        /// Its name; `None`: the first, whatever its name.
        name: Option<String>,
        /// What the query string begins with in place of `?`.
        delimiter: Option<char>,
    },
    /// An argument of a request body that is a form, as it stands there.
    BodyArgument(String),
    /// The part of the request body that is buffered.
    Body,
    /// Number: the request's Content-Length, absent if unknown.
    BodyLength,
    /// User name of Basic authorization.
    BasicUser,
    /// Password of Basic authorization.
    BasicPassword,
    /// The scheme of the Authorization header: `Basic`, `Bearer`.
    AuthorizationScheme,
    /// The token after `Bearer` in a request header, Authorization where none is named.
    Bearer(Option<String>),
    /// Boolean: this is the first request of its connection.
    FirstRequest,
    /// The request id.
    RequestId,
    /// The trace that the request belongs to, 32 hexadecimal digits.
    TraceId,
    /// The request as a step of its trace, 16 hexadecimal digits.
    SpanId,
    /// Number: response status; from the response phase.
    Status,
    /// The part of the response's body that is there; from the response phase.
    ResponseBody,
    /// Number: the response's Content-Length, absent if unknown; from the response phase.
    ResponseBodyLength,
    /// `1.0`, `1.1`, `2.0`, `3.0`: the version of the response; from the response phase.
    ResponseVersion,
    /// A response header; several occurrences; from the response phase.
    ResponseHeader(String),
    /// A cookie that the response sets; from the response phase.
    ResponseCookie(String),
    /// A variable set by a rule.
    Variable(Variable),
    /// What a rule captured from the request into this slot.
    Capture(u16),
    /// What a rule captured from the response into this slot; from the response phase.
    ResponseCapture(u16),
    /// Boolean: the Basic authorization names a user of this list with the right password.
    Authenticated(S::Userlist),
    /// The user that the Basic authorization names, where `Authenticated` is true.
    AuthenticatedUser(S::Userlist),
    /// Boolean: as `Authenticated`, and the user is in one of these groups.
    InUserGroup {
        /// The list.
        users: S::Userlist,
        /// Groups of it.
        groups: Vec<String>,
    },
    /// Number: a counter of a stick table. Absent where nothing is tracked in the slot or the table does not store it; 0
    /// where there is no entry with the key.
    Counter {
        /// Which counter.
        counter: Counter,
        /// Of which entry.
        of: CounterEntry<S>,
        /// What becomes of it.
        touch: Touch,
    },
    /// Number: something of an entry itself; absent where there is none.
    OfEntry {
        /// What.
        figure: EntryFigure,
        /// Of which entry.
        of: CounterEntry<S>,
    },
    /// Number: something of a stick table as a whole.
    OfTable {
        /// What.
        figure: TableFigure,
        /// Of which table.
        table: S::StickTable,
    },
    /// Number: targets of a group that may take traffic.
    HealthyTargets(S::Group),
    /// Number: connections open to a group.
    GroupConnections(S::Group),
    /// Number: something else that is counted of a group.
    OfGroup {
        /// What.
        figure: GroupFigure,
        /// Of which group.
        group: S::Group,
    },
    /// Something of one target: a boolean or a number.
    OfTarget {
        /// What.
        figure: TargetFigure,
        /// Of which group.
        group: S::Group,
        /// The name of the target.
        target: Name,
    },
    /// Number: something of a listener that is named.
    OfListener {
        /// What.
        figure: ListenerFigure,
        /// Of which listener.
        listener: S::Listener,
    },
    /// Number: connections open on this listener.
    ListenerConnections,
    /// Number: connections that this listener accepted in the last second.
    ListenerConnectionRate,
    /// Number: requests that came to this listener in the last second.
    ListenerRequestRate,
    /// Address or number: an end of the client's connection as it was before rules changed it for this exchange; from the
    /// connection phase.
    Accepted(End),
    /// Number: a timeout in milliseconds; absent where there is none.
    Timeout(TimeoutOf),
    /// Number: a part of its place among those that wait for a target; 0 where no rule said any.
    Priority(PriorityPart),
    /// The lines of all headers in their order, each with its line end, and an empty one.
    HeaderBlock(Message),
    /// Number: that by which HAProxy's tools know the target that was chosen.
    TargetNumber,
    /// The target group that was chosen.
    GroupName,
    /// The target that was chosen.
    TargetName,
    /// Address and port of the target that was chosen.
    TargetAddress,
    /// The bytes of an expression, and those of the client's address after them: four or sixteen.
    WithSource(Box<Expression<S>>),
    /// What a group of a regular expression finds.
    Matched(Box<Matched<S>>),
    /// Number: a random number from 0 up to but not including this.
    Random(u32),
    /// Number: seconds since 1970.
    Now,
    /// Number: microseconds since 1970.
    NowMicroseconds,
    /// A random UUID, version 4 of RFC 9562.
    Uuid,
    /// Number: the worker that this runs on, from 1.
    Worker,
    /// Boolean: the process is about to end and takes no new connections.
    Draining,
    /// This machine's host name.
    Hostname,
    /// An environment variable, read once at compile by the caller of the dialect.
    Environment(String),
    /// Something for access logs: what is known when the exchange ends, or so far.
    Log(LogValue),
}

/// Which timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeoutOf {
    /// Silence of the client, as the listener says.
    Client,
    /// Silence of a target, as the group says.
    Group,
    /// Silence of a tunnel, as the group says; 0 where it does not.
    GroupTunnel,
    /// Silence of a target in this exchange.
    Response,
    /// Silence of a tunnel in this exchange; 0 where nothing is said.
    Tunnel,
}

/// What says who of those that wait for a target is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PriorityPart {
    /// Lower classes go before higher ones: from -2047 to 2047.
    Class,
    /// Milliseconds that the arrival is moved by, within a class: from -524287 to 524287.
    Offset,
}

/// A request or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// The request.
    Request,
    /// The response; from the response phase.
    Response,
}

/// Which part of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeaderPart {
    /// The whole line at this place: from 1, or from the end below 0; not 0.
    Line(i32),
    /// The values between commas, those in double quotes left alone; `Some`: the one at this place, as above.
    Item(Option<i32>),
}

/// What is agreed on in a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsField {
    /// Boolean: TLS is spoken at all.
    Spoken,
    /// `TLSv1.2`, `TLSv1.3`.
    Version,
    /// The cipher suite as IANA names it.
    Cipher,
    /// The cipher suite as OpenSSL names it.
    CipherOpenssl,
    /// Number: bits of the cipher's key.
    KeyBits,
    /// Boolean: the session was resumed.
    Resumed,
    /// The application protocol.
    Alpn,
}

/// Part of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateField {
    /// Boolean: there is one.
    Present,
    /// Boolean: it was verified.
    Verified,
    /// Number: why it was not verified, as OpenSSL counts; 0: it was, or there is none.
    VerifyCode,
    /// Number: the first fault of the certificate itself, as OpenSSL counts.
    Fault,
    /// Number: the first fault of a certificate above it.
    FaultAbove,
    /// Number: how far above it that one is.
    FaultAboveDepth,
    /// Subject, RFC 4514 text.
    Subject,
    /// Issuer, RFC 4514 text.
    Issuer,
    /// Subject as OpenSSL writes it in one line, `/C=FR/CN=name`.
    SubjectLine,
    /// Issuer as OpenSSL writes it in one line.
    IssuerLine,
    /// One attribute of the subject.
    SubjectPart(NamePart),
    /// One attribute of the issuer.
    IssuerPart(NamePart),
    /// Serial number in hex.
    Serial,
    /// The bytes of the serial number.
    SerialBytes,
    /// SHA-256 of the certificate in hex.
    Fingerprint,
    /// SHA-1 of the certificate, 20 bytes.
    Sha1Bytes,
    /// Not valid before, RFC 3339.
    NotBefore,
    /// Not valid after, RFC 3339.
    NotAfter,
    /// Not valid before as the certificate says it: `YYMMDDhhmmssZ`.
    NotBeforeText,
    /// Not valid after as the certificate says it.
    NotAfterText,
    /// Number: version of X.509, 3 for most.
    Version,
    /// Algorithm of the key, such as `rsaEncryption`.
    KeyAlgorithm,
    /// Algorithm of the signature, such as `RSA-SHA256`.
    SignatureAlgorithm,
    /// Alternative names that are names of hosts, one after the other with commas between.
    DnsNames,
    /// Those that are IP addresses.
    Addresses,
    /// Those that are addresses of mail.
    Emails,
    /// Those that are URIs; commas in them are percent-encoded.
    Uris,
    /// All of them: names of hosts, addresses of mail, IP addresses, URIs.
    AlternativeNames,
    /// Several parts in one line, as Traefik's `X-Forwarded-Tls-Client-Cert-Info` has it, encoded for an URL.
    Info(Vec<CertificateInfo>),
    /// The certificate's bytes, DER.
    Der,
    /// The certificate as PEM, percent-encoded.
    Pem,
}

/// A part of what is told of a certificate in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateInfo {
    /// An attribute of the subject, all of its values.
    Subject(NameAttribute),
    /// An attribute of the issuer, all of its values.
    Issuer(NameAttribute),
    /// The serial number, decimal.
    Serial,
    /// Not valid before, in seconds since 1970.
    NotBefore,
    /// Not valid after, in seconds since 1970.
    NotAfter,
    /// Alternative names.
    AlternativeNames,
    /// No part: commas and percent signs of values stay as they are, as Traefik has them.
    AsTraefik,
}

/// An attribute of a distinguished name that is told so, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameAttribute {
    /// `DC`.
    DomainComponent,
    /// `C`.
    Country,
    /// `ST`.
    Province,
    /// `L`.
    Locality,
    /// `O`.
    Organization,
    /// `OU`.
    OrganizationalUnit,
    /// `serialNumber`, told as `SN`.
    SerialNumber,
    /// `CN`.
    CommonName,
}

/// One attribute of a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePart {
    /// Its short name: `CN`, `OU`, ….
    pub attribute: String,
    /// Which of several, from 1; negative from the end. Not 0.
    pub occurrence: i16,
}

/// A variable with its life time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variable {
    /// How long it lives.
    pub scope: Scope,
    /// Its name.
    pub name: Name,
}

/// How long a variable lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// As long as the process.
    Process,
    /// As long as the client's connection.
    Connection,
    /// Until the exchange ends.
    Exchange,
    /// Until the response begins.
    Request,
    /// While the response is processed.
    Response,
    /// While a target is checked.
    Check,
}

/// Which entry of a stick table a counter is read from.
#[derive(Debug, Clone, PartialEq)]
pub enum CounterEntry<S: Stage> {
    /// The entry that a `track` action put into this slot.
    Tracked(u8),
    /// The entry of a table whose key is that of the entry in this slot.
    TrackedKey {
        /// The table.
        table: S::StickTable,
        /// The slot.
        slot: u8,
    },
    /// The entry with this key.
    Key {
        /// The table.
        table: S::StickTable,
        /// The key.
        key: Box<Expression<S>>,
    },
}

/// What asking for a counter does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Touch {
    /// Nothing.
    Read,
    /// It is raised by one first; where there is no entry with the key, one is made.
    Raise,
    /// It is 0 afterwards; what it was is given.
    Clear,
}

/// What a stick table counts. Rates are per the period that the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Connections so far.
    Connections,
    /// Connections open now.
    OpenConnections,
    /// Connections per period.
    ConnectionRate,
    /// Connections so far that rules on connections let in.
    Sessions,
    /// The same per period.
    SessionRate,
    /// Requests so far.
    Requests,
    /// Requests per period.
    RequestRate,
    /// What clients did wrong so far: refused and denied requests, and responses with a 4xx status.
    Errors,
    /// The same per period.
    ErrorRate,
    /// What targets did wrong so far: no response, an invalid one, or a 5xx status but 501 and 505.
    Failures,
    /// The same per period.
    FailureRate,
    /// Bytes from clients so far.
    BytesIn,
    /// The same per period.
    BytesInRate,
    /// Bytes to clients so far.
    BytesOut,
    /// The same per period.
    BytesOutRate,
    /// A counter that rules raise.
    General(u8),
    /// The same per period.
    GeneralRate(u8),
    /// A mark that rules set.
    Mark(u8),
    /// The number of the target that the entry remembers, 0 where it remembers none. With it the entry keeps what
    /// [`TargetKey`](crate::settings::TargetKey) says.
    Target,
}

impl Counter {
    /// True for counters that are per a period, which the table must give.
    pub fn is_rate(self) -> bool {
        matches!(
            self,
            Counter::ConnectionRate
                | Counter::SessionRate
                | Counter::RequestRate
                | Counter::ErrorRate
                | Counter::FailureRate
                | Counter::BytesInRate
                | Counter::BytesOutRate
                | Counter::GeneralRate(_)
        )
    }
}

/// One counter that a stick table keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCounter {
    /// Which.
    pub counter: Counter,
    /// The period, for rates only.
    pub period: Option<Duration>,
}

impl<S: Stage> Condition<S> {
    /// True where nothing can make it false.
    pub fn is_always(&self) -> bool {
        matches!(self, Condition::All(parts) if parts.is_empty())
    }
}
