//! Settings that are the same before and after compile: small closed sets and plain records.

use crate::expression::Template;
use crate::proxied::PassOn;
use crate::stage::Stage;
use crate::tcp::{TcpKeepAlive, TcpWatch};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// What a listener or a target group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS, terminated or begun here.
    Https,
    /// A stream of bytes, passed through untouched.
    Tcp,
    /// A stream of bytes over TLS, terminated or begun here.
    Tls,
}

impl Protocol {
    /// True where TLS is terminated (listener) or begun (target group) here.
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Tls)
    }

    /// True where requests are read.
    pub fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Https)
    }

    /// The word in native files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
        }
    }
}

/// What is done with an X-Forwarded-* header that a request brings, as an ALB does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ForwardedMode {
    /// X-Forwarded-For: the peer is added to what came, as an ALB, HAProxy and nginx do, so only what stands behind the
    /// last trusted address is to be believed. The others say what we know; what a trusted proxy said stays. The default.
    Append,
    /// What came is passed on; ours is not added.
    Preserve,
    /// Neither.
    Remove,
}

/// Whom a target group believes about the state of its targets when none is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoneHealthy {
    /// Requests are answered with 503 and connections closed. The default.
    Refuse,
    /// Every target is tried, as an ALB does.
    FailOpen,
}

/// Which server name is sent to a TLS target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerName {
    /// The one the client sent to us; the request's host, then the target's own name where there is none.
    Client,
    /// The request's host.
    Host,
    /// Always this.
    Fixed(String),
    /// None.
    None,
}

/// The name that a target's certificate must have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VerifyName {
    /// The name that is sent; where none is, the target's address.
    SentOrAddress,
    /// The name that is sent; where none is, any name will do. A common name counts where there are no alternative names.
    SentOrAny,
    /// The name that is sent; where none is, this one. A common name counts where there are no alternative names.
    SentOr(String),
}

/// A version of TLS that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// What is asked of the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// Nothing.
    Off,
    /// One may be sent; it must then be good.
    Optional,
    /// One must be sent and be good.
    Required,
    /// One may be sent, whatever it is: it is judged, and nothing is refused for what is wrong with it.
    OptionalAny,
    /// One must be sent, whatever it is.
    RequiredAny,
}

impl ClientAuth {
    /// Clients without a certificate are refused.
    pub fn is_required(self) -> bool {
        matches!(self, Self::Required | Self::RequiredAny)
    }

    /// What is wrong with a certificate does not matter.
    pub fn takes_any(self) -> bool {
        matches!(self, Self::OptionalAny | Self::RequiredAny)
    }
}

/// Which certificates of the other side are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateJudge {
    /// Of X.509 version 3 that lead to any of the given CAs, and the given ones themselves.
    Portway,
    /// Those that lead to a self-signed one of the given CAs, with faults counted as OpenSSL does.
    Openssl,
}

/// What may be wrong with a certificate, by OpenSSL's numbers (`X509_V_ERR_…`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults(u128);

impl Faults {
    /// The highest number.
    pub const HIGHEST: u8 = 94;

    /// Every fault.
    pub const ALL: Self = Self(u128::MAX);

    /// This one too. `None`: there is no such number.
    #[must_use]
    pub fn with(self, number: u8) -> Option<Self> {
        let known = (1..=Self::HIGHEST).contains(&number);
        known.then(|| Self(self.0 | 1 << number))
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, number: u8) -> bool {
        number <= Self::HIGHEST && self.0 >> number & 1 == 1
    }

    /// Reads `all` or numbers with commas between.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::ALL);
        }
        let mut numbers = text.split(',').map(|it| it.trim().parse().ok());
        numbers.try_fold(Self::default(), |faults, number| faults.with(number?))
    }
}

/// As [`Faults::read`] reads them.
impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        let numbers = (1..=Self::HIGHEST).filter(|number| self.has(*number));
        for (index, number) in numbers.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{number}")?;
        }
        Ok(())
    }
}

/// The version of the PROXY protocol to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Where connections to a target come from, as far as the system does not choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SourceAddress {
    /// An address of this machine.
    pub address: Option<IpAddr>,
    /// The ports: only one connection at a time comes from each.
    pub ports: Option<PortRange>,
    /// Only by this network interface.
    pub interface: Option<String>,
    /// An address that this machine need not have, in place of `address` and `ports` (Linux' IP_TRANSPARENT). Health checks
    /// come from `address` still.
    pub borrowed: Option<Borrowed>,
}

/// Ports from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `None`: the first is 0, or beyond the last.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first > 0 && first <= last).then_some(Self { first, last })
    }

    /// The first one.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last one.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Each of them once, beginning at the one that the number stands for.
    pub fn beginning_at(self, start: u32) -> impl Iterator<Item = u16> {
        let count = u32::from(self.last - self.first) + 1;
        let at = start % count;
        let ports = self.first..=self.last;
        let skipped = usize::try_from(at).unwrap_or_default();
        let before = ports.clone().take(skipped);
        ports.skip(skipped).chain(before)
    }
}

/// An address that belongs to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Borrowed {
    /// The client's, after the PROXY protocol and trusted headers.
    Client {
        /// Its port too.
        port: bool,
    },
    /// The one in a header of the request, between commas; as if nothing were borrowed where there is none, and in streams.
    Header {
        /// The header.
        name: String,
        /// Which of several, from 1; negative from the end. Not 0.
        occurrence: i16,
    },
    /// This one.
    Address {
        /// The address.
        ip: IpAddr,
        /// The port; only one connection at a time comes from it.
        port: Option<u16>,
    },
}

/// The header of the PROXY protocol that targets get before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SendProxy {
    /// Its version.
    pub version: ProxyProtocol,
    /// What version 2 tells beside the addresses; empty for version 1.
    pub parts: Vec<ProxyPart>,
    /// What version 2 tells on of the header that the client came with; nothing for version 1.
    pub pass_on: PassOn,
}

/// The PROXY protocol of one target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum TargetSendProxy {
    /// As its group says.
    #[default]
    Group,
    /// None, whatever the group says.
    Off,
    /// This, whatever the group says.
    Own(Box<SendProxy>),
}

impl From<ProxyProtocol> for SendProxy {
    fn from(version: ProxyProtocol) -> Self {
        Self {
            version,
            parts: Vec::new(),
            pass_on: PassOn::default(),
        }
    }
}

/// What version 2 of the PROXY protocol may tell beside the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyPart {
    /// The client's TLS: version, and whether it showed a certificate.
    Tls,
    /// With `Tls`: the common name of the client's certificate.
    CommonName,
    /// With `Tls`: the cipher suite.
    Cipher,
    /// With `Tls`: the key of the certificate that the client was shown, `RSA2048`.
    Key,
    /// With `Tls`: what that certificate is signed with, `RSA-SHA256`.
    Signature,
    /// The server name that the client asked for.
    Authority,
    /// The ALPN protocol that was agreed on.
    Alpn,
    /// The checksum of the header.
    Checksum,
    /// The request id of the exchange that opened the connection.
    UniqueId,
}

/// A cookie whose value is kept for the log, of requests and of responses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaptureCookie {
    /// Its name, or the beginning of it.
    pub name: String,
    /// Every name that begins so will do; the first such cookie is kept.
    pub prefix: bool,
    /// Bytes of `name=value` at most, 1–65535.
    pub length: u16,
}

/// The form of our own answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnAnswers {
    /// Portway's.
    Portway,
    /// That of HAProxy 2.6: its headers, its bodies, its statuses.
    Haproxy,
}

/// Which open connections to a target an exchange may have that waits on none of its own, as HAProxy's `http-reuse`. A first
/// request that finds its connection closed cannot always be sent again, so that careful modes give it none of another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionReuse {
    /// Those of the same client's connection only.
    Never,
    /// The first request of a client's connection none, later ones any.
    Safe,
    /// The first request those that have served more than one, later ones any.
    Aggressive,
    /// Any.
    Always,
}

/// What is sent in place of our own answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ErrorPageSource<S: Stage> {
    /// A file: a whole HTTP response where it begins with `HTTP/`, else an HTML body.
    File(String),
    /// A redirect.
    Redirect {
        /// The `Location`.
        location: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// An answer of our own making.
    Answer(ErrorAnswer<S>),
}

/// An error page that is written in the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorAnswer<S: Stage> {
    /// The body.
    pub body: Template<S>,
    /// Its type.
    pub content_type: String,
    /// Further headers.
    pub headers: Vec<(String, Template<S>)>,
}

/// What a user must know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Password {
    /// What crypt(3) makes of it.
    Crypt(String),
    /// The password itself.
    Plain(String),
}

/// A SameSite attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// `Strict`.
    Strict,
    /// `Lax`.
    Lax,
    /// `None`.
    None,
}

/// What a connection to a control socket may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ControlLevel {
    /// See what is not sensitive.
    User,
    /// See everything, change what does no harm.
    Operator,
    /// Everything.
    Admin,
}

impl ControlLevel {
    /// The word for it, in our texts and in HAProxy's.
    pub fn as_str(self) -> &'static str {
        match self {
            ControlLevel::User => "user",
            ControlLevel::Operator => "operator",
            ControlLevel::Admin => "admin",
        }
    }
}

/// Permissions of a file; written in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileMode(pub u16);

/// The type of a stick table's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// IPv4 and IPv6 addresses.
    Address,
    /// The same; those of IPv4 are written as mapped into IPv6 (`::ffff:192.0.2.1`).
    Address6,
    /// Whole numbers.
    Number,
    /// Texts of at most so many bytes.
    Text {
        /// Bytes.
        length: u16,
    },
    /// So many bytes; shorter ones are filled up with zeros.
    Binary {
        /// Bytes.
        length: u16,
    },
}

/// What entries of a stick table know a target by, beside its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetKey {
    /// Its name.
    Name,
    /// Its address and port.
    Address,
}

/// What the header of the PROXY protocol is on a connection for which a rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyHeader {
    /// It has to come.
    Required,
    /// It may come.
    Optional,
    /// It may come; the client is who the connection says all the same.
    Ignored,
}

/// What becomes of a new key where a stick table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// The entries that have not been used for longest go.
    Evict,
    /// It gets no entry.
    Refuse,
}

/// How the keys of a map are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapMatch {
    /// As text.
    Text(crate::expression::TextMatch),
    /// As regular expressions.
    Regex,
    /// As networks.
    Address,
    /// As whole numbers or ranges of them, `5` or `5..7`.
    Number,
}

/// What a line of a map's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapLines {
    /// A key, blanks, and its value.
    Pairs,
    /// A key as a whole.
    Keys,
}

/// Timeouts of the client's side; zero is refused by compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From the first byte of a request until its head is complete; and for a TLS handshake.
    pub request_head: Duration,
    /// The time of a request head begins anew with each byte of it.
    pub request_head_renews: bool,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// Silence of the client while we wait for its body or for it to take what we send.
    pub client: Duration,
    /// Silence in both directions of a tunnel (WebSocket, CONNECT, TCP).
    pub tunnel: Duration,
    /// How long the client-hello phase waits for bytes.
    pub inspect: Duration,
    /// Silence of the client in a tunnel whose target has ended; `None`: as before that end.
    pub tunnel_ending: Option<Duration>,
}

/// Timeouts of the target's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupTimeouts {
    /// To establish a connection, TLS included.
    pub connect: Duration,
    /// Silence of the target while we wait for its response or for it to take what we send.
    pub response: Duration,
    /// Waiting for a free target.
    pub queue: Duration,
    /// One attempt of a request, from the moment that it has a place at a target to the complete head of its response; the
    /// body of the request is not counted. `None`: no limit of its own.
    pub attempt: Option<Duration>,
    /// A whole exchange, from the end of the request's head to the last byte of its response, with all that waits and is
    /// tried again in it; not a tunnel. `None`: no limit of its own.
    pub total: Option<Duration>,
    /// How long an idle connection is kept for the next request.
    pub idle: Duration,
    /// Silence in both directions of a tunnel, in place of the listener's; `None`: the listener's.
    pub tunnel: Option<Duration>,
    /// Silence of the target in a tunnel, where `tunnel` is not said: the listener's is then that of the client. `None`: the
    /// listener's. A side that is silent for longer has ended for the other.
    pub tunnel_target: Option<Duration>,
    /// Silence of the target in a tunnel whose client has ended; `None`: as before that end.
    pub tunnel_ending: Option<Duration>,
    /// How long the client-hello phase of this group's rules waits for bytes.
    pub inspect: Duration,
    /// How long the response phase of a stream waits for bytes of the target, from when it was connected.
    pub inspect_response: Duration,
}

/// Names and values that people give to an object; nothing depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(pub Vec<(String, String)>);

/// How the sockets of a listener are made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SocketOptions {
    /// Only packets of this network interface; `None`: of all.
    pub interface: Option<String>,
    /// Whether `[::]` takes IPv6 alone.
    pub v6_only: bool,
    /// Connections that wait to be accepted on each socket; `None`: as many as Portway asks for.
    pub backlog: Option<u32>,
    /// Addresses that this machine does not have can be bound (Linux' IP_TRANSPARENT).
    pub transparent: bool,
    /// Another whose are shared too may accept on the same addresses: a connection goes to one of them.
    pub shared: bool,
    /// Packets from elsewhere vanish before anything answers them, as in a firewall; `None`: none does.
    pub packets_from: Option<Vec<IpNet>>,
    /// How accepted connections are watched over.
    pub tcp: TcpWatch,
}

impl SocketOptions {
    /// Nothing is asked for.
    pub const PLAIN: Self = Self {
        interface: None,
        v6_only: false,
        backlog: None,
        transparent: false,
        shared: false,
        packets_from: None,
        tcp: TcpWatch {
            keep_alive: TcpKeepAlive::Off,
            user_timeout: None,
        },
    };
}
