//! What our own answers look like: Portway's form, HAProxy's form, and the operator's pages in place of either.
//!
//! Leaves sending them to [`crate::reply`]. What control reads from files is here too ([`Answers`]): pages are
//! understood once, when they are installed.

use crate::exchange::Exchange;
use crate::fault::reason;
use portway_core::evaluate::{write_header_value, write_template};
use portway_core::http1::{Known, write_field};
use portway_model::expression::Template;
use portway_model::settings::{ErrorAnswer, OwnAnswers};
use portway_model::snapshot::{GroupId, ListenerId};
use portway_model::span::FileId;
use portway_model::stage::Resolved;
use std::collections::HashMap;
use std::sync::Arc;

/// A page that is sent in place of our own answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    status: u16,
    /// Empty: the usual one.
    reason: Vec<u8>,
    /// Whole lines, without those that frame the message.
    fields: Vec<u8>,
    body: Arc<[u8]>,
    /// The page says so.
    close: bool,
    /// Bytes of names and values of the fields that say so.
    hop_bytes: usize,
    /// The page says how long it is; else HAProxy lets the end of the connection end it.
    sized: bool,
    /// An empty file: nothing is sent.
    silent: bool,
    /// It is written as a response of HTTP/1.0.
    http10: bool,
    /// Headers and body are computed for each exchange.
    computed: Option<Arc<ErrorAnswer<Resolved>>>,
}

impl Page {
    /// The page in a file for this status: a whole response where it begins with `HTTP/`, else an HTML body; nothing
    /// is sent for an empty file.
    ///
    /// # Errors
    /// What is wrong with a response, in words.
    pub fn parse(status: u16, bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.starts_with(b"HTTP/") {
            return Self::response(bytes);
        }
        let mut fields = Vec::new();
        write_field(&mut fields, b"Content-Type", b"text/html; charset=utf-8");
        Ok(Self {
            status,
            reason: Vec::new(),
            fields,
            body: bytes.into(),
            close: false,
            hop_bytes: 0,
            sized: true,
            silent: bytes.is_empty(),
            http10: false,
            computed: None,
        })
    }

    /// An answer with this body and these headers.
    pub fn answer(status: u16, answer: &ErrorAnswer<Resolved>) -> Self {
        let is_text = |template: &Template<Resolved>| template.as_text().is_some();
        let fixed = is_text(&answer.body) && answer.headers.iter().all(|(_, value)| is_text(value));
        let mut fields = Vec::new();
        for (name, value) in &answer.headers {
            let value = value.as_text().unwrap_or_default();
            if !value.is_empty() {
                write_field(&mut fields, name.as_bytes(), value.as_bytes());
            }
        }
        let body = answer.body.as_text().unwrap_or_default();
        if !body.is_empty() {
            write_field(&mut fields, b"Content-Type", answer.content_type.as_bytes());
        }
        Self {
            computed: (!fixed).then(|| Arc::new(answer.clone())),
            status,
            reason: Vec::new(),
            fields,
            body: body.as_bytes().into(),
            close: false,
            hop_bytes: 0,
            sized: true,
            silent: false,
            http10: false,
        }
    }

    /// A redirect, as HAProxy's `errorloc` writes it.
    pub fn redirect(location: &str, status: u16) -> Self {
        let mut fields = Vec::new();
        write_field(&mut fields, b"Cache-Control", b"no-cache");
        write_field(&mut fields, b"Location", location.as_bytes());
        Self {
            status,
            reason: Vec::new(),
            fields,
            body: Arc::default(),
            close: false,
            hop_bytes: 0,
            sized: true,
            silent: false,
            http10: false,
            computed: None,
        }
    }

    /// Reads a whole response, as leniently as operators write them: lines may end with LF alone.
    fn response(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut lines = Lines(bytes);
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(3, |byte| *byte == b' ');
        let version = words.next().unwrap_or_default();
        if !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
            return Err("its first line has no version `HTTP/1.1`");
        }
        let status = words.next().and_then(|status| {
            let status: u16 = std::str::from_utf8(status).ok()?.parse().ok()?;
            (200..600).contains(&status).then_some(status)
        });
        let status = status.ok_or("its first line has no status from 200 to 599")?;
        let reason = words.next().unwrap_or_default();
        let (mut fields, mut close, mut sized) = (Vec::new(), false, false);
        let mut hop_bytes = 0;
        loop {
            let line = lines.next().ok_or("no empty line ends its head")?;
            if line.is_empty() {
                break;
            }
            let colon = position(line, b':').ok_or("a line of its head has no colon")?;
            let (name, value) = line.split_at_checked(colon).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return Err("a line of its head does not begin with a name");
            }
            match Known::of(name) {
                Known::Connection => {
                    close |= value.eq_ignore_ascii_case(b"close");
                    hop_bytes += name.len() + value.len();
                }
                Known::ContentLength => sized = true,
                Known::TransferEncoding => return Err("it has a Transfer-Encoding"),
                _ => write_field(&mut fields, name, value),
            }
        }
        Ok(Self {
            status,
            reason: reason.into(),
            fields,
            body: lines.0.into(),
            close,
            hop_bytes,
            sized,
            silent: false,
            http10: version == b"HTTP/1.0",
            computed: None,
        })
    }
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

/// Lines up to LF, without it and a CR before it.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let at = position(self.0, b'\n')?;
        let (line, rest) = self.0.split_at_checked(at)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// What was read for answers: pages, and files that rules answer with.
#[derive(Debug, Default)]
pub struct Answers {
    listeners: HashMap<(ListenerId, u16), Arc<Page>>,
    groups: HashMap<(GroupId, u16), Arc<Page>>,
    files: HashMap<FileId, HashMap<String, Arc<[u8]>>>,
    pages: HashMap<FileId, HashMap<String, Arc<Page>>>,
}

impl Answers {
    /// A listener's page for a status.
    pub fn add_to_listener(&mut self, listener: ListenerId, status: u16, page: Page) {
        self.listeners.insert((listener, status), Arc::new(page));
    }

    /// A group's page for a status.
    pub fn add_to_group(&mut self, group: GroupId, status: u16, page: Page) {
        self.groups.insert((group, status), Arc::new(page));
    }

    /// A file by the name that a rule of this source gives it.
    pub fn add_file(&mut self, source: FileId, name: &str, contents: Vec<u8>) {
        let files = self.files.entry(source).or_default();
        files.insert(name.to_owned(), contents.into());
    }

    /// An error page by the name that a rule of this source gives it.
    pub fn add_page(&mut self, source: FileId, name: &str, page: Page) {
        let pages = self.pages.entry(source).or_default();
        pages.insert(name.to_owned(), Arc::new(page));
    }

    fn file(&self, source: FileId, name: &str) -> Option<Arc<[u8]>> {
        self.files.get(&source)?.get(name).cloned()
    }

    fn page(&self, source: FileId, name: &str) -> Option<&Page> {
        self.pages.get(&source)?.get(name).map(AsRef::as_ref)
    }

    /// The page of the group, else of the listener.
    fn of(&self, listener: ListenerId, group: Option<GroupId>, status: u16) -> Option<&Page> {
        let of_group = group.and_then(|group| self.groups.get(&(group, status)));
        let page = of_group.or_else(|| self.listeners.get(&(listener, status)));
        page.map(AsRef::as_ref)
    }
}

/// A body that is ours.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Made(Vec<u8>),
    Kept(Arc<[u8]>),
    Fixed(&'static [u8]),
}

impl Body {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Body::Made(bytes) => bytes,
            Body::Kept(bytes) => bytes,
            Body::Fixed(bytes) => bytes,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Fixed(b"")
    }
}

/// Name and value of the field that says that the connection is closed.
pub(crate) const CONNECTION_CLOSE: &str = "connectionclose";

/// An answer of our own.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status that its error page stands for; HAProxy logs that one.
    pub(crate) in_place_of: Option<u16>,
    /// Empty: the usual one.
    pub(crate) reason: Vec<u8>,
    /// Whole header lines, each with its CRLF.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Body,
    /// The connection is closed after it.
    pub(crate) close: bool,
    /// Bytes of names and values of the `Connection` fields that HAProxy counts in such an answer, whatever is sent of them.
    pub(crate) hop_bytes: usize,
    /// Its length is not said: the end of the connection ends it.
    pub(crate) unsized_body: bool,
    /// Nothing is sent: the connection is closed.
    pub(crate) silent: bool,
    /// It is sent as a response of HTTP/1.0, as HAProxy sends a page that is one.
    pub(crate) http10: bool,
}

impl Answer {
    fn of(page: &Page, status: u16, form: OwnAnswers) -> Self {
        let unsized_body = !page.sized && form == OwnAnswers::Haproxy;
        Self {
            status: page.status,
            in_place_of: Some(status),
            reason: page.reason.clone(),
            fields: page.fields.clone(),
            body: Body::Kept(Arc::clone(&page.body)),
            close: page.close || unsized_body,
            hop_bytes: page.hop_bytes,
            unsized_body,
            silent: page.silent,
            http10: page.http10 && form == OwnAnswers::Haproxy,
        }
    }
}

/// 401 with what is asked for.
pub(crate) fn unauthorized(x: &Exchange<'_>, challenge: &str) -> Answer {
    let mut answer = own(x, 401, "");
    let fields = &mut answer.fields;
    write_field(fields, b"WWW-Authenticate", challenge.as_bytes());
    answer
}

/// What is answered with this status where something fails: the operator's page, else our own words. `text`: what
/// Portway's form says.
pub(crate) fn own(x: &Exchange<'_>, status: u16, text: &str) -> Answer {
    let plane = &x.connection.generation.plane;
    let page = plane
        .answers
        .of(x.connection.listener, x.attempt.group, status);
    match (page, x.connection.own_answers()) {
        (Some(page), form) => {
            let mut answer = Answer::of(page, status, form);
            if let Some(computed) = page.computed.as_deref() {
                compute(x, computed, &mut answer);
            }
            answer
        }
        (None, OwnAnswers::Haproxy) => haproxy(status).unwrap_or_else(|| portway(status, text)),
        (None, OwnAnswers::Portway) => portway(status, text),
    }
}

/// Puts the headers and the body in that are computed.
fn compute(x: &Exchange<'_>, from: &ErrorAnswer<Resolved>, answer: &mut Answer) {
    answer.fields.clear();
    write_headers(x, &from.headers, &mut answer.fields);
    let mut body = Vec::new();
    write_template(&from.body, x, &mut body);
    if !body.is_empty() {
        let content_type = from.content_type.as_bytes();
        write_field(&mut answer.fields, b"Content-Type", content_type);
    }
    answer.body = Body::Made(body);
}

/// Writes the headers of an answer; one whose value turns out empty is left out.
pub(crate) fn write_headers(
    x: &Exchange<'_>,
    headers: &[(String, Template<Resolved>)],
    out: &mut Vec<u8>,
) {
    for (name, value) in headers {
        let before = out.len();
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        let begin = out.len();
        write_header_value(value, x, out);
        match out.len() == begin {
            true => out.truncate(before),
            false => out.extend_from_slice(b"\r\n"),
        }
    }
}

/// What is answered to what is no request. HAProxy looks at no page then, but for an empty one.
pub(crate) fn to_no_request(x: &Exchange<'_>, status: u16, text: &str) -> Answer {
    let ours = own(x, status, text);
    match x.connection.own_answers() {
        OwnAnswers::Haproxy if !ours.silent => haproxy(status).unwrap_or(ours),
        OwnAnswers::Haproxy | OwnAnswers::Portway => ours,
    }
}

/// The error page in a file that a rule names, in place of an answer with `status`.
pub(crate) fn page(x: &Exchange<'_>, source: FileId, name: &str, status: u16) -> Option<Answer> {
    let page = x.connection.generation.plane.answers.page(source, name)?;
    Some(Answer::of(page, status, x.connection.own_answers()))
}

/// The contents of a file that a rule names.
pub(crate) fn file(x: &Exchange<'_>, source: FileId, name: &str) -> Body {
    let file = x.connection.generation.plane.answers.file(source, name);
    file.map_or_else(Body::default, Body::Kept)
}

fn portway(status: u16, text: &str) -> Answer {
    let mut answer = Answer {
        status,
        ..Answer::default()
    };
    write_field(
        &mut answer.fields,
        b"Content-Type",
        b"text/plain; charset=utf-8",
    );
    let text = if text.is_empty() {
        reason(status)
    } else {
        text
    };
    answer.body = Body::Made([text.as_bytes(), b"\n"].concat());
    answer
}

/// Status, reason phrase and body of HAProxy 2.6's own answers, as its clients and their tests know them.
#[rustfmt::skip] // a table
const HAPROXY: &[(u16, &str, &str)] = &[
    (200, "OK", "<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n"),
    (400, "Bad request", "<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n"),
    (401, "Unauthorized", "<html><body><h1>401 Unauthorized</h1>\nYou need a valid user and password to access this content.\n</body></html>\n"),
    (403, "Forbidden", "<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n"),
    (404, "Not Found", "<html><body><h1>404 Not Found</h1>\nThe resource could not be found.\n</body></html>\n"),
    (405, "Method Not Allowed", "<html><body><h1>405 Method Not Allowed</h1>\nA request was made of a resource using a request method not supported by that resource\n</body></html>\n"),
    (407, "Unauthorized", "<html><body><h1>407 Unauthorized</h1>\nYou need a valid user and password to access this content.\n</body></html>\n"),
    (408, "Request Time-out", "<html><body><h1>408 Request Time-out</h1>\nYour browser didn't send a complete request in time.\n</body></html>\n"),
    (410, "Gone", "<html><body><h1>410 Gone</h1>\nThe resource is no longer available and will not be available again.\n</body></html>\n"),
    (413, "Payload Too Large", "<html><body><h1>413 Payload Too Large</h1>\nThe request entity exceeds the maximum allowed.\n</body></html>\n"),
    (421, "Misdirected Request", "<html><body><h1>421 Misdirected Request</h1>\nRequest sent to a non-authoritative server.\n</body></html>\n"),
    (422, "Unprocessable Content", "<html><body><h1>422 Unprocessable Content</h1>\nThe server cannot process the contained instructions.\n</body></html>\n"),
    (425, "Too Early", "<html><body><h1>425 Too Early</h1>\nYour browser sent early data.\n</body></html>\n"),
    (429, "Too Many Requests", "<html><body><h1>429 Too Many Requests</h1>\nYou have sent too many requests in a given amount of time.\n</body></html>\n"),
    (500, "Internal Server Error", "<html><body><h1>500 Internal Server Error</h1>\nAn internal server error occurred.\n</body></html>\n"),
    (501, "Not Implemented", "<html><body><h1>501 Not Implemented</h1>\n.The server does not support the functionality required to fulfill the request.\n</body></html>\n"),
    (502, "Bad Gateway", "<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>\n"),
    (503, "Service Unavailable", "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"),
    (504, "Gateway Time-out", "<html><body><h1>504 Gateway Time-out</h1>\nThe server didn't respond in time.\n</body></html>\n"),
];

/// HAProxy's own answer with this status; `None` where it has none.
fn haproxy(status: u16) -> Option<Answer> {
    let (_, reason, body) = HAPROXY.iter().find(|(known, _, _)| *known == status)?;
    let mut fields = Vec::new();
    write_field(&mut fields, b"cache-control", b"no-cache");
    write_field(&mut fields, b"content-type", b"text/html");
    let close = matches!(status, 400 | 408);
    Some(Answer {
        status,
        reason: reason.as_bytes().to_vec(),
        fields,
        body: Body::Fixed(body.as_bytes()),
        close,
        hop_bytes: if close { CONNECTION_CLOSE.len() } else { 0 },
        ..Answer::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_as_operators_write_them() {
        let check = |text: &str, expected: Result<(u16, &str, &str, &str, bool, bool), &str>| {
            let page = Page::parse(503, text.as_bytes());
            let got = page.as_ref().map(|page| {
                let text = |bytes| std::str::from_utf8(bytes).unwrap();
                let (reason, fields) = (text(&page.reason), text(&page.fields));
                (
                    page.status,
                    reason,
                    fields,
                    text(&page.body),
                    page.close,
                    page.sized,
                )
            });
            assert_eq!(got.map_err(|reason| *reason), expected, "{text:?}");
        };
        let html = "Content-Type: text/html; charset=utf-8\r\n";
        check("<p>", Ok((503, "", html, "<p>", false, true)));
        check(
            "HTTP/1.0 403 No way\r\nConnection: close\r\nX-A: b\r\n\r\nbody\r\n",
            Ok((403, "No way", "X-A: b\r\n", "body\r\n", true, false)),
        );
        check(
            "HTTP/1.1 404 Gone\nContent-Length: 99\nX-A:b \n\nbody",
            Ok((404, "Gone", "X-A: b\r\n", "body", false, true)),
        );
        check("HTTP/1.1 404\r\n\r\n", Ok((404, "", "", "", false, false)));
        check(
            "HTTP/2 404 x\r\n\r\n",
            Err("its first line has no version `HTTP/1.1`"),
        );
        check(
            "HTTP/1.1 100 x\r\n\r\n",
            Err("its first line has no status from 200 to 599"),
        );
        check(
            "HTTP/1.1 404 x\r\nA: b\r\n",
            Err("no empty line ends its head"),
        );
        check(
            "HTTP/1.1 404 x\r\nab\r\n\r\n",
            Err("a line of its head has no colon"),
        );
        check(
            "HTTP/1.1 404 x\r\n: b\r\n\r\n",
            Err("a line of its head does not begin with a name"),
        );
        check(
            "HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err("it has a Transfer-Encoding"),
        );
        assert!(Page::parse(408, b"").unwrap().silent);
    }
}
