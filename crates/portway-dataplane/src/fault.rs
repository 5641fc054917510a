//! Faults: what went wrong in an exchange, whose it is, and what is answered. One table decides the answer.

use crate::scarce;
use crate::source;
use portway_core::http1::Refusal;
use portway_core::retry::Stage;
use portway_model::settings::OwnAnswers;
use portway_telemetry::record::FaultCode;
use std::io;

/// Something that ended an exchange or an attempt early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What, and by that whose.
    pub(crate) code: FaultCode,
    /// How far the attempt had come; `None`: not a matter of an attempt, never tried again.
    pub(crate) stage: Option<Stage>,
    /// What is answered if nothing was answered yet; `None`: the connection is closed without a word.
    pub(crate) status: Option<u16>,
}

impl Fault {
    /// The client's head or body is not what the RFCs allow.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self {
            code: FaultCode::RefusedRequest(refusal.code()),
            stage: None,
            status: Some(refusal.status()),
        }
    }

    /// The client has gone.
    pub(crate) fn client_closed() -> Self {
        Self {
            code: FaultCode::ClientClosed,
            stage: None,
            status: None,
        }
    }

    /// The client has gone while its request waited, and the group serves nobody who is gone; `sent`: for an answer.
    pub(crate) fn gave_up(sent: bool) -> Self {
        Self {
            stage: sent.then_some(Stage::ResponseStarted),
            ..Self::client_closed()
        }
    }

    /// What the request goes to fails, and a circuit breaker answers in its place.
    pub(crate) fn circuit_open(status: u16) -> Self {
        Self {
            code: FaultCode::CircuitOpen,
            stage: None,
            status: Some(status),
        }
    }

    /// The TLS handshake with the client failed.
    pub(crate) fn client_tls() -> Self {
        Self {
            code: FaultCode::ClientTls,
            stage: None,
            status: None,
        }
    }

    /// The client did not begin with a header of the PROXY protocol.
    pub(crate) fn client_proxy() -> Self {
        Self {
            code: FaultCode::ClientProxy,
            stage: None,
            status: None,
        }
    }

    /// The client was silent for too long.
    pub(crate) fn client_timeout() -> Self {
        Self {
            code: FaultCode::ClientTimeout,
            stage: None,
            status: Some(408),
        }
    }

    /// The client moved fewer bytes of a body than its listener demands.
    pub(crate) fn client_too_slow() -> Self {
        Self {
            code: FaultCode::ClientTooSlow,
            stage: None,
            status: Some(408),
        }
    }

    /// No rule answers the request.
    pub(crate) fn no_rule() -> Self {
        Self {
            code: FaultCode::NoRule,
            stage: None,
            status: Some(404),
        }
    }

    /// A rule names a group that there is not.
    pub(crate) fn no_group() -> Self {
        Self {
            code: FaultCode::NoRule,
            stage: None,
            status: Some(503),
        }
    }

    /// A rule denied it, and has answered.
    pub(crate) fn denied() -> Self {
        Self {
            code: FaultCode::Denied,
            stage: None,
            status: None,
        }
    }

    /// The body of the request is longer than a rule allows.
    pub(crate) fn request_too_long() -> Self {
        Self {
            code: FaultCode::Denied,
            stage: None,
            status: Some(413),
        }
    }

    /// The body of the target's response is longer than a rule allows.
    pub(crate) fn response_too_long() -> Self {
        Self {
            code: FaultCode::Denied,
            stage: Some(Stage::ResponseStarted),
            status: Some(500),
        }
    }

    /// What HAProxy answers; `no_request`: nothing was understood of the client's message.
    pub(crate) fn haproxy_status(self, no_request: bool) -> Option<u16> {
        match (self.code, self.stage) {
            (FaultCode::RefusedRequest(code), _)
                if code == Refusal::UnknownTransferCoding.code() =>
            {
                Some(422)
            }
            (FaultCode::RefusedRequest(_), _) => Some(400),
            (FaultCode::ClientClosed, _) if no_request => Some(400),
            (FaultCode::ClientClosed, Some(_)) => Some(400),
            (FaultCode::NoRule, _) | (_, Some(Stage::Connect)) => Some(503),
            _ => self.status,
        }
    }

    /// Nobody may take it.
    pub(crate) fn no_target() -> Self {
        Self {
            code: FaultCode::NoHealthyTarget,
            stage: None,
            status: Some(503),
        }
    }

    /// No target had room in time.
    pub(crate) fn queue_timeout() -> Self {
        Self {
            code: FaultCode::QueueTimeout,
            stage: None,
            status: Some(503),
        }
    }

    /// As many wait for the target as may.
    pub(crate) fn queue_full() -> Self {
        Self {
            code: FaultCode::QueueFull,
            stage: None,
            status: Some(503),
        }
    }

    /// As many passwords wait to be checked as may, or that took too long.
    pub(crate) fn passwords_busy() -> Self {
        Self {
            code: FaultCode::PasswordsBusy,
            stage: None,
            status: Some(503),
        }
    }

    /// We have not what it takes: a descriptor, a port, or memory.
    pub(crate) fn exhausted() -> Self {
        Self {
            code: FaultCode::Exhausted,
            stage: None,
            status: Some(503),
        }
    }

    /// True where a target could not be connected to, and that is no lack of ours.
    pub(crate) fn is_failed_connect(&self) -> bool {
        self.stage == Some(Stage::Connect) && !self.is_exhausted()
    }

    /// True for [`Self::exhausted`], at whatever stage.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.code == FaultCode::Exhausted
    }

    /// The target could not be connected to; where that is for a lack of ours, another target could not be either.
    pub(crate) fn connect(error: &io::Error) -> Self {
        if source::lack(error).is_some() {
            // Another target has another source, or ports are free towards it.
            return Self {
                stage: Some(Stage::Connect),
                ..Self::exhausted()
            };
        }
        if scarce::is_of_ours(error) {
            return Self::exhausted();
        }
        let (code, status) = match error.kind() {
            io::ErrorKind::ConnectionRefused => (FaultCode::ConnectRefused, 502),
            io::ErrorKind::TimedOut => (FaultCode::ConnectTimeout, 504),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                (FaultCode::TargetTls, 502)
            }
            io::ErrorKind::NotFound => (FaultCode::NotResolved, 502),
            _ => (FaultCode::ConnectFailed, 502),
        };
        Self {
            code,
            stage: Some(Stage::Connect),
            status: Some(status),
        }
    }

    /// The target has gone before its response.
    pub(crate) fn target_closed(stage: Stage) -> Self {
        Self {
            code: FaultCode::TargetClosed,
            stage: Some(stage),
            status: Some(502),
        }
    }

    /// The target was silent for too long.
    pub(crate) fn response_timeout() -> Self {
        Self {
            code: FaultCode::ResponseTimeout,
            stage: Some(Stage::ResponseStarted),
            status: Some(504),
        }
    }

    /// The attempt took longer than one may.
    pub(crate) fn attempt_timeout(stage: Stage) -> Self {
        Self {
            code: FaultCode::AttemptTimeout,
            stage: Some(stage),
            status: Some(504),
        }
    }

    /// The exchange took longer than it may, whatever it waited for.
    pub(crate) fn total_timeout() -> Self {
        Self {
            code: FaultCode::TotalTimeout,
            stage: Some(Stage::ResponseStarted),
            status: Some(504),
        }
    }

    /// The target's response is not what the RFCs allow.
    pub(crate) fn bad_response(refusal: Refusal) -> Self {
        Self {
            code: FaultCode::BadResponse(refusal.code()),
            stage: Some(Stage::ResponseStarted),
            status: Some(502),
        }
    }

    /// The target answered with a status that is tried again.
    pub(crate) fn refused_status(status: u16) -> Self {
        Self {
            code: FaultCode::BadResponse("status_tried_again"),
            stage: Some(Stage::Refused),
            status: Some(status),
        }
    }

    /// The target switches protocols although nobody asked it to, or before it had the whole request.
    pub(crate) fn unasked_upgrade() -> Self {
        Self {
            code: FaultCode::BadResponse("unasked_upgrade"),
            stage: Some(Stage::ResponseStarted),
            status: Some(502),
        }
    }

    /// The target goes on announcing a response.
    pub(crate) fn too_many_interims() -> Self {
        Self {
            code: FaultCode::BadResponse("too_many_interim_responses"),
            stage: Some(Stage::ResponseStarted),
            status: Some(502),
        }
    }

    /// A rule closes the connection without an answer.
    pub(crate) fn closed_by_rule() -> Self {
        Self {
            code: FaultCode::Rejected,
            stage: None,
            status: None,
        }
    }

    /// The client takes nothing more.
    pub(crate) fn unsent(error: &io::Error) -> Self {
        let slow = error.kind() == io::ErrorKind::TimedOut;
        let code = if slow {
            FaultCode::ClientTimeout
        } else {
            FaultCode::ClientClosed
        };
        Self {
            code,
            stage: None,
            status: None,
        }
    }

    /// A rule on the response refuses it: the client gets nothing.
    pub(crate) fn rejected() -> Self {
        Self {
            code: FaultCode::BadResponse("rejected_by_rule"),
            stage: None,
            status: None,
        }
    }

    /// What the target served was cut off, because it is down.
    pub(crate) fn cut_off() -> Self {
        Self {
            code: FaultCode::TargetDown,
            stage: None,
            status: None,
        }
    }

    /// The process ends before the exchange or the connection did.
    pub(crate) fn shutdown() -> Self {
        Self {
            code: FaultCode::Shutdown,
            stage: None,
            status: None,
        }
    }

    /// The service that says whether the request may go on gave no answer, for this reason; the client is told this status.
    pub(crate) fn not_authorized(cause: Fault, status: u16) -> Self {
        Self {
            code: FaultCode::NotAuthorized(cause.code.code()),
            stage: None,
            status: Some(status),
        }
    }

    /// There are no keys that a token could be held against.
    pub(crate) fn no_keys(reason: &'static str) -> Self {
        Self {
            code: FaultCode::NotAuthorized(reason),
            stage: None,
            status: Some(503),
        }
    }

    /// Something of ours that should not happen; said so that nobody looks for it elsewhere.
    pub(crate) fn internal() -> Self {
        Self {
            code: FaultCode::Internal,
            stage: None,
            status: Some(500),
        }
    }
}

/// What a client is told whose request nobody could be asked about.
pub(crate) const NOT_AUTHORIZED: &str = "Whether the request may go on could not be found out.";
/// What the client of a request with too long a body is told.
pub(crate) const TOO_LONG: &str = "The request body is too long.";
/// What a client is told whose request a circuit breaker answers.
pub(crate) const CIRCUIT_OPEN: &str = "The service fails, and is left alone for a while.";
/// What a client is told that sends more requests than it may.
pub(crate) const TOO_MANY: &str = "Too many requests.";

/// What clients are told. Never more than whose fault it is: names, addresses and details are for the log.
pub(crate) fn client_text(fault: Fault) -> &'static str {
    match (fault.code, fault.status) {
        (FaultCode::RefusedRequest(_), Some(414)) => "The request target is too long.",
        (FaultCode::RefusedRequest(_), Some(431)) => "The request headers are too large.",
        (FaultCode::RefusedRequest(_), Some(501)) => {
            "The request needs something that is not supported."
        }
        (FaultCode::RefusedRequest(_), Some(505)) => "This version of HTTP is not supported.",
        (FaultCode::RefusedRequest(_), _) => "The request is not valid HTTP.",
        (FaultCode::ClientTimeout | FaultCode::ClientTooSlow, _) => {
            "The request took too long to arrive."
        }
        (FaultCode::NoRule, Some(503)) => "No target group of this name.",
        (FaultCode::NoRule, _) => "No rule matches this request.",
        (FaultCode::NoHealthyTarget | FaultCode::QueueTimeout | FaultCode::QueueFull, _) => {
            "No target is available."
        }
        (FaultCode::ConnectRefused | FaultCode::ConnectFailed | FaultCode::NotResolved, _) => {
            "The target could not be reached."
        }
        (FaultCode::ConnectTimeout, _) => "The target could not be reached in time.",
        (FaultCode::Exhausted, _) => "The balancer has no room for this request now.",
        (FaultCode::TargetTls, _) => "No secure connection to the target could be made.",
        (FaultCode::TargetClosed, _) => "The target closed the connection before it responded.",
        (FaultCode::ResponseTimeout | FaultCode::AttemptTimeout | FaultCode::TotalTimeout, _) => {
            "The target did not respond in time."
        }
        (FaultCode::BadResponse(_), _) => "The target gave no valid response.",
        (FaultCode::CircuitOpen, _) => CIRCUIT_OPEN,
        (FaultCode::PasswordsBusy, _) => "Too many sign in at this moment.",
        (FaultCode::Denied, Some(413)) => TOO_LONG,
        (FaultCode::Denied, Some(500)) => "The response of the target is too long.",
        (FaultCode::NotAuthorized(_), _) => NOT_AUTHORIZED,
        (FaultCode::Internal, _) => "The balancer failed to process the request.",
        // Nothing is answered to these.
        (
            FaultCode::ClientClosed
            | FaultCode::ClientTls
            | FaultCode::ClientProxy
            | FaultCode::IdleTimeout
            | FaultCode::TargetDown
            | FaultCode::Rejected
            | FaultCode::Denied
            | FaultCode::Shutdown,
            _,
        ) => "",
    }
}

/// The reason phrase of a status in our own answers of this form.
pub(crate) fn reason_in(form: OwnAnswers, status: u16) -> &'static str {
    let other = match form {
        OwnAnswers::Portway => None,
        OwnAnswers::Haproxy => haproxy_reason(status),
    };
    other.unwrap_or_else(|| reason(status))
}

/// The reason phrase that HAProxy 2.6 has for a status, where it is another one than ours. Its redirects say "Found", and
/// other answers with 302 are not told from them.
fn haproxy_reason(status: u16) -> Option<&'static str> {
    Some(match status {
        210 => "Content Different",
        305 => "Use Proxy",
        310 => "Too many Redirects",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        416 => "Requested range unsatisfiable",
        417 => "Expectation failed",
        424 => "Method failure",
        449 => "Retry With",
        450 => "Blocked by Windows Parental Controls",
        456 => "Unrecoverable Error",
        499 => "client has closed connection",
        502 => "Bad Gateway or Proxy Error",
        504 => "Gateway Time-out",
        505 => "HTTP Version not supported",
        506 => "Variant also negotiate",
        507 => "Insufficient storage",
        508 => "Loop detected",
        509 => "Bandwidth Limit Exceeded",
        510 => "Not extended",
        511 => "Network authentication required",
        520 => "Web server is returning an unknown error",
        status if !reason(status).is_empty() => return None,
        100..200 => "Informational",
        200..300 => "Success",
        300..400 => "Redirection",
        400..500 => "Client Error",
        500..600 => "Server Error",
        _ => "Other",
    })
}

/// The reason phrase of a status (RFC 9110 §15).
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        203 => "Non-Authoritative Information",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        402 => "Payment Required",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        411 => "Length Required",
        412 => "Precondition Failed",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}
