//! Heads of requests and responses as flat lists of ranges over the read buffer.
//!
//! Nothing is copied out of the buffer: a field is two ranges and what is known of its name. The owner keeps the buffer (the
//! arena) beside the head and hands it to the accessors; ranges count from the start of the slice that was parsed, so the
//! bytes may move as a whole. An accessor given another buffer answers with wrong or empty bytes, it never panics.

use super::known::{Known, KnownSet};
use super::list;

/// A range of bytes of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte, counted from the start of the arena.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The range `start..end`; empty at `start` when `end` lies before it. Both are below [`super::MAX_HEAD_BYTES`].
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            len: end.saturating_sub(start) as u32,
        }
    }

    /// The bytes of the range, empty when the arena does not reach that far.
    #[inline]
    pub fn of(self, arena: &[u8]) -> &[u8] {
        arena
            .get(self.start as usize..self.end())
            .unwrap_or_default()
    }

    /// One past the last byte.
    #[inline]
    pub fn end(self) -> usize {
        self.start as usize + self.len as usize
    }
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name as received.
    pub name: Span,
    /// The value without the whitespace around it.
    pub value: Span,
    /// What is known of the name.
    pub known: Known,
    /// Whether the line stands in the arena exactly as `name: value CRLF`, so that it can be sent as it is.
    pub(super) plain: bool,
}

/// The options of all Connection fields of a message (RFC 9110 §7.6.1), read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// An option that names a field outside [`Known`]: such fields end here too.
    pub names_fields: bool,
}

/// The fields of a head or of a trailer section, in the order received.
#[derive(Debug, Clone, Default)]
pub struct FieldList {
    pub(super) fields: Vec<Field>,
    pub(super) present: KnownSet,
    pub(super) connection: ConnectionOptions,
    /// Transfer-Encoding counts in an HTTP/1.0 message too.
    pub(super) coded_in_http10: bool,
}

impl FieldList {
    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.present = KnownSet::EMPTY;
        self.connection = ConnectionOptions::default();
        self.coded_in_http10 = false;
    }

    /// The fields in the order received.
    pub fn as_slice(&self) -> &[Field] {
        &self.fields
    }

    /// Which known names occur.
    pub fn present(&self) -> KnownSet {
        self.present
    }

    /// The options of the Connection fields.
    pub fn connection(&self) -> ConnectionOptions {
        self.connection
    }

    /// Whether a field of this name occurs.
    #[inline]
    pub fn contains(&self, known: Known) -> bool {
        self.present.contains(known)
    }

    /// The values of all fields of a known name, in order.
    pub fn values<'a>(
        &'a self,
        known: Known,
        arena: &'a [u8],
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        let fields = if self.present.contains(known) {
            self.fields.as_slice()
        } else {
            &[]
        };
        fields
            .iter()
            .filter(move |field| field.known == known)
            .map(move |field| field.value.of(arena))
    }

    /// The value of the first field of a known name.
    pub fn value<'a>(&'a self, known: Known, arena: &'a [u8]) -> Option<&'a [u8]> {
        self.values(known, arena).next()
    }

    /// The values of all fields of any name, compared without regard to letter case, in order.
    pub fn values_named<'a>(
        &'a self,
        name: &'a [u8],
        arena: &'a [u8],
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        let known = Known::of(name);
        let fields = if self.present.contains(known) {
            self.fields.as_slice()
        } else {
            &[]
        };
        fields
            .iter()
            .filter(move |field| {
                field.known == known
                    && (known != Known::Other || field.name.of(arena).eq_ignore_ascii_case(name))
            })
            .map(move |field| field.value.of(arena))
    }

    /// Whether the comma-separated list in all fields of this name has the element, without regard to letter case.
    pub fn list_contains(&self, known: Known, arena: &[u8], element: &[u8]) -> bool {
        self.values(known, arena)
            .flat_map(list::elements)
            .any(|found| found.eq_ignore_ascii_case(element))
    }
}

/// A request method (RFC 9110 §9.3, RFC 5789). Methods are case-sensitive: `get` is [`Method::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
    /// Any other token; its bytes are at [`RequestHead::method_bytes`].
    Other,
}

impl Method {
    /// Recognises a method.
    #[inline]
    pub fn of(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// Whether repeating the request has the same effect as sending it once (RFC 9110 §9.2.2); false for unknown methods.
    pub const fn is_idempotent(self) -> bool {
        match self {
            Method::Get
            | Method::Head
            | Method::Put
            | Method::Delete
            | Method::Options
            | Method::Trace => true,
            Method::Post | Method::Connect | Method::Patch | Method::Other => false,
        }
    }
}

/// The protocol version as far as it changes what we do. A higher minor version is treated as 1.1 (RFC 9110 §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1 and every later HTTP/1
    #[default]
    Http11,
}

/// The four forms of a request target (RFC 9112 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, with CONNECT only
    Authority,
    /// `*`, with OPTIONS only
    Asterisk,
}

/// Where the parts of a request target stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TargetParts {
    pub(super) form: TargetForm,
    /// Of the absolute form.
    pub(super) scheme: Span,
    /// Host and port of the authority, without user information; empty for origin and asterisk form.
    pub(super) authority: Span,
    pub(super) host: Span,
    pub(super) port: Option<u16>,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
}

/// The head of a request. Reuse one per connection: parsing keeps the capacity.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    pub(super) list: FieldList,
    pub(super) method: Method,
    pub(super) method_span: Span,
    pub(super) target_span: Span,
    pub(super) target: TargetParts,
    pub(super) version: Version,
}

impl RequestHead {
    /// A head without fields.
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Forgets the request and keeps the capacity.
    pub fn clear(&mut self) {
        self.list.clear();
        self.method = Method::Other;
        self.method_span = Span::default();
        self.target_span = Span::default();
        self.target = TargetParts::default();
        self.version = Version::Http11;
    }

    /// The fields.
    pub fn fields(&self) -> &FieldList {
        &self.list
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as sent.
    pub fn method_bytes<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        self.method_span.of(arena)
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The form of the request target.
    pub fn target_form(&self) -> TargetForm {
        self.target.form
    }

    /// The whole request target as sent.
    pub fn target<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        self.target_span.of(arena)
    }

    /// The host the request is for, without port, in the letter case sent, IPv6 addresses in brackets: from the target when
    /// it has an authority (RFC 9112 §3.2.2), from Host otherwise. Empty when Host is empty or, in HTTP/1.0, missing.
    pub fn host<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        self.target.host.of(arena)
    }

    /// The port beside [`RequestHead::host`], when one was sent.
    pub fn port(&self) -> Option<u16> {
        self.target.port
    }

    /// Host and port as sent: the value for a Host field towards the target (RFC 9112 §3.2.2: an authority in the request
    /// target replaces what Host said).
    pub fn authority<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        self.target.authority.of(arena)
    }

    /// Scheme and authority of a target in absolute form, as sent.
    pub fn origin<'a>(&self, arena: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if self.target.form != TargetForm::Absolute {
            return None;
        }
        let scheme = self.target.scheme.of(arena);
        let start = self.target.scheme.end() + "://".len();
        let authority = arena.get(start..self.target.path.start as usize);
        Some((scheme, authority.unwrap_or_default()))
    }

    /// The path as it stands in the target: empty where an absolute one has none.
    pub fn written_path<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        self.target.path.of(arena)
    }

    /// The path: never empty, except in authority form. `/` for an absolute target without path, `*` for OPTIONS on such a
    /// target or on `*` itself (RFC 9112 §3.2.4).
    pub fn path<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        match self.target.form {
            TargetForm::Origin | TargetForm::Authority | TargetForm::Asterisk => {
                self.target.path.of(arena)
            }
            TargetForm::Absolute if self.target.path.len > 0 => self.target.path.of(arena),
            TargetForm::Absolute
                if self.method == Method::Options && self.target.query.is_none() =>
            {
                b"*"
            }
            TargetForm::Absolute => b"/",
        }
    }

    /// What follows the first `?` of the target; `Some` of nothing for a target that ends with `?`.
    pub fn query<'a>(&self, arena: &'a [u8]) -> Option<&'a [u8]> {
        self.target.query.map(|span| span.of(arena))
    }
}

/// The head of a response, final or interim. Reuse one per connection: parsing keeps the capacity.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    pub(super) list: FieldList,
    pub(super) status: u16,
    pub(super) reason: Span,
    pub(super) version: Version,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Forgets the response and keeps the capacity.
    pub fn clear(&mut self) {
        self.list.clear();
        self.status = 0;
        self.reason = Span::default();
        self.version = Version::Http11;
    }

    /// The fields.
    pub fn fields(&self) -> &FieldList {
        &self.list
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether another head follows for the same request (1xx but 101, after which the protocol changes; RFC 9110 §15.2).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The reason phrase, possibly empty.
    pub fn reason<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        self.reason.of(arena)
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.version
    }
}
