//! What is tried again and what is not: each thing that `retry-on` of HAProxy and `retry_on` can name against each way to fail, with a
//! dead target too, over a reload that gives every group the words of another. HAProxy, on the same file, says the same.

use std::thread;

use crate::passive::{JUNK, Moody, SILENT};
use crate::stage::{Client, group, listener, server};
use crate::support::{Scene, free_port};
use crate::upgrade::Stage;

/// Nobody listens: a way to fail beside moods.
const DEAD: u16 = 1;
/// It closes instead of an answer.
const CLOSES: u16 = 0;

/// Every way to fail.
const WAYS: [u16; 16] = [
    DEAD, CLOSES, JUNK, SILENT, 401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504,
];

/// Words, and what is tried again by them.
struct Row {
    words: &'static str,
    again: &'static [u16],
    /// What is tried again where a method may be done twice.
    safe: &'static [u16],
}

const ALL: &[u16] = &[DEAD, CLOSES, JUNK, SILENT, 500, 502, 503, 504];

const fn row(words: &'static str, again: &'static [u16]) -> Row {
    Row {
        words,
        again,
        safe: &[],
    }
}

/// What was not done is asked for again whatever the method.
const fn safe(words: &'static str) -> Row {
    Row {
        words,
        again: &[DEAD, 421, 425],
        safe: &[CLOSES],
    }
}

/// What HAProxy 2.6 has, and what newer ones have.
const HAPROXY: [Row; 11] = [
    row("", &[DEAD]),
    row("none", &[]),
    row("conn-failure", &[DEAD]),
    row("empty-response", &[CLOSES]),
    row("junk-response", &[JUNK]),
    row("response-timeout", &[SILENT]),
    row("401 403 404 408 425", &[401, 403, 404, 408, 425]),
    row("500 501 502 503 504", &[500, 501, 502, 503, 504]),
    row("all-retryable-errors", ALL),
    row(
        "conn-failure response-timeout 425 503",
        &[DEAD, SILENT, 425, 503],
    ),
    row("421 429", &[421, 429]),
];
/// So many of them are those of 2.6.
const OLD: usize = 10;

/// A request, as its method and its body.
type Request = (&'static str, &'static str);

const REQUESTS: [Request; 3] = [("GET", ""), ("POST", ""), ("POST", "hello")];

/// How long an answer is waited for: nobody is late but who is silent.
const fn patience(way: u16) -> &'static str {
    match way {
        SILENT => "2s",
        _ => "60s",
    }
}

fn haproxy(rows: &[Row], (turn, way): (usize, u16), web: u16, servers: [u16; 2]) -> String {
    let mut text = format!(
        "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server {}\n retries 3\n option redispatch 1\n\
         frontend web\n bind 127.0.0.1:{web}\n",
        patience(way)
    );
    for place in 0..rows.len() {
        text += &format!(" use_backend b{place} if {{ path /{place} }}\n");
    }
    let [bad, good] = servers;
    for place in 0..rows.len() {
        let words = match rows[(place + turn) % rows.len()].words {
            "" => String::new(),
            words => format!(" retry-on {words}\n"),
        };
        text += &format!(
            "backend b{place}\n balance first\n{words} server bad 127.0.0.1:{bad} maxconn 99\n \
             server good 127.0.0.1:{good} maxconn 99\n"
        );
    }
    text
}

/// The status of an answer and who gave it.
fn answer(web: u16, place: usize, (method, body): Request) -> String {
    let mut client = Client::new(web);
    let length = body.len();
    client.send(&format!(
        "{method} /{place} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let head = client.answer();
    let status = head.split(' ').nth(1).unwrap_or_default();
    format!("{status} {}", server(&head).unwrap_or("-"))
}

/// What comes of this way to fail where nothing is tried again; `dead`: where nobody listens.
fn failed(way: u16, dead: &str) -> String {
    match way {
        DEAD => format!("{dead} -"),
        CLOSES | JUNK => "502 -".to_owned(),
        SILENT => "504 -".to_owned(),
        status => format!("{status} bad"),
    }
}

/// Each group answers as its words say.
#[track_caller]
fn holds(who: &Asked<'_>, turn: usize, way: u16) {
    let rows = who.rows;
    thread::scope(|scope| {
        for place in 0..rows.len() {
            scope.spawn(move || {
                let row = &rows[(place + turn) % rows.len()];
                for request in REQUESTS {
                    let (method, body) = request;
                    let named =
                        row.again.contains(&way) && (way == DEAD || body.is_empty() || who.bodies);
                    let is_safe = row.safe.contains(&way) && method == "GET";
                    let expected = match named || is_safe {
                        true => "200 good".to_owned(),
                        false => failed(way, who.dead),
                    };
                    let found = answer(who.web, place, request);
                    assert_eq!(
                        found, expected,
                        "{}: {way}, `{}`, {request:?}",
                        who.web, row.words
                    );
                }
            });
        }
    });
}

/// Who is asked.
struct Asked<'r> {
    web: u16,
    rows: &'r [Row],
    /// Requests with a body are tried again too when a target has seen them, as HAProxy does with those that came at once.
    bodies: bool,
    /// The status where nobody listens.
    dead: &'static str,
}

/// Portway on this file through all ways to fail, then again when every group has the words of the next.
fn through_all_ways(
    scene: Scene,
    rows: &[Row],
    text: impl Fn(&[Row], (usize, u16), u16, [u16; 2]) -> String,
    (arguments, dead): (&[&str], &'static str),
) {
    let [bad, good] = ["bad", "good"].map(Moody::start);
    let [web, nobody] = [(); 2].map(|()| free_port());
    let text = |turn: usize, way: u16| {
        let bad = if way == DEAD { nobody } else { bad.port };
        text(rows, (turn, way), web, [bad, good.port])
    };
    let bodies = false;
    let who = Asked {
        web,
        rows,
        bodies,
        dead,
    };
    let stage = Stage::with(scene, &text(0, DEAD), arguments);
    for turn in 0..2 {
        for (place, way) in WAYS.into_iter().enumerate() {
            bad.is(way);
            // Where the file is another one.
            if matches!(way, DEAD | CLOSES | SILENT) || place > 0 && WAYS[place - 1] == SILENT {
                stage.becomes(&text(turn, way));
            }
            holds(&who, turn, way);
        }
    }
}

#[test]
fn haproxy_and_portway_try_the_same_again() {
    let [bad, good] = ["bad", "good"].map(Moody::start);
    let [web, nobody] = [(); 2].map(|()| free_port());
    let scene = Scene::new();
    let rows = &HAPROXY[..OLD];
    let theirs = Asked {
        web,
        rows,
        bodies: true,
        dead: "503",
    };
    for first in [DEAD, SILENT, CLOSES] {
        let port = if first == DEAD { nobody } else { bad.port };
        let file = format!("theirs-{first}.cfg");
        scene.file(&file, haproxy(rows, (0, first), web, [port, good.port]));
        let _haproxy = scene.serve(web, "haproxy", &["-db", "-f", &file]);
        let others = |way: &u16| ![DEAD, SILENT].contains(way);
        for way in WAYS {
            if way == first || first == CLOSES && others(&way) {
                bad.is(way);
                holds(&theirs, 0, way);
            }
        }
    }
    let given: (&[&str], _) = (&["--as", "haproxy"], "503");
    through_all_ways(scene, &HAPROXY, haproxy, given);
}

/// What a native file says. Without a list, what is safe.
const NATIVE: [Row; 11] = [
    safe(""),
    row("[]", &[]),
    safe("['safe']"),
    row("['connect_failure']", &[DEAD]),
    row("['empty_response', 'junk_response']", &[CLOSES, JUNK]),
    row("['response_timeout']", &[SILENT]),
    row("['misdirected']", &[421]),
    row("['too_early', 'connect_failure']", &[425, DEAD]),
    row("[421, 425]", &[421, 425]),
    row("['unavailable']", &[]),
    row("['500-502', 504, 408]", &[500, 501, 502, 504, 408]),
];

fn native(rows: &[Row], (turn, way): (usize, u16), web: u16, [bad, good]: [u16; 2]) -> String {
    let mut text = listener("web", web, "b0");
    for place in 1..rows.len() {
        text +=
            &format!("[[listener.web.rule]]\nwhen = 'Path(`/{place}`)'\nforward = 'b{place}'\n");
    }
    for place in 0..rows.len() {
        let words = match rows[(place + turn) % rows.len()].words {
            "" => String::new(),
            words => format!("retry_on = {words}\n"),
        };
        let name = format!("b{place}");
        text += &format!(
            "{}algorithm = 'first'\nretry_budget = 0\n{words}timeouts = {{ response = '{}' }}\n",
            group(&name, &[bad, good]),
            patience(way)
        );
    }
    text
}

#[test]
fn natively_what_is_named_is_tried_again() {
    let given: (&[&str], _) = (&[], "502");
    through_all_ways(Scene::new(), &NATIVE, native, given);
}
