//! The program on disk takes over while the one before serves: no request is lost, what was known goes on, and a new process that
//! does not come to serve changes nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::certificates::{Issuer, Key, certificate, handshake, join};
use crate::echo::Echo;
use crate::stage::{self, Client, group, listener, tunnels};
use crate::support::{Output, PORTWAY, Process, Scene, eventually, free_port, local};

/// A Portway whose program and configuration are written anew. Whichever process serves ends with it.
pub(crate) struct Stage {
    /// The one that was started first.
    pub(crate) first: Process,
    pub(crate) scene: Scene,
    pub(crate) admin: String,
    /// A link to the program: what it leads to is started next.
    program: PathBuf,
    pub(crate) file: PathBuf,
}

impl Stage {
    fn new(text: &str) -> Self {
        Self::with(Scene::new(), text, &[])
    }

    pub(crate) fn with(scene: Scene, text: &str, arguments: &[&str]) -> Self {
        Self::begin(scene, text, (&[], &["--workers", "2"]), arguments, &[])
    }

    /// With as many workers as the file says.
    pub(crate) fn with_workers_of_file(scene: Scene, text: &str) -> Self {
        Self::begin(scene, text, (&[], &[]), &[], &[])
    }

    pub(crate) fn in_environment(scene: Scene, text: &str, environment: &[(&str, &str)]) -> Self {
        Self::begin(scene, text, (&[], &["--workers", "2"]), &[], environment)
    }

    /// Started by another program, which becomes it.
    pub(crate) fn started_by(scene: Scene, text: &str, command: &[&str]) -> Self {
        Self::begin(scene, text, (command, &["--workers", "2"]), &[], &[])
    }

    fn begin(
        scene: Scene,
        text: &str,
        (by, workers): (&[&str], &[&str]),
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let file = scene.file("web.toml", text);
        let program = scene.path("portway");
        std::os::unix::fs::symlink(PORTWAY, &program).unwrap();
        let admin = format!("127.0.0.1:{}", free_port());
        let own = [
            program.to_str().unwrap(),
            "run",
            "web.toml",
            "--admin",
            &admin,
        ];
        let words = [by, &own, workers, arguments].concat();
        let (first, rest) = words.split_first().unwrap();
        let mut command = scene.command(first, rest);
        command.envs(environment.iter().copied());
        let first = scene.spawn_command(command);
        let stage = Self {
            scene,
            first,
            admin,
            program,
            file,
        };
        stage.is_ready();
        stage
    }

    fn is_ready(&self) {
        let log = || self.first.log();
        let url = format!("http://{}/readyz", self.admin);
        eventually("Portway is ready", || {
            let asked = Command::new("curl")
                .args(["-sf", "--noproxy", "*", &url])
                .output();
            assert!(!log().contains("cannot run"), "{}", log());
            asked.unwrap().status.success().then_some(())
        });
    }

    pub(crate) fn command(&self, words: &[&str]) -> Output {
        let arguments = [words, &["--admin", &self.admin]].concat();
        self.scene.run(PORTWAY, &arguments)
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let output = self.command(&[words, &["--json"]].concat());
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// Writes the file and has it read.
    #[track_caller]
    pub(crate) fn becomes(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
        self.command(&["reload"]).good();
    }

    /// The health of the target in this place of the first group, and why.
    pub(crate) fn health(&self, place: usize) -> (String, String) {
        let status = self.json(&["status"]);
        let target = &status["target_groups"][0]["targets"][place];
        let [health, reason] = ["health", "reason"].map(|it| target[it].as_str().unwrap());
        (health.to_owned(), reason.to_owned())
    }

    /// Waits until it is that; why it is.
    #[track_caller]
    pub(crate) fn until_health(&self, place: usize, wanted: &str) -> String {
        eventually(format_args!("target {place} is {wanted}"), || {
            let (health, reason) = self.health(place);
            (health == wanted).then_some(reason)
        })
    }

    /// The process that serves now.
    pub(crate) fn process(&self) -> u64 {
        self.json(&["status"])["process"]["pid"].as_u64().unwrap()
    }

    /// Upgrades; what the command says.
    #[track_caller]
    pub(crate) fn upgrade(&self) -> Value {
        let before = self.process();
        let answer = self.json(&["upgrade"]);
        assert_eq!(answer["ok"], true, "{answer:#}\n{}", self.first.log());
        assert_eq!(answer["before"]["pid"], before);
        assert_eq!(answer["pid"], self.process());
        answer
    }

    /// An upgrade that changes nothing; what the command says.
    #[track_caller]
    pub(crate) fn refused(&self, more: &[&str]) -> Value {
        let before = self.process();
        let answer = self.json(&[&["upgrade"], more].concat());
        assert_eq!(answer["ok"], false, "{answer:#}");
        assert_eq!(
            (answer["pid"].as_u64(), self.process()),
            (Some(before), before)
        );
        answer
    }

    /// What stands in the place of the program from now on.
    pub(crate) fn program_is(&self, script: &str) {
        fs::remove_file(&self.program).unwrap();
        let next = self.scene.file("next", format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&next, &self.program).unwrap();
    }

    /// What a command on the control socket `ctl.sock` is answered with.
    fn control(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.scene.path("ctl.sock")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn metric(&self, line: &str) -> String {
        let url = format!("http://{}/metrics", self.admin);
        let text = self.scene.curl(&["-s", &url]).good();
        let found = text.lines().find_map(|it| it.strip_prefix(line));
        found
            .unwrap_or_else(|| panic!("no {line} in {text}"))
            .trim()
            .to_owned()
    }
}

pub(crate) fn signal(process: u64, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

pub(crate) fn is_there(process: u64) -> bool {
    // A process that nobody has waited for yet has ended all the same.
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|it| !it.contains(") Z "))
}

impl Drop for Stage {
    fn drop(&mut self) {
        let asked = Command::new(PORTWAY)
            .args(["status", "--json", "--admin", &self.admin])
            .stdin(Stdio::null())
            .output();
        let status = asked
            .ok()
            .and_then(|it| serde_json::from_slice::<Value>(&it.stdout).ok());
        let Some(process) = status.and_then(|it| it["process"]["pid"].as_u64()) else {
            return;
        };
        // Its number may be one of another name space, where it ends with the first.
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&words).contains(&self.admin) {
            signal(process, Signal::KILL);
        }
    }
}

pub(crate) fn get(port: u16) -> String {
    let mut client = Client::new(port);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.answer().get(9..12).unwrap().to_owned()
}

/// Work that goes on until it is told to end.
struct Load {
    ended: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<usize>>,
}

impl Load {
    fn begin(works: Vec<Box<dyn FnMut() + Send>>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let threads = works.into_iter().map(|mut work| {
            let ended = ended.clone();
            thread::spawn(move || {
                let mut times = 0;
                while !ended.load(Ordering::Relaxed) {
                    work();
                    times += 1;
                }
                times
            })
        });
        let threads = threads.collect();
        Self { ended, threads }
    }

    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads {
            assert!(thread.join().unwrap() > 0);
        }
    }
}

/// Asks over a connection for as long as that is offered.
fn keeps_asking(port: u16) -> impl FnMut() {
    let mut kept = None;
    move || {
        let client = kept.get_or_insert_with(|| Client::new(port));
        client.send("GET /slow/3 HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let Some(head) = client.try_answer() else {
            // Closed while it rested: nobody has seen the request. HTTP/1.1 clients ask again.
            kept = None;
            return;
        };
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        if head.contains("connection: close") {
            kept = None;
        }
    }
}

#[test]
fn nothing_is_lost() {
    const SIZE: usize = 64 << 20;
    let (one, chat) = (Echo::start("one"), tunnels());
    let [web, ws, tcp] = [(); 3].map(|()| free_port());
    let raw = format!(
        "[listener.raw]\nprotocol = 'tcp'\nbind = '127.0.0.1:{tcp}'\nforward = 'raw'\n{}protocol = 'tcp'\n",
        group("raw", &[one.port])
    );
    let text = listener("web", web, "app")
        + &listener("ws", ws, "chat")
        + &group("app", &[one.port])
        + &group("chat", &[chat])
        + &raw;
    let stage = Stage::new(&text);
    let (mut tunnel, mut stream) = (Client::tunnel(ws), Client::new(tcp));
    assert_eq!(stream.ask("/"), "one");
    let mut download = TcpStream::connect(local(web)).unwrap();
    write!(
        download,
        "GET /bytes/{SIZE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let load = Load::begin(vec![
        Box::new(keeps_asking(web)),
        Box::new(keeps_asking(web)),
        Box::new(move || assert_eq!(get(web), "200")),
        Box::new(move || assert_eq!(get(web), "200")),
        Box::new(move || assert_eq!(Client::new(tcp).ask("/slow/2"), "one")),
    ]);
    let first = stage.process();
    for _ in 0..5 {
        stage.upgrade();
        thread::sleep(Duration::from_millis(200));
        tunnel.beats();
        assert_eq!(stream.ask("/"), "one");
    }
    load.end();
    let mut all = Vec::new();
    download.read_to_end(&mut all).unwrap();
    assert!(all.len() > SIZE, "{}", all.len());
    // The first is there as long as somebody is connected, those in between are gone.
    assert!(is_there(first));
    assert_eq!(stage.metric("portway_upgrades_total{result=\"ok\"} "), "1");
    drop((tunnel, stream, download));
    eventually("the first has ended", || (!is_there(first)).then_some(()));
    let log = stage.first.log();
    assert_eq!(log.matches("event=\"upgraded\"").count(), 5, "{log}");
    assert_eq!(log.matches("event=\"shutdown_ended\"").count(), 5, "{log}");
    assert!(
        !log.contains("panicked") && !log.contains("left out"),
        "{log}"
    );
}

#[test]
fn what_lives_on_in_the_old_process_has_a_deadline() {
    let chat = tunnels();
    let ws = free_port();
    let text = listener("ws", ws, "chat") + &group("chat", &[chat]);
    let stage = Stage::new(&format!("[process]\ndrain_deadline = '2s'\n{text}"));
    let mut tunnel = Client::tunnel(ws);
    let first = stage.process();
    let begun = Instant::now();
    stage.upgrade();
    let mut next = Client::tunnel(ws);
    while begun.elapsed() < Duration::from_millis(1500) {
        tunnel.beats();
        next.beats();
        thread::sleep(Duration::from_millis(50));
    }
    tunnel.ends();
    next.beats();
    eventually("the first has ended", || (!is_there(first)).then_some(()));
}

#[test]
fn what_was_known_goes_on() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let [web, tls, down] = [(); 3].map(|()| free_port());
    let scene = Scene::new();
    certificate(
        &scene,
        "a",
        Key::Ecdsa,
        "a.example",
        &["a.example"],
        Issuer::Own,
    );
    join(&scene, "all.pem", &["a.pem", "a.key"]);
    let folder = scene.path("").display().to_string();
    let text = |targets: &[u16]| {
        let web = listener("web", web, "app")
            + "[[listener.web.rule]]\nwhen = 'Path(`/limited`)'\nlimit_rate = { name = 'l', average = 3, period = '1h', burst = 3 }\n\
               [[listener.web.rule]]\ntrack = { key = 'source', table = 'seen' }\n\
               [[listener.web.rule]]\nphase = 'response'\nset_header = { X-Seen = '${counter(requests, tracked(0))}' }\n";
        let tls =
            listener("tls", tls, "app") + "protocol = 'https'\ncertificate_files = ['all.pem']\n";
        let app = group("app", targets)
            + "health_check = { tcp = true, interval = '500ms', healthy_threshold = 2 }\n\
               rule = [{ stick = { key = 'header(`X-User`)', table = 'users' } }]\n";
        format!(
            "[process]\ncontrol_sockets = {{ bind = 'unix:{folder}ctl.sock', level = 'admin' }}\n{web}{tls}{app}\
             [stick_table.seen]\nkey = 'address'\nsize = 100\nstore = ['requests', 'request_rate per 1h']\n\
             [stick_table.users]\nkey = {{ text = 32 }}\nsize = 100\nstore = ['target']\n"
        )
    };
    let stage = Stage::with(scene, &text(&[one.port, two.port, down]), &[]);
    let target = |port: u16| format!("127.0.0.1:{port}");
    let health = |port: u16| {
        let status = stage.json(&["status"]);
        let targets = status["target_groups"][0]["targets"]
            .as_array()
            .unwrap()
            .clone();
        let found = targets
            .into_iter()
            .find(|it| it["name"] == target(port).as_str());
        found.unwrap()
    };
    eventually("one is down, two are up", || {
        let is = |port, word: &str| health(port)["health"] == word;
        (is(down, "unhealthy") && is(one.port, "healthy") && is(two.port, "healthy")).then_some(())
    });
    let ask = |path: &str, user: &str| {
        let mut client = Client::new(web);
        client.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n"
        ));
        client.answer()
    };
    let server = |head: String| stage::server(&head).unwrap().to_owned();
    let limited: Vec<bool> = (0..4)
        .map(|_| ask("/limited", "x").contains(" 429 "))
        .collect();
    assert_eq!(limited, [false, false, false, true]);
    let users: Vec<String> = (0..6).map(|it| format!("user{it}")).collect();
    let served: Vec<String> = users.iter().map(|it| server(ask("/", it))).collect();
    assert!(served.contains(&"one".to_owned()) && served.contains(&"two".to_owned()));
    let seen = |head: &str| -> u32 {
        let value = head.split("x-seen: ").nth(1).unwrap();
        value.split("\r\n").next().unwrap().parse().unwrap()
    };
    let before = seen(&ask("/seen", "x"));
    let ticket = stage.scene.path("ticket").display().to_string();
    handshake(&stage.scene, tls, &["-tls1_2", "-sess_out", &ticket]);
    let control = |command: &str| stage.control(command);
    control(&format!("set weight app/{} 7", target(two.port)));
    let is_weighed = || control(&format!("get weight app/{}", target(two.port)));
    assert!(is_weighed().starts_with("7 "), "{}", is_weighed());
    let since = health(down)["since"].clone();
    // The targets stand in another order and one more is there: their numbers in the table of users stay theirs.
    fs::write(&stage.file, text(&[down, free_port(), two.port, one.port])).unwrap();
    let answer = stage.upgrade();
    assert_eq!(answer["state"]["entries"], 7 + 1, "{answer:#}");
    assert_eq!(health(down)["health"], "unhealthy");
    assert_eq!(health(down)["since"], since);
    assert!(ask("/limited", "x").contains(" 429 "));
    let again: Vec<String> = users.iter().map(|it| server(ask("/", it))).collect();
    assert_eq!(again, served);
    assert!(seen(&ask("/seen", "x")) > before);
    let resumed = handshake(&stage.scene, tls, &["-tls1_2", "-sess_in", &ticket]);
    assert!(resumed.contains("Reused, TLSv1.2"), "{resumed}");
    assert!(is_weighed().starts_with("7 "), "{}", is_weighed());
    let log = stage.first.log();
    assert!(!log.contains("left out"), "{log}");
}

#[test]
fn who_does_not_come_to_serve_changes_nothing() {
    let one = Echo::start("one");
    let [web, other] = [(); 2].map(|()| free_port());
    let good = listener("web", web, "app") + &group("app", &[one.port]);
    let scene = Scene::new();
    let socket = scene.path("web.sock");
    let good = good
        .replace("bind = ", &format!("bind = ['unix:{}', ", socket.display()))
        .replace("'\nforward", "']\nforward");
    let pid_file = scene.path("pid");
    let good = format!("[process]\npid_file = '{}'\n{good}", pid_file.display());
    let stage = Stage::with(scene, &good, &[]);
    let process = stage.process();
    let says = || {
        fs::read_to_string(&pid_file)
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(says(), process);
    let mut kept = Client::new(web);
    assert_eq!(kept.ask("/"), "one");
    let mut failed = 0;
    let mut check = |more: &[&str], why: &str| {
        let answer = stage.refused(more);
        assert!(answer.to_string().contains(why), "{why}: {answer:#}");
        failed += 1;
        assert_eq!(
            stage.metric("portway_upgrades_total{result=\"failed\"} "),
            failed.to_string()
        );
        let error = stage.json(&["status"])["process"]["last_upgrade"]["error"].clone();
        assert!(error.as_str().unwrap().contains(why), "{error}");
        assert_eq!(
            (kept.ask("/"), get(web)),
            ("one".to_owned(), "200".to_owned())
        );
        assert!(UnixStream::connect(&socket).is_ok());
        assert!(TcpStream::connect(local(other)).is_err());
        assert_eq!(says(), process);
    };
    // The configuration is wrong, or asks for what another has.
    fs::write(&stage.file, good.replace("'app'", "'nobody'")).unwrap();
    check(&[], "web.toml:5:11");
    let taken = Echo::start("taken").port;
    fs::write(
        &stage.file,
        format!(
            "{good}{}{}",
            listener("new", other, "app"),
            listener("b", taken, "app")
        ),
    )
    .unwrap();
    check(&[], "another program is listening there");
    let text = stage.command(&["upgrade"]);
    assert_eq!(text.status.code(), Some(1));
    assert!(
        text.both()
            .contains(&format!("not upgraded, process {process} goes on")),
        "{text}"
    );
    fs::write(&stage.file, &good).unwrap();
    let check = |more: &[&str], why: &str| {
        let answer = stage.refused(more);
        assert!(answer.to_string().contains(why), "{why}: {answer:#}");
        assert_eq!(get(web), "200");
        assert_eq!(says(), process);
    };
    // The program is wrong.
    stage.program_is("exit 3");
    check(&[], "ended before it was ready (exit status: 3)");
    stage.program_is("exec sleep 600");
    check(&["--timeout", "300ms"], "was not ready within 300ms");
    stage.program_is("kill -9 $$");
    check(&[], "ended before it was ready (signal: 9");
    stage.program_is("echo sing >&0; exec sleep 600");
    check(&[], "says what this version does not know: `sing`");
    stage.program_is("echo _getsocks >&0; sleep 0.2; exit 0");
    check(&[], "the new process");
    fs::remove_file(stage.scene.path("portway")).unwrap();
    check(&[], "cannot start the new process");
    // The right program again.
    std::os::unix::fs::symlink(PORTWAY, &stage.program).unwrap();
    stage.upgrade();
    assert_eq!(says(), stage.process());
    eventually("the one before has ended", || {
        (!is_there(process)).then_some(())
    });
    assert_eq!(says(), stage.process());
    assert!(UnixStream::connect(&socket).is_ok());
    let foreign = stage.scene.curl(&[
        "-s",
        "-X",
        "POST",
        &format!("http://{}/upgrade", stage.admin),
    ]);
    assert!(foreign.good().contains("Portway-Command"));
}

#[test]
fn one_upgrade_at_a_time() {
    let one = Echo::start("one");
    let web = free_port();
    let mut stage = Stage::new(&(listener("web", web, "app") + &group("app", &[one.port])));
    stage.program_is("exec sleep 600");
    stage.first.signal(Signal::USR2);
    eventually("it has begun", || {
        stage
            .first
            .log()
            .contains("event=\"upgrade_started\"")
            .then_some(())
    });
    let answer = stage.refused(&[]);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("another upgrade is under way"),
        "{answer}"
    );
    assert_eq!(get(web), "200");
    // A stop does not wait for it.
    stage.first.signal(Signal::TERM);
    assert!(stage.first.wait().success());
    assert!(
        stage.first.log().contains("not upgraded (SIGUSR2)"),
        "{}",
        stage.first.log()
    );
}

#[test]
fn the_new_one_goes_on_where_the_old_one_dies() {
    let one = Echo::start("one");
    let web = free_port();
    let mut stage = Stage::new(&(listener("web", web, "app") + &group("app", &[one.port])));
    stage.program_is(&format!("sleep 1; exec {PORTWAY} \"$@\""));
    stage.first.signal(Signal::USR2);
    eventually("it has begun", || {
        stage
            .first
            .log()
            .contains("event=\"upgrade_started\"")
            .then_some(())
    });
    stage.first.signal(Signal::KILL);
    stage.first.wait();
    // Its sockets may be open for a moment longer.
    let still = std::net::TcpListener::bind(local(web)).unwrap();
    eventually("the new one knows", || {
        let log = stage.first.log();
        log.contains("the process before has ended").then_some(())
    });
    thread::sleep(Duration::from_millis(200));
    drop(still);
    stage.is_ready();
    assert_eq!(get(web), "200");
    assert_ne!(stage.process(), u64::from(stage.first.id()));
    assert!(
        stage.first.log().contains("the process before has ended"),
        "{}",
        stage.first.log()
    );
}

#[test]
fn fewer_and_more_workers_take_all_sockets() {
    let one = Echo::start("one");
    let [web, other] = [(); 2].map(|()| free_port());
    let listeners = listener("web", web, "app")
        + &listener("other", other, "app")
            .replace("bind = ", "bind = ['unix:@portway-upgrade', ")
            .replace("'\nforward", "']\nforward");
    let text = |workers: usize| {
        let app = group("app", &[one.port]);
        format!("[process]\nworkers = {workers}\n{listeners}{app}")
            .replace("@portway-upgrade", &format!("@portway-upgrade-{web}"))
    };
    let stage = Stage::with_workers_of_file(Scene::new(), &text(4));
    let load = Load::begin(
        (0..4)
            .map(|_| Box::new(move || assert_eq!(get(web), "200")) as Box<dyn FnMut() + Send>)
            .collect(),
    );
    for workers in [1, 3, 2] {
        fs::write(&stage.file, text(workers)).unwrap();
        stage.upgrade();
        assert_eq!(stage.json(&["status"])["process"]["workers"], workers);
        for _ in 0..50 {
            assert_eq!((get(web), get(other)), ("200".to_owned(), "200".to_owned()));
        }
    }
    load.end();
}

#[test]
fn what_was_said_by_command_goes_on() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let [web, other] = [(); 2].map(|()| free_port());
    let scene = Scene::new();
    let folder = scene.path("").display().to_string();
    scene.file("teams.map", "a red\nb blue\n");
    let text = format!(
        "[process]\ncontrol_sockets = {{ bind = 'unix:{folder}ctl.sock', level = 'admin' }}\n{}\
         [[listener.web.rule]]\nset_header = {{ X-Team = '${{header(`X-Who`).map(`teams`, `none`)}}' }}\n{}{}\
         stickiness = {{ cookie = 'S', values = 'sealed' }}\n[map.teams]\nfile = 'teams.map'\n",
        listener("web", web, "app"),
        listener("other", other, "app"),
        group("app", &[one.port, two.port])
    );
    let stage = Stage::with(scene, &text, &[]);
    let ask = |header: &str| {
        let mut stream = TcpStream::connect(local(web)).unwrap();
        let close = "Connection: close";
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: a\r\n{close}\r\n{header}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let after = |answer: &str, name: &str| {
        let value = answer
            .split(name)
            .nth(1)
            .unwrap_or_else(|| panic!("no {name} in {answer}"));
        value.split([';', '\r']).next().unwrap().to_owned()
    };
    let server = |answer: &str| after(answer, "X-Server: ");
    let clients: Vec<(String, String)> = (0..4)
        .map(|_| {
            let answer = ask("X-A: b");
            (after(&answer, "set-cookie: "), server(&answer))
        })
        .collect();
    let target = |port: u16| format!("app/127.0.0.1:{port}");
    for command in [
        "set map teams.map a green".to_owned(),
        "add map teams.map c black".to_owned(),
        "experimental-mode on; set var proc.colour str(white)".to_owned(),
        "disable frontend other".to_owned(),
        "set maxconn frontend web 77".to_owned(),
        "set rate-limit connections global 5000".to_owned(),
    ] {
        let answer = stage.control(&command);
        assert!(answer.trim().is_empty(), "{command}: {answer}");
    }
    let said = || {
        let stat = stage.control("show stat");
        let limit = stat
            .lines()
            .find(|it| it.starts_with("web,FRONTEND,"))
            .unwrap();
        [
            stage
                .control("show map teams.map")
                .split_whitespace()
                .skip(1)
                .filter(|it| !it.starts_with("0x"))
                .collect::<Vec<_>>()
                .join(" "),
            stage.control("get var proc.colour"),
            limit.split(',').nth(6).unwrap().to_owned(),
            TcpStream::connect(local(other)).is_err().to_string(),
            stage
                .control("show info")
                .lines()
                .find(|it| it.starts_with("ConnRateLimit:"))
                .unwrap()
                .to_owned(),
        ]
    };
    eventually("the listener is paused", || {
        TcpStream::connect(local(other)).is_err().then_some(())
    });
    let before = said();
    assert!(
        before[0].contains("green") && before[0].contains("black"),
        "{before:?}"
    );
    assert!(before[1].contains("white"), "{before:?}");
    assert_eq!(
        (before[2].as_str(), before[4].as_str()),
        ("77", "ConnRateLimit: 5000")
    );
    stage.upgrade();
    eventually("the listener is paused", || {
        TcpStream::connect(local(other)).is_err().then_some(())
    });
    assert_eq!(said(), before);
    for (cookie, name) in &clients {
        assert_eq!(
            server(&ask(&format!("Cookie: {cookie}"))),
            *name,
            "{cookie}"
        );
    }
    stage.control(&format!("set server {} state drain", target(one.port)));
    stage.upgrade();
    let answer = ask("X-Who: c");
    assert!(answer.contains("x-team: black"), "{answer}");
    assert_eq!(stage.control("enable frontend other").trim(), "");
    eventually("the listener accepts", || {
        TcpStream::connect(local(other)).ok()
    });
    assert_eq!(get(other), "200");
    let health = stage.json(&["status"])["target_groups"][0]["targets"][0]["health"].clone();
    assert_eq!(health, "draining");
    let log = stage.first.log();
    assert!(!log.contains("left out"), "{log}");
}
