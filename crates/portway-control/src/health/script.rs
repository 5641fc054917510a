//! Scripted checks: steps of connecting, sending and expecting, judged and told as HAProxy does.

use std::fmt::Write;

use portway_core::health::Failure;
use portway_core::http1::Method;
use portway_model::check::{
    CheckExpect, CheckRequest, CheckStep, CheckText, CheckWord, Expectation,
};
use portway_model::expression::{NumberRange, TextMatch};
use portway_model::stage::Resolved;

use super::http;
use super::probe::Attempt;
use super::talk::{Response, Talk, failed};

/// What a check that passed has found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) word: CheckWord,
    pub(super) code: Option<u16>,
    /// What there is to say of it; perhaps nothing.
    pub(super) said: String,
}

impl Found {
    /// With nothing to say.
    pub(super) fn new(word: CheckWord, code: Option<u16>) -> Self {
        let said = String::new();
        Self { word, code, said }
    }
}

/// What HAProxy says of its scripts where there is nothing else to say.
const PASSED: &str = "(tcp-check)";

/// Goes through the steps; the first is a connection, where they do not begin with one.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    steps: &[CheckStep<Resolved>],
) -> Result<Found, Failure> {
    let is_http = steps
        .iter()
        .any(|step| matches!(step, CheckStep::Request(_) | CheckStep::Http(_)));
    let said = |text: String| if is_http { String::new() } else { text };
    let mut talk = match steps.first() {
        Some(CheckStep::Connect(_)) => None,
        _ => {
            let place = said(" at initial connection step of tcp-check".to_owned());
            attempt.is_at(CheckWord::L4Timeout, place);
            Some(attempt.connect(None).await?)
        }
    };
    let mut found = attempt.connected();
    for (step, number) in steps.iter().zip(1_usize..) {
        let of_timeout = match step {
            CheckStep::Expect(expect) => expect.words.timeout,
            _ => None,
        };
        let word = of_timeout.unwrap_or(CheckWord::L7Timeout);
        attempt.is_at(word, said(place(step, number)));
        if let CheckStep::Connect(connect) = step {
            drop(talk.take());
            talk = Some(attempt.connect(Some(connect)).await?);
            found = Found::new(attempt.reached(Some(connect)), None);
            found.said = said(PASSED.to_owned());
            continue;
        }
        let Some(talk) = talk.as_mut() else {
            break;
        };
        match step {
            CheckStep::Connect(_) => {}
            CheckStep::Send(bytes) => {
                talk.send(bytes).await?;
                found = Found::new(CheckWord::L7Ok, None);
                found.said = said(PASSED.to_owned());
            }
            CheckStep::Request(request) => {
                talk.asked = Some(Method::of(request.method.as_bytes()));
                let bytes = self::request(request, attempt.state_text(request.send_state));
                talk.send(&bytes).await?;
            }
            CheckStep::Expect(expect) => {
                found = judge(talk, expect, number, attempt.leaves_on_404()).await?
            }
            CheckStep::Http(check) => {
                let host = attempt.host(check);
                let status = http::check(talk.stream.as_mut(), check, &host).await?;
                found = Found::new(CheckWord::L7Ok, Some(status));
            }
        }
    }
    Ok(found)
}

/// A step in HAProxy's words.
fn place(step: &CheckStep<Resolved>, number: usize) -> String {
    let mut text = format!(" at step {number} of tcp-check");
    // Writing to a string cannot fail.
    let comment = match step {
        CheckStep::Connect(connect) => {
            let _ = match connect.port {
                Some(port) => write!(text, " (connect port {port})"),
                None => write!(text, " (connect)"),
            };
            connect.comment.as_deref()
        }
        CheckStep::Send(_) => {
            text.push_str(" (send)");
            None
        }
        CheckStep::Expect(expect) => {
            let _ = match &expect.that {
                Expectation::Bytes(bytes) => write!(text, " (expect string '{bytes}')"),
                Expectation::Binary(bytes) => {
                    let bytes = String::from_utf8_lossy(bytes);
                    write!(text, " (expect binary '{bytes}')")
                }
                Expectation::HexPattern(_) => write!(text, " (expect binary regex)"),
                _ => write!(text, " (expect regex)"),
            };
            expect.comment.as_deref()
        }
        CheckStep::Request(_) | CheckStep::Http(_) => None,
    };
    if let Some(comment) = comment {
        let _ = write!(text, " comment: '{comment}'");
    }
    text
}

/// The bytes of a request, in the order and the case in which HAProxy 2.6 sends them.
pub(super) fn request(request: &CheckRequest, state: Option<String>) -> Vec<u8> {
    let CheckRequest {
        method,
        target,
        version,
        headers,
        body,
        ..
    } = request;
    let mut text = format!("{method} {target} {version}\r\n");
    let mut add = |name: &str, value: &str| {
        let _ = write!(text, "{}: {value}\r\n", name.to_ascii_lowercase());
    };
    for (name, value) in headers {
        add(name, value);
    }
    if let Some(state) = state {
        add("x-haproxy-server-state", &state);
    }
    if !body.is_empty() {
        add("content-length", &body.len().to_string());
    }
    if version == "HTTP/1.1" {
        add("connection", "close");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

async fn judge(
    talk: &mut Talk,
    expect: &CheckExpect<Resolved>,
    number: usize,
    leaves: bool,
) -> Result<Found, Failure> {
    match &expect.that {
        Expectation::Bytes(_)
        | Expectation::Binary(_)
        | Expectation::Pattern(_)
        | Expectation::HexPattern(_) => judge_bytes(talk, expect, number).await,
        _ => {
            let body = matches!(
                expect.that,
                Expectation::Body(_) | Expectation::BodyPattern(_)
            );
            let response = talk.response(body).await?;
            let of_status = matches!(
                expect.that,
                Expectation::Status(_) | Expectation::StatusPattern(_)
            );
            match judge_response(response, expect) {
                Err(_) if leaves && of_status && response.status == 404 => {
                    Ok(Found::new(CheckWord::L7OkConditionally, Some(404)))
                }
                judged => judged,
            }
        }
    }
}

async fn judge_bytes(
    talk: &mut Talk,
    expect: &CheckExpect<Resolved>,
    number: usize,
) -> Result<Found, Failure> {
    let least = expect.min_bytes.map(|bytes| bytes as usize);
    talk.at_least(least.unwrap_or(1)).await?;
    if talk.received.is_empty() {
        let mut said = format!("TCPCHK got an empty response at step {number}");
        if let Some(comment) = &expect.comment {
            let _ = write!(said, " comment: '{comment}'");
        }
        let word = expect.words.error.unwrap_or(CheckWord::L7Response);
        return Err(failed(word, None, said));
    }
    loop {
        let (holds, what) = match &expect.that {
            Expectation::Bytes(text) => {
                let holds = contains(&talk.received, text.as_bytes());
                (holds, format!("'{text}'"))
            }
            Expectation::Binary(bytes) => {
                let holds = contains(&talk.received, bytes);
                (holds, "(binary)".to_owned())
            }
            Expectation::Pattern(pattern) => {
                let holds = pattern.regex().is_match(&talk.received);
                (holds, "(regex)".to_owned())
            }
            Expectation::HexPattern(pattern) => {
                let digits = hexadecimal(&talk.received);
                let holds = pattern.regex().is_match(digits.as_bytes());
                (holds, "(binary regex)".to_owned())
            }
            _ => return Ok(passed(expect, None, PASSED)),
        };
        // Without a minimum, what does not hold yet may hold with the next bytes.
        if !holds && least.is_none() && talk.more().await? {
            continue;
        }
        if holds != expect.negated {
            return Ok(passed(expect, None, PASSED));
        }
        let found = match holds {
            true => "matched unwanted content",
            false => "did not match content",
        };
        let usual = || format!("TCPCHK {found} {what} at step {number}");
        let word = expect.words.error.unwrap_or(CheckWord::L7Response);
        return Err(failed(word, None, complaint(expect, usual)));
    }
}

fn judge_response(response: &Response, expect: &CheckExpect<Resolved>) -> Result<Found, Failure> {
    let (holds, of_body) = match &expect.that {
        Expectation::Status(ranges) => {
            let holds = ranges.iter().any(|range| has(range, response.status));
            (holds, false)
        }
        Expectation::StatusPattern(pattern) => {
            let text = response.status.to_string();
            (pattern.regex().is_match(text.as_bytes()), false)
        }
        Expectation::Body(bytes) => (contains(&response.body, bytes), true),
        Expectation::BodyPattern(pattern) => (pattern.regex().is_match(&response.body), true),
        Expectation::Header { name, value, whole } => {
            (has_header(response, name, value.as_ref(), *whole), false)
        }
        // The others look at bytes.
        _ => (true, false),
    };
    if holds != expect.negated {
        return Ok(passed(expect, Some(response.status), ""));
    }
    let usual = || match (of_body, holds) {
        (false, _) => response.reason.clone(),
        (true, true) => "HTTP check matched unwanted content".to_owned(),
        (true, false) => "HTTP content check did not match".to_owned(),
    };
    let default = match of_body {
        true => CheckWord::L7Response,
        false => CheckWord::L7Status,
    };
    let word = expect.words.error.unwrap_or(default);
    Err(failed(
        word,
        Some(response.status),
        complaint(expect, usual),
    ))
}

/// What is said of a failed step: its own text or the usual one, and its comment.
fn complaint(expect: &CheckExpect<Resolved>, usual: impl FnOnce() -> String) -> String {
    let mut said = expect.on_error.clone().unwrap_or_else(usual);
    if let Some(comment) = &expect.comment {
        // Writing to a string cannot fail.
        let _ = write!(said, " comment: {comment}");
    }
    said
}

fn passed(expect: &CheckExpect<Resolved>, code: Option<u16>, usual: &str) -> Found {
    let word = expect.words.ok.unwrap_or(CheckWord::L7Ok);
    let said = expect.on_success.clone();
    let said = said.unwrap_or_else(|| usual.to_owned());
    Found { word, code, said }
}

fn has(range: &NumberRange, status: u16) -> bool {
    (range.min..=range.max).contains(&i64::from(status))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn has_header(
    response: &Response,
    name: &CheckText<Resolved>,
    value: Option<&CheckText<Resolved>>,
    whole: bool,
) -> bool {
    let named = response
        .fields
        .iter()
        .filter(|(found, _)| fits(name, found.as_bytes(), true));
    let Some(value) = value else {
        return named.count() > 0;
    };
    let mut named = named;
    named.any(|(_, text)| match whole {
        true => fits(value, text.trim_ascii(), false),
        false => text
            .split(|byte| *byte == b',')
            .any(|part| fits(value, part.trim_ascii(), false)),
    })
}

/// Whether a text is as it shall be. Names of headers are in lower case.
fn fits(wanted: &CheckText<Resolved>, text: &[u8], lower: bool) -> bool {
    let (how, wanted) = match wanted {
        CheckText::Pattern(pattern) => return pattern.regex().is_match(text),
        CheckText::Text { how, text } if lower => (*how, text.to_ascii_lowercase()),
        CheckText::Text { how, text } => (*how, text.clone()),
    };
    let wanted = wanted.as_bytes();
    match how {
        TextMatch::Exact => text == wanted,
        TextMatch::Prefix => text.starts_with(wanted),
        TextMatch::Suffix => text.ends_with(wanted),
        TextMatch::Contains => contains(text, wanted),
        TextMatch::Segment => text.split(|byte| *byte == b'/').any(|part| part == wanted),
        TextMatch::Label => text.split(|byte| *byte == b'.').any(|part| part == wanted),
        TextMatch::Glob => glob(wanted, text),
    }
}

/// `*` stands for any run, `?` for one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(_, text)| glob(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => glob(rest, text),
        (Some((wanted, rest)), Some((found, text))) => wanted == found && glob(rest, text),
        _ => false,
    }
}
