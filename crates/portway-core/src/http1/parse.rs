//! From bytes to heads. `httparse` splits the lines at full speed; what it tolerates and we do not (bare LF, non-ASCII targets)
//! is checked on top from the places of its results, and what it refuses is read again slowly to name the fault.
//!
//! The hard thing is a head that arrives in pieces: the first piece is parsed at once, which also finds early what is not
//! HTTP at all; later pieces are only searched for the end of the head, from where the last search stopped, and the head is
//! parsed once more when it is complete. So the work is linear in the bytes received, however they are cut.

use std::mem::MaybeUninit;

use memchr::{memchr, memchr_iter};

use super::head::{
    ConnectionOptions, Field, FieldList, Method, RequestHead, ResponseHead, Span, TargetForm,
    Version,
};
use super::known::Known;
use super::refusal::Refusal;
use super::{lines, list, target};

/// For as many fields the tokeniser's array stands on the stack, 32 bytes a field; where [`HeadLimits::fields`] allows more, it is
/// allocated for each head.
pub const STACK_FIELDS: usize = 256;

/// The most bytes a head may have, whatever [`HeadLimits::head_bytes`] says, so that ranges fit 32 bits.
pub const MAX_HEAD_BYTES: usize = 16 * 1024 * 1024;

/// The longest method, in bytes. The longest registered one has 17 (`UPDATEREDIRECTREF`).
pub const MAX_METHOD_BYTES: usize = 64;

/// Empty lines tolerated before a request line. RFC 9112 §2.2 asks for at least one.
pub const MAX_LEADING_EMPTY_LINES: usize = 4;

/// The most options in all Connection fields of a head. Every option is compared with every field, so the product is what
/// an attacker could make us compute.
pub const MAX_CONNECTION_OPTIONS: usize = 32;

/// What a head may cost, and what it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a whole head, its last empty line included; beyond, 431. Default 64 KiB, an ALB's limit for a request line plus
    /// headers.
    pub head_bytes: usize,
    /// Bytes of a request target; beyond, 414. Default 16 KiB, an ALB's limit for the request line. RFC 9112 §3 asks for at
    /// least 8,000.
    pub target_bytes: usize,
    /// Field lines; beyond, 431. Default 128; HAProxy allows 100, nginx has no limit of the number. More than [`STACK_FIELDS`] cost more.
    pub fields: usize,
    /// A request of HTTP/1.1 without Host is refused, as RFC 9112 §3.2 has it. Default true.
    pub host_required: bool,
    /// What a recipient may repair is repaired, as HAProxy does, and what we send is in order: equal Content-Lengths are one
    /// (RFC 9112 §6.3), and so are equal Hosts; beside Transfer-Encoding Content-Length does not count, and in HTTP/1.0 Transfer-Encoding does,
    /// both with the connection closed behind the message (§6.1); a target may hold user information, a request line several
    /// blanks in place of one (§3), and Host a port that is none, which is passed on then. Default false.
    pub lenient: bool,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits {
            head_bytes: 64 * 1024,
            target_bytes: 16 * 1024,
            fields: 128,
            host_required: true,
            lenient: false,
        }
    }
}

/// What came of an attempt to parse a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The head is complete and in order; the body or the next message begins at this byte of the slice.
    Complete {
        /// Bytes of the head, with empty lines before a request line.
        head_len: usize,
    },
    /// More bytes are needed. Call again with all bytes, and with their present number as `scanned_before`.
    Partial,
    /// The message is not acceptable; answer with [`Refusal::status`] and close.
    Refused(Refusal),
}

impl Parsed {
    fn from_result(result: Result<Option<usize>, Refusal>) -> Parsed {
        match result {
            Ok(Some(head_len)) => Parsed::Complete { head_len },
            Ok(None) => Parsed::Partial,
            Err(refusal) => Parsed::Refused(refusal),
        }
    }
}

/// Parses the head of a request at the start of `buf`.
///
/// `scanned_before` is the length `buf` had when this function last answered [`Parsed::Partial`] for the same message, else 0.
/// `head` is meaningful only after [`Parsed::Complete`]; its ranges are over `buf`.
pub fn parse_request(
    buf: &[u8],
    scanned_before: usize,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Parsed {
    head.clear();
    Parsed::from_result(request(buf, scanned_before, limits, head))
}

/// Parses the head of a response at the start of `buf`; arguments as for [`parse_request`]. Whatever is refused here is
/// answered with 502 downstream. An empty line before the status line is refused: it would be the remains of another
/// message.
pub fn parse_response(
    buf: &[u8],
    scanned_before: usize,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Parsed {
    head.clear();
    Parsed::from_result(response(buf, scanned_before, limits, head))
}

#[inline]
fn request(
    buf: &[u8],
    scanned_before: usize,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<usize>, Refusal> {
    let Some(offset) = leading_empty_lines(buf)? else {
        return Ok(None);
    };
    let message = buf.get(offset..).unwrap_or_default();
    let scanned = scanned_before.saturating_sub(offset);
    if scanned > 0 && !has_end_of_head(message, scanned).map_err(|()| request_refusal(message))? {
        return within_limits_request(message, limits).map(|()| None);
    }
    let outcome = match tokenise_request(message, offset, limits, head) {
        Err(httparse::Error::Version) => match later_version(message, limits) {
            Some(at) => tokenise_request(&as_version_1_1(message, at), offset, limits, head),
            None => return Err(request_refusal(message)),
        },
        outcome => outcome,
    };
    let head_len = match outcome {
        Ok(Some(head_len)) => head_len,
        Ok(None) => {
            has_end_of_head(message, scanned).map_err(|()| request_refusal(message))?;
            return within_limits_request(message, limits).map(|()| None);
        }
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooManyFields),
        Err(_) => return Err(request_refusal(message)),
    };
    check_request(buf, offset, head_len, limits, head)?;
    Ok(Some(offset + head_len))
}

/// What the grammar of single lines does not say: lengths, the target, Host, Connection.
#[inline]
fn check_request(
    buf: &[u8],
    offset: usize,
    head_len: usize,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<(), Refusal> {
    if head.target_span.len as usize > limits.target_bytes {
        return Err(Refusal::UriTooLong);
    }
    if head_len > limits.head_bytes.min(MAX_HEAD_BYTES) {
        return Err(Refusal::HeadTooLarge);
    }
    if head.method_span.len as usize > MAX_METHOD_BYTES {
        return Err(Refusal::MethodTooLong);
    }
    if buf
        .get(offset..)
        .is_some_and(|message| message.starts_with(b"PRI * "))
    {
        return Err(Refusal::Http2Preface);
    }
    head.target = target::parse_target(
        head.method,
        head.target_span.of(buf),
        head.target_span.start as usize,
        limits.lenient,
    )?;
    let mut hosts = head
        .list
        .fields
        .iter()
        .filter(|field| field.known == Known::Host);
    let (host, several) = (hosts.next().copied(), hosts.next().is_some());
    if several {
        let one = limits.lenient && one_host(&mut head.list, buf);
        if !one {
            return Err(Refusal::DuplicateHost);
        }
    }
    match host {
        None if head.version == Version::Http11 && limits.host_required => {
            return Err(Refusal::MissingHost);
        }
        None => {}
        Some(field) => {
            let authority = target::parse_host(
                field.value.of(buf),
                field.value.start as usize,
                limits.lenient,
            )?;
            if matches!(head.target.form, TargetForm::Origin | TargetForm::Asterisk) {
                head.target.authority = authority.whole;
                head.target.host = authority.host;
                head.target.port = authority.port;
            } else if !target::is_same_host(head.target_span, &head.target, &authority, buf) {
                return Err(Refusal::HostMismatch);
            }
        }
    }
    head.list.connection = connection_options(&head.list, buf)?;
    repair(&mut head.list, head.version, limits, buf)
}

#[inline]
fn response(
    buf: &[u8],
    scanned_before: usize,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, Refusal> {
    if matches!(buf.first(), Some(b'\r' | b'\n')) {
        return Err(Refusal::BadStatusLine);
    }
    if scanned_before > 0
        && !has_end_of_head(buf, scanned_before).map_err(|()| response_refusal(buf))?
    {
        return within_limits_response(buf, limits).map(|()| None);
    }
    let outcome = match tokenise_response(buf, limits, head) {
        Err(httparse::Error::Version) => match lines::later_version(buf, true, b'1'..=b'1') {
            Some(at) => tokenise_response(&as_version_1_1(buf, at), limits, head),
            None => return Err(response_refusal(buf)),
        },
        outcome => outcome,
    };
    let head_len = match outcome {
        Ok(Some(head_len)) => head_len,
        Ok(None) => {
            has_end_of_head(buf, scanned_before).map_err(|()| response_refusal(buf))?;
            return within_limits_response(buf, limits).map(|()| None);
        }
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooManyFields),
        Err(_) => return Err(response_refusal(buf)),
    };
    if head_len > limits.head_bytes.min(MAX_HEAD_BYTES) {
        return Err(Refusal::HeadTooLarge);
    }
    if head.status < 100 {
        return Err(Refusal::BadStatus);
    }
    head.list.connection = connection_options(&head.list, buf)?;
    repair(&mut head.list, head.version, limits, buf)?;
    Ok(Some(head_len))
}

/// The number of bytes of empty lines before the request line; `None` while it cannot be told yet.
#[inline]
fn leading_empty_lines(buf: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut rest = buf;
    for _ in 0..=MAX_LEADING_EMPTY_LINES {
        match rest {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', tail @ ..] => rest = tail,
            [b'\r', ..] => return Err(Refusal::BareCr),
            [b'\n', ..] => return Err(Refusal::BareLf),
            _ => return Ok(Some(buf.len() - rest.len())),
        }
    }
    Err(Refusal::LeadingEmptyLines)
}

/// Whether the head is complete, looking only at bytes from `scanned` on. `Err` for a bare LF among them, since it could keep
/// us waiting for an end that the sender believes to have sent.
fn has_end_of_head(message: &[u8], scanned: usize) -> Result<bool, ()> {
    let fresh = message.get(scanned..).unwrap_or_default();
    for at in memchr_iter(b'\n', fresh).map(|at| at + scanned) {
        let before = message.get(..at).unwrap_or_default();
        match before {
            [.., b'\r', b'\n', b'\r'] => return Ok(true),
            [.., b'\r'] => {}
            _ => return Err(()),
        }
    }
    Ok(false)
}

/// Limits of a request head that is still incomplete.
fn within_limits_request(message: &[u8], limits: &HeadLimits) -> Result<(), Refusal> {
    let first_limit = limits
        .target_bytes
        .min(limits.head_bytes)
        .min(MAX_METHOD_BYTES);
    if message.len() <= first_limit {
        return Ok(());
    }
    // The searches end early when the request line is complete, and the message is refused when it is not and too long:
    // bytes that come one at a time are not searched again and again.
    match memchr(b' ', message.get(..=MAX_METHOD_BYTES).unwrap_or(message)) {
        None if message.len() > MAX_METHOD_BYTES => return Err(Refusal::MethodTooLong),
        None => {}
        Some(method_len) => {
            let target_start = method_len + 1;
            let beyond = target_start.saturating_add(limits.target_bytes);
            let target = message.get(target_start..=beyond).unwrap_or_default();
            if !target.is_empty() && memchr(b' ', target).is_none() {
                return Err(Refusal::UriTooLong);
            }
        }
    }
    within_limits_response(message, limits)
}

fn within_limits_response(message: &[u8], limits: &HeadLimits) -> Result<(), Refusal> {
    if message.len() > limits.head_bytes.min(MAX_HEAD_BYTES) {
        Err(Refusal::HeadTooLarge)
    } else {
        Ok(())
    }
}

/// Names what the tokeniser or the search did not like.
#[cold]
fn request_refusal(message: &[u8]) -> Refusal {
    lines::request_fault(message).unwrap_or(Refusal::BadRequestLine)
}

#[cold]
fn response_refusal(message: &[u8]) -> Refusal {
    lines::response_fault(message).unwrap_or(Refusal::BadStatusLine)
}

/// Where the minor digit of a later version stands, of a request that is served as one of HTTP/1.1.
#[cold]
fn later_version(message: &[u8], limits: &HeadLimits) -> Option<usize> {
    let major = match limits.lenient && !message.starts_with(b"PRI ") {
        true => b'1'..=b'9',
        false => b'1'..=b'1',
    };
    lines::later_version(message, false, major)
}

/// A copy that says HTTP/1.1, for the tokeniser, which knows no later version. Nobody sends one, so the copy may cost.
#[cold]
fn as_version_1_1(message: &[u8], minor_at: usize) -> Vec<u8> {
    let mut copy = message.to_vec();
    for at in [minor_at.saturating_sub(2), minor_at] {
        if let Some(digit) = copy.get_mut(at) {
            *digit = b'1';
        }
    }
    copy
}

/// Room for one field of the tokeniser.
type Slot<'m> = MaybeUninit<httparse::Header<'m>>;

/// Room for so many fields: on the stack, or where that is too small on the heap, for as many as a message of this length can have. A
/// line takes three bytes, for the tokeniser.
#[inline]
fn room<'r, 'm>(
    on_stack: &'r mut [Slot<'m>],
    on_heap: &'r mut Vec<Slot<'m>>,
    fields: usize,
    length: usize,
) -> &'r mut [Slot<'m>] {
    #[cold]
    fn grow(on_heap: &mut Vec<Slot<'_>>, fields: usize) {
        on_heap.resize_with(fields, MaybeUninit::uninit);
    }
    match on_stack.get_mut(..fields) {
        Some(room) => room,
        None => {
            grow(on_heap, fields.min(length / 3 + 1));
            on_heap
        }
    }
}

/// Lets `httparse` split the head. `offset` is where `message` begins in the arena. Answers the length of the head.
#[inline]
fn tokenise_request(
    message: &[u8],
    offset: usize,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<usize>, httparse::Error> {
    let mut on_stack = [const { MaybeUninit::uninit() }; STACK_FIELDS];
    let mut on_heap = Vec::new();
    let array = room(&mut on_stack, &mut on_heap, limits.fields, message.len());
    let mut tokens = httparse::Request::new(&mut []);
    let mut how = httparse::ParserConfig::default();
    how.allow_multiple_spaces_in_request_line_delimiters(limits.lenient);
    let parsed = how.parse_request_with_uninit_headers(&mut tokens, message, array)?;
    let httparse::Status::Complete(head_len) = parsed else {
        return Ok(None);
    };
    if head_len > MAX_HEAD_BYTES {
        return Ok(Some(head_len));
    }
    let method = tokens.method.unwrap_or_default().as_bytes();
    let path = tokens.path.unwrap_or_default().as_bytes();
    head.method = Method::of(method);
    head.method_span = Span::new(offset, offset + method.len());
    // Several blanks may stand before it.
    let target_at = path.as_ptr().addr().wrapping_sub(message.as_ptr().addr());
    let target_start = offset + target_at;
    head.target_span = Span::new(target_start, target_start + path.len());
    head.version = if tokens.version == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    };
    take_fields(tokens.headers, message, offset, head_len, &mut head.list)?;
    Ok(Some(head_len))
}

#[inline]
fn tokenise_response(
    message: &[u8],
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, httparse::Error> {
    /// Bytes of `HTTP/1.1 200`.
    const BEFORE_REASON: usize = 12;
    let mut on_stack = [const { MaybeUninit::uninit() }; STACK_FIELDS];
    let mut on_heap = Vec::new();
    let array = room(&mut on_stack, &mut on_heap, limits.fields, message.len());
    let mut tokens = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut tokens, message, array)?;
    let httparse::Status::Complete(head_len) = parsed else {
        return Ok(None);
    };
    if head_len > MAX_HEAD_BYTES {
        return Ok(Some(head_len));
    }
    head.status = tokens.code.unwrap_or(0);
    head.version = if tokens.version == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    };
    let after_code = message.get(BEFORE_REASON..).unwrap_or_default();
    let line_len = memchr(b'\r', after_code).unwrap_or(0);
    head.reason = Span::new(BEFORE_REASON + line_len.min(1), BEFORE_REASON + line_len);
    take_fields(tokens.headers, message, 0, head_len, &mut head.list)?;
    Ok(Some(head_len))
}

/// Turns the tokeniser's slices of `message` into ranges. Every line must begin after CRLF: the tokeniser takes LF alone too.
#[inline]
fn take_fields(
    headers: &[httparse::Header<'_>],
    message: &[u8],
    offset: usize,
    head_len: usize,
    list: &mut FieldList,
) -> Result<(), httparse::Error> {
    let base = message.as_ptr().addr();
    let cr_before = |at: usize| at.checked_sub(2).and_then(|at| message.get(at)) == Some(&b'\r');
    // Where the line after the last field begins if that field has nothing after its value but CRLF.
    let mut line_after = 0;
    list.fields.reserve(headers.len());
    for header in headers {
        let name_start = header.name.as_ptr().addr().wrapping_sub(base);
        let name_end = name_start.wrapping_add(header.name.len());
        let value_start = header.value.as_ptr().addr().wrapping_sub(base);
        let value_end = value_start.wrapping_add(header.value.len());
        if !cr_before(name_start) {
            return Err(httparse::Error::NewLine);
        }
        end_previous(list, line_after == name_start);
        line_after = value_end.wrapping_add(2);
        let known = Known::of(header.name.as_bytes());
        // A length with leading zeros is a valid one; it is sent without them.
        let padded = known == Known::ContentLength && matches!(header.value, [b'0', _, ..]);
        let spaced =
            value_start == name_end.wrapping_add(2) && message.get(name_end + 1) == Some(&b' ');
        list.present.insert(known);
        list.fields.push(Field {
            name: Span::new(offset + name_start, offset + name_end),
            value: Span::new(offset + value_start, offset + value_end),
            known,
            plain: spaced && !padded,
        });
    }
    let last_line = head_len.wrapping_sub(2);
    end_previous(list, line_after == last_line);
    if !cr_before(head_len) || !cr_before(last_line) {
        return Err(httparse::Error::NewLine);
    }
    Ok(())
}

/// Corrects the last field once it is known whether its line ends right after its value.
#[inline]
fn end_previous(list: &mut FieldList, ends_plainly: bool) {
    if !ends_plainly && let Some(field) = list.fields.last_mut() {
        field.plain = false;
    }
}

/// Makes one Host of several that say the same; false where they do not.
#[cold]
fn one_host(list: &mut FieldList, arena: &[u8]) -> bool {
    let first = list.value(Known::Host, arena);
    if list
        .values(Known::Host, arena)
        .any(|host| Some(host) != first)
    {
        return false;
    }
    let mut seen = false;
    list.fields
        .retain(|field| field.known != Known::Host || !std::mem::replace(&mut seen, true));
    true
}

/// Makes one of what says twice where the body ends, where the limits allow that.
#[inline]
fn repair(
    list: &mut FieldList,
    version: Version,
    limits: &HeadLimits,
    arena: &[u8],
) -> Result<(), Refusal> {
    if !limits.lenient {
        return Ok(());
    }
    let coded = list.present.contains(Known::TransferEncoding);
    let sized = list.present.contains(Known::ContentLength);
    if coded {
        if version == Version::Http10 {
            list.coded_in_http10 = true;
            list.connection.close = true;
        }
        if sized {
            list.fields
                .retain(|field| field.known != Known::ContentLength);
            list.present = list.present.without(Known::ContentLength);
            list.connection.close = true;
        }
    } else if sized {
        let mut lengths = list.values(Known::ContentLength, arena);
        let lists = lengths
            .next()
            .is_some_and(|value| memchr(b',', value).is_some());
        if lists || lengths.next().is_some() {
            drop(lengths);
            return one_length(list, arena);
        }
    }
    Ok(())
}

/// Makes one Content-Length of several that say the same.
#[cold]
fn one_length(list: &mut FieldList, arena: &[u8]) -> Result<(), Refusal> {
    let plain = |length: &[u8]| {
        let zeros = length.iter().take_while(|digit| **digit == b'0').count();
        length.get(zeros..).unwrap_or_default().to_vec()
    };
    let mut length: Option<Vec<u8>> = None;
    for value in list.values(Known::ContentLength, arena) {
        for element in list::elements_with_empty(value) {
            if element.is_empty() || !element.iter().all(u8::is_ascii_digit) {
                return Err(Refusal::BadContentLength);
            }
            if *length.get_or_insert_with(|| plain(element)) != plain(element) {
                return Err(Refusal::DuplicateContentLength);
            }
        }
    }
    let mut first = true;
    list.fields.retain_mut(|field| {
        if field.known != Known::ContentLength {
            return true;
        }
        let value = field.value.of(arena);
        let last = memchr::memrchr(b',', value).map_or(0, |at| at + 1);
        let element = value.get(last..).unwrap_or_default().trim_ascii_start();
        let end = field.value.end();
        field.value = Span::new(end - element.len(), end);
        field.plain = false;
        std::mem::replace(&mut first, false)
    });
    Ok(())
}

/// Reads all Connection fields. Elements that are no tokens name nothing and are skipped: the field itself is never sent on.
#[inline]
fn connection_options(list: &FieldList, arena: &[u8]) -> Result<ConnectionOptions, Refusal> {
    let mut options = ConnectionOptions::default();
    let mut count = 0;
    for value in list.values(Known::Connection, arena) {
        if memchr(b',', value).is_none() {
            count += 1;
            note_option(&mut options, value);
            continue;
        }
        for element in list::elements(value) {
            count += 1;
            note_option(&mut options, element);
        }
    }
    if count > MAX_CONNECTION_OPTIONS {
        Err(Refusal::TooManyConnectionOptions)
    } else {
        Ok(options)
    }
}

#[inline]
fn note_option(options: &mut ConnectionOptions, option: &[u8]) {
    if option.eq_ignore_ascii_case(b"keep-alive") {
        options.keep_alive = true;
    } else if option.eq_ignore_ascii_case(b"close") {
        options.close = true;
    } else if option.eq_ignore_ascii_case(b"upgrade") {
        options.upgrade = true;
    } else if !option.is_empty() && Known::of(option) == Known::Other {
        options.names_fields = true;
    }
}
