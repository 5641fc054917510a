//! What is sent on: end-to-end fields, forwarding facts, canonical form.
#![cfg(test)]

use std::net::IpAddr;

use portway_core::http1::{
    ForwardedFields, ForwardedMode, HOP_BY_HOP, HeadLimits, Hop, Known, KnownSet, Parsed,
    RequestHead, Version, client_address, copy_end_to_end, parse_request, write_chunk_head,
    write_content_length, write_end_of_head, write_field, write_last_chunk, write_request_line,
    write_status_line, write_upgrade,
};

fn parsed(fields: &str) -> (Vec<u8>, RequestHead) {
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
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

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn end_to_end_fields() {
    let check = |fields: &str, drop: KnownSet, expected: &str| {
        let (bytes, head) = parsed(fields);
        let mut out = Vec::new();
        copy_end_to_end(head.fields(), &bytes, drop, &mut out);
        assert_eq!(text(out), expected, "{fields:?}");
    };
    let hop = HOP_BY_HOP;
    check("", hop, "Host: a\r\n");
    check("B: c\r\nd: e\r\n", hop, "Host: a\r\nB: c\r\nd: e\r\n");
    check(
        "B:c\r\nd:  e\r\nf: g \r\nh:\ti\r\n",
        hop,
        "Host: a\r\nB: c\r\nd: e\r\nf: g\r\nh: i\r\n",
    );
    check(
        "B:\r\nC: \r\nD: e\r\n",
        hop,
        "Host: a\r\nB: \r\nC: \r\nD: e\r\n",
    );
    check("B: c\r\n", hop.with(Known::Host), "B: c\r\n");
    check(
        "Cookie: a\r\nB: c\r\nCookie: d\r\n",
        hop.with(Known::Cookie),
        "Host: a\r\nB: c\r\n",
    );
    check(
        "Keep-Alive: a\r\nProxy-Connection: b\r\nTE: trailers\r\nUpgrade: c\r\nHTTP2-Settings: d\r\n\
         Proxy-Authorization: e\r\nX: y\r\nTransfer-Encoding: chunked\r\n",
        hop,
        "Host: a\r\nX: y\r\n",
    );
    check(
        "Proxy-Authorization: e\r\n",
        hop.without(Known::ProxyAuthorization),
        "Host: a\r\nProxy-Authorization: e\r\n",
    );
    check("Connection: close\r\nX: y\r\n", hop, "Host: a\r\nX: y\r\n");
    check(
        "X-A: 1\r\nConnection: close, x-a ,X-B\r\nX-B: 2\r\nX-C: 3\r\n",
        hop,
        "Host: a\r\nX-C: 3\r\n",
    );
    check(
        "Connection: x-a\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 2\r\n",
        hop,
        "Host: a\r\n",
    );
    check(
        "Connection: host, cookie, content-length, authorization, x-forwarded-for, forwarded\r\n\
         Cookie: b\r\nContent-Length: 1\r\nAuthorization: c\r\nX-Forwarded-For: d\r\nForwarded: e\r\n",
        hop,
        "Host: a\r\nCookie: b\r\nContent-Length: 1\r\nAuthorization: c\r\nX-Forwarded-For: d\r\n\
         Forwarded: e\r\n",
    );
    check(
        "Content-Length: 0005\r\n",
        hop,
        "Host: a\r\nContent-Length: 5\r\n",
    );
    check(
        "Content-Length: 0 a\r\n",
        hop,
        "Host: a\r\nContent-Length: 0 a\r\n",
    );
    check(
        "Content-Length: 000\r\n",
        hop,
        "Host: a\r\nContent-Length: 0\r\n",
    );
    check(
        "Content-Length: 0\r\n",
        hop,
        "Host: a\r\nContent-Length: 0\r\n",
    );
}

#[test]
fn lines() {
    let check = |write: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(text(out), expected);
    };
    check(
        &|out| write_request_line(out, b"GET", b"/a", None, Version::Http11),
        "GET /a HTTP/1.1\r\n",
    );
    check(
        &|out| write_request_line(out, b"GET", b"/a", Some(b""), Version::Http11),
        "GET /a? HTTP/1.1\r\n",
    );
    check(
        &|out| write_request_line(out, b"GET", b"/a", Some(b"b?c"), Version::Http10),
        "GET /a?b?c HTTP/1.0\r\n",
    );
    check(
        &|out| write_status_line(out, 200, b"OK"),
        "HTTP/1.1 200 OK\r\n",
    );
    check(&|out| write_status_line(out, 999, b""), "HTTP/1.1 999 \r\n");
    check(&|out| write_field(out, b"a", b"b"), "a: b\r\n");
    check(&|out| write_content_length(out, 7), "Content-Length: 7\r\n");
    check(
        &|out| write_content_length(out, u64::MAX),
        "Content-Length: 18446744073709551615\r\n",
    );
    for (len, expected) in [
        (0, ""),
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0xabc_def0, "abcdef0\r\n"),
    ] {
        check(&|out| write_chunk_head(out, len), expected);
    }
    check(
        &|out| write_chunk_head(out, usize::MAX),
        "ffffffffffffffff\r\n",
    );
    check(
        &|out| write_last_chunk(out, b"a: b\r\n"),
        "0\r\na: b\r\n\r\n",
    );
    check(&|out| write_end_of_head(out), "\r\n");
    let upgrade = |fields: &'static str| {
        let (bytes, head) = parsed(fields);
        move |out: &mut Vec<u8>| write_upgrade(head.fields(), &bytes, out)
    };
    check(&upgrade(""), "");
    check(
        &upgrade("Upgrade: websocket\r\n"),
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
    );
    check(
        &upgrade("Upgrade: a,b\r\nupgrade: c\r\n"),
        "Connection: upgrade\r\nUpgrade: a, b, c\r\n",
    );
}

#[test]
fn forwarding_fields() {
    let check =
        |settings: ForwardedFields, peer: &str, trusted: bool, fields: &str, expected: &str| {
            let (bytes, head) = parsed(fields);
            let hop = Hop {
                peer: peer.parse().unwrap(),
                trusted,
                https: true,
                listener_port: 443,
                authority: b"a.example:443",
            };
            let mut out = Vec::new();
            let drop = settings.replaced(head.fields(), trusted).with(Known::Host);
            copy_end_to_end(head.fields(), &bytes, drop, &mut out);
            settings.write(head.fields(), &bytes, &hop, &mut out);
            assert_eq!(
                text(out),
                expected,
                "{settings:?} {peer} {trusted} {fields:?}"
            );
        };
    let all = |mode| ForwardedFields {
        x_for: mode,
        client_port: false,
        x_proto: mode,
        x_port: mode,
        x_host: mode,
        forwarded: mode,
    };
    let only_for = ForwardedFields {
        x_for: ForwardedMode::Append,
        ..all(ForwardedMode::Remove)
    };
    let only_forwarded = ForwardedFields {
        forwarded: ForwardedMode::Append,
        ..all(ForwardedMode::Remove)
    };
    let sent = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\
        X-Forwarded-Host: b\r\nForwarded: for=1.1.1.1\r\n";
    let v4 = "192.0.2.10:4711";
    let v6 = "[2001:db8::1]:4711";

    check(
        ForwardedFields::default(),
        v4,
        false,
        sent,
        "X-Forwarded-For: 1.1.1.1, 192.0.2.10\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
         X-Forwarded-Host: a.example:443\r\n",
    );
    check(
        ForwardedFields::default(),
        v4,
        true,
        sent,
        "X-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Host: b\r\n\
         X-Forwarded-For: 1.1.1.1, 192.0.2.10\r\n",
    );
    check(all(ForwardedMode::Preserve), v4, false, sent, sent);
    check(all(ForwardedMode::Remove), v4, true, sent, "");
    check(only_for, v4, false, "", "X-Forwarded-For: 192.0.2.10\r\n");
    check(only_for, v6, false, "", "X-Forwarded-For: 2001:db8::1\r\n");
    check(
        only_for,
        "[::ffff:192.0.2.10]:1",
        false,
        "",
        "X-Forwarded-For: 192.0.2.10\r\n",
    );
    check(
        only_for,
        v4,
        false,
        "X-Forwarded-For: a, b\r\nX-Forwarded-For: \r\nx-forwarded-for: c\r\n",
        "X-Forwarded-For: a, b, c, 192.0.2.10\r\n",
    );
    let with_port = ForwardedFields {
        client_port: true,
        ..only_for
    };
    check(
        with_port,
        v4,
        false,
        "",
        "X-Forwarded-For: 192.0.2.10:4711\r\n",
    );
    check(
        with_port,
        v6,
        false,
        "",
        "X-Forwarded-For: [2001:db8::1]:4711\r\n",
    );
    check(
        only_forwarded,
        v4,
        false,
        "Forwarded: for=1.1.1.1\r\n",
        "Forwarded: for=1.1.1.1, for=192.0.2.10;host=\"a.example:443\";proto=https\r\n",
    );
    check(
        only_forwarded,
        v6,
        false,
        "",
        "Forwarded: for=\"[2001:db8::1]\";host=\"a.example:443\";proto=https\r\n",
    );
    let with_port = ForwardedFields {
        client_port: true,
        ..only_forwarded
    };
    check(
        with_port,
        v4,
        false,
        "",
        "Forwarded: for=\"192.0.2.10:4711\";host=\"a.example:443\";proto=https\r\n",
    );
}

#[test]
fn client_addresses() {
    let check = |peer: &str, fields: &str, expected: &str| {
        let (bytes, head) = parsed(fields);
        let is_trusted = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.segments()[0] == 0xfd00,
        };
        let found = client_address(head.fields(), &bytes, peer.parse().unwrap(), is_trusted);
        assert_eq!(
            found,
            expected.parse::<IpAddr>().unwrap(),
            "{peer} {fields:?}"
        );
    };
    check("1.1.1.1", "", "1.1.1.1");
    check("1.1.1.1", "X-Forwarded-For: 2.2.2.2\r\n", "1.1.1.1");
    check("10.0.0.1", "", "10.0.0.1");
    check("10.0.0.1", "X-Forwarded-For: 2.2.2.2\r\n", "2.2.2.2");
    check(
        "10.0.0.1",
        "X-Forwarded-For: 3.3.3.3, 2.2.2.2, 10.0.0.2\r\n",
        "2.2.2.2",
    );
    check(
        "10.0.0.1",
        "X-Forwarded-For: 3.3.3.3\r\nX-Forwarded-For: 2.2.2.2,10.0.0.2\r\n",
        "2.2.2.2",
    );
    check(
        "10.0.0.1",
        "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n",
        "10.0.0.3",
    );
    check(
        "10.0.0.1",
        "X-Forwarded-For: 2.2.2.2, unknown, 10.0.0.2\r\n",
        "10.0.0.2",
    );
    check("10.0.0.1", "X-Forwarded-For: 2.2.2.2:80\r\n", "2.2.2.2");
    check(
        "10.0.0.1",
        "X-Forwarded-For: 2001:db8::1\r\n",
        "2001:db8::1",
    );
    check(
        "10.0.0.1",
        "X-Forwarded-For: [2001:db8::1]\r\n",
        "2001:db8::1",
    );
    check(
        "10.0.0.1",
        "X-Forwarded-For: [2001:db8::1]:80\r\n",
        "2001:db8::1",
    );
    check(
        "::ffff:10.0.0.1",
        "X-Forwarded-For: ::ffff:2.2.2.2\r\n",
        "2.2.2.2",
    );
    check("fd00::1", "X-Forwarded-For: 2.2.2.2,,\r\n", "2.2.2.2");
}
