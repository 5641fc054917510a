//! Listening sockets that HAProxy leaves to Portway and Portway to HAProxy, over a socket of statistics (`-x`).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::support::{PORTWAY, Process, Scene, eventually, free_port};
use crate::upgrade::{is_there, signal};

/// Bound by one process alone; another can only be given it.
fn configuration(folder: &str, port: u16, text: &str) -> String {
    format!(
        "global
  stats socket {folder}/ctl.sock level admin expose-fd listeners
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend f
  bind 127.0.0.1:{port}
  bind abns@portway-takeover-{port}
  http-request return status 200 content-type text/plain string {text}
"
    )
}

/// The end of the answer that comes at a port.
fn says(port: u16, text: &str) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.ends_with(text).then_some(())
}

#[test]
fn sockets_go_from_haproxy_to_portway_and_back() {
    let scene = Scene::new();
    let folder = scene.path("").display().to_string();
    let port = free_port();
    std::os::unix::fs::symlink(PORTWAY, scene.path("haproxy")).unwrap();
    let ours = scene.path("haproxy").display().to_string();
    let mut before: Option<Process> = None;
    for (program, text) in [
        ("haproxy", "first"),
        (ours.as_str(), "second"),
        ("haproxy", "third"),
    ] {
        let file = scene.file(
            "h.cfg",
            configuration(folder.trim_end_matches('/'), port, text),
        );
        let (file, control) = (file.display().to_string(), scene.path("ctl.sock"));
        let control = control.display().to_string();
        let mut arguments = vec!["-db", "-f", &file];
        let old = before.as_ref().map(|old| old.id().to_string());
        if let Some(old) = &old {
            arguments.extend(["-x", &control, "-sf", old]);
        }
        let next = scene.spawn(program, &arguments);
        eventually(text, || says(port, text));
        if let Some(mut old) = before.replace(next) {
            old.wait();
        }
    }
}

/// A third request of a client is refused, and one server is down.
fn remembering(scene: &Scene, port: u16) -> String {
    format!(
        "global
  stats socket {}ctl.sock level admin expose-fd listeners
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend f
  bind 127.0.0.1:{port}
  stick-table type ip size 100 expire 1h store http_req_cnt
  http-request track-sc0 src
  http-request return status 200 content-type text/plain string once if {{ sc_http_req_cnt(0) le 2 }}
  http-request return status 200 content-type text/plain string often
  default_backend b
backend b
  option httpchk
  server down 127.0.0.1:1 check inter 200ms fall 2
",
        scene.path("").display()
    )
}

/// What a command on the control socket is answered with.
fn control(scene: &Scene, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(scene.path("ctl.sock")).ok()?;
    stream.write_all(format!("{command}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn is_down(scene: &Scene) -> Option<()> {
    let stat = control(scene, "show stat")?;
    let line = stat.lines().find(|it| it.starts_with("b,down,"))?;
    line.contains(",DOWN,").then_some(())
}

fn number(scene: &Scene) -> Option<String> {
    let info = control(scene, "show info")?;
    let line = info.lines().find_map(|it| it.strip_prefix("Pid: "));
    line.map(str::to_owned)
}

#[test]
fn what_was_known_goes_from_portway_to_portway() {
    let scene = Scene::new();
    std::os::unix::fs::symlink(PORTWAY, scene.path("haproxy")).unwrap();
    let ours = scene.path("haproxy").display().to_string();
    let port = free_port();
    scene.file("h.cfg", remembering(&scene, port));
    let mut first = scene.spawn(&ours, &["-db", "-f", "h.cfg"]);
    eventually("it serves", || says(port, "once"));
    assert!(says(port, "once").is_some() && says(port, "often").is_some());
    eventually("the server is down", || is_down(&scene));
    let old = first.id().to_string();
    let control_socket = scene.path("ctl.sock").display().to_string();
    let next = scene.spawn(
        &ours,
        &["-db", "-f", "h.cfg", "-x", &control_socket, "-sf", &old],
    );
    first.wait();
    assert!(says(port, "often").is_some());
    assert_eq!(number(&scene), Some(next.id().to_string()));
    // At once, and not after its own checks.
    assert!(is_down(&scene).is_some());
    assert!(!next.log().contains("left out"), "{}", next.log());
}

#[test]
fn what_was_known_goes_from_worker_to_worker() {
    let scene = Scene::new();
    std::os::unix::fs::symlink(PORTWAY, scene.path("haproxy")).unwrap();
    let ours = scene.path("haproxy").display().to_string();
    let port = free_port();
    scene.file("h.cfg", remembering(&scene, port));
    let master = scene.spawn(&ours, &["-W", "-db", "-f", "h.cfg"]);
    eventually("it serves", || says(port, "once"));
    assert!(says(port, "once").is_some() && says(port, "often").is_some());
    eventually("the server is down", || is_down(&scene));
    let worker = number(&scene);
    master.signal(Signal::USR2);
    eventually("another worker serves", || {
        let now = number(&scene);
        (now.is_some() && now != worker).then_some(())
    });
    let worker: u64 = worker.unwrap().parse().unwrap();
    eventually("the one before is gone", || {
        (!is_there(worker)).then_some(())
    });
    assert!(says(port, "often").is_some());
    assert!(is_down(&scene).is_some());
}

#[test]
fn a_worker_that_hangs_hinders_nobody() {
    let scene = Scene::new();
    let program = scene.path("haproxy");
    std::os::unix::fs::symlink(PORTWAY, &program).unwrap();
    let port = free_port();
    scene.file("h.cfg", remembering(&scene, port));
    let ours = program.display().to_string();
    let socket = scene.path("master.sock").display().to_string();
    let mut master = scene.spawn(&ours, &["-W", "-db", "-f", "h.cfg", "-S", &socket]);
    eventually("it serves", || says(port, "once"));
    let hangs = scene.file("next", "#!/bin/sh\necho $$ >hangs\nexec sleep 777\n");
    fs::set_permissions(&hangs, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&hangs, &program).unwrap();
    let start = || -> u64 {
        let _ = fs::remove_file(scene.path("hangs"));
        master.signal(Signal::USR2);
        eventually("it hangs", || {
            let number = fs::read_to_string(scene.path("hangs")).ok()?;
            number.trim().parse().ok()
        })
    };
    let asks = |command: &str| {
        let mut stream = UnixStream::connect(scene.path("master.sock")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let first = start();
    assert!(asks("show proc").contains("0 [failed: 0]"));
    assert!(says(port, "once").is_some());
    signal(first, Signal::KILL);
    eventually("the master knows", || {
        asks("show proc").contains("0 [failed: 1]").then_some(())
    });
    assert!(master.log().contains("the worker before goes on"));
    let second = start();
    // Each has its turn: this one comes after the one that hangs.
    let mut waits = UnixStream::connect(&socket).unwrap();
    waits.write_all(b"reload\n").unwrap();
    assert!(asks("show proc").contains("# workers"));
    master.signal(Signal::TERM);
    master.wait();
    eventually("it is ended", || (!is_there(second)).then_some(()));
}
