//! Upgrades, CONNECT and TCP listeners: bytes both ways until both sides have ended.

use crate::harness::{Proxy, simple};
use crate::row::{OK, same};
use portway_testkit::peer::{BETWEEN_PIECES, End, Target, Wire, eventually};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

fn tcp(settings: &str, target: SocketAddr) -> String {
    format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\nforward = \"raw\"\n{settings}\n\
         [target_group.raw]\ntargets = [\"{target}\"]\n"
    )
}

/// Echoes until the other side ends, then says goodbye.
fn echo(wire: &mut Wire) -> std::io::Result<()> {
    while let Ok(byte) = wire.receive(1) {
        wire.send(byte)?;
    }
    wire.send("bye")
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    for early in [false, true] {
        let target = Target::start(move |_, mut wire| {
            wire.message()?;
            wire.send([SWITCHED, if early { "early down " } else { "" }].concat())?;
            echo(&mut wire)
        })
        .unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        client
            .send([UPGRADE, if early { "early up " } else { "" }].concat())
            .unwrap();
        let head = client.head().unwrap();
        same(
            "101",
            &head,
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        client.send("hello").unwrap();
        client.half_close().unwrap();
        let expected = if early {
            "early down early up hellobye"
        } else {
            "hellobye"
        };
        same("tunnel", &client.until_end().unwrap().0, expected);
        let received = target.received_in_all();
        let head = "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(received.starts_with(head), "{received:?}");
        drop(client);
        let log = proxy.finish(1);
        assert!(log[0].contains("\"status\":101"), "{}", log[0]);
    }
}

#[test]
fn an_upgrade_that_is_refused_is_an_ordinary_exchange() {
    let target = Target::answering(&[&[OK]]).unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send([UPGRADE, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"].concat())
        .unwrap();
    for _ in 0..2 {
        same("refused", &client.message().unwrap(), OK);
    }
    assert!(target.received_in_all().contains("GET /next HTTP/1.1"));
    assert_eq!(target.connections(), 1);
    drop(client);
    proxy.finish(2);
}

#[test]
fn connect_becomes_a_tunnel_where_the_target_agrees() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n\r\n")?;
        echo(&mut wire)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    client
        .send("CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\nearly")
        .unwrap();
    same("200", &client.head().unwrap(), "HTTP/1.1 200 Fine\r\n\r\n");
    client.half_close().unwrap();
    same("tunnel", &client.until_end().unwrap().0, "earlybye");
    let received = target.received_in_all();
    assert!(
        received.starts_with("CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n"),
        "{received}"
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn bytes_pass_untouched_and_ends_are_passed_on() {
    // What looks like HTTP, or is none, is nothing to a TCP listener.
    let target = Target::start(|connection, mut wire| {
        if connection == 0 {
            return echo(&mut wire);
        }
        // Ends its direction first, then reads for long.
        wire.send("greeting")?;
        wire.half_close()?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&tcp("", target.address()));
    let mut client = proxy.client();
    let bytes = b"\x16\x03\x01\0\xffGET / HTTP/1.1\nHost : x\r\n\r\n".as_slice();
    client.send(bytes).unwrap();
    assert_eq!(client.receive(bytes.len()).unwrap(), bytes);
    client.half_close().unwrap();
    assert_eq!(client.until_end().unwrap(), (b"bye".to_vec(), End::Closed));

    let mut client = proxy.client();
    assert_eq!(client.until_end().unwrap().0, b"greeting");
    client.send("still ").unwrap();
    std::thread::sleep(BETWEEN_PIECES);
    client.send("here").unwrap();
    client.half_close().unwrap();
    assert!(eventually(|| target.received(1) == b"still here"));
    drop(client);
    proxy.finish(2);
}

#[test]
fn the_last_words_of_a_target_reach_a_client_that_still_sends() {
    let size = 100_000;
    let target = Target::start(move |_, mut wire| {
        wire.receive(1)?;
        wire.flood(size, Duration::from_secs(20)).map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&tcp("", target.address()));
    let mut client = proxy.client();
    client.send("x").unwrap();
    // The target is done and gone while the client has yet to read what it sent, and sends more itself.
    assert!(eventually(
        || target.connections() == 1 && target.open() == 0
    ));
    for _ in 0..5 {
        std::thread::sleep(BETWEEN_PIECES);
        if client.send("more").is_err() {
            break;
        }
    }
    assert_eq!(client.until_end().unwrap().0.len(), size);
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_reset_ends_both_sides() {
    let target = Target::start(|connection, mut wire| {
        wire.receive(1)?;
        if connection == 0 {
            return wire.reset();
        }
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&tcp("", target.address()));
    let mut client = proxy.client();
    client.send("x").unwrap();
    assert_eq!(client.until_end().unwrap().0, b"");
    drop(client);
    let mut client = proxy.client();
    client.send("x").unwrap();
    assert!(eventually(|| target.received(1) == b"x"));
    client.reset().unwrap();
    assert!(eventually(|| target.open() == 0));
    proxy.finish(2);
}

#[test]
fn silence_closes_a_tunnel_and_activity_in_one_direction_keeps_it() {
    for upwards in [true, false] {
        let target = Target::start(move |_, mut wire| {
            if upwards {
                return wire.until_end().map(drop);
            }
            for _ in 0..8 {
                wire.send("x")?;
                std::thread::sleep(Duration::from_millis(400));
            }
            wire.until_end().map(drop)
        })
        .unwrap();
        let proxy = Proxy::start(&tcp("timeouts.tunnel = \"1s\"", target.address()));
        let mut client = proxy.client();
        let begun = Instant::now();
        if upwards {
            for _ in 0..8 {
                client.send("x").unwrap();
                assert!(client.is_quiet(Duration::from_millis(400)).unwrap());
            }
            assert_eq!(client.until_end().unwrap().0, b"");
            assert_eq!(target.received_in_all(), "xxxxxxxx");
        } else {
            assert_eq!(client.until_end().unwrap().0, b"xxxxxxxx");
        }
        assert!(begun.elapsed() >= Duration::from_millis(8 * 400));
        assert!(eventually(|| target.open() == 0));
        drop(client);
        let log = proxy.finish(1);
        assert!(log[0].contains("idle_timeout"), "{}", log[0]);
    }
}

#[test]
fn an_upgraded_connection_has_the_timeout_of_a_tunnel() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send(SWITCHED)?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let settings = "timeouts = { client = \"200ms\", keep_alive = \"200ms\", tunnel = \"1s\" }";
    let proxy = Proxy::start(&simple(
        settings,
        "timeouts.response = \"200ms\"",
        &[target.address()],
    ));
    let mut client = proxy.client();
    client.send(UPGRADE).unwrap();
    client.head().unwrap();
    let begun = Instant::now();
    assert_eq!(client.until_end().unwrap().0, b"");
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_tcp_listener_tries_another_target_and_closes_where_there_is_none() {
    let alive = Target::start(|_, mut wire| echo(&mut wire)).unwrap();
    let dead = Target::refusing().unwrap();
    let both = tcp("", dead).replace(
        "targets = [",
        &format!("targets = [\"{}\", ", alive.address()),
    );
    let proxy = Proxy::start(&both);
    for _ in 0..4 {
        let mut client = proxy.client();
        client.send("hi").unwrap();
        client.half_close().unwrap();
        assert_eq!(client.until_end().unwrap().0, b"hibye");
    }
    proxy.finish(4);
    let proxy = Proxy::start(&tcp("", dead));
    let mut client = proxy.client();
    assert_eq!(client.until_end().unwrap().0, b"");
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("connect_refused"), "{}", log[0]);
}

#[test]
fn a_tcp_listener_hands_over_to_an_http_group() {
    let target = Target::saying("ok").unwrap();
    let text = tcp("", target.address()) + "protocol = \"http\"\n";
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        same("http", &client.message().unwrap(), OK);
    }
    client.send("no request\r\n\r\n").unwrap();
    assert!(client.until_end().unwrap().0.starts_with(b"HTTP/1.1 400 "));
    drop(client);
    assert_eq!(target.connections(), 1);
    proxy.finish(3);
}

#[test]
fn a_rule_chooses_by_the_clients_address_or_rejects() {
    let (here, there) = (
        Target::saying("here").unwrap(),
        Target::saying("there").unwrap(),
    );
    let text = format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\nforward = \"there\"\n\
         [[listener.raw.rule]]\nwhen = \"ClientIP(`127.0.0.2`)\"\nreject = \"reset\"\n\
         [[listener.raw.rule]]\nwhen = \"ClientIP(`127.0.0.1`)\"\nforward = \"here\"\n\
         [target_group.here]\ntargets = [\"{}\"]\n[target_group.there]\ntargets = [\"{}\"]\n",
        here.address(),
        there.address()
    );
    let proxy = Proxy::start(&text);
    let ask = |last: u8| {
        let mut client = Wire::connect_from([127, 0, 0, last].into(), proxy.address(0)).unwrap();
        // A client that is rejected may find it out while it sends.
        let _ = client.send("GET / HTTP/1.1\r\n\r\n");
        let answer = client.message().unwrap_or_default();
        String::from_utf8(answer)
            .unwrap()
            .rsplit("\r\n")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!([ask(1), ask(2), ask(3)], ["here", "", "there"]);
    proxy.quiet();
    let log = proxy.finish(3);
    assert!(
        log.iter()
            .any(|line| line.contains("\"fault\":\"rejected\""))
    );
}

/// How long a TCP connection lives through which nothing goes, where `half` closes one side of it first.
fn silence(listener: &str, group: &str, half: &str) -> Duration {
    let (closes, stays) = (half == "target", half == "client");
    let target = Target::start(move |_, mut wire| {
        wire.send("hello")?;
        if closes {
            wire.half_close()?;
        }
        wire.until_end()?;
        if stays {
            // Longer than it is waited for.
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    })
    .unwrap();
    let timeouts = format!("timeouts = {{ {listener} }}");
    let proxy = Proxy::start(&format!(
        "{}timeouts = {{ {group} }}\n",
        tcp(&timeouts, target.address())
    ));
    let mut client = proxy.client();
    assert_eq!(client.receive(5).unwrap(), b"hello");
    let begun = Instant::now();
    if half == "client" {
        client.half_close().unwrap();
    }
    if half == "target" {
        // The end of its direction is seen at once, that of the connection when it is gone.
        assert_eq!(client.until_end().unwrap().0, b"");
        assert!(eventually(|| proxy
            .metric("portway_listener_connections_open{listener=\"raw\"}")
            == 0));
    } else {
        client.until_end().unwrap();
    }
    let lived = begun.elapsed();
    drop(client);
    let log = proxy.finish(1);
    assert!(
        log[0].contains("idle_timeout"),
        "{listener} {group}: {log:?}"
    );
    lived
}

#[test]
fn each_side_of_a_tunnel_has_its_silence() {
    let (short, long) = ("\"300ms\"", "\"1h\"");
    for (name, listener, group, half) in [
        (
            "the listener's",
            format!("tunnel = {short}"),
            String::new(),
            "",
        ),
        (
            "the group's in its place",
            format!("tunnel = {long}"),
            format!("tunnel = {short}"),
            "",
        ),
        (
            "the target's, shorter",
            format!("tunnel = {long}"),
            format!("tunnel_target = {short}"),
            "",
        ),
        (
            "the listener's, shorter",
            format!("tunnel = {short}"),
            format!("tunnel_target = {long}"),
            "",
        ),
        (
            "the client alone",
            format!("tunnel = {long}, tunnel_ending = {short}"),
            String::new(),
            "target",
        ),
        (
            "the target alone",
            format!("tunnel = {long}"),
            format!("tunnel_ending = {short}"),
            "client",
        ),
        (
            "the target alone, as before",
            format!("tunnel = {short}, tunnel_ending = {long}"),
            String::new(),
            "client",
        ),
    ] {
        let lived = silence(&listener, &group, half);
        assert!(lived >= Duration::from_millis(250), "{name}: {lived:?}");
    }
    let lived = silence("tunnel = \"300ms\"", "tunnel = \"900ms\"", "");
    assert!(lived >= Duration::from_millis(850), "{lived:?}");
}

#[test]
fn what_a_target_serves_can_be_cut_off() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbe")?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let silent = Target::start(|_, mut wire| wire.until_end().map(drop)).unwrap();
    let raw = Target::start(|_, mut wire| echo(&mut wire)).unwrap();
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"web\"\naccess_log = \"json\"\n\
         [listener.quiet]\nbind = \"@1\"\nforward = \"quiet\"\naccess_log = \"json\"\n\
         [listener.raw]\nbind = \"@2\"\nprotocol = \"tcp\"\nforward = \"raw\"\naccess_log = \"json\"\n\
         [target_group.web]\ntargets = [\"{}\"]\n[target_group.quiet]\ntargets = [\"{}\"]\n\
         [target_group.raw]\ntargets = [\"{}\"]\n",
        target.address(),
        silent.address(),
        raw.address()
    );
    let proxy = Proxy::start(&text);
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut clients = [0, 1, 2].map(|listener| Wire::connect(proxy.address(listener)).unwrap());
    clients[0].send(get).unwrap();
    clients[0].head().unwrap();
    clients[1].send(get).unwrap();
    clients[2].send("x").unwrap();
    clients[2].receive(1).unwrap();
    assert!(eventually(|| silent.received_in_all().contains("GET /")));
    for group in 0..3 {
        proxy.cut_off(group, 0);
    }
    assert_eq!(clients[0].until_end().unwrap().0, b"be");
    assert_eq!(clients[1].until_end().unwrap().0, b"");
    clients[2].until_end().unwrap();
    // What comes later is served.
    let mut client = Wire::connect(proxy.address(2)).unwrap();
    client.send("y").unwrap();
    assert_eq!(client.receive(1).unwrap(), b"y");
    drop((clients, client));
    let log = proxy.finish(4);
    let cut = log.iter().filter(|line| line.contains("target_down"));
    assert_eq!(cut.count(), 3, "{log:?}");
}
