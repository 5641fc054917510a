//! Our reading of the messages in llhttp's test documents against the reading those documents state.
//!
//! The documents lie in `$PORTWAY_SAMPLES/samples/http1/`; where the variable is unset the test says so and passes. A block
//! `http` holds a message whose line ends stand for CRLF and whose `\r`, `\n`, `\t`, `\f` are the characters; the block `log`
//! after it tells what llhttp reported. Where we differ on purpose, [`DIFFERENCES`] says so and why.
#![cfg(test)]

use std::fmt;
use std::path::PathBuf;

use portway_core::http1::{
    BodyLength, ChunkedLimits, Decoder, HeadLimits, Method, Parsed, Refusal, RequestHead,
    ResponseBody, ResponseHead, parse_request, parse_response, request_framing, response_framing,
};

/// Where we read a message otherwise: document, heading, our reading, reason.
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    (
        "connection.md",
        "HTTP 304 with Content-Length",
        "refused: bad_status_line",
        "only a request may follow empty lines (RFC 9112 §2.2); before a response they are the remains of another message",
    ),
    (
        "connection.md",
        "HTTP 100 first, then 400",
        "refused: bad_status_line",
        "an empty line before a response, as above",
    ),
    (
        "sample.md",
        "Response starting with CRLF",
        "refused: bad_status_line",
        "an empty line before a response, as above",
    ),
    (
        "method.md",
        "CONNECT with body",
        "refused: body_on_connect",
        "CONNECT has no content (RFC 9110 §9.3.6): these bytes would be read as a body by one and as the tunnel by another",
    ),
    (
        "method.md",
        "M-SEARCH request",
        "refused: bad_target_form",
        "`*` goes with OPTIONS only (RFC 9112 §3.2.4)",
    ),
    (
        "method.md",
        "SOURCE request with ICE",
        "refused: bad_request_line",
        "not HTTP (RFC 9112 §2.3)",
    ),
    (
        "method.md",
        "OPTIONS request with RTSP",
        "refused: bad_request_line",
        "not HTTP (RFC 9112 §2.3)",
    ),
    (
        "method.md",
        "ANNOUNCE request with RTSP",
        "refused: bad_request_line",
        "not HTTP (RFC 9112 §2.3)",
    ),
    (
        "sample.md",
        "RTSP response",
        "refused: bad_status_line",
        "not HTTP (RFC 9112 §2.3)",
    ),
    (
        "sample.md",
        "ICE response",
        "refused: bad_status_line",
        "not HTTP (RFC 9112 §2.3)",
    ),
    (
        "sample.md",
        "HTTP version 0.9",
        "refused: unsupported_version",
        "HTTP/0.9 has no status line; a response that claims it was made by something else (RFC 9112 §2.3)",
    ),
    (
        "transfer-encoding.md",
        "`chunked` before other transfer-encoding",
        "refused: chunked_not_final",
        "a gateway cannot say where such a body ends but by close, and the next hop may read it otherwise (RFC 9112 §6.1, §11.2)",
    ),
    (
        "transfer-encoding.md",
        "multiple transfer-encoding where chunked is not the last one",
        "refused: chunked_not_final",
        "as above",
    ),
    (
        "transfer-encoding.md",
        "`chunkedchunked` transfer-encoding does not enable chunked enconding",
        "refused: chunked_not_final",
        "as above",
    ),
    (
        "uri.md",
        "Fragment in URI",
        "refused: bad_target",
        "a request target has no fragment (RFC 9112 §3.2.1)",
    ),
    (
        "uri.md",
        "`host:port` and basic auth",
        "refused: bad_host",
        "user information before a host serves to deceive and is an error (RFC 9110 §4.2.4)",
    ),
];

/// What a sequence of messages says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Reading {
    /// Body bytes of every message that began, and whether its end was seen.
    messages: Vec<(Vec<u8>, bool)>,
    /// The reason for refusing the rest; llhttp's reason is not compared.
    refused: Option<String>,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused {
            Some(reason) => write!(f, "refused: {reason}"),
            None => {
                let bodies: Vec<_> = self
                    .messages
                    .iter()
                    .map(|(body, complete)| {
                        format!("{}{}", body.len(), if *complete { "" } else { "…" })
                    })
                    .collect();
                write!(f, "accepted: {}", bodies.join(", "))
            }
        }
    }
}

impl Reading {
    /// Whether both accept the same messages or both refuse.
    fn agrees(&self, other: &Reading) -> bool {
        match (&self.refused, &other.refused) {
            (Some(_), Some(_)) => true,
            (None, None) => self.messages == other.messages,
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Sample {
    document: String,
    title: String,
    is_request: bool,
    /// The text after `request-` or `response-` in the type.
    mode: String,
    skip_body: bool,
    input: Vec<u8>,
    expected: Reading,
}

/// Where a message ends, and how the next one is to be read.
enum Next {
    At(usize),
    /// Nothing more: tunnel, close, or bytes are missing.
    Stop,
}

/// Reads all messages of the input as the data plane would.
fn read_all(sample: &Sample) -> Reading {
    let mut reading = Reading::default();
    let input = &sample.input;
    let mut at = 0;
    while at < input.len() {
        let step = if sample.is_request {
            read_request(input, at, &mut reading)
        } else {
            read_response(input, at, sample.skip_body, &mut reading)
        };
        match step {
            Ok(Next::At(next)) => at = next,
            Ok(Next::Stop) => break,
            Err(refusal) => {
                reading.refused = Some(refusal.code().to_owned());
                break;
            }
        }
    }
    reading
}

fn read_request(input: &[u8], at: usize, reading: &mut Reading) -> Result<Next, Refusal> {
    let mut head = RequestHead::new();
    // llhttp does not look at Host, so most of its HTTP/1.1 requests have none.
    let limits = HeadLimits {
        host_required: false,
        ..HeadLimits::default()
    };
    let parsed = parse_request(&input[at..], 0, &limits, &mut head);
    let head_len = match parsed {
        Parsed::Complete { head_len } => head_len,
        Parsed::Partial => return Ok(Next::Stop),
        Parsed::Refused(refusal) => return Err(refusal),
    };
    let framing = request_framing(&head, &input[at..])?;
    reading.messages.push((Vec::new(), false));
    if head.method() == Method::Connect {
        end_message(0, reading);
        return Ok(Next::Stop);
    }
    let body_at = at + head_len;
    let next = match framing.body {
        BodyLength::None => end_message(body_at, reading),
        BodyLength::Length(length) => read_length(input, body_at, length, reading),
        BodyLength::Chunked => read_chunked(input, body_at, reading)?,
    };
    Ok(if framing.keep_alive && !framing.upgrade {
        next
    } else {
        Next::Stop
    })
}

fn read_response(
    input: &[u8],
    at: usize,
    to_head: bool,
    reading: &mut Reading,
) -> Result<Next, Refusal> {
    let mut head = ResponseHead::new();
    let head_len = match parse_response(&input[at..], 0, &HeadLimits::default(), &mut head) {
        Parsed::Complete { head_len } => head_len,
        Parsed::Partial => return Ok(Next::Stop),
        Parsed::Refused(refusal) => return Err(refusal),
    };
    let method = if to_head { Method::Head } else { Method::Get };
    let framing = response_framing(&head, &input[at..], method)?;
    reading.messages.push((Vec::new(), false));
    if head.status() == 101 {
        end_message(0, reading);
        return Ok(Next::Stop);
    }
    let body_at = at + head_len;
    let next = match framing.body {
        ResponseBody::None => end_message(body_at, reading),
        ResponseBody::Length(length) => read_length(input, body_at, length, reading),
        ResponseBody::Chunked => read_chunked(input, body_at, reading)?,
        ResponseBody::UntilClose => {
            add_body(&input[body_at..], reading);
            Next::Stop
        }
    };
    Ok(if framing.keep_alive || head.is_interim() {
        next
    } else {
        Next::Stop
    })
}

fn add_body(bytes: &[u8], reading: &mut Reading) {
    reading
        .messages
        .last_mut()
        .unwrap()
        .0
        .extend_from_slice(bytes);
}

fn end_message(next: usize, reading: &mut Reading) -> Next {
    reading.messages.last_mut().unwrap().1 = true;
    Next::At(next)
}

fn read_length(input: &[u8], at: usize, length: u64, reading: &mut Reading) -> Next {
    let end = at + usize::try_from(length).unwrap();
    add_body(&input[at..end.min(input.len())], reading);
    if end <= input.len() {
        end_message(end, reading)
    } else {
        Next::Stop
    }
}

fn read_chunked(input: &[u8], at: usize, reading: &mut Reading) -> Result<Next, Refusal> {
    let mut buf = input[at..].to_vec();
    let decoded =
        Decoder::new().decode_in_place(&mut buf, &mut Vec::new(), &ChunkedLimits::default())?;
    add_body(&buf[decoded.data()], reading);
    Ok(if decoded.finished {
        end_message(at + decoded.consumed, reading)
    } else {
        Next::Stop
    })
}

/// The samples of one document.
fn samples_of(document: &str, text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let (mut title, mut meta) = (String::new(), String::new());
    let mut input = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            title = line.trim_start_matches('#').trim().to_owned();
        } else if let Some(found) = line.strip_prefix("<!-- meta=") {
            meta = found.trim_end_matches("-->").trim().to_owned();
        } else if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<_> = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .collect();
            match kind {
                "http" => input = Some(unescape(&block)),
                "log" => {
                    let input = input.take().expect("a log follows a message");
                    samples.push(sample(document, &title, &meta, input, &block));
                }
                other => panic!("{document}: unknown block {other}"),
            }
        }
    }
    samples
}

fn sample(document: &str, title: &str, meta: &str, input: Vec<u8>, log: &[&str]) -> Sample {
    let kind = meta.split('"').nth(3).expect("meta has a type");
    let (side, mode) = kind.split_once('-').unwrap_or((kind, ""));
    let expected = stated_reading(log, &input);
    Sample {
        document: document.to_owned(),
        title: title.to_owned(),
        is_request: side == "request",
        mode: mode.to_owned(),
        skip_body: meta.contains("\"skipBody\": true"),
        input,
        expected,
    }
}

/// A backslash at the end of a line joins it to the next; other line ends are CRLF; then the escapes are resolved.
fn unescape(lines: &[&str]) -> Vec<u8> {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let is_last = at + 1 == lines.len();
        match line.strip_suffix('\\') {
            Some(joined) if !is_last => text.push_str(joined),
            _ if is_last => text.push_str(line),
            _ => {
                text.push_str(line);
                text.push_str("\r\n");
            }
        }
    }
    let text = text.replace("\\r", "\r").replace("\\n", "\n");
    text.replace("\\t", "\t")
        .replace("\\f", "\u{c}")
        .into_bytes()
}

/// The reading that the log states: every body byte has its place in the input.
fn stated_reading(log: &[&str], input: &[u8]) -> Reading {
    /// `Pause on CONNECT/Upgrade`: the head was accepted, a tunnel follows.
    const UPGRADE: &str = "code=22";
    /// `Data after Connection: close`: the messages before were accepted.
    const DATA_AFTER_CLOSE: &str = "code=5";
    let mut reading = Reading::default();
    for line in log {
        let Some((off, event)) = line
            .strip_prefix("off=")
            .and_then(|line| line.split_once(' '))
        else {
            panic!("unknown line in a log: {line}");
        };
        if event.starts_with("headers complete") {
            reading.messages.push((Vec::new(), false));
        } else if event == "message complete" {
            reading.messages.last_mut().unwrap().1 = true;
        } else if event.contains(" span[body]=") {
            let off: usize = off.parse().unwrap();
            let len = event
                .strip_prefix("len=")
                .and_then(|event| event.split(' ').next());
            let len: usize = len.unwrap().parse().unwrap();
            add_body(&input[off..off + len], &mut reading);
        } else if let Some(error) = event.strip_prefix("error ") {
            let accepted = error
                .split(' ')
                .any(|word| word == UPGRADE || word == DATA_AFTER_CLOSE);
            if !accepted {
                reading.refused = Some(error.to_owned());
            }
        }
    }
    reading
}

fn all_samples() -> Option<Vec<Sample>> {
    let Some(root) = std::env::var_os("PORTWAY_SAMPLES") else {
        eprintln!("skipped: PORTWAY_SAMPLES is not set");
        return None;
    };
    // A relative path counts from the root of the checkout, wherever the test runs.
    let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = checkout.join(root).join("samples/http1");
    let mut documents: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    let samples: Vec<_> = documents
        .iter()
        .flat_map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            samples_of(&name, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(samples.len() >= 100, "only {} samples found", samples.len());
    Some(samples)
}

/// For a lenient mode the documents do not state the strict reading: it is a refusal, or an end after `Connection: close`.
fn agrees(sample: &Sample, found: &Reading) -> bool {
    match sample.mode.as_str() {
        "" | "finish" => found.agrees(&sample.expected),
        "lenient-keep-alive" | "lenient-data-after-close" => {
            found.refused.is_none() && found.messages.len() == 1 && found.messages[0].1
        }
        _ => found.refused.is_some(),
    }
}

#[test]
fn messages_are_read_as_the_documents_say() {
    let Some(samples) = all_samples() else {
        return;
    };
    let mut faults = Vec::new();
    let mut unused: Vec<_> = DIFFERENCES.iter().collect();
    for sample in &samples {
        let found = read_all(sample);
        let is_this =
            |row: &&(&str, &str, &str, &str)| row.0 == sample.document && row.1 == sample.title;
        let difference = DIFFERENCES.iter().find(is_this);
        unused.retain(|row| !is_this(row));
        let as_stated = difference.map_or_else(
            || agrees(sample, &found),
            |row| !agrees(sample, &found) && row.2 == found.to_string() && !row.3.is_empty(),
        );
        if !as_stated {
            faults.push(format!(
                "{}: {} ({})\n    {}\n    stated {}\n    found  {found}",
                sample.document,
                sample.title,
                sample.mode,
                sample.input.escape_ascii(),
                sample.expected,
            ));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        samples.len(),
        faults.join("\n")
    );
    assert!(
        unused.is_empty(),
        "differences without a sample: {unused:?}"
    );
}
