//! Who is chosen, by every algorithm, through a reload, a retry, a target that dies and one that comes back.
//!
//! One Portway has a group for each row of the table, all with the same targets; what a row is about is asked by its path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::stage::{Client, Stage};
use crate::support::{Process, Scene, free_port, local};

/// An nginx that says its name, dies and comes back.
pub(crate) struct Mortal {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    process: Option<Process>,
}

impl Mortal {
    pub(crate) fn start(scene: &Scene, name: &'static str) -> Self {
        let mut mortal = Self {
            name,
            port: free_port(),
            process: None,
        };
        mortal.revive(scene);
        mortal
    }

    pub(crate) fn die(&mut self) {
        self.process = None;
    }

    pub(crate) fn revive(&mut self, scene: &Scene) {
        let Self { name, port, .. } = self;
        let server = format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ add_header X-Server {name}; return 200 '{name}'; }} }}"
        );
        self.process = Some(scene.nginx(self.port, &server));
    }

    /// As a target in the native file.
    pub(crate) fn target(&self, more: &str) -> String {
        let Self { name, port, .. } = self;
        format!("{{ name = '{name}', address = '127.0.0.1:{port}'{more} }}")
    }
}

/// A check that sees a death soon, and only what is asked for brings somebody back.
pub(crate) const CHECK: &str = "health_check = { tcp = true, interval = '100ms', timeout = '5s', \
                                healthy_threshold = 1, unhealthy_threshold = 2 }";

/// What must hold of an algorithm.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    /// All targets serve.
    All,
    /// The first that is there serves.
    First,
    /// A key stays with its target; where that dies only its keys move, and they come back with it.
    Keys,
}

const ROWS: [(&str, &str, Keeps); 12] = [
    ("round", "'round_robin'", Keeps::All),
    ("static", "'static_round_robin'", Keeps::All),
    ("least", "'least_outstanding'", Keeps::All),
    ("two", "'random_of_two'", Keeps::All),
    ("chance", "{ random = 1 }", Keeps::All),
    ("three", "{ random = 3 }", Keeps::All),
    ("first", "'first'", Keeps::First),
    ("user", "{ hash = 'header(`X-User`)' }", Keeps::Keys),
    (
        "ring",
        "{ hash = 'header(`X-User`)', method = { ring = 'sdbm', avalanche = true } }",
        Keeps::Keys,
    ),
    (
        "bound",
        "{ hash = 'header(`X-User`)' }\nhash_balance_factor = 150",
        Keeps::Keys,
    ),
    (
        "bring",
        "{ hash = 'header(`X-User`)', method = { ring = 'crc32' } }\nhash_balance_factor = 200",
        Keeps::Keys,
    ),
    ("path", "{ hash = 'path' }", Keeps::Keys),
];

/// So many keys that each of three targets has some, and so many requests that chance leaves nobody out: less than one in
/// ten billion, by three targets.
const KEYS: usize = 60;

fn text(web: u16, targets: &str, more: &str) -> String {
    let mut text = format!("[listener.web]\nbind = '127.0.0.1:{web}'\n");
    for (name, ..) in ROWS {
        write!(
            text,
            "[[listener.web.rule]]\nwhen = 'PathPrefix(`/{name}/`)'\nforward = '{name}'\n"
        )
        .unwrap();
    }
    for (name, algorithm, _) in ROWS {
        write!(
            text,
            "[target_group.{name}]\nalgorithm = {algorithm}\ntargets = [{targets}]\n{CHECK}\n{more}\n"
        )
        .unwrap();
    }
    text
}

/// Who serves each key.
type Served = BTreeMap<usize, String>;

/// Asks with each key.
fn served(web: u16, row: &str) -> Served {
    let mut client = Client::new(web);
    let mut ask = |key: usize| {
        client.send(&format!(
            "GET /{row}/{key} HTTP/1.1\r\nHost: a\r\nX-User: user-{key}\r\n\r\n"
        ));
        let head = client.answer();
        let server = head.split("x-server: ").nth(1);
        let server = server.and_then(|rest| rest.split("\r\n").next());
        server.unwrap_or_else(|| panic!("{row}: {head}")).to_owned()
    };
    (0..KEYS).map(|key| (key, ask(key))).collect()
}

/// Asks every row; what is to hold of it is told by the names of those that serve. Who serves each key, of rows that keep
/// them.
fn every_row(web: u16, expected: impl Fn(Keeps) -> &'static [&'static str]) -> Vec<Served> {
    let row = |(name, _, keeps): (&str, &str, Keeps)| {
        let served = served(web, name);
        let names: BTreeSet<&str> = served.values().map(String::as_str).collect();
        let expected = expected(keeps);
        assert_eq!(names, expected.iter().copied().collect(), "{name}");
        match keeps {
            Keeps::Keys => served,
            _ => Served::new(),
        }
    };
    ROWS.into_iter().map(row).collect()
}

/// Only keys of those that are gone have others now.
fn only_moved(before: &[Served], after: &[Served], gone: &[&str]) {
    for (before, after) in before.iter().zip(after) {
        for (key, target) in before {
            let moved = after[key] != *target;
            assert_eq!(gone.contains(&target.as_str()), moved, "{key}: {target}");
        }
    }
}

#[test]
fn each_algorithm_bears_a_reload_a_death_and_a_return() {
    let scene = Scene::new();
    let web = free_port();
    let [mut a, mut b, mut c, last] =
        ["a", "b", "c", "last"].map(|name| Mortal::start(&scene, name));
    let targets = [
        a.target(""),
        b.target(""),
        c.target(""),
        last.target(", backup = true"),
    ]
    .join(", ");
    let with = |more: &str| text(web, &targets, more);
    let stage = Stage::with(scene, &with(""), &[]);
    let health = |mortal: &Mortal, wanted: &str| {
        for (name, ..) in ROWS {
            let at = local(mortal.port);
            stage.portway.wait_for_health(name, at, wanted);
        }
    };
    let all = |keeps| match keeps {
        Keeps::First => &["a"][..],
        _ => &["a", "b", "c"],
    };
    for mortal in [&a, &b, &c, &last] {
        health(mortal, "healthy");
    }
    let first = every_row(web, all);
    // A reload changes nobody's target.
    stage.becomes(&with("retries = 2"));
    assert_eq!(every_row(web, all), first);

    // Dead, and nobody knows yet: who is led there is served by another.
    b.die();
    let without = |keeps| match keeps {
        Keeps::First => &["a"][..],
        _ => &["a", "c"],
    };
    let unknown = every_row(web, without);
    only_moved(&first, &unknown, &["b"]);
    health(&b, "unhealthy");
    let known = every_row(web, without);
    only_moved(&first, &known, &["b"]);
    // Nor does a reload bring it back.
    stage.becomes(&with("retries = 1"));
    assert_eq!(every_row(web, without), known);

    // One is left, then none but the backup.
    a.die();
    health(&a, "unhealthy");
    let alone = every_row(web, |_| &["c"]);
    only_moved(&first, &alone, &["a", "b"]);
    c.die();
    health(&c, "unhealthy");
    every_row(web, |_| &["last"]);

    // They come back, and their keys with them.
    for mortal in [&mut a, &mut b, &mut c] {
        mortal.revive(&stage.scene);
    }
    for mortal in [&a, &b, &c] {
        health(mortal, "healthy");
    }
    assert_eq!(every_row(web, all), first);
    let log = stage.portway.stop();
    assert!(!log.contains("error"), "{log}");
}
