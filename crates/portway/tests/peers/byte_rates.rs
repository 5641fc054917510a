//! Rates of bytes in stick tables, with real traffic past a dead target: what is counted of requests and connections is what HAProxy
//! counts of the same file, goes on over a reload and an upgrade, and is forgotten when its time is over.

use crate::control_socket::ask;
use crate::echo::Echo;
use crate::stage::Client;
use crate::support::{Scene, eventually, free_port, local};
use crate::upgrade::Stage;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// Ports, and how many bytes a period may have before clients are turned away.
struct Given<'t> {
    web: u16,
    raw: u16,
    targets: [u16; 2],
    most: u64,
    period: &'t str,
    socket: &'t Path,
}

fn haproxy(it: &Given<'_>) -> String {
    let (web, raw, most, period) = (it.web, it.raw, it.most, it.period);
    let [dead, alive] = it.targets;
    let rates = format!("store bytes_in_rate({period}),bytes_out_rate({period})");
    let servers = format!(" server dead 127.0.0.1:{dead}\n server alive 127.0.0.1:{alive}\n");
    format!(
        "global\n stats socket {} level admin\n\
         defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n retries 3\n option redispatch 1\n\
         frontend web\n bind 127.0.0.1:{web}\n tcp-request connection track-sc0 src table sources\n \
         http-request track-sc1 hdr(x-who) table people\n tcp-request content track-sc2 src table contents\n \
         http-request deny deny_status 429 if {{ sc1_bytes_out_rate gt {most} }}\n \
         http-request deny deny_status 413 if {{ sc_bytes_in_rate(1) gt {most} }}\n default_backend app\n\
         backend app\n{servers}\
         listen raw\n mode tcp\n bind 127.0.0.1:{raw}\n \
         tcp-request connection reject if {{ src_bytes_out_rate(strangers) gt {most} }}\n \
         tcp-request connection track-sc0 src table strangers\n{servers}\
         backend sources\n stick-table type ip size 1k expire 1h {rates}\n\
         backend contents\n stick-table type ip size 1k expire 1h {rates}\n\
         backend people\n stick-table type string len 32 size 1k expire 1h {rates}\n\
         backend strangers\n stick-table type ip size 1k expire 1h {rates}\n",
        it.socket.display()
    )
}

fn native(it: &Given<'_>) -> String {
    let (web, raw, most, period) = (it.web, it.raw, it.most, it.period);
    let [dead, alive] = it.targets;
    let group = |name: &str, protocol: &str| {
        format!(
            "[target_group.{name}]\nprotocol = '{protocol}'\ntargets = ['127.0.0.1:{dead}', '127.0.0.1:{alive}']\n"
        )
    };
    let table = |name: &str, key: &str| {
        format!(
            "[stick_table.{name}]\nkey = {key}\nsize = 1000\nexpire = '1h'\n\
             store = ['bytes_in_rate per {period}', 'bytes_out_rate per {period}']\n"
        )
    };
    let rule = |name: &str, phase: &str, what: &str| {
        format!("[[listener.{name}.rule]]\nphase = '{phase}'\n{what}\n")
    };
    let track = |slot: u8, key: &str, table: &str| {
        format!("track = {{ slot = {slot}, key = '{key}', table = '{table}' }}")
    };
    let more = |rate: &str| format!("when = 'counter({rate}) > {most}'\n");
    [
        format!(
            "[process]\ncontrol_sockets = {{ bind = 'unix:{}', level = 'admin' }}\n\
             [listener.web]\nbind = '127.0.0.1:{web}'\nforward = 'app'\n",
            it.socket.display()
        ),
        rule("web", "connection", &track(0, "source", "sources")),
        rule("web", "request", &track(2, "source", "contents")),
        rule("web", "request", &track(1, "header(`X-Who`)", "people")),
        rule(
            "web",
            "request",
            &(more("bytes_out_rate, tracked(1)") + "respond = { status = 429 }"),
        ),
        rule(
            "web",
            "request",
            &(more("bytes_in_rate, tracked(1)") + "respond = { status = 413 }"),
        ),
        format!("[listener.raw]\nbind = '127.0.0.1:{raw}'\nprotocol = 'tcp'\nforward = 'raw'\n"),
        rule(
            "raw",
            "connection",
            &(more("bytes_out_rate, entry(`strangers`, source)") + "reject = 'reset'"),
        ),
        rule("raw", "connection", &track(0, "source", "strangers")),
        group("app", "http"),
        group("raw", "tcp"),
        table("sources", "'address'"),
        table("contents", "'address'"),
        table("strangers", "'address'"),
        table("people", "{ text = 32 }"),
    ]
    .concat()
}

/// The status of an answer of 10,000 bytes, where there is one, to so many bytes.
fn status(web: u16, who: &str, bytes: usize) -> String {
    let mut client = Client::new(web);
    let body = "y".repeat(bytes);
    client.send(&format!(
        "POST /bytes/10000 HTTP/1.1\r\nHost: a\r\nX-Who: {who}\r\nContent-Length: {bytes}\r\n\r\n{body}"
    ));
    let head = client.answer();
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// How much comes over a connection that is not HTTP to us.
fn comes(raw: u16) -> usize {
    let Ok(mut stream) = TcpStream::connect(local(raw)) else {
        return 0;
    };
    let mut came = Vec::new();
    let ask = b"GET /bytes/10000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // Whoever is turned away may get a reset.
    let _ = stream
        .write_all(ask)
        .and_then(|()| stream.read_to_end(&mut came));
    came.len()
}

/// What came in and went out of an entry, as the control socket tells it.
fn rates(socket: &Path, table: &str, key: &str) -> (u64, u64) {
    let shown = ask(socket, &format!("show table {table} key {key}"));
    let number = |name: &str| {
        let (_, rest) = shown.split_once(&format!(" {name}("))?;
        rest.split_once(")=")?
            .1
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let both = number("bytes_in_rate").zip(number("bytes_out_rate"));
    both.unwrap_or((0, 0))
}

/// All entries, as tables and keys.
const ENTRIES: [(&str, &str); 5] = [
    ("sources", "127.0.0.1"),
    ("contents", "127.0.0.1"),
    ("people", "me"),
    ("people", "you"),
    ("strangers", "127.0.0.1"),
];

fn all_rates(socket: &Path) -> [(u64, u64); 5] {
    ENTRIES.map(|(table, key)| rates(socket, table, key))
}

/// `me` and `you` are served until they have had too much of one or the other, and connections that are not HTTP too. What is
/// counted is waited for: a client may know the end before it is counted.
#[track_caller]
fn is_used_up(it: &Given<'_>) {
    let counted = |table: &str, key: &str, most: usize, asks: &dyn Fn(bool) -> bool| {
        for number in 1..=most {
            let before = rates(it.socket, table, key).1;
            assert!(asks(true), "{table} {key} {number}");
            eventually(format_args!("{table} {key} {number} is counted"), || {
                (rates(it.socket, table, key).1 >= before + 10_000).then_some(())
            });
        }
        assert!(!asks(false), "{table} {key} is used up");
    };
    counted("people", "me", 5, &|_| status(it.web, "me", 10) == "200");
    // What nobody reads of a body that is refused is counted by one and not by the other.
    counted("people", "you", 2, &|in_full| {
        let bytes = if in_full { 30_000 } else { 10 };
        status(it.web, "you", bytes) == "200"
    });
    counted("strangers", "127.0.0.1", 5, &|_| comes(it.raw) > 10_000);
}

fn counts(text: fn(&Given<'_>) -> String, arguments: &[&str]) {
    let scene = Scene::new();
    let [alive, dead] = [Echo::start("alive").port, free_port()];
    let sockets = ["ours.sock", "theirs.sock"].map(|name| scene.path(name));
    let [ours, theirs] = sockets.each_ref().map(|socket| Given {
        web: free_port(),
        raw: free_port(),
        targets: [dead, alive],
        most: 50_000,
        period: "1h",
        socket,
    });
    scene.file("theirs.cfg", haproxy(&theirs));
    let _haproxy = scene.serve(theirs.web, "haproxy", &["-db", "-f", "theirs.cfg"]);
    let stage = Stage::with(scene, &text(&ours), arguments);
    is_used_up(&theirs);
    is_used_up(&ours);
    // HAProxy counts heads as it keeps them, which is a few bytes more or less.
    let near = |a: u64, b: u64| a.abs_diff(b) < 1000;
    for (table, key) in ENTRIES {
        eventually(format_args!("{table} {key} has what HAProxy has"), || {
            let [a, b] = [ours.socket, theirs.socket].map(|it| rates(it, table, key));
            (near(a.0, b.0) && near(a.1, b.1) && a.1 > 0).then_some(())
        });
    }
    let before = all_rates(ours.socket);
    let is_over = |what: &str| {
        assert_eq!(status(ours.web, "me", 10), "429", "{what}");
        assert_eq!(status(ours.web, "you", 10), "413", "{what}");
        assert_eq!(comes(ours.raw), 0, "{what}");
        for (now, before) in all_rates(ours.socket).iter().zip(&before) {
            assert!(
                now.0 >= before.0 && now.1 >= before.1,
                "{what}: {now:?} {before:?}"
            );
        }
    };
    is_over("at once");
    stage.becomes(&text(&Given {
        most: 50_001,
        ..ours
    }));
    is_over("after a reload");
    stage.upgrade();
    is_over("after an upgrade");
    // More is let through; nobody is there but the dead one, whose answer counts too; and it is counted on from where it was.
    let nobody = Given {
        most: 200_000,
        targets: [dead, free_port()],
        ..ours
    };
    stage.becomes(&text(&nobody));
    let before = all_rates(ours.socket);
    assert!(["502", "503"].contains(&&*status(ours.web, "me", 10)));
    assert_eq!(comes(ours.raw), 0);
    stage.becomes(&text(&Given {
        most: 200_000,
        ..ours
    }));
    assert_eq!(status(ours.web, "me", 10), "200");
    assert_eq!(status(ours.web, "you", 10), "200");
    assert!(comes(ours.raw) > 10_000);
    eventually("it is counted on", || {
        let now = all_rates(ours.socket);
        let mut pairs = now.iter().zip(&before);
        pairs
            .all(|(now, before)| now.1 > before.1 + 10_000 && now.1 < before.1 + 25_000)
            .then_some(())
    });
    // A period that ends.
    let short = Given {
        period: "2s",
        ..ours
    };
    stage.becomes(&text(&short));
    stage.upgrade();
    eventually("its time is over", || {
        let served = status(ours.web, "me", 10) == "200" && comes(ours.raw) > 10_000;
        served.then_some(())
    });
}

#[test]
fn rates_of_bytes_are_haproxys_and_go_on() {
    counts(haproxy, &["--as", "haproxy"]);
}

#[test]
fn rates_of_bytes_go_on_natively() {
    counts(native, &[]);
}
