//! Which requests are sent: from an access log of any balancer, or from a file of requests.
//!
//! A file of requests has the requests as they go over the wire, lines that begin with `###` between them. Of an access log
//! only the request line is used, and the host where the log has it: what else a client sent is in no log.

use serde_json::Value;

/// One request to send to both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// What reports call it: its first line, or the title behind `###`.
    pub(super) title: String,
    /// The line of the file where it stands, from 1.
    pub(super) line: usize,
    /// What is sent.
    pub(super) bytes: Vec<u8>,
}

impl Request {
    /// True where the answer has no body whatever its head says.
    pub(super) fn is_head(&self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }
}

/// What a file gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    /// In the order of the file.
    pub(super) list: Vec<Request>,
    /// Requests that may change something, which are only sent if asked for.
    pub(super) unsafe_left_out: usize,
    /// Lines in which no request was found.
    pub(super) not_understood: usize,
}

/// How requests are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The host of requests whose log does not say it.
    pub(super) host: &'a str,
    /// Also methods other than GET, HEAD and OPTIONS of an access log.
    pub(super) all_methods: bool,
}

/// The delimiter of a file of requests.
const DELIMITER: &str = "###";

/// Reads a file. It is one of requests where one of its lines begins with `###`, else an access log.
pub(super) fn read(text: &str, reading: Reading<'_>) -> Requests {
    if text.lines().any(|line| line.starts_with(DELIMITER)) {
        return Requests {
            list: blocks(text),
            ..Requests::default()
        };
    }
    let mut requests = Requests::default();
    let lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    for (line, number) in lines {
        match logged(line, reading.host) {
            None => requests.not_understood += 1,
            Some(logged) if !reading.all_methods && !logged.is_safe() => {
                requests.unsafe_left_out += 1;
            }
            Some(logged) => requests.list.push(logged.request(number)),
        }
    }
    requests
}

fn blocks(text: &str) -> Vec<Request> {
    let mut list: Vec<Request> = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    let mut begun = (1, "");
    let mut end = |lines: &mut Vec<&str>, (line, title): (usize, &str)| {
        if lines.iter().any(|it| !it.is_empty()) {
            let first = lines.first().copied().unwrap_or_default();
            let title = if title.is_empty() { first } else { title };
            list.push(Request {
                title: title.to_owned(),
                line,
                bytes: wire(lines),
            });
        }
        lines.clear();
    };
    for (line, number) in text.lines().zip(1..) {
        match line.strip_prefix(DELIMITER) {
            Some(title) => {
                end(&mut lines, begun);
                begun = (number + 1, title.trim_matches(['#', ' ']));
            }
            None => lines.push(line),
        }
    }
    end(&mut lines, begun);
    list
}

/// Lines as they go over the wire: the head with CRLF, the body without the line feed at its end. A length that is said to
/// be `auto` becomes that of the body.
fn wire(lines: &[&str]) -> Vec<u8> {
    let head_end = lines.iter().position(|it| it.is_empty());
    let (head, body) = lines.split_at(head_end.unwrap_or(lines.len()));
    let body = body.get(1..).unwrap_or_default().join("\n");
    let body = body.trim_end_matches('\n');
    let mut bytes = String::new();
    for line in head {
        let auto = line.eq_ignore_ascii_case("content-length: auto");
        let length = format!("Content-Length: {}", body.len());
        bytes.push_str(if auto { &length } else { line });
        bytes.push_str("\r\n");
    }
    bytes.push_str("\r\n");
    bytes.push_str(body);
    bytes.into_bytes()
}

/// What a line of an access log says of a request.
#[derive(Debug, PartialEq, Eq)]
struct Logged {
    method: String,
    target: String,
    host: String,
}

impl Logged {
    /// RFC 9110 section 9.2.1.
    fn is_safe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    fn request(&self, line: usize) -> Request {
        let Self {
            method,
            target,
            host,
        } = self;
        let bytes = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        Request {
            title: format!("{method} {host}{target}"),
            line,
            bytes: bytes.into_bytes(),
        }
    }
}

fn logged(line: &str, host: &str) -> Option<Logged> {
    if line.starts_with('{') {
        let object: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| object.get(key)?.as_str().map(str::to_owned);
        return Some(Logged {
            method: text("method").filter(|it| !it.is_empty())?,
            target: text("request_target")?,
            host: text("host").unwrap_or_else(|| host.to_owned()),
        });
    }
    // nginx, Apache, HAProxy, an ALB: the request line stands in quotes.
    let in_quotes = line.split('"').skip(1).step_by(2);
    in_quotes.filter_map(|text| request_line(text, host)).next()
}

fn request_line(text: &str, host: &str) -> Option<Logged> {
    let mut words = text.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_one = words.next().is_none()
        && version.starts_with("HTTP/")
        && !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_uppercase());
    // An ALB logs the whole URL.
    let (host, target) = match target.split_once("://") {
        Some((_, rest)) => {
            let at = rest.find('/').unwrap_or(rest.len());
            rest.split_at(at)
        }
        None => (host, target),
    };
    is_one.then(|| Logged {
        method: method.to_owned(),
        target: if target.is_empty() { "/" } else { target }.to_owned(),
        host: host.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_access_logs() {
        let check = |line: &str, expected: Option<(&str, &str, &str)>| {
            let logged = logged(line, "shop.example");
            let found = logged
                .as_ref()
                .map(|it| (&*it.method, &*it.host, &*it.target));
            assert_eq!(found, expected, "{line}");
        };
        check(
            r#"{"method":"GET","host":"a.example:8080","request_target":"/x?y"}"#,
            Some(("GET", "a.example:8080", "/x?y")),
        );
        check(r#"{"kind":"tcp"}"#, None);
        check(
            r#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 5 "-" "curl""#,
            Some(("GET", "shop.example", "/a")),
        );
        check(
            r#"haproxy[1]: 1.2.3.4:5 [x] web app/s1 0/0/0/1/1 200 5 - - ---- 1/1/0/0/0 0/0 {a "b} "POST /b?c HTTP/1.1""#,
            None,
        );
        check(
            r#"haproxy[1]: 1.2.3.4:5 [x] web app/s1 0/0/0/1/1 200 5 - - ---- 1/1/0/0/0 0/0 "POST /b?c HTTP/1.1""#,
            Some(("POST", "shop.example", "/b?c")),
        );
        check(
            r#"https 2018 app/lb 1.2.3.4:1 "GET https://www.example.com:443 HTTP/1.1" "curl/7""#,
            Some(("GET", "www.example.com:443", "/")),
        );
        check(r#"x "BADREQ" y"#, None);
    }

    #[test]
    fn requests_that_change_something_are_counted() {
        let text = "x \"GET / HTTP/1.1\"\n\n\"DELETE /a HTTP/1.1\"\nnothing\n";
        let reading = Reading {
            host: "h",
            all_methods: false,
        };
        let requests = read(text, reading);
        assert_eq!(requests.list.len(), 1);
        assert_eq!(requests.list[0].bytes, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((requests.unsafe_left_out, requests.not_understood), (1, 1));
        let all = Reading {
            all_methods: true,
            ..reading
        };
        assert_eq!(read(text, all).list[1].line, 3);
    }

    #[test]
    fn files_of_requests() {
        let text = "### first\nGET / HTTP/1.1\nHost: a\n\n###\nPOST /b HTTP/1.1\ncontent-length: AUTO\n\nhe\nllo\n\n### third ###\n";
        let requests = read(
            text,
            Reading {
                host: "",
                all_methods: false,
            },
        );
        let found: Vec<(&str, usize, &[u8])> = requests
            .list
            .iter()
            .map(|it| (&*it.title, it.line, &*it.bytes))
            .collect();
        let expected: [(&str, usize, &[u8]); 2] = [
            ("first", 2, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (
                "POST /b HTTP/1.1",
                6,
                b"POST /b HTTP/1.1\r\nContent-Length: 6\r\n\r\nhe\nllo",
            ),
        ];
        assert_eq!(found, expected);
    }
}
