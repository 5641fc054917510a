//! Compression of responses: which are, what their heads say, and that nothing is held back.

use crate::harness::{PLAIN, Proxy};
use portway_testkit::peer::{End, Target, Wire};
use std::io::Read;
use std::time::Duration;

/// A listener with this rule in front of a target.
fn start(rule: &str, target: &Target) -> Proxy {
    Proxy::start(&format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n{PLAIN}[[listener.web.rule]]\n{rule}\n\
         [target_group.app]\ntargets = [\"{}\"]\n",
        target.address()
    ))
}

/// Text that is worth compressing.
fn text(bytes: usize) -> String {
    let words = ["load", "balancer", "runs", "the", "configuration", "\n"];
    let mut text = String::new();
    for turn in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(words[turn * turn % words.len()]);
        text.push_str(&turn.to_string());
    }
    text.truncate(bytes);
    text
}

/// Head and body of a message, without the chunked coding.
fn parts(message: &[u8]) -> (String, Vec<u8>) {
    let end = message.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(message[..end].to_vec()).unwrap();
    let mut rest = &message[end..];
    if !head.contains("\r\nTransfer-Encoding: chunked\r\n") {
        return (head, rest.to_vec());
    }
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|it| it == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let data = &rest[line + 2..];
        body.extend_from_slice(&data[..size]);
        if size == 0 {
            break;
        }
        rest = &data[size + 2..];
    }
    (head, body)
}

fn decoded(coding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_string(&mut text),
        "deflate" => flate2::read::ZlibDecoder::new(body).read_to_string(&mut text),
        "raw-deflate" => flate2::read::DeflateDecoder::new(body).read_to_string(&mut text),
        "br" => brotli::Decompressor::new(body, 4096).read_to_string(&mut text),
        "zstd" => zstd::stream::read::Decoder::new(body)
            .unwrap()
            .read_to_string(&mut text),
        _ => (&mut &*body).read_to_string(&mut text),
    }
    .unwrap();
    text
}

/// The value of a field.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.split("\r\n");
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn get(accept: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\r\n")
}

#[test]
fn bodies_arrive_whole_in_the_coding_that_the_client_likes_best() {
    for size in [1, 1000, 16_384, 300_000] {
        let body = text(size);
        let chunks: String = body
            .as_bytes()
            .chunks(997)
            .map(|it| format!("{:x}\r\n{}\r\n", it.len(), std::str::from_utf8(it).unwrap()))
            .collect();
        let target = Target::answering(&[
            &[&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{body}"
            )],
            &[&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
            )],
        ])
        .unwrap();
        let proxy = start("compress = { min_bytes = 0 }", &target);
        let mut client = proxy.client();
        let accepted = ["gzip", "br;q=0.5, gzip;q=0.1", "zstd, gzip, br"];
        for (accept, coding) in accepted.into_iter().zip(["gzip", "br", "zstd"]) {
            for _ in 0..2 {
                client.send(get(accept)).unwrap();
                let (head, got) = parts(&client.message().unwrap());
                assert_eq!(field(&head, "Content-Encoding"), Some(coding), "{head}");
                assert_eq!(field(&head, "Content-Length"), None, "{head}");
                assert_eq!(field(&head, "Vary"), Some("Accept-Encoding"), "{head}");
                assert!(decoded(coding, &got) == body, "{size} {coding}");
                if size > 1000 {
                    assert!(got.len() < size / 2, "{size} {coding}: {}", got.len());
                }
            }
        }
        drop(client);
        // A client of HTTP/1.0 knows no chunks: the connection ends the body.
        let mut client = proxy.client();
        client
            .send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n")
            .unwrap();
        let (answer, end) = client.until_end().unwrap();
        let (head, got) = parts(&answer);
        assert_eq!(
            (field(&head, "Connection"), end),
            (Some("close"), End::Closed),
            "{head}"
        );
        assert!(decoded("gzip", &got) == body, "{size}");
        proxy.finish(7);
    }
}

/// What comes of a response with these fields and a body of 2000 bytes: the coding, Vary and ETag.
#[track_caller]
fn check(rule: &str, request: &str, response: &str, expected: [Option<&str>; 3]) {
    let body = text(2000);
    let target = Target::answering(&[&[&format!(
        "HTTP/1.1 {response}\r\nContent-Length: 2000\r\n\r\n{body}"
    )]])
    .unwrap();
    let proxy = start(rule, &target);
    let mut client = proxy.client();
    client.send(request).unwrap();
    let (head, got) = parts(&client.message().unwrap());
    let fields = ["Content-Encoding", "Vary", "ETag"].map(|name| field(&head, name));
    assert_eq!(fields, expected, "{rule} {request} {response}: {head}");
    match fields[0] {
        Some(coding) if !response.contains("Content-Encoding: br") => {
            let bare = coding == "deflate" && rule.contains("raw-");
            assert_eq!(
                decoded(if bare { "raw-deflate" } else { coding }, &got),
                body
            );
            assert_eq!(field(&head, "Accept-Ranges"), None);
        }
        _ => assert_eq!(got, body.as_bytes()),
    }
    drop(client);
    proxy.finish(1);
}

#[test]
fn what_is_compressed_and_what_is_not() {
    const VARY: Option<&str> = Some("Accept-Encoding");
    const GZIP: Option<&str> = Some("gzip");
    let all = "compress = true";
    let gzip = get("gzip");
    check(
        all,
        &gzip,
        "200 OK\r\nETag: \"a\"\r\nAccept-Ranges: bytes",
        [GZIP, VARY, Some("W/\"a\"")],
    );
    check(
        all,
        &gzip,
        "200 OK\r\nETag: W/\"a\"",
        [GZIP, VARY, Some("W/\"a\"")],
    );
    check(
        all,
        &gzip,
        "404 Not Found\r\nVary: *",
        [GZIP, Some("*"), None],
    );
    check(
        all,
        &gzip,
        "200 OK\r\nVary: Origin, accept-encoding",
        [GZIP, Some("Origin, accept-encoding"), None],
    );
    check(
        all,
        &get("identity"),
        "200 OK\r\nETag: \"a\"",
        [None, VARY, Some("\"a\"")],
    );
    check(all, &get("gzip;q=0"), "200 OK", [None, VARY, None]);
    check(
        all,
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "200 OK",
        [None, VARY, None],
    );
    check(
        "compress = { default = 'br' }",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "200 OK",
        [Some("br"), VARY, None],
    );
    check(
        "compress = { codings = ['gzip'] }",
        &get("br, zstd, gzip;q=0.1"),
        "200 OK",
        [GZIP, VARY, None],
    );
    check(
        all,
        &gzip,
        "200 OK\r\nContent-Encoding: identity",
        [GZIP, VARY, None],
    );
    for untouched in [
        "200 OK\r\nCache-Control: public, no-transform",
        "206 Partial Content\r\nContent-Range: bytes 0-1999/5000",
        "200 OK\r\nContent-Type: application/grpc+proto",
    ] {
        check(all, &gzip, untouched, [None, None, None]);
    }
    check(
        all,
        &gzip,
        "200 OK\r\nContent-Encoding: br",
        [Some("br"), None, None],
    );
    let types = "compress = { types = ['text/*', 'application/json'], except = ['text/csv'] }";
    check(
        types,
        &gzip,
        "200 OK\r\nContent-Type: text/html; charset=utf-8",
        [GZIP, VARY, None],
    );
    check(
        types,
        &gzip,
        "200 OK\r\nContent-Type: application/JSON",
        [GZIP, VARY, None],
    );
    check(
        types,
        &gzip,
        "200 OK\r\nContent-Type: text/csv",
        [None, None, None],
    );
    check(
        types,
        &gzip,
        "200 OK\r\nContent-Type: image/png",
        [None, None, None],
    );
    check(types, &gzip, "200 OK", [None, None, None]);
    check(
        "compress = { min_bytes = 2001 }",
        &gzip,
        "200 OK",
        [None, None, None],
    );
    check(
        "compress = { min_bytes = 2000 }",
        &gzip,
        "200 OK",
        [GZIP, VARY, None],
    );
}

#[test]
fn what_is_compressed_by_haproxys_rules() {
    const VARY: Option<&str> = Some("Accept-Encoding");
    const GZIP: Option<&str> = Some("gzip");
    let rule = "compress = { rules = 'haproxy', codings = ['gzip', 'deflate'], types = ['text/'], min_bytes = 0 }";
    let one = get("gzip");
    let css = "200 OK\r\nContent-Type: text/css";
    check(rule, &one, css, [GZIP, VARY, None]);
    check(
        rule,
        &get("deflate, gzip"),
        css,
        [Some("deflate"), VARY, None],
    );
    check(rule, &get("gzip, deflate"), css, [GZIP, VARY, None]);
    check(rule, &get("br"), css, [None; 3]);
    check(rule, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", css, [None; 3]);
    let old = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/4\r\nAccept-Encoding: gzip\r\n\r\n";
    check(rule, old, css, [None; 3]);
    for untouched in [
        "200 OK",
        "200 OK\r\nContent-Type: image/png",
        "200 OK\r\nContent-Type: text/css\r\nCache-Control: no-transform",
        "404 Not Found\r\nContent-Type: text/css",
    ] {
        check(rule, &one, untouched, [None; 3]);
    }
    let tagged = |tag: &str| format!("{css}\r\nETag: {tag}");
    check(rule, &one, &tagged("\"a\""), [GZIP, VARY, Some("W/\"a\"")]);
    check(rule, &one, &tagged("a"), [None, None, Some("a")]);
    check(
        rule,
        &one,
        &tagged("\"a\"\r\nETag: \"b\""),
        [None, None, Some("\"a\"")],
    );
    let bare = "compress = { rules = 'haproxy', codings = ['raw-deflate'], min_bytes = 0 }";
    check(
        bare,
        &get("deflate"),
        "200 OK",
        [Some("deflate"), VARY, None],
    );
    let multipart = "200 OK\r\nContent-Type: multipart/mixed";
    check(bare, &get("deflate"), multipart, [None; 3]);
}

#[test]
fn the_target_does_not_learn_what_is_done_in_its_place() {
    let target =
        Target::answering(&[&["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"]]).unwrap();
    let rule = "compress = { rules = 'haproxy', codings = ['gzip', 'identity'], offload = true }";
    for (turn, (accept, told)) in [("gzip", false), ("br", true)].into_iter().enumerate() {
        let proxy = start(rule, &target);
        let mut client = proxy.client();
        client.send(get(accept)).unwrap();
        let (head, body) = parts(&client.message().unwrap());
        let request = String::from_utf8(target.received(turn)).unwrap();
        assert_eq!(request.contains("Accept-Encoding"), told, "{request}");
        let coding = field(&head, "Content-Encoding");
        assert_eq!(coding.is_some(), !told, "{head}");
        assert_eq!(decoded(coding.unwrap_or_default(), &body), "abc");
        drop(client);
        proxy.finish(1);
    }
}

#[test]
fn responses_without_a_body_stay() {
    let check = |method: &str, response: &str| {
        let target = Target::answering(&[&[response]]).unwrap();
        let proxy = start("compress = { min_bytes = 0 }", &target);
        let mut client = proxy.client();
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
            ))
            .unwrap();
        let head = String::from_utf8(client.head().unwrap()).unwrap();
        assert_eq!(field(&head, "Content-Encoding"), None, "{method}: {head}");
        assert!(
            client.is_quiet(Duration::from_millis(50)).unwrap(),
            "{method} {response}"
        );
        drop(client);
        proxy.finish(1);
    };
    check("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    check("GET", "HTTP/1.1 204 No Content\r\n\r\n");
    check(
        "GET",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n",
    );
    check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn events_are_not_held_back() {
    for coding in ["gzip", "br", "zstd"] {
        let (sender, receiver) = std::sync::mpsc::channel::<String>();
        let receiver = std::sync::Mutex::new(receiver);
        let target = Target::start(move |_, mut wire: Wire| {
            wire.message()?;
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
            while let Ok(event) = receiver.lock().unwrap().recv() {
                wire.send(event)?;
            }
            Ok(())
        })
        .unwrap();
        let proxy = start("compress = true", &target);
        let mut client = proxy.client();
        client.send(get(coding)).unwrap();
        let head = String::from_utf8(client.head().unwrap()).unwrap();
        assert_eq!(field(&head, "Content-Encoding"), Some(coding), "{head}");
        // Each event can be read before the next one is there.
        let mut body = Vec::new();
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            sender.send(event.clone()).unwrap();
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(client.receive(1).unwrap());
            }
            let size = std::str::from_utf8(&line).unwrap().trim_end();
            let size = usize::from_str_radix(size, 16).unwrap();
            let chunk = client.receive(size + 2).unwrap();
            body.extend_from_slice(&chunk[..size]);
            let mut text = Vec::new();
            // What has come is not the whole, which the decoder says at its end.
            let _ = match coding {
                "gzip" => flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text),
                "br" => brotli::Decompressor::new(&body[..], 4096).read_to_end(&mut text),
                _ => zstd::stream::read::Decoder::new(&body[..])
                    .unwrap()
                    .read_to_end(&mut text),
            };
            let text = String::from_utf8(text).unwrap();
            assert!(text.ends_with(&event), "{coding}: {text:?}");
        }
        drop(sender);
        drop(client);
        proxy.finish(1);
    }
}

/// A digest of the bytes that were compressed is none of those that are sent.
#[test]
fn digests_of_what_was_compressed_do_not_go_on() {
    let digests = ["Content-Digest", "Repr-Digest", "Digest", "Content-MD5"];
    let fields: String = digests.iter().map(|it| format!("{it}: x\r\n")).collect();
    let body = text(2000);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{fields}Content-Length: 2000\r\n\r\n{body}"
    );
    let target = Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            wire.send(&answer)?;
        }
    })
    .unwrap();
    let proxy = start("compress = {}", &target);
    let mut client = proxy.client();
    for (accepts, stay) in [("identity", true), ("gzip", false)] {
        client
            .send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepts}\r\n\r\n"
            ))
            .unwrap();
        let (head, _) = parts(&client.message().unwrap());
        for name in digests {
            assert_eq!(field(&head, name).is_some(), stay, "{name} {head}");
        }
    }
    drop(client);
    proxy.finish(2);
}
