//! What is known of a client's connection, for as long as it lives.

use crate::captures::Captures;
use crate::client_tls::{Judged, Verdict};
use crate::group::Generation;
use crate::l4::HandedOver;
use crate::peer_certificate;
use crate::policy::Side;
use crate::pool::Own;
use crate::quota::Held;
use crate::sessions;
use crate::timer::{Seat, Timer};
use crate::track::Tracked;
use crate::variables::Variables;
use crate::worker::Worker;
use portway_core::client_hello::SessionId;
use portway_core::evaluate::{Fetched, TlsFacts};
use portway_core::http1::{HOP_BY_HOP, HOP_BY_HOP_BUT_PROXY, KnownSet};
use portway_core::priority::Priority;
use portway_core::proxy_protocol::Parts;
use portway_core::stick::Event;
use portway_model::action::End;
use portway_model::defaults;
use portway_model::expression::{CertificateField, ListenerFigure, Scope, Variable};
use portway_model::http2::{Http2, PriorKnowledge};
use portway_model::settings::{ListenerTimeouts, OwnAnswers};
use portway_model::snapshot::{GroupId, ListenerId, StickTableId};
use portway_telemetry::metrics::{GroupMetrics, Shard, TargetMetrics};
use rustls::sign::CertifiedKey;
use std::cell::{Cell, OnceCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client's connection, beside its stream.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    /// What this connection is served by; taken anew for each exchange.
    pub(crate) generation: Rc<Generation>,
    pub(crate) listener: ListenerId,
    /// The number of the socket that it came in on, among the addresses of the listener.
    pub(crate) socket_number: u16,
    /// The client; unspecified for a UNIX socket.
    pub(crate) peer: SocketAddr,
    /// Where it connected to; unspecified for a UNIX socket.
    pub(crate) local: SocketAddr,
    pub(crate) timer: Timer,
    pub(crate) tls: Option<Rc<TlsDetails>>,
    /// It began with a header of the PROXY protocol that was believed.
    pub(crate) behind_proxy: bool,
    /// Exchanges before the current one.
    pub(crate) exchanges: u32,
    /// The tick at which it was accepted; those of 13 years fit.
    pub(crate) born: u32,
    /// It is a stream of HTTP/2, on a connection beside others.
    pub(crate) is_stream: bool,
    /// What rules on the connection captured.
    pub(crate) captures: Option<Rc<Captures>>,
    /// What few connections have; the streams of one share it.
    pub(crate) rare: OnceCell<Rc<Rare>>,
}

/// What few connections have: in a box of its own, which the others do not carry along.
#[derive(Default)]
pub(crate) struct Rare {
    /// Variables that live as long as the connection; none is made where no rule sets one.
    variables: Cell<Option<Box<Variables>>>,
    /// What the connection as a whole is counted in.
    pub(crate) tracked: Tracked,
    /// What limits of rules count it in while it is open.
    pub(crate) held: Vec<Held>,
    /// Connections to targets that no other client may have.
    pub(crate) own: Own,
    /// What its rules say of its place among those that wait for a target.
    priority: Cell<Priority>,
    /// What the header of the PROXY protocol told beside the addresses, if anything: well-formed parts.
    proxied: Box<[u8]>,
    /// It was accepted by another listener.
    handed_over: Option<HandedOver>,
}

/// What was agreed on in the TLS handshake.
#[derive(Debug)]
pub(crate) struct TlsDetails {
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) sni: Option<Box<str>>,
    pub(crate) alpn: Option<Box<[u8]>>,
    pub(crate) resumed: bool,
    /// By which a client's session can be resumed.
    pub(crate) session_id: Option<SessionId>,
    /// Milliseconds that it took.
    pub(crate) took: u32,
    /// The other side's certificate, DER; it was verified, unless that is switched off for a target.
    pub(crate) certificate: Option<Box<[u8]>>,
    /// What the client was shown.
    pub(crate) shown: Option<Arc<CertifiedKey>>,
    /// What was found of a client's certificate.
    pub(crate) verdict: Verdict,
}

impl TlsDetails {
    /// The details of a handshake with a client, who was shown this certificate, and whose own was judged so.
    pub(crate) fn of(
        session: &rustls::ServerConnection,
        took: Duration,
        shown: Option<Arc<CertifiedKey>>,
        judged: Judged,
        session_id: Option<SessionId>,
    ) -> Self {
        let details = Self::of_either(session);
        Self {
            sni: session.server_name().map(Into::into),
            took: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            shown,
            // Of one that was refused rustls does not tell.
            certificate: details.certificate.or(judged.refused),
            verdict: judged.verdict,
            session_id,
            ..details
        }
    }

    /// The same of a handshake that failed. In TLS 1.2 no cipher is agreed on before its end.
    pub(crate) fn of_failed(self) -> Self {
        let is_new = self.version == "TLSv1.3";
        Self {
            cipher: if is_new { self.cipher } else { "(NONE)" },
            ..self
        }
    }

    /// The details of a finished handshake with a target.
    pub(crate) fn of_target(session: &rustls::ClientConnection) -> Self {
        Self::of_either(session)
    }

    fn of_either<D>(session: &rustls::ConnectionCommon<D>) -> Self {
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "-",
        };
        let cipher = session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("-");
        Self {
            version,
            // rustls names TLS 1.3 suites TLS13_…; the IANA names begin with TLS_.
            cipher: match cipher {
                "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
                "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
                "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
                other => other,
            },
            sni: None,
            alpn: session.alpn_protocol().map(Into::into),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            session_id: None,
            took: 0,
            certificate: session
                .peer_certificates()
                .and_then(|chain| Some(chain.first()?.as_ref().into())),
            shown: None,
            verdict: Verdict::default(),
        }
    }

    /// What rules see of it.
    pub(crate) fn facts(&self) -> TlsFacts<'_> {
        TlsFacts {
            version: self.version,
            cipher: self.cipher,
            resumed: self.resumed,
            session_id: self.session_id.as_ref().and_then(SessionId::given),
            sni: self.sni.as_deref().map(str::as_bytes),
            alpn: self.alpn.as_deref(),
        }
    }
}

impl Connection {
    /// Gives it a place among those that operators see.
    pub(crate) fn seat(&self) {
        let plane = &self.generation.plane;
        let parts = plane.listener(self.listener);
        self.timer.seat(Seat {
            id: sessions::id(self.worker.number(), self.worker.timers.next_seat()),
            ends: (self.peer, self.local),
            plane: plane.number,
            key: parts.map(|(_, it)| it.key),
            handed_over: None,
            listener: self.listener,
            socket_number: self.socket_number,
            group: None,
            target: None,
            cut: false,
        });
    }

    /// What one of the streams that it carries goes by: all that is known of it, with a timer and a generation of its own.
    pub(crate) fn stream(&self) -> Self {
        let stream = Self {
            worker: Rc::clone(&self.worker),
            generation: Rc::clone(&self.generation),
            listener: self.listener,
            socket_number: self.socket_number,
            peer: self.peer,
            local: self.local,
            timer: self.worker.timers.register(),
            tls: self.tls.clone(),
            behind_proxy: self.behind_proxy,
            exchanges: self.exchanges,
            born: self.born,
            is_stream: true,
            captures: self.captures.clone(),
            rare: OnceCell::from(Rc::clone(self.rare.get_or_init(Rc::default))),
        };
        stream.seat();
        stream
    }

    /// True where its client and we have agreed on HTTP/2, or nothing else is spoken.
    pub(crate) fn speaks_http2(&self) -> bool {
        let alpn = self.tls.as_deref().and_then(|tls| tls.alpn.as_deref());
        alpn == Some(b"h2") || self.http2().prior_knowledge == PriorKnowledge::Required
    }

    /// True where the first bytes of it may be those of HTTP/2.
    pub(crate) fn may_begin_with_http2(&self) -> bool {
        self.exchanges == 0 && self.http2().prior_knowledge == PriorKnowledge::Optional
    }

    /// How HTTP/2 is spoken with it.
    pub(crate) fn http2(&self) -> Http2 {
        let configured = self.generation.plane.listener(self.listener);
        configured.map_or_else(Http2::default, |(listener, _)| listener.http2)
    }

    /// The counters of this worker.
    #[inline]
    pub(crate) fn shard(&self) -> &Shard {
        &self.generation.shard
    }

    /// What is counted of a group.
    #[inline]
    pub(crate) fn of_group(&self, group: GroupId) -> &Arc<GroupMetrics> {
        self.generation.group_metrics(group)
    }

    /// What is counted of a target.
    #[inline]
    pub(crate) fn of_target(&self, group: GroupId, target: usize) -> &Arc<TargetMetrics> {
        self.generation.target_metrics(group, target)
    }

    /// Goes on with what new exchanges are served by, if the listener is still there.
    pub(crate) fn renew(&mut self) -> bool {
        let next = self.worker.generation();
        let Some(listener) = self.place_in(&next) else {
            return false;
        };
        self.timer.set_plane(next.plane.number, listener);
        if self.captures.is_some() {
            self.forget_captures_before(&next, listener);
        }
        (self.generation, self.listener) = (next, listener);
        true
    }

    /// Forgets what rules captured where those of `next` are others: slots are places in what was.
    fn forget_captures_before(&mut self, next: &Generation, listener: ListenerId) {
        let now = self.generation.plane.listener(self.listener);
        let then = next.plane.listener(listener);
        let is_same = now
            .zip(then)
            .is_some_and(|((now, _), (then, _))| now.rules == then.rules);
        if !is_same {
            self.captures = None;
        }
    }

    /// Where its listener is in another generation.
    fn place_in(&self, other: &Generation) -> Option<ListenerId> {
        let (_, parts) = self.generation.plane.listener(self.listener)?;
        other.plane.place_of(parts.key)
    }

    /// Where new exchanges are served by another generation: whether that has the listener of this connection too.
    pub(crate) fn left_behind(&self) -> Option<bool> {
        if self.worker.is_current(&self.generation) {
            return None;
        }
        Some(self.place_in(&self.worker.generation()).is_some())
    }

    /// True where no exchange is to follow: the process stops, or the listener drains or is gone, or the
    /// one that has accepted it.
    pub(crate) fn is_ending(&self) -> bool {
        let leaves = || {
            let parts = self.generation.plane.listener(self.listener);
            parts.is_some_and(|(_, parts)| parts.state.is_leaving())
        };
        let came = || self.rare.get().and_then(|rare| rare.handed_over.as_ref());
        self.worker.is_draining()
            || self.left_behind() == Some(false)
            || leaves()
            || came().is_some_and(|it| it.is_ending(&self.worker))
    }

    /// `http` or `https`, as the client came.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// What the listener is known as.
    pub(crate) fn listener_name(&self) -> Option<&str> {
        let (listener, _) = self.generation.plane.listener(self.listener)?;
        Some(listener.known_as.as_str())
    }

    /// The number of the next exchange or TCP connection; 0 where nobody asks.
    pub(crate) fn next_number(&self) -> u32 {
        let plane = &self.generation.plane;
        if plane.numbers_requests {
            plane.process.next_request()
        } else {
            0
        }
    }

    /// When it was accepted, or the exchange before had ended.
    pub(crate) fn since(&self) -> Instant {
        self.timer.since()
    }

    /// Whether a log of the listener wants to know the size of heads.
    pub(crate) fn wants_sizes(&self) -> bool {
        let parts = self.generation.plane.listener(self.listener);
        parts.is_some_and(|(_, parts)| parts.wants.sizes)
    }

    /// Connections open on the listener.
    pub(crate) fn listener_connections(&self) -> Option<u32> {
        let (_, parts) = self.generation.plane.listener(self.listener)?;
        Some(parts.state.open_connections())
    }

    /// Connections that the listener accepted in the last second.
    pub(crate) fn listener_connection_rate(&self) -> Option<u64> {
        self.of_listener(ListenerFigure::ConnectionRate)
    }

    /// Requests that came to the listener in the last second.
    pub(crate) fn listener_request_rate(&self) -> Option<u64> {
        self.of_listener(ListenerFigure::RequestRate)
    }

    fn of_listener(&self, figure: ListenerFigure) -> Option<u64> {
        let number = self.generation.plane.of_listener(figure, self.listener)?;
        u64::try_from(number).ok()
    }

    pub(crate) fn timeouts(&self) -> ListenerTimeouts {
        let configured = self.generation.plane.listener(self.listener);
        configured.map_or(
            ListenerTimeouts {
                request_head: defaults::REQUEST_HEAD,
                request_head_renews: false,
                keep_alive: defaults::KEEP_ALIVE,
                client: defaults::CLIENT,
                tunnel: defaults::TUNNEL,
                inspect: defaults::INSPECT,
                tunnel_ending: None,
            },
            |(listener, _)| listener.timeouts,
        )
    }

    /// From the first byte of a head to its end, and for a TLS handshake.
    pub(crate) fn head_timeout(&self) -> Duration {
        self.timeouts().request_head
    }

    /// The time of a head begins anew with each byte of it.
    pub(crate) fn head_timeout_renews(&self) -> bool {
        self.timeouts().request_head_renews
    }

    /// Between two requests.
    pub(crate) fn keep_alive_timeout(&self) -> Duration {
        self.timeouts().keep_alive
    }

    /// Silence of the client within an exchange.
    pub(crate) fn client_timeout(&self) -> Duration {
        self.timeouts().client
    }

    /// The form of our own answers.
    pub(crate) fn own_answers(&self) -> OwnAnswers {
        let configured = self.generation.plane.listener(self.listener);
        configured.map_or(OwnAnswers::Portway, |(listener, _)| listener.own_answers)
    }

    /// Heads are taken and passed on as HAProxy does it.
    pub(crate) fn lenient_heads(&self) -> bool {
        let configured = self.generation.plane.listener(self.listener);
        configured.is_some_and(|(listener, _)| listener.lenient_heads)
    }

    /// The fields of a head that end here. Files of HAProxy stand before proxies, too, whose authentication passes there.
    #[inline]
    pub(crate) fn hop_by_hop(&self) -> KnownSet {
        match self.lenient_heads() {
            true => HOP_BY_HOP_BUT_PROXY,
            false => HOP_BY_HOP,
        }
    }

    /// The client's connection is closed after the response to this request.
    pub(crate) fn closes(&self) -> bool {
        let configured = self.generation.plane.listener(self.listener);
        configured.is_some_and(|(listener, _)| {
            let number = self.exchanges.saturating_add(1);
            listener.close
                || listener
                    .life
                    .ends_with(number, || self.timer.age_of(self.born))
        })
    }

    /// Connections to targets are closed after one response to this client.
    pub(crate) fn closes_targets(&self) -> bool {
        let configured = self.generation.plane.listener(self.listener);
        configured.is_some_and(|(listener, _)| listener.close || listener.close_targets)
    }

    /// What a rule set this variable to, in a scope that outlives exchanges; on a stream, which is one exchange, in any.
    pub(crate) fn variable(&self, variable: &Variable) -> Fetched<'static> {
        match variable.scope {
            Scope::Process => self.generation.plane.process.variable(variable),
            _ => {
                let Some(rare) = self.rare.get() else {
                    return Fetched::Absent;
                };
                let Some(variables) = rare.variables.take() else {
                    return Fetched::Absent;
                };
                let value = variables.value(variable).into_owned();
                rare.variables.set(Some(variables));
                value
            }
        }
    }

    /// Sets a variable of such a scope, or unsets it where the value is absent. False where there is no room.
    pub(crate) fn set_variable(&self, variable: &Variable, value: Fetched<'static>) -> bool {
        match variable.scope {
            Scope::Process => self.generation.plane.process.set_variable(variable, value),
            _ => {
                let rare = self.rare();
                let mut variables = rare.variables.take().unwrap_or_default();
                let has_room = variables.set(variable, value);
                rare.variables.set(Some(variables));
                has_room
            }
        }
    }

    /// What few connections have; made where there is none.
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Rc::default)
    }

    /// The same, to be changed: before the connection has streams, which share it.
    fn rare_mut(&mut self) -> Option<&mut Rare> {
        self.rare();
        Rc::get_mut(self.rare.get_mut()?)
    }

    /// What its rules say of its place among those that wait for a target.
    pub(crate) fn priority(&self) -> Priority {
        let rare = self.rare.get();
        rare.map_or_else(Priority::default, |it| it.priority.get())
    }

    /// A rule says another.
    pub(crate) fn set_priority(&self, priority: Priority) {
        self.rare().priority.set(priority);
    }

    /// Remembers which listener has accepted it.
    pub(crate) fn keep_handed_over(&mut self, it: HandedOver) {
        if let Some(rare) = self.rare_mut() {
            rare.handed_over = Some(it);
        }
    }

    /// Remembers what a header of the PROXY protocol, which is believed, tells beside the addresses.
    pub(crate) fn keep_proxied(&mut self, parts: Parts<'_>) {
        self.behind_proxy = true;
        if !parts.bytes().is_empty()
            && let Some(rare) = self.rare_mut()
        {
            rare.proxied = parts.bytes().into();
        }
    }

    /// What it told.
    pub(crate) fn proxied(&self) -> Option<Parts<'_>> {
        Parts::checked(&self.rare.get()?.proxied)
    }

    /// Keeps what a rule on the connection captured.
    pub(crate) fn keep_capture(&mut self, slot: u16, value: &[u8], length: u16) {
        let captures = Rc::make_mut(self.captures.get_or_insert_default());
        captures.keep(Side::Request, slot, value, length);
    }

    /// Tracks an entry of a stick table until the connection ends.
    pub(crate) fn track(&mut self, slot: u8, table: StickTableId, key: &Fetched<'_>) {
        let Some(table) = self
            .generation
            .plane
            .tables
            .get(table.index())
            .map(Arc::clone)
        else {
            return;
        };
        if let Some(rare) = self.rare_mut() {
            rare.tracked.track(slot, &table, key);
        }
    }

    /// Counts the connection in a limit until it ends.
    pub(crate) fn hold(&mut self, held: Held) {
        if let Some(rare) = self.rare_mut() {
            rare.held.push(held);
        }
    }

    /// What the connection is counted in, where it is in anything.
    pub(crate) fn tracked(&self) -> Option<&Tracked> {
        self.rare.get().map(|rare| &rare.tracked)
    }

    /// Counts something in what the connection tracks.
    pub(crate) fn count(&self, event: Event) {
        if let Some(tracked) = self.tracked() {
            tracked.count(event, 1);
        }
    }

    /// What a rule on the connection captured into this slot.
    pub(crate) fn capture(&self, slot: u16) -> Option<&[u8]> {
        self.captures.as_ref()?.get(Side::Request, slot)
    }

    /// A field of the client's certificate.
    pub(crate) fn certificate(&self, field: &CertificateField) -> Fetched<'_> {
        match self.tls.as_deref() {
            Some(tls) => peer_certificate::judged(tls.certificate.as_deref(), tls.verdict, field),
            None => Fetched::Absent,
        }
    }

    /// A field of the certificate that the client was shown.
    pub(crate) fn shown_certificate(&self, field: &CertificateField) -> Fetched<'_> {
        let shown = self.tls.as_deref().and_then(|tls| tls.shown.as_deref());
        let leaf = shown.and_then(|it| it.cert.first());
        peer_certificate::field(leaf.map(AsRef::as_ref), field)
    }

    /// An end of it.
    pub(crate) fn accepted(&self, end: End) -> Fetched<'static> {
        match end {
            End::Source => Some(self.peer.ip().to_canonical())
                .filter(|ip| !ip.is_unspecified())
                .into(),
            End::SourcePort => self.source_port().into(),
            End::Destination => self.destination().into(),
            End::DestinationPort => self.destination_port().into(),
        }
    }

    /// The client's port.
    pub(crate) fn source_port(&self) -> Option<u16> {
        Some(self.peer.port()).filter(|port| *port != 0)
    }

    /// The address it connected to.
    pub(crate) fn destination(&self) -> Option<IpAddr> {
        Some(self.local.ip().to_canonical()).filter(|ip| !ip.is_unspecified())
    }

    /// The port it connected to.
    pub(crate) fn destination_port(&self) -> Option<u16> {
        Some(self.local.port()).filter(|port| *port != 0)
    }

    /// What rules see of TLS.
    pub(crate) fn tls_facts(&self) -> Option<TlsFacts<'_>> {
        self.tls.as_deref().map(TlsDetails::facts)
    }
}
