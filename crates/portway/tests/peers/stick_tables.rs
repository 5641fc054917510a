//! Entries of stick tables past dead targets: what rules raise and mark and what is counted over a time goes on over a reload and an
//! upgrade; an entry that nobody uses ends, and one that is tracked does not.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

use crate::control_socket::ask;
use crate::echo::Echo;
use crate::queue::Gate;
use crate::stage::{Client, group};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade::Stage;

/// What a file is made of.
struct Given<'t> {
    web: u16,
    targets: [u16; 2],
    /// The target of `/held`.
    gate: u16,
    retries: u32,
    socket: &'t Path,
}

fn haproxy(it: &Given<'_>) -> String {
    let Given {
        web,
        targets: [a, b],
        gate,
        retries,
        socket,
    } = it;
    format!(
        "global\n stats socket {} level admin\n\
         defaults\n mode http\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n retries {retries}\n option redispatch 1\n\
         frontend web\n bind 127.0.0.1:{web}\n \
         http-request track-sc0 hdr(x-key) table seen\n http-request track-sc1 hdr(x-short) table short\n \
         http-request sc-inc-gpc0(0) if {{ path /up }}\n http-request sc-set-gpt0(0) 7 if {{ path /mark }}\n \
         http-after-response set-header X-Told \"%[sc0_get_gpc0] %[sc0_get_gpt0] %[sc0_gpc0_rate] %[sc0_http_req_rate]\"\n \
         http-after-response set-header X-Short %[sc1_http_req_cnt]\n \
         use_backend held if {{ path /held }}\n default_backend app\n\
         backend app\n server a 127.0.0.1:{a}\n server b 127.0.0.1:{b}\n\
         backend held\n server gate 127.0.0.1:{gate}\n\
         backend seen\n stick-table type string len 32 size 100 expire 1h store gpc0,gpt0,gpc0_rate(1h),http_req_rate(1h)\n\
         backend short\n stick-table type string len 32 size 100 expire 1s store http_req_cnt\n",
        socket.display()
    )
}

fn native(it: &Given<'_>) -> String {
    let Given {
        web,
        targets,
        gate,
        retries,
        socket,
    } = it;
    let rule = |text: &str| format!("[[listener.web.rule]]\n{text}\n");
    let told = ["general(0)", "mark(0)", "general_rate(0)", "request_rate"];
    let told = told.map(|it| format!("${{counter({it}, tracked(0))}}"));
    [
        format!(
            "[process]\ncontrol_sockets = {{ bind = 'unix:{}', level = 'admin' }}\n\
             [listener.web]\nbind = '127.0.0.1:{web}'\nforward = 'app'\n",
            socket.display()
        ),
        rule("track = { key = 'header(`X-Key`)', table = 'seen' }"),
        rule("track = { slot = 1, key = 'header(`X-Short`)', table = 'short' }"),
        rule("when = 'Path(`/up`)'\nincrement = { slot = 0, counter = 'general(0)' }"),
        rule("when = 'Path(`/mark`)'\nset_mark = { slot = 0, mark = 'mark(0)', to = '7' }"),
        rule("when = 'Path(`/held`)'\nforward = 'held'"),
        rule(&format!(
            "phase = 'after_response'\nset_header = {{ X-Told = '{}', X-Short = '${{counter(requests, tracked(1))}}' }}",
            told.join(" ")
        )),
        group("app", targets),
        format!("retries = {retries}\n"),
        group("held", &[*gate]),
        "[stick_table.seen]\nkey = { text = 32 }\nsize = 100\nexpire = '1h'\n\
         store = ['general(0)', 'mark(0)', 'general_rate(0) per 1h', 'request_rate per 1h']\n\
         [stick_table.short]\nkey = { text = 32 }\nsize = 100\nexpire = '1s'\nstore = ['requests']\n"
            .to_owned(),
    ]
    .concat()
}

/// Status of an answer, and what it tells in this header.
fn told(web: u16, path: &str, headers: &str, tells: &str) -> (String, String) {
    let head = Client::new(web).ask_with(path, headers);
    let status = head.split(' ').nth(1).unwrap().to_owned();
    let (_, told) = head.split_once(&format!("{tells}: ")).expect(&head);
    (status, told.split("\r\n").next().unwrap().to_owned())
}

/// What a rule has raised and marked, how often it was raised and the key was seen in an hour.
#[track_caller]
fn is_told(web: u16, path: &str, expected: (&str, [u32; 4])) {
    let (status, told) = told(web, path, "X-Key: me\r\n", "x-told");
    let (expected, numbers) = expected;
    let numbers = numbers.map(|it| it.to_string()).join(" ");
    assert_eq!((status.as_str(), told), (expected, numbers), "{path}");
}

fn counters_go_on(text: fn(&Given<'_>) -> String, arguments: &[&str]) {
    let (scene, alive, web) = (Scene::new(), Echo::start("alive"), free_port());
    let [dead, other, gate] = [(); 3].map(|()| free_port());
    let socket = scene.path("control.sock");
    let with = |targets: [u16; 2], retries: u32| {
        text(&Given {
            web,
            targets,
            gate,
            retries,
            socket: &socket,
        })
    };
    // Whoever falls to the dead one is tried again, and counted once.
    let stage = Stage::with(scene, &with([dead, alive.port], 3), arguments);
    is_told(web, "/up", ("200", [1, 0, 1, 1]));
    is_told(web, "/up", ("200", [2, 0, 2, 2]));
    is_told(web, "/mark", ("200", [2, 7, 2, 3]));
    stage.becomes(&with([alive.port, dead], 4));
    is_told(web, "/", ("200", [2, 7, 2, 4]));
    is_told(web, "/up", ("200", [3, 7, 3, 5]));
    stage.upgrade();
    is_told(web, "/", ("200", [3, 7, 3, 6]));
    is_told(web, "/up", ("200", [4, 7, 4, 7]));
    // So is who gets no answer of a target.
    stage.becomes(&with([dead, other], 4));
    let none = told(web, "/none", "X-Key: you\r\n", "x-told").0;
    assert!(["502", "503"].contains(&&*none), "{none}");
    is_told(web, "/up", (&none, [5, 7, 5, 8]));
    stage.upgrade();
    is_told(web, "/up", (&none, [6, 7, 6, 9]));
    stage.becomes(&with([dead, alive.port], 3));
    is_told(web, "/", ("200", [6, 7, 6, 10]));
    let others = told(web, "/", "X-Key: you\r\n", "x-told");
    assert_eq!(others.1, "0 0 0 2");
}

/// Whether the table of short lives has an entry.
fn is_there(socket: &Path, key: &str) -> bool {
    let shown = ask(socket, "show table short");
    assert!(shown.contains("table: short"), "{shown}");
    shown.contains(&format!("key={key} "))
}

fn entries_end(text: fn(&Given<'_>) -> String, arguments: &[&str]) {
    let (scene, alive, web) = (Scene::new(), Echo::start("alive"), free_port());
    let (dead, gate) = (free_port(), Gate::default());
    let socket = scene.path("control.sock");
    let held = gate.target();
    let with = |retries| {
        text(&Given {
            web,
            targets: [dead, alive.port],
            gate: held,
            retries,
            socket: &socket,
        })
    };
    let stage = Stage::with(scene, &with(3), arguments);
    let ends = |key: &str| {
        eventually(format_args!("the end of {key}"), || {
            (!is_there(&socket, key)).then_some(())
        });
    };
    let asked = |key: &str| told(web, "/", &format!("X-Short: {key}\r\n"), "x-short").1;
    let changes: [(&str, &dyn Fn()); 3] = [
        ("alone", &|| ()),
        ("reload", &|| stage.becomes(&with(4))),
        ("upgrade", &|| {
            stage.upgrade();
        }),
    ];
    for (key, change) in changes {
        // An answer that is late finds an entry that is new.
        eventually(format_args!("{key} is counted"), || {
            (asked(key) == "2").then_some(())
        });
        change();
        ends(key);
        assert_eq!(asked(key), "1");
    }
    // One that an exchange is counted in does not end before that does.
    let waits = thread::spawn(move || {
        let mut client = Client::new(web);
        client.ask_with("/held", "X-Short: held\r\n")
    });
    gate.arrived(1);
    asked("after");
    ends("after");
    assert!(is_there(&socket, "held"));
    stage.becomes(&with(5));
    asked("later");
    ends("later");
    assert!(is_there(&socket, "held"));
    gate.open.store(true, Ordering::SeqCst);
    assert!(waits.join().unwrap().contains("x-short: 1\r\n"));
    ends("held");
}

#[test]
fn what_rules_count_goes_on_as_haproxy_says() {
    counters_go_on(haproxy, &["--as", "haproxy"]);
}

#[test]
fn what_rules_count_goes_on_natively() {
    counters_go_on(native, &[]);
}

#[test]
fn entries_that_nobody_uses_end_as_haproxy_says() {
    entries_end(haproxy, &["--as", "haproxy"]);
}

#[test]
fn entries_that_nobody_uses_end_natively() {
    entries_end(native, &[]);
}
