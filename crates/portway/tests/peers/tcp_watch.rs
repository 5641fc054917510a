//! How the system watches over connections for Portway: probes of silent ones, and how long what was sent may stay
//! unacknowledged; on what the system shows, and on peers that vanish.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use rustix::net::sockopt::tcp_user_timeout;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::namespace::Namespace;
use crate::stage::{Client, Stage, tunnels};
use crate::support::{PORTWAY, Process, Scene, eventually, free_port};

/// Seconds until the next probe of the one connection that `filter` finds; `None`: there is none to come.
#[track_caller]
pub(crate) fn next_probe(filter: &str) -> Option<f64> {
    let filter = format!("( {filter} )");
    let text = eventually("all that was sent is acknowledged", || {
        let output = Command::new("ss")
            .args(["-Htno", "state", "established", &filter])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Of two timers, that of retransmission is shown.
        (!text.contains("timer:(on,")).then_some(text)
    });
    assert_eq!(text.lines().count(), 1, "{filter}: {text}");
    let (_, timer) = text.split_once("timer:(keepalive,")?;
    let (left, _) = timer.split_once(',').unwrap();
    Some(seconds(left))
}

/// `1min57sec`, `57sec` or `950ms` of `ss`.
fn seconds(left: &str) -> f64 {
    let (minutes, rest) = left.split_once("min").unwrap_or(("0", left));
    let rest = match rest.strip_suffix("ms") {
        Some(millis) => millis.parse::<f64>().unwrap() / 1000.0,
        None => rest.strip_suffix("sec").unwrap_or("0").parse().unwrap(),
    };
    minutes.parse::<f64>().unwrap() * 60.0 + rest
}

/// What is probed of a tunnel through `port` to `target`: on the client's side and on the target's, seconds at most.
#[track_caller]
fn check(port: u16, target: u16, expected: [Option<f64>; 2]) {
    let filters = [format!("sport = :{port}"), format!("dport = :{target}")];
    for (filter, expected) in filters.iter().zip(expected) {
        let seen = next_probe(filter);
        let right = match (seen, expected) {
            (Some(seen), Some(most)) => seen <= most && seen > most / 2.0,
            (seen, expected) => seen == expected,
        };
        assert!(right, "{filter}: {seen:?} is not {expected:?}");
    }
}

#[test]
fn silent_connections_are_probed_as_configured() {
    let [port, target] = [free_port(), tunnels()];
    let text = |socket: &str, group: &str| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\nsocket = {{ {socket} }}\n\
             [target_group.app]\ntargets = ['127.0.0.1:{target}']\n{group}\n"
        )
    };
    let stage = Stage::new(&text("", ""));
    let ours = Some(120.0);
    {
        // A connection that carries no tunnel yet is not probed.
        let mut client = Client::new(port);
        eventually("it is accepted", || {
            let connections = stage.metric("portway_listener_connections_open{listener=\"web\"}");
            (connections == "1").then_some(())
        });
        assert_eq!(next_probe(&format!("sport = :{port}")), None);
        client.upgrade();
        assert!(client.answer().starts_with("http/1.1 101 "));
        check(port, target, [ours, ours]);
        client.beats();
        // What is reloaded is of those that come.
        stage.becomes(&text("tcp_keep_alive = false", "tcp_keep_alive = false"));
        client.beats();
        check(port, target, [ours, ours]);
    }
    let gone = || {
        eventually("the one before is gone", || {
            let filter = format!("( sport = :{port} or dport = :{target} )");
            let listed = stage
                .scene
                .run("ss", &["-Htn", "state", "established", &filter]);
            listed.good().is_empty().then_some(())
        });
    };
    let cases = [
        ("false", "false", [None, None]),
        ("true", "'system'", [ours, Some(7200.0)]),
        (
            "{ idle = '50s' }",
            "{ idle = '30s', interval = '5s', count = 2 }",
            [Some(50.0), Some(30.0)],
        ),
        ("'tunnels'", "false", [ours, None]),
    ];
    for (socket, group, expected) in cases {
        gone();
        stage.becomes(&text(
            &format!("tcp_keep_alive = {socket}"),
            &format!("tcp_keep_alive = {group}\nretries = 0"),
        ));
        let _client = Client::tunnel(port);
        check(port, target, expected);
    }
    gone();
    stage.becomes(&text("", "").replace("forward =", "protocol = 'tcp'\nforward ="));
    let mut client = Client::new(port);
    client.upgrade();
    client.answer();
    check(port, target, [ours, ours]);
    drop(client);
    stage.portway.stop();
}

#[test]
fn haproxy_files_say_what_is_probed() {
    let scene = Scene::new();
    let [port, other, target] = [free_port(), free_port(), tunnels()];
    scene.file(
        "haproxy.cfg",
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n \
             clitcpka-idle 40s\n srvtcpka-idle 30\n\
             listen web\n bind 127.0.0.1:{port}\n option clitcpka\n option srvtcpka\n \
             server a 127.0.0.1:{target} tcp-ut 20s\n\
             listen stream\n mode tcp\n bind 127.0.0.1:{other} tcp-ut 20s\n option tcpka\n \
             server a 127.0.0.1:{target}\n"
        ),
    );
    let portway = scene.portway_with(&["haproxy.cfg"]);
    for port in [port, other] {
        let client = Client::tunnel(port);
        check(port, target, [Some(40.0), Some(30.0)]);
        drop(client);
        eventually("it is gone", || {
            let filter = format!("( dport = :{target} )");
            let listed = scene.run("ss", &["-Htn", "state", "established", &filter]);
            listed.good().is_empty().then_some(())
        });
    }
    portway.stop();
}

/// How long, in milliseconds, what was sent may stay unacknowledged: of the connections of a process that lead to this port, as the
/// system has it, in order.
fn user_timeouts(process: u32, port: u16) -> Vec<u32> {
    let pid = Pid::from_raw(process.try_into().unwrap()).unwrap();
    let pid = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let numbers = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let numbers = numbers.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut found = Vec::new();
    for number in numbers {
        // It may be closed by now, or be something else.
        let number = number.parse().unwrap();
        let Ok(copy) = pidfd_getfd(&pid, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let copy = TcpStream::from(copy);
        if copy.peer_addr().is_ok_and(|it| it.port() == port) {
            found.push(tcp_user_timeout(&copy).unwrap());
        }
    }
    found.sort_unstable();
    found
}

/// What is reloaded holds for connections that come, past a dead target too; those that are there keep what they have.
#[test]
fn how_long_is_waited_for_acknowledgements_is_of_those_that_come() {
    type Text = fn([u16; 3], [u32; 2]) -> String;
    let native: Text = |[port, dead, target], [client, server]| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nprotocol = 'tcp'\nforward = 'app'\n\
             socket = {{ tcp_user_timeout = '{client}s' }}\n\
             [target_group.app]\nprotocol = 'tcp'\nretries = 2\nalgorithm = 'first'\ntcp_user_timeout = '{server}s'\n\
             targets = ['127.0.0.1:{dead}', '127.0.0.1:{target}']\n"
        )
    };
    let haproxy: Text = |[port, dead, target], [client, server]| {
        format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n retries 2\n option redispatch 1\n\
             listen web\n bind 127.0.0.1:{port} tcp-ut {client}s\n balance first\n \
             server dead 127.0.0.1:{dead} tcp-ut {server}s\n server a 127.0.0.1:{target} tcp-ut {server}s\n"
        )
    };
    for (file, text) in [("web.toml", native), ("haproxy.cfg", haproxy)] {
        let [port, dead, target] = [free_port(), free_port(), tunnels()];
        let text = |seconds| text([port, dead, target], seconds);
        let stage = Stage::of_file(Scene::new(), file, &text([41, 31]), &[]);
        let process = stage.portway.process.id();
        let of_client = |client: &Client| {
            let own = client.0.get_ref().local_addr().unwrap().port();
            user_timeouts(process, own)
        };
        let mut early = Client::tunnel(port);
        assert_eq!(of_client(&early), [41_000], "{file}");
        assert_eq!(user_timeouts(process, target), [31_000], "{file}");
        stage.becomes(&text([42, 32]));
        early.beats();
        let mut late = Client::tunnel(port);
        assert_eq!(
            (of_client(&early), of_client(&late)),
            (vec![41_000], vec![42_000])
        );
        assert_eq!(user_timeouts(process, target), [31_000, 32_000], "{file}");
        early.beats();
        late.beats();
        drop((early, late));
        stage.portway.stop();
    }
}

/// Sends something every moment once the file `gone` says so.
const SPEAK: &str = r#"
import os, socket, sys, threading, time
def speak(c):
    while not os.path.exists('gone'): time.sleep(0.02)
    while 'speak' in open('gone').read():
        try: c.send(b'x')
        except OSError: return
        time.sleep(0.1)
def speaks(c): threading.Thread(target=speak, args=(c,), daemon=True).start()
"#;

/// Sends back what comes.
const ECHO: &str = r#"
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen()
def serve(c):
    speaks(c)
    try:
        while True:
            came = c.recv(4096)
            if not came: break
            c.sendall(came)
    except OSError: pass
    print('ended', flush=True)
print('ready', flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"#;

/// Has something sent back, then waits for the end.
const CLIENT: &str = r#"
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
c.sendall(b'hello')
assert c.recv(5) == b'hello'
c.settimeout(None)
print('ready', flush=True)
speaks(c)
try:
    while c.recv(4096): pass
except OSError: pass
print('ended', flush=True)
"#;

const LB: &str = "10.77.3.1";
const NODE: &str = "10.77.3.2";

struct Hosts {
    scene: Scene,
    lb: Namespace,
    node: Namespace,
    _portway: Process,
}

impl Hosts {
    /// Portway on a host of its own, and another host; `text` has `@target` where the target is.
    fn new(file: &str, text: &str, target: &str) -> Self {
        let scene = Scene::new();
        let [lb, node] = ["lb", "node"].map(|role| Namespace::new(&scene, role, &[]));
        lb.connect(&scene, LB, &node, NODE);
        scene.file(file, text.replace("@target", &format!("{target}:9000")));
        let run = ["run", "--workers", "2", "--admin", "127.0.0.1:9900", file];
        let portway = lb.spawn(&scene, PORTWAY, &run);
        let ready = ["-sf", "--noproxy", "*", "http://127.0.0.1:9900/readyz"];
        eventually("Portway is ready", || {
            let answer = lb.run(&scene, "curl", &ready);
            answer.status.success().then_some(())
        });
        Self {
            scene,
            lb,
            node,
            _portway: portway,
        }
    }

    fn python(&self, on: &Namespace, name: &str, script: &str, arguments: &[&str]) -> Process {
        self.scene.file(name, format!("{SPEAK}{script}"));
        let words = [&["-u", name], arguments].concat();
        let process = on.spawn(&self.scene, "python3", &words);
        eventually(name, || process.log().contains("ready").then_some(()));
        process
    }

    /// Whatever the other host sends is lost from now on. `speaks`: who is left does not stop sending.
    fn vanish(&self, speaks: bool) {
        let away = ["-n", self.node.name(), "route", "add", "blackhole"];
        let to = format!("{LB}/32");
        let words = [&away[..], &[&to]].concat();
        self.scene.run("ip", &words).good();
        self.scene.file("gone", if speaks { "speak" } else { "" });
    }
}

/// A peer on another host vanishes without a word, and Portway ends the connection of the other side.
#[test]
fn who_vanishes_is_missed() {
    let native = |socket: &str, group: &str| {
        format!(
            "[listener.web]\nbind = '0.0.0.0:8000'\nprotocol = 'tcp'\nforward = 'app'\n\
             timeouts = {{ tunnel = '1h' }}\nsocket = {{ {socket} }}\n\
             [target_group.app]\ntargets = ['@target']\n{group}\n"
        )
    };
    let haproxy = |bind: &str, more: &str, server: &str| {
        format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
             listen web\n bind :8000 {bind}\n{more} server a @target {server}\n"
        )
    };
    let (off, quick) = (
        "tcp_keep_alive = false",
        "tcp_keep_alive = { idle = '1s', interval = '1s', count = 2 }",
    );
    let impatient = "tcp_keep_alive = false, tcp_user_timeout = '2s'";
    let cases = [
        ("web.toml", native(off, quick), "target", false),
        ("web.toml", native(quick, off), "client", false),
        (
            "web.toml",
            native(off, &impatient.replace(", ", "\n")),
            "target",
            true,
        ),
        ("web.toml", native(impatient, off), "client", true),
        (
            "haproxy.cfg",
            haproxy(
                "",
                " option srvtcpka\n srvtcpka-idle 1s\n srvtcpka-intvl 1s\n srvtcpka-cnt 2\n",
                "",
            ),
            "target",
            false,
        ),
        ("haproxy.cfg", haproxy("", "", "tcp-ut 2s"), "target", true),
        ("haproxy.cfg", haproxy("tcp-ut 2s", "", ""), "client", true),
    ];
    for (file, text, vanishes, speaks) in cases {
        let target_at = if vanishes == "target" {
            NODE
        } else {
            "127.0.0.1"
        };
        let hosts = Hosts::new(file, &text, target_at);
        let (client_on, target_on, door) = match vanishes {
            "target" => (&hosts.lb, &hosts.node, "127.0.0.1"),
            _ => (&hosts.node, &hosts.lb, LB),
        };
        let echo = hosts.python(target_on, "echo.py", ECHO, &[target_at, "9000"]);
        let client = hosts.python(client_on, "client.py", CLIENT, &[door, "8000"]);
        hosts.vanish(speaks);
        let left = if vanishes == "target" { &client } else { &echo };
        eventually(
            format_args!("the end of what the {vanishes} left: {text}"),
            || left.log().contains("ended").then_some(()),
        );
    }
}
