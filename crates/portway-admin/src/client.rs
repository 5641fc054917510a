//! Asks the admin address of a running Portway: one plain request on a connection of its own.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portway_control::upgrade::READY_WITHIN;
use portway_core::http1::{HeadLimits, Known, Parsed, ResponseHead, parse_response};
use serde::de::DeserializeOwned;

use crate::drain::{Answer, Order};
use crate::explanation::{Explanation, Question, Refusal};
use crate::generations::{History, Shown};
use crate::{CERTIFICATES, COMMAND, json};

/// Time to connect, and for each silence of the other side.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time for what reads a configuration: names may have to be resolved, and large files read.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for what puts one to work: an upgrade may be under way, which is waited for.
const CHANGE_TIMEOUT: Duration = RELOAD_TIMEOUT.saturating_add(READY_WITHIN);
/// Another process has taken over: time for it to be the one that answers.
const MOVES: Duration = Duration::from_millis(50);
/// How often it is asked then.
const MOST_MOVES: usize = 100;
/// Time for an upgrade beside that which the new process has: its live state may be large.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer. The status of 50,000 targets has some 20 MB.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// Nothing listens there.
    NobodyThere(SocketAddr),
    /// The connection failed.
    Connection(SocketAddr, io::Error),
    /// The connection was closed before an answer came.
    Ended(SocketAddr),
    /// Something answers, with this status, that is not what was asked for.
    Refused(SocketAddr, u16),
    /// Something answers that is no admin address of Portway.
    NotPortway(SocketAddr),
    /// It does not do what is asked, for this reason.
    Not(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyThere(address) => write!(
                f,
                "nothing answers at {address}: is Portway running? If its admin address is another one, name it with --admin"
            ),
            Self::Connection(address, error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => write!(
                    f,
                    "no answer from {address} in time; what was asked for may be done later"
                ),
                _ => write!(f, "no answer from {address}: {error}"),
            },
            Self::Ended(address) => write!(
                f,
                "{address} closed the connection without an answer: Portway is stopping, or has stopped"
            ),
            Self::Refused(address, 503) => write!(f, "Portway at {address} is still starting"),
            Self::Refused(address, status) => {
                write!(
                    f,
                    "{address} answers with {status}: is it the admin address of Portway?"
                )
            }
            Self::Not(reason) => f.write_str(reason),
            Self::NotPortway(address) => {
                write!(
                    f,
                    "what answers at {address} is not the admin address of Portway"
                )
            }
        }
    }
}

impl std::error::Error for AskError {}

/// The status of the Portway whose admin address this is.
///
/// # Errors
/// See [`AskError`].
pub fn status(address: SocketAddr) -> Result<json::Status, AskError> {
    ask(address, "GET /status", TIMEOUT)
}

/// The metrics of the Portway whose admin address this is, in Prometheus' text format.
///
/// # Errors
/// See [`AskError`].
pub fn metrics(address: SocketAddr) -> Result<String, AskError> {
    let (status, text) = answer(address, "GET /metrics", &[], TIMEOUT)?;
    match (status, String::from_utf8(text)) {
        (200, Ok(text)) => Ok(text),
        _ => Err(AskError::NotPortway(address)),
    }
}

/// The last good configurations of the Portway whose admin address this is.
///
/// # Errors
/// See [`AskError`].
pub fn history(address: SocketAddr) -> Result<History, AskError> {
    ask(address, "GET /history", TIMEOUT)
}

/// What one of them has changed.
///
/// # Errors
/// See [`AskError`].
pub fn generation(address: SocketAddr, number: u64) -> Result<Shown, AskError> {
    let what = format!("GET /history/{number}");
    let (status, answer) = answer(address, &what, &[], RELOAD_TIMEOUT)?;
    granted(address, status == 200, &answer)
}

/// Has one of them put to work again.
///
/// # Errors
/// See [`AskError`].
pub fn roll_back(address: SocketAddr, number: u64) -> Result<json::Reload, AskError> {
    let what = format!("POST /rollback/{number}");
    let (status, answer) = change(address, &what, &[])?;
    granted(address, status != 404, &answer)
}

/// What was asked for, or why it is not given.
fn granted<T: DeserializeOwned>(
    address: SocketAddr,
    is_granted: bool,
    answer: &[u8],
) -> Result<T, AskError> {
    match is_granted {
        true => read(address, answer),
        false => {
            let refusal: Refusal = read(address, answer)?;
            Err(AskError::Not(refusal.error))
        }
    }
}

/// What a reload would change of the Portway whose admin address this is: by its own files, or by this native file.
///
/// # Errors
/// See [`AskError`].
pub fn plan(address: SocketAddr, text: Option<&str>) -> Result<json::Planned, AskError> {
    let (what, body) = match text {
        None => ("GET /plan", ""),
        Some(text) => ("POST /plan", text),
    };
    let (_, answer) = answer(address, what, body.as_bytes(), RELOAD_TIMEOUT)?;
    read(address, &answer)
}

/// What would become of a request at the Portway whose admin address this is.
///
/// # Errors
/// See [`AskError`].
pub fn explain(address: SocketAddr, question: &Question) -> Result<Explanation, AskError> {
    let body = serde_json::to_vec(question).unwrap_or_default();
    let (status, answer) = answer(address, "POST /explain", &body, RELOAD_TIMEOUT)?;
    granted(address, status == 200, &answer)
}

/// Has the Portway whose admin address this is read its configuration again.
///
/// # Errors
/// See [`AskError`].
pub fn reload(address: SocketAddr) -> Result<json::Reload, AskError> {
    read(address, &change(address, "POST /reload", &[])?.1)
}

/// Has it read its certificates again, and all else that TLS is spoken with.
///
/// # Errors
/// See [`AskError`].
pub fn reload_certificates(address: SocketAddr) -> Result<json::Reload, AskError> {
    let what = format!("POST /reload?{CERTIFICATES}");
    read(address, &change(address, &what, &[])?.1)
}

/// Has another process of the program take over from the Portway whose admin address this is, which has so long to be ready.
///
/// # Errors
/// See [`AskError`].
pub fn upgrade(address: SocketAddr, within: Duration) -> Result<json::Upgrade, AskError> {
    let what = format!("POST /upgrade?timeout={}", within.as_secs_f64());
    ask(address, &what, within + UPGRADE_TIMEOUT)
}

/// Has something drain at the Portway whose admin address this is, or puts it to work again.
///
/// # Errors
/// See [`AskError`].
pub fn drain(address: SocketAddr, order: &Order, back: bool) -> Result<Answer, AskError> {
    let body = serde_json::to_vec(order).unwrap_or_default();
    let what = if back { "POST /undrain" } else { "POST /drain" };
    read(address, &change(address, what, &body)?.1)
}

/// Sends a request without a body and reads the answer, which is JSON with status 200 or 422.
fn ask<T: DeserializeOwned>(
    address: SocketAddr,
    what: &str,
    patience: Duration,
) -> Result<T, AskError> {
    let (_, answer) = answer(address, what, &[], patience)?;
    read(address, &answer)
}

/// Has something changed, by whichever process serves; the answer's status and body.
fn change(address: SocketAddr, what: &str, body: &[u8]) -> Result<(u16, Vec<u8>), AskError> {
    for _ in 0..MOST_MOVES {
        match answer(address, what, body, CHANGE_TIMEOUT) {
            Err(AskError::Refused(_, 409)) => std::thread::sleep(MOVES),
            answered => return answered,
        }
    }
    answer(address, what, body, CHANGE_TIMEOUT)
}

fn read<T: DeserializeOwned>(address: SocketAddr, body: &[u8]) -> Result<T, AskError> {
    serde_json::from_slice(body).map_err(|_| AskError::NotPortway(address))
}

/// Sends a request with JSON and gives the answer's status, which is 200 or 422, and its body.
fn answer(
    address: SocketAddr,
    what: &str,
    body: &[u8],
    patience: Duration,
) -> Result<(u16, Vec<u8>), AskError> {
    let answer = exchange(address, (what, body), patience).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => AskError::NobodyThere(address),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => AskError::Ended(address),
        _ => AskError::Connection(address, error),
    })?;
    if answer.is_empty() {
        return Err(AskError::Ended(address));
    }
    let mut head = ResponseHead::new();
    let Parsed::Complete { head_len } =
        parse_response(&answer, 0, &HeadLimits::default(), &mut head)
    else {
        return Err(AskError::NotPortway(address));
    };
    if !matches!(head.status(), 200 | 404 | 422) {
        return Err(AskError::Refused(address, head.status()));
    }
    // Small answers of ours have a length; what is chunked is somebody else's.
    if head.fields().contains(Known::TransferEncoding) {
        return Err(AskError::NotPortway(address));
    }
    let body = answer.get(head_len..).unwrap_or_default();
    Ok((head.status(), body.to_vec()))
}

fn exchange(
    address: SocketAddr,
    (what, body): (&str, &[u8]),
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!(
        "{what} HTTP/1.1\r\nHost: {address}\r\n{COMMAND}: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
}
