//! The deployment of `examples/hazelcast-flow`: the labels of its compose file, three servers with WebSockets that beat while
//! one of them dies, Management Center's CORS, and its own scripts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::{Portway, Process, Scene, eventually, free_offset, local, python_with_peers};

/// Ports of the compose file, before anything is added.
const PORTS: [u16; 5] = [80, 9021, 9022, 9023, 8080];

fn example(file: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.join("examples/hazelcast-flow").join(file)
}

struct Deployment {
    scene: Scene,
    portway: Portway,
    servers: Vec<Process>,
    offset: u16,
}

impl Deployment {
    /// `interval`: between two health checks.
    fn new(interval: &str) -> Self {
        let scene = Scene::new();
        let offset = free_offset(&PORTS);
        let script = example("standin.py").display().to_string();
        let stand_in = |port: u16, name: &str, origin: &[&str]| {
            let port = offset + port;
            let number = port.to_string();
            let arguments = [&["-u", &script, &number, name], origin].concat();
            scene.serve(port, "python3", &arguments)
        };
        let mut servers: Vec<Process> = (0..3)
            .map(|it| stand_in(9021 + it, &format!("flow-{}", it + 1), &[]))
            .collect();
        servers.push(stand_in(8080, "center", &["https://flow.example.com"]));
        let text = std::fs::read_to_string(example("compose.yml")).unwrap();
        scene.file("compose.yml", text);
        let (first, last, center) = (offset + 9021, offset + 9023, offset + 8080);
        scene.file(
            ".env",
            format!("FLOW_PORTS={first}-{last}\nMC_PORT={center}\nHEALTH_INTERVAL={interval}\n"),
        );
        let portway = scene.portway_with(&["compose.yml", "--port-offset", &offset.to_string()]);
        Self {
            scene,
            portway,
            servers,
            offset,
        }
    }

    fn flow(&self, server: u16) -> SocketAddr {
        local(self.offset + 9021 + server)
    }

    fn ask(&self, host: &str, path: &str, arguments: &[&str]) -> String {
        let host = format!("Host: {host}");
        let url = format!("http://127.0.0.1:{}{path}", self.offset + 80);
        let all = [&["-H", &host, &url], arguments].concat();
        self.scene.curl(&all).good()
    }
}

/// Opens WebSockets that beat, and opens one anew that has ended, as the user interface does. Prints what each was told and
/// whom it lost.
const SOCKETS: &str = r#"
import asyncio, sys, websockets
from websockets.asyncio.client import connect

URL, SOCKETS, BEATS, SECONDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
ready = 0

async def one(number):
    global ready
    beats = 0
    while beats < BEATS:
        try:
            async with connect(URL, additional_headers={"Origin": "https://flow.example.com"}, proxy=None,
                               ping_interval=None, open_timeout=60, host="127.0.0.1") as socket:
                told = dict(line.split(": ", 1) for line in (await socket.recv()).splitlines())
                server = told["server"]
                print("told", number, server, told["X-Forwarded-Proto"], told["X-Forwarded-Port"], flush=True)
                while beats < BEATS:
                    await socket.send(f"beat {beats}")
                    assert await asyncio.wait_for(socket.recv(), 60) == f"beat {beats}"
                    beats += 1
                    if beats == 2:
                        ready += 1
                        if ready == SOCKETS:
                            print("all beat", flush=True)
                    await asyncio.sleep(SECONDS)
        except websockets.ConnectionClosed:
            print("lost", number, server, flush=True)
    print("done", number, flush=True)

async def main():
    await asyncio.gather(*[one(number) for number in range(SOCKETS)])
    print("all done", flush=True)

asyncio.run(main())
"#;

/// How many beats a socket has; each after half a second.
const BEATS: &str = "12";

#[test]
fn web_sockets_beat_while_a_server_dies() {
    let mut deployment = Deployment::new("500ms");
    for server in 0..3 {
        let portway = &deployment.portway;
        portway.wait_for_health("hazelcast-flow", deployment.flow(server), "healthy");
    }
    let scene = &deployment.scene;
    scene.file("sockets.py", SOCKETS);
    let url = format!("ws://flow.example.com:{}/stomp", deployment.offset + 80);
    let arguments = ["-u", "sockets.py", &url, "6", BEATS, "0.5"];
    let mut sockets = scene.spawn(&python_with_peers(), &arguments);
    eventually("all sockets beat", || {
        assert!(sockets.ended().is_none(), "{}", sockets.log());
        sockets.log().contains("all beat\n").then_some(())
    });
    let dying = deployment.servers.remove(1);
    dying.signal(Signal::KILL);
    drop(dying);
    // Requests that come meanwhile are served by the others.
    for _ in 0..20 {
        let answer = deployment.ask("flow.example.com", "/", &["-f"]);
        assert!(!answer.contains("server: flow-2"), "{answer}");
    }
    let portway = &deployment.portway;
    portway.wait_for_health("hazelcast-flow", deployment.flow(1), "unhealthy");
    assert!(sockets.wait().success(), "{}", sockets.log());
    let log = sockets.log();
    assert!(log.ends_with("all done\n"), "{log}");
    let lost: Vec<&str> = log.lines().filter(|it| it.starts_with("lost")).collect();
    assert_eq!(lost.len(), 2, "{log}");
    assert!(lost.iter().all(|it| it.ends_with("flow-2")), "{log}");
    let told: Vec<&str> = log.lines().filter(|it| it.starts_with("told")).collect();
    assert_eq!(told.len(), 6 + 2, "{log}");
    assert!(told.iter().all(|it| it.ends_with(" https 443")), "{log}");
    for server in ["flow-1", "flow-2", "flow-3"] {
        let of_server = told.iter().take(6).filter(|it| it.contains(server)).count();
        assert_eq!(of_server, 2, "{log}");
    }
    let log = deployment.portway.stop();
    assert!(!log.contains("warning["), "{log}");
}

#[test]
fn servers_are_told_what_the_labels_say() {
    let deployment = Deployment::new("30s");
    let forged = [
        "-H",
        "X-Forwarded-Proto: http",
        "-H",
        "X-Forwarded-For: 192.0.2.1",
    ];
    for arguments in [&[][..], &forged] {
        let answer = deployment.ask("flow.example.com", "/", arguments);
        for line in [
            "Host: flow.example.com\n",
            "X-Forwarded-Proto: https\n",
            "X-Forwarded-Port: 443\n",
            "X-Forwarded-For: 127.0.0.1\n",
            "X-Forwarded-Host: flow.example.com\n",
            "X-Real-Ip: 127.0.0.1\n",
        ] {
            assert!(answer.contains(line), "{line} is not in {answer}");
        }
    }
    let answer = deployment.ask("mc.example.com", "/", &[]);
    assert!(answer.contains("X-Forwarded-Proto: http\n"), "{answer}");
    assert!(answer.contains("X-Forwarded-Port: 80\n"), "{answer}");
    let answer = deployment.ask("other.example.com", "/", &["-i"]);
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.ends_with("404 page not found\n"), "{answer}");
    deployment.portway.stop();
}

#[test]
fn cors_of_management_center_passes_untouched() {
    let deployment = Deployment::new("30s");
    let origin = ["-i", "-H", "Origin: https://flow.example.com"];
    let preflight = [
        &origin[..],
        &["-X", "OPTIONS", "-H", "Access-Control-Request-Method: GET"],
    ];
    for (arguments, status) in [(origin.to_vec(), "200"), (preflight.concat(), "204")] {
        let answer = deployment.ask("mc.example.com", "/oauth2/jwks", &arguments);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let allowed = answer.to_lowercase();
        assert_eq!(
            allowed.matches("access-control-allow-origin:").count(),
            1,
            "{answer}"
        );
        assert!(
            answer.contains("Access-Control-Allow-Methods: GET, OPTIONS\r\n"),
            "{answer}"
        );
    }
    let stranger = ["-i", "-H", "Origin: https://other.example"];
    let answer = deployment.ask("mc.example.com", "/oauth2/jwks", &stranger);
    assert!(
        !answer.to_lowercase().contains("access-control"),
        "{answer}"
    );
    let answer = deployment.ask("flow.example.com", "/", &preflight.concat());
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(
        !answer.to_lowercase().contains("access-control"),
        "{answer}"
    );
    deployment.portway.stop();
}
