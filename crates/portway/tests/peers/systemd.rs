//! What a process started by systemd hears and says: notifications, its watchdog, sockets that systemd listens on. A stand-in plays
//! systemd.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::echo::Echo;
use crate::stage::{Client, group, listener};
use crate::support::{PORTWAY, Scene, eventually, free_port, local};
use crate::upgrade::{Stage, signal};

/// Runs its arguments as a child; for each line that it is told it stops the first worker of that, or lets it go on.
const HANGER: &str = "
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def ptrace(request, thread):
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(thread), None, None) != 0:
        raise OSError(ctypes.get_errno(), 'ptrace')
def worker():
    folder = f'/proc/{child.pid}/task'
    names = [(it, open(f'{folder}/{it}/comm').read().strip()) for it in os.listdir(folder)]
    return next(int(it) for it, name in names if name == 'portway-w0')
sys.stdin.readline()
thread = worker()
ptrace(0x4206, thread)
ptrace(0x4207, thread)
os.waitpid(thread, 0x40000000)
print('stopped', flush=True)
sys.stdin.readline()
ptrace(17, thread)
print('goes on', flush=True)
child.wait()
";

/// The socket on which systemd hears.
struct Notified(UnixDatagram);

impl Notified {
    fn new(scene: &Scene) -> Self {
        let socket = UnixDatagram::bind(scene.path("notify")).unwrap();
        Self(socket)
    }

    fn next_within(&self, time: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(time)).unwrap();
        let mut said = [0; 4096];
        let count = self.0.recv(&mut said).ok()?;
        Some(String::from_utf8(said[..count].to_vec()).unwrap())
    }

    /// The next message that is none to the watchdog.
    #[track_caller]
    fn next(&self) -> String {
        loop {
            let said = self
                .next_within(Duration::from_secs(30))
                .expect("a message");
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }
}

fn configuration(one: &Echo, web: u16) -> String {
    listener("web", web, "app") + &group("app", &[one.port])
}

#[test]
fn what_it_does_is_told() {
    let one = Echo::start("one");
    let web = free_port();
    let scene = Scene::new();
    let systemd = Notified::new(&scene);
    let notify = scene.path("notify").display().to_string();
    let environment = [
        ("NOTIFY_SOCKET", notify.as_str()),
        ("WATCHDOG_USEC", "1000000"),
    ];
    let text = configuration(&one, web);
    let stage = Stage::in_environment(scene, &text, &environment);
    let serves = |number: u32| {
        format!("READY=1\nSTATUS=serves 1 listener with 2 workers, configuration {number}")
    };
    assert_eq!(systemd.next(), serves(1));
    stage.first.signal(Signal::HUP);
    let said = systemd.next();
    let moment = said
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap_or_else(|| panic!("{said}"));
    assert!(moment.parse::<u64>().unwrap() > 0);
    assert_eq!(systemd.next(), serves(2));
    fs::write(stage.scene.path("web.toml"), "[listener").unwrap();
    stage.first.signal(Signal::HUP);
    assert!(systemd.next().starts_with("RELOADING=1\n"));
    assert_eq!(systemd.next(), serves(2) + "; the latest reload has failed");
    fs::write(stage.scene.path("web.toml"), &text).unwrap();
    stage.upgrade();
    let next = stage.process();
    assert_eq!(systemd.next(), format!("MAINPID={next}"));
    assert_eq!(systemd.next(), serves(2));
    // Until here twice a second, and so from the new process.
    while systemd
        .next_within(Duration::ZERO.max(Duration::from_millis(1)))
        .is_some()
    {}
    for _ in 0..3 {
        assert_eq!(
            systemd.next_within(Duration::from_secs(5)).as_deref(),
            Some("WATCHDOG=1")
        );
    }
    signal(next, Signal::TERM);
    let said = systemd.next();
    assert!(
        said.starts_with("STOPPING=1\nSTATUS=stops (SIGTERM): 0 connections"),
        "{said}"
    );
}

#[test]
fn the_watchdog_hears_nothing_of_a_worker_that_hangs() {
    let one = Echo::start("one");
    let web = free_port();
    let scene = Scene::new();
    let systemd = Notified::new(&scene);
    scene.file("web.toml", configuration(&one, web));
    scene.file("hanger.py", HANGER);
    let admin = format!("127.0.0.1:{}", free_port());
    let mut command = scene.command(
        "python3",
        &[
            "hanger.py",
            PORTWAY,
            "run",
            "web.toml",
            "--workers",
            "2",
            "--admin",
            &admin,
        ],
    );
    command
        .env("NOTIFY_SOCKET", scene.path("notify"))
        .env("WATCHDOG_USEC", "1000000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut hanger = command.spawn().unwrap();
    let mut tell = hanger.stdin.take().unwrap();
    let mut said = hanger.stdout.take().unwrap();
    assert!(systemd.next().starts_with("READY=1\n"));
    let status = scene
        .run(PORTWAY, &["status", "--json", "--admin", &admin])
        .good();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let process = status["process"]["pid"].as_u64().unwrap();
    let beats = || systemd.next_within(Duration::from_secs(5)).as_deref() == Some("WATCHDOG=1");
    assert!(beats());
    tell.write_all(b"hang\n").unwrap();
    let mut hears = |wanted: &str| {
        let mut all = String::new();
        while !all.contains(wanted) {
            let mut some = [0; 256];
            let count = said.read(&mut some).unwrap();
            assert!(count > 0, "it ended after `{all}`");
            all += &String::from_utf8_lossy(&some[..count]);
        }
    };
    hears("stopped");
    // What was on its way, and one that was right when it was told.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        systemd.next_within(Duration::from_millis(100));
    }
    assert_eq!(systemd.next_within(Duration::from_millis(1500)), None);
    tell.write_all(b"go on\n").unwrap();
    hears("goes on");
    assert!(beats() && beats());
    signal(process, Signal::KILL);
    hanger.wait().unwrap();
}

/// Listens on what its first argument says, as systemd does, and becomes the rest.
const ACTIVATOR: &str = "
import os, socket, sys
port, other, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sockets = []
for number in (port, other):
    sockets.append(socket.create_server(('127.0.0.1', number)))
sockets.append(socket.socket(socket.AF_UNIX))
sockets[-1].bind(path)
sockets[-1].listen()
for at, it in enumerate(sockets):
    os.dup2(it.fileno(), 100 + at)
for at in range(len(sockets)):
    os.dup2(100 + at, 3 + at)
    os.set_inheritable(3 + at, True)
    os.close(100 + at)
os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[4], sys.argv[4:])
";

#[test]
fn sockets_of_systemd_are_used() {
    let one = Echo::start("one");
    let [web, other] = [(); 2].map(|()| free_port());
    let scene = Scene::new();
    let path = scene.path("web.sock");
    let path = path.to_str().unwrap().to_owned();
    let text = configuration(&one, web);
    let text = text
        .replace("bind = ", &format!("bind = ['unix:{path}', "))
        .replace("'\nforward", "']\nforward");
    scene.file("activator.py", ACTIVATOR);
    let [web_text, other_text] = [web, other].map(|it| it.to_string());
    let stage = Stage::started_by(
        scene,
        &text,
        &["python3", "activator.py", &web_text, &other_text, &path],
    );
    let all_workers = || {
        for _ in 0..20 {
            assert_eq!(Client::new(web).ask("/"), "one");
        }
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.to_lowercase().contains("x-server: one"), "{answer}");
    };
    all_workers();
    let log = stage.first.log();
    assert!(
        log.contains(&format!(
            "systemd listens on 127.0.0.1:{other}, and no listener does"
        )),
        "{log}"
    );
    stage.upgrade();
    all_workers();
    stage.upgrade();
    all_workers();
    let last = stage.process();
    signal(last, Signal::TERM);
    eventually("its end", || {
        TcpStream::connect(&stage.admin).is_err().then_some(())
    });
    eventually("its end", || {
        (!fs::exists(format!("/proc/{last}")).unwrap() || !crate::upgrade::is_there(last))
            .then_some(())
    });
    // The file is that of systemd, which listens on.
    assert!(fs::exists(&path).unwrap());
    assert!(TcpStream::connect(local(web)).is_err());
}
