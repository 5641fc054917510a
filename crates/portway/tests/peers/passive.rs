//! Passive health: targets that fail are left out and come back, over reloads, upgrades and deaths; and HAProxy's `observe`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, server};
use crate::support::{PORTWAY, Scene, eventually, free_port, local};
use crate::upgrade;

/// A target that answers every request with the status that it is told, or, below 100, after so many times 10 ms with 200; 0:
/// it closes without an answer.
pub(crate) struct Moody {
    pub(crate) port: u16,
    mood: Arc<AtomicU16>,
}

impl Moody {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mood = Arc::new(AtomicU16::new(200));
        let shared = mood.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mood = shared.clone();
                thread::spawn(move || serve(&stream, name, &mood));
            }
        });
        Self { port, mood }
    }

    pub(crate) fn is(&self, mood: u16) {
        self.mood.store(mood, Ordering::SeqCst);
    }
}

/// The mood in which a target closes in the middle of its response.
const CUT: u16 = 1000;
/// What it answers is not HTTP.
pub(crate) const JUNK: u16 = 1001;
/// It does not answer.
pub(crate) const SILENT: u16 = 1002;

fn serve(mut stream: &TcpStream, name: &str, mood: &AtomicU16) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(line)) = lines.next() {
        if !line.is_empty() {
            continue;
        }
        let status = match mood.load(Ordering::SeqCst) {
            0 => return,
            late @ 1..100 => {
                thread::sleep(Duration::from_millis(u64::from(late) * 10));
                200
            }
            CUT => {
                let cut =
                    format!("HTTP/1.1 200 x\r\nX-Server: {name}\r\nContent-Length: 9\r\n\r\nhalf");
                let _ = stream.write_all(cut.as_bytes());
                return;
            }
            JUNK => {
                let _ = stream.write_all(b"this is not HTTP\r\n\r\n");
                return;
            }
            SILENT => {
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                return;
            }
            status => status,
        };
        let answer =
            format!("HTTP/1.1 {status} x\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn text(web: u16, targets: &[&Moody], more: &str) -> String {
    let ports: Vec<u16> = targets.iter().map(|it| it.port).collect();
    format!(
        "{}{}{more}\n",
        listener("web", web, "app"),
        group("app", &ports)
    )
}

/// Status and server of the answers to so many requests, as `503 a`.
pub(crate) fn answers(web: u16, count: usize) -> Vec<String> {
    let mut client = Client::new(web);
    let answer = |_| {
        let head = client.ask_with("/", "");
        let status = head.split(' ').nth(1).unwrap();
        format!("{status} {}", server(&head).unwrap_or("-"))
    };
    (0..count).map(answer).collect()
}

fn all_are(web: u16, count: usize, expected: &str) {
    let answers = answers(web, count);
    assert!(answers.iter().all(|it| it == expected), "{answers:?}");
}

/// Asks until the target in this place is `health`; why.
fn becomes(web: u16, status: impl Fn() -> Value, place: usize, health: &str) -> String {
    eventually(format!("{place} is {health}"), || {
        answers(web, 4);
        let status = status();
        let target = &status["target_groups"][0]["targets"][place];
        let reason = target["reason"].as_str().unwrap().to_owned();
        (target["health"] == health).then_some(reason)
    })
}

pub(crate) fn ejections(metrics: &str, reason: &str) -> u64 {
    let lines = metrics.lines();
    let lines = lines.filter(|it| it.starts_with("portway_target_ejections_total"));
    let of_reason = lines.filter(|it| it.contains(&format!("reason=\"{reason}\"")));
    let numbers = of_reason.map(|it| it.rsplit(' ').next().unwrap());
    numbers.map(|it| it.parse::<u64>().unwrap()).sum()
}

pub(crate) fn metrics(scene: &Scene, admin: &str) -> String {
    scene
        .curl(&["-s", &format!("http://{admin}/metrics")])
        .good()
}

#[test]
fn failures_in_a_row_eject_over_a_reload_and_an_upgrade() {
    let (a, b, web) = (Moody::start("a"), Moody::start("b"), free_port());
    let policy = "passive_health = { failures = 3, eject_time = '8s', max_eject_time = '9s' }";
    let first = text(web, &[&a, &b], policy);
    let stage = upgrade::Stage::with(Scene::new(), &first, &[]);
    let status = || stage.json(&["status"]);
    assert_eq!(
        answers(web, 4).iter().filter(|it| *it == "200 a").count(),
        2
    );
    a.is(503);
    let reason = becomes(web, status, 0, "ejected");
    let begun = Instant::now();
    let words = "3 failures in a row, the last: status 503";
    assert!(reason.contains(words), "{reason}");
    a.is(200);
    all_are(web, 20, "200 b");
    let explained = stage
        .command(&["explain", "--", "GET", &format!("http://127.0.0.1:{web}/")])
        .both();
    assert!(explained.contains("ejected"), "{explained}");
    // Another task of control looks after it, and then another process.
    fs::write(&stage.file, format!("{first}retries = 2\n")).unwrap();
    stage.command(&["reload"]).good();
    all_are(web, 10, "200 b");
    stage.upgrade();
    all_are(web, 10, "200 b");
    let target = &status()["target_groups"][0]["targets"][0];
    assert!(begun.elapsed() > Duration::from_secs(7) || target["health"] == "ejected");
    // It is tried, and its first failure is enough.
    let reason = becomes(web, status, 0, "healthy");
    assert!(begun.elapsed() > Duration::from_secs(7), "{reason}");
    a.is(500);
    let reason = becomes(web, status, 0, "ejected");
    let words = "it failed again when it was tried: status 500";
    assert!(
        reason.contains(words) || reason.contains("3 failures"),
        "{reason}"
    );
    let counted = metrics(&stage.scene, &stage.admin);
    assert!(counted.contains(&format!(
        "portway_target_health{{target_group=\"app\",target=\"{}\"}} 5",
        local(a.port)
    )));
    assert_eq!(
        ejections(&counted, "trial") + ejections(&counted, "failures"),
        1,
        "{counted}"
    );
    // What is no longer asked for ends at once.
    fs::write(&stage.file, text(web, &[&a, &b], "")).unwrap();
    stage.command(&["reload"]).good();
    a.is(200);
    becomes(web, status, 0, "healthy");
    eventually("a serves", || {
        answers(web, 4).contains(&"200 a".to_owned()).then_some(())
    });
}

#[test]
fn responses_that_are_cut_off_make_a_row() {
    let (a, b, web, dead) = (
        Moody::start("a"),
        Moody::start("b"),
        free_port(),
        free_port(),
    );
    let policy = "passive_health = { failures = 4, eject_time = '1h', max_eject_time = '1h', max_ejected_percent = 100 }";
    let first = text(web, &[&a, &b], policy);
    let stage = Stage::new(&first);
    let status = || stage.portway.status();
    let url = format!("http://127.0.0.1:{web}/");
    let ask = |count: usize| {
        let all = (0..count).map(|_| {
            let output = stage.scene.curl(&["-s", "-m", "20", "-D", "-", &url]);
            (
                output.status.success(),
                output.stdout.contains("X-Server: a"),
            )
        });
        all.filter(|(whole, is_a)| !whole && *is_a).count()
    };
    // Whole responses end a row.
    for _ in 0..3 {
        a.is(CUT);
        while ask(1) == 0 {}
        while ask(1) == 0 {}
        a.is(200);
        assert_eq!(ask(4), 0);
    }
    assert_ne!(
        status()["target_groups"][0]["targets"][0]["health"],
        "ejected"
    );
    a.is(CUT);
    while ask(1) == 0 {}
    while ask(1) == 0 {}
    // A reload does not end it, and a dead target beside it changes nothing.
    let more = format!("{first}retries = 1\n")
        .replace("targets = [", &format!("targets = ['127.0.0.1:{dead}', "));
    stage.becomes(&more);
    let reason = eventually("a is ejected", || {
        ask(2);
        let status = status();
        let targets = status["target_groups"][0]["targets"].as_array().unwrap();
        let found = targets.iter().find(|it| {
            it["address"] == format!("127.0.0.1:{}", a.port) && it["health"] == "ejected"
        });
        found.map(|it| it["reason"].as_str().unwrap().to_owned())
    });
    assert!(
        reason.contains("closed before its response was whole"),
        "{reason}"
    );
    a.is(200);
    assert_eq!(ask(6), 0);
}

#[test]
fn the_last_target_is_kept_and_the_dead_are_left_out() {
    let (a, b, web) = (Moody::start("a"), Moody::start("b"), free_port());
    let policy = "passive_health = { failures = 2, eject_time = '1h', max_eject_time = '1h', max_ejected_percent = 100 }";
    let stage = Stage::new(&text(web, &[&a, &b], policy));
    a.is(503);
    b.is(503);
    let status = || stage.portway.status();
    eventually("one is ejected", || {
        answers(web, 4);
        let all = answers(web, 4);
        let one = ["503 a", "503 b"]
            .into_iter()
            .find(|one| all.iter().all(|it| it == one));
        one.map(str::to_owned)
    });
    answers(web, 20);
    let health = |status: Value| {
        let targets = status["target_groups"][0]["targets"]
            .as_array()
            .unwrap()
            .clone();
        let ejected = targets.iter().filter(|it| it["health"] == "ejected");
        ejected.count()
    };
    assert_eq!(health(status()), 1);
    let log = stage.portway.stop();
    assert!(log.contains("fails and is kept"), "{log}");

    // A dead target beside one that lives: clients see nothing of it, and soon nobody tries it.
    let (live, web) = (Echo::start("live"), free_port());
    let policy = "retries = 1\npassive_health = { failures = 0, connection_failures = 2 }";
    let dead = free_port();
    let stage = Stage::new(&format!(
        "{}{}{policy}\n",
        listener("web", web, "app"),
        group("app", &[dead, live.port])
    ));
    let status = || stage.portway.status();
    let reason = becomes(web, status, 0, "ejected");
    let words = "2 times in a row without a response, the last: no connection";
    assert!(reason.contains(words), "{reason}");
    let retries = "portway_target_group_retries_total{target_group=\"app\"} ";
    let before = stage.metric(retries);
    all_are(web, 20, "200 live");
    assert_eq!(stage.metric(retries), before);
}

#[test]
fn an_ejected_target_is_better_than_none() {
    let (a, b, web) = (Moody::start("a"), Moody::start("b"), free_port());
    let policy = "passive_health = { failures = 1, eject_time = '1h', max_eject_time = '1h' }\n";
    let check = "health_check = { tcp = true, interval = '100ms', unhealthy_threshold = 1 }";
    let scene = Scene::new();
    let folder = scene.path("").display().to_string();
    let control = format!(
        "[process]\ncontrol_sockets = {{ bind = 'unix:{folder}ctl.sock', level = 'admin' }}\n"
    );
    let text = format!(
        "{control}{}",
        text(web, &[&a, &b], &format!("{policy}{check}"))
    );
    let stage = Stage::with(scene, &text, &[]);
    let status = || stage.portway.status();
    a.is(500);
    becomes(web, status, 0, "ejected");
    a.is(200);
    all_are(web, 5, "200 b");
    let second = stage.portway.status()["target_groups"][0]["targets"][1]["name"].clone();
    let order = format!("disable server app/{}", second.as_str().unwrap());
    crate::control_socket::ask(&stage.scene.path("ctl.sock"), &order);
    eventually("a is back", || (answers(web, 1) == ["200 a"]).then_some(()));
    assert!(
        stage
            .portway
            .stop()
            .contains("no other target may take traffic")
    );
}

#[test]
fn shares_and_slowness_eject() {
    let three = ["a", "b", "c"].map(Moody::start);
    let [a, b, c] = [&three[0], &three[1], &three[2]];
    let check = |mood: &dyn Fn(usize), policy: &str, words: &str, reason: &str| {
        let web = free_port();
        let policy = format!("passive_health = {{ failures = 0, window = '2s', {policy} }}");
        let stage = Stage::new(&text(web, &[a, b, c], &policy));
        let status = || stage.portway.status();
        let mut turn = 0;
        let why = eventually(format!("a is ejected: {policy}"), || {
            for _ in 0..12 {
                mood(turn);
                turn += 1;
                answers(web, 3);
            }
            let status = status();
            let target = &status["target_groups"][0]["targets"][0];
            let why = target["reason"].as_str().unwrap().to_owned();
            (target["health"] == "ejected").then_some(why)
        });
        assert!(why.contains(words), "{why}");
        let counted = metrics(&stage.scene, &stage.portway.admin);
        assert_eq!(ejections(&counted, reason), 1, "{counted}");
        a.is(200);
    };
    // Never two in a row.
    let flickers = |turn: usize| a.is(if turn.is_multiple_of(2) { 502 } else { 200 });
    let share = "failure_percent = 40, min_requests = 5";
    check(&flickers, share, "requests failed", "failure_percent");
    b.is(1);
    c.is(1);
    let slow = |_| a.is(10);
    let others = "slower_than_others = 4, min_requests = 5";
    check(&slow, others, "it took ", "slow");
    let web = free_port();
    let late = "passive_health = { failures = 2, slow_after = '100ms' }";
    let stage = Stage::new(&text(web, &[a, b, c], late));
    b.is(200);
    c.is(200);
    a.is(30);
    let reason = becomes(web, || stage.portway.status(), 0, "ejected");
    assert!(reason.contains("a late response"), "{reason}");
}

#[test]
fn connections_eject_where_nothing_else_is_seen() {
    let (live, web, dead) = (Echo::start("live"), free_port(), free_port());
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:{web}'\nprotocol = 'tcp'\nforward = 'app'\n\
         [target_group.app]\nretries = 1\npassive_health = {{ failures = 2 }}\n\
         targets = ['127.0.0.1:{dead}', '127.0.0.1:{}']\n",
        live.port
    );
    let stage = Stage::new(&text);
    let status = || stage.portway.status();
    eventually("the dead one is ejected", || {
        assert_eq!(answers(web, 1), ["200 live"]);
        let health = &status()["target_groups"][0]["targets"][0]["health"];
        (*health == "ejected").then_some(())
    });
}

#[test]
fn what_haproxy_observes_marks_down_over_a_reload_and_for_the_dead() {
    let (a, b, web) = (Moody::start("a"), Moody::start("b"), free_port());
    let text = |limit: u16| {
        format!(
            "defaults\n mode http\n timeout connect 2s\n timeout client 9s\n timeout server 9s\n retries 0\n\
             listen app\n bind 127.0.0.1:{web}\n balance roundrobin\n \
             default-server check inter 60s fall 3 rise 1 observe layer7 error-limit {limit} on-error mark-down\n \
             server a 127.0.0.1:{}\n server b 127.0.0.1:{}\n server dead 127.0.0.1:{} observe layer4\n",
            a.port,
            b.port,
            DEAD.get_or_init(free_port)
        )
    };
    static DEAD: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    let scene = Scene::new();
    let file = scene.file("haproxy.cfg", text(50));
    let portway = scene.portway_with(&["haproxy.cfg"]);
    let health = |place: usize| {
        let status = portway.status();
        let target = &status["target_groups"][0]["targets"][place];
        target["health"].as_str().unwrap().to_owned()
    };
    a.is(503);
    let failed = answers(web, 30);
    assert!(failed.contains(&"503 a".to_owned()));
    assert_ne!(health(0), "unhealthy");
    // A lower limit counts for what comes from now on: errors of a response for `a`, of a connection for the dead one.
    fs::write(&file, text(4)).unwrap();
    scene
        .run(PORTWAY, &["reload", "--admin", &portway.admin])
        .good();
    eventually("a and the dead one are down", || {
        answers(web, 6);
        (health(0) == "unhealthy" && health(2) == "unhealthy").then_some(())
    });
    assert_ne!(health(1), "unhealthy");
    all_are(web, 10, "200 b");
    let log = portway.stop();
    assert!(log.contains("Detected 4 consecutive errors"), "{log}");
}
