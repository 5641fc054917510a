//! Who is chosen, by every algorithm, through a reload, a retry, a target that dies and one that comes back.
//!
//! One Portway has a group for each row of the table, all with the same targets; what a row is about is asked by its path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, server};
use crate::support::{PORTWAY, Process, Scene, free_port, local};

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
    /// Whoever is there may serve, and somebody does.
    Some,
    /// The first that is there serves.
    First,
    /// A key stays with its target; where that dies only its keys move, and they come back with it.
    Keys,
    /// A key stays with its target as long as all are there; where one dies nearly all move, and they come back with it.
    Table,
}

const ROWS: [(&str, &str, Keeps); 15] = [
    ("round", "'round_robin'", Keeps::All),
    ("static", "'static_round_robin'", Keeps::All),
    ("least", "'least_outstanding'", Keeps::All),
    ("time", "'least_time'", Keeps::Some),
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
    (
        "table",
        "{ hash = 'header(`X-User`)', method = { table = 'sdbm' } }",
        Keeps::Table,
    ),
    (
        "mixed",
        "{ hash = 'path', method = { table = 'djb2', avalanche = true } }",
        Keeps::Table,
    ),
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
        let user = format!("X-User: user-{key}\r\n");
        let head = client.ask_with(&format!("/{row}/{key}"), &user);
        let name = server(&head).map(str::to_owned);
        name.unwrap_or_else(|| panic!("{row}: {head}"))
    };
    (0..KEYS).map(|key| (key, ask(key))).collect()
}

/// Asks every row; what is to hold of it is told by the names of those that serve. Who serves each key, of rows that keep
/// them.
fn every_row(web: u16, expected: impl Fn(Keeps) -> &'static [&'static str]) -> Vec<Served> {
    let row = |(name, _, keeps): (&str, &str, Keeps)| {
        let served = served(web, name);
        let names: BTreeSet<&str> = served.values().map(String::as_str).collect();
        let expected: BTreeSet<&str> = expected(keeps).iter().copied().collect();
        match keeps {
            Keeps::Some => assert!(names.is_subset(&expected), "{name}: {names:?}"),
            _ => assert_eq!(names, expected, "{name}"),
        }
        match keeps {
            Keeps::Keys | Keeps::Table => served,
            _ => Served::new(),
        }
    };
    ROWS.into_iter().map(row).collect()
}

/// Only keys of those that are gone have others now, but where a table is worked out anew for those that are left.
fn only_moved(before: &[Served], after: &[Served], gone: &[&str]) {
    let rows = before.iter().zip(after).zip(ROWS);
    for ((before, after), _) in rows.filter(|(_, row)| row.2 != Keeps::Table) {
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

#[test]
fn the_one_that_answers_soonest_is_asked() {
    let (fast, slow, web) = (Echo::start("fast"), Echo::start("slow"), free_port());
    let dead = free_port();
    // One that takes its time for every answer.
    let late = TcpProxy::start(slow.port, Duration::from_millis(60));
    let ports = [late, fast.port, dead];
    let text = format!(
        "{}{}algorithm = 'least_time'\n",
        listener("web", web, "app"),
        group("app", &ports)
    );
    let stage = Stage::new(&text);
    let ask = |count: usize| {
        let mut client = Client::new(web);
        let names: Vec<String> = (0..count).map(|_| client.ask("/")).collect();
        names.iter().filter(|name| *name == "slow").count()
    };
    // Each was asked once, the dead one too; from then on it is known who is fast.
    let first = ask(60);
    assert!(first <= 4, "{first}");
    // What is known goes on over a reload.
    stage.becomes(&text.replace("'least_time'", "'least_time'\nretries = 2"));
    let second = ask(60);
    assert!(second <= 2, "{second}");
    let failures = "portway_target_connect_failures_total{target_group=\"app\",";
    let line = format!("{failures}target=\"127.0.0.1:{dead}\"}} ");
    let failed: u64 = stage.metric(&line).parse().unwrap();
    assert!((1..=6).contains(&failed), "{failed}");
}

/// What passes through takes its time.
struct TcpProxy;

impl TcpProxy {
    fn start(to: u16, pause: Duration) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = TcpStream::connect(local(to)).unwrap();
                let ways = [
                    (client.try_clone().unwrap(), target.try_clone().unwrap()),
                    (target, client),
                ];
                for (mut from, mut to) in ways {
                    thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            thread::sleep(pause);
                            if to.write_all(&buffer[..count]).is_err() {
                                return;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        port
    }
}

#[test]
fn targets_of_the_own_zone_come_first() {
    let scene = Scene::new();
    let web = free_port();
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| Mortal::start(&scene, name));
    let targets = [
        a.target(", zone = 'here'"),
        b.target(", zone = 'here'"),
        c.target(", zone = 'there'"),
    ];
    let targets = targets.join(", ");
    let with = |zone: &str, more: &str| {
        format!(
            "{zone}{}[target_group.app]\ntargets = [{targets}]\n{CHECK}\n{more}\n",
            listener("web", web, "app")
        )
    };
    let served = || {
        let mut client = Client::new(web);
        let names: BTreeSet<String> = (0..30).map(|_| client.ask("/")).collect();
        names.into_iter().collect::<Vec<_>>().join(" ")
    };
    let here = "[process]\nzone = 'here'\n";
    let stage = Stage::with(scene, &with("", ""), &[]);
    let is = |mortal: &Mortal, wanted: &str| {
        let at = local(mortal.port);
        stage.portway.wait_for_health("app", at, wanted);
    };
    for mortal in [&a, &b, &c] {
        is(mortal, "healthy");
    }
    // Nobody has said where the process is.
    assert_eq!(served(), "a b c");
    stage.becomes(&with(here, ""));
    assert_eq!(served(), "a b");
    let url = format!("http://127.0.0.1:{web}/");
    let explained = stage.command(&["explain", "--", "GET", &url]).good();
    assert!(
        explained.contains("among those of the own zone"),
        "{explained}"
    );
    stage.becomes(&with(&here.replace("here", "there"), ""));
    assert_eq!(served(), "c");
    stage.becomes(&with(here, ""));
    // Dead, and nobody knows: another of the zone is asked.
    b.die();
    let early = served();
    assert!(early == "a" || early == "a c", "{early}");
    is(&b, "unhealthy");
    // Half of the zone is too little.
    assert_eq!(served(), "a c");
    stage.becomes(&with(here, "min_zone_healthy = 50"));
    assert_eq!(served(), "a");
    a.die();
    is(&a, "unhealthy");
    assert_eq!(served(), "c");
    b.revive(&stage.scene);
    is(&b, "healthy");
    assert_eq!(served(), "b");
    a.revive(&stage.scene);
    is(&a, "healthy");
    c.die();
    is(&c, "unhealthy");
    assert_eq!(served(), "a b");
}

#[test]
fn the_environment_says_the_zone_too() {
    let scene = Scene::new();
    let (a, b, web) = (Echo::start("a"), Echo::start("b"), free_port());
    let target =
        |it: &Echo, zone: &str| format!("{{ address = '127.0.0.1:{}', zone = '{zone}' }}", it.port);
    let text = format!(
        "{}[target_group.app]\ntargets = [{}, {}]\n",
        listener("web", web, "app"),
        target(&a, "one"),
        target(&b, "two")
    );
    let file = scene.file("web.toml", &text);
    let admin = format!("127.0.0.1:{}", free_port());
    let mut command = scene.command(PORTWAY, &["run", "--admin", &admin, "web.toml"]);
    command.env("PORTWAY_ZONE", "two");
    let mut process = scene.spawn_command(command);
    process.wait_for(local(web));
    let ask = || {
        let mut client = Client::new(web);
        let names: BTreeSet<String> = (0..10).map(|_| client.ask("/")).collect();
        names.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ask(), "b");
    // It holds after a reload, unless the file says another one.
    let reload = |text: &str| {
        std::fs::write(&file, text).unwrap();
        scene.run(PORTWAY, &["reload", "--admin", &admin]).good();
    };
    reload(&text.replace("targets", "retries = 2\ntargets"));
    assert_eq!(ask(), "b");
    reload(&format!("[process]\nzone = 'one'\n{text}"));
    assert_eq!(ask(), "a");
}

/// Who serves clients by their addresses, of which this machine has many.
fn by_source(scene: &Scene, web: u16, rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    let urls: Vec<String> = rows
        .iter()
        .map(|(name, _)| format!("http://127.0.0.1:{web}/{name}/"))
        .collect();
    let mut served = BTreeMap::new();
    for client in 1..=24 {
        let source = format!("127.0.0.{client}");
        let mut arguments = vec!["-f", "--interface", &source];
        arguments.extend(["-w", "\n"]);
        arguments.extend(urls.iter().map(String::as_str));
        let answers = scene.curl(&arguments).good();
        for ((name, _), target) in rows.iter().zip(answers.lines()) {
            served.insert(format!("{name} {source}"), target.to_owned());
        }
    }
    assert_eq!(served.len(), 24 * rows.len());
    served
}

#[test]
fn clients_stay_by_their_address_over_reloads_deaths_and_returns() {
    let rows = [
        ("usual", "'source_hash'"),
        (
            "ring",
            "{ source_hash = { ring = 'sdbm', avalanche = true } }",
        ),
        ("table", "{ source_hash = { table = 'sdbm' } }"),
    ];
    let scene = Scene::new();
    let web = free_port();
    let [a, mut b, c] = ["a", "b", "c"].map(|name| Mortal::start(&scene, name));
    let targets = [&a, &b, &c].map(|it| it.target("")).join(", ");
    let with = |more: &str| {
        let mut text = format!("[listener.web]\nbind = '127.0.0.1:{web}'\n");
        for (name, _) in rows {
            text += &format!(
                "[[listener.web.rule]]\nwhen = 'PathPrefix(`/{name}/`)'\nforward = '{name}'\n"
            );
        }
        for (name, algorithm) in rows {
            text += &format!(
                "[target_group.{name}]\nalgorithm = {algorithm}\ntargets = [{targets}]\n{CHECK}\n{more}\n"
            );
        }
        text
    };
    let stage = Stage::with(scene, &with(""), &[]);
    let is = |mortal: &Mortal, wanted: &str| {
        for (name, _) in rows {
            let at = local(mortal.port);
            stage.portway.wait_for_health(name, at, wanted);
        }
    };
    for mortal in [&a, &b, &c] {
        is(mortal, "healthy");
    }
    let served = || by_source(&stage.scene, web, &rows);
    let first = served();
    for (name, _) in rows {
        let of_row = first.iter().filter(|(key, _)| key.starts_with(name));
        let names: BTreeSet<&str> = of_row.map(|(_, target)| target.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["a", "b", "c"]), "{name}");
    }
    stage.becomes(&with("retries = 2"));
    assert_eq!(served(), first);

    // Dead, known or not: its clients are served by others, and the others' stay where nothing is worked out anew.
    b.die();
    let only_its_own = |now: &BTreeMap<String, String>| {
        for (key, target) in &first {
            assert_ne!(now[key], "b", "{key}");
            if !key.starts_with("table") && target != "b" {
                assert_eq!(now[key], *target, "{key}");
            }
        }
    };
    only_its_own(&served());
    is(&b, "unhealthy");
    let without = served();
    only_its_own(&without);
    stage.becomes(&with("retries = 1"));
    assert_eq!(served(), without);
    b.revive(&stage.scene);
    is(&b, "healthy");
    assert_eq!(served(), first);
    stage.portway.stop();
}
