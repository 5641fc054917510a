//! The record of an exchange: what is known of it when it ends, logged exactly once.
//!
//! Everything is borrowed from the exchange, so that logging it allocates nothing. Text that peers chose is bytes: the
//! access log escapes it. What is unknown is `None` or empty, never invented.

use portway_model::log::RecordPart;
use portway_model::name::Name;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// One HTTP request and its response, or what there was of them.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the first byte of the request arrived.
    pub start: SystemTime,
    /// Name of the listener.
    pub listener: &'a str,
    /// Address of the client, after the PROXY protocol where that is in use; `None` on a UNIX socket.
    pub client: Option<SocketAddr>,
    /// Port that the client connected to; 0 on a UNIX socket.
    pub local_port: u16,
    /// TLS towards the client.
    pub tls: Option<Tls<'a>>,
    /// Server name of the client's ClientHello.
    pub sni: Option<&'a str>,
    /// Method; empty if the request line was not understood.
    pub method: &'a [u8],
    /// `http` or `https`, as the client used it.
    pub scheme: &'static str,
    /// Host that the request was for, with its port as sent.
    pub host: Option<&'a [u8]>,
    /// Path and query as sent (RFC 9112 section 3.2), before any rewriting.
    pub request_target: &'a [u8],
    /// `HTTP/1.0`, `HTTP/1.1`; empty if not understood.
    pub version: &'static str,
    /// Identity of the request, as sent on to the target.
    pub request_id: Option<&'a [u8]>,
    /// The trace that it belongs to.
    pub trace_id: Option<&'a [u8]>,
    /// Its step in it.
    pub span_id: Option<&'a [u8]>,
    /// Status sent to the client; 0 if none was.
    pub status: u16,
    /// Bytes of the request: head, body and framing, without TLS.
    pub bytes_in: u64,
    /// Bytes of the request's content.
    pub body_bytes_in: u64,
    /// Bytes of the response as sent to the client: heads, body and framing, without TLS.
    pub bytes_out: u64,
    /// Bytes of the response's content as sent to the client.
    pub body_bytes_out: u64,
    /// Where it was sent.
    pub upstream: Upstream<'a>,
    /// How long its parts took.
    pub durations: Durations,
    /// What went wrong; `None` for an exchange that went as it should, whatever its status.
    pub fault: Option<FaultCode>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
    /// The client's connection had served a request before.
    pub client_connection_reused: bool,
}

/// One TCP connection that was passed on without looking at requests.
#[derive(Clone, Debug)]
pub struct ConnectionRecord<'a> {
    /// When the connection was accepted.
    pub start: SystemTime,
    /// Name of the listener.
    pub listener: &'a str,
    /// Address of the client; `None` on a UNIX socket.
    pub client: Option<SocketAddr>,
    /// Port that the client connected to; 0 on a UNIX socket.
    pub local_port: u16,
    /// TLS that we terminated; `None` for a passthrough, even of TLS.
    pub tls: Option<Tls<'a>>,
    /// Server name of the ClientHello, terminated or passed through.
    pub sni: Option<&'a str>,
    /// Bytes from the client, without our TLS.
    pub bytes_in: u64,
    /// Bytes to the client, without our TLS.
    pub bytes_out: u64,
    /// Where it was sent.
    pub upstream: Upstream<'a>,
    /// How long its parts took; `request_head` and `response_head` do not apply.
    pub durations: Durations,
    /// What went wrong.
    pub fault: Option<FaultCode>,
}

/// TLS of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// `TLSv1.2`, `TLSv1.3`.
    pub version: &'a str,
    /// IANA name of the cipher suite.
    pub cipher: &'a str,
}

/// The target of the last attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream<'a> {
    /// Name of the target group.
    pub target_group: Option<&'a str>,
    /// Name of the target.
    pub target: Option<&'a str>,
    /// Address that was connected to.
    pub address: Option<SocketAddr>,
    /// Attempts made; 0 if Portway answered by itself.
    pub attempts: u32,
    /// The names of the targets of attempts before the last, in order; as many as are kept.
    pub earlier: &'a [Name],
    /// What it answered in the last attempt, whatever the client was told.
    pub status: Option<u16>,
    /// The last attempt used a connection that was open already.
    pub connection_reused: bool,
}

/// Durations of the parts of an exchange. `None`: it did not come to that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// From the first byte of the request to its complete head.
    pub request_head: Option<Duration>,
    /// Waiting for a free place at a target.
    pub queue: Option<Duration>,
    /// Connecting in the last attempt, TLS included; 0 for a reused connection.
    pub connect: Option<Duration>,
    /// From the complete request head to the complete head of the final response.
    pub response_head: Option<Duration>,
    /// From the first byte of the request (of the connection for TCP) to the last byte.
    pub total: Option<Duration>,
}

impl<'a> Record<'a> {
    /// A record of which nothing is known but where it came from.
    pub fn new(
        start: SystemTime,
        listener: &'a str,
        client: Option<SocketAddr>,
        local_port: u16,
    ) -> Record<'a> {
        Record {
            start,
            listener,
            client,
            local_port,
            tls: None,
            sni: None,
            method: b"",
            scheme: "http",
            host: None,
            request_target: b"",
            version: "",
            request_id: None,
            trace_id: None,
            span_id: None,
            status: 0,
            bytes_in: 0,
            body_bytes_in: 0,
            bytes_out: 0,
            body_bytes_out: 0,
            upstream: Upstream::default(),
            durations: Durations::default(),
            fault: None,
            user_agent: None,
            referer: None,
            client_connection_reused: false,
        }
    }

    /// Forgets these parts.
    pub fn leave_out(&mut self, parts: &[RecordPart]) {
        for part in parts {
            match part {
                RecordPart::Client => self.client = None,
                RecordPart::Host => self.host = None,
                RecordPart::RequestTarget => self.request_target = b"-",
                RecordPart::UserAgent => self.user_agent = None,
                RecordPart::Referer => self.referer = None,
                RecordPart::Sni => self.sni = None,
                RecordPart::TargetAddress => self.upstream.leave_out_target(),
            }
        }
    }
}

impl Upstream<'_> {
    fn leave_out_target(&mut self) {
        (self.target, self.address, self.earlier) = (None, None, &[]);
    }
}

impl<'a> ConnectionRecord<'a> {
    /// A record of which nothing is known but where it came from.
    pub fn new(
        start: SystemTime,
        listener: &'a str,
        client: Option<SocketAddr>,
        local_port: u16,
    ) -> ConnectionRecord<'a> {
        ConnectionRecord {
            start,
            listener,
            client,
            local_port,
            tls: None,
            sni: None,
            bytes_in: 0,
            bytes_out: 0,
            upstream: Upstream::default(),
            durations: Durations::default(),
            fault: None,
        }
    }

    /// Forgets these parts, as far as there are any.
    pub fn leave_out(&mut self, parts: &[RecordPart]) {
        for part in parts {
            match part {
                RecordPart::Client => self.client = None,
                RecordPart::Sni => self.sni = None,
                RecordPart::TargetAddress => self.upstream.leave_out_target(),
                RecordPart::Host
                | RecordPart::RequestTarget
                | RecordPart::UserAgent
                | RecordPart::Referer => {}
            }
        }
    }
}

/// What ended an exchange other than as it should: the code in the access log and the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// The client closed or reset the connection before it had its response.
    ClientClosed,
    /// The client was too slow with its request, or took no more of the response.
    ClientTimeout,
    /// The TLS handshake with the client failed.
    ClientTls,
    /// The client did not begin with a header of the PROXY protocol, which was expected of it.
    ClientProxy,
    /// The target was found to be down, and what it served was cut off.
    TargetDown,
    /// The request was refused for a reason of the closed list of refusals: its code.
    RefusedRequest(&'static str),
    /// No rule took the request.
    NoRule,
    /// The target group has no target that may take traffic.
    NoHealthyTarget,
    /// The target refused the connection.
    ConnectRefused,
    /// The target did not accept the connection in time.
    ConnectTimeout,
    /// The connection to the target failed in another way.
    ConnectFailed,
    /// The name of the target has no address.
    NotResolved,
    /// The TLS handshake with the target failed.
    TargetTls,
    /// The target closed or reset the connection before its response was complete.
    TargetClosed,
    /// The target did not answer in time.
    ResponseTimeout,
    /// An attempt took longer than one may.
    AttemptTimeout,
    /// The exchange took longer than it may.
    TotalTimeout,
    /// The target's answer was not understood, for a reason of the closed list of refusals: its code.
    BadResponse(&'static str),
    /// Nothing moved in either direction of a tunnel or a TCP connection for too long.
    IdleTimeout,
    /// A rule closed the connection without an answer.
    Rejected,
    /// A rule denied the request, or the response of the target.
    Denied,
    /// The process ended before the exchange did.
    Shutdown,
    /// A mistake of Portway's.
    Internal,
    /// No target had room in time.
    QueueTimeout,
    /// As many wait for the target as may.
    QueueFull,
    /// A circuit breaker answered in place of what fails.
    CircuitOpen,
    /// As many passwords wait to be checked as may.
    PasswordsBusy,
    /// The service that says whether requests may go on gave no answer: the code of the reason.
    NotAuthorized(&'static str),
    /// Portway had no descriptor, port or memory for a connection to the target, or no memory for the request.
    Exhausted,
    /// The client moved fewer bytes of a body than its listener demands.
    ClientTooSlow,
}

impl FaultCode {
    /// Every code, in the order of the declaration, those with a reason without one.
    pub const ALL: [FaultCode; 30] = [
        FaultCode::ClientClosed,
        FaultCode::ClientTimeout,
        FaultCode::ClientTls,
        FaultCode::RefusedRequest(""),
        FaultCode::NoRule,
        FaultCode::NoHealthyTarget,
        FaultCode::ConnectRefused,
        FaultCode::ConnectTimeout,
        FaultCode::ConnectFailed,
        FaultCode::NotResolved,
        FaultCode::TargetTls,
        FaultCode::TargetClosed,
        FaultCode::ResponseTimeout,
        FaultCode::AttemptTimeout,
        FaultCode::TotalTimeout,
        FaultCode::BadResponse(""),
        FaultCode::IdleTimeout,
        FaultCode::Rejected,
        FaultCode::Denied,
        FaultCode::Shutdown,
        FaultCode::Internal,
        FaultCode::ClientProxy,
        FaultCode::TargetDown,
        FaultCode::QueueTimeout,
        FaultCode::QueueFull,
        FaultCode::CircuitOpen,
        FaultCode::PasswordsBusy,
        FaultCode::NotAuthorized(""),
        FaultCode::Exhausted,
        FaultCode::ClientTooSlow,
    ];

    /// The code without its reason: stable, for metrics.
    pub const fn code(self) -> &'static str {
        self.described().1
    }

    /// The reason that stands behind the code in the access log: `refused_request:te_and_cl`.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            FaultCode::RefusedRequest(reason)
            | FaultCode::BadResponse(reason)
            | FaultCode::NotAuthorized(reason) => Some(reason),
            _ => None,
        }
    }

    /// What it means, for the reference.
    pub const fn meaning(self) -> &'static str {
        self.described().2
    }

    /// Place in [`FaultCode::ALL`].
    pub const fn index(self) -> usize {
        self.described().0
    }

    #[rustfmt::skip] // a table
    const fn described(self) -> (usize, &'static str, &'static str) {
        match self {
            FaultCode::ClientClosed => (0, "client_closed", "the client closed the connection before it had its response"),
            FaultCode::ClientTimeout => (1, "client_timeout", "the client was too slow with its request, or took no more of the response"),
            FaultCode::ClientTls => (2, "client_tls", "the TLS handshake with the client failed"),
            FaultCode::RefusedRequest(_) => (3, "refused_request", "the request was refused; the reason follows after a colon"),
            FaultCode::NoRule => (4, "no_rule", "no rule took the request"),
            FaultCode::NoHealthyTarget => (5, "no_healthy_target", "the target group has no target that may take traffic"),
            FaultCode::ConnectRefused => (6, "connect_refused", "the target refused the connection"),
            FaultCode::ConnectTimeout => (7, "connect_timeout", "the target did not accept the connection in time"),
            FaultCode::ConnectFailed => (8, "connect_failed", "the connection to the target failed in another way"),
            FaultCode::NotResolved => (9, "not_resolved", "the name of the target has no address"),
            FaultCode::TargetTls => (10, "target_tls", "the TLS handshake with the target failed"),
            FaultCode::TargetClosed => (11, "target_closed", "the target closed the connection before its response was complete"),
            FaultCode::ResponseTimeout => (12, "response_timeout", "the target did not answer in time"),
            FaultCode::AttemptTimeout => (13, "attempt_timeout", "an attempt took longer than one may"),
            FaultCode::TotalTimeout => (14, "total_timeout", "the exchange took longer than it may, whatever it waited for"),
            FaultCode::BadResponse(_) => (15, "bad_response", "the target's answer was not understood; the reason follows after a colon"),
            FaultCode::IdleTimeout => (16, "idle_timeout", "nothing moved in either direction of a tunnel or TCP connection for too long"),
            FaultCode::Rejected => (17, "rejected", "a rule closed the connection without an answer"),
            FaultCode::Denied => (18, "denied", "a rule denied the request, or the response of the target"),
            FaultCode::Shutdown => (19, "shutdown", "the process ended before the exchange did"),
            FaultCode::Internal => (20, "internal", "a mistake of Portway's: please report it"),
            FaultCode::ClientProxy => (21, "client_proxy", "the client did not begin with a header of the PROXY protocol, which was expected"),
            FaultCode::TargetDown => (22, "target_down", "the target was found to be down, and what it served was cut off"),
            FaultCode::QueueTimeout => (23, "queue_timeout", "no target had room in time"),
            FaultCode::QueueFull => (24, "queue_full", "as many requests wait for the target as may"),
            FaultCode::CircuitOpen => (25, "circuit_open", "a circuit breaker answered in place of what fails"),
            FaultCode::PasswordsBusy => (26, "passwords_busy", "as many passwords wait to be checked as may, or that took too long"),
            FaultCode::NotAuthorized(_) => (27, "not_authorized", "the service that says whether requests may go on gave no answer; the reason follows after a colon"),
            FaultCode::Exhausted => (28, "exhausted", "Portway had no descriptor, port or memory for a connection to the target"),
            FaultCode::ClientTooSlow => (29, "client_too_slow", "the client sent or took fewer bytes of a body in a second than its listener demands"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_their_places() {
        let codes: std::collections::BTreeSet<_> =
            FaultCode::ALL.iter().map(|c| c.code()).collect();
        assert_eq!(codes.len(), FaultCode::ALL.len());
        for (index, code) in FaultCode::ALL.iter().enumerate() {
            assert_eq!(code.index(), index);
            assert!(!code.meaning().is_empty());
        }
    }
}
