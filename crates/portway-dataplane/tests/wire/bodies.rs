//! Bodies both ways: lengths, chunks, ends, and responses before their time.

use crate::row::{OK, Row, Then, check_all};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET10: &str = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";

#[test]
fn request_bodies_arrive_whole() {
    let check = |name, client: &[&str], received| {
        check_all(&[Row {
            name,
            client,
            received,
            ..Row::default()
        }]);
    };
    check(
        "with a length, in one piece",
        &["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"],
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    );
    check(
        "with a length, in pieces",
        &[
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "he",
            "ll",
            "o",
        ],
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    );
    check(
        "a length of 0 stays",
        &["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    );
    check(
        "leading zeros of a length go",
        &["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello"],
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    );
    check(
        "GET with a body",
        &["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"],
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    );
    check(
        "chunked: extensions go, sizes are canonical",
        &[
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005;a=b;c=\"d\"\r\nhello\r\n0\r\n\r\n",
        ],
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    check(
        "chunked in any case",
        &[
            "POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\nHost: a\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        ],
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    );
    check(
        "chunked and empty",
        &["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    check(
        "trailers pass",
        &[
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
        ],
        "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    check_all(&[Row {
        name: "HTTP/1.0 with a length, kept alive",
        client: &[
            "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
        ],
        received: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        ..Row::default()
    }]);
}

#[test]
fn chunks_cut_anywhere_carry_the_same_data() {
    let body = "3\r\nabc\r\n10;x\r\n0123456789abcdef\r\n0\r\nT: 1\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for cut in 1..body.len() {
        let target = portway_testkit::peer::Target::answering(&[&[OK]]).unwrap();
        let proxy =
            crate::harness::Proxy::start(&crate::harness::simple("", "", &[target.address()]));
        let mut client = proxy.client();
        client
            .send_pieces(&[&[head, &body[..cut]].concat(), &body[cut..]])
            .unwrap();
        crate::row::same("cut", &client.receive(OK.len()).unwrap(), OK);
        let received = target.received_in_all();
        let mut data = String::new();
        let mut rest = received.strip_prefix(head).unwrap();
        loop {
            let (size, more) = rest.split_once("\r\n").unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if size == 0 {
                assert_eq!(more, "T: 1\r\n\r\n", "cut at {cut}");
                break;
            }
            data.push_str(&more[..size]);
            rest = more[size..].strip_prefix("\r\n").unwrap();
        }
        assert_eq!(data, "abc0123456789abcdef", "cut at {cut}");
        drop(client);
        proxy.finish(1);
    }
}

#[test]
fn response_bodies_arrive_whole() {
    let check = |name, request: &str, answer: &[&str], response, then| {
        let received = request.replace("HTTP/1.0", "HTTP/1.1");
        check_all(&[Row {
            name,
            client: &[request],
            received: &received,
            answer,
            response,
            then,
            ..Row::default()
        }]);
    };
    use Then::{Closed, KeptAlive};
    check(
        "in pieces",
        GET,
        &["HTTP/1.1 200 OK\r\nConte", "nt-Length: 5\r\n\r\nhe", "llo"],
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        KeptAlive,
    );
    check(
        "empty",
        GET,
        &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        KeptAlive,
    );
    check(
        "without a reason",
        GET,
        &["HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"],
        "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        KeptAlive,
    );
    check(
        "a target of HTTP/1.0",
        GET,
        &["HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", ""],
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        KeptAlive,
    );
    check(
        "chunked with extensions and trailers",
        GET,
        &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        ],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        KeptAlive,
    );
    check(
        "chunked for HTTP/1.0: without chunks, ended by the end",
        GET10,
        &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            "1\r\n!\r\n0\r\nX-T: 1\r\n\r\n",
        ],
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok!",
        Closed,
    );
    check(
        "ended by the end: chunked for HTTP/1.1",
        GET,
        &["HTTP/1.1 200 OK\r\n\r\n", "ok", "!", ""],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
        KeptAlive,
    );
    check(
        "ended by the end and empty",
        GET,
        &["HTTP/1.1 200 OK\r\n\r\n", ""],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        KeptAlive,
    );
    check(
        "ended by the end for HTTP/1.0",
        GET10,
        &["HTTP/1.1 200 OK\r\n\r\n", "ok", ""],
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        Closed,
    );
    check(
        "HEAD with a length",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        KeptAlive,
    );
    check(
        "HEAD of what would be chunked",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
        "HTTP/1.1 200 OK\r\n\r\n",
        KeptAlive,
    );
    check(
        "304 with a length",
        GET,
        &["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n"],
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
        KeptAlive,
    );
    check(
        "204",
        GET,
        &["HTTP/1.1 204 No Content\r\n\r\n"],
        "HTTP/1.1 204 No Content\r\n\r\n",
        KeptAlive,
    );
    check(
        "204 that claims a length",
        GET,
        &["HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"],
        "HTTP/1.1 204 No Content\r\n\r\n",
        KeptAlive,
    );
}

#[test]
fn interim_responses_are_relayed() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let check = |name, request: &str, received: &str, answer: &[&str], response, then| {
        check_all(&[Row {
            name,
            client: &[request],
            received,
            answer,
            response,
            then,
            ..Row::default()
        }]);
    };
    check(
        "103, then the response",
        GET,
        GET,
        &[
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n",
            OK,
        ],
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Then::KeptAlive,
    );
    check(
        "three in one piece",
        post,
        post,
        &[
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ],
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Then::KeptAlive,
    );
    check(
        "not to HTTP/1.0",
        GET10,
        GET,
        &["HTTP/1.1 103 Early Hints\r\n\r\n", OK],
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        Then::Closed,
    );
    check(
        "HTTP/1.0 expects nothing",
        "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        &[OK],
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        Then::Closed,
    );
}
