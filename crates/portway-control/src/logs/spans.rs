//! Spans for an OpenTelemetry collector: OTLP over HTTP, as JSON (OTLP 1.3).
//!
//! A worker hands over a line for each sampled request: when it began, how long it took, whose step it is, and its record as the
//! access log would write it. A thread makes spans of them, by the semantic conventions of HTTP servers, and sends them. A collector that
//! cannot be reached, or says that it has too much to do, is asked again a few times, longer apart each time; spans that come meanwhile
//! wait, a bounded number, and are dropped beyond that. Those that wait go together, so that a collector that answers late is asked less
//! often. No worker ever waits.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use portway_model::diagnostic::Diagnostics;
use portway_model::jwt::UrlParts;
use portway_model::span::{Sources, Span};
use portway_model::traces::{PATH, Traces};
use rustls::ClientConfig;
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::certificates::{Caller, calling};
use crate::fetch::{Answer, Question};

/// Digits of the step that a span belongs to, at the beginning of a line; dashes where there is none.
const PARENT_DIGITS: usize = 16;
/// How long a collector has to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between the attempts to send the same spans.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Between two looks at whether there is still time for another attempt.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of lines that are sent at once: those of some 500 spans, as many as the SDKs of OpenTelemetry send.
pub(super) const TOGETHER_BYTES: usize = 256 * 1024;
/// Bytes of a collector's answer, which says little.
const MOST: usize = 64 * 1024;
/// The kind of a span of a server (`SPAN_KIND_SERVER`).
const SERVER: u8 = 2;
/// The status of a span that ended with an error (`STATUS_CODE_ERROR`).
const ERROR: u8 = 2;

/// Where spans are sent.
pub(super) struct Collector {
    traces: Traces,
    tls: Option<Arc<ClientConfig>>,
    resource: Value,
    runtime: Runtime,
    /// Nobody sends to it any more, and it did not take what was sent last: it is not asked again.
    is_given_up: bool,
}

impl Collector {
    /// `node`: what this machine is called.
    ///
    /// # Errors
    /// The authorities cannot be read, or the system gives no runtime.
    pub(super) fn new(traces: Traces, node: &str) -> io::Result<Self> {
        let tls = match UrlParts::of(&traces.url) {
            Some(url) if url.tls => Some(trusted(&traces)?),
            _ => None,
        };
        let attributes = [
            ("service.name", text(&traces.service)),
            ("service.version", text(env!("CARGO_PKG_VERSION"))),
            ("host.name", text(node)),
            ("process.pid", whole(std::process::id().into())),
        ];
        Ok(Self {
            resource: json!({ "attributes": listed(attributes) }),
            runtime: Builder::new_current_thread().enable_all().build()?,
            traces,
            tls,
            is_given_up: false,
        })
    }

    /// Sends the spans of these lines. `gives_up`, when it is told what is in the way, says that there is no time for another attempt.
    ///
    /// # Errors
    /// How many were lost, and why.
    pub(super) fn write(
        &mut self,
        lines: &[u8],
        gives_up: impl FnMut(&io::Error) -> bool,
    ) -> Result<(), (u64, io::Error)> {
        let lines = lines.split(|byte| *byte == b'\n');
        let spans: Vec<Value> = lines.filter_map(span).collect();
        let count = spans.len() as u64;
        if spans.is_empty() {
            return Ok(());
        }
        let scope = json!({ "name": "portway", "version": env!("CARGO_PKG_VERSION") });
        let body = json!({ "resourceSpans": [{
            "resource": self.resource,
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }]});
        match self.send(body.to_string().as_bytes(), gives_up) {
            Ok(None) => Ok(()),
            Ok(Some((rejected, why))) => Err((rejected.min(count), io::Error::other(why))),
            Err(error) => Err((count, error)),
        }
    }

    /// What the collector rejected of it, where it says so.
    fn send(
        &mut self,
        body: &[u8],
        mut gives_up: impl FnMut(&io::Error) -> bool,
    ) -> io::Result<Option<(u64, String)>> {
        let mut pauses = PAUSES.into_iter();
        loop {
            if self.is_given_up {
                return Err(io::Error::other("it did not take what was sent before"));
            }
            let (why, again) = match self.runtime.block_on(self.ask(body)) {
                Ok(answer) if matches!(answer.status, 200..=299) => {
                    return Ok(rejected(&answer.body));
                }
                // OTLP 1.3, section "Failures": others do not go away by being sent again.
                Ok(Answer { status, .. }) => {
                    let again = matches!(status, 429 | 502 | 503 | 504);
                    (format!("the answer was {status}"), again)
                }
                Err(why) => (why, true),
            };
            let error = io::Error::other(why);
            let Some(pause) = pauses.next().filter(|_| again) else {
                return Err(error);
            };
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if gives_up(&error) {
                    self.is_given_up = true;
                    return Err(error);
                }
                thread::sleep(LOOK);
            }
        }
    }

    async fn ask(&self, body: &[u8]) -> Result<Answer, String> {
        let mut url = UrlParts::of(&self.traces.url).ok_or("it is no URL")?;
        if url.target == "/" {
            url.target = PATH;
        }
        let own = self.traces.headers.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = [("Content-Type", "application/json")]
            .into_iter()
            .chain(own)
            .collect();
        let question = Question {
            url,
            tls: self.tls.as_ref(),
            method: "POST",
            headers: &headers,
            body,
            most: MOST,
            patience: PATIENCE,
        };
        question.ask().await
    }
}

/// How many spans a collector says that it did not take of what it took, and why (OTLP 1.3, section "Partial success"); `None`: it took
/// all.
fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    // A number of 64 bits is a text in the JSON of protocol buffers; some write it as a number all the same.
    let count = match partial.get("rejectedSpans")? {
        Value::String(text) => text.parse().ok()?,
        number => number.as_u64()?,
    };
    let why = partial.get("errorMessage").and_then(Value::as_str);
    let why = why.unwrap_or("it does not say why");
    (count > 0).then(|| (count, format!("it rejected {count} spans: {why}")))
}

/// What is spoken to a collector over TLS.
fn trusted(traces: &Traces) -> io::Result<Arc<ClientConfig>> {
    let mut found = Diagnostics::default();
    let own = [&traces.certificate, &traces.key].into_iter().flatten();
    let caller = Caller {
        ca: traces.ca.as_ref().map(Path::new),
        verify: traces.verify,
        own: &own.map(Path::new).collect::<Vec<_>>(),
    };
    calling(
        "the collector",
        &caller,
        (Span::NONE, &Sources::default()),
        &mut found,
    )
    .ok_or_else(|| {
        let why = found.iter().next().map(|one| one.message.clone());
        io::Error::other(why.unwrap_or_default())
    })
}

fn text(text: &str) -> Value {
    json!({ "stringValue": text })
}

/// Numbers of 64 bits are texts in the JSON of protocol buffers.
fn whole(number: u64) -> Value {
    json!({ "intValue": number.to_string() })
}

fn listed<'k>(attributes: impl IntoIterator<Item = (&'k str, Value)>) -> Vec<Value> {
    let attribute = |(key, value): (&str, Value)| json!({ "key": key, "value": value });
    attributes.into_iter().map(attribute).collect()
}

/// The span of a line; `None`: it is none.
fn span(line: &[u8]) -> Option<Value> {
    let (parent, rest) = line.split_at_checked(PARENT_DIGITS)?;
    let parent = std::str::from_utf8(parent).ok()?;
    let rest = std::str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    let mut parts = rest.splitn(3, ' ');
    let began: u64 = parts.next()?.parse().ok()?;
    let took: u64 = parts.next()?.parse().ok()?;
    let record: Map<String, Value> = serde_json::from_str(parts.next()?).ok()?;
    let said = |key: &str| record.get(key).and_then(Value::as_str);
    let status = record.get("status").and_then(Value::as_u64).unwrap_or(0);
    let fault = said("fault");
    let mut span = json!({
        "traceId": said("trace_id")?,
        "spanId": said("span_id")?,
        "flags": 1,
        "name": said("method").filter(|it| !it.is_empty()).unwrap_or("HTTP"),
        "kind": SERVER,
        "startTimeUnixNano": began.to_string(),
        "endTimeUnixNano": began.saturating_add(took).to_string(),
        "attributes": attributes(&record, status, fault),
    });
    let fields = span.as_object_mut()?;
    if !parent.starts_with('-') {
        fields.insert("parentSpanId".to_owned(), parent.into());
    }
    // A status below 500 is no error of a server's.
    if status == 0 || status >= 500 {
        let message = fault.unwrap_or_default();
        fields.insert(
            "status".to_owned(),
            json!({ "code": ERROR, "message": message }),
        );
    }
    Some(span)
}

/// By the semantic conventions of HTTP servers, and what only Portway knows under names of its own.
fn attributes(record: &Map<String, Value>, status: u64, fault: Option<&str>) -> Vec<Value> {
    let mut out: Vec<(&str, Value)> = Vec::new();
    let target = record.get("request_target").and_then(Value::as_str);
    if let Some(target) = target.filter(|target| !target.is_empty()) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        out.push(("url.path", text(path)));
        if !query.is_empty() {
            out.push(("url.query", text(query)));
        }
    }
    for (key, name) in [
        ("method", "http.request.method"),
        ("scheme", "url.scheme"),
        ("host", "server.address"),
        ("client", "client.address"),
        ("user_agent", "user_agent.original"),
        ("listener", "portway.listener"),
        ("target_group", "portway.target_group"),
        ("target", "portway.target"),
        ("target_address", "network.peer.address"),
    ] {
        let said = record.get(key).and_then(Value::as_str);
        out.extend(said.filter(|it| !it.is_empty()).map(|it| (name, text(it))));
    }
    if let Some(version) = record.get("version").and_then(Value::as_str) {
        let number = version.strip_prefix("HTTP/").unwrap_or(version);
        out.push(("network.protocol.version", text(number)));
    }
    for (key, name) in [
        ("client_port", "client.port"),
        ("local_port", "server.port"),
        ("body_bytes_in", "http.request.body.size"),
        ("body_bytes_out", "http.response.body.size"),
        ("attempts", "portway.attempts"),
    ] {
        let number = record.get(key).and_then(Value::as_u64);
        out.extend(number.map(|number| (name, whole(number))));
    }
    if status > 0 {
        out.push(("http.response.status_code", whole(status)));
    }
    match fault {
        Some(fault) => out.push(("error.type", text(fault))),
        None if status >= 500 => out.push(("error.type", text(&status.to_string()))),
        None => {}
    }
    listed(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"listener":"web","client":"127.0.0.1","client_port":5,"method":"GET","scheme":"http","host":"a.example","request_target":"/p?x=1","version":"HTTP/1.1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","status":503,"target_group":"app","fault":"no_healthy_target"}"#;

    fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s Value> {
        let attributes = span["attributes"].as_array().unwrap();
        attributes
            .iter()
            .find(|it| it["key"] == key)
            .map(|it| &it["value"])
    }

    #[test]
    fn what_a_collector_rejects() {
        for (answer, expected) in [
            ("", None),
            ("{}", None),
            (r#"{"partialSuccess":{}}"#, None),
            (
                r#"{"partialSuccess":{"rejectedSpans":"0","errorMessage":"be slower"}}"#,
                None,
            ),
            (
                r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#,
                Some((3, "too old")),
            ),
            (
                r#"{"partialSuccess":{"rejectedSpans":2}}"#,
                Some((2, "it does not say why")),
            ),
            (r#"{"partialSuccess":{"rejectedSpans":"x"}}"#, None),
        ] {
            let expected =
                expected.map(|(count, why)| (count, format!("it rejected {count} spans: {why}")));
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[test]
    fn spans_of_lines() {
        let line = format!("b7ad6b7169203331 1700000000123456789 1500 {RECORD}");
        let found = span(line.as_bytes()).unwrap();
        assert_eq!(found["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(found["spanId"], "00f067aa0ba902b7");
        assert_eq!(found["parentSpanId"], "b7ad6b7169203331");
        assert_eq!(found["startTimeUnixNano"], "1700000000123456789");
        assert_eq!(found["endTimeUnixNano"], "1700000000123458289");
        assert_eq!((&found["name"], &found["kind"]), (&json!("GET"), &json!(2)));
        assert_eq!(
            found["status"],
            json!({ "code": 2, "message": "no_healthy_target" })
        );
        let check = |key: &str, expected: Value| {
            assert_eq!(attribute(&found, key), Some(&expected), "{key}");
        };
        check("url.path", text("/p"));
        check("url.query", text("x=1"));
        check("server.address", text("a.example"));
        check("http.response.status_code", whole(503));
        check("network.protocol.version", text("1.1"));
        check("error.type", text("no_healthy_target"));
        let root = line.replace("b7ad6b7169203331", "----------------");
        let root = span(root.replace("503", "404").as_bytes()).unwrap();
        assert!(root.get("parentSpanId").is_none() && root.get("status").is_none());
        for none in [
            "",
            "x",
            "---------------- 1 2 {}",
            "---------------- 1 {}",
            "---------------- x 2 {}",
        ] {
            assert!(span(none.as_bytes()).is_none(), "{none}");
        }
    }
}
