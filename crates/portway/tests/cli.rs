//! The built binary as its users meet it: output, exit codes, signals, the demo.
#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// For anything that should take milliseconds, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(30);

const GOOD: &str = "[listener.web]\nbind = '127.0.0.1:PORT'\nforward = 'app'\n\n\
    [target_group.app]\ntargets = ['127.0.0.1:1']\n";

fn portway(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portway"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The first of `count` ports in a row that were free a moment ago, below the range from which the system chooses.
fn free_ports(count: u16) -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let seed = std::process::id().wrapping_mul(7);
    let calls = std::iter::repeat_with(|| CALLS.fetch_add(1, Ordering::Relaxed));
    calls
        .map(|call| seed.wrapping_add(call.wrapping_mul(97)) % 20_000)
        .filter_map(|offset| u16::try_from(10_000 + offset).ok())
        .take(2_000)
        .find(|base| (0..count).all(|i| TcpListener::bind((Ipv4Addr::LOCALHOST, base + i)).is_ok()))
        .unwrap()
}

/// A running Portway; killed where a test forgets it.
struct Running {
    child: Child,
}

impl Running {
    /// Starts it and waits until it has printed `ready` on standard output.
    fn start(folder: &Path, arguments: &[&str], ready: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portway"))
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut running = Self { child };
        for line in lines {
            if line.unwrap().contains(ready) {
                return running;
            }
        }
        running.wait();
        let mut errors = String::new();
        let mut stderr = running.child.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        panic!("{arguments:?} ended before `{ready}`: {errors}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Status line and body of a GET over a connection of its own.
fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_and_version() {
    let here = Path::new(".");
    let version = portway(here, &["--version"]);
    assert_eq!(
        text(&version.stdout),
        format!("portway {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = text(&portway(here, &["help"]).stdout);
    for command in ["demo", "run", "check", "convert", "status", "cert"] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} in\n{help}"
        );
    }
    let unknown = portway(here, &["chekc"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("'check'"), "{unknown:?}");
}

#[test]
fn check_says_what_is_wrong() {
    let folder = folder(&[
        ("good.toml", GOOD.replace("PORT", "8080").as_str()),
        ("bad.toml", "[listener.web]\nbnid = ':80'\n"),
        ("compose.yaml", "services:\n  app: {}\n"),
        ("broken.cfg", "global\n    daemno\n"),
        ("latin.toml", ""),
        ("empty.cfg", ""),
    ]);
    fs::write(folder.path().join("latin.toml"), b"# \xe9\n").unwrap();
    let check = |file: &str, code: i32, expected: &[&str]| {
        let output = portway(folder.path(), &["check", file]);
        let printed = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{file}: {printed}");
        for part in expected {
            assert!(printed.contains(part), "{file}: {part} in\n{printed}");
        }
    };
    check(
        "good.toml",
        0,
        &["1 listener, 1 target group, 1 target: good (nothing found)"],
    );
    check(
        "bad.toml",
        1,
        &[
            "error[P0101]",
            "--> bad.toml:2:1",
            "did you mean `bind`?",
            "cannot run",
        ],
    );
    check(
        "none.toml",
        1,
        &["error[P0002]: cannot read `none.toml`: it does not exist"],
    );
    check("latin.toml", 1, &["byte 2 (on line 1) is not valid UTF-8"]);
    check(
        ".",
        1,
        &["unknown keyword 'daemno'", "-->", "broken.cfg:2:5"],
    );
    fs::create_dir(folder.path().join("none")).unwrap();
    check(
        "none",
        1,
        &["`none` is a folder, and no file in it ends in `.cfg`"],
    );
    check(
        "empty.cfg",
        1,
        &[
            "nothing to serve: no listener",
            "`bind :8080`, `default_backend app`",
        ],
    );
    check("compose.yaml", 1, &["nothing to serve: no listener"]);
    check(
        "broken.cfg",
        1,
        &[
            "error[P0101]: unknown keyword 'daemno' in 'global' section",
            "broken.cfg:2:5",
            "did you mean `daemon`?",
        ],
    );
}

#[test]
fn check_refuses_what_run_refuses() {
    let good = GOOD.replace("PORT", "8080");
    let not_run = format!("{good}[userlist.u]\nusers = {{ a = '$y$j9T$abc$def' }}\n");
    let no_folder = good.replace("\n\n", "\naccess_log = { to = 'file:none/a.log' }\n\n");
    let folder = folder(&[
        ("empty.toml", ""),
        (
            "fragment.toml",
            "[target_group.app]\ntargets = ['127.0.0.1:1']\n",
        ),
        ("empty.json", "{\"Resources\": {}}"),
        ("not_run.toml", &not_run),
        ("no_folder.toml", &no_folder),
    ]);
    let check = |file: &str, converts: bool, expected: &[&str]| {
        for command in ["check", "run"] {
            let output = portway(folder.path(), &[command, file]);
            let printed = text(&output.stderr) + &text(&output.stdout);
            assert_eq!(output.status.code(), Some(1), "{command} {file}: {printed}");
            for part in expected {
                assert!(
                    printed.contains(part),
                    "{command} {file}: {part} in\n{printed}"
                );
            }
            let verdict = printed.contains("cannot run (1 error");
            assert_eq!(verdict, command == "check", "{command} {file}: {printed}");
        }
        let converted = portway(folder.path(), &["convert", file]);
        assert_eq!(
            converted.status.success(),
            converts,
            "{file}: {converted:?}"
        );
    };
    let nothing = "error[P0104]: nothing to serve: no listener";
    check("empty.toml", true, &[nothing, "`[listener.web]`"]);
    check("fragment.toml", true, &[nothing]);
    check("empty.json", true, &[nothing, "a template serves with"]);
    let hash = "error[P0901]: the password hash of user `a` is of a kind that is not run";
    check("not_run.toml", true, &[hash]);
    let missing = "cannot write the access log `none/a.log`: its folder does not exist";
    check("no_folder.toml", true, &["listener `web`: ", missing]);
}

#[test]
fn many_findings_are_cut_and_it_is_said() {
    let lines: String = (0..1_100).map(|i| format!("x{i} = 1\n")).collect();
    let many = GOOD
        .replace("PORT", "8080")
        .replace("\n\n", &format!("\n{lines}\n"));
    let folder = folder(&[("many.toml", &many)]);
    let output = portway(folder.path(), &["check", "many.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let (verdict, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(
        verdict.contains("cannot run (1000 errors, there may be more)"),
        "{verdict}"
    );
    assert!(errors.contains("the first 1000 findings; there may be more"));
}

#[test]
fn check_for_editors_and_programs() {
    let folder = folder(&[("bad.toml", "[listener.web]\nbnid = ':80'\n")]);
    let short = portway(folder.path(), &["check", "--short", "bad.toml"]);
    assert_eq!(
        text(&short.stdout),
        "bad.toml:2:1: error[P0101]: unknown key `bnid`\n"
    );
    let json = portway(folder.path(), &["check", "--json", "bad.toml"]);
    assert_eq!(json.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let place = &report["diagnostics"][0]["labels"][0];
    assert_eq!(
        (&place["file"], &place["line"]),
        (&"bad.toml".into(), &2.into())
    );
    assert_eq!(
        (&place["column"], &place["end_column"]),
        (&1.into(), &5.into())
    );
}

#[test]
fn files_are_looked_for_beside_other_mistakes() {
    let toml = "[listener.web]\nbind = '127.0.0.1:8443'\ncertificate_files = 'site.pem'\nforward = 'ap'\n\
        error_pages = { 503 = 'sorry.html' }\n\
        [listener.web.tls]\npolicy = 'moden'\nclient_auth = 'required'\nclient_ca = 'ca.pem'\n\
        [[listener.web.rule]]\nwhen = 'Hots(`a`) || Pth(`/b`)'\n\
        actions = [\n{ limit_rate = { name = 'a', average = 0 } },\n{ respond = { status = 404, file = 'no.html' } },\n]\n\
        [target_group.app]\ntargets = ['127.0.0.1:1']\ntls = { verify = { ca = 'up.pem' } }\nprotocol = 'https'\n";
    let folder = folder(&[("web.toml", toml)]);
    let found = portway(folder.path(), &["check", "--short", "web.toml"]);
    let found = text(&found.stdout);
    let found: Vec<&str> = found
        .lines()
        .filter_map(|line| line.strip_prefix("web.toml:"))
        .collect();
    assert_eq!(
        found,
        [
            "3:21: error[P0002]: cannot read `site.pem`: it does not exist",
            "4:11: error[P0201]: there is no target group `ap`",
            "5:17: error[P0002]: cannot read `sorry.html`: it does not exist",
            "7:10: error[P0101]: listener `web`: there is no TLS policy `moden`; did you mean `modern`?",
            "9:13: error[P0002]: cannot read `ca.pem`: it does not exist",
            "11:9: error[P0101]: unknown condition `Hots`",
            "11:22: error[P0101]: unknown condition `Pth`",
            "13:3: error[P0103]: 0 is out of range for `average`",
            "14:3: error[P0002]: cannot read `no.html`: it does not exist",
            "18:18: error[P0002]: cannot read `up.pem`: it does not exist",
        ]
    );
}

#[test]
fn check_looks_at_certificates() {
    let toml = "[listener.web]\nbind = '127.0.0.1:8443'\ncertificates = ['site']\nforward = 'app'\n\n\
        [certificate.site]\nfile = 'site.crt'\nkey = 'site.key'\n\n\
        [target_group.app]\ntargets = ['127.0.0.1:1']\n";
    let folder = folder(&[("web.toml", toml)]);
    let missing = portway(folder.path(), &["check", "--short", "web.toml"]);
    let line = text(&missing.stdout);
    assert_eq!(
        line,
        "web.toml:7:8: error[P0002]: cannot read `site.crt`: it does not exist\n\
         web.toml:8:7: error[P0002]: cannot read `site.key`: it does not exist\n"
    );

    let make = [
        "cert",
        "self-signed",
        "a.example",
        "--out-cert",
        "site.crt",
        "--out-key",
        "site.key",
    ];
    assert!(portway(folder.path(), &make).status.success());
    let found = portway(folder.path(), &["check", "--short", "web.toml"]);
    assert_eq!(
        (found.status.code(), text(&found.stdout)),
        (Some(0), String::new())
    );
    // A key is never overwritten.
    assert_eq!(portway(folder.path(), &make).status.code(), Some(1));
    let inspected =
        text(&portway(folder.path(), &["cert", "inspect", "site.crt", "site.key"]).stdout);
    for part in [
        "a.example",
        "self-signed",
        "ECDSA P-256",
        " days left)",
        "the key belongs to",
    ] {
        assert!(inspected.contains(part), "{part} in\n{inspected}");
    }

    fs::write(folder.path().join("site.key"), "nothing\n").unwrap();
    let broken = text(&portway(folder.path(), &["check", "--short", "web.toml"]).stdout);
    assert!(
        broken.contains("error[P0301]: certificate `site` cannot be used: "),
        "{broken}"
    );
}

#[test]
fn convert_gives_the_same_configuration() {
    let folder = folder(&[("web.toml", GOOD.replace("PORT", "8080").as_str())]);
    let toml = text(&portway(folder.path(), &["convert", "web.toml"]).stdout);
    fs::write(folder.path().join("again.toml"), &toml).unwrap();
    let again = text(&portway(folder.path(), &["convert", "again.toml"]).stdout);
    assert_eq!(toml, again);
    let json = portway(folder.path(), &["convert", "--to", "json", "web.toml"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["listener"]["web"]["bind"], "127.0.0.1:8080");
}

#[test]
fn the_demo_serves_and_ends() {
    let base = free_ports(3);
    let port = base.to_string();
    let here = Path::new(".");
    let mut demo = Running::start(here, &["demo", "--port-base", &port], "Ctrl-C ends it");

    let mut served: Vec<String> = Vec::new();
    for _ in 0..2 {
        let (status, body) = get(base, "/hello?x=1");
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(
            body.contains("GET /hello?x=1\n") && body.contains("x-forwarded-for: 127.0.0.1\n"),
            "{body}"
        );
        served.extend(body.lines().next().map(str::to_owned));
    }
    served.sort();
    assert_eq!(served, ["target-1", "target-2"]);

    assert_eq!(
        get(base + 2, "/readyz"),
        ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned())
    );
    assert!(get(base + 2, "/metrics").1.contains("\nportway_workers "));
    assert!(get(base + 2, "/").1.contains("target-2"));
    let admin = format!("127.0.0.1:{}", base + 2);
    let status = text(&portway(here, &["status", "--admin", &admin]).stdout);
    for part in ["http ", "https", "target-1", "target-2"] {
        assert!(status.contains(part), "{part} in\n{status}");
    }
    let json = portway(here, &["status", "--json", "--admin", &admin]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["listeners"][0]["requests"], 2);

    let second = portway(here, &["demo", "--port-base", &port]);
    assert_eq!(second.status.code(), Some(1));
    let errors = text(&second.stderr);
    let taken = format!("127.0.0.1:{base}: another program is listening there: portway (process ");
    assert!(
        errors.contains(&taken) && errors.contains("--port-base N"),
        "{errors}"
    );

    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().code(), Some(0));
    let gone = portway(here, &["status", "--admin", &admin]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        text(&gone.stderr).contains("is Portway running?"),
        "{gone:?}"
    );
}

#[test]
fn run_serves_whole_configurations_only() {
    let base = free_ports(3);
    let admin = format!("127.0.0.1:{}", base + 2);
    let web = GOOD.replace("PORT", &base.to_string()) + "\n[process]\nworkers = 1\n";
    let folder = folder(&[("web.toml", &web), ("bad.toml", "[listener.web]\n")]);
    let run = ["run", "web.toml", "--admin", &admin];
    let mut running = Running::start(folder.path(), &run, "admin: http://");
    // Nothing listens on the target's port.
    let (status, _) = get(base, "/");
    assert!(status.starts_with("HTTP/1.1 50"), "{status}");
    running.signal(Signal::INT);
    assert_eq!(running.wait().code(), Some(0));

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, base)).unwrap();
    let refused = portway(folder.path(), &run);
    assert_eq!(refused.status.code(), Some(1));
    let errors = text(&refused.stderr);
    assert!(
        errors.contains("error[P0902]: listener `web` cannot listen on"),
        "{errors}"
    );
    assert!(errors.contains("--> web.toml:2:8"), "{errors}");
    fs::write(folder.path().join("web.toml"), web + "master = true\n").unwrap();
    let errors = text(&portway(folder.path(), &run).stderr);
    let starts_none = "warning[P0901]: `portway run` starts no master";
    assert!(errors.contains(starts_none), "{errors}");
    drop(taken);

    let broken = portway(
        folder.path(),
        &["run", "web.toml", "bad.toml", "--admin", &admin],
    );
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("error[P0106]"), "{broken:?}");
}

#[test]
fn signals_that_open_the_files_of_logs_again() {
    let base = free_ports(3);
    let admin = format!("127.0.0.1:{}", base + 2);
    let web = GOOD
        .replace("PORT", &base.to_string())
        .replace("\n\n", "\naccess_log = { to = 'file:access.log' }\n\n");
    let folder = folder(&[("web.toml", &web)]);
    let run = ["run", "web.toml", "--admin", &admin, "--workers", "1"];
    let mut running = Running::start(folder.path(), &run, "admin: http://");
    let log = folder.path().join("access.log");
    let has = |file: &Path, part: &str| {
        let begun = Instant::now();
        while !fs::read_to_string(file).unwrap_or_default().contains(part) {
            assert!(begun.elapsed() < PATIENCE, "{file:?} has no {part}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let created = || {
        let begun = Instant::now();
        while !log.exists() {
            assert!(begun.elapsed() < PATIENCE, "{log:?} is not opened again");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    get(base, "/first");
    has(&log, "/first");
    for (signal, number) in [(Signal::USR1, 1), (Signal::HUP, 2)] {
        let moved = folder.path().join(format!("access.log.{number}"));
        fs::rename(&log, &moved).unwrap();
        get(base, &format!("/old-{number}"));
        has(&moved, &format!("/old-{number}"));
        running.signal(signal);
        created();
        get(base, &format!("/new-{number}"));
        has(&log, &format!("/new-{number}"));
    }
    running.signal(Signal::QUIT);
    assert_eq!(running.wait().code(), Some(0));
    let mut process_log = String::new();
    let mut stderr = running.child.stderr.take().unwrap();
    stderr.read_to_string(&mut process_log).unwrap();
    let lines = process_log.lines().filter(|line| line.contains("SIGHUP"));
    let lines: Vec<&str> = lines.collect();
    let reloaded = "configuration 2 is at work, 0 changes";
    assert!(
        lines.len() == 1 && lines[0].contains("INFO") && lines[0].contains(reloaded),
        "{process_log}"
    );
    assert!(process_log.contains("stopping (SIGQUIT)"), "{process_log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let base = free_ports(3);
    let admin = format!("127.0.0.1:{}", base + 2);
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = target.local_addr().unwrap().to_string();
    let web = GOOD
        .replace("PORT", &base.to_string())
        .replace("127.0.0.1:1'", &format!("{address}'"));
    let folder = folder(&[("web.toml", &web)]);
    let run = ["run", "web.toml", "--admin", &admin, "--workers", "1"];
    let mut running = Running::start(folder.path(), &run, "admin: http://");
    // A request whose target never answers keeps the graceful stop waiting.
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, base)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let (_connection, _) = target.accept().unwrap();
    running.signal(Signal::TERM);
    let begun = Instant::now();
    while get(base + 2, "/readyz").0 != "HTTP/1.1 503 Service Unavailable" {
        assert!(begun.elapsed() < PATIENCE);
    }
    // The same wish again, then an impatient one.
    running.signal(Signal::TERM);
    let status = loop {
        if let Some(status) = running.child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(100));
        // It may end in this moment.
        let _ = kill_process(Pid::from_child(&running.child), Signal::TERM);
    };
    assert_eq!(status.code(), Some(1));
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "it waited for its deadline"
    );
}
