//! A conversation with a target: connections, bytes that came, and what the latest HTTP response was.
//!
//! What came stays until something is sent: several expectations may be held against the same answer.

use std::io;

use portway_core::health::Failure;
use portway_core::http1::{
    HeadLimits, Method, Parsed, ResponseBody, ResponseHead, parse_response, response_framing,
};
use portway_model::check::CheckWord;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http::{MAX_BODY_BYTES, READ_BYTES, read_body};
use super::probe::{Stream, in_words};

/// A result that a check came to early.
pub(super) fn failed(word: CheckWord, code: Option<u16>, said: impl Into<Box<str>>) -> Failure {
    Failure::Step {
        word,
        code,
        said: said.into(),
    }
}

/// The parties of a conversation, and what was said.
pub(super) struct Talk {
    pub(super) stream: Box<dyn Stream>,
    pub(super) received: Vec<u8>,
    /// The target has ended its direction.
    pub(super) ended: bool,
    /// The method of the latest request, whose response is waited for.
    pub(super) asked: Option<Method>,
    response: Option<Response>,
}

/// An HTTP response.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// What was asked for of it.
    pub(super) body: Vec<u8>,
    /// How long the body is, until it is asked for.
    framing: Option<ResponseBody>,
}

impl Talk {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            received: Vec::new(),
            ended: false,
            asked: None,
            response: None,
        }
    }

    /// Sends bytes; what came before is forgotten.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.received.clear();
        self.response = None;
        self.stream
            .write_all(bytes)
            .await
            .map_err(|error| failed(CheckWord::SocketError, None, in_words(&error)))
    }

    /// Waits for more; false where nothing more comes.
    pub(super) async fn more(&mut self) -> Result<bool, Failure> {
        if self.ended || self.received.len() >= MAX_BODY_BYTES {
            self.ended = true;
            return Ok(false);
        }
        self.received.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.received).await {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            // A peer that resets or closes TLS without a word has said what it had to say.
            Err(error)
                if self.received.is_empty() && error.kind() != io::ErrorKind::UnexpectedEof =>
            {
                return Err(failed(CheckWord::SocketError, None, in_words(&error)));
            }
            Err(_) => self.ended = true,
        }
        Ok(!self.ended)
    }

    /// Waits until so many bytes are there; false where they do not come.
    pub(super) async fn at_least(&mut self, bytes: usize) -> Result<bool, Failure> {
        while self.received.len() < bytes {
            if !self.more().await? {
                return Ok(self.received.len() >= bytes);
            }
        }
        Ok(true)
    }

    /// The latest response, where one was looked at.
    pub(super) fn latest(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// The response to the latest request; with its body where that is looked at.
    pub(super) async fn response(&mut self, body: bool) -> Result<&Response, Failure> {
        let mut response = match self.response.take() {
            Some(response) => response,
            None => self.read_response().await?,
        };
        if let Some(framing) = response.framing.take_if(|_| body) {
            let arrived = std::mem::take(&mut self.received);
            let body = read_body(self.stream.as_mut(), arrived, framing, MAX_BODY_BYTES).await;
            response.body = body.unwrap_or_default();
        }
        Ok(self.response.insert(response))
    }

    async fn read_response(&mut self) -> Result<Response, Failure> {
        let (limits, mut head, mut scanned) = (HeadLimits::default(), ResponseHead::new(), 0);
        let head_len = loop {
            match parse_response(&self.received, scanned, &limits, &mut head) {
                Parsed::Complete { head_len } if head.is_interim() => {
                    self.received.drain(..head_len);
                    scanned = 0;
                }
                Parsed::Complete { head_len } => break head_len,
                Parsed::Refused(_) => return Err(failed(CheckWord::L7Response, None, "")),
                Parsed::Partial => {
                    scanned = self.received.len();
                    if !self.more().await? {
                        return Err(failed(CheckWord::L7Response, None, ""));
                    }
                }
            }
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = self.received.split(|byte| *byte == b'\n').next();
        let line = text(line.unwrap_or_default());
        let reason = line.trim_end().splitn(3, ' ').nth(2).unwrap_or_default();
        let fields = head.fields().as_slice().iter().map(|field| {
            let (name, value) = (
                field.name.of(&self.received),
                field.value.of(&self.received),
            );
            (text(name).to_ascii_lowercase(), value.to_vec())
        });
        let (status, fields) = (head.status(), fields.collect());
        let method = self.asked.unwrap_or(Method::Get);
        let framing = response_framing(&head, &self.received, method)
            .map(|framing| framing.body)
            .unwrap_or(ResponseBody::UntilClose);
        let reason = reason.to_owned();
        self.received.drain(..head_len);
        Ok(Response {
            status,
            reason,
            fields,
            body: Vec::new(),
            framing: Some(framing),
        })
    }
}
