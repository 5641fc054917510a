//! A target that says what it received, and answers as its path asks. What paths it knows stands in
//! `tests/differential/README.md`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// One that serves until the process ends.
pub(crate) struct Echo {
    pub(crate) port: u16,
}

impl Echo {
    /// Starts one with this name.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, 0, name)
    }

    /// The same at this address of this machine.
    pub(crate) fn start_at(ip: Ipv4Addr, port: u16, name: &str) -> Self {
        Self::on(TcpListener::bind((ip, port)).unwrap(), name)
    }

    /// The same with this listener.
    pub(crate) fn on(listener: TcpListener, name: &str) -> Self {
        let port = listener.local_addr().unwrap().port();
        let name: Arc<str> = name.into();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let name = name.clone();
                thread::spawn(move || serve(&stream, &name));
            }
        });
        Self { port }
    }
}

struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// What it was, in one form whatever the order of its headers.
    fn described(&self) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.sort();
        let mut text = format!("{}\n", self.line);
        for (name, value) in headers {
            writeln!(text, "{name}: {value}").unwrap();
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

fn serve(stream: &TcpStream, name: &str) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        if !answer(stream, name, &request) {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        match line.split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let mut request = Request {
        line: first,
        headers,
        body: Vec::new(),
    };
    if let Some(length) = request.header("content-length") {
        request.body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut request.body).ok()?;
    } else if request.header("transfer-encoding").is_some() {
        request.body = chunks(reader)?;
    }
    Some(request)
}

fn chunks(reader: &mut BufReader<&TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size];
        reader.read_exact(&mut chunk).ok()?;
        body.extend(chunk);
        line.clear();
        reader.read_line(&mut line).ok()?;
        if size == 0 {
            return Some(body);
        }
    }
}

/// Answers; false where the connection ends with that.
fn answer(mut stream: &TcpStream, name: &str, request: &Request) -> bool {
    let target = request.line.split(' ').nth(1).unwrap_or("/");
    let path = target.split('?').next().unwrap_or("/");
    let mut words = path.split('/').skip(1);
    let mut head = format!("X-Server: {name}\r\n");
    let mut status = 200;
    let mut body = request.described();
    let mut framing = "length";
    match words.next().unwrap_or_default() {
        "status" => status = words.next().and_then(|it| it.parse().ok()).unwrap_or(500),
        "header" => {
            while let (Some(name), Some(value)) = (words.next(), words.next()) {
                let value = value
                    .replace("%20", " ")
                    .replace("%3D", "=")
                    .replace("%2F", "/");
                write!(head, "{name}: {value}\r\n").unwrap();
            }
        }
        "chunked" => framing = "chunked",
        "close" => framing = "close",
        "reset" => return false,
        "junk" => {
            stream.write_all(b"this is not HTTP\r\n\r\n").ok();
            return false;
        }
        "slow" => {
            let milliseconds = words.next().and_then(|it| it.parse().ok()).unwrap_or(100);
            thread::sleep(Duration::from_millis(milliseconds));
        }
        "bytes" => {
            let count = words.next().and_then(|it| it.parse().ok()).unwrap_or(0);
            body = vec![b'x'; count];
        }
        _ => {}
    }
    let without_body = matches!(status, 204 | 304) || request.line.starts_with("HEAD ");
    match framing {
        "length" if status != 204 => write!(head, "Content-Length: {}\r\n", body.len()).unwrap(),
        "chunked" => {
            head.push_str("Transfer-Encoding: chunked\r\n");
            let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
            chunked.extend(&body);
            chunked.extend(b"\r\n0\r\n\r\n");
            body = chunked;
        }
        _ => {}
    }
    let mut bytes = format!("HTTP/1.1 {status} Because\r\n{head}\r\n").into_bytes();
    if !without_body {
        bytes.extend(body);
    }
    let stays = framing != "close" && request.header("connection") != Some("close");
    stream.write_all(&bytes).is_ok() && stays
}
