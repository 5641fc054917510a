//! `portway status --watch`: rates and health as they are, also while nobody answers, and a terminal that is left as it was.

use std::fs;

use serde_json::Value;

use crate::echo::Echo;
use crate::support::{PORTWAY, Process, Scene, eventually, free_port, local};

/// Every whole line of JSON that was printed.
fn lines(process: &Process) -> Vec<Value> {
    let log = process.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|it| serde_json::from_str(it).unwrap_or_else(|error| panic!("{error}: {it}")))
        .collect()
}

#[test]
fn it_shows_what_happens_and_waits_for_who_does_not_answer() {
    let scene = Scene::new();
    let (port, dead, admin) = (free_port(), free_port(), free_port());
    let up = Echo::start("up").port;
    scene.file(
        "web.toml",
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n[target_group.app]\n\
             targets = ['127.0.0.1:{up}', '127.0.0.1:{dead}']\n\
             health_check = {{ http = '/', interval = '200ms', timeout = '5s', unhealthy_threshold = 1 }}\n"
        ),
    );
    let admin = format!("127.0.0.1:{admin}");
    let start = || scene.serve(port, PORTWAY, &["run", "web.toml", "--admin", &admin]);
    let portway = start();
    let watch = [
        "status",
        "--watch",
        "--admin",
        &admin,
        "--interval",
        "100ms",
    ];
    let watching = scene.spawn(PORTWAY, &[&watch[..], &["--json"]].concat());
    let seen = |what: &str, found: &dyn Fn(&Value) -> bool| {
        eventually(what, || {
            lines(&watching).into_iter().rev().find(|it| found(it))
        })
    };
    seen("a first look", &|it| it["answers"] == true);
    let url = format!("http://127.0.0.1:{port}/");
    for _ in 0..20 {
        assert_eq!(scene.status(&[&url]), "200");
    }
    let busy = seen("requests", &|it| {
        it["listeners"][0]["requests"].as_f64() > Some(0.5)
    });
    let listener = &busy["listeners"][0];
    assert_eq!(listener["name"], "web");
    assert!(listener["p50"].as_f64() > Some(0.0), "{busy:#}");
    seen("an unhealthy target", &|it| {
        let target = &it["status"]["target_groups"][0]["targets"][1];
        target["health"] == "unhealthy" && target["reason"].as_str().unwrap().contains("refused")
    });
    drop(portway);
    let silent = seen("silence", &|it| it["answers"] == false);
    assert!(
        silent["error"].as_str().unwrap().contains(&admin),
        "{silent}"
    );
    let before = lines(&watching).len();
    let _again = start();
    eventually("an answer again", || {
        lines(&watching)
            .into_iter()
            .skip(before)
            .find(|it| it["answers"] == true)
    });
    // A block for people, as many as are wanted.
    let block = scene
        .run(PORTWAY, &[&watch[..], &["--count", "2"]].concat())
        .good();
    assert_eq!(block.matches("Portway ").count(), 2, "{block}");
    assert!(
        block.contains("LISTENER") && block.contains(&format!("app/127.0.0.1:{dead}")),
        "{block}"
    );
    let nobody = free_port();
    let nobody = format!("127.0.0.1:{nobody}");
    let none = [
        "status",
        "--watch",
        "--admin",
        &nobody,
        "--interval",
        "50ms",
        "--count",
        "2",
    ];
    assert!(!scene.run(PORTWAY, &none).status.success());
}

/// Runs a command in a terminal of 60 columns, does something after its second picture, and says how it has left.
const TERMINAL: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
how, command = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 14, 60, 0, 0))
before = termios.tcgetattr(terminal)
out, done, begun = b"", False, time.time()
while time.time() - begun < 60:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    if not done and out.count(b"\x1b[H") > 2 and b"requests/s" in out:
        done = True
        if how == "signal":
            os.kill(child, signal.SIGTERM)
        else:
            os.write(terminal, b"q" if how == "q" else b"\x03")
if not done:
    os.kill(child, signal.SIGKILL)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, (status, out)
assert out.startswith(b"\x1b[?1049h\x1b[?25l") and out.endswith(b"\x1b[?25h\x1b[?1049l"), out
picture = out.split(b"\x1b[H")[-1].replace(b"\x1b[?25h\x1b[?1049l", b"")
assert b"Portway" in picture and len(picture.split(b"\r\n")) <= 14, picture
try:
    after = termios.tcgetattr(terminal)
    assert after == before, (before, after)
except termios.error:
    pass
print("left as it was")
"#;

#[test]
fn a_terminal_is_left_as_it_was() {
    let scene = Scene::new();
    let port = free_port();
    scene.file(
        "web.toml",
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\n[[listener.web.rule]]\nrespond = 200\n"
        ),
    );
    let portway = scene.portway_with(&["web.toml"]);
    let script = scene.file("terminal.py", TERMINAL);
    assert!(fs::exists(&script).unwrap());
    for how in ["q", "key", "signal"] {
        let words = [
            "terminal.py",
            how,
            PORTWAY,
            "status",
            "--watch",
            "--admin",
            &portway.admin,
            "--interval",
            "100ms",
        ];
        let said = scene.run("python3", &words).good();
        assert!(said.contains("left as it was"), "{how}: {said}");
    }
    assert_eq!(scene.status(&[&format!("http://{}/", local(port))]), "200");
}
