//! Reloads that come while another one reads, or while another process takes over.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;

use crate::echo::Echo;
use crate::stage::{self, Client, group, listener};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade::{Stage, signal};

/// A map that is a pipe: whoever reads it waits until somebody writes.
const PIPE: &str = "[map.slow]\nfile = 'slow.map'\n";

fn pipe(scene: &Scene) -> PathBuf {
    let path = scene.path("slow.map");
    scene.run("mkfifo", &[path.to_str().unwrap()]).good();
    path
}

/// Lets go everybody who comes to read, until it is dropped.
struct Feeding {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feeding {
    fn begin(pipe: &Path) -> Self {
        let (pipe, ended) = (pipe.to_owned(), Arc::new(AtomicBool::new(false)));
        let is_over = ended.clone();
        let thread = thread::spawn(move || {
            use std::os::unix::fs::OpenOptionsExt;
            while !is_over.load(Ordering::Relaxed) {
                // Nobody reads: not yet.
                let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
                let opened = File::options()
                    .write(true)
                    .custom_flags(nonblocking)
                    .open(&pipe);
                if let Ok(mut opened) = opened {
                    let _ = opened.write_all(b"a b\n");
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let thread = Some(thread);
        Self { ended, thread }
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Nobody is let go any more.
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn text(web: u16, port: u16) -> String {
    listener("web", web, "app") + &group("app", &[port]) + PIPE
}

#[test]
fn who_asks_while_one_waits_has_the_answer_of_that_one() {
    const CALLERS: usize = 40;
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let scene = Scene::new();
    let slow = pipe(&scene);
    let first = Feeding::begin(&slow);
    let stage = stage::Stage::with(scene, &text(web, one.port), &[]);
    drop(first);
    let admin: SocketAddr = stage.portway.admin.parse().unwrap();
    let ask = || {
        let mut stream = TcpStream::connect(admin).unwrap();
        let request = "POST /reload HTTP/1.1\r\nHost: localhost\r\nPortway-Command: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let answer = |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        serde_json::from_str::<serde_json::Value>(body).unwrap()
    };
    let reads = ask();
    // It has read the text already, and reads the map.
    let mut held = File::options().write(true).open(&slow).unwrap();
    fs::write(&stage.file, text(web, two.port)).unwrap();
    let waiting: Vec<TcpStream> = (0..CALLERS).map(|_| ask()).collect();
    for _ in 0..CALLERS {
        stage.portway.process.signal(Signal::HUP);
    }
    thread::sleep(Duration::from_millis(300));
    held.write_all(b"a b\n").unwrap();
    drop(held);
    let _feeding = Feeding::begin(&slow);
    assert_eq!(answer(reads)["ok"], true);
    for it in waiting.into_iter().map(answer) {
        assert_eq!(it["ok"], true, "{it:#}");
    }
    assert_eq!(Client::new(web).ask("/"), "two");
    let reloads = stage.metric("portway_reloads_total{result=\"ok\"} ");
    // The one that read, the one that waited; some may have come when that had begun.
    let reloads: usize = reloads.parse().unwrap();
    assert!((2..CALLERS / 2).contains(&reloads), "{reloads}");
}

/// A Portway whose next process reads its configuration as it is now, and then waits for the pipe.
fn upgrading(stage: &Stage, slow: &Path) -> File {
    signal(stage.process(), Signal::USR2);
    File::options().write(true).open(slow).unwrap()
}

#[test]
fn a_reload_meanwhile_is_that_of_the_new_process() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let scene = Scene::new();
    let slow = pipe(&scene);
    let first = Feeding::begin(&slow);
    let stage = Stage::with(scene, &text(web, one.port), &[]);
    drop(first);
    // A signal: it is passed on.
    let before = stage.process();
    let mut held = upgrading(&stage, &slow);
    // The new process has read what it said before.
    fs::write(&stage.file, text(web, two.port)).unwrap();
    signal(before, Signal::HUP);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(Client::new(web).ask("/"), "one");
    held.write_all(b"a b\n").unwrap();
    drop(held);
    let feeding = Feeding::begin(&slow);
    eventually("the new process has reloaded", || {
        (Client::new(web).ask("/") == "two").then_some(())
    });
    assert_ne!(stage.process(), before);
    let log = stage.first.log();
    assert!(log.contains("reloaded (SIGHUP)"), "{log}");
    drop(feeding);
    // A command: it asks the new process as soon as that serves.
    let before = stage.process();
    let mut held = upgrading(&stage, &slow);
    fs::write(&stage.file, text(web, one.port)).unwrap();
    thread::scope(|scope| {
        let command = scope.spawn(|| stage.json(&["reload"]));
        thread::sleep(Duration::from_millis(200));
        assert!(!command.is_finished());
        held.write_all(b"a b\n").unwrap();
        drop(held);
        let _feeding = Feeding::begin(&slow);
        let answer = command.join().unwrap();
        assert_eq!(answer["ok"], true, "{answer:#}");
        assert_eq!(Client::new(web).ask("/"), "one");
    });
    assert_ne!(stage.process(), before);
    let log = stage.first.log();
    assert!(!log.contains("not reloaded"), "{log}");
}

#[test]
fn a_reload_meanwhile_is_done_where_the_old_process_goes_on() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let plain = |port: u16| listener("web", web, "app") + &group("app", &[port]);
    let scene = Scene::new();
    let slow = pipe(&scene);
    let stage = Stage::with(scene, &plain(one.port), &[]);
    stage.program_is(&format!("read line < {}; exit 1", slow.display()));
    let mut held = upgrading(&stage, &slow);
    fs::write(&stage.file, plain(two.port)).unwrap();
    signal(stage.process(), Signal::HUP);
    let answer = thread::scope(|scope| {
        let command = scope.spawn(|| stage.json(&["reload"]));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(Client::new(web).ask("/"), "one");
        held.write_all(b"end\n").unwrap();
        command.join().unwrap()
    });
    assert_eq!(answer["ok"], true, "{answer:#}");
    assert_eq!(Client::new(web).ask("/"), "two");
    let log = stage.first.log();
    let [failed, reloaded] = ["event=\"upgrade_failed\"", "event=\"reloaded\""];
    assert!(
        log.find(failed).unwrap() < log.find(reloaded).unwrap(),
        "{log}"
    );
}
