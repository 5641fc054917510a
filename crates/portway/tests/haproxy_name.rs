//! The built binary called `haproxy`: flags, messages, exit codes, background, master, service script.
#![cfg(test)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with `haproxy`, which is Portway, and `a.cfg`.
struct Place {
    folder: TempDir,
    port: u16,
}

/// Answers 200 with this text.
fn answering(text: &str) -> String {
    format!(
        "defaults\n  mode http\n  timeout client 60s\n  timeout connect 5s\n  timeout server 5s\n\
         frontend web\n  bind 127.0.0.1:PORT\n  http-request return status 200 content-type text/plain string \"{text}\"\n"
    )
}

impl Place {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_portway"), folder.path().join("haproxy"))
            .unwrap();
        let port = free_port();
        let place = Self { folder, port };
        place.write("a.cfg", text);
        place
    }

    fn write(&self, name: &str, text: &str) {
        let text = text.replace("PORT", &self.port.to_string());
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(self.path("haproxy"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        said(&self.command(line).output().unwrap())
    }

    fn spawn(&self, line: &str) -> Running {
        let errors = fs::File::create(self.path("errors")).unwrap();
        let child = self
            .command(line)
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        Running(child.unwrap())
    }

    /// What the frontend answers, once it does.
    fn body(&self) -> String {
        eventually("an answer", || get(self.port))
    }

    fn pid(&self, name: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.path(name)).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn gone(pid: Pid) -> Option<()> {
    test_kill_process(pid).is_err().then_some(())
}

/// Killed where a test forgets it.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn wait(&mut self) -> i32 {
        let status = eventually("its end", || self.0.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A daemon that ends with this.
struct Daemon(Pid);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn versions_and_features() {
    let place = Place::new("");
    let (code, out, _) = place.run("-v");
    assert_eq!(code, 0);
    assert!(out.starts_with("HAProxy version 2.6."), "{out}");
    let (_, out, _) = place.run("-vv");
    for beginning in [
        "  TARGET  = linux-glibc",
        "Feature list : ",
        "Available services : prometheus-exporter",
    ] {
        assert!(
            out.lines().any(|line| line.starts_with(beginning)),
            "{beginning}: {out}"
        );
    }
    let (code, out, _) = place.run("");
    assert_eq!(code, 1);
    assert!(out.contains("Usage : haproxy"), "{out}");
    let (code, _, errors) = place.run("-Z");
    assert_eq!(
        (code, errors.as_str()),
        (1, "haproxy: unknown option `-Z`\n")
    );
}

#[test]
fn conditions() {
    let place = Place::new("");
    for (condition, expected) in [
        ("version_atleast(2.4)", 0),
        ("version_atleast(3.0)", 1),
        ("feature(OPENSSL)", 0),
        ("feature(LUA)", 1),
        ("nonsense(1)", 2),
    ] {
        let output = place.command("-cc").arg(condition).output().unwrap();
        assert_eq!(said(&output).0, expected, "{condition}");
    }
}

/// HAProxy refuses a name that does not resolve, unless `init-addr` or `resolvers` let the server wait.
#[test]
fn names_of_servers_must_resolve() {
    let check = |options: &str, code: i32, said: &str| {
        let place = Place::new(&format!(
            "resolvers names\n  nameserver one 127.0.0.1:53\ndefaults\n  mode http\n  timeout client 1s\n  timeout connect 1s\n  \
             timeout server 1s\nlisten web\n  bind 127.0.0.1:PORT\n  server one no-such-host.invalid:80 {options}\n"
        ));
        let (found, _, errors) = place.run("-c -f a.cfg");
        assert_eq!(found, code, "{options}: {errors}");
        let says_nothing = !options.contains("init-addr");
        let waits = if says_nothing { 0 } else { code };
        assert_eq!(place.run("-c -dr -f a.cfg").0, waits, "{options}");
        let lines = errors.lines();
        let kind = lines
            .clone()
            .find(|line| line.contains("could not resolve address `no-such-host.invalid`"));
        let kind = kind.map_or("", |line| line.split(' ').next().unwrap());
        assert_eq!(kind, said, "{options}: {errors}");
    };
    check("", 1, "[ALERT]");
    check("init-addr libc", 1, "[ALERT]");
    check("init-addr libc,none", 0, "[WARNING]");
    check("init-addr last,libc,127.0.0.9", 0, "");
    // HAProxy asks the system at its start here too, and warns; Portway asks those of the section from the beginning.
    check("resolvers names", 0, "");
    check("disabled", 1, "[ALERT]");
    check("disabled init-addr none", 0, "");
}

#[test]
fn checks_speak_as_haproxy_does() {
    let place = Place::new(&answering("a"));
    assert_eq!(
        place.run("-c -f a.cfg"),
        (0, "Configuration file is valid\n".into(), String::new())
    );
    assert_eq!(
        place.run("-c -q -f a.cfg"),
        (0, String::new(), String::new())
    );
    let broken = "frontend web\n  mode http\n  bind 127.0.0.1:PORT\n  defautl_backend x\n";
    place.write("broken.cfg", broken);
    let (code, out, errors) = place.run("-c -f broken.cfg");
    assert_eq!((code, out.as_str()), (1, ""));
    let line = errors
        .lines()
        .find(|line| line.contains("parsing [broken.cfg:4]"))
        .unwrap();
    assert!(line.starts_with("[ALERT]    ("), "{line}");
    assert!(
        line.contains("unknown keyword 'defautl_backend' in 'frontend' section"),
        "{line}"
    );
    assert!(errors.contains("default_backend"), "{errors}");
    assert!(
        errors.contains("config : Error(s) found in configuration file : broken.cfg"),
        "{errors}"
    );
    assert!(
        errors.contains("config : Fatal errors found in configuration."),
        "{errors}"
    );
    assert_eq!(
        place.run("-c -q -f broken.cfg"),
        (1, String::new(), String::new())
    );
    let (code, _, errors) = place.run("-c -f none.cfg");
    assert_eq!(code, 1);
    assert!(
        errors.contains(
            "Cannot open configuration file/directory none.cfg : No such file or directory"
        ),
        "{errors}"
    );
    // A warning is one, unless they are errors.
    place.write(
        "warned.cfg",
        "frontend web\n  mode http\n  bind 127.0.0.1:PORT\n  http-request return status 200\n",
    );
    let (code, out, errors) = place.run("-c -f warned.cfg");
    assert_eq!(
        (code, out.as_str()),
        (0, "Warnings were found.\nConfiguration file is valid\n"),
        "{errors}"
    );
    assert!(errors.contains("[WARNING]  ("), "{errors}");
    assert_eq!(place.run("-c -dW -f warned.cfg").0, 1);
    // Everything that is wrong is said, and each once.
    place.write(
        "wrong.cfg",
        "global\n  user no-such-user\n  group no-such-group\ndefaults\n  mode http\n  timeout client 1s\n  timeout connect 1s\n  \
         timeout server 1s\nfrontend a :1\n  default_backend b\nfrontend a\n  bind :2\nbackend b\n  server s 127.0.0.1:1\n  \
         server s 127.0.0.1:2\nbackend b\nfrontend c d\n  default_backend b\n",
    );
    let (_, _, errors) = place.run("-c -f wrong.cfg");
    let said: Vec<&str> = errors
        .lines()
        .filter_map(|line| line.split_once("parsing [wrong.cfg:"))
        .filter(|(begin, _)| begin.starts_with("[ALERT]"))
        .map(|(_, rest)| rest)
        .collect();
    assert_eq!(
        said,
        [
            "2] : this machine has no user `no-such-user`",
            "3] : this machine has no group `no-such-group`",
            "11] : frontend `a` has the same name as frontend `a`",
            "15] : two servers are called `s`",
            "16] : backend `b` has the same name as backend `b`",
            "17] : `d` behind the name of a frontend is no address",
        ],
        "{errors}"
    );
    assert!(errors.contains("a line `bind :80`"), "{errors}");
    // A folder: its files that end in .cfg.
    fs::create_dir(place.path("folder")).unwrap();
    place.write(
        "folder/1.cfg",
        "defaults\n  mode http\n  timeout client 1s\n  timeout connect 1s\n  timeout server 1s\n",
    );
    place.write(
        "folder/2.cfg",
        "frontend web\n  bind 127.0.0.1:PORT\n  http-request return status 200\n",
    );
    place.write("folder/3.txt", "nonsense\n");
    assert_eq!(
        place.run("-c -f folder"),
        (0, "Configuration file is valid\n".into(), String::new())
    );
}

#[test]
fn more_connections_than_descriptors() {
    let place = Place::new(&format!("global\n  maxconn 2000\n{}", answering("a")));
    let limited = |line: &str| {
        let command = format!("ulimit -n 1024; exec ./haproxy {line}");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .current_dir(place.folder.path());
        shell
    };
    let output = limited("-f a.cfg").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // Who may raise every limit is given what is wanted.
    if output.status.code() != Some(1) {
        return;
    }
    assert!(
        errors
            .contains("Cannot raise FD limit to 4256, limit is 1024: 2000 clients alone need more"),
        "{errors}"
    );
    assert!(errors.contains("allow 384 connections at most"), "{errors}");
    assert!(!errors.contains("Some protocols failed"), "{errors}");
    let lenient = format!(
        "global\n  maxconn 2000\n  no strict-limits\n{}",
        answering("a")
    );
    place.write("lenient.cfg", &lenient);
    place.write(
        "few.cfg",
        &format!("global\n  maxconn 1000\n{}", answering("a")),
    );
    for (file, expected) in [
        ("lenient.cfg", "Cannot raise FD"),
        ("few.cfg", "FD limit (1024) too low"),
    ] {
        let errors = fs::File::create(place.path("limited")).unwrap();
        let mut running = limited(&format!("-f {file}"))
            .stderr(errors)
            .spawn()
            .unwrap();
        eventually("it serves", || get(place.port));
        eventually(expected, || {
            let errors = fs::read_to_string(place.path("limited")).unwrap();
            (errors.contains("[WARNING]") && errors.contains(expected)).then_some(())
        });
        running.kill().unwrap();
        running.wait().unwrap();
    }
}

#[test]
fn logs_name_sockets_and_what_failed_before_there_was_a_request() {
    let log = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    log.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = log.local_addr().unwrap();
    let place = Place::new(&format!(
        "global\n  log {to} local0\ndefaults\n  mode http\n  log global\n  option httplog\n  timeout client 5s\n  \
         timeout connect 5s\n  timeout server 5s\nfrontend web\n  bind 127.0.0.1:PORT accept-proxy\n  bind FOLDER/web.sock\n  \
         http-request return status 200 hdr X-Src \"[%[src]]\"\n"
    ));
    let text = fs::read_to_string(place.path("a.cfg")).unwrap();
    let folder = place.folder.path().display().to_string();
    place.write("a.cfg", &text.replace("FOLDER", &folder));
    let mut running = place.command("-f a.cfg").spawn().unwrap();
    let mut client = eventually("it listens", || {
        TcpStream::connect(("127.0.0.1", place.port)).ok()
    });
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // The process tells of its start too.
    let line = |part: &str| loop {
        let mut bytes = [0; 2048];
        let count = log.recv(&mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..count])
            .trim_end()
            .to_owned();
        if line.contains(part) {
            return line;
        }
    };
    let failed = line(" web/");
    let end = "] web/1: Received something which does not look like a PROXY protocol header";
    assert!(
        failed.contains("]: 127.0.0.1:") && failed.ends_with(end),
        "{failed}"
    );
    let mut client = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
    client.write_all(b"PROXY TCP4 1.2.3.4\r\n").unwrap();
    let failed = line(" web/");
    let end = "] web/1: Received an invalid PROXY protocol header";
    assert!(failed.ends_with(end), "{failed}");
    let mut client = UnixStream::connect(place.path("web.sock")).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.to_lowercase().contains("x-src: []"), "{answer}");
    let served = line(" web/");
    assert!(served.contains("]: unix:2 ["), "{served}");
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn in_the_background_and_taken_over() {
    let place = Place::new(&answering("first"));
    assert_eq!(
        place.run("-f a.cfg -D -p pid"),
        (0, String::new(), String::new())
    );
    let first = Daemon(place.pid("pid").unwrap());
    assert_eq!(place.body(), "first");
    // The address is taken: nothing changes.
    let (code, _, errors) = place.run("-f a.cfg -D -p pid2");
    assert_eq!(code, 1);
    assert!(errors.contains("[ALERT]"), "{errors}");
    assert!(place.pid("pid2").is_none());
    // A connection that is in progress goes on in the old process.
    let mut held = TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).unwrap();
    held.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    place.write("a.cfg", &answering("second"));
    let line = format!("-f a.cfg -D -p pid -sf {}", first.0.as_raw_nonzero());
    assert_eq!(place.run(&line), (0, String::new(), String::new()));
    let second = Daemon(place.pid("pid").unwrap());
    assert_ne!(first.0, second.0);
    eventually("the second", || {
        (get(place.port)? == "second").then_some(())
    });
    held.write_all(b"Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    held.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("first"), "{answer}");
    eventually("the end of the first", || gone(first.0));
    kill_process(second.0, Signal::TERM).unwrap();
    eventually("the end of the second", || gone(second.0));
    assert!(place.pid("pid").is_none());
}

#[test]
fn a_master_in_the_background_leaves_its_output_to_nobody() {
    let place = Place::new(&answering("first"));
    // It ends once nobody has the other end of its output any more, workers included.
    let (code, _, errors) = place.run("-f a.cfg -W -D -p pid");
    assert_eq!(code, 0, "{errors}");
    let master = Daemon(place.pid("pid").unwrap());
    assert_eq!(place.body(), "first");
    kill_process(master.0, Signal::TERM).unwrap();
    eventually("its end", || gone(master.0));
}

#[test]
fn a_control_socket_is_enough_to_serve() {
    let backend =
        "backend app\n  timeout connect 1s\n  timeout server 1s\n  server s 127.0.0.1:1\n";
    let place = Place::new("");
    let socket = place.path("sock").display().to_string();
    place.write(
        "a.cfg",
        &format!("global\n  stats socket {socket} level admin\n{backend}"),
    );
    assert_eq!(
        place.run("-c -f a.cfg"),
        (0, "Configuration file is valid\n".into(), String::new())
    );
    assert_eq!(
        place.run("-f a.cfg -D -p pid"),
        (0, String::new(), String::new())
    );
    let daemon = Daemon(place.pid("pid").unwrap());
    let mut socket = UnixStream::connect(place.path("sock")).unwrap();
    socket.write_all(b"show stat\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\napp,s,"), "{answer}");
    kill_process(daemon.0, Signal::TERM).unwrap();
    eventually("its end", || gone(daemon.0));
    place.write("a.cfg", backend);
    assert_eq!(place.run("-f a.cfg -D").0, 1);
    assert_eq!(place.run("-c -f a.cfg").0, 2);
}

/// No limit of the system, at which an allocation would end the process.
#[test]
fn memory_of_the_command_line_is_the_budget() {
    let place = Place::new("");
    let socket = place.path("admin.sock").display().to_string();
    place.write(
        "a.cfg",
        &format!("global\n  stats socket {socket}\n{}", answering("a")),
    );
    let mut running = place.spawn("-m 64 -f a.cfg");
    eventually("it serves", || get(place.port));
    let said = ask(&place.path("admin.sock"), "show info\n").unwrap();
    assert!(said.contains("\nMemmax_MB: 64\n"), "{said}");
    assert!(said.contains("\nMemmax_bytes: 67108864\n"), "{said}");
    running.signal(Signal::TERM);
    running.wait();
}

#[test]
fn a_master_reloads_and_tells_systemd() {
    let place = Place::new(&answering("first"));
    let notify = UnixDatagram::bind(place.path("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 100];
        let count = notify.recv(&mut text).unwrap();
        let said = String::from_utf8(text[..count].to_vec()).unwrap();
        // Behind it stands a line of status, or a moment.
        said.split_once('\n')
            .map_or(said.clone(), |(first, _)| first.to_owned())
    };
    let mut command = place.command("-Ws -f a.cfg -p pid");
    command.env("NOTIFY_SOCKET", place.path("notify"));
    let errors = fs::File::create(place.path("errors")).unwrap();
    let mut master = Running(command.stderr(errors).spawn().unwrap());
    assert_eq!(told(), "READY=1");
    assert_eq!(place.body(), "first");
    assert_eq!(place.pid("pid"), Some(Pid::from_child(&master.0)));
    // A reload that fails changes nothing.
    place.write("a.cfg", "nonsense\n");
    master.signal(Signal::USR2);
    assert_eq!((told(), told()), ("RELOADING=1".into(), "READY=1".into()));
    assert_eq!(place.body(), "first");
    place.write("a.cfg", &answering("second"));
    master.signal(Signal::USR2);
    assert_eq!((told(), told()), ("RELOADING=1".into(), "READY=1".into()));
    eventually("the second", || {
        (get(place.port)? == "second").then_some(())
    });
    master.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(master.wait(), 0);
    assert!(get(place.port).is_none());
    let errors = fs::read_to_string(place.path("errors")).unwrap();
    assert!(errors.contains("Failed to load worker"), "{errors}");
}

#[test]
fn the_end_of_a_worker_is_the_end_of_its_master() {
    let place = Place::new(&answering("first"));
    let mut master = place.spawn("-W -f a.cfg");
    assert_eq!(place.body(), "first");
    let worker = eventually("the master names its worker", || {
        let errors = fs::read_to_string(place.path("errors")).unwrap();
        let (_, rest) = errors.split_once("New worker (")?;
        Some(rest.split_once(')')?.0.to_owned())
    });
    kill_process(
        Pid::from_raw(worker.parse().unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    assert_eq!(master.wait(), 137);
}

#[test]
fn an_interrupted_master_ends_as_a_shell_says_it() {
    let place = Place::new(&answering("first"));
    let mut master = place.spawn("-W -f a.cfg");
    assert_eq!(place.body(), "first");
    master.signal(Signal::INT);
    assert_eq!(master.wait(), 130);
}

#[test]
fn the_end_of_a_master_is_the_end_of_its_workers() {
    let place = Place::new(&answering("first"));
    let master = place.spawn("-W -f a.cfg");
    assert_eq!(place.body(), "first");
    master.signal(Signal::KILL);
    eventually("the end of the worker", || {
        get(place.port).is_none().then_some(())
    });
}

#[test]
fn another_user_and_root() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let text = format!(
        "global\n  user nobody\n  group nogroup\n  chroot FOLDER\n{}",
        answering("free")
    );
    let place = Place::new("");
    place.write(
        "a.cfg",
        &text.replace("FOLDER", &place.folder.path().display().to_string()),
    );
    let running = place.spawn("-db -f a.cfg");
    assert_eq!(place.body(), "free");
    let status = fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let uid = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    assert_eq!(uid.split_whitespace().nth(1), Some("65534"), "{uid}");
    let root = fs::read_link(format!("/proc/{}/root", running.0.id())).unwrap();
    assert_eq!(root, place.folder.path().canonicalize().unwrap());
    place.write(
        "b.cfg",
        &format!("global\n  user no-such-user\n{}", answering("x")),
    );
    let (code, _, errors) = place.run("-c -f b.cfg");
    assert_eq!(code, 1);
    assert!(errors.contains("no-such-user"), "{errors}");
}

#[test]
fn frontends_share_an_address() {
    let place = Place::new(&answering("one"));
    let text = fs::read_to_string(place.path("a.cfg")).unwrap();
    place.write(
        "a.cfg",
        &format!(
            "{text}{}",
            text.replace("frontend web", "frontend other")
                .replace("one", "two")
        ),
    );
    let _running = place.spawn("-db -f a.cfg");
    let mut seen = std::collections::BTreeSet::new();
    eventually("answers of both", || {
        seen.insert(place.body());
        (seen.len() == 2).then_some(())
    });
}

/// There is no /proc in another root that says which sockets are to be handed over.
#[test]
fn sockets_are_handed_over_out_of_another_root() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change its root");
        return;
    }
    let place = Place::new("");
    let jail = place.path("jail");
    fs::create_dir(&jail).unwrap();
    let text = |body: &str| {
        format!(
            "global\n  chroot {}\n  stats socket {} level admin expose-fd listeners\n{}",
            jail.display(),
            place.path("sock").display(),
            answering(body)
        )
    };
    place.write("a.cfg", &text("first"));
    assert_eq!(place.run("-D -f a.cfg -p pid").0, 0);
    let mut daemon = Daemon(place.pid("pid").unwrap());
    for body in ["second", "third"] {
        place.write("a.cfg", &text(body));
        let old = daemon.0.as_raw_nonzero();
        let (code, _, errors) = place.run(&format!("-D -f a.cfg -p pid -x sock -sf {old}"));
        assert_eq!(code, 0, "{errors}");
        eventually("its end", || gone(daemon.0));
        daemon = Daemon(place.pid("pid").unwrap());
        assert_eq!(place.body(), body);
    }
    kill_process(daemon.0, Signal::TERM).unwrap();
    eventually("its end", || gone(daemon.0));
}

#[test]
fn the_service_script() {
    let place = Place::new(&answering("first"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/init.d/haproxy");
    let service = |command: &str| {
        let output = Command::new("sh")
            .arg(&script)
            .arg(command)
            .env("HAPROXY", place.path("haproxy"))
            .env("CONFIG", place.path("a.cfg"))
            .env("PIDFILE", place.path("pid"))
            .output();
        let (code, out, errors) = said(&output.unwrap());
        (code, out + &errors)
    };
    assert_eq!(service("status"), (3, "haproxy: is not running\n".into()));
    assert_eq!(service("start").0, 0);
    let daemon = Daemon(place.pid("pid").unwrap());
    assert_eq!(service("status").0, 0);
    assert_eq!(place.body(), "first");
    place.write("a.cfg", "nonsense\n");
    let (code, text) = service("reload");
    assert!(code == 1 && text.contains("nothing was changed"), "{text}");
    assert_eq!(place.body(), "first");
    place.write("a.cfg", &answering("second"));
    assert_eq!(service("reload").0, 0);
    eventually("the second", || {
        (get(place.port)? == "second").then_some(())
    });
    eventually("the end of the first", || gone(daemon.0));
    place.write("a.cfg", &answering("third"));
    assert_eq!(service("restart").0, 0);
    let daemon = Daemon(place.pid("pid").unwrap());
    assert_eq!(place.body(), "third");
    assert_eq!(service("stop"), (0, "haproxy: stopped\n".into()));
    assert!(gone(daemon.0).is_some());
    assert_eq!(service("status").0, 3);
}

/// What a control socket answers.
fn ask(socket: &Path, commands: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(commands.as_bytes()).ok()?;
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn a_master_answers_commands_and_passes_them_on() {
    let configuration = format!("global\n  mworker-max-reloads 0\n{}", answering("first"));
    let place = Place::new(&configuration);
    let socket = place.path("m.sock");
    let mut master = place.spawn("-W -S unix@m.sock,mode,600 -f a.cfg");
    assert_eq!(place.body(), "first");
    let ask = |commands: &str| ask(&socket, commands).unwrap();
    let worker_of = |text: &str| {
        let line = text.lines().find(|it| it.contains(" worker ")).unwrap();
        line.split(' ').next().unwrap().to_owned()
    };
    let listed = ask("show proc\n");
    assert!(
        listed.contains(" master          0 [failed: 0]   0d00h"),
        "{listed}"
    );
    let worker = worker_of(&listed);
    assert!(ask("@1 show info\n").contains(&format!("\nPid: {worker}\n")));
    let both = ask(&format!("@!{worker} show version; show version\n"));
    assert_eq!(both.lines().filter(|it| it.contains("-portway")).count(), 2);
    let talk = ask("prompt\n@1\nshow cli level\n@master\nuser\nreload\n@1 show env\nquit\n");
    let expected = format!(
        "master> {worker}> admin\n\n{worker}> master> \nmaster> Permission denied\n\nmaster> Permission denied\n\nmaster> "
    );
    assert_eq!(talk, expected);
    let lost = "Can't find the target PID matching the prefix '@2'\n";
    assert_eq!(ask("@2 show info\n"), lost);
    assert!(ask("shaw\n").starts_with("Unknown command"));
    // A reload in place of a signal: one that fails, and one that does not.
    place.write("a.cfg", "nonsense\n");
    assert_eq!(ask("reload\n"), "");
    assert!(ask("show proc\n").contains(" 0 [failed: 1] "));
    place.write("a.cfg", &answering("second"));
    assert_eq!(ask("reload\n"), "");
    let listed = ask("show proc\n");
    assert!(listed.contains(" 1 [failed: 0] "), "{listed}");
    assert_ne!(worker_of(&listed), worker);
    eventually("the second", || {
        (get(place.port)? == "second").then_some(())
    });
    // The first may outlive no reload.
    eventually("the end of the first", || {
        gone(Pid::from_raw(worker.parse().unwrap()).unwrap())
    });
    master.signal(Signal::TERM);
    assert_eq!(master.wait(), 0);
    assert!(!socket.exists());
}

/// Answers over an abstract socket, which one process alone can bind.
fn behind_an_abstract_socket(place: &Place, text: &str, exposes: &str) -> String {
    let name = format!("portway-test-{}", place.port);
    format!(
        "global\n  stats socket unix@a.sock level admin {exposes}\n\
         defaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\n\
         listen outer\n  bind 127.0.0.1:PORT\n  server inner abns@{name} send-proxy-v2\n\
         frontend inner\n  bind abns@{name} accept-proxy\n  bind unix@b.sock\n\
         \x20 http-request return status 200 content-type text/plain string \"{text}\"\n"
    )
}

#[test]
fn sockets_are_taken_over_from_the_process_before() {
    let place = Place::new("");
    let configuration = |text: &str| behind_an_abstract_socket(&place, text, "");
    place.write("a.cfg", &configuration("first"));
    let mut master = place.spawn("-W -f a.cfg");
    assert_eq!(place.body(), "first");
    for text in ["second", "third"] {
        place.write("a.cfg", &configuration(text));
        master.signal(Signal::USR2);
        eventually(text, || (get(place.port)? == text).then_some(()));
    }
    assert!(UnixStream::connect(place.path("b.sock")).is_ok());
    master.signal(Signal::TERM);
    assert_eq!(master.wait(), 0);
    let errors = fs::read_to_string(place.path("errors")).unwrap();
    assert!(!errors.contains("ALERT"), "{errors}");

    // Without a master: over the stats socket of the old process, where that allows it.
    let place = Place::new("");
    let configuration = |text, exposes| behind_an_abstract_socket(&place, text, exposes);
    place.write("a.cfg", &configuration("first", ""));
    let mut first = place.spawn("-f a.cfg");
    assert_eq!(place.body(), "first");
    let next = format!("-f a.cfg -x a.sock -sf {}", first.0.id());
    let (code, _, errors) = place.run(&next);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("Failed to get the sockets"), "{errors}");
    first.signal(Signal::TERM);
    first.wait();
    place.write("a.cfg", &configuration("first", "expose-fd listeners"));
    let mut first = place.spawn("-f a.cfg");
    assert_eq!(place.body(), "first");
    place.write("a.cfg", &configuration("second", "expose-fd listeners"));
    let next = format!("-f a.cfg -x a.sock -sf {}", first.0.id());
    let mut second = place.spawn(&next);
    assert_eq!(first.wait(), 0);
    assert_eq!(place.body(), "second");
    assert!(UnixStream::connect(place.path("b.sock")).is_ok());
    second.signal(Signal::TERM);
    second.wait();
}

#[test]
fn sessions_are_listed_and_cut_off() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = Place::new(&format!(
        "global\n  stats socket unix@a.sock level admin\n\
         defaults\n  mode http\n  timeout client 60s\n  timeout connect 5s\n  timeout server 60s\n\
         frontend web\n  bind 127.0.0.1:PORT\n  default_backend app\n\
         backend app\n  server s1 {}\n",
        server.local_addr().unwrap()
    ));
    let mut running = place.spawn("-f a.cfg");
    let socket = place.path("a.sock");
    let alone = eventually("a session", || ask(&socket, "show sess\n"));
    assert!(
        alone.starts_with("0x0: proto=unix_stream src=unix:1 fe=GLOBAL "),
        "{alone}"
    );
    let mut client = eventually("a connection", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).ok()
    });
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let (_held, _) = server.accept().unwrap();
    let line = eventually("the session", || {
        let listed = ask(&socket, "show sess\n")?;
        listed
            .lines()
            .find(|it| it.contains("srv=s1"))
            .map(str::to_owned)
    });
    let from = client.local_addr().unwrap();
    let expected = format!(": proto=tcpv4 src={from} fe=web be=app srv=s1 age=");
    assert!(line.contains(&expected), "{line}");
    let id = line.split(':').next().unwrap();
    let details = ask(&socket, &format!("show sess {id}\n")).unwrap();
    assert!(
        details.contains(&format!("source={from}\n  frontend=web (id=2 mode=http)")),
        "{details}"
    );
    assert_eq!(
        ask(&socket, "show sess 0x1\n").unwrap(),
        "Session not found.\n\n"
    );
    let gone = "No such session (use 'show sess').\n\n";
    assert_eq!(ask(&socket, "shutdown session 0x1\n").unwrap(), gone);
    assert_eq!(
        ask(&socket, &format!("shutdown session {id}\n")).unwrap(),
        "\n"
    );
    let mut answer = Vec::new();
    // Closed or reset, and not answered.
    let _ = client.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    let listening = ask(&socket, "show fd\n").unwrap();
    let port = format!("socket listens on 127.0.0.1:{}", place.port);
    assert!(listening.contains(&port), "{listening}");
    let set = ask(&socket, "set profiling tasks on; show profiling\n").unwrap();
    assert!(
        set.contains("Per-task CPU profiling              : on"),
        "{set}"
    );
    running.signal(Signal::TERM);
    running.wait();
}
