//! Scripted checks: steps of connecting, sending and expecting, judged and told as HAProxy does.

use std::fmt::Write;

use portway_core::health::Failure;
use portway_core::http1::Method;
use portway_model::check::{
    CheckConnect, CheckExpect, CheckRequest, CheckStep, CheckText, CheckWord, Expectation,
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
}

/// Goes through the steps; the first is a connection, where they do not begin with one.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    steps: &[CheckStep<Resolved>],
) -> Result<Found, Failure> {
    let mut talk = match steps.first() {
        Some(CheckStep::Connect(_)) => None,
        _ => Some(attempt.connect(None).await?),
    };
    let mut found = attempt.connected();
    let is_http = steps
        .iter()
        .any(|step| matches!(step, CheckStep::Request(_) | CheckStep::Http(_)));
    for (step, number) in steps.iter().zip(1_usize..) {
        attempt.is_at(told(step, number, is_http));
        if let CheckStep::Connect(connect) = step {
            drop(talk.take());
            talk = Some(
                attempt
                    .connect(Some(connect))
                    .await
                    .map_err(|failure| at_step(failure, connect, number))?,
            );
            continue;
        }
        let Some(talk) = talk.as_mut() else {
            break;
        };
        match step {
            CheckStep::Connect(_) => {}
            CheckStep::Send(bytes) => talk.send(bytes).await?,
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
                http::check(talk.stream.as_mut(), check, &host).await?;
                let word = CheckWord::L7Ok;
                found = Found { word, code: None };
            }
        }
    }
    Ok(found)
}

/// What stands behind a timeout in a step, in HAProxy's words; nothing in checks of HTTP.
fn told(step: &CheckStep<Resolved>, number: usize, is_http: bool) -> String {
    let CheckStep::Expect(expect) = step else {
        return String::new();
    };
    if is_http {
        return String::new();
    }
    let what = match &expect.that {
        Expectation::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("expect string '{text}'"),
            Err(_) => "expect binary".to_owned(),
        },
        Expectation::HexPattern(_) => "expect binary regex".to_owned(),
        _ => "expect regex".to_owned(),
    };
    let mut text = format!(" at step {number} of tcp-check ({what})");
    add_comment(&mut text, expect.comment.as_deref());
    text
}

fn add_comment(text: &mut String, comment: Option<&str>) {
    if let Some(comment) = comment {
        // Writing to a string cannot fail.
        let _ = write!(text, " comment: '{comment}'");
    }
}

/// A connection of a step that failed, with the step in HAProxy's words.
fn at_step(failure: Failure, connect: &CheckConnect, number: usize) -> Failure {
    let what = match connect.port {
        Some(port) => format!("connect port {port}"),
        None => "connect".to_owned(),
    };
    let mut place = format!(" at step {number} of tcp-check ({what})");
    add_comment(&mut place, connect.comment.as_deref());
    match failure {
        Failure::Step { word, code, said } => failed(word, code, format!("{said}{place}")),
        Failure::ConnectionRefused => failed(
            CheckWord::L4Connection,
            None,
            format!("Connection refused{place}"),
        ),
        other => other,
    }
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
        Expectation::Bytes(_) | Expectation::Pattern(_) | Expectation::HexPattern(_) => {
            judge_bytes(talk, expect, number).await
        }
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
                Err(_) if leaves && of_status && response.status == 404 => Ok(Found {
                    word: CheckWord::L7OkConditionally,
                    code: Some(404),
                }),
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
    loop {
        let (holds, pattern) = match &expect.that {
            Expectation::Bytes(bytes) => {
                let holds = contains(&talk.received, bytes);
                (holds, String::from_utf8_lossy(bytes).into_owned())
            }
            Expectation::Pattern(pattern) => {
                let holds = pattern.regex().is_match(&talk.received);
                (holds, pattern.as_str().to_owned())
            }
            Expectation::HexPattern(pattern) => {
                let digits = hexadecimal(&talk.received);
                let holds = pattern.regex().is_match(digits.as_bytes());
                (holds, pattern.as_str().to_owned())
            }
            _ => return Ok(passed(expect, None)),
        };
        // Without a minimum, what does not hold yet may hold with the next bytes.
        if !holds && least.is_none() && talk.more().await? {
            continue;
        }
        if holds != expect.negated {
            return Ok(passed(expect, Some(0)));
        }
        let said = match (&expect.on_error, holds) {
            (Some(text), _) => text.clone(),
            (None, true) => format!("TCPCHK matched unwanted content '{pattern}' at step {number}"),
            (None, false) => format!("TCPCHK did not match content '{pattern}' at step {number}"),
        };
        let mut said = said;
        add_comment(&mut said, expect.comment.as_deref());
        let word = expect.words.error.unwrap_or(CheckWord::L7Response);
        return Err(failed(word, None, said));
    }
}

fn judge_response(response: &Response, expect: &CheckExpect<Resolved>) -> Result<Found, Failure> {
    let (holds, of_status) = match &expect.that {
        Expectation::Status(ranges) => {
            let holds = ranges.iter().any(|range| has(range, response.status));
            (holds, true)
        }
        Expectation::StatusPattern(pattern) => {
            let text = response.status.to_string();
            (pattern.regex().is_match(text.as_bytes()), true)
        }
        Expectation::Body(bytes) => (contains(&response.body, bytes), false),
        Expectation::BodyPattern(pattern) => (pattern.regex().is_match(&response.body), false),
        Expectation::Header { name, value, whole } => {
            (has_header(response, name, value.as_ref(), *whole), false)
        }
        // The others look at bytes.
        _ => (true, false),
    };
    if holds != expect.negated {
        return Ok(passed(expect, Some(response.status)));
    }
    let is_header = matches!(expect.that, Expectation::Header { .. });
    let said = match (&expect.on_error, of_status, is_header, holds) {
        (Some(text), _, _, _) => text.clone(),
        (None, true, _, _) => response.reason.clone(),
        (None, _, true, true) => "HTTP check matched unwanted header pattern".to_owned(),
        (None, _, true, false) => "HTTP header check did not match".to_owned(),
        (None, _, _, true) => "HTTP check matched unwanted content".to_owned(),
        (None, _, _, false) => "HTTP content check did not match".to_owned(),
    };
    let default = match of_status {
        true => CheckWord::L7Status,
        false => CheckWord::L7Response,
    };
    let word = expect.words.error.unwrap_or(default);
    let code = (word == CheckWord::L7Status).then_some(response.status);
    Err(failed(word, code, said))
}

fn passed(expect: &CheckExpect<Resolved>, code: Option<u16>) -> Found {
    let word = expect.words.ok.unwrap_or(CheckWord::L7Ok);
    Found { word, code }
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
