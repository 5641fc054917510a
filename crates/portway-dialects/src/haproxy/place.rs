//! Where an expression stands, and which fetches are known there.

/// What is being done while the expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// `tcp-request connection`.
    TcpConnection,
    /// `tcp-request session`.
    TcpSession,
    /// `tcp-request content`.
    TcpContent,
    /// `http-request`, and the older words for the same.
    HttpRequest,
    /// `use_backend`.
    UseBackend,
    /// What chooses or reaches a server: `use-server`, `sni`, `source`.
    Server,
    /// `balance hash`, before there is a server.
    Balance,
    /// `tcp-response content`.
    TcpResponse,
    /// `http-response` and `http-after-response`.
    HttpResponse,
    /// `log-format` and its like.
    Log,
    /// Health checks.
    Check,
    /// `unique-id-format`: written as a log is, known as in a request.
    Id,
    /// Before anybody has come.
    Start,
}

/// The kind of proxy it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Frontend,
    Backend,
    /// Both at once: a `listen`, or a `defaults` for either.
    Listen,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) step: Step,
    pub(crate) side: Side,
}

impl Place {
    /// This step of this kind of proxy.
    pub(crate) const fn new(step: Step, side: Side) -> Self {
        Self { step, side }
    }

    /// True where a response is being looked at.
    pub(super) fn is_response(self) -> bool {
        matches!(self.step, Step::TcpResponse | Step::HttpResponse)
    }

    /// True where an absent value is written as a dash.
    pub(super) fn is_log(self) -> bool {
        self.step == Step::Log
    }

    /// The place in messages.
    pub(super) fn word(self) -> &'static str {
        match self.step {
            Step::TcpConnection => "a tcp-request connection rule",
            Step::TcpSession => "a tcp-request session rule",
            Step::TcpContent => "a tcp-request content rule",
            Step::HttpRequest => "an http-request rule",
            Step::UseBackend => "a use_backend rule",
            Step::Server | Step::Balance => "the choice of a server",
            Step::TcpResponse => "a tcp-response rule",
            Step::HttpResponse => "an http-response rule",
            Step::Log => "a log format",
            Step::Check => "a health check",
            Step::Id => "the format of an id",
            Step::Start => "the section `global`",
        }
    }
}

/// When a fetch is known, as the table of HAProxy's own fetches has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Everywhere.
    Always,
    /// Wherever there is a client: not in health checks.
    Client,
    /// From the end of the client's TLS handshake on.
    Session,
    /// While the request is there.
    Request,
    /// While the request or the response is there.
    Message,
    /// From the request on, logs included.
    Exchange,
    /// While the response is there.
    Response,
    /// From the response on, logs included.
    Answered,
    /// Once the backend is known.
    Backend,
    /// Once the server is known.
    Target,
    /// Once the server of a client is connected: not in health checks.
    Connected,
}

impl When {
    /// Whether it is known there.
    pub(super) fn is_known(self, place: Place) -> bool {
        use Step::{
            Balance, Check, HttpRequest, HttpResponse, Id, Log, Server, TcpConnection, TcpContent,
            TcpResponse, TcpSession, UseBackend,
        };
        let step = place.step;
        if step == Step::Start {
            return self == When::Always;
        }
        match self {
            When::Always => true,
            When::Client => step != Check,
            When::Session => !matches!(step, Check | TcpConnection),
            When::Request => matches!(
                step,
                TcpContent | HttpRequest | UseBackend | Server | Balance | Id
            ),
            When::Message => !matches!(step, TcpConnection | TcpSession | Log),
            When::Exchange => !matches!(step, TcpConnection | TcpSession | Check),
            When::Response => matches!(step, TcpResponse | HttpResponse | Check),
            When::Answered => matches!(step, TcpResponse | HttpResponse | Check | Log),
            When::Backend => match step {
                TcpConnection | TcpSession => false,
                TcpContent | HttpRequest | UseBackend | Id => place.side != Side::Frontend,
                Server | Balance | TcpResponse | HttpResponse | Log | Check | Step::Start => true,
            },
            When::Target => matches!(step, Server | TcpResponse | HttpResponse | Log | Check),
            When::Connected => matches!(step, Server | TcpResponse | HttpResponse | Log),
        }
    }

    /// What it needs, in messages.
    pub(super) fn needs(self) -> &'static str {
        match self {
            When::Always => "nothing",
            When::Client => "a client",
            When::Session => "the client's session",
            When::Request => "the request",
            When::Message => "a request or response",
            When::Exchange => "the request",
            When::Response | When::Answered => "the response",
            When::Backend => "the backend",
            When::Target => "the server",
            When::Connected => "a client's connection to the server",
        }
    }
}

impl Place {
    /// Where an ACL is declared: what it is used for shows later.
    pub(super) const ACL: Place = Place::new(Step::HttpRequest, Side::Listen);
    /// When the process starts: nobody has come.
    pub(super) const START: Place = Place::new(Step::Start, Side::Listen);
}
