//! Answers of the proxy itself: `return`, `deny`, `tarpit`, and what errorfile, errorloc, errorfiles and http-error say.

use super::error_file::error_file;
use super::keyword::missing;
use super::{Args, ErrorSection, Proxy};
use crate::haproxy::place::Place;
use crate::haproxy::{Line, Reader, Word, log_format};
use portway_model::action::{AnswerBody, FixedResponse};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::Template;
use portway_model::settings::{ErrorAnswer, ErrorPageSource};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Statuses that HAProxy has answers of its own for.
pub(crate) const OWN: [u16; 19] = [
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504,
];

/// What replaces an answer of our own.
#[derive(Debug, Clone)]
pub(crate) struct ErrorReply {
    pub(crate) source: ErrorPageSource<Named>,
    pub(crate) span: Span,
}

/// A line of a proxy that says what replaces answers of our own.
#[derive(Debug, Clone)]
pub(crate) enum ErrorLine {
    /// For one status.
    Reply(u16, ErrorReply),
    /// `errorfiles`: the name of a section, and which of its statuses; all where none is named.
    Section(Spanned<String>, Vec<u16>),
    /// Nothing replaces that of this status.
    Own(u16),
}

/// The status where none is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `return`: 200 without a body.
    Return,
    /// `deny`: 403.
    Deny,
    /// `deny` of a response: 502.
    DenyResponse,
    /// `tarpit`: 500.
    Tarpit,
}

impl Kind {
    fn status(self) -> u16 {
        match self {
            Kind::Return => 200,
            Kind::Deny => 403,
            Kind::DenyResponse => 502,
            Kind::Tarpit => 500,
        }
    }
}

/// Reads what stands between the action and its condition.
pub(super) fn answer(
    kind: Kind,
    place: Place,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<FixedResponse<Named>> {
    let mut response = FixedResponse {
        status: kind.status(),
        content_type: None,
        body: AnswerBody::NONE,
        headers: Vec::new(),
    };
    let mut status: Option<Span> = None;
    let mut payload: Option<&Word> = None;
    let mut section: Option<&Word> = None;
    // Nothing is said, or a status by `deny_status` and no more: the proxy's own page is meant.
    let mut bare = kind != Kind::Return;
    let mut is_first = true;
    while let Some(word) = args.argument() {
        let option = word.as_str();
        let known = [
            "status",
            "deny_status",
            "content-type",
            "default-errorfiles",
            "errorfile",
            "errorfiles",
            "file",
            "lf-file",
            "string",
            "lf-string",
            "hdr",
        ];
        let may_stand = option != "deny_status" || is_first && kind != Kind::Return;
        bare &= is_first && option == "deny_status";
        is_first = false;
        if !may_stand || !known.contains(&option) {
            // What is neither an option nor a condition is said by the caller, as HAProxy does.
            let message = format!(
                "`{option}` is not expected here: `if` or `unless` with a condition may follow"
            );
            reader.push(Diagnostic::error(Code::Syntax, word.span, message).nearest(option, known));
            return None;
        }
        if option == "default-errorfiles" {
            payload = Some(word);
            response.body = AnswerBody::ErrorPage;
            continue;
        }
        let Some(value) = args.next() else {
            let message = format!("`{option}` needs a value");
            reader.error(Code::Missing, word.span, message);
            return None;
        };
        match option {
            "status" | "deny_status" => {
                response.status = status_word(value, reader)?;
                status = Some(value.span);
            }
            "content-type" => response.content_type = Some(value.text.clone()),
            "hdr" => {
                let Some(format) = args.next() else {
                    reader.error(Code::Missing, word.span, "`hdr` needs a name and a value");
                    return None;
                };
                let format = log_format::template(format, place, reader)?;
                response.headers.push((value.text.clone(), format));
            }
            _ => {
                payload = Some(word);
                section = (option == "errorfiles").then_some(value);
                response.body = body(option, value, place, reader)?;
            }
        }
    }
    if bare {
        response.body = AnswerBody::ErrorPage;
    }
    check_own(&response, status, args.line(), reader)?;
    if let Some(section) = section {
        from_section(&mut response, section, reader)?;
    }
    check_type(&mut response, payload, reader)?;
    Some(response)
}

/// The page of an `http-errors` section; where it has none of that status, the proxy's own stays.
fn from_section(
    response: &mut FixedResponse<Named>,
    name: &Word,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let section = error_section(&name.spanned(name.text.clone()), reader)?;
    let mut replies = section.replies.into_iter();
    let reply = replies.find(|(status, _)| *status == response.status);
    match reply.map(|(_, reply)| reply.source) {
        None => {}
        Some(ErrorPageSource::File(file)) => response.body = AnswerBody::ErrorPageFile(file),
        Some(ErrorPageSource::Answer(answer)) => {
            response.body = AnswerBody::Text(answer.body);
            response.content_type = Some(answer.content_type);
            response.headers.extend(answer.headers);
        }
        Some(ErrorPageSource::Redirect { .. }) => {
            let message = "not run yet: an answer by an `errorloc` of an `http-errors` section";
            reader.error(Code::NotRun, name.span, message);
            return None;
        }
    }
    Some(())
}

/// The `http-errors` section of this name; an error where there is none.
pub(crate) fn error_section(
    name: &Spanned<String>,
    reader: &mut Reader<'_>,
) -> Option<ErrorSection> {
    let sections = &reader.error_sections;
    let found = sections.iter().find(|it| it.name.value == name.value);
    if let Some(found) = found {
        return Some(found.clone());
    }
    let message = format!("there is no `http-errors` section `{}`", name.value);
    let known: Vec<String> = sections.iter().map(|it| it.name.value.clone()).collect();
    let found = Diagnostic::error(Code::UnknownReference, name.span, message);
    reader.push(found.nearest(&name.value, known.iter().map(String::as_str)));
    None
}

fn status_word(word: &Word, reader: &mut Reader<'_>) -> Option<u16> {
    let status = word.as_str().parse::<u16>().ok();
    let status = status.filter(|status| (200..=599).contains(status));
    if status.is_none() {
        let message = format!("`{}` is not a status from 200 to 599", word.text);
        reader.error(Code::OutOfRange, word.span, message);
    }
    status
}

fn body(
    option: &str,
    value: &Word,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<AnswerBody<Named>> {
    Some(match option {
        "string" => AnswerBody::Text(Template::text(value.as_str())),
        "lf-string" => AnswerBody::Text(log_format::template(value, place, reader)?),
        "file" => AnswerBody::File(readable(value, reader)?),
        "errorfile" => AnswerBody::ErrorPageFile(error_file(value, reader)?),
        "lf-file" => {
            let text = contents(value, reader)?;
            let word = Word {
                text,
                span: value.span,
            };
            AnswerBody::Text(log_format::template(&word, place, reader)?)
        }
        _ => AnswerBody::ErrorPage,
    })
}

/// An answer by error pages must have a status that has one.
fn check_own(
    response: &FixedResponse<Named>,
    status: Option<Span>,
    line: Span,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let page = matches!(
        response.body,
        AnswerBody::ErrorPage | AnswerBody::ErrorPageFile(_)
    );
    if page && !OWN.contains(&response.status) {
        let message = format!("there is no error page for the status {}", response.status);
        let help = "answer with `string` or `file`, or one of 200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503 and 504";
        reader
            .push(Diagnostic::error(Code::OutOfRange, status.unwrap_or(line), message).help(help));
        return None;
    }
    Some(())
}

/// A body has a type, and nothing else has.
fn check_type(
    response: &mut FixedResponse<Named>,
    payload: Option<&Word>,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let own_body = match &response.body {
        AnswerBody::Text(text) => text.as_text() != Some(""),
        AnswerBody::File(file) => !(reader.inputs.read)(file).is_ok_and(|bytes| bytes.is_empty()),
        AnswerBody::ErrorPage | AnswerBody::ErrorPageFile(_) => false,
    };
    if !own_body {
        if matches!(response.body, AnswerBody::File(_)) {
            response.body = AnswerBody::NONE;
        }
        response.content_type = None;
        return Some(());
    }
    let Some(payload) = payload.filter(|_| response.content_type.is_none()) else {
        return Some(());
    };
    let message = "a body needs a type";
    let help = format!("write `content-type text/plain` before `{}`", payload.text);
    reader.push(Diagnostic::error(Code::Missing, payload.span, message).help(help));
    None
}

/// The path of a file that can be read.
pub(super) fn readable(word: &Word, reader: &mut Reader<'_>) -> Option<String> {
    let path = reader.path(word.as_str(), word.span);
    match (reader.inputs.read)(&path) {
        Ok(_) => Some(path),
        Err(why) => {
            let message = format!("cannot read `{path}`: {why}");
            reader.error(Code::Unreadable, word.span, message);
            None
        }
    }
}

/// The text of a file.
fn contents(word: &Word, reader: &mut Reader<'_>) -> Option<String> {
    let path = reader.path(word.as_str(), word.span);
    match (reader.inputs.read)(&path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(why) => {
            let message = format!("cannot read `{}`: {why}", word.text);
            reader.error(Code::Unreadable, word.span, message);
            None
        }
    }
}

/// `errorfile CODE FILE`, `errorloc CODE URL`, `errorfiles NAME [CODE…]`, `http-error status CODE …`.
pub(super) fn error_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    match line.text(0) {
        "errorfiles" => errorfiles(proxy, line, reader),
        "http-error" => http_error(proxy, line, reader),
        _ => {
            if let Some((status, reply)) = reply(line, reader) {
                proxy.errors.push(ErrorLine::Reply(status, reply));
            }
        }
    }
}

/// A later reply for a status takes the place of an earlier one.
pub(crate) fn replace(errors: &mut Vec<(u16, ErrorReply)>, status: u16, reply: ErrorReply) {
    errors.retain(|(known, _)| *known != status);
    errors.push((status, reply));
}

/// One line of errorfile, errorloc, errorloc302 or errorloc303.
pub(crate) fn reply(line: &Line, reader: &mut Reader<'_>) -> Option<(u16, ErrorReply)> {
    let (Some(code), Some(value)) = (line.word(1), line.word(2)) else {
        missing(line, "a status and what replaces it", reader);
        return None;
    };
    let status = own_status(code, reader)?;
    let redirect = |status| ErrorPageSource::Redirect {
        location: value.text.clone(),
        status,
    };
    let source = match line.text(0) {
        "errorfile" => ErrorPageSource::File(error_file(value, reader)?),
        "errorloc303" => redirect(303),
        _ => redirect(302),
    };
    let span = line.span;
    Some((status, ErrorReply { source, span }))
}

/// A status that has an error page.
fn own_status(word: &Word, reader: &mut Reader<'_>) -> Option<u16> {
    let status = word.as_str().parse::<u16>().ok();
    let known = status.filter(|status| OWN.contains(status));
    if known.is_none() {
        let message = format!("there is no error page for the status `{}`", word.text);
        let help = "known: 200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504";
        reader.push(Diagnostic::error(Code::OutOfRange, word.span, message).help(help));
    }
    known
}

fn errorfiles(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(name) = line.word(1) else {
        missing(line, "the name of an `http-errors` section", reader);
        return;
    };
    let mut statuses = Vec::new();
    for word in line.from(2) {
        statuses.extend(own_status(word, reader));
    }
    let section = name.spanned(name.text.clone());
    proxy.errors.push(ErrorLine::Section(section, statuses));
}

/// `http-error status CODE` with what an answer has.
fn http_error(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(code) = line.word(2).filter(|_| line.text(1) == "status") else {
        missing(line, "`status` with a status", reader);
        return;
    };
    let Some(status) = own_status(code, reader) else {
        return;
    };
    if let ("errorfiles", Some(value), None) = (line.text(3), line.word(4), line.word(5)) {
        let section = value.spanned(value.text.clone());
        proxy.errors.push(ErrorLine::Own(status));
        proxy.errors.push(ErrorLine::Section(section, vec![status]));
        return;
    }
    if (line.text(3), line.word(4)) == ("default-errorfiles", None) {
        // HAProxy's own, whatever was said before.
        proxy.errors.push(ErrorLine::Own(status));
        return;
    }
    // What is asked for is known; there may be no response yet.
    let place = super::List::HttpRequest.place(proxy.kind);
    let Some(response) = answer(Kind::Return, place, &mut Args::new(line, 1), reader) else {
        return;
    };
    let Some(source) = fixed(response, reader) else {
        let message = "not run yet: `http-error` with `default-errorfiles` and headers";
        reader.error(Code::NotRun, line.span, message);
        return;
    };
    let reply = ErrorReply {
        source,
        span: line.span,
    };
    proxy.errors.push(ErrorLine::Reply(status, reply));
}

/// An answer as an error page.
fn fixed(
    response: FixedResponse<Named>,
    reader: &mut Reader<'_>,
) -> Option<ErrorPageSource<Named>> {
    let body = match response.body {
        AnswerBody::ErrorPageFile(file) => return Some(ErrorPageSource::File(file)),
        AnswerBody::ErrorPage => return None,
        AnswerBody::Text(text) => text,
        AnswerBody::File(file) => {
            let bytes = (reader.inputs.read)(&file).ok()?;
            Template::text(String::from_utf8(bytes.to_vec()).ok()?)
        }
    };
    Some(ErrorPageSource::Answer(ErrorAnswer {
        body,
        content_type: response.content_type.unwrap_or_default(),
        headers: response.headers,
    }))
}
