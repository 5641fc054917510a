//! Listening sockets that HAProxy leaves to Portway and Portway to HAProxy, over a socket of statistics (`-x`).

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{PORTWAY, Process, Scene, eventually, free_port};

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
