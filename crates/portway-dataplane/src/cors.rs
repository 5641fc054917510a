//! Which pages of other origins may read (CORS, the Fetch standard), and what browsers are told for safety.
//!
//! A browser that asks first is answered here, and the target hears nothing of it. To any other request the response is told
//! who may read it, in place of what the target says of that: one of the two must have the say. It is no access control: a
//! request of a page that may not read goes on, and its answer is not shown to the page.

use crate::answers::Answer;
use crate::exchange::{Exchange, How};
use crate::policy::{Decision, Side};
use portway_core::evaluate::Facts;
use portway_core::http1::write_field;
use portway_model::cors::{ANY, Cors, SecurityHeaders};
use std::ops::ControlFlow;
use std::sync::Arc;

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";
const EXPOSE: &str = "Access-Control-Expose-Headers";
const ASKED_METHOD: &str = "Access-Control-Request-Method";
const ASKED_HEADERS: &str = "Access-Control-Request-Headers";
/// What a target says of it.
const OF_RESPONSES: [&str; 3] = [ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE];

/// What rules on a request give its response.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Cookies that it sets because a service that was asked about the request said so.
    pub(crate) cookies: Vec<Vec<u8>>,
    /// Who may read it.
    pub(crate) cors: Option<Arc<Cors>>,
}

/// The response is told who may read it; a browser that asks first is answered.
pub(crate) fn take_part(x: &mut Exchange<'_>, cors: &Arc<Cors>) -> Option<Decision> {
    let origin = header(x, "Origin");
    let asks = x.method() == Some(b"OPTIONS") && origin.is_some();
    match header(x, ASKED_METHOD).filter(|_| asks) {
        Some(method) => {
            let answer = preflight(x, cors, &origin.unwrap_or_default(), &method);
            Some(Decision::Answer(answer, How::Answer))
        }
        None => {
            x.scratch.given.get_or_insert_default().cors = Some(cors.clone());
            None
        }
    }
}

/// The value of a header of the request; `None` where it is not there once.
fn header(x: &Exchange<'_>, name: &str) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    x.header(name, &mut |value| {
        found.push(value.to_vec());
        ControlFlow::Continue(())
    });
    let value = found.pop();
    value.filter(|value| found.is_empty() && !value.is_empty())
}

fn preflight(x: &Exchange<'_>, cors: &Cors, origin: &[u8], method: &[u8]) -> Answer {
    let mut answer = Answer {
        status: 204,
        ..Answer::default()
    };
    let fields = &mut answer.fields;
    let depends = format!("Origin, {ASKED_METHOD}, {ASKED_HEADERS}");
    write_field(fields, b"Vary", depends.as_bytes());
    if !cors.allows(origin) {
        return answer;
    }
    write_field(fields, ALLOW_ORIGIN.as_bytes(), allowed(cors, origin));
    if cors.credentials {
        write_field(fields, ALLOW_CREDENTIALS.as_bytes(), b"true");
    }
    // With credentials a star is a name like any other: what is asked for is named in its place.
    let list = |known: &[String], asked: Option<&[u8]>| match known.iter().any(|it| it == ANY) {
        true if cors.credentials => asked.map(<[u8]>::to_vec),
        _ => (!known.is_empty()).then(|| known.join(", ").into_bytes()),
    };
    if let Some(methods) = list(&cors.methods, Some(method)) {
        write_field(fields, b"Access-Control-Allow-Methods", &methods);
    }
    if let Some(headers) = list(&cors.headers, header(x, ASKED_HEADERS).as_deref()) {
        write_field(fields, b"Access-Control-Allow-Headers", &headers);
    }
    if let Some(age) = cors.max_age {
        let age = age.as_secs().to_string();
        write_field(fields, b"Access-Control-Max-Age", age.as_bytes());
    }
    answer
}

/// Who may read, as it is said to a page of this origin.
fn allowed<'o>(cors: &Cors, origin: &'o [u8]) -> &'o [u8] {
    match cors.is_for_all() && !cors.credentials {
        true => ANY.as_bytes(),
        false => origin,
    }
}

/// What a response would say of who may read it, for people.
pub(crate) fn told(x: &Exchange<'_>, cors: &Cors) -> Option<Vec<u8>> {
    let origin = header(x, "Origin").filter(|origin| cors.allows(origin))?;
    Some(allowed(cors, &origin).to_vec())
}

/// Tells the response who may read it.
pub(crate) fn respond(x: &mut Exchange<'_>) {
    let given = x.scratch.given.as_ref();
    let Some(cors) = given.and_then(|given| given.cors.clone()) else {
        return;
    };
    let origin = header(x, "Origin");
    let varies = !cors.is_for_all() && !depends_on_origin(x);
    let edits = &mut x.scratch.response_edits;
    for name in OF_RESPONSES {
        edits.remove(name.as_bytes());
    }
    let mut say = |name: &str, value: &[u8]| {
        edits.add(name.as_bytes(), |out| out.extend_from_slice(value));
    };
    if varies {
        say("Vary", b"Origin");
    }
    let Some(origin) = origin.filter(|origin| cors.allows(origin)) else {
        return;
    };
    say(ALLOW_ORIGIN, allowed(&cors, &origin));
    if cors.credentials {
        say(ALLOW_CREDENTIALS, b"true");
    }
    if !cors.expose.is_empty() {
        say(EXPOSE, cors.expose.join(", ").as_bytes());
    }
}

/// The response says so itself.
fn depends_on_origin(x: &Exchange<'_>) -> bool {
    let mut said = false;
    x.response_header("Vary", &mut |value| {
        let mut names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        said |= names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"));
        ControlFlow::Continue(())
    });
    said
}

/// Tells browsers to be careful.
pub(crate) fn secure(x: &mut Exchange<'_>, headers: &SecurityHeaders, side: Side) {
    if side == Side::Request {
        return;
    }
    for (name, value) in headers.fields(x.tls().is_some()) {
        let mut there = false;
        x.response_header(name, &mut |_| {
            there = true;
            ControlFlow::Break(())
        });
        if there && !headers.replace {
            continue;
        }
        let edits = &mut x.scratch.response_edits;
        edits.remove(name.as_bytes());
        edits.add(name.as_bytes(), |out| {
            out.extend_from_slice(value.as_bytes())
        });
    }
}
