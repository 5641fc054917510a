//! One request to one side, and its answer.
//!
//! The reader is not the data plane's: whatever a balancer sends is to be reported, not refused.

use std::cell::Cell;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

/// Time for a connection, and for each piece of an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are kept; what is beyond is not compared.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Longest time for a side to close its end of a connection that we have closed.
const LET_GO: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A side of the comparison.
pub(super) struct Side {
    /// Where it listens.
    address: SocketAddr,
    /// With TLS, and the name that is asked for.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Our port of the connection before.
    before: Cell<Option<u16>>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer {
    /// The status; `None` where no answer was understood.
    pub(super) status: Option<u16>,
    /// Its first line, as sent.
    pub(super) status_line: String,
    /// Names in lower case, in the order of sending.
    pub(super) headers: Vec<(String, String)>,
    /// Without its framing.
    pub(super) body: Vec<u8>,
    /// How it ended, where that was not as its head said: `closed`, `reset`, `timeout`, `refused`, ….
    pub(super) fault: Option<String>,
    /// There was no connection to ask on.
    pub(super) unreached: bool,
}

impl Answer {
    fn failed(error: &io::Error) -> Self {
        Self {
            fault: Some(in_a_word(error)),
            unreached: true,
            ..Self::default()
        }
    }

    /// The values of a header, one after the other.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}

fn in_a_word(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "timeout".to_owned(),
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
        ErrorKind::UnexpectedEof => "closed".to_owned(),
        _ => error.to_string(),
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Side {
    pub(super) fn new(
        address: SocketAddr,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> Self {
        Self {
            address,
            tls,
            before: Cell::new(None),
        }
    }

    /// Waits until a side on this machine has closed its end of the connection before; of another machine nothing is known.
    pub(super) fn let_go(&self) {
        let Some(ours) = self.before.take() else {
            return;
        };
        let begun = Instant::now();
        while begun.elapsed() < LET_GO && self.still_has(ours) {
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn still_has(&self, ours: u16) -> bool {
        let theirs = self.address.port();
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .any(|table| is_held(&table, theirs, ours))
    }

    /// Sends `request` over a connection of its own and waits for its answer.
    pub(super) fn ask(&self, request: &[u8], is_head: bool) -> Answer {
        let mut stream = match self.connect() {
            Ok(stream) => stream,
            Err(error) => return Answer::failed(&error),
        };
        // A balancer may answer before it has read everything, and close: the answer counts.
        let sent = stream.write_all(request).and_then(|()| stream.flush());
        let mut answer = Reader::new(stream.as_mut()).answer(is_head);
        if let (None, Err(error)) = (answer.status, sent) {
            answer.fault = Some(in_a_word(&error));
        }
        answer
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        self.before.set(Some(stream.local_addr()?.port()));
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let Some((config, name)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let connection =
            ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)))
    }
}

/// Whether a process has the end at port `theirs` of the connection from port `ours`, by a table in the form of /proc/net/tcp.
fn is_held(table: &str, theirs: u16, ours: u16) -> bool {
    const TIME_WAIT: &str = "06";
    let ends_with = |word: &str, port: u16| {
        word.rsplit_once(':')
            .is_some_and(|(_, it)| u16::from_str_radix(it, 16) == Ok(port))
    };
    table.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (words.next(), words.next(), words.next());
        local.is_some_and(|it| ends_with(it, theirs))
            && remote.is_some_and(|it| ends_with(it, ours))
            && state != Some(TIME_WAIT)
    })
}

/// Reads one answer from a stream.
struct Reader<'s> {
    stream: &'s mut dyn Stream,
    /// What was read and not used.
    rest: Vec<u8>,
    /// Bytes that may still be read.
    left: u64,
}

impl<'s> Reader<'s> {
    fn new(stream: &'s mut dyn Stream) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            left: MAX_ANSWER,
        }
    }

    fn answer(mut self, is_head: bool) -> Answer {
        let mut answer = Answer::default();
        loop {
            let head = match self.until(b"\r\n\r\n") {
                Ok(head) => String::from_utf8_lossy(&head).into_owned(),
                Err(error) => {
                    answer.fault = Some(in_a_word(&error));
                    answer.status_line = String::from_utf8_lossy(&self.rest).into_owned();
                    return answer;
                }
            };
            read_head(&head, &mut answer);
            // 100 and 103 come before the answer.
            if !answer
                .status
                .is_some_and(|status| (100..200).contains(&status) && status != 101)
            {
                break;
            }
        }
        let without_body = is_head || matches!(answer.status, Some(101 | 204 | 304));
        if !without_body && let Err(error) = self.body(&mut answer) {
            answer.fault = Some(in_a_word(&error));
        }
        answer
    }

    fn body(&mut self, answer: &mut Answer) -> io::Result<()> {
        if answer.header("transfer-encoding").is_some() {
            return self.chunks(&mut answer.body);
        }
        match answer.header("content-length").map(str::parse::<usize>) {
            Some(Ok(length)) => answer.body = self.exactly(length)?,
            _ => {
                while self.more()? > 0 {}
                answer.body = std::mem::take(&mut self.rest);
            }
        }
        Ok(())
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.until(b"\r\n")?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while self.until(b"\r\n")? != b"\r\n" {}
                return Ok(());
            }
            body.extend(self.exactly(size)?);
            self.exactly(2)?;
        }
    }

    fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < count {
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.rest.split_off(count);
        Ok(std::mem::replace(&mut self.rest, rest))
    }

    /// Everything up to and with `end`.
    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.rest.windows(end.len()).position(|it| it == end);
            if let Some(at) = found {
                return self.exactly(at + end.len());
            }
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let count = match self.stream.read(&mut piece) {
            // Whoever ends without close_notify has ended all the same.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            result => result?,
        };
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("an answer of more than 64 MiB"))?;
        self.rest.extend(piece.iter().take(count));
        Ok(count)
    }
}

fn read_head(head: &str, answer: &mut Answer) {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    answer.status_line = lines.next().unwrap_or_default().to_owned();
    let status = answer.status_line.split(' ').nth(1);
    answer.status = status.and_then(|it| it.parse().ok());
    answer.headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Canned(io::Cursor<Vec<u8>>);

    impl Read for Canned {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // Byte by byte: pieces must not matter.
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }

    impl Write for Canned {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whose_end_is_held() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D431 08 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
   2: 0100007F:D432 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:D433 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
";
        let held = |ours| is_held(table, 8080, ours);
        assert_eq!(
            [0xD431, 0xD432, 0xD433, 0xD434].map(held),
            [true, false, false, false]
        );
    }

    #[test]
    fn answers() {
        let check = |bytes: &str, is_head, status, body: &str, fault: Option<&str>| {
            let mut stream = Canned(io::Cursor::new(bytes.as_bytes().to_vec()));
            let answer = Reader::new(&mut stream).answer(is_head);
            assert_eq!(answer.status, status, "{bytes}");
            assert_eq!(answer.body, body.as_bytes(), "{bytes}");
            assert_eq!(answer.fault.as_deref(), fault, "{bytes}");
        };
        let ok = "HTTP/1.1 200 OK\r\n";
        check(
            &format!("{ok}Content-Length: 2\r\n\r\nhix"),
            false,
            Some(200),
            "hi",
            None,
        );
        check(
            &format!("{ok}Content-Length: 2\r\n\r\n"),
            true,
            Some(200),
            "",
            None,
        );
        check(
            &format!("{ok}Content-Length: 3\r\n\r\nhi"),
            false,
            Some(200),
            "",
            Some("closed"),
        );
        check(&format!("{ok}\r\nhi"), false, Some(200), "hi", None);
        check(
            &format!(
                "HTTP/1.1 100 Continue\r\n\r\n{ok}Transfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
            ),
            false,
            Some(200),
            "hi!",
            None,
        );
        check(
            "HTTP/1.1 204 No Content\r\n\r\n",
            false,
            Some(204),
            "",
            None,
        );
        check("", false, None, "", Some("closed"));
        check("nonsense\r\n", false, None, "", Some("closed"));
    }
}
