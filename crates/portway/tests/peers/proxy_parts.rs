//! What a header of the PROXY protocol tells beside the addresses, with real HAProxies in front of us and behind us.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::certificates::{everybody, join};
use crate::stage::own_certificate;
use crate::support::{PATIENCE, Portway, Scene, eventually, free_port, local};

/// A header of version 2 for a client of IPv4 with these parts, and with the right checksum where `sound`.
fn header(parts: &[(u8, &[u8])], checksum: Option<u32>) -> Vec<u8> {
    let mut tail = Vec::new();
    let sum = checksum.map(u32::to_be_bytes);
    let sum = sum.as_ref().map(|sum| (3_u8, &sum[..]));
    for (of, value) in sum.into_iter().chain(parts.iter().copied()) {
        tail.push(of);
        tail.extend((value.len() as u16).to_be_bytes());
        tail.extend(value);
    }
    let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    out.extend((12 + tail.len() as u16).to_be_bytes());
    out.extend([192, 0, 2, 7, 198, 51, 100, 2, 0x04, 0xD2, 0, 80]);
    out.extend(tail);
    out
}

/// Bit by bit, as RFC 3720 has it: not the table of ours.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0x82F6_3B78 & (sum & 1).wrapping_neg())
        })
    })
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The body of the answer to one request on a connection that goes on; `None` where it was closed.
fn ask(stream: &mut TcpStream) -> Option<String> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .ok()?;
    let mut got = Vec::new();
    let mut more = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            if length.is_some_and(|length| body.len() >= length) {
                return Some(body.to_owned());
            }
        }
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(count) => got.extend(&more[..count]),
        }
    }
}

/// What a connection that begins with this header is answered.
fn answered(port: u16, header: &[u8]) -> Option<String> {
    let mut stream = connect(port);
    stream.write_all(header).unwrap();
    ask(&mut stream)
}

fn reload(portway: &Portway, answers: impl Fn() -> bool) {
    portway.process.signal(Signal::HUP);
    eventually("the new configuration serves", || answers().then_some(()));
}

/// The same file in HAProxy and in Portway, with headers that HAProxy and a cloud would send.
#[test]
fn haproxy_and_portway_tell_the_same_of_a_header() {
    let scene = Scene::new();
    let [ours, theirs] = [free_port(), free_port()];
    let file = |port: u16| {
        format!(
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n\
             frontend f\n    bind 127.0.0.1:{port} accept-proxy\n    acl proxied fc_rcvd_proxy\n\
             \x20   http-request set-var(txn.by) str(yes) if proxied\n\
             \x20   http-request return status 200 content-type text/plain lf-string \
             \"%[src] %[var(txn.by)] %[fc_pp_authority] %[fc_pp_unique_id]|\"\n"
        )
    };
    scene.file("ours.cfg", file(ours));
    scene.file("theirs.cfg", file(theirs));
    let _portway = scene.portway_with(&["ours.cfg"]);
    let _haproxy = scene.serve(theirs, "haproxy", &["-db", "-f", "theirs.cfg"]);
    let parts: &[(u8, &[u8])] = &[(2, b"shop.example"), (5, b"id-7"), (0xEA, b"\x01vpce-1")];
    let sound = |parts: &[(u8, &[u8])]| {
        let zeroes = header(parts, Some(0));
        header(parts, Some(crc32c(&zeroes)))
    };
    let mut unknown = header(&[], None);
    unknown[13] = 0;
    let mut of_proxy = header(parts, None);
    of_proxy[12] = 0x20;
    let long = vec![b'x'; 129];
    for (case, header, expected) in [
        ("bare", header(&[], None), Some("192.0.2.7 yes  |")),
        (
            "parts",
            header(parts, None),
            Some("192.0.2.7 yes shop.example id-7|"),
        ),
        (
            "sound",
            sound(parts),
            Some("192.0.2.7 yes shop.example id-7|"),
        ),
        ("damaged", header(parts, Some(1)), None),
        (
            "twice",
            header(&[(2, b"a"), (2, b"b")], None),
            Some("192.0.2.7 yes b |"),
        ),
        ("long id", header(&[(5, &long)], None), None),
        (
            "line",
            b"PROXY TCP4 192.0.2.7 198.51.100.2 1234 80\r\n".to_vec(),
            Some("192.0.2.7 yes  |"),
        ),
        ("local", of_proxy, Some("127.0.0.1 yes  |")),
    ] {
        let [a, b] = [theirs, ours].map(|port| answered(port, &header));
        assert_eq!(a.as_deref(), expected, "HAProxy, {case}");
        assert_eq!(b.as_deref(), expected, "Portway, {case}");
    }
    // HAProxy closes; the specification has it that the addresses of such a family are skipped (section 2.2).
    let told = answered(ours, &unknown);
    assert_eq!(told.as_deref(), Some("127.0.0.1 yes  |"));
}

/// A HAProxy in front ends TLS and tells all that it can; values see it, and a connection that was open before a reload
/// is seen by the rules of after.
#[test]
fn what_a_proxy_in_front_tells_are_values() {
    let scene = Scene::new();
    let [port, front] = [free_port(), free_port()];
    own_certificate(&scene, "own", "a.example");
    join(&scene, "own-all.pem", &["own.pem", "own.key"]);
    let file = |body: &str| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\naccept_proxy = true\n\
             [[listener.web.rule]]\nrespond = {{ status = 200, body = '{body}' }}\n"
        )
    };
    let first = "${proxy_received} ${proxied(authority)} ${proxied(tls)} ${proxied(tls_version)} \
                 ${proxied(cipher)} ${proxied(key)} ${proxied(signature)} ${proxied(verified)}";
    scene.file("web.toml", file(first));
    let portway = scene.portway_with(&["web.toml"]);
    let options = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id";
    scene.file(
        "front.cfg",
        format!(
            "global\n    tune.ssl.default-dh-param 2048\ndefaults\n    mode tcp\n    timeout connect 5s\n    \
             timeout client 20s\n    timeout server 20s\n\
             listen front\n    bind 127.0.0.1:{front} ssl crt own-all.pem\n    \
             server portway 127.0.0.1:{port} send-proxy-v2 proxy-v2-options {options}\n"
        ),
    );
    let _haproxy = scene.serve(front, "haproxy", &["-db", "-f", "front.cfg"]);
    let url = format!("https://a.example:{front}/");
    let resolve = format!("a.example:{front}:127.0.0.1");
    let got = scene
        .curl(&["-k", "--tlsv1.3", "--resolve", &resolve, &url])
        .good();
    assert_eq!(
        got,
        "1 a.example 1 TLSv1.3 TLS_AES_256_GCM_SHA384 EC256 ecdsa-with-SHA256 0"
    );

    let mut kept = connect(port);
    let cloud = header(
        &[
            (0xEA, b"\x01vpce-1"),
            (0xEE, b"\x01\x04\0\0\0"),
            (0xE0, b"\0\0\0\0\0\0\0\x09"),
        ],
        None,
    );
    kept.write_all(&cloud).unwrap();
    let unsaid = "1  0     0";
    assert_eq!(ask(&mut kept).as_deref(), Some(unsaid));
    let second = "${proxied(aws_endpoint)} ${proxied(azure_endpoint)} ${proxied(gcp_connection)} ${proxied(224)}";
    scene.file("web.toml", file(second));
    reload(&portway, || {
        answered(port, &header(&[(0xE0, b"raw")], None)).as_deref() == Some("   raw")
    });
    assert_eq!(
        ask(&mut kept).as_deref(),
        Some("vpce-1 4 9 \0\0\0\0\0\0\0\x09")
    );
    portway.stop();
}

/// Parts go on to a HAProxy behind us; a dead target before it makes no difference, nor does a reload.
#[test]
fn parts_are_passed_on_to_the_target_that_answers() {
    let scene = Scene::new();
    let [port, back, dead] = [free_port(), free_port(), free_port()];
    scene.file(
        "back.cfg",
        format!(
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n\
             frontend back\n    bind 127.0.0.1:{back} accept-proxy\n    http-request return status 200 \
             content-type text/plain lf-string \"%[src] %[fc_pp_authority] %[fc_pp_unique_id]|\"\n"
        ),
    );
    let _haproxy = scene.serve(back, "haproxy", &["-db", "-f", "back.cfg"]);
    let file = |proxy: &str, http: bool| {
        let protocol = if http { "http" } else { "tcp" };
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nprotocol = '{protocol}'\naccept_proxy = true\nforward = 'g'\n\
             [target_group.g]\nprotocol = '{protocol}'\ntargets = ['127.0.0.1:{dead}', '127.0.0.1:{back}']\n\
             retries = 3\nsend_proxy = {{ version = 'v2', {proxy} }}\n"
        )
    };
    let came = header(
        &[(2, b"shop.example"), (5, b"theirs"), (0xEA, b"\x01v")],
        None,
    );
    for http in [true, false] {
        scene.file("web.toml", file("pass_on = 'all'", http));
        let portway = scene.portway_with(&["web.toml"]);
        let told = Some("192.0.2.7 shop.example theirs|");
        for _ in 0..6 {
            // Each second one is led to the dead target first, and the header is sent anew.
            assert_eq!(answered(port, &came).as_deref(), told);
        }
        let mut kept = connect(port);
        kept.write_all(&came).unwrap();
        assert_eq!(ask(&mut kept).as_deref(), told);
        let fewer = "with = ['checksum', 'unique_id'], pass_on = ['authority', 0xEA]";
        scene.file("web.toml", file(fewer, http));
        let begins = "192.0.2.7 shop.example ";
        reload(&portway, || {
            let body = answered(port, &came).unwrap();
            assert!(body.starts_with(begins), "{body}");
            !body.contains("theirs")
        });
        // What is open stays so, and its next request is told by the new rules.
        let next = ask(&mut kept).unwrap();
        assert!(next.starts_with(begins), "{next}");
        assert_eq!(next.contains("theirs"), !http, "{next}");
        kept.shutdown(Shutdown::Both).ok();
        portway.stop();
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same words of HAProxy in both, towards a target that keeps what it gets.
#[test]
fn haproxy_and_portway_send_the_same_header() {
    let scene = Scene::new();
    let [ours, theirs, back] = [free_port(), free_port(), free_port()];
    everybody(&scene);
    join(&scene, "all.pem", &["stranger.pem", "stranger.key"]);
    let _back = scene.python(
        back,
        "import socket, sys, threading\n\
         listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n\
         def serve(s):\n    got = b''\n    while not got.endswith(b'end'):\n        more = s.recv(9999)\n\
         \x20       if not more: return\n        got += more\n    s.sendall(got.hex().encode() + b'\\n')\n    s.close()\n\
         while True:\n    threading.Thread(target=serve, args=(listener.accept()[0],)).start()\n",
    );
    let options = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c";
    let file = |port: u16| {
        format!(
            "global\n    tune.ssl.default-dh-param 2048\ndefaults\n    mode tcp\n    timeout connect 5s\n    \
             timeout client 20s\n    timeout server 20s\n\
             listen front\n    bind 127.0.0.1:{port} ssl crt all.pem ca-file ca.pem verify optional \
             ca-ignore-err all crt-ignore-err all\n    \
             server back 127.0.0.1:{back} send-proxy-v2 proxy-v2-options {options}\n"
        )
    };
    scene.file("ours.cfg", file(ours));
    scene.file("theirs.cfg", file(theirs));
    let _portway = scene.portway_with(&["ours.cfg"]);
    let _haproxy = scene.serve(theirs, "haproxy", &["-db", "-f", "theirs.cfg"]);
    let sent = |port: u16, client: &[&str]| -> Vec<(u8, Vec<u8>)> {
        let connect = format!("127.0.0.1:{port}");
        let asked = [
            "s_client",
            "-quiet",
            "-connect",
            &connect,
            "-servername",
            "a.example",
            "-tls1_3",
            "-ign_eof",
            "-ciphersuites",
            "TLS_AES_128_GCM_SHA256",
        ];
        let got = scene.run_with("end", "openssl", &[&asked, client].concat());
        let digits = got.stdout.trim();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.as_bytes().chunks(2).map(byte).collect();
        assert!(bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), "{got}");
        parts_of(&bytes[28..bytes.len() - 3])
    };
    let plain = |parts: Vec<(u8, Vec<u8>)>| -> Vec<(u8, Vec<u8>)> {
        let mut all = Vec::new();
        for (of, value) in parts {
            match of {
                // The ports differ, and so does the sum.
                3 => all.push((of, vec![value.len() as u8])),
                // Without a certificate HAProxy has 0 there, which would say that one was verified (section 2.2.5).
                0x20 => {
                    let known = if value[0] == 1 { 1 } else { 5 };
                    all.push((of, value[..known].to_vec()));
                    all.extend(parts_of(&value[5..]));
                }
                _ => all.push((of, value)),
            }
        }
        all.sort();
        all
    };
    let key = (0x25, b"EC256".to_vec());
    let signature = (0x24, b"ecdsa-with-SHA256".to_vec());
    // That a client showed a certificate does not say that it is a good one: 26 is one that is for no
    // client, the last that is wrong with it.
    for (client, told) in [
        ("", vec![1]),
        ("client", vec![7, 0, 0, 0, 0]),
        ("stranger", vec![7, 0, 0, 0, 26]),
    ] {
        let [certificate, own] = ["pem", "key"].map(|it| format!("{client}.{it}"));
        let shows = match client {
            "" => Vec::new(),
            _ => vec!["-cert", &*certificate, "-key", &*own],
        };
        let [a, b] = [theirs, ours].map(|port| plain(sent(port, &shows)));
        assert_eq!(a, b, "{client}");
        assert!(b.contains(&key) && b.contains(&signature), "{b:?}");
        assert!(b.contains(&(0x20, told)), "{client} {b:?}");
    }
}

fn parts_of(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut parts = Vec::new();
    while let [of, high, low, rest @ ..] = bytes {
        let (value, rest) = rest.split_at(u16::from_be_bytes([*high, *low]).into());
        parts.push((*of, value.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    parts
}

/// A server that answers with its name and the version of the header that came before a request.
fn says_the_version(name: &'static str) -> u16 {
    let listening = TcpListener::bind(local(0)).unwrap();
    let port = listening.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listening.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut got, mut more) = (Vec::new(), [0; 4096]);
            while !got.windows(8).any(|it| it == b"Host: a\r") {
                match stream.read(&mut more) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => got.extend(&more[..count]),
                }
            }
            let version = match got.as_slice() {
                got if got.starts_with(b"PROXY TCP4 127.0.0.1 ") => "v1",
                got if got.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11") => "v2",
                got if got.starts_with(b"GET / ") => "none",
                _ => continue,
            };
            let body = format!("{name} {version}");
            let length = body.len();
            let _ = stream.write_all(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .as_bytes(),
            );
        }
    });
    port
}

/// Each server of one backend gets the header that it asks for, whichever was tried before it, and another after a reload.
#[test]
fn servers_of_one_backend_get_headers_of_their_own() {
    let scene = Scene::new();
    let [port, dead] = [free_port(), free_port()];
    let servers = ["a", "b", "c", "d"].map(says_the_version);
    let file = |said: [&str; 4]| {
        let lines = servers
            .iter()
            .zip(said)
            .map(|(server, said)| format!("    server s{server} 127.0.0.1:{server} {said}\n"));
        format!(
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n\
             listen web\n    bind 127.0.0.1:{port}\n    option redispatch 1\n    retries 4\n    \
             server dead 127.0.0.1:{dead} send-proxy\n{}",
            lines.collect::<String>()
        )
    };
    let answers = || -> BTreeSet<String> {
        let asked = (0..10).map(|_| ask(&mut connect(port)).unwrap());
        asked.collect()
    };
    let expected = |versions: [&str; 4]| {
        let names = ["a", "b", "c", "d"].into_iter().zip(versions);
        let all = names.map(|(name, version)| format!("{name} {version}"));
        all.collect::<BTreeSet<String>>()
    };
    scene.file(
        "h.cfg",
        file(["", "send-proxy", "send-proxy-v2", "send-proxy-v2"]),
    );
    let portway = scene.portway_with(&["h.cfg"]);
    assert_eq!(answers(), expected(["none", "v1", "v2", "v2"]));
    scene.file(
        "h.cfg",
        file(["send-proxy-v2", "", "send-proxy", "send-proxy-v2"]),
    );
    let expected = expected(["v2", "none", "v1", "v2"]);
    reload(&portway, || answers() == expected);
    portway.stop();
}
