//! One request and its response: everything that is known of it, and what rules see of it.
//!
//! An exchange borrows its scratch memory from the worker and leaves exactly one record, when it is dropped: an
//! early return cannot forget it.

use crate::attempt::{Attempt, Earlier};
use crate::buffer::Buffer;
use crate::captures::Captures;
use crate::connection::{Connection, TlsDetails};
use crate::cors::Given;
use crate::credentials::Checks;
use crate::deadline::{Deadlines, NewTimeouts};
use crate::facts::facts_of_connection;
use crate::fault::Fault;
use crate::fields::FieldEdits;
use crate::limits::{BodyLimits, Holding};
use crate::log_value::{self, Subject};
use crate::mirror::Mirrors;
use crate::pages::Pages;
use crate::policy::Side;
use crate::record::{Counted, LogWish};
use crate::request_line::LineEdits;
use crate::set_aside::SetAside;
use crate::sticky::Kept;
use crate::times::LookedAt;
use crate::track::{self, Tracked};
use crate::variables::Variables;
use crate::{body, peer_certificate};
use portway_core::evaluate::{Facts, Fetched, TlsFacts, Visitor, Whose, write_header_value};
use portway_core::http1::{
    BodyLength, Known, Method, RequestFraming, RequestHead, ResponseBody, ResponseHead, Version,
};
use portway_core::priority::Priority;
use portway_core::proxy_protocol::Parts;
use portway_core::stick::{Entry, Event, Table};
use portway_core::trace::{TraceContext, TracePart};
use portway_model::action::End;
use portway_model::compression::{Compression, ContentCoding};
use portway_model::expression::{
    CertificateField, GroupFigure, ListenerFigure, LogValue, Message, Scope, TargetFigure,
    TimeoutOf, Variable,
};
use portway_model::settings::CaptureCookie;
use portway_model::snapshot::{GroupId, ListenerId, MapId, StickTableId, UserlistId};
use portway_model::span::{Origin, Span};
use portway_telemetry::metrics::Limit;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Memory that exchanges of a worker use one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(crate) request_edits: FieldEdits,
    pub(crate) response_edits: FieldEdits,
    /// The host in lower case.
    pub(crate) host: Vec<u8>,
    /// A head on its way out.
    pub(crate) head: Vec<u8>,
    pub(crate) variables: Variables,
    pub(crate) captures: Captures,
    /// What the exchange is counted in, beside what its connection is.
    pub(crate) tracked: Tracked,
    /// A body in the chunked coding that was waited for, without the coding.
    pub(crate) body: Vec<u8>,
    /// The same of a response.
    pub(crate) response_body: Vec<u8>,
    /// The reason phrase that a rule gave the response; empty: none.
    pub(crate) reason: Vec<u8>,
    pub(crate) timeouts: NewTimeouts,
    pub(crate) deadlines: Deadlines,
    /// What rules said of its place among those that wait for a target.
    pub(crate) priority: Option<Priority>,
    pub(crate) body_limits: BodyLimits,
    /// Says whether the response is compressed.
    pub(crate) compression: Option<Arc<Compression>>,
    /// Pages that stand for answers with certain statuses.
    pub(crate) pages: Option<Box<Pages>>,
    /// The coding that was chosen when the request left, where HAProxy's rules count.
    pub(crate) coding: Option<ContentCoding>,
    /// What limits count it in while it is served.
    pub(crate) held: Vec<Holding>,
    /// What is known of its password.
    pub(crate) checks: Checks,
    pub(crate) set_aside: SetAside,
    /// What the response is given beside what rules on it say.
    pub(crate) given: Option<Box<Given>>,
    pub(crate) mirrors: Mirrors,
    /// Targets that were tried before the one of now.
    pub(crate) earlier: Earlier,
    pub(crate) trace: Option<TraceContext>,
    /// The step of it that this one belongs to; dashes where it is the first. Counts only beside `trace`.
    pub(crate) parent_span: [u8; 16],
}

impl Scratch {
    /// Forgets one exchange and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.response.clear();
        self.request_edits.clear();
        self.response_edits.clear();
        self.host.clear();
        self.head.clear();
        self.variables.clear();
        self.captures.clear();
        body::forget(&mut self.body);
        self.response_body.clear();
        self.reason.clear();
        self.timeouts = NewTimeouts::default();
        self.priority = None;
        self.body_limits = BodyLimits::default();
        self.compression = None;
        self.pages = None;
        self.coding = None;
        self.checks.clear();
        self.given = None;
        self.set_aside = SetAside::default();
        self.mirrors.clear();
        self.earlier.clear();
        self.trace = None;
    }
}

/// When a request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Its first byte.
    pub(crate) at: Instant,
    /// From there to the end of its head.
    pub(crate) head_took: Duration,
}

/// What is written into the record.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) started: Instant,
    pub(crate) head_took: Duration,
    /// In queues for room at a target.
    pub(crate) queued: Option<Duration>,
    pub(crate) connected: Option<Duration>,
    /// When the last of the request's body went to the target, where it has one.
    pub(crate) uploaded: Cell<Option<Duration>>,
    pub(crate) response_head: Option<Duration>,
    pub(crate) attempts: u32,
    pub(crate) status: u16,
    pub(crate) head_in: u64,
    pub(crate) body_in: Cell<u64>,
    pub(crate) body_out: Cell<u64>,
    /// What of both was counted while it flowed.
    pub(crate) counted: Counted,
    pub(crate) head_out: u64,
    pub(crate) fault: Option<Fault>,
    /// A rule answered.
    pub(crate) answered: Option<Answered>,
    /// The status that was to be answered where an error page with another one stands for it.
    pub(crate) in_place_of: Option<u16>,
    /// From the first byte until it first had a place at a target.
    pub(crate) reserved: Option<Duration>,
    /// Requests that waited before it, for the group and for the target.
    pub(crate) queue_positions: (u32, u32),
    /// When it ended.
    pub(crate) ended: Option<Instant>,
    /// Its number among all of the process; 0 where nobody asks.
    pub(crate) number: u32,
    /// The rule that ended the rules of a phase last, if it did not forward.
    pub(crate) last_rule: Origin,
    /// How much of the request was looked at before it was ended.
    pub(crate) looked_at: LookedAt,
    /// Another target took over.
    pub(crate) redispatched: bool,
    /// What HAProxy calls the service that answered.
    pub(crate) service: Option<&'static str>,
    /// Our address towards the target; known only where a log wants it.
    pub(crate) upstream_local: Option<SocketAddr>,
    /// What was agreed on with the target.
    pub(crate) upstream_tls: Option<Arc<TlsDetails>>,
    /// The size of the response's head as HAProxy counts it; known only where a log wants it.
    pub(crate) response_size: u64,
    /// The cookie of the response that is kept for the log.
    pub(crate) response_cookie: Option<Box<[u8]>>,
    /// What rules said of its record.
    pub(crate) log: LogWish,
    /// It was answered for its fault: no response of a target counts.
    pub(crate) failed: bool,
    /// Its record was written before its end.
    pub(crate) logged: bool,
    /// Its record is being written before its end.
    pub(crate) early: bool,
}

/// How a rule answered in place of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) how: How,
    /// The phase of the rule.
    pub(crate) side: Side,
}

/// What a rule did in place of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// A redirect or a response.
    Answer,
    /// It denied the exchange.
    Denial,
    /// It asked for a name and a password.
    Challenge,
    /// It denied the exchange after a while.
    Tarpit,
}

/// One exchange.
pub(crate) struct Exchange<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) scratch: &'c mut Scratch,
    /// Holds the head, and what came behind it.
    pub(crate) arena: Buffer,
    pub(crate) head_len: usize,
    pub(crate) framing: RequestFraming,
    /// The client: the peer, or whom a trusted proxy names.
    pub(crate) client: IpAddr,
    pub(crate) trusted: bool,
    /// What rules made of the client's end of the connection, and of the one that it connected to.
    pub(crate) moved: Option<Box<(SocketAddr, SocketAddr)>>,
    pub(crate) line: LineEdits,
    pub(crate) request_id: OnceCell<RequestIdText>,
    /// The id is being made: its format must not ask for it.
    makes_id: Cell<bool>,
    pub(crate) attempt: Attempt,
    pub(crate) kept: Kept,
    pub(crate) ledger: Ledger,
    /// We told the client to go on with its body, in place of the target.
    pub(crate) continued: bool,
    /// Set once the request's body was read to its end: what has come behind it.
    pub(crate) beyond: Option<Option<Buffer>>,
    /// Set while the response is processed.
    pub(crate) response: Option<Buffer>,
    pub(crate) response_status: Option<u16>,
    /// Where its body begins in `response`, and how it ends.
    pub(crate) response_body: Option<(usize, ResponseBody)>,
}

/// A request id: made here, or taken from a trusted proxy.
#[derive(Debug)]
pub(crate) enum RequestIdText {
    Made(portway_core::http1::RequestId),
    Taken(Box<[u8]>),
}

impl RequestIdText {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            RequestIdText::Made(id) => id.as_bytes(),
            RequestIdText::Taken(id) => id,
        }
    }
}

impl<'c> Exchange<'c> {
    /// Opens an exchange whose head is in `scratch.request` over `arena`; `framing` is decided by the caller later
    /// where the head was refused.
    pub(crate) fn open(
        connection: &'c Connection,
        scratch: &'c mut Scratch,
        (arena, head_len): (Buffer, usize),
        arrival: Arrival,
    ) -> Self {
        connection.count(Event::Request);
        let shard = connection.shard();
        shard
            .listener(connection.listener.index())
            .requests_in_flight
            .up();
        Self {
            connection,
            scratch,
            arena,
            head_len,
            framing: RequestFraming {
                body: BodyLength::None,
                keep_alive: false,
                expect_continue: false,
                upgrade: false,
            },
            client: connection.peer.ip().to_canonical(),
            trusted: false,
            moved: None,
            line: LineEdits::default(),
            request_id: OnceCell::new(),
            makes_id: Cell::new(false),
            attempt: Attempt::default(),
            kept: Kept::default(),
            ledger: Ledger {
                started: arrival.at,
                head_took: arrival.head_took,
                head_in: head_len as u64,
                queued: None,
                connected: None,
                response_head: None,
                attempts: 0,
                status: 0,
                uploaded: Cell::new(None),
                body_in: Cell::new(0),
                body_out: Cell::new(0),
                counted: Counted::default(),
                head_out: 0,
                fault: None,
                reserved: None,
                queue_positions: (0, 0),
                ended: None,
                number: connection.next_number(),
                last_rule: Origin(Span::NONE),
                looked_at: LookedAt::Everything,
                redispatched: false,
                answered: None,
                in_place_of: None,
                service: None,
                upstream_local: None,
                upstream_tls: None,
                response_size: 0,
                response_cookie: None,
                log: LogWish::AsConfigured,
                failed: false,
                logged: false,
                early: false,
            },
            continued: false,
            beyond: None,
            response: None,
            response_status: None,
            response_body: None,
        }
    }

    /// The bytes that the request head's ranges are over.
    #[inline]
    pub(crate) fn arena(&self) -> &[u8] {
        self.arena.filled()
    }

    /// The request head.
    #[inline]
    pub(crate) fn request(&self) -> &RequestHead {
        &self.scratch.request
    }

    /// Writes the host in lower case to the scratch memory, where rules see it. A request of HTTP/1.0 may have none:
    /// then it is the address that the client connected to.
    pub(crate) fn lower_host(&mut self) {
        let Scratch { request, host, .. } = &mut *self.scratch;
        host.clear();
        host.extend(
            request
                .host(self.arena.filled())
                .iter()
                .map(u8::to_ascii_lowercase),
        );
        // A name that ends with a dot is the same one (RFC 1034 section 3.1).
        if host.last() == Some(&b'.') && !self.connection.lenient_heads() {
            host.pop();
        }
        if host.is_empty()
            && let Some(address) = self.connection.destination()
        {
            // Writing to a vector cannot fail.
            let _ = match address {
                IpAddr::V4(address) => write!(host, "{address}"),
                IpAddr::V6(address) => write!(host, "[{address}]"),
            };
        }
    }

    /// The method that the target sees.
    pub(crate) fn sent_method(&self) -> Method {
        let replaced = self
            .line
            .method
            .as_ref()
            .map(|method| Method::of(method.as_bytes()));
        replaced.unwrap_or_else(|| self.request().method())
    }

    /// The client's end of the connection, as rules have it.
    pub(crate) fn source_end(&self) -> SocketAddr {
        let moved = self.moved.as_deref();
        moved.map_or(self.connection.peer, |(source, _)| *source)
    }

    /// What the client connected to, as rules have it.
    pub(crate) fn destination_end(&self) -> SocketAddr {
        let moved = self.moved.as_deref();
        moved.map_or(self.connection.local, |(_, destination)| *destination)
    }

    /// The query as it goes on.
    pub(crate) fn current_query(&self) -> Option<&[u8]> {
        match &self.line.query {
            Some(query) => query.as_deref(),
            None => self.request().query(self.arena()),
        }
    }

    /// The version that the client speaks.
    pub(crate) fn client_version(&self) -> &'static str {
        match (self.connection.is_stream, self.is_http11()) {
            (true, _) => "HTTP/2.0",
            (false, true) => "HTTP/1.1",
            (false, false) => "HTTP/1.0",
        }
    }

    /// True where the client speaks HTTP/1.1, or what is newer.
    pub(crate) fn is_http11(&self) -> bool {
        self.request().version() == Version::Http11
    }

    /// True where the request goes on in HTTP/1.0: without a host it is none of HTTP/1.1, and HAProxy leaves the version
    /// as it is.
    pub(crate) fn sends_http10(&self) -> bool {
        !self.is_http11()
            && self.framing.body != BodyLength::Chunked
            && (self.connection.lenient_heads()
                || (self.request().authority(self.arena()).is_empty()
                    && !self.scratch.request_edits.removes(Known::Host)))
    }

    fn target_details(&self) -> Option<&TlsDetails> {
        self.ledger.upstream_tls.as_deref()
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if self.connection.worker.is_cutting_off() {
            self.ledger.fault.get_or_insert(Fault::shutdown());
        }
        self.scratch.deadlines.end(&self.connection.timer);
        self.ledger.ended = Some(Instant::now());
        crate::record::close(self);
        self.scratch.tracked.release();
        if !self.scratch.held.is_empty() {
            crate::limits::let_go(self);
        }
    }
}

impl Facts for Exchange<'_> {
    facts_of_connection!();

    fn source(&self) -> Option<IpAddr> {
        // A client on a UNIX socket has none.
        Some(self.client).filter(|ip| !ip.is_unspecified())
    }

    fn source_port(&self) -> Option<u16> {
        Some(self.source_end().port()).filter(|port| *port != 0)
    }

    fn destination(&self) -> Option<IpAddr> {
        Some(self.destination_end().ip().to_canonical()).filter(|ip| !ip.is_unspecified())
    }

    fn destination_port(&self) -> Option<u16> {
        Some(self.destination_end().port()).filter(|port| *port != 0)
    }

    fn accepted(&self, end: End) -> Fetched<'_> {
        self.connection.accepted(end)
    }

    fn is_local(&self, address: IpAddr) -> Option<bool> {
        Some(crate::sys::is_local(address))
    }

    fn priority(&self) -> Priority {
        self.scratch.priority.unwrap_or(self.connection.priority())
    }

    fn timeout(&self, of: TimeoutOf) -> Option<u64> {
        let group = self.attempt.group;
        let group = group.and_then(|group| self.connection.generation.group(group));
        let group = group.map(|(group, ..)| &group.timeouts);
        let changed = &self.scratch.timeouts;
        let response = group.map(|timeouts| timeouts.response);
        let tunnel = group.map(|timeouts| timeouts.tunnel.unwrap_or_default());
        let timeout = match of {
            TimeoutOf::Client => Some(self.connection.client_timeout()),
            TimeoutOf::Group => response,
            TimeoutOf::GroupTunnel => tunnel,
            TimeoutOf::Response => changed.response.or(response),
            TimeoutOf::Tunnel => changed.tunnel.or(tunnel),
        };
        u64::try_from(timeout?.as_millis()).ok()
    }

    fn target_number(&self) -> Option<u32> {
        let (_, parts, _) = self.connection.generation.group(self.attempt.group?)?;
        parts.numbers.get(self.attempt.target?).copied()
    }

    fn payload(&self) -> Option<&[u8]> {
        self.arena().get(..self.head_len)
    }

    fn method(&self) -> Option<&[u8]> {
        match &self.line.method {
            Some(method) => Some(method.as_bytes()),
            None => Some(self.request().method_bytes(self.arena())),
        }
    }

    fn scheme(&self) -> Option<&str> {
        Some(self.connection.scheme())
    }

    fn http_version(&self) -> Option<&str> {
        self.client_version().strip_prefix("HTTP/")
    }

    fn host(&self) -> Option<&[u8]> {
        Some(&self.scratch.host)
    }

    fn path(&self) -> Option<&[u8]> {
        Some(self.current_path())
    }

    fn origin(&self) -> Option<(&[u8], &[u8])> {
        self.current_origin()
    }

    fn query(&self) -> Option<&[u8]> {
        self.current_query()
    }

    fn header<'a>(&'a self, name: &str, visit: &mut Visitor<'_, 'a>) {
        self.scratch.request_edits.visit(
            self.request().fields(),
            self.arena(),
            name.as_bytes(),
            visit,
        );
    }

    fn fields<'a>(
        &'a self,
        of: Message,
        visit: &mut dyn FnMut(&'a [u8], &'a [u8]) -> ControlFlow<()>,
    ) {
        let (edits, fields, arena) = match of {
            Message::Request => (
                &self.scratch.request_edits,
                self.request().fields(),
                self.arena(),
            ),
            Message::Response => (
                &self.scratch.response_edits,
                self.scratch.response.fields(),
                self.response
                    .as_ref()
                    .map(Buffer::filled)
                    .unwrap_or_default(),
            ),
        };
        edits.visit_all(fields, arena, visit);
    }

    fn received_method(&self) -> Option<&[u8]> {
        Some(self.request().method_bytes(self.arena()))
    }

    fn received_target(&self) -> Option<&[u8]> {
        let (head, arena) = (self.request(), self.arena());
        match head.origin(arena) {
            Some(origin) if self.keeps_origin() => {
                // What stands before the path is none of it, as in HAProxy.
                let (scheme, authority) = origin;
                let before = scheme.len() + "://".len() + authority.len();
                head.target(arena).get(before..)
            }
            _ => Some(head.target(arena)),
        }
    }

    fn first_request(&self) -> Option<bool> {
        // To HAProxy no stream of HTTP/2 is a first request.
        let is_one_of_many = self.connection.is_stream && self.connection.lenient_heads();
        Some(self.connection.exchanges == 0 && !is_one_of_many)
    }

    fn response_version(&self) -> Option<&str> {
        self.response_status?;
        Some(match self.scratch.response.version() {
            Version::Http11 => "1.1",
            _ => "1.0",
        })
    }

    fn body_length(&self) -> Option<u64> {
        match self.framing.body {
            BodyLength::None => Some(0),
            BodyLength::Length(length) => Some(length),
            BodyLength::Chunked => None,
        }
    }

    fn trace(&self, part: TracePart) -> Option<&[u8]> {
        Some(self.scratch.trace.as_ref()?.part(part))
    }

    fn request_id(&self) -> Option<&[u8]> {
        self.id()
    }

    fn status(&self) -> Option<u16> {
        self.response_status
    }

    fn response_header<'a>(&'a self, name: &str, visit: &mut Visitor<'_, 'a>) {
        let arena = self
            .response
            .as_ref()
            .map(Buffer::filled)
            .unwrap_or_default();
        let fields = self.scratch.response.fields();
        self.scratch
            .response_edits
            .visit(fields, arena, name.as_bytes(), visit);
    }

    fn body(&self) -> Option<&[u8]> {
        let length = match self.framing.body {
            BodyLength::None => return Some(&[]),
            BodyLength::Length(length) => length,
            BodyLength::Chunked => return Some(&self.scratch.body),
        };
        let here = self.arena().get(self.head_len..)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Some(here.get(..length).unwrap_or(here))
    }

    fn variable(&self, variable: &Variable) -> Fetched<'_> {
        match variable.scope {
            Scope::Process | Scope::Connection => self.connection.variable(variable),
            Scope::Exchange | Scope::Request | Scope::Response | Scope::Check => {
                self.scratch.variables.value(variable)
            }
        }
    }

    fn response_body(&self) -> Option<&[u8]> {
        body::of_response(self)
    }

    fn response_body_length(&self) -> Option<u64> {
        match self.response_body?.1 {
            ResponseBody::None => Some(0),
            ResponseBody::Length(length) => Some(length),
            ResponseBody::Chunked | ResponseBody::UntilClose => None,
        }
    }

    fn keep_variable(&self, variable: &Variable, value: Fetched<'static>) -> bool {
        let has_room = match variable.scope {
            Scope::Process | Scope::Connection => self.connection.set_variable(variable, value),
            scope if !self.scratch.variables.live(scope) => true,
            _ => self.scratch.variables.keep(variable, value),
        };
        if !has_room {
            crate::record::limit_reached(self, Limit::Variables);
        }
        has_room
    }

    fn response_capture(&self, slot: u16) -> Option<&[u8]> {
        self.scratch.captures.get(Side::Response, slot)
    }

    fn capture(&self, slot: u16) -> Option<&[u8]> {
        let captured = self.scratch.captures.get(Side::Request, slot);
        captured.or_else(|| self.connection.capture(slot))
    }

    fn authenticated(&self, users: UserlistId) -> Option<bool> {
        Some(self.user(users).is_some())
    }

    fn in_user_group(&self, users: UserlistId, groups: &[String]) -> Option<bool> {
        let user = self.user(users);
        Some(user.is_some_and(|user| user.groups.iter().any(|group| groups.contains(group))))
    }

    fn tracked(&self, slot: u8) -> Option<(&Table, &Entry)> {
        let of_connection = || self.connection.tracked()?.get(slot);
        self.scratch.tracked.get(slot).or_else(of_connection)
    }

    fn group_name(&self) -> Option<&str> {
        let (group, _, _) = self.connection.generation.group(self.attempt.group?)?;
        Some(group.name.as_str())
    }

    fn target_name(&self) -> Option<&str> {
        let (group, _, _) = self.connection.generation.group(self.attempt.group?)?;
        Some(group.targets.get(self.attempt.target?)?.name.as_str())
    }

    fn log(&self, value: LogValue) -> Fetched<'_> {
        Subject::Exchange(self).fetch(value)
    }

    fn write_log(&self, value: LogValue, out: &mut Vec<u8>) {
        Subject::Exchange(self).write(value, out);
    }

    fn write_captures(&self, value: LogValue, quoted: bool, out: &mut Vec<u8>) {
        log_value::captures(self, value, quoted, out);
    }
}

impl Exchange<'_> {
    /// The id of the request. One with a format of its own is made when it is first asked for, as in HAProxy: it may tell
    /// what rules found out.
    pub(crate) fn id(&self) -> Option<&[u8]> {
        if self.request_id.get().is_none() {
            self.make_id();
        }
        self.request_id.get().map(RequestIdText::as_bytes)
    }

    fn make_id(&self) {
        let connection = self.connection;
        let listener = connection.generation.plane.listener(connection.listener);
        let wanted = listener.and_then(|(listener, _)| listener.request_id.as_ref());
        let Some(format) = wanted.and_then(|id| id.format.as_ref()) else {
            return;
        };
        if self.head_len == 0 || self.makes_id.replace(true) {
            return;
        }
        let mut id = Vec::new();
        write_header_value(format, self, &mut id);
        // Nobody else sets it meanwhile.
        let _ = self.request_id.set(RequestIdText::Taken(id.into()));
    }

    /// The cookie that the listener keeps for the log.
    pub(crate) fn captured_cookie(&self) -> Option<&CaptureCookie> {
        let connection = self.connection;
        let (listener, _) = connection.generation.plane.listener(connection.listener)?;
        listener.capture_cookie.as_ref()
    }

    /// A header of the request as received.
    pub(crate) fn received(&self, known: Known) -> Option<&[u8]> {
        self.request().fields().value(known, self.arena())
    }
}
