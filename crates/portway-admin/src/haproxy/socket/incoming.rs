//! What comes on a control socket: lines, and payloads of lines, each bounded in size and time.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use tokio::time::timeout;

/// Bytes of a line, HAProxy's `tune.bufsize`; a longer one ends the connection.
const LINE_BYTES: u64 = 16 * 1024;

/// Bytes of a payload: a certificate with its chain, or some ten thousand entries of a map. A larger one ends the
/// connection.
const PAYLOAD_BYTES: usize = 1024 * 1024;

/// The next line; `None` where the peer has ended, was silent for too long, or the line is too long.
///
/// # Errors
/// Those of the stream.
pub async fn next_line<S>(stream: &mut S, patience: Duration) -> io::Result<Option<String>>
where
    S: AsyncBufRead + Unpin,
{
    let mut bytes = Vec::new();
    let mut limited = stream.take(LINE_BYTES);
    let read = match timeout(patience, limited.read_until(b'\n', &mut bytes)).await {
        Ok(read) => read?,
        Err(_) => return Ok(None),
    };
    let whole = bytes.ends_with(b"\n") || (read as u64) < LINE_BYTES;
    Ok((read > 0 && whole).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The lines of a payload, up to an empty one.
///
/// # Errors
/// It is too large, and those of the stream.
pub async fn payload<S>(stream: &mut S, patience: Duration) -> io::Result<String>
where
    S: AsyncBufRead + Unpin,
{
    let mut payload = String::new();
    while let Some(line) = next_line(stream, patience).await? {
        if line.trim_end_matches(['\r', '\n']).is_empty() {
            break;
        }
        if payload.len() + line.len() > PAYLOAD_BYTES {
            return Err(io::Error::other("the payload is too large"));
        }
        payload.push_str(&line);
    }
    Ok(payload)
}
