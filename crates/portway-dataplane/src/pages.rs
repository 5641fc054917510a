//! Pages that another group has for answers with certain statuses.
//!
//! An answer that has to give way is dropped before anything of it reaches the client, whoever gave it; the page is then
//! asked for as an exchange of its own would be, with the request's headers and without its body. Faults that leave the
//! client's connection in doubt are answered as ever.

use crate::attempt::{self, Attempt};
use crate::exchange::Exchange;
use crate::serve::Next;
use crate::share::{self, Draw};
use crate::sticky::Kept;
use crate::variables::Variables;
use portway_core::evaluate::rewrite::split_target;
use portway_core::evaluate::write_target;
use portway_core::http1::{BodyLength, Known, Method};
use portway_model::page::{PageFrom, has_no_content};
use portway_model::snapshot::GroupId;
use portway_model::stage::Resolved;
use std::sync::Arc;

type Cases = Arc<Vec<PageFrom<Resolved>>>;

/// What an exchange has to do with pages; made where a rule first says something of them.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// What rules said, in their order, with the variables of that moment.
    said: Vec<(Cases, Variables)>,
    /// The page that is to be asked for now.
    wanted: Option<Wanted>,
    /// The status that the client is told, whatever the page is answered with.
    status: Option<u16>,
    /// Some of the request's body is left behind on the client's connection.
    unread: bool,
}

#[derive(Debug)]
struct Wanted {
    group: GroupId,
    /// `None`: the request itself again.
    target: Option<Vec<u8>>,
    /// The headers that go along; `None`: all.
    headers: Option<Vec<String>>,
    /// What the client is told; `None`: what comes of it.
    status: Option<u16>,
    variables: Variables,
    /// The status of what gives way to it.
    in_place_of: u16,
}

/// Remembers what a rule says.
pub(crate) fn say(x: &mut Exchange<'_>, cases: &Cases) {
    let variables = x.scratch.variables.clone();
    let pages = x.scratch.pages.get_or_insert_default();
    pages.said.push((Arc::clone(cases), variables));
}

/// The status that an answer with this one is given.
pub(crate) fn status(x: &Exchange<'_>, own: u16) -> u16 {
    let pages = x.scratch.pages.as_ref();
    pages.and_then(|pages| pages.status).unwrap_or(own)
}

/// True where an answer with this status is to give way to a page; [`fetch`] then asks for it.
pub(crate) fn takes(x: &mut Exchange<'_>, status: u16) -> bool {
    if x.request().method() == Method::Connect || status == 101 {
        return false;
    }
    let Some(mut pages) = x.scratch.pages.take() else {
        return false;
    };
    pages.wanted = None;
    let bodiless = matches!(x.framing.body, BodyLength::None | BodyLength::Length(0));
    while let Some((cases, variables)) = pages.said.pop() {
        let fits = |case: &&PageFrom<Resolved>| {
            let status = i64::from(status);
            let mut ranges = case.status.iter();
            ranges.any(|range| (range.min..=range.max).contains(&status))
        };
        let case = cases.iter().find(fits);
        let may = |case: &&PageFrom<Resolved>| match (&case.target, case.answer_as) {
            (None, _) => bodiless,
            (Some(_), Some(_)) => true,
            // A page under it would be read as what follows it.
            (Some(_), None) => !has_no_content(status),
        };
        let Some(case) = case.filter(may) else {
            continue;
        };
        let turn = Draw::Chance(x.connection.worker.turn());
        let Some(group) = share::draw(&x.connection.generation, &case.forward, turn) else {
            continue;
        };
        let target = case.target.as_ref().map(|template| {
            let before = x.response_status.replace(status);
            let mut target = Vec::new();
            write_target(template, &*x, &mut target);
            x.response_status = before;
            target
        });
        pages.wanted = Some(Wanted {
            group,
            status: target.as_ref().map(|_| case.answer_as.unwrap_or(status)),
            target,
            headers: case.headers.clone(),
            variables,
            in_place_of: status,
        });
        break;
    }
    let taken = pages.wanted.is_some();
    x.scratch.pages = Some(pages);
    taken
}

/// Makes the request for the page that is wanted of what is there of the client's. `None`: none is.
pub(crate) fn begin(x: &mut Exchange<'_>) -> Option<GroupId> {
    let pages = x.scratch.pages.as_mut()?;
    let wanted = pages.wanted.take()?;
    pages.status = wanted.status.or(pages.status);
    crate::record::gave_way(x, wanted.in_place_of);
    attempt::follows(x);
    x.scratch.variables = wanted.variables;
    if let Some(target) = wanted.target {
        ask_for_page(x, &target);
    }
    if let Some(headers) = wanted.headers {
        let scratch = &mut *x.scratch;
        let (request, edits) = (&scratch.request, &mut scratch.request_edits);
        edits.remove_where(request.fields(), x.arena.filled(), |name, _| {
            let is_named = |it: &String| it.as_bytes().eq_ignore_ascii_case(name);
            Known::of(name) != Known::Host && !headers.iter().any(is_named)
        });
    }
    x.kept = Kept::default();
    x.attempt = Attempt::default();
    x.ledger.fault = None;
    x.ledger.failed = false;
    x.ledger.answered = None;
    Some(wanted.group)
}

/// Makes a request for a page of that of the client.
fn ask_for_page(x: &mut Exchange<'_>, target: &[u8]) {
    leave_body(x);
    let (path, query) = split_target(target);
    let path = if path.is_empty() { b"/" } else { path };
    x.line.method = Some("GET".to_owned());
    x.line.scheme = Some(None);
    x.line.path = Some(path.to_vec());
    x.line.query = Some(query.map(<[u8]>::to_vec));
    for name in [&b"Content-Length"[..], b"Expect"] {
        x.scratch.request_edits.remove(name);
    }
}

/// The page is asked for without the body. Where that was not read to its end, the connection ends after the answer.
fn leave_body(x: &mut Exchange<'_>) {
    x.framing.upgrade = false;
    x.framing.expect_continue = false;
    if matches!(x.framing.body, BodyLength::None | BodyLength::Length(0)) {
        return;
    }
    x.framing.body = BodyLength::None;
    if std::mem::take(&mut x.scratch.body_limits.held) {
        // It is no request that follows.
        drop(x.arena.split_off(x.head_len));
    }
    if matches!(x.beyond.take(), Some(None)) {
        return;
    }
    x.framing.keep_alive = false;
    if let Some(pages) = &mut x.scratch.pages {
        pages.unread = true;
    }
}

/// What becomes of the client's connection once the page was answered.
pub(crate) fn end(x: &Exchange<'_>, next: Next) -> Next {
    let pages = x.scratch.pages.as_ref();
    match next {
        Next::Close if pages.is_some_and(|pages| pages.unread) => Next::Linger,
        next => next,
    }
}
