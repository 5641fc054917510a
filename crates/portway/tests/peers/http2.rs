//! HTTP/2 towards clients: curl and h2load, and a client that sends whatever frames it likes.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use crate::certificates::join;
use crate::echo::Echo;
use crate::stage::{Stage, own_certificate};
use crate::support::{Process, Scene, eventually, free_port, python_with_peers};

/// A listener that offers HTTP/2, before these targets.
fn text(port: u16, targets: &[u16], more: &str) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|it| format!("\"127.0.0.1:{it}\""))
        .collect();
    format!(
        "[process]\nworkers = 1\n[certificate.site]\nfile = \"site-all.pem\"\n\
         [listener.web]\nbind = \"127.0.0.1:{port}\"\ncertificates = [\"site\"]\ntls = {{ alpn = [\"h2\", \"http/1.1\"] }}\n\
         head_bytes = \"32KiB\"\n\
         access_log = {{ to = [\"file:access.log\"] }}\n\
         [[listener.web.rule]]\nwhen = 'path == \"/denied\"'\nrespond = 403\n\
         [[listener.web.rule]]\nwhen = 'path == \"/moved\"'\nredirect = \"https://b.example/\"\n\
         [[listener.web.rule]]\nforward = \"app\"\n\
         [target_group.app]\nalgorithm = \"first\"\n{more}\ntargets = [{}]\n",
        targets.join(", ")
    )
}

pub(crate) fn scene() -> Scene {
    let scene = Scene::new();
    own_certificate(&scene, "site", "a.example");
    join(&scene, "site-all.pem", &["site.pem", "site.key"]);
    scene
}

fn curl(scene: &Scene, port: u16, arguments: &[&str], path: &str) -> String {
    let (way, url) = (
        format!("a.example:{port}:127.0.0.1"),
        format!("https://a.example:{port}{path}"),
    );
    let own = ["-k", "--http2", "--resolve", &way, &url];
    scene.curl(&[&own, arguments].concat()).good()
}

/// What a client of frames says of these cases.
pub(crate) fn frames(scene: &Scene, port: u16, cases: &[&str]) -> String {
    frames_of(scene, port, cases, false)
}

/// The same without TLS.
pub(crate) fn frames_in_clear(scene: &Scene, port: u16, cases: &[&str]) -> String {
    frames_of(scene, port, cases, true)
}

fn frames_of(scene: &Scene, port: u16, cases: &[&str], clear: bool) -> String {
    scene.file("frames.py", include_str!("http2_frames.py"));
    let port = port.to_string();
    let arguments = [&["frames.py", &port], cases].concat();
    let mut command = scene.command(&python_with_peers(), &arguments);
    if clear {
        command.env("CLEAR", "1");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_kind_of_message_comes_through() {
    let (app, port) = (Echo::start("app"), free_port());
    let stage = Stage::with(scene(), &text(port, &[app.port], ""), &[]);
    let scene = &stage.scene;
    let big = scene.big_file("big", 3_000_000);
    let big = format!("@{}", big.display());
    let said = "%{http_version} %{http_code} %{size_download}";
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "/bytes/5", "2 200 5"),
        (&[], "/bytes/0", "2 200 0"),
        (&[], "/bytes/5000000", "2 200 5000000"),
        (&["-I"], "/bytes/5", "2 200 0"),
        (&["-T", "-"], "/bytes/7", "2 200 7"),
        (&["--data-binary", &big], "/bytes/8", "2 200 8"),
        (
            &["--data-binary", &big, "-H", "Expect: 100-continue"],
            "/bytes/8",
            "2 200 8",
        ),
        (&[], "/status/204", "2 204 0"),
        (&[], "/status/304", "2 304 0"),
        (&[], "/denied", "2 403 "),
        (&[], "/moved", "2 302 "),
        (&["-H", "Host: b.example"], "/bytes/1", "2 200 1"),
        (&["-H", "X-Long: LONG"], "/bytes/1", "2 431 "),
        (&["--http1.1"], "/bytes/5", "1.1 200 5"),
    ];
    let long = format!("X-Long: {}", "x".repeat(40_000));
    for (arguments, path, expected) in cases {
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|it| if *it == "X-Long: LONG" { &long } else { *it })
            .collect();
        let own = ["-o", "/dev/null", "-w", said];
        let came = curl(scene, port, &[&own, arguments.as_slice()].concat(), path);
        assert!(came.starts_with(expected), "{arguments:?} {path}: {came}");
    }
    // What the target sees is a request of HTTP/1.1 that says the same, whatever its body came as.
    let seen = curl(
        scene,
        port,
        &["-d", "a=b", "-H", "Cookie: c=1", "-H", "Cookie: d=2"],
        "/x?y",
    );
    for part in [
        "POST /x?y HTTP/1.1",
        "content-length: 3",
        "cookie: c=1; d=2",
        "x-forwarded-proto: https",
        "a=b",
    ] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    let seen = curl(
        scene,
        port,
        &["-T", big.trim_start_matches('@'), "-H", "Content-Length:"],
        "/chunked/x",
    );
    assert!(seen.len() > 3_000_000, "{}", seen.len());
    let records = eventually("records", || {
        let log = fs::read_to_string(scene.path("access.log")).ok()?;
        log.contains("/chunked/x").then_some(log)
    });
    assert!(records.contains(r#""version":"HTTP/2.0""#), "{records}");
    assert!(records.contains(r#""status":431"#), "{records}");
}

/// What h2load says of so many requests.
fn load(scene: &Scene, port: u16, count: usize) -> String {
    let (count, url) = (
        count.to_string(),
        format!("https://127.0.0.1:{port}/bytes/100"),
    );
    let arguments = ["-n", &count, "-c", "4", "-m", "25", &url];
    scene.run("h2load", &arguments).good()
}

#[test]
fn nothing_is_lost_over_reloads_and_dead_targets() {
    let (app, dead, port) = (Echo::start("app"), free_port(), free_port());
    let both = [dead, app.port];
    let stage = Stage::with(scene(), &text(port, &both, ""), &[]);
    thread::scope(|scope| {
        let loads = scope.spawn(|| load(&stage.scene, port, 4000));
        for number in 0..4 {
            let more = format!("timeouts = {{ response = \"{}s\" }}", 20 + number);
            stage.becomes(&text(port, &both, &more));
        }
        let said = loads.join().unwrap();
        assert!(said.contains("4000 succeeded, 0 failed"), "{said}");
        assert!(said.contains("4000 2xx"), "{said}");
    });
    // All targets dead: an answer of our own on each stream.
    stage.becomes(&text(port, &[dead], ""));
    let status = curl(
        &stage.scene,
        port,
        &["-o", "/dev/null", "-w", "%{http_version} %{http_code}"],
        "/",
    );
    assert_eq!(status, "2 502");
}

/// A target that takes every upgrade and says again what it hears, until its client has ended.
fn parrot() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                assert!(
                    head.contains("upgrade: websocket") && head.contains("sec-websocket-key: "),
                    "{head}"
                );
                stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: x\r\n\r\n",
                )?;
                std::io::copy(&mut stream.try_clone()?, &mut stream)
            });
        }
    });
    port
}

#[test]
fn a_web_socket_is_a_stream() {
    let port = free_port();
    let stage = Stage::with(scene(), &text(port, &[parrot()], ""), &[]);
    let said = frames(&stage.scene, port, &["websocket"]);
    assert_eq!(said, "websocket: offered 1, 200, hello, end\n");
}

#[test]
fn who_asks_too_much_is_told_and_others_are_served() {
    let (app, port) = (Echo::start("app"), free_port());
    let text = text(port, &[app.port], "")
        .replace("head_bytes", "timeouts.keep_alive = \"2s\"\nhead_bytes");
    let stage = Stage::with(scene(), &text, &[]);
    let cases = [
        ("resets", "goaway 11", "http2_resets"),
        ("made_resets", "goaway 11", "http2_resets"),
        ("stalled", "asked", ""),
        ("late_windows", "1500 whole", ""),
        ("pings", "goaway 11", "http2_idle_frames"),
        ("settings", "goaway 11", "http2_idle_frames"),
        ("empty_data", "goaway 11", "http2_idle_frames"),
        ("continuations", "goaway 11", "http2_continuations"),
        ("block_bytes", "goaway 11", "http2_field_bytes"),
        ("bomb", "goaway 11", "http2_field_bytes"),
        ("small_bomb", "431 ", "request_head_bytes"),
        ("malformed", "None 0 reset 1", ""),
        ("idle_pings", "ended", ""),
        ("fair", "all", ""),
        ("too_many", "201 reset 7, 101 ends", "http2_streams"),
        (
            "slow_reader",
            "65535 of the first, then 1000000 and 200000",
            "",
        ),
        ("wrong_length", "None 0 reset 1, None 0 reset 1", ""),
    ];
    let resident = || {
        stage
            .metric("portway_resident_memory_bytes ")
            .parse::<u64>()
            .unwrap()
    };
    let before = resident();
    let reached = |limit: &str| {
        let line = format!("portway_limit_reached_total{{limit=\"{limit}\"}} ");
        stage.metric(&line).parse::<u32>().unwrap()
    };
    for (case, expected, limit) in cases {
        let earlier = if limit.is_empty() { 0 } else { reached(limit) };
        let said = frames(&stage.scene, port, &[case]);
        assert!(said.starts_with(&format!("{case}: {expected}")), "{said}");
        if !limit.is_empty() {
            eventually(limit, || (reached(limit) > earlier).then_some(()));
        }
        let status = curl(
            &stage.scene,
            port,
            &["-o", "/dev/null", "-w", "%{http_code}"],
            "/",
        );
        assert_eq!(status, "200", "after {case}");
    }
    let log = fs::read_to_string(stage.scene.path("access.log")).unwrap();
    assert!(log.contains("http2_fields"), "{log}");
    assert!(
        resident() < before + 32 * 1024 * 1024,
        "{before} became {}",
        resident()
    );
}

#[test]
fn a_client_that_gives_up_frees_its_target() {
    let (app, port) = (Echo::start("app"), free_port());
    let stage = Stage::with(scene(), &text(port, &[app.port], ""), &[]);
    assert_eq!(frames(&stage.scene, port, &["gives_up"]), "gives_up: 200\n");
    let in_flight = "portway_target_requests_in_flight{";
    let url = format!("http://{}/metrics", stage.portway.admin);
    eventually("nothing is in flight", || {
        let text = stage.scene.curl(&["-s", &url]).good();
        let mut lines = text.lines().filter(|it| it.starts_with(in_flight));
        lines.all(|it| it.ends_with(" 0")).then_some(())
    });
}

#[test]
fn a_stop_tells_clients_and_finishes_what_is_under_way() {
    let (app, port) = (Echo::start("app"), free_port());
    let stage = Stage::with(scene(), &text(port, &[app.port], ""), &[]);
    let scene = &stage.scene;
    scene.file("frames.py", include_str!("http2_frames.py"));
    let mut client: Process = scene.spawn(
        &python_with_peers(),
        &["frames.py", &port.to_string(), "drained"],
    );
    eventually("a stream is under way", || {
        client.log().contains("begun").then_some(())
    });
    eventually("its request is there", || {
        (stage.metric("portway_listener_requests_in_flight{listener=\"web\"} ") == "1")
            .then_some(())
    });
    let Stage { portway, scene, .. } = stage;
    portway.stop();
    client.wait();
    assert!(
        client.log().contains("drained: told, whole, closed"),
        "{}",
        client.log()
    );
    drop(scene);
}
