//! How targets are probed: the check of a group, what a target has of its own, and the steps of scripted checks.

use crate::check_grpc::GrpcCheck;
use crate::expression::{Expression, NumberRange, Template, TextMatch, Variable};
use crate::span::Spanned;
use crate::stage::{Named, Stage};
use std::net::IpAddr;
use std::time::Duration;

/// The active probe of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HealthCheckDraft {
    /// How it is done; TCP by default.
    pub kind: Option<Spanned<CheckKind<Named>>>,
    /// Time between two checks of a healthy target.
    pub interval: Option<Spanned<Duration>>,
    /// Time between two checks while the state is about to change; `interval` by default.
    pub fast_interval: Option<Spanned<Duration>>,
    /// Time between two checks of an unhealthy target; `interval` by default.
    pub unhealthy_interval: Option<Spanned<Duration>>,
    /// How far the time until the next check is from what is said, by chance, in percent of it.
    pub jitter_percent: Option<Spanned<u16>>,
    /// Time for one check; never more than `interval` by default.
    pub timeout: Option<Spanned<Duration>>,
    /// Time for its connection; as long as for the whole by default.
    pub connect_timeout: Option<Spanned<Duration>>,
    /// Passing checks in a row until an unhealthy target is healthy.
    pub healthy_threshold: Option<Spanned<u16>>,
    /// Failing checks in a row until a target is unhealthy.
    pub unhealthy_threshold: Option<Spanned<u16>>,
    /// Another port than the target's.
    pub port: Option<Spanned<u16>>,
    /// A new target whose first check fails is unhealthy at once, as in HAProxy.
    pub first_failure_is_down: Option<Spanned<bool>>,
    /// A new target takes no traffic before its first passing check, as in AWS, unless its group fails open.
    pub wait_for_first_check: Option<Spanned<bool>>,
    /// A 404 is no failure: the target keeps its clients and takes no new ones (`http-check disable-on-404`).
    pub drain_on_404: Option<Spanned<bool>>,
}

/// What differs from the group's check for one target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TargetCheckDraft {
    /// False: the target is not checked and taken for healthy. True by default where the group has a check.
    pub enabled: Option<Spanned<bool>>,
    /// As in the group.
    pub interval: Option<Spanned<Duration>>,
    /// As in the group.
    pub fast_interval: Option<Spanned<Duration>>,
    /// As in the group.
    pub unhealthy_interval: Option<Spanned<Duration>>,
    /// As in the group.
    pub timeout: Option<Spanned<Duration>>,
    /// As in the group.
    pub healthy_threshold: Option<Spanned<u16>>,
    /// As in the group.
    pub unhealthy_threshold: Option<Spanned<u16>>,
    /// As in the group.
    pub port: Option<Spanned<u16>>,
    /// Another address than the target's.
    pub address: Option<Spanned<IpAddr>>,
    /// With TLS, whatever the group speaks; by default as the kind of check says.
    pub tls: Option<Spanned<bool>>,
    /// The header of the PROXY protocol is sent first.
    pub send_proxy: Option<Spanned<bool>>,
    /// The server name of the handshake.
    pub server_name: Option<Spanned<String>>,
    /// ALPN protocols that are offered.
    pub alpn: Option<Spanned<Vec<String>>>,
    /// What clients see of the target counts too.
    pub observe: Option<Spanned<Observation>>,
}

/// A program beside a target that says how the target is (`agent-check`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgentDraft {
    /// The port it listens on.
    pub port: Option<Spanned<u16>>,
    /// Another address than the target's.
    pub address: Option<Spanned<IpAddr>>,
    /// Time between two questions.
    pub interval: Option<Spanned<Duration>>,
    /// As in the check of a group.
    pub jitter_percent: Option<Spanned<u16>>,
    /// Time for one; the interval by default.
    pub timeout: Option<Spanned<Duration>>,
    /// What it is sent first; nothing by default.
    pub send: Option<Spanned<String>>,
}

/// How what is served by a target changes its health, beside its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// What is looked at.
    pub layer: ObservedLayer,
    /// So many errors in a row.
    pub errors: u16,
    /// And then this.
    pub then: OnErrors,
}

/// What of the traffic of a target is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObservedLayer {
    /// Its connections.
    Connection,
    /// Its responses.
    Response,
}

/// What errors in a row do. In any case the next check comes as soon as where the state is about to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnErrors {
    /// Nothing more.
    CheckSooner,
    /// They count as a failed check.
    FailCheck,
    /// One more failed check makes the target unhealthy.
    LastChance,
    /// The target is unhealthy.
    MarkDown,
}

/// How a check is done.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind<S: Stage> {
    /// A connection is established.
    Tcp,
    /// A connection and a TLS handshake.
    Tls,
    /// An HTTP request.
    Http(HttpCheck<S>),
    /// An HTTP request over TLS.
    Https(HttpCheck<S>),
    /// A call over HTTP/2.
    Grpc(GrpcCheck),
    /// A call over HTTP/2 and TLS.
    Grpcs(GrpcCheck),
    /// A sequence of steps.
    Script(Vec<CheckStep<S>>),
    /// The greeting of a well-known service.
    Service(CheckedService),
}

/// A service whose protocol we speak well enough to see that it answers, in HAProxy's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedService {
    /// A ClientHello of SSLv3 that any server of SSL or TLS answers (`option ssl-hello-chk`).
    SslHello,
    /// SMTP: the greeting, then `HELO` or `EHLO`, then `QUIT`.
    Smtp {
        /// `HELO` or `EHLO`.
        hello: String,
        /// Who we say we are.
        domain: String,
    },
    /// MySQL.
    Mysql {
        /// Logs in as this user; only the server's greeting is looked at without one.
        user: Option<String>,
        /// The login of servers since 4.1.
        post_41: bool,
    },
    /// PostgreSQL: a start-up message with this user.
    Postgres {
        /// The user.
        user: String,
    },
    /// Redis: `PING`.
    Redis,
    /// LDAPv3: an anonymous bind.
    Ldap,
}

/// One request of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheck<S: Stage> {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Host header; the target's address by default.
    pub host: Option<String>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Statuses that pass.
    pub expect: Vec<NumberRange>,
    /// What the body must hold.
    pub body: Option<S::Pattern>,
}

/// One step of a scripted check. A script that does not begin with a connection makes one first.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckStep<S: Stage> {
    /// Connects.
    Connect(CheckConnect),
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends what a template says.
    SendText {
        /// What.
        text: Template<S>,
        /// It is hexadecimal digits of what is sent.
        hex: bool,
    },
    /// Sends an HTTP request as it stands here: nothing is added but `Content-Length` where there is a body, and
    /// `Connection: close` where it is the last and the version is 1.1.
    Request(CheckRequest<S>),
    /// Waits for an answer and judges it.
    Expect(CheckExpect<S>),
    /// Sends a request and judges its answer.
    Http(HttpCheck<S>),
    /// Gives a variable of the check a value; an absent value unsets it.
    Set {
        /// Which.
        variable: Variable,
        /// The value.
        value: Template<S>,
    },
    /// A variable of the check is not set any more.
    Unset(Variable),
    /// Stands in reports of failures of the next step, where that has no text of its own.
    Comment(String),
}

/// How a step connects.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckConnect {
    /// As the target's own check says where this step does not (`default`); else in clear to the target's address.
    pub as_target: bool,
    /// Another port.
    pub port: Option<u16>,
    /// Another address.
    pub address: Option<IpAddr>,
    /// With TLS.
    pub tls: bool,
    /// The server name of the handshake.
    pub server_name: Option<String>,
    /// ALPN protocols that are offered.
    pub alpn: Vec<String>,
    /// The header of the PROXY protocol is sent first.
    pub send_proxy: bool,
    /// Closed in the ordinary way at the end, not with a reset.
    pub linger: bool,
    /// Stands in reports of failures of this step.
    pub comment: Option<String>,
}

/// A request of a scripted check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckRequest<S: Stage> {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: Template<S>,
    /// As on the wire: `HTTP/1.0` or `HTTP/1.1`.
    pub version: String,
    /// Headers in order.
    pub headers: Vec<(String, Template<S>)>,
    /// Body; empty for none.
    pub body: Template<S>,
    /// `X-Haproxy-Server-State` is sent too.
    pub send_state: bool,
    /// Stands in reports of failures of this step.
    pub comment: Option<String>,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckExpect<S: Stage> {
    /// What the answer is held against.
    pub that: Expectation<S>,
    /// It must not be so.
    pub negated: bool,
    /// So many bytes are waited for before anything is judged.
    pub min_bytes: Option<u32>,
    /// How a pass, a failure and a timeout are called; by default by the layer that was looked at.
    pub words: CheckWords,
    /// Text of the report after a pass.
    pub on_success: Option<Template<S>>,
    /// Text of the report after a failure.
    pub on_error: Option<Template<S>>,
    /// The number of the report; by default the status of an HTTP response, else 0.
    pub code: Option<Expression<S>>,
    /// Stands in reports of failures of this step.
    pub comment: Option<String>,
}

impl<S: Stage> CheckExpect<S> {
    /// Waits for this and says nothing more.
    pub fn new(that: Expectation<S>) -> Self {
        Self {
            that,
            negated: false,
            min_bytes: None,
            words: CheckWords::default(),
            on_success: None,
            on_error: None,
            code: None,
            comment: None,
        }
    }
}

/// What an answer is held against.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation<S: Stage> {
    /// This text is somewhere in what came.
    Bytes(String),
    /// These bytes are somewhere in what came.
    Binary(Vec<u8>),
    /// What a template says is somewhere in what came.
    Computed {
        /// What.
        text: Template<S>,
        /// Where, and how it is written.
        form: ComputedForm,
    },
    /// This is found in what came.
    Pattern(S::Pattern),
    /// This is found in what came, written as hexadecimal digits in upper case (`rbinary`).
    HexPattern(S::Pattern),
    /// The status of an HTTP response is one of these.
    Status(Vec<NumberRange>),
    /// This is found in the status of an HTTP response.
    StatusPattern(S::Pattern),
    /// These bytes are somewhere in the body of an HTTP response.
    Body(Vec<u8>),
    /// This is found in the body of an HTTP response.
    BodyPattern(S::Pattern),
    /// A header of an HTTP response is there.
    Header {
        /// Whose name is so.
        name: CheckText<S>,
        /// And whose value is so.
        value: Option<CheckText<S>>,
        /// The value is the whole line, not one of the parts between commas.
        whole: bool,
    },
}

/// What a computed text is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputedForm {
    /// What came.
    Text,
    /// What came; the text is hexadecimal digits.
    Hex,
    /// The body of an HTTP response.
    Body,
}

/// What a text is compared with. ASCII letters of either case are equal in names of headers.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckText<S: Stage> {
    /// A text.
    Text {
        /// How.
        how: TextMatch,
        /// With what.
        text: Template<S>,
    },
    /// A regular expression that is found in it.
    Pattern(S::Pattern),
}

/// Names of results, where a step chooses its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckWords {
    /// After a pass.
    pub ok: Option<CheckWord>,
    /// After a failure.
    pub error: Option<CheckWord>,
    /// After a timeout.
    pub timeout: Option<CheckWord>,
}

/// The result of a check by the layer that decided it, under HAProxy's names: stats pages and their readers know these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckWord {
    /// Not known: not checked.
    Unknown,
    /// The first check has not ended.
    Initializing,
    /// A socket of ours could not be made.
    SocketError,
    /// An agent has said nothing of the state.
    Checked,
    /// Errors in a row of what was served.
    HealthAnalysis,
    /// Connected, and nothing more was asked for.
    L4Ok,
    /// No connection in time.
    L4Timeout,
    /// Connection refused, no route.
    L4Connection,
    /// The handshake is done.
    L6Ok,
    /// No handshake in time.
    L6Timeout,
    /// The handshake failed.
    L6Response,
    /// The answer is as expected.
    L7Ok,
    /// The answer is as expected under a condition (a 404 that takes the target out of rotation).
    L7OkConditionally,
    /// No answer in time.
    L7Timeout,
    /// The answer is not of the protocol, or not what was waited for.
    L7Response,
    /// The answer says that something is wrong.
    L7Status,
}

impl CheckWord {
    /// Every word of checks; [`CheckWord::Checked`] is of agents alone.
    pub const ALL: [CheckWord; 15] = [
        CheckWord::Unknown,
        CheckWord::Initializing,
        CheckWord::SocketError,
        CheckWord::HealthAnalysis,
        CheckWord::L4Ok,
        CheckWord::L4Timeout,
        CheckWord::L4Connection,
        CheckWord::L6Ok,
        CheckWord::L6Timeout,
        CheckWord::L6Response,
        CheckWord::L7Ok,
        CheckWord::L7OkConditionally,
        CheckWord::L7Timeout,
        CheckWord::L7Response,
        CheckWord::L7Status,
    ];

    /// As in HAProxy's statistics.
    pub const fn as_str(self) -> &'static str {
        match self {
            CheckWord::Unknown => "UNK",
            CheckWord::Initializing => "INI",
            CheckWord::SocketError => "SOCKERR",
            CheckWord::Checked => "CHECKED",
            CheckWord::HealthAnalysis => "HANA",
            CheckWord::L4Ok => "L4OK",
            CheckWord::L4Timeout => "L4TOUT",
            CheckWord::L4Connection => "L4CON",
            CheckWord::L6Ok => "L6OK",
            CheckWord::L6Timeout => "L6TOUT",
            CheckWord::L6Response => "L6RSP",
            CheckWord::L7Ok => "L7OK",
            CheckWord::L7OkConditionally => "L7OKC",
            CheckWord::L7Timeout => "L7TOUT",
            CheckWord::L7Response => "L7RSP",
            CheckWord::L7Status => "L7STS",
        }
    }

    /// In words, as HAProxy's messages have them.
    pub const fn description(self) -> &'static str {
        match self {
            CheckWord::Unknown => "Unknown",
            CheckWord::Initializing => "Initializing",
            CheckWord::SocketError => "Socket error",
            CheckWord::Checked => "No status change",
            CheckWord::HealthAnalysis => "Health analyze",
            CheckWord::L4Ok => "Layer4 check passed",
            CheckWord::L4Timeout => "Layer4 timeout",
            CheckWord::L4Connection => "Layer4 connection problem",
            CheckWord::L6Ok => "Layer6 check passed",
            CheckWord::L6Timeout => "Layer6 timeout",
            CheckWord::L6Response => "Layer6 invalid response",
            CheckWord::L7Ok => "Layer7 check passed",
            CheckWord::L7OkConditionally => "Layer7 check conditionally passed",
            CheckWord::L7Timeout => "Layer7 timeout",
            CheckWord::L7Response => "Layer7 invalid response",
            CheckWord::L7Status => "Layer7 wrong status",
        }
    }

    /// The number of HAProxy's `show servers state`.
    pub const fn number(self) -> u8 {
        match self {
            CheckWord::Unknown => 0,
            CheckWord::Initializing => 1,
            CheckWord::Checked => 3,
            CheckWord::HealthAnalysis => 4,
            CheckWord::SocketError => 5,
            CheckWord::L4Ok => 6,
            CheckWord::L4Timeout => 7,
            CheckWord::L4Connection => 8,
            CheckWord::L6Ok => 9,
            CheckWord::L6Timeout => 10,
            CheckWord::L6Response => 11,
            CheckWord::L7Timeout => 12,
            CheckWord::L7Response => 13,
            CheckWord::L7Ok => 15,
            CheckWord::L7OkConditionally => 16,
            CheckWord::L7Status => 17,
        }
    }

    /// True where the check passed.
    pub const fn passed(self) -> bool {
        matches!(
            self,
            CheckWord::L4Ok | CheckWord::L6Ok | CheckWord::L7Ok | CheckWord::L7OkConditionally
        )
    }

    /// True where an answer was understood, so that it says something in a number.
    pub const fn has_code(self) -> bool {
        self.number() > CheckWord::L7Response.number()
    }

    /// The word written so.
    pub fn of(text: &str) -> Option<CheckWord> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}
