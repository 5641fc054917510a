//! Clients that a cookie keeps with a target that dies and comes back: cookies of ours, of the application, and what a table learned
//! of them, natively and as a haproxy.cfg says, over reloads and upgrades.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::serving::{Serving, next_head};
use crate::stage::Client;
use crate::support::{Scene, eventually, free_port};
use crate::upgrade::Stage;

/// Sessions that there were.
static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// An application with sessions that it forgets when it ends; who has none of them gets one.
fn app(name: &'static str, port: u16) -> Serving {
    let known: Mutex<BTreeMap<String, u32>> = Mutex::default();
    Serving::start(port, move |mut stream| {
        let mut reader = BufReader::new(stream);
        while let Some(head) = next_head(&mut reader) {
            let cookies = head.iter().filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("cookie").then_some(value)
            });
            let mut pairs = cookies.flat_map(|it| it.split("; "));
            let named = pairs.find_map(|it| it.strip_prefix("SESSION="));
            let mut known = known.lock().unwrap();
            let named = named.filter(|it| known.contains_key(*it));
            let (session, begins) = named.map_or_else(
                || {
                    let number = SESSIONS.fetch_add(1, Ordering::SeqCst);
                    let session = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    let begins = format!("Set-Cookie: SESSION={session}; Path=/\r\n");
                    (session, begins)
                },
                |session| (session.to_owned(), String::new()),
            );
            let visits = known.entry(session).or_default();
            *visits += 1;
            let head = format!(
                "HTTP/1.1 200 OK\r\nX-Server: {name}\r\n{begins}X-Visits: {visits}\r\nContent-Length: 0\r\n\r\n"
            );
            drop(known);
            if stream.write_all(head.as_bytes()).is_err() {
                return;
            }
        }
    })
}

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
        native: "[[target_group.app@.rule]]\nstick = { key = 'cookie(`SESSION`)', table = 'seen@', to = 'match' }\n\
                 [[target_group.app@.rule]]\nphase = 'response'\n\
                 stick = { key = 'response_cookie(`SESSION`)', table = 'seen@', to = 'store' }\n\
                 [stick_table.seen@]\nkey = { text = 40 }\nsize = 1000\nexpire = '1h'\nstore = ['target']",
        haproxy: "stick-table type string len 40 size 1k expire 1h\n stick match req.cook(SESSION)\n \
                  stick store-response res.cook(SESSION)",
        sees_own: true,
        checked: true,
    },
];

const NAMES: [&str; 4] = ["a", "b", "c", "dead"];

/// What makes the part of a file that is of a row: a listener, and these targets, the last of which is dead, with a number that may be
/// another. `@` stands for the number of the row.
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
        "[listener.web@]\nbind = '127.0.0.1:{web}'\nforward = 'app@'\n[target_group.app@]\nretries = {number}\n\
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
        "frontend web@\n mode http\n timeout client 30s\n bind 127.0.0.1:{web}\n default_backend app@\n\
         backend app@\n mode http\n timeout connect 30s\n timeout server 30s\n timeout check 30s\n \
         option redispatch 1\n retries {number}\n {}\n{servers}",
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

/// A row at work.
struct Site {
    row: &'static Row,
    web: u16,
    ports: [u16; 4],
    apps: Vec<Serving>,
    /// A browser that goes on all the time, and one that is away while its target is dead.
    early: Browser,
    away: Browser,
    /// Where both were at first, and where the first went.
    home: String,
    second: String,
}

impl Site {
    fn new(row: &'static Row) -> Self {
        let ports = NAMES.map(|_| free_port());
        let apps = (0..3).map(|place| app(NAMES[place], ports[place]));
        Self {
            row,
            web: free_port(),
            ports,
            apps: apps.collect(),
            early: Browser::default(),
            away: Browser::default(),
            home: String::new(),
            second: String::new(),
        }
    }

    /// The place of the first home.
    fn place(&self) -> usize {
        NAMES.iter().position(|it| *it == self.home).unwrap()
    }

    #[track_caller]
    fn early(&mut self, when: &str) -> String {
        self.early.stays(self.web, self.row, when)
    }

    #[track_caller]
    fn away(&mut self, when: &str) -> String {
        self.away.stays(self.web, self.row, when)
    }
}

fn through_its_life(text: Text, is_checked: fn(&Row) -> bool, arguments: &[&str]) {
    let mut sites: Vec<Site> = ROWS.iter().map(Site::new).collect();
    let webs: Vec<(&Row, u16, [u16; 4])> =
        sites.iter().map(|it| (it.row, it.web, it.ports)).collect();
    let file = |number| -> String {
        let parts = webs.iter().enumerate().map(|(place, (row, web, ports))| {
            text(row, *web, ports, number).replace('@', &place.to_string())
        });
        parts.collect()
    };
    let stage = Stage::with(Scene::new(), &file(4), arguments);
    let until_health = |site: usize, place: usize, wanted: &str| {
        let group = format!("app{site}");
        eventually(format_args!("{group} {place} is {wanted}"), || {
            let status = stage.json(&["status"]);
            let mut groups = status["target_groups"].as_array().unwrap().iter();
            let group = groups.find(|it| it["name"] == group.as_str()).unwrap();
            (group["targets"][place]["health"] == wanted).then_some(())
        });
    };

    for site in &mut sites {
        site.early.visits(site.web);
        site.home = site.early("at first");
    }
    stage.becomes(&file(5));
    for site in &mut sites {
        assert_eq!(site.early("after a reload"), site.home);
    }
    stage.upgrade();
    // Its target dies while one browser goes on and another is away.
    for site in &mut sites {
        assert_eq!(site.early("after an upgrade"), site.home);
        site.apps[site.place()].die();
        site.away = site.early.clone();
        site.early.visits(site.web);
        site.second = site.early("after its death");
        assert_ne!(site.second, site.home);
    }
    stage.becomes(&file(4));
    for site in &mut sites {
        assert_eq!(site.early("dead, after a reload"), site.second);
    }
    stage.upgrade();
    for (number, site) in sites.iter_mut().enumerate() {
        assert_eq!(site.early("dead, after an upgrade"), site.second);
        if is_checked(site.row) {
            until_health(number, site.place(), "unhealthy");
            assert_eq!(site.early("known to be dead"), site.second);
        }
    }

    // It comes back, and has forgotten everybody.
    for site in &mut sites {
        let place = site.place();
        site.apps[place] = app(NAMES[place], site.ports[place]);
    }
    stage.becomes(&file(5));
    for (number, site) in sites.iter_mut().enumerate() {
        until_health(number, site.place(), "healthy");
        site.away.visits(site.web);
        assert_eq!(site.away("it is back"), site.home);
        assert_eq!(site.early("the other is back"), site.second);
    }
    stage.upgrade();
    for site in &mut sites {
        assert_eq!(site.away("back, after an upgrade"), site.home);
        assert_eq!(site.early("elsewhere, after an upgrade"), site.second);
    }
}

#[test]
fn clients_are_kept_past_the_death_of_their_target_natively() {
    through_its_life(native, |row| row.checked, &[]);
}

#[test]
fn clients_are_kept_past_the_death_of_their_server_as_haproxy_says() {
    through_its_life(haproxy, |row| !row.checked, &["--as", "haproxy"]);
}
