//! Requests and responses from one version to the other: what each becomes, and what is refused.

use super::{
    Asked, Block, Body, Connection, ErrorCode, Limits, NoResponse, Reached, RequestFields,
    ResponseFrames, Role, Sink, Unfit,
};
use std::io::IoSlice;
use std::time::Duration;

const KEY: &[u8; 24] = b"AAAAAAAAAAAAAAAAAAAAAA==";

fn request(fields: &str, end: bool) -> Result<(String, Body, Asked), Unfit> {
    made(RequestFields::default(), fields, end)
}

fn made(
    mut request: RequestFields,
    fields: &str,
    end: bool,
) -> Result<(String, Body, Asked), Unfit> {
    request.allow(1000);
    for line in fields.lines() {
        let (name, value) = line.split_once('=').expect("name=value");
        request.field(name.as_bytes(), value.as_bytes());
    }
    let mut out = Vec::new();
    let (body, asked) = request.head(end, || *KEY, &mut out)?;
    Ok((String::from_utf8_lossy(&out).into_owned(), body, asked))
}

const GET: &str = ":method=GET\n:scheme=https\n:path=/a?b\n:authority=a.example";

#[test]
fn targets_have_their_origin_where_it_is_wanted() {
    let cases = [
        (GET, "GET https://a.example/a?b HTTP/1.1"),
        (
            ":method=GET\n:scheme=http\n:path=/a\nhost=a",
            "GET /a HTTP/1.1",
        ),
        (
            ":method=OPTIONS\n:scheme=http\n:path=*\n:authority=a",
            "OPTIONS http://a HTTP/1.1",
        ),
        (
            ":method=CONNECT\n:authority=a:443",
            "CONNECT a:443 HTTP/1.1",
        ),
        (
            ":method=GET\n:scheme=ftp\n:path=/a\n:authority=a",
            "GET /a HTTP/1.1",
        ),
    ];
    for (fields, line) in cases {
        let mut request = RequestFields::default();
        request.write_absolute_targets();
        let (text, ..) = made(request, fields, true).unwrap();
        assert_eq!(text.lines().next(), Some(line));
    }
}

#[test]
fn requests_become_those_of_http_1() {
    let with_port = GET.replace("a.example", "a.example:443");
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let cases = [
        (
            format!("{with_port}\nhost=a.example"),
            true,
            "GET /a?b HTTP/1.1\r\nhost: a.example:443\r\n\r\n".into(),
            Body::None,
            Asked::Any,
        ),
        (GET.into(), true, "GET /a?b HTTP/1.1\r\nhost: a.example\r\n\r\n".into(), Body::None, Asked::Any),
        (
            format!("{GET}\ncookie=a=1\naccept=*/*\ncookie=b=2\nte=trailers"),
            true,
            "GET /a?b HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\nte: trailers\r\ncookie: a=1; b=2\r\n\r\n".into(),
            Body::None,
            Asked::Any,
        ),
        (
            format!("{}\ncontent-length=3", GET.replace("GET", "POST")),
            false,
            "POST /a?b HTTP/1.1\r\nhost: a.example\r\nContent-Length: 3\r\n\r\n".into(),
            Body::Length(3),
            Asked::Any,
        ),
        (
            GET.replace("GET", "PUT"),
            false,
            "PUT /a?b HTTP/1.1\r\nhost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            Body::Chunked,
            Asked::Any,
        ),
        (
            ":method=HEAD\n:scheme=http\n:path=/\nhost=a.example".into(),
            true,
            "HEAD / HTTP/1.1\r\nhost: a.example\r\n\r\n".into(),
            Body::None,
            Asked::Head,
        ),
        (
            ":method=OPTIONS\n:scheme=http\n:path=*\n:authority=a".into(),
            true,
            "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Body::None,
            Asked::Any,
        ),
        (
            ":method=CONNECT\n:authority=a:443".into(),
            false,
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n".into(),
            Body::Tunnel,
            Asked::Connect,
        ),
        (
            format!("{}\n:protocol=websocket\norigin=x", GET.replace("GET", "CONNECT")),
            false,
            format!("GET /a?b HTTP/1.1\r\nhost: a.example\r\n{upgrade}origin: x\r\n\r\n"),
            Body::Tunnel,
            Asked::Upgrade,
        ),
    ];
    for (fields, end, text, body, asked) in cases {
        let fields: String = fields;
        assert_eq!(request(&fields, end), Ok((text, body, asked)), "{fields}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let cases = [
        // Section 8.3.1: what has to be there, and once.
        ":scheme=https\n:path=/\n:authority=a".into(),
        ":method=GET\n:path=/\n:authority=a".into(),
        ":method=GET\n:scheme=https\n:authority=a".into(),
        format!("{GET}\n:path=/b"),
        format!(":method=GET\n{GET}"),
        format!("{GET}\n:other=1"),
        ":method=GET\n:scheme=https\n:path=\n:authority=a".into(),
        ":method=GET\n:scheme=https\n:path=a\n:authority=a".into(),
        ":method=GET\n:scheme=https\n:path=*\n:authority=a".into(),
        // Section 8.3: before all others.
        format!("accept=*/*\n{GET}"),
        // What a request line or a field of HTTP/1.1 would end with.
        GET.replace("/a?b", "/a b"),
        GET.replace("/a?b", "/a\u{7f}"),
        GET.replace("a.example", "a b"),
        format!("{GET}\na b=1"),
        format!("{GET}\nx=a\0b"),
        format!("{GET}\nx=a\rb"),
        format!("{GET}\nx= a"),
        format!("{GET}\nx=a\t"),
        format!("{GET}\n=a"),
        format!("{GET}\nAccept=a"),
        // Section 8.2.2.
        format!("{GET}\nconnection=close"),
        format!("{GET}\nkeep-alive=1"),
        format!("{GET}\nproxy-connection=close"),
        format!("{GET}\ntransfer-encoding=chunked"),
        format!("{GET}\nupgrade=x"),
        format!("{GET}\nte=gzip"),
        // Section 8.1.1.
        format!("{GET}\ncontent-length=1"),
        format!("{GET}\ncontent-length=x"),
        format!("{GET}\ncontent-length=+0"),
        format!("{GET}\ncontent-length=0\ncontent-length=00x"),
        format!("{GET}\nhost=b.example"),
        format!("{GET}\nhost=a.example\nhost=b.example"),
        // Section 8.5, and RFC 8441 section 4.
        format!("{GET}\n:protocol=websocket"),
        ":method=CONNECT\n:authority=a:443\n:path=/".into(),
        ":method=CONNECT\n:authority=a:443\n:scheme=https".into(),
        ":method=CONNECT".into(),
    ];
    for fields in cases {
        let fields: String = fields;
        assert_eq!(request(&fields, true), Err(Unfit::Malformed), "{fields}");
    }
    let many = format!("{GET}\n{}", "a=b\n".repeat(200));
    assert_eq!(request(&many, true), Err(Unfit::TooLarge));
}

#[test]
fn trailers() {
    let read = |fields: &[(&str, &str)]| {
        let mut request = RequestFields::default();
        request.allow(100);
        for (name, value) in fields {
            request.field(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        let read = request.trailers(&mut out);
        read.map(|()| String::from_utf8_lossy(&out).into_owned())
    };
    assert_eq!(
        read(&[("a", "1"), ("b", "2")]),
        Ok("a: 1\r\nb: 2\r\n".into())
    );
    assert_eq!(read(&[]), Ok(String::new()));
    assert_eq!(read(&[(":path", "/")]), Err(Unfit::Malformed));
    assert_eq!(read(&[("A", "1")]), Err(Unfit::Malformed));
    assert_eq!(read(&[("a", &"x".repeat(100))]), Err(Unfit::TooLarge));
}

/// Writes down what a client hears.
#[derive(Default)]
struct Heard {
    fields: Vec<String>,
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Sink for Heard {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.fields.push(format!("{}={}", text(name), text(value)));
    }

    fn block(&mut self, _: u32, _: Block, end: bool) -> Result<bool, ErrorCode> {
        let fields = std::mem::take(&mut self.fields).join(",");
        let is_interim = fields.starts_with(":status=1");
        self.lines.push(fields + if end { " end" } else { "" });
        Ok(is_interim)
    }

    fn forget(&mut self) {}

    fn data(&mut self, _: u32, bytes: &[u8], end: bool) -> Result<(), ErrorCode> {
        self.body.extend_from_slice(bytes);
        if end {
            self.lines.push("data end".into());
        }
        Ok(())
    }

    fn reset(&mut self, _: u32, code: ErrorCode, _: bool) {
        self.lines.push(format!("reset {}", code.0));
    }

    fn opened(&mut self, _: u32) {}

    fn refused(&mut self, _: Reached) {}

    fn going_away(&mut self, _: u32, _: ErrorCode) {}
}

/// A server and a client whose first stream waits for its answer.
fn pair() -> (Connection, Connection, u32) {
    let mut client = Connection::new(Role::Client, Limits::default());
    let mut server = Connection::new(Role::Server, Limits::default());
    let mut block = Vec::new();
    client.begin_block(&mut block);
    let stream = client.open(&block, true).expect("the first");
    pass(&mut client, &mut server, &mut Heard::default());
    (server, client, stream)
}

fn pass(from: &mut Connection, to: &mut Connection, heard: &mut Heard) {
    let bytes = std::mem::take(&mut from.out);
    let taken = to.receive(&bytes, Duration::ZERO, heard);
    assert_eq!(taken, Ok(bytes.len()));
}

/// What a client hears of a response that is written in such pieces; and whether it was whole.
fn response(
    asked: Asked,
    text: &str,
    piece: usize,
) -> Result<(Vec<String>, String, bool), NoResponse> {
    let (mut server, mut client, stream) = pair();
    let mut frames = ResponseFrames::new(asked);
    let mut heard = Heard::default();
    for part in text.as_bytes().chunks(piece) {
        let taken = frames.write(&mut server, stream, &[IoSlice::new(part)], usize::MAX)?;
        assert_eq!(taken, part.len());
    }
    let over = frames.is_over();
    frames.end(&mut server, stream);
    pass(&mut server, &mut client, &mut heard);
    let body = String::from_utf8_lossy(&heard.body).into_owned();
    Ok((heard.lines, body, over))
}

#[test]
fn responses_become_frames_in_whatever_pieces_they_are_written() {
    let cases: [(Asked, &str, &[&str], &str); 13] = [
        (
            Asked::Any,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nX-A:  b \r\nConnection: close\r\nKeep-Alive: 1\r\nUpgrade: x\r\n\r\nhello",
            &[
                ":status=200,content-length=5,set-cookie=a=1,x-a=b",
                "data end",
            ],
            "hello",
        ),
        (
            Asked::Any,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            &[":status=200", "data end"],
            "hello0123456789",
        ),
        (
            Asked::Any,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nGrpc-Status: 0\r\nb: c\r\n\r\n",
            &[":status=200", "grpc-status=0,b=c end"],
            "a",
        ),
        (
            Asked::Any,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[":status=200", "data end"],
            "",
        ),
        (
            Asked::Any,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            &[":status=100", ":status=103,link=x", ":status=204 end"],
            "",
        ),
        (
            Asked::Head,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            &[":status=200,content-length=5 end"],
            "",
        ),
        (
            Asked::Any,
            "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
            &[":status=404,content-length=0 end"],
            "",
        ),
        (
            Asked::Any,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            &[":status=304,content-length=9 end"],
            "",
        ),
        (
            Asked::Any,
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            &[":status=204 end"],
            "",
        ),
        (
            Asked::Connect,
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntunnel",
            &[":status=200", "data end"],
            "tunnel",
        ),
        (
            Asked::Any,
            "HTTP/1.1 200 OK\r\n\r\nto the end",
            &[":status=200", "data end"],
            "to the end",
        ),
        (
            Asked::Connect,
            "HTTP/1.1 200 OK\r\n\r\ntunnel",
            &[":status=200", "data end"],
            "tunnel",
        ),
        (
            Asked::Upgrade,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: p\r\n\r\nframes",
            &[":status=200,sec-websocket-protocol=p", "data end"],
            "frames",
        ),
    ];
    for (asked, text, lines, body) in cases {
        for piece in [1, 2, 3, 7, 1000] {
            let (heard, came, over) = response(asked, text, piece).expect(text);
            assert_eq!(
                (heard.as_slice(), came.as_str()),
                (lines.map_to_strings().as_slice(), body),
                "{text} by {piece}"
            );
            let open = matches!(asked, Asked::Connect | Asked::Upgrade) || body == "to the end";
            assert_eq!(over, !open, "{text}");
        }
    }
}

trait Strings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl Strings for [&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(|it| (*it).to_owned()).collect()
    }
}

#[test]
fn what_is_no_response() {
    for text in [
        "HTTP/1.1 xxx\r\n\r\n",
        "\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx",
        "HTTP/1.1 204 No Content\r\n\r\nx",
    ] {
        assert_eq!(response(Asked::Any, text, 1000), Err(NoResponse), "{text}");
    }
}

#[test]
fn the_last_frame_says_that_it_is() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut server, _, stream) = pair();
    server.out.clear();
    let mut frames = ResponseFrames::new(Asked::Any);
    let parts = [head, "5\r\n", "hello", "\r\n0\r\n\r\n"].map(|it| IoSlice::new(it.as_bytes()));
    let whole = head.len() + 15;
    assert_eq!(frames.write(&mut server, stream, &parts, 1000), Ok(whole));
    let data = server.out.len() - 14;
    assert_eq!(
        server.out.get(data..),
        Some(&b"\0\0\x05\0\x01\0\0\0\x01hello"[..])
    );
}

#[test]
fn no_more_is_taken_than_there_is_room_for() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let text = head.to_owned() + &"x".repeat(100_000);
    let write = |budget| {
        let (mut server, _, stream) = pair();
        let mut frames = ResponseFrames::new(Asked::Any);
        frames.write(
            &mut server,
            stream,
            &[IoSlice::new(text.as_bytes())],
            budget,
        )
    };
    assert_eq!(write(0), Ok(head.len()));
    assert_eq!(write(10), Ok(head.len() + 10));
    // The window of a stream, and of the connection.
    assert_eq!(write(usize::MAX), Ok(head.len() + 65_535));
}
