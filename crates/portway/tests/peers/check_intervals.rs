//! How often targets are checked: while they are up, while they are down, while that is about to change; and by chance a little
//! sooner or later. Checks of one target are counted against those of another that beats time, so that a busy machine,
//! which delays both, changes nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::stage::{Client, Stage};
use crate::support::{PORTWAY, Scene, eventually, free_port, local};

/// Answers every request with its status, and counts those for `/check`.
struct Checked {
    port: u16,
    seen: Arc<AtomicU32>,
    status: Arc<AtomicU16>,
}

impl Checked {
    /// `order`: where its name goes at each check.
    fn start(name: &'static str, order: &Arc<Mutex<Vec<&'static str>>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let checked = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
        };
        let (seen, status) = (Arc::clone(&checked.seen), Arc::clone(&checked.status));
        let order = Arc::clone(order);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
                let status = status.load(Ordering::SeqCst);
                let text = format!(
                    "HTTP/1.1 {status} So\r\nX-Server: {name}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                if head.starts_with("GET /check ") {
                    seen.fetch_add(1, Ordering::SeqCst);
                    order.lock().unwrap().push(name);
                }
                let _ = reader.get_mut().write_all(text.as_bytes());
            }
        });
        checked
    }

    fn seen(&self) -> u32 {
        self.seen.load(Ordering::SeqCst)
    }

    fn says(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

/// Between two checks of the target that beats time.
const BEAT: &str = "100ms";
/// Of the other one: ten beats while it is up, a quarter of one while that is about to change, three while it is down.
const UP: &str = "1s";
const CHANGING: &str = "25ms";
const DOWN: &str = "300ms";

/// So many checks in a row change the state: one interval for each would be easily told from another.
const THRESHOLD: u32 = 30;

fn native(web: u16, beat: u16, checked: u16, more: &str) -> String {
    format!(
        "[listener.web]\nbind = '127.0.0.1:{web}'\nforward = 'app'\n[target_group.app]\n{more}\n\
         targets = ['127.0.0.1:{beat}', {{ address = '127.0.0.1:{checked}', check = {{ interval = '{UP}', \
         fast_interval = '{CHANGING}', unhealthy_interval = '{DOWN}' }} }}]\n\
         health_check = {{ http = '/check', interval = '{BEAT}', timeout = '30s', healthy_threshold = {THRESHOLD}, \
         unhealthy_threshold = {THRESHOLD} }}\n"
    )
}

fn haproxy(web: u16, beat: u16, checked: u16, more: &str) -> String {
    format!(
        "defaults\n mode http\n timeout client 1m\n timeout server 1m\n timeout connect 30s\n timeout check 30s\n\
         frontend web\n bind 127.0.0.1:{web}\n default_backend app\nbackend app\n {more}\n \
         option httpchk GET /check\n default-server check rise {THRESHOLD} fall {THRESHOLD}\n \
         server beat 127.0.0.1:{beat} inter {BEAT}\n \
         server checked 127.0.0.1:{checked} inter {UP} fastinter {CHANGING} downinter {DOWN}\n"
    )
}

/// The same text with another line in the group, which is nothing to its checks.
type Text = fn(u16, u16, u16, &str) -> String;

#[test]
fn targets_are_checked_as_often_as_their_state_asks() {
    let ways: [(&str, Text, &str); 2] = [
        ("web.toml", native, "retries = 2"),
        ("haproxy.cfg", haproxy, "retries 2"),
    ];
    for (file, text, other) in ways {
        let scene = Scene::new();
        let web = free_port();
        let order = Arc::default();
        let [beat, checked] = ["beat", "checked"].map(|name| Checked::start(name, &order));
        let usual = text(web, beat.port, checked.port, "");
        let path = scene.file(file, &usual);
        let portway = scene.portway_with(&[file]);
        let health = |wanted: &str| portway.wait_for_health("app", local(checked.port), wanted);
        // How many checks there are in so many beats.
        let within = |beats: u32| {
            let (from, before) = (beat.seen(), checked.seen());
            eventually("beats", || (beat.seen() >= from + beats).then_some(()));
            checked.seen() - before
        };
        // How many beats there are until it has this health, and how many checks.
        let until = |wanted: &str| {
            let (from, before) = (beat.seen(), checked.seen());
            health(wanted);
            (beat.seen() - from, checked.seen() - before)
        };
        let who = || {
            let mut client = Client::new(web);
            let mut names: Vec<String> = (0..10).map(|_| client.ask("/")).collect();
            names.sort();
            names.dedup();
            names
        };
        health("healthy");
        let up = within(30);
        assert!((1..=8).contains(&up), "{file}: {up} checks while up");

        // From the first failure on it is looked at more often: thirty failures are seven beats and a half, after ten at most
        // until the first. They would be ninety while it is down, or three hundred.
        checked.says(500);
        let (beats, checks) = until("unhealthy");
        assert!(beats < 60, "{file}: {beats} beats until down");
        assert!(checks >= THRESHOLD - 1, "{file}: {checks} failures");
        assert_eq!(who(), ["beat"], "{file}");
        let down = within(30);
        assert!((4..=20).contains(&down), "{file}: {down} checks while down");

        // The state stays over a reload, and with it how often it is looked at.
        std::fs::write(&path, text(web, beat.port, checked.port, other)).unwrap();
        let admin = ["reload", "--admin", &portway.admin];
        scene.run(PORTWAY, &admin).good();
        assert_eq!(portway.health("app", local(checked.port)).0, "unhealthy");
        let down = within(30);
        assert!((4..=20).contains(&down), "{file}: {down} checks while down");
        assert_eq!(who(), ["beat"], "{file}");

        checked.says(200);
        let (beats, checks) = until("healthy");
        assert!(beats < 60, "{file}: {beats} beats until up");
        assert!(checks >= THRESHOLD - 1, "{file}: {checks} passes");
        assert_eq!(who(), ["beat", "checked"], "{file}");
        let up = within(30);
        assert!((1..=8).contains(&up), "{file}: {up} checks while up");
        portway.stop();
    }
}

/// A file for a listener, two targets and so much jitter in percent.
type Jittered<'t> = &'t dyn Fn(u16, [u16; 2], u32) -> String;

#[test]
fn checks_are_as_far_from_their_interval_as_is_said() {
    let native = |web: u16, [beat, checked]: [u16; 2], jitter: u32| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{web}'\nforward = 'app'\n[target_group.app]\n\
             targets = ['127.0.0.1:{beat}', {{ address = '127.0.0.1:{checked}', check = {{ interval = '200ms' }} }}]\n\
             health_check = {{ http = '/check', interval = '10ms', timeout = '30s', jitter_percent = {jitter} }}\n"
        )
    };
    let haproxy = |web: u16, [beat, checked]: [u16; 2], jitter: u32| {
        format!(
            "global\n spread-checks {jitter}\ndefaults\n mode http\n timeout client 1m\n timeout server 1m\n \
             timeout connect 30s\n timeout check 30s\nfrontend web\n bind 127.0.0.1:{web}\n default_backend app\n\
             backend app\n option httpchk GET /check\n server beat 127.0.0.1:{beat} check inter 10ms\n \
             server checked 127.0.0.1:{checked} check inter 200ms\n"
        )
    };
    let ways: [(&str, Jittered<'_>); 2] = [("web.toml", &native), ("haproxy.cfg", &haproxy)];
    for (file, text) in ways {
        let (scene, web) = (Scene::new(), free_port());
        let order = Arc::default();
        let all = ["beat", "checked"].map(|name| Checked::start(name, &order));
        let ports = all.each_ref().map(|it| it.port);
        let path = scene.file(file, text(web, ports, 0));
        let portway = scene.portway_with(&[file]);
        portway.wait_for_health("app", local(ports[1]), "healthy");
        std::fs::write(&path, text(web, ports, 50)).unwrap();
        let admin = ["reload", "--admin", &portway.admin];
        scene.run(PORTWAY, &admin).good();
        // Beats between two checks: half of them to half as many more, so the longest time is thrice the shortest; of fixed times,
        // or of a tenth more or less, it is a quarter longer at most. A target that fails is checked so too.
        for status in [200, 500] {
            all[1].says(status);
            let from = order.lock().unwrap().len();
            let gaps = eventually("forty checks", || {
                let order: Vec<&str> = order.lock().unwrap()[from..].to_vec();
                let gaps = order.split(|name| *name == "checked").map(<[&str]>::len);
                let gaps: Vec<usize> = gaps.skip(1).collect();
                (gaps.len() > 40).then(|| gaps[..40].to_vec())
            });
            let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
            assert!(least * 2 <= *most, "{file}, {status}: {gaps:?}");
        }
        portway.stop();
    }
}

#[test]
fn checks_do_not_stay_in_step() {
    let order = Arc::default();
    let all = ["a", "b", "c"].map(|name| Checked::start(name, &order));
    let targets = all.each_ref().map(|it| format!("'127.0.0.1:{}'", it.port));
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:{}'\nforward = 'app'\n[target_group.app]\ntargets = [{}]\n\
         health_check = {{ http = '/check', interval = '50ms', timeout = '30s' }}\n",
        free_port(),
        targets.join(", ")
    );
    let stage = Stage::new(&text);
    // By a fixed interval each of three would come once before the first comes again, for ever in the same order.
    let mut orders = eventually("other orders", || {
        let order = order.lock().unwrap();
        let mut rounds: Vec<Vec<&str>> = order.chunks(3).map(<[&str]>::to_vec).collect();
        rounds.sort();
        rounds.dedup();
        (rounds.len() >= 6).then_some(rounds)
    });
    orders.truncate(6);
    assert_eq!(orders.len(), 6);
    stage.portway.stop();
}
