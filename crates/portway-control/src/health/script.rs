//! Scripted checks: steps of connecting, sending and expecting, judged and told as HAProxy does.

use std::fmt::Write;

use portway_core::evaluate::{Fetched, evaluate};
use portway_core::health::Failure;
use portway_core::http1::Method;
use portway_model::check::{
    CheckExpect, CheckRequest, CheckStep, CheckText, CheckWord, ComputedForm, Expectation,
};
use portway_model::expression::{NumberRange, TextMatch};
use portway_model::stage::Resolved;

use super::facts::{Known, Variables};
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
    let mut variables = Variables::default();
    let mut comment = None;
    for (step, number) in steps.iter().zip(1_usize..) {
        let told = said(place(step, number, comment));
        let of_timeout = match step {
            CheckStep::Expect(expect) => expect.words.timeout,
            _ => None,
        };
        attempt.is_at(of_timeout.unwrap_or(CheckWord::L7Timeout), told);
        if let CheckStep::Connect(connect) = step {
            drop(talk.take());
            talk = Some(attempt.connect(Some(connect)).await?);
            found = Found::new(attempt.reached(Some(connect)), None);
            found.said = said(PASSED.to_owned());
        }
        let before = std::mem::take(&mut comment);
        let known = Known {
            attempt,
            variables: &variables,
            response: talk.as_ref().and_then(Talk::latest),
        };
        match step {
            CheckStep::Comment(text) => {
                comment = Some(text.as_str());
                continue;
            }
            CheckStep::Set { variable, value } => {
                let value = known.value(value);
                variables.set(variable, value);
                continue;
            }
            CheckStep::Unset(variable) => {
                variables.set(variable, Fetched::Absent);
                continue;
            }
            _ => {}
        }
        let Some(talk) = talk.as_mut() else {
            continue;
        };
        match step {
            CheckStep::Connect(_)
            | CheckStep::Comment(_)
            | CheckStep::Set { .. }
            | CheckStep::Unset(_) => {}
            CheckStep::Send(_) | CheckStep::SendText { .. } => {
                let bytes = what_is_sent(step, &known_of(attempt, &variables, talk));
                talk.send(&bytes).await?;
                found = Found::new(CheckWord::L7Ok, None);
                found.said = said(PASSED.to_owned());
            }
            CheckStep::Request(request) => {
                talk.asked = Some(Method::of(request.method.as_bytes()));
                let state = attempt.state_text(request.send_state);
                let known = known_of(attempt, &variables, talk);
                let bytes = self::request(request, state, &known);
                talk.send(&bytes).await?;
            }
            CheckStep::Expect(expect) => {
                let comment = expect.comment.as_deref().or(before);
                let judge = Judge {
                    attempt,
                    variables: &variables,
                    expect,
                    number,
                    comment,
                };
                found = judge.judge(talk).await?;
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

fn known_of<'a>(attempt: &'a Attempt<'a>, variables: &'a Variables, talk: &'a Talk) -> Known<'a> {
    Known {
        attempt,
        variables,
        response: talk.latest(),
    }
}

fn what_is_sent(step: &CheckStep<Resolved>, known: &Known<'_>) -> Vec<u8> {
    match step {
        CheckStep::Send(bytes) => bytes.clone(),
        CheckStep::SendText { text, hex: false } => known.bytes(text),
        CheckStep::SendText { text, hex: true } => from_hexadecimal(&known.bytes(text)),
        _ => Vec::new(),
    }
}

/// The bytes that digits stand for, up to the first that is none.
fn from_hexadecimal(digits: &[u8]) -> Vec<u8> {
    let value = |digit: &u8| {
        char::from(*digit)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let pairs = digits.chunks_exact(2);
    let bytes = pairs.map_while(|pair| match pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    });
    bytes.collect()
}

/// A step in HAProxy's words.
fn place(step: &CheckStep<Resolved>, number: usize, before: Option<&str>) -> String {
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
        CheckStep::Send(_) | CheckStep::SendText { .. } => {
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
                Expectation::Computed { form, .. } => match form {
                    ComputedForm::Hex => write!(text, " (expect log-format binary)"),
                    _ => write!(text, " (expect log-format string)"),
                },
                _ => write!(text, " (expect regex)"),
            };
            expect.comment.as_deref()
        }
        _ => None,
    };
    if let Some(comment) = comment.or(before) {
        let _ = write!(text, " comment: '{comment}'");
    }
    text
}

/// The bytes of a request, in the order and the case in which HAProxy 2.6 sends them.
fn request(request: &CheckRequest<Resolved>, state: Option<String>, known: &Known<'_>) -> Vec<u8> {
    let headers = request.headers.iter();
    let headers: Vec<(String, String)> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), one_line(known.text(value))))
        .collect();
    let host = headers.iter().find(|(name, _)| name == "host");
    let mut target = one_line(known.text(&request.target)).replace(' ', "%20");
    if target.is_empty() {
        target.push('/');
    }
    if let (Some((scheme, rest)), Some((_, host))) = (target.split_once("://"), host) {
        // A request with both says the same host twice.
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("");
        target = format!("{scheme}://{host}{path}");
    }
    let mut text = format!("{} {target} {}\r\n", request.method, request.version);
    let mut add = |name: &str, value: &str| {
        let _ = write!(text, "{name}: {value}\r\n");
    };
    for (name, value) in &headers {
        add(name, value);
    }
    if let Some(state) = state {
        add("x-haproxy-server-state", &state);
    }
    let body = known.bytes(&request.body);
    if !body.is_empty() {
        add("content-length", &body.len().to_string());
    }
    let said = headers.iter().any(|(name, _)| name == "connection");
    if request.version == "HTTP/1.1" && !said {
        add("connection", "close");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend(body);
    bytes
}

/// A computed value ends no line.
fn one_line(text: String) -> String {
    match text.find(['\r', '\n', '\0']) {
        Some(at) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// One expectation of a check.
struct Judge<'a> {
    attempt: &'a Attempt<'a>,
    variables: &'a Variables,
    expect: &'a CheckExpect<Resolved>,
    number: usize,
    comment: Option<&'a str>,
}

impl Judge<'_> {
    async fn judge(&self, talk: &mut Talk) -> Result<Found, Failure> {
        let of_body = match &self.expect.that {
            Expectation::Bytes(_)
            | Expectation::Binary(_)
            | Expectation::Pattern(_)
            | Expectation::HexPattern(_)
            | Expectation::Computed {
                form: ComputedForm::Text | ComputedForm::Hex,
                ..
            } => return self.judge_bytes(talk).await,
            Expectation::Body(_)
            | Expectation::BodyPattern(_)
            | Expectation::Computed {
                form: ComputedForm::Body,
                ..
            } => true,
            Expectation::Status(_) | Expectation::StatusPattern(_) | Expectation::Header { .. } => {
                false
            }
        };
        let response = talk.response(of_body).await?;
        let of_status = matches!(
            self.expect.that,
            Expectation::Status(_) | Expectation::StatusPattern(_)
        );
        match self.judge_response(response, of_body) {
            Err(_) if self.attempt.leaves_on_404() && of_status && response.status == 404 => {
                Ok(Found::new(CheckWord::L7OkConditionally, Some(404)))
            }
            judged => judged,
        }
    }

    async fn judge_bytes(&self, talk: &mut Talk) -> Result<Found, Failure> {
        let (expect, number) = (self.expect, self.number);
        let least = expect.min_bytes.map(|bytes| bytes as usize);
        talk.at_least(least.unwrap_or(1)).await?;
        if talk.received.is_empty() {
            let mut said = format!("TCPCHK got an empty response at step {number}");
            if let Some(comment) = self.comment {
                let _ = write!(said, " comment: '{comment}'");
            }
            let word = expect.words.error.unwrap_or(CheckWord::L7Response);
            return Err(failed(word, self.code(None, None), said));
        }
        let computed = match &expect.that {
            Expectation::Computed { text, form } => {
                let text = self.known(None).bytes(text);
                match form {
                    ComputedForm::Hex => from_hexadecimal(&text),
                    _ => text,
                }
            }
            _ => Vec::new(),
        };
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
                Expectation::Computed { form, .. } => {
                    let what = match form {
                        ComputedForm::Hex => "(log-format binary)",
                        _ => "(log-format string)",
                    };
                    (contains(&talk.received, &computed), what.to_owned())
                }
                Expectation::Pattern(pattern) => {
                    let holds = pattern.is_match(&talk.received);
                    (holds, "(regex)".to_owned())
                }
                Expectation::HexPattern(pattern) => {
                    let digits = hexadecimal(&talk.received);
                    let holds = pattern.is_match(digits.as_bytes());
                    (holds, "(binary regex)".to_owned())
                }
                _ => (!expect.negated, String::new()),
            };
            // Without a minimum, what does not hold yet may hold with the next bytes.
            if !holds && least.is_none() && talk.more().await? {
                continue;
            }
            if holds != expect.negated {
                return Ok(self.passed(None, PASSED));
            }
            let found = match holds {
                true => "matched unwanted content",
                false => "did not match content",
            };
            let usual = || format!("TCPCHK {found} {what} at step {number}");
            let word = expect.words.error.unwrap_or(CheckWord::L7Response);
            return Err(failed(
                word,
                self.code(None, None),
                self.complaint(None, usual),
            ));
        }
    }

    fn judge_response(&self, response: &Response, of_body: bool) -> Result<Found, Failure> {
        let expect = self.expect;
        let known = self.known(Some(response));
        let holds = match &expect.that {
            Expectation::Status(ranges) => ranges.iter().any(|range| has(range, response.status)),
            Expectation::StatusPattern(pattern) => {
                let text = response.status.to_string();
                pattern.is_match(text.as_bytes())
            }
            Expectation::Body(bytes) => contains(&response.body, bytes),
            Expectation::BodyPattern(pattern) => pattern.is_match(&response.body),
            Expectation::Computed { text, .. } => contains(&response.body, &known.bytes(text)),
            Expectation::Header { name, value, whole } => {
                has_header(response, name, value.as_ref(), *whole, &known)
            }
            // The others look at bytes.
            _ => true,
        };
        if holds != expect.negated {
            return Ok(self.passed(Some(response), ""));
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
        let code = self.code(Some(response), Some(response.status));
        Err(failed(word, code, self.complaint(Some(response), usual)))
    }

    fn known<'a>(&'a self, response: Option<&'a Response>) -> Known<'a> {
        Known {
            attempt: self.attempt,
            variables: self.variables,
            response,
        }
    }

    /// The number of the report.
    fn code(&self, response: Option<&Response>, usual: Option<u16>) -> Option<u16> {
        let Some(code) = &self.expect.code else {
            return usual;
        };
        let known = self.known(response);
        let number = match evaluate(code, &known) {
            Fetched::Number(number) => Some(number),
            other => {
                let mut text = Vec::new();
                other.write(&mut text);
                std::str::from_utf8(&text)
                    .ok()
                    .and_then(|text| text.parse().ok())
            }
        };
        number
            .and_then(|number| u16::try_from(number).ok())
            .or(usual)
    }

    /// What is said of a failure: the step's own text or the usual one, and its comment.
    fn complaint(&self, response: Option<&Response>, usual: impl FnOnce() -> String) -> String {
        let mut said = match &self.expect.on_error {
            Some(text) => self.known(response).text(text),
            None => usual(),
        };
        if let Some(comment) = self.comment {
            // Writing to a string cannot fail.
            let _ = write!(said, " comment: {comment}");
        }
        said
    }

    fn passed(&self, response: Option<&Response>, usual: &str) -> Found {
        let said = match &self.expect.on_success {
            Some(text) => self.known(response).text(text),
            None => usual.to_owned(),
        };
        Found {
            word: self.expect.words.ok.unwrap_or(CheckWord::L7Ok),
            code: self.code(response, response.map(|it| it.status)),
            said,
        }
    }
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
    known: &Known<'_>,
) -> bool {
    let named = response
        .fields
        .iter()
        .filter(|(found, _)| fits(name, found.as_bytes(), true, known));
    let Some(value) = value else {
        return named.count() > 0;
    };
    let mut named = named;
    named.any(|(_, text)| match whole {
        true => fits(value, text.trim_ascii(), false, known),
        false => text
            .split(|byte| *byte == b',')
            .any(|part| fits(value, part.trim_ascii(), false, known)),
    })
}

/// Whether a text is as it shall be. Names of headers are in lower case.
fn fits(wanted: &CheckText<Resolved>, text: &[u8], lower: bool, known: &Known<'_>) -> bool {
    let (how, mut wanted) = match wanted {
        CheckText::Pattern(pattern) => return pattern.is_match(text),
        CheckText::Text { how, text } => (*how, known.bytes(text)),
    };
    if lower {
        wanted.make_ascii_lowercase();
    }
    let wanted = wanted.as_slice();
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
