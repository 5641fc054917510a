//! HAProxy's commands on a control socket, beside a real HAProxy: the same words get the same answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::{Portway, Process, Scene, eventually, free_port, local};

/// A connection to a control socket, which comes into being beside the listeners: before or after them.
pub(crate) fn connect(socket: &Path) -> UnixStream {
    eventually(format_args!("{} is there", socket.display()), || {
        UnixStream::connect(socket).ok()
    })
}

/// Gives commands on a line and gives the whole answer.
pub(crate) fn ask(socket: &Path, line: &str) -> String {
    let mut stream = connect(socket);
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// One target on `up`, nobody on `down`.
fn portway(scene: &Scene, port: u16, (up, down): (u16, u16)) -> Portway {
    let folder = scene.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    scene.portway(&format!(
        r#"
[process]
workers = 1
max_connections = 1000
node = "lb1"
description = "a balancer"
control_timeout = "5s"
control_sockets = [
    {{ bind = "unix:{folder}/portway.sock", level = "admin", mode = "600" }},
    {{ bind = "unix:{folder}/portway-operator.sock" }},
    {{ bind = "unix:{folder}/portway-user.sock", level = "user" }},
]
[listener.www]
bind = "127.0.0.1:{port}"
forward = "app"
[target_group.app]
targets = [
    {{ address = "127.0.0.1:{up}", name = "a", weight = 3 }},
    {{ address = "127.0.0.1:{down}", name = "b", max_connections = 5 }},
    {{ address = "127.0.0.1:{down}", name = "c", backup = true, disabled = true }},
]
health_check = {{ http = "/", interval = "100ms", unhealthy_threshold = 3 }}
"#
    ))
}

fn haproxy(scene: &Scene, port: u16, (up, down): (u16, u16)) -> Process {
    let folder = scene.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let text = format!(
        "global
    maxconn 1000
    nbthread 1
    node lb1
    description a balancer
    stats socket {folder}/haproxy.sock level admin
    stats socket {folder}/haproxy-operator.sock level operator
    stats socket {folder}/haproxy-user.sock level user
    stats timeout 5s
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 2s
frontend www
    bind 127.0.0.1:{port}
    default_backend app
backend app
    option httpchk GET /
    server a 127.0.0.1:{up} check inter 100 weight 3
    server b 127.0.0.1:{down} check inter 100 maxconn 5
    server c 127.0.0.1:{down} check inter 100 backup disabled
"
    );
    let file = scene.file("haproxy.cfg", text);
    scene.serve(port, "haproxy", &["-db", "-f", file.to_str().unwrap()])
}

/// Both balancers with their targets judged.
struct Both {
    scene: Scene,
    ports: [u16; 2],
    up: u16,
    _target: Process,
    _portway: Portway,
    _haproxy: Process,
}

impl Both {
    fn new() -> Self {
        let scene = Scene::new();
        let [up, down] = [(); 2].map(|()| free_port());
        let ports = [(); 2].map(|()| free_port());
        let block =
            format!("server {{ listen 127.0.0.1:{up}; location / {{ return 200 \"fine\\n\"; }} }}");
        let both = Self {
            _target: scene.nginx(up, &block),
            _portway: portway(&scene, ports[0], (up, down)),
            _haproxy: haproxy(&scene, ports[1], (up, down)),
            scene,
            ports,
            up,
        };
        both.until("a", "UP");
        both.until("b", "DOWN");
        both
    }

    /// The answers of Portway and HAProxy.
    fn ask(&self, level: &str, line: &str) -> [String; 2] {
        ["portway", "haproxy"]
            .map(|name| ask(&self.scene.path(&format!("{name}{level}.sock")), line))
    }

    fn status(answer: &str, server: &str) -> Option<String> {
        let row = answer
            .lines()
            .find(|row| row.starts_with(&format!("app,{server},")))?;
        row.split(',').nth(17).map(str::to_owned)
    }

    /// Waits until a server has this state in both.
    fn until(&self, server: &str, status: &str) {
        eventually(format!("{server} is {status}"), || {
            let answers = self.ask("", "show stat");
            let found = answers.map(|it| Self::status(&it, server));
            (found == [Some(status.to_owned()), Some(status.to_owned())]).then_some(())
        });
    }
}

#[test]
fn the_same_answers_as_haproxy() {
    let both = Both::new();
    let same = |level: &str, line: &str| {
        let [ours, theirs] = both.ask(level, line);
        assert_eq!(ours, theirs, "`{line}` {level}");
    };
    for line in [
        "show backend",
        "show cli level",
        "show cli level;show backend",
        "get weight app/a",
        "get weight",
        "get weight app",
        "get weight nope/a",
        "get weight app/nope",
        "set server",
        "set server app/a",
        "set server app/a dance",
        "set server app/a state",
        "set server app/a state dance",
        "set server app/a health",
        "set server app/a health dance",
        "set server app/a weight",
        "set server nope/a state ready",
        "set server app/nope state ready",
        "set server app/a addr",
        "set server app/a addr nonsense",
        "set weight app/a x",
        "set weight app/a 300",
        "set weight app/a 10",
        "get weight app/a",
        "set server app/a weight 50%",
        "get weight app/a",
        "set server app/a weight 100%",
        "get weight app/a",
        "set server app/a addr 127.0.0.1 port 1",
        "set severity-output number;get weight app/nope;set server app/a addr 127.0.0.1 port 1;get weight app/b",
        "set severity-output string;set server app/a weight;show cli level",
        "set severity-output none;get weight app/nope",
        "set severity-output",
        "set severity-output loud",
        "expert-mode;expert-mode on;expert-mode",
        "experimental-mode on;experimental-mode;experimental-mode off;experimental-mode",
        "disable agent app/a",
        "set maxconn frontend www x",
        "set server app/a check-port",
        "set server app/a check-port x",
        "set server app/a check-port 99999",
        "set server app/a check-addr",
        "set server app/a check-addr x",
        "disable server app",
        "disable server nope/a",
        "enable server app/nope",
        "enable agent app/a",
        "set server app/a agent up",
        "set server app/a agent-addr",
        "set server app/a agent-port",
        "set server app/a agent-send x",
        "set rate-limit",
        "set rate-limit sessions",
        "set rate-limit connections global",
        "set rate-limit connections global 5000",
        "disable frontend",
        "disable frontend nope",
        "enable frontend www",
        "set maxconn frontend",
        "set maxconn frontend www",
        "set maxconn frontend nope 3",
        "set maxconn frontend www 77",
        "set maxconn server app/b 7",
        "set maxconn server app/b",
        "set maxconn server app/b x",
        "set maxconn global",
        "set maxconn global 5000",
        "set maxconn global 900",
        "set timeout",
        "set timeout cli",
        "set timeout cli x",
        "set timeout cli 10s",
        "shutdown frontend",
        "shutdown frontend nope",
        "shutdown sessions server app/a",
        "shutdown sessions server app/nope",
        "shutdown sessions server",
        "show servers state nope",
        "show errors nope",
        "show table nope",
        "show env NO_SUCH_VARIABLE",
        "show ssl cert",
        "show ssl cert nope",
        "show sess 0x1",
        "show stat nope 1 1",
        "operator",
        "clear counters",
        "clear counters all",
        "quit",
    ] {
        // An address tells the port that each has.
        let [ours, theirs] = both.ask("", line);
        let port = both.up.to_string();
        assert_eq!(
            ours.replace(&port, "UP"),
            theirs.replace(&port, "UP"),
            "`{line}`"
        );
    }
    for line in [
        "show sess",
        "set server app/a state drain",
        "disable frontend www",
        "set maxconn global 5",
        "expert-mode on",
        "show cli level",
        "show env",
        "show errors",
        "clear counters",
        "clear counters all",
        "operator",
        "get weight app/b",
        "show cli level",
    ] {
        same("-user", line);
    }
    for line in [
        "set server app/a state drain",
        "set weight app/a 5",
        "disable frontend www",
        "shutdown frontend www",
        "set maxconn global 5",
        "clear counters all",
        "show cli level",
        "user;show cli level;show errors",
    ] {
        same("-operator", line);
    }
}

/// Names of values, and how each is written.
fn names(answer: &str) -> Vec<String> {
    let lines = answer.lines().filter(|line| !line.is_empty());
    let parts = lines.map(|line| {
        line.split_once(": ")
            .or(line.rsplit_once(':'))
            .unwrap_or((line, ""))
    });
    parts.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_same_names_as_haproxy() {
    let both = Both::new();
    for line in ["show info", "show info typed", "show info float"] {
        let [ours, theirs] = both.ask("", line);
        assert_eq!(names(&ours), names(&theirs), "`{line}`");
    }
    let of_info = |answer: &str, name: &str| -> String {
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    };
    let [ours, theirs] = both.ask("", "show info");
    for name in [
        "Name",
        "Maxconn",
        "Hard_maxconn",
        "node",
        "description",
        "Stopping",
        "CurrConns",
    ] {
        assert_eq!(of_info(&ours, name), of_info(&theirs, name), "{name}");
    }

    // While HAProxy checks a server it has no result of it.
    let [ours, theirs] = eventually("HAProxy does not check just now", || {
        let both = both.ask("", "show servers state");
        let rows = both[1].lines().skip(2);
        let states = rows.filter_map(|row| row.split(' ').nth(13)?.parse::<u32>().ok());
        let under_way = states.fold(0, |all, state| all | state & 1);
        (under_way == 0).then_some(both)
    });
    let columns = |answer: &str, mask: &[usize]| -> Vec<Vec<String>> {
        let lines = answer.lines().skip(1);
        lines
            .map(|line| {
                let words = line.trim_start_matches("# ").split(' ').enumerate();
                let words = words.map(|(at, word)| if mask.contains(&at) { "*" } else { word });
                words.map(str::to_owned).collect()
            })
            .collect()
    };
    // Time since the last change, and the state of a paused check.
    let mask = [9, 13];
    assert_eq!(
        columns(&ours, &mask),
        columns(&theirs, &mask),
        "{ours}\n{theirs}"
    );

    for line in [
        "show stat typed",
        "show stat -1 4 -1",
        "show stat app 2 -1",
        "show stat 3 4 1",
        "show stat up",
    ] {
        let rows = |answer: &str| -> Vec<String> {
            let lines = answer
                .lines()
                .filter(|it| !it.is_empty() && !it.starts_with('#'));
            lines
                .map(|line| line.split([',', ':']).take(2).collect::<Vec<_>>().join(","))
                .collect()
        };
        let [ours, theirs] = both.ask("", line).map(|it| rows(&it));
        // The status of a check's answer is not kept.
        let [ours, theirs] = [ours, theirs].map(|rows| -> Vec<String> {
            let kept = rows.into_iter().filter(|it| !it.contains("check_code"));
            kept.collect()
        });
        let missing: Vec<_> = theirs.iter().filter(|it| !ours.contains(it)).collect();
        let more: Vec<_> = ours.iter().filter(|it| !theirs.contains(it)).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "`{line}`: missing {missing:?}, more {more:?}"
        );
    }
}

#[test]
fn commands_change_what_runs() {
    let both = Both::new();
    let requests = |port: u16| {
        let url = format!("http://127.0.0.1:{port}/");
        let answer = both
            .scene
            .curl(&["-o", "/dev/null", "-w", "%{http_code}", &url]);
        answer.stdout
    };
    let everywhere = |expected: &str, when: &str| {
        for port in both.ports {
            eventually(format!("{expected} on {port} {when}"), || {
                (requests(port) == expected).then_some(())
            });
        }
    };
    everywhere("200", "at first");
    for (line, status, answer) in [
        ("set server app/a state maint", "MAINT", "503"),
        ("set server app/a state ready", "UP", "200"),
        ("set server app/a state drain", "DRAIN", "503"),
        ("set server app/a state ready", "UP", "200"),
        ("disable server app/a", "MAINT", "503"),
        ("enable server app/a", "UP", "200"),
        ("set server app/a weight 0", "UP", "503"),
        ("set server app/a weight 3", "UP", "200"),
        ("set server app/a check-port 1", "DOWN", "503"),
        ("set server app/a check-addr 127.0.0.1 port UP", "UP", "200"),
        ("disable health app/a", "UP", "200"),
        ("set server app/a health down", "DOWN", "503"),
        ("enable health app/a", "UP", "200"),
        ("disable frontend www", "UP", "000"),
        ("enable frontend www", "UP", "200"),
        ("shutdown frontend www", "UP", "000"),
    ] {
        let line = &line.replace("UP", &both.up.to_string());
        for answer in both.ask("", line) {
            assert_eq!(answer, "\n", "`{line}`");
        }
        if line.contains("disable health") || line.contains("health down") {
            // HAProxy's word for a server whose checks rest is its own.
        } else {
            both.until("a", status);
        }
        everywhere(answer, &format!("after `{line}`"));
    }
}

#[test]
fn many_commands_on_one_connection() {
    let both = Both::new();
    let talk = |name: &str| -> String {
        let mut stream = UnixStream::connect(both.scene.path(name)).unwrap();
        stream
            .write_all(b"prompt\nshow cli level\nget weight app/a;show backend\n\nquit\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    // The list of commands that an empty line gives is another.
    let short = |answer: String| answer.split("Unknown").next().map(str::to_owned);
    assert_eq!(short(talk("portway.sock")), short(talk("haproxy.sock")));
    let help = ask(&both.scene.path("portway.sock"), "shwo stat");
    assert!(
        help.starts_with("Unknown command") && help.contains("  show stat "),
        "{help}"
    );
    let _ = local(both.up);
}
