//! What is known about a connection or an exchange while rules run.
//!
//! The data plane implements [`Facts`] over its connection and the heads it holds; tests implement it over plain
//! values. Every method has a default that says "not known", so that an early phase implements only what it has.
//! All bytes are borrowed: reading a fact allocates nothing.

use super::Fetched;
use crate::priority::Priority;
use crate::proxy_protocol::Parts;
use crate::stick::{Entry, Table};
use crate::trace::TracePart;
use portway_model::action::End;
use portway_model::expression::{
    CertificateField, GroupFigure, ListenerFigure, LogValue, Message, TargetFigure, TimeoutOf,
    Value, Variable,
};
use portway_model::jwt::JwtAlgorithm;
use portway_model::snapshot::{GroupId, ListenerId, MapId, StickTableId, UserlistId};
use portway_model::stage::Resolved;
use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::ControlFlow;

/// Receives the occurrences of a header in order until it breaks.
pub type Visitor<'v, 'a> = dyn FnMut(&'a [u8]) -> ControlFlow<()> + 'v;

/// Whose certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The one that the client showed.
    Client,
    /// The one that the client was shown.
    Shown,
    /// The one that the target showed.
    Target,
}

/// A TLS session with a client, terminated here, or with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsFacts<'a> {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'a str,
    /// Cipher suite, IANA name.
    pub cipher: &'a str,
    /// True where the session was resumed.
    pub resumed: bool,
    /// Id of a client's session that can be resumed.
    pub session_id: Option<&'a [u8]>,
    /// Server name the client asked for.
    pub sni: Option<&'a [u8]>,
    /// Application protocol that was agreed on.
    pub alpn: Option<&'a [u8]>,
}

/// What an exchange knows. Where a fact changes while rules run (a rule sets the path), later calls give the
/// changed one.
pub trait Facts {
    /// The client, after PROXY protocol and trusted X-Forwarded-For.
    fn source(&self) -> Option<IpAddr> {
        None
    }

    /// The client's port.
    fn source_port(&self) -> Option<u16> {
        None
    }

    /// What the client connected to.
    fn destination(&self) -> Option<IpAddr> {
        None
    }

    /// The port the client connected to.
    fn destination_port(&self) -> Option<u16> {
        None
    }

    /// An end of the client's connection before rules changed it for this exchange.
    fn accepted(&self, _end: End) -> Fetched<'_> {
        Fetched::Absent
    }

    /// Whether an address is one of this machine's.
    fn is_local(&self, _address: IpAddr) -> Option<bool> {
        None
    }

    /// A timeout in milliseconds.
    fn timeout(&self, _of: TimeoutOf) -> Option<u64> {
        None
    }

    /// Its place among those that wait for a target.
    fn priority(&self) -> Priority {
        Priority::default()
    }

    /// The number of the target that was chosen.
    fn target_number(&self) -> Option<u32> {
        None
    }

    /// The listener's name.
    fn listener_name(&self) -> Option<&str> {
        None
    }

    /// Connections open on this listener.
    fn listener_connections(&self) -> Option<u32> {
        None
    }

    /// Connections that the listener accepted in the last second.
    fn listener_connection_rate(&self) -> Option<u64> {
        None
    }

    /// Requests that came to the listener in the last second.
    fn listener_request_rate(&self) -> Option<u64> {
        None
    }

    /// The client's TLS session; `None`: the connection is not TLS or not terminated here.
    fn tls(&self) -> Option<TlsFacts<'_>> {
        None
    }

    /// A field of a certificate.
    fn certificate(&self, _whose: Whose, _field: &CertificateField) -> Fetched<'_> {
        Fetched::Absent
    }

    /// The TLS session with the target; `None`: there is no connection to it, or no TLS on it.
    fn target_tls(&self) -> Option<TlsFacts<'_>> {
        None
    }

    /// Whether the client came with a header of the PROXY protocol that was believed.
    fn proxy_received(&self) -> Option<bool> {
        None
    }

    /// What that header told beside the addresses; `None`: nothing.
    fn proxied(&self) -> Option<Parts<'_>> {
        None
    }

    /// The bytes a client sent first, on a connection that is not terminated here.
    fn payload(&self) -> Option<&[u8]> {
        None
    }

    /// True where nothing more of the payload is waited for.
    fn wait_ended(&self) -> bool {
        true
    }

    /// True where more bytes of the payload may change this value.
    fn may_change(&self, _value: &Value<Resolved>) -> bool {
        false
    }

    /// Handshake type of what the client sent first; 1 for a ClientHello.
    fn hello_type(&self) -> Option<u8> {
        None
    }

    /// Server name in a ClientHello that is not terminated here.
    fn hello_sni(&self) -> Option<&[u8]> {
        None
    }

    /// The application protocols a ClientHello offers, comma separated.
    fn hello_alpn(&self) -> Option<Cow<'_, [u8]>> {
        None
    }

    /// The version a ClientHello is written for, major times 65536 plus minor.
    fn hello_version(&self) -> Option<u32> {
        None
    }

    /// The session that a ClientHello asks to resume.
    fn hello_session_id(&self) -> Option<&[u8]> {
        None
    }

    /// What the target of a stream has sent first.
    fn answer(&self) -> Option<&[u8]> {
        None
    }

    /// Handshake type of that; 2 for a ServerHello.
    fn answer_hello_type(&self) -> Option<u8> {
        None
    }

    /// The id of the session in that ServerHello.
    fn answer_session_id(&self) -> Option<&[u8]> {
        None
    }

    /// Whether a ClientHello has this extension; `None`: there is no ClientHello.
    fn hello_extension(&self, _number: u16) -> Option<bool> {
        None
    }

    /// Request method.
    fn method(&self) -> Option<&[u8]> {
        None
    }

    /// `http` or `https`: how the client came.
    fn scheme(&self) -> Option<&str> {
        None
    }

    /// `1.0`, `1.1`, `2.0`, `3.0`.
    fn http_version(&self) -> Option<&str> {
        None
    }

    /// Host of the request **in lower case**, without the port. The rule index relies on the lower case.
    fn host(&self) -> Option<&[u8]> {
        None
    }

    /// Path of the request, as received or as a rule set it; no query.
    fn path(&self) -> Option<&[u8]> {
        None
    }

    /// Scheme and authority that stand before the path in the request target; `None` where nothing does.
    fn origin(&self) -> Option<(&[u8], &[u8])> {
        None
    }

    /// Query string without the question mark; `None` where there is none.
    fn query(&self) -> Option<&[u8]> {
        None
    }

    /// Visits the values of the request header `name`, letters of either case being equal, in the order received.
    fn header<'a>(&'a self, _name: &str, _visit: &mut Visitor<'_, 'a>) {}

    /// Visits names and values of all headers of a message in the order received.
    fn fields<'a>(
        &'a self,
        _of: Message,
        _visit: &mut dyn FnMut(&'a [u8], &'a [u8]) -> ControlFlow<()>,
    ) {
    }

    /// The method as received.
    fn received_method(&self) -> Option<&[u8]> {
        self.method()
    }

    /// Path and query as received; not known where rules cannot have changed them.
    fn received_target(&self) -> Option<&[u8]> {
        None
    }

    /// True for the first request of its connection.
    fn first_request(&self) -> Option<bool> {
        None
    }

    /// The part of the request body that is buffered.
    fn body(&self) -> Option<&[u8]> {
        None
    }

    /// The request's Content-Length in bytes.
    fn body_length(&self) -> Option<u64> {
        None
    }

    /// Which trace the request belongs to.
    fn trace(&self, _part: TracePart) -> Option<&[u8]> {
        None
    }

    /// The request id.
    fn request_id(&self) -> Option<&[u8]> {
        None
    }

    /// `1.0`, `1.1`, `2.0`, `3.0`: the version of the response.
    fn response_version(&self) -> Option<&str> {
        None
    }

    /// Response status.
    fn status(&self) -> Option<u16> {
        None
    }

    /// The part of the response's body that is there.
    fn response_body(&self) -> Option<&[u8]> {
        None
    }

    /// The response's Content-Length in bytes.
    fn response_body_length(&self) -> Option<u64> {
        None
    }

    /// Visits the values of the response header `name`; as [`Facts::header`].
    fn response_header<'a>(&'a self, _name: &str, _visit: &mut Visitor<'_, 'a>) {}

    /// What a rule set this variable to.
    fn variable(&self, _variable: &Variable) -> Fetched<'_> {
        Fetched::Absent
    }

    /// Sets a variable, or unsets it where the value is absent; false where it stays as it is.
    fn keep_variable(&self, _variable: &Variable, _value: Fetched<'static>) -> bool {
        false
    }

    /// What a rule captured from the response into this slot.
    fn response_capture(&self, _slot: u16) -> Option<&[u8]> {
        None
    }

    /// What a rule captured from the request into this slot.
    fn capture(&self, _slot: u16) -> Option<&[u8]> {
        None
    }

    /// Whether the Basic authorization names a user of this list with the right password.
    fn authenticated(&self, _users: UserlistId) -> Option<bool> {
        None
    }

    /// Whether it also names a user of one of these groups.
    fn in_user_group(&self, _users: UserlistId, _groups: &[String]) -> Option<bool> {
        None
    }

    /// The stick-table entry that a rule tracks in this slot, and its table.
    fn tracked(&self, _slot: u8) -> Option<(&Table, &Entry)> {
        None
    }

    /// A stick table.
    fn stick_table(&self, _table: StickTableId) -> Option<&Table> {
        None
    }

    /// The milliseconds that stick tables count by.
    fn stick_time(&self) -> u64 {
        0
    }

    /// Whether this is the signature by the private key of which the file of this name has the public one; `None`: there is no
    /// such file.
    fn verifies(
        &self,
        _algorithm: JwtAlgorithm,
        _file: &[u8],
        _signed: &[u8],
        _signature: &[u8],
    ) -> Option<bool> {
        None
    }

    /// The value of the first entry of a map whose key fits `key`, the way the map compares.
    fn lookup(&self, _map: MapId, _key: &[u8]) -> Option<Cow<'_, [u8]>> {
        None
    }

    /// The same of a map of regular expressions, with the groups that the value names.
    fn lookup_groups(&self, _map: MapId, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Targets that may take traffic of the group of this name.
    fn healthy_targets_of(&self, _group: &[u8]) -> Option<u32> {
        None
    }

    /// Who waits for room at the target `GROUP/NAME`.
    fn queued_at(&self, _target: &[u8]) -> Option<u32> {
        None
    }

    /// Targets of a group that may take traffic.
    fn healthy_targets(&self, _group: GroupId) -> Option<u32> {
        None
    }

    /// Connections open to a group.
    fn group_connections(&self, _group: GroupId) -> Option<u32> {
        None
    }

    /// Something else that is counted of a group.
    fn of_group(&self, _figure: GroupFigure, _group: GroupId) -> Option<i64> {
        None
    }

    /// Something that is counted of a listener.
    fn of_listener(&self, _figure: ListenerFigure, _listener: ListenerId) -> Option<i64> {
        None
    }

    /// Something of a target.
    fn of_target(&self, _figure: TargetFigure, _group: GroupId, _target: &str) -> Fetched<'_> {
        Fetched::Absent
    }

    /// The target group that was chosen.
    fn group_name(&self) -> Option<&str> {
        None
    }

    /// The target that was chosen.
    fn target_name(&self) -> Option<&str> {
        None
    }

    /// Address and port of the target that was chosen, as text.
    fn target_address(&self) -> Option<&str> {
        None
    }

    /// Chance: 64 evenly distributed bits, new ones with every call.
    fn random(&self) -> Option<u64> {
        None
    }

    /// Seconds since 1970.
    fn now(&self) -> Option<i64> {
        None
    }

    /// Microseconds since 1970.
    fn now_microseconds(&self) -> Option<i64> {
        self.now().map(|seconds| seconds.saturating_mul(1_000_000))
    }

    /// Seconds that this machine's clock is ahead of UTC at a moment in seconds since 1970.
    fn clock_offset(&self, _at: i64) -> i32 {
        0
    }

    /// The worker that this runs on, from 1.
    fn worker(&self) -> Option<u32> {
        None
    }

    /// True where the process is about to end.
    fn draining(&self) -> Option<bool> {
        None
    }

    /// This machine's host name.
    fn hostname(&self) -> Option<&str> {
        None
    }

    /// An environment variable, as it was at compile.
    fn environment(&self, _name: &str) -> Option<&str> {
        None
    }

    /// Something known when the exchange ends.
    fn log(&self, _value: LogValue) -> Fetched<'_> {
        Fetched::Absent
    }

    /// Appends what [`Facts::log`] gives, without an intermediate copy.
    fn write_log(&self, value: LogValue, out: &mut Vec<u8>) {
        self.log(value).write(out);
    }

    /// Appends one of the four values that are everything captured ([`LogValue::is_all_captured`]): between double quotes
    /// where `quoted`, each element of a list for itself.
    fn write_captures(&self, _value: LogValue, _quoted: bool, _out: &mut Vec<u8>) {}
}
