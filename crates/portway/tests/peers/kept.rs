//! Clients that a cookie keeps with a target that dies and comes back: cookies of ours, of the application, and what a table learned
//! of them, natively and as a haproxy.cfg says, over reloads and upgrades.

use std::collections::BTreeMap;
use std::thread;

use rustix::process::Signal;

use crate::stage::Client;
use crate::support::{Process, Scene, free_port};
use crate::upgrade::Stage;

/// An application with sessions that it forgets when it ends; who has none of them gets one.
const APP: &str = r#"
import http.server, os, sys
known = {}
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        pairs = [it.strip().split('=', 1) for it in self.headers.get('Cookie', '').split(';')]
        session = dict(it for it in pairs if len(it) == 2).get('SESSION')
        self.send_response(200)
        self.send_header('X-Server', 'NAME')
        if session not in known:
            session = os.urandom(8).hex()
            known[session] = 0
            self.send_header('Set-Cookie', 'SESSION=%s; Path=/' % session)
        known[session] += 1
        self.send_header('X-Visits', known[session])
        self.send_header('Content-Length', 0)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), App).serve_forever()
"#;

/// A way to keep clients.
struct Row {
    native: &'static str,
    haproxy: &'static str,
    /// The application gets to see its own cookie.
    sees_own: bool,
    /// Checks say who is dead, natively; else connections that fail do. In a haproxy.cfg it is the other way.
    checked: bool,
}

const ROWS: [Row; 6] = [
    Row {
        native: "stickiness = { cookie = 'KEPT' }",
        haproxy: "cookie KEPT insert indirect nocache",
        sees_own: true,
        checked: false,
    },
    Row {
        native: "stickiness = { cookie = 'KEPT', values = 'sealed', indirect = true }",
        haproxy: "cookie KEPT insert maxidle 1h maxlife 8h",
        sees_own: true,
        checked: true,
    },
    Row {
        native: "stickiness = { cookie = 'KEPT', values = { dynamic = 'secret' } }",
        haproxy: "dynamic-cookie-key secret\n cookie KEPT insert dynamic",
        sees_own: true,
        checked: false,
    },
    Row {
        native: "stickiness = { cookie = 'SESSION', mode = 'rewrite' }",
        haproxy: "cookie SESSION rewrite",
        sees_own: false,
        checked: true,
    },
    Row {
        native: "stickiness = { cookie = 'SESSION', mode = 'prefix' }",
        haproxy: "cookie SESSION prefix",
        sees_own: true,
        checked: false,
    },
    Row {
        native: "[[target_group.app.rule]]\nstick = { key = 'cookie(`SESSION`)', table = 'seen', to = 'match' }\n\
                 [[target_group.app.rule]]\nphase = 'response'\n\
                 stick = { key = 'response_cookie(`SESSION`)', table = 'seen', to = 'store' }\n\
                 [stick_table.seen]\nkey = { text = 40 }\nsize = 1000\nexpire = '1h'\nstore = ['target']",
        haproxy: "stick-table type string len 40 size 1k expire 1h\n stick match req.cook(SESSION)\n \
                  stick store-response res.cook(SESSION)",
        sees_own: true,
        checked: true,
    },
];

const NAMES: [&str; 4] = ["a", "b", "c", "dead"];

/// What makes a file for a listener and these targets, the last of which is dead, with a number that may be another.
type Text = fn(&Row, u16, &[u16], u32) -> String;

fn native(row: &Row, web: u16, ports: &[u16], number: u32) -> String {
    let all = NAMES.iter().zip(ports);
    let all =
        all.map(|(name, port)| format!("{{ name = '{name}', address = '127.0.0.1:{port}' }}"));
    let all: Vec<String> = all.collect();
    let check = match row.checked {
        true => {
            "health_check = { tcp = true, interval = '100ms', timeout = '30s', healthy_threshold = 1 }\n"
        }
        false => "",
    };
    format!(
        "[listener.web]\nbind = '127.0.0.1:{web}'\nforward = 'app'\n[target_group.app]\nretries = {number}\n\
         targets = [{}]\n{check}{}\n",
        all.join(", "),
        row.native
    )
}

fn haproxy(row: &Row, web: u16, ports: &[u16], number: u32) -> String {
    let check = if row.checked {
        ""
    } else {
        "check inter 100ms rise 1 fall 2"
    };
    let own = row.haproxy.contains("cookie ") && !row.haproxy.contains("dynamic");
    let server = |(name, port): (&&str, &u16)| {
        let own = if own {
            format!("cookie {name}")
        } else {
            String::new()
        };
        format!(" server {name} 127.0.0.1:{port} {own} {check}\n")
    };
    let servers: String = NAMES.iter().zip(ports).map(server).collect();
    format!(
        "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n timeout check 30s\n\
         frontend web\n bind 127.0.0.1:{web}\n default_backend app\n\
         backend app\n option redispatch 1\n retries {number}\n {}\n{servers}",
        row.haproxy
    )
}

/// A browser: its cookies.
#[derive(Clone, Default)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    /// Who answers, and how often the application has seen this session.
    #[track_caller]
    fn visits(&mut self, web: u16) -> (String, u32) {
        let cookies: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = match cookies.as_slice() {
            [] => String::new(),
            all => format!("Cookie: {}\r\n", all.join("; ")),
        };
        let mut client = Client::new(web);
        client.send(&format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\n{cookies}\r\n"
        ));
        let head = client.head();
        let mut found = ("-".to_owned(), 0);
        for line in head.lines() {
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "set-cookie" => {
                    let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                    self.0.insert(name.to_owned(), value.to_owned());
                }
                "x-server" => found.0 = value.to_owned(),
                "x-visits" => found.1 = value.parse().unwrap(),
                _ => {}
            }
        }
        found
    }

    /// So many visits, all to the same one, whose application knows the session all the time where it can.
    #[track_caller]
    fn stays(&mut self, web: u16, row: &Row, when: &str) -> String {
        let (server, first) = self.visits(web);
        for number in 1..6 {
            let (again, visits) = self.visits(web);
            assert_eq!(again, server, "{when}: {}: {:?}", row.native, self.0);
            if row.sees_own {
                assert_eq!(
                    visits,
                    first + number,
                    "{when}: {}: {:?}",
                    row.native,
                    self.0
                );
            }
        }
        server
    }
}

fn through_its_life(row: &Row, text: Text, is_checked: bool, arguments: &[&str]) {
    let scene = Scene::new();
    let ports = NAMES.map(|_| free_port());
    let start = |scene: &Scene, place: usize| {
        scene.python(ports[place], &APP.replace("NAME", NAMES[place]))
    };
    let mut apps: Vec<Process> = (0..3).map(|place| start(&scene, place)).collect();
    let web = free_port();
    let file = |number| text(row, web, &ports, number);
    let stage = Stage::with(scene, &file(4), arguments);

    let mut early = Browser::default();
    early.visits(web);
    let home = early.stays(web, row, "at first");
    stage.becomes(&file(5));
    assert_eq!(early.stays(web, row, "after a reload"), home);
    stage.upgrade();
    assert_eq!(early.stays(web, row, "after an upgrade"), home);

    // Its target dies while one browser goes on and another is away.
    let place = NAMES.iter().position(|it| *it == home).unwrap();
    apps[place].signal(Signal::KILL);
    apps[place].wait();
    let mut away = early.clone();
    early.visits(web);
    let second = early.stays(web, row, "after its death");
    assert_ne!(second, home);
    stage.becomes(&file(4));
    assert_eq!(early.stays(web, row, "dead, after a reload"), second);
    stage.upgrade();
    assert_eq!(early.stays(web, row, "dead, after an upgrade"), second);
    if is_checked {
        stage.until_health(place, "unhealthy");
        assert_eq!(early.stays(web, row, "known to be dead"), second);
    }

    // It comes back, and has forgotten everybody.
    apps[place] = start(&stage.scene, place);
    stage.becomes(&file(5));
    stage.until_health(place, "healthy");
    away.visits(web);
    assert_eq!(away.stays(web, row, "it is back"), home);
    assert_eq!(early.stays(web, row, "the other is back"), second);
    stage.upgrade();
    assert_eq!(away.stays(web, row, "back, after an upgrade"), home);
    assert_eq!(early.stays(web, row, "elsewhere, after an upgrade"), second);
}

#[test]
fn clients_are_kept_past_the_death_of_their_target_natively() {
    thread::scope(|scope| {
        for row in &ROWS {
            scope.spawn(|| through_its_life(row, native, row.checked, &[]));
        }
    });
}

#[test]
fn clients_are_kept_past_the_death_of_their_server_as_haproxy_says() {
    thread::scope(|scope| {
        for row in &ROWS {
            scope.spawn(|| through_its_life(row, haproxy, !row.checked, &["--as", "haproxy"]));
        }
    });
}
