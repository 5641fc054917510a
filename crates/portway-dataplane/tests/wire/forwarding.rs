//! Heads on their way: the canonical form, hop-by-hop fields, and what is said about the client.

use crate::row::{OK, Row, Then, check_all};

#[test]
fn requests_leave_in_canonical_form() {
    check_all(&[
        Row {
            name: "fields in their order, as they were written",
            client: &[
                "GET /a?b=c HTTP/1.1\r\nX-B: 1\r\nhost: a.example\r\nX-A: 2\r\nx-b: 3\r\n\r\n",
            ],
            received: "GET /a?b=c HTTP/1.1\r\nX-B: 1\r\nhost: a.example\r\nX-A: 2\r\nx-b: 3\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "whitespace around values",
            client: &["GET / HTTP/1.1\r\nHost:a\r\nX:  \t 1 2 \t\r\nY:\r\n\r\n"],
            received: "GET / HTTP/1.1\r\nHost: a\r\nX: 1 2\r\nY: \r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "an unknown method, and a target of odd characters",
            client: &["BREW /%7e/../a?x=[1]&y='\" HTTP/1.1\r\nHost: a\r\n\r\n"],
            received: "BREW /%7e/../a?x=[1]&y='\" HTTP/1.1\r\nHost: a\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "bytes above ASCII in a value",
            client: &["GET / HTTP/1.1\r\nHost: a\r\nX: gr\u{fc}n\r\n\r\n"],
            received: "GET / HTTP/1.1\r\nHost: a\r\nX: gr\u{fc}n\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "an empty line before the request",
            client: &["\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],
            received: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "piece by piece",
            client: &["G", "ET / HT", "TP/1.1\r", "\nHo", "st: a\r\n", "\r", "\n"],
            received: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "OPTIONS of the server",
            client: &["OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"],
            received: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "the absolute form",
            client: &["GET http://b.example:81/p?q HTTP/1.1\r\nX: 1\r\nHost: b.example:81\r\n\r\n"],
            received: "GET /p?q HTTP/1.1\r\nHost: b.example:81\r\nX: 1\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "the absolute form without a path",
            client: &["GET http://b.example?q HTTP/1.1\r\nHost: b.example\r\n\r\n"],
            received: "GET /?q HTTP/1.1\r\nHost: b.example\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "Host with a port and in capitals passes through",
            client: &["GET / HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n"],
            received: "GET / HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n",
            ..Row::default()
        },
    ]);
}

#[test]
fn clients_of_http_1_0_are_served() {
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    check_all(&[
        Row {
            name: "no Host, closed at once",
            client: &["GET /a HTTP/1.0\r\n\r\n"],
            received: "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            response: closing,
            then: Then::Closed,
            ..Row::default()
        },
        Row {
            name: "with Host",
            client: &["GET /a HTTP/1.0\r\nHost: a\r\nX: 1\r\n\r\n"],
            received: "GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
            response: closing,
            then: Then::Closed,
            ..Row::default()
        },
        Row {
            name: "an upgrade is not for HTTP/1.0",
            client: &[
                "GET /a HTTP/1.0\r\nHost: a\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n",
            ],
            received: "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            response: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
            ..Row::default()
        },
        Row {
            name: "kept alive where it asks",
            client: &["GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"],
            received: "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            response: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
            ..Row::default()
        },
    ]);
}

#[test]
fn hop_by_hop_fields_end_here() {
    check_all(&[
        Row {
            name: "those that always do",
            client: &[
                "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\n\
                       Proxy-Authorization: x\r\nProxy-Authenticate: y\r\nHTTP2-Settings: z\r\nX: 1\r\n\r\n",
            ],
            received: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "those that Connection names, in any case and in several fields",
            client: &[
                "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nConnection: x-ONE, ,x-two\r\nX-Two: 2\r\nX-Three: 3\r\n\
                       connection: X-Three\r\nX-Four: 4\r\n\r\n",
            ],
            received: "GET / HTTP/1.1\r\nHost: a\r\nX-Four: 4\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "names that carry meaning cannot be removed by Connection",
            client: &[
                "POST / HTTP/1.1\r\nHost: a\r\nCookie: c\r\nAuthorization: b\r\nContent-Length: 1\r\n\
                       Connection: host, cookie, authorization, content-length\r\n\r\nx",
            ],
            received: "POST / HTTP/1.1\r\nHost: a\r\nCookie: c\r\nAuthorization: b\r\nContent-Length: 1\r\n\r\nx",
            ..Row::default()
        },
        Row {
            name: "an upgrade that Connection does not name is none",
            client: &["GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"],
            received: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "an upgrade to HTTP/2 is not passed on",
            client: &[
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: x\r\n\r\n",
            ],
            received: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ..Row::default()
        },
        Row {
            name: "of responses too",
            client: &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
            received: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            answer: &[
                "HTTP/1.1 200 Fine\r\nServer: s\r\nKeep-Alive: 5\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\
                       Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\nUpgrade: h2c\r\n\r\nok",
            ],
            response: "HTTP/1.1 200 Fine\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
            ..Row::default()
        },
    ]);
}

/// Plays a request with these forwarding fields against these settings.
fn forwards(name: &str, settings: &str, host: &str, sent: &str, received: &str) {
    let client = [format!("GET / HTTP/1.1\r\nHost: {host}\r\n{sent}\r\n")];
    let received = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{received}\r\n");
    let target = portway_testkit::peer::Target::answering(&[&[OK]]).unwrap();
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n{settings}\n[target_group.app]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = crate::harness::Proxy::start(&text);
    let mut wire = proxy.client();
    wire.send_pieces(&client).unwrap();
    wire.message().unwrap();
    let fill = |text: &str| {
        text.replace("{port}", &crate::harness::port(proxy.address(0)))
            .replace("{client}", &crate::harness::port(wire.local().unwrap()))
    };
    crate::row::same(name, target.received_in_all().as_bytes(), &fill(&received));
    drop(wire);
    proxy.finish(1);
}

#[test]
fn the_target_learns_about_the_client() {
    let ours = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\nX-Forwarded-Host: a:81\r\n";
    let trusted = "forwarded.trusted_proxies = [\"127.0.0.0/8\"]";
    let check = |name: &str, settings: &str, sent: &str, received: &str| {
        forwards(name, settings, "a:81", sent, received);
    };
    check("by default", "", "", ours);
    check(
        "a stranger's fields are not believed, but the list goes on",
        "",
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Host: evil\r\nForwarded: for=1\r\n",
        &ours.replace("127.0.0.1", "1.1.1.1, 127.0.0.1"),
    );
    check(
        "what a trusted proxy says stays",
        trusted,
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Host: b\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Host: b\r\nX-Forwarded-For: 1.1.1.1, 127.0.0.1\r\n",
    );
    check(
        "what a trusted proxy does not say is ours",
        trusted,
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
        &ours.replace("127.0.0.1", "1.1.1.1, 2.2.2.2, 127.0.0.1"),
    );
    check(
        "preserved",
        crate::harness::PLAIN,
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: b\r\n",
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: b\r\n",
    );
    check(
        "removed",
        &crate::harness::PLAIN.replace("preserve", "remove"),
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Host: evil\r\n",
        "",
    );
    check(
        "with the client's port",
        "forwarded.client_port = true",
        "",
        &ours.replace("127.0.0.1", "127.0.0.1:{client}"),
    );
    check(
        "Forwarded",
        &format!("{}forwarded.forwarded = \"append\"", crate::harness::PLAIN),
        "Forwarded: for=192.0.2.1\r\n",
        "Forwarded: for=192.0.2.1, for=127.0.0.1;host=\"a:81\";proto=http\r\n",
    );
}

#[test]
fn request_ids_are_made_and_taken_from_trusted_proxies_only() {
    let check = |name: &str, settings: &str, sent: &str, taken: Option<&str>| {
        let target = portway_testkit::peer::Target::answering(&[&[OK]]).unwrap();
        let listener = format!("request_id = \"X-Request-Id\"\n{settings}");
        let proxy = crate::harness::Proxy::start(&crate::harness::simple(
            &listener,
            "",
            &[target.address()],
        ));
        let mut wire = proxy.client();
        wire.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{sent}\r\n"))
            .unwrap();
        wire.message().unwrap();
        let received = target.received_in_all();
        let ids: Vec<&str> = received
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("x-request-id: "))
            .map(|line| &line[14..])
            .collect();
        assert_eq!(ids.len(), 1, "{name}: {received:?}");
        match taken {
            Some(id) => assert_eq!(ids, [id], "{name}"),
            None => assert!(ids[0].len() >= 32 && ids[0] != "theirs", "{name}: {ids:?}"),
        }
        drop(wire);
        let log = proxy.finish(1);
        assert!(log[0].contains(ids[0]), "{name}: {log:?}");
    };
    let trusted = "forwarded.trusted_proxies = [\"127.0.0.1\"]";
    check("made", "", "", None);
    check(
        "a stranger's is replaced",
        "",
        "x-request-id: theirs\r\n",
        None,
    );
    check(
        "a trusted one is taken",
        trusted,
        "X-Request-ID: theirs\r\n",
        Some("theirs"),
    );
    check(
        "one that is no id is replaced",
        trusted,
        "X-Request-ID: a b\"c\r\n",
        None,
    );
}
