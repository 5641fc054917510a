//! What happens on a connection before anything is served: the PROXY protocol, and rules on what a client sends first.

use crate::harness::{Proxy, simple};
use crate::row::{OK, same};
use portway_core::proxy_protocol::{Ends, Part, Read, Tell, read, write_v2};
use portway_model::proxied::ProxyField;
use portway_testkit::peer::{BETWEEN_PIECES, End, Target, Wire, eventually};
use std::time::{Duration, Instant};

/// A ClientHello of TLS 1.2 that asks for this name.
fn hello(name: &str) -> Vec<u8> {
    let vector = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let entry = [&[0][..], &vector(name.as_bytes())].concat();
    let extension = [&[0, 0][..], &vector(&vector(&entry))].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0x13, 1, 1, 0],
        &vector(&extension),
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    [&[22, 3, 1][..], &vector(&message)].concat()
}

/// A target that says its name and then echoes.
fn named(name: &'static str) -> Target {
    Target::start(move |_, mut wire| {
        wire.send(name)?;
        while let Ok(byte) = wire.receive(1) {
            wire.send(byte)?;
        }
        Ok(())
    })
    .unwrap()
}

fn rule(rest: &str) -> String {
    format!("[[listener.raw.rule]]\nphase = \"client_hello\"\n{rest}\n")
}

/// A TCP listener with these rules in front of the groups `a` and `b`.
fn inspecting(inspect: &str, rules: &[String], targets: [&Target; 2]) -> String {
    let [a, b] = targets.map(Target::address);
    format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\naccess_log = \"json\"\n\
         timeouts = {{ inspect = \"{inspect}\" }}\n{}\
         [target_group.a]\ntargets = [\"{a}\"]\n[target_group.b]\ntargets = [\"{b}\"]\n",
        rules.concat()
    )
}

#[test]
fn the_server_name_of_a_client_hello_says_where_to_and_nothing_is_lost() {
    let targets = [named("A"), named("B")];
    let rules = [
        rule("when = \"hello_sni == `b.example`\"\nforward = \"b\""),
        rule("forward = \"a\""),
    ];
    let proxy = Proxy::start(&inspecting("10s", &rules, [&targets[0], &targets[1]]));
    let bytes = |name| [hello(name), b"more".to_vec()].concat();
    for (first, pieces, expected) in [
        (bytes("b.example"), 1, "B"),
        (bytes("b.example"), 7, "B"),
        (bytes("a.example"), 3, "A"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1, "A"),
        (b"\x16\x03".repeat(30), 2, "A"),
    ] {
        let mut client = proxy.client();
        let size = first.len().div_ceil(pieces);
        let pieces: Vec<&[u8]> = first.chunks(size).collect();
        client.send_pieces(&pieces).unwrap();
        assert_eq!(client.receive(1).unwrap(), expected.as_bytes());
        assert_eq!(client.receive(first.len()).unwrap(), first);
        client.half_close().unwrap();
        client.until_end().unwrap();
    }
    proxy.finish(5);
}

#[test]
fn what_does_not_come_is_waited_for_and_then_taken_as_it_is() {
    let targets = [named("A"), named("B")];
    let decided = [
        rule("when = \"hello_sni == `b.example`\"\nforward = \"b\""),
        rule("forward = \"a\""),
    ];
    let wait = "300ms";
    for (name, rules, first, at_once, expected) in [
        ("silence", &decided[..], &b""[..], false, "A"),
        (
            "half a hello",
            &decided,
            &hello("b.example")[..20],
            false,
            "A",
        ),
        ("no hello", &decided, b"SSH-2.0-x\r\n", true, "A"),
        (
            "accepted without waiting",
            &[vec![rule("accept = true")], decided.to_vec()].concat()[..],
            b"",
            true,
            "A",
        ),
        (
            "what is found in bytes that have not come",
            &[
                rule("when = \"matched(1, payload(0, 4), `^(GET) `) == `GET`\"\nforward = \"b\""),
                rule("forward = \"a\""),
            ],
            b"GET / x",
            true,
            "B",
        ),
        (
            "the end of waiting",
            &[
                rule("when = \"wait_ended\"\nforward = \"b\""),
                rule("forward = \"a\""),
            ],
            b"x",
            false,
            "B",
        ),
        (
            "bytes that are there",
            &[
                rule("when = \"payload(0, 3) == `GET`\"\nforward = \"b\""),
                rule("when = \"!wait_ended\"\nreject = \"reset\""),
                rule("forward = \"a\""),
            ],
            b"GET",
            true,
            "B",
        ),
    ] {
        let proxy = Proxy::start(&inspecting(wait, rules, [&targets[0], &targets[1]]));
        let mut client = proxy.client();
        let begun = Instant::now();
        client.send(first).unwrap();
        assert_eq!(client.receive(1).unwrap(), expected.as_bytes(), "{name}");
        let waited = begun.elapsed() >= Duration::from_millis(250);
        assert_eq!(waited, !at_once, "{name}: {:?}", begun.elapsed());
        assert_eq!(client.receive(first.len()).unwrap(), first, "{name}");
        client.half_close().unwrap();
        client.until_end().unwrap();
        proxy.finish(1);
    }
}

#[test]
fn rejected_and_unrouted_connections_reach_no_target() {
    let targets = [named("A"), named("B")];
    let silent = [rule("when = \"payload_length >= 3\"\nreject = \"reset\"")];
    let routed = [
        silent[0].clone(),
        rule("when = \"payload_length >= 100\"\nforward = \"a\""),
    ];
    for (rules, fault) in [(&silent[..], "rejected"), (&routed[..], "rejected")] {
        let text = inspecting(
            "5s",
            &[rules, &[rule("forward = \"b\"")]].concat(),
            [&targets[0], &targets[1]],
        );
        let proxy = Proxy::start(&text);
        let mut client = proxy.client();
        client.send("ab").unwrap();
        assert!(client.is_quiet(BETWEEN_PIECES).unwrap());
        client.send("c").unwrap();
        assert_eq!(client.until_end().unwrap(), (Vec::new(), End::Closed));
        let log = proxy.finish(1);
        assert!(log[0].contains(fault), "{}", log[0]);
    }
    let only = [rule("when = \"payload_length >= 3\"\nforward = \"a\"")];
    let proxy = Proxy::start(&inspecting("200ms", &only, [&targets[0], &targets[1]]));
    let mut client = proxy.client();
    client.send("ab").unwrap();
    assert_eq!(client.until_end().unwrap(), (Vec::new(), End::Closed));
    assert!(proxy.finish(1)[0].contains("no_rule"));
    assert_eq!(targets.map(|target| target.connections()), [0, 0]);
}

#[test]
fn a_full_buffer_ends_the_wait() {
    let targets = [named("A"), named("B")];
    let rules = [
        rule("when = \"payload_length >= 1000000\"\nforward = \"b\""),
        rule("forward = \"a\""),
    ];
    let proxy = Proxy::start(&inspecting("1h", &rules, [&targets[0], &targets[1]]));
    let mut client = proxy.client();
    let bytes = vec![b'x'; 40_000];
    client.send(&bytes).unwrap();
    assert_eq!(client.receive(1).unwrap(), b"A");
    assert_eq!(client.receive(bytes.len()).unwrap(), bytes);
    drop(client);
    proxy.finish(1);
}

#[test]
fn rules_of_a_group_and_of_the_session_are_asked() {
    let target = named("A");
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\naccess_log = \"json\"\n\
         [[listener.raw.rule]]\nphase = \"session\"\n\
         actions = [{{ set_variable = {{ connection.kind = \"${{listener_name}}\" }} }}]\n\
         [[listener.raw.rule]]\nphase = \"session\"\nwhen = \"var.connection.kind != `raw`\"\nreject = \"reset\"\n\
         [[listener.raw.rule]]\nphase = \"client_hello\"\nforward = \"raw\"\n\
         [target_group.raw]\nprotocol = \"tcp\"\ntargets = [\"{}\"]\ntimeouts = {{ inspect = \"5s\" }}\n\
         [[target_group.raw.rule]]\nphase = \"client_hello\"\n\
         when = \"!(payload(0, 2) in [`ok`, `go`])\"\nreject = \"reset\"\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client.send("go on").unwrap();
    assert_eq!(client.receive(6).unwrap(), b"Ago on");
    drop(client);
    let mut client = proxy.client();
    client.send("no").unwrap();
    assert_eq!(client.until_end().unwrap(), (Vec::new(), End::Closed));
    assert_eq!(target.connections(), 1);
    proxy.finish(2);
}

#[test]
fn what_was_found_is_kept_where_no_more_is_checked() {
    let targets = [named("A"), named("B")];
    let [a, b] = [0, 1].map(|at: usize| targets[at].address());
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\naccess_log = \"json\"\nforward = \"raw\"\n\
         [target_group.raw]\nprotocol = \"tcp\"\ntimeouts = {{ inspect = \"5s\" }}\n\
         targets = [{{ address = \"{a}\", name = \"a\" }}, {{ address = \"{b}\", name = \"b\" }}]\n\
         [[target_group.raw.rule]]\nphase = \"client_hello\"\nwhen = \"payload(0, 2) == `xb`\"\naccept = true\n\
         [[target_group.raw.rule]]\nphase = \"client_hello\"\nwhen = \"payload(0, 2) =~ `^x(.)`\"\n\
         actions = [{{ set_variable = {{ connection.z = \"1\" }} }}, {{ use_target = \"${{matched(1)}}\" }}]\n"
    );
    let proxy = Proxy::start(&text);
    for _ in 0..2 {
        let mut client = proxy.client();
        client.send("xb").unwrap();
        assert_eq!(client.receive(3).unwrap(), b"Bxb");
    }
    proxy.finish(2);
}

#[test]
fn a_stream_that_was_looked_at_becomes_requests_where_the_group_speaks_http() {
    let target = Target::answering(&[&[OK]]).unwrap();
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\naccess_log = \"json\"\n\
         [[listener.raw.rule]]\nphase = \"client_hello\"\nwhen = \"payload(0, 4) == `GET `\"\nforward = \"app\"\n\
         [target_group.app]\nprotocol = \"http\"\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client.send("GE").unwrap();
    std::thread::sleep(BETWEEN_PIECES);
    client
        .send("T /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    for _ in 0..2 {
        same("answer", &client.message().unwrap(), OK);
    }
    let received = target.received_in_all();
    assert!(
        received.contains("GET /1 ") && received.contains("GET /2 "),
        "{received}"
    );
    drop(client);
    proxy.finish(2);
}

#[test]
fn on_http_the_phase_stands_before_the_request_phase() {
    let target = Target::answering(&[&[OK]]).unwrap();
    let rules = "[[listener.web.rule]]\nphase = \"client_hello\"\nwhen = \"Path(`/no`)\"\nreject = \"reset\"\n\
         [[listener.web.rule]]\nphase = \"client_hello\"\naccept = true\n\
         [[listener.web.rule]]\nset_header = { X-Seen = \"${payload(0, 3)}\" }\n\
         [[listener.web.rule]]\nwhen = \"Path(`/yes`)\"\naccept = true\n\
         [[listener.web.rule]]\nwhen = \"Path(`/yes`)\"\nrespond = 403\n";
    let group = "[[target_group.app.rule]]\nphase = \"client_hello\"\nwhen = \"Path(`/never`)\"\nreject = \"reset\"\n";
    let proxy = Proxy::start(&simple(rules, group, &[target.address()]));
    let mut client = proxy.client();
    client.send("GET /yes HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    same("answer", &client.message().unwrap(), OK);
    assert!(target.received_in_all().contains("X-Seen: GET\r\n"));
    for path in ["/no", "/never"] {
        let mut client = proxy.client();
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .unwrap();
        assert_eq!(
            client.until_end().unwrap(),
            (Vec::new(), End::Reset),
            "{path}"
        );
    }
    drop(client);
    proxy.finish(3);
}

const FROM: &str = "192.0.2.7:4711";
const TO: &str = "198.51.100.8:443";

fn binary_header(proxied: bool) -> Vec<u8> {
    let ends = Ends {
        source: FROM.parse().unwrap(),
        destination: TO.parse().unwrap(),
    };
    let tell = Tell {
        authority: Some(b"a.example"),
        checksum: true,
        ..Tell::default()
    };
    let mut out = Vec::new();
    write_v2(proxied.then_some(ends), tell, &mut out);
    out
}

#[test]
fn the_header_of_a_proxy_says_who_the_client_is() {
    let target = Target::answering(&[&[OK], &[OK], &[OK], &[OK], &[OK]]).unwrap();
    let web = "accept_proxy = true\n[[listener.web.rule]]\n\
         set_header = { X-Ends = \"${source} ${source_port} ${destination} ${destination_port}\" }\n\
         [[listener.web.rule]]\nphase = \"session\"\nwhen = \"ClientIP(`203.0.113.0/24`)\"\nreject = \"reset\"\n";
    let proxy = Proxy::start(&simple(web, "pool_size = 0\n", &[target.address()]));
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.8 4711 443\r\n".to_vec();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let told = "X-Ends: 192.0.2.7 4711 198.51.100.8 443\r\n";
    for (index, (header, told)) in [
        (line, told),
        (binary_header(true), told),
        (binary_header(false), "X-Ends: 127.0.0.1 "),
        (b"PROXY UNKNOWN\r\n".to_vec(), "X-Ends: 127.0.0.1 "),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = proxy.client();
        let bytes = [header, request.clone()].concat();
        if index % 2 == 0 {
            client.send(&bytes).unwrap();
        } else {
            let pieces: Vec<&[u8]> = bytes.chunks(9).collect();
            client.send_pieces(&pieces).unwrap();
        }
        same("answer", &client.message().unwrap(), OK);
        let received = String::from_utf8(target.received(index)).unwrap();
        assert!(received.contains(told), "{received}");
    }
    let mut client = proxy.client();
    client
        .send("PROXY TCP4 203.0.113.1 198.51.100.8 1 2\r\nGET / HTTP/1.1\r\n")
        .unwrap();
    assert_eq!(client.until_end().unwrap(), (Vec::new(), End::Reset));
    let log = proxy.finish(5);
    let of_client = log
        .iter()
        .filter(|line| line.contains("\"192.0.2.7\",\"client_port\":4711"));
    assert_eq!(of_client.count(), 2, "{log:?}");
}

#[test]
fn who_does_not_begin_with_the_header_is_not_served() {
    let target = named("A");
    let web = "accept_proxy = true\ntimeouts = { request_head = \"200ms\" }\n";
    let proxy = Proxy::start(&simple(web, "", &[target.address()]));
    let refuses = |bytes: &[u8]| {
        let mut client = proxy.client();
        client.send(bytes).unwrap();
        assert_eq!(client.until_end().unwrap().0, b"", "{bytes:?}");
    };
    refuses(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refuses(b"PROXY TCP4 192.0.2.7 198.51.100.8 4711 99999\r\n");
    refuses(b"PROXY TCP4 192.0.2.7");
    refuses(b"");
    let mut damaged = binary_header(true);
    damaged[17] ^= 1;
    refuses(&damaged);
    let log = proxy.finish(5);
    assert!(
        log.iter().all(|line| line.contains("client_proxy")),
        "{log:?}"
    );
    assert_eq!(target.connections(), 0);
}

#[test]
fn a_rule_says_from_whom_the_header_is_expected() {
    let target = Target::start(|_, mut wire| {
        let mut seen = wire.receive(5)?;
        seen.extend(b" came");
        wire.send(seen)
    })
    .unwrap();
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\naccess_log = \"json\"\n\
         [[listener.raw.rule]]\nwhen = \"ClientIP(`127.0.0.2`)\"\nexpect_proxy = true\n\
         [[listener.raw.rule]]\nforward = \"raw\"\n\
         [target_group.raw]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let of = |from: [u8; 4]| Wire::connect_from(from.into(), proxy.address(0)).unwrap();
    let mut client = of([127, 0, 0, 1]);
    client.send("hello").unwrap();
    assert_eq!(client.receive(10).unwrap(), b"hello came");
    drop(client);
    let mut client = of([127, 0, 0, 2]);
    client
        .send("PROXY TCP4 192.0.2.7 198.51.100.8 4711 443\r\nhello")
        .unwrap();
    assert_eq!(client.receive(10).unwrap(), b"hello came");
    drop(client);
    let log = proxy.finish(2);
    let told = "\"client\":\"192.0.2.7\",\"client_port\":4711,\"local_port\":443";
    assert!(log.iter().any(|line| line.contains(told)), "{log:?}");
    assert!(eventually(|| target.connections() == 2));
}

#[test]
fn a_rule_says_from_whom_the_header_may_come() {
    let target = Target::answering(&[&[OK], &[OK], &[OK], &[OK]]).unwrap();
    let web = "timeouts = { request_head = \"300ms\" }\n\
         [[listener.web.rule]]\nphase = \"connection\"\nexpect_proxy = \"ignored\"\n\
         [[listener.web.rule]]\nphase = \"connection\"\nwhen = \"ClientIP(`127.0.0.2`)\"\nexpect_proxy = \"optional\"\n\
         [[listener.web.rule]]\nset_header = { X-Client = \"${source}\" }\n";
    let proxy = Proxy::start(&simple(web, "pool_size = 0\n", &[target.address()]));
    let of = |from: [u8; 4]| Wire::connect_from(from.into(), proxy.address(0)).unwrap();
    let header = "PROXY TCP4 192.0.2.7 198.51.100.8 4711 443\r\n";
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (index, (from, header, told)) in [
        ([127, 0, 0, 2], header, "192.0.2.7"),
        ([127, 0, 0, 2], "", "127.0.0.2"),
        ([127, 0, 0, 1], header, "127.0.0.1"),
        ([127, 0, 0, 1], "", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = of(from);
        client.send(format!("{header}{request}")).unwrap();
        same("answer", &client.message().unwrap(), OK);
        let received = String::from_utf8(target.received(index)).unwrap();
        let told = format!("X-Client: {told}\r\n");
        assert!(received.contains(&told), "{received}");
    }
    for damaged in ["PROXY TCP4 192.0.2.7 x 1 2\r\n", "PROXY TCP4 192.0.2.7"] {
        let mut client = of([127, 0, 0, 2]);
        client.send(damaged).unwrap();
        assert_eq!(client.until_end().unwrap().0, b"", "{damaged:?}");
    }
    let log = proxy.finish(6);
    let closed = log.iter().filter(|line| line.contains("client_proxy"));
    assert_eq!(closed.count(), 2, "{log:?}");
}

#[test]
fn a_client_that_may_send_the_header_may_wait_to_be_spoken_to() {
    let target = Target::start(|_, mut wire| wire.send("220 ready\r\n")).unwrap();
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\naccess_log = \"json\"\n\
         timeouts = {{ request_head = \"200ms\" }}\n\
         [[listener.raw.rule]]\nexpect_proxy = \"optional\"\n\
         [[listener.raw.rule]]\nforward = \"raw\"\n\
         [target_group.raw]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = Wire::connect_from([127, 0, 0, 1].into(), proxy.address(0)).unwrap();
    assert_eq!(client.receive(11).unwrap(), b"220 ready\r\n");
    drop(client);
    proxy.finish(1);
}

/// A target that takes a header of the PROXY protocol, then answers requests for as long as they come.
fn behind_proxy() -> Target {
    Target::start(|_, mut wire| {
        let mut header = Vec::new();
        loop {
            header.extend(wire.receive(1)?);
            match read(&header) {
                Read::Partial => {}
                Read::Whole(..) => break,
                Read::Refused => return Ok(()),
            }
        }
        while wire.message().is_ok() {
            wire.send(OK)?;
        }
        Ok(())
    })
    .unwrap()
}

#[test]
fn targets_are_told_who_the_client_is_and_no_connection_serves_two() {
    let (first, second) = (behind_proxy(), behind_proxy());
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"first\"\naccess_log = \"json\"\nrequest_id = \"X-Id\"\n\
         [listener.other]\nbind = \"@1\"\nforward = \"second\"\naccess_log = \"json\"\n\
         [target_group.first]\ntargets = [\"{}\"]\nsend_proxy = \"v1\"\n\
         [target_group.second]\ntargets = [\"{}\"]\n\
         send_proxy = {{ version = \"v2\", with = [\"tls\", \"checksum\", \"unique_id\"] }}\n",
        first.address(),
        second.address()
    );
    let proxy = Proxy::start(&text);
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (listener, target) in [(0, &first), (1, &second)] {
        for connection in 0..2 {
            let mut client = Wire::connect(proxy.address(listener)).unwrap();
            for _ in 0..2 {
                client.send(get).unwrap();
                same("answer", &client.message().unwrap(), OK);
            }
            let ends = Ends {
                source: client.local().unwrap(),
                destination: proxy.address(listener),
            };
            let received = target.received(connection);
            let Read::Whole(header, length) = read(&received) else {
                panic!("no header: {received:?}");
            };
            assert_eq!(header.ends, Some(ends));
            let told = |field| header.parts.field(field);
            assert_eq!(told(ProxyField::Tls), Some(Part::Truth(false)));
            assert_eq!(told(ProxyField::UniqueId), None);
            let requests = String::from_utf8(received[length..].to_vec()).unwrap();
            assert_eq!(requests.matches("GET / HTTP/1.1").count(), 2);
        }
        assert_eq!(target.connections(), 2);
    }
    proxy.finish(8);
}

#[test]
fn what_one_proxy_says_is_told_to_the_next() {
    let target = Target::start(|_, mut wire| wire.until_end().map(drop)).unwrap();
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\naccept_proxy = true\naccess_log = \"json\"\nforward = \"raw\"\n\
         [target_group.raw]\ntargets = [\"{}\"]\nsend_proxy = \"v1\"\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client
        .send([binary_header(true), b"hello".to_vec()].concat())
        .unwrap();
    client.half_close().unwrap();
    client.until_end().unwrap();
    let expected = "PROXY TCP4 192.0.2.7 198.51.100.8 4711 443\r\nhello";
    assert!(eventually(|| target.received_in_all() == expected));
    proxy.finish(1);
}

#[test]
fn another_listener_goes_on_with_what_was_looked_at() {
    let targets = [named("A"), named("B")];
    let rules = [
        rule("when = \"hello_sni == `b.example`\"\nforward = \"b\""),
        rule("when = \"hello_sni == `a.example`\"\nhand_over = \"inner\""),
        rule("when = \"!hello_type == 1\"\nhand_over = \"web\""),
        "[listener.inner]\nprotocol = \"tcp\"\n[[listener.inner.rule]]\nphase = \"client_hello\"\n\
         when = \"hello_sni == `a.example`\"\nforward = \"a\"\n"
            .to_owned(),
        "[listener.web]\n[[listener.web.rule]]\nrespond = { status = 200, body = \"${path}\" }\n"
            .to_owned(),
    ];
    let proxy = Proxy::start(&inspecting("10s", &rules, [&targets[0], &targets[1]]));
    for (name, expected) in [("b.example", "B"), ("a.example", "A")] {
        let hello = hello(name);
        let mut client = proxy.client();
        client.send_pieces(&[&hello[..9], &hello[9..]]).unwrap();
        assert_eq!(client.receive(1).unwrap(), expected.as_bytes(), "{name}");
        assert_eq!(client.receive(hello.len()).unwrap(), hello);
    }
    let mut client = proxy.client();
    for path in ["/one", "/two"] {
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .unwrap();
        let answer = String::from_utf8(client.message().unwrap()).unwrap();
        assert!(answer.ends_with(&format!("\r\n\r\n{path}")), "{answer}");
    }
    // What asks for nothing known goes nowhere.
    let mut stranger = proxy.client();
    stranger.send(hello("c.example")).unwrap();
    assert_eq!(stranger.until_end().unwrap().0, b"");
    drop((client, stranger));
    proxy.finish(5);
}

#[test]
fn who_is_left_without_a_word_hears_nothing_of_what_it_sends_either() {
    let target = named("A");
    for phase in ["connection", "session", "request"] {
        let web = format!("[[listener.web.rule]]\nphase = \"{phase}\"\nreject = \"silent\"\n");
        let proxy = Proxy::start(&simple(&web, "", &[target.address()]));
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert!(client.is_quiet(BETWEEN_PIECES * 4).unwrap(), "{phase}");
        }
        let log = proxy.finish(1);
        assert!(log[0].contains("rejected"), "{}", log[0]);
    }
    assert_eq!(target.connections(), 0);
}

#[test]
fn a_target_that_resets_while_its_first_bytes_are_looked_at_ends_the_connection() {
    let target = Target::start(|_, mut wire| {
        wire.receive(1)?;
        // The beginning of a record of TLS: more is waited for.
        wire.send(b"\x16\x03\x03")?;
        std::thread::sleep(Duration::from_millis(100));
        wire.reset()
    })
    .unwrap();
    let web = "protocol = \"tcp\"\n";
    let looks = "protocol = \"tcp\"\ntimeouts.inspect_response = \"20s\"\n\
                 rule = [{ phase = \"response\", when = \"response_hello_type == 2\", reject = \"reset\" }]\n";
    let proxy = Proxy::start(&simple(web, looks, &[target.address()]));
    let mut client = proxy.client();
    client.send("x").unwrap();
    let (received, _) = client.until_end().unwrap();
    assert_eq!(received, b"\x16\x03\x03");
    // It does not wait for the client, which has not closed.
    let log = proxy.finish(1);
    assert!(log[0].contains("target_closed"), "{}", log[0]);
    drop(client);
}
