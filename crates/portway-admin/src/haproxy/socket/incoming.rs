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

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A line, with its end; the last one may be without.
    Line(String),
    /// The peer has ended.
    End,
    /// The peer was silent for too long.
    Silence,
    /// A line is longer than may be; what follows is the rest of it.
    TooLong,
}

/// The next line.
///
/// # Errors
/// Those of the stream.
pub async fn next<S>(stream: &mut S, patience: Duration) -> io::Result<Incoming>
where
    S: AsyncBufRead + Unpin,
{
    let mut bytes = Vec::new();
    let mut limited = stream.take(LINE_BYTES);
    let Ok(read) = timeout(patience, limited.read_until(b'\n', &mut bytes)).await else {
        return Ok(Incoming::Silence);
    };
    let read = read? as u64;
    Ok(match read {
        0 => Incoming::End,
        LINE_BYTES if !bytes.ends_with(b"\n") => Incoming::TooLong,
        _ => Incoming::Line(String::from_utf8_lossy(&bytes).into_owned()),
    })
}

/// The next line of a conversation; `None`: it is over.
///
/// # Errors
/// Those of the stream.
pub async fn next_line<S>(stream: &mut S, patience: Duration) -> io::Result<Option<String>>
where
    S: AsyncBufRead + Unpin,
{
    Ok(match next(stream, patience).await? {
        Incoming::Line(line) => Some(line),
        Incoming::End | Incoming::Silence | Incoming::TooLong => None,
    })
}

/// The lines of a payload, up to an empty one.
///
/// # Errors
/// It is too large or does not end: no command may be carried out with a part of it. And those of the stream.
pub async fn payload<S>(stream: &mut S, patience: Duration) -> io::Result<String>
where
    S: AsyncBufRead + Unpin,
{
    let mut payload = String::new();
    loop {
        let line = match next(stream, patience).await? {
            Incoming::Line(line) => line,
            Incoming::End | Incoming::Silence | Incoming::TooLong => {
                return Err(io::Error::other("the payload does not end"));
            }
        };
        if line.trim_end_matches(['\r', '\n']).is_empty() {
            return Ok(payload);
        }
        if payload.len() + line.len() > PAYLOAD_BYTES {
            return Err(io::Error::other("the payload is too large"));
        }
        payload.push_str(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn payloads_end_with_an_empty_line() {
        let long = format!("a{}\n\n", "b".repeat(LINE_BYTES as usize));
        let large = format!("{}\n\n", format!("{}\n", "b".repeat(1000)).repeat(1100));
        for (came, expected) in [
            ("a 1\r\nb 2\n\nshow info\n", Some("a 1\r\nb 2\n")),
            ("\n", Some("")),
            // Half of one is none.
            ("", None),
            ("a 1\n", None),
            ("a 1\nb 2", None),
            (&long, None),
            (&large, None),
        ] {
            let read = payload(&mut came.as_bytes(), PATIENCE).await.ok();
            assert_eq!(read.as_deref(), expected, "{:.20}", came);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_in_a_payload_has_said_nothing() {
        let (mut ours, theirs) = tokio::io::duplex(100);
        let mut theirs = tokio::io::BufReader::new(theirs);
        tokio::io::AsyncWriteExt::write_all(&mut ours, b"a 1\n")
            .await
            .unwrap();
        assert!(payload(&mut theirs, PATIENCE).await.is_err());
    }

    #[tokio::test]
    async fn what_follows_a_long_line_is_no_line() {
        let text = format!("{}\nshow info\n", "a".repeat(LINE_BYTES as usize));
        assert_eq!(
            next(&mut text.as_bytes(), PATIENCE).await.unwrap(),
            Incoming::TooLong
        );
        let whole = format!("{}\n", "a".repeat(LINE_BYTES as usize - 1));
        let read = next_line(&mut whole.as_bytes(), PATIENCE).await.unwrap();
        assert_eq!(read, Some(whole));
    }
}
