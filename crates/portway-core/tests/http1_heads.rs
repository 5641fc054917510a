//! Heads of requests and responses: what is accepted, what is refused and why, and what the accessors say.
#![cfg(test)]

use portway_core::http1::{
    HeadLimits, Known, Method, Parsed, Refusal, RequestHead, ResponseHead, TargetForm, Version,
    parse_request, parse_response,
};

fn request(bytes: &[u8]) -> (Parsed, RequestHead) {
    let mut head = RequestHead::new();
    (
        parse_request(bytes, 0, &HeadLimits::default(), &mut head),
        head,
    )
}

fn response(bytes: &[u8]) -> (Parsed, ResponseHead) {
    let mut head = ResponseHead::new();
    (
        parse_response(bytes, 0, &HeadLimits::default(), &mut head),
        head,
    )
}

/// The verdict when the bytes come one at a time.
fn request_bytewise(bytes: &[u8], limits: &HeadLimits) -> Parsed {
    let mut head = RequestHead::new();
    (1..=bytes.len())
        .map(|end| parse_request(&bytes[..end], end - 1, limits, &mut head))
        .find(|parsed| *parsed != Parsed::Partial)
        .unwrap_or(Parsed::Partial)
}

fn response_bytewise(bytes: &[u8]) -> Parsed {
    let mut head = ResponseHead::new();
    (1..=bytes.len())
        .map(|end| parse_response(&bytes[..end], end - 1, &HeadLimits::default(), &mut head))
        .find(|parsed| *parsed != Parsed::Partial)
        .unwrap_or(Parsed::Partial)
}

fn refused_request(bytes: &[u8], expected: Refusal) {
    let name = bytes.escape_ascii();
    assert_eq!(request(bytes).0, Parsed::Refused(expected), "{name}");
    let bytewise = request_bytewise(bytes, &HeadLimits::default());
    assert_eq!(bytewise, Parsed::Refused(expected), "bytewise {name}");
}

fn refused_response(bytes: &[u8], expected: Refusal) {
    let name = bytes.escape_ascii();
    assert_eq!(response(bytes).0, Parsed::Refused(expected), "{name}");
    assert_eq!(
        response_bytewise(bytes),
        Parsed::Refused(expected),
        "bytewise {name}"
    );
}

/// `fields` are names and values in order, `name=value`.
fn accepted_request(bytes: &[u8], fields: &[&str]) {
    let name = bytes.escape_ascii();
    let (parsed, head) = request(bytes);
    assert_eq!(
        parsed,
        Parsed::Complete {
            head_len: bytes.len()
        },
        "{name}"
    );
    let bytewise = request_bytewise(bytes, &HeadLimits::default());
    assert_eq!(bytewise, parsed, "bytewise {name}");
    let text = |span: portway_core::http1::Span| span.of(bytes).escape_ascii().to_string();
    let fields_found = head.fields().as_slice().iter();
    let found: Vec<_> = fields_found
        .map(|field| format!("{}={}", text(field.name), text(field.value)))
        .collect();
    assert_eq!(found, fields, "{name}");
}

fn accepted_response(bytes: &[u8], status: u16, reason: &[u8]) {
    let name = bytes.escape_ascii();
    let (parsed, head) = response(bytes);
    assert_eq!(
        parsed,
        Parsed::Complete {
            head_len: bytes.len()
        },
        "{name}"
    );
    assert_eq!(response_bytewise(bytes), parsed, "bytewise {name}");
    assert_eq!(
        (head.status(), head.reason(bytes)),
        (status, reason),
        "{name}"
    );
}

#[test]
fn requests_in_every_legal_shape() {
    let check = accepted_request;
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &["Host=a"]);
    check(b"GET / HTTP/1.0\r\n\r\n", &[]);
    check(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &["Host=a"]);
    check(b"GET / HTTP/1.1\r\nhost:a\r\n\r\n", &["host=a"]);
    check(b"GET / HTTP/1.1\r\nHOST: \t a \t \r\n\r\n", &["HOST=a"]);
    check(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &["Host="]);
    check(
        b"GET / HTTP/1.1\r\nHost: \r\nA: \t\r\n\r\n",
        &["Host=", "A="],
    );
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\x80\r\n\r\n",
        &["Host=a", r"X=\xe9\xff\x80"],
    );
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\tc\r\n\r\n",
        &["Host=a", r"X=b\tc"],
    );
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\n",
        &["Host=a", "X=1", "X=2"],
    );
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~9z: b\r\n\r\n",
        &["Host=a", r"!#$%&\'*+-.^_`|~9z=b"],
    );
    check(b"M-SEARCH /a HTTP/1.1\r\nHost: a\r\n\r\n", &["Host=a"]);
    check(b"get / HTTP/1.1\r\nHost: a\r\n\r\n", &["Host=a"]);
    check(
        b"!#$%&'*+-.^_`|~9z /a HTTP/1.1\r\nHost: a\r\n\r\n",
        &["Host=a"],
    );
    check(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", &["Host=a"]);
    check(
        b"\r\nGET / HTTP/1.9\r\nHost: a\r\nB: c\r\n\r\n",
        &["Host=a", "B=c"],
    );
    check(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["Host=a"]);
    check(
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        &["Host=a:443"],
    );
    for (line, host) in [
        ("GET http://a/b", "A"),
        ("GET http://a:80/b", "a"),
        ("GET http://a:/b", "a"),
        ("GET HTTP://a/b", "a:80"),
        ("GET https://a/b", "a:443"),
        ("GET https://a:443/b", "a"),
        ("GET http://[::1]:81/b", "[::1]:81"),
        ("CONNECT a:80", "a"),
        ("CONNECT a:443", "A"),
        ("CONNECT a:8080", "a:8080"),
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        check(bytes.as_bytes(), &[&format!("Host={host}")]);
    }
}

#[test]
fn requests_refused_for_the_request_line() {
    let check = refused_request;
    check(
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        Refusal::TlsOnPlainPort,
    );
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal::Http2Preface);
    check(b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Http2Preface);
    check(
        b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        Refusal::LeadingEmptyLines,
    );
    check(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BareLf);
    check(b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BareCr);
    check(b"GET / HTTP/1.1\nHost: a\r\n\r\n", Refusal::BareLf);
    check(b"GET / HTTP/1.1\rHost: a\r\n\r\n", Refusal::BareCr);
    check(b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Nul);
    check(
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        Refusal::ControlCharacter,
    );
    check(
        b"GET /\t HTTP/1.1\r\nHost: a\r\n\r\n",
        Refusal::ControlCharacter,
    );
    check(b"G\x7f / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadMethod);
    check(b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadMethod);
    check(b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadMethod);
    check(b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadMethod);
    check(
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refusal::BadRequestLine,
    );
    check(
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        Refusal::BadRequestLine,
    );
    check(
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refusal::BadRequestLine,
    );
    check(b"GET /\r\nHost: a\r\n\r\n", Refusal::BadRequestLine);
    check(b"GET\r\nHost: a\r\n\r\n", Refusal::BadRequestLine);
    check(b"GET / ICE/1.0\r\nHost: a\r\n\r\n", Refusal::BadRequestLine);
    check(
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        Refusal::BadRequestLine,
    );
    check(b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refusal::BadVersion);
    check(b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refusal::BadVersion);
    check(b"GET / HTTP/11\r\nHost: a\r\n\r\n", Refusal::BadVersion);
    check(
        b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        Refusal::UnsupportedVersion,
    );
    check(
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        Refusal::UnsupportedVersion,
    );
}

#[test]
fn requests_refused_for_a_field_line() {
    let check = refused_request;
    check(b"GET / HTTP/1.1\r\nHost: a\n", Refusal::BareLf);
    check(b"GET / HTTP/1.1\r\nHost: a\n\r\n", Refusal::BareLf);
    check(b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", Refusal::BareLf);
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nB:\nC: d\r\n\r\n",
        Refusal::BareLf,
    );
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\n", Refusal::BareLf);
    check(b"GET / HTTP/1.1\r\nHost: a\n\n", Refusal::BareLf);
    check(b"GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n", Refusal::BareCr);
    check(b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Refusal::BareCr);
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\n\rB: c\r\n\r\n",
        Refusal::BareCr,
    );
    check(b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", Refusal::Nul);
    check(b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", Refusal::Nul);
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        Refusal::ControlCharacter,
    );
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        Refusal::ControlCharacter,
    );
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n",
        Refusal::ControlCharacter,
    );
    check(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refusal::ObsFold);
    check(b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Refusal::ObsFold);
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\n\tb: c\r\n\r\n",
        Refusal::ObsFold,
    );
    check(
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        Refusal::WhitespaceBeforeColon,
    );
    check(
        b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        Refusal::WhitespaceBeforeColon,
    );
    check(
        b"GET / HTTP/1.2\r\nHost : a\r\n\r\n",
        Refusal::WhitespaceBeforeColon,
    );
    check(b"GET / HTTP/1.1\r\n: a\r\n\r\n", Refusal::EmptyFieldName);
    check(b"GET / HTTP/1.1\r\nHost\r\n\r\n", Refusal::MissingColon);
    check(b"GET / HTTP/1.1\r\nHo(st: a\r\n\r\n", Refusal::BadFieldName);
    check(
        b"GET / HTTP/1.1\r\nHo\xe9st: a\r\n\r\n",
        Refusal::BadFieldName,
    );
}

#[test]
fn requests_refused_for_target_or_host() {
    let check = refused_request;
    check(
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        Refusal::BadTarget,
    );
    check(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadTarget);
    check(b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadTarget);
    check(b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadTarget);
    check(b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadTargetForm);
    check(
        b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refusal::BadTargetForm,
    );
    check(b"GET / HTTP/1.1\r\n\r\n", Refusal::MissingHost);
    check(b"GET / HTTP/1.2\r\n\r\n", Refusal::MissingHost);
    check(b"GET http://a/ HTTP/1.1\r\n\r\n", Refusal::MissingHost);
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        Refusal::DuplicateHost,
    );
    check(
        b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
        Refusal::DuplicateHost,
    );
    for host in ["a b", "a/b", "a:b", "user@a", "a:99999", "[::1", "a?b"] {
        let origin = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        check(origin.as_bytes(), Refusal::BadHost);
        let absolute = format!("GET http://a/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        check(absolute.as_bytes(), Refusal::BadHost);
    }
    for (line, host) in [
        ("GET http://a.example/", "b.example"),
        ("GET http://a.example/", ""),
        ("GET http://a.example", "a.example."),
        ("GET http://a.example:81/", "a.example"),
        ("GET http://a.example:81/", "a.example:82"),
        ("GET http://a.example/", "a.example:443"),
        ("GET https://a.example:80/", "a.example"),
        ("CONNECT a.example:80", "b.example"),
        ("CONNECT a.example:80", "b.example:80"),
        ("CONNECT a.example:8080", "a.example"),
        ("CONNECT a.example:443", "a.example:80"),
    ] {
        for version in ["1.0", "1.1"] {
            let bytes = format!("{line} HTTP/{version}\r\nHost: {host}\r\n\r\n");
            check(bytes.as_bytes(), Refusal::HostMismatch);
        }
    }
    let options = "a,".repeat(33);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {options}\r\n\r\n");
    check(many.as_bytes(), Refusal::TooManyConnectionOptions);
}

#[test]
fn request_accessors() {
    let bytes = b"\r\nPOST http://User.example:8080?q=1 HTTP/1.1\r\nHost: user.EXAMPLE:8080\r\nConnection: Keep-Alive, x-a\r\n\
        connection: close\r\nUpgrade: websocket, b\r\n\r\n";
    let (_, head) = request(bytes);
    assert_eq!(head.method(), Method::Post);
    assert_eq!(head.method_bytes(bytes), b"POST");
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.target_form(), TargetForm::Absolute);
    assert_eq!(head.target(bytes), b"http://User.example:8080?q=1");
    assert_eq!(head.host(bytes), b"User.example");
    assert_eq!(head.port(), Some(8080));
    assert_eq!(head.authority(bytes), b"User.example:8080");
    assert_eq!(head.path(bytes), b"/");
    assert_eq!(head.query(bytes), Some(b"q=1".as_slice()));
    let options = head.fields().connection();
    assert!(options.close && options.keep_alive && options.names_fields && !options.upgrade);
    assert!(
        head.fields()
            .list_contains(Known::Upgrade, bytes, b"WebSocket")
    );
    assert!(!head.fields().list_contains(Known::Upgrade, bytes, b"web"));
    assert_eq!(
        head.fields().value(Known::Host, bytes),
        Some(b"user.EXAMPLE:8080".as_slice())
    );
    assert_eq!(head.fields().values_named(b"CONNECTION", bytes).count(), 2);
    assert_eq!(head.fields().values_named(b"x-nothing", bytes).count(), 0);
}

#[test]
fn targets_as_later_code_sees_them() {
    let check = |line: &str, path: &str, query: Option<&str>, host: &str, port: Option<u16>| {
        let bytes = format!("{line} HTTP/1.1\r\nHost: h:1\r\n\r\n");
        let (_, head) = request(bytes.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let arena = bytes.as_bytes();
        let found = (
            text(head.path(arena)),
            head.query(arena).map(text),
            text(head.host(arena)),
            head.port(),
        );
        let expected = (
            path.to_owned(),
            query.map(str::to_owned),
            host.to_owned(),
            port,
        );
        assert_eq!(found, expected, "{line}");
    };
    check("GET /a?b", "/a", Some("b"), "h", Some(1));
    check("GET /", "/", None, "h", Some(1));
    check("OPTIONS *", "*", None, "h", Some(1));
    check("OPTIONS http://c", "*", None, "c", None);
    check("OPTIONS http://c/", "/", None, "c", None);
    check("OPTIONS http://c?d", "/", Some("d"), "c", None);
    check("GET http://c:3/d", "/d", None, "c", Some(3));
    check("CONNECT c:2", "", None, "c", Some(2));
}

#[test]
fn responses() {
    accepted_response(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 200, b"OK");
    accepted_response(b"HTTP/1.1 200 \r\n\r\n", 200, b"");
    accepted_response(b"HTTP/1.1 200\r\n\r\n", 200, b"");
    accepted_response(b"HTTP/1.1 200\r\nA: b\r\n\r\n", 200, b"");
    accepted_response(
        b"HTTP/1.0 404 Not Found at all\r\n\r\n",
        404,
        b"Not Found at all",
    );
    accepted_response(
        b"HTTP/1.1 500 Ori\xc3\xabntatie\r\n\r\n",
        500,
        b"Ori\xc3\xabntatie",
    );
    accepted_response(b"HTTP/1.3 999 x\r\n\r\n", 999, b"x");
    accepted_response(
        b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\n\r\n",
        101,
        b"Switching",
    );
    refused_response(b"\r\nHTTP/1.1 200 OK\r\n\r\n", Refusal::BadStatusLine);
    refused_response(b"HTTP/1.1 200 OK\n\r\n", Refusal::BareLf);
    refused_response(b"HTTP/1.1 200\n\r\n", Refusal::BareLf);
    refused_response(b"HTTP/1.1 200 OK\r\nA: b\n\r\n", Refusal::BareLf);
    refused_response(b"HTTP/1.1 200 OK\r\n\n", Refusal::BareLf);
    refused_response(b"HTTP/1.1 200 OK\rA: b\r\n\r\n", Refusal::BareCr);
    refused_response(b"HTTP/1.1 200 O\0K\r\n\r\n", Refusal::Nul);
    refused_response(b"HTTP/1.1 200 O\x01K\r\n\r\n", Refusal::ControlCharacter);
    refused_response(b"HTTP/1.1 20 OK\r\n\r\n", Refusal::BadStatus);
    refused_response(b"HTTP/1.1 2000 OK\r\n\r\n", Refusal::BadStatus);
    refused_response(b"HTTP/1.1 099 OK\r\n\r\n", Refusal::BadStatus);
    refused_response(b"HTTP/1.1  200 OK\r\n\r\n", Refusal::BadStatus);
    refused_response(b"HTTP/1.1\t200 OK\r\n\r\n", Refusal::BadStatusLine);
    refused_response(b"HTTP/2.0 200 OK\r\n\r\n", Refusal::UnsupportedVersion);
    refused_response(b"HTTP/11.1 200 OK\r\n\r\n", Refusal::BadVersion);
    refused_response(b"ICE/1.1 200 OK\r\n\r\n", Refusal::BadStatusLine);
    refused_response(b"SSH-2.0-OpenSSH_9.2\r\n", Refusal::BadStatusLine);
    refused_response(
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        Refusal::WhitespaceBeforeColon,
    );
    refused_response(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Refusal::ObsFold);
}

#[test]
fn limits_of_heads() {
    let limits = HeadLimits {
        head_bytes: 100,
        target_bytes: 20,
        fields: 3,
        ..HeadLimits::default()
    };
    let check = |text: &str, expected: Result<(), Refusal>| {
        let expected = expected.map_or_else(Parsed::Refused, |()| Parsed::Complete {
            head_len: text.len(),
        });
        let parsed = parse_request(text.as_bytes(), 0, &limits, &mut RequestHead::new());
        assert_eq!(parsed, expected, "{text:?}");
        assert_eq!(
            request_bytewise(text.as_bytes(), &limits),
            expected,
            "bytewise {text:?}"
        );
    };
    let long = |count: usize| "a".repeat(count);
    check(&format!("GET /{} HTTP/1.0\r\n\r\n", long(19)), Ok(()));
    check(
        &format!("GET /{} HTTP/1.0\r\n\r\n", long(20)),
        Err(Refusal::UriTooLong),
    );
    check(&format!("GET /{} ", long(60)), Err(Refusal::UriTooLong));
    check(&format!("GET /{}", long(200)), Err(Refusal::UriTooLong));
    check(&format!("{} / HTTP/1.0\r\n\r\n", long(64)), Ok(()));
    check(
        &format!("{} / HTTP/1.0\r\n\r\n", long(65)),
        Err(Refusal::MethodTooLong),
    );
    check(&long(65), Err(Refusal::MethodTooLong));
    check(
        &format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", long(77)),
        Ok(()),
    );
    check(
        &format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", long(78)),
        Err(Refusal::HeadTooLarge),
    );
    check(
        &format!("GET / HTTP/1.0\r\nA: {}", long(90)),
        Err(Refusal::HeadTooLarge),
    );
    check("GET / HTTP/1.0\r\nA: 1\r\nA: 2\r\nA: 3\r\n\r\n", Ok(()));
    check(
        "GET / HTTP/1.0\r\nA: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\n\r\n",
        Err(Refusal::TooManyFields),
    );
}

#[test]
fn host_may_be_left_out_where_the_limits_say_so() {
    let limits = HeadLimits {
        host_required: false,
        ..HeadLimits::default()
    };
    let bytes = b"GET /a HTTP/1.1\r\n\r\n";
    let mut head = RequestHead::new();
    let complete = Parsed::Complete {
        head_len: bytes.len(),
    };
    assert_eq!(parse_request(bytes, 0, &limits, &mut head), complete);
    assert_eq!(head.host(bytes), b"");
}

#[test]
fn more_fields_than_stand_on_the_stack() {
    let limits = HeadLimits {
        fields: 1000,
        ..HeadLimits::default()
    };
    let with = |count: usize| {
        let fields = "A:1\r\n".repeat(count);
        format!("GET / HTTP/1.0\r\n{fields}\r\n")
    };
    let mut head = RequestHead::new();
    for (count, expected) in [(257, true), (1000, true), (1001, false)] {
        let text = with(count);
        let parsed = parse_request(text.as_bytes(), 0, &limits, &mut head);
        let whole = Parsed::Complete {
            head_len: text.len(),
        };
        let refused = Parsed::Refused(Refusal::TooManyFields);
        assert_eq!(parsed, if expected { whole } else { refused }, "{count}");
        if expected {
            assert_eq!(head.fields().as_slice().len(), count);
        }
    }
    let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A:1\r\n".repeat(600));
    let parsed = parse_response(text.as_bytes(), 0, &limits, &mut ResponseHead::new());
    assert_eq!(
        parsed,
        Parsed::Complete {
            head_len: text.len()
        }
    );
}
