//! Framing of requests and responses: every way of saying where a body ends.
#![cfg(test)]

use portway_core::http1::{
    BodyLength, HOP_BY_HOP, HeadLimits, Known, Method, Parsed, Refusal, RequestHead, ResponseBody,
    ResponseHead, copy_end_to_end, parse_request, parse_response, request_framing,
    response_framing,
};

fn parsed_request(start: &str, fields: &str) -> (Vec<u8>, RequestHead) {
    let host = if start.starts_with("CONNECT") {
        "a:1"
    } else {
        "a"
    };
    let bytes = format!("{start}\r\nHost: {host}\r\n{fields}\r\n").into_bytes();
    let mut head = RequestHead::new();
    let parsed = parse_request(&bytes, 0, &HeadLimits::default(), &mut head);
    assert_eq!(
        parsed,
        Parsed::Complete {
            head_len: bytes.len()
        },
        "{}",
        bytes.escape_ascii()
    );
    (bytes, head)
}

fn parsed_response(start: &str, fields: &str) -> (Vec<u8>, ResponseHead) {
    let bytes = format!("{start}\r\n{fields}\r\n").into_bytes();
    let mut head = ResponseHead::new();
    let parsed = parse_response(&bytes, 0, &HeadLimits::default(), &mut head);
    assert_eq!(
        parsed,
        Parsed::Complete {
            head_len: bytes.len()
        },
        "{}",
        bytes.escape_ascii()
    );
    (bytes, head)
}

const V11: &str = "POST / HTTP/1.1";
const V10: &str = "POST / HTTP/1.0";

#[test]
fn request_bodies() {
    let check = |start: &str, fields: &str, expected: Result<BodyLength, Refusal>| {
        let (bytes, head) = parsed_request(start, fields);
        let found = request_framing(&head, &bytes).map(|framing| framing.body);
        assert_eq!(found, expected, "{start} {fields:?}");
    };
    check(V11, "", Ok(BodyLength::None));
    check(
        "GET / HTTP/1.1",
        "Content-Length: 5\r\n",
        Ok(BodyLength::Length(5)),
    );
    check(V11, "Content-Length: 0\r\n", Ok(BodyLength::Length(0)));
    check(V11, "content-length:\t5 \r\n", Ok(BodyLength::Length(5)));
    check(V11, "Content-Length: 0005\r\n", Ok(BodyLength::Length(5)));
    check(
        V11,
        "Content-Length: 18446744073709551615\r\n",
        Ok(BodyLength::Length(u64::MAX)),
    );
    check(V10, "Content-Length: 5\r\n", Ok(BodyLength::Length(5)));
    check(
        V11,
        "Transfer-Encoding: chunked\r\n",
        Ok(BodyLength::Chunked),
    );
    check(
        V11,
        "transfer-encoding: CHUNKED\r\n",
        Ok(BodyLength::Chunked),
    );
    check(V11, "Content-Length-X: 5\r\n", Ok(BodyLength::None));

    for value in [
        "", "+5", "-1", "5 5", "5x", "0x5", "5.0", "5;a", "\u{665}", "1e3", "'5'",
    ] {
        check(
            V11,
            &format!("Content-Length: {value}\r\n"),
            Err(Refusal::BadContentLength),
        );
    }
    for value in ["18446744073709551616", "99999999999999999999999999"] {
        check(
            V11,
            &format!("Content-Length: {value}\r\n"),
            Err(Refusal::ContentLengthOverflow),
        );
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: ,5\r\n",
    ] {
        check(V11, fields, Err(Refusal::DuplicateContentLength));
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: gzip\r\n",
        "Content-Length: x\r\nTransfer-Encoding: \r\n",
    ] {
        check(V11, fields, Err(Refusal::TeAndCl));
        check(V10, fields, Err(Refusal::TeAndCl));
    }
    check(
        V10,
        "Transfer-Encoding: chunked\r\n",
        Err(Refusal::TeInHttp10),
    );
}

#[test]
fn transfer_codings() {
    let check = |values: &[&str], expected: Refusal| {
        let lines: Vec<_> = values
            .iter()
            .map(|value| format!("Transfer-Encoding: {value}\r\n"))
            .collect();
        let fields = lines.concat();
        let (bytes, head) = parsed_request(V11, &fields);
        assert_eq!(request_framing(&head, &bytes), Err(expected), "{values:?}");
        let (bytes, head) = parsed_response("HTTP/1.1 200 OK", &fields);
        assert_eq!(
            response_framing(&head, &bytes, Method::Get),
            Err(expected),
            "{values:?}"
        );
    };
    for values in [
        ["gzip"].as_slice(),
        &["identity"],
        &["chunkedchunked"],
        &["xchunked"],
        &["chunked;q=1"],
    ] {
        check(values, Refusal::ChunkedNotFinal);
    }
    for values in [
        ["gzip, chunked"].as_slice(),
        &["gzip", "chunked"],
        &["identity, chunked"],
    ] {
        check(values, Refusal::UnknownTransferCoding);
    }
    check(&["chunked, gzip"], Refusal::ChunkedNotFinal);
    check(&["chunked", "identity"], Refusal::ChunkedNotFinal);
    check(&["chunked, chunked"], Refusal::ChunkedTwice);
    check(&["chunked", "chunked"], Refusal::ChunkedTwice);
    check(&["Chunked, gzip, chunked"], Refusal::ChunkedTwice);
    for values in [
        [""].as_slice(),
        &[","],
        &["chunked,"],
        &[",chunked"],
        &["chunked foo"],
        &["\"chunked\""],
        &["chunked", ""],
        &["chunked\u{a0}"],
        &[";chunked"],
    ] {
        check(values, Refusal::BadTransferEncoding);
    }
}

#[test]
fn keep_alive_expectations_and_upgrades() {
    let check = |start: &str, fields: &str, expected: (bool, bool, bool)| {
        let (bytes, head) = parsed_request(start, fields);
        let framing = request_framing(&head, &bytes).unwrap();
        let found = (framing.keep_alive, framing.expect_continue, framing.upgrade);
        assert_eq!(found, expected, "{start} {fields:?}");
    };
    check(V11, "", (true, false, false));
    check(V10, "", (false, false, false));
    check(V10, "Connection: keep-alive\r\n", (true, false, false));
    check(
        V10,
        "Connection: Keep-Alive, close\r\n",
        (false, false, false),
    );
    check(V11, "Connection: close\r\n", (false, false, false));
    check(
        V11,
        "Connection: x\r\nConnection: CLOSE\r\n",
        (false, false, false),
    );
    check(V11, "Connection: closed\r\n", (true, false, false));
    check(V11, "Proxy-Connection: close\r\n", (true, false, false));
    check(
        V11,
        "Expect: 100-Continue\r\nContent-Length: 1\r\n",
        (true, true, false),
    );
    check(
        V11,
        "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
        (true, true, false),
    );
    check(V11, "Expect: 100-continue\r\n", (true, false, false));
    check(
        V11,
        "Expect: 100-continue\r\nContent-Length: 0\r\n",
        (true, false, false),
    );
    check(
        V11,
        "Expect: other\r\nContent-Length: 1\r\n",
        (true, false, false),
    );
    check(
        V10,
        "Expect: 100-continue\r\nContent-Length: 1\r\n",
        (false, false, false),
    );
    check(
        V11,
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        (true, false, true),
    );
    check(
        V11,
        "Connection: keep-alive, Upgrade\r\nUpgrade: a/1, b\r\n",
        (true, false, true),
    );
    check(V11, "Upgrade: websocket\r\n", (true, false, false));
    check(V11, "Connection: Upgrade\r\n", (true, false, false));
    check(
        V11,
        "Connection: Upgrade\r\nUpgrade: ,\r\n",
        (true, false, false),
    );
    check(
        V11,
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        (true, false, false),
    );
    check(
        V11,
        "Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n",
        (true, false, false),
    );
    check(
        V11,
        "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
        (true, false, false),
    );
    check(
        V11,
        "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
        (true, false, false),
    );
    check(
        V10,
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        (false, false, false),
    );
}

#[test]
fn connect_has_no_content() {
    let check = |fields: &str, expected: Result<BodyLength, Refusal>| {
        let (bytes, head) = parsed_request("CONNECT a:1 HTTP/1.1", fields);
        let found = request_framing(&head, &bytes).map(|framing| framing.body);
        assert_eq!(found, expected, "{fields:?}");
    };
    check("", Ok(BodyLength::None));
    check("Content-Length: 0\r\n", Ok(BodyLength::Length(0)));
    check("Content-Length: 1\r\n", Err(Refusal::BodyOnConnect));
    check(
        "Transfer-Encoding: chunked\r\n",
        Err(Refusal::BodyOnConnect),
    );
}

#[test]
fn response_bodies() {
    let check = |method: Method,
                 start: &str,
                 fields: &str,
                 expected: Result<(ResponseBody, bool), Refusal>| {
        let (bytes, head) = parsed_response(start, fields);
        let found = response_framing(&head, &bytes, method);
        let found = found.map(|framing| (framing.body, framing.keep_alive));
        assert_eq!(found, expected, "{method:?} {start} {fields:?}");
    };
    use ResponseBody::{Chunked, Length, None, UntilClose};
    let ok = "HTTP/1.1 200 OK";
    check(
        Method::Get,
        ok,
        "Content-Length: 5\r\n",
        Ok((Length(5), true)),
    );
    check(
        Method::Get,
        ok,
        "Transfer-Encoding: chunked\r\n",
        Ok((Chunked, true)),
    );
    check(Method::Get, ok, "", Ok((UntilClose, false)));
    check(
        Method::Get,
        ok,
        "Connection: close\r\nContent-Length: 5\r\n",
        Ok((Length(5), false)),
    );
    check(
        Method::Get,
        "HTTP/1.0 200 OK",
        "Content-Length: 5\r\n",
        Ok((Length(5), false)),
    );
    check(
        Method::Get,
        "HTTP/1.0 200 OK",
        "Content-Length: 5\r\nConnection: keep-alive\r\n",
        Ok((Length(5), true)),
    );
    check(Method::Head, ok, "Content-Length: 5\r\n", Ok((None, true)));
    check(
        Method::Head,
        ok,
        "Transfer-Encoding: chunked\r\n",
        Ok((None, true)),
    );
    check(Method::Head, ok, "", Ok((None, true)));
    check(
        Method::Get,
        "HTTP/1.1 304 x",
        "Content-Length: 5\r\n",
        Ok((None, true)),
    );
    check(
        Method::Get,
        "HTTP/1.1 304 x",
        "Transfer-Encoding: chunked\r\n",
        Ok((None, true)),
    );
    check(Method::Get, "HTTP/1.1 204 x", "", Ok((None, true)));
    check(
        Method::Get,
        "HTTP/1.1 204 x",
        "Content-Length: 0\r\n",
        Ok((None, true)),
    );
    check(
        Method::Get,
        "HTTP/1.1 204 x",
        "Content-Length: 5\r\n",
        Ok((None, false)),
    );
    check(
        Method::Get,
        "HTTP/1.1 204 x",
        "Transfer-Encoding: chunked\r\n",
        Ok((None, false)),
    );
    check(Method::Get, "HTTP/1.1 100 x", "", Ok((None, true)));
    check(
        Method::Get,
        "HTTP/1.1 101 x",
        "Upgrade: websocket\r\n",
        Ok((None, true)),
    );
    check(
        Method::Get,
        "HTTP/1.1 103 x",
        "Link: a\r\n",
        Ok((None, true)),
    );
    check(Method::Connect, ok, "", Ok((None, true)));
    check(
        Method::Connect,
        ok,
        "Content-Length: 5\r\n",
        Ok((None, false)),
    );
    check(
        Method::Connect,
        "HTTP/1.1 403 x",
        "Content-Length: 5\r\n",
        Ok((Length(5), true)),
    );

    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let twice = "Content-Length: 5\r\nContent-Length: 5\r\n";
    for method in [Method::Get, Method::Head, Method::Connect] {
        for start in [ok, "HTTP/1.1 304 x", "HTTP/1.1 204 x", "HTTP/1.1 100 x"] {
            check(method, start, both, Err(Refusal::TeAndCl));
            check(method, start, twice, Err(Refusal::DuplicateContentLength));
            check(
                method,
                start,
                "Content-Length: -5\r\n",
                Err(Refusal::BadContentLength),
            );
        }
    }
    check(
        Method::Get,
        "HTTP/1.0 200 OK",
        "Transfer-Encoding: chunked\r\n",
        Err(Refusal::TeInHttp10),
    );
}

#[test]
fn contradicting_fields_are_dropped() {
    let check = |method: Method, start: &str, expected: bool| {
        let (bytes, head) = parsed_response(start, "Content-Length: 0\r\n");
        let framing = response_framing(&head, &bytes, method).unwrap();
        assert_eq!(
            framing.drop.contains(Known::ContentLength),
            expected,
            "{method:?} {start}"
        );
    };
    check(Method::Get, "HTTP/1.1 200 x", false);
    check(Method::Head, "HTTP/1.1 200 x", false);
    check(Method::Get, "HTTP/1.1 304 x", false);
    check(Method::Get, "HTTP/1.1 204 x", true);
    check(Method::Get, "HTTP/1.1 100 x", true);
    check(Method::Connect, "HTTP/1.1 200 x", true);
}

#[test]
fn what_may_be_repaired_is_repaired_where_the_limits_say_so() {
    let limits = HeadLimits {
        lenient: true,
        ..HeadLimits::default()
    };
    let check =
        |version: &str, fields: &str, expected: Result<(BodyLength, bool, &str), Refusal>| {
            let bytes = format!("POST / {version}\r\nHost: a\r\n{fields}\r\n").into_bytes();
            let mut head = RequestHead::new();
            let found = match parse_request(&bytes, 0, &limits, &mut head) {
                Parsed::Refused(refusal) => Err(refusal),
                _ => request_framing(&head, &bytes),
            };
            let mut sent = Vec::new();
            copy_end_to_end(head.fields(), &bytes, HOP_BY_HOP, &mut sent);
            let sent = String::from_utf8(sent).unwrap();
            let found = found.map(|it| (it.body, it.keep_alive, sent.as_str()));
            assert_eq!(found, expected, "{fields:?}");
        };
    let three = Ok((
        BodyLength::Length(3),
        true,
        "Host: a\r\nContent-Length: 3\r\n",
    ));
    check(
        "HTTP/1.1",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        three,
    );
    check(
        "HTTP/1.1",
        "Content-Length: 3, 03\r\ncontent-length: 003\r\n",
        three,
    );
    for fields in [
        "Content-Length: 3, 4\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
    ] {
        check("HTTP/1.1", fields, Err(Refusal::DuplicateContentLength));
    }
    for fields in [
        "Content-Length: 3,\r\n",
        "Content-Length: 3, +3\r\n",
        "Content-Length: 3,,3\r\n",
    ] {
        check("HTTP/1.1", fields, Err(Refusal::BadContentLength));
    }
    let chunked = Ok((BodyLength::Chunked, false, "Host: a\r\nX: y\r\n"));
    let coded =
        "Content-Length: 31\r\nTransfer-Encoding: chunked\r\nX: y\r\nContent-Length: 32\r\n";
    check("HTTP/1.1", coded, chunked);
    check(
        "HTTP/1.0",
        "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nX: y\r\n",
        chunked,
    );
    check(
        "HTTP/1.1",
        "Host: a\r\nContent-Length: 3\r\nHost: a\r\n",
        three,
    );
    check("HTTP/1.1", "Host: b\r\n", Err(Refusal::DuplicateHost));
}

#[test]
fn blanks_and_ports_are_not_looked_at_closely_where_the_limits_say_so() {
    let check = |text: &str, strict: Result<(), Refusal>, expected: (&str, &str)| {
        for (lenient, wanted) in [(false, strict), (true, Ok(()))] {
            let limits = HeadLimits {
                lenient,
                ..HeadLimits::default()
            };
            let mut head = RequestHead::new();
            let found = match parse_request(text.as_bytes(), 0, &limits, &mut head) {
                Parsed::Refused(refusal) => Err(refusal),
                _ => Ok(()),
            };
            assert_eq!(found, wanted, "{text:?}");
            if lenient {
                let target = String::from_utf8_lossy(head.target(text.as_bytes()));
                let host = head.host(text.as_bytes());
                assert_eq!(
                    (&*target, host),
                    (expected.0, expected.1.as_bytes()),
                    "{text:?}"
                );
            }
        }
    };
    let blanks = Err(Refusal::BadRequestLine);
    let text = "GET   /x  HTTP/1.1\r\nHost: a\r\n\r\n";
    check(text, blanks, ("/x", "a"));
    let version = Err(Refusal::UnsupportedVersion);
    let text = "GET /x HTTP/2.0\r\nHost: a\r\n\r\n";
    check(text, version, ("/x", "a"));
    let port = Err(Refusal::BadHost);
    let text = "GET / HTTP/1.1\r\nHost: :80a.example\r\n\r\n";
    check(text, port, ("/", ":80a.example"));
    let text = "GET / HTTP/1.1\r\nHost: :80\r\n\r\n";
    check(text, Ok(()), ("/", ""));
    let limits = HeadLimits {
        lenient: true,
        ..HeadLimits::default()
    };
    for text in [
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    ] {
        let parsed = parse_request(text.as_bytes(), 0, &limits, &mut RequestHead::new());
        assert_eq!(parsed, Parsed::Refused(Refusal::BadHost), "{text:?}");
    }
}

#[test]
fn a_response_may_be_repaired_too() {
    let limits = HeadLimits {
        lenient: true,
        ..HeadLimits::default()
    };
    let check = |text: &str, expected: (ResponseBody, bool)| {
        let mut head = ResponseHead::new();
        parse_response(text.as_bytes(), 0, &limits, &mut head);
        let found = response_framing(&head, text.as_bytes(), Method::Get).unwrap();
        assert_eq!((found.body, found.keep_alive), expected, "{text:?}");
    };
    let both = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n";
    check(both, (ResponseBody::Chunked, false));
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(old, (ResponseBody::Chunked, false));
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n";
    check(twice, (ResponseBody::Length(3), true));
}
