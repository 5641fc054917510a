//! Access logs in the formats of others, to a file and to a syslog server over UDP at once: across a reload, and past a target that is
//! dead.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port};

/// Of the listener, and of the target that answers.
type Ports = (u16, u16);

/// The format of lines, that of messages, and what both look like for a request of this path that this target answered.
struct Row {
    format: &'static str,
    messages: &'static str,
    line: fn(&str, &str, Ports),
    front: fn(&str) -> bool,
}

impl Row {
    fn file(&self) -> &str {
        let is_name = self.format.bytes().all(|it| it.is_ascii_lowercase());
        if is_name { self.format } else { "template" }
    }
}

fn combined(line: &str, path: &str, _: Ports) {
    let (front, rest) = line.split_once(" - - [").unwrap();
    assert_eq!(front, "127.0.0.1", "{line}");
    let (time, rest) = rest.split_once("] ").unwrap();
    assert!(time.ends_with(" +0000") && time.contains('/'), "{line}");
    let rest = rest.strip_prefix(&format!("\"GET {path} HTTP/1.1\" 200 "));
    let (size, agents) = rest
        .unwrap_or_else(|| panic!("{line}"))
        .split_once(' ')
        .unwrap();
    assert!(size.parse::<u32>().unwrap() > 0, "{line}");
    assert_eq!(agents, "\"-\" \"-\"", "{line}");
}

fn alb(line: &str, path: &str, (web, target): Ports) {
    let parts: Vec<&str> = line.split(' ').collect();
    assert_eq!((parts[0], parts[2]), ("http", "web"), "{line}");
    assert!(parts[3].starts_with("127.0.0.1:"), "{line}");
    // Who answered, not who was dead.
    let answered = format!("127.0.0.1:{target}");
    assert_eq!(parts[4], answered, "{line}");
    assert!(
        parts[5..8]
            .iter()
            .all(|it| it.parse::<f64>().unwrap() >= 0.0),
        "{line}"
    );
    assert_eq!(parts[8..10], ["200", "200"], "{line}");
    let request = format!("\"GET http://a.example:{web}{path} HTTP/1.1\"");
    assert!(line.contains(&request), "{line}");
    assert!(
        line.contains(&format!(" \"{answered}\" \"200\" ")),
        "{line}"
    );
}

fn httplog(line: &str, path: &str, (_, target): Ports) {
    let parts: Vec<&str> = line.split(' ').collect();
    assert!(parts[0].starts_with("127.0.0.1:"), "{line}");
    assert!(
        parts[1].starts_with('[') && parts[1].ends_with(']'),
        "{line}"
    );
    // Who answered, not who was dead.
    let served = format!("app/127.0.0.1:{target}");
    assert_eq!(parts[2..4], ["web", served.as_str()], "{line}");
    let times = parts[4].split('/').map(|it| it.parse::<u32>().unwrap());
    assert_eq!(times.count(), 5, "{line}");
    assert_eq!((parts[5], parts[9]), ("200", "----"), "{line}");
    // Tried once more, at another.
    assert!(parts[10].ends_with("/+1"), "{line}");
    assert!(
        line.ends_with(&format!(" \"GET {path} HTTP/1.1\"")),
        "{line}"
    );
}

fn template(line: &str, path: &str, (_, target): Ports) {
    assert_eq!(line, format!("GET {path} at 127.0.0.1:{target}, +1: 200"));
}

const TEMPLATE: &str = "${method} ${path} at ${target_name}, ${log(retries_marked)}: ${status}";

const ROWS: [Row; 4] = [
    Row {
        format: "httplog",
        messages: "rfc3164",
        line: httplog,
        front: |it| it.starts_with("<134>") && it.contains(" edge lb[") && it.ends_with("]: "),
    },
    Row {
        format: TEMPLATE,
        messages: "rfc5424",
        line: template,
        front: |it| it.starts_with("<134>1 ") && it.contains(" edge lb ") && it.ends_with(" - - "),
    },
    Row {
        format: "alb",
        messages: "rfc3164",
        line: alb,
        // `<134>Nov 30 08:00:00 edge lb[17]: …`
        front: |it| it.starts_with("<134>") && it.contains(" edge lb[") && it.ends_with("]: "),
    },
    Row {
        format: "combined",
        messages: "rfc5424",
        line: combined,
        // `<134>1 2026-11-30T08:00:00Z edge lb 17 - - …`
        front: |it| it.starts_with("<134>1 ") && it.contains(" edge lb ") && it.ends_with(" - - "),
    },
];

#[test]
fn lines_and_messages_are_as_the_file_of_now_says() {
    let (one, dead, web) = (Echo::start("one"), free_port(), free_port());
    let syslog = UdpSocket::bind("127.0.0.1:0").unwrap();
    syslog
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let port = syslog.local_addr().unwrap().port();
    let text = |row: &Row| {
        format!(
            "{}access_log = {{ format = '{}', to = ['file:{}.log', {{ syslog = '127.0.0.1:{port}', format = '{}', \
             tag = 'lb', hostname = 'edge', length = 4000 }}] }}\n{}algorithm = 'first'\n",
            listener("web", web, "app"),
            row.format,
            row.file(),
            row.messages,
            group("app", &[dead, one.port]),
        )
    };
    let stage = Stage::new(&text(&ROWS[0]));
    let mut client = Client::new(web);
    for (round, row) in ROWS.iter().chain(&ROWS).enumerate() {
        // The connection of the client stays.
        stage.becomes(&text(row));
        let paths: BTreeSet<String> = (0..5).map(|it| format!("/{round}/{it}")).collect();
        for path in &paths {
            assert_eq!(client.ask(path), "one");
        }
        let file = stage.scene.path(&format!("{}.log", row.file()));
        let lines = eventually("all lines are in the file", || {
            let all = fs::read_to_string(&file).unwrap_or_default();
            let begin = format!("/{round}/");
            let of_now: Vec<String> = all
                .lines()
                .filter(|it| it.contains(&begin))
                .map(str::to_owned)
                .collect();
            (of_now.len() == paths.len()).then_some(of_now)
        });
        for (line, path) in lines.iter().zip(&paths) {
            (row.line)(line, path, (web, one.port));
            let mut message = [0; 8192];
            let length = syslog.recv(&mut message).unwrap();
            let message = std::str::from_utf8(&message[..length]).unwrap();
            let front = message.trim_end().strip_suffix(line.as_str());
            assert!(front.is_some_and(row.front), "{message}");
        }
    }
}

/// Of requests and of streams; where nobody else was tried nothing is said.
#[test]
fn who_was_tried_before_is_named() {
    let (one, [web, raw, plain]) = (Echo::start("one"), [(); 3].map(|()| free_port()));
    let dead = [free_port(), free_port()];
    let log = |format: &str, name: &str| {
        format!("access_log = {{ format = '{format}', to = 'file:{name}.log' }}\n")
    };
    let value = "${log(targets_attempted)}";
    let text = [
        listener("web", web, "app"),
        log("json", "web"),
        listener("raw", raw, "app"),
        log(value, "raw"),
        "protocol = 'tcp'\n".to_owned(),
        listener("plain", plain, "alone"),
        log("json", "plain"),
        group("app", &[dead[0], dead[1], one.port]),
        "algorithm = 'first'\n".to_owned(),
        group("alone", &[one.port]),
    ];
    let stage = Stage::new(&text.concat());
    for port in [web, raw, plain] {
        assert_eq!(Client::new(port).ask("/"), "one");
    }
    let line = |name: &str| {
        let file = stage.scene.path(&format!("{name}.log"));
        eventually("it is in the file", || {
            let all = fs::read_to_string(&file).unwrap_or_default();
            all.lines().next().map(str::to_owned)
        })
    };
    let all = [dead[0], dead[1], one.port].map(|port| format!("127.0.0.1:{port}"));
    let record = |name: &str| serde_json::from_str::<serde_json::Value>(&line(name)).unwrap();
    let named = record("web");
    assert_eq!(
        named["targets_attempted"],
        serde_json::json!(all),
        "{named}"
    );
    assert_eq!(
        (&named["attempts"], &named["target"]),
        (&3.into(), &all[2].clone().into())
    );
    assert_eq!(line("raw"), all.join(", "));
    let alone = record("plain");
    assert_eq!(alone.get("targets_attempted"), None, "{alone}");
}
