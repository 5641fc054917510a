//! The values of an access log, as HAProxy prints them: of an exchange or a TCP connection, at its end or so far.
//!
//! They are written where they are going, so that a line costs no memory of its own. The one hard thing is what stands
//! where something is not known: -1 for a number, nothing for a text (a format says what then stands in its place).

use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::live::TargetState;
use crate::policy::Side;
use crate::record::Passed;
use crate::termination;
use crate::times::LookedAt;
use crate::times::Times;
use portway_core::evaluate::Fetched;
use portway_core::http1::{BodyLength, Known};
use portway_model::expression::LogValue;
use portway_model::settings::{CaptureCookie, OwnAnswers};
use portway_model::snapshot::TargetGroup;
use portway_model::span::Origin;
use portway_telemetry::access_log::{encode, number};
use portway_telemetry::record::FaultCode;
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes of a request line that are kept for the log: HAProxy's `tune.http.logurilen` less the byte that ends its string.
const REQUEST_LINE: usize = 1_023;
/// What HAProxy counts for a start line beside its texts, and for the end of a head: its `%U` and `%B` are the sizes of its
/// own form of a message, not of what is on the wire.
const START_LINE: u64 = 20;
const HEAD_END: u64 = 1;
/// What a request without a readable head is called.
const BAD_REQUEST: &[u8] = b"<BADREQ>";

/// Whose values they are.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    Exchange(&'a Exchange<'a>),
    Connection(&'a Connection, &'a Passed),
}

/// A group with the state of its targets, and which of them was chosen.
type Chosen<'a> = (&'a TargetGroup, &'a [Arc<TargetState>], Option<usize>);

impl<'a> Subject<'a> {
    pub(crate) fn connection(self) -> &'a Connection {
        match self {
            Subject::Exchange(x) => x.connection,
            Subject::Connection(connection, _) => connection,
        }
    }

    fn times(self) -> Times {
        match self {
            Subject::Exchange(x) => Times::of_exchange(x),
            Subject::Connection(connection, passed) => Times::of_connection(connection, passed),
        }
    }

    /// The group that was chosen, and the target's place in it.
    pub(crate) fn group(self) -> Option<Chosen<'a>> {
        let (group, target) = match self {
            Subject::Exchange(x) => (x.attempt.group, x.attempt.waited_for.or(x.attempt.target)),
            Subject::Connection(_, passed) => (passed.group, passed.target),
        };
        let (group, parts, _) = self.connection().generation.group(group?)?;
        Some((group, &parts.targets, target))
    }

    /// Address and port of the target; `None` where none was chosen, and for one without.
    fn target_address(self) -> Option<SocketAddr> {
        let (_, targets, target) = self.group()?;
        targets.get(target?)?.address()
    }

    fn upstream_local(self) -> Option<SocketAddr> {
        match self {
            Subject::Exchange(x) => x.ledger.upstream_local,
            Subject::Connection(_, passed) => passed.upstream_local,
        }
    }

    /// The client: as the peer is, or a trusted proxy or the PROXY protocol says; `None` on a UNIX socket.
    fn client(self) -> Option<SocketAddr> {
        let (peer, ip) = match self {
            Subject::Exchange(x) => (x.source_end(), x.client),
            Subject::Connection(connection, _) => {
                (connection.peer, connection.peer.ip().to_canonical())
            }
        };
        Some(SocketAddr::new(ip, peer.port())).filter(|_| !peer.ip().is_unspecified())
    }

    /// Where the client connected to.
    fn destination(self) -> SocketAddr {
        match self {
            Subject::Exchange(x) => x.destination_end(),
            Subject::Connection(connection, _) => connection.local,
        }
    }

    pub(crate) fn listener(self) -> &'a str {
        self.connection().listener_name().unwrap_or_default()
    }

    /// True where records are written before the end: HAProxy marks what it does not wait for, also where the end came first.
    fn is_early(self) -> bool {
        let connection = self.connection();
        let listener = connection.generation.plane.listener(connection.listener);
        let log = listener.and_then(|(listener, _)| listener.access_log.as_ref());
        log.is_some_and(|log| log.early)
    }

    /// The value, where a transform needs it.
    pub(crate) fn fetch(self, value: LogValue) -> Fetched<'a> {
        let address = match value {
            LogValue::ClientAddress => self.client(),
            LogValue::ListenerAddress => Some(self.destination()),
            LogValue::UpstreamAddress => self.upstream_local(),
            LogValue::TargetIp => self.target_address(),
            _ => None,
        };
        let known = address.map(|address| address.ip().to_canonical());
        if let Some(ip) = known.filter(|ip| !ip.is_unspecified()) {
            return ip.into();
        }
        if let Some(number) = self.number(value) {
            return number.into();
        }
        let mut text = Vec::new();
        self.write(value, &mut text);
        match text.as_slice() {
            [] => Fetched::Absent,
            _ => text.into(),
        }
    }

    /// Appends the value.
    pub(crate) fn write(self, value: LogValue, out: &mut Vec<u8>) {
        let counted_on = matches!(
            value,
            LogValue::TotalTime | LogValue::SessionTime | LogValue::UserTime | LogValue::BytesRead
        );
        if counted_on && self.is_early() {
            out.push(b'+');
        }
        if let Some(number) = self.number(value) {
            return signed(number, out);
        }
        match value {
            LogValue::ClientAddress
            | LogValue::ListenerAddress
            | LogValue::UpstreamAddress
            | LogValue::TargetIp => self.write_address(value, out),
            LogValue::ClientPort
            | LogValue::ListenerPort
            | LogValue::UpstreamPort
            | LogValue::TargetPort => match self.socket_number(value) {
                Some(socket) => number(u64::from(socket), out),
                None => out.push(b'-'),
            },
            LogValue::ListenerTransport => {
                out.extend_from_slice(self.listener().as_bytes());
                if self.connection().tls.is_some() {
                    out.push(b'~');
                }
            }
            LogValue::Backend => {
                let group = self.group().map(|(group, ..)| group.name.as_str());
                out.extend_from_slice(group.unwrap_or(self.listener()).as_bytes());
            }
            LogValue::Server => out.extend_from_slice(self.server().as_bytes()),
            LogValue::TargetsAttempted => self.write_attempted(out),
            LogValue::TlsVersion => {
                let tls = self.connection().tls.as_deref();
                out.extend_from_slice(tls.map_or("", |tls| tls.version).as_bytes());
            }
            LogValue::TlsCipher => {
                let tls = self.connection().tls.as_deref();
                let cipher = tls.map_or("", |tls| openssl_name(tls.cipher));
                out.extend_from_slice(cipher.as_bytes());
            }
            LogValue::RuleFile | LogValue::RuleLine => self.write_rule(value, out),
            LogValue::RetriesMarked => {
                if self.redispatched() {
                    out.push(b'+');
                }
                signed(self.retries(), out);
            }
            LogValue::Termination => self.write_termination(out),
            LogValue::TerminationLetters => {
                out.extend_from_slice(&self.letters());
                if let Subject::Exchange(x) = self {
                    out.extend_from_slice(&x.kept.letters());
                }
            }
            LogValue::TerminationShort => out.extend_from_slice(&self.letters()),
            LogValue::ConnectionError => out.extend_from_slice(self.connection_error()),
            _ if self.write_date(value, out) => {}
            _ => {
                if let Subject::Exchange(x) = self {
                    write_of_request(x, value, out);
                }
            }
        }
    }

    /// Where the rule stands that ended the rules of a phase last.
    fn write_rule(self, value: LogValue, out: &mut Vec<u8>) {
        let Subject::Exchange(x) = self else {
            return;
        };
        let Origin(span) = x.ledger.last_rule;
        let sources = &x.connection.generation.plane.sources;
        match (value, sources.get(span.file), sources.position(span)) {
            (LogValue::RuleFile, Some(file), _) => out.extend_from_slice(file.name.as_bytes()),
            (LogValue::RuleLine, _, Some(at)) => number(u64::from(at.line), out),
            _ => {}
        }
    }

    /// What HAProxy has for the ports of a client on a UNIX socket.
    fn socket_number(self, value: LogValue) -> Option<u16> {
        let own = matches!(value, LogValue::ClientPort | LogValue::ListenerPort);
        let connection = self.connection();
        (own && connection.peer.ip().is_unspecified()).then_some(connection.socket_number)
    }

    fn write_address(self, value: LogValue, out: &mut Vec<u8>) {
        let address = match value {
            LogValue::ClientAddress => self.client(),
            LogValue::ListenerAddress => Some(self.destination()),
            LogValue::UpstreamAddress => self.upstream_local(),
            _ => self.target_address(),
        };
        let known = address.filter(|address| !address.ip().is_unspecified());
        let own = matches!(value, LogValue::ClientAddress | LogValue::ListenerAddress);
        match known {
            Some(address) => portway_telemetry::access_log::address(address.ip(), out),
            None if own => out.extend_from_slice(b"unix"),
            None => {}
        }
    }

    /// Writes a date; false for a value that is none.
    fn write_date(self, value: LogValue, out: &mut Vec<u8>) -> bool {
        let connection = self.connection();
        let worker = &connection.worker;
        let accepted = worker.wall(connection.since());
        let started = match self {
            // What never began has the date of its connection.
            Subject::Exchange(x) if x.head_len > 0 => worker.wall(x.ledger.started),
            _ => accepted,
        };
        let mut dates = worker.dates.borrow_mut();
        match value {
            LogValue::StartTime => dates.at(started).write_rfc3339(out),
            LogValue::StartTimeCommon => out.extend_from_slice(dates.at(started).common()),
            LogValue::StartTimeLocal => out.extend_from_slice(dates.at(started).common_local()),
            LogValue::StartDate => dates.at(started).write_milliseconds(out),
            LogValue::AcceptTimeCommon => out.extend_from_slice(dates.at(accepted).common()),
            LogValue::AcceptTimeLocal => {
                out.extend_from_slice(dates.at(accepted).common_local());
            }
            LogValue::AcceptDate => dates.at(accepted).write_milliseconds(out),
            LogValue::AcceptMilliseconds => {
                let [.., a, b, c] = dates.at(accepted).milliseconds();
                out.extend_from_slice(&[a, b, c]);
            }
            _ => return false,
        }
        true
    }

    fn server(self) -> &'a str {
        if let Subject::Exchange(x) = self
            && let Some(service) = x.ledger.service
        {
            return service;
        }
        let chosen = self.group();
        let target = chosen.and_then(|(group, _, target)| group.targets.get(target?));
        target.map_or("<NOSRV>", |target| target.name.as_str())
    }

    /// The targets that were tried; the one that was waited for in vain is none of them.
    fn write_attempted(self, out: &mut Vec<u8>) {
        let (at, earlier) = match self {
            Subject::Exchange(x) => (x.attempt.group.zip(x.attempt.target), &x.scratch.earlier),
            Subject::Connection(_, passed) => (passed.group.zip(passed.target), &passed.earlier),
        };
        for name in earlier.names() {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b", ");
        }
        let last = at.and_then(|(group, target)| {
            let (group, ..) = self.connection().generation.group(group)?;
            group.targets.get(target)
        });
        out.extend_from_slice(last.map_or("", |it| it.name.as_str()).as_bytes());
    }

    fn retries(self) -> i64 {
        let attempts = match self {
            Subject::Exchange(x) => x.ledger.attempts,
            Subject::Connection(_, passed) => passed.attempts,
        };
        i64::from(attempts.saturating_sub(1))
    }

    fn redispatched(self) -> bool {
        match self {
            Subject::Exchange(x) => x.ledger.redispatched,
            Subject::Connection(_, passed) => passed.redispatched,
        }
    }

    /// The first two of HAProxy's letters.
    pub(crate) fn letters(self) -> [u8; 2] {
        match self {
            Subject::Exchange(x) => termination::of_exchange(x),
            Subject::Connection(_, passed) => termination::of_connection(passed),
        }
    }

    /// Whether HAProxy would take it for something that went wrong.
    pub(crate) fn is_abnormal(self) -> bool {
        let failed = match self {
            Subject::Exchange(x) => x.ledger.status >= 500,
            Subject::Connection(..) => false,
        };
        failed || self.retries() > 0 || termination::is_abnormal(self.letters())
    }

    fn fault(self) -> Option<FaultCode> {
        let fault = match self {
            Subject::Exchange(x) => x.ledger.fault,
            Subject::Connection(_, passed) => passed.fault,
        };
        fault.map(|fault| fault.code)
    }

    fn write_termination(self, out: &mut Vec<u8>) {
        let Some(code) = self.fault() else {
            return out.push(b'-');
        };
        out.extend_from_slice(code.code().as_bytes());
        if let Some(reason) = code.reason() {
            out.push(b':');
            out.extend_from_slice(reason.as_bytes());
        }
    }

    /// HAProxy's words for a connection that ended before a request could come.
    fn connection_error(self) -> &'static [u8] {
        let Subject::Connection(_, passed) = self else {
            return b"";
        };
        match passed.fault.map(|fault| fault.code) {
            Some(_) => passed.handshake_error.unwrap_or("Connection error"),
            None => "Success",
        }
        .as_bytes()
    }

    /// The values that are numbers; -1 where they are not known.
    fn number(self, value: LogValue) -> Option<i64> {
        if let Some(time) = self.times().value(value) {
            return Some(time);
        }
        let connection = self.connection();
        let plane = &connection.generation.plane;
        Some(match value {
            LogValue::AcceptSeconds => {
                let since = connection.worker.wall(connection.since());
                let since = since.duration_since(std::time::UNIX_EPOCH);
                large(since.unwrap_or_default().as_secs())
            }
            LogValue::BytesIn | LogValue::BytesOut => large(self.bytes(value)),
            LogValue::BytesRead | LogValue::BytesUploaded => large(match self {
                Subject::Exchange(x) => size(x, value),
                Subject::Connection(..) => self.bytes(value),
            }),
            LogValue::Status => match self {
                Subject::Exchange(x) => status(x),
                Subject::Connection(..) => -1,
            },
            LogValue::Retries => self.retries(),
            LogValue::ClientPort => port(self.client())?,
            LogValue::ListenerPort => port(Some(self.destination()))?,
            LogValue::UpstreamPort => port(self.upstream_local())?,
            LogValue::TargetPort => port(self.target_address())?,
            LogValue::ProcessConnections => plane.process.open_connections().into(),
            LogValue::ListenerConnections => {
                connection.listener_connections().unwrap_or_default().into()
            }
            LogValue::GroupConnections => self.group().map_or(0, |(_, targets, _)| {
                targets.iter().map(|it| i64::from(it.in_flight())).sum()
            }),
            LogValue::TargetConnections => self.group().map_or(0, |(_, targets, target)| {
                let target = target.and_then(|target| targets.get(target));
                target.map_or(0, |it| it.in_flight().into())
            }),
            LogValue::GroupQueue | LogValue::TargetQueue => {
                let (group, target) = match self {
                    Subject::Exchange(x) => x.ledger.queue_positions,
                    Subject::Connection(_, passed) => passed.queue_positions,
                };
                if value == LogValue::GroupQueue {
                    group
                } else {
                    target
                }
                .into()
            }
            LogValue::ProcessId => std::process::id().into(),
            LogValue::RequestCounter => match self {
                Subject::Exchange(x) => x.ledger.number.into(),
                Subject::Connection(_, passed) => passed.number.into(),
            },
            LogValue::LogCounter => {
                let (_, parts) = plane.listener(connection.listener)?;
                parts.state.records().into()
            }
            _ => return None,
        })
    }

    fn bytes(self, value: LogValue) -> u64 {
        let received = matches!(value, LogValue::BytesIn | LogValue::BytesUploaded);
        match (self, received) {
            (Subject::Exchange(x), true) => x.ledger.head_in + x.ledger.body_in.get(),
            (Subject::Exchange(x), false) => x.ledger.head_out + x.ledger.body_out.get(),
            (Subject::Connection(_, passed), true) => passed.counted.up(),
            (Subject::Connection(_, passed), false) => passed.counted.down(),
        }
    }
}

fn port(address: Option<SocketAddr>) -> Option<i64> {
    let known = address.filter(|address| !address.ip().is_unspecified());
    known.map(|address| address.port().into())
}

fn large(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    number(value.unsigned_abs(), out);
}

/// The status as HAProxy logs it: a client that went before its request was there has one too.
fn status(x: &Exchange<'_>) -> i64 {
    let code = x.ledger.fault.map(|fault| fault.code);
    let status = x.ledger.in_place_of.unwrap_or(x.ledger.status);
    match (status, code) {
        (0, Some(FaultCode::ClientClosed)) if x.head_len == 0 => 400,
        (0, Some(FaultCode::ClientTimeout)) if x.head_len == 0 => 408,
        (0, _) => -1,
        // HAProxy asks for the password of its page where it answers what is no request.
        (401, _) if is_page_of_haproxy(x) => 400,
        (status, _) => status.into(),
    }
}

/// True where Portway answered as HAProxy's page of statistics does.
pub(crate) fn is_page_of_haproxy(x: &Exchange<'_>) -> bool {
    x.ledger.service.is_some() && x.connection.own_answers() == OwnAnswers::Haproxy
}

/// The size of the request or the response in HAProxy's own form.
fn size(x: &Exchange<'_>, value: LogValue) -> u64 {
    if x.head_len == 0 {
        return 0;
    }
    if value == LogValue::BytesRead {
        return x.ledger.response_size + x.ledger.body_out.get();
    }
    let head = x.request();
    let line = head.method_bytes(x.arena()).len() + head.target(x.arena()).len();
    let end_of_chunks = u64::from(x.framing.body == BodyLength::Chunked);
    let version = "HTTP/1.1".len();
    START_LINE
        + (line + version) as u64
        + fields_size(head.fields())
        + HEAD_END
        + x.ledger.body_in.get()
        + end_of_chunks
}

/// The size of the head of a response in HAProxy's own form.
pub(crate) fn response_head_size(reason: usize, fields: u64, chunked: bool) -> u64 {
    let line = "HTTP/1.1".len() + "200".len() + reason;
    START_LINE + line as u64 + fields + HEAD_END + u64::from(chunked)
}

/// Bytes of the names and values of fields, without those that belong to the connection.
pub(crate) fn fields_size(fields: &portway_core::http1::FieldList) -> u64 {
    let kept = fields
        .as_slice()
        .iter()
        .filter(|field| field.known != Known::Connection);
    kept.map(|field| u64::from(field.name.len) + u64::from(field.value.len))
        .sum()
}

/// Writes a text of the request.
fn write_of_request(x: &Exchange<'_>, value: LogValue, out: &mut Vec<u8>) {
    match value {
        LogValue::CapturedRequestCookie => return captured_cookie(x, out),
        _ if value.is_all_captured() => return captures(x, value, false, out),
        LogValue::CapturedResponseCookie => {
            let cookie = x.ledger.response_cookie.as_deref();
            return encode(cookie.unwrap_or_default(), false, out);
        }
        _ => {}
    }
    let head = x.request();
    if x.head_len == 0 || x.ledger.looked_at == LookedAt::FirstBytes {
        return out.extend_from_slice(BAD_REQUEST);
    }
    let method = head.method_bytes(x.arena());
    let version = x.client_version().as_bytes();
    // The line is cut off as a whole, its parts each for itself.
    let room = REQUEST_LINE.saturating_sub(method.len() + 1);
    let target = head.target(x.arena());
    let target = target.get(..room).unwrap_or(target);
    let query_at = target.iter().position(|byte| *byte == b'?');
    let (path, query) = match query_at.and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query),
        None => (target, &[][..]),
    };
    match value {
        LogValue::RequestLine => {
            encode(method, false, out);
            out.push(b' ');
            encode(target, false, out);
            let room = room.saturating_sub(target.len());
            if room > version.len() {
                out.push(b' ');
                out.extend_from_slice(version);
            } else if room > 0 {
                out.push(b' ');
                out.extend_from_slice(version.get(..room - 1).unwrap_or_default());
            }
        }
        LogValue::RequestMethod => encode(method, false, out),
        LogValue::RequestUri => encode(target, false, out),
        LogValue::RequestUriPath => encode(path, false, out),
        LogValue::RequestPath => encode(without_authority(path), false, out),
        LogValue::RequestQuery => encode(query, false, out),
        LogValue::RequestVersion => out.extend_from_slice(version),
        _ => {}
    }
}

/// What rules captured of one side, in braces or one text after the other; nothing where no slot is captured into, and
/// of what never was a request.
pub(crate) fn captures(x: &Exchange<'_>, value: LogValue, quoted: bool, out: &mut Vec<u8>) {
    let connection = x.connection;
    let Some((_, parts)) = connection.generation.plane.listener(connection.listener) else {
        return;
    };
    let (side, slots) = match value {
        LogValue::CapturedRequest | LogValue::CapturedRequestList => {
            (Side::Request, parts.wants.request_captures)
        }
        _ => (Side::Response, parts.wants.response_captures),
    };
    if slots == 0 || x.head_len == 0 {
        return;
    }
    let braces = matches!(
        value,
        LogValue::CapturedRequest | LogValue::CapturedResponse
    );
    let (open, between, close): (&[u8], &[u8], &[u8]) = match (braces, quoted) {
        (true, true) => (b"\"{", b"|", b"}\""),
        (true, false) => (b"{", b"|", b"}"),
        (false, true) => (b"\"", b"\" \"", b"\""),
        (false, false) => (b"", b" ", b""),
    };
    for slot in 0..slots {
        out.extend_from_slice(if slot == 0 { open } else { between });
        match x.scratch.captures.get(side, slot) {
            Some(kept) => encode(kept, true, out),
            None if braces || quoted => {}
            None => out.push(b'-'),
        }
    }
    out.extend_from_slice(close);
}

/// The path of a target without scheme and host; nothing for `*`.
fn without_authority(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let Some(at) = target.windows(3).position(|it| it == b"://") else {
        return &[];
    };
    let rest = target.get(at + 3..).unwrap_or_default();
    let slash = rest.iter().position(|byte| *byte == b'/');
    slash.and_then(|at| rest.get(at..)).unwrap_or_default()
}

/// The first cookie of the request that the listener keeps for the log.
fn captured_cookie(x: &Exchange<'_>, out: &mut Vec<u8>) {
    let Some(wanted) = x.captured_cookie() else {
        return;
    };
    if x.head_len == 0 {
        return;
    }
    let headers = x
        .request()
        .fields()
        .values_named(b"cookie", x.arena())
        .flat_map(|header| header.split(|byte| *byte == b';'));
    if let Some(cookie) = find_cookie(wanted, headers) {
        encode(cookie, false, out);
    }
}

/// The first of these pairs that the listener keeps, cut off where it is too long.
pub(crate) fn find_cookie<'a>(
    wanted: &CaptureCookie,
    mut pairs: impl Iterator<Item = &'a [u8]>,
) -> Option<&'a [u8]> {
    let fits = |pair: &&[u8]| {
        let rest = pair.strip_prefix(wanted.name.as_bytes());
        rest.is_some_and(|rest| wanted.prefix || rest.starts_with(b"="))
    };
    let pair = pairs.by_ref().map(<[u8]>::trim_ascii).find(fits)?;
    Some(pair.get(..usize::from(wanted.length)).unwrap_or(pair))
}

/// The name that OpenSSL has for a cipher suite of IANA's; those of TLS 1.3 have one name.
fn openssl_name(iana: &str) -> &str {
    match iana {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => "ECDHE-RSA-CHACHA20-POLY1305",
        other => other,
    }
}
